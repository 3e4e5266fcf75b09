//! `tepui jobs serve`: runs the jobs framework.

use super::master::with_causes;
use crate::daemon;
use crate::failure::{Code, Failure};
use proto::FrameworkId;
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
  tepui jobs serve --data j --master 10.0.0.1:5050,10.0.0.2:5050 --role batch
  tepui jobs serve --state replicated --master 10.0.0.1:5050,10.0.0.2:5050,10.0.0.3:5050")]
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
    /// Where jobs are recorded: in a directory of this machine, or by the masters, so that the
    /// same command on another machine goes on with them.
    #[arg(long, value_enum, default_value_t, value_name = "WHERE")]
    state: Where,
    /// The directory in which jobs are recorded, with --state local.
    #[arg(long, value_name = "DIR", required_if_eq("state", "local"))]
    data: Option<PathBuf>,
    /// The framework's id, with --state replicated: whoever starts with it takes its jobs over.
    #[arg(long, value_name = "ID")]
    framework_id: Option<String>,
    /// The role in which it is offered resources.
    #[arg(long, default_value = "jobs", value_name = "ROLE")]
    role: String,
    /// Whose connections are taken: 'all' (whoever reaches the port) or 'own' (root's and those of
    /// the user who runs this, from this machine).
    #[arg(long, value_name = "WHOSE", default_value = "all")]
    callers: grpc::machine::Callers,
    #[command(flatten)]
    daemon: daemon::DaemonOptions,
}

/// Where jobs are recorded.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Where {
    /// In the directory --data.
    #[default]
    Local,
    /// By the masters.
    Replicated,
}

/// The id under which jobs are at the masters unless another is given.
const FRAMEWORK_ID: &str = "jobs";

impl ServeOptions {
    fn state(&self) -> Result<jobs::State, Failure> {
        let useless = |option: &str, with: &str| {
            let message = format!("{option} says nothing with --state {with}");
            Err(Failure::new(Code::Usage, message).next("leave it out"))
        };
        match (self.state, &self.data, &self.framework_id) {
            (Where::Local, _, Some(_)) => useless("--framework-id", "local"),
            (Where::Replicated, Some(_), _) => useless("--data", "replicated"),
            (Where::Local, Some(data), None) => Ok(jobs::State::Local(data.clone())),
            (Where::Local, None, None) => {
                Err(Failure::new(Code::Usage, "--state local needs --data DIR"))
            }
            (Where::Replicated, None, id) => {
                let id = FrameworkId::new(id.as_deref().unwrap_or(FRAMEWORK_ID));
                let id = id.map_err(|e| Failure::new(Code::Usage, e.to_string()))?;
                Ok(jobs::State::Replicated(id))
            }
        }
    }
}

/// Runs the framework until it is told to stop. Its tasks go on without it.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    let Command::Serve(options) = command;
    let state = options.state()?;
    let mut config = jobs::Config::new(options.master, state);
    config.role = options.role;
    config.callers = options.callers;
    let failure = |error: &jobs::Error| {
        let code = match error {
            jobs::Error::NoMaster | jobs::Error::Role { .. } => Code::Usage,
            jobs::Error::Serve(_) => Code::Failed,
            jobs::Error::Framework(error) if !error.is_conflict() => Code::Failed,
            jobs::Error::Framework(_) | jobs::Error::Listen { .. } => Code::Conflict,
        };
        Failure::new(code, with_causes(error))
    };
    daemon::run(&options.daemon, None, async move |stop| {
        let stop = async move {
            let _ = stop.await;
        };
        let listener = jobs::listen(options.listen).await.map_err(|e| failure(&e))?;
        jobs::run(config, listener, stop).await.map_err(|e| failure(&e))
    })
}
