//! Project quotas, where the file system of the sandboxes enforces them (ext4 and XFS mounted with
//! `prjquota`): what a task writes into its sandbox, and over its image, belongs to a project of its
//! own, and the kernel refuses with `EDQUOT` what goes beyond the disk that the task asked for.
//!
//! The file system itself knows which projects are in use: one without a file is free. So nothing is
//! kept of them, and nothing has to be given back. A process with `CAP_SYS_RESOURCE` of the host is
//! not held by quotas, and the owner of a file who is in the host's user namespace may take it out of
//! its project (the kernel's rules); so sandboxes are measured all the same.

#![allow(unsafe_code)] // Raw system calls; every block says why it is sound.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use super::berth::Directory;
use super::sys;
use super::task::{Limitation, TaskSpec};

/// Projects are taken from these 2^24 numbers: a part of the space that an operator who counts up
/// from small ones does not reach.
const FIRST: u32 = 0x5400_0000;
const COUNT: u32 = 1 << 24;
/// Numbers that are tried before one gives up: those in use lie beside each other.
const TRIES: u32 = 10_000;
/// Inodes: one for each block of the usual size, and some for empty files.
const BYTES_PER_INODE: u64 = 4096;
const EMPTY_FILES: u64 = 1024;
/// The kernel counts limits in these (`QIF_DQBLKSIZE`).
const BLOCK: u64 = 1024;
/// What is left within a limit that was reached: a file takes whole blocks, and the blocks that
/// list them.
const NEARLY: u64 = 64 << 10;

// Of <linux/quota.h>, <linux/dqblk_xfs.h> and <linux/fs.h>.
const PRJQUOTA: i32 = 2;
const Q_GETQUOTA: i32 = 0x80_0007;
const Q_SETQUOTA: i32 = 0x80_0008;
const Q_XGETQSTATV: i32 = 0x5808;
const PROJECTS_ENFORCED: u16 = 1 << 5;
const FS_IOC_FSGETXATTR: libc::c_ulong = 0x801c_581f;
const FS_IOC_FSSETXATTR: libc::c_ulong = 0x401c_5820;
const INHERIT: u32 = 0x200;

/// `struct fsxattr`.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    copy_extent_size: u32,
    padding: [u8; 8],
}

/// `struct fs_quota_statv`.
#[repr(C)]
#[derive(Default)]
struct State {
    version: i8,
    padding: u8,
    flags: u16,
    /// More than all counts take.
    rest: [[u32; 16]; 3],
}

/// What a command of quotas reads or writes.
trait Record {}
impl Record for libc::dqblk {}
impl Record for State {}

fn quotactl<R: Record>(
    fs: BorrowedFd<'_>,
    command: i32,
    id: u32,
    record: &mut R,
) -> io::Result<()> {
    let command = (command << 8) | PRJQUOTA;
    // SAFETY: the record is live, and as large as the structure of the command or larger.
    let done = unsafe {
        libc::syscall(
            libc::SYS_quotactl_fd,
            fs.as_raw_fd(),
            command,
            id,
            std::ptr::from_mut(record),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The projects of the file system of the sandboxes.
#[derive(Debug, Default)]
pub(super) struct Projects {
    fs: Option<Arc<OwnedFd>>,
    next: u32,
}

/// What one task writes.
#[derive(Debug, Clone)]
pub(super) struct Project {
    fs: Arc<OwnedFd>,
    id: u32,
}

impl Projects {
    /// Those of the file system of a directory; none where it enforces none, or where we are not
    /// root and cannot set limits.
    pub(super) fn of(sandboxes: &Path) -> Self {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut state = State { version: 1, ..State::default() };
        let fs = rustix::fs::open(sandboxes, flags, Mode::empty())
            .map_err(io::Error::from)
            .and_then(|fs| quotactl(fs.as_fd(), Q_XGETQSTATV, 0, &mut state).map(|()| fs))
            .ok();
        let enforced = state.flags & PROJECTS_ENFORCED != 0;
        let fs = fs.filter(|_| enforced && rustix::process::geteuid().is_root()).map(Arc::new);
        // Two agents of one file system begin at different places.
        let next = u32::try_from(sys::boot_time_ns() % u64::from(COUNT)).unwrap_or_default();
        Self { fs, next }
    }

    /// Puts what a task will write in its directory into a project, which may take as much as the
    /// task asked for. When the file system gives none, the task is held to its disk by being
    /// measured only, as it is elsewhere.
    pub(super) fn hold(
        &mut self,
        spec: &TaskSpec,
        directory: Option<&mut Directory>,
    ) -> Option<Project> {
        let directory = directory?;
        let made = spec.limits.disk_bytes.map_or(Ok(None), |bytes| self.make(bytes));
        let held = made.and_then(|project| directory.enter(project.as_ref()).map(|()| project));
        held.unwrap_or_else(|error| {
            super::log(&format!("the disk of {} is not held by a quota: {error}", spec.id));
            None
        })
    }

    /// A project of which nothing is there, which may take so much; none where there are no quotas.
    ///
    /// # Errors
    /// When the file system gives none.
    fn make(&mut self, bytes: u64) -> io::Result<Option<Project>> {
        let Some(fs) = &self.fs else { return Ok(None) };
        for _ in 0..TRIES {
            self.next = (self.next + 1) % COUNT;
            let project = Project { fs: Arc::clone(fs), id: FIRST + self.next };
            if project.is_free()? {
                project.limit(bytes)?;
                return Ok(Some(project));
            }
        }
        Err(io::Error::other(format!("{TRIES} projects in a row are in use")))
    }
}

impl Project {
    fn read(&self) -> io::Result<libc::dqblk> {
        let mut record = empty();
        quotactl(self.fs.as_fd(), Q_GETQUOTA, self.id, &mut record).map(|()| record)
    }

    fn is_free(&self) -> io::Result<bool> {
        match self.read() {
            Ok(found) => Ok(found.dqb_curinodes == 0 && found.dqb_curspace == 0),
            // XFS has no record of it yet.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Holds it to so much from now on.
    pub(super) fn limit(&self, bytes: u64) -> io::Result<()> {
        let mut record = empty();
        record.dqb_bhardlimit = bytes.div_ceil(BLOCK).max(1);
        record.dqb_ihardlimit = bytes / BYTES_PER_INODE + EMPTY_FILES;
        record.dqb_valid = libc::QIF_LIMITS;
        quotactl(self.fs.as_fd(), Q_SETQUOTA, self.id, &mut record)
    }

    /// Takes in an empty directory, and all that will be made in it.
    pub(super) fn take_in(&self, dir: BorrowedFd<'_>) -> io::Result<()> {
        assign(dir, self.id, true)
    }

    /// What the task has taken of its disk, if that was all there was.
    pub(super) fn exhausted(&self) -> Option<Limitation> {
        let found = self.read().ok()?;
        let (usage_bytes, limit_bytes) = (found.dqb_curspace, found.dqb_bhardlimit * BLOCK);
        let full = usage_bytes.saturating_add(NEARLY.min(limit_bytes / 16)) >= limit_bytes
            || found.dqb_curinodes >= found.dqb_ihardlimit;
        (limit_bytes > 0 && full).then_some(Limitation::Disk { usage_bytes, limit_bytes })
    }
}

/// Takes an empty directory out of the project that it was in.
pub(super) fn take_out(dir: BorrowedFd<'_>) -> io::Result<()> {
    assign(dir, 0, false)
}

fn empty() -> libc::dqblk {
    // SAFETY: numbers only.
    unsafe { std::mem::zeroed() }
}

fn assign(dir: BorrowedFd<'_>, project: u32, inherit: bool) -> io::Result<()> {
    let mut attributes = Attributes::default();
    // SAFETY: the kernel fills the structure, whose size is in the number of the request.
    let read = unsafe { libc::ioctl(dir.as_raw_fd(), FS_IOC_FSGETXATTR, &raw mut attributes) };
    if read != 0 {
        return Err(io::Error::last_os_error());
    }
    attributes.project = project;
    attributes.flags =
        if inherit { attributes.flags | INHERIT } else { attributes.flags & !INHERIT };
    // SAFETY: the kernel reads the structure, whose size is in the number of the request.
    let written = unsafe { libc::ioctl(dir.as_raw_fd(), FS_IOC_FSSETXATTR, &raw const attributes) };
    if written == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
