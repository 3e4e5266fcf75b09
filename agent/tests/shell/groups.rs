//! Groups of tasks (LAUNCH_GROUP): processes that are started and ended as one, and share a
//! directory.

use crate::network::{greeting, holding, leave_network, links, policy};
use crate::rig::{Agent, Connection, Master, agent_id, config, framework, framework_id, soon};
use agent::Stop;
use proto::agent_link::{AgentCall, AgentEvent};
use proto::{
    Check, CheckKind, CheckStatus, Checks, CommandInfo, ContainerInfo, ContainerNetwork,
    ExecutorId, ExecutorInfo, PortMapping, Resources, Role, TaskBody, TaskId, TaskInfo,
    TaskPayload, TaskState,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn executor(name: &str) -> ExecutorInfo {
    ExecutorInfo {
        executor_id: ExecutorId::new(name).unwrap(),
        framework_id: Some(framework_id()),
        resources: Resources::cpus_mem(10, 32_000),
        // Of type DEFAULT.
        payload: Arc::from([15 << 3, 1]),
    }
}

pub(crate) fn member(id: &str, executor: &ExecutorInfo, line: &str) -> TaskInfo {
    let command = CommandInfo { shell: true, value: Some(line.into()), ..CommandInfo::default() };
    TaskInfo {
        name: id.into(),
        task_id: TaskId::new(id).unwrap(),
        agent_id: agent_id(),
        resources: Resources::cpus_mem(10, 32_000),
        allocation_role: None,
        limits: BTreeMap::new(),
        executor: Some(executor.clone()),
        kill_grace: None,
        max_completion_time: None,
        payload: TaskPayload::new(&TaskBody { command: Some(command), ..TaskBody::default() }),
    }
}

impl Connection {
    fn group(&self, tasks: Vec<TaskInfo>) {
        let start = vec![tasks[0].executor.as_ref().unwrap().executor_id.clone()];
        let (framework, role) = (Arc::new(framework()), Role::any());
        self.say(AgentEvent::RunByExecutors { framework, role, tasks, start });
    }

    /// Acknowledges all, until so many tasks have ended and the agent says that the group has.
    async fn ends(&mut self, tasks: usize) -> BTreeMap<String, TaskState> {
        let (mut ends, mut over) = (BTreeMap::new(), false);
        while ends.len() < tasks || !over {
            match self.next().await {
                AgentCall::Update { status, .. } => {
                    self.acknowledge(&status);
                    if status.state.is_terminal() {
                        ends.insert(status.task_id.to_string(), status.state);
                    }
                }
                AgentCall::ExecutorEnded { status, .. } => over = status == Some(0),
                _ => {}
            }
        }
        ends
    }
}

/// The directories of groups that there are.
fn shared(work_dir: &Path) -> usize {
    let all = std::fs::read_dir(work_dir.join("volumes/.groups"));
    all.into_iter().flatten().count()
}

#[tokio::test]
async fn tasks_of_a_group_share_a_directory_and_it_goes_with_the_last_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let own = executor("pod");
    // Each waits for what the other wrote.
    let line = |own: &str, other: &str| {
        format!("echo x > group/{own}; while ! test -e group/{other}; do sleep 0.02; done")
    };
    link.group(vec![member("a", &own, &line("a", "b")), member("b", &own, &line("b", "a"))]);
    let ends = link.ends(2).await;
    assert_eq!(ends["a"], TaskState::Finished);
    assert_eq!(ends["b"], TaskState::Finished);
    assert_eq!(shared(dir.path()), 0);
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn a_task_that_fails_takes_the_processes_of_its_group_along() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let own = executor("pod");
    let waits = "while ! test -e group/go; do sleep 0.02; done; exit 3";
    let (a, b) = (member("a", &own, waits), member("b", &own, "touch group/go; sleep 1000"));
    link.group(vec![a, b]);
    let ends = link.ends(2).await;
    assert_eq!(ends["a"], TaskState::Failed);
    assert_eq!(ends["b"], TaskState::Killed);
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn a_command_that_is_not_there_ends_the_whole_group() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let own = executor("pod");
    let mut nothing = member("b", &own, "");
    let command = CommandInfo { value: Some("/no/such/file".into()), ..CommandInfo::default() };
    nothing.payload = TaskPayload::new(&TaskBody { command: Some(command), ..TaskBody::default() });
    link.group(vec![member("a", &own, "sleep 1000"), nothing]);
    let ends = link.ends(2).await;
    assert_eq!(ends["b"], TaskState::Failed);
    assert_eq!(ends["a"], TaskState::Killed);
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn a_group_outlives_its_agent_and_a_kill_of_one_is_a_kill_of_all() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let own = executor("pod");
    link.group(vec![member("a", &own, "sleep 1000"), member("b", &own, "sleep 1000")]);
    for _ in 0..2 {
        assert_eq!(link.acknowledged().await.state, TaskState::Running);
    }
    agent.abort().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = soon(master.admit()).await;
    assert_eq!(link.tasks.len(), 2);
    assert_eq!(shared(dir.path()), 1);
    link.kill("a");
    let ends = link.ends(2).await;
    assert!(ends.values().all(|state| *state == TaskState::Killed), "{ends:?}");
    agent.stop(Stop::EndTasks).await;
}

fn network(mappings: &[(u16, u16)]) -> ContainerInfo {
    let map = |&(host_port, container_port): &(u16, u16)| PortMapping {
        host_port,
        container_port,
        udp: false,
    };
    let port_mappings = mappings.iter().map(map).collect();
    let network = ContainerNetwork { name: "tepui".into(), port_mappings };
    ContainerInfo { network: Some(Box::new(network)), ..ContainerInfo::default() }
}

/// An executor that asks for a network.
fn connected(name: &str, mappings: &[(u16, u16)]) -> ExecutorInfo {
    let body = TaskBody { container: Some(network(mappings)), ..TaskBody::default() };
    let mut bytes = TaskPayload::new(&body).bytes.to_vec();
    // Its only field is 9 in a task, and 11 in an executor.
    bytes[0] = 11 << 3 | 2;
    ExecutorInfo { payload: [15 << 3, 1].into_iter().chain(bytes).collect(), ..executor(name) }
}

fn with(mut task: TaskInfo, change: impl FnOnce(&mut TaskBody)) -> TaskInfo {
    let mut body = task.payload.open().unwrap();
    change(&mut body);
    task.payload = TaskPayload::new(&body);
    task
}

fn checked(task: TaskInfo, kind: CheckKind) -> TaskInfo {
    let interval = Duration::from_millis(100);
    let check = Check { kind, delay: Duration::ZERO, interval, timeout: Duration::from_secs(20) };
    with(task, |body| {
        body.checks = Some(Arc::new(Checks { health: None, check: Some(check) }));
    })
}

impl Connection {
    /// Acknowledges all, until both checks of a group have found what they look for.
    async fn found(&mut self) {
        let mut found = BTreeMap::new();
        while found.len() < 2 {
            let status = self.acknowledged().await;
            let good = match status.check_status {
                Some(CheckStatus::Tcp(connected)) => connected == Some(true),
                Some(CheckStatus::Command(code)) => code == Some(0),
                _ => false,
            };
            if good {
                found.insert(status.task_id.to_string(), ());
            }
        }
    }
}

#[tokio::test]
async fn a_group_whose_executor_asks_for_a_network_has_one_for_all_of_its_tasks() {
    if !leave_network() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut configured = config(&master, dir.path());
    configured.resources =
        Some("cpus:4;mem:4096;disk:1000;network:100;ports:[31000-31010]".to_owned());
    configured.policy.network = Some(policy());
    let agent = Agent::start(configured.clone()).await;
    let mut link = master.admit().await;
    let own = connected("pod", &[(31_007, 8_080)]);
    let serves = |address: &str| {
        format!("while echo hello | /usr/bin/busybox nc -l {address} -p 8080; do :; done")
    };
    let asks = "/usr/bin/busybox nc -w 5 127.0.0.1 8080 | grep hello";
    // The one is looked at where it is, by the agent; the other by a command in its network.
    let tcp = CheckKind::Tcp { port: 8_080, ipv6: false };
    let a = checked(holding(member("a", &own, &serves("")), 31_007), tcp);
    let command = CommandInfo { shell: true, value: Some(asks.into()), ..CommandInfo::default() };
    let b = checked(member("b", &own, "sleep 1000"), CheckKind::Command(Box::new(command)));
    link.group(vec![a, b]);
    link.found().await;
    assert_eq!(links().len(), 1);
    assert_eq!(greeting(31_007).await, "hello\n");
    agent.abort().await;
    let agent = Agent::start(configured).await;
    let mut link = soon(master.admit()).await;
    assert_eq!(link.tasks.len(), 2);
    assert_eq!(links().len(), 1);
    let (_, text) = soon(agent.get("/containers")).await;
    let told: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    for container in &told {
        let address = &container["status"]["network_infos"][0]["ip_addresses"][0]["ip_address"];
        assert_eq!(address, "10.198.0.2", "{text}");
    }
    link.kill("b");
    let ends = link.ends(2).await;
    assert!(ends.values().all(|state| *state == TaskState::Killed), "{ends:?}");
    assert_eq!(links(), Vec::<String>::new());
    agent.stop(Stop::EndTasks).await;
}

impl Connection {
    /// Runs a group of two, of which the second fails: what is said of that.
    async fn refused(&mut self, tasks: Vec<TaskInfo>) -> String {
        self.group(tasks);
        loop {
            let status = self.acknowledged().await;
            if status.task_id.as_str() == "b" && status.state.is_terminal() {
                assert_eq!(status.state, TaskState::Failed);
                let message = status.message.unwrap().to_string();
                while !matches!(self.next().await, AgentCall::ExecutorEnded { .. }) {}
                return message;
            }
        }
    }
}

#[tokio::test]
async fn what_a_group_cannot_have_of_a_network_is_refused_by_name() {
    if !leave_network() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut configured = config(&master, dir.path());
    configured.policy.network = Some(policy());
    let agent = Agent::start(configured).await;
    let mut link = master.admit().await;
    let own = connected("pod", &[]);
    let asks = with(member("b", &own, "true"), |body| body.container = Some(network(&[])));
    let said = link.refused(vec![member("a", &own, "sleep 1000"), asks]).await;
    assert!(
        said.contains("network_infos of a task in a group must be set on the executor"),
        "{said}"
    );
    agent.stop(Stop::EndTasks).await;

    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let said = link.refused(vec![member("b", &own, "sleep 1000")]).await;
    assert!(said.contains("(container.network_infos; --network)"), "{said}");
    agent.stop(Stop::EndTasks).await;
}
