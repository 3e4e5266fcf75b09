//! Which member of a named set a task gets: the fuller one of its value by the built-in rule, or what a closure
//! says.
//!
//! A closure is a plugin: it may panic or say not-a-number, which concerns the member it was asked about and
//! nothing else.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::constraint::unit;
use crate::id::HostId;

/// A member that could serve a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetMember<'a> {
    /// The host.
    pub host: &'a HostId,
    /// The set.
    pub set: &'a str,
    /// Which member, counted from 0.
    pub member: u32,
    /// The value that the task asks for; `None` if it asks for none.
    pub value: Option<&'a str>,
    /// How much it asks for.
    pub amount: u32,
    /// How much others use of the member, which is bound to the task's value then; `None` if nobody uses it.
    pub used: Option<u32>,
    /// How much the member has.
    pub each: u32,
}

/// A closure that judges members: see [`TaskSchedulerBuilder::set_fitness`].
///
/// [`TaskSchedulerBuilder::set_fitness`]: crate::TaskSchedulerBuilder::set_fitness
#[derive(Clone)]
pub(crate) struct SetFitness(Arc<Judge>);

type Judge = dyn Fn(&SetMember<'_>) -> f64 + Send + Sync;

impl SetFitness {
    pub(crate) fn new(judge: impl Fn(&SetMember<'_>) -> f64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(judge))
    }

    /// From 0, which refuses the member, to 1.
    pub(crate) fn of(&self, member: &SetMember<'_>) -> f64 {
        // A panic leaves nothing half done: plugins get shared references only.
        unit(catch_unwind(AssertUnwindSafe(|| (self.0)(member))).unwrap_or(0.0))
    }
}

impl fmt::Debug for SetFitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SetFitness")
    }
}
