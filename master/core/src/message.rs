//! MESSAGE: bytes between a framework and its executors, at most once, kept nowhere.

use crate::effect::Effect;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use proto::agent_link::AgentEvent;
use proto::scheduler::Event;
use proto::{AgentId, ExecutorId, FrameworkId};
use std::sync::Arc;

impl Master {
    pub(crate) fn message_to_executor(
        &self,
        framework: FrameworkOrd,
        agent_id: &AgentId,
        executor_id: ExecutorId,
        data: Arc<[u8]>,
        out: &mut Vec<Effect>,
    ) {
        if let Some(agent) = self.agent_ord(agent_id) {
            let framework_id = self.frameworks[framework].id.clone();
            self.send(agent, AgentEvent::Message { framework_id, executor_id, data }, out);
        }
    }

    pub(crate) fn message_to_framework(
        &self,
        agent: AgentOrd,
        framework_id: &FrameworkId,
        executor_id: ExecutorId,
        data: Arc<[u8]>,
        out: &mut Vec<Effect>,
    ) {
        if let Some(framework) = self.framework_ord(framework_id) {
            let agent_id = self.agents[agent].id.clone();
            self.tell(framework, Event::Message { agent_id, executor_id, data }, out);
        }
    }
}
