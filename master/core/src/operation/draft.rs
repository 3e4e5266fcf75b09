//! The changes of one call to what an agent has, before they are facts.
//!
//! A call may have a thousand operations, and the agent's holdings are one fact, and one message:
//! they are written and told once, when the call is over. A draft lives within one step; whoever
//! makes one gives it to `settle` before anything is said that relies on it.

use super::volumes::{VolumeKey, volume_key};
use super::weight::{Weight, by_role};
use crate::registry::{KnownOperation, is_changed};
use crate::table::{AgentOrd, FrameworkOrd};
use proto::{Conversion, OperationId, Piece, ResourceChange, Resources, Role, StatusUuid};
use std::collections::{BTreeMap, BTreeSet};

/// What became of an operation.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is done, or its agent has to do it.
    Made(StatusUuid, KnownOperation),
    /// It makes no sense, or is not possible.
    Refused(FrameworkOrd, Option<OperationId>, String),
}

/// What is reserved and made on an agent weighs so much after a change.
#[derive(Debug)]
pub(super) struct After {
    pub(super) all: Weight,
    /// That of the roles which the change touches.
    pub(super) roles: BTreeMap<Role, Weight>,
}

/// Changes of one agent that are noted and not yet facts.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) agent: AgentOrd,
    /// What there is now weighs so much.
    pub(super) weight: Weight,
    /// What of it is of which role.
    pub(super) roles: BTreeMap<Role, Weight>,
    /// The volumes that there are now.
    pub(super) volumes: BTreeSet<VolumeKey>,
    /// Destroyed volumes whose content may still be there, oldest first.
    pub(super) doomed: Vec<Piece>,
    pub(super) doomed_keys: BTreeSet<VolumeKey>,
    /// What became of the operations, in their order.
    pub(super) outcomes: Vec<Outcome>,
    /// Whether something was taken and put there.
    pub(super) converted: bool,
    /// Whether the agent confirmed that something is deleted.
    pub(super) confirmed: bool,
    /// Whether the agent has to be told of its volumes.
    pub(super) tells: bool,
}

impl Draft {
    /// Of an agent that has all this.
    pub(super) fn new(agent: AgentOrd, total: &Resources, doomed: Vec<Piece>) -> Self {
        let changed = total.pieces().iter().filter(|piece| is_changed(piece));
        let held = changed.chain(&doomed);
        Self {
            agent,
            weight: Weight::of(held.clone()),
            roles: by_role(held),
            volumes: total.pieces().iter().filter_map(volume_key).collect(),
            doomed_keys: doomed.iter().filter_map(volume_key).collect(),
            doomed,
            outcomes: Vec::new(),
            converted: false,
            confirmed: false,
            tells: false,
        }
    }

    /// Notes an operation that is refused: its framework is told when its turn comes.
    pub(crate) fn refuse(&mut self, by: FrameworkOrd, id: Option<OperationId>, problem: String) {
        self.outcomes.push(Outcome::Refused(by, id, problem));
    }

    /// What it weighs after a change of what there is: only the pieces that it touches are looked
    /// at, as there may be many others.
    pub(super) fn weight_after(&self, total: &Resources, conversion: &Conversion) -> After {
        let consumed = conversion.consumed.filtered(is_changed);
        let converted = conversion.converted.filtered(is_changed);
        let (mut seen, mut here) = (BTreeSet::new(), Resources::new());
        for piece in consumed.pieces().iter().chain(converted.pieces()) {
            if seen.insert((&piece.name, &piece.flavor)) {
                let own = total.of_flavor(&piece.name, &piece.flavor);
                here.add(&own.iter().cloned().collect());
            }
        }
        let (before, before_by_role) = (Weight::of(here.pieces()), by_role(here.pieces()));
        if here.subtract(&consumed).is_ok() {
            here.add(&converted);
        }
        let after_by_role = by_role(here.pieces());
        let of = |roles: &BTreeMap<Role, Weight>, role: &Role| {
            roles.get(role).copied().unwrap_or_default()
        };
        let weigh = |role: &Role| {
            let others = of(&self.roles, role).minus(of(&before_by_role, role));
            (role.clone(), others.plus(of(&after_by_role, role)))
        };
        let roles = before_by_role.keys().chain(after_by_role.keys()).map(weigh).collect();
        After { all: self.weight.minus(before).plus(Weight::of(here.pieces())), roles }
    }

    /// Notes what a change does to the volumes, and what all weighs after it.
    pub(super) fn note(&mut self, change: &ResourceChange, after: &After) {
        self.weight = after.all;
        self.roles.extend(after.roles.iter().map(|(role, weight)| (role.clone(), *weight)));
        match change {
            ResourceChange::Create { volumes } => {
                self.volumes.extend(volumes.pieces().iter().filter_map(volume_key));
            }
            ResourceChange::Destroy { volumes } => {
                for key in volumes.pieces().iter().filter_map(volume_key) {
                    self.volumes.remove(&key);
                    self.doomed_keys.insert(key);
                }
                self.weight = self.weight.plus(Weight::of(volumes.pieces()));
                for (role, weight) in by_role(volumes.pieces()) {
                    let held = self.roles.entry(role).or_default();
                    *held = held.plus(weight);
                }
                self.doomed.extend(volumes.pieces().iter().cloned());
            }
            ResourceChange::Reserve { .. }
            | ResourceChange::Unreserve { .. }
            | ResourceChange::Grow { .. }
            | ResourceChange::Shrink { .. } => {}
        }
    }
}
