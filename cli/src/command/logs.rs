//! `tepui logs`: what a task wrote, by way of the master, which knows the agent that has it.

use crate::client::Client;
use crate::failure::{Code, Failure};
use crate::jobs_api::{self, Target, escape};
use crate::{Server, discover, output, when};
use serde_json::Value;
use std::io::Write;
use std::time::Duration;
use tokio::time::Instant;

/// How long a launch may take from the framework to the agent.
const ARRIVAL: Duration = Duration::from_secs(5);
/// Between two questions meanwhile.
const AGAIN: Duration = Duration::from_millis(100);
/// Before one asks again for a log whose agent, or master, went away.
const BACK: Duration = Duration::from_millis(500);
/// How long agents may take to come to a new master.
const RETURN: Duration = Duration::from_secs(60);

/// What `tepui logs` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui logs thumbs/17            unit 17 of the job 'thumbs'
  tepui logs -f web/0 --stderr    its errors, as they come, until it ends
  tepui logs web/0 --since 10m    what it wrote in the last ten minutes
  tepui logs -f --tail 20 T7      the last lines of task T7 of any framework, and what follows")]
pub(crate) struct Options {
    /// JOB, JOB/INDEX when it has several units, or the id of any framework's task.
    task: String,
    /// The framework whose task it is, where several have one of that id.
    #[arg(long, value_name = "ID")]
    framework: Option<String>,
    /// Go on until the task ends.
    #[arg(short, long)]
    follow: bool,
    /// What it wrote to standard error.
    #[arg(long)]
    stderr: bool,
    /// Only what it wrote in the last so long, such as 90s or 10m; or since a time, such as
    /// 2026-11-22T03:00:00Z. Exact to a second.
    #[arg(long, value_name = "TIME", value_parser = since, conflicts_with = "tail")]
    since: Option<Since>,
    /// Only the last so many lines.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    tail: Option<u32>,
    #[command(flatten)]
    server: Server,
}

/// From when on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Since {
    /// So long before now, by the agent's clock.
    Ago(Duration),
    At(proto::Time),
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(ago) = when::duration(text) {
        return Ok(Since::Ago(ago));
    }
    when::time(text).map(Since::At).map_err(|_| {
        format!(
            "'{text}' is neither a duration, such as 10m, nor a time, such as 2026-11-22T03:00:00Z"
        )
    })
}

/// Prints the log.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let (task, framework) =
        task_of(&options.server, &options.task, options.framework.as_deref()).await?;
    let is_launched = framework.is_some() && options.framework.is_none();
    let mut path = format!("/logs?task_id={}&follow={}", escape(&task), options.follow);
    if options.stderr {
        path += "&stream=stderr";
    }
    if let Some(framework) = framework {
        path += &format!("&framework_id={}", escape(&framework));
    }
    let begin = match (&options.since, options.tail) {
        (Some(Since::Ago(ago)), _) => format!("&ago={}", ago.as_millis()),
        (Some(Since::At(at)), _) => format!("&since={}", at.as_millis()),
        (None, Some(lines)) => format!("&tail={lines}"),
        (None, None) => String::new(),
    };
    let (master, until) = (discover::master(&options.server), Instant::now() + ARRIVAL);
    // Where the log goes on for who has followed it as far, and since when it has not.
    let (mut at, mut lost): (Option<u64>, Option<Instant>) = (None, None);
    loop {
        let from = at.map_or_else(|| begin.clone(), |at| format!("&offset={at}"));
        let before = at;
        let path = path.clone() + &from;
        let read = master.stream_from(&path, &mut at, &mut output::print_bytes).await;
        lost = lost.filter(|_| at == before);
        match read {
            Err(failure) if options.follow && at.is_some() && returns(&failure, lost) => {
                if lost.is_none() {
                    output::say(&format!("{}; the log goes on when it is back", failure.message));
                    lost = Some(Instant::now());
                }
                tokio::time::sleep(BACK).await;
            }
            // Launched is what the framework knows; the master may hear of it a moment later.
            Err(failure)
                if is_launched
                    && failure.code == Code::NotFound as u8
                    && Instant::now() < until =>
            {
                tokio::time::sleep(AGAIN).await;
            }
            done => return done,
        }
    }
}

/// Whether a log that was followed, and is lost, may go on.
fn returns(failure: &Failure, lost: Option<Instant>) -> bool {
    // A new master hears of a task when its agent has registered there.
    let is_soon = lost.is_some_and(|lost| lost.elapsed() < RETURN);
    failure.code == Code::Unavailable as u8 || (is_soon && failure.code == Code::NotFound as u8)
}

/// The ids of the task, and of its framework as far as it is known: what a job is called, else the
/// id of a task.
pub(crate) async fn task_of(
    server: &Server,
    named: &str,
    framework: Option<&str>,
) -> Result<(String, Option<String>), Failure> {
    let plain = (named.to_owned(), framework.map(str::to_owned));
    if framework.is_some() {
        return Ok(plain);
    }
    let target: Result<Target, String> = named.parse();
    let Some(jobs) = discover::jobs_if_any(server).await? else {
        return match target {
            // No task has a slash in its id.
            Ok(Target { index: Some(_), .. }) if named.contains('/') => {
                Err(discover::jobs(server).await.err().unwrap_or_else(Failure::other_answer))
            }
            _ => Ok(plain),
        };
    };
    let unit = match target {
        Ok(target) => unit(&jobs, &target).await,
        Err(_) => return Ok(plain),
    };
    match unit {
        Ok(unit) => of_unit(&unit, named),
        Err(failure) if failure.code == Code::NotFound as u8 && !named.contains('/') => Ok(plain),
        Err(failure) => Err(failure),
    }
}

/// The task that a unit was launched as last, or as what attempt is named.
fn of_unit(unit: &Value, named: &str) -> Result<(String, Option<String>), Failure> {
    let sandbox = unit["sandbox"].as_str().ok_or_else(|| not_launched(unit))?;
    let mut parts = sandbox.split('/').skip_while(|part| *part != "frameworks").skip(1).step_by(2);
    match (parts.next(), parts.next()) {
        (Some(framework), Some(last)) => {
            let task = match (last.rsplit_once('.'), named.rsplit_once('.')) {
                (Some((unit, _)), Some((_, attempt))) if !named.contains('/') => {
                    format!("{unit}.{attempt}")
                }
                _ => last.to_owned(),
            };
            Ok((task, Some(framework.to_owned())))
        }
        _ => Err(Failure::other_answer()),
    }
}

fn not_launched(unit: &Value) -> Failure {
    let job = unit["job"].as_str().unwrap_or_default();
    let message = format!("{job}/{} has not been launched yet", unit["index"]);
    Failure::new(Code::NotFound, message).next(format!("tepui why {job}/{}", unit["index"]))
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
        return Err(not_launched(unit));
    };
    let path = escape(&format!("{sandbox}/{stream}"));
    // Launched is what the framework knows; the agent may hear of it a moment later.
    let wait_ms = ARRIVAL.as_millis();
    let query = format!("/files/log?path={path}&follow={follow}&wait_ms={wait_ms}");
    Client::new("agent", address).stream(&query, &mut take).await
}

/// Writes bytes to standard error.
pub(crate) fn to_stderr(bytes: &[u8]) {
    // A closed standard error is the person's choice.
    let _ = std::io::stderr().lock().write_all(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_so_long_ago_or_a_point_in_time() {
        assert_eq!(since("1h30m"), Ok(Since::Ago(Duration::from_secs(5400))));
        let at = proto::Time::from_millis(1_764_000_000_000);
        assert_eq!(since("2025-11-24T16:00:00Z"), Ok(Since::At(at)));
        assert!(since("yesterday").unwrap_err().contains("'yesterday' is neither"));
    }

    #[test]
    fn the_task_of_a_unit_is_the_one_whose_sandbox_it_names() {
        let unit = serde_json::json!({
            "job": "j", "index": 3, "sandbox": "/frameworks/F-1/executors/j.3.1/runs/latest"
        });
        for (named, task) in [("j/3", "j.3.1"), ("j", "j.3.1"), ("j.3.0", "j.3.0")] {
            let found = of_unit(&unit, named).map_err(|failure| failure.message);
            assert_eq!(found, Ok((task.to_owned(), Some("F-1".to_owned()))), "{named}");
        }
        let unit = serde_json::json!({ "job": "j", "index": 3 });
        let failure = of_unit(&unit, "j/3").unwrap_err();
        assert_eq!(failure.message, "j/3 has not been launched yet");
    }
}
