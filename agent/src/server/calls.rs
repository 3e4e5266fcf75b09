//! Calls of custom executors: who may make which, and the input that each is to the core.

use super::Server;
use crate::executors::{Asked, Refused};
use agent_core::{ExecutorInput, Input};
use axum::http::StatusCode;
use proto::ContainerId;
use proto::executor::{Call, CallBody};

impl Server {
    pub(super) fn executor_call(&mut self, asked: Asked) {
        let Asked { call, holder, stream, reply } = asked;
        let checked = self.check_caller(&call, holder.as_ref());
        if let Ok(container_id) = &checked
            && let Some(input) = input(call.body, stream)
        {
            let subscribes = matches!(input, ExecutorInput::Subscribed { .. });
            self.step(Input::Executor { container_id: container_id.clone(), input });
            if subscribes {
                fail::fail_point!("executor-subscribed");
            }
        }
        // Whoever asked may be gone.
        let _ = reply.send(checked);
    }

    /// The executor that makes a call.
    fn check_caller(
        &self,
        call: &Call,
        holder: Option<&ContainerId>,
    ) -> Result<ContainerId, Refused> {
        let (framework, executor) = (&call.framework_id, &call.executor_id);
        let Some(container_id) = self.core.executor_container(framework, executor) else {
            let message = format!("Executor {executor} of framework {framework} is not known");
            return Err(Refused::new(StatusCode::BAD_REQUEST, message));
        };
        if holder.is_some_and(|holder| holder != container_id) {
            let message = format!("the token is not that of executor {executor} of {framework}");
            return Err(Refused::new(StatusCode::FORBIDDEN, message));
        }
        let subscribes = matches!(call.body, CallBody::Subscribe { .. });
        if !subscribes && !self.core.is_subscribed(container_id) {
            let message = format!("Executor {executor} is not subscribed");
            return Err(Refused::new(StatusCode::FORBIDDEN, message));
        }
        if let CallBody::Update(update) = &call.body
            && !update.status().state.is_terminal()
            && self.core.is_crowded(framework, &update.status().task_id)
        {
            let message = format!(
                "too many updates of task {} wait for their acknowledgement; try again later",
                update.status().task_id
            );
            return Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, message));
        }
        Ok(container_id.clone())
    }
}

/// What a call is to the core; a heartbeat is nothing.
fn input(body: CallBody, stream: u64) -> Option<ExecutorInput> {
    Some(match body {
        CallBody::Subscribe { unacknowledged_tasks, unacknowledged_updates } => {
            let tasks = unacknowledged_tasks.into_iter().map(|task| task.task_id).collect();
            ExecutorInput::Subscribed { stream, tasks, updates: unacknowledged_updates }
        }
        CallBody::Update(update) => ExecutorInput::Update(update),
        CallBody::Message(data) => ExecutorInput::Message(data),
        CallBody::Heartbeat => return None,
    })
}
