//! Recovery: the scheduler as it was, from its records alone.
//!
//! What a record of the group says of all units (it was killed) is not written again for each.

use super::Scheduler;
use super::slices::Forgotten;
use crate::core::agents::Agents;
use crate::core::blame::Blame;
use crate::core::driver::Driver;
use crate::core::group::GroupId;
use crate::core::options::Options;
use crate::core::outcome::Outcome;
use crate::core::record::{self, PhaseRecord, Record, RecordError, Standing, Stop, UnitRecord};
use crate::core::task;
use crate::core::unit::{Ended, Live, NOWHERE, OpenUnit, Phase};
use crate::core::units::Group;
use proto::{AgentId, FrameworkId, TaskId, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the records say, before it is put together. Records come in any order.
#[derive(Default)]
struct Found {
    framework: Option<FrameworkId>,
    next_group: u32,
    groups: BTreeMap<u32, Group>,
    standings: BTreeMap<u32, Standing>,
    units: Vec<(u32, u32, UnitRecord)>,
    /// Group, launch and end of attempts that were followed by another.
    attempts: Vec<(u32, Time, Outcome)>,
    agents: Agents,
    forgotten: Vec<u32>,
}

impl Scheduler {
    /// The scheduler whose records these are; without any, a new framework.
    ///
    /// `seed` gives the jitter of back-offs and nothing else.
    ///
    /// # Errors
    /// When a record cannot be read, or belongs to nothing.
    pub fn recover(
        options: Options,
        seed: u64,
        stored: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Result<Self, RecordError> {
        let mut found = Found::default();
        for (key, value) in stored {
            found.take(&key, &value)?;
        }
        let placer = fenzo::TaskScheduler::builder()
            .fitness(fenzo::Fitness::cpu_memory_packer())
            .build()
            .expect("the packer is a fitness");
        let next_group = found.groups.keys().next_back().map_or(0, |last| last + 1);
        let mut scheduler = Self {
            driver: Driver::new(options, seed, found.framework.take(), []),
            placer,
            new_leases: Vec::new(),
            tokens: found.tokens(),
            next_group: found.next_group.max(next_group),
            groups: std::mem::take(&mut found.groups),
            active: BTreeSet::new(),
            agents: std::mem::take(&mut found.agents),
            blame: Blame::default(),
            timers: BTreeSet::new(),
            ending: BTreeSet::new(),
            forgotten: BTreeMap::new(),
            started: false,
            dirty: false,
            writes: Vec::new(),
            room: None,
        };
        scheduler.put_together(found)?;
        Ok(scheduler)
    }

    fn put_together(&mut self, found: Found) -> Result<(), RecordError> {
        for (number, standing) in found.standings {
            let Some(group) = self.groups.get_mut(&number) else {
                return Err(RecordError::orphan(&record::standing(number, standing).key));
            };
            group.grow(standing.count);
            group.standing = standing;
        }
        for (number, launched, outcome) in found.attempts {
            if let Some(group) = self.groups.get_mut(&number) {
                group.tally.launched(launched);
                group.tally.attempt_ended(outcome);
            }
        }
        let mut living = Vec::new();
        for (number, index, unit) in found.units {
            let known = self.groups.get(&number).is_some_and(|group| index < group.len());
            if !known {
                return Err(RecordError::orphan(&record::unit_key(number, index)));
            }
            self.put_unit(number, index, unit, &mut living);
        }
        for number in found.forgotten {
            if let Some(group) = self.groups.remove(&number) {
                self.tokens.retain(|_, of| *of != number);
                self.forgotten.insert(number, Forgotten { group, from: 0 });
            }
        }
        let numbers: Vec<u32> = self.groups.keys().copied().collect();
        for number in numbers {
            self.settle(number);
            self.set_group_timer(number);
            self.refresh(number);
        }
        self.take_over(living);
        Ok(())
    }

    fn put_unit(
        &mut self,
        number: u32,
        index: u32,
        record: UnitRecord,
        living: &mut Vec<(u32, u32)>,
    ) {
        let launch_timeout = self.driver.options().launch_timeout;
        let UnitRecord { attempt, spent, phase } = record;
        let phase = match phase {
            PhaseRecord::Ended(last) => {
                let agent = last.agent.as_ref().map_or(NOWHERE, |agent| self.agents.number(agent));
                let took = last.ended.since(last.launched).as_millis();
                let millis = u32::try_from(took).unwrap_or(u32::MAX);
                let ended = Ended::new(last.outcome, agent, attempt, millis);
                let message = last.message.filter(|_| last.outcome != Outcome::Succeeded);
                if let Some(group) = self.groups.get_mut(&number) {
                    if last.agent.is_some() {
                        group.tally.launched(last.launched);
                        group.tally.attempt_ended(last.outcome);
                    }
                    group.set_ended(index, ended, message);
                }
                return;
            }
            PhaseRecord::Waiting { since, until } => Phase::Waiting { since, until },
            PhaseRecord::Live { agent, launched, running, unreachable, kill } => {
                living.push((number, index));
                if let Some(group) = self.groups.get_mut(&number) {
                    group.tally.launched(launched);
                }
                Phase::Live(Live {
                    agent: self.agents.number(&agent),
                    launched,
                    running,
                    unreachable,
                    kill,
                    heard: running.is_some(),
                    ask_at: Some(launched + launch_timeout),
                })
            }
        };
        // Not ready yet: the timers say when, which may be at once.
        self.put_open(Time::ZERO, number, index, OpenUnit { attempt, spent, phase, due: None });
    }

    /// Units that a group's record speaks for.
    fn settle(&mut self, number: u32) {
        let Some(group) = self.groups.get_mut(&number) else { return };
        let Standing { count, stop, .. } = group.standing;
        let of_fresh = match stop {
            Some((Stop::Killed, _)) => Some(Outcome::Killed),
            Some((Stop::PendingLimit, _)) => Some(Outcome::PendingTimedOut),
            None => None,
        };
        for index in group.fresh_units(usize::MAX) {
            let scaled_away = (index >= count).then_some(Outcome::Killed);
            if let Some(outcome) = of_fresh.or(scaled_away) {
                group.set_ended(index, Ended::new(outcome, NOWHERE, 0, 0), None);
            }
        }
        // That it is over may not be recorded yet.
        if stop.is_some() && group.standing.ended.is_none() {
            self.ending.insert(number);
        }
    }

    /// Living tasks become known to driver and placer; kills that were under way go on.
    fn take_over(&mut self, living: Vec<(u32, u32)>) {
        let mut tasks: Vec<(TaskId, AgentId, Arc<fenzo::TaskClass>, bool)> = Vec::new();
        for (number, index) in living {
            let Some(group) = self.groups.get(&number) else { continue };
            let Some(unit) = group.open(index) else { continue };
            let Phase::Live(live) = unit.phase else { continue };
            let killed = live.kill.is_some();
            let task = task::task_id(&group.id, index, unit.attempt);
            let agent = self.agents.id(live.agent).clone();
            tasks.push((task, agent, group.class.clone(), killed));
        }
        for (task, agent, class, killed) in tasks {
            let request = fenzo::TaskRequest::new(task.as_str(), &class);
            self.placer.task_assigned(&request, &fenzo::HostId::from(agent.as_str()));
            self.driver.adopt(task.clone(), agent);
            if killed && let Some((number, _, _)) = self.living(&task) {
                self.send_kill(Time::ZERO, number, &task, &mut Vec::new());
            }
        }
    }
}

impl Found {
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), RecordError> {
        match record::read(key, value)? {
            Record::Framework(id) => self.framework = Some(id),
            Record::NextGroup(number) => self.next_group = number,
            Record::Group { number, submitted, spec } => {
                spec.check().map_err(|error| RecordError::invalid(key, &error.to_string()))?;
                let id = GroupId::numbered(&spec.name, number);
                let class = Arc::new(task::class(&id, &spec));
                let count = spec.count;
                let group = Group::new(number, id, Arc::new(*spec), class, submitted, count);
                self.groups.insert(number, group);
            }
            Record::Standing { number, standing } => {
                self.standings.insert(number, standing);
            }
            Record::Unit { number, index, unit } => self.units.push((number, index, unit)),
            Record::Forgotten(number) => self.forgotten.push(number),
            Record::Host { agent, host, port } => self.agents.recovered(&agent, host, port),
            // Histories are read on demand; here only what is counted of them.
            Record::Attempt { group, launched, outcome } => {
                self.attempts.push((group, launched, outcome));
            }
            // Single tasks belong to frameworks without groups.
            Record::Task { .. } => {}
        }
        Ok(())
    }

    fn tokens(&self) -> BTreeMap<String, u32> {
        let token = |group: &Group| Some((group.spec.token.clone()?, group.number));
        self.groups.values().filter_map(token).collect()
    }
}
