//! Calls of the operators of an agent and its answers, in both encodings: never a panic, and what
//! was accepted can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::{Encoding, Limits, Wire};

fuzz_target!(|bytes: &[u8]| {
    check::<proto::agent_api::Call>(bytes);
    check::<proto::agent_api::Response>(bytes);
    check::<proto::agent_api::ProcessIo>(bytes);
});

fn check<T: Wire + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    // JSON begins with a brace, and no message of protobuf does.
    let json = bytes.first() == Some(&b'{');
    let encoding = if json { Encoding::Json } else { Encoding::Protobuf };
    let Ok(value) = T::decode(bytes, encoding, &Limits::DEFAULT) else { return };
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let again = T::decode(&value.encode(encoding), encoding, &Limits::DEFAULT);
        match again {
            // In JSON, defaults that an opaque payload left out are said.
            Ok(again) => assert!(encoding == Encoding::Json || again == value, "{again:?}"),
            // Growth in writing may pass a limit; nothing else may be refused.
            Err(error) => assert!(error.problem.contains("are allowed"), "{encoding:?}: {error}"),
        }
    }
}
