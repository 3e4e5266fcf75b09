//! The limits that the agent itself watches: how long a task may run.
//!
//! Memory, processes and cpu time are enforced by the kernel; the supervisor tells of them when
//! the container has ended.

use crate::effect::Effect;
use crate::state::{Agent, KillCause, Phase, TaskKey};
use proto::Time;

impl Agent {
    /// A task has run for as long as it may: it is killed, and will be FAILED with
    /// REASON_MAX_COMPLETION_TIME_REACHED.
    pub(crate) fn completion_time_reached(
        &mut self,
        now: Time,
        key: &TaskKey,
        effects: &mut Vec<Effect>,
    ) {
        let Some(task) = self.task_mut(key) else { return };
        task.completion = None;
        if task.phase == Phase::Running && task.kill.is_none() {
            let grace = task.launched.as_ref().map(|launched| launched.info.clone());
            let grace = grace.map_or(self.options.kill_grace, |info| self.kill_grace(&info));
            self.order_kill(now, key, KillCause::CompletionTime, grace, effects);
        }
    }
}
