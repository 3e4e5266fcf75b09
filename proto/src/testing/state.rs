//! What the masters keep for a framework.

use super::{data, text};
use crate::scheduler::{StateAnswer, StateAsk, StateCall, StateEntry, StateOutcome};
use proptest::collection::vec;
use proptest::prelude::*;

/// Any question or write.
pub(super) fn state_call() -> impl Strategy<Value = StateCall> {
    let ask = prop_oneof![
        (text(), data(), any::<u64>()).prop_map(|(key, value, version)| StateAsk::Put {
            key,
            value,
            version
        }),
        (text(), any::<u64>()).prop_map(|(key, version)| StateAsk::Delete { key, version }),
        text().prop_map(|key| StateAsk::Get { key }),
        text().prop_map(|prefix| StateAsk::List { prefix }),
    ];
    (any::<u64>(), ask).prop_map(|(number, ask)| StateCall { number, ask })
}

/// Any answer.
pub(super) fn state_answer() -> impl Strategy<Value = StateAnswer> {
    let entry = (text(), any::<u64>(), data()).prop_map(|(key, version, value)| StateEntry {
        key,
        version,
        value,
    });
    let outcome = prop_oneof![
        (text(), any::<u64>()).prop_map(|(key, version)| StateOutcome::Done { key, version }),
        (text(), any::<u64>()).prop_map(|(key, version)| StateOutcome::Conflict { key, version }),
        vec(entry, 0..3).prop_map(StateOutcome::Found),
        text().prop_map(|message| StateOutcome::Refused { message }),
    ];
    (any::<u64>(), outcome).prop_map(|(number, outcome)| StateAnswer { number, outcome })
}
