//! HTTP to master, agents and the jobs framework, for commands. One request a call; connection
//! failures become sentences with the address and the fix.

use crate::failure::{Code, Failure};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use proto::{Encoding, Limits, Wire, operator};
use serde_json::Value;
use std::time::Duration;

/// How long one request may take, unless it says that it waits.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one server.
pub(crate) struct Client {
    /// What the server is, for messages: `master`, `jobs`, `agent`.
    what: &'static str,
    /// `host:port`.
    address: String,
    pool: Pool<HttpConnector, Full<Bytes>>,
}

/// An answer whose body has arrived.
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as a JSON value.
    pub(crate) fn json(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|e| Failure::new(Code::Failed, format!("the server's answer is no JSON: {e}")))
    }

    /// The body as text, for messages.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim().to_owned()
    }
}

impl Client {
    /// A client of the server at `address` (`host:port`).
    pub(crate) fn new(what: &'static str, address: impl Into<String>) -> Self {
        let pool = Pool::builder(TokioExecutor::new()).build(HttpConnector::new());
        Self { what, address: address.into(), pool }
    }

    /// GET with the default time limit.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::GET, path, None, TIMEOUT).await
    }

    /// POST of a JSON value with the default time limit.
    pub(crate) async fn post(&self, path: &str, value: &Value) -> Result<Answer, Failure> {
        self.send(Method::POST, path, Some(Bytes::from(value.to_string())), TIMEOUT).await
    }

    /// One request with a JSON body, bounded by `limit`.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        limit: Duration,
    ) -> Result<Answer, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|e| {
                Failure::new(Code::Usage, format!("'{}' is no address: {e}", self.address))
                    .next("give HOST:PORT, such as 127.0.0.1:5050")
            })?;
        let exchange = async {
            let answer = self.pool.request(request).await.map_err(|e| self.unreachable(&e))?;
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await.map_err(|e| {
                let message = format!("the {} at {} broke off: {e}", self.what, self.address);
                Failure::new(Code::Unavailable, message)
            })?;
            Ok(Answer { status, body: body.to_bytes() })
        };
        tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| {
            let seconds = limit.as_secs();
            let message =
                format!("the {} at {} did not answer in {seconds} s", self.what, self.address);
            Err(Failure::new(Code::Timeout, message))
        })
    }

    /// GET of a body without end: each piece as it comes. Unbounded in time.
    pub(crate) async fn stream(
        &self,
        path: &str,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Failure> {
        let request = Request::get(format!("http://{}{path}", self.address))
            .body(Full::new(Bytes::new()))
            .map_err(|e| Failure::new(Code::Usage, format!("'{}': {e}", self.address)))?;
        let answer = self.pool.request(request).await.map_err(|e| self.unreachable(&e))?;
        let status = answer.status().as_u16();
        let mut body = answer.into_body();
        if status != 200 {
            let code = if status == 404 { Code::NotFound } else { Code::Failed };
            let words = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).trim().to_owned();
            return Err(Failure::new(
                code,
                format!("the {} answered {status}: {words}", self.what),
            ));
        }
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| {
                let message = format!("the {} at {} broke off: {e}", self.what, self.address);
                Failure::new(Code::Unavailable, message)
            })?;
            if let Some(data) = frame.data_ref() {
                take(data);
            }
        }
        Ok(())
    }

    fn unreachable(&self, error: &dyn std::error::Error) -> Failure {
        let mut cause = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            cause = inner.to_string();
            source = inner.source();
        }
        let message = format!("no {} at {}: {cause}", self.what, self.address);
        Failure::new(Code::Unavailable, message)
            .next(format!("start a cluster with 'tepui up', or name another with --{}", self.what))
    }

    /// One call of the operator API.
    pub(crate) async fn operator(
        &self,
        call: &operator::Call,
    ) -> Result<operator::Response, Failure> {
        let body = call.encode(Encoding::Json);
        let answer = self.send(Method::POST, "/api/v1", Some(body), TIMEOUT).await?;
        if !(200..300).contains(&answer.status) {
            let code = match answer.status {
                404 => Code::NotFound,
                401 | 403 => Code::Denied,
                409 => Code::Conflict,
                503 => Code::Unavailable,
                _ => Code::Failed,
            };
            let message = match answer.text() {
                words if words.is_empty() => {
                    format!("the master answered {} without a word", answer.status)
                }
                words => format!("the master refuses: {words}"),
            };
            return Err(Failure::new(code, message));
        }
        // A call that asks for nothing but that it be done is answered with no body.
        if answer.body.is_empty() {
            return Ok(operator::Response::Ok);
        }
        let limits = Limits { body_bytes: 1 << 30, list_items: 1 << 24, ..Limits::DEFAULT };
        operator::Response::decode(&answer.body, Encoding::Json, &limits).map_err(|e| {
            Failure::new(Code::Failed, format!("the master's answer cannot be read: {e}"))
        })
    }
}
