//! Those who watch: numbered events, a bounded history so that a stream that was cut can go on, and
//! a bounded outbox for each watcher.
//!
//! An event is what a change did to the copy. It is kept as the row that changed and put into words
//! only when it is sent. It must never wait for a watcher.

use super::model::{AgentRow, FrameworkRow, Model};
use super::views;
use super::weight::weight;
use crate::connections::{Outbox, Sent, Weigh};
use master_core::Change;
use master_core::publish::{AgentRecord, FrameworkRecord, TaskRecord};
use proto::operator::{CutOff, Event, Resume, StreamEvent};
use proto::{AgentId, FrameworkId, TaskState, TaskStatus};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Events that a stream may be behind and still go on.
const HISTORY: usize = 16_384;
/// Watchers at a time; one more, and the oldest has to go.
const WATCHERS: usize = 1000;
/// About how many bytes of memory the events of the history may hold.
const HISTORY_BYTES: usize = 16 << 20;
/// Why a stream was cut off that has more waiting than may wait.
const SLOW: &str =
    "this stream was read too slowly: subscribe again, after the last number that was read";

/// What happened.
#[derive(Clone, Debug)]
pub(super) enum What {
    TaskAdded(Arc<TaskRecord>),
    TaskUpdated { framework_id: FrameworkId, status: Arc<TaskStatus>, state: TaskState },
    AgentAdded(AgentRow),
    AgentUpdated(AgentRow),
    AgentRemoved(AgentId),
    FrameworkAdded(FrameworkRow),
    FrameworkUpdated(FrameworkRow),
    FrameworkRemoved(Arc<FrameworkRecord>),
    CutOff(CutOff, &'static str),
}

/// An event with its number; a stream's last word has none.
#[derive(Clone, Debug)]
pub(crate) struct Happened {
    sequence: Option<u64>,
    weight: usize,
    what: What,
}

impl Weigh for Arc<Happened> {
    fn weight(&self) -> usize {
        self.weight
    }
}

impl Happened {
    fn new(sequence: Option<u64>, what: What) -> Arc<Self> {
        let weight = weight(&what);
        Arc::new(Self { sequence, weight, what })
    }

    /// In words.
    pub(crate) fn event(&self) -> StreamEvent {
        let none = Default::default();
        let event = match &self.what {
            What::TaskAdded(task) => Event::TaskAdded(views::task(task)),
            What::TaskUpdated { framework_id, status, state } => Event::TaskUpdated {
                framework_id: framework_id.clone(),
                status: Box::new(TaskStatus::clone(status)),
                state: *state,
            },
            What::AgentAdded(row) => Event::AgentAdded(views::agent(row)),
            What::AgentUpdated(row) => Event::AgentUpdated(views::agent(row)),
            What::AgentRemoved(id) => Event::AgentRemoved(id.clone()),
            What::FrameworkAdded(row) => {
                Event::FrameworkAdded(views::framework(&Model::default(), row, &none))
            }
            What::FrameworkUpdated(row) => {
                Event::FrameworkUpdated(views::framework(&Model::default(), row, &none))
            }
            What::FrameworkRemoved(record) => {
                Event::FrameworkRemoved(proto::FrameworkInfo::clone(&record.info))
            }
            What::CutOff(reason, message) => {
                Event::CutOff { reason: *reason, message: Arc::from(*message) }
            }
        };
        StreamEvent { sequence: self.sequence, event }
    }
}

/// What `change`, which is about to be applied, does to `model`; nothing that watchers are told of
/// for most changes of a load.
pub(super) fn before(model: &Model, change: &Change) -> Option<Watched> {
    let task = |id: &FrameworkId, task| model.tasks.get(&(id.clone(), task));
    Some(match change {
        Change::Agent(record) => {
            let was = model.agents.get(&record.id).is_some_and(|row| row.record.is_registered());
            match (was, record.is_registered()) {
                (false, true) => Watched::AgentAdded(record.clone()),
                (true, true) => Watched::AgentUpdated(record.clone()),
                (true, false) => Watched::Ready(What::AgentRemoved(record.id.clone())),
                (false, false) => return None,
            }
        }
        Change::AgentRemoved(id) => {
            model.agents.get(id).filter(|row| row.record.is_registered())?;
            Watched::Ready(What::AgentRemoved(id.clone()))
        }
        Change::Framework(record) => {
            let row = |demands| FrameworkRow { record: record.clone(), demands };
            Watched::Ready(match model.frameworks.get(&record.id) {
                None => What::FrameworkAdded(row(Arc::default())),
                Some(old) => What::FrameworkUpdated(row(Arc::clone(&old.demands))),
            })
        }
        Change::FrameworkEnded { framework_id, .. } => {
            let row = model.frameworks.get(framework_id)?;
            Watched::Ready(What::FrameworkRemoved(row.record.clone()))
        }
        Change::Task(record) => {
            let known = task(&record.framework_id, record.task_id.clone());
            match (known, record.steps.last()) {
                (Some(old), Some(step)) if old.state != record.state => {
                    let status = Arc::new(views::status(&record.task_id, step));
                    let framework_id = record.framework_id.clone();
                    Watched::Ready(What::TaskUpdated { framework_id, status, state: record.state })
                }
                (Some(_), _) => return None,
                (None, _) => Watched::Ready(What::TaskAdded(record.clone())),
            }
        }
        Change::TaskUpdated { framework_id, task_id, state, step: Some(_), status } => {
            task(framework_id, task_id.clone())?;
            let (framework_id, status) = (framework_id.clone(), status.clone());
            Watched::Ready(What::TaskUpdated { framework_id, status, state: *state })
        }
        Change::TaskUpdated { step: None, .. }
        | Change::Load(_)
        | Change::Demand { .. }
        | Change::TaskEnded { .. }
        | Change::TaskForgotten { .. }
        | Change::Fact(_) => return None,
    })
}

/// What watchers are told of a change.
pub(super) enum Watched {
    Ready(What),
    /// Its load is known once the change was applied.
    AgentAdded(Arc<AgentRecord>),
    AgentUpdated(Arc<AgentRecord>),
}

/// Counted for metrics.
#[derive(Debug, Default)]
pub(crate) struct WatchCounts {
    /// Watchers now.
    pub(crate) watchers: AtomicU64,
    /// Events numbered so far.
    pub(crate) events: AtomicU64,
    /// Watchers that were cut off.
    pub(crate) cut_off: AtomicU64,
}

/// Who watches, and what they may have missed.
pub(super) struct Watch {
    /// Names the numbers: they begin anew with each master.
    stream: Arc<str>,
    /// The number of the newest event.
    newest: u64,
    history: VecDeque<Arc<Happened>>,
    /// What the events of the history weigh.
    history_bytes: usize,
    watchers: VecDeque<Outbox<Arc<Happened>>>,
    grace: Duration,
    counts: Arc<WatchCounts>,
}

/// How a watcher begins.
#[derive(Clone, Debug)]
pub(crate) struct Beginning {
    /// Names the numbers of the events.
    pub(crate) stream: Arc<str>,
    /// The number of the newest event that the watcher knows with what it gets now.
    pub(crate) sequence: u64,
    /// Everything; absent when the stream goes on where it was cut.
    pub(crate) model: Option<Arc<Model>>,
}

impl Watch {
    pub(super) fn new(grace: Duration, counts: Arc<WatchCounts>) -> Self {
        Self {
            stream: Arc::from(uuid::Uuid::new_v4().to_string()),
            newest: 0,
            history: VecDeque::new(),
            history_bytes: 0,
            watchers: VecDeque::new(),
            grace,
            counts,
        }
    }

    /// Numbers an event and tells it to all.
    pub(super) fn tell(&mut self, model: &Model, watched: Watched) {
        let row = |record: &AgentRecord| model.agents.get(&record.id).cloned();
        let what = match watched {
            Watched::Ready(what) => Some(what),
            Watched::AgentAdded(record) => row(&record).map(What::AgentAdded),
            Watched::AgentUpdated(record) => row(&record).map(What::AgentUpdated),
        };
        let Some(what) = what else { return };
        self.newest += 1;
        self.counts.events.store(self.newest, Ordering::Relaxed);
        let happened = Happened::new(Some(self.newest), what);
        self.remember(Arc::clone(&happened));
        let mut at = 0;
        while let Some(watcher) = self.watchers.get_mut(at) {
            match watcher.send(Arc::clone(&happened)) {
                Sent::Waiting => at += 1,
                Sent::Gone => drop(self.watchers.remove(at)),
                Sent::Full => {
                    let watcher = self.watchers.remove(at);
                    self.cut_off(watcher, CutOff::Slow, SLOW);
                }
            }
        }
        self.counts.watchers.store(self.watchers.len() as u64, Ordering::Relaxed);
    }

    /// Keeps an event for those who come back; the oldest go, so that neither their number nor what
    /// they hold is above its bound. One that is above it by itself is not kept, nor any before it.
    fn remember(&mut self, happened: Arc<Happened>) {
        self.history_bytes += happened.weight;
        self.history.push_back(happened);
        while self.history.len() > HISTORY || self.history_bytes > HISTORY_BYTES {
            let Some(oldest) = self.history.pop_front() else { break };
            self.history_bytes -= oldest.weight;
        }
    }

    /// Adds a watcher: it goes on where it was cut, if that is still known, or begins with
    /// everything.
    pub(super) fn add(
        &mut self,
        mut watcher: Outbox<Arc<Happened>>,
        resume: Option<&Resume>,
        snapshot: impl FnOnce() -> Arc<Model>,
    ) -> Beginning {
        let missed = resume.and_then(|resume| self.missed(resume));
        let (sequence, model, fits) = match missed {
            Some((after, missed)) => {
                let fits = missed.into_iter().all(|happened| watcher.send(happened) != Sent::Full);
                (after, None, fits)
            }
            None => (self.newest, Some(snapshot()), true),
        };
        let beginning = Beginning { stream: Arc::clone(&self.stream), sequence, model };
        if !fits {
            // What would be told next stands behind a gap: the stream ends as any slow one does.
            self.cut_off(Some(watcher), CutOff::Slow, SLOW);
            return beginning;
        }
        self.watchers.retain(|watcher| !watcher.is_gone());
        if self.watchers.len() >= WATCHERS {
            let oldest = self.watchers.pop_front();
            self.cut_off(oldest, CutOff::TooMany, "too many watch: the oldest stream had to go");
        }
        self.watchers.push_back(watcher);
        self.counts.watchers.store(self.watchers.len() as u64, Ordering::Relaxed);
        beginning
    }

    /// Numbers begin anew: the copy was made anew, and what happened meanwhile is not known. All
    /// streams end with that reason.
    pub(super) fn begin_anew(&mut self) {
        self.stream = Arc::from(uuid::Uuid::new_v4().to_string());
        self.newest = 0;
        self.history.clear();
        self.history_bytes = 0;
        for watcher in std::mem::take(&mut self.watchers) {
            let why = "the master's copy of the state fell behind: subscribe again";
            self.cut_off(Some(watcher), CutOff::Behind, why);
        }
        self.counts.watchers.store(0, Ordering::Relaxed);
    }

    /// The events after the last that was read, if all of them are still known. A number says
    /// nothing without the name of its stream: it may be that of a master before this one.
    fn missed(&self, resume: &Resume) -> Option<(u64, Vec<Arc<Happened>>)> {
        let is_ours = resume.stream.as_ref().is_some_and(|stream| *stream == self.stream);
        let oldest = self.newest - self.history.len() as u64;
        if !is_ours || resume.after > self.newest || resume.after < oldest {
            return None;
        }
        let read = usize::try_from(resume.after - oldest).ok()?;
        Some((resume.after, self.history.iter().skip(read).cloned().collect()))
    }

    fn cut_off(
        &self,
        watcher: Option<Outbox<Arc<Happened>>>,
        reason: CutOff,
        message: &'static str,
    ) {
        self.counts.cut_off.fetch_add(1, Ordering::Relaxed);
        let last_word = Happened::new(None, What::CutOff(reason, message));
        if let Some(watcher) = watcher {
            watcher.cut_off(Some(last_word), self.grace);
        }
    }
}

#[cfg(test)]
mod tests;
