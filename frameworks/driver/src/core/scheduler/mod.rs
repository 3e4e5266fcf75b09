//! A framework's scheduler: the driver, the groups of units, and the placer, as one core.
//!
//! Inputs change what is known and only mark what is to be done; placing happens in a pass of its
//! own, when the deadline says so, over everything that has come together. Every record of a step
//! is made durable before anything that the step sends.

mod clock;
mod ends;
mod misfit;
mod place;
mod prospect;
mod recover;
mod requests;
mod room;
mod slices;
mod timers;
mod updates;
mod view;

use super::agents::Agents;
use super::blame::Blame;
use super::boundary::{Effect, Input, Notice, UnitChange, Write};
use super::driver::{Driver, Signal};
use super::group::GroupId;
use super::record;
use super::unit::{Live, OpenUnit, Phase};
use super::units::Group;
use proto::{TaskId, Time};
use slices::Forgotten;
use std::collections::{BTreeMap, BTreeSet};

#[cfg(test)]
pub(crate) use place::lease;
pub use prospect::{FreeAgent, Prospect};
pub use room::Room;
pub use view::{GroupView, UnitView};

/// See the module.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) driver: Driver,
    pub(crate) placer: fenzo::TaskScheduler,
    /// Leases that the placer gets with the next pass.
    pub(crate) new_leases: Vec<fenzo::Lease>,
    pub(crate) groups: BTreeMap<u32, Group>,
    /// Groups with units that could be launched now.
    pub(crate) active: BTreeSet<u32>,
    pub(crate) tokens: BTreeMap<String, u32>,
    pub(crate) next_group: u32,
    pub(crate) agents: Agents,
    pub(crate) blame: Blame,
    /// Deadlines of units; of groups as a whole with the index `GROUP`.
    pub(crate) timers: BTreeSet<(Time, u32, u32)>,
    /// Stopped groups whose never-tried units are not all ended yet.
    pub(crate) ending: BTreeSet<u32>,
    /// Groups whose records are being deleted.
    pub(crate) forgotten: BTreeMap<u32, Forgotten>,
    /// Whether this life had an input.
    pub(crate) started: bool,
    /// Whether a pass is due.
    pub(crate) dirty: bool,
    /// Records of the step under way.
    pub(crate) writes: Vec<Write>,
    /// How much room there is for records, where that is little.
    pub(crate) room: Option<Room>,
}

/// Stands for the group as a whole in the timers.
pub(crate) const GROUP: u32 = u32::MAX;

impl Scheduler {
    /// Takes one input and appends what is to be done, in order.
    pub fn step(&mut self, now: Time, input: Input, effects: &mut Vec<Effect>) {
        let mut after = Vec::new();
        if !std::mem::replace(&mut self.started, true) {
            self.distrust_what_is_to_come(now);
        }
        match input {
            Input::Tick => self.tick(now, &mut after),
            Input::Connected { connection } => self.driver.connected(now, connection, &mut after),
            Input::Closed { connection, leader } => {
                let signals = self.driver.closed(now, connection, leader);
                self.signals(now, signals, &mut after);
            }
            Input::Event { connection, event } => {
                let signals = self.driver.event(now, connection, event, &mut after);
                self.signals(now, signals, &mut after);
            }
            Input::State { request, ask } => self.driver.ask_state(request, ask, &mut after),
            Input::Submit { request, spec } => {
                let answer = self.submit(now, *spec, &mut after);
                after.push(Effect::Answer { request, answer });
            }
            Input::Kill { request, group, index } => {
                let answer = self.kill(now, &group, index, &mut after);
                after.push(Effect::Answer { request, answer });
            }
            Input::Scale { request, group, count } => {
                let answer = self.scale(now, &group, count, &mut after);
                after.push(Effect::Answer { request, answer });
            }
            Input::Forget { request, group } => {
                let answer = self.forget(&group);
                after.push(Effect::Answer { request, answer });
            }
        }
        if !self.writes.is_empty() {
            self.fill_room();
            effects.push(Effect::Persist(std::mem::take(&mut self.writes)));
        }
        effects.append(&mut after);
    }

    /// When `Input::Tick` is due; a time that has passed means at once.
    pub fn deadline(&self) -> Option<Time> {
        if self.driver.is_stopped() {
            return None;
        }
        if self.dirty || self.has_slices() {
            return Some(Time::ZERO);
        }
        let timer = self.timers.first().map(|(due, _, _)| *due);
        [timer, self.driver.deadline()].into_iter().flatten().min()
    }

    fn tick(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let signals = self.driver.tick(now, effects);
        self.signals(now, signals, effects);
        self.expire_timers(now, effects);
        self.slices(now, effects);
        if self.dirty {
            self.dirty = false;
            self.pass(now, effects);
        }
    }

    fn signals(&mut self, now: Time, signals: Vec<Signal>, effects: &mut Vec<Effect>) {
        for signal in signals {
            match signal {
                Signal::Subscribed(id) => effects.push(Effect::Notice(Notice::Subscribed(id))),
                Signal::Disconnected => {
                    self.drop_leases();
                    effects.push(Effect::Notice(Notice::Disconnected));
                }
                Signal::Stopped(message) => {
                    self.drop_leases();
                    effects.push(Effect::Notice(Notice::Stopped(message)));
                }
                Signal::Offers(offers) => self.take_offers(now, &offers, effects),
                Signal::Rescinded(offer) => {
                    let lease = fenzo::LeaseId::from(offer.as_str());
                    self.placer.expire_lease(&lease);
                    self.new_leases.retain(|new| new.id != lease);
                }
                Signal::Update(status) => self.update(now, *status, effects),
                Signal::Refused { call, code, message } => {
                    effects.push(Effect::Notice(Notice::Refused { call, code, message }));
                }
                // Units are command tasks: no executor of ours sends messages.
                Signal::Message { .. } => {}
            }
        }
    }

    fn drop_leases(&mut self) {
        self.placer.expire_all();
        self.new_leases.clear();
    }

    /// Brings what depends on a group's ready units up to date.
    pub(crate) fn refresh(&mut self, number: u32) {
        let ready = self.groups.get(&number).is_some_and(|group| group.ready_count() > 0);
        let changed = if ready { self.active.insert(number) } else { self.active.remove(&number) };
        if changed && ready {
            self.driver.renew_want();
        }
        if changed || ready {
            self.dirty = true;
        }
    }

    /// The unit is on its way in this form: sets its timer and marks the pass.
    pub(crate) fn put_open(&mut self, now: Time, number: u32, index: u32, mut unit: OpenUnit) {
        self.clear_timer(number, index);
        let options = self.driver.options();
        let Some(group) = self.groups.get_mut(&number) else { return };
        let ready = matches!(unit.phase, Phase::Waiting { until, .. } if until <= now);
        unit.due = timers::due(&unit, ready, &group.spec, options);
        if let Some(due) = unit.due {
            self.timers.insert((due, number, index));
        }
        group.set_open(index, unit, ready);
    }

    /// Records the unit as it stands.
    pub(crate) fn record_open(&mut self, number: u32, index: u32) {
        let Some(group) = self.groups.get(&number) else { return };
        let Some(unit) = group.open(index) else { return };
        let record = unit.record(|agent| self.agents.id(agent).clone());
        self.writes.push(record::unit(number, index, &record));
    }

    pub(crate) fn clear_timer(&mut self, number: u32, index: u32) {
        let Some(group) = self.groups.get(&number) else { return };
        if let Some(due) = group.open(index).and_then(|unit| unit.due) {
            self.timers.remove(&(due, number, index));
        }
    }

    /// The living attempt that a task's id means, if it is the current one of its unit.
    pub(crate) fn living(&self, task: &TaskId) -> Option<(u32, u32, Live)> {
        let (id, index, attempt) = super::task::parse(task.as_str())?;
        let group = self.group(&id)?;
        let unit = group.open(index).filter(|unit| unit.attempt == attempt)?;
        match unit.phase {
            Phase::Live(live) => Some((group.number, index, live)),
            Phase::Waiting { .. } => None,
        }
    }

    /// A group by its id.
    pub(crate) fn group(&self, id: &GroupId) -> Option<&Group> {
        self.groups.get(&id.number()?).filter(|group| group.id == *id)
    }

    pub(crate) fn notify(
        &self,
        number: u32,
        index: u32,
        attempt: u32,
        change: UnitChange,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(group) = self.groups.get(&number) {
            let group = group.id.clone();
            effects.push(Effect::Notice(Notice::Unit { group, index, attempt, change }));
        }
    }
}

#[cfg(test)]
mod tests;
