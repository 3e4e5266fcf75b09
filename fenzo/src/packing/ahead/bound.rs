//! How few hosts could take some tasks, by their sums alone: a bound that no packing can beat.
//!
//! For any weights of the dimensions, the hosts that are used must have, weighted, at least what the tasks
//! demand, weighted. Of what a host has, only so much counts as any of the tasks could use of it beside the rest:
//! a host with sixteen cpus has no use for more memory than sixteen cpus' worth of the tasks that want most of it
//! for a cpu. So the fewest are as many of the weightiest hosts as that takes. The best weights give the
//! bound of the linear relaxation; they are looked for on a grid and from there in ever smaller steps. Besides,
//! tasks of which no two fit on any one host need a host each. Floating point only chooses weights and sums
//! them with room for its error: the bound is never too high.

use super::Room;
use crate::fitness::float;

/// Weights that are tried on each edge between two dimensions.
const GRID: u32 = 8;

/// Rounds of smaller steps around the best weights.
const REFINED: u32 = 6;

/// Relative room for the error of sums.
const SLACK: f64 = 1e-9;

/// Fewest hosts for tasks with these demands.
pub(crate) fn fewest_hosts(rooms: &[Room], demands: &[&[u64]]) -> usize {
    let rooms = usable(rooms, demands);
    let (hosts, _) = relaxed(&rooms, demands, &mut u64::MAX.clone());
    let bound = (hosts - SLACK * (hosts + 1.0)).ceil().max(0.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of hosts")]
    let bound = bound as usize;
    bound.max(conflicting(&rooms, demands))
}

/// Fewest hosts by sums, the last of them in part, and the weights of the dimensions that say so: of what is
/// demanded in all as one. Each host that is weighed is a unit of work.
pub(crate) fn relaxed(rooms: &[Room], demands: &[&[u64]], work: &mut u64) -> (f64, Vec<f64>) {
    let dimensions = rooms.first().map_or(0, |room| room.free.len());
    let mut sums = vec![0_u64; dimensions];
    for demand in demands {
        for (sum, amount) in sums.iter_mut().zip(*demand) {
            *sum = sum.saturating_add(*amount);
        }
    }
    let mut search = Search { rooms, sums, best: 0.0, weights: vec![1.0; dimensions], work };
    search.along_edges();
    search.refine();
    (search.best, search.weights)
}

/// The rooms without what no tasks can use: a dimension is used at most in the greatest proportion to any other
/// in which a task demands both.
fn usable(rooms: &[Room], demands: &[&[u64]]) -> Vec<Room> {
    let dimensions = rooms.first().map_or(0, |room| room.free.len());
    let mut rooms = rooms.to_vec();
    for of in 0..dimensions {
        for to in 0..dimensions {
            let Some((most, whole)) = greatest_proportion(demands, of, to).filter(|_| of != to)
            else {
                continue;
            };
            for room in &mut rooms {
                let bound = u128::from(room.free[to]) * u128::from(most) / u128::from(whole) + 1;
                let bound = u64::try_from(bound).unwrap_or(u64::MAX);
                room.free[of] = room.free[of].min(bound);
            }
        }
    }
    rooms
}

/// The greatest proportion of one dimension to another in which a task demands both; `None` if a task demands
/// the one without the other, or none demands it.
fn greatest_proportion(demands: &[&[u64]], of: usize, to: usize) -> Option<(u64, u64)> {
    let mut greatest: Option<(u64, u64)> = None;
    for demand in demands.iter().filter(|demand| demand[of] > 0) {
        let (part, whole) = (demand[of], demand[to]);
        if whole == 0 {
            return None;
        }
        let more = |(most, other): (u64, u64)| {
            u128::from(part) * u128::from(other) > u128::from(most) * u128::from(whole)
        };
        if greatest.is_none_or(more) {
            greatest = Some((part, whole));
        }
    }
    greatest
}

struct Search<'a> {
    rooms: &'a [Room],
    /// Demanded in all, by dimension.
    sums: Vec<u64>,
    best: f64,
    weights: Vec<f64>,
    work: &'a mut u64,
}

impl Search<'_> {
    fn along_edges(&mut self) {
        let demanded: Vec<usize> = (0..self.sums.len()).filter(|at| self.sums[*at] > 0).collect();
        for (position, first) in demanded.iter().enumerate() {
            for second in &demanded[position..] {
                let steps = if first == second { 0..1 } else { 1..GRID };
                for step in steps {
                    let mut weights = vec![0.0; self.sums.len()];
                    let share = f64::from(step) / f64::from(GRID);
                    weights[*second] += share;
                    weights[*first] += 1.0 - share;
                    self.consider(weights);
                }
            }
        }
    }

    fn refine(&mut self) {
        let mut step = 0.5 / f64::from(GRID);
        for _ in 0..REFINED {
            for dimension in 0..self.sums.len() {
                if self.sums[dimension] == 0 {
                    continue;
                }
                for change in [step, -step] {
                    let mut weights = self.weights.clone();
                    weights[dimension] = (weights[dimension] + change).max(0.0);
                    self.consider(weights);
                }
            }
            step /= 2.0;
        }
    }

    /// How many hosts it takes by these weights; a part of the last one counts as such.
    fn consider(&mut self, weights: Vec<f64>) {
        let all: f64 = weights.iter().sum();
        if all <= 0.0 {
            return;
        }
        *self.work = self.work.saturating_sub(self.rooms.len() as u64);
        let mut values: Vec<(f64, usize)> = self
            .rooms
            .iter()
            .map(|room| (value(&room.free, &self.sums, &weights), room.hosts.len()))
            .collect();
        values.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (mut missing, mut hosts) = (all, 0.0);
        for (value, count) in values {
            let count = float(count as u64);
            if value <= 0.0 || missing <= 0.0 {
                break;
            }
            let taken = (missing / value).min(count);
            hosts += taken;
            missing -= taken * value;
        }
        if hosts > self.best {
            (self.best, self.weights) = (hosts, weights);
        }
    }
}

/// What some amounts are worth by weights, of what is demanded in all.
pub(crate) fn value(amounts: &[u64], sums: &[u64], weights: &[f64]) -> f64 {
    let mut value = 0.0;
    for ((amount, sum), weight) in amounts.iter().zip(sums).zip(weights) {
        if *sum > 0 {
            value += weight * float((*amount).min(*sum)) / float(*sum);
        }
    }
    value
}

/// How many tasks demand more than half of what any host has, in the dimension in which most do.
fn conflicting(rooms: &[Room], demands: &[&[u64]]) -> usize {
    let dimensions = rooms.first().map_or(0, |room| room.free.len());
    let most = |at: usize| rooms.iter().map(|room| room.free[at]).max().unwrap_or(0);
    let large = |at: usize| {
        let half = most(at) / 2;
        demands.iter().filter(|demand| demand[at] > half).count()
    };
    (0..dimensions).map(large).max().unwrap_or(0)
}
