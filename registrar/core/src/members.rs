//! Who belongs to the group, and where each is to be found.

use crate::codec::{Reader, Unreadable, Writer};
use raft::eraftpb::ConfState;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU64;

/// A member of a group. Never used twice: who lost its disk comes back under a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(NonZeroU64);

impl MemberId {
    /// From a number that is not zero.
    pub const fn new(id: u64) -> Option<Self> {
        match NonZeroU64::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The members of a group at some index of its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Who votes.
    pub voters: BTreeSet<MemberId>,
    /// Who is told everything and does not vote.
    pub learners: BTreeSet<MemberId>,
    /// Who voted before the change that is under way; empty when none is.
    pub outgoing: BTreeSet<MemberId>,
    /// Who becomes a learner when that change is complete.
    pub next_learners: BTreeSet<MemberId>,
    /// Whether that change is completed by itself.
    pub auto_leave: bool,
    /// Where each is to be found, `HOST:PORT`.
    pub addresses: BTreeMap<MemberId, String>,
    /// Drawn anew when the group was recovered after most of it was lost, else zero: members with
    /// different ones never talk to each other.
    pub epoch: u64,
    /// Who was a member and is none any more, the newest last: nobody comes back under such an id.
    /// Of those from before the newest [`Members::MAX_REMOVED`] nothing is known.
    pub removed: Vec<MemberId>,
}

impl Members {
    /// Ids that are remembered of members that were removed.
    pub const MAX_REMOVED: usize = 256;

    /// Voters at these addresses.
    pub fn of_voters(voters: impl IntoIterator<Item = (MemberId, String)>) -> Self {
        let addresses: BTreeMap<_, _> = voters.into_iter().collect();
        Self { voters: addresses.keys().copied().collect(), addresses, ..Self::default() }
    }

    /// Whether `member` is one, in whatever role.
    pub fn contains(&self, member: MemberId) -> bool {
        [&self.voters, &self.learners, &self.outgoing].iter().any(|set| set.contains(&member))
    }

    /// All, in whatever role, in order.
    pub fn all(&self) -> BTreeSet<MemberId> {
        let sets = [&self.voters, &self.learners, &self.outgoing];
        sets.into_iter().flatten().copied().collect()
    }

    /// How many voters are a majority.
    pub fn quorum(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    pub(crate) fn conf_state(&self) -> ConfState {
        let list = |set: &BTreeSet<MemberId>| set.iter().map(|id| id.get()).collect::<Vec<_>>();
        let mut state = ConfState::default();
        state.set_voters(list(&self.voters));
        state.set_learners(list(&self.learners));
        state.set_voters_outgoing(list(&self.outgoing));
        state.set_learners_next(list(&self.next_learners));
        state.set_auto_leave(self.auto_leave);
        state
    }

    /// After a change: the state of raft, with the addresses known so far and those given.
    pub(crate) fn changed(&self, state: &ConfState, new: BTreeMap<MemberId, String>) -> Self {
        let set = |ids: &[u64]| ids.iter().filter_map(|id| MemberId::new(*id)).collect();
        let mut members = Self {
            voters: set(state.get_voters()),
            learners: set(state.get_learners()),
            outgoing: set(state.get_voters_outgoing()),
            next_learners: set(state.get_learners_next()),
            auto_leave: state.get_auto_leave(),
            addresses: BTreeMap::new(),
            epoch: self.epoch,
            removed: self.removed.clone(),
        };
        let mut addresses = self.addresses.clone();
        addresses.extend(new);
        addresses.retain(|id, _| members.contains(*id));
        members.addresses = addresses;
        let gone: Vec<_> = self.all().into_iter().filter(|id| !members.contains(*id)).collect();
        members.removed.extend(gone);
        let forgotten = members.removed.len().saturating_sub(Self::MAX_REMOVED);
        members.removed.drain(..forgotten);
        members
    }

    /// The form on disk and on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        for set in [&self.voters, &self.learners, &self.outgoing, &self.next_learners] {
            writer.list(set.iter().map(|id| id.get()));
        }
        writer.byte(u8::from(self.auto_leave));
        writer.int(self.addresses.len() as u64);
        for (id, address) in &self.addresses {
            writer.int(id.get());
            writer.bytes(address.as_bytes());
        }
        writer.int(self.epoch);
        // Not there in records of earlier versions.
        if !self.removed.is_empty() {
            writer.list(self.removed.iter().map(|id| id.get()));
        }
        writer.0
    }

    /// From that form. Members that raft could not work with are refused too.
    ///
    /// # Errors
    /// Names what cannot be.
    pub fn decode(bytes: bytes::Bytes) -> Result<Self, Unreadable> {
        let mut reader = Reader(bytes);
        let mut set = |field| {
            let ids = reader.list(field)?;
            let set: BTreeSet<MemberId> = ids.iter().filter_map(|id| MemberId::new(*id)).collect();
            if set.len() == ids.len() { Ok(set) } else { Err(Unreadable { field }) }
        };
        let (voters, learners) = (set("voters")?, set("learners")?);
        let (outgoing, next_learners) = (set("outgoing voters")?, set("next learners")?);
        let auto_leave = reader.flag("way to leave")?;
        let mut addresses = BTreeMap::new();
        for _ in 0..reader.int("addresses")? {
            let field = "address of a member";
            let id = MemberId::new(reader.int(field)?).ok_or(Unreadable { field })?;
            let address = String::from_utf8(reader.bytes(field)?.to_vec());
            addresses.insert(id, address.map_err(|_| Unreadable { field })?);
        }
        let epoch = reader.int("epoch")?;
        let mut removed = Vec::new();
        if reader.end("list of members").is_err() {
            let field = "removed members";
            for id in reader.list(field)? {
                removed.push(MemberId::new(id).ok_or(Unreadable { field })?);
            }
            if removed.is_empty() || removed.len() > Self::MAX_REMOVED {
                return Err(Unreadable { field });
            }
        }
        reader.end("list of members")?;
        let members = Self {
            voters,
            learners,
            outgoing,
            next_learners,
            auto_leave,
            addresses,
            epoch,
            removed,
        };
        members.check()
    }

    fn check(self) -> Result<Self, Unreadable> {
        let voting = |id: &MemberId| self.voters.contains(id) || self.outgoing.contains(id);
        let fits = !self.voters.is_empty()
            && !self.learners.iter().any(voting)
            && self.next_learners.is_subset(&self.outgoing)
            && self.next_learners.is_disjoint(&self.voters)
            && (!self.outgoing.is_empty() || !self.auto_leave);
        if fits { Ok(self) } else { Err(Unreadable { field: "list of members" }) }
    }
}
