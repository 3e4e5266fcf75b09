//! The allocator: which free resources are offered to whom.
//!
//! Inputs only mark: an agent whose free resources or filters changed is *touched*, a framework
//! that may want more than before is *woken*. A pass, at its own deadline, looks at what is marked,
//! at most `Options::allocation_slice` agents at a time, and sends the offers it made; an agent
//! that nobody wanted is not looked at again until something changes. An agent goes to the first
//! framework in fair order that wants it, as far as quotas allow; a framework with a stated demand
//! wants it only if it still lacks a bundle that fits, and chooses the agents that serve it best
//! (`choice`). Where nobody chooses, agents with least to spare come first, by cpus, then memory,
//! then in the order in which they came. What only headroom keeps from being offered is *held*, and
//! looked at when there is more to spare; what limits keep from being offered is looked at when
//! there is room again (`room`). Both end as soon as what there is more of is used up.

pub(crate) mod amounts;
pub(crate) mod choice;
pub(crate) mod demand;
pub(crate) mod filters;
pub(crate) mod held;
mod missing;
pub(crate) mod offering;
mod pass;
pub(crate) mod quota;
mod room;
pub(crate) mod sorter;

use crate::options::Options;
use crate::registry::Registry;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd, OrdSet, SeatOrd};
use amounts::{Amounts, Parts};
use choice::{Shapes, Turn, in_turn};
use held::Held;
pub(crate) use offering::Minimum;
use proto::{Resources, Role, Time};
use sorter::Sorter;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What the allocator remembers between passes.
#[derive(Debug)]
pub(crate) struct Allocator {
    pub(crate) sorter: Sorter,
    /// What an offer must hold at the least, but for frameworks that say it themselves.
    pub(crate) minimum: Minimum,
    /// Frameworks that say themselves what an offer must hold: while there are any, all that is
    /// free may be worth one.
    own_minimum: BTreeSet<FrameworkOrd>,
    /// When the next pass is due.
    pub(crate) due: Option<Time>,
    /// Agents to look at, in the order in which they were marked.
    queue: VecDeque<AgentOrd>,
    /// Frameworks whose eligibility widened since the queue was last empty.
    woken: BTreeSet<FrameworkOrd>,
    /// Woken frameworks for which agents have not been marked yet.
    calls: BTreeSet<FrameworkOrd>,
    /// Agents with something to offer.
    pub(crate) free: OrdSet<AgentOrd>,
    /// Those of them that have more free than plain resources.
    pub(crate) free_mixed: OrdSet<AgentOrd>,
    /// Frameworks that stated a demand.
    demanding: BTreeSet<FrameworkOrd>,
    /// The free agents by shape, while a demand is stated.
    shapes: Shapes,
    turns: Turns,
    /// What frameworks with a demand chose in the pass under way.
    chosen: BTreeMap<FrameworkOrd, BTreeSet<AgentOrd>>,
    /// Seats that refuse the agent that is being looked at: kept for its memory.
    refusing: OrdSet<SeatOrd>,
    /// What is free on agents that offers may be made of, as far as quotas count it.
    pub(crate) available: Amounts,
    /// Agents that headroom alone kept from being offered, by sort.
    held_plain: Held,
    held_mixed: Held,
    /// Whether an agent that was not looked at for everybody lost, in the pass under way, all that
    /// was not plain.
    purified: bool,
    /// The scalars of nothing.
    pub(crate) nothing: Arc<Parts>,
    /// What an offer ever took of what guarantees need: a mistake of ours (for the invariants).
    pub(crate) starved: Option<Amounts>,
    /// A role that an offer ever took over its limit, with what is not known of its use: likewise.
    pub(crate) overdrawn: Option<Role>,
}

/// The frameworks that had the last looks when there were not enough: those after them come first in
/// the next pass.
#[derive(Debug, Default)]
struct Turns {
    called: Option<FrameworkOrd>,
    in_pass: Option<FrameworkOrd>,
    at_end: Option<FrameworkOrd>,
}

/// Why an agent is in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// It is not.
    #[default]
    None,
    /// Woken frameworks may want it.
    Woken,
    /// It changed: anybody may want it.
    Touched,
}

impl Allocator {
    pub(crate) fn new(registry: &Registry, options: &Options) -> Self {
        let least = &options.min_allocatable;
        let mut sorter = Sorter::new(registry.weights().clone(), registry.quotas(), least);
        Self {
            minimum: Minimum::new(least, &mut sorter),
            sorter,
            own_minimum: BTreeSet::new(),
            due: None,
            queue: VecDeque::new(),
            woken: BTreeSet::new(),
            calls: BTreeSet::new(),
            free: OrdSet::default(),
            free_mixed: OrdSet::default(),
            demanding: BTreeSet::new(),
            shapes: Shapes::default(),
            turns: Turns::default(),
            chosen: BTreeMap::new(),
            refusing: OrdSet::default(),
            available: Amounts::default(),
            held_plain: Held::default(),
            held_mixed: Held::default(),
            purified: false,
            nothing: Arc::new(Parts { pure: true, ..Parts::default() }),
            starved: None,
            overdrawn: None,
        }
    }

    /// Whether so much may be worth an offer to somebody.
    pub(crate) fn is_worth(&self, scalars: &Amounts, free: &Resources) -> bool {
        match self.own_minimum.is_empty() {
            true => self.minimum.is_met(scalars, free),
            false => !free.is_empty(),
        }
    }

    /// Whether so many plain scalars can make an offer worth while by themselves.
    pub(crate) fn may_be_worth(&self, scalars: &Amounts) -> bool {
        match self.own_minimum.is_empty() {
            true => self.minimum.may_be_met(scalars),
            false => !scalars.is_zero(),
        }
    }

    /// Takes an agent out of the queue, because it leaves.
    pub(crate) fn forget(&mut self, agent: AgentOrd) {
        self.queue.retain(|queued| *queued != agent);
    }

    pub(crate) fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    pub(crate) fn queue(&self) -> &VecDeque<AgentOrd> {
        &self.queue
    }

    /// What may be offered beyond guarantees; none when nothing is kept for them.
    pub(crate) fn slack(&self) -> Option<Amounts> {
        let required = self.sorter.kept_free();
        (!required.is_zero()).then(|| self.available.less(required))
    }

    pub(crate) fn woken(&self) -> &BTreeSet<FrameworkOrd> {
        &self.woken
    }

    /// What guarantees need and is not available.
    pub(crate) fn shortage(&self) -> Amounts {
        match self.sorter.kept_free() {
            required if required.is_zero() => Amounts::default(),
            required => required.less(&self.available),
        }
    }

    /// The free agents by shape, if a demand is stated.
    pub(crate) fn shapes(&self) -> Option<&Shapes> {
        (!self.demanding.is_empty()).then_some(&self.shapes)
    }
}

impl Master {
    /// Marks an agent: it changed, anybody may want it.
    pub(crate) fn touch(&mut self, agent: AgentOrd) {
        self.mark(agent, Mark::Touched);
    }

    fn mark(&mut self, agent: AgentOrd, mark: Mark) {
        let record = &mut self.agents[agent];
        // Once there is more to spare, anybody may want an agent that was held.
        let mark = if record.held.is_some() { Mark::Touched } else { mark };
        if record.free_key.is_none() {
            return;
        }
        if record.mark == Mark::None {
            self.allocator.queue.push_back(agent);
        }
        record.mark = record.mark.max(mark);
        self.ask_for_pass();
    }

    /// Marks every agent that has something to offer: the rules changed.
    pub(crate) fn touch_all(&mut self) {
        let free: Vec<AgentOrd> = self.allocator.free.iter().collect();
        for agent in free {
            self.touch(agent);
        }
    }

    /// Learns whether a framework says itself what an offer must hold, and sees what is worth one
    /// anew when that changes for all.
    pub(crate) fn set_minimum(&mut self, framework: FrameworkOrd, own: bool) {
        let all = &mut self.allocator.own_minimum;
        let was_empty = all.is_empty();
        if own {
            all.insert(framework);
        } else {
            all.remove(&framework);
        }
        if all.is_empty() == was_empty {
            return;
        }
        let least = if was_empty { Vec::new() } else { self.allocator.minimum.scalars() };
        self.allocator.sorter.set_least(least);
        let agents: Vec<AgentOrd> = self.agents.iter().map(|(ord, _)| ord).collect();
        for agent in agents {
            self.index_free(agent);
        }
    }

    /// Counts what is reserved on an agent as consumed by its roles, or no longer. To be told
    /// before the agent's resources change, and after.
    pub(crate) fn count_reserved(&mut self, agent: AgentOrd, more: bool) {
        let resources = &self.agents[agent].info.resources;
        if !resources.has_reserved() {
            return;
        }
        let roles: BTreeSet<Role> = resources.reservation_roles().cloned().collect();
        for role in roles {
            let reserved = self.agents[agent].info.resources.reserved_to(&role).non_revocable();
            let parts = self.allocator.sorter.parts(&reserved);
            self.allocator.sorter.change_reserved(&role, &parts.all, more);
        }
        self.eased();
    }

    /// Marks a framework: it may want more than before.
    pub(crate) fn wake(&mut self, framework: FrameworkOrd) {
        if self.frameworks[framework].is_connected() {
            self.allocator.woken.insert(framework);
            self.allocator.calls.insert(framework);
            self.frameworks[framework].demand.walk_again();
            self.mark_seats(framework, true);
            self.ask_for_pass();
        }
    }

    /// Forgets a framework that gets no more offers.
    pub(crate) fn unwake(&mut self, framework: FrameworkOrd) {
        self.allocator.calls.remove(&framework);
        if self.allocator.woken.remove(&framework) {
            self.mark_seats(framework, false);
        }
    }

    fn mark_seats(&mut self, framework: FrameworkOrd, woken: bool) {
        let sorter = &mut self.allocator.sorter;
        for seat in sorter.seats_of(framework) {
            sorter.wake(seat, woken);
        }
    }

    fn ask_for_pass(&mut self) {
        let at = self.now + self.options.allocation_delay;
        self.allocator.due = Some(self.allocator.due.map_or(at, |due| due.min(at)));
    }

    /// Resources were taken back: those who met a limit, or headroom, may get more now.
    pub(crate) fn eased(&mut self) {
        let sorter = &self.allocator.sorter;
        if sorter.has_to_serve() || sorter.surpassed || self.allocator.has_held_to_sweep() {
            self.ask_for_pass();
        }
    }

    /// Keeps `Allocator::free` and `Allocator::available` right: an agent is in the former while
    /// it may be offered. Keeps M12 and M22.
    pub(crate) fn index_free(&mut self, agent: AgentOrd) {
        self.agents[agent].withhold();
        let free = &self.agents[agent].free;
        let parts = match free.is_empty() {
            true => self.allocator.nothing.clone(),
            false => Arc::new(self.allocator.sorter.parts(free)),
        };
        self.index_free_as(agent, parts);
    }

    /// As `index_free`, when the scalars of what is free are known.
    pub(crate) fn index_free_as(&mut self, agent: AgentOrd, parts: Arc<Parts>) {
        let record = &mut self.agents[agent];
        let at_hand = record.is_offerable();
        let worth = at_hand && self.allocator.is_worth(&parts.all, &record.free);
        let key = worth.then(|| (parts.all.get(0), parts.all.get(1), agent));
        let counted = if at_hand { &parts } else { &self.allocator.nothing };
        if record.counted.plain != counted.plain {
            self.allocator.available.subtract(&record.counted.plain);
            self.allocator.available.add(&counted.plain);
            record.counted = counted.clone();
            self.eased();
        }
        let record = &mut self.agents[agent];
        if !self.allocator.demanding.is_empty() {
            if record.free_key.is_some() {
                self.allocator.shapes.remove(&record.free_parts.all, agent);
            }
            if key.is_some() {
                self.allocator.shapes.insert(&parts.all, agent);
            }
        }
        self.allocator.free_mixed.set(agent, key.is_some() && !parts.pure);
        record.free_parts = parts;
        if record.free_key == key {
            return;
        }
        record.free_key = key;
        self.allocator.free.set(agent, key.is_some());
        if key.is_none() {
            self.unhold(agent);
        }
    }

    /// Marks the agents that woken frameworks may want: all that are free as soon as one of them
    /// stated no demand.
    pub(crate) fn mark_for_woken(&mut self) {
        let calls = std::mem::take(&mut self.allocator.calls);
        let mut takes_any = false;
        let mut agents: Vec<AgentOrd> = Vec::new();
        let mut looks = self.looks();
        let mut turn = Turn::default();
        for framework in in_turn(&calls, self.allocator.turns.called) {
            if !self.frameworks[framework].demand.is_stated() {
                takes_any = true;
                continue;
            }
            turn.begin(framework, &looks);
            let (some, whole) = self.agents_for_demand(framework, &mut looks);
            agents.extend(some);
            if !whole {
                turn.was_cut = true;
                self.allocator.calls.insert(framework);
                self.ask_for_pass();
            }
        }
        self.allocator.turns.called = turn.end();
        self.count_looks(&looks);
        if takes_any {
            agents.extend(self.allocator.free.iter());
        }
        for agent in agents {
            self.mark(agent, Mark::Woken);
        }
    }
}

/// Whether so much is worth an offer: any one of these amounts, or anything when there are none.
pub(crate) fn is_allocatable(least: &[proto::Quantities], free: &Resources) -> bool {
    if free.is_empty() {
        return false;
    }
    least.is_empty() || {
        let have = free.quantities();
        least.iter().any(|bundle| have.contains(bundle))
    }
}
