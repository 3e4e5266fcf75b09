//! Triggers: things that are to happen at times that a cron expression or an interval gives.
//!
//! Nothing here reads a clock or calls back: the caller asks when the next one is due, and at that time which
//! ones are. Times count from the Unix epoch here, because cron expressions speak of the calendar. Triggers are
//! plain values; whoever wants to keep them over a restart keeps those that it registered.

mod schedule;

use std::collections::BTreeMap;
use std::fmt;

use crate::quantity::Time;
pub use schedule::{Cron, Interval, Schedule};

/// Something that is to happen from time to time. `D` is what the caller wants to be handed back.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger<D> {
    /// Its id, which no other has.
    pub id: String,
    /// The group it is listed under.
    pub group: String,
    /// When it fires; without one, only by hand.
    pub schedule: Option<Schedule>,
    /// It does not fire before.
    pub from: Time,
    /// It does not fire at or after this.
    pub until: Option<Time>,
    /// It does not fire by itself; by hand it does.
    pub disabled: bool,
    /// What the caller wants to know when it fires.
    pub data: D,
}

impl<D> Trigger<D> {
    /// A trigger that fires by a schedule, from now on for ever.
    pub fn new(
        id: impl Into<String>,
        group: impl Into<String>,
        schedule: Schedule,
        data: D,
    ) -> Self {
        Self {
            id: id.into(),
            group: group.into(),
            schedule: Some(schedule),
            from: Time::ZERO,
            until: None,
            disabled: false,
            data,
        }
    }

    /// When it fires next after a time, if it does.
    #[must_use]
    pub fn next_after(&self, after: Time) -> Option<Time> {
        let schedule = self.schedule.as_ref().filter(|_| !self.disabled)?;
        let just_before = Time::from_nanos(self.from.as_nanos().saturating_sub(1));
        let next = schedule.next_after(after.max(just_before))?;
        self.until.is_none_or(|until| next < until).then_some(next)
    }
}

/// What is wrong with a trigger; nothing is changed then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TriggerError {
    /// A trigger of this id is registered.
    Duplicate(String),
    /// The cron expression cannot be read; what is wrong with it.
    Cron(String),
    /// The interval cannot be read; what is wrong with it.
    Interval(&'static str),
    /// There is no time zone of this name.
    Zone(String),
}

impl fmt::Display for TriggerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate(id) => write!(f, "trigger {id} is registered already"),
            Self::Cron(problem) => write!(f, "cron expression: {problem}"),
            Self::Interval(problem) => write!(f, "interval: {problem}"),
            Self::Zone(name) => write!(f, "there is no time zone {name}"),
        }
    }
}

impl std::error::Error for TriggerError {}

struct Entry<D> {
    trigger: Trigger<D>,
    previous: Option<Time>,
    next: Option<Time>,
}

/// Registered triggers.
///
/// ```
/// use std::time::Duration;
/// use fenzo::{Cron, Interval, Schedule, Time, Trigger, Triggers};
///
/// let mut triggers = Triggers::new();
/// let noon = Schedule::Cron(Cron::parse("0 12 * * *")?);
/// let often = Schedule::Every(Interval::new(Time::from_secs(10), Duration::from_secs(5))?);
/// triggers.register(Time::ZERO, Trigger::new("report", "nightly", noon, "write it"))?;
/// triggers.register(Time::ZERO, Trigger::new("poll", "often", often, "look"))?;
/// assert_eq!(triggers.deadline(), Some(Time::from_secs(10)));
/// let due: Vec<_> = triggers.fire(Time::from_secs(10)).into_iter().map(|fired| fired.data).collect();
/// assert_eq!(due, [&"look"]);
/// assert_eq!(triggers.deadline(), Some(Time::from_secs(15)));
/// # Ok::<(), fenzo::TriggerError>(())
/// ```
pub struct Triggers<D> {
    by_id: BTreeMap<String, Entry<D>>,
}

/// A trigger that fired.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fired<'t, D> {
    /// Its id.
    pub id: &'t str,
    /// When it was due; if it was due several times since the last look, the first of them.
    pub due: Time,
    /// What its owner wants to know.
    pub data: &'t D,
}

impl<D> Default for Triggers<D> {
    fn default() -> Self {
        Self { by_id: BTreeMap::new() }
    }
}

impl<D: fmt::Debug> fmt::Debug for Triggers<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.by_id.values().map(|entry| &entry.trigger)).finish()
    }
}

impl<D> Triggers<D> {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a trigger; it fires after `now`.
    ///
    /// # Errors
    /// If one of its id is registered.
    pub fn register(&mut self, now: Time, trigger: Trigger<D>) -> Result<(), TriggerError> {
        if self.by_id.contains_key(&trigger.id) {
            return Err(TriggerError::Duplicate(trigger.id));
        }
        let next = trigger.next_after(now);
        self.by_id.insert(trigger.id.clone(), Entry { trigger, previous: None, next });
        Ok(())
    }

    /// A trigger.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Trigger<D>> {
        self.by_id.get(id).map(|entry| &entry.trigger)
    }

    /// All triggers, in order of id.
    pub fn iter(&self) -> impl Iterator<Item = &Trigger<D>> {
        self.by_id.values().map(|entry| &entry.trigger)
    }

    /// The triggers of a group, in order of id.
    pub fn in_group(&self, group: &str) -> impl Iterator<Item = &Trigger<D>> {
        self.iter().filter(move |trigger| trigger.group == group)
    }

    /// When a trigger fired last, and when it fires next.
    #[must_use]
    pub fn times(&self, id: &str) -> Option<(Option<Time>, Option<Time>)> {
        self.by_id.get(id).map(|entry| (entry.previous, entry.next))
    }

    /// Removes a trigger; gives it.
    pub fn remove(&mut self, id: &str) -> Option<Trigger<D>> {
        self.by_id.remove(id).map(|entry| entry.trigger)
    }

    /// Disables or enables a trigger. What it would have done meanwhile it does not do later. False if there is
    /// none of this id.
    pub fn set_disabled(&mut self, now: Time, id: &str, disabled: bool) -> bool {
        self.change(now, id, |trigger| trigger.disabled = disabled)
    }

    /// Gives a trigger another schedule, or none. False if there is none of this id.
    pub fn set_schedule(&mut self, now: Time, id: &str, schedule: Option<Schedule>) -> bool {
        self.change(now, id, |trigger| trigger.schedule = schedule)
    }

    fn change(&mut self, now: Time, id: &str, change: impl FnOnce(&mut Trigger<D>)) -> bool {
        let Some(entry) = self.by_id.get_mut(id) else { return false };
        change(&mut entry.trigger);
        entry.next = entry.trigger.next_after(now);
        true
    }

    /// When to call [`Triggers::fire`] next.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.by_id.values().filter_map(|entry| entry.next).min()
    }

    /// The triggers that are due, in order of time, then id. One that was due several times since it was last
    /// looked at fires once: what was missed is not made up for.
    pub fn fire(&mut self, now: Time) -> Vec<Fired<'_, D>> {
        let mut fired = Vec::new();
        for (id, entry) in &mut self.by_id {
            let Some(due) = entry.next.filter(|next| *next <= now) else { continue };
            entry.previous = Some(now);
            entry.next = entry.trigger.next_after(now);
            fired.push(Fired { id, due, data: &entry.trigger.data });
        }
        fired.sort_by_key(|fired| fired.due);
        fired
    }

    /// Fires a trigger by hand, whatever its schedule.
    pub fn execute(&mut self, now: Time, id: &str) -> Option<Fired<'_, D>> {
        let (id, entry) =
            self.by_id.get_key_value(id).map(|(id, _)| id.clone()).and_then(|id| {
                self.by_id.get_mut(&id).map(|entry| entry.previous = Some(now))?;
                self.by_id.get_key_value(&id)
            })?;
        Some(Fired { id, due: now, data: &entry.trigger.data })
    }
}
