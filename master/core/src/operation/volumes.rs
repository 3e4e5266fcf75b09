//! What an agent is told of its volumes, and what it answers.
//!
//! It is told of all volumes that are to be there and of those that are to be deleted, and only of
//! those: what was not named as destroyed is never deleted. A deletion that the agent confirms is no
//! fact any more. An operation that fails is undone as far as nobody uses what it made.

use super::draft::Draft;
use crate::effect::Effect;
use crate::registry::OperationEnd;
use crate::state::Master;
use crate::table::AgentOrd;
use proto::agent_link::{AgentEvent, VolumeFailure};
use proto::{
    Conversion, OperationState, Piece, ResourceChange, Resources, Role, StatusUuid, VolumeId,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What tells an agent's volumes apart.
pub(crate) type VolumeKey = (Role, VolumeId);

/// What tells this volume apart; nothing else has a key.
pub(crate) fn volume_key(piece: &Piece) -> Option<VolumeKey> {
    let role = piece.flavor.reserved_to()?;
    Some((role.clone(), piece.flavor.volume()?.id.clone()))
}

impl Master {
    /// The number of the newest message about volumes: greater than all of the masters before.
    pub(crate) fn volumes_sent(&self) -> u64 {
        (self.registry.epoch() << 32) + self.operations.volumes_sent
    }

    /// Tells an agent of its volumes, when they changed.
    pub(super) fn tell_volumes(&mut self, ord: AgentOrd, out: &mut Vec<Effect>) {
        let destroyed = self.doomed(ord);
        self.operations.volumes_sent += 1;
        let sequence = self.volumes_sent();
        let agent = &mut self.agents[ord];
        for key in destroyed.iter().filter_map(volume_key) {
            agent.dooming.entry(key).or_insert(sequence);
        }
        let here = self.operations.pending.get_mut(&agent.id);
        for awaited in here.into_iter().flat_map(BTreeMap::values_mut) {
            if awaited.sequence == 0 {
                awaited.sequence = sequence;
            }
        }
        let volumes = agent.info.resources.volumes().pieces().to_vec();
        self.send(ord, AgentEvent::Volumes { sequence, volumes, destroyed }, out);
    }

    /// Tells an agent on a new stream of its volumes, if it has any.
    pub(crate) fn tell_volumes_anew(&mut self, ord: AgentOrd, out: &mut Vec<Effect>) {
        let agent = &mut self.agents[ord];
        agent.dooming.clear();
        let is_volume = |piece: &Piece| piece.flavor.volume().is_some();
        let has_volumes = agent.info.resources.pieces().iter().any(is_volume);
        let here = self.operations.pending.get_mut(&agent.id);
        let mut awaits = false;
        for awaited in here.into_iter().flat_map(BTreeMap::values_mut) {
            awaited.sequence = 0;
            awaits = true;
        }
        if has_volumes || awaits || !self.doomed(ord).is_empty() {
            self.tell_volumes(ord, out);
        }
    }

    /// An agent did what it was told, but for what failed.
    pub(crate) fn volumes_applied(
        &mut self,
        ord: AgentOrd,
        sequence: u64,
        failures: Vec<VolumeFailure>,
        out: &mut Vec<Effect>,
    ) {
        self.counters.volume_failures += failures.len() as u64;
        let failed: BTreeMap<VolumeKey, Arc<str>> =
            failures.into_iter().map(|f| ((f.role, f.id), f.message)).collect();
        let mut draft = self.draft(ord);
        self.confirm_deletions(&mut draft, sequence, &failed);
        let here = self.operations.pending.get(&self.agents[ord].id);
        let told = |awaited: u64| awaited > 0 && awaited <= sequence;
        let mut answered: Vec<StatusUuid> = here
            .into_iter()
            .flatten()
            .filter(|(_, awaited)| told(awaited.sequence))
            .map(|(uuid, _)| *uuid)
            .collect();
        // What a volume grew by is undone before the volume is.
        answered
            .sort_by_key(|uuid| self.registry.operations()[uuid].operation.change.is_speculative());
        // What is undone may be withheld; the rest is again as soon as what is free is indexed.
        let mut freed = self.agents[ord].release();
        let mut ends = Vec::with_capacity(answered.len());
        for uuid in answered {
            let known = self.registry.operations()[&uuid].clone();
            let change = &known.operation.change;
            let Ok(conversion) = change.conversion() else { continue };
            if !change.is_speculative() {
                freed |= self.let_go(ord, uuid, &conversion.converted);
            }
            let problems = problems_of(change, &failed);
            let end = if problems.is_empty() {
                OperationEnd { state: OperationState::Finished, message: None }
            } else {
                self.undo(&mut draft, change, conversion, out);
                let message = Some(Arc::from(problems.join("; ")));
                OperationEnd { state: OperationState::Failed, message }
            };
            ends.push((uuid, end));
        }
        if freed {
            self.index_free(ord);
            self.publisher.load(ord, self.now);
            self.touch(ord);
        }
        self.settle(draft, out);
        for (uuid, end) in ends {
            self.end_operation(uuid, end, out);
        }
    }

    /// What the agent has deleted is doomed no more.
    fn confirm_deletions(
        &mut self,
        draft: &mut Draft,
        sequence: u64,
        failed: &BTreeMap<VolumeKey, Arc<str>>,
    ) {
        let dooming = &mut self.agents[draft.agent].dooming;
        let before = draft.doomed.len();
        draft.doomed.retain(|piece| {
            let Some(key) = volume_key(piece) else { return false };
            let told = dooming.get(&key).is_some_and(|first| *first <= sequence);
            let stays = !told || failed.contains_key(&key);
            if !stays {
                dooming.remove(&key);
            }
            stays
        });
        draft.confirmed = draft.doomed.len() < before;
    }

    /// Undoes what an agent could not do. A volume that something uses stays, and so does one that
    /// was destroyed: the agent tries anew whenever it is told of its volumes.
    fn undo(
        &mut self,
        draft: &mut Draft,
        change: &ResourceChange,
        conversion: Conversion,
        out: &mut Vec<Effect>,
    ) {
        let ord = draft.agent;
        match change {
            ResourceChange::Create { volumes } => {
                self.rescind_holders(ord, volumes, out);
                for piece in volumes.pieces() {
                    let one = Resources::from_iter([piece.clone()]);
                    if self.is_used(ord, &one) || !self.agents[ord].free.contains(&one) {
                        continue;
                    }
                    let converted = one.without_volumes();
                    self.convert(draft, &Conversion { consumed: one, converted });
                    // Whatever of it is there.
                    draft.doomed.push(piece.clone());
                    draft.tells = true;
                }
            }
            ResourceChange::Grow { .. } | ResourceChange::Shrink { .. } => {
                let Conversion { consumed, converted } = conversion;
                if self.agents[ord].free.contains(&converted) {
                    let back = Conversion { consumed: converted, converted: consumed };
                    self.convert(draft, &back);
                    draft.tells = true;
                }
            }
            ResourceChange::Destroy { .. }
            | ResourceChange::Reserve { .. }
            | ResourceChange::Unreserve { .. } => {}
        }
    }

    /// Whether a task on the agent uses any of these volumes.
    pub(crate) fn is_used(&self, ord: AgentOrd, volumes: &Resources) -> bool {
        let used = self.agents[ord].used.pieces();
        let same = |own: &Piece, piece: &Piece| {
            let ids = own.flavor.volume().zip(piece.flavor.volume());
            ids.is_some_and(|(own, other)| own.id == other.id)
                && own.flavor.reserved_to() == piece.flavor.reserved_to()
        };
        volumes.pieces().iter().any(|piece| used.iter().any(|own| same(own, piece)))
    }
}

/// What the agent says of the volumes of an operation.
fn problems_of(change: &ResourceChange, failed: &BTreeMap<VolumeKey, Arc<str>>) -> Vec<String> {
    let problem = |piece: &Piece| {
        let key = volume_key(piece)?;
        let message = failed.get(&key)?;
        Some(format!("volume {} of role '{}': {message}", key.1, key.0))
    };
    volumes_of(change).pieces().iter().filter_map(problem).collect()
}

/// The volumes that a change is about, as the agent knows them.
fn volumes_of(change: &ResourceChange) -> Resources {
    match change {
        ResourceChange::Create { volumes } | ResourceChange::Destroy { volumes } => volumes.clone(),
        ResourceChange::Grow { volume, .. } | ResourceChange::Shrink { volume, .. } => {
            Resources::from_iter([volume.clone()])
        }
        ResourceChange::Reserve { .. } | ResourceChange::Unreserve { .. } => Resources::new(),
    }
}
