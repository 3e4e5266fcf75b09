//! What is refused of offers' calls and of what they launch: one wrong task or operation does not
//! refuse the others.

use crate::refusals::{problem, task};
use proto::scheduler::{Call, CallBody};
use proto::{
    ContainerInfo, ContainerNetwork, ContainerVolume, DockerInfo, DockerNetwork, Encoding, Limits,
    Operation, PortMapping, TaskInfo, VolumeSource, Wire,
};
use std::fmt::Write;

/// The operations of an ACCEPT.
fn operations(text: &str) -> Vec<Operation> {
    let call = format!(
        r#"{{"framework_id":{{"value":"f"}},"type":"ACCEPT","accept":{{"offer_ids":[],
            "operations":{text}}}}}"#
    );
    let call = Call::decode(call.as_bytes(), Encoding::Json, &Limits::DEFAULT).unwrap();
    let CallBody::Accept { operations, .. } = call.body else { panic!("{call:?}") };
    operations
}

#[test]
fn what_is_not_built_is_known_by_name() {
    let read = operations(r#"[{"type":"CREATE_DISK"},{"type":"DESTROY_DISK"}]"#);
    let expected = ["CREATE_DISK", "DESTROY_DISK"].map(|name| Operation::NotBuilt(name.into()));
    assert_eq!(read, expected);
}

#[test]
fn tasks_tell_of_themselves_so_a_launch_has_no_id() {
    let launch = format!(
        r#"[{{"type":"LAUNCH","id":{{"value":"x"}},"launch":{{"task_infos":[{}]}}}}]"#,
        task(r#""resources":[]"#)
    );
    let read = operations(&launch);
    let [Operation::Launch(tasks), Operation::Unreadable(unreadable)] = &read[..] else {
        panic!("{read:?}")
    };
    assert_eq!((tasks.len(), unreadable.len()), (0, 1));
    assert_eq!(&*unreadable[0].problem, "the operation's id must not be set");
}

#[test]
fn a_group_with_one_unreadable_task_or_executor_says_so() {
    let group = |executor: &str, tasks: &str| {
        let text = format!(
            r#"[{{"type":"LAUNCH_GROUP","launch_group":{{"executor":{{
                "executor_id":{{"value":"{executor}"}}}},"task_group":{{"tasks":[{tasks}]}}}}}}]"#
        );
        match operations(&text).pop() {
            Some(Operation::LaunchGroup(group)) => *group,
            other => panic!("{other:?}"),
        }
    };
    let good = task(r#""resources":[]"#);
    let bad = task(r#""kill_policy":{"grace_period":{"nanoseconds":-5}}"#);
    let both = group("e", &format!("{good},{bad}"));
    assert_eq!((both.tasks.len(), both.unreadable.len()), (1, 1));
    assert!(both.executor.is_some());
    let none = group("a/b", &good);
    assert_eq!((none.tasks.len(), none.unreadable.len(), none.executor), (0, 1, None));
    assert_eq!(
        &*none.unreadable[0].problem,
        "executor.executor_id.value: ExecutorID must not contain '/'"
    );
}

#[test]
fn one_wrong_operation_does_not_refuse_the_others() {
    let cpus = r#"{"name":"cpus","type":"SCALAR","scalar":{"value":1}"#;
    let text = format!(
        r#"[{{"type":"RESERVE","id":{{"value":"x"}},"reserve":{{"resources":[{cpus},
                "reservations":[{{"type":"DYNAMIC","role":"*"}}]}}]}}}},
            {{"type":"UNRESERVE","unreserve":{{"resources":[{cpus},
                "reservations":[{{"type":"DYNAMIC","role":"eng"}}]}}]}}}},
            {{"type":"GROW_VOLUME","id":{{"value":"a/b"}},"grow_volume":{{
                "volume":{cpus}}},"addition":{cpus}}}}}}}]"#
    );
    let read = operations(&text);
    let [Operation::Invalid(reserve), Operation::Change(change), Operation::Invalid(grow)] =
        &read[..]
    else {
        panic!("{read:?}")
    };
    assert_eq!((reserve.id.as_ref().unwrap().as_str(), &*reserve.name), ("x", "RESERVE"));
    assert_eq!(
        &*reserve.problem,
        "reserve.resources[0].reservations[0].role: must not be '*': nothing is reserved to it"
    );
    assert_eq!(change.change.name(), "UNRESERVE");
    assert_eq!((&grow.id, &*grow.problem), (&None, "id.value: OperationID must not contain '/'"));
    assert_eq!(
        problem::<Call>(
            r#"{"framework_id":{"value":"f"},"type":"ACCEPT","accept":{
                "operations":[{"type":"RESERVE"}]}}"#
        ),
        "Missing required fields: accept.operations[0].reserve"
    );
}

#[test]
fn payloads_say_what_they_ask_for() {
    let flags = |rest: &str| {
        let text = task(rest);
        let task = TaskInfo::decode(text.as_bytes(), Encoding::Json, &Limits::DEFAULT).unwrap();
        let payload = task.payload;
        (payload.has_command, payload.has_container, payload.checks.is_some())
    };
    assert_eq!(flags(r#""labels":{"labels":[]}"#), (false, false, false));
    assert_eq!(flags(r#""command":{}"#), (true, false, false));
    let docker = r#"{"docker":{"image":"i"},"network_infos":[{"name":"n"}],"type":"DOCKER"}"#;
    assert_eq!(flags(&format!(r#""container":{docker}"#)), (false, false, false));
    let mixed = r#""container":{"type":"MESOS","docker":{"image":"i"}}"#;
    assert_eq!(flags(mixed), (false, true, false));
    let limits = r#""container":{"type":"MESOS","rlimit_info":{"rlimits":[]}}"#;
    assert_eq!(flags(limits), (false, false, false));
    assert_eq!(flags(r#""container":{"type":"MESOS","hostname":"h"}"#), (false, false, false));
    let networks = r#""container":{"type":"MESOS","network_infos":[{"name":"n"}]}"#;
    assert_eq!(flags(networks), (false, false, false));
    let check = r#""check":{"type":"TCP","tcp":{"port":1}}"#;
    assert_eq!(flags(check), (false, false, true));
}

#[test]
fn what_no_agent_can_make_of_a_container_is_refused_by_name() {
    let problem = |container: &str| {
        let text = task(&format!(r#""container":{{"type":"MESOS",{container}}}"#));
        let task = TaskInfo::decode(text.as_bytes(), Encoding::Json, &Limits::DEFAULT).unwrap();
        task.payload.open().unwrap_err().to_string()
    };
    let volume = |rest: &str| {
        problem(&format!(r#""volumes":[{{"mode":"RW","container_path":"a",{rest}}}]"#))
    };
    let docker = r#""source":{"type":"DOCKER_VOLUME","docker_volume":{"name":"v"}}"#;
    let only = "type: only HOST_PATH, SANDBOX_PATH and TMPFS can be had";
    assert_eq!(volume(docker), format!("container.volumes[0].source.{only}"));
    let image = r#""image":{"type":"DOCKER","docker":{"name":"i"}}"#;
    assert_eq!(volume(image), "container.volumes[0].image: images cannot be had as volumes");
    assert_eq!(
        problem(r#""mesos":{"image":{"type":"APPC","appc":{"name":"i"}}}"#),
        "container.mesos.image.type: only images of type DOCKER can be had"
    );
    assert_eq!(
        problem(r#""linux_info":{"share_pid_namespace":true}"#),
        "container.linux_info.share_pid_namespace: the host's processes are shown to no container"
    );
}

#[test]
fn a_container_is_read_as_mesos_writes_it() {
    let text = task(
        r#""container":{"type":"MESOS","hostname":"h","read_only_root":true,
            "mesos":{"image":{"type":"DOCKER","docker":{"name":"busybox:1"}}},
            "linux_info":{"effective_capabilities":{"capabilities":["KILL","CHOWN"]},"shm_size":8},
            "volumes":[{"mode":"RO","container_path":"/data","host_path":"/srv/data"},
                {"mode":"RW","container_path":"cache","host_path":"c"},
                {"mode":"RW","container_path":"/scratch",
                    "source":{"type":"TMPFS","tmpfs":{"size":4096}}}]}"#,
    );
    let task = TaskInfo::decode(text.as_bytes(), Encoding::Json, &Limits::DEFAULT).unwrap();
    let volume = |path: &str, read_only, source| ContainerVolume {
        container_path: path.into(),
        read_only,
        source,
    };
    let wanted = ContainerInfo {
        image: Some("busybox:1".into()),
        volumes: vec![
            volume("/data", true, VolumeSource::HostPath("/srv/data".into())),
            volume("cache", false, VolumeSource::SandboxPath("c".into())),
            volume("/scratch", false, VolumeSource::Tmpfs(Some(4096))),
        ],
        hostname: Some("h".into()),
        capabilities: vec![0, 5],
        shm_bytes: Some(8 << 20),
        read_only_root: true,
        docker: None,
        network: None,
    };
    assert_eq!(task.payload.open().unwrap().container, Some(wanted));
}

fn docker(rest: &str) -> Result<ContainerInfo, String> {
    let text = task(&format!(r#""container":{{"type":"DOCKER",{rest}}}"#));
    let task = TaskInfo::decode(text.as_bytes(), Encoding::Json, &Limits::DEFAULT).unwrap();
    task.payload.open().map(|body| body.container.unwrap()).map_err(|error| error.to_string())
}

#[test]
fn a_container_of_docker_is_read_as_mesos_writes_it() {
    let read = docker(
        r#""docker":{"image":"busybox:1","network":"BRIDGE","privileged":false,
            "port_mappings":[{"host_port":31000,"container_port":80},
                {"host_port":31001,"container_port":53,"protocol":"UDP"}],
            "parameters":[{"key":"label","value":"a=b"}],"force_pull_image":true}"#,
    );
    let mapping = |host_port, container_port, udp| PortMapping { host_port, container_port, udp };
    let wanted = DockerInfo {
        image: "busybox:1".into(),
        network: DockerNetwork::Bridge,
        port_mappings: vec![mapping(31000, 80, false), mapping(31001, 53, true)],
        privileged: false,
        parameters: vec![("label".into(), "a=b".into())],
        force_pull: true,
    };
    let found = read.unwrap();
    assert_eq!(found, ContainerInfo { docker: Some(Box::new(wanted)), ..Default::default() });
    let network = |rest: &str| docker(rest).unwrap().docker.unwrap().network;
    // As with Mesos, who says nothing asks for the host's network.
    assert_eq!(network(r#""docker":{"image":"i"}"#), DockerNetwork::Host);
    let user = r#""docker":{"image":"i","network":"USER"},"network_infos":[{"name":"n"}]"#;
    assert_eq!(network(user), DockerNetwork::User("n".into()));
    for (wrong, said) in [
        (r#""hostname":"h""#, "container.docker: must be given with type DOCKER"),
        (
            r#""docker":{"image":"i","network":"USER"}"#,
            "container.docker.network: USER needs the name of a network in network_infos",
        ),
        (
            r#""docker":{"image":"i","port_mappings":[{"host_port":0,"container_port":80}]}"#,
            "container.docker.port_mappings[0].host_port: must be a port, from 1 to 65535",
        ),
        (
            r#""docker":{"image":"i","port_mappings":[{"host_port":1,"container_port":80,
                "protocol":"sctp"}]}"#,
            "container.docker.port_mappings[0].protocol: must be tcp or udp",
        ),
        (r#""docker":{"image":""}"#, "Missing required fields: container.docker.image"),
    ] {
        assert_eq!(docker(wrong).unwrap_err(), said);
    }
}

#[test]
fn a_network_of_its_own_is_one_that_has_a_name() {
    let read = |networks: &str| {
        let text = task(&format!(r#""container":{{"type":"MESOS","network_infos":{networks}}}"#));
        let task = TaskInfo::decode(text.as_bytes(), Encoding::Json, &Limits::DEFAULT).unwrap();
        task.payload.open().map(|body| body.container).map_err(|error| error.to_string())
    };
    // As with Mesos, one without a name is the host's.
    assert_eq!(read("[{}]").unwrap(), None);
    let mapped = r#"[{"name":"n","port_mappings":[{"host_port":31000,"container_port":80}]}]"#;
    let mapping = PortMapping { host_port: 31_000, container_port: 80, udp: false };
    let network = ContainerNetwork { name: "n".into(), port_mappings: vec![mapping] };
    let wanted = ContainerInfo { network: Some(Box::new(network)), ..Default::default() };
    assert_eq!(read(mapped).unwrap(), Some(wanted));
    for (wrong, said) in [
        (
            r#"[{"name":"n"},{}]"#,
            "container.network_infos: a container has one network at the most",
        ),
        (
            r#"[{"port_mappings":[{"host_port":1,"container_port":80}]}]"#,
            "container.network_infos[0].port_mappings: need the name of a network; the host's has \
             none",
        ),
    ] {
        assert_eq!(read(wrong).unwrap_err(), said);
    }
}

/// An ACCEPT that launches these tasks.
fn launch(tasks: &[&str]) -> String {
    let mut all = String::new();
    for task in tasks {
        write!(all, "{}{task}", if all.is_empty() { "" } else { "," }).unwrap();
    }
    format!(
        r#"{{"framework_id":{{"value":"f"}},"type":"ACCEPT","accept":{{"operations":[
            {{"type":"LAUNCH","launch":{{"task_infos":[{all}]}}}}]}}}}"#
    )
}

#[test]
fn one_wrong_task_does_not_refuse_the_others() {
    let scalar =
        |value: &str| format!(r#"{{"name":"cpus","type":"SCALAR","scalar":{{"value":{value}}}}}"#);
    let good = task(&format!(r#""resources":[{}]"#, scalar("1")));
    for (wrong, said) in [
        (
            task(&format!(r#""resources":[{}]"#, scalar("-1"))),
            "resources[0].scalar.value: must be a number from 0 to 1000000000000, is -1",
        ),
        (
            task(r#""kill_policy":{"grace_period":{"nanoseconds":-5}}"#),
            "kill_policy.grace_period.nanoseconds: must not be negative, is -5",
        ),
        (
            task(r#""max_completion_time":{"nanoseconds":-5}"#),
            "max_completion_time.nanoseconds: must not be negative, is -5",
        ),
        (
            task(r#""executor":{"executor_id":{"value":"a/b"}}"#),
            "executor.executor_id.value: ExecutorID must not contain '/'",
        ),
    ] {
        let call: Call =
            Wire::decode(launch(&[&wrong, &good]).as_bytes(), Encoding::Json, &Limits::DEFAULT)
                .unwrap();
        let CallBody::Accept { operations, .. } = call.body else { panic!("{call:?}") };
        let [Operation::Launch(tasks), Operation::Unreadable(unreadable)] = &operations[..] else {
            panic!("{operations:?}")
        };
        assert_eq!((tasks.len(), tasks[0].resources.cpus()), (1, 1000));
        assert_eq!(unreadable.len(), 1);
        assert_eq!((unreadable[0].task_id.as_str(), &*unreadable[0].problem), ("t", said));
        assert_eq!(unreadable[0].agent_id.as_ref().unwrap().as_str(), "a");
    }
}

#[test]
fn a_task_without_a_readable_id_refuses_the_call_for_nothing_could_answer_for_it() {
    let task = r#"{"name":"t","task_id":{"value":"a/b"},"agent_id":{"value":"a"}}"#;
    assert_eq!(
        problem::<Call>(&launch(&[task])),
        "accept.operations[0].launch.task_infos[0].task_id.value: TaskID must not contain '/'"
    );
}

/// Found by fuzzing: the way past the general one must not take what that refuses.
#[test]
fn a_decline_of_nobody() {
    let bytes = [16, 4, 42, 11, 18, 9, 9, 246, 40, 92, 143, 2, 60, 160, 64];
    let refused = Call::decode(&bytes, Encoding::Protobuf, &Limits::DEFAULT).unwrap_err();
    assert_eq!(refused.to_string(), "Missing required fields: framework_id");
}
