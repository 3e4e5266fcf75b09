//! The workload that Fenzo was measured with: hosts, tasks and leases from a small generator.
//!
//! Everything is integer arithmetic, so it is the same everywhere. It is shared by the example that measures
//! and by the test of the golden placements.

use std::collections::BTreeMap;
use std::sync::Arc;

use fenzo::{Constraint, Fitness, Lease, Milli, PortRange, Resources, TaskClass, TaskRequest};

/// Knuth's MMIX generator, top 31 bits.
pub(crate) struct Generator(pub(crate) u64);

impl Generator {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What decides where tasks go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Config {
    /// The first host that fits.
    Default,
    /// Packs by cpus and memory.
    BinPack,
    /// The same; tasks of a job balanced over zones, and preferably one a host.
    Constrained,
    /// Spreads by cpus and memory.
    Spread,
}

impl Config {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "default" => Some(Self::Default),
            "binpack" => Some(Self::BinPack),
            "con-0.9" => Some(Self::Constrained),
            "spread" => Some(Self::Spread),
            _ => None,
        }
    }

    pub(crate) fn fitness(self) -> Fitness {
        match self {
            Self::Default => Fitness::Any,
            Self::BinPack | Self::Constrained => Fitness::cpu_memory_packer(),
            Self::Spread => Fitness::cpu_memory_spreader(),
        }
    }
}

/// One lease with all that a host has, for each host.
pub(crate) fn leases(hosts: usize, seed: u64) -> Vec<Lease> {
    let mut generator = Generator(seed);
    let shapes = [
        (16, 65_536, 2000, 512_000),
        (32, 131_072, 4000, 1_024_000),
        (36, 73_728, 4000, 512_000),
        (16, 249_856, 4000, 1_024_000),
    ];
    let lease = |host: usize| {
        let shape = match generator.below(100) {
            0..50 => 0,
            50..80 => 1,
            80..95 => 2,
            _ => 3,
        };
        let (cpus, mem, network, disk) = shapes[shape];
        let offered = Resources {
            network: Milli::whole(network),
            disk: Milli::whole(disk),
            ..Resources::cpus_mem(cpus, mem)
        };
        let name = format!("host{host:05}");
        let ports = PortRange::new(31_000, 31_999).expect("these are port numbers");
        Lease::new(format!("offer-{name}"), name, offered)
            .with_ports(ports)
            .with_attribute("zone", ["zoneA", "zoneB", "zoneC"][host % 3])
    };
    (0..hosts).map(lease).collect()
}

/// Tasks in jobs of 20, drawn one after the other.
pub(crate) struct Tasks {
    generator: Generator,
    config: Config,
    /// The tasks of a job are equal; else each task is drawn anew.
    equal_jobs: bool,
    /// Cpus are multiplied by this, after memory was drawn.
    big: u64,
    next: usize,
    class: Arc<TaskClass>,
}

impl Tasks {
    pub(crate) fn new(config: Config, equal_jobs: bool, big: u64, seed: u64) -> Self {
        let class = Arc::new(TaskClass::new("", Resources::default()));
        Self { generator: Generator(seed), config, equal_jobs, big, next: 0, class }
    }

    fn draw(&mut self, job: usize) -> TaskClass {
        const CPUS: [u64; 16] = [
            500, 500, 500, 500, 1000, 1000, 1000, 1000, 2000, 2000, 2000, 2000, 4000, 4000, 4000,
            8000,
        ];
        let mut below = |bound| self.generator.below(bound);
        let cpus = CPUS[usize::try_from(below(16)).unwrap_or(0)];
        let mem = cpus * 2 * (512 + 64 * below(49));
        let network = Milli::whole(10 * below(20));
        let disk = Milli::whole(1024 * (1 + below(16)));
        let demand = Resources {
            cpus: Milli::from_thousandths(cpus * self.big),
            mem: Milli::from_thousandths(mem),
            network,
            disk,
            scalars: BTreeMap::new(),
        };
        let ports = u32::try_from(below(3)).unwrap_or(0);
        let class = TaskClass::new(format!("job{job}"), demand).with_ports(ports);
        if self.config != Config::Constrained {
            return class;
        }
        let zones = Constraint::Balanced { name: "zone".into(), max_skew: 1, expected_values: 3 };
        class.with_hard(zones).with_soft(Constraint::UniqueHost.soft(1))
    }
}

impl Iterator for Tasks {
    type Item = TaskRequest;

    fn next(&mut self) -> Option<TaskRequest> {
        let task = self.next;
        self.next += 1;
        if !self.equal_jobs || task.is_multiple_of(20) {
            self.class = Arc::new(self.draw(task / 20));
        }
        Some(TaskRequest::new(format!("task{task:06}"), &self.class))
    }
}

/// A digest of the number of the host of each task, or of `None`, in the order of tasks.
pub(crate) fn checksum(hosts: impl Iterator<Item = Option<u64>>) -> u64 {
    hosts.fold(0xcbf2_9ce4_8422_2325_u64, |sum, host| {
        (sum ^ host.map_or(0, |host| host + 1)).wrapping_mul(0x0100_0000_01b3)
    })
}
