//! Tasks, their bodies and their statuses.

use super::check::{check_status, checks};
use super::framework::labels;
use super::{
    agent_id, container_id, data, executor_id, framework_id, maybe, nanos, resources, role,
    task_id, text, time, uuid,
};
use crate::{
    CommandInfo, ContainerInfo, ContainerNetwork, ContainerVolume, DockerInfo, DockerNetwork,
    ExecutorInfo, Exit, FetchUri, LimitHit, PortMapping, Reason, Secret, Source, TaskBody,
    TaskInfo, TaskOutcome, TaskPayload, TaskShown, TaskState, TaskStatus, TaskUsage, VolumeSource,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use std::sync::Arc;

/// Any body.
pub fn task_body() -> impl Strategy<Value = TaskBody> {
    let ports = vec(("[a-z]{1,8}".prop_map(Arc::<str>::from), any::<u16>()), 0..3);
    (maybe(command()), labels(), maybe(data()), maybe(container()), checks(), ports).prop_map(
        |(command, labels, data, container, checks, named_ports)| TaskBody {
            command,
            labels,
            data,
            container,
            checks,
            named_ports,
        },
    )
}

fn container() -> impl Strategy<Value = ContainerInfo> {
    let source = prop_oneof![
        text().prop_map(VolumeSource::HostPath),
        text().prop_map(VolumeSource::SandboxPath),
        maybe(any::<u64>()).prop_map(VolumeSource::Tmpfs),
    ];
    let volume = (text(), any::<bool>(), source).prop_map(|(container_path, read_only, source)| {
        ContainerVolume { container_path, read_only, source }
    });
    let capabilities = prop::collection::btree_set(0u8..41, 0..4);
    (
        maybe(text()),
        vec(volume, 0..3),
        maybe(text()),
        capabilities,
        maybe(0..4096u64),
        any::<bool>(),
        maybe(docker()),
        maybe(network()),
    )
        .prop_map(
            |(image, volumes, hostname, capabilities, shm, read_only_root, docker, network)| {
                ContainerInfo {
                    image: image.filter(|_| docker.is_none()),
                    volumes,
                    hostname,
                    capabilities: capabilities.into_iter().collect(),
                    shm_bytes: shm.map(|megabytes| megabytes << 20),
                    read_only_root,
                    network: network.filter(|_| docker.is_none()).map(Box::new),
                    docker: docker.map(Box::new),
                }
            },
        )
        .prop_filter("what asks for nothing is no container", |c| *c != ContainerInfo::default())
}

fn mapping() -> impl Strategy<Value = PortMapping> {
    (1..=u16::MAX, 1..=u16::MAX, any::<bool>())
        .prop_map(|(host_port, container_port, udp)| PortMapping { host_port, container_port, udp })
}

fn network() -> impl Strategy<Value = ContainerNetwork> {
    let name = "[a-z]{1,8}".prop_map(Arc::<str>::from);
    (name, vec(mapping(), 0..3))
        .prop_map(|(name, port_mappings)| ContainerNetwork { name, port_mappings })
}

fn docker() -> impl Strategy<Value = DockerInfo> {
    let name = "[a-z]{1,8}".prop_map(Arc::<str>::from);
    let network = prop_oneof![
        Just(DockerNetwork::Host),
        Just(DockerNetwork::Bridge),
        Just(DockerNetwork::None),
        name.clone().prop_map(DockerNetwork::User),
    ];
    (name, network, vec(mapping(), 0..3), any::<bool>(), vec((text(), text()), 0..3), any::<bool>())
        .prop_map(|(image, network, port_mappings, privileged, parameters, force_pull)| {
            DockerInfo { image, network, port_mappings, privileged, parameters, force_pull }
        })
}

pub(super) fn command() -> impl Strategy<Value = CommandInfo> {
    let uri = (text(), any::<[bool; 3]>(), maybe(text())).prop_map(
        |(value, [executable, extract, cache], output_file)| FetchUri {
            value,
            executable,
            extract,
            cache,
            output_file,
        },
    );
    let name = prop::sample::select(vec!["RLMT_NOFILE", "RLMT_AS", "RLMT_STACK"]);
    let rlimit = (name.prop_map(Arc::from), maybe(any::<u64>()), maybe(any::<u64>()));
    (
        any::<bool>(),
        maybe(text()),
        vec(text(), 0..3),
        vec((text(), text()), 0..3),
        vec((text(), text().prop_map(Secret::new)), 0..2),
        maybe(text()),
        vec(uri, 0..2),
        vec(rlimit, 0..3),
    )
        .prop_map(|(shell, value, arguments, variables, secrets, user, uris, rlimits)| {
            CommandInfo {
                shell,
                value,
                arguments,
                environment: variables,
                secrets,
                user,
                uris,
                rlimits,
            }
        })
}

pub(super) fn executor() -> impl Strategy<Value = ExecutorInfo> {
    // data: "\x01", name: "x", type: CUSTOM
    const REST: &[u8] = &[0x22, 1, 1, 0x4a, 1, b'x', 0x78, 2];
    let payload = prop::sample::select(vec![&[][..], REST]).prop_map(Arc::from);
    (executor_id(), maybe(framework_id()), resources(), payload).prop_map(
        |(executor_id, framework_id, resources, payload)| ExecutorInfo {
            executor_id,
            framework_id,
            resources,
            payload,
        },
    )
}

/// Any task.
pub fn task_info() -> impl Strategy<Value = TaskInfo> {
    let limit = maybe(0..1_000_000_000_u64);
    let limits = btree_map(text(), limit, 0..3);
    let who = (text(), task_id(), agent_id());
    let what = (resources(), maybe(role()), maybe(executor()), limits);
    let when = (maybe(nanos()), maybe(nanos()));
    (who, what, when, task_body()).prop_map(|(who, what, when, body)| {
        let (resources, role, executor, limits) = what;
        let has_resources = !resources.is_empty()
            || executor.as_ref().is_some_and(|executor| !executor.resources.is_empty());
        TaskInfo {
            name: who.0,
            task_id: who.1,
            agent_id: who.2,
            // Resources say it; without any there is nobody to say it.
            allocation_role: role.filter(|_| has_resources),
            resources,
            limits,
            executor,
            kill_grace: when.0,
            max_completion_time: when.1,
            payload: TaskPayload::new(&body),
        }
    })
}

/// What is shown of a task.
pub(super) fn task_shown() -> impl Strategy<Value = Option<TaskShown>> {
    // discovery: { visibility: CLUSTER, name: "n" }; container: { type: MESOS }
    const REST: &[u8] = &[0x5a, 5, 8, 1, 0x12, 1, b'n', 0x4a, 2, 8, 2];
    let rest = prop::sample::select(vec![&[][..], REST]);
    (labels(), rest).prop_map(|(labels, rest)| {
        let mut payload = TaskPayload::new(&TaskBody { labels, ..TaskBody::default() });
        payload.bytes = [&payload.bytes, rest].concat().into();
        payload.shown()
    })
}

fn outcome() -> impl Strategy<Value = TaskOutcome> {
    let exit = prop_oneof![any::<i32>().prop_map(Exit::Code), any::<i32>().prop_map(Exit::Signal),];
    let limit = (text(), any::<u64>(), any::<u64>())
        .prop_map(|(resource, usage, limit)| LimitHit { resource, usage, limit });
    let usage = (nanos(), any::<u64>(), nanos()).prop_map(|(cpu_time, max_memory, wall_time)| {
        TaskUsage { cpu_time, max_memory, wall_time }
    });
    (maybe(exit), maybe(limit), maybe(usage)).prop_map(|(exit, limit, usage)| TaskOutcome {
        exit,
        limit,
        usage,
    })
}

/// Any state.
pub fn task_state() -> impl Strategy<Value = TaskState> {
    prop::sample::select(TaskState::ALL.to_vec())
}

/// Any status.
pub fn task_status() -> impl Strategy<Value = TaskStatus> {
    let source = prop::sample::select(vec![Source::Master, Source::Agent, Source::Executor]);
    let reason = prop::sample::select(Reason::ALL.to_vec());
    let what = (task_id(), task_state(), source, maybe(reason), maybe(text()));
    let whose = (maybe(agent_id()), maybe(executor_id()), maybe(container_id()), maybe(uuid()));
    let when = (time(), maybe(time()));
    let seen = (maybe(any::<bool>()), maybe(check_status()));
    let address = maybe(any::<[u8; 4]>().prop_map(Into::into));
    let rest = (seen, maybe(outcome()), maybe(data()), address);
    (what, whose, when, rest).prop_map(|(what, whose, when, rest)| TaskStatus {
        task_id: what.0,
        state: what.1,
        source: what.2,
        reason: what.3,
        message: what.4,
        agent_id: whose.0,
        executor_id: whose.1,
        container_id: whose.2,
        uuid: whose.3,
        timestamp: when.0,
        unreachable_time: when.1,
        healthy: rest.0.0,
        check_status: rest.0.1,
        outcome: rest.1,
        data: rest.2,
        address: rest.3,
    })
}
