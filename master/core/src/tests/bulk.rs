//! Calls with many operations: what they cost grows with their number, and no faster.

use super::volumes::newest;
use crate::registry::RegistryOp;
use crate::testing::*;
use crate::{Effect, Options};
use proto::agent_link::AgentEvent;
use proto::{Capability, Operation, Piece, Reservation, ResourceChange, Resources};
use std::sync::Arc;

/// A reservation of a hundredth of a cpu under a label of its own.
fn labelled(number: usize) -> Resources {
    let labels = vec![(Arc::from(format!("n{number}")), None)];
    let reservation = Reservation { labels, ..reservation("eng") };
    Resources::cpus_mem(10, 0).push_reservation(&reservation)
}

fn cluster() -> (Cluster, FrameworkSide, AgentSide) {
    // Of one role alone there may be less by default.
    let options =
        Options { role_holdings: 1000, role_holdings_bytes: 1 << 20, ..Options::default() };
    let mut c = Cluster::new(options);
    let agent = c.agent(cpus_mem(1000, 64_000).plus(&disk(10_000)));
    let capabilities = &[Capability::PartitionAware, Capability::SharedResources];
    let eng = c.framework_from(framework_info("eng", &["eng"], capabilities));
    (c, eng, agent)
}

/// Facts about holdings, the pieces in all of them, facts about operations, messages about volumes
/// and the pieces in all of those.
fn counts(c: &Cluster) -> [usize; 5] {
    let mut counts = [0; 5];
    for effect in &c.effects {
        match effect {
            Effect::Persist(RegistryOp::SetHoldings { holdings, .. }) => {
                counts[0] += 1;
                counts[1] += holdings.changed.pieces().len() + holdings.doomed.len();
            }
            Effect::Persist(_) => counts[2] += 1,
            Effect::ToAgent { event: AgentEvent::Volumes { volumes, destroyed, .. }, .. } => {
                counts[3] += 1;
                counts[4] += volumes.len() + destroyed.len();
            }
            _ => {}
        }
    }
    counts
}

#[test]
fn reservations_of_one_call_are_one_fact() {
    let (mut c, eng, _) = cluster();
    let all = |undo: bool| -> Vec<Operation> {
        let one = |n| match undo {
            true => unreserve(&format!("u{n}"), labelled(n)),
            false => reserve(&format!("r{n}"), labelled(n)),
        };
        (0..490).map(one).collect()
    };
    c.accept(&eng, &["m-O0"], all(false));
    assert_eq!(counts(&c), [1, 490, 490, 0, 0]);
    let offer = newest(&c, &eng);
    c.accept(&eng, &[&offer], all(true));
    assert_eq!(counts(&c), [1, 0, 490, 0, 0]);
}

#[test]
fn nothing_is_told_before_it_is_a_fact() {
    let (mut c, eng, _) = cluster();
    c.accept(&eng, &["m-O0"], (0..20).map(|n| reserve(&format!("r{n}"), labelled(n))).collect());
    let facts = c.effects.iter().rposition(|effect| matches!(effect, Effect::Persist(_)));
    let told = c.effects.iter().position(|effect| matches!(effect, Effect::ToFramework { .. }));
    assert!(facts.unwrap() < told.unwrap());
    let holdings =
        |effect: &Effect| matches!(effect, Effect::Persist(RegistryOp::SetHoldings { .. }));
    assert_eq!(c.effects.iter().position(holdings), Some(0), "before the operations are");
}

#[test]
fn volumes_of_one_call_are_one_message_whatever_becomes_of_them() {
    let (mut c, eng, agent) = cluster();
    let volumes: Vec<Piece> = (0..300).map(|n| volume(&format!("v{n}"), "eng", 1)).collect();
    let mut operations = vec![reserve("", reserved(&disk(1000), &["eng"]))];
    operations.extend(volumes.iter().map(|one| create("", std::slice::from_ref(one))));
    let uses = cpus_mem(1, 64).plus(&all(&volumes[..1]));
    operations.push(Operation::Launch(vec![task_info("t", "m-S0", uses)]));
    operations.extend(volumes[1..].iter().map(|one| destroy("", std::slice::from_ref(one))));
    let lines = c.accept(&eng, &["m-O0"], operations);
    assert_eq!(counts(&c), [1, 2 + 299, 599, 1, 300]);
    let is = |what: &str| lines.iter().position(|line| line.contains(what)).unwrap();
    assert!(is("registry: holdings") < is("<- VOLUMES") && is("<- VOLUMES") < is("<- RUN"));
    // The agent fails in all of it: that too is one fact.
    let names: Vec<String> = (0..300).map(|n| format!("v{n}")).collect();
    let failures: Vec<(&str, &str)> = names.iter().map(|id| (id.as_str(), "no disk")).collect();
    c.applied(&agent, 1, &failures);
    assert_eq!(counts(&c)[..2], [0, 0], "one is used, and the others are doomed already");
    assert_eq!(c.master.registry().operations().len(), 0);
}

#[test]
fn volumes_that_cannot_be_made_are_undone_together() {
    let (mut c, eng, agent) = cluster();
    let volumes: Vec<Piece> = (0..300).map(|n| volume(&format!("v{n}"), "eng", 1)).collect();
    let mut operations = vec![reserve("", reserved(&disk(1000), &["eng"]))];
    operations.extend(volumes.iter().map(|one| create("", std::slice::from_ref(one))));
    c.accept(&eng, &["m-O0"], operations);
    let names: Vec<String> = (0..300).map(|n| format!("v{n}")).collect();
    let failures: Vec<(&str, &str)> = names.iter().map(|id| (id.as_str(), "no disk")).collect();
    c.applied(&agent, 1, &failures);
    assert_eq!(counts(&c), [1, 1 + 300, 300, 1, 300]);
    c.applied(&agent, 2, &[]);
    assert_eq!(counts(&c), [1, 1, 0, 0, 0], "all deletions are confirmed");
}

#[test]
fn an_agent_whose_deletions_always_fail_holds_at_most_twice_what_may_be() {
    let options = Options { agent_holdings: 6, ..Options::default() };
    let mut c = Cluster::new(options);
    let agent = c.agent(cpus_mem(4, 1024).plus(&disk(1000)));
    super::reservations::reserve_on(&mut c, &agent, reserved(&disk(1000), &["eng"]));
    let mut most = 0;
    for n in 0..50 {
        let one = all(&[volume(&format!("v{n}"), "eng", 1)]);
        for change in [
            ResourceChange::Create { volumes: one.clone() },
            ResourceChange::Destroy { volumes: one },
        ] {
            super::volumes::order(&mut c, &agent, change);
        }
        let names: Vec<String> = (0..50).map(|n| format!("v{n}")).collect();
        let failures: Vec<(&str, &str)> = names.iter().map(|id| (id.as_str(), "busy")).collect();
        c.applied(&agent, c.master.volumes_sent(), &failures);
        let holdings = c.master.registry().agents()[&agent.id].holdings();
        most = most.max(holdings.changed.pieces().len() + holdings.doomed.len());
    }
    assert!((6..=12).contains(&most), "{most}");
}
