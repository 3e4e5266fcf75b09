//! Random lives: whatever peers send in whatever order, nothing panics and every invariant holds
//! after each step; and the order of the sorter is what a plain reckoning says.

use crate::allocator::sorter::{Sorter, Walk};
use crate::table::{FrameworkOrd, Ordinal};
use crate::testing::*;
use crate::{ConnectionId, Input, Options, Order, RequestId};
use proptest::prelude::*;
use proto::agent_link::{AgentCall, AgentTask};
use proto::scheduler::{Call, CallBody, Demand};
use proto::{
    AgentId, Capability, Filters, FrameworkId, FrameworkInfo, MachineId, MaintenanceWindow,
    OfferId, Operation, Resources, Role, Schedule, TaskState, Time, Unavailability,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Deed {
    Subscribe { who: u8, stream: u8, roles: u8, suppress: bool },
    CloseFramework { stream: u8 },
    Call { who: u8, stream: u8, body: Body },
    Register { stream: u8, nonce: u8, cpus: u8 },
    Reregister { stream: u8, agent: u8, cpus: u8, tasks: Vec<(u8, u8, u8, u8)> },
    Update { stream: u8, who: u8, task: u8, state: u8, latest: u8, byte: u8 },
    Pong { stream: u8 },
    CloseAgent { stream: u8 },
    Wait { millis: u32 },
    Teardown { who: u8 },
    Weight { role: u8, weight: u16 },
    Order { order: u8, agent: u8, seconds: u8 },
    Maintenance { order: u8, machine: u8, start: u8 },
    Quota { role: u8, guarantee: u8, limit: u8, force: bool },
    Look,
    Restart,
}

#[derive(Clone, Debug)]
enum Body {
    Accept { offers: Vec<u8>, tasks: Vec<(u8, u8, u8)>, refuse: u8 },
    Decline { offers: Vec<u8>, refuse: u8 },
    Revive(u8),
    Suppress(u8),
    Kill { task: u8, agent: Option<u8> },
    Acknowledge { task: u8, agent: u8, byte: u8 },
    Reconcile(Vec<(u8, Option<u8>)>),
    Request(Vec<(u8, u8)>),
    Inverse { numbers: Vec<u8>, accept: bool, refuse: u8 },
    Update { roles: u8, suppress: bool, constrain: bool },
    Teardown,
}

fn body() -> impl Strategy<Value = Body> {
    let small = prop::collection::vec(any::<u8>(), 0..4);
    let tasks = prop::collection::vec((0_u8..6, 0_u8..4, 0_u8..6), 0..4);
    prop_oneof![
        6 => (small.clone(), tasks, 0_u8..8)
            .prop_map(|(offers, tasks, refuse)| Body::Accept { offers, tasks, refuse }),
        3 => (small, 0_u8..8).prop_map(|(offers, refuse)| Body::Decline { offers, refuse }),
        1 => (0_u8..4).prop_map(Body::Revive),
        1 => (0_u8..4).prop_map(Body::Suppress),
        2 => (0_u8..6, prop::option::of(0_u8..4))
            .prop_map(|(task, agent)| Body::Kill { task, agent }),
        3 => (0_u8..6, 0_u8..4, 0_u8..3)
            .prop_map(|(task, agent, byte)| Body::Acknowledge { task, agent, byte }),
        1 => prop::collection::vec((0_u8..6, prop::option::of(0_u8..4)), 0..3)
            .prop_map(Body::Reconcile),
        2 => prop::collection::vec((0_u8..3, 0_u8..5), 0..3).prop_map(Body::Request),
        2 => (prop::collection::vec(0_u8..40, 0..4), any::<bool>(), 0_u8..4)
            .prop_map(|(numbers, accept, refuse)| Body::Inverse { numbers, accept, refuse }),
        2 => (0_u8..6, any::<bool>(), any::<bool>()).prop_map(|(roles, suppress, constrain)| {
            Body::Update { roles, suppress, constrain }
        }),
        1 => Just(Body::Teardown),
    ]
}

fn deed() -> impl Strategy<Value = Deed> {
    let tasks = prop::collection::vec((0_u8..4, 0_u8..6, 0_u8..4, 0_u8..14), 0..4);
    prop_oneof![
        4 => (0_u8..4, 0_u8..4, 0_u8..6, any::<bool>())
            .prop_map(|(who, stream, roles, suppress)| Deed::Subscribe { who, stream, roles, suppress }),
        1 => (0_u8..4).prop_map(|stream| Deed::CloseFramework { stream }),
        12 => (0_u8..4, 0_u8..4, body())
            .prop_map(|(who, stream, body)| Deed::Call { who, stream, body }),
        3 => (4_u8..8, 0_u8..4, 0_u8..5)
            .prop_map(|(stream, nonce, cpus)| Deed::Register { stream, nonce, cpus }),
        3 => (4_u8..8, 0_u8..4, 0_u8..6, tasks)
            .prop_map(|(stream, agent, cpus, tasks)| Deed::Reregister { stream, agent, cpus, tasks }),
        6 => (4_u8..8, 0_u8..4, 0_u8..6, 0_u8..14, 0_u8..14, 0_u8..3).prop_map(
            |(stream, who, task, state, latest, byte)| {
                Deed::Update { stream, who, task, state, latest, byte }
            }
        ),
        3 => (4_u8..8).prop_map(|stream| Deed::Pong { stream }),
        1 => (4_u8..8).prop_map(|stream| Deed::CloseAgent { stream }),
        4 => (0_u32..3000).prop_map(|millis| Deed::Wait { millis }),
        1 => (0_u8..4).prop_map(|who| Deed::Teardown { who }),
        1 => (0_u8..3, 0_u16..3000).prop_map(|(role, weight)| Deed::Weight { role, weight }),
        3 => (0_u8..7, 0_u8..4, 0_u8..5)
            .prop_map(|(order, agent, seconds)| Deed::Order { order, agent, seconds }),
        1 => (0_u8..4, 0_u8..3, 0_u8..2)
            .prop_map(|(order, machine, start)| Deed::Maintenance { order, machine, start }),
        2 => (0_u8..4, 0_u8..8, 0_u8..9, any::<bool>()).prop_map(
            |(role, guarantee, limit, force)| Deed::Quota { role, guarantee, limit, force }
        ),
        1 => Just(Deed::Look),
        1 => Just(Deed::Restart),
    ]
}

const ROLES: [&str; 3] = ["a", "a/b", "c"];

fn fid(who: u8) -> FrameworkId {
    framework_id(&format!("F{who}"))
}

fn aid(agent: u8) -> AgentId {
    agent_id(&format!("m-S{agent}"))
}

fn tid(task: u8) -> proto::TaskId {
    task_id(&format!("t{task}"))
}

fn info(who: u8, roles: u8) -> FrameworkInfo {
    let count = usize::from(roles % 3) + 1;
    let capabilities: &[Capability] =
        if who.is_multiple_of(2) { &[Capability::PartitionAware] } else { &[] };
    let mut info = framework_info("f", &ROLES[..count], capabilities);
    info.id = Some(fid(who));
    info.failover_timeout = Duration::from_secs(u64::from(who) * 3);
    info
}

/// The offers that stand, picked by number, and now and then one that does not.
fn pick(c: &Cluster, picks: &[u8]) -> Vec<OfferId> {
    let all: Vec<OfferId> = c.master.offers.values().map(|offer| offer.id.clone()).collect();
    let one = |pick: &u8| match all.len() {
        0 => offer_id("m-O0"),
        len => all[usize::from(*pick) % len].clone(),
    };
    picks.iter().map(one).collect()
}

fn state(number: u8) -> TaskState {
    TaskState::ALL[usize::from(number) % TaskState::ALL.len()]
}

/// An UPDATE_FRAMEWORK with all but what no framework may change.
fn update(roles: u8, suppress: bool, constrain: bool) -> Box<proto::scheduler::Subscribe> {
    let framework_info = FrameworkInfo { id: None, ..info(roles, roles) };
    let suppressed_roles =
        framework_info.roles.iter().take(usize::from(suppress)).cloned().collect();
    let constraint = proto::AttributeConstraint {
        selector: proto::Selector::Hostname,
        predicate: proto::Predicate::TextEquals(Arc::from("nowhere")),
    };
    let roles = [(role(ROLES[0]), vec![vec![constraint]])].into();
    let offer_constraints = constrain.then_some(proto::OfferConstraints { roles });
    let fence = None;
    let call =
        proto::scheduler::Subscribe { framework_info, suppressed_roles, offer_constraints, fence };
    Box::new(call)
}

fn call_body(c: &Cluster, body: Body) -> CallBody {
    let seconds = |refuse: u8| Filters { refuse: Duration::from_secs(u64::from(refuse)) };
    let roles = |pick: u8| {
        let named = ROLES.get(usize::from(pick)).map(|name| role(name));
        named.into_iter().collect::<Vec<Role>>()
    };
    match body {
        Body::Accept { offers, tasks, refuse } => {
            let offer_ids = pick(c, &offers);
            let task = |(id, agent, cpus): (u8, u8, u8)| {
                let first = offer_ids
                    .first()
                    .and_then(|id| c.master.offers.values().find(|offer| offer.id == *id));
                let agent =
                    first.map_or(aid(agent), |offer| c.master.agents[offer.agent].id.clone());
                let resources = Resources::cpus_mem(u64::from(cpus) * 700, 1000);
                task_info(&format!("t{id}"), agent.as_str(), resources)
            };
            let tasks = tasks.into_iter().map(task).collect();
            let operations = vec![Operation::Launch(tasks)];
            CallBody::Accept { offer_ids, operations, filters: seconds(refuse) }
        }
        Body::Decline { offers, refuse } => {
            CallBody::Decline { offer_ids: pick(c, &offers), filters: seconds(refuse) }
        }
        Body::Revive(pick) => CallBody::Revive { roles: roles(pick) },
        Body::Suppress(pick) => CallBody::Suppress { roles: roles(pick) },
        Body::Kill { task, agent } => {
            CallBody::Kill { task_id: tid(task), agent_id: agent.map(aid), grace: None }
        }
        Body::Acknowledge { task, agent, byte } => {
            CallBody::Acknowledge { agent_id: aid(agent), task_id: tid(task), uuid: uuid(byte) }
        }
        Body::Reconcile(tasks) => CallBody::Reconcile {
            tasks: tasks.into_iter().map(|(task, agent)| (tid(task), agent.map(aid))).collect(),
        },
        Body::Request(demands) => {
            let one = |(cpus, count): (u8, u8)| Demand {
                role: (count > 3).then(|| role(ROLES[0])),
                agent_id: None,
                resources: Resources::cpus_mem(u64::from(cpus) * 900, 0),
                count: u32::from(count),
                deadline: None,
                priority: 0,
            };
            CallBody::Request { demands: demands.into_iter().map(one).collect() }
        }
        Body::Inverse { numbers, accept, refuse } => {
            // Those that stand, and now and then one that does not.
            let all: Vec<u64> = c.master.inverse_offers.keys().copied().collect();
            let id = |pick: u8| {
                let number = all.get(usize::from(pick) % (all.len() + 1)).copied().unwrap_or(7);
                offer_id(&format!("{}-O{number}", c.master.info().id))
            };
            let inverse_offer_ids = numbers.into_iter().map(id).collect();
            let filters = seconds(refuse);
            if accept {
                CallBody::AcceptInverseOffers { inverse_offer_ids, filters }
            } else {
                CallBody::DeclineInverseOffers { inverse_offer_ids, filters }
            }
        }
        Body::Update { roles, suppress, constrain } => {
            CallBody::UpdateFramework(update(roles, suppress, constrain))
        }
        Body::Teardown => CallBody::Teardown,
    }
}

/// Streams end and are numbered anew now and then; in between, a deed may hit any of them.
struct Streams {
    numbers: [u64; 8],
}

fn act(c: &mut Cluster, streams: &mut Streams, deed: Deed) {
    let at = |stream: u8, streams: &Streams| ConnectionId(streams.numbers[usize::from(stream)]);
    match deed {
        Deed::Subscribe { who, stream, roles, suppress } => {
            streams.numbers[usize::from(stream)] += 8;
            let framework_info = info(who, roles);
            let suppressed_roles =
                framework_info.roles.iter().take(usize::from(suppress)).cloned().collect();
            let call = Box::new(proto::scheduler::Subscribe {
                framework_info,
                suppressed_roles,
                offer_constraints: None,
                fence: None,
            });
            let (connection, framework_id) = (at(stream, streams), Some(fid(who)));
            c.feed(Input::Subscribe { connection, framework_id, call, principal: None });
        }
        Deed::CloseFramework { stream } => {
            c.feed(Input::FrameworkClosed { connection: at(stream, streams) });
        }
        Deed::Call { who, stream, body } => {
            let ord = c.master.framework_ids.get(&fid(who));
            let own = ord.and_then(|ord| c.master.frameworks[*ord].connection);
            let connection = own.or_else(|| Some(at(stream, streams)));
            let call = Call { framework_id: Some(fid(who)), body: call_body(c, body) };
            c.feed(Input::Call { request: RequestId(0), connection, call });
        }
        Deed::Register { .. }
        | Deed::Reregister { .. }
        | Deed::Update { .. }
        | Deed::Pong { .. }
        | Deed::CloseAgent { .. } => act_agent(c, streams, deed),
        Deed::Wait { millis } => {
            c.advance(Duration::from_millis(u64::from(millis)));
        }
        Deed::Teardown { who } => {
            c.operator(proto::operator::Call::Teardown(fid(who)));
        }
        Deed::Weight { role: pick, weight } => {
            let (role, weight_milli) = (role(ROLES[usize::from(pick)]), u64::from(weight));
            c.feed(Input::SetWeight { request: RequestId(0), role, weight_milli });
        }
        Deed::Quota { role: pick, guarantee, limit, force } => {
            let name = ["a", "a/b", "c", "d"][usize::from(pick)];
            let guarantee = format!("cpus:{}", f64::from(guarantee) / 2.0);
            let limit = if limit == 8 { String::new() } else { format!("cpus:{limit}") };
            c.set_quota(&[(name, &guarantee, &limit)], force);
        }
        Deed::Look => {
            c.operator(proto::operator::Call::GetState);
            c.operator(proto::operator::Call::GetRoles);
            for who in 0..4 {
                c.operator(proto::operator::Call::Explain(fid(who)));
            }
        }
        Deed::Order { .. } | Deed::Maintenance { .. } => act_operator(c, deed),
        Deed::Restart => c.restart_master(),
    }
}

fn act_operator(c: &mut Cluster, deed: Deed) {
    match deed {
        Deed::Order { order, agent, seconds } => {
            let agent_id = aid(agent);
            if order == 6 {
                c.operator(proto::operator::Call::ForgetAgent(agent_id));
                return;
            }
            c.order(match order {
                0 => Order::DeactivateAgent(agent_id),
                1 | 2 => Order::ReactivateAgent(agent_id),
                3 => Order::MarkAgentGone(agent_id),
                _ => Order::DrainAgent {
                    agent_id,
                    max_grace: (seconds > 0).then(|| Duration::from_secs(u64::from(seconds))),
                    mark_gone: seconds % 3 == 1,
                },
            });
        }
        Deed::Maintenance { order, machine, start } => {
            // Agents call themselves `h`.
            let machine = MachineId::named(["h", "x", "y"][usize::from(machine)]);
            let start = Time::from_millis(u64::from(start));
            let unavailability = Unavailability { start, duration: None };
            use proto::operator::Call;
            let window = MaintenanceWindow { machines: vec![machine.clone()], unavailability };
            c.operator(match order {
                0 => Call::UpdateMaintenanceSchedule(Schedule::default()),
                1 => Call::UpdateMaintenanceSchedule(Schedule { windows: vec![window] }),
                2 => Call::StartMaintenance(vec![machine]),
                _ => Call::StopMaintenance(vec![machine]),
            });
        }
        _ => unreachable!("act takes the others"),
    }
}

fn act_agent(c: &mut Cluster, streams: &mut Streams, deed: Deed) {
    let at = |stream: u8, streams: &Streams| ConnectionId(streams.numbers[usize::from(stream)]);
    match deed {
        Deed::Register { stream, nonce, cpus } => {
            streams.numbers[usize::from(stream)] += 8;
            let info = agent_info("h", Resources::cpus_mem(u64::from(cpus) * 1000, 8000));
            let (version, nonce) = (Arc::from("1"), u64::from(nonce));
            let call = AgentCall::Register { info, version, nonce };
            c.feed(Input::AgentCall { connection: at(stream, streams), call });
        }
        Deed::Reregister { stream, agent, cpus, tasks } => {
            streams.numbers[usize::from(stream)] += 8;
            let total = Resources::cpus_mem(u64::from(cpus) * 1000, 8000);
            let mut info = agent_info("h", total);
            info.id = Some(aid(agent));
            let task = |(who, task, cpus, s): (u8, u8, u8, u8)| AgentTask {
                framework_id: fid(who),
                task_id: tid(task),
                name: Arc::from("t"),
                resources: Resources::cpus_mem(u64::from(cpus) * 700, 1000),
                role: role(ROLES[usize::from(task) % 3]),
                state: state(s),
                status: (s % 3 == 0).then(|| (state(s), uuid(s))),
                executor_id: None,
                shown: None,
            };
            let tasks: Vec<AgentTask> = tasks.into_iter().map(task).collect();
            let frameworks = (0..4).map(info_of).collect();
            let executors = Vec::new();
            let version = Arc::from("1");
            let call = AgentCall::Reregister { info, version, tasks, frameworks, executors };
            c.feed(Input::AgentCall { connection: at(stream, streams), call });
        }
        Deed::Update { stream, who, task, state: s, latest, byte } => {
            let mut status = status(&format!("t{task}"), state(s), None);
            status.uuid = Some(uuid(byte));
            let call = AgentCall::Update {
                framework_id: fid(who),
                status: Box::new(status),
                latest_state: state(latest),
            };
            c.feed(Input::AgentCall { connection: at(stream, streams), call });
        }
        Deed::Pong { stream } => {
            let call = AgentCall::Pong { sequence: 1 };
            c.feed(Input::AgentCall { connection: at(stream, streams), call });
        }
        Deed::CloseAgent { stream } => {
            c.feed(Input::AgentClosed { connection: at(stream, streams) });
        }
        _ => unreachable!("act takes the others"),
    }
}

fn info_of(who: u8) -> FrameworkInfo {
    info(who, who)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Invariants are checked by `Cluster::step`.
    #[test]
    fn no_life_breaks_an_invariant(
        deeds in prop::collection::vec(deed(), 1..120),
        slice in 1_usize..4,
        paced in any::<bool>(),
        demanding in any::<bool>(),
    ) {
        let mut c = Cluster::new(Options {
            allocation_slice: slice,
            offer_timeout: demanding.then(|| Duration::from_secs(2)),
            agent_reregister_timeout: Duration::from_secs(4),
            framework_reregister_timeout: Duration::from_secs(6),
            completed_tasks: 3,
            unreachable_tasks: 2,
            unreachable_agents: 1,
            agent_removal_interval: paced.then(|| Duration::from_secs(3)),
            ..Options::default()
        });
        let mut streams = Streams { numbers: [100, 101, 102, 103, 104, 105, 106, 107] };
        for deed in deeds {
            act(&mut c, &mut streams, deed);
        }
    }

    /// The same life twice gives the same effects.
    #[test]
    fn the_same_life_twice_is_the_same(deeds in prop::collection::vec(deed(), 1..40)) {
        let live = |deeds: Vec<Deed>| {
            let mut c = Cluster::default();
            let mut streams = Streams { numbers: [100, 101, 102, 103, 104, 105, 106, 107] };
            let mut all = Vec::new();
            for deed in deeds {
                act(&mut c, &mut streams, deed);
                all.append(&mut c.effects);
            }
            all
        };
        prop_assert_eq!(live(deeds.clone()), live(deeds));
    }

    /// After any changes, the sorter walks in the order of a plain reckoning.
    #[test]
    fn the_order_is_that_of_dominant_shares(
        changes in prop::collection::vec((0_usize..6, 0_usize..3, 0_u64..50, 0_u64..50), 0..60),
        totals in (100_u64..1000, 100_u64..1000),
    ) {
        let mut sorter = Sorter::new(BTreeMap::new(), &BTreeMap::new(), &[]);
        let total = sorter.parts(&Resources::cpus_mem(totals.0, totals.1));
        sorter.add_total(&total);
        let flat = ["x", "y", "z"].map(role);
        for n in 0..6 {
            sorter.subscribe(&flat[n % 3], FrameworkOrd::from_index(n), n != 5);
        }
        let mut held: BTreeMap<usize, (u64, u64, u64)> = BTreeMap::new();
        for (n, _, cpus, mem) in changes {
            let entry = held.entry(n).or_default();
            *entry = (entry.0 + cpus, entry.1 + mem, entry.2 + 1);
            let ord = FrameworkOrd::from_index(n);
            let parts = sorter.parts(&Resources::cpus_mem(cpus, mem));
            let seat = sorter.seat_in(ord, &flat[n % 3]).unwrap();
            sorter.allocate(seat, &parts);
        }
        sorter.refresh();
        let share = |(cpus, mem, _): (u64, u64, u64)| {
            (cpus as f64 / totals.0 as f64).max(mem as f64 / totals.1 as f64)
        };
        let mine = |n: usize| held.get(&n).copied().unwrap_or_default();
        let ours = |r: usize| {
            (0..6).filter(|n| n % 3 == r).map(mine).fold((0, 0, 0), |sum, one| {
                (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2)
            })
        };
        let mut expected: Vec<(f64, u64, usize, f64, u64, usize)> = (0..5)
            .map(|n| {
                let (role, own) = (ours(n % 3), mine(n));
                (share(role), role.2, n % 3, share(own), own.2, n)
            })
            .collect();
        expected.sort_by(|a, b| a.partial_cmp(b).unwrap());
        let mut order = Vec::new();
        sorter.first(Walk::All, |seat| {
            order.push(sorter.seat(seat).framework.index());
            false
        });
        let expected: Vec<usize> = expected.into_iter().map(|(.., n)| n).collect();
        prop_assert_eq!(order, expected);
    }
}
