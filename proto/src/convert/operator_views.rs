//! Agents, frameworks, tasks and roles as operators see them.

use super::offer::{self, Reader};
use super::resources::{self, Style};
use super::{At, known, list, maybe, need, present, text, w};
use crate::operator::{AgentStanding, AgentView, FrameworkView, RoleView, TaskView};
use crate::{DecodeError, Role, TaskState, Time};
use w::master::response::get_agents::Agent;
use w::master::response::get_agents::agent::Standing;
use w::master::response::get_frameworks::Framework;

impl From<&AgentView> for Agent {
    fn from(view: &AgentView) -> Self {
        let standing = match view.standing {
            AgentStanding::Active => Standing::Active,
            AgentStanding::Suspect => Standing::Suspect,
            AgentStanding::Disconnected => Standing::Disconnected,
            AgentStanding::Recovered => Standing::Recovered,
            AgentStanding::Unreachable => Standing::Unreachable,
        };
        Self {
            agent_info: Some((&view.info).into()),
            active: Some(view.standing == AgentStanding::Active),
            version: Some(view.version.to_string()),
            registered_time: Some(view.registered.into()),
            reregistered_time: view.reregistered.map(Into::into),
            total_resources: resources::plain(&view.info.resources),
            allocated_resources: resources::plain(&view.allocated),
            offered_resources: resources::plain(&view.offered),
            standing: Some(standing as i32),
        }
    }
}

impl TryFrom<Agent> for AgentView {
    type Error = DecodeError;
    fn try_from(wire: Agent) -> Result<Self, DecodeError> {
        let active = present(wire.active, "active")?;
        let standing = match known(wire.standing, |number| Standing::try_from(number).ok()) {
            Some(Standing::Active) => AgentStanding::Active,
            Some(Standing::Suspect) => AgentStanding::Suspect,
            Some(Standing::Disconnected) => AgentStanding::Disconnected,
            Some(Standing::Recovered) => AgentStanding::Recovered,
            Some(Standing::Unreachable) => AgentStanding::Unreachable,
            None if active => AgentStanding::Active,
            None => AgentStanding::Disconnected,
        };
        Ok(Self {
            info: need(wire.agent_info, "agent_info")?,
            standing,
            version: text(wire.version, "version")?,
            registered: maybe(wire.registered_time, "registered_time")?.unwrap_or(Time::ZERO),
            reregistered: maybe(wire.reregistered_time, "reregistered_time")?,
            allocated: resources::read_plain(wire.allocated_resources, "allocated_resources")?,
            offered: resources::read_plain(wire.offered_resources, "offered_resources")?,
        })
    }
}

impl From<&FrameworkView> for Framework {
    fn from(view: &FrameworkView) -> Self {
        let offers = view.offers.iter().map(|offer| offer::write(offer, Reader::MODERN));
        let suppressed = view.suppressed_roles.iter().map(|role| role.as_str().to_owned());
        Self {
            framework_info: Some((&view.info).into()),
            active: Some(view.active),
            connected: Some(view.connected),
            registered_time: Some(view.registered.into()),
            reregistered_time: view.reregistered.map(Into::into),
            unregistered_time: view.unregistered.map(Into::into),
            offers: offers.collect(),
            allocated_resources: resources::plain(&view.allocated),
            offered_resources: resources::plain(&view.offered),
            recovered: Some(view.recovered),
            suppressed_roles: suppressed.collect(),
            demands: view.demands.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<Framework> for FrameworkView {
    type Error = DecodeError;
    fn try_from(wire: Framework) -> Result<Self, DecodeError> {
        Ok(Self {
            info: need(wire.framework_info, "framework_info")?,
            active: present(wire.active, "active")?,
            connected: present(wire.connected, "connected")?,
            recovered: present(wire.recovered, "recovered")?,
            registered: maybe(wire.registered_time, "registered_time")?.unwrap_or(Time::ZERO),
            reregistered: maybe(wire.reregistered_time, "reregistered_time")?,
            unregistered: maybe(wire.unregistered_time, "unregistered_time")?,
            suppressed_roles: list(wire.suppressed_roles, "suppressed_roles")?,
            offers: list(wire.offers, "offers")?,
            allocated: resources::read_plain(wire.allocated_resources, "allocated_resources")?,
            offered: resources::read_plain(wire.offered_resources, "offered_resources")?,
            demands: list(wire.demands, "demands")?,
        })
    }
}

impl From<&TaskView> for w::Task {
    fn from(view: &TaskView) -> Self {
        let style = Style { role: Some(&view.role), old_role: false };
        Self {
            name: Some(view.name.to_string()),
            task_id: Some((&view.task_id).into()),
            framework_id: Some((&view.framework_id).into()),
            executor_id: None,
            agent_id: Some((&view.agent_id).into()),
            state: Some(i32::from(view.state as u8)),
            resources: resources::write(&view.resources, style),
            statuses: view.statuses.iter().map(Into::into).collect(),
            role: Some(view.role.as_str().to_owned()),
        }
    }
}

impl TryFrom<w::Task> for TaskView {
    type Error = DecodeError;
    fn try_from(wire: w::Task) -> Result<Self, DecodeError> {
        let (resources, mut role) = resources::read(wire.resources, "resources")?;
        if let Some(name) = wire.role {
            resources::agree(&mut role, &name).at("role")?;
        }
        Ok(Self {
            name: text(wire.name, "name")?,
            task_id: need(wire.task_id, "task_id")?,
            framework_id: need(wire.framework_id, "framework_id")?,
            agent_id: need(wire.agent_id, "agent_id")?,
            state: present(known(wire.state, TaskState::from_number), "state")?,
            resources,
            role: role.unwrap_or_else(Role::any),
            statuses: list(wire.statuses, "statuses")?,
        })
    }
}

impl From<&RoleView> for w::Role {
    fn from(view: &RoleView) -> Self {
        Self {
            name: Some(view.role.as_str().to_owned()),
            weight: Some(view.weight_milli as f64 / 1000.0),
            frameworks: view.frameworks.iter().map(Into::into).collect(),
            resources: resources::plain(&view.allocated),
            dominant_share_ppm: Some(view.dominant_share_ppm),
        }
    }
}

impl TryFrom<w::Role> for RoleView {
    type Error = DecodeError;
    fn try_from(wire: w::Role) -> Result<Self, DecodeError> {
        Ok(Self {
            role: Role::new(present(wire.name, "name")?).at("name")?,
            weight_milli: resources::milli(present(wire.weight, "weight")?, "weight")?,
            frameworks: list(wire.frameworks, "frameworks")?,
            allocated: resources::read_plain(wire.resources, "resources")?,
            dominant_share_ppm: wire.dominant_share_ppm.unwrap_or(0),
        })
    }
}
