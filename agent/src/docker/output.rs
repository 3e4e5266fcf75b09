//! Carries what the engine has kept of a container's output into the files of its sandbox.
//!
//! The engine marks each entry with the time at which it read it. How far the files have come is
//! written down beside the container's record after each batch: the time of the last entry of each
//! stream, how many entries of that time were taken, and how long the file was then. So the next
//! agent (or the next connection to an engine that was started anew) cuts what was written and not
//! noted, asks from that second on and leaves out what it has: no line twice, and none lost as far
//! as the engine still has it.

use super::outcome::unix_ns;
use super::record::replace;
use bollard::container::LogOutput;
use rustix::fs::{FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// How far before the last entry that was taken one of the other stream may lie that was not.
const EARLIER_SECONDS: u64 = 2;
const NAMES: [&str; 2] = ["stdout", "stderr"];

/// How far one stream has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    /// Of the last entry, as the engine writes it: with nine digits, so that texts compare.
    time: String,
    /// Entries of that time.
    count: u64,
    /// Bytes of the file.
    bytes: u64,
    /// Bytes that could not be stored.
    lost: u64,
}

/// The output of one container.
#[derive(Debug, Default)]
pub(crate) struct Output {
    sandbox: PathBuf,
    noted: PathBuf,
    owner: Option<(u32, u32)>,
    positions: [Position; 2],
    files: [Option<File>; 2],
    /// Entries of the last time that this connection has told.
    repeated: [u64; 2],
}

impl Output {
    /// Goes on where a former agent stopped; `noted` is the file that says where.
    pub(crate) fn resume(sandbox: &Path, noted: PathBuf, owner: Option<(u32, u32)>) -> Self {
        let text = std::fs::read(&noted).unwrap_or_default();
        let positions: [Position; 2] = serde_json::from_slice(&text).unwrap_or_default();
        let mut output = Self {
            sandbox: sandbox.to_owned(),
            noted,
            owner,
            positions,
            files: [None, None],
            repeated: [0; 2],
        };
        for at in 0..2 {
            output.cut(at);
        }
        output
    }

    /// What was written and not noted is told again.
    fn cut(&mut self, at: usize) {
        let Ok(file) = open(&self.sandbox, NAMES[at], None) else { return };
        let noted = self.positions[at].bytes;
        if file.metadata().is_ok_and(|data| data.len() > noted)
            && let Err(error) = file.set_len(noted)
        {
            tracing::warn!(sandbox = %self.sandbox.display(), %error, "output may be there twice");
        }
    }

    /// The second from which on the engine is to tell, and a new connection begins.
    pub(crate) fn since(&mut self) -> i32 {
        self.repeated = [0; 2];
        let times = self.positions.iter().filter_map(|position| unix_ns(&position.time));
        let last = times.max().unwrap_or(0) / 1_000_000_000;
        // Entries of the two streams stand in the order in which they came, nearly.
        i32::try_from(last.saturating_sub(EARLIER_SECONDS)).unwrap_or(i32::MAX)
    }

    /// Stores some entries, and notes it.
    pub(crate) fn store(&mut self, entries: Vec<LogOutput>) {
        for entry in entries {
            let (at, bytes) = match entry {
                LogOutput::StdOut { message } | LogOutput::Console { message } => (0, message),
                LogOutput::StdErr { message } => (1, message),
                LogOutput::StdIn { .. } => continue,
            };
            self.entry(at, &bytes);
        }
        let text = serde_json::to_vec(&self.positions).unwrap_or_default();
        if let Err(error) = replace(&self.noted, &text) {
            tracing::warn!(path = %self.noted.display(), %error, "output may be told twice");
        }
    }

    fn entry(&mut self, at: usize, bytes: &[u8]) {
        let space = bytes.iter().position(|byte| *byte == b' ').unwrap_or(0);
        let Ok(time) = std::str::from_utf8(&bytes[..space]) else { return };
        let position = &mut self.positions[at];
        match time.cmp(position.time.as_str()) {
            std::cmp::Ordering::Less => return,
            std::cmp::Ordering::Equal => {
                self.repeated[at] += 1;
                if self.repeated[at] <= position.count {
                    return;
                }
                position.count += 1;
            }
            std::cmp::Ordering::Greater => {
                position.time = time.to_owned();
                position.count = 1;
                self.repeated[at] = 1;
            }
        }
        self.write(at, bytes.get(space + 1..).unwrap_or_default());
    }

    fn write(&mut self, at: usize, mut rest: &[u8]) {
        if self.files[at].is_none() {
            self.files[at] = open(&self.sandbox, NAMES[at], Some(self.owner)).ok();
        }
        let position = &mut self.positions[at];
        while let (Some(file), false) = (&mut self.files[at], rest.is_empty()) {
            match file.write(rest) {
                Ok(n) if n > 0 => {
                    rest = &rest[n..];
                    position.bytes += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Disk full, most likely. The next bytes may find room again.
                _ => break,
            }
        }
        position.lost += rest.len() as u64;
    }

    /// Bytes of stdout and of stderr, and bytes that could not be stored.
    pub(crate) fn figures(&self) -> (u64, u64, u64) {
        let [out, err] = &self.positions;
        (out.bytes, err.bytes, out.lost + err.lost)
    }
}

/// How far the files of a container came, as it was noted.
pub(crate) fn noted(path: &Path) -> (u64, u64, u64) {
    let text = std::fs::read(path).unwrap_or_default();
    let [out, err]: [Position; 2] = serde_json::from_slice(&text).unwrap_or_default();
    (out.bytes, err.bytes, out.lost + err.lost)
}

/// Opens a file of a sandbox for what is appended; made for this owner, if it may be made. One that
/// the task put there is taken if it is a plain file with no second name: we may be root, and a
/// link would lead us to someone else's.
fn open(sandbox: &Path, name: &str, make: Option<Option<(u32, u32)>>) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mode = Mode::from_raw_mode(0o644);
    let path = sandbox.join(name);
    if let Some(owner) = make {
        match rustix::fs::open(&path, flags | OFlags::CREATE | OFlags::EXCL, mode) {
            Ok(fd) => {
                if let Some((uid, gid)) = owner {
                    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
                    rustix::fs::fchown(&fd, Some(uid), Some(gid))?;
                }
                return Ok(fd.into());
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let fd = rustix::fs::open(&path, flags | OFlags::NONBLOCK, mode)?;
    let stat = rustix::fs::fstat(&fd)?;
    let plain = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if plain && stat.st_nlink == 1 { Ok(fd.into()) } else { Err(Errno::ACCESS.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(nano: u32, text: &str) -> LogOutput {
        let message = format!("2026-11-22T18:00:00.{nano:09}Z {text}");
        LogOutput::StdOut { message: message.into_bytes().into() }
    }

    fn resume(dir: &Path) -> Output {
        Output::resume(dir, dir.join("output"), None)
    }

    fn text(dir: &Path) -> String {
        std::fs::read_to_string(dir.join("stdout")).unwrap_or_default()
    }

    #[test]
    fn what_is_told_again_is_not_stored_again() {
        let dir = tempfile::tempdir().unwrap();
        let all = [out(1, "a\n"), out(1, "b\n"), out(1, "c\n"), out(2, "d\n"), out(3, "e\n")];
        let mut output = resume(dir.path());
        assert_eq!(output.since(), 0);
        output.store(all[..2].to_vec());
        // The connection broke in the middle of entries of one time.
        assert_eq!(output.since(), 1_795_370_398);
        output.store(all[..4].to_vec());
        drop(output);
        // Another agent.
        let mut output = resume(dir.path());
        output.since();
        output.store(all.to_vec());
        assert_eq!(text(dir.path()), "a\nb\nc\nd\ne\n");
        assert_eq!(output.figures(), (10, 0, 0));
    }

    #[test]
    fn what_was_written_and_not_noted_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        resume(dir.path()).store(vec![out(1, "a\n")]);
        std::fs::write(dir.path().join("stdout"), "a\nb\nc").unwrap();
        let mut output = resume(dir.path());
        output.since();
        output.store(vec![out(1, "a\n"), out(2, "b\n"), out(3, "c\n")]);
        assert_eq!(text(dir.path()), "a\nb\nc\n");
    }

    #[test]
    fn a_link_in_the_place_of_a_file_leads_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let beside = tempfile::tempdir().unwrap();
        let precious = beside.path().join("precious");
        std::fs::write(&precious, "x").unwrap();
        std::os::unix::fs::symlink(&precious, dir.path().join("stdout")).unwrap();
        std::fs::hard_link(&precious, dir.path().join("stderr")).unwrap();
        let mut output = resume(dir.path());
        let both = [out(1, "lost\n"), LogOutput::StdErr { message: "1 lost\n".into() }];
        output.store(both.to_vec());
        assert_eq!(output.figures(), (0, 0, 10));
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "x");
    }
}
