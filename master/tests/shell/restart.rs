//! What a master that comes back still knows.

use crate::client::{Events, JSON, request, within};
use crate::cluster::{Agent, Running, config, subscribe};
use grpc::{AgentLinkClient, ClientOptions, OperatorClient};
use proto::agent_link::{AgentCall, AgentEvent};
use proto::operator::{AgentStanding, Call, Response};
use proto::{AgentId, Role};
use serde_json::{Value, json};
use store::{Batch, Options, Storage, Store};

async fn ask(address: &str, call: &str) -> Value {
    let body = json!({ "type": call }).to_string();
    let answer = request(address, "POST", "/api/v1", &[JSON], &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn agents_and_frameworks_outlive_the_master() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::at(dir.path()).await;
    let agent = Agent::register(&master.address, 77).await;
    let mut events = Events::subscribe(&master.address, &subscribe("f")).await;
    let framework = events.wait("SUBSCRIBED").await["subscribed"]["framework_id"].clone();
    let first = ask(&master.address, "GET_MASTER").await;
    // It must not be asked to tidy up: that is what a crash is.
    master.abort().await;

    let master = Running::at(dir.path()).await;
    let second = ask(&master.address, "GET_MASTER").await;
    let id = |answer: &Value| answer["get_master"]["master_info"]["id"].clone();
    assert_ne!(id(&first), id(&second), "each start has its own id");
    is_expected(&master.address, &agent.id).await;
    // A registration whose answer was lost is repeated: the nonce finds the same agent.
    let mut link =
        AgentLinkClient::connect(&master.address, &ClientOptions::default()).await.unwrap();
    let info = crate::cluster::agent_info(None);
    let call = AgentCall::Register { info, version: "1".into(), nonce: 77 };
    link.sender.send(call).await.unwrap();
    match within("Registered", link.incoming.next()).await.unwrap() {
        Some(AgentEvent::Registered { agent_id, .. }) => assert_eq!(agent_id, agent.id),
        other => panic!("{other:?}"),
    }
    drop(link);
    let agent = Agent::reregister(&master.address, agent.info).await;
    // The framework comes back under its id.
    let mut call = subscribe("f");
    call["framework_id"] = framework.clone();
    call["subscribe"]["framework_info"]["id"] = framework.clone();
    let mut events = Events::subscribe(&master.address, &call).await;
    assert_eq!(events.wait("SUBSCRIBED").await["subscribed"]["framework_id"], framework);
    let offers = events.wait("OFFERS").await;
    assert_eq!(offers["offers"]["offers"][0]["agent_id"]["value"], agent.id.as_str());
    master.stop().await;
}

/// An agent that has not come back yet is told as Mesos does, and with all that is known of it.
async fn is_expected(address: &str, agent_id: &AgentId) {
    let id = json!({ "value": agent_id.as_str() });
    let alone = ask(address, "GET_AGENTS").await["get_agents"].clone();
    let state = ask(address, "GET_STATE").await["get_state"]["get_agents"].clone();
    for told in [alone, state] {
        assert_eq!((&told["agents"], &told["recovered_agents"][0]["id"]), (&Value::Null, &id));
        let in_full = &told["recovered_in_full"][0];
        assert_eq!(in_full["agent_info"]["id"], id);
        assert_eq!(in_full["standing"], "RECOVERED");
    }
    let part = json!({ "limit": 1, "fields": ["id", "standing"] });
    let part = json!({ "type": "GET_AGENTS", "select": part }).to_string();
    let answer = request(address, "POST", "/api/v1", &[JSON], &part).await;
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    let lists = json!({
        "recovered_agents": [{ "id": id }],
        "recovered_in_full": [{ "standing": "RECOVERED" }],
    });
    assert_eq!(told["get_agents"], lists);
    let operator = OperatorClient::connect(address, &ClientOptions::default()).await.unwrap();
    match operator.call(Call::GetAgents).await.unwrap() {
        Response::Agents(agents) => {
            assert_eq!((agents.len(), agents[0].standing), (1, AgentStanding::Recovered));
            assert_eq!((&agents[0].info.id, &*agents[0].version), (&Some(agent_id.clone()), "1"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_framework_that_was_torn_down_stays_over() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::at(dir.path()).await;
    let mut events = Events::subscribe(&master.address, &subscribe("f")).await;
    let framework = events.wait("SUBSCRIBED").await["subscribed"]["framework_id"].clone();
    let headers = [JSON, ("Mesos-Stream-Id", &*events.stream_id.clone())];
    let teardown = json!({"type": "TEARDOWN", "framework_id": framework}).to_string();
    let answer = request(&master.address, "POST", "/api/v1/scheduler", &headers, &teardown).await;
    // The answer stands behind the fact: once it is here, the fact is durable.
    assert_eq!(answer.status, 202);
    master.abort().await;

    let master = Running::at(dir.path()).await;
    let mut call = subscribe("f");
    call["framework_id"] = framework.clone();
    call["subscribe"]["framework_info"]["id"] = framework;
    let mut events = Events::subscribe(&master.address, &call).await;
    let event = events.event().await;
    assert_eq!(event["type"], "ERROR", "{event}");
    assert!(event["error"]["message"].as_str().unwrap().contains("removed"), "{event}");
    master.stop().await;
}

/// Changes the disk of the member behind its back.
fn tamper(dir: &std::path::Path, change: impl FnOnce(&Store, &mut Batch)) {
    let disk = config(dir).data_dir.join("registrar");
    let store = Store::open(&disk, Options::new("registrar", 1)).unwrap();
    let mut batch = Batch::new();
    change(&store, &mut batch);
    store.commit(batch).unwrap();
}

#[tokio::test]
async fn damage_is_named() {
    type Change = fn(&Store, &mut Batch);
    let changes: [(&str, Change); 4] = [
        ("log has lost", |store, batch| {
            let key = store.scan(b"l/").nth(1).unwrap().unwrap().key;
            batch.put(key, *b"nonsense");
        }),
        ("promises", |_, batch| batch.delete(*b"h")),
        ("beginning of the log", |_, batch| batch.delete(*b"t")),
        ("snapshot", |store, batch| {
            let key = store.scan(b"s/").next().unwrap().unwrap().key;
            batch.put(key, *b"nonsense");
        }),
    ];
    for (what, change) in changes {
        let dir = tempfile::tempdir().unwrap();
        let master = Running::at(dir.path()).await;
        let _agent = Agent::register(&master.address, 1).await;
        master.stop().await;
        tamper(dir.path(), change);
        // It is not forgotten either, and nothing is founded in its place.
        for _ in 0..2 {
            let error = Running::at(dir.path()).await.error().await.to_string();
            assert!(error.contains("damaged") && error.contains(what), "{error}");
            assert!(error.contains(&config(dir.path()).data_dir.display().to_string()), "{error}");
        }
    }
}

#[test]
fn facts_that_are_gone_are_seen() {
    use master::registrar::open_registry;
    let open = |dir: &std::path::Path| open_registry(&config(dir));
    let dir = tempfile::tempdir().unwrap();
    let data = config(dir.path()).data_dir.join("registrar");
    drop(open(dir.path()).unwrap());
    // The database as it was some commits ago: what it makes of a log that it cannot read on.
    let old = tempfile::tempdir().unwrap();
    copy(&data.join("sled"), &old.path().join("sled"));
    drop(open(dir.path()).unwrap());
    std::fs::rename(data.join("sled"), old.path().join("new")).unwrap();
    copy(&old.path().join("sled"), &data.join("sled"));
    let Err(error) = open(dir.path()) else { panic!("opened without its newest facts") };
    let error = error.to_string();
    assert!(error.contains("damaged (promises are of commit"), "{error}");
    std::fs::remove_dir_all(data.join("sled")).unwrap();
    let Err(error) = open(dir.path()) else { panic!("opened without any") };
    assert!(error.to_string().contains("damaged (promises are missing, after"), "{error}");
    std::fs::remove_dir_all(data.join("sled")).unwrap();
    std::fs::rename(old.path().join("new"), data.join("sled")).unwrap();
    drop(open(dir.path()).unwrap());
    std::fs::remove_dir_all(&data).unwrap();
    let Err(error) = open(dir.path()) else { panic!("opened without a disk") };
    assert!(error.to_string().contains("damaged (log is missing"), "{error}");
    assert!(open(dir.path()).is_err(), "nothing was founded in its place");
}

#[test]
fn a_start_that_was_cut_off_before_there_was_a_cluster_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let data = config(dir.path()).data_dir;
    // As a crash leaves it: the identity is there, and half of a member's disk.
    drop(store::Home::open(&data, "master", 2, None).unwrap());
    drop(Store::open(&data.join("registrar"), Options::new("registrar", 1)).unwrap());
    let opened = master::registrar::open_registry(&config(dir.path())).unwrap();
    assert_eq!(opened.registry.epoch(), 1);
    let cluster = opened.registry.cluster_id().cloned();
    drop(opened);
    let again = master::registrar::open_registry(&config(dir.path())).unwrap();
    assert!(cluster.is_some());
    assert_eq!((again.registry.epoch(), again.registry.cluster_id()), (2, cluster.as_ref()));
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test]
async fn every_fact_is_read_back_as_it_was_written() {
    use master::registrar::open_registry;
    use master_core::RegistryOp;
    use proto::{AgentId, FrameworkId, FrameworkInfo, Time};
    let dir = tempfile::tempdir().unwrap();
    let agent = |n: u32| AgentId::new(format!("m-S{n}")).unwrap();
    let framework = |n: u32| FrameworkInfo {
        id: Some(FrameworkId::new(format!("m-{n:04}")).unwrap()),
        ..FrameworkInfo::new("nobody", format!("framework {n}"))
    };
    let admit = |n: u32, nonce| RegistryOp::AdmitAgent {
        info: crate::cluster::agent_info(Some(agent(n))),
        version: "1".into(),
        nonce,
        registered: Time::from_millis(u64::from(n)),
    };
    let at = Time::from_millis;
    let mut ops = vec![admit(1, Some(0)), admit(2, None), admit(3, Some(9)), admit(4, Some(4))];
    ops.extend([
        RegistryOp::MarkUnreachable { agent_id: agent(1), since: at(5) },
        RegistryOp::MarkUnreachable { agent_id: agent(2), since: at(6) },
        RegistryOp::MarkReachable { agent_id: agent(2) },
        RegistryOp::MarkUnreachable { agent_id: agent(3), since: at(7) },
        RegistryOp::RemoveAgent { agent_id: agent(3) },
        RegistryOp::SetWeight { role: Role::new("a/b").unwrap(), weight_milli: 2500 },
        RegistryOp::SetWeight { role: Role::new("c").unwrap(), weight_milli: 3000 },
        RegistryOp::SetWeight { role: Role::new("c").unwrap(), weight_milli: 1000 },
        RegistryOp::HoldFramework { info: framework(1), registered: at(1), deadline: at(9) },
        RegistryOp::HoldFramework { info: framework(2), registered: at(2), deadline: at(9) },
    ]);
    let id = framework(2).id.unwrap();
    ops.push(RegistryOp::ReleaseFramework { framework_id: id });
    for n in 10..80 {
        let (info, registered) = (framework(n), at(3));
        ops.push(RegistryOp::HoldFramework { info: info.clone(), registered, deadline: at(9) });
        let unregistered = at(u64::from(n));
        ops.push(RegistryOp::CompleteFramework { info, registered, unregistered });
    }
    let mut opened = open_registry(&config(dir.path())).unwrap();
    for op in &ops {
        opened.registry.apply(op);
        let (done, waiting) = std::sync::mpsc::channel();
        let tell = Box::new(move |result: Result<(), _>| done.send(result.is_ok()).unwrap());
        opened.registrar.propose(vec![op.clone()], tell);
        assert!(waiting.recv().unwrap());
    }
    let facts = opened.registry.facts();
    drop(opened);
    let again = open_registry(&config(dir.path())).unwrap().registry.facts();
    let without_epoch = |facts: Vec<RegistryOp>| -> Vec<RegistryOp> {
        facts.into_iter().filter(|op| !matches!(op, RegistryOp::BeginEpoch { .. })).collect()
    };
    assert_eq!(without_epoch(again), without_epoch(facts));
}

#[test]
fn weights_given_at_one_start_are_kept_at_the_next() {
    use master::registrar::open_registry;
    let dir = tempfile::tempdir().unwrap();
    let role = proto::Role::new("eng").unwrap();
    let mut given = config(dir.path());
    given.weights = vec![(role.clone(), 2500)];
    drop(open_registry(&given).unwrap());
    let again = open_registry(&config(dir.path())).unwrap().registry;
    let weights = again.facts().into_iter().filter_map(|op| match op {
        master_core::RegistryOp::SetWeight { role, weight_milli } => Some((role, weight_milli)),
        _ => None,
    });
    assert_eq!(weights.collect::<Vec<_>>(), [(role, 2500)]);
}
