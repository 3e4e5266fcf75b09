//! Finding the best host for a class: along the cluster's ranking, or by looking at every host.
//!
//! Both give the same host to the last bit: the highest rank, then the smallest name.

use std::cmp::Ordering;

use crate::cluster::Cluster;
use crate::cluster::ranking::{Ranking, SLACK, Shelf};
use crate::cluster::seek::{Cursor, Reach, Wanted};
use crate::fitness::Score;

use super::Choice;
use super::class::Class;

/// A host that can take the task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) host: usize,
    /// Sorts as the name of the host does.
    pub(crate) label: u64,
    pub(crate) score: Score,
}

impl Candidate {
    /// The better of two: higher rank, then smaller name.
    pub(crate) fn better(best: Option<Self>, other: Self) -> Self {
        match best {
            None => other,
            Some(best) => match best.score.rank().total_cmp(&other.score.rank()) {
                Ordering::Greater => best,
                Ordering::Less => other,
                Ordering::Equal if best.label < other.label => best,
                Ordering::Equal => other,
            },
        }
    }

    pub(crate) fn is_good_enough(&self, choice: &Choice) -> bool {
        choice.good_enough.is_some_and(|bound| self.score.combined >= bound)
    }
}

/// Looks at these hosts; stops at the first that is good enough.
pub(crate) fn scan(
    hosts: impl Iterator<Item = usize>,
    class: &Class<'_>,
    cluster: &Cluster,
    choice: &Choice,
    evaluations: &mut u64,
) -> Option<Candidate> {
    let mut best = None;
    for host in hosts {
        *evaluations += 1;
        if !class.admits(cluster, host) {
            continue;
        }
        let Some(value_soft) = class.value_soft_of(cluster, host) else { continue };
        let calculator = class.calculator(cluster, choice, host);
        if choice.refuses(calculator) {
            continue;
        }
        let score = class.score(cluster, choice, host, calculator, value_soft);
        let candidate = Candidate { host, label: cluster.names().label(host), score };
        if candidate.is_good_enough(choice) {
            return Some(candidate);
        }
        best = Some(Candidate::better(best, candidate));
    }
    best
}

/// Goes along the shelves of a ranking, each no further than a better host can stand.
pub(crate) struct Walk<'a> {
    class: &'a Class<'a>,
    cluster: &'a Cluster,
    choice: &'a Choice,
    wanted: Wanted<'a>,
    /// The greatest soft score of host rules and of value rules that any host has.
    most_soft: (f64, f64),
    /// The most that the named sets of any host add which has not been looked at beforehand.
    most_sets: f64,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(class: &'a Class<'a>, cluster: &'a Cluster, choice: &'a Choice) -> Self {
        let wanted = Wanted::new(&class.demand().amounts);
        let most_soft = class.most_soft(cluster);
        Self { class, cluster, choice, wanted, most_soft, most_sets: 0.0 }
    }

    pub(crate) fn best(mut self, ranking: &Ranking, evaluations: &mut u64) -> Option<Candidate> {
        if !self.class.demand().unknown.is_empty() {
            return None;
        }
        let mut best = None;
        if self.class.minds_sets() {
            // Where nobody has room it does not matter who could share.
            let (cluster, start) = (self.cluster, Cursor::default());
            let has_room = |shelf: &Shelf| {
                shelf.seek(start, &self.wanted, cluster.columns(), Reach::ALL).is_some()
            };
            if !ranking.shelves().any(has_room) {
                return None;
            }
            let bound = self.cluster.bound_sets();
            let requests = &self.class.demand().sets;
            match bound.hosts_that_share(requests) {
                Some(few) => {
                    let few = few.into_iter();
                    best = scan(few, self.class, self.cluster, self.choice, evaluations);
                    // If none is taken, the walk goes by them again, and counts what closures refuse.
                    self.class.forget_refused();
                    self.most_sets = bound.most_unshared(requests);
                }
                None => self.most_sets = 1.0,
            }
        }
        for shelf in ranking.shelves() {
            self.along(shelf, &mut best, evaluations);
        }
        best
    }

    /// The least calculator that a host must have to be the best.
    fn least(&self, best: Option<Candidate>) -> Option<f64> {
        let best = best?;
        Some(self.class.least_calculator(best.score.rank(), self.most_soft, self.most_sets))
    }

    fn along(&self, shelf: &Shelf, best: &mut Option<Candidate>, evaluations: &mut u64) {
        let (cluster, class) = (self.cluster, self.class);
        let (host_most, value_most) = self.most_soft;
        // No host of the shelf has a greater calculator than its first one.
        let highest = class.calculator(cluster, self.choice, shelf.first()) + SLACK;
        // As far as calculators may be so high, and as far as they surely are.
        let reaches = |least: Option<f64>| {
            let reach = |rest: f64| least.map_or(Reach::ALL, |least| shelf.reach(rest - least));
            (reach(highest + SLACK), reach(highest - 2.0 * SLACK))
        };
        let mut least = self.least(*best);
        if least.is_some_and(|least| highest < least) {
            return;
        }
        let (mut reach, mut sure) = reaches(least);
        let mut cursor = Cursor::default();
        while let Some(at) = shelf.seek(cursor, &self.wanted, cluster.columns(), reach) {
            cursor = shelf.next(at);
            let host = shelf.host(at);
            *evaluations += 1;
            let calculator = || class.calculator(cluster, self.choice, host);
            if !shelf.is_within(at, sure) && least.is_some_and(|least| calculator() + SLACK < least)
            {
                return;
            }
            if class.lacks_set(cluster, host).is_some() {
                // Those alike have the same sets.
                cursor = shelf.after_alike(at);
                continue;
            }
            if !class.rules_admit(cluster, host) {
                continue;
            }
            let calculator = calculator();
            if self.choice.refuses(calculator) {
                continue;
            }
            let Some(value_soft) = class.value_soft_of(cluster, host) else { continue };
            let host_soft = class.host_soft(cluster, host);
            let sets = class.sets_of(cluster, host);
            let score = class.combine(self.choice, calculator, host_soft, value_soft, sets);
            let label = cluster.names().label(host);
            *best = Some(Candidate::better(*best, Candidate { host, label, score }));
            least = self.least(*best);
            (reach, sure) = reaches(least);
            if host_soft >= host_most && value_soft >= value_most {
                // Those alike are no better, and have greater names.
                cursor = shelf.after_alike(at);
            }
        }
    }
}
