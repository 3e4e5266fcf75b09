//! The table of status codes, in the order of Mesos' checks, and the small endpoints.

use crate::client::{Events, Http, JSON, request};
use crate::cluster::{Running, subscribe};
use serde_json::{Value, json};

type Headers<'a> = &'a [(&'a str, &'a str)];

const SCHEDULER: &str = "/api/v1/scheduler";

#[tokio::test]
async fn the_scheduler_endpoint_answers_with_mesos_status_codes() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::at(dir.path()).await;
    let subscribe = subscribe("f").to_string();
    let unknown = r#"{"type":"TEARDOWN","framework_id":{"value":"nobody-0000"}}"#;
    let text = ("Content-Type", "text/plain");
    let html = ("Accept", "text/html");
    let table: &[(&str, Headers<'_>, &str, u16, &str)] = &[
        ("GET", &[], "", 405, "Expecting 'POST'"),
        ("PUT", &[JSON], &subscribe, 405, "Expecting 'POST'"),
        ("POST", &[], &subscribe, 400, "Content-Type"),
        ("POST", &[text], &subscribe, 415, "application/json"),
        ("POST", &[JSON], "{", 400, "scheduler::Call"),
        ("POST", &[JSON], "{}", 400, "type"),
        ("POST", &[JSON], r#"{"type":"SUBSCRIBE"}"#, 400, "subscribe"),
        ("POST", &[JSON], r#"{"type":"KILL","framework_id":{"value":"f"}}"#, 400, "kill"),
        ("POST", &[JSON, html], &subscribe, 406, "Accept"),
        ("POST", &[JSON, ("Mesos-Stream-Id", "x")], &subscribe, 400, "Mesos-Stream-Id"),
        ("POST", &[JSON], unknown, 400, "Framework cannot be found"),
        ("POST", &[JSON], r#"{"type":"TEARDOWN"}"#, 400, "framework_id"),
    ];
    for (method, headers, body, status, says) in table {
        let answer = request(&master.address, method, SCHEDULER, headers, body).await;
        assert_eq!(answer.status, *status, "{method} {headers:?} {body}: {answer:?}");
        assert!(answer.body.contains(says), "{method} {headers:?} {body}: {answer:?}");
        assert!(answer.headers["content-type"].starts_with("text/plain"), "{answer:?}");
        if *status == 405 {
            assert_eq!(answer.headers["allow"], "POST");
        }
    }
    let large = "x".repeat(5 << 20);
    let mut http = Http::connect(&master.address).await;
    let head = format!(
        "POST {SCHEDULER} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        large.len()
    );
    tokio::io::AsyncWriteExt::write_all(&mut http.stream, head.as_bytes()).await.unwrap();
    assert_eq!(http.answer().await.status, 413);
    master.stop().await;
}

#[tokio::test]
async fn calls_need_the_stream_of_their_framework() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::at(dir.path()).await;
    let mut events = Events::subscribe(&master.address, &subscribe("f")).await;
    let framework_id = events.event().await["subscribed"]["framework_id"].clone();
    let call = |kind: &str| json!({"type": kind, "framework_id": framework_id}).to_string();
    let other = Events::subscribe(&master.address, &subscribe("g")).await.stream_id;
    let nobody = "00000000-0000-4000-8000-000000000000";
    for stream_id in [None, Some("no uuid"), Some(nobody), Some(&*other)] {
        let mut headers = vec![JSON];
        headers.extend(stream_id.map(|id| ("Mesos-Stream-Id", id)));
        let answer = request(&master.address, "POST", SCHEDULER, &headers, &call("TEARDOWN")).await;
        assert_eq!(answer.status, 400, "{stream_id:?} {answer:?}");
    }
    let headers = [JSON, ("Mesos-Stream-Id", &*events.stream_id.clone())];
    // Both on one connection, one behind the other.
    let mut http = Http::connect(&master.address).await;
    let inverse = json!({"type": "ACCEPT_INVERSE_OFFERS", "framework_id": framework_id,
        "accept_inverse_offers": {"inverse_offer_ids": []}});
    let answer = http.request("POST", SCHEDULER, &headers, &inverse.to_string()).await;
    assert_eq!((answer.status, &*answer.body), (202, ""), "{answer:?}");
    let answer = http.request("POST", SCHEDULER, &headers, &call("TEARDOWN")).await;
    assert_eq!((answer.status, &*answer.body), (202, ""), "{answer:?}");
    // The framework is over: its stream ends, its id is refused.
    while let Some(record) = events.record().await {
        assert!(!record.is_empty());
    }
    let answer = http.request("POST", SCHEDULER, &headers, &call("TEARDOWN")).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    master.stop().await;
}

#[tokio::test]
async fn the_operator_endpoint_answers_and_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::at(dir.path()).await;
    let table: &[(&str, Headers<'_>, &str, u16)] = &[
        ("GET", &[], "", 405),
        ("POST", &[], r#"{"type":"GET_HEALTH"}"#, 400),
        ("POST", &[("Content-Type", "a/b")], r#"{"type":"GET_HEALTH"}"#, 415),
        ("POST", &[JSON], r#"{"type":"NO_SUCH_CALL"}"#, 400),
        ("POST", &[JSON, ("Accept", "image/png")], r#"{"type":"GET_HEALTH"}"#, 406),
        ("POST", &[JSON], r#"{"type":"GET_HEALTH"}"#, 200),
        ("POST", &[JSON], r#"{"type":"GET_STATE"}"#, 200),
        ("POST", &[JSON], r#"{"type":"GET_LOGGING_LEVEL"}"#, 200),
        ("POST", &[JSON], r#"{"type":"UNKNOWN"}"#, 501),
    ];
    for (method, headers, body, status) in table {
        let answer = request(&master.address, method, "/api/v1", headers, body).await;
        assert_eq!(answer.status, *status, "{method} {headers:?} {body}: {answer:?}");
        if *status == 200 {
            let response: Value = serde_json::from_str(&answer.body).unwrap();
            let asked: Value = serde_json::from_str(body).unwrap();
            assert_eq!(response["type"], asked["type"], "{answer:?}");
            assert_eq!(answer.headers["content-type"], "application/json");
        }
    }
    master.stop().await;
}

#[tokio::test]
async fn small_endpoints_answer_as_old_clients_ask() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::at(dir.path()).await;
    for path in ["/version", "/master/version", "/version/", "/master/version/more"] {
        for method in ["GET", "POST"] {
            let answer = request(&master.address, method, path, &[], "").await;
            assert_eq!(answer.status, 200, "{method} {path}");
            let version: Value = serde_json::from_str(&answer.body).unwrap();
            let numbers: Vec<u32> = version["version"]
                .as_str()
                .unwrap()
                .split('.')
                .map(|number| number.parse().unwrap())
                .collect();
            assert_eq!(numbers.len(), 3);
            assert!(version["tepui_version"].is_string());
        }
    }
    for path in ["/health", "/master/health"] {
        assert_eq!(request(&master.address, "GET", path, &[], "").await.status, 200);
    }
    let answer = request(&master.address, "GET", "/master/redirect", &[], "").await;
    assert_eq!(answer.status, 307);
    assert_eq!(answer.headers["location"], format!("//{}", master.address));
    for (path, status) in
        [("/quota", 200), ("/master/registrar(1)/registry", 501), ("/nothing", 404), ("/", 200)]
    {
        let answer = request(&master.address, "GET", path, &[], "").await;
        assert_eq!(answer.status, status, "{path}");
    }
    let stats = request(&master.address, "GET", "/master/system/stats.json", &[], "").await.json();
    assert!(stats["mem_total_bytes"].as_u64() > Some(1 << 20), "{stats}");
    assert!(stats["cpus_total"].as_u64() > Some(0) && stats["avg_load_1min"].is_f64(), "{stats}");
    assert_eq!(request(&master.address, "DELETE", "/version", &[], "").await.status, 405);
    master.stop().await;
}

#[tokio::test]
async fn metrics_are_text_that_prometheus_reads() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::at(dir.path()).await;
    let mut events = Events::subscribe(&master.address, &subscribe("f")).await;
    events.wait("SUBSCRIBED").await;
    request(&master.address, "GET", "/nothing", &[], "").await;
    let answer = request(&master.address, "GET", "/metrics", &[], "").await;
    assert_eq!(answer.status, 200);
    for line in answer.body.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let bare = name.split('{').next().unwrap();
        assert!(answer.body.contains("# TYPE ") && bare.starts_with("tepui_"), "{line}");
    }
    for line in [
        "tepui_master_frameworks{connection=\"connected\"} 1",
        "tepui_master_agents{standing=\"active\"} 0",
        "tepui_master_events_total{kind=\"SUBSCRIBED\"} 1",
        "tepui_master_http_requests_total{route=\"unknown\",code=\"404\"} 1",
        "tepui_master_http_requests_total{route=\"/api/v1/scheduler\",code=\"200\"} 1",
        "tepui_master_streams{peer=\"framework\"} 1",
    ] {
        assert!(answer.body.lines().any(|found| found == line), "{line}\n{}", answer.body);
    }
    master.stop().await;
}

#[tokio::test]
async fn a_framework_that_makes_no_sense_is_told_so_on_its_stream() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::at(dir.path()).await;
    for (change, said) in [
        (json!({"role": "a//b"}), "role 'a//b' must not have an empty component"),
        (json!({"role": "a", "roles": ["b"]}), "must not stand together with 'role'"),
        (json!({"failover_timeout": -1}), "must be a number of seconds"),
    ] {
        let mut call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": {
            "user": "u", "name": "n"}}});
        let info = call["subscribe"]["framework_info"].as_object_mut().unwrap();
        info.extend(change.as_object().unwrap().clone());
        let mut events = Events::subscribe(&master.address, &call).await;
        let event = events.event().await;
        assert_eq!(event["type"], "ERROR", "{event}");
        let message = event["error"]["message"].as_str().unwrap();
        assert!(message.contains(said), "{message}");
        // The record that pushes it out of buffers on the way, and then the end.
        assert_eq!(events.event().await["type"], "HEARTBEAT");
        assert_eq!(events.record().await, None, "the stream ends");
    }
    master.stop().await;
}
