//! Custom executors, from their start to their end.

mod addresses;
mod outlive;

use super::ExecutorInput;
use crate::testing::{World, exited, framework, framework_id, key, options, plain_framework, task};
use crate::{CheckpointOp, Effect, Input};
use proto::agent_link::{AgentCall, AgentEvent};
use proto::executor::{Event, Update};
use proto::{
    CommandInfo, ContainerId, ExecutorId, ExecutorInfo, Exit, Reason, Resources, Role, Source,
    StatusUuid, TaskBody, TaskId, TaskInfo, TaskPayload, TaskState, TaskStatus,
};
use std::sync::Arc;
use std::time::Duration;

fn executor_id() -> ExecutorId {
    ExecutorId::new("e").unwrap()
}

/// An executor with a tenth of a cpu. Its payload is that of a task with the same command: the
/// fields have the same numbers.
fn executor() -> ExecutorInfo {
    let command =
        CommandInfo { shell: true, value: Some("./run".into()), ..CommandInfo::default() };
    let body = TaskBody { command: Some(command), ..TaskBody::default() };
    ExecutorInfo {
        executor_id: executor_id(),
        framework_id: Some(framework_id()),
        resources: Resources::cpus_mem(100, 32_000),
        payload: TaskPayload::new(&body).bytes,
    }
}

fn employed(id: &str) -> TaskInfo {
    let mut task = TaskInfo { executor: Some(executor()), ..task(id) };
    task.payload.has_command = false;
    task
}

fn status(id: &str, state: TaskState, uuid: u8) -> Update {
    let task_id = TaskId::new(id).unwrap();
    let mut status = TaskStatus::new(task_id, state, Source::Executor, proto::Time::ZERO);
    status.uuid = Some(StatusUuid([uuid; 16]));
    Update::new(status).unwrap()
}

impl World {
    fn employ(&mut self, tasks: &[&str], start: bool) {
        let start = if start { vec![executor_id()] } else { Vec::new() };
        let tasks = tasks.iter().map(|id| employed(id)).collect();
        let (framework, role) = (Arc::new(framework()), Role::any());
        self.hear(AgentEvent::RunByExecutors { framework, role, tasks, start });
    }

    fn home(&self) -> ContainerId {
        let id = self.agent.executor_container(&framework_id(), &executor_id());
        id.expect("the executor is there").clone()
    }

    fn says(&mut self, input: ExecutorInput) {
        let container_id = self.home();
        self.step(Input::Executor { container_id, input });
    }

    fn subscribe(&mut self, stream: u64, listed: &[&str]) {
        let tasks = listed.iter().map(|id| TaskId::new(*id).unwrap()).collect();
        self.says(ExecutorInput::Subscribed { stream, tasks, updates: Vec::new() });
    }

    fn reports(&mut self, id: &str, state: TaskState, uuid: u8) {
        self.says(ExecutorInput::Update(Box::new(status(id, state, uuid))));
    }

    /// What the executor heard since the effects were last cleared, in short.
    fn heard(&self) -> Vec<String> {
        let events = self.effects.iter().filter_map(|effect| match effect {
            Effect::ToExecutor { event, stream, .. } => Some((event, stream)),
            _ => None,
        });
        let told = events.map(|(event, stream)| match &**event {
            Event::Subscribed(_) => format!("{stream} SUBSCRIBED"),
            Event::Launch(task) => format!("{stream} LAUNCH {}", task.task_id),
            Event::Kill { task_id, .. } => format!("{stream} KILL {task_id}"),
            Event::Acknowledged { task_id, uuid } => {
                format!("{stream} ACKNOWLEDGED {task_id} {}", uuid.0[0])
            }
            Event::Message(data) => format!("{stream} MESSAGE {}", data.len()),
            Event::Shutdown => format!("{stream} SHUTDOWN"),
            other => format!("{stream} {other:?}"),
        });
        told.collect()
    }

    fn ends(&self) -> Vec<Option<i32>> {
        let ends = self.effects.iter().filter_map(|effect| match effect {
            Effect::ToMaster { call: AgentCall::ExecutorEnded { status, .. }, .. } => Some(*status),
            _ => None,
        });
        ends.collect()
    }

    /// The executor runs, hears, and has these tasks.
    fn employing(tasks: &[&str]) -> Self {
        let mut world = Self::registered();
        world.employ(tasks, true);
        let container_id = world.home();
        world.step(Input::Launched { container_id, sandbox: "/s/e".into(), address: None });
        world.subscribe(1, &[]);
        world
    }

    /// The master was silent while time passed: the agent is at it again.
    fn back(&mut self) {
        self.pass(Duration::from_secs(1));
        self.register();
    }

    fn executor_exits(&mut self, exit: Exit) {
        let container_id = self.home();
        let exited = exited(exit);
        self.containers.get_mut(&container_id).unwrap().exited = Some(exited.clone());
        self.step(Input::Exited { container_id, exited });
    }
}

#[test]
fn tasks_of_one_executor_start_it_once_and_reach_it_when_it_hears() {
    let mut world = World::registered();
    world.employ(&["a", "b"], true);
    let launches: Vec<_> = world
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Launch(launch) => Some(launch),
            _ => None,
        })
        .collect();
    assert_eq!(launches.len(), 1);
    assert_eq!(launches[0].task.task_id.as_str(), "e");
    assert!(launches[0].task.payload.has_command);
    assert_eq!(*world.agent.free(), Resources::cpus_mem(1_900, 864_000));
    let container_id = world.home();
    world.step(Input::Launched { container_id, sandbox: "/s/e".into(), address: None });
    let resized = world.effects.iter().find_map(|effect| match effect {
        Effect::Resize { resources, .. } => Some(resources.clone()),
        _ => None,
    });
    assert_eq!(resized, Some(Resources::cpus_mem(2_100, 160_000)));
    assert!(world.heard().is_empty());
    world.subscribe(1, &[]);
    assert_eq!(world.heard(), ["1 SUBSCRIBED", "1 LAUNCH a", "1 LAUNCH b"]);
    world.effects.clear();
    world.employ(&["c"], false);
    assert_eq!(world.heard(), ["1 LAUNCH c"]);
    // What the executor hears of is on record before.
    let order: Vec<_> = world
        .effects
        .iter()
        .filter(|e| {
            matches!(e, Effect::Persist(CheckpointOp::PutTask(_)) | Effect::ToExecutor { .. })
        })
        .collect();
    assert!(matches!(order[..], [Effect::Persist(_), Effect::ToExecutor { .. }]), "{order:?}");
}

#[test]
fn updates_of_an_executor_are_told_once_and_acknowledged_when_they_are_on_record() {
    let mut world = World::employing(&["a"]);
    world.effects.clear();
    world.reports("a", TaskState::Running, 7);
    assert_eq!(world.states(), [TaskState::Running]);
    let sent = world.last();
    assert_eq!(sent.uuid, Some(StatusUuid([7; 16])));
    assert_eq!(sent.executor_id, Some(executor_id()));
    assert_eq!(sent.container_id, Some(world.home()));
    assert_eq!(world.heard(), ["1 ACKNOWLEDGED a 7"]);
    let at = |wanted: fn(&Effect) -> bool| world.effects.iter().position(wanted).unwrap();
    assert!(
        at(|e| matches!(e, Effect::Persist(CheckpointOp::PutUpdates(_))))
            < at(|e| matches!(e, Effect::ToExecutor { .. }))
    );
    // The same again, before and after the framework has it: told to nobody.
    world.reports("a", TaskState::Running, 7);
    world.acknowledge_last();
    world.reports("a", TaskState::Running, 7);
    assert_eq!(world.states(), [TaskState::Running]);
    // Another one of the same state is news.
    world.reports("a", TaskState::Running, 8);
    world.acknowledge_last();
    world.reports("a", TaskState::Finished, 9);
    assert_eq!(world.last().state, TaskState::Finished);
    assert_eq!(*world.agent.free(), Resources::cpus_mem(3_900, 992_000));
    world.acknowledge_last();
    // What comes after the end is acknowledged, and that is all.
    world.effects.clear();
    world.reports("a", TaskState::Running, 10);
    assert_eq!(world.heard(), ["1 ACKNOWLEDGED a 10"]);
    assert!(world.sent().is_empty());
    assert_eq!(world.agent.executors().count(), 1);
}

#[test]
fn the_end_of_an_executor_is_that_of_its_tasks() {
    let mut world = World::employing(&["a", "b"]);
    world.reports("a", TaskState::Running, 1);
    world.acknowledge_last();
    world.effects.clear();
    world.executor_exits(Exit::Code(3));
    let sent = world.sent();
    assert_eq!(world.states(), [TaskState::Failed, TaskState::Failed]);
    assert!(sent.iter().all(|status| status.reason == Some(Reason::ExecutorTerminated)));
    assert_eq!(sent[0].message.as_deref(), Some("Executor exited with status 3"));
    assert_eq!(world.ends(), [Some(3 << 8)]);
    assert_eq!(*world.agent.free(), Resources::cpus_mem(4_000, 1_024_000));
    // It is forgotten once the framework has both ends.
    assert_eq!(world.containers.len(), 1);
    sent.iter().for_each(|status| world.acknowledge(status));
    assert!(world.containers.is_empty());
    // Under the same id another one may be started, and only if the master has room for it.
    world.effects.clear();
    world.employ(&["c"], false);
    assert_eq!(world.last().reason, Some(Reason::ExecutorTerminated));
    assert_eq!(world.last().state, TaskState::Dropped);
    world.employ(&["d"], true);
    assert_eq!(world.agent.executors().count(), 1);
}

#[test]
fn an_executor_that_cannot_be_started_fails_its_tasks() {
    let mut world = World::registered();
    world.employ(&["a"], true);
    let container_id = world.home();
    world.step(Input::LaunchFailed { container_id, message: "no".into(), exit: None });
    assert_eq!(world.last().reason, Some(Reason::ContainerLaunchFailed));
    assert_eq!(world.ends(), [Some(-1)]);
    world.acknowledge_last();
    assert_eq!(*world.agent.free(), Resources::cpus_mem(4_000, 1_024_000));
}

#[test]
fn a_start_that_was_for_nothing_is_told_so_that_the_master_sets_nothing_aside() {
    let mut world = World::registered();
    world.kill("a", None);
    world.employ(&["a"], true);
    assert_eq!(world.last().reason, Some(Reason::TaskKilledDuringLaunch));
    assert_eq!(world.ends(), [None]);
    assert_eq!(world.agent.executors().count(), 0);
}

#[test]
fn an_executor_that_does_not_subscribe_in_time_ends_with_its_tasks() {
    let mut world = World::registered();
    world.employ(&["a"], true);
    let container_id = world.home();
    world.step(Input::Launched {
        container_id: container_id.clone(),
        sandbox: "/s/e".into(),
        address: None,
    });
    world.pass(options().executor_registration_timeout);
    assert_eq!(world.kills, [(container_id, Duration::ZERO)]);
    world.back();
    world.executor_exits(Exit::Signal(9));
    assert_eq!(world.last().reason, Some(Reason::ExecutorRegistrationTimeout));
    assert_eq!(world.last().state, TaskState::Failed);
}

#[test]
fn kills_are_the_executors_business_once_it_heard_of_the_task() {
    let mut world = World::employing(&["a"]);
    world.effects.clear();
    world.kill("a", None);
    assert_eq!(world.heard(), ["1 KILL a"]);
    assert!(world.sent().is_empty());
    world.reports("a", TaskState::Killed, 1);
    assert_eq!(world.states(), [TaskState::Killed]);
}

#[test]
fn a_kill_before_the_executor_heard_ends_the_task_and_an_executor_without_others() {
    let mut world = World::registered();
    world.employ(&["a", "b"], true);
    world.kill("a", None);
    assert_eq!(world.last().reason, Some(Reason::TaskKilledDuringLaunch));
    assert!(world.kills.is_empty());
    world.kill("b", None);
    assert_eq!(world.kills.len(), 1);
    // What comes meanwhile is dropped: it is ending.
    world.employ(&["c"], false);
    assert_eq!(world.last().state, TaskState::Dropped);
}

#[test]
fn a_shutdown_has_its_grace_and_then_its_end() {
    let mut world = World::employing(&["a"]);
    world.effects.clear();
    let (framework_id, executor_id) = (framework_id(), executor_id());
    world.hear(AgentEvent::ShutdownExecutor { framework_id, executor_id });
    assert_eq!(world.heard(), ["1 SHUTDOWN"]);
    assert!(world.kills.is_empty());
    world.pass(options().executor_shutdown_grace);
    assert_eq!(world.kills.len(), 1);
    world.back();
    world.executor_exits(Exit::Signal(9));
    assert_eq!(world.last().reason, Some(Reason::ExecutorTerminated));
}

#[test]
fn executors_of_a_framework_that_is_gone_end_without_a_word() {
    let mut world = World::employing(&["a"]);
    world.reports("a", TaskState::Running, 1);
    world.effects.clear();
    world.hear(AgentEvent::ShutdownFramework { framework_id: framework_id() });
    assert_eq!(world.heard(), ["1 SHUTDOWN"]);
    world.reports("a", TaskState::Killed, 2);
    world.executor_exits(Exit::Code(0));
    assert!(world.sent().is_empty());
    assert!(world.containers.is_empty());
    assert!(world.disk.recovered.tasks.is_empty());
    assert!(world.disk.recovered.frameworks.is_empty());
}

#[test]
fn an_agent_that_is_gone_waits_for_its_executors() {
    let mut world = World::employing(&["a"]);
    world.hear(AgentEvent::Refused { message: "gone".into(), gone: true });
    assert_eq!(world.kills.len(), 1);
    assert!(world.agent.agent_id().is_some());
    world.executor_exits(Exit::Signal(9));
    assert!(world.agent.agent_id().is_none());
}

#[test]
fn messages_go_both_ways() {
    let mut world = World::employing(&["a"]);
    world.effects.clear();
    let (framework_id, executor_id) = (framework_id(), executor_id());
    let data: Arc<[u8]> = Arc::from(&b"hello"[..]);
    world.hear(AgentEvent::Message { framework_id, executor_id, data: data.clone() });
    assert_eq!(world.heard(), ["1 MESSAGE 5"]);
    world.says(ExecutorInput::Message(data));
    let back = world
        .effects
        .iter()
        .any(|effect| matches!(effect, Effect::ToMaster { call: AgentCall::Message { .. }, .. }));
    assert!(back);
}

#[test]
fn an_executor_comes_back_to_an_agent_that_was_started_anew() {
    let mut world = World::employing(&["a", "b", "c"]);
    world.reports("a", TaskState::Running, 1);
    world.acknowledge_last();
    world.reports("b", TaskState::Running, 2);
    let free = world.agent.free().clone();
    let mut world = world.restart();
    world.register();
    assert_eq!(*world.agent.free(), free);
    assert_eq!(world.agent.executors().count(), 1);
    world.kill("a", None);
    world.effects.clear();
    // It names what nobody acknowledged: "c" it never got.
    let tasks = vec![TaskId::new("b").unwrap(), TaskId::new("z").unwrap()];
    let updates = vec![status("b", TaskState::Running, 2), status("b", TaskState::Finished, 3)];
    world.says(ExecutorInput::Subscribed { stream: 1, tasks, updates });
    assert_eq!(
        world.heard(),
        [
            "1 SUBSCRIBED",
            "1 ACKNOWLEDGED b 2",
            "1 ACKNOWLEDGED b 3",
            "1 KILL a",
            "1 LAUNCH c",
            "1 KILL z"
        ]
    );
    world.pass(options().executor_reregistration_timeout * 2);
    assert!(world.kills.is_empty());
}

#[test]
fn an_executor_that_does_not_come_back_ends_and_its_tasks_are_gone() {
    let mut world = World::employing(&["a"]);
    world.reports("a", TaskState::Running, 1);
    world.acknowledge_last();
    let mut world = world.restart();
    world.register();
    world.effects.clear();
    world.pass(options().executor_reregistration_timeout);
    assert_eq!(world.kills.len(), 1);
    world.back();
    world.executor_exits(Exit::Signal(9));
    assert_eq!(world.last().reason, Some(Reason::ExecutorReregistrationTimeout));
    assert_eq!(world.last().state, TaskState::Gone);
    assert_eq!(plain_framework().id, framework().id);
}

#[test]
fn an_executor_that_ended_while_the_agent_was_away_ends_its_tasks() {
    let mut world = World::employing(&["a"]);
    world.reports("a", TaskState::Running, 1);
    world.acknowledge_last();
    let container_id = world.home();
    world.containers.get_mut(&container_id).unwrap().exited = Some(exited(Exit::Code(1)));
    let mut world = world.restart();
    world.register();
    assert_eq!(world.last().reason, Some(Reason::ExecutorTerminated));
    world.acknowledge_last();
    assert!(world.containers.is_empty());
    assert!(world.agent.tasks().next().is_none());
    assert!(!world.disk.recovered.tasks.iter().any(|r| r.task.task_id == key("a").1));
}

#[test]
fn a_lost_supervisor_takes_its_executors_along() {
    let mut world = World::employing(&["a"]);
    world.containers.clear();
    world.effects.clear();
    world.step(Input::Supervisor { containers: Vec::new() });
    assert_eq!(world.last().reason, Some(Reason::SupervisorLost));
    assert_eq!(world.ends(), [Some(-1)]);
    world.acknowledge_last();
    assert_eq!(*world.agent.free(), Resources::cpus_mem(4_000, 1_024_000));
}

#[test]
fn a_second_stream_takes_the_place_of_the_first() {
    let mut world = World::employing(&["a"]);
    world.effects.clear();
    world.subscribe(2, &["a"]);
    let closed = world.effects.iter().any(|e| matches!(e, Effect::CloseExecutor { stream: 1, .. }));
    assert!(closed);
    assert_eq!(world.heard(), ["2 SUBSCRIBED"]);
    // The end of the first says nothing of the second.
    world.says(ExecutorInput::Closed { stream: 1 });
    assert!(world.agent.is_subscribed(&world.home()));
    world.says(ExecutorInput::Closed { stream: 2 });
    assert!(!world.agent.is_subscribed(&world.home()));
}

#[test]
fn an_executor_cannot_fill_the_queue_of_a_task() {
    let mut world = World::employing(&["a"]);
    let most = options().executor_updates_max;
    for n in 0..most + 5 {
        let mut update = status("a", TaskState::Running, 0).into_status();
        let mut uuid = [0; 16];
        uuid[..8].copy_from_slice(&(n as u64).to_le_bytes());
        update.uuid = Some(StatusUuid(uuid));
        world.says(ExecutorInput::Update(Box::new(Update::new(update).unwrap())));
    }
    assert_eq!(world.agent.pending_updates(), most);
    assert!(world.agent.is_crowded(&framework_id(), &TaskId::new("a").unwrap()));
    world.reports("a", TaskState::Finished, 255);
    assert_eq!(world.agent.pending_updates(), most + 1);
}

#[test]
fn what_an_executor_repeats_to_an_agent_that_was_started_anew_is_told_once() {
    let mut world = World::employing(&["a"]);
    world.reports("a", TaskState::Starting, 6);
    world.acknowledge_last();
    world.reports("a", TaskState::Running, 7);
    world.acknowledge_last();
    // It did not hear that they are on record.
    let mut world = world.restart();
    world.register();
    world.effects.clear();
    let tasks = vec![TaskId::new("a").unwrap()];
    let updates = vec![status("a", TaskState::Starting, 6), status("a", TaskState::Running, 7)];
    world.says(ExecutorInput::Subscribed { stream: 1, tasks, updates });
    assert_eq!(world.heard(), ["1 SUBSCRIBED", "1 ACKNOWLEDGED a 6", "1 ACKNOWLEDGED a 7"]);
    assert!(world.sent().is_empty(), "{:?}", world.sent());
    // What it adds is news.
    world.reports("a", TaskState::Running, 8);
    assert_eq!(world.last().uuid, Some(StatusUuid([8; 16])));
}

#[test]
fn people_may_go_in_but_change_no_limits() {
    let mut world = World::registered();
    world.employ(&["t"], true);
    let home = world.home();
    assert!(world.agent.launch_of(&home).is_none(), "it does not run yet");
    let container_id = home.clone();
    world.step(Input::Launched { container_id, sandbox: "/s/e".into(), address: None });
    let launch = world.agent.launch_of(&home).expect("it runs");
    assert_eq!(launch.task.task_id.as_str(), "e");
    assert!(launch.task.payload.has_command);
    let limits = [(Arc::from("cpus"), None)].into_iter().collect();
    let refused = world.agent.with_limits(&home, &limits).unwrap_err().to_string();
    assert!(refused.starts_with("the container is that of executor e"), "{refused}");
}
