//! A sorted map in chunks that its clones share: cloning costs a pointer a chunk, changing an
//! entry copies at most one chunk. What a read is made from, while the original goes on changing.
//!
//! A chunk also remembers how it was written out, until it changes or nobody has read for a while:
//! readers of one state share the writing, and those of the next state all that did not change.

use bytes::Bytes;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// The most entries of a chunk.
const MOST: usize = 256;
/// The longest text of a chunk that is remembered, in bytes.
const TEXT: usize = 1 << 20;

/// A sorted map.
#[derive(Clone, Debug)]
pub(crate) struct Chunked<K, V> {
    /// None of them empty; all keys of one before all keys of the next.
    chunks: Vec<Arc<Chunk<K, V>>>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Chunk<K, V> {
    entries: Vec<(K, V)>,
    written: Written,
}

impl<K, V> Chunk<K, V> {
    fn new(entries: Vec<(K, V)>) -> Self {
        Self { entries, written: Written::default() }
    }
}

/// How entries may be written out as text, each behind a comma.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// The JSON of the old endpoints.
    Old = 0,
    /// The JSON of the v1 API.
    V1 = 1,
}

/// What was written of a chunk, in each form.
#[derive(Debug, Default)]
struct Written([Mutex<Option<Text>>; 2]);

/// All entries of a chunk as text.
#[derive(Debug)]
enum Text {
    /// And where each ends.
    Short(Bytes, Vec<usize>),
    /// It is not kept.
    Long,
}

impl Clone for Written {
    /// A copy is made to be changed.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Written {
    fn forget(&self) {
        for text in &self.0 {
            text.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}

/// Neighbours in one chunk.
pub(crate) struct Run<'a, K, V> {
    chunk: &'a Chunk<K, V>,
    range: Range<usize>,
}

impl<'a, K, V> Run<'a, K, V> {
    pub(crate) fn entries(&self) -> &'a [(K, V)] {
        &self.chunk.entries[self.range.clone()]
    }

    /// The part of it whose entries are `wanted`, if they are neighbours.
    pub(crate) fn only(self, wanted: impl Fn(&K, &V) -> bool) -> Parts<'a, K, V> {
        let mut parts: Vec<Range<usize>> = Vec::new();
        for (at, (key, value)) in self.entries().iter().enumerate() {
            let at = self.range.start + at;
            match parts.last_mut() {
                _ if !wanted(key, value) => {}
                Some(part) if part.end == at => part.end += 1,
                _ => parts.push(at..at + 1),
            }
        }
        let chunk = self.chunk;
        parts.into_iter().map(move |range| Run { chunk, range }).collect()
    }

    /// Its entries as text, each behind a comma; `write` writes one, and is asked only for what was
    /// not written before. `None` when the chunk's text would be too long to be kept: then entries
    /// are to be written one by one.
    pub(crate) fn text(
        &self,
        form: Form,
        write: impl FnMut(&mut Vec<u8>, &K, &V),
    ) -> Option<Bytes> {
        let place = &self.chunk.written.0[form as usize];
        let mut text = place.lock().unwrap_or_else(PoisonError::into_inner);
        match text.get_or_insert_with(|| self.chunk.write(write)) {
            Text::Short(bytes, ends) => {
                let begin = self.range.start.checked_sub(1).map_or(0, |before| ends[before]);
                let end = self.range.end.checked_sub(1).map_or(begin, |last| ends[last]);
                Some(bytes.slice(begin..end))
            }
            Text::Long => None,
        }
    }
}

/// Parts of a chunk.
pub(crate) type Parts<'a, K, V> = Vec<Run<'a, K, V>>;

impl<K, V> Chunk<K, V> {
    fn write(&self, mut write: impl FnMut(&mut Vec<u8>, &K, &V)) -> Text {
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(self.entries.len()));
        for (key, value) in &self.entries {
            bytes.push(b',');
            write(&mut bytes, key, value);
            if bytes.len() > TEXT {
                return Text::Long;
            }
            ends.push(bytes.len());
        }
        bytes.shrink_to_fit();
        Text::Short(bytes.into(), ends)
    }
}

impl<K, V> Default for Chunked<K, V> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<K: Ord + Clone, V: Clone> Chunked<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The chunk that has the key, or would.
    fn chunk_of(&self, key: &K) -> usize {
        let after = self.chunks.partition_point(|chunk| chunk.entries[0].0 <= *key);
        after.saturating_sub(1)
    }

    fn find(&self, key: &K) -> Option<(usize, usize)> {
        let chunk = self.chunk_of(key);
        let entries = &self.chunks.get(chunk)?.entries;
        let at = entries.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
        Some((chunk, at))
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.find(key).map(|(chunk, at)| &self.chunks[chunk].entries[at].1)
    }

    /// The value, to be changed: its chunk is copied if a clone has it too.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (chunk, at) = self.find(key)?;
        Some(&mut self.change(chunk)[at].1)
    }

    /// The entries of a chunk, to be changed: what was written of them is forgotten.
    fn change(&mut self, chunk: usize) -> &mut Vec<(K, V)> {
        let chunk = Arc::make_mut(&mut self.chunks[chunk]);
        chunk.written.forget();
        &mut chunk.entries
    }

    /// The value that was there before.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let index = self.chunk_of(&key);
        if index >= self.chunks.len() {
            self.chunks.push(Arc::new(Chunk::new(vec![(key, value)])));
            self.len = 1;
            return None;
        }
        let chunk = self.change(index);
        match chunk.binary_search_by(|(k, _)| k.cmp(&key)) {
            Ok(at) => Some(std::mem::replace(&mut chunk[at].1, value)),
            Err(at) => {
                chunk.insert(at, (key, value));
                if chunk.len() > MOST {
                    // Keys often come in order: then the first half stays full.
                    let from = if at + 1 == chunk.len() { MOST } else { MOST / 2 };
                    let rest = chunk.split_off(from);
                    self.chunks.insert(index + 1, Arc::new(Chunk::new(rest)));
                }
                self.len += 1;
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let (index, at) = self.find(key)?;
        let chunk = self.change(index);
        let (_, value) = chunk.remove(at);
        let left = chunk.len();
        self.len -= 1;
        if left == 0 {
            self.chunks.remove(index);
        } else if left < MOST / 4
            && let Some(next) = self.chunks.get(index + 1)
            && next.entries.len() < MOST / 2
        {
            let next = self.chunks.remove(index + 1);
            self.change(index).extend(next.entries.iter().cloned());
        }
        Some(value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let entries = self.chunks.iter().flat_map(|chunk| &chunk.entries);
        entries.map(|(key, value)| (key, value))
    }

    /// All entries, chunk by chunk.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Run<'_, K, V>> {
        self.chunks.iter().map(|chunk| Run { chunk, range: 0..chunk.entries.len() })
    }

    /// The entries from `first` on, chunk by chunk.
    pub(crate) fn runs_from<'a>(
        &'a self,
        first: &K,
    ) -> impl Iterator<Item = Run<'a, K, V>> + use<'a, K, V> {
        let index = self.chunk_of(first);
        let skip =
            self.chunks.get(index).map_or(0, |c| c.entries.partition_point(|(k, _)| k < first));
        let chunks = self.chunks.get(index..).unwrap_or_default().iter().enumerate();
        let runs = chunks.map(move |(nth, chunk)| {
            let begin = if nth == 0 { skip } else { 0 };
            Run { chunk, range: begin..chunk.entries.len() }
        });
        runs.filter(|run| !run.range.is_empty())
    }

    /// Lets go of what was written of it; clones that share chunks lose it too.
    pub(crate) fn forget_written(&self) {
        self.chunks.iter().for_each(|chunk| chunk.written.forget());
    }

    /// The entries from `first` on.
    pub(crate) fn from<'a>(
        &'a self,
        first: &K,
    ) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V> {
        let index = self.chunk_of(first);
        let skip =
            self.chunks.get(index).map_or(0, |c| c.entries.partition_point(|(k, _)| k < first));
        let chunks = self.chunks.get(index..).unwrap_or_default();
        chunks.iter().flat_map(|chunk| &chunk.entries).map(|(k, v)| (k, v)).skip(skip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// The same operations on it and on the map of the standard library.
    #[test]
    fn it_is_a_sorted_map() {
        let (mut ours, mut theirs) = (Chunked::default(), BTreeMap::new());
        let mut random: u64 = 1;
        for round in 0..20_000_u64 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let key = (random >> 33) % 2000;
            match random >> 62 {
                0 => assert_eq!(ours.remove(&key), theirs.remove(&key)),
                1 if round > 10_000 => assert_eq!(ours.remove(&key), theirs.remove(&key)),
                _ => assert_eq!(ours.insert(key, round), theirs.insert(key, round)),
            }
            assert_eq!(ours.len(), theirs.len());
            if round % 500 == 0 {
                assert!(ours.iter().eq(theirs.iter()));
                assert!(ours.from(&key).eq(theirs.range(key..)));
            }
            assert_eq!(ours.get(&key), theirs.get(&key));
        }
    }

    #[test]
    fn a_clone_does_not_change_and_shares_what_did_not() {
        let mut map = Chunked::default();
        for key in 0..10_000 {
            map.insert(key, key);
        }
        let before = map.clone();
        *map.get_mut(&5_000).unwrap() = 0;
        map.remove(&1);
        map.insert(20_000, 1);
        assert_eq!((before.get(&5_000), map.get(&5_000)), (Some(&5_000), Some(&0)));
        assert_eq!((before.len(), before.get(&1), before.get(&20_000)), (10_000, Some(&1), None));
        let shared = |chunk| before.chunks.iter().any(|other| Arc::ptr_eq(chunk, other));
        let copied = map.chunks.iter().filter(|chunk| !shared(chunk)).count();
        assert!(copied <= 4, "{copied} chunks were copied");
        assert!(map.chunks.len() <= 10_000 / MOST + 2, "chunks are full when keys come in order");
    }

    /// Numbers as text, and how many were written.
    fn read(map: &Chunked<u32, u32>) -> (String, usize) {
        let mut count = 0;
        let mut write = |out: &mut Vec<u8>, _: &u32, value: &u32| {
            count += 1;
            out.extend_from_slice(value.to_string().as_bytes());
        };
        let texts: Vec<_> = map.runs().map(|run| run.text(Form::V1, &mut write).unwrap()).collect();
        let texts = texts.iter().map(|text| std::str::from_utf8(text).unwrap());
        (texts.collect::<String>(), count)
    }

    #[test]
    fn what_did_not_change_is_written_once() {
        let mut map = Chunked::default();
        for key in 0..10_000 {
            map.insert(key, key);
        }
        let all = |map: &Chunked<u32, u32>| {
            map.iter().map(|(_, value)| format!(",{value}")).collect::<String>()
        };
        assert_eq!(read(&map), (all(&map), 10_000));
        let before = map.clone();
        assert_eq!(read(&before), (all(&before), 0));
        *map.get_mut(&5_000).unwrap() = 0;
        map.remove(&1);
        map.insert(20_000, 1);
        let (text, count) = read(&map);
        assert_eq!(text, all(&map));
        assert!(count <= 4 * MOST, "{count} were written again");
        // The old state is as it was, and still written.
        assert_eq!(read(&before), (all(&before), 0));
        before.forget_written();
        assert_eq!(read(&before).1, 10_000);
        // In a map that nobody shares as well.
        *before.clone().get_mut(&0).unwrap() = 1;
        drop(before);
        *map.get_mut(&0).unwrap() = 7;
        assert!(read(&map).0.starts_with(",7,2,"));
    }

    #[test]
    fn parts_of_a_chunk_are_parts_of_its_text() {
        let mut map = Chunked::default();
        for key in 0..1_000_u32 {
            map.insert(key, key);
        }
        let text = |run: &Run<'_, u32, u32>| {
            let write = |out: &mut Vec<u8>, _: &u32, value: &u32| {
                out.extend_from_slice(value.to_string().as_bytes());
            };
            String::from_utf8(run.text(Form::Old, write).unwrap().to_vec()).unwrap()
        };
        let parts =
            map.runs_from(&250).flat_map(|run| run.only(|key, _| key % 5 < 2 && *key < 266));
        let texts: Vec<_> = parts.map(|part| text(&part)).collect();
        assert_eq!(texts, [",250,251", ",255", ",256", ",260,261", ",265"]);
        assert_eq!(map.runs_from(&1_000).count(), 0);
    }

    #[test]
    fn what_is_too_long_is_not_kept() {
        let mut map = Chunked::default();
        for key in 0..300_u32 {
            map.insert(key, key);
        }
        let write = |out: &mut Vec<u8>, _: &u32, value: &u32| match value {
            7 => out.extend(std::iter::repeat_n(b'x', TEXT)),
            _ => out.push(b'y'),
        };
        let texts: Vec<_> = map.runs().map(|run| run.text(Form::Old, write)).collect();
        assert!(texts[0].is_none() && texts[1].is_some());
    }
}
