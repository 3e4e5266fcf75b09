//! The size of a directory with all that is in it, as the disk has it.
//!
//! Links are not followed and other file systems not entered; a file with several names counts
//! once. Tasks may change what is being walked, at any time and to anything.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RawMode};
use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// Directories within each other; what is deeper does not count, or it would take descriptors
/// without end.
const DEPTH: usize = 256;
/// Entries between two rests.
const ENTRIES: usize = 512;
/// Files with several names that are remembered; further ones count each time.
const SEVERAL: usize = 100_000;
/// How much longer it rests than it walks.
const REST: u32 = 4;
/// The kernel's unit of `st_blocks`.
const BLOCK: u64 = 512;

/// Bytes that a directory and all in it take.
///
/// # Errors
/// When it cannot be opened. What in it cannot be read does not count.
pub(super) fn bytes(path: &Path) -> io::Result<u64> {
    let root = rustix::fs::open(path, flags(), Mode::empty())?;
    let stat = rustix::fs::fstat(&root)?;
    let mut walk = Walk {
        device: stat.st_dev,
        bytes: blocks(stat.st_blocks),
        several: HashSet::new(),
        entries: 0,
        since: Instant::now(),
    };
    walk.down(root)?;
    Ok(walk.bytes)
}

fn flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW
}

fn blocks(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0).saturating_mul(BLOCK)
}

struct Walk {
    device: u64,
    bytes: u64,
    several: HashSet<u64>,
    entries: usize,
    since: Instant,
}

impl Walk {
    fn down(&mut self, root: OwnedFd) -> io::Result<()> {
        let mut above = vec![Dir::new(root)?];
        while let Some(dir) = above.last_mut() {
            let Some(Ok(entry)) = dir.read() else {
                above.pop();
                continue;
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.rest();
            let Ok(fd) = dir.fd() else { continue };
            let Ok(stat) = rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            if stat.st_dev != self.device {
                continue;
            }
            let kind = FileType::from_raw_mode(stat.st_mode as RawMode);
            if kind == FileType::Directory {
                self.bytes = self.bytes.saturating_add(blocks(stat.st_blocks));
                let below = rustix::fs::openat(fd, name, flags(), Mode::empty());
                if let (Ok(below), true) = (below, above.len() < DEPTH) {
                    above.extend(Dir::new(below).ok());
                }
            } else if self.counts(stat.st_nlink, stat.st_ino) {
                self.bytes = self.bytes.saturating_add(blocks(stat.st_blocks));
            }
        }
        Ok(())
    }

    fn counts(&mut self, links: u64, inode: u64) -> bool {
        links < 2 || self.several.len() >= SEVERAL || self.several.insert(inode)
    }

    fn rest(&mut self) {
        self.entries += 1;
        if self.entries.is_multiple_of(ENTRIES) {
            let walked = self.since.elapsed().min(Duration::from_millis(100));
            std::thread::sleep(walked * REST);
            self.since = Instant::now();
        }
    }
}
