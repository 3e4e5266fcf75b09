//! Free agents that a role's limit kept from being offered, until the role has more room.
//!
//! A limit that cuts what would be offered of an agent remembers how much room there was: with no
//! more of what was cut, the agent is wanted as little. Once the role consumes less and has more
//! room than that, the free agents are looked at again, some at a time and round and round, as long
//! as there is: mostly the agent that was just freed, or the first of the others, uses it up, so that
//! it costs the same however many are free. Where nobody takes any, a round goes over all once; and
//! so does a role that lacks a guarantee while agents are held, as often as it consumes less.
//!
//! Of an agent with nothing but plain resources an offer needs room that is worth one by itself, and
//! none is looked at while there is not; on one with others (reserved, revocable) any bit more may
//! make an offer that was not refused. So the two sorts are gone through apart. When an agent of the
//! second sort becomes one of the first because somebody took the others, what stood against it was
//! remembered of its old sort, and is remembered of the other as well.

use super::amounts::{Amounts, Bounds};
use super::held::{SORTS, SWEEP, Sort};
use super::sorter::{NodeQuota, Sorter};
use super::{Allocator, Mark};
use crate::state::Master;
use crate::table::{AgentOrd, OrdSet, Ordinal, RoleOrd, SeatOrd};

/// What a limit stood against, of agents of one sort.
#[derive(Debug, Default)]
pub(super) struct Cut {
    /// With no more room, no free agent can be offered that could not before.
    bar: Bounds,
    round: Option<Round>,
    /// The agent to go on with, by its place in the table.
    next: usize,
}

/// A walk over all free agents of one sort.
#[derive(Debug)]
struct Round {
    first: usize,
    /// Whether it went on from the beginning.
    wrapped: bool,
    /// Whether all were marked.
    over: bool,
    /// The bar of those that were looked at since it began.
    bar: Bounds,
}

impl Cut {
    fn lower(&mut self, kind: usize, room: u64) {
        self.bar.lower_one(kind, room);
        if let Some(round) = &mut self.round {
            round.bar.lower_one(kind, room);
        }
    }

    /// Whether somebody may wait for more room.
    fn waits(&self) -> bool {
        !self.bar.is_none()
    }

    /// Whether there is more room than when the limit stood against something.
    fn is_surpassed(&self, room: &Bounds) -> bool {
        room.iter().any(|(kind, most)| self.bar.of(kind).is_some_and(|bar| bar < most))
    }

    /// Ends a round that came to its end: what is cut now was cut since it began.
    fn end_round(&mut self) {
        if let Some(round) = self.round.take_if(|round| round.over) {
            self.bar = round.bar;
        }
    }

    /// Begins a round or goes on with it: the agents of `all` to look at next, but for those in
    /// `but`.
    fn next_of_round(&mut self, all: &OrdSet<AgentOrd>, but: &OrdSet<AgentOrd>) -> Vec<AgentOrd> {
        let first = self.next;
        let round = self.round.get_or_insert_with(|| Round {
            first,
            wrapped: false,
            over: false,
            bar: Bounds::default(),
        });
        let mut agents = Vec::new();
        if !round.wrapped {
            agents.extend(all.without_from(but, self.next).take(SWEEP));
            if agents.len() < SWEEP {
                round.wrapped = true;
                self.next = 0;
            }
        }
        if round.wrapped {
            let rest = all.without_from(but, self.next);
            let rest = rest.take_while(|agent| agent.index() < round.first);
            agents.extend(rest.take(SWEEP - agents.len()));
            round.over = agents.len() < SWEEP;
        }
        if let Some(last) = agents.last() {
            self.next = last.index() + 1;
        }
        agents
    }
}

impl NodeQuota {
    /// Whether somebody may wait for this role to consume less.
    pub(super) fn waits(&self) -> bool {
        !self.guarantee.is_zero() || self.waits_for_room()
    }

    /// Whether the limit stood against somebody.
    pub(super) fn waits_for_room(&self) -> bool {
        self.full || self.cuts.borrow().iter().any(Cut::waits)
    }

    /// Nobody with nothing but plain resources is looked at for this role before there is room.
    pub(super) fn close(&self) {
        let plain = &mut self.cuts.borrow_mut()[Sort::Plain as usize];
        for (kind, _) in self.limit.iter() {
            plain.lower(kind, 0);
        }
    }

    /// What an offer must hold changed: whatever the limit stood against may be offered now.
    pub(super) fn open(&self) {
        for cut in self.cuts.borrow_mut().iter_mut() {
            for (kind, _) in self.limit.iter() {
                cut.lower(kind, 0);
            }
        }
    }

    /// What the limit stood against of the second sort may be of the first by now.
    fn note_mixed_as_plain(&self) {
        let [plain, mixed] = &mut *self.cuts.borrow_mut();
        for (kind, room) in mixed.bar.iter() {
            plain.lower(kind, room);
        }
    }

    /// The limit stood against an offer of `free`.
    fn note_cut(&self, room: &Bounds, free: &Amounts, sort: Sort) {
        let cut = &mut self.cuts.borrow_mut()[sort as usize];
        for (kind, room) in room.iter() {
            if room < free.get(kind) {
                cut.lower(kind, room);
            }
        }
    }
}

impl Sorter {
    /// Remembers that a role's limit stood against an offer of an agent's free resources: of
    /// `free`, which is what of them is plain, and maybe of others.
    pub(crate) fn note_cut(&self, ord: RoleOrd, free: &Amounts, sort: Sort) {
        let node = &self.nodes[ord];
        if let (Some(quota), Some(room)) = (&node.quota, self.room(node)) {
            quota.note_cut(&room, free, sort);
        }
    }

    /// Remembers of all limits above a seat that stand against an offer to it.
    pub(crate) fn note_cuts(&self, seat: SeatOrd, free: &Amounts, sort: Sort) {
        for role in self.allowance(seat).cutting(free) {
            self.note_cut(role, free, sort);
        }
    }

    /// Of what limits stood against, some may have nothing but plain resources by now. Costs as
    /// much as there are roles with a limit.
    pub(super) fn note_mixed_as_plain(&self) {
        for (role, _) in self.limited() {
            if let Some(quota) = &self.nodes[role].quota {
                quota.note_mixed_as_plain();
            }
        }
    }

    /// Whether agents are to be looked at because roles consume less.
    pub(crate) fn has_to_serve(&self) -> bool {
        !self.eased.is_empty() || !self.rounds.is_empty()
    }

    /// Forgets a role that has no quota any more.
    pub(super) fn end_service(&mut self, role: RoleOrd) {
        self.eased.remove(&role);
        self.rounds.remove(&role);
    }
}

/// What is to be looked at because a role has room.
#[derive(Debug, Default)]
struct Next {
    agents: Vec<AgentOrd>,
    /// Whether a round begins.
    begins: bool,
    /// Whether there is a round under way.
    goes_on: bool,
}

impl Allocator {
    /// Begins rounds for a role that has room that somebody waits for, or goes on with them. Where
    /// that gains nothing, those that were not looked at again wait as before.
    fn next_of_rounds(&self, role: RoleOrd) -> Next {
        let (mut next, none) = (Next::default(), OrdSet::default());
        let node = &self.sorter.nodes[role];
        let (Some(quota), Some(room)) = (&node.quota, self.sorter.room(node)) else {
            return next;
        };
        // Who comes later is woken.
        let is_populated = self.sorter.is_populated(role);
        for (sort, cut) in SORTS.into_iter().zip(quota.cuts.borrow_mut().iter_mut()) {
            cut.end_round();
            let is_open = is_populated && (sort == Sort::Mixed || !quota.full);
            if !is_open || !cut.is_surpassed(&room) {
                cut.round = None;
                continue;
            }
            next.begins |= cut.round.is_none();
            next.goes_on = true;
            next.agents.extend(match sort {
                Sort::Plain => cut.next_of_round(&self.free, &self.free_mixed),
                Sort::Mixed => cut.next_of_round(&self.free_mixed, &none),
            });
        }
        next
    }
}

impl Master {
    /// Roles consume less: those that met their limit and have room again, and those that lack a
    /// guarantee while agents are held, may be offered more. The latter wake whoever is below once:
    /// not again in each part of a round.
    pub(super) fn serve_eased(&mut self) {
        let eased = std::mem::take(&mut self.allocator.sorter.eased);
        let rounds = std::mem::take(&mut self.allocator.sorter.rounds);
        for &role in eased.union(&rounds) {
            let next = self.allocator.next_of_rounds(role);
            for agent in next.agents {
                self.mark(agent, Mark::Touched);
            }
            if next.goes_on {
                self.allocator.sorter.rounds.insert(role);
                self.ask_for_pass();
            }
            // Who stated a demand chooses among all agents.
            let chooses = next.begins && !self.allocator.demanding.is_empty();
            let lacks = eased.contains(&role)
                && self.allocator.sorter.lacks(role)
                && self.allocator.holds_any();
            if !chooses && !lacks {
                continue;
            }
            for framework in self.allocator.sorter.frameworks_below(role) {
                if lacks || self.allocator.demanding.contains(&framework) {
                    self.wake(framework);
                }
            }
        }
    }
}
