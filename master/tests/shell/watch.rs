//! Operators who watch: a snapshot, numbered events, going on after a cut, and slow readers.

use crate::client::{Events, request, within};
use crate::cluster::{Agent, Running, config, subscribe};
use grpc::{ClientOptions, WatchClient};
use master::Config;
use proto::agent_link::AgentEvent;
use proto::operator::{Call, CutOff, Event, Resume, StreamEvent};
use proto::{Encoding, Limits, Wire};
use std::sync::Arc;

fn call(resume: Option<(&Arc<str>, u64)>) -> Call {
    let resume = resume.map(|(stream, after)| Resume { stream: Some(Arc::clone(stream)), after });
    Call::Subscribe { resume }
}

async fn watch(address: &str, encoding: Encoding, call: &Call) -> Events {
    Events::watch(address, encoding, &call.encode(encoding)).await
}

async fn next(events: &mut Events, encoding: Encoding) -> StreamEvent {
    let record = events.record().await.expect("one more event");
    StreamEvent::decode(&record, encoding, &Limits::DEFAULT).unwrap()
}

fn begun(event: StreamEvent) -> (Option<Box<proto::operator::State>>, Arc<str>, u64) {
    match event {
        StreamEvent { sequence: Some(at), event: Event::Subscribed { state, stream, .. } } => {
            (state, stream, at)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_watches_gets_everything_and_then_what_happens() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::at(dir.path()).await;
    let first = Agent::register(&master.address, 1).await;
    let mut others = Vec::new();
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let mut events = watch(&master.address, encoding, &call(None)).await;
        let (state, _, at) = begun(next(&mut events, encoding).await);
        let state = state.expect("a new stream begins with everything");
        assert!(state.agents.iter().any(|agent| agent.info.id.as_ref() == Some(&first.id)));
        let nonce = 10 + at;
        let second = Agent::register(&master.address, nonce).await;
        let event = next(&mut events, encoding).await;
        assert_eq!(event.sequence, Some(at + 1));
        match event.event {
            Event::AgentAdded(agent) => assert_eq!(agent.info.id, Some(second.id.clone())),
            other => panic!("{other:?}"),
        }
        others.push(second);
    }
    master.stop().await;
}

#[tokio::test]
async fn a_stream_that_was_cut_goes_on_without_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::at(dir.path()).await;
    let json = Encoding::Json;
    let mut events = watch(&master.address, json, &call(None)).await;
    let (_, stream, at) = begun(next(&mut events, json).await);
    drop(events);
    let mut framework = crate::client::Events::subscribe(&master.address, &subscribe("f")).await;
    framework.wait("SUBSCRIBED").await;
    let agent = Agent::register(&master.address, 1).await;
    framework.wait("OFFERS").await;
    drop(agent);
    let mut events = watch(&master.address, json, &call(Some((&stream, at)))).await;
    let (state, same, after) = begun(next(&mut events, json).await);
    assert!(state.is_none(), "the stream goes on");
    assert_eq!((&same, after), (&stream, at));
    let mut kinds = Vec::new();
    let mut number = at;
    while kinds.len() < 3 {
        let event = next(&mut events, json).await;
        number += 1;
        assert_eq!(event.sequence, Some(number), "{event:?}");
        kinds.push(match event.event {
            Event::FrameworkAdded(_) => "framework added",
            Event::FrameworkUpdated(_) => continue,
            Event::AgentAdded(_) => "agent added",
            Event::AgentUpdated(_) => "agent updated",
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(kinds, ["framework added", "agent added", "agent updated"]);
    // What is not known any more, or never was, begins with everything.
    for (stream, after) in [(&stream, number + 1000), (&Arc::from("another"), at)] {
        let mut events = watch(&master.address, json, &call(Some((stream, after)))).await;
        let (state, _, at) = begun(next(&mut events, json).await);
        assert!(state.is_some() && at >= number, "{stream} {after}");
    }
    master.stop().await;
}

#[tokio::test]
async fn grpc_tells_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::at(dir.path()).await;
    let options = ClientOptions::default();
    let mut grpc = WatchClient::connect(&master.address, &options).await.unwrap();
    grpc.sender.send(call(None)).await.unwrap();
    let first = within("the beginning", grpc.incoming.next()).await.unwrap().unwrap();
    let (state, stream, at) = begun(first);
    assert!(state.is_some());
    let agent = Agent::register(&master.address, 1).await;
    let event = within("an event", grpc.incoming.next()).await.unwrap().unwrap();
    assert_eq!(event.sequence, Some(at + 1));
    assert!(matches!(&event.event, Event::AgentAdded(added) if added.info.id == Some(agent.id)));
    let mut events = watch(&master.address, Encoding::Protobuf, &call(Some((&stream, at)))).await;
    let (state, ..) = begun(next(&mut events, Encoding::Protobuf).await);
    assert!(state.is_none());
    assert_eq!(next(&mut events, Encoding::Protobuf).await, event);
    // Anything but SUBSCRIBE ends the stream.
    let mut grpc = WatchClient::connect(&master.address, &options).await.unwrap();
    grpc.sender.send(Call::GetState).await.unwrap();
    assert!(!matches!(within("the end", grpc.incoming.next()).await, Ok(Some(_))));
    master.stop().await;
}

#[tokio::test]
async fn a_slow_watcher_is_cut_off_and_told_why() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::start(Config { outbox_events: 16, ..config(dir.path()) }).await;
    let json = Encoding::Json;
    let mut events = watch(&master.address, json, &call(None)).await;
    let (_, stream, at) = begun(next(&mut events, json).await);
    let mut agent = Agent::register(&master.address, 1).await;
    agent.link.sender.send(crate::reads::many_tasks(&agent, 2_000)).await.unwrap();
    assert!(matches!(agent.next().await, AgentEvent::Reregistered { .. }));
    let mut last = None;
    let mut newest = at;
    while let Some(record) = events.record().await {
        let event = StreamEvent::decode(&record, json, &Limits::DEFAULT).unwrap();
        newest = event.sequence.unwrap_or(newest);
        last = Some(event.event);
    }
    assert!(matches!(&last, Some(Event::CutOff { reason: CutOff::Slow, .. })), "{last:?}");
    // With the last number that was read it goes on, with nothing lost.
    let mut events = watch(&master.address, json, &call(Some((&stream, newest)))).await;
    assert!(begun(next(&mut events, json).await).0.is_none());
    assert_eq!(next(&mut events, json).await.sequence, Some(newest + 1));
    let metrics = request(&master.address, "GET", "/metrics", &[], "").await.body;
    let line = "tepui_master_watchers_cut_off_total";
    assert!(metrics.lines().any(|one| one.starts_with(line)), "{metrics}");
    master.stop().await;
}
