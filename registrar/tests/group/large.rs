//! Much data: a big state carried to a newcomer, and a disk that stays small whatever is written.

use crate::host::{GROUP, Host, add, bounded, group, hand_over, leader, options};
use bytes::Bytes;
use registrar::{Members, Options, StateMachine};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_of_sixty_megabytes_goes_to_a_newcomer() {
    let options = Options { snapshot_entries: 40, kept_entries: 5, ..Options::default() };
    let mut hosts = group(1, &options);
    leader(&hosts).await;
    let registrar = hosts[0].registrar();
    for n in 0..60u8 {
        bounded(registrar.propose(Bytes::from(vec![n; 1 << 20]))).await.unwrap();
    }
    add(&mut hosts, Host::new(2, &options)).await;
    let books = [hosts[0].book().await, hosts[1].book().await];
    assert!(books[0].entries == books[1].entries && books[0].entries.len() == 61);
    // It came by a snapshot, and can lead with it.
    assert!(hosts[1].registrar().status().borrow().first > 20);
    hand_over(&hosts, 1).await;
    hosts[1].kill().await;
    hosts[1].start();
    leader(&hosts).await;
    assert_eq!(hosts[1].book().await.entries.len(), 61);
    for host in &mut hosts {
        host.kill().await;
    }
}

/// A state that does not grow: what stands in a thousand places.
struct Places(Vec<Bytes>);

impl StateMachine for Places {
    type Outcome = ();

    fn apply(&mut self, index: u64, entry: &Bytes) {
        let places = self.0.len() as u64;
        self.0[(index.wrapping_mul(0x9e37_79b9) % places) as usize] = entry.clone();
    }

    fn snapshot(&self) -> Bytes {
        self.0.concat().into()
    }

    fn restore(&mut self, _: &Bytes) -> Result<(), String> {
        Ok(())
    }

    fn hash(&self) -> u64 {
        u64::from(crc32fast::hash(&self.snapshot()))
    }
}

/// Bytes that a directory takes on the disk.
fn used(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        // What is gone by now takes nothing.
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += if metadata.is_dir() { used(&entry.path()) } else { metadata.blocks() * 512 };
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_that_a_member_takes_does_not_grow_with_what_was_written() {
    const ROUNDS: usize = 80;
    const ENTRIES: usize = 10_000;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("member");
    let members = Members::of_voters([(crate::host::id(1), String::new())]);
    let places = || Places(vec![Bytes::from(vec![0; 256]); 1_000]);
    registrar::found(&dir, GROUP, members, &places()).unwrap();
    let options = Options { snapshot_bytes: 256 << 10, kept_entries: 100, ..options() };
    let options = Options { snapshot_entries: 2_000, hash_entries: 10_000, ..options };
    let config = Host::config(crate::host::id(1), &dir, &options);
    let (registrar, task) = registrar::start(config, places()).unwrap();
    let mut status = registrar.status();
    let role = registrar::Role::Leader;
    drop(bounded(status.wait_for(|now| now.role == role)).await.unwrap());
    let mut sizes = Vec::new();
    for round in 0..ROUNDS {
        let (done, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        for n in 0..ENTRIES {
            let (done, failed, tell) = (Arc::clone(&done), Arc::clone(&failed), tell.clone());
            let byte = (round + n) as u8;
            registrar.submit(Bytes::from(vec![byte; 256]), move |result| {
                failed.fetch_add(usize::from(result.is_err()), Ordering::Relaxed);
                if done.fetch_add(1, Ordering::Relaxed) + 1 == ENTRIES {
                    tell.send(()).unwrap();
                }
            });
            // About as many under way as a busy master has.
            if n % 256 == 255 {
                bounded(registrar.read_index()).await.unwrap();
            }
        }
        bounded(told.recv()).await.unwrap();
        assert_eq!(failed.load(Ordering::Relaxed), 0);
        sizes.push(used(&dir));
    }
    drop((registrar, status));
    bounded(task).await.unwrap().unwrap();
    println!("bytes on the disk after each {ENTRIES} entries: {sizes:?}");
    // 200 MB of entries and as much of snapshots went through it. What is out of date is written
    // over some time later, on a busy machine much later (70 MB were seen, 52 on an idle one), and
    // the database takes room in steps (31 MB for a while, then 55), so that the most says little
    // and the middle says whether it grows: what grows evenly has thrice as much in the second half.
    assert!(sizes.iter().all(|size| *size < 96 << 20), "{sizes:?}");
    let middle = |part: &[u64]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part[part.len() / 2]
    };
    let (early, late) = (middle(&sizes[..ROUNDS / 2]), middle(&sizes[ROUNDS / 2..]));
    assert!(late < 2 * early, "{early} and then {late}: {sizes:?}");
}
