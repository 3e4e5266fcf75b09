//! Which container is where, on file: for the supervisor that comes after one that was lost.
//!
//! One slot a berth, which the next task in it takes over. It outlives the process, not the machine,
//! so nothing is synced: a launch costs one write into the page cache. What a slot says may be of a
//! container that has ended; who reads it looks at the processes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::task::ContainerId;

const FILE: &str = "roll";
/// A slot lies within one page, so that a process which is killed leaves the old or the new one.
const SLOT: usize = 512;
/// Number of the group, process id, time of the start, lengths of id and sandbox.
const HEAD: usize = 8 + 4 + 8 + 2 + 2;
/// Slots that are read: more tasks than a machine has processes.
const MOST: u64 = 1 << 22;

/// One container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: ContainerId,
    /// The number of its berth's cgroup.
    pub(super) group: u64,
    /// Its first process, the leader of a session.
    pub(super) pid: u32,
    /// A moment right after it was started.
    pub(super) started_boot_ns: u64,
    /// Its working directory; empty where that is too long for a slot.
    pub(super) sandbox: PathBuf,
}

impl Entry {
    fn encode(&self) -> [u8; SLOT] {
        let mut slot = [0; SLOT];
        let id = self.id.as_str().as_bytes();
        let mut sandbox = self.sandbox.as_os_str().as_bytes();
        if HEAD + id.len() + sandbox.len() > SLOT {
            sandbox = &[];
        }
        let lengths = [id.len(), sandbox.len()].map(|n| u16::try_from(n).unwrap_or(0));
        let parts: [&[u8]; 7] = [
            &self.group.to_le_bytes(),
            &self.pid.to_le_bytes(),
            &self.started_boot_ns.to_le_bytes(),
            &lengths[0].to_le_bytes(),
            &lengths[1].to_le_bytes(),
            id,
            sandbox,
        ];
        let mut at = 0;
        for part in parts {
            slot[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        slot
    }

    /// None for a slot that was never used, or is no slot.
    fn decode(slot: &[u8]) -> Option<Self> {
        let (group, rest) = slot.split_first_chunk()?;
        let (pid, rest) = rest.split_first_chunk()?;
        let (started, rest) = rest.split_first_chunk()?;
        let (id_length, rest) = rest.split_first_chunk()?;
        let (sandbox_length, rest) = rest.split_first_chunk()?;
        let (id, rest) = rest.split_at_checked(u16::from_le_bytes(*id_length).into())?;
        let (sandbox, _) = rest.split_at_checked(u16::from_le_bytes(*sandbox_length).into())?;
        Some(Self {
            id: ContainerId::new(std::str::from_utf8(id).ok()?).ok()?,
            group: u64::from_le_bytes(*group),
            pid: u32::from_le_bytes(*pid),
            started_boot_ns: u64::from_le_bytes(*started),
            sandbox: std::ffi::OsStr::from_bytes(sandbox).into(),
        })
    }
}

/// The file.
#[derive(Debug, Default)]
pub(super) struct Roll {
    file: Option<File>,
    /// Slots before those of berths: of what is left of a supervisor before.
    kept: u64,
}

impl Roll {
    /// What the last supervisor of this directory left, and the file, for us.
    pub(super) fn take(dir: &Path) -> io::Result<(Self, Vec<Entry>)> {
        let mut how = OpenOptions::new();
        how.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = how.open(dir.join(FILE))?;
        let mut text = Vec::new();
        (&file).take(MOST * SLOT as u64).read_to_end(&mut text)?;
        let entries = text.chunks(SLOT).filter_map(Entry::decode).collect();
        Ok((Self { file: Some(file), kept: 0 }, entries))
    }

    /// Begins anew with `left`, which whoever comes after us has to know as well.
    pub(super) fn begin<'a>(&mut self, left: impl Iterator<Item = &'a Entry>) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let slots: Vec<u8> = left.flat_map(Entry::encode).collect();
        self.kept = (slots.len() / SLOT) as u64;
        file.set_len(0)?;
        file.write_all_at(&slots, 0)
    }

    /// Notes who is in a berth. A disk that is full costs no task its start: then the one who comes
    /// after us has the marks of processes only.
    pub(super) fn note(&self, berth: usize, entry: &Entry) {
        if let Some(file) = &self.file {
            let _ = file.write_all_at(&entry.encode(), (self.kept + berth as u64) * SLOT as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, group: u64) -> Entry {
        let (pid, started_boot_ns, sandbox) = (7, 8, "/s/00000001".into());
        Entry { id: ContainerId::new(id).unwrap(), group, pid, started_boot_ns, sandbox }
    }

    #[test]
    fn the_next_one_reads_what_was_noted_and_what_was_left_before() {
        let dir = tempfile::tempdir().unwrap();
        let (mut roll, none) = Roll::take(dir.path()).unwrap();
        assert_eq!(none, []);
        let (left, first, second) = (entry("left", 1), entry("a", 2), entry("b", 3));
        roll.begin([&left].into_iter()).unwrap();
        roll.note(0, &entry("over", 2));
        roll.note(0, &first);
        roll.note(5, &second);
        let (mut roll, read) = Roll::take(dir.path()).unwrap();
        assert_eq!(read, [left, first, second]);
        roll.begin([].iter()).unwrap();
        assert_eq!(Roll::take(dir.path()).unwrap().1, []);
    }

    #[test]
    fn what_is_too_long_or_no_slot_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let (roll, _) = Roll::take(dir.path()).unwrap();
        let long = Entry { sandbox: "x".repeat(400).into(), ..entry(&"i".repeat(200), 1) };
        roll.note(0, &long);
        let file = OpenOptions::new().append(true).open(dir.path().join(FILE)).unwrap();
        io::Write::write_all(&mut &file, &[0xff; 700]).unwrap();
        let read = Roll::take(dir.path()).unwrap().1;
        assert_eq!(read, [Entry { sandbox: PathBuf::new(), ..long }]);
    }
}
