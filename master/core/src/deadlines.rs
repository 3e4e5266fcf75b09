//! Everything that will happen by itself, ordered by time.
//!
//! An entity that leaves takes its deadlines along, so none ever fires for a stranger.

use crate::table::{AgentOrd, FrameworkOrd};
use proto::Time;
use std::collections::BTreeSet;

/// What happens then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deadline {
    /// Recovered agents that are not back are unreachable.
    RecoveryOver,
    /// What runs on recovered agents that are not back counts for no quota any more.
    QuotaRecoveryOver,
    /// The next ping of a connected agent, or the end of waiting for a disconnected one.
    Agent(AgentOrd),
    /// The longest grace of the agent's drain is over.
    Drain(AgentOrd),
    /// The framework's scheduler did not come back.
    Failover(FrameworkOrd),
    /// The framework hears that nothing is new.
    Heartbeat(FrameworkOrd),
    /// The framework may be asked again to leave the agent.
    Inverse { agent: AgentOrd, framework: FrameworkOrd },
    /// The framework is owed more answers.
    Reconcile(FrameworkOrd),
    /// The offer was not answered. Stands nowhere: the offers themselves know it.
    Offer(u64),
    /// Some demands of a framework end.
    Demand(FrameworkOrd),
    /// Some filters of an agent end.
    Filters(AgentOrd),
    /// The framework did not acknowledge the statuses of its operations.
    OperationStatuses(FrameworkOrd),
    /// Operations whose frameworks did not come back to this master are forgotten.
    StrayOperations,
}

/// The deadlines.
#[derive(Debug, Default)]
pub(crate) struct Deadlines(BTreeSet<(Time, Deadline)>);

impl Deadlines {
    pub(crate) fn set(&mut self, at: Time, what: Deadline) {
        self.0.insert((at, what));
    }

    pub(crate) fn clear(&mut self, at: Time, what: Deadline) {
        self.0.remove(&(at, what));
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.0.first().map(|(at, _)| *at)
    }

    /// The first one.
    pub(crate) fn first(&self) -> Option<(Time, Deadline)> {
        self.0.first().copied()
    }

    /// Takes out the first one that is due.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<Deadline> {
        let first = *self.0.first()?;
        (first.0 <= now).then(|| {
            self.0.remove(&first);
            first.1
        })
    }

    pub(crate) fn contains(&self, at: Time, what: Deadline) -> bool {
        self.0.contains(&(at, what))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
