//! What frameworks said they do not want to be offered, and what they cannot be offered.
//!
//! I21: nothing is offered in a role that a framework left or suppressed, of an agent that its
//! constraints exclude, nor what its capabilities do not allow: GPUs, other regions, what may be
//! taken back at any time, and what is reserved to others. The books follow SUBSCRIBE,
//! UPDATE_FRAMEWORK, SUPPRESS and REVIVE as they were accepted.

use super::{Verdict, broken};
use master_core::{Effect, Input, Registry, RegistryOp, RequestId};
use proto::scheduler::{CallBody, Event, Subscribe};
use proto::{
    AgentId, AgentInfo, AttributeConstraint, AttributeValue, Capabilities, Capability, Domain,
    FrameworkId, Offer, OfferConstraints, Predicate, Role, Selector,
};
use std::collections::{BTreeMap, BTreeSet};

/// What one framework wants.
#[derive(Debug)]
struct Wish {
    roles: BTreeSet<Role>,
    suppressed: BTreeSet<Role>,
    constraints: Option<OfferConstraints>,
    capabilities: Capabilities,
}

impl Wish {
    fn of(call: &Subscribe) -> Self {
        Self {
            roles: call.framework_info.roles.clone(),
            suppressed: call.suppressed_roles.clone(),
            constraints: call.offer_constraints.clone(),
            capabilities: call.framework_info.capabilities,
        }
    }
}

/// What the present step will change, if the master takes it.
#[derive(Debug, Default)]
enum Pending {
    #[default]
    Nothing,
    Subscribe(Wish),
    Call(RequestId, FrameworkId, CallBody),
}

/// All wishes.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pending: Pending,
    frameworks: BTreeMap<FrameworkId, Wish>,
    agents: BTreeMap<AgentId, AgentInfo>,
    /// Where the master stands, if it cares.
    pub(super) region: Option<Domain>,
}

/// Whether a text predicate holds; expressions are of the form `PREFIX.*` only.
fn holds(predicate: &Predicate, found: Option<&str>) -> bool {
    let matches = |pattern: &str| {
        let prefix = pattern.strip_suffix(".*").unwrap_or(pattern);
        found.is_some_and(|text| text.starts_with(prefix))
    };
    match predicate {
        Predicate::Exists => found.is_some(),
        Predicate::NotExists => found.is_none(),
        Predicate::TextEquals(text) => found == Some(text),
        Predicate::TextNotEquals(text) => found != Some(text),
        Predicate::TextMatches(pattern) => matches(pattern),
        Predicate::TextNotMatches(pattern) => !matches(pattern),
    }
}

fn passes(constraint: &AttributeConstraint, agent: &AgentInfo) -> bool {
    let domain = agent.domain.as_ref();
    let found = match &constraint.selector {
        Selector::Hostname => Some(&*agent.hostname),
        Selector::Region => domain.map(|domain| &*domain.region),
        Selector::Zone => domain.map(|domain| &*domain.zone),
        Selector::Attribute(name) => {
            agent.attributes.iter().filter(|attribute| attribute.name == *name).find_map(
                |attribute| match &attribute.value {
                    AttributeValue::Text(text) => Some(&**text),
                    AttributeValue::Scalar(_) | AttributeValue::Ranges(_) => None,
                },
            )
        }
    };
    holds(&constraint.predicate, found)
}

impl Wishes {
    /// A new master knows no framework.
    pub(super) fn begin(&mut self, registry: &Registry) {
        let agents = registry.agents().iter();
        self.agents = agents.map(|(id, agent)| (id.clone(), agent.info.clone())).collect();
        self.frameworks.clear();
        self.pending = Pending::Nothing;
    }

    pub(super) fn will_step(&mut self, input: &Input) {
        self.pending = match input {
            Input::Subscribe { call, .. } => Pending::Subscribe(Wish::of(call)),
            Input::Call { request, call, .. } => match (&call.framework_id, &call.body) {
                (
                    Some(id),
                    body @ (CallBody::UpdateFramework(_)
                    | CallBody::Suppress { .. }
                    | CallBody::Revive { .. }),
                ) => Pending::Call(*request, id.clone(), body.clone()),
                _ => Pending::Nothing,
            },
            _ => Pending::Nothing,
        };
    }

    pub(super) fn stepped(&mut self, effects: &[Effect]) -> Verdict {
        let mut pending = std::mem::take(&mut self.pending);
        if let Pending::Call(request, id, body) = &pending
            && effects.contains(&Effect::Accepted { request: *request })
        {
            self.called(id, body);
        }
        for effect in effects {
            match effect {
                Effect::Persist(RegistryOp::AdmitAgent { info, .. }) => {
                    if let Some(id) = &info.id {
                        self.agents.insert(id.clone(), info.clone());
                    }
                }
                Effect::ToFramework { event: Event::Subscribed { framework_id, .. }, .. } => {
                    if let Pending::Subscribe(wish) = std::mem::take(&mut pending) {
                        self.frameworks.insert(framework_id.clone(), wish);
                    }
                }
                Effect::ToFramework { event: Event::Offers(offers), .. } => {
                    offers.iter().try_for_each(|offer| self.offered(offer))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn called(&mut self, id: &FrameworkId, body: &CallBody) {
        let Some(wish) = self.frameworks.get_mut(id) else { return };
        let named = |roles: &[Role], wish: &Wish| -> BTreeSet<Role> {
            if roles.is_empty() { wish.roles.clone() } else { roles.iter().cloned().collect() }
        };
        match body {
            CallBody::UpdateFramework(call) => *wish = Wish::of(call),
            CallBody::Suppress { roles } => wish.suppressed.extend(named(roles, wish)),
            CallBody::Revive { roles } => {
                let roles = named(roles, wish);
                wish.suppressed.retain(|role| !roles.contains(role));
            }
            _ => {}
        }
    }

    fn offered(&self, offer: &Offer) -> Verdict {
        let against = |what: &str| {
            let (id, of, to) = (&offer.id, &offer.agent_id, &offer.framework_id);
            broken("I21", format!("offer {id} of {of} in role {} to {to}: {what}", offer.role))
        };
        let Some(wish) = self.frameworks.get(&offer.framework_id) else {
            return against("it never subscribed");
        };
        let Some(agent) = self.agents.get(&offer.agent_id) else {
            return against("the agent was never admitted");
        };
        if !wish.roles.contains(&offer.role) {
            return against("it is not subscribed to the role");
        }
        if wish.suppressed.contains(&offer.role) {
            return against("it suppressed the role");
        }
        let groups = wish.constraints.as_ref().and_then(|all| all.roles.get(&offer.role));
        let passing = |group: &Vec<AttributeConstraint>| group.iter().all(|one| passes(one, agent));
        if groups.is_some_and(|groups| !groups.iter().any(passing)) {
            return against("its constraints exclude the agent");
        }
        let has = |capability| wish.capabilities.has(capability);
        if agent.resources.scalar("gpus") > 0 && !has(Capability::GpuResources) {
            return against("the agent has GPUs");
        }
        let away = |ours: &Domain| agent.domain.as_ref().is_some_and(|d| d.region != ours.region);
        if self.region.as_ref().is_some_and(away) && !has(Capability::RegionAware) {
            return against("the agent is in another region");
        }
        if !offer.resources.revocable().is_empty() && !has(Capability::RevocableResources) {
            return against("it may be taken back");
        }
        let refined = |piece: &proto::Piece| piece.flavor.reservations().len() > 1;
        if offer.resources.pieces().iter().any(refined) && !has(Capability::ReservationRefinement) {
            return against("its reservation is refined");
        }
        if offer.resources.allocatable_to(&offer.role) != offer.resources {
            return against("it is reserved to another role");
        }
        Ok(())
    }
}
