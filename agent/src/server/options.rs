//! What the supervisor and the core are started with, of what the operator chose.

use crate::config::{Config, Layout};
use crate::containerizer::native::NativeOptions;
use crate::gpus::Gpu;
use crate::probe::Machine;
use agent_core::Options;
use proto::{AgentInfo, ClusterId};
use std::net::Ipv4Addr;

pub(super) fn native_options(config: &Config, layout: &Layout) -> NativeOptions {
    NativeOptions {
        command: config.supervise.clone(),
        supervisor: crate::supervisor::options::Options {
            socket: layout.socket.clone(),
            dir: layout.supervisor.clone(),
            sandboxes: layout.sandboxes.clone(),
            name: layout.name.clone(),
            away_grace: config.supervisor_away_grace,
            cgroups: config.cgroups,
            extras: config.extras,
            foreground: false,
        },
        defaults: config.native_defaults(),
        logs: config.logs,
    }
}

pub(super) fn options(
    config: &Config,
    info: AgentInfo,
    machine: &Machine,
    gpus: &[Gpu],
    (cluster_id, address): (Option<ClusterId>, Option<Ipv4Addr>),
) -> Options {
    let (connect_backoff, connect_backoff_max) = config.connect_backoff;
    let (update_retry, update_retry_max) = config.update_retry;
    // The operator may offer fewer than there are.
    let offered = usize::try_from(info.resources.scalar("gpus") / 1000).unwrap_or(usize::MAX);
    Options {
        gpus: gpus.iter().take(offered).map(|gpu| gpu.uuid.clone()).collect(),
        connect_backoff,
        connect_backoff_max,
        update_retry,
        update_retry_max,
        executor_registration_timeout: config.executor_registration_timeout,
        executor_reregistration_timeout: config.executor_reregistration_timeout,
        executor_shutdown_grace: config.executor_shutdown_grace,
        gc_delay: config.gc_delay,
        gc_disk_headroom_ppm: config.gc_disk_headroom_ppm,
        disk_pressure_ppm: machine.disk_pressure_ppm(config.disk_pressure_ppm),
        cluster_id,
        address,
        ..Options::new(info, env!("CARGO_PKG_VERSION"), machine.boot_id.as_str())
    }
}
