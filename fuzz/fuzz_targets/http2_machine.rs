//! A connection's machine, told any bytes in any pieces while requests are answered, read and
//! dropped: never a panic, never more kept than its bounds say, and the same however it is cut.
#![no_main]

use grpc::slim::probe::{Probe, recode, reread};
use libfuzzer_sys::fuzz_target;
use proto_fuzz::{Frames, HELLO};

fuzz_target!(|input: &[u8]| {
    if let Some(again) = recode(input) {
        assert_eq!(again, input, "a text has one code");
    }
    let (name, value) = input.split_at(input.len() / 2);
    assert_eq!(reread(name, value), Some((name.to_vec(), value.to_vec())));
    let Some((cut, rest)) = input.split_first() else { return };
    let mut frames = Frames::new(rest);
    let mut all = HELLO.to_vec();
    let mut probe = Probe::default();
    let is_well = probe.receive(HELLO).is_ok();
    assert!(is_well, "these are a client's first words");
    while let Some(bytes) = frames.next() {
        all.extend_from_slice(&bytes);
        let pieces = bytes.chunks(1 + usize::from(*cut));
        if pieces.map(|piece| act(&mut probe, piece, &mut frames)).any(|is_over| is_over) {
            break;
        }
    }
    assert_eq!(heard(&all, 1 + usize::from(*cut)), heard(&all, 1 << 16));
});

/// Takes a piece and does something with the requests that are there; whether it is over.
fn act(probe: &mut Probe, piece: &[u8], frames: &mut Frames<'_>) -> bool {
    if probe.receive(piece).is_err() {
        assert_eq!(probe.held().streams, 0);
        return true;
    }
    let (what, nth) = (frames.byte(), usize::from(frames.byte()));
    match what % 8 {
        0 => probe.answer(nth, 20_000, false),
        1 => probe.answer(nth, 100, true),
        2 => drop(probe.take(nth)),
        3 => probe.forget(nth),
        4 | 5 => drop(probe.send()),
        _ => {}
    }
    false
}

/// What is said to all this when nobody answers, and whether the connection is over then.
fn heard(all: &[u8], size: usize) -> (Vec<u8>, bool) {
    let (mut probe, mut said) = (Probe::default(), Vec::new());
    for piece in all.chunks(size) {
        let is_over = probe.receive(piece).is_err();
        said.extend(probe.send());
        if is_over {
            return (said, true);
        }
    }
    (said, false)
}
