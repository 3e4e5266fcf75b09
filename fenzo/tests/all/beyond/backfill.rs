//! Room for the head of the queue: it never starts later for what is placed behind it.

use std::collections::BTreeMap;
use std::time::Duration;

use fenzo::{
    Backfill, Constraint, Device, DeviceRequest, Fitness, Gang, HostId, Lease, Reason, Reservation,
    Resources, SchedulingResult, Start, TaskRequest, TaskScheduler, Time,
};
use proptest::prelude::*;

use super::{class, lease, tasks};

fn at(secs: u64) -> Time {
    Time::from_secs(secs)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn keeping(heads: usize) -> TaskScheduler {
    let backfill = Backfill { heads, ..Backfill::default() };
    TaskScheduler::builder().backfill(backfill).build().unwrap()
}

/// Notes a task of so many cpus as running until a time, if that is known.
fn running(scheduler: &mut TaskScheduler, id: &str, cpus: u64, host: &str, end: Option<u64>) {
    let class = std::sync::Arc::new(class("running", cpus));
    scheduler.task_assigned(&TaskRequest::new(id, &class), &host.into());
    if let Some(end) = end {
        assert!(scheduler.expect_end(&id.into(), at(end)));
    }
}

fn reserved(task: &str, host: &str, start: Start) -> Reservation {
    Reservation { tasks: vec![task.into()], hosts: vec![host.into()], start }
}

fn lasting(name: &str, count: usize, cpus: u64, run_time: u64) -> Vec<TaskRequest> {
    let all = tasks(name, count, class(name, cpus));
    all.into_iter().map(|task| task.with_run_time(secs(run_time))).collect()
}

/// Two hosts of 8 cpus: h0 has 4 free and is all free at 20 s, h1 has 2 free and is all free at 10 s.
fn busy(scheduler: &mut TaskScheduler) -> Vec<Lease> {
    running(scheduler, "r0", 4, "h0", Some(20));
    running(scheduler, "r1", 6, "h1", Some(10));
    vec![lease("l0", "h0", 4), lease("l1", "h1", 2)]
}

#[test]
fn the_head_gets_the_host_that_is_free_first() {
    let mut scheduler = keeping(1);
    let leases = busy(&mut scheduler);
    let batch = [tasks("head", 1, class("head", 7)), tasks("small", 4, class("small", 2))].concat();
    let result = scheduler.schedule_once(at(0), &batch, leases);
    assert_eq!(result.reservations, [reserved("head0", "h1", Start::At(at(10)))]);
    // h0 is nobody's; of h1 one cpu is not needed, which is too little.
    assert_eq!(result.host_of(&"small0".into()), Some(&"h0".into()));
    assert_eq!(result.host_of(&"small1".into()), Some(&"h0".into()));
    assert_eq!((result.placed(), result.failed()), (2, 3));
    let why = result.why(&"small2".into()).unwrap();
    assert_eq!(why.reasons[&Reason::Reserved], 1);
    assert!(why.to_string().contains("1 kept for the head of the queue"), "{why}");
}

#[test]
fn without_it_the_head_finds_no_room_again() {
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    let leases = busy(&mut scheduler);
    let batch = [tasks("head", 1, class("head", 7)), tasks("small", 3, class("small", 2))].concat();
    let result = scheduler.schedule_once(at(0), &batch, leases);
    assert_eq!((result.placed(), result.reservations.len()), (3, 0));
}

#[test]
fn who_ends_in_time_may_use_what_is_kept() {
    let mut scheduler = keeping(1);
    let leases = busy(&mut scheduler);
    let batch = [
        tasks("head", 1, class("head", 8)),
        lasting("long", 1, 2, 11),
        tasks("fill", 1, class("fill", 2)),
        lasting("short", 1, 2, 10),
        lasting("late", 1, 2, 11),
    ];
    let result = scheduler.schedule_once(at(0), &batch.concat(), leases);
    assert_eq!(result.host_of(&"long0".into()), Some(&"h0".into()));
    assert_eq!(result.host_of(&"fill0".into()), Some(&"h0".into()));
    assert_eq!(result.host_of(&"short0".into()), Some(&"h1".into()));
    assert_eq!(result.host_of(&"late0".into()), None);
}

#[test]
fn ports_in_a_gap_are_nobody_elses() {
    let mut scheduler = keeping(1);
    running(&mut scheduler, "r1", 6, "h1", Some(10));
    let ports = fenzo::PortRange::new(1, 10).unwrap();
    let leases = vec![lease("l1", "h1", 4).with_ports(ports)];
    let with_ports = |name: &str, run_time: Option<u64>, ports: u32| {
        let all = tasks(name, 1, class(name, 1).with_ports(ports));
        let run_time = run_time.map(secs);
        all.into_iter().map(|task| TaskRequest { run_time, ..task }).collect::<Vec<_>>()
    };
    let batch = [
        tasks("head", 1, class("head", 8).with_ports(4)),
        with_ports("b", None, 2),
        with_ports("gap", Some(5), 5),
        with_ports("c", None, 3),
    ];
    let result = scheduler.schedule_once(at(0), &batch.concat(), leases);
    let mut handed: Vec<u16> =
        result.assignments[0].tasks.iter().flat_map(|task| task.ports.clone()).collect();
    assert_eq!((result.placed(), handed.len()), (3, 10), "{:?}", result.failures);
    handed.sort_unstable();
    handed.dedup();
    assert_eq!(handed.len(), 10);
}

#[test]
fn without_estimates_the_host_where_fewest_must_end_is_kept() {
    let mut scheduler = keeping(1);
    for (task, cpus, host) in [("a", 2, "h0"), ("b", 2, "h0"), ("c", 4, "h1"), ("d", 1, "h1")] {
        running(&mut scheduler, task, cpus, host, None);
    }
    let leases = vec![lease("l0", "h0", 4), lease("l1", "h1", 3)];
    let batch = [tasks("head", 1, class("head", 7)), lasting("small", 2, 3, 1)].concat();
    let result = scheduler.schedule_once(at(0), &batch, leases);
    assert_eq!(result.reservations, [reserved("head0", "h1", Start::AfterEnds(1))]);
    assert_eq!(
        (result.placed(), result.reservations[0].start.to_string()),
        (1, "when 1 more tasks have ended".into())
    );
}

#[test]
fn what_fits_nowhere_reserves_nothing_and_the_next_is_the_head() {
    let mut scheduler = keeping(1);
    let leases = busy(&mut scheduler);
    let batch = [
        tasks("huge", 1, class("huge", 80)),
        tasks("pinned", 1, class("p", 8).with_hard(Constraint::equals("zone", "moon"))),
        tasks("head", 1, class("head", 8)),
        tasks("second", 1, class("head", 8)),
    ];
    let result = scheduler.schedule_once(at(0), &batch.concat(), leases);
    assert_eq!(result.reservations, [reserved("head0", "h1", Start::At(at(10)))]);
}

#[test]
fn two_heads_have_two_hosts() {
    let mut scheduler = keeping(2);
    let leases = busy(&mut scheduler);
    let result = scheduler.schedule_once(at(0), &tasks("head", 3, class("head", 8)), leases);
    let first = reserved("head0", "h1", Start::At(at(10)));
    assert_eq!(result.reservations, [first, reserved("head1", "h0", Start::At(at(20)))]);
}

#[test]
fn a_head_that_wants_a_host_alone_waits_for_all_of_it() {
    let mut scheduler = keeping(1);
    running(&mut scheduler, "r0", 1, "h0", Some(20));
    running(&mut scheduler, "r1", 1, "h1", Some(10));
    let leases = vec![lease("l0", "h0", 7), lease("l1", "h1", 7)];
    let alone = class("alone", 2).with_hard(Constraint::ExclusiveHost);
    let batch = [tasks("alone", 1, alone), tasks("small", 8, class("small", 1))].concat();
    let result = scheduler.schedule_once(at(0), &batch, leases);
    assert_eq!(result.reservations, [reserved("alone0", "h1", Start::At(at(10)))]);
    assert_eq!((result.placed(), result.assignments.len()), (7, 1));
}

#[test]
fn co_tasks_do_not_overtake_a_head_whose_rules_look_at_them() {
    let mut scheduler = keeping(1);
    running(&mut scheduler, "r0", 6, "h0", Some(20));
    let apart = |cpus| class("g", cpus).with_hard(Constraint::UniqueHost);
    let batch = [tasks("head", 1, apart(8)), tasks("small", 1, apart(1))].concat();
    let result = scheduler.schedule_once(at(0), &batch, vec![lease("l0", "h0", 2)]);
    assert_eq!((result.placed(), result.reservations.len()), (0, 1));
    assert!(result.why(&"small0".into()).unwrap().reasons.contains_key(&Reason::Reserved));
}

#[test]
fn a_disabled_host_is_not_kept() {
    let mut scheduler = keeping(1);
    let leases = busy(&mut scheduler);
    scheduler.disable_host(&"h1".into(), at(100));
    let result = scheduler.schedule_once(at(0), &tasks("head", 1, class("head", 8)), leases);
    assert_eq!(result.reservations, [reserved("head0", "h0", Start::At(at(20)))]);
}

#[test]
fn a_gang_reserves_hosts_together() {
    let mut scheduler = keeping(1);
    let mut leases = busy(&mut scheduler);
    leases.push(lease("l2", "h2", 3));
    let gangs = [
        Gang::all(tasks("gang", 3, class("gang", 4))),
        Gang::all(tasks("small", 2, class("small", 1))),
    ];
    let result = scheduler.schedule_gangs(at(0), &gangs, leases);
    // Now one fits on h0; at 10 s two more on h1, beside nothing else.
    let wanted = Reservation {
        tasks: ["gang0", "gang1", "gang2"].map(Into::into).to_vec(),
        hosts: ["h0", "h1"].map(Into::into).to_vec(),
        start: Start::At(at(10)),
    };
    assert_eq!(result.reservations, [wanted]);
    assert_eq!(result.host_of(&"small0".into()), Some(&"h2".into()));
    assert_eq!(result.host_of(&"small1".into()), Some(&"h2".into()));
}

#[test]
fn a_head_that_wants_devices_waits_for_the_host_where_they_are_free_first() {
    let mut scheduler = keeping(1);
    let gpu = |id: &str| Device::new("gpu", id, "a100");
    let wants = |name: &str, count| {
        let class = class(name, 1).with_devices("gpu", DeviceRequest::whole(count));
        tasks(name, 1, class)
    };
    let offer = |n: usize| {
        let lease = lease(&format!("l{n}"), &format!("h{n}"), 8);
        lease.with_device(gpu("0")).with_device(gpu("1"))
    };
    let first = [wants("a", 2), wants("b", 2)].concat();
    let result = scheduler.schedule_once(at(0), &first, vec![offer(0), offer(1)]);
    for assignment in &result.assignments {
        scheduler.task_launched(&assignment.tasks[0], &assignment.host);
    }
    scheduler.expect_end(&"a0".into(), at(20));
    scheduler.expect_end(&"b0".into(), at(10));
    let leases = vec![lease("m0", "h0", 7), lease("m1", "h1", 7)];
    let batch = [wants("head", 2), tasks("small", 8, class("small", 1))].concat();
    let result = scheduler.schedule_once(at(0), &batch, leases);
    assert_eq!(result.reservations, [reserved("head0", "h1", Start::At(at(10)))]);
    assert_eq!((result.placed(), result.assignments.len()), (7, 1));
    let gang = Gang::all([wants("x", 2), wants("y", 2)].concat());
    let result = scheduler.schedule_gangs(at(0), &[gang], vec![lease("n0", "h0", 7)]);
    assert_eq!(result.reservations[0].start, Start::At(at(20)));
    assert_eq!(result.reservations[0].hosts, ["h0", "h1"].map(HostId::from));
}

/// A cluster in which time passes: tasks end exactly when they are expected to.
struct World {
    scheduler: TaskScheduler,
    hosts: Vec<u64>,
    /// Host, cpus and end of what runs.
    running: BTreeMap<String, (usize, u64, u64)>,
    waiting: Vec<TaskRequest>,
    now: u64,
    leases: u64,
}

impl World {
    fn new(hosts: Vec<u64>, fitness: Fitness) -> Self {
        let builder = TaskScheduler::builder().fitness(fitness).backfill(Backfill::default());
        let scheduler = builder.build().unwrap();
        let (running, waiting) = (BTreeMap::new(), Vec::new());
        Self { scheduler, hosts, running, waiting, now: 0, leases: 0 }
    }

    /// One round: what has ended goes, what is free is offered, what waits is tried in order.
    fn round(&mut self) -> SchedulingResult {
        let leases = self.turn();
        let result = self.scheduler.schedule_once(at(self.now), &self.waiting, leases);
        self.launch(&result);
        result
    }

    /// The same for gangs.
    fn round_of_gangs(&mut self, waiting: &mut Vec<Gang>) -> SchedulingResult {
        let leases = self.turn();
        let result = self.scheduler.schedule_gangs(at(self.now), waiting, leases);
        self.launch(&result);
        waiting.retain(|gang| result.host_of(&gang.tasks[0].id).is_none());
        result
    }

    fn turn(&mut self) -> Vec<Lease> {
        let ended: Vec<String> = self
            .running
            .iter()
            .filter(|(_, run)| run.2 <= self.now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in ended {
            let (host, ..) = self.running.remove(&id).unwrap();
            assert!(self.scheduler.task_unassigned(&id.as_str().into(), &name(host)));
        }
        self.scheduler.expire_all();
        let mut leases = Vec::new();
        for (host, size) in self.hosts.iter().enumerate() {
            let used: u64 =
                self.running.values().filter(|run| run.0 == host).map(|run| run.1).sum();
            self.leases += 1;
            let offered = Resources::cpus_mem(size - used, 1000);
            leases.push(Lease::new(format!("l{}", self.leases), name(host), offered));
        }
        leases
    }

    fn launch(&mut self, result: &SchedulingResult) {
        for assignment in &result.assignments {
            for task in &assignment.tasks {
                self.scheduler.task_launched(task, &assignment.host);
                let end = self.now + task.request.run_time.unwrap().as_secs();
                self.scheduler.expect_end(&task.request.id, at(end));
                let host = assignment.host.as_str()[1..].parse().unwrap();
                let cpus = task.request.class.demand.cpus.thousandths() / 1000;
                self.running.insert(task.request.id.to_string(), (host, cpus, end));
                let of_host = self.running.values().filter(|run| run.0 == host);
                let used: u64 = of_host.map(|run| run.1).sum();
                assert!(used <= self.hosts[host], "{used} of {} on host {host}", self.hosts[host]);
                self.waiting.retain(|waiting| waiting.id != task.request.id);
            }
        }
    }
}

fn name(host: usize) -> HostId {
    HostId::from(format!("h{host}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// What is promised to the head is kept: no run promises it later than one before, and it starts then.
    #[test]
    fn the_head_is_never_delayed_by_what_is_placed_behind_it(
        hosts in prop::collection::vec(1..9_u64, 1..5),
        arrivals in prop::collection::vec((0..4_u64, 1..9_u64, 1..12_u64), 1..40),
        packs in any::<bool>(),
    ) {
        let largest = *hosts.iter().max().unwrap();
        let fitness = if packs { Fitness::cpu_packer() } else { Fitness::cpu_spreader() };
        let mut world = World::new(hosts, fitness);
        let mut arrivals = arrivals.into_iter().enumerate().peekable();
        let mut due = 0;
        let mut promised: Option<(String, u64)> = None;
        loop {
            while let Some((number, (gap, cpus, run_time))) = arrivals.peek().copied() {
                if due + gap > world.now {
                    break;
                }
                due += gap;
                world.waiting.extend(lasting(&format!("t{number}-"), 1, cpus.min(largest), run_time));
                arrivals.next();
            }
            let result = world.round();
            if let Some((task, time)) = &promised {
                if result.host_of(&task.as_str().into()).is_some() {
                    prop_assert!(world.now <= *time, "{} starts at {} and not at {}", task, world.now, time);
                    promised = None;
                } else {
                    prop_assert!(world.now < *time, "{} was to start at {}", task, time);
                }
            }
            if let Some(reservation) = result.reservations.first() {
                let task = reservation.tasks[0].to_string();
                let Start::At(time) = reservation.start else { panic!("all ends are known") };
                let time = time.as_nanos() / 1_000_000_000;
                if let Some((head, before)) = &promised {
                    prop_assert_eq!(&task, head, "the order is that of arrival");
                    prop_assert!(time <= *before, "{} is put off from {} to {}", task, before, time);
                }
                promised = Some((task, time));
            }
            if world.waiting.is_empty() && arrivals.peek().is_none() {
                break;
            }
            world.now += 1;
            prop_assert!(world.now < 2000, "somebody starves: {:?}", world.waiting);
        }
    }

    /// The same for gangs of equal tasks.
    #[test]
    fn a_gang_at_the_head_is_never_delayed_by_those_behind_it(
        hosts in prop::collection::vec(2..9_u64, 2..5),
        gangs in prop::collection::vec((1..5_usize, 1..9_u64, 1..12_u64), 1..25),
    ) {
        let mut world = World::new(hosts.clone(), Fitness::cpu_packer());
        let mut waiting: Vec<Gang> = Vec::new();
        for (number, (size, cpus, run_time)) in gangs.into_iter().enumerate() {
            // As large as an empty cluster can hold.
            let cpus = cpus.min(*hosts.iter().max().unwrap());
            let most: u64 = hosts.iter().map(|host| host / cpus).sum();
            let size = size.min(usize::try_from(most).unwrap());
            waiting.push(Gang::all(lasting(&format!("g{number:02}-"), size, cpus, run_time)));
        }
        let mut promised: Option<(String, u64)> = None;
        while !waiting.is_empty() {
            let result = world.round_of_gangs(&mut waiting);
            if let Some((task, time)) = &promised {
                let started = result.host_of(&task.as_str().into()).is_some();
                let kept = if started { world.now <= *time } else { world.now < *time };
                prop_assert!(kept, "{} was to start at {}", task, time);
                promised = promised.filter(|_| !started);
            }
            if let Some(reservation) = result.reservations.first() {
                let Start::At(time) = reservation.start else { panic!("all ends are known") };
                let (task, time) = (reservation.tasks[0].to_string(), time.as_nanos() / 1_000_000_000);
                if let Some((head, before)) = &promised {
                    prop_assert!(task == *head && time <= *before, "{}: {} and not {}", task, time, before);
                }
                promised = Some((task, time));
            }
            world.now += 1;
            prop_assert!(world.now < 2000, "somebody starves: {:?}", waiting);
        }
    }
}
