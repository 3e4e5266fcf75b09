//! Pressure on the disk: the master is told, so that nobody is promised what is not there.

use crate::effect::{Effect, Note};
use crate::state::Agent;
use proto::agent_link::AgentCall;

impl Agent {
    /// Whether the disk is about to be full, so that none of it is to be offered.
    pub fn is_disk_pressed(&self) -> bool {
        self.sandboxes.disk_pressed
    }

    /// The disk was measured.
    pub(crate) fn feel_pressure(&mut self, used_ppm: u32, effects: &mut Vec<Effect>) {
        let begins = self.options.disk_pressure_ppm;
        let pressed = match self.sandboxes.disk_pressed {
            // More room than at its beginning, so that it does not come and go with every file.
            true => used_ppm > begins.saturating_sub(1_000_000_u32.saturating_sub(begins) * 2 / 5),
            false => used_ppm >= begins,
        };
        if pressed == self.sandboxes.disk_pressed {
            return;
        }
        self.sandboxes.disk_pressed = pressed;
        effects.push(Effect::Note(Note::DiskPressure { pressed, used_ppm }));
        if self.is_registered() {
            self.tell_pressure(effects);
        }
    }

    /// Who admits the agent takes it for one without pressure.
    pub(crate) fn tell_pressure_if_any(&self, effects: &mut Vec<Effect>) {
        if self.sandboxes.disk_pressed {
            self.tell_pressure(effects);
        }
    }

    fn tell_pressure(&self, effects: &mut Vec<Effect>) {
        let call = AgentCall::DiskPressure { pressed: self.sandboxes.disk_pressed };
        effects.push(Effect::ToMaster { link: self.link.number(), call });
    }
}

#[cfg(test)]
mod tests;
