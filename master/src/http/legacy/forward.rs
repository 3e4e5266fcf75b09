//! The old endpoints that change something: their bodies become calls of the operator API, which
//! decide, answer and refuse.

use super::query::Query;
use crate::connections::{Message, Outcome};
use crate::http::{Context, Refusal, empty, read_body};
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode, header};
use proto::{Encoding, Wire, operator};
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// A path that stands for calls of the operator API.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Forward {
    Weights,
    Schedule,
    Status,
    MachineDown,
    MachineUp,
    Reserve,
    Unreserve,
    CreateVolumes,
    DestroyVolumes,
    Teardown,
}

/// Does what the old endpoint did.
pub(crate) async fn forward(
    context: &Context,
    request: Request,
    to: Forward,
) -> Result<Response, Refusal> {
    let method = request.method().clone();
    let reads = matches!(method, Method::GET | Method::HEAD);
    let allow = match to {
        Forward::Schedule => "GET, HEAD, POST",
        Forward::Status => "GET, HEAD",
        Forward::Weights => "GET, HEAD, PUT",
        _ => "POST",
    };
    if !allow.split(", ").any(|allowed| allowed == method.as_str()) {
        let expected = if reads { "POST" } else { allow };
        return Err(Refusal::method(expected, &method, allow));
    }
    if reads {
        let (name, member) = match to {
            Forward::Status => ("GET_MAINTENANCE_STATUS", "status"),
            _ => ("GET_MAINTENANCE_SCHEDULE", "schedule"),
        };
        return ask(context, name, member).await;
    }
    let body = read_body(context, request.into_body()).await?;
    let call = call(context, to, &body)?;
    let done = match to {
        Forward::Reserve
        | Forward::Unreserve
        | Forward::CreateVolumes
        | Forward::DestroyVolumes => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    match decide(context, call).await? {
        Outcome::Accepted | Outcome::Answer(_) => Ok(empty(done)),
        Outcome::Refused { code, message } => Err(Refusal::of_core(code, message)),
    }
}

async fn decide(context: &Context, call: operator::Call) -> Result<Outcome, Refusal> {
    let (reply, outcome) = oneshot::channel();
    context.send(Message::Operator { call, reply }).await?;
    outcome.await.map_err(|_| Refusal::stopping())
}

/// Asks, and answers with the member of the answer that the old endpoint had alone.
async fn ask(context: &Context, name: &str, member: &str) -> Result<Response, Refusal> {
    let call = decode(context, &json!({ "type": name }))?;
    let response = match decide(context, call).await? {
        Outcome::Answer(response) => response,
        Outcome::Accepted => return Ok(empty(StatusCode::OK)),
        Outcome::Refused { code, message } => return Err(Refusal::of_core(code, message)),
    };
    let answer: Value = serde_json::from_slice(&response.encode(Encoding::Json))
        .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let inner = &answer[name.to_ascii_lowercase()][member];
    let text = if inner.is_null() { "{}".to_owned() } else { inner.to_string() };
    let mut response = Response::new(Body::from(text));
    let media_type = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    Ok(response)
}

fn call(context: &Context, to: Forward, body: &[u8]) -> Result<operator::Call, Refusal> {
    let json = || value(body, "the body");
    let form = || Query::parse(&String::from_utf8_lossy(body));
    let (name, member) = match to {
        Forward::Weights => ("UPDATE_WEIGHTS", json!({ "weight_infos": json()? })),
        Forward::Schedule | Forward::Status => {
            ("UPDATE_MAINTENANCE_SCHEDULE", json!({ "schedule": json()? }))
        }
        Forward::MachineDown => ("START_MAINTENANCE", json!({ "machines": json()? })),
        Forward::MachineUp => ("STOP_MAINTENANCE", json!({ "machines": json()? })),
        Forward::Teardown => {
            let form = form();
            let id = parameter(&form, "frameworkId")?;
            ("TEARDOWN", json!({ "framework_id": { "value": id } }))
        }
        Forward::Reserve => ("RESERVE_RESOURCES", agents(&form(), "resources")?),
        Forward::Unreserve => ("UNRESERVE_RESOURCES", agents(&form(), "resources")?),
        Forward::CreateVolumes => ("CREATE_VOLUMES", agents(&form(), "volumes")?),
        Forward::DestroyVolumes => ("DESTROY_VOLUMES", agents(&form(), "volumes")?),
    };
    let mut call = json!({ "type": name });
    call[name.to_ascii_lowercase()] = member;
    decode(context, &call)
}

/// An agent and a list of resources, as a form has them.
fn agents(form: &Query, list: &str) -> Result<Value, Refusal> {
    let mut member = json!({ "agent_id": { "value": parameter(form, "slaveId")? } });
    member[list] = value(parameter(form, list)?.as_bytes(), list)?;
    Ok(member)
}

fn parameter<'a>(form: &'a Query, name: &str) -> Result<&'a str, Refusal> {
    form.get(name).ok_or_else(|| Refusal::bad_request(format!("Missing '{name}' query parameter")))
}

fn value(text: &[u8], what: &str) -> Result<Value, Refusal> {
    serde_json::from_slice(text)
        .map_err(|error| Refusal::bad_request(format!("{what} is no JSON: {error}")))
}

fn decode(context: &Context, call: &Value) -> Result<operator::Call, Refusal> {
    let text = call.to_string();
    operator::Call::decode(text.as_bytes(), Encoding::Json, context.limits())
        .map_err(|error| Refusal::bad_request(error.to_string()))
}
