//! A framework of its own mind keeps the driver's promises.

use super::*;
use crate::core::testing::{offer, options, subscribed};
use proto::scheduler::CallBody;
use proto::{AgentId, Resources, StatusUuid, TaskPayload};
use std::collections::BTreeMap;

struct Own {
    bare: Bare,
    now: Time,
    effects: Vec<Effect>,
    store: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Own {
    fn new(store: BTreeMap<Vec<u8>, Vec<u8>>) -> Self {
        let bare = Bare::recover(options(), 1, store.clone()).unwrap();
        let mut own = Self { bare, now: Time::from_millis(5), effects: Vec::new(), store };
        own.order(Order::Want(Want::Anything));
        let now = own.now;
        own.bare.tick(now, &mut own.effects);
        own.bare.connected(now, 1, &mut own.effects);
        own.event(subscribed("f-0000"));
        own
    }

    fn done(&mut self) {
        for effect in &self.effects {
            let Effect::Persist(writes) = effect else { continue };
            for write in writes {
                match &write.value {
                    Some(value) => self.store.insert(write.key.clone(), value.clone()),
                    None => self.store.remove(&write.key),
                };
            }
        }
    }

    fn event(&mut self, event: Event) {
        self.effects.clear();
        self.bare.event(self.now, 1, event, &mut self.effects);
        self.done();
    }

    fn order(&mut self, order: Order) {
        self.effects.clear();
        self.bare.order(self.now, order, &mut self.effects);
        self.done();
    }

    fn names(&self) -> Vec<&str> {
        let calls = self.effects.iter().filter_map(|effect| match effect {
            Effect::Send { call, .. } => Some(call.body.name()),
            _ => None,
        });
        calls.collect()
    }

    fn told(&self) -> Vec<&Signal> {
        let signals = self.effects.iter().filter_map(|effect| match effect {
            Effect::Notice(Notice::Signal(signal)) => Some(&**signal),
            _ => None,
        });
        signals.collect()
    }

    fn launch(&mut self, offer: &str, id: &str) {
        let offers = vec![OfferId::new(offer).unwrap()];
        let tasks = vec![task(id)];
        self.order(Order::Launch { offers, tasks, refuse: Duration::ZERO });
    }
}

fn task(id: &str) -> TaskInfo {
    TaskInfo {
        name: id.into(),
        task_id: TaskId::new(id).unwrap(),
        agent_id: AgentId::new("S1").unwrap(),
        resources: Resources::cpus_mem(100, 1000),
        allocation_role: None,
        limits: BTreeMap::new(),
        executor: None,
        kill_grace: None,
        max_completion_time: None,
        payload: TaskPayload::new(&proto::TaskBody::default()),
    }
}

fn status(id: &str, state: TaskState) -> TaskStatus {
    let mut status =
        TaskStatus::new(TaskId::new(id).unwrap(), state, Source::Agent, Time::from_millis(9));
    status.agent_id = Some(AgentId::new("S1").unwrap());
    status.uuid = Some(StatusUuid([7; 16]));
    status
}

#[test]
fn a_launch_is_recorded_first_and_its_task_asked_for_after_a_restart() {
    let mut own = Own::new(BTreeMap::new());
    own.event(Event::Offers(vec![offer("O1", "S1", 1000)]));
    assert!(matches!(own.told()[..], [Signal::Offers(_)]));
    own.launch("O1", "t");
    assert!(matches!(own.effects[0], Effect::Persist(_)));
    assert_eq!(own.names(), ["ACCEPT"]);

    let again = Own::new(own.store.clone());
    let asked = again.effects.iter().any(|effect| {
        matches!(effect, Effect::Send { call, .. }
            if matches!(&call.body, CallBody::Reconcile { tasks } if tasks.len() == 1))
    });
    assert!(asked, "{:?}", again.effects);
}

#[test]
fn a_launch_with_an_offer_that_is_gone_is_reported_as_dropped() {
    let mut own = Own::new(BTreeMap::new());
    own.event(Event::Offers(vec![offer("O1", "S1", 1000)]));
    own.event(Event::Rescind(OfferId::new("O1").unwrap()));
    own.launch("O1", "t");
    assert!(own.names().is_empty());
    let [Signal::Update(status)] = own.told()[..] else { panic!("{:?}", own.effects) };
    assert_eq!((status.state, status.reason), (TaskState::Dropped, Some(Reason::InvalidOffers)));
}

#[test]
fn an_end_is_forgotten_when_it_is_acknowledged_and_not_before() {
    let mut own = Own::new(BTreeMap::new());
    own.event(Event::Offers(vec![offer("O1", "S1", 1000)]));
    own.launch("O1", "t");
    let before = own.store.len();
    own.event(Event::Update(status("t", TaskState::Finished)));
    assert_eq!(own.store.len(), before);
    assert!(own.names().is_empty());
    own.order(Order::Acknowledge(Box::new(status("t", TaskState::Finished))));
    assert!(matches!(own.effects[0], Effect::Persist(_)));
    assert_eq!(own.names(), ["ACKNOWLEDGE"]);
    assert_eq!(own.store.len(), before - 1);
}

#[test]
fn a_task_that_nobody_launched_is_killed() {
    let mut own = Own::new(BTreeMap::new());
    own.event(Event::Update(status("stranger", TaskState::Running)));
    assert_eq!(own.names(), ["KILL", "ACKNOWLEDGE"]);
    own.event(Event::Update(status("stranger", TaskState::Killed)));
    assert_eq!(own.names(), ["ACKNOWLEDGE"]);
    assert!(own.told().is_empty());
}

#[test]
fn teardown_forgets_the_id_that_is_used_up() {
    let mut own = Own::new(BTreeMap::new());
    assert!(own.store.contains_key(&b"F"[..]));
    own.order(Order::Teardown);
    assert_eq!(own.names(), ["TEARDOWN"]);
    assert!(own.store.is_empty());
    assert_eq!(own.bare.deadline(), None);
}
