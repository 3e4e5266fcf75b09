//! A master's core and its peers, made by hand: no sockets, and a clock that stands still.

use master_core::{ConnectionId, Effect, Input, Master, Options, Quota, Registry, RequestId};
use proto::agent_link::AgentCall;
use proto::scheduler::{Call, CallBody, Event, MasterInfo, Subscribe};
use proto::{
    AgentInfo, FrameworkId, FrameworkInfo, MasterId, OfferId, ResourceName, Resources, Role, Time,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The core, and what it said.
pub(super) struct World {
    pub(super) master: Master,
    pub(super) now: Time,
    pub(super) effects: Vec<Effect>,
    next: u64,
    /// The frameworks by their streams.
    pub(super) frameworks: BTreeMap<ConnectionId, FrameworkId>,
}

impl World {
    pub(super) fn new() -> Self {
        let now = Time::from_millis(1_000_000);
        let info = MasterInfo {
            id: MasterId::new("0f0e0d0c-0b0a-0908-0706-050403020100").expect("a valid id"),
            hostname: Arc::from("master"),
            ip: 0,
            port: 5050,
            version: Arc::from("0.1.0"),
        };
        let master = Master::new(Options::default(), info, Registry::new(), now);
        let frameworks = BTreeMap::new();
        Self { master, now, effects: Vec::new(), next: 0, frameworks }
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn step(&mut self, input: Input) {
        self.master.step(self.now, input, &mut self.effects);
    }

    /// Takes every pass that is due.
    pub(super) fn settle(&mut self) {
        while self.master.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.step(Input::Tick);
        }
    }

    /// A framework subscribes; no pass is taken.
    pub(super) fn framework(&mut self, role: &str) -> ConnectionId {
        let connection = ConnectionId(self.fresh());
        let mut framework_info = FrameworkInfo::new("user", format!("framework-{}", connection.0));
        framework_info.roles = BTreeSet::from([Role::new(role).expect("a valid role")]);
        framework_info.failover_timeout = Duration::from_secs(600);
        let subscribe = Subscribe {
            framework_info,
            suppressed_roles: BTreeSet::new(),
            offer_constraints: None,
            fence: None,
        };
        let (framework_id, call) = (None, Box::new(subscribe));
        self.step(Input::Subscribe { connection, framework_id, call, principal: None });
        let subscribed = self.effects.drain(..).find_map(|effect| match effect {
            Effect::ToFramework { event: Event::Subscribed { framework_id, .. }, .. } => {
                Some(framework_id)
            }
            _ => None,
        });
        self.frameworks.insert(connection, subscribed.expect("the framework is taken"));
        connection
    }

    /// Sets guarantee and limit of each of these roles to so many cpus, and as many GB.
    pub(super) fn quota(&mut self, roles: &[String], cpus: u64) {
        let mut quota = Quota::default();
        for (name, milli) in [("cpus", 1_000), ("mem", 1_024_000), ("disk", 1_024_000)] {
            quota.guarantees.add(&ResourceName::new(name), milli * cpus);
            quota.limits.insert(ResourceName::new(name), milli * cpus);
        }
        let role = |name: &String| Role::new(name.as_str()).expect("a valid role");
        let quotas = roles.iter().map(|name| (role(name), quota.clone())).collect();
        let request = RequestId(self.fresh());
        self.step(Input::SetQuota { request, quotas, force: true });
        self.effects.clear();
    }

    /// Every framework revives.
    pub(super) fn wake_all(&mut self) {
        for stream in self.frameworks.keys().copied().collect::<Vec<_>>() {
            self.call(stream, CallBody::Revive { roles: Vec::new() });
        }
        self.effects.clear();
    }

    /// Limits a role to as much as `most` has.
    pub(super) fn limit(&mut self, role: &str, most: &Resources) {
        let limits = most.quantities().iter().map(|(name, milli)| (name.clone(), milli)).collect();
        let quota = Quota { limits, ..Quota::default() };
        let quotas = vec![(Role::new(role).expect("a valid role"), quota)];
        let request = RequestId(self.fresh());
        self.step(Input::SetQuota { request, quotas, force: true });
        self.effects.clear();
    }

    /// An agent registers; no pass is taken. Its stream.
    pub(super) fn agent(&mut self, resources: Resources) -> ConnectionId {
        let number = self.fresh();
        let info = AgentInfo {
            id: None,
            hostname: Arc::from(format!("host-{number}.cluster.example")),
            port: 5051,
            resources,
            attributes: Vec::new(),
            domain: None,
        };
        let call = AgentCall::Register { info, version: Arc::from("0.1.0"), nonce: number };
        let connection = ConnectionId(number);
        self.step(Input::AgentCall { connection, call });
        self.effects.clear();
        connection
    }

    /// A framework calls.
    pub(super) fn call(&mut self, connection: ConnectionId, body: CallBody) {
        let request = RequestId(self.fresh());
        let framework_id = self.frameworks.get(&connection).cloned();
        let call = Call { framework_id, body };
        self.step(Input::Call { request, connection: Some(connection), call });
    }

    /// The offers said since the effects were cleared, by stream, with their agents.
    pub(super) fn offers(&self) -> Vec<(ConnectionId, Vec<OfferId>)> {
        let mut all = Vec::new();
        for effect in &self.effects {
            if let Effect::ToFramework { connection, event: Event::Offers(offers) } = effect {
                all.push((*connection, offers.iter().map(|offer| offer.id.clone()).collect()));
            }
        }
        all
    }
}

/// Processor time of this thread in milliseconds, of what `run` does.
#[allow(unsafe_code, reason = "the clock of a thread is only to be had from libc")]
pub(super) fn timed(run: impl FnOnce()) -> f64 {
    fn now() -> f64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a timespec that lives during the call.
        let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        assert_eq!(failed, 0, "every Linux has this clock");
        time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
    }
    let start = now();
    run();
    now() - start
}

/// Resident bytes of this process.
pub(super) fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("this is Linux");
    let pages: u64 = statm.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    pages * 4096
}
