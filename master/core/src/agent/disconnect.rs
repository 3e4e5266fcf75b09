//! An agent's stream breaks: its offers are taken back, its tasks are not touched, and it has
//! `Options::agent_timeout` to come back.

use crate::effect::Effect;
use crate::input::ConnectionId;
use crate::state::Master;
use crate::table::AgentOrd;

impl Master {
    pub(crate) fn agent_closed(&mut self, connection: ConnectionId, out: &mut Vec<Effect>) {
        if let Some(ord) = self.links.get(&connection).copied() {
            self.disconnect_agent(ord, out);
        }
    }

    pub(crate) fn disconnect_agent(&mut self, ord: AgentOrd, out: &mut Vec<Effect>) {
        self.unbind_agent(ord);
        self.index_free(ord);
        self.rescind_agent_offers(ord, out);
        let at = self.now + self.options.agent_timeout;
        self.set_agent_deadline(ord, at);
    }
}
