//! What has changed and is not told yet, and the telling, at the end of each step.
//!
//! Whoever changes an agent or a framework marks it; its record is made once, at the end of the
//! step. Loads and demands wait for `Options::publish_interval`, and then leave in bounded slices.

use super::{
    AgentLoad, AgentRecord, AskedBrief, Change, ExecutorBrief, FrameworkRecord, OfferBrief,
    TaskRecord,
};
use crate::agent::Agent;
use crate::effect::Effect;
use crate::executor::Executor;
use crate::framework::Framework;
use crate::maintenance::inverse::Asked;
use crate::registry::{AdmittedAgent, RegistryOp};
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd, OrdSet};
use crate::task::Task;
use proto::operator::AgentStanding;
use proto::{AgentId, ExecutorId, FrameworkId, TaskId, Time};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Loads told in one step at the most.
const SLICE: usize = 500;

/// After a round of loads the next one is as far away as this times their number, if that is more
/// than the interval: in a big cluster, telling costs no more of the core's time than in a small
/// one.
const PACE: Duration = Duration::from_micros(100);

/// What has changed and is not told yet.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    /// How long loads and demands gather; nothing is published without it.
    interval: Option<Duration>,
    changes: Vec<Change>,
    agents: BTreeSet<AgentId>,
    frameworks: BTreeSet<FrameworkId>,
    loads: OrdSet<AgentOrd>,
    demands: BTreeSet<FrameworkOrd>,
    /// When loads and demands are told.
    pub(crate) due: Option<Time>,
    /// Loads told in this round, or in the newest one.
    told: u32,
}

impl Publisher {
    pub(crate) fn new(interval: Option<Duration>) -> Self {
        Self { interval, ..Self::default() }
    }

    fn is_on(&self) -> bool {
        self.interval.is_some()
    }

    pub(super) fn has_load(&self, agent: AgentOrd) -> bool {
        self.loads.contains(agent)
    }

    pub(super) fn has_demand(&self, framework: FrameworkOrd) -> bool {
        self.demands.contains(&framework)
    }

    pub(crate) fn agent(&mut self, id: &AgentId) {
        if self.is_on() {
            self.agents.insert(id.clone());
        }
    }

    pub(crate) fn framework(&mut self, id: &FrameworkId) {
        if self.is_on() {
            self.frameworks.insert(id.clone());
        }
    }

    /// Tells `change` after the records of this step.
    pub(crate) fn tell(&mut self, change: impl FnOnce() -> Change) {
        if self.is_on() {
            self.changes.push(change());
        }
    }

    /// What is used or offered on the agent has changed.
    pub(crate) fn load(&mut self, agent: AgentOrd, now: Time) {
        if let Some(interval) = self.interval {
            self.loads.insert(agent);
            self.begin_round(interval, now);
        }
    }

    /// What the framework wants has changed.
    pub(crate) fn demand(&mut self, framework: FrameworkOrd, now: Time) {
        if let Some(interval) = self.interval {
            self.demands.insert(framework);
            self.begin_round(interval, now);
        }
    }

    fn begin_round(&mut self, interval: Duration, now: Time) {
        if self.due.is_none() {
            self.due = Some(now + interval.max(PACE * self.told));
            self.told = 0;
        }
    }

    /// The agent leaves the table.
    pub(crate) fn forget_agent(&mut self, agent: AgentOrd) {
        self.loads.remove(agent);
    }

    /// The framework leaves the table.
    pub(crate) fn forget_framework(&mut self, framework: FrameworkOrd) {
        self.demands.remove(&framework);
    }

    /// A fact that the registry took.
    pub(crate) fn fact(&mut self, op: &RegistryOp) {
        if self.is_on() {
            match fact_kind(op) {
                FactKind::Agent(id) => {
                    self.agents.insert(id.clone());
                }
                FactKind::Framework => {}
                FactKind::Cluster => self.changes.push(Change::Fact(op.clone())),
            }
        }
    }
}

/// What an operation of the registry is about.
pub(super) enum FactKind<'a> {
    /// One agent: its record says it.
    Agent(&'a AgentId),
    /// One framework: its record says it.
    Framework,
    /// The whole cluster.
    Cluster,
}

pub(super) fn fact_kind(op: &RegistryOp) -> FactKind<'_> {
    match op {
        RegistryOp::AdmitAgent { info, .. } => {
            info.id.as_ref().map_or(FactKind::Cluster, FactKind::Agent)
        }
        RegistryOp::MarkUnreachable { agent_id, .. }
        | RegistryOp::MarkReachable { agent_id }
        | RegistryOp::DeactivateAgent { agent_id }
        | RegistryOp::ReactivateAgent { agent_id }
        | RegistryOp::DrainAgent { agent_id, .. }
        | RegistryOp::MarkGone { agent_id, .. }
        | RegistryOp::SetHoldings { agent_id, .. }
        | RegistryOp::RemoveAgent { agent_id } => FactKind::Agent(agent_id),
        RegistryOp::HoldFramework { .. }
        | RegistryOp::ReleaseFramework { .. }
        | RegistryOp::CompleteFramework { .. }
        | RegistryOp::OpenState { .. }
        | RegistryOp::PutState { .. }
        | RegistryOp::DeleteState { .. }
        | RegistryOp::ForgetState { .. } => FactKind::Framework,
        RegistryOp::FoundCluster { .. }
        | RegistryOp::BeginEpoch { .. }
        | RegistryOp::SetMaintenance { .. }
        | RegistryOp::SetWeight { .. }
        | RegistryOp::SetQuota { .. }
        | RegistryOp::RemoveQuota { .. }
        | RegistryOp::PutOperation { .. }
        | RegistryOp::RemoveOperation { .. } => FactKind::Cluster,
    }
}

impl Master {
    /// Tells what has changed in this step.
    pub(crate) fn publish(&mut self, out: &mut Vec<Effect>) {
        if !self.publisher.is_on() {
            return;
        }
        for id in std::mem::take(&mut self.publisher.agents) {
            let change = match self.agent_record(&id) {
                Some(record) => Change::Agent(Arc::new(record)),
                None => Change::AgentRemoved(id),
            };
            out.push(Effect::Publish(change));
        }
        for id in std::mem::take(&mut self.publisher.frameworks) {
            if let Some(ord) = self.framework_ord(&id) {
                let record = self.framework_record(&self.frameworks[ord]);
                out.push(Effect::Publish(Change::Framework(Arc::new(record))));
            }
        }
        out.extend(self.publisher.changes.drain(..).map(Effect::Publish));
        if self.publisher.due.is_some_and(|due| due <= self.now) {
            self.publish_loads(out);
        }
    }

    fn publish_loads(&mut self, out: &mut Vec<Effect>) {
        let publisher = &mut self.publisher;
        let agents: Vec<AgentOrd> = publisher.loads.iter().take(SLICE).collect();
        for agent in &agents {
            publisher.loads.remove(*agent);
        }
        let frameworks = std::mem::take(&mut publisher.demands);
        publisher.told =
            publisher.told.saturating_add(u32::try_from(agents.len()).unwrap_or(u32::MAX));
        publisher.due = (!publisher.loads.is_empty()).then_some(self.now);
        for agent in agents {
            let load = self.agent_load(agent);
            out.push(Effect::Publish(Change::Load(Arc::new(load))));
        }
        for framework in frameworks {
            out.push(Effect::Publish(self.demand_change(&self.frameworks[framework])));
        }
    }

    /// A task is new here, is back, or its agent became unreachable.
    pub(crate) fn publish_task(&mut self, framework: FrameworkOrd, task_id: &TaskId) {
        if !self.publisher.is_on() {
            return;
        }
        let record = &self.frameworks[framework];
        let task = record.tasks.get(task_id).or_else(|| record.unreachable.get(task_id));
        if let Some(task) = task {
            let record = task_record(&record.id, task_id, task);
            self.publisher.changes.push(Change::Task(Arc::new(record)));
        }
    }

    pub(super) fn agent_record(&self, id: &AgentId) -> Option<AgentRecord> {
        let facts = self.registry.agents().get(id)?;
        let agent = self.agent_ids.get(id).map(|ord| &self.agents[*ord]);
        Some(agent_record(id, facts, agent))
    }

    pub(super) fn agent_load(&self, ord: AgentOrd) -> AgentLoad {
        let agent = &self.agents[ord];
        let brief = |number: &u64| {
            let offer = &self.offers[number];
            OfferBrief {
                id: offer.id.clone(),
                framework_id: self.frameworks[offer.framework].id.clone(),
                role: offer.role.clone(),
                resources: offer.resources.clone(),
            }
        };
        let asked = |(framework, asked): (&FrameworkOrd, &Asked)| AskedBrief {
            framework_id: self.frameworks[*framework].id.clone(),
            inverse_offer: asked.number.map(|number| self.offer_id(number)),
            answer: asked.answer,
        };
        let executor =
            |((framework, _), executor): (&(FrameworkOrd, ExecutorId), &Executor)| ExecutorBrief {
                framework_id: self.frameworks[*framework].id.clone(),
                role: executor.role.clone(),
                info: executor.info.clone(),
                holds: executor.holds,
            };
        AgentLoad {
            agent_id: agent.id.clone(),
            allocated: agent.used.clone(),
            executors: agent.executors.iter().map(executor).collect(),
            offered: agent.offered.clone(),
            offers: agent.offers.iter().map(brief).collect(),
            asked: agent.asked.iter().map(asked).collect(),
        }
    }

    pub(super) fn framework_record(&self, framework: &Framework) -> FrameworkRecord {
        FrameworkRecord {
            id: framework.id.clone(),
            info: framework.info.clone(),
            connected: framework.is_connected(),
            recovered: framework.recovered,
            registered: framework.registered,
            reregistered: framework.reregistered,
            failover_deadline: framework.failover_deadline,
            suppressed: framework.suppressed.iter().cloned().collect(),
            constraints: framework.constraints.stated.clone(),
        }
    }

    pub(super) fn demand_change(&self, framework: &Framework) -> Change {
        Change::Demand {
            framework_id: framework.id.clone(),
            demands: Arc::from(framework.demand.outstanding()),
        }
    }
}

fn agent_record(id: &AgentId, facts: &AdmittedAgent, agent: Option<&Agent>) -> AgentRecord {
    let standing = match agent {
        Some(agent) if !agent.is_connected() => AgentStanding::Disconnected,
        Some(agent) if agent.is_suspect() => AgentStanding::Suspect,
        Some(_) => AgentStanding::Active,
        None if facts.unreachable.is_some() => AgentStanding::Unreachable,
        None => AgentStanding::Recovered,
    };
    AgentRecord {
        id: id.clone(),
        info: facts.info.clone(),
        standing,
        version: facts.version.clone(),
        registered: facts.registered,
        reregistered: agent.and_then(|agent| agent.reregistered),
        unreachable: facts.unreachable,
        deactivated: facts.deactivated,
        drain: facts.drain.clone(),
        unavailability: agent.and_then(|agent| agent.unavailability),
        disk_pressed: agent.is_some_and(|agent| agent.withheld.is_some()),
    }
}

impl AgentRecord {
    /// Whether it is registered with this master, connected or not: then it has a load.
    pub fn is_registered(&self) -> bool {
        match self.standing {
            AgentStanding::Active | AgentStanding::Suspect | AgentStanding::Disconnected => true,
            AgentStanding::Recovered | AgentStanding::Unreachable => false,
        }
    }
}

pub(super) fn task_record(id: &FrameworkId, task_id: &TaskId, task: &Task) -> TaskRecord {
    TaskRecord {
        framework_id: id.clone(),
        task_id: task_id.clone(),
        name: task.name.clone(),
        agent_id: task.agent_id.clone(),
        role: task.role.clone(),
        resources: task.resources.clone(),
        executor_id: task.executor_id.clone(),
        shown: task.shown.clone(),
        state: task.state,
        steps: task.steps.clone(),
        status: task.status.clone(),
        unreachable_since: task.unreachable_since,
    }
}
