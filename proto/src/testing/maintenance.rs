//! Maintenance and inverse offers.

use super::{agent_id, framework_id, maybe, nanos, offer_id, resources, text, time};
use crate::{
    DrainingMachine, InverseOffer, InverseOfferAnswer, InverseOfferStatus, MachineId,
    MaintenanceStatus, MaintenanceWindow, Schedule, Unavailability,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;

/// Any unavailability.
pub fn unavailability() -> impl Strategy<Value = Unavailability> {
    (time(), maybe(nanos())).prop_map(|(start, duration)| Unavailability { start, duration })
}

/// Any machine.
pub fn machine() -> impl Strategy<Value = MachineId> {
    let name = || "[a-z0-9.-]{1,12}".prop_map(Arc::from);
    let ip = || "[0-9.:a-f]{1,12}".prop_map(Arc::from);
    prop_oneof![(name().prop_map(Some), maybe(ip())), (maybe(name()), ip().prop_map(Some)),]
        .prop_map(|(hostname, ip)| MachineId { hostname, ip })
}

/// Any schedule.
pub fn schedule() -> impl Strategy<Value = Schedule> {
    let window = (vec(machine(), 0..3), unavailability())
        .prop_map(|(machines, unavailability)| MaintenanceWindow { machines, unavailability });
    vec(window, 0..3).prop_map(|windows| Schedule { windows })
}

pub(super) fn maintenance_status() -> impl Strategy<Value = MaintenanceStatus> {
    let answer = prop::sample::select(vec![
        InverseOfferAnswer::Unknown,
        InverseOfferAnswer::Accept,
        InverseOfferAnswer::Decline,
    ]);
    let status = (answer, framework_id(), time()).prop_map(|(answer, framework_id, timestamp)| {
        InverseOfferStatus { answer, framework_id, timestamp }
    });
    let draining = (machine(), vec(status, 0..3))
        .prop_map(|(machine, statuses)| DrainingMachine { machine, statuses });
    (vec(draining, 0..3), vec(machine(), 0..3))
        .prop_map(|(draining, down)| MaintenanceStatus { draining, down })
}

pub(super) fn inverse_offer() -> impl Strategy<Value = InverseOffer> {
    let ids = (offer_id(), framework_id(), maybe(agent_id()));
    let address = maybe((text(), any::<u16>()));
    (ids, address, unavailability(), resources()).prop_map(
        |((id, framework_id, agent_id), address, unavailability, resources)| InverseOffer {
            id,
            framework_id,
            agent_id,
            address,
            unavailability,
            resources,
        },
    )
}
