//! Whatever a crash leaves at the masters reads back as a prefix of the batches, within the limits.

use super::*;
use proptest::prelude::*;
use proto::scheduler::{STATE_KEYS, StateEntry};

/// Version, value and name of the write.
type KeptValue = (u64, Arc<[u8]>, Option<u64>);

/// The masters' store, as they keep it.
#[derive(Clone, Default)]
struct Masters {
    kept: BTreeMap<Arc<str>, KeptValue>,
    version: u64,
    most_bytes: usize,
    most_keys: usize,
    /// No more bytes are taken than these.
    limit: Option<usize>,
}

impl Masters {
    fn version_of(&self, key: &str) -> u64 {
        self.kept.get(key).map_or(0, |held| held.0)
    }

    fn bytes(&self) -> usize {
        self.kept.iter().map(|(key, held)| key.len() + held.1.len()).sum()
    }

    fn call(&mut self, ask: StateAsk) -> StateOutcome {
        match ask {
            StateAsk::Put { key, value, version, write, fence } => {
                if write.is_some() && self.kept.get(&key).is_some_and(|held| held.2 == write) {
                    return StateOutcome::Done { version: self.version_of(&key), key };
                }
                let fence = fence.unwrap_or(StateFence { key: key.clone(), version });
                for (key, expected) in [(fence.key, fence.version), (key.clone(), version)] {
                    let version = self.version_of(&key);
                    if version != expected {
                        return StateOutcome::Conflict { key, version };
                    }
                }
                assert!(value.len() <= STATE_VALUE_BYTES, "{key} has {} bytes", value.len());
                if self.limit.is_some_and(|limit| self.bytes() + value.len() > limit) {
                    return StateOutcome::Refused { message: Arc::from("full") };
                }
                self.version += 1;
                self.kept.insert(key.clone(), (self.version, value, write));
                self.most_bytes = self.most_bytes.max(self.bytes());
                self.most_keys = self.most_keys.max(self.kept.len());
                StateOutcome::Done { key, version: self.version }
            }
            StateAsk::Delete { key, version } => {
                if self.version_of(&key) != version {
                    return StateOutcome::Conflict { version: self.version_of(&key), key };
                }
                self.version += 1;
                self.kept.remove(&key);
                StateOutcome::Done { key, version: 0 }
            }
            other => panic!("{other:?} is not asked by a journal"),
        }
    }

    fn list(&self) -> Vec<StateEntry> {
        let entry = |(key, held): (&Arc<str>, &KeptValue)| StateEntry {
            key: key.clone(),
            version: held.0,
            value: held.1.clone(),
        };
        self.kept.iter().map(entry).collect()
    }
}

/// An instance of a framework, with what it asked and is not answered yet.
struct Instance {
    journal: Journal,
    records: Records,
    asked: VecDeque<(u64, StateAsk)>,
}

impl Instance {
    fn start(masters: &mut Masters, nonce: u64) -> Self {
        let held = masters.kept.get(head_key()).cloned();
        let value = taken_over(held.as_ref().map(|held| &*held.1)).unwrap();
        let key = Arc::from(head_key());
        let version = held.map_or(0, |held| held.0);
        let (value, write) = (value.into(), Some(nonce));
        let put = StateAsk::Put { key, value, version, write, fence: None };
        let StateOutcome::Done { version, .. } = masters.call(put) else { panic!("no take-over") };
        let (journal, records) = Journal::open(masters.list(), version, nonce).unwrap();
        Self { journal, records, asked: VecDeque::new() }
    }

    fn append(&mut self, batch: &[Write]) {
        for Write { key, value } in batch {
            match value {
                Some(value) => self.records.insert(key.clone(), value.clone()),
                None => self.records.remove(key),
            };
        }
        self.journal.append(batch);
        self.ask();
    }

    fn ask(&mut self) {
        self.asked.extend(self.journal.asks(&self.records));
    }

    /// The masters hear the next that was asked, and it hears the answer. False when there is none.
    fn answer(&mut self, masters: &mut Masters) -> Result<bool, Fenced> {
        let Some((number, ask)) = self.asked.pop_front() else { return Ok(false) };
        self.journal.answered(number, masters.call(ask))?;
        self.ask();
        Ok(true)
    }

    fn settle(&mut self, masters: &mut Masters) {
        while self.answer(masters).unwrap() {}
    }
}

fn put(key: u16, size: usize, fill: u8) -> Write {
    Write { key: key.to_be_bytes().to_vec(), value: Some(vec![fill; size]) }
}

/// A batch of a few records, some of them large, some deleted.
fn batch() -> impl Strategy<Value = Vec<Write>> {
    let size = prop_oneof![20 => 0..200_usize, 2 => 2_000..20_000_usize, 1 => 0..31_000_usize];
    let write = (0..12_u16, proptest::option::weighted(0.8, size), any::<u8>());
    let write = write.prop_map(|(key, size, fill)| match size {
        Some(size) => put(key, size, fill),
        None => Write { key: key.to_be_bytes().to_vec(), value: None },
    });
    proptest::collection::vec(write, 1..4)
}

#[derive(Clone, Debug)]
enum Deed {
    Append(Vec<Write>),
    Answer,
    /// The instance dies, after so many of what it asked reached the masters unanswered.
    Crash(usize),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        4 => batch().prop_map(Deed::Append),
        6 => Just(Deed::Answer),
        1 => (0..6_usize).prop_map(Deed::Crash),
    ];
    proptest::collection::vec(deed, 1..400)
}

proptest! {
    #[test]
    fn after_any_crash_there_is_a_prefix_of_the_batches_and_all_that_was_durable(
        deeds in deeds(),
    ) {
        let mut masters = Masters::default();
        let mut nonce = 1 << 32;
        let mut instance = Instance::start(&mut masters, nonce);
        // What it found at its start, and what it took on since.
        let (mut found, mut batches) = (Records::new(), Vec::new());
        for deed in deeds {
            match deed {
                Deed::Append(batch) => {
                    instance.append(&batch);
                    batches.push(batch);
                }
                Deed::Answer => {
                    instance.answer(&mut masters).unwrap();
                }
                Deed::Crash(reached) => {
                    for (_, ask) in instance.asked.iter().take(reached) {
                        masters.call(ask.clone());
                    }
                    let durable = usize::try_from(instance.journal.durable()).unwrap();
                    nonce += 1 << 32;
                    instance = Instance::start(&mut masters, nonce);
                    let reads_back = |records: &Records, upto: usize| {
                        let mut replayed = found.clone();
                        for Write { key, value } in batches[..upto].iter().flatten() {
                            match value {
                                Some(value) => replayed.insert(key.clone(), value.clone()),
                                None => replayed.remove(key),
                            };
                        }
                        replayed == *records
                    };
                    let prefix = (0..=batches.len()).rev().find(|n| {
                        reads_back(&instance.records, *n)
                    });
                    prop_assert!(prefix.is_some(), "no prefix of {} batches", batches.len());
                    prop_assert!(prefix >= Some(durable), "{prefix:?} of {durable} durable");
                    found = instance.records.clone();
                    batches.clear();
                }
            }
        }
        instance.settle(&mut masters);
        prop_assert_eq!(instance.journal.durable(), batches.len() as u64);
        prop_assert!(masters.most_keys < STATE_KEYS, "{} keys", masters.most_keys);
        prop_assert!(masters.most_bytes <= STATE_BYTES, "{} bytes", masters.most_bytes);
    }

    #[test]
    fn what_anybody_wrote_there_makes_no_panic(
        values in proptest::collection::vec(
            (0..6_usize, proptest::collection::vec(any::<u8>(), 0..64)), 0..8,
        ),
    ) {
        let keys = ["head", "j/0", "j/0000000000000001", "s/0/0", "s/x", "other"];
        let kept = values.into_iter().map(|(key, value)| StateEntry {
            key: Arc::from(keys[key]),
            version: 1,
            value: value.into(),
        });
        let kept: Vec<StateEntry> = kept.collect();
        for entry in &kept {
            let _ = taken_over(Some(&entry.value));
        }
        if let Err(error) = Journal::open(kept, 1, 1) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn of_two_instances_the_newer_has_all_that_was_acknowledged_and_the_older_is_fenced() {
    let mut masters = Masters::default();
    let mut old = Instance::start(&mut masters, 1 << 32);
    old.append(&[put(1, 10, 1)]);
    old.settle(&mut masters);
    assert_eq!(old.journal.durable(), 1);
    // It is on its way when the other takes over.
    old.append(&[put(2, 10, 2)]);
    let mut new = Instance::start(&mut masters, 2 << 32);
    assert_eq!(new.records, [(vec![0, 1], vec![1; 10])].into());
    assert_eq!(old.answer(&mut masters), Err(Fenced));
    assert_eq!(old.journal.durable(), 1, "nothing more is acknowledged");
    new.append(&[put(3, 10, 3)]);
    new.settle(&mut masters);
    assert_eq!(new.journal.durable(), 1);
    // Whatever the old one tries again, for ever.
    old.append(&[put(4, 10, 4)]);
    let fence = old.journal.fence().unwrap();
    assert!(fence.version < masters.version_of(&fence.key));
}

#[test]
fn a_write_whose_answer_was_lost_to_a_take_over_counts_for_both() {
    let mut masters = Masters::default();
    let mut old = Instance::start(&mut masters, 1 << 32);
    old.append(&[put(1, 10, 1)]);
    let (number, ask) = old.asked.pop_front().unwrap();
    masters.call(ask.clone());
    let new = Instance::start(&mut masters, 2 << 32);
    assert_eq!(new.records.len(), 1);
    // It is said again, and known again, fence or not: the newer has it.
    old.journal.answered(number, masters.call(ask)).unwrap();
    assert_eq!(old.journal.durable(), 1);
}

#[test]
fn a_long_journal_becomes_a_snapshot_and_what_is_old_is_deleted() {
    let mut masters = Masters::default();
    let mut instance = Instance::start(&mut masters, 1 << 32);
    for n in 0..1000_u16 {
        instance.append(&[put(n % 700, 300, 7)]);
        instance.settle(&mut masters);
    }
    assert_eq!(instance.journal.durable(), 1000);
    let again = Instance::start(&mut masters, 2 << 32);
    assert_eq!(again.records, instance.records);
    let entries = masters.kept.keys().filter(|key| key.starts_with("j/")).count();
    assert!((1..=MOST_ENTRIES).contains(&entries), "{entries} entries");
    let generations: std::collections::BTreeSet<&str> =
        masters.kept.keys().filter_map(|key| key.strip_prefix("s/")?.split('/').next()).collect();
    assert_eq!(generations.len(), 1, "{generations:?}");
}

#[test]
fn what_comes_while_a_write_is_under_way_goes_together_into_the_next() {
    let mut masters = Masters::default();
    let mut instance = Instance::start(&mut masters, 1 << 32);
    for n in 0..100 {
        instance.append(&[put(n, 10, 1)]);
    }
    assert_eq!(instance.asked.len(), 1);
    instance.settle(&mut masters);
    assert_eq!(masters.kept.keys().filter(|key| key.starts_with("j/")).count(), 2);
}

#[test]
fn records_up_to_the_capacity_fit_whatever_is_made_of_them() {
    let mut masters = Masters::default();
    let mut instance = Instance::start(&mut masters, 1 << 32);
    let count = u16::try_from(CAPACITY / record_bytes(&[0, 0], &[0; 191])).unwrap();
    for round in 0..3 {
        for n in 0..count {
            instance.append(&[put(n, 191, round)]);
            // One in three is answered at once: the others gather.
            if n % 3 == 0 {
                instance.answer(&mut masters).unwrap();
            }
        }
    }
    let all: Vec<Write> = (0..count).map(|n| put(n, 191, 9)).collect();
    instance.append(&all);
    instance.settle(&mut masters);
    assert_eq!(instance.journal.durable(), 3 * u64::from(count) + 1);
    assert!(masters.most_bytes <= STATE_BYTES, "{} bytes", masters.most_bytes);
    assert!(masters.most_keys < STATE_KEYS / 2, "{} keys", masters.most_keys);
}

#[test]
fn what_the_masters_have_no_room_for_waits_and_is_tried_again_as_the_same_write() {
    let mut masters = Masters { limit: Some(40), ..Masters::default() };
    let mut instance = Instance::start(&mut masters, 1 << 32);
    instance.append(&[put(1, 100, 1)]);
    let first = instance.asked[0].1.clone();
    instance.settle(&mut masters);
    assert_eq!(instance.journal.refused().map(|why| &**why), Some("full"));
    instance.append(&[put(2, 1, 1)]);
    assert_eq!(instance.asked.len(), 0, "nothing overtakes it");
    masters.limit = None;
    instance.journal.retry();
    instance.ask();
    assert_eq!(instance.asked[0].1, first);
    instance.settle(&mut masters);
    assert_eq!((instance.journal.durable(), instance.journal.refused()), (2, None));
}

#[test]
fn a_hole_is_an_error_that_names_it() {
    let mut masters = Masters::default();
    let mut instance = Instance::start(&mut masters, 1 << 32);
    for n in 0..3 {
        instance.append(&[put(n, 10, 1)]);
        instance.settle(&mut masters);
    }
    let version = masters.version_of(head_key());
    let without = |key: &str| {
        let kept = masters.list().into_iter().filter(|entry| &*entry.key != key).collect();
        Journal::open(kept, version, 1).map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(without("j/0000000000000001"), "'j/0000000000000001' is missing");
    assert_eq!(without("head"), "'head' is missing");
    let newer = Journal::open(masters.list(), version + 1, 1).unwrap_err().to_string();
    assert_eq!(newer, "'head' was moved by another instance of the framework");
}
