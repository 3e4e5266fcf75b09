//! What is remembered of the images of running containers.
//!
//! A session or a check finds in a container what its task does: the image's user, directory and
//! variables. They are remembered with the container, by who runs it, for by then the name of its
//! image may mean another one, or none: the operator removed it, or has no store any more.

use crate::checkpoint::{self, image_of_launch};
use crate::containerizer::{ContainerEvent, ContainerId, Credentials, Launch, Root, user};
use agent_core::TaskRecord;
use images::{Image, Settings};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The image of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OfImage {
    /// Where it is unpacked; it stays there as long as the container runs.
    pub(crate) root: PathBuf,
    /// How it wants to be run.
    pub(crate) settings: Settings,
    /// Who its container runs as, once that was found among its users.
    pub(crate) identity: Option<Credentials>,
}

impl OfImage {
    pub(crate) fn of(image: &Image) -> Self {
        Self { root: image.root.clone(), settings: image.settings.clone(), identity: None }
    }

    /// Says who a container of this image is, and has it remembered with what else is known.
    ///
    /// # Errors
    /// That the image has no such user.
    pub(super) fn settle(&self, made: &mut Launch, record: &TaskRecord) -> Result<(), String> {
        let identity = match &self.identity {
            Some(known) => known.clone(),
            None => user::within(made.user.as_deref(), &Root::Image(self.root.clone()))
                .map_err(|error| error.to_string())?,
        };
        let known = Self { identity: Some(identity.clone()), ..self.clone() };
        made.record = checkpoint::launch(record, &known);
        made.identity = Some(identity);
        Ok(())
    }
}

/// The images of all containers that run or are being launched.
#[derive(Debug, Default)]
pub(crate) struct ImagesInUse(BTreeMap<ContainerId, Arc<OfImage>>);

impl ImagesInUse {
    /// Takes what a launch that leaves now has of an image.
    pub(crate) fn launch(&mut self, launch: &Launch) {
        if launch.identity.is_some() {
            self.put(&launch.id, &launch.record);
        }
    }

    /// Takes what an event says of containers.
    pub(crate) fn note(&mut self, event: &ContainerEvent) {
        match event {
            ContainerEvent::Recovered(recovered) => {
                self.0.clear();
                for known in recovered.iter().filter(|known| known.ended.is_none()) {
                    self.put(&known.id, &known.record);
                }
            }
            ContainerEvent::Ended { id, .. } | ContainerEvent::LaunchFailed { id, .. } => {
                drop(self.0.remove(id));
            }
            _ => {}
        }
    }

    fn put(&mut self, id: &ContainerId, record: &[u8]) {
        // A record that cannot be read is told when the launch is.
        if let Ok(Some(image)) = image_of_launch(record) {
            self.0.insert(id.clone(), Arc::new(image));
        }
    }

    /// That of a container.
    pub(crate) fn of(&self, id: &ContainerId) -> Option<Arc<OfImage>> {
        self.0.get(id).cloned()
    }
}
