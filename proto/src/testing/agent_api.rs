//! Calls and responses of an agent's operator API.

use super::operator::task_view;
use super::task::executor;
use super::{
    agent_info, container_id, data, executor_id, framework_id, framework_info, interval, maybe,
    nanos, text, time,
};
use crate::agent_api::{
    AgentView, Call, ContainerUsage, ContainerView, Drain, Executors, FileInfo, Frameworks,
    Response, State, Tasks,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;

/// Calls of Mesos that are not built; a few of them.
const NOT_BUILT: [&str; 4] = ["UNKNOWN", "LAUNCH_CONTAINER", "PRUNE_IMAGES", "GET_OPERATIONS"];

/// Any call.
pub fn agent_api_call() -> impl Strategy<Value = Call> {
    let names = NOT_BUILT.map(Arc::from).to_vec();
    let simple = vec![
        Call::GetHealth,
        Call::GetFlags,
        Call::GetVersion,
        Call::GetLoggingLevel,
        Call::GetState,
        Call::GetFrameworks,
        Call::GetExecutors,
        Call::GetTasks,
        Call::GetAgent,
    ];
    prop_oneof![
        prop::sample::select(simple),
        maybe(nanos()).prop_map(|timeout| Call::GetMetrics { timeout }),
        (any::<u32>(), nanos())
            .prop_map(|(level, duration)| Call::SetLoggingLevel { level, duration }),
        text().prop_map(|path| Call::ListFiles { path }),
        (text(), any::<u64>(), maybe(any::<u64>()))
            .prop_map(|(path, offset, length)| Call::ReadFile { path, offset, length }),
        any::<[bool; 2]>().prop_map(|[show_nested, show_standalone]| Call::GetContainers {
            show_nested,
            show_standalone
        }),
        prop::sample::select(names).prop_map(Call::NotBuilt),
    ]
}

pub(super) fn file() -> impl Strategy<Value = FileInfo> {
    let numbers = (maybe(any::<i32>()), maybe(any::<u64>()), maybe(time()), maybe(any::<u32>()));
    (text(), numbers, maybe(text()), maybe(text())).prop_map(
        |(path, (nlink, size, mtime, mode), uid, gid)| FileInfo {
            path,
            nlink,
            size,
            mtime,
            mode,
            uid,
            gid,
        },
    )
}

fn usage() -> impl Strategy<Value = ContainerUsage> {
    let cpu = (maybe(interval()), maybe(interval()), maybe(0..1_000_000_000_u64));
    let memory = [(); 3].map(|()| proptest::option::of(any::<u64>()));
    let counts = [(); 2].map(|()| proptest::option::of(any::<u32>()));
    (time(), cpu, memory, counts).prop_map(|(timestamp, cpu, memory, counts)| ContainerUsage {
        timestamp,
        cpu_user: cpu.0,
        cpu_system: cpu.1,
        cpus_limit_milli: cpu.2,
        memory_rss: memory[0],
        memory_total: memory[1],
        memory_limit: memory[2],
        processes: counts[0],
        threads: counts[1],
    })
}

fn container() -> impl Strategy<Value = ContainerView> {
    let whose = (maybe(framework_id()), maybe(executor_id()), maybe(text()));
    (container_id(), whose, maybe(usage())).prop_map(|(container_id, whose, usage)| ContainerView {
        container_id,
        framework_id: whose.0,
        executor_id: whose.1,
        executor_name: whose.2,
        usage,
    })
}

fn frameworks() -> impl Strategy<Value = Frameworks> {
    let infos = || vec(framework_info(), 0..2);
    (infos(), infos()).prop_map(|(current, completed)| Frameworks { current, completed })
}

fn executors() -> impl Strategy<Value = Executors> {
    let infos = || vec(executor(), 0..2);
    (infos(), infos()).prop_map(|(current, completed)| Executors { current, completed })
}

fn tasks() -> impl Strategy<Value = Tasks> {
    let views = || vec(task_view(), 0..2);
    (views(), views(), views(), views(), views()).prop_map(
        |(pending, queued, launched, terminated, completed)| Tasks {
            pending,
            queued,
            launched,
            terminated,
            completed,
        },
    )
}

fn agent() -> impl Strategy<Value = AgentView> {
    let drain = (maybe(nanos()), any::<bool>())
        .prop_map(|(max_grace, mark_gone)| Drain { max_grace, mark_gone });
    (agent_info(), maybe(drain), maybe(time())).prop_map(|(info, drain, drain_started)| AgentView {
        info,
        drain,
        drain_started,
    })
}

/// Any response.
pub fn agent_api_response() -> impl Strategy<Value = Response> {
    let number = prop_oneof![
        4 => any::<f64>().prop_filter("NaN is no value", |value| !value.is_nan()),
        1 => Just(f64::INFINITY),
    ];
    let state = (tasks(), executors(), frameworks()).prop_map(|(tasks, executors, frameworks)| {
        Response::State(Box::new(State { tasks, executors, frameworks }))
    });
    prop_oneof![
        any::<bool>().prop_map(Response::Health),
        vec((text(), maybe(text())), 0..3).prop_map(Response::Flags),
        (text(), text()).prop_map(|(mesos, tepui)| Response::Version { mesos, tepui }),
        vec((text(), maybe(number)), 0..3).prop_map(Response::Metrics),
        any::<u32>().prop_map(Response::LoggingLevel),
        vec(file(), 0..3).prop_map(Response::Files),
        (any::<u64>(), data()).prop_map(|(size, data)| Response::FileData { size, data }),
        state,
        vec(container(), 0..3).prop_map(Response::Containers),
        frameworks().prop_map(Response::Frameworks),
        executors().prop_map(Response::Executors),
        tasks().prop_map(Response::Tasks),
        agent().prop_map(|agent| Response::Agent(Box::new(agent))),
        Just(Response::Ok),
    ]
}
