//! Seats: which frameworks stand in which roles, and which of them may be offered something.

use super::{Amounts, Rank, Seat, Sorter};
use crate::table::{FrameworkOrd, RoleOrd, SeatOrd};
use proto::{FrameworkId, Quantities, Role};

impl Sorter {
    /// The framework subscribes to the role; `eligible` says whether it may be offered anything.
    pub(crate) fn subscribe(
        &mut self,
        role: &Role,
        framework: FrameworkOrd,
        id: &FrameworkId,
        eligible: bool,
    ) {
        let node = self.node_of(role);
        let seat = self.take_seat(node, framework, id);
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
        self.next_epoch += 1;
        self.seats[seat].epoch = self.next_epoch;
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

    pub(super) fn take_seat(
        &mut self,
        node: RoleOrd,
        framework: FrameworkOrd,
        id: &FrameworkId,
    ) -> SeatOrd {
        if let Some(seat) = self.seat_of.get(&(framework, node)) {
            return *seat;
        }
        self.next_epoch += 1;
        let seat = self.seats.insert(Seat {
            framework,
            node,
            id: id.clone(),
            allocated: Amounts::default(),
            rank: Rank::default(),
            holdings: 0,
            subscribed: false,
            eligible: false,
            woken: false,
            epoch: self.next_epoch,
        });
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
