//! What a queue promises to its buckets, whatever is queued.

use std::collections::BTreeMap;
use std::sync::Arc;

use fenzo::{
    Fitness, Lease, QueuedTask, Reason, Resources, TaskClass, TaskQueue, TaskRequest,
    TaskScheduler, TierSla, Time,
};
use proptest::prelude::*;

const BUCKETS: [&str; 4] = ["a", "b", "c", "d"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Hosts have room for everything, so that promises alone decide.
    #[test]
    fn guarantees_hold(
        guarantees in prop::collection::vec(0..12_u64, 4),
        beyond in 0..10_u64,
        tasks in prop::collection::vec((0..4_usize, 1..5_u64), 0..40),
    ) {
        let promised: u64 = guarantees.iter().sum();
        let capacity = promised + beyond;
        let mut sla = TierSla::new().with_capacity(Resources::cpus_mem(capacity, 0));
        for (bucket, cpus) in BUCKETS.iter().zip(&guarantees) {
            sla = sla.with_guarantee(*bucket, Resources::cpus_mem(*cpus, 0));
        }
        let mut queue = TaskQueue::tiered(1);
        queue.set_sla(0, Some(sla)).unwrap();
        let mut of: BTreeMap<String, (usize, u64)> = BTreeMap::new();
        for (number, (bucket, cpus)) in tasks.into_iter().enumerate() {
            let class = Arc::new(TaskClass::new("g", Resources::cpus_mem(cpus, 0)));
            let task = TaskRequest::new(format!("t{number:02}"), &class);
            of.insert(task.id.as_str().to_owned(), (bucket, cpus));
            queue.queue(QueuedTask::new(task, 0, BUCKETS[bucket])).unwrap();
        }
        let mut scheduler = TaskScheduler::builder().fitness(Fitness::cpu_packer()).build().unwrap();
        let lease = Lease::new("l", "h", Resources::cpus_mem(1000, 0));
        let result = scheduler.schedule_queue(Time::ZERO, &mut queue, vec![lease]);
        let mut used = [0; 4];
        for task in result.assignments.iter().flat_map(|host| &host.tasks) {
            let (bucket, cpus) = of[task.request.id.as_str()];
            used[bucket] += cpus;
        }
        // Nobody's guarantee was taken by others.
        let kept: u64 = used.iter().zip(&guarantees).map(|(used, of)| *used.max(of)).sum();
        prop_assert!(kept <= capacity, "{:?} of {:?} in {}", used, guarantees, capacity);
        for failure in &result.failures {
            prop_assert!(failure.explanation.reasons.contains_key(&Reason::KeptForOthers));
            for task in &failure.tasks {
                let (bucket, cpus) = of[task.as_str()];
                prop_assert!(used[bucket] + cpus > guarantees[bucket], "{} was guaranteed", task);
            }
        }
        prop_assert_eq!(result.placed() + result.failed(), of.len());
    }
}
