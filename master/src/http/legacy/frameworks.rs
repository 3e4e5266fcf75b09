//! `/frameworks`: frameworks with their tasks and offers in the JSON of Mesos.

use super::query::Query;
use super::tasks;
use crate::http::json::{Element, Fields};
use crate::http::pieces::{Pieces, Unread};
use crate::reads::{Form, FrameworkRow, Model, PastFramework, Share};
use master_core::publish::{FrameworkRecord, TaskRecord};
use proto::{Capability, FrameworkId, Time};
use std::sync::Arc;

pub(super) async fn write(out: &mut Pieces, model: &Model, query: &Query) -> Result<(), Unread> {
    out.json.begin_object();
    members(out, model, query).await?;
    out.json.end_object();
    Ok(())
}

/// The members `frameworks`, `completed_frameworks` and `unregistered_frameworks` of the object
/// that is open.
pub(super) async fn members(out: &mut Pieces, model: &Model, query: &Query) -> Result<(), Unread> {
    let fields = query.fields();
    let wanted = query.get("framework_id");
    let fits = |id: &FrameworkId| wanted.is_none_or(|wanted| id.as_str() == wanted);
    let page = query.page(usize::MAX);
    out.json.name("frameworks").begin_list();
    let sums = model.sums();
    let none = Share::default();
    let current = model.frameworks.iter().filter(|(id, _)| fits(id));
    for (id, row) in page.of(current) {
        current_framework(out, model, row, sums.frameworks.get(id).unwrap_or(&none), &fields)
            .await?;
        out.breathe().await?;
    }
    out.json.end_list();
    out.json.name("completed_frameworks").begin_list();
    for (_, past) in page.of(model.past.iter().filter(|(_, past)| fits(&past.record.id))) {
        past_framework(out, model, past, &fields).await?;
        out.breathe().await?;
    }
    out.json.end_list();
    // Nobody has made one since agents tell of their frameworks.
    out.json.name("unregistered_frameworks").texts([]);
    Ok(())
}

async fn current_framework(
    out: &mut Pieces,
    model: &Model,
    row: &FrameworkRow,
    share: &Share,
    fields: &Fields,
) -> Result<(), Unread> {
    let id = &row.record.id;
    out.json.begin_object();
    let mut element = Element::new(&mut out.json, fields);
    summary(&mut element, &row.record, share);
    describe(&mut element, &row.record, None);
    element.resources("resources", &share.used.plus(&share.offered));
    if fields.wants("offers") {
        out.json.name("offers").begin_list();
        for (agent_id, offer) in share.offers() {
            out.json.begin_object();
            out.json.name("id").text(offer.id.as_str());
            out.json.name("framework_id").text(id.as_str());
            out.json.name("allocation_info").begin_object();
            out.json.name("role").text(offer.role.as_str());
            out.json.end_object();
            out.json.name("slave_id").text(agent_id.as_str());
            out.json.name("resources").resources(&offer.resources);
            out.json.end_object();
            out.breathe().await?;
        }
        out.json.end_list();
    }
    for (name, is_unreachable) in [("tasks", false), ("unreachable_tasks", true)] {
        if !fields.wants(name) {
            continue;
        }
        out.json.name(name).begin_list();
        let runs = model.task_runs_of(id);
        let here = |task: &Arc<TaskRecord>| task.unreachable_since.is_some() == is_unreachable;
        for run in runs.flat_map(|run| run.only(|_, task| here(task))) {
            out.elements(&run, Form::Old, |json, _, task| tasks::known(json, task)).await?;
        }
        out.json.end_list();
    }
    completed_tasks(out, model, id, fields).await?;
    out.json.end_object();
    Ok(())
}

async fn past_framework(
    out: &mut Pieces,
    model: &Model,
    past: &PastFramework,
    fields: &Fields,
) -> Result<(), Unread> {
    out.json.begin_object();
    let mut element = Element::new(&mut out.json, fields);
    let share = Share::default();
    summary(&mut element, &past.record, &share);
    describe(&mut element, &past.record, Some(past.unregistered));
    element.resources("resources", &share.used);
    for name in ["offers", "tasks", "unreachable_tasks"] {
        element.texts(name, []);
    }
    completed_tasks(out, model, &past.record.id, fields).await?;
    out.json.end_object();
    Ok(())
}

async fn completed_tasks(
    out: &mut Pieces,
    model: &Model,
    id: &FrameworkId,
    fields: &Fields,
) -> Result<(), Unread> {
    if !fields.wants("completed_tasks") {
        return Ok(());
    }
    out.json.name("completed_tasks").begin_list();
    for task in model.completed_of(id) {
        tasks::over(&mut out.json, id, task);
        out.breathe().await?;
    }
    out.json.end_list();
    Ok(())
}

/// What `/state-summary` says of a framework, too.
pub(super) fn summary(element: &mut Element<'_>, record: &FrameworkRecord, share: &Share) {
    let info = &record.info;
    element.text("id", record.id.as_str());
    element.text("name", &info.name);
    element.resources("used_resources", &share.used);
    element.resources("offered_resources", &share.offered);
    element.texts("capabilities", info.capabilities.iter().map(capability));
    element.text("hostname", &info.hostname);
    element.text("webui_url", info.webui_url.as_deref().unwrap_or_default());
    element.flag("active", record.connected);
    element.flag("connected", record.connected);
    element.flag("recovered", record.recovered);
}

fn describe(element: &mut Element<'_>, record: &FrameworkRecord, unregistered: Option<Time>) {
    let info = &record.info;
    element.text("user", &info.user);
    element.double("failover_timeout", info.failover_timeout.as_secs_f64());
    element.flag("checkpoint", info.checkpoint);
    element.double("registered_time", record.registered.as_secs_f64());
    element.double("unregistered_time", unregistered.map_or(0.0, Time::as_secs_f64));
    if let Some(time) = record.reregistered {
        element.double("reregistered_time", time.as_secs_f64());
    }
    if let Some(principal) = &info.principal {
        element.text("principal", principal);
    }
    if info.single_role {
        element.text("role", info.roles.first().map_or("*", |role| role.as_str()));
    } else {
        element.texts("roles", info.roles.iter().map(|role| role.as_str()));
    }
    element.texts("executors", []);
    // The name is written as soon as there is a field.
    if !info.labels.is_empty()
        && let Some(json) = element.field("labels")
    {
        json.begin_list();
        for (key, value) in &info.labels {
            json.begin_object();
            json.name("key").text(key);
            if let Some(value) = value {
                json.name("value").text(value);
            }
            json.end_object();
        }
        json.end_list();
    }
}

fn capability(capability: Capability) -> &'static str {
    match capability {
        Capability::RevocableResources => "REVOCABLE_RESOURCES",
        Capability::TaskKillingState => "TASK_KILLING_STATE",
        Capability::GpuResources => "GPU_RESOURCES",
        Capability::SharedResources => "SHARED_RESOURCES",
        Capability::PartitionAware => "PARTITION_AWARE",
        Capability::MultiRole => "MULTI_ROLE",
        Capability::ReservationRefinement => "RESERVATION_REFINEMENT",
        Capability::RegionAware => "REGION_AWARE",
    }
}
