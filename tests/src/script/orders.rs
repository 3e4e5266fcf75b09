//! The commands of operators in a transcript.

use super::stage::{Done, Message, Stage, bad};
use super::words::{Words, number};
use master_core::{Input, Order, RequestId};
use proto::{AgentId, Role, operator};

impl Stage {
    /// `drain ID [grace=S] [gone]`, and the other orders about an agent.
    pub(super) fn order(&mut self, verb: &str, words: &Words<'_>) -> Done {
        let agent_id = AgentId::new(words.word(1)?).map_err(bad)?;
        let order = match verb {
            "deactivate" => Order::DeactivateAgent(agent_id),
            "reactivate" => Order::ReactivateAgent(agent_id),
            "gone" => Order::MarkAgentGone(agent_id),
            _ => {
                let given = words.pair("grace").is_some();
                let max_grace = given.then(|| words.seconds("grace", 0)).transpose()?;
                Order::DrainAgent { agent_id, max_grace, mark_gone: words.has("gone") }
            }
        };
        let request = RequestId(self.fresh());
        self.queue.push_back(Message::ToMaster(Input::Order { request, order }));
        Ok(())
    }

    /// `weight ROLE MILLI`.
    pub(super) fn weight(&mut self, words: &Words<'_>) -> Done {
        let role = Role::new(words.word(1)?).map_err(bad)?;
        let weight_milli = number(words.word(2)?)?;
        let request = RequestId(self.fresh());
        self.queue.push_back(Message::ToMaster(Input::SetWeight { request, role, weight_milli }));
        Ok(())
    }

    /// `remove F`: TEARDOWN by an operator.
    pub(super) fn remove(&mut self, name: &str) -> Done {
        let id = self.frameworks.get(name).and_then(|player| player.info.id.clone());
        let id = id.ok_or(format!("there is no framework {name}"))?;
        let request = RequestId(self.fresh());
        let call = operator::Call::Teardown(id);
        self.queue.push_back(Message::ToMaster(Input::Operator { request, call }));
        Ok(())
    }
}
