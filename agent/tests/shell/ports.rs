//! Ports that tasks hold are tried before they start, where the operator wants that.

use crate::network::leave_network;
use crate::rig::{Agent, Master, config, shell};
use agent::Stop;
use proto::{Flavor, Piece, Ranges, Reason, ResourceName, TaskInfo, TaskState, Value};

const PORT: u16 = 31_007;

fn holding(mut task: TaskInfo) -> TaskInfo {
    let value = Value::Ranges(Ranges::new([(u64::from(PORT) - 1, PORT.into())]));
    task.resources.add_piece(Piece {
        name: ResourceName::new("ports"),
        flavor: Flavor::default(),
        value,
    });
    task
}

#[tokio::test]
async fn a_task_with_a_port_that_something_else_uses_is_not_started() {
    if !leave_network() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut with = config(&master, dir.path());
    with.policy.check_ports = true;
    let agent = Agent::start(with).await;
    let mut link = master.admit().await;
    let listener = std::net::TcpListener::bind(("127.0.0.1", PORT)).unwrap();
    let end = link.run_to_end(holding(shell("taken", "true"))).await;
    let reason = Some(Reason::ContainerLaunchFailed);
    assert_eq!((end.state, end.reason), (TaskState::Failed, reason), "{end:?}");
    assert!(end.message.as_ref().unwrap().contains("port 31007/tcp"), "{end:?}");
    assert_eq!(end.outcome.and_then(|outcome| outcome.exit), None);
    // Who asks for no port does not care.
    let end = link.run_to_end(shell("other", "true")).await;
    assert_eq!(end.state, TaskState::Finished, "{end:?}");
    drop(listener);
    let end = link.run_to_end(holding(shell("free", "test $PORT1 = 31007"))).await;
    assert_eq!(end.state, TaskState::Finished, "{end:?}");
    drop(link);
    agent.stop(Stop::EndTasks).await;
}
