//! About how many bytes of memory a message holds while it waits for its reader.
//!
//! Estimates, made from what is unbounded in a message (texts, data, lists): they bound memory,
//! nothing is decided by their last digit. What is shared with the core's tables counts as well,
//! because the tables may let go of it first.

use proto::agent_link::{AgentEvent, Command};
use proto::scheduler::{Event, StateOutcome};
use proto::{FrameworkInfo, Offer, Piece, Reservation, Resources, TaskInfo, TaskStatus, Value};
use std::sync::Arc;

/// What stands for small fields: ids, names, and what an allocation costs.
const SMALL: usize = 128;

/// A message whose memory can be estimated; always the same for one message.
pub(crate) trait Weigh {
    /// In bytes.
    fn weight(&self) -> usize;
}

impl Weigh for Event {
    fn weight(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Offers(offers) => offers.iter().map(offer).sum(),
                Self::Update(update) => status(update),
                Self::Message { data, .. } => SMALL + data.len(),
                Self::Error(message) | Self::Refused { message, .. } => message.len(),
                Self::InverseOffers(offers) => {
                    offers.iter().map(|offer| SMALL + resources(&offer.resources)).sum()
                }
                Self::UpdateOperationStatus(status) => {
                    let message = status.message.as_ref().map_or(0, |message| message.len());
                    SMALL + message + resources(&status.converted)
                }
                Self::State(answer) => state(&answer.outcome),
                Self::Subscribed { .. }
                | Self::RescindInverseOffer(_)
                | Self::Rescind(_)
                | Self::Failure { .. }
                | Self::Heartbeat => SMALL,
            }
    }
}

impl Weigh for Command {
    fn weight(&self) -> usize {
        size_of::<Self>()
            + match &self.event {
                AgentEvent::Run { framework: info, tasks, .. } => {
                    framework(info) + tasks.iter().map(task).sum::<usize>()
                }
                AgentEvent::RunByExecutors { framework: info, tasks, start, .. } => {
                    let start = start.len() * SMALL;
                    framework(info) + tasks.iter().map(task).sum::<usize>() + start
                }
                AgentEvent::ShutdownExecutor { .. } => SMALL,
                AgentEvent::UpdateFramework { framework: info } => framework(info),
                AgentEvent::Reregistered { reconcile, .. } => reconcile.len() * SMALL,
                AgentEvent::Message { data, .. } => SMALL + data.len(),
                AgentEvent::Refused { message, .. } => message.len(),
                AgentEvent::Volumes { volumes, destroyed, .. } => {
                    SMALL + volumes.iter().chain(destroyed).map(piece).sum::<usize>()
                }
                AgentEvent::Registered { .. }
                | AgentEvent::Ping { .. }
                | AgentEvent::Kill { .. }
                | AgentEvent::Acknowledge { .. }
                | AgentEvent::ShutdownFramework { .. } => SMALL,
            }
    }
}

fn state(outcome: &StateOutcome) -> usize {
    match outcome {
        StateOutcome::Found(entries) => {
            entries.iter().map(|entry| SMALL + entry.key.len() + entry.value.len()).sum()
        }
        StateOutcome::Done { key, .. } | StateOutcome::Conflict { key, .. } => SMALL + key.len(),
        StateOutcome::Refused { message } => SMALL + message.len(),
    }
}

fn offer(offer: &Offer) -> usize {
    let executors = offer.executor_ids.len() * SMALL;
    size_of::<Offer>() + SMALL + resources(&offer.resources) + executors
}

/// A status with its message and its data.
pub(crate) fn status(status: &TaskStatus) -> usize {
    SMALL
        + status.message.as_ref().map_or(0, |message| message.len())
        + status.data.as_ref().map_or(0, |data| data.len())
}

fn task(task: &TaskInfo) -> usize {
    let executor = task.executor.as_ref();
    let executor = executor.map_or(0, |e| e.payload.len() + resources(&e.resources));
    let limits = task.limits.len() * SMALL;
    let payload = task.payload.bytes.len();
    size_of::<TaskInfo>() + SMALL + resources(&task.resources) + limits + payload + executor
}

/// A framework with all its texts.
pub(crate) fn framework(info: &FrameworkInfo) -> usize {
    let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
    let texts = info.user.len()
        + info.name.len()
        + info.hostname.len()
        + text(&info.principal)
        + text(&info.webui_url);
    let label = |(name, value): &(Arc<str>, Option<Arc<str>>)| SMALL + name.len() + text(value);
    let labels = info.labels.iter().map(label).sum::<usize>();
    let least = info.min_allocatable.values().flatten();
    let least = least.map(|amounts| SMALL + amounts.iter().count() * SMALL).sum::<usize>();
    size_of::<FrameworkInfo>() + texts + info.roles.len() * SMALL + labels + least
}

/// Resources with all their pieces.
pub(crate) fn resources(resources: &Resources) -> usize {
    resources.pieces().iter().map(piece).sum()
}

/// A piece with its reservations and their labels.
fn piece(piece: &Piece) -> usize {
    let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
    let label = |(name, value): &(Arc<str>, Option<Arc<str>>)| SMALL + name.len() + text(value);
    let reservation = |reservation: &Reservation| {
        let labels = reservation.labels.iter().map(label).sum::<usize>();
        SMALL + text(&reservation.principal) + labels
    };
    let value = match &piece.value {
        Value::Scalar(_) => SMALL,
        Value::Ranges(ranges) => SMALL + size_of_val(ranges.pairs()),
        Value::Set(items) => SMALL + items.iter().map(|item| 32 + item.len()).sum::<usize>(),
    };
    let disk = piece.flavor.disk().map_or(0, |disk| {
        let source = disk.source.as_ref();
        let metadata = source.map_or(0, |source| source.metadata.iter().map(label).sum());
        4 * SMALL + metadata
    });
    value + piece.flavor.reservations().iter().map(reservation).sum::<usize>() + disk
}
