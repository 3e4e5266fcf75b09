//! A framework uses offers of one agent and one role.
//!
//! All the offers must still stand; else those that do are given back unfiltered and every task is
//! answered for. Then the operations are done in order against what the offers hold, and the
//! filters are laid on what remains.

mod change;
mod group;
mod launch;
mod validate;

use crate::agent::unreachable::Hidden;
use crate::allocator::demand::Credit;
use crate::effect::{Effect, Refusal};
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use crate::task::Report;
use proto::{
    AgentId, Filters, OfferId, Operation, Reason, Resources, Role, TaskId, TaskState,
    UnreadableTask,
};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// What is said of a task when the master cannot know whether it was launched before.
fn may_run(hidden: Hidden) -> &'static str {
    match hidden {
        Hidden::Unreachable(_) => {
            "Task launched with invalid offers, on an agent that is unreachable: if it was \
             launched before, it may run there"
        }
        Hidden::Expected => {
            "Task launched with invalid offers, on an agent that is yet to come back to this \
             master: if it was launched before, it may run there"
        }
    }
}

/// The accepted offers, as one.
#[derive(Debug)]
struct Accepted {
    agent: AgentOrd,
    role: Role,
    resources: Resources,
    credits: Vec<Credit>,
}

/// Why the offers of an ACCEPT cannot be used together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OffersInvalid {
    /// There is none.
    None,
    /// One is named twice.
    Duplicate(OfferId),
    /// One is not outstanding: used, declined, rescinded, timed out, or of somebody else.
    NotValid(OfferId),
    /// Two roles.
    Roles(Role, Role),
    /// Two agents.
    Agents(AgentId, AgentId),
}

impl fmt::Display for OffersInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("No offers specified"),
            Self::Duplicate(id) => write!(f, "Duplicate offer {id} in offer list"),
            Self::NotValid(id) => write!(f, "Offer {id} is no longer valid"),
            Self::Roles(a, b) => {
                write!(f, "Aggregated offers must have the same role, not '{a}' and '{b}'")
            }
            Self::Agents(a, b) => {
                write!(f, "Aggregated offers must belong to one agent, not {a} and {b}")
            }
        }
    }
}

impl Master {
    pub(crate) fn accept(
        &mut self,
        framework: FrameworkOrd,
        offer_ids: &[OfferId],
        operations: Vec<Operation>,
        filters: Filters,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        // Before anything changes: the whole call is built, or the whole call is refused.
        let mut changes = false;
        for operation in &operations {
            if let Operation::NotBuilt(_) = operation {
                let what = format!("the operation {}", operation.name());
                return Err(Refusal::NotBuilt(Arc::from(what)));
            }
            changes |= matches!(operation, Operation::Change(_));
        }
        if changes {
            self.check_room_for_operations(framework, &operations)?;
        }
        let mut accepted = match self.check_offers(framework, offer_ids) {
            Ok(numbers) => self.take_offers(&numbers),
            Err(invalid) => {
                self.give_back(framework, offer_ids);
                self.drop_tasks(framework, &operations, &invalid, out);
                self.drop_changes(framework, operations, &invalid, out);
                return Ok(());
            }
        };
        let mut remaining = match changes {
            true => accepted.resources.clone(),
            false => std::mem::take(&mut accepted.resources),
        };
        let launched = self.perform(framework, &accepted, operations, &mut remaining, out);
        for credit in &accepted.credits {
            self.frameworks[framework].demand.launched(credit, launched);
            self.publisher.demand(framework, self.now);
        }
        let refused = match changes {
            true => change::unchanged(&remaining, &accepted.resources),
            false => remaining,
        };
        self.add_filter(framework, accepted.agent, &accepted.role, refused, filters);
        Ok(())
    }

    /// Does the operations in order, and says how many tasks were launched. What they change is
    /// made durable and told together, once; what is to run is sent after it.
    fn perform(
        &mut self,
        framework: FrameworkOrd,
        accepted: &Accepted,
        operations: Vec<Operation>,
        remaining: &mut Resources,
        out: &mut Vec<Effect>,
    ) -> usize {
        let (agent, role) = (accepted.agent, &accepted.role);
        let (mut launched, mut runs) = (0, Vec::new());
        let mut draft = None;
        for operation in operations {
            match operation {
                Operation::Launch(tasks) => {
                    let run = self.launch(framework, agent, role, tasks, remaining, out);
                    launched += run.len();
                    runs.extend(self.orders(framework, role, run));
                    if draft.is_none() {
                        runs.drain(..).for_each(|run| self.send(agent, run, out));
                    }
                }
                Operation::Unreadable(tasks) => {
                    for UnreadableTask { task_id, agent_id, problem } in tasks {
                        self.refuse_task(framework, &task_id, agent_id, &problem, out);
                    }
                }
                Operation::LaunchGroup(group) => {
                    let run = self.launch_group(framework, agent, role, *group, remaining, out);
                    launched += run.len();
                    runs.extend(self.orders(framework, role, run));
                    if draft.is_none() {
                        runs.drain(..).for_each(|run| self.send(agent, run, out));
                    }
                }
                Operation::Change(change) => {
                    let draft = draft.get_or_insert_with(|| self.draft(agent));
                    self.accept_change(framework, accepted, *change, remaining, draft, out);
                }
                Operation::Invalid(wrong) => {
                    let draft = draft.get_or_insert_with(|| self.draft(agent));
                    let problem = format!("Invalid {} operation: {}", wrong.name, wrong.problem);
                    draft.refuse(framework, wrong.id, problem);
                }
                Operation::NotBuilt(_) => {}
            }
        }
        if let Some(draft) = draft {
            self.settle(draft, out);
        }
        runs.into_iter().for_each(|run| self.send(agent, run, out));
        launched
    }

    fn check_offers(
        &self,
        framework: FrameworkOrd,
        offer_ids: &[OfferId],
    ) -> Result<Vec<u64>, OffersInvalid> {
        let mut numbers: Vec<u64> = Vec::with_capacity(offer_ids.len());
        for id in offer_ids {
            let number = self.offer_number(framework, id);
            let number = number.ok_or_else(|| OffersInvalid::NotValid(id.clone()))?;
            if numbers.contains(&number) {
                return Err(OffersInvalid::Duplicate(id.clone()));
            }
            if let Some(first) = numbers.first() {
                let (first, this) = (&self.offers[first], &self.offers[&number]);
                if first.role != this.role {
                    return Err(OffersInvalid::Roles(first.role.clone(), this.role.clone()));
                }
                if first.agent != this.agent {
                    let id = |agent: AgentOrd| self.agents[agent].id.clone();
                    return Err(OffersInvalid::Agents(id(first.agent), id(this.agent)));
                }
            }
            numbers.push(number);
        }
        if numbers.is_empty() { Err(OffersInvalid::None) } else { Ok(numbers) }
    }

    /// Takes checked offers out of the tables. An offer's agent is connected: its offers are
    /// rescinded when it is not.
    fn take_offers(&mut self, numbers: &[u64]) -> Accepted {
        let mut resources = Resources::new();
        let mut credits = Vec::with_capacity(numbers.len());
        let first = &self.offers[&numbers[0]];
        let (agent, role) = (first.agent, first.role.clone());
        for number in numbers {
            let offer = self.remove_offer(*number);
            resources.add(&offer.resources);
            credits.push(offer.credit);
        }
        Accepted { agent, role, resources, credits }
    }

    fn give_back(&mut self, framework: FrameworkOrd, offer_ids: &[OfferId]) {
        let numbers: BTreeSet<u64> =
            offer_ids.iter().filter_map(|id| self.offer_number(framework, id)).collect();
        for number in numbers {
            self.remove_offer(number);
        }
    }

    /// Answers for the tasks of an ACCEPT with invalid offers. A task that is known was launched
    /// by the same call, which was sent twice: it is not dropped, and nothing is said. One that may
    /// run all the same, as its agent is out of this master's sight, is not said to have never run.
    fn drop_tasks(
        &mut self,
        framework: FrameworkOrd,
        operations: &[Operation],
        invalid: &OffersInvalid,
        out: &mut Vec<Effect>,
    ) {
        let message = format!("Task launched with invalid offers: {invalid}");
        for (task_id, agent_id) in operations.iter().flat_map(ids) {
            let known = &self.frameworks[framework];
            if known.tasks.contains_key(task_id) || known.unreachable.contains_key(task_id) {
                continue;
            }
            self.counters.tasks_refused += 1;
            let hidden = agent_id.and_then(|id| self.hidden(id));
            let (state, message) = match hidden {
                Some(hidden) => (TaskState::Unreachable, may_run(hidden)),
                None => (TaskState::Dropped, &*message),
            };
            if let (Some(Hidden::Expected), Some(id)) = (hidden, agent_id) {
                self.doubt(id, framework, task_id);
            }
            let report = Report {
                state: self.state_for(framework, state),
                reason: Some(Reason::InvalidOffers),
                message,
                agent_id: agent_id.cloned(),
                unreachable_time: hidden.and_then(Hidden::since),
            };
            self.report(framework, task_id, report, out);
        }
    }
}

impl Master {
    /// Answers for the changes of an ACCEPT with invalid offers. One that is known was made by the
    /// same call, which was sent twice.
    fn drop_changes(
        &mut self,
        framework: FrameworkOrd,
        operations: Vec<Operation>,
        invalid: &OffersInvalid,
        out: &mut Vec<Effect>,
    ) {
        let problem = format!("Operation attempted with invalid offers: {invalid}");
        for operation in operations {
            let id = match operation {
                Operation::Change(change) => change.id,
                Operation::Invalid(wrong) => wrong.id,
                Operation::Launch(_)
                | Operation::Unreadable(_)
                | Operation::LaunchGroup(_)
                | Operation::NotBuilt(_) => continue,
            };
            let known = id.as_ref().is_some_and(|id| {
                self.operations.find(&self.frameworks[framework].id, id).is_some()
            });
            if !known {
                self.refuse_operation(framework, id, None, &problem, out);
            }
        }
    }
}

/// The tasks of an operation, and where they were to run.
fn ids(operation: &Operation) -> Vec<(&TaskId, Option<&AgentId>)> {
    match operation {
        Operation::Launch(tasks) => {
            tasks.iter().map(|task| (&task.task_id, Some(&task.agent_id))).collect()
        }
        Operation::Unreadable(tasks) => {
            tasks.iter().map(|task| (&task.task_id, task.agent_id.as_ref())).collect()
        }
        Operation::LaunchGroup(group) => {
            let readable = group.tasks.iter().map(|task| (&task.task_id, Some(&task.agent_id)));
            let rest = group.unreadable.iter();
            readable.chain(rest.map(|task| (&task.task_id, task.agent_id.as_ref()))).collect()
        }
        Operation::Change(_) | Operation::Invalid(_) | Operation::NotBuilt(_) => Vec::new(),
    }
}
