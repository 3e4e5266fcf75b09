//! `tepui weights`: how roles share the cluster, and `tepui weights set`.

use crate::failure::{Code, Failure};
use crate::output::{self, Form, Table, milli};
use crate::{Print, Server, discover};
use proto::operator::{Call, Response};
use proto::{Role, Weight};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What `tepui weights` takes.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  tepui weights
  tepui weights set eng=2 web=0.5     eng gets four times as much as web when both want it")]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Set weights: all of them, or none.
    Set(SetOptions),
}

/// What `tepui weights set` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  tepui weights set eng=2
  tepui weights set eng=1             as if it was never set")]
struct SetOptions {
    /// Roles and their weights, from 0.001 up.
    #[arg(required = true, value_name = "ROLE=WEIGHT", value_parser = super::master::weight)]
    weights: Vec<(Role, u64)>,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// Lists weights, or sets some.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    match options.command {
        Some(Command::Set(options)) => set(options).await,
        None => {
            let weights = all(&discover::master(&options.server)).await?;
            print(&weights, options.print.output);
            Ok(())
        }
    }
}

async fn all(master: &crate::client::Client) -> Result<Vec<Weight>, Failure> {
    match master.operator(&Call::GetWeights).await? {
        Response::Weights(weights) => Ok(weights),
        _ => Err(Failure::other_answer()),
    }
}

fn print(weights: &[Weight], form: Form) {
    match form {
        Form::Table => {
            let mut table = Table::new(&["ROLE", "WEIGHT"]);
            for weight in weights {
                table.row(vec![weight.role.to_string(), milli(weight.weight_milli)]);
            }
            table.print("no weight was set: every role weighs 1");
        }
        Form::Json => output::print_json(&Value::Array(weights.iter().map(view).collect())),
    }
}

fn view(weight: &Weight) -> Value {
    json!({ "role": weight.role.as_str(), "weight": weight.weight_milli as f64 / 1000.0 })
}

async fn set(options: SetOptions) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    if let Some((role, _)) = options.weights.iter().find(|(role, _)| !seen.insert(role)) {
        let message = format!("the weight of role '{role}' is given twice");
        return Err(Failure::new(Code::Usage, message).next("name each role once"));
    }
    let master = discover::master(&options.server);
    let was = all(&master).await?;
    let weight = |(role, weight_milli)| Weight { role, weight_milli };
    let weights: Vec<Weight> = options.weights.into_iter().map(weight).collect();
    master.operator(&Call::UpdateWeights(weights.clone())).await?;
    match options.print.output {
        Form::Json => print(&weights, Form::Json),
        Form::Table => {
            for Weight { role, weight_milli } in &weights {
                let was = was.iter().find(|old| old.role == *role);
                let was = was.map_or(1000, |old| old.weight_milli);
                let line = format!("{role} weighs {} (was {})\n", milli(*weight_milli), milli(was));
                output::print(&line);
            }
        }
    }
    Ok(())
}
