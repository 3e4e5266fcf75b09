//! What an agent refuses to start with, and how it stops.

use crate::rig::{Agent, BOUND, Master, config, framework_id, shell, soon};
use agent::Stop;
use proto::agent_link::AgentEvent;
use proto::{TaskId, TaskState};

#[tokio::test]
async fn two_agents_with_one_work_directory_do_not_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let first = Agent::start(config(&master, dir.path())).await;
    let _link = master.admit().await;
    first.registered().await;
    let error = Agent::start(config(&master, dir.path())).await.error().await.to_string();
    assert!(error.contains("in use by another process"), "{error}");
    assert!(error.contains(dir.path().to_str().unwrap()), "{error}");
    assert_eq!(first.get("/health").await.0, 200, "the first one goes on");
    first.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn the_directory_of_another_component_is_refused_and_left_as_it_is() {
    let master = Master::start().await;
    for kind in ["master", "jobs", "agent"] {
        let dir = tempfile::tempdir().unwrap();
        drop(store::Store::open(dir.path(), store::Options::new(kind, 1)).unwrap());
        let names = || {
            let entries = std::fs::read_dir(dir.path()).unwrap();
            entries
                .map(|entry| entry.unwrap().file_name())
                .collect::<std::collections::BTreeSet<_>>()
        };
        let before = names();
        let error = Agent::start(config(&master, dir.path())).await.error().await;
        assert!(matches!(error, agent::Error::Store(_)), "which is a conflict: {error:?}");
        let error = error.to_string();
        assert!(
            error.contains(&format!("is of kind '{kind}', and kind 'agent work directory' is")),
            "{error}"
        );
        assert!(error.contains(dir.path().to_str().unwrap()), "{error}");
        assert_eq!(names(), before);
    }
}

#[tokio::test]
async fn less_than_tasks_use_is_refused_and_more_is_taken_while_they_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    link.start(shell("t", "sleep 1000")).await;
    agent.stop(Stop::KeepTasks).await;
    let mut changed = config(&master, dir.path());
    changed.resources = Some("cpus:4;mem:15;disk:1000".to_owned());
    let error = Agent::start(changed).await.error().await;
    assert!(matches!(error, agent::Error::Reconfigured { .. }), "which is a conflict: {error:?}");
    let error = error.to_string();
    for part in ["task t of framework M-0000", "mem 16", "at least 'cpus:0.01; mem:16'"] {
        assert!(error.contains(part), "'{part}' is missing: {error}");
    }
    let mut other = config(&master, dir.path());
    other.hostname = Some("elsewhere".to_owned());
    let error = Agent::start(other).await.error().await.to_string();
    assert!(error.contains("hostname") && error.contains("elsewhere"), "{error}");

    let mut changed = config(&master, dir.path());
    changed.resources = Some("cpus:8;mem:4096;disk:500;licences:3".to_owned());
    changed.attributes = Some("zone:b".to_owned());
    let agent = Agent::start(changed).await;
    // It fails on an agent that registers anew.
    let link = master.admit_and_reconcile(vec![(framework_id(), TaskId::new("t").unwrap())]).await;
    assert_eq!(link.tasks.len(), 1, "it has its task");
    assert_eq!(link.tasks[0].state, TaskState::Running);
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn a_work_directory_of_another_cluster_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let _link = master.admit().await;
    agent.registered().await;
    agent.stop(Stop::EndTasks).await;
    let mut west = config(&master, dir.path());
    west.cluster = Some("west".to_owned());
    let error = Agent::start(west).await.error().await.to_string();
    assert!(error.contains("east") && error.contains("west"), "{error}");
}

#[tokio::test]
async fn an_agent_tells_a_master_of_another_cluster_nothing_and_keeps_its_tasks() {
    let dir = tempfile::tempdir().unwrap();
    let mut east = Master::start().await;
    let agent = Agent::start(config(&east, dir.path())).await;
    let mut link = east.admit().await;
    link.start(shell("t", "sleep 1000")).await;
    agent.stop(Stop::KeepTasks).await;

    let mut west = Master::of("west").await;
    let error = Agent::start(config(&west, dir.path())).await.error().await.to_string();
    for word in ["cluster east", "cluster west", &west.address, dir.path().to_str().unwrap()] {
        assert!(error.contains(word), "'{word}' is missing: {error}");
    }
    assert_eq!(west.heard().await, None, "it was told nothing");

    let agent = Agent::start(config(&east, dir.path())).await;
    let link = east.admit().await;
    assert_eq!(link.tasks.len(), 1, "the task went on");
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn an_agent_that_was_admitted_looks_for_the_masters_of_its_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let mut east = Master::start().await;
    let mut west = Master::of("west").await;
    let mut config = config(&east, dir.path());
    config.masters.push(west.address.clone());
    config.connect_backoff.1 = std::time::Duration::from_millis(50);
    let agent = Agent::start(config).await;
    let link = east.admit().await;
    agent.registered().await;
    drop(link);
    assert_eq!(west.heard().await, None, "it was told nothing");
    let _link = east.admit().await;
    agent.registered().await;
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = agent::listen(address).await.unwrap_err().to_string();
    assert!(error.contains(&address.port().to_string()) && error.contains("--listen"), "{error}");
}

#[tokio::test]
async fn an_agent_waits_for_a_master_that_is_not_there_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut config = config(&master, dir.path());
    // The first address answers nobody; the second one is right.
    config.masters.insert(0, "127.0.0.1:1".to_owned());
    let agent = Agent::start(config).await;
    let _link = master.admit().await;
    let (_, metrics) = agent.get("/metrics").await;
    assert!(metrics.contains("tepui_agent_links_lost_total 1"), "{metrics}");
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn a_refused_agent_asks_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut config = config(&master, dir.path());
    config.connect_backoff.1 = std::time::Duration::from_millis(50);
    let agent = Agent::start(config).await;
    let first = master.admit().await;
    agent.registered().await;
    first.say(AgentEvent::Refused { message: "not now".into(), gone: false });
    let _again = master.admit().await;
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn stopping_with_the_tasks_ends_them_and_their_supervisor() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let file = dir.path().join("pid");
    let line = format!("echo $$ $PPID > {}; exec sleep 1000", file.display());
    link.start(shell("t", &line)).await;
    let pids = soon(async {
        loop {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if text.ends_with('\n') {
                break text;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    agent.stop(Stop::EndTasks).await;
    let until = std::time::Instant::now() + BOUND;
    for pid in pids.split_whitespace() {
        while is_alive(pid) {
            assert!(std::time::Instant::now() < until, "{pid} is still there");
            std::thread::yield_now();
        }
    }
}

/// A zombie has ended; that nobody waited for it is not its fault.
fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}
