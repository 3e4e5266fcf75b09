//! `tepui job`: batch jobs and services.

use super::logs;
use crate::client::Client;
use crate::failure::{Code, Failure};
use crate::jobs_api::{self, Target};
use crate::output::{self, Form, Table};
use crate::{Print, Server, discover};
use serde_json::Value;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

/// The longest spec that is read.
const MAX_SPEC_BYTES: u64 = 1 << 20;

/// Batch jobs and services.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    /// Hand a job in; it is durable when this returns.
    Submit(SubmitOptions),
    /// List jobs.
    Ls(Flags),
    /// Show a job, or one unit of it.
    Show(OneOptions),
    /// Kill a job, or one unit of it.
    Kill(super::kill::Options),
    /// Show what a unit wrote.
    Logs(logs::Options),
    /// Wait until a job ended; the exit code says how.
    Wait(WaitOptions),
    /// Set how many replicas a service keeps.
    Scale(ScaleOptions),
}

/// What every listing takes.
#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// What `tepui job submit` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui job submit thumbs.yaml
  tepui job submit --dry-run web.toml      check it, change nothing
  generate | tepui job submit -            from standard input, as YAML or JSON")]
pub(crate) struct SubmitOptions {
    /// The spec: a .yaml, .toml or .json file, or - for standard input.
    file: PathBuf,
    /// Only check it: here, and against the cluster.
    #[arg(long)]
    dry_run: bool,
    /// The same token again submits nothing twice.
    #[arg(long)]
    token: Option<String>,
    #[command(flatten)]
    flags: Flags,
}

/// What `tepui job show` takes.
#[derive(clap::Args, Debug)]
pub(crate) struct OneOptions {
    /// JOB or JOB/INDEX.
    task: Target,
    #[command(flatten)]
    flags: Flags,
}

/// What `tepui job wait` takes.
#[derive(clap::Args, Debug)]
pub(crate) struct WaitOptions {
    /// The job's name or id.
    job: String,
    /// Give up after so many seconds, with exit code 6.
    #[arg(long, value_name = "SECONDS", value_parser = super::master::seconds)]
    timeout: Option<f64>,
    #[command(flatten)]
    flags: Flags,
}

/// What `tepui job scale` takes.
#[derive(clap::Args, Debug)]
pub(crate) struct ScaleOptions {
    /// The service's name or id.
    job: String,
    /// How many replicas it is to keep.
    replicas: u32,
    #[command(flatten)]
    flags: Flags,
}

/// Runs one of the commands.
pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Submit(options) => submit(options).await,
        Command::Ls(flags) => list(flags).await,
        Command::Show(options) => show(options).await,
        Command::Kill(options) => super::kill::run(options).await,
        Command::Logs(options) => logs::run(options).await,
        Command::Wait(options) => wait(options).await,
        Command::Scale(options) => scale(options).await,
    }
}

async fn submit(options: SubmitOptions) -> Result<(), Failure> {
    let (text, format) = read_spec(&options.file)?;
    let jobs = discover::jobs(&options.flags.server).await?;
    let token = options.token.unwrap_or_else(super::run::unique);
    let value = jobs_api::submit(&jobs, &text, format, &token, options.dry_run).await?;
    for warning in value["warnings"].as_array().into_iter().flatten() {
        output::say(&format!("warning: {}", warning.as_str().unwrap_or_default()));
    }
    match options.flags.print.output {
        Form::Json => output::print_json(&value),
        Form::Table if options.dry_run => output::print("the job could be submitted\n"),
        Form::Table => output::print(&format!("{}\n", value["id"].as_str().unwrap_or_default())),
    }
    Ok(())
}

fn read_spec(file: &std::path::Path) -> Result<(String, &'static str), Failure> {
    let unreadable = |e: std::io::Error| {
        let message = format!("cannot read the spec {}: {e}", file.display());
        Failure::new(Code::Usage, message).next("docs/jobs.md has examples of specs")
    };
    if file.as_os_str() == "-" {
        return read_bounded(std::io::stdin()).map(|text| (text, "yaml")).map_err(unreadable);
    }
    let format = match file.extension().and_then(std::ffi::OsStr::to_str) {
        Some("toml") => "toml",
        Some("json") => "json",
        _ => "yaml",
    };
    let text = std::fs::File::open(file).and_then(read_bounded).map_err(unreadable)?;
    Ok((text, format))
}

/// Reads a text that is no longer than a spec can be.
fn read_bounded(source: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    source.take(MAX_SPEC_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_SPEC_BYTES {
        return Err(std::io::Error::other(format!("it is longer than {MAX_SPEC_BYTES} bytes")));
    }
    Ok(text)
}

async fn list(flags: Flags) -> Result<(), Failure> {
    let jobs = discover::jobs(&flags.server).await?;
    let value = jobs_api::accept(&jobs.get("/v1/jobs").await?)?;
    if flags.print.output == Form::Json {
        output::print_json(&value["jobs"]);
        return Ok(());
    }
    let mut table =
        Table::new(&["JOB", "KIND", "STATE", "UNITS", "DONE", "RUNNING", "FAILED", "SUBMITTED"]);
    for job in value["jobs"].as_array().into_iter().flatten() {
        let counts = &job["counts"];
        table.row(vec![
            word(&job["id"]),
            word(&job["kind"]),
            word(&job["state"]),
            word(&job["units"]),
            word(&counts["succeeded"]),
            word(&counts["running"]),
            word(&counts["failed"]),
            word(&job["submitted"]),
        ]);
    }
    output::print(&table.render());
    Ok(())
}

/// A JSON scalar as a word of a table.
fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

async fn show(options: OneOptions) -> Result<(), Failure> {
    let jobs = discover::jobs(&options.flags.server).await?;
    let value = jobs_api::show(&jobs, &options.task).await?;
    if options.flags.print.output == Form::Json {
        output::print_json(&value);
        return Ok(());
    }
    output::print(&if options.task.index.is_some() {
        describe_unit(&value)
    } else {
        describe(&value)
    });
    Ok(())
}

/// A job in some lines.
fn describe(job: &Value) -> String {
    let mut text = format!(
        "{} ({}) is {}\n  submitted {}, started {}, ended {}\n  units:",
        word(&job["id"]),
        word(&job["kind"]),
        word(&job["state"]),
        word(&job["submitted"]),
        word(&job["started"]),
        word(&job["ended"]),
    );
    for (state, count) in job["counts"].as_object().into_iter().flatten() {
        if count != 0 {
            text += &format!(" {count} {state}");
        }
    }
    text += &format!("; {} attempts\n", word(&job["attempts"]));
    for unit in job["failures"].as_array().into_iter().flatten() {
        let outcome = word(&unit["outcome"]["text"]);
        text += &format!("  unit {} {outcome}{}\n", word(&unit["index"]), said(unit));
    }
    for unit in job["units_shown"].as_array().into_iter().flatten() {
        // It waits, and this is how its last attempt ended.
        if let (true, Some(message)) = (unit["outcome"].is_null(), unit["message"].as_str()) {
            let (index, state) = (word(&unit["index"]), word(&unit["state"]));
            text += &format!("  unit {index} is {state}; {message}\n");
        }
    }
    text
}

/// A unit with its attempts.
fn describe_unit(detail: &Value) -> String {
    let unit = &detail["unit"];
    let mut text =
        format!("{}/{} is {}\n", word(&unit["job"]), word(&unit["index"]), word(&unit["state"]));
    if unit["agent"].is_string() {
        text += &format!("  on agent {} ({})\n", word(&unit["agent"]), word(&unit["address"]));
    }
    for attempt in detail["attempts"].as_array().into_iter().flatten() {
        text += &format!(
            "  attempt {}: {} on {} after {} s{}\n",
            word(&attempt["attempt"]),
            word(&attempt["outcome"]["text"]),
            word(&attempt["agent"]),
            word(&attempt["took_seconds"]),
            said(attempt),
        );
    }
    text
}

/// What was said of an end, in parentheses.
fn said(ended: &Value) -> String {
    ended["message"].as_str().map(|message| format!(" ({message})")).unwrap_or_default()
}

async fn wait(options: WaitOptions) -> Result<(), Failure> {
    let jobs: Client = discover::jobs(&options.flags.server).await?;
    let limit = options.timeout.map(Duration::from_secs_f64);
    let job = jobs_api::wait(&jobs, &options.job, "ended", limit).await?;
    match options.flags.print.output {
        Form::Json => output::print_json(&job),
        Form::Table => output::print(&describe(&job)),
    }
    if job["ended"].is_null() {
        let seconds = options.timeout.unwrap_or_default();
        let message = format!("{} has not ended after {seconds} s", options.job);
        return Err(Failure::new(Code::Timeout, message).next(format!("tepui why {}", options.job)));
    }
    match jobs_api::exit_code(&job) {
        0 => Ok(()),
        _ => Err(Failure::exit(Code::Unsuccessful as u8)),
    }
}

async fn scale(options: ScaleOptions) -> Result<(), Failure> {
    let jobs = discover::jobs(&options.flags.server).await?;
    let job = jobs_api::escape(&options.job);
    let path = format!("/v1/jobs/{job}/scale?replicas={}", options.replicas);
    let value = jobs_api::accept(&jobs.post(&path, &Value::Null).await?)?;
    match options.flags.print.output {
        Form::Json => output::print_json(&value),
        Form::Table => output::print(&describe(&value)),
    }
    Ok(())
}
