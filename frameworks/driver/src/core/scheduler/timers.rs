//! Deadlines of units and groups. They are computed from what is recorded, so that a restart of
//! the scheduler never sets one back.

use super::{GROUP, Scheduler};
use crate::core::boundary::{Effect, UnitChange};
use crate::core::group::{GroupSpec, Kind};
use crate::core::options::Options;
use crate::core::outcome::{KillCause, Outcome, Verdict};
use crate::core::record::{self, Stop};
use crate::core::unit::{Live, OpenUnit, Phase};
use proto::{TaskId, Time};

/// The earliest deadline of a unit.
pub(crate) fn due(
    unit: &OpenUnit,
    ready: bool,
    spec: &GroupSpec,
    options: &Options,
) -> Option<Time> {
    match &unit.phase {
        Phase::Waiting { since, until } => {
            let limit = pending_due(spec, (*since).max(*until));
            [(!ready).then_some(*until), limit].into_iter().flatten().min()
        }
        Phase::Live(live) => {
            let ask = if live.heard { None } else { live.ask_at };
            let grace = live.unreachable.map(|since| since + options.unreachable_grace);
            [ask, run_due(live, spec), grace].into_iter().flatten().min()
        }
    }
}

pub(super) fn pending_due(spec: &GroupSpec, since: Time) -> Option<Time> {
    match spec.kind {
        Kind::Ledger => spec.pending_limit.map(|limit| since + limit),
        Kind::Replica => None,
    }
}

fn run_due(live: &Live, spec: &GroupSpec) -> Option<Time> {
    if live.kill.is_some() {
        return None;
    }
    live.running.and_then(|since| spec.run_limit.map(|limit| since + limit))
}

impl Scheduler {
    /// Sets the deadline of a group's never-tried units.
    pub(crate) fn set_group_timer(&mut self, number: u32) {
        let Some(group) = self.groups.get(&number) else { return };
        if group.standing.stop.is_none()
            && group.fresh_count() > 0
            && let Some(due) = pending_due(&group.spec, group.submitted)
        {
            self.timers.insert((due, number, GROUP));
        }
    }

    pub(crate) fn expire_timers(&mut self, now: Time, effects: &mut Vec<Effect>) {
        while let Some((due, number, index)) = self.timers.first().copied() {
            if due > now {
                break;
            }
            self.timers.remove(&(due, number, index));
            if index == GROUP {
                self.expire_fresh(now, number, effects);
            } else {
                self.expire_unit(now, number, index, effects);
            }
        }
    }

    /// Units that were never tried have waited too long.
    fn expire_fresh(&mut self, now: Time, number: u32, effects: &mut Vec<Effect>) {
        let Some(group) = self.groups.get_mut(&number) else { return };
        if group.standing.stop.is_some() || group.fresh_count() == 0 {
            return;
        }
        group.standing.stop = Some((Stop::PendingLimit, now));
        let standing = group.standing;
        self.writes.push(record::standing(number, standing));
        self.refresh(number);
        self.end_fresh(now, number, effects);
    }

    fn expire_unit(&mut self, now: Time, number: u32, index: u32, effects: &mut Vec<Effect>) {
        let Some(group) = self.groups.get(&number) else { return };
        let Some(unit) = group.open(index).cloned() else { return };
        match unit.phase {
            Phase::Waiting { since, until } => {
                let limit = pending_due(&group.spec, since.max(until));
                if limit.is_some_and(|limit| limit <= now) {
                    let verdict = Verdict::plain(Outcome::PendingTimedOut);
                    self.end_waiting(now, number, index, verdict.outcome, effects);
                } else {
                    self.put_open(now, number, index, unit);
                    self.refresh(number);
                }
            }
            Phase::Live(live) => self.expire_live(now, number, index, &unit, live, effects),
        }
    }

    fn expire_live(
        &mut self,
        now: Time,
        number: u32,
        index: u32,
        unit: &OpenUnit,
        mut live: Live,
        effects: &mut Vec<Effect>,
    ) {
        let Some(group) = self.groups.get(&number) else { return };
        let grace = self.driver.options().unreachable_grace;
        if live.unreachable.is_some_and(|since| since + grace <= now) {
            // Replaced: should the old task come back, its attempt's number gives it away.
            let outcome = match live.kill {
                Some(KillCause::Owner) => Outcome::Killed,
                Some(KillCause::RunLimit) => Outcome::TimedOut,
                Some(KillCause::Stuck) | None => Outcome::Disrupted,
            };
            self.end_attempt(now, number, index, Verdict::plain(outcome), None, effects);
            return;
        }
        let task = crate::core::task::task_id(&group.id, index, unit.attempt);
        if run_due(&live, &group.spec).is_some_and(|due| due <= now) {
            live.kill = Some(KillCause::RunLimit);
        } else if !live.heard && live.ask_at.is_some_and(|at| at <= now) {
            self.no_news(now, &task, &mut live);
        }
        let killing = live.kill.is_some() && !self.driver.is_killing(&task);
        self.put_open(now, number, index, OpenUnit { phase: Phase::Live(live), ..unit.clone() });
        if killing {
            self.record_open(number, index);
            self.send_kill(now, number, &task, effects);
            self.notify(number, index, unit.attempt, UnitChange::Killing, effects);
        }
    }

    /// First its state is asked for; when that brings nothing either, it is stuck.
    fn no_news(&mut self, now: Time, task: &TaskId, live: &mut Live) {
        let patience = self.driver.options().launch_timeout;
        live.ask_at = Some(now + patience);
        if !self.driver.is_subscribed() {
            return;
        }
        if live.launched + patience + patience <= now && !self.driver.unanswered().contains(task) {
            live.ask_at = None;
            live.kill = live.kill.or(Some(KillCause::Stuck));
        } else {
            self.driver.ask(now, task);
        }
    }

    pub(crate) fn send_kill(
        &mut self,
        now: Time,
        number: u32,
        task: &TaskId,
        effects: &mut Vec<Effect>,
    ) {
        let grace = self.groups.get(&number).and_then(|group| group.spec.template.kill_grace);
        self.driver.kill(now, task, grace, effects);
    }
}
