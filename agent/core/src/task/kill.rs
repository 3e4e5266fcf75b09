//! Killing a task: one order to the supervisor, which does the rest (TERM, grace, KILL of the
//! whole container) even when the agent is away.
//!
//! A kill of a task that is not here is remembered for a while: a launch that comes later than
//! its kill is refused.

use crate::effect::{Effect, Note};
use crate::state::{Agent, KillCause, Phase, TaskKey, Timer};
use crate::status_updates::Report;
use proto::{Reason, Time};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// What is said of a task whose processes do not end.
pub(crate) const UNKILLABLE: &str = "Unkillable: its processes were killed and have not ended; they keep its \
                          resources until they do";

/// Kills that came before their launches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tombstones {
    /// Oldest first; each with the time when it is forgotten.
    order: VecDeque<(Time, TaskKey)>,
    keys: BTreeSet<TaskKey>,
}

impl Tombstones {
    fn insert(&mut self, key: TaskKey, until: Time, limit: usize) {
        if self.keys.insert(key.clone()) {
            self.order.push_back((until, key));
        }
        while self.order.len() > limit {
            if let Some((_, key)) = self.order.pop_front() {
                self.keys.remove(&key);
            }
        }
    }

    pub(crate) fn contains(&self, key: &TaskKey) -> bool {
        self.keys.contains(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn is_consistent(&self) -> bool {
        self.order.len() == self.keys.len()
            && self.order.iter().all(|(_, key)| self.keys.contains(key))
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.order.front().map(|(until, _)| *until)
    }

    pub(crate) fn expire(&mut self, now: Time) {
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, key)) = self.order.pop_front() {
                self.keys.remove(&key);
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Agent {
    /// The master orders a kill. Repeated orders can only bring the end nearer.
    pub(crate) fn kill(
        &mut self,
        now: Time,
        key: TaskKey,
        cause: KillCause,
        grace: Option<Duration>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(task) = self.task(&key) else {
            let until = now + self.options.tombstone_life;
            self.tombstones.insert(key, until, self.options.tombstones_max);
            return;
        };
        let Some(launched) = task.launched.as_ref().filter(|_| task.phase != Phase::Ended) else {
            return;
        };
        if let Some(container_id) = self.executor_of(&key) {
            self.kill_by_executor(now, &key, &container_id, (cause, grace), effects);
            return;
        }
        if let Some(group) = self.group_of(&key) {
            self.kill_group(now, &group, (cause, grace), effects);
            return;
        }
        let grace = grace.unwrap_or_else(|| self.kill_grace(&launched.info));
        self.order_kill(now, &key, cause, grace, effects);
    }

    /// Orders the kill of a living task. The first cause stays (`Task::doom` names the exceptions).
    pub(crate) fn order_kill(
        &mut self,
        now: Time,
        key: &TaskKey,
        cause: KillCause,
        grace: Duration,
        effects: &mut Vec<Effect>,
    ) {
        let after = self.options.unkillable_after;
        let Some(task) = self.task_mut(key) else { return };
        let Some(container_id) = task.container_id().cloned() else { return };
        task.doom(cause);
        self.end_looking(key);
        let Some(task) = self.task_mut(key) else { return };
        let running = task.phase == Phase::Running;
        let (at, earlier) = (now + grace + after, task.death);
        if earlier.is_none_or(|earlier| at < earlier) {
            task.death = Some(at);
            if let Some(earlier) = earlier {
                self.timers.remove(&(earlier, Timer::Death, key.0.clone(), key.1.clone()));
            }
            self.timers.insert((at, Timer::Death, key.0.clone(), key.1.clone()));
        }
        effects.push(Effect::Kill { container_id, grace });
        if running && cause != KillCause::Abandoned {
            self.report_killing(now, key, effects);
        }
    }

    /// An agent before this one ordered its kill: how long ago, and with how much grace, nobody
    /// knows any more.
    pub(crate) fn expect_death(&mut self, now: Time, key: &TaskKey) {
        let Some(launched) = self.task(key).and_then(|task| task.launched.as_ref()) else { return };
        let at = now + self.kill_grace(&launched.info) + self.options.unkillable_after;
        self.end_looking(key);
        let Some(task) = self.task_mut(key) else { return };
        if task.death.is_none() && task.phase == Phase::Running {
            task.death = Some(at);
            self.timers.insert((at, Timer::Death, key.0.clone(), key.1.clone()));
        }
    }

    /// Its processes were killed and have not ended, as those that wait in the kernel for a file
    /// server that does not answer: they hold what they hold, and so does the task, until they end.
    pub(crate) fn outlived_its_kill(
        &mut self,
        now: Time,
        key: &TaskKey,
        effects: &mut Vec<Effect>,
    ) {
        let again = now + self.options.unkillable_after;
        let Some(task) = self.task_mut(key) else { return };
        task.death = None;
        match task.phase {
            Phase::Running => {}
            Phase::Launching => {
                // Its kill comes after its start.
                task.death = Some(again);
                self.timers.insert((again, Timer::Death, key.0.clone(), key.1.clone()));
                return;
            }
            Phase::Ended => return,
        }
        let (state, abandoned) = (task.state, task.is_abandoned());
        let (framework_id, task_id) = key.clone();
        effects.push(Effect::Note(Note::Unkillable { framework_id, task_id }));
        if !abandoned {
            let report = Report::of_agent(state, Reason::TaskUnkillable, UNKILLABLE);
            self.report_again(now, key, report, effects);
        }
    }
}

#[cfg(test)]
mod tests;
