//! Groups, from their launch to their end.

use super::group_executor;
use super::run::check_ports;
use crate::testing::{World, exited, framework, framework_id, key, killed_by, task};
use crate::{CheckpointOp, Effect, Input};
use proto::agent_link::{AgentCall, AgentEvent};
use proto::{
    ContainerInfo, ContainerNetwork, ExecutorId, ExecutorInfo, Exit, Flavor, Piece, PortMapping,
    Ranges, Reason, ResourceName, Resources, Role, TaskBody, TaskInfo, TaskPayload, TaskState,
    Value,
};
use std::sync::Arc;
use std::time::Duration;

fn executor_id() -> ExecutorId {
    ExecutorId::new("pod").unwrap()
}

/// An executor of type DEFAULT with a tenth of a cpu.
fn executor() -> ExecutorInfo {
    ExecutorInfo {
        executor_id: executor_id(),
        framework_id: Some(framework_id()),
        resources: Resources::cpus_mem(100, 32_000),
        payload: Arc::from([15 << 3, 1]),
    }
}

fn member(id: &str) -> TaskInfo {
    TaskInfo { executor: Some(executor()), ..task(id) }
}

impl World {
    fn group(&mut self, tasks: Vec<TaskInfo>, start: bool) {
        let start = if start { vec![executor_id()] } else { Vec::new() };
        let (framework, role) = (Arc::new(framework()), Role::any());
        self.hear(AgentEvent::RunByExecutors { framework, role, tasks, start });
    }

    /// A group that runs, of which nobody waits for an update.
    fn grouped(ids: &[&str]) -> Self {
        let mut world = Self::registered();
        world.group(ids.iter().map(|id| member(id)).collect(), true);
        for id in ids {
            world.launched(id);
            world.acknowledge_last();
        }
        world.effects.clear();
        world
    }

    fn ended(&self) -> Vec<Option<i32>> {
        let ends = self.effects.iter().filter_map(|effect| match effect {
            Effect::ToMaster { call: AgentCall::ExecutorEnded { status, .. }, .. } => Some(*status),
            _ => None,
        });
        ends.collect()
    }

    /// The tasks that were to be killed, in order.
    fn killed(&self) -> Vec<String> {
        let name = |id: &proto::ContainerId| {
            let launch = self.containers[id].launch.as_ref();
            launch.expect("it was launched").task.task_id.to_string()
        };
        self.kills.iter().map(|(id, _)| name(id)).collect()
    }

    fn told(&self, id: &str) -> Vec<TaskState> {
        let own = |s: &&proto::TaskStatus| s.task_id.as_str() == id;
        self.sent().iter().filter(own).map(|status| status.state).collect()
    }
}

#[test]
fn a_group_is_on_record_as_a_whole_before_any_task_of_it_is_launched() {
    let mut world = World::registered();
    world.group(vec![member("a"), member("b")], true);
    let order: Vec<&str> = world
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Persist(CheckpointOp::PutTask(_)) => Some("record"),
            Effect::Launch(_) => Some("launch"),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["record", "record", "launch", "launch"]);
    // Two tasks of a cpu and 64 MB, and the executor.
    assert_eq!(*world.agent.free(), Resources::cpus_mem(1_900, 864_000));
    assert_eq!(world.agent.groups().count(), 1);
    assert!(world.agent.executors().next().is_none(), "there is no process of an executor");
    world.launched("a");
    let running = world.last();
    assert_eq!(running.state, TaskState::Running);
    assert_eq!(running.executor_id, Some(executor_id()));
}

#[test]
fn a_group_ends_with_its_last_task() {
    let mut world = World::grouped(&["a", "b"]);
    world.exit("a", exited(Exit::Code(0)));
    assert_eq!(world.last().state, TaskState::Finished);
    world.acknowledge_last();
    assert!(world.kills.is_empty() && world.ended().is_empty());
    assert_eq!(*world.agent.free(), Resources::cpus_mem(2_900, 928_000));
    world.exit("b", exited(Exit::Code(0)));
    assert_eq!(world.ended(), [Some(0)]);
    assert!(world.effects.iter().any(|effect| matches!(effect, Effect::GroupEnded { .. })));
    world.acknowledge_last();
    assert_eq!(*world.agent.free(), Resources::cpus_mem(4_000, 1_024_000));
    assert!(world.agent.tasks().next().is_none() && world.agent.groups().next().is_none());
}

#[test]
fn a_task_that_fails_takes_its_group_along() {
    let mut world = World::grouped(&["a", "b", "c"]);
    world.exit("b", exited(Exit::Code(3)));
    assert_eq!(world.told("b"), [TaskState::Failed]);
    assert_eq!(world.killed(), ["a", "c"]);
    assert_eq!(world.told("a"), [TaskState::Killing]);
    for id in ["a", "c"] {
        let killing = world.sent().into_iter().rfind(|s| s.task_id.as_str() == id).unwrap();
        world.acknowledge(&killing);
        world.exit(id, killed_by(15));
        let end = world.last();
        assert_eq!((end.task_id.as_str(), end.state), (id, TaskState::Killed));
        let message = end.message.unwrap();
        assert!(message.contains("another task of its group did not finish"), "{message}");
        assert!(world.killed().len() == 2, "each is killed once");
    }
    assert_eq!(world.ended(), [Some(0)]);
}

#[test]
fn a_task_that_cannot_be_started_takes_its_group_along() {
    let mut world = World::registered();
    world.group(vec![member("a"), member("b")], true);
    world.launched("a");
    let (container_id, message) = (world.container_of("b"), "no such file".into());
    world.step(Input::LaunchFailed { container_id, message, exit: None });
    assert_eq!(world.told("b"), [TaskState::Failed]);
    assert_eq!(world.killed(), ["a"]);
}

#[test]
fn a_kill_of_one_is_a_kill_of_all() {
    let mut world = World::grouped(&["a", "b"]);
    world.kill("b", Some(Duration::from_secs(9)));
    assert_eq!(world.killed(), ["a", "b"]);
    assert!(world.kills.iter().all(|(_, grace)| *grace == Duration::from_secs(9)));
    world.acknowledge(&world.sent()[0].clone());
    world.exit("a", killed_by(15));
    assert_eq!(world.last().state, TaskState::Killed);
    assert_eq!(world.last().message.as_deref(), Some("Command terminated with signal Terminated"));
    assert_eq!(world.kills.len(), 2, "the other has its grace");
}

#[test]
fn a_shutdown_of_the_executor_kills_its_group() {
    let mut world = World::grouped(&["a", "b"]);
    let (framework_id, executor_id) = (framework_id(), executor_id());
    world.hear(AgentEvent::ShutdownExecutor { framework_id, executor_id });
    assert_eq!(world.killed(), ["a", "b"]);
}

#[test]
fn a_group_is_launched_as_a_whole_or_not_at_all() {
    let mut world = World::registered();
    let mut nothing = member("b");
    nothing.payload.has_command = false;
    world.group(vec![member("a"), nothing], true);
    assert_eq!(world.states(), [TaskState::Error, TaskState::Error]);
    let message = world.last().message.unwrap();
    assert_eq!(&*message, "Task 'b' of the group: The task has no command");
    assert_eq!(world.ended(), [None]);
    let much = TaskInfo { resources: Resources::cpus_mem(3_000, 64_000), ..member("d") };
    world.group(vec![member("c"), much], true);
    assert_eq!(world.told("c"), [TaskState::Dropped]);
    assert_eq!(world.told("d"), [TaskState::Dropped]);
    assert!(world.containers.is_empty());
    assert_eq!(*world.agent.free(), Resources::cpus_mem(4_000, 1_024_000));
}

#[test]
fn an_executor_id_is_one_group_at_a_time() {
    let mut world = World::grouped(&["a", "b"]);
    world.group(vec![member("c")], false);
    assert_eq!(world.last().state, TaskState::Dropped);
    assert_eq!(world.last().reason, Some(Reason::ExecutorTerminated));
    assert!(world.ended().is_empty());
    world.acknowledge_last();
    // One that is repeated is nothing new.
    world.effects.clear();
    world.group(vec![member("a"), member("b")], true);
    assert!(world.sent().is_empty() && world.ended().is_empty());
    world.exit("a", exited(Exit::Code(0)));
    world.acknowledge_last();
    world.exit("b", exited(Exit::Code(0)));
    // Of the first group there is still something to tell.
    world.group(vec![member("d")], true);
    assert_eq!(world.told("d"), [TaskState::Dropped]);
    for status in world.sent().into_iter().filter(|s| s.state != TaskState::Finished) {
        world.acknowledge(&status);
    }
    let end = world.sent().into_iter().rfind(|s| s.task_id.as_str() == "b").unwrap();
    world.acknowledge(&end);
    world.group(vec![member("e")], true);
    world.launched("e");
    assert_eq!(world.told("e"), [TaskState::Running]);
}

#[test]
fn a_kill_that_comes_before_its_launch_drops_the_group() {
    let mut world = World::registered();
    world.kill("b", None);
    world.group(vec![member("a"), member("b")], true);
    assert_eq!(world.states(), [TaskState::Killed, TaskState::Killed]);
    assert!(world.containers.is_empty());
}

#[test]
fn a_group_outlives_its_agent() {
    let world = World::grouped(&["a", "b"]);
    let free = world.agent.free().clone();
    let mut world = world.restart();
    world.register();
    assert_eq!(*world.agent.free(), free);
    assert!(world.kills.is_empty());
    let told = world.effects.iter().find_map(|effect| match effect {
        Effect::ToMaster { call: AgentCall::Reregister { executors, .. }, .. } => Some(executors),
        _ => None,
    });
    let told = told.expect("the agent came back");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].info, executor());
    world.exit("a", exited(Exit::Code(1)));
    assert_eq!(world.killed(), ["b"]);
}

#[test]
fn a_group_of_which_a_task_failed_while_the_agent_was_away_ends() {
    let mut world = World::grouped(&["a", "b"]);
    let container_id = world.container_of("a");
    world.containers.get_mut(&container_id).unwrap().exited = Some(exited(Exit::Code(1)));
    let world = world.restart();
    assert_eq!(world.killed(), ["b"]);
}

#[test]
fn a_group_of_which_a_task_was_never_launched_ends() {
    let mut world = World::registered();
    world.group(vec![member("a"), member("b")], true);
    // The agent died between the two orders.
    let container_id = world.container_of("b");
    world.containers.remove(&container_id);
    let world = world.restart();
    assert_eq!(world.killed(), ["a"]);
}

#[test]
fn a_task_that_finished_while_the_agent_was_away_ends_nobody_else() {
    let mut world = World::grouped(&["a", "b"]);
    let container_id = world.container_of("a");
    world.containers.get_mut(&container_id).unwrap().exited = Some(exited(Exit::Code(0)));
    let world = world.restart();
    assert!(world.kills.is_empty());
    assert_eq!(world.agent.groups().count(), 1);
}

#[test]
fn a_lost_supervisor_takes_its_groups_along() {
    let mut world = World::grouped(&["a", "b"]);
    world.containers.clear();
    world.step(Input::Supervisor { containers: Vec::new() });
    assert_eq!(world.told("a"), [TaskState::Failed]);
    // Of "b" too it is told how it ended, after what was ordered meanwhile.
    let killing = world.sent().into_iter().rfind(|s| s.task_id.as_str() == "b").unwrap();
    assert_eq!(killing.state, TaskState::Killing);
    world.acknowledge(&killing);
    assert_eq!(*world.told("b").last().unwrap(), TaskState::Failed);
    assert_eq!(world.ended(), [Some(0)]);
}

#[test]
fn the_groups_of_a_framework_that_is_gone_end_without_a_word() {
    let mut world = World::grouped(&["a", "b"]);
    world.hear(AgentEvent::ShutdownFramework { framework_id: framework_id() });
    assert_eq!(world.killed(), ["a", "b"]);
    world.exit("a", killed_by(15));
    world.exit("b", killed_by(15));
    assert!(world.sent().is_empty());
    assert_eq!(*world.agent.free(), Resources::cpus_mem(4_000, 1_024_000));
    assert!(!world.disk.recovered.tasks.iter().any(|record| record.task.task_id == key("a").1));
}

#[test]
fn only_executors_of_type_default_have_groups() {
    assert!(group_executor(&task("a")).is_none());
    assert_eq!(group_executor(&member("a")), Some(&executor()));
    let custom = ExecutorInfo { payload: Arc::from([15 << 3, 2]), ..executor() };
    assert!(group_executor(&TaskInfo { executor: Some(custom), ..task("a") }).is_none());
}

/// The executor with a network to which a port of the host leads.
fn connected(host_port: u16) -> ExecutorInfo {
    let port_mappings = vec![PortMapping { host_port, container_port: 80, udp: false }];
    let network = ContainerNetwork { name: "tepui".into(), port_mappings };
    let container = ContainerInfo { network: Some(Box::new(network)), ..ContainerInfo::default() };
    let body = TaskBody { container: Some(container), ..TaskBody::default() };
    let mut bytes = TaskPayload::new(&body).bytes.to_vec();
    // Its only field is 9 in a task, and 11 in an executor.
    bytes[0] = 11 << 3 | 2;
    ExecutorInfo { payload: [15 << 3, 1].into_iter().chain(bytes).collect(), ..executor() }
}

fn hold_port(resources: &mut Resources, port: u64) {
    let value = Value::Ranges(Ranges::new([(port, port)]));
    let (name, flavor) = (ResourceName::new("ports"), Flavor::default());
    resources.add_piece(Piece { name, flavor, value });
}

#[test]
fn ports_that_lead_to_a_group_are_its_executors_or_a_tasks() {
    let (mut executor, mut tasks) = (connected(31_000), [member("a"), member("b")]);
    let refused = check_ports(&executor, &tasks).unwrap_err();
    assert!(refused.starts_with("Port 31000 is not among the resources"), "{refused}");
    hold_port(&mut tasks[1].resources, 31_000);
    assert_eq!(check_ports(&executor, &tasks), Ok(()));
    hold_port(&mut executor.resources, 31_000);
    assert_eq!(check_ports(&executor, &[member("a")]), Ok(()));
}

#[test]
fn a_group_to_which_a_port_of_others_would_lead_is_an_error() {
    let mut world = World::registered();
    let member = |id: &str| TaskInfo { executor: Some(connected(31_000)), ..member(id) };
    world.group(vec![member("a"), member("b")], true);
    for id in ["a", "b"] {
        assert_eq!(world.told(id), [TaskState::Error]);
    }
    assert_eq!(world.last().reason, Some(Reason::TaskGroupInvalid));
    assert!(world.containers.is_empty());
}
