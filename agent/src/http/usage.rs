//! What tasks use, in the form in which Mesos' agents tell it at `/monitor/statistics` and
//! `/containers`, with what Mesos does not tell beside it under `tepui`.

use crate::containers::native_id;
use crate::disks::Disks;
use crate::usage::Usages;
use crate::whereabouts::Whereabouts;
use agent_core::Agent;
use clock::Clock;
use proto::agent_api::ContainerView;
use proto::{ContainerId, ExecutorId, FrameworkId, Resources};
use serde::Serialize;
use std::sync::Arc;

/// A container with its usage. A command task is its own executor.
#[derive(Debug, Serialize)]
pub(crate) struct Container {
    container_id: String,
    executor_id: String,
    executor_name: String,
    framework_id: String,
    source: String,
    status: ContainerStatus,
    statistics: Statistics,
    tepui: Beside,
}

/// Mesos' `ResourceStatistics`, as far as it is known. Sizes in bytes.
#[derive(Debug, Serialize)]
struct Statistics {
    /// Seconds since the Unix epoch.
    timestamp: f64,
    threads: u64,
    cpus_user_time_secs: f64,
    cpus_system_time_secs: f64,
    cpus_limit: f64,
    cpus_nr_periods: u64,
    cpus_nr_throttled: u64,
    cpus_throttled_time_secs: f64,
    mem_total_bytes: u64,
    mem_rss_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_limit_bytes: Option<u64>,
    /// Of its sandbox, as last measured; only of tasks that asked for disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_used_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_limit_bytes: Option<u64>,
    /// Of tasks that have networks of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    net_rx_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    net_tx_bytes: Option<u64>,
}

/// Mesos' `ContainerStatus`, as far as it is known.
#[derive(Debug, Serialize)]
struct ContainerStatus {
    /// Of tasks that have networks of their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    network_infos: Vec<NetworkInfo>,
}

#[derive(Debug, Serialize)]
struct NetworkInfo {
    ip_addresses: [IpAddress; 1],
}

#[derive(Debug, Serialize)]
struct IpAddress {
    protocol: &'static str,
    ip_address: String,
}

fn network(address: std::net::Ipv4Addr) -> NetworkInfo {
    let ip_address = address.to_string();
    NetworkInfo { ip_addresses: [IpAddress { protocol: "IPv4", ip_address }] }
}

/// What Mesos does not tell.
#[derive(Debug, Serialize)]
struct Beside {
    task_id: String,
    task_name: String,
    /// Rates of the last second; absent in the first one of a task.
    #[serde(flatten)]
    rates: Option<Rates>,
    cpus_allocated: f64,
    read_bytes: u64,
    written_bytes: u64,
    /// Whether the figures are those of the first process alone, for want of cgroups.
    first_process_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pressure: Option<Pressure>,
}

#[derive(Debug, Serialize)]
struct Rates {
    cpus_used: f64,
    /// The part of the periods of 100 ms that a ceiling of cpu time cut short.
    throttled_ratio: f64,
    read_bytes_per_sec: f64,
    written_bytes_per_sec: f64,
    /// Of tasks that have networks of their own, as what follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    received_bytes_per_sec: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_bytes_per_sec: Option<f64>,
}

/// Seconds in which some process of the task could not go on.
#[derive(Debug, Serialize)]
struct Pressure {
    cpu_secs: f64,
    memory_secs: f64,
    io_secs: f64,
}

/// The tasks that run here and have been looked at.
pub(crate) fn usage(
    core: &Agent,
    seen: (&Usages, &Disks, &Whereabouts),
    clock: &Clock,
) -> Vec<Container> {
    let timestamp = crate::containers::since_boot(clock, seen.0.begun_ns()).as_secs_f64();
    rows(core).filter_map(|row| container(&row, seen, timestamp)).collect()
}

/// The containers that run here, in Mesos' form.
pub(crate) fn container_views(core: &Agent) -> Vec<ContainerView> {
    let view = |row: Row<'_>| {
        // Only what runs holds anything.
        row.resources?;
        Some(ContainerView {
            container_id: row.container_id.clone(),
            parent: None,
            framework_id: Some(row.framework_id.clone()),
            executor_id: ExecutorId::new(row.id).ok(),
            executor_name: Some(row.name),
            usage: None,
        })
    };
    rows(core).filter_map(view).collect()
}

/// Who has a container: a command task, or a custom executor with all its tasks.
struct Row<'a> {
    container_id: &'a ContainerId,
    framework_id: &'a FrameworkId,
    id: &'a str,
    name: Arc<str>,
    resources: Option<Resources>,
}

fn rows(core: &Agent) -> impl Iterator<Item = Row<'_>> {
    let plain = core.tasks().filter(|task| task.executor_id.is_none());
    let of_tasks = plain.filter_map(|task| {
        Some(Row {
            container_id: task.container_id?,
            framework_id: task.framework_id,
            id: task.task_id.as_str(),
            name: task.name.into(),
            resources: task.resources.cloned(),
        })
    });
    let of_executors = core.executors().map(|executor| Row {
        container_id: executor.container_id,
        framework_id: executor.framework_id,
        id: executor.info.executor_id.as_str(),
        name: executor.info.name(),
        resources: Some(executor.resources),
    });
    of_tasks.chain(of_executors)
}

fn container(
    task: &Row<'_>,
    (usages, disks, whereabouts): (&Usages, &Disks, &Whereabouts),
    timestamp: f64,
) -> Option<Container> {
    let container_id = task.container_id;
    let id = native_id(container_id).ok()?;
    let (usage, rates) = usages.of(&id)?;
    let disk = disks.of(&id);
    let allocated = task.resources.as_ref().map_or(0, Resources::cpus) as f64 / 1000.0;
    let quota =
        usage.cpu_quota_us.map(|us| us as f64 / crate::containerizer::QUOTA_PERIOD_US as f64);
    let user = usage.cpu_time.saturating_sub(usage.system_time);
    Some(Container {
        container_id: container_id.to_string(),
        executor_id: task.id.to_owned(),
        executor_name: task.name.to_string(),
        framework_id: task.framework_id.to_string(),
        source: task.id.to_owned(),
        status: ContainerStatus {
            network_infos: whereabouts.of(&id).map(network).into_iter().collect(),
        },
        statistics: Statistics {
            timestamp,
            threads: usage.pids,
            cpus_user_time_secs: user.as_secs_f64(),
            cpus_system_time_secs: usage.system_time.as_secs_f64(),
            cpus_limit: quota.unwrap_or(allocated),
            cpus_nr_periods: usage.periods,
            cpus_nr_throttled: usage.throttled_periods,
            cpus_throttled_time_secs: usage.throttled_time.as_secs_f64(),
            mem_total_bytes: usage.memory_bytes,
            mem_rss_bytes: usage.anonymous_bytes,
            mem_limit_bytes: usage.memory_limit_bytes,
            disk_used_bytes: disk.map(|disk| disk.used),
            disk_limit_bytes: disk.map(|disk| disk.limit),
            net_rx_bytes: usage.traffic.map(|traffic| traffic.received_bytes),
            net_tx_bytes: usage.traffic.map(|traffic| traffic.sent_bytes),
        },
        tepui: Beside {
            task_id: task.id.to_owned(),
            task_name: task.name.to_string(),
            rates: rates.map(|rates| Rates {
                cpus_used: rates.cpus,
                throttled_ratio: rates.throttled,
                read_bytes_per_sec: rates.read_bytes,
                written_bytes_per_sec: rates.written_bytes,
                received_bytes_per_sec: usage.traffic.map(|_| rates.received_bytes),
                sent_bytes_per_sec: usage.traffic.map(|_| rates.sent_bytes),
            }),
            cpus_allocated: allocated,
            read_bytes: usage.read_bytes,
            written_bytes: usage.written_bytes,
            first_process_only: !usage.whole_container,
            pressure: usage.pressure.map(|waited| Pressure {
                cpu_secs: waited.cpu.as_secs_f64(),
                memory_secs: waited.memory.as_secs_f64(),
                io_secs: waited.io.as_secs_f64(),
            }),
        },
    })
}
