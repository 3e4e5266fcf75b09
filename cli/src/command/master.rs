//! `tepui master`: runs a master, lists and changes the masters.

mod allocation;
mod join;
mod members;

pub(crate) use allocation::domain;

use crate::daemon;
use crate::failure::{Code, Failure};
use proto::{ClusterId, Role};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What `tepui master` takes.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "\
Examples:
  tepui master --data /var/lib/tepui/master
  tepui master --data m --listen 10.0.0.1:5050 --agent-timeout 10
Three masters, of which any one may fail:
  tepui master --data m --listen 10.0.0.1:5050
  tepui master join 10.0.0.1:5050 --data m --listen 10.0.0.2:5050
  tepui master join 10.0.0.1:5050 --data m --listen 10.0.0.3:5050
  tepui master list")]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Run a master that joins others.
    Join(join::Join),
    /// Run a master in the place of one that is lost for ever.
    Replace(join::Replace),
    /// List the masters, and how they stand.
    List(members::List),
    /// Take a master out, for ever.
    Leave(members::Leave),
    /// Hand the lead over to another master.
    Transfer(members::Transfer),
}

/// How a master is run.
#[derive(clap::Args, Debug)]
pub(crate) struct Serve {
    /// Where to listen. Only loopback unless told otherwise.
    #[arg(long, default_value = "127.0.0.1:5050", value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// Where the registry is kept.
    #[arg(long, value_name = "DIR", required = true)]
    data: Option<PathBuf>,
    /// The cluster that the data must belong to.
    #[arg(long, value_name = "NAME")]
    cluster: Option<ClusterId>,
    /// The name or address under which others reach this master. The listening address by default.
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Seconds of silence after which an agent is unreachable.
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS", value_parser = some_seconds)]
    agent_timeout: f64,
    /// Seconds after which an unanswered offer is rescinded; 0 means never.
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS", value_parser = seconds)]
    offer_timeout: f64,
    /// Seconds that agents have to come back after the master restarted.
    #[arg(long, default_value_t = 600.0, value_name = "SECONDS", value_parser = seconds)]
    agent_reregister_timeout: f64,
    /// Weights of roles, such as 'eng=2,web=0.5': a role gets shares in proportion. They are kept.
    #[arg(long, value_name = "ROLE=WEIGHT,...", value_delimiter = ',', value_parser = weight)]
    weights: Vec<(Role, u64)>,
    /// From where sessions in containers may be opened by way of this master: 'loopback' (its own
    /// machine), 'anywhere' (whoever reaches its port), or 'nowhere'. Agents have a say of their own.
    #[arg(long, value_name = "WHERE", default_value = "loopback", value_parser = sessions_from)]
    sessions_from: master::SessionsFrom,
    /// Whose connections are taken: 'all' (whoever reaches the port) or 'own' (root's and those of
    /// the user who runs this, from this machine).
    #[arg(long, value_name = "WHOSE", default_value = "all")]
    callers: grpc::machine::Callers,
    #[command(flatten)]
    allocation: allocation::Allocation,
    #[command(flatten)]
    daemon: daemon::DaemonOptions,
}

/// A finite, not negative number of seconds.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && (0.0..=1e9).contains(&seconds) => Ok(seconds),
        _ => Err("0 to 1000000000 seconds are needed, such as 5 or 0.5".to_owned()),
    }
}

/// At least a tenth of a second: less than a ping needs is no timeout.
fn some_seconds(text: &str) -> Result<f64, String> {
    match seconds(text) {
        Ok(seconds) if seconds >= 0.1 => Ok(seconds),
        _ => Err("0.1 to 1000000000 seconds are needed, such as 5".to_owned()),
    }
}

/// From where sessions may be opened.
fn sessions_from(text: &str) -> Result<master::SessionsFrom, String> {
    match text {
        "nowhere" => Ok(master::SessionsFrom::Nowhere),
        "loopback" => Ok(master::SessionsFrom::Loopback),
        "anywhere" => Ok(master::SessionsFrom::Anywhere),
        _ => Err("'loopback', 'anywhere' or 'nowhere' is needed".to_owned()),
    }
}

/// A role and its weight in thousandths.
pub(crate) fn weight(text: &str) -> Result<(Role, u64), String> {
    let wrong = || "ROLE=WEIGHT is needed, with a weight from 0.001 up, such as eng=2".to_owned();
    let (role, weight) = text.split_once('=').ok_or_else(wrong)?;
    let role = Role::new(role).map_err(|e| e.to_string())?;
    let milli = weight.parse::<f64>().map_err(|_| wrong())? * 1000.0;
    if !(1.0..=1e9).contains(&milli) {
        return Err(wrong());
    }
    Ok((role, milli.round() as u64))
}

/// Runs a master until it is told to stop, or asks the masters.
pub(crate) fn run(options: Options) -> Result<(), Failure> {
    match options.command {
        None => serve(options.serve, Vec::new(), None),
        Some(Command::Join(join)) => serve(join.serve, join.masters, None),
        Some(Command::Replace(replace)) => {
            serve(replace.serve, replace.masters, Some(replace.lost))
        }
        Some(Command::List(list)) => crate::block_on(members::list(list)),
        Some(Command::Leave(leave)) => crate::block_on(members::leave(leave)),
        Some(Command::Transfer(transfer)) => crate::block_on(members::transfer(transfer)),
    }
}

/// Runs a master. Where its data directory is new, it joins those at `join`, if there are any, in
/// the place of the one that is `lost`.
fn serve(options: Serve, join: Vec<String>, lost: Option<u64>) -> Result<(), Failure> {
    check(&options)?;
    let data = options.data.ok_or_else(|| {
        Failure::new(Code::Usage, "no data directory is given").next("add --data DIR")
    })?;
    let hostname = options.hostname.unwrap_or_else(|| options.listen.ip().to_string());
    let mut config = master::Config::new(data, hostname);
    config.cluster = options.cluster.map(|cluster| cluster.to_string());
    config.join = join;
    config.weights = options.weights;
    config.sessions_from = options.sessions_from;
    config.callers = options.callers;
    options.allocation.apply(&mut config);
    let core = &mut config.options;
    core.agent_timeout = Duration::from_secs_f64(options.agent_timeout);
    core.ping_interval = core.ping_interval.min(core.agent_timeout / 4);
    core.agent_ping_timeout = core.agent_timeout;
    core.agent_reregister_timeout = Duration::from_secs_f64(options.agent_reregister_timeout);
    core.offer_timeout =
        (options.offer_timeout > 0.0).then(|| Duration::from_secs_f64(options.offer_timeout));
    daemon::run(&options.daemon, None, async move |stop| {
        let stop = async move {
            let _ = stop.await;
        };
        config.log = crate::log::control();
        if let Some(lost) = lost {
            join::make_room(&config, lost).await?;
        }
        let listener = master::listen(options.listen).await.map_err(|e| failure(&e))?;
        master::run(config, listener, stop).await.map_err(|e| failure(&e))
    })
}

/// What no single option can tell about itself.
fn check(options: &Serve) -> Result<(), Failure> {
    let roles = options.weights.iter().map(|(role, _)| role).enumerate();
    let twice = roles.filter(|(i, role)| options.weights[..*i].iter().any(|(r, _)| r == *role));
    if let Some((_, role)) = twice.into_iter().next() {
        let problem = format!("--weights names role {role} twice");
        return Err(Failure::new(Code::Usage, problem).next("give each role one weight"));
    }
    if let Some(data) = options.data.as_ref().filter(|data| data.exists() && !data.is_dir()) {
        let problem = format!("--data {} is not a directory", data.display());
        return Err(Failure::new(Code::Usage, problem).next("name a directory, or a new one"));
    }
    Ok(())
}

fn failure(error: &master::Error) -> Failure {
    let code = match error {
        master::Error::Setting { .. } => Code::Usage,
        master::Error::Join { .. } => Code::Unavailable,
        master::Error::PortInUse { .. } => Code::Conflict,
        master::Error::PortDenied { .. } => Code::Denied,
        master::Error::Listen { .. } => Code::Failed,
        master::Error::Registry(_) => Code::Conflict,
    };
    Failure::new(code, with_causes(error))
}

/// An error with all its causes, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{seconds, some_seconds, weight};

    #[test]
    fn weights_name_a_role_and_are_above_nothing() {
        assert_eq!(weight("eng/prod=0.5").unwrap().1, 500);
        for wrong in ["eng", "eng=0", "eng=-1", "eng=NaN", "a//b=1", "=1"] {
            assert!(weight(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn seconds_are_finite_and_not_negative() {
        assert_eq!(seconds("0.5"), Ok(0.5));
        for wrong in ["-1", "NaN", "inf", "5s", ""] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert!(some_seconds("0").is_err() && some_seconds("0.1").is_ok());
    }
}
