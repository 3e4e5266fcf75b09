//! Operations on resources in a transcript: what an ACCEPT changes before it launches, statuses, and
//! the same by an operator.

use super::describe::of_dynamic;
use super::stage::{Done, Stage, bad};
use super::words::{Words, number};
use master_core::testing;
use proto::scheduler::CallBody;
use proto::{AgentId, Operation, OperationId, Piece, ResourceChange, Resources, operator};

/// `ID:ROLE:MB`, with what stands behind `+` or `-`.
fn volume(text: &str) -> Result<(Piece, &str, u64), String> {
    let wrong = || format!("'{text}' is not ID:ROLE:MB");
    let (volume, by) = text.split_once(['+', '-']).unwrap_or((text, "0"));
    let mut parts = volume.split(':');
    let mut part = || parts.next().ok_or_else(wrong);
    let (id, role, mb) = (part()?, part()?, number(part()?)?);
    Ok((testing::volume(id, role, mb), role, number(by)?))
}

fn operation(key: &str, value: &str, id: &str) -> Result<Option<Operation>, String> {
    Ok(Some(match key {
        "reserve" => testing::reserve(id, of_dynamic(value)?),
        "unreserve" => testing::unreserve(id, of_dynamic(value)?),
        "create" => testing::create(id, &[volume(value)?.0]),
        "destroy" => testing::destroy(id, &[volume(value)?.0]),
        "grow" => {
            let (piece, role, by) = volume(value)?;
            testing::grow(id, &piece, role, by)
        }
        "shrink" => {
            let (piece, _, by) = volume(value)?;
            testing::shrink(id, &piece, by)
        }
        _ => return Ok(None),
    }))
}

/// The changes that a command names, in their order: `reserve=ROLE:CPUS/MEM/DISK`, `unreserve=`,
/// `create=ID:ROLE:MB`, `destroy=`, `grow=ID:ROLE:MB+MB`, `shrink=ID:ROLE:MB-MB`; their ids are
/// those of `ids=`, one after the other.
pub(super) fn changes(words: &Words<'_>) -> Result<Vec<Operation>, String> {
    let mut ids = words.pair("ids").unwrap_or_default().split(',');
    let mut changes = Vec::new();
    for (key, value) in words.all_pairs() {
        if operation(key, value, "")?.is_some() {
            changes.extend(operation(key, value, ids.next().unwrap_or_default())?);
        }
    }
    Ok(changes)
}

/// The volume that tasks use: `volume=ID:ROLE:MB`.
pub(super) fn volume_of_tasks(words: &Words<'_>) -> Result<Resources, String> {
    let piece = words.pair("volume").map(volume).transpose()?;
    Ok(piece.into_iter().map(|(piece, ..)| piece).collect())
}

impl Stage {
    /// `change AGENT` with one change: the same by an operator.
    pub(super) fn change(&mut self, agent: &str, words: &Words<'_>) -> Done {
        let agent_id = AgentId::new(agent).map_err(bad)?;
        let changes = changes(words)?;
        let Some(Operation::Change(operation)) = changes.into_iter().next() else {
            return Err("no change is named".to_owned());
        };
        let change: ResourceChange = operation.change;
        self.ask(operator::Call::ChangeResources { agent_id, change })
    }

    /// `operations F [ID[@AGENT] ..]`: RECONCILE_OPERATIONS.
    pub(super) fn operations(&mut self, name: &str, words: &Words<'_>) -> Done {
        let mut operations = Vec::new();
        for word in words.rest(2) {
            let (id, agent) = word.split_once('@').map_or((*word, None), |(i, a)| (i, Some(a)));
            let agent = agent.map(|id| AgentId::new(id).map_err(bad)).transpose()?;
            operations.push((OperationId::new(id).map_err(bad)?, agent));
        }
        self.call(name, CallBody::ReconcileOperations { operations })
    }

    /// `confirm F ID`: acknowledges the status of an operation that asked for it.
    pub(super) fn confirm(&mut self, name: &str, id: &str) -> Done {
        let operation_id = OperationId::new(id).map_err(bad)?;
        let known = self.player(name)?.operations.get(&operation_id).cloned();
        let (agent_id, uuid) = known.ok_or(format!("{name} has no status of {id}"))?;
        let body = CallBody::AcknowledgeOperationStatus { agent_id, uuid, operation_id };
        self.call(name, body)
    }
}
