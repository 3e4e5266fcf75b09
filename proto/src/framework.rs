//! What a framework says of itself when it subscribes.

use crate::{FrameworkId, Quantities, Role};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Labels: names and optional values, for people and tools.
pub type Labels = Vec<(Arc<str>, Option<Arc<str>>)>;

/// A framework as its scheduler describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameworkInfo {
    /// The user that tasks run as unless their command names another.
    pub user: Arc<str>,
    /// A name for people.
    pub name: Arc<str>,
    /// Absent at the very first SUBSCRIBE.
    pub id: Option<FrameworkId>,
    /// How long its tasks outlive its scheduler's connection.
    pub failover_timeout: Duration,
    /// Whether its tasks outlive the agent's process.
    pub checkpoint: bool,
    /// The roles it subscribes to; never empty (`*` when it named none).
    pub roles: BTreeSet<Role>,
    /// Whether it wrote the single `role` field rather than `roles` (it is answered likewise).
    pub single_role: bool,
    /// Where its scheduler runs.
    pub hostname: Arc<str>,
    /// Who it is to the authenticator.
    pub principal: Option<Arc<str>>,
    /// A page for people.
    pub webui_url: Option<Arc<str>>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Labels: name and optional value, for people and tools.
    pub labels: Labels,
    /// By role the least that is worth an offer: any one of these amounts, or anything at all when
    /// there are none. The master's own minimum holds for roles that are not in it.
    pub min_allocatable: BTreeMap<Role, Vec<Quantities>>,
}

impl FrameworkInfo {
    /// A framework of role `*` with nothing but a user and a name.
    pub fn new(user: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self {
            user: user.into(),
            name: name.into(),
            id: None,
            failover_timeout: Duration::ZERO,
            checkpoint: false,
            roles: BTreeSet::from([Role::any()]),
            single_role: true,
            hostname: Arc::from(""),
            principal: None,
            webui_url: None,
            capabilities: Capabilities::default(),
            labels: Vec::new(),
            min_allocatable: BTreeMap::new(),
        }
    }

    /// Whether it understands UNREACHABLE, DROPPED, GONE and their kin.
    pub fn is_partition_aware(&self) -> bool {
        self.capabilities.has(Capability::PartitionAware)
    }
}

/// What a framework's scheduler understands (Mesos `FrameworkInfo.Capability.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Capability {
    /// Accepts revocable resources.
    RevocableResources = 1,
    /// Understands TASK_KILLING.
    TaskKillingState = 2,
    /// Is offered agents with GPUs.
    GpuResources = 3,
    /// Understands shared volumes.
    SharedResources = 4,
    /// Understands the states of partitions.
    PartitionAware = 5,
    /// Uses `roles` rather than `role`.
    MultiRole = 6,
    /// Understands refined reservations.
    ReservationRefinement = 7,
    /// Is offered agents of other regions.
    RegionAware = 8,
}

impl Capability {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::RevocableResources,
        Self::TaskKillingState,
        Self::GpuResources,
        Self::SharedResources,
        Self::PartitionAware,
        Self::MultiRole,
        Self::ReservationRefinement,
        Self::RegionAware,
    ];
}

/// A set of capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u16);

impl Capabilities {
    /// The set with `capability` added.
    #[must_use]
    pub fn with(self, capability: Capability) -> Self {
        Self(self.0 | (1 << capability as u8))
    }

    /// Whether `capability` is in the set.
    pub fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }

    /// The members in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.into_iter().filter(move |capability| self.has(*capability))
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        capabilities.into_iter().fold(Self::default(), Self::with)
    }
}
