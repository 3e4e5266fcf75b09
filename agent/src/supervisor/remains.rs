//! What is left of a supervisor that was lost: processes that were killed and have not ended, as
//! those that wait in the kernel for a file server. Their containers are the agent's until they
//! end, as what runs is.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::roll::Entry;
use super::server::Supervisor;
use super::strays::Stray;
use super::sys;
use super::task::{ContainerId, Ended, Launched, Recovered, SandboxFate, WaitStatus};
use super::wire::Report;

/// How long what was killed may take before it counts as left. Nobody is served meanwhile, and what
/// takes longer is waited for all the same.
pub(super) const SOON: Duration = Duration::from_secs(2);

/// What is left of one container.
#[derive(Debug)]
pub(super) struct Remains {
    /// None when nothing says whose it is: then nobody but the log hears of it.
    pub(super) known: Option<Recovered>,
    processes: Vec<OwnedFd>,
    groups: Vec<PathBuf>,
}

/// Whether a process has ended.
pub(super) fn has_ended(process: &OwnedFd) -> bool {
    let mut asked = [PollFd::new(process, PollFlags::IN)];
    poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}

/// Waits for processes that were killed; keeps those that do not end in time.
pub(super) fn wait(processes: &mut Vec<Stray>) {
    let until = Instant::now() + SOON;
    processes.retain(|stray| {
        let mut asked = [PollFd::new(&stray.process, PollFlags::IN)];
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
        !poll(&mut asked, Some(&left)).is_ok_and(|ready| ready > 0)
    });
}

/// By the container, as what ran there was noted.
pub(super) fn of_processes(strays: Vec<Stray>, entries: &[Entry]) -> Vec<Remains> {
    let mut all: BTreeMap<Option<ContainerId>, (u32, Vec<OwnedFd>)> = BTreeMap::new();
    for Stray { pid, container, process } in strays {
        all.entry(container).or_insert((pid, Vec::new())).1.push(process);
    }
    let remains = all.into_iter().map(|(id, (pid, processes))| {
        let entry = entries.iter().find(|entry| Some(&entry.id) == id.as_ref());
        Remains { known: id.map(|id| recovered(id, entry, pid)), processes, groups: Vec::new() }
    });
    remains.collect()
}

/// By the group, whose name is its number.
pub(super) fn of_groups(groups: &[PathBuf], entries: &[Entry]) -> Vec<Remains> {
    let mut all: BTreeMap<&std::ffi::OsStr, Vec<PathBuf>> = BTreeMap::new();
    for path in groups {
        all.entry(path.file_name().unwrap_or_default()).or_default().push(path.clone());
    }
    let remains = all.into_values().map(|groups| {
        let entry = groups.first().and_then(|path| number(path));
        let entry = entry.and_then(|group| entries.iter().find(|entry| entry.group == group));
        let known = entry.map(|entry| recovered(entry.id.clone(), Some(entry), entry.pid));
        Remains { known, processes: Vec::new(), groups }
    });
    remains.collect()
}

/// The number of a group; names of other kinds have none.
pub(super) fn number(group: &Path) -> Option<u64> {
    group.file_name()?.to_str()?.parse().ok()
}

fn recovered(id: ContainerId, entry: Option<&Entry>, pid: u32) -> Recovered {
    let launched = Launched {
        pid: entry.map_or(pid, |entry| entry.pid),
        started_boot_ns: entry.map_or_else(sys::boot_time_ns, |entry| entry.started_boot_ns),
        sandbox: entry.map(|entry| entry.sandbox.clone()).unwrap_or_default(),
        address: None,
        layer: None,
    };
    Recovered {
        id,
        record: Vec::new(),
        shared: None,
        launched,
        ended: None,
        kill_requested: false,
        remains: true,
    }
}

impl Remains {
    /// What is to be noted of it for the next supervisor, should we be lost as well.
    pub(super) fn entry(&self) -> Option<Entry> {
        let Recovered { id, launched, .. } = self.known.as_ref()?;
        Some(Entry {
            id: id.clone(),
            group: self.groups.first().and_then(|path| number(path)).unwrap_or(0),
            pid: launched.pid,
            started_boot_ns: launched.started_boot_ns,
            sandbox: launched.sandbox.clone(),
        })
    }

    fn is_gone(&mut self) -> bool {
        self.processes.retain(|process| !has_ended(process));
        // Only an empty one can be removed.
        self.groups.retain(|path| std::fs::remove_dir(path).is_err() && path.exists());
        self.processes.is_empty() && self.groups.is_empty()
    }

    /// What is known of the end: that it has come.
    fn ended(launched: &Launched) -> Ended {
        let lasted = sys::boot_time_ns().saturating_sub(launched.started_boot_ns);
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let kept = !launched.sandbox.as_os_str().is_empty() && launched.sandbox.exists();
        Ended {
            status: WaitStatus::Unknown,
            limitation: None,
            kill_requested: true,
            pids_refused: 0,
            cpu_time: Duration::ZERO,
            max_rss_bytes: 0,
            lasted: Duration::from_nanos(lasted),
            ended_unix_ns: u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX),
            stdout_bytes: 0,
            stderr_bytes: 0,
            lost_bytes: 0,
            sandbox: match kept {
                true => SandboxFate::Kept(launched.sandbox.clone()),
                false => SandboxFate::Empty,
            },
        }
    }
}

impl Supervisor {
    /// Takes over what is left of a supervisor that was lost.
    pub(super) fn inherit(&mut self, remains: Vec<Remains>) {
        for one in &remains {
            let whose = one.known.as_ref().map_or("nobody knows whom", |known| known.id.as_str());
            super::log(&format!("processes of {whose} were killed and do not end"));
        }
        let groups = remains.iter().flat_map(|one| &one.groups);
        let taken = groups.filter_map(|path| number(path)).max();
        self.next_group = self.next_group.max(taken.unwrap_or(0));
        self.remains = remains;
        self.pace.begin(Instant::now());
    }

    /// Tells the end of what was left, if it has come.
    pub(super) fn watch_remains(&mut self) {
        let mut remains = std::mem::take(&mut self.remains);
        remains.retain_mut(|one| {
            if !one.is_gone() {
                return true;
            }
            if let Some(known) = one.known.take() {
                let (id, ended) = (known.id.clone(), Remains::ended(&known.launched));
                self.report(&Report::Ended { id: id.clone(), ended: Box::new(ended.clone()) });
                self.ended.insert(id, Recovered { ended: Some(ended), ..known });
            }
            false
        });
        self.remains = remains;
    }
}
