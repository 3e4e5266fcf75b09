//! What this machine has: cpus, memory, disk, cgroups, identity of the boot.
//!
//! Read once when the agent starts. The figures to offer follow Mesos' rules, which leave room
//! for the system itself; operators override them with `--resources`. Nothing here writes.

use std::fs;
use std::io;
use std::path::Path;

use cgroups_rs::fs::hierarchies;
use cgroups_rs::fs::{Controllers, Subsystem};

const GIB: u64 = 1 << 30;

/// How containers can be limited here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupSupport {
    /// Every controller of ours is on v2 and we may write.
    V2,
    /// Controllers are on v1 hierarchies (plain or hybrid) and we may write.
    V1,
    /// Mounted, but not ours to use.
    NotPermitted,
    /// No controllers.
    Absent,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Thousandths of the cpus this process may run on.
    pub cpus_milli: u64,
    /// Physical memory in bytes, or the cgroup's limit if that is lower.
    pub memory_total_bytes: u64,
    /// What to offer of it: all but 1 GiB, or half if there is less than 2 GiB.
    pub memory_offer_bytes: u64,
    /// Size of the file system of the work directory, in bytes.
    pub disk_total_bytes: u64,
    /// What to offer of it: all but 5 GiB, or half if there is less than 10 GiB. Of the size, not
    /// of what is free: an agent must have the same at each start, or it could not come back.
    pub disk_offer_bytes: u64,
    /// Changes at each boot: tells a restarted agent from a rebooted machine.
    pub boot_id: String,
    /// The machine's name.
    pub hostname: String,
    /// How containers can be limited.
    pub cgroups: CgroupSupport,
}

impl Machine {
    /// How full the disk is, in millionths, when none of it is to be offered: as given, or later on a
    /// large disk, of which nobody was promised the last 5 GiB.
    pub fn disk_pressure_ppm(&self, given: u32) -> u32 {
        let rest = u128::from(5 * GIB) * 1_000_000 / u128::from(self.disk_total_bytes.max(1));
        given.max(1_000_000 - u32::try_from(rest.min(1_000_000)).unwrap_or(1_000_000))
    }
}

/// What could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A file of the kernel.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file of the kernel does not say what it should.
    #[error("{path} does not tell {what}")]
    Parse {
        /// Which file.
        path: &'static str,
        /// What was looked for.
        what: &'static str,
    },
}

/// Looks at the machine; `work_dir` must exist.
pub fn machine(work_dir: &Path) -> Result<Machine, ProbeError> {
    let memory_total_bytes = memory_total()?;
    let disk_total_bytes = disk_total(work_dir)?;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Machine {
        cpus_milli: cpus as u64 * 1000,
        memory_total_bytes,
        memory_offer_bytes: offer(memory_total_bytes, GIB),
        disk_total_bytes,
        disk_offer_bytes: offer(disk_total_bytes, 5 * GIB),
        boot_id: read("/proc/sys/kernel/random/boot_id")?.trim().to_owned(),
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        cgroups: cgroups(),
    })
}

/// Mesos' rule: keep `reserve` back, or half where twice the reserve is not there.
fn offer(total: u64, reserve: u64) -> u64 {
    if total >= 2 * reserve { total - reserve } else { total / 2 }
}

fn read(path: &str) -> Result<String, ProbeError> {
    fs::read_to_string(path).map_err(|source| ProbeError::Read { path: path.to_owned(), source })
}

/// What to offer of the memory of this machine, in bytes.
pub(crate) fn memory_offer() -> Result<u64, ProbeError> {
    memory_total().map(|total| offer(total, GIB))
}

fn memory_total() -> Result<u64, ProbeError> {
    let text = read("/proc/meminfo")?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    let physical = kib
        .ok_or(ProbeError::Parse { path: "/proc/meminfo", what: "MemTotal" })?
        .saturating_mul(1024);
    // Inside a container the machine is larger than what we may use.
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = limits.iter().find_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    Ok(limit.map_or(physical, |limit: u64| physical.min(limit)))
}

fn disk_total(work_dir: &Path) -> Result<u64, ProbeError> {
    let stat = rustix::fs::statvfs(work_dir).map_err(|errno| ProbeError::Read {
        path: work_dir.display().to_string(),
        source: errno.into(),
    })?;
    Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
}

fn cgroups() -> CgroupSupport {
    let hierarchy = hierarchies::auto();
    if hierarchy.subsystems().is_empty() {
        return CgroupSupport::Absent;
    }
    let v2 = hierarchy.v2();
    let memory = hierarchy.subsystems().into_iter().find_map(|subsystem| match subsystem {
        Subsystem::Mem(_) => Some(()),
        _ => None,
    });
    let root = if v2 {
        hierarchy.root()
    } else {
        let mount = hierarchies::V1::new().get_mount_point(Controllers::Mem);
        mount.map_or_else(|| hierarchy.root(), |(mount, _)| mount)
    };
    let writable = rustix::fs::access(&root, rustix::fs::Access::WRITE_OK).is_ok();
    match (memory, writable, v2) {
        (None, _, _) => CgroupSupport::Absent,
        (_, false, _) => CgroupSupport::NotPermitted,
        (_, true, true) => CgroupSupport::V2,
        (_, true, false) => CgroupSupport::V1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_keeps_its_share() {
        assert_eq!(offer(8 * GIB, GIB), 7 * GIB);
        assert_eq!(offer(2 * GIB, GIB), GIB);
        assert_eq!(offer(GIB, GIB), GIB / 2);
        assert_eq!(offer(0, GIB), 0);
    }

    #[test]
    fn of_a_large_disk_less_is_kept_than_its_share() {
        let at = |gib: u64| {
            let disk_total_bytes = gib * GIB;
            let machine = Machine { disk_total_bytes, ..machine(Path::new("/")).unwrap() };
            machine.disk_pressure_ppm(950_000)
        };
        assert_eq!(
            [at(0), at(1), at(100), at(1000), at(10_000)],
            [950_000, 950_000, 950_000, 995_000, 999_500]
        );
    }

    #[test]
    fn this_machine_has_something_to_offer() {
        let machine = machine(Path::new("/")).unwrap();
        assert!(machine.cpus_milli >= 1000 && machine.memory_offer_bytes > 0);
        assert!(machine.memory_offer_bytes < machine.memory_total_bytes);
        assert!(machine.disk_offer_bytes > 0 && !machine.hostname.is_empty());
        assert_eq!(machine.boot_id.len(), 36);
    }
}
