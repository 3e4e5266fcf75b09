//! The tasks that run, by ordinal and by id.
//!
//! An ordinal belongs to a task from when it is noted until it has ended, and is then given to another.

use std::sync::Arc;

use crate::device::DeviceUse;
use crate::id::TaskId;
use crate::request::TaskClass;
use crate::result::SetUse;

use super::directory::Directory;

/// A task that runs on a host.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) class: Arc<TaskClass>,
    /// Its ports, as far as they are known.
    pub(crate) ports: Vec<u16>,
    /// What it uses of named sets, as far as it is known.
    pub(crate) sets: Vec<SetUse>,
    /// What it uses of devices, as far as it is known.
    pub(crate) devices: Vec<DeviceUse>,
}

impl Running {
    /// One of which nothing but its class is known.
    pub(crate) fn new(class: &Arc<TaskClass>) -> Self {
        let class = Arc::clone(class);
        Self { class, ports: Vec::new(), sets: Vec::new(), devices: Vec::new() }
    }
}

/// A running task with its place.
#[derive(Clone, Debug)]
pub(crate) struct Noted {
    pub(crate) id: TaskId,
    pub(crate) running: Running,
    pub(crate) host: usize,
    pub(crate) group: usize,
    /// Where it stands among those of its host.
    pub(crate) position: usize,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    slots: Vec<Option<Noted>>,
    vacant: Vec<usize>,
    directory: Directory,
}

impl Tasks {
    /// The ordinal of a running task.
    pub(crate) fn find(&self, id: &TaskId) -> Option<usize> {
        self.directory.find(id.as_str(), |task| self.get(task).id.as_str())
    }

    /// A task by its ordinal.
    pub(crate) fn get(&self, task: usize) -> &Noted {
        self.slots[task].as_ref().expect("an ordinal is used as long as its task runs")
    }

    /// Tells where a task stands among those of its host from now on.
    pub(crate) fn set_position(&mut self, task: usize, position: usize) {
        let noted = self.slots[task].as_mut();
        noted.expect("an ordinal is used as long as its task runs").position = position;
    }

    /// Notes a task whose id is not noted; gives its ordinal.
    pub(crate) fn add(&mut self, noted: Noted) -> usize {
        let ordinal = self.vacant.pop().unwrap_or(self.slots.len());
        let slots = &self.slots;
        let text_of = |task: usize| slots[task].as_ref().map_or("", |noted| noted.id.as_str());
        self.directory.insert(noted.id.as_str(), ordinal, text_of);
        match self.slots.get_mut(ordinal) {
            Some(slot) => *slot = Some(noted),
            None => self.slots.push(Some(noted)),
        }
        ordinal
    }

    /// Forgets a task.
    pub(crate) fn remove(&mut self, task: usize) -> Noted {
        let noted = self.slots[task].take();
        let noted = noted.expect("an ordinal is used as long as its task runs");
        self.vacant.push(task);
        self.directory.remove(noted.id.as_str(), task);
        noted
    }
}
