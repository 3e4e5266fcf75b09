//! The supervisor: the small process that runs an agent's tasks and outlives the agent.
//!
//! One per agent, in a session and cgroup of its own. It forks the tasks, owns their exit
//! statuses and their output, and keeps doing so while the agent is killed, upgraded or restarted;
//! a new agent connects to its socket, hears of everything that runs or has ended without being
//! acknowledged, and carries on. It decides nothing by itself except what must happen without an
//! agent: ending a task whose kill grace has run out, and killing a container that ran out of
//! memory.
//!
//! It uses no async runtime and little memory, because spawning is cheap only from a small
//! process. It must never block on the agent or on a task, and never reuse anything of one task
//! for another before it has checked that nothing of the former is left.

mod berth;
mod beside;
mod cgroup;
pub(crate) mod client;
mod daemon;
mod enclosing;
mod enclosure;
mod ending;
mod flow;
mod handing;
mod network;
pub mod options;
mod orders;
mod output;
mod pace;
mod peer;
mod pinning;
mod project;
mod remains;
mod roll;
mod sampling;
mod server;
mod session;
mod spawn;
mod strays;
mod sys;
pub mod task;
mod victims;
mod volumes;
pub(crate) mod wire;

pub(crate) use cgroup::stalled;
pub use daemon::main;
use rustix::fs::{Gid, Mode, OFlags, Uid};
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

/// The version of the protocol between agents and supervisors that this release speaks: with any
/// other neither does anything.
pub fn protocol() -> u8 {
    wire::version()
}

/// Where a supervisor of this directory puts the layers over images, whose removal takes time: to be
/// emptied by whoever has it.
pub(crate) fn trash(dir: &Path) -> PathBuf {
    enclosing::directory(dir).join(enclosure::TRASH)
}

/// Gives a volume to the user of a task that the supervisor does not run, as it would itself.
///
/// # Errors
/// A sentence that names the volume.
pub(crate) fn give_volume(volume: &task::VolumeLink, user: (u32, u32)) -> Result<(), String> {
    volumes::open(volume, user).map(drop)
}

/// Gives a sandbox to the user of a task that the supervisor does not run, and makes directories in
/// it, as it would itself: what was fetched into it may hold links, and none is followed. Without a
/// user all stays whose it is.
///
/// # Errors
/// A sentence that names what cannot be made or given.
pub(crate) fn give_sandbox(
    sandbox: &Path,
    directories: &[PathBuf],
    user: Option<(u32, u32)>,
) -> Result<(), String> {
    let failed = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(sandbox, flags, Mode::empty());
    let top = opened.map_err(|errno| failed(sandbox, errno.into()))?;
    let give = |(uid, gid)| -> io::Result<()> {
        handing::over(top.as_fd(), (uid, gid))?;
        Ok(rustix::fs::fchown(&top, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
    };
    user.map_or(Ok(()), give).map_err(|error| failed(sandbox, error))?;
    let found = rustix::fs::fstat(&top).map_err(|errno| failed(sandbox, errno.into()))?;
    for path in directories {
        let made = volumes::make(top.as_fd(), path, (found.st_uid, found.st_gid));
        made.map_err(|error| failed(path, error))?;
    }
    Ok(())
}

/// The filter of system calls of enclosed tasks, for others that read what strangers wrote.
pub(crate) fn filter() -> Vec<libc::sock_filter> {
    enclosure::filter()
}

/// One line to the supervisor's log, which is its standard error.
fn log(text: &str) {
    use std::io::Write;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = now.map_or(0.0, |since| since.as_secs_f64());
    // There is nowhere else to complain to.
    let _ = writeln!(std::io::stderr(), "{seconds:.3} supervisor: {text}");
}
