//! Rows of the model as the operator API shows them.

use super::model::{AgentRow, FrameworkRow, Model, PastFramework, RoleShare, Share};
use master_core::publish::{AgentRecord, ExecutorBrief, OfferBrief, PastTask, Step, TaskRecord};
use proto::operator::{AgentView, ExecutorView, FrameworkView, RoleView, TaskView};
use proto::{
    AgentId, ExecutorInfo, FrameworkId, InverseOffer, Offer, Quantities, QuotaConfig, Resources,
    Role, TaskId, TaskStatus,
};
use std::sync::Arc;

/// An agent.
pub(crate) fn agent(row: &AgentRow) -> AgentView {
    let record = &row.record;
    let load = row.load.as_deref();
    AgentView {
        info: record.info.clone(),
        standing: record.standing,
        version: record.version.clone(),
        registered: record.registered,
        reregistered: record.reregistered,
        allocated: load.map(|load| load.allocated.clone()).unwrap_or_default(),
        offered: load.map(|load| load.offered.clone()).unwrap_or_default(),
        deactivated: record.deactivated,
        drain: record.drain.as_ref().map(Into::into),
        unreachable: record.unreachable,
        disk_pressed: record.disk_pressed,
    }
}

/// A custom executor, or that of a group.
pub(crate) fn executor(agent_id: &AgentId, executor: &ExecutorBrief) -> ExecutorView {
    ExecutorView { info: ExecutorInfo::clone(&executor.info), agent_id: agent_id.clone() }
}

/// A framework that is not over.
pub(crate) fn framework(model: &Model, row: &FrameworkRow, share: &Share) -> FrameworkView {
    let record = &row.record;
    let offers = share.offers().filter_map(|(agent_id, brief)| {
        let agent = model.agents.get(agent_id)?;
        Some(offer(&agent.record, brief))
    });
    FrameworkView {
        info: proto::FrameworkInfo::clone(&record.info),
        active: record.connected,
        connected: record.connected,
        recovered: record.recovered,
        registered: record.registered,
        reregistered: record.reregistered,
        unregistered: None,
        suppressed_roles: record.suppressed.clone(),
        offers: offers.collect(),
        allocated: share.used.clone(),
        offered: share.offered.clone(),
        demands: row.demands.to_vec(),
        inverse_offers: model.inverse_offers(&record.id),
        offer_constraints: record.constraints.as_deref().cloned(),
    }
}

fn offer(agent: &AgentRecord, brief: &OfferBrief) -> Offer {
    Offer {
        id: brief.id.clone(),
        framework_id: brief.framework_id.clone(),
        agent_id: agent.id.clone(),
        hostname: agent.info.hostname.clone(),
        port: agent.info.port,
        role: brief.role.clone(),
        resources: brief.resources.clone(),
        attributes: Arc::from(agent.info.attributes.as_slice()),
        domain: agent.info.domain.clone(),
        executor_ids: Vec::new(),
        unavailability: agent.unavailability,
    }
}

/// A framework that is over.
pub(crate) fn past_framework(past: &PastFramework) -> FrameworkView {
    let record = &past.record;
    FrameworkView {
        info: proto::FrameworkInfo::clone(&record.info),
        active: false,
        connected: false,
        recovered: false,
        registered: record.registered,
        reregistered: record.reregistered,
        unregistered: Some(past.unregistered),
        suppressed_roles: Vec::new(),
        offers: Vec::new(),
        allocated: Resources::new(),
        offered: Resources::new(),
        demands: Vec::new(),
        inverse_offers: Vec::new(),
        offer_constraints: None,
    }
}

/// A task that is not over.
pub(crate) fn task(task: &TaskRecord) -> TaskView {
    let statuses = task.steps.iter().map(|step| match &task.status {
        Some(newest) if newest.state == step.state => TaskStatus::clone(newest),
        _ => status(&task.task_id, step),
    });
    TaskView {
        name: task.name.clone(),
        task_id: task.task_id.clone(),
        framework_id: task.framework_id.clone(),
        agent_id: task.agent_id.clone(),
        executor_id: task.executor_id.clone(),
        state: task.state,
        resources: Resources::clone(&task.resources),
        role: task.role.clone(),
        statuses: statuses.collect(),
        shown: task.shown.clone(),
    }
}

/// A task that is over.
pub(crate) fn past_task(id: &FrameworkId, past: &PastTask) -> TaskView {
    TaskView {
        name: past.name.clone(),
        task_id: past.task_id.clone(),
        framework_id: id.clone(),
        agent_id: past.agent_id.clone(),
        executor_id: None,
        state: past.step.state,
        resources: Resources::clone(&past.resources),
        role: past.role.clone(),
        statuses: vec![status(&past.task_id, &past.step)],
        shown: None,
    }
}

/// What is remembered of a status.
pub(crate) fn status(task_id: &TaskId, step: &Step) -> TaskStatus {
    let mut status = TaskStatus::new(task_id.clone(), step.state, step.source, step.at);
    status.reason = step.reason;
    status
}

/// A role.
pub(crate) fn role(model: &Model, role: &Role, share: &RoleShare) -> RoleView {
    let allocated = share.used.plus(&share.offered);
    RoleView {
        role: role.clone(),
        weight_milli: model.facts.weight_milli(role),
        frameworks: share.frameworks.clone(),
        dominant_share_ppm: dominant_share_ppm(&model.held(role), &model.sums().total),
        allocated,
        quota: model.facts.quotas().get(role).map(|quota| QuotaConfig {
            role: role.clone(),
            guarantees: quota.guarantees.clone(),
            limits: quota.limits.clone(),
        }),
        consumed: model.consumed(role),
        reserved: share.reserved.quantities(),
    }
}

/// The biggest part of one resource, in millionths of what the cluster has of it.
fn dominant_share_ppm(held: &Quantities, total: &Resources) -> u64 {
    let total = total.quantities();
    let part = |(name, milli): (_, u64)| match total.get(name) {
        0 => 0,
        all => (u128::from(milli) * 1_000_000 / u128::from(all)) as u64,
    };
    held.iter().map(part).max().unwrap_or(0)
}

impl Model {
    /// All frameworks that are not over.
    pub(crate) fn framework_views(&self) -> impl Iterator<Item = FrameworkView> {
        let sums = self.sums();
        self.frameworks.iter().map(move |(id, row)| match sums.frameworks.get(id) {
            Some(share) => framework(self, row, share),
            None => framework(self, row, &Share::default()),
        })
    }

    /// All frameworks that are over.
    pub(crate) fn past_framework_views(&self) -> impl Iterator<Item = FrameworkView> {
        self.past.iter().map(|(_, past)| past_framework(past))
    }

    /// Roles that have frameworks, tasks, offers or a weight.
    pub(crate) fn role_views(&self) -> impl Iterator<Item = RoleView> {
        self.sums().roles.iter().map(|(name, share)| role(self, name, share))
    }

    /// Inverse offers that the framework has not answered.
    fn inverse_offers(&self, id: &FrameworkId) -> Vec<InverseOffer> {
        let Some(share) = self.sums().frameworks.get(id) else { return Vec::new() };
        let rows = share.agents.iter().filter_map(|agent| self.agents.get(agent));
        let asked = rows.filter_map(|row| {
            let unavailability = row.record.unavailability?;
            let asked = row.load.as_ref()?.asked.iter().find(|asked| asked.framework_id == *id)?;
            Some(InverseOffer {
                id: asked.inverse_offer.clone()?,
                framework_id: id.clone(),
                agent_id: Some(row.record.id.clone()),
                address: Some((row.record.info.hostname.clone(), row.record.info.port)),
                unavailability,
                resources: Resources::new(),
            })
        });
        asked.collect()
    }
}
