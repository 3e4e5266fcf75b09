//! Calls of the operator API that ask what the shell itself knows.

use crate::connections::Message;
use crate::http::{Context, Refusal, Totals, legacy};
use http::StatusCode;
use proto::operator::{Call, Response};
use proto::{Role, Weight};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Answers the call, if it is such a one.
///
/// # Errors
/// Why it is not done.
pub(crate) async fn answer(context: &Context, call: &Call) -> Result<Option<Response>, Refusal> {
    Ok(Some(match call {
        Call::GetFlags => {
            let flag = |(name, value): &(&str, String)| {
                (Arc::from(*name), Some(Arc::from(value.as_str())))
            };
            Response::Flags(context.about().flags.iter().map(flag).collect())
        }
        Call::GetMetrics { .. } => {
            let totals = totals(context).await?;
            let model = context.reads().snapshot().await?;
            let all = legacy::metrics(&model, context.about(), &totals);
            let metric = |(name, value): (String, f64)| (Arc::from(name), Some(value));
            Response::Metrics(all.into_iter().map(metric).collect())
        }
        Call::GetWeights => {
            let model = context.reads().snapshot().await?;
            let weight = |(role, weight_milli): (&Role, &u64)| Weight {
                role: role.clone(),
                weight_milli: *weight_milli,
            };
            Response::Weights(model.facts.weights().iter().map(weight).collect())
        }
        // Only command tasks run here, and those have no executor of their own.
        Call::GetExecutors => Response::Executors(Vec::new()),
        Call::ListFiles { .. } | Call::ReadFile { .. } => {
            return Err(Refusal::new(StatusCode::NOT_FOUND, "the master has no files"));
        }
        _ => return Ok(None),
    }))
}

/// What only the core counts.
pub(crate) async fn totals(context: &Context) -> Result<Totals, Refusal> {
    let (reply, totals) = oneshot::channel();
    context.send(Message::Totals(reply)).await?;
    totals.await.map_err(|_| Refusal::stopping())
}
