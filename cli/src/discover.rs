//! Finding servers from the one address that people give: the master's.

use crate::Server;
use crate::client::Client;
use crate::failure::{Code, Failure};
use crate::output;
use proto::operator::{AgentView, Call, FrameworkView, Response};
use proto::{AgentId, FrameworkId};

/// The name under which the jobs framework registers.
const JOBS: &str = "jobs";

/// A client of the master.
pub(crate) fn master(server: &Server) -> Client {
    Client::new("master", &server.master)
}

/// A client of the jobs framework, whose API's address the master knows.
pub(crate) async fn jobs(server: &Server) -> Result<Client, Failure> {
    jobs_if_any(server).await?.ok_or_else(|| {
        let message =
            format!("no jobs framework is registered with the master at {}", server.master);
        Failure::new(Code::Unavailable, message).next(
            "start one with 'tepui jobs serve --data DIR', or a whole cluster with 'tepui up'",
        )
    })
}

/// The same; none when no jobs framework is registered.
pub(crate) async fn jobs_if_any(server: &Server) -> Result<Option<Client>, Failure> {
    let Response::Frameworks(frameworks, _) = master(server).operator(&Call::GetFrameworks).await?
    else {
        return Err(Failure::other_answer());
    };
    let mut jobs: Vec<_> = frameworks.iter().filter(|f| &*f.info.name == JOBS).collect();
    // A framework that was left behind may still be listed beside the one that works.
    jobs.sort_by_key(|framework| !framework.connected);
    let address = jobs
        .first()
        .and_then(|framework| framework.info.webui_url.as_deref())
        .and_then(|url| url.strip_prefix("http://"))
        .map(|rest| rest.trim_end_matches('/').to_owned());
    Ok(address.map(|address| Client::new("jobs", address)))
}

/// All agents, sorted as people sort their ids.
pub(crate) async fn agents(master: &Client) -> Result<Vec<AgentView>, Failure> {
    let Response::Agents(mut agents) = master.operator(&Call::GetAgents).await? else {
        return Err(Failure::other_answer());
    };
    agents.sort_by_cached_key(|agent| output::natural(id(agent)));
    Ok(agents)
}

/// An agent's id as text.
pub(crate) fn id(agent: &AgentView) -> &str {
    agent.info.id.as_ref().map_or("", AgentId::as_str)
}

/// The agent that a person means: by its id, or by what its id ends with (`S3`).
pub(crate) async fn agent(master: &Client, name: &AgentId) -> Result<AgentView, Failure> {
    pick(agents(master).await?, name)
}

fn pick(mut agents: Vec<AgentView>, name: &AgentId) -> Result<AgentView, Failure> {
    if let Some(at) = agents.iter().position(|agent| agent.info.id.as_ref() == Some(name)) {
        return Ok(agents.swap_remove(at));
    }
    let ending = format!("-{name}");
    agents.retain(|agent| id(agent).ends_with(&ending));
    match agents.len() {
        0 => Err(unknown_agent(name)),
        1 => Ok(agents.swap_remove(0)),
        _ => {
            let ids: Vec<&str> = agents.iter().map(id).collect();
            let message = format!("the id of {} agents ends with {name}", ids.len());
            Err(Failure::new(Code::Usage, message)
                .next(format!("give the whole id: {}", ids.join(" or "))))
        }
    }
}

/// A framework's id as text.
pub(crate) fn framework_id(framework: &FrameworkView) -> &str {
    framework.info.id.as_ref().map_or("", FrameworkId::as_str)
}

/// The framework that a person means, by its id or its name; not one that is over.
pub(crate) async fn framework(master: &Client, name: &str) -> Result<FrameworkView, Failure> {
    let Response::Frameworks(mut frameworks, _) = master.operator(&Call::GetFrameworks).await?
    else {
        return Err(Failure::other_answer());
    };
    if let Some(at) = frameworks.iter().position(|framework| framework_id(framework) == name) {
        return Ok(frameworks.swap_remove(at));
    }
    frameworks.retain(|framework| &*framework.info.name == name);
    match frameworks.len() {
        0 => {
            let message = format!("no framework is called {name}, neither by id nor by name");
            Err(Failure::new(Code::NotFound, message)
                .next("tepui frameworks lists the ids of all frameworks"))
        }
        1 => Ok(frameworks.swap_remove(0)),
        _ => {
            let ids: Vec<&str> = frameworks.iter().map(framework_id).collect();
            let message = format!("{} frameworks are called {name}", ids.len());
            Err(Failure::new(Code::Usage, message)
                .next(format!("give an id: {}", ids.join(" or "))))
        }
    }
}

/// Nobody has that id.
pub(crate) fn unknown_agent(name: &AgentId) -> Failure {
    let message = format!("the master knows no agent {name}, or it is gone");
    Failure::new(Code::NotFound, message).next("tepui agents lists the ids of all agents")
}
