//! Offers: made, declined, rescinded, timed out.

use crate::Options;
use crate::testing::*;
use proto::scheduler::CallBody;
use std::time::Duration;

fn options(offer_timeout: u64) -> Options {
    Options { offer_timeout: Some(Duration::from_secs(offer_timeout)), ..Options::default() }
}

#[test]
fn offers_of_one_pass_come_in_one_event() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    c.agent(cpus_mem(2, 512));
    c.framework();
    expect(
        &c.lines(),
        &[
            "c3 <- SUBSCRIBED m-0000",
            "c3 <- HEARTBEAT",
            "c3 <- OFFERS [m-O0 m-S1 * cpus:2; mem:512] [m-O1 m-S0 * cpus:4; mem:1024]",
        ],
    );
}

#[test]
fn an_offer_that_is_not_answered_is_rescinded_and_made_anew() {
    let mut c = Cluster::new(options(60));
    c.agent(cpus_mem(4, 1024));
    c.framework();
    expect(&c.advance_alive(Duration::from_secs(59)), &[]);
    expect(
        &c.advance_alive(Duration::from_secs(2)),
        &["c2 <- RESCIND m-O0", "c2 <- OFFERS [m-O1 m-S0 * cpus:4; mem:1024]"],
    );
}

#[test]
fn without_a_timeout_an_offer_stands_for_ever() {
    let mut c = Cluster::new(Options { offer_timeout: None, ..Options::default() });
    c.agent(cpus_mem(4, 1024));
    c.framework();
    expect(&c.advance_alive(Duration::from_secs(300)), &[]);
}

#[test]
fn an_accepted_offer_is_not_rescinded() {
    let mut c = Cluster::new(options(10));
    c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(4, 1024))]);
    expect(&c.advance_alive(Duration::from_secs(30)), &[]);
}

#[test]
fn a_declined_offer_is_not_rescinded() {
    let mut c = Cluster::new(options(10));
    c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    expect(&c.decline(&framework, &["m-O0"], Duration::from_secs(1000)), &[]);
    expect(&c.advance_alive(Duration::from_secs(30)), &[]);
}

#[test]
fn what_is_declined_without_a_filter_is_offered_again_at_once() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    let lines = c.decline(&framework, &["m-O0"], Duration::ZERO);
    assert_eq!(lines.last().unwrap(), "c2 <- OFFERS [m-O1 m-S0 * cpus:4; mem:1024]");
}

#[test]
fn a_filter_holds_for_its_time_and_then_the_offer_comes_at_once() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    expect(&c.decline(&framework, &["m-O0"], Duration::from_secs(1)), &[]);
    expect(&c.advance(Duration::from_millis(999)), &[]);
    let lines = c.advance(Duration::from_millis(1));
    expect(&lines, &["c2 <- OFFERS [m-O1 m-S0 * cpus:4; mem:1024]"]);
}

#[test]
fn a_filter_is_of_one_framework_only() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    c.framework();
    let lines = c.decline(&framework, &["m-O0"], Duration::from_secs(5));
    expect(&lines, &["c3 <- OFFERS [m-O1 m-S0 * cpus:4; mem:1024]"]);
}

#[test]
fn a_filter_is_of_one_role_only() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let framework = c.framework_from(framework_info("f", &["a", "b"], &[]));
    let lines = c.decline(&framework, &["m-O0"], Duration::from_secs(5));
    expect(&lines, &["c2 <- OFFERS [m-O1 m-S0 b cpus:4; mem:1024]"]);
}

#[test]
fn more_than_what_was_refused_is_offered_in_spite_of_the_filter() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    // Half is used; the other half is refused for long.
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(2, 512))]);
    expect(&c.advance_alive(Duration::from_millis(4900)), &[]);
    let lines = c.update(&agent, &framework, "t1", proto::TaskState::Finished, 1);
    assert_eq!(lines.last().unwrap(), "c2 <- OFFERS [m-O1 m-S0 * cpus:4; mem:1024]");
}

#[test]
fn revive_ends_filters_at_once() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    c.decline(&framework, &["m-O0"], Duration::from_secs(1_000_000));
    let lines = c.call(&framework, CallBody::Revive { roles: vec![] });
    expect(&lines, &["c2 <- OFFERS [m-O1 m-S0 * cpus:4; mem:1024]"]);
}

#[test]
fn revive_of_one_role_leaves_the_filters_of_others() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let framework = c.framework_from(framework_info("f", &["a", "b"], &[]));
    c.decline(&framework, &["m-O0"], Duration::from_secs(1000));
    expect(&c.decline(&framework, &["m-O1"], Duration::from_secs(1000)), &[]);
    let lines = c.call(&framework, CallBody::Revive { roles: vec![role("b")] });
    expect(&lines, &["c2 <- OFFERS [m-O2 m-S0 b cpus:4; mem:1024]"]);
}

#[test]
fn a_suppressed_framework_gets_nothing_until_it_revives() {
    let mut c = Cluster::default();
    let framework = c.framework();
    expect(&c.call(&framework, CallBody::Suppress { roles: vec![] }), &[]);
    c.agent(cpus_mem(4, 1024));
    expect(&c.lines(), &["registry: admit m-S0 cpus:4; mem:1024", "c3 <- REGISTERED m-S0"]);
    let lines = c.call(&framework, CallBody::Revive { roles: vec![] });
    expect(&lines, &["c1 <- OFFERS [m-O0 m-S0 * cpus:4; mem:1024]"]);
}

#[test]
fn suppressing_takes_no_offer_back() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    expect(&c.call(&framework, CallBody::Suppress { roles: vec![] }), &[]);
    let task = task_info("t1", "m-S0", cpus_mem(1, 64));
    expect(&c.launch(&framework, &["m-O0"], vec![task]), &["c1 <- RUN m-0000 * t1"]);
}

#[test]
fn a_wrong_role_refuses_the_whole_call() {
    let mut c = Cluster::default();
    let framework = c.framework();
    let roles = vec![role("*"), role("x")];
    expect(
        &c.call(&framework, CallBody::Suppress { roles: roles.clone() }),
        &["SUPPRESS refused (400): role 'x' is not one of the framework's roles (*)"],
    );
    expect(
        &c.call(&framework, CallBody::Revive { roles }),
        &["REVIVE refused (400): role 'x' is not one of the framework's roles (*)"],
    );
    c.agent(cpus_mem(4, 1024));
    assert!(c.lines().last().unwrap().contains("OFFERS"));
}

#[test]
fn declining_what_is_not_ones_own_does_nothing() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    c.framework();
    let other = c.framework();
    let ids = ["m-O0", "m-O7", "m-O00", "elsewhere-O0", "m-O", "m-O99999999999999999999999"];
    expect(&c.decline(&other, &ids, Duration::ZERO), &[]);
}

#[test]
fn too_little_is_not_worth_an_offer() {
    let mut c = Cluster::default();
    c.agent(proto::Resources::cpus_mem(9, 31_999));
    c.framework();
    expect(&c.lines(), &["c2 <- SUBSCRIBED m-0000", "c2 <- HEARTBEAT"]);
    c.agent(proto::Resources::cpus_mem(10, 1));
    assert!(c.lines().last().unwrap().contains("OFFERS [m-O0 m-S1 * cpus:0.01; mem:0.001]"));
}

#[test]
fn an_agent_that_leaves_takes_its_offers_along() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    c.framework();
    expect(&c.close_agent(&agent), &["c2 <- RESCIND m-O0"]);
}

#[test]
fn a_framework_that_leaves_gives_its_offers_to_others() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    c.framework();
    expect(
        &c.close_framework(&framework),
        &["registry: hold m-0000 until 1100", "c3 <- OFFERS [m-O1 m-S0 * cpus:4; mem:1024]"],
    );
}

#[test]
fn filters_end_with_the_stream() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let mut framework = c.framework();
    c.decline(&framework, &["m-O0"], Duration::from_secs(1000));
    c.close_framework(&framework);
    let lines = c.resubscribe(&mut framework);
    assert!(lines.last().unwrap().contains("OFFERS"), "{lines:?}");
}

#[test]
fn filters_do_not_pile_up() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    c.decline(&framework, &["m-O0"], Duration::from_secs(1));
    for round in 1..100_u64 {
        let lines = c.call(&framework, CallBody::Revive { roles: vec![] });
        assert!(lines.last().unwrap().contains(&format!("m-O{round} ")));
        c.decline(&framework, &[&format!("m-O{round}")], Duration::from_secs(1 + round));
    }
    let agent = c.master.agents.iter().next().unwrap().1;
    assert_eq!(agent.filters.iter().count(), 1);
}
