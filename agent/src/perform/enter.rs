//! Sessions in containers of tasks, ordered.

use super::Performer;
use crate::containerizer::{self, Containerizer};
use crate::containers;
use crate::http::{Entry, EntryError};
use crate::preparing::Prepared;
use agent_core::Agent;

/// A session that is made up, or why it cannot be.
pub(crate) struct MadeSession {
    made: Result<containerizer::Launch, String>,
    entry: Entry,
}

impl Performer {
    /// Makes a session up and orders it, and says whether it could. What came of it is an event.
    pub(crate) fn enter(&mut self, core: &Agent, entry: Entry) {
        let Some(launch) = core.launch_of(&entry.container) else {
            // Who asked may be gone.
            let _ = entry.reply.send(Err(EntryError::NoContainer));
            return;
        };
        let image = containers::native_id(&entry.container).ok();
        let image = image.and_then(|id| self.images.of(&id));
        let (disk, policy) = (self.volumes.clone(), self.policy.clone());
        // The paths of the host are looked up on the disk, which may take its time.
        self.preparing.aside(move || {
            let image = image.as_deref();
            let made = containers::beside(&launch, &entry.command, image, &disk, &policy);
            Prepared::Session(Box::new(MadeSession { made, entry }))
        });
    }

    /// Orders a session that is made up.
    pub(super) fn enter_made(&mut self, session: MadeSession) {
        let MadeSession { made, entry } = session;
        let Entry { number, stdio, reply, .. } = entry;
        let ordered = made.map(|made| self.native.enter(made, number, stdio));
        // Whoever asked and is gone by now has ended the session before it was there to be ended.
        if reply.send(ordered.map_err(EntryError::Impossible)).is_err() {
            self.native.signal_session(number, libc::SIGKILL);
        }
    }
}
