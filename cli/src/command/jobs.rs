//! `tepui jobs serve`: runs the jobs framework.

use super::master::with_causes;
use crate::daemon;
use crate::failure::{Code, Failure};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The jobs framework itself.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    /// Run the jobs framework: it takes jobs over HTTP and runs them on the cluster.
    Serve(ServeOptions),
}

/// What `tepui jobs serve` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui jobs serve --data /var/lib/tepui/jobs
  tepui jobs serve --data j --master 10.0.0.1:5050,10.0.0.2:5050 --role batch")]
pub(crate) struct ServeOptions {
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
    #[arg(long, default_value = "127.0.0.1:5052", value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// Where jobs are recorded.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The role in which it is offered resources.
    #[arg(long, default_value = "jobs", value_name = "ROLE")]
    role: String,
    #[command(flatten)]
    daemon: daemon::DaemonOptions,
}

/// Runs the framework until it is told to stop. Its tasks go on without it.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    let Command::Serve(options) = command;
    let mut config = jobs::Config::new(options.master, options.data);
    config.role = options.role;
    let failure = |error: &jobs::Error| {
        let code = match error {
            jobs::Error::NoMaster | jobs::Error::Role { .. } => Code::Usage,
            jobs::Error::Serve(_) => Code::Failed,
            _ => Code::Conflict,
        };
        Failure::new(code, with_causes(error))
    };
    daemon::run(&options.daemon, async move |stop| {
        let listener = jobs::listen(options.listen).await.map_err(|e| failure(&e))?;
        jobs::run(config, listener, stop).await.map_err(|e| failure(&e))
    })
}
