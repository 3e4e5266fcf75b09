//! Points in time and amounts of resources, both as integers.
//!
//! Integers make sums exact and `==` honest: ten times 0.1 cpu is one cpu. Nothing here reads a clock, and
//! nothing here wraps around: what would overflow stays at the largest value.

use std::fmt;
use std::time::Duration;

/// A point in time, in nanoseconds since whatever moment the caller counts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The moment the caller counts from.
    pub const ZERO: Self = Self(0);

    /// The moment `nanos` nanoseconds after [`Time::ZERO`].
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The moment `secs` seconds after [`Time::ZERO`], or the last moment there is.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since [`Time::ZERO`].
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment `length` later, or the last moment there is.
    #[must_use]
    pub fn saturating_add(self, length: Duration) -> Self {
        let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

/// An amount in thousandths: of a cpu, of a MB, of a Mbps, of a named scalar.
///
/// ```
/// use fenzo::Milli;
/// assert_eq!(Milli::from_thousandths(1500).to_string(), "1.5");
/// assert_eq!(Milli::whole(4), Milli::from_thousandths(4000));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Milli(u64);

impl Milli {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// This many thousandths.
    #[must_use]
    pub const fn from_thousandths(thousandths: u64) -> Self {
        Self(thousandths)
    }

    /// This many whole units, or the largest amount there is.
    #[must_use]
    pub const fn whole(units: u64) -> Self {
        Self(units.saturating_mul(1000))
    }

    /// The amount in thousandths.
    #[must_use]
    pub const fn thousandths(self) -> u64 {
        self.0
    }

    /// The sum, or the largest amount there is.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or nothing.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Milli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 1000, self.0 % 1000);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{rest:03}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}
