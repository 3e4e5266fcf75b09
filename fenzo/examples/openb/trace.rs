//! The openb trace as hosts and tasks, and the workload of a seed.

use std::collections::BTreeMap;
use std::sync::Arc;

use fenzo::{Device, DeviceMix, DeviceRequest, Lease, Milli, Resources, TaskClass, TaskRequest};

/// What pods of the trace ask for, by the name of the variant.
const VARIANTS: [(&str, &str); 6] = [
    ("default", include_str!("../../data/openb/default.csv")),
    ("cpu100", include_str!("../../data/openb/cpu100.csv")),
    ("cpu300", include_str!("../../data/openb/cpu300.csv")),
    ("gpushare40", include_str!("../../data/openb/gpushare40.csv")),
    ("gpuspec33", include_str!("../../data/openb/gpuspec33.csv")),
    ("multigpu50", include_str!("../../data/openb/multigpu50.csv")),
];

const NODES: &str = include_str!("../../data/openb/nodes.csv");

/// The kind of all devices here.
pub(crate) const GPU: &str = "gpu";

/// Pods arrive until they ask for this many hundredths of all GPUs.
const ARRIVED: u64 = 130;

/// A variant of the trace.
pub(crate) struct Trace {
    pods: Vec<Pod>,
    nodes: Vec<Node>,
}

#[derive(Clone)]
struct Pod {
    class: Arc<TaskClass>,
    /// Thousandths of a GPU, of each and in all.
    each: u64,
    gpus: u64,
}

struct Node {
    offered: Resources,
    gpus: u64,
    model: String,
}

pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    VARIANTS.iter().map(|(name, _)| *name)
}

/// The lines of a csv without the heading, each as many times as its first column says.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().skip(1).flat_map(|line| {
        let fields: Vec<&str> = line.split(',').collect();
        let times = number(fields[0]);
        (0..times).map(move |_| fields.clone())
    })
}

fn number(text: &str) -> u64 {
    text.parse().expect("the trace has a number here")
}

impl Trace {
    pub(crate) fn read(variant: &str) -> Option<Self> {
        let (_, text) = VARIANTS.iter().find(|(name, _)| *name == variant)?;
        let mut classes: BTreeMap<Vec<&str>, Arc<TaskClass>> = BTreeMap::new();
        let pods = rows(text).map(|row| {
            let class = classes.entry(row.clone()).or_insert_with(|| Arc::new(class(&row)));
            let (gpus, each) = (number(row[3]), number(row[4]));
            Pod { class: Arc::clone(class), each, gpus: gpus * each }
        });
        let nodes = rows(NODES).map(|row| Node {
            offered: resources(row[1], row[2]),
            gpus: number(row[3]),
            model: row[4].to_owned(),
        });
        Some(Self { pods: pods.collect(), nodes: nodes.collect() })
    }

    /// Thousandths of all GPUs.
    pub(crate) fn capacity(&self) -> u64 {
        self.nodes.iter().map(|node| node.gpus * 1000).sum()
    }

    /// The most cpus and GPUs that a node has.
    pub(crate) fn largest(&self) -> (Milli, u32) {
        let cpus = self.nodes.iter().map(|node| node.offered.cpus).max().unwrap_or_default();
        let gpus = self.nodes.iter().map(|node| node.gpus).max().unwrap_or(0);
        (cpus, u32::try_from(gpus).expect("a node has few GPUs"))
    }

    /// What the pods ask for, and how often.
    pub(crate) fn mix(&self) -> DeviceMix {
        let mut mix = DeviceMix::new(GPU);
        for pod in &self.pods {
            mix.add(&pod.class, 1);
        }
        mix
    }

    /// The nodes, named in an order that the seed shuffles: equal scores go to the smaller name.
    pub(crate) fn leases(&self, seed: u64) -> Vec<Lease> {
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        Random::new(seed, 1).shuffle(&mut order);
        let lease = |(position, node): (usize, &usize)| {
            let Node { offered, gpus, model } = &self.nodes[*node];
            let name = format!("{position:04}-openb-node-{node:04}");
            let lease = Lease::new(name.as_str(), name.as_str(), offered.clone());
            (0..*gpus).fold(lease, |lease, gpu| {
                lease.with_device(Device::new(GPU, gpu.to_string(), model.as_str()))
            })
        };
        order.iter().enumerate().map(lease).collect()
    }

    /// The pods of the trace in shuffled order, and more of them, drawn one by one, until what they ask for is
    /// [`ARRIVED`]; if it is more than that, pods are taken away.
    pub(crate) fn tasks(&self, seed: u64) -> Vec<TaskRequest> {
        let mut random = Random::new(seed, 2);
        let bound = self.capacity() * ARRIVED / 100;
        let mut pods = self.pods.clone();
        random.shuffle(&mut pods);
        let mut asked: u64 = pods.iter().map(|pod| pod.gpus).sum();
        if asked > bound {
            while asked > bound {
                asked -= pods.remove(random.below(pods.len())).gpus;
            }
        } else {
            loop {
                let pod = &self.pods[random.below(self.pods.len())];
                // The published simulator compares with what the pod asks of one GPU.
                if asked + pod.each > bound {
                    break;
                }
                asked += pod.gpus;
                pods.push(pod.clone());
            }
        }
        let task = |(position, pod): (usize, Pod)| {
            TaskRequest::new(format!("openb-pod-{position:05}"), &pod.class)
        };
        pods.into_iter().enumerate().map(task).collect()
    }
}

fn resources(cpu_milli: &str, memory_mib: &str) -> Resources {
    Resources {
        cpus: Milli::from_thousandths(number(cpu_milli)),
        mem: Milli::whole(number(memory_mib)),
        ..Resources::default()
    }
}

fn class(row: &[&str]) -> TaskClass {
    let class = TaskClass::new("openb", resources(row[1], row[2]));
    let (gpus, each) = (number(row[3]), number(row[4]));
    if gpus == 0 {
        return class;
    }
    let part = (gpus == 1).then(|| DeviceRequest::part(Milli::from_thousandths(each))).flatten();
    let whole = DeviceRequest::whole(u32::try_from(gpus).expect("a pod asks for few GPUs"));
    let models = row[5].split('|').filter(|model| !model.is_empty());
    let request = models.fold(part.unwrap_or(whole), DeviceRequest::with_model);
    class.with_devices(GPU, request)
}

/// Splitmix64.
struct Random(u64);

impl Random {
    fn new(seed: u64, stream: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(stream))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.next()) * (bound as u128);
        usize::try_from(wide >> 64).expect("it is below a usize")
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
