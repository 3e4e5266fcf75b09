//! An agent's disk is about to be full: what it has free of it is offered to nobody until there is
//! room again.
//!
//! What tasks use they keep. Volumes are offered on: what is in them is there already, and their
//! owners are those who can make room. Disks of their own are not meant.

use super::Agent;
use crate::effect::Effect;
use crate::state::Master;
use crate::table::AgentOrd;
use proto::{Piece, Resources};

/// Whether it is of the disk that the sandboxes are on.
fn is_common_disk(piece: &Piece) -> bool {
    piece.name.as_str() == "disk" && piece.flavor.disk().is_none()
}

/// What of it is of the disk that the sandboxes are on.
pub(crate) fn common_disk(resources: &Resources) -> Resources {
    resources.pieces().iter().filter(|piece| is_common_disk(piece)).cloned().collect()
}

impl Agent {
    /// Takes disk out of what is free while there is pressure. Keeps M5 and M32.
    pub(crate) fn withhold(&mut self) {
        let Some(withheld) = &mut self.withheld else { return };
        let disk = common_disk(&self.free);
        if !disk.is_empty() {
            self.free.subtract(&disk).expect("it is a part of what is free");
            withheld.add(&disk);
        }
    }

    /// Makes what is withheld free until what is free is indexed; says whether that is needed.
    pub(crate) fn release(&mut self) -> bool {
        let Some(withheld) = &mut self.withheld else { return false };
        self.free.add(&std::mem::take(&mut **withheld));
        true
    }

    /// Withholds nothing any more. What is free is indexed by the caller.
    pub(crate) fn offer_all(&mut self) {
        self.release();
        self.withheld = None;
    }

    /// Whether all of it is free or withheld. If it is, it is free until what is free is indexed.
    pub(crate) fn has_free(&mut self, resources: &Resources) -> bool {
        if self.free.contains(resources) {
            return true;
        }
        let there = self.release() && self.free.contains(resources);
        if !there {
            self.withhold();
        }
        there
    }
}

impl Master {
    /// An agent says whether its disk is about to be full.
    pub(crate) fn disk_pressure(&mut self, ord: AgentOrd, pressed: bool, out: &mut Vec<Effect>) {
        if pressed == self.agents[ord].withheld.is_some() {
            return;
        }
        if pressed {
            self.agents[ord].withheld = Some(Box::default());
            for number in self.agents[ord].offers.clone() {
                if self.offers[&number].resources.pieces().iter().any(is_common_disk) {
                    self.rescind(number, out);
                }
            }
        } else {
            self.agents[ord].offer_all();
        }
        self.index_free(ord);
        self.publisher.agent(&self.agents[ord].id);
        self.publisher.load(ord, self.now);
        self.touch(ord);
    }
}
