//! `tepui quota`: what roles are guaranteed, and what they may have at the most.

pub(crate) mod get;
mod rm;
mod set;

use crate::amounts;
use crate::client::Client;
use crate::failure::Failure;
use proto::operator::{Call, Response};
use proto::{Quantities, QuotaConfig, Role};
use serde_json::{Map, Value, json};

/// Guarantees and limits of roles.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Command {
    /// List quotas: what is guaranteed, allowed, used and lacking.
    #[command(visible_alias = "list")]
    Get(get::Options),
    /// Set what a role is guaranteed, and what it may have at the most.
    Set(set::Options),
    /// Take a role's quota away.
    Rm(rm::Options),
}

/// Runs one of the commands.
pub(crate) async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Get(options) => get::run(options).await,
        Command::Set(options) => set::run(options).await,
        Command::Rm(options) => rm::run(options).await,
    }
}

/// All quotas that are set, by role.
async fn all(master: &Client) -> Result<Vec<QuotaConfig>, Failure> {
    match master.operator(&Call::GetQuota).await? {
        Response::Quota(mut all) => {
            all.sort_by(|a, b| a.role.cmp(&b.role));
            Ok(all)
        }
        _ => Err(Failure::other_answer()),
    }
}

/// The quota of a role; one that says nothing when it has none.
async fn of(master: &Client, role: &Role) -> Result<QuotaConfig, Failure> {
    let found = all(master).await?.into_iter().find(|quota| quota.role == *role);
    Ok(found.unwrap_or_else(|| QuotaConfig::none(role.clone())))
}

/// A quota in words.
pub(crate) fn words(quota: &QuotaConfig) -> String {
    if quota.is_none() {
        return "no quota".to_owned();
    }
    let guarantees = amounts::quantities(&quota.guarantees);
    format!("guarantee {guarantees}, limit {}", amounts::limits(&quota.limits))
}

/// A quota as JSON.
fn view(quota: &QuotaConfig) -> Value {
    json!({
        "role": quota.role.as_str(),
        "guarantees": numbers(&quota.guarantees),
        "limits": limits(quota),
    })
}

/// Numbers by name.
pub(crate) fn numbers(all: &Quantities) -> Value {
    let one = |(name, milli): (&proto::ResourceName, u64)| {
        (name.to_string(), json!(milli as f64 / 1000.0))
    };
    Value::Object(all.iter().map(one).collect())
}

/// Limits by name; a name that is not there has none.
pub(crate) fn limits(quota: &QuotaConfig) -> Value {
    let one = |(name, milli): (&proto::ResourceName, &u64)| {
        (name.to_string(), json!(*milli as f64 / 1000.0))
    };
    Value::Object(quota.limits.iter().map(one).collect::<Map<_, _>>())
}
