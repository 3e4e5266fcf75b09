//! Room on the disk for the whole of the log's last segment, from its first record on.
//!
//! The log grows by segments, and each commit writes a part of one. An open fills up the last one;
//! without room for that it fails, on a disk that others filled meanwhile.

use rustix::fs::{FallocateFlags, fallocate};
use std::fs::File;
use std::os::unix::fs::MetadataExt;

/// The log grows by segments of this size.
pub(crate) const SEGMENT_BYTES: u64 = 512 * 1024;

/// How the log was when room was last taken.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// Where its last segment ends.
    end: u64,
    /// How much of the disk it has, in the units of the system.
    blocks: u64,
}

impl Room {
    /// Takes room for all of the last segment, if the log has another one by now, or less of the
    /// disk. Where the file system cannot, or has none, the log is what it was: nothing but an open
    /// on a full disk needs it.
    pub(crate) fn take(&mut self, log: &File) {
        let Ok(found) = log.metadata() else { return };
        let end = found.len().next_multiple_of(SEGMENT_BYTES);
        if end == 0 || end == self.end && found.blocks() >= self.blocks {
            return;
        }
        let begin = end - SEGMENT_BYTES;
        if let Err(error) = fallocate(log, FallocateFlags::KEEP_SIZE, begin, SEGMENT_BYTES) {
            tracing::debug!(%error, begin, "no room is kept for the rest of a log");
        }
        let blocks = log.metadata().map_or(found.blocks(), |now| now.blocks());
        *self = Self { end, blocks };
    }
}
