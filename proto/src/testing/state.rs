//! What the masters keep for a framework.

use super::{data, maybe, text};
use crate::scheduler::{StateAnswer, StateAsk, StateCall, StateEntry, StateFence, StateOutcome};
use proptest::collection::vec;
use proptest::prelude::*;

/// Any question or write.
pub(super) fn state_call() -> impl Strategy<Value = StateCall> {
    let ask = prop_oneof![
        (text(), data(), any::<u64>(), any::<Option<u64>>(), maybe(state_fence())).prop_map(
            |(key, value, version, write, fence)| StateAsk::Put {
                key,
                value,
                version,
                write,
                fence
            }
        ),
        (text(), any::<u64>()).prop_map(|(key, version)| StateAsk::Delete { key, version }),
        text().prop_map(|key| StateAsk::Get { key }),
        text().prop_map(|prefix| StateAsk::List { prefix }),
    ];
    (any::<u64>(), ask).prop_map(|(number, ask)| StateCall { number, ask })
}

/// Any fence.
pub(super) fn state_fence() -> impl Strategy<Value = StateFence> {
    (text(), any::<u64>()).prop_map(|(key, version)| StateFence { key, version })
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
