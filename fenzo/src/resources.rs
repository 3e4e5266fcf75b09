//! What hosts offer and tasks demand: quantities by name, and ranges of ports.
//!
//! Plain data. Nothing here knows where an amount came from (role, reservation): the caller offers only
//! what the task may use.

use std::collections::BTreeMap;
use std::fmt;

use crate::quantity::Milli;

/// Amounts of the resources that are plain quantities. Ports are apart, because they are individuals.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resources {
    /// Thousandths of a cpu.
    pub cpus: Milli,
    /// Thousandths of a MB of memory.
    pub mem: Milli,
    /// Thousandths of a MB of disk.
    pub disk: Milli,
    /// Thousandths of a Mbps of network bandwidth.
    pub network: Milli,
    /// Any other quantity by its name, in thousandths ("gpus"). A name that is absent is zero.
    pub scalars: BTreeMap<String, Milli>,
}

impl Resources {
    /// `cpus` whole cpus and `mem` whole MB, and nothing else.
    #[must_use]
    pub fn cpus_mem(cpus: u64, mem: u64) -> Self {
        Self { cpus: Milli::whole(cpus), mem: Milli::whole(mem), ..Self::default() }
    }

    /// Adds `other`, name by name.
    pub fn add(&mut self, other: &Self) {
        self.cpus = self.cpus.saturating_add(other.cpus);
        self.mem = self.mem.saturating_add(other.mem);
        self.disk = self.disk.saturating_add(other.disk);
        self.network = self.network.saturating_add(other.network);
        for (name, amount) in &other.scalars {
            let sum = self.scalars.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*amount);
        }
    }

    /// Whether there is at least as much of everything as in `demand`.
    #[must_use]
    pub fn covers(&self, demand: &Self) -> bool {
        let scalar = |name: &String| self.scalars.get(name).copied().unwrap_or_default();
        self.measures().iter().zip(demand.measures()).all(|(here, wanted)| *here >= wanted)
            && demand.scalars.iter().all(|(name, wanted)| scalar(name) >= *wanted)
    }

    /// The four quantities every host has, in the order of [`Measure::ALL`].
    pub(crate) fn measures(&self) -> [u64; 4] {
        [self.cpus, self.mem, self.disk, self.network].map(Milli::thousandths)
    }
}

/// One of the quantities that fitness can weigh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Cpus.
    Cpus,
    /// Memory.
    Memory,
    /// Disk.
    Disk,
    /// Network bandwidth.
    Network,
}

impl Measure {
    /// Every measure, in the order in which they are stored.
    pub const ALL: [Self; 4] = [Self::Cpus, Self::Memory, Self::Disk, Self::Network];
}

/// Any resource a task can lack: one of the quantities, ports, or a named scalar.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Cpus.
    Cpus,
    /// Memory in MB.
    Memory,
    /// Disk in MB.
    Disk,
    /// Network in Mbps.
    Network,
    /// Ports, counted.
    Ports,
    /// A named scalar.
    Scalar(String),
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpus => f.write_str("cpus"),
            Self::Memory => f.write_str("MB memory"),
            Self::Disk => f.write_str("MB disk"),
            Self::Network => f.write_str("Mbps network"),
            Self::Ports => f.write_str("ports"),
            Self::Scalar(name) => f.write_str(name),
        }
    }
}

/// Ports from `begin` to `end`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    begin: u16,
    end: u16,
}

impl PortRange {
    /// The ports from `begin` to `end`, both included; `None` when there is none (`begin > end`) or a bound
    /// is no port number (above 65,535).
    #[must_use]
    pub fn new(begin: u64, end: u64) -> Option<Self> {
        let (begin, end) = (u16::try_from(begin).ok()?, u16::try_from(end).ok()?);
        (begin <= end).then_some(Self { begin, end })
    }

    /// The first port.
    #[must_use]
    pub const fn begin(self) -> u16 {
        self.begin
    }

    /// The last port.
    #[must_use]
    pub const fn end(self) -> u16 {
        self.end
    }

    /// How many ports, at least one.
    #[must_use]
    pub fn count(self) -> u32 {
        u32::from(self.end) - u32::from(self.begin) + 1
    }
}

/// The union of ranges, disjoint and ascending.
pub(crate) fn union(mut ranges: Vec<PortRange>) -> Vec<PortRange> {
    ranges.sort_unstable();
    let mut disjoint: Vec<PortRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match disjoint.last_mut() {
            Some(last) if u32::from(range.begin) <= u32::from(last.end) + 1 => {
                last.end = last.end.max(range.end);
            }
            Some(_) | None => disjoint.push(range),
        }
    }
    disjoint
}

/// Disjoint ascending ranges without some ports, which ascend as well.
pub(crate) fn without(ranges: &[PortRange], taken: &[u16]) -> Vec<PortRange> {
    let mut left = Vec::with_capacity(ranges.len());
    for range in ranges {
        let mut begin = u64::from(range.begin);
        let end = u64::from(range.end);
        let from = taken.partition_point(|port| *port < range.begin);
        for port in taken[from..].iter().take_while(|port| **port <= range.end) {
            let port = u64::from(*port);
            // Empty before a port that follows the last one, or is named twice.
            left.extend((port > begin).then(|| PortRange::new(begin, port - 1)).flatten());
            begin = begin.max(port + 1);
        }
        left.extend(PortRange::new(begin, end));
    }
    left
}
