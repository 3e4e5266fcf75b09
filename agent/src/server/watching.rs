//! What the agent looks at from time to time: the disk, and what tasks use.

use super::Server;
use crate::Error;
use crate::checkpoint::Committed;
use crate::containerizer::Containerizer;
use crate::containers;
use crate::disks::{Asked, Measured};
use agent_core::Input;
use proto::ContainerId;
use tokio::time::Instant;

impl Server {
    /// Once a second.
    pub(super) fn watch_usage(&mut self) {
        if let Some(all) = self.usages.ask() {
            self.performer.native.sample(all);
        }
        if self.config.policy.disk_limits && self.disks.is_due(Instant::now()) {
            // Tasks of custom executors have no sandbox but that of their executor.
            let tasks = self.core.tasks().filter(|task| task.executor_id.is_none());
            let tasks = tasks.filter_map(|task| {
                let limit = containers::disk_limit(task.resources?)?;
                self.sandbox(limit, task.container_id?, task.sandbox?)
            });
            let executors = self.core.executors().filter_map(|executor| {
                let limit = containers::disk_limit(&executor.resources)?;
                self.sandbox(limit, executor.container_id, executor.sandbox?)
            });
            let asked = tasks.chain(executors).collect();
            self.disks.measure(asked);
        }
    }

    /// The sandbox of a container that asked for disk; none before it was looked at.
    fn sandbox(&self, limit: u64, container_id: &ContainerId, path: &str) -> Option<Asked> {
        let id = containers::native_id(container_id).ok()?;
        let (usage, _) = self.usages.of(&id)?;
        let known = usage.whole_container && !usage.cpu_time.is_zero();
        let cpu_time = known.then_some(usage.cpu_time);
        Some(Asked { id, path: path.into(), limit, cpu_time, entries: 0 })
    }

    pub(super) fn measured(&mut self, measured: Measured) {
        if let Some((id, limitation)) = self.disks.note(measured) {
            self.performer.native.exceeded(&id, limitation);
        }
    }

    /// Whether the last commit found the disk full.
    fn is_full(&self) -> bool {
        self.performer.counts.disk_full || self.performer.counts.reserve_used
    }

    /// A commit ended. One that is the first to find the disk full, or not, does not wait for the next
    /// look at it.
    pub(super) fn committed(&mut self, answer: Committed) -> Result<(), Error> {
        let before = self.is_full();
        self.performer.committed(answer)?;
        if self.is_full() != before {
            self.watch_disk();
        }
        Ok(())
    }

    pub(super) fn watch_disk(&mut self) {
        match rustix::fs::statvfs(&self.layout.sandboxes) {
            Ok(stat) => {
                // As df reckons: what is not for us does not count.
                let used = stat.f_blocks.saturating_sub(stat.f_bfree);
                let all = used.saturating_add(stat.f_bavail).max(1);
                let ppm = u128::from(used) * 1_000_000 / u128::from(all);
                let measured = u32::try_from(ppm).unwrap_or(1_000_000);
                self.performer.counts.disk_used_ppm = measured;
                // The store finds it full first: it leaves some to others.
                let used_ppm = if self.is_full() { 1_000_000 } else { measured };
                self.step(Input::DiskUsage { used_ppm });
            }
            Err(error) => tracing::warn!(%error, "the disk cannot be measured"),
        }
        self.performer.keep_reserve(self.config.disk_reserve_bytes);
        self.performer.empty_trash();
        let most = 1_000_000_u32.saturating_sub(self.config.gc_disk_headroom_ppm);
        self.performer.preparing.collect(self.performer.counts.disk_used_ppm > most);
    }
}
