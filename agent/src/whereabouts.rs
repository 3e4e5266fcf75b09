//! Where tasks are that have networks of their own, and what they write over images.

use crate::containerizer::{ContainerEvent, ContainerId, Launched};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// The addresses of living tasks, and their layers over images. Who has no address here is in the
/// host's network.
#[derive(Debug, Default)]
pub(crate) struct Whereabouts {
    addresses: HashMap<ContainerId, Ipv4Addr>,
    layers: HashMap<ContainerId, PathBuf>,
}

impl Whereabouts {
    /// Takes what an event says of addresses.
    pub(crate) fn note(&mut self, event: &ContainerEvent) {
        match event {
            ContainerEvent::Launched { id, launched } => self.put(id, launched),
            ContainerEvent::Recovered(recovered) => {
                *self = Self::default();
                for known in recovered.iter().filter(|known| known.ended.is_none()) {
                    self.put(&known.id, &known.launched);
                }
            }
            ContainerEvent::Ended { id, .. } => {
                self.addresses.remove(id);
                self.layers.remove(id);
            }
            _ => {}
        }
    }

    fn put(&mut self, id: &ContainerId, launched: &Launched) {
        if let Some(address) = launched.address {
            self.addresses.insert(id.clone(), address);
        }
        if let Some(layer) = &launched.layer {
            self.layers.insert(id.clone(), layer.clone());
        }
    }

    /// That of a task.
    pub(crate) fn of(&self, id: &ContainerId) -> Option<Ipv4Addr> {
        self.addresses.get(id).copied()
    }

    /// Where what a task writes over its image is.
    pub(crate) fn layer_of(&self, id: &ContainerId) -> Option<&Path> {
        self.layers.get(id).map(PathBuf::as_path)
    }
}
