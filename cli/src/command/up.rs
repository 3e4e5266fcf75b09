//! `tepui up`: a whole cluster on this machine, for development. Prints one line once it can take
//! work, tends it, and stops everything it started on Ctrl-C or SIGTERM.

use crate::cluster::{AgentPlan, Cluster, Plan};
use crate::failure::{Code, Failure};
use crate::output;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// What `tepui up` takes.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// How many agents to start; they share this machine's resources and stand in zones a, b, c, ...
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    agents: u16,
    /// The master's port on loopback; 0 takes any free one.
    #[arg(long, default_value_t = 5050)]
    port: u16,
    /// What each agent has to give, in Mesos' form, such as 'cpus:2;mem:1024'.
    #[arg(long, value_name = "RESOURCES")]
    resources: Option<String>,
    /// Do not use cgroups, even where that is permitted.
    #[arg(long)]
    no_cgroups: bool,
    /// Where everything durable is kept; it is there again at the next `up`.
    #[arg(long, value_name = "DIR", env = "TEPUI_DATA")]
    data: Option<PathBuf>,
}

/// Names of zones: a, b, ... z, a2, b2, ...
pub(crate) fn zone(at: usize) -> String {
    let letter = char::from(b'a' + u8::try_from(at % 26).unwrap_or(0));
    if at < 26 { letter.to_string() } else { format!("{letter}{}", at / 26 + 1) }
}

/// Where `up` keeps its data unless told otherwise.
fn default_data() -> Result<PathBuf, Failure> {
    let home = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share")));
    home.map(|home| home.join("tepui/up")).ok_or_else(|| {
        Failure::new(Code::Usage, "there is no home directory to keep the cluster's data in")
            .next("give one with --data DIR")
    })
}

/// What each of several agents has to give: an equal share of this machine. One agent alone finds
/// out by itself.
fn share(agents: u16) -> Option<String> {
    if agents < 2 {
        return None;
    }
    let machine = agent::probe::machine(std::path::Path::new("/")).ok()?;
    let cpus = machine.cpus_milli / u64::from(agents);
    let megabytes = machine.memory_offer_bytes / (1 << 20) / u64::from(agents);
    Some(format!("cpus:{};mem:{megabytes}", output::milli(cpus)))
}

/// Runs the cluster until told to stop.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let data = options.data.map_or_else(default_data, Ok)?;
    let agent = |at| AgentPlan {
        attributes: format!("zone:{}", zone(at)),
        resources: options.resources.clone().or_else(|| share(options.agents)),
    };
    let agents = (0..usize::from(options.agents)).map(agent).collect();
    let cgroups = !options.no_cgroups;
    let failed = |e: std::io::Error| Failure::new(Code::Failed, format!("signals: {e}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut cluster = tokio::select! {
        started = Cluster::start(Plan { data, port: options.port, agents, cgroups }) => started?,
        _ = interrupt.recv() => return Err(Failure::exit(130)),
        _ = terminate.recv() => return Ok(()),
    };
    output::print(&format!(
        "ready master={} agents={} data={}\n",
        cluster.master(),
        cluster.agents(),
        cluster.data().display(),
    ));
    loop {
        tokio::select! {
            event = cluster.tend() => output::say(&event),
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
    }
    cluster.stop().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::zone;

    #[test]
    fn zones_have_names_of_their_own() {
        let names: std::collections::BTreeSet<String> = (0..100).map(zone).collect();
        assert_eq!(names.len(), 100);
        assert_eq!(zone(0), "a");
        assert_eq!(zone(26), "a2");
    }
}
