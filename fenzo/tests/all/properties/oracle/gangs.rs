//! Gangs, by trial of every place.

use std::collections::{BTreeMap, BTreeSet};

use fenzo::{AttributeValue, Gang, HostId, Level, SchedulingResult, TaskId, TaskRequest};

use super::Oracle;
use super::state::{State, amounts};

/// How a trial ended: the state, and the members without a host.
struct Trial<'a> {
    state: State<'a>,
    missed: Vec<&'a TaskRequest>,
}

impl<'a> Oracle<'a> {
    /// Replays a run of gangs.
    pub(crate) fn replay_gangs(mut self, gangs: &'a [Gang], result: &SchedulingResult) {
        let mut failed: BTreeSet<&TaskId> = BTreeSet::new();
        for failure in &result.failures {
            failed.extend(&failure.tasks);
        }
        for gang in gangs {
            self.place_gang(gang);
            for task in &gang.tasks {
                let on = self.state.on.iter().find(|on| on.new && on.id == task.id);
                let (got, found) = (self.host_of.get(&task.id), on.map(|on| &on.host));
                assert_eq!(got, found, "task {} of a gang of at least {}", task.id, gang.min);
                assert_eq!(failed.contains(&task.id), got.is_none(), "task {}", task.id);
            }
        }
        self.check_details();
        self.check_growth();
    }

    fn place_gang(&mut self, gang: &'a Gang) {
        let min = gang.min.max(1);
        if gang.tasks.is_empty() {
            return;
        }
        // A preferred level, if one of its places has room for all.
        for level in &gang.preferred {
            for hosts in self.places(level, gang) {
                let trial = self.trial(gang, Some(&hosts));
                if trial.missed.is_empty() && gang.tasks.len() >= min {
                    self.state = trial.state;
                    return;
                }
            }
        }
        let places: Vec<Option<BTreeSet<HostId>>> = match &gang.within {
            Some(level) => self.places(level, gang).into_iter().map(Some).collect(),
            None => vec![None],
        };
        // The first that has room for all, else the first with room for most.
        let mut best: Option<Trial<'a>> = None;
        for place in &places {
            let trial = self.trial(gang, place.as_ref());
            if best.as_ref().is_none_or(|best| trial.missed.len() < best.missed.len()) {
                best = Some(trial);
            }
        }
        let Some(best) = best else { return };
        if gang.tasks.len() - best.missed.len() < min {
            return;
        }
        self.state = best.state;
        if gang.within.is_none() {
            // Those beyond the least number are on their own.
            for task in best.missed {
                self.place(task, None);
            }
        }
    }

    fn trial(&mut self, gang: &'a Gang, hosts: Option<&BTreeSet<HostId>>) -> Trial<'a> {
        let before = self.state.clone();
        let mut missed = Vec::new();
        for task in &gang.tasks {
            if self.place(task, hosts).is_none() {
                missed.push(task);
            }
        }
        Trial { state: std::mem::replace(&mut self.state, before), missed }
    }

    /// The hosts of each place of a level: that with the least room first, of equal ones the first by name.
    fn places(&self, level: &Level, gang: &Gang) -> Vec<BTreeSet<HostId>> {
        let mut places: BTreeMap<Vec<AttributeValue>, BTreeSet<HostId>> = BTreeMap::new();
        for host in &self.state.hosts {
            let is_offered = self.state.leases_of(host).next().is_some();
            if let Some(place) = self.state.place(host, level).filter(|_| is_offered) {
                places.entry(place).or_default().insert(host.clone());
            }
        }
        let mut places: Vec<BTreeSet<HostId>> = places.into_values().collect();
        places.sort_by(|one, other| {
            let (room, of_other) = (self.room(one, gang), self.room(other, gang));
            room.total_cmp(&of_other).then(one.first().cmp(&other.first()))
        });
        places
    }

    /// What is free of each dimension, in parts of what the gang wants of it.
    fn room(&self, hosts: &BTreeSet<HostId>, gang: &Gang) -> f64 {
        let mut room = 0.0;
        let names = ["Cpus", "Memory", "Disk", "Network", "ports", "scalar gpus"];
        for name in names {
            let wanted = |task: &TaskRequest| match name {
                "ports" => u64::from(task.class.ports),
                _ => amounts(&task.class.demand).get(name).copied().unwrap_or(0),
            };
            let free = |host: &HostId| match name {
                "ports" => self.state.free_ports(host).len() as u64,
                _ => self.state.free(host).get(name).copied().unwrap_or(0),
            };
            let all: u64 = gang.tasks.iter().map(wanted).sum();
            let free: u64 = hosts.iter().map(free).sum();
            if all > 0 {
                room += free as f64 / all as f64;
            }
        }
        room
    }
}
