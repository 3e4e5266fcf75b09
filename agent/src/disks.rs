//! How much of the disk the sandboxes of tasks take, against what these asked for.
//!
//! Measured by one thread that walks one sandbox after the other and rests four times as long as
//! it walks. A task that has used no cpu time since it was measured has written nothing, and is not
//! measured again. It decides nothing: the supervisor ends a task of which it is told.

#[cfg(test)]
mod tests;
mod walk;

use crate::containerizer::{ContainerId, Limitation};
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A sandbox to measure.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) id: ContainerId,
    pub(crate) path: PathBuf,
    /// Bytes that it may take.
    pub(crate) limit: u64,
    /// Cpu time of the whole task, by which one tells whether it has done anything; none where that
    /// is not known (without cgroups it is that of one process).
    pub(crate) cpu_time: Option<Duration>,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Measured {
    asked: Asked,
    result: std::io::Result<u64>,
}

/// What was measured last of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Bytes that the sandbox took.
    pub(crate) used: u64,
    /// Bytes that it may take.
    pub(crate) limit: u64,
    cpu_time: Option<Duration>,
}

/// The measuring of all sandboxes of an agent.
pub(crate) struct Disks {
    interval: Duration,
    next: Instant,
    orders: std::sync::mpsc::Sender<Vec<Asked>>,
    /// Sandboxes that are being measured.
    under_way: usize,
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
        let (orders, lists) = std::sync::mpsc::channel::<Vec<Asked>>();
        let (sender, receiver) = mpsc::unbounded_channel();
        let work = move || {
            for asked in lists.into_iter().flatten() {
                let result = walk::bytes(&asked.path);
                if sender.send(Measured { asked, result }).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("disks".into()).spawn(work)?;
        let (next, known) = (Instant::now(), HashMap::new());
        Ok((Self { interval, next, orders, under_way: 0, known }, receiver))
    }

    /// Whether to measure now.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        let due = self.under_way == 0 && now >= self.next;
        if due {
            self.next = now + self.interval;
        }
        due
    }

    /// Measures the sandboxes of tasks that have done anything since they were measured last;
    /// `all` are the tasks that run and have a limit.
    pub(crate) fn measure(&mut self, mut all: Vec<Asked>) {
        let living: std::collections::HashSet<_> = all.iter().map(|one| one.id.clone()).collect();
        self.known.retain(|id, _| living.contains(id));
        all.retain(|one| {
            let before = self.known.get(&one.id).and_then(|known| known.cpu_time);
            before.is_none() || before != one.cpu_time
        });
        self.under_way = all.len();
        if self.orders.send(all).is_err() {
            // The thread cannot end before we do.
            self.under_way = 0;
        }
    }

    /// Takes what was measured; a task that takes too much, and how much.
    pub(crate) fn note(&mut self, measured: Measured) -> Option<(ContainerId, Limitation)> {
        self.under_way = self.under_way.saturating_sub(1);
        let Measured { asked: Asked { id, path, limit, cpu_time }, result } = measured;
        let used = match result {
            Ok(used) => used,
            // It has ended meanwhile, and left nothing.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a sandbox cannot be measured");
                return None;
            }
        };
        self.known.insert(id.clone(), Disk { used, limit, cpu_time });
        let over = Limitation::Disk { usage_bytes: used, limit_bytes: limit };
        (used > limit).then_some((id, over))
    }

    /// What was measured last of a task.
    pub(crate) fn of(&self, id: &ContainerId) -> Option<Disk> {
        self.known.get(id).copied()
    }
}
