//! Packs the parts that were cut off from logs, in the background.
//!
//! It is the agent's work, not the supervisor's: that is small and must not wait, and whatever it
//! does with a part (which is to remove it, in the end) it may do while the part is being packed. One
//! thread of the lowest priority does it for all; when it is behind, parts stay as they are a while.

use super::{Sandbox, SandboxError};
use crate::parts::Part;
use crate::sandboxes::LOGS;
use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The thread's nice value: the kernel's last.
const NICE: i32 = 19;
/// Little is gained beyond it: of a log of a web server level 6 makes 9 % less in twice the time.
const LEVEL: Compression = Compression::new(3);
/// No supervisor cuts off more at a time.
const MOST_BYTES: u64 = 2 << 30;

/// Sandboxes in which parts wait, each once.
#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<PathBuf>,
    known: BTreeSet<PathBuf>,
    is_over: bool,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing in here panics half way.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Packs what it is told of.
#[derive(Debug)]
pub(crate) struct Packer(Arc<Queue>);

impl Drop for Packer {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.changed.notify_one();
    }
}

impl Packer {
    /// Starts the thread, which ends with what is returned.
    pub(crate) fn start() -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let theirs = Arc::clone(&queue);
        std::thread::Builder::new().name("packer".into()).spawn(move || work(&theirs))?;
        Ok(Self(queue))
    }

    /// There may be parts of logs in this sandbox.
    pub(crate) fn look(&self, sandbox: PathBuf) {
        let mut waiting = self.0.lock();
        if waiting.known.insert(sandbox.clone()) {
            waiting.order.push_back(sandbox);
            self.0.changed.notify_one();
        }
    }
}

fn work(queue: &Queue) {
    // The thread alone: Linux takes the 0 for whoever asks. That it cannot be nicer is no reason to
    // do nothing.
    let _ = rustix::process::setpriority_process(None, NICE);
    loop {
        let mut waiting = queue.lock();
        let sandbox = loop {
            if waiting.is_over {
                return;
            }
            if let Some(next) = waiting.order.pop_front() {
                waiting.known.remove(&next);
                break next;
            }
            waiting = queue.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        };
        drop(waiting);
        // One that has gone meanwhile has nothing to be packed.
        match pack_all(&sandbox, || queue.lock().is_over) {
            Ok(()) | Err(SandboxError::NotFound(_)) => {}
            Err(error) => {
                tracing::warn!(sandbox = %sandbox.display(), %error, "parts of a log stay unpacked");
            }
        }
    }
}

/// Packs all parts in a sandbox, until it is over.
pub(super) fn pack_all(path: &Path, is_over: impl Fn() -> bool) -> Result<(), SandboxError> {
    let sandbox = Sandbox::open(path)?;
    for log in LOGS {
        for part in sandbox.view(log)?.parts {
            if is_over() {
                return Ok(());
            }
            if !part.packed {
                sandbox.pack(log, part)?;
            }
        }
    }
    Ok(())
}

impl Sandbox {
    /// Packs one part. Whatever ends us meanwhile, the part is there once: packed when that was
    /// durable, else plain.
    fn pack(&self, log: &str, part: Part) -> Result<(), SandboxError> {
        let (plain, packed, unfinished) =
            (part.name(log), Part { packed: true, ..part }.name(log), part.unfinished(log));
        let (file, size) = match self.open_file(&plain) {
            Err(SandboxError::NotFound(_)) => return Ok(()),
            opened => opened?,
        };
        let io = |source| SandboxError::Io { doing: "pack", path: plain.clone(), source };
        let data = file.metadata().map_err(io)?;
        // Not what a supervisor has made: a file with another name besides may be anybody's.
        if data.nlink() != 1 || size > MOST_BYTES {
            return Ok(());
        }
        // Of an agent that ended meanwhile, or the task's.
        let _ = rustix::fs::unlinkat(&self.root, unfinished.as_str(), AtFlags::empty());
        let made = self.write_packed(&unfinished, &file, size).and_then(|()| {
            rustix::fs::renameat(&self.root, unfinished.as_str(), &self.root, packed.as_str())
                .map_err(io::Error::from)
        });
        if let Err(source) = made {
            let _ = rustix::fs::unlinkat(&self.root, unfinished.as_str(), AtFlags::empty());
            return Err(io(source));
        }
        if rustix::fs::unlinkat(&self.root, plain.as_str(), AtFlags::empty()).is_err() {
            // The supervisor has removed it: there were too many.
            let _ = rustix::fs::unlinkat(&self.root, packed.as_str(), AtFlags::empty());
        }
        Ok(())
    }

    /// Writes the packed form of a file, durably, as the same owner's and of the same time.
    fn write_packed(&self, name: &str, from: &File, size: u64) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(
            &self.root,
            name,
            flags | OFlags::NOFOLLOW,
            Mode::from_raw_mode(0o600),
        )?;
        let mut packed = GzEncoder::new(io::BufWriter::new(File::from(fd)), LEVEL);
        io::copy(&mut from.take(size), &mut packed)?;
        let mut buffered = packed.finish()?;
        buffered.flush()?;
        let file = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
        let data = from.metadata()?;
        let ours = file.metadata()?;
        if (ours.uid(), ours.gid()) != (data.uid(), data.gid()) {
            let (uid, gid) = (Uid::from_raw(data.uid()), Gid::from_raw(data.gid()));
            rustix::fs::fchown(file.as_fd(), Some(uid), Some(gid))?;
        }
        rustix::fs::fchmod(file.as_fd(), Mode::from_raw_mode(data.mode() & 0o777))?;
        let changed = Timespec { tv_sec: data.mtime(), tv_nsec: data.mtime_nsec() };
        let times = Timestamps { last_access: changed, last_modification: changed };
        rustix::fs::futimens(file.as_fd(), &times)?;
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_part_is_packed_once_and_what_is_not_a_part_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("stdout@0-6"), "a\nb\nc\n").unwrap();
        fs::write(path("stdout@6-8"), "d\n").unwrap();
        fs::write(path(".stdout@0-6.gz.new"), "half").unwrap();
        fs::write(path("stderr@0-2"), "e\n").unwrap();
        fs::write(path("other"), "o").unwrap();
        fs::hard_link(path("other"), path("stderr@2-3")).unwrap();
        let before = fs::metadata(path("stdout@0-6")).unwrap();
        pack_all(dir.path(), || false).unwrap();
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let wanted = ["other", "stderr@0-2.gz", "stderr@2-3", "stdout@0-6.gz", "stdout@6-8.gz"];
        assert_eq!(names, wanted);
        let packed = fs::metadata(path("stdout@0-6.gz")).unwrap();
        assert_eq!((packed.mtime(), packed.mode()), (before.mtime(), before.mode()));
        let mut text = String::new();
        let file = File::open(path("stdout@0-6.gz")).unwrap();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
        assert_eq!(text, "a\nb\nc\n");
        // Nothing is left to be done.
        pack_all(dir.path(), || false).unwrap();
        assert_eq!(fs::metadata(path("stdout@0-6.gz")).unwrap().ino(), packed.ino());
    }

    #[test]
    fn what_is_told_twice_is_looked_at_and_a_sandbox_that_is_gone_holds_up_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("stdout@0-2"), "a\n").unwrap();
        let packer = Packer::start().unwrap();
        packer.look(dir.path().join("none"));
        packer.look(dir.path().to_owned());
        packer.look(dir.path().to_owned());
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while dir.path().join("stdout@0-2").exists() {
            assert!(std::time::Instant::now() < until, "it is packed within the bound");
            // waits: for another thread that tells nobody
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(dir.path().join("stdout@0-2.gz").exists());
    }
}
