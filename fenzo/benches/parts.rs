//! What the parts of a run cost, each by itself: `cargo bench -p fenzo`.
//!
//! The example `workload` measures whole runs over cluster sizes (`--table`); here is where their time goes. Its
//! generator makes the clusters, so that both speak of the same hosts and tasks.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    missing_docs,
    reason = "a program that measures: it reads the clock"
)]

#[allow(dead_code, reason = "the example needs more of it")]
#[path = "../examples/workload/generate.rs"]
mod generate;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use fenzo::{
    Constraint, Fitness, Lease, Preemptible, QueuedTask, Resources, TaskClass, TaskQueue,
    TaskRequest, TaskScheduler, Time,
};
use generate::{Config, Generator, Tasks, leases};

const HOSTS: usize = 5000;

fn tasks(config: Config, count: usize, big: u64) -> Vec<TaskRequest> {
    Tasks::new(config, false, big, 1337).take(count).collect()
}

fn scheduler(fitness: Fitness, hosts: usize) -> TaskScheduler {
    let mut scheduler =
        TaskScheduler::builder().fitness(fitness).build().expect("these can be built");
    scheduler.schedule_once(Time::ZERO, &[], leases(hosts, 42));
    scheduler
}

/// Questions change nothing: each is asked of the same cluster again and again.
fn placing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("1,000 tasks on 5,000 hosts");
    for (name, config) in [
        ("first fit", Config::Default),
        ("packed", Config::BinPack),
        ("spread", Config::Spread),
        ("balanced and unique", Config::Constrained),
    ] {
        let mut scheduler = scheduler(config.fitness(), HOSTS);
        let tasks = tasks(config, 1000, 1);
        group.bench_function(name, |bench| {
            bench.iter(|| black_box(scheduler.what_if(&tasks, vec![])));
        });
    }
    let mut packing = scheduler(Fitness::cpu_memory_packer(), HOSTS);
    let nowhere = tasks(Config::BinPack, 1000, 100);
    group.bench_function("that fit nowhere, explained", |bench| {
        bench.iter(|| black_box(packing.what_if(&nowhere, vec![])));
    });
    let few = Constraint::custom("few tasks", |_, host| host.tasks() < 20);
    let with_closure: Vec<TaskRequest> = tasks(Config::BinPack, 1000, 1)
        .into_iter()
        .map(|task| {
            let class = TaskClass::clone(&task.class).with_hard(few.clone());
            TaskRequest::new(task.id, &Arc::new(class))
        })
        .collect();
    group.bench_function("with a closure", |bench| {
        bench.iter(|| black_box(packing.what_if(&with_closure, vec![])));
    });
    let picky = Constraint::custom("one host in 100", |_, host| {
        host.id().as_str().bytes().rev().take(2).all(|digit| digit == b'0')
    });
    let picky: Vec<TaskRequest> = tasks(Config::BinPack, 1000, 1)
        .into_iter()
        .map(|task| {
            let class = TaskClass::clone(&task.class).with_hard(picky.clone());
            TaskRequest::new(task.id, &Arc::new(class))
        })
        .collect();
    let mut spreading = scheduler(Fitness::cpu_memory_spreader(), HOSTS);
    group.bench_function("with a closure that passes one host in 100, spread", |bench| {
        bench.iter(|| black_box(spreading.what_if(&picky, vec![])));
    });
    group.finish();
}

fn leases_come_and_go(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("leases of 5,000 hosts");
    let all: Vec<Lease> = leases(HOSTS, 42);
    let build = || TaskScheduler::builder().fitness(Fitness::cpu_memory_packer()).build();
    group.bench_function("added", |bench| {
        let fresh = || (build().expect("a packer can be built"), all.clone());
        bench.iter_batched(
            fresh,
            |(mut scheduler, leases)| {
                scheduler.schedule_once(Time::ZERO, &[], leases);
                scheduler
            },
            BatchSize::LargeInput,
        );
    });
    group.bench_function("given up", |bench| {
        bench.iter_batched(
            || scheduler(Fitness::cpu_memory_packer(), HOSTS),
            |mut scheduler| black_box(scheduler.expire_all()),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn a_queue(criterion: &mut Criterion) {
    let mut queue = TaskQueue::tiered(2);
    let mut generator = Generator(7);
    for (number, task) in tasks(Config::BinPack, 10_000, 1).into_iter().enumerate() {
        let bucket = format!("bucket{}", generator.below(8));
        let task = QueuedTask::new(task, number % 2, bucket);
        queue.queue(task).expect("its id is new and its tier exists");
    }
    criterion.bench_function("a queue of 10,000 in order, placed", |bench| {
        bench.iter_batched(
            || (scheduler(Fitness::cpu_memory_packer(), HOSTS), queue.clone()),
            |(mut scheduler, mut queue)| {
                black_box(scheduler.schedule_queue(Time::ZERO, &mut queue, vec![]))
            },
            BatchSize::LargeInput,
        );
    });
}

fn preemption(criterion: &mut Criterion) {
    let mut scheduler = scheduler(Fitness::cpu_memory_packer(), 1000);
    let result = scheduler.schedule_once(Time::ZERO, &tasks(Config::BinPack, 9000, 1), vec![]);
    let mut running = Vec::new();
    for assignment in &result.assignments {
        for task in &assignment.tasks {
            scheduler.task_assigned(&task.request, &assignment.host);
            let lost_work = task.request.class.demand.mem.thousandths();
            running.push(Preemptible { task: task.request.id.clone(), priority: 0, lost_work });
        }
    }
    let class = Arc::new(TaskClass::new("big", Resources::cpus_mem(8, 16_384)));
    let big = TaskRequest::new("big", &class);
    criterion.bench_function("a preemption plan among 9,000 tasks", |bench| {
        bench.iter(|| black_box(scheduler.preemption_plan(&big, 1, &running, &BTreeMap::new())));
    });
}

criterion_group!(parts, placing, leases_come_and_go, a_queue, preemption);
criterion_main!(parts);
