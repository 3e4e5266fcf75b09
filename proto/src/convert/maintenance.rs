//! Maintenance: machines, windows, and what frameworks answer to inverse offers.

use super::{At, known, list, maybe, need, present, w};
use crate::{
    DecodeError, DrainingMachine, InverseOfferAnswer, InverseOfferStatus, MachineId,
    MaintenanceStatus, MaintenanceWindow, Schedule, Unavailability,
};
use std::sync::Arc;
use w::allocator::inverse_offer_status::Status;
use w::maintenance as wire;

impl From<Unavailability> for w::Unavailability {
    fn from(unavailability: Unavailability) -> Self {
        Self {
            start: Some(unavailability.start.into()),
            duration: unavailability.duration.map(Into::into),
        }
    }
}

impl TryFrom<w::Unavailability> for Unavailability {
    type Error = DecodeError;
    fn try_from(wire: w::Unavailability) -> Result<Self, DecodeError> {
        let duration = maybe(wire.duration, "duration")?;
        Ok(Self { start: need(wire.start, "start")?, duration })
    }
}

impl From<&MachineId> for w::MachineId {
    fn from(machine: &MachineId) -> Self {
        let said = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        Self { hostname: said(&machine.hostname), ip: said(&machine.ip) }
    }
}

/// Names are the same in capitals and in small letters; an empty one is none.
impl TryFrom<w::MachineId> for MachineId {
    type Error = DecodeError;
    fn try_from(wire: w::MachineId) -> Result<Self, DecodeError> {
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        let hostname = said(wire.hostname).map(|name| name.to_lowercase().into());
        let ip = said(wire.ip).map(Into::into);
        if hostname.is_none() && ip.is_none() {
            return Err(DecodeError::new("", "must have a 'hostname' or an 'ip'"));
        }
        Ok(Self { hostname, ip })
    }
}

impl From<&MaintenanceWindow> for wire::Window {
    fn from(window: &MaintenanceWindow) -> Self {
        Self {
            machine_ids: window.machines.iter().map(Into::into).collect(),
            unavailability: Some(window.unavailability.into()),
        }
    }
}

impl TryFrom<wire::Window> for MaintenanceWindow {
    type Error = DecodeError;
    fn try_from(wire: wire::Window) -> Result<Self, DecodeError> {
        Ok(Self {
            machines: list(wire.machine_ids, "machine_ids")?,
            unavailability: need(wire.unavailability, "unavailability")?,
        })
    }
}

impl From<&Schedule> for wire::Schedule {
    fn from(schedule: &Schedule) -> Self {
        Self { windows: schedule.windows.iter().map(Into::into).collect() }
    }
}

impl TryFrom<wire::Schedule> for Schedule {
    type Error = DecodeError;
    fn try_from(wire: wire::Schedule) -> Result<Self, DecodeError> {
        Ok(Self { windows: list(wire.windows, "windows")? })
    }
}

impl From<&InverseOfferStatus> for w::allocator::InverseOfferStatus {
    fn from(status: &InverseOfferStatus) -> Self {
        Self {
            status: Some(status.answer as i32),
            framework_id: Some((&status.framework_id).into()),
            timestamp: Some(status.timestamp.into()),
        }
    }
}

impl TryFrom<w::allocator::InverseOfferStatus> for InverseOfferStatus {
    type Error = DecodeError;
    fn try_from(wire: w::allocator::InverseOfferStatus) -> Result<Self, DecodeError> {
        let status = known(wire.status, |number| Status::try_from(number).ok());
        Ok(Self {
            answer: match present(status, "status")? {
                Status::Unknown => InverseOfferAnswer::Unknown,
                Status::Accept => InverseOfferAnswer::Accept,
                Status::Decline => InverseOfferAnswer::Decline,
            },
            framework_id: need(wire.framework_id, "framework_id")?,
            timestamp: need(wire.timestamp, "timestamp")?,
        })
    }
}

impl From<&MaintenanceStatus> for wire::ClusterStatus {
    fn from(status: &MaintenanceStatus) -> Self {
        let draining = |machine: &DrainingMachine| wire::cluster_status::DrainingMachine {
            id: Some((&machine.machine).into()),
            statuses: machine.statuses.iter().map(Into::into).collect(),
        };
        Self {
            draining_machines: status.draining.iter().map(draining).collect(),
            down_machines: status.down.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::ClusterStatus> for MaintenanceStatus {
    type Error = DecodeError;
    fn try_from(wire: wire::ClusterStatus) -> Result<Self, DecodeError> {
        let draining = |wire: wire::cluster_status::DrainingMachine| {
            let statuses = list(wire.statuses, "statuses")?;
            Ok(DrainingMachine { machine: need(wire.id, "id")?, statuses })
        };
        let machines = super::list_with(wire.draining_machines, "draining_machines", draining)?;
        Ok(Self { draining: machines, down: list(wire.down_machines, "down_machines")? })
    }
}

/// Machines of a call.
pub(super) fn machines(
    wire: Vec<w::MachineId>,
    field: &str,
) -> Result<Vec<MachineId>, DecodeError> {
    list(wire, "machines").at(field)
}
