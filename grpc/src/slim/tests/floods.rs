//! Peers that send what costs them little: each of them meets a bound.

use super::pipe::Echo;
use super::*;
use crate::slim::probe::Probe;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Ends a machine by one frame, again and again; how many it takes.
fn taken_of(frame: &[u8], begin: &[Vec<u8>]) -> (usize, Reason) {
    let mut machine = machine(begin);
    for n in 0..1_000_000 {
        if let Err(fault) = machine.receive(frame) {
            return (n, fault.reason);
        }
        machine.out.clear();
    }
    panic!("it goes on for ever");
}

#[test]
fn frames_that_bring_nothing_end_the_connection() {
    let calm = Reason::EnhanceYourCalm;
    let empty = frame(frame::DATA, 0, 1, &[]);
    assert_eq!(taken_of(&empty, &[request(1, 0)]), (1_000, calm));
    let padding = frame(frame::DATA, frame::PADDED, 1, &[3, 0, 0, 0]);
    assert_eq!(taken_of(&padding, &[request(1, 0)]), (1_000, calm));
    // Also those of a stream that is over.
    let reset = frame(frame::RST_STREAM, 0, 1, &[0; 4]);
    assert_eq!(taken_of(&empty, &[request(1, 0), reset.clone()]), (1_000, calm));
    let trailers =
        frame(frame::HEADERS, frame::END_STREAM | frame::END_HEADERS, 1, &block(&[("a", "b")]));
    assert_eq!(taken_of(&trailers, &[request(1, 0), reset]), (199, calm));
    // Who sends data as well may send an end without any, as many a client does.
    let mut machine = machine(&[request(1, 0)]);
    machine.asked.clear();
    for _ in 0..10_000 {
        machine.receive(&frame(frame::DATA, 0, 1, b"x")).unwrap();
        machine.receive(&empty).unwrap();
    }
}

#[test]
fn a_list_of_headers_has_few_pieces_and_an_end() {
    let calm = Reason::EnhanceYourCalm;
    let begin = |block: &[u8]| frame(frame::HEADERS, 0, 1, block);
    let empty = frame(frame::CONTINUATION, 0, 1, &[]);
    assert_eq!(taken_of(&empty, &[begin(&[])]), (31, calm));
    let byte = frame(frame::CONTINUATION, 0, 1, &[0x83]);
    assert_eq!(taken_of(&byte, &[begin(&[])]), (31, calm));
    let whole = frame(frame::CONTINUATION, 0, 1, &[0x83; frame::MAX_PAYLOAD]);
    assert_eq!(taken_of(&whole, &[begin(&[0x83])]), (0, calm));
    let mut machine = machine(&[begin(&[0x83; frame::MAX_PAYLOAD])]);
    machine.held().check();
    assert!(machine.receive(&byte).is_err());
}

/// A peer that has all bytes of the world to send, and takes none.
struct Deaf {
    flood: Vec<u8>,
    given: usize,
}

impl AsyncRead for Deaf {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        while buffer.remaining() > 0 {
            let at = self.given % self.flood.len();
            let part = self.flood[at..].len().min(buffer.remaining());
            buffer.put_slice(&self.flood[at..at + part]);
            self.given += part;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn who_reads_nothing_is_not_heard_and_then_left() {
    let floods = [
        ("settings", frame(frame::SETTINGS, 0, 0, &[])),
        ("pings", frame(frame::PING, 0, 0, b"12345678")),
    ];
    for (what, flood) in floods {
        let (interval, timeout) = (Duration::from_millis(10), Duration::from_millis(50));
        let serving = Serving::new(Deaf { flood, given: 0 }, &hello(), Echo);
        let mut serving = std::pin::pin!(serving.with_keep_alive(interval, timeout));
        let ended = poll_fn(|cx| {
            let polled = serving.as_mut().poll(cx);
            let held = serving.held();
            assert!(held.out <= 2 * 64 * 1024 + 200, "{what}: {held:?}");
            polled
        });
        let ended = tokio::time::timeout(Duration::from_secs(60), ended).await;
        assert!(matches!(ended.expect(what), Err(Ended::Silent)), "{what}");
    }
    // Who breaks the rules is waited for no longer than that.
    let wrong = Deaf { flood: frame(frame::DATA, 0, 0, b"x"), given: 0 };
    let serving = Serving::new(wrong, &hello(), Echo);
    let serving = serving.with_keep_alive(Duration::from_secs(1 << 20), Duration::from_millis(50));
    let ended = tokio::time::timeout(Duration::from_secs(60), serving).await;
    assert!(matches!(ended.expect("an end"), Err(Ended::Fault(_))));
}

#[tokio::test]
async fn bytes_that_make_no_frame_are_no_sign_of_life() {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let (interval, timeout) = (Duration::from_millis(20), Duration::from_millis(300));
    let serving = Serving::new(server, &hello(), Echo).with_keep_alive(interval, timeout);
    let serving = tokio::spawn(serving);
    client.write_all(&request(1, 0)).await.unwrap();
    // Half a frame, one byte of it after the other, for longer than silence may take.
    client.write_all(&frame(frame::DATA, 0, 1, &[1; 10_000])[..9]).await.unwrap();
    let begin = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    while client.write_all(b"x").await.is_ok() {
        tick.tick().await;
        assert!(begin.elapsed() < Duration::from_secs(30), "it goes on for ever");
    }
    assert!(matches!(serving.await.unwrap(), Err(Ended::Silent)));
}

#[test]
fn a_frame_in_pieces_takes_no_more_room_than_it_has() {
    let data = frame(frame::DATA, 0, 1, &[7; frame::MAX_PAYLOAD]);
    let mut machine = machine(&[request(1, 0)]);
    for byte in &data[..data.len() - 1] {
        machine.receive(&[*byte]).unwrap();
        machine.held().check();
    }
    // The rest, and much more with a part of another frame behind it.
    let rest = [&data[data.len() - 1..], &data, &data, &data, &data[..12]].concat();
    machine.receive(&rest).unwrap();
    assert!(machine.held().partial < 64, "{:?}", machine.held());
    assert_eq!(machine.held().bodies, 4 * frame::MAX_PAYLOAD);
}

#[test]
fn bodies_that_nobody_takes_are_bounded_by_the_connections_window() {
    let mut machine = machine(&[]);
    let mut asked = Vec::new();
    let mut refused = None;
    for id in (1..256).step_by(2) {
        machine.receive(&request(id, 0)).unwrap();
        asked.append(&mut machine.asked);
    }
    'all: for id in (1..256).step_by(2) {
        // Less than a stream's window each, more than the connection's in all.
        for _ in 0..8 {
            if let Err(fault) =
                machine.receive(&frame(frame::DATA, 0, id, &[7; frame::MAX_PAYLOAD]))
            {
                refused = Some(fault.reason);
                break 'all;
            }
            machine.give_back();
            machine.held().check();
        }
    }
    assert_eq!(refused, Some(Reason::FlowControl));
    assert_eq!(machine.held().bodies, crate::tuning::CONNECTION_WINDOW as usize);
}

#[test]
fn windows_that_overflow_end_what_they_belong_to() {
    let first =
        |window: u32| frame(frame::SETTINGS, 0, 0, &[&[0, 4][..], &window.to_be_bytes()].concat());
    let more = |stream: u32, more: u32| frame(frame::WINDOW_UPDATE, 0, stream, &more.to_be_bytes());
    // A stream's window that is as wide as it may be, and then all first windows grow.
    let mut machine = machine(&[request(1, 0), more(1, 0x7fff_ffff - 65_535)]);
    assert!(machine.is_open(1));
    let fault = machine.receive(&first(65_536)).unwrap_err();
    assert_eq!(fault.reason, Reason::FlowControl);
    // Narrower than nothing, and wide again: what was sent in between counts.
    let mut machine = self::machine(&[request(1, 0)]);
    machine.put_headers(1, &block(&[(":status", "200")]), false);
    machine.put_data(1, &[0; 50_000]);
    for window in [0, 0x7fff_ffff, 0, 50_001] {
        machine.receive(&first(window)).unwrap();
    }
    assert_eq!(machine.room(1), 1);
    // The last of many settings counts, and all of them are looked at.
    let both = |a: u32, b: u32| {
        let both = [&[0, 4][..], &a.to_be_bytes(), &[0, 4], &b.to_be_bytes()].concat();
        frame(frame::SETTINGS, 0, 0, &both)
    };
    machine.receive(&both(7, 50_002)).unwrap();
    assert_eq!(machine.room(1), 2);
    assert!(machine.receive(&both(0x8000_0000, 7)).is_err());
    // The connection's own window, by one byte too many.
    let wide = 0x7fff_ffff - 65_535;
    let mut machine = self::machine(&[more(0, wide)]);
    assert_eq!(machine.receive(&more(0, 1)).unwrap_err().reason, Reason::FlowControl);
}

#[test]
fn who_has_no_table_any_more_may_not_ask_for_one() {
    let update = |size: &[u8]| {
        let block = [size, &block(&HEADERS)].concat();
        frame(frame::HEADERS, frame::END_HEADERS, 1, &block)
    };
    let known = frame(frame::SETTINGS, frame::ACK, 0, &[]);
    // As much as there is before the settings are known, and not a byte more.
    assert_eq!(machine(&[update(&[0x3f, 0xe1, 0x1f])]).asked.len(), 1);
    let mut before = machine(&[]);
    let fault = before.receive(&update(&[0x3f, 0xe2, 0x1f])).unwrap_err();
    assert_eq!(fault.reason, Reason::Compression);
    // Nothing after that.
    assert_eq!(machine(&[known.clone(), update(&[0x20])]).asked.len(), 1);
    let mut after = machine(std::slice::from_ref(&known));
    assert_eq!(after.receive(&update(&[0x21])).unwrap_err().reason, Reason::Compression);
    // What was in it is gone.
    let keep = [&[0x40, 1, b'a', 1, b'b'][..], &block(&HEADERS)].concat();
    let mut machine = machine(&[update(&[]), frame(frame::HEADERS, 0x5, 3, &keep), known]);
    assert_eq!(machine.held().table, 0);
    let fault = machine.receive(&frame(frame::HEADERS, 0x5, 5, &[0xbe])).unwrap_err();
    assert_eq!(fault.reason, Reason::Compression);
}

#[test]
fn streams_have_the_numbers_that_clients_give_and_only_go_up() {
    let over = [request(5, 0), frame(frame::RST_STREAM, 0, 5, &[0; 4])].concat();
    for (what, bytes) in [
        ("a number that goes down", request(3, 0)),
        ("a number that goes down, and ends", request(3, frame::END_STREAM)),
        ("a stream again", request(5, frame::END_STREAM)),
        ("an even number", request(6, frame::END_STREAM)),
        ("the connection", request(0, frame::END_STREAM)),
        ("data of one to come", frame(frame::DATA, 0, 7, b"x")),
        ("a window of one to come", frame(frame::WINDOW_UPDATE, 0, 7, &[0, 0, 0, 1])),
        ("the end of one to come", frame(frame::RST_STREAM, 0, 7, &[0; 4])),
        ("a window of an even number", frame(frame::WINDOW_UPDATE, 0, 4, &[0, 0, 0, 1])),
    ] {
        let mut machine = machine(std::slice::from_ref(&over));
        assert_eq!(machine.receive(&bytes).expect_err(what).reason, Reason::Protocol, "{what}");
    }
    // What crosses with the end of a stream is let pass.
    let mut machine = machine(&[over]);
    for bytes in [
        frame(frame::DATA, 0, 5, b"x"),
        frame(frame::WINDOW_UPDATE, 0, 5, &[0, 0, 0, 1]),
        frame(frame::RST_STREAM, 0, 5, &[0; 4]),
        frame(frame::HEADERS, 0x5, 5, &block(&[("a", "b")])),
    ] {
        machine.receive(&bytes).unwrap();
    }
    assert!(machine.is_idle());
}

#[test]
fn who_goes_away_has_its_streams_answered() {
    let mut machine = machine(&[request(1, frame::END_STREAM)]);
    machine.receive(&frame(frame::GOAWAY, 0, 0, &[0; 8])).unwrap();
    assert!(machine.is_open(1));
    machine.put_headers(1, &block(&[(":status", "200")]), true);
    assert!(machine.is_idle());
}

/// Nothing of a connection that is over stays, but its last words.
#[test]
fn a_broken_connection_keeps_nothing() {
    let mut probe = Probe::default();
    probe
        .receive(&[hello(), request(1, 0), frame(frame::DATA, 0, 1, &[1; 10_000])].concat())
        .unwrap();
    assert_eq!((probe.held().streams, probe.held().bodies), (1, 10_000));
    probe.receive(&[frame(frame::DATA, 0, 0, b"x"), vec![0; 8]].concat()).unwrap_err();
    let held = probe.held();
    assert_eq!((held.streams, held.bodies, held.partial, held.asked), (0, 0, 0, 0));
}
