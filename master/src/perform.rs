//! Performs the core's effects: one match, no decisions. Barriers are the server's.

use crate::connections::{Outbox, Outcome, Reply, Sent};
use crate::metrics::Counts;
use crate::reads::Feed;
use master_core::{Change, ConnectionId, Effect, Input, RequestId};
use proto::agent_link::{AgentEvent, Command};
use proto::scheduler::Event;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What a framework that does not read is told, should it read again.
const TOO_SLOW: &str = "this stream was read too slowly and is closed: subscribe again";
/// What an agent is.
const TOO_SLOW_AGENT: &str = "this stream was read too slowly and is closed: connect again";

/// Streams and requests that effects go to.
pub(crate) struct Performer {
    frameworks: HashMap<ConnectionId, Outbox<Event>>,
    agents: HashMap<ConnectionId, Outbox<Command>>,
    replies: HashMap<RequestId, Reply>,
    next_request: u64,
    /// The epoch in which this master leads.
    epoch: u64,
    /// Streams that were found broken: the core must hear of them.
    pub(crate) broken: Vec<Input>,
    pub(crate) counts: Counts,
    cut_off_grace: Duration,
    feed: Feed,
    /// Changes that the copy for reads has not been told of.
    published: Vec<Change>,
    /// Answers that wait until it has: who reads after an answer sees what it did.
    answers: Vec<(oneshot::Sender<Outcome>, Outcome)>,
}

impl Performer {
    /// Of a master that leads in this epoch.
    pub(crate) fn new(epoch: u64, cut_off_grace: Duration, feed: Feed) -> Self {
        Self {
            frameworks: HashMap::new(),
            agents: HashMap::new(),
            replies: HashMap::new(),
            next_request: 0,
            epoch,
            broken: Vec::new(),
            counts: Counts::default(),
            cut_off_grace,
            feed,
            published: Vec::new(),
            answers: Vec::new(),
        }
    }

    pub(crate) fn open_framework(&mut self, connection: ConnectionId, outbox: Outbox<Event>) {
        if !outbox.is_gone() {
            self.frameworks.insert(connection, outbox);
        }
    }

    pub(crate) fn open_agent(&mut self, connection: ConnectionId, outbox: Outbox<Command>) {
        if !outbox.is_gone() {
            self.agents.insert(connection, outbox);
        }
    }

    pub(crate) fn close_framework(&mut self, connection: ConnectionId) {
        self.frameworks.remove(&connection);
    }

    pub(crate) fn close_agent(&mut self, connection: ConnectionId) {
        self.agents.remove(&connection);
    }

    /// Streams to frameworks and to agents.
    pub(crate) fn streams(&self) -> (usize, usize) {
        (self.frameworks.len(), self.agents.len())
    }

    /// Remembers who waits for an answer.
    pub(crate) fn expect(&mut self, reply: Reply) -> RequestId {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.replies.insert(request, reply);
        request
    }

    /// Performs one effect that stands behind no barrier any more.
    pub(crate) fn perform(&mut self, effect: Effect) {
        match effect {
            // The server made it durable before it came here.
            Effect::Persist(_) => {}
            Effect::ToFramework { connection, event } => self.tell_framework(connection, event),
            Effect::CloseFramework { connection } => self.close_framework(connection),
            Effect::ToAgent { connection, epoch, event } => {
                self.tell_agent(connection, Command { epoch, event });
            }
            Effect::CloseAgent { connection } => self.close_agent(connection),
            Effect::Accepted { request } => self.answer(request, Outcome::Accepted),
            Effect::Refused { request, call, refusal } => {
                let code = refusal.http_status();
                self.counts.refused(code);
                self.refuse(request, &call, code, refusal.to_string());
            }
            Effect::Answer { request, response } => {
                self.answer(request, Outcome::Answer(response));
            }
            Effect::Publish(change) => self.published.push(change),
        }
    }

    /// Whether the copy for reads is to be told everything.
    pub(crate) fn copy_wants_anew(&self) -> bool {
        self.feed.wants_anew()
    }

    /// Tells the copy for reads everything.
    pub(crate) fn tell_copy_anew(&mut self, all: Vec<Change>) {
        self.published.clear();
        self.feed.tell_anew(all);
    }

    /// After what was performed together: tells the copy for reads, and then answers.
    pub(crate) fn flush(&mut self) {
        if !self.published.is_empty() {
            self.feed.tell(std::mem::take(&mut self.published));
        }
        for (waiting, outcome) in self.answers.drain(..) {
            // The one who waited may have left.
            let _ = waiting.send(outcome);
        }
    }

    /// Says why the stream ends.
    pub(crate) fn tell_unreadable_framework(&mut self, connection: ConnectionId, problem: String) {
        self.tell_framework(connection, Event::Error(Arc::from(problem)));
    }

    /// Says why the stream ends; its reader closes it right after.
    pub(crate) fn tell_unreadable_agent(&mut self, connection: ConnectionId, problem: String) {
        let event = AgentEvent::Refused { message: Arc::from(problem), gone: false };
        self.tell_agent(connection, Command { epoch: self.epoch, event });
    }

    fn tell_framework(&mut self, connection: ConnectionId, event: Event) {
        let Some(outbox) = self.frameworks.get_mut(&connection) else { return };
        self.counts.event(&event);
        match outbox.send(event) {
            Sent::Waiting => return,
            Sent::Gone => self.close_framework(connection),
            Sent::Full => {
                self.counts.slow_readers += 1;
                tracing::warn!(%connection, "framework reads too slowly: cut off");
                if let Some(outbox) = self.frameworks.remove(&connection) {
                    outbox.cut_off(Some(Event::Error(Arc::from(TOO_SLOW))), self.cut_off_grace);
                }
            }
        }
        self.broken.push(Input::FrameworkClosed { connection });
    }

    fn tell_agent(&mut self, connection: ConnectionId, command: Command) {
        let Some(outbox) = self.agents.get_mut(&connection) else { return };
        self.counts.agent_events += 1;
        match outbox.send(command) {
            Sent::Waiting => return,
            Sent::Gone => self.close_agent(connection),
            Sent::Full => {
                self.counts.slow_readers += 1;
                tracing::warn!(%connection, "agent reads too slowly: cut off");
                if let Some(outbox) = self.agents.remove(&connection) {
                    let message = Arc::from(TOO_SLOW_AGENT);
                    let event = AgentEvent::Refused { message, gone: false };
                    let last_word = Command { epoch: self.epoch, event };
                    outbox.cut_off(Some(last_word), self.cut_off_grace);
                }
            }
        }
        self.broken.push(Input::AgentClosed { connection });
    }

    fn answer(&mut self, request: RequestId, outcome: Outcome) {
        match self.replies.remove(&request) {
            Some(Reply::Http(waiting)) => self.answers.push((waiting, outcome)),
            Some(Reply::Stream(_)) | None => {}
        }
    }

    fn refuse(&mut self, request: RequestId, call: &Arc<str>, code: u16, message: String) {
        match self.replies.remove(&request) {
            Some(Reply::Http(waiting)) => {
                self.answers.push((waiting, Outcome::Refused { code, message }));
            }
            Some(Reply::Stream(connection)) => {
                let message = Arc::from(message);
                self.tell_framework(
                    connection,
                    Event::Refused { call: call.clone(), code, message },
                );
            }
            None => {}
        }
    }
}
