//! A framework asks what became of its tasks.
//!
//! Explicit, for each task, the first row that fits:
//!
//! | situation | answer |
//! | --- | --- |
//! | the task is known | the state it was last told |
//! | it was on an agent that became unreachable | UNREACHABLE, or LOST |
//! | an agent that might have it is not back yet | none: ask again later |
//! | its agent is registered, and has it not | GONE, or LOST |
//! | its agent is unreachable | UNREACHABLE, or LOST |
//! | its agent is gone for ever | GONE_BY_OPERATOR, or LOST |
//! | otherwise | UNKNOWN, or LOST |
//!
//! LOST is the word for frameworks that are not partition-aware. Implicit: every task that is
//! known, and unreachable ones for the partition-aware.
//!
//! Answers are given in slices, at a pace that a reader can follow: what does not fit into the
//! first one waits with the framework, and is answered with what is so then.

use super::{Report, Task};
use crate::deadlines::Deadline;
use crate::effect::{Effect, Refusal};
use crate::state::Master;
use crate::table::FrameworkOrd;
use proto::scheduler::Event;
use proto::{AgentId, Reason, Source, TaskId, TaskState, TaskStatus, Time};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

/// Answers of one slice at the most.
const SLICE: usize = 1000;
/// Bytes of one slice, by what makes statuses big, at about which it ends.
const SLICE_BYTES: usize = 4 << 20;
/// From one slice to the next.
const PACE: Duration = Duration::from_millis(10);
/// Tasks that one framework may have waiting for an answer.
pub(crate) const BACKLOG: usize = 131_072;

/// What is still to be answered.
#[derive(Debug, Default)]
pub(crate) struct Reconciling {
    asks: VecDeque<Ask>,
    /// Tasks in explicit asks.
    waiting: usize,
    /// When the next slice is due; set while anything waits.
    pub(crate) due: Option<Time>,
}

/// One RECONCILE, as far as it is not answered.
#[derive(Debug)]
enum Ask {
    /// These tasks.
    Explicit(VecDeque<(TaskId, Option<AgentId>)>),
    /// All known tasks after this one.
    Known(Option<TaskId>),
    /// All unreachable tasks after this one.
    Unreachable(Option<TaskId>),
}

/// What is left of a slice.
struct Budget {
    answers: usize,
    bytes: usize,
}

impl Budget {
    fn is_spent(&self) -> bool {
        self.answers == 0 || self.bytes == 0
    }

    fn spend(&mut self, task: Option<&Task>) {
        let status = task.and_then(|task| task.status.as_ref());
        let payload = status.and_then(|status| status.data.as_ref()).map_or(0, |data| data.len());
        self.answers = self.answers.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(payload);
    }
}

impl Reconciling {
    /// Whether anything waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.asks.is_empty()
    }
}

impl Master {
    pub(crate) fn reconcile(
        &mut self,
        framework: FrameworkOrd,
        tasks: Vec<(TaskId, Option<AgentId>)>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let record = &mut self.frameworks[framework];
        let waiting = &mut record.reconciling;
        if tasks.is_empty() {
            // One that waits will say what is so then: a second one would say the same.
            let unanswered = |ask: &Ask| matches!(ask, Ask::Known(None));
            if !waiting.asks.iter().any(unanswered) {
                waiting.asks.push_back(Ask::Known(None));
                if record.info.is_partition_aware() {
                    waiting.asks.push_back(Ask::Unreachable(None));
                }
            }
        } else if waiting.waiting + tasks.len() > BACKLOG {
            let (asked, waiting) = (tasks.len(), waiting.waiting);
            return Err(Refusal::TooMuchToReconcile { asked, waiting, limit: BACKLOG });
        } else {
            waiting.waiting += tasks.len();
            waiting.asks.push_back(Ask::Explicit(tasks.into()));
        }
        if waiting.due.is_none() {
            self.reconcile_slice(framework, out);
        }
        Ok(())
    }

    /// Answers as much as fits into one slice.
    pub(crate) fn reconcile_slice(&mut self, framework: FrameworkOrd, out: &mut Vec<Effect>) {
        self.set_reconcile_due(framework, None);
        let mut reconciling = std::mem::take(&mut self.frameworks[framework].reconciling);
        let mut budget = Budget { answers: SLICE, bytes: SLICE_BYTES };
        while let Some(ask) = reconciling.asks.front_mut().filter(|_| !budget.is_spent()) {
            if self.answer_ask(framework, ask, &mut reconciling.waiting, &mut budget, out) {
                reconciling.asks.pop_front();
            }
        }
        let rest = !reconciling.is_empty();
        self.frameworks[framework].reconciling = reconciling;
        self.set_reconcile_due(framework, rest.then(|| self.now + PACE));
    }

    /// Answers an ask as far as the budget goes; says whether it is done.
    fn answer_ask(
        &self,
        framework: FrameworkOrd,
        ask: &mut Ask,
        waiting: &mut usize,
        budget: &mut Budget,
        out: &mut Vec<Effect>,
    ) -> bool {
        let record = &self.frameworks[framework];
        while !budget.is_spent() {
            match ask {
                Ask::Explicit(tasks) => {
                    let Some((task_id, agent_id)) = tasks.pop_front() else { return true };
                    *waiting -= 1;
                    budget.spend(record.tasks.get(&task_id).map(Box::as_ref));
                    self.reconcile_task(framework, &task_id, agent_id.as_ref(), out);
                }
                Ask::Known(after) => {
                    let Some((task_id, task)) = next(&record.tasks, after) else { return true };
                    budget.spend(Some(task));
                    self.answer_known(framework, task_id, out);
                    *after = Some(task_id.clone());
                }
                Ask::Unreachable(after) => {
                    let found = next(&record.unreachable, after);
                    let Some((task_id, task)) = found else { return true };
                    budget.spend(None);
                    let (agent_id, since) = (Some(task.agent_id.clone()), task.unreachable_since);
                    let state = TaskState::Unreachable;
                    self.answer(framework, task_id, state, agent_id, since, out);
                    *after = Some(task_id.clone());
                }
            }
        }
        false
    }

    /// Forgets what is not answered: there is nobody to answer.
    pub(crate) fn stop_reconciling(&mut self, framework: FrameworkOrd) {
        self.set_reconcile_due(framework, None);
        self.frameworks[framework].reconciling = Reconciling::default();
    }

    /// Keeps M9.
    fn set_reconcile_due(&mut self, framework: FrameworkOrd, at: Option<Time>) {
        let due = &mut self.frameworks[framework].reconciling.due;
        if let Some(old) = std::mem::replace(due, at) {
            self.deadlines.clear(old, Deadline::Reconcile(framework));
        }
        if let Some(at) = at {
            self.deadlines.set(at, Deadline::Reconcile(framework));
        }
    }

    pub(crate) fn reconcile_task(
        &self,
        framework: FrameworkOrd,
        task_id: &TaskId,
        agent_id: Option<&AgentId>,
        out: &mut Vec<Effect>,
    ) {
        let record = &self.frameworks[framework];
        if record.tasks.contains_key(task_id) {
            self.answer_known(framework, task_id, out);
            return;
        }
        if let Some(task) = record.unreachable.get(task_id) {
            let agent_id = Some(task.agent_id.clone());
            let since = task.unreachable_since;
            self.answer(framework, task_id, TaskState::Unreachable, agent_id, since, out);
            return;
        }
        let may_return = match agent_id {
            Some(agent_id) => self.recovered.contains(agent_id),
            None => !self.recovered.is_empty(),
        };
        if may_return {
            return;
        }
        let registered = agent_id.is_some_and(|id| self.agent_ids.contains_key(id));
        let facts = agent_id.and_then(|id| self.registry.agents().get(id));
        let since = facts.and_then(|agent| agent.unreachable);
        let state = match (registered, since) {
            (true, _) => TaskState::Gone,
            (false, Some(_)) => TaskState::Unreachable,
            (false, None) if agent_id.is_some_and(|id| self.is_gone(id)) => {
                TaskState::GoneByOperator
            }
            (false, None) => TaskState::Unknown,
        };
        let since = since.filter(|_| !registered);
        self.answer(framework, task_id, state, agent_id.cloned(), since, out);
    }

    /// What the task was last told, with what the agent said then.
    fn answer_known(&self, framework: FrameworkOrd, task_id: &TaskId, out: &mut Vec<Effect>) {
        let task = &self.frameworks[framework].tasks[task_id];
        let plain = || TaskStatus::new(task_id.clone(), task.told, Source::Master, self.now);
        let mut status = task.status.as_deref().cloned().unwrap_or_else(plain);
        status.state = task.told;
        status.source = Source::Master;
        status.reason = Some(Reason::Reconciliation);
        status.message = Some(Arc::from("Reconciliation: Latest task state"));
        status.agent_id = Some(task.agent_id.clone());
        status.timestamp = self.now;
        status.uuid = None;
        self.tell(framework, Event::Update(status), out);
    }

    fn answer(
        &self,
        framework: FrameworkOrd,
        task_id: &TaskId,
        state: TaskState,
        agent_id: Option<AgentId>,
        unreachable_time: Option<Time>,
        out: &mut Vec<Effect>,
    ) {
        let message = if state == TaskState::Unreachable {
            "Reconciliation: Task's agent is unreachable"
        } else if state == TaskState::Gone {
            "Reconciliation: Task is unknown to its agent"
        } else if state == TaskState::GoneByOperator {
            "Reconciliation: Task's agent was marked gone by an operator"
        } else {
            "Reconciliation: Task is unknown"
        };
        let state = self.state_for(framework, state);
        let reason = Some(Reason::Reconciliation);
        let report = Report { state, reason, message, agent_id, unreachable_time };
        self.report(framework, task_id, report, out);
    }
}

fn next<'a>(
    tasks: &'a BTreeMap<TaskId, Box<Task>>,
    after: &Option<TaskId>,
) -> Option<(&'a TaskId, &'a Task)> {
    let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
    let (task_id, task) = tasks.range::<TaskId, _>((from, Bound::Unbounded)).next()?;
    Some((task_id, task))
}
