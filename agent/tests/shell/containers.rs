//! Tasks that ask for containers, through a whole agent: what they get, and how a refusal is told.

use crate::rig::{Agent, Master, command, config, framework_id, soon};
use crate::sessions::begin;
use agent::{HostPath, Policy, Stop};
use proto::{
    Check, CheckKind, Checks, CommandInfo, ContainerInfo, ContainerVolume, Exit, HealthCheck,
    TaskBody, TaskInfo, TaskPayload, TaskState, VolumeSource,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn contained(id: &str, line: &str, container: ContainerInfo) -> TaskInfo {
    let info = CommandInfo { shell: true, value: Some(line.into()), ..CommandInfo::default() };
    let body =
        TaskBody { command: Some(info.clone()), container: Some(container), ..TaskBody::default() };
    TaskInfo { payload: TaskPayload::new(&body), ..command(id, info) }
}

/// An image of busybox, in a store.
pub(crate) fn image(store: &Path) {
    let root = store.join("tools/busybox:1/rootfs");
    for name in ["bin", "etc", "proc", "dev", "sys", "tmp", "srv", "mnt/mesos/sandbox"] {
        std::fs::create_dir_all(root.join(name)).unwrap();
    }
    std::fs::copy("/usr/bin/busybox", root.join("bin/busybox")).unwrap();
    for name in ["sh", "cat", "id", "echo", "touch", "pwd"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    std::fs::write(root.join("etc/passwd"), "app:x:7:8::/:/bin/sh\n").unwrap();
    let config = r#"{"config":{"User":"app","Env":["FROM=image"],"WorkingDir":"/srv"}}"#;
    std::fs::write(root.parent().unwrap().join("config.json"), config).unwrap();
}

#[allow(clippy::print_stdout, reason = "what did not run is said")]
pub(crate) fn may_run() -> bool {
    let root = rustix::process::geteuid().is_root() && Path::new("/usr/bin/busybox").exists();
    if !root {
        assert!(std::env::var_os("TEPUI_BUSYBOX").is_none(), "it is said to be ready");
        println!("not run: containers need root, and this test busybox");
    }
    root
}

#[tokio::test]
async fn a_task_runs_in_its_image_and_its_output_is_read_as_ever() {
    if !may_run() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("images");
    image(&store);
    let mut master = Master::start().await;
    let policy = Policy { image_store: Some(store), ..Policy::default() };
    let work = dir.path().join("work");
    let agent = Agent::start(agent::Config { policy, ..config(&master, &work) }).await;
    let mut link = master.admit().await;
    let asked = ContainerInfo {
        image: Some("tools/busybox:1".into()),
        hostname: Some("box".into()),
        volumes: vec![ContainerVolume {
            container_path: "/srv/scratch".into(),
            read_only: false,
            source: VolumeSource::Tmpfs(Some(4096)),
        }],
        ..ContainerInfo::default()
    };
    let line = "pwd; id -u; id -g; echo $FROM; cat /proc/sys/kernel/hostname; \
                touch scratch/x && echo written; echo kept > $MESOS_SANDBOX/file; exit 3";
    let end = link.run_to_end(contained("t", line, asked)).await;
    assert_eq!(end.outcome.unwrap().exit, Some(Exit::Code(3)), "{:?}", end.message);
    let run = format!("/frameworks/{}/executors/t/runs/latest", framework_id());
    let (_, out) = agent.get(&format!("/files/download?path={run}/stdout")).await;
    assert_eq!(out, "/srv\n7\n8\nimage\nbox\nwritten\n");
    let (_, file) = agent.get(&format!("/files/download?path={run}/file")).await;
    assert_eq!(file, "kept\n");
    // A task that runs in a container outlives its agent, and can be killed by the next.
    let sleeper = ContainerInfo { hostname: Some("s".into()), ..ContainerInfo::default() };
    link.start(contained("sleeper", "sleep 1000", sleeper)).await;
    agent.stop(Stop::KeepTasks).await;
    let agent = Agent::start(config(&master, &work)).await;
    let mut link = master.admit().await;
    assert_eq!(link.tasks.len(), 1);
    link.kill("sleeper");
    assert_eq!(link.end().await.state, TaskState::Killed);
    // What was written over an image is removed by the agent.
    let trash = work.join("supervisor/enclosures/trash");
    let emptied = async {
        while std::fs::read_dir(&trash).unwrap().next().is_some() {
            tokio::task::yield_now().await;
        }
    };
    soon(emptied).await;
    agent.stop(Stop::EndTasks).await;
}

/// Nobody has said anything about users: whom a plain task runs as is then anybody but root.
#[tokio::test]
async fn a_task_that_would_be_root_of_the_host_is_refused_unless_the_operator_allows_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let is_root = rustix::process::geteuid().is_root();
    let policies = [
        (Policy::default(), is_root),
        (Policy { root: true, ..Policy::default() }, false),
        (Policy { users: Some(vec!["root".into()]), ..Policy::default() }, false),
    ];
    for (number, (policy, is_refused)) in policies.into_iter().enumerate() {
        let work = dir.path().join(number.to_string());
        let agent = Agent::start(agent::Config { policy, ..config(&master, &work) }).await;
        let mut link = master.admit().await;
        let info = CommandInfo {
            shell: true,
            value: Some("exit 3".into()),
            user: is_root.then(|| "root".into()),
            ..CommandInfo::default()
        };
        let end = link.run_to_end(command("plain", info)).await;
        let said = end.message.as_deref().unwrap_or_default();
        let exit = end.outcome.unwrap().exit;
        assert_eq!(exit, Some(Exit::Code(if is_refused { 126 } else { 3 })), "{number}: {said}");
        let names_all = ["command.user", "--allow-root"].iter().all(|part| said.contains(part));
        assert_eq!(names_all, is_refused, "{number}: {said}");
        agent.stop(Stop::EndTasks).await;
        drop(link);
    }
}

#[tokio::test]
async fn what_an_operator_did_not_allow_fails_the_task_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let policy = Policy { users: Some(vec!["nobody".into()]), ..Policy::default() };
    let agent = Agent::start(agent::Config { policy, ..config(&master, dir.path()) }).await;
    let mut link = master.admit().await;
    let host = ContainerInfo {
        volumes: vec![ContainerVolume {
            container_path: "/in".into(),
            read_only: true,
            source: VolumeSource::HostPath("/etc".into()),
        }],
        ..ContainerInfo::default()
    };
    let capable = ContainerInfo { capabilities: vec![21], ..ContainerInfo::default() };
    let image = ContainerInfo { image: Some("none".into()), ..ContainerInfo::default() };
    let refusals = [
        ("host", contained("host", "true", host), "--allow-host-path"),
        ("capable", contained("capable", "true", capable), "--allow-capability"),
        ("image", contained("image", "true", image), "--image-store"),
        ("plain", crate::rig::shell("plain", "true"), "--task-users"),
    ];
    for (name, task, flag) in refusals {
        let end = link.run_to_end(task).await;
        assert_eq!(
            (end.state, end.outcome.unwrap().exit),
            (TaskState::Failed, Some(Exit::Code(126)))
        );
        assert!(
            end.message.as_deref().is_some_and(|said| said.contains(flag)),
            "{name}: {:?}",
            end.message
        );
    }
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn an_archive_is_unpacked_for_the_first_task_and_there_for_the_next() {
    if !may_run() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (made, store) = (dir.path().join("made"), dir.path().join("images"));
    image(&made);
    std::fs::create_dir(&store).unwrap();
    let packed = std::process::Command::new("tar")
        .arg("--create")
        .arg("--gzip")
        .arg(format!("--file={}", store.join("box.tar.gz").display()))
        .arg(format!("--directory={}", made.join("tools/busybox:1/rootfs").display()))
        .arg(".")
        .status()
        .unwrap();
    assert!(packed.success());
    std::fs::write(store.join("broken.tar"), "no archive").unwrap();
    let mut master = Master::start().await;
    let policy = Policy { image_store: Some(store), ..Policy::default() };
    let work = dir.path().join("work");
    let agent = Agent::start(agent::Config { policy, ..config(&master, &work) }).await;
    let mut link = master.admit().await;
    let asked =
        |image: &str| ContainerInfo { image: Some(image.into()), ..ContainerInfo::default() };
    for id in ["first", "second"] {
        let line = "cat /etc/passwd; touch /etc/passwd && echo written";
        let mut task = contained(id, line, asked("box"));
        let mut body = task.payload.open().unwrap();
        body.command = body.command.map(|c| CommandInfo { user: Some("app".into()), ..c });
        task.payload = TaskPayload::new(&body);
        let end = link.run_to_end(task).await;
        let run = format!("/frameworks/{}/executors/{id}/runs/latest", framework_id());
        let (_, out) = agent.get(&format!("/files/download?path={run}/stdout")).await;
        assert_eq!(end.state, TaskState::Failed, "{:?}: {out}", end.message);
        assert_eq!(out, "app:x:7:8::/:/bin/sh\n", "root's file is not app's to write");
    }
    let unpacked = std::fs::read_dir(work.join("images")).unwrap().count();
    assert_eq!(unpacked, 2, "one image, and what is known of archives");
    let end = link.run_to_end(contained("broken", "true", asked("broken"))).await;
    assert_eq!(end.outcome.unwrap().exit, Some(Exit::Code(126)));
    assert!(end.message.as_deref().is_some_and(|said| said.contains("\"broken\"")));
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn the_command_of_a_check_is_within_the_walls_of_its_task() {
    if !may_run() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("images");
    image(&store);
    let mut master = Master::start().await;
    let policy = Policy { image_store: Some(store), ..Policy::default() };
    let work = dir.path().join("work");
    let agent = Agent::start(agent::Config { policy, ..config(&master, &work) }).await;
    let mut link = master.admit().await;
    let asked = ContainerInfo {
        image: Some("tools/busybox:1".into()),
        hostname: Some("box".into()),
        ..ContainerInfo::default()
    };
    // Its root, host name, user, variables, sandbox and processes are those of the task.
    let line = "[ $(id -u) = 7 ] && [ $FROM = image ] && [ $(pwd) = /srv ] && \
                [ $(cat /proc/sys/kernel/hostname) = box ] && [ -e $MESOS_SANDBOX/mine ] && \
                [ -e /proc/2 ] && ! [ -e /usr ]";
    let value = Some(line.into());
    let look = CommandInfo { shell: true, value, ..CommandInfo::default() };
    let second = Duration::from_secs(1);
    let check = Check {
        kind: CheckKind::Command(Box::new(look)),
        delay: second / 2,
        interval: second / 10,
        timeout: 20 * second,
    };
    let health = HealthCheck { check, consecutive_failures: 100, grace_period: Duration::ZERO };
    let mut task = contained("t", "touch $MESOS_SANDBOX/mine; busybox sleep 1000", asked);
    let mut body = task.payload.open().unwrap();
    body.checks = Some(Arc::new(Checks { health: Some(health), check: None }));
    task.payload = TaskPayload::new(&body);
    link.start(task).await;
    let told = link.acknowledged().await;
    assert_eq!(told.healthy, Some(true), "{:?}", told.message);
    link.kill("t");
    assert_eq!(link.end().await.state, TaskState::Killed);
    agent.stop(Stop::EndTasks).await;
}

/// Waits until checks have printed more than this, and gives all of it.
async fn looks(agent: &Agent, more_than: usize) -> String {
    let run = format!("/frameworks/{}/executors/t/runs/latest", framework_id());
    let path = format!("/files/download?path={run}/looks");
    soon(async {
        loop {
            let (_, said) = agent.get(&path).await;
            if said.starts_with("7 ") && said.len() > more_than && said.ends_with('\n') {
                return said;
            }
            // waits: for the next look at the task
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

#[tokio::test]
async fn what_runs_in_a_container_later_finds_its_image_whatever_became_of_its_name() {
    if !may_run() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("images");
    image(&store);
    let named = store.join("tools/busybox:1");
    std::fs::write(named.join("rootfs/etc/group"), "more:x:9:app\n").unwrap();
    let mut master = Master::start().await;
    let policy = Policy { image_store: Some(store.clone()), ..Policy::default() };
    let work = dir.path().join("work");
    let agent = Agent::start(agent::Config { policy, ..config(&master, &work) }).await;
    let mut link = master.admit().await;
    let found = "echo $(busybox id -u) $(busybox id -G) $FROM $(busybox pwd)";
    let expected = "7 8 9 image /srv\n";
    let value = Some(format!("{found} >> $MESOS_SANDBOX/looks").into());
    let look = CommandInfo { shell: true, value, ..CommandInfo::default() };
    let check = Check {
        kind: CheckKind::Command(Box::new(look)),
        delay: Duration::ZERO,
        interval: Duration::from_millis(100),
        timeout: Duration::from_secs(20),
    };
    let asked = ContainerInfo { image: Some("tools/busybox:1".into()), ..ContainerInfo::default() };
    let mut task = contained("t", "busybox sleep 1000", asked);
    let mut body = task.payload.open().unwrap();
    body.checks = Some(Arc::new(Checks { health: None, check: Some(check) }));
    task.payload = TaskPayload::new(&body);
    link.start(task).await;
    let asked =
        async |agent: &Agent, name: &str| begin(agent, name, found, None).await.said().await;
    assert_eq!(asked(&agent, "first").await, (expected.to_owned(), String::new()));
    // The name means another image now, with the same user under another number.
    std::fs::rename(&named, dir.path().join("old")).unwrap();
    image(&store);
    std::fs::write(named.join("rootfs/etc/passwd"), "app:x:1:1::/:/bin/sh\n").unwrap();
    let config_of_other = r#"{"config":{"User":"app","Env":["FROM=other"],"WorkingDir":"/"}}"#;
    std::fs::write(named.join("config.json"), config_of_other).unwrap();
    assert_eq!(asked(&agent, "other").await, (expected.to_owned(), String::new()));
    // It means none, to an agent that has no store.
    std::fs::remove_dir_all(&store).unwrap();
    assert_eq!(asked(&agent, "gone").await, (expected.to_owned(), String::new()));
    let before = looks(&agent, 0).await;
    agent.stop(Stop::KeepTasks).await;
    let agent = Agent::start(config(&master, &work)).await;
    let mut link = master.admit().await;
    assert_eq!(link.tasks.len(), 1);
    assert_eq!(asked(&agent, "again").await, (expected.to_owned(), String::new()));
    // One of them may have been under way when the agent before ended.
    let after = looks(&agent, before.len() + 2 * expected.len()).await;
    assert!(after.lines().all(|line| line == expected.trim_end()), "{after}");
    link.kill("t");
    loop {
        let told = link.acknowledged().await;
        if told.state.is_terminal() {
            assert_eq!(told.state, TaskState::Killed);
            break;
        }
    }
    agent.stop(Stop::EndTasks).await;
}

/// What bounds a container that asks for none: the bomb is one within the default.
#[tokio::test]
async fn s31_s40_s42_a_container_has_bounds_without_asking_for_any() {
    if !may_run() {
        return;
    }
    let probe = std::fs::canonicalize(env!("CARGO_BIN_EXE_escape")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let allowed = HostPath { path: probe.clone(), read_only: true };
    let policy = Policy { host_paths: vec![allowed], ..Policy::default() };
    let config = agent::Config { policy, cgroups: true, ..config(&master, dir.path()) };
    let agent = Agent::start(config).await;
    let mut link = master.admit().await;
    let asked = ContainerInfo {
        volumes: vec![ContainerVolume {
            container_path: "/probe".into(),
            read_only: true,
            source: VolumeSource::HostPath(probe.display().to_string().into()),
        }],
        ..ContainerInfo::default()
    };
    let line = "ulimit -c; ulimit -Hc; ulimit -n; /probe forks 5000";
    let mut task = contained("t", line, asked);
    // Room for as many processes; otherwise their memory is what ends them.
    task.resources = proto::Resources::cpus_mem(100, 4_000_000);
    let end = link.run_to_end(task).await;
    assert_eq!(end.outcome.unwrap().exit, Some(Exit::Code(0)), "{:?}", end.message);
    let run = format!("/frameworks/{}/executors/t/runs/latest", framework_id());
    let (_, out) = agent.get(&format!("/files/download?path={run}/stdout")).await;
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap();
    let (limits, forks) = out.split_once("S40 children: ").unwrap();
    assert_eq!(limits, format!("0\n0\n{files}\n"));
    let (children, said) = forks.split_once('\n').unwrap();
    // Its first process, the shell and the probe are among the 4,096.
    assert_eq!((children, said), ("4093", "S40 processes: bounded\n"));
    agent.stop(Stop::EndTasks).await;
}
