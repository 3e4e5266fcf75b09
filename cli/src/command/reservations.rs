//! `tepui reservations`: what is kept for which role, on which agent.

use crate::failure::Failure;
use crate::output::{self, Form, Table};
use crate::{Print, Server, discover};
use proto::operator::AgentView;
use proto::{Piece, Reservation, ReservationKind, Role};
use serde_json::{Value, json};

/// What `tepui reservations` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui reservations
  tepui reservations --role eng      of eng and the roles below it")]
pub(crate) struct Options {
    /// Only what is reserved to this role, or to one below it.
    #[arg(long, value_parser = super::roles::own_role)]
    role: Option<Role>,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// Prints reserved resources, a line each.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let agents = discover::agents(&discover::master(&options.server)).await?;
    let wanted =
        |to: &Role| options.role.as_ref().is_none_or(|role| to == role || to.is_below(role));
    let all: Vec<(&AgentView, &Piece, &Reservation)> = agents
        .iter()
        .flat_map(|agent| agent.info.resources.pieces().iter().map(move |piece| (agent, piece)))
        .filter_map(|(agent, piece)| Some((agent, piece, piece.flavor.reservations().last()?)))
        .filter(|(_, _, last)| wanted(&last.role))
        .collect();
    match options.print.output {
        Form::Table => table(&all).print("nothing is reserved"),
        Form::Json => output::print_json(&Value::Array(all.iter().map(view).collect())),
    }
    Ok(())
}

fn kind(reservation: &Reservation) -> &'static str {
    match reservation.kind {
        ReservationKind::Static => "static",
        ReservationKind::Dynamic => "dynamic",
    }
}

fn table(all: &[(&AgentView, &Piece, &Reservation)]) -> Table {
    let names =
        ["AGENT", "HOST", "STANDING", "ROLE", "RESOURCE", "AMOUNT", "KIND", "PRINCIPAL", "VOLUME"];
    let mut table = Table::new(&names);
    for (agent, piece, last) in all {
        let volume = piece.flavor.volume();
        table.row(vec![
            discover::id(agent).to_owned(),
            agent.info.hostname.to_string(),
            super::agents::state(agent),
            last.role.to_string(),
            piece.name.to_string(),
            piece.value.to_string(),
            kind(last).to_owned(),
            last.principal.as_deref().unwrap_or("-").to_owned(),
            volume.map(|volume| volume.id.to_string()).unwrap_or_default(),
        ]);
    }
    table
}

fn view((agent, piece, last): &(&AgentView, &Piece, &Reservation)) -> Value {
    let amount = match &piece.value {
        proto::Value::Scalar(milli) => json!(*milli as f64 / 1000.0),
        other @ (proto::Value::Ranges(_) | proto::Value::Set(_)) => json!(other.to_string()),
    };
    let stack = piece.flavor.reservations().iter().map(|one| one.role.as_str());
    json!({
        "agent_id": discover::id(agent),
        "hostname": &*agent.info.hostname,
        "agent_state": super::agents::state(agent),
        "role": last.role.as_str(),
        "roles": stack.collect::<Vec<_>>(),
        "resource": piece.name.as_str(),
        "amount": amount,
        "kind": kind(last),
        "principal": last.principal.as_deref(),
        "volume_id": piece.flavor.volume().map(|volume| volume.id.as_str()),
    })
}
