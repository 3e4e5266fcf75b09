//! What left the master or a scheduler, and must be true for whoever starts after it.
//!
//! I1: what was told or answered is durable. A word that left before its record was durable is
//! found at the next start, when the crash took the record with it. I13: no two masters lead with
//! one epoch or under one id. It watches words as they leave; what they promise is what was true when
//! they were decided, and ever since.

use super::{Verdict, broken};
use driver::core::{Answer, Effect as DriverEffect, GroupId, Notice, Scheduler, UnitChange};
use master_core::{Change, Effect, Input, Order, Quota, Registry, RequestId};
use proto::agent_link::AgentEvent;
use proto::operator;
use proto::scheduler::{CallBody, Event};
use proto::{AgentId, FrameworkId, MasterId, Reason, Role};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// A fact that somebody was told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fact {
    Admitted(AgentId),
    Reachable(AgentId),
    Unreachable(AgentId),
    /// The framework's scheduler is here.
    Here(FrameworkId),
    Over(FrameworkId),
    Weight(Role, u64),
    Closed(AgentId),
    Open(AgentId),
    Gone(AgentId),
    /// It was gone, and may be anybody's id again.
    Forgotten(AgentId),
    /// As text, which has an order.
    Quota(Role, String),
}

impl Fact {
    fn holds(&self, registry: &Registry) -> bool {
        let agent = |id| registry.agents().get(id);
        match self {
            Self::Admitted(id) => agent(id).is_some(),
            Self::Reachable(id) => agent(id).is_some_and(|agent| agent.unreachable.is_none()),
            Self::Unreachable(id) => agent(id).is_none_or(|agent| agent.unreachable.is_some()),
            Self::Here(id) => !registry.frameworks().contains_key(id),
            Self::Over(id) => {
                let forgotten = registry.completed().len() >= Registry::COMPLETED_KEPT;
                registry.is_completed(id) || forgotten
            }
            Self::Closed(id) => agent(id).is_none_or(|a| a.deactivated || a.drain.is_some()),
            Self::Open(id) => agent(id).is_none_or(|a| !a.deactivated && a.drain.is_none()),
            Self::Gone(id) => agent(id).is_none(),
            Self::Forgotten(id) => !registry.gone().contains_key(id),
            Self::Quota(role, text) => {
                let known = registry.quotas().get(role).cloned().unwrap_or_default();
                *text == text_of(&known)
            }
            Self::Weight(role, milli) => registry.weight_milli(role) == *milli,
        }
    }
}

fn text_of(quota: &Quota) -> String {
    format!("{quota:?}")
}

fn ordered(order: &Order) -> Fact {
    match order.clone() {
        Order::DeactivateAgent(id) | Order::DrainAgent { agent_id: id, .. } => Fact::Closed(id),
        Order::ReactivateAgent(id) => Fact::Open(id),
        Order::MarkAgentGone(id) => Fact::Gone(id),
    }
}

/// What the master promised.
#[derive(Debug, Default)]
pub(super) struct Promises {
    told: BTreeSet<Fact>,
    /// Requests whose answer will promise something.
    asked: BTreeMap<RequestId, Fact>,
    /// What answers that are decided, and did not leave yet, will have told.
    answers: BTreeMap<RequestId, Fact>,
    /// The same of words that nobody asked for, in the order in which they were decided and leave.
    words: VecDeque<Vec<Fact>>,
    cluster: Option<Arc<str>>,
    epochs: BTreeSet<u64>,
    masters: BTreeSet<MasterId>,
}

impl Promises {
    /// A master starts with what is durable, its own epoch included; `is_newest` unless another
    /// was faster and it does not know that yet.
    pub(super) fn begin(&mut self, registry: &Registry, is_newest: bool) -> Verdict {
        let (epoch, cluster) = (registry.epoch(), registry.cluster_id().cloned());
        let fresh = registry.master_id().is_some_and(|id| self.masters.insert(id.clone()));
        if !self.epochs.insert(epoch) || !fresh {
            let id = registry.master_id();
            return broken("I13", format!("epoch {epoch} of {id:?}: one of both led before"));
        }
        if self.cluster.is_some() && self.cluster != cluster {
            return broken("I1", format!("cluster {:?} became {cluster:?}", self.cluster));
        }
        self.cluster = cluster;
        if !is_newest {
            return Ok(());
        }
        self.asked.clear();
        self.answers.clear();
        self.words.clear();
        match self.told.iter().find(|fact| !fact.holds(registry)) {
            Some(fact) => broken("I1", format!("{fact:?} was told, and lost in a crash")),
            None => Ok(()),
        }
    }

    pub(super) fn will_step(&mut self, input: &Input) {
        let asked = match input {
            Input::Call { request, call, .. } if call.body == CallBody::Teardown => {
                call.framework_id.clone().map(|id| (*request, Fact::Over(id)))
            }
            Input::Operator { request, call: operator::Call::Teardown(id) } => {
                Some((*request, Fact::Over(id.clone())))
            }
            Input::Operator { request, call: operator::Call::ForgetAgent(id) } => {
                Some((*request, Fact::Forgotten(id.clone())))
            }
            Input::SetQuota { request, quotas, .. } => {
                let first = quotas.first().cloned();
                first.map(|(role, quota)| (*request, Fact::Quota(role, text_of(&quota))))
            }
            Input::Order { request, order } => Some((*request, ordered(order))),
            Input::SetWeight { request, role, weight_milli } => {
                Some((*request, Fact::Weight(role.clone(), *weight_milli)))
            }
            _ => None,
        };
        self.asked.extend(asked);
    }

    /// The master decided this. What was told, or is on its way out, need not be true any more when
    /// it changed its mind, be it for a moment: a word that leaves late was of then.
    pub(super) fn stepped(&mut self, effects: &[Effect], registry: &Registry) {
        if effects.iter().any(|effect| matches!(effect, Effect::Persist(_))) {
            self.told.retain(|fact| fact.holds(registry));
            self.answers.retain(|_, fact| fact.holds(registry));
            self.words.iter_mut().for_each(|facts| facts.retain(|fact| fact.holds(registry)));
        }
        for effect in effects {
            match effect {
                Effect::Accepted { request } | Effect::Answer { request, .. } => {
                    let fact = self.asked.remove(request).filter(|fact| fact.holds(registry));
                    self.answers.extend(fact.map(|fact| (*request, fact)));
                }
                Effect::Refused { request, .. } => {
                    self.asked.remove(request);
                }
                effect => self.words.extend(facts(effect).map(|mut facts| {
                    facts.retain(|fact| fact.holds(registry));
                    facts
                })),
            }
        }
    }

    /// A word leaves.
    pub(super) fn leaves(&mut self, effect: &Effect) {
        match effect {
            Effect::Accepted { request } | Effect::Answer { request, .. } => {
                self.told.extend(self.answers.remove(request));
            }
            effect if facts(effect).is_some() => {
                self.told.extend(self.words.pop_front().into_iter().flatten());
            }
            _ => {}
        }
    }
}

/// What a word says that nobody asked for, if it is of a kind that promises something.
fn facts(effect: &Effect) -> Option<Vec<Fact>> {
    match effect {
        Effect::ToAgent { event: AgentEvent::Registered { agent_id, .. }, .. } => {
            Some(vec![Fact::Admitted(agent_id.clone())])
        }
        Effect::ToAgent { event: AgentEvent::Reregistered { agent_id, .. }, .. } => {
            Some(vec![Fact::Admitted(agent_id.clone()), Fact::Reachable(agent_id.clone())])
        }
        Effect::ToFramework { event: Event::Subscribed { framework_id, .. }, .. } => {
            Some(vec![Fact::Here(framework_id.clone())])
        }
        Effect::ToFramework { event: Event::Update(status), .. }
            if status.reason == Some(Reason::AgentRemoved) =>
        {
            Some(status.agent_id.clone().map(Fact::Unreachable).into_iter().collect())
        }
        Effect::Publish(Change::FrameworkEnded { framework_id, .. }) => {
            Some(vec![Fact::Over(framework_id.clone())])
        }
        _ => None,
    }
}

/// Units that are kept running end as often as they are scaled away.
fn is_service(group: &GroupId) -> bool {
    group.as_str().starts_with("long-kept")
}

/// What schedulers promised their owners.
#[derive(Debug, Default)]
pub(super) struct Submissions {
    groups: BTreeSet<(usize, GroupId)>,
    ended: BTreeSet<(usize, GroupId, u32)>,
}

impl Submissions {
    pub(super) fn leaves(&mut self, framework: usize, effect: &DriverEffect) {
        match effect {
            DriverEffect::Answer {
                answer: Answer::Submitted(group) | Answer::AlreadySubmitted(group),
                ..
            } => {
                self.groups.insert((framework, group.clone()));
            }
            DriverEffect::Notice(Notice::Unit {
                group,
                index,
                change: UnitChange::Ended(_),
                ..
            }) if !is_service(group) => {
                self.ended.insert((framework, group.clone(), *index));
            }
            _ => {}
        }
    }

    /// A scheduler starts from its store.
    pub(super) fn begin(&self, framework: usize, core: &Scheduler) -> Verdict {
        let mut groups = self.groups.iter().filter(|(of, _)| *of == framework);
        if let Some((_, group)) = groups.find(|(_, group)| core.counts(group).is_none()) {
            return broken("I1", format!("{group} was taken on, and lost in a crash"));
        }
        let mut ended = self.ended.iter().filter(|(of, ..)| *of == framework);
        match ended.find(|(_, group, index)| core.outcome(group, *index).is_none()) {
            Some((_, group, index)) => {
                broken("I1", format!("unit {index} of {group} had ended, and its end is lost"))
            }
            None => Ok(()),
        }
    }
}
