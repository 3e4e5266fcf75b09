//! How a member behaves.

use std::time::Duration;

/// Timings and limits of a member. All members of a group should have the same.
#[derive(Clone, Debug)]
pub struct Options {
    /// Between two ticks; all other times are counted in ticks.
    pub tick: Duration,
    /// Ticks between two signs of life of a leader.
    pub heartbeat_ticks: usize,
    /// Ticks without a sign of life after which a leader is taken for gone, at the least. Each
    /// member adds between one and as many again, drawn anew each time. A leader that has not
    /// heard of a majority for so long steps down.
    pub election_ticks: usize,
    /// Ticks that a leader's own disk may take for one write before it hands over to another.
    pub slow_write_ticks: u64,
    /// Bytes of entries in one message.
    pub message_bytes: u64,
    /// Messages with entries that may be under way to one member.
    pub messages_in_flight: usize,
    /// Bytes of entries that are not committed; more are refused.
    pub uncommitted_bytes: u64,
    /// A snapshot is taken after so many entries ...
    pub snapshot_entries: u64,
    /// ... or so many bytes of them that are also half of what the snapshot has, so that what is
    /// written stays in proportion; whichever comes first.
    pub snapshot_bytes: usize,
    /// Entries before a snapshot that are kept for members that are a little behind.
    pub kept_entries: u64,
    /// Ticks after which one that was told by some member that it was removed, and by too few to be
    /// sure that it is not needed any more, ends all the same: those that it knows may be gone.
    pub removal_ticks: u64,
    /// The state is compared between members at every index that this divides.
    pub hash_entries: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(50),
            heartbeat_ticks: 2,
            election_ticks: 10,
            slow_write_ticks: 40,
            message_bytes: 256 << 10,
            messages_in_flight: 128,
            uncommitted_bytes: 64 << 20,
            snapshot_entries: 20_000,
            snapshot_bytes: 16 << 20,
            kept_entries: 2_000,
            removal_ticks: 400,
            hash_entries: 5_000,
        }
    }
}
