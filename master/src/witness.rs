//! Sees that facts are missing: how many records there must be, and how many commits there were.
//!
//! The embedded database drops what it cannot read at the end of its log without a word, and the
//! facts before it look whole. So each commit says, in a record of its own, its number and how many
//! facts there are after it; and its number is kept once more beside the database, in a file that
//! is written after the commit is durable. That file may lag behind after a power loss and then
//! proves less; it is never ahead.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::fs::{File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use store::{Batch, Edit};

/// The key of the record.
pub(crate) const KEY: &[u8] = b"n";
/// The file beside the database.
const FILE: &str = "commits";

/// Counts facts and commits.
#[derive(Debug)]
pub(crate) struct Count {
    /// Hashes of the keys of all facts: for telling a new one from one that is replaced.
    keys: HashSet<u64>,
    commits: u64,
}

impl Count {
    /// Of the facts with these keys, as they were read, and of the record.
    ///
    /// # Errors
    /// What is wrong with the record, as a clause; or that facts are missing.
    pub(crate) fn check<'a>(
        keys: impl Iterator<Item = &'a [u8]>,
        record: Option<&[u8]>,
        witness: Option<u64>,
    ) -> Result<Self, String> {
        let keys: HashSet<u64> = keys.map(hash).collect();
        let Some(record) = record else {
            // Facts from before there were counts have neither.
            return match witness {
                None => Ok(Self { keys, commits: 0 }),
                Some(seen) => Err(format!("is missing, after {seen} commits")),
            };
        };
        let (commits, count) = parse(record).ok_or("has not its two numbers")?;
        if keys.len() as u64 != count {
            return Err(format!("counts {count} facts, and {} are there", keys.len()));
        }
        match witness {
            Some(seen) if seen > commits => Err(format!(
                "is of commit {commits}, though {seen} were durable: the newest facts are gone"
            )),
            _ => Ok(Self { keys, commits }),
        }
    }

    /// Adds the record of this commit to it, and says its number.
    pub(crate) fn number(&mut self, batch: &mut Batch) -> u64 {
        for edit in batch.edits() {
            match edit {
                Edit::Put(key, _) => self.keys.insert(hash(key)),
                Edit::Delete(key) => self.keys.remove(&hash(key)),
            };
        }
        self.commits += 1;
        let mut record = self.commits.to_le_bytes().to_vec();
        record.extend_from_slice(&(self.keys.len() as u64).to_le_bytes());
        batch.put(KEY, record);
        self.commits
    }
}

fn hash(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// Two numbers of eight bytes.
fn parse(bytes: &[u8]) -> Option<(u64, u64)> {
    let (first, second) = bytes.split_first_chunk()?;
    let second = second.try_into().ok()?;
    Some((u64::from_le_bytes(*first), u64::from_le_bytes(second)))
}

/// The file beside the database.
#[derive(Debug)]
pub(crate) struct Witness {
    file: File,
    failed: AtomicBool,
}

impl Witness {
    /// Opens it, and reads the number of the newest commit that it saw.
    ///
    /// # Errors
    /// When there can be no such file in the directory.
    pub(crate) fn open(dir: &Path) -> io::Result<(Self, Option<u64>)> {
        let path = dir.join(FILE);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        file.by_ref().take(64).read_to_end(&mut bytes)?;
        // Not whole, or torn: then it proves nothing.
        let seen = parse(&bytes).and_then(|(seen, check)| (check == !seen).then_some(seen));
        Ok((Self { file, failed: AtomicBool::new(false) }, seen))
    }

    /// A commit of this number is durable.
    pub(crate) fn saw(&self, commit: u64) {
        let mut bytes = commit.to_le_bytes().to_vec();
        bytes.extend_from_slice(&(!commit).to_le_bytes());
        // Not synced: that would double what a commit costs.
        if let Err(error) = self.file.write_all_at(&bytes, 0)
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%error, "the number of commits cannot be kept beside the registry");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_facts_are_seen() {
        let keys = [&b"a/1"[..], b"a/2", b"c"];
        let mut count = Count::check(keys.into_iter(), None, None).unwrap();
        let mut batch = Batch::new();
        batch.put(*b"a/1", *b"x");
        batch.put(*b"a/3", *b"x");
        batch.delete(*b"c");
        batch.delete(*b"none");
        assert_eq!(count.number(&mut batch), 1);
        let record = [1_u64.to_le_bytes(), 3_u64.to_le_bytes()].concat();
        let now = [&b"a/1"[..], b"a/2", b"a/3"];
        let check = |keys: &[&'static [u8]], record, witness| {
            Count::check(keys.iter().copied(), record, witness).map(|count| count.commits)
        };
        assert_eq!(check(&now, Some(&*record), Some(1)), Ok(1));
        assert_eq!(check(&now, Some(&record), None), Ok(1));
        assert_eq!(check(&now, Some(&record), Some(0)), Ok(1));
        for (keys, record, witness, says) in [
            (&now[..2], Some(&record[..]), Some(1), "counts 3 facts, and 2 are there"),
            (&now[..], Some(&record[..]), Some(2), "commit 1, though 2"),
            (&now[..], None, Some(2), "is missing, after 2 commits"),
            (&now[..], Some(&record[..9]), None, "two numbers"),
        ] {
            let problem = check(keys, record, witness).unwrap_err();
            assert!(problem.contains(says), "{problem}");
        }
    }

    #[test]
    fn the_file_keeps_the_newest_number_and_is_not_believed_when_torn() {
        let dir = tempfile::tempdir().unwrap();
        let (witness, seen) = Witness::open(dir.path()).unwrap();
        assert_eq!(seen, None);
        witness.saw(7);
        witness.saw(8);
        assert_eq!(Witness::open(dir.path()).unwrap().1, Some(8));
        let torn = std::fs::read(dir.path().join(FILE)).unwrap();
        std::fs::write(dir.path().join(FILE), &torn[..12]).unwrap();
        assert_eq!(Witness::open(dir.path()).unwrap().1, None);
    }
}
