//! How full the disk of the work directory is, and whether what nobody needs has to go.

use std::io;
use std::path::PathBuf;

/// Free bytes below which a disk is short, whatever its size: the checkpoint wants some of them.
const LEAST_BYTES: u64 = 32 << 20;

/// The disk that a directory is on, and what of it is to be free.
#[derive(Clone, Debug)]
pub(crate) struct Headroom {
    dir: PathBuf,
    most_ppm: u32,
}

/// A disk, measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Measured {
    /// How full it is, in millionths.
    pub(crate) used_ppm: u32,
    free_bytes: u64,
}

impl Headroom {
    /// Of the disk of `dir`, where this part is to be free, in millionths.
    pub(crate) fn new(dir: PathBuf, free_ppm: u32) -> Self {
        Self { dir, most_ppm: 1_000_000_u32.saturating_sub(free_ppm) }
    }

    /// # Errors
    /// What the system said.
    pub(crate) fn measure(&self) -> io::Result<Measured> {
        let stat = rustix::fs::statvfs(&self.dir)?;
        // As df reckons: what is not for us does not count.
        let used = stat.f_blocks.saturating_sub(stat.f_bfree);
        let all = used.saturating_add(stat.f_bavail).max(1);
        let ppm = u128::from(used) * 1_000_000 / u128::from(all);
        let used_ppm = u32::try_from(ppm).unwrap_or(1_000_000);
        Ok(Measured { used_ppm, free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize) })
    }

    /// Whether what can be had again has to go.
    pub(crate) fn is_short(&self) -> bool {
        self.measure().is_ok_and(|disk| self.is_too_full(disk))
    }

    /// The same of a disk that was measured.
    pub(crate) fn is_too_full(&self, disk: Measured) -> bool {
        disk.used_ppm >= self.most_ppm || disk.free_bytes < LEAST_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_short_beyond_its_part_and_near_its_end() {
        let headroom = |free_ppm| Headroom::new(PathBuf::from("/"), free_ppm);
        let disk = |used_ppm, free_bytes| Measured { used_ppm, free_bytes };
        assert!(headroom(100_000).is_too_full(disk(900_000, u64::MAX)));
        assert!(!headroom(100_000).is_too_full(disk(899_999, u64::MAX)));
        assert!(headroom(0).is_too_full(disk(900_000, LEAST_BYTES - 1)));
        assert!(!headroom(0).is_too_full(disk(900_000, LEAST_BYTES)));
        let found = headroom(0).measure().unwrap();
        assert!(found.used_ppm <= 1_000_000 && found.used_ppm > 0, "{found:?}");
        assert!(headroom(1_000_000).is_short(), "all of it is to be free");
    }
}
