//! `tepui frameworks`: who schedules here, what they hold and what they want.

use super::agents::quantities;
use crate::amounts;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Form, Table, milli};
use crate::when;
use proto::operator::{Call, FrameworkView, Response};
use proto::scheduler::Demand;
use serde_json::{Value, json};

/// Prints the frameworks; with `completed`, also those that are over.
pub(crate) async fn run(master: &Client, form: Form, completed: bool) -> Result<(), Failure> {
    let Response::Frameworks(mut frameworks, over) = master.operator(&Call::GetFrameworks).await?
    else {
        return Err(Failure::other_answer());
    };
    if completed {
        frameworks.extend(over);
    }
    // Those that are over come last, as they were added.
    frameworks.sort_by_cached_key(|framework| {
        let id = framework.info.id.as_ref().map(|id| output::natural(id.as_str()));
        (framework.unregistered.is_some(), id)
    });
    match form {
        Form::Table => table(&frameworks).print("no framework is registered"),
        Form::Json => output::print_json(&Value::Array(frameworks.iter().map(view).collect())),
    }
    Ok(())
}

pub(crate) fn standing(framework: &FrameworkView) -> &'static str {
    match (framework.unregistered.is_some(), framework.recovered, framework.connected) {
        (true, _, _) => "completed",
        (_, true, _) => "recovered",
        (_, _, false) => "disconnected",
        _ if is_suppressed(framework) => "suppressed",
        _ if framework.active => "active",
        _ => "inactive",
    }
}

/// Whether it wants no offers in any of its roles.
fn is_suppressed(framework: &FrameworkView) -> bool {
    let is_quiet = |role: &proto::Role| framework.suppressed_roles.contains(role);
    !framework.info.roles.is_empty() && framework.info.roles.iter().all(is_quiet)
}

fn roles(framework: &FrameworkView) -> String {
    framework.info.roles.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn wanted(framework: &FrameworkView) -> String {
    framework.demands.iter().map(bundle).collect::<Vec<_>>().join(" + ")
}

/// One demand in words: `3 x (cpus=1,mem=64) in eng, priority 5, by 2026-11-22T03:00:00Z`.
pub(crate) fn bundle(demand: &Demand) -> String {
    let mut words = format!("{} x ({})", demand.count, amounts::resources(&demand.resources));
    if let Some(role) = &demand.role {
        words += &format!(" in {role}");
    }
    if let Some(agent) = &demand.agent_id {
        words += &format!(" on {agent}");
    }
    if demand.priority != 0 {
        words += &format!(", priority {}", demand.priority);
    }
    if let Some(deadline) = demand.deadline {
        words += &format!(", by {}", when::show(deadline));
    }
    words
}

fn table(frameworks: &[FrameworkView]) -> Table {
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
    table
}

fn view(framework: &FrameworkView) -> Value {
    let demands: Vec<Value> = framework
        .demands
        .iter()
        .map(|d| {
            json!({
                "count": d.count,
                "role": d.role.as_ref().map(proto::Role::as_str),
                "agent_id": d.agent_id.as_ref().map(proto::AgentId::as_str),
                "resources": quantities(&d.resources),
                "priority": d.priority,
                "deadline": d.deadline.map(when::show),
            })
        })
        .collect();
    json!({
        "framework_id": framework.info.id.as_ref().map(proto::FrameworkId::as_str),
        "name": &*framework.info.name,
        "standing": standing(framework),
        "roles": framework.info.roles.iter().map(proto::Role::as_str).collect::<Vec<_>>(),
        "suppressed_roles":
            framework.suppressed_roles.iter().map(proto::Role::as_str).collect::<Vec<_>>(),
        "allocated": quantities(&framework.allocated),
        "offered": quantities(&framework.offered),
        "offers": framework.offers.len(),
        "demands": demands,
    })
}
