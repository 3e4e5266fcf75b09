//! Answers to "what would become of it now", and that asking changes nothing.

use super::*;
use crate::core::testing::{Bench, batch, template};
use crate::core::{Effect, GroupSpec, Kind, Rule, RuleTest};
use proto::AgentId;

/// An agent of zone `id` with so many thousandths of cpus free.
fn agent(id: &str, cpus: u64) -> FreeAgent {
    let info = AgentInfo {
        id: Some(AgentId::new(id).unwrap()),
        hostname: format!("host of {id}").into(),
        port: 5051,
        resources: Resources::cpus_mem(8000, 10_000_000),
        attributes: vec![proto::Attribute::text("zone", id)],
        domain: None,
    };
    FreeAgent { name: format!("agent {id}"), info, free: Resources::cpus_mem(cpus, 10_000_000) }
}

fn waiting(bench: &mut Bench, cpus: u64, rules: Vec<Rule>) -> GroupId {
    let template = crate::core::Template { rules, ..template(cpus, 64_000) };
    let id = bench.submit(GroupSpec::new("big", Kind::Ledger, 1, template));
    bench.settle();
    id
}

fn asked(bench: &mut Bench, id: &GroupId, agents: &[FreeAgent]) -> Vec<String> {
    let now = bench.now;
    let before: Vec<_> = bench.core.placer.hosts().collect();
    let prospect = bench.core.prospect(id, 0, now, agents).expect("it waits");
    assert_eq!(bench.core.prospect(id, 0, now, agents), Some(prospect.clone()));
    assert_eq!(bench.core.placer.leases_held(), 0);
    bench.core.check().unwrap();
    assert_eq!(before, bench.core.placer.hosts().collect::<Vec<_>>(), "asking changes nothing");
    prospect.sentences()
}

#[test]
fn what_fits_waits_for_an_offer_of_the_agent_that_it_would_get() {
    let mut bench = Bench::subscribed();
    let id = waiting(&mut bench, 4000, Vec::new());
    let said = asked(&mut bench, &id, &[agent("S1", 3000), agent("S2", 4000)]);
    assert_eq!(said, ["by what is free now it would fit on agent S2, were that offered"]);
    // Which then happens.
    bench.offer("S2", 4000);
    bench.settle();
    assert_eq!(bench.launched().len(), 1);
    let now = bench.now;
    assert_eq!(bench.core.prospect(&id, 0, now, &[]), None, "it does not wait any more");
}

#[test]
fn what_does_not_fit_is_told_the_least_change_by_kind() {
    let mut bench = Bench::subscribed();
    let zone = RuleTest::In("zone".to_owned(), vec!["S1".to_owned()]);
    let id = waiting(&mut bench, 4000, vec![Rule { test: zone, weight: None }]);
    let said = asked(&mut bench, &id, &[agent("S1", 1000), agent("S2", 6000), agent("S3", 500)]);
    let wanted = [
        "asked now, none of 3 agents fits: not enough cpus on 2, constraint: zone in {S1} on 2; \
         nearest is agent S1: wanted 4 cpus, 1 free",
        "it would fit with 3 cpus more on agent S1, or less wanted",
        "it would fit on agent S2 without \"constraint: zone in {S1}\"",
    ];
    assert_eq!(said, wanted);
}

#[test]
fn a_task_whose_end_makes_room_is_named() {
    let mut bench = Bench::subscribed();
    let (_, tasks) = bench.launch(batch("small", 2), 2000);
    assert_eq!(tasks.len(), 2);
    let id = waiting(&mut bench, 4000, Vec::new());
    // One cpu of S1 is taken by each of the small ones.
    let said = asked(&mut bench, &id, &[agent("S1", 3000), agent("S2", 2000)]);
    assert_eq!(said.last().unwrap(), "it would fit if task small-0.0.0 on agent S1 ended");
    // Where the end of one is not enough, none is named.
    let said = asked(&mut bench, &id, &[agent("S1", 2000), agent("S2", 2000)]);
    assert!(said.iter().all(|sentence| !sentence.contains("ended")), "{said:?}");
}

#[test]
fn an_offer_that_is_not_enough_is_waited_beyond() {
    let mut bench = Bench::subscribed();
    let id = waiting(&mut bench, 4000, Vec::new());
    let now = bench.now;
    bench.offer("S1", 1000);
    let prospect = bench.core.prospect(&id, 0, now, &[agent("S1", 5000)]);
    let fits = |at_hand| Some(Prospect::Fits { agent: "agent S1".to_owned(), at_hand });
    assert_eq!(prospect, fits(false));
    bench.offer("S1", 4000);
    assert_eq!(bench.core.prospect(&id, 0, now, &[agent("S1", 5000)]), fits(true));
}

#[test]
fn an_agent_that_is_avoided_is_no_prospect_while_there_are_others() {
    let mut bench = Bench::subscribed();
    let failing = bench.submit(batch("b", 1));
    bench.settle();
    bench.fail_on("S1", &failing, 3);
    let id = waiting(&mut bench, 4000, Vec::new());
    let now = bench.now;
    let fits = |agent: &str| Some(Prospect::Fits { agent: agent.to_owned(), at_hand: false });
    let both = [agent("S1", 8000), agent("S2", 1000)];
    let prospect = bench.core.prospect(&id, 0, now, &both);
    assert!(matches!(prospect, Some(Prospect::Misfit { .. })), "{prospect:?}");
    assert_eq!(bench.core.prospect(&id, 0, now, &both[..1]), fits("agent S1"));
}

#[test]
fn an_offer_at_hand_is_not_counted_twice() {
    let mut bench = Bench::subscribed();
    let id = waiting(&mut bench, 4000, Vec::new());
    bench.effects.clear();
    let now = bench.now;
    bench.offer("S1", 3000);
    // 3 of the 3.5 free cpus are on offer.
    let prospect = bench.core.prospect(&id, 0, now, &[agent("S1", 3500)]).unwrap();
    let Prospect::Misfit { why, .. } = prospect else { panic!("it fits") };
    assert!(why.to_string().contains("wanted 4 cpus, 3.5 free"), "{why}");
    assert!(!bench.effects.iter().any(|effect| matches!(effect, Effect::Send { .. })));
}
