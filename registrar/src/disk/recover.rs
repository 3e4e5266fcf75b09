//! Rewrites the disk of one member so that it is a group of its own, all or nothing.

use super::load::{self, Loaded};
use super::{options, put_meta};
use crate::DiskError;
use registrar_core::{Alone, Entry, MemberId, Members};
use rustix::rand::{GetRandomFlags, getrandom};
use std::path::Path;
use store::Store;

/// What was found on the disk of a member that is now a group of its own.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The last entry there is: what came after it is lost, if anything did.
    pub last: u64,
    /// The newest term that the member knew.
    pub term: u64,
    /// Who the members were, as far as it knew.
    pub members: Members,
    /// Entries that it once had were damaged, and are lost.
    pub lost_entries: bool,
}

/// After most members of a group are lost for good: makes `member`, whose disk is in `dir`, a group
/// of its own, found at `address`. The member must not run. What its log has is agreed upon from
/// then on; what only the lost ones had is gone, also if it was acknowledged: choose the one with
/// the newest term, and of those the one with the last entry.
///
/// Old members are never listened to again, and must be removed with their disks before others
/// join: two of them that find each other may still be a majority of the old group. Nothing of
/// theirs reaches the new one, whose members have an epoch that is drawn here and is not theirs.
///
/// # Errors
/// `Absent` without a disk, `Lost` when its promises or its snapshot are damaged; nothing is
/// changed then. After any other error the disk is as it was, or recovered.
pub fn recover(
    dir: &Path,
    group: &str,
    member: MemberId,
    address: &str,
) -> Result<Recovered, DiskError> {
    if !super::exists(dir) {
        return Err(DiskError::Absent { dir: dir.to_owned() });
    }
    let store = Store::open(dir, options(1 << 20, group))?;
    // None: it is not asked who else could give back what is damaged.
    let Loaded { mut disk, restored, content, mut batch, .. } = load::load(store, None, dir)?;
    let lost_entries = restored.forgot;
    let term = restored.hard_state.term;
    let alone = restored.alone(member, address.to_owned(), draw_epoch());
    let (Some(alone), Some(content)) = (alone, content) else {
        return Err(load::lost(dir, "snapshot", "is not there"));
    };
    let Alone { restored, changes_entries, members } = alone;
    if let Some(meta) = &restored.snapshot {
        put_meta(meta, &content, &mut batch);
    }
    if changes_entries {
        disk.replace_entries(&restored.entries, &mut batch);
    }
    let state = restored.hard_state;
    (disk.head.term, disk.head.vote, disk.head.commit) = (state.term, state.vote, state.commit);
    batch.delete(*b"f");
    disk.commit_now(batch)?;
    let last = restored.entries.last().map_or(restored.compacted.0, Entry::index);
    Ok(Recovered { last, term, members, lost_entries })
}

fn draw_epoch() -> u64 {
    let mut bytes = [0; 8];
    // So few bytes come at once and whole; were none to come, the time would do.
    let filled = getrandom(&mut bytes, GetRandomFlags::empty()).unwrap_or(0);
    let drawn = if filled == bytes.len() { u64::from_le_bytes(bytes) } else { 0 };
    if drawn == 0 { crate::lease::uptime().as_nanos() | 1 } else { drawn }
}
