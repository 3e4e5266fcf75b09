//! A berth: everything a task needs around it, prepared once and used for one task after another.
//!
//! Its cgroup, its two output pipes and its working directory. Between two tasks each part must
//! prove that nothing of the former task is left (no process, no charged memory, no changed
//! flag, no file); a part that cannot is replaced or the berth is given up. A directory in which
//! a task left anything is kept for the reader and never given to another task.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::{Gid, Mode, OFlags, RawDir, SeekFrom, Uid};

use crate::parts::LogPolicy;

use super::cgroup::{CgroupError, Group, Tree};
use super::enclosure::{Standing, UserNamespace};
use super::network;
use super::output::Stream;
use super::project::{self, Project};
use super::task::{ContainerId, Launched, Limitation, Traffic, WaitStatus};

/// A working directory that is held open.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
    fd: OwnedFd,
    owner: Option<(u32, u32)>,
    /// Whether it belongs to the project of a former task.
    in_project: bool,
}

impl Directory {
    /// Opens a directory that the caller of a launch has made.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { path: path.to_owned(), fd, owner: None, in_project: false })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn own(&mut self, owner: Option<(u32, u32)>) -> io::Result<()> {
        if self.owner != owner {
            let (uid, gid) = owner.unwrap_or_else(ourselves);
            rustix::fs::fchown(&self.fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
            self.owner = owner;
        }
        Ok(())
    }

    /// Puts what will be written in it into a project, or into none.
    pub(super) fn enter(&mut self, project: Option<&Project>) -> io::Result<()> {
        match project {
            Some(project) => project.take_in(self.fd.as_fd())?,
            None if self.in_project => project::take_out(self.fd.as_fd())?,
            None => {}
        }
        self.in_project = project.is_some();
        Ok(())
    }

    /// Whether a task has left it as it was: empty, with the owner and mode we gave it.
    fn pristine(&self) -> bool {
        let (uid, gid) = self.owner.unwrap_or_else(ourselves);
        let Ok(stat) = rustix::fs::fstat(&self.fd) else { return false };
        let plain = stat.st_uid == uid && stat.st_gid == gid && stat.st_mode & 0o7777 == 0o755;
        plain && self.is_empty() && !self.has_attributes()
    }

    fn is_empty(&self) -> bool {
        if rustix::fs::seek(&self.fd, SeekFrom::Start(0)).is_err() {
            return false;
        }
        let mut space = [std::mem::MaybeUninit::uninit(); 1024];
        let mut entries = RawDir::new(&self.fd, &mut space);
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
                // A file, or the directory itself has been removed.
                _ => return false,
            }
        }
        true
    }

    /// Access lists and other attributes would act on the next task's files.
    fn has_attributes(&self) -> bool {
        let mut names = [0u8; 1024];
        match rustix::fs::flistxattr(&self.fd, &mut names) {
            Ok(n) => names[..n]
                .split(|b| *b == 0)
                .any(|name| !name.is_empty() && !name.starts_with(b"security.")),
            Err(error) => error != rustix::io::Errno::NOTSUP,
        }
    }
}

pub(super) fn ourselves() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// How far a task's end has come.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) status: WaitStatus,
    pub(super) cpu_time: std::time::Duration,
    pub(super) max_rss_bytes: u64,
    pub(super) at: Instant,
}

/// The task in a berth.
#[derive(Debug)]
pub(super) struct Occupant {
    pub(super) id: ContainerId,
    /// Distinguishes this task from earlier ones in the same berth.
    pub(super) serial: u64,
    pub(super) record: Vec<u8>,
    pub(super) shared: Option<Arc<[u8]>>,
    pub(super) launched: Launched,
    pub(super) started: Instant,
    /// The caller's own directory, if it gave one.
    pub(super) own_directory: Option<Directory>,
    pub(super) kill_requested: bool,
    /// What it took too much of, by the agent's word: it was killed for that.
    pub(super) exceeded: Option<Limitation>,
    /// When everything is to be killed.
    pub(super) kill_at: Option<Instant>,
    /// The walls around it.
    pub(super) standing: Option<Standing>,
    /// Its own network.
    pub(super) network: Option<network::Standing>,
    /// To which what it writes belongs, where the file system holds it to its disk.
    pub(super) project: Option<Project>,
    /// The first process has ended; what is left of the container is being ended.
    pub(super) ending: Option<Ending>,
}

/// A prepared place, with or without a task in it.
#[derive(Debug)]
pub(super) struct Berth {
    /// The number that its group is named by.
    pub(super) number: u64,
    pub(super) group: Option<Group>,
    /// stdout and stderr.
    pub(super) streams: [Stream; 2],
    pub(super) directory: Option<Directory>,
    pub(super) occupant: Option<Occupant>,
    /// Whose ids enclosed tasks have here.
    pub(super) users: Option<UserNamespace>,
    /// May be used again.
    pub(super) recyclable: bool,
}

/// Why a berth could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum BerthError {
    #[error("cannot prepare a cgroup: {0}")]
    Cgroup(#[from] CgroupError),
    #[error("cannot prepare {what}: {source}")]
    Io { what: &'static str, source: io::Error },
}

impl Berth {
    /// Prepares a berth; `name` names its cgroup.
    pub(super) fn make(tree: Option<&Tree>, name: &str) -> Result<Self, BerthError> {
        let pipe =
            |name| Stream::new(name).map_err(|source| BerthError::Io { what: "a pipe", source });
        Ok(Self {
            number: 0,
            streams: [pipe("stdout")?, pipe("stderr")?],
            group: tree.map(|tree| Group::make(tree, name)).transpose()?,
            directory: None,
            occupant: None,
            users: None,
            recyclable: true,
        })
    }

    /// Makes sure that there is a directory of ours, owned by the coming task's user.
    pub(super) fn prepare_directory(
        &mut self,
        sandboxes: &Path,
        next: &mut u64,
        owner: Option<(u32, u32)>,
    ) -> Result<(), BerthError> {
        let failed = |source| BerthError::Io { what: "a sandbox directory", source };
        if self.directory.is_none() {
            self.directory = Some(make_directory(sandboxes, next).map_err(failed)?);
        }
        match &mut self.directory {
            Some(directory) => directory.own(owner).map_err(failed),
            None => Ok(()),
        }
    }

    /// What has passed the link of the task, if it has a network of its own.
    pub(super) fn traffic(&self, networks: Option<&network::Networks>) -> Option<Traffic> {
        networks?.traffic(self.occupant.as_ref()?.network.as_ref()?)
    }

    /// Carries output of one stream; true when its pipe is empty.
    pub(super) fn carry(&mut self, stream: usize, policy: LogPolicy, buffer: &mut [u8]) -> bool {
        let own = self.occupant.as_ref().and_then(|o| o.own_directory.as_ref());
        match own.or(self.directory.as_ref()) {
            Some(directory) => self.streams[stream].carry(directory.as_fd(), policy, buffer),
            None => true,
        }
    }

    /// Carries what the task has written: nobody of it is left.
    pub(super) fn drain(&mut self, policy: LogPolicy, buffer: &mut [u8]) {
        let own = self.occupant.as_ref().and_then(|o| o.own_directory.as_ref());
        if let Some(directory) = own.or(self.directory.as_ref()) {
            for stream in &mut self.streams {
                stream.drain(directory.as_fd(), policy, buffer);
            }
        }
    }

    /// Whether a part was cut off from what the task prints, since this was asked last.
    pub(super) fn take_cut(&mut self) -> bool {
        let [out, err] = &mut self.streams;
        out.take_cut() | err.take_cut()
    }

    /// Gives up what only further tasks would need: with many berths, descriptors are scarce.
    pub(super) fn slim(&mut self) {
        self.recyclable = false;
        self.streams.iter_mut().for_each(Stream::close_writable);
        if let Some(group) = &mut self.group {
            group.close_joins();
        }
    }

    /// Takes the pooled directory out if the task has left anything in it.
    pub(super) fn take_used_directory(&mut self) -> Option<PathBuf> {
        if self.directory.as_ref().is_some_and(Directory::pristine) {
            return None;
        }
        self.directory.take().map(|directory| directory.path)
    }

    /// After a task: whether the next may come in.
    pub(super) fn renew(&mut self) -> bool {
        let [out, err] = &mut self.streams;
        // Both, whatever the first says: renewing also closes the task's files.
        let streams = out.renew() & err.renew();
        let clean = self.group.as_ref().is_none_or(|group| !group.residue());
        self.recyclable && streams && clean
    }

    /// Gives the directory back to the file system, if it is empty.
    pub(super) fn discard_directory(&mut self) {
        if let Some(directory) = self.directory.take() {
            let _ = fs::remove_dir(&directory.path);
        }
    }
}

/// Makes the next numbered directory.
fn make_directory(sandboxes: &Path, next: &mut u64) -> io::Result<Directory> {
    loop {
        let path = sandboxes.join(format!("{next:08}"));
        *next += 1;
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => {
                let directory = Directory::open(&path)?;
                rustix::fs::fchmod(&directory.fd, Mode::from_raw_mode(0o755))?;
                return Ok(directory);
            }
        }
    }
}
