//! Looking at tasks while they run: when, what follows from what was seen, and that a task whose
//! health check fails too often in a row ends.
//!
//! The first look comes after the delay, the next one an interval after the end of the one before;
//! one that takes too long has failed, and its answer is not heard any more. Until the grace period
//! is over, or the task was well once, failures of the health check do not count. A look that the
//! host cannot begin says nothing of the task, but for one whose health was never looked at: that
//! counts as a failure. Whoever orders a kill ends the looking. A task that was taken back after a
//! restart of the agent is looked at as before, but its failures are counted anew.

use crate::effect::{Effect, Look};
use crate::executor::custom;
use crate::input::{Launch, Seen, SeenRecord};
use crate::state::{Agent, KillCause, Phase, TaskKey, Timer};
use crate::status_updates::Report;
use proto::{Check, CheckStatus, Checks, ContainerId, Exit, Reason, Time};
use std::sync::Arc;
use std::time::Duration;

/// Which of a task's two checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Its health check.
    Health,
    /// Its check, which only tells.
    Check,
}

/// What is known of a task that is looked at.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    checks: Arc<Checks>,
    /// When the task was started: the grace period counts from it.
    started: Time,
    /// The last verdict of the health check.
    pub(crate) healthy: Option<bool>,
    /// What the check has seen last.
    pub(crate) status: Option<CheckStatus>,
    /// Failures in a row.
    failures: u32,
    /// The last failure of the health check.
    failure: Arc<str>,
    /// Failed too often: its end is a failure.
    pub(crate) doomed: bool,
    /// Whether its health was ever looked at, whatever was seen: a look that could not be begun was
    /// none.
    looked: bool,
    health: Stage,
    check: Stage,
    /// Looks are numbered, so that an answer that comes too late is known as such.
    looks: u64,
}

/// Where the looking stands. What has a time has a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing is to be looked at, or not any more.
    Over,
    /// The next look is due then.
    Waiting(Time),
    /// The look of this number is under way, until then.
    Looking(u64, Time),
}

impl Stage {
    fn timer(self) -> Option<Time> {
        match self {
            Self::Over => None,
            Self::Waiting(at) | Self::Looking(_, at) => Some(at),
        }
    }
}

impl Watch {
    fn new(checks: &Arc<Checks>, started: Time, known: Option<SeenRecord>) -> Self {
        let unseen = checks.check.as_ref().map(|check| check.kind.unseen());
        let known = known.unwrap_or_default();
        Self {
            checks: checks.clone(),
            started,
            healthy: known.healthy,
            status: known.status.or(unseen),
            failures: 0,
            failure: Arc::from(""),
            doomed: known.doomed,
            looked: known.healthy == Some(true),
            health: Stage::Over,
            check: Stage::Over,
            looks: 0,
        }
    }

    fn stage(&mut self, subject: Subject) -> &mut Stage {
        match subject {
            Subject::Health => &mut self.health,
            Subject::Check => &mut self.check,
        }
    }

    fn asked(&self, subject: Subject) -> Option<&Check> {
        match subject {
            Subject::Health => self.checks.health.as_ref().map(|health| &health.check),
            Subject::Check => self.checks.check.as_ref(),
        }
    }

    /// What the checkpoint keeps.
    pub(crate) fn record(&self) -> SeenRecord {
        SeenRecord { healthy: self.healthy, status: self.status, doomed: self.doomed }
    }

    /// The timers that there must be.
    pub(crate) fn timers(&self) -> impl Iterator<Item = (Time, Timer)> + use<> {
        let stages = [(Subject::Health, self.health), (Subject::Check, self.check)];
        let timer = |(subject, stage): (Subject, Stage)| {
            stage.timer().map(|at| (at, Timer::Check(subject)))
        };
        stages.into_iter().filter_map(timer)
    }

    pub(crate) fn is_over(&self) -> bool {
        (self.health, self.check) == (Stage::Over, Stage::Over)
    }

    /// Why it ends.
    pub(crate) fn verdict(&self) -> String {
        let times = match self.failures {
            0 | 1 => "failed".to_owned(),
            failures => format!("failed {failures} times in a row"),
        };
        match &*self.failure {
            "" => format!("Killed because its health check {times}"),
            failure => format!("Killed because its health check {times}: {failure}"),
        }
    }
}

impl Agent {
    /// A task runs: what it asks for will be looked at. `known` is what an earlier run of the agent
    /// saw.
    pub(crate) fn begin_watch(&mut self, key: &TaskKey, started: Time, known: Option<SeenRecord>) {
        let Some(task) = self.task_mut(key).filter(|task| task.watch.is_none()) else { return };
        let Some(launched) = &task.launched else { return };
        // An executor looks after its tasks by itself.
        let asked = launched.info.payload.checks.as_ref();
        let Some(checks) = asked.filter(|_| custom(&launched.info).is_none()) else { return };
        task.watch = Some(Box::new(Watch::new(checks, started, known)));
    }

    /// The first looks of a task that runs, unless it is to end.
    pub(crate) fn begin_looking(&mut self, now: Time, key: &TaskKey) {
        let Some(task) = self.task(key).filter(|task| task.kill.is_none()) else { return };
        let Some(watch) = task.watch.as_ref() else { return };
        let started = watch.started;
        for subject in [Subject::Health, Subject::Check] {
            let asked = self.task(key).and_then(|task| task.watch.as_ref()?.asked(subject));
            let Some((delay, interval)) = asked.map(|check| (check.delay, check.interval)) else {
                continue;
            };
            let first = started + delay;
            let at = match first <= now && started < now {
                // Of many tasks that are taken back at one time.
                true => now + self.random.up_to(interval),
                false => first,
            };
            self.wait_to_look(key, subject, at);
        }
    }

    fn wait_to_look(&mut self, key: &TaskKey, subject: Subject, at: Time) {
        let Some(watch) = self.task_mut(key).and_then(|task| task.watch.as_mut()) else { return };
        *watch.stage(subject) = Stage::Waiting(at);
        self.timers.insert((at, Timer::Check(subject), key.0.clone(), key.1.clone()));
    }

    /// It is time to look, or a look has taken too long.
    pub(crate) fn check_due(
        &mut self,
        now: Time,
        key: &TaskKey,
        subject: Subject,
        effects: &mut Vec<Effect>,
    ) {
        let Some(watch) = self.task_mut(key).and_then(|task| task.watch.as_mut()) else { return };
        match *watch.stage(subject) {
            Stage::Over => {}
            Stage::Waiting(_) => self.look(now, key, subject, effects),
            Stage::Looking(..) => {
                let timeout = watch.asked(subject).map_or(Duration::ZERO, |check| check.timeout);
                let seconds = timeout.as_secs_f64();
                let seen = Seen::Nothing(format!("no answer within {seconds} s").into());
                self.seen(now, key, subject, &seen, effects);
            }
        }
    }

    fn look(&mut self, now: Time, key: &TaskKey, subject: Subject, effects: &mut Vec<Effect>) {
        let longest = self.options.check_timeout_max;
        let Some(framework) = self.frameworks.get_mut(&key.0) else { return };
        let info = framework.info.clone();
        let Some(task) = framework.tasks.get_mut(&key.1) else { return };
        let (Some(watch), Some(launched)) = (&mut task.watch, &task.launched) else { return };
        let (Some(check), Some(framework)) = (watch.asked(subject), info) else { return };
        let timeout = Some(check.timeout).filter(|t| !t.is_zero()).unwrap_or(longest).min(longest);
        watch.looks += 1;
        let (number, until) = (watch.looks, now + timeout.max(Duration::from_millis(1)));
        *watch.stage(subject) = Stage::Looking(number, until);
        let launch = Launch {
            container_id: launched.container_id.clone(),
            framework,
            framework_id: key.0.clone(),
            role: launched.role.clone(),
            task: launched.info.clone(),
            gpus: launched.gpus.clone(),
        };
        self.timers.insert((until, Timer::Check(subject), key.0.clone(), key.1.clone()));
        effects.push(Effect::Look(Box::new(Look { launch, subject, number, timeout })));
    }

    /// What came of a look, if it is the one that is waited for.
    pub(crate) fn looked(
        &mut self,
        now: Time,
        container_id: &ContainerId,
        (subject, number): (Subject, u64),
        seen: &Seen,
        effects: &mut Vec<Effect>,
    ) {
        let Some(key) = self.key_of(container_id) else { return };
        let Some(watch) = self.task_mut(&key).and_then(|task| task.watch.as_mut()) else { return };
        let Stage::Looking(expected, until) = *watch.stage(subject) else { return };
        if expected == number {
            self.timers.remove(&(until, Timer::Check(subject), key.0.clone(), key.1.clone()));
            self.seen(now, &key, subject, seen, effects);
        }
    }

    fn seen(
        &mut self,
        now: Time,
        key: &TaskKey,
        subject: Subject,
        seen: &Seen,
        effects: &mut Vec<Effect>,
    ) {
        let least = self.options.check_interval_min;
        let Some(watch) = self.task_mut(key).and_then(|task| task.watch.as_mut()) else { return };
        let Some(interval) = watch.asked(subject).map(|check| check.interval) else { return };
        // Before what follows, which may end the looking.
        self.wait_to_look(key, subject, now + interval.max(least));
        let Some(watch) = self.task_mut(key).and_then(|task| task.watch.as_mut()) else { return };
        match (subject, seen) {
            // The host is at fault, not the task; but a check that could never be begun keeps
            // nobody alive.
            (Subject::Health, Seen::Unable(why)) if !watch.looked => {
                let failure = format!("its health cannot be looked at: {why}").into();
                self.unwell(now, key, failure, effects);
            }
            (_, Seen::Unable(_)) => {}
            (Subject::Health, seen) => {
                watch.looked = true;
                match failure(seen) {
                    None => self.well(now, key, effects),
                    Some(failure) => self.unwell(now, key, failure, effects),
                }
            }
            (Subject::Check, seen) => self.check_seen(now, key, seen, effects),
        }
    }

    /// The health check passed. That is told when it is news.
    fn well(&mut self, now: Time, key: &TaskKey, effects: &mut Vec<Effect>) {
        let Some(watch) = self.task_mut(key).and_then(|task| task.watch.as_mut()) else { return };
        watch.failures = 0;
        if watch.healthy.replace(true) != Some(true) {
            self.tell_seen(now, key, Reason::TaskHealthCheckStatusUpdated, None, effects);
        }
    }

    /// The health check failed: told each time that it counts, and too often is the task's end.
    fn unwell(&mut self, now: Time, key: &TaskKey, failure: Arc<str>, effects: &mut Vec<Effect>) {
        let kill_grace = self.options.kill_grace;
        let Some(task) = self.task_mut(key) else { return };
        let grace = task.launched.as_ref().and_then(|launched| launched.info.kill_grace);
        let Some(watch) = task.watch.as_mut() else { return };
        let Some(health) = watch.checks.health.as_ref() else { return };
        if watch.healthy.is_none() && now <= watch.started + health.grace_period {
            return;
        }
        watch.failures += 1;
        watch.failure = failure.clone();
        watch.healthy = Some(false);
        watch.doomed = watch.failures >= health.consecutive_failures;
        let doomed = watch.doomed;
        let reason = Reason::TaskHealthCheckStatusUpdated;
        self.tell_seen(now, key, reason, Some(failure), effects);
        if doomed {
            let grace = grace.unwrap_or(kill_grace);
            self.order_kill(now, key, KillCause::Unhealthy, grace, effects);
        }
    }

    /// The check has seen something: told when it is something else than before.
    fn check_seen(&mut self, now: Time, key: &TaskKey, seen: &Seen, effects: &mut Vec<Effect>) {
        let Some(watch) = self.task_mut(key).and_then(|task| task.watch.as_mut()) else { return };
        let Some(unseen) = watch.asked(Subject::Check).map(|check| check.kind.unseen()) else {
            return;
        };
        let (status, message) = match (unseen, seen) {
            (CheckStatus::Command(_), Seen::Exited(exit)) => {
                (CheckStatus::Command(Some(code(*exit))), None)
            }
            (CheckStatus::Http(_), Seen::Answered(status)) => {
                (CheckStatus::Http(Some(*status)), None)
            }
            (CheckStatus::Tcp(_), Seen::Connected) => (CheckStatus::Tcp(Some(true)), None),
            (CheckStatus::Tcp(_), Seen::Refused(why)) => {
                (CheckStatus::Tcp(Some(false)), Some(why.clone()))
            }
            (unseen, seen) => (unseen, failure(seen)),
        };
        if watch.status.replace(status) != Some(status) {
            self.tell_seen(now, key, Reason::TaskCheckStatusUpdated, message, effects);
        }
    }

    /// An update of a task that goes on as before, but for what was seen of it.
    fn tell_seen(
        &mut self,
        now: Time,
        key: &TaskKey,
        reason: Reason,
        message: Option<Arc<str>>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(task) = self.task(key).filter(|task| task.phase == Phase::Running) else { return };
        let report = Report { reason: Some(reason), message, ..Report::of_command(task.state) };
        self.report_again(now, key, report, effects);
    }

    /// Nobody looks at the task any more; what was seen last stays known.
    pub(crate) fn end_looking(&mut self, key: &TaskKey) {
        let Some(watch) = self.task_mut(key).and_then(|task| task.watch.as_mut()) else { return };
        let timers: Vec<(Time, Timer)> = watch.timers().collect();
        (watch.health, watch.check) = (Stage::Over, Stage::Over);
        for (at, timer) in timers {
            self.timers.remove(&(at, timer, key.0.clone(), key.1.clone()));
        }
    }

    /// The order to kill a task that failed too often may be lost: it was on record only.
    pub(crate) fn kill_doomed(&mut self, now: Time, key: &TaskKey, effects: &mut Vec<Effect>) {
        let Some(task) = self.task(key).filter(|task| task.phase == Phase::Running) else { return };
        if task.kill.is_none() && task.watch.as_ref().is_some_and(|watch| watch.doomed) {
            let grace = task.launched.as_ref().and_then(|launched| launched.info.kill_grace);
            let grace = grace.unwrap_or(self.options.kill_grace);
            self.order_kill(now, key, KillCause::Unhealthy, grace, effects);
        }
    }
}

fn code(exit: Exit) -> i32 {
    match exit {
        Exit::Code(code) => code,
        // As a shell gives it.
        Exit::Signal(signal) => 128 + signal,
    }
}

/// What a health check makes of it: nothing when the task is well.
fn failure(seen: &Seen) -> Option<Arc<str>> {
    match seen {
        Seen::Connected | Seen::Exited(Exit::Code(0)) | Seen::Answered(200..=399) => None,
        Seen::Exited(Exit::Code(code)) => Some(format!("the command exited with {code}").into()),
        Seen::Exited(Exit::Signal(signal)) => {
            Some(format!("the command was ended by signal {signal}").into())
        }
        Seen::Answered(status) => Some(format!("the answer was HTTP status {status}").into()),
        Seen::Refused(why) | Seen::Nothing(why) | Seen::Unable(why) => Some(why.clone()),
    }
}

#[cfg(test)]
mod tests;
