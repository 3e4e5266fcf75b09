//! `/slaves`: agents in the JSON of Mesos.

use super::query::Query;
use crate::http::json::{Element, Fields, Json};
use crate::http::pieces::{Pieces, Unread};
use crate::http::select::Wanted;
use crate::reads::{AgentRow, Form, Model};
use master_core::registry::Drain;
use proto::operator::AgentStanding;
use proto::{AgentId, AgentInfo, Resources, Role};
use std::collections::BTreeSet;

/// What an agent of ours can do, in Mesos' words.
const CAPABILITIES: [&str; 2] = ["MULTI_ROLE", "HIERARCHICAL_ROLE"];

/// The members `slaves` and `recovered_slaves` of the object that is open.
pub(crate) async fn members(
    out: &mut Pieces,
    model: &Model,
    wanted: &Wanted,
) -> Result<(), Unread> {
    let fields = &wanted.fields;
    out.json.name("slaves").begin_list();
    // Not those with a load: it is told a moment after the agent.
    if wanted.is_all() {
        let runs = model.agents.runs();
        let runs = runs.flat_map(|run| run.only(|_, row| row.record.is_registered()));
        for run in runs.collect::<Vec<_>>() {
            out.elements(&run, Form::Old, |json, _, row| agent(json, row, fields)).await?;
        }
    } else {
        let here = |row: &AgentRow| row.record.is_registered();
        let all = model.agents.iter().filter(|(id, row)| wanted.agent(id) && here(row));
        for (_, row) in wanted.page.of(all) {
            agent(&mut out.json, row, fields);
            out.breathe().await?;
        }
    }
    out.json.end_list();
    out.json.name("recovered_slaves").begin_list();
    let away = |row: &AgentRow| row.record.standing == AgentStanding::Recovered;
    let all = model.agents.iter().filter(|(id, row)| wanted.agent(id) && away(row));
    for (_, row) in wanted.page.of(all) {
        recovered(&mut out.json, row, fields);
        out.breathe().await?;
    }
    out.json.end_list();
    Ok(())
}

pub(super) async fn write(out: &mut Pieces, model: &Model, query: &Query) -> Result<(), Unread> {
    out.json.begin_object();
    members(out, model, &query.wanted(usize::MAX)).await?;
    out.json.end_object();
    Ok(())
}

fn agent(json: &mut Json, row: &AgentRow, fields: &Fields) {
    json.begin_object();
    summary(&mut Element::new(json, fields), row);
    let mut element = Element::new(json, fields);
    let record = &row.record;
    element.double("registered_time", record.registered.as_secs_f64());
    if let Some(time) = record.reregistered {
        element.double("reregistered_time", time.as_secs_f64());
    }
    element.texts("resource_providers", []);
    let none = Resources::new();
    let load = row.load.as_deref();
    let (used, offered) = load.map_or((&none, &none), |load| (&load.allocated, &load.offered));
    let total = &record.info.resources;
    full(&mut element, "unreserved_resources_full", &total.unreserved());
    full(&mut element, "used_resources_full", used);
    full(&mut element, "offered_resources_full", offered);
    by_role(&mut element, "reserved_resources_full", total, Json::full_resources);
    json.end_object();
}

/// What `/state-summary` says of an agent, too.
pub(super) fn summary(element: &mut Element<'_>, row: &AgentRow) {
    let record = &row.record;
    info(element, &record.id, &record.info);
    element.int("port", u64::from(record.info.port));
    element.text("pid", &format!("slave(1)@{}:{}", record.info.hostname, record.info.port));
    let none = Resources::new();
    let load = row.load.as_deref();
    let (used, offered) = load.map_or((&none, &none), |load| (&load.allocated, &load.offered));
    element.resources("used_resources", used);
    element.resources("offered_resources", offered);
    let total = &record.info.resources;
    by_role(element, "reserved_resources", total, Json::resources);
    element.resources("unreserved_resources", &total.unreserved());
    element.flag("active", is_active(record.standing) && !record.deactivated);
    element.flag("deactivated", record.deactivated);
    if let Some(drain) = &record.drain {
        drain_info(element, drain);
    }
    element.text("version", &record.version);
    element.texts("capabilities", CAPABILITIES);
}

/// Whether it is offered, or would be once it answers again.
pub(super) fn is_active(standing: AgentStanding) -> bool {
    match standing {
        AgentStanding::Active | AgentStanding::Suspect => true,
        AgentStanding::Disconnected | AgentStanding::Recovered | AgentStanding::Unreachable => {
            false
        }
    }
}

/// What an agent says of itself.
fn info(element: &mut Element<'_>, id: &AgentId, info: &AgentInfo) {
    element.text("id", id.as_str());
    element.text("hostname", &info.hostname);
    if let Some(json) = element.field("attributes") {
        json.begin_object();
        for attribute in &info.attributes {
            json.name(&attribute.name).attribute(&attribute.value);
        }
        json.end_object();
    }
    if let Some(domain) = &info.domain
        && let Some(json) = element.field("domain")
    {
        json.begin_object();
        json.name("fault_domain").begin_object();
        for (name, value) in [("region", &domain.region), ("zone", &domain.zone)] {
            json.name(name).begin_object();
            json.name("name").text(value);
            json.end_object();
        }
        json.end_object();
        json.end_object();
    }
    element.resources("resources", &info.resources);
}

fn recovered(json: &mut Json, row: &AgentRow, fields: &Fields) {
    json.begin_object();
    let mut element = Element::new(json, fields);
    info(&mut element, &row.record.id, &row.record.info);
    element.int("port", u64::from(row.record.info.port));
    json.end_object();
}

fn drain_info(element: &mut Element<'_>, drain: &Drain) {
    if let Some(json) = element.field("drain_info") {
        json.begin_object();
        json.name("state").text(if drain.drained { "DRAINED" } else { "DRAINING" });
        json.name("config").begin_object();
        if let Some(grace) = drain.max_grace {
            json.name("max_grace_period").begin_object();
            json.name("nanoseconds").int(u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX));
            json.end_object();
        }
        json.name("mark_gone").flag(drain.mark_gone);
        json.end_object();
        json.end_object();
    }
    element.double("estimated_drain_start_time_seconds", drain.since.as_secs_f64());
}

/// What is reserved of `total`, by the role that it is reserved to.
fn by_role(
    element: &mut Element<'_>,
    name: &str,
    total: &Resources,
    write: impl Fn(&mut Json, &Resources),
) {
    let Some(json) = element.field(name) else { return };
    let roles: BTreeSet<&Role> =
        total.pieces().iter().filter_map(|piece| piece.flavor.reserved_to()).collect();
    json.begin_object();
    for role in roles {
        write(json.name(role.as_str()), &total.reserved_to(role));
    }
    json.end_object();
}

/// Resources as a list of the messages of the v1 API.
fn full(element: &mut Element<'_>, name: &str, resources: &Resources) {
    if let Some(json) = element.field(name) {
        json.full_resources(resources);
    }
}
