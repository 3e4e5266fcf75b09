//! What elastic tasks are given beyond their demand.

use fenzo::{Milli, Resource, Resources};

use super::Oracle;
use super::state::{On, of};
use fenzo::Measure;

fn amount(resources: &Resources, resource: &Resource) -> u64 {
    match resource {
        Resource::Cpus => resources.cpus,
        Resource::Memory => resources.mem,
        Resource::Disk => resources.disk,
        Resource::Network => resources.network,
        Resource::Scalar(name) => resources.scalars.get(name).copied().unwrap_or_default(),
        Resource::Ports => Milli::ZERO,
    }
    .thousandths()
}

fn name(resource: &Resource) -> String {
    match resource {
        Resource::Cpus => "Cpus".to_owned(),
        Resource::Memory => "Memory".to_owned(),
        Resource::Disk => "Disk".to_owned(),
        Resource::Network => "Network".to_owned(),
        Resource::Scalar(name) => format!("scalar {name}"),
        Resource::Ports => "ports".to_owned(),
    }
}

fn resources() -> Vec<Resource> {
    let scalar = Resource::Scalar("gpus".to_owned());
    vec![Resource::Cpus, Resource::Memory, Resource::Disk, Resource::Network, scalar]
}

impl Oracle<'_> {
    /// Nobody gets more than it can use, than there is or than its group may have; nothing is left that somebody
    /// could use; and where groups have no limits, nobody gets more than another that could use it.
    pub(super) fn check_growth(&self) {
        for host in &self.state.hosts {
            for resource in resources() {
                let new: Vec<&On<'_>> = self.state.on_host(host).filter(|on| on.new).collect();
                let grown: Vec<(u64, u64, bool)> =
                    new.iter().map(|on| self.growth(on, &resource)).collect();
                let free = self.state.free(host).get(&name(&resource)).copied().unwrap_or(0);
                let given: u64 = grown.iter().map(|(more, ..)| more).sum();
                assert!(given <= free, "{resource:?} of {host}: {given} of {free}");
                let wants = |(more, room, limited): &&(u64, u64, bool)| more < room && !limited;
                if let Some((least, ..)) = grown.iter().filter(wants).min_by_key(|of| of.0) {
                    assert_eq!(given, free, "{resource:?} of {host} is left");
                    let most = grown.iter().map(|(more, ..)| *more).max().unwrap();
                    let even = most <= least + 1 || !self.rule.limits.is_empty();
                    assert!(even, "{resource:?} of {host}: {grown:?}");
                }
            }
        }
    }

    /// How much more a task got, how much more it could use, and whether its group can have no more.
    fn growth(&self, on: &On<'_>, resource: &Resource) -> (u64, u64, bool) {
        let demand = amount(&on.class.demand, resource);
        let most = on.class.most.get(resource).map_or(0, |most| most.thousandths());
        let room = most.saturating_sub(demand);
        let more = amount(self.placed[&on.id].granted(), resource) - demand;
        assert!(more <= room, "{} grew by {more} of {room}", on.id);
        (more, room, self.is_at_limit(on, resource))
    }

    fn is_at_limit(&self, on: &On<'_>, resource: &Resource) -> bool {
        let Some(limit) = self.rule.limits.get(&on.class.group) else { return false };
        let measures = [Resource::Cpus, Resource::Memory, Resource::Disk, Resource::Network];
        let Some(at) = measures.iter().position(|of| of == resource) else { return false };
        let Some(most) = limit[at] else { return false };
        let taken = self.state.on.iter().filter(|other| other.class.group == on.class.group);
        let taken: u64 = taken
            .map(|other| match self.placed.get(&other.id).filter(|_| other.new) {
                Some(placed) => amount(placed.granted(), resource),
                None => of(&other.class.demand, Measure::ALL[at]),
            })
            .sum();
        assert!(
            taken <= most.thousandths() || !self.has_grown(on),
            "{resource:?} of {}",
            on.class.group
        );
        taken >= most.thousandths()
    }

    /// Whether anybody of the group got more than it demands. (Those that run may be over a limit alone.)
    fn has_grown(&self, on: &On<'_>) -> bool {
        let group = |other: &&On<'_>| other.new && other.class.group == on.class.group;
        self.state.on.iter().filter(group).any(|other| self.placed[&other.id].grown.is_some())
    }
}
