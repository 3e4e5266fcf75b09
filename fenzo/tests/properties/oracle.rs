//! A second, slow scheduler that shares no code with the first: it recounts everything for every question.
//!
//! It replays a result task by task and says where the first scheduler was wrong.

use std::collections::{BTreeMap, BTreeSet};

use fenzo::{
    AttributeValue, Combination, Constraint, Fitness, GroupName, HostId, Lease, Level, Measure,
    Milli, Resources, SchedulingResult, TaskClass, TaskId, TaskRequest,
};

/// Ranks that are this close are equal: sums are made in another order here.
const CLOSE: f64 = 1e-12;

/// What the run chose by; the oracle has its own formulas.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) fitness: Fitness,
    pub(crate) combination: Combination,
    pub(crate) good_enough: Option<f64>,
    /// The most cpus of each group; a group that is not listed gets nothing, if any is.
    pub(crate) limits: Vec<(GroupName, Milli)>,
}

/// A host that would do.
struct Judged<'h> {
    host: &'h HostId,
    rank: f64,
    combined: f64,
}

pub(crate) struct Oracle<'a> {
    leases: &'a [Lease],
    hosts: BTreeSet<HostId>,
    /// Where each running or placed task is.
    on: Vec<(HostId, &'a TaskClass, bool)>,
}

fn amounts(resources: &Resources) -> BTreeMap<String, u64> {
    let mut amounts: BTreeMap<String, u64> = resources
        .scalars
        .iter()
        .map(|(name, amount)| (format!("scalar {name}"), amount.thousandths()))
        .collect();
    amounts.insert("cpus".into(), resources.cpus.thousandths());
    amounts.insert("mem".into(), resources.mem.thousandths());
    amounts.insert("disk".into(), resources.disk.thousandths());
    amounts.insert("network".into(), resources.network.thousandths());
    amounts
}

impl<'a> Oracle<'a> {
    pub(crate) fn new(leases: &'a [Lease], running: &'a [(TaskRequest, HostId)]) -> Self {
        let mut hosts: BTreeSet<HostId> = leases.iter().map(|lease| lease.host.clone()).collect();
        hosts.extend(running.iter().map(|(_, host)| host.clone()));
        let on = running.iter().map(|(task, host)| (host.clone(), &*task.class, false)).collect();
        Self { leases, hosts, on }
    }

    /// Replays a run; panics at the first decision that is wrong.
    pub(crate) fn replay(
        &mut self,
        tasks: &'a [TaskRequest],
        result: &SchedulingResult,
        rule: &Rule,
    ) {
        let failed: BTreeSet<&TaskId> = result.failures.iter().flat_map(|f| &f.tasks).collect();
        for task in tasks {
            let got = result.host_of(&task.id).cloned();
            let best = self.best(&task.class, rule, got.as_ref());
            assert_eq!(got, best, "task {} of class {:?}", task.id, task.class);
            assert_eq!(failed.contains(&task.id), best.is_none(), "task {}", task.id);
            if let Some(host) = best {
                self.on.push((host, &task.class, true));
            }
        }
        assert_eq!(result.placed() + result.failed(), tasks.len());
    }

    /// The host for a task. Of hosts that only rounding tells apart it is the one that the run has taken, if it
    /// is among them.
    fn best(&self, class: &TaskClass, rule: &Rule, taken: Option<&HostId>) -> Option<HostId> {
        if self.is_over_limit(class, rule) {
            return None;
        }
        let judged: Vec<Judged<'_>> =
            self.hosts.iter().filter_map(|host| self.judge(class, host, rule)).collect();
        let is_good =
            |one: &&Judged<'_>| rule.good_enough.is_some_and(|bound| one.combined >= bound);
        if let Some(first) = judged.iter().find(is_good) {
            return Some(first.host.clone());
        }
        let highest = judged.iter().map(|one| one.rank).fold(f64::NEG_INFINITY, f64::max);
        let first = judged.iter().find(|one| one.rank == highest)?;
        let close = judged.iter().filter(|one| (one.rank - highest).abs() < CLOSE);
        let rounded = close.filter(|one| one.rank != highest).find(|one| Some(one.host) == taken);
        Some(rounded.unwrap_or(first).host.clone())
    }

    fn is_over_limit(&self, class: &TaskClass, rule: &Rule) -> bool {
        let limit = rule.limits.iter().find(|(group, _)| *group == class.group);
        let Some((_, most)) = limit else { return !rule.limits.is_empty() && takes_any(class) };
        let taken = self.on.iter().filter(|(_, other, _)| other.group == class.group);
        let taken: u64 = taken.map(|(_, class, _)| class.demand.cpus.thousandths()).sum();
        taken + class.demand.cpus.thousandths() > most.thousandths()
    }

    fn judge<'h>(&self, class: &TaskClass, host: &'h HostId, rule: &Rule) -> Option<Judged<'h>> {
        if !self.admits(class, host) {
            return None;
        }
        let calculator = self.fitness(class, host, &rule.fitness);
        if rule.combination == Combination::Fenzo1 && calculator <= 0.0 {
            return None;
        }
        let soft = self.soft(class, host);
        let rank = (soft * 50.0 + calculator * 35.0) / 100.0;
        let wishes = class.soft.iter().any(|soft| soft.weight > 0);
        let combined = match rule.combination {
            Combination::Fenzo1 => rank,
            Combination::Whole if wishes => (calculator * 35.0 + soft * 50.0) / 85.0,
            Combination::Whole => calculator,
        };
        Some(Judged { host, rank, combined })
    }

    fn tasks_on(&self, host: &HostId) -> Vec<&TaskClass> {
        self.on.iter().filter(|(on, ..)| on == host).map(|(_, class, _)| *class).collect()
    }

    fn attribute(&self, host: &HostId, name: &str) -> Option<AttributeValue> {
        if name == fenzo::HOSTNAME {
            return Some(host.as_str().into());
        }
        let leases = self.leases.iter().filter(|lease| lease.host == *host);
        let latest = leases.max_by_key(|lease| (lease.offered_at, lease.id.clone()))?;
        latest.attributes.get(name).cloned()
    }

    fn offered(&self, host: &HostId) -> Resources {
        let mut sum = Resources::default();
        for lease in self.leases.iter().filter(|lease| lease.host == *host) {
            sum.add(&lease.offered);
        }
        sum
    }

    fn taken(&self, host: &HostId, running_too: bool) -> (Resources, u64) {
        let (mut sum, mut ports) = (Resources::default(), 0);
        for (on, class, new) in &self.on {
            if on == host && (*new || running_too) {
                sum.add(&class.demand);
                ports += u64::from(class.ports);
            }
        }
        (sum, ports)
    }

    fn admits(&self, class: &TaskClass, host: &HostId) -> bool {
        let leases: Vec<&Lease> = self.leases.iter().filter(|l| l.host == *host).collect();
        let (taken, ports_taken) = self.taken(host, false);
        let (offered, taken) = (amounts(&self.offered(host)), amounts(&taken));
        let of =
            |amounts: &BTreeMap<String, u64>, name: &str| amounts.get(name).copied().unwrap_or(0);
        let fits = amounts(&class.demand)
            .iter()
            .all(|(name, wanted)| of(&taken, name) + wanted <= of(&offered, name));
        let ranges = leases.iter().flat_map(|lease| &lease.ports);
        let ports: BTreeSet<u16> = ranges.flat_map(|r| r.begin()..=r.end()).collect();
        let held = self.tasks_on(host).iter().any(|c| c.hard.contains(&Constraint::ExclusiveHost));
        !leases.is_empty()
            && fits
            && ports_taken + u64::from(class.ports) <= ports.len() as u64
            && !held
            && class.hard.iter().all(|constraint| self.holds(constraint, class, host))
    }

    fn soft(&self, class: &TaskClass, host: &HostId) -> f64 {
        let (mut sum, mut weights) = (0.0, 0.0);
        for soft in &class.soft {
            sum += f64::from(soft.weight) * self.score(&soft.constraint, class, host);
            weights += f64::from(soft.weight);
        }
        if weights == 0.0 { 1.0 } else { sum / weights }
    }

    /// How many tasks of a group are at the host's place of a level, at the fullest place, and anywhere; `None`
    /// for a host that is nowhere. Levels are hosts and zones here.
    fn at_place(&self, key: &GroupName, level: &Level, host: &HostId) -> Option<[usize; 3]> {
        let name = if level.is_host() { fenzo::HOSTNAME } else { "zone" };
        let place = self.attribute(host, name)?;
        let of_key = self.on.iter().filter(|(_, class, _)| class.group == *key);
        let places: Vec<_> = of_key.filter_map(|(on, ..)| self.attribute(on, name)).collect();
        let count = |place: &AttributeValue| places.iter().filter(|other| *other == place).count();
        let most = places.iter().map(count).max().unwrap_or(0);
        Some([count(&place), most, places.len()])
    }

    fn holds(&self, constraint: &Constraint, class: &TaskClass, host: &HostId) -> bool {
        match constraint {
            Constraint::Affinity { key, level } => {
                let Some([here, _, anywhere]) = self.at_place(key, level, host) else {
                    return false;
                };
                here > 0 || (*key == class.group && anywhere == 0)
            }
            Constraint::AntiAffinity { key, level } => {
                self.at_place(key, level, host).is_some_and(|[here, ..]| here == 0)
            }
            Constraint::Spread { key, level, max_skew } => {
                self.is_spread(key, level, *max_skew, class, host) >= 1.0
            }
            _ => self.score(constraint, class, host) >= 1.0,
        }
    }

    /// Skew is over the places of hosts that pass the class's tests of attributes.
    fn is_spread(
        &self,
        key: &GroupName,
        level: &Level,
        max_skew: u32,
        class: &TaskClass,
        host: &HostId,
    ) -> f64 {
        let name = if level.is_host() { fenzo::HOSTNAME } else { "zone" };
        let balanced = Constraint::Balanced { name: name.into(), max_skew, expected_values: 0 };
        let as_key = TaskClass { group: key.clone(), ..class.clone() };
        self.score(&balanced, &as_key, host)
    }

    fn score(&self, constraint: &Constraint, class: &TaskClass, host: &HostId) -> f64 {
        let co_tasks = |at: &dyn Fn(&HostId) -> bool| {
            self.on.iter().filter(|(on, c, _)| c.group == class.group && at(on)).count()
        };
        let holds = match constraint {
            Constraint::Attribute { name, test } => {
                test.passes(self.attribute(host, name).as_ref())
            }
            Constraint::UniqueHost => co_tasks(&|on| on == host) == 0,
            Constraint::ExclusiveHost => self.tasks_on(host).is_empty(),
            Constraint::UniqueAttribute { name } => {
                let value = self.attribute(host, name);
                value.is_some() && co_tasks(&|on| self.attribute(on, name) == value) == 0
            }
            Constraint::Balanced { name, max_skew, expected_values } => {
                let Some(value) = self.attribute(host, name) else { return 0.0 };
                let count =
                    |value| co_tasks(&|on| self.attribute(on, name).as_ref() == Some(value));
                let passes = |host: &&HostId| {
                    class.hard.iter().all(|constraint| match constraint {
                        Constraint::Attribute { name, test } => {
                            test.passes(self.attribute(host, name).as_ref())
                        }
                        _ => true,
                    })
                };
                let eligible = self.hosts.iter().filter(passes);
                let values: BTreeSet<_> =
                    eligible.filter_map(|host| self.attribute(host, name)).collect();
                let mut fewest = values.iter().map(count).min().unwrap_or(0);
                if values.len() < *expected_values as usize {
                    fewest = 0;
                }
                let skew = (count(&value) + 1).saturating_sub(fewest).max(1);
                let excess = skew.saturating_sub((*max_skew).max(1) as usize);
                return 1.0 / (1.0 + excess as f64);
            }
            Constraint::Affinity { key, level } => {
                let Some([here, most, _]) = self.at_place(key, level, host) else { return 0.0 };
                return if level.is_host() {
                    f64::from(u8::from(here > 0))
                } else {
                    here as f64 / most.max(1) as f64
                };
            }
            Constraint::AntiAffinity { key, level } => {
                let at = self.at_place(key, level, host);
                return at.map_or(0.0, |[here, ..]| 1.0 / (1.0 + here as f64));
            }
            Constraint::Spread { key, level, max_skew } => {
                if level.is_host() {
                    let [here, ..] = self.at_place(key, level, host).unwrap();
                    return 1.0 / (1.0 + here as f64);
                }
                return self.is_spread(key, level, *max_skew, class, host);
            }
            Constraint::Custom(_) => unreachable!("these properties use no closures"),
        };
        if holds { 1.0 } else { 0.0 }
    }

    fn fitness(&self, class: &TaskClass, host: &HostId, fitness: &Fitness) -> f64 {
        let ratio = |measure: &Measure| {
            let of = |resources: &Resources| match measure {
                Measure::Cpus => resources.cpus.thousandths(),
                Measure::Memory => resources.mem.thousandths(),
                Measure::Disk => resources.disk.thousandths(),
                Measure::Network => resources.network.thousandths(),
            };
            let used = of(&self.taken(host, true).0);
            let new = of(&self.taken(host, false).0);
            let total = of(&self.offered(host)) + used - new;
            if total == 0 { 0.0 } else { (used + of(&class.demand)) as f64 / total as f64 }
        };
        match fitness {
            Fitness::Any => 1.0,
            Fitness::Pack(measures) => {
                measures.iter().map(ratio).sum::<f64>() / measures.len() as f64
            }
            Fitness::Spread(measures) => {
                measures.iter().map(|of| 1.0 - ratio(of)).sum::<f64>() / measures.len() as f64
            }
            Fitness::Weighted(parts) => {
                let part = |(weight, part): &(u32, Fitness)| {
                    f64::from(*weight) * self.fitness(class, host, part)
                };
                let weights: f64 = parts.iter().map(|(weight, _)| f64::from(*weight)).sum();
                parts.iter().map(part).sum::<f64>() / weights
            }
            _ => unreachable!("these properties use no other fitness"),
        }
    }
}

/// Whether a class takes anything that limits are about.
fn takes_any(class: &TaskClass) -> bool {
    let demand = &class.demand;
    [demand.cpus, demand.mem, demand.disk, demand.network].iter().any(|of| *of > Milli::ZERO)
}
