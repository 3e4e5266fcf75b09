//! Whose data a directory holds: a small text file, read before anything else is touched.
//!
//! It must never be changed by an open that is refused. Without it nobody could be sure whose the
//! data are, so there are two of it: the second one counts when the first is missing or damaged.

use crate::{StoreError, durable};
use std::fs;
use std::io;
use std::path::Path;

pub(crate) const FILE: &str = "identity";
const COPY: &str = "identity.copy";
/// Names that may stand in a directory before its identity is written.
pub(crate) const LOCK_FILE: &str = "lock";
const MAGIC: &str = "tepui-store";
/// Version of this file and of the records' envelope.
const LAYOUT: u32 = 1;

/// Whose data a directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What kind of process it belongs to: `master`, `agent`, `jobs`.
    pub kind: String,
    /// The version of what that process writes.
    pub format: u32,
    /// The cluster it belongs to, once that is known.
    pub cluster: Option<String>,
}

impl Identity {
    fn to_text(&self) -> String {
        let mut text = format!("{MAGIC} {LAYOUT}\nkind {}\nformat {}\n", self.kind, self.format);
        if let Some(cluster) = &self.cluster {
            text.push_str(&format!("cluster {cluster}\n"));
        }
        let crc = crc32fast::hash(text.as_bytes());
        text.push_str(&format!("crc {crc:08x}\n"));
        text
    }

    /// Reads the identity of `dir`; `None` when the directory is empty, so to speak.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, StoreError> {
        let first = Self::read_file(dir, FILE);
        if !matches!(first, Ok(None) | Err(StoreError::Corrupt { .. })) {
            return first;
        }
        if let Ok(Some(copy)) = Self::read_file(dir, COPY) {
            return Ok(Some(copy));
        }
        if first.is_ok() {
            refuse_foreign(dir)?;
        }
        first
    }

    /// Reads one of the two files; `None` when it is missing.
    fn read_file(dir: &Path, name: &str) -> Result<Option<Self>, StoreError> {
        let path = dir.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(dir, &text).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(corrupt(dir, "the identity file is no text"))
            }
            Err(error) => Err(StoreError::io("read", &path, error)),
        }
    }

    /// Writes what of the two is missing or is not this, durably. Not before `check`.
    pub(crate) fn mend(&self, dir: &Path) -> Result<(), StoreError> {
        for name in [FILE, COPY] {
            if Self::read_file(dir, name).ok().flatten().as_ref() != Some(self) {
                durable::replace_file(dir, name, self.to_text().as_bytes())?;
            }
        }
        Ok(())
    }

    fn parse(dir: &Path, text: &str) -> Result<Self, StoreError> {
        // The layout comes first: a newer one may have other lines and another checksum.
        let layout = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix(MAGIC))
            .and_then(|rest| rest.trim().parse::<u32>().ok())
            .ok_or_else(|| corrupt(dir, "the identity file has no heading"))?;
        if layout > LAYOUT {
            // The checksum is over the heading as well: one that is right for ours says that the
            // number is damaged, and not that somebody newer wrote the file.
            let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
            if checked(&format!("{MAGIC} {LAYOUT}\n{rest}")).is_some() {
                return Err(corrupt(dir, "the identity file's heading is damaged"));
            }
            return Err(StoreError::Newer { dir: dir.to_owned(), found: layout, known: LAYOUT });
        }
        let body = checked(text)
            .ok_or_else(|| corrupt(dir, "the identity file is torn, or fails its checksum"))?;
        let field = |name: &str| {
            body.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
                .map(str::to_owned)
        };
        match (field("kind"), field("format").and_then(|format| format.parse().ok())) {
            (Some(kind), Some(format)) => Ok(Self { kind, format, cluster: field("cluster") }),
            _ => Err(corrupt(dir, "the identity file lacks kind or format")),
        }
    }

    /// Writes the identity durably: the file that counts first.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), StoreError> {
        durable::replace_file(dir, FILE, self.to_text().as_bytes())?;
        durable::replace_file(dir, COPY, self.to_text().as_bytes())
    }

    /// Whether a process that wants `kind`, up to `format`, of `cluster` may have these data.
    pub(crate) fn check(
        &self,
        dir: &Path,
        kind: &str,
        format: u32,
        cluster: Option<&str>,
    ) -> Result<(), StoreError> {
        if self.kind != kind {
            let (found, wanted) = (self.kind.clone(), kind.to_owned());
            return Err(StoreError::OtherKind { dir: dir.to_owned(), found, wanted });
        }
        if self.format > format {
            let found = self.format;
            return Err(StoreError::Newer { dir: dir.to_owned(), found, known: format });
        }
        match (&self.cluster, cluster) {
            (Some(found), Some(wanted)) if found != wanted => Err(StoreError::OtherCluster {
                dir: dir.to_owned(),
                found: found.clone(),
                wanted: wanted.to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// Refuses a directory that is somebody's store, for a process (`wanted`) that keeps its own store
/// deeper in it. Nothing is touched.
///
/// # Errors
/// Whose it is; or what is wrong with its identity.
pub fn refuse_owned(dir: &Path, wanted: &str) -> Result<(), StoreError> {
    let there = |name: &str| {
        let path = dir.join(name);
        path.try_exists().map_err(|error| StoreError::io("read", &path, error))
    };
    // Either may be missing, and then the other one says whose it is.
    if !there(FILE)? && !there(COPY)? {
        return Ok(());
    }
    let Some(owner) = Identity::read(dir)? else { return Ok(()) };
    let (found, wanted) = (owner.kind, wanted.to_owned());
    Err(StoreError::OtherKind { dir: dir.to_owned(), found, wanted })
}

/// What stands before the checksum, if that is right.
fn checked(text: &str) -> Option<&str> {
    let (body, tail) = text.split_at(text.find("crc ")?);
    let right = tail.trim_end() == format!("crc {:08x}", crc32fast::hash(body.as_bytes()));
    right.then_some(body)
}

fn corrupt(dir: &Path, what: &str) -> StoreError {
    StoreError::Corrupt { dir: dir.to_owned(), what: what.to_owned() }
}

/// A directory without an identity must hold nothing but what a crashed first open left.
fn refuse_foreign(dir: &Path) -> Result<(), StoreError> {
    let drafts = [format!("{FILE}.new"), format!("{COPY}.new"), COPY.to_owned()];
    let entries = fs::read_dir(dir).map_err(|error| StoreError::io("list", dir, error))?;
    for entry in entries {
        let name = entry.map_err(|error| StoreError::io("list", dir, error))?.file_name();
        if name != LOCK_FILE
            && !drafts.iter().any(|draft| name == draft.as_str())
            && name != "lost+found"
        {
            let entry = name.to_string_lossy().into_owned();
            return Err(StoreError::Foreign { dir: dir.to_owned(), entry });
        }
    }
    Ok(())
}
