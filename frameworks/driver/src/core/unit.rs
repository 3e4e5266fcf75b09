//! A unit of work as the engines hold it: one byte while nothing happened to it, a small record
//! while it is on its way, twenty bytes once it ended.

use super::outcome::{KillCause, Outcome};
use super::record::{PhaseRecord, Spent, UnitRecord};
use proto::{AgentId, Exit, Time};

/// What is known of a unit at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mark {
    /// Never tried.
    Fresh,
    /// On its way: there is an [`OpenUnit`].
    Open,
    /// Over: there is an [`Ended`].
    Ended,
}

/// Agents by dense numbers, for the life of this process.
pub(crate) type AgentOrdinal = u32;

/// No agent.
pub(crate) const NOWHERE: AgentOrdinal = u32::MAX;

/// A unit that waits for another attempt, or has a living one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OpenUnit {
    /// The number of the living attempt, or of the next.
    pub(crate) attempt: u32,
    pub(crate) spent: Spent,
    pub(crate) phase: Phase,
    /// Its earliest deadline, as it stands in the timers.
    pub(crate) due: Option<Time>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Phase {
    /// Since when it waits for its next attempt, and how long it has to.
    Waiting { since: Time, until: Time },
    /// It has a task.
    Live(Live),
}

/// The living attempt of a unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Live {
    pub(crate) agent: AgentOrdinal,
    pub(crate) launched: Time,
    pub(crate) running: Option<Time>,
    pub(crate) unreachable: Option<Time>,
    pub(crate) kill: Option<KillCause>,
    /// Whether there was any news of it.
    pub(crate) heard: bool,
    /// When its state is asked for because there was no news.
    pub(crate) ask_at: Option<Time>,
}

/// A unit that is over, small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) agent: AgentOrdinal,
    /// Attempts that were made; the number of the next, if there ever is one.
    pub(crate) attempts: u32,
    /// How long the last attempt took from its launch, in milliseconds.
    pub(crate) millis: u32,
    exit: i16,
    kind: u8,
}

impl Ended {
    /// Stands where nothing has ended.
    pub(crate) const NONE: Self = Self { agent: NOWHERE, attempts: 0, millis: 0, exit: 0, kind: 0 };

    pub(crate) fn new(outcome: Outcome, agent: AgentOrdinal, attempts: u32, millis: u32) -> Self {
        let small = |number: i32| i16::try_from(number.clamp(-4096, 4096)).unwrap_or(0);
        let (kind, exit) = match outcome {
            Outcome::Succeeded => (0, 0),
            Outcome::Failed(None) => (1, 0),
            Outcome::Failed(Some(Exit::Code(code))) => (2, small(code)),
            Outcome::Failed(Some(Exit::Signal(signal))) => (3, small(signal)),
            Outcome::OomKilled { .. } => (4, 0),
            Outcome::TimedOut => (5, 0),
            Outcome::Rejected => (6, 0),
            Outcome::Disrupted => (7, 0),
            Outcome::SystemLocal => (8, 0),
            Outcome::SystemTransient => (9, 0),
            Outcome::Stuck => (10, 0),
            Outcome::Killed => (11, 0),
            Outcome::PendingTimedOut => (12, 0),
        };
        Self { agent, attempts, millis, exit, kind }
    }

    /// How it ended. The figures of a memory limit are in the record only.
    pub(crate) fn outcome(self) -> Outcome {
        let exit = i32::from(self.exit);
        match self.kind {
            0 => Outcome::Succeeded,
            1 => Outcome::Failed(None),
            2 => Outcome::Failed(Some(Exit::Code(exit))),
            3 => Outcome::Failed(Some(Exit::Signal(exit))),
            4 => Outcome::OomKilled { limit: 0, usage: 0 },
            5 => Outcome::TimedOut,
            6 => Outcome::Rejected,
            7 => Outcome::Disrupted,
            8 => Outcome::SystemLocal,
            9 => Outcome::SystemTransient,
            10 => Outcome::Stuck,
            12 => Outcome::PendingTimedOut,
            _ => Outcome::Killed,
        }
    }
}

impl OpenUnit {
    /// Its durable form.
    pub(crate) fn record(&self, agent_id: impl Fn(AgentOrdinal) -> AgentId) -> UnitRecord {
        let phase = match &self.phase {
            Phase::Waiting { since, until } => {
                PhaseRecord::Waiting { since: *since, until: *until }
            }
            Phase::Live(live) => PhaseRecord::Live {
                agent: agent_id(live.agent),
                launched: live.launched,
                running: live.running,
                unreachable: live.unreachable,
                kill: live.kill,
            },
        };
        UnitRecord { attempt: self.attempt, spent: self.spent, phase }
    }
}

/// The state of a unit for those who look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitState {
    /// Waits for a place.
    Pending,
    /// Waits for the back-off before its next attempt.
    BackingOff,
    /// Has a place; no news of it yet.
    Launched,
    /// Runs.
    Running,
    /// Is being killed.
    Killing,
    /// Its agent is out of reach.
    Unreachable,
    /// Over.
    Ended(Outcome),
}

impl UnitState {
    /// A name for machines and people, such as `backing_off`; of an ended unit, its outcome's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::BackingOff => "backing_off",
            Self::Launched => "launched",
            Self::Running => "running",
            Self::Killing => "killing",
            Self::Unreachable => "unreachable",
            Self::Ended(outcome) => outcome.name(),
        }
    }
}

impl Live {
    pub(crate) fn state(&self) -> UnitState {
        if self.unreachable.is_some() {
            UnitState::Unreachable
        } else if self.kill.is_some() {
            UnitState::Killing
        } else if self.running.is_some() {
            UnitState::Running
        } else {
            UnitState::Launched
        }
    }
}

/// How many units of a group are in which state; the sum is the number of its units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Wait for a place, or for the back-off before their next attempt.
    pub pending: u32,
    /// Have a place; no news of them yet.
    pub launched: u32,
    /// Run.
    pub running: u32,
    /// Are being killed.
    pub killing: u32,
    /// On agents out of reach.
    pub unreachable: u32,
    /// Over and well.
    pub succeeded: u32,
    /// Over and not well.
    pub failed: u32,
    /// Killed by somebody.
    pub killed: u32,
}

impl Counts {
    pub(crate) fn of(&mut self, state: UnitState) -> &mut u32 {
        match state {
            UnitState::Pending | UnitState::BackingOff => &mut self.pending,
            UnitState::Launched => &mut self.launched,
            UnitState::Running => &mut self.running,
            UnitState::Killing => &mut self.killing,
            UnitState::Unreachable => &mut self.unreachable,
            UnitState::Ended(Outcome::Succeeded) => &mut self.succeeded,
            UnitState::Ended(Outcome::Killed) => &mut self.killed,
            UnitState::Ended(_) => &mut self.failed,
        }
    }

    /// Units with a living attempt.
    pub fn live(&self) -> u32 {
        self.launched + self.running + self.killing + self.unreachable
    }

    /// Units that are over.
    pub fn ended(&self) -> u32 {
        self.succeeded + self.failed + self.killed
    }

    /// All units.
    pub fn total(&self) -> u32 {
        self.pending + self.live() + self.ended()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_form_of_an_end_keeps_the_outcome() {
        for outcome in [
            Outcome::Succeeded,
            Outcome::Failed(None),
            Outcome::Failed(Some(Exit::Code(-7))),
            Outcome::Failed(Some(Exit::Code(255))),
            Outcome::Failed(Some(Exit::Signal(15))),
            Outcome::TimedOut,
            Outcome::Rejected,
            Outcome::Disrupted,
            Outcome::SystemLocal,
            Outcome::SystemTransient,
            Outcome::Stuck,
            Outcome::Killed,
            Outcome::PendingTimedOut,
        ] {
            assert_eq!(Ended::new(outcome, 1, 2, 3).outcome(), outcome);
        }
        assert!(size_of::<Ended>() <= 16);
    }
}
