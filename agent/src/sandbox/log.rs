//! The whole of what a task printed, over all files that it lies in: see `parts`.
//!
//! A place in a log is the number of bytes before it, since the task's start; it stays the same
//! when files are renamed, packed or removed under the reader. What was removed is left out. A
//! task can make files with the names of parts: it deceives its own reader, and nobody else; so
//! no name is believed beyond the bytes that are there.

#[cfg(test)]
mod tests;

use super::{MAX_READ, Sandbox, SandboxError};
use crate::parts::{self, MARK, MARK_EVERY, Part};
use flate2::read::GzDecoder;
use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::UNIX_EPOCH;

/// Most lines that a reader may ask for from the end.
pub(crate) const MOST_TAIL: usize = 100_000;
/// How often a reader looks anew when what it has just seen is gone.
const TRIES: usize = 16;
/// Bytes that are looked through at a time.
const BLOCK: usize = 64 << 10;

/// Which files a log has at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// Those that were cut off, oldest first; none overlaps another.
    pub(crate) parts: Vec<Part>,
}

impl View {
    /// Where the present file begins.
    pub(crate) fn base(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.end)
    }

    /// The first byte that is still there.
    pub(crate) fn begin(&self) -> u64 {
        self.parts.first().map_or(0, |part| part.begin)
    }
}

/// What a reader has open.
#[derive(Debug)]
enum Source {
    /// The file that is written now.
    Present { file: File, base: u64 },
    /// The same once it has got another name: what was written before that is still to be read.
    Former { file: File, base: u64 },
    /// A part that was cut off.
    Part { file: File, part: Part },
    /// One that was packed; its bytes come in order.
    Packed { unpacked: GzDecoder<File>, part: Part },
}

/// Reads a log from one place on.
#[derive(Debug)]
pub(crate) struct LogReader {
    sandbox: Sandbox,
    log: String,
    at: u64,
    source: Option<Source>,
}

fn failed(doing: &'static str, log: &str) -> impl Fn(io::Error) -> SandboxError {
    let path = log.to_owned();
    move |source| SandboxError::Io { doing, path: path.clone(), source }
}

/// What is not there counts as nothing.
fn if_there<T>(found: Result<T, SandboxError>) -> Result<Option<T>, SandboxError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(SandboxError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Sandbox {
    /// The files of a log.
    pub(crate) fn view(&self, log: &str) -> Result<View, SandboxError> {
        let io = |errno: rustix::io::Errno| failed("list the parts of", log)(errno.into());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(&self.root, ".", flags, Mode::empty()).map_err(io)?;
        let mut found = Vec::new();
        for entry in Dir::read_from(&root).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name().to_str().ok();
            found.extend(name.and_then(|name| Part::parse(log, name)));
        }
        // Of one that is just being packed both are there: the plain one comes first.
        found.sort_unstable();
        let mut parts: Vec<Part> = Vec::with_capacity(found.len());
        for part in found {
            if parts.last().is_none_or(|last| last.end <= part.begin) {
                parts.push(part);
            }
        }
        Ok(View { parts })
    }

    /// Where what is there of a log begins, and where it ends, at this moment.
    pub(crate) fn log_bounds(&self, log: &str) -> Result<(u64, u64), SandboxError> {
        let (end, view, _) = self.present(log)?;
        Ok((view.begin(), end))
    }

    /// Where a log ends, its files, and the present one if it is there.
    fn present(&self, log: &str) -> Result<(u64, View, Option<File>), SandboxError> {
        for _ in 0..TRIES {
            let view = self.view(log)?;
            let present = if_there(self.open_file(log))?;
            // Parts only ever grow in number of bytes: if they end where they did, the file that was
            // opened in between is the one behind them.
            if self.view(log)?.base() == view.base() {
                let size = present.as_ref().map_or(0, |(_, size)| *size);
                let end = view.base().saturating_add(size);
                return Ok((end, view, present.map(|(file, _)| file)));
            }
        }
        Err(SandboxError::Busy(log.to_owned()))
    }

    /// The place from which on a log has all that was written at `unix_ms` or later, and of what was
    /// written before at most that of the second before. Where no times are known, more.
    pub(crate) fn log_since(&self, log: &str, unix_ms: u64) -> Result<u64, SandboxError> {
        let (end, view, present) = self.present(log)?;
        let second = u64::try_from(MARK_EVERY.as_millis()).unwrap_or(u64::MAX);
        // Where what comes after the mark in question begins.
        let mut next = end;
        let base = view.base();
        let files = view.parts.iter().map(|part| (part.begin, part.times(log), None));
        let files = files.chain(std::iter::once((base, parts::times(log), present)));
        for (begin, times, present) in files.collect::<Vec<_>>().into_iter().rev() {
            if let Some((at, time, after)) = self.last_mark(&times, unix_ms)? {
                let is_over = time.saturating_add(second) <= unix_ms;
                let place = if is_over { after.unwrap_or(next) } else { at };
                return Ok(place.clamp(view.begin(), end));
            }
            // All of a file without times was written within the second before its last change.
            let has_times = if_there(self.open_file(&times))?.is_some_and(|(_, size)| size > 0);
            let changed = present.filter(|_| !has_times).and_then(|file| file.metadata().ok());
            let changed = changed.and_then(|data| data.modified().ok());
            let changed = changed.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            if changed.is_some_and(|at| at.as_millis() < u128::from(unix_ms)) {
                return Ok(end);
            }
            next = begin;
        }
        Ok(view.begin())
    }

    /// The last mark of a file that is not later than `unix_ms`: its place, its time, and the place
    /// of the mark after it.
    fn last_mark(
        &self,
        times: &str,
        unix_ms: u64,
    ) -> Result<Option<(u64, u64, Option<u64>)>, SandboxError> {
        let Some((file, size)) = if_there(self.open_file(times))? else { return Ok(None) };
        let mark = |n: u64| {
            let mut bytes = [0; MARK];
            let read = file.read_exact_at(&mut bytes, n * MARK as u64);
            read.map(|()| parts::mark_of(bytes)).map_err(failed("read", times))
        };
        // Marks stand in the order in which they were made; a clock that was set back makes the
        // answer less exact.
        let (mut low, mut high) = (0, size / MARK as u64);
        let count = high;
        while low < high {
            let middle = low + (high - low) / 2;
            if mark(middle)?.1 <= unix_ms { low = middle + 1 } else { high = middle }
        }
        let Some(last) = low.checked_sub(1) else { return Ok(None) };
        let (at, time) = mark(last)?;
        let after = if low < count { Some(mark(low)?.0) } else { None };
        Ok(Some((at, time, after)))
    }

    /// Where the last `lines` lines of a log begin, and where the log ends as of now; what comes after
    /// the last end of a line is one.
    pub(crate) fn log_tail(&self, log: &str, lines: usize) -> Result<(u64, u64), SandboxError> {
        let (end, view, present) = self.present(log)?;
        let mut wanted = lines.min(MOST_TAIL);
        if wanted == 0 {
            return Ok((end, end));
        }
        let io = failed("look through", log);
        // What is written meanwhile is behind that end.
        let size = end - view.base();
        let mut ends = present.map(|file| plain_ends(&file, size, view.base(), wanted + 1));
        for part in view.parts.iter().rev().map(Some).chain([None]) {
            for at in ends.take().transpose().map_err(&io)?.into_iter().flatten().rev() {
                // Behind the end of the last line there is none.
                wanted -= usize::from(at + 1 != end);
                if wanted == 0 {
                    return Ok((at + 1, end));
                }
            }
            let Some(part) = part else { break };
            let Some((file, _)) = if_there(self.open_file(&part.name(log)))? else { continue };
            ends = Some(match part.packed {
                true => {
                    let most = part.end - part.begin;
                    line_ends(GzDecoder::new(file).take(most), part.begin, wanted + 1)
                }
                false => plain_ends(&file, part.end - part.begin, part.begin, wanted + 1),
            });
        }
        Ok((view.begin(), end))
    }

    /// Reads a log from a place on, or from the first byte behind it that is still there.
    pub(crate) fn into_log(self, log: &str, at: u64) -> LogReader {
        LogReader { sandbox: self, log: log.to_owned(), at, source: None }
    }
}

/// Where the last `most` lines of the first `size` bytes of a file end, which begins at `begin` of the
/// log. Looks at no more of its end than it needs.
fn plain_ends(mut file: &File, size: u64, begin: u64, most: usize) -> io::Result<VecDeque<u64>> {
    let mut window = BLOCK as u64;
    loop {
        let from = size.saturating_sub(window);
        file.seek(SeekFrom::Start(from))?;
        let found = line_ends(file.take(size - from), begin + from, most)?;
        if found.len() >= most || from == 0 {
            return Ok(found);
        }
        window = window.saturating_mul(16);
    }
}

/// Where the last `most` lines of what is read end.
fn line_ends(mut read: impl Read, begin: u64, most: usize) -> io::Result<VecDeque<u64>> {
    let mut ends = VecDeque::new();
    let (mut at, mut block) = (begin, vec![0; BLOCK]);
    loop {
        let n = match read.read(&mut block) {
            Ok(0) => return Ok(ends),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        for (place, _) in (at..).zip(&block[..n]).filter(|(_, byte)| **byte == b'\n') {
            if ends.len() == most {
                ends.pop_front();
            }
            ends.push_back(place);
        }
        at += n as u64;
    }
}

impl Source {
    /// What comes at `at`; nothing at the end of what is there.
    fn read(&mut self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let left = |part: &Part| usize::try_from(part.end.saturating_sub(at)).unwrap_or(usize::MAX);
        match self {
            Self::Present { file, base } | Self::Former { file, base } => {
                file.read_at(into, at.saturating_sub(*base))
            }
            Self::Part { file, part } => {
                let most = into.len().min(left(part));
                file.read_at(&mut into[..most], at.saturating_sub(part.begin))
            }
            Self::Packed { unpacked, part } => {
                let most = into.len().min(left(part));
                unpacked.read(&mut into[..most])
            }
        }
    }
}

impl LogReader {
    /// Where it is: the place of what is read next, unless that is gone.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// What comes next, up to `most` bytes (at most [`MAX_READ`]); nothing when that is not written
    /// yet, or never will be.
    pub(crate) fn read(&mut self, most: usize) -> Result<Vec<u8>, SandboxError> {
        let mut data = vec![0; most.min(MAX_READ)];
        // Each turn opens the next of finitely many files, leaves one behind, or is the last.
        loop {
            if self.source.is_none() && !self.open()? {
                return Ok(Vec::new());
            }
            let Some(source) = &mut self.source else { return Ok(Vec::new()) };
            match source.read(self.at, &mut data) {
                Ok(0) if data.is_empty() || !self.leave()? => return Ok(Vec::new()),
                Ok(n) if n > 0 => {
                    self.at += n as u64;
                    data.truncate(n);
                    return Ok(data);
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed("read", &self.log)(error)),
            }
        }
    }

    /// The end of a file: whether there may be more in another. The present one is not over.
    fn leave(&mut self) -> Result<bool, SandboxError> {
        self.source = match self.source.take() {
            Some(Source::Present { file, base }) => {
                let ours = file.metadata().map_err(failed("look at", &self.log))?;
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                let now = rustix::fs::statat(&self.sandbox.root, self.log.as_str(), flags);
                if now.is_ok_and(|now| now.st_ino == ours.ino() && now.st_dev == ours.dev()) {
                    self.source = Some(Source::Present { file, base });
                    return Ok(false);
                }
                Some(Source::Former { file, base })
            }
            Some(Source::Part { part, .. } | Source::Packed { part, .. }) => {
                self.at = self.at.max(part.end);
                None
            }
            Some(Source::Former { .. }) | None => None,
        };
        Ok(true)
    }

    /// Opens the file with what comes next; false when there is none yet.
    fn open(&mut self) -> Result<bool, SandboxError> {
        for _ in 0..TRIES {
            let view = self.sandbox.view(&self.log)?;
            let Some(part) = view.parts.iter().find(|part| self.at < part.end) else {
                let Some((file, _)) = if_there(self.sandbox.open_file(&self.log))? else {
                    return Ok(false);
                };
                let base = view.base();
                if self.sandbox.view(&self.log)?.base() != base {
                    continue;
                }
                self.source = Some(Source::Present { file, base });
                return Ok(true);
            };
            let found = if_there(self.sandbox.open_file(&part.name(&self.log)))?;
            // It has just been packed, or removed.
            let Some((file, _)) = found else { continue };
            self.at = self.at.max(part.begin);
            let part = *part;
            self.source = Some(match part.packed {
                false => Source::Part { file, part },
                true => {
                    let mut unpacked = GzDecoder::new(file);
                    let before = (&mut unpacked).take(self.at - part.begin);
                    io::copy(&mut { before }, &mut io::sink())
                        .map_err(failed("unpack a part of", &self.log))?;
                    Source::Packed { unpacked, part }
                }
            });
            return Ok(true);
        }
        Err(SandboxError::Busy(self.log.clone()))
    }
}
