//! A framework of the Mesos v1 HTTP API, written by somebody careless: it hoards offers, forgets
//! who it is, repeats its calls, acknowledges late or never, and starts a second instance.
//!
//! After the fault phase it behaves: it gives everything back, kills its tasks, reconciles and
//! acknowledges.

pub(crate) mod habits;
mod keeps;
mod link;

use crate::network::{Conn, Direction, Peer};
use crate::prng::Prng;
use crate::world::{Event, World};
use proto::scheduler::{self, Call, CallBody};
use proto::{
    AgentId, Check, CheckKind, Checks, CommandInfo, Filters, FrameworkId, FrameworkInfo,
    HealthCheck, Offer, OfferId, Operation, Resources, TaskBody, TaskId, TaskInfo, TaskPayload,
    TaskState, TaskStatus, Time,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use habits::Habits;

/// What it does with offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temper {
    /// Launches tasks.
    Accepts,
    /// Keeps them.
    Hoards,
    /// Gives them back.
    Declines,
    /// Launches tasks and then goes away.
    Vanishes,
}

/// What it knows of a task.
#[derive(Clone, Debug)]
struct Launched {
    agent: Option<AgentId>,
    /// From when on it may ask after it: its calls may overtake each other, and the master would
    /// say that a task is gone which is yet to come.
    sure: Time,
}

/// A stream on which nothing comes for so long is dead: three heartbeats.
const SILENCE: Duration = Duration::from_secs(45);
/// Longer than any call is under way.
const CALLS_ARRIVE: Duration = Duration::from_secs(120);

/// One such framework.
#[derive(Debug)]
pub(crate) struct RawNode {
    pub(crate) name: String,
    temper: Temper,
    habits: Habits,
    info: FrameworkInfo,
    random: Prng,
    stream: Option<Conn>,
    /// The master that it knows.
    host: usize,
    /// The stream of an instance that was replaced.
    stale: Option<Conn>,
    subscribed: bool,
    offers: BTreeMap<OfferId, Offer>,
    /// Offers that it should not use any more.
    spent: Vec<(OfferId, AgentId)>,
    /// Inverse offers that it has not answered.
    asked: Vec<OfferId>,
    living: BTreeMap<TaskId, Launched>,
    launched: u32,
    said: Time,
    reconciled: Time,
    /// It stays away until then.
    away_until: Time,
    /// When it last heard anything.
    heard: Time,
}

impl RawNode {
    /// A framework that has not subscribed yet.
    pub(crate) fn new(name: String, temper: Temper, info: FrameworkInfo, mut random: Prng) -> Self {
        Self {
            name,
            temper,
            habits: Habits::draw(&mut random),
            info,
            random,
            stream: None,
            host: 0,
            stale: None,
            subscribed: false,
            offers: BTreeMap::new(),
            spent: Vec::new(),
            asked: Vec::new(),
            living: BTreeMap::new(),
            launched: 0,
            said: Time::ZERO,
            reconciled: Time::ZERO,
            away_until: Time::ZERO,
            heard: Time::ZERO,
        }
    }

    /// Who it believes to be.
    pub(crate) fn framework_id(&self) -> Option<&FrameworkId> {
        self.info.id.as_ref()
    }

    /// Whether nothing of it is left in the cluster, as far as it knows.
    pub(crate) fn unfinished(&self) -> Option<String> {
        if !self.subscribed {
            return Some("not subscribed".to_owned());
        }
        self.living.keys().next().map(|task| format!("{task} lives"))
    }

    fn forget(&mut self) {
        self.info.id = None;
        self.living.clear();
    }

    fn lose_stream(&mut self) {
        self.stream = None;
        self.subscribed = false;
        self.asked.clear();
        let offers = std::mem::take(&mut self.offers);
        self.spent.extend(offers.into_values().map(|offer| (offer.id, offer.agent_id)));
    }

    /// The stream is gone: it asks the leader if it was named, and otherwise another master.
    fn goes_elsewhere(&mut self, leader: Option<usize>, elsewhere: usize) {
        self.lose_stream();
        self.host = leader.unwrap_or(elsewhere);
    }

    /// Tasks for an offer: some fit, some do not, one in a while is nonsense.
    fn tasks(&mut self, agent: &AgentId, offered: &Resources) -> Vec<TaskInfo> {
        let count = self.random.between(1, 3);
        (0..count)
            .map(|_| {
                self.launched += 1;
                let id = format!("{}-{}", self.name, self.launched);
                let cpus = self.random.between(1, 6) * 100;
                let cpus = if self.random.percent(5) { offered.cpus() + 1 } else { cpus };
                let wanted = BTreeMap::from([("cpus", cpus), ("mem", 32_000)]);
                let mut uses = habits::pick(offered, &wanted);
                if self.habits.keeps && self.random.percent(30) {
                    uses.add(&keeps::some_volume(offered).into_iter().collect());
                }
                let mut task = task_info(&id, agent, uses);
                if id.ends_with(['1', '2', '3']) {
                    task = with_checks(task);
                }
                task.kill_grace = self.random.percent(50).then(|| self.random.millis(0, 5000));
                let limited = self.random.percent(20);
                task.max_completion_time = limited.then(|| self.random.millis(100, 20_000));
                task
            })
            .collect()
    }

    /// What to do with the offers at hand.
    fn answer_offers(&mut self, now: Time, healed: bool) -> Vec<CallBody> {
        let filters = |seconds| Filters { refuse: Duration::from_secs(seconds) };
        if healed || self.temper == Temper::Declines {
            let offer_ids: Vec<OfferId> = std::mem::take(&mut self.offers).into_keys().collect();
            let filters = if healed { filters(600) } else { filters(self.random.below(10)) };
            return vec![CallBody::Decline { offer_ids, filters }];
        }
        if self.temper == Temper::Hoards && self.random.percent(95) {
            return Vec::new();
        }
        let mut calls = Vec::new();
        for (offer, made) in std::mem::take(&mut self.offers) {
            let agent = made.agent_id.clone();
            let mut operations = Vec::new();
            if self.habits.keeps && self.random.percent(60) {
                self.launched += 1;
                operations.extend(keeps::some_change(&mut self.random, &made, self.launched));
            }
            let tasks = self.tasks(&agent, &made.resources);
            let mut offer_ids = vec![offer.clone()];
            if self.random.percent(5)
                && let Some((old, _)) = self.spent.pop()
            {
                offer_ids.push(old);
            }
            // With a spent offer as well: this call may be the first of both to arrive.
            for task in &tasks {
                let known = Launched { agent: Some(agent.clone()), sure: now + CALLS_ARRIVE };
                self.living.insert(task.task_id.clone(), known);
            }
            let filters = filters(self.random.below(20));
            let grouped = self.habits.groups && self.random.percent(30);
            let launch = if grouped { habits::group(tasks) } else { Operation::Launch(tasks) };
            operations.push(launch);
            calls.push(CallBody::Accept { offer_ids, operations, filters });
            self.spent.push((offer, agent));
        }
        calls
    }

    /// What it does by itself.
    fn act(&mut self, now: Time, healed: bool) -> Vec<CallBody> {
        let mut calls = Vec::new();
        if !self.subscribed {
            return calls;
        }
        if !self.offers.is_empty() {
            calls.extend(self.answer_offers(now, healed));
        }
        if healed {
            calls.push(CallBody::Suppress { roles: Vec::new() });
        } else if self.random.below(300) == 0 {
            calls.push(CallBody::Teardown);
        } else if self.random.percent(5) {
            calls.push(CallBody::Revive { roles: Vec::new() });
        } else if self.random.percent(3) {
            calls.push(CallBody::Suppress { roles: Vec::new() });
        }
        calls.extend(self.act_by_habit(now, healed));
        if now.since(self.reconciled) > Duration::from_secs(10) {
            self.reconciled = now;
            let sure = self.living.iter().filter(|(_, known)| known.sure <= now);
            let tasks: Vec<_> =
                sure.map(|(task, known)| (task.clone(), known.agent.clone())).collect();
            if !tasks.is_empty() {
                calls.push(CallBody::Reconcile { tasks });
            }
            calls.push(CallBody::Reconcile { tasks: Vec::new() });
        }
        let kill = if healed { 100 } else { 4 };
        for (task_id, known) in self.living.iter().filter(|(_, known)| known.sure <= now) {
            if self.random.percent(kill) {
                let agent_id = known.agent.clone().filter(|_| self.random.percent(50));
                calls.push(CallBody::Kill { task_id: task_id.clone(), agent_id, grace: None });
            }
        }
        calls
    }

    fn act_by_habit(&mut self, now: Time, healed: bool) -> Vec<CallBody> {
        let mut calls = Vec::new();
        if !healed {
            let agents: BTreeSet<AgentId> =
                self.spent.iter().rev().take(4).map(|(_, agent)| agent.clone()).collect();
            let agents: Vec<AgentId> = agents.into_iter().collect();
            calls = self.habits.calls(&mut self.random, now, &mut self.info, &agents);
        }
        if !self.asked.is_empty() && (healed || self.random.percent(30)) {
            let ids = std::mem::take(&mut self.asked);
            calls.extend(habits::answer_inverse(&mut self.random, ids, healed));
        }
        calls
    }

    fn hears(&mut self, now: Time, event: scheduler::Event, healed: bool) -> Vec<CallBody> {
        match event {
            scheduler::Event::Subscribed { framework_id, .. } => {
                self.info.id = Some(framework_id);
                self.subscribed = true;
            }
            scheduler::Event::Offers(offers) => {
                for offer in offers {
                    self.offers.insert(offer.id.clone(), offer);
                }
                let at_once = healed || self.random.percent(60);
                return if at_once { self.answer_offers(now, healed) } else { Vec::new() };
            }
            scheduler::Event::Rescind(offer) => {
                if let Some(known) = self.offers.remove(&offer) {
                    self.spent.push((offer, known.agent_id));
                }
            }
            scheduler::Event::Update(status) => return self.update(now, &status, healed),
            scheduler::Event::UpdateOperationStatus(status) => {
                let named = status.uuid.zip(status.operation_id);
                let told = named.filter(|_| healed || self.random.percent(70));
                return told
                    .map(|(uuid, operation_id)| {
                        let agent_id = status.agent_id;
                        CallBody::AcknowledgeOperationStatus { agent_id, uuid, operation_id }
                    })
                    .into_iter()
                    .collect();
            }
            // It was replaced or removed: it begins anew, as another.
            scheduler::Event::Error(_) => self.forget(),
            // One that was taken back is answered all the same, now and then.
            scheduler::Event::InverseOffers(offers) => {
                self.asked.extend(offers.into_iter().map(|offer| offer.id));
            }
            scheduler::Event::Message { .. }
            | scheduler::Event::Failure { .. }
            | scheduler::Event::Heartbeat
            | scheduler::Event::RescindInverseOffer(_)
            | scheduler::Event::State(_)
            | scheduler::Event::Refused { .. } => {}
        }
        Vec::new()
    }

    fn update(&mut self, now: Time, status: &TaskStatus, healed: bool) -> Vec<CallBody> {
        let task_id = status.task_id.clone();
        if status.state.is_terminal() || status.state == TaskState::Unknown {
            self.living.remove(&task_id);
        } else {
            let known = Launched { agent: status.agent_id.clone(), sure: now };
            self.living.insert(task_id.clone(), known);
        }
        let (Some(uuid), Some(agent_id)) = (status.uuid, status.agent_id.clone()) else {
            return Vec::new();
        };
        if healed || self.random.percent(85) {
            vec![CallBody::Acknowledge { agent_id, task_id, uuid }]
        } else {
            Vec::new()
        }
    }
}

/// A command task.
pub(crate) fn task_info(id: &str, agent: &AgentId, resources: Resources) -> TaskInfo {
    TaskInfo {
        name: Arc::from(id),
        task_id: TaskId::new(id).expect("letters and numbers are an id"),
        agent_id: agent.clone(),
        resources,
        allocation_role: None,
        limits: BTreeMap::new(),
        executor: None,
        kill_grace: None,
        max_completion_time: None,
        payload: TaskPayload::new(&TaskBody {
            command: Some(CommandInfo {
                shell: true,
                value: Some(Arc::from("true")),
                ..CommandInfo::default()
            }),
            ..TaskBody::default()
        }),
    }
}

/// The same with checks, which scripts do not want told.
fn with_checks(mut task: TaskInfo) -> TaskInfo {
    if let Ok(body) = task.payload.open() {
        let checks = Some(Arc::new(checks()));
        task.payload = TaskPayload::new(&TaskBody { checks, ..TaskBody::clone(&body) });
    }
    task
}

/// Both kinds; tasks end by themselves soon enough.
fn checks() -> Checks {
    let kind = CheckKind::Tcp { port: 80, ipv6: false };
    let seconds = Duration::from_secs;
    let check = Check { kind, delay: seconds(1), interval: seconds(20), timeout: seconds(10) };
    let health =
        HealthCheck { check: check.clone(), consecutive_failures: 1_000, grace_period: seconds(3) };
    Checks { health: Some(health), check: Some(check) }
}

impl World {
    /// Its own clock ticks.
    pub(crate) fn raw_acts(&mut self, i: usize) {
        let (now, healed) = (self.now, self.faults.healed());
        let elsewhere = self.elsewhere(i);
        let Some(raw) = self.frameworks[i].raw_mut() else { return };
        let pause = raw.random.millis(500, 3000);
        self.schedule_in(pause, Event::RawActs(i));
        let Some(raw) = self.frameworks[i].raw_mut() else { return };
        if healed && let Some(first) = raw.stale.take() {
            // The instance that was replaced ends, also when the second never came.
            self.hang_up(first, Direction::Up);
            return;
        }
        if raw.stream.is_none() {
            if now >= raw.away_until || healed {
                self.raw_dials(i);
            }
            return;
        }
        if now.since(raw.heard) > SILENCE {
            let stream = raw.stream;
            raw.goes_elsewhere(None, elsewhere);
            if let Some(conn) = stream {
                self.hang_up(conn, Direction::Up);
            }
            return;
        }
        if raw.subscribed && !healed && raw.random.percent(3) {
            // A second instance of the same framework takes over; the first lives on, until there
            // is a third.
            let first = raw.stream.and_then(|stream| raw.stale.replace(stream));
            raw.lose_stream();
            if let Some(conn) = first {
                self.hang_up(conn, Direction::Up);
            }
            self.raw_dials(i);
            return;
        }
        let vanishes = raw.temper == Temper::Vanishes && !healed && raw.random.percent(5);
        if vanishes {
            self.raw_vanishes(i);
            return;
        }
        for body in raw.act(now, healed) {
            self.raw_calls(i, body);
        }
    }

    fn raw_vanishes(&mut self, i: usize) {
        let now = self.now;
        let Some(raw) = self.frameworks[i].raw_mut() else { return };
        let stream = raw.stream;
        raw.lose_stream();
        raw.away_until = now + raw.random.millis(0, 60_000);
        if raw.random.percent(30) {
            raw.forget();
        }
        let quietly = raw.random.percent(30);
        if let Some(conn) = stream {
            if quietly {
                self.network.vanish(conn, Direction::Up);
            } else {
                self.hang_up(conn, Direction::Up);
            }
        }
    }

    /// One HTTP request, sent twice now and then.
    pub(super) fn raw_calls(&mut self, i: usize, body: CallBody) {
        let (duplicates, reorders) = (self.faults.duplicates(), self.faults.reorders());
        let now = self.now;
        let Some(raw) = self.frameworks[i].raw_mut() else { return };
        let stale = raw.stale.filter(|_| raw.random.percent(3));
        let stream = stale.or(raw.stream);
        let host = stream.and_then(|conn| self.network.host(conn)).unwrap_or(raw.host);
        let latency = self.network.latency(Peer::Framework(i), host);
        let call = Call { framework_id: raw.info.id.clone(), body };
        let copies = if duplicates && raw.random.percent(20) { 2 } else { 1 };
        let mut due = Vec::new();
        for _ in 0..copies {
            let late = if reorders { raw.random.millis(0, 2000) } else { Duration::ZERO };
            let at = if reorders { now + latency + late } else { (now + latency).max(raw.said) };
            raw.said = at;
            due.push(at);
        }
        if stale.is_none() {
            self.oracle.framework_calls(&call);
        }
        for at in due {
            let call = Box::new(call.clone());
            self.schedule(at, Event::Http { framework: i, host, stream, call });
        }
    }
}
