//! The master: the core, its registry's log, and the streams and requests of the shell.

use crate::network::{Conn, Direction, Peer};
use crate::oracle::Violation;
use crate::storage::Outbox;
use crate::world::{Event, Node, Packet, World};
use master_core::{
    Book, ConnectionId, Effect, Input, Master, Options, Registry, RegistryOp, RequestId,
};
use proto::MasterId;
use proto::agent_link::{AgentEvent, Command};
use proto::operator::{self, Response, State};
use proto::scheduler::{self, CallBody, MasterInfo};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Who waits for the answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    /// A gRPC stream: refusals go back on it.
    Stream(Conn),
    /// An HTTP request: nobody reads its answer.
    Http,
}

/// The master's host.
#[derive(Debug)]
pub(crate) struct MasterNode {
    options: Options,
    pub(crate) core: Option<Master>,
    pub(crate) outbox: Outbox<Registry, Effect>,
    pub(crate) incarnation: u64,
    /// Open streams, by the shell's account.
    streams: BTreeSet<Conn>,
    requests: BTreeMap<RequestId, Asker>,
    next_request: u64,
    pub(crate) crash_in: Option<u32>,
    /// It writes that it begins to lead, and does not lead yet.
    starting: Option<MasterId>,
    /// So many of its next starts do not end well.
    pub(crate) doomed: u32,
    /// Steps since its invariants were looked at.
    unchecked: u32,
    /// The copy that readers are served from.
    book: Book,
}

/// At most so many steps go by before the master's invariants are looked at.
const UNCHECKED: u32 = 16;

impl MasterNode {
    /// A master that is not started yet.
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            core: None,
            outbox: Outbox::default(),
            incarnation: 0,
            streams: BTreeSet::new(),
            requests: BTreeMap::new(),
            next_request: 0,
            crash_in: None,
            starting: None,
            doomed: 0,
            unchecked: 0,
            book: Book::new(0),
        }
    }

    fn request(&mut self, asker: Asker) -> RequestId {
        self.next_request += 1;
        let request = RequestId(self.next_request);
        self.requests.insert(request, asker);
        request
    }
}

impl World {
    /// Starts the master: it begins a new epoch with what its log says, and leads once that is
    /// durable.
    pub(crate) fn start_master(&mut self) {
        if self.master.core.is_some() || self.master.starting.is_some() {
            return;
        }
        self.clocks.start(Node::Master);
        let node = &mut self.master;
        node.incarnation += 1;
        let master_id = format!("m{}", node.incarnation);
        let master_id = MasterId::new(master_id).expect("a letter and a number are an id");
        self.trace.happened(self.now, "m", &"master starts");
        if node.outbox.durable().cluster_id().is_none() {
            node.outbox.persist(RegistryOp::FoundCluster { cluster_id: Arc::from("sim") });
        }
        let epoch = node.outbox.durable().epoch() + 1;
        node.outbox.persist(RegistryOp::BeginEpoch { epoch, master_id: master_id.clone() });
        node.starting = Some(master_id);
        self.pump_master();
        if self.master_is_doomed(2) {
            self.crash_and_start_master();
        }
    }

    /// Whether this start ends here, one time in so many.
    fn master_is_doomed(&mut self, one_in: u64) -> bool {
        let ends = self.master.doomed > 0 && self.random.below(one_in) == 0;
        self.master.doomed -= u32::from(ends);
        ends
    }

    fn crash_and_start_master(&mut self) {
        self.crash_master();
        let down = self.random.millis(1, 5000);
        self.schedule_in(down, Event::StartMaster);
    }

    /// A flush is done: the master begins to lead, if it waited for that.
    pub(crate) fn master_flushed(&mut self) {
        self.master.outbox.end_flush();
        self.pump_master();
        if !self.master.outbox.is_synced() {
            return;
        }
        let Some(id) = self.master.starting.take() else { return };
        let registry = self.master.outbox.durable().clone();
        self.oracle.master_started(&registry);
        if self.master_is_doomed(2) {
            self.master.starting = Some(id);
            self.crash_and_start_master();
            return;
        }
        let info = MasterInfo {
            id,
            hostname: Arc::from("master"),
            ip: 0,
            port: 5050,
            version: Arc::from("1.11.0"),
        };
        let now = self.clock(Node::Master);
        let node = &mut self.master;
        let core = Master::new(node.options.clone(), info, registry, now);
        node.book = Book::new(node.options.completed_tasks);
        core.snapshot().into_iter().for_each(|change| node.book.apply(change));
        node.core = Some(core);
        if self.master_is_doomed(1) {
            self.master.crash_in = Some(self.random.between(1, 8) as u32);
        }
        self.trace.happened(self.now, "m", &"master leads");
        self.step_master(Input::Tick);
    }

    /// Kills the master's process. Its streams break, or are left half open.
    pub(crate) fn crash_master(&mut self) {
        self.audit_sums();
        let node = &mut self.master;
        let (core, starting) = (node.core.take(), node.starting.take());
        if core.is_none() && starting.is_none() {
            return;
        }
        node.incarnation += 1;
        node.crash_in = None;
        node.streams.clear();
        node.requests.clear();
        node.outbox.crash(&mut self.random);
        self.trace.happened(self.now, "m", &"master is killed");
        self.clear_wake(Node::Master);
        for conn in self.network.open_connections() {
            self.abandon(conn, Direction::Down);
        }
    }

    /// Feeds the core and performs what may be performed.
    pub(crate) fn step_master(&mut self, input: Input) {
        let Some(effects) = self.step_master_core(input) else { return };
        let crashes = self.master.crash_in.as_mut().is_some_and(|left| {
            *left = left.saturating_sub(1);
            *left == 0
        });
        let kept = if crashes { self.random.index(effects.len() + 1) } else { effects.len() };
        for effect in effects.into_iter().take(kept) {
            match effect {
                Effect::Persist(op) => self.master.outbox.persist(op),
                effect => self.master.outbox.push(effect),
            }
        }
        self.pump_master();
        if crashes {
            self.crash_master();
            let down = self.random.millis(100, 5000);
            self.schedule_in(down, Event::StartMaster);
            return;
        }
        let deadline = self.master.core.as_ref().and_then(Master::deadline);
        self.arrange_wake(Node::Master, deadline);
    }

    fn step_master_core(&mut self, input: Input) -> Option<Vec<Effect>> {
        let core = self.master.core.as_mut()?;
        self.trace.input(self.now, "m", &input);
        self.oracle.master_will_step(&input);
        let mut effects = Vec::new();
        core.step(self.clocks.local(Node::Master, self.now), input, &mut effects);
        self.trace.effects(effects.iter().filter(|effect| !tells_all(effect)), show);
        self.oracle.master_stepped(&effects, core);
        // The walk over everything costs most of a run: what decided nothing waits for its turn, and
        // so do sums over all of it when nothing was made durable; audits and crashes look at them
        // too.
        self.master.unchecked += 1;
        let all = self.setup.thorough || self.master.unchecked >= UNCHECKED;
        let durable = effects.iter().any(|effect| matches!(effect, Effect::Persist(_)));
        let mut broken = match all || effects.iter().any(decides) {
            true => master_core::invariants::check_but_sums(core),
            false => Vec::new(),
        };
        if all || durable {
            self.master.unchecked = 0;
            broken.extend(master_core::invariants::check_sums(core));
        }
        self.first_of(broken);
        for effect in &effects {
            if let Effect::Publish(change) = effect {
                self.master.book.apply(change.clone());
            }
        }
        Some(effects)
    }

    /// Reckons anew what the master counts over the whole cluster.
    pub(crate) fn audit_sums(&mut self) {
        let core = self.master.core.as_ref();
        self.first_of(core.map(master_core::invariants::check_sums).unwrap_or_default());
    }

    fn first_of(&mut self, broken: Vec<master_core::invariants::Violation>) {
        if let Some(broken) = broken.into_iter().next() {
            self.violated(Violation { id: broken.id, what: format!("m: {}", broken.what) });
        }
    }

    /// Compares the copy that readers are served from with the master.
    pub(crate) fn audit_copy(&mut self) {
        let Some(core) = &self.master.core else { return };
        if self.master.options.publish_interval.is_none() {
            return;
        }
        if let Some(broken) = core.differences(&self.master.book).into_iter().next() {
            self.violated(Violation { id: broken.id, what: format!("m: {}", broken.what) });
        }
    }

    /// Performs what waits no longer, and flushes what is written.
    pub(crate) fn pump_master(&mut self) {
        while let Some(effect) = self.master.outbox.ready() {
            if let Some(core) = &self.master.core {
                self.oracle.master_says(&effect, core.registry());
            }
            self.perform_of_master(effect);
        }
        if self.master.outbox.begin_flush() {
            let incarnation = self.master.incarnation;
            self.flush_later(Node::Master, incarnation);
        }
    }

    fn perform_of_master(&mut self, effect: Effect) {
        match effect {
            Effect::ToFramework { connection, event } => {
                self.send(connection.0, Direction::Down, Packet::Event(event));
            }
            Effect::ToAgent { connection, epoch, event } => {
                let command = Command { epoch, event };
                self.send(connection.0, Direction::Down, Packet::AgentEvent(command));
            }
            Effect::CloseFramework { connection } | Effect::CloseAgent { connection } => {
                self.master.streams.remove(&connection.0);
                self.hang_up(connection.0, Direction::Down);
            }
            Effect::Accepted { request } => {
                self.master.requests.remove(&request);
            }
            Effect::Refused { request, call, refusal } => {
                if let Some(Asker::Stream(conn)) = self.master.requests.remove(&request) {
                    let (code, message) = (refusal.http_status(), refusal.to_string().into());
                    let event = scheduler::Event::Refused { call, code, message };
                    self.send(conn, Direction::Down, Packet::Event(event));
                }
            }
            Effect::Answer { request, .. } => {
                self.master.requests.remove(&request);
            }
            Effect::Publish(_) => {}
            Effect::Persist(_) => unreachable!("writes are taken out before they are queued"),
        }
    }

    /// Something arrived on a stream to the master.
    pub(crate) fn master_hears(&mut self, conn: Conn, peer: Peer, packet: Option<Packet>) {
        let connection = ConnectionId(conn);
        let input = match packet {
            Some(Packet::AgentCall(call)) => Input::AgentCall { connection, call },
            Some(Packet::Call(call)) => match call.body {
                CallBody::Subscribe(subscribe) => {
                    self.master.streams.insert(conn);
                    let framework_id = call.framework_id;
                    Input::Subscribe { connection, framework_id, call: subscribe, principal: None }
                }
                _ => {
                    let request = self.master.request(Asker::Stream(conn));
                    Input::Call { request, connection: Some(connection), call }
                }
            },
            Some(Packet::AgentEvent(_) | Packet::Event(_)) => return,
            None => {
                self.master.streams.remove(&conn);
                match peer {
                    Peer::Agent(_) => Input::AgentClosed { connection },
                    Peer::Framework(_) => Input::FrameworkClosed { connection },
                }
            }
        };
        self.step_master(input);
    }

    /// An HTTP request other than SUBSCRIBE arrived; `stream` is what its header names.
    pub(crate) fn master_gets(&mut self, stream: Option<Conn>, call: scheduler::Call) {
        if self.master.core.is_none() {
            return;
        }
        let request = self.master.request(Asker::Http);
        let known = stream.filter(|conn| self.master.streams.contains(conn));
        self.step_master(Input::Call { request, connection: known.map(ConnectionId), call });
    }

    /// The number of an operator's request, which waits for its answer.
    pub(crate) fn operator_request(&mut self) -> RequestId {
        self.master.request(Asker::Http)
    }

    /// What the master answers to GET_STATE now; nothing when no master leads.
    pub(crate) fn state_of_master(&mut self) -> Option<State> {
        let answers = self.asked_of_master(operator::Call::GetState);
        answers.into_iter().find_map(|response| match response {
            Response::State(state) => Some(*state),
            _ => None,
        })
    }

    /// What the master answers now to a call that changes nothing.
    pub(crate) fn asked_of_master(&mut self, call: operator::Call) -> Vec<Response> {
        if self.master.core.is_none() {
            return Vec::new();
        }
        let request = self.master.request(Asker::Http);
        let effects = self.step_master_core(Input::Operator { request, call });
        let mut answers = Vec::new();
        for effect in effects.into_iter().flatten() {
            match effect {
                Effect::Answer { response, .. } => answers.push(*response),
                Effect::Persist(op) => self.master.outbox.persist(op),
                effect => self.master.outbox.push(effect),
            }
        }
        self.pump_master();
        let deadline = self.master.core.as_ref().and_then(Master::deadline);
        self.arrange_wake(Node::Master, deadline);
        answers
    }
}

/// Whether an effect tells of a decision, and not only that time passes.
fn decides(effect: &Effect) -> bool {
    match effect {
        Effect::ToFramework { event, .. } => *event != scheduler::Event::Heartbeat,
        Effect::ToAgent { event, .. } => !matches!(event, AgentEvent::Ping { .. }),
        Effect::Persist(_)
        | Effect::CloseFramework { .. }
        | Effect::CloseAgent { .. }
        | Effect::Refused { .. } => true,
        _ => false,
    }
}

/// Whether an effect is the whole state as text, which follows from what is in the trace already:
/// audits compare with the books what it says of agents' resources, and all of it once all rests.
fn tells_all(effect: &Effect) -> bool {
    matches!(effect, Effect::Answer { response, .. } if matches!(**response, Response::State(_)))
}

/// An effect for people; the answers to operators say nothing new.
fn show(effect: &Effect) -> String {
    match effect {
        Effect::Answer { request, .. } => format!("{request} answered"),
        effect => master_core::testing::render(effect),
    }
}
