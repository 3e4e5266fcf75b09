//! The workloads: what stands before the clock starts, and what is timed.

use super::world::{World, resident, timed};
use crate::stats::{median, percentile};
use master_core::{ConnectionId, Effect};
use proto::scheduler::{CallBody, Event};
use proto::{
    CommandInfo, Filters, Offer, OfferId, Operation, Resources, TaskBody, TaskId, TaskInfo,
    TaskPayload,
};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

/// The roles of the frameworks.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// All in one.
    Plain,
    /// One each.
    RoleEach,
    /// A hundred, in a tree three deep.
    Tree,
}

/// The state of the other agents.
#[derive(Clone, Copy)]
pub(super) enum Case {
    /// In offers.
    Free,
    /// Free, and refused by every framework.
    Idle,
}

pub(super) const FOR_EVER: Filters = Filters { refuse: Filters::MAX_REFUSE };

fn add_frameworks(world: &mut World, count: usize, shape: Shape) -> Vec<ConnectionId> {
    let role = |number: usize| match shape {
        Shape::Plain => "*".to_owned(),
        Shape::RoleEach => format!("role{number}"),
        Shape::Tree => format!("a{}/b{}/c{}", number % 5, number % 20, number % 100),
    };
    let streams = (0..count).map(|number| world.framework(&role(number))).collect();
    world.settle();
    world.effects.clear();
    streams
}

/// The streams of so many agents that are alike.
pub(super) fn add_agents(
    world: &mut World,
    count: usize,
    resources: &Resources,
) -> Vec<ConnectionId> {
    (0..count).map(|_| world.agent(resources.clone())).collect()
}

pub(super) fn whole_agent() -> Resources {
    parse(24, 4096, 4096, &[(31_000, 32_000)])
}

fn parse(cpus: u64, mem: u64, disk: u64, ports: &[(u64, u64)]) -> Resources {
    let mut all =
        Resources::scalars([("cpus", cpus * 1000), ("mem", mem * 1000), ("disk", disk * 1000)]);
    all.add_piece(proto::Piece {
        name: proto::ResourceName::new("ports"),
        flavor: proto::Flavor::default(),
        value: proto::Value::Ranges(proto::Ranges::new(ports.iter().copied())),
    });
    all
}

/// Floor, a cycle, the floor, and a second cycle after everything was declined without a filter.
pub(super) fn cycle(agents: usize, frameworks: usize, shape: Shape) -> [f64; 4] {
    let mut world = World::new();
    add_frameworks(&mut world, frameworks, shape);
    add_agents(&mut world, agents, &whole_agent());
    world.effects.reserve(agents);
    let ours = timed(|| world.settle());
    check_offers(&world, agents);
    let before = timed(|| floor(&world));
    let after = timed(|| floor(&world));
    for (stream, offer_ids) in world.offers() {
        world.call(stream, CallBody::Decline { offer_ids, filters: Filters::none() });
    }
    world.effects.clear();
    let again = timed(|| world.settle());
    check_offers(&world, agents);
    [before, ours, after, again]
}

fn offers(effect: &Effect) -> usize {
    match effect {
        Effect::ToFramework { event: Event::Offers(offers), .. } => offers.len(),
        _ => 0,
    }
}

fn check_offers(world: &World, wanted: usize) {
    let made: usize = world.effects.iter().map(offers).sum();
    assert_eq!(made, wanted, "not every agent was offered");
}

/// The same offers of the same agents, built and not decided: their parts lie in memory where the
/// cycle finds them.
fn floor(world: &World) {
    let made = world.effects.iter().flat_map(|effect| match effect {
        Effect::ToFramework { event: Event::Offers(offers), .. } => offers.as_slice(),
        _ => &[],
    });
    let again = |(number, offer): (usize, &Offer)| Offer {
        id: OfferId::new(format!("0f0e0d0c-0b0a-0908-0706-050403020100-O{number}"))
            .expect("a valid id"),
        ..offer.clone()
    };
    let all: Vec<Offer> = made.enumerate().map(again).collect();
    black_box(&all);
}

/// Rounds of allocating and declining for ever: milliseconds of each.
pub(super) fn decline(agents: usize, frameworks: usize, rounds: usize) -> (Vec<f64>, Vec<f64>) {
    let mut world = World::new();
    add_frameworks(&mut world, frameworks, Shape::Plain);
    // What is left of each agent: 24 cpus less 16, and sixteen holes in the ports.
    let holes: Vec<(u64, u64)> = (0..17).map(|i| (31_000 + i * 60, 31_029 + i * 60)).collect();
    add_agents(&mut world, agents, &parse(8, 2082, 3072, &holes));
    let (mut allocating, mut declining) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        world.effects.clear();
        allocating.push(timed(|| world.settle()));
        let made = world.offers();
        world.effects.clear();
        declining.push(timed(|| {
            for (stream, offer_ids) in made {
                world.call(stream, CallBody::Decline { offer_ids, filters: FOR_EVER });
            }
        }));
    }
    (allocating, declining)
}

/// Many roles with small guarantees, some with large ones: offers made, the cycle, and one more.
pub(super) fn quota(small: usize, large: usize) -> [f64; 3] {
    let mut world = World::new();
    let names = |what: &str, count: usize| {
        (0..count).map(|number| format!("{what}QuotaRole{number}")).collect::<Vec<_>>()
    };
    let (small_roles, large_roles) = (names("small", small), names("large", large));
    for role in small_roles.iter().chain(&large_roles) {
        world.framework(role);
    }
    world.settle();
    world.quota(&small_roles, 1);
    world.quota(&large_roles, 4);
    let agents = small / 5 + large * 5;
    let agent = Resources::scalars([("cpus", 2_000), ("mem", 2_048_000), ("disk", 2_048_000)]);
    add_agents(&mut world, agents, &agent);
    let ours = timed(|| world.settle());
    let made: usize = world.effects.iter().map(offers).sum();
    world.effects.clear();
    // Nothing is wanted any more, and everything is looked at again.
    world.wake_all();
    let again = timed(|| world.settle());
    [made as f64, ours, again]
}

/// Every framework is silent, and every agent new.
pub(super) fn suppressed(agents: usize, frameworks: usize) -> f64 {
    let mut world = World::new();
    for stream in add_frameworks(&mut world, frameworks, Shape::Plain) {
        world.call(stream, CallBody::Suppress { roles: Vec::new() });
    }
    add_agents(&mut world, agents, &whole_agent());
    timed(|| world.settle())
}

/// Microseconds of declining one offer, and of the pass that makes it again.
pub(super) struct Freed {
    pub(super) decline: f64,
    pub(super) pass: f64,
    pub(super) p99: f64,
}

/// One offer is declined and made again, many times.
pub(super) fn freed(agents: usize, frameworks: usize, case: Case) -> Freed {
    let mut world = World::new();
    let streams = add_frameworks(&mut world, frameworks, Shape::Plain);
    add_agents(&mut world, agents, &whole_agent());
    world.settle();
    if let Case::Idle = case {
        for stream in streams.iter().skip(1) {
            world.call(*stream, CallBody::Suppress { roles: Vec::new() });
        }
        for (stream, offer_ids) in world.offers() {
            world.call(stream, CallBody::Decline { offer_ids, filters: FOR_EVER });
        }
        world.effects.clear();
        world.settle();
        let taken = world.offers();
        for (stream, mut offer_ids) in taken.clone() {
            offer_ids.pop();
            world.call(stream, CallBody::Decline { offer_ids, filters: FOR_EVER });
        }
        world.settle();
        let rest =
            taken.into_iter().filter_map(|(stream, ids)| Some((stream, ids.last()?.clone())));
        let rest: Vec<_> = rest.collect();
        return repeat(&mut world, rest);
    }
    let all: Vec<(ConnectionId, OfferId)> = world
        .offers()
        .into_iter()
        .flat_map(|(stream, ids)| ids.into_iter().map(move |id| (stream, id)))
        .take(1_000)
        .collect();
    repeat(&mut world, all)
}

fn repeat(world: &mut World, offers: Vec<(ConnectionId, OfferId)>) -> Freed {
    let (mut declines, mut passes) = (Vec::new(), Vec::new());
    let mut offers: std::collections::VecDeque<_> = offers.into();
    for _ in 0..1_000 {
        let Some((stream, id)) = offers.pop_front() else { break };
        world.effects.clear();
        let (offer_ids, filters) = (vec![id], Filters::none());
        let decline = CallBody::Decline { offer_ids, filters };
        declines.push(timed(|| world.call(stream, decline)) * 1e3);
        passes.push(timed(|| world.settle()) * 1e3);
        for (stream, ids) in world.offers() {
            offers.extend(ids.into_iter().map(|id| (stream, id)));
        }
    }
    Freed { decline: median(&declines), pass: median(&passes), p99: percentile(&passes, 0.99) }
}

/// Bytes that the process grew by, with agents and running tasks in the tables.
pub(super) fn memory(agents: usize, tasks: usize) -> u64 {
    let before = resident();
    let mut world = World::new();
    add_frameworks(&mut world, 100, Shape::Plain);
    add_agents(&mut world, agents, &whole_agent());
    world.settle();
    let each = tasks / agents.max(1);
    let mut made = Vec::new();
    for effect in world.effects.drain(..) {
        if let Effect::ToFramework { connection, event: Event::Offers(offers) } = effect {
            made.extend(offers.into_iter().map(|offer| (connection, offer.id, offer.agent_id)));
        }
    }
    world.effects.shrink_to_fit();
    if tasks > 0 {
        for (number, (stream, id, agent_id)) in made.into_iter().enumerate() {
            let infos = (0..each).map(|index| task(&format!("task-{number}-{index}"), &agent_id));
            let operations = vec![Operation::Launch(infos.collect())];
            let (offer_ids, filters) = (vec![id], FOR_EVER);
            world.call(stream, CallBody::Accept { offer_ids, operations, filters });
            world.effects.clear();
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(world.master.deadline().is_some(), "the master lives until it was measured");
    grown
}

pub(super) fn task(id: &str, agent_id: &proto::AgentId) -> TaskInfo {
    let value = Some(Arc::from("/usr/bin/env true"));
    let command = CommandInfo { shell: true, value, ..CommandInfo::default() };
    TaskInfo {
        name: Arc::from(id),
        task_id: TaskId::new(id).expect("a valid id"),
        agent_id: agent_id.clone(),
        resources: Resources::cpus_mem(100, 32_000),
        allocation_role: None,
        limits: BTreeMap::new(),
        executor: None,
        kill_grace: None,
        max_completion_time: None,
        payload: TaskPayload::new(&TaskBody { command: Some(command), ..TaskBody::default() }),
    }
}
