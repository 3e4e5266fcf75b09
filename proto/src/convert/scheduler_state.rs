//! Calls and answers about what the masters keep for a framework.

use super::{At, DecodeError, list_with, maybe, present, text, w};
use crate::scheduler::{
    CallBody, Event, StateAnswer, StateAsk, StateCall, StateEntry, StateFence, StateOutcome,
};
use std::sync::Arc;
use w::scheduler::call::{self, Type};
use w::scheduler::event::{self, state as wire};

/// Puts a call where it belongs in its envelope.
pub(super) fn write_call(state: &StateCall, out: &mut w::scheduler::Call) {
    let number = Some(state.number).filter(|number| *number > 0);
    let key = |key: &Arc<str>| Some(key.to_string());
    match &state.ask {
        StateAsk::Put { key: of, value, version, write, fence } => {
            let (key, value, version) = (key(of), Some(value.to_vec()), Some(*version));
            let (write, fence) = (*write, fence.as_ref().map(Into::into));
            out.state_put = Some(call::StatePut { number, key, value, version, write, fence });
        }
        StateAsk::Delete { key: of, version } => {
            out.state_delete =
                Some(call::StateDelete { number, key: key(of), version: Some(*version) });
        }
        StateAsk::Get { key: of } => out.state_get = Some(call::StateGet { number, key: key(of) }),
        StateAsk::List { prefix } => {
            let prefix = (!prefix.is_empty()).then(|| prefix.to_string());
            out.state_list = Some(call::StateList { number, prefix });
        }
    }
}

/// Reads a call, if it is one of these.
pub(super) fn read_call(
    kind: Type,
    call: w::scheduler::Call,
) -> Result<Option<CallBody>, DecodeError> {
    let (number, ask) = match kind {
        Type::StatePut => {
            let put = present(call.state_put, "state_put")?;
            let key = text(put.key, "state_put.key")?;
            let value = present(put.value, "state_put.value")?.into();
            let (version, write) = (put.version.unwrap_or(0), put.write);
            let fence = maybe(put.fence, "fence").at("state_put")?;
            (put.number, StateAsk::Put { key, value, version, write, fence })
        }
        Type::StateDelete => {
            let delete = present(call.state_delete, "state_delete")?;
            let key = text(delete.key, "state_delete.key")?;
            let version = present(delete.version, "state_delete.version")?;
            (delete.number, StateAsk::Delete { key, version })
        }
        Type::StateGet => {
            let get = present(call.state_get, "state_get")?;
            (get.number, StateAsk::Get { key: text(get.key, "state_get.key")? })
        }
        Type::StateList => {
            // It may come without a message of its own: all keys.
            let list = call.state_list.unwrap_or_default();
            (list.number, StateAsk::List { prefix: list.prefix.unwrap_or_default().into() })
        }
        _ => return Ok(None),
    };
    Ok(Some(CallBody::State(StateCall { number: number.unwrap_or(0), ask })))
}

impl From<&StateFence> for call::StateFence {
    fn from(fence: &StateFence) -> Self {
        Self { key: Some(fence.key.to_string()), version: Some(fence.version) }
    }
}

impl TryFrom<call::StateFence> for StateFence {
    type Error = DecodeError;
    fn try_from(wire: call::StateFence) -> Result<Self, DecodeError> {
        Ok(Self { key: text(wire.key, "key")?, version: present(wire.version, "version")? })
    }
}

pub(super) fn write_answer(answer: &StateAnswer) -> event::State {
    let bare = |key: &Arc<str>, version: u64| {
        vec![wire::Entry { key: Some(key.to_string()), version: Some(version), value: None }]
    };
    let (outcome, entries, message) = match &answer.outcome {
        StateOutcome::Done { key, version } => (wire::Outcome::Done, bare(key, *version), None),
        StateOutcome::Conflict { key, version } => {
            (wire::Outcome::Conflict, bare(key, *version), None)
        }
        StateOutcome::Found(entries) => {
            let entries = entries.iter().map(|entry| wire::Entry {
                key: Some(entry.key.to_string()),
                version: Some(entry.version),
                value: Some(entry.value.to_vec()),
            });
            (wire::Outcome::Found, entries.collect(), None)
        }
        StateOutcome::Refused { message } => {
            (wire::Outcome::Refused, Vec::new(), Some(message.to_string()))
        }
    };
    let number = Some(answer.number).filter(|number| *number > 0);
    event::State { number, outcome: Some(outcome as i32), entries, message }
}

pub(super) fn read_answer(wire: event::State) -> Result<Event, DecodeError> {
    let outcome = wire.outcome.and_then(|number| wire::Outcome::try_from(number).ok());
    let outcome = match present(outcome, "outcome")? {
        wire::Outcome::Done => {
            let (key, version) = one(wire.entries)?;
            StateOutcome::Done { key, version }
        }
        wire::Outcome::Conflict => {
            let (key, version) = one(wire.entries)?;
            StateOutcome::Conflict { key, version }
        }
        wire::Outcome::Found => StateOutcome::Found(list_with(wire.entries, "entries", entry)?),
        wire::Outcome::Refused => StateOutcome::Refused { message: text(wire.message, "message")? },
        wire::Outcome::Unknown => {
            return Err(DecodeError::new("outcome", "UNKNOWN is not known here"));
        }
    };
    Ok(Event::State(StateAnswer { number: wire.number.unwrap_or(0), outcome }))
}

fn one(entries: Vec<wire::Entry>) -> Result<(Arc<str>, u64), DecodeError> {
    let entry = present(entries.into_iter().next(), "entries")?;
    Ok((text(entry.key, "entries[0].key")?, present(entry.version, "entries[0].version")?))
}

fn entry(entry: wire::Entry) -> Result<StateEntry, DecodeError> {
    Ok(StateEntry {
        key: text(entry.key, "key")?,
        version: present(entry.version, "version")?,
        value: present(entry.value, "value")?.into(),
    })
}
