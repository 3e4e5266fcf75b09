//! Where tasks are that have networks of their own.

use crate::containerizer::{ContainerEvent, ContainerId};
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// The addresses of living tasks; who has none here is in the host's network.
#[derive(Debug, Default)]
pub(crate) struct Addresses(HashMap<ContainerId, Ipv4Addr>);

impl Addresses {
    /// Takes what an event says of addresses.
    pub(crate) fn note(&mut self, event: &ContainerEvent) {
        match event {
            ContainerEvent::Launched { id, launched } => self.put(id, launched.address),
            ContainerEvent::Recovered(recovered) => {
                self.0.clear();
                for known in recovered.iter().filter(|known| known.ended.is_none()) {
                    self.put(&known.id, known.launched.address);
                }
            }
            ContainerEvent::Ended { id, .. } => drop(self.0.remove(id)),
            _ => {}
        }
    }

    fn put(&mut self, id: &ContainerId, address: Option<Ipv4Addr>) {
        if let Some(address) = address {
            self.0.insert(id.clone(), address);
        }
    }

    /// That of a task.
    pub(crate) fn of(&self, id: &ContainerId) -> Option<Ipv4Addr> {
        self.0.get(id).copied()
    }
}
