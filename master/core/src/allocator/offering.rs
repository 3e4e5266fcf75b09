//! What of an agent's free resources a framework is offered in a role, if anything.
//!
//! One question, asked by the pass, by explanations and by the invariants; it changes nothing. The
//! answer is what would be offered, or the first rule that stands against it.

use super::amounts::{Amounts, Parts};
use super::demand::Credit;
use super::filters::Memo;
use super::is_allocatable;
use super::sorter::Sorter;
use crate::framework::Framework;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd, RoleOrd, SeatOrd};
use proto::{Capability, Piece, Quantities, Resources, Role, Time, Value};
use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// The stages of a pass: guarantees come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Only for roles that lack something of a guarantee, here or above.
    Guarantee,
    /// By fairness alone.
    Fair,
}

/// One look at an agent.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) agent: AgentOrd,
    pub(crate) stage: Stage,
    /// What may be offered beyond guarantees; none when nothing is kept for them.
    pub(crate) slack: Option<Amounts>,
    /// Whether an offer was made smaller, or not made, for headroom.
    pub(crate) held: Cell<bool>,
    /// The roles whose limits made an offer smaller, or stood against it.
    pub(crate) cuts: RefCell<Vec<RoleOrd>>,
    /// Whether only seats are asked that do not refuse all that is free.
    pub(crate) asked_filters: bool,
    memo: Memo,
}

impl Look {
    pub(crate) fn new(agent: AgentOrd, stage: Stage, slack: Option<Amounts>) -> Self {
        Self {
            agent,
            stage,
            slack,
            held: Cell::new(false),
            cuts: RefCell::default(),
            asked_filters: false,
            memo: Memo::default(),
        }
    }
}

/// What would be offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offering {
    /// None: all that the agent has free.
    pub(crate) resources: Option<Resources>,
    pub(crate) parts: Arc<Parts>,
    /// The bundles of a stated demand that it stands for.
    pub(crate) credit: Credit,
}

/// Why nothing is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Against {
    /// The agent's GPUs are kept for frameworks that use them.
    Gpus,
    /// The agent is in another region than the master.
    Region,
    /// It wants offers of other agents.
    Constraints,
    /// Nothing lacks of a guarantee.
    Satisfied,
    /// What quotas leave is not worth an offer.
    Limit,
    /// What is not kept for guarantees is not worth an offer.
    Headroom,
    /// What it may have of the agent is not worth an offer.
    TooSmall,
    /// It refused as much, until then.
    Filter(Time),
    /// No bundle that it still lacks fits.
    Demand,
}

/// What an offer must hold: any one of these amounts; none means anything at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Minimum {
    bundles: Vec<Bundle>,
}

#[derive(Clone, Debug)]
struct Bundle {
    scalars: Amounts,
    /// All of it, when it names more than usual scalars.
    exact: Option<Quantities>,
}

impl Minimum {
    pub(crate) fn new(least: &[Quantities], sorter: &mut Sorter) -> Self {
        let usual = |name: &str| ["cpus", "mem", "disk", "gpus"].contains(&name);
        let bundle = |bundle: &Quantities| Bundle {
            scalars: sorter.amounts(bundle),
            exact: bundle.iter().any(|(name, _)| !usual(name.as_str())).then(|| bundle.clone()),
        };
        Self { bundles: least.iter().map(bundle).collect() }
    }

    /// The scalars of each of the amounts.
    pub(crate) fn scalars(&self) -> Vec<Amounts> {
        self.bundles.iter().map(|bundle| bundle.scalars.clone()).collect()
    }

    /// Whether so much is worth an offer.
    pub(crate) fn is_met(&self, scalars: &Amounts, resources: &Resources) -> bool {
        if self.bundles.is_empty() {
            return !resources.is_empty();
        }
        self.bundles.iter().any(|bundle| match &bundle.exact {
            None => scalars.contains(&bundle.scalars),
            Some(exact) => resources.quantities().contains(exact),
        })
    }

    /// Whether so many plain scalars can make an offer worth while by themselves. Says yes when
    /// that depends on more.
    pub(crate) fn may_be_met(&self, scalars: &Amounts) -> bool {
        if self.bundles.is_empty() {
            return !scalars.is_zero();
        }
        let may = |bundle: &Bundle| bundle.exact.is_some() || scalars.contains(&bundle.scalars);
        self.bundles.iter().any(may)
    }
}

impl Master {
    /// What the look's agent would be offered of to the seat.
    pub(crate) fn consider(&self, seat: SeatOrd, look: &Look) -> Result<Offering, Against> {
        let framework = self.allocator.sorter.seat(seat).framework;
        let taker = &self.frameworks[framework];
        if !taker.demand.is_stated() {
            return self.consider_any(seat, look);
        }
        if !self.allocator.has_chosen(framework, look.agent) {
            return Err(Against::Demand);
        }
        let mut offering = self.consider_any(seat, look)?;
        let agent = &self.agents[look.agent];
        let offered = offering.resources.as_ref().unwrap_or(&agent.free);
        let role = self.allocator.sorter.role_of(seat);
        offering.credit = taker.demand.credit_for(offered, &agent.id, role);
        if offering.credit.is_empty() {
            return Err(Against::Demand);
        }
        Ok(offering)
    }

    /// As `consider`, whatever the framework said it wants.
    pub(crate) fn consider_any(&self, seat: SeatOrd, look: &Look) -> Result<Offering, Against> {
        let sorter = &self.allocator.sorter;
        let (agent, place) = (&self.agents[look.agent], sorter.seat(seat));
        let taker = &self.frameworks[place.framework];
        self.check_capabilities(taker, look.agent)?;
        if !taker.constraints.allow(sorter.role_of(seat), agent) {
            return Err(Against::Constraints);
        }
        let plain = self.plain_share(seat, look)?;
        let free = &agent.free_parts;
        let (resources, parts) = if free.pure && plain == free.plain {
            (None, free.clone())
        } else {
            let role = sorter.role_of(seat);
            let mut resources = share_of(&agent.free, &plain, taker, role, sorter);
            if agent.has_shared {
                self.leave_out_offered(place.framework, look.agent, &mut resources);
            }
            let parts = sorter.cost_of(&resources);
            if look.stage == Stage::Guarantee
                && parts.plain.lesser(&sorter.allowance(seat).lacking).is_zero()
            {
                // What would serve the guarantee cannot be divided.
                return Err(Against::Satisfied);
            }
            (Some(resources), Arc::new(parts))
        };
        let offered = resources.as_ref().unwrap_or(&agent.free);
        let own = taker.info.min_allocatable.get(sorter.role_of(seat));
        let worth = match own {
            None => self.allocator.minimum.is_met(&parts.all, offered),
            Some(least) => is_allocatable(least, offered),
        };
        if !worth {
            let reduced = plain != free.plain;
            let held = look.held.get();
            return Err(match reduced {
                true if held => Against::Headroom,
                true => Against::Limit,
                false => Against::TooSmall,
            });
        }
        // A part is compared by itself: the memo speaks of all that is free.
        let own = Memo::default();
        let memo = if resources.is_some() { &own } else { &look.memo };
        let asked = look.asked_filters && resources.is_none();
        if !asked && let Some(until) = agent.filters.against(seat, place.epoch, offered, memo) {
            return Err(Against::Filter(until));
        }
        Ok(Offering { resources, parts, credit: Credit::default() })
    }

    /// What is shared stays free while it is offered: it is offered to a framework once at a time.
    fn leave_out_offered(
        &self,
        framework: FrameworkOrd,
        agent: AgentOrd,
        resources: &mut Resources,
    ) {
        let offers = self.agents[agent].offers.iter().map(|number| &self.offers[number]);
        for offer in offers.filter(|offer| offer.framework == framework) {
            let again = |piece: &Piece| {
                piece.flavor.is_shared() && offer.resources.pieces().contains(piece)
            };
            *resources = resources.filtered(|piece| !again(piece));
        }
    }

    fn check_capabilities(&self, taker: &Framework, agent: AgentOrd) -> Result<(), Against> {
        let agent = &self.agents[agent];
        if agent.has_gpus
            && self.options.filter_gpu_resources
            && !taker.has(Capability::GpuResources)
        {
            return Err(Against::Gpus);
        }
        if let (Some(here), Some(there)) = (&self.options.domain, &agent.info.domain)
            && here.region != there.region
            && !taker.has(Capability::RegionAware)
        {
            return Err(Against::Region);
        }
        Ok(())
    }

    /// How much of the agent's plain scalars the seat may have.
    fn plain_share(&self, seat: SeatOrd, look: &Look) -> Result<Amounts, Against> {
        let free = &self.agents[look.agent].free_parts.plain;
        let sorter = &self.allocator.sorter;
        if !sorter.has_quotas() {
            return match look.stage {
                Stage::Guarantee => Err(Against::Satisfied),
                Stage::Fair => Ok(free.clone()),
            };
        }
        let allowance = sorter.allowance(seat);
        let most = allowance.cut(free);
        if most != *free {
            // Also when nothing is left: more room may serve a guarantee.
            look.cuts.borrow_mut().extend(allowance.cutting(free));
        }
        let share = match look.stage {
            Stage::Guarantee => {
                let mut share = most.lesser(&allowance.lacking);
                if share.is_zero() {
                    return Err(Against::Satisfied);
                }
                let more = most.less(&share);
                share.add(&look.slack.as_ref().map_or(more.clone(), |slack| more.lesser(slack)));
                share
            }
            Stage::Fair => look.slack.as_ref().map_or(most.clone(), |slack| most.lesser(slack)),
        };
        if share != most {
            look.held.set(true);
        }
        Ok(share)
    }
}

/// What of `free` a framework may be offered in a role, of unreserved scalars no more than
/// `plain`. What is whole is offered whole, or not at all.
fn share_of(
    free: &Resources,
    plain: &Amounts,
    taker: &Framework,
    role: &Role,
    sorter: &Sorter,
) -> Resources {
    let mut left = plain.clone();
    let share = |piece: &Piece| {
        let flavor = &piece.flavor;
        let understood = (!flavor.revocable || taker.has(Capability::RevocableResources))
            && (!flavor.is_shared() || taker.has(Capability::SharedResources))
            && (flavor.reservations().len() < 2 || taker.has(Capability::ReservationRefinement));
        if !understood || !flavor.is_allocatable_to(role) {
            return None;
        }
        match piece.value {
            Value::Scalar(milli) if !flavor.revocable && flavor.reserved_to().is_none() => {
                let kind = sorter.kind(&piece.name)?;
                let most = match milli.min(left.get(kind)) {
                    part if part < milli && flavor.is_whole() => 0,
                    part => part,
                };
                left.set(kind, left.get(kind) - most);
                Some(Piece { value: Value::Scalar(most), ..piece.clone() })
            }
            Value::Scalar(_) | Value::Ranges(_) | Value::Set(_) => Some(piece.clone()),
        }
    };
    free.pieces().iter().filter_map(share).collect()
}
