//! Calls of the operator API that ask what the shell itself knows.

use crate::connections::Message;
use crate::http::{Context, Refusal, Totals, legacy};
use crate::logging::{Logging, NoControl};
use crate::reads::views;
use http::StatusCode;
use proto::operator::{Call, Response};
use proto::{Role, Weight};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Answers the call, if it is such a one.
///
/// # Errors
/// Why it is not done.
pub(crate) async fn answer(context: &Context, call: &Call) -> Result<Option<Response>, Refusal> {
    if let Some(response) = context.membership().answer(call).await? {
        return Ok(Some(response));
    }
    Ok(Some(match call {
        Call::GetFlags => {
            let flag = |(name, value): &(&str, String)| {
                (Arc::from(*name), Some(Arc::from(value.as_str())))
            };
            Response::Flags(context.about().flags.iter().map(flag).collect())
        }
        Call::GetMetrics { .. } => metrics(context).await?,
        Call::GetLoggingLevel => Response::LoggingLevel(context.logging().level()),
        Call::SetLoggingLevel { level, duration } => {
            set_level(context.logging(), *level, *duration)?;
            Response::Ok
        }
        Call::GetWeights => {
            let model = context.model().await?;
            let weight = |(role, weight_milli): (&Role, &u64)| Weight {
                role: role.clone(),
                weight_milli: *weight_milli,
            };
            Response::Weights(model.facts.weights().iter().map(weight).collect())
        }
        // A command task has no executor of its own.
        Call::GetExecutors => {
            let model = context.model().await?;
            let loads = model.agents.iter().filter_map(|(_, row)| row.load.as_ref());
            let all = loads.flat_map(|load| {
                load.executors.iter().map(|executor| views::executor(&load.agent_id, executor))
            });
            Response::Executors(all.collect())
        }
        Call::ListFiles { path } | Call::ReadFile { path, .. } => {
            return Err(Refusal::new(StatusCode::NOT_FOUND, legacy::no_file(path)));
        }
        _ => return Ok(None),
    }))
}

/// All metrics: sums over everything, made where reads are made.
async fn metrics(context: &Context) -> Result<Response, Refusal> {
    let totals = totals(context).await?;
    let model = context.model().await?;
    let about = Arc::clone(context.about());
    let (reply, answer) = oneshot::channel();
    let job = async move {
        let all = legacy::metrics(&model, &about, &totals);
        let metric = |(name, value): (String, f64)| (Arc::from(name), Some(value));
        // Who asked may have left.
        let _ = reply.send(Response::Metrics(all.into_iter().map(metric).collect()));
        Ok(())
    };
    context.reads().write_kept(job).await?;
    answer.await.map_err(|_| Refusal::stopping())
}

/// Sets the level of the log for a while.
pub(crate) fn set_level(
    logging: &Arc<Logging>,
    level: u32,
    duration: Duration,
) -> Result<(), Refusal> {
    logging.set(level, duration).map_err(|NoControl| {
        let why = "the log is that of another program, which did not give its level away";
        Refusal::new(StatusCode::NOT_IMPLEMENTED, why)
    })
}

/// What only the core counts.
pub(crate) async fn totals(context: &Context) -> Result<Totals, Refusal> {
    let (reply, totals) = oneshot::channel();
    context.send(Message::Totals(reply)).await?;
    totals.await.map_err(|_| Refusal::stopping())
}
