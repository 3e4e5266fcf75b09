//! Agents that fail units by their own fault are avoided for a while, as long as there are others.
//!
//! It only remembers; whether there are others is for the caller to know.

use super::outcome::Outcome;
use super::unit::AgentOrdinal;
use proto::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// So many failures in a row make an agent one to avoid.
const FAILURES: u32 = 3;
/// For how long after the last.
pub(crate) const AVOIDED: Duration = Duration::from_secs(30);

/// Failures of agents since their last success.
#[derive(Debug, Default)]
pub(crate) struct Blame {
    failures: BTreeMap<AgentOrdinal, (u32, Time)>,
}

impl Blame {
    /// An attempt on the agent ended so.
    pub(crate) fn ended(&mut self, now: Time, agent: AgentOrdinal, outcome: Outcome) {
        match outcome {
            Outcome::SystemLocal | Outcome::Stuck => {
                let (count, last) = self.failures.entry(agent).or_insert((0, now));
                *count += 1;
                *last = now;
            }
            // It started a task and saw its end: it works.
            Outcome::Succeeded | Outcome::Failed(_) | Outcome::OomKilled { .. } => {
                self.failures.remove(&agent);
            }
            Outcome::TimedOut
            | Outcome::Rejected
            | Outcome::Disrupted
            | Outcome::SystemTransient
            | Outcome::Killed
            | Outcome::PendingTimedOut => {}
        }
    }

    /// Whether the agent is to be avoided.
    pub(crate) fn avoids(&self, now: Time, agent: AgentOrdinal) -> bool {
        let blamed = |(count, last): &(u32, Time)| *count >= FAILURES && now.since(*last) < AVOIDED;
        self.failures.get(&agent).is_some_and(blamed)
    }

    /// How many agents are to be avoided.
    pub(crate) fn avoided(&self, now: Time) -> usize {
        self.failures.keys().filter(|agent| self.avoids(now, **agent)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_are_remembered_for_a_while() {
        let mut blame = Blame::default();
        let now = Time::from_millis(1000);
        for _ in 0..2 {
            blame.ended(now, 7, Outcome::SystemLocal);
        }
        assert!(!blame.avoids(now, 7));
        blame.ended(now, 7, Outcome::Stuck);
        assert!(blame.avoids(now, 7) && !blame.avoids(now, 8));
        assert_eq!(blame.avoided(now), 1);
        assert!(!blame.avoids(now + AVOIDED, 7));
        blame.ended(now, 7, Outcome::Failed(None));
        assert!(!blame.avoids(now, 7));
    }
}
