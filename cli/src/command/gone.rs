//! `tepui gone`: agents that will never come back, and those of them that the master keeps in mind
//! for what was on them.

use super::drain::{kept_on, tasks_on, tell};
use crate::client::Client;
use crate::failure::{Code, Failure};
use crate::output::{self, Form, Table};
use crate::{Final, discover, when};
use proto::AgentId;
use proto::operator::{Call, GoneAgent, Response};
use serde_json::{Value, json};

/// What it takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui gone --yes 7f0c-S3             its host will never come back: its tasks are given up
  tepui gone --list                    agents that were given up with something on them
  tepui gone --forget --yes 7f0c-S3    its data is deleted: its id may be forgotten")]
pub(crate) struct Options {
    /// The agent's id, or what it ends with, such as S3.
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    agent: Option<AgentId>,
    /// Show the agents that were given up with volumes or reservations on them: the master refuses
    /// their ids until they are forgotten.
    #[arg(long, conflicts_with_all = ["forget", "yes"])]
    list: bool,
    /// Forget an agent that was given up: should it come back after all, it is taken in again.
    #[arg(long)]
    forget: bool,
    #[command(flatten)]
    last: Final,
}

/// Gives an agent up for ever, forgets one that was given up, or shows those that can be forgotten.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let Options { agent, forget, last: Final { yes, print, server }, .. } = options;
    let master = discover::master(&server);
    match agent {
        None => list(&master, print.output).await,
        Some(agent) if forget => forget_one(&master, &agent, yes, print.output).await,
        Some(agent) if yes => tell(&server, print, &agent, Call::MarkAgentGone, "gone").await,
        Some(agent) => {
            let view = discover::agent(&master, &agent).await?;
            let id = discover::id(&view);
            let tasks = tasks_on(&master, std::slice::from_ref(&view)).await?;
            let kept = kept_on(std::slice::from_ref(&view));
            let message = format!("this gives up for ever: the agent {id}, its {tasks}{kept}");
            Err(Final::withheld(message, &format!("tepui gone --yes {id}")))
        }
    }
}

async fn kept(master: &Client) -> Result<Vec<GoneAgent>, Failure> {
    let Response::GoneAgents(mut all) = master.operator(&Call::GetGoneAgents).await? else {
        return Err(Failure::other_answer());
    };
    all.sort_by_cached_key(|gone| output::natural(gone.agent_id.as_str()));
    Ok(all)
}

async fn list(master: &Client, form: Form) -> Result<(), Failure> {
    let all = kept(master).await?;
    match form {
        Form::Table => table(&all).print("no agent was given up with something on it"),
        Form::Json => output::print_json(&Value::Array(all.iter().map(view).collect())),
    }
    Ok(())
}

fn table(all: &[GoneAgent]) -> Table {
    let mut table = Table::new(&["AGENT", "GONE SINCE"]);
    for gone in all {
        table.row(vec![gone.agent_id.to_string(), when::show(gone.since)]);
    }
    table
}

fn view(gone: &GoneAgent) -> Value {
    json!({ "agent_id": gone.agent_id.as_str(), "gone_since": when::show(gone.since) })
}

/// The one that is meant, among those that are kept: by its id, or by what it ends with.
fn pick(all: &[GoneAgent], name: &AgentId) -> Result<GoneAgent, Failure> {
    let ending = format!("-{name}");
    let fits =
        |gone: &&GoneAgent| gone.agent_id == *name || gone.agent_id.as_str().ends_with(&ending);
    let found: Vec<&GoneAgent> = all.iter().filter(fits).collect();
    match found[..] {
        [one] => Ok(one.clone()),
        [] => {
            let message = format!("no agent {name} was given up with something on it");
            Err(Failure::new(Code::NotFound, message)
                .next("tepui gone --list shows those that can be forgotten"))
        }
        _ => {
            let ids: Vec<&str> = found.iter().map(|gone| gone.agent_id.as_str()).collect();
            let message = format!("the ids of {} agents end with {name}", ids.len());
            Err(Failure::new(Code::Usage, message)
                .next(format!("give the whole id: {}", ids.join(" or "))))
        }
    }
}

async fn forget_one(master: &Client, name: &AgentId, yes: bool, form: Form) -> Result<(), Failure> {
    let GoneAgent { agent_id, since } = pick(&kept(master).await?, name)?;
    if !yes {
        let since = when::show(since);
        let message = format!(
            "this forgets the agent {agent_id}, gone since {since}: should it come back after all, \
             it is taken in under this id with the tasks that still run there, and what was \
             reserved on it is no more"
        );
        let next = format!(
            "delete its data directory, or be sure that its host is no more; then tepui gone \
             --forget --yes {agent_id}"
        );
        return Err(Failure::new(Code::Usage, message).next(next));
    }
    master.operator(&Call::ForgetAgent(agent_id.clone())).await?;
    match form {
        Form::Json => {
            output::print_json(&json!({ "agent_id": agent_id.as_str(), "state": "forgotten" }));
        }
        Form::Table => output::print(&format!("{agent_id} is forgotten\n")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::Time;

    fn gone(id: &str) -> GoneAgent {
        GoneAgent { agent_id: AgentId::new(id).unwrap(), since: Time::from_nanos(0) }
    }

    #[test]
    fn one_is_meant_by_its_id_or_its_ending() {
        let all = [gone("a-S1"), gone("b-S1"), gone("a-S2")];
        let picked = |name: &str| pick(&all, &AgentId::new(name).unwrap());
        assert_eq!(picked("S2").unwrap().agent_id.as_str(), "a-S2");
        assert_eq!(picked("b-S1").unwrap().agent_id.as_str(), "b-S1");
        let two = picked("S1").unwrap_err();
        assert_eq!((two.code, &*two.message), (2, "the ids of 2 agents end with S1"));
        assert_eq!(two.next.as_deref(), Some("give the whole id: a-S1 or b-S1"));
        assert_eq!(picked("S3").unwrap_err().code, 3);
    }

    #[test]
    fn they_are_shown_with_their_times() {
        let shown = table(&[gone("a-S1")]).render();
        assert_eq!(shown, "AGENT  GONE SINCE\na-S1   1970-01-01T00:00:00Z\n");
        let json = json!({ "agent_id": "a-S1", "gone_since": "1970-01-01T00:00:00Z" });
        assert_eq!(view(&gone("a-S1")), json);
    }
}
