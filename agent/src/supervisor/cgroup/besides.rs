//! What a group has besides the limits of every task: cpus of its own and a weight at disks, where
//! the operator asked for them, and for tasks within walls the list of devices that they may open.

use std::fs::{self, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::Path;

use super::group::{Group, write};
use super::{CgroupError, Tree, Version, io_error};
use crate::supervisor::task::{Device, Limits};

/// The device nodes that there are in a container: null, zero, full, random, urandom, tty, and
/// terminals. No nodes can be made.
const DEVICES: [&str; 8] = [
    "c 1:3 rw",
    "c 1:5 rw",
    "c 1:7 rw",
    "c 1:8 rw",
    "c 1:9 rw",
    "c 5:0 rw",
    "c 5:2 rw",
    "c 136:* rw",
];

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

    /// Keeps the next task to the devices that there are in a container, and some more, or lets it
    /// have all that it may open otherwise.
    ///
    /// The group of the devices' hierarchy is made when it is first needed: plain tasks need none.
    pub(in crate::supervisor) fn guard(
        &mut self,
        devices: Option<&Path>,
        enclosed: Option<&[Device]>,
    ) -> Result<(), CgroupError> {
        if enclosed == self.guarded.as_deref() {
            return Ok(());
        }
        let (Some(devices), Some(name)) = (devices, self.dirs[0].file_name()) else {
            return Ok(());
        };
        let dir = devices.join(name);
        if !self.dirs.contains(&dir) {
            super::make(&dir)?;
            self.dirs.push(dir.clone());
            let path = dir.join("tasks");
            let file = OpenOptions::new().write(true).open(&path);
            let file = file.map_err(io_error("cannot open", &path))?;
            self.join_fds.push(file.as_raw_fd());
            self.joins.push(file);
        }
        if let Some(more) = enclosed {
            write(Some(&dir), "devices.deny", "a")?;
            for rule in DEVICES {
                write(Some(&dir), "devices.allow", rule)?;
            }
            for Device { major, minor, .. } in more {
                write(Some(&dir), "devices.allow", &format!("c {major}:{minor} rw"))?;
            }
        } else {
            write(Some(&dir), "devices.allow", "a")?;
        }
        self.guarded = enclosed.map(<[Device]>::to_vec);
        Ok(())
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
