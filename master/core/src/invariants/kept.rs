//! The invariants of what frameworks keep in the registry.

use super::Found;
use crate::framework::footprint::framework_bytes;
use crate::state::Master;
use std::collections::BTreeSet;

/// It is somebody's, within the limits, and its versions are in order.
pub(super) fn check(m: &Master, found: &mut Found) {
    let kept = m.registry.kept();
    let mut all = 0;
    for (id, state) in kept.of() {
        let known = m.framework_ids.contains_key(id) && !m.registry.is_completed(id);
        found.unless(known, "M31", || format!("{id} is over and keeps state"));
        let bytes: usize =
            state.entries.iter().map(|(key, held)| key.len() + held.value.len()).sum();
        found.unless(bytes == state.bytes(), "M31", || {
            format!("{id} keeps {bytes} bytes, counted are {}", state.bytes())
        });
        found.unless(bytes <= m.options.state_bytes, "M31", || format!("{id} keeps {bytes} bytes"));
        all += bytes + framework_bytes(&state.info);
        let keys = state.entries.len();
        found.unless(keys <= m.options.state_keys, "M31", || format!("{id} keeps {keys} keys"));
        let versions: BTreeSet<u64> = state.entries.values().map(|held| held.version).collect();
        let within = versions.iter().all(|version| (1..=state.version).contains(version));
        found.unless(within && versions.len() == keys, "M31", || {
            format!("{id} has versions {versions:?}, the newest is {}", state.version)
        });
    }
    found.unless(all == kept.bytes(), "M31", || {
        format!("{all} bytes are kept, counted are {}", kept.bytes())
    });
    found.unless(all <= m.options.all_state_bytes, "M31", || format!("{all} bytes are kept"));
}
