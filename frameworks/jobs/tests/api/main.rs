//! The framework over real sockets and a real store, against a master of a few lines.
#![allow(clippy::unwrap_used, reason = "tests may")]

mod master;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jobs::api::{Events, Health, Job, JobList, JobState, Submitted, UnitDetail, UnitList, Why};
use jobs::{Config, State};
use master::Master;
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const BOUND: Duration = Duration::from_secs(60);

/// A running framework.
struct Jobs {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), jobs::Error>>,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Jobs {
    async fn start(master: &str, dir: &Path) -> Self {
        Self::start_with(Config::new(vec![master.to_owned()], State::Local(dir.to_owned()))).await
    }

    async fn start_with(config: Config) -> Self {
        let listener = jobs::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(jobs::run(config, listener, async {
            stopped.await.unwrap();
        }));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { address, stop, task, client }
    }

    async fn stop(self) {
        drop(self.client);
        self.stop.send(()).unwrap();
        tokio::time::timeout(BOUND, self.task).await.unwrap().unwrap().unwrap();
    }

    async fn raw(&self, method: Method, path: &str, body: &str) -> (u16, String) {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        let exchange = async {
            let answer = self.client.request(request).await.unwrap();
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            (status, String::from_utf8(body.into()).unwrap())
        };
        tokio::time::timeout(BOUND, exchange).await.unwrap()
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: &str) -> T {
        let (status, text) = self.raw(method, path, body).await;
        assert!(status < 300, "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        self.ask(Method::GET, path, "").await
    }

    async fn submit(&self, query: &str, spec: &str) -> Submitted {
        self.ask(Method::POST, &format!("/v1/jobs{query}"), spec).await
    }

    /// Status and problems of a refusal.
    async fn refusal(&self, method: Method, path: &str, body: &str) -> (u16, Vec<String>) {
        let (status, text) = self.raw(method, path, body).await;
        assert!(status >= 400, "{path}: {status} {text}");
        let errors: jobs::api::Errors = serde_json::from_str(&text).unwrap();
        (status, errors.errors.iter().map(ToString::to_string).collect())
    }
}

fn batch(name: &str, array: u32) -> String {
    format!(
        "kind: batch\nname: {name}\narray: {array}\nretry: {{user: 1, backoff: 1ms}}\n\
         task: {{command: work, cpus: 0.5, mem: 32}}\n"
    )
}

#[tokio::test]
async fn a_batch_is_submitted_and_waited_for() {
    let (master, address) = Master::start().await;
    let dir = tempfile::tempdir().unwrap();
    let jobs = Jobs::start(&address, dir.path()).await;
    let submitted = jobs.submit("?token=one&wait=60", &batch("sums", 100)).await;
    assert_eq!((submitted.id.as_str(), submitted.units), ("sums-0", 100));
    let job = submitted.job.unwrap();
    assert_eq!((job.state, job.counts.succeeded, job.attempts), (JobState::Succeeded, 100, 100));
    assert_eq!(job.exit_code, Some(0));
    assert!(job.started.is_some() && job.ended.is_some() && job.units_shown.is_empty());

    let again = jobs.submit("?token=one", &batch("sums", 100)).await;
    assert!(again.already);
    assert_eq!(again.id, "sums-0");
    let (status, said) = jobs.refusal(Method::POST, "/v1/jobs?token=one", &batch("x", 1)).await;
    assert_eq!((status, said.len()), (409, 1), "{said:?}");

    let info = master.subscribed().unwrap();
    assert_eq!(info.webui_url.as_deref(), Some(&*format!("http://{}", jobs.address)));
    assert_eq!((&*info.name, info.checkpoint), ("jobs", true));
    assert_eq!(info.failover_timeout, Duration::from_secs(7 * 24 * 3600));
    let launched = master.launched();
    assert_eq!(launched.len(), 100);
    let seventh = launched.iter().find(|task| task.task_id.as_str() == "sums-0.7.0").unwrap();
    let command = seventh.payload.open().unwrap().command.unwrap();
    let text =
        |(name, value): &(std::sync::Arc<str>, std::sync::Arc<str>)| format!("{name}={value}");
    let variables: Vec<String> = command.environment.iter().map(text).collect();
    let expected = [
        "TEPUI_JOB=sums-0",
        "TEPUI_INDEX=7",
        "TEPUI_ATTEMPT=0",
        "TEPUI_COUNT=100",
        "TEPUI_TASK=sums-0.7.0",
    ];
    assert_eq!(variables, expected);
    assert!(jobs.raw(Method::GET, "/v1/jobs/sums/spec", "").await.1.contains("array: 100"));
    let health: Health = jobs.get("/health").await;
    assert!(health.registered);
    let (_, metrics) = jobs.raw(Method::GET, "/metrics", "").await;
    assert!(metrics.contains("tepui_jobs_units{state=\"succeeded\"} 100"), "{metrics}");
    jobs.stop().await;
}

#[tokio::test]
async fn failures_are_told_with_their_exit_codes_attempts_and_places() {
    let (_master, address) = Master::start().await;
    let dir = tempfile::tempdir().unwrap();
    let jobs = Jobs::start(&address, dir.path()).await;
    let job = jobs.submit("?wait=60", &batch("fails", 3)).await.job.unwrap();
    assert_eq!((job.state, job.counts.failed, job.exit_code), (JobState::Failed, 3, Some(3)));
    assert_eq!((job.attempts, job.attempt_outcomes["failed"]), (6, 6));
    let unit = &job.failures[1];
    assert_eq!((unit.index, unit.task.as_str(), unit.attempt), (1, "fails-0.1.1", 1));
    assert_eq!(unit.outcome.as_ref().unwrap().exit_code, Some(3));
    assert_eq!(unit.address.as_deref(), Some("agent-0:5051"));
    let sandbox = "/frameworks/m-0000/executors/fails-0.1.1/runs/latest";
    assert_eq!(unit.sandbox.as_deref(), Some(sandbox));
    assert_eq!(job.units_shown.len(), 3);

    let detail: UnitDetail = jobs.get("/v1/jobs/fails/units/1").await;
    assert_eq!(detail.unit, *unit);
    let numbers: Vec<u32> = detail.attempts.iter().map(|attempt| attempt.attempt).collect();
    assert_eq!(numbers, [0, 1]);
    assert!(detail.attempts.iter().all(|a| a.outcome.name == "failed" && a.running.is_some()));

    let page: UnitList = jobs.get("/v1/jobs/fails-0/units?state=failed_any&limit=2").await;
    assert_eq!((page.units.len(), page.next), (2, Some(2)));
    let page: UnitList = jobs.get("/v1/jobs/fails-0/units?state=failed&offset=2").await;
    assert_eq!((page.units.len(), page.next), (1, None));
    let page: UnitList = jobs.get("/v1/jobs/fails-0/units?state=live").await;
    assert_eq!(page.units, []);
    jobs.stop().await;
}

#[tokio::test]
async fn a_unit_tells_how_its_last_attempt_ended() {
    let (_master, address) = Master::start().await;
    let dir = tempfile::tempdir().unwrap();
    let jobs = Jobs::start(&address, dir.path()).await;
    // Out of memory: the figures are there of the unit as they are of the attempt.
    let job = jobs.submit("?wait=60", &batch("hungry", 1)).await.job.unwrap();
    let shown: Job = jobs.get("/v1/jobs/hungry").await;
    let detail: UnitDetail = jobs.get("/v1/jobs/hungry/units/0").await;
    for unit in [&job.failures[0], &shown.failures[0], &shown.units_shown[0], &detail.unit] {
        let outcome = unit.outcome.as_ref().unwrap();
        assert_eq!((outcome.limit_bytes, outcome.usage_bytes), (Some(32), Some(40)), "{unit:?}");
        assert_eq!(outcome, &detail.attempts[1].outcome);
    }
    let why: Why = jobs.get("/v1/jobs/hungry/why").await;
    let end = "unit 0: out of memory: used 40 of 32 bytes (It ended with Signal(9))";
    assert!(why.reasons.iter().any(|reason| reason == end), "{why:?}");

    // Waiting for another attempt.
    let spec = batch("fails", 1).replace("backoff: 1ms", "backoff: 10m");
    jobs.submit("", &spec).await;
    let waits = async {
        loop {
            let job: Job = jobs.get("/v1/jobs/fails").await;
            // How the attempt ended is shown once that is on record, which comes after.
            let unit = &job.units_shown[0];
            if unit.state == "backing_off" && unit.message.is_some() {
                return job;
            }
            tokio::task::yield_now().await;
        }
    };
    let job = tokio::time::timeout(Duration::from_secs(60), waits).await.unwrap();
    let end = "attempt 0: failed with exit code 3 (It ended with Code(3))";
    assert_eq!(job.units_shown[0].message.as_deref(), Some(end));
    assert_eq!(job.units_shown[0].outcome, None);
    for path in ["/v1/jobs/fails/why", "/v1/jobs/fails/units/0/why"] {
        let why: Why = jobs.get(path).await;
        assert!(why.reasons.iter().any(|reason| reason == end), "{why:?}");
    }
    jobs.stop().await;
}

#[tokio::test]
async fn a_restart_takes_everything_up_and_launches_nothing_twice() {
    let (master, address) = Master::start().await;
    let dir = tempfile::tempdir().unwrap();
    let jobs = Jobs::start(&address, dir.path()).await;
    jobs.submit("?wait=60", &batch("fails", 2)).await;
    jobs.submit("?token=w", &batch("waits", 4)).await;
    let started: Job = jobs.get("/v1/jobs/waits/wait?until=started&timeout=60").await;
    assert!(started.started.is_some() && started.ended.is_none());
    let ended: Job = jobs.get("/v1/jobs/fails").await;
    jobs.stop().await;

    let jobs = Jobs::start(&address, dir.path()).await;
    assert_eq!(jobs.get::<Job>("/v1/jobs/fails").await, ended);
    let again = jobs.submit("?token=w", &batch("waits", 4)).await;
    assert!(again.already);
    let killed: Job = jobs.ask(Method::POST, "/v1/jobs/waits/kill", "").await;
    assert!(matches!(killed.state, JobState::Killing | JobState::Killed), "{killed:?}");
    let over: Job = jobs.get("/v1/jobs/waits/wait?timeout=60").await;
    assert_eq!((over.state, over.counts.killed, over.attempts), (JobState::Killed, 4, 4));
    assert_eq!(over.exit_code, Some(1));
    assert_eq!(master.launched().len(), 4 + 4);
    jobs.stop().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_at_submit_with_figures() {
    let (_master, address) = Master::start().await;
    let dir = tempfile::tempdir().unwrap();
    let jobs = Jobs::start(&address, dir.path()).await;
    let impossible = "kind: batch\nname: big\nrole: nope\ntask: {command: a, cpus: 64, mem: 32}";
    let (status, said) = jobs.refusal(Method::POST, "/v1/jobs", impossible).await;
    let expected = [
        "role: there is no role 'nope' here: this framework has the role 'jobs'",
        "task.cpus: needs 64 cpus; the largest agent has 4 cpus (agent-0)",
    ];
    assert_eq!((status, said.as_slice()), (400, expected.map(str::to_owned).as_slice()));

    let warned = "{\"kind\":\"batch\",\"name\":\"far\",\"task\":{\"command\":\"a\"},\
                  \"hard\":[{\"attribute\":\"zone\",\"equals\":\"q\"}]}";
    let dry = jobs.submit("?dry_run=1&format=json", warned).await;
    assert_eq!(dry.warnings, ["no agent has zone q; there are a"]);
    assert!(dry.dry_run && dry.id.is_empty());
    assert_eq!(jobs.get::<JobList>("/v1/jobs").await.jobs, []);

    jobs.submit("", warned).await;
    let (status, said) = jobs.refusal(Method::POST, "/v1/jobs", warned).await;
    assert_eq!(status, 409);
    assert!(said[0].starts_with("name: 'far' is the name of a living job (far-0)"), "{said:?}");
    let why: Why = jobs.get("/v1/jobs/far/why").await;
    assert_eq!(why.index, Some(0));
    assert!(why.reasons.iter().any(|reason| reason.contains("zone q")), "{why:?}");
    assert_eq!(why.master, ["The master has its reasons."]);
    jobs.stop().await;
}

/// Asked at that moment, of all agents: where it would fit, or what single change would place it.
#[tokio::test]
async fn why_says_what_would_place_a_unit_now() {
    let (_master, address) = Master::start().await;
    let dir = tempfile::tempdir().unwrap();
    let jobs = Jobs::start(&address, dir.path()).await;
    let spec = |name: &str, kind: &str, cpus: u32| {
        format!("kind: {kind}\nname: {name}\ntask: {{command: work, cpus: {cpus}, mem: 32}}\n")
    };
    jobs.submit("", &spec("waits", "service", 3)).await;
    jobs.get::<Job>("/v1/jobs/waits/wait?until=started&timeout=60").await;
    // One cpu of agent-0 is left, and agent-1 has one.
    jobs.submit("", &spec("big", "batch", 2)).await;
    let why: Why = jobs.get("/v1/jobs/big/why").await;
    let wanted = [
        "asked now, none of 2 agents fits: not enough cpus on 2; \
         nearest is agent-0: wanted 2 cpus, 1 free",
        "it would fit with 1 cpu more on agent-0, or less wanted (2 agents in all)",
        "it would fit if task waits-0.0.0 on agent-0 ended",
    ];
    for sentence in wanted {
        let told = why.reasons.iter().filter(|reason| *reason == sentence).count();
        assert_eq!(told, 1, "{sentence}: {why:#?}");
    }
    jobs.ask::<Job>(Method::POST, "/v1/jobs/big/kill", "").await;

    // Nobody offers agent-1 here, though it has room.
    jobs.submit("", &spec("small", "batch", 1).replace("name: small", FAR)).await;
    let why: Why = jobs.get("/v1/jobs/small/why").await;
    let fits = "by what is free now it would fit on agent-1, were that offered";
    assert!(why.reasons.iter().any(|reason| reason == fits), "{why:#?}");
    jobs.stop().await;
}

/// A name, and a rule that only the agent meets that is never offered.
const FAR: &str = "name: small\nhard: [{attribute: hostname, equals: agent-1}]";

#[tokio::test]
async fn without_a_master_a_job_is_accepted_and_says_why_it_waits() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let dir = tempfile::tempdir().unwrap();
    let jobs = Jobs::start(&address, dir.path()).await;
    let submitted = jobs.submit("", &batch("early", 1)).await;
    assert!(submitted.warnings[0].contains("no master answers"), "{submitted:?}");
    let why: Why = jobs.get("/v1/jobs/early/why").await;
    assert!(why.reasons.iter().any(|reason| reason.contains("no master")), "{why:?}");
    let (status, text) = jobs.raw(Method::GET, "/health", "").await;
    assert_eq!(status, 503);
    assert!(!serde_json::from_str::<Health>(&text).unwrap().registered);
    let waited: Job = jobs.get("/v1/jobs/early/wait?timeout=0.01").await;
    assert_eq!(waited.ended, None);
    jobs.stop().await;
}

#[tokio::test]
async fn a_service_is_kept_at_its_size() {
    let (master, address) = Master::start().await;
    let dir = tempfile::tempdir().unwrap();
    let jobs = Jobs::start(&address, dir.path()).await;
    let spec = "kind: service\nname: waits\nreplicas: 2\nretry: {backoff: 1ms}\n\
                task: {command: serve, cpus: 0.5, mem: 32}";
    jobs.submit("", spec).await;
    let started: Job = jobs.get("/v1/jobs/waits/wait?until=started&timeout=60").await;
    assert_eq!((started.kind.as_str(), started.units), ("service", 2));
    let from = jobs.get::<Events>("/v1/events?timeout=0").await.next;
    jobs.ask::<jobs::api::Unit>(Method::POST, "/v1/jobs/waits/units/1/kill", "").await;
    // The killed one is replaced under its index.
    let mut after = from;
    loop {
        let path = format!("/v1/events?after={after}&job=waits&timeout=60");
        let events: Events = jobs.get(&path).await;
        assert!(!events.gap && !events.events.is_empty());
        if events.events.iter().any(|event| event.kind == "launched" && event.index == Some(1)) {
            break;
        }
        after = events.next;
    }
    let scaled: Job = jobs.ask(Method::POST, "/v1/jobs/waits/scale?replicas=3", "").await;
    assert_eq!(scaled.units, 3);
    jobs.ask::<Job>(Method::POST, "/v1/jobs/waits/kill", "").await;
    let over: Job = jobs.get("/v1/jobs/waits/wait?timeout=60").await;
    assert_eq!((over.state, over.counts.killed), (JobState::Killed, 3));
    assert!(master.launched().len() >= 3);
    jobs.stop().await;
}

#[tokio::test]
async fn ended_jobs_are_kept_bounded_the_oldest_go_first() {
    let (_master, address) = Master::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(vec![address], State::Local(dir.path().to_owned()));
    config.keep_jobs = 2;
    let jobs = Jobs::start_with(config).await;
    for name in ["a", "b", "c", "d"] {
        jobs.submit("?wait=60", &batch(name, 1)).await;
    }
    let kept = async {
        loop {
            let list: JobList = jobs.get("/v1/jobs?state=ended").await;
            let names: Vec<String> = list.jobs.into_iter().map(|job| job.name).collect();
            if names == ["c", "d"] {
                break;
            }
            assert!(names.ends_with(&["d".to_owned()]), "{names:?}");
        }
    };
    tokio::time::timeout(BOUND, kept).await.expect("the oldest are forgotten");
    assert_eq!(jobs.refusal(Method::GET, "/v1/jobs/a", "").await.0, 404);
    jobs.stop().await;
}

#[tokio::test]
async fn a_million_units_are_taken_on_and_shown_by_the_page() {
    let (_master, address) = Master::start().await;
    let dir = tempfile::tempdir().unwrap();
    let jobs = Jobs::start(&address, dir.path()).await;
    let far = format!("{}hard: [{{attribute: zone, equals: q}}]\n", batch("many", 1_000_000));
    jobs.submit("", &far).await;
    let page: UnitList = jobs.get("/v1/jobs/many/units?offset=999998").await;
    let indexes: Vec<u32> = page.units.iter().map(|unit| unit.index).collect();
    assert_eq!((indexes.as_slice(), page.next), ([999_998, 999_999].as_slice(), None));
    let none: UnitList = jobs.get("/v1/jobs/many/units?state=running").await;
    assert_eq!((none.units.len(), none.next), (0, None));
    // Others need not wait for what fits nowhere.
    let other = jobs.submit("?wait=60", &batch("other", 3)).await.job.unwrap();
    assert_eq!(other.state, JobState::Succeeded);
    jobs.ask::<Job>(Method::POST, "/v1/jobs/many/kill", "").await;
    let over: Job = jobs.get("/v1/jobs/many/wait?timeout=60").await;
    assert_eq!((over.state, over.counts.killed), (JobState::Killed, 1_000_000));
    jobs.stop().await;
}

#[tokio::test]
async fn a_page_in_a_browser_can_change_nothing() {
    let (_master, address) = Master::start().await;
    let dir = tempfile::tempdir().unwrap();
    let jobs = Jobs::start(&address, dir.path()).await;
    let request = Request::post(format!("http://{}/v1/jobs", jobs.address))
        .header("origin", "http://evil.example")
        .body(Full::new(Bytes::from(batch("bad", 1))))
        .unwrap();
    let answer = jobs.client.request(request).await.unwrap();
    assert_eq!(answer.status().as_u16(), 403);
    assert_eq!(jobs.get::<JobList>("/v1/jobs").await.jobs, []);
    jobs.stop().await;
}

#[tokio::test]
async fn wrong_requests_are_answered_with_sentences() {
    let (_master, address) = Master::start().await;
    let dir = tempfile::tempdir().unwrap();
    let jobs = Jobs::start(&address, dir.path()).await;
    let get = Method::GET;
    for (method, path, body, status, part) in [
        (&get, "/v1/jobs/none", "", 404, "there is no job 'none'"),
        (&get, "/v1/jobs/none/units/0", "", 404, "there is no job 'none'"),
        (&get, "/v1/nothing", "", 404, "nothing at this path"),
        (&Method::DELETE, "/v1/jobs", "", 405, "another method"),
        (&get, "/v1/jobs/a/units/x", "", 400, ""),
        (&get, "/v1/jobs?stat=ended", "", 400, "stat: is no parameter"),
        (&get, "/v1/jobs/a/wait?timeout=forever", "", 400, "timeout: must be seconds"),
        (&Method::POST, "/v1/jobs?format=xml", "", 400, "format: must be yaml"),
        (&Method::POST, "/v1/jobs", "kind: [", 400, "is no YAML"),
        (&Method::POST, "/v1/jobs", "name: a", 400, "kind: is missing"),
    ] {
        let (code, said) = jobs.refusal(method.clone(), path, body).await;
        assert_eq!(code, status, "{path}: {said:?}");
        assert!(said[0].contains(part), "{path}: {said:?}");
    }
    let large = " ".repeat(jobs::spec::MAX_BYTES + 1);
    let (status, said) = jobs.refusal(Method::POST, "/v1/jobs", &large).await;
    assert_eq!((status, said[0].contains("bytes")), (400, true), "{said:?}");
    jobs.submit("?wait=60", &batch("a", 2)).await;
    let (status, said) = jobs.refusal(get, "/v1/jobs/a/units/2", "").await;
    assert_eq!((status, said[0].as_str()), (404, "a-0 has no unit 2: it has 2, from 0"));
    let (status, said) = jobs.refusal(Method::POST, "/v1/jobs/a/scale?replicas=2", "").await;
    assert_eq!((status, said[0].as_str()), (409, "a-0 is a batch: its size is fixed"));
    jobs.stop().await;
}
