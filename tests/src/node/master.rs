//! A master: the core while it leads, what it says, and what that waits for.

use crate::group::Masters;
use crate::network::{Conn, Direction};
use crate::oracle::Violation;
use crate::storage::Outbox;
use crate::world::{Event, Node, Packet, World};
use master_core::{Book, Effect, Input, Master, Options, Registry, RequestId};
use proto::MasterId;
use proto::agent_link::{AgentEvent, Command};
use proto::operator::Response;
use proto::scheduler;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Who waits for the answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// A gRPC stream: refusals go back on it.
    Stream(Conn),
    /// An HTTP request: nobody reads its answer.
    Http,
}

/// How far a master is with taking the lead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Start {
    #[default]
    Not,
    /// It asks whether all that it knows is new, by this read.
    Reading(u64),
    /// It writes that it begins to lead, by this proposal if it is not alone.
    Beginning(MasterId, u64),
}

/// A master's host.
#[derive(Debug)]
pub(crate) struct MasterNode {
    pub(crate) name: String,
    pub(super) options: Options,
    pub(crate) core: Option<Master>,
    pub(crate) outbox: Outbox<Registry, Effect>,
    pub(crate) incarnation: u64,
    /// Open streams, by the shell's account.
    pub(super) streams: BTreeSet<Conn>,
    pub(super) requests: BTreeMap<RequestId, Asker>,
    pub(super) next_request: u64,
    pub(crate) crash_in: Option<u32>,
    pub(super) start: Start,
    /// So many of its next starts do not end well.
    pub(crate) doomed: u32,
    /// Steps since its invariants were looked at.
    unchecked: u32,
    /// The copy that readers are served from.
    pub(super) book: Book,
    /// Whether the process runs.
    pub(crate) up: bool,
    /// What came while the process was stopped.
    pub(crate) held: Vec<Event>,
    /// How often it led or tried to.
    pub(super) reigns: u64,
    /// Facts that are put to the vote, with the writes up to which each of them reaches.
    pub(super) proposals: VecDeque<(u64, u64)>,
    /// Answers that wait until it is known that they are not old, with the newest epoch that there
    /// was when they were asked for.
    pub(crate) questions: BTreeMap<u64, u64>,
}

/// At most so many steps go by before the master's invariants are looked at.
const UNCHECKED: u32 = 16;

impl MasterNode {
    /// A master that is not started yet.
    pub(crate) fn new(host: usize, masters: Masters, options: Options) -> Self {
        let name = match masters.count() {
            1 => "m".to_owned(),
            _ => format!("m{host}"),
        };
        Self {
            name,
            options,
            core: None,
            outbox: Outbox::default(),
            incarnation: 0,
            streams: BTreeSet::new(),
            requests: BTreeMap::new(),
            // No two masters have the same.
            next_request: (host as u64) << 48,
            crash_in: None,
            start: Start::Not,
            doomed: 0,
            unchecked: 0,
            book: Book::new(0),
            up: false,
            held: Vec::new(),
            reigns: 0,
            proposals: VecDeque::new(),
            questions: BTreeMap::new(),
        }
    }

    pub(super) fn request(&mut self, asker: Asker) -> RequestId {
        self.next_request += 1;
        let request = RequestId(self.next_request);
        self.requests.insert(request, asker);
        request
    }

    /// The epoch in which it leads.
    pub(crate) fn epoch(&self) -> Option<u64> {
        self.core.as_ref().map(|core| core.registry().epoch())
    }
}

impl World {
    /// Feeds the core and performs what may be performed.
    pub(crate) fn step_master(&mut self, host: usize, input: Input) {
        let Some(effects) = self.step_master_core(host, input) else { return };
        let crashes = self.masters[host].crash_in.as_mut().is_some_and(|left| {
            *left = left.saturating_sub(1);
            *left == 0
        });
        let kept = if crashes { self.random.index(effects.len() + 1) } else { effects.len() };
        for effect in effects.into_iter().take(kept) {
            match effect {
                Effect::Persist(op) => self.masters[host].outbox.persist(op),
                effect => self.masters[host].outbox.push(effect),
            }
        }
        self.pump_master(host);
        if crashes {
            self.crash_master(host);
            let down = self.random.millis(100, 5000);
            self.schedule_in(down, Event::StartMaster(host));
            return;
        }
        let deadline = self.masters[host].core.as_ref().and_then(Master::deadline);
        self.arrange_wake(Node::Master(host), deadline);
    }

    pub(super) fn step_master_core(&mut self, host: usize, input: Input) -> Option<Vec<Effect>> {
        let node = &mut self.masters[host];
        let core = node.core.as_mut()?;
        self.trace.input(self.now, &node.name, &input);
        self.oracle.master_will_step(core.registry().epoch(), &input);
        let mut effects = Vec::new();
        core.step(self.clocks.local(Node::Master(host), self.now), input, &mut effects);
        self.trace.effects(effects.iter().filter(|effect| !tells_all(effect)), show);
        self.oracle.master_stepped(&effects, core);
        // The walk over everything costs most of a run: what decided nothing waits for its turn, and
        // so do sums over all of it when nothing was made durable; audits and crashes look at them
        // too.
        node.unchecked += 1;
        let all = self.setup.thorough || node.unchecked >= UNCHECKED;
        let durable = effects.iter().any(|effect| matches!(effect, Effect::Persist(_)));
        let mut broken = match all || effects.iter().any(decides) {
            true => master_core::invariants::check_but_sums(core),
            false => Vec::new(),
        };
        if all || durable {
            node.unchecked = 0;
            broken.extend(master_core::invariants::check_sums(core));
        }
        self.first_of(host, broken);
        for effect in &effects {
            if let Effect::Publish(change) = effect {
                self.masters[host].book.apply(change.clone());
            }
        }
        Some(effects)
    }

    /// Reckons anew what a master counts over the whole cluster.
    pub(crate) fn audit_sums(&mut self, host: usize) {
        let core = self.masters[host].core.as_ref();
        let broken = core.map(master_core::invariants::check_sums).unwrap_or_default();
        self.first_of(host, broken);
    }

    fn first_of(&mut self, host: usize, broken: Vec<master_core::invariants::Violation>) {
        if let Some(broken) = broken.into_iter().next() {
            let what = format!("{}: {}", self.masters[host].name, broken.what);
            self.violated(Violation { id: broken.id, what });
        }
    }

    /// Compares the copy that readers are served from with the master.
    pub(crate) fn audit_copy(&mut self, host: usize) {
        let node = &self.masters[host];
        let Some(core) = &node.core else { return };
        if node.options.publish_interval.is_none() {
            return;
        }
        if let Some(broken) = core.differences(&node.book).into_iter().next() {
            let what = format!("{}: {}", node.name, broken.what);
            self.violated(Violation { id: broken.id, what });
        }
    }

    /// Performs what waits no longer, and sees to it that what is written becomes durable.
    pub(crate) fn pump_master(&mut self, host: usize) {
        while let Some(effect) = self.masters[host].outbox.ready() {
            if let Some(core) = &self.masters[host].core {
                self.oracle.master_says(&effect, core.registry());
            }
            self.perform_of_master(host, effect);
        }
        let node = &mut self.masters[host];
        if self.group.is_some() {
            if let Some((upto, ops)) = node.outbox.take_written() {
                let id = self.propose(host, ops);
                self.masters[host].proposals.push_back((id, upto));
                self.listen();
            }
        } else if node.outbox.begin_flush() {
            let incarnation = node.incarnation;
            self.flush_later(Node::Master(host), incarnation);
        }
    }

    fn perform_of_master(&mut self, host: usize, effect: Effect) {
        match effect {
            Effect::ToFramework { connection, event } => {
                self.send(connection.0, Direction::Down, Packet::Event(event));
            }
            Effect::ToAgent { connection, epoch, event } => {
                let command = Command { epoch, event };
                self.send(connection.0, Direction::Down, Packet::AgentEvent(command));
            }
            Effect::CloseFramework { connection } | Effect::CloseAgent { connection } => {
                self.masters[host].streams.remove(&connection.0);
                self.hang_up(connection.0, Direction::Down);
            }
            Effect::Accepted { request } => {
                self.masters[host].requests.remove(&request);
            }
            Effect::Refused { request, call, refusal } => {
                let asker = self.masters[host].requests.remove(&request);
                if let Some(Asker::Stream(conn)) = asker {
                    let (code, message) = (refusal.http_status(), refusal.to_string().into());
                    let event = scheduler::Event::Refused { call, code, message };
                    self.send(conn, Direction::Down, Packet::Event(event));
                }
            }
            Effect::Answer { request, .. } => {
                self.masters[host].requests.remove(&request);
            }
            Effect::Publish(_) => {}
            Effect::Persist(_) => unreachable!("writes are taken out before they are queued"),
        }
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
