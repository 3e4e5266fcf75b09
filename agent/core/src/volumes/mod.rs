//! Persistent volumes: which there are to be, which are deleted, and which a task may use.
//!
//! The master says what is to be there; the shell makes and deletes directories. Content is deleted
//! only when the master names its volume, and never while a task that uses it lives. Launches wait
//! until the volumes that were named before them are made; a deletion holds up nothing. A volume
//! that was made once and is not there any more is never made anew: its content is missed, and who
//! wants to use it is told so.

mod claim;

pub(crate) use claim::Unusable;
pub use claim::{Mount, claim, mounts};

use crate::effect::{CheckpointOp, Effect, VolumeOrder, WantedVolume};
use crate::input::VolumesRecord;
use crate::state::{Agent, Phase, TaskKey};
use proto::agent_link::{AgentCall, AgentEvent, VolumeFailure};
use proto::{Piece, Role, VolumeId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

/// A persistent volume of one agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Volume {
    /// The role that it is reserved to.
    pub role: Role,
    /// Its id, unique within the role.
    pub id: VolumeId,
}

impl Volume {
    /// The volume that a piece is, if it is one that is reserved.
    pub fn of(piece: &Piece) -> Option<Self> {
        let (volume, role) = (piece.flavor.volume()?, piece.flavor.reserved_to()?);
        Some(Self { role: role.clone(), id: volume.id.clone() })
    }

    fn failure(&self, message: impl Into<Arc<str>>) -> VolumeFailure {
        VolumeFailure { role: self.role.clone(), id: self.id.clone(), message: message.into() }
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "volume {} of role {}", self.id, self.role)
    }
}

fn named(failure: &VolumeFailure) -> Volume {
    Volume { role: failure.role.clone(), id: failure.id.clone() }
}

/// How a volume stands that is to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The shell was asked to make it, or to see that it is there.
    Making,
    /// It is there.
    Ready,
    /// It could not be made, or is missed.
    Failed(Arc<str>),
}

/// What is known of this agent's volumes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Volumes {
    /// Those that were made once and not deleted since, as the checkpoint has it.
    on_record: BTreeSet<Volume>,
    /// All that are to be there; empty until the master has said so.
    known: BTreeMap<Volume, Standing>,
    /// The order whose volumes are not made yet: one at a time.
    making: Option<u64>,
    /// What the master said meanwhile and must not come before it, in order.
    waiting: VecDeque<AgentEvent>,
    /// Orders that are not answered.
    orders: BTreeMap<u64, Order>,
    /// Deletions that wait for the end of a task.
    blocked: Option<Blocked>,
    /// Those that were deleted, as long as the master's words name them because it has not heard
    /// that: a second deletion might find another volume of the same name.
    deleted: BTreeSet<Volume>,
    next: u64,
}

/// An order under way.
#[derive(Clone, Debug)]
struct Order {
    link: u64,
    sequence: u64,
    delete: Vec<Volume>,
    failures: Vec<VolumeFailure>,
    done: bool,
}

/// Deletions of the master's newest word that wait.
#[derive(Clone, Debug)]
struct Blocked {
    link: u64,
    sequence: u64,
    volumes: BTreeSet<Volume>,
    /// What else failed of it, to be said again.
    failures: Vec<VolumeFailure>,
}

impl Volumes {
    pub(crate) fn recovered(record: Option<VolumesRecord>) -> Self {
        let on_record = record.map(|record| record.volumes.into_iter().collect());
        Self { on_record: on_record.unwrap_or_default(), ..Self::default() }
    }

    /// The stream is gone, and with it what was said on it: the master will say it anew.
    pub(crate) fn unheard(&mut self) {
        self.waiting.clear();
        self.blocked = None;
    }

    /// The agent is another one from now on; answers to old orders mean nothing to it.
    pub(crate) fn leave(&mut self) {
        *self = Self { next: self.next, ..Self::default() };
    }

    pub(crate) fn standing(&self, volume: &Volume) -> Option<&Standing> {
        self.known.get(volume)
    }

    /// Of an order this failed: so it did for every later answer to the same word.
    fn failed(&mut self, number: u64, failed: &[VolumeFailure]) {
        let Some(order) = self.orders.get(&number) else { return };
        let word = (order.link, order.sequence);
        for (_, order) in self.orders.range_mut(number..) {
            if (order.link, order.sequence) == word {
                order.failures.extend_from_slice(failed);
            }
        }
        if let Some(blocked) = self.blocked.as_mut().filter(|b| (b.link, b.sequence) == word) {
            blocked.failures.extend_from_slice(failed);
        }
    }

    /// Volumes that the shell may be deleting at this moment.
    pub(crate) fn being_deleted(&self) -> impl Iterator<Item = &Volume> {
        self.orders.values().filter(|order| !order.done).flat_map(|order| &order.delete)
    }
}

impl Agent {
    /// Whether an event must wait for volumes that are being made: what launches, and what must
    /// not overtake a launch.
    pub(crate) fn waits_for_volumes(&self, event: &AgentEvent) -> bool {
        self.volumes.making.is_some()
            && match event {
                AgentEvent::Run { .. }
                | AgentEvent::RunByExecutors { .. }
                | AgentEvent::ShutdownExecutor { .. }
                | AgentEvent::Volumes { .. }
                | AgentEvent::ShutdownFramework { .. }
                | AgentEvent::UpdateFramework { .. } => true,
                AgentEvent::Kill { framework_id, task_id, .. } => {
                    self.task(&(framework_id.clone(), task_id.clone())).is_none()
                }
                AgentEvent::Registered { .. }
                | AgentEvent::Reregistered { .. }
                | AgentEvent::Refused { .. }
                | AgentEvent::Ping { .. }
                | AgentEvent::Acknowledge { .. }
                | AgentEvent::Message { .. } => false,
            }
    }

    /// Keeps an event until the volumes are made.
    pub(crate) fn postpone(&mut self, event: AgentEvent) {
        self.volumes.waiting.push_back(event);
    }

    /// The next event that waited, once nothing is being made.
    pub(crate) fn next_postponed(&mut self) -> Option<AgentEvent> {
        if self.volumes.making.is_some() { None } else { self.volumes.waiting.pop_front() }
    }

    /// The master says which volumes there are to be, and whose content is to be deleted.
    pub(crate) fn apply_volumes(
        &mut self,
        sequence: u64,
        volumes: &[Piece],
        destroyed: &[Piece],
        effects: &mut Vec<Effect>,
    ) {
        let mut failures = Vec::new();
        let wanted: BTreeMap<Volume, &Piece> =
            volumes.iter().filter_map(|piece| Some((Volume::of(piece)?, piece))).collect();
        let destroyed: BTreeSet<Volume> = destroyed.iter().filter_map(Volume::of).collect();
        let known = &mut self.volumes.deleted;
        known.retain(|volume| destroyed.contains(volume) && !wanted.contains_key(volume));
        let (delete, blocked) = self.deletable(&wanted, destroyed, &mut failures);
        self.volumes.known.retain(|volume, _| wanted.contains_key(volume));
        let make = self.missing_volumes(&wanted, &mut failures);
        let link = self.link.number();
        self.volumes.blocked = (!blocked.is_empty()).then(|| {
            let failures: Vec<_> =
                failures.iter().filter(|f| !blocked.contains(&named(f))).cloned().collect();
            Blocked { link, sequence, volumes: blocked, failures }
        });
        self.order_volumes(sequence, make, delete, failures, effects);
    }

    /// Of what is to be deleted: what can be now, and what waits for a task's end.
    fn deletable(
        &self,
        wanted: &BTreeMap<Volume, &Piece>,
        destroyed: BTreeSet<Volume>,
        failures: &mut Vec<VolumeFailure>,
    ) -> (Vec<Volume>, BTreeSet<Volume>) {
        let (mut delete, mut blocked) = (Vec::new(), BTreeSet::new());
        if destroyed.is_empty() {
            return (delete, blocked);
        }
        let used = self.volumes_in_use();
        for volume in destroyed {
            if wanted.contains_key(&volume) {
                // Whichever of the two is meant: content that is deleted does not come back.
                let message = "it is to be there and to be deleted at once: nothing was deleted";
                failures.push(volume.failure(message));
            } else if let Some(why) = self.keeps_from_deletion(&volume, &used) {
                failures.push(volume.failure(why));
                blocked.insert(volume);
            } else if !self.volumes.deleted.contains(&volume) {
                delete.push(volume);
            }
        }
        (delete, blocked)
    }

    fn keeps_from_deletion(
        &self,
        volume: &Volume,
        used: &BTreeMap<Volume, TaskKey>,
    ) -> Option<String> {
        if let Some((framework_id, task_id)) = used.get(volume) {
            return Some(format!("task {task_id} of framework {framework_id} uses it"));
        }
        // Never twice at a time: the second might find another volume of the same name.
        if self.volumes.being_deleted().any(|known| known == volume) {
            return Some("it is being deleted".to_owned());
        }
        let unknown = !self.strays.is_empty();
        unknown.then(|| "a container of which nothing is known is still ending".to_owned())
    }

    /// The volumes that living tasks use, each with one of them.
    pub(crate) fn volumes_in_use(&self) -> BTreeMap<Volume, TaskKey> {
        let mut used = BTreeMap::new();
        for (framework_id, framework) in &self.frameworks {
            for (task_id, task) in &framework.tasks {
                let living = task.launched.as_ref().filter(|_| task.phase != Phase::Ended);
                let Some(launched) = living else { continue };
                for volume in launched.info.resources.pieces().iter().filter_map(Volume::of) {
                    used.insert(volume, (framework_id.clone(), task_id.clone()));
                }
            }
        }
        used
    }

    /// Of what is to be there, what the shell must make or look for.
    fn missing_volumes(
        &mut self,
        wanted: &BTreeMap<Volume, &Piece>,
        failures: &mut Vec<VolumeFailure>,
    ) -> Vec<WantedVolume> {
        let mut make = Vec::new();
        for (volume, piece) in wanted {
            if self.volumes.known.get(volume) == Some(&Standing::Ready) {
                continue;
            }
            if piece.flavor.disk().is_some_and(|disk| disk.source.is_some()) {
                let message: Arc<str> = "volumes on a disk of their own cannot be made here".into();
                failures.push(volume.failure(message.clone()));
                self.volumes.known.insert(volume.clone(), Standing::Failed(message));
                continue;
            }
            self.volumes.known.insert(volume.clone(), Standing::Making);
            make.push(WantedVolume {
                made_before: self.volumes.on_record.contains(volume),
                shared: piece.flavor.is_shared(),
                volume: volume.clone(),
            });
        }
        make
    }

    fn order_volumes(
        &mut self,
        sequence: u64,
        make: Vec<WantedVolume>,
        delete: Vec<Volume>,
        failures: Vec<VolumeFailure>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(agent_id) = self.agent_id().cloned() else { return };
        self.volumes.next += 1;
        let number = self.volumes.next;
        let done = make.is_empty() && delete.is_empty();
        let link = self.link.number();
        let order = Order { link, sequence, delete: delete.clone(), failures, done };
        self.volumes.orders.insert(number, order);
        if done {
            self.answer_for_volumes(effects);
            return;
        }
        if !make.is_empty() {
            self.volumes.making = Some(number);
        }
        let order = VolumeOrder { number, agent_id, make, delete };
        effects.push(Effect::ApplyVolumes(Box::new(order)));
    }

    /// The volumes of an order are made, but for these.
    pub(crate) fn volumes_made(
        &mut self,
        number: u64,
        failed: Vec<VolumeFailure>,
        effects: &mut Vec<Effect>,
    ) {
        if self.volumes.making != Some(number) {
            return;
        }
        self.volumes.making = None;
        for failure in &failed {
            if let Some(standing) = self.volumes.known.get_mut(&named(failure)) {
                *standing = Standing::Failed(failure.message.clone());
            }
        }
        let mut news = false;
        for (volume, standing) in &mut self.volumes.known {
            if *standing == Standing::Making {
                *standing = Standing::Ready;
                news |= self.volumes.on_record.insert(volume.clone());
            }
        }
        self.volumes.failed(number, &failed);
        if news {
            self.record_volumes(effects);
        }
    }

    /// An order is carried out; these could not be deleted.
    pub(crate) fn volumes_deleted(
        &mut self,
        number: u64,
        failed: Vec<VolumeFailure>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(order) = self.volumes.orders.get_mut(&number) else { return };
        order.done = true;
        let stays = |volume: &&Volume| failed.iter().any(|failure| named(failure) == **volume);
        let gone: Vec<Volume> =
            order.delete.iter().filter(|volume| !stays(volume)).cloned().collect();
        self.volumes.failed(number, &failed);
        let known = self.volumes.on_record.len();
        self.volumes.on_record.retain(|volume| !gone.contains(volume));
        if self.volumes.on_record.len() < known {
            self.record_volumes(effects);
        }
        self.gone_meanwhile(&gone, effects);
        self.volumes.deleted.extend(gone);
        self.answer_for_volumes(effects);
    }

    /// Of what was to be deleted while it was being deleted, this is gone by now: no failure of a
    /// word that is not answered, and another answer to one that is.
    fn gone_meanwhile(&mut self, gone: &[Volume], effects: &mut Vec<Effect>) {
        let Some(mut blocked) = self.volumes.blocked.take() else { return };
        let waiting = blocked.volumes.len();
        blocked.volumes.retain(|volume| !gone.contains(volume));
        let (link, sequence) = (blocked.link, blocked.sequence);
        let mut unanswered = false;
        for order in self.volumes.orders.values_mut() {
            if (order.link, order.sequence) == (link, sequence) {
                order.failures.retain(|failure| !gone.contains(&named(failure)));
                unanswered = true;
            }
        }
        let mut failures = blocked.failures.clone();
        let used = self.volumes_in_use();
        for volume in &blocked.volumes {
            let why = self.keeps_from_deletion(volume, &used);
            failures.push(volume.failure(why.unwrap_or_else(|| "it waits".to_owned())));
        }
        let again = blocked.volumes.len() < waiting && !unanswered && self.link.is_current(link);
        self.volumes.blocked = Some(blocked).filter(|blocked| !blocked.volumes.is_empty());
        if again {
            self.order_volumes(sequence, Vec::new(), Vec::new(), failures, effects);
        }
    }

    fn record_volumes(&self, effects: &mut Vec<Effect>) {
        let Some(agent_id) = self.agent_id().cloned() else { return };
        let volumes = self.volumes.on_record.iter().cloned().collect();
        let record = VolumesRecord { agent_id, volumes };
        effects.push(Effect::Persist(CheckpointOp::PutVolumes(record)));
    }

    /// Answers for the orders that are carried out, in their order.
    fn answer_for_volumes(&mut self, effects: &mut Vec<Effect>) {
        while let Some(first) = self.volumes.orders.first_entry()
            && first.get().done
        {
            let Order { link, sequence, failures, .. } = first.remove();
            if self.link.is_current(link) {
                let call = AgentCall::VolumesApplied { sequence, failures };
                effects.push(Effect::ToMaster { link, call });
            }
        }
    }

    /// Deletes what waited for a task that has ended meanwhile, and answers once more.
    pub(crate) fn unblock_volumes(&mut self, effects: &mut Vec<Effect>) {
        let Some(blocked) = &self.volumes.blocked else { return };
        let used = self.volumes_in_use();
        let free = |volume: &&Volume| self.keeps_from_deletion(volume, &used).is_none();
        let delete: Vec<Volume> = blocked.volumes.iter().filter(free).cloned().collect();
        if delete.is_empty() {
            return;
        }
        let Some(mut blocked) = self.volumes.blocked.take() else { return };
        blocked.volumes.retain(|volume| !delete.contains(volume));
        let mut failures = blocked.failures.clone();
        for volume in &blocked.volumes {
            let why = self.keeps_from_deletion(volume, &used).unwrap_or_default();
            failures.push(volume.failure(why));
        }
        let sequence = blocked.sequence;
        let current = self.link.is_current(blocked.link);
        if !blocked.volumes.is_empty() {
            self.volumes.blocked = Some(blocked);
        }
        if current {
            self.order_volumes(sequence, Vec::new(), delete, failures, effects);
        }
    }
}

#[cfg(test)]
mod tests;
