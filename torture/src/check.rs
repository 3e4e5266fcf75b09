//! What must be true of a history. Each check reads the whole history and gives a verdict; none
//! knows how the history came to be, so that each can be shown one with a violation in it.

mod books;
mod fencing;
mod kept;
mod registers;
mod tasks;
#[cfg(test)]
mod tests;

use crate::history::{Entry, Fact};
use std::collections::BTreeMap;

/// What became of one invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Its number.
    pub(crate) id: &'static str,
    /// What it claims, for people.
    pub(crate) claim: &'static str,
    /// What was looked at.
    pub(crate) counted: String,
    /// How much was looked at: with nothing, nothing is proved.
    pub(crate) cases: usize,
    /// Each case against it.
    pub(crate) violations: Vec<String>,
}

impl Verdict {
    /// In one word.
    pub(crate) fn word(&self) -> &'static str {
        match (self.violations.is_empty(), self.cases) {
            (false, _) => "violated",
            (true, 0) => "not tested",
            (true, _) => "ok",
        }
    }
}

/// All verdicts on a history that is in the order of time.
pub(crate) fn all(history: &[Entry]) -> Vec<Verdict> {
    vec![
        joined(registers::no_write_is_lost(history), kept::no_write_is_lost(history)),
        tasks::each_ends_once(history),
        tasks::one_instance(history),
        books::no_overcommitment(history),
        tasks::no_offer_twice(history),
        books::quota(history),
        tasks::updates_in_order(history),
        tasks::none_is_killed(history),
        tasks::all_live_without_masters(history),
        joined(registers::no_read_goes_back(history), kept::no_read_goes_back(history)),
        fencing::fencing(history),
        expectations(history),
        all_came(history),
    ]
}

/// One verdict on two things of which the same is claimed: both must have been looked at.
fn joined(one: Verdict, other: Verdict) -> Verdict {
    let counted = format!("{}; {}", one.counted, other.counted);
    let cases = one.cases.min(other.cases);
    let violations = one.violations.into_iter().chain(other.violations).collect();
    Verdict { counted, cases, violations, ..one }
}

/// Whether all faults came that the run was to have.
fn all_came(history: &[Entry]) -> Verdict {
    let (mut came, mut asked) = (BTreeMap::new(), Vec::new());
    for entry in history {
        match &entry.fact {
            Fact::Asked { faults } => asked.extend(faults),
            Fact::Fault { row, name, .. } => *came.entry(format!("{row} {name}")).or_insert(0) += 1,
            _ => {}
        }
    }
    let missing = asked.iter().filter(|name| !came.contains_key(name.as_str()));
    let violations: Vec<String> = missing.map(|name| format!("{name}: it never came")).collect();
    let count: usize = came.values().sum();
    Verdict {
        id: "rows",
        claim: "every fault that the run was to have came",
        counted: format!(
            "{count} faults of {} kinds; {} of {} that were to come",
            came.len(),
            asked.len() - violations.len(),
            asked.len()
        ),
        cases: asked.len(),
        violations,
    }
}

/// What single faults must lead to.
fn expectations(history: &[Entry]) -> Verdict {
    let (mut cases, mut violations) = (0, Vec::new());
    for entry in history {
        match &entry.fact {
            Fact::Expect { id, what, ok } => {
                cases += 1;
                if !ok {
                    violations.push(format!("fault {id}: {what}: no"));
                }
            }
            Fact::Whole { .. } => cases += 1,
            _ => {}
        }
    }
    Verdict {
        id: "I16",
        claim: "after each fault all masters, agents and frameworks are in order again",
        counted: format!("{cases} recoveries and expectations"),
        cases,
        violations,
    }
}

/// "3,412", for people.
pub(crate) fn number(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
