//! Sandboxes that nobody remembers: left by a supervisor that was lost together with the records
//! of its tasks, or by a host that lost its power.
//!
//! They get a record, so that they are collected like all others. A living supervisor of before has
//! directories in reserve: under one, only those are nobody's that were filled for a launch.

use agent_core::{Recovered, SandboxRecord};
use proto::{ContainerId, FrameworkId, TaskId, Time};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// What the names of sandboxes begin with that were filled before their launch.
pub(crate) const FETCHED: &str = "fetched-";

/// Records for the directories in `sandboxes` that `recovered` does not know.
pub(crate) fn find(sandboxes: &Path, recovered: &Recovered) -> Vec<SandboxRecord> {
    let of_containers = recovered.containers.iter().map(|container| &*container.sandbox);
    let of_records = recovered.sandboxes.iter().map(|record| &*record.path);
    let known: BTreeSet<&str> = of_containers.chain(of_records).collect();
    let entries = match std::fs::read_dir(sandboxes) {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!(%error, "the sandboxes of before cannot be listed");
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let Some(text) = path.to_str().filter(|text| !known.contains(text)) else { continue };
        let Ok(data) = entry.metadata() else { continue };
        if data.is_dir() {
            let since = data.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            found.extend(record(text, &entry.file_name(), Time::ZERO + since.unwrap_or_default()));
        }
    }
    found
}

/// Whether a sandbox was filled before its launch, and is none of the supervisor's own.
pub(crate) fn is_fetched(sandbox: &str) -> bool {
    let name = Path::new(sandbox).file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(FETCHED))
}

/// The ids are made up: nothing else is known.
fn record(path: &str, name: &std::ffi::OsStr, ended: Time) -> Option<SandboxRecord> {
    let name = name.to_str()?;
    Some(SandboxRecord {
        container_id: ContainerId::new(format!("forgotten-{name}")).ok()?,
        framework_id: FrameworkId::new("forgotten").ok()?,
        task_id: TaskId::new(name).ok()?,
        path: path.into(),
        ended,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_without_a_record_are_found_and_others_are_not() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["00000001", "00000002"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        std::fs::write(dir.path().join("file"), "").unwrap();
        let known = dir.path().join("00000001");
        let sandboxes = vec![SandboxRecord {
            path: known.to_str().unwrap().into(),
            ..record("", std::ffi::OsStr::new("x"), Time::ZERO).unwrap()
        }];
        let recovered = Recovered { sandboxes, ..Recovered::default() };
        let found = find(dir.path(), &recovered);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].container_id.as_str(), "forgotten-00000002");
        assert!(found[0].ended > Time::from_millis(1_600_000_000_000), "{}", found[0].ended);
        assert!(!is_fetched(&found[0].path));
        assert!(is_fetched("/fetched-x/sandboxes/fetched-c") && !is_fetched("/fetched-x/00000001"));
        assert!(find(&dir.path().join("none"), &Recovered::default()).is_empty());
    }
}
