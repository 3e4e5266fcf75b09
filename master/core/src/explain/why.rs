//! The reasons, with their figures, and the sentences that people read.

use proto::{AgentId, FrameworkId, Quantities, ResourceName, Resources, Role, Time};
use std::fmt;

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
    #[allow(clippy::too_many_lines, reason = "one sentence for each reason")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected { removed_at: Some(at) } => write!(
                f,
                "The framework's scheduler is not connected; without it the framework will be \
                 removed at {at}."
            ),
            Self::NotConnected { removed_at: None } => {
                f.write_str("The framework's scheduler is not connected.")
            }
            Self::Suppressed(roles) => {
                let roles: Vec<&str> = roles.iter().map(Role::as_str).collect();
                write!(f, "The framework suppressed offers in its roles: {}.", roles.join(", "))
            }
            Self::NoAgents => f.write_str("The cluster has no agents."),
            Self::NoAgentConnected { agents } => {
                write!(f, "None of the {agents} agents is connected.")
            }
            Self::HoldsOffers { offers, resources } => write!(
                f,
                "The framework holds {offers} offers that it has not answered: {resources}."
            ),
            Self::DemandMet => f.write_str(
                "All that the framework said it wants is launched or in offers that it holds.",
            ),
            Self::BundleTooBig { wanted, biggest } => write!(
                f,
                "One bundle of the framework's demand ({wanted}) is more than any agent has, even \
                 idle; the biggest has {biggest}."
            ),
            Self::BundleDoesNotFit { wanted, lacking, best_free } => write!(
                f,
                "{lacking} bundles of {wanted} are wanted and fit on no agent now; the best has \
                 {best_free} free."
            ),
            Self::Filtered { agents, first_until } => write!(
                f,
                "The framework refused what {agents} agents have; the first filter ends at \
                 {first_until} (REVIVE ends them at once)."
            ),
            Self::GpusNotWanted { agents } => write!(
                f,
                "{agents} agents have GPUs and are kept for frameworks with the capability \
                 GPU_RESOURCES."
            ),
            Self::OfferedElsewhere { agents, holders } => {
                write!(f, "{agents} agents are in offers to others:")?;
                for (id, offers) in holders.iter().take(3) {
                    write!(f, " {id} ({offers})")?;
                }
                f.write_str(".")
            }
            Self::Behind { role, share_milli, first, first_share_milli } => write!(
                f,
                "Role {role} has a dominant share of {share_milli} thousandths; {first} has \
                 {first_share_milli} and comes first."
            ),
            Self::NothingFree { agents, best, best_free } => write!(
                f,
                "None of the {agents} agents has enough free to be worth an offer; {best} has \
                 {best_free}."
            ),
            Self::Nothing => f.write_str("Nothing stands in the way: an offer is on its way."),
            Self::Withheld { silent, deactivated } => write!(
                f,
                "{} agents are not offered from: {silent} are silent, {deactivated} are \
                 deactivated or draining.",
                silent + deactivated
            ),
            Self::OtherRegion { agents } => write!(
                f,
                "{agents} agents are in another region than the master, and are kept for \
                 frameworks with the capability REGION_AWARE."
            ),
            Self::Constrained { agents } => {
                write!(f, "The framework's offer constraints exclude {agents} agents.")
            }
            Self::AtLimit { role, agents, figures } => {
                write!(f, "The limit of role {role} stands against offers of {agents} agents:")?;
                for (at, (name, consumed, most)) in figures.iter().enumerate() {
                    let comma = if at == 0 { "" } else { "," };
                    let (consumed, most) = (Milli(*consumed), Milli(*most));
                    write!(f, "{comma} {name} {consumed} of {most} consumed")?;
                }
                f.write_str(".")
            }
            Self::KeptForGuarantees { agents, kept, roles } => {
                write!(
                    f,
                    "What is free on {agents} agents is kept for guarantees ({} in the whole \
                     cluster):",
                    amounts(kept)
                )?;
                for (at, (role, lacking)) in roles.iter().enumerate() {
                    let comma = if at == 0 { "" } else { "," };
                    write!(f, "{comma} role {role} lacks {}", amounts(lacking))?;
                }
                f.write_str(".")
            }
            Self::TooSmall { agents } => write!(
                f,
                "What may be offered of {agents} agents is not worth an offer: the rest is \
                 reserved to other roles, or needs a capability."
            ),
            Self::NotDemanded { agents } => write!(
                f,
                "No bundle of the framework's demand fits into what it may have of {agents} agents."
            ),
            Self::NotAllLookedAt { agents, free } => {
                write!(f, "Looked at {agents} of the {free} agents that have something free.")
            }
            Self::RoleUnused(role) => {
                write!(f, "No framework is subscribed to role {role} or to one below.")
            }
            Self::RoleStands {
                role,
                share_milli,
                weight_milli,
                consumed,
                guarantee,
                lacking,
                limits,
            } => {
                let weight = Milli(*weight_milli);
                write!(
                    f,
                    "Role {role} has a dominant share of {share_milli} thousandths and the weight \
                     {weight}; it consumes {}",
                    amounts(consumed)
                )?;
                if !guarantee.is_empty() {
                    write!(f, ", is guaranteed {}", amounts(guarantee))?;
                    if !lacking.is_empty() {
                        write!(f, " and lacks {}", amounts(lacking))?;
                    }
                }
                if !limits.is_empty() {
                    f.write_str(", at most")?;
                    for (name, most) in limits {
                        write!(f, " {name}:{}", Milli(*most))?;
                    }
                }
                f.write_str(".")
            }
            Self::RoleFrameworks { role, frameworks, disconnected, suppressed } => write!(
                f,
                "Of {frameworks} frameworks of role {role} and below, {disconnected} are not \
                 connected and {suppressed} suppressed their offers."
            ),
            Self::RoleHoldsOffers { role, offers, resources } => write!(
                f,
                "Frameworks of role {role} and below hold {offers} offers that they have not \
                 answered: {resources}."
            ),
        }
    }
}

/// Thousandths, as people write them.
struct Milli(u64);

impl fmt::Display for Milli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0 as f64 / 1000.0)
    }
}

fn amounts(quantities: &Quantities) -> String {
    if quantities.is_empty() {
        return "nothing".to_owned();
    }
    Resources::scalars(quantities.iter().map(|(name, milli)| (name.as_str(), milli))).to_string()
}
