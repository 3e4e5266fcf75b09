//! The copy that reads are served from: what was published, put together.
//!
//! It decides nothing and forgets only what the core says is forgotten, or what is above the same
//! limits as the core's.

use super::{AgentLoad, AgentRecord, Change, FrameworkRecord, TaskRecord};
use crate::registry::Registry;
use crate::task::PastTask;
use proto::scheduler::Demand;
use proto::{AgentId, FrameworkId, FrameworkInfo, TaskId, Time};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// All that was published. Records are shared: a clone of the book is cheap next to what it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Book {
    /// Agents, absent ones too.
    pub agents: BTreeMap<AgentId, Arc<AgentRecord>>,
    /// What is used and offered, by registered agent.
    pub loads: BTreeMap<AgentId, Arc<AgentLoad>>,
    /// Frameworks that are not over.
    pub frameworks: BTreeMap<FrameworkId, FrameworkPage>,
    /// Frameworks that are over, oldest first.
    pub past: VecDeque<Arc<PastPage>>,
    /// Facts about the whole cluster; agents and frameworks are not in it.
    pub facts: Registry,
    completed_tasks: usize,
}

/// A framework and its tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameworkPage {
    /// The framework.
    pub record: Arc<FrameworkRecord>,
    /// What it still wants.
    pub demands: Arc<[Demand]>,
    /// Its tasks that are not over, or whose end is not acknowledged; those on unreachable agents
    /// say so.
    pub tasks: BTreeMap<TaskId, Arc<TaskRecord>>,
    /// Tasks that are over, oldest first.
    pub completed: VecDeque<PastTask>,
}

/// A framework that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct PastPage {
    /// The framework, with its id.
    pub info: Arc<FrameworkInfo>,
    /// When it first subscribed.
    pub registered: Time,
    /// When it ended.
    pub unregistered: Time,
    /// Its last tasks, oldest first.
    pub completed: VecDeque<PastTask>,
}

impl Book {
    /// An empty book that keeps so many completed tasks of each framework.
    pub fn new(completed_tasks: usize) -> Self {
        Self {
            agents: BTreeMap::new(),
            loads: BTreeMap::new(),
            frameworks: BTreeMap::new(),
            past: VecDeque::new(),
            facts: Registry::new(),
            completed_tasks,
        }
    }

    /// Applies one change. A change of what is not there changes nothing.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Agent(record) => {
                if !record.is_registered() {
                    self.loads.remove(&record.id);
                }
                self.agents.insert(record.id.clone(), record);
            }
            Change::AgentRemoved(id) => {
                self.agents.remove(&id);
                self.loads.remove(&id);
            }
            Change::Load(load) => {
                self.loads.insert(load.agent_id.clone(), load);
            }
            Change::Framework(record) => self.framework(record),
            Change::Demand { framework_id, demands } => {
                if let Some(page) = self.frameworks.get_mut(&framework_id) {
                    page.demands = demands;
                }
            }
            Change::FrameworkEnded { framework_id, unregistered } => {
                self.framework_ended(&framework_id, unregistered);
            }
            Change::Task(record) => {
                if let Some(page) = self.frameworks.get_mut(&record.framework_id) {
                    page.tasks.insert(record.task_id.clone(), record);
                }
            }
            Change::TaskUpdated { framework_id, task_id, state, step, status } => {
                if let Some(task) = self.task_mut(&framework_id, &task_id) {
                    Arc::make_mut(task).update(state, step, status);
                }
            }
            Change::TaskEnded { framework_id, task_id, step } => {
                let limit = self.completed_tasks;
                let Some(page) = self.frameworks.get_mut(&framework_id) else { return };
                let Some(task) = page.tasks.remove(&task_id) else { return };
                page.completed.push_back(task.ended(step));
                while page.completed.len() > limit {
                    page.completed.pop_front();
                }
            }
            Change::TaskForgotten { framework_id, task_id } => {
                if let Some(page) = self.frameworks.get_mut(&framework_id) {
                    page.tasks.remove(&task_id);
                }
            }
            Change::Fact(op) => self.facts.apply(&op),
        }
    }

    fn task_mut(&mut self, id: &FrameworkId, task_id: &TaskId) -> Option<&mut Arc<TaskRecord>> {
        self.frameworks.get_mut(id)?.tasks.get_mut(task_id)
    }

    fn framework(&mut self, record: Arc<FrameworkRecord>) {
        match self.frameworks.get_mut(&record.id) {
            Some(page) => page.record = record,
            None => {
                let page = FrameworkPage {
                    record: record.clone(),
                    demands: Arc::default(),
                    tasks: BTreeMap::new(),
                    completed: VecDeque::new(),
                };
                self.frameworks.insert(record.id.clone(), page);
            }
        }
    }

    fn framework_ended(&mut self, id: &FrameworkId, unregistered: Time) {
        let Some(page) = self.frameworks.remove(id) else { return };
        let FrameworkPage { record, completed, .. } = page;
        let (info, registered) = (record.info.clone(), record.registered);
        self.past.push_back(Arc::new(PastPage { info, registered, unregistered, completed }));
        while self.past.len() > Registry::COMPLETED_KEPT {
            self.past.pop_front();
        }
    }
}
