//! The Docker containerizer: containers of an engine on this machine, by its socket.
//!
//! It works like `native` behind the same trait. What it must remember is on disk before the engine
//! hears of it (`record`), each container has a task that asks and listens (`life`), and what is
//! asked and what is understood are values (`request`, `outcome`). Nothing waits for the engine but
//! the container that needs it: an agent whose engine is away starts, and runs everything else.

mod ask;
mod engine;
mod life;
mod making;
mod order;
mod outcome;
mod output;
pub(crate) mod pair;
mod record;
mod request;
mod sweep;
#[cfg(test)]
mod tests;
mod told;
mod usage;

pub(crate) use ask::asked;
pub use ask::{DOCKER_NETWORKS, DockerPolicy};

use crate::config::{Config, Layout};
use crate::containerizer::{
    Allocation, ContainerEvent, ContainerId, Containerizer, Launch, LaunchError, Limitation,
    NativeDefaults, Recovered, SandboxChoice, Stdio, limits_of,
};
use engine::Engine;
use life::{Common, Life};
use order::{Answer, Answering, Order};
use record::{Phase, Record, Records, State};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

/// How long the start of an agent waits for the engine's word on one container.
const LOOK: Duration = Duration::from_secs(2);

/// What an agent's containers of Docker have in common.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The agent's name, the same at each start of its work directory.
    pub(crate) agent: String,
    /// The start of the host.
    pub(crate) boot_id: String,
    /// Where sandboxes are made.
    pub(crate) sandboxes: PathBuf,
    pub(crate) defaults: NativeDefaults,
    /// How long a launch waits for an engine that is away.
    pub(crate) engine_wait: Duration,
    /// How long the pull of an image may take.
    pub(crate) pull_timeout: Duration,
}

/// Containers of a Docker engine.
pub(crate) struct Docker {
    common: Arc<Common>,
    lives: HashMap<ContainerId, (UnboundedSender<Order>, Answering)>,
    /// They end with it; what they did is on record.
    tasks: JoinSet<()>,
}

/// The engine that the operator gave to the agent, if any; events go to `events`.
async fn start(
    config: &Config,
    layout: &Layout,
    boot_id: &str,
    events: UnboundedSender<ContainerEvent>,
) -> Option<Docker> {
    let records = Records::new(layout.docker.clone());
    let Some(policy) = &config.policy.docker else {
        let left = records.all().len();
        if left > 0 {
            tracing::error!(left, "containers of Docker are left to themselves; give --docker");
        }
        return None;
    };
    let settings = Settings {
        agent: layout.name.clone(),
        boot_id: boot_id.to_owned(),
        sandboxes: layout.sandboxes.clone(),
        defaults: config.native_defaults(),
        engine_wait: policy.engine_wait,
        pull_timeout: policy.pull_timeout,
    };
    let engine = Engine::new(policy.socket.clone());
    let common = Arc::new(Common { engine, records, settings, events: Mutex::new(events) });
    Some(Docker::resume_all(common).await)
}

impl Docker {
    /// Takes back what a former agent of this work directory gave to the engine. It waits for the
    /// engine only, and not for long, where that agent was killed while it had a container started.
    async fn resume_all(common: Arc<Common>) -> Self {
        let mut docker = Self { common, lives: HashMap::new(), tasks: JoinSet::new() };
        for mut record in docker.common.records.all() {
            if record.state.phase == Phase::Starting {
                let was_started = tokio::time::timeout(LOOK, docker.was_started(&record)).await;
                if was_started == Ok(false) {
                    record.state.phase = Phase::Making;
                    // For the report; if it fails, the container is started after all.
                    let _ = docker.common.records.put(&record.id, &record.state);
                }
            }
            docker.resume(record);
        }
        docker.tasks.spawn(sweep::sweep(docker.common.clone()));
        docker
    }

    /// Whether the engine heard of the start of a container; true if it does not say.
    async fn was_started(&self, record: &Record) -> bool {
        let name = request::name(record.id.as_str());
        match self.common.engine.inspect(&name).await {
            Ok(inspected) => outcome::seen(&inspected, None) != outcome::Seen::Created,
            Err(_) => true,
        }
    }

    /// Of another start of the host nothing runs; what was never started is not started now.
    fn resume(&mut self, mut record: Record) {
        if record.state.boot_id != self.common.settings.boot_id {
            record.state.phase = Phase::Forgotten;
        }
        let life = self.life(record.id, record.state, Answer::Given);
        self.tasks.spawn(life.go_on());
    }

    fn life(&mut self, id: ContainerId, state: State, answer: Answer) -> Life {
        while self.tasks.try_join_next().is_some() {}
        self.lives.retain(|_, (orders, _)| !orders.is_closed());
        let (orders, received) = unbounded_channel();
        let answering = Arc::new(Mutex::new(answer));
        self.lives.insert(id.clone(), (orders, answering.clone()));
        let name = request::name(id.as_str());
        let common = self.common.clone();
        Life { common, id, name, orders: received, answering, state, stopping: false }
    }

    /// Whether a container is one of these.
    pub(crate) fn owns(&self, id: &ContainerId) -> bool {
        self.lives.contains_key(id)
    }

    /// All containers that run, or whose end was not forgotten. Those of this agent whose launch is
    /// not answered are not among them.
    pub(crate) fn report(&self) -> Vec<Recovered> {
        let open = |id: &ContainerId| {
            let answering = self.lives.get(id).map(|(_, answering)| answering);
            answering.is_some_and(|answering| *order::answer(answering) != Answer::Given)
        };
        let reported = |record: &Record| match record.state.phase {
            Phase::Starting | Phase::Running | Phase::Ended => !open(&record.id),
            Phase::Making | Phase::Forgotten => false,
        };
        let boot_id = &self.common.settings.boot_id;
        let mut records = self.common.records.all();
        records.retain(|record| reported(record) && record.state.boot_id == *boot_id);
        records.into_iter().map(|record| told::recovered(record, &self.common.records)).collect()
    }

    /// Another supervisor came, and with it another channel: launches that were not answered are
    /// given up, as all others are. Each is either in the report that follows or given up.
    pub(crate) fn renew(&mut self, events: UnboundedSender<ContainerEvent>) {
        *self.common.events.lock().unwrap_or_else(PoisonError::into_inner) = events;
        for (orders, answering) in self.lives.values() {
            let mut answer = order::answer(answering);
            if *answer == Answer::Open {
                *answer = Answer::Unwanted;
                // It looks at the answer by itself when it comes to it.
                let _ = orders.send(Order::Abandon);
            }
        }
    }

    fn order(&self, id: &ContainerId, order: Order) {
        if let Some((orders, _)) = self.lives.get(id) {
            // One that is over hears nothing any more.
            let _ = orders.send(order);
        }
    }

    fn prepare(&self, launch: &Launch) -> Result<State, LaunchError> {
        if self.owns(&launch.id) {
            return Err(LaunchError::AlreadyExists);
        }
        let settings = &self.common.settings;
        let sandbox = match &launch.sandbox {
            SandboxChoice::Pooled => settings.sandboxes.join(format!("docker-{}", launch.id)),
            SandboxChoice::At(path) => path.clone(),
        };
        let state = State {
            phase: Phase::Making,
            boot_id: settings.boot_id.clone(),
            sandbox,
            pid: 0,
            pid_ticks: None,
            started_boot_ns: 0,
            memory: limits_of(&launch.allocation, settings.defaults).memory_bytes,
            kill_by_unix_ns: None,
            address: None,
            disk_exceeded: None,
            end: None,
        };
        let kept = std::fs::create_dir_all(&state.sandbox).and_then(|()| {
            let shared = launch.shared.as_deref();
            self.common.records.make(&launch.id, &launch.record, shared, &state)
        });
        kept.map_err(|error| LaunchError::Refused(format!("its record cannot be kept: {error}")))?;
        fail::fail_point!("docker-recorded");
        Ok(state)
    }
}

impl Containerizer for Docker {
    /// Launches with such checks are refused (`containers`).
    fn look(&mut self, _: Launch, _: u64, _: Duration) {}

    /// Its programs are run by the engine, not beside them.
    fn enter(&mut self, launch: Launch, number: u64, _: Stdio) {
        let why = "sessions in containers of Docker are not built; use 'docker exec' on its host";
        let result = Err(LaunchError::Impossible(why.into()));
        self.common.tell(ContainerEvent::Entered { id: launch.id, number, result });
    }

    fn signal_session(&mut self, _: u64, _: i32) {}

    fn launch(&mut self, launch: Launch) {
        match self.prepare(&launch) {
            Ok(state) => {
                let life = self.life(launch.id.clone(), state, Answer::Open);
                self.tasks.spawn(life.begin(launch));
            }
            Err(error) => self.common.tell(ContainerEvent::LaunchFailed { id: launch.id, error }),
        }
    }

    fn update(&mut self, id: &ContainerId, allocation: Allocation) {
        self.order(id, Order::Update(limits_of(&allocation, self.common.settings.defaults)));
    }

    fn signal(&mut self, id: &ContainerId, signal: i32) {
        self.order(id, Order::Signal(signal));
    }

    fn kill(&mut self, id: &ContainerId, grace: Duration) {
        self.order(id, Order::Kill(grace));
    }

    fn destroy(&mut self, id: &ContainerId) {
        self.order(id, Order::Kill(Duration::ZERO));
    }

    fn usage(&mut self, id: &ContainerId) {
        self.order(id, Order::Usage);
    }

    fn sample(&mut self, _all: bool) {
        for (orders, _) in self.lives.values() {
            let _ = orders.send(Order::Usage);
        }
    }

    fn exceeded(&mut self, id: &ContainerId, limitation: Limitation) {
        match limitation {
            Limitation::Disk { usage_bytes, limit_bytes } => {
                self.order(id, Order::Exceeded { usage_bytes, limit_bytes });
            }
            Limitation::Memory { .. } => self.destroy(id),
        }
    }

    fn forget(&mut self, id: &ContainerId) {
        self.order(id, Order::Forget);
        self.lives.remove(id);
    }

    fn flush(&mut self) {
        // Orders leave at once.
    }
}
