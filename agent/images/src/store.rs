//! Names to images: where they are found, what of them is unpacked already, and what goes.

mod collect;
mod source;
mod unpack;

use crate::error::{Fault, ImageError};
use crate::settings::{CONFIG_BYTES, Config};
use crate::tree;
use crate::{Digest, Settings};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use source::{Name, Source};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use collect::Collected;

/// The root file system of an image in its directory, and its configuration.
const ROOT: &str = "rootfs";
const CONFIG: &str = "config.json";
/// Holds how many bytes an unpacked image has; its time is that of the last use.
const USED: &str = "used";
/// What archives were found to hold, so that they need not be read again.
const KNOWN: &str = "known";
/// Directories of work that is not finished, and of what is being removed.
const UNFINISHED: &str = "unfinished-";
const TRASH: &str = "trash-";

/// What one image may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all its files.
    pub bytes: u64,
    /// Files, directories and links, counted in each layer.
    pub entries: u64,
    /// Bytes of the disk that stay free, whatever is unpacked.
    pub keep_free: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 16 << 30, entries: 1_000_000, keep_free: 512 << 20 }
    }
}

/// Images by name.
#[derive(Debug)]
pub struct Store {
    sources: PathBuf,
    unpacked: PathBuf,
    limits: Limits,
    /// Held by who unpacks or removes: one at a time, the disk is one.
    work: Mutex<()>,
    next: AtomicU64,
}

/// A root file system that stays while this is held.
#[derive(Debug)]
pub struct Image {
    /// Where it is.
    pub root: PathBuf,
    /// How it wants to be run.
    pub settings: Settings,
    /// What it is; absent for a root file system that an operator put there as such.
    pub digest: Option<Digest>,
    /// Its directory, locked against being removed.
    _held: OwnedFd,
}

impl Store {
    /// A store of what an operator put into `sources`, unpacked into `unpacked`, which is made, and
    /// which nobody else may use.
    ///
    /// # Errors
    /// That the directory cannot be made.
    pub fn open(sources: PathBuf, unpacked: PathBuf, limits: Limits) -> std::io::Result<Self> {
        let mut make = std::fs::DirBuilder::new();
        make.recursive(true).mode(0o700).create(unpacked.join(KNOWN))?;
        Ok(Self { sources, unpacked, limits, work: Mutex::default(), next: AtomicU64::default() })
    }

    /// The image of a name if nothing has to be done for it; `None` if it must be unpacked first.
    /// Takes a few system calls.
    ///
    /// # Errors
    /// Why there is none.
    pub fn ready(&self, name: &str) -> Result<Option<Image>, ImageError> {
        let parsed = Name::parse(name)?;
        let source = source::find(&self.sources, &parsed)?;
        self.ready_from(&parsed, &source).map_err(|fault| fault.of(name))
    }

    /// The image of a name, unpacked if it was not. Blocks as long as that takes; `wanted` is asked
    /// now and then, and ends it.
    ///
    /// # Errors
    /// Why there is none. Nothing of the attempt stays.
    pub fn provide(&self, name: &str, wanted: &dyn Fn() -> bool) -> Result<Image, ImageError> {
        let parsed = Name::parse(name)?;
        let source = source::find(&self.sources, &parsed)?;
        let provided = self.ready_from(&parsed, &source).and_then(|ready| match ready {
            Some(image) => Ok(image),
            None => {
                let _working = self.work();
                // Somebody else may have done it meanwhile.
                match self.ready_from(&parsed, &source)? {
                    Some(image) => Ok(image),
                    None => self.unpack(&parsed, &source, wanted),
                }
            }
        });
        provided.map_err(|fault| fault.of(name))
    }

    fn work(&self) -> MutexGuard<'_, ()> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready_from(&self, name: &Name<'_>, source: &Source) -> Result<Option<Image>, Fault> {
        match source {
            Source::Root(dir) => {
                if name.digest.is_some() {
                    let text = "it is a plain directory, which has no digest";
                    return Err(Fault::Unfit(text.into()));
                }
                let settings = read_settings(&dir.join(CONFIG))?;
                let root = dir.join(ROOT);
                let held = hold(&root)?
                    .ok_or_else(|| Fault::Unfit("its rootfs is being replaced".into()))?;
                Ok(Some(Image { root, settings, digest: None, _held: held }))
            }
            Source::Layout(dir) => {
                let blobs = crate::blobs::Blobs::directory(dir)?;
                let recipe = crate::manifest::recipe(&blobs, name.tag, name.digest)?;
                let recipe = recipe.ok_or_else(|| Fault::Unfit("it is no image layout".into()))?;
                self.held(recipe.id)
            }
            Source::Archive(path) => match self.known(name, path)? {
                Some(id) => self.held(id),
                None => Ok(None),
            },
        }
    }

    /// An image that is unpacked already.
    fn held(&self, id: Digest) -> Result<Option<Image>, Fault> {
        let dir = self.unpacked.join(id.hex());
        let root = dir.join(ROOT);
        let Some(held) = hold(&root)? else { return Ok(None) };
        let settings = read_settings(&dir.join(CONFIG))?;
        let times = rustix::fs::Timestamps { last_access: now(), last_modification: now() };
        // Only which image goes first depends on it.
        let _ = rustix::fs::utimensat(rustix::fs::CWD, dir.join(USED), &times, AtFlags::empty());
        Ok(Some(Image { root, settings, digest: Some(id), _held: held }))
    }

    /// What an archive was found to hold, unless it has changed since.
    fn known(&self, name: &Name<'_>, path: &Path) -> Result<Option<Digest>, Fault> {
        let note = self.note(name, path)?;
        let text = std::fs::read_to_string(note).unwrap_or_default();
        Ok(text.trim_end().parse().ok())
    }

    /// Where it is written what an archive, as it is now, holds.
    fn note(&self, name: &Name<'_>, path: &Path) -> Result<PathBuf, Fault> {
        let found = rustix::fs::stat(path)
            .map_err(Fault::disk(format!("looking at {}", path.display())))?;
        let key = format!(
            "{}-{}-{}-{}.{}-{}.{} {:?} {:?}",
            found.st_dev,
            found.st_ino,
            found.st_size,
            found.st_mtime,
            found.st_mtime_nsec,
            found.st_ctime,
            found.st_ctime_nsec,
            name.tag,
            name.digest
        );
        Ok(self.unpacked.join(KNOWN).join(Digest::of(key.as_bytes()).hex()))
    }

    /// A fresh name in the directory of what is unpacked.
    fn fresh(&self, prefix: &str) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.unpacked.join(format!("{prefix}{}-{number}", std::process::id()))
    }
}

fn now() -> rustix::fs::Timespec {
    rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW }
}

/// A directory with a lock on it that keeps it from being removed; none if it is not there or is
/// going.
fn hold(root: &Path) -> Result<Option<OwnedFd>, Fault> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let held = match rustix::fs::open(root, flags, Mode::empty()) {
        Ok(held) => held,
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(Fault::disk(format!("opening {}", root.display()))(errno)),
    };
    if rustix::fs::flock(&held, FlockOperation::NonBlockingLockShared).is_err() {
        return Ok(None);
    }
    // It may have been removed between the two.
    let same = rustix::fs::fstat(&held).and_then(|held| {
        let there = rustix::fs::stat(root)?;
        Ok((held.st_dev, held.st_ino) == (there.st_dev, there.st_ino))
    });
    Ok(same.unwrap_or(false).then_some(held))
}

/// What a configuration says; without one, nothing in particular.
fn read_settings(path: &Path) -> Result<Settings, Fault> {
    let mut text = Vec::new();
    match std::fs::File::open(path) {
        Ok(file) => {
            let read = file.take(CONFIG_BYTES + 1).read_to_end(&mut text);
            read.map_err(Fault::disk("reading its config.json"))?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Settings::default());
        }
        Err(source) => return Err(Fault::Disk { doing: "reading its config.json".into(), source }),
    }
    if text.len() as u64 > CONFIG_BYTES {
        return Err(Fault::Unfit(format!(
            "its config.json is larger than {} MB",
            CONFIG_BYTES >> 20
        )));
    }
    Config::parse(&text)?.settings()
}

/// Removes a directory of our own, for good.
fn discard(path: &Path) -> std::io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::open(parent, flags, Mode::empty())?;
    use std::os::fd::AsFd as _;
    tree::remove(parent.as_fd(), name)?;
    Ok(())
}
