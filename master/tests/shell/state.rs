//! What masters keep for a framework, over HTTP and gRPC, and after the leader has gone.

use crate::client::{Events, Http, JSON, within};
use crate::cluster::{Running, config, subscribe};
use crate::masters::{dirs, three};
use grpc::{ClientOptions, Duplex, SchedulerClient};
use proto::scheduler::{Call, CallBody, Event, StateAsk, StateCall, StateOutcome, Subscribe};
use proto::{FrameworkId, FrameworkInfo};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn state_is_kept_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::at(dir.path()).await;
    let mut events = Events::subscribe(&master.address, &subscribe("f")).await;
    let subscribed = events.wait("SUBSCRIBED").await;
    let framework = subscribed["subscribed"]["framework_id"].clone();
    let mut http = Http::connect(&master.address).await;
    let headers = [JSON, ("Mesos-Stream-Id", &*events.stream_id.clone())];
    let of = |mut call: Value| {
        call["framework_id"] = framework.clone();
        call.to_string()
    };
    let calls = [
        (
            json!({"type": "STATE_PUT", "state_put": {"number": 1, "key": "a", "value": "AP8="}}),
            json!({"number": 1, "outcome": "DONE", "entries": [{"key": "a", "version": 1}]}),
        ),
        (
            json!({"type": "STATE_PUT", "state_put": {"number": 2, "key": "a", "value": ""}}),
            json!({"number": 2, "outcome": "CONFLICT", "entries": [{"key": "a", "version": 1}]}),
        ),
        (
            json!({"type": "STATE_LIST"}),
            json!({"outcome": "FOUND", "entries": [{"key": "a", "version": 1, "value": "AP8="}]}),
        ),
        (
            json!({"type": "STATE_DELETE", "state_delete": {"number": 3, "key": "a", "version": 1}}),
            json!({"number": 3, "outcome": "DONE", "entries": [{"key": "a", "version": 0}]}),
        ),
        (
            json!({"type": "STATE_GET", "state_get": {"number": 4, "key": "a"}}),
            json!({"number": 4, "outcome": "FOUND"}),
        ),
    ];
    for (call, expected) in calls {
        let answer = http.request("POST", "/api/v1/scheduler", &headers, &of(call)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(events.wait("STATE").await["state"], expected);
    }
    let large = "A".repeat(88_000);
    let put = json!({"type": "STATE_PUT", "state_put": {"key": "b", "value": large}});
    let answer = http.request("POST", "/api/v1/scheduler", &headers, &of(put)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let state = &events.wait("STATE").await["state"];
    assert_eq!(state["outcome"], "REFUSED");
    let message = "the value has 66000 bytes; at most 65536 are kept under one key";
    assert_eq!(state["message"], message);
    let broken = of(json!({"type": "STATE_PUT", "state_put": {"value": ""}}));
    let answer = http.request("POST", "/api/v1/scheduler", &headers, &broken).await;
    let problem = "Failed to validate scheduler::Call: Missing required fields: state_put.key";
    assert_eq!((answer.status, &*answer.body), (400, problem));
    master.stop().await;
}

/// A framework on its stream.
struct Framework {
    link: Duplex<Call, Event>,
    id: FrameworkId,
}

impl Framework {
    /// Subscribes where the leader is, whichever is asked.
    async fn subscribe(at: &str, id: Option<FrameworkId>) -> Self {
        let work = async {
            let seed = at.to_owned();
            let mut at = seed.clone();
            loop {
                match Self::subscribe_once(&at, id.clone()).await {
                    Ok(framework) => return framework,
                    Err(Some(leader)) => at = leader,
                    Err(None) => {
                        at.clone_from(&seed);
                        // waits: nobody tells when the others have elected one.
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }
        };
        within("SUBSCRIBED", work).await
    }

    async fn subscribe_once(at: &str, id: Option<FrameworkId>) -> Result<Self, Option<String>> {
        let opened = SchedulerClient::connect(at, &ClientOptions::default()).await;
        let mut link = opened.map_err(|error| error.leader().map(str::to_owned))?;
        let framework_info = FrameworkInfo {
            id: id.clone(),
            failover_timeout: Duration::from_secs(3600),
            ..FrameworkInfo::new("nobody", "f")
        };
        let subscribe = Subscribe {
            framework_info,
            suppressed_roles: BTreeSet::new(),
            offer_constraints: None,
            fence: None,
        };
        let call = Call { framework_id: id, body: CallBody::Subscribe(Box::new(subscribe)) };
        link.sender.send(call).await.map_err(|_| None)?;
        match link.incoming.next().await {
            Ok(Some(Event::Subscribed { framework_id: id, .. })) => Ok(Self { link, id }),
            Ok(_) => Err(None),
            Err(status) => Err(grpc::leader(&status).map(str::to_owned)),
        }
    }

    async fn ask(&mut self, ask: StateAsk) -> StateOutcome {
        let body = CallBody::State(StateCall { number: 9, ask });
        let call = Call { framework_id: Some(self.id.clone()), body };
        self.link.sender.send(call).await.unwrap();
        loop {
            match within("STATE", self.link.incoming.next()).await.unwrap().unwrap() {
                Event::State(answer) => {
                    assert_eq!(answer.number, 9);
                    return answer.outcome;
                }
                Event::Heartbeat => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn put(&mut self, value: &str, version: u64) -> StateOutcome {
        let (key, value) = (Arc::from("k"), Arc::from(value.as_bytes()));
        self.ask(StateAsk::Put { key, value, version, write: None, fence: None }).await
    }
}

fn done(version: u64) -> StateOutcome {
    StateOutcome::Done { key: Arc::from("k"), version }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_leader_has_what_was_answered() {
    let dirs = dirs();
    let [first, second, third] = three(&dirs).await;
    let mut framework = Framework::subscribe(&second.address, None).await;
    assert_eq!(framework.put("one", 0).await, done(1));
    assert_eq!(framework.put("two", 1).await, done(2));
    let id = framework.id.clone();
    first.abort().await;
    let mut framework = Framework::subscribe(&second.address, Some(id)).await;
    let StateOutcome::Found(entries) = framework.ask(StateAsk::Get { key: Arc::from("k") }).await
    else {
        panic!("it is found");
    };
    assert_eq!((&*entries[0].value, entries[0].version), (b"two".as_slice(), 2));
    let conflict = StateOutcome::Conflict { key: Arc::from("k"), version: 2 };
    assert_eq!(framework.put("late", 1).await, conflict);
    assert_eq!(framework.put("three", 2).await, done(3));
    drop((second, third));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_recovery_no_version_of_before_means_anything() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::at(dir.path()).await;
    let mut framework = Framework::subscribe(&master.address, None).await;
    assert_eq!(framework.put("one", 0).await, done(1));
    assert_eq!(framework.put("two", 1).await, done(2));
    let id = framework.id.clone();
    master.stop().await;
    let config = config(dir.path());
    let recovered = tokio::task::spawn_blocking(move || master::registrar::recover(&config));
    recovered.await.unwrap().unwrap();
    let master = Running::at(dir.path()).await;
    let mut framework = Framework::subscribe(&master.address, Some(id)).await;
    let StateOutcome::Found(entries) = framework.ask(StateAsk::Get { key: Arc::from("k") }).await
    else {
        panic!("it is found");
    };
    let version = entries[0].version;
    assert!(version > 1_000_000 && &*entries[0].value == b"two", "{entries:?}");
    let conflict = StateOutcome::Conflict { key: Arc::from("k"), version };
    assert_eq!(framework.put("late", 2).await, conflict);
    assert_eq!(framework.put("three", version).await, done(version + 1));
    master.stop().await;
}
