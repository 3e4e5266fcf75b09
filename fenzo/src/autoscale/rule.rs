//! What is to be kept of a group of hosts, and what has been done about it so far.

use std::time::Duration;

use crate::attribute::AttributeValue;
use crate::lease::Lease;
use crate::quantity::Time;
use crate::resources::Resources;

/// However long the cool-down is, a new rule acts after this time.
const FIRST_COOL_DOWN: Duration = Duration::from_secs(120);

/// How many hosts of a group to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleRule {
    /// The group: a value of the autoscaler's attribute.
    pub group: AttributeValue,
    /// With fewer idle hosts than this, hosts are added; at least 1.
    pub min_idle: u32,
    /// With more idle hosts than this, hosts are removed.
    pub max_idle: u32,
    /// The group is not made smaller than this.
    pub min_size: u32,
    /// The group is not made larger than this.
    pub max_size: u32,
    /// How long after an action the next one waits. A shortfall does not wait.
    pub cool_down: Duration,
    /// An idle host with less of anything than this does not count as one.
    pub least_idle: Resources,
    /// Of every so many hosts that tasks lack, one is asked for; at least 1 counts.
    pub tasks_per_host: u32,
    /// What a new host offers, for a group that has none to learn it from.
    pub template: Option<Lease>,
}

impl ScaleRule {
    /// A rule without limits of size and without cool-down.
    pub fn new(group: impl Into<AttributeValue>, min_idle: u32, max_idle: u32) -> Self {
        Self {
            group: group.into(),
            min_idle,
            max_idle,
            min_size: 0,
            max_size: u32::MAX,
            cool_down: Duration::ZERO,
            least_idle: Resources::default(),
            tasks_per_host: 1,
            template: None,
        }
    }

    /// The same for a group whose new hosts offer this, which matters while it has none.
    #[must_use]
    pub fn with_template(mut self, lease: Lease) -> Self {
        self.template = Some(lease);
        self
    }

    /// The same with limits of the group's size.
    #[must_use]
    pub fn with_sizes(mut self, min_size: u32, max_size: u32) -> Self {
        (self.min_size, self.max_size) = (min_size, max_size);
        self
    }

    /// The same with a cool-down.
    #[must_use]
    pub fn with_cool_down(mut self, cool_down: Duration) -> Self {
        self.cool_down = cool_down;
        self
    }

    pub(super) fn problem(&self) -> Option<&'static str> {
        if self.min_idle < 1 {
            return Some("the least number of idle hosts must be 1 or more");
        }
        if self.min_idle > self.max_idle {
            return Some("the least number of idle hosts is above the greatest");
        }
        (self.min_size > self.max_size).then_some("the least size is above the greatest")
    }

    pub(super) fn counts_as_idle(&self, offered: &Resources) -> bool {
        offered.covers(&self.least_idle)
    }
}

/// A rule with its clock.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) rule: ScaleRule,
    /// Until when actions wait.
    pub(super) cool_until: Time,
    pub(super) too_few: Breach,
    pub(super) too_many: Breach,
    /// Until when hosts stay that are not active, and since when there are some.
    pub(super) inactive_until: Time,
    pub(super) inactive: Breach,
}

impl Watched {
    pub(super) fn new(rule: ScaleRule, now: Time) -> Self {
        let cool_until = now.saturating_add(rule.cool_down.min(FIRST_COOL_DOWN));
        Self {
            rule,
            cool_until,
            too_few: Breach::default(),
            too_many: Breach::default(),
            inactive_until: cool_until,
            inactive: Breach::default(),
        }
    }

    pub(super) fn removed_inactive(&mut self, now: Time) {
        self.inactive_until = now.saturating_add(self.rule.cool_down);
        self.inactive = Breach::default();
    }

    pub(super) fn acted(&mut self, now: Time) {
        self.cool_until = now.saturating_add(self.rule.cool_down);
        (self.too_few, self.too_many) = (Breach::default(), Breach::default());
    }
}

/// Since when something has been so.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Breach(Option<Time>);

impl Breach {
    /// Whether it has been so for a time, now that it is or is not.
    pub(super) fn has_lasted(&mut self, so: bool, now: Time, delay: Duration) -> bool {
        self.0 = so.then_some(self.0.unwrap_or(now));
        self.0.is_some_and(|since| since.saturating_add(delay) <= now)
    }
}
