//! What Fenzo lacks: laws and scenarios of reservations, elastic requests, topology and preemption.

mod around;
mod backfill;
mod elastic;
mod preempt;
mod topology;
mod trigger;
mod why;

use std::sync::Arc;

use fenzo::{Lease, Resources, TaskClass, TaskRequest};

/// A lease of `host` with whole cpus, and plenty of memory.
pub(crate) fn lease(id: &str, host: &str, cpus: u64) -> Lease {
    Lease::new(id, host, Resources::cpus_mem(cpus, 1000))
}

/// A class of group `group` with whole cpus.
pub(crate) fn class(group: &str, cpus: u64) -> TaskClass {
    TaskClass::new(group, Resources::cpus_mem(cpus, 1))
}

/// Tasks `name0`, `name1` ... of a class.
pub(crate) fn tasks(name: &str, count: usize, class: TaskClass) -> Vec<TaskRequest> {
    let class = Arc::new(class);
    (0..count).map(|task| TaskRequest::new(format!("{name}{task}"), &class)).collect()
}
