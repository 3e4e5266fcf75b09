//! SUPPRESS: no offers in these roles, until REVIVE: offers again, whatever was refused before.

use crate::effect::Refusal;
use crate::state::Master;
use crate::table::FrameworkOrd;
use proto::Role;

impl Master {
    pub(crate) fn suppress(&mut self, ord: FrameworkOrd, roles: &[Role]) -> Result<(), Refusal> {
        let roles = self.own_roles(ord, roles)?;
        // Outstanding offers and filters stay.
        self.frameworks[ord].suppressed.extend(roles);
        self.seat_framework(ord);
        Ok(())
    }

    pub(crate) fn revive(&mut self, ord: FrameworkOrd, roles: &[Role]) -> Result<(), Refusal> {
        let roles = self.own_roles(ord, roles)?;
        self.clear_filters(ord, |role| roles.contains(role));
        self.clear_inverse_filters(ord);
        for role in &roles {
            self.frameworks[ord].suppressed.remove(role);
        }
        self.seat_framework(ord);
        self.wake(ord);
        Ok(())
    }

    /// The roles that a call names: all of the framework's when it names none. One wrong role
    /// refuses the call.
    fn own_roles(&self, ord: FrameworkOrd, roles: &[Role]) -> Result<Vec<Role>, Refusal> {
        let subscribed = &self.frameworks[ord].info.roles;
        if roles.is_empty() {
            return Ok(subscribed.iter().cloned().collect());
        }
        for role in roles {
            if !subscribed.contains(role) {
                let subscribed = subscribed.iter().cloned().collect();
                return Err(Refusal::RoleNotSubscribed { role: role.clone(), subscribed });
            }
        }
        Ok(roles.to_vec())
    }
}
