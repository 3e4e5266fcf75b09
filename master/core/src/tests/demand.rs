//! REQUEST: offers go where they are wanted.

use crate::testing::*;
use crate::{Input, Options, RequestId};
use proto::agent_link::AgentCall;
use proto::scheduler::{Call, CallBody, Demand};
use proto::{
    Filters, Flavor, Piece, Quantities, Ranges, ResourceName, Resources, TaskState, Value,
};
use std::sync::Arc;
use std::time::Duration;

fn request(demands: Vec<Demand>) -> CallBody {
    CallBody::Request { demands }
}

/// A framework that states its demand before there is an agent.
fn wanting(c: &mut Cluster, demands: Vec<Demand>) -> FrameworkSide {
    let framework = c.framework();
    expect(&c.call(&framework, request(demands)), &[]);
    framework
}

fn offers(lines: &[String]) -> Vec<&String> {
    lines.iter().filter(|line| line.contains("OFFERS")).collect()
}

#[test]
fn an_agent_on_which_nothing_fits_is_not_offered() {
    let mut c = Cluster::default();
    wanting(&mut c, vec![demand(1, cpus_mem(8, 64))]);
    c.agent(cpus_mem(4, 1024));
    assert!(offers(&c.lines()).is_empty(), "{:?}", c.lines());
    c.agent(cpus_mem(8, 1024));
    assert_eq!(offers(&c.lines()), ["c1 <- OFFERS [m-O0 m-S1 * cpus:8; mem:1024]"]);
}

#[test]
fn no_more_is_offered_than_is_wanted() {
    let mut c = Cluster::default();
    for _ in 0..10 {
        c.agent(cpus_mem(4, 1024));
    }
    let framework = c.framework();
    let declined: Vec<String> = (0..10).map(|n| format!("m-O{n}")).collect();
    let declined: Vec<&str> = declined.iter().map(String::as_str).collect();
    c.call(&framework, CallBody::Suppress { roles: vec![] });
    c.decline(&framework, &declined, Duration::ZERO);
    c.call(&framework, request(vec![demand(6, cpus_mem(2, 64))]));
    // Two bundles fit on an agent: three agents are enough for six.
    let lines = c.call(&framework, CallBody::Revive { roles: vec![] });
    assert_eq!(offers(&lines).len(), 1, "{lines:?}");
    assert_eq!(offers(&lines)[0].matches("m-O").count(), 3, "{lines:?}");
}

#[test]
fn the_agent_with_least_to_spare_is_offered() {
    let mut c = Cluster::default();
    let framework = c.framework();
    c.call(&framework, CallBody::Suppress { roles: vec![] });
    for cpus in [16, 3, 2, 8] {
        c.agent(cpus_mem(cpus, 1024));
    }
    c.call(&framework, request(vec![demand(1, cpus_mem(3, 64))]));
    let lines = c.call(&framework, CallBody::Revive { roles: vec![] });
    assert_eq!(offers(&lines), ["c1 <- OFFERS [m-O0 m-S1 * cpus:3; mem:1024]"]);
}

#[test]
fn the_agent_on_which_least_is_left_over_is_offered() {
    let mut c = Cluster::default();
    let framework = c.framework();
    c.call(&framework, CallBody::Suppress { roles: vec![] });
    // Fewer cpus, but much memory would lie idle beside them; then what fits; then too little.
    for (cpus, mem) in [(4, 4096), (5, 512), (16, 512), (4, 256)] {
        c.agent(cpus_mem(cpus, mem));
    }
    c.call(&framework, request(vec![demand(1, cpus_mem(4, 512))]));
    let lines = c.call(&framework, CallBody::Revive { roles: vec![] });
    assert_eq!(offers(&lines), ["c1 <- OFFERS [m-O0 m-S1 * cpus:5; mem:512]"]);
}

#[test]
fn several_bundles_go_where_they_leave_least_together() {
    let mut c = Cluster::default();
    let framework = c.framework();
    c.call(&framework, CallBody::Suppress { roles: vec![] });
    for cpus in [3, 8, 9] {
        c.agent(cpus_mem(cpus, 1024));
    }
    // Four of them fill the agent with 8 cpus; one would leave half of the agent with 3.
    c.call(&framework, request(vec![demand(4, cpus_mem(2, 256))]));
    let lines = c.call(&framework, CallBody::Revive { roles: vec![] });
    assert_eq!(offers(&lines), ["c1 <- OFFERS [m-O0 m-S1 * cpus:8; mem:1024]"]);
}

#[test]
fn of_agents_that_come_at_once_the_best_is_chosen() {
    let mut c = Cluster::default();
    let hog = c.framework();
    for cpus in [8, 4, 6] {
        c.agent(cpus_mem(cpus, 1024));
    }
    let framework = c.framework();
    c.call(&framework, request(vec![demand(1, cpus_mem(5, 1024))]));
    c.call(&hog, CallBody::Suppress { roles: vec![] });
    let lines = c.decline(&hog, &["m-O0", "m-O1", "m-O2"], Duration::ZERO);
    assert_eq!(offers(&lines), ["c5 <- OFFERS [m-O3 m-S2 * cpus:6; mem:1024]"]);
}

#[test]
fn the_greater_priority_comes_first_then_the_earlier_deadline() {
    let mut c = Cluster::default();
    let framework = c.framework();
    c.call(&framework, CallBody::Suppress { roles: vec![] });
    c.agent(cpus_mem(4, 1024));
    c.agent(cpus_mem(6, 1024));
    let now = c.now;
    let by = |cpus, priority, seconds: Option<u64>| Demand {
        priority,
        deadline: seconds.map(|seconds| now + Duration::from_secs(seconds)),
        ..demand(1, cpus_mem(cpus, 1024))
    };
    let book = |demands: Vec<Demand>, c: &mut Cluster| {
        c.call(&framework, request(demands));
        let ord = c.master.framework_ids[&framework.id];
        let demand = &c.master.frameworks[ord].demand;
        demand.lacking().map(|(demand, _)| demand.resources.cpus() / 1000).collect::<Vec<_>>()
    };
    let demands = vec![by(1, 0, None), by(2, 0, Some(9)), by(3, 0, Some(5)), by(4, 7, None)];
    assert_eq!(book(demands, &mut c), [4, 3, 2, 1]);
    // The one that comes first has its agent, the other what is left.
    let demands = vec![by(3, 0, None), by(4, 1, None)];
    assert_eq!(book(demands, &mut c), [4, 3]);
    let lines = c.call(&framework, CallBody::Revive { roles: vec![] });
    assert_eq!(
        offers(&lines),
        ["c1 <- OFFERS [m-O0 m-S0 * cpus:4; mem:1024] [m-O1 m-S1 * cpus:6; mem:1024]"]
    );
}

#[test]
fn a_demand_ends_with_its_deadline() {
    let mut c = Cluster::default();
    let deadline = Some(c.now + Duration::from_secs(2));
    let until = Demand { deadline, ..demand(2, cpus_mem(4, 64)) };
    let framework = wanting(&mut c, vec![until, demand(1, cpus_mem(8, 64))]);
    c.agent(cpus_mem(4, 1024));
    assert_eq!(offers(&c.lines()).len(), 1, "{:?}", c.lines());
    let ord = c.master.framework_ids[&framework.id];
    let counts = |c: &Cluster| {
        let all = c.master.frameworks[ord].demand.outstanding();
        all.iter().map(|demand| demand.count).collect::<Vec<_>>()
    };
    assert_eq!(counts(&c), [2, 1]);
    c.advance_alive(Duration::from_secs(2));
    assert_eq!(counts(&c), [1], "only the one without a deadline stands");
    c.agent(cpus_mem(4, 1024));
    assert!(offers(&c.lines()).is_empty(), "{:?}", c.lines());
    // What others still want is offered.
    c.agent(cpus_mem(8, 1024));
    assert_eq!(offers(&c.lines()).len(), 1, "{:?}", c.lines());
}

#[test]
fn a_deadline_that_has_passed_ends_its_demand_at_once() {
    let mut c = Cluster::default();
    c.advance(Duration::from_secs(1));
    let late = Demand { deadline: Some(c.now), ..demand(1, cpus_mem(1, 64)) };
    wanting(&mut c, vec![late]);
    c.agent(cpus_mem(4, 1024));
    assert!(offers(&c.lines()).is_empty(), "{:?}", c.lines());
}

#[test]
fn who_did_not_get_what_it_chose_chooses_again() {
    let mut c = Cluster::default();
    let (first, second) = (c.framework(), c.framework());
    for framework in [&first, &second] {
        c.call(framework, CallBody::Suppress { roles: vec![] });
        c.call(framework, request(vec![demand(1, cpus_mem(4, 1024))]));
    }
    for cpus in [4, 6] {
        c.agent(cpus_mem(cpus, 1024));
    }
    // Both want the agent with 4 cpus; one of them is left with the other agent.
    c.effects.clear();
    let mut lines = c.call(&first, CallBody::Revive { roles: vec![] });
    lines.extend(c.call(&second, CallBody::Revive { roles: vec![] }));
    let made = offers(&lines);
    assert!(made[0].contains("m-S0") && made[1].contains("m-S1"), "{made:?}");
    assert_eq!(made.len(), 2, "{made:?}");
}

#[test]
fn a_framework_without_a_demand_is_offered_everything() {
    let mut c = Cluster::default();
    let framework = wanting(&mut c, vec![demand(1, cpus_mem(8, 64))]);
    c.agent(cpus_mem(4, 1024));
    // An empty REQUEST takes the demand back.
    let lines = c.call(&framework, request(vec![]));
    assert_eq!(offers(&lines), ["c1 <- OFFERS [m-O0 m-S0 * cpus:4; mem:1024]"]);
}

#[test]
fn what_one_framework_cannot_use_goes_to_the_next() {
    let mut c = Cluster::default();
    wanting(&mut c, vec![demand(1, cpus_mem(8, 64))]);
    c.framework();
    c.agent(cpus_mem(4, 1024));
    assert_eq!(offers(&c.lines()), ["c3 <- OFFERS [m-O0 m-S0 * cpus:4; mem:1024]"]);
}

#[test]
fn launching_meets_the_demand() {
    let mut c = Cluster::default();
    let framework = wanting(&mut c, vec![demand(1, cpus_mem(1, 64))]);
    let agent = c.agent(cpus_mem(4, 1024));
    c.agent(cpus_mem(4, 1024));
    assert!(offers(&c.lines()).is_empty(), "one bundle is one offer: {:?}", c.lines());
    let lines = c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(1, 64))]);
    expect(&lines, &["c3 <- RUN m-0000 * t1"]);
    // Nothing is wanted any more, whatever is freed.
    let lines = c.update(&agent, &framework, "t1", TaskState::Finished, 1);
    assert!(offers(&lines).is_empty(), "{lines:?}");
    // Until more is wanted.
    let lines = c.call(&framework, request(vec![demand(2, cpus_mem(4, 1024))]));
    assert_eq!(offers(&lines)[0].matches("m-O").count(), 2, "{lines:?}");
}

#[test]
fn what_is_declined_is_looked_for_elsewhere_at_once() {
    let mut c = Cluster::default();
    let framework = wanting(&mut c, vec![demand(1, cpus_mem(1, 64))]);
    c.agent(cpus_mem(4, 1024));
    c.agent(cpus_mem(4, 1024));
    let lines = c.decline(&framework, &["m-O0"], Duration::from_secs(5));
    assert_eq!(offers(&lines), ["c1 <- OFFERS [m-O1 m-S1 * cpus:4; mem:1024]"]);
}

#[test]
fn an_offer_that_times_out_is_wanted_again() {
    let offer_timeout = Some(Duration::from_secs(2));
    let mut c = Cluster::new(Options { offer_timeout, ..Options::default() });
    wanting(&mut c, vec![demand(1, cpus_mem(1, 64))]);
    c.agent(cpus_mem(4, 1024));
    let lines = c.advance_alive(Duration::from_secs(2));
    assert_eq!(offers(&lines), ["c1 <- OFFERS [m-O1 m-S0 * cpus:4; mem:1024]"]);
}

#[test]
fn a_demand_may_name_its_role_and_its_agent() {
    let mut c = Cluster::default();
    let framework = c.framework_from(framework_info("f", &["a", "b"], &[]));
    let mut wanted = demand(1, cpus_mem(1, 64));
    wanted.role = Some(role("b"));
    wanted.agent_id = Some(agent_id("m-S1"));
    c.call(&framework, request(vec![wanted]));
    c.agent(cpus_mem(4, 1024));
    assert!(offers(&c.lines()).is_empty());
    c.agent(cpus_mem(4, 1024));
    assert_eq!(offers(&c.lines()), ["c1 <- OFFERS [m-O0 m-S1 b cpus:4; mem:1024]"]);
}

#[test]
fn offers_that_stand_count_towards_a_new_demand() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    expect(&c.call(&framework, request(vec![demand(4, cpus_mem(1, 64))])), &[]);
    c.agent(cpus_mem(4, 1024));
    assert!(offers(&c.lines()).is_empty(), "{:?}", c.lines());
    let lines = c.call(&framework, request(vec![demand(5, cpus_mem(1, 64))]));
    assert_eq!(offers(&lines), ["c2 <- OFFERS [m-O1 m-S1 * cpus:4; mem:1024]"]);
}

#[test]
fn wrong_demands_are_refused() {
    let mut c = Cluster::default();
    let framework = c.framework();
    expect(
        &c.call(&framework, request(vec![demand(0, cpus_mem(1, 64))])),
        &["REQUEST refused (400): requests[0] asks for nothing: it needs resources and a count"],
    );
    let nothing = demand(1, Resources::new());
    expect(
        &c.call(&framework, request(vec![demand(1, cpus_mem(1, 64)), nothing])),
        &["REQUEST refused (400): requests[1] asks for nothing: it needs resources and a count"],
    );
    let mut other = demand(1, cpus_mem(1, 64));
    other.role = Some(role("x"));
    expect(
        &c.call(&framework, request(vec![other])),
        &["REQUEST refused (400): role 'x' is not one of the framework's roles (*)"],
    );
    let many = vec![demand(1, cpus_mem(1, 64)); 1001];
    expect(
        &c.call(&framework, request(many)),
        &["REQUEST refused (400): 1001 requests in one call; at most 1000 are kept"],
    );
}

#[test]
fn a_tiny_bundle_in_huge_numbers_costs_nothing() {
    let mut c = Cluster::default();
    wanting(&mut c, vec![demand(u32::MAX, Resources::cpus_mem(1, 1))]);
    c.agent(cpus_mem(1_000_000, 1_000_000));
    assert_eq!(offers(&c.lines()).len(), 1);
}

#[test]
fn two_frameworks_with_demands_share_the_agents() {
    let mut c = Cluster::default();
    let first = c.framework();
    let second = c.framework();
    for framework in [&first, &second] {
        c.call(framework, CallBody::Suppress { roles: vec![] });
        c.call(framework, request(vec![demand(2, cpus_mem(4, 64))]));
    }
    for _ in 0..4 {
        c.agent(cpus_mem(4, 1024));
    }
    let mut lines = c.call(&first, CallBody::Revive { roles: vec![] });
    lines.extend(c.call(&second, CallBody::Revive { roles: vec![] }));
    let offers = offers(&lines);
    assert_eq!(offers.len(), 2, "{offers:?}");
    assert!(offers.iter().all(|line| line.matches("m-O").count() == 2), "{offers:?}");
}

#[test]
fn a_demand_ends_with_the_stream() {
    let mut c = Cluster::default();
    let mut framework = wanting(&mut c, vec![demand(1, cpus_mem(8, 64))]);
    c.agent(cpus_mem(4, 1024));
    let lines = c.resubscribe(&mut framework);
    assert_eq!(offers(&lines).len(), 1, "{lines:?}");
}

#[test]
fn operators_see_what_is_still_wanted() {
    let mut c = Cluster::default();
    let framework = wanting(&mut c, vec![demand(3, cpus_mem(1, 64)), demand(1, cpus_mem(9, 9))]);
    c.agent(cpus_mem(4, 1024));
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(1, 64))]);
    let ord = c.master.framework_ids[&framework.id];
    let counts = c.master.frameworks[ord].demand.outstanding();
    assert_eq!(counts.iter().map(|demand| demand.count).collect::<Vec<_>>(), [2, 1]);
}

/// How many of the names `<prefix>0`, `<prefix>1`, ... have a number in the allocator.
fn known(c: &Cluster, prefix: &str) -> usize {
    let name = |n: &usize| ResourceName::new(format!("{prefix}{n}"));
    let sorter = &c.master.allocator.sorter;
    (0..1000).filter(|n| sorter.kind(&name(n)).is_some()).count()
}

/// One cpu, and one of something else.
fn cpu_and(name: &str) -> Resources {
    Resources::scalars([("cpus", 1000), (name, 1000)])
}

#[test]
fn what_frameworks_ask_for_teaches_the_allocator_no_names() {
    let mut c = Cluster::default();
    let mut info = framework_info("f", &["a"], &[]);
    let mut least = Quantities::default();
    (0..1000).for_each(|n| least.add(&ResourceName::new(format!("least{n}")), 1000));
    info.min_allocatable.insert(role("a"), vec![least]);
    c.framework_from(info);
    let framework = c.framework();
    c.agent(cpus_mem(4, 1024));
    for call in 0..10 {
        let one = |n: usize| demand(1, cpu_and(&format!("wanted{}", call * 100 + n)));
        expect(&c.call(&framework, request((0..100).map(one).collect())), &[]);
    }
    assert_eq!((known(&c, "wanted"), known(&c, "least")), (0, 0));
}

#[test]
fn a_demand_for_what_nobody_had_is_met_once_an_agent_brings_it() {
    let mut c = Cluster::default();
    wanting(&mut c, vec![demand(1, cpu_and("wanted7"))]);
    c.agent(Resources::scalars([("cpus", 4000), ("mem", 1_024_000)]));
    assert!(offers(&c.lines()).is_empty(), "{:?}", c.lines());
    assert_eq!(known(&c, "wanted"), 0);
    c.agent(Resources::scalars([("cpus", 4000), ("wanted7", 2000)]));
    assert_eq!(offers(&c.lines()), ["c1 <- OFFERS [m-O0 m-S1 * cpus:4; wanted7:2]"]);
    assert_eq!(known(&c, "wanted"), 1);
}

#[test]
fn an_agent_brings_a_bounded_number_of_names() {
    let mut c = Cluster::default();
    let of = |names: usize| {
        let all: Vec<String> = (1..names).map(|n| format!("wanted{n}")).collect();
        let all = all.iter().map(|name| (name.as_str(), 1000));
        Resources::scalars(all.chain([("cpus", 1000)]))
    };
    let connection = c.connection();
    let lines = c.feed(Input::AgentCall {
        connection,
        call: AgentCall::Register {
            info: agent_info("h", of(65)),
            version: Arc::from("1"),
            nonce: 1,
        },
    });
    assert!(lines[0].contains("resources of 65 names; an agent may have 64"), "{lines:?}");
    assert_eq!((c.master.agents.iter().count(), known(&c, "wanted")), (0, 0));
    c.agent(of(64));
    assert_eq!((c.master.agents.iter().count(), known(&c, "wanted")), (1, 63));
}

/// A bundle whose scalars fit on agents that have none of its ports.
fn hopeless() -> Resources {
    let value = Value::Ranges(Ranges::new([(1, 2)]));
    let ports = Piece { name: ResourceName::new("ports"), flavor: Flavor::default(), value };
    cpus_mem(1, 64).plus(&[ports].into_iter().collect())
}

/// A suppressed framework, and agents that are all free.
fn suppressed(c: &mut Cluster, agents: usize) -> FrameworkSide {
    let framework = c.framework();
    c.call(&framework, CallBody::Suppress { roles: vec![] });
    (0..agents).for_each(|_| drop(c.agent(cpus_mem(4, 1024))));
    framework
}

/// Looks and passes for 100 demands that none of 50 agents serves, and then one that all serve.
fn mostly_hopeless(c: &mut Cluster, agent: Option<&str>) -> (u64, u64) {
    let framework = suppressed(c, 50);
    let agent_id = agent.map(agent_id);
    let mut demands = vec![Demand { agent_id, ..demand(1, hopeless()) }; 100];
    demands.push(demand(1, cpus_mem(2, 64)));
    c.call(&framework, request(demands));
    let counters =
        |c: &Cluster| (c.master.counters.demand_looks, c.master.counters.allocation_passes);
    let before = counters(c);
    let lines = c.call(&framework, CallBody::Revive { roles: vec![] });
    assert_eq!(offers(&lines), ["c1 <- OFFERS [m-O0 m-S0 * cpus:4; mem:1024]"]);
    let allocator = &c.master.allocator;
    let waits = allocator.has_calls() || !allocator.woken().is_empty() || allocator.due.is_some();
    assert!(!waits, "all was looked for");
    let after = counters(c);
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn a_demand_for_one_agent_looks_at_that_agent_alone() {
    let (looks, _) = mostly_hopeless(&mut Cluster::default(), Some("m-S7"));
    // When it is woken and when the round ends.
    assert!((200..300).contains(&looks), "{looks} looks");
}

#[test]
fn the_looks_of_a_pass_are_bounded_and_no_demand_is_forgotten() {
    let mut c = Cluster::new(Options { demand_looks: 200, ..Options::default() });
    let (looks, passes) = mostly_hopeless(&mut c, None);
    assert!(looks >= 2 * 100 * 49, "{looks} looks");
    // For each of three things at most 200, and those for the last demand of each.
    assert!(looks <= passes * 3 * 250, "{looks} looks in {passes} passes");
    assert!((40..80).contains(&passes), "{passes} passes");
}

#[test]
fn who_asks_for_much_keeps_others_waiting_for_two_passes() {
    let mut c = Cluster::new(Options { demand_looks: 200, ..Options::default() });
    let greedy = suppressed(&mut c, 0);
    let modest = suppressed(&mut c, 50);
    c.call(&greedy, request(vec![demand(1, hopeless()); 1000]));
    c.call(&modest, request(vec![demand(1, cpus_mem(2, 64))]));
    c.effects.clear();
    for framework in [&greedy, &modest] {
        let body = CallBody::Revive { roles: vec![] };
        let call = Call { framework_id: Some(framework.id.clone()), body };
        let (connection, request) = (Some(framework.connection), RequestId(1));
        c.step(Input::Call { request, connection, call });
    }
    // The first looks are the other's, where agents are called for and where they are chosen: two
    // passes of the 500 that its demands take.
    for _ in 0..3 {
        c.step(Input::Tick);
    }
    assert_eq!(offers(&c.lines()), ["c3 <- OFFERS [m-O0 m-S0 * cpus:4; mem:1024]"]);
}

#[test]
fn who_spends_exactly_the_looks_of_a_pass_comes_last_in_the_next() {
    let options = Options { demand_looks: 200, allocation_slice: 50, ..Options::default() };
    let mut c = Cluster::new(options);
    let hog = c.framework();
    (0..150).for_each(|_| drop(c.agent(cpus_mem(4, 1024))));
    // Four demands that none of 50 agents serves take 200 looks.
    let greedy = c.framework();
    c.call(&greedy, request(vec![demand(1, hopeless()); 4]));
    let modest = c.framework();
    c.call(&modest, request(vec![demand(1, cpus_mem(2, 64))]));
    c.call(&hog, CallBody::Suppress { roles: vec![] });
    c.effects.clear();
    let offer_ids = (0..150).map(|n| offer_id(&format!("m-O{n}"))).collect();
    let body = CallBody::Decline { offer_ids, filters: Filters { refuse: Duration::ZERO } };
    let call = Call { framework_id: Some(hog.id.clone()), body };
    let (connection, request) = (Some(hog.connection), RequestId(1));
    c.step(Input::Call { request, connection, call });
    let before = c.master.counters.allocation_passes;
    for _ in 0..2 {
        c.step(Input::Tick);
    }
    assert_eq!(c.master.counters.allocation_passes - before, 2, "of three with 50 agents each");
    let lines = c.lines();
    assert_eq!(offers(&lines).len(), 1, "the other one had its turn: {lines:?}");
}
