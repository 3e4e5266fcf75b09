//! `tepui drain`, `reactivate`, `deactivate` and `gone`: agents that shall have no work, or have it
//! again.

use crate::client::Client;
use crate::failure::{Code, Failure};
use crate::{Print, Server, discover, output};
use proto::AgentId;
use proto::operator::{AgentView, Call, Response, TaskView};
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

/// What `tepui gone` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui gone --yes 7f0c-S3    its host will never come back: its tasks are given up")]
pub(crate) struct Gone {
    #[command(flatten)]
    one: One,
    /// Do it: this cannot be taken back.
    #[arg(long)]
    yes: bool,
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

/// Gives an agent up for ever.
pub(crate) async fn gone(options: Gone) -> Result<(), Failure> {
    let One { agent, print, server } = options.one;
    if !options.yes {
        let master = discover::master(&server);
        let view = discover::agent(&master, &agent).await?;
        let id = discover::id(&view);
        let tasks = tasks_on(&master, std::slice::from_ref(&view)).await?;
        let message = format!("this gives the agent {id} and its {tasks} up for ever");
        return Err(Failure::new(Code::Usage, message)
            .next(format!("tepui gone --yes {id}, if that is what you want")));
    }
    tell(&server, print, &agent, Call::MarkAgentGone, "gone").await
}

/// How many tasks some agents have, in words.
pub(crate) async fn tasks_on(master: &Client, agents: &[AgentView]) -> Result<String, Failure> {
    let Response::Tasks(all) = master.operator(&Call::GetTasks).await? else {
        return Err(Failure::other_answer());
    };
    let is_here = |task: &&TaskView| {
        let on = |agent: &AgentView| agent.info.id.as_ref() == Some(&task.agent_id);
        !task.state.is_terminal() && agents.iter().any(on)
    };
    let count = all.tasks.iter().chain(&all.unreachable).filter(is_here).count();
    Ok(format!("{count} task{}", if count == 1 { "" } else { "s" }))
}

async fn tell(
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
