//! A framework gives offers back.

use crate::state::Master;
use crate::table::FrameworkOrd;
use proto::{Filters, OfferId};

impl Master {
    /// Offers that are not, or no longer, the framework's are passed over: they may just have been
    /// rescinded.
    pub(crate) fn decline(
        &mut self,
        framework: FrameworkOrd,
        offer_ids: &[OfferId],
        filters: Filters,
    ) {
        for id in offer_ids {
            if let Some(number) = self.offer_number(framework, id) {
                self.counters.offers_declined += 1;
                let offer = self.remove_offer(number);
                self.add_filter(framework, offer.agent, &offer.role, offer.resources, filters);
            }
        }
    }
}
