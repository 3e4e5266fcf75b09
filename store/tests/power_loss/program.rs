//! What runs in the guest: it writes to stores until the machine dies, or says what a dead machine
//! left.
//!
//! Commands, with `;` between them: `write|verify guarded|bare DIR STORES`. `bare` is the engine with its own `flush` alone, so that
//! the test can show that it would see a loss. Writing prints `ACK store commit.` after each commit
//! returned; verifying prints `KEPT store commits.` for each store, or `LOST store problem` when it
//! does not open or holds what was never written.

use std::path::Path;
use store::{Batch, Options, Storage, Store};

const RECORDS_PER_COMMIT: u64 = 4;

pub(crate) type Outcome<T> = Result<T, String>;

enum Engine {
    Guarded(Store),
    Bare(sled::Db),
}

impl Engine {
    fn open(dir: &Path, guarded: bool) -> Outcome<Self> {
        if guarded {
            let options = Options { reserve_bytes: 0, ..Options::new("test", 1) };
            return Store::open(dir, options).map(Self::Guarded).map_err(|error| error.to_string());
        }
        let config = sled::Config::new().path(dir).cache_capacity(2 << 20).flush_every_ms(None);
        config.open().map(Self::Bare).map_err(|error| error.to_string())
    }

    fn commit(&self, commit: u64) -> Outcome<()> {
        let records = (0..RECORDS_PER_COMMIT).map(|part| (key(commit, part), value(commit, part)));
        match self {
            Self::Guarded(store) => {
                let mut batch = Batch::new();
                records.for_each(|(key, value)| batch.put(key, value));
                store.commit(batch).map_err(|error| error.to_string())
            }
            Self::Bare(db) => {
                let mut batch = sled::Batch::default();
                records.for_each(|(key, value)| batch.insert(&key[..], value));
                db.apply_batch(batch).map_err(|error| error.to_string())?;
                db.flush().map(|_| ()).map_err(|error| error.to_string())
            }
        }
    }

    fn get(&self, key: &[u8]) -> Outcome<Option<Vec<u8>>> {
        match self {
            Self::Guarded(store) => store.get(key).map_err(|damaged| damaged.problem),
            Self::Bare(db) => db
                .get(key)
                .map(|value| value.map(|value| value.to_vec()))
                .map_err(|error| error.to_string()),
        }
    }

    /// How many commits are there, from the first one on, each whole and as it was written.
    fn kept(&self) -> Outcome<u64> {
        for commit in 0.. {
            let mut found = 0;
            for part in 0..RECORDS_PER_COMMIT {
                match self.get(&key(commit, part))? {
                    Some(kept) if kept == value(commit, part) => found += 1,
                    Some(_) => return Err(format!("commit {commit} holds what was never written")),
                    None => {}
                }
            }
            match found {
                RECORDS_PER_COMMIT => {}
                0 => return Ok(commit),
                _ => return Err(format!("commit {commit} is there in part")),
            }
        }
        Ok(u64::MAX)
    }
}

fn key(commit: u64, part: u64) -> Vec<u8> {
    let mut key = b"k".to_vec();
    // Spread, so that many pages change.
    key.extend_from_slice(&commit.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key.extend_from_slice(&part.to_be_bytes());
    key
}

fn value(commit: u64, part: u64) -> Vec<u8> {
    (0..256).map(|i| (commit * 31 + part * 7 + i) as u8).collect()
}

fn write(dir: &Path, guarded: bool, stores: u64) -> Outcome<()> {
    let engines: Vec<Engine> = (0..stores)
        .map(|n| Engine::open(&dir.join(format!("store-{n}")), guarded))
        .collect::<Outcome<_>>()?;
    for commit in 0.. {
        for (n, engine) in engines.iter().enumerate() {
            engine.commit(commit)?;
            println!("ACK {n} {commit}.");
        }
    }
    Ok(())
}

fn verify(dir: &Path, guarded: bool, stores: u64) {
    for n in 0..stores {
        let path = dir.join(format!("store-{n}"));
        let kept = std::panic::catch_unwind(|| {
            Engine::open(&path, guarded).and_then(|engine| engine.kept())
        });
        match kept {
            Ok(Ok(commits)) => println!("KEPT {n} {commits}."),
            Ok(Err(problem)) => println!("LOST {n} {}", problem.replace('\n', " ")),
            Err(_) => println!("LOST {n} the engine panicked"),
        }
    }
}

/// Obeys commands in order.
pub(crate) fn run(commands: &str) -> Outcome<()> {
    commands.split_terminator(';').try_for_each(obey)
}

fn obey(arguments: &str) -> Outcome<()> {
    let words: Vec<&str> = arguments.split(' ').collect();
    let [verb, mode, dir, stores] = words[..] else {
        return Err(format!("'{arguments}' is not: write|verify guarded|bare DIR STORES"));
    };
    let (dir, guarded) = (Path::new(dir), mode == "guarded");
    let stores = stores.parse().map_err(|_| format!("'{stores}' is no number of stores"))?;
    match verb {
        "write" => write(dir, guarded, stores),
        "verify" => {
            verify(dir, guarded, stores);
            Ok(())
        }
        other => Err(format!("'{other}' is neither write nor verify")),
    }
}
