//! What kinds of tasks come, and how often: what the fitnesses for devices learn from.
//!
//! It is a plain count. Who knows the workload beforehand counts that; who does not counts the tasks that have
//! come so far. It must never look at a task's name or group: only at what it demands.

use std::collections::{BTreeMap, BTreeSet};

use crate::device::{Amount, WHOLE};
use crate::id::{DeviceKind, DeviceModel};
use crate::request::TaskClass;

/// How often tasks demand what of the cpus and of the devices of one kind.
///
/// ```
/// use fenzo::{DeviceMix, DeviceRequest, Fitness, Resources, TaskClass, TaskScheduler};
/// let whole = TaskClass::new("train", Resources::cpus_mem(8, 0)).with_devices("gpu", DeviceRequest::whole(1));
/// let mut mix = DeviceMix::new("gpu");
/// mix.add(&whole, 40);
/// let scheduler = TaskScheduler::builder().fitness(Fitness::expected_waste(&mix)).build()?;
/// # Ok::<(), fenzo::BuildError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceMix {
    kind: DeviceKind,
    demands: BTreeMap<TypicalDemand, u64>,
}

/// What a task demands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TypicalDemand {
    /// Thousandths of a cpu.
    pub(crate) cpus: u64,
    /// Thousandths of each device.
    pub(crate) share: u16,
    /// How many devices; 0 with a share of 0.
    pub(crate) devices: u32,
    /// The models that would do; any, if there are none.
    pub(crate) models: BTreeSet<DeviceModel>,
}

impl DeviceMix {
    /// Of devices of this kind, and without any tasks.
    pub fn new(kind: impl Into<DeviceKind>) -> Self {
        Self { kind: kind.into(), demands: BTreeMap::new() }
    }

    /// The kind of the devices.
    #[must_use]
    pub const fn kind(&self) -> &DeviceKind {
        &self.kind
    }

    /// Counts `times` tasks of a class. Tasks without devices count as well.
    pub fn add(&mut self, class: &TaskClass, times: u64) {
        let cpus = class.demand.cpus.thousandths();
        let request = class.devices.get(&self.kind);
        let (share, devices) = match request.map(crate::DeviceRequest::amount) {
            None | Some(Amount::Whole(0)) => (0, 0),
            Some(Amount::Whole(count)) => (WHOLE, count),
            Some(Amount::Part(share)) => (share, 1),
        };
        let models = request.map(|request| request.models().clone()).unwrap_or_default();
        let count = self.demands.entry(TypicalDemand { cpus, share, devices, models }).or_default();
        *count = count.saturating_add(times);
    }

    /// The most frequent demands, as many as make up this many hundredths of all tasks.
    #[must_use]
    pub fn most_frequent(&self, percent: u32) -> Self {
        let all: u128 = self.demands.values().map(|count| u128::from(*count)).sum();
        let mut by_count: Vec<(&TypicalDemand, u64)> =
            self.demands.iter().map(|(demand, count)| (demand, *count)).collect();
        by_count.sort_by(|a, b| b.1.cmp(&a.1).then(b.0.cmp(a.0)));
        let (mut sum, mut demands) = (0, BTreeMap::new());
        for (demand, count) in by_count {
            if sum * 100 >= all * u128::from(percent) {
                break;
            }
            sum += u128::from(count);
            demands.insert(demand.clone(), count);
        }
        Self { kind: self.kind.clone(), demands }
    }

    /// Every demand with how often it came.
    pub(crate) fn demands(&self) -> impl Iterator<Item = (&TypicalDemand, u64)> + Clone {
        self.demands.iter().map(|(demand, count)| (demand, *count))
    }

    /// The models that demands name.
    pub(crate) fn models(&self) -> BTreeSet<&DeviceModel> {
        self.demands.keys().flat_map(|demand| &demand.models).collect()
    }
}

impl TypicalDemand {
    /// Whether a device of this model may serve it; no model is one that nobody names.
    pub(crate) fn accepts(&self, model: Option<&DeviceModel>) -> bool {
        self.models.is_empty() || model.is_some_and(|model| self.models.contains(model))
    }
}

/// Something for each model that a mix names, and for all other models.
pub(crate) struct ByModel<T> {
    named: BTreeMap<DeviceModel, T>,
    other: T,
}

impl<T> ByModel<T> {
    pub(crate) fn new(mix: &DeviceMix, make: impl Fn(Option<&DeviceModel>) -> T) -> Self {
        let named = mix.models().into_iter().map(|model| (model.clone(), make(Some(model))));
        Self { named: named.collect(), other: make(None) }
    }

    pub(crate) fn of(&self, model: Option<&DeviceModel>) -> &T {
        model.and_then(|model| self.named.get(model)).unwrap_or(&self.other)
    }
}
