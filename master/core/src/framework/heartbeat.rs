//! HEARTBEAT: right after SUBSCRIBED, and then again and again, so that both ends know that the
//! stream is whole.

use crate::effect::Effect;
use crate::state::Master;
use crate::table::FrameworkOrd;
use proto::scheduler::Event;
use std::time::Duration;

/// The shortest time between two heartbeats, whatever the options say.
const SHORTEST: Duration = Duration::from_millis(10);

impl Master {
    pub(crate) fn heartbeat(&mut self, ord: FrameworkOrd, out: &mut Vec<Effect>) {
        self.tell(ord, Event::Heartbeat, out);
        let at = self.now + self.options.heartbeat_interval.max(SHORTEST);
        self.set_heartbeat(ord, Some(at));
    }
}
