//! What the demo says at its end.

use super::Outcome;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Runs of neighbouring numbers: `0-3,7,9-10`.
fn runs(numbers: &[u64]) -> String {
    let mut text = String::new();
    let mut at = 0;
    while at < numbers.len() {
        let mut end = at;
        while end + 1 < numbers.len() && numbers[end + 1] == numbers[end] + 1 {
            end += 1;
        }
        let separator = if text.is_empty() { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = match end - at {
            0 => write!(text, "{separator}{}", numbers[at]),
            _ => write!(text, "{separator}{}-{}", numbers[at], numbers[end]),
        };
        at = end + 1;
    }
    text
}

/// The numbers of the tasks that each agent ran, by agent id.
fn places(units: &[Value]) -> BTreeMap<String, Vec<u64>> {
    let mut places: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for unit in units {
        let agent = unit["agent"].as_str().unwrap_or("nowhere").to_owned();
        places.entry(agent).or_default().push(unit["index"].as_u64().unwrap_or_default());
    }
    places
}

/// Breaks a long list of runs into lines.
fn wrap(text: &str, width: usize, indent: &str) -> String {
    let mut lines = String::new();
    let mut line = String::new();
    for part in text.split_inclusive(',') {
        if line.len() + part.len() > width {
            let _ = writeln!(lines, "{indent}{line}");
            line.clear();
        }
        line.push_str(part);
    }
    let _ = writeln!(lines, "{indent}{line}");
    lines
}

/// For people.
pub(super) fn text(outcome: &Outcome) -> String {
    let mut text = String::new();
    let zones = &outcome.packing.agents;
    let _ = writeln!(text, "\nwhere each task ran:");
    for (agent, numbers) in places(&outcome.units) {
        let zone = zones.get(&agent).map(|a| a.zone.as_str()).unwrap_or("?");
        let tasks = if numbers.len() == 1 { "task" } else { "tasks" };
        let _ = writeln!(text, "  zone {zone}  {agent}: {} {tasks}", numbers.len());
        text += &wrap(&runs(&numbers), 84, "          ");
    }
    let _ = writeln!(text, "\nhow full the agents were while tasks were waiting:");
    for agent in zones.values() {
        let _ = writeln!(
            text,
            "  zone {}  cpus {:.0} % (peak {:.0} %), mem {:.0} %",
            agent.zone,
            agent.cpus_percent(),
            agent.peak_percent(),
            agent.mem_percent()
        );
    }
    let finished = outcome.map["counts"]["succeeded"].as_u64().unwrap_or(0);
    let seconds = outcome.took.as_secs_f64();
    let _ = writeln!(
        text,
        "\n{finished} of {} tasks finished; {} files, {:.1} MB from {}",
        outcome.shards,
        outcome.files,
        outcome.bytes as f64 / 1e6,
        outcome.input.display()
    );
    let _ = writeln!(
        text,
        "from submit to the end of the reduce step: {seconds:.2} s; serially: {:.2} s",
        outcome.serial_took.as_secs_f64()
    );
    let verdict = if outcome.verified {
        "verified: equal to the serial run"
    } else {
        "WRONG: differs from the serial run"
    };
    let _ = writeln!(text, "{verdict}");
    text
}

/// For programs: one object.
pub(super) fn json(outcome: &Outcome) -> Value {
    let places = places(&outcome.units);
    let agents: Vec<Value> = outcome
        .packing
        .agents
        .iter()
        .map(|(agent, packing)| {
            json!({
                "agent_id": agent,
                "zone": packing.zone,
                "tasks": places.get(agent).map_or(0, Vec::len),
                "cpus_percent": (packing.cpus_percent() * 10.0).round() / 10.0,
                "cpus_peak_percent": (packing.peak_percent() * 10.0).round() / 10.0,
                "mem_percent": (packing.mem_percent() * 10.0).round() / 10.0,
            })
        })
        .collect();
    let counts = &outcome.map["counts"];
    json!({
        "tasks": outcome.shards,
        "finished": counts["succeeded"],
        "failed": counts["failed"],
        "reduced": outcome.reduce["state"] == "succeeded",
        "files": outcome.files,
        "bytes": outcome.bytes,
        "input": outcome.input,
        "seconds": outcome.took.as_secs_f64(),
        "serial_seconds": outcome.serial_took.as_secs_f64(),
        "verified": outcome.verified,
        "agents": agents,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_runs() {
        assert_eq!(runs(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!(runs(&[]), "");
    }

    #[test]
    fn long_lists_are_broken_at_commas() {
        assert_eq!(wrap("1,2,3,4", 4, "  "), "  1,2,\n  3,4\n");
    }
}
