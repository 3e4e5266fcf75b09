//! What is reserved and made on an agent at run time, and what the agent has without it.
//!
//! An agent's configuration says what it has, static reservations included. Reservations made later
//! and volumes are facts of the registry, and lie on top: what an agent has is its configuration
//! with them, always, so that either can change without the other.

use proto::{Piece, ReservationKind, Resources, Shortfall};

/// What is reserved and made on an agent at run time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Dynamically reserved resources, and persistent volumes.
    pub changed: Resources,
    /// Volumes that were destroyed and whose content may still be there, oldest first.
    pub doomed: Vec<Piece>,
}

impl Holdings {
    /// Whether there is nothing of the kind.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.doomed.is_empty()
    }
}

/// What of `total` was reserved or made at run time.
pub(crate) fn changed_of(total: &Resources) -> Resources {
    total.filtered(is_changed)
}

/// Whether it was reserved or made at run time.
pub(crate) fn is_changed(piece: &Piece) -> bool {
    let last = piece.flavor.reservations().last();
    last.is_some_and(|last| last.kind == ReservationKind::Dynamic)
        || piece.flavor.volume().is_some()
}

/// What the agent's configuration says of something that was reserved or made at run time.
fn unchanged(changed: &Resources) -> Resources {
    let plain = |piece: &Piece| {
        let flavor = piece.flavor.with(|special| {
            let dynamic = |kind| kind == ReservationKind::Dynamic;
            while special.reservations.last().is_some_and(|last| dynamic(last.kind)) {
                special.reservations.pop();
            }
        });
        Piece { flavor, ..piece.clone() }
    };
    changed.without_volumes().pieces().iter().map(plain).collect()
}

/// What the agent's configuration says, of what it has now.
pub(crate) fn configured_of(total: &Resources) -> Resources {
    if !total.pieces().iter().any(is_changed) {
        return total.clone();
    }
    let mut all = total.filtered(|piece| !is_changed(piece));
    all.add(&unchanged(&changed_of(total)));
    all
}

/// What an agent of this configuration has, with what was reserved and made on it.
///
/// # Errors
/// When the configuration does not hold so much.
pub(crate) fn with_changes(
    configured: &Resources,
    changed: &Resources,
) -> Result<Resources, Shortfall> {
    let mut total = configured.clone();
    if !changed.is_empty() {
        total.subtract(&unchanged(changed))?;
        total.add(changed);
    }
    Ok(total)
}
