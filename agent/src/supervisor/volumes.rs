//! A task's volumes in its sandbox: symbolic links to where the content is, and its user as owner.
//!
//! The sandbox is fresh and its task not started, so nobody works against us in it. The volume
//! itself is not ours to make: one that is not there is a launch that fails, by its name.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{Gid, Mode, OFlags, Uid};

use super::task::VolumeLink;

/// Links every volume into a sandbox and gives it to the user of the task.
///
/// # Errors
/// A sentence that names the volume.
pub(super) fn link(
    sandbox: BorrowedFd<'_>,
    volumes: &[VolumeLink],
    (uid, gid): (u32, u32),
) -> Result<(), String> {
    for volume in volumes {
        open(volume, (uid, gid))?;
        place(sandbox, volume, (uid, gid)).map_err(|error| {
            let path = volume.path.display();
            format!("the {} cannot be placed at {path} in the sandbox: {error}", volume.name)
        })?;
    }
    Ok(())
}

/// Opens a volume's directory and gives it to the user of the task.
///
/// # Errors
/// A sentence that names the volume.
pub(super) fn open(volume: &VolumeLink, user: (u32, u32)) -> Result<OwnedFd, String> {
    claim(volume, user).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("the {} is not there", volume.name),
        _ => format!("the {} cannot be given to the task's user: {error}", volume.name),
    })
}

/// The directory at a relative path in a sandbox, made for the user unless it is there.
///
/// # Errors
/// When the path leaves the sandbox, or goes through what is no directory.
pub(super) fn make(sandbox: BorrowedFd<'_>, path: &Path, user: (u32, u32)) -> io::Result<OwnedFd> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, "it is no path in the sandbox");
    let mut at: Option<OwnedFd> = None;
    for component in path.components() {
        let Component::Normal(part) = component else { return Err(wrong()) };
        let here = at.as_ref().map_or(sandbox, |fd| fd.as_fd());
        at = Some(directory(here, part.as_ref(), user)?);
    }
    at.ok_or_else(wrong)
}

/// Makes the task's user the owner of the volume's directory: of a private one always, of a shared
/// one when nobody else has used it. What is in it keeps its owners.
fn claim(volume: &VolumeLink, (uid, gid): (u32, u32)) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::open(&volume.target, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&directory)?;
    let untouched = stat.st_uid == rustix::process::geteuid().as_raw();
    let theirs = (stat.st_uid, stat.st_gid) == (uid, gid);
    if !theirs && (untouched || !volume.shared) {
        rustix::fs::fchown(&directory, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    Ok(directory)
}

fn place(sandbox: BorrowedFd<'_>, volume: &VolumeLink, (uid, gid): (u32, u32)) -> io::Result<()> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, "it is no path in the sandbox");
    let name = volume.path.file_name().ok_or_else(wrong)?;
    let mut at: Option<OwnedFd> = None;
    for component in volume.path.parent().unwrap_or(Path::new("")).components() {
        let Component::Normal(part) = component else { return Err(wrong()) };
        let here = at.as_ref().map_or(sandbox, |fd| fd.as_fd());
        at = Some(directory(here, part.as_ref(), (uid, gid))?);
    }
    let here = at.as_ref().map_or(sandbox, |fd| fd.as_fd());
    Ok(rustix::fs::symlinkat(&volume.target, here, name)?)
}

/// A directory on the way to a link, made unless another volume needed it before.
fn directory(at: BorrowedFd<'_>, name: &Path, (uid, gid): (u32, u32)) -> io::Result<OwnedFd> {
    match rustix::fs::mkdirat(at, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(at, name, flags, Mode::empty())?;
    rustix::fs::fchown(&made, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    Ok(made)
}

#[cfg(test)]
mod tests;
