//! What an image is made of, by name: files of a directory, or of an archive that is read in place.

use crate::compression;
use crate::error::Fault;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use tar::EntryType;

/// Entries of an archive that are looked at in search of what makes it an image. One with more is a
/// plain root file system: those that hold images have a few for each layer.
const LISTED: usize = 20_000;
/// Links that lead to one blob.
const LINKS: usize = 8;

/// A set of named blobs.
pub(crate) enum Blobs {
    Directory(OwnedFd),
    Archive { file: File, index: BTreeMap<String, Listed> },
}

/// Where in an archive something is.
pub(crate) enum Listed {
    At { offset: u64, length: u64 },
    Link(String),
}

/// One of them.
pub(crate) enum Blob {
    File(File),
    Piece { file: File, offset: u64, left: u64 },
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Piece { file, offset, left } => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                let count = file.read_at(&mut buffer[..most], *offset)?;
                *offset += count as u64;
                *left -= count as u64;
                Ok(count)
            }
        }
    }
}

impl Blobs {
    pub(crate) fn directory(path: &Path) -> Result<Self, Fault> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty())
            .map_err(Fault::disk(format!("opening {}", path.display())))?;
        Ok(Self::Directory(dir))
    }

    /// Lists an archive that is not packed; its content is skipped, not read.
    pub(crate) fn archive(file: File) -> Result<Self, Fault> {
        let mut index = BTreeMap::new();
        let reader = file.try_clone().map_err(Fault::disk("opening the archive"))?;
        let mut archive = tar::Archive::new(reader);
        let entries = archive.entries_with_seek().map_err(Fault::reading("the archive"))?;
        for entry in entries.raw(true).take(LISTED) {
            let entry = entry.map_err(Fault::reading("the archive"))?;
            let path = entry.path_bytes();
            let Some(name) = std::str::from_utf8(&path).ok().and_then(plain) else { continue };
            let (offset, length) = (entry.raw_file_position(), entry.size());
            match entry.header().entry_type() {
                EntryType::Regular => {
                    index.insert(name, Listed::At { offset, length });
                }
                EntryType::Symlink | EntryType::Link => {
                    let hard = entry.header().entry_type() == EntryType::Link;
                    let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                    if let Some(target) = std::str::from_utf8(&target).ok()
                        && let Some(target) = leads_to(&name, target, hard)
                    {
                        index.insert(name, Listed::Link(target));
                    }
                }
                _ => {}
            }
        }
        Ok(Self::Archive { file, index })
    }

    /// The blob of a name; absent when there is none.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Blob>, Fault> {
        let Some(mut name) = plain(name) else { return Ok(None) };
        match self {
            Self::Directory(dir) => {
                let within =
                    ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                match rustix::fs::openat2(dir, &name, flags, Mode::empty(), within) {
                    Ok(file) => {
                        let file = File::from(file);
                        let found =
                            file.metadata().map_err(Fault::disk(format!("opening {name}")))?;
                        Ok(found.is_file().then_some(Blob::File(file)))
                    }
                    Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
                    Err(errno) => Err(Fault::disk(format!("opening {name}"))(errno)),
                }
            }
            Self::Archive { file, index } => {
                for _ in 0..LINKS {
                    match index.get(&name) {
                        None => return Ok(None),
                        Some(Listed::Link(target)) => name.clone_from(target),
                        Some(Listed::At { offset, length }) => {
                            let file =
                                file.try_clone().map_err(Fault::disk("opening the archive"))?;
                            return Ok(Some(Blob::Piece { file, offset: *offset, left: *length }));
                        }
                    }
                }
                Err(Fault::Unfit(format!("{name} in it is a link to itself")))
            }
        }
    }

    /// The same; it must be there, and may have at most so many bytes.
    pub(crate) fn text(&self, name: &str, most: u64) -> Result<Vec<u8>, Fault> {
        let blob = self.find(name)?.ok_or_else(|| Fault::Unfit(format!("it lacks {name}")))?;
        let mut bytes = Vec::new();
        blob.take(most + 1).read_to_end(&mut bytes).map_err(Fault::reading(name))?;
        match bytes.len() as u64 > most {
            true => Err(Fault::Unfit(format!("its {name} is larger than {most} bytes"))),
            false => Ok(bytes),
        }
    }
}

/// An archive as a file that is not packed: itself, or what it unpacks to, in a file without a name.
pub(crate) fn unpacked(file: File, beside: &Path, most: u64) -> Result<File, Fault> {
    let mut file = file;
    let reader = file.try_clone().map_err(Fault::disk("opening the archive"))?;
    let reader = compression::unpacked(reader).map_err(Fault::reading("the archive"))?;
    if reader.is_plain() {
        file.seek(SeekFrom::Start(0)).map_err(Fault::disk("opening the archive"))?;
        return Ok(file);
    }
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let whole =
        rustix::fs::open(beside, flags, mode).map_err(Fault::disk("unpacking the archive"))?;
    let mut whole = File::from(whole);
    let mut reader = compression::Bounded::new(reader, most);
    let mut buffer = vec![0; 64 << 10];
    loop {
        use std::io::Write as _;
        let count = reader.read(&mut buffer).map_err(Fault::reading("the archive"))?;
        if count == 0 {
            break;
        }
        whole.write_all(&buffer[..count]).map_err(Fault::disk("unpacking the archive"))?;
    }
    whole.seek(SeekFrom::Start(0)).map_err(Fault::disk("unpacking the archive"))?;
    Ok(whole)
}

/// A name without `.` and doubled slashes; none for what leads elsewhere.
fn plain(name: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => return None,
            part => parts.push(part),
        }
    }
    (!parts.is_empty() && !name.contains('\0')).then(|| parts.join("/"))
}

/// What a link in an archive means: of symbolic ones, as seen from where it is.
fn leads_to(name: &str, target: &str, hard: bool) -> Option<String> {
    if hard || target.starts_with('/') {
        return plain(target);
    }
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    plain(&parts.join("/"))
}
