//! The variables that an executor finds, with Mesos' names.

use super::Secret;
use agent_core::Launch;
use proto::ExecutorKind;
use std::time::Duration;

/// What executors are told of their agent.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Where it listens, as they reach it: `HOST:PORT`.
    pub(crate) endpoint: String,
    pub(crate) secret: Secret,
    /// Between SHUTDOWN and KILL, for those that do not say.
    pub(crate) shutdown_grace: Duration,
    /// How long they may wait for an agent that is away.
    pub(crate) recovery_timeout: Duration,
    /// How long they may take to subscribe to an agent that was started anew.
    pub(crate) reregistration_timeout: Duration,
}

/// Mesos' text of a duration, in its largest unit that is exact.
fn text(duration: Duration) -> String {
    match (duration.as_secs(), duration.subsec_nanos()) {
        (seconds, 0) if seconds > 0 && seconds % 60 == 0 => format!("{}mins", seconds / 60),
        (seconds, 0) => format!("{seconds}secs"),
        _ => format!("{}ms", duration.as_millis()),
    }
}

/// Adds the variables of an executor to those of its command; ours count.
pub(crate) fn variables(settings: &Settings, launch: &Launch, all: &mut Vec<(String, String)>) {
    let executor = launch.task.executor.as_ref();
    let Some(info) = executor.filter(|info| info.kind() == ExecutorKind::Custom) else { return };
    let grace = info.shutdown_grace().ok().flatten().unwrap_or(settings.shutdown_grace);
    // Half of the time, at the most: who draws the longest pause must not be late.
    let backoff = settings.reregistration_timeout / 2;
    let own = [
        ("MESOS_AGENT_ENDPOINT", settings.endpoint.clone()),
        ("MESOS_SLAVE_PID", format!("slave(1)@{}", settings.endpoint)),
        ("MESOS_EXECUTOR_ID", info.executor_id.to_string()),
        ("MESOS_FRAMEWORK_ID", launch.framework_id.to_string()),
        ("MESOS_SLAVE_ID", launch.task.agent_id.to_string()),
        ("MESOS_AGENT_ID", launch.task.agent_id.to_string()),
        ("MESOS_ALLOCATION_ROLE", launch.role.to_string()),
        ("MESOS_HTTP_COMMAND_EXECUTOR", "0".to_owned()),
        ("MESOS_CHECKPOINT", "1".to_owned()),
        ("MESOS_RECOVERY_TIMEOUT", text(settings.recovery_timeout)),
        ("MESOS_SUBSCRIPTION_BACKOFF_MAX", text(backoff)),
        ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", text(grace)),
        ("MESOS_EXECUTOR_AUTHENTICATION_TOKEN", settings.secret.token(&launch.container_id)),
    ];
    all.retain(|(name, _)| name != "MESOS_TASK_ID" && own.iter().all(|(ours, _)| name != ours));
    all.extend(own.map(|(name, value)| (name.to_owned(), value)));
}
