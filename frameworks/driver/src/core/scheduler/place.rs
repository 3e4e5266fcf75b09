//! The pass: the next ready units meet the offers at hand, what fits is launched, what does not
//! is explained, and the master is told what is still wanted.

use super::Scheduler;
use crate::core::Want;
use crate::core::blame::AVOIDED;
use crate::core::boundary::{Effect, UnitChange};
use crate::core::driver::Driver;
use crate::core::record;
use crate::core::rule;
use crate::core::task;
use crate::core::unit::{Live, OpenUnit, Phase};
use crate::core::units::Group;
use fenzo::{HostAssignment, Lease, PortRange, TaskRequest};
use proto::{
    AgentId, Attribute, Domain, Offer, OfferId, Quantities, ResourceName, Resources, Time,
};
use std::sync::Arc;
use std::time::Duration;

/// Most bundles that are stated as demand.
const BUNDLES: usize = 64;

impl Scheduler {
    pub(crate) fn take_offers(&mut self, now: Time, offers: &[Offer], effects: &mut Vec<Effect>) {
        for offer in offers {
            self.agents.note_address(&offer.agent_id, &offer.hostname, offer.port);
        }
        let avoided = self.avoided_offers(now, offers);
        for offer in offers.iter().filter(|offer| !avoided.contains(&offer.id)) {
            self.new_leases.push(lease(now, offer));
        }
        self.driver.decline(avoided, AVOIDED, effects);
        self.dirty = true;
    }

    /// Offers of agents that failed units lately, if there are offers of others.
    fn avoided_offers(&mut self, now: Time, offers: &[Offer]) -> Vec<OfferId> {
        if self.blame.avoided(now) == 0 {
            return Vec::new();
        }
        let held = self.driver.offers().values();
        let avoids: Vec<(OfferId, bool)> = held
            .map(|offer| {
                let agent = self.agents.number(&offer.agent_id);
                (offer.id.clone(), self.blame.avoids(now, agent))
            })
            .collect();
        if avoids.iter().all(|(_, avoided)| *avoided) {
            return Vec::new();
        }
        let new = |id: &OfferId| offers.iter().any(|offer| offer.id == *id);
        avoids.into_iter().filter(|(id, avoided)| *avoided && new(id)).map(|(id, _)| id).collect()
    }

    pub(crate) fn pass(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let can_place = self.driver.is_subscribed() && !self.driver.offers().is_empty();
        if can_place && !self.active.is_empty() {
            self.place(now, effects);
        }
        let want = self.wanted();
        self.driver.set_want(now, want, effects);
    }

    fn place(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let (requests, whole) = self.window();
        let leases = std::mem::take(&mut self.new_leases);
        let time = fenzo::Time::from_nanos(now.as_nanos());
        let result = self.placer.schedule_once(time, &requests, leases);
        let placed = result.placed();
        let launches: Vec<Launch> = result
            .assignments
            .iter()
            .map(|assignment| self.prepare(now, assignment, effects))
            .collect();
        for failure in &result.failures {
            self.note_failure(failure);
        }
        // What remains is free to come back at once when nothing waits any more: the next
        // submit meets it. Otherwise it fits nothing that waits, so others shall have it.
        let waiting = !self.active.is_empty();
        let refuse = if waiting { self.driver.refuse(now) } else { Duration::ZERO };
        for Launch { offers, tasks } in launches {
            let held = self.driver.launch(offers, tasks, refuse, effects);
            assert!(held, "the placer and the driver hold the same offers");
        }
        let expired = result.expired.iter().map(offer_id).collect();
        self.driver.decline(expired, refuse, effects);
        if waiting && whole {
            let unfit: Vec<OfferId> = self.driver.offers().keys().cloned().collect();
            self.placer.expire_all();
            self.driver.decline(unfit, refuse, effects);
        } else if waiting && placed > 0 {
            self.dirty = true;
        }
    }

    /// The next units to place, taken from all groups in turn, those with the fewest living units
    /// first; and whether every group is in it. About as many as could fit, and one more of each
    /// group, so that there is an explanation.
    fn window(&self) -> (Vec<TaskRequest>, bool) {
        let most = self.driver.options().window;
        let free = offered(&self.driver);
        let mut order: Vec<(u32, u32)> = self
            .active
            .iter()
            .filter_map(|number| Some((self.groups.get(number)?.counts.live(), *number)))
            .collect();
        order.sort_unstable();
        let whole = order.len() <= most;
        order.truncate(most);
        let queues: Vec<(&Group, Vec<u32>)> = order
            .iter()
            .filter_map(|(_, number)| self.groups.get(number))
            .map(|group| (group, group.next_ready(fitting(&free, group, most))))
            .collect();
        let longest = queues.iter().map(|(_, queue)| queue.len()).max().unwrap_or(0);
        let mut requests = Vec::new();
        'rounds: for round in 0..longest {
            for (group, queue) in &queues {
                let Some(index) = queue.get(round) else { continue };
                if requests.len() == most {
                    break 'rounds;
                }
                let name = task::name(&group.id, *index, group.attempt(*index));
                requests.push(TaskRequest::new(name, &group.class));
            }
        }
        (requests, whole)
    }

    /// Records the launches on one host and makes the tasks of it.
    fn prepare(
        &mut self,
        now: Time,
        assignment: &HostAssignment,
        effects: &mut Vec<Effect>,
    ) -> Launch {
        let offers: Vec<OfferId> = assignment.leases.iter().map(offer_id).collect();
        let agent_id = offers
            .first()
            .and_then(|offer| self.driver.offers().get(offer))
            .map(|offer| offer.agent_id.clone())
            .expect("the placer holds no lease that the driver has no offer for");
        let agent = self.agents.number(&agent_id);
        if let Some((id, host, port)) = self.agents.take_unrecorded(agent) {
            self.writes.push(record::host(&id, &host, port));
        }
        let launch_timeout = self.driver.options().launch_timeout;
        let mut tasks = Vec::with_capacity(assignment.tasks.len());
        for placed in &assignment.tasks {
            let (id, index, attempt) = task::parse(placed.request.id.as_str())
                .expect("the placer gives back what it was asked for");
            let group = self.group(&id).expect("groups do not go away during a pass");
            let number = group.number;
            let spent = group.open(index).map(|unit| unit.spent).unwrap_or_default();
            tasks.push(task::describe(
                &id,
                &group.spec,
                index,
                attempt,
                agent_id.clone(),
                &placed.ports,
            ));
            let live = Live {
                agent,
                launched: now,
                running: None,
                unreachable: None,
                kill: None,
                heard: false,
                ask_at: Some(now + launch_timeout),
            };
            let unit = OpenUnit { attempt, spent, phase: Phase::Live(live), due: None };
            self.put_open(now, number, index, unit);
            if let Some(group) = self.groups.get_mut(&number) {
                group.tally.launched(now);
            }
            self.record_open(number, index);
            self.placer.task_assigned(&placed.request, &assignment.host);
            if self.groups.get(&number).is_some_and(|group| group.ready_count() == 0) {
                self.active.remove(&number);
            }
            self.notify(number, index, attempt, UnitChange::Launched(agent_id.clone()), effects);
        }
        Launch { offers, tasks }
    }

    fn note_failure(&mut self, failure: &fenzo::Failure) {
        for name in &failure.tasks {
            let Some((id, _, _)) = task::parse(name.as_str()) else { continue };
            let number = self.group(&id).map(|group| group.number);
            if let Some(group) = number.and_then(|number| self.groups.get_mut(&number)) {
                group.why = Some(Arc::clone(&failure.explanation));
            }
        }
    }

    /// What would have to be offered for all ready units.
    fn wanted(&self) -> Want {
        let mut bundles: Vec<(Resources, u32)> = Vec::new();
        for number in &self.active {
            let Some(group) = self.groups.get(number) else { continue };
            let (demand, count) = (task::demand(&group.spec), group.ready_count());
            match bundles.iter().position(|(resources, _)| *resources == demand) {
                Some(at) => bundles[at].1 = bundles[at].1.saturating_add(count),
                None if bundles.len() < BUNDLES => bundles.push((demand, count)),
                None => {}
            }
        }
        if bundles.is_empty() { Want::Nothing } else { Want::Bundles(bundles) }
    }
}

/// An ACCEPT in the making.
struct Launch {
    offers: Vec<OfferId>,
    tasks: Vec<proto::TaskInfo>,
}

fn offer_id(lease: &fenzo::LeaseId) -> OfferId {
    OfferId::new(lease.as_str()).expect("leases are named after offers")
}

/// All that is at hand, summed up.
fn offered(driver: &Driver) -> Quantities {
    let mut all = Quantities::default();
    for offer in driver.offers().values() {
        all.add_all(&offer.resources.quantities());
    }
    all
}

/// How many units of the group could fit at most, and one more.
fn fitting(free: &Quantities, group: &Group, most: usize) -> usize {
    let needs = group.spec.template.resources.iter().filter(|(_, milli)| **milli > 0);
    let fits = needs
        .map(|(name, milli)| free.get(&ResourceName::new(name.as_str())) / milli)
        .min()
        .unwrap_or(0);
    usize::try_from(fits).unwrap_or(most).saturating_add(1).min(most)
}

/// An offer in fenzo's words.
pub(crate) fn lease(now: Time, offer: &Offer) -> Lease {
    let Offer { agent_id, hostname, attributes, domain, resources, .. } = offer;
    let host = Host { agent_id, hostname, attributes, domain: domain.as_ref() };
    host.lease(now, offer.id.as_str(), resources)
}

/// Where a lease is of.
pub(crate) struct Host<'a> {
    pub(crate) agent_id: &'a AgentId,
    pub(crate) hostname: &'a Arc<str>,
    pub(crate) attributes: &'a [Attribute],
    pub(crate) domain: Option<&'a Domain>,
}

impl Host<'_> {
    /// So much of it in fenzo's words. The host is the agent's id: several agents may share a name.
    pub(crate) fn lease(&self, now: Time, id: &str, resources: &Resources) -> Lease {
        let ports = resources.ranges("ports");
        let mut attributes = rule::attributes(self.attributes, self.domain);
        attributes
            .entry("hostname".to_owned())
            .or_insert_with(|| fenzo::AttributeValue::from(&**self.hostname));
        Lease {
            ports: ports.pairs().iter().filter_map(|(b, e)| PortRange::new(*b, *e)).collect(),
            attributes: attributes.into(),
            offered_at: fenzo::Time::from_nanos(now.as_nanos()),
            ..Lease::new(id, self.agent_id.as_str(), task::quantities(resources))
        }
    }
}
