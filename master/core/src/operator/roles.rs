//! Weights and quotas of roles as operators call for them: the new way, all or none, and the old
//! one, a role at a time.

use crate::effect::{Effect, Refusal};
use crate::registry::{Quota, RegistryOp};
use crate::state::Master;
use proto::operator::Response;
use proto::{Quantities, QuotaConfig, Role, Weight};

impl Master {
    /// The weights that were set.
    pub(super) fn weight_views(&self) -> Vec<Weight> {
        let all = self.registry.weights().iter();
        all.map(|(role, milli)| Weight { role: role.clone(), weight_milli: *milli }).collect()
    }

    pub(super) fn update_weights(
        &mut self,
        weights: Vec<Weight>,
        out: &mut Vec<Effect>,
    ) -> Result<Response, Refusal> {
        if let Some(zero) = weights.iter().find(|weight| weight.weight_milli == 0) {
            return Err(Refusal::WeightZero(zero.role.clone()));
        }
        for Weight { role, weight_milli } in weights {
            self.allocator.sorter.set_weight(&role, weight_milli);
            self.persist(RegistryOp::SetWeight { role, weight_milli }, out);
        }
        Ok(Response::Ok)
    }

    /// The quotas that were set.
    pub(super) fn quota_views(&self) -> Vec<QuotaConfig> {
        let view = |(role, quota): (&Role, &Quota)| QuotaConfig {
            role: role.clone(),
            guarantees: quota.guarantees.clone(),
            limits: quota.limits.clone(),
        };
        self.registry.quotas().iter().map(view).collect()
    }

    pub(super) fn update_quota(
        &mut self,
        configs: Vec<QuotaConfig>,
        force: bool,
        out: &mut Vec<Effect>,
    ) -> Result<Response, Refusal> {
        let quota = |config: QuotaConfig| {
            let QuotaConfig { role, guarantees, limits } = config;
            (role, Quota { guarantees, limits })
        };
        self.apply_quotas(configs.into_iter().map(quota).collect(), force, out)
    }

    /// SET_QUOTA: what is guaranteed is the limit as well, for a role that had no quota.
    pub(super) fn set_first_quota(
        &mut self,
        role: Role,
        guarantees: Quantities,
        force: bool,
        out: &mut Vec<Effect>,
    ) -> Result<Response, Refusal> {
        if self.registry.quotas().contains_key(&role) {
            let problem = Box::from("is set already: use UPDATE_QUOTA");
            return Err(Refusal::QuotaInvalid { role, problem });
        }
        let limits = guarantees.iter().map(|(name, milli)| (name.clone(), milli)).collect();
        self.apply_quotas(vec![(role, Quota { guarantees, limits })], force, out)
    }

    pub(super) fn remove_quota(
        &mut self,
        role: Role,
        out: &mut Vec<Effect>,
    ) -> Result<Response, Refusal> {
        if !self.registry.quotas().contains_key(&role) {
            let problem = Box::from("is not set");
            return Err(Refusal::QuotaInvalid { role, problem });
        }
        self.apply_quotas(vec![(role, Quota::default())], true, out)
    }
}
