//! From a launch to a running container: the image, the container, its start.
//!
//! What the engine refuses for the task's own fault fails as that; while the engine is away a
//! launch waits for it, for a while.

use super::engine::EngineError;
use super::life::{Common, PAUSES};
use super::outcome::{self, Seen, seen};
use super::record::{Phase, State};
use super::request::{self, Rights};
use crate::containerizer::{
    DockerTask, Enclosure, Launch, LaunchError, Launched, MountSource, Program, limits_of,
};
use crate::supervisor;
use bollard::models::ContainerInspectResponse;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Pause before the engine is asked again.
const PAUSE: Duration = Duration::from_millis(250);

/// How far a launch has come, and whether it is still wanted.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    asked: AtomicBool,
    starting: AtomicBool,
    unwanted: AtomicBool,
}

impl Progress {
    /// Whether the engine makes the container at this moment: giving up would leave it behind.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire) || self.is_starting()
    }

    /// Whether the engine was asked to start it.
    pub(crate) fn is_starting(&self) -> bool {
        self.starting.load(Ordering::Acquire)
    }

    /// It is not to be started any more.
    pub(crate) fn give_up(&self) {
        self.unwanted.store(true, Ordering::Release);
    }

    /// From here on it may run; false when nobody wants that any more.
    fn start(&self) -> bool {
        // Both are set by who polls the launch, so nothing comes in between.
        let wanted = !self.unwanted.load(Ordering::Acquire);
        self.starting.store(wanted, Ordering::Release);
        wanted
    }
}

/// The answer to a launch that was killed in time.
pub(crate) fn killed() -> LaunchError {
    LaunchError::Refused("it was killed before it ran".to_owned())
}

/// A container that runs, or did.
pub(crate) struct Made {
    pub(crate) state: State,
    pub(crate) launched: Launched,
}

/// Makes and starts a container whose record is there. `progress` says how far that is, and hears
/// when it is not to be started any more.
///
/// # Errors
/// Why it does not run. What there is of it is the caller's to remove.
pub(crate) async fn make(
    common: Arc<Common>,
    launch: Launch,
    mut state: State,
    progress: &Progress,
) -> Result<Made, LaunchError> {
    let nobody = || LaunchError::Impossible("it asks for no container of Docker".to_owned());
    let task = launch.docker.as_deref().ok_or_else(nobody)?;
    let walls = launch.enclosure.as_deref().ok_or_else(nobody)?;
    let of_image = image(&common, task).await?;
    let user = user(&common, &launch, walls, task.users.as_deref(), &of_image).await?;
    give_sandbox(walls, &state.sandbox, &user).await?;
    give_volumes(&launch, &user)?;
    let limits = limits_of(&launch.allocation, common.settings.defaults);
    let agent = &common.settings.agent;
    let body = request::create(&launch, task, walls, &limits, &user, &state.sandbox, agent)
        .map_err(LaunchError::Impossible)?;
    let name = request::name(launch.id.as_str());
    let create = || async {
        progress.asked.store(true, Ordering::Release);
        let created = common.engine.create(&name, body.clone()).await;
        progress.asked.store(false, Ordering::Release);
        created
    };
    let created = patiently(&common, create).await;
    created.map_err(|error| refused(&error, &launch))?;
    fail::fail_point!("docker-created");
    if !progress.start() {
        return Err(killed());
    }
    state.phase = Phase::Starting;
    let noted = common.records.put(&launch.id, &state);
    noted.map_err(|error| LaunchError::Refused(format!("its record cannot be kept: {error}")))?;
    let started = common.engine.start(&name).await;
    fail::fail_point!("docker-started");
    if let Err(error) = &started
        && !error.is_away()
    {
        return Err(refused(error, &launch));
    }
    // Whatever was answered: what counts is what there is.
    let inspected = inspected(&common, &name).await?;
    let (pid, started_unix_ns) = match (seen(&inspected, state.memory), started) {
        (Seen::Running { pid, started_unix_ns }, _) => (pid, started_unix_ns),
        (Seen::Ended(end), _) => {
            let lasted = u64::try_from(end.lasted.as_nanos()).unwrap_or(0);
            (0, end.ended_unix_ns.saturating_sub(lasted))
        }
        (Seen::Created, Err(error)) => return Err(LaunchError::Refused(error.to_string())),
        (Seen::Created, Ok(())) => {
            return Err(LaunchError::Refused("the Docker engine did not start it".to_owned()));
        }
    };
    state.phase = Phase::Running;
    (state.pid, state.pid_ticks) = (pid, ticks(pid));
    state.started_boot_ns = boot_ns(started_unix_ns);
    state.address = outcome::address(&inspected);
    if let Err(error) = common.records.put(&launch.id, &state) {
        tracing::error!(container = %launch.id, %error, "what Docker did could not be noted");
    }
    let launched = launched(&state);
    Ok(Made { state, launched })
}

/// What the agent hears of a container that runs.
pub(crate) fn launched(state: &State) -> Launched {
    Launched {
        pid: state.pid,
        started_boot_ns: state.started_boot_ns,
        sandbox: state.sandbox.clone(),
        address: state.address,
        // The engine keeps it, by rules of its own.
        layer: None,
    }
}

/// Asks again while the engine is away, for as long as a launch may wait for it.
async fn patiently<T, F>(common: &Common, ask: impl Fn() -> F) -> Result<T, EngineError>
where
    F: Future<Output = Result<T, EngineError>>,
{
    let end = Instant::now() + common.settings.engine_wait;
    loop {
        match ask().await {
            Err(error) if error.is_away() && Instant::now() < end => {
                // waits: before the engine is asked again
                tokio::time::sleep(PAUSE).await;
            }
            other => return other,
        }
    }
}

/// What there is of a container whose start was asked for. It may run by now, so an engine that is
/// away is waited for however long that takes: nobody could end what is given up here.
///
/// # Errors
/// That there is none.
async fn inspected(common: &Common, name: &str) -> Result<ContainerInspectResponse, LaunchError> {
    let mut pause = PAUSES.0;
    loop {
        match common.engine.inspect(name).await {
            Ok(inspected) => return Ok(inspected),
            Err(error) if error.is_missing() => {
                return Err(LaunchError::Refused(error.to_string()));
            }
            Err(error) => tracing::warn!(name, %error, "it is not known whether it was started"),
        }
        // waits: the engine is away; it is asked again, with longer pauses
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// The user that the image names, once the image is there.
async fn image(common: &Common, task: &DockerTask) -> Result<String, LaunchError> {
    let inspect = || common.engine.image(&task.image);
    let mut found = patiently(common, inspect).await;
    let missing = found.as_ref().is_err_and(EngineError::is_missing);
    if missing || task.force_pull {
        let started = Instant::now();
        tracing::info!(image = %task.image, "pulling");
        let told = |status: &str| tracing::debug!(image = %task.image, status, "pulling");
        let pulled = common.engine.pull(&task.image, common.settings.pull_timeout, told).await;
        pulled.map_err(|error| not_pulled(&error, task))?;
        let seconds = started.elapsed().as_secs_f64();
        tracing::info!(image = %task.image, seconds, "pulled");
        found = patiently(common, inspect).await;
    }
    let found = found.map_err(|error| LaunchError::Refused(error.to_string()))?;
    Ok(found.config.and_then(|config| config.user).unwrap_or_default())
}

fn not_pulled(error: &EngineError, task: &DockerTask) -> LaunchError {
    let message = format!("the image {:?} could not be pulled: {error}", task.image);
    let wrong = |status: u16| status == 400 || status == 404;
    match error {
        EngineError::Refused { status, .. } if wrong(*status) => LaunchError::Impossible(message),
        _ => LaunchError::Refused(message),
    }
}

async fn user(
    common: &Common,
    launch: &Launch,
    walls: &Enclosure,
    users: Option<&[String]>,
    of_image: &str,
) -> Result<String, LaunchError> {
    let asked = launch.user.as_deref();
    let rights = Rights { mapped: false, root: walls.root_allowed, users };
    match request::user(asked, of_image, rights) {
        Ok(user) => Ok(user),
        Err(refusal) => {
            let info = patiently(common, || common.engine.info()).await;
            let info = info.map_err(|error| LaunchError::Refused(error.to_string()))?;
            let options = info.security_options.unwrap_or_default();
            // Everybody within is somebody else on the host then.
            let mapped = |o: &String| o.contains("name=userns") || o.contains("name=rootless");
            if !options.iter().any(mapped) {
                return Err(LaunchError::Impossible(refusal));
            }
            request::user(asked, of_image, Rights { mapped: true, ..rights })
                .map_err(LaunchError::Impossible)
        }
    }
}

/// Gives the sandbox, with what was fetched into it, to who runs in it, and makes the directories
/// that are mounted from it. On a thread of its own: that may be many files.
async fn give_sandbox(walls: &Enclosure, sandbox: &Path, user: &str) -> Result<(), LaunchError> {
    let mounted = walls.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Sandbox(path) => Some(path.clone()),
        _ => None,
    });
    let (mounted, sandbox, owner) = (mounted.collect::<Vec<_>>(), sandbox.to_owned(), owner(user));
    let given =
        tokio::task::spawn_blocking(move || supervisor::give_sandbox(&sandbox, &mounted, owner));
    let given = given.await.unwrap_or_else(|error| Err(error.to_string()));
    given.map_err(|error| LaunchError::Refused(format!("no sandbox: {error}")))
}

/// Removes a sandbox. What makes it ready may not have ended yet, and is at work in it then.
pub(crate) fn remove(sandbox: &Path) -> std::io::Result<()> {
    let busy = std::io::ErrorKind::DirectoryNotEmpty;
    let mut removed = std::fs::remove_dir_all(sandbox);
    for _ in 0..2 {
        if removed.as_ref().is_err_and(|error| error.kind() == busy) {
            removed = std::fs::remove_dir_all(sandbox);
        }
    }
    removed
}

/// Who a container's user is on the host, as far as one knows. Nobody in particular is root.
fn owner(user: &str) -> Option<(u32, u32)> {
    match user {
        "" => rustix::process::geteuid().is_root().then_some((0, 0)),
        user => request::owner(user),
    }
}

/// Gives persistent volumes to who runs, as far as one knows who that is on the host.
fn give_volumes(launch: &Launch, user: &str) -> Result<(), LaunchError> {
    let Some(owner) = request::owner(user) else { return Ok(()) };
    for volume in &launch.volumes {
        supervisor::give_volume(volume, owner).map_err(LaunchError::Refused)?;
    }
    Ok(())
}

/// Whose fault it is that the engine refuses.
fn refused(error: &EngineError, launch: &Launch) -> LaunchError {
    let EngineError::Refused { status, message, .. } = error else {
        return LaunchError::Refused(error.to_string());
    };
    let executed = match &launch.program {
        Program::Shell(_) => "/bin/sh",
        Program::Exec { argv, .. } => argv.first().map_or("of the image", String::as_str),
    };
    let errno = if message.contains("executable file not found")
        || message.contains("exec: ") && message.contains("no such file or directory")
    {
        Some(libc::ENOENT)
    } else if message.contains("exec: ") && message.contains("permission denied") {
        Some(libc::EACCES)
    } else {
        None
    };
    match (errno, status) {
        (Some(errno), _) => LaunchError::Spawn { step: format!("execve {executed}"), errno },
        (None, 400) => LaunchError::Impossible(error.to_string()),
        (None, _) => LaunchError::Refused(error.to_string()),
    }
}

/// When a process began, in the kernel's ticks since boot.
pub(crate) fn ticks(pid: u32) -> Option<u64> {
    if pid == 0 {
        return None;
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the start time is the 20th field after it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

pub(crate) fn unix_now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A moment of the wall clock in nanoseconds since boot.
fn boot_ns(unix_ns: u64) -> u64 {
    let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let boot = boot.tv_sec.unsigned_abs() * 1_000_000_000 + boot.tv_nsec.unsigned_abs();
    boot.saturating_sub(unix_now_ns().saturating_sub(unix_ns))
}
