//! The agent's place in the cluster: reaching a master, registering, noticing that it is gone.
//!
//! At most one stream is current; what comes from another is ignored. A master that says nothing
//! for its ping timeout is taken for gone. Attempts wait a random time below a bound that doubles,
//! so that ten thousand agents do not come back in one moment.

use crate::effect::{CheckpointOp, Effect, Note};
use crate::input::AgentRecord;
use crate::state::{Agent, TaskKey};
use crate::status_updates::Report;
use proto::agent_link::{AgentCall, AgentTask};
use proto::{AgentId, AgentInfo, ClusterId, MasterId, Reason, TaskState, Time};
use std::sync::Arc;
use std::time::Duration;

/// What a master says below this is not taken at its word.
const SHORTEST_PING_TIMEOUT: Duration = Duration::from_secs(1);

/// Redirects that are followed at once; more in a row are taken for a loop and wait.
const REDIRECTS_AT_ONCE: u32 = 3;

/// Where the agent stands with the master.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// The newest attempt; the current stream's number while there is one.
    number: u64,
    phase: Phase,
    /// Attempts since the agent was last registered.
    failures: u32,
    /// Redirects in a row.
    redirects: u32,
    /// The cluster that the current stream leads to, if the master said so.
    cluster_id: Option<ClusterId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No stream; the next attempt comes at this time, or never while the agent is leaving.
    Waiting(Time),
    /// A stream was asked for.
    Connecting,
    /// The registration was sent; without an answer by this time the stream is given up.
    Registering(Time),
    /// Part of the cluster; without a message by `silent_at` the stream is given up.
    Registered { silent_at: Time, ping_timeout: Duration },
}

impl Link {
    /// Nothing yet; the first attempt comes at once.
    pub(crate) fn new(now: Time) -> Self {
        Self { number: 0, phase: Phase::Waiting(now), failures: 0, redirects: 0, cluster_id: None }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn is_registered(&self) -> bool {
        matches!(self.phase, Phase::Registered { .. })
    }

    /// Whether what comes from the stream `number` counts.
    pub(crate) fn is_current(&self, number: u64) -> bool {
        number == self.number && !matches!(self.phase, Phase::Waiting(_))
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        match self.phase {
            Phase::Waiting(at) | Phase::Registering(at) => Some(at),
            Phase::Registered { silent_at, .. } => Some(silent_at),
            Phase::Connecting => None,
        }
    }

    /// The master said something.
    fn heard(&mut self, now: Time) {
        if let Phase::Registered { silent_at, ping_timeout } = &mut self.phase {
            *silent_at = now + *ping_timeout;
        }
    }
}

impl Agent {
    /// The id that the master gave.
    pub fn agent_id(&self) -> Option<&AgentId> {
        self.identity.as_ref().map(|identity| &identity.agent_id)
    }

    /// Whether the agent is part of the cluster at this moment.
    pub fn is_registered(&self) -> bool {
        self.link.is_registered()
    }

    pub(crate) fn link_deadline(&self) -> Option<Time> {
        if self.leaving { None } else { self.link.deadline() }
    }

    /// Acts on the link's own deadline.
    pub(crate) fn link_tick(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if self.link_deadline().is_none_or(|at| at > now) {
            return;
        }
        match self.link.phase {
            Phase::Waiting(_) => {
                self.link.number += 1;
                self.link.phase = Phase::Connecting;
                self.link.cluster_id = None;
                effects.push(Effect::Connect { link: self.link.number });
            }
            Phase::Registering(_) => {
                effects.push(Effect::Disconnect { link: self.link.number });
                self.lose_link(now, "the master did not answer the registration".into(), effects);
            }
            Phase::Registered { .. } => {
                effects.push(Effect::Disconnect { link: self.link.number });
                self.lose_link(now, "the master was silent for its ping timeout".into(), effects);
            }
            Phase::Connecting => {}
        }
    }

    pub(crate) fn link_up(&mut self, now: Time, number: u64, effects: &mut Vec<Effect>) {
        if number != self.link.number || self.link.phase != Phase::Connecting {
            return;
        }
        self.link.phase = Phase::Registering(now + self.options.registration_timeout);
        let mut info = AgentInfo { id: None, ..self.options.info.clone() };
        let version = self.options.version.clone();
        let call = match &self.identity {
            None => AgentCall::Register { info, version, nonce: self.nonce },
            Some(identity) => {
                info.id = Some(identity.agent_id.clone());
                let frameworks = self
                    .frameworks
                    .values()
                    .filter(|framework| framework.is_busy())
                    .filter_map(|framework| framework.info.as_deref().cloned())
                    .collect();
                let (tasks, executors) = (self.agent_tasks(), self.agent_executors());
                AgentCall::Reregister { info, version, tasks, frameworks, executors }
            }
        };
        effects.push(Effect::ToMaster { link: number, call });
    }

    /// The stream leads to a cluster. The master of another one must not hear of this agent's
    /// tasks: they would become part of both.
    pub(crate) fn reached(
        &mut self,
        now: Time,
        number: u64,
        found: ClusterId,
        effects: &mut Vec<Effect>,
    ) {
        if number != self.link.number || self.link.phase != Phase::Connecting {
            return;
        }
        match self.cluster_id.clone().filter(|own| *own != found) {
            None => self.link.cluster_id = Some(found),
            Some(own) => {
                effects.push(Effect::Note(Note::OtherCluster { own, found }));
                effects.push(Effect::Disconnect { link: number });
                self.wait(now, self.options.connect_backoff_max);
            }
        }
    }

    /// All tasks, as the master is told of them.
    fn agent_tasks(&self) -> Vec<AgentTask> {
        let mut all = Vec::new();
        for (framework_id, framework) in &self.frameworks {
            for (task_id, task) in &framework.tasks {
                let launched = task.launched.as_ref();
                all.push(AgentTask {
                    framework_id: framework_id.clone(),
                    task_id: task_id.clone(),
                    name: launched.map_or_else(|| Arc::from(""), |l| l.info.name.clone()),
                    resources: launched
                        .filter(|l| l.holds || task.state.is_terminal())
                        .map(|l| l.info.resources.clone())
                        .unwrap_or_default(),
                    role: launched.map_or_else(proto::Role::any, |l| l.role.clone()),
                    state: task.state,
                    status: task
                        .stream
                        .pending
                        .front()
                        .and_then(|status| Some((status.state, status.uuid?))),
                    executor_id: launched
                        .and_then(|l| Some(l.info.executor.as_ref()?.executor_id.clone())),
                    shown: launched.and_then(|l| l.info.payload.shown()),
                });
            }
        }
        all
    }

    pub(crate) fn link_down(
        &mut self,
        now: Time,
        number: u64,
        reason: Arc<str>,
        effects: &mut Vec<Effect>,
    ) {
        if self.link.is_current(number) {
            self.lose_link(now, reason, effects);
        }
    }

    /// Another master leads.
    pub(crate) fn redirected(
        &mut self,
        now: Time,
        number: u64,
        reason: Arc<str>,
        effects: &mut Vec<Effect>,
    ) {
        if !self.link.is_current(number) {
            return;
        }
        if self.link.redirects >= REDIRECTS_AT_ONCE {
            // What is said in a circle is no way.
            let redirects = self.link.redirects;
            self.lose_link(now, reason, effects);
            self.link.redirects = redirects;
            return;
        }
        let retry_after = Duration::ZERO;
        let failures = self.link.failures;
        self.wait(now, retry_after);
        // Whoever is sent on has not failed.
        self.link.failures = failures;
        self.link.redirects += 1;
        self.counters.links_lost += 1;
        effects.push(Effect::Note(Note::LinkLost { reason, retry_after }));
    }

    /// The cluster that this agent belongs to; before it does, the one that the current stream
    /// leads to.
    pub(crate) fn current_cluster(&self) -> Option<&ClusterId> {
        self.cluster_id.as_ref().or(self.link.cluster_id.as_ref())
    }

    /// Gives the current stream up; says how long it is until the next attempt.
    pub(crate) fn back_off(&mut self, now: Time) -> Duration {
        let doubled = 1u32.checked_shl(self.link.failures).unwrap_or(u32::MAX);
        let bound = self.options.connect_backoff.saturating_mul(doubled);
        let retry_after = self.random.up_to(bound.min(self.options.connect_backoff_max));
        self.wait(now, retry_after);
        retry_after
    }

    fn lose_link(&mut self, now: Time, reason: Arc<str>, effects: &mut Vec<Effect>) {
        self.link.redirects = 0;
        let retry_after = self.back_off(now);
        self.counters.links_lost += 1;
        effects.push(Effect::Note(Note::LinkLost { reason, retry_after }));
    }

    fn wait(&mut self, now: Time, pause: Duration) {
        self.stop_sending();
        self.volumes.unheard();
        self.epochs.unheard();
        self.link.failures = self.link.failures.saturating_add(1);
        self.link.phase = Phase::Waiting(now + pause);
    }

    /// Remembers that the master lives. Called for each of its messages.
    pub(crate) fn heard(&mut self, now: Time) {
        self.link.heard(now);
    }

    /// The master admits the agent. Says whether that counts.
    pub(crate) fn registered(
        &mut self,
        now: Time,
        agent_id: AgentId,
        master_id: MasterId,
        ping_timeout: Duration,
        effects: &mut Vec<Effect>,
    ) -> bool {
        if !self.may_register(now, &agent_id, effects) {
            return false;
        }
        let ping_timeout = ping_timeout.max(SHORTEST_PING_TIMEOUT);
        self.cluster_id = self.cluster_id.take().or_else(|| self.link.cluster_id.clone());
        let again = self.identity.is_some();
        let record = AgentRecord {
            agent_id: agent_id.clone(),
            master_id,
            cluster_id: self.cluster_id.clone(),
            info: AgentInfo { id: Some(agent_id.clone()), ..self.options.info.clone() },
            boot_id: self.options.boot_id.clone(),
        };
        if self.identity.as_ref() != Some(&record) {
            effects.push(Effect::Persist(CheckpointOp::PutAgent(Box::new(record.clone()))));
            self.identity = Some(record);
        }
        self.link.failures = 0;
        self.link.redirects = 0;
        self.link.phase = Phase::Registered { silent_at: now + ping_timeout, ping_timeout };
        effects.push(Effect::Note(Note::Registered { agent_id, again }));
        self.tell_pressure_if_any(effects);
        self.send_all(now, effects);
        true
    }

    /// An answer counts while a registration waits for one, and only under the agent's own id.
    fn may_register(&mut self, now: Time, agent_id: &AgentId, effects: &mut Vec<Effect>) -> bool {
        if !matches!(self.link.phase, Phase::Registering(_)) || self.leaving {
            let message = "a registration was answered that was not waiting for it".into();
            effects.push(Effect::Note(Note::Ignored { message }));
            return false;
        }
        match &self.identity {
            Some(identity) if identity.agent_id != *agent_id => {
                let reason = format!(
                    "the master answered as to agent {agent_id}, this is {}",
                    identity.agent_id
                );
                effects.push(Effect::Disconnect { link: self.link.number });
                self.lose_link(now, reason.into(), effects);
                false
            }
            Some(_) | None => true,
        }
    }

    /// Answers for tasks that the master believes in and this agent did not report.
    pub(crate) fn reconcile(&mut self, now: Time, tasks: Vec<TaskKey>, effects: &mut Vec<Effect>) {
        let rebooted = std::mem::take(&mut self.rebooted);
        for key in tasks {
            if self.task(&key).is_some() {
                continue;
            }
            let (state, reason, message) = if rebooted {
                (TaskState::Gone, Reason::AgentRebooted, "The agent's host was started anew")
            } else {
                (TaskState::Dropped, Reason::Reconciliation, "The agent does not know this task")
            };
            self.report_unknown(now, &key, state, reason, message, effects);
        }
    }

    /// Makes and delivers the one update of a task that the agent has nothing else of.
    pub(crate) fn report_unknown(
        &mut self,
        now: Time,
        key: &TaskKey,
        state: TaskState,
        reason: Reason,
        message: impl Into<Arc<str>>,
        effects: &mut Vec<Effect>,
    ) {
        let framework = self.frameworks.entry(key.0.clone()).or_default();
        let state = framework.word(state);
        framework.tasks.insert(key.1.clone(), crate::state::Task::phantom());
        self.report(now, key, Report::of_agent(state, reason, message), effects);
    }

    pub(crate) fn refused(
        &mut self,
        now: Time,
        message: Arc<str>,
        gone: bool,
        effects: &mut Vec<Effect>,
    ) {
        effects.push(Effect::Disconnect { link: self.link.number });
        effects.push(Effect::Note(Note::Refused { message, gone }));
        let pause = self.options.connect_backoff_max;
        self.wait(now, pause);
        if gone && self.identity.is_some() {
            self.leave(now, effects);
        }
    }
}

#[cfg(test)]
mod tests;
