//! Levels of a cluster's topology (host, rack, zone), named by the attributes of hosts.
//!
//! A place of a level is told by all levels above it: rack 1 of one zone is not rack 1 of another. A host that
//! lacks one of the attributes is at no place of that level.

use std::fmt;

use crate::attribute::HOSTNAME;

/// Stands between the attributes of a level, and between the values of a place: no text has it.
pub(crate) const BETWEEN: char = '\u{1f}';

/// A level: hosts, or what some attributes tell apart.
///
/// ```
/// use fenzo::Level;
/// assert_eq!(Level::attribute("zone").to_string(), "zone");
/// assert_eq!(Level::path(["zone", "rack"]).to_string(), "rack of zone");
/// assert_eq!(Level::host().to_string(), "host");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(Box<str>);

impl Level {
    /// Every host is a place of its own.
    #[must_use]
    pub fn host() -> Self {
        Self(HOSTNAME.into())
    }

    /// Hosts with the same value of an attribute are at one place.
    #[must_use]
    pub fn attribute(name: impl AsRef<str>) -> Self {
        Self(name.as_ref().into())
    }

    /// Hosts with the same values of all these attributes are at one place; from the top of the tree down.
    /// Without any, every host is a place of its own.
    #[must_use]
    pub fn path<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut path = String::new();
        for name in names {
            if !path.is_empty() {
                path.push(BETWEEN);
            }
            path.push_str(name);
        }
        if path.is_empty() { Self::host() } else { Self(path.into()) }
    }

    /// Whether every host is a place of its own.
    #[must_use]
    pub fn is_host(&self) -> bool {
        *self.0 == *HOSTNAME
    }

    /// The name of its column.
    pub(crate) fn column(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_host() {
            return f.write_str("host");
        }
        for (position, name) in self.0.rsplit(BETWEEN).enumerate() {
            let of = if position == 0 { "" } else { " of " };
            write!(f, "{of}{name}")?;
        }
        Ok(())
    }
}

/// The levels of a cluster as a tree: zones have racks, racks have hosts.
///
/// ```
/// use fenzo::{Level, Topology};
/// let topology = Topology::new(["zone", "rack"]);
/// assert_eq!(topology.level("rack"), Some(Level::path(["zone", "rack"])));
/// assert_eq!(topology.level("zone"), Some(Level::attribute("zone")));
/// assert_eq!(topology.level("row"), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology(Vec<String>);

impl Topology {
    /// The attributes that name the levels, from the top of the tree down; hosts come below them all.
    #[must_use]
    pub fn new<'a>(attributes: impl IntoIterator<Item = &'a str>) -> Self {
        Self(attributes.into_iter().map(str::to_owned).collect())
    }

    /// The level that an attribute names.
    #[must_use]
    pub fn level(&self, attribute: &str) -> Option<Level> {
        let depth = self.0.iter().position(|name| name == attribute)?;
        Some(Level::path(self.0[..=depth].iter().map(String::as_str)))
    }

    /// All levels, from the top of the tree down to hosts.
    pub fn levels(&self) -> impl Iterator<Item = Level> {
        let depths = 1..=self.0.len();
        let above = depths.map(|depth| Level::path(self.0[..depth].iter().map(String::as_str)));
        above.chain([Level::host()])
    }
}
