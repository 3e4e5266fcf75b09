//! What containers use: the latest figures of each, and how fast they grow.
//!
//! Asked for every second, and told only for containers that have done anything since. Kept in
//! memory alone: after a restart the next second brings them all again.

#[cfg(test)]
mod tests;

use crate::containerizer::{ContainerEvent, ContainerId, Usage};
use std::collections::HashMap;
use std::time::Duration;

/// The time between two looks at what containers use.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);

/// How fast the figures of a container grew between the last two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    /// Cpus that it kept busy.
    pub(crate) cpus: f64,
    /// Bytes from disks, a second.
    pub(crate) read_bytes: f64,
    /// Bytes to disks, a second.
    pub(crate) written_bytes: f64,
    /// Bytes that it sent, a second; of those with a network of their own.
    pub(crate) sent_bytes: f64,
    /// Bytes that it received, a second.
    pub(crate) received_bytes: f64,
    /// The part of the periods in which it ran that its quota of cpu time cut short.
    pub(crate) throttled: f64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    usage: Usage,
    round: u64,
    /// Told by itself, and not in a round.
    alone: bool,
    at_ns: u64,
    /// Absent before the second look.
    rates: Option<Rates>,
}

/// Sums over all containers, those that have ended included.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sums {
    pub(crate) containers: usize,
    pub(crate) cpu_time: Duration,
    pub(crate) throttled_time: Duration,
    pub(crate) read_bytes: u64,
    pub(crate) written_bytes: u64,
    /// Of those with networks of their own.
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    /// Of living ones alone, as all that follow.
    pub(crate) cpus: f64,
    pub(crate) memory_bytes: u64,
    pub(crate) anonymous_bytes: u64,
    pub(crate) pids: u64,
}

impl Sums {
    fn count(&mut self, usage: &Usage) {
        self.cpu_time += usage.cpu_time;
        self.throttled_time += usage.throttled_time;
        self.read_bytes = self.read_bytes.saturating_add(usage.read_bytes);
        self.written_bytes = self.written_bytes.saturating_add(usage.written_bytes);
        let traffic = usage.traffic.unwrap_or_default();
        self.sent_bytes = self.sent_bytes.saturating_add(traffic.sent_bytes);
        self.received_bytes = self.received_bytes.saturating_add(traffic.received_bytes);
    }
}

/// What is known of all containers.
#[derive(Debug, Default)]
pub(crate) struct Usages {
    known: HashMap<ContainerId, Known>,
    /// Rounds that have begun, and those of them that are over.
    round: u64,
    done: u64,
    begun_ns: u64,
    /// When the round before this one began.
    before_ns: u64,
    asked: bool,
    ended: Sums,
}

impl Usages {
    /// Whether to ask now, and then whether for all containers: the first answer has to be whole.
    /// Who has not answered yet is not asked again.
    pub(crate) fn ask(&mut self) -> Option<bool> {
        let free = !std::mem::replace(&mut self.asked, true);
        free.then_some(self.done == 0)
    }

    /// Takes what an event says of usage.
    pub(crate) fn note(&mut self, event: &ContainerEvent) {
        match event {
            ContainerEvent::Sampled { begun_boot_ns, usages, complete } => {
                self.begin(*begun_boot_ns);
                usages.iter().for_each(|(id, usage)| self.take(id, *usage));
                if *complete {
                    self.done = self.round;
                    self.asked = false;
                }
            }
            // A container of another engine than the supervisor, each second as well.
            ContainerEvent::Usage { id, usage: Some(usage) } => {
                self.take_alone(id, *usage, boot_ns());
            }
            ContainerEvent::Ended { id, ended } => {
                let last = self.known.remove(id).map(|known| known.usage).unwrap_or_default();
                let cpu_time = last.cpu_time.max(ended.cpu_time);
                self.ended.count(&Usage { cpu_time, ..last });
            }
            ContainerEvent::Recovered(_) | ContainerEvent::Lost { .. } => {
                self.known.values().for_each(|known| self.ended.count(&known.usage));
                *self = Self { ended: self.ended, ..Self::default() };
            }
            _ => {}
        }
    }

    fn begin(&mut self, begun_ns: u64) {
        if begun_ns != self.begun_ns {
            self.round += 1;
            self.before_ns = std::mem::replace(&mut self.begun_ns, begun_ns);
        }
    }

    fn take(&mut self, id: &ContainerId, usage: Usage) {
        let before = self.known.get(id);
        let rates = before.map(|before| {
            // One that was not told of had not changed until the round before this.
            let next = before.round + 1 == self.round;
            let since = if next { before.at_ns } else { self.before_ns };
            let time = Duration::from_nanos(self.begun_ns.saturating_sub(since));
            rates(&before.usage, &usage, time)
        });
        let (round, at_ns) = (self.round, self.begun_ns);
        self.known.insert(id.clone(), Known { usage, round, alone: false, at_ns, rates });
    }

    fn take_alone(&mut self, id: &ContainerId, usage: Usage, at_ns: u64) {
        let rates = self.known.get(id).map(|before| {
            let time = Duration::from_nanos(at_ns.saturating_sub(before.at_ns));
            rates(&before.usage, &usage, time)
        });
        let round = self.round;
        self.known.insert(id.clone(), Known { usage, round, alone: true, at_ns, rates });
    }

    /// The figures of a container, and how fast they grow; absent before the first look.
    pub(crate) fn of(&self, id: &ContainerId) -> Option<(Usage, Option<Rates>)> {
        self.known.get(id).map(|known| (known.usage, self.rates(known)))
    }

    fn rates(&self, known: &Known) -> Option<Rates> {
        let idle = known.round < self.done && !known.alone;
        if idle { Some(Rates::default()) } else { known.rates }
    }

    /// When the latest round began, in nanoseconds since boot.
    pub(crate) fn begun_ns(&self) -> u64 {
        self.begun_ns
    }

    /// Sums of what is known.
    pub(crate) fn sums(&self) -> Sums {
        let mut sums = Sums { containers: self.known.len(), ..self.ended };
        for known in self.known.values() {
            sums.count(&known.usage);
            sums.cpus += self.rates(known).map_or(0.0, |rates| rates.cpus);
            sums.memory_bytes = sums.memory_bytes.saturating_add(known.usage.memory_bytes);
            sums.anonymous_bytes = sums.anonymous_bytes.saturating_add(known.usage.anonymous_bytes);
            sums.pids = sums.pids.saturating_add(known.usage.pids);
        }
        sums
    }
}

fn boot_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

fn rates(before: &Usage, now: &Usage, time: Duration) -> Rates {
    if time.is_zero() {
        return Rates::default();
    }
    let seconds = time.as_secs_f64();
    let grown = |before: u64, now: u64| now.saturating_sub(before) as f64;
    let periods = grown(before.periods, now.periods);
    let throttled = grown(before.throttled_periods, now.throttled_periods);
    let (earlier, traffic) = (before.traffic.unwrap_or_default(), now.traffic.unwrap_or_default());
    Rates {
        cpus: now.cpu_time.saturating_sub(before.cpu_time).as_secs_f64() / seconds,
        read_bytes: grown(before.read_bytes, now.read_bytes) / seconds,
        written_bytes: grown(before.written_bytes, now.written_bytes) / seconds,
        sent_bytes: grown(earlier.sent_bytes, traffic.sent_bytes) / seconds,
        received_bytes: grown(earlier.received_bytes, traffic.received_bytes) / seconds,
        throttled: if periods > 0.0 { (throttled / periods).min(1.0) } else { 0.0 },
    }
}

/// For how long something of this machine had to wait for each: the resource's name and the time.
/// Empty where the kernel does not count it.
pub(crate) fn host_pressure() -> Vec<(&'static str, Duration)> {
    let of = |name: &'static str| {
        let text = std::fs::read_to_string(format!("/proc/pressure/{name}")).ok()?;
        Some((name, crate::supervisor::stalled(&text)?))
    };
    ["cpu", "memory", "io"].into_iter().filter_map(of).collect()
}
