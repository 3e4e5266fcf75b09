//! The agent's state as Mesos' `/state` shows it: enough for clients that look for a task's
//! sandbox.

use crate::config::{Config, MESOS_VERSION, attribute_text};
use agent_core::{Agent, TaskView};
use proto::{Flavor, Piece, Resources, Time, Value as Amount};
use serde_json::{Map, Value, json};

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
    let mut all: Vec<(String, Vec<Value>)> = Vec::new();
    for task in core.tasks() {
        let id = task.framework_id.as_str();
        if all.last().is_none_or(|(last, _)| last != id) {
            all.push((id.to_owned(), Vec::new()));
        }
        if let Some((_, executors)) = all.last_mut() {
            executors.push(executor(&task));
        }
    }
    all.into_iter().map(|(id, executors)| json!({ "id": id, "executors": executors })).collect()
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
        "tasks": [{
            "id": task.task_id.as_str(),
            "name": task.name,
            "state": task.state.name(),
            "resources": task.resources.map(resources),
        }],
    })
}
