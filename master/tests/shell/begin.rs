//! How connections of agents begin: in pieces, late, in either order, or not at all. Written frame
//! by frame, as no client would.

use crate::client::{BOUND, within};
use crate::cluster::{Running, config};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const HEADERS: u8 = 1;
pub(crate) const SETTINGS: u8 = 4;
const PING: u8 = 6;

pub(crate) fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0, len[0], len[1], kind, flags, 0, 0, 0, stream], payload].concat()
}

pub(crate) fn hello() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// The head of an agent's stream.
pub(crate) fn request() -> Vec<u8> {
    // POST, http.
    let mut block = vec![0x83, 0x86];
    for (name, value) in [
        (":path", grpc::AGENT_LINK_PATH),
        (":authority", "master"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    frame(HEADERS, 4, 1, &block)
}

pub(crate) async fn connect(master: &Running) -> TcpStream {
    let stream = TcpStream::connect(&master.address).await.unwrap();
    // Each write is a segment.
    stream.set_nodelay(true).unwrap();
    stream
}

/// The payload of the next frame of this kind on the stream or connection that it is of.
pub(crate) async fn next(stream: &mut TcpStream, kind: u8) -> Vec<u8> {
    within("a frame", async {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
            stream.read_exact(&mut payload).await.unwrap();
            if head[3] == kind {
                return payload;
            }
        }
    })
    .await
}

/// Which server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// That of agents, which allows no table of headers.
    Slim,
    General,
}

/// Whose first words these settings are.
pub(crate) fn server(settings: &[u8]) -> Server {
    if settings.starts_with(&[0, 1, 0, 0, 0, 0]) { Server::Slim } else { Server::General }
}

async fn assert_answered(stream: &mut TcpStream) -> Server {
    let by = server(&next(stream, SETTINGS).await);
    assert_head(stream).await;
    by
}

async fn assert_head(stream: &mut TcpStream) {
    // The status 200, as it is in the standard's table.
    assert_eq!(next(stream, HEADERS).await[0], 0x88);
}

/// Waits until so much time has passed; what others do meanwhile is not waited for.
async fn pass(time: Duration) {
    // waits: the time that a peer is silent
    tokio::time::sleep_until(Instant::now() + time).await;
}

#[tokio::test]
async fn a_first_request_is_served_however_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let master = Running::at(dir.path()).await;
    // At once; and in segments of a few bytes.
    let all = [hello(), request()].concat();
    let mut stream = connect(&master).await;
    stream.write_all(&all).await.unwrap();
    assert_eq!(assert_answered(&mut stream).await, Server::Slim);
    for size in [24, 10, 1] {
        let mut stream = connect(&master).await;
        for piece in all.chunks(size) {
            stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_answered(&mut stream).await;
    }
    // Later than its connection is looked at, whole or cut anywhere.
    for cut in [5, PREFACE.len(), hello().len(), hello().len() + 20] {
        let mut stream = connect(&master).await;
        stream.write_all(&all[..cut]).await.unwrap();
        pass(Duration::from_millis(150)).await;
        stream.write_all(&all[cut..]).await.unwrap();
        assert_eq!(assert_answered(&mut stream).await, Server::General, "{cut} bytes");
    }
    // After the master's own first words, by a client that waits for them.
    let mut stream = connect(&master).await;
    stream.write_all(&hello()).await.unwrap();
    assert_eq!(server(&next(&mut stream, SETTINGS).await), Server::General);
    stream.write_all(&frame(SETTINGS, 1, 0, &[])).await.unwrap();
    stream.write_all(&request()).await.unwrap();
    assert_head(&mut stream).await;
    master.stop().await;
}

#[tokio::test]
async fn who_says_a_few_words_and_no_more_loses_its_connection() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.request_timeout = Duration::from_millis(400);
    let master = Running::start(config).await;
    let half = hello().len() + 20;
    let all = [hello(), request()].concat();
    for words in [&[], &all[..5], PREFACE, &hello()[..], &all[..half]] {
        let begin = Instant::now();
        let mut stream = connect(&master).await;
        stream.write_all(words).await.unwrap();
        let mut rest = Vec::new();
        // It may be reset, as something was not read.
        let _ = within("the end", stream.read_to_end(&mut rest)).await;
        assert!(begin.elapsed() >= Duration::from_millis(300), "{} bytes", words.len());
        assert!(begin.elapsed() < BOUND / 2);
    }
    // Who asked in time stays.
    let mut stream = connect(&master).await;
    stream.write_all(&all).await.unwrap();
    assert_answered(&mut stream).await;
    pass(Duration::from_millis(800)).await;
    stream.write_all(&frame(PING, 0, 0, b"12345678")).await.unwrap();
    assert_eq!(next(&mut stream, PING).await, b"12345678");
    master.stop().await;
}
