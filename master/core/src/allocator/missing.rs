//! Agents that have not come back to this master: what roles with a limit may use there.
//!
//! Tasks are no facts of the registry, so a new master knows what roles consume from agents that
//! are back alone. On each of the others a role with a limit counts as if it used all that it
//! could: what is free for all there, and what is reserved to it or below. So no offer takes it
//! over its limit, and roles without one wait for nobody. That ends for each agent when it is back
//! or given up, and for all with `Options::quota_recovery_timeout`: from then on they count as
//! unreachable ones do, not at all.
//!
//! Guarantees are reckoned from what is known alone: what a role has on such agents is lacking
//! until they are back, and as much is kept free for it.

use super::amounts::{Amounts, Bounds};
use super::sorter::{Node, Sorter};
use crate::deadlines::Deadline;
use crate::state::Master;
use crate::table::RoleOrd;
use proto::{AgentId, Quantities, Resources, Role, Time};
use std::collections::BTreeMap;

/// The agents, and what is on them.
#[derive(Debug, Default)]
pub(super) struct Missing {
    agents: BTreeMap<AgentId, Share>,
    /// What of all of them is not reserved.
    plain: Amounts,
    /// Whether there were more of them when limits were reckoned.
    shrank: bool,
}

/// What roles may use on an agent.
#[derive(Debug)]
struct Share {
    plain: Amounts,
    reserved: Vec<(Role, Amounts)>,
}

impl Sorter {
    /// Counts an agent that is yet to come back. `reckon_limits` is to be called after the last.
    pub(crate) fn miss(&mut self, agent: &AgentId, total: &Resources) {
        let plain = self.parts(total).plain;
        let roles: Vec<Role> = total.reservation_roles().cloned().collect();
        let mut reserved = Vec::new();
        for role in roles {
            let amounts = self.parts(&total.reserved_to(&role).non_revocable()).all;
            self.change_unknown(&role, |unknown| unknown.add(&amounts));
            reserved.push((role, amounts));
        }
        self.missing.plain.add(&plain);
        self.missing.agents.insert(agent.clone(), Share { plain, reserved });
    }

    /// The agent is back or given up. Whether limits are to be reckoned anew, by `ease_limits`.
    pub(crate) fn miss_no_more(&mut self, agent: &AgentId) -> bool {
        let Some(share) = self.missing.agents.remove(agent) else { return false };
        self.missing.plain.subtract(&share.plain);
        for (role, amounts) in &share.reserved {
            self.change_unknown(role, |unknown| unknown.subtract(amounts));
        }
        self.missing.shrank |= self.has_quotas();
        self.missing.shrank
    }

    /// As `miss_no_more`, of all agents.
    pub(crate) fn miss_nobody(&mut self) -> bool {
        let agents: Vec<AgentId> = self.missing.agents.keys().cloned().collect();
        for agent in agents {
            self.miss_no_more(&agent);
        }
        self.missing.shrank
    }

    /// How many agents are yet to come back.
    pub(crate) fn missing(&self) -> usize {
        self.missing.agents.len()
    }

    /// Whether limits are to be reckoned anew.
    pub(crate) fn has_to_ease(&self) -> bool {
        self.missing.shrank
    }

    fn change_unknown(&mut self, role: &Role, change: impl Fn(&mut Amounts)) {
        let mut at = if self.quotas == 0 { None } else { self.nearest(role) };
        while let Some(ord) = at {
            let node = &mut self.nodes[ord];
            if let Some(quota) = &mut node.quota {
                change(&mut quota.unknown);
            }
            at = node.parent();
        }
    }

    /// The role's node, or that of the nearest role above that has one.
    fn nearest(&self, role: &Role) -> Option<RoleOrd> {
        let mut path = role.as_str();
        loop {
            let node = Role::new(path).ok().and_then(|role| self.by_role.get(&role).copied());
            if node.is_some() {
                return node;
            }
            (path, _) = path.rsplit_once('/')?;
        }
    }

    /// What is reserved to a role and below on agents that are yet to come back.
    pub(super) fn unknown_reserved(&self, above: &Role) -> Amounts {
        let mut unknown = Amounts::default();
        for (role, amounts) in self.missing.agents.values().flat_map(|share| &share.reserved) {
            if is_within(role, above) {
                unknown.add(amounts);
            }
        }
        unknown
    }

    /// The roles with a limit, and whether they have less room than is worth an offer.
    pub(super) fn limited(&self) -> Vec<(RoleOrd, bool)> {
        if self.quotas == 0 {
            return Vec::new();
        }
        let limited = |ord: &RoleOrd| {
            let quota = self.nodes[*ord].quota.as_ref()?;
            (!quota.limit.is_none()).then_some((*ord, quota.full))
        };
        self.by_role.values().filter_map(limited).collect()
    }

    /// What the limit of a role leaves, if it has one.
    pub(super) fn room(&self, node: &Node) -> Option<Bounds> {
        let quota = node.quota.as_ref()?;
        let room = quota.limit.room(&node.consumed);
        Some(match self.missing.agents.is_empty() {
            true => room,
            false => room.room(&self.missing.plain).room(&quota.unknown),
        })
    }

    /// What a role may use, of a resource that its limit names, where this master does not know.
    pub(super) fn unknown(&self, node: &Node, kind: usize) -> u64 {
        match (&node.quota, self.missing.agents.is_empty()) {
            (Some(quota), false) => {
                self.missing.plain.get(kind).saturating_add(quota.unknown.get(kind))
            }
            (Some(_), true) | (None, _) => 0,
        }
    }

    /// What a role with a limit may use on agents that are yet to come back.
    pub(crate) fn unknown_to(&self, role: &Role) -> Quantities {
        let node = self.by_role.get(role).map(|ord| &self.nodes[*ord]);
        let quota = node.and_then(|node| node.quota.as_ref());
        let mut unknown = self.missing.plain.clone();
        unknown.add(&quota.map(|quota| quota.unknown.clone()).unwrap_or_default());
        self.kinds.quantities(&unknown)
    }

    /// Sees which roles are at their limit.
    pub(crate) fn reckon_limits(&mut self) {
        for (ord, was_full) in self.limited() {
            let room = self.room(&self.nodes[ord]).unwrap_or_default();
            if self.is_full(&room) != was_full {
                self.lift(ord);
                self.reckon_up(ord);
                self.settle(ord);
            }
        }
    }

    /// Fewer agents are missing: who met a limit may have room again.
    pub(crate) fn ease_limits(&mut self) {
        if !std::mem::take(&mut self.missing.shrank) {
            return;
        }
        for (ord, _) in self.limited() {
            if self.nodes[ord].quota.as_ref().is_some_and(|quota| quota.waits_for_room()) {
                // Not as those that consume less: what is guaranteed lacks as before.
                self.rounds.insert(ord);
            }
        }
        self.reckon_limits();
    }
}

fn is_within(role: &Role, above: &Role) -> bool {
    role == above || role.is_below(above)
}

impl Master {
    /// Begins to count what may be used on the agents that are expected back.
    pub(crate) fn begin_quota_recovery(&mut self) {
        let timeout = self.options.quota_recovery_timeout;
        if self.recovered.is_empty() || timeout.is_zero() {
            return;
        }
        for agent in &self.recovered {
            let total = &self.registry.agents()[agent].info.resources;
            self.allocator.sorter.miss(agent, total);
        }
        self.allocator.sorter.reckon_limits();
        self.set_quota_recovery(Some(self.now + timeout));
    }

    /// Keeps M9.
    fn set_quota_recovery(&mut self, at: Option<Time>) {
        if let Some(old) = std::mem::replace(&mut self.quota_recovery, at) {
            self.deadlines.clear(old, Deadline::QuotaRecoveryOver);
        }
        if let Some(at) = at {
            self.deadlines.set(at, Deadline::QuotaRecoveryOver);
        }
    }

    /// An agent that was expected is back, or is not expected any more.
    pub(crate) fn expect_no_more(&mut self, agent: &AgentId) {
        self.recovered.remove(agent);
        if self.allocator.sorter.miss_no_more(agent) {
            self.ask_for_pass();
        }
        if self.allocator.sorter.missing() == 0 {
            self.set_quota_recovery(None);
        }
    }

    /// The agents that are not back had their time: what runs there counts for no quota.
    pub(crate) fn quota_recovery_over(&mut self) {
        if self.allocator.sorter.miss_nobody() {
            self.ask_for_pass();
        }
        self.set_quota_recovery(None);
    }
}
