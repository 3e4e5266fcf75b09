//! The schema of the wire as data: what the check before decoding and the JSON transcoder read.
//!
//! The table is generated and committed, like prost's structs, from the same .proto files. With it
//! one piece of code knows every message, and none has code of its own for JSON, limits or
//! presence. It knows nothing of domain types.

mod check;
mod reader;
mod redact;
#[rustfmt::skip]
mod table;

pub(crate) use check::check;
pub(crate) use reader::{Reader, Value};
pub(crate) use redact::{Left, without_secrets};
pub(crate) use table::*;

/// A message: its fields, sorted by number.
pub(crate) struct Message {
    pub(crate) fields: &'static [Field],
}

impl Message {
    /// The index of the field with this number.
    pub(crate) fn by_number(&self, number: u32) -> Option<usize> {
        // Most messages number their fields 1, 2, 3.
        let guess = (number as usize).wrapping_sub(1);
        if self.fields.get(guess).is_some_and(|field| field.number == number) {
            return Some(guess);
        }
        self.fields.binary_search_by_key(&number, |field| field.number).ok()
    }

    /// The field of this name.
    pub(crate) fn by_name(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// A field of a message.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) number: u32,
    pub(crate) label: Label,
    pub(crate) kind: Kind,
    /// What JSON output says when the field is not set.
    pub(crate) default: Default,
}

/// How often a field may stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    Optional,
    Required,
    Repeated,
    /// A repeated message with the fields `key` (a string) and `value`.
    Map,
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Double,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Fixed64,
    Bool,
    String(Text),
    Bytes,
    Enum(&'static Enum),
    Message(&'static Message),
}

/// Which limit a string has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    /// `Limits::name_bytes`.
    Name,
    /// `Limits::text_bytes`.
    Free,
}

/// An explicit default of a field that is not deprecated.
#[derive(Clone, Copy)]
pub(crate) enum Default {
    None,
    Double(f64),
    Int(i64),
    Bool(bool),
    Enum(&'static str),
}

/// An enumeration: names and numbers.
pub(crate) struct Enum {
    pub(crate) values: &'static [(&'static str, i32)],
}

impl Enum {
    /// The number of a name.
    pub(crate) fn number(&self, name: &str) -> Option<i32> {
        self.values.iter().find(|(n, _)| *n == name).map(|(_, number)| *number)
    }

    /// The name of a number.
    pub(crate) fn name(&self, number: i32) -> Option<&'static str> {
        self.values.iter().find(|(_, n)| *n == number).map(|(name, _)| *name)
    }
}
