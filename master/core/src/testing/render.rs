//! Effects as text: one short line each, the same in every test and transcript.

use crate::{Effect, RegistryOp};
use proto::agent_link::AgentEvent;
use proto::scheduler::{Event, StateEntry, StateOutcome};
use proto::{FrameworkId, FrameworkInfo, InverseOffer, Offer, Source, TaskStatus};
use std::fmt::Write as _;

/// An effect as one line.
pub fn render(effect: &Effect) -> String {
    match effect {
        Effect::Persist(op) => format!("registry: {}", op_text(op)),
        Effect::ToFramework { connection, event } => {
            format!("{connection} <- {}", event_text(event))
        }
        Effect::CloseFramework { connection } | Effect::CloseAgent { connection } => {
            format!("{connection} closed")
        }
        Effect::ToAgent { connection, epoch: _, event } => {
            format!("{connection} <- {}", agent_text(event))
        }
        Effect::Accepted { request } => format!("{request} accepted"),
        Effect::Refused { request: _, call, refusal } => {
            format!("{call} refused ({}): {refusal}", refusal.http_status())
        }
        Effect::Answer { request: _, response } => format!("answer: {response:?}"),
        Effect::Publish(change) => format!("publish: {change:?}"),
    }
}

fn id_of(info: &FrameworkInfo) -> &str {
    info.id.as_ref().map_or("?", FrameworkId::as_str)
}

fn op_text(op: &RegistryOp) -> String {
    match op {
        RegistryOp::FoundCluster { cluster_id } => format!("found {cluster_id}"),
        RegistryOp::BeginEpoch { epoch, master_id } => format!("epoch {epoch} of {master_id}"),
        RegistryOp::AdmitAgent { info, .. } => {
            let id = info.id.as_ref().map_or("?", |id| id.as_str());
            format!("admit {id} {}", info.resources)
        }
        RegistryOp::MarkUnreachable { agent_id, .. } => format!("unreachable {agent_id}"),
        RegistryOp::MarkReachable { agent_id } => format!("reachable {agent_id}"),
        RegistryOp::DeactivateAgent { agent_id } => format!("deactivate {agent_id}"),
        RegistryOp::ReactivateAgent { agent_id } => format!("reactivate {agent_id}"),
        RegistryOp::DrainAgent { agent_id, drain } if drain.drained => {
            format!("drained {agent_id}")
        }
        RegistryOp::DrainAgent { agent_id, drain } => {
            let gone = if drain.mark_gone { ", then gone" } else { "" };
            match drain.max_grace {
                Some(grace) => format!("drain {agent_id} within {} s{gone}", grace.as_secs()),
                None => format!("drain {agent_id}{gone}"),
            }
        }
        RegistryOp::MarkGone { agent_id, .. } => format!("gone {agent_id}"),
        RegistryOp::SetMaintenance { maintenance } => {
            let planned: Vec<String> =
                maintenance.draining().map(|machine| format!(" {machine}")).collect();
            let down: Vec<String> =
                maintenance.down.iter().map(|machine| format!(" {machine}")).collect();
            format!("maintenance of{}; down are{}", planned.concat(), down.concat())
        }
        RegistryOp::RemoveAgent { agent_id } => format!("remove {agent_id}"),
        RegistryOp::HoldFramework { info, deadline, .. } => {
            format!("hold {} until {}", id_of(info), deadline.as_millis() / 1000)
        }
        RegistryOp::ReleaseFramework { framework_id } => format!("release {framework_id}"),
        RegistryOp::CompleteFramework { info, .. } => format!("complete {}", id_of(info)),
        RegistryOp::SetWeight { role, weight_milli } => format!("weight {role} {weight_milli}"),
        RegistryOp::SetQuota { role, quota } => format!("quota {role} {quota}"),
        RegistryOp::RemoveQuota { role } => format!("no quota {role}"),
        RegistryOp::SetHoldings { agent_id, holdings } => {
            let mut text = format!("holdings {agent_id} {}", holdings.changed);
            for volume in &holdings.doomed {
                let _ = write!(text, " doomed {}{}", volume.name, volume.flavor);
            }
            text
        }
        RegistryOp::PutOperation { uuid, operation } => {
            let status = operation.status(*uuid);
            let id = status.operation_id.as_ref().map_or("-", |id| id.as_str());
            format!("operation {id} {} {}", operation.operation.change.name(), status.state)
        }
        RegistryOp::RemoveOperation { .. } => "operation removed".to_owned(),
        RegistryOp::OpenState { info, .. } => format!("state of {}", id_of(info)),
        RegistryOp::PutState { framework_id, key, value, version, .. } => {
            format!("state of {framework_id}: {key} has {} bytes, version {version}", value.len())
        }
        RegistryOp::DeleteState { framework_id, key, version } => {
            format!("state of {framework_id}: {key} deleted, version {version}")
        }
        RegistryOp::ForgetState { framework_id, keys } => {
            format!("state of {framework_id} forgotten, {} keys", keys.len())
        }
    }
}

fn offer_text(offer: &Offer) -> String {
    format!("[{} {} {} {}]", offer.id, offer.agent_id, offer.role, offer.resources)
}

fn event_text(event: &Event) -> String {
    match event {
        Event::Subscribed { framework_id, .. } => format!("SUBSCRIBED {framework_id}"),
        Event::Offers(offers) => {
            let offers: Vec<String> = offers.iter().map(offer_text).collect();
            format!("OFFERS {}", offers.join(" "))
        }
        Event::Rescind(id) => format!("RESCIND {id}"),
        Event::Update(status) => format!("UPDATE {}", status_text(status)),
        Event::Message { agent_id, executor_id, data } => {
            format!("MESSAGE {executor_id} on {agent_id}, {} bytes", data.len())
        }
        Event::Failure { agent_id, executor_id, status } => {
            let agent = agent_id.as_ref().map_or("?", |id| id.as_str());
            match (executor_id, status) {
                (Some(executor), status) => format!("FAILURE {executor} on {agent}, {status:?}"),
                (None, _) => format!("FAILURE {agent}"),
            }
        }
        Event::InverseOffers(offers) => {
            let one = |offer: &InverseOffer| {
                let agent = offer.agent_id.as_ref().map_or("?", |id| id.as_str());
                format!("[{} {agent}]", offer.id)
            };
            format!("INVERSE_OFFERS {}", offers.iter().map(one).collect::<Vec<_>>().join(" "))
        }
        Event::RescindInverseOffer(id) => format!("RESCIND_INVERSE_OFFER {id}"),
        Event::UpdateOperationStatus(status) => {
            let id = status.operation_id.as_ref().map_or("?", |id| id.as_str());
            let mut text = format!("UPDATE_OPERATION_STATUS {id} {}", status.state);
            let _ = write!(text, "{}", if status.uuid.is_some() { " ack" } else { "" });
            text
        }
        Event::Error(message) => format!("ERROR {message}"),
        Event::Heartbeat => "HEARTBEAT".to_owned(),
        Event::Refused { call, code, message } => format!("REFUSED {call} {code} {message}"),
        Event::State(answer) => {
            format!("STATE {} {}", answer.number, outcome_text(&answer.outcome))
        }
    }
}

fn outcome_text(outcome: &StateOutcome) -> String {
    match outcome {
        StateOutcome::Done { key, version } => format!("done {key} {version}"),
        StateOutcome::Conflict { key, version } => format!("conflict {key} {version}"),
        StateOutcome::Refused { message } => format!("refused: {message}"),
        StateOutcome::Found(entries) => {
            let one = |entry: &StateEntry| {
                let value = String::from_utf8_lossy(&entry.value);
                format!(" {}={value}@{}", entry.key, entry.version)
            };
            format!("found{}", entries.iter().map(one).collect::<String>())
        }
    }
}

fn status_text(status: &TaskStatus) -> String {
    let mut text = format!("{} {}", status.task_id, status.state);
    let by = match status.source {
        Source::Master => "master",
        Source::Agent => "agent",
        Source::Executor => "executor",
    };
    let _ = write!(text, " {by}");
    if let Some(reason) = status.reason {
        let _ = write!(text, " {}", reason.name());
    }
    if let Some(uuid) = status.uuid {
        let _ = write!(text, " ack {:02x}", uuid.0[0]);
    }
    if let Some(message) = &status.message {
        let _ = write!(text, ": {message}");
    }
    text
}

fn agent_text(event: &AgentEvent) -> String {
    match event {
        AgentEvent::Registered { agent_id, .. } => format!("REGISTERED {agent_id}"),
        AgentEvent::Reregistered { agent_id, reconcile, .. } => {
            let mut text = format!("REREGISTERED {agent_id}");
            for (framework_id, task_id) in reconcile {
                let _ = write!(text, " reconcile {framework_id}/{task_id}");
            }
            text
        }
        AgentEvent::Refused { message, gone } => {
            format!("REFUSED{} {message}", if *gone { " gone" } else { "" })
        }
        AgentEvent::Ping { sequence } => format!("PING {sequence}"),
        AgentEvent::Run { framework, role, tasks } => {
            let tasks: Vec<&str> = tasks.iter().map(|task| task.task_id.as_str()).collect();
            format!("RUN {} {role} {}", id_of(framework), tasks.join(" "))
        }
        AgentEvent::RunByExecutors { framework, role, tasks, start } => {
            let tasks: Vec<&str> = tasks.iter().map(|task| task.task_id.as_str()).collect();
            let start: Vec<&str> = start.iter().map(|id| id.as_str()).collect();
            let (tasks, start) = (tasks.join(" "), start.join(" "));
            format!("RUN {} {role} {tasks} by executors, start {start}", id_of(framework))
        }
        AgentEvent::ShutdownExecutor { framework_id, executor_id } => {
            format!("SHUTDOWN {framework_id}/{executor_id}")
        }
        AgentEvent::Kill { framework_id, task_id, grace, .. } => {
            let grace = grace.map(|grace| format!(" grace {grace:?}")).unwrap_or_default();
            format!("KILL {framework_id}/{task_id}{grace}")
        }
        AgentEvent::Acknowledge { framework_id, task_id, uuid } => {
            format!("ACKNOWLEDGE {framework_id}/{task_id} {:02x}", uuid.0[0])
        }
        AgentEvent::ShutdownFramework { framework_id } => format!("SHUTDOWN {framework_id}"),
        AgentEvent::UpdateFramework { framework } => {
            format!("UPDATE_FRAMEWORK {}", id_of(framework))
        }
        AgentEvent::Message { framework_id, executor_id, data } => {
            format!("MESSAGE {framework_id}/{executor_id}, {} bytes", data.len())
        }
        AgentEvent::Volumes { sequence, volumes, destroyed } => {
            let names = |pieces: &[proto::Piece]| {
                let ids = pieces.iter().filter_map(|piece| piece.flavor.volume());
                ids.map(|volume| format!(" {}", volume.id)).collect::<String>()
            };
            let destroyed = match names(destroyed) {
                ids if ids.is_empty() => ids,
                ids => format!(", destroyed{ids}"),
            };
            format!("VOLUMES {sequence}{}{destroyed}", names(volumes))
        }
    }
}
