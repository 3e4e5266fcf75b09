//! What the master knows: the agents' totals, and why the framework gets no offers.
//!
//! For admission and explanation only; when no master answers, nothing is refused for it.

use crate::admission::Agent;
use grpc::{ClientOptions, OperatorClient};
use proto::FrameworkId;
use proto::operator::{Call, Response};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the agents' totals count as fresh.
const FRESH: Duration = Duration::from_secs(1);
/// How long the master may take for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

type Seen = Option<(Instant, Arc<[Agent]>)>;

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
        let Some(Response::Agents(views)) = self.call(Call::GetAgents).await else { return None };
        let agents: Arc<[Agent]> = Agent::all(&views).into();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some((Instant::now(), Arc::clone(&agents)));
        Some(agents)
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
        for master in &self.masters {
            let Ok(new) = OperatorClient::connect(master, &ClientOptions::default()).await else {
                continue;
            };
            match new.call(call.clone()).await {
                Ok(response) => {
                    *client = Some(new);
                    return Some(response);
                }
                Err(status) => {
                    tracing::debug!(%master, status = %status.message(), "the master refused");
                }
            }
        }
        None
    }
}
