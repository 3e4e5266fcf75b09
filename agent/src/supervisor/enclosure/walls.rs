//! What the first process of an enclosure does before it sleeps: it hangs the prepared trees into
//! the new root, makes that the only one there is, and gives its rights away.
//!
//! It runs in the supervisor's memory while the supervisor is suspended, in namespaces of its own:
//! so it makes system calls on what was prepared and nothing else. No allocation, no locks, no
//! panic. What an image or a task has put into a file system is reached by descriptors beneath the
//! new root only, whatever links are in it.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, Result};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
};

use super::tree::{self, HARMLESS, INERT, READ_ONLY};
use crate::supervisor::sys;

/// A path beneath the new root, for who has no memory to take it apart: each prefix, with the name
/// that it ends in.
pub(super) struct Target {
    steps: Vec<(CString, CString)>,
    /// What stands at the end: a file instead of a directory.
    file: bool,
    /// No link is followed on the way: what is hung there is trusted to be where it says.
    strict: bool,
}

impl Target {
    /// The components of an absolute path. Those that are no names (`..`) are refused by `None`.
    pub(super) fn new(path: &std::path::Path, file: bool, strict: bool) -> Option<Self> {
        let mut prefix = Vec::new();
        let mut steps = Vec::new();
        for component in path.components() {
            match component {
                std::path::Component::RootDir | std::path::Component::CurDir => {}
                std::path::Component::Normal(name) => {
                    if !prefix.is_empty() {
                        prefix.push(b'/');
                    }
                    prefix.extend_from_slice(name.as_encoded_bytes());
                    let name = CString::new(name.as_encoded_bytes()).ok()?;
                    steps.push((CString::new(prefix.clone()).ok()?, name));
                }
                _ => return None,
            }
        }
        (!steps.is_empty()).then_some(Self { steps, file, strict })
    }
}

/// The root file system.
pub(super) enum RootPlan {
    /// A prepared tree.
    Tree(OwnedFd),
    /// A layer that can be written over an image.
    Layers {
        /// The image, its owners shifted.
        image: OwnedFd,
        /// Where it is hung first, because layers are named by paths.
        image_at: CString,
        /// The same for the option, in which colons are escaped.
        image_option: CString,
        upper: CString,
        work: CString,
    },
}

/// Everything that is to be done.
pub(super) struct Plan {
    pub(super) root: RootPlan,
    /// Where the root is hung before it is the root.
    pub(super) root_at: CString,
    pub(super) read_only: bool,
    /// In order; the last is the one in question when something fails.
    pub(super) mounts: Vec<(OwnedFd, Target)>,
    /// Made when it is not there.
    pub(super) directory: Option<Target>,
    pub(super) hostname: Vec<u8>,
}

/// Which step failed, and at which mount.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failed {
    pub(super) step: &'static str,
    /// How many of [`Plan::mounts`] come after it.
    pub(super) mount_from_end: Option<usize>,
    pub(super) errno: i32,
}

fn at(step: &'static str) -> impl Fn(Errno) -> Failed {
    move |errno| Failed { step, mount_from_end: None, errno: errno.raw_os_error() }
}

/// Files of `/proc` that tell or do too much, hidden behind `/dev/null`.
const MASKED_FILES: [&CStr; 7] = [
    // By the counts of which others' keystrokes have been told.
    c"proc/interrupts",
    c"proc/kcore",
    c"proc/keys",
    c"proc/latency_stats",
    c"proc/timer_list",
    c"proc/sched_debug",
    c"proc/kmsg",
];
/// Directories of the same kind, hidden behind an empty one.
const MASKED_DIRECTORIES: [&CStr; 6] = [
    c"proc/acpi",
    c"proc/asound",
    c"proc/scsi",
    c"sys/firmware",
    c"sys/devices/virtual/powercap",
    c"sys/fs/selinux",
];
/// What can be read and not written.
const FIXED: [&CStr; 6] =
    [c"proc/bus", c"proc/fs", c"proc/irq", c"proc/sys", c"proc/sysrq-trigger", c"proc/pressure"];

/// Does it all.
pub(super) fn raise(plan: &Plan) -> std::result::Result<(), Failed> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change(c"/", private).map_err(at("leaving the host's mounts"))?;
    let layered;
    let root = match &plan.root {
        RootPlan::Tree(tree) => tree.as_fd(),
        RootPlan::Layers { image, image_at, image_option, upper, work } => {
            hang_at_path(image.as_fd(), image_at).map_err(at("hanging the image"))?;
            layered = layers(image_option, upper, work).map_err(at("laying over the image"))?;
            layered.as_fd()
        }
    };
    hang_at_path(root, &plan.root_at).map_err(at("hanging the root"))?;
    for (index, (tree, target)) in plan.mounts.iter().enumerate() {
        let failed = |errno: Errno| Failed {
            step: "mounting",
            mount_from_end: plan.mounts.len().checked_sub(index + 1),
            errno: errno.raw_os_error(),
        };
        let there = reach(root, target).map_err(failed)?;
        hang(tree.as_fd(), there.as_fd()).map_err(failed)?;
    }
    processes(root).map_err(at("mounting /proc"))?;
    if let Some(directory) = &plan.directory {
        reach(root, directory).map_err(at("making the working directory"))?;
    }
    rustix::system::sethostname(&plan.hostname).map_err(at("naming the host"))?;
    if plan.read_only {
        sys::mount_setattr(root, READ_ONLY.bits().into(), None).map_err(at("closing the root"))?;
    }
    turn(root).map_err(at("making it the root"))
}

fn layers(image: &CStr, upper: &CStr, work: &CStr) -> Result<OwnedFd> {
    let context = rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in [(c"lowerdir", image), (c"upperdir", upper), (c"workdir", work)] {
        rustix::mount::fsconfig_set_string(&context, name, value)?;
    }
    // It ends with the task: without this the end would wait for the whole disk to be written.
    rustix::mount::fsconfig_set_flag(&context, c"volatile")?;
    rustix::mount::fsconfig_create(&context)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, HARMLESS)
}

fn hang_at_path(tree: BorrowedFd<'_>, path: &CStr) -> Result<()> {
    rustix::mount::move_mount(tree, c"", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

fn hang(tree: BorrowedFd<'_>, there: BorrowedFd<'_>) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, c"", there, c"", flags)
}

/// What is at a path beneath the root, which no link and no `..` leaves.
fn open(root: BorrowedFd<'_>, path: &CStr, strict: bool) -> Result<OwnedFd> {
    let within = if strict {
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS
    } else {
        ResolveFlags::IN_ROOT
    };
    let resolve = within | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// Opens the target, and makes what is missing of it.
fn reach(root: BorrowedFd<'_>, target: &Target) -> Result<OwnedFd> {
    let mut above: Option<OwnedFd> = None;
    let last = target.steps.len().saturating_sub(1);
    for (index, (prefix, name)) in target.steps.iter().enumerate() {
        let next = match open(root, prefix, target.strict) {
            Err(Errno::NOENT) => {
                let parent = above.as_ref().map_or(root, AsFd::as_fd);
                if index == last && target.file {
                    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                    rustix::fs::openat(parent, &**name, flags, Mode::from_raw_mode(0o644))?;
                } else {
                    rustix::fs::mkdirat(parent, &**name, Mode::from_raw_mode(0o755))?;
                }
                open(root, prefix, target.strict)?
            }
            opened => opened?,
        };
        above = Some(next);
    }
    above.ok_or(Errno::INVAL)
}

/// A `/proc` of the new processes, without what concerns the machine.
fn processes(root: BorrowedFd<'_>) -> Result<()> {
    match rustix::fs::mkdirat(root, c"proc", Mode::from_raw_mode(0o555)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let proc = tree::fresh(c"proc", &[], INERT)?;
    hang(proc.as_fd(), open(root, c"proc", true)?.as_fd())?;
    for path in MASKED_FILES {
        if let Ok(there) = open(root, path, true) {
            let null = tree::copy(root, c"dev/null")?;
            hang(null.as_fd(), there.as_fd())?;
        }
    }
    let mut empty: Option<OwnedFd> = None;
    for path in MASKED_DIRECTORIES {
        let Ok(there) = open(root, path, true) else { continue };
        let hung = match &empty {
            Some(first) => tree::copy(first.as_fd(), c"")?,
            None => tree::fresh(c"tmpfs", &[(c"size", c"4096")], INERT.union(READ_ONLY))?,
        };
        hang(hung.as_fd(), there.as_fd())?;
        empty.get_or_insert(hung);
    }
    for path in FIXED {
        let Ok(there) = open(root, path, true) else { continue };
        let fixed = tree::copy(root, path)?;
        sys::mount_setattr(fixed.as_fd(), INERT.union(READ_ONLY).bits().into(), None)?;
        hang(fixed.as_fd(), there.as_fd())?;
    }
    Ok(())
}

/// The new root is the only one.
fn turn(root: BorrowedFd<'_>) -> Result<()> {
    rustix::process::fchdir(root)?;
    rustix::process::pivot_root(c".", c".")?;
    rustix::mount::unmount(c".", UnmountFlags::DETACH)?;
    rustix::process::chdir(c"/")?;
    // That nothing of the host is left is worth a question.
    let here = rustix::fs::statat(CWD, c".", AtFlags::empty())?;
    let wanted = rustix::fs::fstat(root)?;
    if (here.st_dev, here.st_ino) == (wanted.st_dev, wanted.st_ino) {
        Ok(())
    } else {
        Err(Errno::XDEV)
    }
}
