//! What must hold of a scheduler after every step, each with its number.
//!
//! The simulator asks after every event; a planted violation of each is reported by a test.

use super::demand::Want;
use super::scheduler::{GROUP, Scheduler};
use super::task;
use super::unit::{Mark, Phase};
use super::units::Group;
use std::collections::BTreeSet;
use std::fmt;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its number, such as `D3`.
    pub id: &'static str,
    /// What is wrong, with names and figures.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.what)
    }
}

fn hold(id: &'static str, holds: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { id, what: what() }) }
}

impl Scheduler {
    /// Checks all invariants. Costs a walk over all units.
    ///
    /// # Errors
    /// The first that does not hold.
    pub fn check(&self) -> Result<(), Violation> {
        for group in self.groups.values() {
            counts_are_true(group)?;
            budgets_are_kept(group)?;
            only_waiting_units_are_ready(group)?;
            self.no_deadline_is_lost(group)?;
            self.ready_groups_are_active(group)?;
            self.kills_are_under_way(group)?;
        }
        self.one_task_for_each_living_attempt()?;
        self.offers_and_leases_agree()?;
        self.silence_holds_nothing()
    }

    /// D2: the driver knows exactly the current attempts of living units, each on its agent.
    fn one_task_for_each_living_attempt(&self) -> Result<(), Violation> {
        let mut living = BTreeSet::new();
        for group in self.groups.values() {
            for (index, unit) in group.all_open() {
                if let Phase::Live(live) = &unit.phase {
                    let id = task::task_id(&group.id, *index, unit.attempt);
                    let agent = self.agents.id(live.agent);
                    hold("D2", self.driver.agent_of(&id) == Some(agent), || {
                        format!("living task {id} is not known to be on {agent}")
                    })?;
                    living.insert(id);
                }
            }
        }
        let stray = self.driver.tasks().find(|(id, _)| !living.contains(*id));
        hold("D2", stray.is_none(), || format!("task {stray:?} is no unit's living attempt"))
    }

    /// D5: no deadline is lost: what waits is ready or has a timer; what has one is in the timers.
    fn no_deadline_is_lost(&self, group: &Group) -> Result<(), Violation> {
        for (index, unit) in group.all_open() {
            let set = unit.due.is_none_or(|due| self.timers.contains(&(due, group.number, *index)));
            hold("D5", set, || format!("{} unit {index}: due, but no timer", group.id))?;
            let waits = matches!(unit.phase, Phase::Waiting { .. });
            let awaited = !waits || group.is_ready(*index) || unit.due.is_some();
            hold("D5", awaited, || format!("{} unit {index} waits for nothing", group.id))?;
            if let (Phase::Live(live), Some(limit)) = (&unit.phase, group.spec.run_limit)
                && let (Some(since), None) = (live.running, live.kill)
            {
                hold("D5", unit.due.is_some_and(|due| due <= since + limit), || {
                    format!("{} unit {index} runs without its limit", group.id)
                })?;
            }
        }
        let mut of_group = self.timers.iter().filter(|(_, number, _)| *number == group.number);
        let loose = of_group.find(|(due, _, index)| {
            *index != GROUP && group.open(*index).is_none_or(|unit| unit.due != Some(*due))
        });
        hold("D5", loose.is_none(), || format!("{}: timer {loose:?} of no unit", group.id))
    }

    /// D6: a group with ready units is looked at in every pass, and no other is.
    fn ready_groups_are_active(&self, group: &Group) -> Result<(), Violation> {
        let (ready, active) = (group.ready_count() > 0, self.active.contains(&group.number));
        hold("D6", ready == active, || {
            format!("{}: {} ready units, active: {active}", group.id, group.ready_count())
        })
    }

    /// D7: a unit that is to be killed has its kill under way, and nothing else has one.
    fn kills_are_under_way(&self, group: &Group) -> Result<(), Violation> {
        for (index, unit) in group.all_open() {
            if let Phase::Live(live) = &unit.phase {
                let id = task::task_id(&group.id, *index, unit.attempt);
                let (wanted, sent) = (live.kill.is_some(), self.driver.is_killing(&id));
                hold("D7", wanted == sent, || format!("{id}: kill {:?}, sent: {sent}", live.kill))?;
            }
        }
        Ok(())
    }

    /// D8: driver and placer hold the same offers, and none without a subscription.
    fn offers_and_leases_agree(&self) -> Result<(), Violation> {
        let offers = self.driver.offers().len();
        let leases = self.placer.leases_held() + self.new_leases.len();
        hold("D8", offers == leases, || format!("{offers} offers, {leases} leases"))?;
        hold("D8", offers == 0 || self.driver.is_subscribed(), || {
            format!("{offers} offers without a subscription")
        })
    }

    /// D9: a framework that asked for silence holds no offers and wants nothing, once the marked
    /// pass is done.
    fn silence_holds_nothing(&self) -> Result<(), Violation> {
        let silent = self.driver.is_subscribed() && self.driver.is_suppressed();
        let offers = self.driver.offers().len();
        hold("D9", !silent || offers == 0, || format!("suppressed with {offers} offers"))?;
        let wants = *self.driver.want() != Want::Nothing;
        hold("D9", !silent || self.dirty || !wants, || "suppressed with a demand".to_owned())?;
        let ready = !self.active.is_empty();
        hold("D9", !ready || self.dirty || wants, || "ready units, and no demand".to_owned())
    }
}

/// D1: each unit is in exactly one state: the counts are what counting gives, and add up.
fn counts_are_true(group: &Group) -> Result<(), Violation> {
    let (counts, fresh) = group.recount();
    hold("D1", counts == group.counts && counts.total() == group.len(), || {
        format!("{}: counted {counts:?}, noted {:?}", group.id, group.counts)
    })?;
    hold("D1", fresh == group.fresh_count(), || {
        format!("{}: {fresh} fresh units, noted {}", group.id, group.fresh_count())
    })?;
    let ended = group.all_open().keys().find(|index| group.mark(**index) != Some(Mark::Open));
    hold("D1", ended.is_none(), || format!("{} unit {ended:?} is over and open", group.id))
}

/// D3: no unit has spent more than its budgets.
fn budgets_are_kept(group: &Group) -> Result<(), Violation> {
    if group.spec.kind == super::group::Kind::Replica {
        return Ok(());
    }
    let retry = &group.spec.retry;
    let over = group.all_open().iter().find(|(_, unit)| {
        unit.spent.user > retry.user
            || unit.spent.platform > retry.platform
            || unit.spent.timeout > retry.timeout
    });
    hold("D3", over.is_none(), || format!("{} over its budget: {over:?}", group.id))
}

/// D4: what is ready waits; what lives or is over is not ready.
fn only_waiting_units_are_ready(group: &Group) -> Result<(), Violation> {
    let wrong = group.ready_set().iter().find(|index| {
        group.open(**index).is_none_or(|unit| !matches!(unit.phase, Phase::Waiting { .. }))
    });
    hold("D4", wrong.is_none(), || format!("{} unit {wrong:?} is ready and not waiting", group.id))
}

#[cfg(test)]
mod tests;
