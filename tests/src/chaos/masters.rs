//! What goes wrong between several masters, and on their disks.

use crate::faults::Fault;
use crate::world::{Event, World};
use proto::Time;

impl World {
    /// One of the masters; mostly the one that leads.
    pub(super) fn some_master(&mut self) -> usize {
        let count = self.masters.len();
        if count == 1 {
            return 0;
        }
        match self.leading() {
            Some(leader) if self.random.percent(60) => leader,
            _ => self.random.index(count),
        }
    }

    fn others(&self, host: usize) -> Vec<usize> {
        (0..self.masters.len()).filter(|other| *other != host).collect()
    }

    /// Neither `host` and the others hear each other; agents and frameworks go on hearing it.
    fn isolate(&mut self, host: usize, until: Time) {
        let others = self.others(host);
        let Some(group) = &mut self.group else { return };
        others.into_iter().for_each(|other| group.ground.links.part(host, other, until));
    }

    pub(super) fn fault_of_masters(&mut self, fault: Fault) {
        let host = self.some_master();
        match fault {
            Fault::MastersCrash => self.several_crash(),
            Fault::PowerCut => {
                for host in 0..self.masters.len() {
                    self.crash_master(host);
                    self.start_master_after(host, 1_000, 30_000);
                }
            }
            Fault::MasterStopped => {
                let lasts = self.random.millis(1_000, 60_000);
                self.pause_master(host, lasts);
            }
            Fault::HandOver => {
                if let Some(group) = &mut self.group {
                    group.hand_over(self.now, host);
                    self.listen();
                }
            }
            Fault::FullDisk => {
                let until = self.now + self.random.millis(1_000, 40_000);
                if let Some(group) = &mut self.group {
                    group.ground.hosts[host].full = until;
                }
            }
            Fault::CrashAtEffect => {
                let effects = self.random.between(1, 60) as u32;
                if let Some(group) = &mut self.group {
                    group.ground.hosts[host].crash_in = Some(effects);
                }
            }
            Fault::CrashAtPoint => {
                let points = self.faults.points();
                let point = points.get(self.random.index(points.len())).copied();
                if let (Some(group), Some(point)) = (&mut self.group, point) {
                    group.ground.points.arm(host, point);
                }
            }
            Fault::LostDisk
            | Fault::TornLog
            | Fault::Leaving
            | Fault::FlippedBit
            | Fault::Moved => self.fault_of_members(fault, host),
            _ => self.fault_of_links(fault, host),
        }
    }

    fn several_crash(&mut self) {
        let count = self.masters.len();
        let most = 1 + self.random.index(count);
        let first = self.random.index(count);
        for n in 0..most {
            let host = (first + n) % count;
            self.crash_master(host);
            self.start_master_after(host, 500, 40_000);
        }
    }

    /// What members can only bear one at a time.
    fn fault_of_members(&mut self, fault: Fault, host: usize) {
        if !self.group.as_ref().is_some_and(crate::group::Group::can_lose_one) {
            return;
        }
        if fault != Fault::Leaving {
            self.crash_master(host);
            self.start_master_after(host, 100, 20_000);
        }
        let Some(group) = &mut self.group else { return };
        match fault {
            Fault::LostDisk => group.lose_disk(host),
            Fault::TornLog => group.damage(host),
            Fault::FlippedBit => group.flip_bit(host),
            Fault::Moved => group.moves(host),
            _ => group.leave(host),
        }
    }

    fn fault_of_links(&mut self, fault: Fault, host: usize) {
        let until = self.now + self.random.millis(500, 60_000);
        let others = self.others(host);
        if fault == Fault::LeaderCutOff {
            return self.isolate(host, until);
        }
        let outward = self.random.percent(50);
        let follower = others.iter().copied().find(|other| self.leading() != Some(*other));
        let slow = if self.leading() == Some(host) { follower.unwrap_or(host) } else { host };
        let Some(group) = &mut self.group else { return };
        let links = &mut group.ground.links;
        match fault {
            // It is heard and does not hear, or the other way round.
            Fault::MastersOneWay => {
                for other in others {
                    let (from, to) = if outward { (host, other) } else { (other, host) };
                    links.cut(from, to, until);
                }
            }
            // One is heard by both halves, which do not hear each other.
            Fault::Bridge => {
                let (left, right) = others.split_at(others.len() / 2);
                left.iter().for_each(|a| right.iter().for_each(|b| links.part(*a, *b, until)));
            }
            Fault::FlappingLink => others.into_iter().for_each(|o| links.flap(host, o, until)),
            // A follower.
            Fault::SlowLink => links.slow_down(slow, until),
            // Nobody hears anybody.
            Fault::MastersApart => {
                let all = 0..self.masters.len();
                all.clone().for_each(|a| all.clone().for_each(|b| links.cut(a, b, until)));
            }
            _ => {}
        }
    }

    pub(super) fn start_master_after(&mut self, host: usize, low: u64, high: u64) {
        let down = self.random.millis(low, high);
        self.schedule_in(down, Event::StartMaster(host));
    }

    /// The masters' part of the end of all faults.
    pub(super) fn heal_masters(&mut self) {
        if let Some(group) = &mut self.group {
            group.ground.links.heal();
            group.ground.points.disarm();
            for host in &mut group.ground.hosts {
                (host.slow, host.full, host.crash_in) = (Time::ZERO, Time::ZERO, None);
            }
        }
        for host in 0..self.masters.len() {
            self.resume_master(host);
            self.masters[host].crash_in = None;
            self.masters[host].doomed = 0;
            self.schedule(self.now, Event::StartMaster(host));
        }
    }
}
