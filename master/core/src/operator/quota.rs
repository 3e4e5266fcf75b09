//! UPDATE_QUOTA: what roles are guaranteed, and what they may have.
//!
//! All quotas of a call are set, or none. Offers that stand in their way are taken back: those
//! above a limit, and as many others as a guarantee needs. What runs is not touched.

use crate::effect::{Effect, Refusal};
use crate::input::RequestId;
use crate::registry::{Quota, RegistryOp};
use crate::state::Master;
use proto::operator::Response;
use proto::{Quantities, Role, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Master {
    pub(crate) fn set_quotas(
        &mut self,
        request: RequestId,
        quotas: Vec<(Role, Quota)>,
        force: bool,
        out: &mut Vec<Effect>,
    ) {
        let answer = self.apply_quotas(quotas, force, out);
        self.answer_operator(request, Arc::from("UPDATE_QUOTA"), answer, out);
    }

    /// Sets all of the quotas, or none of them.
    pub(super) fn apply_quotas(
        &mut self,
        quotas: Vec<(Role, Quota)>,
        force: bool,
        out: &mut Vec<Effect>,
    ) -> Result<Response, Refusal> {
        self.check_quotas(&quotas, force)?;
        for (role, quota) in quotas {
            let set = (!quota.is_default()).then_some(&quota);
            self.allocator.sorter.set_quota(&role, set);
            let op = match set {
                Some(_) => RegistryOp::SetQuota { role, quota },
                None => RegistryOp::RemoveQuota { role },
            };
            self.persist(op, out);
        }
        self.enforce_limits(out);
        self.make_headroom(out);
        self.touch_all();
        Ok(Response::Ok)
    }

    fn check_quotas(&self, quotas: &[(Role, Quota)], force: bool) -> Result<(), Refusal> {
        let mut all = self.registry.quotas().clone();
        let mut seen = BTreeSet::new();
        let countless = self.not_scalar();
        for (role, quota) in quotas {
            let invalid = |problem: &str| {
                Err(Refusal::QuotaInvalid { role: role.clone(), problem: Box::from(problem) })
            };
            if role.as_str() == "*" {
                return invalid("cannot be set: it is everybody's");
            }
            if !seen.insert(role) {
                return invalid("is given twice");
            }
            let names = || quota.guarantees.iter().map(|(name, _)| name).chain(quota.limits.keys());
            let bytes: usize = names().map(|name| 16 + name.as_str().len()).sum();
            if bytes > self.options.quota_bytes {
                let limit = self.options.quota_bytes;
                return invalid(&format!("takes {bytes} bytes, {limit} may be taken"));
            }
            if let Some(name) = names().find(|name| countless.contains(name.as_str())) {
                return invalid(&format!(
                    "names {name}, which are ranges or a set: quota is for scalars"
                ));
            }
            for (name, guarantee) in quota.guarantees.iter() {
                if let Some(limit) = quota.limits.get(name).filter(|limit| **limit < guarantee) {
                    let (guarantee, limit) = (milli(guarantee), milli(*limit));
                    return invalid(&format!(
                        "guarantees {name}:{guarantee}, more than its limit {limit}"
                    ));
                }
            }
            if quota.is_default() {
                all.remove(role);
            } else {
                all.insert(role.clone(), quota.clone());
            }
        }
        check_tree(&all)?;
        if force { Ok(()) } else { self.check_fit(quotas, &all) }
    }

    /// Names of resources that are no amounts: `ports` everywhere, and what agents say.
    fn not_scalar(&self) -> BTreeSet<&str> {
        let all = self.registry.agents().values().flat_map(|agent| agent.info.resources.pieces());
        let other = all.filter(|piece| !matches!(piece.value, Value::Scalar(_)));
        other.map(|piece| piece.name.as_str()).chain(["ports"]).collect()
    }

    /// Whether the quotas fit the cluster as it is.
    fn check_fit(
        &self,
        quotas: &[(Role, Quota)],
        all: &BTreeMap<Role, Quota>,
    ) -> Result<(), Refusal> {
        let total = self.allocator.sorter.total();
        let mut guaranteed = Quantities::default();
        for (role, quota) in all {
            if nearest_above(role, all).is_none() {
                guaranteed.add_all(&quota.guarantees);
            }
        }
        for (role, quota) in quotas {
            let unfit = |problem: String| {
                Err(Refusal::QuotaUnfit { role: role.clone(), problem: problem.into() })
            };
            for (name, _) in quota.guarantees.iter() {
                let (wanted, have) = (guaranteed.get(name), total.get(name));
                if wanted > have {
                    return unfit(format!(
                        "makes all guarantees {name}:{}, of which the cluster has {}",
                        milli(wanted),
                        milli(have)
                    ));
                }
            }
            let standing = self.allocator.sorter.standing(role);
            let consumed = standing.map(|standing| standing.consumed).unwrap_or_default();
            for (name, limit) in &quota.limits {
                if consumed.get(name) > *limit && !self.is_only_offered(role, name, *limit) {
                    return unfit(format!(
                        "limits {name} to {}, and {} is in use",
                        milli(*limit),
                        milli(consumed.get(name))
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether taking back offers would bring the role's consumption down to the limit.
    fn is_only_offered(&self, role: &Role, name: &proto::ResourceName, limit: u64) -> bool {
        let standing = self.allocator.sorter.standing(role);
        let consumed = standing.map_or(0, |standing| standing.consumed.get(name));
        let offered: u64 = self
            .offers
            .values()
            .filter(|offer| offer.role == *role || is_below(&offer.role, role))
            .map(|offer| self.allocator.sorter.quantities(&offer.parts.plain).get(name))
            .sum();
        consumed.saturating_sub(offered) <= limit
    }

    /// Takes back the newest offers of roles that are above a limit.
    pub(crate) fn enforce_limits(&mut self, out: &mut Vec<Effect>) {
        let numbers: Vec<u64> = self.offers.keys().rev().copied().collect();
        for number in numbers {
            let Some(offer) = self.offers.get(&number) else { continue };
            if self.allocator.sorter.exceeds(&offer.role, &offer.parts.plain) {
                self.rescind(number, out);
            }
        }
    }

    /// Takes back the newest offers of roles that nothing is guaranteed to, until what is
    /// guaranteed to others can be kept free.
    fn make_headroom(&mut self, out: &mut Vec<Effect>) {
        let numbers: Vec<u64> = self.offers.keys().rev().copied().collect();
        for number in numbers {
            let short = self.allocator.shortage();
            if short.is_zero() {
                return;
            }
            let Some(offer) = self.offers.get(&number) else { continue };
            let helps = !offer.parts.plain.lesser(&short).is_zero();
            if helps && !self.allocator.sorter.is_guaranteed(&offer.role) {
                self.rescind(number, out);
            }
        }
    }
}

/// Within a role with a quota, the roles below share it: their guarantees add up to no more than
/// its own, and none may have more than it may.
fn check_tree(all: &BTreeMap<Role, Quota>) -> Result<(), Refusal> {
    let mut sums: BTreeMap<&Role, Quantities> = BTreeMap::new();
    for (role, quota) in all {
        let Some((above, theirs)) = nearest_above(role, all) else { continue };
        sums.entry(above).or_default().add_all(&quota.guarantees);
        for (name, most) in &theirs.limits {
            if let Some(more) = quota.limits.get(name).filter(|more| *more > most) {
                let (most, more) = (milli(*most), milli(*more));
                return Err(invalid(
                    above,
                    format!("limits {name} to {most}, less than that of role '{role}' ({more})"),
                ));
            }
        }
    }
    for (role, sum) in sums {
        for (name, wanted) in sum.iter() {
            let own = all[role].guarantees.get(name);
            if wanted > own {
                let (wanted, own) = (milli(wanted), milli(own));
                return Err(invalid(
                    role,
                    format!(
                        "guarantees {name}:{own}, less than the roles below it together ({wanted})"
                    ),
                ));
            }
        }
    }
    Ok(())
}

fn invalid(role: &Role, problem: String) -> Refusal {
    Refusal::QuotaInvalid { role: role.clone(), problem: problem.into() }
}

/// The nearest role above that has a quota.
fn nearest_above<'a>(role: &Role, all: &'a BTreeMap<Role, Quota>) -> Option<(&'a Role, &'a Quota)> {
    let mut path = role.as_str();
    while let Some((above, _)) = path.rsplit_once('/') {
        let found = Role::new(above).ok().and_then(|above| all.get_key_value(&above));
        if found.is_some() {
            return found;
        }
        path = above;
    }
    None
}

/// Whether `role` lies below `above` in the tree.
pub(crate) fn is_below(role: &Role, above: &Role) -> bool {
    let rest = role.as_str().strip_prefix(above.as_str());
    rest.is_some_and(|rest| rest.starts_with('/'))
}

fn milli(amount: u64) -> f64 {
    amount as f64 / 1000.0
}
