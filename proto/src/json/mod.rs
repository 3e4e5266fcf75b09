//! JSON text of wire messages, driven by the schema: text to protobuf bytes and back.
//!
//! No message has code of its own here. The rules are those of Mesos' own converter: names of
//! fields as in the schema, enums by name, bytes in base64, 64-bit numbers as numbers, strings
//! accepted where a number or a boolean is due, unknown fields ignored, `null` is absence, a bare
//! value is a list of one. Output is one line of ASCII: there are clients that cut records by bytes
//! out of decoded text.
//!
//! Reading never sets memory aside that the text does not account for: it walks the text once and
//! writes protobuf as it goes; no tree is built.

mod parser;
mod read;
mod write;

pub(crate) use read::read;
pub(crate) use write::write;

#[cfg(test)]
mod tests;
