//! What a group has besides the limits of every task, where the operator asked for it: cpus of its
//! own and a weight at disks.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::group::{Group, read_field, write};
use super::{CgroupError, Tree, Version, io_error};
use crate::supervisor::task::Limits;

/// How long the kernel may take to choose whom to kill; it takes some microseconds.
const CHOICE: Duration = Duration::from_millis(5);

/// The names under which kernels have weights of disks, newest first.
const V1_WEIGHTS: [&str; 2] = ["blkio.weight", "blkio.bfq.weight"];
const V2_WEIGHTS: [&str; 2] = ["io.weight", "io.bfq.weight"];

impl Tree {
    /// The file of a group by which disks are shared, where this kernel has one.
    pub(super) fn weight_file(&self) -> Option<&'static str> {
        let (controller, names) = match self.version {
            Version::V1 => ("blkio", V1_WEIGHTS),
            Version::V2 => ("io", V2_WEIGHTS),
        };
        let root = self.root_of(controller)?;
        names.into_iter().find(|name| root.join(name).exists())
    }
}

impl Group {
    /// Changes the limits of cpus and memory of who is in it; that of processes stays.
    pub(in crate::supervisor) fn change(&mut self, limits: &Limits) -> Result<(), CgroupError> {
        let pids = self.written.pids;
        self.limit(&Limits { pids, ..*limits })
    }

    /// Notes who is in it, and waits until the kernel has chosen whom to kill: v1 tells that there is
    /// no memory right before it does. Who is faster takes the choice from it, and nobody knows who
    /// it would have been.
    pub(in crate::supervisor) fn await_victim(&mut self) {
        let listed = fs::read_to_string(self.dirs[0].join("cgroup.procs")).unwrap_or_default();
        self.short_of_memory = listed.lines().filter_map(|line| line.parse().ok()).collect();
        let until = Instant::now() + CHOICE;
        while self.version == Version::V1 && !self.has_chosen() && Instant::now() < until {
            std::thread::yield_now();
        }
    }

    /// Whether the kernel has killed one since the container began; where it does not count them that
    /// is not known, and it has.
    fn has_chosen(&self) -> bool {
        let file = self.counters.memory_events.as_ref();
        let kills = file.and_then(|file| read_field(file, "oom_kill"));
        kills.is_none_or(|kills| kills > self.baseline.oom_kills)
    }

    /// How the kernel's log ends this group's path: where in a host's tree a container with our
    /// agent has its own root is unknown inside.
    pub(in crate::supervisor) fn path_in_log(&self) -> Option<String> {
        let mut names = self.memory.as_ref()?.iter().rev().filter_map(std::ffi::OsStr::to_str);
        let (group, name, top) = (names.next()?, names.next()?, names.next()?);
        Some(format!("/{top}/{name}/{group}"))
    }

    /// A new group can hold nobody before it has cpus and memory (v1).
    pub(super) fn begin_cpus(&mut self, tree: &Tree) -> Result<(), CgroupError> {
        let (Some(cpus), Some(root)) = (&tree.cpus, tree.root_of("cpuset")) else { return Ok(()) };
        if let (Version::V1, Some(dir)) = (self.version, &self.cpuset) {
            inherit(root, dir, "cpuset.mems")?;
        }
        self.run_on(&cpus.rest())
    }

    /// From now on its tasks run on these cpus, in the kernel's form.
    pub(in crate::supervisor) fn run_on(&mut self, cpus: &str) -> Result<(), CgroupError> {
        if self.cpuset.is_none() || self.cpus == cpus {
            return Ok(());
        }
        write(self.cpuset.as_deref(), "cpuset.cpus", cpus)?;
        cpus.clone_into(&mut self.cpus);
        Ok(())
    }

    /// Disks are shared as cpus are: 100 for a cpu, which is also what the kernel begins with.
    pub(super) fn write_disk_weight(&self, shares: u64) -> Result<(), CgroupError> {
        let Some((dir, file)) = &self.disks else { return Ok(()) };
        write(Some(dir), file, &(shares.saturating_mul(100) / 1024).clamp(1, 1000).to_string())
    }
}

/// Gives a new v1 group what the one above it has.
pub(super) fn inherit(from: &Path, to: &Path, name: &str) -> Result<(), CgroupError> {
    let read = |path: &Path| {
        let path = path.join(name);
        fs::read_to_string(&path).map_err(io_error("cannot read", &path))
    };
    if !read(to)?.trim().is_empty() {
        return Ok(());
    }
    write(Some(to), name, read(from)?.trim())
}
