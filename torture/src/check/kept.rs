//! I1 and I12 of what frameworks keep at the masters: keys whose writes name the version that they
//! replace. Versions of a framework count up with each of its writes, so they tell in which order
//! the writes were made, and nothing has to be searched for.

use super::{Verdict, number};
use crate::history::{Entry, Fact};
use std::collections::{BTreeMap, BTreeSet};

/// The newest versions that were known to be there, each with the time since when.
type Newest = Vec<(u64, u64)>;

/// All about one framework's state.
#[derive(Default)]
struct State {
    /// The values that were to be written, with their keys.
    tried: BTreeSet<(usize, u64)>,
    /// Of each key, and of all.
    of_key: BTreeMap<usize, Newest>,
    of_all: Newest,
    /// What each version is.
    versions: BTreeMap<u64, BTreeSet<(usize, u64)>>,
}

impl State {
    /// At a time that is not before those of earlier calls.
    fn saw(&mut self, at: u64, key: usize, value: u64, version: u64) {
        for newest in [self.of_key.entry(key).or_default(), &mut self.of_all] {
            if newest.last().is_none_or(|(_, known)| *known < version) {
                newest.push((at, version));
            }
        }
        if version > 0 {
            self.versions.entry(version).or_default().insert((key, value));
        }
    }

    /// The newest version of a key that was known before.
    fn newest(&self, key: usize, before: u64) -> u64 {
        self.of_key.get(&key).map_or(0, |newest| of(newest, before))
    }

    /// A version of the key between two others.
    fn between(&self, key: usize, after: u64, before: u64) -> Option<u64> {
        let after = std::ops::Bound::Excluded(after);
        let within = self.versions.range((after, std::ops::Bound::Excluded(before)));
        let of_key =
            |(_, all): &(&u64, &BTreeSet<(usize, u64)>)| all.iter().any(|(of, _)| *of == key);
        within.filter(of_key).map(|(version, _)| *version).next()
    }
}

fn of(newest: &Newest, before: u64) -> u64 {
    let end = newest.partition_point(|(at, _)| *at < before);
    end.checked_sub(1).map_or(0, |last| newest[last].1)
}

fn states(history: &[Entry]) -> BTreeMap<&str, State> {
    let mut states: BTreeMap<&str, State> = BTreeMap::new();
    for entry in history {
        match &entry.fact {
            Fact::Keeping { framework, key, value } => {
                states.entry(framework).or_default().tried.insert((*key, *value));
            }
            Fact::Kept { framework, key, value, version: Some(version), .. } => {
                states.entry(framework).or_default().saw(entry.at, *key, *value, *version);
            }
            Fact::Held { framework, key, value, version, .. } => {
                states.entry(framework).or_default().saw(entry.at, *key, *value, *version);
            }
            _ => {}
        }
    }
    states
}

/// I1: what was acknowledged is there at every later read and at the end, and replaced exactly what
/// it named.
pub(super) fn no_write_is_lost(history: &[Entry]) -> Verdict {
    let states = states(history);
    let (mut done, mut beaten, mut last, mut violations) = (0, 0, 0, Vec::new());
    for (framework, state) in &states {
        for (version, all) in &state.versions {
            if all.len() > 1 {
                violations.push(format!("{framework}: version {version} is {all:?}"));
            }
            for (key, value) in all.iter().filter(|one| !state.tried.contains(one)) {
                violations.push(format!("{framework}: key {key} had {value}, never written"));
            }
        }
    }
    for entry in history {
        match &entry.fact {
            Fact::Kept { framework, key, expected, version: Some(version), began, .. } => {
                done += 1;
                let state = &states[framework.as_str()];
                let before = of(&state.of_all, *began);
                if let Some(other) = state.between(*key, *expected, *version) {
                    violations.push(format!(
                        "{framework}: key {key}: version {version} was to replace {expected}, and \
                         {other} was there"
                    ));
                }
                if *version <= before.max(*expected) {
                    violations.push(format!(
                        "{framework}: key {key}: version {version} was written after {before}"
                    ));
                }
            }
            Fact::Kept { version: None, .. } => beaten += 1,
            Fact::Held { framework, key, version, began, last: true, .. } => {
                last += 1;
                let newest = states[framework.as_str()].newest(*key, *began);
                if *version < newest {
                    violations.push(format!(
                        "{framework}: key {key}: version {newest} is lost, {version} is there"
                    ));
                }
            }
            _ => {}
        }
    }
    Verdict {
        id: "I1",
        claim: "",
        counted: format!(
            "frameworks' state: {} acknowledged compare-and-sets, {} that lost to another, {last} \
             reads at the end: {} lost",
            number(done),
            number(beaten),
            violations.len()
        ),
        cases: done.min(beaten).min(last),
        violations,
    }
}

/// I12: no framework reads what is older than what was seen or acknowledged before.
pub(super) fn no_read_goes_back(history: &[Entry]) -> Verdict {
    let states = states(history);
    let (mut reads, mut violations) = (0, Vec::new());
    for entry in history {
        let Fact::Held { framework, key, version, began, .. } = &entry.fact else { continue };
        reads += 1;
        let newest = states[framework.as_str()].newest(*key, *began);
        if *version < newest {
            violations.push(format!(
                "{framework}: key {key}: version {version} was read at {} although {newest} was \
                 there before",
                entry.at
            ));
        }
    }
    Verdict {
        id: "I12",
        claim: "",
        counted: format!(
            "{} reads of frameworks' state, {} stale",
            number(reads),
            violations.len()
        ),
        cases: reads,
        violations,
    }
}
