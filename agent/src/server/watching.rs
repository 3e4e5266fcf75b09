//! What the agent looks at from time to time: the disk, and what tasks use.

use super::Server;
use crate::Error;
use crate::checkpoint::Committed;
use crate::containerizer::Containerizer;
use crate::containers;
use crate::disks::{Asked, Measured};
use crate::headroom::Headroom;
use crate::preparing::Prepared;
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
        let layer = self.performer.whereabouts.layer_of(&id).map(Into::into);
        Some(Asked { id, path: path.into(), layer, limit, cpu_time, entries: 0 })
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

    /// A commit ended. The first that finds the disk full does not wait for the next look at it, nor
    /// does any until there is room.
    pub(super) fn committed(&mut self, answer: Committed) -> Result<(), Error> {
        let before = self.is_full();
        self.performer.committed(answer)?;
        match (before, self.is_full()) {
            (false, false) => {}
            (false, true) => self.watch_disk(),
            (true, _) => self.measure_disk(),
        }
        Ok(())
    }

    /// Inputs from outside the loop. A removal that was ordered because the disk is short has its
    /// effect looked at; when the last commit found the disk full, the next one's answer does that.
    pub(super) fn step_all(&mut self, inputs: &mut Vec<Input>) {
        let is_removal = |input: &Input| {
            matches!(input, Input::SandboxCollected { .. } | Input::SandboxCollectFailed { .. })
        };
        let removed = inputs.iter().any(is_removal);
        inputs.drain(..).for_each(|input| self.step(input));
        if removed && !self.is_full() {
            self.measure_disk();
        }
    }

    /// Something that a launch waited for is ready, or room was made.
    pub(super) fn prepared(&mut self, prepared: Prepared) {
        match prepared {
            Prepared::Room { for_want } => {
                self.caches_went |= for_want;
                self.measure_disk();
            }
            other => self.performer.prepared(other),
        }
    }

    pub(super) fn watch_disk(&mut self) {
        self.performer.keep_reserve(self.config.disk_reserve_bytes);
        self.performer.empty_trash();
        self.performer.preparing.make_room(self.headroom(), false);
        self.measure_disk();
    }

    fn headroom(&self) -> Headroom {
        Headroom::new(self.layout.sandboxes.clone(), self.config.gc_disk_headroom_ppm)
    }

    fn measure_disk(&mut self) {
        match self.headroom().measure() {
            Ok(found) => {
                self.performer.counts.disk_used_ppm = found.used_ppm;
                // The store finds it full first: it leaves some to others.
                let used_ppm = if self.is_full() { 1_000_000 } else { found.used_ppm };
                let is_short = self.is_full() || self.headroom().is_too_full(found);
                self.caches_went &= is_short;
                // What can be had again goes before any sandbox does.
                let making_room = is_short && !self.caches_went;
                if making_room {
                    self.performer.preparing.make_room(self.headroom(), true);
                }
                self.step(Input::DiskUsage { used_ppm, making_room });
            }
            Err(error) => tracing::warn!(%error, "the disk cannot be measured"),
        }
    }
}
