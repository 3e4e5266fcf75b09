//! Tasks: their record, and how it enters, changes and leaves the tables.
//!
//! One file per call or message: `status_update`, `acknowledge`, `kill`, `shutdown`, `reconcile`. The newest
//! state of a task decides what it holds; the state that was *told* is the one of its newest status
//! update, which may lag behind, and is what reconciliation answers.

pub(crate) mod acknowledge;
pub(crate) mod kill;
pub(crate) mod reconcile;
pub(crate) mod shutdown;
pub(crate) mod status_update;

use crate::effect::Effect;
use crate::publish::Change;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use proto::agent_link::AgentTask;
use proto::scheduler::Event;
use proto::{
    AgentId, ExecutorId, Reason, Resources, Role, Source, TaskId, TaskInfo, TaskShown, TaskState,
    TaskStatus, Time, Transition,
};
use std::sync::Arc;
use std::time::Duration;

/// A task that its agent has, as far as the master knows.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) name: Arc<str>,
    pub(crate) agent: AgentOrd,
    pub(crate) agent_id: AgentId,
    pub(crate) role: Role,
    /// Set by `Master::take_up`.
    pub(crate) resources: Arc<Resources>,
    /// Whether `resources` are counted as used.
    pub(crate) holds: bool,
    pub(crate) executor_id: Option<ExecutorId>,
    /// Labels and the like, for who looks at it.
    pub(crate) shown: Option<TaskShown>,
    /// The newest state.
    pub(crate) state: TaskState,
    /// The state of the newest status update.
    pub(crate) told: TaskState,
    /// The newest status update of the agent.
    pub(crate) status: Option<Arc<TaskStatus>>,
    /// The states that were told, oldest first, each once.
    pub(crate) steps: Vec<Step>,
    /// Set once a kill was asked for; repeated when the agent comes back.
    pub(crate) kill: Option<Kill>,
    /// Since when its agent is unreachable.
    pub(crate) unreachable_since: Option<Time>,
}

/// A state that a task went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The state.
    pub state: TaskState,
    /// When it was told.
    pub at: Time,
    /// By whom.
    pub source: Source,
    /// Why.
    pub reason: Option<Reason>,
}

/// A kill that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kill {
    pub(crate) grace: Option<Duration>,
}

/// A task that is over, in about a hundred bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastTask {
    /// Its id.
    pub task_id: TaskId,
    /// Its name.
    pub name: Arc<str>,
    /// Where it ran.
    pub agent_id: AgentId,
    /// The role that its resources were allocated to.
    pub role: Role,
    /// What it used.
    pub resources: Arc<Resources>,
    /// Its end.
    pub step: Step,
}

/// What the master itself says of a task. Such a report has no uuid and is sent once.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) state: TaskState,
    pub(crate) reason: Option<Reason>,
    pub(crate) message: &'a str,
    pub(crate) agent_id: Option<AgentId>,
    pub(crate) unreachable_time: Option<Time>,
}

impl Task {
    /// A task that is being sent to its agent.
    pub(crate) fn launched(agent: AgentOrd, role: Role, info: &TaskInfo, now: Time) -> Self {
        let state = TaskState::Staging;
        Self {
            name: info.name.clone(),
            agent,
            agent_id: info.agent_id.clone(),
            role,
            resources: Arc::default(),
            holds: false,
            executor_id: info.executor.as_ref().map(|executor| executor.executor_id.clone()),
            shown: info.payload.shown(),
            state,
            told: state,
            status: None,
            steps: vec![Step { state, at: now, source: Source::Master, reason: None }],
            kill: None,
            unreachable_since: None,
        }
    }

    /// A task that its agent reports, and what was known of it while the agent was unreachable.
    pub(crate) fn reported(
        agent: AgentOrd,
        agent_id: AgentId,
        report: &AgentTask,
        shelved: Option<Self>,
        now: Time,
    ) -> Self {
        let told = report.status.map_or(report.state, |(state, _)| state);
        let step = Step { state: told, at: now, source: Source::Master, reason: None };
        let (kill, status, mut steps) =
            shelved.map_or((None, None, Vec::new()), |task| (task.kill, task.status, task.steps));
        steps.retain(|old| old.state != told);
        // Of most tasks there is no more to come.
        steps.reserve_exact(1);
        steps.push(step);
        Self {
            name: report.name.clone(),
            agent,
            agent_id,
            role: report.role.clone(),
            resources: Arc::default(),
            holds: false,
            executor_id: report.executor_id.clone(),
            shown: report.shown.clone(),
            state: report.state,
            told,
            status,
            steps,
            kill,
            unreachable_since: None,
        }
    }

    /// Records the newest state, as far as the table of transitions lets it be one.
    pub(crate) fn advance(&mut self, state: TaskState) {
        match self.state.transition(state) {
            Transition::Advance => self.state = state,
            Transition::Repeat | Transition::Stale => {}
        }
    }

    /// Records the newest state that was told, and where the task has been.
    pub(crate) fn record(&mut self, step: Step) {
        self.told = step.state;
        self.steps.retain(|old| old.state != step.state);
        self.steps.push(step);
    }
}

impl Master {
    /// Puts a task that holds nothing yet into the tables.
    pub(crate) fn insert_task(&mut self, framework: FrameworkOrd, task_id: TaskId, task: Task) {
        self.agents[task.agent].tasks.insert((framework, task_id.clone()));
        self.frameworks[framework].uses_executors |= task.executor_id.is_some();
        let known = self.frameworks[framework].tasks.insert(task_id, Box::new(task));
        assert!(known.is_none(), "a task id is one living task of its framework");
    }

    /// Counts a living task's resources as used, if the agent has them. Keeps M5 and M8.
    pub(crate) fn take_up(
        &mut self,
        framework: FrameworkOrd,
        task_id: &TaskId,
        resources: &Resources,
    ) {
        if let Some(agent) = self.count_used(framework, task_id, resources) {
            self.index_used(agent);
        }
    }

    /// As `take_up`, for many tasks of an agent: who calls it calls `index_used` after the last.
    /// Says whose resources are used now.
    pub(crate) fn count_used(
        &mut self,
        framework: FrameworkOrd,
        task_id: &TaskId,
        resources: &Resources,
    ) -> Option<AgentOrd> {
        let record = &mut self.frameworks[framework];
        if *record.last_resources != *resources {
            record.last_resources = Arc::new(resources.clone());
        }
        let shared = record.last_resources.clone();
        let task = record.tasks.get_mut(task_id).expect("the task is in its table");
        task.resources = shared;
        let agent = task.agent;
        if task.holds || task.state.is_terminal() || !self.agents[agent].has_free(resources) {
            return None;
        }
        task.holds = true;
        let role = task.role.clone();
        self.agents[agent].use_free(resources);
        let parts = self.allocator.sorter.cost(resources);
        self.allocator.sorter.hold(&role, framework, &parts);
        Some(agent)
    }

    /// Gives back what a task holds. Keeps M5 and M8.
    pub(crate) fn lay_down(&mut self, framework: FrameworkOrd, task_id: &TaskId) {
        let record = &mut self.frameworks[framework];
        let task = record.tasks.get_mut(task_id).expect("the task is in its table");
        if !std::mem::take(&mut task.holds) {
            return;
        }
        let (agent, resources, role) = (task.agent, task.resources.clone(), task.role.clone());
        self.free_used(agent, &resources);
        let parts = self.allocator.sorter.cost(&resources);
        self.allocator.sorter.release(&role, framework, &parts);
        self.eased();
    }

    /// Takes a task out of the tables, and gives back what it held.
    pub(crate) fn remove_task(&mut self, framework: FrameworkOrd, task_id: &TaskId) -> Task {
        self.lay_down(framework, task_id);
        let record = &mut self.frameworks[framework];
        let task = record.tasks.remove(task_id).expect("the task is in its table");
        let agent = &mut self.agents[task.agent];
        agent.tasks.remove(&(framework, task_id.clone()));
        if agent.draining {
            self.maybe_drained.insert(agent.id.clone());
        }
        *task
    }

    /// Remembers a task that is over, within limits.
    pub(crate) fn complete_task(&mut self, framework: FrameworkOrd, task_id: TaskId, task: Task) {
        if task.state == TaskState::Finished {
            self.counters.tasks_finished += 1;
        } else {
            self.counters.tasks_failed += 1;
        }
        let step = task.steps.last().copied().filter(|step| step.state == task.state);
        let step = step.unwrap_or(Step {
            state: task.state,
            at: self.now,
            source: Source::Master,
            reason: None,
        });
        let limit = self.options.completed_tasks;
        let record = &mut self.frameworks[framework];
        self.publisher.tell(|| Change::TaskEnded {
            framework_id: record.id.clone(),
            task_id: task_id.clone(),
            step,
        });
        let completed = &mut record.completed;
        completed.push_back(PastTask {
            task_id,
            name: task.name,
            agent_id: task.agent_id,
            role: task.role,
            resources: task.resources,
            step,
        });
        while completed.len() > limit {
            completed.pop_front();
        }
    }

    /// Remembers a task whose agent became unreachable, within limits.
    pub(crate) fn shelve_task(
        &mut self,
        framework: FrameworkOrd,
        task_id: TaskId,
        mut task: Task,
        since: Time,
    ) {
        let at = (framework, task_id.clone());
        self.shelved.entry(task.agent_id.clone()).or_default().insert(at);
        task.state = TaskState::Unreachable;
        task.unreachable_since = Some(since);
        let reason = Some(Reason::AgentRemoved);
        let (state, source) = (TaskState::Unreachable, Source::Master);
        task.record(Step { state, at: since, source, reason });
        let record = &mut self.frameworks[framework];
        record.unreachable.insert(task_id.clone(), Box::new(task));
        record.unreachable_order.push_back(task_id.clone());
        self.publish_task(framework, &task_id);
        while self.frameworks[framework].unreachable.len() > self.options.unreachable_tasks {
            let Some(oldest) = self.frameworks[framework].unreachable_order.front().cloned() else {
                break;
            };
            self.remember_forgetting(framework, &oldest);
            self.forget_task(framework, &oldest);
        }
    }

    /// Remembers a task of an unreachable agent no longer.
    pub(crate) fn forget_task(&mut self, framework: FrameworkOrd, task_id: &TaskId) {
        if self.unshelve_task(framework, task_id).is_some() {
            let (framework_id, task_id) = (self.frameworks[framework].id.clone(), task_id.clone());
            self.publisher.tell(|| Change::TaskForgotten { framework_id, task_id });
        }
    }

    /// Takes back a task whose agent was unreachable.
    pub(crate) fn unshelve_task(
        &mut self,
        framework: FrameworkOrd,
        task_id: &TaskId,
    ) -> Option<Task> {
        let record = &mut self.frameworks[framework];
        let task = record.unreachable.remove(task_id)?;
        record.unreachable_order.retain(|id| id != task_id);
        if let Some(here) = self.shelved.get_mut(&task.agent_id) {
            here.remove(&(framework, task_id.clone()));
            if here.is_empty() {
                self.shelved.remove(&task.agent_id);
            }
        }
        Some(*task)
    }

    /// Tells a framework what the master has to say of a task.
    pub(crate) fn report(
        &self,
        framework: FrameworkOrd,
        task_id: &TaskId,
        report: Report<'_>,
        out: &mut Vec<Effect>,
    ) {
        let mut status = TaskStatus::new(task_id.clone(), report.state, Source::Master, self.now);
        status.reason = report.reason;
        status.message = Some(Arc::from(report.message));
        status.agent_id = report.agent_id;
        status.unreachable_time = report.unreachable_time;
        self.tell(framework, Event::Update(status), out);
    }
}
