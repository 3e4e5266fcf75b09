//! How fast commits are, against the floor of the same disk: append and fdatasync.
//!
//! `cargo run -p store --release --example commits -- [DIR]` prints the floor, the store, and the
//! floor again, for 1 and for 64 records of 256 bytes a commit.
#![allow(clippy::print_stdout, reason = "it is a program that prints figures")]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use store::{Batch, Options, Storage, Store};

const RUN: Duration = Duration::from_secs(2);
const RECORD: [u8; 256] = [7; 256];

fn measure(name: &str, per_commit: usize, mut commit: impl FnMut(u64)) -> f64 {
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < RUN {
        let before = Instant::now();
        commit(times.len() as u64);
        times.push(before.elapsed());
    }
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_micros();
    println!(
        "{name:<28} {per_commit:>3} a commit {rate:>8.0} commits/s {:>9.0} records/s  p50 {:>6} us  p99 {:>6} us",
        rate * per_commit as f64,
        at(50),
        at(99),
    );
    rate
}

fn floor(dir: &Path, per_commit: usize) -> f64 {
    let mut file = File::create(dir.join("floor")).expect("the directory is writable");
    let block = RECORD.repeat(per_commit);
    measure("append + fdatasync", per_commit, |_| {
        file.write_all(&block).and_then(|()| file.sync_data()).expect("the disk writes");
    })
}

fn main() {
    let dir = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(dir).expect("the directory is writable");
    let store = Store::open(&dir.path().join("store"), Options::new("bench", 1));
    let store = store.expect("an empty directory can be opened");
    for per_commit in [1, 64] {
        let before = floor(dir.path(), per_commit);
        let ours = measure("store", per_commit, |n| {
            let mut batch = Batch::new();
            for i in 0..per_commit as u64 {
                batch.put(((n * per_commit as u64 + i) % 100_000).to_be_bytes(), RECORD);
            }
            store.commit(batch).expect("the disk writes");
        });
        let after = floor(dir.path(), per_commit);
        println!("ratio to the floor: {:.2}\n", ours / ((before + after) / 2.0));
    }
}
