//! Agents by dense numbers, so that units hold four bytes instead of a name.
//!
//! Numbers live as long as the process; ids and addresses are what is recorded.

use super::unit::{AgentOrdinal, NOWHERE};
use proto::AgentId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is known of an agent.
#[derive(Clone, Debug)]
pub(crate) struct AgentFacts {
    pub(crate) id: AgentId,
    /// Its host and port, once an offer told.
    pub(crate) address: Option<(Arc<str>, u16)>,
    /// Whether the address is recorded as it stands.
    pub(crate) recorded: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Agents {
    facts: Vec<AgentFacts>,
    by_id: BTreeMap<AgentId, AgentOrdinal>,
}

impl Agents {
    /// The number of an agent, a new one if it is new.
    pub(crate) fn number(&mut self, id: &AgentId) -> AgentOrdinal {
        if let Some(number) = self.by_id.get(id) {
            return *number;
        }
        let number = u32::try_from(self.facts.len()).unwrap_or(NOWHERE);
        self.facts.push(AgentFacts { id: id.clone(), address: None, recorded: false });
        self.by_id.insert(id.clone(), number);
        number
    }

    /// The number of an agent, if it has one.
    pub(crate) fn known(&self, id: &AgentId) -> Option<AgentOrdinal> {
        self.by_id.get(id).copied()
    }

    /// Notes where an agent is reached.
    pub(crate) fn note_address(&mut self, id: &AgentId, host: &Arc<str>, port: u16) {
        let number = self.number(id) as usize;
        let facts = &mut self.facts[number];
        let same = facts.address.as_ref().is_some_and(|(h, p)| h == host && *p == port);
        if !same {
            facts.address = Some((host.clone(), port));
            facts.recorded = false;
        }
    }

    pub(crate) fn id(&self, number: AgentOrdinal) -> &AgentId {
        &self.facts[number as usize].id
    }

    pub(crate) fn get(&self, number: AgentOrdinal) -> Option<&AgentFacts> {
        self.facts.get(number as usize)
    }

    /// The agent's address, if it is not recorded yet; from now on it counts as recorded.
    pub(crate) fn take_unrecorded(
        &mut self,
        number: AgentOrdinal,
    ) -> Option<(AgentId, Arc<str>, u16)> {
        let facts = self.facts.get_mut(number as usize).filter(|facts| !facts.recorded)?;
        let (host, port) = facts.address.clone()?;
        facts.recorded = true;
        Some((facts.id.clone(), host, port))
    }

    /// What a record said: it need not be recorded again.
    pub(crate) fn recovered(&mut self, id: &AgentId, host: Arc<str>, port: u16) {
        let number = self.number(id) as usize;
        self.facts[number].address = Some((host, port));
        self.facts[number].recorded = true;
    }
}
