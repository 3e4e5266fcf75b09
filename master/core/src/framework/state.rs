//! STATE_PUT, STATE_DELETE, STATE_GET, STATE_LIST: what the masters keep for a framework.
//!
//! A write names the version that it expects, and is answered once it is durable. What is there is
//! told with all writes before it in mind, and not before those are durable: reads see what was
//! answered. A write that was made is known again by what its writer called it. It belongs to the framework's id, outlives schedulers and masters, and goes when the
//! framework is over.

use crate::effect::Effect;
use crate::registry::{KeptState, RegistryOp};
use crate::state::Master;
use crate::table::FrameworkOrd;
use proto::FrameworkInfo;
use proto::scheduler::{
    Event, StateAnswer, StateAsk, StateCall, StateEntry, StateFence, StateOutcome,
};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

/// Why a write may not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StateRefusal {
    KeyEmpty,
    KeyTooLong { bytes: usize, limit: usize },
    KeyUnprintable,
    ValueTooLarge { bytes: usize, limit: usize },
    TooManyKeys { limit: usize },
    StateTooLarge { bytes: usize, limit: usize },
    ClusterFull { bytes: usize, limit: usize },
}

impl fmt::Display for StateRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyEmpty => f.write_str("a key must not be empty"),
            Self::KeyTooLong { bytes, limit } => {
                write!(f, "the key has {bytes} bytes; at most {limit} are kept")
            }
            Self::KeyUnprintable => f.write_str("a key must not have control characters"),
            Self::ValueTooLarge { bytes, limit } => {
                write!(f, "the value has {bytes} bytes; at most {limit} are kept under one key")
            }
            Self::TooManyKeys { limit } => {
                write!(f, "the framework has {limit} keys, which is the most: delete some first")
            }
            Self::StateTooLarge { bytes, limit } => write!(
                f,
                "the framework's keys and values would take {bytes} bytes; at most {limit} are kept"
            ),
            Self::ClusterFull { bytes, limit } => write!(
                f,
                "the state of all frameworks would take {bytes} bytes; at most {limit} are kept: it \
                 has room again when frameworks delete keys or are torn down"
            ),
        }
    }
}

/// A write as it is asked for.
struct Put {
    key: Arc<str>,
    value: Arc<[u8]>,
    expected: u64,
    write: Option<u64>,
    fence: Option<StateFence>,
}

impl Master {
    pub(crate) fn state_call(
        &mut self,
        ord: FrameworkOrd,
        StateCall { number, ask }: StateCall,
        out: &mut Vec<Effect>,
    ) {
        let outcome = match ask {
            StateAsk::Put { key, value, version, write, fence } => {
                let put = Put { key, value, expected: version, write, fence };
                self.put_state(ord, put, out)
            }
            StateAsk::Delete { key, version } => self.delete_state(ord, key, version, out),
            StateAsk::Get { key } => self.get_state(ord, &key),
            StateAsk::List { prefix } => self.list_state(ord, &prefix),
        };
        self.tell(ord, Event::State(StateAnswer { number, outcome }), out);
    }

    fn kept(&self, ord: FrameworkOrd) -> Option<&KeptState> {
        self.registry.kept().get(&self.frameworks[ord].id)
    }

    fn version_of(&self, ord: FrameworkOrd, key: &str) -> u64 {
        self.registry.kept().version_of(&self.frameworks[ord].id, key)
    }

    fn next_version(&self, ord: FrameworkOrd) -> u64 {
        self.kept(ord).map_or(0, |state| state.version) + 1
    }

    fn put_state(
        &mut self,
        ord: FrameworkOrd,
        Put { key, value, expected, write, fence }: Put,
        out: &mut Vec<Effect>,
    ) -> StateOutcome {
        let there = self.kept(ord).and_then(|state| state.entries.get(&key));
        let actual = there.map_or(0, |held| held.version);
        if write.is_some() && there.is_some_and(|held| held.write == write) {
            // Its answer was lost on the way.
            return StateOutcome::Done { key, version: actual };
        }
        if let Some(StateFence { key, version }) = fence
            && self.version_of(ord, &key) != version
        {
            let version = self.version_of(ord, &key);
            return StateOutcome::Conflict { key, version };
        }
        if actual != expected {
            return StateOutcome::Conflict { key, version: actual };
        }
        if let Err(refusal) = self.check_state(ord, &key, value.len()) {
            return StateOutcome::Refused { message: refusal.to_string().into() };
        }
        let framework = &self.frameworks[ord];
        let framework_id = framework.id.clone();
        if self.kept(ord).is_none_or(|state| state.info != *framework.info) {
            let info = FrameworkInfo::clone(&framework.info);
            let registered = framework.registered;
            self.persist(RegistryOp::OpenState { info, registered }, out);
        }
        let version = self.next_version(ord);
        let put = RegistryOp::PutState { framework_id, key: key.clone(), value, version, write };
        self.persist(put, out);
        StateOutcome::Done { key, version }
    }

    fn delete_state(
        &mut self,
        ord: FrameworkOrd,
        key: Arc<str>,
        expected: u64,
        out: &mut Vec<Effect>,
    ) -> StateOutcome {
        let actual = self.version_of(ord, &key);
        if actual != expected {
            return StateOutcome::Conflict { key, version: actual };
        }
        if actual > 0 {
            let (framework_id, version) = (self.frameworks[ord].id.clone(), self.next_version(ord));
            self.persist(RegistryOp::DeleteState { framework_id, key: key.clone(), version }, out);
        }
        StateOutcome::Done { key, version: 0 }
    }

    fn get_state(&self, ord: FrameworkOrd, key: &str) -> StateOutcome {
        let found = self.kept(ord).and_then(|state| state.entries.get_key_value(key));
        let entry = found.map(|(key, held)| StateEntry {
            key: key.clone(),
            version: held.version,
            value: held.value.clone(),
        });
        StateOutcome::Found(entry.into_iter().collect())
    }

    fn list_state(&self, ord: FrameworkOrd, prefix: &str) -> StateOutcome {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let entries = self.kept(ord).map(|state| {
            let entries = state.entries.range::<str, _>(from);
            let entries = entries.take_while(|(key, _)| key.starts_with(prefix));
            entries.map(|(key, held)| StateEntry {
                key: key.clone(),
                version: held.version,
                value: held.value.clone(),
            })
        });
        StateOutcome::Found(entries.into_iter().flatten().collect())
    }

    /// Whether a value of so many bytes may be kept under the key, in place of what is there.
    fn check_state(&self, ord: FrameworkOrd, key: &str, value: usize) -> Result<(), StateRefusal> {
        let options = &self.options;
        if key.is_empty() {
            return Err(StateRefusal::KeyEmpty);
        }
        let (bytes, limit) = (key.len(), options.state_key_bytes);
        if bytes > limit {
            return Err(StateRefusal::KeyTooLong { bytes, limit });
        }
        if key.chars().any(char::is_control) {
            return Err(StateRefusal::KeyUnprintable);
        }
        if value > options.state_value_bytes {
            let limit = options.state_value_bytes;
            return Err(StateRefusal::ValueTooLarge { bytes: value, limit });
        }
        let state = self.kept(ord);
        let there = state.and_then(|state| state.entries.get(key));
        let (keys, limit) = (state.map_or(0, |state| state.entries.len()), options.state_keys);
        if there.is_none() && keys >= limit {
            return Err(StateRefusal::TooManyKeys { limit });
        }
        let old = there.map_or(0, |held| key.len() + held.value.len());
        let new = key.len() + value;
        let (bytes, limit) = (state.map_or(0, KeptState::bytes) + new - old, options.state_bytes);
        // What makes it smaller is always taken.
        if bytes > limit && new > old {
            return Err(StateRefusal::StateTooLarge { bytes, limit });
        }
        let bytes = self.registry.kept().bytes() + new - old;
        let limit = options.all_state_bytes;
        if bytes > limit && new > old {
            return Err(StateRefusal::ClusterFull { bytes, limit });
        }
        Ok(())
    }

    /// The framework is over: what was kept for it goes, durably, before its id is used up.
    pub(super) fn forget_state(&mut self, ord: FrameworkOrd, out: &mut Vec<Effect>) {
        let Some(state) = self.kept(ord) else { return };
        let keys = state.entries.keys().cloned().collect();
        let framework_id = self.frameworks[ord].id.clone();
        self.persist(RegistryOp::ForgetState { framework_id, keys }, out);
    }
}
