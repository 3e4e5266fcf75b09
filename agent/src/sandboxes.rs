//! Where the files of each task are: shared between the server, which learns it, and the file
//! endpoints, which read it.
//!
//! A task that left nothing behind has no directory; it is remembered for a while as empty, so
//! that its (empty) output can still be asked for.

use proto::{ContainerId, FrameworkId, TaskId};
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::Instant;

/// The files with what a task prints.
pub(crate) const LOGS: [&str; 2] = ["stdout", "stderr"];
/// Ended tasks without files that are remembered.
const EMPTY_MAX: usize = 10_000;
/// Tasks of one custom executor whose files can be asked for by their own names.
const EMPLOYED_MAX: usize = 200;

/// What is known of a container's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its directory; absent before the launch, and when nothing was left behind.
    pub(crate) path: Option<PathBuf>,
    /// Whether more may be written.
    pub(crate) running: bool,
}

#[derive(Debug, Default)]
struct Index {
    places: HashMap<ContainerId, (Place, (FrameworkId, TaskId))>,
    /// The newest container of each task.
    latest: HashMap<(FrameworkId, TaskId), ContainerId>,
    /// Ended and empty, oldest first.
    empty: VecDeque<ContainerId>,
    /// The tasks of custom executors by their containers, oldest first: their files are those of
    /// their executor.
    employed: HashMap<ContainerId, VecDeque<TaskId>>,
}

/// The places of all containers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sandboxes {
    index: Arc<Mutex<Index>>,
    /// Wakes whoever waits for a container to begin or to end.
    changes: Arc<Notify>,
}

impl Sandboxes {
    fn lock(&self) -> MutexGuard<'_, Index> {
        // Nothing in here panics half way.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `look` sees something, which it is asked at once and after each change; none
    /// when the time is over.
    pub(crate) async fn wait_until<T>(
        &self,
        time: Instant,
        mut look: impl FnMut(&Self) -> Option<T>,
    ) -> Option<T> {
        loop {
            // Before the look: a change right after it is not missed.
            let change = self.changes.notified();
            tokio::pin!(change);
            change.as_mut().enable();
            if let Some(seen) = look(self) {
                return Some(seen);
            }
            tokio::time::timeout_at(time, change).await.ok()?;
        }
    }

    /// A container of a task, newer than all others of it.
    pub(crate) fn insert(
        &self,
        container_id: &ContainerId,
        task: (FrameworkId, TaskId),
        place: Place,
    ) {
        let mut index = self.lock();
        index.latest.insert(task.clone(), container_id.clone());
        index.places.insert(container_id.clone(), (place, task));
        drop(index);
        self.changes.notify_waiters();
    }

    /// A task is run in a container that is known as that of its executor.
    pub(crate) fn employed(&self, container_id: &ContainerId, task_id: &TaskId) {
        let mut index = self.lock();
        let Some((_, (framework_id, own))) = index.places.get(container_id) else { return };
        if own == task_id {
            return;
        }
        let task = (framework_id.clone(), task_id.clone());
        let framework_id = framework_id.clone();
        let known = index.latest.insert(task, container_id.clone());
        if known.as_ref() == Some(container_id) {
            return;
        }
        let tasks = index.employed.entry(container_id.clone()).or_default();
        tasks.push_back(task_id.clone());
        let oldest = if tasks.len() > EMPLOYED_MAX { tasks.pop_front() } else { None };
        if let Some(oldest) = oldest {
            index.forget_task(&(framework_id, oldest), container_id);
        }
        drop(index);
        self.changes.notify_waiters();
    }

    /// It runs, and its files are there.
    pub(crate) fn launched(&self, container_id: &ContainerId, path: PathBuf) {
        if let Some((place, _)) = self.lock().places.get_mut(container_id) {
            place.path = Some(path);
        }
        self.changes.notify_waiters();
    }

    /// It ended; its files stay at `path`, or there are none.
    pub(crate) fn ended(&self, container_id: &ContainerId, path: Option<PathBuf>) {
        let mut index = self.lock();
        let Some((place, _)) = index.places.get_mut(container_id) else { return };
        place.running = false;
        place.path = path;
        if place.path.is_none() {
            index.empty.push_back(container_id.clone());
            while index.empty.len() > EMPTY_MAX {
                if let Some(oldest) = index.empty.pop_front() {
                    index.forget(&oldest);
                }
            }
        }
        drop(index);
        self.changes.notify_waiters();
    }

    /// Its files are gone.
    pub(crate) fn removed(&self, container_id: &ContainerId) {
        self.lock().forget(container_id);
    }

    /// The place of a container.
    pub(crate) fn of_container(&self, container_id: &str) -> Option<Place> {
        let id = ContainerId::new(container_id).ok()?;
        self.lock().places.get(&id).map(|(place, _)| place.clone())
    }

    /// The newest container of a task.
    pub(crate) fn latest(&self, framework: &str, task: &str) -> Option<ContainerId> {
        let task = (FrameworkId::new(framework).ok()?, TaskId::new(task).ok()?);
        self.lock().latest.get(&task).cloned()
    }
}

impl Index {
    fn forget(&mut self, container_id: &ContainerId) {
        let Some((_, task)) = self.places.remove(container_id) else { return };
        for employed in self.employed.remove(container_id).into_iter().flatten() {
            self.forget_task(&(task.0.clone(), employed), container_id);
        }
        self.forget_task(&task, container_id);
    }

    fn forget_task(&mut self, task: &(FrameworkId, TaskId), container_id: &ContainerId) {
        if self.latest.get(task) == Some(container_id) {
            self.latest.remove(task);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(name: &str) -> (FrameworkId, TaskId) {
        (FrameworkId::new("F").unwrap(), TaskId::new(name).unwrap())
    }

    fn id(name: &str) -> ContainerId {
        ContainerId::new(name).unwrap()
    }

    #[test]
    fn a_container_is_found_by_itself_and_as_the_latest_of_its_task() {
        let all = Sandboxes::default();
        let starting = Place { path: None, running: true };
        all.insert(&id("c1"), task("t"), starting.clone());
        all.insert(&id("c2"), task("t"), starting);
        all.launched(&id("c2"), "/s/2".into());
        assert_eq!(all.latest("F", "t"), Some(id("c2")));
        let place = Place { path: Some("/s/2".into()), running: true };
        assert_eq!(all.of_container("c2"), Some(place));
        all.ended(&id("c2"), Some("/s/2".into()));
        assert!(!all.of_container("c2").unwrap().running);
        all.removed(&id("c2"));
        assert_eq!((all.of_container("c2"), all.latest("F", "t")), (None, None));
        assert!(all.of_container("c1").is_some());
    }

    #[test]
    fn tasks_of_an_executor_have_its_files_up_to_a_limit() {
        let all = Sandboxes::default();
        let name = |n: usize| TaskId::new(format!("t{n}")).unwrap();
        all.employed(&id("c"), &name(0));
        assert_eq!(all.latest("F", "t0"), None, "its executor is not known");
        all.insert(&id("c"), task("e"), Place { path: None, running: true });
        for n in 0..=EMPLOYED_MAX {
            all.employed(&id("c"), &name(n));
            all.employed(&id("c"), &name(n));
        }
        all.employed(&id("c"), &TaskId::new("e").unwrap());
        assert_eq!(all.latest("F", "t0"), None);
        assert_eq!(all.latest("F", "t1"), Some(id("c")));
        assert_eq!(all.latest("F", "e"), Some(id("c")));
        // One that ran again elsewhere stays.
        all.insert(&id("d"), task("t2"), Place { path: None, running: true });
        all.removed(&id("c"));
        assert_eq!((all.latest("F", "t1"), all.latest("F", "e")), (None, None));
        assert_eq!(all.latest("F", "t2"), Some(id("d")));
        assert!(all.lock().employed.is_empty());
    }

    #[test]
    fn empty_ones_are_remembered_up_to_a_limit() {
        let all = Sandboxes::default();
        for n in 0..EMPTY_MAX + 5 {
            let container = id(&format!("c{n}"));
            all.insert(&container, task(&format!("t{n}")), Place { path: None, running: true });
            all.ended(&container, None);
        }
        assert_eq!(all.lock().places.len(), EMPTY_MAX);
        assert_eq!(all.lock().latest.len(), EMPTY_MAX);
        assert_eq!(all.of_container("c4"), None);
    }
}
