//! A new release takes over while tasks run: by new programs in the place of the old ones, and not
//! where it would not understand the supervisor that has the tasks.

use crate::rig::{Agent, Master, config, framework_id, shell};
use agent::crash::PROTOCOL;
use agent::{Error, Stop};
use proto::{Exit, TaskId, TaskState};
use std::path::{Path, PathBuf};
use tokio::process::{Child, Command};

/// A release in a directory: an agent and its supervisor, which speak this version.
fn start(programs: &Path, protocol: Option<u8>, master: &Master, work: &Path) -> Child {
    let mut agent = Command::new(programs.join("agent"));
    agent.args([master.address.as_ref(), work.as_os_str(), "--collect".as_ref()]);
    agent.arg(programs.join("supervise"));
    if let Some(protocol) = protocol {
        agent.env(PROTOCOL, protocol.to_string());
    }
    agent.kill_on_drop(true).spawn().unwrap()
}

/// Puts programs where others may be, which run on from what is no file any more.
fn install(programs: &Path) {
    std::fs::create_dir_all(programs).unwrap();
    for (name, built) in
        [("agent", env!("CARGO_BIN_EXE_agent")), ("supervise", env!("CARGO_BIN_EXE_supervise"))]
    {
        let new = programs.join("new");
        std::fs::copy(built, &new).unwrap();
        std::fs::rename(new, programs.join(name)).unwrap();
    }
}

fn built() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_agent")).parent().unwrap().to_owned()
}

fn supervisor_of(work: &Path) -> i32 {
    let lock = std::fs::read_to_string(work.join("supervisor/supervisor.lock")).unwrap();
    lock.lines().next().unwrap().parse().unwrap()
}

fn known(task: &str) -> Vec<(proto::FrameworkId, TaskId)> {
    vec![(framework_id(), TaskId::new(task).unwrap())]
}

/// What the test's own agents are given, to be one with those of `start`.
fn own(master: &Master, work: &Path) -> agent::Config {
    let mut config = config(master, work);
    config.resources = Some("cpus:4000;mem:1000000;disk:1000".to_owned());
    config
}

#[tokio::test]
async fn new_programs_in_the_place_of_the_old_take_over_running_tasks() {
    let dir = tempfile::tempdir().unwrap();
    let (programs, work) = (dir.path().join("programs"), dir.path().join("work"));
    let mut master = Master::start().await;
    install(&programs);
    let mut agent = start(&programs, None, &master, &work);
    let mut link = master.admit().await;
    let go = dir.path().join("go");
    let line = format!("until [ -e {} ]; do sleep 0.01; done; exit 7", go.display());
    link.start(shell("old", &line)).await;
    let supervisor = supervisor_of(&work);

    install(&programs);
    agent.kill().await.unwrap();
    let exe = std::fs::read_link(format!("/proc/{supervisor}/exe")).unwrap();
    assert!(exe.to_string_lossy().ends_with(" (deleted)"), "its file is gone: {exe:?}");
    let mut agent = start(&programs, None, &master, &work);
    let mut link = master.admit_and_reconcile(known("old")).await;
    assert_eq!(link.tasks.len(), 1);
    assert_eq!(supervisor_of(&work), supervisor, "it goes on with its tasks");
    // It starts new ones, too.
    let end = link.run_to_end(shell("new", "exit 3")).await;
    assert_eq!(end.outcome.unwrap().exit, Some(Exit::Code(3)));
    std::fs::write(&go, "").unwrap();
    let end = link.end().await;
    assert_eq!((end.task_id.as_str(), end.outcome.unwrap().exit), ("old", Some(Exit::Code(7))));
    agent.kill().await.unwrap();
    drop(link);
    let last = Agent::start(own(&master, &work)).await;
    let _link = master.admit().await;
    last.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn a_supervisor_of_another_version_keeps_its_tasks_until_they_end_and_makes_room_then() {
    // As an upgrade, and as a way back.
    for other in [2, 9] {
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().join("work");
        let mut master = Master::start().await;
        let mut agent = start(&built(), Some(other), &master, &work);
        let mut link = master.admit().await;
        link.start(shell("t", "sleep 1000")).await;
        let supervisor = supervisor_of(&work);
        agent.kill().await.unwrap();

        let error = Agent::start(own(&master, &work)).await.error().await;
        assert!(matches!(error, Error::Supervisor(_)), "{error:?}");
        let said = error.to_string();
        let versions = format!("protocol version {other}, this side speaks ");
        for part in [&*versions, "Its tasks go on", "tepui drain", "--kill-tasks-on-exit"] {
            assert!(said.contains(part), "'{part}' is missing: {said}");
        }

        // The release that it belongs to finds its task as it was.
        let mut agent = start(&built(), Some(other), &master, &work);
        let mut link = master.admit_and_reconcile(known("t")).await;
        assert_eq!(link.tasks.len(), 1);
        assert_eq!(link.tasks[0].state, TaskState::Running);
        assert_eq!(supervisor_of(&work), supervisor);
        link.kill("t");
        assert_eq!(link.end().await.state, TaskState::Killed);
        // The supervisor has forgotten a task of which the agent knows nothing any more, and what
        // that knows it says when it comes back.
        while !link.tasks.is_empty() {
            drop(link);
            link = master.admit().await;
            if link.tasks.iter().any(|task| task.status.is_some()) {
                link.acknowledged().await;
            }
        }
        agent.kill().await.unwrap();
        drop(link);

        // Now nothing stands against the new one, which does not wait for the old supervisor's
        // patience to end.
        let next = Agent::start(own(&master, &work)).await;
        let mut link = master.admit().await;
        let end = link.run_to_end(shell("mine", "exit 4")).await;
        assert_eq!(end.outcome.unwrap().exit, Some(Exit::Code(4)));
        assert_ne!(supervisor_of(&work), supervisor);
        next.stop(Stop::EndTasks).await;
    }
}
