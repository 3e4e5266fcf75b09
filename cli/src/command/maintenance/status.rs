//! `tepui maintenance status`: what is planned and down, and what frameworks say to it.

use super::{planned, standing};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Form, Table};
use crate::{Print, Server, discover, when};
use proto::operator::{AgentView, Call, FrameworkView, Response};
use proto::{
    FrameworkId, InverseOfferAnswer, MachineId, MaintenanceStatus, Schedule, Time, Unavailability,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What `tepui maintenance status` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
A draining machine is planned to be away; each framework with work there is asked to leave, and
may accept or decline.

Examples:
  tepui maintenance status
  tepui maintenance status -o json | jq '.[] | select(.state == \"down\") | .machine'")]
pub(crate) struct Options {
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// One machine of the plan.
struct Machine {
    id: MachineId,
    is_down: bool,
    away: Unavailability,
    agents: Vec<String>,
    answers: BTreeMap<FrameworkId, Answer>,
}

/// What a framework said to the absence of a machine.
struct Answer {
    name: String,
    word: &'static str,
    at: Option<Time>,
}

/// Prints the machines, those that are away first first.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let master = discover::master(&options.server);
    let machines = machines(&master).await?;
    match options.print.output {
        Form::Table => table(&machines, when::now()).print("no maintenance is planned"),
        Form::Json => output::print_json(&Value::Array(machines.iter().map(view).collect())),
    }
    Ok(())
}

async fn machines(master: &Client) -> Result<Vec<Machine>, Failure> {
    let (schedule, status) = (planned(master).await?, standing(master).await?);
    if schedule.windows.is_empty() {
        return Ok(Vec::new());
    }
    let Response::Frameworks(frameworks, _) = master.operator(&Call::GetFrameworks).await? else {
        return Err(Failure::other_answer());
    };
    Ok(joined(&schedule, &status, &discover::agents(master).await?, &frameworks))
}

fn joined(
    schedule: &Schedule,
    status: &MaintenanceStatus,
    agents: &[AgentView],
    frameworks: &[FrameworkView],
) -> Vec<Machine> {
    let mut all = Vec::new();
    for window in &schedule.windows {
        for id in &window.machines {
            let here = agents.iter().filter(|agent| id.is_called(&agent.info.hostname));
            let here: Vec<String> = here.map(|agent| discover::id(agent).to_owned()).collect();
            all.push(Machine {
                id: id.clone(),
                is_down: status.down.contains(id),
                away: window.unavailability,
                answers: answers(id, &here, status, frameworks),
                agents: here,
            });
        }
    }
    all.sort_by(|a, b| (a.away.start, &a.id).cmp(&(b.away.start, &b.id)));
    all
}

/// The newest answers, and who was asked and has not answered.
fn answers(
    machine: &MachineId,
    agents: &[String],
    status: &MaintenanceStatus,
    frameworks: &[FrameworkView],
) -> BTreeMap<FrameworkId, Answer> {
    let mut all = BTreeMap::new();
    let name = |id: &FrameworkId| {
        let found = frameworks.iter().find(|framework| framework.info.id.as_ref() == Some(id));
        found.map(|framework| framework.info.name.to_string()).unwrap_or_default()
    };
    for framework in frameworks {
        let asks = |offer: &proto::InverseOffer| {
            offer
                .agent_id
                .as_ref()
                .is_some_and(|id| agents.iter().any(|agent| agent == id.as_str()))
        };
        if let Some(id) = framework.info.id.as_ref()
            && framework.inverse_offers.iter().any(asks)
        {
            let name = framework.info.name.to_string();
            all.insert(id.clone(), Answer { name, word: "asked", at: None });
        }
    }
    let said = status.draining.iter().filter(|draining| draining.machine == *machine);
    for status in said.flat_map(|draining| &draining.statuses) {
        let word = match status.answer {
            InverseOfferAnswer::Accept => "accepted",
            InverseOfferAnswer::Decline => "declined",
            InverseOfferAnswer::Unknown => "asked",
        };
        let (id, at) = (&status.framework_id, Some(status.timestamp));
        all.insert(id.clone(), Answer { name: name(id), word, at });
    }
    all
}

fn state(machine: &Machine) -> &'static str {
    if machine.is_down { "down" } else { "draining" }
}

fn table(machines: &[Machine], now: Time) -> Table {
    let names = ["MACHINE", "STATE", "START", "", "DURATION", "AGENTS", "FRAMEWORKS' ANSWERS"];
    let mut table = Table::new(&names);
    for machine in machines {
        let answer = |(id, answer): (&FrameworkId, &Answer)| {
            let name = if answer.name.is_empty() { id.as_str() } else { &answer.name };
            let at = answer.at.map(|at| format!(" {}", when::relative(at, now)));
            format!("{name} {}{}", answer.word, at.unwrap_or_default())
        };
        let answers: Vec<String> = machine.answers.iter().map(answer).collect();
        let duration = machine.away.duration;
        table.row(vec![
            machine.id.to_string(),
            state(machine).to_owned(),
            when::show(machine.away.start),
            when::relative(machine.away.start, now),
            duration.map_or_else(|| "for good".to_owned(), when::show_duration),
            machine.agents.len().to_string(),
            answers.join(", "),
        ]);
    }
    table
}

fn view(machine: &Machine) -> Value {
    let answer = |(id, answer): (&FrameworkId, &Answer)| {
        json!({
            "framework_id": id.as_str(),
            "name": answer.name,
            "answer": answer.word,
            "at": answer.at.map(when::show),
        })
    };
    json!({
        "machine": machine.id.to_string(),
        "state": state(machine),
        "start": when::show(machine.away.start),
        "duration_seconds": machine.away.duration.map(|duration| duration.as_secs()),
        "agents": machine.agents,
        "answers": machine.answers.iter().map(answer).collect::<Vec<_>>(),
    })
}
