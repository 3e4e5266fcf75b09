//! Reservations: the scenarios of Apache Mesos under their names, and what goes beyond them.

use crate::testing::*;
use crate::{Effect, Options};
use proto::operator::{Call as OperatorCall, Response};
use proto::scheduler::{CallBody, Event};
use proto::{
    Capability, OperationState, OperationStatus, Reservation, ResourceChange, Resources, Role,
    TaskState,
};
use std::sync::Arc;
use std::time::Duration;

pub(super) fn framework(c: &mut Cluster, name: &str) -> FrameworkSide {
    let capabilities = &[Capability::PartitionAware, Capability::ReservationRefinement];
    c.framework_from(framework_info(name, &[name], capabilities))
}

/// Everything that stands in offers of this role.
fn offered(c: &Cluster, name: &str) -> Resources {
    let mut all = Resources::new();
    for offer in c.master.offers.values().filter(|offer| offer.role == role(name)) {
        all.add(&offer.resources);
    }
    all
}

/// The newest offer to the role.
pub(super) fn newest(c: &Cluster, name: &str) -> String {
    let mut own = c.master.offers.values().filter(|offer| offer.role == role(name));
    own.next_back().expect("there is an offer").id.as_str().to_owned()
}

pub(super) fn total(c: &Cluster, agent: &AgentSide) -> Resources {
    let ord = c.master.agent_ids[&agent.id];
    c.master.agents[ord].info.resources.clone()
}

/// The statuses of operations that were told by the last input.
pub(super) fn statuses(c: &Cluster) -> Vec<OperationStatus> {
    let status = |effect: &Effect| match effect {
        Effect::ToFramework { event: Event::UpdateOperationStatus(status), .. } => {
            Some(status.clone())
        }
        _ => None,
    };
    c.effects.iter().filter_map(status).collect()
}

/// What the framework was told of the one operation of the last input.
pub(super) fn told(c: &Cluster) -> (OperationState, String) {
    let all = statuses(c);
    assert_eq!(all.len(), 1, "{all:?}");
    (all[0].state, all[0].message.as_deref().unwrap_or_default().to_owned())
}

fn change(c: &mut Cluster, agent: &AgentSide, change: ResourceChange) -> Vec<String> {
    c.operator(OperatorCall::ChangeResources { agent_id: agent.id.clone(), change })
}

pub(super) fn reserve_on(c: &mut Cluster, agent: &AgentSide, resources: Resources) -> Vec<String> {
    let source = Resources::new();
    change(c, agent, ResourceChange::Reserve { source, resources })
}

#[test]
fn reserve_then_unreserve() {
    let mut c = Cluster::default();
    let eng = framework(&mut c, "eng");
    let agent = c.agent(cpus_mem(4, 1024));
    let half = reserved(&cpus_mem(2, 512), &["eng"]);
    let lines = c.accept(&eng, &["m-O0"], vec![reserve("", half.clone())]);
    let first = format!("registry: holdings m-S0 {half}");
    assert_eq!(lines[0], first, "durable before anything else");
    // What was changed comes back at once, without a filter.
    assert_eq!(offered(&c, "eng"), half.plus(&cpus_mem(2, 512)));
    let offer = newest(&c, "eng");
    c.accept(&eng, &[&offer], vec![unreserve("", half)]);
    assert_eq!(total(&c, &agent), cpus_mem(4, 1024));
    assert_eq!(offered(&c, "eng"), cpus_mem(4, 1024));
}

#[test]
fn reserve_twice_with_double_value() {
    let mut c = Cluster::default();
    let eng = framework(&mut c, "eng");
    let agent = c.agent(cpus_mem(1, 512));
    let tenth = reserved(&Resources::cpus_mem(100, 0), &["eng"]);
    for _ in 0..2 {
        let offer = newest(&c, "eng");
        c.accept(&eng, &[&offer], vec![reserve("", tenth.clone())]);
    }
    let fifth = reserved(&Resources::cpus_mem(200, 0), &["eng"]);
    assert_eq!(total(&c, &agent), Resources::cpus_mem(800, 512_000).plus(&fifth));
}

#[test]
fn reserve_and_launch_then_unreserve() {
    let mut c = Cluster::default();
    let eng = framework(&mut c, "eng");
    let agent = c.agent(cpus_mem(4, 1024));
    let half = reserved(&cpus_mem(2, 512), &["eng"]);
    let launch = proto::Operation::Launch(vec![task_info("t", "m-S0", half.clone())]);
    let lines = c.accept(&eng, &["m-O0"], vec![reserve("", half.clone()), launch]);
    let run = lines.iter().position(|line| line.ends_with("RUN m-0000 eng t"));
    assert!(lines[0].starts_with("registry: holdings") && run.is_some(), "{lines:?}");
    assert_eq!(c.master.agents[c.master.agent_ids[&agent.id]].used, half);
    // While the task uses it, nobody can undo the reservation.
    let lines = change(&mut c, &agent, ResourceChange::Unreserve { resources: half.clone() });
    assert!(lines[0].starts_with("UNRESERVE_RESOURCES refused (409)"), "{lines:?}");
    c.update(&agent, &eng, "t", TaskState::Finished, 1);
    let lines = change(&mut c, &agent, ResourceChange::Unreserve { resources: half });
    assert!(lines.iter().any(|line| line == "answer: Ok"), "{lines:?}");
    assert_eq!(total(&c, &agent), cpus_mem(4, 1024));
}

#[test]
fn reserve_share_within_role() {
    let mut c = Cluster::default();
    let eng = framework(&mut c, "eng");
    c.agent(cpus_mem(4, 1024));
    let all = reserved(&cpus_mem(4, 1024), &["eng"]);
    c.accept(&eng, &["m-O0"], vec![reserve("", all.clone())]);
    let offer = newest(&c, "eng");
    c.decline(&eng, &[&offer], Duration::from_secs(500));
    assert_eq!(offered(&c, "eng"), Resources::new());
    framework(&mut c, "other");
    assert_eq!(offered(&c, "other"), Resources::new(), "it is not theirs");
    // Another framework of the role gets what the first one reserved.
    framework(&mut c, "eng");
    assert_eq!(offered(&c, "eng"), all);
}

#[test]
fn drop_reserve_too_large() {
    let mut c = Cluster::default();
    let eng = framework(&mut c, "eng");
    let agent = c.agent(cpus_mem(1, 512));
    let large = reserved(&cpus_mem(1, 1024), &["eng"]);
    let lines = c.accept(&eng, &["m-O0"], vec![reserve("o", large)]);
    assert!(!lines.iter().any(|line| line.starts_with("registry")), "{lines:?}");
    let (state, message) = told(&c);
    assert_eq!(state, OperationState::Error);
    assert!(message.ends_with("wanted mem 1024, available 512"), "{message}");
    assert!(statuses(&c)[0].uuid.is_none(), "it is sent once");
    assert_eq!(total(&c, &agent), cpus_mem(1, 512));
}

#[test]
fn drop_reserve_with_different_role() {
    let mut c = Cluster::default();
    let eng = framework(&mut c, "eng");
    c.agent(cpus_mem(1, 512));
    let other = reserved(&cpus_mem(1, 512), &["other"]);
    c.accept(&eng, &["m-O0"], vec![reserve("o", other)]);
    let said = "Invalid RESERVE operation: resources are reserved for role 'other', but offered to \
                role 'eng'";
    assert_eq!(told(&c), (OperationState::Error, said.to_owned()));
}

#[test]
fn prevent_unreserving_alien_resources() {
    let mut c = Cluster::default();
    let eng = framework(&mut c, "eng");
    let other = framework(&mut c, "other");
    let agent = c.agent(cpus_mem(2, 1024));
    let half = reserved(&cpus_mem(1, 512), &["eng"]);
    let mine = c.master.offers.values().next().unwrap();
    let (by, offer) = match mine.role == role("eng") {
        true => (&eng, mine.id.to_string()),
        false => (&other, mine.id.to_string()),
    };
    assert_eq!(by.id, eng.id, "the first one comes first");
    c.accept(by, &[&offer], vec![reserve("", half.clone())]);
    let (eng_offer, after) = (newest(&c, "eng"), total(&c, &agent));
    c.decline(&eng, &[&eng_offer], Duration::from_secs(500));
    let offer = newest(&c, "other");
    c.accept(&other, &[&offer], vec![unreserve("o", half)]);
    assert_eq!(told(&c).0, OperationState::Error);
    assert_eq!(total(&c, &agent), after);
}

#[test]
fn resources_checkpointing_and_master_failover() {
    let mut c = Cluster::default();
    let mut eng = framework(&mut c, "eng");
    let mut agent = c.agent(cpus_mem(4, 1024));
    let half = reserved(&cpus_mem(2, 512), &["eng"]);
    c.accept(&eng, &["m-O0"], vec![reserve("", half)]);
    let before = total(&c, &agent);
    c.restart_master();
    assert_eq!(c.master.registry().agents()[&agent.id].info.resources, before);
    c.resubscribe(&mut eng);
    // The agent says what its configuration says, and has what it had.
    let lines = c.reregister(&mut agent, vec![], &[]);
    assert!(!lines.iter().any(|line| line.starts_with("registry: admit")), "{lines:?}");
    assert_eq!(total(&c, &agent), before);
    assert_eq!(offered(&c, "eng"), before);
    // And once more, without a restart of the master.
    c.reregister(&mut agent, vec![], &[]);
    assert_eq!(total(&c, &agent), before);
}

#[test]
fn compatible_checkpointed_resources() {
    let mut c = Cluster::default();
    let eng = framework(&mut c, "eng");
    let mut agent = c.agent(cpus_mem(4, 1024));
    let half = reserved(&cpus_mem(2, 512), &["eng"]);
    c.accept(&eng, &["m-O0"], vec![reserve("", half.clone())]);
    agent.info.resources = cpus_mem(8, 512);
    let lines = c.reregister(&mut agent, vec![], &[]);
    assert!(lines.iter().any(|line| line == "registry: admit m-S0 cpus:8; mem:512"), "{lines:?}");
    assert_eq!(total(&c, &agent), half.plus(&cpus_mem(6, 0)));
}

#[test]
fn incompatible_checkpointed_resources() {
    let mut c = Cluster::default();
    let eng = framework(&mut c, "eng");
    let mut agent = c.agent(cpus_mem(4, 1024));
    let half = reserved(&cpus_mem(2, 512), &["eng"]);
    c.accept(&eng, &["m-O0"], vec![reserve("", half.clone())]);
    let facts = c.master.registry().agents()[&agent.id].clone();
    agent.info.resources = cpus_mem(1, 1024);
    let lines = c.reregister(&mut agent, vec![], &[]);
    let refused = "REFUSED the agent's resources (cpus:1; mem:1024) do not hold what is reserved \
                   on it (cpus(reservations: [(DYNAMIC,eng)]):2; \
                   mem(reservations: [(DYNAMIC,eng)]):512): wanted cpus 2, available 1; give the \
                   agent at least cpus:2; mem:512, or have its reservations and volumes undone, \
                   or the agent marked gone, by an operator";
    assert!(lines.iter().any(|line| line.ends_with(refused)), "{lines:?}");
    assert_eq!(c.master.registry().agents()[&agent.id].info, facts.info, "nothing is lost");
    agent.info.resources = cpus_mem(2, 512);
    c.reregister(&mut agent, vec![], &[]);
    assert_eq!(total(&c, &agent), half);
}

#[test]
fn a_configuration_with_what_is_made_at_run_time_is_refused() {
    let mut c = Cluster::default();
    let connection = c.connection();
    let resources = reserved(&cpus_mem(1, 64), &["eng"]);
    let info = agent_info("h", resources);
    let call = proto::agent_link::AgentCall::Register { info, version: Arc::from("1"), nonce: 1 };
    let lines = c.feed(crate::Input::AgentCall { connection, call });
    assert!(lines[0].contains("may hold static reservations only"), "{lines:?}");
    assert!(c.master.registry().agents().is_empty());
}

#[test]
fn static_reservations_stay() {
    let mut c = Cluster::default();
    let eng = framework(&mut c, "eng");
    let fixed = cpus_mem(2, 512).push_reservation(&static_reservation("eng"));
    let agent = c.agent(fixed.plus(&cpus_mem(2, 512)));
    assert_eq!(offered(&c, "eng"), total(&c, &agent));
    c.accept(&eng, &["m-O0"], vec![unreserve("o", fixed.clone())]);
    assert_eq!(told(&c).0, OperationState::Error);
    // They can be refined, and that can be undone.
    c.advance_alive(Duration::from_secs(6));
    let refined = fixed.push_reservation(&reservation("eng/dev"));
    let lines = reserve_on(&mut c, &agent, refined.clone());
    assert!(lines.iter().any(|line| line == "answer: Ok"), "{lines:?}");
    assert_eq!(offered(&c, "eng"), cpus_mem(2, 512));
    let dev = framework(&mut c, "eng/dev");
    assert_eq!(offered(&c, "eng/dev"), refined);
    let offer = newest(&c, "eng/dev");
    c.accept(&dev, &[&offer], vec![unreserve("o", refined)]);
    assert_eq!(told(&c).0, OperationState::Finished);
    assert_eq!(total(&c, &agent), fixed.plus(&cpus_mem(2, 512)));
}

#[test]
fn refinement_needs_its_capability() {
    let mut c = Cluster::default();
    let plain = c.framework_from(framework_info("f", &["eng/dev"], &[]));
    let agent = c.agent(cpus_mem(2, 512));
    let refined = reserved(&cpus_mem(2, 512), &["eng", "eng/dev"]);
    reserve_on(&mut c, &agent, reserved(&cpus_mem(2, 512), &["eng"]));
    let offer = newest(&c, "eng/dev");
    c.accept(&plain, &[&offer], vec![reserve("o", refined)]);
    let (state, message) = told(&c);
    assert_eq!(state, OperationState::Error);
    assert!(message.contains("RESERVATION_REFINEMENT"), "{message}");
}

#[test]
fn a_reservation_goes_to_another_role_from_its_source() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(2, 512));
    let eng = reserved(&cpus_mem(2, 512), &["eng"]);
    let ads = reserved(&cpus_mem(2, 512), &["ads"]);
    reserve_on(&mut c, &agent, eng.clone());
    change(&mut c, &agent, ResourceChange::Reserve { source: eng, resources: ads.clone() });
    assert_eq!(total(&c, &agent), ads);
    // What the agent's configuration says cannot be given away.
    let fixed = cpus_mem(1, 64).push_reservation(&static_reservation("eng"));
    let other = c.agent(fixed.clone());
    let resources = reserved(&cpus_mem(1, 64), &["ads"]);
    let lines = change(&mut c, &other, ResourceChange::Reserve { source: fixed, resources });
    assert!(lines[0].contains("is of the agent's configuration and stays"), "{lines:?}");
    assert!(lines[0].starts_with("RESERVE_RESOURCES refused (400)"), "{lines:?}");
}

#[test]
fn good_and_bad_principals() {
    let mut c = Cluster::default();
    let mut info = framework_info("f", &["eng"], &[]);
    info.principal = Some(Arc::from("alice"));
    let eng = c.framework_from(info);
    c.agent(cpus_mem(2, 512));
    let named = |name: Option<&str>| {
        let reservation = Reservation { principal: name.map(Arc::from), ..reservation("eng") };
        cpus_mem(1, 64).push_reservation(&reservation)
    };
    c.accept(&eng, &["m-O0"], vec![reserve("o", named(Some("bob")))]);
    let said = "Invalid RESERVE operation: it is in the name of 'bob', the framework is 'alice'";
    assert_eq!(told(&c), (OperationState::Error, said.to_owned()));
    c.advance_alive(Duration::from_secs(6));
    let offer = newest(&c, "eng");
    c.accept(&eng, &[&offer], vec![reserve("o", named(Some("alice")))]);
    assert_eq!(told(&c).0, OperationState::Finished);
}

#[test]
fn one_wrong_operation_does_not_stop_the_others() {
    let mut c = Cluster::default();
    let eng = framework(&mut c, "eng");
    let agent = c.agent(cpus_mem(4, 1024));
    let one = |to| reserved(&cpus_mem(1, 64), &[to]);
    let operations = vec![
        reserve("a", one("eng")),
        reserve("b", one("other")),
        reserve("c", one("eng")),
        unreserve("d", reserved(&cpus_mem(2, 128), &["eng"])),
    ];
    c.accept(&eng, &["m-O0"], operations);
    let states: Vec<_> = statuses(&c).iter().map(|status| status.state.name()).collect();
    let (good, bad) = ("OPERATION_FINISHED", "OPERATION_ERROR");
    assert_eq!(states, [good, bad, good, good]);
    assert_eq!(total(&c, &agent), cpus_mem(4, 1024), "the last one undid the first two");
}

#[test]
fn what_was_not_changed_is_refused_and_the_rest_is_not() {
    let mut c = Cluster::default();
    let eng = framework(&mut c, "eng");
    c.agent(cpus_mem(4, 1024));
    let one = reserved(&cpus_mem(1, 64), &["eng"]);
    c.accept(&eng, &["m-O0"], vec![reserve("", one.clone())]);
    // The reservation comes at once, and takes the rest along.
    assert_eq!(offered(&c, "eng"), one.plus(&cpus_mem(3, 960)));
    let offer = newest(&c, "eng");
    c.decline(&eng, &[&offer], Duration::from_secs(500));
    // What remains as it was offered is filtered.
    c.call(&eng, CallBody::Revive { roles: vec![] });
    let offer = newest(&c, "eng");
    let launch = proto::Operation::Launch(vec![task_info("t", "m-S0", one)]);
    c.accept(&eng, &[&offer], vec![launch]);
    assert_eq!(offered(&c, "eng"), Resources::new());
}

#[test]
fn an_operator_takes_back_no_more_offers_than_it_needs() {
    let mut c = Cluster::default();
    c.quota(&[
        ("a", "", "cpus:1;mem:128"),
        ("b", "", "cpus:2;mem:512"),
        ("x", "", "cpus:1;mem:64"),
    ]);
    for name in ["a", "b", "x"] {
        framework(&mut c, name);
    }
    let agent = c.agent(cpus_mem(4, 704));
    assert_eq!(c.master.offers.len(), 3);
    let lines = reserve_on(&mut c, &agent, reserved(&cpus_mem(2, 400), &["eng"]));
    assert_eq!(lines.iter().filter(|line| line.contains("RESCIND")).count(), 1, "{lines:?}");
    assert!(lines.iter().any(|line| line == "answer: Ok"), "{lines:?}");
    let lines = reserve_on(&mut c, &agent, reserved(&cpus_mem(3, 0), &["eng"]));
    let refused = "RESERVE_RESOURCES refused (409): agent m-S0: ";
    assert!(lines[0].starts_with(refused), "{lines:?}");
    assert_eq!(lines.len(), 1, "nothing is taken back in vain");
}

#[test]
fn an_operator_names_an_agent_that_is_there() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 704));
    let one = || reserved(&cpus_mem(1, 64), &["eng"]);
    let nobody = AgentSide { id: agent_id("x"), ..agent.clone() };
    let lines = reserve_on(&mut c, &nobody, one());
    assert!(lines[0].starts_with("RESERVE_RESOURCES refused (400)"), "{lines:?}");
    c.restart_master();
    let lines = reserve_on(&mut c, &agent, one());
    assert!(lines[0].starts_with("RESERVE_RESOURCES refused (409)"), "{lines:?}");
    assert!(lines[0].contains("when it is back"), "{lines:?}");
    let lines = reserve_on(&mut c, &nobody, Resources::new());
    assert!(lines[0].starts_with("RESERVE_RESOURCES refused (400)"), "{lines:?}");
}

#[test]
fn pieces_on_one_agent_are_bounded() {
    let mut c = Cluster::new(Options { agent_holdings: 3, ..Options::default() });
    let agent = c.agent(cpus_mem(4, 704));
    for (name, taken) in [("a", true), ("b", true), ("c", true), ("d", false)] {
        let lines = reserve_on(&mut c, &agent, reserved(&Resources::cpus_mem(1, 0), &[name]));
        let ok = lines.iter().any(|line| line == "answer: Ok");
        assert_eq!(ok, taken, "{lines:?}");
    }
    let resources = reserved(&Resources::cpus_mem(1, 0), &["a"]);
    let lines = change(&mut c, &agent, ResourceChange::Unreserve { resources });
    assert!(lines.iter().any(|line| line == "answer: Ok"), "{lines:?}");
}

#[test]
fn quota_accounting_reserve_allocated_resources() {
    let mut c = Cluster::default();
    c.quota(&[("eng", "", "cpus:2;mem:512")]);
    let eng = framework(&mut c, "eng");
    c.agent(cpus_mem(2, 512));
    c.agent(cpus_mem(2, 512));
    let consumed = |c: &Cluster| c.master.allocator.sorter.standing(&role("eng")).unwrap().consumed;
    let before = consumed(&c);
    let offer = newest(&c, "eng");
    c.accept(&eng, &[&offer], vec![reserve("", reserved(&cpus_mem(2, 512), &["eng"]))]);
    assert_eq!(consumed(&c), before, "what was allocated is reserved: the same is consumed");
    assert_eq!(offered(&c, "eng"), reserved(&cpus_mem(2, 512), &["eng"]), "and no more is offered");
}

#[test]
fn quota_accounting_unreserve_allocated_resources() {
    let mut c = Cluster::default();
    c.quota(&[("eng", "", "cpus:2;mem:512")]);
    let eng = framework(&mut c, "eng");
    let agent = c.agent(cpus_mem(2, 512));
    c.agent(cpus_mem(2, 512));
    let all = reserved(&cpus_mem(2, 512), &["eng"]);
    reserve_on(&mut c, &agent, all.clone());
    let offer = newest(&c, "eng");
    c.accept(&eng, &[&offer], vec![unreserve("", all)]);
    assert_eq!(offered(&c, "eng"), cpus_mem(2, 512), "one agent is all that it may have");
}

#[test]
fn reservation_unallocated_and_allocated_count_once() {
    let mut c = Cluster::default();
    c.quota(&[("eng", "cpus:2;mem:512", "")]);
    framework(&mut c, "other");
    let agent = c.agent(cpus_mem(4, 1024));
    assert_eq!(offered(&c, "other"), cpus_mem(2, 512), "the rest is kept for the guarantee");
    reserve_on(&mut c, &agent, reserved(&cpus_mem(2, 512), &["eng"]));
    c.quota(&[("eng", "cpus:2;mem:512", "")]);
    let lacking = c.master.allocator.sorter.standing(&role("eng")).unwrap().lacking;
    assert!(lacking.is_empty(), "{lacking:?}: what is reserved satisfies it");
}

#[test]
fn offer_ancestor_reservations_to_descendant_child() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(2, 512));
    let above = reserved(&cpus_mem(2, 512), &["eng"]);
    reserve_on(&mut c, &agent, above.clone());
    framework(&mut c, "other");
    framework(&mut c, "eng/dev");
    assert_eq!(offered(&c, "other"), Resources::new());
    assert_eq!(offered(&c, "eng/dev"), above);
}

#[test]
fn non_scalar_reservations_are_tracked() {
    let mut c = Cluster::default();
    let mut ports = Resources::new();
    let ranges = proto::Value::Ranges(proto::Ranges::new([(100, 199)]));
    let name = proto::ResourceName::new("ports");
    ports.add_piece(proto::Piece { name, flavor: proto::Flavor::default(), value: ranges });
    let agent = c.agent(cpus_mem(2, 512).plus(&ports));
    let mine = reserved(&ports, &["eng"]);
    reserve_on(&mut c, &agent, mine.clone());
    assert_eq!(total(&c, &agent), cpus_mem(2, 512).plus(&mine));
    change(&mut c, &agent, ResourceChange::Unreserve { resources: mine });
    assert_eq!(total(&c, &agent), cpus_mem(2, 512).plus(&ports));
}

#[test]
fn roles_are_seen_by_what_is_reserved_to_them() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    reserve_on(&mut c, &agent, reserved(&cpus_mem(1, 64), &["eng/dev"]));
    c.operator(OperatorCall::GetRoles);
    let Some(Effect::Answer { response, .. }) = c.effects.first() else { panic!("no answer") };
    let Response::Roles(roles) = &**response else { panic!("not the roles") };
    let found: Vec<(&Role, u64)> =
        roles.iter().map(|view| (&view.role, view.reserved.iter().map(|(_, n)| n).sum())).collect();
    assert_eq!(found, [(&role("eng"), 0), (&role("eng/dev"), 65_000)]);
}

#[test]
fn whatever_is_durable_of_the_end_of_a_framework_its_operations_end_with_it() {
    let mut c = Cluster::default();
    let eng = framework(&mut c, "eng");
    c.agent(cpus_mem(4, 1024).plus(&disk(100)));
    let kept = reserved(&cpus_mem(1, 64).plus(&disk(50)), &["eng"]);
    let operations = vec![reserve("ended", kept), create("pending", &[volume("v1", "eng", 10)])];
    c.accept(&eng, &["m-O0"], operations);
    let mut registry = c.master.registry().clone();
    assert_eq!(registry.operations().len(), 2, "one ended, one is under way");
    c.call(&eng, CallBody::Teardown);
    let ops = c.effects.iter().filter_map(|effect| match effect {
        Effect::Persist(op) => Some(op),
        _ => None,
    });
    for op in ops {
        registry.apply(op);
        let mut next = Cluster::with_registry(Options::default(), registry.clone());
        // The invariants are looked at.
        next.feed(crate::Input::Tick);
        let operations = next.master.registry().operations().values();
        let left = operations.filter(|known| known.framework_id.is_some()).count();
        assert_eq!(left, 0, "{op:?}");
    }
}
