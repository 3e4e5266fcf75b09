//! The ledger's policy: each unit is run until it has one recorded end.
//!
//! A disruption is free and never grows the back-off; each kind of failure has a budget of its own.

use super::group::{GroupSpec, Retry};
use super::outcome::{Budget, Outcome, Verdict};
use super::random::doubled;
use super::record::Spent;
use std::time::Duration;

/// What becomes of a unit whose attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is over.
    End,
    /// It is tried again.
    Retry {
        /// After so long.
        after: Duration,
        /// Having spent so much.
        spent: Spent,
    },
}

/// First and longest wait after the platform failed a unit.
const PLATFORM_WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

pub(crate) fn next(spec: &GroupSpec, spent: Spent, verdict: Verdict) -> Next {
    let Retry { user, platform, timeout, backoff_first, backoff_most } = spec.retry;
    match verdict.budget {
        Budget::Never => Next::End,
        Budget::Free if verdict.outcome == Outcome::Disrupted => {
            Next::Retry { after: Duration::ZERO, spent }
        }
        Budget::Free => Next::Retry { after: backoff_first, spent },
        Budget::User if spent.user < user => Next::Retry {
            after: doubled(backoff_first, spent.user, backoff_most),
            spent: Spent { user: spent.user + 1, ..spent },
        },
        Budget::Platform if spent.platform < platform => Next::Retry {
            after: doubled(PLATFORM_WAITS.0, spent.platform, PLATFORM_WAITS.1),
            spent: Spent { platform: spent.platform + 1, ..spent },
        },
        Budget::Timeout if spent.timeout < timeout => Next::Retry {
            after: Duration::ZERO,
            spent: Spent { timeout: spent.timeout + 1, ..spent },
        },
        Budget::User | Budget::Platform | Budget::Timeout => Next::End,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::group::{Kind, Template};

    fn spec() -> GroupSpec {
        GroupSpec::new("g", Kind::Ledger, 1, Template::default())
    }

    fn after(outcome: Outcome, spent: Spent) -> Next {
        next(&spec(), spent, Verdict::plain(outcome))
    }

    #[test]
    fn each_failure_is_charged_to_its_own_budget_until_it_is_spent() {
        let budgets = [
            (Outcome::Failed(None), 2),
            (Outcome::OomKilled { limit: 0, usage: 0 }, 2),
            (Outcome::SystemLocal, 10),
            (Outcome::SystemTransient, 10),
            (Outcome::TimedOut, 0),
        ];
        for (outcome, budget) in budgets {
            let (mut spent, mut retries) = (Spent::default(), 0);
            while let Next::Retry { spent: more, .. } = after(outcome, spent) {
                spent = more;
                retries += 1;
                assert!(retries <= budget, "{outcome:?}");
            }
            assert_eq!(retries, budget, "{outcome:?}");
        }
    }

    #[test]
    fn disruption_is_free_at_once_and_leaves_the_back_off_alone() {
        let spent = Spent { user: 1, platform: 3, timeout: 0 };
        let next = after(Outcome::Disrupted, spent);
        assert_eq!(next, Next::Retry { after: Duration::ZERO, spent });
    }

    #[test]
    fn the_back_off_doubles_with_the_units_own_failures() {
        let Next::Retry { after: first, spent } = after(Outcome::Failed(None), Spent::default())
        else {
            panic!("no retry");
        };
        let Next::Retry { after: second, .. } = after(Outcome::Failed(None), spent) else {
            panic!("no retry");
        };
        assert_eq!((first, second), (Duration::from_secs(1), Duration::from_secs(2)));
    }
}
