//! What a connection keeps, for tests.

use super::Machine;
use crate::slim::intake::Intake;
use crate::slim::probe::Held;

impl Machine {
    /// What the peer made it keep.
    pub(in crate::slim) fn held(&self) -> Held {
        let intakes = self.streams.iter().filter_map(|stream| stream.intake.as_ref());
        Held {
            out: self.out.len(),
            partial: self.partial.capacity(),
            block: self.block.as_ref().map_or(0, |block| block.bytes.len()),
            table: self.decoder.bytes(),
            bodies: intakes.map(Intake::waiting).sum(),
            streams: self.streams.len(),
            asked: self.asked.len(),
        }
    }
}
