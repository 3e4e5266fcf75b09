//! Calls and responses of an agent's operator API.

use super::operator::task_view;
use super::task::{command, executor};
use super::{
    agent_info, container_id, data, executor_id, framework_id, framework_info, interval, maybe,
    nanos, text, time,
};
use crate::CommandInfo;
use crate::agent_api::{
    AgentView, AttachInput, Call, ContainerPath, ContainerUsage, ContainerView, Drain, Executors,
    FileInfo, Frameworks, ProcessIo, Response, StandardStream, State, Tasks, WindowSize,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;

/// Calls of Mesos that are not built; a few of them.
const NOT_BUILT: [&str; 4] = ["UNKNOWN", "LAUNCH_CONTAINER", "PRUNE_IMAGES", "GET_OPERATIONS"];

fn path() -> impl Strategy<Value = ContainerPath> {
    (maybe(container_id()), container_id()).prop_map(|(parent, id)| ContainerPath { parent, id })
}

fn size() -> impl Strategy<Value = WindowSize> {
    (any::<u16>(), any::<u16>()).prop_map(|(rows, columns)| WindowSize { rows, columns })
}

/// What goes into a container or comes out of it.
pub fn process_io() -> impl Strategy<Value = ProcessIo> {
    let streams = vec![StandardStream::Stdin, StandardStream::Stdout, StandardStream::Stderr];
    prop_oneof![
        (prop::sample::select(streams), data())
            .prop_map(|(stream, data)| ProcessIo::Data(stream, data.to_vec().into())),
        size().prop_map(ProcessIo::Resized),
        maybe(nanos()).prop_map(|interval| ProcessIo::Heartbeat { interval }),
    ]
}

/// New limits of a task.
fn limits() -> impl Strategy<Value = Call> {
    let limit = (text(), maybe(0..1_000_000_000_000u64));
    (path(), prop::collection::btree_map(limit.0, limit.1, 0..3))
        .prop_map(|(container, limits)| Call::UpdateContainerLimits { container, limits })
}

/// Calls of sessions.
fn session() -> impl Strategy<Value = Call> {
    // Limits of a process are no part of a command on the wire.
    let command =
        command().prop_map(|command| Box::new(CommandInfo { rlimits: Vec::new(), ..command }));
    prop_oneof![
        (path(), command, maybe(maybe(size()))).prop_map(|(container, command, terminal)| {
            Call::LaunchNestedContainerSession { container, command, terminal }
        }),
        path().prop_map(|path| Call::AttachContainerInput(AttachInput::Container(path))),
        process_io().prop_map(|io| Call::AttachContainerInput(AttachInput::Io(io))),
        path().prop_map(|container| Call::AttachContainerOutput { container }),
        (path(), any::<bool>())
            .prop_map(|(container, nested)| Call::WaitContainer { container, nested }),
        (path(), maybe(any::<i32>()), any::<bool>()).prop_map(|(container, signal, nested)| {
            Call::KillContainer { container, signal, nested }
        }),
    ]
}

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
        limits(),
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
        session(),
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
    (path(), whose, maybe(usage())).prop_map(|(path, whose, usage)| ContainerView {
        container_id: path.id,
        parent: path.parent,
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
        (any::<bool>(), maybe(any::<i32>()))
            .prop_map(|(nested, exit_status)| Response::Waited { nested, exit_status }),
        Just(Response::Ok),
    ]
}
