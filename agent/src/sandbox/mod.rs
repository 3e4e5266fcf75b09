//! Sandboxes as seen by those who read them: ranges of files, listings, downloads, removal.
//!
//! A sandbox belongs to a task that may be hostile, and is read by an agent that may be root. So
//! every path is resolved by the kernel beneath the sandbox (`openat2`), symbolic links are not
//! followed, and what is not a plain file or a directory is not opened: a FIFO would hang the
//! reader and a device would do worse. Only `packing` writes into a sandbox.
//!
//! All calls may block on the disk; an async caller uses its blocking pool.

pub(crate) mod gc;
pub(crate) mod log;
pub(crate) mod packing;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Most bytes that one [`Sandbox::read`] returns.
pub(crate) const MAX_READ: usize = 1 << 20;
/// Most entries that one [`Sandbox::browse`] returns.
pub(crate) const MAX_ENTRIES: usize = 10_000;
/// How often an opening that the kernel could not finish is tried.
const OPEN_TRIES: u32 = 8;

/// Why a sandbox could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SandboxError {
    /// No such file or directory.
    #[error("there is no {0:?} in the sandbox")]
    NotFound(String),
    /// The path leaves the sandbox, or leads through a symbolic link.
    #[error("{0:?} leads out of the sandbox or through a symbolic link, which is not followed")]
    Escapes(String),
    /// A directory, device, socket or FIFO where a file was asked for.
    #[error("{0:?} is not a plain file")]
    NotAFile(String),
    /// Something else where a directory was asked for.
    #[error("{0:?} is not a directory")]
    NotADirectory(String),
    /// The task keeps it from being opened: it holds a lease on it, or renames what leads to it.
    #[error("{0:?} cannot be opened at present, its task holds it: try again later")]
    Busy(String),
    /// The operating system refused.
    #[error("cannot {doing} {path:?}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which path in the sandbox.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
}

/// A piece of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// The bytes; fewer than asked for, or none, at the end of the file.
    pub(crate) data: Vec<u8>,
    /// Where they begin.
    pub(crate) offset: u64,
    /// How long the file is at this moment. A follower asks again from `offset + data.len()`.
    pub(crate) size: u64,
}

/// What an entry of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A plain file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, which is listed and never followed.
    Link,
    /// Anything else.
    Other,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name; bytes that are not UTF-8 are replaced.
    pub(crate) name: String,
    /// Its path from the sandbox's root.
    pub(crate) path: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// Size in bytes.
    pub(crate) size: u64,
    /// Type and permission bits, as `st_mode`.
    pub(crate) mode: u32,
    /// Number of hard links.
    pub(crate) nlink: u64,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Last change, in seconds since the epoch.
    pub(crate) mtime_unix_s: i64,
}

/// A sandbox, held open: what happens to the path above it no longer matters.
#[derive(Debug)]
pub(crate) struct Sandbox {
    root: OwnedFd,
}

impl Sandbox {
    /// Opens a sandbox by the path that the containerizer gave.
    pub(crate) fn open(path: &Path) -> Result<Self, SandboxError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let shown = || path.display().to_string();
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(root) => Ok(Self { root }),
            Err(Errno::NOENT) => Err(SandboxError::NotFound(shown())),
            Err(Errno::NOTDIR | Errno::LOOP) => Err(SandboxError::NotADirectory(shown())),
            Err(errno) => {
                Err(SandboxError::Io { doing: "open", path: shown(), source: errno.into() })
            }
        }
    }

    /// Opens what a relative path names, without ever leaving the sandbox. A leading `/` stands
    /// for the sandbox's root.
    fn resolve(&self, relative: &str, flags: OFlags) -> Result<OwnedFd, SandboxError> {
        let trimmed = relative.trim_start_matches('/');
        let path = if trimmed.is_empty() { "." } else { trimmed };
        let named = || relative.chars().take(512).collect::<String>();
        if path.len() > 4096 || path.contains('\0') {
            return Err(SandboxError::NotFound(named()));
        }
        // A FIFO must not hang us, a terminal must not become ours. With PATH nothing is opened.
        let careful = OFlags::NONBLOCK | OFlags::NOCTTY;
        let flags = flags | if flags.contains(OFlags::PATH) { OFlags::empty() } else { careful };
        let flags = flags | OFlags::CLOEXEC;
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
        let mut tries = 0;
        loop {
            tries += 1;
            match rustix::fs::openat2(&self.root, path, flags, Mode::empty(), how) {
                Ok(fd) => return Ok(fd),
                // A rename went on at the same time, and the kernel could not be sure. A task that
                // goes on renaming, or holds a lease on its file, must not keep us for ever.
                Err(Errno::AGAIN | Errno::INTR) if tries < OPEN_TRIES => {}
                Err(Errno::AGAIN | Errno::INTR) => return Err(SandboxError::Busy(named())),
                Err(Errno::NOENT) => return Err(SandboxError::NotFound(named())),
                Err(Errno::XDEV | Errno::LOOP) => return Err(SandboxError::Escapes(named())),
                Err(Errno::NOTDIR) => return Err(SandboxError::NotADirectory(named())),
                // No reader, no device behind the node, a socket.
                Err(Errno::NXIO) => return Err(SandboxError::NotAFile(named())),
                Err(errno) => {
                    let source = errno.into();
                    return Err(SandboxError::Io { doing: "open", path: named(), source });
                }
            }
        }
    }

    /// A plain file and its present size, for downloads.
    pub(crate) fn open_file(&self, relative: &str) -> Result<(File, u64), SandboxError> {
        // Look before opening: opening a device can have effects of its own.
        let looked = self.resolve(relative, OFlags::PATH)?;
        let io = |errno: Errno| SandboxError::Io {
            doing: "look at",
            path: relative.to_owned(),
            source: errno.into(),
        };
        let plain = |fd: &OwnedFd| {
            let stat = rustix::fs::fstat(fd).map_err(io)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                Ok(u64::try_from(stat.st_size).unwrap_or(0))
            } else {
                Err(SandboxError::NotAFile(relative.to_owned()))
            }
        };
        plain(&looked)?;
        let file = self.resolve(relative, OFlags::RDONLY)?;
        // Again, for it may be another by now.
        let size = plain(&file)?;
        Ok((file.into(), size))
    }

    /// Reads up to `length` bytes (at most [`MAX_READ`]) of a file, from `offset`.
    pub(crate) fn read(
        &self,
        relative: &str,
        offset: u64,
        length: usize,
    ) -> Result<Chunk, SandboxError> {
        let (file, size) = self.open_file(relative)?;
        let available = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut data = vec![0; length.min(MAX_READ).min(available)];
        let mut filled = 0;
        while filled < data.len() {
            match file.read_at(&mut data[filled..], offset.saturating_add(filled as u64)) {
                // It has been truncated meanwhile.
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    let path = relative.to_owned();
                    return Err(SandboxError::Io { doing: "read", path, source });
                }
            }
        }
        data.truncate(filled);
        Ok(Chunk { data, offset, size })
    }

    /// Lists a directory, sorted by name; at most [`MAX_ENTRIES`].
    pub(crate) fn browse(&self, relative: &str) -> Result<Vec<Entry>, SandboxError> {
        let fd = self.resolve(relative, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let io = |errno: Errno| SandboxError::Io {
            doing: "list",
            path: relative.to_owned(),
            source: errno.into(),
        };
        let prefix = relative.trim_matches('/').trim_start_matches("./");
        let mut entries = Vec::new();
        for entry in Dir::read_from(&fd).map_err(io)? {
            let entry = entry.map_err(io)?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            // One that has gone since is not there.
            let name = entry.file_name();
            let Ok(stat) = rustix::fs::statat(fd.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let name = name.to_string_lossy().into_owned();
            let path = match prefix {
                "" | "." => name.clone(),
                _ => format!("{prefix}/{name}"),
            };
            entries.push(Entry {
                name,
                path,
                kind: match FileType::from_raw_mode(stat.st_mode) {
                    FileType::RegularFile => Kind::File,
                    FileType::Directory => Kind::Directory,
                    FileType::Symlink => Kind::Link,
                    _ => Kind::Other,
                },
                size: u64::try_from(stat.st_size).unwrap_or(0),
                mode: stat.st_mode,
                nlink: stat.st_nlink,
                uid: stat.st_uid,
                gid: stat.st_gid,
                mtime_unix_s: stat.st_mtime,
            });
            if entries.len() >= MAX_ENTRIES {
                break;
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }
}

#[cfg(test)]
mod tests;
