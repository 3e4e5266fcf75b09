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
mod recover;

use crate::registry_record::{self, Completed};
use crate::{Config, Error};
use ::registrar::{DiskError, Failure, Loss, MemberId, Members, Role, Stopped};
use master_core::{Registry, RegistryOp};
pub(crate) use member::Asks;
pub use member::Member;
use proto::{Limits, MasterId};
use records::Records;
pub use recover::{Recovered, recover};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
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
    /// There is nothing to go on with.
    #[error("{} is no data directory of a master that ran: name that of one of the masters", .dir.display())]
    Nobody {
        /// The directory.
        dir: PathBuf,
    },
    /// What is on disk is damaged.
    #[error(
        "the registry in {} is damaged ({what} {problem}): if there are other masters, move the directory away and let a new one take its place (tepui master replace); else restore a backup",
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
    /// What an unfinished start left cannot be read or removed.
    #[error("cannot read or remove {}: check its owner and its permissions", .dir.display())]
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

impl RegistrarError {
    /// Whether the member ended because it was taken out of its group.
    pub(crate) fn is_removal(&self) -> bool {
        matches!(self, Self::Stopped(Stopped::Lost(Loss::Removed)))
    }

    /// Whether facts were not taken because this member leads no more, or has no room for them:
    /// what was proposed may have come to pass all the same, and the core that proposed it must not
    /// go on. The process can.
    pub fn is_lost_lead(&self) -> bool {
        match self {
            Self::Refused { failure, .. } => match failure {
                Failure::Refused(_) | Failure::Full { .. } => true,
                Failure::Unfit { .. } | Failure::Ended => false,
            },
            _ => false,
        }
    }
}

/// Called once, when the facts are durable or cannot become so; must be quick.
pub type Done = Box<dyn FnOnce(Result<(), RegistrarError>) + Send>;

/// See [`Registrar::confirm`].
pub type Confirmed<'a> = std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Makes facts durable.
pub trait Registrar: Send {
    /// Proposes facts. They become durable in their order, and `done` is called once all are;
    /// `done` of an earlier proposal is called before that of a later one. After a failure nothing
    /// proposed later counts for this core: it must go.
    fn propose(&mut self, ops: Vec<RegistryOp>, done: Done);

    /// Bytes of the proposals that are not done yet.
    fn backlog(&self) -> usize;

    /// Whether this master surely leads: it heard of a majority a moment ago. A process that was
    /// stopped for a while does not know that when it goes on.
    fn surely_leads(&self) -> bool;

    /// Returns once it is certain that this master still leads; never, if it does not.
    fn confirm(&self) -> Confirmed<'_>;
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

impl Member {
    /// Opens the data directory of `config` and starts the member that it belongs to. Where there
    /// is none yet, it is a new member of the cluster `joined`, or founds a cluster. Others find
    /// this master at `address`, `HOST:PORT`.
    ///
    /// # Errors
    /// Why it cannot be opened, in a sentence for the operator.
    pub fn open(
        config: &Config,
        address: &str,
        joined: Option<&str>,
    ) -> Result<Self, RegistrarError> {
        let home = Arc::new(Home::open(&config.data_dir, "master", FORMAT, None)?);
        if let Some(wanted) = &config.cluster
            && home.identity().cluster.is_some()
        {
            home.bind_cluster(wanted)?;
        }
        let identity = home.identity();
        let cluster_id = match identity.cluster {
            Some(cluster_id) if identity.format == FORMAT => cluster_id,
            _ => match joined {
                Some(cluster_id) => join(&home, config, cluster_id)?,
                None => begin(&home, config, address)?,
            },
        };
        before::retire(&home);
        let (id, dir) = member_dir(&home)?;
        Self::start(member_config(config, (id, dir), &cluster_id), &home)
            .map_err(|error| of_directory(config, error))
    }

    /// The newest epoch that the registry knows; 0 before the first one.
    async fn epoch(&self, config: &Config) -> Result<u64, RegistrarError> {
        let epoch = self.record(b"e").await?;
        let (registry, ..) = read_facts(&epoch, config)?;
        Ok(registry.epoch())
    }

    /// Whether the data directory of `config` belongs to a member of a cluster already.
    ///
    /// # Errors
    /// When it cannot be read, or is in use.
    pub fn exists(config: &Config) -> Result<bool, RegistrarError> {
        let home = Home::open(&config.data_dir, "master", FORMAT, None)?;
        Ok(home.identity().cluster.is_some())
    }

    /// Begins to lead, which this member does in the group in `term`: reads all facts and begins a
    /// new epoch, durable when this returns.
    ///
    /// # Errors
    /// Why not; after [`RegistrarError::is_lost_lead`] another member may lead.
    pub async fn lead(&self, config: &Config, term: u64) -> Result<OpenRegistry, RegistrarError> {
        let before = self.epoch(config).await?;
        let mut registrar = self.leading(term, Completed::new());
        let master_id = MasterId::new(uuid::Uuid::new_v4().to_string());
        let master_id = master_id.expect("a UUID is a valid id");
        let epoch = before + 1;
        let mut facts = vec![RegistryOp::BeginEpoch { epoch, master_id: master_id.clone() }];
        facts.extend(config.weights.iter().map(|(role, weight_milli)| RegistryOp::SetWeight {
            role: role.clone(),
            weight_milli: *weight_milli,
        }));
        let (tell, told) = tokio::sync::oneshot::channel();
        // Whoever waits is there until it was told.
        registrar.propose(facts, Box::new(move |result| drop(tell.send(result))));
        told.await.map_err(|_| RegistrarError::Ended)??;
        // Only now: what an earlier core of this term proposed last is before that in the log.
        let records = self.records().await?;
        let seen = config.clone();
        let notes = records.texts(recover::NOTES.as_bytes());
        // Many facts take a while to read.
        let read = tokio::task::spawn_blocking(move || read_facts(&records, &seen)).await;
        let (registry, completed, read) = read.map_err(|_| RegistrarError::Ended)??;
        if registry.cluster_id().is_none_or(|known| **known != **self.cluster_id()) {
            let problem = format!("does not name cluster {}", self.cluster_id());
            return Err(damaged(config, "record c", problem));
        }
        if registry.master_id() != Some(&master_id) {
            // Another one has begun meanwhile.
            let failure = Failure::Refused(::registrar::Refusal::LostLeadership);
            return Err(RegistrarError::Refused { dir: config.data_dir.clone(), failure });
        }
        let registrar = self.leading(term, completed);
        for note in &notes {
            tracing::warn!(note, "masters of this cluster were lost");
        }
        tracing::info!(cluster = %self.cluster_id(), %master_id, epoch, facts = read, "registry open");
        Ok(OpenRegistry { registry, master_id, registrar: Box::new(registrar) })
    }
}

/// Opens the registry of a master that is alone, and begins to lead: for tools, outside of any
/// runtime or within one.
///
/// # Errors
/// As [`Member::open`] and [`Member::lead`].
pub fn open_registry(config: &Config) -> Result<OpenRegistry, Error> {
    let member = Member::open(config, "", None)?;
    let opened = member.block_on(async {
        let mut status = member.status();
        let leads = status.wait_for(|now| now.role == Role::Leader).await;
        let term = leads.map_err(|_| member.end())?.term;
        member.lead(config, term).await
    })?;
    Ok(opened)
}

/// Makes the member's disk, with the facts of a directory of format 1 if it is one, and only then
/// says in the directory's identity that this is where they are. Says which cluster it is.
fn begin(home: &Arc<Home>, config: &Config, address: &str) -> Result<String, RegistrarError> {
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
    remove_leftovers(home)?;
    let members = Members::of_voters([(FOUNDER, address.to_owned())]);
    ::registrar::found(&home.dir().join(MEMBER_DIR), &cluster_id, members, &records)
        .map_err(|error| of_directory(config, of_disk(error)))?;
    home.upgrade(FORMAT, &cluster_id)?;
    Ok(cluster_id)
}

/// Makes the disk of a member that is to be taken in by the masters of a cluster, under an id that
/// nobody had before.
fn join(home: &Arc<Home>, config: &Config, cluster_id: &str) -> Result<String, RegistrarError> {
    if let Some(wanted) = config.cluster.as_ref().filter(|wanted| *wanted != cluster_id) {
        let (dir, found) = (config.data_dir.clone(), cluster_id.to_owned());
        return Err(StoreError::OtherCluster { dir, found, wanted: wanted.clone() }.into());
    }
    remove_leftovers(home)?;
    // Short enough to be typed; among some hundreds it meets another one in no lifetime.
    let id = (uuid::Uuid::new_v4().as_u128() as u32).max(FOUNDER.get() as u32 + 1);
    let dir = home.dir().join(format!("{MEMBER_DIR}.{id}"));
    ::registrar::join(&dir, cluster_id).map_err(|error| of_directory(config, of_disk(error)))?;
    home.upgrade(FORMAT, cluster_id)?;
    Ok(cluster_id.to_owned())
}

/// The disks of members in a data directory, and whose they are: the founder's has no number.
fn member_dirs(home: &Home) -> Result<Vec<(MemberId, PathBuf)>, RegistrarError> {
    let unreadable = |source| RegistrarError::Leftover { dir: home.dir().to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(home.dir()).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let id = match name.strip_prefix(MEMBER_DIR) {
            Some("") => Some(FOUNDER),
            Some(rest) => {
                rest.strip_prefix('.').and_then(|id| id.parse().ok()).and_then(MemberId::new)
            }
            None => None,
        };
        found.extend(id.map(|id| (id, path)));
    }
    Ok(found)
}

/// The disk of the member, which is never made anew: that facts are gone must be seen.
fn member_dir(home: &Home) -> Result<(MemberId, PathBuf), RegistrarError> {
    let mut found = member_dirs(home)?;
    match found.len() {
        0 => Ok((FOUNDER, home.dir().join(MEMBER_DIR))),
        1 => Ok(found.swap_remove(0)),
        _ => Err(RegistrarError::Damaged {
            dir: home.dir().to_owned(),
            what: "log".to_owned(),
            problem: "is there twice".to_owned(),
        }),
    }
}

/// What a start left that did not come to its end.
fn remove_leftovers(home: &Home) -> Result<(), RegistrarError> {
    member_dirs(home)?.into_iter().try_for_each(|(_, dir)| {
        fs::remove_dir_all(&dir).map_err(|source| RegistrarError::Leftover { dir, source })
    })
}

fn member_config(
    config: &Config,
    (id, dir): (MemberId, PathBuf),
    cluster_id: &str,
) -> ::registrar::Config {
    let options = ::registrar::Options {
        // How much may wait is the server's matter: it looks at the backlog.
        uncommitted_bytes: u64::MAX,
        snapshot_bytes: 2 << 20,
        kept_entries: 1_000,
        // A leader is believed in for a quarter of a second: five signs of life, which under eight
        // times as much work as there are processors were never all late (`cargo xtask bench elections`).
        tick: Duration::from_millis(25),
        // These take as long as with the ticks of the default; what waits for a majority, and a
        // hand-over, are given up after a quarter of a second, too.
        slow_write_ticks: 80,
        removal_ticks: 800,
        ..::registrar::Options::default()
    };
    ::registrar::Config {
        id,
        group: Arc::from(cluster_id),
        dir,
        options,
        cache_bytes: config.cache_bytes,
        seed: uuid::Uuid::new_v4().as_u64_pair().0,
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
