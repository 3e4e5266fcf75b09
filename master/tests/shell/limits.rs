//! Slow readers, slow senders, too many connections, and what is refused at the start.

use crate::client::{Events, Http, JSON, request, within};
use crate::cluster::{Agent, Running, config, subscribe};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use master::{Config, Error};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const SCHEDULER: &str = "/api/v1/scheduler";

/// Asks for the state of `count` tasks that nobody has: as many updates come back at once.
async fn reconcile(master: &Running, events: &mut Events, count: usize) {
    let framework = events.wait("SUBSCRIBED").await["subscribed"]["framework_id"].clone();
    let id = |n: usize| format!("{n:0>200}");
    let tasks: Vec<_> = (0..count).map(|n| json!({"task_id": {"value": id(n)}})).collect();
    let call =
        json!({"type": "RECONCILE", "framework_id": framework, "reconcile": {"tasks": tasks}});
    let headers = [JSON, ("Mesos-Stream-Id", &*events.stream_id.clone())];
    let mut http = Http::connect(&master.address).await;
    let answer = http.request("POST", SCHEDULER, &headers, &call.to_string()).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

#[tokio::test]
async fn a_burst_beyond_all_limits_ends_with_an_error_and_others_are_not_hurt() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::start(Config { outbox_events: 16, ..config(dir.path()) }).await;
    let mut slow = Events::subscribe(&master.address, &subscribe("slow")).await;
    let mut other = Events::subscribe(&master.address, &subscribe("other")).await;
    other.wait("HEARTBEAT").await;
    reconcile(&master, &mut slow, 5000).await;
    let mut last = Vec::new();
    let mut count = 0;
    while let Some(record) = slow.record().await {
        let event: serde_json::Value = serde_json::from_slice(&record).unwrap();
        if event["type"] != "HEARTBEAT" {
            count += 1;
            last = record;
        }
    }
    assert!((256..1000).contains(&count), "{count}");
    let last: serde_json::Value = serde_json::from_slice(&last).unwrap();
    assert_eq!(last["type"], "ERROR", "{last}");
    assert!(last["error"]["message"].as_str().unwrap().contains("too slowly"), "{last}");
    let _agent = Agent::register(&master.address, 1).await;
    other.wait("OFFERS").await;
    master.stop().await;
}

#[tokio::test]
async fn a_reader_that_stands_still_loses_its_connection() {
    let dir = tempfile::tempdir().unwrap();
    let grace = Duration::from_millis(200);
    // The slow one and the one that calls: there is a place for others once the slow one is closed.
    let max_connections = 2;
    let slow =
        Config { outbox_events: 2000, cut_off_grace: grace, max_connections, ..config(dir.path()) };
    let master = Running::start(slow).await;
    let http = Http::connect_narrow(&master.address).await;
    let mut events = Events::open_on(http, &[JSON], subscribe("slow").to_string().as_bytes()).await;
    // More than sockets buffer, while nothing is read.
    let framework = events.wait("SUBSCRIBED").await["subscribed"]["framework_id"].clone();
    let tasks: Vec<_> =
        (0..10_000).map(|n| json!({"task_id": {"value": format!("{n:0>200}")}})).collect();
    let call =
        json!({"type": "RECONCILE", "framework_id": framework, "reconcile": {"tasks": tasks}})
            .to_string();
    let headers = [JSON, ("Mesos-Stream-Id", &*events.stream_id.clone())];
    let mut http = Http::connect(&master.address).await;
    within("the cutting off", async {
        loop {
            let answer = http.request("POST", SCHEDULER, &headers, &call).await;
            match answer.status {
                // Answers come at a pace: too many asks have to wait.
                202 | 503 => {}
                // The framework has no stream any more.
                400 | 403 => break,
                _ => panic!("{answer:?}"),
            }
        }
    })
    .await;
    // After the grace the connection is closed, whatever is still unread.
    within("the end of the slow connection", async { while !is_served(&master.address).await {} })
        .await;
    let mut updates = 0;
    while let Some(record) = events.record().await {
        let event: serde_json::Value = serde_json::from_slice(&record).unwrap();
        assert_ne!(
            event["type"], "ERROR",
            "it was read to its end after {updates} updates: {event}"
        );
        updates += usize::from(event["type"] == "UPDATE");
    }
    assert!(updates > 0);
    master.stop().await;
}

/// Whether a new connection is served; without a place for it, it is closed.
async fn is_served(address: &str) -> bool {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut answer = Vec::new();
    stream.write_all(request).await.is_ok()
        && stream.read_to_end(&mut answer).await.is_ok()
        && answer.starts_with(b"HTTP/1.1 200")
}

/// Two streams of events on one connection of HTTP/2, of which one is not read.
#[tokio::test]
async fn a_slow_stream_does_not_end_others_of_its_connection() {
    let dir = tempfile::tempdir().unwrap();
    let grace = Duration::from_millis(50);
    let mut slow = Config { outbox_events: 2000, cut_off_grace: grace, ..config(dir.path()) };
    slow.options.heartbeat_interval = grace * 3;
    let master = Running::start(slow).await;
    let stream = tokio::net::TcpStream::connect(&master.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(64 * 1024)
        .handshake::<_, String>(TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let mut open = async |name: &str| {
        let uri = format!("http://{}{SCHEDULER}", master.address);
        let request = http::Request::post(uri).header(JSON.0, JSON.1);
        let request = request.body(subscribe(name).to_string()).unwrap();
        within("an answer", sender.send_request(request)).await.unwrap()
    };
    let (unread, mut read) = (open("slow").await, open("quick").await);
    let value = request(&master.address, "GET", "/frameworks?fields=id,name", &[], "").await.json();
    let frameworks = value["frameworks"].as_array().unwrap();
    let id = &frameworks.iter().find(|one| one["name"] == "slow").unwrap()["id"];
    let tasks: Vec<_> =
        (0..10_000).map(|n| json!({"task_id": {"value": format!("{n:0>200}")}})).collect();
    let call = json!({"type": "RECONCILE", "framework_id": {"value": id},
        "reconcile": {"tasks": tasks}})
    .to_string();
    let stream_id = unread.headers()["mesos-stream-id"].to_str().unwrap();
    let headers = [JSON, ("Mesos-Stream-Id", stream_id)];
    let mut http = Http::connect(&master.address).await;
    let mut calls = 0;
    within("the cutting off", async {
        loop {
            match http.request("POST", SCHEDULER, &headers, &call).await.status {
                202 => calls += 1,
                503 => {}
                _ => break,
            }
        }
    })
    .await;
    // What waited for it is dropped, so that it ends long before all that was sent.
    let cut_off = "tepui_master_slow_readers_total 1";
    let metrics = request(&master.address, "GET", "/metrics", &[], "").await.body;
    assert!(metrics.lines().any(|line| line == cut_off), "{metrics}");
    // After the grace what waits is dropped: longer than that is between two beats.
    let mut later = Events::subscribe(&master.address, &subscribe("later")).await;
    for _ in 0..3 {
        later.wait("HEARTBEAT").await;
    }
    drop(later);
    let _agent = Agent::register(&master.address, 1).await;
    let mut events = Vec::new();
    while !String::from_utf8_lossy(&events).contains("OFFERS") {
        let frame = within("a frame", read.body_mut().frame()).await.unwrap().unwrap();
        events.extend_from_slice(frame.data_ref().unwrap());
    }
    let rest = within("the end of the slow stream", unread.into_body().collect()).await;
    let rest = rest.unwrap().to_bytes().len();
    assert!(rest < calls * call.len(), "all {rest} bytes came");
    connection.abort();
    master.stop().await;
}

#[tokio::test]
async fn slow_senders_lose_their_connection() {
    let dir = tempfile::tempdir().unwrap();
    let timeout = Duration::from_millis(100);
    let master = Running::start(Config { request_timeout: timeout, ..config(dir.path()) }).await;
    // Nothing at all, and a head that never ends.
    for sent in ["", "POST /api/v1 HTTP/1.1\r\nA: b\r\n"] {
        let mut http = Http::connect(&master.address).await;
        http.stream.write_all(sent.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        within("the end of the connection", http.stream.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.is_empty());
    }
    // A body that never ends.
    let mut http = Http::connect(&master.address).await;
    let head =
        "POST /api/v1 HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    http.stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(http.answer().await.status, 408);
    // Whoever was quick may stay.
    let mut http = Http::connect(&master.address).await;
    assert_eq!(http.request("GET", "/health", &[], "").await.status, 200);
    // One that came later and sent nothing is closed: so long a first request may take.
    let mut later = Http::connect(&master.address).await;
    let end = within("the end of the connection", later.stream.read_to_end(&mut Vec::new())).await;
    assert_eq!(end.unwrap(), 0);
    assert_eq!(http.request("GET", "/health", &[], "").await.status, 200);
    master.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_the_rest_work() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::start(Config { max_connections: 2, ..config(dir.path()) }).await;
    let mut first = Http::connect(&master.address).await;
    assert_eq!(first.request("GET", "/health", &[], "").await.status, 200);
    let mut second = Http::connect(&master.address).await;
    assert_eq!(second.request("GET", "/health", &[], "").await.status, 200);
    let mut third = Http::connect(&master.address).await;
    let closed = within("the end of the connection", third.stream.read(&mut [0; 1])).await;
    assert!(matches!(closed, Ok(0) | Err(_)));
    assert_eq!(first.request("GET", "/health", &[], "").await.status, 200);
    master.stop().await;
}

#[tokio::test]
async fn what_cannot_work_is_refused_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::at(dir.path()).await;
    // Once it answers it has its data.
    let mut http = Http::connect(&running.address).await;
    assert_eq!(http.request("GET", "/health", &[], "").await.status, 200);
    let error = Running::at(dir.path()).await.error().await.to_string();
    assert!(error.contains("in use") && error.contains("registry"), "{error}");
    let error = master::listen(running.address.parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::PortInUse { .. }));
    let port = running.address.rsplit(':').next().unwrap();
    assert!(error.to_string().contains(&format!("port {port}")), "{error}");
    running.stop().await;

    let other = Config { cluster: Some("another".to_owned()), ..config(dir.path()) };
    let error = Running::start(other).await.error().await.to_string();
    assert!(error.contains("another") && error.contains("cluster"), "{error}");
    let error =
        Running::start(Config { outbox_events: 1, ..config(dir.path()) }).await.error().await;
    assert!(matches!(error, Error::Setting { .. }), "{error}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let error = Running::start_on(Config::new(&file, "127.0.0.1"), listener).error().await;
    assert!(error.to_string().contains("file"), "{error}");
}
