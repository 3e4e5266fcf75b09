//! The operations that change the registry.

use super::{Drain, Holdings, KnownOperation, Quota};
use crate::maintenance::Maintenance;
use proto::{AgentId, AgentInfo, FrameworkId, FrameworkInfo, MasterId, Role, StatusUuid, Time};
use std::sync::Arc;

/// One change of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryOp {
    /// The cluster's identity, drawn by the shell when there is none.
    FoundCluster {
        /// Its id.
        cluster_id: Arc<str>,
    },
    /// A master begins to lead. The shell makes it durable before it makes a `Master`.
    BeginEpoch {
        /// One more than the last one.
        epoch: u64,
        /// The master's id.
        master_id: MasterId,
    },
    /// An agent is admitted, or one that is already known is described anew.
    AdmitAgent {
        /// The agent, with its id.
        info: AgentInfo,
        /// Its software version.
        version: Arc<str>,
        /// The nonce of its registration, when it registered (rather than reregistered).
        nonce: Option<u64>,
        /// When it was first admitted.
        registered: Time,
    },
    /// The agent is given up until it comes back.
    MarkUnreachable {
        /// Which.
        agent_id: AgentId,
        /// Since when.
        since: Time,
    },
    /// The agent came back.
    MarkReachable {
        /// Which.
        agent_id: AgentId,
    },
    /// No offers are made of the agent until it is reactivated.
    DeactivateAgent {
        /// Which.
        agent_id: AgentId,
    },
    /// The agent is offered again; a drain of it is over.
    ReactivateAgent {
        /// Which.
        agent_id: AgentId,
    },
    /// The agent is deactivated and emptied, or is empty now.
    DrainAgent {
        /// Which.
        agent_id: AgentId,
        /// How, and how far it has come.
        drain: Drain,
    },
    /// The agent will never be back; its id is refused from now on.
    MarkGone {
        /// Which.
        agent_id: AgentId,
        /// Since when.
        since: Time,
        /// Whether something was reserved or made on it.
        kept: bool,
    },
    /// The maintenance schedule and the machines that are down, all of them.
    SetMaintenance {
        /// In place of what was.
        maintenance: Maintenance,
    },
    /// The agent is forgotten.
    RemoveAgent {
        /// Which.
        agent_id: AgentId,
    },
    /// The framework's scheduler is away; it is removed at the deadline.
    HoldFramework {
        /// The framework, with its id.
        info: FrameworkInfo,
        /// When it first subscribed.
        registered: Time,
        /// When it will be removed.
        deadline: Time,
    },
    /// The framework's scheduler is back.
    ReleaseFramework {
        /// Which.
        framework_id: FrameworkId,
    },
    /// The framework is over; its id is refused from now on.
    CompleteFramework {
        /// The framework, with its id.
        info: FrameworkInfo,
        /// When it first subscribed.
        registered: Time,
        /// When it ended.
        unregistered: Time,
    },
    /// A role's weight.
    SetWeight {
        /// The role.
        role: Role,
        /// In thousandths, more than zero; 1000 forgets it, being the default.
        weight_milli: u64,
    },
    /// A role's quota.
    SetQuota {
        /// The role.
        role: Role,
        /// The whole of it; the default forgets it.
        quota: Quota,
    },
    /// A role has no quota any more.
    RemoveQuota {
        /// The role.
        role: Role,
    },
    /// What is reserved and made on the agent at run time, all of it.
    SetHoldings {
        /// Which.
        agent_id: AgentId,
        /// In place of what was.
        holdings: Holdings,
    },
    /// An operation is under way, or it ended and its framework does not have the status yet.
    PutOperation {
        /// The identity of the operation, and of its last status.
        uuid: StatusUuid,
        /// In place of what was known of it.
        operation: KnownOperation,
    },
    /// The framework is to have state, or is described anew; its state stays.
    OpenState {
        /// The framework, with its id.
        info: FrameworkInfo,
        /// When it first subscribed.
        registered: Time,
    },
    /// A key of a framework's state has a new value.
    PutState {
        /// Whose.
        framework_id: FrameworkId,
        /// Which; never empty.
        key: Arc<str>,
        /// In place of what it had.
        value: Arc<[u8]>,
        /// One more than that of the framework's write before.
        version: u64,
        /// What the writer calls this write, to know it again.
        write: Option<u64>,
    },
    /// A key of a framework's state is gone.
    DeleteState {
        /// Whose.
        framework_id: FrameworkId,
        /// Which; an empty one, that none has, in snapshots.
        key: Arc<str>,
        /// As in `PutState`.
        version: u64,
    },
    /// A framework has no state any more.
    ForgetState {
        /// Whose.
        framework_id: FrameworkId,
        /// All its keys.
        keys: Vec<Arc<str>>,
    },
    /// The framework has the operation's last status, or nobody waits for it.
    RemoveOperation {
        /// Which.
        uuid: StatusUuid,
    },
}
