//! What goes wrong: partitions of all shapes, crashes, stops, slow and damaged disks.

use super::world::World;
use registrar_core::{Input, MemberId};

impl World {
    fn ids(&self) -> Vec<MemberId> {
        self.nodes.keys().copied().collect()
    }

    fn any(&mut self) -> MemberId {
        let ids = self.ids();
        ids[self.chance.below(ids.len() as u64) as usize]
    }

    /// Neither hears the other.
    pub(crate) fn part(&mut self, a: MemberId, b: MemberId) {
        self.cut.extend([(a, b), (b, a)]);
    }

    /// `member` hears nobody and nobody hears it.
    pub(crate) fn isolate(&mut self, member: MemberId) {
        for other in self.ids().into_iter().filter(|other| *other != member) {
            self.part(member, other);
        }
    }

    /// One fault, or the end of one, by chance.
    pub(crate) fn disturb(&mut self) {
        let member = self.any();
        match self.chance.below(14) {
            0 => self.cut.clear(),
            // The leader is cut off, with whoever else.
            1 => {
                let leader = self.leader().unwrap_or(member);
                self.isolate(leader);
            }
            // It is heard and does not hear, or the other way round.
            2 => {
                let others = self.ids().into_iter().filter(|other| *other != member);
                let outward = self.sequence_is_even();
                let ways: Vec<_> = others
                    .map(|other| if outward { (member, other) } else { (other, member) })
                    .collect();
                self.cut.extend(ways);
            }
            // A bridge: one is heard by both halves, which do not hear each other.
            3 => {
                let others: Vec<_> = self.ids().into_iter().filter(|o| *o != member).collect();
                let (left, right) = others.split_at(others.len() / 2);
                let (left, right) = (left.to_vec(), right.to_vec());
                left.iter().for_each(|a| right.iter().for_each(|b| self.part(*a, *b)));
            }
            4 => {
                if self.nodes[&member].member.is_some() {
                    self.crash(member);
                }
            }
            // In the middle of a step: a part of what it wanted done is done.
            5 => {
                let fuse = self.chance.below(60);
                let node = self.nodes.get_mut(&member).unwrap();
                node.fuse = node.member.is_some().then_some(fuse);
            }
            6 | 7 => self.revive(),
            8 => self.lossy = [0, 3, 20][self.chance.below(3) as usize],
            9 => {
                let node = self.nodes.get_mut(&member).unwrap();
                node.slow_disk = !node.slow_disk;
            }
            10 => {
                let node = self.nodes.get_mut(&member).unwrap();
                if node.member.is_some() && !node.paused {
                    node.paused = true;
                } else if node.paused {
                    self.resume(member);
                }
            }
            11 if self.damages => self.damage(member),
            // To somebody, who may be away, and be told of it much later.
            _ => {
                let leaders: Vec<_> =
                    self.nodes.iter().filter(|(_, n)| n.leads && !n.paused).map(|n| *n.0).collect();
                for leader in leaders {
                    self.step(leader, Input::Transfer { to: Some(member) });
                }
            }
        }
    }

    fn sequence_is_even(&mut self) -> bool {
        self.chance.one_in(2)
    }

    /// The log or the snapshot of a member that is down is damaged; one at a time, as long as it has not got back
    /// what it lost.
    fn damage(&mut self, member: MemberId) {
        let whole = |world: &Self, id: &MemberId| {
            let node = &world.nodes[id];
            !node.disk.restored.forgot
        };
        if !self.ids().iter().all(|id| whole(self, id)) {
            return;
        }
        if self.nodes[&member].member.is_some() {
            self.crash(member);
        }
        let is_snapshot = self.chance.one_in(3);
        let node = self.nodes.get_mut(&member).unwrap();
        let keep = self.chance.below(node.disk.restored.entries.len() as u64 + 1);
        match is_snapshot {
            true => node.disk.lose_snapshot(),
            false => node.disk.damage(keep as usize),
        }
        self.start(member);
    }

    /// Starts all that are down and can be.
    pub(crate) fn revive(&mut self) {
        for member in self.ids() {
            let node = &self.nodes[&member];
            if node.member.is_none() && node.loss.is_none() {
                self.start(member);
            }
        }
    }

    /// Nothing is wrong any more.
    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        self.lossy = 0;
        for member in self.ids() {
            let node = self.nodes.get_mut(&member).unwrap();
            (node.slow_disk, node.fuse) = (false, None);
            if node.paused {
                self.resume(member);
            }
        }
        self.revive();
    }
}
