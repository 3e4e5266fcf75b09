//! Things that a host has one by one: members of named sets, devices.

use std::collections::BTreeMap;

use fenzo::{Device, DeviceRequest, DeviceUse, HostId, Milli, SetUse, TaskClass};

use super::state::State;
use crate::properties::world::{LARGEST, closures};

const WHOLE: u64 = 1000;

/// A member of a set.
#[derive(Clone, Default)]
struct Member {
    /// The value it is bound to, if anybody uses it.
    bound: Option<Option<String>>,
    used: u32,
}

impl State<'_> {
    /// The sets of a host with their size and members, in the order of its latest lease.
    fn sets(&self, host: &HostId) -> Vec<(String, u32, Vec<Member>)> {
        let mut sets: Vec<(String, u32, Vec<Member>)> = Vec::new();
        for set in self.latest(host).into_iter().flat_map(|lease| &lease.sets) {
            if sets.iter().all(|(name, ..)| *name != set.name) {
                let members = vec![Member::default(); set.members as usize];
                sets.push((set.name.clone(), set.each, members));
            }
        }
        for used in self.on_host(host).flat_map(|on| &on.sets) {
            let set = sets.iter_mut().find(|(name, ..)| *name == used.name);
            let member = set.and_then(|(_, _, members)| members.get_mut(used.member as usize));
            if let Some(member) = member {
                member.bound = Some(used.value.clone());
                member.used += used.amount;
            }
        }
        sets
    }

    /// What a task would use of the sets of a host, with their fitness if it has any; `None` if one of them
    /// cannot serve it.
    pub(super) fn use_of_sets(
        &self,
        class: &TaskClass,
        host: &HostId,
    ) -> Option<(Vec<SetUse>, Option<f64>)> {
        let sets = self.sets(host);
        let has = |name: &String| sets.iter().any(|(other, ..)| other == name);
        if !class.sets.keys().all(has) {
            return None;
        }
        let (mut uses, mut sum) = (Vec::new(), 0.0);
        for (name, each, members) in &sets {
            let request = class.sets.get(name);
            let value = request.map(|request| request.value.clone());
            let amount = request.map_or(0, |request| request.amount);
            let fitness = |(number, member): (u32, &Member)| {
                let fits = member.used + amount <= *each;
                match &member.bound {
                    Some(bound) if !fits || *bound != value => 0.0,
                    None if !fits => 0.0,
                    bound if self.judges_sets => {
                        let used = bound.as_ref().map(|_| member.used);
                        closures::expected_member(name, number, used)
                    }
                    None => 0.5 / f64::from(each + 1),
                    Some(_) => f64::from(member.used + amount + 1) / f64::from(each + 1),
                }
            };
            let scores: Vec<f64> = (0_u32..).zip(members).map(fitness).collect();
            let highest = scores.iter().copied().fold(0.0, f64::max);
            let best = (0_u32..).zip(&scores).find(|(_, score)| **score == highest);
            let (member, _) = best.filter(|_| highest > 0.0)?;
            uses.push(SetUse { name: name.clone(), value, member, amount });
            sum += highest;
        }
        let fitness = (!sets.is_empty()).then(|| sum / sets.len() as f64);
        Some((uses, fitness))
    }

    /// The devices of a host, in order of kind and id, with what is left of each.
    fn devices(&self, host: &HostId) -> Vec<Device> {
        let mut devices: BTreeMap<_, Device> = BTreeMap::new();
        for device in self.leases_of(host).flat_map(|lease| &lease.devices) {
            let key = (device.kind.clone(), device.id.clone());
            let nothing = || device.clone().with_free(Milli::ZERO);
            let known = devices.entry(key).or_insert_with(nothing);
            let free = known.free.thousandths() + device.free.thousandths();
            known.free = Milli::from_thousandths(free.min(WHOLE));
        }
        for on in self.on_host(host).filter(|on| on.new || self.single_lease) {
            for used in &on.devices {
                if let Some(known) = devices.get_mut(&(used.kind.clone(), used.id.clone())) {
                    known.free = known.free.saturating_sub(used.share);
                }
            }
        }
        devices.into_values().collect()
    }

    /// used / total of a named scalar with the task; 0 where there is none.
    pub(super) fn scalar_ratio(&self, class: &TaskClass, host: &HostId, name: &str) -> f64 {
        let of =
            |class: &TaskClass| class.demand.scalars.get(name).map_or(0, |of| of.thousandths());
        let used: u64 = self.on_host(host).map(|on| of(on.class)).sum();
        let free = self.free(host).get(&format!("scalar {name}")).copied().unwrap_or(0);
        let total = used + free;
        if total == 0 { 0.0 } else { (used + of(class)) as f64 / total as f64 }
    }

    /// The best fit of devices that [`world::fitness`](crate::properties::world) chooses: in hundredths, how
    /// little is left of cpus and of gpus, of the most that it was told a host has.
    pub(super) fn tightness(&self, class: &TaskClass, host: &HostId) -> f64 {
        let [most_cpus, most_gpus] = LARGEST.map(|most| most * 1000);
        let gpus = self.devices(host).into_iter().filter(|device| device.kind.as_str() == "gpu");
        let gpus: u64 = gpus.map(|device| device.free.thousandths()).sum();
        let taken = class.devices.iter().find(|(kind, _)| kind.as_str() == "gpu");
        let taken = taken
            .map_or(0, |(_, request)| u64::from(request.devices()) * request.share().thousandths());
        let cpus = self.free(host)["Cpus"] - class.demand.cpus.thousandths();
        let left = |left: u64, most: u64| left as f64 / most as f64;
        let mean = (left(cpus, most_cpus) + left(gpus - taken, most_gpus)) / 2.0;
        ((1.0 - mean) * 100.0).max(0.0).trunc() / 100.0
    }

    /// The devices that a task would use; `None` if the host cannot serve it.
    pub(super) fn use_of_devices(
        &self,
        class: &TaskClass,
        host: &HostId,
    ) -> Option<Vec<DeviceUse>> {
        let devices = self.devices(host);
        let mut uses = Vec::new();
        for (kind, request) in &class.devices {
            let accepted = |device: &&Device| {
                let models = request.models();
                device.kind == *kind
                    && (models.is_empty() || models.contains(&device.model))
                    && device.free >= request.share()
            };
            let mut chosen: Vec<&Device> = devices.iter().filter(accepted).collect();
            if is_part(request) {
                // The one with the least room.
                chosen.sort_by_key(|device| device.free);
            }
            let count = request.devices() as usize;
            if chosen.len() < count {
                return None;
            }
            uses.extend(chosen[..count].iter().map(|device| DeviceUse {
                kind: kind.clone(),
                id: device.id.clone(),
                model: device.model.clone(),
                share: request.share(),
            }));
        }
        Some(uses)
    }
}

fn is_part(request: &DeviceRequest) -> bool {
    request.share().thousandths() < WHOLE
}
