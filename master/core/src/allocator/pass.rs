//! One allocation pass: a slice of the marked agents, guarantees first, then by fairness.
//!
//! An agent may go to several frameworks, when quotas or capabilities leave something of it; each
//! is offered a part of it once in a stage, and the fair order is asked anew after each offer.

use super::choice::{Turn, in_turn};
use super::held::Sort;
use super::offering::{Look, Offering, Stage};
use super::sorter::Walk;
use super::{Mark, Master};
use crate::effect::Effect;
use crate::table::{AgentOrd, FrameworkOrd, OrdSet, SeatOrd};
use proto::Offer;
use proto::scheduler::Event;
use std::collections::BTreeMap;

/// Offers made in this pass.
type Made = BTreeMap<FrameworkOrd, Vec<Offer>>;

impl Master {
    /// One allocation pass.
    pub(crate) fn allocate(&mut self, out: &mut Vec<Effect>) {
        self.allocator.due = None;
        self.allocator.sorter.refresh();
        self.allocator.sorter.ease_limits();
        self.counters.allocation_passes += 1;
        if std::mem::take(&mut self.allocator.sorter.surpassed) {
            self.enforce_limits(out);
        }
        self.mark_for_woken();
        let mut slice = self.take_slice();
        let slack = self.allocator.slack();
        let held = self.choose_in_pass(&mut slice);
        self.counters.agents_considered += slice.len() as u64;
        let mut made = Made::new();
        if !self.allocator.sorter.kept_free().is_zero() {
            for (agent, mark) in &slice {
                self.serve(*agent, *mark, Stage::Guarantee, &mut made);
            }
        }
        for (agent, mark) in &slice {
            self.serve(*agent, *mark, Stage::Fair, &mut made);
        }
        // They were cut by what there was to spare when they were looked at.
        for agent in held {
            if let (Some(slack), Some(_)) = (&slack, self.agents[agent].free_key) {
                self.hold_back(agent, slack);
            }
        }
        self.end_choices();
        if std::mem::take(&mut self.allocator.purified) {
            self.allocator.sorter.note_mixed_as_plain();
        }
        for (framework, offers) in made {
            self.counters.offers_made += offers.len() as u64;
            self.tell(framework, Event::Offers(offers), out);
        }
        if self.allocator.queue.is_empty() {
            self.end_of_round();
        } else {
            self.ask_for_pass();
        }
    }

    /// The next agents of the queue, those with least to spare first.
    fn take_slice(&mut self) -> Vec<(AgentOrd, Mark)> {
        let count = self.allocator.queue.len().min(self.options.allocation_slice.max(1));
        let slice: Vec<AgentOrd> = self.allocator.queue.drain(..count).collect();
        let mut keyed = Vec::with_capacity(count);
        for agent in slice {
            let record = &mut self.agents[agent];
            let mark = std::mem::take(&mut record.mark);
            if let Some(key) = record.free_key {
                keyed.push((key, mark));
            }
            if mark == Mark::Touched {
                self.unhold(agent);
            }
        }
        keyed.sort_unstable();
        keyed.into_iter().map(|((_, _, agent), mark)| (agent, mark)).collect()
    }

    /// Offers the agent to whoever comes first and wants it, until nothing is left or nobody does.
    fn serve(&mut self, agent: AgentOrd, mark: Mark, stage: Stage, made: &mut Made) {
        if self.agents[agent].free_key.is_none() {
            return;
        }
        let mut refusing = std::mem::take(&mut self.allocator.refusing);
        let record = &mut self.agents[agent];
        record.filters.refusing(&record.free, &self.allocator.sorter, &mut refusing);
        self.serve_but(agent, mark, stage, &refusing, made);
        self.allocator.refusing = refusing;
    }

    /// As `serve`, past the seats that refuse all that the agent has free.
    fn serve_but(
        &mut self,
        agent: AgentOrd,
        mark: Mark,
        stage: Stage,
        refusing: &OrdSet<SeatOrd>,
        made: &mut Made,
    ) {
        let mut tried: Vec<SeatOrd> = Vec::new();
        let mut held = false;
        while self.agents[agent].free_key.is_some() {
            let slack = self.allocator.slack();
            let free = &self.agents[agent].free_parts;
            if let (Stage::Fair, true, Some(slack)) = (stage, free.pure, &slack)
                && !self.allocator.may_be_worth(&free.plain.lesser(slack))
            {
                // Whoever comes, all of it is kept for guarantees.
                held = true;
                break;
            }
            let walk = match (stage, mark, free.pure) {
                (Stage::Guarantee, _, _) => Walk::Hungry,
                // Those at their limit may still have what no quota counts.
                (Stage::Fair, _, false) => Walk::All,
                (Stage::Fair, Mark::Woken, true) => Walk::Woken,
                (Stage::Fair, Mark::Touched | Mark::None, true) => Walk::Open,
            };
            let mut look = Look::new(agent, stage, slack);
            look.asked_filters = tried.is_empty();
            let found = self.first_taker(walk, mark, &look, &tried, refusing);
            held |= look.held.get();
            let free = &self.agents[agent].free_parts;
            for role in look.cuts.take() {
                self.allocator.sorter.note_cut(role, &free.plain, Sort::of(free));
            }
            let Some((seat, offering)) = found else { break };
            let framework = self.allocator.sorter.seat(seat).framework;
            let was_pure = free.pure;
            let offer = self.offer_counted(seat, agent, offering);
            made.entry(framework).or_default().push(offer);
            if self.agents[agent].free_key.is_none() {
                // Mostly nothing is left, and nobody needs to be remembered.
                return;
            }
            let became_pure = !was_pure && self.agents[agent].free_parts.pure;
            self.allocator.purified |= became_pure && mark == Mark::Woken;
            tried.push(seat);
        }
        // What they were offered of it is not what they would be offered of the rest.
        let free = &self.agents[agent].free_parts;
        for seat in tried {
            self.allocator.sorter.note_cuts(seat, &free.plain, Sort::of(free));
        }
        if held && stage == Stage::Fair && self.agents[agent].free_key.is_some() {
            let slack = self.allocator.slack().unwrap_or_default();
            self.hold_back(agent, &slack);
        }
    }

    /// Makes an offer, and notices should it take what guarantees need, or what may be used on
    /// agents that are not back. Keeps M23 and M25.
    pub(crate) fn offer_counted(
        &mut self,
        seat: SeatOrd,
        agent: AgentOrd,
        offering: Offering,
    ) -> Offer {
        let before = self.allocator.shortage();
        let offer = self.add_offer(seat, agent, offering);
        let after = self.allocator.shortage();
        if !before.contains(&after) {
            self.allocator.starved = Some(after.less(&before));
        }
        let sorter = &self.allocator.sorter;
        if sorter.missing() > 0 {
            let role = sorter.role_of(seat);
            let plain = sorter.cost_of(&offer.resources).plain;
            if sorter.exceeds(role, &plain) {
                self.allocator.overdrawn = Some(role.clone());
            }
        }
        offer
    }

    fn first_taker(
        &self,
        walk: Walk,
        mark: Mark,
        look: &Look,
        tried: &[SeatOrd],
        refusing: &OrdSet<SeatOrd>,
    ) -> Option<(SeatOrd, Offering)> {
        let sorter = &self.allocator.sorter;
        let mut offering = None;
        let found = sorter.first_but(walk, refusing, |seat| {
            if tried.contains(&seat) || (mark == Mark::Woken && !sorter.seat(seat).woken) {
                return false;
            }
            offering = self.consider(seat, look).ok();
            offering.is_some()
        });
        Some((found?, offering?))
    }

    /// The queue ran empty. A framework with a demand whose agents went to others is called again,
    /// as long as there are agents for it: each round takes one off the free agents at least.
    /// Agents are looked at again for roles that met their limit and have room again.
    fn end_of_round(&mut self) {
        self.call_again();
        self.serve_eased();
        self.sweep();
    }

    /// Ends the eligibility of who was woken, but for frameworks with a demand for which there are
    /// agents, or that were not looked for on all of them yet.
    fn call_again(&mut self) {
        let woken = std::mem::take(&mut self.allocator.woken);
        let mut looks = self.looks();
        let mut turn = Turn::default();
        for framework in in_turn(&woken, self.allocator.turns.at_end) {
            if self.allocator.calls.contains(&framework) {
                self.allocator.woken.insert(framework);
                continue;
            }
            self.mark_seats(framework, false);
            if !self.frameworks[framework].demand.is_stated() {
                continue;
            }
            turn.begin(framework, &looks);
            let (agents, whole) = self.agents_for_demand(framework, &mut looks);
            turn.was_cut |= !whole;
            if !agents.is_empty() {
                self.wake(framework);
            } else if !whole {
                self.allocator.woken.insert(framework);
                self.mark_seats(framework, true);
                self.ask_for_pass();
            }
        }
        self.allocator.turns.at_end = turn.end();
        self.count_looks(&looks);
    }
}
