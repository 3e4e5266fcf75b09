//! From what the engine knows to what the API says.

use crate::api;
use crate::events::Entry;
use crate::timestamp::{self, seconds};
use driver::core::{
    Attempt, Counts, GroupView, Kind, Notice, Outcome, Scheduler, Stop, UnitChange, UnitState,
    UnitView, task_id,
};
use proto::{Exit, FrameworkId, TaskId, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// Units that are shown with their job when it has no more than so many.
pub(crate) const FEW: u32 = 16;

/// A job as it was seen at one moment.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) group: GroupView,
    failures: Vec<UnitView>,
    few: Vec<UnitView>,
    framework: Option<FrameworkId>,
    now: Time,
}

impl Seen {
    /// Looks at a job and at what is worth showing of its units.
    pub(crate) fn whole(scheduler: &Scheduler, group: GroupView, now: Time) -> Self {
        let unit = |index: &u32| scheduler.unit(&group.id, *index);
        let failures = group.tally.failures.iter().filter_map(unit).collect();
        let few = if group.counts.total() <= FEW {
            scheduler.units(&group.id, 0, FEW as usize)
        } else {
            Vec::new()
        };
        Self { failures, few, framework: scheduler.framework_id().cloned(), now, group }
    }

    /// Looks at a job without its units.
    pub(crate) fn brief(group: GroupView, now: Time) -> Self {
        Self { group, failures: Vec::new(), few: Vec::new(), framework: None, now }
    }

    pub(crate) fn job(&self, role: &str) -> api::Job {
        let Self { group, .. } = self;
        let started = group.tally.first_launched;
        let until = group.ended.unwrap_or(self.now);
        let all = |units: &[UnitView]| units.iter().map(|unit| self.unit(unit)).collect();
        api::Job {
            id: group.id.to_string(),
            name: group.spec.name.clone(),
            kind: kind(group.spec.kind).to_owned(),
            role: role.to_owned(),
            state: state(group),
            units: group.count,
            counts: counts(group.counts),
            attempts: group.tally.attempts,
            attempt_outcomes: named(&group.tally.attempt_outcomes),
            unit_outcomes: named(&group.tally.unit_outcomes),
            submitted: timestamp::show(group.submitted),
            started: started.map(timestamp::show),
            ended: group.ended.map(timestamp::show),
            waited_seconds: started.map(|started| seconds(started.since(group.submitted))),
            ran_seconds: started.map(|started| seconds(until.since(started))),
            exit_code: exit_code(group, &self.failures),
            failures: all(&self.failures),
            units_shown: all(&self.few),
        }
    }

    fn unit(&self, view: &UnitView) -> api::Unit {
        unit(&self.group, view, self.framework.as_ref())
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Ledger => "batch",
        Kind::Replica => "service",
    }
}

fn named(counts: &BTreeMap<&'static str, u64>) -> BTreeMap<String, u64> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// How a job stands.
pub(crate) fn state(group: &GroupView) -> api::JobState {
    match group.ended {
        Some(_) if group.counts.failed > 0 => api::JobState::Failed,
        Some(_) if group.counts.killed > 0 => api::JobState::Killed,
        Some(_) => api::JobState::Succeeded,
        None if matches!(group.stop, Some((Stop::Killed, _))) => api::JobState::Killing,
        None if group.tally.attempts == 0 => api::JobState::Pending,
        None => api::JobState::Running,
    }
}

fn exit_code(group: &GroupView, failures: &[UnitView]) -> Option<i32> {
    group.ended?;
    if state(group) == api::JobState::Succeeded {
        return Some(0);
    }
    let code = failures.first().and_then(|unit| match unit.state {
        UnitState::Ended(outcome) => outcome.exit_code(),
        _ => None,
    });
    // A failure stays one, whatever the last attempt's own code was.
    Some(code.filter(|code| *code != 0).unwrap_or(1))
}

fn counts(counts: Counts) -> api::Counts {
    let Counts { pending, launched, running, killing, unreachable, succeeded, failed, killed } =
        counts;
    api::Counts { pending, launched, running, killing, unreachable, succeeded, failed, killed }
}

/// A unit.
pub(crate) fn unit(
    group: &GroupView,
    view: &UnitView,
    framework: Option<&FrameworkId>,
) -> api::Unit {
    let task = task_id(&group.id, view.index, view.attempt);
    let address = view.address.as_ref().map(|(host, port)| {
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    });
    let ended = match view.state {
        UnitState::Ended(ended) => Some(ended),
        _ => None,
    };
    let placed = view.agent.is_some();
    api::Unit {
        job: group.id.to_string(),
        index: view.index,
        state: view.state.name().to_owned(),
        attempt: view.attempt,
        agent: view.agent.as_ref().map(ToString::to_string),
        address,
        sandbox: framework.filter(|_| placed).map(|framework| sandbox(framework, &task)),
        task: task.to_string(),
        launched: view.launched.map(timestamp::show),
        running: view.running.map(timestamp::show),
        took_seconds: view.took_millis.map(|m| seconds(Duration::from_millis(u64::from(m)))),
        outcome: ended.map(outcome),
        message: view.message.as_ref().map(ToString::to_string),
    }
}

/// Where an agent's file API has the directory of a command task.
fn sandbox(framework: &FrameworkId, task: &TaskId) -> String {
    format!("/frameworks/{framework}/executors/{task}/runs/latest")
}

/// An attempt that ended.
pub(crate) fn attempt(
    group: &GroupView,
    index: u32,
    attempt: &Attempt,
    framework: Option<&FrameworkId>,
) -> api::Attempt {
    let task = task_id(&group.id, index, attempt.attempt);
    let placed = attempt.agent.is_some();
    api::Attempt {
        attempt: attempt.attempt,
        agent: attempt.agent.as_ref().map(ToString::to_string),
        sandbox: framework.filter(|_| placed).map(|framework| sandbox(framework, &task)),
        task: task.to_string(),
        launched: placed.then(|| timestamp::show(attempt.launched)),
        running: attempt.running.map(timestamp::show),
        ended: timestamp::show(attempt.ended),
        took_seconds: seconds(attempt.ended.since(attempt.launched)),
        outcome: outcome(attempt.outcome),
        message: attempt.message.as_ref().map(ToString::to_string),
    }
}

/// Whether [`complete`] has more to say of a unit: the figures of a memory limit, which the engine
/// does not keep at hand, or how the last attempt ended of one that waits for another.
pub(crate) fn lacks_history(unit: &api::Unit) -> bool {
    let figures = |outcome: &api::Outcome| {
        outcome.name == Outcome::OomKilled { limit: 0, usage: 0 }.name()
            && outcome.limit_bytes.is_none()
    };
    match &unit.outcome {
        Some(outcome) => figures(outcome),
        None => unit.attempt > 0 && waits(unit),
    }
}

fn waits(unit: &api::Unit) -> bool {
    [UnitState::Pending, UnitState::BackingOff].iter().any(|state| state.name() == unit.state)
}

/// Adds what the record of a unit's last attempt tells.
pub(crate) fn complete(unit: &mut api::Unit, last: Option<&Attempt>) {
    let Some(last) = last else { return };
    let (ended, waiting) = (outcome(last.outcome), waits(unit));
    match &mut unit.outcome {
        // A rule for its exit code may have made something else of it.
        Some(shown) if shown.name == ended.name => *shown = ended,
        Some(_) => return,
        None if waiting => {}
        None => return,
    }
    if unit.message.is_none() {
        unit.message = match unit.outcome {
            Some(_) => last.message.as_ref().map(ToString::to_string),
            None => Some(sentence(last)),
        };
    }
}

/// How an attempt ended, and what was said of it.
pub(crate) fn sentence(attempt: &Attempt) -> String {
    let (number, outcome) = (attempt.attempt, attempt.outcome);
    match &attempt.message {
        Some(message) => format!("attempt {number}: {outcome} ({message})"),
        None => format!("attempt {number}: {outcome}"),
    }
}

/// How an attempt ended.
pub(crate) fn outcome(outcome: Outcome) -> api::Outcome {
    let (exit_code, signal) = match outcome {
        Outcome::Succeeded => (Some(0), None),
        Outcome::Failed(Some(Exit::Code(code))) => (Some(code), None),
        Outcome::Failed(Some(Exit::Signal(signal))) => (None, Some(signal)),
        _ => (None, None),
    };
    let (limit_bytes, usage_bytes) = match outcome {
        Outcome::OomKilled { limit, usage } if limit > 0 => (Some(limit), Some(usage)),
        _ => (None, None),
    };
    api::Outcome {
        name: outcome.name().to_owned(),
        text: outcome.to_string(),
        exit_code,
        signal,
        limit_bytes,
        usage_bytes,
    }
}

/// Something that happened.
pub(crate) fn event(entry: &Entry) -> api::Event {
    let mut event = api::Event {
        number: entry.number,
        time: timestamp::show(entry.time),
        kind: String::new(),
        job: None,
        index: None,
        attempt: None,
        agent: None,
        outcome: None,
        message: None,
    };
    let kind = match &entry.notice {
        Notice::Subscribed(id) => {
            event.message = Some(format!("registered as {id}"));
            "subscribed"
        }
        Notice::Disconnected => "disconnected",
        Notice::Stopped(message) => {
            event.message = Some(message.to_string());
            "stopped"
        }
        Notice::Refused { call, code, message } => {
            event.message = Some(format!("{call} was refused ({code}): {message}"));
            "refused"
        }
        Notice::Submitted(job) => {
            event.job = Some(job.to_string());
            "submitted"
        }
        Notice::GroupEnded(job) => {
            event.job = Some(job.to_string());
            "job_ended"
        }
        Notice::Stray(task) => {
            event.message = Some(format!("{task} is not ours and is being killed"));
            "stray"
        }
        Notice::Signal(_) => "signal",
        Notice::Unit { group, index, attempt, change } => {
            event.job = Some(group.to_string());
            event.index = Some(*index);
            event.attempt = Some(*attempt);
            change_of(change, &mut event)
        }
    };
    event.kind = kind.to_owned();
    event
}

fn change_of(change: &UnitChange, event: &mut api::Event) -> &'static str {
    match change {
        UnitChange::Launched(agent) => {
            event.agent = Some(agent.to_string());
            "launched"
        }
        UnitChange::Running => "running",
        UnitChange::Killing => "killing",
        UnitChange::Unreachable => "unreachable",
        UnitChange::Retrying(ended) => {
            event.outcome = Some(outcome(*ended));
            "retrying"
        }
        UnitChange::Ended(ended) => {
            event.outcome = Some(outcome(*ended));
            "ended"
        }
    }
}
