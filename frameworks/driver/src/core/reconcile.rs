//! Reconciliation: which tasks still owe an answer on this connection, and when to ask again.
//!
//! Explicit questions are repeated with back-off until each is answered; all tasks are asked for
//! now and then, so that strays come to light.

use super::options::Options;
use super::random::{Random, doubled};
use proto::{TaskId, Time};
use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub(crate) struct Reconciler {
    unanswered: BTreeSet<TaskId>,
    rounds: u32,
    next: Option<Time>,
    next_all: Option<Time>,
}

impl Reconciler {
    /// A new subscription: everything is asked for anew.
    pub(crate) fn restart(&mut self, now: Time, tasks: impl Iterator<Item = TaskId>) {
        self.unanswered = tasks.collect();
        self.rounds = 0;
        self.next = (!self.unanswered.is_empty()).then_some(now);
        self.next_all = Some(now);
    }

    /// Nothing can be asked any more.
    pub(crate) fn stop(&mut self) {
        self.unanswered.clear();
        self.next = None;
        self.next_all = None;
    }

    /// Asks for one task as soon as may be.
    pub(crate) fn ask(&mut self, now: Time, task: TaskId) {
        self.unanswered.insert(task);
        self.rounds = 0;
        self.next = Some(now);
    }

    pub(crate) fn answered(&mut self, task: &TaskId) {
        if self.unanswered.remove(task) && self.unanswered.is_empty() {
            self.next = None;
            self.rounds = 0;
        }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        [self.next, self.next_all].into_iter().flatten().min()
    }

    /// The tasks to ask for now; empty when none.
    pub(crate) fn due(&mut self, now: Time, options: &Options, random: &mut Random) -> Vec<TaskId> {
        if self.next.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let wait = doubled(options.reconcile_first, self.rounds, options.reconcile_most);
        self.rounds = self.rounds.saturating_add(1);
        self.next = Some(now + random.jitter(wait));
        self.unanswered.iter().cloned().collect()
    }

    /// Whether all tasks are to be asked for now.
    pub(crate) fn all_due(&mut self, now: Time, options: &Options) -> bool {
        let due = self.next_all.is_some_and(|next| next <= now);
        if due {
            self.next_all = Some(now + options.reconcile_all);
        }
        due
    }

    pub(crate) fn unanswered(&self) -> &BTreeSet<TaskId> {
        &self.unanswered
    }
}
