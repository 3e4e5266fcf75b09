//! What operators see, kept up to date from what the core publishes, in maps whose clones share
//! what did not change. A clone is a snapshot: reads are made from it at their own pace.
//!
//! It decides nothing and forgets only what the core says is forgotten, or what is above the same
//! limits as the core's.

use super::chunked::{Chunked, Run};
use master_core::publish::{
    AgentLoad, AgentRecord, ExecutorBrief, FrameworkRecord, OfferBrief, PastTask, TaskRecord,
};
use master_core::{Change, Registry};
use proto::scheduler::Demand;
use proto::{AgentId, FrameworkId, Quantities, Resources, Role, TaskId, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock};

/// All that operators see, at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// Agents, absent ones too.
    pub(crate) agents: Chunked<AgentId, AgentRow>,
    /// Frameworks that are not over.
    pub(crate) frameworks: Chunked<FrameworkId, FrameworkRow>,
    /// Tasks that are not over, or whose end is not acknowledged, also on unreachable agents.
    pub(crate) tasks: Chunked<(FrameworkId, TaskId), Arc<TaskRecord>>,
    /// Tasks that are over, of each framework oldest first, also of frameworks that are over.
    pub(crate) completed: Chunked<(FrameworkId, u64), Arc<PastTask>>,
    /// Frameworks that are over, oldest first.
    pub(crate) past: Chunked<u64, Arc<PastFramework>>,
    /// Facts about the whole cluster; agents and frameworks are not in it.
    pub(crate) facts: Arc<Registry>,
    /// What is summed up over all of it, once somebody asked.
    sums: OnceLock<Arc<Sums>>,
}

/// An agent and what it holds.
#[derive(Clone, Debug)]
pub(crate) struct AgentRow {
    pub(crate) record: Arc<AgentRecord>,
    /// Only while it is registered.
    pub(crate) load: Option<Arc<AgentLoad>>,
}

/// A framework and what it wants.
#[derive(Clone, Debug)]
pub(crate) struct FrameworkRow {
    pub(crate) record: Arc<FrameworkRecord>,
    pub(crate) demands: Arc<[Demand]>,
}

/// A framework that is over.
#[derive(Clone, Debug)]
pub(crate) struct PastFramework {
    pub(crate) record: Arc<FrameworkRecord>,
    pub(crate) unregistered: Time,
}

/// Sums over all tasks and offers.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    pub(crate) frameworks: BTreeMap<FrameworkId, Share>,
    pub(crate) roles: BTreeMap<Role, RoleShare>,
    /// What counts against quotas: what each role and those below it use, and what is reserved to
    /// them.
    consumed: BTreeMap<Role, Quantities>,
    /// What tasks and offers of each role and of those below it hold, for its share.
    held: BTreeMap<Role, Quantities>,
    /// What all agents that are not away have.
    pub(crate) total: Resources,
}

/// What a framework holds.
#[derive(Debug, Default)]
pub(crate) struct Share {
    pub(crate) used: Resources,
    pub(crate) offered: Resources,
    /// The loads with its offers, and where in each they are.
    pub(crate) offers: Vec<(Arc<AgentLoad>, usize)>,
    /// The loads with its executors, and where in each they are.
    executors: Vec<(Arc<AgentLoad>, usize)>,
    /// The agents with tasks or executors of it.
    pub(crate) agents: BTreeSet<AgentId>,
}

/// What a role holds, itself and not those below it.
#[derive(Debug, Default)]
pub(crate) struct RoleShare {
    pub(crate) used: Resources,
    pub(crate) offered: Resources,
    /// What agents have reserved to it, in use or not.
    pub(crate) reserved: Resources,
    pub(crate) frameworks: Vec<FrameworkId>,
}

/// Whether what the task asks for is in use.
pub(crate) fn holds(task: &TaskRecord) -> bool {
    !task.state.is_terminal() && task.unreachable_since.is_none()
}

impl Share {
    pub(crate) fn offers(&self) -> impl Iterator<Item = (&AgentId, &OfferBrief)> {
        self.offers.iter().map(|(load, at)| (&load.agent_id, &load.offers[*at]))
    }

    pub(crate) fn executors(&self) -> impl Iterator<Item = (&AgentId, &ExecutorBrief)> {
        self.executors.iter().map(|(load, at)| (&load.agent_id, &load.executors[*at]))
    }
}

impl Model {
    /// The tasks of a framework, those on unreachable agents too.
    pub(crate) fn tasks_of<'a>(
        &'a self,
        id: &'a FrameworkId,
    ) -> impl Iterator<Item = &'a Arc<TaskRecord>> {
        // Ids begin with a space at the earliest.
        let first = (id.clone(), TaskId::new(" ").expect("one space is an id"));
        let all = self.tasks.from(&first);
        all.take_while(move |((of, _), _)| of == id).map(|(_, task)| task)
    }

    /// The completed tasks of a framework, oldest first.
    pub(crate) fn completed_of<'a>(
        &'a self,
        id: &'a FrameworkId,
    ) -> impl Iterator<Item = &'a Arc<PastTask>> {
        let all = self.completed.from(&(id.clone(), 0));
        all.take_while(move |((of, _), _)| of == id).map(|(_, task)| task)
    }

    /// The tasks of a framework, those on unreachable agents too, chunk by chunk.
    pub(crate) fn task_runs_of<'a>(
        &'a self,
        id: &'a FrameworkId,
    ) -> impl Iterator<Item = TaskRun<'a>> {
        // Ids begin with a space at the earliest.
        let first = (id.clone(), TaskId::new(" ").expect("one space is an id"));
        let begins =
            move |run: &TaskRun<'_>| run.entries().first().is_some_and(|((of, _), _)| of == id);
        let all = self.tasks.runs_from(&first).take_while(begins);
        all.flat_map(move |run| run.only(|(of, _), _| of == id))
    }

    /// Lets go of what was written of it for reads.
    pub(crate) fn forget_written(&self) {
        self.agents.forget_written();
        self.tasks.forget_written();
    }

    /// Sums over everything; made once a snapshot.
    pub(crate) fn sums(&self) -> &Arc<Sums> {
        self.sums.get_or_init(|| Arc::new(self.sum_up()))
    }

    fn sum_up(&self) -> Sums {
        let mut sums = Sums::default();
        for (id, row) in self.frameworks.iter() {
            sums.frameworks.entry(id.clone()).or_default();
            for role in &row.record.info.roles {
                sums.roles.entry(role.clone()).or_default().frameworks.push(id.clone());
            }
        }
        for (_, task) in self.tasks.iter().filter(|(_, task)| holds(task)) {
            let share = sums.frameworks.entry(task.framework_id.clone()).or_default();
            share.used.add(&task.resources);
            if !share.agents.contains(&task.agent_id) {
                share.agents.insert(task.agent_id.clone());
            }
            match sums.roles.get_mut(&task.role) {
                Some(role) => role.used.add(&task.resources),
                None => {
                    let used = Resources::clone(&task.resources);
                    let share = RoleShare { used, ..RoleShare::default() };
                    sums.roles.insert(task.role.clone(), share);
                }
            }
        }
        for (_, row) in self.agents.iter() {
            if row.record.is_registered() {
                sums.add_agent(&row.record.info.resources);
            }
            let Some(load) = &row.load else { continue };
            for (at, executor) in load.executors.iter().enumerate() {
                let share = sums.frameworks.entry(executor.framework_id.clone()).or_default();
                share.executors.push((Arc::clone(load), at));
                if !executor.holds {
                    continue;
                }
                let used = &executor.info.resources;
                share.used.add(used);
                share.agents.insert(load.agent_id.clone());
                sums.roles.entry(executor.role.clone()).or_default().used.add(used);
            }
            for (at, offer) in load.offers.iter().enumerate() {
                let share = sums.frameworks.entry(offer.framework_id.clone()).or_default();
                share.offered.add(&offer.resources);
                share.offers.push((Arc::clone(load), at));
                sums.roles.entry(offer.role.clone()).or_default().offered.add(&offer.resources);
            }
        }
        for role in self.facts.weights().keys().chain(self.facts.quotas().keys()) {
            sums.roles.entry(role.clone()).or_default();
        }
        sums.sum_up();
        sums
    }

    /// What counts against the role's quota.
    pub(crate) fn consumed(&self, role: &Role) -> Quantities {
        self.sums().consumed.get(role).cloned().unwrap_or_default()
    }

    /// What the role and those below it hold, in use or in offers.
    pub(crate) fn held(&self, role: &Role) -> Quantities {
        self.sums().held.get(role).cloned().unwrap_or_default()
    }
}

impl Sums {
    fn add_agent(&mut self, total: &Resources) {
        self.total.add(total);
        if !total.has_reserved() {
            return;
        }
        let roles: BTreeSet<Role> =
            total.pieces().iter().filter_map(|piece| piece.flavor.reserved_to()).cloned().collect();
        for role in roles {
            let reserved = total.reserved_to(&role);
            self.roles.entry(role).or_default().reserved.add(&reserved);
        }
    }

    fn sum_up(&mut self) {
        for (role, share) in &self.roles {
            let mut own = share.used.unreserved().quantities();
            own.add_all(&share.reserved.quantities());
            let mut held = share.used.quantities();
            held.add_all(&share.offered.quantities());
            let mut role = Some(role.clone());
            while let Some(one) = role {
                self.consumed.entry(one.clone()).or_default().add_all(&own);
                self.held.entry(one.clone()).or_default().add_all(&held);
                role = one.parent();
            }
        }
    }
}

/// Neighbouring tasks.
pub(crate) type TaskRun<'a> = Run<'a, (FrameworkId, TaskId), Arc<TaskRecord>>;

/// Keeps a model.
#[derive(Debug)]
pub(crate) struct Keeper {
    model: Model,
    /// The numbers of the completed tasks of each framework, those of `past` too.
    kept: BTreeMap<FrameworkId, VecDeque<u64>>,
    completed_tasks: usize,
    next: u64,
}

impl Keeper {
    /// An empty model that keeps so many completed tasks of each framework.
    pub(crate) fn new(completed_tasks: usize) -> Self {
        Self { model: Model::default(), kept: BTreeMap::new(), completed_tasks, next: 0 }
    }

    /// The model as it stands.
    pub(crate) fn snapshot(&self) -> Model {
        self.model.clone()
    }

    /// The model, to look at.
    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// Applies one change. A change of what is not there changes nothing.
    pub(crate) fn apply(&mut self, change: Change) {
        let model = &mut self.model;
        model.sums = OnceLock::new();
        match change {
            Change::Agent(record) => {
                let old = model.agents.get(&record.id).and_then(|row| row.load.clone());
                let load = old.filter(|_| record.is_registered());
                model.agents.insert(record.id.clone(), AgentRow { record, load });
            }
            Change::AgentRemoved(id) => {
                model.agents.remove(&id);
            }
            Change::Load(load) => {
                if let Some(row) = model.agents.get_mut(&load.agent_id) {
                    row.load = Some(load);
                }
            }
            Change::Framework(record) => match model.frameworks.get_mut(&record.id) {
                Some(row) => row.record = record,
                None => {
                    let row = FrameworkRow { record, demands: Arc::default() };
                    model.frameworks.insert(row.record.id.clone(), row);
                }
            },
            Change::Demand { framework_id, demands } => {
                if let Some(row) = model.frameworks.get_mut(&framework_id) {
                    row.demands = demands;
                }
            }
            Change::FrameworkEnded { framework_id, unregistered } => {
                self.framework_ended(&framework_id, unregistered);
            }
            Change::Task(record) => {
                let key = (record.framework_id.clone(), record.task_id.clone());
                model.tasks.insert(key, record);
            }
            Change::TaskUpdated { framework_id, task_id, state, step, status } => {
                if let Some(task) = model.tasks.get_mut(&(framework_id, task_id)) {
                    Arc::make_mut(task).update(state, step, status);
                }
            }
            Change::TaskEnded { framework_id, task_id, step } => {
                if let Some(task) = model.tasks.remove(&(framework_id.clone(), task_id)) {
                    self.task_ended(framework_id, task.ended(step));
                }
            }
            Change::TaskForgotten { framework_id, task_id } => {
                model.tasks.remove(&(framework_id, task_id));
            }
            Change::Fact(op) => Arc::make_mut(&mut model.facts).apply(&op),
        }
    }

    fn task_ended(&mut self, id: FrameworkId, task: PastTask) {
        let number = self.next;
        self.next += 1;
        let kept = self.kept.entry(id.clone()).or_default();
        kept.push_back(number);
        if kept.len() > self.completed_tasks
            && let Some(oldest) = kept.pop_front()
        {
            self.model.completed.remove(&(id.clone(), oldest));
        }
        self.model.completed.insert((id, number), Arc::new(task));
    }

    fn framework_ended(&mut self, id: &FrameworkId, unregistered: Time) {
        let model = &mut self.model;
        let Some(row) = model.frameworks.remove(id) else { return };
        let past = PastFramework { record: row.record, unregistered };
        model.past.insert(self.next, Arc::new(past));
        self.next += 1;
        while model.past.len() > Registry::COMPLETED_KEPT {
            let Some((number, oldest)) = model.past.iter().next() else { return };
            let (number, id) = (*number, oldest.record.id.clone());
            model.past.remove(&number);
            for task in self.kept.remove(&id).into_iter().flatten() {
                model.completed.remove(&(id.clone(), task));
            }
        }
    }
}
