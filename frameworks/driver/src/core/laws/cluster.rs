//! A small cluster for the laws: a master and agents in a few lines, without faults of their own.
//!
//! It keeps what really lives, and asserts what no master may ever see from a framework.

use crate::core::{ConnectionId, parse_task_id};
use proto::scheduler::{Call, CallBody, Event, MasterInfo};
use proto::{
    AgentId, FrameworkId, MasterId, Offer, OfferId, Operation, Reason, Resources, Role, Source,
    StatusUuid, TaskId, TaskInfo, TaskState, TaskStatus, Time,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A task as it really is.
struct Task {
    agent: usize,
    resources: Resources,
    state: TaskState,
    /// Updates not acknowledged yet, oldest first.
    updates: Vec<TaskStatus>,
    /// The framework was told that it is out of reach.
    unreachable: bool,
}

#[derive(Default)]
pub(super) struct Cluster {
    pub(super) connection: Option<ConnectionId>,
    framework: Option<FrameworkId>,
    offers: BTreeMap<OfferId, (usize, Resources)>,
    tasks: BTreeMap<TaskId, Task>,
    suppressed: bool,
    numbers: u64,
    /// Every task that was ever launched: a task id is used once.
    launched: BTreeSet<TaskId>,
    /// Kills that arrived.
    pub(super) kills: Vec<TaskId>,
}

const AGENTS: usize = 3;

fn agent(index: usize) -> AgentId {
    AgentId::new(format!("m-S{index}")).unwrap()
}

fn capacity() -> Resources {
    Resources::cpus_mem(2000, 512_000)
}

impl Cluster {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// How many tasks live.
    pub(super) fn living(&self) -> usize {
        self.tasks.values().filter(|task| !task.state.is_terminal()).count()
    }

    pub(super) fn disconnect(&mut self) {
        self.connection = None;
        self.offers.clear();
    }

    /// A call, and what the master answers to it.
    pub(super) fn call(&mut self, now: Time, connection: ConnectionId, call: Call) -> Vec<Event> {
        match call.body {
            CallBody::Subscribe(subscribe) => {
                self.offers.clear();
                self.connection = Some(connection);
                self.suppressed = !subscribe.suppressed_roles.is_empty();
                if let Some(id) = &self.framework {
                    // A framework that lost its id would leave its tasks alone.
                    assert!(call.framework_id.as_ref() == Some(id) || self.tasks.is_empty());
                }
                let number = self.number();
                let fresh = || FrameworkId::new(format!("m-{number:04}")).unwrap();
                let id = call.framework_id.unwrap_or_else(fresh);
                self.framework = Some(id.clone());
                vec![Event::Subscribed {
                    framework_id: id,
                    heartbeat_interval: Duration::from_secs(15),
                    master: MasterInfo {
                        id: MasterId::new("m").unwrap(),
                        hostname: "h".into(),
                        ip: 0,
                        port: 5050,
                        version: "1.11.0".into(),
                    },
                }]
            }
            // Calls of an older connection are not heard.
            _ if self.connection != Some(connection) => Vec::new(),
            body => self.heard(now, body),
        }
    }

    fn heard(&mut self, now: Time, body: CallBody) -> Vec<Event> {
        match body {
            CallBody::Accept { offer_ids, operations, .. } => {
                let mut out = Vec::new();
                for operation in operations {
                    if let Operation::Launch(tasks) = operation {
                        out.extend(self.launch(now, &offer_ids, tasks));
                    }
                }
                for offer in offer_ids {
                    self.offers.remove(&offer);
                }
                out
            }
            CallBody::Decline { offer_ids, .. } => {
                for offer in offer_ids {
                    self.offers.remove(&offer);
                }
                Vec::new()
            }
            CallBody::Revive { .. } => {
                self.suppressed = false;
                Vec::new()
            }
            CallBody::Suppress { .. } => {
                self.suppressed = true;
                Vec::new()
            }
            CallBody::Kill { task_id, .. } => {
                self.kills.push(task_id.clone());
                match self.tasks.get(&task_id).map(|task| task.unreachable) {
                    Some(false) => self.end(now, &task_id, TaskState::Killed, None),
                    Some(true) => {}
                    None => return vec![Event::Update(self.answer(now, &task_id))],
                }
                Vec::new()
            }
            CallBody::Acknowledge { task_id, uuid, .. } => {
                self.acknowledge(&task_id, uuid);
                Vec::new()
            }
            CallBody::Reconcile { tasks } if tasks.is_empty() => {
                let all: Vec<TaskId> = self.tasks.keys().cloned().collect();
                all.iter().map(|id| Event::Update(self.answer(now, id))).collect()
            }
            CallBody::Reconcile { tasks } => {
                tasks.iter().map(|(id, _)| Event::Update(self.answer(now, id))).collect()
            }
            CallBody::Request { .. } => Vec::new(),
            other => panic!("not expected: {}", other.name()),
        }
    }

    fn launch(&mut self, now: Time, offers: &[OfferId], tasks: Vec<TaskInfo>) -> Vec<Event> {
        let mut free = Resources::new();
        let mut at = None;
        for offer in offers {
            let Some((agent, resources)) = self.offers.get(offer) else {
                return tasks.iter().map(|task| Event::Update(dropped(now, task))).collect();
            };
            at = Some(*agent);
            free.add(resources);
        }
        let at = at.expect("an ACCEPT has offers");
        for task in tasks {
            assert!(free.subtract(&task.resources).is_ok(), "L6: {} over its offers", task.task_id);
            let (group, index, _) = parse_task_id(task.task_id.as_str()).unwrap();
            let unit = (group.to_string(), index);
            assert!(self.launched.insert(task.task_id.clone()), "{} used twice", task.task_id);
            let twin = self.tasks.iter().find(|(id, other)| {
                let (group, index, _) = parse_task_id(id.as_str()).unwrap();
                !other.state.is_terminal()
                    && !other.unreachable
                    && (group.to_string(), index) == unit
            });
            assert!(twin.is_none(), "L2: {} beside {}", task.task_id, twin.unwrap().0);
            let (resources, state) = (task.resources, TaskState::Running);
            let id = task.task_id;
            let new = Task { agent: at, resources, state, updates: Vec::new(), unreachable: false };
            self.tasks.insert(id.clone(), new);
            self.report(now, &id, TaskState::Running, None);
        }
        Vec::new()
    }

    fn report(&mut self, now: Time, id: &TaskId, state: TaskState, reason: Option<Reason>) {
        let number = self.number();
        let Some(task) = self.tasks.get_mut(id) else { return };
        let mut status = TaskStatus::new(id.clone(), state, Source::Agent, now);
        status.agent_id = Some(agent(task.agent));
        status.reason = reason;
        let mut uuid = [0; 16];
        uuid[..8].copy_from_slice(&number.to_be_bytes());
        status.uuid = Some(StatusUuid(uuid));
        task.updates.push(status);
    }

    /// A task ends by itself or by our hand.
    pub(super) fn end(&mut self, now: Time, id: &TaskId, state: TaskState, reason: Option<Reason>) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        if task.state.is_terminal() {
            return;
        }
        task.state = state;
        self.report(now, id, state, reason);
    }

    fn acknowledge(&mut self, id: &TaskId, uuid: StatusUuid) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        let first = task.updates.first().is_some_and(|status| status.uuid == Some(uuid));
        if !first {
            return;
        }
        let status = task.updates.remove(0);
        if status.state.is_terminal() {
            self.tasks.remove(id);
        }
    }

    /// The oldest update of each task that is not acknowledged: they come again and again.
    pub(super) fn unacknowledged(&self) -> Vec<Event> {
        let reachable = self.tasks.values().filter(|task| !task.unreachable);
        reachable.filter_map(|task| Some(Event::Update(task.updates.first()?.clone()))).collect()
    }

    fn answer(&self, now: Time, id: &TaskId) -> TaskStatus {
        let state = match self.tasks.get(id) {
            None => TaskState::Gone,
            Some(task) if task.unreachable => TaskState::Unreachable,
            Some(task) => task.updates.first().map_or(task.state, |status| status.state),
        };
        let mut status = TaskStatus::new(id.clone(), state, Source::Master, now);
        status.reason = Some(Reason::Reconciliation);
        status.agent_id = self.tasks.get(id).map(|task| agent(task.agent));
        status
    }

    pub(super) fn living_tasks(&self) -> Vec<TaskId> {
        let living = self.tasks.iter().filter(|(_, task)| !task.state.is_terminal());
        living.map(|(id, _)| id.clone()).collect()
    }

    /// An agent is out of reach, or comes back.
    pub(super) fn set_reach(&mut self, now: Time, which: usize, reachable: bool) -> Vec<Event> {
        let mut out = Vec::new();
        for (id, task) in &mut self.tasks {
            if task.agent == which % AGENTS && task.unreachable == reachable {
                task.unreachable = !reachable;
                let state = if reachable { task.state } else { TaskState::Unreachable };
                let mut status = TaskStatus::new(id.clone(), state, Source::Master, now);
                status.reason = Some(Reason::AgentRemoved);
                status.agent_id = Some(agent(task.agent));
                out.push(Event::Update(status));
            }
        }
        out
    }

    /// An agent's tasks are all gone.
    pub(super) fn lose_agent(&mut self, now: Time, which: usize) -> Vec<Event> {
        let which = which % AGENTS;
        let gone: Vec<TaskId> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.agent == which && !task.state.is_terminal())
            .map(|(id, _)| id.clone())
            .collect();
        for id in &gone {
            self.tasks.remove(id);
        }
        let mut out: Vec<Event> =
            gone.iter().map(|id| Event::Update(self.answer(now, id))).collect();
        let offers: Vec<OfferId> = self.offers_of(which);
        for offer in offers {
            self.offers.remove(&offer);
            out.push(Event::Rescind(offer));
        }
        out
    }

    fn offers_of(&self, which: usize) -> Vec<OfferId> {
        let of = self.offers.iter().filter(|(_, (agent, _))| *agent == which);
        of.map(|(id, _)| id.clone()).collect()
    }

    /// All that is free, as offers.
    pub(super) fn offer(&mut self) -> Option<Event> {
        if self.suppressed || self.connection.is_none() {
            return None;
        }
        let framework = self.framework.clone()?;
        let mut offers = Vec::new();
        for which in 0..AGENTS {
            if !self.offers_of(which).is_empty() {
                continue;
            }
            let mut free = capacity();
            for task in self.tasks.values() {
                if task.agent == which && !task.state.is_terminal() {
                    assert!(free.subtract(&task.resources).is_ok(), "agent {which} over-committed");
                }
            }
            if free.cpus() == 0 {
                continue;
            }
            let number = self.number();
            let id = OfferId::new(format!("m-O{number}")).unwrap();
            self.offers.insert(id.clone(), (which, free.clone()));
            offers.push(Offer {
                id,
                framework_id: framework.clone(),
                agent_id: agent(which),
                hostname: "h".into(),
                port: 5051,
                role: Role::any(),
                resources: free,
                attributes: [].into(),
                domain: None,
                executor_ids: Vec::new(),
                unavailability: None,
            });
        }
        (!offers.is_empty()).then_some(Event::Offers(offers))
    }
}

fn dropped(now: Time, task: &TaskInfo) -> TaskStatus {
    let id = task.task_id.clone();
    let mut status = TaskStatus::new(id, TaskState::Dropped, Source::Master, now);
    status.reason = Some(Reason::InvalidOffers);
    status
}
