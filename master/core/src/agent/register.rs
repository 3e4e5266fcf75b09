//! An agent that has no id registers.
//!
//! The id is durable before the agent hears it. The answer may be lost, so a registration with the
//! nonce of an earlier one gets the same id, by this master or the next. Any other registration is a
//! new agent, and takes the place of one that this master still expects back at that address.

use crate::agent::reregister::{Returning, check_configuration};
use crate::effect::Effect;
use crate::input::ConnectionId;
use crate::registry::RegistryOp;
use crate::state::Master;
use proto::agent_link::AgentEvent;
use proto::{AgentId, AgentInfo};
use std::sync::Arc;

impl Master {
    pub(crate) fn register(
        &mut self,
        connection: ConnectionId,
        info: AgentInfo,
        version: Arc<str>,
        nonce: u64,
        out: &mut Vec<Effect>,
    ) {
        if let Some(message) = self.refuses_for_maintenance(&info) {
            self.refuse_agent(connection, message.to_owned(), false, out);
            return;
        }
        let names = self.options.agent_resource_names;
        if let Err(refused) = check_configuration(&info.resources, names) {
            self.refuse_agent(connection, refused.to_string(), false, out);
            return;
        }
        let key = (nonce, info.hostname.clone(), info.port);
        if let Some(id) = self.nonces.get(&key).cloned() {
            // It never heard its id, so it runs nothing.
            let info = AgentInfo { id: Some(id), ..info };
            match self.with_holdings(Returning::of(info, version, Vec::new(), Vec::new())) {
                Ok(returning) => self.readmit(connection, returning, true, out),
                Err(message) => self.refuse_agent(connection, message, false, out),
            }
            return;
        }
        self.replace_recovered(&info, out);
        let id = self.new_agent_id();
        let info = AgentInfo { id: Some(id.clone()), ..info };
        let admit = RegistryOp::AdmitAgent {
            info: info.clone(),
            version: version.clone(),
            nonce: Some(nonce),
            registered: self.now,
        };
        self.persist(admit, out);
        self.nonces.insert(key, id.clone());
        let ord = self.add_agent(id.clone(), info, version, self.now);
        self.bind_agent(ord, connection, out);
        let registered = AgentEvent::Registered {
            agent_id: id,
            master_id: self.info.id.clone(),
            ping_timeout: self.options.agent_ping_timeout,
        };
        self.send(ord, registered, out);
        self.touch(ord);
    }

    fn new_agent_id(&mut self) -> AgentId {
        loop {
            let id = format!("{}-S{}", self.info.id, self.next_agent);
            self.next_agent += 1;
            let id = AgentId::new(id).expect("a master's id leaves room for a number");
            // An agent may come with any id, even one that was not given out yet.
            let known = self.registry.agents().contains_key(&id);
            if !known && !self.is_gone(&id) && !self.shelved.contains_key(&id) {
                return id;
            }
        }
    }
}
