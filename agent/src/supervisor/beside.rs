//! Programs that are run beside a task, in its container: the looks of its checks.
//!
//! Such a program is a child of ours as the task is: born in the container's cgroup, and within its
//! walls when it has some, with the user, limits and variables that the order names. Nobody reads
//! what it prints. One that is late is killed with its process group; whatever it left behind ends
//! with the container.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use super::enclosing;
use super::orders::{added_variables, limit_each_process};
use super::server::Supervisor;
use super::session;
use super::spawn::{self, Image, Place};
use super::sys::{self, Reaped};
use super::task::{ContainerId, LaunchError, TaskSpec};
use super::wire::Report;

/// A program that runs beside a task.
#[derive(Debug)]
struct Beside {
    id: ContainerId,
    number: u64,
    late: Instant,
}

/// What a program reads and prints.
pub(super) struct Io {
    /// Standard input, output and error.
    pub(super) opened: [OwnedFd; 3],
    /// Whether they are a terminal, which becomes its own.
    pub(super) terminal: bool,
    /// Whether the user of the task may open them again.
    pub(super) own: bool,
}

/// All that run, by their process ids.
#[derive(Debug, Default)]
pub(super) struct Besides {
    running: HashMap<u32, Beside>,
    ends: BTreeSet<(Instant, u32)>,
}

impl Besides {
    /// When the first of them will be late.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ends.first().map(|(at, _)| *at)
    }

    /// Kills those that are late. Their ends are told as all ends are.
    pub(super) fn end_late(&mut self, now: Instant) {
        while let Some((_, pid)) = self.ends.first().copied().filter(|(at, _)| *at <= now) {
            self.ends.pop_first();
            // Not reaped yet, so the number is still its own.
            sys::signal_child(pid, true, libc::SIGKILL);
            sys::signal_child(pid, false, libc::SIGKILL);
        }
    }
}

impl Supervisor {
    /// Runs a program beside a task. Silent when there is no such task, or it is ending.
    pub(super) fn look(&mut self, number: u64, timeout: Duration, spec: TaskSpec) {
        let id = spec.id.clone();
        let Some(index) = self.running.get(&id).copied() else { return };
        let begun = session::nothing()
            .map_err(|error| LaunchError::Refused(format!("opening /dev/null: {error}")))
            .and_then(|opened| {
                self.begin_beside(index, spec, &Io { opened, terminal: false, own: false })
            });
        match begun {
            Ok(None) => {}
            Ok(Some(pid)) => {
                // A century is as good as for ever, and stays within what an Instant can hold.
                let late = Instant::now() + timeout.min(Duration::from_secs(3_000_000_000));
                self.besides.ends.insert((late, pid));
                self.besides.running.insert(pid, Beside { id, number, late });
            }
            Err(error) => self.report(&Report::Looked { id, number, result: Err(error) }),
        }
    }

    /// Starts a program beside the task of a berth; none when that is ending.
    pub(super) fn begin_beside(
        &mut self,
        index: usize,
        mut spec: TaskSpec,
        io: &Io,
    ) -> Result<Option<u32>, LaunchError> {
        let Some(berth) = self.berths[index].as_mut() else { return Ok(None) };
        let Some(occupant) = berth.occupant.as_ref().filter(|o| o.ending.is_none()) else {
            return Ok(None);
        };
        let Some(directory) = occupant.own_directory.as_ref().or(berth.directory.as_ref()) else {
            return Ok(None);
        };
        if berth.group.is_none() {
            limit_each_process(&mut spec);
        }
        let mark = self.mark.as_deref().filter(|_| berth.group.is_none());
        let address = occupant.network.as_ref().map(|network| network.address);
        let extra = added_variables(&spec, directory, address, mark);
        let image = Image::new(&spec, &extra)?;
        if io.own {
            session::own(&io.opened, directory.as_fd()).map_err(|error| {
                LaunchError::Refused(format!("giving its streams to the user of the task: {error}"))
            })?;
        }
        // Those of the berth may be closed by now.
        let joins = berth.group.as_ref().map(|group| group.open_joins()).transpose();
        let joins = joins.map_err(|error| LaunchError::Refused(error.to_string()))?;
        let joins = joins.unwrap_or_default();
        let fds: Vec<RawFd> = joins.iter().map(AsRawFd::as_raw_fd).collect();
        let place = Place {
            directory: directory.as_fd(),
            stdin: io.opened[0].as_fd(),
            stdout: io.opened[1].as_fd(),
            stderr: io.opened[2].as_fd(),
            terminal: io.terminal,
            joins: &fds,
            into_cgroup: None,
            entry: None,
        };
        let slots = self.slots.as_mut();
        let enclosures = &self.enclosures;
        let start = || match (&occupant.standing, &spec.enclosure, enclosures) {
            (Some(standing), Some(walls), Some(enclosures)) => {
                let user = berth.users.as_ref();
                enclosing::enter(enclosures, standing, walls, user, &image, place, slots)
            }
            (None, None, _) => spawn::spawn(&image, &place, slots),
            _ => Err(LaunchError::Refused("its walls are not those of the task".into())),
        };
        let started = match (&occupant.network, &self.networks) {
            (Some(network), Some(networks)) => networks.within(network, start),
            _ => start(),
        };
        started.map(Some)
    }

    /// Whether this is the first process of a program beside a task.
    pub(super) fn is_beside(&self, pid: u32) -> bool {
        self.besides.running.contains_key(&pid) || self.sessions.is_of_one(pid)
    }

    /// The end of a program beside a task, if this is one.
    pub(super) fn reap_beside(&mut self, reaped: &Reaped) -> bool {
        let Some(Beside { id, number, late }) = self.besides.running.remove(&reaped.pid) else {
            return false;
        };
        self.besides.ends.remove(&(late, reaped.pid));
        let status = sys::decode_status(reaped.status);
        self.report(&Report::Looked { id, number, result: Ok(status) });
        true
    }
}
