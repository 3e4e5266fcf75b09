//! An operator's client that goes to the master that leads. It asks once: a call whose answer did
//! not come may have been done, and who records it has to know.

use grpc::{ClientOptions, OperatorClient};
use proto::operator::{AgentStanding, AgentView, Call, MasterView, Response, TaskView};
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// One client.
pub(crate) struct Operator {
    masters: Vec<String>,
    at: String,
    next: usize,
    client: Option<OperatorClient>,
}

impl Operator {
    pub(crate) fn new(masters: Vec<String>) -> Self {
        let at = masters[0].clone();
        Self { masters, at, next: 1, client: None }
    }

    /// One that begins with another of them.
    pub(crate) fn beginning_at(masters: Vec<String>, at: usize) -> Self {
        let first = masters[at % masters.len()].clone();
        Self { masters, at: first, next: at + 1, client: None }
    }

    /// Asks the one that led last. When it no longer does, or does not answer, the next call goes
    /// elsewhere.
    pub(crate) async fn call(&mut self, call: Call) -> Result<Response, String> {
        let asked = tokio::time::timeout(PATIENCE, self.ask(call)).await;
        match asked.unwrap_or_else(|_| Err((None, "no answer in time".to_owned()))) {
            Ok(response) => Ok(response),
            Err((leader, why)) => {
                self.client = None;
                self.at = leader.unwrap_or_else(|| {
                    self.next += 1;
                    self.masters[self.next % self.masters.len()].clone()
                });
                Err(why)
            }
        }
    }

    async fn ask(&mut self, call: Call) -> Result<Response, (Option<String>, String)> {
        if self.client.is_none() {
            let options = ClientOptions {
                connect_timeout: Duration::from_secs(1),
                ..ClientOptions::default()
            };
            let made = OperatorClient::connect(&self.at, &options).await;
            self.client = Some(made.map_err(|error| (None, error.to_string()))?);
        }
        let client = self.client.as_ref().expect("it was just made");
        client.call(call).await.map_err(|status| {
            (grpc::leader(&status).map(str::to_owned), status.message().to_owned())
        })
    }

    /// Asks until somebody answers, a few times: for questions only.
    async fn answer(&mut self, call: Call) -> Option<Response> {
        for _ in 0..4 {
            if let Ok(response) = self.call(call.clone()).await {
                return Some(response);
            }
        }
        None
    }

    /// The masters, as the one that leads knows them.
    pub(crate) async fn masters(&mut self) -> Vec<MasterView> {
        match self.answer(Call::GetMasters).await {
            Some(Response::Masters(all)) => all.masters,
            _ => Vec::new(),
        }
    }

    /// How many masters vote.
    pub(crate) async fn voting(&mut self) -> usize {
        self.masters().await.iter().filter(|master| master.voting).count()
    }

    /// How many masters vote and are heard of.
    pub(crate) async fn alive(&mut self) -> usize {
        self.masters().await.iter().filter(|master| master.voting && master.alive).count()
    }

    /// What the leader knows of the agents.
    pub(crate) async fn agents(&mut self) -> Vec<AgentView> {
        match self.answer(Call::GetAgents).await {
            Some(Response::Agents(all)) => all,
            _ => Vec::new(),
        }
    }

    /// The tasks that the leader knows to live, if it answers.
    pub(crate) async fn live_tasks(&mut self) -> Option<Vec<TaskView>> {
        match self.answer(Call::GetTasks).await {
            Some(Response::Tasks(all)) => Some(all.tasks),
            _ => None,
        }
    }

    /// Who is asked now: the leader, after an answer.
    pub(crate) fn at(&self) -> &str {
        &self.at
    }

    /// How many frameworks are connected.
    pub(crate) async fn connected_frameworks(&mut self) -> usize {
        match self.answer(Call::GetFrameworks).await {
            Some(Response::Frameworks(all, _)) => all.iter().filter(|one| one.connected).count(),
            _ => 0,
        }
    }

    pub(crate) async fn active_agents(&mut self) -> usize {
        let agents = self.agents().await;
        agents.iter().filter(|agent| agent.standing == AgentStanding::Active).count()
    }
}
