//! How a master comes to lead and how it ends: alone, once its own log says so; with others, once
//! they agree.
//!
//! With others it goes as in the shell: elected, it asks for all that was agreed upon, puts to the
//! vote that it begins an epoch, and makes its core once that is agreed upon. When it does not lead
//! any more, or something that it proposed is not agreed upon, the core and all that waited is
//! dropped, and its streams end with the leader's name, if it is known.

use crate::faults::Point;
use crate::group::Word;
use crate::network::Direction;
use crate::node::master::Start;
use crate::world::{Event, Node, Packet, Plant, World};
use master_core::{Book, Input, Master, Registry, RegistryOp};
use proto::MasterId;
use proto::scheduler::MasterInfo;
use std::sync::Arc;
use std::time::Duration;

/// What a master writes before it leads.
fn beginning(registry: &Registry, master_id: &MasterId) -> Vec<RegistryOp> {
    let founds = RegistryOp::FoundCluster { cluster_id: Arc::from("sim") };
    let (epoch, master_id) = (registry.epoch() + 1, master_id.clone());
    let found = registry.cluster_id().is_none().then_some(founds);
    found.into_iter().chain([RegistryOp::BeginEpoch { epoch, master_id }]).collect()
}

impl World {
    /// Starts a master's process.
    pub(crate) fn start_master(&mut self, host: usize) {
        if self.masters[host].up {
            return;
        }
        self.clocks.start(Node::Master(host));
        let node = &mut self.masters[host];
        node.up = true;
        node.incarnation += 1;
        self.trace.happened(self.now, &node.name, &"master starts");
        if let Some(group) = &mut self.group {
            group.start(self.now, host);
            self.listen();
            return;
        }
        let master_id = format!("m{}", node.incarnation);
        let master_id = MasterId::new(master_id).expect("a letter and a number are an id");
        for op in beginning(node.outbox.durable(), &master_id) {
            node.outbox.persist(op);
        }
        node.start = Start::Beginning(master_id, 0);
        self.pump_master(host);
        if self.master_is_doomed(host, 2) {
            self.crash_and_start_master(host);
        }
    }

    /// Whether this start ends here, one time in so many.
    fn master_is_doomed(&mut self, host: usize, one_in: u64) -> bool {
        let ends = self.masters[host].doomed > 0 && self.random.below(one_in) == 0;
        self.masters[host].doomed -= u32::from(ends);
        ends
    }

    fn crash_and_start_master(&mut self, host: usize) {
        self.crash_master(host);
        let down = self.random.millis(1, 5000);
        self.schedule_in(down, Event::StartMaster(host));
    }

    /// A flush of a master that is alone is done: it begins to lead, if it waited for that.
    pub(crate) fn master_flushed(&mut self, host: usize) {
        self.masters[host].outbox.end_flush();
        self.pump_master(host);
        let node = &mut self.masters[host];
        if !node.outbox.is_synced() {
            return;
        }
        let Start::Beginning(id, _) = std::mem::take(&mut node.start) else { return };
        let registry = node.outbox.durable().clone();
        self.lead(host, id, registry);
    }

    /// The core is made of the registry, whose epoch is this master's.
    fn lead(&mut self, host: usize, id: MasterId, registry: Registry) {
        self.oracle.master_started(&registry);
        if self.master_is_doomed(host, 2) {
            self.crash_and_start_master(host);
            return;
        }
        let (hostname, port) = (Arc::from("master"), 5050);
        let info = MasterInfo { id, hostname, ip: 0, port, version: Arc::from("1.11.0") };
        let now = self.clock(Node::Master(host));
        let node = &mut self.masters[host];
        let core = Master::new(node.options.clone(), info, registry, now);
        node.book = Book::new(node.options.completed_tasks);
        core.snapshot().into_iter().for_each(|change| node.book.apply(change));
        node.core = Some(core);
        if self.master_is_doomed(host, 1) {
            self.masters[host].crash_in = Some(self.random.between(1, 8) as u32);
        }
        self.trace.happened(self.now, &self.masters[host].name, &"master leads");
        self.measures.leads(self.now);
        if self.comes_to(host, Point::CoreMade) {
            return;
        }
        self.step_master(host, Input::Tick);
    }

    /// Kills a master's process. Its streams break, or are left half open.
    pub(crate) fn crash_master(&mut self, host: usize) {
        self.audit_sums(host);
        let node = &mut self.masters[host];
        if !node.up {
            return;
        }
        if let Some(epoch) = node.epoch() {
            self.oracle.master_ended(epoch);
            self.measures.ends(self.now);
        }
        let node = &mut self.masters[host];
        (node.up, node.core, node.start) = (false, None, Start::Not);
        node.incarnation += 1;
        node.crash_in = None;
        node.streams.clear();
        node.requests.clear();
        node.proposals.clear();
        node.questions.clear();
        node.outbox.crash(&mut self.random);
        let held = std::mem::take(&mut node.held);
        if let Some(group) = &mut self.group {
            group.crash(self.now, host);
        }
        self.trace.happened(self.now, &self.masters[host].name, &"master is killed");
        self.clear_wake(Node::Master(host));
        for conn in self.network.open_connections_to(host) {
            self.abandon(conn, Direction::Down);
        }
        // The system answers for a process that is no more.
        held.into_iter().for_each(|event| self.schedule(self.now, event));
    }

    /// A process is stopped: whatever happens to it waits.
    pub(crate) fn pause_master(&mut self, host: usize, lasts: Duration) {
        let Some(group) = &mut self.group else { return };
        let node = &mut group.ground.hosts[host];
        if !node.up || node.paused {
            return;
        }
        node.paused = true;
        self.trace.happened(self.now, &self.masters[host].name, &"master is stopped");
        let incarnation = self.masters[host].incarnation;
        self.schedule_in(lasts, Event::Resume { host, incarnation });
    }

    /// It goes on, and everything that waited happens at once.
    pub(crate) fn resume_master(&mut self, host: usize) {
        let Some(group) = &mut self.group else { return };
        if !std::mem::replace(&mut group.ground.hosts[host].paused, false) {
            return;
        }
        self.trace.happened(self.now, &self.masters[host].name, &"master goes on");
        let node = &mut self.masters[host];
        let (held, deadline) = (std::mem::take(&mut node.held), node.core.as_ref());
        let deadline = deadline.and_then(Master::deadline);
        held.into_iter().for_each(|event| self.schedule(self.now, event));
        // The one that it slept through.
        self.clear_wake(Node::Master(host));
        self.arrange_wake(Node::Master(host), deadline);
    }

    /// Whether this process is made to end at this place.
    fn comes_to(&mut self, host: usize, point: Point) -> bool {
        let ends = self.group.as_mut().is_some_and(|group| group.ground.points.passes(host, point));
        if ends {
            self.crash_and_start_master(host);
        }
        ends
    }

    /// Puts facts of a master to the vote.
    pub(super) fn propose(&mut self, host: usize, ops: Vec<RegistryOp>) -> u64 {
        let group = self.group.as_mut().expect("only those with others put anything to the vote");
        group.propose(self.now, host, ops)
    }

    /// Takes what the registrars have to say, in its order, and what they wait for.
    pub(crate) fn listen(&mut self) {
        if std::mem::replace(&mut self.listening, true) {
            // Whoever listens already comes to it.
            return;
        }
        while let Some(group) = &mut self.group {
            for (at, happening) in group.take_due() {
                self.schedule(at, Event::Group(Box::new(happening)));
            }
            let Some(group) = &mut self.group else { break };
            let Some((host, word)) = group.take_word() else { break };
            self.master_is_told(host, word);
        }
        self.listening = false;
        let found = self.group.as_mut().and_then(crate::group::Group::take_found);
        if let Some(violation) = found {
            self.violated(violation);
        }
    }

    fn master_is_told(&mut self, host: usize, word: Word) {
        if !self.masters[host].up {
            return;
        }
        match word {
            Word::Leads { .. } | Word::Follows { .. } | Word::Stopped | Word::Dies => {
                let name = &self.masters[host].name;
                self.trace.happened(self.now, name, &format_args!("{word:?}"));
            }
            _ => {}
        }
        match word {
            Word::Leads { .. } => {
                // Should it lead already, what it proposed before is out of sight.
                self.lose_lead(host, None);
                self.begin_to_lead(host);
            }
            Word::Follows { leader } => self.lose_lead(host, leader),
            Word::Committed { id } => self.agreed(host, id),
            Word::Dropped { id } => {
                if self.setup.plant == Some(Plant::DroppedIsDone) {
                    return self.agreed(host, id);
                }
                let node = &self.masters[host];
                let begins = matches!(&node.start, Start::Beginning(_, of) if *of == id);
                if begins || node.proposals.iter().any(|(of, _)| *of == id) {
                    self.lose_lead(host, None);
                    self.schedule_in(Duration::from_millis(50), Event::LeadAgain { host });
                }
            }
            Word::Read { id } => self.read_is_new(host, id),
            Word::ReadLost { id } => {
                let node = &mut self.masters[host];
                node.questions.remove(&id);
                if node.start == Start::Reading(id) {
                    node.start = Start::Not;
                    self.schedule_in(Duration::from_millis(50), Event::LeadAgain { host });
                }
            }
            // One that must not take part any more is started as a new member.
            Word::Dies | Word::Stopped => self.crash_and_start_master(host),
        }
    }

    /// Its registrar still leads, and it has nothing to lead with.
    pub(crate) fn lead_again(&mut self, host: usize) {
        let leads = self.group.as_ref().is_some_and(|group| group.leads(host));
        let node = &self.masters[host];
        if leads && node.up && node.core.is_none() && node.start == Start::Not {
            self.begin_to_lead(host);
            self.listen();
        }
    }

    fn begin_to_lead(&mut self, host: usize) {
        let Some(group) = &mut self.group else { return };
        let id = group.read(self.now, host);
        self.masters[host].start = Start::Reading(id);
        if self.setup.plant == Some(Plant::ReadNotAwaited) {
            return self.read_is_new(host, id);
        }
        if self.master_is_doomed(host, 2) {
            self.crash_and_start_master(host);
        }
    }

    /// What the registrar was asked for is known to be new.
    fn read_is_new(&mut self, host: usize, id: u64) {
        if let Some(newest) = self.masters[host].questions.remove(&id) {
            self.answers(host, newest);
            return;
        }
        if self.masters[host].start != Start::Reading(id) || self.comes_to(host, Point::Read) {
            return;
        }
        let Some(group) = &self.group else { return };
        let registry = &group.ground.hosts[host].registry;
        let node = &mut self.masters[host];
        node.reigns += 1;
        let master_id = format!("m{host}r{}", node.reigns);
        let master_id = MasterId::new(master_id).expect("letters and numbers are an id");
        let ops = beginning(registry, &master_id);
        if self.setup.plant == Some(Plant::EpochNotAwaited) {
            let mut registry = registry.clone();
            ops.iter().for_each(|op| registry.apply(op));
            self.propose(host, ops);
            self.masters[host].start = Start::Not;
            return self.lead(host, master_id, registry);
        }
        let proposal = self.propose(host, ops);
        self.masters[host].start = Start::Beginning(master_id, proposal);
        self.comes_to(host, Point::EpochProposed);
    }

    /// Something that the master proposed is agreed upon.
    fn agreed(&mut self, host: usize, id: u64) {
        let node = &mut self.masters[host];
        let begins = matches!(&node.start, Start::Beginning(_, of) if *of == id);
        if begins && let Start::Beginning(master_id, _) = std::mem::take(&mut node.start) {
            if self.comes_to(host, Point::EpochAgreed) {
                return;
            }
            let Some(group) = &self.group else { return };
            let registry = group.ground.hosts[host].registry.clone();
            // Another one may have begun since, and this one does not know it yet.
            if registry.master_id() == Some(&master_id) {
                self.lead(host, master_id, registry);
            }
            return;
        }
        if node.proposals.front().is_some_and(|(of, _)| *of == id)
            && let Some((_, upto)) = node.proposals.pop_front()
        {
            node.outbox.synced(upto);
            self.pump_master(host);
        }
    }

    /// The core is dropped, with all that waited, and its streams end.
    fn lose_lead(&mut self, host: usize, leader: Option<usize>) {
        let kept = matches!(self.setup.plant, Some(Plant::CoreKept | Plant::DeafAgents));
        if kept && self.masters[host].core.is_some() {
            return;
        }
        self.audit_sums(host);
        let node = &mut self.masters[host];
        node.start = Start::Not;
        node.outbox.drop_all();
        node.proposals.clear();
        node.questions.clear();
        let Some(core) = node.core.take() else { return };
        node.crash_in = None;
        node.streams.clear();
        node.requests.clear();
        self.trace.happened(self.now, &self.masters[host].name, &"master leads no more");
        self.oracle.master_ended(core.registry().epoch());
        self.measures.ends(self.now);
        self.clear_wake(Node::Master(host));
        for conn in self.network.open_connections_to(host) {
            self.send(conn, Direction::Down, Packet::NotLeading(leader));
            self.hang_up(conn, Direction::Down);
        }
        self.comes_to(host, Point::LeadLost);
    }
}
