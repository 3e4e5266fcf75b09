//! The properties: one leader a term, what was agreed upon is never lost and the same everywhere,
//! reads see all that was acknowledged before they were asked for.

use registrar_core::MemberId;
use std::collections::BTreeMap;

/// What was seen of all members together. Each `note` checks.
#[derive(Default)]
pub(crate) struct Checks {
    leaders: BTreeMap<u64, MemberId>,
    /// What each index holds, as the first member applied it.
    agreed: BTreeMap<u64, u64>,
    /// The newest index of a proposal that was acknowledged.
    pub(crate) acknowledged: u64,
    /// Proposals that were acknowledged: where.
    pub(crate) proposals: BTreeMap<u64, u64>,
    /// By read: what was acknowledged when it was asked for.
    reads: BTreeMap<u64, u64>,
    pub(crate) read: u64,
    /// Who had a lease last, and when.
    lease: Option<(MemberId, u64)>,
    /// How often somebody was seen with one.
    pub(crate) leases: u64,
    pub(crate) elections: u64,
}

impl Checks {
    pub(crate) fn note_leader(&mut self, member: MemberId, term: u64) {
        let first = *self.leaders.entry(term).or_insert_with(|| {
            self.elections += 1;
            member
        });
        assert_eq!(first, member, "two leaders in term {term}");
    }

    /// `member` applied `value` at `index`.
    pub(crate) fn note_applied(&mut self, member: MemberId, index: u64, value: u64) {
        let agreed = *self.agreed.entry(index).or_insert(value);
        assert_eq!(agreed, value, "{member} has something else at {index}");
    }

    pub(crate) fn note_committed(&mut self, id: u64, index: u64) {
        assert_eq!(self.agreed.get(&index), Some(&id), "acknowledged, but not at {index}");
        self.acknowledged = self.acknowledged.max(index);
        assert_eq!(self.proposals.insert(id, index), None, "{id} was acknowledged twice");
    }

    pub(crate) fn ask(&mut self, id: u64) {
        self.reads.insert(id, self.acknowledged);
    }

    /// The read `id` was answered by a state up to `index`.
    pub(crate) fn note_read(&mut self, id: u64, index: u64) {
        let must_see = self.reads.remove(&id).expect("it was asked for once");
        assert!(index >= must_see, "read {id} saw {index}, and {must_see} was acknowledged");
        self.read += 1;
    }

    /// `member` has a lease `now`, and a state up to `applied`.
    pub(crate) fn note_lease(&mut self, member: MemberId, now: u64, applied: u64) {
        if let Some((other, at)) = self.lease.replace((member, now)) {
            assert!(other == member || at < now, "{other} and {member} have a lease");
        }
        let must_see = self.acknowledged;
        assert!(applied >= must_see, "{member} would answer {applied} of {must_see}");
        self.leases += 1;
    }

    /// `values` is all that a member has: it must be all that was agreed upon.
    pub(crate) fn whole(&self, member: MemberId, values: &BTreeMap<u64, u64>, applied: u64) {
        let agreed: BTreeMap<u64, u64> =
            self.agreed.range(..=applied).map(|(index, value)| (*index, *value)).collect();
        assert_eq!(*values, agreed, "{member} lacks something");
        for (id, index) in &self.proposals {
            assert_eq!(values.get(index), Some(id), "{member} lost {id}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(what: impl FnOnce(&mut Checks) + std::panic::UnwindSafe) {
        let caught = std::panic::catch_unwind(|| what(&mut Checks::default()));
        assert!(caught.is_err(), "not noticed");
    }

    #[test]
    fn planted_violations_are_noticed() {
        let [a, b] = [1, 2].map(|id| MemberId::new(id).unwrap());
        fails(|checks| [a, b].into_iter().for_each(|member| checks.note_leader(member, 3)));
        fails(|checks| {
            [(a, 1), (b, 2)].into_iter().for_each(|(m, v)| checks.note_applied(m, 9, v));
        });
        fails(|checks| checks.note_committed(1, 9));
        fails(|checks| {
            checks.note_applied(a, 9, 1);
            checks.note_committed(1, 9);
            checks.ask(1);
            checks.note_read(1, 8);
        });
        fails(|checks| [a, b].into_iter().for_each(|member| checks.note_lease(member, 3, 0)));
        fails(|checks| {
            checks.note_applied(a, 9, 1);
            checks.note_committed(1, 9);
            checks.note_lease(b, 3, 8);
        });
        fails(|checks| {
            checks.note_applied(a, 9, 1);
            checks.whole(b, &BTreeMap::new(), 9);
        });
    }
}
