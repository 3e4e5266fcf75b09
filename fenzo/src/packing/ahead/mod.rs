//! Looking ahead: all tasks of a batch are packed at once, onto few hosts, instead of one after the other.
//!
//! It is an option, because it costs time and because a task may then be where it is for the sake of others. A
//! plan is made from sums of room alone and then carried out under all rules, task by task; where a rule
//! forbids the plan's host, the task goes where it would have gone without a plan. What comes of it is taken
//! only if it is better than placing in turn.

pub(crate) mod bound;
pub(crate) mod plan;

#[cfg(test)]
mod tests;

/// How the tasks of a batch are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Packing {
    /// Each in its turn, by fitness alone.
    #[default]
    InTurn,
    /// All at once: largest first, in balance with what a host has, with exchanges between hosts and queue, as
    /// long as there is work to spend. Never places fewer tasks than in turn, nor as many on more hosts. It is
    /// for [`schedule_once`], and does without where room is kept for the head of the queue.
    ///
    /// [`schedule_once`]: crate::TaskScheduler::schedule_once
    LookAhead {
        /// How many comparisons of a task with a host the plan may cost; a million is some 10 ms. A plan for
        /// 10,000 different tasks takes some 50 million, and up to three are made.
        work: u64,
    },
}

/// What looking ahead came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackingReport {
    /// No packing could have the placed tasks on fewer hosts: the greatest of the linear relaxation, for the
    /// best weights of the dimensions that were found, and the number of tasks of which no two fit on a host.
    pub lower_bound: u32,
    /// The hosts that got tasks.
    pub hosts: u32,
    /// The hosts that would have got tasks, each in its turn.
    pub in_turn: u32,
    /// How much of the permitted work was spent.
    pub work: u64,
}

/// Hosts that have the same left, by dimension.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) free: Box<[u64]>,
    /// By ordinal, in order of name.
    pub(crate) hosts: Vec<usize>,
}
