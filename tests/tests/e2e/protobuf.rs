//! Tasks of a framework on the protobuf form of the v1 API.

use crate::cluster::Cluster;
use crate::framework::Framework;
use proto::scheduler::CallBody;
use proto::{Source, TaskState};

#[test]
fn a_task_runs_to_its_end() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", false);
    let mut framework = Framework::subscribe(&cluster);
    let task = framework.launch("ends", "exit 0");
    let finished = framework.state(&task, TaskState::Finished);
    assert!(finished.uuid.is_some(), "an agent's update is acknowledged");
    framework.call(CallBody::Teardown);
}

#[test]
fn a_running_task_is_reconciled_and_killed() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", false);
    let mut framework = Framework::subscribe(&cluster);
    let task = framework.launch("sleeps", "exec sleep 1000");
    framework.state(&task, TaskState::Running);
    framework.call(CallBody::Reconcile { tasks: vec![(task.clone(), None)] });
    let known = framework.state(&task, TaskState::Running);
    assert_eq!((known.source, known.uuid), (Source::Master, None), "reconciliation needs no ack");
    framework.call(CallBody::Kill { task_id: task.clone(), agent_id: None, grace: None });
    framework.state(&task, TaskState::Killed);
    framework.call(CallBody::Teardown);
}

#[test]
fn a_teardown_ends_the_tasks() {
    let cluster = Cluster::start(1, "cpus:1;mem:512", false);
    let mut framework = Framework::subscribe(&cluster);
    let mark = cluster.dir("mark").join("a-task-of-the-torn-down").display().to_string();
    let task = framework.launch("sleeps", &format!("sh -c 'sleep 1000; true' {mark}"));
    framework.state(&task, TaskState::Running);
    framework.call(CallBody::Teardown);
    crate::cluster::wait_for("the task to be gone", || {
        crate::cluster::mentioning(&mark).is_empty().then_some(())
    });
}
