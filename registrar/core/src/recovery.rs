//! A group of which most members are lost for good, made a group of one by what one of them has.
//!
//! Everything in its log counts as agreed upon from then on, also what was not; what it does not
//! have is gone, also what was acknowledged. So this is never done without being asked for. Old
//! members can never agree with it again: the members of the new group have an epoch of their own,
//! and whoever is of another one is not listened to.

use crate::input::Input;
use crate::member::Member;
use crate::members::{MemberId, Members};
use crate::options::Options;
use crate::records::{Entry, HardState, Restored, SnapshotMeta};
use proto::Time;
use raft::eraftpb::{self, EntryType};

/// What became of a disk that was to be that of a group of one.
#[derive(Clone, Debug)]
pub struct Alone {
    /// What the disk has to have from now on. The content of the snapshot stays.
    pub restored: Restored,
    /// Whether entries have to be written anew.
    pub changes_entries: bool,
    /// Who the members were as of the last entry.
    pub members: Members,
}

impl Entry {
    fn changes_members(&self) -> bool {
        self.0.get_entry_type() != EntryType::EntryNormal
    }

    /// In the same place, without effect.
    fn emptied(&self) -> Self {
        let (index, term) = (self.0.index, self.0.term);
        Self(eraftpb::Entry { index, term, ..Default::default() })
    }
}

impl Restored {
    /// Makes what `member` has on its disk the whole of a group whose only member it is, found at
    /// `address`. `epoch` must never have been that of another group; not zero. None if there is
    /// nothing to go on with: a newcomer, or one that lost its snapshot.
    pub fn alone(mut self, member: MemberId, address: String, epoch: u64) -> Option<Alone> {
        let before = self.snapshot.clone()?;
        let last =
            self.entries.last().map_or(self.compacted, |entry| (entry.index(), entry.term()));
        let term = self.hard_state.term.max(last.1);
        self.hard_state = HardState { term, vote: 0, commit: last.0.max(before.index) };
        self.forgot = false;
        let members = self.members(member)?;
        // A newer term than any that a member of the old group could have heard of from it.
        self.hard_state.term = term + 1;
        // Changes of the members are of the old group.
        let changes_entries = self.entries.iter().any(Entry::changes_members);
        for entry in self.entries.iter_mut().filter(|entry| entry.changes_members()) {
            *entry = entry.emptied();
        }
        let only = Members { epoch, ..Members::of_voters([(member, address)]) };
        self.snapshot = Some(SnapshotMeta { members: only, ..before });
        Some(Alone { restored: self, changes_entries, members })
    }

    /// Who the members are once all entries are applied, as `member` finds when it starts.
    fn members(&self, member: MemberId) -> Option<Members> {
        let mut core = Member::new(member, Options::default(), self.clone(), 0, Time::ZERO).ok()?;
        core.step(Time::ZERO, Input::Messages(Vec::new()), &mut Vec::new());
        Some(core.status().members)
    }
}
