//! `tepui maintenance stop`: machines are back, and out of what is planned.

use super::start::{are, conflict};
use super::{Host, named, planned};
use crate::failure::Failure;
use crate::output::{self, Form};
use crate::{Print, Server, discover};
use proto::operator::Call;
use serde_json::json;

/// What `tepui maintenance stop` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Agents on the machines may register again, as new ones.

Examples:
  tepui maintenance stop host-3
  tepui maintenance stop host-3 host-4")]
pub(crate) struct Options {
    /// Machines that are down.
    #[arg(required = true, value_name = "HOST")]
    hosts: Vec<Host>,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// Brings the machines back.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let master = discover::master(&options.server);
    let machines = named(&planned(&master).await?, &options.hosts)?;
    let call = Call::StopMaintenance(machines.clone());
    master.operator(&call).await.map_err(|failure| conflict(failure, &machines))?;
    let names: Vec<String> = machines.iter().map(ToString::to_string).collect();
    match options.print.output {
        Form::Json => output::print_json(&json!({ "machines": names, "state": "up" })),
        Form::Table => output::print(&format!("{} up again\n", are(&names))),
    }
    Ok(())
}
