//! `tepui up`: a whole cluster on this machine, for development. Prints one line once it can take
//! work, tends it, and stops everything it started on Ctrl-C or SIGTERM.

use crate::cluster::{AgentPlan, Cluster, Plan};
use crate::command::jobs::Where;
use crate::failure::{Code, Failure};
use crate::output;
use agent::probe::Machine;
use std::path::{Path, PathBuf};
use tokio::signal::unix::{SignalKind, signal};

/// What `tepui up` takes.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// How many agents to start; they share what this machine has (cpus, memory, disk, ports), and
    /// stand in zones a, b, c, ...
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    agents: u16,
    /// The master's port on loopback; 0 takes any free one.
    #[arg(long, default_value_t = 5050)]
    port: u16,
    /// What each agent has to give, in Mesos' form, such as 'cpus:2;mem:1024'; of what is not
    /// named it has its share.
    #[arg(long, value_name = "RESOURCES")]
    resources: Option<String>,
    /// Do not use cgroups, even where that is permitted.
    #[arg(long)]
    no_cgroups: bool,
    /// Where jobs are recorded: in the data directory, or by the master. Each has jobs of its own.
    #[arg(long, value_enum, default_value_t, value_name = "WHERE")]
    state: Where,
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

/// The ports that an agent offers when nobody names any.
const PORTS: (u64, u64) = (31_000, 32_000);

/// What each of several agents has to give: what is named, and of the rest an equal share of this
/// machine, ports that nobody else has among it. One agent alone finds out by itself.
fn shares(
    given: Option<&str>,
    agents: u16,
    machine: &Machine,
) -> Result<Vec<Option<String>>, Failure> {
    let among = u64::from(agents);
    if among < 2 {
        return Ok(vec![given.map(str::to_owned)]);
    }
    let megabytes = |bytes: u64| (bytes / (1 << 20) / among).to_string();
    let each = (PORTS.1 - PORTS.0 + 1) / among;
    let share = |at: u64| {
        let first = PORTS.0 + at * each;
        let measured = [
            ("cpus", output::milli(machine.cpus_milli / among)),
            ("mem", megabytes(machine.memory_offer_bytes)),
            ("disk", megabytes(machine.disk_offer_bytes)),
            ("ports", format!("[{first}-{}]", first + each - 1)),
        ];
        completed(given.unwrap_or_default(), measured).map(Some)
    };
    (0..among).map(share).collect()
}

/// Resources in one of Mesos' forms, with those of the measured ones that are not among them.
fn completed(given: &str, measured: [(&str, String); 4]) -> Result<String, Failure> {
    if given.trim_start().starts_with(['[', '{']) {
        return Err(Failure::new(Code::Usage, "resources in JSON are for one agent alone")
            .next("give each agent's in text, such as --resources 'cpus:2;mem:1024'"));
    }
    let names = |name: &str| {
        let mut entries = given.split(';').filter_map(|entry| entry.split([':', '(']).next());
        entries.any(|entry| entry.trim() == name)
    };
    let own = given.split(';').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned);
    let rest = measured.into_iter().filter(|(name, _)| !names(name));
    let all: Vec<String> = own.chain(rest.map(|(name, share)| format!("{name}:{share}"))).collect();
    Ok(all.join(";"))
}

/// What this machine has, where the data are kept or will be.
fn machine(data: &Path) -> Result<Machine, Failure> {
    // What is not there yet will be made on the file system of what is above it.
    let there = data.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("."));
    agent::probe::machine(there).map_err(|e| {
        Failure::new(Code::Failed, format!("cannot find out what this machine has: {e}"))
            .next("start one agent, with --resources")
    })
}

/// Runs the cluster until told to stop.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let data = options.data.map_or_else(default_data, Ok)?;
    let shares = shares(options.resources.as_deref(), options.agents, &machine(&data)?)?;
    let agent = |(at, resources)| AgentPlan { attributes: format!("zone:{}", zone(at)), resources };
    let agents = shares.into_iter().enumerate().map(agent).collect();
    let (cgroups, port, state) = (!options.no_cgroups, options.port, options.state);
    let plan = Plan { data, port, agents, cgroups, state };
    let failed = |e: std::io::Error| Failure::new(Code::Failed, format!("signals: {e}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut cluster = tokio::select! {
        started = Cluster::start(plan) => started?,
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
    use super::*;

    fn machine_of_four() -> Machine {
        Machine {
            cpus_milli: 4000,
            memory_total_bytes: 9 << 30,
            memory_offer_bytes: 8 << 30,
            disk_total_bytes: 105 << 30,
            disk_offer_bytes: 100 << 30,
            boot_id: String::new(),
            hostname: String::new(),
            cgroups: agent::probe::CgroupSupport::Absent,
        }
    }

    #[test]
    fn agents_share_the_machine_and_nothing_is_promised_twice() {
        let machine = machine_of_four();
        let all = shares(None, 2, &machine).unwrap();
        assert_eq!(
            all,
            [
                Some("cpus:2;mem:4096;disk:51200;ports:[31000-31499]".to_owned()),
                Some("cpus:2;mem:4096;disk:51200;ports:[31500-31999]".to_owned()),
            ]
        );
        assert_eq!(shares(None, 1, &machine).unwrap(), [None], "it measures by itself");
        let hundred = shares(None, 100, &machine).unwrap();
        assert!(hundred[99].as_deref().unwrap().ends_with("ports:[31990-31999]"), "{hundred:?}");
    }

    #[test]
    fn what_is_named_for_each_agent_stays_and_the_rest_is_shared() {
        let machine = machine_of_four();
        let all = shares(Some("cpus(eng):3; disk:10;"), 2, &machine).unwrap();
        assert_eq!(all[1].as_deref(), Some("cpus(eng):3;disk:10;mem:4096;ports:[31500-31999]"));
        let alone = shares(Some("cpus:1"), 1, &machine).unwrap();
        assert_eq!(alone, [Some("cpus:1".to_owned())]);
        let json = shares(Some(" [{}]"), 2, &machine).unwrap_err();
        assert!(json.code == Code::Usage as u8 && json.next.unwrap().contains("--resources"));
    }

    #[test]
    fn zones_have_names_of_their_own() {
        let names: std::collections::BTreeSet<String> = (0..100).map(zone).collect();
        assert_eq!(names.len(), 100);
        assert_eq!(zone(0), "a");
        assert_eq!(zone(26), "a2");
    }
}
