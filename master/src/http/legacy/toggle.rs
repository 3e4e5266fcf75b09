//! `/logging/toggle`: the level of the log, read or set for a while.

use super::query::Query;
use crate::http::operator::local::set_level;
use crate::http::{Refusal, empty, text};
use crate::logging::Logging;
use axum::extract::Request;
use axum::response::Response;
use http::{Method, StatusCode};
use std::sync::Arc;
use std::time::Duration;

/// Without parameters it answers the level; with `level` and `duration` (as Mesos writes them:
/// `10secs`, `1mins`) it sets it.
pub(crate) fn toggle(logging: &Arc<Logging>, request: &Request) -> Result<Response, Refusal> {
    let method = request.method();
    if !matches!(*method, Method::GET | Method::HEAD | Method::POST) {
        return Err(Refusal::method("GET", method, "GET, HEAD, POST"));
    }
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let (level, length) = match (query.get("level"), query.get("duration")) {
        (None, None) => {
            let level = logging.level();
            return Ok(text(StatusCode::OK, &format!("{level}\n")));
        }
        (Some(level), Some(duration)) => (level, duration),
        (None, Some(_)) => {
            return Err(Refusal::bad_request("Expecting 'level=value' in query"));
        }
        (Some(_), None) => {
            return Err(Refusal::bad_request("Expecting 'duration=value' in query"));
        }
    };
    let level = level.parse().map_err(|_| {
        Refusal::bad_request(format!("'{level}' is no level: it is a number from 0 up"))
    })?;
    let duration = duration(length).ok_or_else(|| {
        Refusal::bad_request(format!("'{length}' is no duration: it is as 10secs or 1.5mins"))
    })?;
    set_level(logging, level, duration)?;
    Ok(empty(StatusCode::OK))
}

/// A number and a unit, as Mesos has them.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "secs" => 1.0,
        "mins" => 60.0,
        "hrs" => 3600.0,
        "days" => 86_400.0,
        "weeks" => 604_800.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::duration;
    use std::time::Duration;

    #[test]
    fn durations_are_as_mesos_writes_them() {
        assert_eq!(duration("10secs"), Some(Duration::from_secs(10)));
        assert_eq!(duration("1.5mins"), Some(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        for wrong in ["", "10", "secs", "-1secs", "1e400days", "NaNsecs", "10 secs", "10secs "] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }
}
