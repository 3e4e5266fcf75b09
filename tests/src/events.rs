//! What happens in the world, and in which order.

use crate::faults::Fault;
use crate::group::Happening;
use crate::network::{Conn, Direction, Peer};
use proto::agent_link::{AgentCall, Command};
use proto::scheduler::{self, Call};
use proto::{ContainerId, TaskOutcome, Time};
use std::time::Duration;

/// A node with a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Node {
    /// A master.
    Master(usize),
    /// An agent.
    Agent(usize),
    /// A framework of the driver.
    Framework(usize),
}

/// What travels on a stream.
#[derive(Clone, Debug)]
pub(crate) enum Packet {
    /// From an agent.
    AgentCall(AgentCall),
    /// To an agent.
    AgentEvent(Command),
    /// From a framework.
    Call(Call),
    /// To a framework.
    Event(scheduler::Event),
    /// To either: this master does not lead; who does, if it knows.
    NotLeading(Option<usize>),
}

/// Something that happens at its time.
#[derive(Debug)]
pub(crate) enum Event {
    /// A core's deadline.
    Wake {
        node: Node,
    },
    /// A flush is done.
    Flushed {
        node: Node,
        incarnation: u64,
    },
    /// Something may arrive.
    Arrive {
        conn: Conn,
        way: Direction,
    },
    /// A way is free again.
    Freed {
        peer: Peer,
    },
    /// A dialled connection opens, if it can.
    Dialled {
        conn: Conn,
    },
    /// A dialled connection has waited for too long.
    DialTimeout {
        conn: Conn,
    },
    /// An HTTP request arrives.
    Http {
        framework: usize,
        host: usize,
        stream: Option<Conn>,
        call: Box<Call>,
    },
    /// The supervisor's word reaches the agent.
    SupervisorSays {
        agent: usize,
        incarnation: u64,
        input: Box<agent_core::Input>,
    },
    /// A process ends.
    ProcessEnds {
        agent: usize,
        boot: u64,
        container_id: ContainerId,
        outcome: Box<TaskOutcome>,
    },
    /// Something happens to the masters' registrars.
    Group(Box<Happening>),
    StartMaster(usize),
    /// A stopped process goes on.
    Resume {
        host: usize,
        incarnation: u64,
    },
    /// A master whose registrar leads has nothing to lead with.
    LeadAgain {
        host: usize,
    },
    StartAgent(usize),
    StartDriver(usize),
    /// An HTTP framework does something by itself.
    RawActs(usize),
    /// The operator asks for something.
    OperatorActs,
    /// The drivers' owners look at their plans.
    Work,
    /// A fault.
    Fault {
        fault: Fault,
        mean: Duration,
    },
    /// Nothing goes wrong any more.
    Heal,
    /// The state is looked at as a whole.
    Audit,
}

/// An event at its time; those of one time happen in the order in which they were planned.
#[derive(Debug)]
pub(crate) struct Scheduled {
    pub(crate) at: Time,
    pub(crate) number: u64,
    pub(crate) event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
