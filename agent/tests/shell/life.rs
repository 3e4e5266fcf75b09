//! What a running agent does: tasks, their ends, their files, its own API.

use crate::rig::{Agent, Master, command, config, framework_id, shell, soon};
use agent::Stop;
use proto::agent_link::{AgentCall, AgentEvent};
use proto::{
    CommandInfo, Exit, Flavor, Piece, Ranges, Reason, ResourceName, TaskPayload, TaskState, Value,
};
use std::time::Duration;

#[tokio::test]
async fn a_task_runs_ends_and_leaves_its_output() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    link.run(vec![shell("t", "echo out; echo err >&2; echo $MESOS_TASK_ID")]);
    assert_eq!(link.acknowledged().await.state, TaskState::Running);
    let end = link.acknowledged().await;
    assert_eq!(end.state, TaskState::Finished);
    let outcome = end.outcome.unwrap();
    assert_eq!(outcome.exit, Some(Exit::Code(0)));
    assert!(outcome.usage.unwrap().wall_time > Duration::ZERO);

    let run = format!("/frameworks/{}/executors/t/runs/latest", framework_id());
    let (status, body) = agent.get(&format!("/files/read?path={run}/stdout")).await;
    assert_eq!((status, body.as_str()), (200, r#"{"data":"out\nt\n","offset":0}"#));
    let (_, body) = agent.get(&format!("/files/download?path={run}/stderr")).await;
    assert_eq!(body, "err\n");
    let (_, body) = agent.get(&format!("/files/browse?path={run}")).await;
    assert!(body.contains(&format!("{run}/stdout")), "{body}");
    assert_eq!(agent.get("/health").await, (200, "ok\n".to_owned()));
    let (_, metrics) = agent.get("/metrics").await;
    assert!(metrics.contains("tepui_agent_tasks_ended_total{outcome=\"finished\"} 1"), "{metrics}");
    assert!(metrics.contains("tepui_agent_registered 1"));
    assert!(metrics.contains("tepui_agent_resources{resource=\"cpus\",kind=\"total\"} 4"));
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn ends_are_told_in_fields() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let end = link.run_to_end(shell("code", "exit 3")).await;
    assert_eq!((end.state, end.outcome.unwrap().exit), (TaskState::Failed, Some(Exit::Code(3))));
    let end = link.run_to_end(shell("signal", "kill -KILL $$")).await;
    assert_eq!((end.state, end.outcome.unwrap().exit), (TaskState::Failed, Some(Exit::Signal(9))));
    let missing = CommandInfo { value: Some("/no/such/program".into()), ..CommandInfo::default() };
    let end = link.run_to_end(command("missing", missing)).await;
    assert_eq!((end.state, end.outcome.unwrap().exit), (TaskState::Failed, Some(Exit::Code(127))));
    assert!(end.message.unwrap().contains("/no/such/program"));
    let user = CommandInfo {
        shell: true,
        value: Some("true".into()),
        user: Some("no-such-user".into()),
        ..CommandInfo::default()
    };
    let end = link.run_to_end(command("user", user)).await;
    assert_eq!((end.state, end.outcome.unwrap().exit), (TaskState::Failed, Some(Exit::Code(126))));
    assert!(end.message.unwrap().contains("no-such-user"));
    agent.stop(Stop::EndTasks).await;
}

/// Waits until a task has said that it is ready.
async fn printed(agent: &Agent, task: &str) {
    let run = format!("/frameworks/{}/executors/{task}/runs/latest", framework_id());
    let (_, body) = agent.get(&format!("/files/read?path={run}/stdout&wait_ms=20000")).await;
    assert!(body.contains("ready"), "{body}");
}

#[tokio::test]
async fn a_kill_ends_a_task() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    link.start(shell("t", "sleep 1000")).await;
    link.kill("t");
    let end = link.acknowledged().await;
    assert_eq!((end.state, end.outcome.unwrap().exit), (TaskState::Killed, Some(Exit::Signal(15))));
    let line = "trap '' TERM; echo ready; while true; do sleep 0.05; done";
    link.start(shell("stubborn", line)).await;
    printed(&agent, "stubborn").await;
    link.kill("stubborn");
    let end = link.acknowledged().await;
    assert_eq!((end.state, end.outcome.unwrap().exit), (TaskState::Killed, Some(Exit::Signal(9))));
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn a_task_that_runs_too_long_is_failed() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let mut task = shell("t", "sleep 1000");
    task.max_completion_time = Some(Duration::from_millis(200));
    let end = link.run_to_end(task).await;
    assert_eq!(end.reason, Some(Reason::MaxCompletionTimeReached));
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn pings_are_answered_and_the_output_of_a_running_task_can_be_followed() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    link.say(AgentEvent::Ping { sequence: 7 });
    assert_eq!(link.next().await, AgentCall::Pong { sequence: 7 });
    let go = dir.path().join("go");
    let line = format!("echo one; until [ -e {} ]; do sleep 0.01; done; echo two", go.display());
    link.start(shell("t", &line)).await;
    let run = format!("/frameworks/{}/executors/t/runs/latest", framework_id());
    let (_, body) = agent.get(&format!("/files/read?path={run}/stdout&wait_ms=20000")).await;
    assert_eq!(body, r#"{"data":"one\n","offset":0}"#);
    let uri = format!("/files/download?path={run}/stdout&follow=true");
    let release = async {
        std::fs::write(&go, "").unwrap();
        link.acknowledged().await
    };
    let ((_, body), end) = tokio::join!(agent.get(&uri), release);
    assert_eq!((body.as_str(), end.state), ("one\ntwo\n", TaskState::Finished));
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn a_thousand_tasks_finish_each_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut config = config(&master, dir.path());
    config.resources = Some("cpus:100;mem:100000".to_owned());
    let agent = Agent::start(config).await;
    let mut link = master.admit().await;
    for batch in 0..10 {
        let tasks = (0..100).map(|n| shell(&format!("t{batch}-{n}"), "true")).collect();
        link.run(tasks);
    }
    let mut states: std::collections::BTreeMap<String, Vec<TaskState>> = Default::default();
    let mut finished = 0;
    while finished < 1000 {
        let status = link.acknowledged().await;
        finished += usize::from(status.state.is_terminal());
        states.entry(status.task_id.to_string()).or_default().push(status.state);
    }
    assert_eq!(states.len(), 1000);
    assert!(states.values().all(|s| *s == [TaskState::Running, TaskState::Finished]));
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn f23_a_lost_supervisor_is_replaced_and_its_tasks_fail() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    link.start(shell("t", "echo $PPID; exec sleep 1000")).await;
    let run = format!("/frameworks/{}/executors/t/runs/latest", framework_id());
    let uri = format!("/files/read?path={run}/stdout&wait_ms=20000");
    let (_, body) = agent.get(&uri).await;
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    let supervisor: i32 = answer["data"].as_str().unwrap().trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(supervisor).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let end = link.acknowledged().await;
    assert_eq!((end.state, end.reason), (TaskState::Failed, Some(Reason::SupervisorLost)));
    assert_eq!(link.run_to_end(shell("u", "true")).await.state, TaskState::Finished);
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn a_removed_framework_ends_silently() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let gone = dir.path().join("gone");
    let line = format!("trap 'touch {}; exit' TERM; echo ready; sleep 1000 & wait", gone.display());
    link.start(shell("t", &line)).await;
    printed(&agent, "t").await;
    link.say(AgentEvent::ShutdownFramework { framework_id: framework_id() });
    let (_, mut metrics) = agent.get("/metrics").await;
    soon(async {
        while metrics.contains("state=\"TASK_RUNNING\"") {
            metrics = agent.get("/metrics").await.1;
        }
    })
    .await;
    assert!(gone.exists(), "it was asked to end");
    link.say(AgentEvent::Ping { sequence: 1 });
    assert_eq!(link.next().await, AgentCall::Pong { sequence: 1 }, "no update was sent");
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn a_task_is_told_its_ports() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let mut task = shell("t", "echo $PORT $PORT0 $PORT1 $PORTS $PORT_WEB_UI");
    let ports = Ranges::new([(31_007, 31_007), (31_002, 31_002)]);
    let (name, value) = (ResourceName::new("ports"), Value::Ranges(ports));
    task.resources.add_piece(Piece { name, flavor: Flavor::default(), value });
    let mut body = task.payload.open().unwrap();
    body.named_ports = vec![("web-ui".into(), 31_007)];
    task.payload = TaskPayload::new(&body);
    assert_eq!(link.run_to_end(task).await.state, TaskState::Finished);
    let run = format!("/frameworks/{}/executors/t/runs/latest", framework_id());
    let (_, out) = agent.get(&format!("/files/download?path={run}/stdout")).await;
    assert_eq!(out, "31002 31002 31007 31002,31007 31007\n");
    agent.stop(Stop::EndTasks).await;
}
