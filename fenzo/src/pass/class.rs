//! A task class made ready for a pass: demand by dimension, constraints split by what they look at.
//!
//! Host rules look at one host and change their answer only when that host changes. Value rules look at how
//! the group is spread over the values of an attribute, and answer alike for all hosts with the same value.
//! Finding the best host rests on this split, so a new constraint must be put on the right side.

use crate::cluster::columns::{Demand, covers};
use crate::cluster::devices::Pick;
use crate::cluster::{Cluster, keys, wants_host_alone};
use crate::constraint::{Constraint, SoftConstraint};
use crate::device::DeviceRequest;
use crate::fitness::Score;
use crate::id::DeviceKind;
use crate::request::TaskClass;
use crate::view::HostView;

use super::Choice;
use super::rule::{HostRule, ValueKind, ValueRule, named_hosts, value_rule};

/// Hosts that pass a test are gone through one by one if they are fewer than one of this many.
const FEW: usize = 16;

/// So many combinations of values can be gone through for each task.
const FEW_VALUES: usize = 64;

/// What keeps a class from a host, first of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Against {
    /// The closure at this position among the hard host rules; nothing else does.
    Closure(usize),
    Other,
}

/// A class of this pass.
pub(crate) struct Class<'a> {
    class: &'a TaskClass,
    group: usize,
    demand: Demand,
    measures: [u64; 4],
    /// Closures last.
    host_hard: Vec<HostRule<'a>>,
    host_soft: Vec<(HostRule<'a>, f64)>,
    value_hard: Vec<ValueRule<'a>>,
    value_soft: Vec<(ValueRule<'a>, f64)>,
    soft_weight: f64,
    wants_host_alone: bool,
    has_closure: bool,
    /// Named sets decide as well: the class asks for some, or hosts have some.
    minds_sets: bool,
}

impl<'a> Class<'a> {
    /// `filter` is asked about every host, whatever the class.
    pub(crate) fn new(
        class: &'a TaskClass,
        filter: Option<&'a Constraint>,
        cluster: &mut Cluster,
    ) -> Self {
        let group = cluster.group(&class.group);
        let keys: Vec<usize> = keys(class).map(|key| cluster.group(key)).collect();
        let mut ready = Self {
            class,
            group,
            demand: cluster.columns().demand_of(class),
            measures: class.demand.measures(),
            host_hard: Vec::new(),
            host_soft: Vec::new(),
            value_hard: Vec::new(),
            value_soft: Vec::new(),
            soft_weight: 0.0,
            wants_host_alone: wants_host_alone(class),
            has_closure: false,
            minds_sets: cluster.has_sets() || !class.sets.is_empty(),
        };
        ready.demand.keys = keys;
        for constraint in class.hard.iter().chain(filter) {
            match value_rule(constraint, class, group, cluster, true) {
                Some(rule) => ready.value_hard.push(rule),
                None => ready.host_hard.push(HostRule::new(constraint, group, cluster)),
            }
        }
        let is_closure = |rule: &HostRule<'_>| matches!(rule.constraint, Constraint::Custom(_));
        ready.host_hard.sort_by_key(is_closure);
        ready.has_closure = ready.host_hard.last().is_some_and(is_closure);
        for SoftConstraint { constraint, weight } in &class.soft {
            if *weight == 0 {
                continue;
            }
            let weight = f64::from(*weight);
            ready.soft_weight += weight;
            match value_rule(constraint, class, group, cluster, false) {
                Some(rule) => ready.value_soft.push((rule, weight)),
                None => ready.host_soft.push((HostRule::new(constraint, group, cluster), weight)),
            }
        }
        ready
    }

    pub(crate) fn class(&self) -> &'a TaskClass {
        self.class
    }

    pub(crate) fn group(&self) -> usize {
        self.group
    }

    /// What a task takes.
    pub(crate) fn demand(&self) -> &Demand {
        &self.demand
    }

    pub(crate) fn wants_host_alone(&self) -> bool {
        self.wants_host_alone
    }

    /// Whether it has no wishes, so that the calculator alone ranks hosts.
    pub(crate) fn wishes_nothing(&self) -> bool {
        self.host_soft.is_empty() && self.value_soft.is_empty()
    }

    /// Whether there is more to a host than room and what the calculator says of it, and all of that changes only
    /// with the host: it pays to remember it. How groups are spread over values may have a say beside closures, if
    /// there are few values.
    pub(crate) fn is_decided_host_by_host(&self, cluster: &Cluster) -> bool {
        let by_hosts = !self.host_hard.is_empty()
            || !self.host_soft.is_empty()
            || !self.demand.devices.is_empty()
            || self.minds_sets;
        let few_values = || {
            let values = self.columns().map(|column| cluster.values().living(column) + 1);
            values.fold(1, usize::saturating_mul) <= FEW_VALUES
        };
        let in_cells = || self.has_closure && self.host_soft.is_empty() && few_values();
        by_hosts && (self.columns().next().is_none() || in_cells())
    }

    /// Whether room alone decides if a host admits it.
    pub(crate) fn wants_room_alone(&self) -> bool {
        self.host_hard.is_empty()
            && self.value_hard.is_empty()
            && !self.minds_sets
            && self.demand.devices.is_empty()
    }

    /// Whether named sets decide as well: the class asks for some, or hosts have some.
    pub(crate) fn minds_sets(&self) -> bool {
        self.minds_sets
    }

    /// The named set of a host that cannot serve the class, if there is one.
    pub(crate) fn lacks_set<'h>(&'h self, cluster: &'h Cluster, host: usize) -> Option<&'h str> {
        if !self.minds_sets {
            return None;
        }
        cluster.host(host).sets.lacks(&self.demand.sets)
    }

    /// The devices that a host lacks for the class, if it does.
    pub(crate) fn lacks_devices(
        &self,
        cluster: &Cluster,
        host: usize,
    ) -> Option<(&DeviceKind, &DeviceRequest)> {
        if self.demand.devices.is_empty() {
            return None;
        }
        cluster.host(host).devices.lacks(&self.demand.devices)
    }

    /// Whether a refusal can be lifted by placing a co-task.
    pub(crate) fn has_balance(&self) -> bool {
        let balanced = |rule: &ValueRule<'_>| {
            matches!(rule.kind, ValueKind::Balanced { .. } | ValueKind::Near { .. })
        };
        self.value_hard.iter().any(balanced)
    }

    /// The groups that hard rules look at.
    pub(crate) fn watched(&self) -> impl Iterator<Item = usize> {
        let on_host = self.host_hard.iter().filter(|rule| {
            matches!(rule.constraint, Constraint::UniqueHost | Constraint::AntiAffinity { .. })
        });
        self.value_hard.iter().map(|rule| rule.group).chain(on_host.map(|rule| rule.group))
    }

    /// All groups that the class is of or looks at.
    pub(crate) fn groups(&self) -> impl Iterator<Item = usize> {
        let value_soft = self.value_soft.iter().map(|(rule, _)| rule.group);
        let host_soft = self.host_soft.iter().map(|(rule, _)| rule.group);
        let host_hard = self.host_hard.iter().map(|rule| rule.group);
        let value_hard = self.value_hard.iter().map(|rule| rule.group);
        let own = self.demand.keys.iter().copied().chain([self.group]);
        own.chain(value_hard).chain(host_hard).chain(value_soft).chain(host_soft)
    }

    /// Changes whenever a task is placed or taken back that value rules look at.
    pub(crate) fn version(&self, cluster: &Cluster) -> u64 {
        let version = |rule: &ValueRule<'_>| cluster.groups().version(rule.group);
        self.value_hard.iter().map(version).fold(0, u64::wrapping_add)
    }

    /// Whether a refusal can be lifted by placing any task.
    pub(crate) fn has_closure(&self) -> bool {
        self.has_closure
    }

    pub(crate) fn host_hard(&self) -> &[HostRule<'a>] {
        &self.host_hard
    }

    pub(crate) fn value_hard(&self) -> &[ValueRule<'a>] {
        &self.value_hard
    }

    /// Whether the host has room and no host rule refuses it.
    pub(crate) fn admits(&self, cluster: &Cluster, host: usize) -> bool {
        self.has_room(cluster, host) && self.rules_admit(cluster, host)
    }

    /// What keeps the class from a host, room included, if anything does.
    pub(crate) fn against(&self, cluster: &Cluster, host: usize) -> Option<Against> {
        let full = !self.has_room(cluster, host);
        if full { Some(Against::Other) } else { self.rule_against(cluster, host) }
    }

    fn has_room(&self, cluster: &Cluster, host: usize) -> bool {
        cluster.columns().is_offered(host)
            && self.demand.unknown.is_empty()
            && covers(cluster.columns().free(host), &self.demand.amounts)
    }

    /// Whether no host rule refuses the host; closures are asked last, and what they refuse is counted.
    pub(crate) fn rules_admit(&self, cluster: &Cluster, host: usize) -> bool {
        let against = self.rule_against(cluster, host);
        if let Some(Against::Closure(rule)) = against {
            let refused = &self.host_hard[rule].refused;
            refused.set(refused.get() + 1);
        }
        against.is_none()
    }

    /// The same without counting.
    pub(crate) fn rules_permit(&self, cluster: &Cluster, host: usize) -> bool {
        self.rule_against(cluster, host).is_none()
    }

    /// What is against a host that has room, if anything is.
    fn rule_against(&self, cluster: &Cluster, host: usize) -> Option<Against> {
        if cluster.columns().is_held(host)
            || self.lacks_set(cluster, host).is_some()
            || self.lacks_devices(cluster, host).is_some()
        {
            return Some(Against::Other);
        }
        let refuses = |rule: &HostRule<'_>| !self.host_holds(rule, cluster, host);
        let rule = self.host_hard.iter().position(refuses)?;
        let closure = matches!(self.host_hard[rule].constraint, Constraint::Custom(_));
        Some(if closure { Against::Closure(rule) } else { Against::Other })
    }

    /// Notes how many hosts closures refuse that nothing else does, by position.
    pub(crate) fn note_refused(&self, refused: &[u32]) {
        for (rule, hosts) in self.host_hard.iter().zip(refused) {
            rule.refused.set(*hosts);
        }
    }

    /// Begins to count anew what closures refuse.
    pub(crate) fn forget_refused(&self) {
        if self.has_closure {
            self.host_hard.iter().for_each(|rule| rule.refused.set(0));
        }
    }

    /// The only hosts that can admit the class, if a rule says that they are few.
    pub(crate) fn few_hosts(&self, cluster: &Cluster) -> Option<Vec<usize>> {
        let known = cluster.names().known();
        let mut fewest: Option<Vec<usize>> = None;
        for rule in &self.host_hard {
            let hosts: Vec<usize> = match (rule.constraint, &rule.verdicts) {
                (_, Some(verdicts)) => match cluster.values().passing(verdicts) {
                    Some(passing) if passing.count() * FEW <= known => passing.hosts().collect(),
                    Some(_) | None => continue,
                },
                (Constraint::Attribute { test, .. }, None) => match named_hosts(test, cluster) {
                    Some(hosts) => hosts,
                    None => continue,
                },
                (_, None) => continue,
            };
            if fewest.as_ref().is_none_or(|fewest| hosts.len() < fewest.len()) {
                fewest = Some(hosts);
            }
        }
        fewest
    }

    /// Whether a host rule that is hard holds.
    #[inline]
    pub(crate) fn host_holds(&self, rule: &HostRule<'_>, cluster: &Cluster, host: usize) -> bool {
        match rule.constraint {
            Constraint::Custom(custom) => {
                custom.score(self.class, &HostView::new(cluster, host)) > 0.0
            }
            Constraint::AntiAffinity { .. } => cluster.groups().on_host(rule.group, host) == 0,
            Constraint::Attribute { .. }
            | Constraint::UniqueHost
            | Constraint::UniqueAttribute { .. }
            | Constraint::Balanced { .. }
            | Constraint::Affinity { .. }
            | Constraint::Spread { .. }
            | Constraint::ExclusiveHost => self.host_score(rule, cluster, host) > 0.0,
        }
    }

    /// 0 where a host rule does not hold, 1 where it does, or what a closure says.
    pub(crate) fn host_score(&self, rule: &HostRule<'_>, cluster: &Cluster, host: usize) -> f64 {
        let holds = match rule.constraint {
            Constraint::Attribute { name, test } => match &rule.verdicts {
                Some(verdicts) => cluster.values().passes(verdicts, host),
                None => test.holds(cluster.names().id(host), &cluster.host(host).attributes, name),
            },
            Constraint::UniqueHost => cluster.groups().on_host(self.group, host) == 0,
            Constraint::Affinity { .. } => cluster.groups().on_host(rule.group, host) > 0,
            Constraint::AntiAffinity { .. } | Constraint::Spread { .. } => {
                return 1.0 / (1.0 + f64::from(cluster.groups().on_host(rule.group, host)));
            }
            Constraint::ExclusiveHost => cluster.columns().tasks_on(host) == 0,
            Constraint::Custom(custom) => {
                return custom.score(self.class, &HostView::new(cluster, host));
            }
            Constraint::UniqueAttribute { .. } | Constraint::Balanced { .. } => {
                unreachable!("value rules are kept apart from host rules")
            }
        };
        f64::from(u8::from(holds))
    }

    /// What the fitness calculator says about a host.
    pub(crate) fn calculator(&self, cluster: &Cluster, choice: &Choice, host: usize) -> f64 {
        choice.fitness.score(self.class, &self.measures, &HostView::new(cluster, host))
    }

    /// The devices of a host that a task gets there.
    pub(crate) fn pick_devices(
        &self,
        cluster: &Cluster,
        choice: &Choice,
        host: usize,
    ) -> Vec<Pick> {
        if self.demand.devices.is_empty() {
            return Vec::new();
        }
        let view = HostView::new(cluster, host);
        let choose = |kind: &DeviceKind| choice.fitness.choose_device(self.class, &view, kind);
        cluster.host(host).devices.pick(&self.demand.devices, choose)
    }

    /// The part of the soft score that host rules give, by weight.
    pub(crate) fn host_soft(&self, cluster: &Cluster, host: usize) -> f64 {
        let score =
            |(rule, weight): &(HostRule<'_>, f64)| weight * self.host_score(rule, cluster, host);
        self.host_soft.iter().map(score).sum()
    }

    /// The columns that value rules look at, hard ones first.
    pub(crate) fn columns(&self) -> impl Iterator<Item = usize> {
        let soft = self.value_soft.iter().map(|(rule, _)| rule.column);
        self.value_hard.iter().map(|rule| rule.column).chain(soft)
    }

    /// The part of the soft score that value rules give, by weight, for a host with these values in the order
    /// of [`Class::columns`]; `None` if a hard value rule refuses them.
    pub(crate) fn value_soft(
        &self,
        cluster: &Cluster,
        mut values: impl Iterator<Item = u32>,
    ) -> Option<f64> {
        let mut value = || values.next().expect("there is a value for each rule");
        for rule in &self.value_hard {
            if !rule.holds(cluster, value()) {
                return None;
            }
        }
        let mut sum = 0.0;
        for (rule, weight) in &self.value_soft {
            sum += weight * rule.score(cluster, value());
        }
        Some(sum)
    }

    /// The same for a host.
    pub(crate) fn value_soft_of(&self, cluster: &Cluster, host: usize) -> Option<f64> {
        self.value_soft(
            cluster,
            self.columns().map(|column| cluster.values().of_host(column, host)),
        )
    }

    /// No host has more of the soft score, by weight, than this: of host rules, and of value rules.
    pub(crate) fn most_soft(&self, cluster: &Cluster) -> (f64, f64) {
        let mut host_soft = 0.0;
        for (rule, weight) in &self.host_soft {
            let nobody = rule.verdicts.as_ref().is_some_and(|verdicts| {
                cluster.values().passing(verdicts).is_some_and(|passing| passing.count() == 0)
            });
            host_soft += weight * if nobody { 0.0 } else { 1.0 };
        }
        let mut value_soft = 0.0;
        for (rule, weight) in &self.value_soft {
            let members = cluster.values().members(rule.column);
            let best = (0_u32..)
                .zip(members)
                .filter(|(_, hosts)| !hosts.is_empty())
                .map(|(value, _)| rule.score(cluster, value))
                .fold(0.0, f64::max);
            value_soft += weight * best;
        }
        (host_soft, value_soft)
    }

    /// The mean of the wishes by weight, if there are any.
    fn soft(&self, host_soft: f64, value_soft: f64) -> Option<f64> {
        (self.soft_weight > 0.0).then(|| (host_soft + value_soft) / self.soft_weight)
    }

    /// A host's score from its parts.
    pub(crate) fn combine(
        &self,
        choice: &Choice,
        calculator: f64,
        host_soft: f64,
        value_soft: f64,
        sets: Option<f64>,
    ) -> Score {
        Score::new(calculator, self.soft(host_soft, value_soft), sets, choice.combination)
    }

    /// A host's score, given what the calculator and value rules say.
    pub(crate) fn score(
        &self,
        cluster: &Cluster,
        choice: &Choice,
        host: usize,
        calculator: f64,
        value_soft: f64,
    ) -> Score {
        let (host_soft, sets) = (self.host_soft(cluster, host), self.sets_of(cluster, host));
        self.combine(choice, calculator, host_soft, value_soft, sets)
    }

    /// No host with a calculator below this ranks as high, if it has no more of the other parts than this.
    pub(crate) fn least_calculator(
        &self,
        rank: f64,
        (host_soft, value_soft): (f64, f64),
        sets: f64,
    ) -> f64 {
        Score::calculator_for(rank, self.soft(host_soft, value_soft), sets)
    }

    /// How well the named sets of a host suit; `None` if it has none.
    pub(crate) fn sets_of(&self, cluster: &Cluster, host: usize) -> Option<f64> {
        if !self.minds_sets {
            return None;
        }
        cluster.host(host).sets.fitness(&self.demand.sets)
    }

    /// Whether a hard value rule holds for a host.
    pub(crate) fn value_rule_holds(
        &self,
        rule: &ValueRule<'_>,
        cluster: &Cluster,
        host: usize,
    ) -> bool {
        rule.holds(cluster, cluster.values().of_host(rule.column, host))
    }
}
