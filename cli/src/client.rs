//! HTTP to master, agents and the jobs framework, for commands. One request a call; connection
//! failures become sentences with the address and the fix.

use crate::failure::{Code, Failure};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use proto::{Encoding, Limits, Wire, operator};
use serde_json::Value;
use std::time::{Duration, Instant};

/// How often a request is sent on from one server to another.
const REDIRECTS: usize = 3;
/// How long one waits for the masters to agree upon another leader.
const NEXT_LEADER: Duration = Duration::from_secs(10);
/// Between two questions meanwhile.
const AGAIN: Duration = Duration::from_millis(100);
/// How long one request may take, unless it says that it waits.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Where in a log an answer begins.
const LOG_OFFSET: &str = "tepui-log-offset";

/// A client of one server.
pub(crate) struct Client {
    /// What the server is, for messages: `master`, `jobs`, `agent`.
    what: &'static str,
    /// `host:port`, or several with commas between: each is as good as the next.
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
    /// A client of the server at `address` (`host:port`, or several with commas between).
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
        let path = path.to_owned();
        let exchange = async {
            let answer = self.ask(&method, &path, body.unwrap_or_default()).await?;
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

    /// One request: to the first server that can be reached, and to where that one sends it. One
    /// that is sent to a leader that is gone waits for the next one.
    async fn ask(
        &self,
        method: &Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        let begin = Instant::now();
        loop {
            let (mut last, mut was_sent_on) = (None, false);
            for address in self.address.split(',') {
                let mut url = format!("http://{address}{path}");
                for _ in 0..REDIRECTS {
                    let request = self.request(method, &url, body.clone())?;
                    match self.pool.request(request).await {
                        Ok(answer) => match elsewhere(&answer) {
                            Some(location) => (url, was_sent_on) = (location, true),
                            None => return Ok(answer),
                        },
                        Err(error) if error.is_connect() => {
                            last = Some(error);
                            break;
                        }
                        Err(error) => return Err(self.unreachable(&error)),
                    }
                }
            }
            if was_sent_on && begin.elapsed() < NEXT_LEADER {
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            return Err(match last {
                Some(error) => self.unreachable(&error),
                None => {
                    let message = format!("the masters at {} do not agree who leads", self.address);
                    Failure::new(Code::Unavailable, message).next("try again in a moment")
                }
            });
        }
    }

    fn request(
        &self,
        method: &Method,
        url: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        Request::builder()
            .method(method)
            .uri(url)
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .body(Full::new(body))
            .map_err(|e| {
                Failure::new(Code::Usage, format!("'{}' is no address: {e}", self.address))
                    .next("give HOST:PORT, such as 127.0.0.1:5050")
            })
    }

    /// GET of a body without end: each piece as it comes. Unbounded in time.
    pub(crate) async fn stream(
        &self,
        path: &str,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Failure> {
        self.stream_from(path, &mut None, take).await
    }

    /// The same, of a log: `at` becomes the byte where the next piece begins, with each piece.
    pub(crate) async fn stream_from(
        &self,
        path: &str,
        at: &mut Option<u64>,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Failure> {
        let answer = self.ask(&Method::GET, path, Bytes::new()).await?;
        let status = answer.status().as_u16();
        let begin = answer.headers().get(LOG_OFFSET).and_then(|at| at.to_str().ok()?.parse().ok());
        let mut body = answer.into_body();
        if status != 200 {
            let code = match status {
                400 => Code::Usage,
                404 | 410 => Code::NotFound,
                409 => Code::Conflict,
                502 | 503 => Code::Unavailable,
                _ => Code::Failed,
            };
            let words = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).trim().to_owned();
            return Err(Failure::new(
                code,
                format!("the {} answered {status}: {words}", self.what),
            ));
        }
        *at = begin.or(*at);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| {
                let message = format!("the {} at {} broke off: {e}", self.what, self.address);
                Failure::new(Code::Unavailable, message)
            })?;
            if let Some(data) = frame.data_ref() {
                take(data);
                *at = at.map(|at| at + data.len() as u64);
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

/// Where an answer sends the request on to. Masters leave the protocol out, as Mesos does.
fn elsewhere(answer: &Response<Incoming>) -> Option<String> {
    if answer.status() != StatusCode::TEMPORARY_REDIRECT {
        return None;
    }
    let location = answer.headers().get(header::LOCATION)?.to_str().ok()?;
    Some(match location.starts_with("//") {
        true => format!("http:{location}"),
        false => location.to_owned(),
    })
}
