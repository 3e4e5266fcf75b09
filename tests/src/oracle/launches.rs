//! Every launch that the master accepted: it happens once, and its framework hears the end of it.
//!
//! I2: no task is lost in silence. I17: what is repeated on the way has no second effect.

use super::{TaskKey, Verdict, broken};
use proto::{FrameworkId, TaskState};
use std::collections::{BTreeMap, BTreeSet};

/// All launches, with the last thing that their frameworks were told, or the end if it was told.
#[derive(Debug, Default)]
pub(super) struct Launches(BTreeMap<TaskKey, Option<TaskState>>);

impl Launches {
    /// The master sends a task to an agent.
    pub(super) fn accepted(&mut self, key: TaskKey) -> Verdict {
        if self.0.contains_key(&key) {
            return broken("I17", format!("task {} of {} is launched twice", key.1, key.0));
        }
        self.0.insert(key, None);
        Ok(())
    }

    /// The framework is told of it.
    pub(super) fn told(&mut self, key: &TaskKey, state: TaskState) {
        if let Some(last) = self.0.get_mut(key)
            && !last.is_some_and(TaskState::is_terminal)
        {
            *last = Some(state);
        }
    }

    /// Whether every framework that is not over knows the end of every task that does not live.
    pub(super) fn all_told(
        &self,
        living: &BTreeSet<TaskKey>,
        is_over: impl Fn(&FrameworkId) -> bool,
    ) -> Result<(), String> {
        let lost = self.0.iter().find(|(key, told)| {
            let ended = told.is_some_and(TaskState::is_terminal);
            // The framework may have given it up since; if not, it waits for it, and that is seen.
            let given_up = matches!(told, Some(TaskState::Unreachable | TaskState::Unknown));
            !ended && !given_up && !living.contains(*key) && !is_over(&key.0)
        });
        match lost {
            None => Ok(()),
            Some(((framework, task), told)) => Err(format!(
                "I2: task {task} does not live; {framework} was told {}",
                told.map_or("nothing", TaskState::name)
            )),
        }
    }
}
