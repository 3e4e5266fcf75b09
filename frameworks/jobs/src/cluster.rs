//! What the master knows: what agents have in all and have free, and why the framework gets no offers.
//!
//! For admission and explanation only; when no master answers, nothing is refused for it.

use crate::admission::Agent;
use driver::core::FreeAgent;
use grpc::{ClientOptions, OperatorClient};
use proto::FrameworkId;
use proto::operator::{AgentStanding, AgentView, Call, Response};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long what was seen of the agents counts as fresh.
const FRESH: Duration = Duration::from_secs(1);
/// How long the master may take for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

type Seen = Option<(Instant, Arc<[Agent]>)>;

/// The agents at one moment.
#[derive(Debug)]
pub(crate) struct Picture {
    pub(crate) agents: Arc<[Agent]>,
    /// Those of them that take something new.
    pub(crate) free: Arc<[FreeAgent]>,
}

/// What is free of an agent; `None` for one that takes nothing new.
fn free(view: AgentView, agent: &Agent) -> Option<FreeAgent> {
    let there = matches!(view.standing, AgentStanding::Active | AgentStanding::Suspect);
    let leaves = view.deactivated || view.drain.is_some() || view.unreachable.is_some();
    if leaves || !there {
        return None;
    }
    let mut free = view.info.resources.unreserved();
    // What tasks use is told together with what there is.
    free.subtract(&view.allocated.unreserved()).ok()?;
    Some(FreeAgent { name: agent.name.clone(), info: view.info, free })
}

/// The cluster as the master tells it.
#[derive(Debug)]
pub(crate) struct Cluster {
    masters: Vec<String>,
    client: tokio::sync::Mutex<Option<OperatorClient>>,
    seen: Mutex<Seen>,
}

impl Cluster {
    pub(crate) fn new(masters: Vec<String>) -> Self {
        Self { masters, client: tokio::sync::Mutex::default(), seen: Mutex::default() }
    }

    /// The masters' addresses, for sentences.
    pub(crate) fn masters(&self) -> String {
        self.masters.join(", ")
    }

    /// The agents as they were seen last, however long ago.
    pub(crate) fn agents_seen(&self) -> Option<Arc<[Agent]>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().map(|(_, agents)| Arc::clone(agents))
    }

    /// The agents, at most a second old; `None` when no master answers.
    pub(crate) async fn agents(&self) -> Option<Arc<[Agent]>> {
        let fresh = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.as_ref().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, a)| Arc::clone(a))
        };
        if fresh.is_some() {
            return fresh;
        }
        self.look().await.map(|picture| picture.agents)
    }

    /// The agents and what they have free, as they are now; `None` when no master answers. What was
    /// free a moment ago would be no answer to why something does not run.
    pub(crate) async fn look(&self) -> Option<Picture> {
        let Some(Response::Agents(views)) = self.call(Call::GetAgents).await else { return None };
        let agents: Arc<[Agent]> = Agent::all(&views).into();
        let named = views.into_iter().zip(agents.iter());
        let free = named.filter_map(|(view, agent)| free(view, agent)).collect();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some((Instant::now(), Arc::clone(&agents)));
        drop(seen);
        Some(Picture { agents, free })
    }

    /// The master's sentences on the framework's offers; `None` when no master answers.
    pub(crate) async fn explain(&self, framework: FrameworkId) -> Option<Vec<String>> {
        match self.call(Call::Explain(framework)).await {
            Some(Response::Explanation(sentences)) => {
                Some(sentences.iter().map(ToString::to_string).collect())
            }
            _ => None,
        }
    }

    async fn call(&self, call: Call) -> Option<Response> {
        tokio::time::timeout(PATIENCE, self.call_some_master(call)).await.ok().flatten()
    }

    async fn call_some_master(&self, call: Call) -> Option<Response> {
        let mut client = self.client.lock().await;
        if let Some(known) = &*client {
            match known.call(call.clone()).await {
                Ok(response) => return Some(response),
                Err(status) => tracing::debug!(status = %status.message(), "the master refused"),
            }
            *client = None;
        }
        match OperatorClient::at_leader(&self.masters, &ClientOptions::default(), &call).await {
            Ok((new, response)) => {
                *client = Some(new);
                Some(response)
            }
            Err(error) => {
                tracing::debug!("no master answers: {error}");
                None
            }
        }
    }
}
