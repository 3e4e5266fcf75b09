//! Removing a sandbox that nobody needs any more; which one that is, the core decides.
//!
//! It resolves beneath the sandboxes' root, follows no link and crosses no mount, because what a
//! task left behind may be arranged to make the remover leave.

use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Removes the sandbox `path`, which must lie beneath `root`, and all it holds.
pub(crate) fn remove(root: &Path, path: &Path) -> io::Result<()> {
    let relative = path.strip_prefix(root).map_err(|_| outside(root, path))?;
    let name = relative.file_name().ok_or_else(|| outside(root, path))?;
    let parent = relative.parent().unwrap_or(Path::new(""));
    let above = open_beneath(root, &root.join(parent))?;
    // std's own removal works with descriptors and follows no link, but takes a path; giving it
    // one through our descriptor keeps what is above from being exchanged.
    let through = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&above));
    std::fs::remove_dir_all(Path::new(&through).join(name))
}

fn outside(root: &Path, path: &Path) -> io::Error {
    let text = format!("{} is not a sandbox beneath {}", path.display(), root.display());
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn open_beneath(root: &Path, path: &Path) -> io::Result<rustix::fd::OwnedFd> {
    let relative = path.strip_prefix(root).map_err(|_| outside(root, path))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = rustix::fs::open(root, flags, Mode::empty())?;
    let empty = relative.as_os_str().is_empty();
    open_dir(&top, if empty { Path::new(".") } else { relative }).map_err(|error| {
        match Errno::from_io_error(&error) {
            Some(Errno::XDEV | Errno::LOOP) => outside(root, path),
            _ => error,
        }
    })
}

fn open_dir(at: &rustix::fd::OwnedFd, path: &Path) -> io::Result<rustix::fd::OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let how = ResolveFlags::BENEATH
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_XDEV;
    Ok(rustix::fs::openat2(at, path, flags, Mode::empty(), how)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn removal_takes_the_sandbox_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (root, beside) = (dir.path().join("root"), dir.path().join("beside"));
        fs::create_dir_all(root.join("a/deep/er")).unwrap();
        fs::create_dir_all(&beside).unwrap();
        fs::write(beside.join("precious"), "x").unwrap();
        fs::write(root.join("a/deep/file"), vec![1; 8192]).unwrap();
        std::os::unix::fs::symlink(&beside, root.join("a/link")).unwrap();
        std::os::unix::fs::symlink(&beside, root.join("b")).unwrap();
        remove(&root, &root.join("a")).unwrap();
        assert!(!root.join("a").exists());
        for wrong in [beside.clone(), root.clone(), root.join("b/precious"), root.join("../beside")]
        {
            assert!(remove(&root, &wrong).is_err(), "{}", wrong.display());
        }
        // A link in place of a sandbox is removed at most itself.
        let _ = remove(&root, &root.join("b"));
        assert_eq!(fs::read(beside.join("precious")).unwrap(), b"x");
    }
}
