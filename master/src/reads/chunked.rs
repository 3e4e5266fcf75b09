//! A sorted map in chunks that its clones share: cloning costs a pointer a chunk, changing an
//! entry copies at most one chunk. What a read is made from, while the original goes on changing.

use std::sync::Arc;

/// The most entries of a chunk.
const MOST: usize = 256;

/// A sorted map.
#[derive(Clone, Debug)]
pub(crate) struct Chunked<K, V> {
    /// None of them empty; all keys of one before all keys of the next.
    chunks: Vec<Arc<Vec<(K, V)>>>,
    len: usize,
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
        let after = self.chunks.partition_point(|chunk| chunk[0].0 <= *key);
        after.saturating_sub(1)
    }

    fn find(&self, key: &K) -> Option<(usize, usize)> {
        let chunk = self.chunk_of(key);
        let at = self.chunks.get(chunk)?.binary_search_by(|(k, _)| k.cmp(key)).ok()?;
        Some((chunk, at))
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.find(key).map(|(chunk, at)| &self.chunks[chunk][at].1)
    }

    /// The value, to be changed: its chunk is copied if a clone has it too.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (chunk, at) = self.find(key)?;
        Some(&mut Arc::make_mut(&mut self.chunks[chunk])[at].1)
    }

    /// The value that was there before.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let index = self.chunk_of(&key);
        let Some(chunk) = self.chunks.get_mut(index) else {
            self.chunks.push(Arc::new(vec![(key, value)]));
            self.len = 1;
            return None;
        };
        let chunk = Arc::make_mut(chunk);
        match chunk.binary_search_by(|(k, _)| k.cmp(&key)) {
            Ok(at) => Some(std::mem::replace(&mut chunk[at].1, value)),
            Err(at) => {
                chunk.insert(at, (key, value));
                self.len += 1;
                if chunk.len() > MOST {
                    // Keys often come in order: then the first half stays full.
                    let from = if at + 1 == chunk.len() { MOST } else { MOST / 2 };
                    let rest = chunk.split_off(from);
                    self.chunks.insert(index + 1, Arc::new(rest));
                }
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let (index, at) = self.find(key)?;
        let chunk = Arc::make_mut(&mut self.chunks[index]);
        let (_, value) = chunk.remove(at);
        self.len -= 1;
        if chunk.is_empty() {
            self.chunks.remove(index);
        } else if chunk.len() < MOST / 4
            && let Some(next) = self.chunks.get(index + 1)
            && next.len() < MOST / 2
        {
            let next = self.chunks.remove(index + 1);
            Arc::make_mut(&mut self.chunks[index]).extend(next.iter().cloned());
        }
        Some(value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter().map(|(key, value)| (key, value)))
    }

    /// The entries from `first` on.
    pub(crate) fn from<'a>(
        &'a self,
        first: &K,
    ) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V> {
        let index = self.chunk_of(first);
        let skip = self.chunks.get(index).map_or(0, |c| c.partition_point(|(k, _)| k < first));
        let chunks = self.chunks.get(index..).unwrap_or_default();
        chunks.iter().flat_map(|chunk| chunk.iter().map(|(k, v)| (k, v))).skip(skip)
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
}
