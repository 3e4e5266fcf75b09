//! Translation of launches: programs, users, limits; and what is refused.

use super::{
    CANNOT_EXECUTE, Frameworks, LEAST_MEMORY, OfImage, allocation, ends::launch_of,
    fault_of_command,
};
use crate::containerizer::{self, LaunchError, Launched, Program, Recovered, Rlimit};
use crate::policy::Policy;
use crate::volumes::VolumeDisk;
use agent_core::Launch;
use proto::{
    AgentId, CommandInfo, ContainerId, ContainerInfo, Exit, FrameworkId, FrameworkInfo, Resources,
    Role, TaskBody, TaskId, TaskInfo, TaskPayload,
};
use std::collections::BTreeMap;
use std::sync::Arc;

fn container_by(launch: &Launch, policy: &Policy) -> Result<containerizer::Launch, String> {
    container_in(launch, None, policy)
}

fn container_in(
    launch: &Launch,
    image: Option<&OfImage>,
    policy: &Policy,
) -> Result<containerizer::Launch, String> {
    let body = launch.task.payload.open().unwrap();
    let disk = VolumeDisk::new("/v".into());
    super::container(launch, &body, image, &mut Frameworks::default(), &disk, policy)
}

fn container(launch: &Launch) -> Result<containerizer::Launch, String> {
    container_by(launch, &Policy::default())
}

fn shell(line: &str) -> CommandInfo {
    CommandInfo { shell: true, value: Some(line.into()), ..CommandInfo::default() }
}

pub(crate) fn launch(command: CommandInfo) -> Launch {
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
        gpus: Vec::new(),
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
    let limited = allocation(&task, true);
    assert_eq!(limited.memory_bytes, Some(64 << 20));
    assert_eq!((limited.cpu_limit_milli, limited.pids), (Some(2_000), Some(16)));
    // What it asked for is what it keeps when memory runs short.
    assert_eq!(limited.memory_soft_bytes, Some(32 << 20));
    task.limits.insert("mem".into(), None);
    let unlimited = allocation(&task, true);
    assert_eq!((unlimited.memory_bytes, unlimited.memory_soft_bytes), (None, Some(32 << 20)));
    task.limits.insert("mem".into(), Some(32_000));
    assert_eq!(allocation(&task, true).memory_soft_bytes, None);
    task.limits.insert("mem".into(), None);
    assert_eq!(allocation(&task, true).memory_bytes, None, "unlimited");
    task.limits.clear();
    task.resources = Resources::cpus_mem(100, 0);
    let least = LEAST_MEMORY / 1000 * (1 << 20);
    assert_eq!(allocation(&task, true).memory_bytes, Some(least), "no request is not no limit");
    task.resources = Resources::cpus_mem(100, 5_000);
    assert_eq!(allocation(&task, true).memory_bytes, Some(5 << 20), "a small request is kept");
}

#[test]
fn what_cannot_be_run_is_refused_with_the_reason() {
    let refusal = |command| container(&launch(command)).unwrap_err();
    assert!(refusal(shell("")).contains("no value"));
}

#[test]
fn resource_limits_are_translated() {
    let command =
        CommandInfo { rlimits: vec![("RLMT_NOFILE".into(), Some(64), None)], ..shell("true") };
    let made = container(&launch(command)).unwrap();
    assert_eq!((made.rlimits[0].soft, made.rlimits[0].hard), (64, u64::MAX));
    assert_eq!(made.rlimits[0].resource, libc::RLIMIT_NOFILE);
}

#[test]
fn whoever_asked_for_what_cannot_be_is_at_fault_and_the_platform_for_the_rest() {
    let spawn = |step: &str, errno| LaunchError::Spawn { step: step.into(), errno };
    let faults = [
        (LaunchError::Impossible("there is no user eve".into()), Some(CANNOT_EXECUTE)),
        (spawn("execve /no/such", libc::ENOENT), Some(Exit::Code(127))),
        (spawn("execve /etc", libc::EACCES), Some(CANNOT_EXECUTE)),
        (spawn("setrlimit", libc::EPERM), Some(CANNOT_EXECUTE)),
        (spawn("execve /bin/true", libc::ENOMEM), None),
        (spawn("clone", libc::EAGAIN), None),
        (LaunchError::Refused("the disk is full".into()), None),
        (LaunchError::AlreadyExists, None),
    ];
    for (error, exit) in faults {
        assert_eq!(fault_of_command(&error), exit, "{error:?}");
    }
}

#[test]
fn a_launch_comes_back_as_it_was_with_its_framework_kept_once() {
    let (mut frameworks, policy) = (Frameworks::default(), Policy::default());
    let first = launch(shell("echo hi"));
    let mut second = Launch { container_id: ContainerId::new("d").unwrap(), ..first.clone() };
    let body = TaskBody { data: Some(vec![7; 4096].into()), ..second.task.payload.open().unwrap() };
    Arc::make_mut(&mut second.task).payload = TaskPayload::new(&body);
    let made = [&first, &second].map(|l| {
        let (body, disk) = (l.task.payload.open().unwrap(), VolumeDisk::new("/v".into()));
        super::container(l, &body, None, &mut frameworks, &disk, &policy).unwrap()
    });
    let shared = made.each_ref().map(|made| made.shared.clone().unwrap());
    assert!(Arc::ptr_eq(&shared[0], &shared[1]), "one framework is one record");
    assert!(made[1].record.len() < 1024, "data are not kept: {} bytes", made[1].record.len());

    let launched =
        Launched { pid: 1, started_boot_ns: 1, sandbox: "/s".into(), address: None, layer: None };
    let mut read = Vec::new();
    let back = made.map(|made| {
        let (id, record, shared) = (made.id, made.record, made.shared);
        let (launched, ended, remains) = (launched.clone(), None, false);
        let kill_requested = false;
        let known = Recovered { id, record, shared, launched, ended, remains, kill_requested };
        launch_of(&known, &mut read).unwrap()
    });
    assert_eq!(read.len(), 1, "and is read once");
    assert!(Arc::ptr_eq(&back[0].framework, &back[1].framework));
    assert_eq!(back[0], first);
    assert_eq!(back[1], Launch { task: first.task.clone(), ..second });
}

#[test]
fn an_image_says_what_the_task_does_not() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("app/rootfs")).unwrap();
    let config = r#"{"config":{"User":"7:8","Env":["A=image","B=image"],"Entrypoint":["/run"],
        "Cmd":["-v"]}}"#;
    std::fs::write(dir.path().join("app/config.json"), config).unwrap();
    let unpacked = dir.path().join("unpacked");
    let store =
        images::Store::open(dir.path().into(), unpacked, images::Limits::default()).unwrap();
    let image = store.ready("app").unwrap().unwrap();
    let policy = Policy::default();
    let made = |command: CommandInfo| {
        let container = ContainerInfo { image: Some("app".into()), ..ContainerInfo::default() };
        let body = TaskBody {
            command: Some(command.clone()),
            container: Some(container),
            ..TaskBody::default()
        };
        let mut launch = launch(command);
        Arc::make_mut(&mut launch.task).payload = TaskPayload::new(&body);
        container_in(&launch, Some(&OfImage::of(&image)), &policy).unwrap()
    };
    let argv = |made: &containerizer::Launch| match &made.program {
        Program::Exec { file, argv } => (file.clone(), argv.clone()),
        Program::Shell(line) => panic!("{line}"),
    };
    let bare = made(CommandInfo::default());
    assert_eq!(argv(&bare), ("/run".to_owned(), vec!["/run".to_owned(), "-v".to_owned()]));
    assert_eq!(bare.user.as_deref(), Some("7:8"));
    assert!(bare.rlimits.contains(&Rlimit { resource: libc::RLIMIT_CORE, soft: 0, hard: 0 }));
    assert_eq!(bare.allocation.pids, Some(4096));
    let own = made(CommandInfo {
        arguments: vec!["-q".into()],
        environment: vec![("A".into(), "task".into())],
        user: Some("9".into()),
        ..CommandInfo::default()
    });
    assert_eq!(argv(&own), ("/run".to_owned(), vec!["/run".to_owned(), "-q".to_owned()]));
    assert_eq!(own.user.as_deref(), Some("9"));
    let value = |name: &str| {
        let found: Vec<_> = own.environment.iter().filter(|(n, _)| n == name).collect();
        (found.len(), found[0].1.clone())
    };
    assert_eq!((value("A"), value("B")), ((1, "task".into()), (1, "image".into())));
    let shell = made(shell("echo hi"));
    assert_eq!(shell.program, Program::Shell("echo hi".to_owned()));
}
