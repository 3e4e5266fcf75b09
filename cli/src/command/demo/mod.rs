//! `tepui demo`: a cluster does real work on real files, and the result is verified.
//!
//! One master and three agents in different zones; a batch job of some hundred tasks, each
//! checksumming and compressing its shard of a directory tree under limits; a reduce step; and the
//! same serially, to compare. A wrong result exits 1. Nothing is left behind.

mod input;
mod report;
mod watch;
mod work;

use super::jobs::Where;
use super::run::tell_isolation;
use crate::Print;
use crate::client::Client;
use crate::cluster::{AgentPlan, Cluster, Plan, active_agents};
use crate::failure::{Code, Failure};
use crate::jobs_api;
use crate::output::{self, Form};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// Enough agents that zones mean something on any machine.
const AGENTS: usize = 3;
/// What each agent says that it has: placement must be real, however small the machine.
const AGENT_RESOURCES: &str = "cpus:1;mem:768";
/// What each task may use.
const TASK_CPUS: f64 = 0.25;
const TASK_MEM_MB: f64 = 64.0;

/// What `tepui demo` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui demo
  tepui demo --input ~/src --tasks 500
  tepui demo -o json | jq .seconds")]
pub(crate) struct Options {
    /// The directory whose files are the input. Documentation files of this machine by default.
    #[arg(long, value_name = "DIR")]
    input: Option<PathBuf>,
    /// How many tasks the files are shared between.
    #[arg(long, default_value_t = 240, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    tasks: u32,
    #[command(flatten)]
    print: Print,
}

/// Everything that the report needs.
struct Outcome {
    input: PathBuf,
    files: usize,
    bytes: u64,
    shards: usize,
    map: Value,
    reduce: Value,
    units: Vec<Value>,
    packing: watch::Packing,
    /// From the first submit to the end of the reduce step.
    took: Duration,
    serial_took: Duration,
    verified: bool,
}

/// Runs the demo.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::new(Code::Failed, format!("signals: {e}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let place = tempfile::Builder::new().prefix("tepui-demo-").tempdir().map_err(|e| {
        Failure::new(Code::Failed, format!("cannot make a temporary directory: {e}"))
            .next("set TMPDIR to a directory with space")
    })?;
    let stop = async {
        tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
        }
    };
    tokio::pin!(stop);
    let input = input::directory(options.input.as_deref())?;
    output::say("starting a master and three agents on loopback ...");
    let start = Cluster::start(plan(place.path()));
    let mut cluster = tokio::select! {
        cluster = start => cluster?,
        code = &mut stop => return Err(Failure::exit(code)),
    };
    let result = tokio::select! {
        result = work(&cluster, &options, input, place.path()) => result,
        code = &mut stop => Err(Failure::exit(code)),
    };
    cluster.stop().await;
    drop(place);
    let outcome = result?;
    match options.print.output {
        Form::Json => output::print(&format!("{}\n", report::json(&outcome))),
        Form::Table => output::print(&report::text(&outcome)),
    }
    if outcome.verified && outcome.map["state"] == "succeeded" {
        return Ok(());
    }
    Err(Failure::new(Code::Failed, "the result differs from the serial run"))
}

fn plan(place: &Path) -> Plan {
    let agent = |at| AgentPlan {
        attributes: format!("zone:{}", super::up::zone(at)),
        resources: Some(AGENT_RESOURCES.to_owned()),
    };
    let data = place.join("cluster");
    let (agents, state) = ((0..AGENTS).map(agent).collect(), Where::Local);
    Plan { data, port: 0, agents, cgroups: true, state }
}

/// Prepares the input, runs both jobs, and compares with the serial run.
async fn work(
    cluster: &Cluster,
    options: &Options,
    input: PathBuf,
    place: &Path,
) -> Result<Outcome, Failure> {
    let sources = input::collect(&input)?;
    if sources.is_empty() {
        let message = format!("there are no readable files in {}", input.display());
        return Err(Failure::new(Code::NotFound, message).next("name another with --input DIR"));
    }
    let bytes = sources.iter().map(|source| source.bytes).sum();
    let shards = input::shards(&sources, options.tasks as usize);
    let directories = [place.join("lists"), place.join("out"), place.join("serial")];
    let [lists, out, serial] = &directories;
    let unwritable = |e: std::io::Error| {
        Failure::new(Code::Failed, format!("cannot write below {}: {e}", place.display()))
    };
    for directory in &directories {
        std::fs::create_dir(directory).map_err(unwritable)?;
    }
    for (number, shard) in shards.iter().enumerate() {
        input::write_list(&lists.join(format!("{number:05}")), shard).map_err(unwritable)?;
    }
    output::say(&format!(
        "{} files, {:.1} MB from {} in {} shards",
        sources.len(),
        bytes as f64 / 1e6,
        input.display(),
        shards.len()
    ));

    let (jobs, master) =
        (Client::new("jobs", cluster.jobs()), Client::new("master", cluster.master()));
    if let Some(agent) = active_agents(&master).await?.first() {
        let address = format!("{}:{}", agent.info.hostname, agent.info.port);
        tell_isolation(&Client::new("agent", address)).await;
    }
    let began = Instant::now();
    let id = submit(&jobs, "shards", work::SHARD, shards.len(), lists, out).await?;
    let packing = watch::until_ended(&master, &jobs, &id, shards.len() as u64).await?;
    let map = jobs_api::wait(&jobs, &id, "ended", None).await?;
    let id = submit(&jobs, "reduce", work::REDUCE, 1, lists, out).await?;
    let reduce = jobs_api::wait(&jobs, &id, "ended", None).await?;
    let took = began.elapsed();
    let units = units(&jobs, map["id"].as_str().unwrap_or_default()).await?;

    output::say("the same serially, to compare ...");
    let began = Instant::now();
    let (lists, serial, count) = (lists.clone(), serial.clone(), shards.len());
    let expected = tokio::task::spawn_blocking(move || work::serially(&lists, &serial, count));
    let expected = expected
        .await
        .map_err(|e| Failure::new(Code::Failed, format!("the serial run broke off: {e}")))??;
    let serial_took = began.elapsed();
    let verified = work::manifest(out).is_ok_and(|manifest| manifest == expected);
    Ok(Outcome {
        input,
        files: sources.len(),
        bytes,
        shards: shards.len(),
        map,
        reduce,
        units,
        packing,
        took,
        serial_took,
        verified,
    })
}

async fn submit(
    jobs: &Client,
    name: &str,
    script: &str,
    array: usize,
    lists: &Path,
    out: &Path,
) -> Result<String, Failure> {
    let line = format!("{script}\n");
    let spec = json!({
        "kind": "batch",
        "name": name,
        "array": array,
        "timeLimit": "5m",
        "soft": [{ "spread": "zone" }],
        "task": {
            // The index comes as the script's argument.
            "exec": ["/bin/sh", "-c", format!("set -- \"$TEPUI_INDEX\"\n{line}")],
            "cpus": TASK_CPUS,
            "mem": TASK_MEM_MB,
            "env": { "LIST": lists, "OUT": out },
        },
    });
    let submitted = jobs_api::submit(jobs, &spec.to_string(), "json", name, false).await?;
    Ok(submitted["id"].as_str().unwrap_or(name).to_owned())
}

/// All units of a job, page by page.
async fn units(jobs: &Client, id: &str) -> Result<Vec<Value>, Failure> {
    let (mut all, mut offset) = (Vec::new(), Some(0));
    while let Some(from) = offset {
        let path = format!("/v1/jobs/{id}/units?offset={from}&limit=1000");
        let page = jobs_api::accept(&jobs.get(&path).await?)?;
        all.extend(page["units"].as_array().cloned().unwrap_or_default());
        offset = page["next"].as_u64();
    }
    Ok(all)
}
