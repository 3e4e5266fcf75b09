//! The oracle: a naive allocator that keeps nothing between passes and looks at everything, and
//! clusters at random on which the fast one must make the same offers.
//!
//! It reckons shares, consumption, what guarantees lack and what may be spared from the tables of
//! offers, tasks and agents, anew for every single decision, of every free agent: so it also shows
//! that an agent which the fast one did not look at is wanted by nobody.

use crate::Master;
use crate::allocator::Mark;
use crate::allocator::demand::{Credit, DemandBook, fits};
use crate::operator::is_below;
use crate::registry::{DEFAULT_WEIGHT_MILLI, Quota};
use crate::table::{AgentOrd, FrameworkOrd, Ordinal};
use proto::scheduler::Demand;
use proto::{Capability, Piece, Quantities, ResourceName, Resources, Role, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Where a pair stands: on each level the bits of the share, how often it was served, whether it
/// is a role below, and its number.
type Path = Vec<(u64, u64, u8, usize)>;

/// An offer: framework, role, agent and resources.
pub(super) type Made = (String, String, String, String);

/// The cluster as the naive allocator sees it.
pub(super) struct Naive<'m> {
    m: &'m Master,
    free: BTreeMap<AgentOrd, Resources>,
    /// Who holds what in which role, and how often it was offered something.
    held: BTreeMap<(Role, FrameworkOrd), Resources>,
    /// How often something was offered in which role (the tie-break of equal shares).
    counts: BTreeMap<(Role, FrameworkOrd), u64>,
    credits: BTreeMap<FrameworkOrd, Vec<Credit>>,
}

/// Whether quotas count the piece when it is allocated.
fn is_counted(piece: &Piece) -> bool {
    !piece.flavor.revocable && piece.flavor.reserved_to().is_none()
}

fn milli(resources: &Resources, name: &ResourceName, plain: bool) -> u64 {
    let counts = |piece: &&Piece| piece.name == *name && (!plain || is_counted(piece));
    resources
        .pieces()
        .iter()
        .filter(counts)
        .map(|piece| match piece.value {
            Value::Scalar(milli) => milli,
            _ => 0,
        })
        .sum()
}

fn within(role: &Role, above: &Role) -> bool {
    role == above || is_below(role, above)
}

impl<'m> Naive<'m> {
    pub(super) fn new(m: &'m Master, counts: BTreeMap<(Role, FrameworkOrd), u64>) -> Self {
        let offerable = |ord: &AgentOrd| m.agents[*ord].is_offerable();
        let agents = m.agents.iter().map(|(ord, agent)| (ord, agent.free.clone()));
        let mut held: BTreeMap<(Role, FrameworkOrd), Resources> = BTreeMap::new();
        for offer in m.offers.values() {
            held.entry((offer.role.clone(), offer.framework)).or_default().add(&offer.resources);
        }
        for (ord, framework) in m.frameworks.iter() {
            for task in framework.tasks.values().filter(|task| task.holds) {
                held.entry((task.role.clone(), ord)).or_default().add(&task.resources);
            }
        }
        let free = agents.filter(|(ord, _)| offerable(ord)).collect();
        Self { m, free, held, counts, credits: BTreeMap::new() }
    }

    fn names(&self) -> BTreeSet<ResourceName> {
        let all = self.m.agents.iter().flat_map(|(_, agent)| agent.info.resources.pieces());
        all.filter(|p| matches!(p.value, Value::Scalar(_))).map(|p| p.name.clone()).collect()
    }

    /// What the role and those below hold of a name.
    fn held(&self, role: &Role, name: &ResourceName, plain: bool) -> u64 {
        let below = self.held.iter().filter(|((r, _), _)| within(r, role));
        below.map(|(_, resources)| milli(resources, name, plain)).sum()
    }

    /// What quotas say that the role consumes: what it holds, and all that is reserved to it.
    fn consumed(&self, role: &Role, name: &ResourceName) -> u64 {
        let pieces = self.m.agents.iter().flat_map(|(_, agent)| agent.info.resources.pieces());
        let reserved = pieces.filter(|piece| {
            piece.name == *name && piece.flavor.reserved_to().is_some_and(|to| within(to, role))
        });
        self.held(role, name, true) + reserved.map(Piece::size).sum::<u64>()
    }

    fn share(&self, held: impl Fn(&ResourceName) -> u64, weight: u64) -> f64 {
        let total = |name: &ResourceName| -> u64 {
            self.m.agents.iter().map(|(_, agent)| milli(&agent.info.resources, name, false)).sum()
        };
        let fraction = |name: ResourceName| match total(&name) {
            0 => 0.0,
            all => held(&name) as f64 / all as f64,
        };
        let dominant = self.names().into_iter().map(fraction).fold(0.0, f64::max);
        dominant / (weight as f64 / DEFAULT_WEIGHT_MILLI as f64)
    }

    /// The eligible pairs, poorest first, level by level.
    fn order(&self) -> Vec<(Role, FrameworkOrd)> {
        let mut pairs: Vec<(Path, Role, FrameworkOrd)> = Vec::new();
        for (ord, framework) in self.m.frameworks.iter() {
            for role in framework.info.roles.iter().filter(|role| framework.is_eligible_in(role)) {
                let mut path = Vec::new();
                let mut name = String::new();
                for component in role.components() {
                    if !name.is_empty() {
                        name.push('/');
                    }
                    name.push_str(component);
                    let above = Role::new(name.as_str()).unwrap();
                    let weight = self.m.registry.weight_milli(&above);
                    let share = self.share(|n| self.held(&above, n, false), weight);
                    let counts = self.counts.iter().filter(|((r, _), _)| within(r, &above));
                    let count = counts.map(|(_, count)| count).sum();
                    let number = self.m.allocator.sorter.by_role[&above].index();
                    path.push((share.to_bits(), count, 1, number));
                }
                // The role's own frameworks are a child among the roles below it.
                let own = |n: &ResourceName| -> u64 {
                    let own = self.held.iter().filter(|((r, _), _)| r == role);
                    own.map(|(_, resources)| milli(resources, n, false)).sum()
                };
                let counts = self.counts.iter().filter(|((r, _), _)| r == role);
                let count = counts.map(|(_, count)| count).sum();
                path.push((self.share(own, DEFAULT_WEIGHT_MILLI).to_bits(), count, 0, 0));
                let key = (role.clone(), ord);
                let held = self.held.get(&key).cloned().unwrap_or_default();
                let share = self.share(|n| milli(&held, n, false), DEFAULT_WEIGHT_MILLI);
                let count = self.counts.get(&key).copied().unwrap_or(0);
                path.push((share.to_bits(), count, 0, ord.index()));
                pairs.push((path, role.clone(), ord));
            }
        }
        pairs.sort();
        pairs.into_iter().map(|(_, role, ord)| (role, ord)).collect()
    }

    fn quotas(&self) -> &BTreeMap<Role, Quota> {
        self.m.registry.quotas()
    }

    /// What must be kept for the guarantees of the role and those below (of all roles without
    /// one), if `more` had everything.
    fn required(&self, role: Option<&Role>, name: &ResourceName, more: Option<&Role>) -> u64 {
        let under = |r: &Role| role.is_none_or(|above| is_below(r, above));
        let all = || self.quotas().keys().filter(|r| under(r));
        let nearest = |r: &&Role| !all().any(|between| is_below(r, between));
        let below: u64 = all().filter(nearest).map(|r| self.required(Some(r), name, more)).sum();
        let guarantee =
            |role| self.quotas().get(role).map_or(0, |quota| quota.guarantees.get(name));
        let lacking = role.map_or(0, |role| match more {
            Some(more) if within(more, role) => 0,
            _ => guarantee(role).saturating_sub(self.consumed(role, name)),
        });
        below.max(lacking)
    }

    fn spare(&self, name: &ResourceName) -> u64 {
        let available: u64 = self.free.values().map(|free| milli(free, name, true)).sum();
        available.saturating_sub(self.required(None, name, None))
    }

    /// What the pair is offered of the agent, if anything.
    fn offer(
        &self,
        role: &Role,
        ord: FrameworkOrd,
        agent: AgentOrd,
        first: bool,
    ) -> Option<(Resources, Credit)> {
        let offered = self.offer_any(role, ord, agent, first)?;
        let credit = self.credit(ord, role, agent, &offered)?;
        Some((offered, credit))
    }

    /// As `offer`, whatever the framework said it wants.
    fn offer_any(
        &self,
        role: &Role,
        ord: FrameworkOrd,
        agent: AgentOrd,
        first: bool,
    ) -> Option<Resources> {
        let (record, taker, free) =
            (&self.m.agents[agent], &self.m.frameworks[ord], &self.free[&agent]);
        if record.has_gpus && !taker.has(Capability::GpuResources) {
            return None;
        }
        let above: Vec<&Role> = self.quotas().keys().filter(|above| within(role, above)).collect();
        let keeps = self.names().iter().any(|name| self.required(None, name, None) > 0);
        let (mut guaranteed, mut left) = (false, BTreeMap::new());
        for name in self.names() {
            let have = milli(free, &name, true);
            let room = |quota: &Quota, role: &Role| {
                let limit = quota.limits.get(&name).copied().unwrap_or(u64::MAX);
                limit.saturating_sub(self.consumed(role, &name))
            };
            let rooms = above.iter().map(|role| room(&self.quotas()[*role], role));
            let most = rooms.fold(have, u64::min);
            // As much as guarantees would need less if the role had everything.
            let needed = |more| self.required(None, &name, more);
            let share = if first { most.min(needed(None) - needed(Some(role))) } else { 0 };
            guaranteed |= share > 0;
            let more = if keeps { (most - share).min(self.spare(&name)) } else { most - share };
            left.insert(name, share + more);
        }
        if first && !guaranteed {
            return None;
        }
        let share = |piece: &Piece| {
            let flavor = &piece.flavor;
            let revocable = flavor.revocable && !taker.has(Capability::RevocableResources);
            let other = flavor.reserved_to().is_some_and(|to| !within(role, to));
            if revocable || other {
                return None;
            }
            match piece.value {
                Value::Scalar(milli) if is_counted(piece) => {
                    let left = left.get_mut(&piece.name).unwrap();
                    let divided = *left < milli && flavor.is_whole();
                    let part = if divided { 0 } else { milli.min(*left) };
                    *left -= part;
                    Some(Piece { value: Value::Scalar(part), ..piece.clone() })
                }
                _ => Some(piece.clone()),
            }
        };
        let offered: Resources = free.pieces().iter().filter_map(share).collect();
        let needed = |name: &ResourceName| {
            self.required(None, name, None) - self.required(None, name, Some(role))
        };
        let serves = |name: &ResourceName| milli(&offered, name, true).min(needed(name)) > 0;
        if first && !self.names().iter().any(serves) {
            return None;
        }
        let worth = |least: &Quantities| offered.quantities().contains(least);
        let least = taker.info.min_allocatable.get(role);
        let least = least.unwrap_or(&self.m.options.min_allocatable);
        if offered.is_empty() || !(least.is_empty() || least.iter().any(worth)) {
            return None;
        }
        let sorter = &self.m.allocator.sorter;
        let seat = sorter.seat_in(ord, role)?;
        let filtered = record.filters.iter().any(|filter| {
            filter.seat == seat
                && sorter.epoch(seat) == Some(filter.epoch)
                && filter.refused.contains(&offered)
        });
        if filtered {
            return None;
        }
        Some(offered)
    }

    fn book(&self, ord: FrameworkOrd) -> DemandBook {
        let mut book = self.m.frameworks[ord].demand.clone();
        for credit in self.credits.get(&ord).into_iter().flatten() {
            book.credit(credit);
        }
        book
    }

    /// Of the agents those that the framework chooses for what it lacks, the best first: for each
    /// demand, those on which the least is left over.
    fn choice(&self, ord: FrameworkOrd, agents: &[AgentOrd]) -> Vec<AgentOrd> {
        let mut book = self.book(ord);
        let mut wanted: Vec<(usize, Demand)> =
            book.in_order().map(|(index, demand)| (index, demand.clone())).collect();
        wanted.sort_by_key(|(index, demand)| {
            (-demand.priority, demand.deadline.is_none(), demand.deadline, *index)
        });
        let mut chosen = Vec::new();
        for (index, demand) in wanted {
            let lacks = |book: &DemandBook| demand.count.saturating_sub(book.credited()[index]);
            let most = u64::from(lacks(&book));
            let amount = |name: &str, of: &Resources| milli(of, &ResourceName::new(name), false);
            let cost = |agent: AgentOrd| {
                let free = &self.free[&agent];
                let room = self.names().into_iter().filter_map(|name| {
                    milli(free, &name, false).checked_div(milli(&demand.resources, &name, false))
                });
                let times = room.min().unwrap_or(u64::MAX).min(most);
                let left = |name: &ResourceName| {
                    milli(free, name, false) - milli(&demand.resources, name, false) * times
                };
                let shape = ["cpus", "mem", "disk", "gpus"].map(|name| amount(name, free));
                let cost = self.share(left, DEFAULT_WEIGHT_MILLI).to_bits();
                (times > 0).then_some((cost, shape, agent))
            };
            let mut best: Vec<_> = agents.iter().filter_map(|agent| cost(*agent)).collect();
            best.sort_unstable();
            for (.., agent) in best {
                if lacks(&book) == 0 || chosen.contains(&agent) {
                    continue;
                }
                let record = &self.m.agents[agent];
                let elsewhere = demand.agent_id.as_ref().is_some_and(|id| *id != record.id);
                if elsewhere || fits(&self.free[&agent], &demand.resources) == 0 {
                    continue;
                }
                let taker = &self.m.frameworks[ord];
                let roles = taker.info.roles.iter().filter(|role| {
                    demand.role.as_ref().is_none_or(|wanted| wanted == *role)
                        && taker.is_eligible_in(role)
                });
                let offers = roles.flat_map(|role| [(role, false), (role, true)]);
                let mut credits = offers.filter_map(|(role, first)| {
                    let offered = self.offer_any(role, ord, agent, first)?;
                    let credit = book.credit_for(&offered, &record.id, role);
                    (!credit.is_empty()).then_some(credit)
                });
                if let Some(credit) = credits.next() {
                    book.credit(&credit);
                    chosen.push(agent);
                }
            }
        }
        chosen
    }

    /// What of a stated demand the offer would stand for; nothing at all is no offer.
    fn credit(
        &self,
        ord: FrameworkOrd,
        role: &Role,
        agent: AgentOrd,
        offered: &Resources,
    ) -> Option<Credit> {
        let book = self.book(ord);
        if !book.is_stated() {
            return Some(Credit::default());
        }
        let credit = book.credit_for(offered, &self.m.agents[agent].id, role);
        (!credit.is_empty()).then_some(credit)
    }

    fn key(&self, agent: AgentOrd) -> Option<(u64, u64, AgentOrd)> {
        let free = self.free.get(&agent)?;
        let worth = |least: &Quantities| free.quantities().contains(least);
        let mut frameworks = self.m.frameworks.iter();
        let any = frameworks.any(|(_, f)| !f.info.min_allocatable.is_empty()) && !free.is_empty();
        let is_worth = any || self.m.options.min_allocatable.iter().any(worth);
        is_worth.then(|| (free.cpus(), free.mem(), agent))
    }

    /// All the offers to be made: first of what changed, to those who may want it for that, then
    /// of everything, until nobody wants anything more.
    pub(super) fn offers(&mut self) -> Vec<Made> {
        let mut made = Vec::new();
        let waits = |agent: &&AgentOrd| self.m.agents[**agent].mark != Mark::None;
        let changed = self.free.keys().filter(waits).copied().collect();
        self.pass(&changed, true, &mut made);
        loop {
            let before = made.len();
            self.pass(&self.free.keys().copied().collect(), false, &mut made);
            if made.len() == before {
                made.sort();
                return made;
            }
        }
    }

    /// One pass over these agents; `marked`: agents that others woke are for those alone.
    fn pass(&mut self, agents: &BTreeSet<AgentOrd>, marked: bool, made: &mut Vec<Made>) {
        let woken = self.m.allocator.woken();
        let mut keys: Vec<_> = agents.iter().filter_map(|agent| self.key(*agent)).collect();
        keys.sort_unstable();
        let mut keys: Vec<AgentOrd> = keys.into_iter().map(|(_, _, agent)| agent).collect();
        let mut choices: BTreeMap<FrameworkOrd, Vec<AgentOrd>> = BTreeMap::new();
        for (ord, framework) in self.m.frameworks.iter() {
            if framework.demand.is_stated() {
                let of = |agent: &AgentOrd| {
                    !marked || woken.contains(&ord) || self.m.agents[*agent].mark == Mark::Touched
                };
                let agents: Vec<_> = keys.iter().copied().filter(of).collect();
                choices.insert(ord, self.choice(ord, &agents));
            }
        }
        // What was chosen comes first, in the order of the choices.
        keys.sort_by_key(|agent| {
            let rank = |choice: &Vec<AgentOrd>| choice.iter().position(|other| other == agent);
            choices.values().filter_map(rank).min().unwrap_or(usize::MAX)
        });
        for first in [true, false] {
            for agent in &keys {
                let mut tried: BTreeSet<(Role, FrameworkOrd)> = BTreeSet::new();
                while self.key(*agent).is_some() {
                    let woken_only = marked && self.m.agents[*agent].mark == Mark::Woken;
                    let pairs = self.order().into_iter().filter(|pair| {
                        !tried.contains(pair)
                            && (!woken_only || woken.contains(&pair.1))
                            && choices.get(&pair.1).is_none_or(|chosen| chosen.contains(agent))
                    });
                    let mut offers = pairs.filter_map(|(role, ord)| {
                        Some((self.offer(&role, ord, *agent, first)?, role, ord))
                    });
                    let Some(((resources, credit), role, ord)) = offers.next() else { break };
                    drop(offers);
                    self.take(&role, ord, *agent, &resources, credit, made);
                    tried.insert((role, ord));
                }
            }
        }
    }

    fn take(
        &mut self,
        role: &Role,
        ord: FrameworkOrd,
        agent: AgentOrd,
        resources: &Resources,
        credit: Credit,
        made: &mut Vec<Made>,
    ) {
        let key = (role.clone(), ord);
        self.free.get_mut(&agent).unwrap().subtract(resources).unwrap();
        self.held.entry(key.clone()).or_default().add(resources);
        *self.counts.entry(key).or_default() += 1;
        self.credits.entry(ord).or_default().push(credit);
        made.push((
            self.m.frameworks[ord].id.as_str().to_owned(),
            role.as_str().to_owned(),
            self.m.agents[agent].id.as_str().to_owned(),
            resources.to_string(),
        ));
    }
}
