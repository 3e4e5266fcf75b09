//! Which resources of an agent are meant.

use super::*;
use crate::command::drain::tests::agent_with;
use proto::{Flavor, Special};

fn role(name: &str) -> Role {
    Role::new(name).unwrap()
}

fn piece(name: &str, milli: u64, reserved: &[(&str, &str)]) -> Piece {
    let reservation = |(to, by): &(&str, &str)| Reservation {
        kind: ReservationKind::Dynamic,
        role: role(to),
        principal: (!by.is_empty()).then(|| (*by).into()),
        labels: Labels::new(),
    };
    let reservations = reserved.iter().map(reservation).collect();
    let flavor = Flavor::new(false, Special { reservations, ..Special::default() });
    Piece { name: ResourceName::new(name), flavor, value: Value::Scalar(milli) }
}

fn agent(pieces: impl IntoIterator<Item = Piece>) -> AgentView {
    agent_with(pieces.into_iter().collect())
}

#[test]
fn an_amount_is_taken_from_what_its_owner_has() {
    let agent = agent([
        piece("cpus", 4000, &[]),
        piece("cpus", 2000, &[("eng", "ops")]),
        piece("cpus", 1000, &[("eng", ""), ("eng/prod", "")]),
    ]);
    let wanted: Amounts = "cpus=1".parse().unwrap();
    assert_eq!(
        pick_all(&agent, &wanted, None).unwrap(),
        [piece("cpus", 1000, &[])].into_iter().collect()
    );
    let eng = role("eng");
    let owner = Owner { role: &eng, principal: None };
    let found = pick_all(&agent, &wanted, Some(&owner)).unwrap();
    assert_eq!(found, [piece("cpus", 1000, &[("eng", "ops")])].into_iter().collect());
    let prod = role("eng/prod");
    let owner = Owner { role: &prod, principal: None };
    let found = pick_all(&agent, &wanted, Some(&owner)).unwrap();
    assert_eq!(found.pieces()[0].flavor.reservations().len(), 2, "the whole stack");
}

#[test]
fn what_is_not_there_is_told_with_the_figures() {
    let agent = agent([piece("cpus", 1500, &[]), piece("cpus", 2000, &[("eng", "")])]);
    let failure = pick_all(&agent, &"cpus=4".parse().unwrap(), None).unwrap_err();
    assert_eq!(failure.code, 5);
    assert!(failure.message.contains("has 1.5 of cpus unreserved; 4 is wanted"), "{failure}");
    let eng = role("eng");
    let owner = Owner { role: &eng, principal: Some("ops") };
    let failure = pick_all(&agent, &"cpus=1".parse().unwrap(), Some(&owner)).unwrap_err();
    assert!(failure.message.contains("none of cpus reserved to eng by ops"), "{failure}");
}

#[test]
fn what_two_reserved_is_told_apart_by_its_principal() {
    let agent = agent([piece("cpus", 2000, &[("eng", "a")]), piece("cpus", 2000, &[("eng", "b")])]);
    let (wanted, eng): (Amounts, _) = ("cpus=1".parse().unwrap(), role("eng"));
    let owner = Owner { role: &eng, principal: None };
    let failure = pick_all(&agent, &wanted, Some(&owner)).unwrap_err();
    assert!(failure.to_string().contains("--principal"), "{failure}");
    let owner = Owner { role: &eng, principal: Some("b") };
    let found = pick_all(&agent, &wanted, Some(&owner)).unwrap();
    assert_eq!(found, [piece("cpus", 1000, &[("eng", "b")])].into_iter().collect());
}
