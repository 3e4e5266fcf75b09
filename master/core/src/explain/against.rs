//! Which of the allocator's rules stand against offering what is free, counted by agents.

use super::Why;
use crate::allocator::offering::{Against, Look, Stage};
use crate::state::Master;
use crate::table::{AgentOrd, RoleOrd, SeatOrd};
use proto::{Quantities, ResourceName, Role, Time};
use std::collections::BTreeMap;

/// Pairs of an agent and a framework that one explanation asks about; with demands, of an agent
/// and a demand.
pub(super) const LOOKS: usize = 20_000;
/// Roles that guarantees are kept for and that are named.
const NAMED: usize = 3;

/// Agents, by the rule that stood against offering what they have: the one that came closest.
#[derive(Debug, Default)]
struct Tally {
    looked: usize,
    gpus: usize,
    region: usize,
    constrained: usize,
    headroom: usize,
    too_small: usize,
    filtered: usize,
    first_until: Option<Time>,
    demand: usize,
    /// An agent may meet the limits of several roles.
    limits: BTreeMap<RoleOrd, usize>,
}

/// How far a look got: the rules are asked in this order.
fn rank(against: &Against) -> u8 {
    match against {
        Against::Satisfied => 0,
        Against::Gpus => 1,
        Against::Region => 2,
        Against::Constraints => 3,
        Against::TooSmall => 4,
        Against::Limit => 5,
        Against::Headroom => 6,
        Against::Filter(_) => 7,
        Against::Demand => 8,
    }
}

impl Master {
    /// The rules that stand against offering what is free to any of these seats. O(agents that are
    /// free * seats * their demands), at most `LOOKS`.
    pub(super) fn explain_against(&self, seats: &[SeatOrd], reasons: &mut Vec<Why>) {
        if seats.is_empty() {
            return;
        }
        let mut tally = Tally::default();
        let sorter = &self.allocator.sorter;
        let demands = |seat: &SeatOrd| {
            self.frameworks[sorter.seat(*seat).framework].demand.credited().len().max(1)
        };
        let most = (LOOKS / seats.iter().map(demands).sum::<usize>()).max(1);
        let free = self.allocator.free.len();
        for agent in self.allocator.free.iter().take(most) {
            self.count_against(agent, seats, &mut tally);
        }
        self.say(tally, free, reasons);
    }

    fn count_against(&self, agent: AgentOrd, seats: &[SeatOrd], tally: &mut Tally) {
        tally.looked += 1;
        let slack = self.allocator.slack();
        let guarantee = Look::new(agent, Stage::Guarantee, slack.clone());
        let fair = Look::new(agent, Stage::Fair, slack);
        let mut closest: Option<Against> = None;
        for seat in seats {
            let Err(mut against) = self.consider(*seat, &fair) else { return };
            if against == Against::Demand && self.would_serve(*seat, agent) {
                // All of the agent would serve the demand: what made it less stands against it.
                against = match fair.cuts.borrow().is_empty() {
                    false => Against::Limit,
                    true if fair.held.get() => Against::Headroom,
                    true => Against::Demand,
                };
            }
            if self.consider(*seat, &guarantee).is_ok() {
                return;
            }
            if closest.as_ref().is_none_or(|closest| rank(closest) < rank(&against)) {
                closest = Some(against);
            }
        }
        match closest {
            Some(Against::Gpus) => tally.gpus += 1,
            Some(Against::Region) => tally.region += 1,
            Some(Against::Constraints) => tally.constrained += 1,
            Some(Against::Headroom) => tally.headroom += 1,
            Some(Against::TooSmall) => tally.too_small += 1,
            Some(Against::Demand) => tally.demand += 1,
            Some(Against::Limit) => {
                let mut roles = fair.cuts.take();
                roles.sort_unstable();
                roles.dedup();
                for role in roles {
                    *tally.limits.entry(role).or_default() += 1;
                }
            }
            Some(Against::Filter(until)) => {
                tally.filtered += 1;
                tally.first_until =
                    Some(tally.first_until.map_or(until, |first: Time| first.min(until)));
            }
            // In the stage of fairness nothing is satisfied.
            Some(Against::Satisfied) | None => {}
        }
    }

    /// Whether a bundle that the seat's framework lacks fits into all that the agent has free.
    fn would_serve(&self, seat: SeatOrd, agent: AgentOrd) -> bool {
        let sorter = &self.allocator.sorter;
        let agent = &self.agents[agent];
        let demand = &self.frameworks[sorter.seat(seat).framework].demand;
        !demand.credit_for(&agent.free, &agent.id, sorter.role_of(seat)).is_empty()
    }

    fn say(&self, tally: Tally, free: usize, reasons: &mut Vec<Why>) {
        if let Some(first_until) = tally.first_until {
            let agents = tally.filtered;
            reasons.push(Why::Filtered { agents, first_until });
        }
        let mut counted = |agents: usize, why: fn(usize) -> Why| {
            if agents > 0 {
                reasons.push(why(agents));
            }
        };
        counted(tally.gpus, |agents| Why::GpusNotWanted { agents });
        counted(tally.region, |agents| Why::OtherRegion { agents });
        counted(tally.constrained, |agents| Why::Constrained { agents });
        counted(tally.too_small, |agents| Why::TooSmall { agents });
        for (role, agents) in tally.limits {
            let role = self.allocator.sorter.role_at(role).clone();
            let figures = self.limit_figures(&role);
            reasons.push(Why::AtLimit { role: role.clone(), agents, figures });
            if let Some(until) = self.quota_recovery {
                let (agents, wait) = (self.allocator.sorter.missing(), until.since(self.now));
                reasons.push(Why::UseUnknown { role, agents, wait });
            }
        }
        if tally.headroom > 0 {
            let kept = self.allocator.sorter.quantities(self.allocator.sorter.kept_free());
            let roles = self.lacking_roles().take(NAMED).collect();
            reasons.push(Why::KeptForGuarantees { agents: tally.headroom, kept, roles });
        }
        let states_demand = |why: &Why| {
            matches!(
                why,
                Why::DemandMet
                    | Why::BundleTooBig { .. }
                    | Why::KindMissing { .. }
                    | Why::BundleDoesNotFit { .. }
            )
        };
        if tally.demand > 0 && !reasons.iter().any(states_demand) {
            reasons.push(Why::NotDemanded { agents: tally.demand });
        }
        if tally.looked < free {
            reasons.push(Why::NotAllLookedAt { agents: tally.looked, free });
        }
    }

    /// What the role consumes of what its limit names.
    fn limit_figures(&self, role: &Role) -> Vec<(ResourceName, u64, u64)> {
        let consumed = self.allocator.sorter.standing(role).map(|standing| standing.consumed);
        let consumed = consumed.unwrap_or_default();
        let quota = self.registry.quotas().get(role);
        let limits = quota.into_iter().flat_map(|quota| &quota.limits);
        limits.map(|(name, most)| (name.clone(), consumed.get(name), *most)).collect()
    }

    /// The roles that lack something of a guarantee, and what.
    fn lacking_roles(&self) -> impl Iterator<Item = (Role, Quantities)> {
        self.registry.quotas().keys().filter_map(|role| {
            let lacking = self.allocator.sorter.standing(role)?.lacking;
            (!lacking.is_empty()).then(|| (role.clone(), lacking))
        })
    }
}
