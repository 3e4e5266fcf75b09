//! What must be true of a history. Each check reads the whole history and gives a verdict; none
//! knows how the history came to be, so that each can be shown one with a violation in it.

mod books;
mod registers;
mod tasks;
#[cfg(test)]
mod tests;

use crate::history::{Entry, Fact};

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
        registers::no_write_is_lost(history),
        tasks::each_ends_once(history),
        tasks::one_instance(history),
        books::no_overcommitment(history),
        tasks::no_offer_twice(history),
        books::quota(history),
        tasks::updates_in_order(history),
        tasks::none_is_killed(history),
        tasks::all_live_without_masters(history),
        registers::no_read_goes_back(history),
        books::fencing(history),
        expectations(history),
    ]
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
