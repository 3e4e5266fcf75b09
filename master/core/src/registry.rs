//! The registry: the master's durable facts, and the operations that change them.
//!
//! Tasks are not in it: agents own that truth. A framework is in it only while its scheduler is
//! away (its failover deadline must survive the master) and once it is completed. Applying an
//! operation is total and deterministic, so every replica that applies the same operations holds
//! the same facts; what makes no sense (an agent that is not known) changes nothing.

mod holdings;
mod kept;
mod op;
mod operation;

pub use holdings::Holdings;
pub(crate) use holdings::{changed_of, configured_of, is_changed, with_changes};
pub use kept::{Kept, KeptState, KeptValue};
pub use op::RegistryOp;
pub use operation::{KnownOperation, OperationEnd};

use crate::framework::footprint::framework_bytes;
use crate::maintenance::Maintenance;
use proto::{
    AgentId, AgentInfo, FrameworkId, FrameworkInfo, MasterId, Piece, Quantities, ResourceName,
    Role, StatusUuid, Time,
};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a role is guaranteed and what it may have, with everything below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// So much is kept free for it, as long as it has less.
    pub guarantees: Quantities,
    /// In thousandths by name: it is offered no more than that. A name that is missing has no
    /// limit.
    pub limits: BTreeMap<ResourceName, u64>,
}

impl Quota {
    /// Whether it says nothing.
    pub fn is_default(&self) -> bool {
        self.guarantees.is_empty() && self.limits.is_empty()
    }
}

impl fmt::Display for Quota {
    /// `guarantees cpus:1 mem:64, limits cpus:2`, in units.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = |milli: u64| milli as f64 / 1000.0;
        f.write_str("guarantees")?;
        for (name, milli) in self.guarantees.iter() {
            write!(f, " {name}:{}", units(milli))?;
        }
        f.write_str(", limits")?;
        for (name, milli) in &self.limits {
            write!(f, " {name}:{}", units(*milli))?;
        }
        Ok(())
    }
}

/// An agent that will never be back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Since when.
    pub since: Time,
    /// Whether something was reserved or made on it: its data may still be there, and tasks that
    /// use it, so it must not be taken for an agent that nobody ever knew.
    pub kept: bool,
}

/// An agent that was admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmittedAgent {
    /// The agent, with its id. Its resources are as they are now: reserved and made into volumes.
    pub info: AgentInfo,
    /// Volumes that were destroyed and whose content may still be there, oldest first.
    pub doomed: Vec<Piece>,
    /// Its software version.
    pub version: Arc<str>,
    /// The nonce of its registration.
    pub nonce: Option<u64>,
    /// When it was first admitted.
    pub registered: Time,
    /// Since when it is unreachable, if it is.
    pub unreachable: Option<Time>,
    /// Whether no offers are made of it.
    pub deactivated: bool,
    /// Its drain, under way or done.
    pub drain: Option<Drain>,
}

/// How an agent is emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Since when.
    pub since: Time,
    /// The longest that a task may take to end, counted from `since`, whatever its own grace.
    pub max_grace: Option<Duration>,
    /// Whether the agent is marked gone once it is empty.
    pub mark_gone: bool,
    /// Whether it is empty.
    pub drained: bool,
}

/// A framework whose scheduler is away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldFramework {
    /// The framework, with its id.
    pub info: FrameworkInfo,
    /// When it first subscribed.
    pub registered: Time,
    /// When it will be removed.
    pub deadline: Time,
}

/// A framework that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedFramework {
    /// The framework, with its id.
    pub info: FrameworkInfo,
    /// When it first subscribed.
    pub registered: Time,
    /// When it ended.
    pub unregistered: Time,
}

/// The facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    cluster_id: Option<Arc<str>>,
    epoch: u64,
    master_id: Option<MasterId>,
    agents: BTreeMap<AgentId, AdmittedAgent>,
    /// Agents that will never be back.
    gone: BTreeMap<AgentId, Gone>,
    frameworks: BTreeMap<FrameworkId, HeldFramework>,
    /// What they weigh together.
    frameworks_bytes: usize,
    /// Oldest first.
    completed: Vec<CompletedFramework>,
    weights: BTreeMap<Role, u64>,
    maintenance: Maintenance,
    quotas: BTreeMap<Role, Quota>,
    operations: BTreeMap<StatusUuid, KnownOperation>,
    kept: Kept,
}

/// The weight of a role that was never set.
pub const DEFAULT_WEIGHT_MILLI: u64 = 1000;

impl Registry {
    /// How many completed frameworks are kept. Not an option: replicas must agree on it.
    pub const COMPLETED_KEPT: usize = 50;

    /// The registry of a cluster that does not exist yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies one operation.
    pub fn apply(&mut self, op: &RegistryOp) {
        match op {
            RegistryOp::FoundCluster { cluster_id } => self.cluster_id = Some(cluster_id.clone()),
            RegistryOp::BeginEpoch { epoch, master_id } => {
                self.epoch = *epoch;
                self.master_id = Some(master_id.clone());
            }
            RegistryOp::AdmitAgent { info, version, nonce, registered } => {
                self.admit(info, version, *nonce, *registered);
            }
            RegistryOp::MarkUnreachable { agent_id, since } => {
                self.change_agent(agent_id, |agent| agent.unreachable = Some(*since));
            }
            RegistryOp::MarkReachable { agent_id } => {
                self.change_agent(agent_id, |agent| agent.unreachable = None);
            }
            RegistryOp::DeactivateAgent { agent_id } => {
                self.change_agent(agent_id, |agent| agent.deactivated = true);
            }
            RegistryOp::ReactivateAgent { agent_id } => self.change_agent(agent_id, |agent| {
                agent.deactivated = false;
                agent.drain = None;
            }),
            RegistryOp::DrainAgent { agent_id, drain } => self.change_agent(agent_id, |agent| {
                agent.deactivated = true;
                agent.drain = Some(drain.clone());
            }),
            RegistryOp::MarkGone { agent_id, since, kept } => {
                self.agents.remove(agent_id);
                self.gone.insert(agent_id.clone(), Gone { since: *since, kept: *kept });
            }
            RegistryOp::SetMaintenance { maintenance } => {
                self.maintenance = maintenance.clone();
            }
            RegistryOp::RemoveAgent { agent_id } => {
                self.agents.remove(agent_id);
                self.gone.remove(agent_id);
            }
            RegistryOp::HoldFramework { info, registered, deadline } => {
                if let Some(id) = info.id.as_ref().filter(|id| !self.is_completed(id)) {
                    let (info, registered) = (info.clone(), *registered);
                    let held = HeldFramework { info, registered, deadline: *deadline };
                    self.release(id);
                    self.frameworks_bytes += framework_bytes(&held.info);
                    self.frameworks.insert(id.clone(), held);
                }
            }
            RegistryOp::ReleaseFramework { framework_id } => self.release(framework_id),
            RegistryOp::CompleteFramework { info, registered, unregistered } => {
                self.complete(info, *registered, *unregistered);
            }
            RegistryOp::SetWeight { role, weight_milli } => self.set_weight(role, *weight_milli),
            RegistryOp::SetQuota { role, quota } => self.set_quota(role, quota),
            RegistryOp::RemoveQuota { role } => {
                self.quotas.remove(role);
            }
            RegistryOp::SetHoldings { agent_id, holdings } => {
                self.change_agent(agent_id, |agent| agent.hold(holdings));
            }
            RegistryOp::PutOperation { uuid, operation } => {
                self.operations.insert(*uuid, operation.clone());
            }
            RegistryOp::RemoveOperation { uuid } => {
                self.operations.remove(uuid);
            }
            RegistryOp::OpenState { .. }
            | RegistryOp::PutState { .. }
            | RegistryOp::DeleteState { .. }
            | RegistryOp::ForgetState { .. } => self.kept.apply(op),
        }
    }

    fn set_weight(&mut self, role: &Role, weight_milli: u64) {
        if weight_milli == DEFAULT_WEIGHT_MILLI || weight_milli == 0 {
            self.weights.remove(role);
        } else {
            self.weights.insert(role.clone(), weight_milli);
        }
    }

    fn set_quota(&mut self, role: &Role, quota: &Quota) {
        if quota.is_default() {
            self.quotas.remove(role);
        } else {
            self.quotas.insert(role.clone(), quota.clone());
        }
    }

    /// Changes an agent that is known.
    fn change_agent(&mut self, agent_id: &AgentId, change: impl FnOnce(&mut AdmittedAgent)) {
        if let Some(agent) = self.agents.get_mut(agent_id) {
            change(agent);
        }
    }

    fn admit(&mut self, info: &AgentInfo, version: &Arc<str>, nonce: Option<u64>, at: Time) {
        let Some(id) = &info.id else { return };
        let known = self.agents.get(id);
        let mut info = info.clone();
        if let Some(known) = known {
            // A master refuses an agent that does not hold any more what is reserved on it.
            let changed = changed_of(&known.info.resources);
            let total = with_changes(&info.resources, &changed);
            info.resources = total.unwrap_or_else(|_| known.info.resources.clone());
        }
        let agent = AdmittedAgent {
            info,
            doomed: known.map(|agent| agent.doomed.clone()).unwrap_or_default(),
            version: version.clone(),
            nonce: nonce.or_else(|| known.and_then(|agent| agent.nonce)),
            registered: known.map_or(at, |agent| agent.registered),
            unreachable: known.and_then(|agent| agent.unreachable),
            deactivated: known.is_some_and(|agent| agent.deactivated),
            drain: known.and_then(|agent| agent.drain.clone()),
        };
        self.agents.insert(id.clone(), agent);
    }

    fn release(&mut self, id: &FrameworkId) {
        if let Some(held) = self.frameworks.remove(id) {
            self.frameworks_bytes -= framework_bytes(&held.info);
        }
    }

    fn complete(&mut self, info: &FrameworkInfo, registered: Time, unregistered: Time) {
        let Some(id) = &info.id else { return };
        self.release(id);
        self.completed.retain(|framework| framework.info.id.as_ref() != Some(id));
        self.completed.push(CompletedFramework { info: info.clone(), registered, unregistered });
        let surplus = self.completed.len().saturating_sub(Self::COMPLETED_KEPT);
        self.completed.drain(..surplus);
    }

    /// A snapshot: operations that rebuild exactly this registry from an empty one.
    pub fn facts(&self) -> Vec<RegistryOp> {
        let mut ops = Vec::new();
        if let Some(cluster_id) = &self.cluster_id {
            ops.push(RegistryOp::FoundCluster { cluster_id: cluster_id.clone() });
        }
        if let Some(master_id) = &self.master_id {
            ops.push(RegistryOp::BeginEpoch { epoch: self.epoch, master_id: master_id.clone() });
        }
        for (agent_id, agent) in &self.agents {
            let resources = configured_of(&agent.info.resources);
            ops.push(RegistryOp::AdmitAgent {
                info: AgentInfo { resources, ..agent.info.clone() },
                version: agent.version.clone(),
                nonce: agent.nonce,
                registered: agent.registered,
            });
            let agent_id = || agent_id.clone();
            let holdings = agent.holdings();
            if !holdings.is_empty() {
                ops.push(RegistryOp::SetHoldings { agent_id: agent_id(), holdings });
            }
            if let Some(since) = agent.unreachable {
                ops.push(RegistryOp::MarkUnreachable { agent_id: agent_id(), since });
            }
            if let Some(drain) = agent.drain.clone() {
                ops.push(RegistryOp::DrainAgent { agent_id: agent_id(), drain });
            } else if agent.deactivated {
                ops.push(RegistryOp::DeactivateAgent { agent_id: agent_id() });
            }
        }
        ops.extend(self.gone.iter().map(|(agent_id, gone)| RegistryOp::MarkGone {
            agent_id: agent_id.clone(),
            since: gone.since,
            kept: gone.kept,
        }));
        ops.extend(self.frameworks.values().map(|held| RegistryOp::HoldFramework {
            info: held.info.clone(),
            registered: held.registered,
            deadline: held.deadline,
        }));
        ops.extend(self.completed.iter().map(|over| RegistryOp::CompleteFramework {
            info: over.info.clone(),
            registered: over.registered,
            unregistered: over.unregistered,
        }));
        if self.maintenance != Maintenance::default() {
            ops.push(RegistryOp::SetMaintenance { maintenance: self.maintenance.clone() });
        }
        ops.extend(self.weights.iter().map(|(role, weight_milli)| RegistryOp::SetWeight {
            role: role.clone(),
            weight_milli: *weight_milli,
        }));
        ops.extend(self.quotas.iter().map(|(role, quota)| RegistryOp::SetQuota {
            role: role.clone(),
            quota: quota.clone(),
        }));
        ops.extend(self.operations.iter().map(|(uuid, operation)| RegistryOp::PutOperation {
            uuid: *uuid,
            operation: operation.clone(),
        }));
        ops.extend(self.kept.of().iter().flat_map(|(id, state)| state.facts(id)));
        ops
    }

    /// The cluster's identity, once it has one.
    pub fn cluster_id(&self) -> Option<&Arc<str>> {
        self.cluster_id.as_ref()
    }

    /// How many times a master began to lead.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The last master that began to lead.
    pub fn master_id(&self) -> Option<&MasterId> {
        self.master_id.as_ref()
    }

    /// All agents, unreachable ones too.
    pub fn agents(&self) -> &BTreeMap<AgentId, AdmittedAgent> {
        &self.agents
    }

    /// Agents that will never be back.
    pub fn gone(&self) -> &BTreeMap<AgentId, Gone> {
        &self.gone
    }

    /// Frameworks whose schedulers are away.
    pub fn frameworks(&self) -> &BTreeMap<FrameworkId, HeldFramework> {
        &self.frameworks
    }

    /// Bytes of their descriptions, together.
    pub(crate) fn frameworks_bytes(&self) -> usize {
        self.frameworks_bytes
    }

    /// Frameworks that are over, oldest first.
    pub fn completed(&self) -> &[CompletedFramework] {
        &self.completed
    }

    /// Whether the framework is over.
    pub fn is_completed(&self, framework_id: &FrameworkId) -> bool {
        self.completed.iter().any(|over| over.info.id.as_ref() == Some(framework_id))
    }

    /// A role's weight in thousandths.
    pub fn weight_milli(&self, role: &Role) -> u64 {
        self.weights.get(role).copied().unwrap_or(DEFAULT_WEIGHT_MILLI)
    }

    /// What machines are away, and when.
    pub fn maintenance(&self) -> &Maintenance {
        &self.maintenance
    }

    /// The weights that were set.
    pub fn weights(&self) -> &BTreeMap<Role, u64> {
        &self.weights
    }

    /// The quotas that were set.
    pub fn quotas(&self) -> &BTreeMap<Role, Quota> {
        &self.quotas
    }

    /// What frameworks keep in the registry.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Operations that are under way, or whose frameworks do not have their last status yet.
    pub fn operations(&self) -> &BTreeMap<StatusUuid, KnownOperation> {
        &self.operations
    }
}

impl AdmittedAgent {
    /// What is reserved and made on it at run time.
    pub fn holdings(&self) -> Holdings {
        Holdings { changed: changed_of(&self.info.resources), doomed: self.doomed.clone() }
    }

    fn hold(&mut self, holdings: &Holdings) {
        let configured = configured_of(&self.info.resources);
        if let Ok(total) = with_changes(&configured, &holdings.changed) {
            self.info.resources = total;
            self.doomed.clone_from(&holdings.doomed);
        }
    }
}
