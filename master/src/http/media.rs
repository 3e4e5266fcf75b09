//! Which encoding a request has, and which one its answer may have.

use super::Refusal;
use http::{HeaderMap, StatusCode, header};
use proto::Encoding;

const BOTH: [Encoding; 2] = [Encoding::Json, Encoding::Protobuf];

/// The media type without its parameters, in lower case.
fn essence(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The encoding that `Content-Type` names.
pub(super) fn content_type(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Err(Refusal::bad_request("Expecting 'Content-Type' to be present"));
    };
    let named = essence(value.to_str().unwrap_or_default());
    BOTH.into_iter().find(|encoding| encoding.media_type() == named).ok_or_else(|| {
        Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Expecting 'Content-Type' of application/json or application/x-protobuf",
        )
    })
}

/// The encoding of the answer; JSON when both will do. Weights are not looked at.
pub(super) fn accept(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let mut ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .map(essence)
        .peekable();
    if ranges.peek().is_none() {
        return Ok(Encoding::Json);
    }
    let ranges: Vec<String> = ranges.collect();
    let fits = |encoding: &Encoding| {
        ranges.iter().any(|range| {
            range == "*/*" || range == "application/*" || range == encoding.media_type()
        })
    };
    BOTH.into_iter().find(fits).ok_or_else(|| {
        Refusal::new(
            StatusCode::NOT_ACCEPTABLE,
            "Expecting 'Accept' to allow application/json or application/x-protobuf",
        )
    })
}
