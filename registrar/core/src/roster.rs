//! Who belongs to the group as far as a member knows, and what that means for somebody who greets.
//!
//! A greeting says as of which entry its sender is a member. One that is none any more finds out
//! so: whoever knows a later membership without it tells it, once a start would bring that
//! membership back. A word is enough, for the log says the same to everybody: who was a member at
//! one entry and is none at a later one was removed in between, and nobody comes back under its old
//! id. Whoever knows less than the one that greets says nothing, and listens: it is the one that has
//! to learn.

use crate::members::{MemberId, Members};

/// The members, as of an entry.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    /// The entry since which these are the members, or a later one; zero for a member that has not
    /// been told of any.
    pub index: u64,
    /// The members.
    pub members: Members,
    /// Whether somebody who is none of them any more may be told so: not before these are durable
    /// here, and never by one that was removed itself.
    pub tells: bool,
}

/// What a greeting says of its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Who it is.
    pub from: MemberId,
    /// The entry as of which it is a member of the group, or some earlier one; zero for one that
    /// has not been told.
    pub as_of: u64,
    /// Of which epoch of the group, if it has been told.
    pub epoch: u64,
    /// Where it is to be found; empty when it does not know.
    pub address: String,
}

/// Why somebody who greets is not listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
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
    /// The greeting of `own`: one of these members, or none yet, or none any more.
    pub fn greeting(&self, own: MemberId) -> Greeting {
        // A member is told of the others by a snapshot that has it among them: who is missing was
        // removed. It was a member at some entry; any does, the first too.
        let as_of = if self.members.contains(own) { self.index } else { self.index.min(1) };
        let address = self.members.addresses.get(&own).cloned().unwrap_or_default();
        Greeting { from: own, as_of, epoch: self.members.epoch, address }
    }

    /// Whether the sender of a greeting is to be listened to.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, greeting: &Greeting) -> Result<(), Refused> {
        let both_know = self.index > 0 && greeting.as_of > 0;
        if both_know && greeting.epoch != self.members.epoch {
            return Err(Refused::OtherEpoch);
        }
        let is_ahead = greeting.as_of > self.index;
        if self.index == 0 || self.members.contains(greeting.from) || is_ahead {
            return Ok(());
        }
        match both_know && greeting.as_of < self.index {
            true if self.tells => Err(Refused::Removed { index: self.index }),
            // It may be needed once more.
            true => Ok(()),
            false => Err(Refused::NotYet),
        }
    }

    /// Whether somebody who is none of the members known here is to be answered all the same: it
    /// knows of more than this one does, and may be the one that leads.
    pub fn answers(&self, greeting: &Greeting) -> bool {
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
        Roster { index, members: Members::of_voters(members), tells: true }
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
        // Not before a start would bring the members back without it.
        let fresh = Roster { tells: false, ..roster(20, &[1, 2, 4]) };
        assert_eq!(fresh.admit(&gone), Ok(()));
        assert!(!fresh.answers(&gone));
        // One that knows that it was removed asks to be told; also who is behind listens to it.
        let knows = new.greeting(id(3));
        assert_eq!(newest.admit(&knows), Err(Refused::Removed { index: 30 }));
        assert_eq!(new.admit(&knows), Err(Refused::Removed { index: 20 }));
        assert_eq!(old.admit(&knows), Ok(()));
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
