//! `tepui drain`, `reactivate`, `deactivate` and `gone`: agents that shall have no work, or have it
//! again.

use crate::failure::{Code, Failure};
use crate::{Print, Server, discover, output};
use proto::AgentId;
use proto::operator::Call;
use serde_json::json;
use std::time::Duration;

/// What `tepui drain` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui drain 7f0c-S3                      its tasks are killed, each with its own grace
  tepui drain 7f0c-S3 --max-grace 60       none of them has more than a minute
  tepui drain 7f0c-S3 --mark-gone          and it never comes back
  tepui reactivate 7f0c-S3                 it gets offers again")]
pub(crate) struct Drain {
    /// The agent's id.
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
    /// The agent's id.
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
    let call = Call::DrainAgent {
        agent_id: options.agent.clone(),
        max_grace: options.max_grace.map(Duration::from_secs_f64),
        mark_gone: options.mark_gone,
    };
    tell(&options.server, options.print, &options.agent, &call, "draining").await
}

/// Ends a drain, or a deactivation.
pub(crate) async fn reactivate(options: One) -> Result<(), Failure> {
    let call = Call::ReactivateAgent(options.agent.clone());
    tell(&options.server, options.print, &options.agent, &call, "active").await
}

/// Gives no more offers; what runs goes on.
pub(crate) async fn deactivate(options: One) -> Result<(), Failure> {
    let call = Call::DeactivateAgent(options.agent.clone());
    tell(&options.server, options.print, &options.agent, &call, "deactivated").await
}

/// Gives an agent up for ever.
pub(crate) async fn gone(options: Gone) -> Result<(), Failure> {
    let One { agent, print, server } = options.one;
    if !options.yes {
        let message = format!("this gives the agent {agent} and its tasks up for ever");
        return Err(Failure::new(Code::Usage, message)
            .next(format!("tepui gone --yes {agent}, if that is what you want")));
    }
    tell(&server, print, &agent, &Call::MarkAgentGone(agent.clone()), "gone").await
}

async fn tell(
    server: &Server,
    print: Print,
    agent: &AgentId,
    call: &Call,
    standing: &str,
) -> Result<(), Failure> {
    let answer = discover::master(server).operator(call).await;
    // The master answers 400 for an agent that it does not know, as Mesos does.
    answer.map_err(|failure| match failure.message.contains("Agent cannot be found") {
        true => {
            let message = format!("the master knows no agent {agent}, or it is gone");
            Failure::new(Code::NotFound, message).next("tepui agents lists the ids of all agents")
        }
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
