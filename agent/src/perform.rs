//! Performing effects in order: what stands behind a `Persist` waits until it is durable.
//!
//! One commit is under way at a time; what gathers meanwhile is the next. Records that nothing
//! waits for are held for a moment, for company, so that they cost no sync of their own; in a
//! crowd so are the others. What a full disk has no room for goes into its reserve; once that is used up
//! it holds back what waits behind it, and tries again; what claims nothing durable (that the agent is alive) never waits.

mod enter;
mod launch;
mod limits;
mod look;
mod say;
mod sweep;

use crate::Error;
use crate::checkpoint::{self, Change, Committed, Writer};
use crate::config::Layout;
use crate::containerizer::Containerizer;
use crate::containerizer::native::Native;
use crate::containers::{self, ImagesInUse};
use crate::docker::pair::Pair;
use crate::executors;
use crate::link::{Masters, Stream};
use crate::metrics::Counts;
use crate::policy::Policy;
use crate::preparing::Preparing;
use crate::sandboxes::Sandboxes;
use crate::volumes::VolumeDisk;
use crate::whereabouts::Whereabouts;
use agent_core::{CheckpointOp, Effect, Input, Note, VolumeOrder};
pub(crate) use enter::MadeSession;
use fail::fail_point;
pub(crate) use look::Beside;
use proto::agent_link::AgentCall;
use proto::executor::Event;
use proto::{ClusterId, ContainerId};
use say::say;
use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;
use store::Pace;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Records in a millisecond from which on commits wait for company: a task alone makes fewer.
const CROWD: u32 = 5;
/// Effects that may wait for the disk. Beyond it nothing is taken from the master, which will then
/// count on this agent no more; what containers still report is bounded by their number.
const HELD: usize = 100_000;
/// How long a record that nothing waits for may gather others.
const LINGER: Duration = Duration::from_millis(25);
/// Pause before a commit that found the disk full is tried again.
const FULL_RETRY: Duration = Duration::from_secs(1);

pub(crate) struct Performer {
    pub(crate) native: Pair,
    pub(crate) sandboxes: Sandboxes,
    pub(crate) counts: Counts,
    pub(crate) whereabouts: Whereabouts,
    pub(crate) images: ImagesInUse,
    frameworks: containers::Frameworks,
    policy: Policy,
    pub(crate) employer: executors::Settings,
    pub(crate) streams: executors::Streams,
    pub(crate) preparing: Preparing,
    /// Held while layers of ended containers are being removed.
    emptying: std::sync::Arc<std::sync::Mutex<()>>,
    layout: Layout,
    volumes: VolumeDisk,
    masters: Masters,
    pub(crate) inbox: mpsc::Sender<Input>,
    stream: Option<Stream>,
    /// Whether the registration on the current stream was announced, which is once the identity
    /// that it gave is durable.
    admitted: bool,
    /// Whether any registration was announced since the start.
    was_admitted: bool,
    /// Why the agent must end.
    pub(crate) failure: Option<Error>,
    commits: Commits,
    /// Effects that wait for the commit of this number.
    held: VecDeque<(u64, Effect)>,
    /// New limits of tasks that were ordered.
    ordered: limits::Ordered,
    /// Answers that the agent gives itself: launches that cannot be translated.
    pub(crate) answers: Vec<Input>,
}

/// What is known of the checkpoint's commits. They are numbered from 1.
struct Commits {
    writer: Writer,
    gathering: Vec<Change>,
    gathering_since: Option<Instant>,
    /// The number that the gathering changes will have.
    next: u64,
    under_way: bool,
    durable: u64,
    /// The number that effects wait for from now on.
    barrier: u64,
    pace: Pace,
    /// Found the disk full: tried again at this time, before anything else.
    stuck: Option<(Instant, Vec<Change>)>,
}

impl Commits {
    /// `first` is part of the first commit.
    fn new(writer: Writer, first: Vec<Change>) -> Self {
        Self {
            writer,
            gathering: first,
            gathering_since: Some(Instant::now()),
            next: 1,
            under_way: false,
            durable: 0,
            barrier: 0,
            pace: Pace::new(CROWD),
            stuck: None,
        }
    }

    fn gather(&mut self, op: &CheckpointOp, now: Instant) {
        checkpoint::changes(op, &mut self.gathering);
        self.pace.note(1, now.into_std());
        self.gathering_since.get_or_insert(now);
    }

    /// Whether an effect stands behind a barrier. A pong claims nothing that could be lost, and an
    /// agent with a full disk is alive.
    fn must_wait(&self, effect: &Effect) -> bool {
        let pong = matches!(effect, Effect::ToMaster { call: AgentCall::Pong { .. }, .. });
        self.barrier > self.durable && !pong
    }

    /// Begins a commit when one is due; says when to look again.
    fn advance(&mut self, wanted: u64, now: Instant) -> Option<Instant> {
        if self.under_way {
            return None;
        }
        if let Some((at, changes)) = self.stuck.take() {
            if at > now {
                self.stuck = Some((at, changes));
                return Some(at);
            }
            self.under_way = true;
            self.writer.commit(changes);
            return None;
        }
        let since = self.gathering_since?;
        let due = match wanted < self.next {
            true => since + LINGER,
            false => self.pace.pause(now.into_std()).map_or(now, Instant::from_std),
        };
        if due > now {
            return Some(due);
        }
        self.pace.began(now.into_std());
        self.under_way = true;
        self.gathering_since = None;
        self.next += 1;
        self.writer.commit(std::mem::take(&mut self.gathering));
        None
    }
}

impl Performer {
    pub(crate) fn new(
        native: Pair,
        (writer, first): (Writer, Vec<Change>),
        layout: Layout,
        (policy, employer): (Policy, executors::Settings),
        preparing: Preparing,
        masters: Masters,
        inbox: mpsc::Sender<Input>,
    ) -> Self {
        Self {
            native,
            sandboxes: Sandboxes::default(),
            counts: Counts::default(),
            whereabouts: Whereabouts::default(),
            images: ImagesInUse::default(),
            frameworks: containers::Frameworks::default(),
            policy,
            employer,
            streams: executors::Streams::default(),
            preparing,
            emptying: std::sync::Arc::default(),
            volumes: VolumeDisk::new(layout.volumes.clone()),
            layout,
            masters,
            inbox,
            stream: None,
            admitted: false,
            was_admitted: false,
            failure: None,
            commits: Commits::new(writer, first),
            held: VecDeque::new(),
            ordered: limits::Ordered::default(),
            answers: Vec::new(),
        }
    }

    /// Takes the effects of some steps.
    pub(crate) fn perform(&mut self, effects: &mut Vec<Effect>) {
        let now = Instant::now();
        for effect in effects.drain(..) {
            match effect {
                Effect::Record(op) => {
                    self.commits.gather(&op, now);
                    self.counts.records += 1;
                }
                Effect::Persist(op) => {
                    self.commits.gather(&op, now);
                    self.commits.barrier = self.commits.next;
                    self.counts.records += 1;
                }
                Effect::Forget { container_id } => {
                    if let Ok(id) = containers::native_id(&container_id) {
                        self.native.forget(&id);
                        fail_point!("forget-ordered");
                    }
                }
                other if self.commits.must_wait(&other) => {
                    self.held.push_back((self.commits.barrier, other));
                }
                other => self.act(other),
            }
        }
    }

    /// Ends a round: orders leave (before the records of forgotten containers are deleted), and a
    /// commit begins when one is due. Says when to look again.
    pub(crate) fn flush(&mut self) -> Option<Instant> {
        self.native.flush();
        self.commits.advance(self.commits.barrier, Instant::now())
    }

    /// The writer answered.
    ///
    /// # Errors
    /// When nothing can be made durable any more.
    pub(crate) fn committed(&mut self, answer: Committed) -> Result<(), Error> {
        self.commits.under_way = false;
        match answer {
            Committed::Durable => {
                self.commits.durable += 1;
                self.counts.commits += 1;
                (self.counts.disk_full, self.counts.reserve_used) = (false, false);
                self.release();
                Ok(())
            }
            Committed::Reserved(error) => {
                self.commits.durable += 1;
                self.counts.commits += 1;
                if !self.counts.reserve_used {
                    tracing::error!(%error, "what must be durable goes into the reserve");
                }
                (self.counts.disk_full, self.counts.reserve_used) = (false, true);
                self.release();
                Ok(())
            }
            Committed::Full(changes, error) => {
                self.disk_full(changes, &error);
                Ok(())
            }
            Committed::Failed(error) => Err(error.into()),
        }
    }

    /// Performs what waited for commits that are durable now.
    fn release(&mut self) {
        let durable = self.commits.durable;
        while self.held.front().is_some_and(|(number, _)| *number <= durable) {
            if let Some((_, effect)) = self.held.pop_front() {
                self.act(effect);
            }
        }
    }

    /// There is no room in the reserve either: waits for space.
    fn disk_full(&mut self, changes: Vec<Change>, error: &store::StoreError) {
        if !self.counts.disk_full {
            tracing::error!(%error, "status updates wait until the disk has space again");
        }
        self.counts.disk_full = true;
        self.commits.stuck = Some((Instant::now() + FULL_RETRY, changes));
    }

    /// Another supervisor took the place of one that was lost.
    pub(crate) fn replace_native(&mut self, native: Native, noted: Change) {
        self.native.replace_native(native);
        self.commits.gathering.push(noted);
        self.commits.gathering_since.get_or_insert_with(Instant::now);
    }

    /// Makes the reserve, where there is room for it; has the store take over what is in it, if there
    /// is by now.
    pub(crate) fn keep_reserve(&mut self, bytes: u64) {
        self.commits.writer.make_reserve(bytes);
        if self.counts.reserve_used {
            self.commits.gathering_since.get_or_insert_with(Instant::now);
        }
    }

    /// Begins the last commit, lingering or not; false when there is nothing to wait for.
    pub(crate) fn finish(&mut self) -> bool {
        self.commits.pace = Pace::new(CROWD);
        self.commits.advance(u64::MAX, Instant::now());
        self.commits.under_way
    }

    /// Whether more may be taken that could have to wait for the disk.
    pub(crate) fn has_room(&self) -> bool {
        self.held.len() < HELD
    }

    /// Whether the core's registration outlives this process: the agent is known to the master, and
    /// an agent that is started after it comes back under the same id.
    pub(crate) fn is_admitted(&self, core: &agent_core::Agent) -> bool {
        core.is_registered() && self.admitted
    }

    /// How many effects wait for the disk.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    fn act(&mut self, effect: Effect) {
        match effect {
            Effect::Launch(launch) => self.launch(&launch),
            Effect::Look(look) => self.look(&look),
            Effect::Kill { container_id, grace } => {
                if let Some(end) = self.preparing.cancel(&container_id) {
                    self.answers.push(end);
                } else if let Ok(id) = containers::native_id(&container_id) {
                    self.native.kill(&id, grace);
                    fail_point!("kill-ordered");
                }
            }
            Effect::Resize { container_id, resources, limits } => {
                if let Ok(id) = containers::native_id(&container_id) {
                    let limits =
                        containers::allocated(&resources, &limits, self.policy.disk_limits);
                    self.native.update(&id, limits);
                }
            }
            Effect::ToExecutor { container_id, stream, event } => {
                if let Event::Launch(task) = &*event {
                    self.sandboxes.employed(&container_id, &task.task_id);
                }
                self.streams.send(&container_id, stream, &event);
                fail_point!("executor-told");
            }
            Effect::CloseExecutor { stream, .. } => self.streams.close(stream),
            Effect::GroupEnded { framework_id, executor_id } => {
                self.volumes.remove_group(&framework_id, &executor_id);
                fail_point!("group-put-away");
            }
            Effect::Connect { link } => {
                tracing::debug!(link, master = self.masters.current(), "connecting");
                let (masters, inbox) = (self.masters.clone(), self.inbox.clone());
                self.stream = Some(Stream::open(link, masters, inbox));
                self.admitted = false;
            }
            Effect::Disconnect { link } => {
                if self.stream.take_if(|stream| stream.number() == link).is_some() {
                    self.masters.failed();
                }
            }
            Effect::ToMaster { link, call } => {
                if let Some(stream) = self.stream.as_ref().filter(|s| s.number() == link) {
                    let is_update = matches!(call, AgentCall::Update { .. });
                    let is_end = matches!(call, AgentCall::ExecutorEnded { .. });
                    stream.send(call);
                    if is_update {
                        fail_point!("update-sent");
                    }
                    if is_end {
                        fail_point!("executor-end-told");
                    }
                }
            }
            Effect::CollectSandbox { container_id, path } => self.collect(container_id, &path),
            Effect::ApplyVolumes(order) => self.apply_volumes(*order),
            Effect::Note(note) => self.note(note),
            Effect::Persist(_) | Effect::Record(_) | Effect::Forget { .. } => {
                // `perform` keeps these to itself.
            }
        }
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::OtherCluster { own, found } => self.other_cluster(own, found),
            note => {
                if matches!(note, Note::Registered { .. }) {
                    (self.admitted, self.was_admitted) = (true, true);
                }
                say(&note);
            }
        }
    }

    /// At the start that is the operator's mistake, and for the operator to see at once. Later it
    /// is the masters' trouble, which tasks should survive.
    fn other_cluster(&mut self, own: ClusterId, found: ClusterId) {
        let (dir, master) = (self.layout.root.clone(), self.masters.current().to_owned());
        let error = Error::OtherCluster { dir, own, master, found };
        if self.was_admitted {
            tracing::error!("{error}");
        } else {
            self.failure = Some(error);
        }
    }

    fn apply_volumes(&self, order: VolumeOrder) {
        let (disk, inbox) = (self.volumes.clone(), self.inbox.clone());
        tokio::spawn(async move {
            let number = order.number;
            let begun = tokio::task::spawn_blocking(move || {
                let failed = disk.begin(&order);
                (disk, order, failed)
            });
            // It only ends early when the agent does; its master will say it all anew.
            let Ok((disk, order, (unmade, mut undeleted))) = begun.await else { return };
            let _ = inbox.send(Input::VolumesMade { number, failures: unmade }).await;
            for failure in disk.finish(order).await {
                if !undeleted.iter().any(|f| (&f.role, &f.id) == (&failure.role, &failure.id)) {
                    undeleted.push(failure);
                }
            }
            let _ = inbox.send(Input::VolumesDeleted { number, failures: undeleted }).await;
        });
    }

    fn collect(&mut self, container_id: ContainerId, path: &str) {
        fail_point!("collect-begins");
        self.sandboxes.removed(&container_id);
        self.counts.sandboxes_collected += 1;
        let (root, path) = (self.layout.sandboxes.clone(), Path::new(path).to_owned());
        let inbox = self.inbox.clone();
        tokio::spawn(async move {
            let removal = tokio::task::spawn_blocking({
                let path = path.clone();
                move || crate::sandbox::gc::remove(&root, &path)
            });
            let input = match removal.await {
                Ok(Ok(())) => Input::SandboxCollected { container_id },
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                    Input::SandboxCollected { container_id }
                }
                Ok(Err(error)) => {
                    tracing::warn!(path = %path.display(), %error, "a sandbox could not be removed");
                    Input::SandboxCollectFailed { container_id }
                }
                Err(_) => Input::SandboxCollectFailed { container_id },
            };
            fail_point!("sandbox-removed");
            // The server may have ended meanwhile; the record is still there at the next start.
            let _ = inbox.send(input).await;
        });
    }
}

#[cfg(test)]
mod tests;
