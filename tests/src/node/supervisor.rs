//! A host's supervisor and its process table: it survives the agent and dies with the host.
//!
//! It does what it is told and remembers how processes ended until it may forget them. How a
//! process behaves follows from the seed and its task's id, never from time or order.

use crate::prng::Prng;
use agent_core::{Container, Exited, Launch};
use proto::{ContainerId, Exit, LimitHit, TaskOutcome, Time};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How a process behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conduct {
    /// Why it cannot be started at all.
    pub(crate) unable: Option<Arc<str>>,
    /// When it ends by itself, and how.
    pub(crate) end: Option<(Duration, TaskOutcome)>,
    /// How long it takes to obey TERM; without, it ignores it.
    pub(crate) obeys: Option<Duration>,
}

fn exit(exit: Exit) -> TaskOutcome {
    TaskOutcome { exit: Some(exit), limit: None, usage: None }
}

impl Conduct {
    /// Of a task: its kind is the first word of its id (`ok`, `flaky`, `failing`, `long`,
    /// `stubborn`; anything else is one of them by chance).
    pub(crate) fn of(seed: u64, task_id: &str) -> Self {
        let mut random = Prng::new(seed).split(task_id);
        let word = task_id.split(['-', '.']).next().unwrap_or_default();
        let kinds = ["ok", "flaky", "failing", "long", "stubborn"];
        let kind = if kinds.contains(&word) { word } else { kinds[random.index(kinds.len())] };
        let brief = if random.percent(30) { (0, 5) } else { (10, 20_000) };
        let lasts = random.millis(brief.0, brief.1);
        let obeys = Some(random.millis(0, 500));
        let end = |outcome| Some((lasts, outcome));
        match kind {
            "long" => Self { unable: None, end: None, obeys },
            "stubborn" => Self { unable: None, end: None, obeys: None },
            "failing" => Self { unable: None, end: end(exit(Exit::Code(3))), obeys },
            "flaky" if random.percent(10) => {
                Self { unable: Some(Arc::from("no such file")), end: None, obeys }
            }
            "flaky" if random.percent(10) => {
                let limit = Some(LimitHit { resource: Arc::from("mem"), usage: 2, limit: 1 });
                let outcome = TaskOutcome { limit, ..exit(Exit::Signal(9)) };
                Self { unable: None, end: end(outcome), obeys }
            }
            "flaky" if random.percent(40) => {
                Self { unable: None, end: end(exit(Exit::Code(1))), obeys }
            }
            _ => Self { unable: None, end: end(exit(Exit::Code(0))), obeys },
        }
    }
}

/// One process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// What was launched.
    pub(crate) launch: Launch,
    started: Time,
    sandbox: Arc<str>,
    kill_requested: bool,
    exited: Option<Exited>,
}

impl Process {
    /// Whether it runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.exited.is_none()
    }

    fn container(&self) -> Container {
        Container {
            container_id: self.launch.container_id.clone(),
            launch: Some(self.launch.clone()),
            started: self.started,
            sandbox: self.sandbox.clone(),
            address: None,
            exited: self.exited.clone(),
            remains: false,
            kill_requested: self.kill_requested,
        }
    }
}

/// The processes of one host.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    processes: BTreeMap<ContainerId, Process>,
}

impl Supervisor {
    /// Starts a process; gives its sandbox.
    pub(crate) fn start(&mut self, now: Time, launch: Launch) -> Arc<str> {
        let sandbox: Arc<str> = format!("/sandboxes/{}", launch.container_id).into();
        let id = launch.container_id.clone();
        let process = Process {
            launch,
            started: now,
            sandbox: sandbox.clone(),
            kill_requested: false,
            exited: None,
        };
        self.processes.insert(id, process);
        sandbox
    }

    /// A living process.
    pub(crate) fn alive(&self, id: &ContainerId) -> Option<&Process> {
        self.processes.get(id).filter(|process| process.is_alive())
    }

    /// All living processes.
    pub(crate) fn living(&self) -> impl Iterator<Item = &Process> {
        self.processes.values().filter(|process| process.is_alive())
    }

    /// Notes that the process was told to end; false when it is not alive.
    pub(crate) fn ask_to_end(&mut self, id: &ContainerId) -> bool {
        let process = self.processes.get_mut(id).filter(|process| process.is_alive());
        process.map(|process| process.kill_requested = true).is_some()
    }

    /// A process ends; nothing when it did before.
    pub(crate) fn end(&mut self, id: &ContainerId, outcome: TaskOutcome) -> Option<Exited> {
        let process = self.processes.get_mut(id).filter(|process| process.is_alive())?;
        let exited = Exited {
            outcome,
            lost_output: 0,
            victim: None,
            kill_requested: process.kill_requested,
            sandbox: Some(process.sandbox.clone()),
        };
        process.exited = Some(exited.clone());
        Some(exited)
    }

    /// Drops what is known of an ended process.
    pub(crate) fn forget(&mut self, id: &ContainerId) {
        self.processes.remove(id);
    }

    /// The report to a starting agent.
    pub(crate) fn report(&self) -> Vec<Container> {
        self.processes.values().map(Process::container).collect()
    }

    /// Everything dies and is forgotten; gives the containers that were alive.
    pub(crate) fn lose_all(&mut self) -> Vec<ContainerId> {
        let lost = std::mem::take(&mut self.processes);
        lost.into_iter().filter(|(_, process)| process.is_alive()).map(|(id, _)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conduct_follows_from_the_seed_and_the_id_alone() {
        for n in 0..50 {
            let id = format!("flaky-0.{n}.0");
            assert_eq!(Conduct::of(1, &id), Conduct::of(1, &id));
        }
        assert!(Conduct::of(1, "long-3.0.0").end.is_none());
        assert!(Conduct::of(1, "stubborn-3.0.0").obeys.is_none());
        let ends = |seed| Conduct::of(seed, "ok-1.0.0").end;
        assert_ne!(ends(1), ends(2));
    }
}
