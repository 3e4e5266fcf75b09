//! What an agent says of itself when it registers.

use crate::{AgentId, Attribute, Resources};
use std::sync::Arc;

/// An agent as master and frameworks know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentInfo {
    /// Absent until the master gave one.
    pub id: Option<AgentId>,
    /// Name or address under which schedulers reach the agent.
    pub hostname: Arc<str>,
    /// Port of the agent's own API.
    pub port: u16,
    /// All that the agent has to give.
    pub resources: Resources,
    /// Facts for constraints, in the order of the agent's configuration.
    pub attributes: Vec<Attribute>,
    /// Where it stands.
    pub domain: Option<Domain>,
}

/// A fault domain: a region and a zone in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// The region's name.
    pub region: Arc<str>,
    /// The zone's name within the region.
    pub zone: Arc<str>,
}
