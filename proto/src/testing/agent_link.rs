//! The private link between agent and master.

use super::task::{executor, task_shown, task_state};
use super::{
    agent_id, agent_info, data, executor_id, framework_id, framework_info, master_id, maybe, nanos,
    resources, role, task_id, task_info, task_status, text, uuid, volume, volume_id,
};
use crate::Piece;
use crate::agent_link::{AgentCall, AgentEvent, AgentExecutor, AgentTask, Command, VolumeFailure};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;

fn agent_task() -> impl Strategy<Value = AgentTask> {
    let who = (framework_id(), task_id(), text(), maybe(executor_id()));
    let what = (resources(), role(), task_state(), maybe((task_state(), uuid())));
    (who, what, task_shown()).prop_map(|(who, what, shown)| AgentTask {
        framework_id: who.0,
        task_id: who.1,
        name: who.2,
        executor_id: who.3,
        resources: what.0,
        role: what.1,
        state: what.2,
        status: what.3,
        shown,
    })
}

/// A volume as a master names it to its agent: reserved.
fn reserved_volume() -> impl Strategy<Value = Piece> {
    volume().prop_filter("volumes are reserved", |volume| volume.flavor.reserved_to().is_some())
}

fn volume_failure() -> impl Strategy<Value = VolumeFailure> {
    (role(), volume_id(), text()).prop_map(|(role, id, message)| VolumeFailure {
        role,
        id,
        message,
    })
}

fn agent_executor() -> impl Strategy<Value = AgentExecutor> {
    (framework_id(), role(), executor()).prop_map(|(framework_id, role, info)| AgentExecutor {
        framework_id,
        role,
        info,
    })
}

fn reregister() -> impl Strategy<Value = AgentCall> {
    let who = (agent_info(), text(), vec(framework_info(), 0..2));
    (who, vec(agent_task(), 0..3), vec(agent_executor(), 0..3)).prop_map(
        |((info, version, frameworks), tasks, executors)| AgentCall::Reregister {
            info,
            version,
            tasks,
            frameworks,
            executors,
        },
    )
}

/// Anything that an agent says.
pub fn agent_call() -> impl Strategy<Value = AgentCall> {
    prop_oneof![
        (agent_info(), text(), any::<u64>())
            .prop_map(|(info, version, nonce)| AgentCall::Register { info, version, nonce }),
        reregister(),
        (framework_id(), executor_id(), maybe(any::<i32>())).prop_map(
            |(framework_id, executor_id, status)| AgentCall::ExecutorEnded {
                framework_id,
                executor_id,
                status,
            }
        ),
        (framework_id(), task_status(), task_state()).prop_map(
            |(framework_id, status, latest_state)| AgentCall::Update {
                framework_id,
                status: Box::new(status),
                latest_state,
            }
        ),
        any::<u64>().prop_map(|sequence| AgentCall::Pong { sequence }),
        (framework_id(), executor_id(), data()).prop_map(|(framework_id, executor_id, data)| {
            AgentCall::Message { framework_id, executor_id, data }
        }),
        (any::<u64>(), vec(volume_failure(), 0..3))
            .prop_map(|(sequence, failures)| AgentCall::VolumesApplied { sequence, failures }),
        any::<bool>().prop_map(|pressed| AgentCall::DiskPressure { pressed }),
    ]
}

/// Anything that a master says to an agent.
pub fn agent_event() -> impl Strategy<Value = AgentEvent> {
    prop_oneof![
        (agent_id(), master_id(), nanos()).prop_map(|(agent_id, master_id, ping_timeout)| {
            AgentEvent::Registered { agent_id, master_id, ping_timeout }
        }),
        (agent_id(), master_id(), nanos(), vec((framework_id(), task_id()), 0..3)).prop_map(
            |(agent_id, master_id, ping_timeout, reconcile)| AgentEvent::Reregistered {
                agent_id,
                master_id,
                ping_timeout,
                reconcile,
            }
        ),
        (text(), any::<bool>()).prop_map(|(message, gone)| AgentEvent::Refused { message, gone }),
        any::<u64>().prop_map(|sequence| AgentEvent::Ping { sequence }),
        (framework_info().prop_map(Arc::new), role(), vec(task_info(), 0..3))
            .prop_map(|(framework, role, tasks)| AgentEvent::Run { framework, role, tasks }),
        (
            framework_info().prop_map(Arc::new),
            role(),
            vec(task_info(), 0..3),
            vec(executor_id(), 0..3)
        )
            .prop_map(|(framework, role, tasks, start)| AgentEvent::RunByExecutors {
                framework,
                role,
                tasks,
                start,
            }),
        (framework_id(), executor_id()).prop_map(|(framework_id, executor_id)| {
            AgentEvent::ShutdownExecutor { framework_id, executor_id }
        }),
        (framework_id(), task_id(), maybe(nanos()), any::<bool>()).prop_map(
            |(framework_id, task_id, grace, draining)| AgentEvent::Kill {
                framework_id,
                task_id,
                grace,
                draining,
            }
        ),
        (framework_id(), task_id(), uuid()).prop_map(|(framework_id, task_id, uuid)| {
            AgentEvent::Acknowledge { framework_id, task_id, uuid }
        }),
        framework_id().prop_map(|framework_id| AgentEvent::ShutdownFramework { framework_id }),
        framework_info()
            .prop_map(|framework| AgentEvent::UpdateFramework { framework: Arc::new(framework) }),
        (framework_id(), executor_id(), data()).prop_map(|(framework_id, executor_id, data)| {
            AgentEvent::Message { framework_id, executor_id, data }
        }),
        (any::<u64>(), vec(reserved_volume(), 0..3), vec(reserved_volume(), 0..3)).prop_map(
            |(sequence, volumes, destroyed)| AgentEvent::Volumes { sequence, volumes, destroyed }
        ),
    ]
}

/// The same, with the epoch in which it is said, if that is.
pub fn command() -> impl Strategy<Value = Command> {
    (any::<u64>(), agent_event()).prop_map(|(epoch, event)| Command { epoch, event })
}
