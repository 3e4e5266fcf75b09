//! Status updates as frameworks see them: in order for each task, the same uuid for the same
//! report, and nothing after an end.
//!
//! I7, and the part of I2 that a task has one end. The word TASK_LOST of the master to a framework
//! that knows no partitions is no end: the task may come back, as in Mesos.

use super::{TaskKey, Verdict, broken};
use proto::{Reason, Source, StatusUuid, TaskState, TaskStatus, Transition};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
struct History {
    /// Reports that must be acknowledged, oldest first.
    reports: Vec<(StatusUuid, TaskState)>,
    /// The end, as it was first told, and whether the master only concluded it from knowing
    /// nothing of the task.
    end: Option<(TaskState, bool)>,
}

/// Whether a report may come after one of that state: one that tells what is seen of it repeats it.
fn follows(last: TaskState, status: &TaskStatus) -> bool {
    let seen = [
        Reason::TaskCheckStatusUpdated,
        Reason::TaskHealthCheckStatusUpdated,
        Reason::TaskUnkillable,
    ];
    match last.transition(status.state) {
        Transition::Advance => true,
        Transition::Repeat => status.reason.is_some_and(|reason| seen.contains(&reason)),
        Transition::Stale => false,
    }
}

/// What every framework heard of every task.
#[derive(Debug, Default)]
pub(super) struct Updates(BTreeMap<TaskKey, History>);

impl Updates {
    pub(super) fn heard(
        &mut self,
        key: TaskKey,
        aware: bool,
        damaged: bool,
        status: &TaskStatus,
    ) -> Verdict {
        let state = status.state;
        let name = format!("task {} of {}", key.1, key.0);
        let history = self.0.entry(key).or_default();
        if damaged && history.end.is_some() {
            // The record that knew of the end, or of what led to it, is lost: what its agent makes
            // of the rest is told again.
            return Ok(());
        }
        if let Some(uuid) = status.uuid {
            match history.reports.iter().find(|(known, _)| *known == uuid) {
                Some((_, was)) if *was == state => return Ok(()),
                Some((_, was)) => {
                    return broken("I7", format!("{name}: {uuid} said {was}, then {state}"));
                }
                None => {}
            }
            let corrupt = status.reason == Some(Reason::CheckpointCorrupt);
            if let Some((_, last)) = history.reports.last()
                && !follows(*last, status)
                && !corrupt
            {
                return broken("I7", format!("{name}: {last}, and then {state}"));
            }
            history.reports.push((uuid, state));
        }
        let certain = aware || status.source != Source::Master;
        // Who asks after a task that is forgotten, or not known yet, is told that it is gone, or
        // unknown; and a launch with offers that were used up is refused, whatever became of an
        // earlier one.
        let from_memory = status.uuid.is_none()
            && matches!(status.reason, Some(Reason::Reconciliation | Reason::InvalidOffers));
        let nothing = matches!(state, TaskState::Unknown | TaskState::Unreachable);
        let tentative = from_memory && (state.is_terminal() || nothing);
        // An agent whose last records were lost with it tells a life once more, and the master
        // says what it is being told.
        let repeated = from_memory && history.reports.iter().any(|(_, told)| *told == state);
        match history.end {
            Some(_) if tentative || repeated || !certain => Ok(()),
            Some((end, _)) if !state.is_terminal() => {
                broken("I7", format!("{name}: ended with {end}, and then {state}"))
            }
            Some((end, false)) if end != state => {
                broken("I2", format!("{name} has two ends: {end} and {state}"))
            }
            Some((_, false)) => Ok(()),
            Some((_, true)) | None => {
                history.end = (certain && state.is_terminal()).then_some((state, tentative));
                Ok(())
            }
        }
    }
}
