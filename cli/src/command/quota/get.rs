//! `tepui quota get`: quotas, and how the roles stand to them.

use crate::failure::{Code, Failure};
use crate::output::{self, Form, Table, milli};
use crate::{Print, Server, discover};
use proto::operator::{Call, Response, RoleView};
use proto::{Quantities, QuotaConfig, ResourceName, Role};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What `tepui quota get` takes.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
USED is what counts: what runs or is offered in the role and below it, and all that is reserved to
them. LACKING is missing from the guarantee, LEFT is what the limit still allows.

Examples:
  tepui quota get
  tepui quota get eng/batch     its own quota, and those of the roles above, which bind it too")]
pub(crate) struct Options {
    /// Only what binds this role.
    #[arg(value_parser = crate::command::roles::any_role)]
    role: Option<Role>,
    #[command(flatten)]
    print: Print,
    #[command(flatten)]
    server: Server,
}

/// A quota and how its role stands to it.
pub(crate) struct Standing {
    pub(crate) quota: QuotaConfig,
    pub(crate) used: Quantities,
}

impl Standing {
    fn of(quota: QuotaConfig, roles: &[RoleView]) -> Self {
        let role = roles.iter().find(|role| role.role == quota.role);
        Self { used: role.map(|role| role.consumed.clone()).unwrap_or_default(), quota }
    }

    /// What is missing from the guarantee.
    pub(crate) fn lacking(&self) -> Quantities {
        let mut lacking = self.quota.guarantees.clone();
        lacking.subtract_all(&self.used);
        lacking
    }

    /// What the limits still allow.
    pub(crate) fn left(&self) -> Vec<(ResourceName, u64)> {
        let left = |(name, most): (&ResourceName, &u64)| {
            (name.clone(), most.saturating_sub(self.used.get(name)))
        };
        self.quota.limits.iter().map(left).collect()
    }
}

/// The quotas that bind a role, its own first; or all.
pub(crate) async fn standings(
    master: &crate::client::Client,
    role: Option<&Role>,
) -> Result<Vec<Standing>, Failure> {
    let mut quotas = super::all(master).await?;
    if let Some(role) = role {
        quotas.retain(|quota| quota.role == *role || role.is_below(&quota.role));
        quotas.reverse();
    }
    let Response::Roles(roles) = master.operator(&Call::GetRoles).await? else {
        return Err(Failure::other_answer());
    };
    Ok(quotas.into_iter().map(|quota| Standing::of(quota, &roles)).collect())
}

/// Prints quotas.
pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let master = discover::master(&options.server);
    let standings = standings(&master, options.role.as_ref()).await?;
    if let (Some(role), []) = (&options.role, standings.as_slice()) {
        let message = format!("neither the role '{role}' nor one above it has a quota");
        return Err(Failure::new(Code::NotFound, message)
            .next(format!("tepui quota set {role} --limit cpus=8 gives it one")));
    }
    match options.print.output {
        Form::Table => table(&standings).print("no role has a quota"),
        Form::Json => output::print_json(&Value::Array(standings.iter().map(view).collect())),
    }
    Ok(())
}

fn table(standings: &[Standing]) -> Table {
    let names = ["ROLE", "RESOURCE", "GUARANTEE", "LIMIT", "USED", "LACKING", "LEFT"];
    let mut table = Table::new(&names);
    for standing in standings {
        let Standing { quota, used } = standing;
        let names: BTreeSet<&ResourceName> =
            quota.guarantees.iter().map(|(name, _)| name).chain(quota.limits.keys()).collect();
        let lacking = standing.lacking();
        for name in names {
            let limit = quota.limits.get(name);
            let bound = |amount: Option<u64>| amount.map_or_else(|| "-".to_owned(), milli);
            table.row(vec![
                quota.role.to_string(),
                name.to_string(),
                milli(quota.guarantees.get(name)),
                bound(limit.copied()),
                milli(used.get(name)),
                milli(lacking.get(name)),
                bound(limit.map(|limit| limit.saturating_sub(used.get(name)))),
            ]);
        }
    }
    table
}

fn view(standing: &Standing) -> Value {
    let left = standing.left();
    let left = left.iter().map(|(name, milli)| (name.to_string(), json!(*milli as f64 / 1000.0)));
    json!({
        "role": standing.quota.role.as_str(),
        "guarantees": super::numbers(&standing.quota.guarantees),
        "limits": super::limits(&standing.quota),
        "used": super::numbers(&standing.used),
        "lacking": super::numbers(&standing.lacking()),
        "left": left.collect::<serde_json::Map<_, _>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> ResourceName {
        ResourceName::new(name)
    }

    #[test]
    fn what_lacks_and_what_is_left_has_figures() {
        let mut quota = QuotaConfig::none(Role::new("eng").unwrap());
        quota.guarantees.add(&name("cpus"), 4000);
        quota.limits.insert(name("cpus"), 8000);
        quota.limits.insert(name("gpus"), 0);
        let mut used = Quantities::default();
        used.add(&name("cpus"), 2500);
        used.add(&name("mem"), 1000);
        let text = table(&[Standing { quota, used }]).render();
        assert_eq!(
            text,
            "ROLE  RESOURCE  GUARANTEE  LIMIT  USED  LACKING  LEFT\n\
             eng   cpus      4          8      2.5   1.5      5.5\n\
             eng   gpus      0          0      0     0        0\n"
        );
    }
}
