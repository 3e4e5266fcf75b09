//! Calls and responses of the operator API.

use super::agent_api::file;
use super::maintenance::{inverse_offer, maintenance_status};
use super::scheduler::{demand, master_info};
use super::task::{executor, task_shown, task_state};
use super::{
    agent_id, agent_info, data, executor_id, framework_id, framework_info, interval, machine,
    maybe, nanos, offer, offer_constraints, operation_status, quantities, resource_change,
    resource_operation, resources, role, schedule, task_id, task_status, text, time, uuid,
};
use crate::operator::{
    AgentStanding, AgentView, Call, CutOff, DrainState, DrainView, Event, ExecutorView,
    FrameworkView, GoneAgent, MasterView, Masters, OperationView, Response, Resume, RoleView,
    Selection, State, StreamEvent, TaskView, TasksView,
};
use crate::{QuotaConfig, ResourceName, Weight};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Any call.
pub fn operator_call() -> impl Strategy<Value = Call> {
    let simple = vec![
        Call::GetHealth,
        Call::GetFlags,
        Call::GetVersion,
        Call::GetLoggingLevel,
        Call::GetMaster,
        Call::GetState,
        Call::GetAgents,
        Call::GetFrameworks,
        Call::GetExecutors,
        Call::GetOperations,
        Call::GetTasks,
        Call::GetRoles,
        Call::GetWeights,
        Call::GetMaintenanceStatus,
        Call::GetMaintenanceSchedule,
        Call::GetQuota,
        Call::GetGoneAgents,
        Call::GetMasters,
        Call::NotBuilt(Arc::from("UNKNOWN")),
    ];
    let resume = (maybe(text()), any::<u64>()).prop_map(|(stream, after)| Resume { stream, after });
    prop_oneof![
        2 => prop::sample::select(simple),
        1 => maybe(resume).prop_map(|resume| Call::Subscribe { resume }),
        1 => maybe(nanos()).prop_map(|timeout| Call::GetMetrics { timeout }),
        1 => (any::<u32>(), nanos())
            .prop_map(|(level, duration)| Call::SetLoggingLevel { level, duration }),
        1 => text().prop_map(|path| Call::ListFiles { path }),
        1 => (text(), any::<u64>(), maybe(any::<u64>()))
            .prop_map(|(path, offset, length)| Call::ReadFile { path, offset, length }),
        3 => (agent_id(), resource_change())
            .prop_map(|(agent_id, change)| Call::ChangeResources { agent_id, change }),
        1 => selection(),
        3 => call_about_roles(),
        3 => call_about_agents(),
    ]
}

fn selection() -> impl Strategy<Value = Call> {
    let read = prop::sample::select(vec![
        Call::GetState,
        Call::GetAgents,
        Call::GetFrameworks,
        Call::GetTasks,
        Call::GetRoles,
        Call::GetOperations,
    ]);
    let page = (any::<u64>(), maybe(any::<u64>()), vec(text(), 0..3));
    let ids = (maybe(framework_id()), maybe(agent_id()), maybe(task_id()), maybe(role()));
    (read, page, ids).prop_map(|(call, (offset, limit, fields), ids)| {
        let (framework_id, agent_id, task_id, role) = ids;
        let selection =
            Selection { call, offset, limit, fields, framework_id, agent_id, task_id, role };
        Call::Select(Box::new(selection))
    })
}

fn call_about_roles() -> impl Strategy<Value = Call> {
    prop_oneof![
        vec(weight(), 0..3).prop_map(Call::UpdateWeights),
        (any::<bool>(), quota()).prop_map(|(force, configs)| Call::UpdateQuota { force, configs }),
        (any::<bool>(), role(), quantities()).prop_map(|(force, role, guarantee)| Call::SetQuota {
            force,
            role,
            guarantee
        }),
        role().prop_map(Call::RemoveQuota),
        role().prop_map(Call::ExplainRole),
        framework_id().prop_map(Call::Explain),
        framework_id().prop_map(Call::Teardown),
    ]
}

fn call_about_agents() -> impl Strategy<Value = Call> {
    let machines = || vec(machine(), 0..3);
    prop_oneof![
        schedule().prop_map(Call::UpdateMaintenanceSchedule),
        machines().prop_map(Call::StartMaintenance),
        machines().prop_map(Call::StopMaintenance),
        agent_id().prop_map(Call::MarkAgentGone),
        agent_id().prop_map(Call::ForgetAgent),
        (1_u64.., text()).prop_map(|(id, address)| Call::AddMaster { id, address }),
        (1_u64..).prop_map(Call::RemoveMaster),
        maybe(1_u64..).prop_map(Call::TransferLead),
        agent_id().prop_map(Call::DeactivateAgent),
        agent_id().prop_map(Call::ReactivateAgent),
        (agent_id(), maybe(nanos()), any::<bool>()).prop_map(|(agent_id, max_grace, mark_gone)| {
            Call::DrainAgent { agent_id, max_grace, mark_gone }
        }),
    ]
}

fn weight() -> impl Strategy<Value = Weight> {
    (role(), 1..1_000_000_000_u64).prop_map(|(role, weight_milli)| Weight { role, weight_milli })
}

fn limits() -> impl Strategy<Value = BTreeMap<ResourceName, u64>> {
    let name = prop_oneof!["cpus", "mem", "disk"].prop_map(ResourceName::new);
    btree_map(name, 0..100_000_000_u64, 0..3)
}

/// Quota of up to two roles.
fn quota() -> impl Strategy<Value = Vec<QuotaConfig>> {
    btree_map(role(), (quantities(), limits()), 0..3).prop_map(|all| {
        let config = |(role, (guarantees, limits))| QuotaConfig { role, guarantees, limits };
        all.into_iter().map(config).collect()
    })
}

fn drain_view() -> impl Strategy<Value = DrainView> {
    let state = prop::sample::select(vec![DrainState::Draining, DrainState::Drained]);
    (state, maybe(nanos()), any::<bool>(), maybe(time())).prop_map(
        |(state, max_grace, mark_gone, started)| DrainView { state, max_grace, mark_gone, started },
    )
}

fn executor_view() -> impl Strategy<Value = ExecutorView> {
    (executor(), agent_id()).prop_map(|(info, agent_id)| ExecutorView { info, agent_id })
}

fn operation_view() -> impl Strategy<Value = OperationView> {
    let ids = (maybe(framework_id()), maybe(agent_id()), uuid());
    let statuses = vec(operation_status(), 0..2);
    (ids, resource_operation(), operation_status(), statuses).prop_map(
        |((framework_id, agent_id, uuid), operation, latest_status, statuses)| OperationView {
            framework_id,
            agent_id,
            operation,
            latest_status,
            statuses,
            uuid,
        },
    )
}

fn agent_view() -> impl Strategy<Value = AgentView> {
    let standing = prop::sample::select(vec![
        AgentStanding::Active,
        AgentStanding::Suspect,
        AgentStanding::Disconnected,
        AgentStanding::Recovered,
        AgentStanding::Unreachable,
    ]);
    let amounts = (resources(), resources());
    let drain = (any::<bool>(), maybe(drain_view()), maybe(time()), any::<bool>());
    (agent_info(), standing, text(), time(), maybe(time()), amounts, drain).prop_map(
        |(info, standing, version, registered, reregistered, amounts, drain)| AgentView {
            info,
            standing,
            version,
            registered,
            reregistered,
            allocated: amounts.0,
            offered: amounts.1,
            deactivated: drain.0,
            drain: drain.1,
            unreachable: drain.2,
            disk_pressed: drain.3,
        },
    )
}

/// Agents in the order of the wire: those that have not come back yet are last.
fn agent_views() -> impl Strategy<Value = Vec<AgentView>> {
    vec(agent_view(), 0..3).prop_map(|mut views| {
        views.sort_by_key(|view| view.standing == AgentStanding::Recovered);
        views
    })
}

fn gone_agent() -> impl Strategy<Value = GoneAgent> {
    (agent_id(), time()).prop_map(|(agent_id, since)| GoneAgent { agent_id, since })
}

fn framework_view() -> impl Strategy<Value = FrameworkView> {
    let when = (time(), maybe(time()), maybe(time()));
    let inverse = (vec(inverse_offer(), 0..2), maybe(offer_constraints()));
    let lists = (vec(role(), 0..2), vec(offer(), 0..2), vec(demand(), 0..2), inverse);
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
            inverse_offers: lists.3.0,
            offer_constraints: lists.3.1,
            allocated,
            offered,
        },
    )
}

pub(super) fn task_view() -> impl Strategy<Value = TaskView> {
    let ids = (task_id(), framework_id(), agent_id(), maybe(executor_id()));
    let rest = (vec(task_status(), 0..2), task_shown());
    (text(), ids, task_state(), resources(), role(), rest).prop_map(
        |(name, ids, state, resources, role, (statuses, shown))| TaskView {
            name,
            task_id: ids.0,
            framework_id: ids.1,
            agent_id: ids.2,
            executor_id: ids.3,
            state,
            resources,
            role,
            statuses,
            shown,
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
    let amounts = (resources(), any::<u64>(), quantities(), quantities());
    let quota = maybe((quantities(), limits()));
    (role(), weight, vec(framework_id(), 0..2), amounts, quota).prop_map(
        |(role, weight_milli, frameworks, amounts, quota)| RoleView {
            quota: quota
                .map(|(guarantees, limits)| QuotaConfig { role: role.clone(), guarantees, limits })
                .filter(|quota| !quota.is_none()),
            consumed: amounts.2,
            reserved: amounts.3,
            role,
            weight_milli,
            frameworks,
            allocated: amounts.0,
            dominant_share_ppm: amounts.1,
        },
    )
}

fn state() -> impl Strategy<Value = State> {
    let frameworks = || vec(framework_view(), 0..2);
    let executors = vec(executor_view(), 0..2);
    (agent_views(), frameworks(), frameworks(), tasks_view(), executors).prop_map(
        |(agents, frameworks, completed_frameworks, tasks, executors)| State {
            agents,
            frameworks,
            completed_frameworks,
            tasks,
            executors,
        },
    )
}

fn masters() -> impl Strategy<Value = Masters> {
    let flags = || (any::<bool>(), any::<bool>(), any::<bool>());
    let master = (1_u64.., text(), flags(), maybe(any::<u64>())).prop_map(
        |(id, address, (voting, leading, alive), matched)| MasterView {
            id,
            address,
            voting,
            leading,
            alive,
            matched,
        },
    );
    let all = (text(), any::<u64>(), any::<u64>(), vec(master, 0..3));
    all.prop_map(|(cluster, term, commit, masters)| Masters { cluster, term, commit, masters })
}

/// Any response.
pub fn operator_response() -> impl Strategy<Value = Response> {
    let frameworks = || vec(framework_view(), 0..2);
    prop_oneof![
        any::<bool>().prop_map(Response::Health),
        (text(), text()).prop_map(|(mesos, tepui)| Response::Version { mesos, tepui }),
        (master_info(), time()).prop_map(|(info, started)| Response::Master { info, started }),
        state().prop_map(|state| Response::State(Box::new(state))),
        agent_views().prop_map(Response::Agents),
        vec(gone_agent(), 0..2).prop_map(Response::GoneAgents),
        masters().prop_map(Response::Masters),
        (frameworks(), frameworks())
            .prop_map(|(current, completed)| Response::Frameworks(current, completed)),
        tasks_view().prop_map(Response::Tasks),
        vec(role_view(), 0..2).prop_map(Response::Roles),
        vec(text(), 0..3).prop_map(Response::Explanation),
        vec(executor_view(), 0..2).prop_map(Response::Executors),
        vec(operation_view(), 0..2).prop_map(Response::Operations),
        vec(weight(), 0..2).prop_map(Response::Weights),
        quota().prop_map(Response::Quota),
        maintenance_status().prop_map(Response::MaintenanceStatus),
        schedule().prop_map(Response::MaintenanceSchedule),
        vec((text(), maybe(text())), 0..3).prop_map(Response::Flags),
        vec((text(), maybe(-1e9..1e9)), 0..3).prop_map(Response::Metrics),
        any::<u32>().prop_map(Response::LoggingLevel),
        vec(file(), 0..2).prop_map(Response::Files),
        (any::<u64>(), data()).prop_map(|(size, data)| Response::FileData { size, data }),
        Just(Response::Ok),
    ]
}

/// Any numbered event.
pub fn operator_event() -> impl Strategy<Value = StreamEvent> {
    let reason =
        prop::sample::select(vec![CutOff::Slow, CutOff::TooMany, CutOff::Ending, CutOff::Behind]);
    let event = prop_oneof![
        (maybe(state()), interval(), text()).prop_map(|(state, heartbeat_interval, stream)| {
            Event::Subscribed { state: state.map(Box::new), heartbeat_interval, stream }
        }),
        task_view().prop_map(Event::TaskAdded),
        (framework_id(), task_status(), task_state()).prop_map(|(framework_id, status, state)| {
            Event::TaskUpdated { framework_id, status: Box::new(status), state }
        }),
        agent_view().prop_map(Event::AgentAdded),
        agent_view().prop_map(Event::AgentUpdated),
        agent_id().prop_map(Event::AgentRemoved),
        framework_view().prop_map(Event::FrameworkAdded),
        framework_view().prop_map(Event::FrameworkUpdated),
        framework_info().prop_map(Event::FrameworkRemoved),
        Just(Event::Heartbeat),
        (reason, text()).prop_map(|(reason, message)| Event::CutOff { reason, message }),
    ];
    (maybe(any::<u64>()), event).prop_map(|(sequence, event)| StreamEvent { sequence, event })
}
