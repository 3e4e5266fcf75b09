//! A task class made ready for a pass: demand by dimension, constraints split by what they look at.
//!
//! Host rules look at one host and change their answer only when that host changes. Value rules look at how
//! the group is spread over the values of an attribute, and answer alike for all hosts with the same value.
//! The index rests on this split, so a new constraint must be put on the right side.

use crate::constraint::{Constraint, SoftConstraint};
use crate::fitness::Score;
use crate::inventory::{self, Inventory};
use crate::request::TaskClass;
use crate::view::HostView;

use super::Choice;
use super::world::{NO_VALUE, World};

/// A constraint over the values of an attribute.
pub(crate) struct ValueRule<'a> {
    pub(crate) constraint: &'a Constraint,
    column: usize,
    /// Where the group keeps its counts.
    slot: usize,
    kind: ValueKind,
}

enum ValueKind {
    /// At most one task of the group a value.
    Unique,
    /// Even counts over the values of a domain. `missing`: fewer values are known than are expected, so that
    /// there are values without a task.
    Balanced { max_skew: u32, missing: bool },
}

/// A class of this pass.
pub(crate) struct Class<'a> {
    class: &'a TaskClass,
    group: usize,
    demand: Vec<(usize, u64)>,
    measures: [u64; 4],
    host_hard: Vec<&'a Constraint>,
    host_soft: Vec<(&'a Constraint, f64)>,
    value_hard: Vec<ValueRule<'a>>,
    value_soft: Vec<(ValueRule<'a>, f64)>,
    soft_weight: f64,
    wants_host_alone: bool,
}

impl<'a> Class<'a> {
    pub(crate) fn new(class: &'a TaskClass, inventory: &Inventory, world: &mut World<'a>) -> Self {
        let group = world.intern_group(&class.group, inventory);
        let mut ready = Self {
            class,
            group,
            demand: world.demand_of(class),
            measures: class.demand.measures(),
            host_hard: Vec::new(),
            host_soft: Vec::new(),
            value_hard: Vec::new(),
            value_soft: Vec::new(),
            soft_weight: 0.0,
            wants_host_alone: inventory::wants_host_alone(class),
        };
        for constraint in &class.hard {
            match value_rule(constraint, class, group, world) {
                Some(rule) => ready.value_hard.push(rule),
                None => ready.host_hard.push(constraint),
            }
        }
        for SoftConstraint { constraint, weight } in &class.soft {
            if *weight == 0 {
                continue;
            }
            let weight = f64::from(*weight);
            ready.soft_weight += weight;
            match value_rule(constraint, class, group, world) {
                Some(rule) => ready.value_soft.push((rule, weight)),
                None => ready.host_soft.push((constraint, weight)),
            }
        }
        ready
    }

    pub(crate) fn group(&self) -> usize {
        self.group
    }

    /// What a task takes, by dimension, without the zeros.
    pub(crate) fn demand(&self) -> &[(usize, u64)] {
        &self.demand
    }

    pub(crate) fn ports(&self) -> u32 {
        self.class.ports
    }

    pub(crate) fn wants_host_alone(&self) -> bool {
        self.wants_host_alone
    }

    /// Whether a refusal can be lifted by placing a co-task.
    pub(crate) fn has_balance(&self) -> bool {
        let balanced = |rule: &ValueRule<'_>| matches!(rule.kind, ValueKind::Balanced { .. });
        self.value_hard.iter().any(balanced)
    }

    /// Whether a refusal can be lifted by placing any task.
    pub(crate) fn has_closure(&self) -> bool {
        self.host_hard.iter().any(|constraint| matches!(constraint, Constraint::Custom(_)))
    }

    pub(crate) fn host_hard(&self) -> &[&'a Constraint] {
        &self.host_hard
    }

    pub(crate) fn value_hard(&self) -> &[ValueRule<'a>] {
        &self.value_hard
    }

    /// Whether the host has room and no host rule refuses it: the cheap tests first, closures last.
    pub(crate) fn admits(&self, world: &World<'_>, host: usize) -> bool {
        let fits = |(dimension, amount): &(usize, u64)| *amount <= world.free(*dimension, host);
        let refuses = |closures: bool| {
            let turn = |c: &&&Constraint| matches!(c, Constraint::Custom(_)) == closures;
            self.host_hard.iter().filter(turn).any(|c| self.host_score(c, world, host) <= 0.0)
        };
        world.is_offered(host)
            && self.demand.iter().all(fits)
            && !world.is_held(host)
            && !refuses(false)
            && !refuses(true)
    }

    /// 0 where a host rule does not hold, 1 where it does, or what a closure says.
    pub(crate) fn host_score(
        &self,
        constraint: &Constraint,
        world: &World<'_>,
        host: usize,
    ) -> f64 {
        let holds = match constraint {
            Constraint::Attribute { name, test } => {
                test.holds(world.id(host), world.attributes(host), name)
            }
            Constraint::UniqueHost => world.in_group(self.group, host) == 0,
            Constraint::ExclusiveHost => world.tasks_on(host) == 0,
            Constraint::Custom(custom) => {
                return custom.score(self.class, &HostView::new(world, host));
            }
            Constraint::UniqueAttribute { .. } | Constraint::Balanced { .. } => {
                unreachable!("value rules are kept apart from host rules")
            }
        };
        f64::from(u8::from(holds))
    }

    /// What the fitness calculator says about a host.
    pub(crate) fn calculator(&self, world: &World<'_>, choice: &Choice, host: usize) -> f64 {
        choice.fitness.score(self.class, &self.measures, &HostView::new(world, host))
    }

    /// The part of the soft score that host rules give, by weight.
    pub(crate) fn host_soft(&self, world: &World<'_>, host: usize) -> f64 {
        let score = |(constraint, weight): &(&Constraint, f64)| {
            weight * self.host_score(constraint, world, host)
        };
        self.host_soft.iter().map(score).sum()
    }

    /// The columns that value rules look at, hard ones first.
    pub(crate) fn columns(&self) -> impl Iterator<Item = usize> {
        let soft = self.value_soft.iter().map(|(rule, _)| rule.column);
        self.value_hard.iter().map(|rule| rule.column).chain(soft)
    }

    /// The part of the soft score that value rules give, by weight, for a host with these values in the order
    /// of [`Class::columns`]; `None` if a hard value rule refuses them.
    pub(crate) fn value_soft(&self, world: &World<'_>, values: &[u32]) -> Option<f64> {
        let (hard, soft) = values.split_at(self.value_hard.len());
        for (rule, value) in self.value_hard.iter().zip(hard) {
            if rule.score(world, self.group, *value) < 1.0 {
                return None;
            }
        }
        let score = |((rule, weight), value): (&(ValueRule<'_>, f64), &u32)| {
            weight * rule.score(world, self.group, *value)
        };
        Some(self.value_soft.iter().zip(soft).map(score).sum())
    }

    /// A host's score from its parts.
    pub(crate) fn combine(&self, calculator: f64, host_soft: f64, value_soft: f64) -> Score {
        let wished = self.soft_weight > 0.0;
        Score::new(calculator, wished.then(|| (host_soft + value_soft) / self.soft_weight))
    }

    /// Whether a hard value rule holds for a host.
    pub(crate) fn value_rule_holds(
        &self,
        rule: &ValueRule<'_>,
        world: &World<'_>,
        host: usize,
    ) -> bool {
        rule.score(world, self.group, world.value_of(rule.column, host)) >= 1.0
    }
}

impl ValueRule<'_> {
    /// 1 where the rule holds for one more task on a host with this value, less where it does not.
    fn score(&self, world: &World<'_>, group: usize, value: u32) -> f64 {
        if value == NO_VALUE {
            return 0.0;
        }
        let counts = world.by_value(group, self.slot);
        let here = counts.count(value);
        match self.kind {
            ValueKind::Unique => f64::from(u8::from(here == 0)),
            ValueKind::Balanced { max_skew, missing } => {
                let fewest = if missing { 0 } else { counts.fewest().min(here) };
                let skew = here - fewest;
                // The task adds one; it may lead by `max_skew`, which is at least one.
                1.0 / (1.0 + f64::from(skew.saturating_sub(max_skew - 1)))
            }
        }
    }
}

/// The rule for a constraint over values; `None` for one that looks at a host alone.
fn value_rule<'a>(
    constraint: &'a Constraint,
    class: &'a TaskClass,
    group: usize,
    world: &mut World<'a>,
) -> Option<ValueRule<'a>> {
    let (column, kind, domain) = match constraint {
        Constraint::UniqueAttribute { name } => {
            (world.intern_column(name), ValueKind::Unique, None)
        }
        Constraint::Balanced { name, max_skew, expected_values } => {
            let column = world.intern_column(name);
            let domain = domain(class, world, column);
            let known = match &domain {
                None => world.values(column),
                Some(domain) => domain.iter().filter(|inside| **inside).count(),
            };
            let missing = known < usize::try_from(*expected_values).unwrap_or(usize::MAX);
            (column, ValueKind::Balanced { max_skew: (*max_skew).max(1), missing }, domain)
        }
        Constraint::Attribute { .. }
        | Constraint::UniqueHost
        | Constraint::ExclusiveHost
        | Constraint::Custom(_) => return None,
    };
    let slot = world.count_by_value(group, column, domain);
    Some(ValueRule { constraint, column, slot, kind })
}

/// The values of a column that hosts have which pass the class's hard attribute tests; `None` for all.
fn domain(class: &TaskClass, world: &World<'_>, column: usize) -> Option<Vec<bool>> {
    let tests: Vec<_> = class
        .hard
        .iter()
        .filter_map(|constraint| match constraint {
            Constraint::Attribute { name, test } => Some((name, test)),
            Constraint::UniqueHost
            | Constraint::UniqueAttribute { .. }
            | Constraint::Balanced { .. }
            | Constraint::ExclusiveHost
            | Constraint::Custom(_) => None,
        })
        .collect();
    if tests.is_empty() {
        return None;
    }
    let mut domain = vec![false; world.values(column)];
    for host in 0..world.hosts() {
        let passes = tests
            .iter()
            .all(|(name, test)| test.holds(world.id(host), world.attributes(host), name));
        let value = world.value_of(column, host);
        if passes && value != NO_VALUE {
            domain[value as usize] = true;
        }
    }
    Some(domain)
}
