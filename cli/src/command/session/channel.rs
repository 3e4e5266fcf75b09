//! Calls of the agent API, and streams of records both ways.

use crate::failure::{Code, Failure};
use crate::jobs_api::escape;
use futures_util::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use proto::agent_api::{AttachInput, Call, ProcessIo};
use proto::{AgentId, Encoding, Limits, Wire, recordio};
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
/// How long an agent may say nothing: three times what it promises.
const SILENCE: Duration = Duration::from_secs(45);
/// How often a call is sent on from one master to another.
const REDIRECTS: usize = 3;

type Out = UnsyncBoxBody<Bytes, Infallible>;

/// The way to one agent.
pub(super) struct Channel {
    address: String,
    /// The agent whose calls a master at that address is to carry; none at the agent itself.
    carried_to: Option<AgentId>,
    client: Client<HttpConnector, Out>,
}

impl Channel {
    /// To the agent at an address.
    pub(super) fn direct(address: String) -> Self {
        Self::new(address, None)
    }

    /// To an agent by way of the master at an address.
    pub(super) fn by_master(address: String, agent: AgentId) -> Self {
        Self::new(address, Some(agent))
    }

    fn new(address: String, carried_to: Option<AgentId>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        // What is typed must not wait for the answer to what was typed before.
        connector.set_nodelay(true);
        Self { address, carried_to, client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// One call, one answer, by way of the master that leads, which is asked from then on.
    pub(super) async fn find(
        &mut self,
        call: &Call,
    ) -> Result<proto::agent_api::Response, Failure> {
        for _ in 0..REDIRECTS {
            let (request, body) = request_of(call);
            let answer = self.ask(request, body).await?;
            if answer.status() != StatusCode::TEMPORARY_REDIRECT {
                return self.read(self.check(answer).await?).await;
            }
            let location = answer.headers().get(header::LOCATION).and_then(|at| at.to_str().ok());
            let leader = location.and_then(|at| at.trim_start_matches("http:").strip_prefix("//"));
            let leader = leader.and_then(|at| at.split('/').next()).map(str::to_owned);
            self.address = leader.ok_or_else(Failure::other_answer)?;
        }
        let message = "the masters do not agree who leads";
        Err(Failure::new(Code::Unavailable, message).next("try again in a moment"))
    }

    /// One call, one answer.
    pub(super) async fn call(&self, call: &Call) -> Result<proto::agent_api::Response, Failure> {
        self.read(self.open(call).await?).await
    }

    async fn read(
        &self,
        answer: Response<Incoming>,
    ) -> Result<proto::agent_api::Response, Failure> {
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
        let (request, body) = request_of(call);
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
        self.check(self.ask(request, body).await?).await
    }

    /// Who is asked, for messages.
    fn name(&self) -> String {
        let what = if self.carried_to.is_some() { "master" } else { "agent" };
        format!("{what} at {}", self.address)
    }

    async fn ask(
        &self,
        request: hyper::http::request::Builder,
        body: Out,
    ) -> Result<Response<Incoming>, Failure> {
        let url = match &self.carried_to {
            Some(agent) => {
                format!("http://{}/sessions?agent_id={}", self.address, escape(agent.as_str()))
            }
            None => format!("http://{}/api/v1", self.address),
        };
        let request = request.method(Method::POST).uri(url).body(body).map_err(|error| {
            let message = format!("the {}: that is no address: {error}", self.name());
            Failure::new(Code::Failed, message)
        })?;
        self.client.request(request).await.map_err(|error| {
            let message = format!("no {}: {}", self.name(), root(&error));
            let next = "a master or the agent itself must be reachable under its address from here";
            Failure::new(Code::Unavailable, message).next(next)
        })
    }

    /// The answer, unless it is a refusal.
    async fn check(&self, answer: Response<Incoming>) -> Result<Response<Incoming>, Failure> {
        let status = answer.status().as_u16();
        if status == 200 {
            return Ok(answer);
        }
        let code = match status {
            403 => Code::Denied,
            404 => Code::NotFound,
            409 => Code::Conflict,
            502 | 503 => Code::Unavailable,
            504 => Code::Timeout,
            _ => Code::Failed,
        };
        let words = Limited::new(answer.into_body(), RECORD).collect().await;
        let words = words.map(|words| words.to_bytes()).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).trim().to_owned();
        Err(Failure::new(code, format!("the {} refuses: {words}", self.name())))
    }

    fn broken(&self, error: &(dyn std::error::Error + 'static)) -> Failure {
        let message = format!("the {} broke off: {}", self.name(), root(error));
        Failure::new(Code::Unavailable, message)
    }
}

/// A call, as it travels.
fn request_of(call: &Call) -> (hyper::http::request::Builder, Out) {
    let request = Request::builder()
        .header(header::CONTENT_TYPE, ENCODING.media_type())
        .header(header::ACCEPT, ENCODING.media_type());
    (request, Full::new(call.encode(ENCODING)).boxed_unsync())
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
            let frame = tokio::time::timeout(SILENCE, self.body.frame()).await.map_err(|_| {
                let name = self.channel.name();
                let message = format!("the {name} said nothing for {} s", SILENCE.as_secs());
                Failure::new(Code::Unavailable, message)
            })?;
            match frame {
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
