//! Two hundred requests that are malformed or meant to harm: each gets its status code, and none
//! changes anything.

mod operators;
mod readers;

use crate::client::{Events, Http, JSON, request, within};
use crate::cluster::{Agent, Running, config, subscribe};
use master::Config;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SCHEDULER: &str = "/api/v1/scheduler";
const OPERATOR: &str = "/api/v1";
const PROTOBUF: (&str, &str) = ("Content-Type", "application/x-protobuf");

/// One request and the status codes that it may get.
struct Case {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    status: Vec<u16>,
}

/// Collects cases.
#[derive(Default)]
struct Cases(Vec<Case>);

impl Cases {
    fn add(
        &mut self,
        method: &'static str,
        path: &str,
        headers: &[(&'static str, &str)],
        body: impl Into<Vec<u8>>,
        status: &[u16],
    ) {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let (path, body, status) = (path.to_owned(), body.into(), status.to_vec());
        self.0.push(Case { method, path, headers, body, status });
    }

    fn json(&mut self, path: &str, body: &Value, status: u16) {
        self.add("POST", path, &[JSON], body.to_string(), &[status]);
    }
}

/// Wrong methods, media types and paths.
fn envelopes(cases: &mut Cases) {
    let health = r#"{"type":"GET_HEALTH"}"#;
    for path in [SCHEDULER, OPERATOR] {
        for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            cases.add(method, path, &[JSON], health, &[405]);
        }
        cases.add("POST", path, &[], health, &[400]);
        for wrong in ["text/plain", "application/xml", "application/jsonx", "json", "*/*"] {
            cases.add("POST", path, &[("Content-Type", wrong)], health, &[415]);
        }
    }
    for wrong in ["text/html", "application/jsonp", "image/*", ";;;"] {
        cases.add("POST", OPERATOR, &[JSON, ("Accept", wrong)], health, &[406]);
    }
    for path in ["/nothing", "/api", "/api/v2", "/statex", "/masterstate", "/%2e%2e/etc/passwd"] {
        cases.add("GET", path, &[], "", &[404]);
    }
    for path in ["/state", "/tasks", "/slaves", "/frameworks", "/roles", "/version", "/metrics"] {
        cases.add("DELETE", path, &[], "", &[405]);
    }
    for path in ["/files/read", "/files/download", "/files/browse"] {
        cases.add("GET", path, &[], "", &[400]);
        cases.add("GET", &format!("{path}?path=../../etc/passwd"), &[], "", &[404]);
    }
    let long = format!("/{}", "x".repeat(40_000));
    cases.add("GET", &long, &[], "", &[404, 414, 431]);
    for query in ["?jsonp=<script>", "?jsonp=a%28%29"] {
        cases.add("GET", &format!("/state{query}"), &[], "", &[400]);
    }
}

/// Bodies that are no message at all.
fn bodies(cases: &mut Cases) {
    let deep_list = "[".repeat(100_000);
    let deep_object = r#"{"a":"#.repeat(50_000);
    let deep_known = format!(
        r#"{{"type":"SUBSCRIBE","subscribe":{}{}}}"#,
        r#"{"framework_info":"#.repeat(100),
        "}".repeat(100)
    );
    let long_number = format!(r#"{{"type":{}}}"#, "9".repeat(100_000));
    let texts = [
        "",
        " ",
        "{",
        "}",
        "[]",
        "[{}]",
        "null",
        "42",
        "\"GET_STATE\"",
        "{}",
        "{\"type\":}",
        "{\"type\":null}",
        "{\"type\":7}",
        "{\"type\":\"\"}",
        "{\"type\":\"NO_SUCH\"}",
        "{\"type\":{}}",
        "{'type':'GET_STATE'}",
        "{\"type\":\"GET_HEALTH\"} x",
        "{\"type\":\"GET_HEALTH\",}",
        "{\"type\" \"GET_HEALTH\"}",
        "{\"type\":\"GET_HEALTH",
        "{\"type\":\"\\ud800\"}",
        "{\"type\":1e999}",
        "{\"type\":NaN}",
        "\u{feff}{}",
        &deep_list,
        &deep_object,
        &deep_known,
        &long_number,
    ];
    for path in [SCHEDULER, OPERATOR] {
        for text in texts {
            cases.add("POST", path, &[JSON], text, &[400]);
        }
        cases.add("POST", path, &[JSON], *b"{\"type\":\"\xff\xfe\"}", &[400]);
        let deep: Vec<u8> = [0x13; 5_000].to_vec();
        for bytes in [
            &b""[..],
            b"\x08",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x08\xff\x7f",
            b"\x12\xff\xff\xff\xff\x0f",
            b"\x0f",
            b"\x00\x00",
            &deep,
            &[0xff; 64],
        ] {
            cases.add("POST", path, &[PROTOBUF], bytes, &[400]);
        }
        let huge = vec![b' '; (4 << 20) + 1];
        cases.add("POST", path, &[JSON], huge, &[413]);
    }
}

/// Calls of a scheduler that lack something, say it in the wrong way, or are of nobody.
fn scheduler(cases: &mut Cases) {
    let id = json!({"value": "nobody-0000"});
    for kind in [
        "ACCEPT",
        "DECLINE",
        "KILL",
        "SHUTDOWN",
        "ACKNOWLEDGE",
        "RECONCILE",
        "MESSAGE",
        "REQUEST",
        "ACCEPT_INVERSE_OFFERS",
        "DECLINE_INVERSE_OFFERS",
        "UPDATE_FRAMEWORK",
        "ACKNOWLEDGE_OPERATION_STATUS",
        "RECONCILE_OPERATIONS",
    ] {
        cases.json(SCHEDULER, &json!({"type": kind, "framework_id": id}), 400);
    }
    cases.json(SCHEDULER, &json!({"type": "SUBSCRIBE"}), 400);
    cases.json(SCHEDULER, &json!({"type": "SUBSCRIBE", "subscribe": {}}), 400);
    for info in [json!({}), json!({"user": "u"}), json!({"name": "n"}), json!([]), json!("x")] {
        let call = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}});
        cases.json(SCHEDULER, &call, 400);
    }
    // Of a framework that nobody knows, each call whole.
    let agent = json!({"value": "S0"});
    let task = json!({"value": "t"});
    for (kind, member, value) in [
        ("ACCEPT", "accept", json!({"offer_ids": [{"value": "O1"}], "operations": []})),
        ("DECLINE", "decline", json!({"offer_ids": [{"value": "O1"}]})),
        ("KILL", "kill", json!({"task_id": task})),
        ("RECONCILE", "reconcile", json!({"tasks": []})),
        ("REQUEST", "request", json!({"requests": []})),
        ("REVIVE", "revive", json!({})),
        ("SUPPRESS", "suppress", json!({})),
        ("TEARDOWN", "teardown", json!({})),
        (
            "ACKNOWLEDGE",
            "acknowledge",
            json!({"agent_id": agent, "task_id": task, "uuid": "AAAAAAAAAAAAAAAAAAAAAA=="}),
        ),
        (
            "MESSAGE",
            "message",
            json!({"agent_id": agent, "executor_id": {"value": "e"}, "data": ""}),
        ),
    ] {
        cases.json(SCHEDULER, &json!({"type": kind, "framework_id": id, member: value}), 400);
        cases.json(SCHEDULER, &json!({"type": kind, member: value}), 400);
    }
}

/// Calls of a scheduler whose ids, members or counts are wrong.
fn scheduler_values(cases: &mut Cases) {
    let id = json!({"value": "nobody-0000"});
    let agent = json!({"value": "S0"});
    let task = json!({"value": "t"});
    let long = "x".repeat(256);
    for wrong in ["", ".", "..", "a/b", "a\\b", "a\u{0}b", "a\nb", &long] {
        let call =
            json!({"type": "KILL", "framework_id": id, "kill": {"task_id": {"value": wrong}}});
        cases.json(SCHEDULER, &call, 400);
        let call = json!({"type": "REVIVE", "framework_id": {"value": wrong}});
        cases.json(SCHEDULER, &call, 400);
    }
    for (member, value) in [
        ("kill", json!({"task_id": "t"})),
        ("kill", json!({"task_id": {"value": 7}})),
        ("kill", json!({"task_id": {"value": ["a", "b"]}})),
        ("kill", json!({"task_id": task, "kill_policy": {"grace_period": {"nanoseconds": "x"}}})),
        ("kill", json!([])),
        ("kill", json!("t")),
        ("kill", json!(null)),
    ] {
        let call = json!({"type": "KILL", "framework_id": id, member: value});
        cases.json(SCHEDULER, &call, 400);
    }
    for uuid in ["", "AA", "!!!!", "AAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        let call = json!({"type": "ACKNOWLEDGE", "framework_id": id, "acknowledge": {
            "agent_id": agent, "task_id": task, "uuid": uuid}});
        cases.json(SCHEDULER, &call, 400);
    }
    let many: Vec<Value> = (0..70_000).map(|_| json!({"value": "O"})).collect();
    let call = json!({"type": "DECLINE", "framework_id": id, "decline": {"offer_ids": many}});
    cases.json(SCHEDULER, &call, 400);
}

/// What may not change: everything that operators see, without what is only time.
async fn everything(master: &Running) -> Value {
    let state = request(&master.address, "GET", "/state", &[], "").await;
    assert_eq!(state.status, 200, "{state:?}");
    let mut state = state.json();
    // Who was connected for a moment is no harm; what is offered to whom may move.
    for one in state["slaves"].as_array_mut().unwrap() {
        for moving in ["offered_resources", "offered_resources_full"] {
            one.as_object_mut().unwrap().remove(moving);
        }
    }
    for one in state["frameworks"].as_array_mut().unwrap() {
        for moving in ["offers", "offered_resources", "resources"] {
            one.as_object_mut().unwrap().remove(moving);
        }
    }
    state
}

/// A master with an agent and a framework, whose stream is open.
async fn start(mut config: Config) -> (Running, Agent, Events) {
    // The scripted agent answers no pings.
    config.options.agent_timeout = Duration::from_secs(3600);
    let master = Running::start(config).await;
    let agent = Agent::register(&master.address, 1).await;
    let mut events = Events::subscribe(&master.address, &subscribe("victim")).await;
    events.wait("OFFERS").await;
    (master, agent, events)
}

#[tokio::test]
async fn two_hundred_malformed_requests_are_refused_and_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (master, _agent, _events) = start(config(dir.path())).await;
    let before = everything(&master).await;
    let mut cases = Cases::default();
    envelopes(&mut cases);
    bodies(&mut cases);
    scheduler(&mut cases);
    scheduler_values(&mut cases);
    operators::calls(&mut cases);
    operators::forwarded(&mut cases);
    assert!(cases.0.len() >= 300, "{} cases", cases.0.len());
    let mut wrong = Vec::new();
    for Case { method, path, headers, body, status } in &cases.0 {
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut http = Http::connect(&master.address).await;
        http.send_whatever(method, path, &headers, body).await;
        let answer = http.answer().await;
        if !status.contains(&answer.status) {
            let body: String = String::from_utf8_lossy(body).chars().take(200).collect();
            let path: String = path.chars().take(60).collect();
            wrong.push(format!(
                "{method} {path} {headers:?} {body}: {} instead of {status:?}: {}",
                answer.status, answer.body
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.0.len(), wrong.join("\n"));
    assert_eq!(everything(&master).await, before);
    master.stop().await;
}

#[tokio::test]
async fn calls_on_a_stream_of_somebody_else_are_refused_and_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (master, _agent, events) = start(config(dir.path())).await;
    let mut other = Events::subscribe(&master.address, &subscribe("other")).await;
    other.wait("SUBSCRIBED").await;
    let before = everything(&master).await;
    let frameworks = before["frameworks"].as_array().unwrap();
    let id = |name: &str| {
        let found = frameworks.iter().find(|one| one["name"] == name).unwrap();
        json!({ "value": found["id"] })
    };
    let unknown = "00000000-0000-0000-0000-000000000000";
    for kind in ["TEARDOWN", "REVIVE", "SUPPRESS", "REQUEST", "RECONCILE", "DECLINE"] {
        let mut call = json!({"type": kind, "framework_id": id("victim")});
        call[kind.to_ascii_lowercase()] = match kind {
            "DECLINE" => json!({"offer_ids": [{"value": "O"}]}),
            _ => json!({}),
        };
        let streams = [None, Some(""), Some("x"), Some(unknown), Some(&*other.stream_id)];
        for stream in streams {
            let mut headers = vec![JSON];
            headers.extend(stream.map(|stream| ("Mesos-Stream-Id", stream)));
            let body = call.to_string();
            let answer = request(&master.address, "POST", SCHEDULER, &headers, &body).await;
            assert_eq!(answer.status, 400, "{kind} {stream:?}: {answer:?}");
        }
    }
    let headers = [JSON, ("Mesos-Stream-Id", &*events.stream_id)];
    let body = subscribe("victim").to_string();
    let answer = request(&master.address, "POST", SCHEDULER, &headers, &body).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(everything(&master).await, before);
    master.stop().await;
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.request_timeout = Duration::from_millis(300);
    let (master, _agent, _events) = start(config).await;
    let before = everything(&master).await;
    let long_header = format!("GET /version HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let many_headers = format!("GET /version HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(10_000));
    let post = "POST /api/v1 HTTP/1.1\r\nHost: m\r\nContent-Type: application/json\r\n";
    let with = |rest: &str| format!("{post}{rest}");
    for raw in [
        "\r\n\r\n\r\n".to_owned(),
        "GET".to_owned(),
        "GET /version\r\n\r\n".to_owned(),
        "GET /version HTTP/9.9\r\n\r\n".to_owned(),
        "G\0T /version HTTP/1.1\r\n\r\n".to_owned(),
        "GET /version HTTP/1.1\r\nBad Header\r\n\r\n".to_owned(),
        "GET /version HTTP/1.1\r\n: empty\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense nonsense nonsense".to_owned(),
        long_header,
        many_headers,
        with("Content-Length: -1\r\n\r\n{}"),
        with("Content-Length: x\r\n\r\n{}"),
        with("Content-Length: 99999999999999999999\r\n\r\n{}"),
        with("Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}"),
        with("Content-Length: 100\r\n\r\n{}"),
        with("Transfer-Encoding: chunked\r\n\r\nzz\r\n{}"),
        with("Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n{}"),
        with("Transfer-Encoding: chunked\r\n\r\n5\r\n{}"),
        with("Transfer-Encoding: gzip\r\n\r\n{}"),
    ] {
        let mut http = Http::connect(&master.address).await;
        // It may be closed before all of it is sent.
        let _ = http.stream.write_all(raw.as_bytes()).await;
        let mut answer = Vec::new();
        let read = within("an answer or an end", http.stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer);
        let refused = answer.starts_with("HTTP/1.1 4") || !answer.starts_with("HTTP/1.");
        assert!(refused || read.is_err(), "{raw:.100}: {answer:.200}");
    }
    // A body that grows beyond the limit without having said so.
    let mut http = Http::connect(&master.address).await;
    http.stream.write_all(with("Transfer-Encoding: chunked\r\n\r\n").as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    for _ in 0..80 {
        if http.stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let _ = within("an answer or an end", http.stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer:.200}");
    assert_eq!(everything(&master).await, before);
    master.stop().await;
}

#[tokio::test]
async fn floods_and_half_open_connections_change_nothing_and_others_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.request_timeout = Duration::from_millis(500);
    config.max_connections = 400;
    let (master, _agent, mut events) = start(config).await;
    let before = everything(&master).await;
    let mut half_open = Vec::new();
    for n in 0..200 {
        let mut http = Http::connect(&master.address).await;
        // Nothing at all, half a head, or half a body.
        let head = "POST /api/v1 HTTP/1.1\r\nContent-Type: application/json\r\n";
        let part = match n % 3 {
            0 => String::new(),
            1 => head.to_owned(),
            _ => format!("{head}Content-Length: 1000\r\n\r\n{{"),
        };
        http.stream.write_all(part.as_bytes()).await.unwrap();
        half_open.push(http);
    }
    // Many in one go, of which none waits for its answer.
    let mut flood = Http::connect(&master.address).await;
    for _ in 0..2_000 {
        flood.send("POST", SCHEDULER, &[JSON], b"{").await;
    }
    for _ in 0..2_000 {
        assert_eq!(flood.answer().await.status, 400);
    }
    assert_eq!(everything(&master).await, before);
    // Connections that never said what they want are closed.
    for mut http in half_open {
        let mut rest = Vec::new();
        let _ = within("the end", http.stream.read_to_end(&mut rest)).await;
        let rest = String::from_utf8_lossy(&rest);
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 408"), "{rest}");
    }
    let _second = Agent::register(&master.address, 2).await;
    events.wait("OFFERS").await;
    master.stop().await;
}
