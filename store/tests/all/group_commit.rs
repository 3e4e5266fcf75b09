//! Group commit: order, durability before the callback, and what a failing disk does.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use store::{Batch, Damaged, GroupCommit, Options, Scan, Storage, Store, StoreError};

/// A storage whose commits wait for the test, and fail when told to.
struct Scripted {
    /// Each commit takes one answer: whether it succeeds.
    answers: Mutex<Receiver<bool>>,
    /// Batch sizes of the commits that were asked for.
    asked: Mutex<Sender<usize>>,
    committed: AtomicU64,
}

impl Storage for Scripted {
    fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, Damaged> {
        Ok(None)
    }

    fn scan(&self, _: &[u8]) -> Scan<'_> {
        Box::new(std::iter::empty())
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.asked.lock().unwrap().send(batch.len()).unwrap();
        if self.answers.lock().unwrap().recv().unwrap() {
            self.committed.fetch_add(batch.len() as u64, Ordering::SeqCst);
            return Ok(());
        }
        let source = io::Error::other("the disk is gone");
        Err(StoreError::Io { operation: "sync", path: PathBuf::from("/scripted"), source })
    }
}

fn scripted() -> (Arc<Scripted>, Sender<bool>, Receiver<usize>) {
    let (answer, answers) = channel();
    let (asked, asks) = channel();
    let storage = Scripted {
        answers: Mutex::new(answers),
        asked: Mutex::new(asked),
        committed: AtomicU64::new(0),
    };
    (Arc::new(storage), answer, asks)
}

fn one(key: u32) -> Batch {
    let mut batch = Batch::new();
    batch.put(key.to_be_bytes(), *b"value");
    batch
}

#[test]
fn callbacks_come_in_order_and_only_after_their_commit() {
    let (storage, answer, asks) = scripted();
    let group = GroupCommit::start(Arc::clone(&storage) as Arc<dyn Storage>).unwrap();
    let (called, calls) = channel();
    let submit = |key: u32| {
        let (called, storage) = (called.clone(), Arc::clone(&storage));
        group.submit(one(key), move |result| {
            called.send((key, result.unwrap(), storage.committed.load(Ordering::SeqCst))).unwrap();
        });
    };
    submit(0);
    assert_eq!(asks.recv().unwrap(), 1);
    // The disk is busy with the first: what comes now waits, and shares the second commit.
    (1..=5).for_each(submit);
    assert!(calls.try_recv().is_err(), "called back before the commit");
    answer.send(true).unwrap();
    assert_eq!(calls.recv().unwrap(), (0, 1, 1));
    assert_eq!(asks.recv().unwrap(), 5);
    assert!(calls.try_recv().is_err(), "called back before the commit");
    answer.send(true).unwrap();
    for key in 1..=5 {
        assert_eq!(calls.recv().unwrap(), (key, 2, 6));
    }
}

#[test]
fn after_a_failed_commit_everything_fails_and_nothing_reaches_the_disk() {
    let (storage, answer, asks) = scripted();
    let group = GroupCommit::start(Arc::clone(&storage) as Arc<dyn Storage>).unwrap();
    let (called, calls) = channel();
    for key in 0..3 {
        let called = called.clone();
        group.submit(one(key), move |result| called.send(result).unwrap());
        if key < 2 {
            assert_eq!(asks.recv().unwrap(), 1);
            answer.send(key == 0).unwrap();
        }
        match (key, calls.recv().unwrap()) {
            (0, result) => assert_eq!(result.unwrap(), 1),
            (_, result) => assert!(matches!(*result.unwrap_err(), StoreError::Io { .. })),
        }
    }
    assert_eq!(storage.committed.load(Ordering::SeqCst), 1);
}

/// A disk that has room for small batches only.
struct Tight(AtomicU64);

impl Storage for Tight {
    fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, Damaged> {
        Ok(None)
    }

    fn scan(&self, _: &[u8]) -> Scan<'_> {
        Box::new(std::iter::empty())
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        if batch.bytes() > 1_000 {
            return Err(StoreError::Full {
                dir: PathBuf::from("/tight"),
                free: 1_000,
                needed: 2_000,
            });
        }
        self.0.fetch_add(batch.len() as u64, Ordering::SeqCst);
        Ok(())
    }
}

#[test]
fn a_small_batch_is_not_kept_behind_a_big_one_for_which_there_was_no_room() {
    let storage = Arc::new(Tight(AtomicU64::new(0)));
    let group = GroupCommit::start(Arc::clone(&storage) as Arc<dyn Storage>).unwrap();
    let (called, calls) = channel();
    let submit = |batch: Batch| {
        let called = called.clone();
        group.submit(batch, move |result| called.send(result).unwrap());
        calls.recv().unwrap()
    };
    assert_eq!(submit(one(0)).unwrap(), 1);
    let mut big = one(1);
    big.put(*b"big", [0; 2_000]);
    for batch in [big, one(2), Batch::new()] {
        assert!(matches!(*submit(batch).unwrap_err(), StoreError::Full { .. }));
    }
    assert_eq!(storage.0.load(Ordering::SeqCst), 1);
}

#[test]
fn a_batch_that_cannot_be_kept_fails_alone_and_in_its_turn() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(dir.path(), Options::new("test", 1)).unwrap());
    let group = GroupCommit::start(Arc::clone(&store) as Arc<dyn Storage>).unwrap();
    let (called, calls) = channel();
    for key in 0..3u32 {
        let mut batch = one(key);
        if key == 1 {
            batch.put(*b"", *b"no key");
        }
        let called = called.clone();
        group.submit(batch, move |result| called.send((key, result.is_ok())).unwrap());
    }
    let results: Vec<_> = calls.iter().take(3).collect();
    assert_eq!(results, [(0, true), (1, false), (2, true)]);
    assert!(store.get(&1u32.to_be_bytes()).unwrap().is_none());
}

#[test]
fn dropping_waits_for_everything_that_was_handed_in() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(dir.path(), Options::new("test", 1)).unwrap());
    let group = GroupCommit::start(Arc::clone(&store) as Arc<dyn Storage>).unwrap();
    let done = Arc::new(AtomicU64::new(0));
    for key in 0..1000 {
        let done = Arc::clone(&done);
        group.submit(one(key), move |result| {
            result.unwrap();
            assert_eq!(done.fetch_add(1, Ordering::SeqCst), u64::from(key));
        });
    }
    drop(group);
    assert_eq!(done.load(Ordering::SeqCst), 1000);
    drop(store);
    let store = Store::open(dir.path(), Options::new("test", 1)).unwrap();
    assert_eq!(store.scan(b"").filter(Result::is_ok).count(), 1000);
}
