//! Checks an encoded message against the schema and the limits before anything is built from it.
//!
//! One pass over the bytes, without allocation unless it fails: well-formedness, depth, number of
//! list elements, length and UTF-8 of texts, and presence of required fields. What passes can be
//! decoded in memory proportional to its size. It must never look at what a field means.

use super::{Field, Kind, Label, Message, Reader, Text, Value};
use crate::{DecodeError, Limits};

/// More fields than any message has; the generator asserts it.
const MAX_FIELDS: usize = 32;

/// Checks `bytes`, an encoded `message`.
pub(crate) fn check(
    message: &'static Message,
    bytes: &[u8],
    limits: &Limits,
) -> Result<(), DecodeError> {
    if bytes.len() > limits.body_bytes {
        let problem = format!(
            "the message has {} bytes, at most {} are allowed",
            bytes.len(),
            limits.body_bytes
        );
        return Err(DecodeError::new("", problem));
    }
    nested(message, bytes, limits, 1)
}

fn nested(
    message: &'static Message,
    bytes: &[u8],
    limits: &Limits,
    depth: usize,
) -> Result<(), DecodeError> {
    if depth > limits.depth {
        return Err(DecodeError::new("", format!("is nested deeper than {} levels", limits.depth)));
    }
    let mut counts = [0_u32; MAX_FIELDS];
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.field().map_err(|e| DecodeError::new("", e))? {
        let Some(index) = message.by_number(number) else { continue };
        let field = &message.fields[index];
        let count = counts[index] as usize;
        match one(field, value, limits, depth, count) {
            Ok(elements) => counts[index] = counts[index].saturating_add(elements),
            Err(error) if matches!(field.label, Label::Repeated | Label::Map) => {
                return Err(error.within(&format!("{}[{count}]", field.name)));
            }
            Err(error) => return Err(error.within(field.name)),
        }
        if counts[index] as usize > limits.list_items
            && matches!(field.label, Label::Repeated | Label::Map)
        {
            let problem = format!("has more than {} elements", limits.list_items);
            return Err(DecodeError::new(field.name, problem));
        }
    }
    for (field, count) in message.fields.iter().zip(counts) {
        if field.label == Label::Required && count == 0 {
            return Err(DecodeError::missing(field.name));
        }
    }
    Ok(())
}

/// Checks one occurrence; says how many elements it counts for (an unknown enum value counts for
/// none: it is as if it were not there).
fn one(
    field: &Field,
    value: Value<'_>,
    limits: &Limits,
    depth: usize,
    count: usize,
) -> Result<u32, DecodeError> {
    let fail = |problem: String| Err(DecodeError::new("", problem));
    match (field.kind, value) {
        (Kind::Message(message), Value::Bytes(bytes)) => {
            nested(message, bytes, limits, depth + 1)?;
            Ok(1)
        }
        (Kind::String(text), Value::Bytes(bytes)) => {
            let most = match text {
                Text::Name => limits.name_bytes,
                Text::Free => limits.text_bytes,
            };
            if bytes.len() > most {
                return fail(format!("has {} bytes, at most {most} are allowed", bytes.len()));
            }
            if std::str::from_utf8(bytes).is_err() {
                return fail("is not UTF-8".to_owned());
            }
            Ok(1)
        }
        (Kind::Bytes, Value::Bytes(bytes)) if bytes.len() > limits.text_bytes => {
            fail(format!("has {} bytes, at most {} are allowed", bytes.len(), limits.text_bytes))
        }
        (Kind::Bytes, Value::Bytes(_)) => Ok(1),
        (Kind::Enum(kind), Value::Varint(number)) => {
            // Negative numbers are sign-extended to 64 bits; a cast takes the low half.
            Ok(u32::from(kind.name(number as i32).is_some()))
        }
        (Kind::Double, Value::Fixed64(_)) | (Kind::Fixed64, Value::Fixed64(_)) => Ok(1),
        (
            Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool,
            Value::Varint(_),
        ) => Ok(1),
        (kind, Value::Bytes(packed)) if field.label == Label::Repeated => {
            let room = limits.list_items.saturating_sub(count);
            packed_elements(kind, packed, room)
        }
        _ => fail("has the wrong wire type".to_owned()),
    }
}

/// Counts the elements of a packed list, which is at most one a byte.
fn packed_elements(kind: Kind, packed: &[u8], room: usize) -> Result<u32, DecodeError> {
    let mut reader = Reader::new(packed);
    let mut elements = 0_usize;
    if matches!(kind, Kind::Double | Kind::Fixed64) {
        elements = packed.len() / 8;
    } else {
        while !reader.rest().is_empty() && elements <= room {
            reader.varint().map_err(|e| DecodeError::new("", e))?;
            elements += 1;
        }
    }
    Ok(u32::try_from(elements).unwrap_or(u32::MAX))
}
