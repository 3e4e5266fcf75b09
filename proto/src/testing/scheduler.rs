//! Calls and events of the scheduler API, and offers.

use super::framework::domain;
use super::maintenance::{inverse_offer, unavailability};
use super::operation::{operation_status, resource_operation, task_group};
use super::state::{state_answer, state_call, state_fence};
use super::{
    agent_id, attribute, data, executor_id, framework_id, framework_info, interval, master_id,
    maybe, nanos, offer_constraints, offer_id, operation_id, resources, role, task_id, task_info,
    task_status, text, time, uuid,
};
use crate::scheduler::{Call, CallBody, Demand, Event, MasterInfo, Subscribe};
use crate::{Filters, Offer, Operation};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// Calls of Mesos that are not built.
const NOT_BUILT: [&str; 1] = ["UNKNOWN"];

/// Any offer.
pub fn offer() -> impl Strategy<Value = Offer> {
    let ids = (offer_id(), framework_id(), agent_id(), vec(executor_id(), 0..2));
    let place = (text(), any::<u16>(), vec(attribute(), 0..3), maybe(domain()));
    (ids, place, role(), resources(), maybe(unavailability())).prop_map(
        |(ids, place, role, resources, unavailability)| Offer {
            unavailability,
            id: ids.0,
            framework_id: ids.1,
            agent_id: ids.2,
            executor_ids: ids.3,
            hostname: place.0,
            port: place.1,
            attributes: place.2.into(),
            domain: place.3,
            role,
            resources,
        },
    )
}

/// Any operation.
pub fn operation() -> impl Strategy<Value = Operation> {
    let names = ["CREATE_DISK", "UNKNOWN"].map(Arc::from).to_vec();
    prop_oneof![
        4 => vec(task_info(), 0..3).prop_map(Operation::Launch),
        2 => task_group().prop_map(|group| Operation::LaunchGroup(Box::new(group))),
        4 => resource_operation().prop_map(|change| Operation::Change(Box::new(change))),
        1 => prop::sample::select(names).prop_map(Operation::NotBuilt),
    ]
}

fn filters() -> impl Strategy<Value = Filters> {
    prop_oneof![
        (0..10_000_000_u64).prop_map(Duration::from_millis),
        (0..=31_536_000_u64).prop_map(Duration::from_secs),
    ]
    .prop_map(|refuse| Filters { refuse })
}

pub(super) fn demand() -> impl Strategy<Value = Demand> {
    let when = (maybe(time()), any::<i32>());
    (maybe(role()), maybe(agent_id()), resources(), 1..=u32::MAX, when).prop_map(
        |(role, agent_id, resources, count, (deadline, priority))| Demand {
            role,
            agent_id,
            resources,
            count,
            deadline,
            priority,
        },
    )
}

fn body() -> impl Strategy<Value = CallBody> {
    let offer_ids = || vec(offer_id(), 0..3);
    let roles = || vec(role(), 0..3);
    let names = NOT_BUILT.map(Arc::from).to_vec();
    prop_oneof![
        Just(CallBody::Teardown),
        (offer_ids(), vec(operation(), 0..3), filters()).prop_map(
            |(offer_ids, operations, filters)| CallBody::Accept { offer_ids, operations, filters }
        ),
        (offer_ids(), filters())
            .prop_map(|(offer_ids, filters)| CallBody::Decline { offer_ids, filters }),
        roles().prop_map(|roles| CallBody::Revive { roles }),
        roles().prop_map(|roles| CallBody::Suppress { roles }),
        (task_id(), maybe(agent_id()), maybe(nanos()))
            .prop_map(|(task_id, agent_id, grace)| { CallBody::Kill { task_id, agent_id, grace } }),
        (executor_id(), agent_id())
            .prop_map(|(executor_id, agent_id)| CallBody::Shutdown { executor_id, agent_id }),
        (agent_id(), task_id(), uuid()).prop_map(|(agent_id, task_id, uuid)| {
            CallBody::Acknowledge { agent_id, task_id, uuid }
        }),
        vec((task_id(), maybe(agent_id())), 0..3).prop_map(|tasks| CallBody::Reconcile { tasks }),
        (agent_id(), executor_id(), data()).prop_map(|(agent_id, executor_id, data)| {
            CallBody::Message { agent_id, executor_id, data }
        }),
        vec(demand(), 0..3).prop_map(|demands| CallBody::Request { demands }),
        (offer_ids(), filters()).prop_map(|(inverse_offer_ids, filters)| {
            CallBody::AcceptInverseOffers { inverse_offer_ids, filters }
        }),
        (offer_ids(), filters()).prop_map(|(inverse_offer_ids, filters)| {
            CallBody::DeclineInverseOffers { inverse_offer_ids, filters }
        }),
        (maybe(agent_id()), uuid(), operation_id()).prop_map(|(agent_id, uuid, operation_id)| {
            CallBody::AcknowledgeOperationStatus { agent_id, uuid, operation_id }
        }),
        vec((operation_id(), maybe(agent_id())), 0..3)
            .prop_map(|operations| CallBody::ReconcileOperations { operations }),
        state_call().prop_map(CallBody::State),
        prop::sample::select(names).prop_map(CallBody::NotBuilt),
    ]
}

fn subscribe() -> impl Strategy<Value = Subscribe> {
    let fence = maybe(state_fence());
    (framework_info(), btree_set(role(), 0..3), maybe(offer_constraints()), fence).prop_map(
        |(framework_info, suppressed_roles, offer_constraints, fence)| Subscribe {
            framework_info,
            suppressed_roles,
            offer_constraints,
            fence,
        },
    )
}

/// Any call.
pub fn call() -> impl Strategy<Value = Call> {
    let first = subscribe().prop_map(|subscribe| {
        let framework_id = subscribe.framework_info.id.clone();
        Call { framework_id, body: CallBody::Subscribe(Box::new(subscribe)) }
    });
    let update = (framework_id(), subscribe()).prop_map(|(id, mut update)| {
        update.framework_info.id = Some(id.clone());
        update.fence = None;
        Call { framework_id: Some(id), body: CallBody::UpdateFramework(Box::new(update)) }
    });
    let other = (framework_id(), body())
        .prop_map(|(framework_id, body)| Call { framework_id: Some(framework_id), body });
    prop_oneof![1 => first, 1 => update, 6 => other]
}

/// Any master.
pub(super) fn master_info() -> impl Strategy<Value = MasterInfo> {
    (master_id(), text(), any::<u32>(), any::<u16>(), "[0-9.]{1,8}").prop_map(
        |(id, hostname, ip, port, version)| MasterInfo {
            id,
            hostname,
            ip,
            port,
            version: version.into(),
        },
    )
}

/// Any event.
pub fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (framework_id(), interval(), master_info()).prop_map(
            |(framework_id, heartbeat_interval, master)| Event::Subscribed {
                framework_id,
                heartbeat_interval,
                master,
            }
        ),
        vec(offer(), 0..3).prop_map(Event::Offers),
        offer_id().prop_map(Event::Rescind),
        task_status().prop_map(Event::Update),
        (agent_id(), executor_id(), data()).prop_map(|(agent_id, executor_id, data)| {
            Event::Message { agent_id, executor_id, data }
        }),
        (maybe(agent_id()), maybe(executor_id()), maybe(any::<i32>())).prop_map(
            |(agent_id, executor_id, status)| Event::Failure { agent_id, executor_id, status }
        ),
        text().prop_map(Event::Error),
        Just(Event::Heartbeat),
        vec(inverse_offer(), 0..3).prop_map(Event::InverseOffers),
        offer_id().prop_map(Event::RescindInverseOffer),
        operation_status().prop_map(Event::UpdateOperationStatus),
        (text(), any::<u16>(), text()).prop_map(|(call, code, message)| Event::Refused {
            call,
            code,
            message
        }),
        state_answer().prop_map(Event::State),
    ]
}
