//! Operations that are worth remembering: those under way, and those whose frameworks do not have
//! the last status yet.

use proto::operator::OperationView;
use proto::{
    AgentId, FrameworkId, OperationState, OperationStatus, ResourceOperation, Resources, StatusUuid,
};
use std::sync::Arc;

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownOperation {
    /// Whose; absent when an operator asked for it, or its framework is over.
    pub framework_id: Option<FrameworkId>,
    /// Where.
    pub agent_id: AgentId,
    /// What was asked for.
    pub operation: ResourceOperation,
    /// How it ended; absent while the agent has not answered.
    pub end: Option<OperationEnd>,
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationEnd {
    /// Terminal.
    pub state: OperationState,
    /// Why, for people.
    pub message: Option<Arc<str>>,
}

impl KnownOperation {
    /// Whether the agent has not answered yet.
    pub fn is_pending(&self) -> bool {
        self.end.is_none()
    }

    /// How it stands. The last status of an operation with an id carries `uuid`, and must be
    /// acknowledged.
    pub fn status(&self, uuid: StatusUuid) -> OperationStatus {
        let end = self.end.as_ref();
        let state = end.map_or(OperationState::Pending, |end| end.state);
        let converted = match self.operation.change.conversion() {
            Ok(conversion) if state == OperationState::Finished => conversion.converted,
            Ok(_) | Err(_) => Resources::new(),
        };
        OperationStatus {
            operation_id: self.operation.id.clone(),
            state,
            message: end.and_then(|end| end.message.clone()),
            converted,
            uuid: (end.is_some() && self.operation.id.is_some()).then_some(uuid),
            agent_id: Some(self.agent_id.clone()),
        }
    }

    /// As operators see it.
    pub fn view(&self, uuid: StatusUuid) -> OperationView {
        let latest_status = self.status(uuid);
        let statuses = latest_status.uuid.map(|_| latest_status.clone()).into_iter().collect();
        OperationView {
            framework_id: self.framework_id.clone(),
            agent_id: Some(self.agent_id.clone()),
            operation: self.operation.clone(),
            latest_status,
            statuses,
            uuid,
        }
    }
}
