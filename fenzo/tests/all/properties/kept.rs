//! A scheduler that is kept over many rounds, against one that is made anew for each and one that looks at
//! every host in order.
//!
//! Some hundred hosts with few kinds of machines, so that hosts are alike, stand in several blocks of the
//! ranking and change places: what is kept from run to run must never show.

use std::collections::BTreeMap;
use std::sync::Arc;

use fenzo::{
    Combination, Constraint, Fitness, Gang, HostId, Lease, LeaseId, PlacedTask, Resources,
    SchedulingResult, TaskClass, TaskId, TaskRequest, TaskScheduler, Time,
};
use proptest::prelude::*;

/// A small generator: a case of this size is told apart by its seed alone.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// Whole cpus and memory.
type Amounts = [u64; 2];

fn amounts(class: &TaskClass) -> Amounts {
    [class.demand.cpus, class.demand.mem].map(|amount| amount.thousandths() / 1000)
}

/// What becomes of a cluster, told to the kept scheduler as it happens and to the others as it stands.
struct World {
    random: Random,
    fitness: Fitness,
    kept: TaskScheduler,
    /// What each host has free, and how much of it is on offer.
    free: Vec<Amounts>,
    offered: Vec<Amounts>,
    /// How often the named sets of a host were others.
    generations: Vec<u64>,
    held: Vec<Lease>,
    /// The latest lease of each host that ever had one: it tells where the host is for good.
    told: BTreeMap<HostId, Lease>,
    running: BTreeMap<TaskId, (PlacedTask, usize)>,
    ids: u64,
}

fn name(host: usize) -> HostId {
    HostId::from(format!("h{host:03}"))
}

fn number(host: &HostId) -> usize {
    host.as_str()[1..].parse().unwrap()
}

fn scheduler(fitness: &Fitness) -> fenzo::TaskSchedulerBuilder {
    TaskScheduler::builder().fitness(fitness.clone()).combination(Combination::Fenzo1)
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let fitness = match random.below(5) {
            0 => Fitness::Any,
            1 => Fitness::cpu_memory_packer(),
            2 => Fitness::cpu_memory_spreader(),
            3 => {
                Fitness::Weighted(vec![(1, Fitness::cpu_packer()), (2, Fitness::memory_spreader())])
            }
            _ => Fitness::cpu_packer(),
        };
        let hosts = 40 + random.below(120);
        let free: Vec<Amounts> =
            (0..hosts).map(|_| 1 + random.below(2)).map(|k| [4 * k, 8 * k]).collect();
        let kept = scheduler(&fitness).build().unwrap();
        let (offered, generations) = (vec![[0; 2]; free.len()], vec![0; free.len()]);
        let (held, told, running) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self { random, fitness, kept, free, offered, generations, held, told, running, ids: 0 }
    }

    fn lease(&mut self, host: usize, [cpus, mem]: Amounts) -> Lease {
        self.ids += 1;
        let lease =
            Lease::new(format!("l{:05}", self.ids), name(host), Resources::cpus_mem(cpus, mem))
                .with_attribute("zone", format!("z{}", host % 3));
        match (host as u64 + self.generations[host]) % 4 {
            0 => lease.with_set("a", 2, 3),
            1 => lease.with_set("a", 3, 6).with_set("b", 1, 2),
            2 => lease.with_set("b", 4, 1),
            _ => lease,
        }
    }

    /// New leases of what is free and not on offer; now and then the sets of an idle host are others from then on.
    fn offers(&mut self) -> Vec<Lease> {
        let mut leases = Vec::new();
        for host in 0..self.free.len() {
            let [cpus, mem] = [0, 1].map(|of| self.free[host][of] - self.offered[host][of]);
            if cpus + mem == 0 || self.random.one_in(6) {
                continue;
            }
            let idle = self.held.iter().all(|lease| number(&lease.host) != host)
                && self.running.values().all(|(_, on)| *on != host);
            if idle && self.random.one_in(12) {
                self.generations[host] += 1;
            }
            leases.push(self.lease(host, [cpus, mem]));
            self.offered[host] = self.free[host];
        }
        leases
    }

    fn class(&mut self) -> Arc<TaskClass> {
        let random = &mut self.random;
        let group = format!("g{}", random.below(3));
        let mut class =
            TaskClass::new(group, Resources::cpus_mem(random.below(3), random.below(4)));
        for (set, one_in) in [("a", 2), ("b", 4)] {
            if random.one_in(one_in) {
                let value = format!("v{}", random.below(3));
                class = class.with_set(set, value, u32::try_from(random.below(4)).unwrap());
            }
        }
        class = match random.below(10) {
            0 => class.with_hard(Constraint::UniqueHost),
            1 => class.with_hard(Constraint::custom("not one", |_, host| host.tasks() != 1)),
            2 => class.with_hard(Constraint::ExclusiveHost),
            3 => class.with_hard(Constraint::balanced("zone")),
            4 => class.with_hard(Constraint::custom("one in 8", |_, host| {
                number(host.id()).is_multiple_of(8) && host.tasks() < 3
            })),
            _ => class,
        };
        let few = |_: &TaskClass, host: &fenzo::HostView<'_>| 1.0 / (1.0 + f64::from(host.tasks()));
        match random.below(6) {
            0 => Arc::new(class.with_soft(Constraint::UniqueHost.soft(1))),
            1 => Arc::new(class.with_soft(Constraint::scored("few", few).soft(2))),
            2 => Arc::new(class.with_soft(Constraint::equals("zone", "z1").soft(1))),
            _ => Arc::new(class),
        }
    }

    fn batch(&mut self) -> Vec<TaskRequest> {
        let mut classes: Vec<Arc<TaskClass>> =
            (0..=self.random.below(5)).map(|_| self.class()).collect();
        if self.random.one_in(3) {
            // So many that lack room that they are explained together.
            for n in 0..40 {
                let mut class = TaskClass::clone(&self.class());
                class.group = format!("many{n}").as_str().into();
                let more = Resources::cpus_mem(4 + self.random.below(6), 6 + self.random.below(12));
                class.demand = more;
                classes.push(Arc::new(class));
            }
        }
        let count = 1 + self.random.below(60) + 2 * classes.len() as u64;
        let task = |_| {
            self.ids += 1;
            let class = self.random.below(classes.len() as u64) as usize;
            TaskRequest::new(format!("t{:05}", self.ids), &classes[class])
        };
        (0..count).map(task).collect()
    }

    /// Questions, whose answers do not hang on how often they are asked.
    fn ask(&mut self, tasks: &[TaskRequest], leases: &[Lease]) {
        match self.random.below(4) {
            0 => {
                let first = self.kept.what_if(tasks, leases.to_vec());
                alike(&first, &self.kept.what_if(tasks, leases.to_vec()), "asked twice");
            }
            1 => {
                let Some(task) = self.running.keys().next() else { return };
                let gone = name(self.random.below(self.free.len() as u64) as usize);
                self.kept.overlay().without_task(task).without_host(&gone).place(tasks);
            }
            2 => {
                let gang = Gang::at_least(tasks.len() + 1, tasks.to_vec());
                let result = self.kept.schedule_gangs(NOW, &[gang], Vec::new());
                assert_eq!(result.placed(), 0);
            }
            _ => {}
        }
    }

    /// A run of the kept scheduler, which must be that of the two others.
    fn run(&mut self, tasks: &[TaskRequest], leases: Vec<Lease>) -> SchedulingResult {
        self.held.extend(leases.iter().cloned());
        self.told.extend(leases.iter().map(|lease| (lease.host.clone(), lease.clone())));
        let fresh = |builder: fenzo::TaskSchedulerBuilder| {
            let mut scheduler = builder.build().unwrap();
            scheduler.schedule_once(NOW, &[], self.told.values().cloned().collect());
            scheduler.expire_all();
            for (task, host) in self.running.values() {
                scheduler.task_launched(task, &name(*host));
            }
            scheduler.schedule_once(NOW, tasks, self.held.clone())
        };
        let anew = fresh(scheduler(&self.fitness));
        // Nothing is that good: hosts are looked at one by one.
        let scan = fresh(scheduler(&self.fitness).good_enough(1.0));
        let result = self.kept.schedule_once(NOW, tasks, leases);
        assert_eq!(places(&result), places(&scan), "against a scan");
        alike(&result, &anew, "against one made anew");
        result
    }

    /// Most of what was placed is launched.
    fn launch(&mut self, result: SchedulingResult) {
        for assignment in result.assignments {
            let host = number(&assignment.host);
            self.held.retain(|lease| lease.host != assignment.host);
            self.offered[host] = [0; 2];
            for task in assignment.tasks {
                if self.random.one_in(8) {
                    continue;
                }
                let taken = amounts(&task.request.class);
                self.free[host] = [0, 1].map(|of| self.free[host][of] - taken[of]);
                self.kept.task_launched(&task, &assignment.host);
                self.running.insert(task.request.id.clone(), (task, host));
            }
        }
    }

    /// Some tasks end, and some leases are taken back.
    fn pass_time(&mut self) {
        let random = &mut self.random;
        let ends: Vec<TaskId> = self.running.keys().filter(|_| random.one_in(4)).cloned().collect();
        for id in ends {
            let (task, host) = self.running.remove(&id).unwrap();
            assert!(self.kept.task_unassigned(&id, &name(host)));
            let taken = amounts(&task.request.class);
            self.free[host] = [0, 1].map(|of| self.free[host][of] + taken[of]);
        }
        let gone: Vec<LeaseId> =
            self.held.iter().filter(|_| random.one_in(10)).map(|lease| lease.id.clone()).collect();
        for id in gone {
            assert!(self.kept.expire_lease(&id));
            let at = self.held.iter().position(|lease| lease.id == id).unwrap();
            let Lease { host, offered, .. } = self.held.remove(at);
            let back = [offered.cpus, offered.mem].map(|amount| amount.thousandths() / 1000);
            let offered = &mut self.offered[number(&host)];
            *offered = [0, 1].map(|of| offered[of] - back[of]);
        }
    }
}

const NOW: Time = Time::from_secs(1);

/// Where each task went, with what it got and how good that was, to what rounding leaves; nowhere for the rest.
fn places(result: &SchedulingResult) -> BTreeMap<&TaskId, Option<(String, u64)>> {
    let mut places = BTreeMap::new();
    for assignment in &result.assignments {
        for task in &assignment.tasks {
            let got = format!("{} {:?} {:?}", assignment.host, assignment.leases, task.sets);
            let score = (task.score.combined * 1e9).round() as u64;
            places.insert(&task.request.id, Some((got, score)));
        }
    }
    places.extend(result.failures.iter().flat_map(|of| &of.tasks).map(|task| (task, None)));
    places
}

/// All of two results is equal, the work that they were included.
fn alike(one: &SchedulingResult, other: &SchedulingResult, what: &str) {
    assert_eq!(places(one), places(other), "{what}");
    let reasons = |of: &SchedulingResult| -> Vec<String> {
        of.failures.iter().map(|of| format!("{:?}: {}", of.tasks, of.explanation)).collect()
    };
    assert_eq!(reasons(one), reasons(other), "{what}");
    assert_eq!(one.evaluations, other.evaluations, "{what}: evaluations");
    assert!(one == other, "{what}: they differ in something else");
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 0, ..ProptestConfig::with_cases(40) })]

    /// Placements, scores, failures with all their reasons, and the work that it was.
    #[test]
    fn what_is_kept_from_run_to_run_never_shows(seed in any::<u64>()) {
        let mut world = World::new(seed);
        for _ in 0..5 {
            let (leases, tasks) = (world.offers(), world.batch());
            world.ask(&tasks, &leases);
            let result = world.run(&tasks, leases);
            world.launch(result);
            world.pass_time();
        }
    }
}
