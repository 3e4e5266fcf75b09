//! What masters agree upon.
//!
//! I11: the same index holds the same entry on all of them, and whoever applied the same entries
//! has the same registry. I1: what was acknowledged is agreed upon where it was said to be. I13: a
//! term has one leader.

use super::{Verdict, broken};
use master_core::Registry;
use std::collections::BTreeMap;

/// The log as the first that applied it had it.
#[derive(Debug, Default)]
pub(crate) struct Agreement {
    entries: BTreeMap<u64, u64>,
    leaders: BTreeMap<u64, usize>,
}

impl Agreement {
    /// A host begins to lead in a term.
    pub(crate) fn leads(&mut self, host: usize, term: u64) -> Verdict {
        let first = *self.leaders.entry(term).or_insert(host);
        if first != host {
            return broken("I13", format!("masters {first} and {host} lead in term {term}"));
        }
        Ok(())
    }

    /// A host applies an entry.
    pub(crate) fn applied(&mut self, host: usize, index: u64, id: u64) -> Verdict {
        let agreed = *self.entries.entry(index).or_insert(id);
        if agreed != id {
            let what = format!("master {host} has entry {id} at {index}, another has {agreed}");
            return broken("I11", what);
        }
        Ok(())
    }

    /// A proposer is told that its entry was agreed upon.
    pub(crate) fn acknowledged(&self, index: u64, id: u64) -> Verdict {
        match self.entries.get(&index) {
            Some(agreed) if *agreed == id => Ok(()),
            found => broken("I1", format!("entry {id} was acknowledged at {index}: {found:?}")),
        }
    }

    /// Hosts with what they applied.
    pub(crate) fn same<'a>(hosts: impl Iterator<Item = (u64, &'a Registry)>) -> Verdict {
        let mut seen: BTreeMap<u64, &Registry> = BTreeMap::new();
        for (applied, registry) in hosts {
            let first = *seen.entry(applied).or_insert(registry);
            if first != registry {
                return broken("I11", format!("two masters differ after entry {applied}"));
            }
        }
        Ok(())
    }

    /// How many terms had a leader.
    pub(crate) fn elections(&self) -> u64 {
        self.leaders.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use master_core::RegistryOp;

    #[test]
    fn i11_i1_and_i13_masters_disagree() {
        let id = |verdict: Verdict| verdict.map_or_else(|broken| broken.id, |()| "nothing");
        let mut agreement = Agreement::default();
        assert_eq!(id(agreement.leads(0, 3)), "nothing");
        assert_eq!(id(agreement.leads(0, 3)), "nothing");
        assert_eq!(id(agreement.leads(1, 3)), "I13");
        assert_eq!(agreement.elections(), 1);
        assert_eq!(id(agreement.acknowledged(7, 1)), "I1");
        assert_eq!(id(agreement.applied(0, 7, 1)), "nothing");
        assert_eq!(id(agreement.applied(1, 7, 1)), "nothing");
        assert_eq!(id(agreement.acknowledged(7, 1)), "nothing");
        assert_eq!(id(agreement.acknowledged(7, 2)), "I1");
        assert_eq!(id(agreement.applied(2, 7, 2)), "I11");
    }

    #[test]
    fn i11_the_same_entries_gave_another_registry() {
        let (empty, mut other) = (Registry::new(), Registry::new());
        other.apply(&RegistryOp::FoundCluster { cluster_id: "c".into() });
        assert_eq!(Agreement::same([(1, &empty), (2, &other), (1, &empty)].into_iter()), Ok(()));
        let differ = Agreement::same([(2, &empty), (1, &empty), (2, &other)].into_iter());
        assert_eq!(differ.map_err(|broken| broken.id), Err("I11"));
    }
}
