//! `/frameworks`: frameworks with their tasks and offers in the JSON of Mesos.

use super::query::Query;
use super::tasks;
use crate::http::json::{Element, Fields, Json};
use crate::http::pieces::{Pieces, Unread};
use crate::http::select::Wanted;
use crate::reads::{Form, FrameworkRow, Model, PastFramework, Share};
use master_core::publish::{ExecutorBrief, FrameworkRecord, OfferBrief, PastTask, TaskRecord};
use proto::{AgentId, Capability, ExecutorKind, FrameworkId, Time};
use std::sync::Arc;

pub(super) async fn write(out: &mut Pieces, model: &Model, query: &Query) -> Result<(), Unread> {
    out.json.begin_object();
    members(out, model, &query.wanted(usize::MAX)).await?;
    out.json.end_object();
    Ok(())
}

/// The members `frameworks`, `completed_frameworks` and `unregistered_frameworks` of the object
/// that is open.
pub(super) async fn members(
    out: &mut Pieces,
    model: &Model,
    wanted: &Wanted,
) -> Result<(), Unread> {
    out.json.name("frameworks").begin_list();
    let sums = model.sums();
    let none = Share::default();
    let current =
        model.frameworks.iter().filter(|(id, row)| wanted.framework(id, &row.record.info.roles));
    for (id, row) in wanted.page.of(current) {
        let share = sums.frameworks.get(id).unwrap_or(&none);
        current_framework(out, model, row, share, wanted).await?;
        out.breathe().await?;
    }
    out.json.end_list();
    out.json.name("completed_frameworks").begin_list();
    let past = model.past.iter().map(|(_, past)| past);
    let past = past.filter(|past| wanted.framework(&past.record.id, &past.record.info.roles));
    for past in wanted.page.of(past) {
        past_framework(out, model, past, wanted).await?;
        out.breathe().await?;
    }
    out.json.end_list();
    // Nobody has made one since agents tell of their frameworks.
    out.json.name("unregistered_frameworks").texts([]);
    Ok(())
}

/// An outstanding offer.
pub(super) fn offer(
    json: &mut Json,
    model: &Model,
    agent_id: &AgentId,
    offer: &OfferBrief,
    fields: &Fields,
) {
    json.begin_object();
    let mut element = Element::new(json, fields);
    element.text("id", offer.id.as_str());
    element.text("framework_id", offer.framework_id.as_str());
    if let Some(json) = element.field("allocation_info") {
        json.begin_object();
        json.name("role").text(offer.role.as_str());
        json.end_object();
    }
    element.text("slave_id", agent_id.as_str());
    element.resources("resources", &offer.resources);
    let away = model.agents.get(agent_id).and_then(|row| row.record.unavailability);
    if let Some(away) = away
        && let Some(json) = element.field("unavailability")
    {
        let nanos = |json: &mut Json, nanos: u128| {
            json.begin_object();
            json.name("nanoseconds").int(u64::try_from(nanos).unwrap_or(u64::MAX));
            json.end_object();
        };
        json.begin_object();
        nanos(json.name("start"), u128::from(away.start.as_nanos()));
        if let Some(duration) = away.duration {
            nanos(json.name("duration"), duration.as_nanos());
        }
        json.end_object();
    }
    json.end_object();
}

/// A custom executor, or that of a group.
fn executor(json: &mut Json, agent_id: &AgentId, executor: &ExecutorBrief) {
    let info = &executor.info;
    let every = Fields::default();
    json.begin_object();
    let mut element = Element::new(json, &every);
    element.text("executor_id", info.executor_id.as_str());
    element.text("name", &info.name());
    element.text("framework_id", executor.framework_id.as_str());
    element.text("slave_id", agent_id.as_str());
    element.text("role", executor.role.as_str());
    element.text(
        "type",
        match info.kind() {
            ExecutorKind::Default => "DEFAULT",
            ExecutorKind::Custom => "CUSTOM",
        },
    );
    element.resources("resources", &info.resources);
    json.end_object();
}

/// `/offers`, which Mesos has not: those that wait for an answer.
pub(super) async fn offers(out: &mut Pieces, model: &Model, query: &Query) -> Result<(), Unread> {
    let wanted = query.wanted(usize::MAX);
    let all = model.agents.iter().filter_map(|(id, row)| Some((id, row.load.as_ref()?)));
    let all = all.flat_map(|(id, load)| load.offers.iter().map(move |offer| (id, offer)));
    let fits = |(id, offer): &(&AgentId, &OfferBrief)| {
        wanted.of_agent(Some(&offer.framework_id), id) && wanted.role(&offer.role)
    };
    out.json.begin_object();
    out.json.name("offers").begin_list();
    for (id, one) in wanted.page.of(all.filter(fits)).collect::<Vec<_>>() {
        offer(&mut out.json, model, id, one, &wanted.fields);
        out.breathe().await?;
    }
    out.json.end_list();
    out.json.end_object();
    Ok(())
}

async fn current_framework(
    out: &mut Pieces,
    model: &Model,
    row: &FrameworkRow,
    share: &Share,
    wanted: &Wanted,
) -> Result<(), Unread> {
    let (id, fields) = (&row.record.id, &wanted.fields);
    out.json.begin_object();
    let mut element = Element::new(&mut out.json, fields);
    summary(&mut element, &row.record, share);
    describe(&mut element, &row.record, None);
    element.resources("resources", &share.used.plus(&share.offered));
    if fields.wants("executors") {
        out.json.name("executors").begin_list();
        for (agent_id, one) in share.executors() {
            if wanted.agent(agent_id) && wanted.role(&one.role) {
                executor(&mut out.json, agent_id, one);
                out.breathe().await?;
            }
        }
        out.json.end_list();
    }
    if fields.wants("offers") {
        out.json.name("offers").begin_list();
        for (agent_id, one) in share.offers() {
            if wanted.agent(agent_id) && wanted.role(&one.role) {
                offer(&mut out.json, model, agent_id, one, &Fields::default());
                out.breathe().await?;
            }
        }
        out.json.end_list();
    }
    for (name, is_unreachable) in [("tasks", false), ("unreachable_tasks", true)] {
        if !fields.wants(name) {
            continue;
        }
        out.json.name(name).begin_list();
        let runs = model.task_runs_of(id);
        let here = |task: &TaskRecord| {
            task.unreachable_since.is_some() == is_unreachable
                && wanted.task(id, &task.task_id, &task.agent_id, &task.role)
        };
        let runs = runs.flat_map(|run| run.only(|_, task| here(task)));
        for run in runs.collect::<Vec<_>>() {
            out.elements(&run, Form::Old, |json, _, task| tasks::known(json, task)).await?;
        }
        out.json.end_list();
    }
    completed_tasks(out, model, id, wanted).await?;
    out.json.end_object();
    Ok(())
}

async fn past_framework(
    out: &mut Pieces,
    model: &Model,
    past: &PastFramework,
    wanted: &Wanted,
) -> Result<(), Unread> {
    let fields = &wanted.fields;
    out.json.begin_object();
    let mut element = Element::new(&mut out.json, fields);
    let share = Share::default();
    summary(&mut element, &past.record, &share);
    describe(&mut element, &past.record, Some(past.unregistered));
    element.resources("resources", &share.used);
    for name in ["executors", "offers", "tasks", "unreachable_tasks"] {
        element.texts(name, []);
    }
    completed_tasks(out, model, &past.record.id, wanted).await?;
    out.json.end_object();
    Ok(())
}

async fn completed_tasks(
    out: &mut Pieces,
    model: &Model,
    id: &FrameworkId,
    wanted: &Wanted,
) -> Result<(), Unread> {
    if !wanted.fields.wants("completed_tasks") {
        return Ok(());
    }
    out.json.name("completed_tasks").begin_list();
    let fits = |task: &&Arc<PastTask>| wanted.task(id, &task.task_id, &task.agent_id, &task.role);
    for task in model.completed_of(id).filter(fits) {
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
