//! Ordinals by text: which lease, task or host has this name?
//!
//! An open table that is looked up and never gone through, so that its order decides nothing. The hash has no
//! secret: texts that were chosen to collide are kept in a tree instead, so that the worst that they can do is
//! to make a look-up as slow as one in a tree.

use std::collections::BTreeMap;

/// A text is looked for in this many slots, then in the tree.
const PROBES: usize = 64;

/// The least number of slots of a table that is in use; a power of two.
const LEAST: usize = 16;

pub(crate) const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u32,
    /// [`NONE`] for a slot that is free.
    ordinal: u32,
}

const NONE: u32 = u32::MAX;

const FREE: Slot = Slot { tag: 0, ordinal: NONE };

/// Ordinals by text. The texts themselves are with whoever deals the ordinals.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    slots: Vec<Slot>,
    filled: usize,
    /// What found no slot near its own.
    overflow: BTreeMap<Box<str>, u32>,
}

impl Directory {
    /// An empty directory that takes so many texts without growing.
    pub(crate) fn with_room_for(texts: usize) -> Self {
        let slots = (texts * 2 + 2).next_power_of_two().max(LEAST);
        Self { slots: vec![FREE; slots], ..Self::default() }
    }

    /// The ordinal of a text; `text_of` tells the text of an ordinal that is in the directory.
    pub(crate) fn find<'t>(&self, text: &str, text_of: impl Fn(usize) -> &'t str) -> Option<usize> {
        let tag = digest(text);
        for at in self.near(tag) {
            let slot = self.slots[at];
            if slot.ordinal == NONE {
                break;
            }
            if slot.tag == tag && text_of(slot.ordinal as usize) == text {
                return Some(slot.ordinal as usize);
            }
        }
        if self.overflow.is_empty() {
            return None;
        }
        self.overflow.get(text).map(|ordinal| *ordinal as usize)
    }

    /// Adds a text that is not in the directory.
    pub(crate) fn insert<'t>(
        &mut self,
        text: &str,
        ordinal: usize,
        text_of: impl Fn(usize) -> &'t str,
    ) {
        if (self.filled + 1) * 2 > self.slots.len() {
            self.grow(text_of);
        }
        let ordinal = u32::try_from(ordinal).expect("fewer than 2^32 things have names");
        self.put(Slot { tag: digest(text), ordinal }, || text.into());
    }

    /// Forgets a text that is in the directory by this ordinal.
    pub(crate) fn remove(&mut self, text: &str, ordinal: usize) {
        let here = |at: &usize| self.slots[*at].ordinal as usize == ordinal;
        let Some(mut hole) = self.near(digest(text)).find(here) else {
            self.overflow.remove(text);
            return;
        };
        self.filled -= 1;
        // What stands behind the hole moves up, unless it would come before its own slot.
        let mask = self.slots.len() - 1;
        let mut next = hole;
        loop {
            next = (next + 1) & mask;
            let slot = self.slots[next];
            if slot.ordinal == NONE {
                break;
            }
            let own = slot.tag as usize & mask;
            if (next.wrapping_sub(own) & mask) >= (next.wrapping_sub(hole) & mask) {
                self.slots[hole] = slot;
                hole = next;
            }
        }
        self.slots[hole] = FREE;
    }

    /// The slots in which a tag may be, the nearest first.
    fn near(&self, tag: u32) -> impl Iterator<Item = usize> + use<> {
        let slots = self.slots.len();
        let mask = slots.wrapping_sub(1);
        (0..PROBES.min(slots)).map(move |step| (tag as usize).wrapping_add(step) & mask)
    }

    fn put(&mut self, slot: Slot, text: impl FnOnce() -> Box<str>) {
        let free = |at: &usize| self.slots[*at].ordinal == NONE;
        match self.near(slot.tag).find(free) {
            Some(at) => {
                self.slots[at] = slot;
                self.filled += 1;
            }
            None => {
                self.overflow.insert(text(), slot.ordinal);
            }
        }
    }

    fn grow<'t>(&mut self, text_of: impl Fn(usize) -> &'t str) {
        let slots = (self.slots.len() * 2).max(LEAST);
        let before = std::mem::replace(&mut self.slots, vec![FREE; slots]);
        self.filled = 0;
        for slot in before.into_iter().filter(|slot| slot.ordinal != NONE) {
            self.put(slot, || text_of(slot.ordinal as usize).into());
        }
        for (text, ordinal) in std::mem::take(&mut self.overflow) {
            self.put(Slot { tag: digest(&text), ordinal }, || text);
        }
    }
}

/// A number of the text alone.
pub(crate) fn digest(text: &str) -> u32 {
    let fold = |hash: u64, word: u64| {
        let product = u128::from(hash ^ word) * u128::from(MULTIPLIER);
        (product as u64) ^ ((product >> 64) as u64)
    };
    let mut hash = text.len() as u64;
    let mut words = text.as_bytes().chunks_exact(8);
    for word in &mut words {
        hash = fold(hash, u64::from_le_bytes(word.try_into().expect("a word has eight bytes")));
    }
    let mut last = [0; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    hash = fold(hash, u64::from_le_bytes(last));
    (hash ^ (hash >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// With a table that finds no room near, now and then: texts of few letters, many of them.
        #[test]
        fn it_finds_what_a_map_finds(steps in prop::collection::vec((any::<bool>(), 0..400_usize), 0..900)) {
            let texts: Vec<String> = (0..400).map(|n| format!("host-{n:03}")).collect();
            let text_of = |ordinal: usize| texts[ordinal].as_str();
            let mut directory = Directory::default();
            let mut model = BTreeMap::new();
            for (adds, pick) in steps {
                let text = texts[pick].as_str();
                prop_assert_eq!(directory.find(text, text_of), model.get(text).copied());
                if adds && !model.contains_key(text) {
                    directory.insert(text, pick, text_of);
                    model.insert(text, pick);
                } else if !adds && model.remove(text).is_some() {
                    directory.remove(text, pick);
                }
            }
            for text in &texts {
                prop_assert_eq!(directory.find(text, text_of), model.get(text.as_str()).copied());
            }
        }
    }

    #[test]
    fn texts_of_one_hash_are_all_found() {
        // Words that undo each other: the hash of each is that of the others.
        let mut directory = Directory::default();
        let texts: Vec<String> = (0..200).map(|n| format!("text {n}")).collect();
        let text_of = |ordinal: usize| texts[ordinal].as_str();
        directory.grow(text_of);
        for (ordinal, text) in texts.iter().enumerate() {
            let ordinal = u32::try_from(ordinal).unwrap();
            directory.slots.resize(1024, FREE);
            directory.put(Slot { tag: 7, ordinal }, || text.as_str().into());
        }
        assert_eq!((directory.filled, directory.overflow.len()), (PROBES, 200 - PROBES));
        for (ordinal, text) in texts.iter().enumerate().skip(PROBES) {
            assert_eq!(directory.find(text, text_of), Some(ordinal));
            directory.remove(text, ordinal);
            assert_eq!(directory.find(text, text_of), None);
        }
    }
}
