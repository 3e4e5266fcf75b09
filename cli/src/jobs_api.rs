//! The jobs framework's HTTP API as commands use it: requests, and the few fields they read.

use crate::client::{Answer, Client};
use crate::failure::{Code, Failure};
use crate::output;
use hyper::Method;
use hyper::body::Bytes;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// How long one `wait` request may take at the server before it is repeated.
const WAIT: Duration = Duration::from_secs(60);

/// The pause before a jobs framework that is away is asked again.
const AGAIN: Duration = Duration::from_millis(200);

/// How long the jobs framework may be away before waiting for a job is given up.
const AWAY: Duration = Duration::from_secs(30);

/// A job, or one unit of it: `JOB` or `JOB/INDEX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) job: String,
    pub(crate) index: Option<u32>,
}

impl std::str::FromStr for Target {
    type Err = String;

    /// Reads `JOB`, `JOB/INDEX`, or a task's id (`JOB-NUMBER.INDEX.ATTEMPT`).
    fn from_str(text: &str) -> Result<Self, String> {
        let index = |text: &str| {
            text.parse().map_err(|_| format!("'{text}' is no index: a number is needed, such as 0"))
        };
        let (job, index) = match text.split_once('/') {
            Some((job, at)) => (job, Some(index(at)?)),
            None => match text.split('.').collect::<Vec<_>>()[..] {
                [job, at, attempt]
                    if attempt.parse::<u32>().is_ok() && at.parse::<u32>().is_ok() =>
                {
                    (job, Some(index(at)?))
                }
                _ => (text, None),
            },
        };
        if job.is_empty() {
            return Err("a job's name is needed, such as web or web/3".to_owned());
        }
        Ok(Self { job: job.to_owned(), index })
    }
}

impl Target {
    fn path(&self) -> String {
        let job = escape(&self.job);
        self.index.map_or(format!("/v1/jobs/{job}"), |at| format!("/v1/jobs/{job}/units/{at}"))
    }
}

/// Percent-encodes what may not stand in a path or a query.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped += &format!("%{byte:02X}");
        }
    }
    escaped
}

/// Turns an answer into JSON, or its problems into a failure: all of them, each with its path.
pub(crate) fn accept(answer: &Answer) -> Result<Value, Failure> {
    if (200..300).contains(&answer.status) {
        return answer.json();
    }
    let code = match answer.status {
        400 => Code::Usage,
        404 => Code::NotFound,
        409 => Code::Conflict,
        503 => Code::Unavailable,
        _ => Code::Failed,
    };
    let problems = answer.json().ok().and_then(|value| value["errors"].as_array().cloned());
    let lines: Vec<String> = problems
        .unwrap_or_default()
        .iter()
        .map(|one| {
            let problem = one["problem"].as_str().unwrap_or_default();
            match one["path"].as_str() {
                Some(path) if !path.is_empty() => format!("{path}: {problem}"),
                _ => problem.to_owned(),
            }
        })
        .collect();
    Err(Failure::new(code, if lines.is_empty() { answer.text() } else { lines.join("\nerror: ") }))
}

/// Submits a spec; `format` is `yaml`, `toml` or `json`.
pub(crate) async fn submit(
    jobs: &Client,
    spec: &str,
    format: &str,
    token: &str,
    dry_run: bool,
) -> Result<Value, Failure> {
    let mut path = format!("/v1/jobs?format={format}&token={}", escape(token));
    if dry_run {
        path += "&dry_run=1";
    }
    let body = Bytes::copy_from_slice(spec.as_bytes());
    accept(&jobs.send(Method::POST, &path, Some(body), Duration::from_secs(30)).await?)
}

/// Reads a job or a unit.
pub(crate) async fn show(jobs: &Client, target: &Target) -> Result<Value, Failure> {
    accept(&jobs.get(&target.path()).await?)
}

/// Kills a job or a unit.
pub(crate) async fn kill(jobs: &Client, target: &Target) -> Result<Value, Failure> {
    accept(&jobs.post(&format!("{}/kill", target.path()), &Value::Null).await?)
}

/// Why a job or a unit waits.
pub(crate) async fn why(jobs: &Client, target: &Target) -> Result<Value, Failure> {
    accept(&jobs.get(&format!("{}/why", target.path())).await?)
}

/// Waits until the job `until` (`started` or `ended`), for at most `limit`; gives the job as it is
/// then. A jobs framework that restarts is waited for: it has the job still, at the same address.
pub(crate) async fn wait(
    jobs: &Client,
    job: &str,
    until: &str,
    limit: Option<Duration>,
) -> Result<Value, Failure> {
    wait_through(jobs, job, until, limit, AWAY).await
}

async fn wait_through(
    jobs: &Client,
    job: &str,
    until: &str,
    limit: Option<Duration>,
    away: Duration,
) -> Result<Value, Failure> {
    let deadline = limit.map(|limit| Instant::now() + limit);
    let is_late = || deadline.is_some_and(|at| at <= Instant::now());
    let mut lost = None;
    loop {
        let value = match wait_once(jobs, job, until, deadline).await {
            Ok(value) => value,
            Err(failure) if failure.code == Code::Unavailable as u8 => {
                let since = *lost.get_or_insert_with(|| {
                    let seconds = away.as_secs();
                    output::say(&format!(
                        "the jobs framework does not answer; waiting up to {seconds} s for it"
                    ));
                    Instant::now()
                });
                if since.elapsed() >= away || is_late() {
                    return Err(failure);
                }
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        lost = None;
        let done = if until == "started" { &value["started"] } else { &value["ended"] };
        let over = !value["ended"].is_null();
        if !done.is_null() || over || is_late() {
            return Ok(value);
        }
    }
}

/// One request, which the server answers when the job is `until`, or at the deadline.
async fn wait_once(
    jobs: &Client,
    job: &str,
    until: &str,
    deadline: Option<Instant>,
) -> Result<Value, Failure> {
    let left = deadline.map_or(WAIT, |at| at.saturating_duration_since(Instant::now())).min(WAIT);
    let (job, seconds) = (escape(job), left.as_secs_f64());
    let path = format!("/v1/jobs/{job}/wait?until={until}&timeout={seconds:.3}");
    let slack = Duration::from_secs(30);
    accept(&jobs.send(Method::GET, &path, None, left + slack).await?)
}

/// The exit code that a job's end stands for: its own, or 8 when it has none that says failure.
pub(crate) fn exit_code(job: &Value) -> u8 {
    let code = job["exit_code"].as_u64().and_then(|code| u8::try_from(code).ok());
    match (job["state"].as_str(), code) {
        (Some("succeeded"), _) => 0,
        (_, Some(code)) if code != 0 => code,
        _ => Code::Unsuccessful as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn targets_are_jobs_units_and_task_ids() {
        let target = |text: &str| text.parse::<Target>();
        assert_eq!(target("web"), Ok(Target { job: "web".into(), index: None }));
        assert_eq!(target("web/3"), Ok(Target { job: "web".into(), index: Some(3) }));
        assert_eq!(target("web-1.7.0"), Ok(Target { job: "web-1".into(), index: Some(7) }));
        assert_eq!(target("a.b"), Ok(Target { job: "a.b".into(), index: None }));
        assert!(target("web/x").is_err());
        assert!(target("/3").is_err());
    }

    #[test]
    fn exit_codes_follow_the_task() {
        let code = |state: &str, code: Value| {
            exit_code(&serde_json::json!({ "state": state, "exit_code": code }))
        };
        assert_eq!(code("succeeded", 0.into()), 0);
        assert_eq!(code("failed", 3.into()), 3);
        assert_eq!(code("killed", Value::Null), 8);
    }
    /// Hears one request, and answers it unless there is nothing to say.
    fn serve(listener: &TcpListener, answer: Option<&str>) {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut request, mut piece) = (Vec::new(), [0; 1024]);
        while !request.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut piece).unwrap();
            request.extend_from_slice(&piece[..read]);
        }
        assert!(request.starts_with(b"GET /v1/jobs/web-1/wait?until=ended"), "by id");
        let Some(body) = answer else { return };
        let length = body.len();
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
    }

    #[tokio::test]
    async fn a_wait_outlives_the_jobs_framework() {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = first.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            // It dies with the request in its hands; nobody listens; another one is there.
            serve(&first, None);
            drop(first);
            let second = TcpListener::bind(address).unwrap();
            serve(&second, Some(r#"{"state":"running","ended":null}"#));
            drop(second);
            let third = TcpListener::bind(address).unwrap();
            serve(&third, Some(r#"{"state":"succeeded","ended":5}"#));
        });
        let jobs = Client::new("jobs", address.to_string());
        let job = wait(&jobs, "web-1", "ended", None).await.unwrap();
        assert_eq!(job["state"], "succeeded");
        server.join().unwrap();
    }

    #[tokio::test]
    async fn a_jobs_framework_that_stays_away_is_given_up_with_seven() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let jobs = Client::new("jobs", address.to_string());
        let away = Duration::from_millis(300);
        let failure = wait_through(&jobs, "web-1", "ended", None, away).await.unwrap_err();
        assert_eq!(failure.code, 7, "{failure}");
        // Nor is it waited for beyond the person's own limit.
        let limit = Some(Duration::ZERO);
        let failure = wait(&jobs, "web-1", "ended", limit).await.unwrap_err();
        assert_eq!(failure.code, 7, "{failure}");
    }
}
