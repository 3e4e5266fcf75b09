//! The agent's state as Mesos' `/state` shows it: enough for clients that look for a task's
//! sandbox.

use crate::config::{Config, MESOS_VERSION, attribute_text};
use agent_core::{Agent, ExecutorView, TaskView};
use proto::{Flavor, Piece, Resources, Time, Value as Amount};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The state at this moment. `admitted` is whether it is registered under an id that is durable,
/// `isolation` how its tasks are kept apart.
pub(crate) fn state(
    core: &Agent,
    admitted: bool,
    isolation: &str,
    started: Time,
    config: &Config,
) -> Value {
    let info = core.info();
    let attributes: Map<String, Value> = info
        .attributes
        .iter()
        .map(|attribute| (attribute.name.to_string(), attribute.value.to_string().into()))
        .collect();
    json!({
        "version": MESOS_VERSION,
        "tepui_version": env!("CARGO_PKG_VERSION"),
        "id": core.agent_id().map(ToString::to_string),
        "hostname": &*info.hostname,
        "start_time": started.as_secs_f64(),
        "registered": admitted,
        "isolation": isolation,
        "masters": config.masters,
        "resources": resources(core.total()),
        "unreserved_resources": resources(&core.total().unreserved()),
        "reserved_resources": reserved(core.total()),
        "free_resources": resources(core.free()),
        "attributes": attributes,
        "attributes_text": info.attributes.iter().map(attribute_text).collect::<Vec<_>>(),
        "frameworks": frameworks(core),
        "completed_frameworks": [],
    })
}

/// What is reserved, by role.
fn reserved(all: &Resources) -> Value {
    let roles = all.reservation_roles();
    let entries = roles.map(|role| (role.to_string(), resources(&all.reserved_to(role))));
    Value::Object(entries.collect())
}

/// Scalars as numbers, the rest as text, as Mesos has it: one entry for each name.
fn resources(all: &Resources) -> Value {
    let plain = |piece: &Piece| Piece { flavor: Flavor::default(), ..piece.clone() };
    let all: Resources = all.pieces().iter().map(plain).collect();
    let entries = all.pieces().iter().map(|piece| {
        let value = match &piece.value {
            Amount::Scalar(milli) => json!(*milli as f64 / 1000.0),
            other @ (Amount::Ranges(_) | Amount::Set(_)) => json!(other.to_string()),
        };
        (piece.name.as_str().to_owned(), value)
    });
    Value::Object(entries.collect())
}

fn frameworks(core: &Agent) -> Vec<Value> {
    let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for own in core.executors() {
        let executors = all.entry(own.framework_id.to_string()).or_default();
        executors.push(custom_executor(core, &own));
    }
    for own in core.tasks().filter(|task| task.executor_id.is_none()) {
        all.entry(own.framework_id.to_string()).or_default().push(executor(&own));
    }
    all.into_iter().map(|(id, executors)| json!({ "id": id, "executors": executors })).collect()
}

/// An executor of a framework's own, with its tasks.
fn custom_executor(core: &Agent, own: &ExecutorView<'_>) -> Value {
    let id = &own.info.executor_id;
    let here = |task: &TaskView<'_>| task.container_id == Some(own.container_id);
    json!({
        "id": id.as_str(),
        "name": &*own.info.name(),
        "container": own.container_id.as_str(),
        "directory": format!(
            "/frameworks/{}/executors/{id}/runs/{}",
            own.framework_id, own.container_id
        ),
        "resources": resources(&own.resources),
        "tasks": core.tasks().filter(here).map(|task| task_of(&task)).collect::<Vec<_>>(),
    })
}

fn task_of(task: &TaskView<'_>) -> Value {
    json!({
        "id": task.task_id.as_str(),
        "name": task.name,
        "state": task.state.name(),
        "resources": task.resources.map(resources),
    })
}

/// A command task is its own executor.
fn executor(task: &TaskView<'_>) -> Value {
    let directory = format!(
        "/frameworks/{}/executors/{}/runs/{}",
        task.framework_id,
        task.task_id,
        task.container_id.map_or("latest", |id| id.as_str())
    );
    json!({
        "id": task.task_id.as_str(),
        "name": task.name,
        "container": task.container_id.map(ToString::to_string),
        "directory": directory,
        "tasks": [task_of(task)],
    })
}
