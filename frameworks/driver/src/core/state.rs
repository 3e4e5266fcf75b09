//! Questions and writes about what the masters keep for the framework, until they are answered.
//!
//! Whatever waits when a connection breaks is asked again on the next one. A write whose answer was
//! lost may have been made: the masters know it by its own name, and say so. It knows nothing of
//! what the keys mean.

use proto::scheduler::{StateAnswer, StateAsk, StateCall, StateOutcome};
use std::collections::BTreeMap;

/// All that waits for an answer.
#[derive(Debug, Default)]
pub(crate) struct StateCalls {
    next: u64,
    pending: BTreeMap<u64, Pending>,
}

#[derive(Debug)]
struct Pending {
    /// The owner's number.
    request: u64,
    ask: StateAsk,
    /// On how many connections it was said.
    said: u32,
}

/// What follows from an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Follows {
    /// It was to nothing that is still asked.
    Nothing,
    /// The owner's answer.
    Tell {
        /// The owner's number.
        request: u64,
        /// What became of it.
        outcome: StateOutcome,
    },
}

impl Pending {
    fn call(&self, number: u64) -> StateCall {
        StateCall { number, ask: self.ask.clone() }
    }
}

impl StateCalls {
    /// Takes a request on. What it gives is to be said if there is a connection.
    pub(crate) fn ask(&mut self, request: u64, ask: StateAsk, open: bool) -> Option<StateCall> {
        self.next += 1;
        let pending = Pending { request, ask, said: u32::from(open) };
        let call = open.then(|| pending.call(self.next));
        self.pending.insert(self.next, pending);
        call
    }

    /// All that waits, to be said on a new connection in the order in which it was asked.
    pub(crate) fn again(&mut self) -> Vec<StateCall> {
        let pending = self.pending.iter_mut();
        let again = pending.map(|(number, pending)| {
            pending.said = pending.said.saturating_add(1);
            pending.call(*number)
        });
        again.collect()
    }

    pub(crate) fn answered(&mut self, answer: StateAnswer) -> Follows {
        let StateAnswer { number, outcome } = answer;
        let Some(pending) = self.pending.remove(&number) else { return Follows::Nothing };
        let outcome = match (&pending.ask, outcome) {
            // Gone is what was wanted, whoever made it so.
            (StateAsk::Delete { .. }, StateOutcome::Conflict { key, version: 0 })
                if pending.said > 1 =>
            {
                StateOutcome::Done { key, version: 0 }
            }
            (_, outcome) => outcome,
        };
        Follows::Tell { request: pending.request, outcome }
    }
}

#[cfg(test)]
mod tests;
