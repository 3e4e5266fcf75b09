//! Networks that tasks of groups have together: one namespace and one link a group.
//!
//! The first task of a group makes it, those that follow are let in, and it goes with the last one.
//! The ports and the bandwidth of a task are the group's for as long as the task lives; what the
//! group has beside its tasks, it has until its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Entries, Inside, Networks, Standing, links, refused};
use crate::supervisor::task::{LaunchError, Network, NetworkPod, Traffic};

/// The networks of groups that have tasks.
#[derive(Debug, Default)]
pub(super) struct Pods {
    standing: BTreeMap<String, Pod>,
    next: u64,
}

/// The network of a group.
#[derive(Debug)]
struct Pod {
    /// With what the table has of it beside the ports of its tasks.
    standing: Standing,
    inside: Inside,
    /// What it has of bandwidth beside its tasks.
    beside: Option<u64>,
    /// What the link is to be held to, and what it is held to at both ends.
    held: Option<u64>,
    in_force: Option<u64>,
    /// Its tasks, by the order in which they came, with their bandwidth.
    members: BTreeMap<u64, Option<u64>>,
    /// What had passed when the present first task became that.
    before: Traffic,
    /// Ports of a task that is gone lead there for good.
    is_spoiled: bool,
}

/// A place among the tasks of a group.
#[derive(Debug)]
pub(super) struct Membership {
    name: String,
    number: u64,
}

/// Bandwidths add up; none of them all is no limit.
fn sum(rates: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    rates.flatten().reduce(u64::saturating_add)
}

impl Pod {
    fn is_first(&self, number: u64) -> bool {
        self.members.first_key_value().is_some_and(|(first, _)| *first == number)
    }

    /// What the link is to be held to. When the last task with bandwidth has ended it stays as it
    /// was: the others hold none, which is no reason to let them have all.
    fn rate(&self) -> Option<u64> {
        sum(self.members.values().copied().chain([self.beside])).or(self.held)
    }
}

impl Pods {
    /// What has passed a group's link is told with one task, so that it is counted once: the first
    /// of those that live.
    pub(super) fn told_by(
        &self,
        member: &Membership,
        all: impl FnOnce() -> Option<Traffic>,
    ) -> Option<Traffic> {
        let pod = self.standing.get(&member.name).filter(|pod| pod.is_first(member.number))?;
        let (all, before) = (all()?, pod.before);
        Some(Traffic {
            sent_bytes: all.sent_bytes.saturating_sub(before.sent_bytes),
            received_bytes: all.received_bytes.saturating_sub(before.received_bytes),
        })
    }
}

impl Networks {
    /// Lets a task into the network of its group, which is made for the first.
    pub(super) fn join(
        &mut self,
        group: &NetworkPod,
        network: &Network,
    ) -> Result<Standing, LaunchError> {
        if !self.pods.standing.contains_key(&group.name) {
            let held = sum([group.bits_a_second, network.bits_a_second].into_iter());
            let ports = group.ports.clone();
            let whole = Network { bits_a_second: held, ports, pod: None, ..network.clone() };
            let (standing, inside) = self.make(&whole)?;
            let pod = Pod {
                standing,
                inside,
                beside: group.bits_a_second,
                held,
                in_force: held,
                members: BTreeMap::new(),
                before: Traffic::default(),
                is_spoiled: false,
            };
            self.pods.standing.insert(group.name.clone(), pod);
        }
        let number = self.pods.next;
        self.pods.next += 1;
        let pod = self.pods.standing.get_mut(&group.name).expect("it was there, or is just made");
        pod.members.insert(number, network.bits_a_second);
        let mut standing = Standing {
            namespace: Arc::clone(&pod.standing.namespace),
            outside: pod.standing.outside,
            address: pod.standing.address,
            mapped: None,
            pod: Some(Membership { name: group.name.clone(), number }),
        };
        let joined = self
            .hold(&group.name)
            .map_err(refused("the bandwidth of its group"))
            .and_then(|()| self.map_own(&group.name, network, &standing));
        match joined {
            Ok(mapped) => {
                standing.mapped = mapped;
                Ok(standing)
            }
            Err(error) => {
                self.end(&standing);
                self.sweep();
                Err(error)
            }
        }
    }

    /// One less is in a group; with the last one its network ends.
    pub(super) fn leave(&mut self, member: &Membership, is_unmapped: bool) {
        let Some(pod) = self.pods.standing.get_mut(&member.name) else { return };
        let was_first = pod.is_first(member.number);
        pod.is_spoiled |= !is_unmapped;
        pod.members.remove(&member.number);
        if !pod.members.is_empty() {
            if was_first {
                pod.before =
                    links::traffic(&self.links, pod.standing.outside).unwrap_or(pod.before);
            }
            if let Err(error) = self.hold(&member.name) {
                super::super::log(&format!("the bandwidth of a group stays as it was: {error}"));
            }
            return;
        }
        let Some(pod) = self.pods.standing.remove(&member.name) else { return };
        let is_unmapped = self.unmap(&pod.standing) && !pod.is_spoiled;
        self.end_link(&pod.standing, is_unmapped);
    }

    /// Holds a group's link to what its tasks have of bandwidth now.
    fn hold(&mut self, name: &str) -> std::io::Result<()> {
        let Some(pod) = self.pods.standing.get_mut(name) else { return Ok(()) };
        pod.held = pod.rate();
        if let Some(rate) = pod.held.filter(|_| pod.held != pod.in_force) {
            pod.in_force = None;
            links::change_limit(&pod.inside.socket, pod.inside.own, rate)?;
            links::change_limit(&self.links, pod.standing.outside, rate)?;
            pod.in_force = Some(rate);
        }
        Ok(())
    }

    /// Leads the ports of a task to its group; gives what is the task's of that.
    fn map_own(
        &mut self,
        name: &str,
        network: &Network,
        standing: &Standing,
    ) -> Result<Option<Entries>, LaunchError> {
        if network.ports.is_empty() {
            return Ok(None);
        }
        // What the group needs with its first port is the group's.
        let mut of_group = self.pods.standing.get(name).and_then(|pod| pod.standing.mapped.clone());
        let had = of_group.get_or_insert_default();
        let entries = Entries {
            ports: network.ports.clone(),
            themselves: !had.themselves,
            hidden: false,
            trusted: network.link_local && !had.trusted,
            insider: network.cluster && !had.insider,
        };
        had.themselves = true;
        had.trusted |= entries.trusted;
        had.insider |= entries.insider;
        let mapped = self.map(entries, standing, false)?;
        if let Some(pod) = self.pods.standing.get_mut(name) {
            pod.standing.mapped = of_group;
        }
        Ok(mapped.map(|entries| Entries {
            themselves: false,
            trusted: false,
            insider: false,
            ..entries
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bandwidths_add_up_and_none_is_no_limit() {
        assert_eq!(sum([None, None].into_iter()), None);
        assert_eq!(sum([Some(3), None, Some(4)].into_iter()), Some(7));
        assert_eq!(sum([Some(u64::MAX), Some(4)].into_iter()), Some(u64::MAX));
    }
}
