//! The order of a queue, against one that recounts everything for every task.

use std::collections::BTreeMap;
use std::sync::Arc;

use fenzo::{
    Lease, QueuedTask, Reason, Resources, TaskClass, TaskQueue, TaskRequest, TaskScheduler,
    TierSla, Time,
};
use proptest::prelude::*;

const BUCKETS: [&str; 4] = ["a", "b", "c", "d"];

/// Cpus and memory, in whole units.
type Amounts = [u64; 2];

/// What a tier promises: to each bucket, if to that, and what it has, if that is told.
#[derive(Clone, Debug)]
struct Promise {
    guarantees: [Option<Amounts>; 4],
    capacity: Option<Amounts>,
}

#[derive(Clone, Debug)]
struct Task {
    tier: usize,
    bucket: usize,
    demand: Amounts,
    priority: i32,
    ready_at: u64,
}

/// The slow queue.
struct Naive<'a> {
    promises: &'a [Option<Promise>],
    /// What launched tasks take, by tier and bucket.
    used: BTreeMap<(usize, usize), Amounts>,
}

impl Naive<'_> {
    fn used(&self, tier: usize, bucket: usize) -> Amounts {
        self.used.get(&(tier, bucket)).copied().unwrap_or_default()
    }

    fn guarantee(&self, tier: usize, bucket: usize) -> Amounts {
        let promise = self.promises[tier].as_ref();
        promise.and_then(|promise| promise.guarantees[bucket]).unwrap_or_default()
    }

    fn sum(of: impl Fn(usize) -> Amounts) -> Amounts {
        let add = |sum: Amounts, bucket| [sum[0] + of(bucket)[0], sum[1] + of(bucket)[1]];
        (0..4).fold([0, 0], add)
    }

    fn capacity(&self, tier: usize) -> Option<Amounts> {
        let promise = self.promises[tier].as_ref()?;
        let guaranteed = Self::sum(|bucket| self.guarantee(tier, bucket));
        Some(promise.capacity.unwrap_or(guaranteed))
    }

    /// The greatest part of the tier that the bucket has, by its weight.
    fn share(&self, tier: usize, bucket: usize) -> f64 {
        let total = self.capacity(tier).unwrap_or_else(|| Self::sum(|of| self.used(tier, of)));
        let part = |(used, total): (u64, u64)| match total {
            0 => used as f64,
            total => (used * 1000) as f64 / (total * 1000) as f64,
        };
        let used = self.used(tier, bucket);
        let most = used.into_iter().zip(total).map(part).fold(0.0, f64::max);
        let Some(promise) = &self.promises[tier] else { return most };
        if promise.guarantees.iter().all(Option::is_none) {
            return most;
        }
        let all = Self::sum(|of| self.guarantee(tier, of));
        let guarantee = self.guarantee(tier, bucket).into_iter().zip(all);
        let weight = guarantee.map(|(of, all)| if all == 0 { 0.0 } else { part((of, all)) });
        most / weight.fold(0.001, f64::max)
    }

    /// Whether the bucket may have this beside what all others use or are promised.
    fn permits(&self, tier: usize, bucket: usize, demand: Amounts) -> bool {
        let Some(capacity) = self.capacity(tier) else { return true };
        let used = self.used(tier, bucket);
        let after = [used[0] + demand[0], used[1] + demand[1]];
        let promised = self.guarantee(tier, bucket);
        let within = (0..2).all(|measure| after[measure] <= promised[measure]);
        let counted = Self::sum(|of| {
            let used = if of == bucket { after } else { self.used(tier, of) };
            let promised = self.guarantee(tier, of);
            [used[0].max(promised[0]), used[1].max(promised[1])]
        });
        within || (0..2).all(|measure| counted[measure] <= capacity[measure])
    }

    fn launch(&mut self, task: &Task) {
        let used = self.used.entry((task.tier, task.bucket)).or_default();
        *used = [used[0] + task.demand[0], used[1] + task.demand[1]];
    }

    /// Numbers of tasks in the order in which they are placed, and those that wait for the sake of guarantees.
    fn run(&mut self, tasks: &[Task], mut free: Amounts) -> (Vec<usize>, Vec<usize>) {
        let (mut placed, mut kept) = (Vec::new(), Vec::new());
        let mut left: Vec<usize> = (0..tasks.len()).filter(|n| tasks[*n].ready_at <= NOW).collect();
        for tier in 0..self.promises.len() {
            loop {
                let waits = |n: &&usize| tasks[**n].tier == tier;
                let shares = left.iter().filter(waits).map(|n| tasks[*n].bucket);
                let by_share = |one: &usize, other: &usize| {
                    let (one, other) = (*one, *other);
                    self.share(tier, one).total_cmp(&self.share(tier, other)).then(one.cmp(&other))
                };
                let Some(bucket) = shares.min_by(by_share) else { break };
                let of_bucket = left.iter().filter(waits).filter(|n| tasks[**n].bucket == bucket);
                let next = of_bucket.copied().min_by_key(|n| (-tasks[*n].priority, *n)).unwrap();
                left.retain(|n| *n != next);
                let demand = tasks[next].demand;
                if !self.permits(tier, bucket, demand) {
                    kept.push(next);
                } else if demand[0] <= free[0] && demand[1] <= free[1] {
                    free = [free[0] - demand[0], free[1] - demand[1]];
                    self.launch(&tasks[next]);
                    placed.push(next);
                }
            }
        }
        (placed, kept)
    }
}

/// Seconds.
const NOW: u64 = 5;

fn amounts() -> impl Strategy<Value = Amounts> + Clone {
    prop::array::uniform2(0..6_u64)
}

fn promise() -> impl Strategy<Value = Option<Promise>> {
    let guarantees = prop::array::uniform4(prop::option::of(amounts()));
    let capacity = prop::option::of(prop::array::uniform2(0..30_u64));
    let promise =
        (guarantees, capacity).prop_map(|(guarantees, capacity)| Promise { guarantees, capacity });
    prop::option::weighted(0.7, promise)
}

fn task() -> impl Strategy<Value = Task> {
    (0..3_usize, 0..4_usize, amounts(), -1..2_i32, 0..12_u64).prop_map(
        |(tier, bucket, demand, priority, ready_at)| {
            let ready_at = if ready_at < 9 { 0 } else { ready_at - 6 };
            Task { tier, bucket, demand, priority, ready_at }
        },
    )
}

fn queued(id: &str, task: &Task) -> QueuedTask {
    let class = TaskClass::new("g", Resources::cpus_mem(task.demand[0], task.demand[1]));
    QueuedTask::new(TaskRequest::new(id, &Arc::new(class)), task.tier, BUCKETS[task.bucket])
        .with_priority(task.priority)
        .with_ready_at(Time::from_secs(task.ready_at))
}

fn sla(promise: &Promise) -> TierSla {
    let mut sla = TierSla::new();
    for (bucket, guarantee) in BUCKETS.iter().zip(promise.guarantees) {
        if let Some([cpus, mem]) = guarantee {
            sla = sla.with_guarantee(*bucket, Resources::cpus_mem(cpus, mem));
        }
    }
    match promise.capacity {
        Some([cpus, mem]) => sla.with_capacity(Resources::cpus_mem(cpus, mem)),
        None => sla,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Tiers strictly in turn, in a tier the bucket with the smallest weighted share, in a bucket priority and
    /// arrival; nobody's guarantee is given to others, and what is not ready is passed over.
    #[test]
    fn the_order_of_a_queue_is_the_oracles(
        promises in prop::collection::vec(promise(), 3),
        tasks in prop::collection::vec(task(), 0..40),
        running in prop::collection::vec(task(), 0..6),
        room in prop::array::uniform2(0..60_u64),
    ) {
        let mut queue = TaskQueue::tiered(3);
        let mut naive = Naive { promises: &promises, used: BTreeMap::new() };
        for (tier, promise) in promises.iter().enumerate() {
            queue.set_sla(tier, promise.as_ref().map(sla)).unwrap();
        }
        for (number, task) in running.iter().enumerate() {
            queue.note_running(queued(&format!("r{number}"), task)).unwrap();
            naive.launch(task);
        }
        for (number, task) in tasks.iter().enumerate() {
            queue.queue(queued(&format!("t{number}"), task)).unwrap();
        }
        let mut scheduler = TaskScheduler::builder().build().unwrap();
        let lease = Lease::new("l", "h", Resources::cpus_mem(room[0], room[1]));
        let result = scheduler.schedule_queue(Time::from_secs(NOW), &mut queue, vec![lease]);

        let (placed, kept) = naive.run(&tasks, room);
        let names = |numbers: &[usize]| -> Vec<String> {
            numbers.iter().map(|number| format!("t{number}")).collect()
        };
        let got = result.assignments.iter().flat_map(|host| &host.tasks);
        let got: Vec<String> = got.map(|task| task.request.id.to_string()).collect();
        prop_assert_eq!(got, names(&placed));
        let is_kept = |failure: &&fenzo::Failure| {
            failure.explanation.reasons.contains_key(&Reason::KeptForOthers)
        };
        let told = result.failures.iter().filter(is_kept).flat_map(|failure| &failure.tasks);
        let mut told: Vec<String> = told.map(ToString::to_string).collect();
        let mut kept = names(&kept);
        told.sort();
        kept.sort();
        prop_assert_eq!(told, kept);
        let ready = tasks.iter().filter(|task| task.ready_at <= NOW).count();
        prop_assert_eq!(result.placed() + result.failed(), ready);
        prop_assert_eq!(queue.queued(), tasks.len() - placed.len());
    }
}
