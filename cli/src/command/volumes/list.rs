//! `tepui volumes list`: the volumes, where they are and whose.

use crate::command::agents::state;
use crate::failure::Failure;
use crate::output::{self, Form, Table, milli};
use crate::{Print, Server, discover};
use proto::operator::AgentView;
use proto::{Piece, Role};
use serde_json::{Value, json};

/// What `tepui volumes list` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui volumes list
  tepui volumes list --role eng -o json")]
pub(crate) struct Options {
    /// Only volumes of this role, or of one below it.
    #[arg(long, value_parser = crate::command::roles::own_role)]
    role: Option<Role>,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// Prints the volumes.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let agents = discover::agents(&discover::master(&options.server)).await?;
    let wanted = |piece: &Piece| {
        let role = options.role.as_ref();
        piece.flavor.volume().is_some()
            && role.is_none_or(|role| {
                piece.flavor.reserved_to().is_some_and(|to| to == role || to.is_below(role))
            })
    };
    let all: Vec<(&AgentView, &Piece)> = agents
        .iter()
        .flat_map(|agent| agent.info.resources.pieces().iter().map(move |piece| (agent, piece)))
        .filter(|(_, piece)| wanted(piece))
        .collect();
    match options.print.output {
        Form::Table => table(&all).print("there is no volume"),
        Form::Json => output::print_json(&Value::Array(all.iter().map(view).collect())),
    }
    Ok(())
}

/// Whether tasks use it.
fn is_used(agent: &AgentView, piece: &Piece) -> bool {
    agent.allocated.pieces().iter().any(|used| {
        used.flavor.volume().map(|v| &v.id) == piece.flavor.volume().map(|v| &v.id)
            && used.flavor.reserved_to() == piece.flavor.reserved_to()
    })
}

fn table(all: &[(&AgentView, &Piece)]) -> Table {
    let names =
        ["VOLUME", "ROLE", "MB", "AGENT", "HOST", "STANDING", "USED", "SHARED", "PRINCIPAL"];
    let mut table = Table::new(&names);
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    for (agent, piece) in all {
        let volume = piece.flavor.volume();
        let principal = volume.and_then(|volume| volume.principal.as_deref());
        table.row(vec![
            volume.map(|volume| volume.id.to_string()).unwrap_or_default(),
            piece.flavor.reserved_to().map(ToString::to_string).unwrap_or_default(),
            milli(piece.size()),
            discover::id(agent).to_owned(),
            agent.info.hostname.to_string(),
            state(agent),
            yes(is_used(agent, piece)),
            yes(piece.flavor.is_shared()),
            principal.unwrap_or("-").to_owned(),
        ]);
    }
    table
}

fn view((agent, piece): &(&AgentView, &Piece)) -> Value {
    let volume = piece.flavor.volume();
    json!({
        "volume_id": volume.map(|volume| volume.id.as_str()),
        "role": piece.flavor.reserved_to().map(Role::as_str),
        "size_mb": piece.size() as f64 / 1000.0,
        "agent_id": discover::id(agent),
        "hostname": &*agent.info.hostname,
        "agent_state": state(agent),
        "used": is_used(agent, piece),
        "shared": piece.flavor.is_shared(),
        "principal": volume.and_then(|volume| volume.principal.as_deref()),
    })
}
