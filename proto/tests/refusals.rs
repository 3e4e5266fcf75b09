//! What is refused, and how it is said: the path of the field and the problem.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proto::scheduler::{Call, CallBody, Event};
use proto::{
    AgentInfo, ContainerInfo, ContainerVolume, Encoding, FrameworkInfo, Limits, Operation,
    TaskInfo, VolumeSource, Wire, agent_api, executor,
};
use std::fmt::Write;

fn problem<T: Wire>(text: &str) -> String {
    match T::decode(text.as_bytes(), Encoding::Json, &Limits::DEFAULT) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

fn task(rest: &str) -> String {
    format!(r#"{{"name":"t","task_id":{{"value":"t"}},"agent_id":{{"value":"a"}},{rest}}}"#)
}

fn resource(rest: &str) -> String {
    problem::<TaskInfo>(&task(&format!(r#""resources":[{{{rest}}}]"#)))
}

#[test]
fn amounts() {
    let scalar = |value: &str| {
        resource(&format!(r#""name":"cpus","type":"SCALAR","scalar":{{"value":{value}}}"#))
    };
    let said = "resources[0].scalar.value: must be a number from 0 to 1000000000000, is ";
    assert_eq!(scalar("-1"), format!("{said}-1"));
    assert_eq!(scalar("1e13"), format!("{said}10000000000000"));
    assert_eq!(scalar("-1e300"), format!("{said}-1e300"));
    assert_eq!(scalar("-1e-300"), format!("{said}-1e-300"));
    assert_eq!(scalar("\"-Infinity\""), format!("{said}-inf"));
    assert_eq!(scalar("\"NaN\""), "resources[0].scalar.value: must be a number");
}

#[test]
fn a_sum_of_amounts_is_an_amount() {
    let most = r#"{"name":"cpus","type":"SCALAR","scalar":{"value":1e12}}"#;
    let two = problem::<TaskInfo>(&task(&format!(r#""resources":[{most},{most}]"#)));
    assert_eq!(two, "resources: 'cpus' adds up to more than 1000000000000");
    let one = task(&format!(r#""resources":[{most}]"#));
    assert!(TaskInfo::decode(one.as_bytes(), Encoding::Json, &Limits::DEFAULT).is_ok());
}

#[test]
fn kinds_of_values() {
    assert_eq!(
        resource(r#""name":"","type":"SCALAR","scalar":{"value":1}"#),
        "resources[0].name: must not be empty"
    );
    assert_eq!(
        resource(r#""name":"x","type":"SCALAR""#),
        "Missing required fields: resources[0].scalar"
    );
    assert_eq!(
        resource(r#""name":"x","type":"SET","set":{"item":["a"]},"scalar":{"value":1}"#),
        "resources[0].type: must have a value of its type and of no other"
    );
    assert_eq!(
        resource(r#""name":"x","type":"TEXT""#),
        "resources[0].type: must be SCALAR, RANGES or SET"
    );
    assert_eq!(
        resource(r#""name":"p","type":"RANGES","ranges":{"range":[{"begin":5,"end":4}]}"#),
        "resources[0].ranges.range[0].end: must not be less than 'begin': 4 < 5"
    );
    assert_eq!(
        problem::<TaskInfo>(&task(
            r#""resources":[{"name":"x","type":"SCALAR","scalar":{"value":1}},
                {"name":"x","type":"SET","set":{"item":["a"]}}]"#
        )),
        "resources[1].type: 'x' stands twice with different types of value"
    );
}

#[test]
fn roles() {
    let allocated = |role: &str| {
        format!(
            r#"{{"name":"cpus","type":"SCALAR","scalar":{{"value":1}},
                "allocation_info":{{"role":"{role}"}}}}"#
        )
    };
    let two = format!(r#""resources":[{},{}]"#, allocated("a"), allocated("b"));
    assert_eq!(
        problem::<TaskInfo>(&task(&two)),
        "resources[1].allocation_info.role: 'b' differs from 'a': one role only is allowed"
    );
    let executor = format!(
        r#""resources":[{}],"executor":{{"executor_id":{{"value":"e"}},"resources":[{}]}}"#,
        allocated("a"),
        allocated("b")
    );
    assert_eq!(
        problem::<TaskInfo>(&task(&executor)),
        "executor.resources: 'b' differs from 'a': one role only is allowed"
    );
    let info =
        |rest: &str| problem::<FrameworkInfo>(&format!(r#"{{"user":"u","name":"n",{rest}}}"#));
    assert_eq!(info(r#""role":"a","roles":["b"]"#), "roles: must not stand together with 'role'");
    assert_eq!(info(r#""roles":["b","b"]"#), "roles[1]: 'b' stands twice");
    assert_eq!(
        info(r#""roles":["b","a//b"]"#),
        "roles[1]: role 'a//b' must not have an empty component"
    );
    assert_eq!(
        info(r#""failover_timeout":-1"#),
        "failover_timeout: must be a number of seconds from 0 to 9223372036, is -1"
    );
    assert_eq!(
        info(r#""failover_timeout":1e308"#),
        "failover_timeout: must be a number of seconds from 0 to 9223372036, is 1e308"
    );
}

#[test]
fn ids() {
    let call = r#"{"type":"SUBSCRIBE","framework_id":{"value":"a"},
        "subscribe":{"framework_info":{"user":"u","name":"n","id":{"value":"b"}}}}"#;
    assert_eq!(
        problem::<Call>(call),
        "subscribe.framework_info.id: must be the same as 'framework_id'"
    );
    assert_eq!(
        problem::<TaskInfo>(r#"{"name":"t","task_id":{"value":"a/b"},"agent_id":{"value":"a"}}"#),
        "task_id.value: TaskID must not contain '/'"
    );
    assert_eq!(
        problem::<Event>(r#"{"type":"RESCIND","rescind":{"offer_id":{"value":""}}}"#),
        "rescind.offer_id.value: OfferID must not be empty"
    );
}

#[test]
fn attributes_are_no_sets() {
    assert_eq!(
        problem::<AgentInfo>(
            r#"{"hostname":"h","attributes":[{"name":"x","type":"SET","set":{"item":"a"}}]}"#
        ),
        "attributes[0].type: must be TEXT, SCALAR or RANGES"
    );
}

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
fn reservations_and_disks() {
    let cpus = |rest: &str| {
        resource(&format!(r#""name":"cpus","type":"SCALAR","scalar":{{"value":1}},{rest}"#))
    };
    let disk = |rest: &str| {
        resource(&format!(r#""name":"disk","type":"SCALAR","scalar":{{"value":1}},{rest}"#))
    };
    let stack = |rest: &str| cpus(&format!(r#""reservations":[{rest}]"#));
    let at = "resources[0].reservations";
    assert_eq!(stack(r#"{"type":"DYNAMIC"}"#), format!("Missing required fields: {at}[0].role"));
    assert_eq!(stack(r#"{"role":"a"}"#), format!("{at}[0].type: must be STATIC or DYNAMIC"));
    assert_eq!(
        stack(r#"{"type":"STATIC","role":"a"},{"type":"DYNAMIC","role":"ab"}"#),
        format!("{at}[1].role: 'ab' must be below 'a'")
    );
    assert_eq!(
        stack(r#"{"type":"STATIC","role":"a"},{"type":"STATIC","role":"a/b"}"#),
        format!("{at}[1].type: must be DYNAMIC on top of another")
    );
    assert_eq!(
        cpus(r#""role":"b","reservations":[{"type":"STATIC","role":"a"}]"#),
        "resources[0].role: 'b' differs from the last of 'reservations'"
    );
    assert_eq!(
        cpus(r#""reservation":{"principal":"p"}"#),
        "resources[0].reservation: must stand together with a 'role'"
    );
    assert_eq!(
        cpus(r#""shared":{}"#),
        "resources[0].shared: must be set for persistent volumes only"
    );
    assert_eq!(
        cpus(r#""disk":{"persistence":{"id":"v"}}"#),
        "resources[0].disk: must not be set for 'cpus'"
    );
    assert_eq!(
        disk(r#""disk":{"persistence":{"id":"../x"}}"#),
        "resources[0].disk.persistence.id: Persistence.id must not contain '/'"
    );
    assert_eq!(
        disk(r#""disk":{"source":{"type":"UNKNOWN"}}"#),
        "resources[0].disk.source.type: must be PATH, MOUNT, BLOCK or RAW"
    );
}

#[test]
fn a_framework_that_makes_no_sense_is_told_so_on_its_stream() {
    let subscribe = |info: &str, rest: &str| {
        let call = format!(
            r#"{{"type":"SUBSCRIBE","subscribe":{{"framework_info":{{"user":"u","name":"n"{info}}}
                {rest}}}}}"#
        );
        let call = Call::decode(call.as_bytes(), Encoding::Json, &Limits::DEFAULT).unwrap();
        match call.body {
            CallBody::Unsubscribable(problem) => problem.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        subscribe(r#","role":"a//b""#, ""),
        "framework_info.role: role 'a//b' must not have an empty component"
    );
    assert_eq!(
        subscribe(r#","role":"a","roles":["b"]"#, ""),
        "framework_info.roles: must not stand together with 'role'"
    );
    assert_eq!(
        subscribe(r#","failover_timeout":-1"#, ""),
        "framework_info.failover_timeout: must be a number of seconds from 0 to 9223372036, is -1"
    );
    assert_eq!(
        subscribe("", r#","suppressed_roles":["."]"#),
        "suppressed_roles[0]: role '.' must not have the component '.'"
    );
    let constraints = |role: &str| {
        subscribe("", &format!(r#","offer_constraints":{{"role_constraints":{{{role}}}}}"#))
    };
    let at = "offer_constraints.role_constraints['r']";
    assert_eq!(constraints(r#""r":{}"#), format!("{at}.groups: must not be empty"));
    assert_eq!(
        constraints(r#""r":{"groups":[{}]}"#),
        format!("{at}.groups[0].attribute_constraints: must not be empty")
    );
    let one = |selector: &str, predicate: &str| {
        constraints(&format!(
            r#""r":{{"groups":[{{"attribute_constraints":[
                {{"selector":{selector},"predicate":{predicate}}}]}}]}}"#
        ))
    };
    let at = format!("{at}.groups[0].attribute_constraints[0]");
    assert_eq!(
        one("{}", r#"{"exists":{}}"#),
        format!("{at}.selector: must have 'pseudoattribute_type' or 'attribute_name'")
    );
    assert_eq!(
        one(r#"{"pseudoattribute_type":"UNKNOWN"}"#, r#"{"exists":{}}"#),
        format!("{at}.selector.pseudoattribute_type: must be HOSTNAME, REGION or ZONE")
    );
    assert_eq!(
        one(r#"{"attribute_name":"a"}"#, "{}"),
        format!("{at}.predicate: must have one of the predicates that are known here")
    );
    // What the envelope says is another matter.
    assert_eq!(problem::<Call>(r#"{"type":"SUBSCRIBE"}"#), "Missing required fields: subscribe");
    assert_eq!(
        problem::<Call>(r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"name":"n"}}}"#),
        "Missing required fields: subscribe.framework_info.user"
    );
    let wrong_id = r#"{"type":"SUBSCRIBE","framework_id":{"value":"a/b"},
        "subscribe":{"framework_info":{"user":"u","name":"n","id":{"value":"a/b"}}}}"#;
    let call = Call::decode(wrong_id.as_bytes(), Encoding::Json, &Limits::DEFAULT).unwrap();
    let problem = "framework_id.value: FrameworkID must not contain '/'".into();
    assert_eq!(call.body, CallBody::Unsubscribable(problem));
}

#[test]
fn writes_of_operators() {
    use proto::operator::Call;
    let quota = |rest: &str| {
        problem::<Call>(&format!(
            r#"{{"type":"UPDATE_QUOTA","update_quota":{{"quota_configs":[{rest}]}}}}"#
        ))
    };
    let at = "update_quota.quota_configs";
    assert_eq!(quota(r#"{"role":"a"},{"role":"a"}"#), format!("{at}[1].role: 'a' stands twice"));
    assert_eq!(
        quota(r#"{"role":"a","limits":{"cpus":{"value":-1}}}"#),
        format!("{at}[0].limits['cpus'].value: must be a number from 0 to 1000000000000, is -1")
    );
    assert_eq!(
        problem::<Call>(
            r#"{"type":"UPDATE_WEIGHTS","update_weights":{"weight_infos":[
                {"role":"a","weight":0}]}}"#
        ),
        "update_weights.weight_infos[0].weight: must be at least 0.001"
    );
    assert_eq!(
        problem::<Call>(r#"{"type":"START_MAINTENANCE","start_maintenance":{"machines":[{}]}}"#),
        "start_maintenance.machines[0]: must have a 'hostname' or an 'ip'"
    );
    assert_eq!(
        problem::<Call>(
            r#"{"type":"DRAIN_AGENT","drain_agent":{"agent_id":{"value":"S0"},
                "max_grace_period":{"seconds":-1}}}"#
        ),
        "drain_agent.max_grace_period: must not be negative, is -1 s and 0 ns"
    );
    assert_eq!(
        problem::<Call>(r#"{"type":"EXPLAIN","explain":{}}"#),
        "explain: must have a 'framework_id' or a 'role'"
    );
    assert_eq!(
        problem::<Call>(
            r#"{"type":"GROW_VOLUME","grow_volume":{
                "volume":{"name":"disk","type":"SCALAR","scalar":{"value":1}},
                "addition":{"name":"disk","type":"SCALAR","scalar":{"value":1}}}}"#
        ),
        "Missing required fields: grow_volume.agent_id"
    );
}

#[test]
fn payloads_say_what_they_ask_for() {
    let flags = |rest: &str| {
        let text = task(rest);
        let task = TaskInfo::decode(text.as_bytes(), Encoding::Json, &Limits::DEFAULT).unwrap();
        let payload = task.payload;
        (payload.has_command, payload.has_container, payload.has_check)
    };
    assert_eq!(flags(r#""labels":{"labels":[]}"#), (false, false, false));
    assert_eq!(flags(r#""command":{}"#), (true, false, false));
    assert_eq!(flags(r#""container":{"type":"DOCKER"}"#), (false, true, false));
    let limits = r#""container":{"type":"MESOS","rlimit_info":{"rlimits":[]}}"#;
    assert_eq!(flags(limits), (false, false, false));
    assert_eq!(flags(r#""container":{"type":"MESOS","hostname":"h"}"#), (false, false, false));
    let networks = r#""container":{"type":"MESOS","network_infos":[{"name":"n"}]}"#;
    assert_eq!(flags(networks), (false, true, false));
    assert_eq!(flags(r#""check":{"type":"TCP"}"#), (false, false, true));
    assert_eq!(flags(r#""health_check":{}"#), (false, false, true));
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
    };
    assert_eq!(task.payload.open().unwrap().container, Some(wanted));
}

#[test]
fn limits_are_kept_in_protobuf_too() {
    let limits = Limits { list_items: 3, name_bytes: 5, text_bytes: 8, ..Limits::DEFAULT };
    let info = |edit: &dyn Fn(&mut FrameworkInfo)| {
        let mut info = FrameworkInfo::new("u", "n");
        edit(&mut info);
        let bytes = info.encode(Encoding::Protobuf);
        FrameworkInfo::decode(&bytes, Encoding::Protobuf, &limits).unwrap_err().to_string()
    };
    assert_eq!(info(&|i| i.user = "123456789".into()), "user: has 9 bytes, at most 8 are allowed");
    assert_eq!(
        info(&|i| i.labels = vec![("k".into(), None); 4]),
        "labels.labels: has more than 3 elements"
    );
    let role = proto::Role::new("123456").unwrap();
    assert_eq!(
        info(&|i| i.roles = [role.clone()].into()),
        "role: has 6 bytes, at most 5 are allowed"
    );
    // A container in a container in a container.
    let mut nested = vec![0x0a, 1, b'c'];
    for _ in 0..200 {
        let mut outer = vec![0x0a, 1, b'c', 0x12];
        prost::encoding::encode_varint(nested.len() as u64, &mut outer);
        outer.extend(nested);
        nested = outer;
    }
    let mut status = vec![0x0a, 3, 0x0a, 1, b't', 0x10, 1, 0x6a];
    let mut container = vec![0x22];
    prost::encoding::encode_varint(nested.len() as u64, &mut container);
    container.extend(nested);
    prost::encoding::encode_varint(container.len() as u64, &mut status);
    status.extend(container);
    let error = proto::TaskStatus::decode(&status, Encoding::Protobuf, &Limits::DEFAULT);
    assert_eq!(error.unwrap_err().problem, "is nested deeper than 64 levels");
}

#[test]
fn updates_of_executors() {
    let update = |rest: &str| {
        problem::<executor::Call>(&format!(
            r#"{{"executor_id":{{"value":"e"}},"framework_id":{{"value":"f"}},"type":"UPDATE",
                "update":{{"status":{{"task_id":{{"value":"t"}},{rest}}}}}}}"#
        ))
    };
    let uuid = r#""uuid":"AAECAwQFBgcICQoLDA0ODw==""#;
    assert_eq!(
        update(r#""state":"TASK_RUNNING","source":"SOURCE_EXECUTOR""#),
        "update.status: TaskStatus must have a 'uuid'"
    );
    assert_eq!(
        update(&format!(r#""state":"TASK_RUNNING","source":"SOURCE_AGENT",{uuid}"#)),
        "update.status: TaskStatus must have the source SOURCE_EXECUTOR"
    );
    assert_eq!(
        update(&format!(r#""state":"TASK_STAGING",{uuid}"#)),
        "update.status: TaskStatus must not be TASK_STAGING"
    );
    assert_eq!(
        update(&format!(r#""state":"TASK_RUNNING","executor_id":{{"value":"other"}},{uuid}"#)),
        "update.status.executor_id: must be the same as 'executor_id'"
    );
    assert_eq!(
        update(r#""state":"TASK_RUNNING","uuid":"AAEC""#),
        "update.status.uuid: UUID must have 16 bytes, has 3"
    );
    assert_eq!(
        problem::<agent_api::Response>(
            r#"{"type":"GET_AGENT","get_agent":{"agent_info":{"hostname":"h"},
                "drain_config":{"max_grace_period":{"nanoseconds":-1}}}}"#
        ),
        "get_agent.drain_config.max_grace_period.nanoseconds: must not be negative, is -1"
    );
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

#[test]
fn volumes_of_an_agent() {
    let volumes = |rest: &str| {
        let volume = format!(r#"{{"name":"disk","type":"SCALAR","scalar":{{"value":64}},{rest}}}"#);
        problem::<proto::agent_link::AgentEvent>(&format!(
            r#"{{"volumes":{{"sequence":1,"destroyed":[{volume}]}}}}"#
        ))
    };
    let persistence = |id: &str| format!(r#""disk":{{"persistence":{{"id":"{id}"}}}}"#);
    assert_eq!(
        volumes(r#""role":"a""#),
        "Missing required fields: volumes.destroyed[0].disk.persistence"
    );
    assert_eq!(
        volumes(&persistence("v")),
        "Missing required fields: volumes.destroyed[0].reservations"
    );
    assert_eq!(
        volumes(&format!(r#""role":"a",{}"#, persistence("../v"))),
        "volumes.destroyed[0].disk.persistence.id: Persistence.id must not contain '/'"
    );
    assert_eq!(
        volumes(&format!(r#""role":"..",{}"#, persistence("v"))),
        "volumes.destroyed[0].role: role '..' must not have the component '..'"
    );
    assert_eq!(
        problem::<proto::agent_link::AgentCall>(
            r#"{"volumes_applied":{"sequence":1,"failures":[{"role":"a","volume_id":"v"}]}}"#
        ),
        "Missing required fields: volumes_applied.failures[0].message"
    );
}

/// Found by fuzzing: the way past the general one must not take what that refuses.
#[test]
fn a_decline_of_nobody() {
    let bytes = [16, 4, 42, 11, 18, 9, 9, 246, 40, 92, 143, 2, 60, 160, 64];
    let refused = Call::decode(&bytes, Encoding::Protobuf, &Limits::DEFAULT).unwrap_err();
    assert_eq!(refused.to_string(), "Missing required fields: framework_id");
}
