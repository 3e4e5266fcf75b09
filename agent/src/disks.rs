//! How much of the disk the sandboxes of tasks take, with what they write over their images, against
//! what these asked for.
//!
//! Measured by one thread that rests four times as long as it walks (`measuring`). A task that has
//! used no cpu time since it was measured has written nothing, and is not measured again. It decides
//! nothing: the supervisor ends a task of which it is told.

mod measuring;
#[cfg(test)]
mod tests;
mod walk;

use crate::containerizer::{ContainerId, Limitation};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A sandbox to measure.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) id: ContainerId,
    pub(crate) path: PathBuf,
    /// What the task wrote over its image, which counts as well.
    pub(crate) layer: Option<PathBuf>,
    /// Bytes that it may take.
    pub(crate) limit: u64,
    /// Cpu time of the whole task, by which one tells whether it has done anything; none where that
    /// is not known (without cgroups it is that of one process).
    pub(crate) cpu_time: Option<Duration>,
    /// Files and directories that were in it when it was measured last.
    pub(crate) entries: u64,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Measured {
    asked: Asked,
    /// Bytes, and files and directories.
    result: std::io::Result<(u64, u64)>,
}

/// Numbers of files and directories.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// A sandbox with more than this waits for others of its kind.
    large: u64,
    /// A walk ends after so many, and what it found counts.
    most: u64,
}

const BOUNDS: Bounds = Bounds { large: 100_000, most: 4_000_000 };

/// What was measured last of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Bytes that the sandbox took, and the layer over the image, at the least: what takes more than
    /// it may, or has very many files, is not measured to the end.
    pub(crate) used: u64,
    /// Bytes that it may take.
    pub(crate) limit: u64,
    cpu_time: Option<Duration>,
    entries: u64,
}

/// The measuring of all sandboxes of an agent.
pub(crate) struct Disks {
    interval: Duration,
    next: Instant,
    orders: std::sync::mpsc::Sender<Vec<Asked>>,
    /// Sandboxes that are being measured.
    under_way: HashSet<ContainerId>,
    known: HashMap<ContainerId, Disk>,
}

impl Disks {
    /// Starts the thread; what it measures arrives on the channel.
    ///
    /// # Errors
    /// When no thread can be had.
    pub(crate) fn start(
        interval: Duration,
    ) -> std::io::Result<(Self, mpsc::UnboundedReceiver<Measured>)> {
        Self::start_with(interval, BOUNDS)
    }

    fn start_with(
        interval: Duration,
        bounds: Bounds,
    ) -> std::io::Result<(Self, mpsc::UnboundedReceiver<Measured>)> {
        let (orders, lists) = std::sync::mpsc::channel::<Vec<Asked>>();
        let (sender, receiver) = mpsc::unbounded_channel();
        let work = move || measuring::measure(&lists, bounds, &sender);
        std::thread::Builder::new().name("disks".into()).spawn(work)?;
        let (next, known, under_way) = (Instant::now(), HashMap::new(), HashSet::new());
        Ok((Self { interval, next, orders, under_way, known }, receiver))
    }

    /// Whether to measure now.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + self.interval;
        }
        due
    }

    /// Measures the sandboxes of tasks that have done anything since they were measured last;
    /// `all` are the tasks that run and have a limit.
    pub(crate) fn measure(&mut self, mut all: Vec<Asked>) {
        let living: HashSet<_> = all.iter().map(|one| one.id.clone()).collect();
        self.known.retain(|id, _| living.contains(id));
        all.retain_mut(|one| {
            let known = self.known.get(&one.id);
            one.entries = known.map_or(0, |known| known.entries);
            let before = known.and_then(|known| known.cpu_time);
            let changed = before.is_none() || before != one.cpu_time;
            changed && self.under_way.insert(one.id.clone())
        });
        // The thread cannot end before we do.
        let _ = self.orders.send(all);
    }

    /// Takes what was measured; a task that takes too much, and how much.
    pub(crate) fn note(&mut self, measured: Measured) -> Option<(ContainerId, Limitation)> {
        let Measured { asked: Asked { id, path, limit, cpu_time, .. }, result } = measured;
        self.under_way.remove(&id);
        let (used, entries) = match result {
            Ok(found) => found,
            // It has ended meanwhile, and left nothing.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a sandbox cannot be measured");
                return None;
            }
        };
        self.known.insert(id.clone(), Disk { used, limit, cpu_time, entries });
        let over = Limitation::Disk { usage_bytes: used, limit_bytes: limit };
        (used > limit).then_some((id, over))
    }

    /// What was measured last of a task.
    pub(crate) fn of(&self, id: &ContainerId) -> Option<Disk> {
        self.known.get(id).copied()
    }
}
