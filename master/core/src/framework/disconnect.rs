//! A framework's stream ends: it gets no offers, its tasks run on, and it has its failover timeout
//! to come back.

use crate::effect::Effect;
use crate::input::ConnectionId;
use crate::registry::RegistryOp;
use crate::state::Master;
use crate::table::FrameworkOrd;
use proto::FrameworkInfo;

impl Master {
    pub(crate) fn framework_closed(&mut self, connection: ConnectionId, out: &mut Vec<Effect>) {
        if let Some(ord) = self.streams.get(&connection).copied() {
            self.disconnect_framework(ord, out);
        }
    }

    pub(crate) fn disconnect_framework(&mut self, ord: FrameworkOrd, out: &mut Vec<Effect>) {
        self.deactivate(ord);
        let framework = &self.frameworks[ord];
        let timeout = framework.info.failover_timeout;
        if timeout.is_zero() {
            self.teardown(ord, None, out);
            return;
        }
        let deadline = self.now + timeout;
        let hold = RegistryOp::HoldFramework {
            info: FrameworkInfo::clone(&framework.info),
            registered: framework.registered,
            deadline,
        };
        self.persist(hold, out);
        self.set_failover_deadline(ord, Some(deadline));
    }

    /// Takes a framework's stream from it, and all that hangs on it: offers, filters, demand.
    pub(crate) fn deactivate(&mut self, ord: FrameworkOrd) {
        if let Some(connection) = self.frameworks[ord].connection.take() {
            self.streams.remove(&connection);
        }
        self.unwake(ord);
        self.stop_reconciling(ord);
        self.set_repeat(ord, None);
        self.drop_inverse(ord);
        self.restate_demand(ord, Vec::new());
        self.recover_framework_offers(ord);
        self.clear_filters(ord, |_| true);
        self.set_heartbeat(ord, None);
        self.frameworks[ord].suppressed.clear();
        self.seat_framework(ord);
    }
}
