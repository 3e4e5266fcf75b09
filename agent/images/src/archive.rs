//! Archives that are no images: what a task has fetched is unpacked into a directory that is there,
//! by the hands and within the bounds that images have.

use crate::compression::{self, Bounded};
use crate::error::Fault;
use crate::layer::{self, Budget, PATH_BYTES};
use crate::store::Limits;
use crate::tree::{Meta, Tree};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What an entry takes besides its content, extensions included.
const ENTRY_BYTES: u64 = 4096;
/// What is read and written at a time.
const PIECE: usize = 64 << 10;
/// The kind of file within a Unix mode, and that of a symbolic link.
const KIND: u32 = 0o170_000;
const LINK: u32 = 0o120_000;

/// What an archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// tar, as it is or packed with gzip or zstd: which, its first bytes tell.
    Tar,
    /// zip.
    Zip,
    /// One file packed with gzip or zstd, which gets this name.
    Single(PathBuf),
}

/// Why an archive was not unpacked. Parts of it may have been.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The archive is at fault: as a clause.
    #[error("{0}")]
    Unfit(String),
    /// The disk could not be worked with.
    #[error("{doing}: {source}")]
    Disk {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Unpacks an archive into a directory. Whatever it says, nothing outside of the directory is
/// touched; devices, owners and setuid bits are left out, and `limits` hold for all that it holds.
///
/// # Errors
/// Why not; what was written until then stays.
pub fn unpack(file: File, form: &Form, dir: OwnedFd, limits: Limits) -> Result<(), ArchiveError> {
    let unpacked = Tree::at(dir).and_then(|tree| {
        let mut budget = Budget {
            bytes: limits.bytes,
            entries: limits.entries,
            keep_free: limits.keep_free,
            unlooked: layer::LOOK_BYTES,
        };
        match form {
            Form::Zip => zip(file, &tree, &mut budget),
            Form::Tar => {
                let names = limits.entries.saturating_mul(ENTRY_BYTES);
                let content = open(file, limits.bytes.saturating_add(names))?;
                layer::apply_plain(content, &tree, &mut budget)?;
                match budget.entries == limits.entries {
                    true => Err(Fault::Unfit("it is an empty archive".into())),
                    false => Ok(()),
                }
            }
            Form::Single(name) => {
                let meta = Meta { mode: 0o644, owner: (0, 0), seconds: now() };
                write(open(file, limits.bytes)?, name, meta, &tree, &mut budget)
            }
        }
    });
    unpacked.map_err(|fault| match fault {
        Fault::Unfit(problem) => ArchiveError::Unfit(problem),
        Fault::Disk { doing, source } => ArchiveError::Disk { doing, source },
        Fault::Damaged { what, .. } => ArchiveError::Unfit(format!("{what} is damaged")),
        Fault::GivenUp => ArchiveError::Unfit("it was given up".into()),
    })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn open(file: File, most: u64) -> Result<impl Read, Fault> {
    let reader = BufReader::with_capacity(128 << 10, file);
    let content = compression::unpacked(reader).map_err(Fault::reading("it"))?;
    Ok(Bounded::new(content, most))
}

/// Writes a file, however long it says that it is.
fn write(
    mut content: impl Read,
    path: &Path,
    meta: Meta,
    tree: &Tree,
    budget: &mut Budget,
) -> Result<(), Fault> {
    let mut file = tree.file(path)?;
    let mut buffer = vec![0; PIECE];
    loop {
        let count = content.read(&mut buffer).map_err(Fault::reading("it"))?;
        if count == 0 {
            return tree.own(&file, path, meta);
        }
        budget.take_bytes(count as u64, path)?;
        budget.look(tree, count as u64)?;
        file.write_all(&buffer[..count])
            .map_err(Fault::disk(format!("writing {}", path.display())))?;
    }
}

fn zip(file: File, tree: &Tree, budget: &mut Budget) -> Result<(), Fault> {
    let unfit = |error: zip::result::ZipError| match error {
        zip::result::ZipError::Io(error) => Fault::reading("it")(error),
        other => Fault::Unfit(other.to_string()),
    };
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(unfit)?;
    for index in 0..archive.len() {
        budget.take_entry()?;
        let mut entry = archive.by_index(index).map_err(unfit)?;
        let path = layer::within(entry.name_raw())?;
        let mode = entry.unix_mode();
        let bits = mode.unwrap_or(if entry.is_dir() { 0o755 } else { 0o644 });
        let meta = |own: u32| Meta { mode: bits & 0o777 | own, owner: (0, 0), seconds: now() };
        if path.as_os_str().is_empty() {
            // The directory itself, which is as it is.
            continue;
        }
        if entry.is_dir() {
            tree.directory(&path, meta(0o700))?;
        } else if mode.is_some_and(|mode| mode & KIND == LINK) {
            let mut target = Vec::new();
            let read = (&mut entry).take(PATH_BYTES as u64).read_to_end(&mut target);
            read.map_err(Fault::reading("it"))?;
            if target.is_empty() || target.contains(&0) || target.len() >= PATH_BYTES {
                return Err(Fault::Unfit(format!("{} is a link to nothing", path.display())));
            }
            tree.symlink(&path, Path::new(OsStr::from_bytes(&target)), meta(0))?;
        } else {
            write(&mut entry, &path, meta(0o600), tree, budget)?;
        }
    }
    Ok(())
}
