//! What frameworks say they want: bundles of resources, and how often.
//!
//! A framework that stated a demand is offered only agents on which a bundle fits that it still
//! lacks. An offer is credited with the bundles that fit into it; while it stands, they are not
//! lacking. Tasks launched from it use the credit up; what is left of the credit lacks again when
//! the offer is gone. A demand ends with its deadline. A new REQUEST replaces everything.
//!
//! Of a framework's demands those with the greater priority come first; among equals the one with
//! the earlier deadline, and then the one that was named first.

use proto::scheduler::Demand;
use proto::{AgentId, Piece, Resources, Role, Time, Value};
use std::cmp::Reverse;

/// The demand of one framework.
#[derive(Clone, Debug, Default)]
pub(crate) struct DemandBook {
    /// Empty means that none was stated.
    demands: Vec<Demand>,
    /// The demands, those that come first before the others.
    order: Vec<usize>,
    /// By demand: how many bundles offers stand for.
    credited: Vec<u32>,
    /// When to look for demands that ended: no later than the first of them ends.
    pub(crate) deadline: Option<Time>,
    /// Distinguishes credits of this demand from those of earlier ones.
    edition: u64,
    /// What is left of a walk that was cut short; nothing when none was.
    lap: Lap,
    /// Where a choice among the agents of a pass begins.
    start: usize,
}

/// A walk through the demands in their order, round and round: from which place on, and how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lap {
    pub(crate) from: usize,
    pub(crate) left: usize,
}

/// The bundles that an offer stands for: demand and how many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Credit {
    edition: u64,
    bundles: Vec<(usize, u32)>,
}

impl Credit {
    /// Adds its bundles to a count by demand.
    pub(crate) fn add_to(&self, credited: &mut [u32]) {
        for (index, times) in &self.bundles {
            credited[*index] = credited[*index].saturating_add(*times);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bundles.is_empty()
    }
}

/// How many times `bundle` fits into `free`. A bundle that names ports or items fits once.
pub(crate) fn fits(free: &Resources, bundle: &Resources) -> u64 {
    let times = |piece: &Piece| {
        let same = |p: &&Piece| p.name == piece.name && p.flavor == piece.flavor;
        let have = free.pieces().iter().find(same).map(|p| &p.value);
        match (have, &piece.value) {
            (Some(Value::Scalar(have)), Value::Scalar(want)) => have / (*want).max(1),
            (Some(Value::Ranges(have)), Value::Ranges(want)) => u64::from(have.contains_all(want)),
            (Some(Value::Set(have)), Value::Set(want)) => u64::from(have.is_superset(want)),
            (Some(Value::Scalar(_) | Value::Ranges(_) | Value::Set(_)) | None, _) => 0,
        }
    };
    bundle.pieces().iter().map(times).min().unwrap_or(0)
}

/// `bundle`, so many times; `times` is what `fits` allows, so nothing overflows.
fn scaled(bundle: &Resources, times: u64) -> Resources {
    let scale = |piece: &Piece| Piece {
        value: match &piece.value {
            Value::Scalar(milli) => Value::Scalar(milli.saturating_mul(times)),
            Value::Ranges(_) | Value::Set(_) => piece.value.clone(),
        },
        ..piece.clone()
    };
    bundle.pieces().iter().map(scale).collect()
}

impl DemandBook {
    /// Replaces the demand. Offers made before stand for nothing in it.
    pub(crate) fn restate(&mut self, demands: Vec<Demand>) {
        self.credited = vec![0; demands.len()];
        self.order = (0..demands.len()).collect();
        self.order.sort_by_key(|index| {
            let demand = &demands[*index];
            (Reverse(demand.priority), demand.deadline.is_none(), demand.deadline)
        });
        self.demands = demands;
        self.edition += 1;
        (self.lap, self.start) = (Lap::default(), 0);
    }

    /// Ends the demands whose deadline has come. Says whether there were any.
    pub(crate) fn expire(&mut self, now: Time) -> bool {
        let mut any = false;
        for demand in &mut self.demands {
            if demand.count > 0 && demand.deadline.is_some_and(|deadline| deadline <= now) {
                demand.count = 0;
                any = true;
            }
        }
        any
    }

    /// When the next demand ends by itself.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let open = self.demands.iter().filter(|demand| demand.count > 0);
        open.filter_map(|demand| demand.deadline).min()
    }

    /// The walk to go on with, or a whole one from the first demand on.
    pub(crate) fn lap(&self) -> Lap {
        if self.lap.left == 0 { Lap { from: 0, left: self.order.len() } } else { self.lap }
    }

    /// A whole walk for a choice among the agents of a pass: it begins where the one that marked
    /// agents began, so that it comes to the demands that these are for.
    pub(crate) fn lap_in_pass(&self) -> Lap {
        Lap { from: self.start, left: self.order.len() }
    }

    /// Remembers what is left of a walk. Says whether nothing is.
    pub(crate) fn walked(&mut self, lap: Lap, looked: usize) -> bool {
        self.start = lap.from;
        self.lap = match lap.left - looked {
            0 => Lap::default(),
            left => Lap { from: (lap.from + looked) % self.order.len(), left },
        };
        self.lap.left == 0
    }

    /// Remembers how far a choice among the agents of a pass came. Says whether to the end.
    pub(crate) fn walked_in_pass(&mut self, lap: Lap, looked: usize) -> bool {
        let whole = looked == lap.left;
        self.start = if whole { 0 } else { (lap.from + looked) % self.order.len() };
        whole
    }

    /// More may be had than when the walk under way began: it goes once around from where it is.
    pub(crate) fn walk_again(&mut self) {
        if self.lap.left > 0 {
            self.lap.left = self.order.len();
        }
    }

    /// The demands of a walk, by number.
    pub(crate) fn along(&self, lap: Lap) -> impl Iterator<Item = (usize, &Demand)> {
        let places = (lap.from..lap.from + lap.left).map(|place| place % self.order.len());
        places.map(|place| (self.order[place], &self.demands[self.order[place]]))
    }

    /// The demands by number, those that come first before the others.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = (usize, &Demand)> {
        self.order.iter().map(|index| (*index, &self.demands[*index]))
    }

    /// How many bundles of each demand offers stand for.
    pub(crate) fn credited(&self) -> &[u32] {
        &self.credited
    }

    /// Whether a demand was stated.
    pub(crate) fn is_stated(&self) -> bool {
        !self.demands.is_empty()
    }

    /// Bundles that no offer stands for: the demand and how many; what comes first first.
    pub(crate) fn lacking(&self) -> impl Iterator<Item = (&Demand, u32)> {
        let all = self.in_order();
        all.map(|(at, demand)| (demand, demand.count.saturating_sub(self.credited[at])))
            .filter(|(_, lacking)| *lacking > 0)
    }

    /// The demand as it stands, without what was launched.
    pub(crate) fn outstanding(&self) -> Vec<Demand> {
        self.demands.iter().filter(|demand| demand.count > 0).cloned().collect()
    }

    /// The bundles still lacking that fit into `free` of an agent in a role.
    pub(crate) fn credit_for(&self, free: &Resources, agent: &AgentId, role: &Role) -> Credit {
        self.credit_beside(&self.credited, free, agent, role)
    }

    /// As `credit_for`, if so many bundles of each demand did not lack.
    pub(crate) fn credit_beside(
        &self,
        credited: &[u32],
        free: &Resources,
        agent: &AgentId,
        role: &Role,
    ) -> Credit {
        let mut rest = None;
        let mut bundles = Vec::new();
        for (index, demand) in self.in_order() {
            let lacking = demand.count.saturating_sub(credited[index]);
            let elsewhere = demand.agent_id.as_ref().is_some_and(|id| id != agent);
            let other_role = demand.role.as_ref().is_some_and(|r| r != role);
            if lacking == 0 || elsewhere || other_role {
                continue;
            }
            let rest = rest.get_or_insert_with(|| free.clone());
            let times = fits(rest, &demand.resources).min(u64::from(lacking));
            if times > 0 {
                // `fits` says that it is there.
                let _ = rest.subtract(&scaled(&demand.resources, times));
                let times = u32::try_from(times).unwrap_or(u32::MAX);
                bundles.push((index, times));
            }
        }
        Credit { edition: self.edition, bundles }
    }

    /// An offer stands for these bundles now.
    pub(crate) fn credit(&mut self, credit: &Credit) {
        if credit.edition == self.edition {
            credit.add_to(&mut self.credited);
        }
    }

    /// The offer is gone. Says whether anything lacks again.
    pub(crate) fn debit(&mut self, credit: &Credit) -> bool {
        if credit.edition != self.edition {
            return false;
        }
        for (index, times) in &credit.bundles {
            self.credited[*index] = self.credited[*index].saturating_sub(*times);
        }
        !credit.bundles.is_empty()
    }

    /// Whether exactly these credits are counted (for the invariants).
    pub(crate) fn is_credited_by<'a>(&self, credits: impl Iterator<Item = &'a Credit>) -> bool {
        let mut counted = vec![0_u32; self.demands.len()];
        for credit in credits.filter(|credit| credit.edition == self.edition) {
            for (index, times) in &credit.bundles {
                counted[*index] = counted[*index].saturating_add(*times);
            }
        }
        counted == self.credited
    }

    /// So many tasks were launched from an offer with this credit, which is gone already.
    pub(crate) fn launched(&mut self, credit: &Credit, tasks: usize) {
        if credit.edition != self.edition {
            return;
        }
        let mut tasks = u32::try_from(tasks).unwrap_or(u32::MAX);
        for (index, times) in &credit.bundles {
            let used = tasks.min(*times);
            let demand = &mut self.demands[*index];
            demand.count = demand.count.saturating_sub(used);
            tasks -= used;
        }
    }
}
