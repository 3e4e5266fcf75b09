//! A packing of all tasks of a batch at once, onto few hosts: one host after the other is filled.
//!
//! A host is filled with the largest tasks that leave it in balance: of many, the one after which least is left
//! and what is left is in the same proportion of everything. Then single tasks are exchanged for such as leave
//! less. Of the hosts that are worth most by the weights of the bound, the one that could be filled best is
//! taken. In the end hosts are emptied whose tasks fit into the gaps of others. Several ways of weighing are
//! tried as long as there is work to spend. Only sums are looked at here: that the rules permit a plan is for
//! the pass to see.

use super::Room;
use super::bound::{relaxed, value};
use crate::fitness::float;

/// Of the tasks that could fit, so many of the largest are compared, and as many of the others.
const WINDOW: usize = 256;

/// The weights are found anew for what is left whenever so many hosts have been filled.
const RENEWED: usize = 16;

/// How many kinds of hosts are filled on trial for one that is taken.
const TRIED: usize = 3;

/// Hosts are tried if they are worth so much of the one that is worth most.
const WORTH: f64 = 0.9;

/// How often a task of a host is exchanged at most.
const EXCHANGES: usize = 8;

/// How much a host out of balance counts against one that has much left, and how much every dimension counts
/// besides the weights of the bound: one plan for each pair.
const WAYS: [(f64, f64); 3] = [(8.0, 0.01), (3.0, 0.001), (16.0, 0.001)];

/// Where tasks are to go: a host, by the ordinal that its room has for it, for each task.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) host_of: Vec<Option<usize>>,
    pub(crate) hosts: usize,
    /// How many tasks have none.
    pub(crate) missed: usize,
}

/// A host that is being filled.
struct Filled {
    host: usize,
    free: Vec<u64>,
    tasks: Vec<usize>,
}

/// The best plan that `work` comparisons find for tasks with these demands: the one that places most of them,
/// and of such the one on the fewest hosts. Nothing better than `bound` hosts is looked for.
pub(crate) fn plan(rooms: &[Room], demands: &[&[u64]], bound: usize, work: &mut u64) -> Plan {
    let mut best = Plan { host_of: vec![None; demands.len()], hosts: 0, missed: demands.len() };
    for way in WAYS {
        if *work == 0 || (best.missed == 0 && best.hosts <= bound) {
            break;
        }
        let mut packing = Packing::new(rooms, demands, way);
        if packing.fill(work) {
            packing.empty(work);
        }
        let found = packing.plan();
        if (found.missed, found.hosts) < (best.missed, best.hosts) {
            best = found;
        }
    }
    best
}

struct Packing<'a> {
    rooms: &'a [Room],
    /// How many hosts of each room are used.
    used: Vec<usize>,
    demands: &'a [&'a [u64]],
    balance: f64,
    even: f64,
    sums: Vec<u64>,
    weights: Vec<f64>,
    /// The tasks that are left, the largest first, with their sizes.
    left: Vec<(f64, usize)>,
    /// Whether a task is on a host that is being filled.
    taken: Vec<bool>,
    filled: Vec<Filled>,
}

impl<'a> Packing<'a> {
    fn new(rooms: &'a [Room], demands: &'a [&'a [u64]], (balance, even): (f64, f64)) -> Self {
        let left = (0..demands.len()).map(|task| (0.0, task)).collect();
        let (used, taken, filled) = (vec![0; rooms.len()], vec![false; demands.len()], Vec::new());
        let (sums, weights) = (Vec::new(), Vec::new());
        Self { rooms, used, demands, balance, even, sums, weights, left, taken, filled }
    }

    /// Fills hosts until no task is left; false if some find no host, or the work is spent.
    fn fill(&mut self, work: &mut u64) -> bool {
        while !self.left.is_empty() && *work > 0 {
            if self.filled.len().is_multiple_of(RENEWED) {
                self.renew(work);
            }
            let mut best: Option<(f64, usize, Filled)> = None;
            for room in self.worthy() {
                let filled = self.fill_host(room, work);
                let size: f64 = filled.tasks.iter().map(|task| self.size(*task)).sum();
                for task in &filled.tasks {
                    self.taken[*task] = false;
                }
                if best.as_ref().is_none_or(|(most, ..)| size > *most) {
                    best = Some((size, room, filled));
                }
            }
            let Some((_, room, filled)) = best else { return false };
            self.used[room] += 1;
            if filled.tasks.is_empty() {
                // None of the hosts that are worth most takes any task.
                self.used[room] = self.rooms[room].hosts.len();
                continue;
            }
            for task in &filled.tasks {
                self.taken[*task] = true;
            }
            let taken = &self.taken;
            self.left.retain(|(_, task)| !taken[*task]);
            self.filled.push(filled);
        }
        self.left.is_empty()
    }

    fn size(&self, task: usize) -> f64 {
        value(self.demands[task], &self.sums, &self.weights)
    }

    /// Weighs what is left anew.
    fn renew(&mut self, work: &mut u64) {
        let demands: Vec<&[u64]> = self.left.iter().map(|(_, task)| self.demands[*task]).collect();
        let rooms: Vec<Room> = self
            .rooms
            .iter()
            .zip(&self.used)
            .map(|(room, used)| Room {
                free: room.free.clone(),
                hosts: room.hosts[*used..].to_vec(),
            })
            .filter(|room| !room.hosts.is_empty())
            .collect();
        let (_, weights) = relaxed(&rooms, &demands, work);
        if weights.is_empty() {
            return;
        }
        let all: f64 = weights.iter().sum();
        self.weights = weights.iter().map(|weight| weight / all + self.even).collect();
        self.sums = vec![0; self.weights.len()];
        for demand in &demands {
            for (sum, amount) in self.sums.iter_mut().zip(*demand) {
                *sum = sum.saturating_add(*amount);
            }
        }
        for (size, task) in &mut self.left {
            *size = value(self.demands[*task], &self.sums, &self.weights);
        }
        self.left.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    }

    /// The rooms whose hosts are worth most.
    fn worthy(&self) -> Vec<usize> {
        let worth = |room: usize| value(&self.rooms[room].free, &self.sums, &self.weights);
        let mut open: Vec<(f64, usize)> = (0..self.rooms.len())
            .filter(|room| self.used[*room] < self.rooms[*room].hosts.len())
            .map(|room| (worth(room), room))
            .collect();
        open.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let most = open.first().map_or(0.0, |(worth, _)| *worth);
        open.retain(|(worth, _)| *worth >= most * WORTH);
        open.into_iter().take(TRIED).map(|(_, room)| room).collect()
    }

    /// Fills the next host of a room; its tasks are marked as taken.
    fn fill_host(&mut self, room: usize, work: &mut u64) -> Filled {
        let whole = &self.rooms[room].free;
        let host = self.rooms[room].hosts[self.used[room]];
        let mut filled = Filled { host, free: whole.to_vec(), tasks: Vec::new() };
        let mut exchanges = 0;
        loop {
            while let Some(task) = self.best_task(&filled.free, whole, work) {
                take(&mut filled.free, self.demands[task]);
                filled.tasks.push(task);
                self.taken[task] = true;
            }
            if exchanges == EXCHANGES || !self.exchange(&mut filled, whole, work) {
                return filled;
            }
            exchanges += 1;
        }
    }

    /// Those that are not larger than `room`: the largest of them, and some of the others.
    fn candidates(&self, room: f64) -> impl Iterator<Item = usize> + use<'_, 'a> {
        let from = self.left.partition_point(|(size, _)| *size > room * (1.0 + 1e-9));
        let rest = self.left.len() - from;
        let stride = (rest.saturating_sub(WINDOW) / WINDOW).max(1);
        let near = from..from + rest.min(WINDOW);
        let far = (from + rest.min(WINDOW)..self.left.len()).step_by(stride);
        near.chain(far).map(|at| self.left[at].1).filter(|task| !self.taken[*task])
    }

    /// The task that suits what a host has left best.
    fn best_task(&self, free: &[u64], whole: &[u64], work: &mut u64) -> Option<usize> {
        let mut best: Option<(f64, usize)> = None;
        for task in self.candidates(value(free, &self.sums, &self.weights)) {
            *work = work.saturating_sub(1);
            let demand = self.demands[task];
            if !covers(free, demand) {
                continue;
            }
            let loss = self.loss(free, demand, whole, self.balance);
            if best.is_none_or(|(least, _)| loss < least) {
                best = Some((loss, task));
            }
        }
        best.map(|(_, task)| task)
    }

    /// How much of a host is left without a demand, and how much out of balance that is, in parts of the whole.
    fn loss(&self, free: &[u64], demand: &[u64], whole: &[u64], balance: f64) -> f64 {
        let part = |at: usize| float(free[at] - demand[at]) / float(whole[at].max(1));
        let (mut mean, mut all) = (0.0, 0.0);
        for (at, weight) in self.weights.iter().enumerate() {
            mean += weight * part(at);
            all += weight;
        }
        mean /= all;
        let mut apart = 0.0;
        for (at, weight) in self.weights.iter().enumerate() {
            apart += weight * (part(at) - mean).abs();
        }
        mean + balance * apart / all
    }

    /// Exchanges one task of a host for one that leaves less of it; false if there is none.
    fn exchange(&mut self, filled: &mut Filled, whole: &[u64], work: &mut u64) -> bool {
        let none = vec![0; whole.len()];
        let now = self.loss(&filled.free, &none, whole, 1.0);
        let mut best: Option<(f64, usize, usize)> = None;
        for (position, out) in filled.tasks.iter().enumerate() {
            let mut free = filled.free.clone();
            give(&mut free, self.demands[*out]);
            for task in self.candidates(value(&free, &self.sums, &self.weights)) {
                *work = work.saturating_sub(1);
                let demand = self.demands[task];
                if !covers(&free, demand) {
                    continue;
                }
                let loss = self.loss(&free, demand, whole, 1.0);
                if loss < now - 1e-6 && best.is_none_or(|(least, ..)| loss < least) {
                    best = Some((loss, position, task));
                }
            }
        }
        let Some((_, position, task)) = best else { return false };
        let out = std::mem::replace(&mut filled.tasks[position], task);
        give(&mut filled.free, self.demands[out]);
        take(&mut filled.free, self.demands[task]);
        self.taken[out] = false;
        self.taken[task] = true;
        true
    }

    /// Empties hosts, the least filled first, whose tasks fit into the gaps of others.
    fn empty(&mut self, work: &mut u64) {
        self.filled.sort_by_key(|filled| filled.tasks.len());
        let mut at = 0;
        while at < self.filled.len() && *work > 0 {
            let mut moves = Vec::new();
            let tasks = self.filled[at].tasks.clone();
            for task in &tasks {
                let demand = self.demands[*task];
                *work = work.saturating_sub(self.filled.len() as u64);
                let mut others = (0..self.filled.len()).filter(|to| *to != at);
                let Some(to) = others.find(|to| covers(&self.filled[*to].free, demand)) else {
                    break;
                };
                take(&mut self.filled[to].free, demand);
                moves.push((to, *task));
            }
            if moves.len() == tasks.len() {
                for (to, task) in moves {
                    self.filled[to].tasks.push(task);
                }
                self.filled.remove(at);
                continue;
            }
            for (to, task) in moves {
                give(&mut self.filled[to].free, self.demands[task]);
            }
            at += 1;
        }
    }

    fn plan(&self) -> Plan {
        let mut host_of = vec![None; self.demands.len()];
        for filled in &self.filled {
            for task in &filled.tasks {
                host_of[*task] = Some(filled.host);
            }
        }
        Plan { host_of, hosts: self.filled.len(), missed: self.left.len() }
    }
}

fn covers(free: &[u64], demand: &[u64]) -> bool {
    demand.iter().zip(free).all(|(amount, free)| amount <= free)
}

fn take(free: &mut [u64], demand: &[u64]) {
    for (free, amount) in free.iter_mut().zip(demand) {
        *free -= amount;
    }
}

fn give(free: &mut [u64], demand: &[u64]) {
    for (free, amount) in free.iter_mut().zip(demand) {
        *free += amount;
    }
}
