//! Why a framework gets no offers.

use crate::Why;
use crate::testing::*;
use proto::scheduler::CallBody;
use proto::{Capability, Resources};
use std::time::Duration;

fn why(c: &Cluster, framework: &FrameworkSide) -> Vec<Why> {
    c.master.explain(c.master.framework_ids[&framework.id])
}

#[test]
fn there_are_no_agents() {
    let mut c = Cluster::default();
    let framework = c.framework();
    assert_eq!(why(&c, &framework), [Why::NoAgents]);
    let agent = c.agent(cpus_mem(1, 64));
    c.close_agent(&agent);
    assert_eq!(why(&c, &framework), [Why::NoAgentConnected { agents: 1 }]);
}

#[test]
fn its_scheduler_is_away() {
    let mut c = Cluster::default();
    let framework = c.framework();
    c.close_framework(&framework);
    let removed_at = Some(c.now + Duration::from_secs(100));
    assert_eq!(why(&c, &framework), [Why::NotConnected { removed_at }]);
}

#[test]
fn it_suppressed_its_roles() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(1, 64));
    let framework = c.framework();
    c.call(&framework, CallBody::Suppress { roles: vec![] });
    assert_eq!(why(&c, &framework), [Why::Suppressed(vec![role("*")])]);
}

#[test]
fn it_refused_what_there_is() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(1, 64));
    c.agent(cpus_mem(2, 64));
    let framework = c.framework();
    c.decline(&framework, &["m-O0", "m-O1"], Duration::from_secs(60));
    let first_until = c.now + Duration::from_secs(60);
    assert_eq!(why(&c, &framework), [Why::Filtered { agents: 2, first_until }]);
}

#[test]
fn its_bundle_is_too_big_or_does_not_fit_now() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let other = c.framework();
    c.launch(&other, &["m-O0"], vec![task_info("t", "m-S0", cpus_mem(3, 64))]);
    c.call(&other, CallBody::Suppress { roles: vec![] });
    let framework = c.framework();
    let (big, middling) = (cpus_mem(8, 64), cpus_mem(2, 64));
    c.decline(&framework, &["m-O1"], Duration::ZERO);
    let demands = vec![demand(1, big.clone()), demand(5, middling.clone())];
    c.call(&framework, CallBody::Request { demands });
    c.decline(&framework, &["m-O2"], Duration::ZERO);
    assert_eq!(
        why(&c, &framework),
        [
            Why::BundleTooBig { wanted: big, biggest: cpus_mem(4, 1024) },
            Why::BundleDoesNotFit { wanted: middling, lacking: 5, best_free: cpus_mem(1, 960) },
        ]
    );
}

#[test]
fn no_agent_has_that_kind() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024).plus(&disk(100)));
    let framework = c.framework();
    c.decline(&framework, &["m-O0"], Duration::ZERO);
    let wanted = cpus_mem(1, 64).plus(&reserved(&disk(10), &["free"]));
    c.call(&framework, CallBody::Request { demands: vec![demand(1, wanted)] });
    assert_eq!(
        why(&c, &framework)[0].to_string(),
        "No agent has disk(reservations: [(DYNAMIC,free)]), which a bundle of the framework's \
         demand (cpus=1,disk(reservations: [(DYNAMIC,free)])=10,mem=64) needs."
    );
}

#[test]
fn what_it_wants_is_in_its_hands() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    c.call(&framework, CallBody::Request { demands: vec![demand(1, cpus_mem(1, 1))] });
    let (offers, resources) = (1, cpus_mem(4, 1024));
    let reasons = why(&c, &framework);
    assert_eq!(reasons[..2], [Why::DemandMet, Why::HoldsOffers { offers, resources }]);
}

#[test]
fn others_hold_the_offers() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let other = c.framework();
    let framework = c.framework();
    let reasons = why(&c, &framework);
    assert_eq!(reasons[0], Why::OfferedElsewhere { agents: 1, holders: vec![(other.id, 1)] });
    assert!(matches!(reasons[1], Why::NothingFree { agents: 1, .. }), "{reasons:?}");
}

#[test]
fn all_is_in_use() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    c.launch(&framework, &["m-O0"], vec![task_info("t", "m-S0", cpus_mem(4, 1024))]);
    let (best, best_free) = (agent_id("m-S0"), Resources::new());
    assert_eq!(why(&c, &framework), [Why::NothingFree { agents: 1, best, best_free }]);
}

#[test]
fn gpus_are_kept_for_others() {
    let mut c = Cluster::default();
    c.agent(Resources::scalars([("cpus", 4000), ("gpus", 1000)]));
    let framework = c.framework();
    assert_eq!(why(&c, &framework), [Why::GpusNotWanted { agents: 1 }]);
    let framework = c.framework_from(framework_info("g", &["*"], &[Capability::GpuResources]));
    assert!(matches!(why(&c, &framework)[0], Why::HoldsOffers { offers: 1, .. }));
}

#[test]
fn another_role_comes_first() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let rich = c.framework_from(framework_info("a", &["ra"], &[]));
    c.launch(&rich, &["m-O0"], vec![task_info("t", "m-S0", cpus_mem(4, 1024))]);
    c.framework_from(framework_info("b", &["rb"], &[]));
    let behind = Why::Behind {
        role: role("ra"),
        share_milli: 1000,
        first: role("rb"),
        first_share_milli: 0,
    };
    assert!(why(&c, &rich).contains(&behind), "{:?}", why(&c, &rich));
}

#[test]
fn operators_read_sentences() {
    let mut c = Cluster::default();
    let framework = c.framework();
    let lines = c.operator(proto::operator::Call::Explain(framework.id.clone()));
    expect(&lines, &["answer: Explanation([\"The cluster has no agents.\"])"]);
    let lines = c.operator(proto::operator::Call::Explain(framework_id("x")));
    assert!(lines[0].starts_with("EXPLAIN refused (400)"), "{lines:?}");
}
