//! Questions and writes about what the masters keep for the framework, until they are answered.
//!
//! Whatever waits when a connection breaks is asked again on the next one. A write whose answer was
//! lost may have been made: then the version has moved on, and what is there tells whether it was.
//! It knows nothing of what the keys mean.

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
    /// Whether it is being looked up what became of a write.
    looks: bool,
}

/// What follows from an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Follows {
    /// It was to nothing that is still asked.
    Nothing,
    /// Another question.
    Send(StateCall),
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
        let ask = match &self.ask {
            StateAsk::Put { key, .. } if self.looks => StateAsk::Get { key: key.clone() },
            StateAsk::Put { .. }
            | StateAsk::Delete { .. }
            | StateAsk::Get { .. }
            | StateAsk::List { .. } => self.ask.clone(),
        };
        StateCall { number, ask }
    }
}

impl StateCalls {
    /// Takes a request on. What it gives is to be said if there is a connection.
    pub(crate) fn ask(&mut self, request: u64, ask: StateAsk, open: bool) -> Option<StateCall> {
        self.next += 1;
        let pending = Pending { request, ask, said: u32::from(open), looks: false };
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
        let Some(mut pending) = self.pending.remove(&number) else { return Follows::Nothing };
        let outcome = match (&pending.ask, outcome) {
            // It may be our own write that moved the version on.
            (StateAsk::Put { .. }, StateOutcome::Conflict { .. })
                if pending.said > 1 && !pending.looks =>
            {
                pending.looks = true;
                let call = pending.call(number);
                self.pending.insert(number, pending);
                return Follows::Send(call);
            }
            (StateAsk::Put { key, value, .. }, StateOutcome::Found(entries)) if pending.looks => {
                let there = entries.into_iter().next();
                let version = there.as_ref().map_or(0, |entry| entry.version);
                let key = key.clone();
                match there.is_some_and(|entry| entry.value == *value) {
                    true => StateOutcome::Done { key, version },
                    false => StateOutcome::Conflict { key, version },
                }
            }
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
