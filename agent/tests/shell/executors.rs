//! Custom executors: a program of the framework's own, its tasks, its calls.

use crate::rig::{Agent, Connection, Master, agent_id, config, framework, framework_id, soon};
use agent::Stop;
use proto::agent_link::{AgentCall, AgentEvent};
use proto::{
    CommandInfo, Encoding, ExecutorId, ExecutorInfo, Reason, Resources, Role, TaskBody, TaskId,
    TaskInfo, TaskPayload, TaskState,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn executor_id(name: &str) -> ExecutorId {
    ExecutorId::new(name).unwrap()
}

/// An executor that runs a line of shell. Its payload is that of a task with the same command: the
/// fields have the same numbers.
pub(crate) fn executor(name: &str, line: &str) -> ExecutorInfo {
    let command = CommandInfo { shell: true, value: Some(line.into()), ..CommandInfo::default() };
    let body = TaskBody { command: Some(command), ..TaskBody::default() };
    ExecutorInfo {
        executor_id: executor_id(name),
        framework_id: Some(framework_id()),
        resources: Resources::cpus_mem(100, 32_000),
        payload: TaskPayload::new(&body).bytes,
    }
}

pub(crate) fn program(encoding: &str) -> String {
    format!("exec {} {encoding}", env!("CARGO_BIN_EXE_executor"))
}

pub(crate) fn task(id: &str, data: &str, executor: &ExecutorInfo) -> TaskInfo {
    let body = TaskBody { data: Some(Arc::from(data.as_bytes())), ..TaskBody::default() };
    TaskInfo {
        name: id.into(),
        task_id: TaskId::new(id).unwrap(),
        agent_id: agent_id(),
        resources: Resources::cpus_mem(10, 16_000),
        allocation_role: None,
        limits: BTreeMap::new(),
        executor: Some(executor.clone()),
        kill_grace: None,
        max_completion_time: None,
        payload: TaskPayload::new(&body),
    }
}

impl Connection {
    fn employ(&self, tasks: Vec<TaskInfo>, start: bool) {
        let executor = tasks[0].executor.as_ref().unwrap().executor_id.clone();
        let start = if start { vec![executor] } else { Vec::new() };
        let (framework, role) = (Arc::new(framework()), Role::any());
        self.say(AgentEvent::RunByExecutors { framework, role, tasks, start });
    }

    /// The next call that is no status update; those are acknowledged.
    async fn other_call(&mut self) -> AgentCall {
        loop {
            match self.next().await {
                AgentCall::Update { status, .. } => self.acknowledge(&status),
                other => return other,
            }
        }
    }
}

async fn life_of_tasks(encoding: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let own = executor("e", &program(encoding));
    link.employ(vec![task("a", "", &own), task("b", "finish", &own)], true);
    let mut told = Vec::new();
    for _ in 0..3 {
        let status = link.acknowledged().await;
        assert_eq!(status.executor_id, Some(executor_id("e")));
        told.push((status.task_id.to_string(), status.state));
    }
    let is = |id: &str, state| (id.to_owned(), state);
    let wanted =
        [is("a", TaskState::Running), is("b", TaskState::Running), is("b", TaskState::Finished)];
    assert_eq!(told, wanted);
    // Further tasks go to the executor that runs.
    link.employ(vec![task("c", "", &own)], false);
    assert_eq!(link.acknowledged().await.task_id.as_str(), "c");
    link.kill("c");
    assert_eq!(link.acknowledged().await.state, TaskState::Killed);
    let (framework_id, executor_id) = (framework_id(), executor_id("e"));
    let data: Arc<[u8]> = Arc::from(&b"hello"[..]);
    link.say(AgentEvent::Message { framework_id, executor_id: executor_id.clone(), data });
    let echo = AgentCall::Message {
        framework_id: crate::rig::framework_id(),
        executor_id,
        data: Arc::from(&b"echo: hello"[..]),
    };
    assert_eq!(link.next().await, echo);
    // What its executor wrote is what there is of a task.
    let log = format!(
        "/files/log?path=/frameworks/{}/executors/a/runs/latest/stdout",
        crate::rig::framework_id()
    );
    assert_eq!(agent.get(&log).await.0, 200);
    let (_, state) = agent.get("/state").await;
    assert!(state.contains(r#""id":"e""#) && state.contains(r#""id":"a""#), "{state}");
    // Its end is that of its tasks.
    link.employ(vec![task("d", "exit", &own)], false);
    let mut ends = BTreeMap::new();
    while ends.len() < 2 {
        let status = link.acknowledged().await;
        if status.state.is_terminal() {
            assert_eq!(status.reason, Some(Reason::ExecutorTerminated));
            ends.insert(status.task_id.to_string(), status.state);
        }
    }
    assert_eq!(ends.keys().collect::<Vec<_>>(), ["a", "d"]);
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn tasks_live_as_their_executor_says_in_json() {
    life_of_tasks("json").await;
}

#[tokio::test]
async fn tasks_live_as_their_executor_says_in_protobuf() {
    life_of_tasks("protobuf").await;
}

#[tokio::test]
async fn the_master_hears_of_the_end_of_an_executor_and_may_ask_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let own = executor("e", &program("json"));
    link.employ(vec![task("a", "", &own)], true);
    assert_eq!(link.acknowledged().await.state, TaskState::Running);
    let (framework_id, executor_id) = (framework_id(), executor_id("e"));
    link.say(AgentEvent::ShutdownExecutor {
        framework_id: framework_id.clone(),
        executor_id: executor_id.clone(),
    });
    let ended = AgentCall::ExecutorEnded { framework_id, executor_id, status: Some(0) };
    assert_eq!(link.other_call().await, ended);
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn an_executor_and_its_tasks_outlive_their_agent() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let listener = agent::listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let agent = Agent::start_at(config(&master, dir.path()), port).await;
    let mut link = master.admit().await;
    let own = executor("e", &program("json"));
    link.employ(vec![task("a", "", &own)], true);
    let running = link.acknowledged().await;
    assert_eq!(running.state, TaskState::Running);
    agent.abort().await;
    let agent = Agent::start_at(config(&master, dir.path()), port).await;
    let mut link = master.admit().await;
    assert_eq!(link.tasks.len(), 1);
    assert_eq!(link.tasks[0].executor_id, Some(executor_id("e")));
    link.kill("a");
    // The acknowledgement may have come too late: then the same update is sent again, which whoever
    // has it knows by its number.
    let mut next = link.acknowledged().await;
    while next.uuid == running.uuid {
        next = link.acknowledged().await;
    }
    assert_eq!(next.state, TaskState::Killed);
    link.employ(vec![task("b", "finish", &own)], false);
    assert_eq!(link.end().await.state, TaskState::Finished);
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn an_executor_that_never_subscribes_is_ended_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut config = config(&master, dir.path());
    config.executor_registration_timeout = Duration::from_millis(200);
    let agent = Agent::start(config).await;
    let mut link = master.admit().await;
    link.employ(vec![task("a", "", &executor("e", "sleep 1000"))], true);
    let end = link.acknowledged().await;
    assert_eq!(end.state, TaskState::Failed);
    assert_eq!(end.reason, Some(Reason::ExecutorRegistrationTimeout));
    agent.stop(Stop::EndTasks).await;
}

/// The head of the answer to a call.
async fn post(agent: &Agent, headers: &str, body: &[u8]) -> String {
    let mut stream = tokio::net::TcpStream::connect(agent.address).await.unwrap();
    let head = format!(
        "POST /api/v1/executor HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn nobody_speaks_for_an_executor_but_who_has_its_token() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let (one, two) = (executor("one", &program("json")), executor("two", &program("json")));
    link.employ(vec![task("a", "", &one)], true);
    assert_eq!(link.acknowledged().await.state, TaskState::Running);
    link.employ(vec![task("b", "", &two)], true);
    assert_eq!(link.acknowledged().await.state, TaskState::Running);
    let run = format!("/frameworks/{}/executors/one/runs/latest", framework_id());
    let (_, token) = agent.get(&format!("/files/download?path={run}/token")).await;
    let call = |executor: &str| {
        use proto::Wire;
        let (executor_id, framework_id) = (executor_id(executor), framework_id());
        let body = proto::executor::CallBody::Message(Arc::from(&b"x"[..]));
        proto::executor::Call { executor_id, framework_id, body }.encode(Encoding::Json)
    };
    let json = "Content-Type: application/json\r\n";
    let answer = post(&agent, json, &call("one")).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let own = format!("{json}Authorization: Bearer {token}\r\n");
    let answer = post(&agent, &own, &call("two")).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let answer = post(&agent, &own, &call("one")).await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let answer = post(&agent, &own, &call("none")).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let answer = post(&agent, &own, b"{}").await;
    assert!(answer.contains("Failed to validate executor::Call"), "{answer}");
    let answer = post(&agent, &own.replace("json", "yaml"), b"").await;
    assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
    agent.stop(Stop::EndTasks).await;
}
