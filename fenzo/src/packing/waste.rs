//! Expected waste: how much of each free device will stay unused for ever, if tasks keep coming as they do.
//!
//! A gap of one device, with the cpus that are there for it, is a process of its own: a task comes; if it fits
//! into the gap, the gap is smaller by its share and the cpus by its demand; if tasks that fit are rare, the
//! gap may be left as it is. So the waste `W` of a gap `g` with cpus `c` is
//!
//! ```text
//! W(g, c) = (1 - f) * g + f * sum of p(t) * W(g - share(t), c - cpus(t)) / p    over the tasks t that fit
//! p = sum of p(t) over the tasks t that fit       f = 1 - 1 / (1 + PATIENCE * p)
//! ```
//!
//! with `p(t)` the part of the demand for devices that is of such tasks. The waste of a host is the sum over
//! its devices, each once with all free cpus and once with its proportion of them, and in addition a small part
//! of its fragmentation (see `fragmentation.rs`), which alone knows that several devices may be wanted on one
//! host. The fitness is the descent of the waste, exactly: no two different hosts are rounded to one score.
//!
//! This is ours; descending along a measure of fragmentation is the idea of Weng et al. (USENIX ATC 2023).

use super::Picture;
use super::fragmentation::Fragmentation;
use super::mix::{ByModel, DeviceMix, TypicalDemand};
use crate::device::WHOLE;
use crate::fitness::float;
use crate::id::DeviceModel;

/// How many tasks are expected to come while a gap waits for one that fits.
const PATIENCE: f64 = 200.0;

/// The most that a task wants for one device is from 16 to 32 steps of cpus: see [`cpu_step`].
const STEPS_A_TASK: (u64, u64) = (16, 32);

/// Cpus are told apart in so many steps: a device that is shared by several tasks needs cpus for each.
const CPU_STEPS: u64 = 96;

/// Shares are told apart in steps of at least so many thousandths.
const LEAST_STEP: u16 = 8;

/// Units of waste in a thousandth of a device.
const SCALE: i64 = 1 << 10;

/// The waste of a gap counts this much, by all cpus and by its proportion of them each.
const GAP_WEIGHT: i64 = 10;

/// Fragmentation counts this much.
const FRAGMENTATION_WEIGHT: i64 = 1;

pub(crate) struct Waste {
    fragmentation: Fragmentation,
    tables: ByModel<Table>,
    steps: Steps,
}

/// How finely shares and cpus are told apart.
#[derive(Clone, Copy)]
struct Steps {
    share: u16,
    cpus: u64,
}

/// The waste of a gap, by its steps of the share and of cpus.
struct Table(Vec<i64>);

/// The cpus that a device can have, in steps: none to all.
const WIDTH: usize = CPU_STEPS as usize + 1;

impl Waste {
    pub(crate) fn new(mix: &DeviceMix) -> Self {
        let with_devices = || mix.demands().filter(|(demand, _)| demand.devices > 0);
        let most = with_devices().map(|(demand, _)| cpus_of_one(demand)).max().unwrap_or(1);
        let share = with_devices().fold(WHOLE, |common, (demand, _)| divisor(common, demand.share));
        let coarse = if share < LEAST_STEP { LEAST_STEP } else { share };
        let steps = Steps { share: coarse, cpus: cpu_step(most) };
        let weights =
            with_devices().map(|(demand, count)| float(count) * f64::from(demand.devices));
        let all = weights.sum::<f64>().max(1.0);
        let tables = ByModel::new(mix, |model| Table::new(mix, model, steps, all));
        Self { fragmentation: Fragmentation::new(mix), tables, steps }
    }

    pub(crate) fn measure(&self, host: Picture<'_>) -> i64 {
        let all: u64 = host.gaps.iter().map(|gap| u64::from(*gap)).sum();
        if all == 0 {
            return 0;
        }
        let table = self.tables.of(host.model);
        let mut waste = 0;
        for gap in host.gaps.iter().filter(|gap| **gap > 0) {
            let proportion = host.cpus.saturating_mul(u64::from(*gap)) / all;
            waste += table.at(*gap, host.cpus, self.steps) + table.at(*gap, proportion, self.steps);
        }
        let fragmentation = self.fragmentation.scaled(host, SCALE);
        waste * GAP_WEIGHT + fragmentation * FRAGMENTATION_WEIGHT
    }

    /// Grows with the descent, and is a half where nothing changes.
    #[allow(clippy::cast_precision_loss, reason = "scores need no more than 53 bits")]
    pub(crate) fn score(&self, before: i64, after: i64) -> f64 {
        let device = i64::from(WHOLE) * SCALE * (2 * GAP_WEIGHT + FRAGMENTATION_WEIGHT);
        let descent = (before - after) as f64 / device as f64;
        0.5 + 0.5 * descent / (1.0 + descent.abs())
    }
}

impl Table {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a waste is at most a device, in units of which 2^20 make one"
    )]
    fn new(mix: &DeviceMix, model: Option<&DeviceModel>, steps: Steps, all: f64) -> Self {
        // Steps of share and cpus, and the part of all demand, of the tasks that a device can serve.
        let served: Vec<(usize, usize, f64)> = mix
            .demands()
            .filter(|(demand, _)| demand.devices > 0 && demand.accepts(model))
            .map(|(demand, count)| {
                let share = usize::from(demand.share.div_ceil(steps.share));
                let cpus = cpus_of_one(demand).div_ceil(steps.cpus) as usize;
                (share, cpus, float(count) * f64::from(demand.devices) / all)
            })
            .collect();
        let levels = usize::from(WHOLE / steps.share) + 1;
        let mut waste = vec![0.0; levels * WIDTH];
        for level in 1..levels {
            let gap = f64::from(steps.share) * float(level as u64);
            for cpus in 0..WIDTH {
                let (mut fitting, mut left) = (0.0, 0.0);
                for (share, demand, part) in &served {
                    if *share <= level && *demand <= cpus {
                        fitting += part;
                        left += part * waste[(level - share) * WIDTH + cpus - demand];
                    }
                }
                waste[level * WIDTH + cpus] = if fitting > 0.0 {
                    let filled = 1.0 - 1.0 / (1.0 + PATIENCE * fitting);
                    (1.0 - filled) * gap + filled * left / fitting
                } else {
                    gap
                };
            }
        }
        let scale = f64::from(SCALE as i32);
        Self(waste.into_iter().map(|waste| (waste * scale).round() as i64).collect())
    }

    /// The waste of a gap with these cpus; what is below a step of the share is lost for certain.
    fn at(&self, gap: u16, cpus: u64, steps: Steps) -> i64 {
        let level = gap / steps.share;
        let lost = i64::from(gap - level * steps.share) * SCALE;
        let cpus = usize::try_from((cpus / steps.cpus).min(CPU_STEPS)).unwrap_or(WIDTH - 1);
        self.0[usize::from(level) * WIDTH + cpus] + lost
    }
}

/// What a task wants of cpus for each of its devices.
fn cpus_of_one(demand: &TypicalDemand) -> u64 {
    demand.cpus / u64::from(demand.devices.max(1))
}

/// One cpu, or as much of one or as many as the greatest demand makes sensible, doubled or halved. Machines have
/// whole cpus for a device, so other steps would round what just fits to what does not. Finer steps are no
/// better: what coarse ones leave to spare is better than nothing to spare.
fn cpu_step(most: u64) -> u64 {
    let (fewest, greatest) = STEPS_A_TASK;
    let mut step = 1000;
    while step * greatest < most {
        step *= 2;
    }
    while step * fewest > most && step > 1 {
        step /= 2;
    }
    step
}

/// The greatest common divisor.
fn divisor(mut a: u16, mut b: u16) -> u16 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}
