//! What frameworks keep in the registry: keys with versioned values.
//!
//! A framework's versions count up with each of its writes, deletions too, and never come twice
//! while its state is there: a key that was deleted and made again has another version than any
//! that it had before.

use super::RegistryOp;
use crate::framework::footprint::framework_bytes;
use proto::{FrameworkId, FrameworkInfo, Time};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The state of all frameworks that keep one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    of: BTreeMap<FrameworkId, KeptState>,
    bytes: usize,
}

/// The state of one framework.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptState {
    /// The framework, with its id, as it was when it wrote last.
    pub info: FrameworkInfo,
    /// When it first subscribed.
    pub registered: Time,
    /// The version of its newest write.
    pub version: u64,
    /// Its keys.
    pub entries: BTreeMap<Arc<str>, KeptValue>,
    bytes: usize,
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptValue {
    /// The version of the write that made it.
    pub version: u64,
    /// The value.
    pub value: Arc<[u8]>,
    /// What the writer calls the write that made it.
    pub write: Option<u64>,
}

impl Kept {
    /// Of each framework that ever wrote and is not over.
    pub fn of(&self) -> &BTreeMap<FrameworkId, KeptState> {
        &self.of
    }

    /// Of one framework.
    pub fn get(&self, framework_id: &FrameworkId) -> Option<&KeptState> {
        self.of.get(framework_id)
    }

    /// The version of a framework's key; 0 when it is not there.
    pub fn version_of(&self, framework_id: &FrameworkId, key: &str) -> u64 {
        let held = self.get(framework_id).and_then(|state| state.entries.get(key));
        held.map_or(0, |held| held.version)
    }

    /// What all of it takes: keys, values, and the descriptions of the frameworks.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Applies an operation that is about it.
    pub(super) fn apply(&mut self, op: &RegistryOp) {
        if let RegistryOp::OpenState { info, registered } = op {
            self.open(info, *registered);
        } else if let RegistryOp::PutState { framework_id, key, value, version, write } = op {
            let value = KeptValue { version: *version, value: value.clone(), write: *write };
            self.put(framework_id, key, value);
        } else if let RegistryOp::DeleteState { framework_id, key, version } = op {
            self.delete(framework_id, key, *version);
        } else if let RegistryOp::ForgetState { framework_id, .. } = op {
            self.forget(framework_id);
        }
    }

    fn open(&mut self, info: &FrameworkInfo, registered: Time) {
        let Some(id) = &info.id else { return };
        self.bytes += framework_bytes(info);
        match self.of.get_mut(id) {
            Some(state) => {
                self.bytes -= framework_bytes(&state.info);
                state.info = info.clone();
            }
            None => {
                let (info, entries) = (info.clone(), BTreeMap::new());
                let state = KeptState { info, registered, version: 0, entries, bytes: 0 };
                self.of.insert(id.clone(), state);
            }
        }
    }

    fn put(&mut self, framework_id: &FrameworkId, key: &Arc<str>, value: KeptValue) {
        let Some(state) = self.of.get_mut(framework_id) else { return };
        let (new, version) = (key.len() + value.value.len(), value.version);
        let old = state.entries.insert(key.clone(), value);
        let old = old.map_or(0, |old| key.len() + old.value.len());
        state.version = state.version.max(version);
        state.bytes = state.bytes + new - old;
        self.bytes = self.bytes + new - old;
    }

    fn delete(&mut self, framework_id: &FrameworkId, key: &str, version: u64) {
        let Some(state) = self.of.get_mut(framework_id) else { return };
        let old = state.entries.remove(key).map_or(0, |old| key.len() + old.value.len());
        state.version = state.version.max(version);
        state.bytes -= old;
        self.bytes -= old;
    }

    fn forget(&mut self, framework_id: &FrameworkId) {
        if let Some(state) = self.of.remove(framework_id) {
            self.bytes -= state.bytes + framework_bytes(&state.info);
        }
    }
}

impl KeptState {
    /// What its keys and values take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A snapshot: operations that rebuild it.
    pub(super) fn facts(&self, framework_id: &FrameworkId) -> Vec<RegistryOp> {
        use RegistryOp::{DeleteState, OpenState, PutState};
        let mut ops = vec![OpenState { info: self.info.clone(), registered: self.registered }];
        ops.extend(self.entries.iter().map(|(key, held)| PutState {
            framework_id: framework_id.clone(),
            key: key.clone(),
            value: held.value.clone(),
            version: held.version,
            write: held.write,
        }));
        // No key is empty: this says only how far the versions have come.
        let (framework_id, key) = (framework_id.clone(), Arc::from(""));
        ops.push(DeleteState { framework_id, key, version: self.version });
        ops
    }
}
