//! Scenarios of the allocator tests of Apache Mesos, under their names: what is counted.

use crate::testing::*;
use proto::Filters;
use proto::scheduler::CallBody;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

fn framework(c: &mut Cluster, roles: &[&str]) -> FrameworkSide {
    c.framework_from(framework_info("f", roles, &[]))
}

fn share_milli(c: &Cluster, of: &str) -> u64 {
    c.master.allocator.sorter.share_milli(&role(of))
}

#[test]
fn quota_metrics() {
    let mut c = Cluster::default();
    c.quota(&[("q", "cpus:2;mem:1024", "")]);
    framework(&mut c, &["q"]);
    c.agent(cpus_mem(1, 512));
    let standing = c.master.allocator.sorter.standing(&role("q")).unwrap();
    assert_eq!(standing.consumed, cpus_mem(1, 512).quantities());
    assert_eq!(standing.lacking, cpus_mem(1, 512).quantities());
}

#[test]
fn resource_metrics() {
    let mut c = Cluster::default();
    assert_eq!(c.master.gauges().offers, 0);
    framework(&mut c, &["*"]);
    c.agent(cpus_mem(2, 1024));
    assert_eq!(c.master.allocator.sorter.total(), cpus_mem(2, 1024).quantities());
    assert_eq!((c.master.gauges().offers, c.master.counters().offers_made), (1, 1));
}

#[test]
fn allocation_runs_metric() {
    let mut c = Cluster::default();
    let before = c.master.counters().allocation_passes;
    c.agent(cpus_mem(2, 1024));
    c.agent(cpus_mem(2, 1024));
    assert_eq!(c.master.counters().allocation_passes, before + 2);
    assert_eq!(c.master.counters().agents_considered, 2);
}

#[test]
fn active_offer_filters_metrics() {
    let mut c = Cluster::default();
    let side = framework(&mut c, &["*"]);
    c.agent(cpus_mem(2, 1024));
    c.agent(cpus_mem(2, 1024));
    let filters = |c: &Cluster| {
        let filters = c.master.agents.iter().map(|(_, agent)| agent.filters.iter().count());
        filters.sum::<usize>()
    };
    assert_eq!(filters(&c), 0);
    let offer_ids = c.master.offers.values().map(|offer| offer.id.clone()).collect();
    c.call(&side, CallBody::Decline { offer_ids, filters: Filters { refuse: LONG } });
    assert_eq!(filters(&c), 2);
    c.advance_alive(LONG);
    assert_eq!(filters(&c), 0);
}

#[test]
fn dominant_share_metrics() {
    let mut c = Cluster::default();
    framework(&mut c, &["a"]);
    c.agent(cpus_mem(1, 512));
    framework(&mut c, &["b"]);
    c.agent(cpus_mem(3, 512));
    assert_eq!((share_milli(&c, "a"), share_milli(&c, "b")), (500, 750));
}
