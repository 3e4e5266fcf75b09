//! The cluster of a run: agents, frameworks and their options, drawn from the seed.
//!
//! Small clusters find more: three to eight agents, one to four frameworks, so that everything
//! meets everything. Options stay near what production uses, with the longest waits cut short so
//! that ten minutes suffice.

use crate::network::{Network, Peer};
use crate::node::FrameworkNode;
use crate::node::agent::AgentNode;
use crate::node::framework::DriverNode;
use crate::node::operator::some_role;
use crate::node::raw::habits::{some_capabilities, some_roles};
use crate::node::raw::{RawNode, Temper};
use crate::prng::Prng;
use crate::workload::Plan;
use crate::world::{Packet, START};
use proto::{
    AgentInfo, Attribute, AttributeValue, Capability, Domain, Flavor, FrameworkInfo, Piece,
    Reservation, ReservationKind, ResourceName, Resources, Role, Special, Time, Value,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// The nodes of a run.
pub(crate) struct Drawn {
    pub(crate) master: master_core::Options,
    pub(crate) agents: Vec<AgentNode>,
    pub(crate) frameworks: Vec<FrameworkNode>,
}

/// Draws the nodes and gives each its ways to the masters.
pub(crate) fn draw(
    root: &Prng,
    (masters, listed): (usize, &[usize]),
    end: Time,
    network: &mut Network<Packet>,
) -> Drawn {
    let mut random = root.split("cluster");
    let distance = [0, 1, 20][random.index(3)];
    let mut join = |random: &mut Prng, peer| {
        let (latency, jitter) = (random.millis(0, distance), random.millis(0, 1 + distance * 3));
        network.join(peer, masters, latency, jitter);
    };
    let agents = random.between(3, 8) as usize;
    let agents: Vec<AgentNode> = (0..agents)
        .map(|i| {
            join(&mut random, Peer::Agent(i));
            agent(&mut random, i)
        })
        .collect();
    let drivers = random.between(1, 2) as usize;
    let raws = random.below(3) as usize;
    let frameworks: Vec<FrameworkNode> = (0..drivers + raws)
        .map(|i| {
            join(&mut random, Peer::Framework(i));
            let stream = root.split(&format!("framework {i}"));
            if i < drivers { driver(stream, i, listed, end) } else { raw(stream, i) }
        })
        .collect();
    Drawn { master: master(&mut random), agents, frameworks }
}

fn master(random: &mut Prng) -> master_core::Options {
    master_core::Options {
        // Nobody reads.
        publish_interval: [None, Some(Duration::from_millis(250))][random.index(2)],
        offer_timeout: Some(Duration::from_secs([5, 20, 60][random.index(3)])),
        allocation_slice: [1, 2, 500][random.index(3)],
        allocation_delay: Duration::from_millis([0, 0, 5, 50][random.index(4)]),
        agent_timeout: Duration::from_secs(random.between(3, 10)),
        agent_reregister_timeout: Duration::from_secs(random.between(20, 120)),
        framework_reregister_timeout: Duration::from_secs(60),
        unreachable_tasks: [3, 1000][random.index(2)],
        completed_tasks: [3, 1000][random.index(2)],
        unreachable_agents: [2, 100_000][random.index(2)],
        demands: [20, 1000][random.index(2)],
        domain: random.percent(30).then(|| domain("here", "z0")),
        ..master_core::Options::default()
    }
}

fn domain(region: &str, zone: &str) -> Domain {
    Domain { region: Arc::from(region), zone: Arc::from(zone) }
}

/// So many agents are plain: whatever the drivers want finds room there.
const PLAIN: usize = 3;

/// What an agent has: some have GPUs, or something that is kept for a role or may be taken back.
fn resources(random: &mut Prng, i: usize) -> Resources {
    let mut all = Resources::cpus_mem(random.between(4, 8) * 500, random.between(2, 8) * 512_000);
    let special = random.below(8);
    all.add(&Resources::scalars([("disk", 1_000_000)]));
    if i < PLAIN {
        return all;
    }
    let cpus = |flavor, milli| Piece {
        name: ResourceName::new("cpus"),
        flavor,
        value: Value::Scalar(milli),
    };
    match special {
        0 | 1 => all.add(&Resources::scalars([("gpus", 2000)])),
        2 | 3 => {
            let reservation = Reservation {
                kind: ReservationKind::Static,
                role: some_role(random),
                principal: None,
                labels: Vec::new(),
            };
            let reservations =
                if reservation.role == Role::any() { Vec::new() } else { vec![reservation] };
            let special = Special { reservations, ..Special::default() };
            all.add_piece(cpus(Flavor::new(false, special), 1000));
        }
        4 => {
            all.add_piece(cpus(Flavor::new(true, Special::default()), 1000));
        }
        _ => {}
    }
    all
}

fn agent(random: &mut Prng, i: usize) -> AgentNode {
    let resources = resources(random, i);
    let away = i >= PLAIN && random.percent(20);
    let region = if away { "there" } else { "here" };
    let info = AgentInfo {
        id: None,
        hostname: format!("host-{i}").into(),
        port: 5051,
        resources,
        attributes: vec![Attribute {
            name: Arc::from("rack"),
            value: AttributeValue::Text(format!("r{}", i % 3).into()),
        }],
        domain: Some(domain(region, &format!("z{}", i % 2))),
    };
    let mut options = agent_core::Options::new(info, "sim", "boot-0");
    options.connect_backoff_max = Duration::from_secs(random.between(1, 10));
    options.update_retry = Duration::from_secs(random.between(2, 10));
    options.update_retry_max = Duration::from_secs(30);
    options.gc_delay = Duration::from_secs([20, 600][random.index(2)]);
    options.tombstone_life = Duration::from_secs([30, 600][random.index(2)]);
    AgentNode::new(format!("a{i}"), options)
}

fn driver(mut random: Prng, i: usize, listed: &[usize], end: Time) -> FrameworkNode {
    let name = format!("f{i}");
    let addresses = listed.iter().map(|host| host.to_string().into()).collect();
    let mut options = driver::core::Options::new(name.clone(), addresses);
    options.role = some_role(&mut random);
    options.unreachable_grace = random.millis(1_000, 60_000);
    options.launch_timeout = Duration::from_secs(random.between(10, 120));
    options.reconcile_all = Duration::from_secs(random.between(30, 300));
    let plan = Plan::draw(&mut random.split("plan"), START, end);
    FrameworkNode::Driver(Box::new(DriverNode::new(name, options, plan)))
}

fn raw(mut random: Prng, i: usize) -> FrameworkNode {
    let name = format!("f{i}");
    let tempers = [Temper::Accepts, Temper::Hoards, Temper::Declines, Temper::Vanishes];
    let temper = tempers[random.index(tempers.len())];
    let mut info = FrameworkInfo::new("nobody", name.clone());
    info.checkpoint = true;
    info.failover_timeout = random.millis(0, 30_000);
    if random.percent(60) {
        some_capabilities(&mut random, &mut info);
        info.roles = some_roles(&mut random);
    } else {
        // One of the old kind, which knows one role.
        info.roles = BTreeSet::from([some_role(&mut random)]);
        if random.percent(50) {
            info.capabilities = info.capabilities.with(Capability::PartitionAware);
        }
        if random.percent(50) {
            info.capabilities = info.capabilities.with(Capability::TaskKillingState);
        }
    }
    let stream = random.split("acts");
    FrameworkNode::Raw(Box::new(RawNode::new(name, temper, info, stream)))
}
