//! Seats: which frameworks stand in which roles, and which of them may be offered something.

use super::{Amounts, Rank, Seat, Sorter};
use crate::table::{FrameworkOrd, RoleOrd, SeatOrd};
use proto::{Quantities, Role};

/// Epochs that are remembered one by one, at the least: who looks more rarely looks at all.
const EPOCHS_KEPT: usize = 256;

impl Sorter {
    /// The framework subscribes to the role; `eligible` says whether it may be offered anything.
    pub(crate) fn subscribe(&mut self, role: &Role, framework: FrameworkOrd, eligible: bool) {
        let node = self.node_of(role);
        let seat = self.take_seat(node, framework);
        self.seats[seat].subscribed = true;
        self.set_standing(seat, eligible, self.seats[seat].woken && eligible);
    }

    /// The framework leaves the role; what it still holds there keeps counting.
    pub(crate) fn unsubscribe(&mut self, seat: SeatOrd) {
        self.set_standing(seat, false, false);
        self.seats[seat].subscribed = false;
        self.drop_if_idle(seat);
    }

    /// Marks an eligible framework as one that may want what it did not want before.
    pub(crate) fn wake(&mut self, seat: SeatOrd, woken: bool) {
        let eligible = self.seats[seat].eligible;
        self.set_standing(seat, eligible, woken && eligible);
    }

    /// From now on no filter that stands in this seat counts.
    pub(crate) fn begin_epoch(&mut self, seat: SeatOrd) {
        self.seats[seat].epoch = self.epoch_begun(seat);
    }

    fn epoch_begun(&mut self, seat: SeatOrd) -> u32 {
        if self.begun.len() == 2 * EPOCHS_KEPT {
            self.begun.drain(..EPOCHS_KEPT);
            self.begun_before += EPOCHS_KEPT as u64;
        }
        self.begun.push(seat);
        // Only equality matters, and no filter lives through 2^32 epochs.
        self.epochs() as u32
    }

    /// How many epochs have begun.
    pub(crate) fn epochs(&self) -> u64 {
        self.begun_before + self.begun.len() as u64
    }

    /// The seats whose epochs began since `known` had begun; none when that is too long ago.
    pub(crate) fn epochs_since(&self, known: u64) -> Option<&[SeatOrd]> {
        let from = usize::try_from(known.checked_sub(self.begun_before)?).ok()?;
        self.begun.get(from..)
    }

    /// The seats, and what each counts (for the invariants).
    pub(crate) fn all_seats(&self) -> impl Iterator<Item = (SeatOrd, &Role, Quantities)> {
        self.seats
            .iter()
            .map(|(ord, seat)| (ord, self.role_of(ord), self.kinds.quantities(&seat.allocated)))
    }

    /// The frameworks with a seat in the role or below.
    pub(crate) fn frameworks_below(&self, ord: RoleOrd) -> Vec<FrameworkOrd> {
        let node = &self.nodes[ord];
        let own = node.seats.iter().map(|seat| self.seats[*seat].framework);
        let below = node.children.iter().flat_map(|child| self.frameworks_below(*child));
        own.chain(below).collect()
    }

    pub(super) fn take_seat(&mut self, node: RoleOrd, framework: FrameworkOrd) -> SeatOrd {
        if let Some(seat) = self.seat_of.get(&(framework, node)) {
            return *seat;
        }
        let seat = self.seats.insert(Seat {
            framework,
            node,
            allocated: Amounts::default(),
            rank: Rank::default(),
            holdings: 0,
            subscribed: false,
            eligible: false,
            woken: false,
            epoch: 0,
        });
        // Filters of whoever had this seat before do not count.
        self.seats[seat].epoch = self.epoch_begun(seat);
        self.nodes[node].seats.insert(seat);
        self.seat_of.insert((framework, node), seat);
        seat
    }

    fn set_standing(&mut self, seat: SeatOrd, eligible: bool, woken: bool) {
        let record = &self.seats[seat];
        if (record.eligible, record.woken) == (eligible, woken) {
            return;
        }
        let node = record.node;
        self.lift(node);
        self.step_out(seat);
        let record = &mut self.seats[seat];
        record.eligible = eligible;
        record.woken = woken;
        self.eligible.set(seat, eligible);
        self.line_up(seat);
        self.settle(node);
    }

    /// Removes a seat that holds nothing and is not subscribed, and the nodes that it kept.
    pub(super) fn drop_if_idle(&mut self, seat: SeatOrd) {
        let record = &self.seats[seat];
        if record.subscribed || record.holdings > 0 {
            return;
        }
        let record = self.seats.remove(seat);
        self.seat_of.remove(&(record.framework, record.node));
        self.nodes[record.node].seats.remove(&seat);
        self.drop_node_if_idle(record.node);
    }
}
