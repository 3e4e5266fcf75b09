//! Streams between the nodes as the world sees them: dialling, sending, closing, arriving.

use crate::network::{Arrival, Conn, Direction, Peer};
use crate::node::FrameworkNode;
use crate::world::{Event, Packet, World};
use proto::scheduler::Call;
use std::time::Duration;

/// How long a connection may take to open.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

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

    /// A node dials the master.
    pub(crate) fn dial(&mut self, peer: Peer) -> Conn {
        let conn = self.network.dial(peer);
        let wait = self.network.latency(peer) + self.network.latency(peer);
        self.schedule_in(wait, Event::Dialled { conn });
        conn
    }

    pub(crate) fn dialled(&mut self, conn: Conn) {
        let Some(peer) = self.network.peer(conn) else { return };
        let blocked =
            Direction::BOTH.iter().any(|way| self.network.blocked(self.now, peer, *way).is_some());
        if blocked {
            self.schedule_in(DIAL_TIMEOUT, Event::DialTimeout { conn });
        } else if self.master.core.is_none() {
            self.dial_failed(conn);
        } else if self.network.open(conn) {
            self.tell_dialled(peer, conn, true);
        }
    }

    pub(crate) fn dial_failed(&mut self, conn: Conn) {
        let Some(peer) = self.network.peer(conn) else { return };
        if self.network.refuse(conn) {
            self.tell_dialled(peer, conn, false);
        }
    }

    fn tell_dialled(&mut self, peer: Peer, conn: Conn, open: bool) {
        match peer {
            Peer::Agent(i) => self.agent_dialled(i, conn, open),
            Peer::Framework(i) => match self.frameworks[i] {
                FrameworkNode::Driver(_) => self.driver_dialled(i, conn, open),
                FrameworkNode::Raw(_) => self.raw_dialled(i, conn, open),
            },
        }
    }

    pub(crate) fn arrive(&mut self, conn: Conn, way: Direction) {
        let Some(peer) = self.network.peer(conn) else { return };
        let (arrival, next) = self.network.arrive(self.now, conn, way);
        self.schedule_arrival(next);
        let packet = match arrival {
            Arrival::Nothing => return,
            Arrival::Packet(packet) => Some(packet),
            Arrival::Closed => None,
        };
        match (way, peer) {
            (Direction::Up, peer) => self.master_hears(conn, peer, packet),
            (Direction::Down, Peer::Agent(i)) => self.agent_hears(i, conn, packet),
            (Direction::Down, Peer::Framework(i)) => match self.frameworks[i] {
                FrameworkNode::Driver(_) => self.driver_hears(i, conn, packet),
                FrameworkNode::Raw(_) => self.raw_hears(i, conn, packet),
            },
        }
    }

    pub(crate) fn http(&mut self, framework: usize, stream: Option<Conn>, call: Box<Call>) {
        let peer = Peer::Framework(framework);
        match self.network.blocked(self.now, peer, Direction::Up) {
            Some(until) => self.schedule(until, Event::Http { framework, stream, call }),
            None => self.master_gets(stream, *call),
        }
    }
}
