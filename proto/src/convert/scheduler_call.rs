//! Calls of the scheduler API.

use super::{At, list, list_with, maybe, need, offer, present, task, w};
use crate::scheduler::{Call, CallBody, Subscribe};
use crate::{AgentId, DecodeError, Role, TaskId};
use std::collections::BTreeSet;
use std::sync::Arc;
use w::scheduler::call::{self as wire, Type};

impl From<&Call> for w::scheduler::Call {
    fn from(call: &Call) -> Self {
        let mut out = Self {
            framework_id: call.framework_id.as_ref().map(Into::into),
            r#type: Type::from_str_name(call.body.name()).map(|kind| kind as i32),
            ..Self::default()
        };
        match &call.body {
            CallBody::Subscribe(subscribe) => out.subscribe = Some((&**subscribe).into()),
            CallBody::Teardown => {}
            CallBody::Accept { offer_ids, operations, filters } => {
                out.accept = Some(wire::Accept {
                    offer_ids: offer_ids.iter().map(Into::into).collect(),
                    operations: operations.iter().map(Into::into).collect(),
                    filters: Some(filters.into()),
                });
            }
            CallBody::Decline { offer_ids, filters } => {
                out.decline = Some(wire::Decline {
                    offer_ids: offer_ids.iter().map(Into::into).collect(),
                    filters: Some(filters.into()),
                });
            }
            CallBody::Revive { roles } => out.revive = Some(wire::Revive { roles: names(roles) }),
            CallBody::Suppress { roles } => {
                out.suppress = Some(wire::Suppress { roles: names(roles) });
            }
            CallBody::Request { demands } => {
                let requests = demands.iter().map(Into::into).collect();
                out.request = Some(wire::Request { requests });
            }
            CallBody::NotBuilt(_) => {
                // A name that Mesos does not have stays what it is to others: unknown.
                out.r#type = Some(out.r#type.unwrap_or(Type::Unknown as i32));
            }
            about_tasks => write_task_call(about_tasks, &mut out),
        }
        out
    }
}

/// The calls that name one task or executor.
fn write_task_call(body: &CallBody, out: &mut w::scheduler::Call) {
    match body {
        CallBody::Kill { task_id, agent_id, grace } => {
            out.kill = Some(wire::Kill {
                task_id: Some(task_id.into()),
                agent_id: agent_id.as_ref().map(Into::into),
                kill_policy: grace.map(task::kill_policy),
            });
        }
        CallBody::Shutdown { executor_id, agent_id } => {
            out.shutdown = Some(wire::Shutdown {
                executor_id: Some(executor_id.into()),
                agent_id: Some(agent_id.into()),
            });
        }
        CallBody::Acknowledge { agent_id, task_id, uuid } => {
            out.acknowledge = Some(wire::Acknowledge {
                agent_id: Some(agent_id.into()),
                task_id: Some(task_id.into()),
                uuid: Some(uuid.0.to_vec()),
            });
        }
        CallBody::Reconcile { tasks } => {
            let task = |(task_id, agent_id): &(TaskId, Option<AgentId>)| wire::reconcile::Task {
                task_id: Some(task_id.into()),
                agent_id: agent_id.as_ref().map(Into::into),
            };
            out.reconcile = Some(wire::Reconcile { tasks: tasks.iter().map(task).collect() });
        }
        CallBody::Message { agent_id, executor_id, data } => {
            out.message = Some(wire::Message {
                agent_id: Some(agent_id.into()),
                executor_id: Some(executor_id.into()),
                data: Some(data.to_vec()),
            });
        }
        CallBody::Subscribe(_)
        | CallBody::Teardown
        | CallBody::Accept { .. }
        | CallBody::Decline { .. }
        | CallBody::Revive { .. }
        | CallBody::Suppress { .. }
        | CallBody::Request { .. }
        | CallBody::NotBuilt(_) => {}
    }
}

fn names<'a>(roles: impl IntoIterator<Item = &'a Role>) -> Vec<String> {
    roles.into_iter().map(|role| role.as_str().to_owned()).collect()
}

impl From<&Subscribe> for wire::Subscribe {
    fn from(subscribe: &Subscribe) -> Self {
        Self {
            framework_info: Some((&subscribe.framework_info).into()),
            suppressed_roles: names(&subscribe.suppressed_roles),
            offer_constraints: subscribe
                .has_offer_constraints
                .then_some(w::scheduler::OfferConstraints {}),
        }
    }
}

impl TryFrom<w::scheduler::Call> for Call {
    type Error = DecodeError;
    fn try_from(mut call: w::scheduler::Call) -> Result<Self, DecodeError> {
        let kind = call.r#type.and_then(|number| Type::try_from(number).ok());
        let kind = present(kind, "type")?;
        let framework_id = maybe(call.framework_id.take(), "framework_id")?;
        if framework_id.is_none() && kind != Type::Subscribe {
            return Err(DecodeError::missing("framework_id"));
        }
        let body = body(kind, call)?;
        if let CallBody::Subscribe(subscribe) = &body
            && subscribe.framework_info.id != framework_id
        {
            let problem = "must be the same as 'framework_id'";
            return Err(DecodeError::new("subscribe.framework_info.id", problem));
        }
        Ok(Self { framework_id, body })
    }
}

fn body(kind: Type, call: w::scheduler::Call) -> Result<CallBody, DecodeError> {
    match kind {
        Type::Subscribe => {
            let subscribe: Subscribe = need(call.subscribe, "subscribe")?;
            Ok(CallBody::Subscribe(Box::new(subscribe)))
        }
        Type::Teardown => Ok(CallBody::Teardown),
        Type::Accept => {
            let accept = present(call.accept, "accept")?;
            Ok(CallBody::Accept {
                offer_ids: list(accept.offer_ids, "offer_ids").at("accept")?,
                operations: offer::operations(accept.operations, "operations").at("accept")?,
                filters: offer::filters(accept.filters),
            })
        }
        Type::Decline => {
            let decline = present(call.decline, "decline")?;
            Ok(CallBody::Decline {
                offer_ids: list(decline.offer_ids, "offer_ids").at("decline")?,
                filters: offer::filters(decline.filters),
            })
        }
        // Both may come without a message of their own: all roles.
        Type::Revive => {
            let roles = call.revive.unwrap_or_default().roles;
            Ok(CallBody::Revive { roles: list(roles, "roles").at("revive")? })
        }
        Type::Suppress => {
            let roles = call.suppress.unwrap_or_default().roles;
            Ok(CallBody::Suppress { roles: list(roles, "roles").at("suppress")? })
        }
        Type::Request => {
            let requests = present(call.request, "request")?.requests;
            Ok(CallBody::Request { demands: list(requests, "requests").at("request")? })
        }
        Type::Kill => kill(present(call.kill, "kill")?).at("kill"),
        Type::Shutdown => shutdown(present(call.shutdown, "shutdown")?).at("shutdown"),
        Type::Acknowledge => {
            acknowledge(present(call.acknowledge, "acknowledge")?).at("acknowledge")
        }
        Type::Reconcile => reconcile(present(call.reconcile, "reconcile")?).at("reconcile"),
        Type::Message => message(present(call.message, "message")?).at("message"),
        Type::Unknown
        | Type::AcceptInverseOffers
        | Type::DeclineInverseOffers
        | Type::AcknowledgeOperationStatus
        | Type::ReconcileOperations
        | Type::UpdateFramework => Ok(CallBody::NotBuilt(Arc::from(kind.as_str_name()))),
    }
}

impl TryFrom<wire::Subscribe> for Subscribe {
    type Error = DecodeError;
    fn try_from(wire: wire::Subscribe) -> Result<Self, DecodeError> {
        let roles: BTreeSet<Role> = list(wire.suppressed_roles, "suppressed_roles")?;
        Ok(Self {
            framework_info: need(wire.framework_info, "framework_info")?,
            suppressed_roles: roles,
            has_offer_constraints: wire.offer_constraints.is_some(),
        })
    }
}

fn kill(kill: wire::Kill) -> Result<CallBody, DecodeError> {
    Ok(CallBody::Kill {
        task_id: need(kill.task_id, "task_id")?,
        agent_id: maybe(kill.agent_id, "agent_id")?,
        grace: task::grace(kill.kill_policy)?,
    })
}

fn shutdown(shutdown: wire::Shutdown) -> Result<CallBody, DecodeError> {
    Ok(CallBody::Shutdown {
        executor_id: need(shutdown.executor_id, "executor_id")?,
        agent_id: need(shutdown.agent_id, "agent_id")?,
    })
}

fn acknowledge(acknowledge: wire::Acknowledge) -> Result<CallBody, DecodeError> {
    Ok(CallBody::Acknowledge {
        agent_id: need(acknowledge.agent_id, "agent_id")?,
        task_id: need(acknowledge.task_id, "task_id")?,
        uuid: need(acknowledge.uuid, "uuid")?,
    })
}

fn reconcile(reconcile: wire::Reconcile) -> Result<CallBody, DecodeError> {
    let task = |task: wire::reconcile::Task| {
        Ok((need(task.task_id, "task_id")?, maybe(task.agent_id, "agent_id")?))
    };
    Ok(CallBody::Reconcile { tasks: list_with(reconcile.tasks, "tasks", task)? })
}

fn message(message: wire::Message) -> Result<CallBody, DecodeError> {
    Ok(CallBody::Message {
        agent_id: need(message.agent_id, "agent_id")?,
        executor_id: need(message.executor_id, "executor_id")?,
        data: present(message.data, "data")?.into(),
    })
}
