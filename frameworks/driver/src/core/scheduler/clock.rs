//! A wall clock that was set back between two lives of a scheduler.
//!
//! What is on record was written by the clock of an earlier life. A time that is still to come by
//! the clock of this one cannot be true, and waiting for it could take a year: it counts as now.
//! (A clock that was set forward makes waits shorter; nobody can tell that from time that passed.)

use super::{GROUP, Scheduler, timers};
use crate::core::unit::{OpenUnit, Phase};
use proto::Time;

impl Scheduler {
    /// Once in each life, with its first input.
    pub(crate) fn distrust_what_is_to_come(&mut self, now: Time) {
        let patience = self.driver.options().launch_timeout;
        let mut rewound: Vec<(u32, u32, OpenUnit)> = Vec::new();
        let mut young: Vec<u32> = Vec::new();
        for (number, group) in &self.groups {
            for (index, unit) in group.all_open() {
                if let Some(phase) = past(&unit.phase, now, now + patience) {
                    rewound.push((*number, *index, OpenUnit { phase, ..unit.clone() }));
                }
            }
            if group.submitted > now {
                young.push(*number);
            }
        }
        for (number, index, unit) in rewound {
            self.put_open(Time::ZERO, number, index, unit);
        }
        for number in young {
            let Some(group) = self.groups.get_mut(&number) else { continue };
            if let Some(due) = timers::pending_due(&group.spec, group.submitted) {
                self.timers.remove(&(due, number, GROUP));
            }
            group.submitted = now;
            self.set_group_timer(number);
        }
    }
}

/// The same without times that are to come; nothing when there are none.
fn past(phase: &Phase, now: Time, ask_at: Time) -> Option<Phase> {
    match phase {
        Phase::Waiting { since, until } => {
            (*since > now).then(|| Phase::Waiting { since: now, until: now + until.since(*since) })
        }
        Phase::Live(live) => {
            let times = [Some(live.launched), live.running, live.unreachable];
            let ahead = times.into_iter().flatten().any(|time| time > now);
            let mut live = *live;
            live.launched = live.launched.min(now);
            live.running = live.running.map(|since| since.min(now));
            live.unreachable = live.unreachable.map(|since| since.min(now));
            live.ask_at = live.ask_at.map(|at| at.min(ask_at));
            ahead.then_some(Phase::Live(live))
        }
    }
}
