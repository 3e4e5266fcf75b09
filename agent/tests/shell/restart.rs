//! Agents that end and come back: nothing is lost, nothing is killed.

use crate::rig::{Agent, Connection, Master, config, framework_id, shell, soon};
use agent::Stop;
use proto::agent_link::AgentCall;
use proto::{Exit, StatusUuid, TaskId, TaskState, TaskStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tokio::process::{Child, Command};

#[tokio::test]
async fn a_running_task_is_taken_back_with_its_exit_status() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let go = dir.path().join("go");
    let line = format!("echo before; until [ -e {} ]; do sleep 0.01; done; exit 7", go.display());
    link.start(shell("t", &line)).await;
    agent.abort().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    assert_eq!(link.tasks.len(), 1);
    assert_eq!(link.tasks[0].state, TaskState::Running);
    std::fs::write(&go, "").unwrap();
    let end = link.end().await;
    assert_eq!((end.state, end.outcome.unwrap().exit), (TaskState::Failed, Some(Exit::Code(7))));
    let run = format!("/frameworks/{}/executors/t/runs/latest", framework_id());
    let (_, body) = agent.get(&format!("/files/download?path={run}/stdout")).await;
    assert_eq!(body, "before\n");
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn an_end_while_the_agent_is_away_is_told_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let (go, done) = (dir.path().join("go"), dir.path().join("done"));
    let line = format!(
        "until [ -e {} ]; do sleep 0.01; done; touch {}; exit 9",
        go.display(),
        done.display()
    );
    link.start(shell("t", &line)).await;
    agent.stop(Stop::KeepTasks).await;
    std::fs::write(&go, "").unwrap();
    soon(async {
        while !done.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let end = link.end().await;
    assert_eq!(end.outcome.unwrap().exit, Some(Exit::Code(9)));
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn an_update_that_was_not_acknowledged_comes_again_with_its_uuid() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    link.run(vec![shell("t", "sleep 1000")]);
    let first = link.update().await;
    agent.abort().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let again = link.acknowledged().await;
    assert_eq!((again.uuid, again.state), (first.uuid, TaskState::Running));
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn a_task_that_the_agent_does_not_know_is_answered_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let _link = master.admit().await;
    agent.registered().await;
    agent.abort().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let unknown = (framework_id(), TaskId::new("unknown").unwrap());
    let mut link = master.admit_and_reconcile(vec![unknown]).await;
    let told = link.acknowledged().await;
    // The master, which knows the framework, finds the word that it understands.
    assert_eq!(told.state, TaskState::Dropped);
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn an_agent_that_says_it_is_registered_comes_back_under_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    for round in 0..10 {
        let work_dir = dir.path().join(round.to_string());
        let agent = Agent::start(config(&master, &work_dir)).await;
        let _link = master.admit().await;
        agent.registered().await;
        let (_, metrics) = agent.get("/metrics").await;
        assert!(metrics.contains("tepui_agent_registered 1"), "{metrics}");
        agent.abort().await;
        let agent = Agent::start(config(&master, &work_dir)).await;
        let unknown = (framework_id(), TaskId::new("unknown").unwrap());
        // It fails on an agent that registers anew.
        let _link = master.admit_and_reconcile(vec![unknown]).await;
        agent.stop(Stop::EndTasks).await;
    }
}

/// What the framework has of each task: its updates, each once.
#[derive(Default)]
struct Ledger {
    seen: BTreeSet<StatusUuid>,
    tasks: BTreeMap<String, Vec<TaskStatus>>,
}

impl Ledger {
    fn take(&mut self, status: TaskStatus) {
        if self.seen.insert(status.uuid.unwrap()) {
            self.tasks.entry(status.task_id.to_string()).or_default().push(status);
        }
    }

    fn ended(&self) -> usize {
        let last = self.tasks.values().filter_map(|updates| updates.last());
        last.filter(|status| status.state.is_terminal()).count()
    }
}

fn spawn(master: &Master, dir: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_agent"))
        .args([master.address.as_ref(), dir.as_os_str()])
        .arg(env!("CARGO_BIN_EXE_supervise"))
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Each task appends a line when it starts and ends with a status of its own.
fn job(n: usize, dir: &Path) -> proto::TaskInfo {
    let log = dir.join("started");
    let line = format!("echo {n} >> {}; sleep 0.0{}; exit {}", log.display(), n % 10, n % 200);
    shell(&format!("t{n}"), &line)
}

/// Takes updates until `enough`, or until the agent is gone.
async fn take(link: &mut Connection, ledger: &mut Ledger, enough: impl Fn(&Ledger) -> bool) {
    while !enough(ledger) {
        match link.next_or_end().await {
            Some(AgentCall::Update { status, .. }) => {
                link.acknowledge(&status);
                ledger.take(*status);
            }
            Some(_) => {}
            None => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f17_a_hundred_kills_under_load_lose_and_repeat_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut ledger = Ledger::default();
    let mut launched = 0;
    let mut agent = spawn(&master, dir.path());
    let mut link = master.admit().await;
    for kill in 1..=100 {
        link.run((launched..launched + 5).map(|n| job(n, dir.path())).collect());
        launched += 5;
        // At another moment each time: before, while and after these tasks start and end.
        let updates = ledger.seen.len() + kill % 12;
        take(&mut link, &mut ledger, |ledger| ledger.seen.len() >= updates).await;
        agent.kill().await.unwrap();
        agent = spawn(&master, dir.path());
        let missing = (0..launched)
            .map(|n| format!("t{n}"))
            .filter(|id| {
                !ledger.tasks.get(id).is_some_and(|u| u.last().unwrap().state.is_terminal())
            })
            .map(|id| (framework_id(), TaskId::new(id).unwrap()));
        link = master.admit_and_reconcile(missing.collect()).await;
    }
    take(&mut link, &mut ledger, |ledger| ledger.ended() == launched).await;
    check(&ledger, dir.path(), launched);
    drop(link);
    agent.kill().await.unwrap();
    // Ends the supervisor, which the killed agents left.
    let mut config = config(&master, dir.path());
    config.resources = Some("cpus:4000;mem:1000000;disk:1000".to_owned());
    let last = Agent::start(config).await;
    let _link = master.admit().await;
    last.stop(Stop::EndTasks).await;
}

/// Every task has one end, its own exit status, and ran at most once.
fn check(ledger: &Ledger, dir: &Path, launched: usize) {
    let started = std::fs::read_to_string(dir.join("started")).unwrap();
    let mut runs: BTreeMap<&str, usize> = BTreeMap::new();
    started.lines().for_each(|line| *runs.entry(line).or_default() += 1);
    assert!(runs.values().all(|count| *count == 1), "a task ran twice: {runs:?}");
    let mut finished = 0;
    for n in 0..launched {
        let updates = &ledger.tasks[&format!("t{n}")];
        let end = updates.last().unwrap();
        let ends = updates.iter().filter(|status| status.state.is_terminal()).count();
        assert_eq!(ends, 1, "{updates:?}");
        if runs.contains_key(n.to_string().as_str()) {
            let code = i32::try_from(n % 200).unwrap();
            assert_eq!(end.outcome.as_ref().unwrap().exit, Some(Exit::Code(code)), "{end:?}");
            finished += 1;
        } else {
            // Its launch was lost with an agent: said, and never run.
            let never_ran = matches!(end.state, TaskState::Dropped | TaskState::Lost);
            assert!(never_ran, "{end:?}");
        }
    }
    assert!(finished * 2 > launched, "most tasks ran: {finished} of {launched}");
}
