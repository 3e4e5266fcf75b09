//! Volumes with real tasks: what one writes the next one reads, and only a deletion ends it.

use crate::rig::{Agent, Connection, Master, config, framework_id, shell};
use agent::Stop;
use proto::agent_link::{AgentCall, AgentEvent, VolumeFailure};
use proto::{
    CommandInfo, Disk, Flavor, Persistence, Piece, Reason, Reservation, ReservationKind,
    ResourceName, Special, TaskBody, TaskInfo, TaskPayload, TaskState, Value, VolumeId,
    VolumeMount,
};
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// A volume of role `eng` at `data` in the sandbox.
fn volume(id: &str, shared: bool) -> Piece {
    let id = VolumeId::new(id).unwrap();
    let reservation = Reservation {
        kind: ReservationKind::Dynamic,
        role: proto::Role::new("eng").unwrap(),
        principal: None,
        labels: Vec::new(),
    };
    let disk = Disk {
        source: None,
        persistence: Some(Persistence { id, principal: None }),
        mount: Some(VolumeMount { container_path: "data".into(), read_only: false }),
    };
    let special =
        Special { reservations: vec![reservation], disk: Some(disk), shared, ..Special::default() };
    Piece {
        name: ResourceName::new("disk"),
        flavor: Flavor::new(false, special),
        value: Value::Scalar(64_000),
    }
}

fn v() -> Piece {
    volume("v", false)
}

/// A task that uses a volume.
fn with(piece: Piece, id: &str, line: &str) -> TaskInfo {
    let mut task = shell(id, line);
    assert!(task.resources.add_piece(piece));
    task
}

impl Connection {
    /// Says which volumes there are; what the agent answers.
    async fn volumes(
        &mut self,
        sequence: u64,
        volumes: Vec<Piece>,
        destroyed: Vec<Piece>,
    ) -> Vec<VolumeFailure> {
        self.say(AgentEvent::Volumes { sequence, volumes, destroyed });
        self.applied(sequence).await
    }

    async fn applied(&mut self, expected: u64) -> Vec<VolumeFailure> {
        loop {
            match self.next().await {
                AgentCall::VolumesApplied { sequence, failures } => {
                    assert_eq!(sequence, expected);
                    return failures;
                }
                AgentCall::Update { status, .. } => self.acknowledge(&status),
                _ => {}
            }
        }
    }

    /// Runs a task that must succeed.
    async fn succeed(&mut self, task: TaskInfo) {
        let end = self.run_to_end(task).await;
        assert_eq!(end.state, TaskState::Finished, "{end:?}");
    }
}

/// All files below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => all.extend(files(&entry.path())),
            false => all.push(entry.path()),
        }
    }
    all
}

#[tokio::test]
async fn what_one_task_writes_the_next_one_reads_until_the_volume_is_destroyed() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    assert_eq!(link.volumes(1, vec![v()], vec![]).await, []);
    link.succeed(with(v(), "writes", "echo kept > data/file")).await;
    link.succeed(with(v(), "reads", "grep -q kept data/file")).await;
    // The files of its sandbox are read, and no way leads through the link.
    let run = format!("/frameworks/{}/executors/reads/runs/latest", framework_id());
    let (status, body) = agent.get(&format!("/files/browse?path={run}")).await;
    assert!(status == 200 && body.contains("data"), "{body}");
    for path in ["data/file", "data", "data/../data/file"] {
        let (status, body) = agent.get(&format!("/files/read?path={run}/{path}")).await;
        assert!(status >= 400 && !body.contains("kept"), "{path}: {status} {body}");
    }
    assert_eq!(link.volumes(2, vec![], vec![v()]).await, []);
    assert_eq!(files(&dir.path().join("volumes")), [] as [PathBuf; 0]);
    assert_eq!(link.volumes(3, vec![v()], vec![]).await, []);
    link.succeed(with(v(), "finds nothing", "[ -d data ] && [ -z \"$(ls -A data)\" ]")).await;
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn the_collection_of_sandboxes_leaves_volumes_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut config = config(&master, dir.path());
    config.gc_delay = std::time::Duration::ZERO;
    let agent = Agent::start(config).await;
    let mut link = master.admit().await;
    link.volumes(1, vec![v()], vec![]).await;
    link.succeed(with(v(), "t", "echo kept > data/file; touch own")).await;
    let collected = "tepui_agent_sandboxes_collected_total 1";
    crate::rig::soon(async {
        while !agent.get("/metrics").await.1.contains(collected)
            || !files(&dir.path().join("sandboxes")).is_empty()
        {}
    })
    .await;
    let kept = files(&dir.path().join("volumes"));
    assert_eq!(kept.len(), 1);
    assert_eq!(std::fs::read(&kept[0]).unwrap(), b"kept\n");
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn a_volume_in_use_is_deleted_after_its_task() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    link.volumes(1, vec![v()], vec![]).await;
    link.start(with(v(), "t", "echo kept > data/file; sleep 1000")).await;
    let failures = link.volumes(2, vec![], vec![v()]).await;
    assert!(failures[0].message.contains("task t"), "{failures:?}");
    link.kill("t");
    assert_eq!(link.applied(2).await, [], "and that is told when it is done");
    assert_eq!(files(&dir.path().join("volumes")), [] as [PathBuf; 0]);
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn a_volume_that_is_not_there_fails_its_task_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let end = link.run_to_end(with(v(), "unknown", "true")).await;
    assert_eq!((end.state, end.reason), (TaskState::Dropped, Some(Reason::ResourcesUnknown)));
    link.volumes(1, vec![v()], vec![]).await;
    // Somebody takes it away under the running agent.
    let role = dir.path().join("volumes/M-S0/eng");
    std::fs::rename(role.join("v"), dir.path().join("elsewhere")).unwrap();
    let end = link.run_to_end(with(v(), "t", "true")).await;
    assert_eq!((end.state, end.reason), (TaskState::Failed, Some(Reason::ContainerLaunchFailed)));
    assert!(end.message.unwrap().contains("the volume v of role eng is not there"));
    agent.stop(Stop::KeepTasks).await;
    // The next agent does not put an empty one in its place.
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let failures = link.volumes(1, vec![v()], vec![]).await;
    assert!(failures[0].message.contains("is gone"), "{failures:?}");
    let end = link.run_to_end(with(v(), "u", "true")).await;
    assert!(end.message.unwrap().contains("is gone"));
    std::fs::rename(dir.path().join("elsewhere"), role.join("v")).unwrap();
    assert_eq!(link.volumes(2, vec![v()], vec![]).await, []);
    link.succeed(with(v(), "w", "[ -d data ]")).await;
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn a_command_that_cannot_start_leaves_no_link_to_the_next_task() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    link.volumes(1, vec![v()], vec![]).await;
    link.succeed(with(v(), "writes", "echo kept > data/file")).await;
    let missing = CommandInfo { value: Some("/no/such/program".into()), ..CommandInfo::default() };
    let mut task = with(v(), "missing", "");
    let body = TaskBody { command: Some(missing), ..TaskBody::default() };
    task.payload = TaskPayload::new(&body);
    assert_eq!(link.run_to_end(task).await.state, TaskState::Failed);
    link.succeed(shell("next", "[ -z \"$(ls -A)\" ]")).await;
    link.succeed(with(v(), "reads", "grep -q kept data/file")).await;
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn tasks_of_other_users_use_their_volumes() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("only root runs tasks as others; not tested");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let shared = || volume("s", true);
    link.volumes(1, vec![v(), shared()], vec![]).await;
    let as_user = |piece: Piece, id: &str, user: &str, line: &str| {
        let mut task = with(piece, id, "");
        let command = CommandInfo {
            shell: true,
            value: Some(line.into()),
            user: Some(user.into()),
            ..CommandInfo::default()
        };
        let body = TaskBody { command: Some(command), ..TaskBody::default() };
        task.payload = TaskPayload::new(&body);
        task
    };
    link.succeed(as_user(v(), "a", "4001", "echo a > data/a")).await;
    link.succeed(as_user(v(), "b", "4002", "cat data/a && echo b > data/b")).await;
    link.succeed(as_user(shared(), "c", "4001", "echo c > data/c")).await;
    let line = "cat data/c && ! touch data/d";
    link.succeed(as_user(shared(), "d", "4002", line)).await;
    let foreign = "! ls ../../volumes/M-S0/eng/v && ! ls ../../volumes/M-S0";
    link.succeed(as_user(shared(), "e", "4001", foreign)).await;
    agent.stop(Stop::EndTasks).await;
}

fn spawn(master: &Master, dir: &Path) -> tokio::process::Child {
    Command::new(env!("CARGO_BIN_EXE_agent"))
        .args([master.address.as_ref(), dir.as_os_str()])
        .arg(env!("CARGO_BIN_EXE_supervise"))
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn an_agent_that_is_killed_at_any_moment_loses_no_content_and_leaves_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut agent = spawn(&master, dir.path());
    let mut link = master.admit().await;
    for round in 0..20 {
        // Killed while the volume is made, with or without an answer.
        link.say(AgentEvent::Volumes { sequence: 1, volumes: vec![v()], destroyed: vec![] });
        if round % 2 == 0 {
            link.applied(1).await;
        }
        agent.kill().await.unwrap();
        agent = spawn(&master, dir.path());
        link = master.admit().await;
        assert_eq!(link.volumes(1, vec![v()], vec![]).await, []);
        link.succeed(with(v(), &format!("w{round}"), "[ ! -e data/f ] && echo x > data/f")).await;
        // Killed while a task uses it.
        link.start(with(v(), &format!("s{round}"), "until [ -e data/go ]; do sleep 0.01; done"))
            .await;
        agent.kill().await.unwrap();
        agent = spawn(&master, dir.path());
        link = master.admit().await;
        let failures = link.volumes(1, vec![], vec![v()]).await;
        assert!(failures[0].message.contains("uses it"), "round {round}: {failures:?}");
        assert_eq!(link.volumes(2, vec![v()], vec![]).await, []);
        let content = dir.path().join("volumes/M-S0/eng/v");
        std::fs::write(content.join("go"), "").unwrap();
        assert_eq!(link.end().await.state, TaskState::Finished);
        link.succeed(with(v(), &format!("r{round}"), "grep -q x data/f")).await;
        // Killed while it is deleted.
        link.say(AgentEvent::Volumes { sequence: 3, volumes: vec![], destroyed: vec![v()] });
        if round % 3 == 0 {
            assert_eq!(link.applied(3).await, []);
        }
        agent.kill().await.unwrap();
        agent = spawn(&master, dir.path());
        link = master.admit().await;
        assert_eq!(link.volumes(4, vec![], vec![v()]).await, []);
        assert!(!content.exists());
    }
    assert_eq!(files(&dir.path().join("volumes")), [] as [PathBuf; 0]);
    drop(link);
    agent.kill().await.unwrap();
    let mut config = config(&master, dir.path());
    config.resources = Some("cpus:4000;mem:1000000;disk:1000".to_owned());
    let last = Agent::start(config).await;
    let _link = master.admit().await;
    last.stop(Stop::EndTasks).await;
}
