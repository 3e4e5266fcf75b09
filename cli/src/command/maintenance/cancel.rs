//! `tepui maintenance cancel`: takes machines out of what is planned.

use super::{Host, named, planned, standing};
use crate::failure::{Code, Failure};
use crate::output::{self, Form};
use crate::{Print, Server, discover};
use proto::operator::Call;
use serde_json::json;

/// What `tepui maintenance cancel` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui maintenance cancel host-3            nobody is asked to leave it any more
  tepui maintenance cancel host-3 host-4")]
pub(crate) struct Options {
    /// Machines that are planned to be away, and not down.
    #[arg(required = true, value_name = "HOST")]
    hosts: Vec<Host>,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// Takes the machines out of their windows; windows that are empty then go.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let master = discover::master(&options.server);
    let mut schedule = planned(&master).await?;
    let machines = named(&schedule, &options.hosts)?;
    let down = standing(&master).await?.down;
    if let Some(machine) = machines.iter().find(|machine| down.contains(machine)) {
        let message = format!("the machine {machine} is down for maintenance");
        return Err(Failure::new(Code::Conflict, message)
            .next(format!("tepui maintenance stop {machine} brings it back")));
    }
    for window in &mut schedule.windows {
        window.machines.retain(|machine| !machines.contains(machine));
    }
    schedule.windows.retain(|window| !window.machines.is_empty());
    master.operator(&Call::UpdateMaintenanceSchedule(schedule)).await?;
    let machines: Vec<String> = machines.iter().map(ToString::to_string).collect();
    match options.print.output {
        Form::Json => output::print_json(&json!({ "machines": machines, "state": "up" })),
        Form::Table => {
            let line = format!("no maintenance of {} is planned any more\n", machines.join(", "));
            output::print(&line);
        }
    }
    Ok(())
}
