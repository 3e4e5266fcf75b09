//! `/roles` and `/weights`: roles in the JSON of Mesos.

use super::query::Query;
use crate::http::json::{Element, Json};
use crate::http::pieces::{Pieces, Unread};
use crate::reads::{Model, RoleShare};
use master_core::Quota;
use proto::{ResourceName, Resources, Role};

pub(super) async fn write(out: &mut Pieces, model: &Model, query: &Query) -> Result<(), Unread> {
    let wanted = query.wanted(usize::MAX);
    let sums = model.sums();
    out.json.begin_object();
    out.json.name("roles").begin_list();
    let all = sums.roles.iter().filter(|(role, _)| wanted.role(role));
    for (role, share) in wanted.page.of(all) {
        out.json.begin_object();
        one(&mut Element::new(&mut out.json, &wanted.fields), model, role, share);
        out.json.end_object();
        out.breathe().await?;
    }
    out.json.end_list();
    out.json.end_object();
    Ok(())
}

fn one(element: &mut Element<'_>, model: &Model, role: &Role, share: &RoleShare) {
    element.text("name", role.as_str());
    element.double("weight", weight(model, role));
    element.texts("frameworks", share.frameworks.iter().map(|id| id.as_str()));
    element.resources("resources", &share.used.plus(&share.offered));
    element.resources("allocated", &share.used);
    element.resources("offered", &share.offered);
    element.resources("reserved", &share.reserved);
    // As Mesos has it: what counts against the quota stands beside it.
    let Some(json) = element.field("quota") else { return };
    json.begin_object();
    json.name("role").text(role.as_str());
    let quota = model.facts.quotas().get(role);
    let none = Quota::default();
    let quota = quota.unwrap_or(&none);
    amounts(json.name("guarantee"), quota.guarantees.iter());
    amounts(json.name("limit"), quota.limits.iter().map(|(name, milli)| (name, *milli)));
    amounts(json.name("consumed"), model.consumed(role).iter());
    json.end_object();
}

fn amounts<'a>(json: &mut Json, all: impl Iterator<Item = (&'a ResourceName, u64)>) {
    json.begin_object();
    for (name, milli) in all {
        json.name(name.as_str()).double(milli as f64 / 1000.0);
    }
    json.end_object();
}

/// `GET /quota`: the roles that have one, in the words of the old endpoint and in those of the
/// v1 API.
pub(super) async fn quota(out: &mut Pieces, model: &Model, query: &Query) -> Result<(), Unread> {
    let wanted = query.wanted(usize::MAX);
    let all = || model.facts.quotas().iter().filter(|(role, _)| wanted.role(role));
    out.json.begin_object();
    out.json.name("infos").begin_list();
    for (role, quota) in wanted.page.of(all()) {
        out.json.begin_object();
        let mut element = Element::new(&mut out.json, &wanted.fields);
        element.text("role", role.as_str());
        if let Some(json) = element.field("guarantee") {
            let scalars = quota.guarantees.iter().map(|(name, milli)| (name.as_str(), milli));
            json.full_resources(&Resources::scalars(scalars));
        }
        out.json.end_object();
        out.breathe().await?;
    }
    out.json.end_list();
    out.json.name("configs").begin_list();
    for (role, quota) in wanted.page.of(all()) {
        out.json.begin_object();
        let mut element = Element::new(&mut out.json, &wanted.fields);
        element.text("role", role.as_str());
        let limits = quota.limits.iter().map(|(name, milli)| (name, *milli));
        if let Some(json) = element.field("guarantees") {
            scalars(json, quota.guarantees.iter());
        }
        if let Some(json) = element.field("limits") {
            scalars(json, limits);
        }
        out.json.end_object();
        out.breathe().await?;
    }
    out.json.end_list();
    out.json.end_object();
    Ok(())
}

/// Amounts as the v1 API has them.
fn scalars<'a>(json: &mut Json, all: impl Iterator<Item = (&'a ResourceName, u64)>) {
    json.begin_object();
    for (name, milli) in all {
        json.name(name.as_str()).begin_object();
        json.name("value").double(milli as f64 / 1000.0);
        json.end_object();
    }
    json.end_object();
}

/// The roles whose weight was set.
pub(super) async fn weights(out: &mut Pieces, model: &Model, query: &Query) -> Result<(), Unread> {
    let wanted = query.wanted(usize::MAX);
    out.json.begin_list();
    let all = model.facts.weights().keys().filter(|role| wanted.role(role));
    for role in wanted.page.of(all) {
        out.json.begin_object();
        let mut element = Element::new(&mut out.json, &wanted.fields);
        element.text("role", role.as_str());
        element.double("weight", weight(model, role));
        out.json.end_object();
        out.breathe().await?;
    }
    out.json.end_list();
    Ok(())
}

fn weight(model: &Model, role: &Role) -> f64 {
    model.facts.weight_milli(role) as f64 / 1000.0
}
