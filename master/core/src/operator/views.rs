//! The state as operators see it.

use crate::agent::Agent;
use crate::framework::{Framework, PastFramework};
use crate::registry::{AdmittedAgent, Drain};
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use crate::task::{PastTask, Step, Task};
use proto::operator::{
    AgentStanding, AgentView, DrainState, DrainView, FrameworkView, GoneAgent, OperationView,
    RoleView, TaskView, TasksView,
};
use proto::{FrameworkId, InverseOffer, Offer, Piece, Resources, TaskId, TaskStatus, Value};
use std::collections::BTreeMap;

impl From<&Drain> for DrainView {
    fn from(drain: &Drain) -> Self {
        Self {
            state: if drain.drained { DrainState::Drained } else { DrainState::Draining },
            max_grace: drain.max_grace,
            mark_gone: drain.mark_gone,
            started: Some(drain.since),
        }
    }
}

fn agent_view(agent: &Agent, facts: &AdmittedAgent) -> AgentView {
    let standing = match (agent.is_connected(), agent.is_suspect()) {
        (false, _) => AgentStanding::Disconnected,
        (true, true) => AgentStanding::Suspect,
        (true, false) => AgentStanding::Active,
    };
    AgentView {
        info: agent.info.clone(),
        standing,
        version: agent.version.clone(),
        registered: agent.registered,
        reregistered: agent.reregistered,
        allocated: agent.used.clone(),
        offered: agent.offered.clone(),
        deactivated: facts.deactivated,
        drain: facts.drain.as_ref().map(Into::into),
        unreachable: None,
        disk_pressed: agent.withheld.is_some(),
    }
}

fn absent_agent_view(agent: &AdmittedAgent) -> AgentView {
    let unreachable = agent.unreachable.is_some();
    AgentView {
        info: agent.info.clone(),
        standing: if unreachable { AgentStanding::Unreachable } else { AgentStanding::Recovered },
        version: agent.version.clone(),
        registered: agent.registered,
        reregistered: None,
        allocated: Resources::new(),
        offered: Resources::new(),
        deactivated: agent.deactivated,
        drain: agent.drain.as_ref().map(Into::into),
        unreachable: agent.unreachable,
        disk_pressed: false,
    }
}

fn past_framework_view(past: &PastFramework) -> FrameworkView {
    FrameworkView {
        info: past.facts.info.clone(),
        active: false,
        connected: false,
        recovered: false,
        registered: past.facts.registered,
        reregistered: None,
        unregistered: Some(past.facts.unregistered),
        suppressed_roles: Vec::new(),
        offers: Vec::new(),
        allocated: Resources::new(),
        offered: Resources::new(),
        demands: Vec::new(),
        inverse_offers: Vec::new(),
        offer_constraints: None,
    }
}

fn step_status(task_id: &TaskId, step: &Step) -> TaskStatus {
    let mut status = TaskStatus::new(task_id.clone(), step.state, step.source, step.at);
    status.reason = step.reason;
    status
}

fn task_view(id: &FrameworkId, task_id: &TaskId, task: &Task) -> TaskView {
    let mut statuses: Vec<TaskStatus> =
        task.steps.iter().map(|step| step_status(task_id, step)).collect();
    if let Some(newest) = &task.status
        && let Some(same) = statuses.iter_mut().find(|status| status.state == newest.state)
    {
        *same = TaskStatus::clone(newest);
    }
    TaskView {
        name: task.name.clone(),
        task_id: task_id.clone(),
        framework_id: id.clone(),
        agent_id: task.agent_id.clone(),
        executor_id: None,
        state: task.state,
        resources: Resources::clone(&task.resources),
        role: task.role.clone(),
        statuses,
        shown: None,
    }
}

fn past_task_view(id: &FrameworkId, past: &PastTask) -> TaskView {
    TaskView {
        name: past.name.clone(),
        task_id: past.task_id.clone(),
        framework_id: id.clone(),
        agent_id: past.agent_id.clone(),
        executor_id: None,
        state: past.step.state,
        resources: Resources::clone(&past.resources),
        role: past.role.clone(),
        statuses: vec![step_status(&past.task_id, &past.step)],
        shown: None,
    }
}

impl Master {
    pub(super) fn agent_views(&self) -> Vec<AgentView> {
        let facts = self.registry.agents().iter();
        let view = |(id, facts): (_, &AdmittedAgent)| match self.agent_ids.get(id) {
            Some(ord) => agent_view(&self.agents[*ord], facts),
            None => absent_agent_view(facts),
        };
        let mut views: Vec<AgentView> = facts.map(view).collect();
        views.sort_by_key(|view| view.standing == AgentStanding::Recovered);
        views
    }

    /// Gone agents that are kept for what was on them.
    pub(super) fn gone_views(&self) -> Vec<GoneAgent> {
        let kept = self.registry.gone().iter().filter(|(_, gone)| gone.kept);
        kept.map(|(id, gone)| GoneAgent { agent_id: id.clone(), since: gone.since }).collect()
    }

    pub(super) fn operation_views(&self) -> Vec<OperationView> {
        let operations = self.registry.operations().iter();
        operations.map(|(uuid, operation)| operation.view(*uuid)).collect()
    }

    pub(super) fn framework_views(&self) -> Vec<FrameworkView> {
        self.framework_ids.values().map(|ord| self.framework_view(&self.frameworks[*ord])).collect()
    }

    pub(super) fn past_framework_views(&self) -> Vec<FrameworkView> {
        self.past.iter().map(past_framework_view).collect()
    }

    fn framework_view(&self, framework: &Framework) -> FrameworkView {
        let mut allocated = self.held_by_executors(self.framework_ids[&framework.id]);
        for task in framework.tasks.values().filter(|task| task.holds) {
            allocated.add(&task.resources);
        }
        let offers: Vec<Offer> = framework.offers.iter().map(|n| self.offer_view(*n)).collect();
        let mut offered = Resources::new();
        for offer in &offers {
            offered.add(&offer.resources);
        }
        FrameworkView {
            info: proto::FrameworkInfo::clone(&framework.info),
            active: framework.is_connected(),
            connected: framework.is_connected(),
            recovered: framework.recovered,
            registered: framework.registered,
            reregistered: framework.reregistered,
            unregistered: None,
            suppressed_roles: framework.suppressed.iter().cloned().collect(),
            offers,
            allocated,
            offered,
            demands: framework.demand.outstanding(),
            inverse_offers: self.inverse_views(framework),
            offer_constraints: framework.constraints.stated.as_deref().cloned(),
        }
    }

    fn inverse_views(&self, framework: &Framework) -> Vec<InverseOffer> {
        let ord = self.framework_ids[&framework.id];
        let view = |agent: &AgentOrd| {
            let record = &self.agents[*agent];
            let number = record.asked.get(&ord)?.number?;
            Some(self.inverse_view(number, ord, *agent, record.unavailability?))
        };
        framework.asked.iter().filter_map(view).collect()
    }

    fn offer_view(&self, number: u64) -> Offer {
        let offer = &self.offers[&number];
        let agent = &self.agents[offer.agent];
        Offer {
            id: offer.id.clone(),
            framework_id: self.frameworks[offer.framework].id.clone(),
            agent_id: agent.id.clone(),
            hostname: agent.info.hostname.clone(),
            port: agent.info.port,
            role: offer.role.clone(),
            resources: offer.resources.clone(),
            attributes: agent.attributes.clone(),
            domain: agent.info.domain.clone(),
            executor_ids: Vec::new(),
            unavailability: agent.unavailability,
        }
    }

    pub(super) fn task_views(&self) -> TasksView {
        let mut views = TasksView::default();
        for ord in self.framework_ids.values() {
            let framework = &self.frameworks[*ord];
            for (task_id, task) in &framework.tasks {
                views.tasks.push(task_view(&framework.id, task_id, task));
            }
            for (task_id, task) in &framework.unreachable {
                views.unreachable.push(task_view(&framework.id, task_id, task));
            }
            let past = framework.completed.iter();
            views.completed.extend(past.map(|past| past_task_view(&framework.id, past)));
        }
        for past in &self.past {
            if let Some(id) = &past.facts.info.id {
                views.completed.extend(past.tasks.iter().map(|task| past_task_view(id, task)));
            }
        }
        views
    }

    pub(super) fn role_views(&self) -> Vec<RoleView> {
        let sorter = &self.allocator.sorter;
        let mut reserved: BTreeMap<&proto::Role, proto::Quantities> = BTreeMap::new();
        for (_, agent) in self.agents.iter() {
            let resources = &agent.info.resources;
            for role in resources.reservation_roles() {
                let amounts = resources.reserved_to(role).quantities();
                reserved.entry(role).or_default().add_all(&amounts);
            }
        }
        let view = |(role, share, allocated): (&proto::Role, f64, proto::Quantities)| {
            let ids = |ord: FrameworkOrd| self.frameworks[ord].id.clone();
            RoleView {
                role: role.clone(),
                weight_milli: self.registry.weight_milli(role),
                frameworks: sorter.subscribers(role).into_iter().map(ids).collect(),
                allocated: plain(&allocated),
                dominant_share_ppm: (share * 1e6) as u64,
                quota: None,
                consumed: sorter
                    .standing(role)
                    .map(|standing| standing.consumed)
                    .unwrap_or_default(),
                reserved: reserved.get(role).cloned().unwrap_or_default(),
            }
        };
        sorter.roles().map(view).collect()
    }
}

/// Amounts by name, as plain resources.
fn plain(quantities: &proto::Quantities) -> Resources {
    let piece = |(name, milli): (&proto::ResourceName, u64)| Piece {
        name: name.clone(),
        flavor: proto::Flavor::default(),
        value: Value::Scalar(milli),
    };
    quantities.iter().map(piece).collect()
}
