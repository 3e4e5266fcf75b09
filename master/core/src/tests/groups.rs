//! LAUNCH_GROUP: what a group is, what it uses, its end.

use crate::testing::*;
use proto::TaskState::{Finished, Running};
use proto::agent_link::AgentCall;
use proto::{
    CommandInfo, ContainerInfo, ContainerNetwork, DockerInfo, DockerNetwork, ExecutorInfo, Flavor,
    Operation, Piece, ResourceName, Resources, TaskBody, TaskGroup, TaskInfo, TaskPayload, Value,
};
use std::sync::Arc;

/// An executor of type DEFAULT with one cpu.
fn executor(id: &str) -> ExecutorInfo {
    ExecutorInfo {
        executor_id: executor_id(id),
        framework_id: None,
        resources: cpus_mem(1, 32),
        payload: Arc::from([15 << 3, 1]),
    }
}

fn member(id: &str) -> TaskInfo {
    task_info(id, "m-S0", cpus_mem(1, 64))
}

fn group(executor: ExecutorInfo, tasks: Vec<TaskInfo>) -> Operation {
    Operation::LaunchGroup(Box::new(TaskGroup {
        executor: Some(executor),
        tasks,
        unreadable: Vec::new(),
    }))
}

fn cluster() -> (Cluster, AgentSide, FrameworkSide) {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(8, 1024));
    let framework = c.framework();
    (c, agent, framework)
}

fn used(c: &Cluster) -> Resources {
    let (_, agent) = c.master.agents.iter().next().unwrap();
    agent.used.clone()
}

#[test]
fn a_group_is_one_order_and_uses_its_executor_beside_its_tasks() {
    let (mut c, agent, framework) = cluster();
    let tasks = vec![member("a"), member("b")];
    let lines = c.accept(&framework, &["m-O0"], vec![group(executor("pod"), tasks)]);
    expect(&lines, &["c1 <- RUN m-0000 * a b by executors, start pod"]);
    assert_eq!(used(&c), cpus_mem(3, 160));
    for (id, n) in [("a", 1), ("b", 2)] {
        c.update(&agent, &framework, id, Running, n);
        c.update(&agent, &framework, id, Finished, n + 10);
    }
    assert_eq!(used(&c), cpus_mem(1, 32));
    let (framework_id, executor_id) = (framework_id("m-0000"), executor_id("pod"));
    let call = AgentCall::ExecutorEnded { framework_id, executor_id, status: Some(0) };
    let lines = c.agent_call(&agent, call);
    assert!(lines.contains(&"c2 <- FAILURE pod on m-S0, Some(0)".to_owned()), "{lines:?}");
    assert_eq!(used(&c), Resources::new());
}

#[test]
fn groups_of_one_accept_are_orders_of_their_own() {
    let (mut c, _, framework) = cluster();
    let groups =
        vec![group(executor("one"), vec![member("a")]), group(executor("two"), vec![member("b")])];
    let lines = c.accept(&framework, &["m-O0"], groups);
    expect(
        &lines,
        &[
            "c1 <- RUN m-0000 * a by executors, start one",
            "c1 <- RUN m-0000 * b by executors, start two",
        ],
    );
}

/// What is said of each task of a group that is wrong; nothing is used.
fn refused(change: impl Fn(&mut ExecutorInfo, &mut Vec<TaskInfo>)) -> String {
    let (mut c, _, framework) = cluster();
    let (mut executor, mut tasks) = (executor("pod"), vec![member("a"), member("b")]);
    change(&mut executor, &mut tasks);
    let lines = c.accept(&framework, &["m-O0"], vec![group(executor, tasks)]);
    let said = |line: &String| {
        let (_, said) = line.split_once("REASON_TASK_GROUP_INVALID: ")?;
        Some(said.to_owned())
    };
    let all: Vec<String> = lines.iter().filter_map(said).collect();
    assert_eq!(all.len(), 2, "{lines:?}");
    assert_eq!(all[0], all[1]);
    assert_eq!(used(&c), Resources::new());
    all[0].clone()
}

fn with(task: &mut TaskInfo, container: ContainerInfo) {
    let body = TaskBody { container: Some(container), ..task.payload.open().unwrap() };
    task.payload = TaskPayload::new(&body);
}

#[test]
fn what_is_wrong_with_the_executor_of_a_group_is_said() {
    assert_eq!(
        refused(|executor, _| executor.framework_id = Some(framework_id("other"))),
        "The executor of the task group has framework ID other, not m-0000"
    );
    assert_eq!(
        refused(|executor, _| executor.payload = command("./run").bytes),
        "The executor of the task group is not of type DEFAULT; others run no task groups yet"
    );
    assert_eq!(
        refused(|executor, _| executor.resources = cpus_mem(1, 31)),
        "The executor of the task group has resources cpus:1; mem:31: it needs at least 0.01 cpus \
         and 32 MB of memory"
    );
    let with_command = |executor: &mut ExecutorInfo, _: &mut Vec<TaskInfo>| {
        let bytes: Vec<u8> = [15 << 3, 1].into_iter().chain(command("x").bytes.to_vec()).collect();
        executor.payload = bytes.into();
    };
    assert_eq!(
        refused(with_command),
        "The executor of the task group has a command: one of type DEFAULT has none"
    );
    let much = refused(|executor, _| executor.resources = cpus_mem(9, 32));
    assert!(much.starts_with("The executor uses more than is offered"), "{much}");
}

/// What an executor of type DEFAULT with this container is besides its id and resources.
fn payload_with(container: ContainerInfo) -> Arc<[u8]> {
    let body = TaskBody { container: Some(container), ..TaskBody::default() };
    let mut bytes = TaskPayload::new(&body).bytes.to_vec();
    // Its only field is 9 in a task, and 11 in an executor.
    bytes[0] = 11 << 3 | 2;
    [15 << 3, 1].into_iter().chain(bytes).collect()
}

fn network() -> ContainerInfo {
    let network = ContainerNetwork { name: Arc::from("tepui"), port_mappings: Vec::new() };
    ContainerInfo { network: Some(Box::new(network)), ..ContainerInfo::default() }
}

fn hold_bandwidth(resources: &mut Resources) {
    let (name, flavor) = (ResourceName::new("network"), Flavor::default());
    resources.add_piece(Piece { name, flavor, value: Value::Scalar(1_000) });
}

#[test]
fn a_group_has_a_network_by_its_executor() {
    let (mut c, _, framework) = cluster();
    let executor = ExecutorInfo { payload: payload_with(network()), ..executor("pod") };
    let lines = c.accept(&framework, &["m-O0"], vec![group(executor, vec![member("a")])]);
    assert_eq!(lines[0], "c1 <- RUN m-0000 * a by executors, start pod");
}

#[test]
fn what_a_group_cannot_have_of_a_network_is_said() {
    assert_eq!(
        refused(|_, tasks| hold_bandwidth(&mut tasks[1].resources)),
        "Task 'b' holds bandwidth (network), which needs a network of the group's: \
         container.network_infos of its executor"
    );
    assert_eq!(
        refused(|executor, _| hold_bandwidth(&mut executor.resources)),
        "The executor of the task group holds bandwidth (network), but asks for no network \
         (container.network_infos)"
    );
    // With a network it is a question of what is offered.
    let much = refused(|executor, tasks| {
        executor.payload = payload_with(network());
        hold_bandwidth(&mut tasks[1].resources);
    });
    assert!(much.starts_with("Task 'b' is invalid: Task uses more resources"), "{much}");
    let more = ContainerInfo { hostname: Some(Arc::from("h")), ..network() };
    assert_eq!(
        refused(|executor, _| executor.payload = payload_with(more.clone())),
        "The executor of the task group has a container that asks for more than a network, which \
         is not built yet: its tasks may have containers"
    );
}

#[test]
fn what_is_wrong_with_a_task_of_a_group_is_said_of_all() {
    assert_eq!(
        refused(|_, tasks| with(&mut tasks[1], network())),
        "Task 'b' asks for a network of its own: network_infos of a task in a group must be set on \
         the executor"
    );
    let docker = DockerInfo {
        image: Arc::from("i"),
        network: DockerNetwork::Host,
        port_mappings: Vec::new(),
        privileged: false,
        parameters: Vec::new(),
        force_pull: false,
    };
    let docker = ContainerInfo { docker: Some(Box::new(docker)), ..ContainerInfo::default() };
    assert_eq!(
        refused(|_, tasks| with(&mut tasks[0], docker.clone())),
        "Task 'a' asks for a container of Docker, which a task of a group cannot have"
    );
    assert_eq!(
        refused(|_, tasks| tasks[1].executor = Some(executor("other"))),
        "Task 'b' names another executor than its group"
    );
    let user = |name: &str| {
        let command = CommandInfo {
            value: Some(Arc::from("true")),
            user: Some(Arc::from(name)),
            ..CommandInfo::default()
        };
        TaskPayload::new(&TaskBody { command: Some(command), ..TaskBody::default() })
    };
    assert_eq!(
        refused(|_, tasks| tasks[1].payload = user("nobody")),
        "Tasks of the group have different users: they share a directory, which is one user's"
    );
    let much = refused(|_, tasks| tasks[1].resources = cpus_mem(7, 64));
    assert!(much.starts_with("Task 'b' is invalid: Task uses more resources cpus:7"), "{much}");
}

#[test]
fn an_executor_id_is_one_group_at_a_time() {
    let (mut c, _, framework) = cluster();
    let groups =
        vec![group(executor("pod"), vec![member("a")]), group(executor("pod"), vec![member("b")])];
    let lines = c.accept(&framework, &["m-O0"], groups);
    assert_eq!(lines[0], "c1 <- RUN m-0000 * a by executors, start pod");
    assert!(
        lines.iter().any(|line| line.contains("an executor id is one group at a time")),
        "{lines:?}"
    );
    assert_eq!(used(&c), cpus_mem(2, 96));
}
