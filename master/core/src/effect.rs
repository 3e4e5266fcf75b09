//! What the master's core asks its shell to do.
//!
//! Effects are performed in order; `Persist` is a barrier. This file decides nothing.

use crate::input::{ConnectionId, RequestId};
use crate::publish::Change;
use crate::registry::RegistryOp;
use proto::agent_link::AgentEvent;
use proto::operator;
use proto::scheduler::Event;
use std::sync::Arc;

pub use crate::refusal::Refusal;

/// One effect, to be performed in the order it was pushed. A connection named here may have ended
/// in the meantime: then there is nothing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make this fact durable before anything after it leaves the process.
    Persist(RegistryOp),
    /// Send an event to a framework's stream.
    ToFramework {
        /// The stream.
        connection: ConnectionId,
        /// The event.
        event: Event,
    },
    /// End a framework's stream, after what was sent to it. No `FrameworkClosed` is owed for it,
    /// and one does no harm.
    CloseFramework {
        /// The stream.
        connection: ConnectionId,
    },
    /// Send a message to an agent's stream.
    ToAgent {
        /// The stream.
        connection: ConnectionId,
        /// The epoch in which this master leads: agents obey the newest only.
        epoch: u64,
        /// The message.
        event: AgentEvent,
    },
    /// End an agent's stream, after what was sent to it.
    CloseAgent {
        /// The stream.
        connection: ConnectionId,
    },
    /// The framework's call was taken (HTTP 202).
    Accepted {
        /// Whose.
        request: RequestId,
    },
    /// The call was refused and changed nothing.
    Refused {
        /// Whose.
        request: RequestId,
        /// The call's name on the wire.
        call: Arc<str>,
        /// Why.
        refusal: Refusal,
    },
    /// The answer to an operator.
    Answer {
        /// Whose.
        request: RequestId,
        /// The answer.
        response: Box<operator::Response>,
    },
    /// Tell whoever keeps a copy of the state. Comes after everything else of its step.
    Publish(Change),
}
