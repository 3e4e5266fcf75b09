//! Protobuf bytes to JSON text.
//!
//! The bytes are our own encoding, or went through the check when they came in; what is malformed
//! nevertheless (an opaque payload that somebody made by hand) is left out, never a panic.

use crate::schema::{Default, Field, Kind, Label, Message, Reader, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;

/// Deeper than any message that passes the check; ends what was made by hand.
const MAX_DEPTH: usize = 100;

/// Writes an encoded message of this schema as one line of ASCII.
pub(crate) fn write(message: &'static Message, bytes: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(bytes.len() * 3);
    object(message, bytes, 1, &mut out);
    out.into_bytes()
}

fn object(message: &'static Message, bytes: &[u8], depth: usize, out: &mut String) {
    let mut found: Vec<(usize, Value<'_>)> = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Ok(Some((number, value))) = reader.field() {
        if let Some(index) = message.by_number(number) {
            found.push((index, value));
        }
    }
    // Stable: repeated values keep their order.
    found.sort_by_key(|(index, _)| *index);
    out.push('{');
    let mut rest = found.as_slice();
    let mut first = true;
    for (index, field) in message.fields.iter().enumerate() {
        let count = rest.iter().take_while(|(i, _)| *i == index).count();
        let (values, after) = rest.split_at(count);
        rest = after;
        let before = out.len();
        if !first {
            out.push(',');
        }
        string(field.name, out);
        out.push(':');
        if member(field, values, depth, out) {
            first = false;
        } else {
            out.truncate(before);
        }
    }
    out.push('}');
}

/// Writes the values of a field; false when there is nothing to write.
fn member(
    field: &'static Field,
    values: &[(usize, Value<'_>)],
    depth: usize,
    out: &mut String,
) -> bool {
    match (field.label, values) {
        (Label::Repeated | Label::Map, []) => false,
        (Label::Optional | Label::Required, []) => default(field, out),
        // Of a field that should stand once the last counts that means something: a value that an
        // enum does not have is as if it were not there.
        (Label::Optional | Label::Required, values) => {
            let mut values = values.iter().rev();
            values.any(|(_, one)| value(field.kind, *one, depth, out)) || default(field, out)
        }
        (Label::Repeated, values) => {
            out.push('[');
            let mut first = true;
            for (_, one) in values {
                for one in unpack(field.kind, *one) {
                    element(&mut first, out, |out| value(field.kind, one, depth, out));
                }
            }
            out.push(']');
            true
        }
        (Label::Map, values) => {
            out.push('{');
            let mut first = true;
            for (_, entry) in values {
                if let (Kind::Message(message), Value::Bytes(bytes)) = (field.kind, entry) {
                    element(&mut first, out, |out| self::entry(message, bytes, depth, out));
                }
            }
            out.push('}');
            true
        }
    }
}

/// Writes a separator and an element, or neither.
fn element(first: &mut bool, out: &mut String, write: impl FnOnce(&mut String) -> bool) {
    let before = out.len();
    if !*first {
        out.push(',');
    }
    if write(out) {
        *first = false;
    } else {
        out.truncate(before);
    }
}

fn entry(message: &'static Message, bytes: &[u8], depth: usize, out: &mut String) -> bool {
    let (Some(key_field), Some(value_field)) = (message.by_name("key"), message.by_name("value"))
    else {
        return false;
    };
    let (mut key, mut found) = (&b""[..], None);
    let mut reader = Reader::new(bytes);
    while let Ok(Some((number, value))) = reader.field() {
        match value {
            Value::Bytes(bytes) if number == key_field.number => key = bytes,
            value if number == value_field.number => found = Some(value),
            _ => {}
        }
    }
    string(&String::from_utf8_lossy(key), out);
    out.push(':');
    found.is_some_and(|found| value(value_field.kind, found, depth, out))
}

/// A packed list as its elements; anything else as itself.
fn unpack(kind: Kind, value: Value<'_>) -> Vec<Value<'_>> {
    let Value::Bytes(bytes) = value else { return vec![value] };
    match kind {
        Kind::Message(_) | Kind::String(_) | Kind::Bytes => vec![value],
        Kind::Double | Kind::Fixed64 => bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|bytes| Value::Fixed64(u64::from_le_bytes(*bytes)))
            .collect(),
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool | Kind::Enum(_) => {
            let mut reader = Reader::new(bytes);
            std::iter::from_fn(|| reader.varint().ok().map(Value::Varint)).collect()
        }
    }
}

fn default(field: &Field, out: &mut String) -> bool {
    match field.default {
        Default::None => return false,
        Default::Double(value) => double(value, out),
        Default::Int(value) => number(value, out),
        Default::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Default::Enum(name) => string(name, out),
    }
    true
}

/// Writes one value; false when it is none of its kind.
fn value(kind: Kind, value: Value<'_>, depth: usize, out: &mut String) -> bool {
    match (kind, value) {
        (Kind::Message(message), Value::Bytes(bytes)) if depth < MAX_DEPTH => {
            object(message, bytes, depth + 1, out);
        }
        (Kind::String(_), Value::Bytes(bytes)) => string(&String::from_utf8_lossy(bytes), out),
        (Kind::Bytes, Value::Bytes(bytes)) => {
            out.push('"');
            STANDARD.encode_string(bytes, out);
            out.push('"');
        }
        (Kind::Double, Value::Fixed64(bits)) => double(f64::from_bits(bits), out),
        (Kind::Fixed64, Value::Fixed64(value)) => number(value, out),
        // Casts undo the sign extension.
        (Kind::Int32, Value::Varint(value)) => number(value as i32, out),
        (Kind::Int64, Value::Varint(value)) => number(value as i64, out),
        (Kind::Uint32, Value::Varint(value)) => number(value as u32, out),
        (Kind::Uint64, Value::Varint(value)) => number(value, out),
        (Kind::Bool, Value::Varint(value)) => {
            out.push_str(if value == 0 { "false" } else { "true" });
        }
        (Kind::Enum(kind), Value::Varint(value)) => match kind.name(value as i32) {
            Some(name) => string(name, out),
            None => return false,
        },
        _ => return false,
    }
    true
}

fn number(value: impl std::fmt::Display, out: &mut String) {
    write!(out, "{value}").expect("writing to a string cannot fail");
}

/// Shortest digits that read back the same, always with a fraction or an exponent.
fn double(value: f64, out: &mut String) {
    if value.is_finite() {
        write!(out, "{value:?}").expect("writing to a string cannot fail");
    } else if value.is_nan() {
        out.push_str("\"NaN\"");
    } else {
        out.push_str(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    }
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(char),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("writing to a string cannot fail");
                }
            }
        }
    }
    out.push('"');
}
