//! The supervisor was lost, and its tasks with it: what another one knows, and what is left of them.

use crate::effect::{Effect, Note};
use crate::input::Container;
use crate::state::{Agent, KillCause, Phase, TaskKey};
use crate::task::supervisor_lost;
use proto::{ContainerId, Time};
use std::collections::BTreeSet;
use std::time::Duration;

impl Agent {
    /// What is left of a task whose supervisor was lost was killed: it holds what the task holds, and
    /// is shown as what it is, until it ends.
    pub(super) fn end_remains(&mut self, now: Time, key: &TaskKey, effects: &mut Vec<Effect>) {
        if self.task(key).is_some_and(|task| task.phase == Phase::Running) {
            self.order_kill(now, key, KillCause::SupervisorLost, Duration::ZERO, effects);
        }
    }

    /// The supervisor was lost and another one runs: what it does not know has ended unseen.
    pub(crate) fn supervisor_restarted(
        &mut self,
        now: Time,
        containers: Vec<Container>,
        effects: &mut Vec<Effect>,
    ) {
        let known: BTreeSet<ContainerId> =
            containers.iter().map(|container| container.container_id.clone()).collect();
        let mut lost: Vec<TaskKey> = Vec::new();
        self.containers.retain(|id, key| {
            let keep = known.contains(id);
            if !keep {
                lost.push(key.clone());
            }
            keep
        });
        self.strays.retain(|id| known.contains(id));
        let mut tasks = self.executors_lost(now, &known, effects);
        for key in lost {
            let Some(task) = self.task(&key).filter(|task| task.phase != Phase::Ended) else {
                continue;
            };
            tasks += 1;
            let sandbox = task.launched.as_ref().and_then(|launched| launched.sandbox.clone());
            self.end(now, &key, Some(supervisor_lost()), sandbox, effects);
        }
        for container in containers {
            let id = container.container_id.clone();
            if self.executors.contains_key(&id) {
                self.executor_found(now, &id, container, effects);
                continue;
            }
            if !self.containers.contains_key(&id) {
                self.stray(id, container.exited.is_some(), effects);
                continue;
            }
            let started = (container.started, None);
            let at = (container.sandbox, container.address);
            self.container_launched(now, &id, started, at, effects);
            if let Some(key) = self.key_of(&id).filter(|_| container.remains) {
                self.end_remains(now, &key, effects);
            }
            if let Some(exited) = container.exited {
                self.container_exited(now, &id, exited, effects);
            }
        }
        effects.push(Effect::Note(Note::SupervisorLost { tasks }));
    }
}
