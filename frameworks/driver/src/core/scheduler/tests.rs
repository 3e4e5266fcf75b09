//! Steps of the scheduler: given a state, one input, the effects.

use crate::core::record::PhaseRecord;
use crate::core::testing::{Bench, batch, options, service, subscribed, template};
use crate::core::*;
use proto::scheduler::{CallBody, Event, StateFence};
use proto::{FrameworkId, Reason, Source, TaskId, TaskState, TaskStatus};
use std::collections::BTreeMap;
use std::time::Duration;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_framework_id_is_stored_before_its_first_use() {
    let mut bench = Bench::new();
    bench.submit(batch("b", 1));
    bench.connect();
    let persist = bench.effects.iter().position(|e| matches!(e, Effect::Persist(_))).unwrap();
    let first = bench.effects.iter().position(|e| matches!(e, Effect::Send { .. })).unwrap();
    assert!(persist < first, "{:?}", bench.effects);
    assert_eq!(bench.names(), ["REQUEST", "RECONCILE"]);
    // After a restart it subscribes as the same framework.
    bench.restart();
    bench.step(Input::Tick);
    let connection = bench.dialled().unwrap();
    bench.step(Input::Connected { connection });
    let Effect::Send { call, .. } = &bench.effects[0] else { panic!("no call") };
    assert_eq!(call.framework_id, Some(FrameworkId::new("f-0000").unwrap()));
}

#[test]
fn a_launch_is_recorded_before_the_accept_leaves() {
    let mut bench = Bench::subscribed();
    let (id, tasks) = bench.launch(batch("b", 3), 2000);
    assert_eq!(tasks.len(), 2);
    assert_eq!(tasks[0].task_id, task_id(&id, 0, 0));
    assert!(matches!(bench.effects[0], Effect::Persist(_)));
    let body = tasks[1].payload.open().unwrap().command.unwrap();
    let environment: BTreeMap<_, _> = body.environment.into_iter().collect();
    assert_eq!(&*environment["TEPUI_JOB"], "b-0");
    assert_eq!(&*environment["TEPUI_INDEX"], "1");
    assert_eq!(&*environment["TEPUI_TASK"], "b-0.1.0");
    assert_eq!(bench.core.counts(&id).unwrap().pending, 1);
}

#[test]
fn an_end_is_recorded_before_it_is_acknowledged() {
    let mut bench = Bench::subscribed();
    let (id, tasks) = bench.launch(batch("b", 1), 1000);
    // That it runs changes nothing that a restart would miss: no record, acknowledged at once.
    bench.update(&tasks[0].task_id, TaskState::Running);
    assert_eq!(bench.names(), ["ACKNOWLEDGE"]);
    assert!(!bench.effects.iter().any(|effect| matches!(effect, Effect::Persist(_))));
    bench.update(&tasks[0].task_id, TaskState::Finished);
    assert!(matches!(bench.effects[0], Effect::Persist(_)));
    assert_eq!(bench.names(), ["ACKNOWLEDGE"]);
    assert_eq!(bench.core.outcome(&id, 0), Some(Outcome::Succeeded));
    let ended = Effect::Notice(Notice::GroupEnded(id.clone()));
    assert!(bench.effects.contains(&ended));
    bench.restart();
    assert_eq!(bench.core.outcome(&id, 0), Some(Outcome::Succeeded));
    assert!(bench.core.view(&id).unwrap().ended.is_some());
}

#[test]
fn a_submit_meets_an_offer_that_is_still_at_hand() {
    let mut bench = Bench::subscribed();
    bench.launch(batch("one", 1), 1000);
    let task = bench.launched()[0].task_id.clone();
    bench.update(&task, TaskState::Finished);
    bench.offer("S1", 1000);
    bench.submit(batch("two", 1));
    bench.settle();
    assert_eq!(bench.names(), ["ACCEPT"]);
}

#[test]
fn idleness_gives_offers_back_and_asks_for_silence() {
    let mut bench = Bench::subscribed();
    bench.launch(batch("one", 1), 1000);
    bench.offer("S1", 4000);
    bench.pass(seconds(1));
    assert_eq!(bench.names(), ["REQUEST", "SUPPRESS", "DECLINE"]);
    assert_eq!(bench.core.offers().count(), 0);
    // New work wakes the master up again.
    bench.submit(batch("two", 1));
    bench.settle();
    assert_eq!(bench.names(), ["REQUEST", "REVIVE"]);
}

#[test]
fn what_does_not_fit_is_explained_and_its_offer_refused() {
    let mut bench = Bench::subscribed();
    let big = GroupSpec::new("big", Kind::Ledger, 1, template(8000, 64_000));
    let id = bench.submit(big);
    bench.settle();
    bench.pass(seconds(2));
    bench.offer("S1", 1000);
    bench.settle();
    let refuse = bench.calls().find_map(|body| match body {
        CallBody::Decline { filters, .. } => Some(filters.refuse),
        _ => None,
    });
    assert_eq!(refuse, Some(options().refuse));
    let why = bench.core.why(&id, 0, bench.now).unwrap();
    assert!(why[0].contains("wanted 8 cpus, 1 free"), "{why:?}");
}

#[test]
fn a_small_group_does_not_wait_behind_a_large_one() {
    let mut bench = Bench::subscribed();
    bench.launch(batch("large", 1000), 2000);
    let small = bench.submit(batch("small", 1));
    bench.offer("S2", 1000);
    bench.settle();
    let tasks = bench.launched();
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0].task_id, task_id(&small, 0, 0));
}

#[test]
fn a_failure_is_retried_after_its_back_off_and_then_it_is_final() {
    let mut bench = Bench::subscribed();
    let mut spec = batch("b", 1);
    spec.retry.user = 1;
    let (id, tasks) = bench.launch(spec, 1000);
    bench.update(&tasks[0].task_id, TaskState::Failed);
    assert_eq!(bench.core.unit(&id, 0).unwrap().state, UnitState::BackingOff);
    bench.offer("S1", 1000);
    bench.settle();
    assert!(bench.launched().is_empty());
    bench.restart();
    bench.connect();
    bench.pass(seconds(1));
    bench.offer("S1", 1000);
    bench.settle();
    assert_eq!(bench.launched()[0].task_id, task_id(&id, 0, 1));
    bench.update(&task_id(&id, 0, 1), TaskState::Failed);
    assert_eq!(bench.core.outcome(&id, 0), Some(Outcome::Failed(None)));
    assert!(bench.core.view(&id).unwrap().ended.is_some());
}

#[test]
fn a_run_limit_outlives_the_scheduler() {
    let mut bench = Bench::subscribed();
    let mut spec = batch("b", 1);
    spec.run_limit = Some(seconds(60));
    let (id, tasks) = bench.launch(spec, 1000);
    bench.update(&tasks[0].task_id, TaskState::Running);
    bench.pass(seconds(50));
    bench.restart();
    bench.connect();
    bench.update(&tasks[0].task_id, TaskState::Running);
    bench.pass(seconds(9));
    assert!(!bench.names().contains(&"KILL"));
    bench.pass(seconds(1));
    assert!(bench.names().contains(&"KILL"), "{:?}", bench.names());
    bench.update(&tasks[0].task_id, TaskState::Killed);
    assert_eq!(bench.core.outcome(&id, 0), Some(Outcome::TimedOut));
}

#[test]
fn units_without_a_place_end_when_their_time_is_up_also_after_a_restart() {
    let mut bench = Bench::subscribed();
    let mut spec = batch("b", 3);
    spec.pending_limit = Some(seconds(10));
    let (id, tasks) = bench.launch(spec, 1000);
    bench.update(&tasks[0].task_id, TaskState::Running);
    bench.pass(seconds(4));
    bench.restart();
    bench.pass(seconds(6));
    assert_eq!(bench.core.outcome(&id, 1), Some(Outcome::PendingTimedOut));
    assert_eq!(bench.core.outcome(&id, 2), Some(Outcome::PendingTimedOut));
    assert_eq!(bench.core.counts(&id).unwrap().live(), 1);
    bench.restart();
    assert_eq!(bench.core.counts(&id).unwrap().failed, 2);
}

#[test]
fn a_kill_is_repeated_until_the_end_is_reported() {
    let mut bench = Bench::subscribed();
    let (id, tasks) = bench.launch(batch("b", 5), 2000);
    bench.step(Input::Kill { request: 1, group: id.clone(), index: None });
    assert!(matches!(bench.effects[0], Effect::Persist(_)));
    assert_eq!(bench.names(), ["KILL", "KILL"]);
    assert_eq!(bench.core.counts(&id).unwrap().killed, 3);
    bench.pass(seconds(5));
    assert!(bench.names().iter().filter(|name| **name == "KILL").count() >= 2);
    bench.restart();
    bench.connect();
    assert_eq!(bench.names().iter().filter(|name| **name == "KILL").count(), 2);
    for task in &tasks {
        bench.update(&task.task_id, TaskState::Killed);
    }
    assert!(bench.core.view(&id).unwrap().ended.is_some());
    bench.pass(seconds(100));
    assert!(!bench.names().contains(&"KILL"));
}

#[test]
fn replicas_are_replaced_under_their_index_and_can_be_scaled() {
    let mut bench = Bench::subscribed();
    let (id, tasks) = bench.launch(service("s", 2), 4000);
    assert_eq!(tasks.len(), 2);
    for task in &tasks {
        bench.update(&task.task_id, TaskState::Running);
    }
    bench.pass(seconds(20));
    bench.update(&tasks[1].task_id, TaskState::Finished);
    bench.pass(seconds(1));
    bench.offer("S1", 4000);
    bench.settle();
    assert_eq!(bench.launched()[0].task_id, task_id(&id, 1, 1));
    bench.step(Input::Scale { request: 1, group: id.clone(), count: 1 });
    assert_eq!(bench.names(), ["KILL"]);
    bench.update(&task_id(&id, 1, 1), TaskState::Killed);
    assert_eq!(bench.core.counts(&id).unwrap().live(), 1);
    bench.step(Input::Scale { request: 2, group: id.clone(), count: 3 });
    bench.offer("S1", 4000);
    bench.settle();
    let ids: Vec<TaskId> = bench.launched().into_iter().map(|task| task.task_id).collect();
    assert_eq!(ids, [task_id(&id, 1, 2), task_id(&id, 2, 0)]);
    bench.restart();
    assert_eq!(bench.core.counts(&id).unwrap().live(), 3);
}

#[test]
fn a_lost_connection_drops_offers_and_living_tasks_are_asked_for_again() {
    let mut bench = Bench::subscribed();
    let (id, tasks) = bench.launch(batch("b", 1), 1000);
    bench.offer("S2", 500);
    let connection = bench.connection;
    bench.step(Input::Closed { connection, leader: None });
    assert_eq!(bench.core.offers().count(), 0);
    bench.connect();
    let asked = bench.calls().any(|body| {
        matches!(body, CallBody::Reconcile { tasks: asked } if asked.len() == 1 && asked[0].0 == tasks[0].task_id)
    });
    assert!(asked, "{:?}", bench.effects);
    // It is asked again until it is answered.
    bench.pass(seconds(1));
    assert!(bench.names().contains(&"RECONCILE"));
    let mut gone =
        TaskStatus::new(tasks[0].task_id.clone(), TaskState::Gone, Source::Master, bench.now);
    gone.reason = Some(Reason::Reconciliation);
    bench.event(Event::Update(gone));
    // The launch never arrived: it is run again at once, at no cost.
    assert_eq!(bench.core.unit(&id, 0).unwrap().state, UnitState::Pending);
    bench.pass(seconds(60));
    assert!(!bench.names().contains(&"RECONCILE"));
}

#[test]
fn a_task_that_nobody_knows_is_killed_and_an_old_attempt_counts_no_more() {
    let mut bench = Bench::subscribed();
    let stray = TaskId::new("elsewhere-9.0.0").unwrap();
    bench.update(&stray, TaskState::Running);
    assert_eq!(bench.names(), ["KILL", "ACKNOWLEDGE"]);
    let (id, tasks) = bench.launch(batch("b", 1), 1000);
    let mut lost = TaskStatus::new(
        tasks[0].task_id.clone(),
        TaskState::Unreachable,
        Source::Master,
        bench.now,
    );
    lost.reason = Some(Reason::AgentRemoved);
    bench.event(Event::Update(lost));
    assert_eq!(bench.core.unit(&id, 0).unwrap().state, UnitState::Unreachable);
    bench.pass(options().unreachable_grace / 2);
    bench.event(Event::Heartbeat);
    bench.pass(options().unreachable_grace / 2);
    assert_eq!(bench.core.unit(&id, 0).unwrap().attempt, 1);
    bench.update(&tasks[0].task_id, TaskState::Finished);
    assert_eq!(bench.core.outcome(&id, 0), None);
    assert_eq!(bench.names(), ["ACKNOWLEDGE"]);
}

#[test]
fn missed_heartbeats_end_the_connection_and_another_master_is_tried() {
    let mut bench = Bench::subscribed();
    bench.pass(seconds(15));
    bench.event(Event::Heartbeat);
    bench.pass(seconds(59));
    assert!(bench.core.is_subscribed());
    bench.pass(seconds(1));
    assert!(!bench.core.is_subscribed());
    let connect = bench.effects.iter().find_map(|effect| match effect {
        Effect::Connect { master, .. } => Some(master.to_string()),
        _ => None,
    });
    let disconnect = Effect::Disconnect { connection: 1 };
    assert!(bench.effects.contains(&disconnect));
    bench.pass(seconds(1));
    let connect = connect.or_else(|| {
        bench.effects.iter().find_map(|effect| match effect {
            Effect::Connect { master, .. } => Some(master.to_string()),
            _ => None,
        })
    });
    assert_eq!(connect.as_deref(), Some("b:5050"));
}

#[test]
fn a_redirect_is_followed_at_once() {
    let mut bench = Bench::new();
    bench.step(Input::Tick);
    let connection = bench.dialled().unwrap();
    bench.step(Input::Closed { connection, leader: Some("leader:5050".into()) });
    bench.step(Input::Tick);
    let expected = Effect::Connect { connection: connection + 1, master: "leader:5050".into() };
    assert_eq!(bench.effects, [expected]);
    bench.step(Input::Connected { connection: connection + 1 });
    bench.connection = connection + 1;
    bench.event(Event::Refused { call: "SUBSCRIBE".into(), code: 307, message: "c:1".into() });
    bench.step(Input::Tick);
    let expected = Effect::Connect { connection: connection + 2, master: "c:1".into() };
    assert_eq!(bench.effects, [expected]);
}

#[test]
fn one_with_a_fence_subscribes_again_until_its_fence_is_refused() {
    let mut bench = Bench::subscribed();
    let fence = StateFence { key: "head".into(), version: 7 };
    bench.core.driver.set_fence(Some(fence.clone()));
    let connection = bench.connection;
    bench.event(Event::Error("Framework failed over".into()));
    assert!(bench.effects.contains(&Effect::Disconnect { connection }), "{:?}", bench.effects);
    let stops = |bench: &Bench| {
        let is_end = |effect: &Effect| matches!(effect, Effect::Notice(Notice::Stopped(_)));
        bench.effects.iter().any(is_end)
    };
    assert!(!stops(&bench));
    let connection = loop {
        if let Some(connection) = bench.dialled() {
            break connection;
        }
        bench.now = bench.core.deadline().unwrap();
        bench.step(Input::Tick);
    };
    bench.step(Input::Connected { connection });
    bench.connection = connection;
    let says = |effect: &Effect| match effect {
        Effect::Send { call, .. } => match &call.body {
            CallBody::Subscribe(subscribe) => subscribe.fence == Some(fence.clone()),
            _ => false,
        },
        _ => false,
    };
    assert!(bench.effects.iter().any(says), "{:?}", bench.effects);
    bench.event(Event::Refused { call: "SUBSCRIBE".into(), code: 409, message: "'head'".into() });
    assert!(stops(&bench));
    assert_eq!(bench.core.deadline(), None);
}

#[test]
fn an_error_of_the_master_is_final() {
    let mut bench = Bench::subscribed();
    bench.event(Event::Error("Framework has been removed".into()));
    let stopped = Effect::Notice(Notice::Stopped("Framework has been removed".into()));
    assert!(bench.effects.contains(&stopped));
    assert_eq!(bench.core.deadline(), None);
    // Another framework's id is as final.
    let mut bench = Bench::subscribed();
    let connection = bench.connection;
    bench.step(Input::Closed { connection, leader: None });
    bench.step(Input::Tick);
    while bench.dialled().is_none() {
        bench.now = bench.core.deadline().unwrap();
        bench.step(Input::Tick);
    }
    bench.connection = bench.dialled().unwrap();
    bench.step(Input::Connected { connection: bench.connection });
    bench.event(subscribed("f-0009"));
    assert_eq!(bench.core.deadline(), None);
}

#[test]
fn a_repeated_submit_with_its_token_changes_nothing() {
    let mut bench = Bench::new();
    let mut spec = batch("b", 2);
    spec.token = Some("t".into());
    let id = bench.submit(spec.clone());
    bench.restart();
    bench.step(Input::Submit { request: 1, spec: Box::new(spec.clone()) });
    let answer = Answer::AlreadySubmitted(id.clone());
    assert_eq!(bench.effects, [Effect::Answer { request: 1, answer }]);
    spec.count = 3;
    bench.step(Input::Submit { request: 2, spec: Box::new(spec) });
    let answer = Answer::Refused(Refusal::TokenTaken(id));
    assert_eq!(bench.effects, [Effect::Answer { request: 2, answer }]);
}

#[test]
fn an_ended_group_can_be_forgotten_and_its_number_is_not_used_again() {
    let mut bench = Bench::subscribed();
    let (id, tasks) = bench.launch(batch("b", 1), 1000);
    bench.step(Input::Forget { request: 1, group: id.clone() });
    let answer = Answer::Refused(Refusal::StillLiving(id.clone()));
    assert_eq!(bench.effects, [Effect::Answer { request: 1, answer }]);
    bench.update(&tasks[0].task_id, TaskState::Finished);
    bench.step(Input::Forget { request: 2, group: id.clone() });
    assert!(bench.core.view(&id).is_none());
    // A crash before its records are gone brings nothing back.
    bench.restart();
    assert!(bench.core.view(&id).is_none());
    bench.settle();
    let left: Vec<u8> = bench.store.keys().map(|key| key[0]).collect();
    assert_eq!(left, b"FHN");
    bench.restart();
    assert_ne!(bench.submit(batch("b", 1)), id);
}

#[test]
fn a_launch_without_any_news_is_asked_for_and_then_killed_as_stuck() {
    let mut bench = Bench::subscribed();
    let (id, tasks) = bench.launch(batch("b", 1), 1000);
    bench.event(Event::Heartbeat);
    let patience = options().launch_timeout;
    let mut all = Vec::new();
    for _ in 0..(2 * patience.as_secs() / 10) {
        bench.pass(seconds(10));
        all.extend(bench.names().iter().map(|name| (*name).to_owned()));
        bench.event(Event::Heartbeat);
        let staging = bench.status(&tasks[0].task_id, TaskState::Staging);
        bench.event(Event::Update(staging));
    }
    assert!(all.contains(&"RECONCILE".to_owned()), "{all:?}");
    assert!(all.contains(&"KILL".to_owned()), "{all:?}");
    bench.update(&tasks[0].task_id, TaskState::Killed);
    assert_eq!(bench.core.unit(&id, 0).unwrap().attempt, 1);
    let record = bench.store.get(&unit_record_key(0, 0)).unwrap();
    let crate::core::record::Record::Unit { unit, .. } =
        crate::core::record::read(&unit_record_key(0, 0), record).unwrap()
    else {
        panic!("no unit");
    };
    assert!(matches!(unit.phase, PhaseRecord::Waiting { .. }));
    assert_eq!(unit.spent.platform, 1);
}

#[test]
fn a_million_queued_units_cost_a_record_and_little_memory() {
    let mut bench = Bench::subscribed();
    let id = bench.submit(batch("many", 1_000_000));
    let Effect::Persist(writes) = &bench.effects[0] else { panic!("no record") };
    assert_eq!(writes.len(), 2);
    bench.settle();
    bench.offer("S1", 2000);
    bench.settle();
    assert_eq!(bench.launched().len(), 2);
    let counts = bench.core.counts(&id).unwrap();
    assert_eq!((counts.pending, counts.launched), (999_998, 2));
}

#[test]
fn a_record_that_belongs_to_nothing_is_named() {
    let mut bench = Bench::subscribed();
    bench.launch(batch("b", 1), 1000);
    bench.store.retain(|key, _| key[0] != b'G');
    let error = Scheduler::recover(options(), 1, bench.store.clone()).unwrap_err();
    assert!(error.to_string().contains("belongs to no group"), "{error}");
}

#[test]
fn an_agent_that_fails_units_is_avoided_while_there_are_others() {
    let mut bench = Bench::subscribed();
    let id = bench.submit(batch("b", 1));
    bench.settle();
    bench.fail_on("S1", &id, 3);
    bench.submit(batch("more", 10));
    bench.settle();
    // Alone it is better than nothing.
    bench.offer("S1", 1000);
    bench.settle();
    assert_eq!(bench.launched().len(), 1);
    let one = crate::core::testing::offer("X1", "S1", 1000);
    let other = crate::core::testing::offer("X2", "S2", 1000);
    bench.event(Event::Offers(vec![one, other]));
    assert_eq!(bench.names(), ["DECLINE"]);
    bench.settle();
    let launched = bench.launched();
    assert_eq!(launched.len(), 1);
    assert_eq!(launched[0].agent_id.as_str(), "S2");
}

#[test]
fn a_large_group_is_ended_and_forgotten_in_slices() {
    let mut bench = Bench::subscribed();
    let id = bench.submit(batch("many", 100_000));
    bench.step(Input::Kill { request: 1, group: id.clone(), index: None });
    assert!(bench.effects.len() < 10_000, "{} effects in a step", bench.effects.len());
    assert!(bench.core.counts(&id).unwrap().pending > 0);
    bench.restart();
    assert_eq!(bench.core.counts(&id).unwrap().killed, 100_000);
    bench.connect();
    bench.settle();
    assert!(bench.core.view(&id).unwrap().ended.is_some());
    bench.step(Input::Forget { request: 2, group: id });
    while bench.core.has_slices() {
        let writes = bench.step(Input::Tick).iter().map(|effect| match effect {
            Effect::Persist(writes) => writes.len(),
            _ => 0,
        });
        assert!(writes.sum::<usize>() < 10_000);
    }
    assert!(!bench.store.keys().any(|key| b"GSUX".contains(&key[0])));
}

#[test]
fn a_clock_that_was_set_back_between_two_lives_delays_nothing() {
    let mut bench = Bench::subscribed();
    let mut spec = batch("b", 1);
    spec.retry.user = 1;
    let (id, tasks) = bench.launch(spec, 1000);
    bench.update(&tasks[0].task_id, TaskState::Failed);
    bench.restart();
    bench.now = proto::Time::from_millis(1);
    bench.connect();
    bench.pass(seconds(1));
    bench.offer("S1", 1000);
    bench.settle();
    assert_eq!(bench.launched()[0].task_id, task_id(&id, 0, 1), "the back-off is over");
}
