//! What became of a container, and what the supervisor still knows of one, as the core hears it.

use super::{CANNOT_EXECUTE, core_id};
use crate::checkpoint::{Record, task_of_launch};
use crate::containerizer::{self, ContainerEvent, Ended, Limitation, SandboxFate, WaitStatus};
use crate::looking;
use crate::supervisor::task::LaunchError;
use agent_core::{Container, Exited, Input, Launch, TaskRecord};
use clock::Clock;
use proto::{Exit, FrameworkInfo, LimitHit, TaskOutcome, TaskUsage, Time};
use std::sync::Arc;
use std::time::Duration;

/// What an event means to the core; absent for what only people read.
pub(crate) fn input(event: ContainerEvent) -> Option<Input> {
    match event {
        ContainerEvent::Launched { id, launched } => {
            fail::fail_point!("launch-heard");
            Some(Input::Launched {
                container_id: core_id(&id)?,
                sandbox: launched.sandbox.to_string_lossy().into(),
                address: launched.address,
            })
        }
        ContainerEvent::LaunchFailed { id, error } => Some(Input::LaunchFailed {
            container_id: core_id(&id)?,
            exit: fault_of_command(&error),
            message: error.to_string().into(),
        }),
        ContainerEvent::Ended { id, ended } => {
            fail::fail_point!("end-heard");
            Some(Input::Exited { container_id: core_id(&id)?, exited: exited(ended) })
        }
        ContainerEvent::Looked { id, number, result } => looking::ended(&id, number, result),
        ContainerEvent::Usage { .. }
        | ContainerEvent::Updated { .. }
        | ContainerEvent::Entered { .. }
        | ContainerEvent::Left { .. }
        | ContainerEvent::LogCut { .. }
        | ContainerEvent::Sampled { .. }
        | ContainerEvent::Recovered(_)
        | ContainerEvent::Lost { .. } => None,
    }
}

fn exited(ended: Ended) -> Exited {
    if ended.lost_bytes > 0 {
        tracing::warn!(bytes = ended.lost_bytes, "output of a task could not be stored");
    }
    let mut killed = None;
    let limit = ended.limitation.map(|limitation| match limitation {
        Limitation::Memory { usage_bytes, limit_bytes, victim } => {
            killed = victim.map(|victim| victim.to_string().into());
            LimitHit { resource: "mem".into(), usage: usage_bytes, limit: limit_bytes }
        }
        Limitation::Disk { usage_bytes, limit_bytes } => {
            LimitHit { resource: "disk".into(), usage: usage_bytes, limit: limit_bytes }
        }
    });
    Exited {
        lost_output: ended.lost_bytes,
        victim: killed,
        outcome: TaskOutcome {
            exit: match ended.status {
                WaitStatus::Exited(code) => Some(Exit::Code(code.into())),
                WaitStatus::Signaled(signal) => Some(Exit::Signal(signal.into())),
                WaitStatus::Unknown => None,
            },
            limit,
            usage: Some(TaskUsage {
                cpu_time: ended.cpu_time,
                max_memory: ended.max_rss_bytes,
                wall_time: ended.lasted,
            }),
        },
        kill_requested: ended.kill_requested,
        sandbox: match ended.sandbox {
            SandboxFate::Kept(path) => Some(path.to_string_lossy().into()),
            SandboxFate::Empty => None,
        },
    }
}

/// What the supervisor reports of the containers that outlived the last agent.
pub(crate) fn report(recovered: Vec<containerizer::Recovered>, clock: &Clock) -> Vec<Container> {
    let mut frameworks = Vec::new();
    let known = recovered.into_iter().filter_map(|container| {
        // Of what is left of a lost supervisor the checkpoint knows more than this one does.
        let launch = (!container.remains).then(|| launch_of(&container, &mut frameworks));
        let launch = launch.transpose().unwrap_or_else(|error| {
            tracing::error!(container = %container.id, %error, "a container's launch cannot be read");
            None
        });
        Some(Container {
            container_id: core_id(&container.id)?,
            launch,
            started: since_boot(clock, container.launched.started_boot_ns),
            sandbox: container.launched.sandbox.to_string_lossy().into(),
            address: container.launched.address,
            exited: container.ended.map(exited),
            remains: container.remains,
            kill_requested: container.kill_requested,
        })
    });
    known.collect()
}

/// The time of a moment that the kernel counts in nanoseconds since boot.
pub(crate) fn since_boot(clock: &Clock, nanos: u64) -> Time {
    let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let now = Duration::new(boot.tv_sec.unsigned_abs(), boot.tv_nsec.unsigned_abs() as u32);
    clock.now() - now.saturating_sub(Duration::from_nanos(nanos))
}

/// A launch as it was recorded; a framework that was read for another is not read again.
pub(super) fn launch_of(
    container: &containerizer::Recovered,
    frameworks: &mut Vec<(Arc<[u8]>, Arc<FrameworkInfo>)>,
) -> Result<Launch, proto::DecodeError> {
    let TaskRecord { container_id, framework_id, role, task, gpus } =
        task_of_launch(&container.record)?;
    let bytes = container.shared.as_ref();
    let bytes = bytes.ok_or_else(|| proto::DecodeError::new("", "has no framework"))?;
    let known = frameworks.iter().find(|(known, _)| Arc::ptr_eq(known, bytes));
    let framework = match known {
        Some((_, framework)) => Arc::clone(framework),
        None => {
            let framework = <Arc<FrameworkInfo>>::decode(bytes)?;
            frameworks.push((Arc::clone(bytes), Arc::clone(&framework)));
            framework
        }
    };
    Ok(Launch { container_id, framework, framework_id, role, task, gpus })
}

/// What a shell would exit with, when what was to be run is at fault and not where it was to run.
pub(crate) fn fault_of_command(error: &LaunchError) -> Option<Exit> {
    match error {
        LaunchError::Impossible(_) => Some(CANNOT_EXECUTE),
        LaunchError::Spawn { step, errno } if step.starts_with("execve") => match *errno {
            libc::ENOENT | libc::ENOTDIR => Some(Exit::Code(127)),
            libc::ENOMEM | libc::EAGAIN | libc::EIO | libc::ENFILE => None,
            _ => Some(CANNOT_EXECUTE),
        },
        // It asks for more than the agent's own hard limit, or than there can be.
        LaunchError::Spawn { step, .. } if step == "setrlimit" => Some(CANNOT_EXECUTE),
        LaunchError::Spawn { step, .. } if step == "changing into the working directory" => {
            Some(CANNOT_EXECUTE)
        }
        LaunchError::Spawn { .. } | LaunchError::AlreadyExists | LaunchError::Refused(_) => None,
    }
}
