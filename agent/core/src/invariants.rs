//! What is always true of an agent. The simulator checks it after every step.

use crate::group::group_executor;
use crate::state::{Agent, Phase, Task, TaskKey, Timer};
use crate::status_updates::is_sight;
use crate::volumes::claim;
use proto::{Resources, TaskId, Time, Transition};
use std::collections::BTreeSet;

/// A broken invariant: a bug in this core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its number.
    pub id: &'static str,
    /// What is wrong.
    pub text: String,
}

/// Every invariant: number and sentence. docs/ARCHITECTURE.md repeats them.
pub const INVARIANTS: &[(&str, &str)] = &[
    (
        "A1",
        "An update is under way only while the agent is registered, and it is the oldest one of its task that waits.",
    ),
    (
        "A2",
        "The updates of a task that wait follow the life of a task, where one that tells of a check repeats its state, an end comes last, and the newest one is the task's state.",
    ),
    ("A3", "What is free and what living tasks hold add up to what the agent has."),
    ("A4", "Tasks and containers know each other one to one."),
    (
        "A5",
        "An ended task is kept only while an update of it waits, and an abandoned one not at all.",
    ),
    ("A6", "Kills that came before their launches are remembered up to a limit."),
    (
        "A7",
        "Each update under way, each limited run and each check of a running task has exactly one timer, and there are no others.",
    ),
    ("A8", "An agent without an id has no tasks."),
    ("A9", "After a step nothing is overdue."),
    ("A10", "Updates of a task that wait have distinct uuids."),
    ("A11", "No living task uses a volume that is being deleted."),
    ("A12", "What a registered agent obeyed last was said in the newest epoch that it has seen."),
    (
        "A13",
        "Custom executors, their tasks and their frameworks know each other; one that is waited for has one timer, and one that has ended is kept only while tasks of it are.",
    ),
    (
        "A14",
        "A group is its living tasks, of which it has at least one, and each of them is in it.",
    ),
];

fn broken(id: &'static str, text: impl Into<String>) -> Result<(), Violation> {
    Err(Violation { id, text: text.into() })
}

impl Agent {
    /// Checks all invariants; `now` is the time of the last step.
    ///
    /// # Errors
    /// The first one that is broken.
    pub fn check(&self, now: Time) -> Result<(), Violation> {
        let mut held = self.free.clone();
        let mut timers = BTreeSet::new();
        let mut containers = 0;
        for (framework_id, framework) in &self.frameworks {
            for (task_id, task) in &framework.tasks {
                let key = (framework_id.clone(), task_id.clone());
                self.check_task(&key, task)?;
                self.check_queue(&key, task)?;
                let mut uuids = BTreeSet::new();
                for status in &task.stream.pending {
                    if !status.uuid.is_some_and(|uuid| uuids.insert(uuid)) {
                        return broken("A10", format!("task {key:?}: {:?}", status.uuid));
                    }
                }
                let expected = [
                    task.stream.in_flight.map(|f| (f.retry_at, Timer::Retry)),
                    task.completion.map(|at| (at, Timer::Completion)),
                    task.death.map(|at| (at, Timer::Death)),
                ];
                let checks = task.watch.iter().flat_map(|watch| watch.timers());
                timers.extend(
                    expected
                        .into_iter()
                        .flatten()
                        .chain(checks)
                        .map(|(at, t)| (at, t, key.0.clone(), key.1.clone())),
                );
                containers += usize::from(
                    task.container_id().is_some_and(|id| self.containers.get(id) == Some(&key)),
                );
                if let Some(launched) = task.launched.as_ref().filter(|l| l.holds) {
                    held.add(&claim(&launched.info.resources));
                }
            }
        }
        if containers != self.containers.len() {
            return broken("A4", format!("{containers} of {} containers", self.containers.len()));
        }
        if timers != self.timers {
            return broken("A7", format!("expected {timers:?}, have {:?}", self.timers));
        }
        for executor in self.executors.values().filter(|executor| executor.holds) {
            held.add(&executor.info.resources);
        }
        for group in self.groups.values().filter(|group| group.holds) {
            held.add(&group.info.resources);
        }
        self.check_executors()?;
        self.check_groups()?;
        self.check_whole(now, &held)
    }

    fn check_executors(&self) -> Result<(), Violation> {
        let timers: BTreeSet<_> = self
            .executors
            .iter()
            .filter_map(|(id, executor)| Some((executor.waits?.0, id.clone())))
            .collect();
        if timers != self.executor_timers {
            return broken("A13", format!("expected {timers:?}, have {:?}", self.executor_timers));
        }
        for (id, executor) in &self.executors {
            let framework = self.frameworks.get(&executor.framework_id);
            let listed = framework.is_some_and(|framework| {
                framework.executors.get(&executor.info.executor_id) == Some(id)
            });
            let over = executor.phase == Phase::Ended;
            let idle = executor.tasks.is_empty();
            if listed == over || (over && (idle || executor.holds || executor.waits.is_some())) {
                return broken("A13", format!("executor {id} in {:?}", executor.phase));
            }
            let tasks = executor.tasks.iter();
            let mut keys = tasks.map(|task| (executor.framework_id.clone(), task.clone()));
            let own =
                |key: TaskKey| self.task(&key).is_some_and(|task| task.container_id() == Some(id));
            if !keys.all(own) {
                return broken("A13", format!("executor {id} has a task that is not there"));
            }
        }
        let listed: usize = self.frameworks.values().map(|f| f.executors.len()).sum();
        let living = self.executors.values().filter(|e| e.phase != Phase::Ended).count();
        if listed != living {
            return broken("A13", format!("{listed} executors of frameworks, {living} live"));
        }
        Ok(())
    }

    fn check_groups(&self) -> Result<(), Violation> {
        let mut living = 0;
        for ((framework_id, executor_id), group) in &self.groups {
            let lives = |id: &TaskId| {
                let task = self.task(&(framework_id.clone(), id.clone()));
                task.is_some_and(|task| {
                    task.phase != Phase::Ended && task.executor_id() == Some(executor_id)
                })
            };
            if group.tasks.is_empty() || !group.tasks.iter().all(lives) {
                return broken("A14", format!("group {executor_id} of {framework_id}"));
            }
            living += group.tasks.len();
        }
        let tasks = self.frameworks.values().flat_map(|framework| framework.tasks.values());
        let grouped = |task: &&Task| {
            let launched = task.launched.as_ref().filter(|_| task.phase != Phase::Ended);
            launched.is_some_and(|launched| group_executor(&launched.info).is_some())
        };
        let all = tasks.filter(grouped).count();
        if all != living {
            return broken("A14", format!("{living} of {all} tasks of groups"));
        }
        Ok(())
    }

    fn check_whole(&self, now: Time, held: &Resources) -> Result<(), Violation> {
        if held != self.total() {
            return broken("A3", format!("{held} of {}", self.total()));
        }
        let tombs = &self.tombstones;
        if tombs.len() > self.options.tombstones_max || !tombs.is_consistent() {
            return broken("A6", format!("{} tombstones", tombs.len()));
        }
        if self.identity.is_none() && self.frameworks.values().any(|f| !f.tasks.is_empty()) {
            return broken("A8", "there are tasks");
        }
        let used = self.volumes_in_use();
        if let Some(volume) = self.volumes.being_deleted().find(|v| used.contains_key(*v)) {
            return broken("A11", volume.to_string());
        }
        if self.link.is_registered() && !self.obeys_the_newest() {
            return broken("A12", format!("{:?}", self.epochs));
        }
        // Sandboxes name containers, never the other way round.
        if !self.sandboxes.is_consistent() {
            return broken("A4", "a sandbox waits that is not known");
        }
        match self.deadline() {
            Some(at) if at <= now && self.start.is_empty() => {
                broken("A9", format!("{at} at {now}"))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn check_task(&self, key: &TaskKey, task: &Task) -> Result<(), Violation> {
        if task.phase == Phase::Ended && task.stream.pending.is_empty() {
            return broken("A5", format!("task {key:?} is over"));
        }
        if task.is_abandoned() && (task.phase == Phase::Ended || !task.stream.pending.is_empty()) {
            return broken("A5", format!("task {key:?} is abandoned"));
        }
        let living = task.phase != Phase::Ended;
        let known = task.container_id().is_some_and(|id| match task.is_employed() {
            true => self.executors.get(id).is_some_and(|e| e.tasks.contains(&key.1)),
            false => self.containers.get(id) == Some(key),
        });
        if living && !known {
            return broken("A4", format!("task {key:?} has no container"));
        }
        let watched = task.watch.as_ref().is_some_and(|watch| !watch.is_over());
        if watched && (task.phase != Phase::Running || task.kill.is_some()) {
            return broken("A7", format!("task {key:?} is looked at"));
        }
        if task.launched.as_ref().is_some_and(|launched| launched.holds && !living) {
            return broken("A3", format!("task {key:?} ended and holds resources"));
        }
        Ok(())
    }

    fn check_queue(&self, key: &TaskKey, task: &Task) -> Result<(), Violation> {
        let pending = &task.stream.pending;
        if task.stream.in_flight.is_some() && (!self.link.is_registered() || pending.is_empty()) {
            return broken("A1", format!("task {key:?}"));
        }
        if self.link.is_registered() && !pending.is_empty() && task.stream.in_flight.is_none() {
            return broken("A1", format!("task {key:?} waits and nothing is under way"));
        }
        let advances = pending.iter().zip(pending.iter().skip(1)).all(|(a, b)| {
            match a.state.transition(b.state) {
                Transition::Advance => true,
                // A custom executor tells what it likes.
                Transition::Repeat => is_sight(b) || task.is_employed(),
                Transition::Stale => false,
            }
        });
        let newest = pending.back().is_none_or(|status| status.state == task.state);
        let ended = task.state.is_terminal() == (task.phase == Phase::Ended);
        if !advances || !newest || !(ended || task.is_abandoned()) {
            return broken("A2", format!("task {key:?} in {} {:?}", task.state, task.phase));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
