//! `tepui logs`: what a task wrote, from its agent.

use crate::client::Client;
use crate::failure::{Code, Failure};
use crate::jobs_api::{self, Target, escape};
use crate::{Server, discover, output};
use serde_json::Value;
use std::io::Write;
use std::time::Duration;

/// How long a launch may take from the framework to the agent.
const ARRIVAL: Duration = Duration::from_secs(5);

/// What `tepui logs` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui logs thumbs/17            unit 17 of the job 'thumbs'
  tepui logs -f web/0 --stderr    its errors, as they come, until it ends")]
pub(crate) struct Options {
    /// JOB, or JOB/INDEX when it has several units.
    task: Target,
    /// Go on until the task ends.
    #[arg(short, long)]
    follow: bool,
    /// What it wrote to standard error.
    #[arg(long)]
    stderr: bool,
    #[command(flatten)]
    server: Server,
}

/// Prints the log.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let jobs = discover::jobs(&options.server).await?;
    let unit = unit(&jobs, &options.task).await?;
    let stream = if options.stderr { "stderr" } else { "stdout" };
    copy(&unit, stream, options.follow, output::print_bytes).await
}

/// The unit that a target names; a job with one unit needs no index.
async fn unit(jobs: &Client, target: &Target) -> Result<Value, Failure> {
    let mut target = target.clone();
    if target.index.is_none() {
        let job = jobs_api::show(jobs, &target).await?;
        if job["units"] != 1 {
            let message = format!("{} has {} units", target.job, job["units"]);
            let example = format!("name one of them, such as {}/0", target.job);
            return Err(Failure::new(Code::Usage, message).next(example));
        }
        target.index = Some(0);
    }
    Ok(jobs_api::show(jobs, &target).await?["unit"].clone())
}

/// Copies a unit's output from its agent: what there is, or all until its end.
pub(crate) async fn copy(
    unit: &Value,
    stream: &str,
    follow: bool,
    mut take: impl FnMut(&[u8]),
) -> Result<(), Failure> {
    let (Some(address), Some(sandbox)) = (unit["address"].as_str(), unit["sandbox"].as_str())
    else {
        let job = unit["job"].as_str().unwrap_or_default();
        let message = format!("{job}/{} has not been launched yet", unit["index"]);
        return Err(Failure::new(Code::NotFound, message)
            .next(format!("tepui why {job}/{}", unit["index"])));
    };
    let path = escape(&format!("{sandbox}/{stream}"));
    // Launched is what the framework knows; the agent may hear of it a moment later.
    let wait_ms = ARRIVAL.as_millis();
    let query = format!("/files/download?path={path}&offset=0&follow={follow}&wait_ms={wait_ms}");
    Client::new("agent", address).stream(&query, &mut take).await
}

/// Writes bytes to standard error.
pub(crate) fn to_stderr(bytes: &[u8]) {
    // A closed standard error is the person's choice.
    let _ = std::io::stderr().lock().write_all(bytes);
}
