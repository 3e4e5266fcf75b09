//! `tepui agent`: runs an agent.

mod containers;
mod executors;
mod fetch;
mod logs;

use super::master::with_causes;
use crate::daemon::{self, Ending};
use crate::failure::{Code, Failure};
use proto::{ClusterId, Domain};
use std::net::SocketAddr;
use std::path::PathBuf;

/// What `tepui agent` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui agent --work-dir /var/lib/tepui/agent
  tepui agent --work-dir a --master 10.0.0.1:5050 --listen 10.0.0.2:5051 \\
      --attributes 'zone:a;disk:ssd' --resources 'cpus:4;mem:8192;ports:[31000-32000]'

SIGTERM ends the agent and keeps its tasks running under their supervisor: the next agent with
the same work directory takes them up. With --kill-tasks-on-exit they end with it.
SIGUSR2 has it become the program that is now at its path, while tasks go on.")]
pub(crate) struct Options {
    /// The masters' addresses.
    #[arg(
        long,
        env = "TEPUI_MASTER",
        default_value = "127.0.0.1:5050",
        value_delimiter = ',',
        value_name = "HOST:PORT,..."
    )]
    master: Vec<String>,
    /// Where to listen. Only loopback unless told otherwise.
    #[arg(long, default_value = "127.0.0.1:5051", value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// Where checkpoints and sandboxes are kept.
    #[arg(long, value_name = "DIR")]
    work_dir: PathBuf,
    /// The name or address under which others reach this agent. The listening address by default.
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// What the agent has to give: 'cpus:4;mem:1024;ports:[31000-32000]', JSON as in Mesos, or
    /// file:///PATH with either. What the machine has by default.
    #[arg(long, env = "TEPUI_AGENT_RESOURCES", value_name = "RESOURCES")]
    resources: Option<String>,
    /// Offer no GPUs, even where there are some.
    #[arg(long)]
    no_gpus: bool,
    /// NVIDIA's library that lists the GPUs of this machine: libnvidia-ml.so.1 by default, and no
    /// GPUs where there is none.
    #[arg(long, value_name = "PATH", conflicts_with = "no_gpus")]
    nvml_library: Option<PathBuf>,
    /// Facts for constraints, such as 'zone:a;level:10', or file:///PATH with them.
    #[arg(long, env = "TEPUI_AGENT_ATTRIBUTES", value_name = "ATTRIBUTES")]
    attributes: Option<String>,
    /// Where the agent stands. Agents of another region than the master's are offered only to
    /// frameworks that are aware of regions.
    #[arg(long, env = "TEPUI_AGENT_DOMAIN", value_name = "REGION/ZONE",
        value_parser = super::master::domain)]
    domain: Option<Domain>,
    /// The cluster that the work directory must belong to.
    #[arg(long, value_name = "NAME")]
    cluster: Option<ClusterId>,
    /// Do not use cgroups, even where that is permitted.
    #[arg(long)]
    no_cgroups: bool,
    /// Hold each task to the cpus it asked for, even when more are idle.
    #[arg(long)]
    cpu_ceiling: bool,
    /// Whether tasks that ask for whole cpus have them alone ('pin'): the others run on the rest,
    /// which is never less than one cpu.
    #[arg(long, value_enum, default_value = "off")]
    cpuset: Cpuset,
    /// Share disks among tasks by weight, as cpus are shared, where the kernel can.
    #[arg(long)]
    io_weight: bool,
    /// Let tasks write more into their sandboxes than the disk that they asked for.
    #[arg(long)]
    no_disk_limits: bool,
    /// The most processes and threads that one task may have.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pids: Option<u64>,
    /// From where people may open sessions in containers of tasks ('tepui exec').
    #[arg(long, value_name = "WHERE", default_value = "loopback", value_parser = sessions_from)]
    sessions_from: agent::SessionsFrom,
    /// End all tasks, and their supervisor, when the agent is told to stop.
    #[arg(long)]
    kill_tasks_on_exit: bool,
    #[command(flatten)]
    containers: containers::ContainerOptions,
    #[command(flatten)]
    executors: executors::ExecutorOptions,
    #[command(flatten)]
    fetch: fetch::FetchOptions,
    #[command(flatten)]
    logs: logs::LogOptions,
    #[command(flatten)]
    daemon: daemon::DaemonOptions,
}

/// Whose cpus are.
#[derive(clap::ValueEnum, Debug, Clone, Copy)]
enum Cpuset {
    /// Everybody's.
    Off,
    /// Of those alone who ask for whole ones.
    Pin,
}

/// Runs the agent until it is told to stop.
pub(crate) fn run(options: Options) -> Result<(), Failure> {
    let program =
        crate::anew::own_program().map_err(|problem| Failure::new(Code::Failed, problem))?;
    let supervise = vec![program.into_os_string(), "supervise".into()];
    let mut config = agent::Config::new(options.master, options.work_dir, supervise);
    config.hostname = options.hostname;
    config.resources = options.resources;
    config.gpus = !options.no_gpus;
    config.nvml_library = options.nvml_library;
    config.attributes = options.attributes;
    config.domain = options.domain;
    config.cluster = options.cluster.map(|cluster| cluster.to_string());
    config.cgroups = !options.no_cgroups;
    let pin_cpus = matches!(options.cpuset, Cpuset::Pin);
    config.extras = agent::Extras { pin_cpus, io_weight: options.io_weight };
    config.cpu_ceiling = options.cpu_ceiling;
    config.pids = options.pids;
    config.sessions_from = options.sessions_from;
    config.logs = options.logs.policy();
    options.fetch.apply(&mut config.fetch);
    config.policy = options.containers.policy();
    options.executors.apply(&mut config);
    config.policy.disk_limits = !options.no_disk_limits;
    let protocol = agent::supervisor::protocol();
    daemon::run(&options.daemon, Some(protocol), async move |stop| {
        let listener = agent::listen(options.listen).await.map_err(|e| failure(&e))?;
        let stop = async move {
            match stop.await {
                Ending::Stop if options.kill_tasks_on_exit => agent::Stop::EndTasks,
                Ending::Stop | Ending::Anew => agent::Stop::KeepTasks,
            }
        };
        agent::run(config, listener, stop).await.map_err(|e| failure(&e))
    })
}

fn sessions_from(text: &str) -> Result<agent::SessionsFrom, String> {
    match text {
        "nowhere" => Ok(agent::SessionsFrom::Nowhere),
        "loopback" => Ok(agent::SessionsFrom::Loopback),
        "anywhere" => Ok(agent::SessionsFrom::Anywhere),
        other => Err(format!("'{other}' is none of nowhere, loopback and anywhere")),
    }
}

fn failure(error: &agent::Error) -> Failure {
    let code = match error {
        agent::Error::Setting { .. } | agent::Error::LongPath { .. } => Code::Usage,
        agent::Error::PortInUse { .. }
        | agent::Error::Store(_)
        | agent::Error::OtherCluster { .. }
        | agent::Error::Reconfigured { .. } => Code::Conflict,
        _ => Code::Failed,
    };
    Failure::new(code, with_causes(error))
}
