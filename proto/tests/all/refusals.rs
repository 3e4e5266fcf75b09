//! What is refused, and how it is said: the path of the field and the problem.

use proto::scheduler::{Call, CallBody, Event};
use proto::{AgentInfo, Encoding, FrameworkInfo, Limits, TaskInfo, Wire, agent_api, executor};

/// What is said of a text that is refused.
pub(crate) fn problem<T: Wire>(text: &str) -> String {
    match T::decode(text.as_bytes(), Encoding::Json, &Limits::DEFAULT) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

/// A task of which there is also that.
pub(crate) fn task(rest: &str) -> String {
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
