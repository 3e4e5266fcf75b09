//! Discrete devices: GPUs, licences and the like, which a host has one by one and a task gets by id.
//!
//! A quantity says how many gpus are free; a device says which, of what model, and how much of it. A request
//! for whole devices gets devices that nobody else uses; a request for a part shares one device with others,
//! never more than the whole of it. This is plain data: what a device does is its owner's business.

use std::collections::BTreeSet;
use std::fmt;

use crate::id::{DeviceId, DeviceKind, DeviceModel};
use crate::quantity::Milli;

/// The whole of a device, in thousandths.
pub(crate) const WHOLE: u16 = 1000;

/// A device of a host, with the share of it that is on offer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// What it is ("gpu"): requests ask by this.
    pub kind: DeviceKind,
    /// Which of its kind on this host.
    pub id: DeviceId,
    /// Its model, which requests may name; empty if it has none.
    pub model: DeviceModel,
    /// The share that is free, at most one whole; what is beyond counts for nothing.
    pub free: Milli,
}

impl Device {
    /// A device that is free as a whole.
    pub fn new(
        kind: impl Into<DeviceKind>,
        id: impl Into<DeviceId>,
        model: impl Into<DeviceModel>,
    ) -> Self {
        Self { kind: kind.into(), id: id.into(), model: model.into(), free: Milli::whole(1) }
    }

    /// The same with another share free.
    #[must_use]
    pub fn with_free(mut self, free: Milli) -> Self {
        self.free = free;
        self
    }
}

/// What a task wants of the devices of one kind: so many whole ones, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceRequest {
    amount: Amount,
    models: BTreeSet<DeviceModel>,
}

/// How much of the devices of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Amount {
    /// So many devices that nobody else uses.
    Whole(u32),
    /// Thousandths of one device, from 1 to 999.
    Part(u16),
}

impl DeviceRequest {
    /// So many whole devices, of any model.
    #[must_use]
    pub const fn whole(count: u32) -> Self {
        Self { amount: Amount::Whole(count), models: BTreeSet::new() }
    }

    /// A part of one device, of any model; `None` unless it is more than nothing and less than the whole.
    ///
    /// ```
    /// use fenzo::{DeviceRequest, Milli};
    /// assert!(DeviceRequest::part(Milli::from_thousandths(500)).is_some());
    /// assert!(DeviceRequest::part(Milli::whole(1)).is_none());
    /// ```
    #[must_use]
    pub fn part(share: Milli) -> Option<Self> {
        let share = u16::try_from(share.thousandths()).ok()?;
        let amount = (0 < share && share < WHOLE).then_some(Amount::Part(share))?;
        Some(Self { amount, models: BTreeSet::new() })
    }

    /// The same of devices of this model, or of one that was named before.
    #[must_use]
    pub fn with_model(mut self, model: impl Into<DeviceModel>) -> Self {
        self.models.insert(model.into());
        self
    }

    /// The models that may serve it; any, if there are none.
    #[must_use]
    pub const fn models(&self) -> &BTreeSet<DeviceModel> {
        &self.models
    }

    /// How many devices it takes or takes part of.
    #[must_use]
    pub const fn devices(&self) -> u32 {
        match self.amount {
            Amount::Whole(count) => count,
            Amount::Part(_) => 1,
        }
    }

    /// How much it takes of each of them.
    #[must_use]
    pub const fn share(&self) -> Milli {
        match self.amount {
            Amount::Whole(_) => Milli::whole(1),
            Amount::Part(share) => Milli::from_thousandths(share as u64),
        }
    }

    /// What it takes in all, in thousandths of a device.
    pub(crate) fn thousandths(&self) -> u64 {
        u64::from(self.devices()).saturating_mul(self.share().thousandths())
    }

    pub(crate) const fn amount(&self) -> Amount {
        self.amount
    }

    /// Whether devices of this model may serve it.
    pub(crate) fn accepts(&self, model: &DeviceModel) -> bool {
        self.models.is_empty() || self.models.contains(model)
    }
}

impl fmt::Display for DeviceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.amount {
            Amount::Whole(count) => write!(f, "{count} whole")?,
            Amount::Part(_) => write!(f, "{} of one", self.share())?,
        }
        for (position, model) in self.models.iter().enumerate() {
            let separator = if position == 0 { ", model " } else { " or " };
            write!(f, "{separator}{model}")?;
        }
        Ok(())
    }
}

/// What a task uses of one device of its host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceUse {
    /// The kind.
    pub kind: DeviceKind,
    /// The device.
    pub id: DeviceId,
    /// Its model.
    pub model: DeviceModel,
    /// The share of it, up to one whole.
    pub share: Milli,
}

impl DeviceUse {
    /// What is free when the task has ended.
    pub(crate) fn freed(&self) -> Device {
        let Self { kind, id, model, share } = self.clone();
        Device { kind, id, model, free: share }
    }
}
