//! Pings: whether a connected agent still answers.
//!
//! Only pings that were sent and not answered count, never time alone: a master that was stopped
//! for a while does not take its agents for dead. An agent that missed one is suspect and gets no
//! new offers; one that missed enough to fill `Options::agent_timeout` is unreachable.

use crate::effect::Effect;
use crate::state::Master;
use crate::table::AgentOrd;
use proto::agent_link::AgentEvent;
use std::time::Duration;

/// The state of pinging one agent.
#[derive(Debug, Default)]
pub(crate) struct Ping {
    sequence: u64,
    /// Whether a ping was sent and nothing was heard since.
    awaited: bool,
    /// Pings in a row that were not answered in time.
    pub(crate) missed: u32,
}

/// The shortest time between two pings, whatever the options say.
const SHORTEST: Duration = Duration::from_millis(10);

impl Master {
    fn ping_interval(&self) -> Duration {
        self.options.ping_interval.max(SHORTEST)
    }

    /// How many pings in a row may go unanswered: an agent that dies right after an answer is
    /// found `agent_timeout` later, being asked one interval after it died for the first time.
    fn pings_allowed(&self) -> u32 {
        let timeout = self.options.agent_timeout.as_nanos();
        let intervals = timeout / self.ping_interval().as_nanos();
        u32::try_from(intervals.saturating_sub(1)).unwrap_or(u32::MAX).max(1)
    }

    pub(crate) fn start_pinging(&mut self, ord: AgentOrd) {
        let ping = &mut self.agents[ord].ping;
        ping.awaited = false;
        ping.missed = 0;
        let at = self.now + self.ping_interval();
        self.set_agent_deadline(ord, at);
    }

    /// Anything that an agent says answers its ping.
    pub(crate) fn heard(&mut self, ord: AgentOrd) {
        let ping = &mut self.agents[ord].ping;
        ping.awaited = false;
        if std::mem::take(&mut ping.missed) > 0 {
            // It may have waited to be given up.
            self.start_pinging(ord);
            self.publisher.agent(&self.agents[ord].id);
            self.index_free(ord);
            self.touch(ord);
        }
    }

    /// The agent's deadline came: ping it, or give it up.
    pub(crate) fn agent_deadline(&mut self, ord: AgentOrd, out: &mut Vec<Effect>) {
        if !self.agents[ord].is_connected() {
            self.give_up(ord, out);
            return;
        }
        let allowed = self.pings_allowed();
        let ping = &mut self.agents[ord].ping;
        if std::mem::take(&mut ping.awaited) {
            ping.missed += 1;
            self.publisher.agent(&self.agents[ord].id);
            self.index_free(ord);
        }
        let ping = &mut self.agents[ord].ping;
        if ping.missed >= allowed {
            self.give_up(ord, out);
            return;
        }
        ping.awaited = true;
        ping.sequence += 1;
        let sequence = ping.sequence;
        self.send(ord, AgentEvent::Ping { sequence }, out);
        let at = self.now + self.ping_interval();
        self.set_agent_deadline(ord, at);
    }

    /// The agent is unreachable, or will be when its turn comes.
    fn give_up(&mut self, ord: AgentOrd, out: &mut Vec<Effect>) {
        match self.may_give_up() {
            Ok(()) => self.unreachable(ord, out),
            Err(turn) => {
                self.index_free(ord);
                self.set_agent_deadline(ord, turn);
            }
        }
    }
}
