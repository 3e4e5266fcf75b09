//! Limits above what a task asked for, changed while it runs.
//!
//! What is reserved for it stays as it is, so nobody's books change: only what it may use beyond
//! that. They are put in force first and recorded then: a crash between the two leaves limits that
//! were asked for, and an order without an answer.

use crate::effect::{CheckpointOp, Effect};
use crate::input::{Launch, TaskRecord};
use crate::state::Agent;
use crate::task::task_record;
use proto::{ContainerId, ExecutorId};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Limits by the name of their resource, in thousandths; `None` is no limit.
pub type Limits = BTreeMap<Arc<str>, Option<u64>>;

/// Why limits of a task cannot be changed so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitsRefused {
    /// No such container of a task runs.
    NoContainer(ContainerId),
    /// The container is that of a custom executor, which shares it among its tasks.
    OfExecutor(ExecutorId),
    /// Nothing is to be changed.
    Nothing,
    /// Of this there are no limits: only of cpus and mem.
    Unknown(Arc<str>),
    /// The task asked for nothing of it.
    NotAsked(Arc<str>),
    /// Below what it asked for.
    TooLow {
        /// Of what.
        name: Arc<str>,
        /// What was to be, in thousandths.
        limit: u64,
        /// What the task asked for.
        asked: u64,
    },
    /// Above what the agent has.
    TooHigh {
        /// Of what.
        name: Arc<str>,
        /// What was to be, in thousandths.
        limit: u64,
        /// All that the agent has.
        total: u64,
    },
}

/// Thousandths, for people.
struct Milli(u64);

impl fmt::Display for Milli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:03}", self.0 / 1000, self.0 % 1000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl fmt::Display for LimitsRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoContainer(id) => {
                write!(f, "no container {id} of a task is running on this agent")
            }
            Self::OfExecutor(id) => write!(
                f,
                "the container is that of executor {id}: it may use what the executor and its \
                 tasks ask for together, with their limits, and is changed with its tasks only"
            ),
            Self::Nothing => f.write_str("limits: name at least one, of cpus or mem"),
            Self::Unknown(name) => {
                write!(f, "limits: there are limits of cpus and mem, not of {name}")
            }
            Self::NotAsked(name) => {
                write!(f, "limits.{name}: the task asked for no {name}, so it has no limit of it")
            }
            Self::TooLow { name, limit, asked } => write!(
                f,
                "limits.{name}: {} is less than the {} that the task asked for",
                Milli(*limit),
                Milli(*asked)
            ),
            Self::TooHigh { name, limit, total } => write!(
                f,
                "limits.{name}: {} is more than the {} that this agent has; leave it without a \
                 limit (Infinity), or give at most that",
                Milli(*limit),
                Milli(*total)
            ),
        }
    }
}

impl Agent {
    /// The launch of a running task as it would be with these limits; those that are not named stay.
    ///
    /// # Errors
    /// Why they cannot be.
    pub fn with_limits(&self, id: &ContainerId, limits: &Limits) -> Result<Launch, LimitsRefused> {
        if let Some(executor) = self.executors.get(id) {
            return Err(LimitsRefused::OfExecutor(executor.info.executor_id.clone()));
        }
        let launch = self.launch_of(id);
        let mut launch = launch.ok_or_else(|| LimitsRefused::NoContainer(id.clone()))?;
        if limits.is_empty() {
            return Err(LimitsRefused::Nothing);
        }
        for (name, limit) in limits {
            if !matches!(&**name, "cpus" | "mem") {
                return Err(LimitsRefused::Unknown(name.clone()));
            }
            let asked = launch.task.resources.scalar(name);
            if asked == 0 {
                return Err(LimitsRefused::NotAsked(name.clone()));
            }
            let Some(limit) = *limit else { continue };
            let (name, total) = (name.clone(), self.total().scalar(name));
            if limit < asked {
                return Err(LimitsRefused::TooLow { name, limit, asked });
            }
            if limit > total.max(asked) {
                return Err(LimitsRefused::TooHigh { name, limit, total });
            }
        }
        let changed = limits.iter().map(|(name, limit)| (name.clone(), *limit));
        Arc::make_mut(&mut launch.task).limits.extend(changed);
        Ok(launch)
    }

    /// These limits are in force.
    pub(crate) fn limits_changed(
        &mut self,
        id: &ContainerId,
        limits: &Limits,
        effects: &mut Vec<Effect>,
    ) {
        // It may have ended meanwhile.
        let Ok(launch) = self.with_limits(id, limits) else { return };
        let key = (launch.framework_id.clone(), launch.task.task_id.clone());
        let launched = self.task_mut(&key).and_then(|task| task.launched.as_mut());
        if let Some(launched) = launched {
            launched.info = launch.task.clone();
            effects.push(Effect::Persist(CheckpointOp::PutTask(task_record(&launch))));
        }
    }
}

/// A task that is taken back has the limits that are on record: they may have been changed since its
/// launch, of which its supervisor tells.
pub(crate) fn keep_limits(record: &TaskRecord, launch: &mut Launch) {
    if record.task.limits != launch.task.limits {
        Arc::make_mut(&mut launch.task).limits.clone_from(&record.task.limits);
    }
}

#[cfg(test)]
mod tests;
