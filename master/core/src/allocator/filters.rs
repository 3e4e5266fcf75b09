//! Offer filters: what a framework refused is not offered to it again for a while.
//!
//! A filter belongs to a seat (a framework in a role) and an agent, and holds what was refused; it
//! stands against any offer that is no more than that. When it ends, its agent is looked at again
//! at once. REVIVE begins a new epoch of the seat, and filters of older ones no longer count: it
//! costs the same however many there are.
//!
//! There may be one for every framework on every agent, so one takes 16 bytes: those of one agent
//! that refuse the same stand in a group, which says once what that is. A group with many has a bit
//! for each seat besides, so that a pass walks past those who refuse an agent without a look at
//! their filters.

use super::sorter::Sorter;
use crate::deadlines::Deadline;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd, OrdSet, SeatOrd};
use proto::{Filters, Resources, Role, Time};
use std::cell::Cell;

/// One filter, with what was refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter<'a> {
    pub(crate) seat: SeatOrd,
    /// It counts while its seat is in this epoch.
    pub(crate) epoch: u32,
    pub(crate) until: Time,
    pub(crate) refused: &'a Resources,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    seat: SeatOrd,
    epoch: u32,
    until: Time,
}

/// Filters that refuse the same.
#[derive(Debug)]
struct Group {
    refused: Resources,
    /// By seat, each once.
    entries: Vec<Entry>,
    /// The seats of those that count; kept when there are many.
    bits: OrdSet<SeatOrd>,
    /// How many epochs had begun when the bits were right; none when they never were.
    known: Option<u64>,
}

/// From so many filters on a group has bits.
const MANY: usize = 32;

/// The filters of one agent.
#[derive(Debug, Default)]
pub(crate) struct AgentFilters {
    groups: Vec<Group>,
    /// When to look for filters that ended: no later than the first of them ends.
    pub(crate) deadline: Option<Time>,
}

/// Whether the last group asked contains what is being offered.
pub(crate) type Memo = Cell<Option<(*const Resources, bool)>>;

impl Group {
    fn new(refused: Resources) -> Self {
        Self { refused, entries: Vec::new(), bits: OrdSet::default(), known: None }
    }

    fn find(&self, seat: SeatOrd) -> Option<&Entry> {
        let at = self.entries.binary_search_by_key(&seat, |entry| entry.seat).ok()?;
        Some(&self.entries[at])
    }

    fn counts(&self, seat: SeatOrd, sorter: &Sorter) -> bool {
        self.find(seat).is_some_and(|entry| sorter.epoch(seat) == Some(entry.epoch))
    }

    fn has_bits(&self) -> bool {
        self.entries.len() >= MANY
    }

    /// Sees which seats count: all of them, when too many epochs began since the last look.
    fn bring_up(&mut self, sorter: &Sorter) {
        if !self.has_bits() || self.known == Some(sorter.epochs()) {
            return;
        }
        match self.known.and_then(|known| sorter.epochs_since(known)) {
            Some(seats) if seats.len() < self.entries.len() / 4 => {
                for seat in seats {
                    let counts = self.counts(*seat, sorter);
                    self.bits.set(*seat, counts);
                }
            }
            Some(_) | None => {
                self.bits.clear();
                for entry in &self.entries {
                    if sorter.epoch(entry.seat) == Some(entry.epoch) {
                        self.bits.insert(entry.seat);
                    }
                }
            }
        }
        self.known = Some(sorter.epochs());
    }

    /// The entries changed: what is known of the seats is out of date.
    fn changed(&mut self) {
        self.known = None;
        if !self.has_bits() {
            self.bits = OrdSet::default();
        }
    }

    fn remove(&mut self, at: usize) {
        let entry = self.entries.remove(at);
        self.bits.remove(entry.seat);
        if !self.has_bits() {
            self.changed();
        }
    }

    fn insert(&mut self, entry: Entry) {
        match self.entries.binary_search_by_key(&entry.seat, |other| other.seat) {
            Ok(at) => {
                let other = &mut self.entries[at];
                if other.epoch != entry.epoch || other.until < entry.until {
                    *other = entry;
                }
            }
            Err(at) => self.entries.insert(at, entry),
        }
        if self.has_bits() {
            // Should its epoch be over by the next look, that look will see it.
            self.bits.insert(entry.seat);
        }
    }
}

impl AgentFilters {
    pub(crate) fn iter(&self) -> impl Iterator<Item = Filter<'_>> {
        self.groups.iter().flat_map(|group| {
            group.entries.iter().map(|entry| {
                let Entry { seat, epoch, until } = *entry;
                Filter { seat, epoch, until, refused: &group.refused }
            })
        })
    }

    /// Whether the bits say what the filters say, as far as they are up to date (for the
    /// invariants).
    pub(crate) fn are_in_order(&self, sorter: &Sorter) -> bool {
        self.groups.iter().all(|group| {
            let sorted = group.entries.is_sorted_by_key(|entry| entry.seat);
            let known = group.has_bits() && group.known == Some(sorter.epochs());
            let counting = group.entries.iter().filter(|e| group.counts(e.seat, sorter));
            let bits = || counting.clone().all(|entry| group.bits.contains(entry.seat));
            let as_many = || counting.clone().count() == group.bits.len();
            !group.entries.is_empty() && sorted && (!known || (bits() && as_many()))
        })
    }

    /// When the filter ends that stands against offering `resources`, if one does.
    /// O(groups * log filters).
    pub(crate) fn against(
        &self,
        seat: SeatOrd,
        epoch: u32,
        resources: &Resources,
        memo: &Memo,
    ) -> Option<Time> {
        let stands = |group: &Group| {
            let this = std::ptr::from_ref(&group.refused);
            match memo.get() {
                Some((asked, contains)) if asked == this => contains,
                Some(_) | None => {
                    let contains = group.refused.contains(resources);
                    memo.set(Some((this, contains)));
                    contains
                }
            }
        };
        self.groups.iter().find_map(|group| {
            let entry = group.find(seat).filter(|entry| entry.epoch == epoch)?;
            stands(group).then_some(entry.until)
        })
    }

    /// The seats that refuse all that is free, and so every part of it, into `refusing`.
    /// O(groups * seats / 64) as long as few epochs began.
    pub(crate) fn refusing(
        &mut self,
        free: &Resources,
        sorter: &Sorter,
        refusing: &mut OrdSet<SeatOrd>,
    ) {
        refusing.clear();
        for group in &mut self.groups {
            if !group.refused.contains(free) {
                continue;
            }
            if group.has_bits() {
                group.bring_up(sorter);
                refusing.add_all(&group.bits);
                continue;
            }
            for entry in &group.entries {
                if sorter.epoch(entry.seat) == Some(entry.epoch) {
                    refusing.insert(entry.seat);
                }
            }
        }
    }

    /// Adds a filter in the place of those that it makes needless.
    fn add(&mut self, entry: Entry, refused: Resources) {
        let mut own = None;
        for at in (0..self.groups.len()).rev() {
            let group = &mut self.groups[at];
            if group.refused == refused {
                own = Some(at);
                continue;
            }
            let Ok(index) = group.entries.binary_search_by_key(&entry.seat, |other| other.seat)
            else {
                continue;
            };
            let other = &group.entries[index];
            let needless = other.epoch != entry.epoch
                || (other.until <= entry.until && refused.contains(&group.refused));
            if needless {
                group.remove(index);
                if group.entries.is_empty() {
                    self.groups.remove(at);
                    own = own.map(|own| own - 1);
                }
            }
        }
        let own = own.unwrap_or_else(|| {
            self.groups.push(Group::new(refused));
            self.groups.len() - 1
        });
        self.groups[own].insert(entry);
    }
}

impl Master {
    /// Installs a filter for what a framework refused.
    pub(crate) fn add_filter(
        &mut self,
        framework: FrameworkOrd,
        agent: AgentOrd,
        role: &Role,
        refused: Resources,
        filters: Filters,
    ) {
        let until = self.now + filters.refuse;
        if until <= self.now || refused.is_empty() || !self.frameworks[framework].is_connected() {
            return;
        }
        let Some(seat) = self.allocator.sorter.seat_in(framework, role) else { return };
        let epoch = self.allocator.sorter.seat(seat).epoch;
        let own = &mut self.agents[agent].filters;
        own.add(Entry { seat, epoch, until }, refused);
        if own.deadline.is_none_or(|deadline| deadline > until) {
            self.set_filter_deadline(agent, Some(until));
        }
    }

    /// Sets or clears the time at which the agent's filters are gone through. Keeps M9.
    fn set_filter_deadline(&mut self, agent: AgentOrd, at: Option<Time>) {
        let filters = &mut self.agents[agent].filters;
        if let Some(old) = std::mem::replace(&mut filters.deadline, at) {
            self.deadlines.clear(old, Deadline::Filters(agent));
        }
        if let Some(at) = at {
            self.deadlines.set(at, Deadline::Filters(agent));
        }
    }

    /// Removes a framework's filters in the roles that `which` picks, on all agents.
    pub(crate) fn clear_filters(&mut self, framework: FrameworkOrd, which: impl Fn(&Role) -> bool) {
        let sorter = &mut self.allocator.sorter;
        for seat in sorter.seats_of(framework) {
            if which(sorter.role_of(seat)) {
                sorter.begin_epoch(seat);
            }
        }
    }

    /// Removes all filters on an agent.
    pub(crate) fn clear_agent_filters(&mut self, agent: AgentOrd) {
        self.agents[agent].filters.groups = Vec::new();
        self.set_filter_deadline(agent, None);
    }

    /// Some filters of the agent ended: it is worth a look again.
    pub(crate) fn filters_ended(&mut self, agent: AgentOrd) {
        let now = self.now;
        let sorter = &self.allocator.sorter;
        let (mut ended, mut next) = (false, None::<Time>);
        let filters = &mut self.agents[agent].filters;
        filters.groups.retain_mut(|group| {
            group.entries.retain(|entry| {
                let counted = sorter.epoch(entry.seat) == Some(entry.epoch);
                ended |= counted && entry.until <= now;
                let stays = counted && entry.until > now;
                if stays {
                    next = Some(next.map_or(entry.until, |next| next.min(entry.until)));
                }
                stays
            });
            group.changed();
            !group.entries.is_empty()
        });
        self.set_filter_deadline(agent, next);
        if ended {
            self.touch(agent);
        }
    }
}
