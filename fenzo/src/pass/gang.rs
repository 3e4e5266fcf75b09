//! Placing a gang: at one place of a level or anywhere, as a whole or not at all.
//!
//! Places are tried one after the other on the live state, and what does not do is taken back. A trial must
//! leave nothing behind, no failure either: what fails in one place may fit in the next.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use crate::fitness::float;
use crate::gang::{Gang, GangMiss};
use crate::request::TaskRequest;
use crate::result::{Explanation, Failure, Reason};

use super::{Pass, explain};

/// The only hosts that a gang may use: those at a place of a level.
pub(super) struct Domain {
    pub(super) column: usize,
    pub(super) value: u32,
    /// In order of name.
    pub(super) hosts: Vec<usize>,
}

/// How one place did.
struct Trial {
    /// The members that found no host, by position.
    missed: Vec<usize>,
    /// Why the first of them did not.
    why: Option<Explanation>,
}

/// Where the trial was that did best so far.
struct Best {
    value: Option<(usize, u32)>,
    missed: usize,
}

impl Pass<'_> {
    /// Places at least the least number of a gang's tasks, or none; keeps room for it if it is a head.
    pub(super) fn place_gang(&mut self, tasks: &[TaskRequest], members: Range<usize>, gang: &Gang) {
        if self.is_spent() {
            self.untried.extend(tasks[members].iter().map(|task| task.id.clone()));
            return;
        }
        if members.is_empty() {
            return;
        }
        let min = gang.min.max(1);
        let within = gang.within.as_ref().map(|level| self.cluster.column(level.column()));
        let mut attempts: Vec<Option<usize>> = Vec::new();
        for level in &gang.preferred {
            attempts.push(Some(self.cluster.column(level.column())));
        }
        attempts.push(within);
        let placed = self.placed.len();
        let mut best: Option<Best> = None;
        for (attempt, column) in attempts.iter().enumerate() {
            for value in self.places(*column, members.clone(), min) {
                self.confine(value);
                let trial = self.try_gang(tasks, members.clone(), false);
                if trial.missed.is_empty() && members.len() >= min {
                    self.domain = None;
                    return self.have_turns(members);
                }
                self.roll_back(placed);
                let missed = trial.missed.len();
                // A preferred place that has not room for all is no better than any other.
                let counts = attempt + 1 == attempts.len();
                if counts && best.as_ref().is_none_or(|best| missed < best.missed) {
                    best = Some(Best { value, missed });
                }
                if self.is_spent() {
                    break;
                }
            }
        }
        let value = best.map_or(within.map(|column| (column, u32::MAX)), |best| best.value);
        self.confine(value);
        let trial = self.try_gang(tasks, members.clone(), true);
        let count = members.len() - trial.missed.len();
        if count >= min {
            for position in trial.missed {
                self.miss(self.class_of[position], &tasks[position]);
            }
        } else {
            self.roll_back(placed);
            let ids = tasks[members.clone()].iter().map(|task| task.id.clone()).collect();
            let hosts = self.cluster.columns().offering();
            let nothing = || Explanation { hosts, ..Explanation::default() };
            let explanation = Arc::new(trial.why.unwrap_or_else(nothing));
            let gang = Some(GangMiss { placed: count, min });
            self.failures.push(Failure { tasks: ids, explanation, gang });
            // One that asks for more than it has can never be placed: nobody waits for it.
            if members.len() >= min {
                self.reserve_gang(tasks, members.clone(), min, within);
            }
        }
        self.domain = None;
        self.have_turns(members);
    }

    fn have_turns(&mut self, members: Range<usize>) {
        for position in members {
            self.had_its_turn(position);
        }
    }

    fn confine(&mut self, value: Option<(usize, u32)>) {
        self.domain = value.map(|(column, value)| {
            let members = self.cluster.values().members(column).get(value as usize);
            let hosts = members.map_or(&[][..], Vec::as_slice).iter();
            let mut hosts: Vec<usize> = hosts.map(|host| *host as usize).collect();
            hosts.sort_unstable_by_key(|host| self.cluster.names().label(*host));
            Domain { column, value, hosts }
        });
    }

    /// Places what fits; `explains` the first miss.
    fn try_gang(&mut self, tasks: &[TaskRequest], members: Range<usize>, explains: bool) -> Trial {
        let mut trial = Trial { missed: Vec::new(), why: None };
        // Classes that fit nowhere any more, as nothing that co-tasks do can change it.
        let mut full: BTreeSet<usize> = BTreeSet::new();
        for position in members {
            let class = self.class_of[position];
            let over = self.over_limit(class);
            let hopeless = over.is_some() || full.contains(&class) || self.waits_for_head(class);
            let candidate = if hopeless { None } else { self.find(class) };
            if let Some(candidate) = candidate {
                self.put(class, &tasks[position], candidate);
                continue;
            }
            if explains && trial.why.is_none() {
                trial.why = Some(match over {
                    Some(resource) => self.refused_everywhere(Reason::OverLimit(resource)),
                    None if self.waits_for_head(class) => self.refused_everywhere(Reason::Reserved),
                    None => {
                        explain::explain(&self.classes[class], self.cluster, self.confined_to())
                    }
                });
            }
            let rules = &self.classes[class];
            if !rules.has_balance() && !rules.has_closure() && !self.fitness_may_rise(rules) {
                full.insert(class);
            }
            trial.missed.push(position);
        }
        trial
    }

    /// The place that hosts are confined to.
    fn confined_to(&self) -> Option<(usize, u32)> {
        self.domain.as_ref().map(|domain| (domain.column, domain.value))
    }

    /// Notes that a member of a gang that stands found no host.
    fn miss(&mut self, class: usize, task: &TaskRequest) {
        if self.domain.is_none() {
            self.place(class, task);
            return;
        }
        // It holds for this place alone, so it is nobody else's failure.
        let explanation = explain::explain(&self.classes[class], self.cluster, self.confined_to());
        let tasks = vec![task.id.clone()];
        self.failures.push(Failure { tasks, explanation: Arc::new(explanation), gang: None });
    }

    /// The places of a level where so many members could fit by sums, those with least room first; of equal
    /// ones that of the smaller name. Without a level: anywhere.
    fn places(
        &self,
        column: Option<usize>,
        members: Range<usize>,
        min: usize,
    ) -> Vec<Option<(usize, u32)>> {
        let Some(column) = column else { return vec![None] };
        let (columns, names) = (self.cluster.columns(), self.cluster.names());
        let mut all = vec![0_u64; columns.dimensions()];
        let mut least = vec![u64::MAX; columns.dimensions()];
        for position in members {
            let demand = &self.classes[self.class_of[position]].demand().amounts;
            for ((all, least), amount) in all.iter_mut().zip(&mut least).zip(demand) {
                *all = all.saturating_add(*amount);
                *least = (*least).min(*amount);
            }
        }
        let min = min as u64;
        let mut places: Vec<(f64, u64, u32)> = Vec::new();
        for (value, hosts) in (0_u32..).zip(self.cluster.values().members(column)) {
            let mut free = vec![0_u64; all.len()];
            let offered = hosts.iter().map(|host| *host as usize);
            let offered = offered.filter(|host| columns.is_offered(*host));
            let mut first = u64::MAX;
            for host in offered {
                first = first.min(names.label(host));
                for (free, amount) in free.iter_mut().zip(columns.free(host)) {
                    *free = free.saturating_add(*amount);
                }
            }
            let small =
                free.iter().zip(&least).any(|(free, least)| *free < least.saturating_mul(min));
            if small || first == u64::MAX {
                continue;
            }
            let shares = free.iter().zip(&all).filter(|(_, all)| **all > 0);
            let room: f64 = shares.map(|(free, all)| float(*free) / float(*all)).sum();
            places.push((room, first, value));
        }
        places.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
        places.into_iter().map(|(_, _, value)| Some((column, value))).collect()
    }
}
