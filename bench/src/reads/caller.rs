//! One framework that makes a call after the other and looks at how long each takes.

use super::http;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Between an answer and the next call.
const PAUSE: Duration = Duration::from_millis(1);
const PATH: &str = "/api/v1/scheduler";

/// Calls of a framework, in milliseconds each, from the first byte sent to the answer's head read.
pub(super) fn call_for(address: &str, how_long: Duration) -> Vec<f64> {
    let mut events = TcpStream::connect(address).expect("the master listens");
    let subscribe = r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"root","name":"calls"},"suppressed_roles":["*"]}}"#;
    http::send(&mut events, "POST", PATH, "", subscribe).expect("the master reads");
    let mut events = BufReader::new(events);
    let head = http::head(&mut events).expect("the master answers");
    let stream = http::header(&head, "mesos-stream-id").expect("a stream has an id");
    let id = subscribed(&mut events);
    let call = format!(r#"{{"type":"RECONCILE","framework_id":{id},"reconcile":{{"tasks":[]}}}}"#);
    let teardown = format!(r#"{{"type":"TEARDOWN","framework_id":{id}}}"#);
    let connection = TcpStream::connect(address).expect("the master listens");
    connection.set_nodelay(true).expect("a socket option");
    let mut connection = BufReader::new(connection);
    let header = format!("Mesos-Stream-Id: {stream}\r\n");
    let mut all = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < how_long {
        let start = Instant::now();
        http::send(connection.get_mut(), "POST", PATH, &header, &call).expect("the master reads");
        let answer = http::head(&mut connection).expect("the master answers");
        all.push(start.elapsed().as_secs_f64() * 1e3);
        assert!(answer[0].contains(" 202 "), "{answer:?}");
        std::thread::sleep(PAUSE);
    }
    http::send(connection.get_mut(), "POST", PATH, &header, &teardown).expect("the master reads");
    http::head(&mut connection).expect("the master answers");
    all
}

/// The framework's id, as JSON, from the first event of its stream: one chunk, one record.
fn subscribed(events: &mut BufReader<TcpStream>) -> serde_json::Value {
    let (mut chunk, mut record) = (String::new(), String::new());
    events.read_line(&mut chunk).expect("an event comes");
    events.read_line(&mut record).expect("an event comes");
    let mut body = vec![0; record.trim().parse().expect("a length")];
    events.read_exact(&mut body).expect("an event comes");
    let event: serde_json::Value = serde_json::from_slice(&body).expect("an event is JSON");
    event["subscribed"]["framework_id"].clone()
}
