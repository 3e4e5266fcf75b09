//! The state that the log makes: the registry's records, by key.
//!
//! An entry of the log is a list of changes, and so is a snapshot: a version byte, then for each
//! change its kind (0 delete, 1 put), the key with its length in two bytes, and for a put the value
//! with its length in four, all in little endian. What a record means is the matter of
//! `registry_record`. Nothing but entries may change the state, and the same entries make the same
//! state on every member.

use ::registrar::StateMachine;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;
use store::{Batch, Edit, Record, Scan};

const VERSION: u8 = 1;
const DELETE: u8 = 0;
const PUT: u8 = 1;

/// All records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    records: BTreeMap<Box<[u8]>, Box<[u8]>>,
    /// Of all records, whatever the order in which they came.
    hash: u64,
}

impl Records {
    /// Makes the changes of a batch.
    pub(super) fn change(&mut self, batch: &Batch) {
        batch.edits().for_each(|edit| self.edit(edit));
    }

    /// The records whose keys begin with `prefix`, in order of their keys.
    pub(super) fn scan(&self, prefix: &[u8]) -> Scan<'_> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let prefix = prefix.to_vec();
        let records = self.records.range::<[u8], _>(from);
        let records = records.take_while(move |(key, _)| key.starts_with(&prefix));
        Box::new(
            records.map(|(key, value)| Ok(Record { key: key.to_vec(), value: value.to_vec() })),
        )
    }

    /// One record alone, if it is there.
    pub(super) fn only(&self, key: &[u8]) -> Self {
        let mut only = Self::default();
        if let Some(value) = self.records.get(key) {
            only.edit(Edit::Put(key, value));
        }
        only
    }

    /// The records whose keys begin with `prefix`, as text.
    pub(super) fn texts(&self, prefix: &[u8]) -> Vec<String> {
        let records = self.scan(prefix).filter_map(Result::ok);
        records.map(|record| String::from_utf8_lossy(&record.value).into_owned()).collect()
    }

    fn edit(&mut self, edit: Edit<'_>) {
        let (key, old) = match edit {
            Edit::Put(key, value) => {
                self.hash ^= hash(key, value);
                // The key that is there already stays, and needs no memory.
                match self.records.get_mut(key) {
                    Some(place) => (key, Some(std::mem::replace(place, value.into()))),
                    None => (key, self.records.insert(key.into(), value.into())),
                }
            }
            Edit::Delete(key) => (key, self.records.remove(key)),
        };
        self.hash ^= old.map_or(0, |old| hash(key, &old));
    }
}

impl StateMachine for Records {
    type Outcome = ();

    fn apply(&mut self, _: u64, entry: &Bytes) {
        // One that cannot be read changes nothing, here as on every other member.
        if let Ok(edits) = decode(entry) {
            edits.into_iter().for_each(|edit| self.edit(edit));
        }
    }

    fn snapshot(&self) -> Bytes {
        let records = || self.records.iter().map(|(key, value)| Edit::Put(key, value));
        encode(records)
    }

    fn restore(&mut self, snapshot: &Bytes) -> Result<(), String> {
        *self = Self::default();
        decode(snapshot)?.into_iter().for_each(|edit| self.edit(edit));
        Ok(())
    }

    fn hash(&self) -> u64 {
        self.hash
    }
}

/// The entry that makes the changes of a batch.
pub(super) fn entry(batch: &Batch) -> Bytes {
    encode(|| batch.edits())
}

fn encode<'a, I: Iterator<Item = Edit<'a>>>(edits: impl Fn() -> I) -> Bytes {
    let size = |edit| match edit {
        Edit::Put(key, value) => 7 + key.len() + value.len(),
        Edit::Delete(key) => 3 + key.len(),
    };
    let mut bytes = Vec::with_capacity(1 + edits().map(size).sum::<usize>());
    bytes.push(VERSION);
    for edit in edits() {
        let (kind, key) = match edit {
            Edit::Put(key, _) => (PUT, key),
            Edit::Delete(key) => (DELETE, key),
        };
        let length = u16::try_from(key.len()).expect("names are short");
        bytes.push(kind);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(key);
        if let Edit::Put(_, value) = edit {
            let length = u32::try_from(value.len()).expect("messages have limits below that");
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(value);
        }
    }
    bytes.into()
}

fn decode(entry: &[u8]) -> Result<Vec<Edit<'_>>, String> {
    let mut rest = match entry.split_first() {
        Some((&VERSION, rest)) => rest,
        Some((version, _)) => return Err(format!("is of version {version}")),
        None => return Err("is empty".to_owned()),
    };
    let mut edits = Vec::new();
    while !rest.is_empty() {
        edits.push(decode_edit(&mut rest).ok_or("is torn")?);
    }
    Ok(edits)
}

fn decode_edit<'a>(rest: &mut &'a [u8]) -> Option<Edit<'a>> {
    let kind = rest.split_off_first()?;
    let length = rest.split_off(..2)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))?;
    let key = rest.split_off(..usize::from(length))?;
    match *kind {
        PUT => {
            let length = rest.split_off(..4)?.first_chunk();
            let length = length.map(|bytes| u32::from_le_bytes(*bytes))?;
            Some(Edit::Put(key, rest.split_off(..usize::try_from(length).ok()?)?))
        }
        DELETE => Some(Edit::Delete(key)),
        _ => None,
    }
}

/// FNV-1a of 64 bits over the key, its length and the value: the same in every version.
fn hash(key: &[u8], value: &[u8]) -> u64 {
    let length = (key.len() as u64).to_le_bytes();
    let bytes = key.iter().chain(&length).chain(value);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(changes: &[(&str, Option<&str>)]) -> Batch {
        let mut batch = Batch::new();
        for (key, value) in changes {
            match value {
                Some(value) => batch.put(key.as_bytes(), value.as_bytes()),
                None => batch.delete(key.as_bytes()),
            }
        }
        batch
    }

    fn of(entries: &[&[(&str, Option<&str>)]]) -> Records {
        let mut records = Records::default();
        for changes in entries {
            records.apply(0, &entry(&batch(changes)));
        }
        records
    }

    fn pairs(records: &Records, prefix: &[u8]) -> Vec<(String, String)> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let records = records.scan(prefix).map(Result::unwrap);
        records.map(|record| (text(record.key), text(record.value))).collect()
    }

    #[test]
    fn entries_change_records_in_their_order_and_a_snapshot_has_them_all() {
        let records = of(&[
            &[("a/1", Some("one")), ("a/2", Some("two")), ("b", Some(""))],
            &[("a/1", None), ("a/3", Some("three")), ("a/3", Some("drei")), ("none", None)],
            &[],
        ]);
        let expected = [("a/2", "two"), ("a/3", "drei")].map(|(k, v)| (k.into(), v.into()));
        assert_eq!(pairs(&records, b"a/"), expected);
        assert_eq!(pairs(&records, b"").len(), 3);
        let mut again = of(&[&[("of before", Some("x"))]]);
        again.restore(&records.snapshot()).unwrap();
        assert_eq!(pairs(&again, b""), pairs(&records, b""));
        assert_eq!(again.hash(), records.hash());
    }

    #[test]
    fn the_hash_is_of_what_is_there_and_not_of_how_it_came() {
        let one = of(&[&[("a", Some("1")), ("b", Some("2"))]]);
        let other = of(&[&[("b", Some("1")), ("c", Some("3"))], &[("b", Some("2"))]]);
        assert_ne!(one.hash(), other.hash());
        let mut other = other;
        other.change(&batch(&[("c", None), ("a", Some("1"))]));
        assert_eq!(one.hash(), other.hash());
        assert_ne!(one.hash(), of(&[&[("a", Some("2")), ("b", Some("1"))]]).hash());
        assert_ne!(one.hash(), of(&[&[("a1", Some("")), ("b", Some("2"))]]).hash());
        assert_eq!(Records::default().hash(), 0);
        // Members of different versions compare it.
        assert_eq!(one.hash(), 0xe56b_4d73_6145_80f6, "the hash of all versions");
    }

    #[test]
    fn an_entry_that_cannot_be_read_changes_nothing() {
        let whole = entry(&batch(&[("a", Some("1")), ("b", None), ("c", Some("3"))]));
        // There a change ends: what is left is another entry, and whole.
        let ends = [1, 10, 14];
        for length in (0..whole.len()).filter(|length| !ends.contains(length)) {
            let mut records = of(&[&[("b", Some("2"))]]);
            let hash = records.hash();
            records.apply(0, &whole.slice(..length));
            assert_eq!(records.hash(), hash, "{length} bytes");
            assert!(records.restore(&whole.slice(..length)).is_err(), "{length} bytes");
        }
        let mut newer = whole.to_vec();
        newer[0] = 9;
        let error = Records::default().restore(&newer.into()).unwrap_err();
        assert_eq!(error, "is of version 9");
    }
}
