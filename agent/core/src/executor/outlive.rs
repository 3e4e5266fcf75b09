//! Executors that were killed and do not end, as those whose processes wait in the kernel: they and
//! their tasks keep what they hold, and people are told.

use super::Wait;
use crate::effect::{Effect, Note};
use crate::state::{Agent, Phase, TaskKey};
use crate::status_updates::Report;
use crate::task::{UNKILLABLE, supervisor_lost};
use proto::{ContainerId, Reason, TaskState, Time};
use std::time::Duration;

impl Agent {
    /// Ends an executor by signals, KILL after this grace, and waits for its end.
    pub(super) fn kill_executor(
        &mut self,
        now: Time,
        container_id: &ContainerId,
        grace: Duration,
        effects: &mut Vec<Effect>,
    ) {
        let until = now + grace + self.options.unkillable_after;
        self.wait_for(container_id, Some((until, Wait::Death)));
        effects.push(Effect::Kill { container_id: container_id.clone(), grace });
    }

    /// An agent before this one ordered its kill: how long ago nobody knows any more.
    pub(super) fn expect_executor_death(&mut self, now: Time, container_id: &ContainerId) {
        let default = self.options.executor_shutdown_grace;
        let Some(executor) = self.executors.get_mut(container_id) else { return };
        executor.ending = true;
        let grace = executor.info.shutdown_grace().ok().flatten().unwrap_or(default);
        let until = now + grace + self.options.unkillable_after;
        self.wait_for(container_id, Some((until, Wait::Death)));
    }

    /// What is left of an executor whose supervisor was lost was killed: it ends as lost when it
    /// does.
    pub(crate) fn end_executor_remains(
        &mut self,
        now: Time,
        container_id: &ContainerId,
        effects: &mut Vec<Effect>,
    ) {
        let executor = self.executors.get_mut(container_id);
        let Some(executor) = executor.filter(|executor| executor.phase != Phase::Ended) else {
            return;
        };
        let lost = supervisor_lost();
        if let (Some(reason), Some(message)) = (lost.reason, lost.message) {
            executor.doom = Some((lost.state, reason, message));
        }
        executor.ending = true;
        self.kill_executor(now, container_id, Duration::ZERO, effects);
    }

    /// Its processes were killed and have not ended.
    pub(super) fn executor_outlived_its_kill(
        &mut self,
        now: Time,
        container_id: &ContainerId,
        effects: &mut Vec<Effect>,
    ) {
        self.wait_for(container_id, None);
        let again = now + self.options.unkillable_after;
        let Some(executor) = self.executors.get(container_id) else { return };
        match executor.phase {
            Phase::Running => {}
            // Its kill comes after its start.
            Phase::Launching => {
                return self.wait_for(container_id, Some((again, Wait::Death)));
            }
            Phase::Ended => return,
        }
        let (framework_id, executor_id) =
            (executor.framework_id.clone(), executor.info.executor_id.clone());
        let running = self.living(executor).filter(|(_, task)| task.phase == Phase::Running);
        let told: Vec<(TaskKey, TaskState)> =
            running.map(|(id, task)| ((framework_id.clone(), id.clone()), task.state)).collect();
        effects.push(Effect::Note(Note::UnkillableExecutor { framework_id, executor_id }));
        for (key, state) in told {
            let report = Report::of_agent(state, Reason::TaskUnkillable, UNKILLABLE);
            self.report_again(now, &key, report, effects);
        }
    }
}
