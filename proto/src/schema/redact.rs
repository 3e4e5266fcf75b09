//! Leaves secrets out of an encoded message, wherever in it they stand.
//!
//! The schema says what is a secret (`mesos.v1.Secret`); no message needs code of its own.

use super::{Kind, MESOS__V1__ENVIRONMENT__VARIABLE, MESOS__V1__SECRET, Message, Reader, Value};
use prost::encoding::{WireType, encode_key, encode_varint};
use std::ptr;

/// Deeper than any message that passes the check; ends what was made by hand.
const MAX_DEPTH: usize = 100;

/// What is left where a secret was.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// An environment variable without its value: for people, who see that there is one.
    Names,
    /// Nothing of the environment variable: for who opens the message again.
    Nothing,
}

/// `bytes`, an encoded `message`, without secrets; nothing when there are none in it, as there
/// mostly are. Linear in the bytes for each level of messages within messages.
pub(crate) fn without_secrets(
    message: &'static Message,
    bytes: &[u8],
    left: Left,
) -> Option<Vec<u8>> {
    has_secrets(message, bytes, 1).then(|| {
        let mut out = Vec::with_capacity(bytes.len());
        copy(message, bytes, left, &mut out);
        out
    })
}

/// The message in a field, if that is one.
fn nested<'a>(
    message: &'static Message,
    number: u32,
    value: Value<'a>,
) -> Option<(&'static Message, &'a [u8])> {
    let field = &message.fields[message.by_number(number)?];
    match (field.kind, value) {
        (Kind::Message(nested), Value::Bytes(bytes)) => Some((nested, bytes)),
        _ => None,
    }
}

fn has_secrets(message: &'static Message, bytes: &[u8], depth: usize) -> bool {
    let mut reader = Reader::new(bytes);
    while let Ok(Some((number, value))) = reader.field() {
        let Some((message, bytes)) = nested(message, number, value) else { continue };
        let is_secret = ptr::eq(message, &raw const MESOS__V1__SECRET);
        if is_secret || (depth < MAX_DEPTH && has_secrets(message, bytes, depth + 1)) {
            return true;
        }
    }
    false
}

fn copy(message: &'static Message, bytes: &[u8], left: Left, out: &mut Vec<u8>) {
    let mut reader = Reader::new(bytes);
    let mut rest = reader.rest();
    while let Ok(Some((number, value))) = reader.field() {
        let field = &rest[..rest.len() - reader.rest().len()];
        rest = reader.rest();
        match nested(message, number, value) {
            Some((message, _)) if ptr::eq(message, &raw const MESOS__V1__SECRET) => {}
            Some((message, bytes)) if has_secrets(message, bytes, 1) => {
                let is_variable = ptr::eq(message, &raw const MESOS__V1__ENVIRONMENT__VARIABLE);
                if is_variable && left == Left::Nothing {
                    continue;
                }
                let mut inner = Vec::with_capacity(bytes.len());
                copy(message, bytes, left, &mut inner);
                encode_key(number, WireType::LengthDelimited, out);
                encode_varint(inner.len() as u64, out);
                out.extend_from_slice(&inner);
            }
            _ => out.extend_from_slice(field),
        }
    }
}
