//! A root file system that is being made, and the only hands that touch it.
//!
//! Every path is resolved by the kernel below the root and as if that were `/`, so links in the
//! image lead to other places in the image and nowhere else. Nobody else writes to the tree
//! meanwhile.

use crate::error::Fault;
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Uid};
use rustix::io::Errno;
use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

/// Directories within each other: what removes a tree goes down as deep.
pub(crate) const DEPTH: usize = 128;
/// Links to what is not there yet, on the way to one place.
const LINKS: usize = 40;
/// Owners beyond a container's range of ids become nobody.
const NOBODY: u32 = 65_534;

/// A root file system.
pub(crate) struct Tree {
    root: OwnedFd,
    /// How deep the root itself is.
    depth: usize,
    /// Whether owners can be set.
    chown: bool,
}

/// What every kind of file has.
#[derive(Clone, Copy)]
pub(crate) struct Meta {
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    pub(crate) seconds: u64,
}

/// A place in the tree: a directory that is there, and a name in it.
pub(crate) struct Place<'a> {
    pub(crate) dir: OwnedFd,
    pub(crate) name: &'a OsStr,
}

fn doing(what: &str, path: &Path) -> impl FnOnce(Errno) -> Fault {
    let text = format!("{what} {}", path.display());
    move |errno| match errno {
        // These are of the image's own making.
        Errno::NOTDIR
        | Errno::LOOP
        | Errno::ISDIR
        | Errno::NAMETOOLONG
        | Errno::NOTEMPTY
        | Errno::EXIST
        | Errno::INVAL
        | Errno::MLINK
        | Errno::XDEV => Fault::Unfit(format!("{text}: {errno}")),
        errno => Fault::Disk { doing: text, source: errno.into() },
    }
}

impl Tree {
    pub(crate) fn open(path: &Path) -> Result<Self, Fault> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())
            .map_err(Fault::disk(format!("opening {}", path.display())))?;
        let depth = depth_of(root.as_fd())?;
        Ok(Self { root, depth, chown: rustix::process::geteuid().is_root() })
    }

    /// A directory that is there, for whoever unpacks: owners are not set.
    pub(crate) fn at(root: OwnedFd) -> Result<Self, Fault> {
        let depth = depth_of(root.as_fd())?;
        Ok(Self { root, depth, chown: false })
    }

    fn resolve(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        rustix::fs::openat2(&self.root, path, flags, Mode::empty(), within)
    }

    /// The directory of a path, made where it is missing.
    pub(crate) fn place<'a>(&self, path: &'a Path) -> Result<Place<'a>, Fault> {
        let name = path.file_name().ok_or_else(|| Fault::Unfit("an entry has no name".into()))?;
        let parent = path.parent().unwrap_or(Path::new(""));
        let dir = match self.resolve(parent) {
            Err(Errno::NOENT) => self.make_parents(parent)?,
            other => other.map_err(doing("finding", parent))?,
        };
        Ok(Place { dir, name })
    }

    /// The directory of a path, if it is there.
    pub(crate) fn existing<'a>(&self, path: &'a Path) -> Result<Option<Place<'a>>, Fault> {
        let Some(name) = path.file_name() else { return Ok(None) };
        match self.resolve(path.parent().unwrap_or(Path::new(""))) {
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(doing("finding", path)(errno)),
            Ok(dir) => Ok(Some(Place { dir, name })),
        }
    }

    /// Makes a directory with all above it. A link whose target is not there yet means that the
    /// target is to be made, as with other tools.
    fn make_parents(&self, path: &Path) -> Result<OwnedFd, Fault> {
        let (mut whole, mut links) = (PathBuf::new(), 0);
        let mut dir = self.resolve(&whole).map_err(doing("finding", path))?;
        let mut left: Vec<OsString> = path.iter().rev().map(OsStr::to_owned).collect();
        while let Some(name) = left.pop() {
            let above = whole.clone();
            whole.push(&name);
            let found = self.resolve(&whole);
            if found.as_ref().err() != Some(&Errno::NOENT) {
                dir = found.map_err(doing("finding", &whole))?;
                continue;
            }
            let place = Place { dir, name: &name };
            if self.kind(&place) != Some(FileType::Symlink) {
                self.make_dir(&place, &whole, Meta { mode: 0o755, owner: (0, 0), seconds: 0 })?;
                dir = self.resolve(&whole).map_err(doing("finding", &whole))?;
                continue;
            }
            links += 1;
            if links > LINKS {
                return Err(Fault::Unfit(format!("{} has too many links in it", path.display())));
            }
            let target = rustix::fs::readlinkat(&place.dir, place.name, Vec::new())
                .map_err(doing("reading the link", &whole))?;
            let target = target_of(&above, Path::new(OsStr::from_bytes(target.as_bytes())));
            left.extend(target.iter().rev().map(OsStr::to_owned));
            whole = PathBuf::new();
            dir = self.resolve(&whole).map_err(doing("finding", path))?;
        }
        Ok(dir)
    }

    /// A directory; one that is there keeps what is in it.
    pub(crate) fn directory(&self, path: &Path, meta: Meta) -> Result<(), Fault> {
        let place = self.place(path)?;
        match self.kind(&place) {
            Some(FileType::Directory) => {}
            found => {
                if found.is_some() {
                    self.clear(&place, path)?;
                }
                return self.make_dir(&place, path, meta);
            }
        }
        let dir = open_dir(&place).map_err(doing("opening", path))?;
        self.own(&dir, path, meta)
    }

    fn make_dir(&self, place: &Place<'_>, path: &Path, meta: Meta) -> Result<(), Fault> {
        if depth_of(place.dir.as_fd())? >= self.depth + DEPTH {
            let path = path.display();
            return Err(Fault::Unfit(format!("{path} is more than {DEPTH} directories deep")));
        }
        rustix::fs::mkdirat(&place.dir, place.name, Mode::RWXU).map_err(doing("making", path))?;
        let dir = open_dir(place).map_err(doing("opening", path))?;
        self.own(&dir, path, meta)
    }

    /// A new empty file in the place of whatever is there.
    pub(crate) fn file(&self, path: &Path) -> Result<File, Fault> {
        let place = self.place(path)?;
        self.clear(&place, path)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&place.dir, place.name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(doing("making", path))?;
        Ok(file.into())
    }

    pub(crate) fn symlink(&self, path: &Path, target: &Path, meta: Meta) -> Result<(), Fault> {
        let place = self.place(path)?;
        self.clear(&place, path)?;
        rustix::fs::symlinkat(target, &place.dir, place.name)
            .map_err(doing("making the link", path))?;
        if self.chown {
            let (uid, gid) = owner(meta);
            rustix::fs::chownat(&place.dir, place.name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(doing("giving away the link", path))?;
        }
        Ok(())
    }

    /// Another name of a file, or of a symbolic link, that the image has.
    pub(crate) fn hard_link(&self, path: &Path, target: &Path) -> Result<(), Fault> {
        let missing = || {
            let (path, target) = (path.display(), target.display());
            Fault::Unfit(format!("{path} is another name of {target}, which is no file of it"))
        };
        let from = self.existing(target)?.ok_or_else(missing)?;
        match self.kind(&from) {
            Some(FileType::RegularFile | FileType::Symlink) => {}
            _ => return Err(missing()),
        }
        let place = self.place(path)?;
        if self.same(&from, &place) {
            return Ok(());
        }
        self.clear(&place, path)?;
        // What was cleared may have had the target in it.
        let from = self.existing(target)?.ok_or_else(missing)?;
        match rustix::fs::linkat(&from.dir, from.name, &place.dir, place.name, AtFlags::empty()) {
            Err(Errno::NOENT) => Err(missing()),
            other => other.map_err(doing("linking", path)),
        }
    }

    pub(crate) fn fifo(&self, path: &Path, meta: Meta) -> Result<(), Fault> {
        let place = self.place(path)?;
        self.clear(&place, path)?;
        let mode = Mode::from_raw_mode(meta.mode & 0o777);
        rustix::fs::mknodat(&place.dir, place.name, FileType::Fifo, mode, 0)
            .map_err(doing("making", path))?;
        if self.chown {
            let (uid, gid) = owner(meta);
            rustix::fs::chownat(&place.dir, place.name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(doing("giving away", path))?;
        }
        Ok(())
    }

    /// Owner, then mode (which a change of the owner can take bits from), then time.
    pub(crate) fn own(&self, file: impl AsFd, path: &Path, meta: Meta) -> Result<(), Fault> {
        if self.chown {
            let (uid, gid) = owner(meta);
            rustix::fs::fchown(&file, uid, gid).map_err(doing("giving away", path))?;
        }
        // Never setuid or setgid; the sticky bit means something for directories only.
        let is_dir = rustix::fs::fstat(&file)
            .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Directory);
        let bits = if is_dir { 0o1777 } else { 0o777 };
        rustix::fs::fchmod(&file, Mode::from_raw_mode(meta.mode & bits))
            .map_err(doing("setting the mode of", path))?;
        let time = Timespec { tv_sec: meta.seconds.try_into().unwrap_or(0), tv_nsec: 0 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        rustix::fs::futimens(&file, &times).map_err(doing("setting the time of", path))
    }

    /// What the root directory itself is like.
    pub(crate) fn own_root(&self, meta: Meta) -> Result<(), Fault> {
        self.own(&self.root, Path::new("/"), meta)
    }

    pub(crate) fn kind(&self, place: &Place<'_>) -> Option<FileType> {
        let found = rustix::fs::statat(&place.dir, place.name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(FileType::from_raw_mode(found.st_mode))
    }

    fn same(&self, one: &Place<'_>, other: &Place<'_>) -> bool {
        let of = |place: &Place<'_>| {
            let found =
                rustix::fs::statat(&place.dir, place.name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
            Some((found.st_dev, found.st_ino))
        };
        of(one).is_some_and(|one| Some(one) == of(other))
    }

    /// Removes what is at a place, with all that is in it; nothing there is fine.
    pub(crate) fn clear(&self, place: &Place<'_>, path: &Path) -> Result<(), Fault> {
        remove(place.dir.as_fd(), place.name).map_err(doing("removing", path))
    }

    /// Removes of a directory what lower layers put there: all but what `keep` says, which is asked
    /// with whole paths.
    pub(crate) fn hollow(
        &self,
        path: &Path,
        keep: &mut dyn FnMut(&Path) -> bool,
    ) -> Result<(), Fault> {
        let dir = match self.resolve(path) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            other => other.map_err(doing("finding", path))?,
        };
        for name in names(dir.as_fd()).map_err(doing("reading", path))? {
            let whole = path.join(&name);
            let place =
                Place { dir: self.resolve(path).map_err(doing("finding", path))?, name: &name };
            if !keep(&whole) {
                self.clear(&place, &whole)?;
            } else if self.kind(&place) == Some(FileType::Directory) {
                self.hollow(&whole, keep)?;
            }
        }
        Ok(())
    }

    /// Bytes that are free where the tree is.
    pub(crate) fn free_bytes(&self) -> Result<u64, Fault> {
        let found =
            rustix::fs::fstatvfs(&self.root).map_err(Fault::disk("asking for free space"))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Makes all of it durable.
    pub(crate) fn sync(&self) -> Result<(), Fault> {
        rustix::fs::syncfs(&self.root).map_err(Fault::disk("making it durable"))
    }
}

/// Where a link in a directory leads, from the root, by its words alone.
fn target_of(above: &Path, target: &Path) -> PathBuf {
    let mut whole = if target.is_absolute() { PathBuf::new() } else { above.to_owned() };
    for part in target.components() {
        match part {
            Component::Normal(part) => whole.push(part),
            Component::ParentDir => {
                whole.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    whole
}

fn owner(meta: Meta) -> (Option<Uid>, Option<Gid>) {
    let id = |id: u64| u32::try_from(id).ok().filter(|id| *id < NOBODY).unwrap_or(NOBODY);
    (Some(Uid::from_raw(id(meta.owner.0))), Some(Gid::from_raw(id(meta.owner.1))))
}

fn open_dir(place: &Place<'_>) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(&place.dir, place.name, flags, Mode::empty())
}

/// How many directories are above this one: links may have led here, so its path in the archive
/// does not tell.
fn depth_of(dir: BorrowedFd<'_>) -> Result<usize, Fault> {
    let link = format!("/proc/self/fd/{}", dir.as_raw_fd());
    match std::fs::read_link(link) {
        Ok(path) => Ok(path.components().count()),
        Err(error) if error.raw_os_error() == Some(Errno::NAMETOOLONG.raw_os_error()) => {
            Err(Fault::Unfit("a path in it is longer than 4,096 bytes".into()))
        }
        Err(error) => Err(Fault::Disk { doing: "reading /proc/self/fd".into(), source: error }),
    }
}

fn names(dir: BorrowedFd<'_>) -> Result<Vec<OsString>, Errno> {
    let mut all = Vec::new();
    for entry in Dir::read_from(dir_for_reading(dir)?)? {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            all.push(OsString::from_vec(name.to_bytes().to_vec()));
        }
    }
    Ok(all)
}

/// A descriptor that only names a directory cannot be read from.
fn dir_for_reading(dir: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(dir, ".", flags, Mode::empty())
}

/// Removes a file or a whole directory. Goes down by descriptors and never through links; as deep
/// as directories can be made here.
pub(crate) fn remove(dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inner = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    for name in names(inner.as_fd())? {
        remove(inner.as_fd(), &name)?;
    }
    rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)
}
