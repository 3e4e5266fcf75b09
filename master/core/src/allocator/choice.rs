//! Which agents serve a stated demand best.
//!
//! Best is an agent on which least is left over: after as many bundles as it has room for and the
//! demand lacks, the greatest of what is left of a resource, as a part of the cluster's total.
//! Agents that have the same free are alike, so they are ranked by their shapes, of which there are
//! few: O(shapes * log shapes) for a demand, beside the agents that are chosen.
//!
//! A pass lets a framework choose among the agents that it looks at, before it serves them: the
//! framework takes what it chose, and leaves the rest. When others took what it chose, it chooses
//! again.
//!
//! A demand that nothing serves is looked for on every agent, so the looks of a pass are counted:
//! when there were `Options::demand_looks`, the demands and frameworks that are left stay woken, and
//! the next pass goes on with them. Whoever had the last looks comes last then, and what it was not
//! looked at for comes first.

use super::amounts::Amounts;
use super::demand::{Credit, Lap, fits};
use super::held::Sort;
use super::offering::{Look, Stage};
use super::{Allocator, Mark};
use crate::deadlines::Deadline;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use proto::scheduler::Demand;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Agents by the scalars of what they have free.
#[derive(Debug, Default)]
pub(crate) struct Shapes(BTreeMap<Amounts, BTreeSet<AgentOrd>>);

impl Shapes {
    pub(crate) fn insert(&mut self, shape: &Amounts, agent: AgentOrd) {
        if let Some(agents) = self.0.get_mut(shape) {
            agents.insert(agent);
        } else {
            self.0.insert(shape.clone(), BTreeSet::from([agent]));
        }
    }

    pub(crate) fn remove(&mut self, shape: &Amounts, agent: AgentOrd) {
        if let Some(agents) = self.0.get_mut(shape) {
            agents.remove(&agent);
            if agents.is_empty() {
                self.0.remove(shape);
            }
        }
    }

    /// All agents, with their shapes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Amounts, AgentOrd)> {
        self.0.iter().flat_map(|(shape, agents)| agents.iter().map(move |agent| (shape, *agent)))
    }

    fn contains(&self, shape: &Amounts, agent: AgentOrd) -> bool {
        self.0.get(shape).is_some_and(|agents| agents.contains(&agent))
    }

    /// The agents on which a bundle fits, the best first; `lacking` bundles are wanted.
    fn best<'s>(
        &'s self,
        bundle: &Amounts,
        lacking: u32,
        total: &Amounts,
    ) -> impl Iterator<Item = AgentOrd> + use<'s> {
        let cost = |shape| Some((left_over(shape, bundle, lacking, total)?.to_bits(), shape));
        let mut fitting: Vec<(u64, &Amounts)> = self.0.keys().filter_map(cost).collect();
        fitting.sort_unstable();
        fitting.into_iter().flat_map(|(_, shape)| self.0[shape].iter().copied())
    }
}

/// The greatest part of the cluster's total that is left over of a shape when as many bundles are
/// taken from it as it has room for, and at most `lacking`; none when there is no room for one.
fn left_over(free: &Amounts, bundle: &Amounts, lacking: u32, total: &Amounts) -> Option<f64> {
    let room = bundle.iter().map(|(kind, want)| free.get(kind) / want).min();
    let times = room.unwrap_or(u64::MAX).min(u64::from(lacking));
    if times == 0 {
        return None;
    }
    let mut left = free.clone();
    for (kind, want) in bundle.iter() {
        left.set(kind, free.get(kind) - want * times);
    }
    Some(left.dominant(total))
}

/// What a framework would take for what it lacks.
#[derive(Debug, Default)]
struct Choice {
    /// The best first.
    agents: Vec<AgentOrd>,
    /// Agents that headroom alone keeps from it.
    held: Vec<AgentOrd>,
    /// The demands that were looked for.
    looked: usize,
}

/// Shapes that are ranked in about the time of one look at an agent.
const SHAPES_A_LOOK: usize = 8;

/// The looks of a pass.
#[derive(Debug)]
pub(super) struct Looks {
    made: usize,
    most: usize,
}

impl Looks {
    pub(super) fn are_spent(&self) -> bool {
        self.made >= self.most
    }
}

/// Whose turn it is while looks last.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The last framework for which there were looks, whether they were enough or spent by its last
    /// demand.
    last: Option<FrameworkOrd>,
    /// Whether the looks were not enough, for it or for one after it.
    pub(super) was_cut: bool,
}

impl Turn {
    pub(super) fn begin(&mut self, framework: FrameworkOrd, looks: &Looks) {
        if !looks.are_spent() {
            self.last = Some(framework);
        }
    }

    /// After whom the next pass begins.
    pub(super) fn end(self) -> Option<FrameworkOrd> {
        self.last.filter(|_| self.was_cut)
    }
}

/// The frameworks in the order of their numbers, those after `last` first.
pub(super) fn in_turn(
    all: &BTreeSet<FrameworkOrd>,
    last: Option<FrameworkOrd>,
) -> Vec<FrameworkOrd> {
    let Some(last) = last else { return all.iter().copied().collect() };
    let after = all.range((Bound::Excluded(last), Bound::Unbounded));
    after.chain(all.range(..=last)).copied().collect()
}

impl Allocator {
    /// The agents that the framework chose in the pass under way, if it has to choose.
    pub(super) fn has_chosen(&self, framework: FrameworkOrd, agent: AgentOrd) -> bool {
        self.chosen.get(&framework).is_none_or(|chosen| chosen.contains(&agent))
    }
}

impl Master {
    /// Replaces a framework's demand; an empty list takes it back.
    pub(crate) fn restate_demand(&mut self, ord: FrameworkOrd, demands: Vec<Demand>) {
        let demand = &mut self.frameworks[ord].demand;
        if !demand.is_stated() && demands.is_empty() {
            return;
        }
        demand.restate(demands);
        demand.expire(self.now);
        let is_stated = demand.is_stated();
        let allocator = &mut self.allocator;
        if is_stated {
            if allocator.demanding.is_empty() {
                for agent in allocator.free.iter() {
                    allocator.shapes.insert(&self.agents[agent].free_parts.all, agent);
                }
            }
            allocator.demanding.insert(ord);
        } else {
            allocator.demanding.remove(&ord);
            if allocator.demanding.is_empty() {
                allocator.shapes = Shapes::default();
            }
        }
        self.set_demand_deadline(ord);
        self.publisher.demand(ord, self.now);
    }

    /// Sets the time at which the framework's demands are gone through. Keeps M9.
    fn set_demand_deadline(&mut self, ord: FrameworkOrd) {
        let demand = &mut self.frameworks[ord].demand;
        let at = demand.next_deadline();
        if let Some(old) = std::mem::replace(&mut demand.deadline, at) {
            self.deadlines.clear(old, Deadline::Demand(ord));
        }
        if let Some(at) = at {
            self.deadlines.set(at, Deadline::Demand(ord));
        }
    }

    /// Some demands of the framework end: what offers stand for it keeps, and no more is looked
    /// for.
    pub(crate) fn demands_ended(&mut self, ord: FrameworkOrd) {
        if self.frameworks[ord].demand.expire(self.now) {
            self.publisher.demand(ord, self.now);
        }
        self.set_demand_deadline(ord);
    }

    pub(super) fn looks(&self) -> Looks {
        Looks { made: 0, most: self.options.demand_looks.max(1) }
    }

    pub(super) fn count_looks(&mut self, looks: &Looks) {
        self.counters.demand_looks += looks.made as u64;
    }

    /// Agents enough for what the framework lacks, of all that are free, the best first; and
    /// whether all demands were looked for. Agents that headroom alone keeps from it are held, and
    /// limits that it met are noted.
    pub(super) fn agents_for_demand(
        &mut self,
        framework: FrameworkOrd,
        looks: &mut Looks,
    ) -> (Vec<AgentOrd>, bool) {
        let lap = self.frameworks[framework].demand.lap();
        let choice = self.choose(framework, &self.allocator.shapes, lap, looks);
        let Choice { agents, held, looked } = choice;
        let whole = self.frameworks[framework].demand.walked(lap, looked);
        if let Some(slack) = self.allocator.slack() {
            for agent in held {
                self.hold_back(agent, &slack);
            }
        }
        (agents, whole)
    }

    /// Lets each framework with a demand choose among the agents that a pass looks at; those that
    /// were chosen come first, in the order of the choice. Returns those that headroom alone keeps
    /// from somebody.
    pub(super) fn choose_in_pass(&mut self, slice: &mut [(AgentOrd, Mark)]) -> Vec<AgentOrd> {
        self.allocator.chosen.clear();
        let mut held = Vec::new();
        if self.allocator.demanding.is_empty() {
            return held;
        }
        let (mut touched, mut all) = (Shapes::default(), Shapes::default());
        for (agent, mark) in slice.iter() {
            let shape = &self.agents[*agent].free_parts.all;
            all.insert(shape, *agent);
            if *mark == Mark::Touched {
                touched.insert(shape, *agent);
            }
        }
        let mut ranks: BTreeMap<AgentOrd, usize> = BTreeMap::new();
        let mut chosen = BTreeMap::new();
        let mut looks = self.looks();
        let mut turn = Turn::default();
        for framework in in_turn(&self.allocator.demanding, self.allocator.turns.in_pass) {
            let is_woken = self.allocator.woken.contains(&framework);
            let lap = self.frameworks[framework].demand.lap_in_pass();
            let shapes = if is_woken { &all } else { &touched };
            turn.begin(framework, &looks);
            let choice = self.choose(framework, shapes, lap, &mut looks);
            if !self.frameworks[framework].demand.walked_in_pass(lap, choice.looked) {
                turn.was_cut = true;
                self.wake(framework);
            }
            for (rank, agent) in choice.agents.iter().enumerate() {
                let best = ranks.entry(*agent).or_insert(rank);
                *best = rank.min(*best);
            }
            held.extend(choice.held);
            chosen.insert(framework, choice.agents.into_iter().collect());
        }
        self.allocator.turns.in_pass = turn.end();
        self.count_looks(&looks);
        self.allocator.chosen = chosen;
        slice.sort_by_key(|(agent, _)| ranks.get(agent).copied().unwrap_or(usize::MAX));
        held
    }

    /// The pass is over: who did not get what it chose will choose again.
    pub(super) fn end_choices(&mut self) {
        for (framework, chosen) in std::mem::take(&mut self.allocator.chosen) {
            let lacks = self.frameworks[framework].demand.lacking().next().is_some();
            if lacks && !chosen.is_empty() && self.allocator.woken.insert(framework) {
                self.mark_seats(framework, true);
            }
        }
    }

    /// The agents on which the demand may be served, the best first: the one that it names, or
    /// those on which its scalars fit.
    fn candidates<'s>(
        &'s self,
        demand: &Demand,
        lacking: u32,
        shapes: &'s Shapes,
        looks: &mut Looks,
    ) -> Box<dyn Iterator<Item = AgentOrd> + 's> {
        if let Some(id) = &demand.agent_id {
            let there = |agent| shapes.contains(&self.agents[agent].free_parts.all, agent);
            let named = self.agent_ids.get(id).copied();
            return Box::new(named.filter(|agent| there(*agent)).into_iter());
        }
        // Agents may have brought names since it was stated, so this is reckoned anew.
        let sorter = &self.allocator.sorter;
        let Some(bundle) = sorter.asked(&demand.resources) else {
            return Box::new(std::iter::empty());
        };
        looks.made += shapes.0.len() / SHAPES_A_LOOK;
        Box::new(shapes.best(&bundle, lacking, sorter.total_amounts()))
    }

    fn choose(
        &self,
        framework: FrameworkOrd,
        shapes: &Shapes,
        lap: Lap,
        looks: &mut Looks,
    ) -> Choice {
        let mut choice = Choice::default();
        let book = &self.frameworks[framework].demand;
        let mut credited = book.credited().to_vec();
        let mut chosen = BTreeSet::new();
        for (index, demand) in book.along(lap) {
            if looks.are_spent() {
                break;
            }
            choice.looked += 1;
            let lacking = demand.count.saturating_sub(credited[index]);
            if lacking == 0 {
                continue;
            }
            for agent in self.candidates(demand, lacking, shapes, looks) {
                if credited[index] >= demand.count {
                    break;
                }
                looks.made += 1;
                let free = &self.agents[agent].free;
                if fits(free, &demand.resources) == 0 || chosen.contains(&agent) {
                    continue;
                }
                match self.would_take(framework, demand, agent, &credited) {
                    (Some(credit), _) => {
                        credit.add_to(&mut credited);
                        chosen.insert(agent);
                        choice.agents.push(agent);
                    }
                    (None, true) => choice.held.push(agent),
                    (None, false) => {}
                }
            }
        }
        choice
    }

    /// What an offer of the agent for this demand would stand for, in either stage; and whether
    /// headroom made it less, or nothing. Limits that it met are noted.
    fn would_take(
        &self,
        framework: FrameworkOrd,
        demand: &Demand,
        agent: AgentOrd,
        credited: &[u32],
    ) -> (Option<Credit>, bool) {
        let record = &self.agents[agent];
        let taker = &self.frameworks[framework];
        let slack = self.allocator.slack();
        let looks = [Stage::Fair, Stage::Guarantee].map(|s| Look::new(agent, s, slack.clone()));
        let mut found = None;
        for role in &taker.info.roles {
            let other = demand.role.as_ref().is_some_and(|wanted| wanted != role);
            if other || !taker.is_eligible_in(role) || found.is_some() {
                continue;
            }
            let Some(seat) = self.allocator.sorter.seat_in(framework, role) else { continue };
            found = looks.iter().find_map(|look| {
                let offering = self.consider_any(seat, look).ok()?;
                let offered = offering.resources.as_ref().unwrap_or(&record.free);
                let credit = taker.demand.credit_beside(credited, offered, &record.id, role);
                (!credit.is_empty()).then_some(credit)
            });
        }
        for role in looks.iter().flat_map(|look| look.cuts.take()) {
            let free = &record.free_parts;
            self.allocator.sorter.note_cut(role, &free.plain, Sort::of(free));
        }
        (found, looks.iter().any(|look| look.held.get()))
    }
}
