//! Groups of tasks (LAUNCH_GROUP): processes that are started and ended as one, and share a
//! directory.

use crate::rig::{Agent, Connection, Master, agent_id, config, framework, framework_id, soon};
use agent::Stop;
use proto::agent_link::{AgentCall, AgentEvent};
use proto::{
    CommandInfo, ExecutorId, ExecutorInfo, Resources, Role, TaskBody, TaskId, TaskInfo,
    TaskPayload, TaskState,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

fn executor(name: &str) -> ExecutorInfo {
    ExecutorInfo {
        executor_id: ExecutorId::new(name).unwrap(),
        framework_id: Some(framework_id()),
        resources: Resources::cpus_mem(10, 32_000),
        // Of type DEFAULT.
        payload: Arc::from([15 << 3, 1]),
    }
}

fn member(id: &str, executor: &ExecutorInfo, line: &str) -> TaskInfo {
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
