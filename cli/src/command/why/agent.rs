//! What is free on an agent, and what keeps work away from it.

use super::Found;
use crate::client::Client;
use crate::command::agents::state;
use crate::command::drain::tasks_on;
use crate::failure::Failure;
use crate::{amounts, discover, when};
use proto::operator::{AgentStanding, AgentView, Call, Response};
use proto::{Quantities, Resources, Unavailability};
use serde_json::json;

/// The facts, in sentences.
pub(super) async fn explained(master: &Client, agent: &AgentView) -> Result<Found, Failure> {
    let Response::MaintenanceSchedule(schedule) =
        master.operator(&Call::GetMaintenanceSchedule).await?
    else {
        return Err(Failure::other_answer());
    };
    let on = |window: &&proto::MaintenanceWindow| {
        window.machines.iter().any(|machine| machine.is_called(&agent.info.hostname))
    };
    let away = schedule.windows.iter().find(on).map(|window| window.unavailability);
    let tasks = tasks_on(master, std::slice::from_ref(agent)).await?;
    let mut reasons = obstacles(agent, away);
    reasons.extend(amounts_of(agent, &tasks));
    let id = discover::id(agent);
    let heading = format!("agent {id} on {} is {}", agent.info.hostname, state(agent));
    let text = super::indented(&heading, &reasons);
    Ok(Found { text, json: json!({ "agent_id": id, "state": state(agent), "reasons": reasons }) })
}

/// What keeps offers of it from being made.
fn obstacles(agent: &AgentView, away: Option<Unavailability>) -> Vec<String> {
    let id = discover::id(agent);
    let mut all = Vec::new();
    let none = |why: String| format!("No offers of it are made: {why}.");
    match agent.standing {
        AgentStanding::Active => {}
        AgentStanding::Suspect => all.push(none("it missed a ping".to_owned())),
        AgentStanding::Disconnected => all.push(none("its connection is broken".to_owned())),
        AgentStanding::Recovered => {
            all.push(none("it has not come back since the master started".to_owned()));
        }
        AgentStanding::Unreachable => {
            all.push(none("it was given up until it comes back".to_owned()));
            all.push(format!("'tepui gone {id}' gives up for good what is on it."));
        }
    }
    if agent.drain.is_some() || agent.deactivated {
        let why = if agent.drain.is_some() { "it is drained" } else { "it is deactivated" };
        all.push(none(format!("{why} by an operator ('tepui reactivate {id}' ends that)")));
    }
    if agent.disk_pressed {
        let how = "it is almost full, and is offered again when some of it was freed";
        all.push(format!("None of its disk is offered: {how}."));
    }
    if let Some(away) = away {
        let long = away.duration.map(when::show_duration);
        let long = long.map_or_else(|| "for good".to_owned(), |long| format!("for {long}"));
        let start = when::show(away.start);
        all.push(format!("Its machine is planned to be away from {start} {long}; offers say so."));
    }
    all
}

fn amounts_of(agent: &AgentView, tasks: &str) -> Vec<String> {
    let total = agent.info.resources.quantities();
    let mut free = total.clone();
    free.subtract_all(&agent.allocated.quantities());
    free.subtract_all(&agent.offered.quantities());
    let some = |what: &str, all: &Resources| {
        (!all.is_empty()).then(|| format!("{what}: {}.", amounts::quantities(&all.quantities())))
    };
    let reserved = agent.info.resources.reserved();
    let mut all = vec![format!("It has {}.", words(&total))];
    all.extend(some(&format!("Used by {tasks}"), &agent.allocated));
    all.extend(some("In offers that are not answered", &agent.offered));
    all.push(format!("Free: {}.", words(&free)));
    if !reserved.is_empty() {
        let mut roles: Vec<String> =
            reserved.reservation_roles().map(ToString::to_string).collect();
        roles.sort();
        roles.dedup();
        let (amounts, roles) = (words(&reserved.quantities()), roles.join(", "));
        all.push(format!("Reserved, and offered to nobody else: {amounts}, to {roles}."));
    }
    all
}

fn words(all: &Quantities) -> String {
    amounts::quantities(all)
}
