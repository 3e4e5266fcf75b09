//! The allocator: which free resources are offered to whom.
//!
//! Inputs only mark: an agent whose free resources or filters changed is *touched*, a framework
//! that may want more than before is *woken*. A pass, at its own deadline, looks at what is marked,
//! at most `Options::allocation_slice` agents at a time, and sends the offers it made; an agent
//! that nobody wanted is not looked at again until something changes. An agent goes whole to the
//! first framework in fair order that wants it; a framework with a stated demand wants it only if
//! it still lacks a bundle that fits, and is served from the agents with least to spare.

pub(crate) mod demand;
pub(crate) mod filters;
pub(crate) mod sorter;

use crate::effect::Effect;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use demand::fits;
use proto::scheduler::Event;
use proto::{Capability, Offer, Resources, Role, Time};
use sorter::Sorter;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What the allocator remembers between passes.
#[derive(Debug)]
pub(crate) struct Allocator {
    pub(crate) sorter: Sorter,
    /// When the next pass is due.
    pub(crate) due: Option<Time>,
    /// Agents to look at, in the order in which they were marked.
    queue: VecDeque<AgentOrd>,
    /// Frameworks whose eligibility widened since the queue was last empty.
    woken: BTreeSet<FrameworkOrd>,
    /// Woken frameworks for which agents have not been marked yet.
    calls: BTreeSet<FrameworkOrd>,
    /// Agents with something to offer, those with least to spare first.
    pub(crate) free: BTreeSet<(u64, u64, AgentOrd)>,
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
    pub(crate) fn new(weights: BTreeMap<Role, u64>) -> Self {
        Self {
            sorter: Sorter::new(weights),
            due: None,
            queue: VecDeque::new(),
            woken: BTreeSet::new(),
            calls: BTreeSet::new(),
            free: BTreeSet::new(),
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
}

impl Master {
    /// Marks an agent: it changed, anybody may want it.
    pub(crate) fn touch(&mut self, agent: AgentOrd) {
        self.mark(agent, Mark::Touched);
    }

    fn mark(&mut self, agent: AgentOrd, mark: Mark) {
        let record = &mut self.agents[agent];
        if record.free_key.is_none() {
            return;
        }
        if record.mark == Mark::None {
            self.allocator.queue.push_back(agent);
        }
        record.mark = record.mark.max(mark);
        self.ask_for_pass();
    }

    /// Marks a framework: it may want more than before.
    pub(crate) fn wake(&mut self, framework: FrameworkOrd) {
        if self.frameworks[framework].is_connected() {
            self.allocator.woken.insert(framework);
            self.allocator.calls.insert(framework);
            self.ask_for_pass();
        }
    }

    /// Forgets a framework that gets no more offers.
    pub(crate) fn unwake(&mut self, framework: FrameworkOrd) {
        self.allocator.woken.remove(&framework);
        self.allocator.calls.remove(&framework);
    }

    fn ask_for_pass(&mut self) {
        let at = self.now + self.options.allocation_delay;
        self.allocator.due = Some(self.allocator.due.map_or(at, |due| due.min(at)));
    }

    /// Keeps `Allocator::free` right: an agent is in it while it may be offered. Keeps M12.
    pub(crate) fn index_free(&mut self, agent: AgentOrd) {
        let record = &mut self.agents[agent];
        let worth =
            record.is_offerable() && is_allocatable(&self.options.min_allocatable, &record.free);
        let key = worth.then(|| (record.free.cpus(), record.free.mem(), agent));
        if record.free_key == key {
            return;
        }
        if let Some(old) = record.free_key.take() {
            self.allocator.free.remove(&old);
        }
        record.free_key = key;
        if let Some(key) = key {
            self.allocator.free.insert(key);
        }
    }

    /// Whether, and standing for which bundles, the framework would take all that the agent has
    /// free.
    pub(crate) fn would_take(
        &self,
        framework: FrameworkOrd,
        role: &Role,
        agent: AgentOrd,
    ) -> Option<demand::Credit> {
        let (record, taker) = (&self.agents[agent], &self.frameworks[framework]);
        if self.options.filter_gpu_resources
            && record.has_gpus
            && !taker.has(Capability::GpuResources)
        {
            return None;
        }
        if record.filters.against(framework, role, &record.free).is_some() {
            return None;
        }
        if !taker.demand.is_stated() {
            return Some(demand::Credit::default());
        }
        let credit = taker.demand.credit_for(&record.free, &record.id, role);
        (!credit.is_empty()).then_some(credit)
    }

    /// One allocation pass.
    pub(crate) fn allocate(&mut self, out: &mut Vec<Effect>) {
        self.allocator.due = None;
        self.allocator.sorter.refresh();
        self.counters.allocation_passes += 1;
        self.mark_for_woken();
        let mut made: BTreeMap<FrameworkOrd, Vec<Offer>> = BTreeMap::new();
        for (agent, mark) in self.take_slice() {
            self.counters.agents_considered += 1;
            let taker = match mark {
                Mark::Touched => self.first_taker(agent),
                Mark::Woken => self.first_woken_taker(agent),
                Mark::None => None,
            };
            if let Some((role, framework, credit)) = taker {
                let offer = self.add_offer(framework, agent, &role, credit);
                made.entry(framework).or_default().push(offer);
            }
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
        }
        keyed.sort_unstable();
        keyed.into_iter().map(|((_, _, agent), mark)| (agent, mark)).collect()
    }

    fn first_taker(&self, agent: AgentOrd) -> Option<(Role, FrameworkOrd, demand::Credit)> {
        let mut credit = None;
        let found = self.allocator.sorter.first(|role, framework| {
            credit = self.would_take(framework, role, agent);
            credit.is_some()
        });
        let (role, framework) = found?;
        Some((role.clone(), framework, credit?))
    }

    /// As `first_taker`, when only woken frameworks can want what all others left.
    fn first_woken_taker(&self, agent: AgentOrd) -> Option<(Role, FrameworkOrd, demand::Credit)> {
        let woken = &self.allocator.woken;
        if let (Some(one), 1) = (woken.first(), woken.len()) {
            let taker = &self.frameworks[*one];
            if let Some(role) = taker.only_role() {
                let eligible = taker.is_eligible_in(role);
                let credit = eligible.then(|| self.would_take(*one, role, agent)).flatten()?;
                return Some((role.clone(), *one, credit));
            }
        }
        let mut credit = None;
        let found = self.allocator.sorter.first(|role, framework| {
            credit = if woken.contains(&framework) {
                self.would_take(framework, role, agent)
            } else {
                None
            };
            credit.is_some()
        });
        let (role, framework) = found?;
        Some((role.clone(), framework, credit?))
    }

    /// Marks the agents that woken frameworks may want: all that are free as soon as one of them
    /// stated no demand.
    fn mark_for_woken(&mut self) {
        let calls = std::mem::take(&mut self.allocator.calls);
        let takes_any = |framework: &FrameworkOrd| !self.frameworks[*framework].demand.is_stated();
        let agents: Vec<AgentOrd> = if calls.iter().any(takes_any) {
            self.allocator.free.iter().map(|(_, _, agent)| *agent).collect()
        } else {
            calls.iter().flat_map(|framework| self.agents_for_demand(*framework)).collect()
        };
        for agent in agents {
            self.mark(agent, Mark::Woken);
        }
    }

    /// Agents enough for what the framework lacks, those with least to spare first.
    fn agents_for_demand(&self, framework: FrameworkOrd) -> Vec<AgentOrd> {
        let taker = &self.frameworks[framework];
        let mut chosen = Vec::new();
        for (demand, lacking) in taker.demand.lacking() {
            let mut lacking = u64::from(lacking);
            let least = (demand.resources.cpus(), 0, first_agent());
            for (_, _, agent) in self.allocator.free.range(least..) {
                if lacking == 0 {
                    break;
                }
                let roles = demand.role.iter().chain(&taker.info.roles);
                let takes = |role: &Role| {
                    taker.is_eligible_in(role) && self.would_take(framework, role, *agent).is_some()
                };
                let times = fits(&self.agents[*agent].free, &demand.resources);
                if times > 0 && roles.into_iter().any(takes) {
                    chosen.push(*agent);
                    lacking = lacking.saturating_sub(times);
                }
            }
        }
        chosen
    }

    /// The queue ran empty. A framework with a demand whose agents went to others is called again,
    /// as long as there are agents for it: each round takes one off the free agents at least.
    fn end_of_round(&mut self) {
        let woken = std::mem::take(&mut self.allocator.woken);
        for framework in woken {
            let still = self.frameworks[framework].demand.is_stated()
                && !self.agents_for_demand(framework).is_empty();
            if still {
                self.wake(framework);
            }
        }
    }
}

fn first_agent() -> AgentOrd {
    crate::table::Ordinal::from_index(0)
}

/// Whether so much is worth an offer.
pub(crate) fn is_allocatable(least: &[proto::Quantities], free: &Resources) -> bool {
    if free.is_empty() {
        return false;
    }
    least.is_empty() || {
        let have = free.quantities();
        least.iter().any(|bundle| have.contains(bundle))
    }
}
