//! Maintenance: when machines are to be away, and what frameworks answer to that.

use crate::{AgentId, FrameworkId, OfferId, Resources, Time};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A machine by its name, its address, or both; at least one of them is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MachineId {
    /// Its name, in lower case.
    pub hostname: Option<Arc<str>>,
    /// Its address.
    pub ip: Option<Arc<str>>,
}

impl MachineId {
    /// A machine by its name.
    pub fn named(hostname: &str) -> Self {
        Self { hostname: Some(Arc::from(hostname.to_lowercase())), ip: None }
    }

    /// Whether an agent that calls itself so, by name or address, stands on it.
    pub fn is_called(&self, name: &str) -> bool {
        let same = |known: &Option<Arc<str>>| {
            known.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(name))
        };
        same(&self.hostname) || same(&self.ip)
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.hostname, &self.ip) {
            (Some(hostname), Some(ip)) => write!(f, "{hostname} ({ip})"),
            (Some(one), None) | (None, Some(one)) => f.write_str(one),
            (None, None) => f.write_str("?"),
        }
    }
}

/// When something is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailability {
    /// From then on.
    pub start: Time,
    /// For so long; absent means for good.
    pub duration: Option<Duration>,
}

/// Machines that are away together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenanceWindow {
    /// The machines.
    pub machines: Vec<MachineId>,
    /// When.
    pub unavailability: Unavailability,
}

/// All that is planned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// The windows.
    pub windows: Vec<MaintenanceWindow>,
}

/// How the scheduled machines stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaintenanceStatus {
    /// Scheduled, and still up.
    pub draining: Vec<DrainingMachine>,
    /// Down.
    pub down: Vec<MachineId>,
}

/// A machine that is to go down, and what frameworks with work there said to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainingMachine {
    /// The machine.
    pub machine: MachineId,
    /// The newest answer of each framework.
    pub statuses: Vec<InverseOfferStatus>,
}

/// A framework's answer to an inverse offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InverseOfferStatus {
    /// The answer.
    pub answer: InverseOfferAnswer,
    /// Whose.
    pub framework_id: FrameworkId,
    /// When.
    pub timestamp: Time,
}

/// What a framework says to an inverse offer (Mesos `InverseOfferStatus.Status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InverseOfferAnswer {
    /// Nothing yet.
    Unknown = 1,
    /// It will be gone in time.
    Accept = 2,
    /// It will not.
    Decline = 3,
}

/// A request to a framework to give resources back by a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InverseOffer {
    /// Its id.
    pub id: OfferId,
    /// Whom it asks.
    pub framework_id: FrameworkId,
    /// Where the resources are.
    pub agent_id: Option<AgentId>,
    /// The agent's name or address, and the port of its API, when they are known.
    pub address: Option<(Arc<str>, u16)>,
    /// When they will be away.
    pub unavailability: Unavailability,
    /// Which; empty means all.
    pub resources: Resources,
}
