//! What goes with agents that are removed.

use super::kept_on;
use proto::operator::{AgentStanding, AgentView};
use proto::{
    AgentId, AgentInfo, Disk, Flavor, Labels, Persistence, Piece, Reservation, ReservationKind,
    ResourceName, Resources, Role, Special, Time, Value, VolumeId,
};

pub(crate) fn piece(name: &str, milli: u64, kind: ReservationKind, volume: Option<&str>) -> Piece {
    let reservation = Reservation {
        kind,
        role: Role::new("eng").unwrap(),
        principal: None,
        labels: Labels::new(),
    };
    let persistence = |id| Persistence { id: VolumeId::new(id).unwrap(), principal: None };
    let disk = volume.map(|id| Disk { persistence: Some(persistence(id)), ..Disk::default() });
    let special = Special { reservations: vec![reservation], disk, ..Special::default() };
    let (name, value) = (ResourceName::new(name), Value::Scalar(milli));
    Piece { name, flavor: Flavor::new(false, special), value }
}

pub(crate) fn agent(pieces: Vec<Piece>) -> AgentView {
    let mut resources: Resources = pieces.into_iter().collect();
    resources.add(&Resources::cpus_mem(4000, 1_024_000));
    agent_with(resources)
}

/// An agent that has just this.
pub(crate) fn agent_with(resources: Resources) -> AgentView {
    let info = AgentInfo {
        id: Some(AgentId::new("c-S0").unwrap()),
        hostname: "host".into(),
        port: 5051,
        resources,
        attributes: Vec::new(),
        domain: None,
    };
    AgentView {
        info,
        standing: AgentStanding::Active,
        version: "1".into(),
        registered: Time::ZERO,
        reregistered: None,
        allocated: Resources::new(),
        offered: Resources::new(),
        deactivated: false,
        drain: None,
        unreachable: None,
        disk_pressed: false,
    }
}

#[test]
fn volumes_and_reservations_are_named_with_their_amounts() {
    use ReservationKind::{Dynamic, Static};
    assert_eq!(kept_on(&[agent(Vec::new())]), "");
    let cpus = agent(vec![piece("cpus", 500, Dynamic, None)]);
    assert_eq!(kept_on(std::slice::from_ref(&cpus)), ", the reservations of cpus=0.5");
    let volumes = agent(vec![
        piece("disk", 256_000, Dynamic, Some("a")),
        piece("disk", 128_000, Dynamic, Some("b")),
        piece("disk", 16_000, Dynamic, None),
    ]);
    assert_eq!(
        kept_on(&[cpus, volumes]),
        ", 2 volumes with 384 MB and all that is in them, the reservations of cpus=0.5,disk=400"
    );
    // What it says by itself is there again; a volume in it is not.
    let of_its_own =
        agent(vec![piece("mem", 1000, Static, None), piece("disk", 1000, Static, Some("a"))]);
    assert_eq!(kept_on(&[of_its_own]), ", 1 volume with 1 MB and all that is in them");
}
