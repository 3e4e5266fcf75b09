//! The demo's live picture: tasks by state, agents as filling bars; and how full they were.

use crate::client::Client;
use crate::cluster::active_agents;
use crate::failure::Failure;
use crate::jobs_api;
use crate::output::{self, bar};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Between two looks at the cluster. People cannot read faster, and it costs next to nothing.
const LOOK: Duration = Duration::from_millis(50);
/// Between two lines where the picture cannot move.
const LINE: Duration = Duration::from_secs(2);

/// How full each agent was while there was work for all of them.
#[derive(Debug, Default)]
pub(super) struct Packing {
    /// By agent id: zone, looks, and the sums and peaks of what was allocated.
    pub(super) agents: BTreeMap<String, AgentPacking>,
}

/// One agent's share.
#[derive(Clone, Debug, Default)]
pub(super) struct AgentPacking {
    pub(super) zone: String,
    pub(super) looks: u64,
    pub(super) cpus_sum: u64,
    pub(super) mem_sum: u64,
    pub(super) cpus_peak: u64,
    pub(super) cpus_total: u64,
    pub(super) mem_total: u64,
}

impl AgentPacking {
    /// The mean part of the cpus that tasks had, in percent.
    pub(super) fn cpus_percent(&self) -> f64 {
        percent(self.cpus_sum, self.looks * self.cpus_total)
    }

    /// The mean part of the memory that tasks had, in percent.
    pub(super) fn mem_percent(&self) -> f64 {
        percent(self.mem_sum, self.looks * self.mem_total)
    }

    /// The most of the cpus that tasks had at once, in percent.
    pub(super) fn peak_percent(&self) -> f64 {
        percent(self.cpus_peak, self.cpus_total)
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}

/// Watches until the job ended: there is at least one look. What is printed moves where the terminal allows it.
pub(super) async fn until_ended(
    master: &Client,
    jobs: &Client,
    id: &str,
    units: u64,
) -> Result<Packing, Failure> {
    let lively = output::is_lively();
    let (mut packing, mut drawn, mut last_line) = (Packing::default(), 0, Instant::now());
    let ended = jobs_api::wait(jobs, id, "ended", None);
    tokio::pin!(ended);
    loop {
        let agents = active_agents(master).await?;
        let job = jobs_api::accept(&jobs.get(&format!("/v1/jobs/{id}")).await?)?;
        // While fewer tasks are left than fit, an agent cannot be full.
        let waiting = job["counts"]["pending"].as_u64().unwrap_or(0) > 0;
        let mut picture = format!("{}\n", states(&job["counts"], units));
        for agent in &agents {
            let (total, used) = (&agent.info.resources, &agent.allocated);
            let name = agent.info.id.as_ref().map(ToString::to_string).unwrap_or_default();
            let zone = zone(agent);
            // Writing to a string cannot fail.
            let _ = writeln!(
                picture,
                "  zone {zone}  cpus {} mem {}",
                bar(used.cpus(), total.cpus(), 24),
                bar(used.mem(), total.mem(), 24),
            );
            // Every agent is in the report, however short the job is.
            if waiting || !packing.agents.contains_key(&name) {
                let one = packing.agents.entry(name).or_default();
                one.zone = zone;
                one.looks += 1;
                one.cpus_sum += used.cpus();
                one.mem_sum += used.mem();
                one.cpus_peak = one.cpus_peak.max(used.cpus());
                (one.cpus_total, one.mem_total) = (total.cpus(), total.mem());
            }
        }
        if lively {
            erase(drawn);
            drawn = picture.lines().count();
            output::say(picture.trim_end());
        } else if last_line.elapsed() >= LINE {
            last_line = Instant::now();
            output::say(&states(&job["counts"], units));
        }
        tokio::select! {
            job = &mut ended => {
                erase(drawn);
                let job = job?;
                output::say(&states(&job["counts"], units));
                return Ok(packing);
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn zone(agent: &proto::operator::AgentView) -> String {
    let zone = agent.info.attributes.iter().find(|attribute| &*attribute.name == "zone");
    zone.map(|attribute| attribute.value.to_string()).unwrap_or_default()
}

/// Moves the cursor up over what was drawn and clears it.
fn erase(lines: usize) {
    if lines > 0 {
        eprint_raw(&format!("\x1b[{lines}A\x1b[J"));
    }
}

fn eprint_raw(text: &str) {
    use std::io::Write;
    // A closed standard error is the person's choice.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// One line: a bar over all tasks, and how many are in which state.
fn states(counts: &serde_json::Value, units: u64) -> String {
    let count = |state: &str| counts[state].as_u64().unwrap_or(0);
    let done = count("succeeded") + count("failed") + count("killed");
    format!(
        "tasks {} {done}/{units} done, {} running, {} launched, {} waiting, {} failed",
        bar(done, units, 24),
        count("running"),
        count("launched"),
        count("pending"),
        count("failed"),
    )
}
