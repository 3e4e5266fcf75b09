//! The network that a task gets: its own when it asks for one, or when it holds bandwidth and the
//! agent's operator gave tasks a subnet; else the host's. Tasks of a group have one together when
//! their executor asks for it.

use crate::policy::{NetworkPolicy, Policy};
use crate::supervisor::task::{Network, NetworkPod, PortMap};
use crate::volumes::groups;
use agent_core::Launch;
use proto::{
    CheckKind, Checks, ContainerInfo, ContainerNetwork, ExecutorInfo, PortMapping, Resources,
    TaskInfo,
};

/// Ports that may lead to one task, or to one group.
const MOST: usize = 256;

/// The network that a task of this launch gets; none is the host's.
///
/// # Errors
/// Why it cannot be had, as a clause.
pub(super) fn of(
    launch: &Launch,
    asked: Option<&ContainerInfo>,
    checks: Option<&Checks>,
    policy: &Policy,
) -> Result<Option<Box<Network>>, String> {
    // The engine has networks of its own.
    if asked.is_some_and(|asked| asked.docker.is_some()) {
        return Ok(None);
    }
    let wanted = asked.and_then(|asked| asked.network.as_deref());
    let network = match agent_core::group_executor(&launch.task) {
        None => own(&launch.task, wanted, policy)?,
        Some(_) if wanted.is_some() => {
            return Err("network_infos of a task in a group must be set on the executor \
                        (container.network_infos)"
                .to_owned());
        }
        Some(executor) => shared(launch, executor, policy)?,
    };
    if network.is_some() {
        can_be_looked_at(checks)?;
    }
    Ok(network.map(Box::new))
}

/// Of a task that is in no group.
fn own(
    task: &TaskInfo,
    wanted: Option<&ContainerNetwork>,
    policy: &Policy,
) -> Result<Option<Network>, String> {
    let bits_a_second = bandwidth(&task.resources);
    let policy = match (&policy.network, wanted) {
        (policy, Some(wanted)) => had(policy.as_ref(), wanted)?,
        (Some(policy), None) if bits_a_second.is_some() => policy,
        _ => return Ok(None),
    };
    let ports = ports(task, wanted)?;
    Ok(Some(Network { bits_a_second, ports, ..network(policy) }))
}

/// Of a task of a group: what the task has of bandwidth and ports is its part of the group's.
fn shared(
    launch: &Launch,
    executor: &ExecutorInfo,
    policy: &Policy,
) -> Result<Option<Network>, String> {
    let task = &launch.task;
    let asked = executor.container().map_err(|error| format!("its executor's {error}"))?;
    let Some(wanted) = asked.and_then(|asked| asked.network) else {
        if policy.network.is_some() && bandwidth(&task.resources).is_some() {
            return Err("bandwidth of a task in a group (network) needs a network of the \
                        executor's (container.network_infos)"
                .to_owned());
        }
        return Ok(None);
    };
    let policy = had(policy.network.as_ref(), &wanted)?;
    few_enough(&wanted)?;
    let of = |own: &Resources| -> Vec<PortMap> {
        let mappings = wanted.port_mappings.iter();
        mappings.filter(|mapping| holds(own, mapping.host_port)).map(port_map).collect()
    };
    let pod = NetworkPod {
        name: groups::name(&launch.framework_id, &executor.executor_id),
        bits_a_second: bandwidth(&executor.resources),
        ports: of(&executor.resources),
    };
    Ok(Some(Network {
        bits_a_second: bandwidth(&task.resources),
        ports: of(&task.resources),
        pod: Some(pod),
        ..network(policy)
    }))
}

/// What the operator has of networks, if it is what is asked for.
fn had<'a>(
    policy: Option<&'a NetworkPolicy>,
    wanted: &ContainerNetwork,
) -> Result<&'a NetworkPolicy, String> {
    match policy {
        None => Err("tasks have no network of their own on this agent \
                     (container.network_infos; --network)"
            .to_owned()),
        Some(policy) if *wanted.name != *policy.name => Err(format!(
            "there is no network {:?} on this agent, which has {:?} (container.network_infos.name)",
            wanted.name, policy.name
        )),
        Some(policy) => Ok(policy),
    }
}

fn network(policy: &NetworkPolicy) -> Network {
    let NetworkPolicy { subnet, prefix, masquerade, link_local, cluster, .. } = *policy;
    let (bits_a_second, ports) = (None, Vec::new());
    Network { subnet, prefix, bits_a_second, ports, masquerade, link_local, cluster, pod: None }
}

fn bandwidth(resources: &Resources) -> Option<u64> {
    // Thousandths of a Mbps.
    let rate = resources.scalar("network");
    (rate > 0).then(|| rate.saturating_mul(1000))
}

fn too_many() -> String {
    format!("a task with a network of its own has at most {MOST} ports")
}

fn few_enough(wanted: &ContainerNetwork) -> Result<(), String> {
    if wanted.port_mappings.len() > MOST { Err(too_many()) } else { Ok(()) }
}

fn holds(resources: &Resources, port: u16) -> bool {
    let own = resources.ranges("ports");
    own.pairs().iter().any(|(first, last)| (*first..=*last).contains(&u64::from(port)))
}

fn port_map(mapping: &PortMapping) -> PortMap {
    let PortMapping { host_port, container_port, udp } = *mapping;
    PortMap { host: host_port, inside: container_port, udp }
}

/// Who asks for a network says which ports lead there; who only holds bandwidth finds all of its
/// ports as it would in the host's network.
fn ports(task: &TaskInfo, wanted: Option<&ContainerNetwork>) -> Result<Vec<PortMap>, String> {
    let own = task.resources.ranges("ports");
    let Some(wanted) = wanted else {
        if own.count() > MOST as u64 {
            return Err(too_many());
        }
        let ports = own.pairs().iter().flat_map(|(first, last)| *first..=*last);
        let ports = ports.filter_map(|port| u16::try_from(port).ok());
        let both = |port| [false, true].map(|udp| PortMap { host: port, inside: port, udp });
        return Ok(ports.flat_map(both).collect());
    };
    few_enough(wanted)?;
    let map = |mapping: &PortMapping| {
        let host_port = mapping.host_port;
        holds(&task.resources, host_port).then(|| port_map(mapping)).ok_or_else(|| {
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
    use proto::{
        CommandInfo, ExecutorId, Flavor, Piece, Ranges, ResourceName, TaskBody, TaskPayload, Value,
    };
    use std::sync::Arc;

    fn hold(resources: &mut Resources, rate: u64, ports: &[(u64, u64)]) {
        let mut add = |name, value| {
            let (name, flavor) = (ResourceName::new(name), Flavor::default());
            resources.add_piece(Piece { name, flavor, value });
        };
        if rate > 0 {
            add("network", Value::Scalar(rate));
        }
        if !ports.is_empty() {
            add("ports", Value::Ranges(Ranges::new(ports.iter().copied())));
        }
    }

    fn task(rate: u64, ports: &[(u64, u64)]) -> Launch {
        let mut launch = launch(CommandInfo::default());
        hold(&mut Arc::make_mut(&mut launch.task).resources, rate, ports);
        launch
    }

    /// The same in a group whose executor asks for this.
    fn in_group(mut launch: Launch, container: Option<ContainerInfo>) -> Launch {
        let mut payload = vec![15 << 3, 1];
        if let Some(container) = container {
            let body = TaskBody { container: Some(container), ..TaskBody::default() };
            let mut bytes = TaskPayload::new(&body).bytes.to_vec();
            // Its only field is 9 in a task, and 11 in an executor.
            bytes[0] = 11 << 3 | 2;
            payload.append(&mut bytes);
        }
        let mut resources = Resources::new();
        hold(&mut resources, 1_000, &[(31_009, 31_009)]);
        let executor_id = ExecutorId::new("pod").unwrap();
        let executor =
            ExecutorInfo { executor_id, framework_id: None, resources, payload: payload.into() };
        Arc::make_mut(&mut launch.task).executor = Some(executor);
        launch
    }

    fn policy() -> Policy {
        let name = NetworkPolicy::NAME.to_owned();
        let network = NetworkPolicy {
            name,
            subnet: [10, 9, 0, 0].into(),
            prefix: 16,
            masquerade: false,
            link_local: false,
            cluster: false,
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
    fn tasks_of_a_group_have_the_network_that_its_executor_asks_for() {
        let asked = asking("tepui", &[(31_000, 80), (31_001, 81), (31_009, 89)]);
        let one = in_group(task(2_000, &[(31_000, 31_000)]), Some(asked.clone()));
        let found = of(&one, None, None, &policy()).unwrap().unwrap();
        let map = |host, inside| PortMap { host, inside, udp: false };
        // What it holds, as far as the executor leads it there.
        assert_eq!(found.bits_a_second, Some(2_000_000));
        assert_eq!(found.ports, [map(31_000, 80)]);
        let pod = found.pod.unwrap();
        assert_eq!((pod.bits_a_second, &pod.ports[..]), (Some(1_000_000), &[map(31_009, 89)][..]));
        let other = in_group(task(0, &[]), Some(asked.clone()));
        let found = of(&other, None, None, &policy()).unwrap().unwrap();
        assert_eq!((found.bits_a_second, &found.ports[..]), (None, &[][..]));
        assert_eq!(found.pod.unwrap().name, pod.name);
        let refused = of(&other, None, None, &Policy::default()).unwrap_err();
        assert!(refused.contains("--network"), "{refused}");
        let strange = in_group(task(0, &[]), Some(asking("other", &[])));
        let refused = of(&strange, None, None, &policy()).unwrap_err();
        assert!(refused.contains("no network \"other\""), "{refused}");
    }

    #[test]
    fn a_task_of_a_group_has_no_network_of_its_own() {
        let asked = asking("tepui", &[]);
        for executors in [None, Some(asked.clone())] {
            let one = in_group(task(0, &[]), executors);
            let refused = of(&one, Some(&asked), None, &policy()).unwrap_err();
            assert!(refused.contains("must be set on the executor"), "{refused}");
        }
        let plain = in_group(task(0, &[]), None);
        assert_eq!(of(&plain, None, None, &policy()), Ok(None));
        let held = in_group(task(1_000, &[]), None);
        let refused = of(&held, None, None, &policy()).unwrap_err();
        assert!(refused.contains("needs a network of the executor's"), "{refused}");
        assert_eq!(of(&held, None, None, &Policy::default()), Ok(None));
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
