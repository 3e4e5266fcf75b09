//! What the leases of a host have said of it, beside amounts: kept before a trial and put back after it.
//!
//! A lease that is taken back takes its amounts with it; what it has said of the host would stay, as it is to
//! stay when a lease is used or expires. A question must leave nothing behind.

use crate::attribute::Attributes;
use crate::id::{HostId, LeaseId};
use crate::lease::SetOffer;
use crate::quantity::Time;

use super::Cluster;
use super::host::Latest;

/// What is known of a host from its latest lease.
#[derive(Debug)]
pub(crate) struct Said {
    attributes: Attributes,
    sets: Vec<SetOffer>,
    latest: Option<(Time, LeaseId)>,
}

impl Cluster {
    /// What is known of a host; `None` if the host is not known.
    pub(crate) fn said_of(&self, id: &HostId) -> Option<Said> {
        let host = &self.hosts[self.names.get(id)?];
        let (attributes, sets) = (host.attributes.clone(), host.offered_sets.clone());
        let latest = host.latest.as_ref().map(|latest| latest.said(&self.leases));
        let latest = latest.map(|(offered_at, id)| (offered_at, id.clone()));
        Some(Said { attributes, sets, latest })
    }

    /// Puts back what was known of a host, if the host is still known.
    pub(crate) fn say_again(&mut self, id: &HostId, said: Said) {
        let Some(host) = self.names.get(id) else { return };
        let of = &mut self.hosts[host];
        let changes = of.attributes != said.attributes;
        (of.attributes, of.offered_sets) = (said.attributes, said.sets);
        of.latest = said.latest.map(|latest| Latest::Gone(Box::new(latest)));
        if changes {
            self.values.set(host, id, Some(&self.hosts[host].attributes));
        }
        self.mark(host);
    }
}
