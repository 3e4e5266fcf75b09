//! The invariants of the allocator: filters, free agents, the queue, shares, demands, quotas.

use super::Found;
use crate::agent::Agent;
use crate::allocator::Mark;
use crate::allocator::held::Sort;
use crate::allocator::offering::{Look, Stage};
use crate::allocator::sorter::Walk;
use crate::executor::Executor;
use crate::framework::Framework;
use crate::operator::is_below;
use crate::state::Master;
use crate::table::{FrameworkOrd, SeatOrd};
use proto::{Piece, Quantities, ResourceName, Resources, Role, Value};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(m: &Master, found: &mut Found) {
    filters(m, found);
    free_agents(m, found);
    queue(m, found);
    demands(m, found);
    rest(m, found);
    if let Some(role) = &m.allocator.overdrawn {
        found.unless(false, "M23", || format!("{role} was offered what it may use already"));
    }
    if let Some(short) = &m.allocator.starved {
        found.unless(false, "M25", || format!("an offer took {short:?} of guarantees"));
    }
}

pub(super) fn sums(m: &Master, found: &mut Found) {
    shares(m, found);
    let consumed = consumption(m);
    quotas(m, &consumed, found);
    limits(m, &consumed, found);
    unknown(m, found);
}

fn filters(m: &Master, found: &mut Found) {
    for (_, agent) in m.agents.iter() {
        let sorter = &m.allocator.sorter;
        found.unless(agent.filters.are_in_order(sorter), "M10", || {
            format!("{}: who refuses it is not who has a filter", agent.id)
        });
        for filter in agent.filters.iter() {
            found.unless(!filter.refused.is_empty(), "M10", || {
                format!("{} has a filter of nothing", agent.id)
            });
            if sorter.epoch(filter.seat) == Some(filter.epoch) {
                let framework = m.frameworks.get(sorter.seat(filter.seat).framework);
                let holds = framework.is_some_and(Framework::is_connected);
                found.unless(holds, "M10", || {
                    format!("{} has a filter of a framework that is away", agent.id)
                });
            }
        }
    }
}

fn free_agents(m: &Master, found: &mut Found) {
    for (ord, agent) in m.agents.iter() {
        let worth =
            agent.is_offerable() && m.allocator.is_worth(&agent.free_parts.all, &agent.free);
        let key = worth.then(|| (agent.free.cpus(), agent.free.mem(), ord));
        let indexed = agent.free_key.is_some() == m.allocator.free.contains(ord);
        found.unless(agent.free_key == key && indexed, "M12", || {
            format!("{} should stand at {key:?}, is at {:?}", agent.id, agent.free_key)
        });
    }
    let mut shapes: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (ord, agent) in m.agents.iter().filter(|(_, agent)| agent.free_key.is_some()) {
        shapes.entry(&agent.free_parts.all).or_default().insert(ord);
    }
    let listed = shapes
        .into_iter()
        .flat_map(|(shape, agents)| agents.into_iter().map(move |agent| (shape, agent)));
    let in_order = m.allocator.shapes().is_none_or(|shapes| shapes.iter().eq(listed));
    found.unless(in_order, "M12", || "free agents stand with wrong shapes".to_owned());
    let keys = m.agents.iter().filter(|(_, agent)| agent.free_key.is_some()).count();
    let is_mixed = |agent: &Agent| agent.free_key.is_some() && !agent.free_parts.pure;
    for (ord, agent) in m.agents.iter() {
        let holds = m.allocator.free_mixed.contains(ord) == is_mixed(agent);
        found.unless(holds, "M12", || format!("{} is in the wrong list of the free", agent.id));
    }
    found.unless(keys == m.allocator.free.len(), "M12", || {
        format!("{keys} agents are free, {} are known to be", m.allocator.free.len())
    });
}

fn queue(m: &Master, found: &mut Found) {
    let queued: BTreeSet<_> = m.allocator.queue().iter().copied().collect();
    found.unless(queued.len() == m.allocator.queue().len(), "M13", || {
        "an agent waits twice".to_owned()
    });
    for (ord, agent) in m.agents.iter() {
        let holds = (agent.mark != Mark::None) == queued.contains(&ord);
        found.unless(holds, "M13", || format!("{} is {:?}", agent.id, agent.mark));
    }
    let idle = queued.is_empty()
        && !m.allocator.has_calls()
        && !m.allocator.sorter.has_to_serve()
        && !m.allocator.sorter.has_to_ease()
        && !m.allocator.has_held_to_sweep();
    found.unless(idle || m.allocator.due.is_some(), "M13", || {
        format!("{} agents wait and no pass is due", queued.len())
    });
    held(m, found);
}

fn held(m: &Master, found: &mut Found) {
    let mut known = 0;
    for sort in [Sort::Plain, Sort::Mixed] {
        let agents = m.allocator.held(sort).agents();
        known += agents.len();
        for (number, agent) in agents {
            let agent = m.agents.get(*agent);
            let holds = agent.is_some_and(|agent| agent.held == Some((sort, *number)));
            found.unless(holds, "M13", || format!("number {number} is held and does not know"));
            // One that changed is looked at again first.
            let sorted = agent.is_none_or(|agent| {
                agent.mark == Mark::Touched || agent.free_parts.pure == (sort == Sort::Plain)
            });
            found.unless(sorted, "M13", || format!("number {number} is not {sort:?}"));
        }
    }
    let held = m.agents.iter().filter(|(_, agent)| agent.held.is_some()).count();
    found.unless(held == known, "M13", || {
        format!("{held} agents are held, {known} are known to be")
    });
}

fn shares(m: &Master, found: &mut Found) {
    let mut total = Quantities::default();
    for (_, agent) in m.agents.iter() {
        tally(&mut total, &agent.info.resources, |_| true);
    }
    let sorter = &m.allocator.sorter;
    found.unless(total == sorter.total(), "M16", || {
        format!("the cluster has {total:?}, shares are of {:?}", sorter.total())
    });
    let mut expected: BTreeMap<(&Role, FrameworkOrd), Quantities> = BTreeMap::new();
    // What is shared costs nobody.
    let alone = |piece: &Piece| !piece.flavor.is_shared();
    for offer in m.offers.values() {
        let own = expected.entry((&offer.role, offer.framework)).or_default();
        tally(own, &offer.resources, alone);
    }
    for (framework, executor) in held_executors(m) {
        let own = expected.entry((&executor.role, framework)).or_default();
        tally(own, &executor.info.resources, alone);
    }
    for (ord, framework) in m.frameworks.iter() {
        for task in framework.tasks.values().filter(|task| task.holds) {
            tally(expected.entry((&task.role, ord)).or_default(), &task.resources, alone);
        }
        for role in &framework.info.roles {
            expected.entry((role, ord)).or_default();
        }
    }
    let mut line: BTreeSet<SeatOrd> = BTreeSet::new();
    sorter.first(Walk::All, |seat| !line.insert(seat));
    let mut woken: BTreeSet<SeatOrd> = BTreeSet::new();
    sorter.first(Walk::Woken, |seat| !woken.insert(seat));
    let mut seats = 0;
    for (ord, role, allocated) in sorter.all_seats() {
        seats += 1;
        let seat = sorter.seat(ord);
        let key = (role, seat.framework);
        let holds = expected.get(&key).is_some_and(|expected| *expected == allocated);
        found.unless(holds, "M16", || {
            format!("{role}: {allocated:?} is counted, {:?} is held", expected.get(&key))
        });
        let framework = m.frameworks.get(seat.framework);
        let eligible = framework.is_some_and(|f| f.is_eligible_in(role));
        found.unless(eligible == line.contains(&ord), "M16", || {
            format!("{role}: eligible {eligible}, in line {}", !eligible)
        });
        let called = eligible && m.allocator.woken().contains(&seat.framework);
        // Those at a limit are not visited.
        let lined = woken.contains(&ord);
        found.unless(seat.woken == called && (called || !lined), "M16", || {
            format!("{role}: woken {called}, its seat {}", seat.woken)
        });
    }
    found.unless(seats == expected.len(), "M16", || {
        format!("{seats} seats, {} are owed", expected.len())
    });
}

fn demands(m: &Master, found: &mut Found) {
    for (_, framework) in m.frameworks.iter() {
        let offers = framework.offers.iter().filter_map(|number| m.offers.get(number));
        let holds = framework.demand.is_credited_by(offers.map(|offer| &offer.credit));
        found.unless(holds, "M17", || format!("{}: {:?}", framework.id, framework.demand));
    }
}

/// The executors whose resources are counted as used, with their frameworks.
fn held_executors(m: &Master) -> impl Iterator<Item = (FrameworkOrd, &Executor)> {
    let all = m.agents.iter().flat_map(|(_, agent)| agent.executors.iter());
    all.filter(|(_, executor)| executor.holds)
        .map(|((framework, _), executor)| (*framework, executor))
}

/// Adds the scalars of those pieces that count.
fn tally(all: &mut Quantities, resources: &Resources, counts: impl Fn(&Piece) -> bool) {
    for piece in resources.pieces() {
        if let (true, Value::Scalar(milli)) = (counts(piece), &piece.value) {
            all.add(&piece.name, *milli);
        }
    }
}

/// What quotas count.
fn is_plain(piece: &Piece) -> bool {
    !piece.flavor.revocable && piece.flavor.reserved_to().is_none()
}

/// The plain scalars of some resources.
fn plain(resources: &Resources) -> Quantities {
    let mut all = Quantities::default();
    tally(&mut all, resources, is_plain);
    all
}

/// What each role and those above it consume, reckoned from offers and tasks.
fn consumption(m: &Master) -> BTreeMap<Role, Quantities> {
    let mut own: BTreeMap<&Role, Quantities> = BTreeMap::new();
    for offer in m.offers.values() {
        tally(own.entry(&offer.role).or_default(), &offer.resources, is_plain);
    }
    for (_, agent) in m.agents.iter() {
        // What is reserved counts as if it were plain, whether or not somebody has it.
        for piece in agent.info.resources.pieces() {
            if let Some(role) = piece.flavor.reserved_to() {
                let own = own.entry(role).or_default();
                if let (false, Value::Scalar(milli)) = (piece.flavor.revocable, &piece.value) {
                    own.add(&piece.name, *milli);
                }
            }
        }
    }
    for (_, framework) in m.frameworks.iter() {
        for task in framework.tasks.values().filter(|task| task.holds) {
            tally(own.entry(&task.role).or_default(), &task.resources, is_plain);
        }
    }
    for (_, executor) in held_executors(m) {
        tally(own.entry(&executor.role).or_default(), &executor.info.resources, is_plain);
    }
    let mut all: BTreeMap<Role, Quantities> = BTreeMap::new();
    for (role, amounts) in own {
        let mut path = role.as_str();
        while let Some((above, _)) = path.rsplit_once('/') {
            let above_it = Role::new(above).expect("a role's path begins with roles");
            all.entry(above_it).or_default().add_all(&amounts);
            path = above;
        }
        all.entry(role.clone()).or_default().add_all(&amounts);
    }
    all
}

/// What must be kept free for the guarantees of `role` and those below.
fn required(m: &Master, role: &Role, consumed: &BTreeMap<Role, Quantities>) -> Quantities {
    let quotas = m.registry.quotas();
    let nearest = |other: &&Role| {
        is_below(other, role)
            && !quotas.keys().any(|between| is_below(between, role) && is_below(other, between))
    };
    let mut required = Quantities::default();
    for below in quotas.keys().filter(nearest) {
        required.add_all(&self::required(m, below, consumed));
    }
    let mut lacking = quotas[role].guarantees.clone();
    lacking.subtract_all(consumed.get(role).unwrap_or(&Quantities::default()));
    for (name, milli) in lacking.iter() {
        let more = milli.saturating_sub(required.get(name));
        required.add(name, more);
    }
    required
}

fn quotas(m: &Master, consumed: &BTreeMap<Role, Quantities>, found: &mut Found) {
    let sorter = &m.allocator.sorter;
    for (role, amounts) in consumed {
        let counted = sorter.standing(role).map(|standing| standing.consumed).unwrap_or_default();
        found.unless(counted == *amounts, "M22", || {
            format!("{role} consumes {amounts:?}, {counted:?} is counted")
        });
    }
    let quotas = m.registry.quotas();
    let mut all = Quantities::default();
    for role in quotas.keys() {
        if !quotas.keys().any(|above| is_below(role, above)) {
            all.add_all(&required(m, role, consumed));
        }
    }
    let kept = sorter.quantities(sorter.kept_free());
    found.unless(kept == all, "M22", || format!("guarantees lack {all:?}, {kept:?} is kept"));
    let mut available = Quantities::default();
    for (_, agent) in m.agents.iter() {
        if agent.is_offerable() {
            tally(&mut available, &agent.free, is_plain);
        }
    }
    let counted = sorter.quantities(&m.allocator.available);
    found.unless(counted == available, "M22", || {
        format!("{available:?} is available, {counted:?} is counted")
    });
}

fn unknown(m: &Master, found: &mut Found) {
    let sorter = &m.allocator.sorter;
    let missing: Vec<_> = m.recovered.iter().filter(|_| m.quota_recovery.is_some()).collect();
    found.unless(sorter.missing() == missing.len(), "M22", || {
        format!("{} agents are not back, {} are counted", missing.len(), sorter.missing())
    });
    for (role, _) in m.registry.quotas().iter().filter(|(_, quota)| !quota.limits.is_empty()) {
        let mut all = Quantities::default();
        for agent in &missing {
            let ours = |piece: &Piece| {
                let to = piece.flavor.reserved_to();
                !piece.flavor.revocable && to.is_none_or(|to| to == role || is_below(to, role))
            };
            tally(&mut all, &m.registry.agents()[*agent].info.resources, ours);
        }
        let counted = sorter.unknown_to(role);
        found.unless(counted == all, "M22", || {
            format!("{role} may use {all:?} on agents that are not back, {counted:?} is counted")
        });
    }
}

fn limits(m: &Master, consumed: &BTreeMap<Role, Quantities>, found: &mut Found) {
    if m.allocator.due.is_some() {
        return;
    }
    for (role, quota) in m.registry.quotas() {
        let consumed = consumed.get(role).cloned().unwrap_or_default();
        let over = |(name, most): &(&ResourceName, &u64)| consumed.get(name) > **most;
        for (name, most) in quota.limits.iter().filter(over) {
            let counts = |offer: &&crate::offer::OfferRecord| {
                (offer.role == *role || is_below(&offer.role, role))
                    && plain(&offer.resources).get(name) > 0
            };
            let offer = m.offers.values().find(counts);
            found.unless(offer.is_none(), "M23", || {
                let have = consumed.get(name);
                format!(
                    "{role} consumes {name}:{have} of {most} and has {:?}",
                    offer.map(|o| &o.id)
                )
            });
        }
    }
}

fn rest(m: &Master, found: &mut Found) {
    if m.allocator.due.is_some() {
        return;
    }
    for (ord, agent) in m.agents.iter() {
        if agent.free_key.is_none() || agent.mark != Mark::None {
            continue;
        }
        for stage in [Stage::Guarantee, Stage::Fair] {
            let look = Look::new(ord, stage, m.allocator.slack());
            let wanted =
                m.allocator.sorter.first(Walk::All, |seat| m.consider(seat, &look).is_ok());
            found.unless(wanted.is_none(), "M24", || {
                let who =
                    wanted.map(|seat| &m.frameworks[m.allocator.sorter.seat(seat).framework].id);
                format!("{} has {} free, which {who:?} wants ({stage:?})", agent.id, agent.free)
            });
        }
    }
}
