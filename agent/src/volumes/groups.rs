//! The directories that tasks of groups share: one a group, `group` in the sandbox of each task.
//!
//! `WORK_DIR/volumes/.groups/NAME`, the user's of the group's tasks. It goes when the last of them has
//! ended; what a crash left is removed at the next start.

use super::{DELETED, PASSAGE, PRIVATE, VolumeDisk};
use proto::{ExecutorId, FrameworkId};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where they are. No name of an agent begins with a dot.
const GROUPS: &str = ".groups";
/// What it is called in a sandbox.
pub(crate) const LINK: &str = "group";

/// A file name that no two groups have: ids may be too long for one, and hold what none may.
pub(crate) fn name(framework_id: &FrameworkId, executor_id: &ExecutorId) -> String {
    let mut digest = Sha256::new();
    digest.update(framework_id.as_str());
    // No id holds it.
    digest.update([0]);
    digest.update(executor_id.as_str());
    let mut name = String::new();
    for byte in digest.finalize() {
        // A String takes whatever it is given.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

fn make(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

impl VolumeDisk {
    /// Where the directory of a group is.
    pub(crate) fn group(&self, framework_id: &FrameworkId, executor_id: &ExecutorId) -> PathBuf {
        self.root.join(GROUPS).join(name(framework_id, executor_id))
    }

    /// Makes the directory of a group, unless it is there.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn make_group(
        &self,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
    ) -> io::Result<()> {
        let all = self.root.join(GROUPS);
        make(&all, PASSAGE)?;
        std::fs::set_permissions(&all, Permissions::from_mode(PASSAGE))?;
        make(&self.group(framework_id, executor_id), PRIVATE)
    }

    /// Moves the directory of a group aside, at once, so that one of the same name can be made;
    /// removes it by and by.
    pub(crate) fn remove_group(&self, framework_id: &FrameworkId, executor_id: &ExecutorId) {
        let path = self.group(framework_id, executor_id);
        if let Err(error) = self.put_away(&path) {
            tracing::warn!(path = %path.display(), %error, "a group's directory is not removed");
        } else {
            tokio::spawn(self.clone().sweep());
        }
    }

    /// Moves aside the directories of all groups but the living.
    pub(crate) fn keep_groups<'a>(
        &self,
        living: impl Iterator<Item = (&'a FrameworkId, &'a ExecutorId)>,
    ) {
        let living: BTreeSet<String> = living.map(|(f, e)| name(f, e)).collect();
        for entry in std::fs::read_dir(self.root.join(GROUPS)).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(|name| living.contains(name)) {
                continue;
            }
            if let Err(error) = self.put_away(&entry.path()) {
                let path = entry.path();
                tracing::warn!(path = %path.display(), %error, "a group's directory is left");
            }
        }
    }

    fn put_away(&self, path: &Path) -> io::Result<()> {
        let deleted = self.root.join(DELETED);
        let aside = deleted.join(uuid::Uuid::new_v4().to_string());
        loop {
            make(&deleted, PRIVATE)?;
            match std::fs::rename(path, &aside) {
                // What is deleted may be removed just now, with the directory that it is in.
                Err(error) if error.kind() == io::ErrorKind::NotFound && path.exists() => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                moved => return moved,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(framework: &str, executor: &str) -> (FrameworkId, ExecutorId) {
        (FrameworkId::new(framework).unwrap(), ExecutorId::new(executor).unwrap())
    }

    #[tokio::test]
    async fn groups_that_have_ended_leave_no_directory() {
        let dir = tempfile::tempdir().unwrap();
        let disk = VolumeDisk::new(dir.path().to_owned());
        let ((f, a), (_, b), (_, c)) = (ids("f", "a"), ids("f", "b"), ids("f", &"c".repeat(255)));
        for executor in [&a, &b, &c] {
            disk.make_group(&f, executor).unwrap();
            disk.make_group(&f, executor).unwrap();
            std::fs::write(disk.group(&f, executor).join("file"), "x").unwrap();
        }
        disk.remove_group(&f, &a);
        assert!(!disk.group(&f, &a).exists());
        // One of the same name is another one.
        disk.make_group(&f, &a).unwrap();
        assert!(!disk.group(&f, &a).join("file").exists());
        disk.keep_groups([(&f, &c)].into_iter());
        assert!(!disk.group(&f, &a).exists() && !disk.group(&f, &b).exists());
        assert!(disk.group(&f, &c).join("file").exists());
        disk.clone().sweep().await;
        assert!(!dir.path().join(DELETED).exists());
    }

    #[test]
    fn names_of_groups_are_their_own() {
        let (one, two) = (ids("a", "bc"), ids("ab", "c"));
        assert_ne!(name(&one.0, &one.1), name(&two.0, &two.1));
        assert_eq!(name(&one.0, &one.1).len(), 64);
    }
}
