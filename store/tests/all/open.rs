//! Opening: whose data they are, who has them, and what survives.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use store::{Batch, Options, Storage, Store, StoreError};

const CHILD: &str = "STORE_TEST_DIR";

fn put(store: &Store, key: &str, value: &str) {
    let mut batch = Batch::new();
    batch.put(key, value);
    store.commit(batch).unwrap();
}

fn refused(dir: &Path, options: Options) -> StoreError {
    match Store::open(dir, options) {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

#[test]
fn what_was_committed_is_there_after_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("not/yet/there");
    let store = Store::open(&path, Options::new("master", 1)).unwrap();
    put(&store, "a/1", "one");
    put(&store, "a/2", "two");
    put(&store, "b/1", "other");
    let mut batch = Batch::new();
    batch.delete("a/1");
    batch.put("a/3", "three");
    store.commit(batch).unwrap();
    drop(store);
    let store = Store::open(&path, Options::new("master", 1)).unwrap();
    let keys: Vec<_> = store.scan(b"a/").map(|record| record.unwrap().key).collect();
    assert_eq!(keys, [b"a/2", b"a/3"]);
    assert_eq!(store.get(b"b/1").unwrap().unwrap(), b"other");
    assert_eq!(store.get(b"a/1").unwrap(), None);
}

#[test]
fn whose_data_they_are_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Options::new("master", 2).cluster("blue")).unwrap();
    assert_eq!(store.identity().cluster.as_deref(), Some("blue"));
    drop(store);
    let error = refused(dir.path(), Options::new("agent", 2));
    assert!(matches!(&error, StoreError::OtherKind { .. }), "{error}");
    assert!(
        error.to_string().contains("is of kind 'master', and kind 'agent' is needed"),
        "{error}"
    );
    let error = refused(dir.path(), Options::new("master", 1));
    assert!(matches!(error, StoreError::Newer { found: 2, known: 1, .. }), "{error}");
    let error = refused(dir.path(), Options::new("master", 2).cluster("red"));
    assert!(error.to_string().contains("cluster blue, not to cluster red"), "{error}");
    assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    Store::open(dir.path(), Options::new("master", 3)).unwrap();
}

#[test]
fn a_cluster_is_bound_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Options::new("agent", 1)).unwrap();
    assert_eq!(store.identity().cluster, None);
    store.bind_cluster("blue").unwrap();
    store.bind_cluster("blue").unwrap();
    assert!(matches!(store.bind_cluster("red"), Err(StoreError::OtherCluster { .. })));
    drop(store);
    let error = refused(dir.path(), Options::new("agent", 1).cluster("red"));
    assert!(matches!(error, StoreError::OtherCluster { .. }), "{error}");
}

#[test]
fn a_newer_layout_and_a_damaged_identity_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), Options::new("master", 1)).unwrap());
    let path = dir.path().join("identity");
    let copy = dir.path().join("identity.copy");
    let text = fs::read_to_string(&path).unwrap();
    let body = text.split_once("crc ").unwrap().0.replace("tepui-store 1", "tepui-store 2");
    fs::write(&path, format!("{body}crc {:08x}\n", crc32fast::hash(body.as_bytes()))).unwrap();
    let error = refused(dir.path(), Options::new("master", 1));
    assert!(matches!(error, StoreError::Newer { found: 2, known: 1, .. }), "{error}");
    for damaged in
        [text.replace("kind master", "kind masted"), text[..10].to_owned(), String::new()]
    {
        fs::write(&path, &damaged).unwrap();
        fs::write(&copy, damaged).unwrap();
        let error = refused(dir.path(), Options::new("master", 1));
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    }
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(matches!(refused(dir.path(), Options::new("master", 1)), StoreError::Corrupt { .. }));
    let aside = store::set_aside(dir.path()).unwrap();
    assert!(aside.join("identity").exists());
    Store::open(dir.path(), Options::new("master", 1)).unwrap();
    fs::remove_dir_all(aside).unwrap();
}

#[test]
fn of_two_identities_one_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::open(dir.path(), Options::new("master", 1));
    let store = open().unwrap();
    store.bind_cluster("blue").unwrap();
    let whole = store.identity();
    drop(store);
    let [path, copy] = ["identity", "identity.copy"].map(|name| dir.path().join(name));
    let text = fs::read_to_string(&path).unwrap();
    // A bit of the layout's number.
    let layout = text.replace("tepui-store 1", "tepui-store 9");
    for file in [&path, &copy] {
        let torn = [None, Some(""), Some("tepui-store 1\nkind m"), Some(&text[1..])];
        for damaged in torn.into_iter().chain([Some(&*layout)]) {
            match damaged {
                None => fs::remove_file(file).unwrap(),
                Some(damaged) => fs::write(file, damaged).unwrap(),
            }
            let store = open().unwrap();
            assert_eq!(store.identity(), whole);
            drop(store);
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::read_to_string(&copy).unwrap(), text);
        }
    }
    // A refusal mends nothing.
    fs::remove_file(&path).unwrap();
    let error = refused(dir.path(), Options::new("agent", 1));
    assert!(matches!(error, StoreError::OtherKind { .. }), "{error}");
    assert!(!path.exists());
}

#[test]
fn a_directory_with_one_of_its_identities_is_somebodys() {
    let dir = tempfile::tempdir().unwrap();
    assert!(store::refuse_owned(dir.path(), "agent work directory").is_ok());
    drop(Store::open(dir.path(), Options::new("master", 1)).unwrap());
    let whose = || store::refuse_owned(dir.path(), "agent work directory").unwrap_err();
    for lost in ["identity", "identity.copy"] {
        let text = fs::read(dir.path().join(lost)).unwrap();
        fs::remove_file(dir.path().join(lost)).unwrap();
        let error = whose();
        let of_master = matches!(&error, StoreError::OtherKind { found, .. } if found == "master");
        assert!(of_master, "without {lost}: {error}");
        fs::write(dir.path().join(lost), text).unwrap();
    }
}

#[test]
fn a_directory_with_other_things_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("photo.jpg"), "x").unwrap();
    let error = refused(dir.path(), Options::new("master", 1));
    assert!(error.to_string().contains("photo.jpg"), "{error}");
    assert!(!dir.path().join("identity").exists());
}

#[test]
fn a_file_in_place_of_the_directory_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "x").unwrap();
    assert!(refused(&path, Options::new("master", 1)).to_string().contains("file"));
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Options::new("master", 1)).unwrap();
    put(&store, "kept", "1");
    drop(store);
    let greedy = Options { reserve_bytes: 1 << 60, ..Options::new("master", 1) };
    let store = Store::open(dir.path(), greedy).unwrap();
    for _ in 0..2 {
        let mut batch = Batch::new();
        batch.put("more", "2");
        // The same each time: a full disk poisons nothing.
        assert!(matches!(store.commit(batch), Err(StoreError::Full { .. })));
    }
    assert_eq!(store.get(b"kept").unwrap().unwrap(), b"1");
    assert_eq!(store.get(b"more").unwrap(), None);
}

/// Not a test of its own: the other process of the next one.
#[test]
fn holder() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let _store = Store::open(Path::new(&dir), Options::new("master", 1)).unwrap();
    println!("open");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn a_directory_in_use_by_another_process_is_refused_until_that_process_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "open::holder", "--nocapture"])
        .env(CHILD, dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("open")), "the child opened the store");
    match refused(dir.path(), Options::new("master", 1)) {
        StoreError::InUse { pid, dir: named } => {
            assert_eq!(pid, Some(child.id()));
            assert_eq!(named, dir.path());
        }
        other => panic!("{other}"),
    }
    child.kill().unwrap();
    child.wait().unwrap();
    Store::open(dir.path(), Options::new("master", 1)).unwrap();
}

#[test]
fn one_process_cannot_open_a_directory_twice() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Store::open(dir.path(), Options::new("master", 1)).unwrap();
    let error = refused(dir.path(), Options::new("master", 1));
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
}

#[test]
fn a_store_can_be_reopened_as_soon_as_it_was_dropped() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..100 {
        let store = Store::open(dir.path(), Options::new("master", 1)).unwrap();
        put(&store, &format!("{n:03}"), "x");
        drop(store);
    }
    let store = Store::open(dir.path(), Options::new("master", 1)).unwrap();
    assert_eq!(store.scan(b"").filter(Result::is_ok).count(), 100);
}
