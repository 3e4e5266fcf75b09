//! A small world for the tests: an agent, its clock, and what it has decided.

use crate::{Agent, CheckpointOp, Container, Effect, Exited, Input, Launch, Options, Recovered};
use proto::agent_link::{AgentCall, AgentEvent};
use proto::{
    AgentId, AgentInfo, Capability, ContainerId, Exit, FrameworkId, FrameworkInfo, MasterId,
    Resources, Role, TaskId, TaskInfo, TaskOutcome, TaskPayload, TaskState, TaskStatus, TaskUsage,
    Time,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) fn agent_info() -> AgentInfo {
    AgentInfo {
        id: None,
        hostname: "127.0.0.1".into(),
        port: 5051,
        resources: Resources::cpus_mem(4_000, 1_024_000),
        attributes: Vec::new(),
        domain: None,
    }
}

pub(crate) fn options() -> Options {
    Options::new(agent_info(), "0.1.0", "boot-1")
}

pub(crate) fn framework_id() -> FrameworkId {
    FrameworkId::new("F1").unwrap()
}

/// A framework that understands partitions and TASK_KILLING.
pub(crate) fn framework() -> FrameworkInfo {
    let mut info = FrameworkInfo::new("root", "test");
    info.id = Some(framework_id());
    info.capabilities =
        [Capability::PartitionAware, Capability::TaskKillingState].into_iter().collect();
    info
}

pub(crate) fn plain_framework() -> FrameworkInfo {
    FrameworkInfo { capabilities: Default::default(), ..framework() }
}

pub(crate) fn agent_id() -> AgentId {
    AgentId::new("M-S0").unwrap()
}

pub(crate) fn key(task: &str) -> (FrameworkId, TaskId) {
    (framework_id(), TaskId::new(task).unwrap())
}

/// A command task with one cpu and 64 MB.
pub(crate) fn task(id: &str) -> TaskInfo {
    TaskInfo {
        name: id.into(),
        task_id: TaskId::new(id).unwrap(),
        agent_id: agent_id(),
        resources: Resources::cpus_mem(1_000, 64_000),
        allocation_role: None,
        limits: BTreeMap::new(),
        executor: None,
        kill_grace: None,
        max_completion_time: None,
        payload: TaskPayload {
            bytes: Arc::from([].as_slice()),
            has_command: true,
            has_container: false,
            checks: None,
        },
    }
}

/// What is on the agent's disk, as the shell keeps it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) recovered: Recovered,
}

impl Disk {
    pub(crate) fn apply(&mut self, op: &CheckpointOp) {
        let at = &mut self.recovered;
        match op.clone() {
            CheckpointOp::PutAgent(record) => at.agent = Some(*record),
            CheckpointOp::DeleteAgent => (at.agent, at.volumes) = (None, None),
            CheckpointOp::PutFramework(info) => {
                at.frameworks.retain(|other| other.id != info.id);
                at.frameworks.push(info);
            }
            CheckpointOp::DeleteFramework(id) => {
                at.frameworks.retain(|other| other.id.as_ref() != Some(&id));
            }
            CheckpointOp::PutTask(record) => {
                let task_id = record.task.task_id.clone();
                at.tasks.retain(|r| {
                    (&r.framework_id, &r.task.task_id) != (&record.framework_id, &task_id)
                });
                at.tasks.push(record);
            }
            CheckpointOp::PutUpdates(record) => {
                at.updates.retain(|r| {
                    (&r.framework_id, &r.task_id) != (&record.framework_id, &record.task_id)
                });
                at.updates.push(record);
            }
            CheckpointOp::DeleteTask { framework_id, task_id } => {
                let here = (&framework_id, &task_id);
                at.tasks.retain(|r| (&r.framework_id, &r.task.task_id) != here);
                at.updates.retain(|r| (&r.framework_id, &r.task_id) != here);
            }
            CheckpointOp::PutSandbox(record) => at.sandboxes.push(record),
            CheckpointOp::DeleteSandbox { container_id } => {
                at.sandboxes.retain(|r| r.container_id != container_id);
            }
            CheckpointOp::PutVolumes(record) => at.volumes = Some(record),
            CheckpointOp::PutEpoch(record) => at.epoch = Some(record),
        }
    }
}

/// An agent with its disk and its supervisor.
pub(crate) struct World {
    pub(crate) agent: Agent,
    pub(crate) now: Time,
    /// Effects since they were last taken.
    pub(crate) effects: Vec<Effect>,
    pub(crate) disk: Disk,
    /// The disk as it was when something last had to be durable.
    pub(crate) durable: Disk,
    /// What the supervisor knows.
    pub(crate) containers: BTreeMap<ContainerId, Container>,
    /// Orders to kill, in order.
    pub(crate) kills: Vec<(ContainerId, Duration)>,
    pub(crate) link: u64,
    /// In which the master leads.
    pub(crate) epoch: u64,
    pub(crate) seed: u64,
}

impl World {
    /// A fresh agent that has asked for its first stream.
    pub(crate) fn fresh() -> Self {
        Self::with(options(), Recovered::default())
    }

    pub(crate) fn with(options: Options, recovered: Recovered) -> Self {
        Self::seeded(options, recovered, 7, Time::from_millis(1_000_000))
    }

    /// Each start of an agent has another seed.
    pub(crate) fn seeded(options: Options, recovered: Recovered, seed: u64, now: Time) -> Self {
        let containers =
            recovered.containers.iter().map(|c| (c.container_id.clone(), c.clone())).collect();
        let disk = Disk { recovered: Recovered { containers: Vec::new(), ..recovered.clone() } };
        let mut world = Self {
            agent: Agent::new(options, seed, recovered, now),
            seed,
            now,
            effects: Vec::new(),
            durable: disk.clone(),
            disk,
            containers,
            kills: Vec::new(),
            link: 0,
            epoch: 0,
        };
        world.step(Input::Tick);
        world
    }

    /// An agent that is part of the cluster.
    pub(crate) fn registered() -> Self {
        let mut world = Self::fresh();
        world.register();
        world.effects.clear();
        world
    }

    /// Answers the stream and the registration that wait.
    pub(crate) fn register(&mut self) {
        self.step(Input::LinkUp { link: self.link });
        let again = self.agent.agent_id().is_some();
        let (agent_id, master_id) = (agent_id(), MasterId::new("M").unwrap());
        self.hear(if again {
            AgentEvent::Reregistered {
                agent_id,
                master_id,
                ping_timeout: PING_TIMEOUT,
                reconcile: Vec::new(),
            }
        } else {
            AgentEvent::Registered { agent_id, master_id, ping_timeout: PING_TIMEOUT }
        });
        assert!(self.agent.is_registered());
    }

    pub(crate) fn step(&mut self, input: Input) {
        let mut effects = Vec::new();
        if let Input::LaunchFailed { container_id, .. } = &input {
            self.containers.remove(container_id);
        }
        self.agent.step(self.now, input, &mut effects);
        self.agent.check(self.now).unwrap();
        for effect in &effects {
            match effect {
                Effect::Record(op) => self.disk.apply(op),
                Effect::Persist(op) => {
                    self.disk.apply(op);
                    self.durable = self.disk.clone();
                }
                Effect::Connect { link } => self.link = *link,
                Effect::Kill { container_id, grace } => {
                    self.kills.push((container_id.clone(), *grace));
                }
                Effect::Launch(launch) => {
                    let container = self.container(launch);
                    let known = self.containers.insert(launch.container_id.clone(), container);
                    assert!(known.is_none(), "a container is launched once");
                }
                Effect::Forget { container_id } => {
                    self.durable = self.disk.clone();
                    assert!(self.containers.remove(container_id).is_some(), "{container_id}");
                }
                _ => {}
            }
        }
        self.effects.extend(effects);
    }

    fn container(&self, launch: &Launch) -> Container {
        Container {
            container_id: launch.container_id.clone(),
            launch: Some(launch.clone()),
            started: self.now,
            sandbox: format!("/s/{}", launch.container_id).into(),
            address: None,
            exited: None,
            remains: false,
            kill_requested: false,
        }
    }

    pub(crate) fn hear(&mut self, event: AgentEvent) {
        self.step(Input::FromMaster { link: self.link, epoch: self.epoch, event });
    }

    /// Lets time pass and hands out the ticks that are due on the way.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(at) = self.agent.deadline().filter(|at| *at <= until) {
            self.now = at;
            self.step(Input::Tick);
        }
        self.now = until;
    }

    pub(crate) fn run(&mut self, task: TaskInfo) {
        self.run_as(framework(), task);
    }

    pub(crate) fn run_as(&mut self, framework: FrameworkInfo, task: TaskInfo) {
        let framework = Arc::new(framework);
        self.hear(AgentEvent::Run { framework, role: Role::any(), tasks: vec![task] });
    }

    pub(crate) fn container_of(&self, task: &str) -> ContainerId {
        let mut found = self.containers.values().filter(|c| {
            c.launch.as_ref().is_some_and(|launch| launch.task.task_id.as_str() == task)
        });
        found.next().expect("the task has a container").container_id.clone()
    }

    pub(crate) fn launched(&mut self, task: &str) {
        let container_id = self.container_of(task);
        let sandbox = self.containers[&container_id].sandbox.clone();
        let address = self.containers[&container_id].address;
        self.step(Input::Launched { container_id, sandbox, address });
    }

    /// Runs a task up to its TASK_RUNNING.
    pub(crate) fn running(&mut self, id: &str) {
        self.run(task(id));
        self.launched(id);
    }

    pub(crate) fn exit(&mut self, task: &str, exited: Exited) {
        let container_id = self.container_of(task);
        self.containers.get_mut(&container_id).unwrap().exited = Some(exited.clone());
        self.step(Input::Exited { container_id, exited });
    }

    pub(crate) fn kill(&mut self, task: &str, grace: Option<Duration>) {
        let (framework_id, task_id) = key(task);
        self.hear(AgentEvent::Kill { framework_id, task_id, grace, draining: false });
    }

    /// The agent is drained.
    pub(crate) fn drain(&mut self, task: &str) {
        let (framework_id, task_id) = key(task);
        self.hear(AgentEvent::Kill { framework_id, task_id, grace: None, draining: true });
    }

    /// The updates that were sent since the effects were last cleared.
    pub(crate) fn sent(&self) -> Vec<TaskStatus> {
        let updates = self.effects.iter().filter_map(|effect| match effect {
            Effect::ToMaster { call: AgentCall::Update { status, .. }, .. } => {
                Some(TaskStatus::clone(status))
            }
            _ => None,
        });
        updates.collect()
    }

    pub(crate) fn states(&self) -> Vec<TaskState> {
        self.sent().iter().map(|status| status.state).collect()
    }

    pub(crate) fn last(&self) -> TaskStatus {
        self.sent().pop().expect("an update was sent")
    }

    pub(crate) fn acknowledge(&mut self, status: &TaskStatus) {
        self.hear(AgentEvent::Acknowledge {
            framework_id: framework_id(),
            task_id: status.task_id.clone(),
            uuid: status.uuid.expect("an agent's update has a uuid"),
        });
    }

    pub(crate) fn acknowledge_last(&mut self) {
        let last = self.last();
        self.acknowledge(&last);
    }

    /// What a new process finds after this one was killed.
    pub(crate) fn found(&self) -> Recovered {
        Recovered {
            containers: self.containers.values().cloned().collect(),
            supervisor_continued: true,
            ..self.disk.recovered.clone()
        }
    }

    /// SIGKILL of the agent, and a new one; the supervisor stays.
    pub(crate) fn restart(self) -> Self {
        let recovered = self.found();
        let mut world = Self::seeded(options(), recovered, self.seed + 1, self.now);
        world.epoch = self.epoch;
        world
    }
}

pub(crate) fn exited(exit: Exit) -> Exited {
    Exited {
        outcome: TaskOutcome {
            exit: Some(exit),
            limit: None,
            usage: Some(TaskUsage { wall_time: Duration::from_secs(1), ..TaskUsage::default() }),
        },
        kill_requested: false,
        lost_output: 0,
        victim: None,
        sandbox: None,
    }
}

pub(crate) fn killed_by(signal: i32) -> Exited {
    Exited { kill_requested: true, ..exited(Exit::Signal(signal)) }
}
