//! What is to be placed: tasks, which come in classes of identical ones.
//!
//! A job's thousand tasks differ in nothing but their id, so all the rest is one shared [`TaskClass`]: it
//! makes requests small, and lets the scheduler think once for all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::constraint::{Constraint, SoftConstraint};
use crate::id::{GroupName, TaskId};
use crate::resources::Resources;

/// What a task takes of a named set: so much of one member, which serves this value only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SetRequest {
    /// The value that the member is bound to as long as tasks use it.
    pub value: String,
    /// How much of the member; 0 shares it however full it is.
    pub amount: u32,
}

/// Everything about a task but its id.
///
/// Classes are compared by value, so sharing one `Arc` among identical tasks is no duty; it saves the
/// comparison.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskClass {
    /// The group whose members are co-tasks of each other.
    pub group: GroupName,
    /// The quantities a task takes.
    pub demand: Resources,
    /// How many ports a task takes.
    pub ports: u32,
    /// What a task takes of the named sets of its host, by the set's name.
    pub sets: BTreeMap<String, SetRequest>,
    /// What a host must satisfy, all of it.
    pub hard: Vec<Constraint>,
    /// What a host should satisfy.
    pub soft: Vec<SoftConstraint>,
}

impl TaskClass {
    /// Tasks of `group` that demand these quantities, no ports, and any host.
    pub fn new(group: impl Into<GroupName>, demand: Resources) -> Self {
        Self {
            group: group.into(),
            demand,
            ports: 0,
            sets: BTreeMap::new(),
            hard: Vec::new(),
            soft: Vec::new(),
        }
    }

    /// The same with this many ports a task.
    #[must_use]
    pub fn with_ports(mut self, ports: u32) -> Self {
        self.ports = ports;
        self
    }

    /// The same with a request of `amount` in a member of a set that is bound to `value`.
    #[must_use]
    pub fn with_set(
        mut self,
        set: impl Into<String>,
        value: impl Into<String>,
        amount: u32,
    ) -> Self {
        self.sets.insert(set.into(), SetRequest { value: value.into(), amount });
        self
    }

    /// The same with one more hard constraint.
    #[must_use]
    pub fn with_hard(mut self, constraint: Constraint) -> Self {
        self.hard.push(constraint);
        self
    }

    /// The same with one more soft constraint.
    #[must_use]
    pub fn with_soft(mut self, constraint: SoftConstraint) -> Self {
        self.soft.push(constraint);
        self
    }
}

/// One task to place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRequest {
    /// Its id.
    pub id: TaskId,
    /// All the rest.
    pub class: Arc<TaskClass>,
}

impl TaskRequest {
    /// The task `id` of `class`.
    pub fn new(id: impl Into<TaskId>, class: &Arc<TaskClass>) -> Self {
        Self { id: id.into(), class: Arc::clone(class) }
    }
}
