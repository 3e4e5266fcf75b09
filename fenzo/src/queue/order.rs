//! The order in which one run takes tasks from the queue.
//!
//! It is decided task by task, because each placement changes the shares. The queue itself stays as it is; what
//! the run has placed is counted here.

use std::collections::BTreeMap;

use crate::id::BucketName;
use crate::quantity::Time;

use super::sla::share;
use super::{TaskQueue, Tier};

/// What a run does next, with the position of the task among [`TaskQueue::ready`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Try to place it.
    Try(usize),
    /// Do not: what is left of its tier is kept for guarantees of other buckets.
    Refuse(usize),
}

struct Line<'q> {
    name: &'q BucketName,
    /// Positions of its tasks that are still to come, and what each demands.
    tasks: std::vec::IntoIter<(usize, [u64; 4])>,
    used: [u128; 4],
    weight: f64,
    share: f64,
}

struct OfTier<'q> {
    tier: &'q Tier,
    lines: Vec<Line<'q>>,
    used: [u128; 4],
}

/// The tasks of a queue in the order of one run.
pub(crate) struct Order<'q> {
    tiers: Vec<OfTier<'q>>,
    current: usize,
    /// Where the latest task came from: tier, line and demand.
    latest: Option<(usize, usize, [u64; 4])>,
}

impl<'q> Order<'q> {
    pub(crate) fn new(queue: &'q TaskQueue, now: Time) -> Self {
        let mut position = 0;
        let tiers = queue.tiers.iter().map(|tier| OfTier::new(tier, now, &mut position)).collect();
        Self { tiers, current: 0, latest: None }
    }

    /// The next task; `None` when all have had their turn.
    pub(crate) fn next(&mut self) -> Option<Step> {
        while let Some(tier) = self.tiers.get_mut(self.current) {
            let Some(line) = tier.poorest() else {
                self.current += 1;
                continue;
            };
            let (position, demand) = tier.lines[line].tasks.next()?;
            if tier.permits(line, &demand) {
                self.latest = Some((self.current, line, demand));
                return Some(Step::Try(position));
            }
            return Some(Step::Refuse(position));
        }
        None
    }

    /// Tells that the latest task was placed.
    pub(crate) fn placed(&mut self) {
        let Some((tier, line, demand)) = self.latest.take() else { return };
        self.tiers[tier].count(line, &demand);
    }
}

impl<'q> OfTier<'q> {
    fn new(tier: &'q Tier, now: Time, position: &mut usize) -> Self {
        let mut lines = Vec::with_capacity(tier.buckets.len());
        for (name, bucket) in &tier.buckets {
            let mut tasks = Vec::new();
            for task in bucket.queued.values().filter(|task| task.ready_at <= now) {
                tasks.push((*position, task.request.class.demand.measures()));
                *position += 1;
            }
            let weight = tier.sla.as_ref().map_or(1.0, |sla| sla.weight(name));
            let tasks = tasks.into_iter();
            lines.push(Line { name, tasks, used: bucket.used, weight, share: 0.0 });
        }
        let mut of = Self { tier, lines, used: tier.used };
        of.find_shares();
        of
    }

    /// The bucket with the smallest share that has a task; the smaller name if several have.
    fn poorest(&self) -> Option<usize> {
        let waiting = self.lines.iter().enumerate().filter(|(_, line)| line.tasks.len() > 0);
        let poorest = waiting.min_by(|(_, a), (_, b)| a.share.total_cmp(&b.share));
        poorest.map(|(line, _)| line)
    }

    /// Whether a task fits into its bucket's guarantee, or into what no guarantee needs.
    fn permits(&self, line: usize, demand: &[u64; 4]) -> bool {
        let Some(sla) = &self.tier.sla else { return true };
        let line = &self.lines[line];
        let fits = |most: &[u128; 4], used: &[u128; 4]| {
            (0..4).all(|measure| used[measure] + u128::from(demand[measure]) <= most[measure])
        };
        if fits(&sla.guarantee(line.name), &line.used) {
            return true;
        }
        let mut kept: BTreeMap<&BucketName, [u128; 4]> =
            sla.buckets().map(|bucket| (bucket, sla.guarantee(bucket))).collect();
        for line in &self.lines {
            let kept = kept.entry(line.name).or_default();
            for (kept, used) in kept.iter_mut().zip(line.used) {
                *kept = used.max(*kept);
            }
        }
        let mut taken = [0; 4];
        for kept in kept.values() {
            for (taken, kept) in taken.iter_mut().zip(kept) {
                *taken += kept;
            }
        }
        // What the task takes within its bucket's guarantee is counted as kept already.
        let guarantee = sla.guarantee(line.name);
        let capacity = sla.capacity();
        (0..4).all(|measure| {
            let after = line.used[measure] + u128::from(demand[measure]);
            let beyond = after.saturating_sub(guarantee[measure].max(line.used[measure]));
            taken[measure] + beyond <= capacity[measure]
        })
    }

    fn count(&mut self, line: usize, demand: &[u64; 4]) {
        for (measure, amount) in demand.iter().enumerate() {
            self.lines[line].used[measure] += u128::from(*amount);
            self.used[measure] += u128::from(*amount);
        }
        self.find_shares();
    }

    /// Without a capacity, shares are of what the tier uses: one placement changes all of them.
    fn find_shares(&mut self) {
        let total = self.tier.sla.as_ref().map_or(self.used, super::TierSla::capacity);
        for line in &mut self.lines {
            line.share = share(&line.used, &total, line.weight);
        }
    }
}
