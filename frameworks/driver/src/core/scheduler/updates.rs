//! Status updates: what each one changes, and when it may be acknowledged.
//!
//! An acknowledgement always stands behind the record of what the update changed. An update that
//! changes nothing durable (that a task runs which is recorded as launched) needs no record.

use super::Scheduler;
use crate::core::boundary::{Effect, Notice, UnitChange};
use crate::core::group::Kind;
use crate::core::outcome::classify;
use crate::core::unit::{Live, OpenUnit, Phase};
use proto::{TaskState, TaskStatus, Time};

impl Scheduler {
    pub(crate) fn update(&mut self, now: Time, status: TaskStatus, effects: &mut Vec<Effect>) {
        match self.living(&status.task_id) {
            Some((number, index, live)) => {
                self.update_living(now, number, index, live, &status, effects);
            }
            None => self.update_stray(&status, effects),
        }
        let TaskStatus { task_id, agent_id, uuid, .. } = status;
        self.driver.acknowledge(task_id, agent_id, uuid, effects);
    }

    /// A task that is not ours, or an attempt that counts no more: if it lives, it is killed.
    fn update_stray(&mut self, status: &TaskStatus, effects: &mut Vec<Effect>) {
        match status.state {
            TaskState::Staging | TaskState::Starting | TaskState::Running => {
                let (task, agent) = (status.task_id.clone(), status.agent_id.clone());
                self.driver.kill_stray(task.clone(), agent, effects);
                effects.push(Effect::Notice(Notice::Stray(task)));
            }
            // Dying, dead, or out of reach: it shows up again if it comes back.
            TaskState::Killing
            | TaskState::Unreachable
            | TaskState::Unknown
            | TaskState::Finished
            | TaskState::Failed
            | TaskState::Killed
            | TaskState::Error
            | TaskState::Lost
            | TaskState::Dropped
            | TaskState::Gone
            | TaskState::GoneByOperator => {}
        }
    }

    fn update_living(
        &mut self,
        now: Time,
        number: u32,
        index: u32,
        mut live: Live,
        status: &TaskStatus,
        effects: &mut Vec<Effect>,
    ) {
        let before = live;
        match status.state {
            TaskState::Staging => return,
            TaskState::Starting | TaskState::Killing => {
                live.heard = true;
                live.unreachable = None;
            }
            TaskState::Running => {
                live.heard = true;
                live.unreachable = None;
                live.running = live.running.or(Some(now));
            }
            TaskState::Unreachable => {
                live.heard = true;
                live.unreachable = live.unreachable.or(Some(now));
            }
            TaskState::Unknown
            | TaskState::Finished
            | TaskState::Failed
            | TaskState::Killed
            | TaskState::Error
            | TaskState::Lost
            | TaskState::Dropped
            | TaskState::Gone
            | TaskState::GoneByOperator => {
                self.update_ended(now, number, index, live, status, effects);
                return;
            }
        }
        if live != before {
            self.change_living(now, number, index, before, live, effects);
        }
    }

    fn change_living(
        &mut self,
        now: Time,
        number: u32,
        index: u32,
        before: Live,
        live: Live,
        effects: &mut Vec<Effect>,
    ) {
        let Some(group) = self.groups.get(&number) else { return };
        let Some(unit) = group.open(index).cloned() else { return };
        let attempt = unit.attempt;
        // When it began to run matters after a restart only where a deadline hangs on it.
        let timed = group.spec.run_limit.is_some() || group.spec.kind == Kind::Replica;
        let durable =
            live.unreachable != before.unreachable || (timed && live.running != before.running);
        self.put_open(now, number, index, OpenUnit { phase: Phase::Live(live), ..unit });
        if durable {
            self.record_open(number, index);
        }
        let change = if live.unreachable.is_some() && before.unreachable.is_none() {
            UnitChange::Unreachable
        } else if live.running.is_some()
            && (before.running.is_none() || before.unreachable.is_some())
        {
            UnitChange::Running
        } else {
            return;
        };
        self.notify(number, index, attempt, change, effects);
    }

    fn update_ended(
        &mut self,
        now: Time,
        number: u32,
        index: u32,
        live: Live,
        status: &TaskStatus,
        effects: &mut Vec<Effect>,
    ) {
        let Some(group) = self.groups.get(&number) else { return };
        let verdict = classify(status, live.kill, &group.spec.on_exit);
        self.end_attempt(now, number, index, verdict, status.message.clone(), effects);
    }
}
