//! Damage that only the store's inside can do, and what the records' envelope notices.

use crate::engine::Engine;
use crate::room::SEGMENT_BYTES;
use crate::{Batch, Damaged, MAX_KEY_BYTES, Options, Record, Storage, Store, StoreError, record};
use proptest::prelude::*;
use std::path::Path;

fn open(dir: &Path) -> Store {
    Store::open(dir, Options::new("test", 1)).unwrap()
}

fn put(store: &Store, key: &[u8], value: &[u8]) {
    let mut batch = Batch::new();
    batch.put(key, value);
    store.commit(batch).unwrap();
}

/// Rewrites what is stored under `key`, behind the store's back.
fn damage(dir: &Path, key: &[u8], change: impl Fn(&mut Vec<u8>)) {
    let engine = Engine::open(&dir.join("sled"), 1 << 20).unwrap();
    let mut stored = engine.get(key).unwrap().unwrap().to_vec();
    change(&mut stored);
    engine.apply(vec![(key.to_vec(), Some(stored))]).unwrap();
}

fn scan(store: &Store) -> Vec<Result<Record, Damaged>> {
    store.scan(b"k").collect()
}

#[test]
fn a_damaged_record_is_reported_and_its_neighbours_are_read() {
    for (name, change) in [
        ("flipped", (|stored| *stored.last_mut().unwrap() ^= 1) as fn(&mut Vec<u8>)),
        ("torn", |stored| stored.truncate(3)),
        ("emptied", |stored| stored.clear()),
        ("of a version to come", |stored| stored[0] = 77),
        ("cut to a length that cannot be", |stored| {
            stored[0] = 2;
            stored.resize(13, 0xff);
        }),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        for key in [b"k1", b"k2", b"k3"] {
            put(&store, key, b"a value");
        }
        drop(store);
        damage(dir.path(), b"k2", change);
        let store = open(dir.path());
        let read = scan(&store);
        assert_eq!(read.len(), 3, "{name}");
        assert_eq!(read[0].as_ref().unwrap().key, b"k1", "{name}");
        assert_eq!(read[1].as_ref().unwrap_err().key.as_deref(), Some(&b"k2"[..]), "{name}");
        assert_eq!(read[2].as_ref().unwrap().value, b"a value", "{name}");
        assert!(store.get(b"k2").is_err(), "{name}");
        put(&store, b"k2", b"mended");
        assert_eq!(store.get(b"k2").unwrap().unwrap(), b"mended", "{name}");
    }
}

#[test]
fn a_value_under_another_key_is_noticed() {
    let sealed = record::seal(b"k1", b"of k1");
    assert!(record::open(b"k1", &sealed.head).is_ok());
    assert_eq!(record::open(b"k2", &sealed.head).err().unwrap(), "fails its checksum");
}

#[test]
fn a_lost_part_of_a_large_value_is_that_value_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put(&store, b"k-large", &vec![7; 100_000]);
    put(&store, b"k-small", b"small");
    drop(store);
    let engine = Engine::open(&dir.path().join("sled"), 1 << 20).unwrap();
    engine.apply(vec![(record::part_key(b"k-large", 3), None)]).unwrap();
    drop(engine);
    let read = scan(&open(dir.path()));
    let damaged = read[0].as_ref().unwrap_err();
    assert_eq!(damaged.problem, "has 94880 of its 100000 bytes");
    assert_eq!(read[1].as_ref().unwrap().value, b"small");
}

#[test]
fn no_part_stays_behind_a_large_value() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let parts = |store: &Store| store.engine().scan(&[record::PART_PREFIX]).count();
    put(&store, b"k", &vec![1; 50_000]);
    assert_eq!(parts(&store), 10);
    put(&store, b"k", &vec![2; 12_000]);
    assert_eq!(parts(&store), 3);
    assert_eq!(store.get(b"k").unwrap().unwrap(), vec![2; 12_000]);
    // Grown and shrunk within one batch.
    let mut batch = Batch::new();
    batch.put(*b"k", vec![3; 90_000]);
    batch.put(*b"k", vec![4; 6_000]);
    store.commit(batch).unwrap();
    assert_eq!(parts(&store), 2);
    assert_eq!(store.get(b"k").unwrap().unwrap(), vec![4; 6_000]);
    let mut batch = Batch::new();
    batch.delete(*b"k");
    store.commit(batch).unwrap();
    assert_eq!(parts(&store), 0);
    assert_eq!(store.get(b"k").unwrap(), None);
}

#[test]
fn the_engine_never_writes_a_file_of_its_own_for_a_value() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for round in 0..8u8 {
        let mut batch = Batch::new();
        for i in 0..40u16 {
            let mut key = vec![b'k'; MAX_KEY_BYTES - 2];
            key.extend_from_slice(&i.to_be_bytes());
            batch.put(key, vec![round; record::PART_BYTES]);
        }
        batch.put(*b"large", vec![round; 1 << 20]);
        store.commit(batch).unwrap();
    }
    let blobs = std::fs::read_dir(dir.path().join("sled/blobs")).unwrap().count();
    assert_eq!(blobs, 0);
}

#[test]
fn records_that_cannot_be_kept_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for key in [vec![], vec![0xff], vec![b'k'; MAX_KEY_BYTES + 1]] {
        let mut batch = Batch::new();
        batch.put(*b"kept", *b"x");
        batch.put(key, *b"x");
        assert!(matches!(store.commit(batch), Err(StoreError::Unfit { .. })));
    }
    assert_eq!(store.get(b"kept").unwrap(), None);
    put(&store, b"kept", b"x");
}

#[test]
fn a_damaged_engine_is_an_error_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for i in 0..500u32 {
        put(&store, format!("k{i}").as_bytes(), &[i as u8; 300]);
    }
    drop(store);
    let log = dir.path().join("sled/db");
    let intact = std::fs::read(&log).unwrap();
    let mut noticed = 0;
    for at in (0..intact.len()).step_by(intact.len() / 23) {
        let mut damaged = intact.clone();
        let end = (at + 64).min(damaged.len());
        damaged[at..end].fill(0xa5);
        std::fs::write(&log, damaged).unwrap();
        match Store::open(dir.path(), Options::new("test", 1)) {
            Ok(store) => {
                let read = scan(&store);
                noticed += usize::from(read.len() != 500 || read.iter().any(Result::is_err));
                for record in read.into_iter().flatten() {
                    let i: u32 = std::str::from_utf8(&record.key[1..]).unwrap().parse().unwrap();
                    assert_eq!(record.value, [i as u8; 300]);
                }
            }
            Err(StoreError::Corrupt { .. } | StoreError::Io { .. }) => noticed += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(noticed > 0, "no damage was noticed");
}

proptest! {
    #[test]
    fn what_was_sealed_is_opened(key in prop::collection::vec(0u8..255, 1..40), value in prop::collection::vec(any::<u8>(), 0..20_000)) {
        let sealed = record::seal(&key, &value);
        let joined: Vec<u8> = sealed.parts.iter().flat_map(|(_, part)| part.clone()).collect();
        match record::open(&key, &sealed.head).unwrap() {
            record::Opened::Whole(payload) => prop_assert_eq!(payload, &value[..]),
            record::Opened::Cut { length, crc } => {
                prop_assert!(record::check_joined(&key, &joined, length, crc).is_ok());
                prop_assert_eq!(joined, value);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_record_and_no_panic(key in prop::collection::vec(any::<u8>(), 0..20), stored in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(record::Opened::Whole(payload)) = record::open(&key, &stored) {
            prop_assert_eq!(record::seal(&key, payload).head, stored);
        }
    }
}

#[test]
fn a_snapshot_that_was_not_finished_costs_nothing() {
    for content in [&b""[..], b"only a part of it", &[0; 4096]] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        put(&store, b"k1", b"a value");
        drop(store);
        // As a process leaves it that is killed in an open, or finds the disk full.
        let unfinished = dir.path().join("sled/snap.7FFFFFFFFFFFFFFF.generating");
        std::fs::write(&unfinished, content).unwrap();
        let store = open(dir.path());
        assert_eq!(store.get(b"k1").unwrap().unwrap(), b"a value", "{content:?}");
        assert!(!unfinished.exists());
    }
}

#[test]
fn what_is_committed_through_memory_is_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let sled = dir.path().join("sled");
    for n in 0..5_u8 {
        let store = open(dir.path());
        for key in 0..50 {
            put(&store, &[b'k', key], &[n; 9000]);
        }
        drop(store);
        let snapshots = || {
            let mut names: Vec<_> =
                std::fs::read_dir(&sled).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.retain(|name| name.to_string_lossy().starts_with("snap."));
            names
        };
        let before = snapshots();
        let engine = Engine::open_through_memory(&sled, 1 << 20).unwrap();
        let head = record::seal(b"j", &[n]).head;
        engine.apply(vec![(b"j".to_vec(), Some(head))]).unwrap();
        let memory = engine.shadow_dir().unwrap();
        assert!(memory.join("db").is_symlink());
        engine.close().unwrap();
        assert!(!memory.exists(), "nothing is left in memory");
        assert_eq!(snapshots(), before, "nor was anything new made beside the log");
        let store = open(dir.path());
        assert_eq!(store.get(b"j").unwrap().unwrap(), [n]);
        for key in 0..50 {
            assert!(store.get(&[b'k', key]).unwrap().unwrap() == [n; 9000], "{n} {key}");
        }
    }
}

#[test]
fn the_last_segment_of_the_log_has_its_room_from_its_first_record_on() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let probe = std::fs::File::create(dir.path().join("probe")).unwrap();
    let keep = rustix::fs::FallocateFlags::KEEP_SIZE;
    if let Err(error) = rustix::fs::fallocate(&probe, keep, 0, 4096) {
        println!("not run: the file system keeps no room for a file: {error}");
        return;
    }
    let missing = || {
        let log = std::fs::metadata(dir.path().join("store/sled/db")).unwrap();
        log.len().next_multiple_of(SEGMENT_BYTES).saturating_sub(512 * log.blocks())
    };
    let store = open(&dir.path().join("store"));
    for n in 0..40_u8 {
        put(&store, &[b'k', n], &[n; 40_000]);
        assert_eq!(missing(), 0, "after commit {n}");
    }
    for n in 0..40_u8 {
        let mut batch = Batch::new();
        batch.delete([b'k', n]);
        store.commit(batch).unwrap();
        assert_eq!(missing(), 0, "after removal {n}");
    }
}
