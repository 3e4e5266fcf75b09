//! Collecting sandboxes: old ones go, and they grow old faster as the disk fills.
//!
//! Mesos' rule: a sandbox is kept for `gc_delay * max(0, 1 - headroom - disk usage)` after the end
//! of its task. When nothing is left of that the disk is short: then the oldest goes, the disk is
//! measured, and only if it is still short the next one goes, so that what is newer stays. The
//! removal itself is the shell's; one that failed is tried again.

use crate::effect::{CheckpointOp, Effect};
use crate::input::SandboxRecord;
use crate::state::Agent;
use proto::{ContainerId, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const FULL_PPM: u32 = 1_000_000;

/// The sandboxes of ended tasks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sandboxes {
    all: BTreeMap<ContainerId, SandboxRecord>,
    /// Those that nobody removes at this moment, oldest first.
    waiting: BTreeSet<(Time, ContainerId)>,
    /// Those whose removal failed, with the time when it is tried again.
    failed: BTreeSet<(Time, ContainerId)>,
    used_ppm: u32,
    shortage: Shortage,
    /// Whether the disk is about to be full.
    pub(crate) disk_pressed: bool,
}

/// Where the removal of sandboxes for want of room stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Shortage {
    /// The disk was measured since the last of them went.
    #[default]
    Measured,
    /// This one is being removed.
    Removing(ContainerId),
    /// It is not known how full the disk is now.
    Unmeasured,
}

impl Sandboxes {
    /// Whether it went or stays: the disk is to be measured before another one goes.
    fn settle(&mut self, container_id: &ContainerId) {
        if self.shortage == Shortage::Removing(container_id.clone()) {
            self.shortage = Shortage::Unmeasured;
        }
    }

    pub(crate) fn insert(&mut self, record: SandboxRecord) {
        let container_id = record.container_id.clone();
        self.waiting.insert((record.ended, container_id.clone()));
        if let Some(before) = self.all.insert(container_id.clone(), record)
            && self.all.get(&container_id).is_some_and(|now| now.ended != before.ended)
        {
            // Its end was found out anew: it waits once.
            self.waiting.remove(&(before.ended, container_id));
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &SandboxRecord> {
        self.all.values()
    }

    pub(crate) fn contains(&self, container_id: &ContainerId) -> bool {
        self.all.contains_key(container_id)
    }

    pub(crate) fn is_consistent(&self) -> bool {
        // By time first, which is told apart faster than names are.
        let waits = |record: &&SandboxRecord| {
            self.waiting.contains(&(record.ended, record.container_id.clone()))
        };
        self.all.values().filter(waits).count() == self.waiting.len()
            && self.failed.iter().all(|(_, id)| self.all.contains_key(id))
    }
}

/// How long a sandbox is kept.
fn age(delay: Duration, headroom_ppm: u32, used_ppm: u32) -> Duration {
    let left = FULL_PPM.saturating_sub(headroom_ppm).saturating_sub(used_ppm);
    let nanos = delay.as_nanos() * u128::from(left) / u128::from(FULL_PPM);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl Agent {
    fn sandbox_age(&self) -> Duration {
        let headroom = self.options.gc_disk_headroom_ppm;
        age(self.options.gc_delay, headroom, self.sandboxes.used_ppm)
    }

    /// Whether what nobody needs goes for want of room. Who keeps no sandbox has none for that.
    fn is_short(&self) -> bool {
        self.sandbox_age().is_zero() && !self.options.gc_delay.is_zero()
    }

    pub(crate) fn gc_deadline(&self) -> Option<Time> {
        let age = self.sandbox_age();
        let waits = self.is_short() && self.sandboxes.shortage != Shortage::Measured;
        let oldest = self.sandboxes.waiting.first().filter(|_| !waits);
        let oldest = oldest.map(|(ended, _)| *ended + age);
        let again = self.sandboxes.failed.first().map(|(at, _)| *at);
        oldest.into_iter().chain(again).min()
    }

    /// The shell measured the disk.
    pub(crate) fn disk_usage(
        &mut self,
        now: Time,
        used_ppm: u32,
        making_room: bool,
        effects: &mut Vec<Effect>,
    ) {
        self.sandboxes.used_ppm = used_ppm.min(FULL_PPM);
        match (&self.sandboxes.shortage, making_room) {
            (Shortage::Removing(_), _) => {}
            (_, true) => self.sandboxes.shortage = Shortage::Unmeasured,
            (_, false) => self.sandboxes.shortage = Shortage::Measured,
        }
        self.feel_pressure(self.sandboxes.used_ppm, effects);
        self.collect(now, effects);
    }

    /// Orders the removal of every sandbox that is old enough, or of the oldest when the disk is
    /// short.
    pub(crate) fn collect(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let age = self.sandbox_age();
        if self.is_short() {
            self.collect_oldest(effects);
        }
        while !self.is_short()
            && let Some((ended, _)) = self.sandboxes.waiting.first()
            && *ended + age <= now
        {
            let Some((_, container_id)) = self.sandboxes.waiting.pop_first() else { break };
            self.order_collection(container_id, effects);
        }
        while let Some((at, _)) = self.sandboxes.failed.first()
            && *at <= now
        {
            let Some((_, container_id)) = self.sandboxes.failed.pop_first() else { break };
            self.order_collection(container_id, effects);
        }
    }

    fn collect_oldest(&mut self, effects: &mut Vec<Effect>) {
        if self.sandboxes.shortage == Shortage::Measured
            && let Some((_, container_id)) = self.sandboxes.waiting.pop_first()
        {
            self.sandboxes.shortage = Shortage::Removing(container_id.clone());
            self.order_collection(container_id, effects);
        }
    }

    fn order_collection(&self, container_id: ContainerId, effects: &mut Vec<Effect>) {
        if let Some(record) = self.sandboxes.all.get(&container_id) {
            let path = record.path.clone();
            effects.push(Effect::CollectSandbox { container_id, path });
        }
    }

    pub(crate) fn sandbox_collected(
        &mut self,
        container_id: ContainerId,
        effects: &mut Vec<Effect>,
    ) {
        self.sandboxes.settle(&container_id);
        if let Some(record) = self.sandboxes.all.remove(&container_id) {
            self.sandboxes.waiting.remove(&(record.ended, container_id.clone()));
            self.sandboxes.failed.retain(|(_, id)| *id != container_id);
            effects.push(Effect::Record(CheckpointOp::DeleteSandbox { container_id }));
        }
    }

    pub(crate) fn sandbox_collect_failed(&mut self, now: Time, container_id: ContainerId) {
        self.sandboxes.settle(&container_id);
        let Some(record) = self.sandboxes.all.get(&container_id) else { return };
        if !self.sandboxes.waiting.contains(&(record.ended, container_id.clone())) {
            self.sandboxes.failed.retain(|(_, id)| *id != container_id);
            self.sandboxes.failed.insert((now + self.options.gc_retry, container_id));
        }
    }

    /// The sandboxes of ended tasks that are still there.
    pub fn sandboxes(&self) -> impl Iterator<Item = &SandboxRecord> {
        self.sandboxes.iter()
    }
}

#[cfg(test)]
mod tests;
