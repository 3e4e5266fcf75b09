//! The stream to the master: one task per attempt, which turns what comes into inputs.
//!
//! It never decides to reconnect: the core asks for each attempt. Messages of an attempt carry its
//! number, so that those of an old one are told apart.

use agent_core::Input;
use grpc::{AgentLinkClient, ClientOptions, Duplex};
use proto::agent_link::{AgentCall, AgentEvent};
use proto::{ClusterId, Limits};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// The addresses of the masters; one that does not answer is followed by the next.
#[derive(Clone, Debug)]
pub(crate) struct Masters {
    addresses: Arc<[String]>,
    next: Arc<AtomicUsize>,
}

impl Masters {
    pub(crate) fn new(addresses: &[String]) -> Self {
        Self { addresses: addresses.into(), next: Arc::default() }
    }

    /// Where the next attempt goes.
    pub(crate) fn current(&self) -> &str {
        let at = self.next.load(Ordering::Relaxed) % self.addresses.len().max(1);
        self.addresses.get(at).map_or("", String::as_str)
    }

    /// The current one did not serve.
    pub(crate) fn failed(&self) {
        self.next.fetch_add(1, Ordering::Relaxed);
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
    /// Begins an attempt. `LinkUp` or `LinkDown` follows in `inbox`.
    pub(crate) fn open(number: u64, masters: Masters, inbox: mpsc::Sender<Input>) -> Self {
        let (calls, waiting) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let reason = attempt(number, &masters, waiting, &inbox).await;
            masters.failed();
            // The server may have ended meanwhile.
            let _ = inbox.send(Input::LinkDown { link: number, reason: reason.into() }).await;
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

/// Carries both ways until the stream ends; says why it did.
async fn attempt(
    number: u64,
    masters: &Masters,
    mut calls: mpsc::UnboundedReceiver<AgentCall>,
    inbox: &mpsc::Sender<Input>,
) -> String {
    let address = masters.current().to_owned();
    let connected = AgentLinkClient::connect(&address, &options()).await;
    let Duplex { sender, mut incoming, cluster } = match connected {
        Ok(duplex) => duplex,
        Err(error) => return error.to_string(),
    };
    match cluster.map(ClusterId::new) {
        Some(Ok(cluster_id)) => {
            // Should the agent have ended, the next message tells.
            let _ = inbox.send(Input::Cluster { link: number, cluster_id }).await;
        }
        Some(Err(problem)) => {
            return format!("the master at {address} names no cluster: {problem}");
        }
        None => {}
    }
    if inbox.send(Input::LinkUp { link: number }).await.is_err() {
        return "the agent ends".to_owned();
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
                Ok(Some(event)) => {
                    if inbox.send(from_master(number, event)).await.is_err() {
                        return "the agent ends".to_owned();
                    }
                }
                Ok(None) => return format!("the master at {address} closed the stream"),
                Err(status) => {
                    return format!("the stream to {address} broke: {}", status.message());
                }
            }
        }
    };
    tokio::select! {
        reason = receive => reason,
        () = forward => format!("the master at {address} takes no more messages"),
    }
}

fn from_master(link: u64, event: AgentEvent) -> Input {
    Input::FromMaster { link, event }
}
