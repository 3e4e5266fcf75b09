//! Custom executors: their launch, what they use, their end.

use crate::testing::*;
use proto::TaskState::{Finished, Running};
use proto::agent_link::{AgentCall, AgentExecutor};
use proto::scheduler::CallBody;
use proto::{ExecutorInfo, FrameworkInfo, Resources, Role, TaskInfo};
use std::sync::Arc;

/// An executor with one cpu. Its payload is that of a task with the same command: the fields have
/// the same numbers.
fn executor(id: &str) -> ExecutorInfo {
    ExecutorInfo {
        executor_id: executor_id(id),
        framework_id: None,
        resources: cpus_mem(1, 32),
        payload: command("./run").bytes,
    }
}

fn employed(id: &str, executor: ExecutorInfo) -> TaskInfo {
    let mut task = task_info(id, "m-S0", cpus_mem(1, 64));
    task.payload = proto::TaskPayload::new(&proto::TaskBody::default());
    task.executor = Some(executor);
    task
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

fn ended(c: &mut Cluster, agent: &AgentSide, id: &str, status: Option<i32>) -> Vec<String> {
    let (framework_id, executor_id) = (framework_id("m-0000"), executor_id(id));
    c.agent_call(agent, AgentCall::ExecutorEnded { framework_id, executor_id, status })
}

#[test]
fn an_executor_is_started_once_and_uses_its_own_beside_its_tasks() {
    let (mut c, agent, framework) = cluster();
    let tasks = vec![employed("t1", executor("e")), employed("t2", executor("e"))];
    let lines = c.launch(&framework, &["m-O0"], tasks);
    expect(&lines, &["c1 <- RUN m-0000 * t1 t2 by executors, start e"]);
    assert_eq!(used(&c), cpus_mem(3, 160));
    // It stays when its tasks end, and goes when its agent says so.
    for (id, n) in [("t1", 1), ("t2", 2)] {
        c.update(&agent, &framework, id, Running, n);
        c.update(&agent, &framework, id, Finished, n + 10);
    }
    assert_eq!(used(&c), cpus_mem(1, 32));
    let lines = ended(&mut c, &agent, "e", Some(256));
    assert!(lines.contains(&"c2 <- FAILURE e on m-S0, Some(256)".to_owned()), "{lines:?}");
    assert_eq!(used(&c), Resources::new());
}

#[test]
fn an_executor_that_was_not_started_fails_nothing() {
    let (mut c, agent, framework) = cluster();
    c.launch(&framework, &["m-O0"], vec![employed("t1", executor("e"))]);
    let lines = ended(&mut c, &agent, "e", None);
    assert!(!lines.iter().any(|line| line.contains("FAILURE")), "{lines:?}");
    assert_eq!(used(&c), cpus_mem(1, 64));
}

/// What is said of one task with this executor.
fn refused(change: impl Fn(&mut TaskInfo)) -> String {
    let (mut c, _, framework) = cluster();
    let mut task = employed("t1", executor("e"));
    change(&mut task);
    let lines = c.launch(&framework, &["m-O0"], vec![task]);
    let (_, said) = lines[0].split_once("REASON_TASK_INVALID: ").unwrap_or_else(|| {
        panic!("{lines:?}");
    });
    said.to_owned()
}

fn change(change: impl Fn(&mut ExecutorInfo)) -> String {
    refused(|task| change(task.executor.as_mut().unwrap()))
}

#[test]
fn what_is_wrong_with_an_executor_is_said() {
    assert_eq!(
        change(|executor| executor.framework_id = Some(framework_id("other"))),
        "Task's executor has framework ID other, not m-0000"
    );
    assert_eq!(
        change(|executor| executor.payload = Arc::from([15 << 3, 1])),
        "Task's executor is of type DEFAULT, which runs groups of tasks only"
    );
    assert_eq!(
        change(|executor| executor.payload = Arc::from([])),
        "Task's executor has no command"
    );
    assert_eq!(
        change(|executor| executor.payload = command("").bytes),
        "Task's executor has a command that has no value"
    );
    let too_much = change(|executor| executor.resources = cpus_mem(8, 32));
    assert!(too_much.starts_with("Task uses more resources cpus:9"), "{too_much}");
}

#[test]
fn an_executor_that_runs_is_described_in_the_same_way_by_each_of_its_tasks() {
    let (mut c, _, framework) = cluster();
    let other = ExecutorInfo { resources: cpus_mem(2, 32), ..executor("e") };
    let tasks = vec![employed("t1", executor("e")), employed("t2", other)];
    let lines = c.launch(&framework, &["m-O0"], tasks);
    assert!(lines.iter().any(|line| line.contains("is not the one that runs")), "{lines:?}");
    assert_eq!(used(&c), cpus_mem(2, 96));
}

#[test]
fn a_shutdown_goes_to_the_agent_of_the_executor() {
    let (mut c, _, framework) = cluster();
    c.launch(&framework, &["m-O0"], vec![employed("t1", executor("e"))]);
    let (executor_id, agent_id) = (executor_id("e"), agent_id("m-S0"));
    expect(
        &c.call(&framework, CallBody::Shutdown { executor_id, agent_id }),
        &["c1 <- SHUTDOWN m-0000/e"],
    );
}

#[test]
fn the_end_of_a_framework_frees_what_its_executors_use() {
    let (mut c, agent, framework) = cluster();
    c.launch(&framework, &["m-O0"], vec![employed("t1", executor("e"))]);
    c.update(&agent, &framework, "t1", Finished, 1);
    c.acknowledge(&framework, &agent, "t1", 1);
    let lines = c.call(&framework, CallBody::Teardown);
    assert!(lines.contains(&"c1 <- SHUTDOWN m-0000".to_owned()), "{lines:?}");
    assert_eq!(used(&c), Resources::new());
}

#[test]
fn an_agent_that_comes_back_says_which_executors_there_are() {
    let (mut c, mut agent, framework) = cluster();
    c.launch(&framework, &["m-O0"], vec![employed("t1", executor("e"))]);
    let come_back = |c: &mut Cluster, agent: &mut AgentSide, executors: Vec<AgentExecutor>| {
        agent.connection = c.connection();
        let call = AgentCall::Reregister {
            info: agent.info.clone(),
            version: Arc::from("0.1.0"),
            tasks: Vec::new(),
            frameworks: vec![FrameworkInfo {
                id: Some(framework.id.clone()),
                ..framework.info.clone()
            }],
            executors,
        };
        c.agent_call(agent, call)
    };
    let reported = |id: &str| AgentExecutor {
        framework_id: framework_id("m-0000"),
        role: Role::any(),
        info: executor(id),
    };
    come_back(&mut c, &mut agent, vec![reported("f"), reported("g")]);
    // The task that it does not know is still to be answered for.
    assert_eq!(used(&c), cpus_mem(3, 128));
    let lines = come_back(&mut c, &mut agent, vec![reported("f"), reported("f")]);
    assert!(lines[0].contains("executor f is reported twice"), "{lines:?}");
    let much = ExecutorInfo { resources: cpus_mem(9, 32), ..executor("h") };
    let lines = come_back(&mut c, &mut agent, vec![AgentExecutor { info: much, ..reported("h") }]);
    assert!(lines[0].contains("do not hold its executors"), "{lines:?}");
}

#[test]
fn an_agent_that_is_given_up_takes_its_executors_along() {
    let (mut c, agent, framework) = cluster();
    c.launch(&framework, &["m-O0"], vec![employed("t1", executor("e"))]);
    c.close_agent(&agent);
    c.advance(std::time::Duration::from_secs(3600));
    assert_eq!(c.master.agents.iter().count(), 0);
}
