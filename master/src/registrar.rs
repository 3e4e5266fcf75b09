//! The registrar: makes the master's facts durable, in order.
//!
//! The seam where consensus comes in: [`Registrar`] is all that the server knows. Here there is
//! one master, and a fact is durable when the local store has it.

use crate::registry_record::{self, Completed};
use crate::witness::{self, Count, Witness};
use crate::{Config, Error};
use master_core::{Registry, RegistryOp};
use proto::{Limits, MasterId};
use std::path::PathBuf;
use std::sync::Arc;
use store::{Batch, GroupCommit, Options, Storage, Store, StoreError};

/// The newest format of the registry's records.
const FORMAT: u32 = 1;

/// Why facts cannot be read or made durable.
#[derive(Debug, thiserror::Error)]
pub enum RegistrarError {
    /// The store's own reason; its sentence names the directory and the fix.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A commit failed: what is durable is unknown until the next start.
    #[error("{0}")]
    Commit(Arc<StoreError>),
    /// A record is damaged.
    #[error(
        "the registry in {} is damaged (record {key} {problem}): restore a backup, or move the directory away and start a new cluster",
        .dir.display()
    )]
    Damaged {
        /// The data directory.
        dir: PathBuf,
        /// The record's key, printable.
        key: String,
        /// What is wrong with it, as a clause.
        problem: String,
    },
    /// The file beside the database cannot be made.
    #[error("cannot write in the data directory: check its owner and its permissions")]
    Witness(#[source] std::io::Error),
    /// The system gives no thread.
    #[error("cannot start a thread for the registry: raise the limit on processes")]
    Thread(#[source] std::io::Error),
}

/// Called once, when the facts are durable or cannot become so; must be quick.
pub type Done = Box<dyn FnOnce(Result<(), RegistrarError>) + Send>;

/// Makes facts durable.
pub trait Registrar: Send {
    /// Proposes facts that belong together. `done` of an earlier proposal is called before that
    /// of a later one. After a failure nothing proposed later becomes durable for this master:
    /// the process must end.
    fn propose(&mut self, ops: Vec<RegistryOp>, done: Done);

    /// Bytes of the proposals that are not done yet.
    fn backlog(&self) -> usize;
}

/// The registrar of a single master: the store on its own disk.
pub struct StoreRegistrar {
    group: GroupCommit,
    completed: Completed,
    count: Count,
    witness: Arc<Witness>,
}

impl Registrar for StoreRegistrar {
    fn propose(&mut self, ops: Vec<RegistryOp>, done: Done) {
        let mut batch = Batch::new();
        for op in &ops {
            registry_record::write(op, &mut self.completed, &mut batch);
        }
        let number = self.count.number(&mut batch);
        let witness = Arc::clone(&self.witness);
        self.group.submit(batch, move |result| {
            if result.is_ok() {
                witness.saw(number);
            }
            done(result.map(|_| ()).map_err(RegistrarError::Commit));
        });
    }

    fn backlog(&self) -> usize {
        self.group.backlog()
    }
}

/// A registry that was opened: the facts, and who makes more of them durable.
pub struct OpenRegistry {
    /// The facts.
    pub registry: Registry,
    /// The identity of this start of the master.
    pub master_id: MasterId,
    /// Makes facts durable.
    pub registrar: Box<dyn Registrar>,
}

/// Opens the registry of `config`, founds the cluster if there is none, and begins a new epoch:
/// all of it durable when this returns.
///
/// # Errors
/// Why it cannot be opened, in a sentence for the operator.
pub fn open_registry(config: &Config) -> Result<OpenRegistry, Error> {
    let opened = open(config)?;
    Ok(opened)
}

fn open(config: &Config) -> Result<OpenRegistry, RegistrarError> {
    // The directory is bound to its cluster once the facts name it, never before: so a directory
    // that is bound and has no such fact has lost facts.
    let options = Options {
        cluster: None,
        cache_bytes: config.cache_bytes,
        ..Options::new("master", FORMAT)
    };
    let store = Arc::new(Store::open(&config.data_dir, options)?);
    let mut registry = Registry::new();
    let (ops, mut completed) = registry_record::read(&*store, &limits(config))
        .map_err(|(key, problem)| damaged(config, &key, problem))?;
    ops.iter().for_each(|op| registry.apply(op));
    check_cluster(config, &store, &registry)?;
    let (witness, seen) = Witness::open(store.dir()).map_err(RegistrarError::Witness)?;
    let mut count = count(&store, seen).map_err(|problem| damaged(config, "n", problem))?;

    let mut facts = Vec::new();
    let cluster_id = match registry.cluster_id() {
        Some(cluster_id) => cluster_id.to_string(),
        None => {
            let cluster_id =
                config.cluster.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
            facts.push(RegistryOp::FoundCluster { cluster_id: Arc::from(&*cluster_id) });
            cluster_id
        }
    };
    let master_id = MasterId::new(uuid::Uuid::new_v4().to_string()).expect("a UUID is a valid id");
    let epoch = registry.epoch() + 1;
    facts.push(RegistryOp::BeginEpoch { epoch, master_id: master_id.clone() });
    facts.extend(config.weights.iter().map(|(role, weight_milli)| RegistryOp::SetWeight {
        role: role.clone(),
        weight_milli: *weight_milli,
    }));
    let mut batch = Batch::new();
    for op in &facts {
        registry.apply(op);
        registry_record::write(op, &mut completed, &mut batch);
    }
    let number = count.number(&mut batch);
    store.commit(batch)?;
    witness.saw(number);
    store.bind_cluster(&cluster_id)?;
    tracing::info!(cluster_id, %master_id, epoch, facts = ops.len(), "registry open");
    let group = GroupCommit::start(store).map_err(RegistrarError::Thread)?;
    Ok(OpenRegistry {
        registry,
        master_id,
        registrar: Box::new(StoreRegistrar { group, completed, count, witness: Arc::new(witness) }),
    })
}

/// Refuses the data of another cluster, and those whose first fact is gone.
fn check_cluster(
    config: &Config,
    store: &Store,
    registry: &Registry,
) -> Result<(), RegistrarError> {
    if let Some(wanted) = &config.cluster
        && store.identity().cluster.is_some()
    {
        store.bind_cluster(wanted)?;
    }
    match (registry.cluster_id(), store.identity().cluster) {
        (Some(cluster_id), _) => {
            store.bind_cluster(cluster_id)?;
            // An older start may have left it unbound.
            if let Some(wanted) = &config.cluster {
                store.bind_cluster(wanted)?;
            }
            Ok(())
        }
        (None, None) => Ok(()),
        (None, Some(bound)) => {
            let problem = format!("is missing, though the directory belongs to cluster {bound}");
            Err(damaged(config, "c", problem))
        }
    }
}

/// Counts the facts, and compares with what the last commit said.
fn count(store: &Store, seen: Option<u64>) -> Result<Count, String> {
    let keys: Vec<Vec<u8>> =
        store.scan(b"").filter_map(Result::ok).map(|record| record.key).collect();
    let record = store.get(witness::KEY).map_err(|damaged| damaged.problem)?;
    let facts = keys.iter().map(Vec::as_slice).filter(|key| *key != witness::KEY);
    Count::check(facts, record.as_deref(), seen)
}

fn damaged(config: &Config, key: &str, problem: String) -> RegistrarError {
    RegistrarError::Damaged { dir: config.data_dir.clone(), key: key.to_owned(), problem }
}

/// What was admitted once must be readable again, whatever the limits are today.
fn limits(config: &Config) -> Limits {
    Limits { body_bytes: store::MAX_VALUE_BYTES, ..config.agent_limits.clone() }
}
