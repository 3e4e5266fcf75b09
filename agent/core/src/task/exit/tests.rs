//! Ends: states, reasons, sentences, and what is kept of a sandbox.

use crate::testing::{World, exited, killed_by, task};
use crate::{CheckpointOp, Effect, Exited, Input};
use proto::{Exit, LimitHit, Reason, TaskInfo, TaskOutcome, TaskState, TaskStatus, TaskUsage};
use std::time::Duration;

fn end_of(task: TaskInfo, exited: Exited) -> TaskStatus {
    let mut world = World::registered();
    let id = task.name.to_string();
    world.run(task);
    world.launched(&id);
    world.acknowledge_last();
    world.exit(&id, exited);
    world.last()
}

#[test]
fn exit_statuses_become_states_and_sentences() {
    let status = end_of(task("t"), exited(Exit::Code(0)));
    assert_eq!(status.state, TaskState::Finished);
    assert_eq!(status.outcome.as_ref().unwrap().exit, Some(Exit::Code(0)));
    assert_eq!(status.outcome.unwrap().usage.unwrap().wall_time, Duration::from_secs(1));
    let status = end_of(task("t"), exited(Exit::Code(3)));
    assert_eq!(status.state, TaskState::Failed);
    assert_eq!(status.message.as_deref(), Some("Command exited with status 3"));
    let status = end_of(task("t"), exited(Exit::Signal(9)));
    assert_eq!(status.state, TaskState::Failed);
    assert_eq!(status.message.as_deref(), Some("Command terminated with signal Killed"));
    let status = end_of(task("t"), exited(Exit::Signal(44)));
    assert_eq!(status.message.as_deref(), Some("Command terminated with signal 44"));
}

#[test]
fn a_limit_is_its_own_reason_with_use_and_limit() {
    let limit = LimitHit { resource: "mem".into(), usage: 34_707_865, limit: 33_554_432 };
    let outcome =
        TaskOutcome { exit: Some(Exit::Signal(9)), limit: Some(limit.clone()), usage: None };
    let status = end_of(task("t"), Exited { outcome, ..exited(Exit::Code(0)) });
    assert_eq!(status.state, TaskState::Failed);
    assert_eq!(status.reason, Some(Reason::ContainerLimitationMemory));
    assert_eq!(status.message.as_deref(), Some("Memory limit exceeded: used 33.1 MB of 32 MB"));
    assert_eq!(status.outcome.unwrap().limit, Some(limit));
}

#[test]
fn who_was_killed_for_memory_is_named() {
    let limit = LimitHit { resource: "mem".into(), usage: 32 << 20, limit: 32 << 20 };
    let outcome = TaskOutcome { exit: Some(Exit::Signal(9)), limit: Some(limit), usage: None };
    let victim = Some("tail (pid 7)".into());
    let status = end_of(task("t"), Exited { outcome, victim, ..exited(Exit::Code(0)) });
    let said = "Memory limit exceeded: used 32 MB of 32 MB; the kernel killed tail (pid 7)";
    assert_eq!(status.message.as_deref(), Some(said));
}

#[test]
fn output_that_is_lost_is_told_with_the_end() {
    let status = end_of(task("t"), Exited { lost_output: 4096, ..exited(Exit::Code(0)) });
    assert_eq!(status.state, TaskState::Finished);
    let said = "Command exited with status 0; 4096 bytes of its output could not be stored";
    assert_eq!(status.message.as_deref(), Some(said));
}

#[test]
fn an_exit_status_that_nobody_saw_is_a_failure() {
    let outcome = TaskOutcome::default();
    let status = end_of(task("t"), Exited { outcome, ..exited(Exit::Code(0)) });
    assert_eq!(status.state, TaskState::Failed);
}

#[test]
fn a_task_that_runs_too_long_is_killed_and_failed() {
    let mut world = World::registered();
    world.run(TaskInfo { max_completion_time: Some(Duration::from_secs(2)), ..task("t") });
    world.launched("t");
    world.acknowledge_last();
    world.pass(Duration::from_secs(2));
    assert_eq!(world.kills.len(), 1);
    world.acknowledge_last();
    world.exit("t", killed_by(15));
    let status = world.last();
    assert_eq!(status.state, TaskState::Failed);
    assert_eq!(status.reason, Some(Reason::MaxCompletionTimeReached));
    assert_eq!(status.message.as_deref(), Some("Command ran longer than its limit of 2 s"));
}

#[test]
fn a_task_that_ends_in_time_is_not_killed() {
    let mut world = World::registered();
    world.run(TaskInfo { max_completion_time: Some(Duration::from_secs(2)), ..task("t") });
    world.launched("t");
    world.exit("t", exited(Exit::Code(0)));
    world.pass(Duration::from_secs(3));
    assert_eq!(world.kills, []);
}

#[test]
fn a_run_limit_that_was_reached_before_a_restart_is_told_from_the_run_time() {
    let too_long = Exited {
        outcome: TaskOutcome {
            usage: Some(TaskUsage { wall_time: Duration::from_secs(3), ..TaskUsage::default() }),
            ..killed_by(15).outcome
        },
        ..killed_by(15)
    };
    let limited = TaskInfo { max_completion_time: Some(Duration::from_secs(2)), ..task("t") };
    let status = end_of(limited, too_long);
    assert_eq!(status.reason, Some(Reason::MaxCompletionTimeReached));
}

#[test]
fn a_launch_that_fails_says_why_and_frees_the_resources() {
    let mut world = World::registered();
    world.run(task("t"));
    let container_id = world.container_of("t");
    let message = "mkdir /full failed: No space left on device".into();
    world.step(Input::LaunchFailed { container_id, message, exit: None });
    let status = world.last();
    assert_eq!(
        (status.state, status.reason),
        (TaskState::Failed, Some(Reason::ContainerLaunchFailed))
    );
    assert!(status.message.unwrap().starts_with("Command could not be started: mkdir"));
    assert_eq!(world.agent.free(), world.agent.total());
}

#[test]
fn a_command_that_does_not_exist_fails_as_it_does_for_a_shell() {
    let mut world = World::registered();
    world.run(task("t"));
    let container_id = world.container_of("t");
    let message = "execve /no/such/file failed: No such file or directory".into();
    world.step(Input::LaunchFailed { container_id, message, exit: Some(Exit::Code(127)) });
    let status = world.last();
    assert_eq!((status.state, status.reason), (TaskState::Failed, None));
    assert_eq!(status.outcome.unwrap().exit, Some(Exit::Code(127)));
}

#[test]
fn an_end_that_is_told_before_the_start_still_gives_both_updates_in_order() {
    let mut world = World::registered();
    world.run(task("t"));
    world.exit("t", exited(Exit::Code(0)));
    world.acknowledge_last();
    assert_eq!(world.states(), [TaskState::Running, TaskState::Finished]);
}

#[test]
fn a_sandbox_that_holds_something_is_on_record_until_it_is_collected() {
    let mut world = World::registered();
    world.running("t");
    world.exit("t", Exited { sandbox: Some("/s/1".into()), ..exited(Exit::Code(0)) });
    assert!(
        world.effects.iter().any(
            |e| matches!(e, Effect::Record(CheckpointOp::PutSandbox(r)) if &*r.path == "/s/1")
        )
    );
    world.acknowledge_last();
    world.acknowledge_last();
    assert_eq!(world.agent.tasks().count(), 0);
    assert_eq!(world.disk.recovered.sandboxes.len(), 1);
}

#[test]
fn what_is_told_of_an_unknown_container_is_ignored() {
    let mut world = World::registered();
    let container_id = proto::ContainerId::new("nobody").unwrap();
    world.step(Input::LaunchFailed {
        container_id: container_id.clone(),
        message: "no".into(),
        exit: None,
    });
    world.step(Input::Exited { container_id, exited: exited(Exit::Code(0)) });
    assert_eq!(world.effects, []);
}
