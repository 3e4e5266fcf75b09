//! Calls and responses of the operator API.

use super::scheduler::{demand, master_info};
use super::task::task_state;
use super::{
    agent_id, agent_info, framework_id, framework_info, maybe, offer, resources, role, task_id,
    task_status, text, time,
};
use crate::operator::{
    AgentStanding, AgentView, Call, FrameworkView, Response, RoleView, State, TaskView, TasksView,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;

/// Calls of Mesos that are not built; a few of them.
const NOT_BUILT: [&str; 4] = ["UNKNOWN", "GET_FLAGS", "UPDATE_QUOTA", "DRAIN_AGENT"];

/// Any call.
pub fn operator_call() -> impl Strategy<Value = Call> {
    let names = NOT_BUILT.map(Arc::from).to_vec();
    let simple = vec![
        Call::GetHealth,
        Call::GetVersion,
        Call::GetMaster,
        Call::GetState,
        Call::GetAgents,
        Call::GetFrameworks,
        Call::GetTasks,
        Call::GetRoles,
    ];
    prop_oneof![
        prop::sample::select(simple),
        framework_id().prop_map(Call::Teardown),
        framework_id().prop_map(Call::Explain),
        prop::sample::select(names).prop_map(Call::NotBuilt),
    ]
}

fn agent_view() -> impl Strategy<Value = AgentView> {
    let standing = prop::sample::select(vec![
        AgentStanding::Active,
        AgentStanding::Suspect,
        AgentStanding::Disconnected,
        AgentStanding::Recovered,
        AgentStanding::Unreachable,
    ]);
    (agent_info(), standing, text(), time(), maybe(time()), resources(), resources()).prop_map(
        |(info, standing, version, registered, reregistered, allocated, offered)| AgentView {
            info,
            standing,
            version,
            registered,
            reregistered,
            allocated,
            offered,
        },
    )
}

fn framework_view() -> impl Strategy<Value = FrameworkView> {
    let when = (time(), maybe(time()), maybe(time()));
    let lists = (vec(role(), 0..2), vec(offer(), 0..2), vec(demand(), 0..2));
    (framework_info(), any::<[bool; 3]>(), when, lists, resources(), resources()).prop_map(
        |(info, [active, connected, recovered], when, lists, allocated, offered)| FrameworkView {
            info,
            active,
            connected,
            recovered,
            registered: when.0,
            reregistered: when.1,
            unregistered: when.2,
            suppressed_roles: lists.0,
            offers: lists.1,
            demands: lists.2,
            allocated,
            offered,
        },
    )
}

pub(super) fn task_view() -> impl Strategy<Value = TaskView> {
    let ids = (task_id(), framework_id(), agent_id());
    let statuses = vec(task_status(), 0..2);
    (text(), ids, task_state(), resources(), role(), statuses).prop_map(
        |(name, (task_id, framework_id, agent_id), state, resources, role, statuses)| TaskView {
            name,
            task_id,
            framework_id,
            agent_id,
            state,
            resources,
            role,
            statuses,
        },
    )
}

fn tasks_view() -> impl Strategy<Value = TasksView> {
    let tasks = || vec(task_view(), 0..2);
    (tasks(), tasks(), tasks()).prop_map(|(tasks, unreachable, completed)| TasksView {
        tasks,
        unreachable,
        completed,
    })
}

fn role_view() -> impl Strategy<Value = RoleView> {
    let weight = 0..1_000_000_000_u64;
    (role(), weight, vec(framework_id(), 0..2), resources(), any::<u64>()).prop_map(
        |(role, weight_milli, frameworks, allocated, dominant_share_ppm)| RoleView {
            role,
            weight_milli,
            frameworks,
            allocated,
            dominant_share_ppm,
        },
    )
}

fn state() -> impl Strategy<Value = State> {
    let frameworks = || vec(framework_view(), 0..2);
    (vec(agent_view(), 0..2), frameworks(), frameworks(), tasks_view()).prop_map(
        |(agents, frameworks, completed_frameworks, tasks)| State {
            agents,
            frameworks,
            completed_frameworks,
            tasks,
        },
    )
}

/// Any response.
pub fn operator_response() -> impl Strategy<Value = Response> {
    let frameworks = || vec(framework_view(), 0..2);
    prop_oneof![
        any::<bool>().prop_map(Response::Health),
        (text(), text()).prop_map(|(mesos, tepui)| Response::Version { mesos, tepui }),
        (master_info(), time()).prop_map(|(info, started)| Response::Master { info, started }),
        state().prop_map(|state| Response::State(Box::new(state))),
        vec(agent_view(), 0..2).prop_map(Response::Agents),
        (frameworks(), frameworks())
            .prop_map(|(current, completed)| Response::Frameworks(current, completed)),
        tasks_view().prop_map(Response::Tasks),
        vec(role_view(), 0..2).prop_map(Response::Roles),
        vec(text(), 0..3).prop_map(Response::Explanation),
        Just(Response::Ok),
    ]
}
