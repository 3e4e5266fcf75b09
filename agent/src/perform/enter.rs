//! Sessions in containers of tasks, ordered.

use super::Performer;
use crate::containerizer::Containerizer;
use crate::containers;
use crate::http::{Entry, EntryError};
use agent_core::Agent;

impl Performer {
    /// Orders a session, and says whether it could. What came of it is an event.
    pub(crate) fn enter(&mut self, core: &Agent, entry: Entry) {
        let Entry { container, number, command, stdio, reply } = entry;
        let Some(launch) = core.launch_of(&container) else {
            // Who asked may be gone.
            let _ = reply.send(Err(EntryError::NoContainer));
            return;
        };
        let body = launch.task.payload.open().ok();
        let name = body.and_then(|body| body.container).and_then(|asked| asked.image);
        let image = name.as_ref().and_then(|name| self.preparing.at_hand(name));
        let (disk, policy) = (&self.volumes, &self.policy);
        let (frameworks, image) = (&mut self.frameworks, image.as_ref());
        let ordered = containers::beside(&launch, &command, image, frameworks, disk, policy)
            .map(|beside| self.native.enter(beside, number, stdio));
        // Who asked may be gone; then the session ends as soon as it has begun.
        let _ = reply.send(ordered.map_err(EntryError::Impossible));
    }
}
