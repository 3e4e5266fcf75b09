//! Removing unpacked images that nobody runs, the longest unused first.

use super::{ROOT, Store, TRASH, UNFINISHED, USED, discard};
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What a collection did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Images that went.
    pub images: usize,
    /// Bytes that were freed, about.
    pub bytes: u64,
    /// Bytes that unpacked images still take, about.
    pub kept: u64,
}

struct Unpacked {
    dir: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl Store {
    /// Removes what was left unfinished, and the images that were not used for longest until at
    /// most `keep` bytes are left, or all of them run. They are unpacked again when they are wanted.
    ///
    /// # Errors
    /// That the directory cannot be read or something in it not be removed; what could be is gone.
    pub fn collect(&self, keep: u64) -> std::io::Result<Collected> {
        self.collect_while(keep, || false)
    }

    /// The same, and goes on as long as `is_short` says, which is asked before each further image.
    ///
    /// # Errors
    /// As `collect`.
    pub fn collect_while(
        &self,
        keep: u64,
        is_short: impl Fn() -> bool,
    ) -> std::io::Result<Collected> {
        let _working = self.work();
        let (mut images, mut result) = (Vec::new(), Ok(()));
        for entry in std::fs::read_dir(&self.unpacked)? {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
            let name = name.to_string_lossy();
            if name.starts_with(UNFINISHED) || name.starts_with(TRASH) {
                result = result.and(discard(&path));
            } else if path.join(ROOT).is_dir() {
                images.push(look(path));
            }
        }
        images.sort_by(|a, b| (a.used, &a.dir).cmp(&(b.used, &b.dir)));
        let mut collected = Collected {
            kept: images.iter().map(|image| image.bytes).sum(),
            ..Collected::default()
        };
        for image in images {
            if collected.kept <= keep && !is_short() {
                break;
            }
            match self.remove(&image.dir) {
                Ok(false) => {}
                Ok(true) => {
                    collected.images += 1;
                    collected.bytes += image.bytes;
                    collected.kept -= image.bytes;
                }
                Err(error) => result = Err(error),
            }
        }
        result.map(|()| collected)
    }

    /// Whether it went: not while somebody holds it.
    fn remove(&self, dir: &Path) -> std::io::Result<bool> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::open(dir.join(ROOT), flags, Mode::empty())?;
        if rustix::fs::flock(&root, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(false);
        }
        let trash = self.fresh(TRASH);
        std::fs::rename(dir, &trash)?;
        discard(&trash)?;
        Ok(true)
    }
}

fn look(dir: PathBuf) -> Unpacked {
    let file = dir.join(USED);
    let bytes = std::fs::read_to_string(&file).ok().and_then(|text| text.parse().ok());
    let used = file.metadata().and_then(|found| found.modified());
    Unpacked { bytes: bytes.unwrap_or(0), used: used.unwrap_or(SystemTime::UNIX_EPOCH), dir }
}
