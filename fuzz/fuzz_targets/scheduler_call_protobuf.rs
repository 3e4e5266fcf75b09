//! A framework's call in protobuf: never a panic, and what was accepted can be written and read again in both encodings.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::{Encoding, Limits, Wire};

fuzz_target!(|bytes: &[u8]| {
    check::<proto::scheduler::Call>(bytes);
});

fn check<T: Wire + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(value) = T::decode(bytes, Encoding::Protobuf, &Limits::DEFAULT) else { return };
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let again = T::decode(&value.encode(encoding), encoding, &Limits::DEFAULT);
        match again {
            // In JSON, defaults that an opaque payload left out are said.
            Ok(again) => assert!(
                encoding == Encoding::Json || again == value || is_partly_unread(&value),
                "{again:?}"
            ),
            // Growth in writing may pass a limit; nothing else may be refused.
            Err(error) => assert!(error.problem.contains("are allowed"), "{encoding:?}: {error}"),
        }
    }
}

/// Whether tasks, operations or a framework in it could not be read: their ids alone are written.
fn is_partly_unread(value: &impl std::fmt::Debug) -> bool {
    let debug = format!("{value:?}");
    ["Unreadable([", "UnreadableTask", "Invalid(InvalidOperation", "Unsubscribable("]
        .iter()
        .any(|mark| debug.contains(mark))
}
