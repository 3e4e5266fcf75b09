//! Tasks in a real Docker engine, through a whole agent: the same ends as elsewhere, also when the
//! agent or the engine is killed in between.

mod engine;

use crate::rig::{Agent, Connection, Master, command, config, framework_id, soon};
use agent::{Config, DockerPolicy, HostPath, Policy, Stop};
use engine::{Engine, until};
use proto::{
    CommandInfo, ContainerInfo, ContainerVolume, DockerInfo, DockerNetwork, Exit, Piece,
    PortMapping, Ranges, Reason, ResourceName, Resources, TaskBody, TaskInfo, TaskPayload,
    TaskState, TaskStatus, Value, VolumeSource,
};
use std::path::Path;
use std::time::Duration;
use tokio::process::{Child, Command};

fn docker(network: DockerNetwork) -> ContainerInfo {
    let docker = DockerInfo {
        image: "busybox:1".into(),
        network,
        port_mappings: Vec::new(),
        privileged: false,
        parameters: Vec::new(),
        force_pull: false,
    };
    ContainerInfo { docker: Some(Box::new(docker)), ..ContainerInfo::default() }
}

/// A task that runs a line of shell in a container of Docker, as user 1000.
fn task(id: &str, line: &str, container: ContainerInfo) -> TaskInfo {
    let info = CommandInfo {
        shell: true,
        value: Some(line.into()),
        user: Some("1000".into()),
        ..CommandInfo::default()
    };
    described(id, info, container)
}

fn described(id: &str, info: CommandInfo, container: ContainerInfo) -> TaskInfo {
    let body =
        TaskBody { command: Some(info.clone()), container: Some(container), ..TaskBody::default() };
    TaskInfo { payload: TaskPayload::new(&body), ..command(id, info) }
}

fn plain(id: &str, line: &str) -> TaskInfo {
    task(id, line, docker(DockerNetwork::None))
}

fn with(engine: &Engine, config: Config, change: impl FnOnce(&mut Policy)) -> Config {
    // An engine that is started anew takes its time on a busy machine.
    let docker =
        DockerPolicy { engine_wait: Duration::from_secs(40), ..DockerPolicy::new(engine.socket()) };
    let mut policy = Policy { docker: Some(docker), ..Policy::default() };
    change(&mut policy);
    Config { policy, ..config }
}

async fn file(agent: &Agent, task: &str, name: &str) -> String {
    let run = format!("/frameworks/{}/executors/{task}/runs/latest", framework_id());
    agent.get(&format!("/files/download?path={run}/{name}")).await.1
}

fn exit(status: &TaskStatus) -> Option<Exit> {
    status.outcome.as_ref().and_then(|outcome| outcome.exit)
}

/// What an agent forgets the engine removes.
async fn all_removed(engine: &Engine) {
    let removed = async {
        while !engine.containers().await.is_empty() {
            // waits: between two questions to the engine
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(removed).await;
}

#[tokio::test]
#[ignore = "group docker: root and an engine"]
async fn ends_output_limits_and_volumes_are_those_of_every_task() {
    let engine = Engine::start(false).await;
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("in"), "from the host\n").unwrap();
    let config = with(&engine, config(&master, &dir.path().join("work")), |policy| {
        policy.host_paths = vec![HostPath { path: data.clone(), read_only: true }];
    });
    let agent = Agent::start(config).await;
    let mut link = master.admit().await;

    let end = link.run_to_end(plain("well", "echo out; echo err >&2; id -u; exit 0")).await;
    assert_eq!((end.state, exit(&end)), (TaskState::Finished, Some(Exit::Code(0))), "{end:?}");
    assert_eq!(file(&agent, "well", "stdout").await, "out\n1000\n");
    assert_eq!(file(&agent, "well", "stderr").await, "err\n");

    let end = link.run_to_end(plain("three", "exit 3")).await;
    assert_eq!((end.state, exit(&end)), (TaskState::Failed, Some(Exit::Code(3))));
    let end = link.run_to_end(plain("signal", "sh -c 'kill -SEGV $$'; exit $?")).await;
    assert_eq!((end.state, exit(&end)), (TaskState::Failed, Some(Exit::Signal(11))));

    let mut large = plain("large", "x=a; while true; do x=$x$x; done");
    large.resources = Resources::cpus_mem(100, 16_000);
    let end = link.run_to_end(large).await;
    assert_eq!(end.reason, Some(Reason::ContainerLimitationMemory), "{end:?}");
    assert_eq!(end.message.as_deref(), Some("Memory limit exceeded: used 16 MB of 16 MB"));

    let volume = |path: &str, read_only, source| ContainerVolume {
        container_path: path.into(),
        read_only,
        source,
    };
    let path = data.to_str().unwrap();
    let asked = ContainerInfo {
        volumes: vec![
            volume("/data", true, VolumeSource::HostPath(path.into())),
            volume("/kept", false, VolumeSource::SandboxPath("kept".into())),
            volume("/tmp/memory", false, VolumeSource::Tmpfs(Some(1 << 20))),
        ],
        ..docker(DockerNetwork::None)
    };
    let line = "cat /data/in; touch /data/x || echo cannot; echo k > /kept/k; \
                echo file > $MESOS_SANDBOX/file; cat $MESOS_SANDBOX/kept/k";
    let end = link.run_to_end(task("volumes", line, asked)).await;
    assert_eq!(exit(&end), Some(Exit::Code(0)), "{end:?}");
    assert_eq!(file(&agent, "volumes", "stdout").await, "from the host\ncannot\nk\n");
    assert_eq!(file(&agent, "volumes", "file").await, "file\n");

    kills(&mut link).await;
    all_removed(&engine).await;
    agent.stop(Stop::EndTasks).await;
    engine.finish().await;
}

/// TERM ends the one, and only KILL the other.
async fn kills(link: &mut Connection) {
    link.start(plain("polite", "trap 'exit 7' TERM; while true; do sleep 0.05; done")).await;
    link.kill("polite");
    let end = link.end().await;
    assert_eq!((end.state, exit(&end)), (TaskState::Killed, Some(Exit::Code(7))), "{end:?}");
    link.start(plain("stubborn", "trap '' TERM; while true; do sleep 0.05; done")).await;
    link.kill("stubborn");
    let end = link.end().await;
    assert_eq!((end.state, exit(&end)), (TaskState::Killed, Some(Exit::Signal(9))), "{end:?}");
}

/// What is asked, and what the refusal names.
fn refusals() -> Vec<(ContainerInfo, &'static str)> {
    let changed = |change: &dyn Fn(&mut DockerInfo)| {
        let mut asked = docker(DockerNetwork::None);
        change(asked.docker.as_mut().unwrap());
        asked
    };
    let host_path = ContainerInfo {
        volumes: vec![ContainerVolume {
            container_path: "/run".into(),
            read_only: true,
            source: VolumeSource::HostPath("/run".into()),
        }],
        ..docker(DockerNetwork::None)
    };
    let mapping = PortMapping { host_port: 22, container_port: 22, udp: false };
    let parameter = |key: &str| vec![(key.into(), "x".into())];
    vec![
        (changed(&|d| d.privileged = true), "container.docker.privileged"),
        (docker(DockerNetwork::Host), "--docker-network host"),
        (docker(DockerNetwork::User("container:x".into())), "container.network_infos"),
        (changed(&|d| d.parameters = parameter("cap-add")), "container.docker.parameters, cap-add"),
        (changed(&|d| d.parameters = parameter("volume")), "container.docker.parameters, volume"),
        (host_path, "--allow-host-path"),
        (
            ContainerInfo { capabilities: vec![21], ..docker(DockerNetwork::None) },
            "--allow-capability",
        ),
        (
            changed(&|d| {
                d.network = DockerNetwork::Bridge;
                d.port_mappings = vec![mapping];
            }),
            "container.docker.port_mappings.host_port",
        ),
        (changed(&|d| d.image = "127.0.0.1:1/none:1".into()), "could not be pulled"),
    ]
}

#[tokio::test]
#[ignore = "group docker: root and an engine"]
async fn what_the_operator_does_not_allow_is_refused_by_field_and_flag() {
    let engine = Engine::start(false).await;
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let config = with(&engine, config(&master, dir.path()), |_| {});
    let agent = Agent::start(config).await;
    let mut link = master.admit().await;
    for (number, (asked, said)) in refusals().into_iter().enumerate() {
        let end = link.run_to_end(task(&format!("t{number}"), "true", asked)).await;
        assert!(end.state.is_terminal() && end.state != TaskState::Finished, "{end:?}");
        assert!(end.message.as_deref().unwrap().contains(said), "{said}: {end:?}");
    }
    let info = CommandInfo { shell: true, value: Some("true".into()), ..CommandInfo::default() };
    let end = link.run_to_end(described("root", info, docker(DockerNetwork::None))).await;
    assert!(end.message.as_deref().unwrap().contains("--allow-root"), "{end:?}");
    let info = CommandInfo {
        value: Some("/no/such/program".into()),
        user: Some("1000".into()),
        ..CommandInfo::default()
    };
    let end = link.run_to_end(described("gone", info, docker(DockerNetwork::None))).await;
    assert_eq!(exit(&end), Some(Exit::Code(127)), "{end:?}");
    all_removed(&engine).await;
    agent.stop(Stop::EndTasks).await;
    // Without an engine there is nothing to refuse it to.
    let agent = Agent::start(crate::rig::config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let end = link.run_to_end(plain("none", "true")).await;
    assert!(end.message.as_deref().unwrap().contains("(--docker)"), "{end:?}");
    agent.stop(Stop::EndTasks).await;
    engine.finish().await;
}

fn spawn(master: &Master, dir: &Path, engine: &Engine, crash: Option<&str>) -> Child {
    let mut agent = Command::new(env!("CARGO_BIN_EXE_agent"));
    agent.args([master.address.as_ref(), dir.as_os_str()]);
    agent.arg("--docker").arg(engine.socket()).arg(env!("CARGO_BIN_EXE_supervise"));
    if let Some(place) = crash {
        let marker = dir.join(place);
        agent.env(agent::crash::VARIABLE, format!("{place}:1:{}", marker.display()));
    }
    agent.kill_on_drop(true).spawn().unwrap()
}

/// Ends what killed agents left.
async fn end_all(master: &mut Master, dir: &Path, engine: Engine) {
    let mut config = with(&engine, config(master, dir), |_| {});
    config.resources = Some("cpus:4000;mem:1000000;disk:1000".to_owned());
    let last = Agent::start(config).await;
    let mut link = master.admit().await;
    // An acknowledgement may have been lost with the agent before.
    let acknowledge = async {
        loop {
            link.acknowledged().await;
        }
    };
    tokio::select! {
        () = all_removed(&engine) => {}
        () = acknowledge => {}
    }
    last.stop(Stop::EndTasks).await;
    drop(link);
    engine.finish().await;
}

#[tokio::test]
#[ignore = "group docker: root and an engine"]
async fn an_agent_that_is_killed_finds_its_containers_their_ends_and_their_output() {
    let engine = Engine::start(false).await;
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut agent = spawn(&master, dir.path(), &engine, None);
    let mut link = master.admit().await;
    let line =
        "echo before; until [ -e $MESOS_SANDBOX/go ]; do sleep 0.05; done; echo after; exit 5";
    link.start(plain("ends", line)).await;
    let line = "i=0; while true; do i=$((i+1)); echo $i; sleep 0.01; done";
    link.start(plain("runs", line)).await;
    // In the middle of its output, several times.
    for _ in 0..3 {
        let before = counted(dir.path());
        until(|| counted(dir.path()) > before + 10).await;
        agent.kill().await.unwrap();
        agent = spawn(&master, dir.path(), &engine, None);
        link = master.admit().await;
    }
    let_go(dir.path());
    let end = until_end(&mut link, "ends").await;
    assert_eq!((end.state, exit(&end)), (TaskState::Failed, Some(Exit::Code(5))), "{end:?}");
    link.kill("runs");
    let end = until_end(&mut link, "runs").await;
    assert_eq!(end.state, TaskState::Killed, "{end:?}");
    agent.kill().await.unwrap();
    let found: Vec<String> = sandboxes(dir.path()).map(|path| read(&path)).collect();
    assert!(found.iter().any(|text| text == "before\nafter\n"), "{found:?}");
    let numbers = found.iter().find(|text| text.starts_with("1\n")).unwrap();
    let wanted: String = (1..=numbers.lines().count()).map(|n| format!("{n}\n")).collect();
    assert_eq!(*numbers, wanted, "lines are lost or doubled");
    end_all(&mut master, dir.path(), engine).await;
}

fn sandboxes(work: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    let all = std::fs::read_dir(work.join("sandboxes")).unwrap().flatten();
    all.map(|entry| entry.path().join("stdout")).filter(|path| path.exists())
}

/// Lets tasks end that wait for a file.
fn let_go(work: &Path) {
    for sandbox in std::fs::read_dir(work.join("sandboxes")).unwrap().flatten() {
        std::fs::write(sandbox.path().join("go"), "").unwrap();
    }
}

/// Lines of the task that counts.
fn counted(work: &Path) -> usize {
    let texts = sandboxes(work).map(|path| read(&path));
    texts.filter(|text| text.starts_with("1\n")).map(|text| text.lines().count()).sum()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The end of this task; others' updates may come before it.
async fn until_end(link: &mut Connection, task: &str) -> TaskStatus {
    loop {
        let end = link.end().await;
        if end.task_id.as_str() == task {
            return end;
        }
    }
}

#[tokio::test]
#[ignore = "group docker: root and an engine"]
async fn an_agent_that_is_killed_while_it_makes_a_container_leaves_none() {
    let engine = Engine::start(false).await;
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    for place in agent::crash::DOCKER {
        let mut agent = spawn(&master, dir.path(), &engine, Some(place));
        let link = master.admit().await;
        link.run(vec![plain(place, "echo ran; exit 6")]);
        soon(agent.wait()).await.unwrap();
        assert!(dir.path().join(place).exists(), "{place} was not reached");
        let mut agent = spawn(&master, dir.path(), &engine, None);
        let key = (framework_id(), proto::TaskId::new(place).unwrap());
        let mut link = master.admit_knowing(None, vec![key]).await;
        let end = until_end(&mut link, place).await;
        if place == "docker-started" {
            assert_eq!(exit(&end), Some(Exit::Code(6)), "{place}: {end:?}");
        } else {
            let never_ran = matches!(end.state, TaskState::Dropped | TaskState::Lost);
            assert!(never_ran, "{place}: {end:?}");
        }
        all_removed(&engine).await;
        agent.kill().await.unwrap();
        drop(link);
    }
    end_all(&mut master, dir.path(), engine).await;
}

#[tokio::test]
#[ignore = "group docker: root and an engine"]
async fn an_engine_that_is_killed_is_waited_for_and_ends_are_told_when_it_is_back() {
    for live_restore in [false, true] {
        let mut engine = Engine::start(live_restore).await;
        let dir = tempfile::tempdir().unwrap();
        let mut master = Master::start().await;
        let config = with(&engine, config(&master, dir.path()), |_| {});
        let agent = Agent::start(config).await;
        let mut link = master.admit().await;
        let line =
            "echo one; until [ -e $MESOS_SANDBOX/go ]; do sleep 0.05; done; echo two; exit 8";
        link.start(plain("runs", line)).await;
        engine.kill();
        // Asked for while nobody answers.
        link.run(vec![plain("later", "exit 4")]);
        engine.run().await;
        let_go(dir.path());
        let mut ends = [link.end().await, link.end().await];
        ends.sort_by(|a, b| a.task_id.cmp(&b.task_id));
        assert_eq!(exit(&ends[0]), Some(Exit::Code(4)), "{:?}", ends[0]);
        // The engine of the first kind ends what it finds; the other lets it run.
        let code = exit(&ends[1]);
        match live_restore {
            true => {
                assert_eq!(code, Some(Exit::Code(8)), "{:?}", ends[1]);
                assert_eq!(file(&agent, "runs", "stdout").await, "one\ntwo\n");
            }
            false => assert_eq!(ends[1].state, TaskState::Failed, "{:?}", ends[1]),
        }
        all_removed(&engine).await;
        agent.stop(Stop::EndTasks).await;
        engine.finish().await;
    }
}

#[tokio::test]
#[ignore = "group docker: root and an engine"]
async fn a_port_of_the_host_leads_into_the_container() {
    let engine = Engine::start(false).await;
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut config = with(&engine, config(&master, dir.path()), |_| {});
    config.resources = Some("cpus:4;mem:4096;disk:1000;ports:[31000-31001]".to_owned());
    let agent = Agent::start(config).await;
    let mut link = master.admit().await;
    let mut asked = docker(DockerNetwork::Bridge);
    let mapping = PortMapping { host_port: 31000, container_port: 8080, udp: false };
    asked.docker.as_mut().unwrap().port_mappings = vec![mapping];
    let mut serves = task("serves", "while true; do echo hello | nc -l -p 8080; done", asked);
    let ports = Value::Ranges(Ranges::new([(31_000, 31_000)]));
    let (name, flavor) = (ResourceName::new("ports"), proto::Flavor::default());
    serves.resources.add_piece(Piece { name, flavor, value: ports });
    link.start(serves).await;
    until(|| engine.within(&["busybox", "nc", "-w", "1", "127.0.0.1", "31000"]) == "hello\n").await;
    link.kill("serves");
    assert_eq!(link.end().await.state, TaskState::Killed);
    all_removed(&engine).await;
    agent.stop(Stop::EndTasks).await;
    engine.finish().await;
}
