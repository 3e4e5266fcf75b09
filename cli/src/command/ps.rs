//! `tepui ps`: tasks, of all frameworks, from the master.

use super::agents::quantities;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Form, Table, milli};
use proto::operator::{Call, Response, TaskView};
use serde_json::{Value, json};

/// Prints living tasks; with `all`, also ended ones that the master still remembers.
pub(crate) async fn run(master: &Client, form: Form, all: bool) -> Result<(), Failure> {
    let Response::Tasks(view) = master.operator(&Call::GetTasks).await? else {
        return Err(Failure::other_answer());
    };
    let mut tasks = view.tasks;
    tasks.extend(view.unreachable);
    if all {
        tasks.extend(view.completed);
    }
    tasks.sort_by_cached_key(|task| {
        (output::natural(task.framework_id.as_str()), output::natural(task.task_id.as_str()))
    });
    match form {
        Form::Table => table(&tasks).print("no task is there"),
        Form::Json => output::print_json(&Value::Array(tasks.iter().map(json_of).collect())),
    }
    Ok(())
}

fn table(tasks: &[TaskView]) -> Table {
    let mut table = Table::new(&["TASK", "STATE", "FRAMEWORK", "AGENT", "CPUS", "MEM MB", "NAME"]);
    for task in tasks {
        table.row(vec![
            task.task_id.to_string(),
            task.state.name().trim_start_matches("TASK_").to_owned(),
            task.framework_id.to_string(),
            task.agent_id.to_string(),
            milli(task.resources.cpus()),
            milli(task.resources.mem()),
            task.name.to_string(),
        ]);
    }
    table
}

fn json_of(task: &TaskView) -> Value {
    json!({
        "task_id": task.task_id.as_str(),
        "name": &*task.name,
        "state": task.state.name(),
        "framework_id": task.framework_id.as_str(),
        "agent_id": task.agent_id.as_str(),
        "role": task.role.as_str(),
        "resources": quantities(&task.resources),
    })
}
