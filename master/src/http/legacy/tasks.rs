//! `/tasks`: tasks in the JSON of Mesos.

use super::query::Query;
use crate::http::json::{Element, Fields, Json};
use crate::http::pieces::{Pieces, Unread};
use crate::http::select::Wanted;
use crate::reads::Model;
use master_core::publish::{PastTask, Step, TaskRecord};
use proto::{AgentId, FrameworkId, Resources, Role, TaskId, TaskShown, TaskState, Time};
use std::cmp::Reverse;
use std::sync::Arc;

/// Tasks that one answer has when the query does not say.
const LIMIT: usize = 100;

/// A task, wherever it stands.
#[derive(Clone, Debug)]
pub(super) enum Task {
    Known(Arc<TaskRecord>),
    Over(FrameworkId, Arc<PastTask>),
}

/// What all tasks have.
struct View<'a> {
    framework_id: &'a FrameworkId,
    task_id: &'a TaskId,
    name: &'a str,
    agent_id: &'a AgentId,
    executor_id: &'a str,
    state: TaskState,
    resources: &'a Resources,
    role: &'a Role,
    steps: &'a [Step],
}

impl Task {
    fn view(&self) -> View<'_> {
        match self {
            Self::Known(task) => View {
                framework_id: &task.framework_id,
                task_id: &task.task_id,
                name: &task.name,
                agent_id: &task.agent_id,
                executor_id: task.executor_id.as_ref().map_or("", |id| id.as_str()),
                state: task.state,
                resources: &task.resources,
                role: &task.role,
                steps: &task.steps,
            },
            Self::Over(framework_id, task) => View {
                framework_id,
                task_id: &task.task_id,
                name: &task.name,
                agent_id: &task.agent_id,
                executor_id: "",
                state: task.step.state,
                resources: &task.resources,
                role: &task.role,
                steps: std::slice::from_ref(&task.step),
            },
        }
    }

    /// What Mesos sorts tasks by: the time of their first status.
    fn since(&self) -> Option<Time> {
        self.view().steps.first().map(|step| step.at)
    }
}

/// Lists the tasks of all frameworks, in the order of their first status, the newest first unless
/// the query says `order=asc`.
pub(super) async fn write(out: &mut Pieces, model: &Model, query: &Query) -> Result<(), Unread> {
    let wanted = query.wanted(LIMIT);
    let mut tasks = matching(model, &wanted);
    if query.get("order") == Some("asc") {
        tasks.sort_by_cached_key(Task::since);
    } else {
        tasks.sort_by_cached_key(|task| Reverse(task.since()));
    }
    out.json.begin_object();
    out.json.name("tasks").begin_list();
    for task in wanted.page.of(tasks.iter()) {
        one(&mut out.json, task, &wanted.fields);
        out.breathe().await?;
    }
    out.json.end_list();
    out.json.end_object();
    Ok(())
}

fn matching(model: &Model, wanted: &Wanted) -> Vec<Task> {
    let fits = |task: &Task| {
        let view = task.view();
        wanted.task(view.framework_id, view.task_id, view.agent_id, view.role)
    };
    let known = |task: &Arc<TaskRecord>| Task::Known(Arc::clone(task));
    let over = |id: &FrameworkId, task: &Arc<PastTask>| Task::Over(id.clone(), Arc::clone(task));
    match wanted.framework.as_deref().map(FrameworkId::new) {
        Some(Ok(id)) => {
            let living = model.tasks_of(&id).map(known);
            living.chain(model.completed_of(&id).map(|task| over(&id, task))).filter(fits).collect()
        }
        // There is no framework with such an id.
        Some(Err(_)) => Vec::new(),
        None => {
            let living = model.tasks.iter().map(|(_, task)| known(task));
            let completed = model.completed.iter().map(|((id, _), task)| over(id, task));
            living.chain(completed).filter(fits).collect()
        }
    }
}

/// A task that is not over.
pub(super) fn known(json: &mut Json, task: &Arc<TaskRecord>) {
    one(json, &Task::Known(Arc::clone(task)), &Fields::default());
}

/// A task that is over.
pub(super) fn over(json: &mut Json, id: &FrameworkId, task: &Arc<PastTask>) {
    one(json, &Task::Over(id.clone(), Arc::clone(task)), &Fields::default());
}

fn one(json: &mut Json, task: &Task, fields: &Fields) {
    let view = task.view();
    json.begin_object();
    let mut element = Element::new(json, fields);
    element.text("id", view.task_id.as_str());
    element.text("name", view.name);
    element.text("framework_id", view.framework_id.as_str());
    element.text("executor_id", view.executor_id);
    element.text("slave_id", view.agent_id.as_str());
    element.text("state", view.state.name());
    element.resources("resources", view.resources);
    element.text("role", view.role.as_str());
    if let Some(json) = element.field("statuses") {
        json.begin_list();
        for step in view.steps {
            json.begin_object();
            json.name("state").text(step.state.name());
            json.name("timestamp").double(step.at.as_secs_f64());
            if let Task::Known(task) = task {
                newest(json, task, step);
            }
            json.end_object();
        }
        json.end_list();
    }
    if let Task::Known(task) = task
        && let Some(shown) = &task.shown
    {
        self::shown(&mut element, shown);
    }
    json.end_object();
}

/// Labels, discovery and container, as far as the task has them.
fn shown(element: &mut Element<'_>, shown: &TaskShown) {
    let members: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&shown.to_json()).unwrap_or_default();
    for (name, value) in &members {
        // The old endpoints have the list itself.
        let value = if name == "labels" { &value["labels"] } else { value };
        if let Some(json) = element.field(name) {
            json.any(value);
        }
    }
}

/// What only the newest status still has.
fn newest(json: &mut Json, task: &TaskRecord, step: &Step) {
    let Some(status) = task.status.as_ref().filter(|status| status.state == step.state) else {
        return;
    };
    if let Some(healthy) = status.healthy {
        json.name("healthy").flag(healthy);
    }
    if status.container_id.is_none() && status.address.is_none() {
        return;
    }
    json.name("container_status").begin_object();
    if let Some(container) = &status.container_id {
        json.name("container_id").begin_object();
        json.name("value").text(container.as_str());
        json.end_object();
    }
    if let Some(address) = status.address {
        json.name("network_infos").begin_list();
        json.begin_object();
        json.name("ip_addresses").begin_list();
        json.begin_object();
        json.name("protocol").text("IPv4");
        json.name("ip_address").text(&address.to_string());
        json.end_object();
        json.end_list();
        json.end_object();
        json.end_list();
    }
    json.end_object();
}
