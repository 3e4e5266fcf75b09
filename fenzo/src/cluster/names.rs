//! Host names and the dense ordinals that stand for them.
//!
//! An ordinal belongs to a host from its first lease or task until it is forgotten, and is then given to
//! another. Ordinals say nothing about order: ties go to the smaller *name*, so each host has a label that
//! sorts as its name does, and that comparisons use in place of the text. Labels leave gaps, so that a new
//! host changes nobody else's; when a gap is used up all labels are dealt anew, which changes no order.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use crate::id::HostId;

use super::directory::Directory;

/// The distance between labels that are dealt anew or appended.
const GAP: u64 = 1 << 32;

#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    by_name: BTreeMap<HostId, usize>,
    directory: Directory,
    ids: Vec<HostId>,
    labels: Vec<u64>,
    vacant: Vec<usize>,
}

impl Names {
    /// The ordinal of a known host.
    pub(crate) fn get(&self, id: &HostId) -> Option<usize> {
        self.directory.find(id.as_str(), |host| self.ids[host].as_str())
    }

    /// How many hosts are known.
    pub(crate) fn known(&self) -> usize {
        self.by_name.len()
    }

    /// The length of columns that are indexed by ordinal.
    pub(crate) fn slots(&self) -> usize {
        self.ids.len()
    }

    /// The name of a known host.
    pub(crate) fn id(&self, host: usize) -> &HostId {
        &self.ids[host]
    }

    /// Sorts as the name of the host does.
    pub(crate) fn label(&self, host: usize) -> u64 {
        self.labels[host]
    }

    /// All known hosts in order of name.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = usize> + '_ {
        self.by_name.values().copied()
    }

    /// The ordinal of a host, which is known from now on.
    pub(crate) fn insert(&mut self, id: &HostId) -> usize {
        if let Some(host) = self.get(id) {
            return host;
        }
        let label = self.label_between(id);
        let host = match self.vacant.pop() {
            Some(host) => {
                self.ids[host] = id.clone();
                host
            }
            None => {
                self.ids.push(id.clone());
                self.labels.push(0);
                self.ids.len() - 1
            }
        };
        let ids = &self.ids;
        self.directory.insert(id.as_str(), host, |host| ids[host].as_str());
        self.by_name.insert(id.clone(), host);
        match label {
            Some(label) => self.labels[host] = label,
            None => self.deal_labels(),
        }
        host
    }

    /// Forgets a host. Its ordinal may be another's soon.
    pub(crate) fn remove(&mut self, host: usize) {
        self.directory.remove(self.ids[host].as_str(), host);
        self.by_name.remove(&self.ids[host]);
        self.vacant.push(host);
    }

    /// A label between those of the neighbours in name; `None` if there is none.
    fn label_between(&self, id: &HostId) -> Option<u64> {
        if let Some((last, host)) = self.by_name.last_key_value()
            && last < id
        {
            return self.labels[*host].checked_add(GAP);
        }
        let label =
            |neighbour: Option<(&HostId, &usize)>| neighbour.map(|(_, host)| self.labels[*host]);
        let before = label(self.by_name.range((Unbounded, Excluded(id.clone()))).next_back());
        let after = label(self.by_name.range((Excluded(id.clone()), Unbounded)).next());
        match (before, after) {
            (None, None) => Some(u64::MAX / 2),
            (Some(before), None) => before.checked_add(GAP),
            (None, Some(after)) => after.checked_sub(GAP),
            (Some(before), Some(after)) => {
                let middle = before + (after - before) / 2;
                (middle > before).then_some(middle)
            }
        }
    }

    fn deal_labels(&mut self) {
        let gap = u64::MAX / (self.by_name.len() as u64 + 1);
        for (label, host) in (1_u64..).zip(self.by_name.values()) {
            self.labels[*host] = label * gap;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_sort_as_names_do_when_gaps_are_used_up() {
        let mut names = Names::default();
        // Each name falls between the last two: the gap halves every time.
        let mut text = String::from("a");
        for step in 0..200 {
            text.push(if step % 2 == 0 { 'z' } else { 'b' });
            names.insert(&HostId::from(text.as_str()));
        }
        let labels: Vec<u64> = names.in_order().map(|host| names.label(host)).collect();
        assert!(labels.is_sorted_by(|a, b| a < b));
        assert_eq!(labels.len(), 200);
    }

    #[test]
    fn an_ordinal_is_given_anew() {
        let mut names = Names::default();
        let first = names.insert(&"a".into());
        names.insert(&"b".into());
        names.remove(first);
        assert_eq!((names.get(&"a".into()), names.known()), (None, 1));
        assert_eq!((names.insert(&"c".into()), names.slots()), (first, 2));
        let order: Vec<&str> = names.in_order().map(|host| names.id(host).as_str()).collect();
        assert_eq!(order, ["b", "c"]);
    }
}
