//! When to add hosts to a cluster and which to take away: decisions as values, after each run.
//!
//! A rule keeps a number of idle hosts in a group. What tasks lack is asked for besides, by what would really
//! fit: the tasks are placed, as a question, on hosts like those that the group has. Whoever asks carries the
//! actions out; hosts that are to go are disabled meanwhile, so that nothing lands on them.

mod down;
mod rule;
mod shortfall;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::attribute::{AttributeValue, Attributes, lookup};
use crate::device::Device;
use crate::id::{HostId, LeaseId, TaskId};
use crate::lease::Lease;
use crate::quantity::{Milli, Time};
use crate::request::TaskRequest;
use crate::resources::{PortRange, Resources};
use crate::scheduler::TaskScheduler;
use crate::status::HostStatus;
use down::from_largest;
pub use down::{ScaleDownOrder, ScaleDownScore};
pub use rule::ScaleRule;
use rule::Watched;
use shortfall::More;

/// A task for which hosts were asked is not counted again for this long.
const ASKED_FOR: Duration = Duration::from_secs(600);

/// How it is found out how many hosts tasks lack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shortfall {
    /// By placing the tasks on hosts like those of the groups.
    #[default]
    Exact,
    /// One host a task and group.
    PerTask,
    /// Not at all.
    Ignored,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScaleAction {
    /// Add hosts to a group.
    Up {
        /// The group.
        group: AttributeValue,
        /// How many.
        hosts: u32,
    },
    /// Remove hosts from a group.
    Down {
        /// The group.
        group: AttributeValue,
        /// The hosts, which are disabled already.
        hosts: Vec<HostId>,
        /// What each is called by its owner: the value of the attribute for that, or the host's name.
        names: Vec<String>,
        /// Their leases, which the scheduler has given up: for the caller to decline.
        leases: Vec<LeaseId>,
    },
}

/// Why an autoscaler or a rule is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleError(&'static str);

impl fmt::Display for ScaleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for ScaleError {}

/// How an autoscaler works, besides its rules.
#[derive(Clone, Debug, Default)]
pub struct ScaleOptions {
    /// How long there must be too few idle hosts before any is added for that.
    pub delay_up: Duration,
    /// How long there must be too many idle hosts before any is removed.
    pub delay_down: Duration,
    /// How long a host that is to go is disabled, at least; its rule's cool-down if that is longer.
    pub disabled: Duration,
    /// How it is found out how many hosts tasks lack.
    pub shortfall: Shortfall,
    /// Which hosts go first.
    pub order: ScaleDownOrder,
    /// Of hosts that are equal by `order`, those are taken that leave the values of this attribute even.
    pub balance: Option<String>,
    /// The attribute that holds what the owner of a host calls it.
    pub name_attribute: Option<String>,
    /// Hosts of groups that have a rule and are not active (see [`TaskScheduler::set_active_groups`]) go as soon
    /// as nothing runs on them: all that `order` lets go, whatever the rule says of idle hosts, after
    /// `delay_down` and with a cool-down of their own.
    pub remove_inactive: bool,
}

/// Watches the groups of a cluster, by the values of an attribute.
#[derive(Clone, Debug)]
pub struct Autoscaler {
    attribute: String,
    options: ScaleOptions,
    rules: BTreeMap<AttributeValue, Watched>,
    asked: BTreeMap<TaskId, Time>,
}

/// The hosts of a group that are not disabled.
#[derive(Default)]
struct Group {
    hosts: Vec<HostStatus>,
}

impl Autoscaler {
    /// An autoscaler without rules for the groups that an attribute names.
    ///
    /// # Errors
    /// If a score of the order has weight 0.
    pub fn new(attribute: impl Into<String>, options: ScaleOptions) -> Result<Self, ScaleError> {
        if let Some(problem) = options.order.problem() {
            return Err(ScaleError(problem));
        }
        let (rules, asked) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { attribute: attribute.into(), options, rules, asked })
    }

    /// Adds a rule, or replaces that of its group; its first action waits for the cool-down, at most 120 s.
    ///
    /// # Errors
    /// If its bounds contradict each other; nothing is changed then.
    pub fn set_rule(&mut self, now: Time, rule: ScaleRule) -> Result<(), ScaleError> {
        if let Some(problem) = rule.problem() {
            return Err(ScaleError(problem));
        }
        self.rules.insert(rule.group.clone(), Watched::new(rule, now));
        Ok(())
    }

    /// Removes the rule of a group; gives it.
    pub fn remove_rule(&mut self, group: &AttributeValue) -> Option<ScaleRule> {
        self.rules.remove(group).map(|watched| watched.rule)
    }

    /// The rules, by group.
    pub fn rules(&self) -> impl Iterator<Item = &ScaleRule> {
        self.rules.values().map(|watched| &watched.rule)
    }

    /// What is to be done after a run, given the tasks that it could not place. Tasks that no host could help,
    /// such as those over a limit, are not to be among them.
    pub fn decide(
        &mut self,
        now: Time,
        scheduler: &mut TaskScheduler,
        unplaced: &[TaskRequest],
    ) -> Vec<ScaleAction> {
        let groups = self.groups(now, scheduler);
        let shortfalls = self.shortfalls(now, scheduler, unplaced, &groups);
        let mut actions = Vec::new();
        for (name, watched) in &mut self.rules {
            let empty = Group::default();
            let group = groups.get(name).unwrap_or(&empty);
            let shortfall = shortfalls.get(name).copied().unwrap_or(0);
            let idle =
                |host: &&HostStatus| host.is_idle() && watched.rule.counts_as_idle(&host.offered);
            let idle: Vec<HostStatus> = group.hosts.iter().filter(idle).cloned().collect();
            let size = count(group.hosts.len());
            if let Some(hosts) = up(watched, &self.options, now, count(idle.len()), size, shortfall)
            {
                watched.acted(now);
                actions.push(ScaleAction::Up { group: name.clone(), hosts });
                continue;
            }
            let excess = excess(watched, &self.options, now, count(idle.len()), size, shortfall);
            let chosen = self.options.choose(idle, excess);
            if chosen.is_empty() {
                continue;
            }
            watched.acted(now);
            let until = now.saturating_add(self.options.disabled.max(watched.rule.cool_down));
            let names = chosen.iter().map(|host| self.options.name(host)).collect();
            let hosts: Vec<HostId> = chosen.into_iter().map(|host| host.host).collect();
            let leases =
                hosts.iter().flat_map(|host| scheduler.disable_host(host, until)).collect();
            actions.push(ScaleAction::Down { group: name.clone(), hosts, names, leases });
        }
        if self.options.remove_inactive {
            self.remove_inactive(now, scheduler, &mut actions);
        }
        actions
    }

    fn remove_inactive(
        &mut self,
        now: Time,
        scheduler: &mut TaskScheduler,
        actions: &mut Vec<ScaleAction>,
    ) {
        let mut inactive: BTreeMap<AttributeValue, Vec<HostStatus>> = BTreeMap::new();
        for host in scheduler.inactive_hosts() {
            if let Some(name) = lookup(&host.host, &host.attributes, &self.attribute) {
                inactive.entry(name).or_default().push(host);
            }
        }
        for (name, watched) in &mut self.rules {
            let hosts = inactive.remove(name).unwrap_or_default();
            let lasting =
                watched.inactive.has_lasted(!hosts.is_empty(), now, self.options.delay_down);
            if !lasting || watched.inactive_until > now {
                continue;
            }
            let hosts = self.options.order.sort(hosts);
            if hosts.is_empty() {
                continue;
            }
            watched.removed_inactive(now);
            let names = hosts.iter().map(|host| self.options.name(host)).collect();
            let hosts: Vec<HostId> = hosts.into_iter().map(|host| host.host).collect();
            let leases = hosts.iter().flat_map(|host| scheduler.expire_host(host)).collect();
            actions.push(ScaleAction::Down { group: name.clone(), hosts, names, leases });
        }
    }

    fn groups(&self, now: Time, scheduler: &TaskScheduler) -> BTreeMap<AttributeValue, Group> {
        let mut groups: BTreeMap<AttributeValue, Group> = BTreeMap::new();
        for host in scheduler.hosts() {
            let Some(name) = lookup(&host.host, &host.attributes, &self.attribute) else {
                continue;
            };
            let disabled = host.disabled_until.is_some_and(|until| until > now);
            if !disabled && self.rules.contains_key(&name) {
                groups.entry(name).or_default().hosts.push(host);
            }
        }
        groups
    }

    /// How many hosts of each group the tasks lack that nobody was asked for yet.
    fn shortfalls(
        &mut self,
        now: Time,
        scheduler: &mut TaskScheduler,
        unplaced: &[TaskRequest],
        groups: &BTreeMap<AttributeValue, Group>,
    ) -> BTreeMap<AttributeValue, u32> {
        self.asked.retain(|_, asked| asked.saturating_add(ASKED_FOR) > now);
        let new = |task: &&TaskRequest| !self.asked.contains_key(&task.id);
        let lacking: Vec<TaskRequest> = unplaced.iter().filter(new).cloned().collect();
        let mut shortfalls = BTreeMap::new();
        if lacking.is_empty() || self.options.shortfall == Shortfall::Ignored {
            return shortfalls;
        }
        if self.options.shortfall == Shortfall::PerTask {
            for (name, watched) in &self.rules {
                let per_host = watched.rule.tasks_per_host.max(1);
                shortfalls.insert(name.clone(), count(lacking.len()).div_ceil(per_host));
            }
            self.asked.extend(lacking.into_iter().map(|task| (task.id, now)));
            return shortfalls;
        }
        let mut more: Vec<More<'_>> = Vec::new();
        let empty = Group::default();
        for (name, watched) in &self.rules {
            let group = groups.get(name).unwrap_or(&empty);
            let template = watched.rule.template.as_ref();
            let Some(like) = group.like(&self.attribute, name, template) else { continue };
            let most = watched.rule.max_size.saturating_sub(count(group.hosts.len()));
            more.push(More { name, like, hosts: count(lacking.len()).min(most) });
        }
        let placed = shortfall::fewest(scheduler, &lacking, &mut more);
        for More { name, hosts, .. } in more {
            if hosts > 0 {
                shortfalls.insert(name.clone(), hosts);
            }
        }
        self.asked.extend(placed.into_iter().map(|task| (task, now)));
        shortfalls
    }
}

impl Group {
    /// A lease of a host that the group does not have yet: of everything, as much as any of its hosts has; or as
    /// its rule says, while it has none.
    fn like(
        &self,
        attribute: &str,
        name: &AttributeValue,
        template: Option<&Lease>,
    ) -> Option<Lease> {
        if self.hosts.is_empty() {
            let mut lease = template.cloned()?;
            // Whatever the template says, a new host is of the group that it is asked for.
            lease.attributes.insert(attribute.to_owned(), name.clone());
            return Some(lease);
        }
        let mut most = Resources::default();
        let mut attributes = Attributes::new();
        for host in &self.hosts {
            let known = host.known();
            most.cpus = most.cpus.max(known.cpus);
            most.mem = most.mem.max(known.mem);
            most.disk = most.disk.max(known.disk);
            most.network = most.network.max(known.network);
            for (name, amount) in known.scalars {
                let most = most.scalars.entry(name).or_default();
                *most = amount.max(*most);
            }
            for (name, value) in &host.attributes {
                attributes.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        let id = format!("another host of {name}");
        let mut lease = Lease::new(id.as_str(), id.as_str(), most);
        lease.attributes = attributes;
        lease.sets = self.hosts.first().map_or(Vec::new(), |host| host.sets.clone());
        let best = self.hosts.iter().rev().max_by_key(|host| host.devices.len());
        let whole = |device: &Device| device.clone().with_free(Milli::whole(1));
        lease.devices = best.map_or(Vec::new(), |host| host.devices.iter().map(whole).collect());
        lease.ports.extend(PortRange::new(1, u64::from(u16::MAX)));
        Some(lease)
    }
}

impl ScaleOptions {
    /// So many of the idle hosts, by order and balance.
    fn choose(&self, idle: Vec<HostStatus>, excess: u32) -> Vec<HostStatus> {
        if excess == 0 {
            return Vec::new();
        }
        let (mut hosts, excess) = (self.order.sort(idle), excess as usize);
        match &self.balance {
            Some(name) => from_largest(hosts, name, excess),
            None => {
                hosts.truncate(excess);
                hosts
            }
        }
    }

    fn name(&self, host: &HostStatus) -> String {
        let named = self.name_attribute.as_ref();
        let value = named.and_then(|name| lookup(&host.host, &host.attributes, name));
        value.map_or(host.host.as_str().to_owned(), |value| value.to_string())
    }
}

/// How many hosts to add, if any.
fn up(
    watched: &mut Watched,
    options: &ScaleOptions,
    now: Time,
    idle: u32,
    size: u32,
    shortfall: u32,
) -> Option<u32> {
    let rule = &watched.rule;
    let (min_idle, max_idle, max_size) = (rule.min_idle, rule.max_idle, rule.max_size);
    let lasting = watched.too_few.has_lasted(idle < min_idle, now, options.delay_up);
    let wanted = if lasting && watched.cool_until <= now { max_idle - idle } else { 0 };
    let hosts = wanted.max(shortfall).min(max_size.saturating_sub(size));
    (hosts > 0).then_some(hosts)
}

/// How many hosts to remove.
fn excess(
    watched: &mut Watched,
    options: &ScaleOptions,
    now: Time,
    idle: u32,
    size: u32,
    shortfall: u32,
) -> u32 {
    let (max_idle, min_size) = (watched.rule.max_idle, watched.rule.min_size);
    let too_many = idle > max_idle && shortfall == 0;
    let lasting = watched.too_many.has_lasted(too_many, now, options.delay_down);
    if !lasting || watched.cool_until > now {
        return 0;
    }
    (idle - max_idle).min(size.saturating_sub(min_size))
}

fn count(hosts: usize) -> u32 {
    u32::try_from(hosts).unwrap_or(u32::MAX)
}
