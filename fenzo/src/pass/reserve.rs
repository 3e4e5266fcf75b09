//! Keeping room for the head of the queue within a pass, and letting others use what that costs nothing.
//!
//! What is kept is taken off what the reserved host has free, so all that finds hosts sees the rest alone. A
//! task that is sure to end before the head can start may use what is kept as well. It must never give a host
//! to two heads, and never keep more than is free.

use std::ops::Range;

use crate::cluster::ahead::first_fit;
use crate::cluster::columns::covers;
use crate::cluster::devices::HostDevices;
use crate::constraint::Constraint;
use crate::id::TaskId;
use crate::quantity::Time;
use crate::request::TaskRequest;
use crate::reservation::{Outlook, Reservation, Start};
use crate::result::PlacedTask;

use super::Pass;
use super::find::Candidate;
use super::timeline::{End, Opening, Timeline, could_host};

/// What the pass keeps, and what it may still spend on keeping.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) reservations: Vec<Reservation>,
    /// The reserved hosts that offer something, and when their heads start, if that is known.
    hosts: Vec<(usize, Option<Time>)>,
    /// Groups of which no task overtakes a head: the head's rules look at where they are.
    groups: Vec<usize>,
    looks: u64,
}

impl<'a> Pass<'a> {
    fn outlook(&self) -> Option<Outlook<'a>> {
        let outlook = self.bounds.outlook?;
        (self.kept.reservations.len() < outlook.backfill.heads).then_some(outlook)
    }

    /// Whether a class must not overtake a head.
    pub(super) fn waits_for_head(&self, class: usize) -> bool {
        let rules = &self.classes[class];
        let kept = |group: &usize| self.kept.groups.contains(group);
        kept(&rules.group()) || rules.demand().keys.iter().any(kept)
    }

    /// Keeps room for a task that has just found no host, if it is one of the first such tasks.
    pub(super) fn reserve(&mut self, class: usize, task: &TaskId) {
        let Some(outlook) = self.outlook() else { return };
        if self.over_limit(class).is_some() || self.waits_for_head(class) {
            return;
        }
        let rules = &self.classes[class];
        let mut best: Option<((Start, u64), usize, Opening)> = None;
        let mut looks = 0;
        for host in self.large_enough(class, &outlook, None) {
            looks += 1;
            let timeline = self.timeline(&outlook, host);
            let Some(opening) = timeline.opening(self.cluster, rules) else { continue };
            let rank = (opening.start, self.cluster.names().label(host));
            if best.as_ref().is_none_or(|(least, ..)| rank < *least) {
                best = Some((rank, host, opening));
            }
        }
        self.spend(looks);
        let Some((_, host, Opening { start, mut free })) = best else { return };
        for (free, amount) in free.iter_mut().zip(&self.classes[class].demand().amounts) {
            *free -= amount;
        }
        let start = match start {
            Start::At(time) => Start::At(time.max(outlook.now)),
            Start::AfterEnds(tasks) => Start::AfterEnds(tasks),
        };
        let until = match start {
            Start::At(time) => Some(time),
            Start::AfterEnds(_) => None,
        };
        self.keep(host, &free, until, class);
        let hosts = vec![self.cluster.names().id(host).clone()];
        self.kept.reservations.push(Reservation { tasks: vec![task.clone()], hosts, start });
        self.hold_back_co_tasks(class);
    }

    /// The same for a gang of which at least `min` are to be placed.
    pub(super) fn reserve_gang(
        &mut self,
        tasks: &[TaskRequest],
        members: Range<usize>,
        min: usize,
        domain: Option<usize>,
    ) {
        let Some(outlook) = self.outlook() else { return };
        let classes: Vec<usize> = members.clone().map(|member| self.class_of[member]).collect();
        let unfit = |class: &usize| {
            self.classes[*class].minds_sets()
                || self.waits_for_head(*class)
                || self.over_limit(*class).is_some()
        };
        if classes.iter().any(unfit) || classes.len() < min {
            return;
        }
        let mut looks = 0;
        let mut best: Option<(End, Vec<Share>)> = None;
        for value in self.domains(domain) {
            let hosts = self.large_enough(classes[0], &outlook, value);
            let timelines: Vec<Timeline<'_>> =
                hosts.into_iter().map(|host| self.timeline(&outlook, host)).collect();
            let mut moments: Vec<End> = timelines.iter().flat_map(Timeline::ends).collect();
            moments.push(End::At(outlook.now));
            moments.sort_unstable();
            moments.dedup();
            let first = moments.partition_point(|moment| {
                looks += timelines.len() as u64;
                self.fill(&timelines, *moment, &classes, min).is_none()
            });
            let Some(moment) = moments.get(first).copied() else { continue };
            if best.as_ref().is_none_or(|(least, _)| moment < *least) {
                let shares = self.fill(&timelines, moment, &classes, min);
                best = shares.map(|shares| (moment, shares));
            }
        }
        self.spend(looks);
        let Some((moment, shares)) = best else { return };
        let (start, until) = match moment {
            End::At(time) => (Start::At(time), Some(time)),
            End::Unknown => {
                (Start::AfterEnds(shares.iter().map(|share| share.unknown).sum()), None)
            }
        };
        let mut hosts: Vec<usize> = shares.iter().map(|share| share.host).collect();
        hosts.sort_unstable_by_key(|host| self.cluster.names().label(*host));
        let hosts = hosts.into_iter().map(|host| self.cluster.names().id(host).clone()).collect();
        for share in shares {
            self.keep(share.host, &share.spare, until, share.class);
        }
        let tasks = tasks[members].iter().map(|task| task.id.clone()).collect();
        self.kept.reservations.push(Reservation { tasks, hosts, start });
        for class in classes {
            self.hold_back_co_tasks(class);
        }
    }

    /// A host that is kept for a head, but that a task can use because it ends before the head starts.
    pub(super) fn gap(&self, class: usize, task: &TaskRequest) -> Option<Candidate> {
        if self.kept.hosts.is_empty() {
            return None;
        }
        let outlook = self.bounds.outlook?;
        let end = outlook.now.saturating_add(task.run_time?);
        let (rules, cluster, choice) = (&self.classes[class], &*self.cluster, self.choice);
        if !rules.demand().unknown.is_empty() {
            return None;
        }
        let mut best = None;
        for (host, until) in &self.kept.hosts {
            if until.is_none_or(|until| until < end) || !rules.rules_permit(cluster, *host) {
                continue;
            }
            let free = whole(cluster.columns().free(*host), cluster.columns().withheld(*host));
            let Some(value_soft) = rules.value_soft_of(cluster, *host) else { continue };
            let calculator = rules.calculator(cluster, choice, *host);
            if !covers(&free, &rules.demand().amounts) || choice.refuses(calculator) {
                continue;
            }
            let score = rules.score(cluster, choice, *host, calculator, value_soft);
            let candidate = Candidate { host: *host, label: cluster.names().label(*host), score };
            best = Some(Candidate::better(best, candidate));
        }
        best
    }

    /// Puts a task where [`Pass::gap`] says; it is sure to succeed.
    pub(super) fn place_in_gap(
        &mut self,
        class: usize,
        task: &TaskRequest,
        gap: Candidate,
    ) -> bool {
        let host = gap.host;
        let spare: Box<[u64]> = self.cluster.columns().free(host).into();
        self.cluster.withhold(host, vec![0; spare.len()].into(), false);
        self.put(class, task, gap);
        // What others may use is still theirs, as far as it is there.
        let free = self.cluster.columns().free(host);
        let kept = free.iter().zip(&spare).map(|(free, spare)| free.saturating_sub(*spare));
        let kept = kept.collect();
        self.cluster.withhold(host, kept, false);
        true
    }

    /// Keeps all of a host but `spare`.
    fn keep(&mut self, host: usize, spare: &[u64], until: Option<Time>, class: usize) {
        if !self.cluster.columns().is_offered(host) {
            return;
        }
        let rules = &self.classes[class];
        let mut kept: Box<[u64]> = self.cluster.columns().free(host).into();
        for (kept, spare) in kept.iter_mut().zip(spare) {
            *kept = kept.saturating_sub(*spare);
        }
        // What would be left of sets and devices is not told in sums: others keep off.
        let named = rules.minds_sets() || !rules.demand().devices.is_empty();
        let alone = named || rules.wants_host_alone();
        self.cluster.withhold(host, kept, alone);
        self.kept.hosts.push((host, until));
    }

    fn hold_back_co_tasks(&mut self, class: usize) {
        self.kept.groups.extend(self.classes[class].watched());
    }

    fn timeline<'s>(&'s self, outlook: &Outlook<'s>, host: usize) -> Timeline<'s> {
        let placed = self.placed.iter().filter(move |(on, ..)| *on == host);
        let placed = placed.map(|(_, _, task): &'s (usize, usize, PlacedTask)| task);
        Timeline::new(self.cluster, outlook, host, placed)
    }

    /// The hosts that are not reserved, have as much in all as a class demands, and could host it, as many as
    /// may still be looked at; of one domain, if one is given.
    fn large_enough(
        &self,
        class: usize,
        outlook: &Outlook<'_>,
        domain: Option<(usize, u32)>,
    ) -> Vec<usize> {
        let (rules, cluster) = (&self.classes[class], &*self.cluster);
        let measures = rules.class().demand.measures();
        let looks = outlook.backfill.looks.saturating_sub(self.kept.looks);
        let large = |host: &usize| {
            let total = cluster.columns().total(*host);
            total.iter().zip(&measures).all(|(total, wanted)| wanted <= total)
                && domain
                    .is_none_or(|(column, value)| cluster.values().of_host(column, *host) == value)
                && self.kept.hosts.iter().all(|(reserved, _)| reserved != host)
                && outlook.is_usable(cluster.names().id(*host), &cluster.host(*host).attributes)
                && could_host(rules, cluster, *host)
        };
        let looks = usize::try_from(looks).unwrap_or(usize::MAX);
        cluster.names().in_order().filter(large).take(looks).collect()
    }

    fn spend(&mut self, looks: u64) {
        self.kept.looks += looks;
        self.evaluations += looks;
    }

    /// Every value of a column, or the whole cluster.
    fn domains(&self, column: Option<usize>) -> Vec<Option<(usize, u32)>> {
        let Some(column) = column else { return vec![None] };
        let values = 0_u32..;
        let members = self.cluster.values().members(column);
        let values = values.zip(members).filter(|(_, hosts)| !hosts.is_empty());
        values.map(|(value, _)| Some((column, value))).collect()
    }

    /// Where at least `min` of these classes fit at a moment, host after host; `None` if they do not.
    fn fill(
        &self,
        timelines: &[Timeline<'_>],
        moment: End,
        classes: &[usize],
        min: usize,
    ) -> Option<Vec<Share>> {
        let mut waiting: Vec<usize> = classes.to_vec();
        let most_left = classes.len() - min;
        let mut shares = Vec::new();
        for timeline in timelines {
            let Some(first) = waiting.first() else { break };
            let (mut spare, barred) = timeline.at(moment, &self.classes[*first]);
            if barred {
                continue;
            }
            let mut class = None;
            let before = waiting.len();
            let minds = |member: &usize| !self.classes[*member].demand().devices.is_empty();
            let mut devices = HostDevices::default();
            if waiting.iter().any(minds) {
                devices = timeline.devices_at(moment, self.cluster);
            }
            waiting.retain(|member| {
                let rules = &self.classes[*member];
                let one = rules.wants_host_alone()
                    || rules.class().hard.contains(&Constraint::UniqueHost);
                let fits = !(one && class.is_some())
                    && covers(&spare, &rules.demand().amounts)
                    && devices.lacks(&rules.demand().devices).is_none()
                    && could_host(rules, self.cluster, timeline.host);
                if fits {
                    class = Some(*member);
                    devices.note(&first_fit(&devices, &rules.demand().devices));
                    for (spare, amount) in spare.iter_mut().zip(&rules.demand().amounts) {
                        *spare -= amount;
                    }
                }
                !fits
            });
            if let Some(class) = class
                && waiting.len() < before
            {
                let unknown = timeline.ends().filter(|end| *end == End::Unknown).count();
                let unknown = u32::try_from(unknown).unwrap_or(u32::MAX);
                shares.push(Share { host: timeline.host, spare, class, unknown });
            }
            if waiting.len() <= most_left {
                return Some(shares);
            }
        }
        None
    }
}

/// A gang's part of one host.
struct Share {
    host: usize,
    /// What others may use.
    spare: Box<[u64]>,
    /// One of the classes on it.
    class: usize,
    /// How many tasks of unknown end run there.
    unknown: u32,
}

fn whole(free: &[u64], kept: Option<&[u64]>) -> Box<[u64]> {
    let mut whole: Box<[u64]> = free.into();
    for (whole, kept) in whole.iter_mut().zip(kept.unwrap_or_default()) {
        *whole += kept;
    }
    whole
}
