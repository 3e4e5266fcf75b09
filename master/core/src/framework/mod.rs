//! Frameworks: their record, and how it enters and leaves the tables.
//!
//! One file per command: `subscribe`, `disconnect`, `teardown`, `suppress_revive`, `request`,
//! `update`, `state`, and `heartbeat`, which no command asks for. `footprint` weighs what a framework says of itself.

pub(crate) mod constraints;
pub(crate) mod disconnect;
pub(crate) mod footprint;
pub(crate) mod heartbeat;
pub(crate) mod request;
pub(crate) mod state;
pub(crate) mod subscribe;
pub(crate) mod suppress_revive;
pub(crate) mod teardown;
pub(crate) mod update;

use crate::agent::Agent;
use crate::allocator::demand::DemandBook;
use crate::deadlines::Deadline;
use crate::framework::constraints::Constraints;
use crate::input::ConnectionId;
use crate::operation::Repeat;
use crate::registry::CompletedFramework;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use crate::task::reconcile::Reconciling;
use crate::task::{PastTask, Task};
use proto::{Capability, FrameworkId, FrameworkInfo, Resources, Role, TaskId, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// A framework.
#[derive(Debug)]
pub(crate) struct Framework {
    pub(crate) id: FrameworkId,
    /// With its id.
    pub(crate) info: Arc<FrameworkInfo>,
    /// Its event stream; it is connected while it has one.
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) registered: Time,
    pub(crate) reregistered: Option<Time>,
    /// Whether it has not subscribed with this master yet.
    pub(crate) recovered: bool,
    /// When it will be removed, while it is not connected.
    pub(crate) failover_deadline: Option<Time>,
    pub(crate) heartbeat_at: Option<Time>,
    pub(crate) suppressed: BTreeSet<Role>,
    pub(crate) demand: DemandBook,
    pub(crate) reconciling: Reconciling,
    /// When the statuses of its operations that it did not acknowledge are repeated.
    pub(crate) repeat: Option<Repeat>,
    /// Which agents it wants offers of.
    pub(crate) constraints: Constraints,
    /// Agents for whose absence it was asked to leave, or has answered.
    pub(crate) asked: BTreeSet<AgentOrd>,
    /// Whether any of its tasks ever had a custom executor.
    pub(crate) uses_executors: bool,
    pub(crate) offers: BTreeSet<u64>,
    /// Living tasks, and ended ones whose last update is not acknowledged. In boxes, as in a tree much
    /// of the room is free.
    pub(crate) tasks: BTreeMap<TaskId, Box<Task>>,
    /// Tasks on unreachable agents.
    pub(crate) unreachable: BTreeMap<TaskId, Box<Task>>,
    /// The ids of `unreachable`, oldest first.
    pub(crate) unreachable_order: VecDeque<TaskId>,
    /// Ended tasks, oldest first.
    pub(crate) completed: VecDeque<PastTask>,
    /// The resources of the task added last: a framework's tasks are often alike, and then share.
    pub(crate) last_resources: Arc<Resources>,
}

/// A framework that is over.
#[derive(Debug)]
pub(crate) struct PastFramework {
    pub(crate) facts: CompletedFramework,
    pub(crate) tasks: VecDeque<PastTask>,
}

impl PastFramework {
    pub(crate) fn without_tasks(facts: CompletedFramework) -> Self {
        Self { facts, tasks: VecDeque::new() }
    }
}

impl Framework {
    pub(crate) fn has(&self, capability: Capability) -> bool {
        self.info.capabilities.has(capability)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Whether offers may be made to it in this role.
    pub(crate) fn is_eligible_in(&self, role: &Role) -> bool {
        self.connection.is_some()
            && self.info.roles.contains(role)
            && !self.suppressed.contains(role)
    }
}

impl Master {
    /// Adds a framework that is not connected.
    pub(crate) fn add_framework(&mut self, info: FrameworkInfo, registered: Time) -> FrameworkOrd {
        let id = info.id.clone().expect("a framework is added with its id");
        let ord = self.frameworks.insert(Framework {
            id: id.clone(),
            info: Arc::new(info),
            connection: None,
            registered,
            reregistered: None,
            recovered: true,
            failover_deadline: None,
            heartbeat_at: None,
            suppressed: BTreeSet::new(),
            demand: DemandBook::default(),
            reconciling: Reconciling::default(),
            repeat: None,
            constraints: Constraints::default(),
            asked: BTreeSet::new(),
            uses_executors: false,
            offers: BTreeSet::new(),
            tasks: BTreeMap::new(),
            unreachable: BTreeMap::new(),
            unreachable_order: VecDeque::new(),
            completed: VecDeque::new(),
            last_resources: Arc::new(Resources::new()),
        });
        let known = self.framework_ids.insert(id, ord);
        assert!(known.is_none(), "a framework is added once");
        self.seat_framework(ord);
        ord
    }

    /// Tells the sorter in which roles the framework stands, and in which it gets offers.
    pub(crate) fn seat_framework(&mut self, ord: FrameworkOrd) {
        self.set_minimum(ord, !self.frameworks[ord].info.min_allocatable.is_empty());
        let framework = &self.frameworks[ord];
        self.publisher.framework(&framework.id);
        let sorter = &mut self.allocator.sorter;
        for seat in sorter.seats_of(ord) {
            if !framework.info.roles.contains(sorter.role_of(seat)) {
                sorter.unsubscribe(seat);
            }
        }
        for role in &framework.info.roles {
            sorter.subscribe(role, ord, framework.is_eligible_in(role));
        }
    }

    /// Sets or clears the time at which the framework will be removed. Keeps M9.
    pub(crate) fn set_failover_deadline(&mut self, ord: FrameworkOrd, at: Option<Time>) {
        let framework = &mut self.frameworks[ord];
        if let Some(old) = framework.failover_deadline.take() {
            self.deadlines.clear(old, Deadline::Failover(ord));
        }
        framework.failover_deadline = at;
        self.publisher.framework(&framework.id);
        if let Some(at) = at {
            self.deadlines.set(at, Deadline::Failover(ord));
        }
    }

    /// Sets or clears the time of the next heartbeat. Keeps M9.
    pub(crate) fn set_heartbeat(&mut self, ord: FrameworkOrd, at: Option<Time>) {
        let framework = &mut self.frameworks[ord];
        if let Some(old) = framework.heartbeat_at.take() {
            self.deadlines.clear(old, Deadline::Heartbeat(ord));
        }
        framework.heartbeat_at = at;
        if let Some(at) = at {
            self.deadlines.set(at, Deadline::Heartbeat(ord));
        }
    }

    /// The agents on which the framework has tasks.
    pub(crate) fn agents_of(&self, ord: FrameworkOrd) -> BTreeSet<AgentOrd> {
        let record = &self.frameworks[ord];
        let mut all: BTreeSet<AgentOrd> = record.tasks.values().map(|task| task.agent).collect();
        if record.uses_executors {
            let has = |agent: &Agent| agent.executors.keys().any(|(of, _)| *of == ord);
            all.extend(self.agents.iter().filter(|(_, agent)| has(agent)).map(|(at, _)| at));
        }
        all
    }
}
