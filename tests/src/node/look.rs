//! Looks at the tasks of a host: most see that all is well, some that it is not, and some nothing.

use crate::world::World;
use agent_core::{Input, Look, Seen};

impl World {
    /// What is seen is a matter of chance; once all faults are healed it is good.
    pub(crate) fn look(&mut self, i: usize, look: &Look) {
        let container_id = look.launch.container_id.clone();
        if self.agents[i].supervisor.alive(&container_id).is_none() {
            return;
        }
        let chance = if self.faults.healed() { 0 } else { self.random.index(100) };
        let seen = match chance {
            0..70 => Seen::Connected,
            70..90 => Seen::Refused("nobody listens".into()),
            90..95 => Seen::Unable("too many open files".into()),
            // Too late.
            _ => return,
        };
        let (subject, number) = (look.subject, look.number);
        self.answer_agent(i, Input::Looked { container_id, subject, number, seen });
    }
}
