//! Offers: their record, and how it enters and leaves the tables.
//!
//! An offer holds its resources until it is answered, rescinded or times out: a resource is in at
//! most one of them.

pub(crate) mod decline;
pub(crate) mod rescind;

use crate::allocator::amounts::Parts;
use crate::allocator::demand::Credit;
use crate::allocator::offering::Offering;
use crate::deadlines::Deadline;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd, SeatOrd};
use proto::{Offer, OfferId, Resources, Role, Time};
use std::sync::Arc;

/// A master's id is a UUID; others take the long way.
const USUAL_ID_BYTES: usize = 40;
/// The most digits of a number.
const DIGITS: usize = 20;

/// An outstanding offer.
#[derive(Clone, Debug)]
pub(crate) struct OfferRecord {
    pub(crate) id: OfferId,
    pub(crate) framework: FrameworkOrd,
    pub(crate) agent: AgentOrd,
    pub(crate) role: Role,
    pub(crate) resources: Resources,
    /// The scalars of its resources.
    pub(crate) parts: Arc<Parts>,
    /// When it times out.
    pub(crate) until: Option<Time>,
    /// The part of the framework's demand that it stands for.
    pub(crate) credit: Credit,
}

impl Master {
    /// Makes an offer.
    pub(crate) fn add_offer(
        &mut self,
        seat: SeatOrd,
        agent: AgentOrd,
        offering: Offering,
    ) -> Offer {
        let Offering { resources, parts, credit } = offering;
        let framework = self.allocator.sorter.seat(seat).framework;
        let role = self.allocator.sorter.role_of(seat).clone();
        let number = self.next_offer;
        self.next_offer += 1;
        let id = self.offer_id(number);
        let resources = resources.unwrap_or_else(|| self.agents[agent].free.clone());
        self.reserve_offered(agent, &resources);
        let until = self.options.offer_timeout.map(|timeout| self.now + timeout);
        let record = &mut self.frameworks[framework];
        record.offers.insert(number);
        record.demand.credit(&credit);
        let framework_id = record.id.clone();
        self.allocator.sorter.allocate(seat, &parts);
        self.agents[agent].offers.push(number);
        let offer = Offer {
            id: id.clone(),
            framework_id,
            agent_id: self.agents[agent].id.clone(),
            hostname: self.agents[agent].info.hostname.clone(),
            port: self.agents[agent].info.port,
            role: role.clone(),
            resources: resources.clone(),
            attributes: self.agents[agent].attributes.clone(),
            domain: self.agents[agent].info.domain.clone(),
            executor_ids: self.executors_of(framework, agent),
            unavailability: self.agents[agent].unavailability,
        };
        let record = OfferRecord { id, framework, agent, role, resources, parts, until, credit };
        self.offers.insert(number, record);
        offer
    }

    /// Takes an offer out of the tables and frees what it holds.
    pub(crate) fn remove_offer(&mut self, number: u64) -> OfferRecord {
        let offer = self.offers.remove(&number).expect("the offer is outstanding");
        self.agents[offer.agent].offers.retain(|other| *other != number);
        self.frameworks[offer.framework].offers.remove(&number);
        self.free_offered(offer.agent, &offer.resources, &offer.parts);
        self.allocator.sorter.release(&offer.role, offer.framework, &offer.parts);
        self.eased();
        if self.frameworks[offer.framework].demand.debit(&offer.credit) {
            self.wake(offer.framework);
        }
        offer
    }

    /// The id of an offer, or of an inverse offer.
    pub(crate) fn offer_id(&self, number: u64) -> OfferId {
        // This is on the path of every offer: one piece of memory, and no formatting.
        let id = self.info.id.as_str().as_bytes();
        if id.len() > USUAL_ID_BYTES {
            let text = format!("{}-O{number}", self.info.id);
            return OfferId::new(text).expect("a master's id leaves room for a number");
        }
        let mut text = [0; USUAL_ID_BYTES + 2 + DIGITS];
        let mut at = text.len();
        let mut rest = number;
        loop {
            at -= 1;
            // One digit fits into a byte.
            text[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        for part in [b"-O".as_slice(), id] {
            at -= part.len();
            text[at..at + part.len()].copy_from_slice(part);
        }
        let text = std::str::from_utf8(&text[at..]).expect("an id and digits are text");
        OfferId::new(text).expect("a master's id leaves room for a number")
    }

    /// The number in the id of an offer of this master.
    pub(crate) fn number_of(&self, id: &OfferId) -> Option<u64> {
        let number = id.as_str().strip_prefix(self.info.id.as_str())?.strip_prefix("-O")?;
        number.parse().ok()
    }

    /// When the first offer times out that is not answered. Offers live equally long, so it is the
    /// first one made.
    pub(crate) fn first_offer_ends(&self) -> Option<(Time, Deadline)> {
        let (number, offer) = self.offers.first_key_value()?;
        Some((offer.until?, Deadline::Offer(*number)))
    }

    /// Takes out the first thing that is due to happen by itself.
    pub(crate) fn pop_due(&mut self) -> Option<Deadline> {
        let offer = self.first_offer_ends().filter(|(at, _)| *at <= self.now);
        match (offer, self.deadlines.first()) {
            // Its record leaves with it.
            (Some(offer), first) if first.is_none_or(|first| offer < first) => Some(offer.1),
            (Some(_) | None, _) => self.deadlines.pop_due(self.now),
        }
    }

    /// The number of an outstanding offer of this framework.
    pub(crate) fn offer_number(&self, framework: FrameworkOrd, id: &OfferId) -> Option<u64> {
        let number = self.number_of(id)?;
        let offer = self.offers.get(&number)?;
        (offer.framework == framework && offer.id == *id).then_some(number)
    }
}
