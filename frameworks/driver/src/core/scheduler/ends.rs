//! Ends: what an attempt's end is recorded as, and whether its unit is tried again.

use super::Scheduler;
use crate::core::boundary::{Effect, Notice, UnitChange};
use crate::core::group::Kind;
use crate::core::ledger::{self, Next};
use crate::core::outcome::{Outcome, Verdict};
use crate::core::record::{self, Attempt, PhaseRecord, Stop, UnitRecord};
use crate::core::replica;
use crate::core::unit::{Ended, Live, NOWHERE, OpenUnit, Phase};
use crate::core::units::Group;
use proto::Time;
use std::sync::Arc;

impl Scheduler {
    /// The living attempt of a unit has ended, as `verdict` says.
    pub(crate) fn end_attempt(
        &mut self,
        now: Time,
        number: u32,
        index: u32,
        verdict: Verdict,
        message: Option<Arc<str>>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(group) = self.groups.get(&number) else { return };
        let Some(unit) = group.open(index).cloned() else { return };
        let Phase::Live(live) = unit.phase else { return };
        let task = crate::core::task::task_id(&group.id, index, unit.attempt);
        let agent = self.agents.id(live.agent).clone();
        let next = self.next(group, index, &unit, &live, verdict, now);
        self.driver.ended(&task);
        self.blame.ended(now, live.agent, verdict.outcome);
        if let Some(group) = self.groups.get_mut(&number) {
            group.tally.attempt_ended(verdict.outcome);
        }
        let host = fenzo::HostId::from(agent.as_str());
        self.placer.task_unassigned(&fenzo::TaskId::from(task.as_str()), &host);
        let words = self.has_room_for_words();
        let attempt = Attempt {
            attempt: unit.attempt,
            agent: Some(agent),
            launched: live.launched,
            running: live.running,
            ended: now,
            outcome: verdict.outcome,
            message: message.filter(|_| words),
        };
        match next {
            Next::End => self.end_unit(number, index, &unit, live, attempt, effects),
            Next::Retry { after, spent } => {
                if words {
                    self.writes.push(record::attempt(number, index, &attempt));
                }
                let phase = Phase::Waiting { since: now, until: now + after };
                let again = OpenUnit { attempt: unit.attempt + 1, spent, phase, due: None };
                self.put_open(now, number, index, again);
                self.record_open(number, index);
                let change = UnitChange::Retrying(verdict.outcome);
                self.notify(number, index, unit.attempt, change, effects);
            }
        }
        self.refresh(number);
        self.end_group_if_over(now, number, effects);
    }

    fn next(
        &self,
        group: &Group,
        index: u32,
        unit: &OpenUnit,
        live: &Live,
        verdict: Verdict,
        now: Time,
    ) -> Next {
        let killed = matches!(group.standing.stop, Some((Stop::Killed, _)));
        if killed || index >= group.standing.count {
            return Next::End;
        }
        match group.spec.kind {
            Kind::Ledger => ledger::next(&group.spec, unit.spent, verdict),
            Kind::Replica => {
                let ran = live.running.map(|since| now.since(since)).unwrap_or_default();
                let settled = self.driver.options().settled;
                replica::next(&group.spec, unit.spent, verdict, ran, settled)
            }
        }
    }

    fn end_unit(
        &mut self,
        number: u32,
        index: u32,
        unit: &OpenUnit,
        live: Live,
        attempt: Attempt,
        effects: &mut Vec<Effect>,
    ) {
        self.clear_timer(number, index);
        let Some(group) = self.groups.get_mut(&number) else { return };
        let took = attempt.ended.since(attempt.launched).as_millis();
        let millis = u32::try_from(took).unwrap_or(u32::MAX);
        let outcome = attempt.outcome;
        let ended = Ended::new(outcome, live.agent, unit.attempt + 1, millis);
        let message = (outcome != Outcome::Succeeded).then(|| attempt.message.clone()).flatten();
        group.set_ended(index, ended, message);
        let phase = PhaseRecord::Ended(attempt);
        let record = UnitRecord { attempt: unit.attempt + 1, spent: unit.spent, phase };
        self.writes.push(record::unit(number, index, &record));
        self.notify(number, index, unit.attempt, UnitChange::Ended(outcome), effects);
    }

    /// A unit ends without another attempt while it waits for one.
    pub(crate) fn end_waiting(
        &mut self,
        now: Time,
        number: u32,
        index: u32,
        outcome: Outcome,
        effects: &mut Vec<Effect>,
    ) {
        self.clear_timer(number, index);
        let Some(group) = self.groups.get_mut(&number) else { return };
        let attempts = group.attempt(index);
        let spent = group.open(index).map(|unit| unit.spent).unwrap_or_default();
        group.set_ended(index, Ended::new(outcome, NOWHERE, attempts, 0), None);
        let attempt = Attempt {
            attempt: attempts,
            agent: None,
            launched: now,
            running: None,
            ended: now,
            outcome,
            message: None,
        };
        let record = UnitRecord { attempt: attempts, spent, phase: PhaseRecord::Ended(attempt) };
        self.writes.push(record::unit(number, index, &record));
        self.notify(number, index, attempts, UnitChange::Ended(outcome), effects);
        self.refresh(number);
        self.end_group_if_over(now, number, effects);
    }

    pub(crate) fn end_group_if_over(&mut self, now: Time, number: u32, effects: &mut Vec<Effect>) {
        let Some(group) = self.groups.get_mut(&number) else { return };
        if group.standing.ended.is_some() || !group.is_over() {
            return;
        }
        // Replicas scaled to none are at rest, not over, until somebody ends the group.
        let killed = matches!(group.standing.stop, Some((Stop::Killed, _)));
        if group.spec.kind == Kind::Replica && group.standing.count == 0 && !killed {
            return;
        }
        group.standing.ended = Some(now);
        let (standing, id) = (group.standing, group.id.clone());
        self.writes.push(record::standing(number, standing));
        effects.push(Effect::Notice(Notice::GroupEnded(id)));
    }
}
