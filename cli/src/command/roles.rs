//! `tepui roles`: who shares the cluster, and how.

use super::agents::quantities;
use crate::amounts;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Form, Table, milli};
use proto::operator::{Call, Response, RoleView};
use proto::{QuotaConfig, Role};
use serde_json::{Value, json};

/// Prints the roles that have frameworks, tasks, offers, a weight, a quota or reservations.
pub(crate) async fn run(master: &Client, form: Form) -> Result<(), Failure> {
    let Response::Roles(roles) = master.operator(&Call::GetRoles).await? else {
        return Err(Failure::other_answer());
    };
    match form {
        Form::Table => table(&roles).print("no role is in use"),
        Form::Json => output::print_json(&Value::Array(roles.iter().map(view).collect())),
    }
    Ok(())
}

/// A role by its name.
pub(crate) fn any_role(text: &str) -> Result<Role, String> {
    Role::new(text).map_err(|problem| problem.to_string())
}

/// A role that something can be kept for or set for.
pub(crate) fn own_role(text: &str) -> Result<Role, String> {
    match text {
        "*" => Err("the role '*' is everybody's: name one, such as eng".to_owned()),
        _ => any_role(text),
    }
}

/// A dominant share in percent.
pub(crate) fn share(role: &RoleView) -> String {
    format!("{:.1}%", role.dominant_share_ppm as f64 / 10_000.0)
}

fn table(roles: &[RoleView]) -> Table {
    let names = ["ROLE", "WEIGHT", "SHARE", "FRAMEWORKS", "CPUS", "MEM MB", "GUARANTEE", "LIMIT"];
    let mut table = Table::new(&names);
    for role in roles {
        let quota = role.quota.as_ref();
        table.row(vec![
            role.role.to_string(),
            milli(role.weight_milli),
            share(role),
            role.frameworks.len().to_string(),
            milli(role.allocated.cpus()),
            milli(role.allocated.mem()),
            quota.map_or_else(|| "-".to_owned(), |quota| amounts::quantities(&quota.guarantees)),
            quota.map_or_else(|| "-".to_owned(), |quota| amounts::limits(&quota.limits)),
        ]);
    }
    table
}

fn view(role: &RoleView) -> Value {
    let quota = |quota: &QuotaConfig| {
        json!({
            "guarantees": super::quota::numbers(&quota.guarantees),
            "limits": super::quota::limits(quota),
        })
    };
    json!({
        "role": role.role.as_str(),
        "weight": role.weight_milli as f64 / 1000.0,
        "dominant_share": role.dominant_share_ppm as f64 / 1e6,
        "frameworks": role.frameworks.iter().map(proto::FrameworkId::as_str).collect::<Vec<_>>(),
        "allocated": quantities(&role.allocated),
        "quota": role.quota.as_ref().map(quota),
        "consumed": super::quota::numbers(&role.consumed),
        "reserved": super::quota::numbers(&role.reserved),
    })
}
