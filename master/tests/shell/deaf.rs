//! An agent that does not read what the master tells it: written frame by frame, as no client of
//! ours would. The server of agents' connections carries it.

use crate::begin::{self, HEADERS, SETTINGS, Server};
use crate::client::{Events, Http, JSON, request, within};
use crate::cluster::{Running, agent_info, config, subscribe};
use proto::agent_link::{AgentCall, AgentEvent};
use proto::{AgentId, Encoding, Limits, Wire};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const DATA: u8 = 0;
const WINDOW_UPDATE: u8 = 8;
/// Bytes of each message that the agent is sent.
const MESSAGE: usize = 9_999;

/// A message in its frame.
fn said(call: &AgentCall) -> Vec<u8> {
    let message = call.encode(Encoding::Protobuf);
    let len = u32::try_from(message.len()).unwrap().to_be_bytes();
    begin::frame(DATA, 0, 1, &[&[0][..], &len, &message].concat())
}

/// The agent, with what it has read of its stream and not understood yet.
struct Deaf {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Deaf {
    async fn register(master: &Running) -> (Self, AgentId) {
        let mut stream = begin::connect(master).await;
        let info = agent_info(None);
        let call = AgentCall::Register { info, version: Arc::from("1"), nonce: 1 };
        let all = [begin::hello(), begin::request(), said(&call)].concat();
        stream.write_all(&all).await.unwrap();
        let settings = begin::next(&mut stream, SETTINGS).await;
        assert_eq!(begin::server(&settings), Server::Slim);
        begin::next(&mut stream, HEADERS).await;
        let mut deaf = Self { stream, bytes: Vec::new() };
        match deaf.event().await {
            AgentEvent::Registered { agent_id, .. } => (deaf, agent_id),
            other => panic!("{other:?}"),
        }
    }

    /// Lets the master send as much as it likes.
    async fn open_windows(&mut self) {
        let more = (1_u32 << 30).to_be_bytes();
        let updates = [0, 1].map(|stream| begin::frame(WINDOW_UPDATE, 0, stream, &more)).concat();
        self.stream.write_all(&updates).await.unwrap();
    }

    async fn event(&mut self) -> AgentEvent {
        loop {
            if let Some(([_, len @ ..], rest)) = self.bytes.split_first_chunk::<5>() {
                let len = u32::from_be_bytes(*len) as usize;
                if let Some(message) = rest.get(..len) {
                    let event = AgentEvent::decode(message, Encoding::Protobuf, &Limits::DEFAULT);
                    self.bytes.drain(..5 + len);
                    return event.unwrap();
                }
            }
            let more = begin::next(&mut self.stream, DATA).await;
            self.bytes.extend(more);
        }
    }
}

#[tokio::test]
async fn an_agent_that_does_not_read_is_cut_off_and_told_why() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    (config.outbox_events, config.reader_stall) = (16, Duration::from_millis(50));
    // It reads in the end, and then all that waits.
    config.cut_off_grace = Duration::from_secs(3600);
    config.options.agent_timeout = Duration::from_secs(3600);
    let most = config.outbox_events * 16 + 1;
    let master = Running::start(config).await;
    let (mut deaf, agent_id) = Deaf::register(&master).await;
    let slim = "tepui_master_agent_connections{server=\"slim\"} 1\n";
    let metrics = async || request(&master.address, "GET", "/metrics", &[], "").await.body;
    assert!(metrics().await.contains(slim));
    let mut events = Events::subscribe(&master.address, &subscribe("f")).await;
    let subscribed = events.wait("SUBSCRIBED").await;
    let data = "BwcH".repeat(MESSAGE / 3);
    let call = json!({"type": "MESSAGE", "framework_id": subscribed["subscribed"]["framework_id"],
        "message": {"agent_id": {"value": agent_id.as_str()}, "executor_id": {"value": "e"},
        "data": data}})
    .to_string();
    let headers = [JSON, ("Mesos-Stream-Id", &*events.stream_id.clone())];
    let mut http = Http::connect(&master.address).await;
    within("the cutting off", async {
        while !metrics().await.contains("tepui_master_slow_readers_total 1\n") {
            let answer = http.request("POST", "/api/v1/scheduler", &headers, &call).await;
            assert_eq!(answer.status, 202, "{answer:?}");
        }
    })
    .await;
    // To the core it is as if the connection had ended.
    let agents = request(&master.address, "GET", "/slaves?fields=active", &[], "").await.json();
    assert_eq!(agents["slaves"], json!([{"active": false}]));
    // All that was kept for it, and why there is no more.
    deaf.open_windows().await;
    let mut count = 0;
    let why = loop {
        match deaf.event().await {
            AgentEvent::Message { data, .. } => {
                assert_eq!(data.len(), MESSAGE);
                count += 1;
            }
            AgentEvent::Ping { .. } => {}
            AgentEvent::Refused { message, gone: false } => break message,
            other => panic!("{other:?}"),
        }
    };
    assert!(why.contains("too slowly"), "{why}");
    // Its window and its outbox, and what is on its way from one to the other.
    assert!(count <= most + 20, "{count} messages were kept");
    let end = begin::next(&mut deaf.stream, HEADERS).await;
    assert!(!end.is_empty(), "the stream ends well");
    master.stop().await;
}
