//! Calls and events of the executor API.

use super::task::executor;
use super::{
    agent_info, container_id, data, executor_id, framework_id, framework_info, maybe, nanos,
    task_id, task_info, task_status, text, uuid,
};
use crate::executor::{Call, CallBody, Event, Subscribed, Update};
use crate::{ExecutorId, Source, TaskState};
use proptest::collection::vec;
use proptest::prelude::*;

/// A status that this executor may report.
fn update(of: ExecutorId) -> impl Strategy<Value = Update> {
    (task_status(), uuid(), any::<bool>()).prop_map(move |(mut status, uuid, named)| {
        status.uuid = Some(uuid);
        status.source = Source::Executor;
        status.executor_id = named.then(|| of.clone());
        if status.state == TaskState::Staging {
            status.state = TaskState::Running;
        }
        Update::new(status).expect("it was made to fit")
    })
}

/// Any call.
pub fn executor_call() -> impl Strategy<Value = Call> {
    (executor_id(), framework_id()).prop_flat_map(|(executor_id, framework_id)| {
        let updates = vec(update(executor_id.clone()), 0..3);
        let subscribe = (vec(task_info(), 0..2), updates).prop_map(|(tasks, updates)| {
            CallBody::Subscribe { unacknowledged_tasks: tasks, unacknowledged_updates: updates }
        });
        let body = prop_oneof![
            subscribe,
            update(executor_id.clone()).prop_map(|update| CallBody::Update(Box::new(update))),
            data().prop_map(CallBody::Message),
            Just(CallBody::Heartbeat),
        ];
        body.prop_map(move |body| Call {
            executor_id: executor_id.clone(),
            framework_id: framework_id.clone(),
            body,
        })
    })
}

/// Any event.
pub fn executor_event() -> impl Strategy<Value = Event> {
    let subscribed = (executor(), framework_info(), agent_info(), maybe(container_id())).prop_map(
        |(executor_info, framework_info, agent_info, container_id)| {
            let subscribed = Subscribed { executor_info, framework_info, agent_info, container_id };
            Event::Subscribed(Box::new(subscribed))
        },
    );
    prop_oneof![
        subscribed,
        task_info().prop_map(|task| Event::Launch(Box::new(task))),
        vec(task_info(), 0..3).prop_map(Event::LaunchGroup),
        (task_id(), maybe(nanos())).prop_map(|(task_id, grace)| Event::Kill { task_id, grace }),
        (task_id(), uuid()).prop_map(|(task_id, uuid)| Event::Acknowledged { task_id, uuid }),
        data().prop_map(Event::Message),
        text().prop_map(Event::Error),
        Just(Event::Shutdown),
        Just(Event::Heartbeat),
    ]
}
