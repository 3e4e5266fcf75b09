//! Connections between the masters and those who dial them: latency, blocked paths, resets, half-open
//! ends.
//!
//! A connection keeps the order of each direction, as TCP does, and loses only a tail, when it is
//! reset. A blocked path holds everything back until it is free again. An end that was closed
//! answers whatever still reaches it with a reset. It knows neither what it carries nor the time
//! of anything but its own queues; the world schedules the arrivals that it names.

use crate::prng::Prng;
use proto::Time;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A node that dials the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// An agent.
    Agent(usize),
    /// A framework's scheduler.
    Framework(usize),
}

/// The number of a connection, never used twice.
pub type Conn = u64;

/// Which way something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// To the master.
    Up,
    /// From the master.
    Down,
}

impl Direction {
    /// Both, in order.
    pub const BOTH: [Self; 2] = [Self::Up, Self::Down];

    fn reverse(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// An arrival to schedule: when, on which connection, which way.
pub type Due = (Time, Conn, Direction);

/// What came of an arrival.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival<P> {
    /// Nothing yet: the path is blocked, or there is nothing left.
    Nothing,
    /// A packet.
    Packet(P),
    /// The other end was closed, or the connection reset.
    Closed,
}

#[derive(Debug)]
struct Lane<P> {
    /// Packets with the time they are due; without a packet it is the end.
    queue: VecDeque<(Time, Option<P>)>,
    last: Time,
    scheduled: bool,
}

impl<P> Default for Lane<P> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), last: Time::ZERO, scheduled: false }
    }
}

#[derive(Debug)]
struct Connection<P> {
    peer: Peer,
    /// Which master was dialled.
    host: usize,
    /// Whether the dialling end is open.
    near: bool,
    /// Whether the master's end is open.
    far: bool,
    up: Lane<P>,
    down: Lane<P>,
}

impl<P> Connection<P> {
    fn lane(&mut self, direction: Direction) -> &mut Lane<P> {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }

    fn sender(&mut self, direction: Direction) -> &mut bool {
        match direction {
            Direction::Up => &mut self.near,
            Direction::Down => &mut self.far,
        }
    }
}

/// The way between one node and one master.
#[derive(Clone, Copy, Debug)]
struct Path {
    latency: Duration,
    jitter: Duration,
    up_blocked: Time,
    down_blocked: Time,
}

impl Path {
    fn blocked(&self, direction: Direction) -> Time {
        match direction {
            Direction::Up => self.up_blocked,
            Direction::Down => self.down_blocked,
        }
    }
}

/// All connections and paths.
#[derive(Debug)]
pub struct Network<P> {
    paths: BTreeMap<(Peer, usize), Path>,
    connections: BTreeMap<Conn, Connection<P>>,
    next: Conn,
    random: Prng,
}

impl<P> Network<P> {
    /// A network without nodes.
    pub fn new(random: Prng) -> Self {
        Self { paths: BTreeMap::new(), connections: BTreeMap::new(), next: 1, random }
    }

    /// Adds the ways between a node and so many masters.
    pub fn join(&mut self, peer: Peer, masters: usize, latency: Duration, jitter: Duration) {
        let path = Path { latency, jitter, up_blocked: Time::ZERO, down_blocked: Time::ZERO };
        self.paths.extend((0..masters).map(|host| ((peer, host), path)));
    }

    /// How long something takes on the way now.
    pub fn latency(&mut self, peer: Peer, host: usize) -> Duration {
        let Some(path) = self.paths.get(&(peer, host)) else { return Duration::ZERO };
        let jitter = u64::try_from(path.jitter.as_micros()).unwrap_or(u64::MAX);
        path.latency + Duration::from_micros(self.random.below(jitter))
    }

    /// Whether the way is blocked, and until when.
    pub fn blocked(
        &self,
        now: Time,
        (peer, host): (Peer, usize),
        direction: Direction,
    ) -> Option<Time> {
        let until = self.paths.get(&(peer, host))?.blocked(direction);
        (until > now).then_some(until)
    }

    /// Blocks a way until a time, or for longer if it is blocked for longer already.
    pub fn block(&mut self, (peer, host): (Peer, usize), direction: Direction, until: Time) {
        let Some(path) = self.paths.get_mut(&(peer, host)) else { return };
        let blocked = match direction {
            Direction::Up => &mut path.up_blocked,
            Direction::Down => &mut path.down_blocked,
        };
        *blocked = until.max(*blocked);
    }

    /// Frees all ways.
    pub fn heal(&mut self) {
        for path in self.paths.values_mut() {
            path.up_blocked = Time::ZERO;
            path.down_blocked = Time::ZERO;
        }
    }

    /// The nodes.
    pub fn peers(&self) -> Vec<Peer> {
        self.paths.keys().filter(|(_, host)| *host == 0).map(|(peer, _)| *peer).collect()
    }

    /// Arrivals that a freed way makes due.
    pub fn released(&mut self, now: Time, peer: Peer) -> Vec<Due> {
        let mut due = Vec::new();
        for (conn, connection) in self.connections.iter_mut().filter(|(_, c)| c.peer == peer) {
            for direction in Direction::BOTH {
                if self.paths[&(peer, connection.host)].blocked(direction) > now {
                    continue;
                }
                let lane = connection.lane(direction);
                if let Some((at, _)) = lane.queue.front()
                    && !lane.scheduled
                {
                    lane.scheduled = true;
                    due.push(((*at).max(now), *conn, direction));
                }
            }
        }
        due
    }

    /// A connection that is not open yet.
    pub fn dial(&mut self, peer: Peer, host: usize) -> Conn {
        let conn = self.next;
        self.next += 1;
        let (up, down) = (Lane::default(), Lane::default());
        let connection = Connection { peer, host, near: false, far: false, up, down };
        self.connections.insert(conn, connection);
        conn
    }

    /// Opens a dialled connection; false when it was given up.
    pub fn open(&mut self, conn: Conn) -> bool {
        let Some(connection) = self.connections.get_mut(&conn) else { return false };
        connection.near = true;
        connection.far = true;
        true
    }

    /// Forgets a connection that could not be opened; false when it was given up.
    pub fn refuse(&mut self, conn: Conn) -> bool {
        self.connections.remove(&conn).is_some()
    }

    /// Who dialled it.
    pub fn peer(&self, conn: Conn) -> Option<Peer> {
        self.connections.get(&conn).map(|connection| connection.peer)
    }

    /// Which master was dialled.
    pub fn host(&self, conn: Conn) -> Option<usize> {
        self.connections.get(&conn).map(|connection| connection.host)
    }

    /// Open connections to a master of which an end is open, oldest first.
    pub fn open_connections_to(&self, host: usize) -> Vec<Conn> {
        let open = self.connections.iter().filter(|(_, c)| c.host == host && (c.near || c.far));
        open.map(|(conn, _)| *conn).collect()
    }

    /// Open connections of which an end is open, oldest first.
    pub fn open_connections(&self) -> Vec<Conn> {
        let open = self.connections.iter().filter(|(_, c)| c.near || c.far);
        open.map(|(conn, _)| *conn).collect()
    }

    /// Sends a packet. It is lost without notice when the sender's end is closed.
    pub fn send(&mut self, now: Time, conn: Conn, way: Direction, packet: P) -> Option<Due> {
        let open = self.connections.get_mut(&conn).is_some_and(|c| *c.sender(way));
        if open { self.enqueue(now, conn, way, Some(packet)) } else { None }
    }

    fn enqueue(&mut self, now: Time, conn: Conn, way: Direction, item: Option<P>) -> Option<Due> {
        let (peer, host) = (self.peer(conn)?, self.host(conn)?);
        let latency = self.latency(peer, host);
        let lane = self.connections.get_mut(&conn)?.lane(way);
        let at = (now + latency).max(lane.last);
        lane.last = at;
        lane.queue.push_back((at, item));
        if lane.scheduled {
            return None;
        }
        lane.scheduled = true;
        Some((at, conn, way))
    }

    /// Takes what is due. Also names the next arrival to schedule.
    pub fn arrive(&mut self, now: Time, conn: Conn, way: Direction) -> (Arrival<P>, Option<Due>) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return (Arrival::Nothing, None);
        };
        let path = self.paths.get(&(connection.peer, connection.host));
        let blocked = path.is_some_and(|path| path.blocked(way) > now);
        let receiver_open = *connection.sender(way.reverse());
        let lane = connection.lane(way);
        lane.scheduled = false;
        let due = lane.queue.front().is_some_and(|(at, _)| *at <= now);
        if blocked || lane.queue.is_empty() {
            return (Arrival::Nothing, None);
        }
        let item = if due { lane.queue.pop_front() } else { None };
        let mut next = lane.queue.front().map(|(at, _)| (*at, conn, way));
        lane.scheduled = next.is_some();
        let arrival = match item {
            None => Arrival::Nothing,
            Some((_, Some(_))) if !receiver_open => {
                // Nobody listens there: a reset goes back.
                lane.queue.clear();
                lane.scheduled = false;
                connection.lane(way.reverse()).queue.clear();
                if *connection.sender(way) {
                    next = self.enqueue(now, conn, way.reverse(), None);
                }
                Arrival::Nothing
            }
            Some((_, Some(packet))) => Arrival::Packet(packet),
            Some((_, None)) => {
                let was_open = std::mem::take(connection.sender(way.reverse()));
                if was_open { Arrival::Closed } else { Arrival::Nothing }
            }
        };
        self.forget_if_over(conn);
        (arrival, next)
    }

    fn forget_if_over(&mut self, conn: Conn) {
        if self.connections.get(&conn).is_some_and(|c| !c.near && !c.far) {
            self.connections.remove(&conn);
        }
    }

    /// Closes an end; what it sent before still arrives, and then the end.
    pub fn close(&mut self, now: Time, conn: Conn, end: Direction) -> Option<Due> {
        let connection = self.connections.get_mut(&conn)?;
        let was_open = std::mem::take(connection.sender(end));
        if !connection.near && !connection.far {
            self.connections.remove(&conn);
            return None;
        }
        if was_open { self.enqueue(now, conn, end, None) } else { None }
    }

    /// An end is gone and tells nobody: the connection is half open.
    pub fn vanish(&mut self, conn: Conn, end: Direction) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            *connection.sender(end) = false;
        }
        self.forget_if_over(conn);
    }

    /// What `end` sent last and has not arrived is lost, from some point on.
    pub fn lose_tail(&mut self, conn: Conn, end: Direction) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let lane = connection.lane(end);
        let kept = self.random.index(lane.queue.len() + 1);
        lane.queue.truncate(kept);
    }

    /// Both ends learn that the connection is broken; a tail of each direction is lost.
    pub fn reset(&mut self, now: Time, conn: Conn) -> Vec<Due> {
        Direction::BOTH
            .into_iter()
            .filter_map(|way| {
                self.lose_tail(conn, way);
                self.enqueue(now, conn, way, None)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
