//! How a task of any framework stands, from the master.

use super::Found;
use crate::client::Client;
use crate::failure::Failure;
use proto::operator::{Call, Response};
use serde_json::json;

/// The task of this id, if the master knows one.
pub(super) async fn found(master: &Client, name: &str) -> Result<Option<Found>, Failure> {
    let Response::Tasks(all) = master.operator(&Call::GetTasks).await? else {
        return Err(Failure::other_answer());
    };
    let mut tasks = all.tasks.iter().chain(&all.unreachable).chain(&all.completed);
    let Some(task) = tasks.find(|task| task.task_id.as_str() == name) else { return Ok(None) };
    let state = task.state.name().trim_start_matches("TASK_");
    let mut reasons = vec![format!("It is a task of {} on {}.", task.framework_id, task.agent_id)];
    if let Some(status) = task.statuses.last() {
        let reason = status.reason.map(|reason| reason.name());
        let message = status.message.as_deref();
        reasons.extend(reason.into_iter().chain(message).map(str::to_owned));
    }
    let text = super::indented(&format!("task {name} is {state}"), &reasons);
    let json = json!({ "task_id": name, "state": task.state.name(), "reasons": reasons });
    Ok(Some(Found { text, json }))
}
