//! Times and intervals: nanoseconds in messages of their own, or seconds in doubles.

use super::{present, w};
use crate::{DecodeError, Time, error};
use std::time::Duration;

impl From<Time> for w::TimeInfo {
    fn from(time: Time) -> Self {
        Self { nanoseconds: Some(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)) }
    }
}

impl TryFrom<w::TimeInfo> for Time {
    type Error = DecodeError;
    fn try_from(info: w::TimeInfo) -> Result<Self, DecodeError> {
        Ok(Self::from_nanos(nanoseconds(info.nanoseconds)?))
    }
}

impl From<Duration> for w::DurationInfo {
    fn from(duration: Duration) -> Self {
        Self { nanoseconds: Some(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)) }
    }
}

impl TryFrom<w::DurationInfo> for Duration {
    type Error = DecodeError;
    fn try_from(info: w::DurationInfo) -> Result<Self, DecodeError> {
        Ok(Self::from_nanos(nanoseconds(info.nanoseconds)?))
    }
}

impl From<Duration> for w::master::Seconds {
    fn from(duration: Duration) -> Self {
        Self {
            seconds: Some(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)),
            nanos: Some(duration.subsec_nanos().cast_signed()),
        }
    }
}

impl TryFrom<w::master::Seconds> for Duration {
    type Error = DecodeError;
    fn try_from(wire: w::master::Seconds) -> Result<Self, DecodeError> {
        let (seconds, nanos) = (wire.seconds.unwrap_or(0), wire.nanos.unwrap_or(0));
        match (u64::try_from(seconds), u32::try_from(nanos)) {
            (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => Ok(Self::new(seconds, nanos)),
            _ => {
                let problem = format!("must not be negative, is {seconds} s and {nanos} ns");
                Err(DecodeError::new("", problem))
            }
        }
    }
}

fn nanoseconds(value: Option<i64>) -> Result<u64, DecodeError> {
    let value = present(value, "nanoseconds")?;
    u64::try_from(value)
        .map_err(|_| DecodeError::new("nanoseconds", format!("must not be negative, is {value}")))
}

/// An interval in seconds, to whole microseconds.
pub(super) fn interval(seconds: f64, field: &str) -> Result<Duration, DecodeError> {
    // Mesos keeps intervals in 63 bits of nanoseconds: 292 years.
    const MOST: f64 = 9_223_372_036.0;
    if !seconds.is_finite() || !(0.0..=MOST).contains(&seconds) {
        let seconds = error::number(seconds);
        let problem = format!("must be a number of seconds from 0 to {MOST}, is {seconds}");
        return Err(DecodeError::new(field, problem));
    }
    // In range, so the casts are exact. Beyond 127 years a double tells milliseconds only.
    Ok(if seconds < 4e9 {
        Duration::from_micros((seconds * 1e6).round() as u64)
    } else {
        Duration::from_millis((seconds * 1e3).round() as u64)
    })
}

/// Nanoseconds as 64 bits hold them.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
