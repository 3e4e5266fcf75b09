//! Both directions of the link between agent and master: never a panic, and what was accepted can be written and read again in both encodings.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proto::{Encoding, Limits, Wire};

fuzz_target!(|bytes: &[u8]| {
    check::<proto::agent_link::AgentCall>(bytes);
    check::<proto::agent_link::AgentEvent>(bytes);
    check::<proto::agent_link::Command>(bytes);
});

fn check<T: Wire + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(value) = T::decode(bytes, Encoding::Protobuf, &Limits::DEFAULT) else { return };
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
