//! `tepui drain`, `reactivate` and `deactivate`: agents that shall have no work, or have it again.

use crate::client::Client;
use crate::failure::{Code, Failure};
use crate::output::milli;
use crate::{Print, Server, amounts, discover, output};
use proto::operator::{AgentView, Call, Response, TaskView};
use proto::{AgentId, Piece, Quantities, ReservationKind};
use serde_json::json;
use std::time::Duration;

/// What `tepui drain` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui drain S3                           its tasks are killed, each with its own grace
  tepui drain 7f0c-S3 --max-grace 60       none of them has more than a minute
  tepui drain 7f0c-S3 --mark-gone          and it never comes back
  tepui reactivate 7f0c-S3                 it gets offers again")]
pub(crate) struct Drain {
    /// The agent's id, or what it ends with, such as S3.
    agent: AgentId,
    /// The longest that a task may take to end.
    #[arg(long, value_name = "SECONDS", value_parser = super::master::seconds)]
    max_grace: Option<f64>,
    /// Mark the agent gone once it is empty.
    #[arg(long)]
    mark_gone: bool,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// What the others take.
#[derive(clap::Args, Debug)]
pub(crate) struct One {
    /// The agent's id, or what it ends with, such as S3.
    agent: AgentId,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// Begins to drain.
pub(crate) async fn drain(options: Drain) -> Result<(), Failure> {
    let (max_grace, mark_gone) =
        (options.max_grace.map(Duration::from_secs_f64), options.mark_gone);
    let call = |agent_id| Call::DrainAgent { agent_id, max_grace, mark_gone };
    tell(&options.server, options.print, &options.agent, call, "draining").await
}

/// Ends a drain, or a deactivation.
pub(crate) async fn reactivate(options: One) -> Result<(), Failure> {
    let One { agent, print, server } = options;
    tell(&server, print, &agent, Call::ReactivateAgent, "active").await
}

/// Gives no more offers; what runs goes on.
pub(crate) async fn deactivate(options: One) -> Result<(), Failure> {
    let One { agent, print, server } = options;
    tell(&server, print, &agent, Call::DeactivateAgent, "deactivated").await
}

/// How many tasks some agents have, in words.
pub(crate) async fn tasks_on(master: &Client, agents: &[AgentView]) -> Result<String, Failure> {
    let is_here =
        |task: &TaskView| agents.iter().any(|agent| agent.info.id.as_ref() == Some(&task.agent_id));
    tasks_of(master, is_here).await
}

/// How many tasks that have not ended are such ones, in words.
pub(crate) async fn tasks_of(
    master: &Client,
    is_such: impl Fn(&TaskView) -> bool,
) -> Result<String, Failure> {
    let Response::Tasks(all) = master.operator(&Call::GetTasks).await? else {
        return Err(Failure::other_answer());
    };
    let mut count = 0;
    for task in all.tasks.iter().chain(&all.unreachable) {
        count += usize::from(!task.state.is_terminal() && is_such(task));
    }
    Ok(counted(count, "task"))
}

/// The volumes and reservations that go with some agents, in words that follow their tasks: an
/// agent that is removed never gets them back. What an agent says by itself is reserved again when
/// it comes, so it is not named.
pub(crate) fn kept_on(agents: &[AgentView]) -> String {
    let all = || agents.iter().map(|agent| &agent.info.resources);
    let volumes: Vec<u64> = all().flat_map(|all| all.pieces()).filter_map(volume_size).collect();
    let mut reserved = Quantities::default();
    for resources in all() {
        reserved.add_all(&resources.filtered(is_kept).quantities());
    }
    let mut words = String::new();
    if !volumes.is_empty() {
        let (count, size) = (counted(volumes.len(), "volume"), milli(volumes.iter().sum()));
        words += &format!(", {count} with {size} MB and all that is in them");
    }
    if !reserved.is_empty() {
        words += &format!(", the reservations of {}", amounts::quantities(&reserved));
    }
    words
}

fn volume_size(piece: &Piece) -> Option<u64> {
    piece.flavor.volume().map(|_| piece.size())
}

/// Whether it is reserved by a framework or an operator.
pub(crate) fn is_kept(piece: &Piece) -> bool {
    let last = piece.flavor.reservations().last();
    last.is_some_and(|last| last.kind == ReservationKind::Dynamic)
}

pub(crate) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Orders something of one agent, and says how it is then.
pub(crate) async fn tell(
    server: &Server,
    print: Print,
    agent: &AgentId,
    call: impl FnOnce(AgentId) -> Call,
    standing: &str,
) -> Result<(), Failure> {
    let master = discover::master(server);
    let agent = match discover::agent(&master, agent).await {
        Ok(view) => view.info.id.unwrap_or_else(|| agent.clone()),
        // The master knows more than it lists: one that is gone may be marked so again.
        Err(failure) if failure.code == Code::NotFound as u8 => agent.clone(),
        Err(failure) => return Err(failure),
    };
    let answer = master.operator(&call(agent.clone())).await;
    // The master answers 400 for an agent that it does not know, as Mesos does: it may just be gone.
    answer.map_err(|failure| match failure.message.contains("Agent cannot be found") {
        true => discover::unknown_agent(&agent),
        false => failure,
    })?;
    match print.output {
        output::Form::Json => {
            output::print_json(&json!({ "agent_id": agent.as_str(), "state": standing }));
        }
        output::Form::Table => output::print(&format!("{agent} is {standing}\n")),
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
