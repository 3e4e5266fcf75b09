//! `tepui roles`: who shares the cluster, and how.

use super::agents::quantities;
use crate::amounts;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Form, Table, milli};
use proto::operator::{Call, Response, RoleView};
use proto::{FrameworkId, QuotaConfig, Resources, Role};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Prints the roles that have frameworks, tasks, offers, a weight, a quota or reservations.
pub(crate) async fn run(master: &Client, form: Form) -> Result<(), Failure> {
    let Response::Roles(roles) = master.operator(&Call::GetRoles).await? else {
        return Err(Failure::other_answer());
    };
    match form {
        Form::Table => table(&roles).print("no role is in use"),
        Form::Json => {
            let all = roles.iter().map(|role| view(role, &roles));
            output::print_json(&Value::Array(all.collect()));
        }
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

/// What all roles below one have together: a limit of the one holds for them too.
struct Below<'a> {
    frameworks: BTreeSet<&'a FrameworkId>,
    allocated: Resources,
}

impl<'a> Below<'a> {
    fn of(role: &Role, roles: &'a [RoleView]) -> Self {
        let mut below = Self { frameworks: BTreeSet::new(), allocated: Resources::new() };
        for view in roles.iter().filter(|view| view.role.is_below(role)) {
            below.frameworks.extend(&view.frameworks);
            below.allocated.add(&view.allocated);
        }
        below
    }

    /// `2 frameworks, 0.5 cpus, 64 MB`.
    fn words(&self) -> String {
        if self.frameworks.is_empty() && self.allocated.is_empty() {
            return "-".to_owned();
        }
        let count = self.frameworks.len();
        let s = if count == 1 { "" } else { "s" };
        let (cpus, mem) = (milli(self.allocated.cpus()), milli(self.allocated.mem()));
        format!("{count} framework{s}, {cpus} cpus, {mem} MB")
    }
}

fn table(roles: &[RoleView]) -> Table {
    let names =
        ["ROLE", "WEIGHT", "SHARE", "FRAMEWORKS", "CPUS", "MEM MB", "GUARANTEE", "LIMIT", "BELOW"];
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
            Below::of(&role.role, roles).words(),
        ]);
    }
    table
}

fn view(role: &RoleView, roles: &[RoleView]) -> Value {
    let below = Below::of(&role.role, roles);
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
        "below": {
            "frameworks": below.frameworks.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
            "allocated": quantities(&below.allocated),
        },
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proto::Quantities;

    /// A role with some frameworks that use cpus and 64 MB.
    pub(crate) fn view(role: &str, frameworks: usize, cpus_milli: u64) -> RoleView {
        let id = |at| FrameworkId::new(format!("{role}-{at}").replace('/', "-")).unwrap();
        let mem_milli = if cpus_milli > 0 { 64_000 } else { 0 };
        RoleView {
            role: Role::new(role).unwrap(),
            weight_milli: 1000,
            frameworks: (0..frameworks).map(id).collect(),
            allocated: Resources::cpus_mem(cpus_milli, mem_milli),
            dominant_share_ppm: 0,
            quota: None,
            consumed: Quantities::default(),
            reserved: Quantities::default(),
        }
    }

    #[test]
    fn a_role_shows_what_the_roles_below_it_have() {
        let roles = [view("a", 0, 0), view("a/x", 2, 500), view("a/x/y", 1, 250), view("ab", 1, 0)];
        let below: Vec<String> =
            roles.iter().map(|role| Below::of(&role.role, &roles).words()).collect();
        assert_eq!(
            below,
            ["3 frameworks, 0.75 cpus, 128 MB", "1 framework, 0.25 cpus, 64 MB", "-", "-"]
        );
        assert!(table(&roles).render().contains("BELOW\n"));
        assert_eq!(super::view(&roles[0], &roles)["below"]["allocated"]["cpus"], 0.75);
    }
}
