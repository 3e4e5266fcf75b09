//! Random clusters and batches, in which every built-in part comes up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fenzo::{
    AttributeTest, AttributeValue, Combination, Constraint, Device, DeviceRequest, DeviceUse,
    Fitness, Gang, GroupName, Lease, Level, Limit, Measure, Milli, PortRange, Resource, Resources,
    SchedulingResult, SetUse, SoftConstraint, TaskClass, TaskRequest, TaskScheduler, Time,
};
use proptest::prelude::*;

use crate::properties::oracle::{Restored, Rule};

/// Closures with what the oracle says of them.
pub(crate) mod closures {
    use fenzo::{Constraint, Fitness, HostId, HostView, Measure, SetMember};

    pub(crate) const NAMES: [&str; 4] = ["few tasks", "roomy", "odd hosts", "breaks"];

    fn digit(host: &HostId) -> u32 {
        host.as_str().chars().last().and_then(|last| last.to_digit(10)).unwrap_or(0)
    }

    fn free(host: &HostView<'_>) -> u64 {
        host.free(Measure::Cpus).thousandths()
    }

    fn roomy(free: u64) -> f64 {
        free as f64 / 2000.0
    }

    /// A panic that prints nothing.
    fn quiet_panic() -> ! {
        std::panic::resume_unwind(Box::new("a plugin that breaks"))
    }

    /// What a closure of this name says of a host.
    pub(crate) fn answer(name: &str, host: &HostView<'_>) -> f64 {
        match name {
            "few tasks" => f64::from(u8::from(host.tasks() < 3)),
            "roomy" => roomy(free(host)),
            "odd hosts" if digit(host.id()) % 2 == 1 => 1.0,
            "odd hosts" => 0.5,
            _ if digit(host.id()) == 3 => quiet_panic(),
            _ if digit(host.id()) == 4 => f64::NAN,
            _ => 0.7,
        }
    }

    pub(crate) fn constraint(name: &'static str) -> Constraint {
        Constraint::scored(name, move |_, host| answer(name, host))
    }

    pub(crate) fn expected(name: &str, host: &HostId, tasks: usize, free: u64) -> f64 {
        match name {
            "few tasks" => f64::from(u8::from(tasks < 3)),
            "roomy" => roomy(free).min(1.0),
            "odd hosts" if digit(host) % 2 == 1 => 1.0,
            "odd hosts" => 0.5,
            _ if digit(host) == 3 || digit(host) == 4 => 0.0,
            _ => 0.7,
        }
    }

    pub(crate) fn fitness() -> Fitness {
        Fitness::custom(|_, host| match digit(host.id()) {
            5 => quiet_panic(),
            6 => f64::NAN,
            _ => roomy(free(host)) / f64::from(1 + host.tasks()),
        })
    }

    /// Emptier members first, and those that nobody uses last.
    pub(crate) fn member(of: &SetMember<'_>) -> f64 {
        match (of.set, of.member) {
            ("s1", 0) => quiet_panic(),
            ("s0", 2) => f64::NAN,
            _ => expected_member(of.set, of.member, of.used),
        }
    }

    pub(crate) fn expected_member(set: &str, member: u32, used: Option<u32>) -> f64 {
        match (set, member, used) {
            ("s1", 0, _) | ("s0", 2, _) => 0.0,
            (_, _, None) => 0.1 + f64::from(member) / 10.0,
            (_, _, Some(used)) => 0.9 / f64::from(1 + used),
        }
    }

    pub(crate) fn expected_fitness(host: &HostId, tasks: usize, free: u64) -> f64 {
        match digit(host) {
            5 | 6 => f64::NAN,
            _ => (roomy(free) / (1.0 + tasks as f64)).min(1.0),
        }
    }
}

fn resources() -> impl Strategy<Value = Resources> {
    let small = prop_oneof![1 => Just(0), 4 => 0..12_u64];
    (small.clone(), small.clone(), small.clone(), small.clone(), 0..3_u64).prop_map(
        |(cpus, mem, disk, network, gpus)| {
            let quarter = |quarters| Milli::from_thousandths(quarters * 250);
            let mut scalars = BTreeMap::new();
            if gpus > 0 {
                scalars.insert("gpus".to_owned(), Milli::whole(gpus));
            }
            Resources {
                cpus: quarter(cpus),
                mem: quarter(mem),
                disk: quarter(disk),
                network: quarter(network),
                scalars,
            }
        },
    )
}

fn level() -> impl Strategy<Value = Level> {
    prop::sample::select(vec![
        Level::host(),
        Level::attribute("zone"),
        Level::attribute("rack"),
        Level::path(["zone", "rack"]),
    ])
}

/// Every test there is, of attributes that some hosts have.
fn attribute_test() -> impl Strategy<Value = Constraint> {
    let value = || {
        prop_oneof![
            (0..4_u8).prop_map(|of| AttributeValue::from(format!("z{of}"))),
            (0..3_u8).prop_map(|of| AttributeValue::from(format!("r{of}"))),
            (0..4_i64).prop_map(AttributeValue::whole),
        ]
    };
    let several = prop::collection::btree_set(value(), 0..3);
    let names = prop::sample::select(vec!["zone", "rack", "speed", "nobody's"]);
    (names, 0..10_u8, value(), several, -500..4000_i64).prop_map(
        |(name, kind, value, several, bound)| {
            let test = match kind {
                0 => AttributeTest::Equals(value),
                1 => AttributeTest::NotEquals(value),
                2 => AttributeTest::In(several),
                3 => AttributeTest::NotIn(several),
                4 => AttributeTest::Exists,
                5 => AttributeTest::Absent,
                6 => AttributeTest::AtLeast(bound / 500 * 500),
                7 => AttributeTest::AtMost(bound / 500 * 500),
                8 => AttributeTest::MoreThan(bound / 500 * 500),
                _ => AttributeTest::LessThan(bound / 500 * 500),
            };
            Constraint::attribute(name, test)
        },
    )
}

fn constraint() -> impl Strategy<Value = Constraint> {
    let places = prop::sample::select(vec!["zone", "rack", fenzo::HOSTNAME]);
    let balanced = (places.clone(), 1..3_u32, 0..4_u32);
    let balanced = balanced.prop_map(|(name, max_skew, expected_values)| Constraint::Balanced {
        name: name.into(),
        max_skew,
        expected_values,
    });
    let keys = prop::sample::select(vec!["g0", "g1", "g2", "k0", "k1"]);
    let at_places =
        (keys, level(), 0..3_u8, 0..3_u32).prop_map(|(key, level, kind, max_skew)| match kind {
            0 => Constraint::affinity(key, level),
            1 => Constraint::anti_affinity(key, level),
            _ => Constraint::Spread { key: key.into(), level, max_skew },
        });
    prop_oneof![
        1 => Just(Constraint::UniqueHost),
        1 => Just(Constraint::ExclusiveHost),
        1 => places.prop_map(Constraint::unique_attribute),
        1 => Just(Constraint::equals("zone", "z1")),
        1 => Just(Constraint::equals(fenzo::HOSTNAME, "h1")),
        4 => attribute_test(),
        2 => balanced,
        3 => at_places,
        2 => prop::sample::select(closures::NAMES.to_vec()).prop_map(closures::constraint),
    ]
}

fn device_request() -> impl Strategy<Value = DeviceRequest> {
    let amount = prop_oneof![
        (0..3_u32).prop_map(DeviceRequest::whole),
        (1..4_u64).prop_map(|quarters| {
            DeviceRequest::part(Milli::from_thousandths(quarters * 250)).unwrap()
        }),
    ];
    (amount, prop::option::of(0..2_u8)).prop_map(|(request, model)| match model {
        Some(model) => request.with_model(format!("m{model}")),
        None => request,
    })
}

/// What a task may ask for beside amounts and ports.
fn extras() -> impl Strategy<Value = TaskClass> {
    let keys = prop::collection::vec(prop::sample::select(vec!["k0", "k1"]), 0..2);
    let set = prop::option::weighted(0.3, (0..2_u8, 0..2_u8, 0..3_u32));
    let kinds = prop::sample::select(vec!["gpu", "licence"]);
    let devices = prop::collection::vec((kinds, device_request()), 0..2);
    let grows = prop::sample::select(vec![
        Resource::Cpus,
        Resource::Memory,
        Resource::Network,
        Resource::Scalar("gpus".to_owned()),
    ]);
    let most = prop::collection::vec((grows, 0..3000_u64), 0..4);
    (keys, set, devices, most).prop_map(|(keys, set, devices, most)| {
        let mut class = TaskClass::new("", Resources::default());
        class.keys.extend(keys.into_iter().map(GroupName::from));
        if let Some((name, value, amount)) = set {
            class = class.with_set(format!("s{name}"), format!("v{value}"), amount);
        }
        class.devices.extend(devices.into_iter().map(|(kind, of)| (kind.into(), of)));
        let most = most.into_iter().map(|(of, most)| (of, Milli::from_thousandths(most)));
        class.most.extend(most);
        class
    })
}

fn class() -> impl Strategy<Value = Arc<TaskClass>> {
    let soft = (constraint(), 0..3_u32);
    let soft = soft.prop_map(|(constraint, weight)| constraint.soft(weight));
    let extras = prop_oneof![Just(TaskClass::new("", Resources::default())), extras()];
    let parts = (
        (0..3_u8, extras),
        resources(),
        0..3_u32,
        prop::collection::vec(constraint(), 0..3),
        prop::collection::vec(soft, 0..4),
    );
    parts.prop_map(
        |((group, extras), mut demand, ports, hard, soft): (_, _, _, _, Vec<SoftConstraint>)| {
            // Tasks are smaller than hosts.
            for amount in [&mut demand.cpus, &mut demand.mem, &mut demand.disk, &mut demand.network]
            {
                *amount = Milli::from_thousandths(amount.thousandths() / 4);
            }
            let group = format!("g{group}").into();
            Arc::new(TaskClass { group, demand, ports, hard, soft, ..extras })
        },
    )
}

pub(crate) fn batch(id: &'static str, size: usize) -> impl Strategy<Value = Vec<TaskRequest>> {
    let classes = prop::collection::vec(class(), 1..4);
    let order = prop::collection::vec(0..4_usize, 0..size);
    (classes, order).prop_map(move |(classes, order)| {
        let class = |class: usize| &classes[class % classes.len()];
        order
            .into_iter()
            .enumerate()
            .map(|(task, of)| TaskRequest::new(format!("{id}{task}"), class(of)))
            .collect()
    })
}

/// Gangs of the tasks of a batch, cut where the numbers say.
pub(crate) fn gangs() -> impl Strategy<Value = Vec<Gang>> {
    let shape = (1..6_usize, 0..5_usize, prop::option::of(level()), prop::option::of(level()));
    (batch("t", 16), prop::collection::vec(shape, 16)).prop_map(|(mut tasks, shapes)| {
        let mut gangs = Vec::new();
        for (size, min, within, preferred) in shapes {
            let rest = tasks.split_off(size.min(tasks.len()));
            let gang = Gang::at_least(min, std::mem::replace(&mut tasks, rest));
            gangs.push(Gang { within, preferred: preferred.into_iter().collect(), ..gang });
            if tasks.is_empty() {
                break;
            }
        }
        gangs
    })
}

fn device() -> impl Strategy<Value = Device> {
    let kinds = prop::sample::select(vec!["gpu", "gpu", "licence"]);
    (kinds, 0..3_u8, 0..2_u8, 0..5_u64).prop_map(|(kind, id, model, quarters)| {
        let free = Milli::from_thousandths(quarters * 250);
        Device::new(kind, format!("d{id}"), format!("m{model}")).with_free(free)
    })
}

/// Leases of up to eight hosts, several of one host among them, and overlapping port ranges.
pub(crate) fn leases() -> impl Strategy<Value = Vec<Lease>> {
    let sets = prop::collection::vec((0..2_u8, 0..4_u32, 0..4_u32), 0..3);
    let things = prop_oneof![
        2 => Just((Vec::new(), Vec::new())),
        1 => (sets, prop::collection::vec(device(), 0..5)),
    ];
    let places = (0..4_u8, 0..3_u8);
    let lease = (0..8_u8, resources(), 0..20_u64, 0..6_u64, places, 0..4_i64, 0..5_u64, things);
    prop::collection::vec(lease, 0..12).prop_map(|leases| {
        let build = |(position, of): (usize, _)| {
            let (host, offered, port, ports, (zone, rack), speed, at, (sets, devices)) = of;
            let mut lease = Lease::new(format!("l{position}"), format!("h{host}"), offered)
                .with_offered_at(Time::from_secs(at));
            lease.ports.extend(PortRange::new(port, port + ports));
            for (name, place) in [("zone", zone), ("rack", rack)] {
                if place > 0 {
                    lease = lease.with_attribute(name, format!("{}{place}", &name[..1]));
                }
            }
            for (name, members, each) in sets as Vec<(u8, u32, u32)> {
                lease = lease.with_set(format!("s{name}"), members, each);
            }
            lease.devices = devices;
            lease.with_attribute("speed", AttributeValue::whole(speed))
        };
        leases.into_iter().enumerate().map(build).collect()
    })
}

/// Name, value, member and amount of what a task uses of a set.
type SetParts = (u8, Option<u8>, u32, u32);

pub(crate) fn running() -> impl Strategy<Value = Vec<Restored>> {
    let used = (0..2_u8, prop::option::of(0..2_u8), 0..4_u32, 0..3_u32);
    let sets = prop::collection::vec(used, 0..2);
    let devices = prop::collection::vec(device(), 0..2);
    let uses = (0..10_u8, prop::collection::vec(0..20_u16, 0..3), sets, devices);
    (batch("running", 6), prop::collection::vec(uses, 6)).prop_map(|(tasks, uses)| {
        let restored =
            |(task, (host, ports, sets, devices)): (_, (u8, _, Vec<SetParts>, Vec<Device>))| {
                let sets = sets.into_iter().map(|(name, value, member, amount): SetParts| SetUse {
                    name: format!("s{name}"),
                    value: value.map(|value| format!("v{value}")),
                    member,
                    amount,
                });
                let devices = devices.into_iter().map(|of| DeviceUse {
                    kind: of.kind,
                    id: of.id,
                    model: of.model,
                    share: of.free,
                });
                let (sets, devices) = (sets.collect(), devices.collect());
                Restored { task, host: format!("h{host}").into(), ports, sets, devices }
            };
        tasks.into_iter().zip(uses).map(restored).collect()
    })
}

fn measures() -> impl Strategy<Value = Vec<Measure>> {
    prop::sample::subsequence(Measure::ALL.to_vec(), 1..=4)
}

/// Some hosts have some of the one, none has any of the other.
fn scalars() -> impl Strategy<Value = &'static str> + Clone {
    prop::sample::select(vec!["gpus", "licences"])
}

/// The whole cpus and gpus of the largest host, as a fitness by devices is told; some hosts have more.
pub(crate) const LARGEST: [u64; 2] = [4, 3];

/// Every kind of fitness, and means of them.
fn fitness() -> impl Strategy<Value = Fitness> {
    let simple = prop_oneof![
        Just(Fitness::Any),
        Just(Fitness::cpu_memory_packer()),
        measures().prop_map(Fitness::Pack),
        measures().prop_map(Fitness::Spread),
        Just(Fitness::scalar_packer("gpus")),
        Just(Fitness::scalar_spreader("gpus")),
        scalars().prop_map(Fitness::scalar_packer),
        scalars().prop_map(Fitness::scalar_spreader),
        Just(()).prop_map(|()| closures::fitness()),
        Just(()).prop_map(|()| {
            let [cpus, gpus] = LARGEST;
            Fitness::best_fit_devices("gpu", Milli::whole(cpus), gpus.try_into().unwrap())
        }),
    ];
    simple.prop_recursive(2, 6, 3, |part| {
        // The first has a weight, so that they do not all have none.
        let rest = prop::collection::vec((0..4_u32, part.clone()), 0..3);
        ((1..4_u32, part), rest).prop_map(|(first, mut parts)| {
            parts.insert(0, first);
            Fitness::Weighted(parts)
        })
    })
}

fn limits() -> impl Strategy<Value = BTreeMap<GroupName, [Option<Milli>; 4]>> {
    let most = prop::option::of((0..8_u64).prop_map(|most| Milli::from_thousandths(most * 300)));
    let groups = prop::collection::vec((0..3_u8, prop::array::uniform4(most)), 1..4);
    let named = |groups: Vec<(u8, _)>| {
        groups.into_iter().map(|(group, most)| (format!("g{group}").into(), most)).collect()
    };
    prop_oneof![3 => Just(BTreeMap::new()), 1 => groups.prop_map(named)]
}

pub(crate) fn rule() -> impl Strategy<Value = Rule> {
    let combination = prop_oneof![Just(Combination::Whole), Just(Combination::Fenzo1)];
    let good_enough = prop_oneof![3 => Just(None), 1 => (0.03..0.97).prop_map(Some)];
    let disabled = prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(0..8_u8, 1..3)];
    let zones = prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec(1..4_u8, 1..3)];
    let filter = prop::option::weighted(0.2, prop::sample::select(closures::NAMES.to_vec()));
    let leases = (prop::bool::weighted(0.3), prop::bool::weighted(0.2));
    let hosts = (leases, disabled, zones, filter);
    (fitness(), combination, good_enough, limits(), hosts).prop_map(
        |(fitness, combination, good_enough, limits, (leases, disabled, zones, filter))| {
            let (single_lease, judges_sets) = leases;
            let disabled = disabled.into_iter().map(|host| format!("h{host}").into());
            let zones = zones.into_iter().map(|zone| format!("z{zone}").into());
            Rule {
                fitness,
                combination,
                good_enough,
                limits,
                single_lease,
                judges_sets,
                disabled: disabled.collect(),
                active_zones: zones.collect(),
                filter,
            }
        },
    )
}

pub(crate) fn packing() -> Rule {
    Rule {
        fitness: Fitness::cpu_memory_packer(),
        combination: Combination::Whole,
        good_enough: None,
        limits: BTreeMap::new(),
        single_lease: false,
        judges_sets: false,
        disabled: BTreeSet::new(),
        active_zones: BTreeSet::new(),
        filter: None,
    }
}

pub(crate) fn scheduler(rule: &Rule, running: &[Restored]) -> TaskScheduler {
    let mut builder = TaskScheduler::builder().fitness(rule.fitness.clone());
    builder = builder.combination(rule.combination);
    if let Some(threshold) = rule.good_enough {
        builder = builder.good_enough(threshold);
    }
    if rule.single_lease {
        builder = builder.single_lease();
    }
    if rule.judges_sets {
        builder = builder.set_fitness(closures::member);
    }
    if let Some(filter) = rule.filter {
        builder = builder.host_filter(filter, move |_, host| closures::answer(filter, host) > 0.0);
    }
    let mut scheduler = builder.build().unwrap();
    for (group, most) in &rule.limits {
        let mut limit = Limit::NONE;
        for (measure, most) in Measure::ALL.into_iter().zip(most) {
            limit = most.map_or(limit, |most| limit.with(measure, most));
        }
        scheduler.set_limit(group.clone(), limit);
    }
    for host in &rule.disabled {
        scheduler.disable_host(host, Time::from_secs(1000));
    }
    scheduler.set_active_groups("zone", rule.active_zones.clone());
    running.iter().for_each(|of| of.note(&mut scheduler));
    scheduler
}

pub(crate) fn schedule(
    rule: &Rule,
    running: &[Restored],
    tasks: &[TaskRequest],
    leases: Vec<Lease>,
) -> SchedulingResult {
    scheduler(rule, running).schedule_once(Time::ZERO, tasks, leases)
}
