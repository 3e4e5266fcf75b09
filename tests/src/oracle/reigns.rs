//! The books of each master that leads or believes that it does: what it was told, said and decided.
//!
//! A master that lost its lead and does not know it yet keeps its own books, which must be right
//! too: all but the sum of what it launched and what agents tell it that others launched since. What
//! the cluster as a whole rests on follows the newest reign alone.

use super::Verdict;
use super::ledger::Ledger;
use super::registry::Replica;
use super::wishes::Wishes;
use master_core::{Effect, Input, Master, Registry};
use proto::Domain;
use std::collections::BTreeMap;

/// One master's time at the head, told apart by its epoch.
#[derive(Debug, Default)]
pub(super) struct Reign {
    pub(super) ledger: Ledger,
    wishes: Wishes,
    replica: Replica,
    over: bool,
}

impl Reign {
    fn begin(&mut self, registry: &Registry, region: Option<Domain>) -> Verdict {
        self.ledger.begin(registry);
        self.wishes.region = region;
        self.wishes.begin(registry);
        self.replica.begin(registry)
    }

    pub(super) fn will_step(&mut self, input: &Input) {
        self.ledger.will_step(input);
        self.wishes.will_step(input);
    }

    pub(super) fn stepped(&mut self, effects: &[Effect], master: &Master) -> Verdict {
        self.ledger.stepped(effects)?;
        self.wishes.stepped(effects)?;
        self.replica.check(effects, master.registry())
    }
}

/// All reigns that are not forgotten.
#[derive(Debug, Default)]
pub(super) struct Reigns {
    all: BTreeMap<u64, Reign>,
    newest: u64,
    /// Where the masters stand: agents elsewhere are for those who know of regions.
    pub(super) region: Option<Domain>,
}

impl Reigns {
    /// A master begins with this registry; says whether it is the newest one.
    pub(super) fn begin(&mut self, registry: &Registry) -> (bool, Verdict) {
        let epoch = registry.epoch();
        let mut reign = Reign::default();
        let is_newest = epoch >= self.newest;
        if is_newest {
            if let Some(before) = self.all.get_mut(&self.newest) {
                reign.ledger = before.ledger.pass_on();
                before.ledger.outdated = true;
            }
            self.newest = epoch;
        }
        let verdict = reign.begin(registry, self.region.clone());
        reign.ledger.outdated = !is_newest;
        self.all.retain(|_, reign| !reign.over);
        self.all.insert(epoch, reign);
        (is_newest, verdict)
    }

    /// Nobody speaks for it any more.
    pub(super) fn end(&mut self, epoch: u64) {
        if let Some(reign) = self.all.get_mut(&epoch) {
            reign.over = true;
        }
    }

    pub(super) fn is_newest(&self, epoch: u64) -> bool {
        epoch == self.newest
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    pub(super) fn get(&self, epoch: u64) -> Option<&Reign> {
        self.all.get(&epoch)
    }

    pub(super) fn get_mut(&mut self, epoch: u64) -> Option<&mut Reign> {
        self.all.get_mut(&epoch)
    }
}
