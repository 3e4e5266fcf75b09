//! What is kept durably takes so much and no more: each record of the registry has its limit.

use super::reservations::{reserve_on, statuses};
use super::volumes::{framework, newest, order};
use crate::Options;
use crate::operation::check::ChangeRefused;
use crate::testing::*;
use proto::operator::Call;
use proto::{
    MachineId, MaintenanceWindow, OperationState, Piece, Ranges, Reservation, ResourceChange,
    ResourceName, Resources, Schedule, Time, Unavailability, Value,
};
use std::sync::Arc;

/// A cpu under a label of so many bytes.
fn labelled(name: &str, bytes: usize) -> Resources {
    let labels = vec![(Arc::from(name), Some(Arc::from("x".repeat(bytes))))];
    let reservation = Reservation { labels, ..reservation("eng") };
    Resources::cpus_mem(100, 0).push_reservation(&reservation)
}

fn is_ok(lines: &[String]) -> bool {
    lines.iter().any(|line| line == "answer: Ok")
}

#[test]
fn what_one_reservation_says_is_bounded() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    let lines = reserve_on(&mut c, &agent, labelled("a", 4096));
    let refused = "RESERVE_RESOURCES refused (400): agent m-S0: labels and principal of one \
                   reservation take 4129 bytes, 4096 may be taken";
    expect(&lines, &[refused]);
    let lines = reserve_on(&mut c, &agent, labelled("a", 4000));
    assert!(is_ok(&lines), "{lines:?}");
}

#[test]
fn what_is_reserved_on_one_agent_takes_so_many_bytes() {
    let mut c = Cluster::new(Options { agent_holdings_bytes: 3000, ..Options::default() });
    let agent = c.agent(cpus_mem(4, 1024));
    for (name, taken) in [("a", true), ("b", true), ("c", false)] {
        let lines = reserve_on(&mut c, &agent, labelled(name, 1000));
        assert_eq!(is_ok(&lines), taken, "{lines:?}");
    }
    let lines = reserve_on(&mut c, &agent, labelled("c", 1000));
    assert!(lines[0].starts_with("RESERVE_RESOURCES refused (409)"), "{lines:?}");
    assert!(lines[0].contains("bytes, 3000 may be taken"), "{lines:?}");
    // What is undone makes room.
    order(&mut c, &agent, ResourceChange::Unreserve { resources: labelled("a", 1000) });
    assert!(is_ok(&reserve_on(&mut c, &agent, labelled("c", 1000))));
}

#[test]
fn what_one_role_has_on_an_agent_is_bounded_and_leaves_room_to_others() {
    let options = Options { role_holdings: 2, role_holdings_bytes: 3000, ..Options::default() };
    let mut c = Cluster::new(options);
    let agent = c.agent(cpus_mem(8, 1024).plus(&disk(100)));
    let cpu = |role: &str, label: &str, bytes| {
        let labels = vec![(Arc::from(label), Some(Arc::from("x".repeat(bytes))))];
        let reservation = Reservation { labels, ..reservation(role) };
        Resources::cpus_mem(100, 0).push_reservation(&reservation)
    };
    for label in ["a", "b"] {
        assert!(is_ok(&reserve_on(&mut c, &agent, cpu("eng", label, 10))));
    }
    let lines = reserve_on(&mut c, &agent, cpu("eng", "c", 10));
    let refused = "RESERVE_RESOURCES refused (409): agent m-S0: role 'eng' would have 3 reserved \
                   pieces and volumes on the agent, 2 may be of one role: reserve in fewer and \
                   larger pieces";
    expect(&lines, &[refused]);
    // More of a piece that is there, another role, and what makes room.
    assert!(is_ok(&reserve_on(&mut c, &agent, cpu("eng", "a", 10))));
    assert!(is_ok(&reserve_on(&mut c, &agent, cpu("ops", "c", 2000))));
    order(&mut c, &agent, ResourceChange::Unreserve { resources: cpu("eng", "b", 10) });
    assert!(is_ok(&reserve_on(&mut c, &agent, cpu("eng", "c", 10))));
    let lines = reserve_on(&mut c, &agent, cpu("ops", "d", 2000));
    assert!(lines[0].starts_with("RESERVE_RESOURCES refused (409)"), "{lines:?}");
    assert!(lines[0].contains("role 'ops'") && lines[0].contains("3000 may be"), "{lines:?}");
    // What is doomed is the role's as well, until it is deleted.
    let volume = |id: &str| ResourceChange::Create { volumes: all(&[volume(id, "web", 1)]) };
    assert!(is_ok(&reserve_on(&mut c, &agent, reserved(&disk(3), &["web"]))));
    assert!(is_ok(&order(&mut c, &agent, volume("v"))));
    let gone = all(&[crate::testing::volume("v", "web", 1)]);
    assert!(is_ok(&order(&mut c, &agent, ResourceChange::Destroy { volumes: gone })));
    assert!(order(&mut c, &agent, volume("w"))[0].contains("role 'web' would have 3"));
    c.applied(&agent, c.master.volumes_sent(), &[]);
    assert!(is_ok(&order(&mut c, &agent, volume("w"))));
}

#[test]
fn what_gives_back_is_never_refused_for_its_role() {
    let mut c = Cluster::new(Options { role_holdings: 1, ..Options::default() });
    let agent = c.agent(cpus_mem(4, 1024).plus(&disk(10)));
    let (cpus, mem) = (cpus_mem(2, 0), cpus_mem(0, 64));
    let source = reserved(&cpus, &["eng"]);
    let refined = reserved(&cpus, &["eng", "eng/prod"]);
    assert!(is_ok(&reserve_on(&mut c, &agent, source.clone())));
    let change = ResourceChange::Reserve { source, resources: refined.clone() };
    assert!(is_ok(&order(&mut c, &agent, change)));
    assert!(is_ok(&reserve_on(&mut c, &agent, reserved(&mem, &["eng"]))));
    // The cpus are of eng again, which has two pieces then.
    let lines = order(&mut c, &agent, ResourceChange::Unreserve { resources: refined });
    assert!(is_ok(&lines), "{lines:?}");
    // As long as that is so it gets nothing more, not even of what it has.
    for more in [cpus_mem(1, 0), disk(1)] {
        let lines = reserve_on(&mut c, &agent, reserved(&more, &["eng"]));
        assert!(lines[0].contains("(409)") && lines[0].contains("1 may be of one role"));
    }
    let rest = reserved(&cpus, &["eng"]);
    assert!(is_ok(&order(&mut c, &agent, ResourceChange::Unreserve { resources: rest })));
    assert!(is_ok(&reserve_on(&mut c, &agent, reserved(&mem, &["eng"]))));
}

#[test]
fn a_volume_shrinks_at_its_roles_limit_and_nothing_is_made_of_the_rest() {
    let mut c = Cluster::new(Options { role_holdings: 1, ..Options::default() });
    let agent = c.agent(cpus_mem(4, 1024).plus(&disk(10)));
    reserve_on(&mut c, &agent, reserved(&disk(10), &["eng"]));
    let of = |id: &str, mb| ResourceChange::Create { volumes: all(&[volume(id, "eng", mb)]) };
    assert!(is_ok(&order(&mut c, &agent, of("v", 10))));
    c.applied(&agent, c.master.volumes_sent(), &[]);
    let change = ResourceChange::Shrink { volume: volume("v", "eng", 10), subtract_milli: 4000 };
    let lines = order(&mut c, &agent, change);
    assert!(is_ok(&lines), "{lines:?}");
    c.applied(&agent, c.master.volumes_sent(), &[]);
    // Else a role could fill the agent: a volume of the rest, which shrinks, and so on.
    let lines = order(&mut c, &agent, of("w", 4));
    assert!(lines[0].contains("role 'eng' would have 2 reserved pieces"), "{lines:?}");
    let addition = space("eng", 4);
    let change = ResourceChange::Grow { volume: volume("v", "eng", 6), addition };
    assert!(is_ok(&order(&mut c, &agent, change)));
}

#[test]
fn what_is_given_back_in_parts_has_as_much_room_again_on_the_agent() {
    let mut c = Cluster::new(Options { agent_holdings: 1, ..Options::default() });
    let agent = c.agent(cpus_mem(4, 1024));
    let roles = ["eng", "eng/prod", "eng/prod/web"];
    let cpus = |n: u64, depth: usize| reserved(&cpus_mem(n, 0), &roles[..depth]);
    assert!(is_ok(&reserve_on(&mut c, &agent, cpus(4, 1))));
    for depth in 1..3 {
        let (source, resources) = (cpus(4, depth), cpus(4, depth + 1));
        let change = ResourceChange::Reserve { source, resources };
        assert!(is_ok(&order(&mut c, &agent, change)));
    }
    let mut back =
        |n, depth| order(&mut c, &agent, ResourceChange::Unreserve { resources: cpus(n, depth) });
    assert!(is_ok(&back(2, 3)));
    let lines = back(1, 2);
    assert!(lines[0].contains("would have 3 reserved pieces and volumes, 2 may be"), "{lines:?}");
    for (n, depth) in [(2, 2), (2, 3), (2, 2), (4, 1)] {
        assert!(is_ok(&back(n, depth)), "{n} of {depth}");
    }
}

#[test]
fn the_refusal_for_a_full_agent_names_who_fills_it() {
    let mut c = Cluster::new(Options { agent_holdings: 3, ..Options::default() });
    let agent = c.agent(cpus_mem(8, 1024));
    for (role, label) in [("eng", "a"), ("eng", "b"), ("ops", "c")] {
        let labels = vec![(Arc::from(label), None)];
        let reservation = Reservation { labels, ..reservation(role) };
        let cpu = Resources::cpus_mem(100, 0).push_reservation(&reservation);
        assert!(is_ok(&reserve_on(&mut c, &agent, cpu)));
    }
    let lines = reserve_on(&mut c, &agent, reserved(&cpus_mem(1, 0), &["web"]));
    assert!(lines[0].ends_with("(role 'eng' has 2 of them)"), "{lines:?}");
}

#[test]
fn what_is_being_deleted_counts() {
    let mut c = Cluster::new(Options { agent_holdings: 3, ..Options::default() });
    let agent = c.agent(cpus_mem(4, 1024).plus(&disk(100)));
    reserve_on(&mut c, &agent, reserved(&disk(100), &["eng"]));
    let one = |id: &str| all(&[volume(id, "eng", 1)]);
    for id in ["a", "b"] {
        assert!(is_ok(&order(&mut c, &agent, ResourceChange::Create { volumes: one(id) })));
    }
    assert!(is_ok(&order(&mut c, &agent, ResourceChange::Destroy { volumes: one("a") })));
    let lines = order(&mut c, &agent, ResourceChange::Create { volumes: one("c") });
    assert!(lines[0].contains("would have 4 reserved pieces and volumes, 3 may be"), "{lines:?}");
    c.applied(&agent, c.master.volumes_sent(), &[]);
    assert!(is_ok(&order(&mut c, &agent, ResourceChange::Create { volumes: one("c") })));
}

#[test]
fn the_operations_of_one_framework_take_so_many_bytes() {
    let mut c = Cluster::new(Options { operations_bytes: 4000, ..Options::default() });
    c.agent(cpus_mem(4, 1024));
    let eng = framework(&mut c, "eng");
    c.accept(&eng, &["m-O0"], vec![reserve("a", labelled("a", 2000))]);
    assert_eq!(statuses(&c)[0].state, OperationState::Finished);
    let offer = newest(&c, &eng);
    let lines = c.accept(&eng, &[&offer], vec![reserve("b", labelled("b", 2000))]);
    assert!(lines[0].starts_with("ACCEPT refused (503)"), "{lines:?}");
    assert!(lines[0].contains("bytes of operations") && lines[0].contains("4000"), "{lines:?}");
    // An acknowledged one makes room.
    let uuid = *c.master.registry().operations().first_key_value().unwrap().0;
    let operation_id = operation_id("a");
    let call = proto::scheduler::CallBody::AcknowledgeOperationStatus {
        agent_id: None,
        uuid,
        operation_id,
    };
    c.call(&eng, call);
    c.accept(&eng, &[&offer], vec![reserve("b", labelled("b", 2000))]);
    assert_eq!(statuses(&c)[0].state, OperationState::Finished);
}

#[test]
fn the_maintenance_schedule_takes_so_many_bytes() {
    let mut c = Cluster::new(Options { maintenance_bytes: 500, ..Options::default() });
    let mut schedule = |machines: usize| {
        let machines = (0..machines).map(|n| MachineId::named(&format!("m{n}"))).collect();
        let unavailability = Unavailability { start: Time::ZERO, duration: None };
        let windows = vec![MaintenanceWindow { machines, unavailability }];
        c.operator(Call::UpdateMaintenanceSchedule(Schedule { windows }))
    };
    assert!(is_ok(&schedule(10)));
    let lines = schedule(20);
    assert!(lines[0].contains("refused (400)"), "{lines:?}");
    assert!(lines[0].contains("bytes, 500 may be taken: name fewer machines"), "{lines:?}");
}

#[test]
fn the_quota_of_one_role_takes_so_many_bytes() {
    let mut c = Cluster::new(Options { quota_bytes: 100, ..Options::default() });
    let name = "n".repeat(100);
    let lines = c.set_quota(&[("eng", "", &format!("{name}:1"))], true);
    assert!(lines[0].contains("refused (400)"), "{lines:?}");
    assert!(lines[0].contains("takes 116 bytes, 100 may be taken"), "{lines:?}");
    assert!(c.master.registry().quotas().is_empty());
}

#[test]
fn quota_is_for_scalars() {
    let mut c = Cluster::default();
    let mut addresses = Resources::new();
    let value = Value::Ranges(Ranges::new([(1, 9)]));
    let (name, flavor) = (ResourceName::new("addresses"), proto::Flavor::default());
    addresses.add_piece(Piece { name, flavor, value });
    c.agent(cpus_mem(4, 1024).plus(&addresses));
    for (name, guarantees, limits) in
        [("ports", "", "ports:3"), ("ports", "ports:3", ""), ("addresses", "", "addresses:1")]
    {
        let lines = c.set_quota(&[("eng", guarantees, limits)], true);
        let refused = format!(
            "refused (400): the quota of role 'eng' names {name}, which are ranges or a set: \
             quota is for scalars"
        );
        assert!(lines[0].contains(&refused), "{lines:?}");
    }
    c.quota(&[("eng", "", "cpus:3")]);
}

#[test]
fn what_the_agent_does_not_have_is_not_destroyed() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024).plus(&disk(100)));
    let ord = c.master.agent_ids[&agent.id];
    let change = ResourceChange::Destroy { volumes: all(&[shared_volume("s", "eng", 1)]) };
    let refused = c.master.check_change(&c.master.draft(ord), &change).unwrap_err();
    assert!(matches!(refused, ChangeRefused::NotThere(_)), "{refused:?}");
}
