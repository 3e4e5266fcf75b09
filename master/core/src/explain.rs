//! Why a framework gets no (more) offers: the allocator's reasons as values, with their figures.
//!
//! The same questions as in a pass, asked of everything that is free and everything that is not;
//! never on a hot path.

use crate::allocator::demand::fits;
use crate::allocator::filters::Memo;
use crate::allocator::sorter::Walk;
use crate::state::Master;
use crate::table::FrameworkOrd;
use proto::{AgentId, Capability, FrameworkId, Resources, Role, Time};
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
    /// Nothing stands in the way: an offer is on its way.
    Nothing,
}

impl fmt::Display for Why {
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
        }
    }
}

impl Master {
    /// Why the framework gets no (more) offers, the most telling first.
    pub(crate) fn explain(&self, ord: FrameworkOrd) -> Vec<Why> {
        let framework = &self.frameworks[ord];
        if !framework.is_connected() {
            return vec![Why::NotConnected { removed_at: framework.failover_deadline }];
        }
        let roles = &framework.info.roles;
        if roles.iter().all(|role| framework.suppressed.contains(role)) {
            return vec![Why::Suppressed(roles.iter().cloned().collect())];
        }
        let connected = self.agents.iter().filter(|(_, agent)| agent.is_connected()).count();
        if connected == 0 {
            let agents = self.registry.agents().len();
            let none = if agents == 0 { Why::NoAgents } else { Why::NoAgentConnected { agents } };
            return vec![none];
        }
        let mut reasons = Vec::new();
        self.explain_demand(ord, &mut reasons);
        self.explain_offers(ord, &mut reasons);
        self.explain_agents(ord, &mut reasons);
        self.explain_share(ord, &mut reasons);
        if reasons.is_empty() {
            reasons.push(Why::Nothing);
        }
        reasons
    }

    fn explain_demand(&self, ord: FrameworkOrd, reasons: &mut Vec<Why>) {
        let demand = &self.frameworks[ord].demand;
        if !demand.is_stated() {
            return;
        }
        if demand.lacking().next().is_none() {
            reasons.push(Why::DemandMet);
        }
        let agents = || self.agents.iter().map(|(_, agent)| agent);
        for (bundle, lacking) in demand.lacking().take(10) {
            let wanted = bundle.resources.clone();
            let biggest = agents()
                .max_by_key(|agent| (agent.info.resources.cpus(), agent.info.resources.mem()));
            if !agents().any(|agent| fits(&agent.info.resources, &wanted) > 0) {
                let biggest = biggest.map(|a| a.info.resources.clone()).unwrap_or_default();
                reasons.push(Why::BundleTooBig { wanted, biggest });
            } else if !agents().any(|agent| fits(&agent.free, &wanted) > 0) {
                let best = agents().max_by_key(|agent| (agent.free.cpus(), agent.free.mem()));
                let best_free = best.map(|agent| agent.free.clone()).unwrap_or_default();
                reasons.push(Why::BundleDoesNotFit { wanted, lacking, best_free });
            }
        }
    }

    fn explain_offers(&self, ord: FrameworkOrd, reasons: &mut Vec<Why>) {
        let own = &self.frameworks[ord].offers;
        if !own.is_empty() {
            let mut resources = Resources::new();
            for number in own {
                resources.add(&self.offers[number].resources);
            }
            reasons.push(Why::HoldsOffers { offers: own.len(), resources });
        }
        let others = self
            .frameworks
            .iter()
            .filter(|(other, framework)| *other != ord && !framework.offers.is_empty());
        let mut holders: Vec<(FrameworkId, usize)> =
            others.map(|(_, other)| (other.id.clone(), other.offers.len())).collect();
        if !holders.is_empty() {
            holders.sort_by_key(|(_, offers)| std::cmp::Reverse(*offers));
            let elsewhere = |offer: &&crate::offer::OfferRecord| offer.framework != ord;
            let agents: std::collections::BTreeSet<_> =
                self.offers.values().filter(elsewhere).map(|offer| offer.agent).collect();
            reasons.push(Why::OfferedElsewhere { agents: agents.len(), holders });
        }
    }

    fn explain_agents(&self, ord: FrameworkOrd, reasons: &mut Vec<Why>) {
        let framework = &self.frameworks[ord];
        let mut filtered = (0, None::<Time>);
        let mut gpus = 0;
        for (_, _, agent) in &self.allocator.free {
            let agent = &self.agents[*agent];
            let keeps_gpus = self.options.filter_gpu_resources && agent.has_gpus;
            if keeps_gpus && !framework.has(Capability::GpuResources) {
                gpus += 1;
                continue;
            }
            let memo = Memo::default();
            let against = |role: &Role| {
                let seat = self.allocator.sorter.seat_in(ord, role)?;
                let epoch = self.allocator.sorter.seat(seat).epoch;
                agent.filters.against(seat, epoch, &agent.free, &memo)
            };
            if let Some(until) =
                framework.info.roles.iter().filter_map(against).map(|f| f.until).min()
            {
                filtered.0 += 1;
                filtered.1 = Some(filtered.1.map_or(until, |first| first.min(until)));
            }
        }
        if let (agents, Some(first_until)) = filtered {
            reasons.push(Why::Filtered { agents, first_until });
        }
        if gpus > 0 {
            reasons.push(Why::GpusNotWanted { agents: gpus });
        }
        if self.allocator.free.is_empty() {
            let all = self.agents.iter().map(|(_, agent)| agent);
            let best = all.max_by_key(|agent| (agent.free.cpus(), agent.free.mem()));
            if let Some(best) = best {
                reasons.push(Why::NothingFree {
                    agents: self.agents.len(),
                    best: best.id.clone(),
                    best_free: best.free.clone(),
                });
            }
        }
    }

    fn explain_share(&self, ord: FrameworkOrd, reasons: &mut Vec<Why>) {
        let sorter = &self.allocator.sorter;
        let Some(seat) = sorter.first(Walk::All, |_| true) else { return };
        let (first, framework) = (sorter.role_of(seat), sorter.seat(seat).framework);
        let own = &self.frameworks[ord].info.roles;
        if framework == ord || own.contains(first) {
            return;
        }
        let share = |wanted: &Role| {
            let found = sorter.roles().find(|(role, _, _)| *role == wanted);
            found.map_or(0, |(_, share, _)| (share * 1000.0) as u64)
        };
        if let Some(role) = own.iter().next() {
            reasons.push(Why::Behind {
                role: role.clone(),
                share_milli: share(role),
                first: first.clone(),
                first_share_milli: share(first),
            });
        }
    }
}
