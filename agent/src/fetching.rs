//! Files that tasks want before they start (`CommandInfo.uris`), fetched by small processes.
//!
//! A launch with files waits here, with its container made up; its directory is filled outside of
//! the sandboxes and moved there when it is whole. The processes end with their launch, with this
//! agent, or in time. What the operator's disk keeps of it for later is the [`Cache`].

mod cache;
mod plan;
mod process;

use crate::config::Layout;
use crate::containerizer::{self, resolve_user};
use crate::orphans::FETCHED;
use crate::preparing::Prepared;
use cache::Cache;
use fetch::{Failure, Job, Kind, Limits, Order, Source, User};
use plan::{From, Want, plan};
use process::Program;
use proto::{ContainerId, FetchUri};
use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;

/// Who fetches for tasks that run as root, or as somebody of a container.
const NOBODY: User = User { uid: 65_534, gid: 65_534 };
/// Launches that fetch at one time; the others wait.
const TURNS: usize = 8;

/// What an agent's operator lets tasks fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchPolicy {
    /// Program and leading arguments that run a fetching process, such as `[current_exe, "fetch"]`.
    pub command: Vec<OsString>,
    /// Directories of the host out of which files may be fetched, as far as the task's user may
    /// read them. None by default.
    pub from: Vec<PathBuf>,
    /// Bytes that are kept of what was fetched with `cache: true`.
    pub cache_bytes: u64,
    /// Bytes of one file, and of all that an archive unpacks to.
    pub largest_bytes: u64,
    /// Bytes of the disk that stay free.
    pub keep_free: u64,
    /// How long a server may take to take the connection, TLS included.
    pub connect: Duration,
    /// How long nothing may come.
    pub stall: Duration,
    /// How long one file may take in all.
    pub whole: Duration,
}

impl FetchPolicy {
    /// The defaults, with the program that fetches.
    pub fn new(command: Vec<OsString>) -> Self {
        Self {
            command,
            from: Vec::new(),
            cache_bytes: 2 << 30,
            largest_bytes: 16 << 30,
            keep_free: 512 << 20,
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(60),
            whole: Duration::from_secs(3600),
        }
    }

    fn limits(&self) -> Limits {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Limits {
            bytes: self.largest_bytes,
            entries: 1_000_000,
            keep_free: self.keep_free,
            connect_ms: milliseconds(self.connect),
            stall_ms: milliseconds(self.stall),
            whole_ms: milliseconds(self.whole),
        }
    }
}

/// The whole life of a fetching process, told on its standard input what to do. Must be called
/// before any thread is made; the status that it returns is the process'.
pub fn fetch_files() -> u8 {
    fetch::main(&crate::supervisor::filter())
}

/// Where an agent fetches to.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// Directories that are being filled.
    pub(crate) unfinished: PathBuf,
    /// What is kept of servers' files.
    pub(crate) cache: PathBuf,
    /// Where directories are moved when they are whole.
    pub(crate) sandboxes: PathBuf,
}

impl Places {
    pub(crate) fn of(layout: &Layout) -> Self {
        let (unfinished, cache) = (layout.fetching.clone(), layout.fetched.clone());
        Self { unfinished, cache, sandboxes: layout.sandboxes.clone() }
    }
}

/// What came of fetching for a launch: its sandbox, or why there is none.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) container_id: ContainerId,
    pub(crate) sandbox: Result<PathBuf, String>,
}

/// Fetches for all launches of an agent.
pub(crate) struct Fetching {
    policy: FetchPolicy,
    places: Places,
    cache: Cache,
    program: Program,
    turns: Semaphore,
}

impl Fetching {
    /// Makes the directories, and removes what an agent before left unfinished.
    ///
    /// # Errors
    /// What the system said of them.
    pub(crate) fn open(policy: FetchPolicy, places: Places) -> std::io::Result<Arc<Self>> {
        set_aside(&places.unfinished)?;
        DirBuilder::new().mode(0o700).create(&places.unfinished)?;
        let cache = Cache::open(places.cache.clone(), policy.cache_bytes)?;
        let program = Program::new(policy.command.clone());
        let turns = Semaphore::new(TURNS);
        if !fetch::has_landlock() {
            tracing::warn!(
                "this kernel has no Landlock (Linux 5.13): what fetches files of tasks is held by \
                 its user and the filter of system calls alone"
            );
        }
        Ok(Arc::new(Self { policy, places, cache, program, turns }))
    }

    /// Begins to fetch for a launch; dropping the handle's task ends it.
    ///
    /// # Errors
    /// Which file cannot be, and why.
    pub(crate) fn begin(
        self: &Arc<Self>,
        container_id: &ContainerId,
        made: &containerizer::Launch,
        uris: &[FetchUri],
        done: UnboundedSender<Prepared>,
    ) -> Result<tokio::task::AbortHandle, String> {
        let wants = plan(uris, &self.policy.from)?;
        tracing::info!(container = %container_id, files = wants.len(), "fetching");
        let (fetching, container_id) = (Arc::clone(self), container_id.clone());
        let within = made.enclosure.is_some() || made.docker.is_some();
        let user = made.user.clone().filter(|_| !within);
        let task = tokio::spawn(async move {
            let sandbox = fetching.fetch(&container_id, user, wants).await;
            if let Err(problem) = &sandbox {
                tracing::warn!(container = %container_id, problem, "not fetched");
            }
            // The agent may be ending.
            let _ = done.send(Prepared::Files(Fetched { container_id, sandbox }));
        });
        Ok(task.abort_handle())
    }

    async fn fetch(
        &self,
        container_id: &ContainerId,
        user: Option<String>,
        wants: Vec<Want>,
    ) -> Result<PathBuf, String> {
        let _turn = self.turns.acquire().await.map_err(|error| error.to_string())?;
        let path = self.places.unfinished.join(container_id.as_str());
        let whole = self.places.sandboxes.join(format!("{FETCHED}{container_id}"));
        let (user, unfinished) = blocking(move || {
            let user = identity(user.as_deref())?;
            make(&path, user).map(|unfinished| (user, unfinished))
        })
        .await?;
        for want in &wants {
            let put = self.put(want, user, &unfinished).await;
            put.map_err(|failure| format!("fetching {}: {failure}", want.shown))?;
        }
        blocking(move || {
            std::fs::rename(&unfinished.0, &whole).map_err(|error| {
                format!("the directory with its files cannot be moved to the sandboxes: {error}")
            })?;
            fail::fail_point!("files-moved");
            Ok(whole)
        })
        .await
    }

    async fn put(
        &self,
        want: &Want,
        user: Option<User>,
        unfinished: &Unfinished,
    ) -> Result<(), Failure> {
        let mut attempts = 2;
        loop {
            let (source, kept) = match &want.from {
                From::File { root, path } => {
                    (Source::File { root: root.clone(), path: path.clone() }, None)
                }
                From::Server { uri, cache: false } => (Source::Uri(uri.clone()), None),
                From::Server { uri, cache: true } => {
                    let (file, sha256) = self.kept(uri).await?;
                    (Source::Kept { sha256 }, Some(file))
                }
            };
            let (name, finish) = (want.name.clone(), want.finish.clone());
            let job = Job::Put { source, name, finish };
            let order = Order { user, limits: self.policy.limits(), job };
            let dir = File::open(&unfinished.0)
                .map_err(|error| Failure::new(Kind::Disk, format!("its directory: {error}")))?;
            let done = self.program.run(&order, dir, kept).await.map(|_| ());
            attempts -= 1;
            match (done, &want.from) {
                (Err(Failure { kind: Kind::Cache, .. }), From::Server { uri, .. })
                    if attempts > 0 =>
                {
                    tracing::warn!(uri = want.shown, "what was kept of it is damaged");
                    self.cache.forget(uri).await;
                }
                (done, _) => return done,
            }
        }
    }

    /// Removes what is kept of servers' files, the longest unused first, as long as the disk is short.
    pub(crate) fn make_room(&self, is_short: impl Fn() -> bool) {
        if let Err(error) = self.cache.make_room(is_short) {
            tracing::warn!(%error, "old files stay in the cache");
        }
    }

    /// A file of a server as it is now, out of the cache if it is there.
    async fn kept(&self, uri: &str) -> Result<(File, String), Failure> {
        let user = rustix::process::geteuid().is_root().then_some(NOBODY);
        let limits = self.policy.limits();
        self.cache
            .obtain(uri, async |known, output| {
                let job = Job::Get { uri: uri.to_owned(), known };
                self.program.run(&Order { user, limits, job }, output, None).await
            })
            .await
    }
}

/// A directory that is being filled: gone when nobody waits for it any more.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        discard(std::mem::take(&mut self.0));
    }
}

/// Moves away what an agent before left, and removes it beside everything else: that takes its time,
/// and a process that has not ended yet may be at work in it.
fn set_aside(unfinished: &Path) -> std::io::Result<()> {
    let aside = unfinished.with_extension("old");
    DirBuilder::new().recursive(true).mode(0o700).create(&aside)?;
    let name = uuid::Uuid::new_v4().to_string();
    match std::fs::rename(unfinished, aside.join(name)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::read_dir(&aside)?.flatten().for_each(|left| discard(left.path()));
    Ok(())
}

/// Removes a directory of ours, if it is there, without anybody waiting for it.
pub(crate) fn discard(path: PathBuf) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn_blocking(move || {
        // A process that is being killed may have made something meanwhile. What stays is removed
        // at the next start.
        for _ in 0..3 {
            match std::fs::remove_dir_all(&path) {
                Ok(()) => return,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
                Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
                    let _ = std::fs::remove_file(&path);
                }
                Err(error) => tracing::debug!(path = %path.display(), %error, "not removed yet"),
            }
        }
    });
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(_) => Err("the agent is ending".to_owned()),
    }
}

/// Who fetches: the task's user, but never root.
fn identity(user: Option<&str>) -> Result<Option<User>, String> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let found = user.map(resolve_user).transpose().map_err(|error| error.to_string())?.flatten();
    let found = found.map(|credentials| User { uid: credentials.uid, gid: credentials.gid });
    Ok(Some(found.filter(|user| user.uid != 0).unwrap_or(NOBODY)))
}

fn make(path: &Path, user: Option<User>) -> Result<Unfinished, String> {
    let wrong = |error: std::io::Error| format!("its directory cannot be made: {error}");
    DirBuilder::new().mode(0o755).create(path).map_err(wrong)?;
    let unfinished = Unfinished(path.to_owned());
    if let Some(User { uid, gid }) = user {
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).map_err(wrong)?;
    }
    Ok(unfinished)
}

#[cfg(test)]
mod tests;
