//! Rules that real clients of Mesos depend on, one test each. The numbers are those of the list
//! in docs/protocol.md.

use proto::scheduler::{Call, CallBody, Event, MasterInfo};
use proto::{
    AgentId, Capability, DecodeError, Encoding, FrameworkId, Limits, MasterId, Operation, Source,
    StatusUuid, TaskId, TaskInfo, TaskState, TaskStatus, Time, Wire, recordio,
};
use std::time::Duration;

fn json<T: Wire>(text: &str) -> Result<T, DecodeError> {
    T::decode(text.as_bytes(), Encoding::Json, &Limits::DEFAULT)
}

fn text(value: &impl Wire) -> String {
    String::from_utf8(value.encode(Encoding::Json).to_vec()).unwrap()
}

#[test]
fn k1_json_is_one_line_of_ascii() {
    let event = Event::Error("höhe\n\u{1f600}\u{7f}\u{0}".into());
    let expected = r#"{"type":"ERROR","error":{"message":"h\u00f6he\n\ud83d\ude00\u007f\u0000"}}"#;
    assert_eq!(text(&event), expected);
    assert_eq!(json::<Event>(expected).unwrap(), event);
}

#[test]
fn k2_records_are_a_length_a_line_feed_and_bytes() {
    let heartbeat = recordio::encode(&Event::Heartbeat.encode(Encoding::Json));
    assert_eq!(&heartbeat[..], b"20\n{\"type\":\"HEARTBEAT\"}");
}

#[test]
fn k4_numbers_and_booleans_may_be_strings() {
    let call: Call = json(
        r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n",
            "failover_timeout":"100","checkpoint":"true"}}}"#,
    )
    .unwrap();
    let CallBody::Subscribe(subscribe) = call.body else { panic!("{call:?}") };
    assert_eq!(subscribe.framework_info.failover_timeout, Duration::from_secs(100));
    assert!(subscribe.framework_info.checkpoint);
}

#[test]
fn k4_infinity_is_a_limit_and_no_amount() {
    let task: TaskInfo = json(
        r#"{"name":"t","task_id":{"value":"t"},"agent_id":{"value":"a"},
            "limits":{"mem":{"value":"Infinity"},"cpus":{"value":"1.5"}}}"#,
    )
    .unwrap();
    assert_eq!(task.limits["mem"], None);
    assert_eq!(task.limits["cpus"], Some(1500));
    let error = json::<TaskInfo>(
        r#"{"name":"t","task_id":{"value":"t"},"agent_id":{"value":"a"},
            "resources":[{"name":"mem","type":"SCALAR","scalar":{"value":"Infinity"}}]}"#,
    );
    let error = error.unwrap_err();
    assert_eq!(error.field, "resources[0].scalar.value");
}

#[test]
fn k4_what_is_unknown_is_ignored() {
    let call: Call = json(
        r#"{"framework_id":{"value":"f","x":[1,{"y":null}]},"type":"REVIVE","frameworkId":7,
            "revive":{"roles":[]},"zzz":"é"}"#,
    )
    .unwrap();
    assert_eq!(call.body, CallBody::Revive { roles: vec![] });
    // An unknown value of an optional enum is as if it were absent; of a required one an error.
    let status: TaskStatus = json(
        r#"{"task_id":{"value":"t"},"state":"TASK_RUNNING","reason":"REASON_OF_THE_FUTURE",
            "source":"SOURCE_MASTER"}"#,
    )
    .unwrap();
    assert_eq!(status.reason, None);
    let error = json::<TaskStatus>(r#"{"task_id":{"value":"t"},"state":"TASK_OF_THE_FUTURE"}"#);
    assert_eq!(error.unwrap_err().field, "state");
}

#[test]
fn k4_null_is_absence() {
    let call: Call = json(
        r#"{"framework_id":{"value":"f"},"type":"KILL","kill":{"task_id":{"value":"t"},
            "agent_id":null,"kill_policy":null}}"#,
    )
    .unwrap();
    let task_id = TaskId::new("t").unwrap();
    assert_eq!(call.body, CallBody::Kill { task_id, agent_id: None, grace: None });
}

#[test]
fn k4_a_bare_value_is_a_list_of_one() {
    let call: Call =
        json(r#"{"framework_id":{"value":"f"},"type":"SUPPRESS","suppress":{"roles":"a/b"}}"#)
            .unwrap();
    let CallBody::Suppress { roles } = call.body else { panic!("{call:?}") };
    assert_eq!(roles.iter().map(|r| r.as_str()).collect::<Vec<_>>(), ["a/b"]);
}

#[test]
fn k4_missing_required_fields_are_named() {
    for (call, missing) in [
        (
            r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"name":"n"}}}"#,
            "subscribe.framework_info.user",
        ),
        (r#"{"type":"SUBSCRIBE","subscribe":{}}"#, "subscribe.framework_info"),
        (r#"{"type":"SUBSCRIBE"}"#, "subscribe"),
        (r#"{"type":"TEARDOWN"}"#, "framework_id"),
        (r#"{"framework_id":{},"type":"TEARDOWN"}"#, "framework_id.value"),
        (r#"{"framework_id":{"value":"f"}}"#, "type"),
        (
            r#"{"framework_id":{"value":"f"},"type":"ACCEPT","accept":{"operations":[{"type":"LAUNCH",
            "launch":{"task_infos":[{"name":"t","task_id":{"value":"t"}}]}}]}}"#,
            "accept.operations[0].launch.task_infos[0].agent_id",
        ),
        (
            r#"{"framework_id":{"value":"f"},"type":"ACCEPT","accept":{"operations":[{"type":"LAUNCH",
            "launch":{"task_infos":[{"name":"t","task_id":{"value":"t"},"agent_id":{"value":"a"},
            "command":{"uris":[{}]}}]}}]}}"#,
            "accept.operations[0].launch.task_infos[0].command.uris[0].value",
        ),
    ] {
        let error = json::<Call>(call).unwrap_err();
        assert_eq!(error.to_string(), format!("Missing required fields: {missing}"), "{call}");
    }
}

#[test]
fn k11_subscribed_says_the_heartbeat_interval() {
    let event = Event::Subscribed {
        framework_id: FrameworkId::new("m-0000").unwrap(),
        heartbeat_interval: Duration::from_secs(15),
        master: MasterInfo {
            id: MasterId::new("m").unwrap(),
            hostname: "127.0.0.1".into(),
            ip: u32::from_le_bytes([127, 0, 0, 1]),
            port: 5050,
            version: "1.11.0".into(),
        },
    };
    let expected = concat!(
        r#"{"type":"SUBSCRIBED","subscribed":{"framework_id":{"value":"m-0000"},"#,
        r#""heartbeat_interval_seconds":15.0,"master_info":{"id":"m","ip":16777343,"port":5050,"#,
        r#""pid":"master@127.0.0.1:5050","hostname":"127.0.0.1","version":"1.11.0","#,
        r#""address":{"hostname":"127.0.0.1","ip":"127.0.0.1","port":5050}}}}"#,
    );
    assert_eq!(text(&event), expected);
}

#[test]
fn k12_uuids_are_base64_of_sixteen_bytes() {
    let mut status = TaskStatus::new(
        TaskId::new("t").unwrap(),
        TaskState::Running,
        Source::Executor,
        Time::from_millis(1_500),
    );
    assert!(!text(&status).contains("uuid"));
    status.uuid = Some(StatusUuid(*b"0123456789abcdef"));
    assert!(text(&status).contains(r#""uuid":"MDEyMzQ1Njc4OWFiY2RlZg==""#));
    let acknowledge = |uuid: &str| {
        json::<Call>(&format!(
            r#"{{"framework_id":{{"value":"f"}},"type":"ACKNOWLEDGE","acknowledge":{{
                "agent_id":{{"value":"a"}},"task_id":{{"value":"t"}},"uuid":"{uuid}"}}}}"#
        ))
    };
    let expected = CallBody::Acknowledge {
        agent_id: AgentId::new("a").unwrap(),
        task_id: TaskId::new("t").unwrap(),
        uuid: StatusUuid(*b"0123456789abcdef"),
    };
    assert_eq!(acknowledge("MDEyMzQ1Njc4OWFiY2RlZg==").unwrap().body, expected);
    let error = acknowledge("MDEyMw==").unwrap_err();
    assert_eq!(error.to_string(), "acknowledge.uuid: UUID must have 16 bytes, has 4");
}

#[test]
fn k14_amounts_may_be_whole_or_broken_and_executors_may_be_bare() {
    let call: Call = json(
        r#"{"framework_id":{"value":"f"},"type":"ACCEPT","accept":{"offer_ids":[{"value":"o"}],
            "operations":[{"type":"LAUNCH","launch":{"task_infos":[{"name":"t",
            "task_id":{"value":"t"},"agent_id":{"value":"a"},
            "resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":1}},
                         {"name":"mem","type":"SCALAR","scalar":{"value":61.03515625}}],
            "executor":{"executor_id":{"value":"e"},"command":{"value":"./run"}}}]}}]}}"#,
    )
    .unwrap();
    let CallBody::Accept { operations, .. } = call.body else { panic!("{call:?}") };
    let [Operation::Launch(tasks)] = &operations[..] else { panic!("{operations:?}") };
    assert_eq!((tasks[0].resources.cpus(), tasks[0].resources.mem()), (1000, 61_035));
    let executor = tasks[0].executor.as_ref().unwrap();
    assert_eq!(executor.framework_id, None);
    assert!(!tasks[0].payload.has_command);
}

#[test]
fn k15_pymesos_subscribes() {
    // As pymesos 0.3.15 sends it.
    let call: Call = json(
        r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"root","name":"test",
            "hostname":"h","failover_timeout":100,"checkpoint":true,
            "capabilities":[{"type":"GPU_RESOURCES"}]}}}"#,
    )
    .unwrap();
    let CallBody::Subscribe(subscribe) = call.body else { panic!("{call:?}") };
    let info = &subscribe.framework_info;
    assert!(info.capabilities.has(Capability::GpuResources));
    assert_eq!(info.failover_timeout, Duration::from_secs(100));
    assert!(info.single_role && info.roles.len() == 1);
}
