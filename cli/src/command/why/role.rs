//! Why a role gets no more: the quotas that bind it, and what the master's allocator says.

use super::Found;
use crate::client::Client;
use crate::command::quota::get::{Standing, standings};
use crate::command::roles::share;
use crate::failure::{Code, Failure};
use crate::output::milli;
use proto::Role;
use proto::operator::{Call, Response, RoleView};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The role, which people named as one.
pub(super) async fn found(master: &Client, role: &Role) -> Result<Found, Failure> {
    search(master, role).await?.ok_or_else(|| {
        let message =
            format!("nobody uses the role '{role}', and neither weight nor quota was set for it");
        Failure::new(Code::NotFound, message).next("tepui roles lists the roles that are in use")
    })
}

/// The role, if there is one of that name.
pub(super) async fn search(master: &Client, role: &Role) -> Result<Option<Found>, Failure> {
    let Response::Roles(roles) = master.operator(&Call::GetRoles).await? else {
        return Err(Failure::other_answer());
    };
    let own = roles.iter().find(|view| view.role == *role);
    let below: Vec<&RoleView> = roles.iter().filter(|view| view.role.is_below(role)).collect();
    if own.is_none() && below.is_empty() {
        return Ok(None);
    }
    let Response::Explanation(reasons) = master.operator(&Call::ExplainRole(role.clone())).await?
    else {
        return Err(Failure::other_answer());
    };
    let quotas: Vec<String> =
        standings(master, Some(role)).await?.iter().flat_map(|one| lines(one, role)).collect();
    let mut text = super::indented(&heading(role, own, &below), &reasons);
    if !quotas.is_empty() {
        text += &super::indented("quotas that bind it:", &quotas);
    }
    let reasons: Vec<&str> = reasons.iter().map(Arc::as_ref).collect();
    let json = json!({ "role": role.as_str(), "reasons": reasons, "quotas": quotas });
    Ok(Some(Found { text, json }))
}

/// How the role itself stands, which need not be in use when roles below it are.
fn heading(role: &Role, own: Option<&RoleView>, below: &[&RoleView]) -> String {
    let frameworks = own.map_or(0, |own| own.frameworks.len());
    let s = if frameworks == 1 { "" } else { "s" };
    let mut text = format!("role {role}: {frameworks} framework{s}");
    if !below.is_empty() {
        let more: BTreeSet<_> = below.iter().flat_map(|view| &view.frameworks).collect();
        text += &format!(" and {} below it", more.len());
    }
    if let Some(own) = own {
        text += &format!(", weight {}, share {}", milli(own.weight_milli), share(own));
    }
    text
}

/// A quota with its figures, a line each resource.
fn lines(standing: &Standing, role: &Role) -> Vec<String> {
    let (quota, used) = (&standing.quota, &standing.used);
    let whose = if quota.role == *role { "its own".to_owned() } else { quota.role.to_string() };
    let mut lines = Vec::new();
    for (name, left) in standing.left() {
        let (limit, used) = (quota.limits[&name], used.get(&name));
        let left = if left == 0 { "nothing".to_owned() } else { milli(left) };
        let (limit, used) = (milli(limit), milli(used));
        lines.push(format!("{whose}: {name} limited to {limit}, {used} used, {left} left"));
    }
    for (name, guarantee) in quota.guarantees.iter() {
        let lacking = standing.lacking().get(name);
        let lacking =
            if lacking == 0 { "met".to_owned() } else { format!("{} lacking", milli(lacking)) };
        lines.push(format!("{whose}: {name} guaranteed {}, {lacking}", milli(guarantee)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::{Quantities, QuotaConfig, ResourceName};

    #[test]
    fn a_limit_above_is_named_with_its_figures() {
        let cpus = ResourceName::new("cpus");
        let mut quota = QuotaConfig::none(Role::new("eng").unwrap());
        quota.limits.insert(cpus.clone(), 8000);
        quota.guarantees.add(&cpus, 2000);
        let mut used = Quantities::default();
        used.add(&cpus, 8000);
        let standing = Standing { quota, used };
        let below = lines(&standing, &Role::new("eng/batch").unwrap());
        assert_eq!(below[0], "eng: cpus limited to 8, 8 used, nothing left");
        assert_eq!(below[1], "eng: cpus guaranteed 2, met");
        let own = lines(&standing, &Role::new("eng").unwrap());
        assert!(own[0].starts_with("its own: cpus limited to 8"), "{own:?}");
    }

    #[test]
    fn a_role_that_only_roles_below_use_says_so() {
        let below = crate::command::roles::tests::view("eng/batch", 2, 500);
        let role = Role::new("eng").unwrap();
        assert_eq!(heading(&role, None, &[&below]), "role eng: 0 frameworks and 2 below it");
        let own = crate::command::roles::tests::view("eng", 1, 0);
        let text = heading(&role, Some(&own), &[]);
        assert_eq!(text, "role eng: 1 framework, weight 1, share 0.0%");
    }
}
