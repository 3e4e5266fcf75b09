//! What is to be placed: tasks, which come in classes of identical ones.
//!
//! A job's thousand tasks differ in nothing but their id, so all the rest is one shared [`TaskClass`]: it
//! makes requests small, and lets the scheduler think once for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::constraint::{Constraint, SoftConstraint};
use crate::device::DeviceRequest;
use crate::id::{DeviceKind, GroupName, TaskId};
use crate::quantity::Milli;
use crate::resources::{Resource, Resources};

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
    /// Other names that tasks are known by, beside those of other groups: an image, a security group, a data
    /// set. Constraints that name a key look at all tasks that have it.
    pub keys: BTreeSet<GroupName>,
    /// The quantities a task takes, at least.
    pub demand: Resources,
    /// For a task that can use more than it demands: the most it can use, by resource. See
    /// [`TaskClass::with_most`].
    pub most: BTreeMap<Resource, Milli>,
    /// How many ports a task takes.
    pub ports: u32,
    /// What a task takes of the named sets of its host, by the set's name.
    pub sets: BTreeMap<String, SetRequest>,
    /// What a task takes of the devices of its host, by their kind.
    pub devices: BTreeMap<DeviceKind, DeviceRequest>,
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
            keys: BTreeSet::new(),
            demand,
            most: BTreeMap::new(),
            ports: 0,
            sets: BTreeMap::new(),
            devices: BTreeMap::new(),
            hard: Vec::new(),
            soft: Vec::new(),
        }
    }

    /// The same with one more name that its tasks are known by.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<GroupName>) -> Self {
        self.keys.insert(key.into());
        self
    }

    /// The same for tasks that can use up to `most` of a quantity or scalar.
    ///
    /// Such a task is placed where there is room for what it demands. When all tasks have had their turn, what
    /// is left on its host is dealt out: the tasks there that can use more grow evenly, each up to its most,
    /// and none beyond the limit of its group. The assignment says how much it became. Ports do not grow.
    #[must_use]
    pub fn with_most(mut self, resource: Resource, most: Milli) -> Self {
        self.most.insert(resource, most);
        self
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

    /// The same with a request for devices of a kind.
    #[must_use]
    pub fn with_devices(mut self, kind: impl Into<DeviceKind>, request: DeviceRequest) -> Self {
        self.devices.insert(kind.into(), request);
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
    /// How long it is expected to run at most, if that is known. It decides only whether the task may use what
    /// is kept for the head of the queue.
    pub run_time: Option<Duration>,
}

impl TaskRequest {
    /// The task `id` of `class`.
    pub fn new(id: impl Into<TaskId>, class: &Arc<TaskClass>) -> Self {
        Self { id: id.into(), class: Arc::clone(class), run_time: None }
    }

    /// The same with an estimate of how long it runs.
    #[must_use]
    pub fn with_run_time(mut self, run_time: Duration) -> Self {
        self.run_time = Some(run_time);
        self
    }
}
