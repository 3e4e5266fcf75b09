//! One exchange between a framework and a master, letter by letter: spelling and forms of values
//! are what other implementations read and write.

use proto::scheduler::{Call, CallBody, Event};
use proto::{
    AgentId, Attribute, Capabilities, Capability, CommandInfo, ContainerId, Encoding, ExecutorId,
    Filters, FrameworkId, Limits, Offer, OfferId, Operation, Piece, Ranges, ResourceName,
    Resources, Role, Source, StatusUuid, TaskBody, TaskId, TaskInfo, TaskPayload, TaskState,
    TaskStatus, Time, Value, Wire, agent_api, executor, operator,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Reads `text`; what was read is written as `written`, which is read and written as itself.
fn golden<T: Wire>(text: &str, written: &str) -> T {
    let value = T::decode(text.as_bytes(), Encoding::Json, &Limits::DEFAULT).unwrap();
    let out = String::from_utf8(value.encode(Encoding::Json).to_vec()).unwrap();
    assert_eq!(out, written);
    let again = T::decode(out.as_bytes(), Encoding::Json, &Limits::DEFAULT).unwrap();
    assert_eq!(again.encode(Encoding::Json), out);
    value
}

fn same<T: Wire>(text: &str) -> T {
    golden(text, text)
}

fn framework_id() -> FrameworkId {
    FrameworkId::new("M-0000").unwrap()
}

fn agent_id() -> AgentId {
    AgentId::new("M-S0").unwrap()
}

fn task_id() -> TaskId {
    TaskId::new("t1").unwrap()
}

#[test]
fn subscribe() {
    let call: Call = golden(
        r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n",
            "roles":["eng/prod"],"failover_timeout":604800.0,"checkpoint":true,
            "capabilities":[{"type":"MULTI_ROLE"},{"type":"PARTITION_AWARE"}]},
            "suppressed_roles":[]}}"#,
        concat!(
            r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n","#,
            r#""failover_timeout":604800.0,"checkpoint":true,"#,
            r#""capabilities":[{"type":"PARTITION_AWARE"},{"type":"MULTI_ROLE"}],"#,
            r#""roles":["eng/prod"]}}}"#,
        ),
    );
    let CallBody::Subscribe(subscribe) = call.body else { panic!("{call:?}") };
    let info = subscribe.framework_info;
    assert!(info.is_partition_aware() && !info.single_role && info.checkpoint);
    assert_eq!(info.failover_timeout, Duration::from_secs(604_800));
    assert_eq!(info.roles.first().unwrap().as_str(), "eng/prod");
}

/// An offer as a framework with MULTI_ROLE and RESERVATION_REFINEMENT gets it.
const OFFERS: &str = concat!(
    r#"{"type":"OFFERS","offers":{"offers":[{"id":{"value":"M-O0"},"#,
    r#""framework_id":{"value":"M-0000"},"agent_id":{"value":"M-S0"},"hostname":"h","resources":["#,
    r#"{"name":"cpus","type":"SCALAR","scalar":{"value":4.0},"#,
    r#""allocation_info":{"role":"eng/prod"}},"#,
    r#"{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":31000,"end":32000}]},"#,
    r#""allocation_info":{"role":"eng/prod"}}],"#,
    r#""attributes":[{"name":"zone","type":"TEXT","text":{"value":"a"}}],"#,
    r#""url":{"scheme":"http","address":{"hostname":"h","port":5051},"path":"/slave(1)"},"#,
    r#""allocation_info":{"role":"eng/prod"}}]}}"#,
);

fn offer() -> Offer {
    let mut resources = Resources::scalars([("cpus", 4000)]);
    resources.add_piece(Piece {
        name: ResourceName::new("ports"),
        flavor: proto::Flavor::default(),
        value: Value::Ranges(Ranges::new([(31_000, 32_000)])),
    });
    Offer {
        id: OfferId::new("M-O0").unwrap(),
        framework_id: framework_id(),
        agent_id: agent_id(),
        hostname: "h".into(),
        port: 5051,
        role: Role::new("eng/prod").unwrap(),
        resources,
        attributes: vec![Attribute::text("zone", "a")].into(),
        domain: None,
        executor_ids: vec![],
        unavailability: None,
    }
}

#[test]
fn offers() {
    assert_eq!(same::<Event>(OFFERS), Event::Offers(vec![offer()]));
}

#[test]
fn offers_are_told_as_the_framework_understands_them() {
    let both = [Capability::MultiRole, Capability::ReservationRefinement];
    let offers = Event::Offers(vec![offer()]);
    let text = |capabilities: &[Capability]| {
        let capabilities = Capabilities::from_iter(capabilities.iter().copied());
        let bytes = offers.encode_for(capabilities, Encoding::Json);
        String::from_utf8(bytes.to_vec()).unwrap()
    };
    assert_eq!(text(&both), OFFERS);
    let old = text(&[]);
    assert!(!old.contains("allocation_info"), "{old}");
    assert!(old.contains(r#"{"name":"cpus","type":"SCALAR","scalar":{"value":4.0},"role":"*"}"#));
    // What an old client copies from an offer into a task means the same.
    let decoded = Event::decode(old.as_bytes(), Encoding::Json, &Limits::DEFAULT).unwrap();
    let Event::Offers(decoded) = decoded else { panic!("{decoded:?}") };
    assert_eq!(decoded[0].resources, offer().resources);
}

#[test]
fn accept() {
    let call: Call = golden(
        r#"{"framework_id":{"value":"M-0000"},"type":"ACCEPT","accept":{
            "offer_ids":[{"value":"M-O0"}],"operations":[{"type":"LAUNCH","launch":{
            "task_infos":[{"name":"t","task_id":{"value":"t1"},"agent_id":{"value":"M-S0"},
            "resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":1.0},
            "allocation_info":{"role":"eng/prod"}}],"command":{"value":"sleep 100"}}]}}],
            "filters":{"refuse_seconds":5.0}}}"#,
        concat!(
            r#"{"framework_id":{"value":"M-0000"},"type":"ACCEPT","accept":{"#,
            r#""offer_ids":[{"value":"M-O0"}],"operations":[{"type":"LAUNCH","launch":{"#,
            r#""task_infos":[{"name":"t","task_id":{"value":"t1"},"agent_id":{"value":"M-S0"},"#,
            r#""resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":1.0},"#,
            r#""allocation_info":{"role":"eng/prod"}}],"#,
            r#""command":{"value":"sleep 100","shell":true}}]}}],"#,
            r#""filters":{"refuse_seconds":5.0}}}"#,
        ),
    );
    let command =
        CommandInfo { shell: true, value: Some("sleep 100".into()), ..CommandInfo::default() };
    let body = TaskBody { command: Some(command), ..TaskBody::default() };
    let CallBody::Accept { operations, filters, .. } = call.body else { panic!("{call:?}") };
    assert_eq!(filters, Filters::DEFAULT);
    let [Operation::Launch(tasks)] = &operations[..] else { panic!("{operations:?}") };
    assert_eq!(tasks[0].payload.open().unwrap(), body);
    // The payload is what came; `shell` was not said, and so it still is not.
    let expected = TaskInfo {
        name: "t".into(),
        task_id: task_id(),
        agent_id: agent_id(),
        resources: Resources::scalars([("cpus", 1000)]),
        allocation_role: Some(Role::new("eng/prod").unwrap()),
        limits: BTreeMap::new(),
        executor: None,
        kill_grace: None,
        max_completion_time: None,
        payload: tasks[0].payload.clone(),
    };
    assert_eq!(tasks[0], expected);
    assert_eq!(TaskPayload::new(&body).bytes.len(), expected.payload.bytes.len() + 2);
}

#[test]
fn update() {
    let event: Event = same(concat!(
        r#"{"type":"UPDATE","update":{"status":{"task_id":{"value":"t1"},"state":"TASK_RUNNING","#,
        r#""agent_id":{"value":"M-S0"},"timestamp":1470820172.07321,"executor_id":{"value":"t1"},"#,
        r#""source":"SOURCE_EXECUTOR","uuid":"AAECAwQFBgcICQoLDA0ODw==","#,
        r#""container_status":{"network_infos":[{"ip_addresses":[{"protocol":"IPv4","#,
        r#""ip_address":"10.0.0.7"}]}],"container_id":{"value":"c"}}}}}"#,
    ));
    let expected = TaskStatus {
        agent_id: Some(agent_id()),
        executor_id: Some(ExecutorId::new("t1").unwrap()),
        uuid: Some(StatusUuid([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])),
        container_id: Some(ContainerId::new("c").unwrap()),
        address: Some([10, 0, 0, 7].into()),
        ..TaskStatus::new(
            task_id(),
            TaskState::Running,
            Source::Executor,
            Time::from_nanos(1_470_820_172_073_210_000),
        )
    };
    assert_eq!(event, Event::Update(expected));
}

#[test]
fn calls_about_a_task() {
    let acknowledge: Call = same(concat!(
        r#"{"framework_id":{"value":"M-0000"},"type":"ACKNOWLEDGE","acknowledge":{"#,
        r#""agent_id":{"value":"M-S0"},"task_id":{"value":"t1"},"#,
        r#""uuid":"AAECAwQFBgcICQoLDA0ODw=="}}"#,
    ));
    assert_eq!(acknowledge.framework_id, Some(framework_id()));
    let kill: Call = same(concat!(
        r#"{"framework_id":{"value":"M-0000"},"type":"KILL","kill":{"task_id":{"value":"t1"},"#,
        r#""agent_id":{"value":"M-S0"},"#,
        r#""kill_policy":{"grace_period":{"nanoseconds":5000000000}}}}"#,
    ));
    let grace = Some(Duration::from_secs(5));
    let expected = CallBody::Kill { task_id: task_id(), agent_id: Some(agent_id()), grace };
    assert_eq!(kill.body, expected);
    let reconcile: Call = same(concat!(
        r#"{"framework_id":{"value":"M-0000"},"type":"RECONCILE","reconcile":{"tasks":[{"#,
        r#""task_id":{"value":"t1"},"agent_id":{"value":"M-S0"}}]}}"#,
    ));
    let expected = CallBody::Reconcile { tasks: vec![(task_id(), Some(agent_id()))] };
    assert_eq!(reconcile.body, expected);
}

#[test]
fn calls_that_are_not_known_keep_their_name() {
    let call: Call = same(r#"{"framework_id":{"value":"f"},"type":"UNKNOWN"}"#);
    assert_eq!(call.body, CallBody::NotBuilt("UNKNOWN".into()));
    let call: operator::Call = same(r#"{"type":"UNKNOWN"}"#);
    assert_eq!(call, operator::Call::NotBuilt("UNKNOWN".into()));
}

#[test]
fn an_executor_and_its_agent() {
    let update: executor::Call = golden(
        r#"{"executor_id":{"value":"e"},"framework_id":{"value":"M-0000"},"type":"UPDATE","update":{
            "status":{"task_id":{"value":"t1"},"state":"TASK_RUNNING","source":"SOURCE_EXECUTOR",
            "uuid":"AAECAwQFBgcICQoLDA0ODw=="}}}"#,
        concat!(
            r#"{"executor_id":{"value":"e"},"framework_id":{"value":"M-0000"},"type":"UPDATE","#,
            r#""update":{"status":{"task_id":{"value":"t1"},"state":"TASK_RUNNING","#,
            r#""timestamp":0.0,"source":"SOURCE_EXECUTOR","uuid":"AAECAwQFBgcICQoLDA0ODw=="}}}"#,
        ),
    );
    let executor::CallBody::Update(update) = update.body else { panic!("{update:?}") };
    assert_eq!(update.uuid(), StatusUuid([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]));
    let subscribe: executor::Call = golden(
        r#"{"executor_id":{"value":"e"},"framework_id":{"value":"M-0000"},"type":"SUBSCRIBE"}"#,
        concat!(
            r#"{"executor_id":{"value":"e"},"framework_id":{"value":"M-0000"},"#,
            r#""type":"SUBSCRIBE","subscribe":{}}"#,
        ),
    );
    assert_eq!(subscribe.body.name(), "SUBSCRIBE");
    let launch = concat!(
        r#"{"type":"LAUNCH_GROUP","launch_group":{"task_group":{"tasks":["#,
        r#"{"name":"n","task_id":{"value":"t1"},"agent_id":{"value":"M-S0"}}]}}}"#,
    );
    let executor::Event::LaunchGroup(tasks) = same(launch) else { panic!("no group") };
    assert_eq!(tasks[0].task_id, task_id());
    assert_eq!(same::<executor::Event>(r#"{"type":"SHUTDOWN"}"#), executor::Event::Shutdown);
}

#[test]
fn an_agents_own_api() {
    let read = r#"{"type":"READ_FILE","read_file":{"path":"/slave/log","offset":7}}"#;
    let path = "/slave/log".into();
    let wanted = agent_api::Call::ReadFile { path, offset: 7, length: None };
    assert_eq!(same::<agent_api::Call>(read), wanted);
    let containers: agent_api::Call = golden(
        r#"{"type":"GET_CONTAINERS"}"#,
        concat!(
            r#"{"type":"GET_CONTAINERS","get_containers":"#,
            r#"{"show_nested":false,"show_standalone":false}}"#,
        ),
    );
    let wanted = agent_api::Call::GetContainers { show_nested: false, show_standalone: false };
    assert_eq!(containers, wanted);
    let launch = r#"{"type":"LAUNCH_CONTAINER","launch_container":{"container_id":{"value":"c"}}}"#;
    let limits = concat!(
        r#"{"type":"UPDATE_CONTAINER_LIMITS","update_container_limits":{"#,
        r#""container_id":{"value":"c"},"limits":{"cpus":{"value":"Infinity"},"mem":{"value":512.0}}}}"#,
    );
    let path = agent_api::ContainerPath { parent: None, id: ContainerId::new("c").unwrap() };
    let wanted = [("cpus".into(), None), ("mem".into(), Some(512_000))].into();
    assert_eq!(
        same::<agent_api::Call>(limits),
        agent_api::Call::UpdateContainerLimits { container: path, limits: wanted }
    );
    let launch: agent_api::Call = golden(launch, r#"{"type":"LAUNCH_CONTAINER"}"#);
    assert_eq!(launch, agent_api::Call::NotBuilt("LAUNCH_CONTAINER".into()));
    let data = r#"{"type":"READ_FILE","read_file":{"size":9,"data":"aGk="}}"#;
    let wanted = agent_api::Response::FileData { size: 9, data: b"hi"[..].into() };
    assert_eq!(same::<agent_api::Response>(data), wanted);
    let agent = concat!(
        r#"{"type":"GET_AGENT","get_agent":{"agent_info":{"hostname":"h","port":5051},"#,
        r#""drain_config":{"max_grace_period":{"nanoseconds":600000000000},"mark_gone":true}}}"#,
    );
    let agent_api::Response::Agent(agent) = same(agent) else { panic!("no agent") };
    let max_grace = Some(Duration::from_secs(600));
    assert_eq!(agent.drain, Some(agent_api::Drain { max_grace, mark_gone: true }));
}
