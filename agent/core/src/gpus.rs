//! Which GPUs a task gets: whole ones, the first that are free, and the same for as long as it runs.
//!
//! How many are free is in the agent's resources, as of everything else. Which they are is chosen
//! here, and is part of a task's launch and of its record: so an agent that is started anew gives
//! none of them to two tasks. An agent that knows no GPUs by name counts them and nothing else.

use crate::state::{Agent, Phase};
use crate::task::Refusal;
use proto::{Reason, Resources, TaskInfo, TaskState};
use std::collections::BTreeSet;
use std::sync::Arc;

/// GPUs by the names that the driver gives them, which stay the same when the host is started anew.
pub type Gpus = Vec<Arc<str>>;

/// What a task holds, in thousandths.
fn held(resources: &Resources) -> u64 {
    resources.scalar("gpus")
}

impl Agent {
    /// The GPUs of tasks that are to be launched together, for each its own.
    ///
    /// Costs nothing for tasks without; else one pass over the agent's tasks.
    pub(crate) fn gpus_for<'a>(
        &self,
        tasks: impl Iterator<Item = &'a TaskInfo> + Clone,
    ) -> Result<Vec<Gpus>, Refusal> {
        if self.options.gpus.is_empty() || tasks.clone().all(|task| held(&task.resources) == 0) {
            return Ok(tasks.map(|_| Gpus::new()).collect());
        }
        let living = self.frameworks.values().flat_map(|framework| framework.tasks.values());
        let living = living.filter(|task| task.phase != Phase::Ended);
        let used: BTreeSet<&Arc<str>> =
            living.filter_map(|task| Some(&task.launched.as_ref()?.gpus)).flatten().collect();
        let mut free = self.options.gpus.iter().filter(|gpu| !used.contains(gpu)).cloned();
        let taken = tasks.map(|task| {
            let milli = held(&task.resources);
            if !milli.is_multiple_of(1000) {
                let message = format!(
                    "Task '{}' asks for {} thousandths of a GPU: tasks get whole ones",
                    task.task_id, milli
                );
                return Err(Refusal::new(TaskState::Error, Reason::TaskInvalid, message));
            }
            let count = usize::try_from(milli / 1000).unwrap_or(usize::MAX);
            let own: Gpus = free.by_ref().take(count).collect();
            if own.len() < count {
                // Where the agent took tasks back with more than it has now.
                let message = format!("Of {count} GPUs {} are free on the agent", own.len());
                return Err(Refusal::new(TaskState::Dropped, Reason::ResourcesUnknown, message));
            }
            Ok(own)
        });
        taken.collect()
    }

    /// Custom executors get theirs at their start, before it is known what their tasks need.
    pub(crate) fn refusal_of_gpus(&self, resources: [&Resources; 2]) -> Option<Refusal> {
        let asked = resources.into_iter().any(|resources| held(resources) > 0);
        (asked && !self.options.gpus.is_empty()).then(|| {
            let message = "Custom executors and their tasks cannot use GPUs";
            Refusal::new(TaskState::Error, Reason::TaskInvalid, message)
        })
    }
}

#[cfg(test)]
mod tests;
