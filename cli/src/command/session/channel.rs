//! Calls of the agent API, and streams of records both ways.

use crate::failure::{Code, Failure};
use futures_util::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{Method, Request, Response, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use proto::agent_api::{AttachInput, Call, ProcessIo};
use proto::{Encoding, Limits, Wire, recordio};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::mpsc;

/// What travels, in both directions.
const ENCODING: Encoding = Encoding::Protobuf;
const RECORDS: &str = "application/recordio";
const MESSAGE_TYPE: &str = "message-content-type";
/// Longest record that an agent may send, and longest list of its containers.
const RECORD: usize = 4 << 20;
/// How long an agent may take to be reached.
const CONNECT: Duration = Duration::from_secs(5);

type Out = UnsyncBoxBody<Bytes, Infallible>;

/// The way to one agent.
pub(super) struct Channel {
    address: String,
    client: Client<HttpConnector, Out>,
}

impl Channel {
    pub(super) fn new(address: String) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        // What is typed must not wait for the answer to what was typed before.
        connector.set_nodelay(true);
        Self { address, client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// One call, one answer.
    pub(super) async fn call(&self, call: &Call) -> Result<proto::agent_api::Response, Failure> {
        let answer = self.open(call).await?;
        let body = Limited::new(answer.into_body(), RECORD).collect().await;
        let body = body.map_err(|error| self.broken(&*error))?.to_bytes();
        let limits = Limits { body_bytes: RECORD, ..Limits::DEFAULT };
        proto::agent_api::Response::decode(&body, ENCODING, &limits).map_err(|error| {
            Failure::new(Code::Failed, format!("the agent's answer cannot be read: {error}"))
        })
    }

    /// One call that is answered by nothing but that it is done.
    pub(super) async fn order(&self, call: &Call) -> Result<(), Failure> {
        self.open(call).await.map(drop)
    }

    /// One call whose answer is a stream of records.
    pub(super) async fn records(&self, call: &Call) -> Result<Records<'_>, Failure> {
        let body = self.open(call).await?.into_body();
        Ok(Records { channel: self, body, decoder: recordio::Decoder::new(RECORD) })
    }

    async fn open(&self, call: &Call) -> Result<Response<Incoming>, Failure> {
        let body = Full::new(call.encode(ENCODING)).boxed_unsync();
        let request = Request::builder()
            .header(header::CONTENT_TYPE, ENCODING.media_type())
            .header(header::ACCEPT, ENCODING.media_type());
        self.send(request, body).await
    }

    /// Gives what comes to a container, until there is no more or it takes none.
    pub(super) async fn give(&self, input: mpsc::Receiver<AttachInput>) -> Result<(), Failure> {
        let records = futures_util::stream::unfold(input, async |mut input| {
            let next = input.recv().await?;
            Some((Call::AttachContainerInput(next), input))
        });
        let frames = records
            .map(|call| Ok::<_, Infallible>(Frame::data(recordio::encode(&call.encode(ENCODING)))));
        let request = Request::builder()
            .header(header::CONTENT_TYPE, RECORDS)
            .header(MESSAGE_TYPE, ENCODING.media_type());
        let body = StreamBody::new(Box::pin(frames)).boxed_unsync();
        self.send(request, body).await.map(drop)
    }

    async fn send(
        &self,
        request: hyper::http::request::Builder,
        body: Out,
    ) -> Result<Response<Incoming>, Failure> {
        let url = format!("http://{}/api/v1", self.address);
        let request = request.method(Method::POST).uri(url).body(body).map_err(|error| {
            let message = format!("the agent's address {} is none: {error}", self.address);
            Failure::new(Code::Failed, message)
        })?;
        let answer = self.client.request(request).await.map_err(|error| {
            let message = format!("no agent at {}: {}", self.address, root(&error));
            let next = "an agent must be reachable under its address from here: run this on a \
                        machine that reaches it, or on its own";
            Failure::new(Code::Unavailable, message).next(next)
        })?;
        let status = answer.status().as_u16();
        if status == 200 {
            return Ok(answer);
        }
        let code = match status {
            403 => Code::Denied,
            404 => Code::NotFound,
            409 => Code::Conflict,
            502 | 503 => Code::Unavailable,
            _ => Code::Failed,
        };
        let words = Limited::new(answer.into_body(), RECORD).collect().await;
        let words = words.map(|words| words.to_bytes()).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).trim().to_owned();
        Err(Failure::new(code, format!("the agent at {} refuses: {words}", self.address)))
    }

    fn broken(&self, error: &(dyn std::error::Error + 'static)) -> Failure {
        let message = format!("the agent at {} broke off: {}", self.address, root(error));
        Failure::new(Code::Unavailable, message)
    }
}

/// The cause of all causes.
fn root(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

/// What comes from an agent.
pub(super) struct Records<'a> {
    channel: &'a Channel,
    body: Incoming,
    decoder: recordio::Decoder,
}

impl Records<'_> {
    /// The next record; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<ProcessIo>, Failure> {
        let bad = |error| {
            Failure::new(Code::Failed, format!("what the agent sends cannot be read: {error}"))
        };
        loop {
            if let Some(record) = self.decoder.next_record().map_err(bad)? {
                let limits = Limits { body_bytes: RECORD, ..Limits::DEFAULT };
                return ProcessIo::decode(&record, ENCODING, &limits).map(Some).map_err(bad);
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.channel.broken(&error)),
                Some(Ok(frame)) => {
                    if let Some(bytes) = frame.data_ref() {
                        self.decoder.push(bytes);
                    }
                }
            }
        }
    }
}
