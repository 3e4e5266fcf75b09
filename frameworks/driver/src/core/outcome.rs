//! How an attempt ended, and whose fault it was: one taxonomy, one table, separate budgets.
//!
//! Decided from fields only (state, reason, typed outcome, why we killed it), never from messages.

use super::group::ExitRule;
use proto::{Exit, Reason, TaskState, TaskStatus};
use std::collections::BTreeMap;
use std::fmt;

/// How one attempt of a unit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it should.
    Succeeded,
    /// It failed by itself; how, when anybody saw it.
    Failed(Option<Exit>),
    /// It was killed for using more memory than its limit; bytes, 0 when unknown.
    OomKilled {
        /// The limit.
        limit: u64,
        /// What it used.
        usage: u64,
    },
    /// It ran longer than it may.
    TimedOut,
    /// What it asks for is wrong: trying again would not help.
    Rejected,
    /// The cluster took its place away (drain, preemption, agent lost, launch not delivered).
    Disrupted,
    /// Its agent failed it.
    SystemLocal,
    /// The platform failed it for a moment.
    SystemTransient,
    /// There was no news of it for too long.
    Stuck,
    /// Somebody killed it.
    Killed,
    /// No place was found in time; it never ran.
    PendingTimedOut,
}

/// Who pays for another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// The unit's own failures.
    User,
    /// The platform's failures.
    Platform,
    /// Attempts that ran too long.
    Timeout,
    /// Nobody: it is run again without counting.
    Free,
    /// It is not run again.
    Never,
}

impl Outcome {
    /// Which budget another attempt is charged to.
    pub fn budget(self) -> Budget {
        match self {
            Self::Failed(_) | Self::OomKilled { .. } => Budget::User,
            Self::TimedOut => Budget::Timeout,
            Self::SystemLocal | Self::SystemTransient | Self::Stuck => Budget::Platform,
            Self::Disrupted => Budget::Free,
            Self::Succeeded | Self::Rejected | Self::Killed | Self::PendingTimedOut => {
                Budget::Never
            }
        }
    }

    /// A name for machines and people, such as `oom_killed`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed(_) => "failed",
            Self::OomKilled { .. } => "oom_killed",
            Self::TimedOut => "timed_out",
            Self::Rejected => "rejected",
            Self::Disrupted => "disrupted",
            Self::SystemLocal => "system_local",
            Self::SystemTransient => "system_transient",
            Self::Stuck => "stuck",
            Self::Killed => "killed",
            Self::PendingTimedOut => "pending_timed_out",
        }
    }

    /// The exit code in a shell's way: signals count as 128 + n.
    pub fn exit_code(self) -> Option<i32> {
        match self {
            Self::Succeeded => Some(0),
            Self::Failed(Some(exit)) => Some(shell_code(exit)),
            Self::OomKilled { .. } => Some(137),
            Self::Failed(None)
            | Self::TimedOut
            | Self::Rejected
            | Self::Disrupted
            | Self::SystemLocal
            | Self::SystemTransient
            | Self::Stuck
            | Self::Killed
            | Self::PendingTimedOut => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(Some(Exit::Code(code))) => write!(f, "failed with exit code {code}"),
            Self::Failed(Some(Exit::Signal(signal))) => write!(f, "failed by signal {signal}"),
            Self::OomKilled { limit, usage } if *limit > 0 => {
                write!(f, "out of memory: used {usage} of {limit} bytes")
            }
            Self::OomKilled { .. } => f.write_str("out of memory"),
            Self::TimedOut => f.write_str("ran longer than its limit"),
            Self::PendingTimedOut => f.write_str("found no place in time"),
            Self::SystemLocal => f.write_str("its agent failed it"),
            Self::SystemTransient => f.write_str("the platform failed it for a moment"),
            Self::Stuck => f.write_str("no news of it for too long"),
            Self::Succeeded
            | Self::Failed(None)
            | Self::Rejected
            | Self::Disrupted
            | Self::Killed => f.write_str(self.name()),
        }
    }
}

fn shell_code(exit: Exit) -> i32 {
    match exit {
        Exit::Code(code) => code,
        Exit::Signal(signal) => signal.saturating_add(128),
    }
}

/// Why we killed a task; decides what its end counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KillCause {
    /// Its owner wants it gone.
    Owner,
    /// It ran longer than it may.
    RunLimit,
    /// There was no news of it for too long.
    Stuck,
}

/// What a final status means; with what the group says of exit codes.
///
/// The second part is `true` when a rule for the exit code said to fail: no retry then.
pub fn classify(
    status: &TaskStatus,
    kill: Option<KillCause>,
    on_exit: &BTreeMap<i32, ExitRule>,
) -> Verdict {
    let outcome = outcome_of(status, kill);
    let Outcome::Failed(Some(exit)) = outcome else { return Verdict::plain(outcome) };
    match on_exit.get(&shell_code(exit)) {
        None => Verdict::plain(outcome),
        Some(ExitRule::Succeed) => Verdict::plain(Outcome::Succeeded),
        Some(ExitRule::Fail) => Verdict { outcome, budget: Budget::Never },
        Some(ExitRule::Retry) => Verdict { outcome, budget: Budget::Free },
        Some(ExitRule::Disrupted) => Verdict::plain(Outcome::Disrupted),
    }
}

/// An outcome and who pays for another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How it ended.
    pub outcome: Outcome,
    /// Who pays; differs from the outcome's own budget only by a rule for its exit code.
    pub budget: Budget,
}

impl Verdict {
    /// The outcome with its own budget.
    pub fn plain(outcome: Outcome) -> Self {
        Self { outcome, budget: outcome.budget() }
    }
}

fn outcome_of(status: &TaskStatus, kill: Option<KillCause>) -> Outcome {
    match status.state {
        TaskState::Finished => Outcome::Succeeded,
        TaskState::Error => Outcome::Rejected,
        TaskState::Failed => failed(status),
        TaskState::Killed => killed(status.reason, kill),
        TaskState::Dropped => dropped(status.reason),
        // A state that is not final never gets here; for the rest the place is gone.
        TaskState::Lost
        | TaskState::Gone
        | TaskState::GoneByOperator
        | TaskState::Unknown
        | TaskState::Unreachable
        | TaskState::Staging
        | TaskState::Starting
        | TaskState::Running
        | TaskState::Killing => lost(status.reason, kill),
    }
}

fn failed(status: &TaskStatus) -> Outcome {
    let limit = status.outcome.as_ref().and_then(|outcome| outcome.limit.as_ref());
    let exit = status.outcome.as_ref().and_then(|outcome| outcome.exit);
    if let Some(hit) = limit.filter(|hit| &*hit.resource == "mem") {
        return Outcome::OomKilled { limit: hit.limit, usage: hit.usage };
    }
    match status.reason {
        Some(Reason::ContainerLimitationMemory) => Outcome::OomKilled { limit: 0, usage: 0 },
        Some(Reason::MaxCompletionTimeReached) => Outcome::TimedOut,
        Some(Reason::TaskInvalid | Reason::TaskUnauthorized) => Outcome::Rejected,
        Some(Reason::TaskGroupInvalid | Reason::TaskGroupUnauthorized) => Outcome::Rejected,
        Some(
            Reason::AgentDraining
            | Reason::ContainerPreempted
            | Reason::AgentRemoved
            | Reason::AgentRemovedByOperator
            | Reason::AgentRestarted
            | Reason::AgentDisconnected
            | Reason::AgentRebooted
            | Reason::FrameworkRemoved,
        ) => Outcome::Disrupted,
        Some(
            Reason::ContainerLaunchFailed
            | Reason::ContainerUpdateFailed
            | Reason::ExecutorRegistrationTimeout
            | Reason::ExecutorReregistrationTimeout
            | Reason::ExecutorUnregistered
            | Reason::IoSwitchboardExited
            | Reason::GcError
            | Reason::SupervisorLost
            | Reason::CheckpointCorrupt
            | Reason::TaskUnkillable
            | Reason::ResourcesUnknown,
        ) => Outcome::SystemLocal,
        Some(
            Reason::CommandExecutorFailed
            | Reason::ExecutorTerminated
            | Reason::ContainerLimitation
            | Reason::ContainerLimitationDisk
            | Reason::InvalidFrameworkId
            | Reason::InvalidOffers
            | Reason::MasterDisconnected
            | Reason::Reconciliation
            | Reason::AgentUnknown
            | Reason::TaskUnknown
            | Reason::TaskCheckStatusUpdated
            | Reason::TaskHealthCheckStatusUpdated
            | Reason::TaskKilledDuringLaunch
            | Reason::AgentReregistered,
        )
        | None => Outcome::Failed(exit),
    }
}

fn killed(reason: Option<Reason>, kill: Option<KillCause>) -> Outcome {
    match reason {
        Some(Reason::AgentDraining | Reason::ContainerPreempted) if kill.is_none() => {
            Outcome::Disrupted
        }
        Some(Reason::MaxCompletionTimeReached) => Outcome::TimedOut,
        _ => match kill {
            Some(KillCause::Owner) | None => Outcome::Killed,
            Some(KillCause::RunLimit) => Outcome::TimedOut,
            Some(KillCause::Stuck) => Outcome::Stuck,
        },
    }
}

fn dropped(reason: Option<Reason>) -> Outcome {
    match reason {
        Some(Reason::ResourcesUnknown | Reason::GcError | Reason::ContainerLaunchFailed) => {
            Outcome::SystemLocal
        }
        Some(Reason::ExecutorTerminated | Reason::ExecutorRegistrationTimeout) => {
            Outcome::SystemTransient
        }
        _ => Outcome::Disrupted,
    }
}

/// The place is gone; that counts as the end we were working towards, if we were.
fn lost(reason: Option<Reason>, kill: Option<KillCause>) -> Outcome {
    match (kill, reason) {
        (Some(KillCause::Owner), _) => Outcome::Killed,
        (Some(KillCause::RunLimit), _) => Outcome::TimedOut,
        (_, Some(Reason::SupervisorLost | Reason::CheckpointCorrupt)) => Outcome::SystemLocal,
        (Some(KillCause::Stuck) | None, _) => Outcome::Disrupted,
    }
}

#[cfg(test)]
mod tests;
