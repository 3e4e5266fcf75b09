//! The driver proper: subscription, offers at hand, living tasks, acknowledgements, kills.
//!
//! It keeps the promises that every framework needs and decides nothing about work: what to launch
//! and what an end means is told by the layer above, which also puts its records before the calls.

mod calls;

use super::boundary::{ConnectionId, Effect};
use super::demand::{Demand, Want};
use super::link::{Link, State};
use super::options::Options;
use super::random::Random;
use super::reconcile::Reconciler;
use super::record;
use super::state::{Follows, StateCalls};
use proto::scheduler::{Call, CallBody, Event, StateFence, Subscribe};
use proto::{
    AgentId, ExecutorId, FrameworkId, FrameworkInfo, Offer, OfferId, Role, TaskId, TaskStatus, Time,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// News for the layer above.
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// The framework is subscribed; its id is durable once the effects so far are performed.
    Subscribed(FrameworkId),
    /// The connection is gone, and with it all offers.
    Disconnected,
    /// New offers; the driver holds them.
    Offers(Vec<Offer>),
    /// An offer is no longer at hand: the master took it back, or idleness gave it back.
    Rescinded(OfferId),
    /// A report on a task, ours or not. With a uuid it waits for [`Driver::acknowledge`].
    Update(Box<TaskStatus>),
    /// Bytes from an executor.
    Message {
        /// Its agent.
        agent_id: AgentId,
        /// The executor.
        executor_id: ExecutorId,
        /// The bytes.
        data: Arc<[u8]>,
    },
    /// A call was refused.
    Refused {
        /// The call's name.
        call: Arc<str>,
        /// The status code.
        code: u16,
        /// Why.
        message: Arc<str>,
    },
    /// The master ended the framework; nothing more is tried.
    Stopped(Arc<str>),
}

/// A kill under way: repeated until the task's end is reported.
#[derive(Clone, Copy, Debug)]
struct Kill {
    next: Time,
    times: u32,
    grace: Option<Duration>,
}

#[derive(Debug)]
struct Task {
    agent: AgentId,
    kill: Option<Kill>,
}

/// See the module.
#[derive(Debug)]
pub struct Driver {
    options: Options,
    random: Random,
    framework_id: Option<FrameworkId>,
    link: Link,
    offers: BTreeMap<OfferId, Offer>,
    tasks: BTreeMap<TaskId, Task>,
    kills: BTreeSet<(Time, TaskId)>,
    reconciler: Reconciler,
    demand: Demand,
    state: StateCalls,
    /// What must hold at the master for a SUBSCRIBE.
    fence: Option<StateFence>,
    /// Whether its records say who goes on when another instance subscribes.
    is_fenced: bool,
}

/// What a framework hears whose place another instance has taken, in Mesos' words.
const REPLACED: &str = "Framework failed over";
/// Why one stopped whose fence does not hold any more.
pub(crate) const TAKEN_OVER: &str = "another instance of the framework has taken over";

impl Driver {
    /// A driver with what is durable: the framework's id, if it has one, and its living tasks.
    /// Its first deadline is at once: it connects at the first [`tick`](Self::tick).
    pub fn new(
        options: Options,
        seed: u64,
        framework_id: Option<FrameworkId>,
        living: impl IntoIterator<Item = (TaskId, AgentId)>,
    ) -> Self {
        Self {
            options,
            random: Random::new(seed),
            framework_id,
            link: Link::new(),
            offers: BTreeMap::new(),
            tasks: living
                .into_iter()
                .map(|(task, agent)| (task, Task { agent, kill: None }))
                .collect(),
            kills: BTreeSet::new(),
            reconciler: Reconciler::default(),
            demand: Demand::default(),
            state: StateCalls::default(),
            fence: None,
            is_fenced: false,
        }
    }

    /// Takes over a living task that is recorded: its state is asked for once there is a
    /// connection.
    pub fn adopt(&mut self, task: TaskId, agent: AgentId) {
        self.tasks.insert(task, Task { agent, kill: None });
    }

    /// From now on the master is to refuse a SUBSCRIBE unless the framework's state is like that.
    ///
    /// Who takes over is decided by that state and by nothing else: an instance that hears that
    /// another one subscribed subscribes again, with its fence if it has one, until it is refused.
    /// Otherwise two that subscribe by turns could both end.
    pub fn set_fence(&mut self, fence: Option<StateFence>) {
        self.fence = fence;
        self.is_fenced = true;
    }

    /// How it was set up.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The framework's id, once it has one.
    pub fn framework_id(&self) -> Option<&FrameworkId> {
        self.framework_id.as_ref()
    }

    /// Whether calls can be made now.
    pub fn is_subscribed(&self) -> bool {
        self.link.open().is_some()
    }

    /// Whether the master ended the framework.
    pub fn is_stopped(&self) -> bool {
        self.link.state() == State::Stopped
    }

    /// The offers at hand.
    pub fn offers(&self) -> &BTreeMap<OfferId, Offer> {
        &self.offers
    }

    /// Whether the framework asked for silence.
    pub fn is_suppressed(&self) -> bool {
        self.demand.is_suppressed()
    }

    /// What is wanted.
    pub fn want(&self) -> &Want {
        self.demand.want()
    }

    /// Living tasks with their agents.
    pub fn tasks(&self) -> impl Iterator<Item = (&TaskId, &AgentId)> {
        self.tasks.iter().map(|(id, task)| (id, &task.agent))
    }

    /// The agent of a living task.
    pub fn agent_of(&self, task: &TaskId) -> Option<&AgentId> {
        self.tasks.get(task).map(|task| &task.agent)
    }

    /// Whether the task is being killed.
    pub fn is_killing(&self, task: &TaskId) -> bool {
        self.tasks.get(task).is_some_and(|task| task.kill.is_some())
    }

    /// Tasks whose state was asked for and not answered yet.
    pub fn unanswered(&self) -> &BTreeSet<TaskId> {
        self.reconciler.unanswered()
    }

    /// When [`tick`](Self::tick) is due.
    pub fn deadline(&self) -> Option<Time> {
        let link = self.link.deadline(&self.options);
        if self.link.open().is_none() {
            return link;
        }
        let kill = self.kills.first().map(|(next, _)| *next);
        let demand = self.demand.deadline(&self.options);
        [link, kill, demand, self.reconciler.deadline()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Time, effects: &mut Vec<Effect>) -> Vec<Signal> {
        if self.link.tick(now, &self.options, &mut self.random, effects) {
            self.lose_connection();
            return vec![Signal::Disconnected];
        }
        if self.link.open().is_some() {
            let said = self.demand.tick(now, &self.options);
            let given_back: Vec<OfferId> =
                if said.suppress { self.offers.keys().cloned().collect() } else { Vec::new() };
            self.say(said, effects);
            self.repeat_kills(now, effects);
            self.reconcile(now, effects);
            return given_back.into_iter().map(Signal::Rescinded).collect();
        }
        Vec::new()
    }

    /// The connection is open: subscribes.
    pub fn connected(&mut self, now: Time, connection: ConnectionId, effects: &mut Vec<Effect>) {
        if !self.link.connected(now, connection) {
            return;
        }
        let suppressed = self.demand.subscribing();
        let body = CallBody::Subscribe(Box::new(Subscribe {
            framework_info: self.info(),
            suppressed_roles: suppressed
                .then(|| self.options.role.clone())
                .into_iter()
                .collect::<BTreeSet<Role>>(),
            offer_constraints: None,
            fence: self.fence.clone(),
        }));
        let call = Box::new(Call { framework_id: self.framework_id.clone(), body });
        effects.push(Effect::Send { connection, call });
    }

    fn info(&self) -> FrameworkInfo {
        let mut info = FrameworkInfo::new(self.options.user.clone(), self.options.name.clone());
        info.id.clone_from(&self.framework_id);
        info.failover_timeout = self.options.failover_timeout;
        info.checkpoint = true;
        info.roles = BTreeSet::from([self.options.role.clone()]);
        info.hostname = self.options.hostname.clone();
        info.webui_url = self.options.webui_url.clone();
        info.capabilities = self.options.capabilities;
        info
    }

    /// The connection broke.
    pub fn closed(
        &mut self,
        now: Time,
        connection: ConnectionId,
        leader: Option<Arc<str>>,
    ) -> Vec<Signal> {
        let was_open = self.link.open().is_some();
        let lost = self.link.closed(now, connection, leader, &self.options, &mut self.random);
        if lost && was_open {
            self.lose_connection();
            return vec![Signal::Disconnected];
        }
        Vec::new()
    }

    fn lose_connection(&mut self) {
        self.offers.clear();
        self.reconciler.stop();
    }

    /// An event from the master. Events of older connections are no news.
    pub fn event(
        &mut self,
        now: Time,
        connection: ConnectionId,
        event: Event,
        effects: &mut Vec<Effect>,
    ) -> Vec<Signal> {
        if !self.link.heard(now, connection) {
            return Vec::new();
        }
        match event {
            Event::Subscribed { framework_id, heartbeat_interval, .. } => {
                self.subscribed(now, framework_id, heartbeat_interval, effects)
            }
            Event::Error(message) if self.is_fenced && &*message == REPLACED => {
                effects.push(Effect::Disconnect { connection });
                self.closed(now, connection, None)
            }
            Event::Error(message) => self.stop(message, effects),
            Event::Refused { call, code, message } => {
                self.refused(now, call, code, message, effects)
            }
            _ if self.link.open().is_none() => Vec::new(),
            Event::Offers(offers) => self.take_offers(offers, effects),
            Event::Rescind(offer) => match self.offers.remove(&offer) {
                Some(_) => vec![Signal::Rescinded(offer)],
                None => Vec::new(),
            },
            Event::Update(status) => {
                self.reconciler.answered(&status.task_id);
                vec![Signal::Update(Box::new(status))]
            }
            Event::Message { agent_id, executor_id, data } => {
                vec![Signal::Message { agent_id, executor_id, data }]
            }
            Event::State(answer) => {
                match self.state.answered(answer) {
                    Follows::Nothing => {}
                    Follows::Tell { request, outcome } => {
                        effects.push(Effect::State { request, outcome });
                    }
                }
                Vec::new()
            }
            // Every task on a lost agent is reported by itself.
            // It changes no resources, and does not yet make way for maintenance.
            Event::Failure { .. }
            | Event::Heartbeat
            | Event::InverseOffers(_)
            | Event::RescindInverseOffer(_)
            | Event::UpdateOperationStatus(_) => Vec::new(),
        }
    }

    fn subscribed(
        &mut self,
        now: Time,
        framework_id: FrameworkId,
        heartbeat: Duration,
        effects: &mut Vec<Effect>,
    ) -> Vec<Signal> {
        if self.link.open().is_some() {
            return Vec::new();
        }
        match &self.framework_id {
            Some(ours) if *ours != framework_id => {
                let message = format!("the master answers {framework_id} to framework {ours}");
                return self.stop(message.into(), effects);
            }
            Some(_) => {}
            None => {
                effects.push(Effect::Persist(vec![record::framework(&framework_id)]));
                self.framework_id = Some(framework_id.clone());
            }
        }
        self.link.subscribed(now, heartbeat, &self.options);
        self.reconciler.restart(now, self.tasks.keys().cloned());
        self.kill_anew(now);
        let said = self.demand.subscribed(now);
        self.say(said, effects);
        self.repeat_kills(now, effects);
        self.reconcile(now, effects);
        for call in self.state.again() {
            self.send(CallBody::State(call), effects);
        }
        vec![Signal::Subscribed(framework_id)]
    }

    fn stop(&mut self, message: Arc<str>, effects: &mut Vec<Effect>) -> Vec<Signal> {
        self.link.stop(effects);
        self.lose_connection();
        vec![Signal::Stopped(message)]
    }

    fn refused(
        &mut self,
        now: Time,
        call: Arc<str>,
        code: u16,
        message: Arc<str>,
        effects: &mut Vec<Effect>,
    ) -> Vec<Signal> {
        if self.link.open().is_none() {
            if code == 307 {
                let connection = self.link.connection();
                effects.push(Effect::Disconnect { connection });
                return self.closed(now, connection, Some(message));
            }
            // SUBSCRIBE itself. What the master says of our request will not change; what it
            // says of its own standing (not recovered, no leader) will.
            if code == 409 && self.fence.is_some() {
                return self.stop(TAKEN_OVER.into(), effects);
            }
            if (400..500).contains(&code) && code != 408 && code != 429 {
                return self.stop(message, effects);
            }
            self.link.give_up(now, &self.options, &mut self.random, effects);
            return vec![Signal::Refused { call, code, message }];
        }
        // A refused ACCEPT brings no updates: find out what became of its tasks.
        if &*call == "ACCEPT" {
            let tasks: Vec<TaskId> = self.tasks.keys().cloned().collect();
            for task in tasks {
                self.reconciler.ask(now, task);
            }
        }
        vec![Signal::Refused { call, code, message }]
    }

    fn take_offers(&mut self, offers: Vec<Offer>, effects: &mut Vec<Effect>) -> Vec<Signal> {
        // After SUPPRESS, offers that were under way are given back; so are those of other roles.
        let suppressed = self.demand.is_suppressed();
        let (ours, others): (Vec<Offer>, Vec<Offer>) =
            offers.into_iter().partition(|offer| !suppressed && offer.role == self.options.role);
        self.decline_ids(
            others.into_iter().map(|offer| offer.id).collect(),
            Duration::ZERO,
            effects,
        );
        if ours.is_empty() {
            return Vec::new();
        }
        for offer in &ours {
            self.offers.insert(offer.id.clone(), offer.clone());
        }
        vec![Signal::Offers(ours)]
    }

    fn send(&self, body: CallBody, effects: &mut Vec<Effect>) {
        let Some(connection) = self.link.open() else { return };
        let call = Box::new(Call { framework_id: self.framework_id.clone(), body });
        effects.push(Effect::Send { connection, call });
    }
}
