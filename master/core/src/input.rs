//! What reaches the master's core: calls of frameworks, agents and operators, broken streams, and
//! the passing of time.
//!
//! Inputs carry domain values that were decoded and limited by the shell. Whatever they say, they
//! cannot make the core fail: they are answered or refused.

use crate::order::Order;
use crate::registry::Quota;
use proto::agent_link::AgentCall;
use proto::scheduler::{Call, Subscribe};
use proto::{FrameworkId, Role, operator};
use std::fmt;
use std::sync::Arc;

/// A stream to a framework or to an agent. The shell numbers streams and never uses a number
/// twice in the life of one `Master`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

/// One request that waits for exactly one answer. The shell chooses the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// One input of `Master::step`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The time of `Master::deadline` has come. Harmless at any other time.
    Tick,
    /// A SUBSCRIBE on a fresh stream (or, over gRPC, again on the same one). It is answered on
    /// the stream: SUBSCRIBED, or ERROR and the end of the stream.
    Subscribe {
        /// The stream that events go to.
        connection: ConnectionId,
        /// `Call.framework_id`.
        framework_id: Option<FrameworkId>,
        /// The call.
        call: Box<Subscribe>,
        /// Who the authenticator says the caller is.
        principal: Option<Arc<str>>,
    },
    /// Any other call of a framework. Answered with exactly one `Effect::Accepted` or
    /// `Effect::Refused`. (A SUBSCRIBE in here is refused.)
    Call {
        /// Who waits for the answer.
        request: RequestId,
        /// The event stream on whose behalf it is made: the gRPC stream itself, or the stream
        /// that `Mesos-Stream-Id` names; absent when the header is missing or names none.
        connection: Option<ConnectionId>,
        /// The call.
        call: Call,
    },
    /// A framework's stream ended.
    FrameworkClosed {
        /// Which.
        connection: ConnectionId,
    },
    /// A message of an agent.
    AgentCall {
        /// The agent's stream.
        connection: ConnectionId,
        /// The message.
        call: AgentCall,
    },
    /// An agent's stream ended.
    AgentClosed {
        /// Which.
        connection: ConnectionId,
    },
    /// A call of an operator. Answered with exactly one `Effect::Answer` or `Effect::Refused`.
    Operator {
        /// Who waits for the answer.
        request: RequestId,
        /// The call.
        call: operator::Call,
    },
    /// An operator orders something of an agent. Answered as `Operator`.
    Order {
        /// Who waits for the answer.
        request: RequestId,
        /// The order.
        order: Order,
    },
    /// An operator sets a role's weight. Answered with `Effect::Answer` (`Ok`) or
    /// `Effect::Refused`.
    SetWeight {
        /// Who waits for the answer.
        request: RequestId,
        /// The role; it need not be in use.
        role: Role,
        /// In thousandths; 1000 is the weight of every role that was never set.
        weight_milli: u64,
    },
    /// An operator sets the quotas of some roles: of all, or of none when one is wrong. Answered
    /// with `Effect::Answer` (`Ok`) or `Effect::Refused`.
    SetQuota {
        /// Who waits for the answer.
        request: RequestId,
        /// The roles, which need not be in use, each once; the default quota removes a role's.
        quotas: Vec<(Role, Quota)>,
        /// Whether limits may be below what is consumed, and guarantees above what the cluster
        /// has.
        force: bool,
    },
}
