//! A framework's life over HTTP and over gRPC, with a scripted agent.

use crate::client::{Events, Http, JSON, within};
use crate::cluster::{Agent, Running, subscribe};
use grpc::{ClientOptions, SchedulerClient};
use proto::agent_link::AgentEvent;
use proto::scheduler::{Call, CallBody, Event, Subscribe};
use proto::{
    Encoding, Filters, FrameworkId, FrameworkInfo, Operation, Resources, StatusUuid, TaskId,
    TaskInfo, TaskState, Wire,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const SCHEDULER: &str = "/api/v1/scheduler";

#[tokio::test]
async fn a_json_stream_has_exact_records_and_flush_heartbeats() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::at(dir.path()).await;
    let mut events = Events::subscribe(&master.address, &subscribe("Käse")).await;
    // The raw bytes: a length, a newline, one line of ASCII, and at once the next length.
    let first = events.record().await.unwrap();
    assert!(first.is_ascii() && !first.contains(&b'\n'));
    let subscribed: Value = serde_json::from_slice(&first).unwrap();
    assert_eq!(subscribed["type"], "SUBSCRIBED");
    let seconds = &subscribed["subscribed"]["heartbeat_interval_seconds"];
    assert!(seconds.as_f64().unwrap() > 0.0, "{subscribed}");
    assert_eq!(events.event().await["type"], "HEARTBEAT");
    // An event is followed by a heartbeat long before the interval of heartbeats.
    let start = Instant::now();
    let _agent = Agent::register(&master.address, 1).await;
    assert_eq!(events.event().await["type"], "OFFERS");
    assert_eq!(events.event().await["type"], "HEARTBEAT");
    assert!(start.elapsed() < Duration::from_secs(10));
    master.stop().await;
}

#[tokio::test]
async fn a_protobuf_stream_has_records_and_no_flush_heartbeats() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::at(dir.path()).await;
    let call = Call { framework_id: None, body: CallBody::Subscribe(Box::new(grpc_subscribe())) };
    let protobuf = "application/x-protobuf";
    let headers = [("Content-Type", protobuf), ("Accept", protobuf)];
    let mut events =
        Events::open(&master.address, &headers, &call.encode(Encoding::Protobuf)).await;
    assert!(matches!(events.protobuf().await, Event::Subscribed { .. }));
    assert_eq!(events.protobuf().await, Event::Heartbeat);
    let _first = Agent::register(&master.address, 1).await;
    assert!(matches!(events.protobuf().await, Event::Offers(_)));
    let _second = Agent::register(&master.address, 2).await;
    assert!(matches!(events.protobuf().await, Event::Offers(_)));
    master.stop().await;
}

#[tokio::test]
async fn a_task_lives_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::at(dir.path()).await;
    let mut agent = Agent::register(&master.address, 1).await;
    let mut events = Events::subscribe(&master.address, &subscribe("f")).await;
    let subscribed = events.wait("SUBSCRIBED").await;
    let framework = subscribed["subscribed"]["framework_id"].clone();
    let framework_id = FrameworkId::new(framework["value"].as_str().unwrap()).unwrap();
    let offers = events.wait("OFFERS").await;
    let offer = &offers["offers"]["offers"][0];
    assert_eq!(offer["agent_id"]["value"], agent.id.as_str());
    let mut http = Http::connect(&master.address).await;
    let headers = [JSON, ("Mesos-Stream-Id", &*events.stream_id.clone())];
    let accept = json!({"framework_id": framework, "type": "ACCEPT", "accept": {
        "offer_ids": [offer["id"]], "filters": {"refuse_seconds": 3600.0},
        "operations": [{"type": "LAUNCH", "launch": {"task_infos": [{
            "name": "t", "task_id": {"value": "t1"}, "agent_id": offer["agent_id"],
            "resources": [
                {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}},
                {"name": "mem", "type": "SCALAR", "scalar": {"value": 64.0}}],
            "command": {"value": "sleep 100"}}]}}]}});
    let answer = http.request("POST", SCHEDULER, &headers, &accept.to_string()).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let tasks = agent.run().await;
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0].resources.cpus(), 1000);
    let task_id = tasks[0].task_id.clone();
    agent.update(&framework_id, &task_id, TaskState::Running, 7).await;
    let update = events.wait("UPDATE").await;
    let status = &update["update"]["status"];
    assert_eq!(
        (&status["state"], &status["task_id"]["value"]),
        (&json!("TASK_RUNNING"), &json!("t1"))
    );
    let acknowledge = json!({"framework_id": framework, "type": "ACKNOWLEDGE", "acknowledge": {
        "agent_id": offer["agent_id"], "task_id": {"value": "t1"}, "uuid": status["uuid"]}});
    let answer = http.request("POST", SCHEDULER, &headers, &acknowledge.to_string()).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    match agent.next().await {
        AgentEvent::Acknowledge { uuid, .. } => assert_eq!(uuid, StatusUuid([7; 16])),
        other => panic!("{other:?}"),
    }
    let kill =
        json!({"framework_id": framework, "type": "KILL", "kill": {"task_id": {"value": "t1"}}});
    assert_eq!(http.request("POST", SCHEDULER, &headers, &kill.to_string()).await.status, 202);
    assert!(matches!(agent.next().await, AgentEvent::Kill { .. }));
    let reconcile =
        json!({"framework_id": framework, "type": "RECONCILE", "reconcile": {"tasks": []}});
    assert_eq!(http.request("POST", SCHEDULER, &headers, &reconcile.to_string()).await.status, 202);
    let update = events.wait("UPDATE").await;
    assert_eq!(update["update"]["status"]["reason"], "REASON_RECONCILIATION");
    let teardown = json!({"framework_id": framework, "type": "TEARDOWN"}).to_string();
    assert_eq!(http.request("POST", SCHEDULER, &headers, &teardown).await.status, 202);
    assert!(matches!(agent.next().await, AgentEvent::ShutdownFramework { .. }));
    master.stop().await;
}

fn grpc_subscribe() -> Subscribe {
    Subscribe {
        framework_info: FrameworkInfo {
            failover_timeout: Duration::from_secs(3600),
            ..FrameworkInfo::new("nobody", "over grpc")
        },
        suppressed_roles: BTreeSet::new(),
        offer_constraints: None,
        fence: None,
    }
}

#[tokio::test]
async fn a_task_lives_over_grpc_and_refusals_are_events() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::at(dir.path()).await;
    let mut agent = Agent::register(&master.address, 1).await;
    let mut link =
        SchedulerClient::connect(&master.address, &ClientOptions::default()).await.unwrap();
    let nobody = FrameworkId::new("nobody-0000").unwrap();
    let early = Call { framework_id: Some(nobody), body: CallBody::Teardown };
    link.sender.send(early).await.unwrap();
    match within("a refusal", link.incoming.next()).await.unwrap() {
        Some(Event::Refused { call, code, .. }) => assert_eq!((&*call, code), ("TEARDOWN", 400)),
        other => panic!("{other:?}"),
    }
    let body = CallBody::Subscribe(Box::new(grpc_subscribe()));
    link.sender.send(Call { framework_id: None, body }).await.unwrap();
    let mut framework_id = None;
    let offer = loop {
        match within("offers", link.incoming.next()).await.unwrap() {
            Some(Event::Subscribed { framework_id: id, .. }) => framework_id = Some(id),
            Some(Event::Offers(mut offers)) => break offers.remove(0),
            Some(Event::Heartbeat) => {}
            other => panic!("{other:?}"),
        }
    };
    let info = TaskInfo { resources: Resources::cpus_mem(500, 32_000), ..task_info("t1", &agent) };
    let accept = CallBody::Accept {
        offer_ids: vec![offer.id],
        operations: vec![Operation::Launch(vec![info])],
        filters: Filters::none(),
    };
    link.sender.send(Call { framework_id: framework_id.clone(), body: accept }).await.unwrap();
    let tasks = agent.run().await;
    let framework_id = framework_id.unwrap();
    agent.update(&framework_id, &tasks[0].task_id, TaskState::Finished, 1).await;
    let update = loop {
        match within("an update", link.incoming.next()).await.unwrap() {
            Some(Event::Update(status)) => break status,
            Some(Event::Offers(_) | Event::Heartbeat) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(update.state, TaskState::Finished);
    // The stream that ends without TEARDOWN leaves the framework disconnected, not over.
    drop(link);
    let again = Subscribe {
        framework_info: FrameworkInfo {
            id: Some(framework_id.clone()),
            ..grpc_subscribe().framework_info
        },
        ..grpc_subscribe()
    };
    let mut link =
        SchedulerClient::connect(&master.address, &ClientOptions::default()).await.unwrap();
    let body = CallBody::Subscribe(Box::new(again));
    link.sender.send(Call { framework_id: Some(framework_id.clone()), body }).await.unwrap();
    match within("SUBSCRIBED", link.incoming.next()).await.unwrap() {
        Some(Event::Subscribed { framework_id: id, .. }) => assert_eq!(id, framework_id),
        other => panic!("{other:?}"),
    }
    master.stop().await;
}

#[tokio::test]
async fn a_connection_that_is_gone_frees_its_offers_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::at(dir.path()).await;
    let _agent = Agent::register(&master.address, 1).await;
    let mut over_http = Events::subscribe(&master.address, &subscribe("http")).await;
    over_http.wait("OFFERS").await;
    let mut next = Events::subscribe(&master.address, &subscribe("next")).await;
    next.wait("HEARTBEAT").await;
    drop(over_http);
    next.wait("OFFERS").await;
    master.stop().await;
}

#[tokio::test]
async fn a_scheduler_that_fails_over_takes_the_stream_from_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::at(dir.path()).await;
    let mut old = Events::subscribe(&master.address, &subscribe("f")).await;
    let framework = old.wait("SUBSCRIBED").await["subscribed"]["framework_id"].clone();
    let mut call = subscribe("f");
    call["framework_id"] = framework.clone();
    call["subscribe"]["framework_info"]["id"] = framework.clone();
    let mut new = Events::subscribe(&master.address, &call).await;
    assert_eq!(new.wait("SUBSCRIBED").await["subscribed"]["framework_id"], framework);
    // The old one is told, and its stream ends.
    let mut last = Value::Null;
    while let Some(record) = old.record().await {
        let event: Value = serde_json::from_slice(&record).unwrap();
        if event["type"] != "HEARTBEAT" {
            last = event;
        }
    }
    assert_eq!(last["type"], "ERROR", "{last}");
    let suppress = json!({"type": "SUPPRESS", "framework_id": framework}).to_string();
    for (stream_id, status) in [(&old.stream_id, 400), (&new.stream_id, 202)] {
        let headers = [JSON, ("Mesos-Stream-Id", &**stream_id)];
        let mut http = Http::connect(&master.address).await;
        assert_eq!(http.request("POST", SCHEDULER, &headers, &suppress).await.status, status);
    }
    master.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_over_grpc_ends_the_stream_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::at(dir.path()).await;
    let mut link =
        SchedulerClient::connect(&master.address, &ClientOptions::default()).await.unwrap();
    let early = Call { framework_id: None, body: CallBody::Teardown };
    link.sender.send(early).await.unwrap();
    match within("an error", link.incoming.next()).await.unwrap() {
        Some(Event::Error(message)) => assert!(message.contains("framework_id"), "{message}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(within("the end", link.incoming.next()).await.unwrap(), None);
    master.stop().await;
}

fn task_info(id: &str, agent: &Agent) -> TaskInfo {
    let command = json!({"name": "t", "task_id": {"value": id}, "agent_id": {"value": agent.id.as_str()},
        "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}}],
        "command": {"value": "true"}});
    let info =
        TaskInfo::decode(command.to_string().as_bytes(), Encoding::Json, &proto::Limits::DEFAULT);
    let info = info.unwrap();
    assert_eq!(info.task_id, TaskId::new(id).unwrap());
    info
}
