//! Named sets of equal members on a host, of which each is free or bound to one value by those that use it.
//!
//! The case they were made for: a host has some network interfaces, each with some addresses, and an interface
//! carries one combination of security groups. A task without a request binds a member as well, to nobody's
//! value, because it uses the interface all the same.
//!
//! Members that nobody uses are all alike: only those in use are kept, however many there are.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::fitness::float;
use crate::id::HostId;
use crate::request::SetRequest;
use crate::result::SetUse;
use crate::set_fitness::{SetFitness, SetMember};

use super::Cluster;

/// A closure is asked about so many members of a set that nobody uses: the first ones.
const ASKED: usize = 1024;

/// The sets of one host, and who uses them; who judges them, if it is not the built-in rule.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostSets(Vec<Set>, Option<Judge>);

#[derive(Clone, Debug)]
struct Judge {
    fitness: SetFitness,
    host: HostId,
}

#[derive(Clone, Debug)]
struct Set {
    name: String,
    /// How many members there are.
    members: u32,
    /// How much each member has.
    each: u32,
    /// The members that somebody uses, in order of number.
    bound: Vec<Member>,
}

#[derive(Clone, Debug)]
struct Member {
    number: u32,
    /// The value it is bound to; no value is that of tasks that asked for none.
    value: Option<String>,
    used: u32,
    /// At least one.
    users: u32,
}

/// What of a set is open to a task that shares nothing with others.
pub(super) struct Open<'s> {
    pub(super) name: &'s str,
    /// How much each member has.
    pub(super) each: u32,
    /// There is a member that nobody uses.
    pub(super) free: bool,
    /// There is one in use that is bound to no value, and none of it taken.
    pub(super) idle: bool,
}

impl HostSets {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Has its members judged by a closure, as those of this host.
    pub(crate) fn be_judged_by(&mut self, fitness: &SetFitness, host: &HostId) {
        if !self.is_empty() {
            self.1 = Some(Judge { fitness: fitness.clone(), host: host.clone() });
        }
    }

    fn judge(&self) -> Option<&Judge> {
        self.1.as_ref()
    }

    /// Adds a set that nobody uses yet; of several with one name the first counts.
    pub(crate) fn add(&mut self, name: &str, members: u32, each: u32) {
        if self.0.iter().all(|set| set.name != name) {
            self.0.push(Set { name: name.to_owned(), members, each, bound: Vec::new() });
        }
    }

    /// The name of the first set that cannot serve a task; it may be one that the host does not have.
    pub(crate) fn lacks<'a>(
        &'a self,
        requests: &'a BTreeMap<String, SetRequest>,
    ) -> Option<&'a str> {
        let unknown = requests.keys().find(|name| self.0.iter().all(|set| set.name != **name));
        let full = || {
            let lacks = |set: &&Set| set.best(requests.get(&set.name), self.judge()).is_none();
            self.0.iter().find(lacks)
        };
        unknown.map(String::as_str).or_else(|| full().map(|set| set.name.as_str()))
    }

    /// A number that sets have in common if they serve every task alike, and others hardly ever: see
    /// [`Ord`] for who does. 0 for no sets.
    pub(crate) fn likeness(&self) -> u64 {
        if self.0.is_empty() {
            return 0;
        }
        let number = |hash: u64, number: u64| {
            let mixed = (hash ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed ^ (mixed >> 32)
        };
        let text = |hash: u64, text: &str| {
            let bytes = text.bytes().map(u64::from);
            bytes.fold(number(hash, text.len() as u64), number)
        };
        let hash = self.0.iter().fold(0, |hash, set| {
            let hash = number(text(hash, &set.name), u64::from(set.members) + 1);
            let hash = number(hash, u64::from(set.each));
            set.bound.iter().fold(hash, |hash, member| {
                let hash = number(hash, u64::from(member.number) << 32 | u64::from(member.used));
                match &member.value {
                    Some(value) => text(hash, value),
                    None => number(hash, u64::MAX),
                }
            })
        });
        hash.max(1)
    }

    /// What of each set is open to tasks that share nothing with others.
    pub(super) fn open(&self) -> impl Iterator<Item = Open<'_>> {
        self.0.iter().map(|set| Open {
            name: &set.name,
            each: set.each,
            free: set.free().is_some(),
            idle: set.bound.iter().any(|member| member.value.is_none() && member.used == 0),
        })
    }

    /// The values that members are bound to, by the name of the set; no value only where some of the member is
    /// taken.
    pub(crate) fn shared(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let says = |member: &&Member| member.value.is_some() || member.used > 0;
        self.0.iter().flat_map(move |set| {
            let shared = set.bound.iter().filter(says);
            shared.map(|member| (set.name.as_str(), member.value.as_deref()))
        })
    }

    /// How well the best members suit a task: the mean over the sets, from 0 to 1; `None` without sets.
    pub(crate) fn fitness(&self, requests: &BTreeMap<String, SetRequest>) -> Option<f64> {
        let best = self.0.iter().map(|set| set.best(requests.get(&set.name), self.judge()));
        let sum: f64 = best.map(|best| best.map_or(0.0, |(_, fitness)| fitness)).sum();
        (!self.0.is_empty()).then(|| sum / float(self.0.len() as u64))
    }

    /// Uses the best member of each set, and says which.
    pub(crate) fn take(&mut self, requests: &BTreeMap<String, SetRequest>) -> Vec<SetUse> {
        let mut uses = Vec::with_capacity(self.0.len());
        let Self(sets, judge) = self;
        for set in sets {
            let request = requests.get(&set.name);
            let best = set.best(request, judge.as_ref());
            let (member, _) = best.expect("a task is placed only where sets serve it");
            let used = SetUse {
                name: set.name.clone(),
                value: request.map(|request| request.value.clone()),
                member,
                amount: request.map_or(0, |request| request.amount),
            };
            set.note(&used);
            uses.push(used);
        }
        uses
    }

    /// Notes what a running task uses; what the host does not have is passed over.
    pub(crate) fn note(&mut self, uses: &[SetUse]) {
        for used in uses {
            let set = self.0.iter_mut().find(|set| set.name == used.name);
            if let Some(set) = set.filter(|set| used.member < set.members) {
                set.note(used);
            }
        }
    }

    /// Undoes [`HostSets::take`].
    pub(crate) fn give_back(&mut self, uses: &[SetUse]) {
        for used in uses {
            let set = self.0.iter_mut().find(|set| set.name == used.name);
            let set = set.expect("what was taken is there");
            let at = set.find(used.member).expect("what was taken is in use");
            let member = &mut set.bound[at];
            member.users -= 1;
            member.used -= used.amount;
            if member.users == 0 {
                set.bound.remove(at);
            }
        }
    }

    /// The name of each set, and how many of its members are bound and free.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&str, u32, u32)> {
        self.0.iter().map(|set| {
            let bound = u32::try_from(set.bound.len()).expect("members are counted in a u32");
            (set.name.as_str(), bound, set.members - bound)
        })
    }
}

/// Equal are those that serve every task alike, unless a closure judges them.
impl Ord for HostSets {
    fn cmp(&self, other: &Self) -> Ordering {
        let member = |of: &Member, other: &Member| {
            (of.number, of.used, &of.value).cmp(&(other.number, other.used, &other.value))
        };
        let set = |of: &Set, other: &Set| {
            let sizes = (of.members, of.each, of.bound.len());
            let sizes = sizes.cmp(&(other.members, other.each, other.bound.len()));
            let members = || {
                let pairs = of.bound.iter().zip(&other.bound);
                pairs.map(|(of, other)| member(of, other)).find(|order| order.is_ne())
            };
            let rest = || members().unwrap_or(Ordering::Equal);
            of.name.cmp(&other.name).then(sizes).then_with(rest)
        };
        let mut pairs = self.0.iter().zip(&other.0).map(|(of, other)| set(of, other));
        let first = pairs.find(|order| order.is_ne());
        first.unwrap_or_else(|| self.0.len().cmp(&other.0.len()))
    }
}

impl PartialOrd for HostSets {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for HostSets {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for HostSets {}

impl Set {
    /// The member that suits best, and how well: one that is bound to the value and fuller, then a free one; the
    /// lower number of equal ones.
    fn best(&self, request: Option<&SetRequest>, judge: Option<&Judge>) -> Option<(u32, f64)> {
        if let Some(judge) = judge {
            return self.best_by(request, judge);
        }
        let (value, amount) = request.map_or((None, 0), |of| (Some(&of.value), of.amount));
        let whole = float(u64::from(self.each) + 1);
        let mut best: Option<(u32, f64)> = None;
        for member in self.bound.iter().filter(|member| member.value.as_ref() == value) {
            let after = u64::from(member.used) + u64::from(amount);
            let fitness = (float(after + 1) / whole).min(1.0);
            let fits = after <= u64::from(self.each);
            if fits && best.is_none_or(|(_, highest)| fitness > highest) {
                best = Some((member.number, fitness));
            }
        }
        // Any bound member scores more than a free one.
        let free = || self.free().filter(|_| amount <= self.each).map(|free| (free, 0.5 / whole));
        best.or_else(free)
    }

    /// The member that a closure scores highest, and how high; the lower number of equal ones. Those that it
    /// scores 0 are not used.
    fn best_by(&self, request: Option<&SetRequest>, judge: &Judge) -> Option<(u32, f64)> {
        let value = request.map(|request| request.value.as_str());
        let amount = request.map_or(0, |request| request.amount);
        let same = self.bound.iter().filter(|member| member.value.as_deref() == value);
        let mut members: Vec<(u32, Option<u32>)> =
            same.map(|member| (member.number, Some(member.used))).collect();
        let free = (0..self.members).filter(|number| self.find(*number).is_err());
        members.extend(free.take(ASKED).map(|number| (number, None)));
        members.sort_unstable();
        let mut best: Option<(u32, f64)> = None;
        for (number, used) in members {
            let after = u64::from(used.unwrap_or(0)) + u64::from(amount);
            if after > u64::from(self.each) {
                continue;
            }
            let member = SetMember {
                host: &judge.host,
                set: &self.name,
                member: number,
                value,
                amount,
                used,
                each: self.each,
            };
            let fitness = judge.fitness.of(&member);
            if fitness > best.map_or(0.0, |(_, highest)| highest) {
                best = Some((number, fitness));
            }
        }
        best
    }

    /// The first member that nobody uses.
    fn free(&self) -> Option<u32> {
        let gap = (0_u32..).zip(&self.bound).find(|(number, member)| member.number != *number);
        let beyond = u32::try_from(self.bound.len()).expect("members are counted in a u32");
        Some(gap.map_or(beyond, |(number, _)| number)).filter(|free| *free < self.members)
    }

    /// Where a member stands among those in use, or would.
    fn find(&self, number: u32) -> Result<usize, usize> {
        self.bound.binary_search_by_key(&number, |member| member.number)
    }

    fn note(&mut self, used: &SetUse) {
        let at = self.find(used.member).unwrap_or_else(|at| {
            let number = used.member;
            self.bound.insert(at, Member { number, value: None, used: 0, users: 0 });
            at
        });
        let member = &mut self.bound[at];
        member.value.clone_from(&used.value);
        member.users += 1;
        member.used = member.used.saturating_add(used.amount);
    }
}

impl Cluster {
    /// Has members of sets judged by a closure from now on.
    pub(crate) fn judge_sets_by(&mut self, fitness: Option<SetFitness>) {
        self.set_fitness = fitness;
    }

    /// Whether a closure judges members of sets.
    pub(crate) fn judges_sets(&self) -> bool {
        self.set_fitness.is_some()
    }
}
