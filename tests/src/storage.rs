//! A node's disk and what waits behind it: the contract of `Persist` and `Record`, with a disk that
//! may be slow and a crash that tears off whatever was not synced.
//!
//! Writes reach the disk in order; a flush makes durable all that was written when it began (group
//! commit). A crash keeps a prefix of what was not yet durable: never less than what is durable,
//! never a later write without an earlier one. It knows nothing of what it stores.

use crate::prng::Prng;
use std::collections::VecDeque;

/// Facts that a log of operations builds.
pub trait Facts: Default {
    /// One change.
    type Op;

    /// Applies a change.
    fn apply(&mut self, op: Self::Op);
}

impl Facts for master_core::Registry {
    type Op = master_core::RegistryOp;

    fn apply(&mut self, op: Self::Op) {
        Self::apply(self, &op);
    }
}

#[derive(Debug)]
enum Queued<E> {
    /// Nothing behind it leaves before this many writes are durable.
    Barrier(u64),
    Effect(E),
}

/// Effects in their order, held back by the writes that they wait for.
#[derive(Debug)]
pub struct Outbox<F: Facts, E> {
    durable: F,
    /// Written, not durable.
    unsynced: VecDeque<F::Op>,
    /// How many writes there were in all.
    written: u64,
    /// How many of them are durable.
    synced: u64,
    /// The flush under way: up to which write.
    flush: Option<u64>,
    queue: VecDeque<Queued<E>>,
    /// Barriers do not hold: the planted fault of tests.
    leaky: bool,
}

impl<F: Facts, E> Default for Outbox<F, E> {
    fn default() -> Self {
        Self {
            durable: F::default(),
            unsynced: VecDeque::new(),
            written: 0,
            synced: 0,
            flush: None,
            queue: VecDeque::new(),
            leaky: false,
        }
    }
}

impl<F: Facts, E> Outbox<F, E> {
    /// What a start would find.
    pub fn durable(&self) -> &F {
        &self.durable
    }

    /// What a start would find, to be spoiled.
    pub fn durable_mut(&mut self) -> &mut F {
        &mut self.durable
    }

    /// From now on barriers do not hold: what this breaks must be noticed.
    pub fn leak(&mut self) {
        self.leaky = true;
    }

    /// Whether all that was written is durable.
    pub fn is_synced(&self) -> bool {
        self.written == self.synced
    }

    /// A write that nothing waits for.
    pub fn record(&mut self, op: F::Op) {
        self.unsynced.push_back(op);
        self.written += 1;
    }

    /// A write that everything after it waits for.
    pub fn persist(&mut self, op: F::Op) {
        self.record(op);
        if !self.leaky {
            self.queue.push_back(Queued::Barrier(self.written));
        }
    }

    /// An effect, after all before it.
    pub fn push(&mut self, effect: E) {
        self.queue.push_back(Queued::Effect(effect));
    }

    /// The next effect that may be performed now.
    pub fn ready(&mut self) -> Option<E> {
        while let Some(Queued::Barrier(write)) = self.queue.front() {
            if *write > self.synced {
                break;
            }
            self.queue.pop_front();
        }
        if let Some(Queued::Effect(_)) = self.queue.front()
            && let Some(Queued::Effect(effect)) = self.queue.pop_front()
        {
            return Some(effect);
        }
        None
    }

    /// Starts a flush; false when there is nothing to flush or one is under way.
    pub fn begin_flush(&mut self) -> bool {
        if self.flush.is_some() || self.written == self.synced {
            return false;
        }
        self.flush = Some(self.written);
        true
    }

    /// What was written since it was last asked, for a log that is not this one's, and up to which
    /// write it is.
    pub fn take_written(&mut self) -> Option<(u64, Vec<F::Op>)> {
        let ops: Vec<F::Op> = self.unsynced.drain(..).collect();
        (!ops.is_empty()).then_some((self.written, ops))
    }

    /// That log has all up to this write.
    pub fn synced(&mut self, upto: u64) {
        self.synced = upto;
    }

    /// Nothing that waits will ever be durable by this one's word.
    pub fn drop_all(&mut self) {
        self.unsynced.clear();
        self.written = 0;
        self.synced = 0;
        self.flush = None;
        self.queue.clear();
    }

    /// The flush under way is done.
    pub fn end_flush(&mut self) {
        let Some(upto) = self.flush.take() else { return };
        while self.synced < upto
            && let Some(op) = self.unsynced.pop_front()
        {
            self.durable.apply(op);
            self.synced += 1;
        }
    }

    /// The process ends: what waited is gone, and so is some tail of the unsynced writes.
    pub fn crash(&mut self, random: &mut Prng) {
        let kept = random.index(self.unsynced.len() + 1);
        for op in self.unsynced.drain(..).take(kept) {
            self.durable.apply(op);
        }
        self.written = 0;
        self.synced = 0;
        self.flush = None;
        self.queue.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Written(Vec<u32>);

    impl Facts for Written {
        type Op = u32;

        fn apply(&mut self, op: u32) {
            self.0.push(op);
        }
    }

    fn drain(outbox: &mut Outbox<Written, &'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| outbox.ready()).collect()
    }

    #[test]
    fn nothing_passes_a_barrier_before_its_write_is_durable() {
        let mut outbox = Outbox::<Written, _>::default();
        outbox.push("a");
        outbox.persist(1);
        outbox.push("b");
        assert_eq!(drain(&mut outbox), ["a"]);
        assert!(outbox.begin_flush());
        outbox.persist(2);
        outbox.push("c");
        assert!(!outbox.begin_flush(), "one flush at a time");
        outbox.end_flush();
        assert_eq!(drain(&mut outbox), ["b"]);
        assert!(outbox.begin_flush());
        outbox.end_flush();
        assert_eq!(drain(&mut outbox), ["c"]);
        assert_eq!(outbox.durable(), &Written(vec![1, 2]));
    }

    #[test]
    fn a_record_holds_back_nothing() {
        let mut outbox = Outbox::<Written, _>::default();
        outbox.record(1);
        outbox.push("send");
        assert_eq!(drain(&mut outbox), ["send"]);
        assert!(outbox.begin_flush());
        outbox.end_flush();
        assert_eq!(outbox.durable(), &Written(vec![1]));
    }

    #[test]
    fn a_crash_keeps_what_is_durable_and_a_prefix_of_the_rest() {
        let mut lengths = std::collections::BTreeSet::new();
        for seed in 0..64 {
            let mut outbox = Outbox::<Written, &str>::default();
            outbox.persist(0);
            outbox.begin_flush();
            outbox.end_flush();
            for op in 1..4 {
                outbox.persist(op);
            }
            outbox.push("lost");
            outbox.crash(&mut Prng::new(seed));
            assert_eq!(outbox.ready(), None);
            let kept = outbox.durable().0.clone();
            assert_eq!(kept, (0..kept.len() as u32).collect::<Vec<_>>());
            lengths.insert(kept.len());
        }
        assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4]);
    }
}
