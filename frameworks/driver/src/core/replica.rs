//! The replicas' policy: each unit is kept running, and replaced when it ends.
//!
//! The index stays; fast ends grow the back-off, and a run that lasted begins it anew.

use super::group::GroupSpec;
use super::ledger::Next;
use super::outcome::{Budget, Outcome, Verdict};
use super::random::doubled;
use super::record::Spent;
use std::time::Duration;

/// What becomes of a replica that ran for `ran` and ended; at least `settled` is a lasting run.
pub(crate) fn next(
    spec: &GroupSpec,
    spent: Spent,
    verdict: Verdict,
    ran: Duration,
    settled: Duration,
) -> Next {
    match (verdict.budget, verdict.outcome) {
        (Budget::Free, Outcome::Disrupted) => Next::Retry { after: Duration::ZERO, spent },
        (_, Outcome::Rejected) => Next::End,
        // A rule for its exit code says that it is final.
        (Budget::Never, Outcome::Failed(_)) => Next::End,
        (_, _) => {
            let ends = if ran >= settled { 0 } else { spent.user };
            let retry = &spec.retry;
            // When somebody killed it, they want it replaced now.
            let after = if verdict.outcome == Outcome::Killed {
                Duration::ZERO
            } else {
                doubled(retry.backoff_first, ends, retry.backoff_most)
            };
            Next::Retry { after, spent: Spent { user: ends.saturating_add(1), ..spent } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::group::{Kind, Template};

    const SETTLED: Duration = Duration::from_secs(10);

    fn after(outcome: Outcome, spent: Spent, ran: u64) -> Next {
        let spec = GroupSpec::new("g", Kind::Replica, 1, Template::default());
        next(&spec, spent, Verdict::plain(outcome), Duration::from_secs(ran), SETTLED)
    }

    #[test]
    fn fast_ends_grow_the_back_off_and_a_lasting_run_begins_it_anew() {
        let mut spent = Spent::default();
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            let Next::Retry { after, spent: more } = after(Outcome::Failed(None), spent, 0) else {
                panic!("not replaced");
            };
            assert_eq!(after, Duration::from_secs(wait));
            spent = more;
        }
        let Next::Retry { after, .. } = after(Outcome::Succeeded, spent, 10) else {
            panic!("not replaced");
        };
        assert_eq!(after, Duration::from_secs(1));
    }

    #[test]
    fn a_disrupted_replica_is_replaced_at_once_and_a_wrong_one_never() {
        let spent = Spent { user: 5, ..Spent::default() };
        let at_once = Next::Retry { after: Duration::ZERO, spent };
        assert_eq!(after(Outcome::Disrupted, spent, 0), at_once);
        assert_eq!(after(Outcome::Rejected, spent, 100), Next::End);
    }
}
