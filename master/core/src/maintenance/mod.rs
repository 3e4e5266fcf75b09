//! Maintenance: machines that will be away, are away, and are back.
//!
//! A machine in the schedule is *draining*: its agents' offers say when it will be away, and
//! frameworks are asked to leave (see `inverse`). START takes it *down*: its agents are sent off
//! and not admitted until STOP, which also takes it out of the schedule. Nothing here kills a task
//! before START.

pub(crate) mod inverse;
mod validate;

pub use validate::MaintenanceInvalid;

use crate::agent::gone::Farewell;
use crate::effect::{Effect, Refusal};
use crate::registry::RegistryOp;
use crate::state::Master;
use crate::table::AgentOrd;
use proto::operator::Response;
use proto::{AgentId, AgentInfo, MachineId, MaintenanceWindow, Reason, TaskState, Unavailability};
use std::collections::BTreeSet;

/// The schedule and what is down, as the registry has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintenance {
    /// What is planned; a machine is in one window at the most.
    pub windows: Vec<MaintenanceWindow>,
    /// Machines that are down; each is in the schedule.
    pub down: BTreeSet<MachineId>,
}

/// What an agent on a machine that is down is told.
const DOWN: &str = "the machine is down for maintenance: start the agent again when that is over";

/// An agent whose machine goes down is sent off, so that nothing of it is believed in later. As in
/// Mesos its tasks are lost, even to frameworks that know of partitions.
const SENT_OFF: Farewell = Farewell {
    to_agent: "the machine goes down for maintenance; the agent's tasks must end, and it may \
               register as a new one when that is over",
    state: TaskState::Lost,
    reason: Reason::AgentRemoved,
    message: "Agent's machine went down for maintenance",
};

impl Maintenance {
    /// When the machine of an agent is away, if that is planned.
    pub fn unavailability(&self, info: &AgentInfo) -> Option<Unavailability> {
        let on = |window: &&MaintenanceWindow| {
            window.machines.iter().any(|machine| machine.is_called(&info.hostname))
        };
        self.windows.iter().find(on).map(|window| window.unavailability)
    }

    /// Whether the machine of an agent is down.
    pub fn is_down(&self, info: &AgentInfo) -> bool {
        self.down.iter().any(|machine| machine.is_called(&info.hostname))
    }

    /// Machines of the schedule that are not down.
    pub fn draining(&self) -> impl Iterator<Item = &MachineId> {
        let all = self.windows.iter().flat_map(|window| &window.machines);
        all.filter(|machine| !self.down.contains(machine))
    }
}

impl Master {
    /// Replaces the schedule.
    pub(crate) fn update_schedule(
        &mut self,
        windows: Vec<MaintenanceWindow>,
        out: &mut Vec<Effect>,
    ) -> Result<Response, Refusal> {
        let down = self.registry.maintenance().down.clone();
        validate::schedule(&windows, &down, self.options.maintenance_bytes)?;
        self.set_maintenance(Maintenance { windows, down }, out);
        Ok(Response::Ok)
    }

    /// Takes draining machines down: their agents are removed and their tasks lost. The agents go
    /// first: whatever of it is durable when the master dies, none is left on a machine that is
    /// down.
    pub(crate) fn start_maintenance(
        &mut self,
        machines: &[MachineId],
        out: &mut Vec<Effect>,
    ) -> Result<Response, Refusal> {
        let mut maintenance = self.registry.maintenance().clone();
        validate::start(machines, &maintenance)?;
        maintenance.down.extend(machines.iter().cloned());
        let agents = self.registry.agents().iter();
        let sent_off = agents.filter(|(_, agent)| maintenance.is_down(&agent.info));
        let sent_off: Vec<AgentId> = sent_off.map(|(id, _)| id.clone()).collect();
        for agent_id in sent_off {
            self.remove_for_ever(&agent_id, &SENT_OFF, out);
        }
        self.set_maintenance(maintenance, out);
        Ok(Response::Ok)
    }

    /// Machines are back, and out of the schedule.
    pub(crate) fn stop_maintenance(
        &mut self,
        machines: &[MachineId],
        out: &mut Vec<Effect>,
    ) -> Result<Response, Refusal> {
        let mut maintenance = self.registry.maintenance().clone();
        validate::stop(machines, &maintenance)?;
        for machine in machines {
            maintenance.down.remove(machine);
            for window in &mut maintenance.windows {
                window.machines.retain(|planned| planned != machine);
            }
        }
        maintenance.windows.retain(|window| !window.machines.is_empty());
        self.set_maintenance(maintenance, out);
        Ok(Response::Ok)
    }

    fn set_maintenance(&mut self, maintenance: Maintenance, out: &mut Vec<Effect>) {
        self.persist(RegistryOp::SetMaintenance { maintenance }, out);
        let agents: Vec<AgentOrd> = self.agents.iter().map(|(ord, _)| ord).collect();
        for ord in agents {
            self.plan(ord, out);
        }
    }

    /// Tells an agent's record when it is away. What was offered did not say so: it is offered
    /// anew.
    pub(crate) fn plan(&mut self, ord: AgentOrd, out: &mut Vec<Effect>) {
        let planned = self.registry.maintenance().unavailability(&self.agents[ord].info);
        if self.agents[ord].unavailability != planned {
            self.agents[ord].unavailability = planned;
            self.publisher.agent(&self.agents[ord].id);
            self.rescind_agent_offers(ord, out);
            self.rescind_inverse(ord, out);
            self.may_ask(ord);
            self.touch(ord);
        }
    }

    /// Whether the agent's machine is down, and what it is told then.
    pub(crate) fn refuses_for_maintenance(&self, info: &AgentInfo) -> Option<&'static str> {
        self.registry.maintenance().is_down(info).then_some(DOWN)
    }
}
