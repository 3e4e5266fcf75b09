//! Who belongs to the group as far as this member knows, shared by its links and its door, and what
//! that means for somebody who greets.
//!
//! A greeting says as of which entry its sender is a member. One that is none any more finds out
//! so: whoever knows a later membership without it tells it. A word is enough, for the log says the
//! same to everybody: who was a member at one entry and is none at a later one was removed in
//! between, and nobody comes back under its old id. Whoever knows less than the one that greets
//! says nothing, and listens: it is the one that has to learn.

use registrar_core::{MemberId, Members};
use std::sync::Arc;
use tokio::sync::watch;

/// The members, as of an entry.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    /// The entry since which these are the members, or a later one; zero for a member that has not
    /// been told of any.
    pub(crate) index: u64,
    pub(crate) members: Members,
}

pub(crate) type Rosters = watch::Receiver<Arc<Roster>>;

/// What a greeting says of its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    pub(crate) from: MemberId,
    /// The entry as of which it is a member of the group; zero for one that has not been told.
    pub(crate) as_of: u64,
    /// Of which epoch of the group, if it has been told.
    pub(crate) epoch: u64,
    /// Where it is to be found; empty when it does not know.
    pub(crate) address: String,
}

/// Why somebody who greets is not listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It belongs to another group.
    OtherGroup,
    /// It looks for another member.
    OtherMember,
    /// Of the two, one belongs to what was the group before it was recovered.
    OtherEpoch,
    /// It is no member, and may become one.
    NotYet,
    /// It was a member, and was none any more at this entry.
    Removed {
        /// The entry.
        index: u64,
    },
}

impl Roster {
    /// The greeting of `own`, one of these members or not yet.
    pub(crate) fn greeting(&self, own: MemberId) -> Greeting {
        let as_of = if self.members.contains(own) { self.index } else { 0 };
        let address = self.members.addresses.get(&own).cloned().unwrap_or_default();
        Greeting { from: own, as_of, epoch: self.members.epoch, address }
    }

    /// Whether the sender of a greeting is to be listened to.
    pub(crate) fn admit(&self, greeting: &Greeting) -> Result<(), Refused> {
        let both_know = self.index > 0 && greeting.as_of > 0;
        if both_know && greeting.epoch != self.members.epoch {
            return Err(Refused::OtherEpoch);
        }
        let is_ahead = greeting.as_of > self.index;
        if self.index == 0 || self.members.contains(greeting.from) || is_ahead {
            return Ok(());
        }
        match both_know && greeting.as_of < self.index {
            true => Err(Refused::Removed { index: self.index }),
            false => Err(Refused::NotYet),
        }
    }

    /// Whether somebody who is none of the members known here is to be answered all the same: it
    /// knows of more than this one does, and may be the one that leads.
    pub(crate) fn answers(&self, greeting: &Greeting) -> bool {
        self.admit(greeting).is_ok()
            && greeting.as_of > self.index
            && !self.members.contains(greeting.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> MemberId {
        MemberId::new(n).unwrap()
    }

    fn roster(index: u64, ids: &[u64]) -> Roster {
        let members = ids.iter().map(|n| (id(*n), format!("host-{n}")));
        Roster { index, members: Members::of_voters(members) }
    }

    #[test]
    fn one_that_was_removed_is_told_by_who_knows_more_and_by_nobody_else() {
        let (old, new) = (roster(10, &[1, 2, 3]), roster(20, &[1, 2, 4]));
        let newest = roster(30, &[1, 2, 5]);
        // Removed at 20.
        let gone = old.greeting(id(3));
        assert_eq!((gone.as_of, &gone.address[..]), (10, "host-3"));
        assert_eq!(new.admit(&gone), Err(Refused::Removed { index: 20 }));
        assert_eq!(newest.admit(&gone), Err(Refused::Removed { index: 30 }));
        // One that was away does not know the one that came meanwhile, and has to learn of it.
        let came = new.greeting(id(4));
        assert_eq!(old.admit(&came), Ok(()));
        assert!(old.answers(&came) && !new.answers(&came));
        // It is a member to this day.
        assert_eq!(old.admit(&old.greeting(id(1))), Ok(()));
        assert!(!old.answers(&old.greeting(id(1))));
    }

    #[test]
    fn a_newcomer_is_told_nothing_final_and_answers_members_only() {
        let (members, nobody) = (roster(10, &[1, 2]), Roster::default());
        let newcomer = nobody.greeting(id(9));
        assert_eq!(newcomer.as_of, 0);
        assert_eq!(members.admit(&newcomer), Err(Refused::NotYet));
        assert!(!members.answers(&newcomer) && !nobody.answers(&newcomer));
        assert!(nobody.answers(&members.greeting(id(1))));
        // The same for one that is no member of a group that it knows.
        assert_eq!(members.admit(&members.greeting(id(9))), Err(Refused::NotYet));
    }

    #[test]
    fn members_from_before_a_recovery_are_refused() {
        let old = roster(10, &[1, 2, 3]);
        let mut new = roster(10, &[1]);
        new.members.epoch = 7;
        for (here, there) in [(&old, &new), (&new, &old)] {
            for from in [1, 2].map(id).into_iter().filter(|from| there.members.contains(*from)) {
                let refused = here.admit(&there.greeting(from));
                assert_eq!(refused, Err(Refused::OtherEpoch), "{from}");
            }
        }
        assert_eq!(Roster::default().admit(&new.greeting(id(1))), Ok(()));
    }
}
