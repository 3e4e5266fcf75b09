//! `tepui why`: why a job, a task, a framework, a role or an agent does not get what it waits for.
//!
//! A name is looked for among all of them. The reasons are those of the jobs framework and of the
//! master's allocator, with their figures; here they are put in a row, and nothing is guessed.

mod agent;
mod framework;
mod job;
mod role;
mod task;

use crate::client::Client;
use crate::failure::{Code, Failure};
use crate::output::{self, Form};
use crate::{Print, Server, discover, when};
use proto::operator::{Call, Response};
use proto::{AgentId, FrameworkId, Role};
use serde_json::Value;

/// What `tepui why` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
A name is looked for in this order: the id of a framework or an agent, a job or unit, a role, the
name of a framework, the end of an agent's id, a task. A flag says which is meant.

Examples:
  tepui why thumbs            a job
  tepui why thumbs/17         one unit of it
  tepui why eng/batch         a role: the quotas that bind it, and what the allocator says
  tepui why --framework jobs  a framework, by name or id
  tepui why S3                an agent: what is free on it, and what keeps work away")]
pub(crate) struct Options {
    /// JOB, JOB/INDEX, or the name or id of a task, a framework, a role or an agent.
    #[arg(value_name = "NAME", required_unless_present_any = ["framework", "role", "agent"])]
    name: Option<String>,
    /// A framework's id or name.
    #[arg(long, value_name = "ID|NAME", conflicts_with_all = ["name", "role", "agent"])]
    framework: Option<String>,
    /// A role.
    #[arg(long, value_name = "ROLE", value_parser = super::roles::any_role)]
    #[arg(conflicts_with_all = ["name", "agent"])]
    role: Option<Role>,
    /// An agent's id, or what it ends with.
    #[arg(long, value_name = "ID", conflicts_with = "name")]
    agent: Option<AgentId>,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// Prints the reasons, the most telling first.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let master = discover::master(&options.server);
    let found = if let Some(framework) = &options.framework {
        framework::named(&master, framework).await?
    } else if let Some(role) = &options.role {
        role::found(&master, role).await?
    } else if let Some(agent) = &options.agent {
        agent::explained(&master, &discover::agent(&master, agent).await?).await?
    } else {
        let name = options.name.as_deref().unwrap_or_default();
        search(&options.server, &master, name).await?
    };
    match options.print.output {
        Form::Json => output::print_json(&found.json),
        Form::Table => output::print(&found.text),
    }
    Ok(())
}

/// An answer in both forms.
pub(crate) struct Found {
    text: String,
    json: Value,
}

/// Whatever has this name, in the order that the help tells.
async fn search(server: &Server, master: &Client, name: &str) -> Result<Found, Failure> {
    let Response::Frameworks(frameworks, _) = master.operator(&Call::GetFrameworks).await? else {
        return Err(Failure::other_answer());
    };
    let is_its_id = |id: &Option<FrameworkId>| id.as_ref().is_some_and(|id| id.as_str() == name);
    if let Some(framework) = frameworks.iter().find(|framework| is_its_id(&framework.info.id)) {
        return framework::explained(master, framework).await;
    }
    let agents = discover::agents(master).await?;
    if let Some(agent) = agents.iter().find(|agent| discover::id(agent) == name) {
        return agent::explained(master, agent).await;
    }
    let unreachable = match job::found(server, name).await? {
        job::Search::Found(found) => return Ok(found),
        job::Search::Unknown => None,
        job::Search::Unreachable(failure) => Some(failure),
    };
    if let Ok(role) = Role::new(name)
        && let Some(found) = role::search(master, &role).await?
    {
        return Ok(found);
    }
    if frameworks.iter().any(|framework| &*framework.info.name == name) {
        return framework::named(master, name).await;
    }
    let ending = format!("-{name}");
    if agents.iter().any(|agent| discover::id(agent).ends_with(&ending))
        && let Ok(id) = AgentId::new(name)
    {
        return agent::explained(master, &discover::agent(master, &id).await?).await;
    }
    if let Some(found) = task::found(master, name).await? {
        return Ok(found);
    }
    // It may be a job that nobody can be asked about.
    Err(unreachable.unwrap_or_else(|| {
        let message = format!("there is no job, task, framework, role or agent called '{name}'");
        Failure::new(Code::NotFound, message)
            .next("tepui job ls, ps, frameworks, roles and agents list what there is")
    }))
}

/// Sentences below a heading, each indented; times in them say how far away they are.
fn indented<T: AsRef<str>>(heading: &str, sentences: &[T]) -> String {
    let now = when::now();
    let mut text = format!("{heading}\n");
    for sentence in sentences {
        let sentence = when::with_distances(sentence.as_ref(), now);
        text += &format!("  {}\n", output::plain(sentence));
    }
    text
}
