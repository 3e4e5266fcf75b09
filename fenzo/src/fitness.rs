//! Fitness: how good a host is for a task, from 0 to 1. The host with the highest wins.
//!
//! Fitness is a preference and never a refusal: a host with fitness 0 is used if there is no better one.
//! Refusing is what hard constraints are for. This is the only place besides soft constraints where floating
//! point decides anything, and it is compared with `total_cmp`.

use std::fmt;
use std::sync::Arc;

use crate::cluster::ranking::SLACK;
use crate::constraint::{Scorer, judged};
use crate::id::DeviceKind;
use crate::packing::{DeviceMix, DevicePacking};
use crate::quantity::Milli;
use crate::request::TaskClass;
use crate::resources::Measure;
use crate::view::HostView;

/// How much the soft constraints count against the fitness calculator, in hundredths.
const SOFT_WEIGHT: f64 = 50.0;
/// How much the named sets of a host count, in hundredths.
const SETS_WEIGHT: f64 = 15.0;
/// How much the fitness calculator counts, in hundredths.
const CALCULATOR_WEIGHT: f64 = 35.0;

/// A fitness calculator.
///
/// Packers and spreaders see a host as the scheduler does: what is used is what its running tasks and those
/// placed in this run take, what is there is what is offered plus what its running tasks take.
#[derive(Clone, Default)]
pub enum Fitness {
    /// Every host is equally good: the first that fits, by name.
    #[default]
    Any,
    /// Fuller is better: the mean over the measures of used / total, the task included. A measure of which a
    /// host has nothing counts as 0.
    Pack(Vec<Measure>),
    /// Emptier is better: the mean over the measures of 1 - used / total, the task included.
    Spread(Vec<Measure>),
    /// Fuller is better: used / total of a named scalar, the task included; 0 where a host has none of it.
    PackScalar(String),
    /// Emptier is better: 1 - used / total of a named scalar, the task included.
    SpreadScalar(String),
    /// The mean of others by weight.
    Weighted(Vec<(u32, Fitness)>),
    /// By what is left of the devices of one kind: see [`Fitness::expected_waste`].
    Devices(DevicePacking),
    /// A closure.
    Custom(CustomFitness),
}

impl Fitness {
    /// Packs by cpus.
    #[must_use]
    pub fn cpu_packer() -> Self {
        Self::Pack(vec![Measure::Cpus])
    }

    /// Packs by memory.
    #[must_use]
    pub fn memory_packer() -> Self {
        Self::Pack(vec![Measure::Memory])
    }

    /// Packs by network bandwidth.
    #[must_use]
    pub fn network_packer() -> Self {
        Self::Pack(vec![Measure::Network])
    }

    /// Packs by the mean of cpus and memory.
    #[must_use]
    pub fn cpu_memory_packer() -> Self {
        Self::Pack(vec![Measure::Cpus, Measure::Memory])
    }

    /// Packs by the mean of cpus, memory and network bandwidth.
    #[must_use]
    pub fn cpu_memory_network_packer() -> Self {
        Self::Pack(vec![Measure::Cpus, Measure::Memory, Measure::Network])
    }

    /// Spreads by cpus.
    #[must_use]
    pub fn cpu_spreader() -> Self {
        Self::Spread(vec![Measure::Cpus])
    }

    /// Spreads by memory.
    #[must_use]
    pub fn memory_spreader() -> Self {
        Self::Spread(vec![Measure::Memory])
    }

    /// Spreads by network bandwidth.
    #[must_use]
    pub fn network_spreader() -> Self {
        Self::Spread(vec![Measure::Network])
    }

    /// Spreads by the mean of cpus and memory.
    #[must_use]
    pub fn cpu_memory_spreader() -> Self {
        Self::Spread(vec![Measure::Cpus, Measure::Memory])
    }

    /// Packs by a named scalar ("gpus", a licence). Scalars are in no order that is kept from run to run: hosts are
    /// asked about one by one, once for each class and again when they change.
    #[must_use]
    pub fn scalar_packer(name: impl Into<String>) -> Self {
        Self::PackScalar(name.into())
    }

    /// Spreads by a named scalar, at the same cost.
    #[must_use]
    pub fn scalar_spreader(name: impl Into<String>) -> Self {
        Self::SpreadScalar(name.into())
    }

    /// Best fit for cpus and devices of a kind: the less is left of both, the better, in hundredths of what the
    /// largest host has. A part is taken of the device with the least room.
    #[must_use]
    pub fn best_fit_devices(kind: impl Into<DeviceKind>, most_cpus: Milli, most: u32) -> Self {
        Self::Devices(DevicePacking::best_fit(kind.into(), most_cpus, most))
    }

    /// Fragmentation Gradient Descent, as published by Weng et al. ("Beware of Fragmentation: Scheduling
    /// GPU-Sharing Workloads with Fragmentation Gradient Descent", USENIX ATC 2023): the host and device whose
    /// fragmentation grows least, by the most frequent demands that make up 95 % of the mix. [`Weighted`] with
    /// others, it decides the device as well.
    ///
    /// [`Weighted`]: Fitness::Weighted
    #[must_use]
    pub fn fragmentation(mix: &DeviceMix) -> Self {
        Self::Devices(DevicePacking::fragmentation(&mix.most_frequent(95)))
    }

    /// The host and device on which least is expected to stay unused for ever, if tasks keep coming as the mix
    /// has them. Better than [`Fitness::fragmentation`] on every trace that we measured; the formula is in
    /// docs/comparisons.md.
    #[must_use]
    pub fn expected_waste(mix: &DeviceMix) -> Self {
        Self::Devices(DevicePacking::waste(mix))
    }

    /// A closure that scores a host from 0 to 1. It must depend on nothing but its two arguments; what it
    /// returns is brought into 0 ..= 1. Where it panics or gives not-a-number, the host is refused to the task:
    /// who cannot be judged is not used.
    pub fn custom<F>(score: F) -> Self
    where
        F: Fn(&TaskClass, &HostView<'_>) -> f64 + Send + Sync + 'static,
    {
        Self::Custom(CustomFitness(Arc::new(score)))
    }

    /// What is wrong with it, if anything: a mean over nothing.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        match self {
            Self::Any | Self::Custom(_) | Self::Devices(_) => None,
            Self::PackScalar(name) | Self::SpreadScalar(name) => {
                name.is_empty().then_some("a packer or spreader by a scalar needs its name")
            }
            Self::Pack(measures) | Self::Spread(measures) => {
                measures.is_empty().then_some("a packer or spreader needs at least one measure")
            }
            Self::Weighted(parts) => {
                let total: u64 = parts.iter().map(|(weight, _)| u64::from(*weight)).sum();
                if total == 0 {
                    return Some("the weights of a weighted fitness must not all be zero");
                }
                parts.iter().find_map(|(_, part)| part.problem())
            }
        }
    }

    /// Whether a closure has a say.
    pub(crate) fn has_closure(&self) -> bool {
        match self {
            Self::Custom(_) => true,
            Self::Weighted(parts) => parts.iter().any(|(_, part)| part.has_closure()),
            Self::Any
            | Self::Pack(_)
            | Self::Spread(_)
            | Self::PackScalar(_)
            | Self::SpreadScalar(_)
            | Self::Devices(_) => false,
        }
    }

    /// The weights by which hosts of equal totals sort for every task alike, by the sum of weight * used /
    /// total; `None` if a closure, devices or named scalars decide.
    pub(crate) fn weights(&self) -> Option<[f64; 4]> {
        let mean = |measures: &[Measure], sign: f64| {
            let mut weights = [0.0; 4];
            for measure in measures {
                weights[*measure as usize] += sign / float(measures.len() as u64);
            }
            weights
        };
        match self {
            Self::Any => Some([0.0; 4]),
            Self::Pack(measures) => Some(mean(measures, 1.0)),
            Self::Spread(measures) => Some(mean(measures, -1.0)),
            Self::Weighted(parts) => {
                let total: f64 = parts.iter().map(|(weight, _)| f64::from(*weight)).sum();
                let mut weights = [0.0; 4];
                for (weight, part) in parts {
                    for (sum, of) in weights.iter_mut().zip(part.weights()?) {
                        *sum += f64::from(*weight) / total * of;
                    }
                }
                Some(weights)
            }
            Self::PackScalar(_) | Self::SpreadScalar(_) | Self::Devices(_) | Self::Custom(_) => {
                None
            }
        }
    }

    /// The device of a host that a task of `class` gets part of; `None` leaves it to the one with the least
    /// room.
    pub(crate) fn choose_device(
        &self,
        class: &TaskClass,
        host: &HostView<'_>,
        kind: &DeviceKind,
    ) -> Option<usize> {
        match self {
            Self::Devices(packing) if packing.kind() == kind => packing.look(class, host).1,
            Self::Weighted(parts) => {
                parts.iter().find_map(|(_, part)| part.choose_device(class, host, kind))
            }
            Self::Any
            | Self::Pack(_)
            | Self::Spread(_)
            | Self::PackScalar(_)
            | Self::SpreadScalar(_)
            | Self::Devices(_)
            | Self::Custom(_) => None,
        }
    }

    /// The fitness of a host for a task of `class`, from 0 to 1.
    pub(crate) fn score(&self, class: &TaskClass, demand: &[u64; 4], host: &HostView<'_>) -> f64 {
        let mean = |measures: &[Measure], of: fn(f64) -> f64| {
            let mut sum = 0.0;
            for measure in measures {
                sum += of(host.used_ratio(*measure, demand[*measure as usize]));
            }
            sum / float(measures.len() as u64)
        };
        let scalar = |name: &String| {
            let more = class.demand.scalars.get(name).map_or(0, |amount| amount.thousandths());
            host.used_scalar_ratio(name, more)
        };
        match self {
            Self::Any => 1.0,
            Self::PackScalar(name) => scalar(name),
            Self::SpreadScalar(name) => 1.0 - scalar(name),
            Self::Pack(measures) => mean(measures, |used| used),
            Self::Spread(measures) => mean(measures, |used| 1.0 - used),
            Self::Weighted(parts) => {
                let (mut sum, mut weights) = (0.0, 0.0);
                for (weight, part) in parts {
                    sum += f64::from(*weight) * part.score(class, demand, host);
                    weights += f64::from(*weight);
                }
                sum / weights
            }
            Self::Devices(packing) => packing.look(class, host).0,
            Self::Custom(custom) => judged(&*custom.0, class, host),
        }
    }
}

impl fmt::Debug for Fitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("Any"),
            Self::Pack(measures) => f.debug_tuple("Pack").field(measures).finish(),
            Self::Spread(measures) => f.debug_tuple("Spread").field(measures).finish(),
            Self::PackScalar(name) => f.debug_tuple("PackScalar").field(name).finish(),
            Self::SpreadScalar(name) => f.debug_tuple("SpreadScalar").field(name).finish(),
            Self::Weighted(parts) => f.debug_tuple("Weighted").field(parts).finish(),
            Self::Devices(packing) => f.debug_tuple("Devices").field(packing).finish(),
            Self::Custom(_) => f.write_str("Custom"),
        }
    }
}

/// A fitness calculator given as a closure: see [`Fitness::custom`].
#[derive(Clone)]
pub struct CustomFitness(Arc<Scorer>);

/// How the parts of a score become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Combination {
    /// From 0 to 1: 50 parts soft constraints, if the task has any, 15 parts named sets, if the host has any,
    /// and 35 parts calculator. A host of fitness 0 is used if there is no better one.
    #[default]
    Whole,
    /// As Netflix Fenzo 1.x has it: 15 of 100 parts belong to resource sets even on hosts that have none, so
    /// that nothing scores above 0.85, and a calculator that says 0 refuses the host.
    Fenzo1,
}

/// How well a host suits a task, part by part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// What the fitness calculator says, from 0 to 1.
    pub calculator: f64,
    /// The mean of the soft constraints by weight, from 0 to 1; 1 for a task that has none.
    pub soft: f64,
    /// How well the host's named sets serve the task, from 0 to 1; 0 for a host that has none.
    pub sets: f64,
    /// Both together, by the scheduler's [`Combination`]. The good-enough threshold is compared with this.
    pub combined: f64,
}

impl Score {
    pub(crate) fn new(
        calculator: f64,
        soft: Option<f64>,
        sets: Option<f64>,
        combination: Combination,
    ) -> Self {
        let mut score = Self {
            calculator,
            soft: soft.unwrap_or(1.0),
            sets: sets.unwrap_or(0.0),
            combined: 0.0,
        };
        score.combined = match (combination, soft, sets) {
            (Combination::Fenzo1, ..) => score.rank(),
            (Combination::Whole, None, None) => calculator,
            (Combination::Whole, ..) => {
                let (mut sum, mut weights) = (calculator * CALCULATOR_WEIGHT, CALCULATOR_WEIGHT);
                for (part, weight) in [(soft, SOFT_WEIGHT), (sets, SETS_WEIGHT)] {
                    if let Some(part) = part {
                        (sum, weights) = (sum + part * weight, weights + weight);
                    }
                }
                sum / weights
            }
        };
        score
    }

    /// The calculator with which these parts come to this rank, less what rounding may take off.
    pub(crate) fn calculator_for(rank: f64, soft: Option<f64>, sets: f64) -> f64 {
        let wished = sets * SETS_WEIGHT + soft.unwrap_or(1.0) * SOFT_WEIGHT;
        (rank * 100.0 - wished) / CALCULATOR_WEIGHT - SLACK
    }

    /// What hosts are ranked by. The expression is Fenzo's, to the last bit, so that hosts tie here exactly
    /// if they tie there: 15 of the 100 parts are those of named sets, whether or not a host has any.
    pub(crate) fn rank(&self) -> f64 {
        let wished = self.sets * SETS_WEIGHT + self.soft * SOFT_WEIGHT;
        (wished + self.calculator * CALCULATOR_WEIGHT) / 100.0
    }
}

/// An integer as floating point, for scores only.
#[allow(clippy::cast_precision_loss, reason = "scores need no more than 53 bits")]
pub(crate) fn float(number: u64) -> f64 {
    number as f64
}
