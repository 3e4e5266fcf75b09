//! Looks at tasks, begun: over the network by this process, commands by the containerizer.

use super::Performer;
use crate::containerizer::{self, Containerizer};
use crate::containers::{self, OfImage};
use crate::looking;
use crate::policy::Policy;
use crate::preparing::Prepared;
use crate::volumes::VolumeDisk;
use agent_core::{Input, Look, Seen};
use proto::{CheckKind, ContainerInfo, VolumeSource};
use std::time::Duration;

/// How much longer than the core waits for a look its program may live: what is late, the core says.
const LATER: Duration = Duration::from_secs(1);

/// A look by a command that is made up, or why it cannot be begun.
pub(crate) struct Beside {
    made: Result<Box<containerizer::Launch>, Seen>,
    look: Look,
}

impl Performer {
    /// Looks at a task; what cannot be begun is answered at once.
    pub(super) fn look(&mut self, look: &Look) {
        let id = containers::native_id(&look.launch.container_id).ok();
        let own = id.as_ref().and_then(|id| self.whereabouts.of(id));
        if looking::begin(look, own, &self.inbox) {
            return;
        }
        let Some(CheckKind::Command(_)) = look.kind() else { return };
        let container = look.launch.task.payload.open().ok().and_then(|body| body.container);
        let image = id.and_then(|id| self.images.of(&id));
        let (look, disk, policy) = (look.clone(), self.volumes.clone(), self.policy.clone());
        if !container.is_some_and(|asked| reads_host(&asked)) {
            return self.look_beside(make(look, image.as_deref(), &disk, &policy));
        }
        // The paths of the host are looked up on the disk, which may take its time.
        self.preparing
            .aside(move || Prepared::Look(Box::new(make(look, image.as_deref(), &disk, &policy))));
    }

    /// Begins a look by a command that is made up.
    pub(super) fn look_beside(&mut self, beside: Beside) {
        let Beside { made, look } = beside;
        match made {
            Ok(made) => self.native.look(*made, looking::number(&look), look.timeout + LATER),
            Err(seen) => self.answers.push(Input::Looked {
                container_id: look.launch.container_id,
                subject: look.subject,
                number: look.number,
                seen,
            }),
        }
    }
}

/// Whether making up such a container reads the disk.
fn reads_host(asked: &ContainerInfo) -> bool {
    let of_host = |source: &VolumeSource| matches!(source, VolumeSource::HostPath(_));
    asked.volumes.iter().any(|volume| of_host(&volume.source))
}

fn make(look: Look, image: Option<&OfImage>, disk: &VolumeDisk, policy: &Policy) -> Beside {
    let made = match look.kind() {
        Some(CheckKind::Command(command)) => {
            containers::beside(&look.launch, command, image, disk, policy)
        }
        _ => Err("its check is no command".to_owned()),
    };
    let made = made.map(Box::new).map_err(|message| Seen::Unable(message.into()));
    Beside { made, look }
}
