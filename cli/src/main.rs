//! `tepui`, the one binary: every component of the cluster and every tool for people.
//!
//! It parses, calls one command, and turns a failure into a sentence and an exit code. It must not
//! decide anything about the cluster.

mod amounts;
mod anew;
mod client;
mod cluster;
mod command;
mod daemon;
mod discover;
mod failure;
mod help;
mod jobs_api;
mod log;
mod memory;
mod output;
mod when;

use clap::{FromArgMatches, Parser, Subcommand};
use failure::Failure;
use output::Form;
use std::process::ExitCode;

/// A two-level cluster scheduler that speaks Mesos v1.
#[derive(Parser, Debug)]
#[command(name = "tepui", version, max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tepui demo                               a cluster does real work on real files, and is verified
  tepui up --agents 3                      a cluster on this machine, until Ctrl-C
  tepui run --cpus 0.5 -- sh -c 'date'     one task, its output here, its exit code passed on
  tepui job submit job.yaml && tepui job wait NAME
  tepui why NAME                           why a task, framework or role gets no more

Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 denied, 5 conflict, 6 timeout,
7 server unavailable, 8 the task or job ended unsuccessfully ('run' passes the task's code on).";

/// Where the masters are.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Server {
    /// The master's address; where there are several, of one or more of them.
    #[arg(
        long,
        env = "TEPUI_MASTER",
        default_value = "127.0.0.1:5050",
        value_name = "HOST:PORT,..."
    )]
    pub(crate) master: String,
}

/// How to print.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct Print {
    /// Table for people, JSON for programs.
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    pub(crate) output: Form,
}

/// What commands take whose effect cannot be taken back.
#[derive(clap::Args, Debug)]
pub(crate) struct Final {
    /// Do it: this cannot be taken back.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) print: Print,
    #[command(flatten)]
    pub(crate) server: Server,
}

impl Final {
    /// The answer without `--yes`: what the command would do, and how it is meant.
    pub(crate) fn withheld(what: String, command: &str) -> failure::Failure {
        failure::Failure::new(failure::Code::Usage, what)
            .next(format!("{command}, if that is what you want"))
    }
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run a master.
    Master(command::master::Options),
    /// Bring a cluster back after most of its masters are lost for good.
    #[command(subcommand)]
    Cluster(command::recover::Command),
    /// Run an agent.
    Agent(command::agent::Options),
    /// Start a whole cluster on this machine, for development.
    Up(command::up::Options),
    /// Show a cluster that does real work on real files and verifies it.
    Demo(command::demo::Options),
    /// Run one task and show its output.
    Run(command::run::Options),
    /// Submit, list, wait for and scale batch jobs and services.
    #[command(subcommand)]
    Job(command::job::Command),
    /// Run the jobs framework itself.
    #[command(subcommand)]
    Jobs(command::jobs::Command),
    /// List tasks.
    Ps {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        print: Print,
        /// Also ended tasks that the master remembers.
        #[arg(short, long)]
        all: bool,
    },
    /// Show what running tasks use: cpus, memory, disks.
    Top(command::top::Options),
    /// Show what a task wrote.
    Logs(command::logs::Options),
    /// Run a command in the container of a task.
    Exec(command::session::exec::Options),
    /// Show what a task prints from now on.
    Attach(command::session::attach::Options),
    /// Change what a running task may use beyond what it asked for.
    Limits(command::session::limits::Options),
    /// Kill a job, or one task of it.
    Kill(command::kill::Options),
    /// List agents.
    Agents {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        print: Print,
    },
    /// List frameworks.
    Frameworks {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        print: Print,
        /// Also frameworks that are over.
        #[arg(short, long)]
        all: bool,
    },
    /// List roles: weight, share, what they hold, quota.
    #[command(after_help = "Examples:\n  tepui roles\n  tepui roles -o json")]
    Roles {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        print: Print,
    },
    /// List the weights of roles, or set some.
    Weights(command::weights::Options),
    /// List or set what roles are guaranteed, and may have at the most.
    #[command(subcommand)]
    Quota(command::quota::Command),
    /// Keep resources of an agent for a role.
    Reserve(command::reserve::Options),
    /// Give reserved resources back to everybody.
    Unreserve(command::unreserve::Options),
    /// List what is reserved.
    Reservations(command::reservations::Options),
    /// List or change persistent volumes, which outlive their tasks.
    #[command(subcommand)]
    Volumes(command::volumes::Command),
    /// Plan when machines will be away, take them down, bring them back.
    #[command(subcommand)]
    Maintenance(command::maintenance::Command),
    /// List offers that are not answered yet.
    #[command(after_help = "Examples:\n  tepui offers\n  tepui offers -o json")]
    Offers {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        print: Print,
    },
    /// Show what happens in the cluster.
    Events(command::events::Options),
    /// End a framework and kill its tasks.
    Teardown(command::teardown::Options),
    /// Empty an agent: its tasks end, and it gets no new ones.
    Drain(command::drain::Drain),
    /// Give an agent work again.
    #[command(after_help = "Examples:\n  tepui reactivate 7f0c-S3")]
    Reactivate(command::drain::One),
    /// Give an agent no more work; what runs goes on.
    #[command(after_help = "Examples:\n  tepui deactivate 7f0c-S3")]
    Deactivate(command::drain::One),
    /// Give an agent up for ever.
    Gone(command::gone::Options),
    /// Why a job, task, framework, role or agent does not get what it waits for.
    Why(command::why::Options),
    /// Print what this program is.
    Version {
        #[command(flatten)]
        print: Print,
    },
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// The agent's supervisor; started by the agent.
    #[command(hide = true, trailing_var_arg = true)]
    Supervise {
        /// Read by the supervisor itself.
        #[arg(allow_hyphen_values = true, num_args = 0..)]
        arguments: Vec<std::ffi::OsString>,
    },
    /// What fetches the files of a task; started by the agent.
    #[command(hide = true)]
    Fetch,
}

fn main() -> ExitCode {
    // Before anything else: the supervisor detaches by forking, which no thread may see.
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == "supervise") {
        return ExitCode::from(agent::supervisor::main(words));
    }
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == "fetch") {
        return ExitCode::from(agent::fetch_files());
    }
    let parsed = help::command().try_get_matches();
    let parsed = parsed.and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = match parsed {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to standard output with 0, mistakes to standard error with 2.
            let code = if error.use_stderr() { failure::Code::Usage as u8 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                output::say(&failure.to_string());
            }
            ExitCode::from(failure.code)
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Master(options) => command::master::run(options),
        Command::Cluster(command) => command::recover::run(command),
        Command::Agent(options) => command::agent::run(options),
        Command::Jobs(command) => command::jobs::run(command),
        Command::Version { print } => command::version::run(print.output),
        Command::Completions { shell } => command::completions::run(shell),
        Command::Fetch => Err(Failure::exit(agent::fetch_files())),
        Command::Supervise { arguments } => Err(Failure::exit(agent::supervisor::main(arguments))),
        Command::Up(options) => block_on(command::up::run(options)),
        Command::Demo(options) => block_on(command::demo::run(options)),
        Command::Run(options) => block_on(command::run::run(options)),
        Command::Job(command) => block_on(command::job::run(command)),
        Command::Ps { server, print, all } => {
            block_on(command::ps::run(&discover::master(&server), print.output, all))
        }
        Command::Top(options) => block_on(command::top::run(options)),
        Command::Logs(options) => block_on(command::logs::run(options)),
        Command::Exec(options) => block_on(command::session::exec::run(options)),
        Command::Attach(options) => block_on(command::session::attach::run(options)),
        Command::Limits(options) => block_on(command::session::limits::run(options)),
        Command::Kill(options) => block_on(command::kill::run(options)),
        Command::Agents { server, print } => {
            block_on(command::agents::run(&discover::master(&server), print.output))
        }
        Command::Frameworks { server, print, all } => {
            block_on(command::frameworks::run(&discover::master(&server), print.output, all))
        }
        Command::Roles { server, print } => {
            block_on(command::roles::run(&discover::master(&server), print.output))
        }
        Command::Weights(options) => block_on(command::weights::run(options)),
        Command::Quota(command) => block_on(command::quota::run(command)),
        Command::Reserve(options) => block_on(command::reserve::run(options)),
        Command::Unreserve(options) => block_on(command::unreserve::run(options)),
        Command::Reservations(options) => block_on(command::reservations::run(options)),
        Command::Volumes(command) => block_on(command::volumes::run(command)),
        Command::Maintenance(command) => block_on(command::maintenance::run(command)),
        Command::Offers { server, print } => {
            block_on(command::offers::run(&discover::master(&server), print.output))
        }
        Command::Events(options) => block_on(command::events::run(options)),
        Command::Teardown(options) => block_on(command::teardown::run(options)),
        Command::Drain(options) => block_on(command::drain::drain(options)),
        Command::Reactivate(options) => block_on(command::drain::reactivate(options)),
        Command::Deactivate(options) => block_on(command::drain::deactivate(options)),
        Command::Gone(options) => block_on(command::gone::run(options)),
        Command::Why(options) => block_on(command::why::run(options)),
    }
}

/// Runs a command that talks to a cluster: one thread is enough for it.
fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(failure::Code::Failed, format!("cannot start: {e}")))?
        .block_on(command)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
