//! What all containers use, told once for each time that the agent asks.
//!
//! It is asked every second, so a container that has used no cpu time since the last look costs
//! one read: it can have done nothing else. Its memory may have been taken back meanwhile, so it is
//! looked at in full every 32nd time. Rounds are done in small pieces, between which launches and
//! ends have their turn, and only what has changed is told.

use super::berth::Berth;
use super::network::Networks;
use super::server::Supervisor;
use super::strays;
use super::sys;
use super::task::{ContainerId, Usage};
use super::wire::Report;

/// Every so many rounds a container is looked at in full, whatever it does.
const FULL: u64 = 32;
/// What a piece of a round may cost, in short looks (about a microsecond each).
const PIECE: usize = 64;
/// What a look in full costs, in short ones.
const FULL_COST: usize = 16;
/// Usages in one report: some 200 bytes each.
const REPORT: usize = 1024;

/// The state of sampling.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    round: Option<Round>,
    number: u64,
    /// What was seen last, by berth.
    seen: Vec<Option<Seen>>,
}

/// A round that is under way.
#[derive(Debug)]
struct Round {
    all: bool,
    begun_boot_ns: u64,
    next: usize,
    found: Vec<(ContainerId, Usage)>,
}

#[derive(Debug)]
struct Seen {
    serial: u64,
    cpu_time_ns: u64,
    usage: Usage,
}

impl Sampler {
    /// Nobody listens any more.
    pub(super) fn give_up(&mut self) {
        self.round = None;
    }

    /// Whether a round is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.round.is_some()
    }

    /// What the container in a berth uses, if it is to be told; and what the look cost.
    fn look(
        &mut self,
        index: usize,
        berth: &mut Berth,
        networks: Option<&Networks>,
        all: bool,
    ) -> (Option<Usage>, usize) {
        let Some(occupant) = berth.occupant.as_ref().filter(|o| o.ending.is_none()) else {
            return (None, 0);
        };
        let (serial, pid) = (occupant.serial, occupant.launched.pid);
        if self.seen.len() <= index {
            self.seen.resize_with(index + 1, || None);
        }
        let cpu_time_ns = match &berth.group {
            Some(group) => group.cpu_time_ns(),
            None => sys::cpu_time_ns(pid),
        };
        let before = self.seen[index].take().filter(|seen| seen.serial == serial);
        let due = (self.number + index as u64).is_multiple_of(FULL);
        if let Some(seen) = &before
            && seen.cpu_time_ns == cpu_time_ns
            && !due
        {
            let told = all.then_some(seen.usage);
            self.seen[index] = before;
            return (told, 1);
        }
        let usage = match &mut berth.group {
            Some(group) => Some(group.usage()),
            None => strays::usage(pid),
        };
        let Some(mut usage) = usage else { return (None, FULL_COST) };
        usage.traffic = berth.traffic(networks);
        if let Some(Seen { usage: before, .. }) = &before {
            // The traffic of a process goes with it, unless somebody of the task waited for it.
            usage.read_bytes = usage.read_bytes.max(before.read_bytes);
            usage.written_bytes = usage.written_bytes.max(before.written_bytes);
        }
        let changed = all || before.is_none_or(|seen| seen.usage != usage);
        self.seen[index] = Some(Seen { serial, cpu_time_ns, usage });
        (changed.then_some(usage), FULL_COST)
    }
}

impl Supervisor {
    /// Begins a round; one that is under way begins anew.
    pub(super) fn sample(&mut self, all: bool) {
        let all = all || self.sampler.round.as_ref().is_some_and(|round| round.all);
        self.sampler.number += 1;
        let (begun_boot_ns, found) = (sys::boot_time_ns(), Vec::new());
        self.sampler.round = Some(Round { all, begun_boot_ns, next: 0, found });
    }

    /// Does a piece of the round that is under way.
    pub(super) fn sample_some(&mut self) {
        let Some(mut round) = self.sampler.round.take() else { return };
        let mut cost = 0;
        while cost < PIECE && round.next < self.berths.len() {
            let index = round.next;
            round.next += 1;
            let Some(berth) = self.berths[index].as_mut() else { continue };
            let (usage, looked) =
                self.sampler.look(index, berth, self.networks.as_ref(), round.all);
            cost += looked;
            if let (Some(usage), Some(occupant)) = (usage, &berth.occupant) {
                round.found.push((occupant.id.clone(), usage));
            }
        }
        let complete = round.next >= self.berths.len();
        if complete || round.found.len() >= REPORT {
            let mut usages = std::mem::take(&mut round.found);
            // Who ended since its look was told to have ended: nothing comes after that.
            usages.retain(|(id, _)| self.running.contains_key(id));
            let begun_boot_ns = round.begun_boot_ns;
            self.report(&Report::Sampled { begun_boot_ns, usages, complete });
        }
        if !complete {
            self.sampler.round = Some(round);
        }
    }
}
