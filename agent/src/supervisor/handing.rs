//! Files that nobody in particular has fetched for a task become its user's.
//!
//! What fetches for a task that runs as root, or as somebody of a container, is nobody (65534). No
//! process of it is left when the task starts, and the way to its directory was closed to others.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid};

/// Whose files are handed over. All others are left alone: they are not of a fetch.
const NOBODY: u32 = 65_534;
/// Directories within each other, more than unpacking makes.
const DEPTH: usize = 300;

/// Gives a directory that is nobody's, and what in it is nobody's, to a user. Takes one system call
/// when it is somebody's.
pub(super) fn over(dir: BorrowedFd<'_>, (uid, gid): (u32, u32)) -> io::Result<()> {
    if rustix::fs::fstat(dir)?.st_uid != NOBODY || uid == NOBODY {
        return Ok(());
    }
    let user = (Uid::from_raw(uid), Gid::from_raw(gid));
    let dir = open(dir, OsString::from("."))?;
    all(&dir, user, DEPTH)?;
    Ok(rustix::fs::fchown(&dir, Some(user.0), Some(user.1))?)
}

fn open(at: impl AsFd, name: OsString) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at, name, flags, Mode::empty())?)
}

fn all(dir: &OwnedFd, user: (Uid, Gid), depth: usize) -> io::Result<()> {
    let deeper = depth.checked_sub(1).ok_or_else(|| io::Error::other("it is too deep"))?;
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let found = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if found.st_uid != NOBODY {
            continue;
        }
        if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
            let name = OsString::from_vec(name.to_bytes().to_vec());
            all(&open(dir, name)?, user, deeper)?;
        }
        let (uid, gid) = (Some(user.0), Some(user.1));
        rustix::fs::chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, chown, lchown, symlink};

    #[test]
    fn what_nobody_fetched_is_given_and_nothing_else() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("not run: files can be given away by root only");
            return;
        }
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("sandbox");
        fs::create_dir_all(dir.join("d/e")).unwrap();
        let outside = base.path().join("outside");
        for file in [&dir.join("d/e/f"), &dir.join("roots"), &outside] {
            fs::write(file, "x").unwrap();
        }
        symlink(&outside, dir.join("link")).unwrap();
        for path in ["", "d", "d/e", "d/e/f"] {
            chown(dir.join(path), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        lchown(dir.join("link"), Some(NOBODY), Some(NOBODY)).unwrap();
        chown(&outside, Some(NOBODY), Some(NOBODY)).unwrap();
        let opened = fs::File::open(&dir).unwrap();
        over(opened.as_fd(), (4321, 4322)).unwrap();
        let owner = |path: &str| {
            let found = fs::symlink_metadata(dir.join(path)).unwrap();
            (found.uid(), found.gid())
        };
        for path in ["", "d", "d/e", "d/e/f", "link"] {
            assert_eq!(owner(path), (4321, 4322), "{path}");
        }
        assert_eq!(owner("roots").0, 0);
        assert_eq!(fs::metadata(&outside).unwrap().uid(), NOBODY);
        // A directory of somebody stays as it is.
        over(opened.as_fd(), (5555, 5555)).unwrap();
        assert_eq!(owner(""), (4321, 4322));
    }
}
