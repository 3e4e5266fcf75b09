//! Fitness for hosts with devices: which host, and which of its devices, so that most of them end up in use.
//!
//! Devices that are shared in parts fragment: nine tenths of a gpu in use are of no use to a task that wants
//! two tenths. Each of the fitnesses here answers with a preference from 0 to 1 and the device to share; none
//! refuses a host. They read the cpus and the devices of one host and nothing else, so that their answer
//! changes only when the host does.

pub(crate) mod ahead;
mod fragmentation;
mod mix;
mod waste;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use crate::device::{Amount, DeviceRequest};
use crate::fitness::float;
use crate::id::{DeviceKind, DeviceModel};
use crate::quantity::Milli;
use crate::request::TaskClass;
use crate::resources::Measure;
use crate::view::HostView;
use fragmentation::Fragmentation;
pub use mix::DeviceMix;
use waste::Waste;

/// Hosts with up to so many devices of the kind are judged without allocating.
const FEW: usize = 32;

/// A fitness for hosts with devices of one kind: see [`Fitness`](crate::Fitness), which makes them.
#[derive(Clone)]
pub struct DevicePacking {
    kind: DeviceKind,
    rule: Arc<Rule>,
}

enum Rule {
    BestFit { cpus: u64, devices: u64 },
    Fragmentation(Fragmentation),
    Waste(Waste),
}

/// The devices of a host as a rule sees them: what is free of each, in thousandths.
#[derive(Clone, Copy)]
struct Picture<'a> {
    cpus: u64,
    /// That of the first device; hosts of several models are judged by it.
    model: Option<&'a DeviceModel>,
    gaps: &'a [u16],
}

impl DevicePacking {
    pub(crate) fn best_fit(kind: DeviceKind, cpus: Milli, devices: u32) -> Self {
        let (cpus, devices) = (cpus.thousandths().max(1), u64::from(devices.max(1)));
        Self { kind, rule: Arc::new(Rule::BestFit { cpus, devices }) }
    }

    pub(crate) fn fragmentation(mix: &DeviceMix) -> Self {
        let rule = Rule::Fragmentation(Fragmentation::new(mix));
        Self { kind: mix.kind().clone(), rule: Arc::new(rule) }
    }

    pub(crate) fn waste(mix: &DeviceMix) -> Self {
        Self { kind: mix.kind().clone(), rule: Arc::new(Rule::Waste(Waste::new(mix))) }
    }

    /// The kind of devices that it looks at.
    #[must_use]
    pub const fn kind(&self) -> &DeviceKind {
        &self.kind
    }

    /// How good a host that can take it is for a task of a class, and which device to share.
    pub(crate) fn look(&self, class: &TaskClass, host: &HostView<'_>) -> (f64, Option<usize>) {
        let cpus = host.free(Measure::Cpus).thousandths();
        let after = cpus.saturating_sub(class.demand.cpus.thousandths());
        let devices = host.devices_of(&self.kind);
        let slots = devices.map_or(&[][..], |devices| devices.slots());
        let request = class.devices.get(&self.kind);
        if let Rule::BestFit { cpus, devices } = *self.rule {
            let free: u64 = slots.iter().map(|slot| u64::from(slot.free)).sum();
            let taken = request.map_or(0, DeviceRequest::thousandths);
            return (tightness((after, cpus), (free.saturating_sub(taken), devices * 1000)), None);
        }
        let (mut few, mut many) = ([0; FEW], Vec::new());
        let gaps = if slots.len() <= FEW {
            &mut few[..slots.len()]
        } else {
            many.resize(slots.len(), 0);
            &mut many[..]
        };
        for (gap, slot) in gaps.iter_mut().zip(slots) {
            *gap = slot.free;
        }
        let model = devices.and_then(|devices| devices.model_of_first());
        let before = self.rule.measure(Picture { cpus, model, gaps });
        let mut best = (f64::NEG_INFINITY, None);
        let mut consider = |gaps: &[u16], slot: Option<usize>| {
            let measure = self.rule.measure(Picture { cpus: after, model, gaps });
            let score = self.rule.score(before, measure);
            if score > best.0 {
                best = (score, slot);
            }
        };
        match (request.map(|request| (request, request.amount())), devices) {
            (Some((request, Amount::Part(share))), Some(devices)) => {
                for (slot, device) in slots.iter().enumerate() {
                    let free = gaps[slot];
                    // Equal gaps are equally good: the first of them is judged for all.
                    let known = gaps[..slot].contains(&free) && devices.model().is_some();
                    if free < share || known || !devices.accepted(request, device) {
                        continue;
                    }
                    gaps[slot] = free - share;
                    consider(gaps, Some(slot));
                    gaps[slot] = free;
                }
            }
            (Some((request, Amount::Whole(count))), Some(devices)) => {
                for slot in devices.whole(request).take(count as usize) {
                    gaps[slot] = 0;
                }
                consider(gaps, None);
            }
            (None, _) | (_, None) => consider(gaps, None),
        }
        (best.0.max(0.0), best.1)
    }
}

impl Rule {
    /// What a rule compares: less is better, in its own unit.
    fn measure(&self, host: Picture<'_>) -> i64 {
        match self {
            // Judged by what is left alone.
            Self::BestFit { .. } => 0,
            Self::Fragmentation(rule) => rule.measure(host),
            Self::Waste(rule) => rule.measure(host),
        }
    }

    /// From 0 to 1, by the measure of a host before and after.
    fn score(&self, before: i64, after: i64) -> f64 {
        match self {
            Self::BestFit { .. } => 0.0,
            Self::Fragmentation(rule) => rule.score(before, after),
            Self::Waste(rule) => rule.score(before, after),
        }
    }
}

/// How little is left of cpus and of devices, in hundredths: the mean of what is left over the most that a host
/// has, taken from 1.
fn tightness(cpus: (u64, u64), devices: (u64, u64)) -> f64 {
    let left = |(left, most): (u64, u64)| float(left) / float(most);
    let hundredths = (1.0 - (left(cpus) + left(devices)) / 2.0) * 100.0;
    (hundredths.max(0.0).trunc() / 100.0).min(1.0)
}

impl fmt::Debug for DevicePacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = match *self.rule {
            Rule::BestFit { .. } => "best fit",
            Rule::Fragmentation(_) => "fragmentation",
            Rule::Waste(_) => "expected waste",
        };
        write!(f, "{rule} of {}", self.kind)
    }
}
