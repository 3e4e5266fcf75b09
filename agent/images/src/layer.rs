//! One layer, as an archive of tar, laid over what is there.
//!
//! Names of any length, owners and links are those of GNU's and POSIX' extensions. What no
//! container needs and a stranger could misuse is left out: devices, extended attributes, setuid
//! bits. What cannot be had honestly (sparse files, a path with `..`) is refused by name.

use crate::error::Fault;
use crate::tree::{Meta, Tree};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use tar::EntryType;

/// What a name, or a set of attributes, may take.
const EXTENSION_BYTES: u64 = 64 << 10;
/// Longest path in an archive, and longest name in it.
pub(crate) const PATH_BYTES: usize = 4096;
const NAME_BYTES: usize = 255;
/// What the names of one layer may take while it is laid down.
const NAMES_BYTES: usize = 128 << 20;
/// How often the free space is looked at.
pub(crate) const LOOK_BYTES: u64 = 64 << 20;
/// Marks what an upper layer removes, and a directory that hides all below it.
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What is left of what an image may take.
pub(crate) struct Budget {
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    /// Free space below which nothing more is written.
    pub(crate) keep_free: u64,
    pub(crate) unlooked: u64,
}

impl Budget {
    pub(crate) fn take_entry(&mut self) -> Result<(), Fault> {
        let left = self.entries.checked_sub(1);
        self.entries =
            left.ok_or_else(|| Fault::Unfit("it has more files than are allowed".into()))?;
        Ok(())
    }

    /// `at` is where in it.
    pub(crate) fn take_bytes(&mut self, bytes: u64, at: &Path) -> Result<(), Fault> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or_else(|| {
            Fault::Unfit(format!("it is larger than is allowed (at {})", at.display()))
        })?;
        Ok(())
    }

    /// Looks whether there is space, now and then.
    pub(crate) fn look(&mut self, tree: &Tree, bytes: u64) -> Result<(), Fault> {
        self.unlooked += bytes;
        if self.unlooked < LOOK_BYTES {
            return Ok(());
        }
        self.unlooked = 0;
        let free = tree.free_bytes()?;
        if free < self.keep_free {
            let text = format!("{free} bytes are free, and {} stay free", self.keep_free);
            let source = io::Error::new(io::ErrorKind::StorageFull, text);
            return Err(Fault::Disk { doing: "writing".into(), source });
        }
        Ok(())
    }
}

/// Asked now and then: whether anybody still waits.
pub(crate) type Wanted<'a> = &'a dyn Fn() -> bool;

/// Lays a layer over the tree.
pub(crate) fn apply(
    archive: impl Read,
    tree: &Tree,
    budget: &mut Budget,
    wanted: Wanted<'_>,
) -> Result<(), Fault> {
    let layer = Layer { tree, budget, plain: false, made: BTreeSet::new(), made_bytes: 0 };
    layer.read(archive, wanted)
}

/// Unpacks an archive that is no layer: no name in it means that another one goes, the directory
/// itself stays as it is, and whoever unpacks it can read and remove all of it.
pub(crate) fn apply_plain(
    archive: impl Read,
    tree: &Tree,
    budget: &mut Budget,
) -> Result<(), Fault> {
    let layer = Layer { tree, budget, plain: true, made: BTreeSet::new(), made_bytes: 0 };
    layer.read(archive, &|| true)
}
/// What extensions said of the next entry.
#[derive(Default)]
struct Said {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    uid: Option<u64>,
    gid: Option<u64>,
    size: Option<u64>,
}

impl Said {
    /// Whether the entry spoke of the next one only.
    fn takes(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> Result<bool, Fault> {
        match entry.header().entry_type() {
            EntryType::GNULongName => self.path = Some(text(entry)?),
            EntryType::GNULongLink => self.link = Some(text(entry)?),
            EntryType::XHeader => self.attributes(&extension(entry)?)?,
            EntryType::XGlobalHeader => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn attributes(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        for attribute in tar::PaxExtensions::new(bytes) {
            let attribute = attribute.map_err(Fault::reading("an archive in it"))?;
            let value = attribute.value_bytes().to_vec();
            let number = || std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
            match attribute.key_bytes() {
                b"path" => self.path = Some(value),
                b"linkpath" => self.link = Some(value),
                b"uid" => self.uid = number(),
                b"gid" => self.gid = number(),
                b"size" => self.size = number(),
                key if key.starts_with(b"GNU.sparse") => {
                    return Err(Fault::Unfit(
                        "it has sparse files (make it without --sparse)".into(),
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn extension(entry: &mut tar::Entry<'_, impl Read>) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    entry
        .take(EXTENSION_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(Fault::reading("an archive in it"))?;
    if bytes.len() as u64 > EXTENSION_BYTES {
        return Err(Fault::Unfit(format!(
            "an archive in it has a name of over {EXTENSION_BYTES} bytes"
        )));
    }
    Ok(bytes)
}

/// A name with the zero behind it that some write.
fn text(entry: &mut tar::Entry<'_, impl Read>) -> Result<Vec<u8>, Fault> {
    let mut bytes = extension(entry)?;
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    Ok(bytes)
}

struct Layer<'a> {
    tree: &'a Tree,
    budget: &'a mut Budget,
    /// It is an archive like any other, not a part of an image.
    plain: bool,
    /// What this layer has made, with all directories above: a whiteout does not mean it.
    made: BTreeSet<PathBuf>,
    made_bytes: usize,
}

impl Layer<'_> {
    fn read(mut self, archive: impl Read, wanted: Wanted<'_>) -> Result<(), Fault> {
        let mut archive = tar::Archive::new(archive);
        let mut said = Said::default();
        let entries = archive.entries().map_err(Fault::reading("an archive in it"))?.raw(true);
        for entry in entries {
            if !wanted() {
                return Err(Fault::GivenUp);
            }
            let mut entry = entry.map_err(Fault::reading("an archive in it"))?;
            self.budget.take_entry()?;
            if said.takes(&mut entry)? {
                continue;
            }
            self.lay(&mut entry, &std::mem::take(&mut said), wanted)?;
        }
        Ok(())
    }

    fn lay(
        &mut self,
        entry: &mut tar::Entry<'_, impl Read>,
        said: &Said,
        wanted: Wanted<'_>,
    ) -> Result<(), Fault> {
        let name = said.path.clone().unwrap_or_else(|| entry.header().path_bytes().into_owned());
        let path = within(&name)?;
        let kind = entry.header().entry_type();
        if let Some(file) = path.file_name().map(OsStr::as_bytes)
            && !self.plain
            && file.starts_with(WHITEOUT)
        {
            return self.white_out(&path, file);
        }
        let mut meta = meta(entry.header(), said)?;
        if self.plain {
            meta.mode |= if kind == EntryType::Directory { 0o700 } else { 0o600 };
        }
        if path.as_os_str().is_empty() {
            // The root itself: its directory is there, only what it is like is taken over.
            return match kind {
                EntryType::Directory if self.plain => Ok(()),
                EntryType::Directory => self.tree.own_root(meta),
                _ => Err(Fault::Unfit("an archive in it has a root that is no directory".into())),
            };
        }
        let link = || -> Result<Vec<u8>, Fault> {
            let link = said
                .link
                .clone()
                .or_else(|| entry.header().link_name_bytes().map(|l| l.into_owned()));
            link.filter(|link| !link.is_empty() && !link.contains(&0) && link.len() < PATH_BYTES)
                .ok_or_else(|| Fault::Unfit(format!("{} is a link to nothing", path.display())))
        };
        match kind {
            EntryType::Directory => self.tree.directory(&path, meta)?,
            EntryType::Regular | EntryType::Continuous => {
                self.file(entry, &path, meta, said, wanted)?;
            }
            EntryType::Symlink => {
                let target = link()?;
                self.tree.symlink(&path, Path::new(OsStr::from_bytes(&target)), meta)?;
            }
            EntryType::Link => self.tree.hard_link(&path, &within(&link()?)?)?,
            EntryType::Fifo => self.tree.fifo(&path, meta)?,
            // A container has devices of its own.
            EntryType::Char | EntryType::Block => return Ok(()),
            EntryType::GNUSparse => {
                let path = path.display();
                return Err(Fault::Unfit(format!(
                    "{path} is sparse (make the archive without --sparse)"
                )));
            }
            other => {
                let path = path.display();
                return Err(Fault::Unfit(format!("{path} is of the unknown kind {other:?}")));
            }
        }
        self.note(path)
    }

    fn file(
        &mut self,
        entry: &mut tar::Entry<'_, impl Read>,
        path: &Path,
        meta: Meta,
        said: &Said,
        wanted: Wanted<'_>,
    ) -> Result<(), Fault> {
        let size = entry.header().size().map_err(Fault::reading("an archive in it"))?;
        if said.size.is_some_and(|said| said != size) {
            let path = path.display();
            return Err(Fault::Unfit(format!(
                "{path} is larger than the 8 GiB of a plain archive"
            )));
        }
        self.budget.take_bytes(size, path)?;
        let mut file = self.tree.file(path)?;
        let mut left = size;
        while left > 0 {
            if !wanted() {
                return Err(Fault::GivenUp);
            }
            let piece = left.min(LOOK_BYTES);
            self.budget.look(self.tree, piece)?;
            let copied = copy(&mut entry.by_ref().take(piece), &mut file, path)?;
            if copied < piece {
                return Err(Fault::Unfit(format!(
                    "an archive in it ends within {}",
                    path.display()
                )));
            }
            left -= piece;
        }
        self.tree.own(&file, path, meta)
    }

    fn white_out(&mut self, path: &Path, file: &[u8]) -> Result<(), Fault> {
        let parent = path.parent().unwrap_or(Path::new(""));
        if file == OPAQUE {
            let made = &self.made;
            return self.tree.hollow(parent, &mut |path| made.contains(path));
        }
        let hidden = &file[WHITEOUT.len()..];
        if hidden.is_empty() || matches!(hidden, b"." | b"..") {
            return Err(Fault::Unfit(format!("{} removes nothing that there is", path.display())));
        }
        let hidden = parent.join(OsStr::from_bytes(hidden));
        if self.made.contains(&hidden) {
            return self.tree.hollow(&hidden, &mut |path| self.made.contains(path));
        }
        match self.tree.existing(&hidden)? {
            Some(place) => self.tree.clear(&place, &hidden),
            None => Ok(()),
        }
    }

    fn note(&mut self, path: PathBuf) -> Result<(), Fault> {
        if self.plain {
            return Ok(());
        }
        let mut next = Some(path);
        while let Some(path) = next.filter(|path| !path.as_os_str().is_empty()) {
            if self.made.contains(&path) {
                break;
            }
            next = path.parent().map(Path::to_owned);
            self.made_bytes += path.as_os_str().len() + 64;
            if self.made_bytes > NAMES_BYTES {
                let most = NAMES_BYTES >> 20;
                return Err(Fault::Unfit(format!("the names in a layer take more than {most} MB")));
            }
            self.made.insert(path);
        }
        Ok(())
    }
}

/// Reading is the image's fault, writing the disk's.
fn copy(from: &mut impl Read, to: &mut std::fs::File, path: &Path) -> Result<u64, Fault> {
    use std::io::Write as _;
    let mut buffer = [0; 64 << 10];
    let mut copied = 0;
    loop {
        let count = from.read(&mut buffer).map_err(Fault::reading("an archive in it"))?;
        if count == 0 {
            return Ok(copied);
        }
        to.write_all(&buffer[..count])
            .map_err(Fault::disk(format!("writing {}", path.display())))?;
        copied += count as u64;
    }
}

fn meta(header: &tar::Header, said: &Said) -> Result<Meta, Fault> {
    let of = |read: io::Result<u64>| read.map_err(Fault::reading("an archive in it"));
    Ok(Meta {
        mode: header.mode().map_err(Fault::reading("an archive in it"))?,
        owner: (
            said.uid.map_or_else(|| of(header.uid()), Ok)?,
            said.gid.map_or_else(|| of(header.gid()), Ok)?,
        ),
        seconds: header.mtime().unwrap_or(0),
    })
}

/// A path below the root: absolute ones are meant from there, `.` means nothing, `..` is refused.
pub(crate) fn within(name: &[u8]) -> Result<PathBuf, Fault> {
    let shown = || String::from_utf8_lossy(&name[..name.len().min(200)]).into_owned();
    if name.len() > PATH_BYTES || name.contains(&0) {
        return Err(Fault::Unfit(format!("it has a path that cannot be: {:?}", shown())));
    }
    let mut path = PathBuf::new();
    for part in Path::new(OsStr::from_bytes(name)).components() {
        match part {
            Component::Normal(part) if part.len() <= NAME_BYTES => path.push(part),
            Component::RootDir | Component::CurDir => {}
            _ => {
                return Err(Fault::Unfit(format!("it has a path that cannot be: {:?}", shown())));
            }
        }
    }
    Ok(path)
}
