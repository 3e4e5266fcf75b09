//! The end of a task: its status, the end of its last process, its output, and its berth.
//!
//! A task has ended when its first process has been reaped, no other process of the container is
//! left, and all it printed is on file; only then is the end told. In that order nothing of it
//! can reach the next task in the same berth.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use fail::fail_point;

use super::berth::{Berth, Ending, Occupant};
use super::cgroup::Group;
use super::orders::kill_all;
use super::server::{POOL, Supervisor};
use super::strays::{self, Strays};
use super::sys;
use super::task::{Ended, Limitation, Recovered, SandboxFate, WaitStatus};
use super::victims::Victims;
use super::wire::Report;

impl Supervisor {
    /// Takes the statuses of all children that have ended.
    pub(super) fn reap(&mut self) {
        let (mut ended, mut orphans) = (Vec::new(), false);
        loop {
            let next = self.sessions.end_group_of_next();
            let Some(reaped) = sys::reap_one(next) else { break };
            if self.reap_beside(&reaped) || self.reap_session(&reaped) {
                continue;
            }
            let Some(index) = self.pids.remove(&reaped.pid) else {
                // A process that a task left behind, or the last of an enclosure.
                self.note_fallen(reaped.pid);
                orphans = true;
                continue;
            };
            let occupant = self.berths[index].as_mut().and_then(|b| b.occupant.as_mut());
            let occupant = occupant.expect("a known pid belongs to a berth's occupant");
            occupant.ending = Some(Ending {
                status: sys::decode_status(reaped.status),
                cpu_time: reaped.cpu_time,
                max_rss_bytes: reaped.max_rss_bytes,
                at: Instant::now(),
            });
            self.sessions.end_of(&occupant.id);
            ended.push(index);
            fail_point!("child-reaped");
        }
        if !ended.is_empty() {
            self.pace.begin(Instant::now());
        }
        if orphans {
            ended.append(&mut self.settling);
        }
        self.settle(ended);
    }

    /// An enclosure has no process any more: the kernel ends all of them with the first one.
    fn note_fallen(&mut self, pid: u32) {
        let Some(index) = self.inits.remove(&pid) else {
            self.enclosures.iter_mut().for_each(|enclosures| enclosures.note_gone(pid));
            return;
        };
        let occupant = self.berths[index].as_mut().and_then(|berth| berth.occupant.as_mut());
        if let Some(standing) = occupant.and_then(|occupant| occupant.standing.as_mut()) {
            standing.fallen = true;
        }
    }

    /// Ends containers whose first process has ended, now or as soon as the rest is dead. Without
    /// cgroups one look at our children does for all of them.
    pub(super) fn settle(&mut self, ended: Vec<usize>) {
        if ended.is_empty() {
            return;
        }
        let children = match self.tree {
            Some(_) => None,
            None => self.children.unknown(&self.pids),
        };
        let children = children.map(|mut children| {
            children.retain(|pid| !self.inits.contains_key(pid) && !self.is_beside(*pid));
            children
        });
        for index in ended {
            self.settle_one(index, children.as_deref());
        }
        if let Some(networks) = &mut self.networks {
            // Before the ends are sent: what is told of is gone.
            networks.sweep();
        }
    }

    fn settle_one(&mut self, index: usize, children: Option<&[u32]>) {
        if self.has_remains(index, children) {
            fail_point!("remains-killed");
            self.settling.push(index);
            return;
        }
        let berth = self.berths[index].as_mut().expect("a settling berth exists");
        berth.drain(self.logs, &mut self.buffer);
        let is_cut = berth.take_cut();
        let Some((occupant, ended)) = conclude(berth, &mut self.victims) else { return };
        fail_point!("end-concluded");
        if is_cut {
            self.report(&Report::LogCut { id: occupant.id.clone() });
        }
        if let (Some(standing), Some(enclosures)) = (&occupant.standing, &mut self.enclosures) {
            enclosures.clear(standing);
        }
        if let (Some(network), Some(networks)) = (&occupant.network, &mut self.networks) {
            networks.end(network);
        }
        if let Some(at) = occupant.kill_at {
            self.kills.remove(&(at, index, occupant.serial));
        }
        self.running.remove(&occupant.id);
        self.report(&Report::Ended { id: occupant.id.clone(), ended: Box::new(ended.clone()) });
        self.ended.insert(
            occupant.id.clone(),
            Recovered {
                id: occupant.id,
                record: occupant.record,
                shared: occupant.shared,
                launched: occupant.launched,
                kill_requested: ended.kill_requested,
                ended: Some(ended),
                remains: false,
            },
        );
        fail_point!("end-told");
        self.vacate(index);
        fail_point!("berth-vacated");
    }

    /// Whether processes of the container are left; kills those it finds.
    fn has_remains(&mut self, index: usize, children: Option<&[u32]>) -> bool {
        let berth = self.berths[index].as_mut().expect("a settling berth exists");
        let standing = berth.occupant.as_ref().and_then(|occupant| occupant.standing.as_ref());
        let enclosed = standing.is_some();
        if let Some(standing) = standing.filter(|standing| !standing.fallen) {
            // With it goes everything inside, and we are told when that is done.
            sys::signal_child(standing.init, false, libc::SIGKILL);
            return true;
        }
        if let Some(group) = &berth.group {
            let remains = group.population() > 0;
            if remains {
                kill_all(berth);
                return true;
            }
            let standing = berth.occupant.as_ref().and_then(|o| o.standing.as_ref());
            let both = standing.zip(self.enclosures.as_mut());
            return both.is_some_and(|(standing, enclosures)| enclosures.pod_remains(standing));
        }
        let Some(occupant) = berth.occupant.as_ref().filter(|_| !enclosed) else { return false };
        match strays::look(&occupant.id, occupant.launched.pid, children) {
            Strays::None => false,
            Strays::Killed => true,
            Strays::Strangers => {
                // Someone's, perhaps this task's: nothing of this berth is used again.
                berth.recyclable = false;
                false
            }
        }
    }

    /// Makes a berth ready for the next task, or gives it up.
    pub(super) fn vacate(&mut self, index: usize) {
        self.unpin(index);
        let Some(berth) = self.berths[index].as_mut() else { return };
        berth.occupant = None;
        if berth.renew() && self.idle.len() < POOL {
            self.idle.push(index);
        } else {
            self.abandon(index);
        }
    }

    /// Gives a berth up.
    pub(super) fn abandon(&mut self, index: usize) {
        if let Some(mut berth) = self.berths[index].take() {
            berth.discard_directory();
            if let Some(group) = berth.group.take_if(|group| !group.remove()) {
                self.doomed.push(group);
                self.pace.begin(Instant::now());
            }
            self.vacant.push(index);
        }
    }
}

/// Whether a task failed when its disk had no more room by its quota.
fn full_disk(occupant: &Occupant, ending: &Ending) -> Option<Limitation> {
    let is_failure = ending.status != WaitStatus::Exited(0) && !occupant.kill_requested;
    occupant.project.as_ref().filter(|_| is_failure)?.exhausted()
}

/// Takes the occupant out and says how it ended.
fn conclude(berth: &mut Berth, victims: &mut Victims) -> Option<(Occupant, Ended)> {
    let occupant = berth.occupant.take()?;
    let ending = occupant.ending.as_ref()?;
    let counted = berth.group.as_mut().map(Group::conclude).unwrap_or_default();
    let out_of_memory = counted.oom.map(|(usage_bytes, limit_bytes)| {
        let group = berth.group.as_mut();
        let victim = group.and_then(|group| {
            let members = std::mem::take(&mut group.short_of_memory);
            victims.of(&group.path_in_log()?, &members)
        });
        Limitation::Memory { usage_bytes, limit_bytes, victim }
    });
    let [(stdout_bytes, lost_out), (stderr_bytes, lost_err)] =
        [berth.streams[0].figures(), berth.streams[1].figures()];
    let sandbox = match &occupant.own_directory {
        Some(own) => SandboxFate::Kept(own.path.clone()),
        None => berth.take_used_directory().map_or(SandboxFate::Empty, SandboxFate::Kept),
    };
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ended = Ended {
        status: ending.status,
        limitation: out_of_memory
            .or_else(|| occupant.exceeded.clone())
            .or_else(|| full_disk(&occupant, ending)),
        kill_requested: occupant.kill_requested,
        pids_refused: counted.pids_refused,
        cpu_time: ending.cpu_time,
        max_rss_bytes: ending.max_rss_bytes,
        lasted: ending.at.saturating_duration_since(occupant.started),
        ended_unix_ns: u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX),
        stdout_bytes,
        stderr_bytes,
        lost_bytes: lost_out + lost_err,
        sandbox,
    };
    Some((occupant, ended))
}
