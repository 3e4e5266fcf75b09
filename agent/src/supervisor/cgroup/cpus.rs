//! Which cpus of the machine belong to whom, where tasks may have some of their own. Values only:
//! what they are written to is a group's matter.

use std::collections::BTreeMap;

/// The cpus that tasks may use, and who has some alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct Cpus {
    all: Vec<u32>,
    held: BTreeMap<usize, Vec<u32>>,
}

impl Cpus {
    /// Of the kernel's list, such as `0-3,8`; nothing if it is none, or empty.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut all = Vec::new();
        for part in text.trim().split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            // More than any kernel counts is no list of cpus.
            if first > last || last > 65_535 {
                return None;
            }
            all.extend(first..=last);
        }
        all.sort_unstable();
        all.dedup();
        Some(Self { all, held: BTreeMap::new() })
    }

    /// Gives so many cpus to somebody alone, those of the lowest numbers that are free. One stays
    /// for the rest in any case: with fewer nobody is given any, and shares what the rest has.
    ///
    /// What the rest asks for is never more than what it keeps, as long as no more is asked of the
    /// machine than it has: what is taken out is what was asked for.
    pub(in crate::supervisor) fn take(&mut self, who: usize, count: usize) -> bool {
        let free = self.free();
        if count == 0 || count >= free.len() || self.held.contains_key(&who) {
            return false;
        }
        self.held.insert(who, free[..count].to_vec());
        true
    }

    /// Takes back what somebody has; whether that was anything.
    pub(in crate::supervisor) fn give_back(&mut self, who: usize) -> bool {
        self.held.remove(&who).is_some()
    }

    /// Where somebody may run, in the kernel's form.
    pub(in crate::supervisor) fn of(&self, who: usize) -> String {
        self.held.get(&who).map_or_else(|| self.rest(), |own| list(own))
    }

    /// Whether somebody has cpus of its own.
    pub(in crate::supervisor) fn holds(&self, who: usize) -> bool {
        self.held.contains_key(&who)
    }

    /// Where those run who have none of their own.
    pub(in crate::supervisor) fn rest(&self) -> String {
        list(&self.free())
    }

    fn free(&self) -> Vec<u32> {
        let is_held = |cpu: &u32| self.held.values().any(|own| own.contains(cpu));
        self.all.iter().copied().filter(|cpu| !is_held(cpu)).collect()
    }
}

/// How many whole cpus shares are: none if they are not whole.
pub(in crate::supervisor) fn whole(cpu_shares: u64) -> usize {
    let whole = cpu_shares.is_multiple_of(1024).then_some(cpu_shares / 1024);
    whole.and_then(|count| usize::try_from(count).ok()).unwrap_or(0)
}

fn list(cpus: &[u32]) -> String {
    let texts: Vec<String> = cpus.iter().map(u32::to_string).collect();
    texts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lists_are_read_and_nonsense_is_not() {
        assert_eq!(Cpus::read("0-2,8\n").unwrap().rest(), "0,1,2,8");
        assert_eq!(Cpus::read("3").unwrap().rest(), "3");
        for text in ["", "\n", "a", "2-1", "0-4000000000", "0,,1", "-"] {
            assert_eq!(Cpus::read(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_one_takes_the_others_lose_until_it_is_given_back() {
        let mut cpus = Cpus::read("0-3").unwrap();
        assert!(cpus.take(7, 2) && cpus.take(8, 1));
        assert_eq!((cpus.of(7), cpus.of(8), cpus.of(9)), ("0,1".into(), "2".into(), "3".into()));
        assert!(!cpus.take(9, 1), "the rest keeps one");
        assert!(!cpus.take(7, 1), "it has some");
        assert!(cpus.give_back(7) && !cpus.give_back(7) && !cpus.give_back(9));
        assert_eq!((cpus.rest(), cpus.holds(8)), ("0,1,3".into(), true));
        assert!(cpus.take(9, 2));
        assert_eq!((cpus.of(9), cpus.rest()), ("0,1".into(), "3".into()));
    }

    #[test]
    fn nobody_gets_all_or_none() {
        let mut cpus = Cpus::read("0-1").unwrap();
        assert!(!cpus.take(1, 2) && !cpus.take(1, 0));
        assert_eq!(cpus.of(1), "0,1");
    }

    #[test]
    fn only_whole_cpus_are_counted() {
        assert_eq!([whole(1024), whole(3072), whole(1535), whole(2)], [1, 3, 0, 0]);
        assert_eq!(whole(0), 0);
    }
}
