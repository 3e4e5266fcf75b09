//! Its stream: opened at the master that it knows, read, and lost.

use super::habits;
use crate::network::{Conn, Direction, Peer};
use crate::streams::Dialled;
use crate::world::{Packet, World};
use proto::FrameworkId;
use proto::scheduler::{self, Call, CallBody, Subscribe};

impl World {
    /// The master that it asks when the one that it knows does not serve.
    pub(super) fn elsewhere(&mut self, i: usize) -> usize {
        let host = self.frameworks[i].raw_mut().map_or(0, |raw| raw.host);
        self.listed(host + 1)
    }

    pub(super) fn raw_dials(&mut self, i: usize) {
        let host = self.frameworks[i].raw_mut().map_or(0, |raw| raw.host);
        let (conn, now) = (self.dial(Peer::Framework(i), host), self.now);
        if let Some(raw) = self.frameworks[i].raw_mut() {
            raw.heard = now;
            raw.stream = Some(conn);
        }
    }

    /// The stream that was dialled is open, or could not be opened.
    pub(crate) fn raw_dialled(&mut self, i: usize, conn: Conn, how: Dialled) {
        let (healed, elsewhere) = (self.faults.healed(), self.elsewhere(i));
        let Some(raw) = self.frameworks[i].raw_mut() else { return };
        if raw.stream != Some(conn) {
            self.hang_up(conn, Direction::Up);
            return;
        }
        if let Dialled::Refused(leader) = how {
            raw.goes_elsewhere(leader, elsewhere);
            return;
        }
        let body = CallBody::Subscribe(Box::new(Subscribe {
            framework_info: raw.info.clone(),
            suppressed_roles: raw
                .info
                .roles
                .iter()
                .filter(|_| raw.random.percent(5))
                .cloned()
                .collect(),
            offer_constraints: habits::some_constraints(&mut raw.random, &raw.info.roles)
                .filter(|_| !healed),
            fence: None,
        }));
        let call = Call { framework_id: raw.info.id.clone(), body };
        self.send(conn, Direction::Up, Packet::Call(call));
    }

    /// Something arrived from the master.
    pub(crate) fn raw_hears(&mut self, i: usize, conn: Conn, packet: Option<Packet>) {
        let (now, healed) = (self.now, self.faults.healed());
        let elsewhere = self.elsewhere(i);
        let Some(raw) = self.frameworks[i].raw_mut() else { return };
        let current = raw.stream == Some(conn);
        match packet {
            Some(Packet::Event(event)) if current => {
                raw.heard = now;
                self.trace.input(self.now, &raw.name, &event);
                let calls = raw.hears(now, event.clone(), healed);
                self.trace.effects(&calls, |call| format!("{call:?}"));
                let (id, aware): (Option<FrameworkId>, bool) =
                    (raw.info.id.clone(), raw.info.is_partition_aware());
                if let (scheduler::Event::Update(status), Some(id)) = (&event, &id) {
                    self.oracle.framework_hears(id, aware, status);
                }
                if let (scheduler::Event::UpdateOperationStatus(status), Some(id)) = (&event, &id) {
                    self.oracle.operation_heard(id, status);
                }
                for body in calls {
                    self.raw_calls(i, body);
                }
            }
            Some(Packet::NotLeading(leader)) if current => {
                raw.goes_elsewhere(leader, elsewhere);
                self.hang_up(conn, Direction::Up);
            }
            None if current => raw.goes_elsewhere(None, elsewhere),
            None if raw.stale == Some(conn) => raw.stale = None,
            Some(_) | None => {}
        }
    }
}
