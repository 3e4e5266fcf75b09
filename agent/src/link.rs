//! The stream to the master: one task per attempt, which turns what comes into inputs.
//!
//! It never decides to reconnect: the core asks for each attempt. Messages of an attempt carry its
//! number, so that those of an old one are told apart.

use crate::endpoints::Endpoints;
use agent_core::Input;
use grpc::{AgentLinkClient, ClientOptions, Duplex};
use proto::agent_link::{AgentCall, Command};
use proto::{ClusterId, Limits};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

/// The addresses of the masters; one that does not answer is followed by the next. A leader that
/// one of them named comes before all.
#[derive(Clone, Debug)]
pub(crate) struct Masters {
    addresses: Arc<[String]>,
    place: Arc<Mutex<Place>>,
    endpoints: Endpoints,
    learning: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Place {
    next: usize,
    leader: Option<String>,
}

impl Masters {
    /// What is learned of where they are goes to `endpoints`.
    pub(crate) fn new(addresses: &[String], endpoints: Endpoints) -> Self {
        let learning = Arc::new(Semaphore::new(1));
        Self { addresses: addresses.into(), place: Arc::default(), endpoints, learning }
    }

    /// Learns where all of the list are, beside what goes on; once at a time, as names may take long.
    fn learn_all(&self) {
        let Ok(turn) = Arc::clone(&self.learning).try_acquire_owned() else { return };
        let (all, endpoints) = (Arc::clone(&self.addresses), self.endpoints.clone());
        tokio::spawn(async move {
            for address in &*all {
                endpoints.learn(address).await;
            }
            drop(turn);
        });
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the next attempt goes.
    pub(crate) fn current(&self) -> String {
        let place = self.place();
        let listed = || self.addresses.get(place.next % self.addresses.len().max(1)).cloned();
        place.leader.clone().or_else(listed).unwrap_or_default()
    }

    /// The current one did not serve.
    pub(crate) fn failed(&self) {
        let mut place = self.place();
        if place.leader.take().is_none() {
            place.next = place.next.wrapping_add(1);
        }
    }

    /// The current one named the leader. Should that not serve, the next of the list is asked:
    /// this one may say the same again.
    fn redirected(&self, leader: String) {
        self.failed();
        self.place().leader = Some(leader);
    }
}

/// The current attempt, as the server holds it. Dropped, the stream ends.
#[derive(Debug)]
pub(crate) struct Stream {
    number: u64,
    /// Unbounded: the core has at most one update of a task under way.
    calls: mpsc::UnboundedSender<AgentCall>,
    task: AbortHandle,
}

impl Stream {
    /// Begins an attempt. `LinkUp`, `LinkDown` or `Redirected` follows in `inbox`.
    pub(crate) fn open(number: u64, masters: Masters, inbox: mpsc::Sender<Input>) -> Self {
        let (calls, waiting) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let End { reason, leader } = attempt(number, &masters, waiting, &inbox).await;
            let (link, reason) = (number, reason.into());
            let input = match leader {
                Some(leader) => {
                    masters.redirected(leader);
                    Input::Redirected { link, reason }
                }
                None => {
                    masters.failed();
                    Input::LinkDown { link, reason }
                }
            };
            // The server may have ended meanwhile.
            let _ = inbox.send(input).await;
        });
        Self { number, calls, task: task.abort_handle() }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Says something; lost without notice when the stream is broken, as the core expects.
    pub(crate) fn send(&self, call: AgentCall) {
        let _ = self.calls.send(call);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn options() -> ClientOptions {
    // Reconciliations and launches come for many tasks at once.
    let limits = Limits { body_bytes: 64 << 20, list_items: 1 << 20, ..Limits::DEFAULT };
    ClientOptions { limits, ..ClientOptions::default() }
}

/// Why a stream ended, and the leader that the master named.
struct End {
    reason: String,
    leader: Option<String>,
}

impl From<String> for End {
    fn from(reason: String) -> Self {
        Self { reason, leader: None }
    }
}

/// Carries both ways until the stream ends; says why it did.
async fn attempt(
    number: u64,
    masters: &Masters,
    mut calls: mpsc::UnboundedReceiver<AgentCall>,
    inbox: &mpsc::Sender<Input>,
) -> End {
    masters.learn_all();
    let address = masters.current();
    let options = options();
    let ((), connected) = tokio::join!(
        masters.endpoints.learn(&address),
        AgentLinkClient::connect(&address, &options)
    );
    let Duplex { sender, mut incoming, cluster } = match connected {
        Ok(duplex) => duplex,
        Err(error) => {
            let leader = error.leader().map(str::to_owned);
            return End { reason: error.to_string(), leader };
        }
    };
    match cluster.map(ClusterId::new) {
        Some(Ok(cluster_id)) => {
            // Should the agent have ended, the next message tells.
            let _ = inbox.send(Input::Cluster { link: number, cluster_id }).await;
        }
        Some(Err(problem)) => {
            return format!("the master at {address} names no cluster: {problem}").into();
        }
        None => {}
    }
    if inbox.send(Input::LinkUp { link: number }).await.is_err() {
        return "the agent ends".to_owned().into();
    }
    let forward = async {
        while let Some(call) = calls.recv().await {
            if sender.send(call).await.is_err() {
                break;
            }
        }
    };
    let receive = async {
        loop {
            match incoming.next().await {
                Ok(Some(command)) => {
                    if inbox.send(from_master(number, command)).await.is_err() {
                        return "the agent ends".to_owned().into();
                    }
                }
                Ok(None) => return format!("the master at {address} closed the stream").into(),
                Err(status) => {
                    let reason = format!("the stream to {address} broke: {}", status.message());
                    return End { reason, leader: grpc::leader(&status).map(str::to_owned) };
                }
            }
        }
    };
    tokio::select! {
        end = receive => end,
        () = forward => format!("the master at {address} takes no more messages").into(),
    }
}

fn from_master(link: u64, Command { epoch, event }: Command) -> Input {
    Input::FromMaster { link, epoch, event }
}
