//! `tepui frameworks`: who schedules here, what they hold and what they want.

use super::agents::quantities;
use crate::client::Client;
use crate::failure::{Code, Failure};
use crate::output::{self, Form, Table, milli};
use proto::operator::{Call, FrameworkView, Response};
use serde_json::{Value, json};

/// Prints the frameworks; with `completed`, also those that are over.
pub(crate) async fn run(master: &Client, form: Form, completed: bool) -> Result<(), Failure> {
    let Response::Frameworks(mut frameworks, over) = master.operator(&Call::GetFrameworks).await?
    else {
        return Err(Failure::new(Code::Failed, "the master answered something else"));
    };
    if completed {
        frameworks.extend(over);
    }
    match form {
        Form::Table => output::print(&table(&frameworks)),
        Form::Json => output::print_json(&Value::Array(frameworks.iter().map(view).collect())),
    }
    Ok(())
}

fn standing(framework: &FrameworkView) -> &'static str {
    match (framework.unregistered.is_some(), framework.recovered, framework.connected) {
        (true, _, _) => "completed",
        (_, true, _) => "recovered",
        (_, _, false) => "disconnected",
        _ if framework.active => "active",
        _ => "inactive",
    }
}

fn roles(framework: &FrameworkView) -> String {
    framework.info.roles.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn wanted(framework: &FrameworkView) -> String {
    let bundle = |d: &proto::scheduler::Demand| format!("{} x ({})", d.count, d.resources);
    framework.demands.iter().map(bundle).collect::<Vec<_>>().join(", ")
}

fn table(frameworks: &[FrameworkView]) -> String {
    let names = ["FRAMEWORK", "NAME", "STANDING", "ROLES", "CPUS", "MEM MB", "OFFERS", "WANTS"];
    let mut table = Table::new(&names);
    for framework in frameworks {
        table.row(vec![
            framework.info.id.as_ref().map(ToString::to_string).unwrap_or_default(),
            framework.info.name.to_string(),
            standing(framework).to_owned(),
            roles(framework),
            milli(framework.allocated.cpus()),
            milli(framework.allocated.mem()),
            framework.offers.len().to_string(),
            wanted(framework),
        ]);
    }
    table.render()
}

fn view(framework: &FrameworkView) -> Value {
    let demands: Vec<Value> = framework
        .demands
        .iter()
        .map(|d| {
            json!({
                "count": d.count,
                "role": d.role.as_ref().map(proto::Role::as_str),
                "resources": quantities(&d.resources),
            })
        })
        .collect();
    json!({
        "framework_id": framework.info.id.as_ref().map(proto::FrameworkId::as_str),
        "name": &*framework.info.name,
        "standing": standing(framework),
        "roles": framework.info.roles.iter().map(proto::Role::as_str).collect::<Vec<_>>(),
        "allocated": quantities(&framework.allocated),
        "offered": quantities(&framework.offered),
        "offers": framework.offers.len(),
        "demands": demands,
    })
}
