//! Files in the sandbox: made anew, below the sandbox whatever is in it, and unpacked if they are
//! archives.

use crate::http;
use crate::order::{Fetched, Finish, Limits, Marks, Packing, Source};
use crate::uri::Uri;
use crate::{Failure, Kind};
use images::{ArchiveError, Form};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// How often the free space is looked at.
const LOOK_BYTES: u64 = 16 << 20;

/// A file that is being written, with what is known of it.
pub(crate) struct Writing<'a> {
    file: &'a File,
    digest: Sha256,
    bytes: u64,
    unlooked: u64,
    limits: &'a Limits,
}

impl<'a> Writing<'a> {
    pub(crate) fn new(file: &'a File, limits: &'a Limits) -> Self {
        Self { file, digest: Sha256::new(), bytes: 0, unlooked: LOOK_BYTES, limits }
    }

    pub(crate) fn write(&mut self, data: &[u8]) -> Result<(), Failure> {
        self.unlooked += data.len() as u64;
        if self.unlooked >= LOOK_BYTES {
            self.unlooked = 0;
            let found =
                rustix::fs::fstatvfs(self.file).map_err(Failure::disk("asking for free space"))?;
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            if free < self.limits.keep_free {
                let keep = self.limits.keep_free;
                let problem = format!("the disk has {free} bytes free, of which {keep} stay free");
                return Err(Failure::new(Kind::Disk, problem));
            }
        }
        self.digest.update(data);
        self.bytes += data.len() as u64;
        self.file.write_all(data).map_err(Failure::disk("writing"))
    }

    pub(crate) fn finish(self, marks: Marks) -> Fetched {
        let digits = self.digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Fetched { bytes: self.bytes, sha256: digits, marks }
    }
}

/// Puts a file into the sandbox and makes of it what is wanted.
pub(crate) async fn put(
    (source, kept): (&Source, File),
    dir: OwnedFd,
    name: &Path,
    finish: &Finish,
    limits: &Limits,
) -> Result<Fetched, Failure> {
    if let Finish::Unpack(Packing::Unknown(what)) = finish {
        let problem = format!(
            "it is packed with {what}, which is not unpacked; pack it with gzip or zstd, or unpack \
             it in the task (extract: false)"
        );
        return Err(Failure::new(Kind::Archive, problem));
    }
    let file = make(dir.as_fd(), name)?;
    let mut writing = Writing::new(&file, limits);
    let (mut mode, mut marks) = (0o644, Marks::default());
    match source {
        Source::Uri(text) => {
            let uri = Uri::parse(text)?;
            let got = http::download(&uri, &marks, limits, |data| writing.write(data)).await?;
            marks = got.unwrap_or_default();
        }
        Source::File { root, path } => {
            let from = open(root, path)?;
            mode = rustix::fs::fstat(&from).map_or(mode, |found| found.st_mode & 0o755 | 0o600);
            copy(from, &mut writing)?;
        }
        Source::Kept { .. } => copy(kept, &mut writing)?,
    }
    let fetched = writing.finish(marks);
    if let Source::Kept { sha256 } = source
        && *sha256 != fetched.sha256
    {
        return Err(Failure::new(Kind::Cache, "what was kept of it is damaged"));
    }
    if *finish == Finish::Executable {
        mode = 0o755;
    }
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(Failure::disk("its mode"))?;
    if let Finish::Unpack(packing) = finish {
        unpack(packing, name, dir, limits)?;
    }
    Ok(fetched)
}

fn copy(mut from: File, writing: &mut Writing<'_>) -> Result<(), Failure> {
    let mut buffer = vec![0; 128 << 10];
    let most = writing.limits.bytes;
    loop {
        let count = from.read(&mut buffer).map_err(Failure::disk("reading it"))?;
        if count == 0 {
            return Ok(());
        }
        if writing.bytes + count as u64 > most {
            let problem = format!("it is larger than the {most} bytes allowed");
            return Err(Failure::new(Kind::Size, problem));
        }
        writing.write(&buffer[..count])?;
    }
}

/// A file of the host, if nothing leads out of the allowed directory and it may be read.
fn open(root: &Path, path: &Path) -> Result<File, Failure> {
    let missing = |what: &Path, errno: Errno| {
        let problem = match errno {
            Errno::XDEV | Errno::LOOP => {
                "a link leads out of the directories that are allowed on this agent (--fetch-from)"
                    .to_owned()
            }
            Errno::ACCESS | Errno::PERM => {
                format!("opening {}: {errno} (it is read as the task's user)", what.display())
            }
            errno => format!("opening {}: {errno}", what.display()),
        };
        Failure::new(Kind::Missing, problem)
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = rustix::fs::open(root, flags, Mode::empty()).map_err(|errno| missing(root, errno))?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = rustix::fs::openat2(&top, path, flags, Mode::empty(), within)
        .map_err(|errno| missing(&root.join(path), errno))?;
    let found = rustix::fs::fstat(&file).map_err(Failure::disk("looking at it"))?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => Ok(file.into()),
        _ => Err(Failure::new(Kind::Missing, "it is no plain file")),
    }
}

const BELOW: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_XDEV);

/// A new file in the place of whatever file is there, with the directories above it.
fn make(dir: BorrowedFd<'_>, name: &Path) -> Result<File, Failure> {
    let doing = format!("making {}", name.display());
    let mut above = dir.try_clone_to_owned().map_err(Failure::disk(&doing))?;
    for part in name.parent().into_iter().flat_map(Path::components) {
        let made = rustix::fs::mkdirat(&above, part.as_os_str(), Mode::from_raw_mode(0o755));
        if let Err(errno) = made
            && errno != Errno::EXIST
        {
            return Err(Failure::disk(&doing)(errno));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        above = rustix::fs::openat2(&above, part.as_os_str(), flags, Mode::empty(), BELOW)
            .map_err(Failure::disk(&doing))?;
    }
    let last = name.file_name().unwrap_or_default();
    match rustix::fs::unlinkat(&above, last, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(Failure::disk(&doing)(errno)),
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&above, last, flags, Mode::RUSR | Mode::WUSR)
        .map_err(Failure::disk(&doing))?;
    Ok(file.into())
}

/// Unpacks beside the archive, which stays, as with Mesos.
fn unpack(packing: &Packing, name: &Path, dir: OwnedFd, limits: &Limits) -> Result<(), Failure> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat2(&dir, name, flags, Mode::empty(), BELOW)
        .map_err(Failure::disk("opening the archive"))?;
    let form = match packing {
        Packing::Zip => Form::Zip,
        // Archives go into the sandbox itself, single files beside where they came from.
        Packing::Single => Form::Single(name.with_extension("")),
        Packing::Tar | Packing::Unknown(_) => Form::Tar,
    };
    let limits = images::Limits {
        bytes: limits.bytes,
        entries: limits.entries,
        keep_free: limits.keep_free,
    };
    images::unpack(file.into(), &form, dir, limits).map_err(|error| match error {
        ArchiveError::Unfit(problem) => {
            Failure::new(Kind::Archive, format!("it cannot be unpacked: {problem}"))
        }
        disk @ ArchiveError::Disk { .. } => {
            Failure::new(Kind::Disk, format!("unpacking it: {disk}"))
        }
    })
}
