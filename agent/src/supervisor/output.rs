//! Carries what a task prints from its pipes into files of its sandbox.
//!
//! A file is made when the first byte arrives, so a silent task costs none. What it costs to be
//! ready for both streams of a silent task, measured with `cargo run -p agent --example launches
//! output DIR` on an idle ext4: pipes kept from task to task 0.3 us, fresh pipes 4 us, two
//! `O_TMPFILE` (to be linked when written) 14 us on ext4 and 6 us on tmpfs, two files made and
//! removed 18 us; a busy journal makes the ext4 figures ten times worse. tmpfs would also let what
//! tasks print fill memory. So: pipes, kept.
//!
//! The pipes belong to a place, not to a task: the supervisor keeps both ends and the end of a
//! task, not the end of file, ends its output. Nothing is ever dropped for being slow (a pipe
//! that is full stops the task), but when the disk is full or the task has made its own `stdout`
//! unusable, bytes are counted as lost rather than letting the task hang for ever.
//!
//! Since all bytes pass through here, a file that has become large is cut off between two lines by
//! giving it another name (`parts`): nothing is copied, and the task, which only has a pipe, does
//! not notice. The rest (packing, reading) is the agent's business.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, RenameFlags, Uid, renameat, renameat_with, unlinkat};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::parts::{self, LogPolicy, MARK_EVERY, Part};

/// A part is cut off at the end of a line that is no longer than this; a longer one is cut itself.
const LINE: u64 = 64 << 10;
/// Most bytes of a file that a task has put in the place of its own log.
const FOUND: u64 = 1 << 40;
/// Bytes taken from one pipe before others get their turn.
const TURN: usize = 1 << 20;

/// Bytes that are carried of one stream in each period: 64 MiB a second, which costs the supervisor
/// some 3 % of a processor. Disks that take more than that of one log are rare.
const IN_PERIOD: usize = PERIOD.as_millis() as usize * (64 << 20) / 1000;
const PERIOD: Duration = Duration::from_millis(100);

/// One pipe and the file it is carried into.
#[derive(Debug)]
pub(super) struct Stream {
    name: &'static str,
    read: OwnedFd,
    /// The task's end. Ours is kept so that the pipe can be used again.
    write: Option<OwnedFd>,
    owner: Option<(u32, u32)>,
    file: Option<File>,
    /// Where in the log the file begins, and how many bytes it and its times have.
    begin: u64,
    size: u64,
    times: u64,
    /// How many they had when it could not be cut off.
    kept: u64,
    /// When it was opened, or the time of what followed was written down.
    marked: Option<Instant>,
    /// Those cut off before, oldest first.
    parts: VecDeque<Part>,
    /// Whether one was cut off that nobody has been told of.
    cut: bool,
    stored: u64,
    lost: u64,
    /// When the present period began, and what was carried in it.
    period: Instant,
    in_period: usize,
}

impl Stream {
    /// A fresh pipe for the stream `name` (`stdout` or `stderr`).
    pub(super) fn new(name: &'static str) -> std::io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        // Only our end: the description of the other is the task's own.
        rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
        Ok(Self {
            name,
            read,
            write: Some(write),
            owner: None,
            file: None,
            begin: 0,
            size: 0,
            times: 0,
            kept: 0,
            marked: None,
            parts: VecDeque::new(),
            cut: false,
            stored: 0,
            lost: 0,
            period: Instant::now(),
            in_period: 0,
        })
    }

    /// The end to watch.
    pub(super) fn readable(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }

    /// The end a task gets.
    pub(super) fn writable(&self) -> Option<BorrowedFd<'_>> {
        self.write.as_ref().map(AsFd::as_fd)
    }

    /// Lets the task's user reopen the pipe by way of /dev/stdout, and own the file.
    pub(super) fn own(&mut self, owner: Option<(u32, u32)>) -> std::io::Result<()> {
        if self.owner != owner
            && let Some(write) = &self.write
        {
            let (uid, gid) = owner.unwrap_or((0, 0));
            rustix::fs::fchown(write, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
            self.owner = owner;
        }
        Ok(())
    }

    /// Gives the task's end up: this pipe will not be used again.
    pub(super) fn close_writable(&mut self) {
        self.write = None;
    }

    /// Carries what is in the pipe, at most [`TURN`] bytes; true when it is empty now.
    pub(super) fn carry(
        &mut self,
        directory: BorrowedFd<'_>,
        policy: LogPolicy,
        buffer: &mut [u8],
    ) -> bool {
        if self.period.elapsed() >= PERIOD {
            (self.period, self.in_period) = (Instant::now(), 0);
        }
        let mut taken = 0;
        while taken < TURN {
            match rustix::io::read(&self.read, &mut *buffer) {
                // End of file: nobody holds the other end any more.
                Ok(0) => return true,
                Ok(n) => {
                    self.store(directory, policy, &buffer[..n]);
                    taken += n;
                    self.in_period += n;
                }
                Err(Errno::INTR) => {}
                Err(_) => return true,
            }
        }
        false
    }

    /// Until when it is not to be carried, because it was so much.
    pub(super) fn held_until(&self) -> Option<Instant> {
        (self.in_period >= IN_PERIOD).then(|| self.period + PERIOD)
    }

    /// Carries what is in the pipe now. What comes later is not the task's: without cgroups someone
    /// who cannot be found may hold the other end and write faster than we read.
    pub(super) fn drain(
        &mut self,
        directory: BorrowedFd<'_>,
        policy: LogPolicy,
        buffer: &mut [u8],
    ) {
        let waiting = rustix::io::ioctl_fionread(&self.read).unwrap_or(0);
        let mut left = usize::try_from(waiting).unwrap_or(usize::MAX);
        while left > 0 {
            let turn = left.min(buffer.len());
            match rustix::io::read(&self.read, &mut buffer[..turn]) {
                Ok(0) => return,
                Ok(n) => {
                    self.store(directory, policy, &buffer[..n]);
                    left -= n;
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    fn store(&mut self, directory: BorrowedFd<'_>, policy: LogPolicy, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let has = (self.size + self.times).saturating_sub(self.kept);
            let (now, is_cut) = match policy.part_bytes {
                0 => (rest.len(), false),
                most => until_cut(
                    most.saturating_sub(has),
                    most.saturating_add(LINE).saturating_sub(has),
                    rest,
                ),
            };
            self.append(directory, &rest[..now]);
            rest = &rest[now..];
            if is_cut {
                self.cut_off(directory, policy);
            }
        }
    }

    /// Appends to the present file, which is made when it is not there.
    fn append(&mut self, directory: BorrowedFd<'_>, bytes: &[u8]) {
        if self.file.is_none() {
            let opened = open(directory, self.name, self.owner).ok();
            // What the task may have put there itself comes first. No log is as long as a file that
            // is mostly holes: such a one is no place for it, and what is printed counts as lost.
            let sized = opened.and_then(|file| Some((file.metadata().ok()?.len(), file)));
            let sized = sized.filter(|(size, _)| *size <= FOUND);
            self.size = sized.as_ref().map_or(0, |(size, _)| *size);
            self.file = sized.map(|(_, file)| file);
            let first = self.parts.is_empty();
            self.marked = first.then(Instant::now);
        }
        self.mark(directory);
        let mut rest = bytes;
        while let (Some(file), false) = (&mut self.file, rest.is_empty()) {
            match file.write(rest) {
                Ok(n) if n > 0 => rest = &rest[n..],
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // Disk full, most likely. The next bytes may find room again.
                _ => break,
            }
        }
        let stored = (bytes.len() - rest.len()) as u64;
        self.size += stored;
        self.stored += stored;
        self.lost += rest.len() as u64;
    }

    /// Notes the time of what comes now, now and then. That of the first byte of all is noted with
    /// the next one, so that what ends within a second costs no second file.
    fn mark(&mut self, directory: BorrowedFd<'_>) {
        let ago = self.marked.map(|at| at.elapsed());
        if self.file.is_none() || ago.is_some_and(|ago| ago < MARK_EVERY) {
            return;
        }
        if !self.is_in_place(directory) {
            // On with a new file, at once.
            self.forsake(directory);
            return self.append(directory, &[]);
        }
        self.marked = Some(Instant::now());
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = |ago| {
            let time = since_epoch.saturating_sub(ago);
            u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
        };
        let mark = parts::mark(self.begin + self.size, at(Duration::ZERO));
        let first = ago.filter(|_| self.times == 0).map(|ago| parts::mark(self.begin, at(ago)));
        let marks = [first.as_ref().map_or(&[][..], |mark| mark), &mark].concat();
        // Kept open it would cost every task that prints a descriptor. Without it, times are known
        // less exactly.
        let written = open(directory, &parts::times(self.name), self.owner)
            .and_then(|mut file| file.write_all(&marks));
        if written.is_ok() {
            self.times += marks.len() as u64;
        }
    }

    /// Whether the present file still has the name of the log: its task may have removed it, or given
    /// it another name, and would write without end into what nobody sees.
    fn is_in_place(&self, directory: BorrowedFd<'_>) -> bool {
        let Some(ours) = self.file.as_ref().and_then(|file| rustix::fs::fstat(file).ok()) else {
            return false;
        };
        let named = rustix::fs::statat(directory, self.name, AtFlags::SYMLINK_NOFOLLOW);
        named.is_ok_and(|named| (named.st_ino, named.st_dev) == (ours.st_ino, ours.st_dev))
    }

    /// Gives the present file up, with the times of what is in it.
    fn forsake(&mut self, directory: BorrowedFd<'_>) {
        let _ = unlinkat(directory, parts::times(self.name).as_str(), AtFlags::empty());
        (self.file, self.marked) = (None, None);
        (self.size, self.times, self.kept) = (0, 0, 0);
    }

    /// Gives the present file the name of a part, and removes those that are too many.
    fn cut_off(&mut self, directory: BorrowedFd<'_>, policy: LogPolicy) {
        if self.file.is_some() && !self.is_in_place(directory) {
            return self.forsake(directory);
        }
        let part = Part { begin: self.begin, end: self.begin + self.size, packed: false };
        if self.file.is_none() || rename(directory, self.name, &part.name(self.name)).is_err() {
            // The task stands in the way: on with the same file, and another try a part later.
            self.kept = self.size + self.times;
            return;
        }
        // There are none if it filled within a second.
        let _ = rename(directory, &parts::times(self.name), &part.times(self.name));
        (self.file, self.marked) = (None, None);
        (self.begin, self.size, self.times, self.kept) = (part.end, 0, 0, 0);
        self.cut = true;
        self.parts.push_back(part);
        let most = usize::try_from(policy.parts.max(1)).unwrap_or(usize::MAX);
        while self.parts.len() > most
            && let Some(oldest) = self.parts.pop_front()
        {
            // Packed or not: it is one of them. The agent removes what it is packing meanwhile.
            let packed = Part { packed: true, ..oldest };
            for name in [oldest.name(self.name), packed.name(self.name), oldest.times(self.name)] {
                let _ = unlinkat(directory, name.as_str(), AtFlags::empty());
            }
        }
    }

    /// Whether a part was cut off since this was asked last.
    pub(super) fn take_cut(&mut self) -> bool {
        std::mem::take(&mut self.cut)
    }

    /// Bytes stored and lost for the present task.
    pub(super) fn figures(&self) -> (u64, u64) {
        (self.stored, self.lost)
    }

    /// Makes ready for another task. False if the pipe cannot be used again: its end has been
    /// given up, or the task has changed the description that the next would inherit.
    pub(super) fn renew(&mut self) -> bool {
        (self.file, self.marked, self.cut) = (None, None, false);
        (self.begin, self.size, self.times, self.kept) = (0, 0, 0, 0);
        self.parts.clear();
        (self.stored, self.lost) = (0, 0);
        let flags = self.write.as_ref().and_then(|w| rustix::fs::fcntl_getfl(w).ok());
        flags.is_some_and(|flags| {
            !flags.intersects(OFlags::NONBLOCK | OFlags::APPEND | OFlags::DIRECT)
        })
    }
}

/// How many of `bytes` belong to the present file, and whether it is to be cut off after them: at
/// the end of the line that fills its `room`, or where it has all that it may have, `most`.
fn until_cut(room: u64, most: u64, bytes: &[u8]) -> (usize, bool) {
    let [room, most] = [room, most].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    if bytes.len() < room {
        return (bytes.len(), false);
    }
    let (from, to) = (room.saturating_sub(1), most.clamp(1, bytes.len()));
    match bytes[from..to].iter().position(|byte| *byte == b'\n') {
        Some(at) => (from + at + 1, true),
        None => (to, to == most.max(1)),
    }
}

/// Renames within a directory what the task may have exchanged, over nothing that it has put there.
fn rename(directory: BorrowedFd<'_>, from: &str, to: &str) -> rustix::io::Result<()> {
    match renameat_with(directory, from, directory, to, RenameFlags::NOREPLACE) {
        // This file system knows only the plain kind.
        Err(Errno::INVAL) => renameat(directory, from, directory, to),
        renamed => renamed,
    }
}

/// Makes the file. One that the task has put there itself is appended to if it is a plain file
/// with no second name: we may be root, and a link would lead us to someone else's file.
fn open(directory: BorrowedFd<'_>, name: &str, owner: Option<(u32, u32)>) -> std::io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mode = Mode::from_raw_mode(0o644);
    match rustix::fs::openat(directory, name, flags | OFlags::CREATE | OFlags::EXCL, mode) {
        Ok(fd) => {
            if let Some((uid, gid)) = owner {
                rustix::fs::fchown(&fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
            }
            Ok(fd.into())
        }
        Err(Errno::EXIST) => {
            let fd = rustix::fs::openat(directory, name, flags | OFlags::NONBLOCK, mode)?;
            let stat = rustix::fs::fstat(&fd)?;
            let plain = rustix::fs::FileType::from_raw_mode(stat.st_mode)
                == rustix::fs::FileType::RegularFile;
            if plain && stat.st_nlink == 1 { Ok(fd.into()) } else { Err(Errno::ACCESS.into()) }
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
