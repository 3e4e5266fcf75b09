//! Sessions: programs that people run in the container of a task, with input and output of their own.
//!
//! A session is born as a check's program is (`beside`), but what it reads and prints goes through
//! pipes or a terminal that the agent made: we open them by their paths, once, and never carry a
//! byte. A session ends with its task, when the agent says so, and with the agent itself: nobody
//! else could take its output.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Gid, Mode, OFlags, Uid};

use super::beside::Io;
use super::peer::Peer;
use super::server::Supervisor;
use super::sys::{self, Reaped};
use super::task::{ContainerId, LaunchError, Stdio, TaskSpec};
use super::wire::Report;

#[derive(Debug)]
struct Session {
    pid: u32,
    id: ContainerId,
}

/// All that run, by the numbers that the agent gave them.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    running: HashMap<u64, Session>,
    /// Their numbers by their process ids.
    pids: HashMap<u32, u64>,
}

impl Sessions {
    fn signal(&self, number: u64, signal: i32) {
        if let Some(session) = self.running.get(&number).filter(|_| (1..=64).contains(&signal)) {
            // Not reaped yet, so the number is still its own. Its leader may not have made the group
            // yet, or may have been given to another; none is to get a signal twice but KILL.
            let told = sys::signal_child(session.pid, true, signal);
            if !told || signal == libc::SIGKILL {
                sys::signal_child(session.pid, false, signal);
            }
        }
    }

    /// Kills what the next child that is to be reaped has left in its process group, if it led a
    /// session; its number. None when nothing is known of the next: it is no session's.
    pub(super) fn end_group_of_next(&self) -> Option<u32> {
        if self.pids.is_empty() {
            return None;
        }
        let next = sys::ended_child()?;
        if self.pids.contains_key(&next) {
            sys::signal_child(next, true, libc::SIGKILL);
        }
        Some(next)
    }

    pub(super) fn is_of_one(&self, pid: u32) -> bool {
        self.pids.contains_key(&pid)
    }

    /// Kills those of one container.
    pub(super) fn end_of(&self, id: &ContainerId) {
        for (number, _) in self.running.iter().filter(|(_, session)| session.id == *id) {
            self.signal(*number, libc::SIGKILL);
        }
    }

    /// Kills all: the agent is gone.
    pub(super) fn end_all(&self) {
        self.running.keys().for_each(|number| self.signal(*number, libc::SIGKILL));
    }
}

impl Supervisor {
    /// Runs a program in the container of a task; says how that went.
    pub(super) fn enter_session(&mut self, number: u64, stdio: &Stdio, spec: TaskSpec) {
        let id = spec.id.clone();
        let absent = || LaunchError::Refused("no such container is running".into());
        let started = match self.running.get(&id).copied() {
            None => Err(absent()),
            Some(_) if self.sessions.running.contains_key(&number) => {
                Err(LaunchError::AlreadyExists)
            }
            Some(index) => open(stdio)
                .map_err(|(what, error)| {
                    LaunchError::Refused(format!("opening {what} of a session: {error}"))
                })
                .and_then(|opened| {
                    // While the agent lives it holds the other ends, so these are what it made. When
                    // it is gone, a terminal of that number may be anybody's.
                    if self.peer.as_ref().is_none_or(Peer::is_gone) {
                        return Err(LaunchError::Refused("its agent is gone".into()));
                    }
                    let terminal = matches!(stdio, Stdio::Terminal(_));
                    let started =
                        self.begin_beside(index, spec, &Io { opened, terminal, own: true })?;
                    started.ok_or_else(absent)
                }),
        };
        if let Some(slots) = &mut self.slots {
            // What was given to it is to be its own: who reads it waits for the last who has it.
            let null = self.null.as_fd();
            let _ = slots.fill([null; 4]);
        }
        if let Ok(pid) = started {
            self.sessions.pids.insert(pid, number);
            self.sessions.running.insert(number, Session { pid, id: id.clone() });
        }
        self.report(&Report::Entered { id, number, result: started });
    }

    /// Signals the process group of a session.
    pub(super) fn signal_session(&self, number: u64, signal: i32) {
        self.sessions.signal(number, signal);
    }

    /// The end of a session's program, if this is one.
    pub(super) fn reap_session(&mut self, reaped: &Reaped) -> bool {
        let Some(number) = self.sessions.pids.remove(&reaped.pid) else { return false };
        self.sessions.running.remove(&number);
        let status = sys::decode_status(reaped.status);
        self.report(&Report::Left { number, status });
        true
    }
}

/// Standard input, output and error. The agent holds the other ends, so none of it waits.
fn open(stdio: &Stdio) -> Result<[OwnedFd; 3], (&'static str, io::Error)> {
    match stdio {
        Stdio::Pipes([stdin, stdout, stderr]) => {
            let pipe = |path: &Path, flags, what| {
                open_one(path, flags, FileType::Fifo).map_err(|error| (what, error))
            };
            Ok([
                pipe(stdin, OFlags::RDONLY, "standard input")?,
                pipe(stdout, OFlags::WRONLY, "standard output")?,
                pipe(stderr, OFlags::WRONLY, "standard error")?,
            ])
        }
        Stdio::Terminal(path) => {
            let terminal = open_one(path, OFlags::RDWR, FileType::CharacterDevice)
                .map_err(|error| ("the terminal", error))?;
            let copy = || terminal.try_clone().map_err(|error| ("the terminal", error));
            Ok([copy()?, copy()?, terminal])
        }
    }
}

fn open_one(path: &Path, flags: OFlags, kind: FileType) -> io::Result<OwnedFd> {
    let careful = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags | careful, Mode::empty())?;
    let stat = rustix::fs::fstat(&fd)?;
    if FileType::from_raw_mode(stat.st_mode) != kind {
        return Err(io::Error::other("it is of another kind"));
    }
    // The program may wait for what we may not.
    rustix::fs::fcntl_setfl(&fd, flags & OFlags::ACCMODE)?;
    Ok(fd)
}

/// Lets the user of a task, whose directory this is, open again what a session reads and writes.
pub(super) fn own(opened: &[OwnedFd; 3], directory: impl AsFd) -> io::Result<()> {
    let owner = rustix::fs::fstat(directory)?;
    let (uid, gid) = (Uid::from_raw(owner.st_uid), Gid::from_raw(owner.st_gid));
    for fd in opened {
        rustix::fs::fchown(fd, Some(uid), Some(gid))?;
    }
    Ok(())
}

/// What a program beside a task reads and prints when nobody talks to it.
pub(super) fn nothing() -> io::Result<[OwnedFd; 3]> {
    let null = || File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from);
    Ok([null()?, null()?, null()?])
}
