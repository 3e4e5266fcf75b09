//! How records lie under the keys that the masters keep: `head`, the pages of a snapshot under
//! `s/GENERATION/PAGE`, and what came after it under `j/NUMBER`.
//!
//! A snapshot is one stream of changes, cut into pages; an entry of the journal is a stream of its
//! own. What is read back is checked: whoever has the framework's id may have written there.

use super::JournalError;
use crate::core::boundary::Write;
use std::collections::BTreeMap;

/// The key that is moved by whoever takes the framework over, and with each snapshot.
pub(super) const HEAD: &str = "head";
const VERSION: u8 = 1;
/// In a change: the key has a value, or is deleted.
const PUT: u8 = 1;
const DELETE: u8 = 0;

/// Records by their keys.
pub type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Where the records begin and end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The snapshot that counts.
    pub(super) generation: u64,
    /// Its pages.
    pub(super) pages: u32,
    /// The first entry of the journal that is not in it.
    pub(super) first: u64,
}

/// What a key is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Head,
    Page(u64, u32),
    Entry(u64),
}

impl Key {
    /// `None` for a key that is not the journal's.
    pub(super) fn read(key: &str) -> Option<Self> {
        if key == HEAD {
            return Some(Self::Head);
        }
        let number = |digits: &str| u64::from_str_radix(digits, 16).ok();
        if let Some(digits) = key.strip_prefix("j/") {
            return number(digits).map(Self::Entry);
        }
        let (generation, page) = key.strip_prefix("s/")?.split_once('/')?;
        Some(Self::Page(number(generation)?, u32::from_str_radix(page, 16).ok()?))
    }
}

/// Zeros in front, so that keys sort as numbers do.
pub(super) fn entry_key(number: u64) -> String {
    format!("j/{number:016x}")
}

pub(super) fn page_key(generation: u64, page: u32) -> String {
    format!("s/{generation:016x}/{page:04x}")
}

/// The bytes that a record takes in a stream.
pub(crate) fn record_bytes(key: &[u8], value: &[u8]) -> usize {
    7 + key.len() + value.len()
}

/// Appends a change to a stream.
pub(super) fn write_change(key: &[u8], value: Option<&[u8]>, out: &mut Vec<u8>) {
    out.push(if value.is_some() { PUT } else { DELETE });
    let length = u16::try_from(key.len()).expect("keys are ids and numbers");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(key);
    if let Some(value) = value {
        let length = u32::try_from(value.len()).expect("a record is smaller than what is kept");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(value);
    }
}

pub(super) fn write_changes(writes: &[Write]) -> Vec<u8> {
    let mut out = Vec::new();
    for Write { key, value } in writes {
        write_change(key, value.as_deref(), &mut out);
    }
    out
}

/// A stream, or a piece of one, as it stands under a key.
pub(super) fn seal(stream: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(1 + stream.len());
    value.push(VERSION);
    value.extend_from_slice(stream);
    value
}

/// The stream under a key.
pub(super) fn open<'a>(key: &str, value: &'a [u8]) -> Result<&'a [u8], JournalError> {
    match value.split_first() {
        Some((&VERSION, stream)) => Ok(stream),
        Some((other, _)) => {
            let problem = format!("has format {other}; this program knows format {VERSION}");
            Err(JournalError::new(key, problem))
        }
        None => Err(JournalError::new(key, "is empty")),
    }
}

/// Applies a stream of changes to the records.
pub(super) fn apply(name: &str, stream: &[u8], records: &mut Records) -> Result<(), JournalError> {
    let mut rest = stream;
    let short = || JournalError::new(name, "is cut short");
    while let Some((&kind, after)) = rest.split_first() {
        let (length, after) = after.split_first_chunk::<2>().ok_or_else(short)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (key, after) = after.split_at_checked(length).ok_or_else(short)?;
        rest = match kind {
            PUT => {
                let (length, after) = after.split_first_chunk::<4>().ok_or_else(short)?;
                let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| short())?;
                let (value, after) = after.split_at_checked(length).ok_or_else(short)?;
                records.insert(key.to_vec(), value.to_vec());
                after
            }
            DELETE => {
                records.remove(key);
                after
            }
            other => {
                let problem = format!("holds an unknown change {other}");
                return Err(JournalError::new(name, problem));
            }
        };
    }
    Ok(())
}

impl Head {
    pub(super) fn write(self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.extend_from_slice(&self.pages.to_be_bytes());
        out.extend_from_slice(&self.first.to_be_bytes());
        out
    }

    pub(super) fn read(value: &[u8]) -> Result<Self, JournalError> {
        let fields = open(HEAD, value)?;
        let fields: [u8; 20] =
            fields.try_into().map_err(|_| JournalError::new(HEAD, "has the wrong length"))?;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        Ok(Self {
            generation: number(&fields[..8]),
            pages: u32::try_from(number(&fields[8..12])).unwrap_or(u32::MAX),
            first: number(&fields[12..]),
        })
    }
}
