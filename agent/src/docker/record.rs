//! What the agent keeps on disk of each container that it gave to the engine, so that the next one
//! knows what is its own, whatever the engine can say.
//!
//! A directory a container, with the launch as the supervisor would keep it. It is written before
//! the engine hears of the container and goes after the engine has removed it: a container of ours
//! that has no record is nobody's. Nothing is synced: what a power failure loses, the host's new
//! start has ended.

use crate::containerizer::ContainerId;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How far a container has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// The engine may have made it, and was not asked to start it.
    Making,
    /// The engine was asked to start it; whether it did is not known.
    Starting,
    /// It ran.
    Running,
    /// Its end is known.
    Ended,
    /// Nobody asks for it any more.
    Forgotten,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    /// As the engine tells it: 128 and more for signals.
    pub(crate) code: u8,
    /// The memory limit, if it was ended for that, in bytes.
    pub(crate) out_of_memory: Option<u64>,
    pub(crate) lasted: Duration,
    pub(crate) ended_unix_ns: u64,
}

/// What changes of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    /// The start of the host at which it was written.
    pub(crate) boot_id: String,
    pub(crate) sandbox: PathBuf,
    /// Its first process, and when that began in the kernel's ticks since boot: another one of the
    /// same number is another one.
    pub(crate) pid: u32,
    pub(crate) pid_ticks: Option<u64>,
    /// Its own, when it is in a network of the engine's.
    #[serde(default)]
    pub(crate) address: Option<Ipv4Addr>,
    /// When it started, in nanoseconds since boot.
    pub(crate) started_boot_ns: u64,
    /// Its memory limit in bytes.
    pub(crate) memory: Option<u64>,
    /// When it is to be killed at the latest, in nanoseconds since the Unix epoch.
    pub(crate) kill_by_unix_ns: Option<u64>,
    /// What it took of the disk and what it might, in bytes, if it is killed for that.
    #[serde(default)]
    pub(crate) disk_exceeded: Option<(u64, u64)>,
    /// How it ended; absent in phase `Ended` when nobody knows.
    pub(crate) end: Option<End>,
}

/// A record as it was found.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) id: ContainerId,
    pub(crate) launch: Vec<u8>,
    pub(crate) shared: Option<Arc<[u8]>>,
    pub(crate) state: State,
}

/// The directory of all records.
#[derive(Clone, Debug)]
pub(crate) struct Records(PathBuf);

const STATE: &str = "state";
const LAUNCH: &str = "launch";
const SHARED: &str = "framework";

impl Records {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self(dir)
    }

    /// Where a container's record is.
    pub(crate) fn dir(&self, id: &ContainerId) -> PathBuf {
        self.0.join(id.as_str())
    }

    /// Keeps a new container.
    pub(crate) fn make(
        &self,
        id: &ContainerId,
        launch: &[u8],
        shared: Option<&[u8]>,
        state: &State,
    ) -> io::Result<()> {
        let dir = self.dir(id);
        // Launches have the variables of tasks, which are nobody else's to read.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        std::fs::write(dir.join(LAUNCH), launch)?;
        if let Some(shared) = shared {
            std::fs::write(dir.join(SHARED), shared)?;
        }
        // Last: a directory without it is one that was not finished.
        self.put(id, state)
    }

    /// Replaces what changed.
    pub(crate) fn put(&self, id: &ContainerId, state: &State) -> io::Result<()> {
        replace(&self.dir(id).join(STATE), &serde_json::to_vec(state)?)
    }

    /// The container is gone.
    pub(crate) fn remove(&self, id: &ContainerId) {
        let dir = self.dir(id);
        // Without its state it is no record any more, whatever happens next.
        let _ = std::fs::remove_file(dir.join(STATE));
        if let Err(error) = std::fs::remove_dir_all(&dir)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(dir = %dir.display(), %error, "a record of Docker's could not be removed");
        }
    }

    /// Whether there is one.
    pub(crate) fn knows(&self, id: &str) -> bool {
        ContainerId::new(id).is_ok_and(|id| self.dir(&id).join(STATE).exists())
    }

    pub(crate) fn get(&self, id: &ContainerId) -> Option<Record> {
        let dir = self.dir(id);
        let state = std::fs::read(dir.join(STATE)).ok()?;
        let state = serde_json::from_slice(&state)
            .inspect_err(|error| {
                tracing::error!(container = %id, %error, "a record of Docker's cannot be read");
            })
            .ok()?;
        let launch = std::fs::read(dir.join(LAUNCH)).unwrap_or_default();
        let shared = std::fs::read(dir.join(SHARED)).ok().map(Into::into);
        Some(Record { id: id.clone(), launch, shared, state })
    }

    /// All of them. Directories without a readable state are removed: what the engine has of them
    /// is nobody's.
    pub(crate) fn all(&self) -> Vec<Record> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let ids = entries.filter_map(|entry| ContainerId::new(entry.file_name().to_str()?).ok());
        let known = ids.filter_map(|id| {
            let record = self.get(&id);
            if record.is_none() {
                self.remove(&id);
            }
            record
        });
        known.collect()
    }
}

/// Writes a small file so that a reader finds the old text or the new one.
pub(crate) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State {
            phase: Phase::Making,
            boot_id: "b".into(),
            sandbox: "/s".into(),
            pid: 1,
            pid_ticks: Some(2),
            address: Some([172, 17, 0, 2].into()),
            started_boot_ns: 3,
            memory: None,
            kill_by_unix_ns: None,
            disk_exceeded: None,
            end: None,
        }
    }

    #[test]
    fn a_record_is_found_as_it_was_put_and_half_a_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::new(dir.path().join("docker"));
        assert!(records.all().is_empty());
        let id = ContainerId::new("c").unwrap();
        records.make(&id, b"launch", Some(b"framework"), &state()).unwrap();
        records.put(&id, &State { phase: Phase::Running, ..state() }).unwrap();
        let half = records.dir(&ContainerId::new("half").unwrap());
        std::fs::create_dir(&half).unwrap();
        std::fs::write(half.join(LAUNCH), "x").unwrap();
        let damaged = ContainerId::new("damaged").unwrap();
        records.make(&damaged, b"", None, &state()).unwrap();
        std::fs::write(records.dir(&damaged).join(STATE), "{").unwrap();
        let found = records.all();
        assert_eq!(found.len(), 1);
        assert_eq!((&*found[0].launch, found[0].state.phase), (&b"launch"[..], Phase::Running));
        assert_eq!(found[0].shared.as_deref(), Some(&b"framework"[..]));
        assert!(records.knows("c") && !records.knows("half") && !records.knows("../docker/c"));
        assert!(!half.exists());
        records.remove(&id);
        assert!(records.all().is_empty() && !records.knows("c"));
    }
}
