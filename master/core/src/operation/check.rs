//! Whether a change of an agent's resources makes sense: the rules of Apache Mesos, each refusal
//! with what it is about.

use super::draft::{After, Draft};
use super::volumes::volume_key;
use super::weight::reservation_bytes;
use crate::state::Master;
use crate::table::FrameworkOrd;
use proto::{
    Capability, ChangeInvalid, Conversion, DiskKind, OperationId, Piece, Reservation,
    ReservationKind, ResourceChange, ResourceOperation, Resources, Role, Shortfall, VolumeId,
};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Why a change of resources is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeRefused {
    /// It makes no sense, whatever there is.
    Invalid(Box<ChangeInvalid>),
    /// An operation of this id is under way, or not acknowledged.
    IdInUse(OperationId),
    /// Its resources say another role than its offers.
    AllocationRole {
        /// What it says.
        said: Role,
        /// Whose the offers are.
        offers: Role,
    },
    /// A framework reserves for the role of its offers alone.
    ReservationRole {
        /// For whom.
        reserved: Role,
        /// Whose the offers are.
        offers: Role,
    },
    /// A framework with a principal reserves and creates in its own name.
    Principal {
        /// The name given.
        said: Option<Arc<str>>,
        /// The framework's.
        own: Arc<str>,
    },
    /// More than one reservation on a resource, and the framework does not understand that.
    RefinementMissing,
    /// A shared volume, and the framework does not understand that.
    SharedMissing,
    /// A source whose reservations differ among themselves, or a target whose do.
    MixedReservations,
    /// A reservation of the agent's configuration would be taken away.
    StaticSource(Role),
    /// A volume says where it is mounted.
    MountMissing(VolumeId),
    /// It is mounted below the sandbox, and can be written.
    MountWrong {
        /// The volume.
        volume: VolumeId,
        /// Where it was to be mounted.
        container_path: Arc<str>,
    },
    /// Volumes are made on file systems.
    DiskNotUsable(VolumeId),
    /// The role has a volume of this id on the agent.
    VolumeKnown(VolumeId),
    /// A volume of this id was destroyed, and the agent has not said that its content is gone.
    VolumeDoomed(VolumeId),
    /// A task uses the volume.
    VolumeInUse(Box<str>),
    /// So many pieces are reserved or made on one agent that no more are taken.
    TooManyPieces {
        /// How many there would be.
        pieces: usize,
        /// How many may be.
        limit: usize,
        /// The role that has most of them now, and how many.
        most: Option<(Role, usize)>,
    },
    /// A role has so many pieces on one agent that it gets no more.
    TooManyOfRole {
        /// Which.
        role: Role,
        /// How many it would have.
        pieces: usize,
        /// How many it may.
        limit: usize,
    },
    /// What a role has on one agent takes so many bytes that it gets no more.
    RoleTooLarge {
        /// Which.
        role: Role,
        /// How many it would take.
        bytes: usize,
        /// How many it may.
        limit: usize,
    },
    /// What is reserved and made on one agent takes so many bytes that no more is taken.
    HoldingsTooLarge {
        /// How many it would take.
        bytes: usize,
        /// How many it may.
        limit: usize,
    },
    /// The labels and the principal of one reservation are too long.
    ReservationTooLarge {
        /// Bytes of them.
        bytes: usize,
        /// How many may be.
        limit: usize,
    },
    /// Not all of it is there.
    NotThere(Box<NotThere>),
}

/// More was to be changed than there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotThere {
    /// What was to be changed.
    pub wanted: Resources,
    /// What there is.
    pub available: Resources,
    /// The first piece that is short.
    pub short: Shortfall,
}

/// Of more pieces a sentence says their number only: a call has a thousand operations, and each may
/// be refused.
const TOLD: usize = 20;

impl fmt::Display for NotThere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brief = |resources: &Resources| match resources.pieces().len() {
            0..=TOLD => resources.to_string(),
            many => format!("the {many} pieces"),
        };
        let (wanted, available) = (brief(&self.wanted), brief(&self.available));
        write!(f, "{wanted} is not all in {available}: {}", self.short)
    }
}

impl ChangeRefused {
    /// Whether the same could be done another time.
    pub fn is_conflict(&self) -> bool {
        matches!(
            self,
            Self::NotThere(_)
                | Self::VolumeInUse(_)
                | Self::VolumeDoomed(_)
                | Self::TooManyPieces { .. }
                | Self::TooManyOfRole { .. }
                | Self::RoleTooLarge { .. }
                | Self::HoldingsTooLarge { .. }
        )
    }
}

impl fmt::Display for ChangeRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said_by = |said: &Option<Arc<str>>| match said {
            Some(said) => format!("'{said}'"),
            None => "nobody".to_owned(),
        };
        match self {
            Self::Invalid(invalid) => write!(f, "{invalid}"),
            Self::IdInUse(id) => {
                write!(f, "operation {id} is known: its id is free once it is acknowledged")
            }
            Self::AllocationRole { said, offers } => {
                write!(f, "resources are allocated to role '{said}', the offers to '{offers}'")
            }
            Self::ReservationRole { reserved, offers } => write!(
                f,
                "resources are reserved for role '{reserved}', but offered to role '{offers}'"
            ),
            Self::Principal { said, own } => {
                write!(f, "it is in the name of {}, the framework is '{own}'", said_by(said))
            }
            Self::RefinementMissing => f.write_str(
                "refined reservations need the framework's capability RESERVATION_REFINEMENT",
            ),
            Self::SharedMissing => {
                f.write_str("shared volumes need the framework's capability SHARED_RESOURCES")
            }
            Self::MixedReservations => f.write_str(
                "source and resources of one RESERVE must each have the same reservations throughout",
            ),
            Self::StaticSource(role) => write!(
                f,
                "the reservation for role '{role}' is of the agent's configuration and stays"
            ),
            Self::MountMissing(id) => write!(f, "volume {id} does not say its container_path"),
            Self::MountWrong { volume, container_path } => write!(
                f,
                "volume {volume} must be mounted for writing at a relative path without '..', not \
                 at '{container_path}'"
            ),
            Self::DiskNotUsable(id) => {
                write!(f, "volume {id} cannot be made on a RAW or BLOCK disk")
            }
            Self::VolumeKnown(id) => {
                write!(f, "the role has a volume {id} on this agent; choose another id")
            }
            Self::VolumeDoomed(id) => write!(
                f,
                "a volume {id} was destroyed and the agent has not deleted it yet; try again, or \
                 choose another id"
            ),
            Self::VolumeInUse(volume) => write!(f, "{volume} is used by a task"),
            Self::TooManyPieces { .. }
            | Self::TooManyOfRole { .. }
            | Self::RoleTooLarge { .. }
            | Self::HoldingsTooLarge { .. }
            | Self::ReservationTooLarge { .. } => self.fmt_bounds(f),
            Self::NotThere(not_there) => not_there.fmt(f),
        }
    }
}

impl ChangeRefused {
    /// The words for limits.
    fn fmt_bounds(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyPieces { pieces, limit, most } => {
                write!(
                    f,
                    "the agent would have {pieces} reserved pieces and volumes, {limit} may be: \
                     reserve in fewer and larger pieces"
                )?;
                match most {
                    Some((role, own)) => write!(f, " (role '{role}' has {own} of them)"),
                    None => Ok(()),
                }
            }
            Self::TooManyOfRole { role, pieces, limit } => write!(
                f,
                "role '{role}' would have {pieces} reserved pieces and volumes on the agent, \
                 {limit} may be of one role: reserve in fewer and larger pieces"
            ),
            Self::RoleTooLarge { role, bytes, limit } => write!(
                f,
                "what role '{role}' has on the agent would take {bytes} bytes, {limit} may be \
                 taken for one role: reserve in fewer pieces, with fewer or shorter labels"
            ),
            Self::HoldingsTooLarge { bytes, limit } => write!(
                f,
                "the agent's reservations and volumes would take {bytes} bytes, {limit} may be \
                 taken: reserve in fewer pieces, with fewer or shorter labels"
            ),
            Self::ReservationTooLarge { bytes, limit } => write!(
                f,
                "labels and principal of one reservation take {bytes} bytes, {limit} may be taken"
            ),
            Self::Invalid(_)
            | Self::IdInUse(_)
            | Self::AllocationRole { .. }
            | Self::ReservationRole { .. }
            | Self::Principal { .. }
            | Self::RefinementMissing
            | Self::SharedMissing
            | Self::MixedReservations
            | Self::StaticSource(_)
            | Self::MountMissing(_)
            | Self::MountWrong { .. }
            | Self::DiskNotUsable(_)
            | Self::VolumeKnown(_)
            | Self::VolumeDoomed(_)
            | Self::VolumeInUse(_)
            | Self::NotThere(_) => Ok(()),
        }
    }
}

/// A change that makes sense.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) conversion: Conversion,
    /// What is reserved and made on the agent weighs so much then.
    pub(super) after: After,
}

type Checked<T> = Result<T, ChangeRefused>;

impl Master {
    /// Checks what a framework asks for in an ACCEPT against what remains of its offers.
    pub(crate) fn check_operation(
        &self,
        framework: FrameworkOrd,
        draft: &Draft,
        role: &Role,
        operation: &ResourceOperation,
        remaining: &Resources,
    ) -> Checked<Change> {
        let record = &self.frameworks[framework];
        if let Some(id) = &operation.id
            && self.operations.find(&record.id, id).is_some()
        {
            return Err(ChangeRefused::IdInUse(id.clone()));
        }
        if let Some(said) = operation.allocation_role.as_ref().filter(|said| *said != role) {
            let (said, offers) = (said.clone(), role.clone());
            return Err(ChangeRefused::AllocationRole { said, offers });
        }
        let change = self.check_change(draft, &operation.change)?;
        self.check_owner(framework, role, &operation.change)?;
        is_there(&change.conversion.consumed, remaining)?;
        Ok(change)
    }

    /// Checks a change against the agent, whoever asks for it. Whether what it consumes is at hand
    /// is another question.
    pub(crate) fn check_change(&self, draft: &Draft, change: &ResourceChange) -> Checked<Change> {
        let conversion =
            change.conversion().map_err(|invalid| ChangeRefused::Invalid(Box::new(invalid)))?;
        match change {
            ResourceChange::Reserve { resources, .. } => {
                let stacks = resources.pieces().iter().flat_map(|p| p.flavor.reservations());
                let (bytes, limit) =
                    (stacks.map(reservation_bytes).max(), self.options.reservation_bytes);
                if let Some(bytes) = bytes.filter(|bytes| *bytes > limit) {
                    return Err(ChangeRefused::ReservationTooLarge { bytes, limit });
                }
                check_source(&conversion.consumed, resources)?;
            }
            ResourceChange::Create { volumes } => check_new_volumes(draft, volumes)?,
            ResourceChange::Destroy { volumes } => {
                is_there(volumes, &self.agents[draft.agent].info.resources)?;
                let used = |piece: &&Piece| {
                    self.is_used(draft.agent, &Resources::from_iter([Piece::clone(piece)]))
                };
                if let Some(piece) = volumes.pieces().iter().find(used) {
                    let name = format!("{}{}", piece.name, piece.flavor);
                    return Err(ChangeRefused::VolumeInUse(name.into()));
                }
            }
            ResourceChange::Unreserve { .. }
            | ResourceChange::Grow { .. }
            | ResourceChange::Shrink { .. } => {}
        }
        let after = draft.weight_after(&self.agents[draft.agent].info.resources, &conversion);
        match change {
            ResourceChange::Reserve { .. } | ResourceChange::Create { .. } => {
                self.check_roles(draft, &after)?;
                self.check_room(draft, &after, 1)?;
            }
            // What only gives back is never refused for the role that gets it. What is left of a
            // piece is one more: for such there is as much room again, that nothing else may take.
            ResourceChange::Unreserve { .. } | ResourceChange::Shrink { .. } => {
                self.check_room(draft, &after, 2)?;
            }
            ResourceChange::Destroy { .. } | ResourceChange::Grow { .. } => {}
        }
        Ok(Change { conversion, after })
    }

    /// Whether the roles have room for what they would hold. One that is above its limit, as
    /// something was given back to it, may come to less.
    fn check_roles(&self, draft: &Draft, after: &After) -> Checked<()> {
        for (role, after) in &after.roles {
            let before = draft.roles.get(role).copied().unwrap_or_default();
            let (pieces, limit) = (after.pieces, self.options.role_holdings);
            if pieces > limit && pieces >= before.pieces {
                return Err(ChangeRefused::TooManyOfRole { role: role.clone(), pieces, limit });
            }
            let (bytes, limit) = (after.bytes, self.options.role_holdings_bytes);
            if bytes > limit && bytes >= before.bytes {
                return Err(ChangeRefused::RoleTooLarge { role: role.clone(), bytes, limit });
            }
        }
        Ok(())
    }

    /// Whether the agent has room for what it would hold: `times` its limits.
    fn check_room(&self, draft: &Draft, after: &After, times: usize) -> Checked<()> {
        let (pieces, limit) = (after.all.pieces, self.options.agent_holdings * times);
        if pieces > limit && pieces >= draft.weight.pieces {
            let most = draft.roles.iter().max_by_key(|(_, weight)| weight.pieces);
            let most = most.map(|(role, weight)| (role.clone(), weight.pieces));
            return Err(ChangeRefused::TooManyPieces { pieces, limit, most });
        }
        let (bytes, limit) = (after.all.bytes, self.options.agent_holdings_bytes * times);
        if bytes > limit && bytes >= draft.weight.bytes {
            return Err(ChangeRefused::HoldingsTooLarge { bytes, limit });
        }
        Ok(())
    }

    /// What frameworks may not do, and operators may.
    fn check_owner(
        &self,
        framework: FrameworkOrd,
        role: &Role,
        change: &ResourceChange,
    ) -> Checked<()> {
        let record = &self.frameworks[framework];
        let made = match change {
            ResourceChange::Reserve { resources, .. } => resources,
            ResourceChange::Create { volumes } => volumes,
            ResourceChange::Unreserve { .. }
            | ResourceChange::Destroy { .. }
            | ResourceChange::Grow { .. }
            | ResourceChange::Shrink { .. } => return Ok(()),
        };
        for piece in made.pieces() {
            let stack = piece.flavor.reservations();
            if stack.len() > 1 && !record.has(Capability::ReservationRefinement) {
                return Err(ChangeRefused::RefinementMissing);
            }
            if piece.flavor.is_shared() && !record.has(Capability::SharedResources) {
                return Err(ChangeRefused::SharedMissing);
            }
            let said = match (piece.flavor.volume(), stack.last()) {
                (Some(volume), _) => &volume.principal,
                (None, Some(last)) if last.role != *role => {
                    let (reserved, offers) = (last.role.clone(), role.clone());
                    return Err(ChangeRefused::ReservationRole { reserved, offers });
                }
                (None, Some(last)) => &last.principal,
                (None, None) => continue,
            };
            if let Some(own) = record.info.principal.as_ref()
                && said.as_ref() != Some(own)
            {
                let (said, own) = (said.clone(), own.clone());
                return Err(ChangeRefused::Principal { said, own });
            }
        }
        Ok(())
    }
}

fn check_new_volumes(draft: &Draft, volumes: &Resources) -> Checked<()> {
    let mut new = BTreeSet::new();
    for piece in volumes.pieces() {
        let Some(key) = volume_key(piece) else { continue };
        let id = || key.1.clone();
        let disk = piece.flavor.disk();
        let Some(mount) = disk.and_then(|disk| disk.mount.as_ref()) else {
            return Err(ChangeRefused::MountMissing(id()));
        };
        let path = &*mount.container_path;
        let inside =
            !path.is_empty() && !path.starts_with('/') && path.split('/').all(|part| part != "..");
        if mount.read_only || !inside {
            let container_path = mount.container_path.clone();
            return Err(ChangeRefused::MountWrong { volume: id(), container_path });
        }
        let kind = disk.and_then(|disk| disk.source.as_ref()).map(|source| source.kind);
        if matches!(kind, Some(DiskKind::Raw | DiskKind::Block)) {
            return Err(ChangeRefused::DiskNotUsable(id()));
        }
        if draft.doomed_keys.contains(&key) {
            return Err(ChangeRefused::VolumeDoomed(id()));
        }
        if draft.volumes.contains(&key) || !new.insert(key.clone()) {
            return Err(ChangeRefused::VolumeKnown(id()));
        }
    }
    Ok(())
}

/// Whether all of `wanted` is in `available`.
pub(crate) fn is_there(wanted: &Resources, available: &Resources) -> Checked<()> {
    match available.shortfall(wanted) {
        None => Ok(()),
        Some(short) => {
            let (wanted, available) = (wanted.clone(), available.clone());
            Err(ChangeRefused::NotThere(Box::new(NotThere { wanted, available, short })))
        }
    }
}

/// RESERVE replaces what the source's reservations do not share with the new ones: that must be the
/// same for all of it, and nothing of the agent's configuration may go.
fn check_source(source: &Resources, resources: &Resources) -> Checked<()> {
    let popped = resources.pop_reservation();
    if *source == popped {
        return Ok(());
    }
    let (Some(old), Some(new)) = (one_stack(source), one_stack(resources)) else {
        return Err(ChangeRefused::MixedReservations);
    };
    let shared = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let fixed = |reservation: &&Reservation| reservation.kind == ReservationKind::Static;
    let mut apart = old[shared..].iter().chain(&new[shared..]);
    if let Some(reservation) = apart.find(fixed) {
        return Err(ChangeRefused::StaticSource(reservation.role.clone()));
    }
    if let Some(piece) = source.pieces().iter().find(|piece| piece.flavor.volume().is_some()) {
        let invalid = Box::new(ChangeInvalid::IsVolume(piece.clone()));
        return Err(ChangeRefused::Invalid(invalid));
    }
    Ok(())
}

/// The reservations that all of the pieces have.
fn one_stack(resources: &Resources) -> Option<&[Reservation]> {
    let mut stacks = resources.pieces().iter().map(|piece| piece.flavor.reservations());
    let first = stacks.next()?;
    stacks.all(|stack| stack == first).then_some(first)
}
