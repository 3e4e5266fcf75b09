//! Looks at tasks, begun: over the network by this process, commands by the containerizer.

use super::Performer;
use crate::containerizer::Containerizer;
use crate::{containers, looking};
use agent_core::{Input, Look, Seen};
use proto::CheckKind;

/// How much longer than the core waits for a look its program may live: what is late, the core says.
const LATER: std::time::Duration = std::time::Duration::from_secs(1);

impl Performer {
    /// Looks at a task; what cannot be begun is answered at once.
    pub(super) fn look(&mut self, look: &Look) {
        let own = containers::native_id(&look.launch.container_id).ok();
        let own = own.and_then(|id| self.addresses.of(&id));
        if looking::begin(look, own, &self.inbox) {
            return;
        }
        let Some(CheckKind::Command(command)) = look.kind() else { return };
        let container = look.launch.task.payload.open().ok().and_then(|body| body.container);
        let name = container.and_then(|asked| asked.image);
        let image = name.as_ref().and_then(|name| self.preparing.at_hand(name));
        let (disk, policy) = (&self.volumes, &self.policy);
        let (frameworks, image) = (&mut self.frameworks, image.as_ref());
        match containers::beside(&look.launch, command, image, frameworks, disk, policy) {
            Ok(beside) => self.native.look(beside, looking::number(look), look.timeout + LATER),
            Err(message) => self.answers.push(Input::Looked {
                container_id: look.launch.container_id.clone(),
                subject: look.subject,
                number: look.number,
                seen: Seen::Unable(message.into()),
            }),
        }
    }
}
