//! Checks and health checks of real tasks: commands run beside them, connections and requests.

use crate::rig::{Agent, Connection, Master, config, shell, soon};
use agent::Stop;
use proto::{
    Check, CheckKind, CheckStatus, Checks, CommandInfo, Exit, HealthCheck, Reason, TaskInfo,
    TaskPayload, TaskState, TaskStatus,
};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Looks at once and often.
fn check(kind: CheckKind) -> Check {
    let interval = Duration::from_millis(100);
    Check { kind, delay: Duration::ZERO, interval, timeout: Duration::from_secs(20) }
}

fn line(line: &str) -> CheckKind {
    let value = Some(line.into());
    CheckKind::Command(Box::new(CommandInfo { shell: true, value, ..CommandInfo::default() }))
}

fn health(kind: CheckKind) -> HealthCheck {
    let grace_period = Duration::ZERO;
    HealthCheck { check: check(kind), consecutive_failures: 2, grace_period }
}

fn with(mut task: TaskInfo, health: Option<HealthCheck>, check: Option<Check>) -> TaskInfo {
    let mut body = task.payload.open().unwrap();
    body.checks = Some(Arc::new(Checks { health, check }));
    task.payload = TaskPayload::new(&body);
    task
}

/// The first update that is like this; those before it are acknowledged as well.
async fn until(link: &mut Connection, like: impl Fn(&TaskStatus) -> bool) -> TaskStatus {
    loop {
        let status = link.acknowledged().await;
        if like(&status) {
            return status;
        }
        assert!(!status.state.is_terminal(), "{status:?}");
    }
}

async fn gone(path: &Path) {
    soon(async {
        while path.exists() {
            // waits: for a process to end, of which nobody tells this one
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_command_is_run_beside_its_task_and_ends_it_when_it_fails() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    // It has the directory, the variables and the identity of its task.
    let well = "[ -e ok ] && [ $MESOS_TASK_ID = t ] && [ $MINE = x ] && [ -n \"$MESOS_SANDBOX\" ]";
    let mut task = with(
        shell("t", "touch ok; while [ -e ok ]; do sleep 0.05; done; sleep 1000"),
        Some(health(line(well))),
        None,
    );
    let mut body = task.payload.open().unwrap();
    let command = body.command.as_mut().unwrap();
    command.environment = vec![("MINE".into(), "x".into())];
    task.payload = TaskPayload::new(&body);
    link.run(vec![task]);
    let told = until(&mut link, |status| status.healthy == Some(true)).await;
    assert_eq!(told.state, TaskState::Running);
    assert_eq!(told.reason, Some(Reason::TaskHealthCheckStatusUpdated));
    let sandboxes = dir.path().join("sandboxes");
    let ok = std::fs::read_dir(&sandboxes)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("ok"))
        .find(|ok| ok.exists())
        .expect("the task's sandbox");
    std::fs::remove_file(ok).unwrap();
    let end = until(&mut link, |status| status.state.is_terminal()).await;
    assert_eq!((end.state, end.healthy), (TaskState::Failed, Some(false)));
    assert_eq!(end.reason, Some(Reason::TaskHealthCheckStatusUpdated));
    let said = "Killed because its health check failed 2 times in a row: the command exited with 1";
    assert_eq!(end.message.as_deref(), Some(said));
    assert_eq!(end.outcome.unwrap().exit, Some(Exit::Signal(15)));
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn a_command_that_is_late_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let number = dir.path().join("pid");
    let late = format!("echo $$ > {0}.new; mv {0}.new {0}; sleep 1000", number.display());
    let mut late = check(line(&late));
    late.timeout = Duration::from_millis(1500);
    late.interval = Duration::from_secs(1000);
    let task =
        with(shell("t", "sleep 1000"), Some(HealthCheck { check: late, ..health(line("")) }), None);
    link.run(vec![task]);
    let told = until(&mut link, |status| status.healthy == Some(false)).await;
    assert_eq!(told.message.as_deref(), Some("no answer within 1.5 s"));
    let pid = std::fs::read_to_string(&number).unwrap();
    gone(&Path::new("/proc").join(pid.trim())).await;
    link.kill("t");
    let end = until(&mut link, |status| status.state.is_terminal()).await;
    assert_eq!((end.state, end.healthy), (TaskState::Killed, None));
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn servers_are_looked_at_and_an_agent_that_comes_back_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let (statuses, answers) = tokio::sync::watch::channel(200_u16);
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut request = [0; 1024];
            // A look that only connects says nothing.
            if matches!(stream.read(&mut request).await, Ok(1..)) {
                let answer = format!("HTTP/1.1 {} Status\r\n\r\n", *answers.borrow());
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    });
    let http = CheckKind::Http { port, path: Some("/well".into()), ipv6: false };
    let tcp = check(CheckKind::Tcp { port, ipv6: false });
    let tolerant = HealthCheck { consecutive_failures: 1000, ..health(http) };
    link.run(vec![with(shell("t", "sleep 1000"), Some(tolerant), Some(tcp))]);
    let first = link.acknowledged().await;
    assert_eq!((first.healthy, first.check_status), (None, Some(CheckStatus::Tcp(None))));
    let all_well = |status: &TaskStatus| {
        status.healthy == Some(true) && status.check_status == Some(CheckStatus::Tcp(Some(true)))
    };
    until(&mut link, all_well).await;
    agent.abort().await;
    let agent = Agent::start(config(&master, dir.path())).await;
    let mut link = master.admit().await;
    statuses.send(503).unwrap();
    let told = until(&mut link, |status| status.healthy == Some(false)).await;
    assert_eq!(told.message.as_deref(), Some("the answer was HTTP status 503"));
    assert_eq!(told.check_status, Some(CheckStatus::Tcp(Some(true))));
    statuses.send(302).unwrap();
    until(&mut link, all_well).await;
    // Nobody listens any more: the check tells it, the health check counts it.
    serving.abort();
    until(&mut link, |status| status.check_status == Some(CheckStatus::Tcp(Some(false)))).await;
    link.kill("t");
    assert_eq!(link.end().await.state, TaskState::Killed);
    agent.stop(Stop::EndTasks).await;
}
