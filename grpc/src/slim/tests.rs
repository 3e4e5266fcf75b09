//! The machine by its frames, right and wrong.

mod floods;
mod pipe;

use super::frame::{self, Head};
use super::hpack;
use super::intake::{Credit, WORTH_TELLING};
use super::machine::{Asked, Machine, Reason};
use super::serving::{Ended, Serving};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Head::put(&mut bytes, kind, flags, stream, payload);
    bytes
}

fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        hpack::put(&mut block, name.as_bytes(), value.as_bytes());
    }
    block
}

const HEADERS: [(&str, &str); 5] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/a/b?c=d"),
    (":authority", "master:5050"),
    ("te", "trailers"),
];

fn request(stream: u32, flags: u8) -> Vec<u8> {
    frame(frame::HEADERS, flags | frame::END_HEADERS, stream, &block(&HEADERS))
}

/// First words and settings of a client.
fn hello() -> Vec<u8> {
    let mut bytes = frame::PREFACE.to_vec();
    bytes.extend(frame(frame::SETTINGS, 0, 0, &[]));
    bytes
}

/// A connection on which `parts` came.
fn machine(parts: &[Vec<u8>]) -> Machine {
    let mut machine = Machine::new(Arc::default());
    machine.receive(&hello()).unwrap();
    for part in parts {
        machine.receive(part).unwrap();
    }
    machine
}

/// What is sent, without what is sent at the beginning of all.
fn sent(machine: &mut Machine) -> Vec<(Head, Vec<u8>)> {
    let out = std::mem::take(&mut machine.out);
    let mut rest = out.as_slice();
    let mut frames = Vec::new();
    while let Some((head, behind)) = Head::parse(rest) {
        let (payload, next) = behind.split_at(head.len);
        frames.push((head, payload.to_vec()));
        rest = next;
    }
    assert!(rest.is_empty());
    frames
}

fn kinds(frames: &[(Head, Vec<u8>)]) -> Vec<(u8, u8, u32)> {
    frames.iter().map(|(head, _)| (head.kind, head.flags, head.stream)).collect()
}

fn next(asked: &mut Asked) -> Poll<Option<Result<Bytes, String>>> {
    let mut cx = Context::from_waker(Waker::noop());
    let frame = Pin::new(&mut asked.body).poll_frame(&mut cx);
    frame.map(|frame| {
        frame.map(|frame| frame.map(|f| f.into_data().unwrap()).map_err(|e| e.to_string()))
    })
}

#[test]
fn a_request_comes_whole_however_it_is_cut() {
    let trailers = frame(
        frame::HEADERS,
        frame::END_STREAM | frame::END_HEADERS,
        1,
        &block(&[("grpc-status", "0")]),
    );
    let padded = [&[2][..], b"def", &[0, 0]].concat();
    let all = [
        hello(),
        frame(frame::WINDOW_UPDATE, 0, 0, &[0, 1, 0, 0]),
        request(1, 0),
        frame(frame::DATA, 0, 1, b"abc"),
        frame(frame::DATA, frame::PADDED, 1, &padded),
        frame(0x77, 0xff, 1, b"nobody knows this one"),
        frame(frame::PING, 0, 0, b"12345678"),
        trailers,
    ]
    .concat();
    for size in [1, 2, 7, 9, 24, 100, all.len()] {
        let mut machine = Machine::new(Arc::default());
        for part in all.chunks(size) {
            machine.receive(part).unwrap();
        }
        let mut asked = machine.asked.pop().unwrap();
        assert_eq!(asked.head.uri, "http://master:5050/a/b?c=d");
        assert_eq!(asked.head.headers.len(), 1);
        assert_eq!(next(&mut asked), Poll::Ready(Some(Ok(Bytes::from_static(b"abcdef")))));
        assert_eq!(next(&mut asked), Poll::Ready(None));
        let frames = sent(&mut machine);
        let settings = (frame::SETTINGS, 0, 0);
        let window = (frame::WINDOW_UPDATE, 0, 0);
        let known = (frame::SETTINGS, frame::ACK, 0);
        let pong = (frame::PING, frame::ACK, 0);
        assert_eq!(kinds(&frames), [settings, window, known, pong]);
        assert_eq!(frames[3].1, b"12345678");
    }
}

#[test]
fn headers_may_come_in_pieces_and_nothing_between_them() {
    let all = block(&HEADERS);
    let (first, second) = all.split_at(10);
    let begin = frame(frame::HEADERS, frame::END_STREAM, 1, first);
    let end = frame(frame::CONTINUATION, frame::END_HEADERS, 1, second);
    let mut whole = machine(&[begin.clone(), end]);
    let mut asked = whole.asked.pop().unwrap();
    assert_eq!(next(&mut asked), Poll::Ready(None));
    let mut cut = machine(&[begin]);
    let fault = cut.receive(&frame(frame::PING, 0, 0, b"12345678")).unwrap_err();
    assert_eq!(fault.reason, Reason::Protocol);
}

/// What ends a connection, and with what reason.
#[test]
fn who_breaks_the_rules_is_told_which() {
    let settings = |name: u16, value: u32| {
        frame(frame::SETTINGS, 0, 0, &[&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
    };
    let huge = frame(frame::WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]);
    let long = |pieces: usize, size: usize| {
        let mut all = frame(frame::HEADERS, 0, 1, &vec![0; size]);
        (0..pieces).for_each(|_| all.extend(frame(frame::CONTINUATION, 0, 1, &vec![0; size])));
        all
    };
    let cases = [
        ("data of no stream", frame(frame::DATA, 0, 0, b"x"), Reason::Protocol),
        ("data of a stream to come", frame(frame::DATA, 0, 5, b"x"), Reason::Protocol),
        (
            "padding beyond the frame",
            frame(frame::DATA, frame::PADDED, 1, &[9, 0]),
            Reason::Protocol,
        ),
        ("an even stream", request(2, 0), Reason::Protocol),
        ("headers of no stream", request(0, 0), Reason::Protocol),
        (
            "headers that are none",
            frame(frame::HEADERS, frame::END_HEADERS, 1, &[0x80]),
            Reason::Compression,
        ),
        ("pieces of nothing", frame(frame::CONTINUATION, 0, 1, &[]), Reason::Protocol),
        ("a flood of empty pieces", long(64, 0), Reason::EnhanceYourCalm),
        ("a list too long", long(5, 16_384), Reason::EnhanceYourCalm),
        ("a reset of nothing", frame(frame::RST_STREAM, 0, 1, &[0; 4]), Reason::Protocol),
        ("a reset too short", frame(frame::RST_STREAM, 0, 1, &[0; 3]), Reason::FrameSize),
        ("settings of a stream", frame(frame::SETTINGS, 0, 1, &[]), Reason::Protocol),
        ("half a setting", frame(frame::SETTINGS, 0, 0, &[0; 5]), Reason::FrameSize),
        (
            "an answer with settings",
            frame(frame::SETTINGS, frame::ACK, 0, &[0; 6]),
            Reason::FrameSize,
        ),
        ("a push", settings(2, 2), Reason::Protocol),
        ("a window beyond all", settings(4, 0x8000_0000), Reason::FlowControl),
        ("a frame too small", settings(5, 100), Reason::Protocol),
        ("a promise", frame(frame::PUSH_PROMISE, 0, 1, &[0; 4]), Reason::Protocol),
        ("a ping too short", frame(frame::PING, 0, 0, &[0; 7]), Reason::FrameSize),
        ("a ping of a stream", frame(frame::PING, 0, 1, &[0; 8]), Reason::Protocol),
        ("a window of nothing", frame(frame::WINDOW_UPDATE, 0, 0, &[0; 4]), Reason::Protocol),
        ("a window too big", huge, Reason::FlowControl),
        ("a frame too long", vec![0x01, 0, 0, frame::DATA, 0, 0, 0, 0, 1], Reason::FrameSize),
        ("a goodbye too short", frame(frame::GOAWAY, 0, 0, &[0; 7]), Reason::Protocol),
        ("a priority of nothing", frame(frame::PRIORITY, 0, 0, &[0; 5]), Reason::Protocol),
    ];
    for (what, bytes, reason) in cases {
        let mut machine = machine(&[]);
        let fault = machine.receive(&bytes).expect_err(what);
        assert_eq!(fault.reason, reason, "{what}: {fault}");
    }
    let mut machine = Machine::new(Arc::default());
    assert!(machine.receive(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").is_err());
    let mut machine = Machine::new(Arc::default());
    assert!(machine.receive(&[frame::PREFACE, &request(1, 0)].concat()).is_err());
}

/// What ends one stream, and leaves the others alone.
#[test]
fn what_is_wrong_with_one_stream_ends_it_alone() {
    let with =
        |headers: &[(&str, &str)]| frame(frame::HEADERS, frame::END_HEADERS, 1, &block(headers));
    let trailers = |headers: &[(&str, &str)]| {
        frame(frame::HEADERS, frame::END_STREAM | frame::END_HEADERS, 1, &block(headers))
    };
    let more = |extra: &[(&'static str, &'static str)]| with(&[&HEADERS[..], extra].concat());
    let cases = [
        ("no path", with(&HEADERS[..2])),
        ("a path twice", with(&[&HEADERS[..3], &HEADERS[2..3]].concat())),
        ("a method behind headers", with(&[HEADERS[4], HEADERS[0], HEADERS[1], HEADERS[2]])),
        ("a pseudo header that is none", with(&[&[(":x", "y")], &HEADERS[..]].concat())),
        ("capitals", more(&[("Content-Type", "x")])),
        ("what belongs to connections", more(&[("transfer-encoding", "chunked")])),
        ("a te that is not of gRPC", more(&[("te", "gzip")])),
        ("a value with a line's end", more(&[("x", "a\nb")])),
        ("a path that is none", with(&[HEADERS[0], HEADERS[1], (":path", "a b")])),
        ("a path without a slash", with(&[HEADERS[0], HEADERS[1], (":path", "ab")])),
        ("no path at all", with(&[HEADERS[0], HEADERS[1], (":path", "")])),
        ("what was asked to be kept alive", more(&[("keep-alive", "1")])),
        ("trailers that do not end", [request(1, 0), request(1, 0)].concat()),
        ("trailers with a path", [request(1, 0), request(1, frame::END_STREAM)].concat()),
        ("trailers in capitals", [request(1, 0), trailers(&[("X", "y")])].concat()),
        (
            "data behind the end",
            [request(1, frame::END_STREAM), frame(frame::DATA, 0, 1, b"x")].concat(),
        ),
        (
            "a window of nothing",
            [request(1, 0), frame(frame::WINDOW_UPDATE, 0, 1, &[0; 4])].concat(),
        ),
        (
            "a window too big",
            [request(1, 0), frame(frame::WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff])].concat(),
        ),
    ];
    for (what, bytes) in cases {
        let mut machine = machine(&[bytes, request(3, frame::END_STREAM)]);
        let resets: Vec<_> =
            kinds(&sent(&mut machine)).into_iter().filter(|f| f.0 == frame::RST_STREAM).collect();
        assert_eq!(resets, [(frame::RST_STREAM, 0, 1)], "{what}");
        assert!(!machine.is_open(1) && machine.is_open(3), "{what}");
        assert_eq!(machine.asked.len(), 1, "{what}");
    }
    // A list that is too long when it is unpacked, though it came as a few bytes.
    let mut bomb = block(&HEADERS);
    let value = "x".repeat(1_000);
    bomb.extend([0x40, 1, b'a', 0x7f, 0xe9, 0x06]);
    bomb.extend(value.as_bytes());
    bomb.extend(vec![0xbe; 15_000]);
    let mut machine = self::machine(&[frame(frame::HEADERS, frame::END_HEADERS, 1, &bomb)]);
    let told = sent(&mut machine).pop().unwrap();
    assert_eq!(told.1, (Reason::EnhanceYourCalm as u32).to_be_bytes());
    assert!(machine.asked.is_empty() && !machine.is_open(1));
}

#[test]
fn what_is_taken_may_be_sent_again_and_no_more() {
    let mut machine = machine(&[request(1, 0)]);
    let mut asked = machine.asked.pop().unwrap();
    let part = vec![7; frame::MAX_PAYLOAD];
    let data = frame(frame::DATA, 0, 1, &part);
    machine.out.clear();
    for _ in 0..WORTH_TELLING / part.len() {
        machine.receive(&data).unwrap();
    }
    machine.give_back();
    assert!(machine.out.is_empty(), "nobody took it yet");
    let Poll::Ready(Some(Ok(taken))) = next(&mut asked) else { panic!("it came") };
    assert_eq!(taken.len(), WORTH_TELLING);
    machine.give_back();
    let told = sent(&mut machine);
    assert_eq!(kinds(&told), [(frame::WINDOW_UPDATE, 0, 0), (frame::WINDOW_UPDATE, 0, 1)]);
    assert!(told.iter().all(|(_, more)| *more == (WORTH_TELLING as u32).to_be_bytes()));
    // The stream's window is the smaller one.
    for _ in 0..crate::tuning::STREAM_WINDOW as usize / part.len() {
        machine.receive(&data).unwrap();
        assert!(machine.is_open(1));
    }
    machine.receive(&frame(frame::DATA, 0, 1, b"x")).unwrap();
    assert!(!machine.is_open(1));
    // What came and was not read is given back with the stream's end.
    drop(asked);
    machine.give_back();
    assert!(kinds(&sent(&mut machine)).contains(&(frame::WINDOW_UPDATE, 0, 0)));
}

#[test]
fn a_body_that_nobody_reads_takes_no_room() {
    let mut machine = machine(&[request(1, 0)]);
    machine.asked.clear();
    let data = frame(frame::DATA, 0, 1, &vec![7; frame::MAX_PAYLOAD]);
    for _ in 0..2_000 {
        machine.receive(&data).unwrap();
        machine.give_back();
    }
    assert!(machine.is_open(1));
}

#[test]
fn answers_keep_to_the_windows() {
    let settings = frame(frame::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 10]);
    let mut machine = machine(&[settings, request(1, frame::END_STREAM)]);
    machine.out.clear();
    assert_eq!(machine.room(1), 10);
    machine.put_headers(1, &block(&[(":status", "200")]), false);
    machine.put_data(1, &[1; 10]);
    assert_eq!(machine.room(1), 0);
    // Less than nothing, for a while.
    machine.receive(&frame(frame::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 4])).unwrap();
    assert_eq!(machine.room(1), 0);
    machine.receive(&frame(frame::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 7])).unwrap();
    assert_eq!(machine.room(1), 1);
    machine.receive(&frame(frame::WINDOW_UPDATE, 0, 1, &[0, 1, 0x11, 0x70])).unwrap();
    assert_eq!(machine.room(1), 65_535 - 10, "what the connection has left");
    machine.put_data(1, &[1; 20_000]);
    machine.put_headers(1, &block(&[("grpc-status", "0")]), true);
    let lengths: Vec<_> = sent(&mut machine)
        .iter()
        .filter(|(head, _)| head.kind == frame::DATA)
        .map(|(head, _)| head.len)
        .collect();
    assert_eq!(lengths, [10, 16_384, 3_616]);
    assert!(machine.is_idle());
}

#[test]
fn streams_beyond_the_limit_are_refused_and_who_wastes_them_is_sent_away() {
    let mut machine = machine(&[]);
    for n in 0..128 {
        machine.receive(&request(2 * n + 1, 0)).unwrap();
    }
    machine.out.clear();
    machine.receive(&request(1001, 0)).unwrap();
    assert_eq!(sent(&mut machine)[0].1, (Reason::RefusedStream as u32).to_be_bytes());
    let mut machine = self::machine(&[]);
    let mut rapid = (0..1_000_u32).map(|n| {
        let id = 2 * n + 1;
        machine.receive(&[request(id, 0), frame(frame::RST_STREAM, 0, id, &[0; 4])].concat())
    });
    let fault = rapid.find_map(Result::err).expect("it does not go on for ever");
    assert_eq!(fault.reason, Reason::EnhanceYourCalm);
    assert!(machine.asked.is_empty());
    // Who is answered first may end as many streams as it likes.
    let mut machine = self::machine(&[]);
    for id in (1..4_001).step_by(2) {
        machine.receive(&request(id, 0)).unwrap();
        machine.put_headers(id, &block(&[(":status", "200")]), false);
        machine.receive(&frame(frame::RST_STREAM, 0, id, &[0; 4])).unwrap();
    }
    assert!(machine.is_idle());
}

#[test]
fn the_end_of_a_stream_is_told_to_who_reads_it() {
    let mut machine = machine(&[request(1, 0), frame(frame::DATA, 0, 1, b"abc")]);
    let mut asked = machine.asked.pop().unwrap();
    machine.receive(&frame(frame::RST_STREAM, 0, 1, &[0, 0, 0, 8])).unwrap();
    assert_eq!(next(&mut asked), Poll::Ready(Some(Ok(Bytes::from_static(b"abc")))));
    assert!(matches!(next(&mut asked), Poll::Ready(Some(Err(_)))));
    let mut machine = self::machine(&[request(1, 0)]);
    let mut asked = machine.asked.pop().unwrap();
    assert_eq!(next(&mut asked), Poll::Pending);
    drop(machine);
    assert!(matches!(next(&mut asked), Poll::Ready(Some(Err(_)))));
}

/// Frames of all kinds in any order, whole or spoiled: nothing panics, and nothing is kept beyond
/// what the windows allow.
#[test]
fn whatever_comes_is_taken_or_refused() {
    let mut state = 1_u64;
    let mut random = move |below: u64| {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    };
    let (mut ended, mut asked) = (0, 0);
    for _ in 0..3_000 {
        let credit = Arc::<Credit>::default();
        let mut machine = Machine::new(Arc::clone(&credit));
        let mut bytes = hello();
        for _ in 0..random(30) {
            let stream = random(8) as u32;
            let (kind, flags) = (random(11) as u8, random(256) as u8);
            let len = [0, 4, 5, 6, 8, 12, 100][random(7) as usize];
            bytes.extend(match random(3) {
                0 => request(stream | 1, flags & 1),
                _ => frame(
                    kind,
                    flags,
                    stream,
                    &(0..len).map(|_| random(256) as u8).collect::<Vec<_>>(),
                ),
            });
        }
        if random(4) == 0 {
            let at = random(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << random(8);
        }
        for part in bytes.chunks(1 + random(200) as usize) {
            if machine.receive(part).is_err() {
                ended += 1;
                break;
            }
            asked += machine.asked.len();
            for Asked { stream, .. } in std::mem::take(&mut machine.asked) {
                match random(3) {
                    0 => machine.put_headers(stream, &block(&[(":status", "200")]), false),
                    1 => machine.put_headers(stream, &block(&[(":status", "404")]), true),
                    _ => {}
                }
                let room = machine.room(stream).min(20_000);
                machine.put_data(stream, &vec![0; room]);
            }
            machine.give_back();
        }
        assert!(machine.out.len() < 8 << 20);
    }
    assert!(ended > 500 && asked > 500, "{ended} ended, {asked} asked");
}
