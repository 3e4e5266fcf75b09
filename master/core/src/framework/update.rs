//! UPDATE_FRAMEWORK: a framework describes itself anew without a new stream.
//!
//! All but user, principal and checkpointing may change. Offers in roles that it leaves are taken
//! back; what it had refused in roles that it suppressed and wants again is offered anew, as after
//! REVIVE.

use super::constraints::Constraints;
use crate::effect::{Effect, Refusal};
use crate::state::Master;
use crate::table::FrameworkOrd;
use proto::agent_link::AgentEvent;
use proto::scheduler::Subscribe;
use proto::{FrameworkInfo, Role};
use std::sync::Arc;

impl Master {
    pub(crate) fn update_framework(
        &mut self,
        ord: FrameworkOrd,
        call: Subscribe,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        self.check_info(&call)?;
        self.check_unchanged(ord, &call.framework_info)?;
        let Subscribe { framework_info: info, suppressed_roles, offer_constraints, fence: _ } =
            call;
        let constraints = Constraints::compile(offer_constraints.as_ref(), &info.roles)?;
        let was = Arc::clone(&self.frameworks[ord].info);
        let left: Vec<Role> = was.roles.difference(&info.roles).cloned().collect();
        let suppressed = &self.frameworks[ord].suppressed;
        let again: Vec<Role> = suppressed.difference(&suppressed_roles).cloned().collect();
        self.rescind_role_offers(ord, &left, out);
        self.clear_filters(ord, |role| left.contains(role) || again.contains(role));
        self.describe_framework(ord, info);
        self.frameworks[ord].suppressed = suppressed_roles;
        self.frameworks[ord].constraints = constraints;
        self.seat_framework(ord);
        self.wake(ord);
        if was != self.frameworks[ord].info {
            let framework = self.frameworks[ord].info.clone();
            for agent in self.agents_of(ord) {
                let framework = framework.clone();
                self.send(agent, AgentEvent::UpdateFramework { framework }, out);
            }
        }
        Ok(())
    }

    /// What a framework keeps for life.
    fn check_unchanged(&self, ord: FrameworkOrd, info: &FrameworkInfo) -> Result<(), Refusal> {
        let (id, was) = (&self.frameworks[ord].id, &self.frameworks[ord].info);
        if info.id.as_ref().is_some_and(|said| said != id) {
            let (call, info) = (Some(id.clone()), info.id.clone());
            return Err(Refusal::FrameworkIdMismatch { call, info });
        }
        let changed = |field, was: &str, claimed: &str| {
            let (was, claimed) = (Arc::from(was), Arc::from(claimed));
            Err(Refusal::Changed { field, was, claimed })
        };
        if was.user != info.user {
            return changed("user", &was.user, &info.user);
        }
        if was.checkpoint != info.checkpoint {
            let words = |checkpoint| if checkpoint { "true" } else { "false" };
            return changed("checkpoint", words(was.checkpoint), words(info.checkpoint));
        }
        self.check_principal(ord, info)
    }

    /// A framework is the same principal's for life.
    pub(super) fn check_principal(
        &self,
        ord: FrameworkOrd,
        info: &FrameworkInfo,
    ) -> Result<(), Refusal> {
        let was = &self.frameworks[ord].info.principal;
        if *was == info.principal {
            return Ok(());
        }
        let word = |principal: &Option<Arc<str>>| {
            principal.as_ref().map_or(Arc::from("none"), |name| Arc::from(format!("'{name}'")))
        };
        let (field, was, claimed) = ("principal", word(was), word(&info.principal));
        Err(Refusal::Changed { field, was, claimed })
    }
}
