//! Why a framework gets no (more) offers, as the master's allocator tells.

use super::Found;
use crate::client::Client;
use crate::command::frameworks::bundle;
use crate::discover;
use crate::failure::Failure;
use proto::operator::{Call, FrameworkView, Response};
use serde_json::json;
use std::sync::Arc;

/// The framework of this id or name.
pub(super) async fn named(master: &Client, name: &str) -> Result<Found, Failure> {
    explained(master, &discover::framework(master, name).await?).await
}

/// What the allocator says to it, and what it wants.
pub(super) async fn explained(
    master: &Client,
    framework: &FrameworkView,
) -> Result<Found, Failure> {
    let Some(own) = framework.info.id.clone() else { return Err(Failure::other_answer()) };
    let Response::Explanation(reasons) = master.operator(&Call::Explain(own)).await? else {
        return Err(Failure::other_answer());
    };
    let wants: Vec<String> = framework.demands.iter().map(bundle).collect();
    let id = discover::framework_id(framework);
    let mut text = super::indented(&format!("framework {} ({id})", framework.info.name), &reasons);
    if !wants.is_empty() {
        text += &super::indented("it wants:", &wants);
    }
    let reasons: Vec<&str> = reasons.iter().map(Arc::as_ref).collect();
    let json = json!({ "framework_id": id, "reasons": reasons, "wants": wants });
    Ok(Found { text, json })
}
