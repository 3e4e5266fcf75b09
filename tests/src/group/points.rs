//! The places of the registrar at which a process may be made to end.

use crate::faults::Point;
use std::collections::{BTreeMap, BTreeSet};

/// Which are armed, and which were passed.
#[derive(Debug, Default)]
pub(crate) struct Points {
    armed: BTreeMap<usize, Point>,
    /// Places at which a process ended.
    pub(crate) hit: BTreeSet<Point>,
}

impl Points {
    /// The host's process ends when it comes to this place the next time.
    pub(crate) fn arm(&mut self, host: usize, point: Point) {
        self.armed.insert(host, point);
    }

    pub(crate) fn disarm(&mut self) {
        self.armed.clear();
    }

    /// A host comes to a place; says whether it ends there.
    pub(crate) fn passes(&mut self, host: usize, point: Point) -> bool {
        let ends = self.armed.get(&host) == Some(&point);
        if ends {
            self.armed.remove(&host);
            self.hit.insert(point);
        }
        ends
    }
}
