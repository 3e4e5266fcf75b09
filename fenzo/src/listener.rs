//! Listeners: who wants to be told while a run is going on.
//!
//! The result of a run says all of it; a listener is for whoever does not see results. It decides nothing, and
//! one that panics is told nothing more of that event: the run and the other listeners go on.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::id::HostId;
use crate::quantity::Time;
use crate::result::{PlacedTask, SchedulingResult};

/// What listeners are told.
#[derive(Clone, Copy, Debug)]
pub enum SchedulingEvent<'a> {
    /// A run begins, at this time.
    Started(Time),
    /// A task was placed: told once the run is over, host by host.
    Placed {
        /// The host.
        host: &'a HostId,
        /// The task.
        task: &'a PlacedTask,
    },
    /// A run has ended, with this result.
    Finished(&'a SchedulingResult),
}

type Listener = dyn FnMut(&SchedulingEvent<'_>) + Send + Sync;

/// All listeners, in the order in which they came.
#[derive(Default)]
pub(crate) struct Listeners(Vec<Box<Listener>>);

impl Listeners {
    pub(crate) fn add(&mut self, listener: Box<Listener>) {
        self.0.push(listener);
    }

    pub(crate) fn started(&mut self, now: Time) {
        self.tell(&SchedulingEvent::Started(now));
    }

    pub(crate) fn finished(&mut self, result: &SchedulingResult) {
        if self.0.is_empty() {
            return;
        }
        for assignment in &result.assignments {
            for task in &assignment.tasks {
                self.tell(&SchedulingEvent::Placed { host: &assignment.host, task });
            }
        }
        self.tell(&SchedulingEvent::Finished(result));
    }

    fn tell(&mut self, event: &SchedulingEvent<'_>) {
        for listener in &mut self.0 {
            // What a listener leaves half done is its own.
            let told = catch_unwind(AssertUnwindSafe(|| listener(event)));
            drop(told);
        }
    }
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} listeners", self.0.len())
    }
}
