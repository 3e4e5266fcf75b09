//! Why calls are refused: typed, with the figures, and a sentence for people.

use crate::maintenance::MaintenanceInvalid;
use crate::operation::check::ChangeRefused;
use proto::scheduler::StateFence;
use proto::{AgentId, FrameworkId, Role};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why a call or a subscription is refused, with the figures. `Display` is a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Every call but the first SUBSCRIBE names its framework.
    FrameworkIdMissing,
    /// The framework is not known.
    FrameworkUnknown(FrameworkId),
    /// The framework has no event stream.
    NotSubscribed(FrameworkId),
    /// The call came on behalf of a stream that is not, or no longer, the framework's.
    WrongStream(FrameworkId),
    /// Part of the Mesos API, but not built yet.
    NotBuilt(Arc<str>),
    /// SUBSCRIBE among other calls.
    SubscribeNeedsStream,
    /// A role that the framework does not subscribe to.
    RoleNotSubscribed {
        /// The role.
        role: Role,
        /// What it subscribes to.
        subscribed: Vec<Role>,
    },
    /// A demand for nothing: no resources, or a count of zero.
    DemandEmpty {
        /// Its place in the list.
        index: usize,
    },
    /// More demands in one REQUEST than are kept.
    TooManyDemands {
        /// How many there were.
        given: usize,
        /// How many may be.
        limit: usize,
    },
    /// `framework_info.id` and `framework_id` of a SUBSCRIBE differ.
    FrameworkIdMismatch {
        /// `Call.framework_id`.
        call: Option<FrameworkId>,
        /// `FrameworkInfo.id`.
        info: Option<FrameworkId>,
    },
    /// The framework is over; its id is never used again.
    FrameworkRemoved(FrameworkId),
    /// Another scheduler of the framework has taken its place, which shows in what the framework
    /// keeps here.
    Fenced {
        /// What the scheduler believes.
        fence: StateFence,
        /// The version that the key has.
        version: u64,
    },
    /// Several roles without the capability.
    MultiRoleMissing,
    /// More roles than one framework may have.
    TooManyRoles {
        /// How many there were.
        given: usize,
        /// How many may be.
        limit: usize,
    },
    /// A suppressed role that is not among the roles.
    SuppressedRoleNotSubscribed(Role),
    /// The framework claims to be somebody else.
    PrincipalMismatch {
        /// Who it says it is.
        claimed: Option<Arc<str>>,
        /// Who it is.
        authenticated: Option<Arc<str>>,
    },
    /// What a framework keeps for life.
    Changed {
        /// The field.
        field: &'static str,
        /// As it was.
        was: Arc<str>,
        /// As it would be.
        claimed: Arc<str>,
    },
    /// The framework wants to be kept for longer than the operator allows.
    FailoverTimeoutTooLong {
        /// What it asked for.
        asked: Duration,
        /// What it may ask for.
        limit: Duration,
    },
    /// So many frameworks are kept for schedulers that are away that no new one is taken.
    TooManyFrameworksAway {
        /// How many there are.
        away: usize,
        /// How many may be.
        limit: usize,
    },
    /// What frameworks say of themselves is kept while their schedulers are away: it is so much
    /// that no new one is taken.
    FrameworksAwayTooLarge {
        /// Bytes that are kept.
        bytes: usize,
        /// How many may be.
        limit: usize,
    },
    /// The framework says more of itself than is kept of one.
    FrameworkInfoTooLarge {
        /// Bytes of it.
        bytes: usize,
        /// How many may be.
        limit: usize,
    },
    /// Tasks of root are not allowed here.
    RootSubmission,
    /// A role's weight must be more than zero.
    WeightZero(Role),
    /// A quota that makes no sense; says why.
    QuotaInvalid {
        /// The role.
        role: Role,
        /// The sentence about it.
        problem: Box<str>,
    },
    /// A quota that does not fit the cluster as it is: `force` sets it all the same.
    QuotaUnfit {
        /// The role.
        role: Role,
        /// The sentence about it.
        problem: Box<str>,
    },
    /// More tasks wait to be reconciled than may.
    TooMuchToReconcile {
        /// How many this call is about.
        asked: usize,
        /// How many wait.
        waiting: usize,
        /// How many may.
        limit: usize,
    },
    /// More operations on resources are remembered for a framework than may be.
    TooManyOperations {
        /// How many this call has.
        asked: usize,
        /// How many are under way or not acknowledged.
        known: usize,
        /// How many may be.
        limit: usize,
    },
    /// Operations on resources that are remembered for a framework take more than they may.
    OperationsTooLarge {
        /// Bytes of those in this call.
        asked: usize,
        /// Bytes of those that are under way or not acknowledged.
        known: usize,
        /// How many may be.
        limit: usize,
    },
    /// Resources of the agent cannot be changed like that.
    Change {
        /// Which agent.
        agent_id: AgentId,
        /// Why.
        refused: ChangeRefused,
    },
    /// The agent is known and not back yet.
    AgentAway(AgentId),
    /// The agent is not known, or gone.
    AgentUnknown {
        /// Which.
        agent_id: AgentId,
        /// The status code that Mesos has for it in this call.
        status: u16,
    },
    /// Offer constraints that cannot be used.
    ConstraintsInvalid {
        /// Of which role.
        role: Role,
        /// What is wrong with them.
        problem: Arc<str>,
    },
    /// A maintenance schedule that makes no sense, or machines that cannot go down or come up.
    Maintenance(MaintenanceInvalid),
    /// An agent that is being drained cannot be reactivated.
    StillDraining(AgentId),
    /// Only an agent that is marked gone can be forgotten.
    NotGone(AgentId),
}

impl Refusal {
    /// The status code of HTTP.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::AgentUnknown { status, .. } => *status,
            Self::NotSubscribed(_) | Self::RootSubmission | Self::PrincipalMismatch { .. } => 403,
            Self::NotBuilt(_) => 501,
            Self::TooManyFrameworksAway { .. }
            | Self::FrameworksAwayTooLarge { .. }
            | Self::TooManyOperations { .. }
            | Self::OperationsTooLarge { .. }
            | Self::TooMuchToReconcile { .. } => 503,
            Self::AgentAway(_) | Self::NotGone(_) | Self::Fenced { .. } => 409,
            Self::Change { refused, .. } if refused.is_conflict() => 409,
            Self::FrameworkIdMissing
            | Self::FrameworkUnknown(_)
            | Self::WrongStream(_)
            | Self::SubscribeNeedsStream
            | Self::RoleNotSubscribed { .. }
            | Self::DemandEmpty { .. }
            | Self::TooManyDemands { .. }
            | Self::TooManyRoles { .. }
            | Self::FrameworkIdMismatch { .. }
            | Self::FrameworkRemoved(_)
            | Self::MultiRoleMissing
            | Self::SuppressedRoleNotSubscribed(_)
            | Self::Changed { .. }
            | Self::FailoverTimeoutTooLong { .. }
            | Self::FrameworkInfoTooLarge { .. }
            | Self::StillDraining(_)
            | Self::Change { .. }
            | Self::Maintenance(_)
            | Self::ConstraintsInvalid { .. }
            | Self::WeightZero(_)
            | Self::QuotaInvalid { .. }
            | Self::QuotaUnfit { .. } => 400,
        }
    }
}

fn too_large(f: &mut fmt::Formatter<'_>, bytes: usize, limit: usize) -> fmt::Result {
    write!(
        f,
        "frameworks that wait for their schedulers take {bytes} bytes, {limit} may be taken: no \
         new framework is taken until one comes back, is torn down or reaches its failover timeout"
    )
}

fn too_many_operations(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    [asked, known, limit]: [usize; 3],
) -> fmt::Result {
    write!(
        f,
        "{asked} {what}, and {known} are under way or not acknowledged; at most {limit} may \
         be: acknowledge their statuses first"
    )
}

fn fenced(f: &mut fmt::Formatter<'_>, fence: &StateFence, version: u64) -> fmt::Result {
    let StateFence { key, version: old } = fence;
    write!(
        f,
        "another scheduler has taken over this framework: '{key}' of its state has version \
         {version}, no longer {old}"
    )
}

fn away(f: &mut fmt::Formatter<'_>, agent_id: &AgentId) -> fmt::Result {
    write!(
        f,
        "agent {agent_id} is not registered with this master now: its resources can be changed \
         when it is back"
    )
}

fn still_draining(f: &mut fmt::Formatter<'_>, id: &AgentId) -> fmt::Result {
    write!(f, "agent {id} is being drained: it can be reactivated once it is drained")
}

fn not_gone(f: &mut fmt::Formatter<'_>, id: &AgentId) -> fmt::Result {
    write!(f, "agent {id} is not gone: it can be forgotten once it is marked gone")
}

fn or_none<T: fmt::Display>(value: Option<&T>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| format!("'{value}'"))
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FrameworkIdMissing => f.write_str("framework_id is missing"),
            Self::FrameworkUnknown(id) => write!(f, "Framework cannot be found: {id}"),
            Self::NotSubscribed(id) => {
                write!(f, "Framework is not subscribed: {id} has no event stream; subscribe first")
            }
            Self::WrongStream(id) => write!(
                f,
                "The stream ID included in this request didn't match the stream ID currently \
                 associated with framework ID {id}"
            ),
            Self::NotBuilt(what) => write!(f, "{what} is not built yet"),
            Self::SubscribeNeedsStream => f.write_str("SUBSCRIBE opens a stream of its own"),
            Self::RoleNotSubscribed { role, subscribed } => {
                let subscribed: Vec<&str> = subscribed.iter().map(Role::as_str).collect();
                let all = subscribed.join(", ");
                write!(f, "role '{role}' is not one of the framework's roles ({all})")
            }
            Self::DemandEmpty { index } => {
                write!(f, "requests[{index}] asks for nothing: it needs resources and a count")
            }
            Self::TooManyDemands { given, limit } => {
                write!(f, "{given} requests in one call; at most {limit} are kept")
            }
            Self::TooManyRoles { given, limit } => {
                write!(f, "{given} roles; one framework may subscribe to {limit} at the most")
            }
            Self::FrameworkIdMismatch { call, info } => write!(
                f,
                "framework_id {} and framework_info.id {} differ",
                or_none(call.as_ref()),
                or_none(info.as_ref())
            ),
            Self::FrameworkRemoved(_) => f.write_str("Framework has been removed"),
            Self::MultiRoleMissing => {
                f.write_str("'FrameworkInfo.roles' needs the capability MULTI_ROLE")
            }
            Self::SuppressedRoleNotSubscribed(role) => {
                write!(f, "suppressed role '{role}' is not one of the framework's roles")
            }
            Self::PrincipalMismatch { claimed, authenticated } => write!(
                f,
                "Framework principal {} does not match authenticated principal {}",
                or_none(claimed.as_ref()),
                or_none(authenticated.as_ref())
            ),
            Self::Changed { field, was, claimed } => write!(
                f,
                "Changing framework's {field} is not allowed: was {was}, would be {claimed}"
            ),
            Self::Fenced { .. }
            | Self::FailoverTimeoutTooLong { .. }
            | Self::TooManyFrameworksAway { .. }
            | Self::FrameworksAwayTooLarge { .. }
            | Self::FrameworkInfoTooLarge { .. }
            | Self::RootSubmission
            | Self::TooMuchToReconcile { .. }
            | Self::TooManyOperations { .. }
            | Self::OperationsTooLarge { .. }
            | Self::Change { .. }
            | Self::AgentAway(_)
            | Self::AgentUnknown { .. }
            | Self::ConstraintsInvalid { .. }
            | Self::Maintenance(_)
            | Self::StillDraining(_)
            | Self::NotGone(_)
            | Self::WeightZero(_)
            | Self::QuotaInvalid { .. }
            | Self::QuotaUnfit { .. } => self.fmt_bounds(f),
        }
    }
}

impl Refusal {
    /// The words for limits, options, operators' orders and quotas.
    fn fmt_bounds(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fenced { fence, version } => fenced(f, fence, *version),
            Self::FailoverTimeoutTooLong { asked, limit } => write!(
                f,
                "failover_timeout is {} seconds; at most {} are allowed",
                asked.as_secs(),
                limit.as_secs()
            ),
            Self::TooManyFrameworksAway { away, limit } => write!(
                f,
                "{away} frameworks wait for their schedulers, {limit} may: no new framework is \
                 taken until one comes back, is torn down or reaches its failover timeout"
            ),
            Self::FrameworksAwayTooLarge { bytes, limit } => too_large(f, *bytes, *limit),
            Self::FrameworkInfoTooLarge { bytes, limit } => write!(
                f,
                "framework_info takes {bytes} bytes; {limit} may be taken by one framework: it \
                 needs fewer or shorter labels and roles"
            ),
            Self::RootSubmission => {
                f.write_str("User 'root' is not allowed to run frameworks without root submissions")
            }
            Self::TooMuchToReconcile { asked, waiting, limit } => write!(
                f,
                "{asked} tasks to reconcile, and {waiting} wait; at most {limit} may: ask again \
                 when the answers have come"
            ),
            Self::TooManyOperations { asked, known, limit } => {
                too_many_operations(f, "operations", [*asked, *known, *limit])
            }
            Self::OperationsTooLarge { asked, known, limit } => {
                too_many_operations(f, "bytes of operations", [*asked, *known, *limit])
            }
            Self::Change { agent_id, refused } => write!(f, "agent {agent_id}: {refused}"),
            Self::AgentAway(agent_id) => away(f, agent_id),
            Self::AgentUnknown { agent_id, .. } => {
                write!(f, "Agent cannot be found: {agent_id} is not registered, or is gone")
            }
            Self::ConstraintsInvalid { role, problem } => {
                write!(f, "offer_constraints of role '{role}': {problem}")
            }
            Self::Maintenance(invalid) => write!(f, "{invalid}"),
            Self::StillDraining(id) => still_draining(f, id),
            Self::NotGone(id) => not_gone(f, id),
            Self::WeightZero(role) => {
                write!(f, "the weight of role '{role}' must be more than zero")
            }
            Self::QuotaInvalid { role, problem } => {
                write!(f, "the quota of role '{role}' {problem}")
            }
            Self::QuotaUnfit { role, problem } => {
                write!(f, "the quota of role '{role}' {problem}; set it with force all the same")
            }
            Self::FrameworkIdMissing
            | Self::FrameworkUnknown(_)
            | Self::NotSubscribed(_)
            | Self::WrongStream(_)
            | Self::NotBuilt(_)
            | Self::SubscribeNeedsStream
            | Self::RoleNotSubscribed { .. }
            | Self::DemandEmpty { .. }
            | Self::TooManyDemands { .. }
            | Self::TooManyRoles { .. }
            | Self::FrameworkIdMismatch { .. }
            | Self::FrameworkRemoved(_)
            | Self::MultiRoleMissing
            | Self::SuppressedRoleNotSubscribed(_)
            | Self::PrincipalMismatch { .. }
            | Self::Changed { .. } => Ok(()),
        }
    }
}
