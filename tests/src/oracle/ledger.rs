//! The master's books, kept again from what it is told and what it says: offers and what tasks use,
//! agent by agent.
//!
//! I4: on no agent do tasks and offers exceed what it has. I5: no offer is made twice, and one that
//! is not outstanding launches nothing; nothing is offered of an agent that an operator closed.
//! I13: an agent that is gone is not taken back under its id. I20: what the master says of the whole adds up.

use super::instances::plainly;
use super::quota::Limits;
use super::{TaskKey, Verdict, broken};
use master_core::{ConnectionId, Effect, Input, Registry, RegistryOp, RequestId};
use proto::agent_link::{AgentCall, AgentEvent, AgentExecutor, AgentTask};
use proto::operator::{AgentStanding, State};
use proto::scheduler::{CallBody, Event};
use proto::{AgentId, ExecutorId, FrameworkId, OfferId, Resources, Role, TaskInfo};
use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;

/// What the input of the present step will change, if the master takes it.
#[derive(Debug, Default)]
enum Pending {
    #[default]
    Nothing,
    /// Offers are answered.
    Answers {
        request: RequestId,
        framework: Option<FrameworkId>,
        offers: Vec<OfferId>,
    },
    /// A task's newest state.
    Update {
        connection: ConnectionId,
        key: TaskKey,
        over: bool,
    },
    /// All tasks and executors of an agent.
    Returns {
        connection: ConnectionId,
        tasks: Vec<AgentTask>,
        executors: Vec<AgentExecutor>,
    },
    /// An executor is there no more.
    ExecutorEnded {
        connection: ConnectionId,
        key: ExecutorKey,
    },
    FrameworkClosed(ConnectionId),
    AgentClosed(ConnectionId),
}

/// A framework's executor on an agent.
type ExecutorKey = (FrameworkId, ExecutorId);

#[derive(Debug)]
struct Offered {
    framework: FrameworkId,
    agent: AgentId,
    role: Role,
    resources: Resources,
}

/// The books.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pending: Pending,
    totals: BTreeMap<AgentId, Resources>,
    /// What each agent has by its configuration, without its reservations of run time and without
    /// volumes: operations neither add to it nor take from it.
    configured: BTreeMap<AgentId, Resources>,
    agents: BTreeMap<ConnectionId, AgentId>,
    frameworks: BTreeMap<ConnectionId, FrameworkId>,
    offers: BTreeMap<OfferId, Offered>,
    /// All offers that were ever made.
    made: BTreeSet<OfferId>,
    used: BTreeMap<AgentId, BTreeMap<TaskKey, (Role, Resources)>>,
    /// What executors of groups use beside the tasks.
    executors: BTreeMap<AgentId, BTreeMap<ExecutorKey, (Role, Resources)>>,
    limits: Limits,
    over: BTreeSet<FrameworkId>,
    /// Agents of which nothing may be offered.
    closed: BTreeSet<AgentId>,
    /// Agents that an operator said will never be back, as long as the registry remembers them.
    gone: BTreeSet<AgentId>,
    /// Agents that were gone, and are forgotten because there were too many.
    forgotten: BTreeSet<AgentId>,
    /// Agents that count towards the cluster: they registered with this master and were not given
    /// up.
    present: BTreeSet<AgentId>,
    /// There is a newer master, and this one does not know it yet.
    pub(super) outdated: bool,
    /// Agents that told a master, when it was outdated, what they run: beside what it launched that
    /// is what its successors launched where that had ended.
    ahead: BTreeSet<AgentId>,
}

impl Ledger {
    /// What is handed on to the books of the next master.
    pub(super) fn pass_on(&mut self) -> Self {
        let (made, forgotten) = (take(&mut self.made), self.forgotten.clone());
        // The present one may go on for a while.
        let configured = self.configured.clone();
        Self { made, forgotten, configured, ..Self::default() }
    }

    /// A new master knows nothing of offers and tasks.
    pub(super) fn begin(&mut self, registry: &Registry) {
        let agents = registry.agents().iter();
        let totals = agents.map(|(id, agent)| (id.clone(), agent.info.resources.clone()));
        let over = registry.completed().iter().filter_map(|past| past.info.id.clone());
        let shut = registry.agents().iter().filter(|(_, a)| a.deactivated || a.drain.is_some());
        *self = Self {
            totals: totals.collect(),
            over: over.collect(),
            closed: shut.map(|(id, _)| id.clone()).collect(),
            gone: registry.gone().keys().cloned().collect(),
            ..self.pass_on()
        };
        self.limits.begin(registry);
    }

    pub(super) fn will_step(&mut self, input: &Input) {
        self.pending = match input {
            Input::Call { request, connection, call } => match &call.body {
                CallBody::Accept { offer_ids, .. } | CallBody::Decline { offer_ids, .. } => {
                    let framework = connection.and_then(|c| self.frameworks.get(&c).cloned());
                    Pending::Answers { request: *request, framework, offers: offer_ids.clone() }
                }
                _ => Pending::Nothing,
            },
            Input::AgentCall { connection, call } => match call {
                AgentCall::Update { framework_id, status, latest_state } => Pending::Update {
                    connection: *connection,
                    key: (framework_id.clone(), status.task_id.clone()),
                    over: latest_state.is_terminal(),
                },
                AgentCall::Reregister { tasks, executors, .. } => Pending::Returns {
                    connection: *connection,
                    tasks: tasks.clone(),
                    executors: executors.clone(),
                },
                AgentCall::ExecutorEnded { framework_id, executor_id, .. } => {
                    let key = (framework_id.clone(), executor_id.clone());
                    Pending::ExecutorEnded { connection: *connection, key }
                }
                _ => Pending::Nothing,
            },
            Input::FrameworkClosed { connection } => Pending::FrameworkClosed(*connection),
            Input::AgentClosed { connection } => Pending::AgentClosed(*connection),
            _ => Pending::Nothing,
        };
    }

    /// What an agent has after this step, when it was admitted or something on it was reserved or
    /// made.
    pub(super) fn has(&mut self, agent: &AgentId, total: &Resources) -> Verdict {
        let configured = self.configured.entry(agent.clone());
        let configured = configured.or_insert_with(|| plainly(total));
        let (was, is) = (configured.clone(), plainly(total));
        self.totals.insert(agent.clone(), total.clone());
        if was != is {
            return broken("I20", format!("{agent} had {was}, and has {is}: {total}"));
        }
        Ok(())
    }

    /// Frameworks whose schedulers are connected.
    pub(super) fn connected(&self) -> impl Iterator<Item = &FrameworkId> {
        self.frameworks.values()
    }

    pub(super) fn stepped(&mut self, effects: &[Effect]) -> Verdict {
        let pending = take(&mut self.pending);
        let mut touched = BTreeSet::new();
        self.take_input(&pending, effects)?;
        for effect in effects {
            self.take_effect(effect, &pending, &mut touched)?;
        }
        touched.iter().try_for_each(|agent| self.fits(agent))?;
        let used = self.used.values().flat_map(BTreeMap::values);
        let used = used.chain(self.executors.values().flat_map(BTreeMap::values));
        let offers = self.offers.values().map(|offer| (&offer.role, &offer.resources));
        let here = self.totals.iter().filter(|(id, _)| self.present.contains(*id));
        self.limits.hold(used, offers, here.map(|(_, total)| total))
    }

    /// Whether an agent was gone, and nobody remembers it.
    pub(super) fn is_forgotten(&self, agent: &AgentId) -> bool {
        self.forgotten.contains(agent)
    }

    fn take_input(&mut self, pending: &Pending, effects: &[Effect]) -> Verdict {
        match pending {
            Pending::Answers { request, framework, offers } => {
                let taken = effects.contains(&Effect::Accepted { request: *request });
                if !taken {
                    return Ok(());
                }
                let ours = |id: &&OfferId| {
                    self.offers.get(*id).is_some_and(|o| Some(&o.framework) == framework.as_ref())
                };
                let distinct: BTreeSet<&OfferId> = offers.iter().collect();
                let valid = distinct.len() == offers.len() && offers.iter().all(|id| ours(&id));
                let launches = effects.iter().any(|effect| {
                    let Effect::ToAgent { event, .. } = effect else { return false };
                    matches!(event, AgentEvent::Run { .. } | AgentEvent::RunByExecutors { .. })
                });
                if launches && !valid {
                    return broken("I5", format!("{offers:?} are not outstanding, yet tasks run"));
                }
                let gone: Vec<OfferId> = offers.iter().filter(ours).cloned().collect();
                for id in gone {
                    self.offers.remove(&id);
                }
            }
            Pending::Update { connection, key, over: true } => {
                if let Some(agent) = self.agents.get(connection)
                    && let Some(tasks) = self.used.get_mut(agent)
                {
                    tasks.remove(key);
                }
            }
            Pending::ExecutorEnded { connection, key } => {
                let agent = self.agents.get(connection);
                if let Some(executors) = agent.and_then(|id| self.executors.get_mut(id)) {
                    executors.remove(key);
                }
            }
            Pending::FrameworkClosed(connection) => {
                if let Some(id) = self.frameworks.remove(connection) {
                    self.offers.retain(|_, offer| offer.framework != id);
                }
            }
            Pending::AgentClosed(connection) => {
                self.agents.remove(connection);
            }
            Pending::Nothing | Pending::Update { .. } | Pending::Returns { .. } => {}
        }
        Ok(())
    }

    fn take_effect(
        &mut self,
        effect: &Effect,
        pending: &Pending,
        touched: &mut BTreeSet<AgentId>,
    ) -> Verdict {
        match effect {
            Effect::Persist(op) => self.registry_changes(op),
            Effect::ToFramework { connection, event } => {
                return self.tells_framework(*connection, event, touched);
            }
            Effect::ToAgent { connection, event, .. } => {
                return self.tells_agent(*connection, event, pending, touched);
            }
            Effect::CloseFramework { connection } => {
                self.frameworks.remove(connection);
            }
            Effect::CloseAgent { connection } => {
                self.agents.remove(connection);
            }
            _ => {}
        }
        Ok(())
    }

    fn registry_changes(&mut self, op: &RegistryOp) {
        self.limits.registry_changes(op);
        match op {
            RegistryOp::AdmitAgent { info, .. } => {
                // Who knows the registry has said it already, with what is reserved on it.
                if let Some(id) = info.id.as_ref().filter(|id| !self.configured.contains_key(*id)) {
                    self.totals.insert(id.clone(), info.resources.clone());
                }
            }
            RegistryOp::DeactivateAgent { agent_id } | RegistryOp::DrainAgent { agent_id, .. } => {
                self.closed.insert(agent_id.clone());
            }
            RegistryOp::ReactivateAgent { agent_id } => {
                self.closed.remove(agent_id);
            }
            RegistryOp::MarkUnreachable { agent_id, .. }
            | RegistryOp::RemoveAgent { agent_id }
            | RegistryOp::MarkGone { agent_id, .. } => {
                match op {
                    RegistryOp::MarkGone { .. } => {
                        self.gone.insert(agent_id.clone());
                    }
                    RegistryOp::RemoveAgent { .. } => {
                        self.closed.remove(agent_id);
                        self.forgotten.extend(self.gone.take(agent_id));
                    }
                    _ => {}
                }
                self.present.remove(agent_id);
                self.used.remove(agent_id);
                self.executors.remove(agent_id);
                self.offers.retain(|_, offer| offer.agent != *agent_id);
            }
            RegistryOp::CompleteFramework { info, .. } => {
                if let Some(id) = &info.id {
                    self.offers.retain(|_, offer| offer.framework != *id);
                    for tasks in self.used.values_mut() {
                        tasks.retain(|(framework, _), _| framework != id);
                    }
                    for executors in self.executors.values_mut() {
                        executors.retain(|(framework, _), _| framework != id);
                    }
                    self.over.insert(id.clone());
                }
            }
            _ => {}
        }
    }

    fn tells_framework(
        &mut self,
        connection: ConnectionId,
        event: &Event,
        touched: &mut BTreeSet<AgentId>,
    ) -> Verdict {
        match event {
            Event::Subscribed { framework_id, .. } => {
                self.offers.retain(|_, offer| offer.framework != *framework_id);
                self.frameworks.retain(|_, id| id != framework_id);
                self.frameworks.insert(connection, framework_id.clone());
            }
            Event::Offers(offers) => {
                for offer in offers {
                    if !self.made.insert(offer.id.clone()) {
                        return broken("I5", format!("offer {} is made a second time", offer.id));
                    }
                    if self.closed.contains(&offer.agent_id) || self.gone.contains(&offer.agent_id)
                    {
                        let what =
                            format!("offer {} of {}, which is closed", offer.id, offer.agent_id);
                        return broken("I5", what);
                    }
                    touched.insert(offer.agent_id.clone());
                    let offered = Offered {
                        framework: offer.framework_id.clone(),
                        agent: offer.agent_id.clone(),
                        role: offer.role.clone(),
                        resources: offer.resources.clone(),
                    };
                    self.limits.offers(&offer.role, &offer.resources);
                    self.offers.insert(offer.id.clone(), offered);
                }
            }
            Event::Rescind(id) => {
                self.offers.remove(id);
            }
            _ => {}
        }
        Ok(())
    }

    fn tells_agent(
        &mut self,
        connection: ConnectionId,
        event: &AgentEvent,
        pending: &Pending,
        touched: &mut BTreeSet<AgentId>,
    ) -> Verdict {
        match event {
            AgentEvent::Registered { agent_id, .. } | AgentEvent::Reregistered { agent_id, .. } => {
                if self.gone.contains(agent_id) {
                    return broken("I13", format!("{agent_id} is gone, and is taken back"));
                }
                self.agents.retain(|_, id| id != agent_id);
                self.agents.insert(connection, agent_id.clone());
                self.present.insert(agent_id.clone());
                touched.insert(agent_id.clone());
                if let Pending::Returns { connection: on, tasks, executors } = pending
                    && *on == connection
                {
                    self.returns(agent_id, tasks, executors);
                }
            }
            AgentEvent::Run { framework, role, tasks } => {
                let Some(id) = &framework.id else { return Ok(()) };
                touched.extend(self.runs(connection, id, role, tasks));
            }
            AgentEvent::RunByExecutors { framework, role, tasks, start } => {
                let Some(id) = &framework.id else { return Ok(()) };
                let Some(agent) = self.runs(connection, id, role, tasks) else { return Ok(()) };
                let executors = self.executors.entry(agent.clone()).or_default();
                let named = tasks.iter().filter_map(|task| task.executor.as_ref());
                for executor in named.filter(|executor| start.contains(&executor.executor_id)) {
                    let held = (role.clone(), executor.resources.clone());
                    executors.insert((id.clone(), executor.executor_id.clone()), held);
                }
                touched.insert(agent);
            }
            _ => {}
        }
        Ok(())
    }

    /// An agent is to run tasks; which one.
    fn runs(
        &mut self,
        connection: ConnectionId,
        framework: &FrameworkId,
        role: &Role,
        tasks: &[TaskInfo],
    ) -> Option<AgentId> {
        let agent = self.agents.get(&connection)?;
        let used = self.used.entry(agent.clone()).or_default();
        for task in tasks {
            let held = (role.clone(), task.resources.clone());
            used.insert((framework.clone(), task.task_id.clone()), held);
        }
        Some(agent.clone())
    }

    fn returns(&mut self, agent: &AgentId, tasks: &[AgentTask], executors: &[AgentExecutor]) {
        let living = executors.iter().filter(|own| !self.over.contains(&own.framework_id));
        let held = living.map(|own| {
            let key = (own.framework_id.clone(), own.info.executor_id.clone());
            (key, (own.role.clone(), own.info.resources.clone()))
        });
        self.executors.insert(agent.clone(), held.collect());
        if self.outdated {
            self.ahead.insert(agent.clone());
        }
        let used = self.used.entry(agent.clone()).or_default();
        for task in tasks {
            let key = (task.framework_id.clone(), task.task_id.clone());
            if task.state.is_terminal() || self.over.contains(&task.framework_id) {
                used.remove(&key);
            } else {
                used.insert(key, (task.role.clone(), task.resources.clone()));
            }
        }
    }

    /// What is on the agent in tasks, and in offers.
    fn sums(&self, agent: &AgentId) -> (Resources, Resources) {
        let (mut used, mut offered) = (Resources::default(), Resources::default());
        for (_, resources) in self.used.get(agent).into_iter().flat_map(BTreeMap::values) {
            used.add(resources);
        }
        for (_, resources) in self.executors.get(agent).into_iter().flat_map(BTreeMap::values) {
            used.add(resources);
        }
        for offer in self.offers.values().filter(|offer| offer.agent == *agent) {
            offered.add(&offer.resources);
        }
        (used, offered)
    }

    fn fits(&self, agent: &AgentId) -> Verdict {
        let Some(total) = self.totals.get(agent) else {
            return broken("I4", format!("{agent} was never admitted"));
        };
        let (used, offered) = self.sums(agent);
        if !total.contains(&used.plus(&offered)) && !self.ahead.contains(agent) {
            let what = format!("{agent} has {total}: used {used}, offered {offered}");
            return broken("I4", what);
        }
        Ok(())
    }

    /// Compares what the master says with the books.
    pub(super) fn audit(&self, state: &State) -> Verdict {
        for agent in &state.agents {
            let Some(id) = &agent.info.id else {
                return broken("I20", format!("an agent without id on {}", agent.info.hostname));
            };
            let standing = agent.standing;
            if !matches!(standing, AgentStanding::Active | AgentStanding::Suspect) {
                continue;
            }
            let (used, offered) = self.sums(id);
            if offered != agent.offered || used != agent.allocated {
                let what = format!(
                    "{id} ({standing:?}): the master says used {} offered {}, the books say used \
                     {used} offered {offered}",
                    agent.allocated, agent.offered
                );
                return broken("I20", what);
            }
            if !agent.info.resources.contains(&used.plus(&offered)) {
                let what = format!("{id} has {}: {used} and {offered}", agent.info.resources);
                return broken("I20", what);
            }
        }
        Ok(())
    }
}
