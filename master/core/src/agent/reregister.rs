//! An agent that has an id comes back: after its own restart, the master's, or a broken stream.
//!
//! What the agent says of its tasks is the truth about what runs there; what the master believes
//! besides, the agent is asked to answer for. Nothing that runs is ever killed here, except tasks
//! of frameworks that are over.

use crate::agent::gone::GONE;
use crate::agent::{has_shared, take};
use crate::effect::Effect;
use crate::input::ConnectionId;
use crate::registry::{RegistryOp, changed_of, configured_of, with_changes};
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use crate::task::{Report, Task};
use proto::agent_link::{AgentEvent, AgentExecutor, AgentTask};
use proto::{AgentId, AgentInfo, FrameworkId, FrameworkInfo, Reason, Resources, TaskId, Time};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// What an agent says when it comes back.
#[derive(Debug)]
pub(crate) struct Returning {
    /// Its resources are those of its configuration, until what is reserved and made on it is laid
    /// on top (`with_holdings`).
    pub(crate) info: AgentInfo,
    /// Those of its configuration, once they are not those of `info`.
    pub(crate) configured: Option<Box<Resources>>,
    pub(crate) version: Arc<str>,
    pub(crate) tasks: Vec<AgentTask>,
    pub(crate) frameworks: Vec<FrameworkInfo>,
    pub(crate) executors: Vec<AgentExecutor>,
}

impl Returning {
    pub(crate) fn of(
        info: AgentInfo,
        version: Arc<str>,
        tasks: Vec<AgentTask>,
        frameworks: Vec<FrameworkInfo>,
    ) -> Self {
        Self { info, configured: None, version, tasks, frameworks, executors: Vec::new() }
    }
}

/// Why an agent's configuration is refused. `Display` is a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConfigurationRefused {
    /// It holds what is made at run time alone.
    Changed(Resources),
    /// It has more names of resources than one agent may have.
    TooManyNames { given: usize, limit: usize },
}

impl fmt::Display for ConfigurationRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(resources) => write!(
                f,
                "the agent's resources ({resources}) hold dynamic reservations, persistent volumes \
                 or shared ones: its configuration may hold static reservations only; the others \
                 are made with RESERVE and CREATE once it is registered"
            ),
            Self::TooManyNames { given, limit } => write!(
                f,
                "the agent has resources of {given} names; an agent may have {limit} at the most: \
                 what differs from agent to agent belongs into its attributes"
            ),
        }
    }
}

/// Whether an agent's configuration has `names` of resources at the most, and holds nothing that
/// is made at run time alone.
pub(crate) fn check_configuration(
    resources: &Resources,
    names: usize,
) -> Result<(), ConfigurationRefused> {
    let given: BTreeSet<_> = resources.pieces().iter().map(|piece| &piece.name).collect();
    if given.len() > names {
        return Err(ConfigurationRefused::TooManyNames { given: given.len(), limit: names });
    }
    match changed_of(resources).is_empty() && !has_shared(resources) {
        true => Ok(()),
        false => Err(ConfigurationRefused::Changed(resources.clone())),
    }
}

/// What is owed to the agent, and to frameworks, once it is admitted.
#[derive(Default)]
struct Owed {
    over: BTreeSet<FrameworkId>,
    kills: Vec<(FrameworkId, TaskId)>,
    announce: Vec<(FrameworkOrd, TaskId)>,
    reconcile: Vec<(FrameworkId, TaskId)>,
}

impl Master {
    pub(crate) fn reregister(
        &mut self,
        connection: ConnectionId,
        returning: Returning,
        out: &mut Vec<Effect>,
    ) {
        let gone = returning.info.id.as_ref().is_some_and(|id| self.is_gone(id));
        let checked = match gone {
            true => Err(GONE.to_owned()),
            false => self.with_holdings(returning),
        };
        let checked = checked.and_then(|returning| {
            self.check_return(&returning)?;
            Ok(returning)
        });
        match checked {
            Ok(returning) => self.readmit(connection, returning, false, out),
            Err(message) => self.refuse_agent(connection, message, gone, out),
        }
    }

    /// Does not admit an agent, and ends its stream.
    pub(crate) fn refuse_agent(
        &mut self,
        connection: ConnectionId,
        message: String,
        gone: bool,
        out: &mut Vec<Effect>,
    ) {
        self.agent_closed(connection, out);
        let event = AgentEvent::Refused { message: Arc::from(message), gone };
        self.tell_agent(connection, event, out);
        out.push(Effect::CloseAgent { connection });
    }

    /// Lays what is reserved and made on the agent on what its configuration says. Refuses an agent
    /// that does not have so much any more: nothing that was reserved is lost silently.
    pub(crate) fn with_holdings(&self, mut returning: Returning) -> Result<Returning, String> {
        check_configuration(&returning.info.resources, self.options.agent_resource_names)
            .map_err(|refused| refused.to_string())?;
        let id = returning.info.id.as_ref();
        let Some(facts) = id.and_then(|id| self.registry.agents().get(id)) else {
            return Ok(returning);
        };
        let changed = changed_of(&facts.info.resources);
        if changed.is_empty() {
            return Ok(returning);
        }
        let configured = &returning.info.resources;
        let total = with_changes(configured, &changed).map_err(|short| {
            format!(
                "the agent's resources ({configured}) do not hold what is reserved on it \
                 ({changed}): {short}; give the agent at least {}, or have its reservations and \
                 volumes undone, or the agent marked gone, by an operator",
                configured_of(&changed)
            )
        })?;
        let configured = std::mem::replace(&mut returning.info.resources, total);
        returning.configured = Some(Box::new(configured));
        Ok(returning)
    }

    /// Refuses what cannot be so, before anything changes.
    fn check_return(&self, returning: &Returning) -> Result<(), String> {
        if returning.info.id.is_none() {
            return Err("an agent without an id must register, not reregister".to_owned());
        }
        if let Some(message) = self.refuses_for_maintenance(&returning.info) {
            return Err(message.to_owned());
        }
        let mut free = returning.info.resources.clone();
        let mut seen = BTreeSet::new();
        for task in &returning.tasks {
            if !seen.insert((&task.framework_id, &task.task_id)) {
                return Err(format!("task {} is reported twice", task.task_id));
            }
            // What is over uses nothing, and is ended as soon as the agent is admitted: an operator
            // may have undone what was reserved for it.
            let over = self.registry.is_completed(&task.framework_id);
            let described = over
                || self.framework_ids.contains_key(&task.framework_id)
                || returning.frameworks.iter().any(|f| f.id.as_ref() == Some(&task.framework_id));
            if !described {
                let (task_id, id) = (&task.task_id, &task.framework_id);
                return Err(format!("task {task_id} is of framework {id}, which is not described"));
            }
            if !over && !task.state.is_terminal() {
                take(&mut free, &task.resources).map_err(|short| {
                    let (task_id, total) = (&task.task_id, &returning.info.resources);
                    format!(
                        "the agent's resources ({total}) do not hold its tasks: task {task_id} \
                         {short}; give the agent at least what its tasks use"
                    )
                })?;
            }
        }
        self.check_executors(returning, free)
    }

    /// As for tasks: executors are of frameworks that are described, each is there once, and what
    /// they use is there.
    fn check_executors(&self, returning: &Returning, mut free: Resources) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for AgentExecutor { framework_id, info, .. } in &returning.executors {
            let id = &info.executor_id;
            if !seen.insert((framework_id, id)) {
                return Err(format!("executor {id} is reported twice"));
            }
            if self.registry.is_completed(framework_id) {
                continue;
            }
            let described = self.framework_ids.contains_key(framework_id)
                || returning.frameworks.iter().any(|f| f.id.as_ref() == Some(framework_id));
            if !described {
                return Err(format!(
                    "executor {id} is of framework {framework_id}, which is not described"
                ));
            }
            take(&mut free, &info.resources).map_err(|short| {
                let total = &returning.info.resources;
                format!(
                    "the agent's resources ({total}) do not hold its executors: executor {id} \
                     {short}; give the agent at least what its tasks and executors use"
                )
            })?;
        }
        Ok(())
    }

    /// Admits an agent that was checked. `as_new` answers a repeated registration.
    pub(crate) fn readmit(
        &mut self,
        connection: ConnectionId,
        returning: Returning,
        as_new: bool,
        out: &mut Vec<Effect>,
    ) {
        let Some(id) = returning.info.id.clone() else { return };
        let facts = self.registry.agents().get(&id);
        let was_unreachable = facts.is_none_or(|agent| agent.unreachable.is_some());
        let registered = facts.map_or(self.now, |agent| agent.registered);
        self.persist_return(&id, &returning, registered, out);
        self.expect_no_more(&id);

        let ord = match self.agent_ord(&id) {
            Some(ord) => {
                self.rescind_agent_offers(ord, out);
                ord
            }
            None => {
                let (info, version) = (returning.info.clone(), returning.version.clone());
                self.add_agent(id.clone(), info, version, registered)
            }
        };
        let owed = self.settle_tasks(ord, &returning, was_unreachable);
        self.describe_agent(ord, &returning);
        self.agents[ord].reregistered = Some(self.now);
        self.publisher.agent(&id);
        self.bind_agent(ord, connection, out);
        self.welcome(ord, &id, owed, &returning.frameworks, as_new, out);
        self.answer_doubts(&id, out);
        self.plan(ord, out);
        self.go_on_draining(ord, out);
        self.touch(ord);
    }

    fn persist_return(
        &mut self,
        id: &AgentId,
        returning: &Returning,
        registered: Time,
        out: &mut Vec<Effect>,
    ) {
        let facts = self.registry.agents().get(id);
        let known = facts.is_some_and(|agent| {
            agent.info == returning.info && agent.version == returning.version
        });
        let unreachable = facts.is_some_and(|agent| agent.unreachable.is_some());
        if !known {
            let configured = returning.configured.as_ref();
            let resources = configured.map_or(&returning.info.resources, |own| own).clone();
            let admit = RegistryOp::AdmitAgent {
                info: AgentInfo { resources, ..returning.info.clone() },
                version: returning.version.clone(),
                // The record takes the place of the first one, which was found by this.
                nonce: facts.and_then(|agent| agent.nonce),
                registered,
            };
            self.persist(admit, out);
        }
        if unreachable {
            self.persist(RegistryOp::MarkReachable { agent_id: id.clone() }, out);
        }
    }

    /// Makes the master's tasks of the agent what the agent says, and its account anew.
    fn settle_tasks(&mut self, ord: AgentOrd, returning: &Returning, unreachable: bool) -> Owed {
        let mut owed = Owed::default();
        let mut missing: BTreeSet<(FrameworkOrd, TaskId)> = self.agents[ord].tasks.clone();
        // The whole account of the agent is written anew: first nothing is used, then each task is.
        for (framework, task_id) in &missing {
            self.lay_down(*framework, task_id);
        }
        self.clear_executors(ord);
        let configured = returning.configured.clone();
        self.set_total(ord, returning.info.resources.clone(), configured);
        self.settle_executors(ord, returning, &mut owed);
        for report in &returning.tasks {
            if self.registry.is_completed(&report.framework_id) {
                owed.over.insert(report.framework_id.clone());
                continue;
            }
            let framework = self.framework_of(&report.framework_id, &returning.frameworks);
            missing.remove(&(framework, report.task_id.clone()));
            self.settle_task(ord, framework, report, unreachable, &mut owed);
        }
        for (framework, task_id) in missing {
            self.settle_missing(framework, task_id, &mut owed);
        }
        self.index_used(ord);
        self.reconcile_shelved(ord, &mut owed);
        owed
    }

    /// The executors that the agent reports are those that there are.
    fn settle_executors(&mut self, ord: AgentOrd, returning: &Returning, owed: &mut Owed) {
        for AgentExecutor { framework_id, role, info } in &returning.executors {
            if self.registry.is_completed(framework_id) {
                owed.over.insert(framework_id.clone());
                continue;
            }
            let framework = self.framework_of(framework_id, &returning.frameworks);
            self.add_executor(ord, framework, Arc::new(info.clone()), role.clone());
        }
    }

    /// One task that the agent reports.
    fn settle_task(
        &mut self,
        ord: AgentOrd,
        framework: FrameworkOrd,
        report: &AgentTask,
        unreachable: bool,
        owed: &mut Owed,
    ) {
        let task_id = &report.task_id;
        let record = &mut self.frameworks[framework];
        if let Some(task) = record.tasks.get_mut(task_id) {
            if task.agent != ord {
                // The same id lives elsewhere; there is one live attempt at most.
                owed.kills.push((report.framework_id.clone(), task_id.clone()));
                return;
            }
            task.advance(report.state);
            task.role = report.role.clone();
            if task.kill.is_some() && !task.state.is_terminal() {
                owed.kills.push((report.framework_id.clone(), task_id.clone()));
            }
            self.count_used(framework, task_id, &report.resources);
            self.publish_task(framework, task_id);
            return;
        }
        let shelved = self.unshelve_task(framework, task_id);
        let announce = (shelved.is_some() || unreachable) && !report.state.is_terminal();
        let kill = shelved.as_ref().and_then(|task| task.kill);
        let agent_id = self.agents[ord].id.clone();
        let task = Task::reported(ord, agent_id, report, shelved, self.now);
        self.insert_task(framework, task_id.clone(), task);
        self.count_used(framework, task_id, &report.resources);
        self.publish_task(framework, task_id);
        if kill.is_some() && !report.state.is_terminal() {
            owed.kills.push((report.framework_id.clone(), task_id.clone()));
        }
        if announce {
            owed.announce.push((framework, task_id.clone()));
        }
    }

    /// One task that the agent does not report. An ended one is acknowledged and forgotten there;
    /// for any other the agent is asked to answer.
    fn settle_missing(&mut self, framework: FrameworkOrd, task_id: TaskId, owed: &mut Owed) {
        let task = &self.frameworks[framework].tasks[&task_id];
        if task.state.is_terminal() {
            let task = self.remove_task(framework, &task_id);
            self.complete_task(framework, task_id, task);
            return;
        }
        owed.reconcile.push((self.frameworks[framework].id.clone(), task_id.clone()));
        let resources = Resources::clone(&task.resources);
        self.count_used(framework, &task_id, &resources);
    }

    /// Tasks that were on the agent when it became unreachable and that it does not report: the
    /// agent answers for them as well.
    fn reconcile_shelved(&mut self, ord: AgentOrd, owed: &mut Owed) {
        let gone = self.shelved.get(&self.agents[ord].id).cloned().unwrap_or_default();
        for (framework, task_id) in gone {
            self.forget_task(framework, &task_id);
            owed.reconcile.push((self.frameworks[framework].id.clone(), task_id));
        }
    }

    /// The framework of a reported task; one that nobody knew yet is recovered from the report.
    fn framework_of(&mut self, id: &FrameworkId, described: &[FrameworkInfo]) -> FrameworkOrd {
        if let Some(ord) = self.framework_ord(id) {
            return ord;
        }
        let info = described.iter().find(|info| info.id.as_ref() == Some(id));
        let info = info.cloned().expect("check_return saw the description");
        // Its scheduler could not come back before there was a master.
        let grace = info.failover_timeout.max(self.options.framework_reregister_timeout);
        let ord = self.add_framework(info, self.now);
        self.set_failover_deadline(ord, Some(self.now + grace));
        ord
    }

    fn describe_agent(&mut self, ord: AgentOrd, returning: &Returning) {
        let agent = &mut self.agents[ord];
        let changed = agent.info.attributes != returning.info.attributes
            || agent.info.domain != returning.info.domain;
        agent.info = returning.info.clone();
        agent.attributes = Arc::from(returning.info.attributes.as_slice());
        agent.version = returning.version.clone();
        if changed {
            self.clear_agent_filters(ord);
        }
    }

    fn welcome(
        &mut self,
        ord: AgentOrd,
        id: &AgentId,
        owed: Owed,
        described: &[FrameworkInfo],
        as_new: bool,
        out: &mut Vec<Effect>,
    ) {
        let (agent_id, master_id) = (id.clone(), self.info.id.clone());
        let ping_timeout = self.options.agent_ping_timeout;
        let reconcile = owed.reconcile;
        let answer = if as_new {
            AgentEvent::Registered { agent_id, master_id, ping_timeout }
        } else {
            AgentEvent::Reregistered { agent_id, master_id, ping_timeout, reconcile }
        };
        self.send(ord, answer, out);
        self.tell_volumes_anew(ord, out);
        for framework_id in owed.over {
            self.send(ord, AgentEvent::ShutdownFramework { framework_id }, out);
        }
        for info in described {
            let framework = info.id.as_ref().and_then(|id| self.framework_ord(id));
            let newest = framework.map(|framework| &self.frameworks[framework].info);
            if let Some(newest) = newest.filter(|newest| ***newest != *info) {
                self.send(ord, AgentEvent::UpdateFramework { framework: newest.clone() }, out);
            }
        }
        for (framework_id, task_id) in owed.kills {
            let framework = self.framework_ord(&framework_id);
            let task = framework.and_then(|ord| self.frameworks[ord].tasks.get(&task_id));
            let grace = task.and_then(|task| task.kill).and_then(|kill| kill.grace);
            let draining = self.agents[ord].draining;
            let kill = AgentEvent::Kill { framework_id, task_id, grace, draining };
            self.send(ord, kill, out);
        }
        for (framework, task_id) in owed.announce {
            let state = self.frameworks[framework].tasks[&task_id].told;
            let report = Report {
                state: self.state_for(framework, state),
                reason: Some(Reason::AgentReregistered),
                message: "Agent reregistered",
                agent_id: Some(id.clone()),
                unreachable_time: None,
            };
            self.report(framework, &task_id, report, out);
        }
    }
}
