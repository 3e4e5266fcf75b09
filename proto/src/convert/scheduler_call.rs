//! Calls of the scheduler API.

use super::{
    At, decline_in, list, list_with, maybe, need, offer, operation, present, read, scheduler_state,
    schema, task, w, write,
};
use crate::scheduler::{Call, CallBody, Subscribe};
use crate::{AgentId, DecodeError, Encoding, FrameworkId, Limits, OperationId, Role, TaskId, Wire};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use w::scheduler::call::{self as wire, Type};

impl Wire for Call {
    fn encode(&self, encoding: Encoding) -> Bytes {
        write(&w::scheduler::Call::from(self), &schema::MESOS__V1__SCHEDULER__CALL, encoding)
    }

    fn decode(bytes: &[u8], encoding: Encoding, limits: &Limits) -> Result<Self, DecodeError> {
        if encoding == Encoding::Protobuf
            && let Some(call) = decline_in::read(bytes, limits)
        {
            return Ok(call);
        }
        let schema = &schema::MESOS__V1__SCHEDULER__CALL;
        read::<w::scheduler::Call>(bytes, schema, encoding, limits)?.try_into()
    }
}

impl From<&Call> for w::scheduler::Call {
    fn from(call: &Call) -> Self {
        let mut out = Self {
            framework_id: call.framework_id.as_ref().map(Into::into),
            r#type: Type::from_str_name(call.body.name()).map(|kind| kind as i32),
            ..Self::default()
        };
        match &call.body {
            CallBody::Subscribe(subscribe) => out.subscribe = Some((&**subscribe).into()),
            CallBody::UpdateFramework(update) => out.update_framework = Some((&**update).into()),
            // What made no sense is not kept; a framework without a user makes none either.
            CallBody::Unsubscribable(_) => {
                out.subscribe = Some(unsubscribable(out.framework_id.clone()));
            }
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
            CallBody::AcceptInverseOffers { inverse_offer_ids, filters } => {
                out.accept_inverse_offers = Some(wire::AcceptInverseOffers {
                    inverse_offer_ids: inverse_offer_ids.iter().map(Into::into).collect(),
                    filters: Some(filters.into()),
                });
            }
            CallBody::DeclineInverseOffers { inverse_offer_ids, filters } => {
                out.decline_inverse_offers = Some(wire::DeclineInverseOffers {
                    inverse_offer_ids: inverse_offer_ids.iter().map(Into::into).collect(),
                    filters: Some(filters.into()),
                });
            }
            CallBody::State(call) => scheduler_state::write_call(call, &mut out),
            about_one => write_call_about_one(about_one, &mut out),
        }
        out
    }
}

/// The calls that name tasks, executors or operations.
fn write_call_about_one(body: &CallBody, out: &mut w::scheduler::Call) {
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
        CallBody::AcknowledgeOperationStatus { agent_id, uuid, operation_id } => {
            out.acknowledge_operation_status = Some(wire::AcknowledgeOperationStatus {
                agent_id: agent_id.as_ref().map(Into::into),
                uuid: Some(uuid.0.to_vec()),
                operation_id: Some(operation_id.into()),
            });
        }
        CallBody::ReconcileOperations { operations } => {
            let operation = |(operation_id, agent_id): &(OperationId, Option<AgentId>)| {
                wire::reconcile_operations::Operation {
                    operation_id: Some(operation_id.into()),
                    agent_id: agent_id.as_ref().map(Into::into),
                }
            };
            let operations = operations.iter().map(operation).collect();
            out.reconcile_operations = Some(wire::ReconcileOperations { operations });
        }
        _ => {}
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
            offer_constraints: subscribe.offer_constraints.as_ref().map(Into::into),
            fence: subscribe.fence.as_ref().map(Into::into),
        }
    }
}

impl From<&Subscribe> for wire::UpdateFramework {
    fn from(update: &Subscribe) -> Self {
        let wire::Subscribe { framework_info, suppressed_roles, offer_constraints, fence: _ } =
            update.into();
        Self { framework_info, suppressed_roles, offer_constraints }
    }
}

/// A framework with an empty role, which no master takes.
fn unsubscribable(id: Option<w::FrameworkId>) -> wire::Subscribe {
    let framework_info = w::FrameworkInfo {
        user: Some(String::new()),
        name: Some(String::new()),
        id,
        role: Some(String::new()),
        ..w::FrameworkInfo::default()
    };
    wire::Subscribe { framework_info: Some(framework_info), ..wire::Subscribe::default() }
}

impl TryFrom<w::scheduler::Call> for Call {
    type Error = DecodeError;
    fn try_from(mut call: w::scheduler::Call) -> Result<Self, DecodeError> {
        let kind = call.r#type.and_then(|number| Type::try_from(number).ok());
        let kind = present(kind, "type")?;
        let framework_id = call.framework_id.take();
        match kind {
            Type::Subscribe => {
                return subscribe(framework_id, present(call.subscribe, "subscribe")?);
            }
            Type::UpdateFramework => {
                let update = present(call.update_framework.as_ref(), "update_framework")?;
                let field = "update_framework.framework_info.id";
                same_id(framework_id.as_ref(), update.framework_info.as_ref(), field)?;
            }
            _ => {}
        }
        let framework_id: FrameworkId = need(framework_id, "framework_id")?;
        Ok(Self { framework_id: Some(framework_id), body: body(kind, call)? })
    }
}

/// A SUBSCRIBE. A framework that cannot be one is told so on the stream that it opens, as Mesos
/// does it; only the ids of envelope and framework must agree at once.
fn subscribe(
    framework_id: Option<w::FrameworkId>,
    wire: wire::Subscribe,
) -> Result<Call, DecodeError> {
    let field = "subscribe.framework_info.id";
    same_id(framework_id.as_ref(), wire.framework_info.as_ref(), field)?;
    let unsubscribable = |error: DecodeError| CallBody::Unsubscribable(error.to_string().into());
    let framework_id = match maybe(framework_id, "framework_id") {
        Ok(framework_id) => framework_id,
        Err(error) => return Ok(Call { framework_id: None, body: unsubscribable(error) }),
    };
    let body = match Subscribe::try_from(wire) {
        Ok(subscribe) => CallBody::Subscribe(Box::new(subscribe)),
        Err(error) => unsubscribable(error),
    };
    Ok(Call { framework_id, body })
}

fn same_id(
    framework_id: Option<&w::FrameworkId>,
    info: Option<&w::FrameworkInfo>,
    field: &str,
) -> Result<(), DecodeError> {
    if info.and_then(|info| info.id.as_ref()) == framework_id {
        return Ok(());
    }
    Err(DecodeError::new(field, "must be the same as 'framework_id'"))
}

fn body(kind: Type, call: w::scheduler::Call) -> Result<CallBody, DecodeError> {
    match kind {
        Type::Teardown => Ok(CallBody::Teardown),
        Type::Accept => {
            let accept = present(call.accept, "accept")?;
            Ok(CallBody::Accept {
                offer_ids: list(accept.offer_ids, "offer_ids").at("accept")?,
                operations: operation::operations(accept.operations, "operations").at("accept")?,
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
        Type::UpdateFramework => {
            let wire::UpdateFramework { framework_info, suppressed_roles, offer_constraints } =
                present(call.update_framework, "update_framework")?;
            let fence = None;
            let update =
                wire::Subscribe { framework_info, suppressed_roles, offer_constraints, fence };
            let update = Subscribe::try_from(update).at("update_framework")?;
            Ok(CallBody::UpdateFramework(Box::new(update)))
        }
        Type::AcceptInverseOffers => {
            let field = "accept_inverse_offers";
            let accept = present(call.accept_inverse_offers, field)?;
            let ids = list(accept.inverse_offer_ids, "inverse_offer_ids").at(field)?;
            let filters = offer::filters(accept.filters);
            Ok(CallBody::AcceptInverseOffers { inverse_offer_ids: ids, filters })
        }
        Type::DeclineInverseOffers => {
            let field = "decline_inverse_offers";
            let decline = present(call.decline_inverse_offers, field)?;
            let ids = list(decline.inverse_offer_ids, "inverse_offer_ids").at(field)?;
            let filters = offer::filters(decline.filters);
            Ok(CallBody::DeclineInverseOffers { inverse_offer_ids: ids, filters })
        }
        about_one => body_about_one(about_one, call),
    }
}

fn body_about_one(kind: Type, call: w::scheduler::Call) -> Result<CallBody, DecodeError> {
    match kind {
        Type::Kill => kill(present(call.kill, "kill")?).at("kill"),
        Type::Shutdown => shutdown(present(call.shutdown, "shutdown")?).at("shutdown"),
        Type::Acknowledge => {
            acknowledge(present(call.acknowledge, "acknowledge")?).at("acknowledge")
        }
        Type::Reconcile => reconcile(present(call.reconcile, "reconcile")?).at("reconcile"),
        Type::Message => message(present(call.message, "message")?).at("message"),
        Type::AcknowledgeOperationStatus => {
            let field = "acknowledge_operation_status";
            acknowledge_operation(present(call.acknowledge_operation_status, field)?).at(field)
        }
        Type::ReconcileOperations => {
            let field = "reconcile_operations";
            reconcile_operations(present(call.reconcile_operations, field)?).at(field)
        }
        other => match scheduler_state::read_call(other, call)? {
            Some(body) => Ok(body),
            None => Ok(CallBody::NotBuilt(Arc::from(other.as_str_name()))),
        },
    }
}

impl TryFrom<wire::Subscribe> for Subscribe {
    type Error = DecodeError;
    fn try_from(wire: wire::Subscribe) -> Result<Self, DecodeError> {
        let roles: BTreeSet<Role> = list(wire.suppressed_roles, "suppressed_roles")?;
        Ok(Self {
            framework_info: need(wire.framework_info, "framework_info")?,
            suppressed_roles: roles,
            offer_constraints: maybe(wire.offer_constraints, "offer_constraints")?,
            fence: maybe(wire.fence, "fence")?,
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

fn acknowledge_operation(
    acknowledge: wire::AcknowledgeOperationStatus,
) -> Result<CallBody, DecodeError> {
    Ok(CallBody::AcknowledgeOperationStatus {
        agent_id: maybe(acknowledge.agent_id, "agent_id")?,
        uuid: need(acknowledge.uuid, "uuid")?,
        operation_id: need(acknowledge.operation_id, "operation_id")?,
    })
}

fn reconcile_operations(reconcile: wire::ReconcileOperations) -> Result<CallBody, DecodeError> {
    let operation = |operation: wire::reconcile_operations::Operation| {
        let agent_id = maybe(operation.agent_id, "agent_id")?;
        Ok((need(operation.operation_id, "operation_id")?, agent_id))
    };
    let operations = list_with(reconcile.operations, "operations", operation)?;
    Ok(CallBody::ReconcileOperations { operations })
}

fn message(message: wire::Message) -> Result<CallBody, DecodeError> {
    Ok(CallBody::Message {
        agent_id: need(message.agent_id, "agent_id")?,
        executor_id: need(message.executor_id, "executor_id")?,
        data: present(message.data, "data")?.into(),
    })
}
