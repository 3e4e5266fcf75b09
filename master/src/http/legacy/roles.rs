//! `/roles` and `/weights`: roles in the JSON of Mesos.

use super::query::Query;
use crate::http::json::Element;
use crate::http::pieces::{Pieces, Unread};
use crate::reads::{Model, RoleShare};
use proto::Role;

pub(super) async fn write(out: &mut Pieces, model: &Model, query: &Query) -> Result<(), Unread> {
    let fields = query.fields();
    let sums = model.sums();
    out.json.begin_object();
    out.json.name("roles").begin_list();
    for (role, share) in query.page(usize::MAX).of(sums.roles.iter()) {
        out.json.begin_object();
        one(&mut Element::new(&mut out.json, &fields), model, role, share);
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
}

/// The roles whose weight was set.
pub(super) async fn weights(out: &mut Pieces, model: &Model) -> Result<(), Unread> {
    out.json.begin_list();
    for role in model.facts.weights().keys() {
        out.json.begin_object();
        out.json.name("role").text(role.as_str());
        out.json.name("weight").double(weight(model, role));
        out.json.end_object();
        out.breathe().await?;
    }
    out.json.end_list();
    Ok(())
}

fn weight(model: &Model, role: &Role) -> f64 {
    model.facts.weight_milli(role) as f64 / 1000.0
}
