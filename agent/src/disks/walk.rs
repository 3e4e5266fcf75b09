//! The size of a directory with all that is in it, as the disk has it, found in small steps.
//!
//! Links are not followed and other file systems not entered; a file with several names counts
//! once. Tasks may change what is being walked, at any time and to anything. The upper directories
//! on the way are held open, so that renaming them loses nothing; below those, where descriptors
//! would be taken without end, the way back is `..`, and it is made sure that it leads back.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RawMode, Stat};
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Directories within each other that are held open.
const HELD: usize = 128;
/// Files with several names that are remembered; further ones count each time.
const SEVERAL: usize = 100_000;
/// Bytes that the names of directories below the held ones may take that are still to be entered.
/// Where there are more, a directory is read on when those have been entered.
const NAMES: usize = 1 << 20;
/// What a name takes besides its bytes.
const NAME: usize = 48;
/// Directories within each other, below the held ones; deeper ones are not entered.
const DEEPEST: usize = 10_000;
/// The kernel's unit of `st_blocks`.
const BLOCK: u64 = 512;
/// What a file counts as at the least, and how many may be empty beside that: as where project
/// quotas limit the number of files. Who makes nothing but empty files leaves others no inodes.
const BYTES_PER_INODE: u64 = 4096;
const EMPTY_FILES: u64 = 1024;

fn flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW
}

fn blocks(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(BLOCK)
}

/// A walk through a directory.
pub(super) struct Walk {
    device: u64,
    bytes: u64,
    entries: u64,
    /// Files and directories, by whatever number of names.
    inodes: u64,
    several: HashSet<u64>,
    above: Vec<Dir>,
    below: Option<Below>,
    /// `NAMES`.
    names: usize,
    /// Another directory, walked after the first.
    next: Option<PathBuf>,
}

/// Where a walk is below the directories that it holds open.
struct Below {
    here: OwnedFd,
    /// Absent when `here` has been read, all of it or up to the step's place.
    reading: Option<Dir>,
    /// The directories from the last held one down to `here`.
    way: Vec<Step>,
    /// Bytes of the names that are still to be entered.
    names: usize,
}

/// A directory on the way.
struct Step {
    /// Its number.
    number: u64,
    /// What in it is still to be entered.
    names: Vec<CString>,
    /// Where it is read on after that, if there was no room for more names.
    place: Option<i64>,
}

impl Step {
    fn of(number: u64) -> Self {
        Self { number, names: Vec::new(), place: None }
    }
}

fn size_of(name: &CStr) -> usize {
    NAME + name.to_bytes().len()
}

impl Walk {
    /// At the start of a sandbox, to which a layer belongs.
    ///
    /// # Errors
    /// When the sandbox cannot be opened. What in it cannot be read does not count, nor does a layer
    /// that is gone.
    pub(super) fn begin(path: &Path, layer: Option<&Path>) -> io::Result<Self> {
        let walk = Self::with_names(path, NAMES)?;
        Ok(Self { next: layer.map(Path::to_owned), ..walk })
    }

    /// As `begin`, with room for so many bytes of names.
    pub(super) fn with_names(path: &Path, names: usize) -> io::Result<Self> {
        let root = rustix::fs::open(path, flags(), Mode::empty())?;
        let stat = rustix::fs::fstat(&root)?;
        Ok(Self {
            device: stat.st_dev,
            bytes: blocks(&stat),
            entries: 0,
            inodes: 0,
            several: HashSet::new(),
            above: vec![Dir::new(root)?],
            below: None,
            names,
            next: None,
        })
    }

    /// Goes on with the next directory at the top; whether there is one.
    fn go_over(&mut self) -> bool {
        let Some(path) = self.next.take() else { return false };
        let opened = rustix::fs::open(&path, flags(), Mode::empty());
        let opened = opened.and_then(|root| Ok((rustix::fs::fstat(&root)?, Dir::new(root)?)));
        if let Ok((stat, root)) = opened {
            // No file has names on both sides: they are different mounts to the task.
            self.several.clear();
            self.device = stat.st_dev;
            self.bytes += blocks(&stat);
            self.above.push(root);
        }
        true
    }

    /// Bytes that were found so far, or those that so many files count as.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.max(self.inodes.saturating_sub(EMPTY_FILES) * BYTES_PER_INODE)
    }

    /// Files and directories that were found so far.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// Takes so many steps; whether there is more.
    pub(super) fn go_on(&mut self, steps: usize) -> bool {
        (0..steps).all(|_| self.step())
    }

    fn step(&mut self) -> bool {
        if let Some(mut below) = self.below.take() {
            self.below = self.step_below(&mut below).then_some(below);
            return true;
        }
        let Some(dir) = self.above.last_mut() else { return self.go_over() };
        let Some(Ok(entry)) = dir.read() else {
            self.above.pop();
            return true;
        };
        let Ok(fd) = dir.fd() else { return true };
        let name = entry.file_name().to_owned();
        let Some(stat) = look(fd, &name, self.device) else { return true };
        let opened = match is_directory(&stat) {
            true => rustix::fs::openat(fd, name.as_c_str(), flags(), Mode::empty()).ok(),
            false => None,
        };
        self.count(&stat);
        if let Some(opened) = opened {
            if self.above.len() < HELD {
                self.above.extend(Dir::new(opened).ok());
            } else {
                self.below = Below::begin(opened);
            }
        }
        true
    }

    /// Whether there is more below.
    fn step_below(&mut self, below: &mut Below) -> bool {
        let Some(reading) = &mut below.reading else { return below.turn(self.device) };
        let Some(Ok(entry)) = reading.read() else {
            below.reading = None;
            return true;
        };
        let Some(stat) = look(below.here.as_fd(), entry.file_name(), self.device) else {
            return true;
        };
        self.count(&stat);
        if is_directory(&stat)
            && below.way.len() < DEEPEST
            && let Some(step) = below.way.last_mut()
        {
            below.names += size_of(entry.file_name());
            step.names.push(entry.file_name().to_owned());
            if below.names > self.names {
                step.place = Some(entry.offset());
                below.reading = None;
            }
        }
        true
    }

    fn count(&mut self, stat: &Stat) {
        self.entries += 1;
        let several = !is_directory(stat) && stat.st_nlink > 1;
        if !several || self.several.len() >= SEVERAL || self.several.insert(stat.st_ino) {
            self.bytes = self.bytes.saturating_add(blocks(stat));
            self.inodes += 1;
        }
    }
}

impl Below {
    fn begin(here: OwnedFd) -> Option<Self> {
        let number = rustix::fs::fstat(&here).ok()?.st_ino;
        let reading = Dir::read_from(&here).ok();
        Some(Self { here, reading, way: vec![Step::of(number)], names: 0 })
    }

    /// Goes into the next directory or, when there is none, reads on or goes back; false at the end
    /// of the way.
    fn turn(&mut self, device: u64) -> bool {
        let Some(step) = self.way.last_mut() else { return false };
        let Some(name) = step.names.pop() else {
            if let Some(place) = step.place.take() {
                let on = |mut dir: Dir| dir.seek(place).map(|()| dir);
                self.reading = Dir::read_from(&self.here).and_then(on).ok();
                return true;
            }
            self.way.pop();
            return self.go_back(device);
        };
        self.names = self.names.saturating_sub(size_of(&name));
        let Ok(next) = rustix::fs::openat(&self.here, name.as_c_str(), flags(), Mode::empty())
        else {
            return true;
        };
        if let Ok(stat) = rustix::fs::fstat(&next)
            && stat.st_dev == device
        {
            self.way.push(Step::of(stat.st_ino));
            self.reading = Dir::read_from(&next).ok();
            self.here = next;
        }
        true
    }

    fn go_back(&mut self, device: u64) -> bool {
        let Some(step) = self.way.last() else { return false };
        let Ok(back) = rustix::fs::openat(&self.here, c"..", flags(), Mode::empty()) else {
            return false;
        };
        // Who was moved meanwhile has another way back, on which nothing is known.
        let is_it = rustix::fs::fstat(&back)
            .is_ok_and(|stat| stat.st_dev == device && stat.st_ino == step.number);
        self.here = back;
        is_it
    }
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode as RawMode) == FileType::Directory
}

/// What is there under a name, if it counts here.
fn look(dir: BorrowedFd<'_>, name: &CStr, device: u64) -> Option<Stat> {
    if matches!(name.to_bytes(), b"." | b"..") {
        return None;
    }
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    (stat.st_dev == device).then_some(stat)
}
