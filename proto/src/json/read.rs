//! JSON text to protobuf bytes.

use super::parser::{Parser, Shape};
use crate::error::shown;
use crate::schema::{Enum, Field, Kind, Label, Message};
use crate::{DecodeError, Limits};
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost::encoding::{WireType, encode_key, encode_varint};
use std::borrow::Cow;

/// Base64 as it is written everywhere, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

type Result<T> = std::result::Result<T, DecodeError>;

/// Reads `text`, a message of this schema. Presence is not checked here.
pub(crate) fn read(message: &'static Message, text: &[u8], limits: &Limits) -> Result<Vec<u8>> {
    if text.len() > limits.body_bytes {
        let problem = format!(
            "the message has {} bytes, at most {} are allowed",
            text.len(),
            limits.body_bytes
        );
        return Err(DecodeError::new("", problem));
    }
    let text = std::str::from_utf8(text).map_err(|_| DecodeError::new("", "is not UTF-8"))?;
    let mut parser = Parser::new(text, limits.depth);
    let mut out = Vec::new();
    object(message, &mut parser, &mut out)?;
    parser.end()?;
    Ok(out)
}

fn object(message: &'static Message, parser: &mut Parser<'_>, out: &mut Vec<u8>) -> Result<()> {
    let shape = parser.shape()?;
    if shape != Shape::Object {
        return Err(mismatch("an object", shape));
    }
    parser.enter()?;
    let mut first = true;
    while let Some(key) = parser.key(first)? {
        first = false;
        match message.by_name(&key) {
            None => parser.skip()?,
            Some(field) => member(field, parser, out).map_err(|e| e.within(field.name))?,
        }
    }
    Ok(())
}

fn member(field: &'static Field, parser: &mut Parser<'_>, out: &mut Vec<u8>) -> Result<()> {
    match (parser.shape()?, field.label) {
        (Shape::Null, _) => parser.null(),
        (Shape::Array, Label::Repeated) => {
            parser.enter()?;
            let mut count = 0;
            while parser.element(count == 0)? {
                let at = |error: DecodeError| error.within(&format!("[{count}]"));
                match parser.shape()? {
                    Shape::Null => parser.null()?,
                    _ => value(field, parser, out).map_err(at)?,
                }
                count += 1;
            }
            Ok(())
        }
        (Shape::Object, Label::Map) => {
            let Kind::Message(entry) = field.kind else {
                return Err(DecodeError::new("", "is no map in the schema"));
            };
            entries(field, entry, parser, out)
        }
        (shape, Label::Map) => Err(mismatch("an object", shape)),
        (_, Label::Optional | Label::Required | Label::Repeated) => value(field, parser, out),
    }
}

fn entries(
    field: &'static Field,
    entry: &'static Message,
    parser: &mut Parser<'_>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let (Some(key_field), Some(value_field)) = (entry.by_name("key"), entry.by_name("value"))
    else {
        return Err(DecodeError::new("", "is no map in the schema"));
    };
    parser.enter()?;
    let mut first = true;
    while let Some(key) = parser.key(first)? {
        first = false;
        if parser.shape()? == Shape::Null {
            parser.null()?;
            continue;
        }
        nested(field.number, out, |out| {
            length_delimited(key_field.number, key.as_bytes(), out);
            value(value_field, parser, out)
        })
        .map_err(|error| error.under(&key))?;
    }
    Ok(())
}

/// Writes a nested message whose length is known only afterwards.
fn nested(
    number: u32,
    out: &mut Vec<u8>,
    content: impl FnOnce(&mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    encode_key(number, WireType::LengthDelimited, out);
    let start = out.len();
    // Most nested messages are short: one byte of length, widened when that was wrong.
    out.push(0);
    content(out)?;
    let len = out.len() - start - 1;
    if let Ok(byte @ 0..0x80) = u8::try_from(len) {
        out[start] = byte;
    } else {
        let mut prefix = Vec::with_capacity(5);
        encode_varint(len as u64, &mut prefix);
        out.splice(start..=start, prefix);
    }
    Ok(())
}

fn length_delimited(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// One value of a field.
fn value(field: &'static Field, parser: &mut Parser<'_>, out: &mut Vec<u8>) -> Result<()> {
    let number = field.number;
    match field.kind {
        Kind::Message(message) => nested(number, out, |out| object(message, parser, out)),
        Kind::String(_) => {
            let text = string(parser, "a string")?;
            length_delimited(number, text.as_bytes(), out);
            Ok(())
        }
        Kind::Bytes => {
            let text = string(parser, "a string in base64")?;
            let bytes = BASE64
                .decode(text.as_bytes())
                .map_err(|error| DecodeError::new("", format!("is not base64: {error}")))?;
            length_delimited(number, &bytes, out);
            Ok(())
        }
        Kind::Enum(kind) => enumeration(field, kind, parser, out),
        Kind::Bool => {
            let value = boolean(parser)?;
            encode_key(number, WireType::Varint, out);
            out.push(u8::from(value));
            Ok(())
        }
        Kind::Double => {
            let value = double(parser)?;
            encode_key(number, WireType::SixtyFourBit, out);
            out.extend_from_slice(&value.to_le_bytes());
            Ok(())
        }
        Kind::Int32 => integer(number, parser, i32::MIN.into(), i32::MAX.into(), out),
        Kind::Int64 => integer(number, parser, i64::MIN.into(), i64::MAX.into(), out),
        Kind::Uint32 => integer(number, parser, 0, u32::MAX.into(), out),
        Kind::Uint64 => integer(number, parser, 0, u64::MAX.into(), out),
        Kind::Fixed64 => {
            let value = whole(parser, 0, u64::MAX.into())?;
            encode_key(number, WireType::SixtyFourBit, out);
            out.extend_from_slice(&(value as u64).to_le_bytes());
            Ok(())
        }
    }
}

fn mismatch(wanted: &str, shape: Shape) -> DecodeError {
    DecodeError::new("", format!("must be {wanted}, is {}", shape.name()))
}

fn string<'a>(parser: &mut Parser<'a>, wanted: &str) -> Result<Cow<'a, str>> {
    match parser.shape()? {
        Shape::String => parser.string(),
        shape => Err(mismatch(wanted, shape)),
    }
}

/// An enum value by its name. A name that the schema does not have is as if it were not there,
/// unless the field is required.
fn enumeration(
    field: &Field,
    kind: &Enum,
    parser: &mut Parser<'_>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let name = string(parser, "the name of a value")?;
    match kind.number(&name) {
        Some(value) => {
            encode_key(field.number, WireType::Varint, out);
            // Negative numbers are sign-extended to 64 bits.
            encode_varint(i64::from(value) as u64, out);
            Ok(())
        }
        None if field.label == Label::Required => {
            Err(DecodeError::new("", format!("'{}' is no known value", shown(&name))))
        }
        None => Ok(()),
    }
}

fn boolean(parser: &mut Parser<'_>) -> Result<bool> {
    match parser.shape()? {
        Shape::Bool => parser.boolean(),
        Shape::String => match &*parser.string()? {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(DecodeError::new("", "must be 'true' or 'false'")),
        },
        shape => Err(mismatch("a boolean", shape)),
    }
}

/// A number as it is written, bare or in a string.
fn digits<'a>(parser: &mut Parser<'a>) -> Result<Cow<'a, str>> {
    match parser.shape()? {
        Shape::Number => Ok(Cow::Borrowed(parser.number()?)),
        Shape::String => parser.string(),
        shape => Err(mismatch("a number", shape)),
    }
}

fn double(parser: &mut Parser<'_>) -> Result<f64> {
    let digits = digits(parser)?;
    let value = match &*digits {
        "Infinity" | "+Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        // Rust also reads words such as "nan" and "inf", which Mesos does not.
        other if other.bytes().any(|b| b.is_ascii_digit()) => other.parse::<f64>().ok(),
        _ => None,
    };
    value.ok_or_else(|| DecodeError::new("", "must be a number"))
}

fn integer(
    number: u32,
    parser: &mut Parser<'_>,
    least: i128,
    most: i128,
    out: &mut Vec<u8>,
) -> Result<()> {
    let value = whole(parser, least, most)?;
    encode_key(number, WireType::Varint, out);
    // Negative numbers are sign-extended to 64 bits.
    encode_varint(value as u64, out);
    Ok(())
}

/// A whole number in a range; a fraction of zero (`5.0`, `5e3`) does no harm.
fn whole(parser: &mut Parser<'_>, least: i128, most: i128) -> Result<i128> {
    let digits = digits(parser)?;
    let value = match digits.parse::<i128>() {
        Ok(value) => Some(value),
        Err(_) => digits
            .parse::<f64>()
            .ok()
            .filter(|value| value.is_finite() && value.fract() == 0.0)
            // The cast saturates far outside every range.
            .map(|value| value as i128),
    };
    match value {
        Some(value) if (least..=most).contains(&value) => Ok(value),
        Some(_) => Err(DecodeError::new("", format!("must be from {least} to {most}"))),
        None => Err(DecodeError::new("", "must be a whole number")),
    }
}
