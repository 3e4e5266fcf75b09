//! Which of the resources are reserved, for whom, and how reservations are made and undone.

use super::{Piece, Reservation, Resources};
use crate::Role;

impl Resources {
    /// The pieces that `keep` likes.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(&Piece) -> bool) -> Self {
        if self.pieces.iter().all(&keep) {
            return self.clone();
        }
        let kept: Vec<Piece> = self.pieces.iter().filter(|piece| keep(piece)).cloned().collect();
        Self { pieces: kept.into() }
    }

    /// What nobody reserved.
    #[must_use]
    pub fn unreserved(&self) -> Self {
        self.filtered(|piece| piece.flavor.reservations().is_empty())
    }

    /// What is reserved, whoever it is for.
    #[must_use]
    pub fn reserved(&self) -> Self {
        self.filtered(|piece| !piece.flavor.reservations().is_empty())
    }

    /// What is reserved to exactly this role.
    #[must_use]
    pub fn reserved_to(&self, role: &Role) -> Self {
        self.filtered(|piece| piece.flavor.reserved_to() == Some(role))
    }

    /// What frameworks of this role may be offered: what is unreserved, or reserved to the role or
    /// to one of its ancestors.
    #[must_use]
    pub fn allocatable_to(&self, role: &Role) -> Self {
        self.filtered(|piece| piece.flavor.is_allocatable_to(role))
    }

    /// The roles that something is reserved to, each once, in order.
    pub fn reservation_roles(&self) -> impl Iterator<Item = &Role> {
        let mut roles: Vec<&Role> =
            self.pieces.iter().filter_map(|piece| piece.flavor.reserved_to()).collect();
        roles.sort_unstable();
        roles.dedup();
        roles.into_iter()
    }

    /// Whether anything in it is reserved.
    pub fn has_reserved(&self) -> bool {
        self.pieces.iter().any(|piece| !piece.flavor.reservations().is_empty())
    }

    /// The same amounts with one more reservation on top of each.
    #[must_use]
    pub fn push_reservation(&self, reservation: &Reservation) -> Self {
        self.changed(|special| special.reservations.push(reservation.clone()))
    }

    /// The same amounts without the most refined reservation of each; what is unreserved stays.
    #[must_use]
    pub fn pop_reservation(&self) -> Self {
        self.changed(|special| drop(special.reservations.pop()))
    }

    /// The same amounts without any reservation.
    #[must_use]
    pub fn to_unreserved(&self) -> Self {
        self.changed(|special| special.reservations.clear())
    }

    /// What may be taken back at any time.
    #[must_use]
    pub fn revocable(&self) -> Self {
        self.filtered(|piece| piece.flavor.revocable)
    }

    /// What is kept once it is allocated.
    #[must_use]
    pub fn non_revocable(&self) -> Self {
        self.filtered(|piece| !piece.flavor.revocable)
    }

    /// What several tasks may use at once.
    #[must_use]
    pub fn shared(&self) -> Self {
        self.filtered(|piece| piece.flavor.is_shared())
    }

    /// What one task uses alone.
    #[must_use]
    pub fn non_shared(&self) -> Self {
        self.filtered(|piece| !piece.flavor.is_shared())
    }

    /// The persistent volumes.
    #[must_use]
    pub fn volumes(&self) -> Self {
        self.filtered(|piece| piece.flavor.volume().is_some())
    }

    /// The space of persistent volumes as it is without them: no id, not shared, and no disk when
    /// it was the agent's own. What is no volume stays.
    #[must_use]
    pub fn without_volumes(&self) -> Self {
        self.changed(|special| {
            let Some(disk) = special.disk.as_mut().filter(|disk| disk.persistence.is_some()) else {
                return;
            };
            (disk.persistence, disk.mount) = (None, None);
            if disk.source.is_none() {
                special.disk = None;
            }
            special.shared = false;
        })
    }

    /// Every piece with its special properties changed.
    fn changed(&self, change: impl Fn(&mut super::Special)) -> Self {
        let piece = |piece: &Piece| Piece { flavor: piece.flavor.with(&change), ..piece.clone() };
        self.pieces.iter().map(piece).collect()
    }
}
