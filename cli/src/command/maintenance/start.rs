//! `tepui maintenance start`: takes scheduled machines down.

use super::{Host, named, planned};
use crate::command::drain::{kept_on, tasks_on};
use crate::failure::{Code, Failure};
use crate::output::{self, Form};
use crate::{Final, discover};
use proto::MachineId;
use proto::operator::Call;
use serde_json::json;

/// What `tepui maintenance start` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Its agents are removed, with their volumes and reservations, and refused until the maintenance is
stopped; then they come as new ones. What still runs there is lost; 'tepui drain' and
'tepui maintenance status' help to take leave without a loss of tasks.

Examples:
  tepui maintenance start host-3             says what would be lost, and does nothing
  tepui maintenance start --yes host-3")]
pub(crate) struct Options {
    /// Machines that are planned to be away.
    #[arg(required = true, value_name = "HOST")]
    hosts: Vec<Host>,
    #[command(flatten)]
    last: Final,
}

/// Takes the machines down.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let Options { hosts, last: Final { yes, print, server } } = options;
    let master = discover::master(&server);
    let machines = named(&planned(&master).await?, &hosts)?;
    let names: Vec<String> = machines.iter().map(ToString::to_string).collect();
    if !yes {
        let mut agents = discover::agents(&master).await?;
        agents.retain(|agent| machines.iter().any(|m| m.is_called(&agent.info.hostname)));
        let (count, tasks) = (agents.len(), tasks_on(&master, &agents).await?);
        let s = if count == 1 { "" } else { "s" };
        let (on, kept) = (names.join(", "), kept_on(&agents));
        let message =
            format!("this removes {count} agent{s} on {on} for good and loses {tasks}{kept}");
        let words: Vec<&str> = hosts.iter().map(|Host(host)| host.as_str()).collect();
        let command = format!("tepui maintenance start --yes {}", words.join(" "));
        return Err(Final::withheld(message, &command));
    }
    let call = Call::StartMaintenance(machines.clone());
    master.operator(&call).await.map_err(|failure| conflict(failure, &machines))?;
    match print.output {
        Form::Json => output::print_json(&json!({ "machines": names, "state": "down" })),
        Form::Table => output::print(&format!("{} down for maintenance\n", are(&names))),
    }
    Ok(())
}

/// `a is`, `a, b are`.
pub(super) fn are(names: &[String]) -> String {
    format!("{} {}", names.join(", "), if names.len() == 1 { "is" } else { "are" })
}

/// The master answers 400 for machines that do not stand as they should, as Mesos does.
pub(super) fn conflict(failure: Failure, machines: &[MachineId]) -> Failure {
    match machines.iter().any(|machine| failure.message.contains(&machine.to_string())) {
        true => Failure { code: Code::Conflict as u8, ..failure }
            .next("tepui maintenance status shows how the machines stand"),
        false => failure,
    }
}
