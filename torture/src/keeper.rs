//! Clients of what the masters keep for a framework: each reads a key and writes it in place of the
//! version that it saw, while others do the same. Each value is written once.

use crate::cluster::pause;
use crate::history::{Fact, Recorder, now};
use driver::{StateError, StateStore};
use std::path::PathBuf;
use std::sync::Arc;

/// How many keys there are.
const KEYS: usize = 2;
/// How many clients each scheduler has; both write all keys.
pub(crate) const CLIENTS: usize = 2;
/// How often a key is read for a last time, in all.
pub(crate) const LAST_READS: usize = crate::cluster::SCHEDULERS.len() * CLIENTS * KEYS;
/// Between two turns of a client: the machine is to be loaded, not full.
const PAUSE_MILLIS: u64 = 60;

/// One of the clients of one life of a scheduler.
pub(crate) struct Keeper {
    pub(crate) framework: String,
    pub(crate) state: StateStore,
    pub(crate) history: Arc<Recorder>,
    /// The first of its values; the others follow it.
    pub(crate) value: u64,
    /// The file that tells that the run is calm.
    pub(crate) calm: PathBuf,
}

impl Keeper {
    /// Reads and writes until the run is calm; then each key is read for a last time.
    pub(crate) async fn run(mut self) {
        let mut turn = 0;
        while !self.calm.exists() {
            if self.replace(turn % KEYS).await.is_err() {
                return;
            }
            turn += 1;
            pause(PAUSE_MILLIS).await;
        }
        for key in 0..KEYS {
            if self.read(key, true).await.is_err() {
                return;
            }
        }
    }

    /// Reads a key: the version that it has.
    async fn read(&self, key: usize, last: bool) -> Result<u64, StateError> {
        let began = now();
        let held = self.state.get(&name(key)).await?;
        let (version, value) = match held {
            None => (0, 0),
            // Whatever is no number was written by nobody.
            Some(held) => {
                let value =
                    std::str::from_utf8(&held.value).ok().and_then(|text| text.parse().ok());
                (held.version, value.unwrap_or(u64::MAX))
            }
        };
        let framework = self.framework.clone();
        self.history.note(Fact::Held { framework, key, value, version, began, last });
        Ok(version)
    }

    async fn replace(&mut self, key: usize) -> Result<(), StateError> {
        let expected = self.read(key, false).await?;
        let value = self.value;
        self.value += 1;
        let framework = self.framework.clone();
        self.history.note(Fact::Keeping { framework: framework.clone(), key, value });
        let began = now();
        let version = match self.state.put(&name(key), value.to_string(), expected).await {
            Ok(version) => Some(version),
            Err(StateError::Conflict { .. }) => None,
            Err(error) => return Err(error),
        };
        self.history.note(Fact::Kept { framework, key, value, expected, began, version });
        Ok(())
    }
}

fn name(key: usize) -> String {
    format!("torture/{key}")
}
