//! Decoding allocates at most a small multiple of what it is given, whatever it is given.
//!
//! A counting allocator measures the largest amount of memory that was alive at once. The bound is
//! 128 bytes for each byte of input, and 8 KiB for the constant parts. Where 128 comes from: the
//! smallest element of a list is an operation of two bytes, whose struct has 72; a list that grows
//! holds its old and its new half at the same time, which is three times that just after it
//! doubled. Measured at that worst moment: 112. Body, lists and texts have limits of their own, so
//! the product is bounded as well.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(unsafe_code, reason = "an allocator can be counted only by an allocator")]

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use proto::scheduler::{Call, Event};
use proto::{Encoding, Limits, TaskInfo, TaskStatus, Wire, agent_link, operator, testing};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const PER_BYTE: usize = 128;
const CONSTANT: usize = 8 * 1024;

struct Counting;

static ALIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands everything to the system's allocator and only counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let alive = ALIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(alive, Relaxed);
        // SAFETY: the caller's promise is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most memory that was alive while `work` ran, beyond what was before.
fn peak<T>(work: impl FnOnce() -> T) -> usize {
    let before = ALIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    drop(work());
    PEAK.load(Relaxed) - before
}

/// Decodes as everything; says the worst bytes of memory for each byte beyond the constant.
fn measure(bytes: &[u8], encoding: Encoding) -> f64 {
    fn one<T: Wire>(bytes: &[u8], encoding: Encoding) -> usize {
        peak(|| T::decode(bytes, encoding, &Limits::DEFAULT))
    }
    let all = [
        one::<Call>(bytes, encoding),
        one::<Event>(bytes, encoding),
        one::<operator::Call>(bytes, encoding),
        one::<operator::Response>(bytes, encoding),
        one::<operator::StreamEvent>(bytes, encoding),
        one::<agent_link::AgentCall>(bytes, encoding),
        one::<agent_link::AgentEvent>(bytes, encoding),
        one::<TaskInfo>(bytes, encoding),
        one::<TaskStatus>(bytes, encoding),
    ];
    let worst = all.into_iter().max().unwrap_or(0);
    assert!(
        worst <= CONSTANT + PER_BYTE * bytes.len(),
        "{worst} bytes alive for {} bytes of {encoding:?}: {}",
        bytes.len(),
        String::from_utf8_lossy(&bytes[..bytes.len().min(200)]),
    );
    worst.saturating_sub(CONSTANT) as f64 / bytes.len().max(1) as f64
}

fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut out);
    prost::encoding::encode_varint(content.len() as u64, &mut out);
    out.extend_from_slice(content);
    out
}

/// A field many times over.
fn many(number: u32, content: &[u8], times: usize) -> Vec<u8> {
    field(number, content).repeat(times)
}

/// Messages made to need much memory for few bytes.
fn hostile() -> Vec<(&'static str, Encoding, Vec<u8>)> {
    // Just after a list that doubles has doubled: the worst moment.
    const MANY: usize = 32_800;
    let id = field(1, b"x");
    let task = [field(1, b""), field(2, &id), field(3, &id)].concat();
    let accept = |operations: Vec<u8>| {
        let call = [field(1, &id), vec![0x10, 3], field(4, &operations)];
        call.concat()
    };
    let launch = |tasks: Vec<u8>| accept(field(2, &[vec![0x08, 1], field(2, &tasks)].concat()));
    // name "x", type SET, an empty set: 9 bytes that are kept nowhere.
    let resource = [field(1, b"x"), vec![0x10, 2], field(5, b"")].concat();
    let with_resources = [task.clone(), many(4, &resource, MANY)].concat();
    let range = [0x08, 0, 0x10, 0];
    let ranges = [field(1, b"x"), vec![0x10, 1], field(4, &many(1, &range, MANY))].concat();
    let status = [field(1, &id), vec![0x10, 0]].concat();
    let reconcile = [field(1, &id), vec![0x10, 9], field(9, &many(1, &field(1, &id), MANY))];
    let list = |item: &str| format!("[{}]", vec![item; 20_000].join(","));
    let tasks = list(r#"{"name":"","task_id":{"value":"x"},"agent_id":{"value":"x"}}"#);
    let in_json = |tasks: &str| {
        format!(
            r#"{{"framework_id":{{"value":"f"}},"type":"ACCEPT","accept":{{"operations":
                {{"type":"LAUNCH","launch":{{"task_infos":{tasks}}}}}}}}}"#
        )
        .into_bytes()
    };
    let operator = |kind: u8, number: u32, content: Vec<u8>| {
        [vec![0x08, kind], field(number, &content)].concat()
    };
    let windows = many(1, &[field(2, &field(1, &[0x08, 0]))].concat(), MANY);
    let request = [field(1, &id), vec![0x10, 11], field(11, &many(1, b"", MANY))].concat();
    let operation_id = field(1, &field(1, b"x"));
    let operations = [field(1, &id), vec![0x10, 16], field(18, &many(1, &operation_id, MANY))];
    let group = [field(1, b"r"), field(2, &many(1, b"", MANY))].concat();
    let info = [field(1, b""), field(2, b"")].concat();
    let constraints = field(3, &field(1, &group));
    let subscribe = [vec![0x10, 1], field(3, &[field(1, &info), constraints].concat())].concat();
    let reservation = [vec![0x20, 2], field(3, b"r")].concat();
    let reserved = [field(1, b"x"), vec![0x10, 0], field(3, &[0x09, 0, 0, 0, 0, 0, 0, 0, 0])];
    let reserved = [reserved.concat(), many(13, b"", MANY)].concat();
    let several = [field(1, b"x"), vec![0x10, 2], field(5, b""), field(13, &reservation)].concat();
    let reserve =
        |resource: Vec<u8>| accept(field(2, &[vec![0x08, 2], field(3, &resource)].concat()));
    vec![
        ("windows", Encoding::Protobuf, operator(25, 11, field(1, &windows))),
        ("machines", Encoding::Protobuf, operator(26, 12, many(1, b"", MANY))),
        ("quota", Encoding::Protobuf, operator(36, 20, many(2, &field(1, b"r"), MANY))),
        (
            "weights",
            Encoding::Protobuf,
            operator(16, 6, many(1, &[0x09, 0, 0, 0, 0, 0, 0, 0, 0], MANY)),
        ),
        ("requests", Encoding::Protobuf, request),
        ("operations to reconcile", Encoding::Protobuf, operations.concat()),
        ("constraints", Encoding::Protobuf, subscribe),
        ("reservations", Encoding::Protobuf, reserve(field(1, &reserved))),
        ("reserved", Encoding::Protobuf, reserve(many(1, &several, MANY))),
        ("tasks", Encoding::Protobuf, launch(many(1, &task, MANY))),
        ("empty tasks", Encoding::Protobuf, launch(many(1, b"", MANY))),
        ("empty operations", Encoding::Protobuf, accept(many(2, b"", MANY))),
        ("operations", Encoding::Protobuf, accept(many(2, &[0x08, 2], MANY))),
        ("offer ids", Encoding::Protobuf, accept(many(1, &id, MANY))),
        ("resources", Encoding::Protobuf, with_resources),
        ("ranges", Encoding::Protobuf, [task, field(4, &ranges)].concat()),
        ("reconciliation", Encoding::Protobuf, reconcile.concat()),
        ("status", Encoding::Protobuf, status),
        ("tasks", Encoding::Json, in_json(&tasks)),
        ("empty tasks", Encoding::Json, in_json(&list("{}"))),
        ("lists", Encoding::Json, vec![b'['; 1_000_000]),
        ("deep lists", Encoding::Json, in_json(&"[".repeat(100_000))),
        ("escapes", Encoding::Json, in_json(&format!("\"{}\"", "\\u0041".repeat(100_000)))),
        ("numbers", Encoding::Json, in_json(&list("1"))),
    ]
}

/// One test only: others would allocate beside it.
#[test]
fn decoding_allocates_a_small_multiple_of_its_input() {
    assert!(peak(|| vec![0_u8; 100_000]) >= 100_000, "the counter counts");
    for (name, encoding, bytes) in hostile() {
        let figure = measure(&bytes, encoding);
        println!("{name:20} {encoding:8?} {:8} bytes  {figure:6.1} a byte", bytes.len());
    }
    let mut runner = TestRunner::deterministic();
    for _ in 0..300 {
        let event = testing::event().new_tree(&mut runner).unwrap().current();
        let call = testing::call().new_tree(&mut runner).unwrap().current();
        let operator = testing::operator_call().new_tree(&mut runner).unwrap().current();
        let told = testing::operator_event().new_tree(&mut runner).unwrap().current();
        let noise = prop::collection::vec(any::<u8>(), 0..200);
        let noise = noise.new_tree(&mut runner).unwrap().current();
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            measure(&event.encode(encoding), encoding);
            measure(&call.encode(encoding), encoding);
            measure(&operator.encode(encoding), encoding);
            measure(&told.encode(encoding), encoding);
            measure(&noise, encoding);
        }
    }
}
