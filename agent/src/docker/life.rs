//! The life of one container of the engine, from its making to its removal.
//!
//! Each has a task of its own, which asks the engine and listens to its agent. What it learns is
//! on record before the agent hears of it, so that an agent which is started anew goes on at the
//! same place. The engine may be away at any time: what must be done is tried again, with pauses,
//! and what is asked is asked by inspection, which misses nothing.

use super::engine::Engine;
use super::making::{self, Made, Progress};
use super::order::{Answer, Answering, Order, answer};
use super::outcome::{Seen, seen};
use super::output::Output;
use super::record::{End, Phase, Records, State};
use super::request;
use super::told::ended;
use super::{Settings, usage};
use crate::containerizer::{ContainerEvent, ContainerId, Launch, LaunchError};
use bollard::container::LogOutput;
use bollard::errors::Error as ApiError;
use futures_util::StreamExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::Instant;

/// First and longest pause before the engine is asked again.
pub(crate) const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How long an engine may be away while the container's first process is gone, before the end of
/// the container is told without its exit status.
const AWAY: Duration = Duration::from_secs(30);
/// How long after a container's end the rest of its output may take to come.
const REST_OF_OUTPUT: Duration = Duration::from_secs(30);
/// Entries of output that are stored together.
const BATCH: usize = 256;

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
    pub(crate) answering: Answering,
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
        let progress = Arc::new(Progress::default());
        let making = making::make(self.common.clone(), launch, self.state.clone(), &progress);
        let mut killed: Option<Duration> = None;
        let made = {
            tokio::pin!(making);
            loop {
                tokio::select! {
                    made = &mut making => break made,
                    order = self.orders.recv() => match order {
                        // It may run by now: then it has its grace.
                        Some(Order::Kill(grace)) if progress.is_starting() => {
                            killed = Some(killed.map_or(grace, |known| known.min(grace)));
                        }
                        Some(Order::Kill(_) | Order::Abandon) => {
                            // What the engine was asked to make and has not answered for could not
                            // be removed; it is not started, and removed then.
                            progress.give_up();
                            if !progress.is_asked() {
                                break Err(making::killed());
                            }
                        }
                        // The agent stops; the next one removes what there is.
                        None => return,
                        Some(_) => {}
                    },
                }
            }
        };
        match self.answer_launch(made) {
            true => {
                if let Some(grace) = killed {
                    self.kill(grace);
                }
                self.go_on().await;
            }
            // First the answer: what is left is removed in its own time, and by the next agent.
            false => {
                self.discard_sandbox().await;
                self.vanish().await;
            }
        }
    }

    /// Tells the agent what became of its launch, unless it has given it up meanwhile; true when
    /// the container is to be watched. In one step with the question of who replaces the
    /// supervisor.
    fn answer_launch(&mut self, made: Result<Made, LaunchError>) -> bool {
        let answering = self.answering.clone();
        let mut answer = answer(&answering);
        let id = self.id.clone();
        match made {
            _ if *answer == Answer::Unwanted => false,
            Ok(Made { state, launched }) => {
                self.state = state;
                *answer = Answer::Given;
                self.common.tell(ContainerEvent::Launched { id, launched });
                true
            }
            Err(error) => {
                self.state.phase = Phase::Forgotten;
                self.note();
                *answer = Answer::Unwanted;
                self.common.tell(ContainerEvent::LaunchFailed { id, error });
                false
            }
        }
    }

    /// On a thread of its own: a task may have had much fetched into it.
    async fn discard_sandbox(&self) {
        let sandbox = self.state.sandbox.clone();
        let removed = tokio::task::spawn_blocking(move || making::remove(&sandbox)).await;
        if let Ok(Err(error)) = removed
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(container = %self.id, %error, "a sandbox could not be removed");
        }
    }

    /// From wherever its record says to the end.
    pub(crate) async fn go_on(mut self) {
        if self.state.phase == Phase::Making {
            self.discard_sandbox().await;
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
                    let end = self.last_word(end).await;
                    self.ended(Some(end), &output);
                    return Over::Ended;
                }
                // It was killed before the engine heard of its start, and is not started any more.
                Ok(Seen::Created) if self.state.kill_by_unix_ns.is_some() => {
                    self.ended(None, &output);
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
        // When to ask for its output anew, once the engine has stopped telling it.
        let mut again = None;
        loop {
            let kill_at = self.state.kill_by_unix_ns.map(until);
            tokio::select! {
                entries = logs.next(), if again.is_none() => {
                    let stopped = match entries {
                        Some(entries) => store(output, entries).await,
                        None => Some("the engine hung up".to_owned()),
                    };
                    if let Some(reason) = stopped {
                        tracing::debug!(container = %self.id, reason, "its output stopped");
                        again = Some(Instant::now() + PAUSES.1);
                    }
                }
                () = sleep_until(again), if again.is_some() => return None,
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
                let problem = updated.err().map(|error| error.to_string());
                self.common.tell(ContainerEvent::Updated { id: self.id.clone(), problem });
            }
            Some(Order::Usage) => self.usage(),
            Some(Order::Forget) => return Some(Over::Forgotten),
            Some(Order::Exceeded { usage_bytes, limit_bytes }) => {
                let known =
                    self.state.disk_exceeded.is_some() || self.state.kill_by_unix_ns.is_some();
                if !known {
                    self.state.disk_exceeded = Some((usage_bytes, limit_bytes));
                }
                self.kill(Duration::ZERO);
            }
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
            let logs = self.common.engine.logs(&self.name, output.since(), false).await;
            let logs = logs.map_err(|error| error.to_string())?;
            let mut logs = std::pin::pin!(logs.ready_chunks(BATCH));
            while let Some(entries) = logs.next().await {
                if let Some(reason) = store(output, entries).await {
                    return Err(reason);
                }
            }
            Ok(())
        };
        match tokio::time::timeout(REST_OF_OUTPUT, rest).await {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => tracing::warn!(reason, "the rest of a task's output is lost"),
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

/// Stores entries of output, off the agent's own threads: its disk may be slow. What stands before
/// an error is stored as well; the error is returned.
async fn store(output: &mut Output, entries: Vec<Result<LogOutput, ApiError>>) -> Option<String> {
    let mut told = Vec::with_capacity(entries.len());
    let mut failure = None;
    for entry in entries {
        match entry {
            Ok(entry) => told.push(entry),
            Err(error) => {
                failure = Some(error.to_string());
                break;
            }
        }
    }
    let mut taken = std::mem::take(output);
    let stored = tokio::task::spawn_blocking(move || {
        taken.store(told);
        taken
    });
    match stored.await {
        Ok(stored) => *output = stored,
        // Only when the agent ends; the next one goes on from what is noted.
        Err(error) => failure = Some(error.to_string()),
    }
    failure
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
