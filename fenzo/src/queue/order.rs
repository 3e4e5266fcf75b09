//! The order in which one run takes tasks from the queue.
//!
//! It is decided task by task, because each placement changes the shares. The queue itself stays as it is; what
//! the run has placed is counted here.

use crate::quantity::Time;

use super::sla::share;
use super::{TaskQueue, Tier, TierSla};

/// What a run does next, with the position of the task among [`TaskQueue::ready`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Try to place it.
    Try(usize),
    /// Do not: what is left of its tier is kept for guarantees of other buckets.
    Refuse(usize),
}

struct Line {
    /// Positions of its tasks that are still to come, and what each demands.
    tasks: std::vec::IntoIter<(usize, [u64; 4])>,
    used: [u128; 4],
    guarantee: [u128; 4],
    weight: f64,
    share: f64,
}

struct OfTier {
    lines: Vec<Line>,
    used: [u128; 4],
    /// What there is, if the tier promises anything.
    capacity: Option<[u128; 4]>,
    /// The sum over all buckets of what they use or are guaranteed, whichever is more.
    taken: [u128; 4],
}

/// The tasks of a queue in the order of one run.
pub(crate) struct Order {
    tiers: Vec<OfTier>,
    current: usize,
    /// Where the latest task came from: tier, line and demand.
    latest: Option<(usize, usize, [u64; 4])>,
}

impl Order {
    pub(crate) fn new(queue: &TaskQueue, now: Time) -> Self {
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

impl OfTier {
    fn new(tier: &Tier, now: Time, position: &mut usize) -> Self {
        let guaranteed = tier.sla.as_ref().map_or([0; 4], TierSla::guaranteed);
        let mut taken = guaranteed;
        let mut lines = Vec::with_capacity(tier.buckets.len());
        for (name, bucket) in &tier.buckets {
            let mut tasks = Vec::new();
            for task in bucket.queued.values().filter(|task| task.ready_at <= now) {
                tasks.push((*position, task.request.class.demand.measures()));
                *position += 1;
            }
            let sla = tier.sla.as_ref();
            let weight = sla.map_or(1.0, |sla| sla.weight(name, &guaranteed));
            let guarantee = sla.map_or([0; 4], |sla| sla.guarantee(name));
            for ((taken, used), guarantee) in taken.iter_mut().zip(bucket.used).zip(guarantee) {
                *taken += used.saturating_sub(guarantee);
            }
            let tasks = tasks.into_iter();
            lines.push(Line { tasks, used: bucket.used, guarantee, weight, share: 0.0 });
        }
        let capacity = tier.sla.as_ref().map(TierSla::capacity);
        let mut of = Self { lines, used: tier.used, capacity, taken };
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
        let Some(capacity) = &self.capacity else { return true };
        let line = &self.lines[line];
        let after = |measure: usize| line.used[measure] + u128::from(demand[measure]);
        if (0..4).all(|measure| after(measure) <= line.guarantee[measure]) {
            return true;
        }
        // What the task takes within its bucket's guarantee is counted as taken already.
        (0..4).all(|measure| {
            let counted = line.guarantee[measure].max(line.used[measure]);
            let beyond = after(measure).saturating_sub(counted);
            self.taken[measure] + beyond <= capacity[measure]
        })
    }

    fn count(&mut self, line: usize, demand: &[u64; 4]) {
        let of = &mut self.lines[line];
        for (measure, amount) in demand.iter().enumerate() {
            let counted = of.guarantee[measure].max(of.used[measure]);
            of.used[measure] += u128::from(*amount);
            self.used[measure] += u128::from(*amount);
            self.taken[measure] += of.used[measure].saturating_sub(counted);
        }
        match &self.capacity {
            Some(capacity) => of.share = share(&of.used, capacity, of.weight),
            None => self.find_shares(),
        }
    }

    /// Without a capacity, shares are of what the tier uses: one placement changes all of them.
    fn find_shares(&mut self) {
        let total = self.capacity.unwrap_or(self.used);
        for line in &mut self.lines {
            line.share = share(&line.used, &total, line.weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::queue::QueuedTask;
    use crate::request::{TaskClass, TaskRequest};
    use crate::resources::Resources;

    /// What is taken is kept as a sum; it is what adding up all buckets gives, whatever was placed.
    #[test]
    fn what_is_taken_is_the_sum_over_all_buckets() {
        let cpus = |whole| Resources::cpus_mem(whole, 0);
        let guarantees = [("a", 3), ("b", 0), ("nobody", 4)];
        let sla = guarantees
            .iter()
            .fold(TierSla::new(), |sla, (of, whole)| sla.with_guarantee(*of, cpus(*whole)))
            .with_capacity(cpus(18));
        let mut queue = TaskQueue::tiered(1);
        queue.set_sla(0, Some(sla.clone())).unwrap();
        for n in 0..30_u64 {
            let bucket = ["a", "b", "c"][n as usize % 3];
            let class = Arc::new(TaskClass::new("g", cpus(1 + n % 2)));
            let task = TaskRequest::new(format!("t{n}"), &class);
            queue.queue(QueuedTask::new(task, 0, bucket)).unwrap();
        }
        let mut order = Order::new(&queue, Time::ZERO);
        let (mut tried, mut refused) = (0, 0);
        while let Some(step) = order.next() {
            match step {
                Step::Try(_) => {
                    tried += 1;
                    order.placed();
                }
                Step::Refuse(_) => refused += 1,
            }
            let tier = &order.tiers[0];
            let kept =
                |(name, line): (&str, &Line)| line.used[0].max(sla.guarantee(&name.into())[0]);
            let names = ["a", "b", "c"].into_iter();
            let sum: u128 = names.zip(&tier.lines).map(kept).sum();
            assert_eq!(tier.taken[0], sum + 4000);
            assert!(tier.taken[0] <= 18_000);
        }
        assert!(tried > 8 && refused > 0 && tried + refused == 30);
    }
}
