//! What sets resources of one name apart: reservations, disks, sharing, revocability.
//!
//! Most resources are plain, and everything here stays out of their way: a plain flavor is one
//! pointer that is null.

use crate::{Labels, Role, VolumeId};
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// What sets one resource of a name apart from another of the same name, beyond its amount.
/// The default is plain: unreserved, not revocable, not shared.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flavor {
    /// Whether it may be taken back at any time.
    pub revocable: bool,
    /// Reservations, disk, sharing and provider; absent when it has none of them.
    pub special: Option<Arc<Special>>,
}

impl Flavor {
    /// The flavor of these properties.
    pub fn new(revocable: bool, special: Special) -> Self {
        Self { revocable, special: (!special.is_empty()).then(|| Arc::new(special)) }
    }

    /// Whether this is the plain flavor.
    pub fn is_plain(&self) -> bool {
        !self.revocable && self.special.is_none()
    }

    /// The reservations, the most refined last; empty when unreserved.
    pub fn reservations(&self) -> &[Reservation] {
        self.special.as_ref().map_or(&[], |special| &special.reservations)
    }

    /// The role that it is reserved to: that of the last reservation.
    pub fn reserved_to(&self) -> Option<&Role> {
        self.reservations().last().map(|reservation| &reservation.role)
    }

    /// The disk, when it says one.
    pub fn disk(&self) -> Option<&Disk> {
        self.special.as_ref()?.disk.as_ref()
    }

    /// The persistent volume that it is, if it is one.
    pub fn volume(&self) -> Option<&Persistence> {
        self.disk()?.persistence.as_ref()
    }

    /// Whether several tasks may use it at once.
    pub fn is_shared(&self) -> bool {
        self.special.as_ref().is_some_and(|special| special.shared)
    }

    /// Whether it is used as a whole or not at all: a persistent volume, a disk of its own, or
    /// something shared. Two such resources never become one.
    pub fn is_whole(&self) -> bool {
        self.special.as_ref().is_some_and(|special| special.is_whole())
    }

    /// Whether frameworks of `role` may be offered it: it is unreserved, or reserved to the role
    /// or to one of the role's ancestors.
    pub fn is_allocatable_to(&self, role: &Role) -> bool {
        self.reserved_to().is_none_or(|to| to == role || role.is_below(to))
    }

    /// The same flavor with other special properties.
    #[must_use]
    pub fn with(&self, change: impl FnOnce(&mut Special)) -> Self {
        let mut special = self.special.as_deref().cloned().unwrap_or_default();
        change(&mut special);
        Self::new(self.revocable, special)
    }
}

/// The properties that few resources have.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Special {
    /// The stack of reservations, the most refined last: each role lies below the one before it.
    pub reservations: Vec<Reservation>,
    /// Of resources called `disk`.
    pub disk: Option<Disk>,
    /// Whether several tasks may use it at once.
    pub shared: bool,
    /// The resource provider that it comes from, if it is not the agent itself.
    pub provider: Option<Arc<str>>,
}

impl Special {
    /// Whether none of the properties is there.
    pub fn is_empty(&self) -> bool {
        self.reservations.is_empty()
            && self.disk.is_none()
            && !self.shared
            && self.provider.is_none()
    }

    fn is_whole(&self) -> bool {
        self.shared || self.disk.as_ref().is_some_and(Disk::is_whole)
    }
}

/// A reservation: resources that are kept for a role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reservation {
    /// Who made it.
    pub kind: ReservationKind,
    /// Whom it is for; never `*`.
    pub role: Role,
    /// Who reserved it.
    pub principal: Option<Arc<str>>,
    /// Labels, which tell reservations of one role apart.
    pub labels: Labels,
}

/// Who made a reservation (Mesos `ReservationInfo.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReservationKind {
    /// The agent's configuration; it stays as long as that.
    Static = 1,
    /// A framework or an operator, at run time.
    Dynamic = 2,
}

/// A disk that is more than space on the agent's own.
///
/// Equality and order leave `mount` out, as Mesos does: how a task uses a volume does not make it
/// another volume.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// Where the space comes from, when not from the agent's own disk.
    pub source: Option<DiskSource>,
    /// What makes it a persistent volume.
    pub persistence: Option<Persistence>,
    /// Where the volume is mounted in a task's container.
    pub mount: Option<VolumeMount>,
}

impl Disk {
    fn key(&self) -> (&Option<DiskSource>, &Option<Persistence>) {
        (&self.source, &self.persistence)
    }

    /// Whether it is used as a whole: a persistent volume, or space that cannot be cut.
    pub fn is_whole(&self) -> bool {
        let uncut = |source: &DiskSource| source.kind != DiskKind::Path;
        self.persistence.is_some() || self.source.as_ref().is_some_and(uncut)
    }
}

impl PartialEq for Disk {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Disk {}

impl PartialOrd for Disk {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Disk {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// What makes disk space a persistent volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Persistence {
    /// Its id: unique for its role on its agent.
    pub id: VolumeId,
    /// Who created it.
    pub principal: Option<Arc<str>>,
}

/// Where disk space comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiskSource {
    /// Its kind.
    pub kind: DiskKind,
    /// The directory of a path or mount.
    pub root: Option<Arc<str>>,
    /// What its provider calls it.
    pub id: Option<Arc<str>>,
    /// What its provider says of it.
    pub metadata: Labels,
    /// Its provider's profile.
    pub profile: Option<Arc<str>>,
    /// Its provider.
    pub vendor: Option<Arc<str>>,
}

impl DiskSource {
    /// Space below a directory of the agent.
    pub fn new(kind: DiskKind, root: impl Into<Arc<str>>) -> Self {
        let root = Some(root.into());
        Self { kind, root, id: None, metadata: Labels::new(), profile: None, vendor: None }
    }
}

/// Kinds of disk (Mesos `DiskInfo.Source.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskKind {
    /// A directory, whose space can be cut.
    Path = 1,
    /// A file system of its own.
    Mount = 2,
    /// A block device.
    Block = 3,
    /// Space that is not made usable yet.
    Raw = 4,
}

/// Where a volume is mounted in a task's container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeMount {
    /// The path in the container, below the sandbox when it is relative.
    pub container_path: Arc<str>,
    /// Whether it cannot be written.
    pub read_only: bool,
}

impl fmt::Display for Flavor {
    /// As Mesos writes it behind the name: `(reservations: [(DYNAMIC,eng,p)])[v:data]{REV}<SHARED>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reservations = self.reservations();
        if !reservations.is_empty() {
            f.write_str("(reservations: [")?;
            for (i, reservation) in reservations.iter().enumerate() {
                write!(f, "{}{reservation}", if i == 0 { "" } else { "," })?;
            }
            f.write_str("])")?;
        }
        if let Some(disk) = self.disk() {
            write!(f, "[{disk}]")?;
        }
        f.write_str(if self.revocable { "{REV}" } else { "" })?;
        f.write_str(if self.is_shared() { "<SHARED>" } else { "" })
    }
}

impl fmt::Display for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ReservationKind::Static => "STATIC",
            ReservationKind::Dynamic => "DYNAMIC",
        };
        write!(f, "({kind},{}", self.role)?;
        if let Some(principal) = &self.principal {
            write!(f, ",{principal}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = &self.source {
            let kind = match source.kind {
                DiskKind::Path => "PATH",
                DiskKind::Mount => "MOUNT",
                DiskKind::Block => "BLOCK",
                DiskKind::Raw => "RAW",
            };
            write!(f, "{kind}:{}", source.root.as_deref().unwrap_or(""))?;
            f.write_str(if self.persistence.is_some() { "," } else { "" })?;
        }
        if let Some(persistence) = &self.persistence {
            write!(f, "{}", persistence.id)?;
        }
        match &self.mount {
            Some(mount) => write!(f, ":{}", mount.container_path),
            None => Ok(()),
        }
    }
}
