//! The reserve alone, and with the writer before a disk that is full.

use super::*;
use crate::checkpoint::{Committed, Writer, load, open, supervisor_change};
use std::time::{Duration, Instant};

const BYTES: u64 = FIRST + 300;

/// One that is made, by its thread.
fn made(path: &Path) -> Arc<Reserve> {
    let reserve = Reserve::open(path);
    reserve.make(BYTES);
    let deadline = Instant::now() + Duration::from_secs(60);
    while reserve.lock().length != BYTES {
        assert!(Instant::now() < deadline, "it is not made");
        // waits: for the thread that writes the file
        std::thread::sleep(Duration::from_millis(1));
    }
    reserve
}

fn change(key: &str, value: Option<&str>) -> Change {
    (key.as_bytes().to_vec(), value.map(|value| value.as_bytes().to_vec()))
}

#[test]
fn what_is_kept_is_read_by_the_next_one_until_it_is_cleared() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("reserve");
    let reserve = made(&path);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), BYTES);
    let first = [change("a", Some("1")), change("b", None)];
    let second = [change("a", Some("")), change("c", Some("3"))];
    assert!(reserve.keep(&first) && reserve.keep(&second) && reserve.is_used());
    let again = Reserve::open(&path);
    assert!(again.is_used());
    assert_eq!(again.changes(), [first.to_vec(), second.to_vec()].concat());
    // One that holds something is not made anew, whatever size is asked for.
    again.make(2 * BYTES);
    assert!(!again.making.load(Ordering::Acquire));
    again.clear().unwrap();
    assert!(!again.is_used());
    let third = Reserve::open(&path);
    assert_eq!((third.is_used(), third.changes()), (false, Vec::new()));
    assert!(third.keep(&second));
    assert_eq!(Reserve::open(&path).changes(), second);
}

#[test]
fn it_has_all_of_its_room_from_the_start() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let bytes = 3 * PIECE as u64 + 100;
    let allocated = with_room(&dir.path().join("a"), bytes).unwrap();
    // Where the file system cannot set room aside.
    let mut filled = File::create(dir.path().join("b")).unwrap();
    fill(&mut filled, bytes).unwrap();
    filled.sync_all().unwrap();
    for file in [allocated, filled] {
        let found = file.metadata().unwrap();
        assert_eq!(found.len(), bytes);
        assert!(512 * found.blocks() >= bytes, "{} blocks", found.blocks());
    }
}

#[test]
fn what_does_not_fit_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("reserve");
    let reserve = made(&path);
    let long = [change("long", Some(&"x".repeat(250)))];
    assert!(reserve.keep(&long));
    assert!(!reserve.keep(&long));
    assert_eq!(Reserve::open(&path).changes(), long);
    assert!(!Reserve::open(&dir.path().join("none")).keep(&long), "there is none");
}

#[test]
fn a_record_that_was_not_written_whole_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("reserve");
    let reserve = made(&path);
    let (first, second) = ([change("a", Some("1"))], [change("b", Some("2"))]);
    assert!(reserve.keep(&first));
    let at = reserve.lock().end;
    assert!(reserve.keep(&second));
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"torn", at + HEAD as u64 + 2).unwrap();
    assert_eq!(Reserve::open(&path).changes(), first);
    for head in [&b"nothing of ours"[..], b"TEPUI"] {
        std::fs::write(&path, head).unwrap();
        assert_eq!(Reserve::open(&path).changes(), []);
        assert!(!path.exists(), "it is made anew");
    }
}

/// A store whose disk may be full.
struct Disk {
    store: Arc<dyn Storage>,
    full: AtomicBool,
}

impl Storage for Disk {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Damaged> {
        self.store.get(key)
    }

    fn scan(&self, prefix: &[u8]) -> Scan<'_> {
        self.store.scan(prefix)
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Full { dir: "/full".into(), free: 0, needed: 1 });
        }
        self.store.commit(batch)
    }
}

#[tokio::test]
async fn a_full_disk_keeps_nothing_waiting_and_the_store_has_all_of_it_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let reserve = made(&dir.path().join("reserve"));
    let store = open(&dir.path().join("meta"), None).unwrap();
    let disk = Arc::new(Disk { store, full: AtomicBool::new(true) });
    let (writer, mut committed) = Writer::start(disk.clone(), reserve.clone()).unwrap();
    for n in ["1", "2"] {
        writer.commit(vec![supervisor_change(n)]);
        assert!(matches!(committed.recv().await, Some(Committed::Reserved(_))));
    }
    assert_eq!(load(&*disk).supervisor, None);
    let both = Both::new(&*disk, &reserve);
    assert_eq!(load(&both).supervisor.as_deref(), Some("2"), "as an agent reads it that starts");
    disk.full.store(false, Ordering::SeqCst);
    writer.commit(vec![(b"later".to_vec(), Some(Vec::new()))]);
    assert!(matches!(committed.recv().await, Some(Committed::Durable)));
    assert!(!reserve.is_used());
    assert_eq!(load(&*disk).supervisor.as_deref(), Some("2"));
    assert_eq!(disk.get(b"later").unwrap(), Some(Vec::new()));
}

/// One that broke in an earlier commit.
struct Broken;
impl Storage for Broken {
    fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, Damaged> {
        Ok(None)
    }

    fn scan(&self, _: &[u8]) -> Scan<'_> {
        Box::new(std::iter::empty())
    }

    fn commit(&self, _: Batch) -> Result<(), StoreError> {
        Err(StoreError::Poisoned { dir: "/full".into() })
    }
}

#[tokio::test]
async fn a_store_that_broke_is_opened_anew_where_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let reserve = made(&dir.path().join("reserve"));
    let (writer, mut committed) = Writer::start(Arc::new(Broken), reserve.clone()).unwrap();
    writer.commit(vec![supervisor_change("1")]);
    assert!(reserve.disk_has_room(), "of the disk of this test");
    assert!(matches!(committed.recv().await, Some(Committed::Failed(_))));
    assert!(!reserve.is_used());
}

#[test]
fn what_is_read_of_both_is_what_will_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let reserve = made(&dir.path().join("reserve"));
    let store = open(&dir.path().join("meta"), None).unwrap();
    let mut batch = Batch::new();
    for key in ["T1", "T2", "T4", "U1"] {
        batch.put(key, "old");
    }
    store.commit(batch).unwrap();
    assert!(reserve.keep(&[
        change("T2", None),
        change("T3", Some("new")),
        change("T4", Some("new"))
    ]));
    let both = Both::new(&*store, &reserve);
    let read: Vec<_> = both.scan(b"T").map(|entry| entry.unwrap()).collect();
    let read: Vec<_> = read.iter().map(|r| (r.key.as_slice(), r.value.as_slice())).collect();
    assert_eq!(read, [(&b"T1"[..], &b"old"[..]), (b"T3", b"new"), (b"T4", b"new")]);
    assert_eq!(both.get(b"T2").unwrap(), None);
    assert_eq!(both.get(b"U1").unwrap().as_deref(), Some(&b"old"[..]));
}
