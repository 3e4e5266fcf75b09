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

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

/// Bytes taken from one pipe before others get their turn.
const TURN: usize = 1 << 20;

/// One pipe and the file it is carried into.
#[derive(Debug)]
pub(super) struct Stream {
    name: &'static str,
    read: OwnedFd,
    /// The task's end. Ours is kept so that the pipe can be used again.
    write: Option<OwnedFd>,
    owner: Option<(u32, u32)>,
    file: Option<File>,
    stored: u64,
    lost: u64,
}

impl Stream {
    /// A fresh pipe for the stream `name` (`stdout` or `stderr`).
    pub(super) fn new(name: &'static str) -> std::io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        // Only our end: the description of the other is the task's own.
        rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
        Ok(Self { name, read, write: Some(write), owner: None, file: None, stored: 0, lost: 0 })
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
    pub(super) fn carry(&mut self, directory: BorrowedFd<'_>, buffer: &mut [u8]) -> bool {
        let mut taken = 0;
        while taken < TURN {
            match rustix::io::read(&self.read, &mut *buffer) {
                // End of file: nobody holds the other end any more.
                Ok(0) => return true,
                Ok(n) => {
                    self.store(directory, &buffer[..n]);
                    taken += n;
                }
                Err(Errno::INTR) => {}
                Err(_) => return true,
            }
        }
        false
    }

    /// Carries what is in the pipe now. What comes later is not the task's: without cgroups someone
    /// who cannot be found may hold the other end and write faster than we read.
    pub(super) fn drain(&mut self, directory: BorrowedFd<'_>, buffer: &mut [u8]) {
        let waiting = rustix::io::ioctl_fionread(&self.read).unwrap_or(0);
        let mut left = usize::try_from(waiting).unwrap_or(usize::MAX);
        while left > 0 {
            let turn = left.min(buffer.len());
            match rustix::io::read(&self.read, &mut buffer[..turn]) {
                Ok(0) => return,
                Ok(n) => {
                    self.store(directory, &buffer[..n]);
                    left -= n;
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    fn store(&mut self, directory: BorrowedFd<'_>, bytes: &[u8]) {
        if self.file.is_none() {
            self.file = open(directory, self.name, self.owner).ok();
        }
        let mut rest = bytes;
        while let (Some(file), false) = (&mut self.file, rest.is_empty()) {
            match file.write(rest) {
                Ok(n) if n > 0 => rest = &rest[n..],
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // Disk full, most likely. The next bytes may find room again.
                _ => break,
            }
        }
        self.stored += (bytes.len() - rest.len()) as u64;
        self.lost += rest.len() as u64;
    }

    /// Bytes stored and lost for the present task.
    pub(super) fn figures(&self) -> (u64, u64) {
        (self.stored, self.lost)
    }

    /// Makes ready for another task. False if the pipe cannot be used again: its end has been
    /// given up, or the task has changed the description that the next would inherit.
    pub(super) fn renew(&mut self) -> bool {
        self.file = None;
        (self.stored, self.lost) = (0, 0);
        let flags = self.write.as_ref().and_then(|w| rustix::fs::fcntl_getfl(w).ok());
        flags.is_some_and(|flags| {
            !flags.intersects(OFlags::NONBLOCK | OFlags::APPEND | OFlags::DIRECT)
        })
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
mod tests {
    use super::*;

    #[test]
    fn a_writer_that_never_stops_does_not_hold_up_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let directory = File::open(dir.path()).unwrap();
        let mut stream = Stream::new("stdout").unwrap();
        let write = stream.writable().unwrap().try_clone_to_owned().unwrap();
        // Less than usual for a user with very many pipes.
        let capacity = rustix::pipe::fcntl_getpipe_size(&write).unwrap();
        let (full, is_full) = std::sync::mpsc::channel();
        let writer = std::thread::spawn(move || {
            let mut write = File::from(write);
            let block = [b'y'; 4096];
            // As much as the pipe holds, and then until nobody reads any more.
            for _ in 0..capacity / block.len() {
                write.write_all(&block).unwrap();
            }
            full.send(()).unwrap();
            while write.write_all(&block).is_ok() {}
        });
        is_full.recv().unwrap();
        stream.drain(directory.as_fd(), &mut [0; 1024]);
        assert_eq!(stream.figures(), (capacity as u64, 0));
        drop(stream);
        writer.join().unwrap();
    }
}
