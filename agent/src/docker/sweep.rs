//! What is left in the engine of agents before this one.

use super::life::{Common, PAUSES};
use super::request;
use std::sync::Arc;

/// Removes what carries this agent's label and is on no record, once the engine answers.
pub(crate) async fn sweep(common: Arc<Common>) {
    let label = format!("{}={}", request::AGENT_LABEL, common.settings.agent);
    let mut pause = PAUSES.0;
    let found = loop {
        match common.engine.labelled(&label).await {
            Ok(found) => break found,
            Err(error) => {
                tracing::debug!(%error, "what is left of earlier agents is not known");
                // waits: the engine is away; it is asked again, with longer pauses
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    };
    for (name, labels) in found {
        // A record is made before its container, and goes after it.
        let known = labels.get(request::CONTAINER_LABEL);
        if known.is_some_and(|id| common.records.knows(id)) {
            continue;
        }
        match common.engine.remove(&name).await {
            Ok(()) => tracing::warn!(name, "a container of nobody was removed"),
            Err(error) => tracing::warn!(name, %error, "a container of nobody stays"),
        }
    }
}
