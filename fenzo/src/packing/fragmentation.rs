//! Fragmentation: how much of a host's devices the tasks that come could not use, weighted by how often they
//! come. The fitness is its descent.
//!
//! The measure and the score are those of Fragmentation Gradient Descent (Weng et al., "Beware of
//! Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent", USENIX ATC 2023). For
//! a host with `G` free in all and gaps `g`, a demand that the host cannot serve finds all of `G` fragmented,
//! any other the gaps that are smaller than its share; demands without devices find all of `G` fragmented.
//!
//! Sums over the demands are kept by cpus and share, so that a host costs a few look-ups for each device,
//! however many demands there are. Everything is an integer: equal hosts get equal scores.

use super::Picture;
use super::mix::{ByModel, DeviceMix};
use crate::device::WHOLE;
use crate::id::DeviceModel;

/// The score of a descent by one whole device is the logistic function of one.
const DEVICE: f64 = 1000.0;

/// Demands for more devices than this are not told from those for so many.
const MOST_SIZE: u32 = 4096;

pub(crate) struct Fragmentation {
    tables: ByModel<Table>,
    tasks: i64,
}

/// How many tasks have demands up to some cpus and some share or number.
struct Table {
    /// Tasks that no device of the model can serve, and those that want no device.
    never: i64,
    single: Grid,
    several: Grid,
}

/// Counts of tasks by two bounds: `at(cpus, size)` tasks demand no more than both.
struct Grid {
    cpus: Vec<u64>,
    /// How many of the sizes are at most the position.
    upto: Vec<usize>,
    width: usize,
    /// By the position of the cpus, then of the size.
    sums: Vec<i64>,
}

impl Fragmentation {
    pub(crate) fn new(mix: &DeviceMix) -> Self {
        let tasks = mix.demands().map(|(_, count)| signed(count)).sum::<i64>().max(1);
        Self { tables: ByModel::new(mix, |model| Table::new(mix, model)), tasks }
    }

    /// The fragmented thousandths, times the tasks of the mix.
    pub(crate) fn measure(&self, host: Picture<'_>) -> i64 {
        self.tables.of(host.model).measure(host)
    }

    /// The fragmented thousandths, times `scale`.
    pub(crate) fn scaled(&self, host: Picture<'_>, scale: i64) -> i64 {
        let measure = self.measure(host);
        // Beyond some 10^9 devices times tasks the last digits do not matter.
        measure
            .checked_mul(scale)
            .map_or_else(|| measure / self.tasks * scale, |product| product / self.tasks)
    }

    /// The logistic function of the descent in devices, in whole hundredths as in the published scheduler: hosts
    /// that hardly differ are equal, so that the first of them fills up.
    #[allow(clippy::cast_precision_loss, reason = "scores need no more than 53 bits")]
    pub(crate) fn score(&self, before: i64, after: i64) -> f64 {
        let descent = (before - after) as f64 / self.tasks as f64 / DEVICE;
        (100.0 / (1.0 + (-descent).exp())).trunc() / 100.0
    }
}

impl Table {
    fn new(mix: &DeviceMix, model: Option<&DeviceModel>) -> Self {
        let served = |(demand, count): (&super::mix::TypicalDemand, u64)| {
            (demand.devices > 0 && demand.accepts(model)).then_some((demand.clone(), count))
        };
        let served: Vec<_> = mix.demands().filter_map(served).collect();
        let all: i64 = mix.demands().map(|(_, count)| signed(count)).sum();
        let known: i64 = served.iter().map(|(_, count)| signed(*count)).sum();
        let of = |several: bool| {
            let chosen = served.iter().filter(move |(demand, _)| (demand.devices > 1) == several);
            let entry = move |(demand, count): &(super::mix::TypicalDemand, u64)| {
                let size = if several { demand.devices } else { u32::from(demand.share) };
                (demand.cpus, size, *count)
            };
            Grid::new(&chosen.map(entry).collect::<Vec<_>>())
        };
        Self { never: all - known, single: of(false), several: of(true) }
    }

    fn measure(&self, host: Picture<'_>) -> i64 {
        let (mut all, mut largest, mut whole, mut parts) = (0, 0, 0, 0);
        for gap in host.gaps {
            let free = i64::from(*gap);
            all += free;
            largest = largest.max(*gap);
            whole += u32::from(*gap == WHOLE);
            parts += if *gap == WHOLE { 0 } else { free };
        }
        if all == 0 {
            return 0;
        }
        let single = self.single.row(host.cpus);
        let several = self.several.row(host.cpus);
        let served = single.at(u32::from(largest));
        let served_several = several.at(whole);
        let unserved =
            self.never + (self.single.total() - served) + (self.several.total() - served_several);
        let mut fragmented = all * unserved + parts * served_several;
        for gap in host.gaps.iter().filter(|gap| **gap > 0) {
            fragmented += i64::from(*gap) * (served - single.at(u32::from(*gap)));
        }
        fragmented
    }
}

/// The part of a grid for some cpus.
#[derive(Clone, Copy)]
struct Row<'a> {
    upto: &'a [usize],
    sums: &'a [i64],
}

impl Row<'_> {
    /// The tasks of at most this size.
    fn at(self, size: u32) -> i64 {
        let size = self.upto.len().saturating_sub(1).min(size as usize);
        self.sums[self.upto[size]]
    }
}

impl Grid {
    /// Of cpus, size and count of each demand.
    fn new(demands: &[(u64, u32, u64)]) -> Self {
        let mut cpus: Vec<u64> = demands.iter().map(|(cpus, ..)| *cpus).collect();
        let mut sizes: Vec<u32> =
            demands.iter().map(|(_, size, _)| (*size).min(MOST_SIZE)).collect();
        for_each_once(&mut cpus);
        for_each_once(&mut sizes);
        let width = sizes.len() + 1;
        let mut sums = vec![0; (cpus.len() + 1) * width];
        for (demand_cpus, demand_size, count) in demands {
            let from_row = cpus.partition_point(|cpus| cpus < demand_cpus) + 1;
            let from = sizes.partition_point(|size| *size < (*demand_size).min(MOST_SIZE)) + 1;
            for row in from_row..=cpus.len() {
                for sum in &mut sums[row * width + from..(row + 1) * width] {
                    *sum += signed(*count);
                }
            }
        }
        let largest = sizes.last().map_or(0, |size| (*size).min(MOST_SIZE));
        let upto =
            (0..=largest).map(|size| sizes.partition_point(|bound| *bound <= size)).collect();
        Self { cpus, upto, width, sums }
    }

    fn row(&self, cpus: u64) -> Row<'_> {
        let row = self.cpus.partition_point(|bound| *bound <= cpus);
        Row { upto: &self.upto, sums: &self.sums[row * self.width..][..self.width] }
    }

    fn total(&self) -> i64 {
        self.sums.last().copied().unwrap_or(0)
    }
}

fn for_each_once<T: Ord>(values: &mut Vec<T>) {
    values.sort_unstable();
    values.dedup();
}

/// A count as a signed number; no count comes near the bound.
fn signed(count: u64) -> i64 {
    i64::try_from(count.min(1 << 40)).unwrap_or(1 << 40)
}
