//! The agent's ends of what the program of a session reads and prints: named pipes, or a terminal.
#![allow(unsafe_code)] // Terminals are made by ioctl, and descriptors watched; every block says why it is sound.

use crate::supervisor::task::Stdio;
use proto::agent_api::WindowSize;
use rustix::fs::{FileType, Mode, OFlags};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::unix::AsyncFd;

/// One end, which never blocks the thread.
#[derive(Debug)]
pub(crate) struct End(AsyncFd<OwnedFd>);

impl End {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: the descriptor is owned, and neither replaced nor closed while it is registered.
        Ok(Self(unsafe { AsyncFd::register(fd)? }))
    }

    /// Waits for bytes; none when nobody is left who could write any.
    pub(crate) async fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(read) = ready.try_io(|fd| read(fd.get_ref(), into)) {
                return read;
            }
        }
    }

    /// What is there now, if anything.
    pub(crate) fn read_now(&self, into: &mut [u8]) -> io::Result<usize> {
        read(self.0.get_ref(), into)
    }

    /// Writes all, as the other side takes it.
    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.0.writable().await?;
            if let Ok(written) = ready.try_io(|fd| Ok(rustix::io::write(fd.get_ref(), bytes)?)) {
                bytes = &bytes[written?..];
            }
        }
        Ok(())
    }
}

fn read(fd: &OwnedFd, into: &mut [u8]) -> io::Result<usize> {
    match rustix::io::read(fd, into) {
        // A terminal that nobody has open any more.
        Err(rustix::io::Errno::IO) => Ok(0),
        read => Ok(read?),
    }
}

/// All ends of one session.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) input: Arc<End>,
    /// Standard output, or all that the terminal shows.
    pub(crate) output: Arc<End>,
    /// Standard error; none with a terminal.
    pub(crate) error: Option<End>,
}

/// Makes named pipes in `dir`, which is there for them alone.
pub(super) fn pipes(dir: &Path) -> io::Result<(Stdio, Ends)> {
    std::fs::create_dir_all(dir)?;
    std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    let paths = ["stdin", "stdout", "stderr"].map(|name| dir.join(name));
    for path in &paths {
        let at = rustix::fs::CWD;
        rustix::fs::mknodat(at, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
    }
    let open = |path: &PathBuf, flags: OFlags| {
        let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty())
    };
    // A pipe without a reader cannot be opened for writing: for a moment we are that.
    let reader = open(&paths[0], OFlags::RDONLY)?;
    let input = open(&paths[0], OFlags::WRONLY)?;
    drop(reader);
    let (output, error) = (open(&paths[1], OFlags::RDONLY)?, open(&paths[2], OFlags::RDONLY)?);
    let ends = Ends {
        input: Arc::new(End::new(input)?),
        output: Arc::new(End::new(output)?),
        error: Some(End::new(error)?),
    };
    Ok((Stdio::Pipes(paths), ends))
}

/// Makes a terminal.
pub(super) fn terminal(size: Option<WindowSize>) -> io::Result<(Stdio, Ends)> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let ours = rustix::fs::open("/dev/ptmx", flags, Mode::empty())?;
    let (unlocked, mut number): (libc::c_int, libc::c_uint) = (0, 0);
    // SAFETY: both calls take a pointer to an int, which is a live local.
    let failed = unsafe {
        libc::ioctl(ours.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) < 0
            || libc::ioctl(ours.as_raw_fd(), libc::TIOCGPTN, &raw mut number) < 0
    };
    if failed {
        return Err(io::Error::last_os_error());
    }
    let both = Arc::new(End::new(ours)?);
    if let Some(size) = size {
        resize(&both, size)?;
    }
    let ends = Ends { input: Arc::clone(&both), output: both, error: None };
    Ok((Stdio::Terminal(PathBuf::from(format!("/dev/pts/{number}"))), ends))
}

/// Tells a terminal its size, and by it the program.
pub(super) fn resize(end: &End, size: WindowSize) -> io::Result<()> {
    let size =
        libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: takes a pointer to such a structure, which is a live local.
    match unsafe { libc::ioctl(end.0.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
