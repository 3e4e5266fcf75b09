//! Whether a schedule makes sense, and whether machines may go down or come up.

use super::Maintenance;
use crate::effect::Refusal;
use proto::{MachineId, MaintenanceWindow};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// What is wrong with a schedule, or with machines that an operator names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MaintenanceInvalid {
    /// It takes more bytes than are kept.
    TooLarge {
        /// How many it takes.
        bytes: usize,
        /// How many it may.
        limit: usize,
    },
    /// A window without machines, by its place.
    EmptyWindow(usize),
    /// No machine is named.
    NoMachines,
    /// A machine is named twice.
    Twice(MachineId),
    /// A machine that is down is not in the new schedule.
    DownUnscheduled(MachineId),
    /// A machine that is to go down is not in the schedule.
    NotScheduled(MachineId),
    /// A machine that is to go down is down.
    IsDown(MachineId),
    /// A machine that is to come up is not down.
    NotDown(MachineId),
}

impl fmt::Display for MaintenanceInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyWindow(index) => write!(f, "windows[{index}] names no machine"),
            Self::TooLarge { bytes, limit } => write!(
                f,
                "the schedule takes {bytes} bytes, {limit} may be taken: name fewer machines"
            ),
            Self::NoMachines => f.write_str("no machine is named"),
            Self::Twice(machine) => write!(f, "machine {machine} is named twice"),
            Self::DownUnscheduled(machine) => write!(
                f,
                "machine {machine} is down and not in the schedule: stop its maintenance first"
            ),
            Self::NotScheduled(machine) => write!(
                f,
                "machine {machine} is not in the schedule: schedule its maintenance first"
            ),
            Self::IsDown(machine) => write!(f, "machine {machine} is down already"),
            Self::NotDown(machine) => write!(f, "machine {machine} is not down"),
        }
    }
}

fn each_once<'a>(
    machines: impl Iterator<Item = &'a MachineId>,
) -> Result<BTreeSet<&'a MachineId>, Refusal> {
    let mut seen = BTreeSet::new();
    for machine in machines {
        if !seen.insert(machine) {
            return refuse(MaintenanceInvalid::Twice(machine.clone()));
        }
    }
    Ok(seen)
}

fn named(machines: &[MachineId]) -> Result<BTreeSet<&MachineId>, Refusal> {
    if machines.is_empty() {
        return refuse(MaintenanceInvalid::NoMachines);
    }
    each_once(machines.iter())
}

fn refuse<T>(invalid: MaintenanceInvalid) -> Result<T, Refusal> {
    Err(Refusal::Maintenance(invalid))
}

/// What a window weighs as a durable fact: a machine that goes down is written once more.
fn window_bytes(window: &MaintenanceWindow) -> usize {
    let word = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
    let machine = |machine: &MachineId| 2 * (16 + word(&machine.hostname) + word(&machine.ip));
    32 + window.machines.iter().map(machine).sum::<usize>()
}

/// A schedule that replaces another while these machines are down.
pub(super) fn schedule(
    windows: &[MaintenanceWindow],
    down: &BTreeSet<MachineId>,
    limit: usize,
) -> Result<(), Refusal> {
    let bytes = windows.iter().map(window_bytes).sum();
    if bytes > limit {
        return refuse(MaintenanceInvalid::TooLarge { bytes, limit });
    }
    if let Some(index) = windows.iter().position(|window| window.machines.is_empty()) {
        return refuse(MaintenanceInvalid::EmptyWindow(index));
    }
    let planned = each_once(windows.iter().flat_map(|window| &window.machines))?;
    match down.iter().find(|machine| !planned.contains(machine)) {
        Some(machine) => refuse(MaintenanceInvalid::DownUnscheduled(machine.clone())),
        None => Ok(()),
    }
}

/// Machines that are to go down.
pub(super) fn start(machines: &[MachineId], now: &Maintenance) -> Result<(), Refusal> {
    let draining: BTreeSet<&MachineId> = now.draining().collect();
    for machine in named(machines)? {
        if now.down.contains(machine) {
            return refuse(MaintenanceInvalid::IsDown(machine.clone()));
        }
        if !draining.contains(machine) {
            return refuse(MaintenanceInvalid::NotScheduled(machine.clone()));
        }
    }
    Ok(())
}

/// Machines that are to come up.
pub(super) fn stop(machines: &[MachineId], now: &Maintenance) -> Result<(), Refusal> {
    match named(machines)?.into_iter().find(|machine| !now.down.contains(*machine)) {
        Some(machine) => refuse(MaintenanceInvalid::NotDown(machine.clone())),
        None => Ok(()),
    }
}
