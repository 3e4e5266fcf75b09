//! Operations on resources that frameworks want to be told of.
//!
//! I23: an operation with an id that was taken has one end; its framework is told of it until it
//! acknowledges it, whoever crashes, and before that nobody forgets it. The operations of an agent
//! that an operator gives up end with it: that is told once, and to whoever asks.

use super::{Verdict, broken};
use master_core::{Registry, RegistryOp};
use proto::scheduler::{Call, CallBody};
use proto::{AgentId, FrameworkId, OperationId, OperationState, OperationStatus, StatusUuid};
use std::collections::{BTreeMap, BTreeSet};

type Key = (FrameworkId, OperationId);

/// All operations with an id.
#[derive(Debug, Default)]
pub(super) struct Operations {
    /// Those in the registry, and where.
    taken: BTreeMap<StatusUuid, (Key, AgentId)>,
    ends: BTreeMap<Key, (StatusUuid, OperationState)>,
    acknowledged: BTreeSet<StatusUuid>,
}

impl Operations {
    pub(super) fn begin(&mut self, registry: &Registry) {
        let known = registry.operations().iter();
        let named = known.filter_map(|(uuid, known)| {
            let key = (known.framework_id.clone()?, known.operation.id.clone()?);
            Some((*uuid, (key, known.agent_id.clone())))
        });
        self.taken = named.collect();
    }

    /// The registry changes; `here` are the frameworks that are connected.
    pub(super) fn registry_changes<'a>(
        &mut self,
        op: &RegistryOp,
        mut here: impl Iterator<Item = &'a FrameworkId>,
    ) -> Verdict {
        match op {
            RegistryOp::PutOperation { uuid, operation } => {
                let (framework, id) = (operation.framework_id.clone(), &operation.operation.id);
                match (framework, id) {
                    (Some(framework), Some(id)) => {
                        let key = (framework, id.clone());
                        self.taken.insert(*uuid, (key, operation.agent_id.clone()));
                    }
                    _ => {
                        self.taken.remove(uuid);
                    }
                }
            }
            RegistryOp::RemoveOperation { uuid } => {
                if let Some(((framework, id), _)) = self.taken.remove(uuid)
                    && !self.acknowledged.contains(uuid)
                    && here.any(|known| *known == framework)
                {
                    let what = format!("operation {id} of {framework} is forgotten too early");
                    return broken("I23", what);
                }
            }
            // Nobody waits for it any more.
            RegistryOp::CompleteFramework { info, .. } => {
                self.taken.retain(|_, ((framework, _), _)| Some(&*framework) != info.id.as_ref());
            }
            RegistryOp::MarkGone { agent_id, .. } => {
                self.taken.retain(|_, (_, agent)| agent != agent_id);
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn framework_calls(&mut self, call: &Call) {
        if let CallBody::AcknowledgeOperationStatus { uuid, .. } = &call.body {
            self.acknowledged.insert(*uuid);
        }
    }

    /// A framework is told how an operation stands.
    pub(super) fn heard(&mut self, framework: &FrameworkId, status: &OperationStatus) -> Verdict {
        let (Some(id), Some(uuid)) = (&status.operation_id, status.uuid) else { return Ok(()) };
        let key = (framework.clone(), id.clone());
        let (first, end) = *self.ends.entry(key).or_insert((uuid, status.state));
        if (first, end) != (uuid, status.state) {
            let state = status.state;
            let what = format!("operation {id} of {framework} has two ends: {end} and {state}");
            return broken("I23", what);
        }
        Ok(())
    }

    /// Whether every framework that is not over knows the ends of its operations.
    pub(super) fn all_told(&self, is_over: impl Fn(&FrameworkId) -> bool) -> Result<(), String> {
        match self.taken.values().find(|((framework, _), _)| !is_over(framework)) {
            None => Ok(()),
            Some(((framework, id), _)) => Err(format!("operation {id} of {framework} is not over")),
        }
    }
}
