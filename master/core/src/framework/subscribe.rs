//! A framework's scheduler opens its event stream: for the first time, again, or in the place of
//! another instance of itself.
//!
//! The newest stream always wins, even while the old one looks alive. Nothing is persisted for a
//! framework that is new: should the master die, it subscribes again with the id that it has.

use super::constraints::Constraints;
use super::footprint::framework_bytes;
use crate::effect::{Effect, Refusal};
use crate::input::ConnectionId;
use crate::registry::RegistryOp;
use crate::state::Master;
use crate::table::FrameworkOrd;
use proto::agent_link::AgentEvent;
use proto::scheduler::{Event, Subscribe};
use proto::{Capability, FrameworkId, FrameworkInfo};
use std::sync::Arc;

impl Master {
    pub(crate) fn subscribe(
        &mut self,
        connection: ConnectionId,
        framework_id: Option<FrameworkId>,
        call: Subscribe,
        principal: Option<&Arc<str>>,
        out: &mut Vec<Effect>,
    ) {
        let constraints = match self.check_subscribe(framework_id.as_ref(), &call, principal) {
            Ok(constraints) => constraints,
            Err(refusal) => {
                self.counters.calls_refused += 1;
                self.framework_closed(connection, out);
                let event = Event::Error(Arc::from(refusal.to_string()));
                out.push(Effect::ToFramework { connection, event });
                out.push(Effect::CloseFramework { connection });
                return;
            }
        };
        let known = framework_id.as_ref().and_then(|id| self.framework_ord(id));
        if let Some(other) = self.streams.get(&connection).copied()
            && known != Some(other)
        {
            // The stream was another framework's; it left it without a word.
            self.disconnect_framework(other, out);
        }
        let info = call.framework_info;
        let ord = match known {
            Some(ord) => {
                self.fail_over(ord, connection, out);
                self.describe_framework(ord, info);
                let framework = &mut self.frameworks[ord];
                framework.reregistered = if framework.recovered { None } else { Some(self.now) };
                ord
            }
            None => {
                let id = framework_id.unwrap_or_else(|| self.new_framework_id());
                self.add_framework(FrameworkInfo { id: Some(id), ..info }, self.now)
            }
        };
        self.connect(ord, connection);
        self.frameworks[ord].suppressed = call.suppressed_roles;
        self.frameworks[ord].constraints = constraints;
        self.seat_framework(ord);
        self.welcome_framework(ord, out);
        for agent in self.agents_of(ord) {
            self.may_ask(agent);
        }
        self.wake(ord);
    }

    fn check_subscribe(
        &self,
        framework_id: Option<&FrameworkId>,
        call: &Subscribe,
        principal: Option<&Arc<str>>,
    ) -> Result<Constraints, Refusal> {
        let info = &call.framework_info;
        if info.id.is_some() && info.id.as_ref() != framework_id {
            let (call, info) = (framework_id.cloned(), info.id.clone());
            return Err(Refusal::FrameworkIdMismatch { call, info });
        }
        self.check_info(call)?;
        if info.principal.is_some() && principal.is_some() && info.principal.as_ref() != principal {
            let (claimed, authenticated) = (info.principal.clone(), principal.cloned());
            return Err(Refusal::PrincipalMismatch { claimed, authenticated });
        }
        let known = framework_id.and_then(|id| self.framework_ord(id));
        let (away, limit) = (self.registry.frameworks().len(), self.options.frameworks_away);
        if known.is_none() && away >= limit {
            return Err(Refusal::TooManyFrameworksAway { away, limit });
        }
        let limit = self.options.frameworks_away_bytes;
        let bytes = self.registry.frameworks_bytes();
        if known.is_none() && bytes >= limit {
            return Err(Refusal::FrameworksAwayTooLarge { bytes, limit });
        }
        if let Some(id) = framework_id.filter(|id| self.registry.is_completed(id)) {
            return Err(Refusal::FrameworkRemoved(id.clone()));
        }
        if let (Some(fence), Some(id)) = (&call.fence, framework_id) {
            let version = self.registry.kept().version_of(id, &fence.key);
            if version != fence.version {
                return Err(Refusal::Fenced { fence: fence.clone(), version });
            }
        }
        if let Some(ord) = known {
            self.check_principal(ord, info)?;
        }
        Constraints::compile(call.offer_constraints.as_ref(), &info.roles)
    }

    /// Whether a framework's description of itself makes sense, whoever it is.
    pub(super) fn check_info(&self, call: &Subscribe) -> Result<(), Refusal> {
        let info = &call.framework_info;
        if !info.single_role && !info.capabilities.has(Capability::MultiRole) {
            return Err(Refusal::MultiRoleMissing);
        }
        let (given, limit) = (info.roles.len(), self.options.framework_roles);
        if given > limit {
            return Err(Refusal::TooManyRoles { given, limit });
        }
        let (bytes, limit) = (framework_bytes(info), self.options.framework_bytes);
        if bytes > limit {
            return Err(Refusal::FrameworkInfoTooLarge { bytes, limit });
        }
        if let Some(role) = call.suppressed_roles.iter().find(|r| !info.roles.contains(r)) {
            return Err(Refusal::SuppressedRoleNotSubscribed(role.clone()));
        }
        if &*info.user == "root" && !self.options.root_submissions {
            return Err(Refusal::RootSubmission);
        }
        if info.failover_timeout > self.options.max_failover_timeout {
            let (asked, limit) = (info.failover_timeout, self.options.max_failover_timeout);
            return Err(Refusal::FailoverTimeoutTooLong { asked, limit });
        }
        Ok(())
    }

    fn new_framework_id(&mut self) -> FrameworkId {
        loop {
            let id = format!("{}-{:04}", self.info.id, self.next_framework);
            self.next_framework += 1;
            let id = FrameworkId::new(id).expect("a master's id leaves room for a number");
            // A framework may come with any id, even one that was not given out yet.
            if !self.framework_ids.contains_key(&id) && !self.registry.is_completed(&id) {
                return id;
            }
        }
    }

    /// The old instance hears that it is replaced; its offers are not the new one's.
    fn fail_over(&mut self, ord: FrameworkOrd, connection: ConnectionId, out: &mut Vec<Effect>) {
        let old = self.frameworks[ord].connection;
        if let Some(old) = old.filter(|old| *old != connection) {
            let event = Event::Error(Arc::from("Framework failed over"));
            out.push(Effect::ToFramework { connection: old, event });
            out.push(Effect::CloseFramework { connection: old });
        }
        self.deactivate(ord);
        self.set_failover_deadline(ord, None);
        let framework_id = self.frameworks[ord].id.clone();
        if self.registry.frameworks().contains_key(&framework_id) {
            self.persist(RegistryOp::ReleaseFramework { framework_id }, out);
        }
    }

    /// Takes the new description; user, principal and checkpointing stay as they were.
    pub(super) fn describe_framework(&mut self, ord: FrameworkOrd, info: FrameworkInfo) {
        let framework = &mut self.frameworks[ord];
        let was = &framework.info;
        let info = FrameworkInfo {
            id: was.id.clone(),
            user: was.user.clone(),
            principal: was.principal.clone(),
            checkpoint: was.checkpoint,
            ..info
        };
        framework.info = Arc::new(info);
    }

    fn connect(&mut self, ord: FrameworkOrd, connection: ConnectionId) {
        let framework = &mut self.frameworks[ord];
        framework.connection = Some(connection);
        framework.recovered = false;
        let bound = self.streams.insert(connection, ord);
        assert!(bound.is_none(), "a stream is one framework's: M1");
    }

    fn welcome_framework(&mut self, ord: FrameworkOrd, out: &mut Vec<Effect>) {
        let subscribed = Event::Subscribed {
            framework_id: self.frameworks[ord].id.clone(),
            heartbeat_interval: self.options.heartbeat_interval,
            master: self.info.clone(),
        };
        self.tell(ord, subscribed, out);
        self.heartbeat(ord, out);
        self.tell_ends(ord, out);
        // Even unchanged: agents take it as the sign to send anew what is not acknowledged.
        let framework = &self.frameworks[ord].info;
        for agent in self.agents_of(ord) {
            let framework = framework.clone();
            self.send(agent, AgentEvent::UpdateFramework { framework }, out);
        }
    }
}
