//! Agents, executors and operations as operators see them.

use super::{known, list, maybe, need, present, resources, text, w};
use crate::agent_api::Drain;
use crate::operator::{
    AgentStanding, AgentView, DrainState, DrainView, ExecutorView, GoneAgent, OperationView,
};
use crate::{DecodeError, Time};
use w::master::response::get_agents::Agent;
use w::master::response::get_agents::agent::Standing;
use w::master::response::get_executors::Executor;
use w::master::response::get_gone_agents::Agent as Gone;

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
            deactivated: Some(view.deactivated),
            drain_info: view.drain.as_ref().map(Into::into),
            estimated_drain_start_time: view.drain.and_then(|drain| drain.started).map(Into::into),
            standing: Some(standing as i32),
            unreachable_time: view.unreachable.map(Into::into),
            disk_pressed: view.disk_pressed.then_some(true),
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
        let mut drain: Option<DrainView> = maybe(wire.drain_info, "drain_info")?;
        if let Some(drain) = &mut drain {
            let started = wire.estimated_drain_start_time;
            drain.started = maybe(started, "estimated_drain_start_time")?;
        }
        Ok(Self {
            info: need(wire.agent_info, "agent_info")?,
            standing,
            version: text(wire.version, "version")?,
            registered: maybe(wire.registered_time, "registered_time")?.unwrap_or(Time::ZERO),
            reregistered: maybe(wire.reregistered_time, "reregistered_time")?,
            allocated: resources::read_plain(wire.allocated_resources, "allocated_resources")?,
            offered: resources::read_plain(wire.offered_resources, "offered_resources")?,
            deactivated: wire.deactivated.unwrap_or(false),
            drain,
            unreachable: maybe(wire.unreachable_time, "unreachable_time")?,
            disk_pressed: wire.disk_pressed.unwrap_or(false),
        })
    }
}

impl From<&GoneAgent> for Gone {
    fn from(gone: &GoneAgent) -> Self {
        Self { agent_id: Some((&gone.agent_id).into()), since: Some(gone.since.into()) }
    }
}

impl TryFrom<Gone> for GoneAgent {
    type Error = DecodeError;
    fn try_from(wire: Gone) -> Result<Self, DecodeError> {
        let since = maybe(wire.since, "since")?.unwrap_or(Time::ZERO);
        Ok(Self { agent_id: need(wire.agent_id, "agent_id")?, since })
    }
}

impl From<&DrainView> for w::DrainInfo {
    fn from(drain: &DrainView) -> Self {
        let config = Drain { max_grace: drain.max_grace, mark_gone: drain.mark_gone };
        Self { state: Some(drain.state as i32), config: Some((&config).into()) }
    }
}

/// Since when is said beside it.
impl TryFrom<w::DrainInfo> for DrainView {
    type Error = DecodeError;
    fn try_from(wire: w::DrainInfo) -> Result<Self, DecodeError> {
        let config: Drain = need(wire.config, "config")?;
        let state = match known(wire.state, |number| w::DrainState::try_from(number).ok()) {
            Some(w::DrainState::Draining) => DrainState::Draining,
            Some(w::DrainState::Drained) => DrainState::Drained,
            Some(w::DrainState::Unknown) | None => {
                return Err(DecodeError::new("state", "must be DRAINING or DRAINED"));
            }
        };
        let (max_grace, mark_gone) = (config.max_grace, config.mark_gone);
        Ok(Self { state, max_grace, mark_gone, started: None })
    }
}

impl From<&ExecutorView> for Executor {
    fn from(view: &ExecutorView) -> Self {
        Self { executor_info: Some(view.info.shown()), agent_id: Some((&view.agent_id).into()) }
    }
}

impl TryFrom<Executor> for ExecutorView {
    type Error = DecodeError;
    fn try_from(wire: Executor) -> Result<Self, DecodeError> {
        let info = need(wire.executor_info, "executor_info")?;
        Ok(Self { info, agent_id: need(wire.agent_id, "agent_id")? })
    }
}

impl From<&OperationView> for w::Operation {
    fn from(view: &OperationView) -> Self {
        Self {
            framework_id: view.framework_id.as_ref().map(Into::into),
            agent_id: view.agent_id.as_ref().map(Into::into),
            info: Some((&view.operation).into()),
            latest_status: Some((&view.latest_status).into()),
            statuses: view.statuses.iter().map(Into::into).collect(),
            uuid: Some(view.uuid.into()),
        }
    }
}

impl TryFrom<w::Operation> for OperationView {
    type Error = DecodeError;
    fn try_from(wire: w::Operation) -> Result<Self, DecodeError> {
        Ok(Self {
            framework_id: maybe(wire.framework_id, "framework_id")?,
            agent_id: maybe(wire.agent_id, "agent_id")?,
            operation: need(wire.info, "info")?,
            latest_status: need(wire.latest_status, "latest_status")?,
            statuses: list(wire.statuses, "statuses")?,
            uuid: need(wire.uuid, "uuid")?,
        })
    }
}
