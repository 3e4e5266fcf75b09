//! How much a framework's description of itself weighs.
//!
//! It is kept, in memory and as a durable fact, while its scheduler is away, and who sent it is
//! then no longer there to be told. Counted by the words in it, never by the allocator's or the
//! encoding's measure: all replicas must come to the same figure.

use proto::FrameworkInfo;

/// What a description weighs before it says anything, and each item of its lists.
const FIXED: usize = 512;
const ITEM: usize = 32;

/// Bytes of a framework's description, about.
pub(crate) fn framework_bytes(info: &FrameworkInfo) -> usize {
    let words = [Some(&info.user), Some(&info.name), Some(&info.hostname)];
    let words = words.into_iter().chain([info.principal.as_ref(), info.webui_url.as_ref()]);
    let words: usize = words.flatten().map(|text| text.len()).sum();
    let id = info.id.as_ref().map_or(0, |id| id.as_str().len());
    let roles: usize = info.roles.iter().map(|role| ITEM + role.as_str().len()).sum();
    let labels: usize = info
        .labels
        .iter()
        .map(|(key, value)| ITEM + key.len() + value.as_ref().map_or(0, |value| value.len()))
        .sum();
    let least: usize = info
        .min_allocatable
        .iter()
        .map(|(role, amounts)| {
            let amounts = amounts.iter().flat_map(|some| some.iter());
            let amounts: usize = amounts.map(|(name, _)| ITEM + name.as_str().len()).sum();
            ITEM + role.as_str().len() + amounts
        })
        .sum();
    FIXED + words + id + roles + labels + least
}
