//! Translation of launches: programs, users, limits; and what is refused.

use super::{allocation, container};
use crate::containerizer::Program;
use agent_core::Launch;
use proto::{
    AgentId, CommandInfo, ContainerId, FetchUri, FrameworkId, FrameworkInfo, Resources, Role,
    TaskBody, TaskId, TaskInfo, TaskPayload,
};
use std::collections::BTreeMap;
use std::sync::Arc;

fn shell(line: &str) -> CommandInfo {
    CommandInfo { shell: true, value: Some(line.into()), ..CommandInfo::default() }
}

fn launch(command: CommandInfo) -> Launch {
    let task = TaskInfo {
        name: "t".into(),
        task_id: TaskId::new("t").unwrap(),
        agent_id: AgentId::new("A").unwrap(),
        resources: Resources::cpus_mem(500, 32_000),
        allocation_role: None,
        limits: BTreeMap::new(),
        executor: None,
        kill_grace: None,
        max_completion_time: None,
        payload: TaskPayload::new(&TaskBody { command: Some(command), ..TaskBody::default() }),
    };
    let framework_id = FrameworkId::new("F").unwrap();
    let mut framework = FrameworkInfo::new("ann", "test");
    framework.id = Some(framework_id.clone());
    Launch {
        container_id: ContainerId::new("c").unwrap(),
        framework: Arc::new(framework),
        framework_id,
        role: Role::any(),
        task: Arc::new(task),
    }
}

#[test]
fn a_command_becomes_a_container_with_the_frameworks_user() {
    let made = container(&launch(shell("echo hi"))).unwrap();
    assert_eq!(made.program, Program::Shell("echo hi".to_owned()));
    assert_eq!(made.user.as_deref(), Some("ann"));
    assert_eq!(made.allocation.cpus_milli, 500);
    assert_eq!(made.allocation.memory_bytes, Some(32 << 20));
    assert!(made.environment.contains(&("MESOS_TASK_ID".to_owned(), "t".to_owned())));
}

#[test]
fn the_commands_own_words_win() {
    let command = CommandInfo {
        user: Some("bob".into()),
        environment: vec![("MESOS_TASK_ID".into(), "mine".into())],
        ..shell("true")
    };
    let made = container(&launch(command)).unwrap();
    assert_eq!(made.user.as_deref(), Some("bob"));
    let named: Vec<_> = made.environment.iter().filter(|(n, _)| n == "MESOS_TASK_ID").collect();
    assert_eq!(named, [&("MESOS_TASK_ID".to_owned(), "mine".to_owned())]);
}

#[test]
fn an_executable_keeps_its_arguments() {
    let command = CommandInfo {
        shell: false,
        value: Some("/bin/echo".into()),
        arguments: vec!["echo".into(), "a b".into()],
        ..CommandInfo::default()
    };
    let made = container(&launch(command)).unwrap();
    let argv = vec!["echo".to_owned(), "a b".to_owned()];
    assert_eq!(made.program, Program::Exec { file: "/bin/echo".to_owned(), argv });
}

#[test]
fn limits_override_the_request() {
    let mut task = TaskInfo::clone(&launch(shell("true")).task);
    task.limits.insert("mem".into(), Some(64_000));
    task.limits.insert("cpus".into(), Some(2_000));
    task.limits.insert("pids".into(), Some(16_000));
    let limited = allocation(&task);
    assert_eq!(limited.memory_bytes, Some(64 << 20));
    assert_eq!((limited.cpu_limit_milli, limited.pids), (Some(2_000), Some(16)));
    task.limits.insert("mem".into(), None);
    assert_eq!(allocation(&task).memory_bytes, None, "unlimited");
    task.limits.clear();
    task.resources = Resources::cpus_mem(100, 0);
    assert_eq!(allocation(&task).memory_bytes, None, "no request is no limit");
}

#[test]
fn what_cannot_be_run_is_refused_with_the_reason() {
    let refusal = |command| container(&launch(command)).unwrap_err();
    assert!(refusal(shell("")).contains("no value"));
    let uri = FetchUri {
        value: "http://x/y".into(),
        executable: false,
        extract: true,
        cache: false,
        output_file: None,
    };
    let command = CommandInfo { uris: vec![uri], ..shell("true") };
    assert!(refusal(command).contains("fetch"));
}

#[test]
fn resource_limits_are_translated() {
    let command =
        CommandInfo { rlimits: vec![("RLMT_NOFILE".into(), Some(64), None)], ..shell("true") };
    let made = container(&launch(command)).unwrap();
    assert_eq!((made.rlimits[0].soft, made.rlimits[0].hard), (64, u64::MAX));
    assert_eq!(made.rlimits[0].resource, libc::RLIMIT_NOFILE);
}
