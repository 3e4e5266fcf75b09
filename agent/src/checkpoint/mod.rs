//! The checkpoint: what the agent must know after it was killed, in the guarded store.
//!
//! One record per agent, framework, task, update queue and sandbox, and one of its volumes, each with its own checksum: a
//! record that cannot be read loses that task and nothing else, and the agent always starts.

mod record;
mod reserve;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use record::{Record, image_of_launch, launch, task_of_launch};
use reserve::Both;
pub(crate) use reserve::Reserve;
pub(crate) use writer::{Committed, Writer};

use crate::Error;
use crate::executors::Secret;
use agent_core::{CheckpointOp, Recovered, TaskRecord};
use proto::{ExecutorInfo, ExecutorKind, FrameworkId, TaskId};
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use store::{Damaged, Storage, Store, StoreError};

/// The newest format of the records below.
const FORMAT: u32 = 1;

const AGENT: u8 = b'A';
const EPOCH: u8 = b'E';
const FRAMEWORK: u8 = b'F';
const NONCE: u8 = b'N';
const SECRET: u8 = b'K';
const SANDBOX: u8 = b'B';
const SUPERVISOR: u8 = b'S';
const TASK: u8 = b'T';
const UPDATES: u8 = b'U';
const VOLUMES: u8 = b'V';

/// A change of one record: its key, and its new value unless it goes.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

/// Opens the store, which must be of `cluster` if that is given. One that is damaged as a whole is
/// moved aside: the supervisor knows what runs.
pub(crate) fn open(dir: &Path, cluster: Option<&str>) -> Result<Arc<Store>, Error> {
    let options = || store::Options::new("agent", FORMAT);
    let opened = match Store::open(dir, options()) {
        Err(StoreError::Corrupt { what, .. }) => {
            let aside = store::set_aside(dir).map_err(Arc::new)?;
            tracing::error!(
                what,
                moved_to = %aside.display(),
                "the checkpoint is damaged and was moved aside; starting with what the supervisor knows"
            );
            Store::open(dir, options())
        }
        other => other,
    };
    let store = opened.map_err(Arc::new)?;
    bind(&store, cluster).map_err(Arc::new)?;
    Ok(Arc::new(store))
}

/// Binds the directory to its cluster. The record of the agent comes first: it was written when a
/// master admitted the agent, whatever is asked for now.
fn bind(store: &Store, wanted: Option<&str>) -> Result<(), StoreError> {
    let agent = store.get(&[AGENT]).ok().flatten();
    let agent = agent.and_then(|bytes| <agent_core::AgentRecord as Record>::decode(&bytes).ok());
    let Some(recorded) = agent.and_then(|agent| agent.cluster_id) else {
        return wanted.map_or(Ok(()), |wanted| store.bind_cluster(wanted));
    };
    match store.bind_cluster(recorded.as_str()) {
        // The record says it as well; the next start with room binds it.
        Err(StoreError::Full { .. }) => {}
        bound => bound?,
    }
    match wanted.filter(|wanted| *wanted != recorded.as_str()) {
        None => Ok(()),
        Some(wanted) => Err(StoreError::OtherCluster {
            dir: store.dir().to_owned(),
            found: recorded.to_string(),
            wanted: wanted.to_owned(),
        }),
    }
}

/// What a store holds.
pub(crate) struct Loaded {
    /// For the core; containers and supervisor are not filled in.
    pub(crate) recovered: Recovered,
    /// Which supervisor the last run of the agent used.
    pub(crate) supervisor: Option<String>,
    /// Removals of records that cannot be read and have no task to speak for them.
    pub(crate) repairs: Vec<Change>,
}

/// What the last run of the agent left in the store and in the reserve, and the nonce. What is in the
/// reserve goes into the store, if there is room.
///
/// # Errors
/// When the store cannot be written.
pub(crate) fn recall(
    store: &dyn Storage,
    reserve: &Path,
    nonce: u64,
) -> Result<(Loaded, Arc<Reserve>), Error> {
    let reserve = Reserve::open(reserve);
    writer::take_over(store, &reserve).map_err(Arc::new)?;
    let mut loaded = load(&Both::new(store, &reserve));
    keep_nonce(store, &mut loaded, nonce);
    Ok((loaded, reserve))
}

/// Reads all records.
pub(crate) fn load(store: &dyn Storage) -> Loaded {
    let mut loaded =
        Loaded { recovered: Recovered::default(), supervisor: None, repairs: Vec::new() };
    let Loaded { recovered, supervisor, repairs } = &mut loaded;
    match store.get(&[AGENT]) {
        Ok(Some(bytes)) => match Record::decode(&bytes) {
            Ok(agent) => recovered.agent = Some(agent),
            Err(error) => recovered.agent_corrupt = lost("agent", &error),
        },
        Ok(None) => {}
        Err(damaged) => recovered.agent_corrupt = lost("agent", &damaged.problem),
    }
    if let Ok(Some(bytes)) = store.get(&[NONCE]) {
        recovered.nonce = bytes.try_into().ok().map(u64::from_le_bytes);
    }
    if let Ok(Some(bytes)) = store.get(&[SUPERVISOR]) {
        *supervisor = String::from_utf8(bytes).ok();
    }
    recovered.volumes = alone(store, VOLUMES, "volumes");
    recovered.epoch = alone(store, EPOCH, "epoch");
    scan(store, FRAMEWORK, &mut recovered.frameworks, |key| repairs.push((key, None)));
    scan(store, SANDBOX, &mut recovered.sandboxes, |key| repairs.push((key, None)));
    let corrupt = &mut recovered.corrupt;
    let mut corrupt_task = |key: Vec<u8>| match task_of_key(&key) {
        Some(task) if !corrupt.contains(&task) => corrupt.push(task),
        Some(_) => {}
        None => repairs.push((key, None)),
    };
    scan(store, TASK, &mut recovered.tasks, &mut corrupt_task);
    scan(store, UPDATES, &mut recovered.updates, &mut corrupt_task);
    loaded
}

/// A record of which there is one, unless it cannot be read.
fn alone<T: Record>(store: &dyn Storage, key: u8, what: &str) -> Option<T> {
    match store.get(&[key]) {
        Ok(Some(bytes)) => T::decode(&bytes).map_err(|error| lost(what, &error)).ok(),
        Ok(None) => None,
        Err(damaged) => {
            lost(what, &damaged.problem);
            None
        }
    }
}

fn lost(what: &str, problem: &dyn std::fmt::Display) -> bool {
    tracing::error!(record = what, %problem, "a record of the checkpoint cannot be read");
    true
}

fn scan<T: Record>(
    store: &dyn Storage,
    prefix: u8,
    into: &mut Vec<T>,
    mut corrupt: impl FnMut(Vec<u8>),
) {
    for found in store.scan(&[prefix]) {
        match found {
            Ok(record) => match T::decode(&record.value) {
                Ok(value) => into.push(value),
                Err(error) => {
                    lost(&String::from_utf8_lossy(&record.key), &error);
                    corrupt(record.key);
                }
            },
            Err(Damaged { key, problem }) => {
                let name = key.as_deref().map(String::from_utf8_lossy);
                lost(&name.unwrap_or_else(|| "all further records".into()), &problem);
                if let Some(key) = key {
                    corrupt(key);
                }
            }
        }
    }
}

/// Ids hold no control characters, so a NUL parts them.
fn task_key(prefix: u8, framework_id: &FrameworkId, task_id: &TaskId) -> Vec<u8> {
    let (framework, task) = (framework_id.as_str().as_bytes(), task_id.as_str().as_bytes());
    [&[prefix], framework, b"\0", task].concat()
}

fn task_of_key(key: &[u8]) -> Option<(FrameworkId, TaskId)> {
    let text = std::str::from_utf8(key.get(1..)?).ok()?;
    let (framework, task) = text.split_once('\0')?;
    Some((FrameworkId::new(framework).ok()?, TaskId::new(task).ok()?))
}

fn named(prefix: u8, name: &str) -> Vec<u8> {
    [&[prefix], name.as_bytes()].concat()
}

/// Makes the nonce of an agent that has no id durable, before it first registers: killed after
/// the master gave it an id and before it could keep it, it is given the same one.
pub(crate) fn keep_nonce(store: &dyn Storage, loaded: &mut Loaded, nonce: u64) {
    if loaded.recovered.agent.is_some() || loaded.recovered.nonce.is_some() {
        return;
    }
    let mut batch = store::Batch::new();
    batch.put(vec![NONCE], nonce.to_le_bytes().to_vec());
    match store.commit(batch) {
        Ok(()) => loaded.recovered.nonce = Some(nonce),
        // It registers all the same; only a kill at the worst moment would cost it its id.
        Err(error) => tracing::warn!(%error, "the agent's nonce cannot be kept"),
    }
}

/// The secret of the executors' tokens: kept from the first start on.
///
/// # Errors
/// When it cannot be kept: executors could not come back to the next agent.
pub(crate) fn secret(store: &dyn Storage) -> Result<Secret, Arc<StoreError>> {
    let kept = store.get(&[SECRET]).ok().flatten();
    if let Some(secret) = kept.and_then(|bytes| Secret::from_bytes(&bytes)) {
        return Ok(secret);
    }
    let secret = Secret::new();
    let mut batch = store::Batch::new();
    batch.put(vec![SECRET], secret.as_bytes().to_vec());
    match store.commit(batch) {
        Ok(()) => Ok(secret),
        // Executors that are started with it cannot come back to the next agent; all else goes on.
        Err(error @ StoreError::Full { .. }) => {
            tracing::warn!(%error, "the agent's secret cannot be kept");
            Ok(secret)
        }
        Err(error) => Err(Arc::new(error)),
    }
}

/// Notes which supervisor the agent uses.
pub(crate) fn supervisor_change(identity: &str) -> Change {
    (vec![SUPERVISOR], Some(identity.as_bytes().to_vec()))
}

/// What is kept of a task. Its secrets are its supervisor's, which keeps them in memory; only a custom
/// executor's task may have to be told again in full, and its executor be known again by all it is.
fn without_secrets(record: &TaskRecord) -> Cow<'_, TaskRecord> {
    let payload = match record.task.executor.as_ref().map(ExecutorInfo::kind) {
        Some(ExecutorKind::Custom) => None,
        _ => record.task.payload.without_secrets(),
    };
    match payload {
        None => Cow::Borrowed(record),
        Some(payload) => {
            let mut record = record.clone();
            Arc::make_mut(&mut record.task).payload = payload;
            Cow::Owned(record)
        }
    }
}

/// Appends what an operation changes.
pub(crate) fn changes(op: &CheckpointOp, into: &mut Vec<Change>) {
    let change = match op {
        CheckpointOp::PutAgent(record) => (vec![AGENT], Some(record.encode())),
        CheckpointOp::DeleteAgent => {
            into.push((vec![NONCE], None));
            into.push((vec![VOLUMES], None));
            (vec![AGENT], None)
        }
        CheckpointOp::PutFramework(info) => {
            let Some(id) = &info.id else { return };
            (named(FRAMEWORK, id.as_str()), Some(info.encode()))
        }
        CheckpointOp::DeleteFramework(id) => (named(FRAMEWORK, id.as_str()), None),
        CheckpointOp::PutTask(record) => {
            let key = task_key(TASK, &record.framework_id, &record.task.task_id);
            (key, Some(without_secrets(record).encode()))
        }
        CheckpointOp::PutUpdates(record) => {
            let key = task_key(UPDATES, &record.framework_id, &record.task_id);
            (key, Some(record.encode()))
        }
        CheckpointOp::DeleteTask { framework_id, task_id } => {
            into.push((task_key(TASK, framework_id, task_id), None));
            (task_key(UPDATES, framework_id, task_id), None)
        }
        CheckpointOp::PutSandbox(record) => {
            (named(SANDBOX, record.container_id.as_str()), Some(record.encode()))
        }
        CheckpointOp::DeleteSandbox { container_id } => {
            (named(SANDBOX, container_id.as_str()), None)
        }
        CheckpointOp::PutVolumes(record) => (vec![VOLUMES], Some(record.encode())),
        CheckpointOp::PutEpoch(record) => (vec![EPOCH], Some(record.encode())),
    };
    into.push(change);
}
