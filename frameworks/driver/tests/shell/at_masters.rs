//! An engine whose records are at the masters: nothing of it is needed but its id.

use crate::master::Master;
use crate::{BOUND, spec, until_ended, until_launched};
use driver::core::{Options, Refusal, Scheduler};
use driver::{AskError, Engine, RunError};
use proto::FrameworkId;
use std::time::Duration;
use tokio::task::JoinHandle;

async fn start(master: &str) -> (Engine, JoinHandle<Result<(), RunError>>) {
    let mut options = Options::new("test", vec![master.into()]);
    options.reconnect_most = Duration::from_millis(100);
    let id = FrameworkId::new("test").unwrap();
    let started = Engine::start_at_masters(options, &id);
    tokio::time::timeout(BOUND, started).await.unwrap().unwrap()
}

#[tokio::test]
async fn it_goes_on_from_nothing_but_its_id() {
    let (master, address) = Master::start(100, true).await;
    let (engine, task) = start(&address).await;
    let mut watch = engine.watch();
    let id = engine.submit(spec(500)).await.unwrap();
    until_ended(&engine, &mut watch, &id).await;
    let second = engine.submit(spec(20)).await.unwrap();
    drop(engine);
    tokio::time::timeout(BOUND, task).await.unwrap().unwrap().unwrap();

    let (engine, _task) = start(&address).await;
    let mut watch = engine.watch();
    until_ended(&engine, &mut watch, &second).await;
    for (id, units) in [(id, 500), (second, 20)] {
        let counts = engine.read(move |s, _| s.counts(&id).unwrap()).await.unwrap();
        assert_eq!(counts.succeeded, units);
    }
    assert_eq!(master.launches().len(), 520);
    assert!(master.launches().values().all(|times| *times == 1));
    let attempts = engine.attempts(0, 499).unwrap();
    assert_eq!(attempts.len(), 1, "histories are read from there, too");
}

#[tokio::test]
async fn who_takes_over_leaves_the_tasks_that_run_in_peace() {
    let (master, address) = Master::start(100, false).await;
    let (engine, task) = start(&address).await;
    let mut watch = engine.watch();
    let id = engine.submit(spec(10)).await.unwrap();
    until_launched(&mut watch, 10).await;
    drop(engine);
    tokio::time::timeout(BOUND, task).await.unwrap().unwrap().unwrap();
    let (engine, _task) = start(&address).await;
    let counts = engine.read(move |s, _| s.counts(&id).unwrap()).await.unwrap();
    assert_eq!(counts.launched, 10);
    assert_eq!(master.living(), 10);
    let killed = master.log().into_iter().filter(|call| call.starts_with("KILL")).count();
    assert_eq!((killed, master.launches().len()), (0, 10));
}

#[tokio::test]
async fn answers_that_are_lost_with_their_connections_lose_nothing() {
    let (master, address) = Master::start(100, true).await;
    let (engine, _task) = start(&address).await;
    let mut watch = engine.watch();
    let mut ids = Vec::new();
    for _ in 0..5 {
        master.lose_answer();
        ids.push(engine.submit(spec(10)).await.unwrap());
    }
    for id in ids {
        until_ended(&engine, &mut watch, &id).await;
    }
    assert_eq!(master.launches().len(), 50);
    assert!(master.launches().values().all(|times| *times == 1));
}

#[tokio::test]
async fn who_was_taken_over_ends_and_says_so() {
    let (_master, address) = Master::start(100, true).await;
    let (old, old_task) = start(&address).await;
    let first = old.submit(spec(3)).await.unwrap();
    let (new, _new_task) = start(&address).await;
    assert!(new.read(move |s, _| s.view(&first).is_some()).await.unwrap());
    // It finds its connection broken and tries again, or its next record is refused.
    let late = tokio::time::timeout(BOUND, old.submit(spec(1))).await.unwrap();
    assert!(matches!(late, Err(AskError::Ended)), "{late:?}");
    let ended = tokio::time::timeout(BOUND, old_task).await.unwrap().unwrap();
    let why = ended.unwrap_err().to_string();
    assert!(why.contains("taken over"), "{why}");
    assert!(new.submit(spec(1)).await.is_ok());
}

#[tokio::test]
async fn what_has_no_room_for_its_ends_is_refused_with_the_figures() {
    let (_master, address) = Master::start(100, true).await;
    let (engine, _task) = start(&address).await;
    match engine.submit(spec(5000)).await {
        Err(AskError::Refused(Refusal::NoRoom { needs, capacity, .. })) => {
            assert!(needs > 5000 * 100 && capacity == Scheduler::ROOM_BYTES, "{needs} {capacity}");
        }
        other => panic!("{other:?}"),
    }
    assert!(engine.submit(spec(1000)).await.is_ok());
}
