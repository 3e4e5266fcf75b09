//! The scheduler under test with its store, its wires, and everything that can go wrong.
//!
//! One seeded stream of numbers decides; a crash may come between any two effects.

use super::cluster::Cluster;
use crate::core::random::Random;
use crate::core::record::{self, PhaseRecord, Record};
use crate::core::*;
use proto::scheduler::{Call, CallBody, Event};
use proto::{Operation, Reason, TaskState, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

pub(super) struct World {
    pub(super) core: Scheduler,
    pub(super) cluster: Cluster,
    pub(super) crashes: bool,
    /// What the notices told of each unit last.
    pub(super) told: BTreeMap<(GroupId, u32), &'static str>,
    pub(super) transcript: Vec<String>,
    random: Random,
    now: Time,
    store: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Effects not performed yet.
    pending: VecDeque<Effect>,
    /// Calls and events on the wires of the current connection.
    calls: VecDeque<Call>,
    events: VecDeque<Event>,
    connection: Option<ConnectionId>,
    /// The number of the connection that is to be opened.
    dialled: Option<ConnectionId>,
    submitted: Vec<(GroupId, GroupSpec)>,
    answers: BTreeMap<u64, Answer>,
    requests: u64,
    /// Units killed by their owner.
    killed: BTreeSet<(GroupId, u32)>,
}

fn options() -> Options {
    Options { idle_linger: Duration::from_millis(200), ..Options::new("laws", vec!["m:1".into()]) }
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            core: Scheduler::recover(options(), seed, []).unwrap(),
            cluster: Cluster::default(),
            crashes: true,
            told: BTreeMap::new(),
            transcript: Vec::new(),
            random: Random::new(seed),
            now: Time::from_millis(1_000_000),
            store: BTreeMap::new(),
            pending: VecDeque::new(),
            calls: VecDeque::new(),
            events: VecDeque::new(),
            connection: None,
            dialled: None,
            submitted: Vec::new(),
            answers: BTreeMap::new(),
            requests: 0,
            killed: BTreeSet::new(),
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.next() % bound
    }

    fn step(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.core.step(self.now, input, &mut effects);
        if let Err(violation) = self.core.check() {
            panic!("{violation}");
        }
        self.pending.extend(effects);
    }

    /// Submits until it is answered; a crash in between makes no second group.
    pub(super) fn submit(&mut self, spec: GroupSpec) -> GroupId {
        self.requests += 1;
        let request = self.requests;
        self.step(Input::Submit { request, spec: Box::new(spec.clone()) });
        self.perform_all();
        let Some(Answer::Submitted(id)) = self.answers.remove(&request) else {
            panic!("not submitted");
        };
        self.submitted.push((id.clone(), spec));
        id
    }

    pub(super) fn kill(&mut self, id: &GroupId) {
        self.requests += 1;
        self.step(Input::Kill { request: self.requests, group: id.clone(), index: None });
        self.perform_all();
        let (_, spec) = self.submitted.iter().find(|(known, _)| known == id).unwrap();
        self.killed.extend((0..spec.count).map(|index| (id.clone(), index)));
    }

    pub(super) fn kill_one_unit(&mut self) {
        let (id, spec) = self.submitted[0].clone();
        let index = u32::try_from(self.below(u64::from(spec.count))).unwrap();
        self.requests += 1;
        let (request, group) = (self.requests, id.clone());
        self.killed.insert((id, index));
        self.step(Input::Kill { request, group, index: Some(index) });
        self.perform_all();
    }

    pub(super) fn perform_all(&mut self) {
        while self.perform() {}
    }

    fn perform(&mut self) -> bool {
        let Some(effect) = self.pending.pop_front() else { return false };
        match effect {
            Effect::Persist(writes) => {
                for write in writes {
                    self.check_success_is_final(&write);
                    match write.value {
                        Some(value) => self.store.insert(write.key, value),
                        None => self.store.remove(&write.key),
                    };
                }
            }
            Effect::Connect { connection, .. } => self.dialled = Some(connection),
            Effect::Disconnect { connection } => {
                self.dialled.take_if(|dialled| *dialled == connection);
                if self.connection == Some(connection) {
                    self.hang_up();
                }
            }
            Effect::Send { connection, call } => {
                self.look_at(&call);
                if self.connection == Some(connection) {
                    self.calls.push_back(*call);
                }
            }
            Effect::Answer { request, answer } => {
                self.answers.insert(request, answer);
            }
            Effect::Notice(Notice::Unit { group, index, change, .. }) => {
                let told = match change {
                    UnitChange::Launched(_) => "launched",
                    UnitChange::Running => "running",
                    UnitChange::Killing => "killing",
                    UnitChange::Unreachable => "unreachable",
                    // Whether the back-off is over is a matter of time, not of news.
                    UnitChange::Retrying(_) => {
                        self.told.remove(&(group, index));
                        return true;
                    }
                    UnitChange::Ended(outcome) => outcome.name(),
                };
                self.told.insert((group, index), told);
            }
            Effect::Notice(_) | Effect::State { .. } => {}
        }
        true
    }

    /// L3: once a unit is recorded as succeeded, its record never changes.
    fn check_success_is_final(&self, write: &Write) {
        let Some(before) = self.store.get(&write.key) else { return };
        let Ok(Record::Unit { unit, .. }) = record::read(&write.key, before) else { return };
        let succeeded =
            matches!(&unit.phase, PhaseRecord::Ended(last) if last.outcome == Outcome::Succeeded);
        assert!(!succeeded || write.value.as_ref() == Some(before), "L3: {unit:?}, then {write:?}");
    }

    fn hang_up(&mut self) {
        self.connection = None;
        self.calls.clear();
        self.events.clear();
        self.cluster.disconnect();
    }

    fn recorded(&self, id: &GroupId, index: u32) -> Option<record::UnitRecord> {
        let number = id.as_str().rsplit_once('-').unwrap().1.parse().unwrap();
        let key = unit_record_key(number, index);
        match record::read(&key, self.store.get(&key)?).unwrap() {
            Record::Unit { unit, .. } => Some(unit),
            _ => None,
        }
    }

    /// What leaves the process is checked against what is durable at that moment.
    fn look_at(&mut self, call: &Call) {
        match &call.body {
            CallBody::Subscribe(_) => {}
            CallBody::Accept { operations, .. } => {
                for operation in operations {
                    let Operation::Launch(tasks) = operation else { continue };
                    for task in tasks {
                        let (id, index, attempt) = parse_task_id(task.task_id.as_str()).unwrap();
                        let unit = self.recorded(&id, index).expect("L1: not recorded");
                        let live = matches!(unit.phase, PhaseRecord::Live { .. });
                        assert!(live && unit.attempt == attempt, "L1: {} {unit:?}", task.task_id);
                        self.transcript.push(format!("{} on {}", task.task_id, task.agent_id));
                    }
                }
            }
            CallBody::Acknowledge { task_id, uuid, .. } => {
                // Of an attempt that counts, the end was recorded before.
                let finished = self.cluster.unacknowledged().into_iter().any(|event| {
                    matches!(event, Event::Update(s) if s.uuid == Some(*uuid) && s.state.is_terminal())
                });
                let (id, index, attempt) = parse_task_id(task_id.as_str()).unwrap();
                let unit = self.recorded(&id, index);
                let lives = unit.as_ref().is_some_and(|unit| {
                    unit.attempt == attempt && matches!(unit.phase, PhaseRecord::Live { .. })
                });
                assert!(!(finished && lives), "acknowledged before recorded: {task_id}");
            }
            _ => {
                let id = call.framework_id.as_ref().expect("an id is known by now");
                let Record::Framework(stored) = record::read(b"F", &self.store[&b"F"[..]]).unwrap()
                else {
                    panic!("no framework record");
                };
                assert_eq!(stored, *id, "an id is used before it is stored");
            }
        }
    }

    fn crash(&mut self) {
        self.pending.clear();
        self.hang_up();
        self.dialled = None;
        let seed = self.random.next();
        let stored = self.store.clone();
        self.core = Scheduler::recover(options(), seed, stored).unwrap();
        if let Err(violation) = self.core.check() {
            panic!("after recovery {violation}");
        }
        self.told.clear();
    }

    /// One thing happens, good or bad.
    pub(super) fn disturb(&mut self) {
        match self.below(26) {
            0 if self.crashes => self.crash(),
            1 => {
                if let Some(connection) = self.connection {
                    self.hang_up();
                    self.step(Input::Closed { connection, leader: None });
                }
            }
            2 => {
                let which = self.below(3) as usize;
                let news = self.cluster.lose_agent(self.now, which);
                self.events.extend(news);
            }
            3 => {
                let (which, back) = (self.below(3) as usize, self.below(2) == 0);
                let news = self.cluster.set_reach(self.now, which, back);
                self.events.extend(news);
            }
            4 => self.now = self.now + Duration::from_secs(1 + self.below(30)),
            5..=7 => self.end_some_task(),
            // Everything that is not acknowledged comes again: duplicates.
            8 => self.events.extend(self.cluster.unacknowledged()),
            // An event of an older connection shows up.
            9 => {
                let late = self.cluster.unacknowledged().pop();
                if let (Some(event), Some(connection)) = (late, self.connection) {
                    self.step(Input::Event { connection: connection.wrapping_sub(1), event });
                }
            }
            _ => self.go_on(),
        }
    }

    fn end_some_task(&mut self) {
        let living = self.cluster.living_tasks();
        if living.is_empty() {
            return;
        }
        let at = self.below(living.len() as u64) as usize;
        let (state, reason) = match self.below(6) {
            0 => (TaskState::Failed, None),
            1 => (TaskState::Failed, Some(Reason::ContainerLaunchFailed)),
            2 => (TaskState::Killed, Some(Reason::AgentDraining)),
            _ => (TaskState::Finished, None),
        };
        self.cluster.end(self.now, &living[at], state, reason);
    }

    /// The next thing that is due without any fault.
    fn go_on(&mut self) {
        if self.perform() {
            return;
        }
        if let Some(connection) = self.dialled.take() {
            self.connection = Some(connection);
            self.step(Input::Connected { connection });
            return;
        }
        if let (Some(connection), Some(call)) = (self.connection, self.calls.pop_front()) {
            let answers = self.cluster.call(self.now, connection, call);
            self.events.extend(answers);
            return;
        }
        if let (Some(connection), Some(event)) = (self.connection, self.events.pop_front()) {
            self.step(Input::Event { connection, event });
            return;
        }
        if let Some(offers) = self.cluster.offer() {
            self.events.push_back(offers);
            return;
        }
        if self.connection.is_some() {
            self.events.extend(self.cluster.unacknowledged());
            if !self.events.is_empty() {
                return;
            }
        }
        // What was said while nobody listened is lost.
        self.events.clear();
        if let Some(deadline) = self.core.deadline() {
            self.now = self.now.max(deadline);
            self.step(Input::Tick);
        }
    }

    /// No more faults: everything that runs and is no service ends well.
    pub(super) fn heal(&mut self) {
        for which in 0..3 {
            let news = self.cluster.set_reach(self.now, which, true);
            self.events.extend(news);
        }
        for _ in 0..20_000 {
            self.go_on();
            if self.core.deadline().is_some_and(|deadline| deadline <= self.now) {
                self.step(Input::Tick);
            }
            for id in self.cluster.living_tasks() {
                if !id.as_str().starts_with("service") && self.below(8) == 0 {
                    self.cluster.end(self.now, &id, TaskState::Finished, None);
                }
            }
            if self.is_done() {
                return;
            }
        }
    }

    fn is_done(&self) -> bool {
        let settled = self.pending.is_empty() && self.calls.is_empty() && self.events.is_empty();
        settled
            && self.submitted.iter().all(|(id, spec)| {
                let view = self.core.view(id).unwrap();
                match spec.kind {
                    Kind::Ledger => view.ended.is_some(),
                    Kind::Replica => view.ended.is_some() || view.counts.running == view.count,
                }
            })
            && self.cluster.unacknowledged().is_empty()
    }

    /// L4: no unit is lost or made up.
    pub(super) fn check(&self) {
        for (id, spec) in &self.submitted {
            let counts = self.core.counts(id).expect("a durable group is never forgotten");
            assert_eq!(counts.total(), spec.count, "L4: {id}");
        }
    }

    pub(super) fn check_converged(&self) {
        assert!(self.is_done(), "no convergence: {:?}", self.core.groups().collect::<Vec<_>>());
        for (id, spec) in &self.submitted {
            for index in 0..spec.count {
                self.check_history(id, spec, index);
            }
        }
        let services = self.submitted.iter().filter(|(_, spec)| spec.kind == Kind::Replica);
        let wanted: u32 = services.map(|(_, spec)| spec.count).sum();
        assert_eq!(self.cluster.living(), wanted as usize, "only services live, each once");
        self.check_kills();
    }

    /// L9: what nobody wanted killed was killed only as a stray: an older attempt.
    fn check_kills(&self) {
        for task in &self.cluster.kills {
            let (id, index, attempt) = parse_task_id(task.as_str()).unwrap();
            let (_, spec) = self.submitted.iter().find(|(known, _)| *known == id).unwrap();
            let wanted = spec.run_limit.is_some() || self.killed.contains(&(id.clone(), index));
            let current = self.core.unit(&id, index).unwrap();
            let lives = current.attempt == attempt && current.running.is_some();
            assert!(wanted || !lives, "L9: {task} lives and was to be killed");
        }
    }

    /// L5: each attempt has exactly one outcome, and the budgets are kept.
    fn check_history(&self, id: &GroupId, spec: &GroupSpec, index: u32) {
        let number = id.as_str().rsplit_once('-').unwrap().1.parse().unwrap();
        let Some(unit) = self.recorded(id, index) else { return };
        let prefix = attempts_prefix(number, index);
        let past: Vec<Attempt> = self
            .store
            .range(prefix.clone()..)
            .take_while(|(key, _)| key.starts_with(&prefix))
            .map(|(key, value)| read_attempt(key, value).unwrap())
            .collect();
        for (at, attempt) in past.iter().enumerate() {
            assert_eq!(attempt.attempt as usize, at, "L5: {id} unit {index} misses an attempt");
        }
        let last = matches!(&unit.phase, PhaseRecord::Ended(last) if last.agent.is_some());
        assert_eq!(past.len() + usize::from(last), unit.attempt as usize, "L5: {id} unit {index}");
        if spec.kind == Kind::Ledger {
            let of = |budget| past.iter().filter(|a| a.outcome.budget() == budget).count();
            assert!(of(Budget::User) <= spec.retry.user as usize, "L5: {id} unit {index}");
            assert!(of(Budget::Timeout) <= spec.retry.timeout as usize, "L5: {id} unit {index}");
            assert!(of(Budget::Platform) <= spec.retry.platform as usize, "L5: {id} unit {index}");
        }
    }
}
