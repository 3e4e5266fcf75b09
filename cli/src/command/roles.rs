//! `tepui roles` and `tepui weights`: who shares the cluster, and how.

use super::agents::quantities;
use crate::client::Client;
use crate::failure::{Code, Failure};
use crate::output::{self, Form, Table, milli};
use proto::operator::{Call, Response, RoleView};
use serde_json::{Value, json};

/// Prints the roles that have frameworks, tasks, offers or a weight.
pub(crate) async fn run(master: &Client, form: Form) -> Result<(), Failure> {
    let Response::Roles(roles) = master.operator(&Call::GetRoles).await? else {
        return Err(Failure::new(Code::Failed, "the master answered something else"));
    };
    match form {
        Form::Table => output::print(&table(&roles)),
        Form::Json => output::print_json(&Value::Array(roles.iter().map(view).collect())),
    }
    Ok(())
}

/// Prints the weights that were set; every other role weighs 1.
pub(crate) async fn weights(master: &Client, form: Form) -> Result<(), Failure> {
    let Response::Weights(weights) = master.operator(&Call::GetWeights).await? else {
        return Err(Failure::new(Code::Failed, "the master answered something else"));
    };
    match form {
        Form::Table => {
            let mut table = Table::new(&["ROLE", "WEIGHT"]);
            for weight in &weights {
                table.row(vec![weight.role.to_string(), milli(weight.weight_milli)]);
            }
            output::print(&table.render());
        }
        Form::Json => {
            let one = |weight: &proto::Weight| {
                json!({
                    "role": weight.role.as_str(),
                    "weight": weight.weight_milli as f64 / 1000.0,
                })
            };
            output::print_json(&Value::Array(weights.iter().map(one).collect()));
        }
    }
    Ok(())
}

fn table(roles: &[RoleView]) -> String {
    let mut table = Table::new(&["ROLE", "WEIGHT", "SHARE", "FRAMEWORKS", "CPUS", "MEM MB"]);
    for role in roles {
        table.row(vec![
            role.role.to_string(),
            milli(role.weight_milli),
            format!("{:.1}%", role.dominant_share_ppm as f64 / 10_000.0),
            role.frameworks.len().to_string(),
            milli(role.allocated.cpus()),
            milli(role.allocated.mem()),
        ]);
    }
    table.render()
}

fn view(role: &RoleView) -> Value {
    json!({
        "role": role.role.as_str(),
        "weight": role.weight_milli as f64 / 1000.0,
        "dominant_share": role.dominant_share_ppm as f64 / 1e6,
        "frameworks": role.frameworks.iter().map(proto::FrameworkId::as_str).collect::<Vec<_>>(),
        "allocated": quantities(&role.allocated),
    })
}
