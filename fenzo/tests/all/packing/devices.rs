//! Devices: each is handed out by id, whole or in part, and never more than the whole of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fenzo::{
    Device, DeviceMix, DeviceRequest, DeviceUse, Fitness, HostId, Lease, Milli, Obstacle,
    Preemptible, Reason, Resources, SchedulingResult, TaskClass, TaskId, TaskRequest,
    TaskScheduler, Time,
};
use proptest::prelude::*;

fn milli(thousandths: u64) -> Milli {
    Milli::from_thousandths(thousandths)
}

fn part(thousandths: u64) -> DeviceRequest {
    DeviceRequest::part(milli(thousandths)).unwrap()
}

fn task(id: &str, request: DeviceRequest) -> TaskRequest {
    let class = TaskClass::new("g", Resources::cpus_mem(1, 0)).with_devices("gpu", request);
    TaskRequest::new(id, &Arc::new(class))
}

/// A host with gpus "0", "1", ... of these models, all free.
fn lease(host: &str, models: &[&str]) -> Lease {
    let lease = Lease::new(format!("lease of {host}"), host, Resources::cpus_mem(16, 0));
    models.iter().enumerate().fold(lease, |lease, (id, model)| {
        lease.with_device(Device::new("gpu", id.to_string(), *model))
    })
}

fn scheduler() -> TaskScheduler {
    TaskScheduler::builder().single_lease().build().unwrap()
}

fn uses<'a>(result: &'a SchedulingResult, id: &str) -> &'a [DeviceUse] {
    let tasks = result.assignments.iter().flat_map(|assignment| &assignment.tasks);
    let task = tasks.into_iter().find(|task| task.request.id == TaskId::from(id));
    task.map_or(&[], |task| &task.devices)
}

fn ids(result: &SchedulingResult, id: &str) -> Vec<String> {
    uses(result, id).iter().map(|used| used.id.to_string()).collect()
}

#[test]
fn whole_devices_and_parts_are_named_in_the_assignment() {
    let tasks = [task("a", part(400)), task("b", DeviceRequest::whole(2)), task("c", part(600))];
    let result = scheduler().schedule_once(Time::ZERO, &tasks, vec![lease("h", &["V100"; 3])]);
    assert_eq!(ids(&result, "a"), ["0"]);
    assert_eq!(ids(&result, "b"), ["1", "2"]);
    assert_eq!(ids(&result, "c"), ["0"], "the part fills the device that is shared already");
    let [used] = uses(&result, "c") else { panic!("one device") };
    assert_eq!((used.kind.as_str(), used.model.as_str(), used.share), ("gpu", "V100", milli(600)));
}

#[test]
fn parts_of_several_devices_do_not_make_a_whole() {
    let tasks = [task("a", part(400)), task("b", part(700)), task("c", DeviceRequest::whole(1))];
    let result = scheduler().schedule_once(Time::ZERO, &tasks, vec![lease("h", &["", ""])]);
    assert_eq!(result.placed(), 2);
    let why = result.why(&"c".into()).unwrap();
    assert_eq!(why.reasons, [(Reason::LacksDevices("gpu".into()), 1)].into());
    assert_eq!(
        why.to_string(),
        "none of 1 hosts fits: 1 not enough devices gpu; nearest host h: wanted 1 whole of gpu, \
         0 whole and at most 0.6 of one free",
    );
}

#[test]
fn only_devices_of_a_named_model_serve() {
    let request = DeviceRequest::whole(1).with_model("A100").with_model("V100");
    let tasks = [task("a", request.clone()), task("b", request.clone()), task("c", request)];
    let leases = vec![lease("h1", &["T4", "V100"]), lease("h2", &["A100", "T4"])];
    let result = scheduler().schedule_once(Time::ZERO, &tasks, leases);
    assert_eq!((ids(&result, "a"), ids(&result, "b")), (vec!["1".into()], vec!["0".into()]));
    let nearest = result.why(&"c".into()).unwrap().nearest.clone().unwrap();
    let [Obstacle::LacksDevices { kind, wanted, whole, most }] = &nearest.obstacles[..] else {
        panic!("{nearest}")
    };
    assert_eq!((kind.as_str(), *whole, *most), ("gpu", 0, Milli::ZERO));
    assert_eq!(wanted.to_string(), "1 whole, model A100 or V100");
}

#[test]
fn a_device_is_free_again_when_its_task_has_ended() {
    let mut scheduler = scheduler();
    let first = [task("a", part(700))];
    let result = scheduler.schedule_once(Time::ZERO, &first, vec![lease("h", &[""])]);
    let host = HostId::from("h");
    scheduler.task_launched(&result.assignments[0].tasks[0], &host);
    let more = [task("b", part(400))];
    assert_eq!(scheduler.schedule_once(Time::ZERO, &more, vec![]).placed(), 0);
    assert!(scheduler.task_unassigned(&"a".into(), &host));
    assert_eq!(scheduler.schedule_once(Time::ZERO, &more, vec![]).placed(), 1);
}

#[test]
fn leases_of_one_host_add_up_to_one_whole_device_at_most() {
    let share = |id: &str, free: u64| {
        let device = Device::new("gpu", "0", "").with_free(milli(free));
        Lease::new(id, "h", Resources::cpus_mem(4, 0)).with_device(device)
    };
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    let tasks = [task("a", DeviceRequest::whole(1)), task("b", part(100))];
    let leases = vec![share("l1", 300), share("l2", 700), share("l3", 500)];
    let result = scheduler.schedule_once(Time::ZERO, &tasks, leases);
    assert_eq!((ids(&result, "a"), result.placed()), (vec!["0".to_owned()], 1));
}

#[test]
fn a_request_for_none_and_one_for_another_kind() {
    let licence = TaskClass::new("g", Resources::cpus_mem(1, 0))
        .with_devices("licence", DeviceRequest::whole(1))
        .with_devices("gpu", DeviceRequest::whole(0));
    let tasks = [TaskRequest::new("a", &Arc::new(licence))];
    let mut scheduler = scheduler();
    assert_eq!(scheduler.schedule_once(Time::ZERO, &tasks, vec![lease("h1", &[])]).placed(), 0);
    let with = lease("h2", &[]).with_device(Device::new("licence", "solver-1", ""));
    let result = scheduler.schedule_once(Time::ZERO, &tasks, vec![with]);
    assert_eq!(ids(&result, "a"), ["solver-1"]);
}

#[test]
fn a_question_leaves_every_device_as_it_was() {
    let mut scheduler = scheduler();
    let tasks = [task("a", DeviceRequest::whole(2))];
    scheduler.schedule_once(Time::ZERO, &[], vec![lease("h", &["", ""])]);
    assert_eq!(scheduler.what_if(&tasks, vec![]).placed(), 1);
    assert_eq!(scheduler.what_if(&tasks, vec![]).placed(), 1);
    let free = scheduler.hosts().next().unwrap().devices.iter().all(|gpu| gpu.free == milli(1000));
    assert!(free);
}

#[test]
fn a_preemption_plan_counts_the_devices_that_come_free() {
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    let running = [task("small", part(200)), task("large", part(800))];
    let result = scheduler.schedule_once(Time::ZERO, &running, vec![lease("h", &["V100"])]);
    for placed in &result.assignments[0].tasks {
        scheduler.task_launched(placed, &"h".into());
    }
    // What is left is offered: cpus, and nothing of the device.
    let left = Lease::new("left", "h", Resources::cpus_mem(14, 0));
    scheduler.schedule_once(Time::ZERO, &[], vec![left]);
    let candidate = |task: &str| Preemptible { task: task.into(), priority: 0, lost_work: 1 };
    let candidates = [candidate("small"), candidate("large")];
    let wanted = task("wanted", part(500).with_model("V100"));
    let plan = scheduler.preemption_plan(&wanted, 1, &candidates, &BTreeMap::new()).unwrap();
    assert_eq!(plan.tasks, ["large".into()]);
    let whole = task("whole", DeviceRequest::whole(1).with_model("V100"));
    let plan = scheduler.preemption_plan(&whole, 1, &candidates, &BTreeMap::new()).unwrap();
    assert_eq!(plan.tasks.len(), 2);
}

#[test]
fn the_fitness_for_devices_keeps_whole_ones_whole() {
    let mut mix = DeviceMix::new("gpu");
    for request in [part(500), DeviceRequest::whole(2)] {
        mix.add(&task("any", request).class, 1);
    }
    let tasks = [task("a", part(500)), task("b", part(500)), task("c", DeviceRequest::whole(2))];
    for fitness in [Fitness::fragmentation(&mix), Fitness::expected_waste(&mix)] {
        let mut scheduler = TaskScheduler::builder().fitness(fitness.clone()).build().unwrap();
        let leases = vec![lease("h1", &["", ""]), lease("h2", &["", "", ""])];
        let result = scheduler.schedule_once(Time::ZERO, &tasks, leases);
        assert_eq!(result.placed(), 3, "{fitness:?}");
        assert_eq!(ids(&result, "a"), ids(&result, "b"), "{fitness:?}");
    }
}

fn requests() -> impl Strategy<Value = Option<DeviceRequest>> {
    let amount = prop_oneof![
        (0..3_u32).prop_map(DeviceRequest::whole),
        (1..10_u64).prop_map(|tenths| part(tenths * 100)),
    ];
    let models = prop::collection::btree_set(0..2_u8, 0..2);
    let request = (amount, models).prop_map(|(request, models)| {
        models.into_iter().fold(request, |request, model| request.with_model(format!("m{model}")))
    });
    prop::option::weighted(0.9, request)
}

/// A device by number, and how many tenths of it.
type Offer = (u8, u64);

fn offers() -> impl Strategy<Value = Vec<Lease>> {
    let device = (0..4_u8, 1..=10_u64);
    let lease = (0..4_u8, 1..8_u64, prop::collection::vec(device, 0..5));
    prop::collection::vec(lease, 0..6).prop_map(|leases| {
        let build = |(number, (host, cpus, devices)): (usize, (u8, u64, Vec<Offer>))| {
            let offered = Resources::cpus_mem(cpus, 0);
            let lease = Lease::new(format!("l{number}"), format!("h{host}"), offered);
            // A device has one model, whichever lease says so.
            devices.into_iter().fold(lease, |lease, (id, tenths)| {
                let device = Device::new("gpu", format!("{id}"), format!("m{}", id % 2));
                lease.with_device(device.with_free(milli(tenths * 100)))
            })
        };
        leases.into_iter().enumerate().map(build).collect()
    })
}

/// What a naive count says a host has left.
struct Left {
    cpus: u64,
    devices: BTreeMap<String, (String, u64)>,
}

impl Left {
    fn serves(&self, request: &Option<DeviceRequest>) -> bool {
        let Some(request) = request else { return self.cpus > 0 };
        let share = request.share().thousandths();
        let accepted = |model: &String| {
            request.models().is_empty() || request.models().iter().any(|of| of.as_str() == model)
        };
        let fits = |(model, free): &&(String, u64)| accepted(model) && *free >= share;
        self.cpus > 0 && self.devices.values().filter(fits).count() >= request.devices() as usize
    }

    fn take(&mut self, uses: &[DeviceUse]) {
        self.cpus -= 1;
        for used in uses {
            let (model, free) = self.devices.get_mut(used.id.as_str()).expect("it is on offer");
            assert_eq!(model, used.model.as_str());
            *free =
                free.checked_sub(used.share.thousandths()).expect("no device is over-committed");
        }
    }
}

fn naive(leases: &[Lease]) -> BTreeMap<String, Left> {
    let mut hosts: BTreeMap<String, Left> = BTreeMap::new();
    for lease in leases {
        let left = hosts
            .entry(lease.host.to_string())
            .or_insert(Left { cpus: 0, devices: BTreeMap::new() });
        left.cpus += lease.offered.cpus.thousandths() / 1000;
        for device in &lease.devices {
            let model = device.model.to_string();
            let (_, free) = left.devices.entry(device.id.to_string()).or_insert((model, 0));
            *free = (*free + device.free.thousandths()).min(1000);
        }
    }
    hosts
}

fn fitnesses(tasks: &[TaskRequest]) -> Vec<Fitness> {
    let mut mix = DeviceMix::new("gpu");
    for task in tasks {
        mix.add(&task.class, 1);
    }
    vec![
        Fitness::Any,
        Fitness::cpu_packer(),
        Fitness::best_fit_devices("gpu", Milli::whole(8), 4),
        Fitness::fragmentation(&mix),
        Fitness::expected_waste(&mix),
        Fitness::Weighted(vec![(1, Fitness::cpu_packer()), (2, Fitness::expected_waste(&mix))]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// In turn: a placed task has what it asked for, one that failed fits nowhere, and without a fitness the
    /// first host that fits is taken.
    #[test]
    fn no_device_is_over_committed_and_who_fits_somewhere_is_placed(
        wanted in prop::collection::vec(requests(), 0..20),
        leases in offers(),
    ) {
        let tasks: Vec<TaskRequest> = wanted
            .iter()
            .enumerate()
            .map(|(number, request)| {
                let class = TaskClass::new("g", Resources::cpus_mem(1, 0));
                let class = match request {
                    Some(request) => class.with_devices("gpu", request.clone()),
                    None => class,
                };
                TaskRequest::new(format!("t{number:02}"), &Arc::new(class))
            })
            .collect();
        for fitness in fitnesses(&tasks) {
            let first = matches!(fitness, Fitness::Any);
            let mut scheduler = TaskScheduler::builder().fitness(fitness.clone()).build().unwrap();
            let result = scheduler.schedule_once(Time::ZERO, &tasks, leases.clone());
            let mut hosts = naive(&leases);
            for (task, request) in tasks.iter().zip(&wanted) {
                let fitting: Vec<String> = hosts
                    .iter()
                    .filter(|(_, left)| left.serves(request))
                    .map(|(host, _)| host.clone())
                    .collect();
                let Some(host) = result.host_of(&task.id) else {
                    prop_assert!(fitting.is_empty(), "{} fits on {:?}, {:?}", task.id, fitting, fitness);
                    continue;
                };
                prop_assert!(fitting.contains(&host.to_string()), "{} {:?}", task.id, fitness);
                prop_assert!(!first || fitting[0] == host.as_str(), "{} is first", fitting[0]);
                let uses = uses(&result, task.id.as_str());
                let distinct: BTreeSet<_> = uses.iter().map(|used| &used.id).collect();
                let (count, share) = match request {
                    Some(request) => (request.devices() as usize, request.share()),
                    None => (0, Milli::ZERO),
                };
                prop_assert_eq!((uses.len(), distinct.len()), (count, count));
                prop_assert!(uses.iter().all(|used| used.share == share));
                hosts.get_mut(host.as_str()).unwrap().take(uses);
            }
        }
    }

    #[test]
    fn the_order_of_leases_changes_nothing(
        wanted in prop::collection::vec(requests(), 0..12),
        (leases, shuffled) in offers().prop_flat_map(|l| (Just(l.clone()), Just(l).prop_shuffle())),
    ) {
        let tasks: Vec<TaskRequest> = wanted
            .into_iter()
            .flatten()
            .enumerate()
            .map(|(number, request)| task(&format!("t{number:02}"), request))
            .collect();
        for fitness in fitnesses(&tasks) {
            let place = |leases: &[Lease]| {
                let builder = TaskScheduler::builder().fitness(fitness.clone());
                builder.build().unwrap().schedule_once(Time::ZERO, &tasks, leases.to_vec())
            };
            prop_assert_eq!(place(&leases), place(&shuffled));
        }
    }
}
