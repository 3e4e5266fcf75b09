//! Mounts that are made before there is anywhere to put them: trees attached to nothing, which the
//! first process of an enclosure hangs into its root.
//!
//! All that can be done outside is done here, in ordinary code with ordinary errors, and by
//! descriptors: no path that a task or an image could have changed is ever followed.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags};

use crate::supervisor::sys;
use crate::supervisor::task::Device;

/// Character devices of every enclosure: name, major and minor number.
const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];
/// Links beside them.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Neither devices nor setuid files act.
pub(super) const HARMLESS: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);
/// Nor are programs executed.
pub(super) const INERT: MountAttrFlags = HARMLESS.union(MountAttrFlags::MOUNT_ATTR_NOEXEC);
/// Nothing can be written.
pub(super) const READ_ONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY;

/// A fresh file system of this kind. Allocates nothing.
pub(super) fn fresh(
    kind: &CStr,
    settings: &[(&CStr, &CStr)],
    attributes: MountAttrFlags,
) -> rustix::io::Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in settings {
        rustix::mount::fsconfig_set_string(&context, *name, *value)?;
    }
    rustix::mount::fsconfig_create(&context)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Memory as a file system, of so many bytes at the most, with this mode of its root.
pub(super) fn memory(bytes: u64, mode: u32, attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    let size = std::ffi::CString::new(bytes.to_string())?;
    let mode = std::ffi::CString::new(format!("{mode:o}"))?;
    // Files without content cost memory as well: a page each, and as many as there are pages.
    let files = std::ffi::CString::new((bytes / 4096).clamp(64, 1 << 20).to_string())?;
    let settings = [(c"size", &*size), (c"mode", &*mode), (c"nr_inodes", &*files)];
    Ok(fresh(c"tmpfs", &settings, attributes)?)
}

/// A copy of the mount at a path (with `path` empty: at the descriptor itself), by which what is
/// there can be hung elsewhere; below it nothing else is mounted.
pub(super) fn copy(at: BorrowedFd<'_>, path: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    rustix::mount::open_tree(at, path, flags)
}

/// A copy with attributes, its owners shifted by a user namespace when one is given.
pub(super) fn copy_with(
    at: BorrowedFd<'_>,
    attributes: MountAttrFlags,
    shift: Option<BorrowedFd<'_>>,
) -> io::Result<OwnedFd> {
    let copied = copy(at, c"")?;
    sys::mount_setattr(copied.as_fd(), attributes.bits().into(), shift)?;
    Ok(copied)
}

/// A `/dev` of six devices and some more, with room for terminals and shared memory.
pub(super) fn devices(more: &[Device]) -> io::Result<OwnedFd> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let dev = memory(64 << 10, 0o755, attributes)?;
    let mode = Mode::from_raw_mode(0o666);
    // So that the modes are what they say; this process has one thread.
    let usual = rustix::process::umask(Mode::empty());
    let filled = (|| {
        let more = more.iter().map(|one| (&*one.name, one.major, one.minor));
        for (name, major, minor) in DEVICES.into_iter().chain(more) {
            let device = rustix::fs::makedev(major, minor);
            rustix::fs::mknodat(&dev, name, FileType::CharacterDevice, mode, device)?;
        }
        for (name, target) in LINKS {
            rustix::fs::symlinkat(target, &dev, name)?;
        }
        for name in ["pts", "shm"] {
            rustix::fs::mkdirat(&dev, name, Mode::from_raw_mode(0o755))?;
        }
        Ok(())
    })();
    rustix::process::umask(usual);
    filled.map(|()| dev)
}

/// Terminals of its own.
pub(super) fn terminals() -> rustix::io::Result<OwnedFd> {
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fresh(c"devpts", &[(c"ptmxmode", c"0666"), (c"mode", c"0620")], attributes)
}

/// What the kernel tells of the machine, not to be changed.
pub(super) fn machine() -> rustix::io::Result<OwnedFd> {
    fresh(c"sysfs", &[], INERT.union(READ_ONLY))
}

/// Directories of the host with programs and settings, as far as it has them.
const HOST: [&str; 9] = ["bin", "sbin", "usr", "lib", "lib32", "lib64", "libx32", "etc", "opt"];

/// Part of a root that shows the host's programs.
pub(super) struct Shown {
    pub(super) name: &'static str,
    pub(super) tree: OwnedFd,
}

/// An empty root with what the host has for programs: links are made in it at once, directories
/// are to be hung into it.
pub(super) fn host_root() -> io::Result<(OwnedFd, Vec<Shown>)> {
    let root = memory(1 << 20, 0o755, HARMLESS)?;
    let mut shown = Vec::new();
    for name in HOST {
        let path = std::path::Path::new("/").join(name);
        let Ok(found) = std::fs::symlink_metadata(&path) else { continue };
        if found.is_symlink() {
            rustix::fs::symlinkat(std::fs::read_link(&path)?, &root, name)?;
        } else if found.is_dir() {
            rustix::fs::mkdirat(&root, name, Mode::from_raw_mode(0o755))?;
            let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
            let tree = copy(CWD, &path)?;
            sys::mount_setattr(tree.as_fd(), HARMLESS.union(READ_ONLY).bits().into(), None)?;
            shown.push(Shown { name, tree });
        }
    }
    Ok((root, shown))
}
