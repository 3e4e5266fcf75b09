//! The network that a task gets: its own when it asks for one, or when it holds bandwidth and the
//! agent's operator gave tasks a subnet; else the host's.

use crate::policy::{NetworkPolicy, Policy};
use crate::supervisor::task::{Network, PortMap};
use proto::{CheckKind, Checks, ContainerInfo, ContainerNetwork, PortMapping, TaskInfo};

/// Ports that may lead to one task.
const MOST: usize = 256;

/// The network that this task gets; none is the host's.
///
/// # Errors
/// Why it cannot be had, as a clause.
pub(super) fn of(
    task: &TaskInfo,
    asked: Option<&ContainerInfo>,
    checks: Option<&Checks>,
    policy: &Policy,
) -> Result<Option<Box<Network>>, String> {
    // The engine has networks of its own.
    if asked.is_some_and(|asked| asked.docker.is_some()) {
        return Ok(None);
    }
    let wanted = asked.and_then(|asked| asked.network.as_deref());
    // Thousandths of a Mbps.
    let rate = task.resources.scalar("network");
    let policy = match (&policy.network, wanted) {
        (Some(policy), _) if wanted.is_some() || rate > 0 => policy,
        (None, Some(_)) => {
            return Err("tasks have no network of their own on this agent \
                        (container.network_infos; --network)"
                .to_owned());
        }
        _ => return Ok(None),
    };
    if let Some(other) = wanted.filter(|wanted| *wanted.name != *policy.name) {
        return Err(format!(
            "there is no network {:?} on this agent, which has {:?} (container.network_infos.name)",
            other.name, policy.name
        ));
    }
    can_be_looked_at(checks)?;
    let NetworkPolicy { subnet, prefix, masquerade, link_local, .. } = *policy;
    let bits_a_second = (rate > 0).then(|| rate.saturating_mul(1000));
    let ports = ports(task, wanted)?;
    Ok(Some(Box::new(Network { subnet, prefix, bits_a_second, ports, masquerade, link_local })))
}

/// Who asks for a network says which ports lead there; who only holds bandwidth finds all of its
/// ports as it would in the host's network.
fn ports(task: &TaskInfo, wanted: Option<&ContainerNetwork>) -> Result<Vec<PortMap>, String> {
    let own = task.resources.ranges("ports");
    let too_many = || format!("a task with a network of its own has at most {MOST} ports");
    let Some(wanted) = wanted else {
        if own.count() > MOST as u64 {
            return Err(too_many());
        }
        let ports = own.pairs().iter().flat_map(|(first, last)| *first..=*last);
        let ports = ports.filter_map(|port| u16::try_from(port).ok());
        let both = |port| [false, true].map(|udp| PortMap { host: port, inside: port, udp });
        return Ok(ports.flat_map(both).collect());
    };
    if wanted.port_mappings.len() > MOST {
        return Err(too_many());
    }
    let is_own = |port: u16| {
        own.pairs().iter().any(|(first, last)| (*first..=*last).contains(&u64::from(port)))
    };
    let map = |mapping: &PortMapping| {
        let PortMapping { host_port, container_port, udp } = *mapping;
        let map = PortMap { host: host_port, inside: container_port, udp };
        is_own(host_port).then_some(map).ok_or_else(|| {
            format!(
                "port {host_port} is not among the task's resources \
                 (container.network_infos.port_mappings.host_port)"
            )
        })
    };
    wanted.port_mappings.iter().map(map).collect()
}

/// There is no IPv6 in such a network.
fn can_be_looked_at(checks: Option<&Checks>) -> Result<(), String> {
    let health = checks.and_then(|checks| checks.health.as_ref()).map(|health| &health.check.kind);
    let check = checks.and_then(|checks| checks.check.as_ref()).map(|check| &check.kind);
    let of_ipv6 = |kind: &CheckKind| {
        matches!(kind, CheckKind::Tcp { ipv6: true, .. } | CheckKind::Http { ipv6: true, .. })
    };
    match health.into_iter().chain(check).any(of_ipv6) {
        true => Err("a task with a network of its own has no IPv6 address to be checked at".into()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::tests::launch;
    use proto::{CommandInfo, Flavor, Piece, Ranges, ResourceName, Value};

    fn task(rate: u64, ports: &[(u64, u64)]) -> TaskInfo {
        let mut task = TaskInfo::clone(&launch(CommandInfo::default()).task);
        let mut add = |name, value| {
            let (name, flavor) = (ResourceName::new(name), Flavor::default());
            task.resources.add_piece(Piece { name, flavor, value });
        };
        if rate > 0 {
            add("network", Value::Scalar(rate));
        }
        if !ports.is_empty() {
            add("ports", Value::Ranges(Ranges::new(ports.iter().copied())));
        }
        task
    }

    fn policy() -> Policy {
        let name = NetworkPolicy::NAME.to_owned();
        let network = NetworkPolicy {
            name,
            subnet: [10, 9, 0, 0].into(),
            prefix: 16,
            masquerade: false,
            link_local: false,
        };
        Policy { network: Some(network), ..Policy::default() }
    }

    fn asking(name: &str, mappings: &[(u16, u16)]) -> ContainerInfo {
        let map = |(host_port, container_port): &(u16, u16)| PortMapping {
            host_port: *host_port,
            container_port: *container_port,
            udp: false,
        };
        let port_mappings = mappings.iter().map(map).collect();
        let network = ContainerNetwork { name: name.into(), port_mappings };
        ContainerInfo { network: Some(Box::new(network)), ..ContainerInfo::default() }
    }

    #[test]
    fn who_asks_for_nothing_is_in_the_hosts_network() {
        assert_eq!(of(&task(0, &[(1, 2)]), None, None, &policy()), Ok(None));
        // Bandwidth is counted, and held where the operator gave a subnet.
        assert_eq!(of(&task(5_000, &[]), None, None, &Policy::default()), Ok(None));
        let found = of(&task(5_500, &[(31_000, 31_000)]), None, None, &policy()).unwrap().unwrap();
        assert_eq!((found.bits_a_second, found.masquerade), (Some(5_500_000), false));
        let map = |udp| PortMap { host: 31_000, inside: 31_000, udp };
        assert_eq!(found.ports, [map(false), map(true)]);
    }

    #[test]
    fn a_network_is_asked_for_by_name_with_ports_of_its_task() {
        let asked = asking("tepui", &[(31_000, 80)]);
        let task = task(0, &[(31_000, 31_001)]);
        let found = of(&task, Some(&asked), None, &policy()).unwrap().unwrap();
        assert_eq!(found.bits_a_second, None);
        assert_eq!(found.ports, [PortMap { host: 31_000, inside: 80, udp: false }]);
        let refused = |asked: &ContainerInfo, policy: &Policy| {
            of(&task, Some(asked), None, policy).unwrap_err()
        };
        assert!(refused(&asked, &Policy::default()).contains("--network"));
        assert!(refused(&asking("other", &[]), &policy()).contains("no network \"other\""));
        let strange = refused(&asking("tepui", &[(31_002, 80)]), &policy());
        assert!(strange.contains("port 31002 is not among"), "{strange}");
    }

    #[test]
    fn what_could_never_be_checked_or_mapped_is_refused() {
        let kind = CheckKind::Tcp { port: 1, ipv6: true };
        let none = std::time::Duration::ZERO;
        let check = proto::Check { kind, delay: none, interval: none, timeout: none };
        let checks = Checks { health: None, check: Some(check) };
        let refused = of(&task(1, &[]), None, Some(&checks), &policy()).unwrap_err();
        assert!(refused.contains("IPv6"), "{refused}");
        for ranges in [&[(1, 60_000)][..], &[(0, u64::MAX)], &[(0, 1), (3, u64::MAX)]] {
            let refused = of(&task(1, ranges), None, None, &policy()).unwrap_err();
            assert!(refused.contains("at most 256"), "{refused}");
        }
    }
}
