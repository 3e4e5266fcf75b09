//! Streams between the nodes as the world sees them: dialling, sending, closing, arriving.

use crate::network::{Arrival, Conn, Direction, Peer};
use crate::node::FrameworkNode;
use crate::world::{Event, Packet, World};
use proto::scheduler::Call;
use std::time::Duration;

/// How long a connection may take to open.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// What came of dialling a master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialled {
    Open,
    /// It cannot be reached or does not lead; who does, if it said so.
    Refused(Option<usize>),
}

impl World {
    /// Sends on a stream; lost when the sender's end is closed.
    pub(crate) fn send(&mut self, conn: Conn, way: Direction, packet: Packet) {
        let due = self.network.send(self.now, conn, way, packet);
        self.schedule_arrival(due);
    }

    /// Closes one end of a stream.
    pub(crate) fn hang_up(&mut self, conn: Conn, end: Direction) {
        let due = self.network.close(self.now, conn, end);
        self.schedule_arrival(due);
    }

    /// The process at one end died: what it sent last may be lost, and mostly the other end is
    /// told.
    pub(crate) fn abandon(&mut self, conn: Conn, end: Direction) {
        self.network.lose_tail(conn, end);
        if self.random.percent(80) {
            self.hang_up(conn, end);
        } else {
            self.network.vanish(conn, end);
        }
    }

    /// The master at a place of the list that agents and frameworks have.
    pub(crate) fn listed(&self, place: usize) -> usize {
        self.setup.listed.unwrap_or(place % self.masters.len())
    }

    /// A node dials a master.
    pub(crate) fn dial(&mut self, peer: Peer, host: usize) -> Conn {
        let conn = self.network.dial(peer, host);
        let wait = self.network.latency(peer, host) + self.network.latency(peer, host);
        self.schedule_in(wait, Event::Dialled { conn });
        conn
    }

    pub(crate) fn dialled(&mut self, conn: Conn) {
        let (Some(peer), Some(host)) = (self.network.peer(conn), self.network.host(conn)) else {
            return;
        };
        let way = (peer, host);
        let blocked =
            Direction::BOTH.iter().any(|on| self.network.blocked(self.now, way, *on).is_some());
        if blocked {
            self.schedule_in(DIAL_TIMEOUT, Event::DialTimeout { conn });
        } else if self.masters[host].core.is_none() {
            let leader = self.leader_by(host);
            self.dial_failed(conn, leader);
        } else if self.network.open(conn) {
            self.tell_dialled(peer, conn, Dialled::Open);
        }
    }

    /// Whom a master that does not lead names as the leader.
    fn leader_by(&self, host: usize) -> Option<usize> {
        let group = self.group.as_ref()?;
        let leader = group.leader(host).filter(|leader| *leader != host);
        leader.filter(|_| self.masters[host].up)
    }

    pub(crate) fn dial_failed(&mut self, conn: Conn, leader: Option<usize>) {
        let Some(peer) = self.network.peer(conn) else { return };
        if self.network.refuse(conn) {
            self.tell_dialled(peer, conn, Dialled::Refused(leader));
        }
    }

    fn tell_dialled(&mut self, peer: Peer, conn: Conn, how: Dialled) {
        match peer {
            Peer::Agent(i) => self.agent_dialled(i, conn, how),
            Peer::Framework(i) => match self.frameworks[i] {
                FrameworkNode::Driver(_) => self.driver_dialled(i, conn, how),
                FrameworkNode::Raw(_) => self.raw_dialled(i, conn, how),
            },
        }
    }

    pub(crate) fn arrive(&mut self, conn: Conn, way: Direction) {
        let (Some(peer), Some(host)) = (self.network.peer(conn), self.network.host(conn)) else {
            return;
        };
        let (arrival, next) = self.network.arrive(self.now, conn, way);
        self.schedule_arrival(next);
        let packet = match arrival {
            Arrival::Nothing => return,
            Arrival::Packet(packet) => Some(packet),
            Arrival::Closed => None,
        };
        match (way, peer) {
            (Direction::Up, peer) => self.master_hears(host, conn, peer, packet),
            (Direction::Down, Peer::Agent(i)) => self.agent_hears(i, conn, packet),
            (Direction::Down, Peer::Framework(i)) => match self.frameworks[i] {
                FrameworkNode::Driver(_) => self.driver_hears(i, conn, packet),
                FrameworkNode::Raw(_) => self.raw_hears(i, conn, packet),
            },
        }
    }

    pub(crate) fn http(
        &mut self,
        framework: usize,
        host: usize,
        stream: Option<Conn>,
        call: Box<Call>,
    ) {
        let way = (Peer::Framework(framework), host);
        match self.network.blocked(self.now, way, Direction::Up) {
            Some(until) => self.schedule(until, Event::Http { framework, host, stream, call }),
            None => self.master_gets(host, stream, *call),
        }
    }
}
