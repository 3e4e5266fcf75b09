//! Why a framework gets no (more) offers, as the master's allocator tells.

use super::Found;
use crate::client::Client;
use crate::command::frameworks::bundle;
use crate::failure::{Code, Failure};
use proto::FrameworkId;
use proto::operator::{Call, FrameworkView, Response};
use serde_json::json;
use std::sync::Arc;

/// The framework of this id or name.
pub(super) async fn named(master: &Client, name: &str) -> Result<Found, Failure> {
    let Response::Frameworks(frameworks, _) = master.operator(&Call::GetFrameworks).await? else {
        return Err(Failure::other_answer());
    };
    let mut found: Vec<&FrameworkView> =
        frameworks.iter().filter(|framework| id(framework) == name).collect();
    if found.is_empty() {
        found.extend(frameworks.iter().filter(|framework| &*framework.info.name == name));
    }
    match found.as_slice() {
        [one] => explained(master, one).await,
        [] => {
            let message = format!("no framework is called {name}, neither by id nor by name");
            Err(Failure::new(Code::NotFound, message)
                .next("tepui frameworks lists the ids of all frameworks"))
        }
        [_, ..] => {
            let ids: Vec<&str> = found.iter().map(|framework| id(framework)).collect();
            let message = format!("{} frameworks are called {name}", ids.len());
            Err(Failure::new(Code::Usage, message)
                .next(format!("give an id: {}", ids.join(" or "))))
        }
    }
}

fn id(framework: &FrameworkView) -> &str {
    framework.info.id.as_ref().map_or("", FrameworkId::as_str)
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
    let id = id(framework);
    let mut text = super::indented(&format!("framework {} ({id})", framework.info.name), &reasons);
    if !wants.is_empty() {
        text += &super::indented("it wants:", &wants);
    }
    let reasons: Vec<&str> = reasons.iter().map(Arc::as_ref).collect();
    let json = json!({ "framework_id": id, "reasons": reasons, "wants": wants });
    Ok(Found { text, json })
}
