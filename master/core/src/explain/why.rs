//! The reasons, with their figures.

use super::text;
use proto::{AgentId, FrameworkId, Piece, Quantities, ResourceName, Resources, Role, Time};
use std::fmt;
use std::time::Duration;

/// One reason.
#[derive(Clone, Debug, PartialEq)]
pub enum Why {
    /// Its scheduler has no stream; it will be removed then, if it does not come back.
    NotConnected {
        /// The end of its failover timeout.
        removed_at: Option<Time>,
    },
    /// It suppressed every role it has.
    Suppressed(Vec<Role>),
    /// There is no agent at all.
    NoAgents,
    /// All agents are away.
    NoAgentConnected {
        /// How many there are.
        agents: usize,
    },
    /// It holds offers that it has not answered.
    HoldsOffers {
        /// How many.
        offers: usize,
        /// What is in them.
        resources: Resources,
    },
    /// All that it said it wants is launched or in offers that it holds.
    DemandMet,
    /// A bundle that fits on no agent, even were it idle.
    BundleTooBig {
        /// One bundle.
        wanted: Resources,
        /// The biggest agent, by cpus and then memory.
        biggest: Resources,
    },
    /// A bundle of which a piece is of a kind that no agent has: reserved to a role, say.
    KindMissing {
        /// One bundle.
        wanted: Resources,
        /// The piece.
        lacking: Piece,
    },
    /// A bundle that fits on no agent as things are.
    BundleDoesNotFit {
        /// One bundle.
        wanted: Resources,
        /// How many are lacking.
        lacking: u32,
        /// What the agent with most to spare has free.
        best_free: Resources,
    },
    /// It refused what these agents have.
    Filtered {
        /// How many agents.
        agents: usize,
        /// When the first of the filters ends.
        first_until: Time,
    },
    /// Agents with GPUs are kept for others.
    GpusNotWanted {
        /// How many agents.
        agents: usize,
    },
    /// What it could use is in offers to others.
    OfferedElsewhere {
        /// On how many agents.
        agents: usize,
        /// To whom, with how many offers, the most first.
        holders: Vec<(FrameworkId, usize)>,
    },
    /// Others come first, having less.
    Behind {
        /// Its role.
        role: Role,
        /// That role's dominant share, in thousandths.
        share_milli: u64,
        /// The role that comes first.
        first: Role,
        /// Its share, in thousandths.
        first_share_milli: u64,
    },
    /// All agents are in use.
    NothingFree {
        /// How many agents.
        agents: usize,
        /// The agent with most to spare.
        best: AgentId,
        /// What it has.
        best_free: Resources,
    },
    /// Agents that are registered, and not offered from.
    Withheld {
        /// Missed a ping, or have no stream.
        silent: usize,
        /// Deactivated, or draining.
        deactivated: usize,
    },
    /// Agents of another region are kept for frameworks that are aware of regions.
    OtherRegion {
        /// How many agents.
        agents: usize,
    },
    /// The framework's own constraints exclude agents.
    Constrained {
        /// How many agents.
        agents: usize,
    },
    /// A limit leaves nothing that is worth an offer.
    AtLimit {
        /// Whose limit: the role's own, or that of a role above.
        role: Role,
        /// On how many agents it stands against an offer.
        agents: usize,
        /// By resource: what is consumed, and the limit, in thousandths.
        figures: Vec<(ResourceName, u64, u64)>,
    },
    /// What the role whose limit stands against offers uses on agents that are yet to come back to
    /// this master is not known, and counts as all that it could use there.
    UseUnknown {
        /// Whose limit.
        role: Role,
        /// How many agents are not back.
        agents: usize,
        /// How long they count at the most.
        wait: Duration,
    },
    /// What is free is kept for guarantees.
    KeptForGuarantees {
        /// How many agents.
        agents: usize,
        /// What is kept free in the whole cluster.
        kept: Quantities,
        /// For whom, and what each lacks, in the order of names; the first few.
        roles: Vec<(Role, Quantities)>,
    },
    /// What it may have of the agents is not worth an offer: the rest is reserved to others, needs
    /// a capability, or is too little.
    TooSmall {
        /// How many agents.
        agents: usize,
    },
    /// What it said it wants fits into nothing that it may have of the agents.
    NotDemanded {
        /// How many agents.
        agents: usize,
    },
    /// More agents are free than one explanation looks at.
    NotAllLookedAt {
        /// How many were looked at.
        agents: usize,
        /// How many are free.
        free: usize,
    },
    /// No framework is subscribed to the role or below.
    RoleUnused(Role),
    /// How the role stands.
    RoleStands {
        /// Which.
        role: Role,
        /// Its dominant share, in thousandths.
        share_milli: u64,
        /// Its weight, in thousandths.
        weight_milli: u64,
        /// What quotas say that it consumes.
        consumed: Quantities,
        /// What is guaranteed to it.
        guarantee: Quantities,
        /// What it lacks of that.
        lacking: Quantities,
        /// By resource: the limit, in thousandths.
        limits: Vec<(ResourceName, u64)>,
    },
    /// Who could be offered something in the role or below.
    RoleFrameworks {
        /// Which.
        role: Role,
        /// All that are subscribed.
        frameworks: usize,
        /// Of them: those without a stream.
        disconnected: usize,
        /// Of them: those that suppressed all such roles.
        suppressed: usize,
    },
    /// Offers in the role or below are not answered.
    RoleHoldsOffers {
        /// Which.
        role: Role,
        /// How many.
        offers: usize,
        /// What is in them.
        resources: Resources,
    },
    /// Nothing stands in the way: an offer is on its way.
    Nothing,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected { removed_at } => text::not_connected(f, *removed_at),
            Self::Suppressed(roles) => text::suppressed(f, roles),
            Self::NoAgents => f.write_str("The cluster has no agents."),
            Self::NoAgentConnected { agents } => text::none_connected(f, *agents),
            Self::HoldsOffers { offers, resources } => text::holds(f, *offers, resources),
            Self::DemandMet => f.write_str(text::DEMAND_MET),
            Self::BundleTooBig { wanted, biggest } => text::too_big(f, wanted, biggest),
            Self::KindMissing { wanted, lacking } => text::kind_missing(f, wanted, lacking),
            Self::BundleDoesNotFit { wanted, lacking, best_free } => {
                text::does_not_fit(f, wanted, *lacking, best_free)
            }
            Self::Filtered { agents, first_until } => text::filtered(f, *agents, *first_until),
            Self::GpusNotWanted { agents } => text::gpus(f, *agents),
            Self::OfferedElsewhere { agents, holders } => text::elsewhere(f, *agents, holders),
            Self::Behind { role, share_milli, first, first_share_milli } => {
                text::behind(f, (role, *share_milli), (first, *first_share_milli))
            }
            Self::NothingFree { agents, best, best_free } => {
                text::nothing_free(f, *agents, best, best_free)
            }
            Self::Withheld { silent, deactivated } => text::withheld(f, *silent, *deactivated),
            Self::OtherRegion { agents } => text::other_region(f, *agents),
            Self::Constrained { agents } => text::constrained(f, *agents),
            Self::AtLimit { role, agents, figures } => text::at_limit(f, role, *agents, figures),
            Self::UseUnknown { role, agents, wait } => text::unknown(f, role, *agents, *wait),
            Self::KeptForGuarantees { agents, kept, roles } => text::kept(f, *agents, kept, roles),
            Self::TooSmall { agents } => text::too_small(f, *agents),
            Self::NotDemanded { agents } => text::not_demanded(f, *agents),
            Self::NotAllLookedAt { agents, free } => {
                write!(f, "Looked at {agents} of the {free} agents that have something free.")
            }
            Self::RoleUnused(role) => {
                write!(f, "No framework is subscribed to role {role} or to one below.")
            }
            Self::RoleStands { role, share_milli, weight_milli, consumed, .. } => {
                text::stands(f, (role, *share_milli), *weight_milli, consumed)?;
                self.write_quota(f)
            }
            Self::RoleFrameworks { role, frameworks, disconnected, suppressed } => {
                text::frameworks(f, role, *frameworks, (*disconnected, *suppressed))
            }
            Self::RoleHoldsOffers { role, offers, resources } => {
                text::role_holds(f, role, *offers, resources)
            }
            Self::Nothing => f.write_str("Nothing stands in the way: an offer is on its way."),
        }
    }
}

impl Why {
    fn write_quota(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::RoleStands { guarantee, lacking, limits, .. } = self {
            text::quota(f, guarantee, lacking, limits)?;
        }
        Ok(())
    }
}
