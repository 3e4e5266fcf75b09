//! The registrar: makes the master's facts durable, in order.
//!
//! [`Registrar`] is all that the server knows. Behind it is a member of a group that agrees upon a
//! log: the facts are the state that the log makes. A master alone is a group of one.
//!
//! The data directory has an identity, and below it, in `registrar`, the disk of the member. Up to
//! format 1 the directory itself was the store of the facts; such a one is taken over as a whole,
//! and its identity then says format 2. Until it does, what is below `registrar` counts for
//! nothing; from then on it is never made anew, so that facts that are gone are seen.

mod before;
mod member;
mod records;

use crate::registry_record::{self, Completed};
use crate::{Config, Error};
use ::registrar::{DiskError, Failure, MemberId, Members, Stopped};
use master_core::{Registry, RegistryOp};
use proto::{Limits, MasterId};
use records::Records;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::{Batch, Home, StoreError};

/// The newest format of the data directory.
const FORMAT: u32 = 2;
/// Where the member's disk is, in the data directory.
const MEMBER_DIR: &str = "registrar";
/// The founder of a group.
const FOUNDER: MemberId = MemberId::new(1).expect("one is not zero");

/// Why facts cannot be read or made durable.
#[derive(Debug, thiserror::Error)]
pub enum RegistrarError {
    /// The store's own reason; its sentence names the directory and the fix.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log ended by itself: what is durable is unknown until the next start.
    #[error(transparent)]
    Stopped(Stopped),
    /// The log ended, and does not say why.
    #[error("the registrar ended, because of a fault of its own: start the master anew")]
    Ended,
    /// The log does not take the facts.
    #[error("cannot keep facts in {}: {failure}", .dir.display())]
    Refused {
        /// The data directory.
        dir: PathBuf,
        /// Why not.
        failure: Failure,
    },
    /// What is on disk is damaged.
    #[error(
        "the registry in {} is damaged ({what} {problem}): restore a backup, or move the directory away and start a new cluster",
        .dir.display()
    )]
    Damaged {
        /// The data directory.
        dir: PathBuf,
        /// What is damaged, printable.
        what: String,
        /// What is wrong with it, as a clause.
        problem: String,
    },
    /// A file beside the database cannot be made or read.
    #[error("cannot write in the data directory: check its owner and its permissions")]
    Witness(#[source] io::Error),
    /// What an unfinished start left cannot be removed.
    #[error("cannot remove {}: check its owner and its permissions", .dir.display())]
    Leftover {
        /// What.
        dir: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The system gives no thread.
    #[error("cannot start a thread for the registry: raise the limit on processes")]
    Thread(#[source] io::Error),
}

/// Called once, when the facts are durable or cannot become so; must be quick.
pub type Done = Box<dyn FnOnce(Result<(), RegistrarError>) + Send>;

/// Makes facts durable.
pub trait Registrar: Send {
    /// Proposes facts. They become durable in their order, and `done` is called once all are;
    /// `done` of an earlier proposal is called before that of a later one. After a failure nothing
    /// proposed later counts for this master: the process must end.
    fn propose(&mut self, ops: Vec<RegistryOp>, done: Done);

    /// Bytes of the proposals that are not done yet.
    fn backlog(&self) -> usize;
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
    let home = Arc::new(Home::open(&config.data_dir, "master", FORMAT, None)?);
    if let Some(wanted) = &config.cluster
        && home.identity().cluster.is_some()
    {
        home.bind_cluster(wanted)?;
    }
    let dir = home.dir().join(MEMBER_DIR);
    let identity = home.identity();
    let cluster_id = match identity.cluster {
        Some(cluster_id) if identity.format == FORMAT => cluster_id,
        _ => begin(&home, config, &dir)?,
    };
    before::retire(&home);
    let seen = config.clone();
    let look = move |records: &Records| read_facts(records, &seen);
    let (leading, facts) = member::lead(member_config(config, dir, &cluster_id), &home, look)
        .map_err(|error| of_directory(config, error))?;
    let (mut registry, completed, read) = facts?;
    if registry.cluster_id().is_none_or(|known| **known != *cluster_id) {
        return Err(damaged(config, "record c", format!("does not name cluster {cluster_id}")));
    }
    let mut registrar = leading.completed(completed);

    let mut facts = Vec::new();
    let master_id = MasterId::new(uuid::Uuid::new_v4().to_string()).expect("a UUID is a valid id");
    let epoch = registry.epoch() + 1;
    facts.push(RegistryOp::BeginEpoch { epoch, master_id: master_id.clone() });
    facts.extend(config.weights.iter().map(|(role, weight_milli)| RegistryOp::SetWeight {
        role: role.clone(),
        weight_milli: *weight_milli,
    }));
    facts.iter().for_each(|op| registry.apply(op));
    let (tell, told) = std::sync::mpsc::channel();
    // Whoever waits is there until it was told.
    registrar.propose(facts, Box::new(move |result| drop(tell.send(result))));
    told.recv().map_err(|_| RegistrarError::Ended)??;
    tracing::info!(cluster_id, %master_id, epoch, facts = read, "registry open");
    Ok(OpenRegistry { registry, master_id, registrar: Box::new(registrar) })
}

/// Makes the member's disk, with the facts of a directory of format 1 if it is one, and only then
/// says in the directory's identity that this is where they are. Says which cluster it is.
fn begin(home: &Arc<Home>, config: &Config, dir: &Path) -> Result<String, RegistrarError> {
    let identity = home.identity();
    let mut records = match identity.format {
        before::FORMAT => before::read(home, config)?,
        _ => Records::default(),
    };
    let (registry, ..) = read_facts(&records, config)?;
    let known = registry.cluster_id().map(ToString::to_string);
    let cluster_id = match (&known, &config.cluster) {
        (Some(known), Some(wanted)) if known != wanted => {
            let (dir, found) = (config.data_dir.clone(), known.clone());
            return Err(StoreError::OtherCluster { dir, found, wanted: wanted.clone() }.into());
        }
        (Some(named), _) | (None, Some(named)) => named.clone(),
        (None, None) => uuid::Uuid::new_v4().to_string(),
    };
    if known.is_none() {
        let mut batch = Batch::new();
        let op = RegistryOp::FoundCluster { cluster_id: Arc::from(&*cluster_id) };
        registry_record::write(&op, &mut Completed::new(), &mut batch);
        records.change(&batch);
    }
    match fs::remove_dir_all(dir) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(RegistrarError::Leftover { dir: dir.to_owned(), source });
        }
        _ => {}
    }
    // Nobody but itself has to find it.
    let members = Members::of_voters([(FOUNDER, String::new())]);
    ::registrar::found(dir, &cluster_id, members, &records)
        .map_err(|error| of_directory(config, of_disk(error)))?;
    home.upgrade(FORMAT, &cluster_id)?;
    Ok(cluster_id)
}

fn member_config(config: &Config, dir: PathBuf, cluster_id: &str) -> ::registrar::Config {
    let options = ::registrar::Options {
        // How much may wait is the server's matter: it looks at the backlog.
        uncommitted_bytes: u64::MAX,
        snapshot_bytes: 2 << 20,
        // There is nobody who could be behind.
        kept_entries: 0,
        ..::registrar::Options::default()
    };
    ::registrar::Config {
        id: FOUNDER,
        group: Arc::from(cluster_id),
        dir,
        options,
        cache_bytes: config.cache_bytes,
        // There is nobody else who might draw the same.
        seed: 1,
    }
}

/// The registry, the keys of completed frameworks, and how many facts there were.
type Facts = (Registry, Completed, usize);

fn read_facts(records: &Records, config: &Config) -> Result<Facts, RegistrarError> {
    let (ops, completed) = registry_record::read(|prefix| records.scan(prefix), &limits(config))
        .map_err(|(key, problem)| damaged(config, &format!("record {key}"), problem))?;
    let mut registry = Registry::new();
    ops.iter().for_each(|op| registry.apply(op));
    Ok((registry, completed, ops.len()))
}

fn damaged(config: &Config, what: &str, problem: String) -> RegistrarError {
    RegistrarError::Damaged { dir: config.data_dir.clone(), what: what.to_owned(), problem }
}

impl From<::registrar::RegistrarError> for RegistrarError {
    fn from(error: ::registrar::RegistrarError) -> Self {
        match error {
            ::registrar::RegistrarError::Disk(error) => of_disk(error),
            ::registrar::RegistrarError::Options(problem) => lost("log", problem),
            ::registrar::RegistrarError::State(problem) => lost("snapshot", problem),
        }
    }
}

fn of_disk(error: DiskError) -> RegistrarError {
    match error {
        DiskError::Store(StoreError::Corrupt { what, .. }) => lost("log:", what),
        DiskError::Store(error) => error.into(),
        DiskError::Exists { .. } => lost("log", "is there already".to_owned()),
        DiskError::Absent { .. } => lost("log", "is missing".to_owned()),
        DiskError::Lost { what, problem, .. } => lost(what, problem),
        DiskError::Witness(error) => RegistrarError::Witness(error),
        DiskError::Thread(error) => RegistrarError::Thread(error),
    }
}

/// Damage in a directory that is yet to be named.
fn lost(what: &str, problem: String) -> RegistrarError {
    RegistrarError::Damaged { dir: PathBuf::new(), what: what.to_owned(), problem }
}

/// Names the data directory, which is what people know, and not what is in it.
fn of_directory(config: &Config, error: RegistrarError) -> RegistrarError {
    match error {
        RegistrarError::Damaged { what, problem, .. } => damaged(config, &what, problem),
        error => error,
    }
}

/// What was admitted once must be readable again, whatever the limits are today.
fn limits(config: &Config) -> Limits {
    Limits { body_bytes: store::MAX_VALUE_BYTES, ..config.agent_limits.clone() }
}
