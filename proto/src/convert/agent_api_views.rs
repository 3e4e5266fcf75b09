//! Files, containers and the agent itself, as its operators see them.

use super::{maybe, need, resources, text, time, w};
use crate::agent_api::{AgentView, ContainerPath, ContainerUsage, ContainerView, Drain, FileInfo};
use crate::{DecodeError, Time};
use w::agent::response::GetAgent;
use w::agent::response::get_containers::Container;

impl From<&FileInfo> for w::FileInfo {
    fn from(file: &FileInfo) -> Self {
        Self {
            path: Some(file.path.to_string()),
            nlink: file.nlink,
            size: file.size,
            mtime: file.mtime.map(Into::into),
            mode: file.mode,
            uid: file.uid.as_deref().map(str::to_owned),
            gid: file.gid.as_deref().map(str::to_owned),
        }
    }
}

impl TryFrom<w::FileInfo> for FileInfo {
    type Error = DecodeError;
    fn try_from(wire: w::FileInfo) -> Result<Self, DecodeError> {
        Ok(Self {
            path: text(wire.path, "path")?,
            nlink: wire.nlink,
            size: wire.size,
            mtime: maybe(wire.mtime, "mtime")?,
            mode: wire.mode,
            uid: wire.uid.map(Into::into),
            gid: wire.gid.map(Into::into),
        })
    }
}

impl From<&ContainerView> for Container {
    fn from(view: &ContainerView) -> Self {
        Self {
            framework_id: view.framework_id.as_ref().map(Into::into),
            executor_id: view.executor_id.as_ref().map(Into::into),
            executor_name: view.executor_name.as_deref().map(str::to_owned),
            container_id: Some(w::ContainerId {
                parent: view.parent.as_ref().map(|parent| Box::new(parent.into())),
                ..(&view.container_id).into()
            }),
            resource_statistics: view.usage.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<Container> for ContainerView {
    type Error = DecodeError;
    fn try_from(wire: Container) -> Result<Self, DecodeError> {
        let path: ContainerPath = need(wire.container_id, "container_id")?;
        Ok(Self {
            container_id: path.id,
            parent: path.parent,
            framework_id: maybe(wire.framework_id, "framework_id")?,
            executor_id: maybe(wire.executor_id, "executor_id")?,
            executor_name: wire.executor_name.map(Into::into),
            usage: maybe(wire.resource_statistics, "resource_statistics")?,
        })
    }
}

impl From<&ContainerUsage> for w::ResourceStatistics {
    fn from(usage: &ContainerUsage) -> Self {
        Self {
            timestamp: Some(usage.timestamp.as_secs_f64()),
            cpus_user_time_secs: usage.cpu_user.map(|time| time.as_secs_f64()),
            cpus_system_time_secs: usage.cpu_system.map(|time| time.as_secs_f64()),
            cpus_limit: usage.cpus_limit_milli.map(|milli| milli as f64 / 1000.0),
            mem_rss_bytes: usage.memory_rss,
            mem_limit_bytes: usage.memory_limit,
            processes: usage.processes,
            threads: usage.threads,
            mem_total_bytes: usage.memory_total,
        }
    }
}

impl TryFrom<w::ResourceStatistics> for ContainerUsage {
    type Error = DecodeError;
    fn try_from(wire: w::ResourceStatistics) -> Result<Self, DecodeError> {
        let seconds = |value: Option<f64>, field: &str| {
            value.map(|value| time::interval(value, field)).transpose()
        };
        let milli = |value: f64| resources::milli(value, "cpus_limit");
        Ok(Self {
            timestamp: wire.timestamp.map_or(Time::ZERO, Time::from_secs_f64),
            cpu_user: seconds(wire.cpus_user_time_secs, "cpus_user_time_secs")?,
            cpu_system: seconds(wire.cpus_system_time_secs, "cpus_system_time_secs")?,
            cpus_limit_milli: wire.cpus_limit.map(milli).transpose()?,
            memory_rss: wire.mem_rss_bytes,
            memory_total: wire.mem_total_bytes,
            memory_limit: wire.mem_limit_bytes,
            processes: wire.processes,
            threads: wire.threads,
        })
    }
}

impl From<&AgentView> for GetAgent {
    fn from(view: &AgentView) -> Self {
        Self {
            agent_info: Some((&view.info).into()),
            drain_config: view.drain.as_ref().map(Into::into),
            estimated_drain_start_time: view.drain_started.map(Into::into),
        }
    }
}

impl TryFrom<GetAgent> for AgentView {
    type Error = DecodeError;
    fn try_from(wire: GetAgent) -> Result<Self, DecodeError> {
        Ok(Self {
            info: need(wire.agent_info, "agent_info")?,
            drain: maybe(wire.drain_config, "drain_config")?,
            drain_started: maybe(wire.estimated_drain_start_time, "estimated_drain_start_time")?,
        })
    }
}

impl From<&Drain> for w::DrainConfig {
    fn from(drain: &Drain) -> Self {
        let max_grace_period = drain.max_grace.map(Into::into);
        Self { max_grace_period, mark_gone: Some(drain.mark_gone) }
    }
}

impl TryFrom<w::DrainConfig> for Drain {
    type Error = DecodeError;
    fn try_from(wire: w::DrainConfig) -> Result<Self, DecodeError> {
        let max_grace = maybe(wire.max_grace_period, "max_grace_period")?;
        Ok(Self { max_grace, mark_gone: wire.mark_gone.unwrap_or(false) })
    }
}
