//! Tasks that run together or not at all.

use std::fmt;

use crate::request::TaskRequest;
use crate::topology::Level;

/// Tasks of which at least so many are placed in one run, or none.
///
/// Those beyond the least number are placed if there is room and fail by themselves if there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gang {
    /// The tasks, in the order in which they are tried; as many as there may be.
    pub tasks: Vec<TaskRequest>,
    /// How many of them are worth running; 0 counts as 1, and more than there are can never be placed, whatever
    /// room there is.
    pub min: usize,
    /// All of them go to one place of this level: one rack, say.
    pub within: Option<Level>,
    /// They go to one place of the first of these levels where one has room for all; else wherever `within`
    /// permits. Levels go from narrow to wide.
    pub preferred: Vec<Level>,
}

impl Gang {
    /// All of the tasks or none.
    #[must_use]
    pub fn all(tasks: Vec<TaskRequest>) -> Self {
        let min = tasks.len();
        Self::at_least(min, tasks)
    }

    /// At least `min` of the tasks, or none.
    #[must_use]
    pub fn at_least(min: usize, tasks: Vec<TaskRequest>) -> Self {
        Self { tasks, min, within: None, preferred: Vec::new() }
    }

    /// The same at one place of a level, or not at all.
    ///
    /// Of the places that have room for all, it gets the one with the least; if there is none, the one that has
    /// room for most of them.
    #[must_use]
    pub fn within(mut self, level: Level) -> Self {
        self.within = Some(level);
        self
    }

    /// The same at one place of a level, if there is one with room for all; else as it would be without.
    #[must_use]
    pub fn preferring(mut self, level: Level) -> Self {
        self.preferred.push(level);
        self
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
