//! The allocator: fairness, slices, and what is looked at.

use crate::testing::*;
use crate::{Input, Options, RequestId};
use proto::scheduler::CallBody;
use proto::{Capability, Resources, TaskState};
use std::time::Duration;

/// A framework that holds `cpus` of an agent of its own, made before anybody else may want it.
fn holding(c: &mut Cluster, name: &str, role: &str, cpus: u64) -> FrameworkSide {
    let framework = c.framework_from(framework_info(name, &[role], &[]));
    let agent = c.agent(cpus_mem(cpus, 64));
    let offer = offer_to(&c.lines(), &framework);
    c.launch(&framework, &[&offer], vec![task_info("t", agent.id.as_str(), cpus_mem(cpus, 64))]);
    c.call(&framework, CallBody::Suppress { roles: vec![] });
    framework
}

/// The id of the first offer to a framework in these lines.
fn offer_to(lines: &[String], framework: &FrameworkSide) -> String {
    let start = format!("{} <- OFFERS [", framework.connection);
    let line = lines.iter().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("{lines:?}")).split(' ').next().unwrap().to_owned()
}

fn revive_all(c: &mut Cluster, frameworks: &[&FrameworkSide]) {
    for framework in frameworks {
        c.call(framework, CallBody::Revive { roles: vec![] });
    }
}

#[test]
fn the_role_with_the_smallest_share_is_served_first() {
    let mut c = Cluster::default();
    let a = holding(&mut c, "a", "ra", 4);
    let b = holding(&mut c, "b", "rb", 2);
    revive_all(&mut c, &[&a, &b]);
    c.agent(cpus_mem(4, 64));
    offer_to(&c.lines(), &b);
}

#[test]
fn the_share_is_of_the_dominant_resource() {
    let mut c = Cluster::default();
    let a = c.framework_from(framework_info("a", &["ra"], &[]));
    c.agent(cpus_mem(8, 100));
    let offer = offer_to(&c.lines(), &a);
    // a holds an eighth of the cpus, but most of the memory.
    c.launch(&a, &[&offer], vec![task_info("t", "m-S0", cpus_mem(1, 90))]);
    let b = c.framework_from(framework_info("b", &["rb"], &[]));
    let offer = offer_to(&c.lines(), &b);
    c.launch(&b, &[&offer], vec![task_info("t", "m-S0", cpus_mem(5, 5))]);
    c.agent(cpus_mem(1, 10));
    offer_to(&c.lines(), &b);
}

#[test]
fn weights_divide_shares() {
    let mut c = Cluster::default();
    let (request, weight_milli) = (RequestId(0), 3000);
    c.feed(Input::SetWeight { request, role: role("ra"), weight_milli });
    let a = holding(&mut c, "a", "ra", 4);
    let b = holding(&mut c, "b", "rb", 2);
    revive_all(&mut c, &[&a, &b]);
    c.agent(cpus_mem(4, 64));
    offer_to(&c.lines(), &a);
}

#[test]
fn a_weight_of_zero_is_refused() {
    let mut c = Cluster::default();
    let request = RequestId(0);
    let lines = c.feed(Input::SetWeight { request, role: role("ra"), weight_milli: 0 });
    expect(
        &lines,
        &["UPDATE_WEIGHTS refused (400): the weight of role 'ra' must be more than zero"],
    );
}

#[test]
fn frameworks_of_one_role_share_it() {
    let mut c = Cluster::default();
    let a = holding(&mut c, "a", "r", 4);
    let b = holding(&mut c, "b", "r", 2);
    revive_all(&mut c, &[&a, &b]);
    c.agent(cpus_mem(4, 64));
    offer_to(&c.lines(), &b);
}

#[test]
fn roles_below_one_role_share_it() {
    let mut c = Cluster::default();
    // eng/x holds little, but eng as a whole holds more than ops.
    let x = holding(&mut c, "x", "eng/x", 1);
    let y = holding(&mut c, "y", "eng/y", 8);
    let ops = holding(&mut c, "o", "ops", 4);
    revive_all(&mut c, &[&x, &y, &ops]);
    c.agent(cpus_mem(4, 64));
    offer_to(&c.lines(), &ops);
    c.agent(cpus_mem(4, 64));
    // Now ops has 8 of 21 cpus, eng has 9: ops again would be fairer by a hair.
    offer_to(&c.lines(), &ops);
    c.agent(cpus_mem(4, 64));
    // Below eng, x comes first.
    offer_to(&c.lines(), &x);
}

#[test]
fn a_role_with_frameworks_and_roles_below_it() {
    let mut c = Cluster::default();
    let eng = holding(&mut c, "e", "eng", 4);
    let below = holding(&mut c, "b", "eng/x", 2);
    revive_all(&mut c, &[&eng, &below]);
    c.agent(cpus_mem(4, 64));
    offer_to(&c.lines(), &below);
    c.agent(cpus_mem(4, 64));
    offer_to(&c.lines(), &eng);
}

#[test]
fn equal_shares_take_turns() {
    let mut c = Cluster::default();
    let a = c.framework();
    let b = c.framework();
    let agent = c.agent(cpus_mem(4, 64));
    let mut served = Vec::new();
    for round in 0..6_u8 {
        let (lines, offer) = (c.lines(), format!("m-O{round}"));
        let taker = if lines.iter().any(|line| line.starts_with("c1 <- OFFERS")) { &a } else { &b };
        served.push(taker.id.as_str().to_owned());
        let id = format!("t{round}");
        c.launch(taker, &[&offer], vec![task_info(&id, "m-S0", cpus_mem(4, 64))]);
        c.update(&agent, taker, &id, TaskState::Finished, round);
    }
    assert_eq!(served, ["m-0000", "m-0001", "m-0000", "m-0001", "m-0000", "m-0001"]);
}

#[test]
fn agents_with_gpus_are_for_those_who_use_them() {
    let mut c = Cluster::default();
    c.framework();
    let gpu = Resources::scalars([("cpus", 4000), ("mem", 64_000), ("gpus", 1000)]);
    c.agent(gpu);
    assert!(!c.lines().iter().any(|line| line.contains("OFFERS")), "{:?}", c.lines());
    c.framework_from(framework_info("g", &["*"], &[Capability::GpuResources]));
    assert!(c.lines().last().unwrap().contains("OFFERS [m-O0 m-S0 * cpus:4; gpus:1; mem:64]"));
}

#[test]
fn a_pass_is_bounded_and_the_next_follows_at_once() {
    let mut c = Cluster::new(Options { allocation_slice: 2, ..Options::default() });
    for _ in 0..5 {
        c.agent(cpus_mem(1, 64));
    }
    let passes = c.master.counters().allocation_passes;
    c.framework();
    let events = c.lines().iter().filter(|line| line.contains("OFFERS")).count();
    assert_eq!(events, 3, "{:?}", c.lines());
    assert_eq!(c.master.counters().allocation_passes - passes, 3);
}

#[test]
fn inputs_gather_while_a_pass_is_delayed() {
    let delay = Duration::from_millis(50);
    let mut c = Cluster::new(Options { allocation_delay: delay, ..Options::default() });
    c.framework();
    c.agent(cpus_mem(1, 64));
    c.agent(cpus_mem(1, 64));
    let lines = c.advance(delay);
    expect(&lines, &["c1 <- OFFERS [m-O0 m-S0 * cpus:1; mem:64] [m-O1 m-S1 * cpus:1; mem:64]"]);
}

#[test]
fn one_freed_agent_does_not_cost_a_look_at_all_others() {
    let mut c = Cluster::default();
    for _ in 0..100 {
        c.agent(cpus_mem(1, 64));
    }
    let framework = c.framework();
    let before = c.master.counters().agents_considered;
    c.decline(&framework, &["m-O7"], Duration::from_secs(1));
    c.advance_alive(Duration::from_secs(2));
    assert!(c.master.counters().agents_considered - before <= 3);
}

#[test]
fn agents_that_nobody_wants_are_not_looked_at_again() {
    let mut c = Cluster::default();
    for _ in 0..10 {
        c.agent(cpus_mem(1, 64));
    }
    let framework = c.framework();
    for offer in 0..10 {
        c.decline(&framework, &[&format!("m-O{offer}")], Duration::from_secs(1000));
    }
    let before = c.master.counters().agents_considered;
    c.advance_alive(Duration::from_secs(50));
    assert_eq!(c.master.counters().agents_considered, before);
}

#[test]
fn what_ends_is_offered_in_the_same_moment() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(4, 1024))]);
    let before = c.now;
    let lines = c.update(&agent, &framework, "t1", TaskState::Failed, 1);
    assert!(lines.last().unwrap().contains("OFFERS"), "{lines:?}");
    assert_eq!(c.now, before);
}

#[test]
fn offers_count_towards_the_share() {
    let mut c = Cluster::default();
    let a = c.framework_from(framework_info("a", &["ra"], &[]));
    let b = c.framework_from(framework_info("b", &["rb"], &[]));
    c.agent(cpus_mem(4, 64));
    offer_to(&c.lines(), &a);
    c.agent(cpus_mem(4, 64));
    offer_to(&c.lines(), &b);
}

#[test]
fn resources_that_are_never_offered_do_not_disturb() {
    let mut c = Cluster::default();
    c.agent(Resources::new());
    c.framework();
    expect(&c.lines(), &["c2 <- SUBSCRIBED m-0000", "c2 <- HEARTBEAT"]);
}

#[test]
fn launching_is_no_further_allocation() {
    let mut c = Cluster::default();
    let a = c.framework();
    let b = c.framework();
    let agent = c.agent(cpus_mem(4, 64));
    let offer = offer_to(&c.lines(), &a);
    let tasks = ["t1", "t2", "t3"].map(|id| task_info(id, "m-S0", cpus_mem(1, 16))).to_vec();
    c.launch(&a, &[&offer], tasks);
    // The rest went to b: each was allocated something once. What a's tasks free goes to a, whose
    // share is as small as b's once b gave back.
    c.decline(&b, &["m-O1"], Duration::from_secs(1000));
    for (byte, id) in ["t1", "t2", "t3"].iter().enumerate() {
        c.call(&a, CallBody::Suppress { roles: vec![] });
        c.call(&b, CallBody::Suppress { roles: vec![] });
        c.update(&agent, &a, id, TaskState::Finished, u8::try_from(byte).unwrap());
    }
    let sorter = &c.master.allocator.sorter;
    let shares: Vec<f64> = sorter.roles().map(|(_, share, _)| share).collect();
    assert_eq!(shares, [0.0]);
    c.call(&b, CallBody::Revive { roles: vec![] });
    let lines = c.lines();
    offer_to(&lines, &b);
    c.decline(&b, &["m-O2"], Duration::ZERO);
    c.call(&a, CallBody::Revive { roles: vec![] });
    // b was served twice, a once.
    let next = c.decline(&b, &["m-O3"], Duration::ZERO);
    offer_to(&next, &a);
}
