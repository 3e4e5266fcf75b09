//! The life of the connection to the leading master: connect, subscribe, listen, and start over.
//!
//! Back-off with jitter, redirects to the leader, missed heartbeats. It knows nothing of offers and
//! tasks, and a connection's number tells old news from new.

use super::boundary::{ConnectionId, Effect};
use super::options::Options;
use super::random::{Random, doubled};
use proto::Time;
use std::sync::Arc;
use std::time::Duration;

/// Where the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Waiting to try (again).
    Waiting { until: Time },
    /// Asked for, not open yet.
    Connecting { since: Time },
    /// SUBSCRIBE is sent.
    Subscribing { since: Time },
    /// SUBSCRIBED came; last news at `heard`, dead after `patience` of silence.
    Subscribed { heard: Time, patience: Duration },
    /// The master ended the framework; nothing more is tried.
    Stopped,
}

#[derive(Debug)]
pub(crate) struct Link {
    state: State,
    connection: ConnectionId,
    /// Which of the masters is tried next.
    next: usize,
    /// A leader that a master pointed to.
    redirect: Option<Arc<str>>,
    /// Failures since the last SUBSCRIBED.
    failures: u32,
    /// Redirects in a row.
    redirects: u32,
}

/// Redirects that are followed at once; more in a row are taken for a loop and wait.
const REDIRECTS_AT_ONCE: u32 = 3;

impl Link {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Waiting { until: Time::ZERO },
            connection: 0,
            next: 0,
            redirect: None,
            failures: 0,
            redirects: 0,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// The number of the newest connection.
    pub(crate) fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// The connection on which calls can be made now.
    pub(crate) fn open(&self) -> Option<ConnectionId> {
        matches!(self.state, State::Subscribed { .. }).then_some(self.connection)
    }

    pub(crate) fn deadline(&self, options: &Options) -> Option<Time> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Connecting { since } | State::Subscribing { since } => {
                Some(since + options.connect_timeout)
            }
            State::Subscribed { heard, patience } => Some(heard + patience),
            State::Stopped => None,
        }
    }

    /// Acts on a deadline that has passed. True if a subscribed connection was given up.
    pub(crate) fn tick(
        &mut self,
        now: Time,
        options: &Options,
        random: &mut Random,
        effects: &mut Vec<Effect>,
    ) -> bool {
        if self.deadline(options).is_none_or(|deadline| deadline > now) {
            return false;
        }
        match self.state {
            State::Waiting { .. } => {
                self.connect(now, options, effects);
                false
            }
            State::Connecting { .. } | State::Subscribing { .. } | State::Subscribed { .. } => {
                let was_open = self.open().is_some();
                self.give_up(now, options, random, effects);
                was_open
            }
            State::Stopped => false,
        }
    }

    fn connect(&mut self, now: Time, options: &Options, effects: &mut Vec<Effect>) {
        let master = self.redirect.take().or_else(|| {
            let master = options.masters.get(self.next % options.masters.len().max(1)).cloned();
            self.next = self.next.wrapping_add(1);
            master
        });
        let Some(master) = master else {
            self.state = State::Stopped;
            return;
        };
        self.connection += 1;
        self.state = State::Connecting { since: now };
        effects.push(Effect::Connect { connection: self.connection, master });
    }

    /// Closes the connection and waits before the next.
    pub(crate) fn give_up(
        &mut self,
        now: Time,
        options: &Options,
        random: &mut Random,
        effects: &mut Vec<Effect>,
    ) {
        effects.push(Effect::Disconnect { connection: self.connection });
        self.back_off(now, options, random);
    }

    fn back_off(&mut self, now: Time, options: &Options, random: &mut Random) {
        let full = doubled(options.reconnect_first, self.failures, options.reconnect_most);
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting { until: now + random.jitter(full) };
    }

    /// True if SUBSCRIBE is to be sent now.
    pub(crate) fn connected(&mut self, now: Time, connection: ConnectionId) -> bool {
        let ours = connection == self.connection;
        if ours && matches!(self.state, State::Connecting { .. }) {
            self.state = State::Subscribing { since: now };
            return true;
        }
        false
    }

    /// The connection broke. True if it was the current one and not closed by us before.
    pub(crate) fn closed(
        &mut self,
        now: Time,
        connection: ConnectionId,
        leader: Option<Arc<str>>,
        options: &Options,
        random: &mut Random,
    ) -> bool {
        let current = connection == self.connection
            && !matches!(self.state, State::Waiting { .. } | State::Stopped);
        if !current {
            return false;
        }
        let was_sent_on = leader.is_some();
        self.redirect = leader;
        if was_sent_on && self.redirects < REDIRECTS_AT_ONCE {
            // Whoever is sent on has not failed.
            self.redirects += 1;
            self.state = State::Waiting { until: now };
            return true;
        }
        if !was_sent_on {
            self.redirects = 0;
        }
        self.back_off(now, options, random);
        true
    }

    /// Whether an event on `connection` is news; if so, the connection is alive.
    pub(crate) fn heard(&mut self, now: Time, connection: ConnectionId) -> bool {
        if connection != self.connection {
            return false;
        }
        match &mut self.state {
            State::Subscribed { heard, .. } => {
                *heard = now;
                true
            }
            State::Subscribing { .. } => true,
            State::Waiting { .. } | State::Connecting { .. } | State::Stopped => false,
        }
    }

    pub(crate) fn subscribed(&mut self, now: Time, heartbeat: Duration, options: &Options) {
        // One interval is always granted, whatever the options and the master say.
        let beats = options.missed_heartbeats.saturating_add(1);
        let patience = heartbeat.max(Duration::from_millis(100)).saturating_mul(beats);
        self.state = State::Subscribed { heard: now, patience };
        self.failures = 0;
        self.redirects = 0;
        self.redirect = None;
    }

    pub(crate) fn stop(&mut self, effects: &mut Vec<Effect>) {
        effects.push(Effect::Disconnect { connection: self.connection });
        self.state = State::Stopped;
    }
}
