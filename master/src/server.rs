//! The task that owns the core: inputs in, effects out, facts made durable in between.
//!
//! Inputs are taken in batches and stepped; the facts of a batch become durable in one commit
//! while the next batches are stepped; what stands behind a fact waits for its commit, and
//! everything after it too, so that order is kept. Other effects leave at once.

use crate::connections::{Message, Reply};
use crate::http::{HttpCounts, Totals};
use crate::listen::AgentServers;
use crate::metrics::{Gauges, render};
use crate::perform::Performer;
use crate::reads::{Counted, Feed};
use crate::registrar::{OpenRegistry, Registrar, RegistrarError};
use crate::standing::Standing;
use crate::{Config, MESOS_VERSION};
use clock::Clock;
use master_core::{Effect, Input, Master, RegistryOp};
use proto::MasterId;
use proto::scheduler::MasterInfo;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;

/// Inputs stepped before effects are performed and other things are looked at.
const BATCH: usize = 2_048;
/// Effects that may wait for the disk; beyond it no more inputs are taken.
const MAX_HELD: usize = 100_000;
/// As `MAX_HELD`: bytes of facts that are not durable yet.
const MAX_BACKLOG: usize = 64 << 20;

/// An effect that waits for the commit of this number.
struct Held {
    commit: u64,
    effect: Effect,
}

/// What others count, for metrics.
pub(crate) struct Elsewhere {
    pub(crate) http: Arc<HttpCounts>,
    pub(crate) reads: Counted,
    pub(crate) agents: Arc<AgentServers>,
    pub(crate) standing: Standing,
}

/// A core, and what stands around it, for one term.
pub(crate) struct Server {
    core: Master,
    clock: Clock,
    performer: Performer,
    registrar: Box<dyn Registrar>,
    /// Facts of the current batch, not proposed yet.
    facts: Vec<RegistryOp>,
    held: VecDeque<Held>,
    /// The newest proposal, and the newest one that is durable.
    proposed: u64,
    durable: u64,
    commits: mpsc::UnboundedSender<Result<u64, RegistrarError>>,
    committed: mpsc::UnboundedReceiver<Result<u64, RegistrarError>>,
    effects: Vec<Effect>,
    version: Arc<str>,
    elsewhere: Elsewhere,
}

impl Server {
    pub(crate) fn new(
        config: &Config,
        address: SocketAddr,
        opened: OpenRegistry,
        clock: Clock,
        mut feed: Feed,
        elsewhere: Elsewhere,
    ) -> Self {
        let info = master_info(config, address, opened.master_id);
        let core = Master::new(config.options.clone(), info, opened.registry, clock.now());
        feed.tell(core.snapshot());
        let performer = Performer::new(core.registry().epoch(), config.cut_off_grace, feed);
        let (commits, committed) = mpsc::unbounded_channel();
        Self {
            core,
            clock,
            performer,
            registrar: opened.registrar,
            facts: Vec::new(),
            held: VecDeque::new(),
            proposed: 0,
            durable: 0,
            commits,
            committed,
            effects: Vec::new(),
            version: config.options.version.clone(),
            elsewhere,
        }
    }

    /// Takes messages until nobody has any more to send.
    ///
    /// # Errors
    /// Facts do not become durable: nothing that this core knows counts any more.
    pub(crate) async fn serve(
        &mut self,
        mut messages: mpsc::Receiver<Message>,
    ) -> Result<(), RegistrarError> {
        let mut batch = Vec::with_capacity(BATCH);
        let sleep = tokio::time::sleep_until(tokio::time::Instant::now());
        tokio::pin!(sleep);
        loop {
            let deadline = self.core.deadline().map(|time| self.clock.instant(time));
            if let Some(deadline) = deadline
                && deadline != sleep.deadline()
            {
                sleep.as_mut().reset(deadline);
            }
            tokio::select! {
                biased;
                Some(result) = self.committed.recv() => self.release(result)?,
                taken = messages.recv_many(&mut batch, BATCH), if self.has_room() => {
                    if taken == 0 {
                        return Ok(());
                    }
                    gather(&mut messages, &mut batch).await;
                    if !self.registrar.surely_leads() {
                        // Should somebody else lead by now, nothing more is said here.
                        self.registrar.confirm().await;
                    }
                    for message in batch.drain(..) {
                        self.take(message);
                    }
                }
                () = &mut sleep, if deadline.is_some() && self.has_room() => {
                    // What is due again and again must not keep connections from being read.
                    tokio::task::yield_now().await;
                }
            }
            self.tick_if_due();
            self.settle();
        }
    }

    /// Whether more work may be taken on: a disk that is slow or hangs must not fill the memory.
    fn has_room(&self) -> bool {
        self.held.len() < MAX_HELD && self.registrar.backlog() < MAX_BACKLOG
    }

    /// Turns one message of a connection into a step of the core.
    fn take(&mut self, message: Message) {
        let input = match message {
            Message::OpenFramework { connection, outbox } => {
                self.performer.open_framework(connection, outbox);
                return;
            }
            Message::OpenAgent { connection, outbox } => {
                self.performer.open_agent(connection, outbox);
                return;
            }
            Message::Subscribe { connection, framework_id, call } => {
                Input::Subscribe { connection, framework_id, call, principal: None }
            }
            Message::Call { connection, call, reply } => {
                let request = self.performer.expect(reply);
                Input::Call { request, connection, call }
            }
            Message::FrameworkUnreadable { connection, problem } => {
                self.performer.tell_unreadable_framework(connection, problem);
                self.performer.close_framework(connection);
                Input::FrameworkClosed { connection }
            }
            Message::AgentUnreadable { connection, problem } => {
                self.performer.tell_unreadable_agent(connection, problem);
                return;
            }
            Message::FrameworkClosed(connection) => {
                self.performer.close_framework(connection);
                Input::FrameworkClosed { connection }
            }
            Message::Agent { connection, call } => Input::AgentCall { connection, call },
            Message::AgentClosed(connection) => {
                self.performer.close_agent(connection);
                Input::AgentClosed { connection }
            }
            Message::Operator { call, reply } => {
                let request = self.performer.expect(Reply::Http(reply));
                Input::Operator { request, call }
            }
            Message::Scrape(reply) => {
                // The one who asked may have left.
                let _ = reply.send(self.metrics());
                return;
            }
            Message::Totals(reply) => {
                let (counters, now) = (*self.core.counters(), self.clock.now());
                let _ = reply.send(Totals { counters, now });
                return;
            }
        };
        self.step(input);
    }

    fn step(&mut self, input: Input) {
        let name = input_name(&input);
        let (begin, before) = (Instant::now(), self.effects.len());
        self.core.step(self.clock.now(), input, &mut self.effects);
        let elapsed = begin.elapsed();
        self.performer.counts.steps.observe(elapsed);
        tracing::trace!(input = name, effects = self.effects.len() - before, ?elapsed, "step");
    }

    /// While nothing is read no time passes either: agents would be given up because their answers
    /// wait with everything else, and offers be taken back for which somebody has asked.
    fn tick_if_due(&mut self) {
        let now = self.clock.now();
        if self.has_room() && self.core.deadline().is_some_and(|deadline| deadline <= now) {
            let begin = Instant::now();
            self.core.step(now, Input::Tick, &mut self.effects);
            self.performer.counts.ticks.observe(begin.elapsed());
        }
    }

    /// Performs what was stepped, and tells the core of streams that turned out to be broken.
    fn settle(&mut self) {
        loop {
            let mut effects = std::mem::take(&mut self.effects);
            for effect in effects.drain(..) {
                self.perform_in_order(effect);
            }
            // The buffer is kept for the next batch.
            self.effects = effects;
            if self.performer.broken.is_empty() {
                break;
            }
            for input in std::mem::take(&mut self.performer.broken) {
                self.step(input);
            }
        }
        self.performer.flush();
        self.propose();
        self.renew_copy();
    }

    /// Tells the copy for reads everything, once it fell behind, caught up with what it had, and
    /// nothing is true here that is not durable.
    fn renew_copy(&mut self) {
        let is_durable = self.durable == self.proposed && self.facts.is_empty();
        if self.performer.copy_wants_anew() && is_durable && self.held.is_empty() {
            self.performer.tell_copy_anew(self.core.snapshot());
        }
    }

    fn perform_in_order(&mut self, effect: Effect) {
        if let Effect::Persist(fact) = effect {
            self.facts.push(fact);
            return;
        }
        // What is not proposed yet will have the next number.
        let commit = self.proposed + u64::from(!self.facts.is_empty());
        if commit == self.durable {
            self.performer.perform(effect);
        } else {
            self.held.push_back(Held { commit, effect });
        }
    }

    fn propose(&mut self) {
        if self.facts.is_empty() {
            return;
        }
        self.proposed += 1;
        self.performer.counts.facts += self.facts.len() as u64;
        self.performer.counts.commits += 1;
        let (commit, commits) = (self.proposed, self.commits.clone());
        let done = move |result: Result<(), RegistrarError>| {
            // Nobody listens any more when the server ends.
            let _ = commits.send(result.map(|()| commit));
        };
        self.registrar.propose(std::mem::take(&mut self.facts), Box::new(done));
    }

    /// Lets go of what waited behind a commit.
    fn release(&mut self, result: Result<u64, RegistrarError>) -> Result<(), RegistrarError> {
        self.durable = result?;
        while self.held.front().is_some_and(|held| held.commit <= self.durable) {
            if let Some(held) = self.held.pop_front() {
                self.performer.perform(held.effect);
            }
        }
        self.performer.flush();
        Ok(())
    }

    fn metrics(&self) -> String {
        let (framework_streams, agent_streams) = self.performer.streams();
        let gauges = Gauges {
            framework_streams,
            agent_streams,
            held_effects: self.held.len(),
            agent_connections: self.elsewhere.agents.read(),
            reads: &self.elsewhere.reads,
            standing: &self.elsewhere.standing.status(),
            started: self.clock.started(),
            version: &self.version,
        };
        render(&self.core, &self.performer.counts, &self.elsewhere.http, &gauges)
    }
}

/// More messages for a batch that has several: when many come, all that are under way are stepped
/// together, so that one pass allocates what all of them gave back, and their answers leave
/// together. One message alone never waits.
async fn gather(messages: &mut mpsc::Receiver<Message>, batch: &mut Vec<Message>) {
    let mut before = 1;
    while (before + 1..BATCH).contains(&batch.len()) {
        before = batch.len();
        // Others read what has come; they do not wait for anything.
        tokio::task::yield_now().await;
        while batch.len() < BATCH
            && let Ok(message) = messages.try_recv()
        {
            batch.push(message);
        }
    }
}

/// What a master says of itself to frameworks and operators.
pub(crate) fn master_info(config: &Config, address: SocketAddr, id: MasterId) -> MasterInfo {
    MasterInfo {
        id,
        hostname: config.hostname.clone(),
        // As Mesos has it: the four bytes as they stand in memory.
        ip: match address.ip() {
            IpAddr::V4(ip) => u32::from_le_bytes(ip.octets()),
            IpAddr::V6(_) => 0,
        },
        port: address.port(),
        version: Arc::from(MESOS_VERSION),
    }
}

/// For the log: constant, so that it costs nothing while nobody listens.
fn input_name(input: &Input) -> &'static str {
    match input {
        Input::Tick => "tick",
        Input::Subscribe { .. } => "subscribe",
        Input::Call { .. } => "call",
        Input::FrameworkClosed { .. } => "framework closed",
        Input::AgentCall { .. } => "agent call",
        Input::AgentClosed { .. } => "agent closed",
        Input::Operator { .. } => "operator call",
        Input::Order { .. } => "order",
        Input::SetQuota { .. } => "set quota",
        Input::SetWeight { .. } => "set weight",
    }
}

#[cfg(test)]
mod tests;
