//! Limits of roles, against what the books say is used and offered.
//!
//! I6: nothing is offered to a role that would take it, or a role above it, over a limit; and once
//! a limit is set, no offer stands above it. What runs already is not touched by a limit, and an
//! agent that returns brings what runs there. As in Mesos what is reserved to a role counts as
//! consumed, used or not, and revocable resources never count.

use super::{Verdict, broken};
use master_core::{Quota, Registry, RegistryOp};
use proto::{Piece, Quantities, Resources, Role};
use std::collections::{BTreeMap, BTreeSet};

/// All quotas.
#[derive(Debug, Default)]
pub(super) struct Limits {
    quotas: BTreeMap<Role, Quota>,
    /// Roles to which something was offered in this step, and what.
    offered: BTreeMap<Role, Quantities>,
    /// Roles whose quotas were set in this step.
    set: BTreeSet<Role>,
}

/// Whether `role` is `above` or below it.
fn belongs(role: &Role, above: &Role) -> bool {
    let rest = role.as_str().strip_prefix(above.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What is reserved counts where it is, whoever uses it, and what may be taken back not at all.
fn counted(resources: &Resources) -> Quantities {
    let plain = |piece: &Piece| !piece.flavor.revocable && piece.flavor.reserved_to().is_none();
    resources.filtered(plain).quantities()
}

impl Limits {
    pub(super) fn begin(&mut self, registry: &Registry) {
        *self = Self { quotas: registry.quotas().clone(), ..Self::default() };
    }

    pub(super) fn registry_changes(&mut self, op: &RegistryOp) {
        match op {
            RegistryOp::SetQuota { role, quota } => {
                self.quotas.insert(role.clone(), quota.clone());
                self.set.insert(role.clone());
            }
            RegistryOp::RemoveQuota { role } => {
                self.quotas.remove(role);
            }
            _ => {}
        }
    }

    pub(super) fn offers(&mut self, role: &Role, resources: &Resources) {
        if !self.quotas.is_empty() {
            self.offered.entry(role.clone()).or_default().add_all(&counted(resources));
        }
    }

    /// After a step: `used` and `offers` are all that there are, with their roles, and `totals`
    /// what each agent has.
    pub(super) fn hold<'a>(
        &mut self,
        used: impl Iterator<Item = &'a (Role, Resources)> + Clone,
        offers: impl Iterator<Item = (&'a Role, &'a Resources)> + Clone,
        totals: impl Iterator<Item = &'a Resources> + Clone,
    ) -> Verdict {
        let (fresh, set) = (std::mem::take(&mut self.offered), std::mem::take(&mut self.set));
        if fresh.is_empty() && set.is_empty() {
            return Ok(());
        }
        for (above, quota) in &self.quotas {
            let mut new = Quantities::default();
            let here = fresh.iter().filter(|(role, _)| belongs(role, above));
            here.for_each(|(_, amounts)| new.add_all(amounts));
            let all_offered = set.contains(above);
            if new.is_empty() && !all_offered {
                continue;
            }
            let mut consumed = Quantities::default();
            for (role, resources) in used.clone() {
                if belongs(role, above) {
                    consumed.add_all(&counted(resources));
                }
            }
            for total in totals.clone() {
                let ours = |piece: &Piece| {
                    let to = piece.flavor.reserved_to();
                    !piece.flavor.revocable && to.is_some_and(|role| belongs(role, above))
                };
                consumed.add_all(&total.filtered(ours).quantities());
            }
            let mut standing = Quantities::default();
            for (role, resources) in offers.clone() {
                if belongs(role, above) {
                    standing.add_all(&counted(resources));
                }
            }
            for (name, most) in &quota.limits {
                let (consumed, standing) = (consumed.get(name), standing.get(name));
                let judged = new.get(name) > 0 || (all_offered && standing > 0);
                if judged && consumed + standing > *most {
                    let what = format!(
                        "{above} may have {name} {most} (thousandths), uses {consumed} and is \
                         offered {standing}"
                    );
                    return broken("I6", what);
                }
            }
        }
        Ok(())
    }
}
