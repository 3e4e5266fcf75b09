//! One container's group: its limits, its counters, and the end of all its processes.
//!
//! A group is reused for one container after another, because making and removing five v1
//! directories costs as much as a process. So every counter that the kernel will not reset is
//! read against a baseline taken before, and [`Group::residue`] tells whether a former
//! container has left anything that is charged. Limits are written only when they differ.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::event::{EventfdFlags, eventfd};

use super::devices::Attached;
use super::usage::Beginning;
use super::{CgroupError, Tree, Version, io_error};
use crate::supervisor::sys;
use crate::supervisor::task::{Device, Limits};

/// Charged bytes a group may carry over: the kernel keeps up to 64 pages a cpu in stock, and
/// inodes of the sandbox stay charged for a while.
const RESIDUE_LIMIT: u64 = 1 << 20;

/// A container's group in every hierarchy.
#[derive(Debug)]
pub(in crate::supervisor) struct Group {
    pub(super) version: Version,
    pub(super) dirs: Vec<PathBuf>,
    pub(super) cpu: Option<PathBuf>,
    /// v1: counts cpu time, in a hierarchy of its own or in that of `cpu`.
    pub(super) cpuacct: Option<PathBuf>,
    pub(super) memory: Option<PathBuf>,
    pids: Option<PathBuf>,
    freezer: Option<PathBuf>,
    pub(super) cpuset: Option<PathBuf>,
    /// The cpus that were written last.
    pub(super) cpus: String,
    /// Where a weight at disks is written, if one is wanted.
    pub(super) disks: Option<(PathBuf, &'static str)>,
    /// Kept to the devices of containers.
    pub(super) guarded: Option<Vec<Device>>,
    /// v2: by this.
    pub(super) device_program: Option<Attached>,
    /// v1: a `tasks` file a hierarchy, to which a child writes `0` to join by itself: unlike a
    /// write to `cgroup.procs` that takes no machine-wide lock.
    pub(super) joins: Vec<File>,
    pub(super) join_fds: Vec<RawFd>,
    /// v2: the directory to be born in.
    directory: Option<OwnedFd>,
    pub(super) counters: Counters,
    /// v1: signalled by the kernel at each out-of-memory. v2: `memory.events`, polled for changes.
    oom_watch: Option<OwnedFd>,
    pub(super) written: Limits,
    written_memory: bool,
    pub(super) baseline: Baseline,
    /// What is not read for every container.
    pub(super) beginning: Beginning,
    oom_seen: bool,
    /// Who was in it when it ran out of memory, as far as they were still seen.
    pub(in crate::supervisor) short_of_memory: Vec<u32>,
    /// v2: `cgroup.kill` was written. Kernels that count such kills (6.1.172 does) compare the count
    /// of the group a child is born in with that of its parent's group, and kill it at birth.
    barren: bool,
}

/// Open files that are read for every container.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pids_current: Option<File>,
    pids_events: Option<File>,
    pub(super) memory_current: Option<File>,
    pub(super) memory_events: Option<File>,
    pub(super) cpu_usage: Option<File>,
}

/// Counters as they stood before the present container.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Baseline {
    pub(super) oom_kills: u64,
    pids_refused: u64,
    pub(super) cpu_ns: u64,
}

/// What the group counted for one container.
#[derive(Debug, Default, Clone, Copy)]
pub(in crate::supervisor) struct Counted {
    /// Peak memory and the limit, if the container ran out of memory.
    pub(in crate::supervisor) oom: Option<(u64, u64)>,
    pub(in crate::supervisor) pids_refused: u64,
}

impl Group {
    /// Makes the group `name`.
    pub(in crate::supervisor) fn make(tree: &Tree, name: &str) -> Result<Self, CgroupError> {
        let of = |controller: &str| tree.root_of(controller).map(|root| root.join(name));
        let mut group = Self {
            version: tree.version,
            dirs: tree.roots.iter().map(|root| root.join(name)).collect(),
            cpu: of("cpu"),
            cpuacct: of("cpuacct"),
            memory: of("memory"),
            pids: of("pids"),
            freezer: of("freezer"),
            cpuset: of("cpuset"),
            cpus: String::new(),
            disks: of("blkio").or_else(|| of("io")).zip(tree.weight_file()),
            guarded: None,
            device_program: None,
            joins: Vec::new(),
            join_fds: Vec::new(),
            directory: None,
            counters: Counters::default(),
            oom_watch: None,
            // What the kernel starts with; v2 weights have another default, so the first is written.
            written: Limits {
                cpu_shares: if tree.version == Version::V1 { 1024 } else { 0 },
                ..Limits::default()
            },
            written_memory: false,
            baseline: Baseline::default(),
            beginning: Beginning::default(),
            oom_seen: false,
            short_of_memory: Vec::new(),
            barren: false,
        };
        for dir in &group.dirs {
            super::make(dir)?;
        }
        group.begin_cpus(tree).and_then(|()| group.open_files()).inspect_err(|_| {
            for dir in &group.dirs {
                let _ = fs::remove_dir(dir);
            }
        })?;
        group.rebase();
        Ok(group)
    }

    fn open_files(&mut self) -> Result<(), CgroupError> {
        let open = |dir: &Option<PathBuf>, name: &str| match dir {
            Some(dir) => match File::open(dir.join(name)) {
                Ok(file) => Ok(Some(file)),
                // Older kernels lack some counters.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(io_error("cannot open", &dir.join(name))(error)),
            },
            None => Ok(None),
        };
        let v1 = self.version == Version::V1;
        self.counters = Counters {
            pids_current: open(&self.pids, "pids.current")?,
            pids_events: open(&self.pids, "pids.events")?,
            memory_current: open(
                &self.memory,
                if v1 { "memory.usage_in_bytes" } else { "memory.current" },
            )?,
            memory_events: open(
                &self.memory,
                if v1 { "memory.oom_control" } else { "memory.events" },
            )?,
            cpu_usage: if v1 {
                open(&self.cpuacct, "cpuacct.usage")?
            } else {
                open(&self.cpu, "cpu.stat")?
            },
        };
        for dir in &self.dirs {
            let path = dir.join(if v1 { "tasks" } else { "cgroup.procs" });
            let file = OpenOptions::new().write(true).open(&path);
            self.joins.push(file.map_err(io_error("cannot open", &path))?);
        }
        self.join_fds = self.joins.iter().map(AsRawFd::as_raw_fd).collect();
        if v1 { self.watch_oom_v1() } else { self.prepare_v2() }
    }

    fn watch_oom_v1(&mut self) -> Result<(), CgroupError> {
        let (Some(memory), Some(control)) = (&self.memory, &self.counters.memory_events) else {
            return Ok(());
        };
        let path = memory.join("cgroup.event_control");
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|e| io_error("cannot make an eventfd for", &path)(e.into()))?;
        let line = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
        fs::write(&path, line).map_err(io_error("cannot write", &path))?;
        self.oom_watch = Some(event);
        Ok(())
    }

    fn prepare_v2(&mut self) -> Result<(), CgroupError> {
        let dir = &self.dirs[0];
        let opened = File::open(dir).map_err(io_error("cannot open", dir))?;
        self.directory = Some(opened.into());
        if let Some(memory) = &self.memory {
            let path = memory.join("memory.oom.group");
            fs::write(&path, "1").map_err(io_error("cannot write", &path))?;
        }
        if let Some(events) = &self.counters.memory_events {
            let again = events.try_clone().map_err(io_error("cannot watch", dir))?;
            self.oom_watch = Some(again.into());
        }
        Ok(())
    }

    /// Files to which a child writes `0` to join; empty when it is born inside.
    pub(in crate::supervisor) fn joins(&self) -> &[RawFd] {
        if self.born_inside() { &[] } else { &self.join_fds }
    }

    /// Files for joining, opened anew: for what is born beside the task.
    pub(in crate::supervisor) fn open_joins(&self) -> Result<Vec<File>, CgroupError> {
        let name = if self.version == Version::V1 { "tasks" } else { "cgroup.procs" };
        let open = |dir: &PathBuf| {
            let path = dir.join(name);
            let file = OpenOptions::new().write(true).open(&path);
            file.map_err(io_error("cannot open", &path))
        };
        self.dirs.iter().map(open).collect()
    }

    /// The directory to be born in (v2).
    pub(in crate::supervisor) fn birthplace(&self) -> Option<BorrowedFd<'_>> {
        if self.born_inside() { self.directory.as_ref().map(AsFd::as_fd) } else { None }
    }

    /// Closes what only a further launch would need.
    pub(in crate::supervisor) fn close_joins(&mut self) {
        self.joins = Vec::new();
        self.join_fds = Vec::new();
        self.directory = None;
    }

    fn born_inside(&self) -> bool {
        cfg!(target_arch = "x86_64") && self.directory.is_some()
    }

    /// The descriptor that tells of running out of memory, and whether it is a plain counter
    /// (readable) or a file with changes (priority event).
    pub(in crate::supervisor) fn oom_watch(&self) -> Option<(BorrowedFd<'_>, bool)> {
        self.oom_watch.as_ref().map(|fd| (fd.as_fd(), self.version == Version::V1))
    }

    /// Puts limits in force, writing what differs from what was written last.
    pub(in crate::supervisor) fn limit(&mut self, limits: &Limits) -> Result<(), CgroupError> {
        if limits.cpu_shares != self.written.cpu_shares {
            self.write_shares(limits.cpu_shares)?;
            self.write_disk_weight(limits.cpu_shares)?;
            self.written.cpu_shares = limits.cpu_shares;
        }
        if limits.cpu_quota_us != self.written.cpu_quota_us {
            self.write_quota(limits.cpu_quota_us)?;
            self.written.cpu_quota_us = limits.cpu_quota_us;
        }
        let soft = (limits.memory_soft_bytes, limits.memory_bytes);
        if limits.memory_bytes != self.written.memory_bytes {
            self.write_memory(limits.memory_bytes)?;
        }
        if soft != (self.written.memory_soft_bytes, self.written.memory_bytes) {
            self.write_soft_memory(soft)?;
            (self.written.memory_soft_bytes, self.written.memory_bytes) = soft;
        }
        if limits.pids != self.written.pids {
            let value = limits.pids.map_or_else(|| "max".to_owned(), |n| n.to_string());
            write(self.pids.as_deref(), "pids.max", &value)?;
            self.written.pids = limits.pids;
        }
        Ok(())
    }

    fn write_shares(&self, shares: u64) -> Result<(), CgroupError> {
        match self.version {
            Version::V1 => write(self.cpu.as_deref(), "cpu.shares", &shares.to_string()),
            // The kernel's own conversion from shares (2..262144) to weight (1..10000).
            Version::V2 => {
                let weight = 1 + shares.clamp(2, 262_144).saturating_sub(2) * 9999 / 262_142;
                write(self.cpu.as_deref(), "cpu.weight", &weight.to_string())
            }
        }
    }

    fn write_quota(&self, quota: Option<u64>) -> Result<(), CgroupError> {
        let period = crate::containerizer::QUOTA_PERIOD_US;
        match (self.version, quota) {
            (Version::V1, quota) => {
                let cpu = self.cpu.as_deref();
                write(cpu, "cpu.cfs_period_us", &period.to_string())?;
                let value = quota.map_or_else(|| "-1".to_owned(), |us| us.to_string());
                write(cpu, "cpu.cfs_quota_us", &value)
            }
            (Version::V2, None) => write(self.cpu.as_deref(), "cpu.max", "max"),
            (Version::V2, Some(us)) => {
                write(self.cpu.as_deref(), "cpu.max", &format!("{us} {period}"))
            }
        }
    }

    fn write_memory(&mut self, bytes: Option<u64>) -> Result<(), CgroupError> {
        let Some(memory) = self.memory.as_deref() else { return Ok(()) };
        if self.version == Version::V2 {
            let value = bytes.map_or_else(|| "max".to_owned(), |n| n.to_string());
            write(Some(memory), "memory.max", &value)?;
            // Swapping would turn a hard limit into a slow death.
            if memory.join("memory.swap.max").exists() {
                write(Some(memory), "memory.swap.max", "0")?;
            }
            return Ok(());
        }
        let value = bytes.map_or_else(|| "-1".to_owned(), |n| n.to_string());
        let swap = memory.join("memory.memsw.limit_in_bytes").exists();
        // Memory plus swap may never be below memory: raise that one first, lower it last.
        let raising = match (self.written.memory_bytes, bytes) {
            (Some(old), Some(new)) => new > old,
            (_, new) => self.written_memory && new.is_none(),
        };
        // A kernel that does not account for swap has another way to keep a group from it.
        if !swap && !self.written_memory && memory.join("memory.swappiness").exists() {
            write(Some(memory), "memory.swappiness", "0")?;
        }
        if swap && raising {
            write(Some(memory), "memory.memsw.limit_in_bytes", &value)?;
        }
        write(Some(memory), "memory.limit_in_bytes", &value)?;
        if swap && !raising {
            write(Some(memory), "memory.memsw.limit_in_bytes", &value)?;
        }
        self.written_memory = true;
        Ok(())
    }

    /// What is taken back last when the machine runs short of memory: with v1 what is beyond the
    /// soft limit goes first, with v2 what is within goes last.
    fn write_soft_memory(&self, soft: (Option<u64>, Option<u64>)) -> Result<(), CgroupError> {
        let memory = self.memory.as_deref();
        match (self.version, soft) {
            (Version::V2, (Some(bytes), _) | (None, Some(bytes))) => {
                write(memory, "memory.low", &bytes.to_string())
            }
            (Version::V2, (None, None)) => write(memory, "memory.low", "0"),
            (Version::V1, (soft, _)) if soft != self.written.memory_soft_bytes => {
                let value = soft.map_or_else(|| "-1".to_owned(), |bytes| bytes.to_string());
                write(memory, "memory.soft_limit_in_bytes", &value)
            }
            (Version::V1, _) => Ok(()),
        }
    }

    /// How many processes and threads are in the group.
    pub(in crate::supervisor) fn population(&self) -> u64 {
        if let Some(count) = self.counters.pids_current.as_ref().and_then(read_number) {
            return count;
        }
        // No pids controller: any hierarchy lists them.
        let listed = fs::read_to_string(self.dirs[0].join("cgroup.procs")).unwrap_or_default();
        listed.lines().count() as u64
    }

    /// Kills every process of the group. Some may take a moment to be gone.
    pub(in crate::supervisor) fn kill(&mut self) {
        if self.version == Version::V2 && fs::write(self.dirs[0].join("cgroup.kill"), "1").is_ok() {
            self.barren = true;
            return;
        }
        // Frozen processes cannot fork away from under the list, and their numbers cannot be
        // given to others. A freeze that is refused leaves a race that the next pass settles.
        let (file, frozen, thawed) = match &self.freezer {
            Some(dir) => (dir.join("freezer.state"), "FROZEN", "THAWED"),
            None => (self.dirs[0].join("cgroup.freeze"), "1", "0"),
        };
        let _ = fs::write(&file, frozen);
        for dir in &self.dirs {
            let _ = kill_by_listing(dir);
        }
        let _ = fs::write(&file, thawed);
    }

    /// Notes that the kernel has reported an out-of-memory; true if it was a real one.
    pub(in crate::supervisor) fn take_oom_event(&mut self) -> bool {
        match (self.version, &self.oom_watch) {
            (Version::V1, Some(event)) => {
                let mut count = [0u8; 8];
                if rustix::io::read(event, &mut count).is_ok() {
                    self.oom_seen = true;
                }
            }
            (Version::V2, Some(_)) => self.oom_seen |= self.oom_kills() > self.baseline.oom_kills,
            (_, None) => {}
        }
        self.oom_seen
    }

    fn oom_kills(&self) -> u64 {
        let file = self.counters.memory_events.as_ref();
        file.and_then(|file| read_field(file, "oom_kill")).unwrap_or(0)
    }

    /// What was counted for the container that has ended; the next counts from here.
    pub(in crate::supervisor) fn conclude(&mut self) -> Counted {
        let before = self.baseline;
        let noticed = self.take_oom_event();
        self.rebase();
        let oom = noticed || self.baseline.oom_kills > before.oom_kills;
        Counted {
            oom: oom.then(|| self.peak_and_limit()),
            pids_refused: self.baseline.pids_refused.saturating_sub(before.pids_refused),
        }
    }

    fn peak_and_limit(&self) -> (u64, u64) {
        let name = match self.version {
            Version::V1 => "memory.max_usage_in_bytes",
            Version::V2 => "memory.peak",
        };
        let limit = self.written.memory_bytes.unwrap_or(u64::MAX);
        let peak = self.memory.as_ref().and_then(|dir| fs::read_to_string(dir.join(name)).ok());
        let peak = peak.and_then(|text| text.trim().parse().ok()).unwrap_or(limit);
        // The peak is the group's, and an earlier container may have had a higher limit.
        (peak.min(limit), limit)
    }

    /// Lets the next container count from here. The old one must be dead: nothing may count on.
    fn rebase(&mut self) {
        self.oom_seen = false;
        let refused = self.counters.pids_events.as_ref().and_then(|f| read_field(f, "max"));
        self.baseline = Baseline {
            oom_kills: self.oom_kills(),
            pids_refused: refused.unwrap_or(0),
            cpu_ns: self.cpu_ns(),
        };
        self.begin_counting();
    }

    /// Whether the next container would suffer from the former one: it left memory charged (page
    /// cache, mostly), for which the next would pay, or its end left the group barren. Such a group
    /// is removed: reclaiming would evict what others may read.
    pub(in crate::supervisor) fn residue(&self) -> bool {
        if self.barren {
            return true;
        }
        let Some(file) = &self.counters.memory_current else { return false };
        read_number(file).is_none_or(|charged| charged > RESIDUE_LIMIT)
    }

    /// Removes the group's directories; false if some are still busy, to be tried again.
    pub(in crate::supervisor) fn remove(&mut self) -> bool {
        self.dirs.retain(|dir| match fs::remove_dir(dir) {
            Ok(()) => false,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        });
        self.dirs.is_empty()
    }
}

/// Sends KILL to what `cgroup.procs` lists, once.
pub(super) fn kill_by_listing(dir: &Path) -> io::Result<()> {
    let own = std::process::id();
    for line in fs::read_to_string(dir.join("cgroup.procs"))?.lines() {
        if let Ok(pid) = line.parse::<u32>()
            && pid != own
        {
            sys::signal_child(pid, false, libc::SIGKILL);
        }
    }
    Ok(())
}

pub(super) fn write(dir: Option<&Path>, name: &str, value: &str) -> Result<(), CgroupError> {
    let Some(dir) = dir else { return Ok(()) };
    let path = dir.join(name);
    fs::write(&path, value).map_err(io_error("cannot write", &path))
}

fn read_text(file: &File, buffer: &mut [u8; 512]) -> Option<usize> {
    file.read_at(buffer, 0).ok()
}

pub(super) fn read_number(file: &File) -> Option<u64> {
    let mut buffer = [0; 512];
    let n = read_text(file, &mut buffer)?;
    std::str::from_utf8(&buffer[..n]).ok()?.trim().parse().ok()
}

/// The number after `name` in a file of `name number` lines.
pub(super) fn read_field(file: &File, name: &str) -> Option<u64> {
    let mut buffer = [0; 512];
    let n = read_text(file, &mut buffer)?;
    let text = std::str::from_utf8(&buffer[..n]).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}
