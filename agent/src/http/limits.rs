//! UPDATE_CONTAINER_LIMITS: what a task may use beyond what it asked for, changed while it runs.

use super::call::{PATIENCE, Refusal};
use super::{Ask, Context};
use agent_core::{Limits, LimitsRefused};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use proto::ContainerId;
use proto::agent_api::ContainerPath;
use tokio::sync::oneshot;

/// Limits that the server is to order.
#[derive(Debug)]
pub(crate) struct NewLimits {
    pub(crate) container: ContainerId,
    pub(crate) limits: Limits,
    /// Answered when they are in force, or cannot be.
    pub(crate) reply: oneshot::Sender<Result<(), LimitsError>>,
}

/// Why limits are not in force.
#[derive(Debug)]
pub(crate) enum LimitsError {
    /// They were not ordered.
    Refused(LimitsRefused),
    /// The kernel, or who asks it, says so.
    Failed(String),
}

pub(super) async fn update(
    context: &Context,
    container: ContainerPath,
    limits: Limits,
) -> Result<Response, Refusal> {
    if container.parent.is_some() {
        return Err(Refusal::bad(
            "container_id: a session has the limits of the task that it is in",
        ));
    }
    let (reply, answer) = oneshot::channel();
    let stopping = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping");
    let order = Box::new(NewLimits { container: container.id, limits, reply });
    context.asks.send(Ask::UpdateLimits(order)).await.map_err(|_| stopping())?;
    let answer = tokio::time::timeout(PATIENCE, answer).await.map_err(|_| {
        let message = "the limits were ordered, and nothing was heard of them";
        Refusal::new(StatusCode::GATEWAY_TIMEOUT, message)
    })?;
    match answer.map_err(|_| stopping())? {
        Ok(()) => Ok(StatusCode::OK.into_response()),
        Err(LimitsError::Refused(why @ LimitsRefused::NoContainer(_))) => {
            Err(Refusal::new(StatusCode::NOT_FOUND, why.to_string()))
        }
        Err(LimitsError::Refused(why)) => Err(Refusal::bad(why.to_string())),
        Err(LimitsError::Failed(why)) => {
            Err(Refusal::new(StatusCode::CONFLICT, format!("the limits are not in force: {why}")))
        }
    }
}
