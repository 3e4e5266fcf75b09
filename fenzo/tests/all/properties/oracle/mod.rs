//! A second, slow scheduler that shares no code with the first: it recounts everything for every question.
//!
//! It replays a result task by task and says where the first scheduler was wrong. It knows every built-in part:
//! amounts, ports, named sets, devices, constraints, closures, fitness, limits, disabled and inactive hosts,
//! hosts of a single lease, and gangs.

mod gangs;
mod grown;
mod parts;
mod reasons;
mod rules;
mod state;

use std::collections::{BTreeMap, BTreeSet};

use fenzo::{
    AttributeValue, Combination, Constraint, DeviceUse, Fitness, GroupName, HostId, Lease, Measure,
    Milli, PlacedTask, SchedulingResult, SetUse, TaskClass, TaskId, TaskRequest,
};

pub(crate) use state::Restored;
use state::{On, State, amounts, of};

use crate::properties::world::closures;

/// Ranks that are this close are equal: sums are made in another order here.
const CLOSE: f64 = 1e-12;

/// What the run chose by; the oracle has its own formulas.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) fitness: Fitness,
    pub(crate) combination: Combination,
    pub(crate) good_enough: Option<f64>,
    /// The most of each measure that a group may have; a group that is not listed gets nothing, if any is.
    pub(crate) limits: BTreeMap<GroupName, [Option<Milli>; 4]>,
    pub(crate) single_lease: bool,
    /// A closure judges members of named sets.
    pub(crate) judges_sets: bool,
    pub(crate) disabled: BTreeSet<HostId>,
    /// Only hosts of these zones are used, if there are any.
    pub(crate) active_zones: BTreeSet<AttributeValue>,
    /// A closure that every host must pass, by name.
    pub(crate) filter: Option<&'static str>,
}

/// A host that would do, with what the task would use there.
struct Judged<'h> {
    host: &'h HostId,
    rank: f64,
    combined: f64,
    sets: Vec<SetUse>,
    devices: Vec<DeviceUse>,
}

pub(crate) struct Oracle<'a> {
    state: State<'a>,
    rule: &'a Rule,
    placed: BTreeMap<TaskId, &'a PlacedTask>,
    host_of: BTreeMap<TaskId, HostId>,
}

impl<'a> Oracle<'a> {
    pub(crate) fn new(
        leases: &'a [Lease],
        running: &'a [Restored],
        rule: &'a Rule,
        result: &'a SchedulingResult,
    ) -> Self {
        let mut oracle = Self {
            state: State::new(leases, running, rule),
            rule,
            placed: BTreeMap::new(),
            host_of: BTreeMap::new(),
        };
        for assignment in &result.assignments {
            for task in &assignment.tasks {
                oracle.placed.insert(task.request.id.clone(), task);
                oracle.host_of.insert(task.request.id.clone(), assignment.host.clone());
            }
        }
        oracle
    }

    /// Replays a run; panics at the first decision that is wrong.
    pub(crate) fn replay(mut self, tasks: &'a [TaskRequest], result: &SchedulingResult) {
        let failed: BTreeSet<&TaskId> = result.failures.iter().flat_map(|f| &f.tasks).collect();
        for task in tasks {
            let found = self.place(task, None);
            let got = self.host_of.get(&task.id);
            assert_eq!(got, found.as_ref(), "task {} of class {:?}", task.id, task.class);
            assert_eq!(failed.contains(&task.id), found.is_none(), "task {}", task.id);
        }
        assert_eq!(result.placed() + result.failed(), tasks.len());
        self.check_details();
        self.check_growth();
    }

    /// Puts a task where it belongs, on one of these hosts if only some are permitted.
    fn place(
        &mut self,
        task: &'a TaskRequest,
        within: Option<&BTreeSet<HostId>>,
    ) -> Option<HostId> {
        let Judged { host, sets, devices, .. } = self.best(task, within)?;
        let (host, class) = (host.clone(), &*task.class);
        let ports = self.state.free_ports(&host).into_iter().take(class.ports as usize).collect();
        let id = task.id.clone();
        self.state.on.push(On { id, host: host.clone(), class, ports, sets, devices, new: true });
        Some(host)
    }

    /// The host for a task. Of hosts that only rounding tells apart it is the one that the run has taken, if it
    /// is among them.
    fn best(&self, task: &TaskRequest, within: Option<&BTreeSet<HostId>>) -> Option<Judged<'_>> {
        if self.is_over_limit(&task.class) {
            return None;
        }
        let hosts = self.state.hosts.iter();
        let hosts = hosts.filter(|host| within.is_none_or(|within| within.contains(*host)));
        let mut judged: Vec<Judged<'_>> =
            hosts.filter_map(|host| self.judge(&task.class, host)).collect();
        let is_good =
            |one: &Judged<'_>| self.rule.good_enough.is_some_and(|bound| one.combined >= bound);
        if let Some(first) = judged.iter().position(is_good) {
            return Some(judged.swap_remove(first));
        }
        let taken = self.host_of.get(&task.id);
        let highest = judged.iter().map(|one| one.rank).fold(f64::NEG_INFINITY, f64::max);
        let first = judged.iter().position(|one| one.rank == highest)?;
        let rounded = judged.iter().position(|one| {
            (one.rank - highest).abs() < CLOSE && one.rank != highest && Some(one.host) == taken
        });
        Some(judged.swap_remove(rounded.unwrap_or(first)))
    }

    fn is_over_limit(&self, class: &TaskClass) -> bool {
        if self.rule.limits.is_empty() {
            return false;
        }
        let Some(limit) = self.rule.limits.get(&class.group) else { return true };
        Measure::ALL.iter().zip(limit).any(|(measure, most)| {
            let taken = self.state.on.iter().filter(|on| on.class.group == class.group);
            let taken: u64 = taken.map(|on| of(&on.class.demand, *measure)).sum();
            most.is_some_and(|most| taken + of(&class.demand, *measure) > most.thousandths())
        })
    }

    fn judge<'h>(&self, class: &TaskClass, host: &'h HostId) -> Option<Judged<'h>> {
        let state = &self.state;
        let free = state.free(host);
        let fits = amounts(&class.demand)
            .iter()
            .all(|(name, wanted)| free.get(name).copied().unwrap_or(0) >= *wanted);
        let held = state.on_host(host).any(|on| on.class.hard.contains(&Constraint::ExclusiveHost));
        let is_offered = state.leases_of(host).next().is_some();
        let ports = state.free_ports(host).len() >= class.ports as usize;
        if !(is_offered && fits && ports && !held && self.passes(class, host)) {
            return None;
        }
        let (sets, of_sets) = state.use_of_sets(class, host)?;
        let devices = state.use_of_devices(class, host)?;
        let calculator = state.fitness(class, host, &self.rule.fitness);
        let fenzo1 = self.rule.combination == Combination::Fenzo1;
        if calculator.is_nan() || (fenzo1 && calculator <= 0.0) {
            return None;
        }
        let soft = state.soft(class, host);
        let wished = of_sets.unwrap_or(0.0) * 15.0 + soft.unwrap_or(1.0) * 50.0;
        let rank = (wished + calculator * 35.0) / 100.0;
        let (mut sum, mut weights) = (calculator * 35.0, 35.0);
        for (part, weight) in [(soft, 50.0), (of_sets, 15.0)] {
            sum += part.unwrap_or(0.0) * weight;
            weights += if part.is_some() { weight } else { 0.0 };
        }
        let whole = if weights == 35.0 { calculator } else { sum / weights };
        let combined = if fenzo1 { rank } else { whole };
        Some(Judged { host, rank, combined, sets, devices })
    }

    /// Whether nothing is against a host by rule.
    fn passes(&self, class: &TaskClass, host: &HostId) -> bool {
        let state = &self.state;
        let permitted = self.rule.filter.is_none_or(|filter| {
            let tasks = state.on_host(host).count();
            let (used, total) = state.used_and_total(host, Measure::Cpus);
            closures::expected(filter, host, tasks, total - used) > 0.0
        });
        permitted && class.hard.iter().all(|constraint| state.holds(constraint, class, host))
    }

    /// Ports, members of sets and devices are those that the oracle would have given.
    fn check_details(&self) {
        for on in self.state.on.iter().filter(|on| on.new) {
            let task = self.placed[&on.id];
            assert_eq!(task.ports, on.ports, "ports of {}", on.id);
            assert_eq!(task.sets, on.sets, "sets of {}", on.id);
            assert_eq!(task.devices, on.devices, "devices of {}", on.id);
        }
    }
}
