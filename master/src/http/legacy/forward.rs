//! The old endpoints that change something: their bodies become calls of the operator API, which
//! decide, answer and refuse.
//!
//! A body is not read here. It is put where the call has it, and the whole is decoded as any call,
//! with the same limits; all that must be sure is that it is one value and nothing beside it.

use super::query::Query;
use crate::connections::{Message, Outcome};
use crate::http::json::Json;
use crate::http::{Context, Refusal, empty, read_body};
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode, header};
use proto::{Encoding, Wire, operator};
use serde_json::Value;
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
    Quota,
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
        Forward::Quota => "GET, HEAD, POST, DELETE",
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
    let call = if method == Method::DELETE {
        remove_quota(context, request.uri().path())?
    } else {
        let body = read_body(context, request.into_body()).await?;
        call(context, to, &body)?
    };
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
    let call = Spliced::new(name).decode(context)?;
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
    let json = |name, member| Spliced::new(name).value(member, body, "the body");
    let form = || Query::parse(&String::from_utf8_lossy(body));
    let call = match to {
        Forward::Weights => json("UPDATE_WEIGHTS", "weight_infos")?,
        Forward::Schedule | Forward::Status => json("UPDATE_MAINTENANCE_SCHEDULE", "schedule")?,
        Forward::MachineDown => json("START_MAINTENANCE", "machines")?,
        Forward::MachineUp => json("STOP_MAINTENANCE", "machines")?,
        Forward::Quota => json("SET_QUOTA", "quota_request")?,
        Forward::Teardown => {
            Spliced::new("TEARDOWN").id("framework_id", parameter(&form(), "frameworkId")?)
        }
        Forward::Reserve => agents("RESERVE_RESOURCES", &form(), "resources")?,
        Forward::Unreserve => agents("UNRESERVE_RESOURCES", &form(), "resources")?,
        Forward::CreateVolumes => agents("CREATE_VOLUMES", &form(), "volumes")?,
        Forward::DestroyVolumes => agents("DESTROY_VOLUMES", &form(), "volumes")?,
    };
    call.decode(context)
}

/// An agent and a list of resources, as a form has them.
fn agents(name: &str, form: &Query, list: &str) -> Result<Spliced, Refusal> {
    let call = Spliced::new(name).id("agent_id", parameter(form, "slaveId")?);
    call.value(list, parameter(form, list)?.as_bytes(), list)
}

fn parameter<'a>(form: &'a Query, name: &str) -> Result<&'a str, Refusal> {
    form.get(name).ok_or_else(|| Refusal::bad_request(format!("Missing '{name}' query parameter")))
}

/// `DELETE /quota/ROLE`.
fn remove_quota(context: &Context, path: &str) -> Result<operator::Call, Refusal> {
    let role = path.split_once("/quota/").map(|(_, role)| super::query::decode(role));
    let role = role
        .filter(|role| !role.is_empty())
        .ok_or_else(|| Refusal::bad_request("the role is missing: it is DELETE /quota/ROLE"))?;
    let mut call = Spliced::new("REMOVE_QUOTA");
    call.json.name("role").text(&role);
    call.decode(context)
}

/// A call as JSON, in the making.
struct Spliced {
    json: Json,
}

impl Spliced {
    fn new(name: &str) -> Self {
        let mut json = Json::default();
        json.begin_object();
        json.name("type").text(name);
        json.name(&name.to_ascii_lowercase()).begin_object();
        Self { json }
    }

    fn id(mut self, member: &str, value: &str) -> Self {
        self.json.name(member).begin_object();
        self.json.name("value").text(value);
        self.json.end_object();
        self
    }

    /// A member whose value somebody sent.
    fn value(mut self, member: &str, text: &[u8], what: &str) -> Result<Self, Refusal> {
        if !is_one_value(text) {
            return Err(Refusal::bad_request(format!("{what} must be one JSON value")));
        }
        self.json.name(member).raw_bytes(text);
        Ok(self)
    }

    fn decode(mut self, context: &Context) -> Result<operator::Call, Refusal> {
        self.json.end_object();
        self.json.end_object();
        operator::Call::decode(&self.json.take(), Encoding::Json, context.limits())
            .map_err(|error| Refusal::bad_request(error.to_string()))
    }
}

/// Whether the text, if it is JSON at all, is one value: it ends nothing that it did not begin, and
/// there is nothing beside it. Only then is it in its place in a bigger text.
fn is_one_value(text: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped, mut something) = (0_usize, false, false, false);
    for byte in text {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => return false,
            },
            b',' | b':' if depth == 0 => return false,
            _ => {}
        }
        something = true;
    }
    something && depth == 0 && !in_string
}

#[cfg(test)]
mod tests {
    use super::is_one_value;

    #[test]
    fn a_body_is_one_value_and_cannot_leave_its_place() {
        for one in ["1", " {} ", "[1,2]", r#"{"a":[{"b":"}],\"{"}]}"#, r#"",:""#, "null"] {
            assert!(is_one_value(one.as_bytes()), "{one}");
        }
        for other in [
            "",
            " ",
            "1,2",
            "]",
            "{}}",
            r#"[]},"type":"TEARDOWN","teardown":{"a":[1"#,
            r#"{},"x":{"#,
            r#""a":1"#,
            r#""open"#,
            "[",
            r#"{"a":"\"}"#,
        ] {
            assert!(!is_one_value(other.as_bytes()), "{other}");
        }
    }
}
