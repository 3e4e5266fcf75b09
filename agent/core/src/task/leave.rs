//! Tasks that end because nobody in the cluster wants them any more: their framework was removed,
//! or this agent was.
//!
//! They are killed and forgotten without a word. An agent that is gone registers anew, with
//! another id, once all of its containers have ended.

use crate::effect::{CheckpointOp, Effect};
use crate::state::{Agent, KillCause, Phase, TaskKey};
use proto::{FrameworkId, Time};
use std::time::Duration;

impl Agent {
    /// The framework is gone: its tasks end, its updates are not wanted.
    pub(crate) fn shutdown_framework(
        &mut self,
        now: Time,
        framework_id: &FrameworkId,
        effects: &mut Vec<Effect>,
    ) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        framework.shutdown = true;
        let keys: Vec<TaskKey> =
            framework.tasks.keys().map(|task| (framework_id.clone(), task.clone())).collect();
        if !framework.is_busy() {
            if framework.recorded {
                effects.push(Effect::Record(CheckpointOp::DeleteFramework(framework_id.clone())));
            }
            self.frameworks.remove(framework_id);
        }
        for key in keys {
            self.abandon(now, &key, None, effects);
        }
        self.shut_down_all(now, Some(framework_id), effects);
    }

    /// The agent's id is gone for ever: everything that belongs to it ends.
    pub(crate) fn leave(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.leaving = true;
        self.tombstones.clear();
        let keys: Vec<TaskKey> = self
            .frameworks
            .iter()
            .flat_map(|(id, f)| f.tasks.keys().map(move |task| (id.clone(), task.clone())))
            .collect();
        for key in keys {
            self.abandon(now, &key, Some(Duration::ZERO), effects);
        }
        self.shut_down_all(now, None, effects);
        self.left(effects);
    }

    /// Ends a task without a word.
    fn abandon(
        &mut self,
        now: Time,
        key: &TaskKey,
        grace: Option<Duration>,
        effects: &mut Vec<Effect>,
    ) {
        self.cancel_retry(key);
        let Some(task) = self.task_mut(key) else { return };
        task.stream.pending.clear();
        if task.phase == Phase::Ended {
            self.complete(key, effects);
            return;
        }
        if task.is_employed() {
            // It ends with its executor.
            task.kill = Some(KillCause::Abandoned);
            return;
        }
        let Some(launched) = &task.launched else { return };
        let info = launched.info.clone();
        let grace = grace.unwrap_or_else(|| self.kill_grace(&info));
        self.order_kill(now, key, KillCause::Abandoned, grace, effects);
    }

    /// The last task of an agent that is gone has ended: it is nobody now, and starts anew.
    pub(crate) fn left(&mut self, effects: &mut Vec<Effect>) {
        let busy = self.frameworks.values().any(|framework| framework.is_busy());
        if !self.leaving || busy || !self.executors.is_empty() {
            return;
        }
        self.leaving = false;
        self.identity = None;
        self.volumes.leave();
        self.nonce = self.random.next();
        for (id, framework) in std::mem::take(&mut self.frameworks) {
            if framework.recorded {
                effects.push(Effect::Record(CheckpointOp::DeleteFramework(id)));
            }
        }
        effects.push(Effect::Persist(CheckpointOp::DeleteAgent));
    }
}

#[cfg(test)]
mod tests;
