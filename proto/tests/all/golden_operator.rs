//! Calls, answers and events of the operator API, letter by letter, and the newer half of the
//! scheduler API: what other implementations read and write.

use proto::operator::{
    AgentStanding, Call, CutOff, Event, GoneAgent, MasterView, Masters, Response, Resume,
    StreamEvent,
};
use proto::scheduler::{self, CallBody};
use proto::{
    AgentId, Capabilities, Encoding, FrameworkId, Limits, OfferId, Operation, OperationState,
    Predicate, Quantities, Reservation, ReservationKind, ResourceChange, ResourceName, Role,
    Selector, TaskInfo, Time, Wire,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Reads `text`, which is written as `written` and read again as the same.
fn golden<T: Wire + PartialEq + std::fmt::Debug>(text: &str, written: &str) -> T {
    let value = T::decode(text.as_bytes(), Encoding::Json, &Limits::DEFAULT).unwrap();
    let bytes = value.encode(Encoding::Json);
    assert_eq!(std::str::from_utf8(&bytes).unwrap(), written);
    assert_eq!(T::decode(&bytes, Encoding::Json, &Limits::DEFAULT).unwrap(), value);
    let bytes = value.encode(Encoding::Protobuf);
    assert_eq!(T::decode(&bytes, Encoding::Protobuf, &Limits::DEFAULT).unwrap(), value);
    value
}

fn same<T: Wire + PartialEq + std::fmt::Debug>(text: &str) -> T {
    golden(text, text)
}

fn agent_id() -> AgentId {
    AgentId::new("M-S0").unwrap()
}

fn role(name: &str) -> Role {
    Role::new(name).unwrap()
}

fn cpus() -> ResourceName {
    ResourceName::new("cpus")
}

#[test]
fn draining() {
    let call: Call = same(concat!(
        r#"{"type":"DRAIN_AGENT","drain_agent":{"agent_id":{"value":"M-S0"},"#,
        r#""max_grace_period":{"seconds":600,"nanos":0},"mark_gone":false}}"#,
    ));
    let max_grace = Some(Duration::from_secs(600));
    assert_eq!(call, Call::DrainAgent { agent_id: agent_id(), max_grace, mark_gone: false });
    let call: Call = golden(
        r#"{"type":"DRAIN_AGENT","drain_agent":{"agent_id":{"value":"M-S0"}}}"#,
        r#"{"type":"DRAIN_AGENT","drain_agent":{"agent_id":{"value":"M-S0"},"mark_gone":false}}"#,
    );
    assert_eq!(call, Call::DrainAgent { agent_id: agent_id(), max_grace: None, mark_gone: false });
}

#[test]
fn agents_that_have_not_come_back() {
    let agent = |id: &str, more: &str| {
        format!(
            concat!(
                r#"{{"agent_info":{{"hostname":"h","id":{{"value":"{}"}},"port":5051}},"#,
                r#""active":false,"version":"1","registered_time":{{"nanoseconds":1}},"#,
                r#""deactivated":false,"standing":"{}}}"#,
            ),
            id, more
        )
    };
    let unreachable = agent("M-S0", r#"UNREACHABLE","unreachable_time":{"nanoseconds":7}"#);
    let recovered = agent("M-S1", r#"RECOVERED""#);
    let info = r#"{"hostname":"h","id":{"value":"M-S1"},"port":5051}"#;
    let whole = |in_full: &str| {
        format!(
            r#"{{"type":"GET_AGENTS","get_agents":{{"agents":[{unreachable}],"recovered_agents":[{info}]{in_full}}}}}"#
        )
    };
    let text = whole(&format!(r#","recovered_in_full":[{recovered}]"#));
    let Response::Agents(agents) = same(&text) else { panic!("{text}") };
    let seen: Vec<_> = agents.iter().map(|a| (a.standing, a.unreachable, &*a.version)).collect();
    let at = Some(Time::from_nanos(7));
    let (away, back) = (AgentStanding::Unreachable, AgentStanding::Recovered);
    assert_eq!(seen, [(away, at, "1"), (back, None, "1")]);
    // As another master tells them.
    let text = whole("");
    let read = Response::decode(text.as_bytes(), Encoding::Json, &Limits::DEFAULT).unwrap();
    let Response::Agents(read) = read else { panic!("{read:?}") };
    let seen: Vec<_> = read.iter().map(|a| (&a.info, a.standing, &*a.version)).collect();
    assert_eq!(seen, [(&agents[0].info, away, "1"), (&agents[1].info, back, "")]);
}

#[test]
fn gone_agents() {
    let call: Call =
        same(r#"{"type":"FORGET_AGENT","forget_agent":{"agent_id":{"value":"M-S0"}}}"#);
    assert_eq!(call, Call::ForgetAgent(agent_id()));
    let call: Call = same(r#"{"type":"GET_GONE_AGENTS"}"#);
    assert_eq!(call, Call::GetGoneAgents);
    let answer: Response = same(concat!(
        r#"{"type":"GET_GONE_AGENTS","get_gone_agents":{"agents":[{"agent_id":{"value":"M-S0"},"#,
        r#""since":{"nanoseconds":3}}]}}"#,
    ));
    let gone = GoneAgent { agent_id: agent_id(), since: Time::from_nanos(3) };
    assert_eq!(answer, Response::GoneAgents(vec![gone]));
}

#[test]
fn masters() {
    let call: Call =
        same(r#"{"type":"ADD_MASTER","add_master":{"id":7,"address":"10.0.0.2:5050"}}"#);
    assert_eq!(call, Call::AddMaster { id: 7, address: "10.0.0.2:5050".into() });
    let call: Call = same(r#"{"type":"REMOVE_MASTER","remove_master":{"id":7}}"#);
    assert_eq!(call, Call::RemoveMaster(7));
    let call: Call = same(r#"{"type":"TRANSFER_LEAD","transfer_lead":{}}"#);
    assert_eq!(call, Call::TransferLead(None));
    let call: Call = same(r#"{"type":"GET_MASTERS"}"#);
    assert_eq!(call, Call::GetMasters);
    let zero = br#"{"type":"REMOVE_MASTER","remove_master":{"id":0}}"#;
    let error = Call::decode(zero, Encoding::Json, &Limits::DEFAULT).unwrap_err();
    assert!(error.to_string().contains("remove_master.id"), "{error}");
    let answer: Response = same(concat!(
        r#"{"type":"GET_MASTERS","get_masters":{"cluster":"c","term":3,"commit":9,"masters":["#,
        r#"{"id":1,"address":"h:5050","voting":true,"leading":true,"alive":true,"matched":9}]}}"#,
    ));
    let master = MasterView {
        id: 1,
        address: "h:5050".into(),
        voting: true,
        leading: true,
        alive: true,
        matched: Some(9),
    };
    let masters = Masters { cluster: "c".into(), term: 3, commit: 9, masters: vec![master] };
    assert_eq!(answer, Response::Masters(masters));
}

#[test]
fn quota_and_weights() {
    let call: Call = same(concat!(
        r#"{"type":"UPDATE_QUOTA","update_quota":{"force":false,"quota_configs":[{"role":"eng","#,
        r#""guarantees":{"cpus":{"value":10.0}},"limits":{"cpus":{"value":20.0},"#,
        r#""gpus":{"value":0.0}}}]}}"#,
    ));
    let Call::UpdateQuota { force: false, configs } = call else { panic!("{call:?}") };
    let mut guarantees = Quantities::default();
    guarantees.add(&cpus(), 10_000);
    assert_eq!((&configs[0].role, &configs[0].guarantees), (&role("eng"), &guarantees));
    let limits = BTreeMap::from([(cpus(), 20_000), (ResourceName::new("gpus"), 0)]);
    assert_eq!(configs[0].limits, limits);
    let call: Call = golden(
        concat!(
            r#"{"type":"SET_QUOTA","set_quota":{"quota_request":{"role":"eng","guarantee":["#,
            r#"{"name":"cpus","type":"SCALAR","scalar":{"value":10}}]}}}"#
        ),
        concat!(
            r#"{"type":"SET_QUOTA","set_quota":{"quota_request":{"force":false,"role":"eng","#,
            r#""guarantee":[{"name":"cpus","type":"SCALAR","scalar":{"value":10.0}}]}}}"#
        ),
    );
    assert_eq!(call, Call::SetQuota { force: false, role: role("eng"), guarantee: guarantees });
    let call: Call = same(concat!(
        r#"{"type":"UPDATE_WEIGHTS","update_weights":{"weight_infos":["#,
        r#"{"weight":2.5,"role":"eng"}]}}"#,
    ));
    let Call::UpdateWeights(weights) = call else { panic!("{call:?}") };
    assert_eq!((&weights[0].role, weights[0].weight_milli), (&role("eng"), 2500));
    let _: Response = same(concat!(
        r#"{"type":"GET_QUOTA","get_quota":{"status":{"configs":[{"role":"eng","#,
        r#""limits":{"cpus":{"value":1.5}}}]}}}"#,
    ));
}

#[test]
fn maintenance() {
    let call: Call = golden(
        concat!(
            r#"{"type":"UPDATE_MAINTENANCE_SCHEDULE","update_maintenance_schedule":{"schedule":{"#,
            r#""windows":[{"machine_ids":[{"hostname":"Node-1","ip":"10.0.0.1"},{"ip":"10.0.0.2"}"#,
            r#"],"unavailability":{"start":{"nanoseconds":1000},"duration":{"nanoseconds":500}}}"#,
            r#"]}}}"#
        ),
        concat!(
            r#"{"type":"UPDATE_MAINTENANCE_SCHEDULE","update_maintenance_schedule":{"schedule":{"#,
            r#""windows":[{"machine_ids":[{"hostname":"node-1","ip":"10.0.0.1"},{"ip":"10.0.0.2"}"#,
            r#"],"unavailability":{"start":{"nanoseconds":1000},"duration":{"nanoseconds":500}}}"#,
            r#"]}}}"#
        ),
    );
    let Call::UpdateMaintenanceSchedule(schedule) = call else { panic!("{call:?}") };
    let window = &schedule.windows[0];
    assert_eq!(window.machines[0].to_string(), "node-1 (10.0.0.1)");
    assert_eq!(window.unavailability.start, Time::from_nanos(1000));
    let _: Response = same(concat!(
        r#"{"type":"GET_MAINTENANCE_STATUS","get_maintenance_status":{"status":{"#,
        r#""draining_machines":[{"id":{"hostname":"h"},"statuses":[{"status":"DECLINE","#,
        r#""framework_id":{"value":"f"},"timestamp":{"nanoseconds":5}}]}],"#,
        r#""down_machines":[{"ip":"::1"}]}}}"#,
    ));
}

#[test]
fn reservations_in_both_forms() {
    let reserve = |resource: &str| {
        format!(
            concat!(
                r#"{{"type":"RESERVE_RESOURCES","reserve_resources":{{"#,
                r#""agent_id":{{"value":"M-S0"}},"resources":[{{"name":"cpus","type":"SCALAR","#,
                r#""scalar":{{"value":8.0}},{}}}]}}}}"#
            ),
            resource
        )
    };
    let modern = reserve(r#""reservations":[{"principal":"p","role":"eng","type":"DYNAMIC"}]"#);
    let old = reserve(r#""role":"eng","reservation":{"principal":"p"}"#);
    let call: Call = same(&modern);
    assert_eq!(golden::<Call>(&old, &modern), call);
    let Call::ChangeResources { change: ResourceChange::Reserve { resources, .. }, .. } = call
    else {
        panic!("{call:?}")
    };
    let kind = ReservationKind::Dynamic;
    let reservation =
        Reservation { kind, role: role("eng"), principal: Some("p".into()), labels: Vec::new() };
    assert_eq!(resources.pieces()[0].flavor.reservations(), [reservation]);
}

#[test]
fn a_framework_without_refinement_reads_reservations_as_roles() {
    let resource = |rest: &str| {
        format!(r#"{{"name":"cpus","type":"SCALAR","scalar":{{"value":1.0}},{rest}}}"#)
    };
    let offer = |resource: &str| {
        format!(
            concat!(
                r#"{{"type":"OFFERS","offers":{{"offers":[{{"id":{{"value":"o"}},"#,
                r#""framework_id":{{"value":"f"}},"agent_id":{{"value":"a"}},"hostname":"h","#,
                r#""resources":[{}]}}]}}}}"#
            ),
            resource
        )
    };
    for (modern, old) in [
        (r#""reservations":[{"role":"a","type":"STATIC"}]"#, resource(r#""role":"a""#)),
        (
            r#""reservations":[{"principal":"p","role":"a","type":"DYNAMIC"}]"#,
            resource(r#""role":"a","reservation":{"principal":"p"}"#),
        ),
    ] {
        let event = offer(&resource(modern));
        let event =
            scheduler::Event::decode(event.as_bytes(), Encoding::Json, &Limits::DEFAULT).unwrap();
        let bytes = event.encode_for(Capabilities::default(), Encoding::Json);
        let text = std::str::from_utf8(&bytes).unwrap();
        assert!(text.contains(&old), "{text}");
    }
}

#[test]
fn volumes_and_their_mounts() {
    let task = concat!(
        r#"{"name":"t","task_id":{"value":"t"},"agent_id":{"value":"a"},"resources":[{"#,
        r#""name":"disk","type":"SCALAR","scalar":{"value":64.0},"disk":{"persistence":{"id":"v","#,
        r#""principal":"p"},"volume":{"container_path":"data","mode":"RW"},"source":{"#,
        r#""type":"PATH","path":{"root":"/disk1"}}},"shared":{},"reservations":[{"role":"eng","#,
        r#""type":"STATIC"}]}]}"#,
    );
    let task: TaskInfo = same(task);
    let flavor = &task.resources.pieces()[0].flavor;
    let mount = flavor.disk().unwrap().mount.as_ref().unwrap();
    assert_eq!((&*mount.container_path, mount.read_only), ("data", false));
    assert_eq!(flavor.volume().unwrap().id.as_str(), "v");
    assert!(flavor.is_shared() && flavor.is_whole());
}

#[test]
fn operations_and_what_becomes_of_them() {
    let accept: scheduler::Call = same(concat!(
        r#"{"framework_id":{"value":"f"},"type":"ACCEPT","accept":{"offer_ids":[{"value":"o"}],"#,
        r#""operations":[{"type":"SHRINK_VOLUME","id":{"value":"op-1"},"shrink_volume":{"volume":{"#,
        r#""name":"disk","type":"SCALAR","scalar":{"value":64.0},"disk":{"persistence":{"#,
        r#""id":"v"}},"allocation_info":{"role":"eng"},"reservations":[{"role":"eng","#,
        r#""type":"STATIC"}]},"subtract":{"value":32.0}}}],"filters":{"refuse_seconds":5.0}}}"#,
    ));
    let CallBody::Accept { operations, .. } = accept.body else { panic!("{accept:?}") };
    let [Operation::Change(operation)] = &operations[..] else { panic!("{operations:?}") };
    assert_eq!(operation.allocation_role, Some(role("eng")));
    assert_eq!(operation.id.as_ref().unwrap().as_str(), "op-1");
    let event: scheduler::Event = same(concat!(
        r#"{"type":"UPDATE_OPERATION_STATUS","update_operation_status":{"status":{"#,
        r#""operation_id":{"value":"op-1"},"state":"OPERATION_FINISHED","#,
        r#""uuid":{"value":"MDEyMzQ1Njc4OWFiY2RlZg=="},"agent_id":{"value":"M-S0"}}}}"#,
    ));
    let scheduler::Event::UpdateOperationStatus(status) = event else { panic!("{event:?}") };
    assert!(status.state == OperationState::Finished && status.state.is_terminal());
    let acknowledge: scheduler::Call = same(concat!(
        r#"{"framework_id":{"value":"f"},"type":"ACKNOWLEDGE_OPERATION_STATUS","#,
        r#""acknowledge_operation_status":{"agent_id":{"value":"M-S0"},"#,
        r#""uuid":"MDEyMzQ1Njc4OWFiY2RlZg==","operation_id":{"value":"op-1"}}}"#,
    ));
    assert_eq!(acknowledge.body.name(), "ACKNOWLEDGE_OPERATION_STATUS");
    let _: scheduler::Call = same(concat!(
        r#"{"framework_id":{"value":"f"},"type":"RECONCILE_OPERATIONS","reconcile_operations":{"#,
        r#""operations":[{"operation_id":{"value":"op-1"},"agent_id":{"value":"M-S0"}}]}}"#,
    ));
}

#[test]
fn inverse_offers() {
    let event: scheduler::Event = same(concat!(
        r#"{"type":"INVERSE_OFFERS","inverse_offers":{"inverse_offers":[{"id":{"value":"o"},"#,
        r#""framework_id":{"value":"f"},"agent_id":{"value":"M-S0"},"#,
        r#""unavailability":{"start":{"nanoseconds":7}}}]}}"#,
    ));
    let scheduler::Event::InverseOffers(offers) = event else { panic!("{event:?}") };
    assert!(offers[0].resources.is_empty() && offers[0].unavailability.duration.is_none());
    let call: scheduler::Call = same(concat!(
        r#"{"framework_id":{"value":"f"},"type":"DECLINE_INVERSE_OFFERS","#,
        r#""decline_inverse_offers":{"inverse_offer_ids":[{"value":"o"}],"#,
        r#""filters":{"refuse_seconds":5.0}}}"#,
    ));
    let CallBody::DeclineInverseOffers { inverse_offer_ids, .. } = call.body else {
        panic!("{call:?}")
    };
    assert_eq!(inverse_offer_ids, [OfferId::new("o").unwrap()]);
    let _: scheduler::Event = same(
        r#"{"type":"RESCIND_INVERSE_OFFER","rescind_inverse_offer":{"inverse_offer_id":{"value":"o"}}}"#,
    );
}

#[test]
fn constraints_minima_and_demand() {
    let call: scheduler::Call = same(concat!(
        r#"{"framework_id":{"value":"f"},"type":"UPDATE_FRAMEWORK","update_framework":{"#,
        r#""framework_info":{"user":"u","name":"n","id":{"value":"f"},"failover_timeout":0.0,"#,
        r#""checkpoint":false,"capabilities":[{"type":"MULTI_ROLE"}],"roles":["eng"],"#,
        r#""offer_filters":{"eng":{"min_allocatable_resources":{"quantities":[{"quantities":{"#,
        r#""cpus":{"value":2.0}}}]}}}},"offer_constraints":{"role_constraints":{"eng":{"groups":["#,
        r#"{"attribute_constraints":[{"selector":{"pseudoattribute_type":"ZONE"},"predicate":{"#,
        r#""text_equals":{"value":"a"}}},{"selector":{"attribute_name":"gpu"},"predicate":{"#,
        r#""not_exists":{}}}]}]}}}}}"#,
    ));
    let CallBody::UpdateFramework(update) = call.body else { panic!("{call:?}") };
    let minimum = &update.framework_info.min_allocatable[&role("eng")][0];
    assert_eq!(minimum.get(&cpus()), 2000);
    let group = &update.offer_constraints.unwrap().roles[&role("eng")][0];
    assert_eq!(group[0].selector, Selector::Zone);
    assert_eq!(group[0].predicate, Predicate::TextEquals("a".into()));
    assert_eq!(group[1].selector, Selector::Attribute("gpu".into()));
    let call: scheduler::Call = same(concat!(
        r#"{"framework_id":{"value":"f"},"type":"REQUEST","request":{"requests":[{"resources":["#,
        r#"{"name":"cpus","type":"SCALAR","scalar":{"value":1.0}}],"count":3,"role":"eng","#,
        r#""deadline":{"nanoseconds":9},"priority":-2}]}}"#,
    ));
    let CallBody::Request { demands } = call.body else { panic!("{call:?}") };
    assert_eq!((demands[0].deadline, demands[0].priority), (Some(Time::from_nanos(9)), -2));
}

#[test]
fn a_numbered_stream_that_goes_on() {
    let call: Call = same(r#"{"type":"SUBSCRIBE","subscribe":{"resume_after":41,"stream":"e1"}}"#);
    let resume = Resume { stream: Some("e1".into()), after: 41 };
    assert_eq!(call, Call::Subscribe { resume: Some(resume) });
    assert_eq!(same::<Call>(r#"{"type":"SUBSCRIBE"}"#), Call::Subscribe { resume: None });
    let event: StreamEvent = same(concat!(
        r#"{"type":"SUBSCRIBED","subscribed":{"heartbeat_interval_seconds":15.0,"stream":"e1"},"#,
        r#""sequence":41}"#,
    ));
    assert!(matches!(event.event, Event::Subscribed { state: None, .. }), "{event:?}");
    let event: StreamEvent = same(concat!(
        r#"{"type":"FRAMEWORK_REMOVED","framework_removed":{"framework_info":{"user":"u","#,
        r#""name":"n","id":{"value":"f"},"failover_timeout":0.0,"checkpoint":false,"role":"*"}},"#,
        r#""sequence":42}"#,
    ));
    let Event::FrameworkRemoved(info) = event.event else { panic!("{event:?}") };
    assert_eq!((info.id, event.sequence), (FrameworkId::new("f").ok(), Some(42)));
    let event: StreamEvent =
        same(r#"{"type":"CUT_OFF","cut_off":{"reason":"SLOW","message":"too slow"}}"#);
    let message = "too slow".into();
    let expected = Event::CutOff { reason: CutOff::Slow, message };
    assert_eq!(event, StreamEvent { sequence: None, event: expected });
    // As Mesos writes them: without a number.
    let event: StreamEvent = same(r#"{"type":"HEARTBEAT"}"#);
    assert_eq!((event.sequence, event.event), (None, Event::Heartbeat));
}
