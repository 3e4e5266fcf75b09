//! Whether the states of the members are the same: hashes at the same index, compared.

use crate::effect::Loss;
use crate::members::{MemberId, Members};
use std::collections::BTreeMap;

/// Indices that are remembered: members do not lag behind each other by more while all is well.
const REMEMBERED: usize = 16;

/// Hashes of members at the newest indices.
#[derive(Debug, Default)]
pub(crate) struct Agreement {
    heard: BTreeMap<u64, BTreeMap<MemberId, u64>>,
}

impl Agreement {
    /// `member` has `hash` at `index`.
    pub(crate) fn note(&mut self, member: MemberId, index: u64, hash: u64) {
        // A member that says something of every index must not fill the memory.
        self.heard.entry(index).or_default().insert(member, hash);
        while self.heard.len() > REMEMBERED {
            self.heard.pop_first();
        }
    }

    /// Whether `own` is the one that is wrong at `index`: when a majority says otherwise; or, once
    /// all had the time to say (`settled`), when the leader does and no majority bears `own` out.
    pub(crate) fn check(
        &self,
        index: u64,
        own: MemberId,
        settled: Option<MemberId>,
        members: &Members,
    ) -> Option<Loss> {
        let heard = self.heard.get(&index)?;
        let ours = *heard.get(&own)?;
        let voters = heard.iter().filter(|(member, _)| members.voters.contains(member));
        let (same, others): (Vec<_>, Vec<_>) = voters.partition(|(_, hash)| **hash == ours);
        let quorum = members.quorum();
        let diverged = |theirs: u64| Some(Loss::Diverged { index, ours, theirs });
        if others.len() >= quorum {
            return diverged(*others.first()?.1);
        }
        let leaders = settled.filter(|leader| *leader != own).and_then(|l| heard.get(&l))?;
        if *leaders != ours && same.len() < quorum { diverged(*leaders) } else { None }
    }

    /// The index before `index` at which something was said.
    pub(crate) fn before(&self, index: u64) -> Option<u64> {
        self.heard.range(..index).next_back().map(|(before, _)| *before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: u64) -> MemberId {
        MemberId::new(id).unwrap()
    }

    #[test]
    fn the_one_that_differs_is_told_apart() {
        let members = Members::of_voters([1, 2, 3].map(|n| (id(n), String::new())));
        let mut agreement = Agreement::default();
        agreement.note(id(1), 10, 7);
        agreement.note(id(2), 10, 7);
        let is_wrong = |agreement: &Agreement, own: u64, leader: u64| {
            agreement.check(10, id(own), Some(id(leader)), &members).is_some()
        };
        assert!(![1, 2, 3].iter().any(|own| is_wrong(&agreement, *own, 1)));
        agreement.note(id(3), 10, 8);
        assert!(is_wrong(&agreement, 3, 1) && is_wrong(&agreement, 3, 3));
        // Also when it is the one that leads.
        assert!(!is_wrong(&agreement, 1, 3) && !is_wrong(&agreement, 2, 3));
        // With one silent, the follower gives way.
        let mut agreement = Agreement::default();
        agreement.note(id(1), 10, 7);
        agreement.note(id(2), 10, 8);
        assert!(is_wrong(&agreement, 2, 1) && !is_wrong(&agreement, 1, 1));
    }

    #[test]
    fn old_indices_are_forgotten() {
        let mut agreement = Agreement::default();
        (0..1_000).for_each(|index| agreement.note(id(1), index, 0));
        assert_eq!(agreement.heard.len(), REMEMBERED);
    }
}
