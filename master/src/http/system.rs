//! `/system/stats.json`: load, processors and memory of the machine that the master runs on, in the
//! words of Mesos.
//!
//! What the kernel does not say is left out, never guessed.

use super::{Refusal, read};
use axum::response::Response;
use http::Method;
use serde_json::{Map, Value, json};

pub(super) fn stats(method: &Method) -> Result<Response, Refusal> {
    read::require_read(method)?;
    let file = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = std::thread::available_parallelism().ok().map(std::num::NonZero::get);
    let stats = Value::Object(said(&file("/proc/loadavg"), &file("/proc/meminfo"), cpus));
    Ok(read::body("application/json", stats.to_string()))
}

/// The members, of what the kernel's files say.
fn said(loadavg: &str, meminfo: &str, cpus: Option<usize>) -> Map<String, Value> {
    let mut stats = Map::new();
    let names = ["avg_load_1min", "avg_load_5min", "avg_load_15min"];
    for (name, word) in names.into_iter().zip(loadavg.split_whitespace()) {
        if let Ok(load) = word.parse::<f64>() {
            stats.insert(name.to_owned(), json!(load));
        }
    }
    if let Some(cpus) = cpus {
        stats.insert("cpus_total".to_owned(), json!(cpus));
    }
    for (name, key) in [("mem_total_bytes", "MemTotal:"), ("mem_free_bytes", "MemFree:")] {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(key));
        let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        if let Some(bytes) = kib.and_then(|kib| kib.checked_mul(1024)) {
            stats.insert(name.to_owned(), json!(bytes));
        }
    }
    stats
}

#[cfg(test)]
mod tests {
    use super::said;
    use serde_json::{Value, json};

    #[test]
    fn what_the_kernel_says_is_told_and_nothing_else() {
        let meminfo = "MemTotal:       16315296 kB\nMemFree:         1024 kB\nCached: 7 kB\n";
        assert_eq!(
            Value::Object(said("0.25 1.5 2.00 1/345 6789\n", meminfo, Some(8))),
            json!({
                "avg_load_1min": 0.25, "avg_load_5min": 1.5, "avg_load_15min": 2.0,
                "cpus_total": 8, "mem_total_bytes": 16_706_863_104_u64, "mem_free_bytes": 1_048_576,
            })
        );
        assert_eq!(Value::Object(said("", "MemTotal: x kB\nMemFree: 1\n", None)), json!({}));
    }
}
