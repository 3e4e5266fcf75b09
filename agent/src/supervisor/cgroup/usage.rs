//! What a group has counted for its container, and has in use now.
//!
//! What every launch would have to read, only so that the next container counts from zero, is read
//! for one that has used cpu time worth speaking of, or has been sampled: the rest counts for the
//! next one, 50 ms of cpu time at the most.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::Version;
use super::group::{Group, read_field, read_number};
use crate::supervisor::task::{Pressure, Usage};

/// Cpu time of former containers that may be counted for the next, in nanoseconds.
const UNREAD: u64 = 50_000_000;
/// Processes of one container whose traffic with disks is looked up at a time.
const PROCESSES: usize = 256;
/// Longest statistics file; the kernel's are below 4 kB.
const FILE_BYTES: u64 = 16 << 10;

/// Counters that are read by the way, since the group was made.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    system: Duration,
    periods: u64,
    throttled_periods: u64,
    throttled: Duration,
    pressure: Option<Pressure>,
}

impl Counts {
    fn since(self, before: Self) -> Self {
        let pressure = self.pressure.map(|now| {
            let before = before.pressure.unwrap_or_default();
            Pressure {
                cpu: now.cpu.saturating_sub(before.cpu),
                memory: now.memory.saturating_sub(before.memory),
                io: now.io.saturating_sub(before.io),
            }
        });
        Self {
            system: self.system.saturating_sub(before.system),
            periods: self.periods.saturating_sub(before.periods),
            throttled_periods: self.throttled_periods.saturating_sub(before.throttled_periods),
            throttled: self.throttled.saturating_sub(before.throttled),
            pressure,
        }
    }
}

/// Where the counts of the present container begin.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    counts: Counts,
    /// The group's cpu time when they were read.
    cpu_ns: u64,
    /// The present container has been asked for what it uses.
    asked: bool,
}

impl Group {
    /// Cpu time of the present container, in nanoseconds: one that has used none since the last
    /// look has done nothing else.
    pub(in crate::supervisor) fn cpu_time_ns(&self) -> u64 {
        self.cpu_ns().saturating_sub(self.baseline.cpu_ns)
    }

    /// What the container uses now.
    pub(in crate::supervisor) fn usage(&mut self) -> Usage {
        self.beginning.asked = true;
        let memory = self.counters.memory_current.as_ref().and_then(read_number);
        let cpu_time = Duration::from_nanos(self.cpu_time_ns());
        let counts = self.counts().since(self.beginning.counts);
        let (read_bytes, written_bytes) = traffic(&self.dirs[0]);
        Usage {
            cpu_time,
            memory_bytes: memory.unwrap_or(0),
            memory_limit_bytes: self.written.memory_bytes,
            pids: self.population(),
            whole_container: true,
            anonymous_bytes: self.anonymous(),
            // Ticks are coarser than what they are a part of.
            system_time: counts.system.min(cpu_time),
            cpu_quota_us: self.written.cpu_quota_us,
            periods: counts.periods,
            throttled_periods: counts.throttled_periods,
            throttled_time: counts.throttled,
            read_bytes,
            written_bytes,
            pressure: counts.pressure,
            traffic: None,
        }
    }

    /// The next container counts from here.
    pub(super) fn begin_counting(&mut self) {
        let cpu_ns = self.baseline.cpu_ns;
        let unread = cpu_ns.saturating_sub(self.beginning.cpu_ns);
        let worth = self.beginning.asked || self.written.cpu_quota_us.is_some();
        if unread > UNREAD || (worth && unread > 0) {
            self.beginning = Beginning { counts: self.counts(), cpu_ns, asked: false };
        }
    }

    fn counts(&self) -> Counts {
        let Some(cpu) = self.cpu.as_deref().or(self.cpuacct.as_deref()) else {
            return Counts::default();
        };
        let stat = read(&cpu.join("cpu.stat"));
        let field = |name| field(&stat, name).unwrap_or(0);
        let (periods, throttled_periods) = (field("nr_periods"), field("nr_throttled"));
        match self.version {
            Version::V1 => Counts {
                system: self.cpuacct.as_deref().map_or(Duration::ZERO, system_ticks),
                periods,
                throttled_periods,
                throttled: Duration::from_nanos(field("throttled_time")),
                pressure: None,
            },
            Version::V2 => Counts {
                system: Duration::from_micros(field("system_usec")),
                periods,
                throttled_periods,
                throttled: Duration::from_micros(field("throttled_usec")),
                pressure: pressure(&self.dirs[0]),
            },
        }
    }

    /// Memory that belongs to no file.
    fn anonymous(&self) -> u64 {
        let Some(memory) = &self.memory else { return 0 };
        let name = match self.version {
            Version::V1 => "total_rss",
            Version::V2 => "anon",
        };
        field(&read(&memory.join("memory.stat")), name).unwrap_or(0)
    }

    /// Cpu time of all containers of the group, in nanoseconds.
    pub(super) fn cpu_ns(&self) -> u64 {
        let Some(file) = &self.counters.cpu_usage else { return 0 };
        match self.version {
            Version::V1 => read_number(file).unwrap_or(0),
            Version::V2 => read_field(file, "usage_usec").unwrap_or(0).saturating_mul(1000),
        }
    }
}

/// A file of the kernel's, or nothing: older kernels lack some, and a group may go any time.
fn read(path: &Path) -> String {
    use std::io::Read;
    let mut text = String::new();
    let file = fs::File::open(path);
    let read = file.and_then(|file| file.take(FILE_BYTES).read_to_string(&mut text));
    if read.is_ok() { text } else { String::new() }
}

/// The number after `name` in lines of `name number`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// v1: time in the kernel, which is counted in ticks.
fn system_ticks(dir: &Path) -> Duration {
    let ticks = field(&read(&dir.join("cpuacct.stat")), "system").unwrap_or(0);
    let a_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / a_second))
}

/// For how long some process had to wait; absent where the kernel does not count it.
fn pressure(dir: &Path) -> Option<Pressure> {
    let total = |name: &str| stalled(&read(&dir.join(name)));
    Some(Pressure {
        cpu: total("cpu.pressure")?,
        memory: total("memory.pressure")?,
        io: total("io.pressure")?,
    })
}

/// The total of the line `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, in microseconds.
pub(crate) fn stalled(text: &str) -> Option<Duration> {
    let line = text.lines().find(|line| line.starts_with("some "))?;
    line.rsplit_once("total=")?.1.trim().parse().ok().map(Duration::from_micros)
}

/// Bytes read from and written to disks by the processes of a group and those they waited for.
fn traffic(dir: &Path) -> (u64, u64) {
    let listed = read(&dir.join("cgroup.procs"));
    let pids = listed.lines().filter_map(|line| line.parse().ok()).take(PROCESSES);
    pids.map(traffic_of).fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
}

/// The same of one process and those it waited for.
pub(in crate::supervisor) fn traffic_of(pid: u32) -> (u64, u64) {
    let text = read(Path::new(&format!("/proc/{pid}/io")));
    let bytes = |name| field(&text, name).unwrap_or(0);
    (bytes("read_bytes:"), bytes("write_bytes:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_forms_are_read() {
        let text = "some avg10=93.53 avg60=1.00 avg300=0.10 total=5974618855\nfull total=7\n";
        assert_eq!(stalled(text), Some(Duration::from_micros(5_974_618_855)));
        assert_eq!(stalled("full avg10=0.00 total=7\n"), None);
        let stat = "nr_periods 3\nnr_throttled 2\nnr_throttled_more 9\n";
        assert_eq!((field(stat, "nr_throttled"), field(stat, "none")), (Some(2), None));
        assert_eq!(field("read_bytes: 4096\n", "read_bytes:"), Some(4096));
    }

    #[test]
    fn only_what_came_since_counts() {
        let at = |micros| {
            let time = Duration::from_micros(micros);
            let pressure = Some(Pressure { cpu: time, memory: time, io: time });
            let (periods, throttled_periods) = (micros, micros);
            Counts { system: time, periods, throttled_periods, throttled: time, pressure }
        };
        let since = at(7).since(at(5));
        assert_eq!((since.system, since.periods), (Duration::from_micros(2), 2));
        assert_eq!(since.pressure.unwrap().io, Duration::from_micros(2));
        assert_eq!(at(3).since(at(5)).throttled, Duration::ZERO);
    }
}
