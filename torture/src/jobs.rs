//! Work for the jobs framework: one batch job after the other, each handed in with a token until
//! it is acknowledged.

use crate::cluster::{Cluster, jobs_address, pause};
use crate::history::Fact;
use crate::{http, instance};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Units of one job.
const UNITS: u64 = 12;
/// Thousandths of a cpu of each unit.
const CPUS: u64 = 200;

/// Hands jobs in until it is told to stop, and sees the last one to its end.
pub(crate) async fn feed(cluster: Arc<Cluster>, stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    let command = instance::command(&cluster.tasks(), CPUS, Some(400))?;
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let spec = json!({
            "kind": "batch", "name": format!("sums-{number}"), "array": UNITS,
            "retry": { "user": 0, "platform": 0 },
            "task": { "command": command, "cpus": 0.2, "mem": 16 },
        });
        let path = format!("/v1/jobs?format=json&token=torture-{number}");
        let job = loop {
            if let Some(job) = submitted(&path, &spec).await {
                break job;
            }
            // waits: the framework may be away
            pause(200).await;
        };
        cluster.history.note(Fact::Submitted { job: job.clone(), units: UNITS });
        let succeeded = loop {
            if let Some(succeeded) = ended(&job).await {
                break succeeded;
            }
            // waits: for the job's end, which the framework tells when it is asked
            pause(200).await;
        };
        cluster.history.note(Fact::Ended { job, succeeded });
    }
    Ok(())
}

async fn submitted(path: &str, spec: &Value) -> Option<String> {
    let body = http::post(&jobs_address(), path, &spec.to_string()).await?;
    let answer: Value = serde_json::from_str(&body).ok()?;
    Some(answer["id"].as_str()?.to_owned())
}

async fn ended(job: &str) -> Option<u64> {
    let body = http::get(&jobs_address(), &format!("/v1/jobs/{job}")).await?;
    let job: Value = serde_json::from_str(&body).ok()?;
    if job["ended"].is_null() { None } else { job["counts"]["succeeded"].as_u64() }
}
