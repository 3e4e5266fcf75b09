//! Answers over gRPC that nobody reads: they keep nobody else from reading.

use crate::client::within;
use crate::cluster::{Agent, Running, config};
use bytes::{BufMut, Bytes, BytesMut};
use grpc::{ClientOptions, OPERATOR_EVENTS_PATH, OPERATOR_PATH, OperatorClient, WatchClient};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proto::agent_link::AgentEvent;
use proto::operator::{Call, Event};
use proto::{Encoding, Wire};
use std::time::Duration;
use tokio::net::TcpStream;

/// A client that lets the master send one byte of each answer.
struct Reluctant(SendRequest<Full<Bytes>>);

impl Reluctant {
    async fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut builder = Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(1);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        // Ends with the sender, or the master; pings are answered until then.
        tokio::spawn(connection);
        Self(sender)
    }

    async fn ask(&mut self, path: &str, call: &Call) -> Response<Incoming> {
        let message = call.encode(Encoding::Protobuf);
        let mut body = BytesMut::new();
        body.put_u8(0);
        body.put_u32(u32::try_from(message.len()).unwrap());
        body.put(message);
        let request = Request::post(format!("http://master{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(body.freeze()))
            .unwrap();
        within("an answer", self.0.send_request(request)).await.unwrap()
    }

    /// Asks, and reads the first byte: the answer was made.
    async fn begin(&mut self, path: &str, call: &Call) -> Response<Incoming> {
        let mut answer = self.ask(path, call).await;
        let frame = within("a byte", answer.body_mut().frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap().len(), 1);
        answer
    }
}

const WATCH: Call = Call::Subscribe { resume: None };
const UNAVAILABLE: &str = "14";

#[tokio::test]
async fn who_does_not_read_keeps_nobody_else_from_reading() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    // The agent answers no pings while others read.
    config.options.agent_timeout = Duration::from_secs(3600);
    let master = Running::start(config).await;
    let mut agent = Agent::register(&master.address, 1).await;
    agent.link.sender.send(crate::reads::many_tasks(&agent, 20_000)).await.unwrap();
    assert!(matches!(agent.next().await, AgentEvent::Reregistered { .. }));
    let options = ClientOptions::default();
    let client = OperatorClient::connect(&master.address, &options).await.unwrap();
    let read = async || {
        let state = within("everything", client.call(Call::GetState)).await.unwrap();
        state.encode(Encoding::Protobuf).len()
    };
    // An answer that is not small.
    within("the tasks", async { while read().await <= 1 << 20 {} }).await;
    let mut unread = Vec::new();
    for _ in 0..2 {
        for (path, call) in [(OPERATOR_PATH, &Call::GetState), (OPERATOR_EVENTS_PATH, &WATCH)] {
            let mut client = Reluctant::connect(&master.address).await;
            let answer = client.begin(path, call).await;
            unread.push((client, answer));
        }
    }
    assert!(read().await > 1 << 20);
    let mut watch = WatchClient::connect(&master.address, &options).await.unwrap();
    watch.sender.send(WATCH).await.unwrap();
    let first = within("the beginning", watch.incoming.next()).await.unwrap().unwrap();
    assert!(matches!(first.event, Event::Subscribed { state: Some(_), .. }));
    // Small answers need no place, not even on a connection that has one.
    let (greedy, _answer) = &mut unread[0];
    greedy.begin(OPERATOR_PATH, &Call::GetFrameworks).await;
    // One more that is big finds none, and is told so.
    let mut other = Reluctant(greedy.0.clone());
    let (read, watched) = tokio::join!(greedy.ask(OPERATOR_PATH, &Call::GetState), async {
        let mut answer = other.ask(OPERATOR_EVENTS_PATH, &WATCH).await;
        within("the end", answer.body_mut().frame()).await.unwrap().unwrap()
    });
    assert_eq!(read.headers()["grpc-status"], UNAVAILABLE);
    assert_eq!(watched.into_trailers().unwrap()["grpc-status"], UNAVAILABLE);
    drop(unread);
    master.stop().await;
}
