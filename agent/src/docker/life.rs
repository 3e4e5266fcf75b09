//! The life of one container of the engine, from its making to its removal.
//!
//! Each has a task of its own, which asks the engine and listens to its agent. What it learns is
//! on record before the agent hears of it, so that an agent which is started anew goes on at the
//! same place. The engine may be away at any time: what must be done is tried again, with pauses,
//! and what is asked is asked by inspection, which misses nothing.

use super::engine::{Engine, EngineError};
use super::making::{self, Made};
use super::outcome::{Seen, seen};
use super::output::Output;
use super::record::{End, Phase, Record, Records, State};
use super::request;
use super::{Settings, usage};
use crate::containerizer::{
    ContainerEvent, ContainerId, Ended, Launch, LaunchError, Limitation, Recovered, SandboxFate,
    WaitStatus,
};
use crate::supervisor::task::Limits;
use futures_util::StreamExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::Instant;

/// First and longest pause before the engine is asked again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How long an engine may be away while the container's first process is gone, before the end of
/// the container is told without its exit status.
const AWAY: Duration = Duration::from_secs(30);
/// How long after a container's end the rest of its output may take to come.
const REST_OF_OUTPUT: Duration = Duration::from_secs(30);
/// Entries of output that are stored together.
const BATCH: usize = 256;

/// What the agent wants of a container.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Kill(Duration),
    Signal(i32),
    Update(Limits),
    Usage,
    /// Its end is on record with the agent.
    Forget,
    /// A launch that nobody waits for any more.
    Abandon,
}

/// What all containers of an agent share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) engine: Engine,
    pub(crate) records: Records,
    pub(crate) settings: Settings,
    /// Where events go; replaced with the supervisor.
    pub(crate) events: Mutex<UnboundedSender<ContainerEvent>>,
}

impl Common {
    pub(crate) fn tell(&self, event: ContainerEvent) {
        // A closed channel means that the agent is going away.
        let _ = self.events.lock().unwrap_or_else(PoisonError::into_inner).send(event);
    }
}

/// One container.
pub(crate) struct Life {
    pub(crate) common: Arc<Common>,
    pub(crate) id: ContainerId,
    pub(crate) name: String,
    pub(crate) orders: UnboundedReceiver<Order>,
    pub(crate) state: State,
    /// Whether the engine has been told of a kill since it was last away.
    pub(crate) stopping: bool,
}

/// Why watching stopped.
enum Over {
    Ended,
    Forgotten,
}

impl Life {
    /// From a launch to the end.
    pub(crate) async fn begin(mut self, launch: Launch) {
        let asking = Arc::new(AtomicBool::new(false));
        let making = making::make(self.common.clone(), launch, self.state.clone(), asking.clone());
        tokio::pin!(making);
        let mut killed = None;
        let made = loop {
            tokio::select! {
                made = &mut making => break made,
                order = self.orders.recv() => match order {
                    // What the engine was asked to make and has not answered for could not be removed.
                    Some(Order::Kill(grace)) if asking.load(Ordering::Relaxed) => {
                        killed = Some(grace);
                    }
                    Some(Order::Kill(_)) => {
                        break Err(LaunchError::Refused("it was killed before it ran".to_owned()));
                    }
                    Some(Order::Abandon) => {
                        self.discard_sandbox();
                        return self.vanish().await;
                    }
                    // The agent stops; the next one removes what there is.
                    None => return,
                    Some(_) => {}
                },
            }
        };
        match made {
            Ok(Made { state, launched }) => {
                self.state = state;
                self.common.tell(ContainerEvent::Launched { id: self.id.clone(), launched });
                if let Some(grace) = killed {
                    self.kill(grace);
                }
                self.go_on().await;
            }
            Err(error) => {
                // First the answer: what is left is removed in its own time, and by the next agent.
                let id = self.id.clone();
                self.discard_sandbox();
                self.state.phase = Phase::Forgotten;
                self.note();
                self.common.tell(ContainerEvent::LaunchFailed { id, error });
                self.vanish().await;
            }
        }
    }

    fn discard_sandbox(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.state.sandbox)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(container = %self.id, %error, "a sandbox could not be removed");
        }
    }

    /// From wherever its record says to the end.
    pub(crate) async fn go_on(mut self) {
        if self.state.phase == Phase::Making {
            self.discard_sandbox();
        }
        if matches!(self.state.phase, Phase::Making | Phase::Forgotten) {
            return self.vanish().await;
        }
        if self.state.phase != Phase::Ended {
            match self.watch().await {
                Over::Ended => {}
                Over::Forgotten => return self.vanish().await,
            }
        }
        loop {
            match self.orders.recv().await {
                Some(Order::Forget) => return self.vanish().await,
                Some(Order::Usage) => self.usage(),
                Some(_) => {}
                None => return,
            }
        }
    }

    /// Removes the container, then its record: in this order, so that an agent that is killed
    /// meanwhile comes back to it.
    async fn vanish(mut self) {
        self.state.phase = Phase::Forgotten;
        self.note();
        let mut pause = PAUSES.0;
        loop {
            match self.common.engine.remove(&self.name).await {
                Ok(()) => break,
                Err(error) => {
                    tracing::warn!(container = %self.id, %error, "a container is still to be removed");
                    // waits: the engine is away or busy; it is asked again, with longer pauses
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
        self.common.records.remove(&self.id);
    }

    fn note(&self) {
        if let Err(error) = self.common.records.put(&self.id, &self.state) {
            tracing::error!(container = %self.id, %error, "what Docker did could not be noted");
        }
    }

    /// Until its end is known and told.
    async fn watch(&mut self) -> Over {
        let noted = self.common.records.dir(&self.id).join("output");
        let owner = sandbox_owner(&self.state.sandbox);
        let mut output = Output::resume(&self.state.sandbox, noted, owner);
        let mut pause = PAUSES.0;
        let mut away_since: Option<Instant> = None;
        loop {
            let inspected = self.common.engine.inspect(&self.name).await;
            match inspected.map(|inspected| seen(&inspected, self.state.memory)) {
                Ok(Seen::Ended(end)) => {
                    self.rest_of_output(&mut output).await;
                    self.ended(Some(end), &output);
                    return Over::Ended;
                }
                Ok(Seen::Created) => {
                    // An agent before this one asked for it, and the engine did not hear.
                    if let Err(error) = self.common.engine.start(&self.name).await
                        && !error.is_away()
                    {
                        tracing::warn!(container = %self.id, %error, "it could not be started");
                        self.ended(None, &output);
                        return Over::Ended;
                    }
                }
                Ok(Seen::Running { pid, .. }) => {
                    away_since = None;
                    pause = PAUSES.0;
                    self.running(pid);
                    self.stop();
                    if let Some(over) = self.follow(&mut output).await {
                        return over;
                    }
                }
                Err(error) if error.is_missing() => {
                    tracing::warn!(container = %self.id, "its container was removed by somebody else");
                    self.ended(None, &output);
                    return Over::Ended;
                }
                Err(error) => {
                    self.stopping = false;
                    let since = *away_since.get_or_insert_with(|| {
                        tracing::warn!(container = %self.id, %error, "it is not known how it does");
                        Instant::now()
                    });
                    if since.elapsed() > AWAY && !self.process_lives() {
                        self.ended(None, &output);
                        return Over::Ended;
                    }
                }
            }
            if let Some(over) = self.pause(pause).await {
                return over;
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Its first process may not have been known before.
    fn running(&mut self, pid: u32) {
        if self.state.phase == Phase::Running && self.state.pid == pid {
            return;
        }
        self.state.phase = Phase::Running;
        (self.state.pid, self.state.pid_ticks) = (pid, making::ticks(pid));
        self.note();
    }

    /// Whether its first process is still the one that it was; true if that is not known.
    fn process_lives(&self) -> bool {
        let Some(then) = self.state.pid_ticks else { return true };
        making::ticks(self.state.pid) == Some(then)
    }

    /// Carries output and orders while it runs; ends when it may not run any more, or when the
    /// engine hangs up.
    async fn follow(&mut self, output: &mut Output) -> Option<Over> {
        let common = self.common.clone();
        let since = output.since();
        let logs = match common.engine.logs(&self.name, since, true).await {
            Ok(logs) => logs.left_stream(),
            Err(error) => {
                tracing::warn!(container = %self.id, %error, "no output");
                futures_util::stream::empty().right_stream()
            }
        };
        let mut logs = std::pin::pin!(logs.ready_chunks(BATCH));
        let name = self.name.clone();
        let mut wait = std::pin::pin!(common.engine.wait(&name));
        let mut followed = true;
        loop {
            let kill_at = self.state.kill_by_unix_ns.map(until);
            tokio::select! {
                entries = logs.next(), if followed => match entries {
                    Some(entries) => output.store(entries.into_iter().flatten().collect()),
                    None => followed = false,
                },
                () = &mut wait => return None,
                order = self.orders.recv() => {
                    if let Some(over) = self.obey(order).await {
                        return Some(over);
                    }
                }
                () = sleep_until(kill_at), if kill_at.is_some() => self.kill_now().await,
            }
        }
    }

    async fn obey(&mut self, order: Option<Order>) -> Option<Over> {
        match order {
            Some(Order::Kill(grace)) => self.kill(grace),
            Some(Order::Signal(signal)) => {
                let sent = self.common.engine.kill(&self.name, &signal.to_string()).await;
                if let Err(error) = sent {
                    tracing::warn!(container = %self.id, signal, %error, "a signal was not sent");
                }
            }
            Some(Order::Update(limits)) => {
                self.state.memory = limits.memory_bytes;
                self.note();
                let updated = self.common.engine.update(&self.name, request::update(&limits)).await;
                if let Err(error) = updated {
                    let (id, reason) = (self.id.clone(), error.to_string());
                    self.common.tell(ContainerEvent::UpdateFailed { id, reason });
                }
            }
            Some(Order::Usage) => self.usage(),
            Some(Order::Forget) => return Some(Over::Forgotten),
            Some(Order::Abandon) => {}
            // The agent stops; the next one goes on.
            None => std::future::pending().await,
        }
        None
    }

    /// TERM (or what its image says) now, and KILL after the grace: by us, and by the engine as
    /// well, which counts whole seconds and goes on when we are gone.
    fn kill(&mut self, grace: Duration) {
        let by = making::unix_now_ns()
            .saturating_add(u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX));
        if self.state.kill_by_unix_ns.is_some_and(|known| known <= by) {
            return;
        }
        self.state.kill_by_unix_ns = Some(by);
        self.note();
        self.stop();
    }

    /// Has the engine stop it, if it is to be killed and the engine does not know.
    fn stop(&mut self) {
        let by = self.state.kill_by_unix_ns.unwrap_or(0);
        let grace = Duration::from_nanos(by.saturating_sub(making::unix_now_ns()));
        if !grace.is_zero() && !std::mem::replace(&mut self.stopping, true) {
            let (common, name) = (self.common.clone(), self.name.clone());
            let seconds = i32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
            // It answers when the container has ended; what became of it the watching sees.
            tokio::spawn(async move {
                if let Err(error) = common.engine.stop(&name, seconds).await {
                    tracing::debug!(name, %error, "its grace was not begun");
                }
            });
        }
    }

    /// The grace is over. Tried again each second until it has ended.
    async fn kill_now(&mut self) {
        if let Err(error) = self.common.engine.kill(&self.name, "KILL").await
            && error.is_away()
        {
            tracing::warn!(container = %self.id, %error, "it is still to be killed");
        }
        self.state.kill_by_unix_ns = Some(making::unix_now_ns().saturating_add(1_000_000_000));
    }

    /// Orders that come while the engine is away: a kill is kept, and carried out as soon as it is
    /// back.
    async fn pause(&mut self, pause: Duration) -> Option<Over> {
        let end = Instant::now() + pause;
        loop {
            tokio::select! {
                // waits: before the engine is asked again
                () = tokio::time::sleep_until(end) => return None,
                order = self.orders.recv() => {
                    if let Some(over) = self.obey(order).await {
                        return Some(over);
                    }
                }
            }
        }
    }

    async fn rest_of_output(&mut self, output: &mut Output) {
        let rest = async {
            let logs = self.common.engine.logs(&self.name, output.since(), false).await?;
            let mut logs = std::pin::pin!(logs.ready_chunks(BATCH));
            while let Some(entries) = logs.next().await {
                output.store(entries.into_iter().flatten().collect());
            }
            Ok::<(), EngineError>(())
        };
        match tokio::time::timeout(REST_OF_OUTPUT, rest).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the rest of a task's output is lost"),
            Err(_) => tracing::warn!("the rest of a task's output did not come in time"),
        }
    }

    /// First it is on record, then it is told.
    fn ended(&mut self, end: Option<End>, output: &Output) {
        self.state.phase = Phase::Ended;
        self.state.end = end;
        self.note();
        self.common.tell(ContainerEvent::Ended {
            id: self.id.clone(),
            ended: ended(&self.state, output.figures()),
        });
    }

    fn usage(&self) {
        let running = self.state.phase == Phase::Running && self.process_lives();
        let usage = running.then(|| usage::usage(self.state.pid)).flatten();
        self.common.tell(ContainerEvent::Usage { id: self.id.clone(), usage });
    }
}

/// A container as it is told to an agent that takes it back.
pub(crate) fn recovered(record: Record, records: &Records) -> Recovered {
    let Record { id, launch, shared, state } = record;
    let noted = records.dir(&id).join("output");
    let figures = super::output::noted(&noted);
    let ended = (state.phase == Phase::Ended).then(|| ended(&state, figures));
    Recovered { id, record: launch, shared, launched: making::launched(&state), ended }
}

fn ended(state: &State, (stdout_bytes, stderr_bytes, lost_bytes): (u64, u64, u64)) -> Ended {
    let end = state.end.as_ref();
    Ended {
        status: end.map_or(WaitStatus::Unknown, |end| status(end.code)),
        limitation: end.and_then(|end| end.out_of_memory).map(|limit_bytes| {
            // Who met the limit had used all of it.
            Limitation::Memory { usage_bytes: limit_bytes, limit_bytes }
        }),
        kill_requested: state.kill_by_unix_ns.is_some(),
        pids_refused: 0,
        // The engine does not keep what a container used.
        cpu_time: Duration::ZERO,
        max_rss_bytes: 0,
        lasted: end.map_or(Duration::ZERO, |end| end.lasted),
        ended_unix_ns: end.map_or(0, |end| end.ended_unix_ns),
        stdout_bytes,
        stderr_bytes,
        lost_bytes,
        sandbox: SandboxFate::Kept(state.sandbox.clone()),
    }
}

/// The engine's code as a shell would read it: it tells signals by numbers from 129 on.
fn status(code: u8) -> WaitStatus {
    match code {
        129..=192 => WaitStatus::Signaled(code - 128),
        code => WaitStatus::Exited(code),
    }
}

/// Who is to own the files of a sandbox that is there.
fn sandbox_owner(sandbox: &std::path::Path) -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::symlink_metadata(sandbox).ok().map(|data| (data.uid(), data.gid()))
}

fn until(unix_ns: u64) -> Instant {
    Instant::now() + Duration::from_nanos(unix_ns.saturating_sub(making::unix_now_ns()))
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        // waits: the grace of a kill
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Removes what carries this agent's label and is on no record, once the engine answers.
pub(crate) async fn sweep(common: Arc<Common>) {
    let label = format!("{}={}", request::AGENT_LABEL, common.settings.agent);
    let mut pause = PAUSES.0;
    let found = loop {
        match common.engine.labelled(&label).await {
            Ok(found) => break found,
            Err(error) => {
                tracing::debug!(%error, "what is left of earlier agents is not known");
                // waits: the engine is away; it is asked again, with longer pauses
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    };
    for (name, labels) in found {
        // A record is made before its container, and goes after it.
        let known = labels.get(request::CONTAINER_LABEL);
        if known.is_some_and(|id| common.records.knows(id)) {
            continue;
        }
        match common.engine.remove(&name).await {
            Ok(()) => tracing::warn!(name, "a container of nobody was removed"),
            Err(error) => tracing::warn!(name, %error, "a container of nobody stays"),
        }
    }
}
