//! Which old sandboxes to remove, and removing them.
//!
//! Choosing is a pure function of what is there; removing resolves beneath the sandboxes' root,
//! follows no link and crosses no mount, because what a task left behind may be arranged to make
//! the remover leave. A running task's sandbox is never a candidate: the caller lists ended ones.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// When sandboxes are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GcPolicy {
    /// Age in seconds at which every sandbox goes.
    pub max_age_s: u64,
    /// Thousandths of the disk that are to be free: below this, the oldest go first.
    pub min_free_permille: u64,
}

impl Default for GcPolicy {
    /// One week, and a tenth of the disk, as Mesos has it.
    fn default() -> Self {
        Self { max_age_s: 7 * 24 * 3600, min_free_permille: 100 }
    }
}

/// The sandbox of a task that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is.
    pub path: PathBuf,
    /// When its task ended, in nanoseconds since the epoch.
    pub ended_unix_ns: u64,
    /// What removing it frees, in bytes; an estimate will do.
    pub bytes: u64,
}

/// The file system of the sandboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUse {
    /// Its size in bytes.
    pub total_bytes: u64,
    /// Free bytes.
    pub free_bytes: u64,
}

/// Chooses what to remove, oldest first, as indices into `candidates`.
///
/// A candidate from the future (the clock was set back) counts as new.
pub fn choose(
    policy: &GcPolicy,
    candidates: &[Candidate],
    disk: DiskUse,
    now_unix_ns: u64,
) -> Vec<usize> {
    let mut oldest: Vec<usize> = (0..candidates.len()).collect();
    oldest.sort_by_key(|i| (candidates[*i].ended_unix_ns, *i));
    let wanted = u128::from(disk.total_bytes) * u128::from(policy.min_free_permille) / 1000;
    let mut free = u128::from(disk.free_bytes);
    let mut chosen = Vec::new();
    for index in oldest {
        let candidate = &candidates[index];
        let age_ns = now_unix_ns.saturating_sub(candidate.ended_unix_ns);
        let expired = age_ns / 1_000_000_000 >= policy.max_age_s;
        if expired || free < wanted {
            chosen.push(index);
            free += u128::from(candidate.bytes);
        }
    }
    chosen
}

/// The use of the file system that holds `path`.
pub fn disk_use(path: &Path) -> io::Result<DiskUse> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(DiskUse {
        total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
    })
}

/// Bytes on disk beneath a sandbox. Counts at most `most` entries, so that a sandbox of millions
/// of files does not hold everything up; what is beyond is not in the sum.
pub fn measure(root: &Path, path: &Path, most: usize) -> io::Result<u64> {
    let top = open_beneath(root, path)?;
    let (mut sum, mut seen) = (0u64, 0);
    let mut pending = vec![top];
    while let Some(fd) = pending.pop() {
        for entry in Dir::read_from(&fd)? {
            let entry = entry?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            seen += 1;
            if seen > most {
                return Ok(sum);
            }
            let name = entry.file_name();
            let Ok(stat) = rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            sum =
                sum.saturating_add(u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512));
            if rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory
                && pending.len() < 256
                && let Ok(inner) = open_dir(&fd, Path::new(OsStr::from_bytes(name.to_bytes())))
            {
                pending.push(inner);
            }
        }
    }
    Ok(sum)
}

/// Removes the sandbox `path`, which must lie beneath `root`, and all it holds.
pub fn remove(root: &Path, path: &Path) -> io::Result<()> {
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

    const SECOND: u64 = 1_000_000_000;

    fn candidate(ended_s: u64, bytes: u64) -> Candidate {
        Candidate { path: format!("/s/{ended_s}").into(), ended_unix_ns: ended_s * SECOND, bytes }
    }

    #[test]
    fn the_old_go_and_the_rest_only_for_space() {
        let policy = GcPolicy { max_age_s: 100, min_free_permille: 100 };
        let candidates =
            [candidate(950, 50), candidate(800, 10), candidate(910, 30), candidate(2000, 70)];
        let now = 1000 * SECOND;
        let roomy = DiskUse { total_bytes: 1000, free_bytes: 500 };
        assert_eq!(choose(&policy, &candidates, roomy, now), [1]);
        // 60 free, 100 wanted: 10 by age, then 30, and that is enough.
        let tight = DiskUse { total_bytes: 1000, free_bytes: 60 };
        assert_eq!(choose(&policy, &candidates, tight, now), [1, 2]);
        let full = DiskUse { total_bytes: 1000, free_bytes: 0 };
        assert_eq!(choose(&policy, &candidates, full, now), [1, 2, 0, 3]);
        assert_eq!(choose(&policy, &[], full, now), [0; 0]);
    }

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
        assert!(measure(&root, &root.join("a"), 100).unwrap() >= 8192);
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
