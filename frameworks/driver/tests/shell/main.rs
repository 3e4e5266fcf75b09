//! The shell over real sockets and a real store, against a master of a few lines.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may"
)]

mod at_masters;
mod cluster;
mod master;
mod redirect;
mod state;

use driver::core::{Command, GroupId, GroupSpec, Kind, Notice, Options, Outcome, Template};
use driver::{Engine, Event, Framework, RunError, command_task};
use master::Master;
use proto::{Resources, TaskId, TaskState};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

const BOUND: Duration = Duration::from_secs(60);

fn spec(count: u32) -> GroupSpec {
    let template = Template {
        resources: BTreeMap::from([("cpus".into(), 10), ("mem".into(), 1000)]),
        command: Command { shell: true, value: "true".into(), ..Command::default() },
        ..Template::default()
    };
    GroupSpec::new("batch", Kind::Ledger, count, template)
}

async fn start(master: &str, dir: &Path) -> (Engine, JoinHandle<Result<(), RunError>>) {
    let options = Options::new("test", vec![master.into()]);
    Engine::start(options, dir, "test").await.unwrap()
}

/// Waits for so many notices of units.
async fn until_launched(watch: &mut broadcast::Receiver<Notice>, count: usize) {
    let launched = async {
        let mut launched = 0;
        while launched < count {
            if let Notice::Unit { .. } = watch.recv().await.unwrap() {
                launched += 1;
            }
        }
    };
    tokio::time::timeout(BOUND, launched).await.unwrap();
}

async fn until_ended(engine: &Engine, watch: &mut broadcast::Receiver<Notice>, id: &GroupId) {
    let waiting = async {
        let known = id.clone();
        if engine.read(move |s, _| s.view(&known).unwrap().ended).await.unwrap().is_some() {
            return;
        }
        while watch.recv().await.unwrap() != Notice::GroupEnded(id.clone()) {}
    };
    tokio::time::timeout(BOUND, waiting).await.expect("the group ends");
}

#[tokio::test]
async fn a_batch_runs_to_its_end_each_unit_once() {
    let (master, address) = Master::start(1000, true).await;
    let dir = tempfile::tempdir().unwrap();
    let (engine, _task) = start(&address, dir.path()).await;
    let mut watch = engine.watch();
    let id = engine.submit(spec(1000)).await.unwrap();
    until_ended(&engine, &mut watch, &id).await;
    let known = id.clone();
    let counts = engine.read(move |s, _| s.counts(&known).unwrap()).await.unwrap();
    assert_eq!(counts.succeeded, 1000);
    let launches = master.launches();
    assert_eq!(launches.len(), 1000);
    assert!(launches.values().all(|times| *times == 1));
    let attempts = engine.attempts(0, 999).unwrap();
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn a_broken_connection_loses_nothing() {
    let (master, address) = Master::start(100, true).await;
    let dir = tempfile::tempdir().unwrap();
    let (engine, _task) = start(&address, dir.path()).await;
    let mut watch = engine.watch();
    master.break_after(137);
    let id = engine.submit(spec(500)).await.unwrap();
    until_ended(&engine, &mut watch, &id).await;
    let known = id.clone();
    let counts = engine.read(move |s, _| s.counts(&known).unwrap()).await.unwrap();
    assert_eq!(counts.succeeded, 500);
    assert!(master.launches().values().all(|times| *times == 1));
    let subscriptions = master.log().iter().filter(|l| l.starts_with("SUBSCRIBE")).count();
    assert_eq!(subscriptions, 2, "{:?}", master.log());
}

#[tokio::test]
async fn a_restarted_scheduler_takes_its_work_up_as_the_same_framework() {
    let (master, address) = Master::start(100, false).await;
    let dir = tempfile::tempdir().unwrap();
    let (engine, task) = start(&address, dir.path()).await;
    let mut watch = engine.watch();
    let id = engine.submit(spec(10)).await.unwrap();
    until_launched(&mut watch, 10).await;
    drop(engine);
    task.await.unwrap().unwrap();

    let (engine, _task) = start(&address, dir.path()).await;
    let mut watch = engine.watch();
    let known = id.clone();
    let counts = engine.read(move |s, _| s.counts(&known).unwrap()).await.unwrap();
    assert_eq!(counts.launched, 10);
    engine.kill(id.clone(), None).await.unwrap();
    until_ended(&engine, &mut watch, &id).await;
    assert_eq!(master.launches().values().sum::<u32>(), 10);
    let log = master.log();
    assert!(log.contains(&"SUBSCRIBE Some(m-0000)".to_owned()), "{log:?}");
}

#[tokio::test]
async fn an_idle_engine_asks_for_silence_and_wakes_for_work() {
    let (master, address) = Master::start(100, true).await;
    let dir = tempfile::tempdir().unwrap();
    let (engine, _task) = start(&address, dir.path()).await;
    let mut watch = engine.watch();
    let first = engine.submit(spec(1)).await.unwrap();
    until_ended(&engine, &mut watch, &first).await;
    let silent = async {
        while !engine.read(|s, _| s.is_suppressed()).await.unwrap() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(BOUND, silent).await.expect("idleness is noticed");
    let second = engine.submit(spec(1)).await.unwrap();
    until_ended(&engine, &mut watch, &second).await;
    assert!(master.log().contains(&"REVIVE".to_owned()));
}

#[tokio::test]
async fn a_framework_of_its_own_mind_launches_and_says_farewell() {
    let (master, address) = Master::start(1000, true).await;
    let dir = tempfile::tempdir().unwrap();
    let mut framework =
        Framework::builder("own").master(address).store(dir.path()).start().await.unwrap();
    let mut wanted = Some(TaskId::new("one").unwrap());
    let life = async {
        while let Some(event) = framework.next_event().await.unwrap() {
            match event {
                Event::Offers(offers) => {
                    for offer in offers {
                        match wanted.take() {
                            Some(id) => {
                                let needs = Resources::cpus_mem(100, 1000);
                                let task = command_task(&offer, id, "true", needs);
                                framework.launch(&offer, vec![task]);
                            }
                            None => framework.decline(&offer, Duration::from_secs(5)),
                        }
                    }
                }
                Event::Update(status) => {
                    framework.acknowledge(&status);
                    assert_eq!(status.state, TaskState::Finished);
                    break;
                }
                _ => {}
            }
        }
    };
    tokio::time::timeout(BOUND, life).await.unwrap();
    framework.teardown().await.unwrap();
    assert_eq!(master.log().last().map(String::as_str), Some("TEARDOWN"));
    assert_eq!(master.living(), 0);
}

#[tokio::test]
async fn a_second_process_on_the_same_records_is_refused() {
    let (_master, address) = Master::start(10, true).await;
    let dir = tempfile::tempdir().unwrap();
    let (_engine, _task) = start(&address, dir.path()).await;
    let options = Options::new("test", vec![address.into()]);
    let error = Engine::start(options, dir.path(), "test").await.unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
}
