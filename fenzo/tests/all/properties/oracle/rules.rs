//! Constraints, wishes and fitness, by their definitions.

use std::collections::BTreeSet;

use fenzo::{
    AttributeTest, AttributeValue, Constraint, Fitness, GroupName, HostId, Level, Measure,
    TaskClass,
};

use super::state::State;
use crate::properties::world::closures;

/// Whether a test of an attribute holds, by the words of its definition.
fn passes(test: &AttributeTest, value: Option<&AttributeValue>) -> bool {
    let number = match value {
        Some(AttributeValue::Scalar(number)) => Some(*number),
        Some(AttributeValue::Text(_)) | None => None,
    };
    let is = |wanted: &AttributeValue| value.is_some_and(|value| value == wanted);
    match test {
        AttributeTest::Equals(wanted) => is(wanted),
        AttributeTest::NotEquals(unwanted) => !is(unwanted),
        AttributeTest::In(wanted) => wanted.iter().any(is),
        AttributeTest::NotIn(unwanted) => !unwanted.iter().any(is),
        AttributeTest::Exists => value.is_some(),
        AttributeTest::Absent => value.is_none(),
        AttributeTest::AtLeast(least) => number.is_some_and(|number| number >= *least),
        AttributeTest::AtMost(most) => number.is_some_and(|number| number <= *most),
        AttributeTest::MoreThan(bound) => number.is_some_and(|number| number > *bound),
        AttributeTest::LessThan(bound) => number.is_some_and(|number| number < *bound),
    }
}

/// Whether a task has a key.
fn has_key(class: &TaskClass, key: &GroupName) -> bool {
    class.group == *key || class.keys.contains(key)
}

impl State<'_> {
    /// How many tasks with a key are at the host's place of a level, at the fullest place, and anywhere; `None`
    /// for a host that is nowhere.
    fn at_place(&self, key: &GroupName, level: &Level, host: &HostId) -> Option<[usize; 3]> {
        let place = self.place(host, level)?;
        let tasks = self.on.iter().filter(|on| has_key(on.class, key));
        let places: Vec<_> = tasks.filter_map(|on| self.place(&on.host, level)).collect();
        let count = |place: &Vec<AttributeValue>| places.iter().filter(|at| *at == place).count();
        let most = places.iter().map(count).max().unwrap_or(0);
        Some([count(&place), most, places.len()])
    }

    pub(super) fn holds(&self, constraint: &Constraint, class: &TaskClass, host: &HostId) -> bool {
        match constraint {
            Constraint::Affinity { key, level } => {
                let Some([here, _, anywhere]) = self.at_place(key, level, host) else {
                    return false;
                };
                here > 0 || (has_key(class, key) && anywhere == 0)
            }
            Constraint::AntiAffinity { key, level } => {
                self.at_place(key, level, host).is_some_and(|[here, ..]| here == 0)
            }
            Constraint::Spread { key, level, max_skew } => {
                self.balance(&|on| has_key(on, key), level, (*max_skew, 0), class, host) >= 1.0
            }
            Constraint::Custom(_) => self.score(constraint, class, host) > 0.0,
            _ => self.score(constraint, class, host) >= 1.0,
        }
    }

    /// 1 if tasks that pass stay in balance over the places of hosts that pass the class's tests of attributes.
    fn balance(
        &self,
        who: &dyn Fn(&TaskClass) -> bool,
        level: &Level,
        (max_skew, expected): (u32, u32),
        class: &TaskClass,
        host: &HostId,
    ) -> f64 {
        let Some(place) = self.place(host, level) else { return 0.0 };
        let count = |place: &Vec<AttributeValue>| {
            self.count(who, |on| self.place(on, level).as_ref() == Some(place))
        };
        let passes = |host: &&HostId| {
            class.hard.iter().all(|constraint| match constraint {
                Constraint::Attribute { name, test } => {
                    passes(test, self.attribute(host, name).as_ref())
                }
                _ => true,
            })
        };
        let eligible = self.hosts.iter().filter(passes);
        let places: BTreeSet<_> = eligible.filter_map(|host| self.place(host, level)).collect();
        // Without places there is nothing to keep in balance, unless more are expected.
        let mut fewest = places.iter().map(count).min().unwrap_or(usize::MAX);
        if places.len() < expected as usize {
            fewest = 0;
        }
        let skew = (count(&place) + 1).saturating_sub(fewest).max(1);
        let excess = skew.saturating_sub(max_skew.max(1) as usize);
        1.0 / (1.0 + excess as f64)
    }

    /// The mean of the wishes; `None` if there are none.
    pub(super) fn soft(&self, class: &TaskClass, host: &HostId) -> Option<f64> {
        let (mut sum, mut weights) = (0.0, 0.0);
        for soft in &class.soft {
            sum += f64::from(soft.weight) * self.score(&soft.constraint, class, host);
            weights += f64::from(soft.weight);
        }
        (weights > 0.0).then(|| sum / weights)
    }

    fn score(&self, constraint: &Constraint, class: &TaskClass, host: &HostId) -> f64 {
        let is_co_task = |other: &TaskClass| other.group == class.group;
        let holds = match constraint {
            Constraint::Attribute { name, test } => {
                passes(test, self.attribute(host, name).as_ref())
            }
            Constraint::UniqueHost => self.count(is_co_task, |on| on == host) == 0,
            Constraint::ExclusiveHost => self.on_host(host).next().is_none(),
            Constraint::UniqueAttribute { name } => {
                let value = self.attribute(host, name);
                value.is_some()
                    && self.count(is_co_task, |on| self.attribute(on, name) == value) == 0
            }
            Constraint::Balanced { name, max_skew, expected_values } => {
                let (level, skew) = (Level::attribute(name), (*max_skew, *expected_values));
                return self.balance(&is_co_task, &level, skew, class, host);
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
            Constraint::Spread { key, level, .. } if level.is_host() => {
                let [here, ..] = self.at_place(key, level, host).unwrap();
                return 1.0 / (1.0 + here as f64);
            }
            Constraint::Spread { key, level, max_skew } => {
                let who = |on: &TaskClass| has_key(on, key);
                return self.balance(&who, level, (*max_skew, 0), class, host);
            }
            Constraint::Custom(custom) => {
                let tasks = self.on_host(host).count();
                let (used, total) = self.used_and_total(host, Measure::Cpus);
                return closures::expected(custom.name(), host, tasks, total - used);
            }
        };
        f64::from(u8::from(holds))
    }

    /// Not-a-number where the host cannot be judged.
    pub(super) fn fitness(&self, class: &TaskClass, host: &HostId, fitness: &Fitness) -> f64 {
        let ratio = |measure: &Measure| {
            let (used, total) = self.used_and_total(host, *measure);
            let new = super::state::of(&class.demand, *measure);
            if total == 0 { 0.0 } else { (used + new) as f64 / total as f64 }
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
            Fitness::Custom(_) => {
                let tasks = self.on_host(host).count();
                let (used, total) = self.used_and_total(host, Measure::Cpus);
                closures::expected_fitness(host, tasks, total - used)
            }
            Fitness::Devices(_) => self.tightness(class, host),
            Fitness::PackScalar(name) => self.scalar_ratio(class, host, name),
            Fitness::SpreadScalar(name) => 1.0 - self.scalar_ratio(class, host, name),
        }
    }
}
