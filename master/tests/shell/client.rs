//! A raw HTTP/1.1 client: what goes over the wire is what the test wrote.

use proto::scheduler::Event;
use proto::{Encoding, Limits, Wire};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

/// Longer than anything takes; a test that waits so long has failed.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, work).await.unwrap_or_else(|_| panic!("{what} did not come"))
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
}

/// An answer with its body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// One connection.
pub(crate) struct Http {
    pub(crate) stream: BufReader<TcpStream>,
}

impl Http {
    pub(crate) async fn connect(address: &str) -> Self {
        Self { stream: BufReader::new(TcpStream::connect(address).await.unwrap()) }
    }

    /// With a small buffer of its own, so that what is not read stays with the master.
    pub(crate) async fn connect_narrow(address: &str) -> Self {
        Self::connect_narrow_from(Ipv4Addr::LOCALHOST, address).await
    }

    /// The same, from an address.
    pub(crate) async fn connect_narrow_from(from: Ipv4Addr, address: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        socket.set_recv_buffer_size(32 * 1024).unwrap();
        Self { stream: BufReader::new(socket.connect(address.parse().unwrap()).await.unwrap()) }
    }

    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: master\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        self.stream.write_all(head.as_bytes()).await.unwrap();
        self.stream.write_all(body).await.unwrap();
    }

    /// As `send`, to a server that may answer and close before it has read all of it.
    pub(crate) async fn send_whatever(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: master\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        if self.stream.write_all(head.as_bytes()).await.is_ok() {
            // What is too long is refused before it is read.
            let _ = self.stream.write_all(&body[..body.len().min(1 << 20)]).await;
        }
    }

    pub(crate) async fn head(&mut self) -> Head {
        let mut status_line = String::new();
        within("an answer", self.stream.read_line(&mut status_line)).await.unwrap();
        let status = status_line.split(' ').nth(1).expect("a status line").parse().unwrap();
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).await.unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        Head { status, headers }
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        let (Head { status, headers }, body) = self.answer_bytes().await;
        Answer { status, headers, body: String::from_utf8(body).unwrap() }
    }

    pub(crate) async fn answer_bytes(&mut self) -> (Head, Vec<u8>) {
        let head = self.head().await;
        let headers = &head.headers;
        let mut body = Vec::new();
        if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            while let Some(chunk) = self.chunk().await {
                body.extend(chunk);
            }
        } else {
            body = vec![0; headers.get("content-length").map_or(0, |n| n.parse().unwrap())];
            within("a body", self.stream.read_exact(&mut body)).await.unwrap();
        }
        (head, body)
    }

    /// One chunk of a body; `None` at its end, or that of the connection.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut size = String::new();
        let read = within("a chunk", self.stream.read_line(&mut size)).await;
        if read.map_or(true, |read| read == 0) {
            return None;
        }
        let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        let read = within("a chunk", self.stream.read_exact(&mut chunk)).await;
        if read.is_err() || size == 0 {
            return None;
        }
        assert_eq!(chunk.split_off(size), b"\r\n");
        Some(chunk)
    }

    pub(crate) async fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        self.send(method, path, headers, body.as_bytes()).await;
        self.answer().await
    }
}

/// One request on a connection of its own.
pub(crate) async fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    Http::connect(address).await.request(method, path, headers, body).await
}

pub(crate) const JSON: (&str, &str) = ("Content-Type", "application/json");

/// An event stream: chunks, and the records in them.
pub(crate) struct Events {
    http: Http,
    pub(crate) stream_id: String,
    /// What was read of the body and not given out yet.
    buffer: Vec<u8>,
}

impl Events {
    /// Subscribes with JSON.
    pub(crate) async fn subscribe(address: &str, call: &Value) -> Self {
        let body = call.to_string();
        Self::open(address, &[JSON], body.as_bytes()).await
    }

    pub(crate) async fn open(address: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        Self::open_on(Http::connect(address).await, headers, body).await
    }

    pub(crate) async fn open_on(http: Http, headers: &[(&str, &str)], body: &[u8]) -> Self {
        let events = Self::open_at(http, "/api/v1/scheduler", headers, body).await;
        assert!(!events.stream_id.is_empty());
        events
    }

    /// As an operator who watches.
    pub(crate) async fn watch(address: &str, encoding: Encoding, call: &[u8]) -> Self {
        let media_type = encoding.media_type();
        let headers = [("Content-Type", media_type), ("Accept", media_type)];
        Self::open_at(Http::connect(address).await, "/api/v1", &headers, call).await
    }

    async fn open_at(mut http: Http, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        http.send("POST", path, headers, body).await;
        let head = http.head().await;
        assert_eq!(head.status, 200, "{head:?}");
        assert_eq!(head.headers["transfer-encoding"], "chunked");
        assert!(!head.headers.contains_key("content-encoding"));
        let stream_id = head.headers.get("mesos-stream-id").cloned().unwrap_or_default();
        Self { http, stream_id, buffer: Vec::new() }
    }

    /// Reads one more chunk; false at the end of the body, or of the connection.
    pub(crate) async fn read_chunk(&mut self) -> bool {
        let chunk = self.http.chunk().await;
        self.buffer.extend(chunk.iter().flatten());
        chunk.is_some()
    }

    /// The bytes of the next record; `None` at the end.
    pub(crate) async fn record(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(newline) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let length: usize =
                    std::str::from_utf8(&self.buffer[..newline]).unwrap().parse().unwrap();
                if self.buffer.len() > newline + length {
                    let rest = self.buffer.split_off(newline + 1 + length);
                    let record = std::mem::replace(&mut self.buffer, rest);
                    return Some(record[newline + 1..].to_vec());
                }
            }
            if !self.read_chunk().await {
                return None;
            }
        }
    }

    /// The next JSON event.
    pub(crate) async fn event(&mut self) -> Value {
        serde_json::from_slice(&self.record().await.expect("one more event")).unwrap()
    }

    /// The next event of this type, what comes before it left out.
    pub(crate) async fn wait(&mut self, kind: &str) -> Value {
        loop {
            let event = self.event().await;
            if event["type"] == kind {
                return event;
            }
            assert_ne!(event["type"], "ERROR", "{event}");
        }
    }

    /// The next protobuf event.
    pub(crate) async fn protobuf(&mut self) -> Event {
        let record = self.record().await.expect("one more event");
        Event::decode(&record, Encoding::Protobuf, &Limits::DEFAULT).unwrap()
    }
}
