//! `tepui run -- CMD`: one task on the cluster; its output here, its exit code ours.

use super::logs;
use crate::client::Client;
use crate::failure::{Code, Failure};
use crate::jobs_api::{self, Target};
use crate::{Server, discover, output};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// After so long without a place, the person is told why.
const PATIENCE: Duration = Duration::from_secs(2);

/// What `tepui run` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui run -- echo hello
  tepui run --cpus 2 --mem 512 --env LEVEL=9 -- sh -c 'gzip -$LEVEL < /etc/services | wc -c'

It runs in a sandbox of its own on some agent; its exit code is passed on (128 + signal when a
signal ended it), and Ctrl-C kills it.")]
pub(crate) struct Options {
    /// Cpus it needs.
    #[arg(long, default_value_t = 0.1, value_name = "N", value_parser = amount)]
    cpus: f64,
    /// Memory it may use, in MB.
    #[arg(long, default_value_t = 64.0, value_name = "MB", value_parser = amount)]
    mem: f64,
    /// A variable of its environment.
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    environment: Vec<(String, String)>,
    /// The user to run as.
    #[arg(long)]
    user: Option<String>,
    /// The image to run in, by its name in the agents' stores.
    #[arg(long, value_name = "NAME")]
    image: Option<String>,
    /// A name for it.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    server: Server,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

/// A finite amount above nothing.
fn amount(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(amount) if amount.is_finite() && amount > 0.0 => Ok(amount),
        _ => Err("a number above 0 is needed, such as 2 or 0.5".to_owned()),
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("NAME=VALUE is needed".to_owned()),
    }
}

/// Runs the task.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::new(Code::Failed, format!("signals: {e}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let jobs = discover::jobs(&options.server).await?;
    let token = unique();
    let name = options.name.clone().unwrap_or_else(|| format!("run-{token}"));
    let spec = spec(&options, &name);
    let submitted = jobs_api::submit(&jobs, &spec.to_string(), "json", &token, false).await?;
    let id = submitted["id"].as_str().unwrap_or(&name).to_owned();
    let ended = tokio::select! {
        ended = follow(&jobs, &id) => ended?,
        _ = interrupt.recv() => return kill(&jobs, &id, 130).await,
        _ = terminate.recv() => return kill(&jobs, &id, 143).await,
    };
    match jobs_api::exit_code(&ended) {
        0 => Ok(()),
        code => {
            explain_end(&ended);
            Err(Failure::exit(code))
        }
    }
}

fn spec(options: &Options, name: &str) -> Value {
    let environment: BTreeMap<_, _> = options.environment.iter().cloned().collect();
    let mut task = json!({
        "exec": options.command,
        "cpus": options.cpus,
        "mem": options.mem,
        "env": environment,
    });
    if let Some(user) = &options.user {
        task["user"] = json!(user);
    }
    if let Some(image) = &options.image {
        task["image"] = json!(image);
    }
    json!({ "kind": "batch", "name": name, "retry": { "user": 0, "platform": 0 }, "task": task })
}

/// A token that no other run has: the time and the process.
pub(crate) fn unique() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{:x}-{}", now.map_or(0, |since| since.as_nanos()), std::process::id())
}

/// Copies the task's output until its end, and gives the ended job.
async fn follow(jobs: &Client, id: &str) -> Result<Value, Failure> {
    let mut job = jobs_api::wait(jobs, id, "started", Some(PATIENCE)).await?;
    if job["started"].is_null() && job["ended"].is_null() {
        let why = jobs_api::why(jobs, &Target { job: id.to_owned(), index: None }).await?;
        let reason = why["reasons"][0].as_str().unwrap_or("no reason is known yet");
        output::say(&format!("waiting: {reason} (Ctrl-C gives up)"));
        job = jobs_api::wait(jobs, id, "started", None).await?;
    }
    let unit = &job["units_shown"][0];
    if let Some(agent) = unit["address"].as_str() {
        if std::io::stderr().is_terminal() {
            tell_isolation(&Client::new("agent", agent)).await;
        }
        let copies = async {
            tokio::try_join!(
                logs::copy(unit, "stdout", true, output::print_bytes),
                logs::copy(unit, "stderr", true, logs::to_stderr),
            )
        };
        if let Err(failure) = copies.await {
            // The task goes on; only its output is out of reach.
            output::say(&format!("its output is lost: {}", failure.message));
        }
    }
    jobs_api::wait(jobs, id, "ended", None).await
}

/// Tells the person once when an agent cannot keep tasks to their limits. An agent that does not
/// answer is no reason to disturb.
pub(crate) async fn tell_isolation(agent: &Client) {
    let state = agent.get("/state").await.and_then(|answer| answer.json());
    if state.is_ok_and(|state| state["isolation"] == "process groups") {
        output::say(
            "note: this agent runs tasks without cgroups: cpus are not limited, and memory only \
             process by process (agents that run as root limit whole tasks)",
        );
    }
}

async fn kill(jobs: &Client, id: &str, code: u8) -> Result<(), Failure> {
    jobs_api::kill(jobs, &Target { job: id.to_owned(), index: None }).await?;
    jobs_api::wait(jobs, id, "ended", Some(Duration::from_secs(30))).await?;
    Err(Failure::exit(code))
}

/// One line on how it ended, when not simply with an exit code of the command.
fn explain_end(job: &Value) {
    let unit = &job["units_shown"][0];
    let message = unit["message"].as_str().or(unit["outcome"]["text"].as_str());
    let exited = unit["outcome"]["name"] == "failed" && !unit["outcome"]["exit_code"].is_null();
    if !exited || !ran(unit) {
        output::say(&format!("the task ended: {}", message.unwrap_or("no reason is known")));
    }
}

/// Whether the command itself gave the exit code. 126 and 127 are also the agent's word for one
/// that could not be started, as with a shell; then the reason is in the message, and nowhere else.
fn ran(unit: &Value) -> bool {
    let could_be_ours = matches!(unit["outcome"]["exit_code"].as_i64(), Some(126 | 127));
    let message = unit["message"].as_str().unwrap_or_default();
    !could_be_ours || message.starts_with("Command exited")
}

#[cfg(test)]
mod tests {
    use super::{amount, variable};

    #[test]
    fn amounts_are_finite_and_above_nothing() {
        assert_eq!(amount("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "NaN", "inf", "x"] {
            assert!(amount(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn variables_have_a_name() {
        assert_eq!(variable("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert!(variable("=x").is_err());
        assert!(variable("x").is_err());
    }
}
