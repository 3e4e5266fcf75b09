//! Status updates and typed outcomes. On the hot path: no work that is not needed.

use super::{known, maybe, need, present, text, time, w};
use crate::{
    DecodeError, Exit, LimitHit, Reason, Source, TaskOutcome, TaskState, TaskStatus, TaskUsage,
    Time,
};
use std::net::Ipv4Addr;
use std::time::Duration;
use w::task_outcome::{Limit, Usage};

impl From<&TaskStatus> for w::TaskStatus {
    fn from(status: &TaskStatus) -> Self {
        let container = (status.container_id.as_ref(), status.address);
        Self {
            task_id: Some((&status.task_id).into()),
            state: Some(i32::from(status.state as u8)),
            data: status.data.as_deref().map(<[u8]>::to_vec),
            message: status.message.as_deref().map(str::to_owned),
            agent_id: status.agent_id.as_ref().map(Into::into),
            timestamp: Some(status.timestamp.as_secs_f64()),
            executor_id: status.executor_id.as_ref().map(Into::into),
            healthy: status.healthy,
            check_status: status.check_status.map(Into::into),
            source: Some(i32::from(status.source as u8)),
            reason: status.reason.map(|reason| i32::from(reason as u16)),
            uuid: status.uuid.map(|uuid| uuid.0.to_vec()),
            container_status: (container != (None, None)).then(|| w::ContainerStatus {
                network_infos: container.1.map(network).into_iter().collect(),
                container_id: container.0.map(Into::into),
            }),
            unreachable_time: status.unreachable_time.map(Into::into),
            outcome: status.outcome.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<w::TaskStatus> for TaskStatus {
    type Error = DecodeError;
    fn try_from(wire: w::TaskStatus) -> Result<Self, DecodeError> {
        // Who leaves the source out: an update that wants an acknowledgement is not the master's.
        let usual = if wire.uuid.is_some() { Source::Executor } else { Source::Master };
        let container = wire.container_status.unwrap_or_default();
        Ok(Self {
            task_id: need(wire.task_id, "task_id")?,
            state: present(known(wire.state, TaskState::from_number), "state")?,
            source: known(wire.source, source).unwrap_or(usual),
            reason: known(wire.reason, Reason::from_number),
            message: wire.message.map(Into::into),
            agent_id: maybe(wire.agent_id, "agent_id")?,
            executor_id: maybe(wire.executor_id, "executor_id")?,
            timestamp: wire.timestamp.map_or(Time::ZERO, Time::from_secs_f64),
            uuid: maybe(wire.uuid, "uuid")?,
            healthy: wire.healthy,
            check_status: maybe(wire.check_status, "check_status")?,
            unreachable_time: maybe(wire.unreachable_time, "unreachable_time")?,
            address: address(&container.network_infos),
            container_id: maybe(container.container_id, "container_status.container_id")?,
            outcome: maybe(wire.outcome, "outcome")?,
            data: wire.data.map(Into::into),
        })
    }
}

fn network(address: Ipv4Addr) -> w::NetworkInfo {
    let protocol = Some(w::network_info::Protocol::IPv4 as i32);
    let ip_address = Some(address.to_string());
    w::NetworkInfo { ip_addresses: vec![w::network_info::IpAddress { protocol, ip_address }] }
}

/// The first that there is. Executors may tell others, which nobody here has a use for.
fn address(networks: &[w::NetworkInfo]) -> Option<Ipv4Addr> {
    let all = networks.iter().flat_map(|network| &network.ip_addresses);
    all.filter_map(|told| told.ip_address.as_deref()?.parse().ok()).next()
}

fn source(number: i32) -> Option<Source> {
    match number {
        0 => Some(Source::Master),
        1 => Some(Source::Agent),
        2 => Some(Source::Executor),
        _ => None,
    }
}

impl From<&TaskOutcome> for w::TaskOutcome {
    fn from(outcome: &TaskOutcome) -> Self {
        let (exit_code, signal) = match outcome.exit {
            Some(Exit::Code(code)) => (Some(code), None),
            Some(Exit::Signal(signal)) => (None, Some(signal)),
            None => (None, None),
        };
        let limit = |limit: &LimitHit| Limit {
            resource: Some(limit.resource.to_string()),
            usage: Some(limit.usage),
            limit: Some(limit.limit),
        };
        let usage = |usage: TaskUsage| Usage {
            cpu_time_nanoseconds: Some(time::nanos(usage.cpu_time)),
            max_memory_bytes: Some(usage.max_memory),
            wall_time_nanoseconds: Some(time::nanos(usage.wall_time)),
        };
        Self {
            exit_code,
            signal,
            limit: outcome.limit.as_ref().map(limit),
            usage: outcome.usage.map(usage),
        }
    }
}

impl TryFrom<w::TaskOutcome> for TaskOutcome {
    type Error = DecodeError;
    fn try_from(wire: w::TaskOutcome) -> Result<Self, DecodeError> {
        let limit = |limit: Limit| -> Result<LimitHit, DecodeError> {
            Ok(LimitHit {
                resource: text(limit.resource, "limit.resource")?,
                usage: limit.usage.unwrap_or(0),
                limit: limit.limit.unwrap_or(0),
            })
        };
        let usage = |usage: Usage| TaskUsage {
            cpu_time: Duration::from_nanos(usage.cpu_time_nanoseconds.unwrap_or(0)),
            max_memory: usage.max_memory_bytes.unwrap_or(0),
            wall_time: Duration::from_nanos(usage.wall_time_nanoseconds.unwrap_or(0)),
        };
        Ok(Self {
            exit: wire.signal.map(Exit::Signal).or(wire.exit_code.map(Exit::Code)),
            limit: wire.limit.map(limit).transpose()?,
            usage: wire.usage.map(usage),
        })
    }
}
