//! Operations on offered resources beyond launching: reservations and volumes, and what becomes of
//! them.

use crate::resources::{Piece, Resources, Value};
use crate::{AgentId, OperationId, Role, StatusUuid};
use std::fmt;
use std::sync::Arc;

/// A change of an agent's resources, as a framework asks for it in an ACCEPT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceOperation {
    /// Set by a framework that wants to be told what became of it.
    pub id: Option<OperationId>,
    /// The role that its resources say they are allocated to; absent means the offer's.
    pub allocation_role: Option<Role>,
    /// What to change.
    pub change: ResourceChange,
}

/// How resources are changed; amounts stay the same but for what a volume grows or shrinks by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceChange {
    /// Keep resources for a role.
    Reserve {
        /// What they are now; empty means `resources` without their last reservation.
        source: Resources,
        /// What they become.
        resources: Resources,
    },
    /// Take the last reservation away.
    Unreserve {
        /// What they are now.
        resources: Resources,
    },
    /// Make persistent volumes.
    Create {
        /// The volumes.
        volumes: Resources,
    },
    /// Delete persistent volumes and what is in them.
    Destroy {
        /// The volumes.
        volumes: Resources,
    },
    /// Add space to a volume.
    Grow {
        /// The volume as it is.
        volume: Piece,
        /// The space.
        addition: Piece,
    },
    /// Take space from a volume.
    Shrink {
        /// The volume as it is.
        volume: Piece,
        /// How much, in thousandths of a MB.
        subtract_milli: u64,
    },
}

/// What a change takes away and what it puts there instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversion {
    /// Taken away.
    pub consumed: Resources,
    /// Put there.
    pub converted: Resources,
}

/// Why a change makes no sense, whatever the resources it is applied to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeInvalid {
    /// It changes nothing.
    Empty,
    /// RESERVE or UNRESERVE of something that has no reservation.
    NotReserved(Piece),
    /// RESERVE or UNRESERVE of something whose last reservation is static.
    Static(Piece),
    /// Revocable resources cannot be kept.
    Revocable(Piece),
    /// RESERVE or UNRESERVE of a persistent volume.
    IsVolume(Piece),
    /// It is no persistent volume.
    NotVolume(Piece),
    /// RESERVE from a source of another amount.
    SourceDiffers,
    /// A shared volume, or one that is a disk of its own, cannot grow or shrink.
    NotResizable(Piece),
    /// What is added is not space of the volume's kind.
    AdditionDiffers(Piece),
    /// It would take all that there is, or nothing.
    Shrink {
        /// The volume's size in thousandths of a MB.
        size: u64,
        /// What was to be taken.
        subtract: u64,
    },
}

impl fmt::Display for ChangeInvalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is = |f: &mut fmt::Formatter<'_>, piece: &Piece, what: &str| {
            write!(f, "{}{} {what}", piece.name, piece.flavor)
        };
        match self {
            Self::Empty => f.write_str("no resources are named"),
            Self::NotReserved(piece) => is(f, piece, "is not reserved"),
            Self::Static(piece) => is(f, piece, "is reserved by the agent's configuration"),
            Self::Revocable(piece) => is(f, piece, "is revocable"),
            Self::IsVolume(piece) => is(f, piece, "is a persistent volume"),
            Self::NotVolume(piece) => is(f, piece, "is not a persistent volume"),
            Self::SourceDiffers => f.write_str("source and resources differ in their amounts"),
            Self::NotResizable(piece) => is(f, piece, "can neither grow nor shrink"),
            Self::AdditionDiffers(piece) => is(f, piece, "is not space of the volume's kind"),
            Self::Shrink { size, subtract } => {
                let (size, subtract) = (*size as f64 / 1000.0, *subtract as f64 / 1000.0);
                write!(f, "a volume of {size} MB cannot shrink by {subtract} MB")
            }
        }
    }
}

impl ResourceChange {
    /// The operation's name in an ACCEPT.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reserve { .. } => "RESERVE",
            Self::Unreserve { .. } => "UNRESERVE",
            Self::Create { .. } => "CREATE",
            Self::Destroy { .. } => "DESTROY",
            Self::Grow { .. } => "GROW_VOLUME",
            Self::Shrink { .. } => "SHRINK_VOLUME",
        }
    }

    /// The name of the operator's call that does the same.
    pub fn call_name(&self) -> &'static str {
        match self {
            Self::Reserve { .. } => "RESERVE_RESOURCES",
            Self::Unreserve { .. } => "UNRESERVE_RESOURCES",
            Self::Create { .. } => "CREATE_VOLUMES",
            Self::Destroy { .. } => "DESTROY_VOLUMES",
            Self::Grow { .. } => "GROW_VOLUME",
            Self::Shrink { .. } => "SHRINK_VOLUME",
        }
    }

    /// Whether the result may be used by later operations of the same ACCEPT. Volumes that grow or
    /// shrink are back only when the agent says so.
    pub fn is_speculative(&self) -> bool {
        !matches!(self, Self::Grow { .. } | Self::Shrink { .. })
    }

    /// What it takes and what it puts there.
    ///
    /// # Errors
    /// When the change makes no sense whatever there is to be changed.
    pub fn conversion(&self) -> Result<Conversion, ChangeInvalid> {
        match self {
            Self::Reserve { source, resources } => {
                reserve_checks(resources)?;
                let popped = resources.pop_reservation();
                if !source.is_empty() && source.to_unreserved() != resources.to_unreserved() {
                    return Err(ChangeInvalid::SourceDiffers);
                }
                let consumed = if source.is_empty() { popped } else { source.clone() };
                Ok(Conversion { consumed, converted: resources.clone() })
            }
            Self::Unreserve { resources } => {
                reserve_checks(resources)?;
                let converted = resources.pop_reservation();
                Ok(Conversion { consumed: resources.clone(), converted })
            }
            Self::Create { volumes } => {
                let consumed = volume_checks(volumes)?.without_volumes();
                Ok(Conversion { consumed, converted: volumes.clone() })
            }
            Self::Destroy { volumes } => {
                let converted = volume_checks(volumes)?.without_volumes();
                Ok(Conversion { consumed: volumes.clone(), converted })
            }
            Self::Grow { volume, addition } => grow(volume, addition),
            Self::Shrink { volume, subtract_milli } => shrink(volume, *subtract_milli),
        }
    }
}

fn reserve_checks(resources: &Resources) -> Result<(), ChangeInvalid> {
    use crate::ReservationKind;
    if resources.is_empty() {
        return Err(ChangeInvalid::Empty);
    }
    for piece in resources.pieces() {
        let wrong = match piece.flavor.reservations().last() {
            None => ChangeInvalid::NotReserved,
            Some(last) if last.kind == ReservationKind::Static => ChangeInvalid::Static,
            Some(_) if piece.flavor.revocable => ChangeInvalid::Revocable,
            Some(_) if piece.flavor.volume().is_some() => ChangeInvalid::IsVolume,
            Some(_) => continue,
        };
        return Err(wrong(piece.clone()));
    }
    Ok(())
}

fn volume_checks(volumes: &Resources) -> Result<&Resources, ChangeInvalid> {
    if volumes.is_empty() {
        return Err(ChangeInvalid::Empty);
    }
    for piece in volumes.pieces() {
        let wrong = if piece.flavor.volume().is_none() {
            ChangeInvalid::NotVolume
        } else if piece.flavor.reservations().is_empty() {
            ChangeInvalid::NotReserved
        } else if piece.flavor.revocable {
            ChangeInvalid::Revocable
        } else {
            continue;
        };
        return Err(wrong(piece.clone()));
    }
    Ok(volumes)
}

/// The volume's space without the volume.
fn space(volume: &Piece) -> Result<Piece, ChangeInvalid> {
    use crate::DiskKind;
    if volume.flavor.volume().is_none() {
        return Err(ChangeInvalid::NotVolume(volume.clone()));
    }
    let own = |piece: &Piece| {
        let source = piece.flavor.disk().and_then(|disk| disk.source.as_ref());
        source.is_some_and(|source| source.kind != DiskKind::Path)
    };
    if volume.flavor.is_shared() || own(volume) {
        return Err(ChangeInvalid::NotResizable(volume.clone()));
    }
    let space = Resources::from_iter([volume.clone()]).without_volumes();
    space.pieces().first().cloned().ok_or(ChangeInvalid::Empty)
}

fn grow(volume: &Piece, addition: &Piece) -> Result<Conversion, ChangeInvalid> {
    let kind = space(volume)?;
    if kind.name != addition.name || kind.flavor != addition.flavor {
        return Err(ChangeInvalid::AdditionDiffers(addition.clone()));
    }
    let size = match volume.size().checked_add(addition.size()) {
        Some(size) if addition.size() > 0 => size,
        _ => return Err(ChangeInvalid::Empty),
    };
    let grown = Piece { value: Value::Scalar(size), ..volume.clone() };
    Ok(Conversion {
        consumed: [volume.clone(), addition.clone()].into_iter().collect(),
        converted: [grown].into_iter().collect(),
    })
}

fn shrink(volume: &Piece, subtract: u64) -> Result<Conversion, ChangeInvalid> {
    let (kind, size) = (space(volume)?, volume.size());
    if subtract == 0 || subtract >= size {
        return Err(ChangeInvalid::Shrink { size, subtract });
    }
    let shrunk = Piece { value: Value::Scalar(size - subtract), ..volume.clone() };
    let freed = Piece { value: Value::Scalar(subtract), ..kind };
    Ok(Conversion {
        consumed: [volume.clone()].into_iter().collect(),
        converted: [shrunk, freed].into_iter().collect(),
    })
}

/// An operation that makes no sense by itself, in an ACCEPT whose other operations go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidOperation {
    /// Set by a framework that wants to be told.
    pub id: Option<OperationId>,
    /// The operation's name on the wire.
    pub name: Arc<str>,
    /// The field and what is wrong with it.
    pub problem: Arc<str>,
}

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationStatus {
    /// The operation, if its framework named it.
    pub operation_id: Option<OperationId>,
    /// How it stands.
    pub state: OperationState,
    /// For people.
    pub message: Option<Arc<str>>,
    /// What the operation put there.
    pub converted: Resources,
    /// Present when the status must be acknowledged.
    pub uuid: Option<StatusUuid>,
    /// Where.
    pub agent_id: Option<AgentId>,
}

/// How an operation stands (Mesos `OperationState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum OperationState {
    /// A state that this version does not know.
    Unsupported = 0,
    /// Under way.
    Pending = 1,
    /// Done.
    Finished = 2,
    /// The agent could not do it.
    Failed = 3,
    /// It made no sense.
    Error = 4,
    /// It never reached its agent.
    Dropped = 5,
    /// Its agent is not to be reached.
    Unreachable = 6,
    /// Its agent was marked gone.
    GoneByOperator = 7,
    /// Its agent is known and not back yet.
    Recovering = 8,
    /// Nobody knows it.
    Unknown = 9,
}

impl OperationState {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Unsupported,
        Self::Pending,
        Self::Finished,
        Self::Failed,
        Self::Error,
        Self::Dropped,
        Self::Unreachable,
        Self::GoneByOperator,
        Self::Recovering,
        Self::Unknown,
    ];

    /// The state of this number.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|state| i32::from(*state as u8) == number)
    }

    /// Whether nothing can follow.
    pub fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Finished | Self::Failed | Self::Error | Self::Dropped | Self::GoneByOperator
        )
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unsupported => "OPERATION_UNSUPPORTED",
            Self::Pending => "OPERATION_PENDING",
            Self::Finished => "OPERATION_FINISHED",
            Self::Failed => "OPERATION_FAILED",
            Self::Error => "OPERATION_ERROR",
            Self::Dropped => "OPERATION_DROPPED",
            Self::Unreachable => "OPERATION_UNREACHABLE",
            Self::GoneByOperator => "OPERATION_GONE_BY_OPERATOR",
            Self::Recovering => "OPERATION_RECOVERING",
            Self::Unknown => "OPERATION_UNKNOWN",
        }
    }
}

impl fmt::Display for OperationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
