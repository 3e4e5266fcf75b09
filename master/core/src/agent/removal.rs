//! The pace at which agents may be given up.
//!
//! When a whole network fails, half the cluster looks dead: with a limit, agents are given up one
//! after the other, and whoever is heard of before its turn is kept. An operator's word (gone) is
//! not limited.

use crate::state::Master;
use proto::Time;

impl Master {
    /// Whether an agent may be given up now; if not, when it may be tried again. Takes the turn.
    pub(crate) fn may_give_up(&mut self) -> Result<(), Time> {
        let Some(interval) = self.options.agent_removal_interval else { return Ok(()) };
        if self.now < self.next_removal {
            return Err(self.next_removal);
        }
        self.next_removal = self.now + interval;
        Ok(())
    }
}
