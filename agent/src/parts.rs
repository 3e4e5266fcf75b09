//! The names of a log's files: how a supervisor that writes and an agent that reads find the whole
//! of what a task printed, without telling each other.
//!
//! What is written now is `stdout`. Once that is as large as the operator lets it be, and a line has
//! ended, it becomes `stdout@BEGIN-END`: the bytes of the log from BEGIN on, up to END. The agent
//! packs it as `stdout@BEGIN-END.gz`. So names alone say where a byte of the log is, whatever has
//! been packed or removed meanwhile. Beside each file stands `.FILE.times` once the log has
//! lasted a second: marks of 16 bytes, each a place in the log and the time of what stands there.

use std::time::Duration;

/// What a name of a packed part ends with.
const PACKED: &str = ".gz";
/// Bytes of one mark: offset in the log and milliseconds since the epoch, both little endian.
pub(crate) const MARK: usize = 16;
/// Between two marks lies at least this: how exactly the time of a byte is known.
pub(crate) const MARK_EVERY: Duration = Duration::from_secs(1);

/// How logs are cut into parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPolicy {
    /// From how many bytes on a file of a log is cut off at the end of a line; 0: never.
    pub part_bytes: u64,
    /// How many of those that were cut off are kept of each log, at least one: the newest.
    pub parts: u32,
}

impl LogPolicy {
    /// Least size of a part, but for none at all: smaller ones would be mostly names.
    pub const LEAST_BYTES: u64 = 4 << 10;
    /// Most bytes of a part.
    pub const MOST_BYTES: u64 = 1 << 30;
    /// Most parts of a log: all names are read to find one.
    pub const MOST_PARTS: u32 = 1_000;
}

impl Default for LogPolicy {
    fn default() -> Self {
        Self { part_bytes: 16 << 20, parts: 10 }
    }
}

/// A part that was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Part {
    /// Where it begins in the log.
    pub(crate) begin: u64,
    /// Where the next one begins.
    pub(crate) end: u64,
    pub(crate) packed: bool,
}

impl Part {
    /// Its file.
    pub(crate) fn name(&self, log: &str) -> String {
        let packed = if self.packed { PACKED } else { "" };
        format!("{log}@{}-{}{packed}", self.begin, self.end)
    }

    /// The file of its times, which is never packed.
    pub(crate) fn times(&self, log: &str) -> String {
        times(&Self { packed: false, ..*self }.name(log))
    }

    /// Where it is packed before it gets its name.
    pub(crate) fn unfinished(&self, log: &str) -> String {
        format!(".{}.new", Self { packed: true, ..*self }.name(log))
    }

    /// Reads a name as [`Self::name`] writes it.
    pub(crate) fn parse(log: &str, name: &str) -> Option<Self> {
        let range = name.strip_prefix(log)?.strip_prefix('@')?;
        let (range, packed) = match range.strip_suffix(PACKED) {
            Some(range) => (range, true),
            None => (range, false),
        };
        let (begin, end) = range.split_once('-')?;
        let part = Self { begin: begin.parse().ok()?, end: end.parse().ok()?, packed };
        // One way to write it, so that no two names are one part.
        let sane = part.begin < part.end && part.end <= MOST;
        (sane && part.name(log) == name).then_some(part)
    }
}

/// No log is as long: a name that says so is not of the supervisor's, and sums stay in bounds.
const MOST: u64 = 1 << 60;

/// The file with the times of what is in another.
pub(crate) fn times(name: &str) -> String {
    format!(".{name}.times")
}

/// A mark as it is written.
pub(crate) fn mark(offset: u64, unix_ms: u64) -> [u8; MARK] {
    (u128::from(offset) | u128::from(unix_ms) << 64).to_le_bytes()
}

/// What a mark says.
pub(crate) fn mark_of(bytes: [u8; MARK]) -> (u64, u64) {
    let both = u128::from_le_bytes(bytes);
    (both as u64, (both >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_is_in_the_file_and_nothing_else_is_a_name() {
        let part = Part { begin: 5, end: 17, packed: false };
        let packed = Part { packed: true, ..part };
        assert_eq!((part.name("stdout"), packed.name("stdout")), {
            ("stdout@5-17".to_owned(), "stdout@5-17.gz".to_owned())
        });
        assert_eq!(part.times("stdout"), ".stdout@5-17.times");
        assert_eq!(packed.times("stdout"), part.times("stdout"));
        for known in [part, packed] {
            assert_eq!(Part::parse("stdout", &known.name("stdout")), Some(known));
            assert_eq!(Part::parse("stderr", &known.name("stdout")), None);
        }
        for other in [
            "stdout",
            "stdout@",
            "stdout@5",
            "stdout@5-",
            "stdout@5-5",
            "stdout@9-5",
            "stdout@05-17",
            "stdout@+5-17",
            "stdout@5-17.gz.gz",
            "stdout@5-17.txt",
            "stdout@5-99999999999999999999",
            "stdout.5-17",
            ".stdout@5-17.times",
            ".stdout@5-17.gz.new",
        ] {
            assert_eq!(Part::parse("stdout", other), None, "{other}");
        }
    }

    #[test]
    fn marks_are_read_as_written() {
        for (offset, unix_ms) in [(7, 1_763_000_000_123), (u64::MAX, 0), (0, u64::MAX)] {
            assert_eq!(mark_of(mark(offset, unix_ms)), (offset, unix_ms));
        }
    }
}
