//! Tasks that run together or not at all.

use std::fmt;

use crate::request::TaskRequest;

/// Tasks of which at least so many are placed in one run, or none.
///
/// Those beyond the least number are placed if there is room and fail by themselves if there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gang {
    /// The tasks, in the order in which they are tried; as many as there may be.
    pub tasks: Vec<TaskRequest>,
    /// How many of them are worth running; 0 counts as 1, and more than there are can never be placed.
    pub min: usize,
}

impl Gang {
    /// All of the tasks or none.
    #[must_use]
    pub fn all(tasks: Vec<TaskRequest>) -> Self {
        let min = tasks.len();
        Self { tasks, min }
    }

    /// At least `min` of the tasks, or none.
    #[must_use]
    pub fn at_least(min: usize, tasks: Vec<TaskRequest>) -> Self {
        Self { tasks, min }
    }
}

/// How far a gang came before it was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GangMiss {
    /// How many of its tasks found a host.
    pub placed: usize,
    /// How many would have had to.
    pub min: usize,
}

impl fmt::Display for GangMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of at least {} tasks of the gang found a host", self.placed, self.min)
    }
}
