//! What the framework's owner asks for: submit, kill, scale, forget. Each answer stands behind
//! the record of what it promises.

use super::Scheduler;
use super::slices::Forgotten;
use crate::core::boundary::{Answer, Effect, Notice, Refusal, UnitChange};
use crate::core::group::{GroupId, GroupSpec, Kind, SpecError};
use crate::core::outcome::{KillCause, Outcome};
use crate::core::record::{self, Stop};
use crate::core::task;
use crate::core::unit::{Mark, OpenUnit, Phase};
use crate::core::units::Group;
use proto::Time;
use std::sync::Arc;

/// Bytes of a group's other records, that say how it stands.
const RECORDS_OF_A_GROUP: usize = 64;

impl Scheduler {
    pub(crate) fn submit(
        &mut self,
        now: Time,
        spec: GroupSpec,
        effects: &mut Vec<Effect>,
    ) -> Answer {
        if let Err(error) = spec.check() {
            return Answer::Refused(Refusal::Spec(error));
        }
        if let Some(known) = spec.token.as_ref().and_then(|token| self.tokens.get(token))
            && let Some(group) = self.groups.get(known)
        {
            let id = group.id.clone();
            let same = *group.spec == spec;
            return if same {
                Answer::AlreadySubmitted(id)
            } else {
                Answer::Refused(Refusal::TokenTaken(id))
            };
        }
        let number = self.next_group;
        let record = record::group(number, now, &spec);
        let bytes = record.value.as_ref().map_or(0, Vec::len) + RECORDS_OF_A_GROUP;
        if let Err(refusal) = self.check_room(bytes, spec.count) {
            return Answer::Refused(refusal);
        }
        self.next_group += 1;
        let id = GroupId::numbered(&spec.name, number);
        self.writes.push(record::next_group(self.next_group));
        self.writes.push(record);
        if let Some(token) = &spec.token {
            self.tokens.insert(token.clone(), number);
        }
        let class = Arc::new(task::class(&id, &spec));
        let count = spec.count;
        let group = Group::new(number, id.clone(), Arc::new(spec), class, now, count);
        self.groups.insert(number, group);
        self.set_group_timer(number);
        self.refresh(number);
        effects.push(Effect::Notice(Notice::Submitted(id.clone())));
        Answer::Submitted(id)
    }

    pub(crate) fn kill(
        &mut self,
        now: Time,
        id: &GroupId,
        index: Option<u32>,
        effects: &mut Vec<Effect>,
    ) -> Answer {
        let Some(group) = self.group(id) else {
            return Answer::Refused(Refusal::UnknownGroup(id.clone()));
        };
        let (number, count) = (group.number, group.len());
        match index {
            Some(index) if index >= count => {
                let group = id.clone();
                Answer::Refused(Refusal::UnknownUnit { group, index, count })
            }
            Some(index) => {
                self.kill_unit(now, number, index, effects);
                self.refresh(number);
                self.end_group_if_over(now, number, effects);
                Answer::Done
            }
            None => {
                self.kill_group(now, number, effects);
                Answer::Done
            }
        }
    }

    fn kill_group(&mut self, now: Time, number: u32, effects: &mut Vec<Effect>) {
        let Some(group) = self.groups.get_mut(&number) else { return };
        if group.standing.ended.is_some() || matches!(group.standing.stop, Some((Stop::Killed, _)))
        {
            return;
        }
        group.standing.stop = Some((Stop::Killed, now));
        let standing = group.standing;
        let open: Vec<u32> = group.all_open().keys().copied().collect();
        self.writes.push(record::standing(number, standing));
        self.end_fresh(now, number, effects);
        for index in open {
            self.kill_unit(now, number, index, effects);
        }
        self.refresh(number);
        self.end_group_if_over(now, number, effects);
    }

    fn kill_unit(&mut self, now: Time, number: u32, index: u32, effects: &mut Vec<Effect>) {
        let Some(group) = self.groups.get_mut(&number) else { return };
        let replica = group.spec.kind == Kind::Replica;
        let kept = replica && group.standing.stop.is_none() && index < group.standing.count;
        match group.mark(index) {
            Some(Mark::Fresh) if !kept => {
                self.end_waiting(now, number, index, Outcome::Killed, effects);
            }
            Some(Mark::Open) => {
                let Some(unit) = group.open(index).cloned() else { return };
                match unit.phase {
                    Phase::Waiting { .. } if !kept => {
                        self.end_waiting(now, number, index, Outcome::Killed, effects);
                    }
                    Phase::Waiting { .. } => {}
                    Phase::Live(_) => self.kill_living(now, number, index, unit, effects),
                }
            }
            Some(Mark::Fresh | Mark::Ended) | None => {}
        }
    }

    fn kill_living(
        &mut self,
        now: Time,
        number: u32,
        index: u32,
        mut unit: OpenUnit,
        effects: &mut Vec<Effect>,
    ) {
        let Phase::Live(live) = &mut unit.phase else { return };
        // The owner's word goes before our own timers'.
        let first = live.kill.is_none();
        live.kill = Some(KillCause::Owner);
        let attempt = unit.attempt;
        let Some(group) = self.groups.get(&number) else { return };
        let task = task::task_id(&group.id, index, attempt);
        self.put_open(now, number, index, unit);
        self.record_open(number, index);
        if first {
            self.send_kill(now, number, &task, effects);
            self.notify(number, index, attempt, UnitChange::Killing, effects);
        }
    }

    pub(crate) fn scale(
        &mut self,
        now: Time,
        id: &GroupId,
        count: u32,
        effects: &mut Vec<Effect>,
    ) -> Answer {
        let Some(group) = self.group(id) else {
            return Answer::Refused(Refusal::UnknownGroup(id.clone()));
        };
        let number = group.number;
        let over = group.standing.stop.is_some() || group.standing.ended.is_some();
        if group.spec.kind != Kind::Replica || over {
            return Answer::Refused(Refusal::NotScalable(id.clone()));
        }
        if count > GroupSpec::MAX_UNITS {
            return Answer::Refused(Refusal::Spec(SpecError::Count(count)));
        }
        let more = count.saturating_sub(group.standing.count);
        if more > 0
            && let Err(refusal) = self.check_room(0, more)
        {
            return Answer::Refused(refusal);
        }
        let Some(group) = self.groups.get_mut(&number) else { return Answer::Done };
        let before = group.standing.count;
        group.standing.count = count;
        let standing = group.standing;
        group.grow(count);
        self.writes.push(record::standing(number, standing));
        for index in count..before {
            self.kill_unit(now, number, index, effects);
        }
        for index in before..count {
            self.start_again(now, number, index);
        }
        self.refresh(number);
        Answer::Done
    }

    /// A replica that was scaled away comes back; its next attempt has a number of its own.
    fn start_again(&mut self, now: Time, number: u32, index: u32) {
        let Some(group) = self.groups.get(&number) else { return };
        let Some(ended) = group.ended(index) else { return };
        let phase = Phase::Waiting { since: now, until: now };
        let attempt = ended.attempts;
        let unit = OpenUnit { attempt, spent: record::Spent::default(), phase, due: None };
        self.put_open(now, number, index, unit);
        self.record_open(number, index);
    }

    pub(crate) fn forget(&mut self, id: &GroupId) -> Answer {
        let Some(group) = self.group(id) else {
            return Answer::Refused(Refusal::UnknownGroup(id.clone()));
        };
        if group.standing.ended.is_none() {
            return Answer::Refused(Refusal::StillLiving(id.clone()));
        }
        let number = group.number;
        let Some(group) = self.groups.remove(&number) else { return Answer::Done };
        self.active.remove(&number);
        if let Some(token) = &group.spec.token {
            self.tokens.remove(token);
        }
        // Its records go slice by slice; this one says that none of them counts any more.
        self.writes.push(record::forgotten(number));
        self.forgotten.insert(number, Forgotten { group, from: 0 });
        Answer::Done
    }
}
