//! When a trigger fires: by the calendar, or in equal steps of time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, FixedOffset, TimeZone, Utc};

use crate::quantity::Time;

use super::TriggerError;

/// When a trigger fires.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// By the calendar.
    Cron(Cron),
    /// In equal steps.
    Every(Interval),
}

impl Schedule {
    /// The first time after another.
    #[must_use]
    pub fn next_after(&self, after: Time) -> Option<Time> {
        match self {
            Self::Cron(cron) => cron.next_after(after),
            Self::Every(interval) => interval.next_after(after),
        }
    }
}

/// A cron expression: minute, hour, day of month, month, day of week, with seconds in front if there are six
/// fields; or a word such as `@daily`.
///
/// It speaks of the calendar of UTC, if nothing else is said; of one at a fixed distance from it
/// ([`Cron::at_offset`]); or, with the feature `time-zones`, of that of a named time zone (`Cron::in_zone`).
#[derive(Clone)]
pub struct Cron {
    text: String,
    cron: Arc<croner::Cron>,
    zone: Zone,
}

/// Whose calendar it is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Zone {
    /// Seconds ahead of UTC.
    Offset(i32),
    #[cfg(feature = "time-zones")]
    Named(chrono_tz::Tz),
}

fn read(text: &str) -> Result<croner::Cron, TriggerError> {
    let parser =
        croner::parser::CronParser::builder().seconds(croner::parser::Seconds::Optional).build();
    parser.parse(text).map_err(|error| TriggerError::Cron(error.to_string()))
}

/// Whether a field of seconds means each of them.
fn is_every_second(field: &str) -> bool {
    let Ok(cron) = read(&format!("{field} * * * * *")) else { return false };
    let mut at = DateTime::UNIX_EPOCH;
    (0..60).all(|_| {
        let next = cron.find_next_occurrence(&at, false).ok();
        let after_one = next.is_some_and(|next| next.timestamp() == at.timestamp() + 1);
        at = next.unwrap_or(at);
        after_one
    })
}

impl Cron {
    /// Reads an expression.
    ///
    /// # Errors
    /// If it is none; or if its field of seconds names them all, as `*` does: that is surely a mistake.
    pub fn parse(text: &str) -> Result<Self, TriggerError> {
        let cron = read(text)?;
        let fields: Vec<&str> = text.split_whitespace().collect();
        if fields.len() >= 6 && is_every_second(fields[0]) {
            return Err(TriggerError::Cron("it would fire every second".to_owned()));
        }
        Ok(Self { text: text.to_owned(), cron: Arc::new(cron), zone: Zone::Offset(0) })
    }

    /// The same for a calendar that is so many seconds ahead of UTC (behind, if negative), in summer and winter.
    ///
    /// # Errors
    /// If it is a day or more.
    pub fn at_offset(mut self, secs: i32) -> Result<Self, TriggerError> {
        if FixedOffset::east_opt(secs).is_none() {
            return Err(TriggerError::Cron("an offset from UTC is less than a day".to_owned()));
        }
        self.zone = Zone::Offset(secs);
        Ok(self)
    }

    /// The same for the calendar of a time zone ("Europe/Berlin"), which follows daylight saving.
    ///
    /// What falls into the hour that is left out in spring happens when that hour is over; what falls into the
    /// hour that comes twice in autumn happens once, unless it happens every hour or more often.
    ///
    /// # Errors
    /// If there is no such zone.
    #[cfg(feature = "time-zones")]
    pub fn in_zone(mut self, name: &str) -> Result<Self, TriggerError> {
        let unknown = |_| TriggerError::Zone(name.to_owned());
        self.zone = Zone::Named(name.parse().map_err(unknown)?);
        Ok(self)
    }

    /// The first time after another, within the years that can be told.
    #[must_use]
    pub fn next_after(&self, after: Time) -> Option<Time> {
        let secs = i64::try_from(after.as_nanos() / 1_000_000_000).ok()?;
        let utc = DateTime::from_timestamp(secs, 0)?;
        let next = match self.zone {
            Zone::Offset(secs) => self.next_in(utc, &FixedOffset::east_opt(secs)?),
            #[cfg(feature = "time-zones")]
            Zone::Named(zone) => self.next_in(utc, &zone),
        }?;
        let nanos = u64::try_from(next).ok()?.checked_mul(1_000_000_000)?;
        Some(Time::from_nanos(nanos)).filter(|next| *next > after)
    }

    fn next_in<Z: TimeZone>(&self, after: DateTime<Utc>, zone: &Z) -> Option<i64> {
        let local = after.with_timezone(zone);
        self.cron.find_next_occurrence(&local, false).ok().map(|next| next.timestamp())
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.zone) == (&other.text, other.zone)
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cron").field(&self.text).field(&self.zone).finish()
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Equal steps of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    start: Time,
    every: Duration,
    times: Option<u64>,
}

impl Interval {
    /// Fires at `start` and then after each step, for ever.
    ///
    /// # Errors
    /// If a step is nothing.
    pub fn new(start: Time, every: Duration) -> Result<Self, TriggerError> {
        if every.is_zero() {
            return Err(TriggerError::Interval("a step must be longer than nothing"));
        }
        Ok(Self { start, every, times: None })
    }

    /// The same, so many times in all.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Reads `2026-11-21T08:00:00Z/PT1H30M`: a start and a step, as ISO 8601 has it.
    ///
    /// # Errors
    /// If it is none. Steps are of days, hours, minutes and seconds: months and years are not equal steps.
    pub fn parse(text: &str) -> Result<Self, TriggerError> {
        let (start, step) = text
            .split_once('/')
            .ok_or(TriggerError::Interval("it wants a start, '/' and a step"))?;
        let start = DateTime::parse_from_rfc3339(start)
            .ok()
            .and_then(|start| u64::try_from(start.timestamp()).ok());
        let start = start.ok_or(TriggerError::Interval("the start is no time since 1970"))?;
        let step = step_of(step).ok_or(TriggerError::Interval("the step is not as in PT1H30M"))?;
        Self::new(Time::from_secs(start), step)
    }

    /// The first time after another.
    #[must_use]
    pub fn next_after(&self, after: Time) -> Option<Time> {
        let every = u64::try_from(self.every.as_nanos()).unwrap_or(u64::MAX);
        let step = match after.as_nanos().checked_sub(self.start.as_nanos()) {
            None => 0,
            Some(passed) => passed / every + 1,
        };
        if self.times.is_some_and(|times| step >= times) {
            return None;
        }
        let nanos = every.checked_mul(step)?.checked_add(self.start.as_nanos())?;
        Some(Time::from_nanos(nanos))
    }
}

/// `P1DT2H3M4S` in parts that may be missing.
fn step_of(text: &str) -> Option<Duration> {
    let (days, times) = match text.strip_prefix('P')?.split_once('T') {
        Some((days, times)) => (days, times),
        None => (text.strip_prefix('P')?, ""),
    };
    let mut secs: u64 = 0;
    let units = [(days, &[('D', 86_400)][..]), (times, &[('H', 3600), ('M', 60), ('S', 1)][..])];
    for (mut rest, units) in units {
        let mut units = units.iter();
        while !rest.is_empty() {
            let end = rest.find(|of: char| !of.is_ascii_digit())?;
            let (number, unit) = rest.split_at(end);
            let unit = unit.chars().next()?;
            // Units come in this order, each at most once.
            let (_, length) = units.find(|(name, _)| *name == unit)?;
            secs = secs.checked_add(number.parse::<u64>().ok()?.checked_mul(*length)?)?;
            rest = &rest[end + 1..];
        }
    }
    (secs > 0).then(|| Duration::from_secs(secs))
}
