//! The serving side: streams of other members, to be mounted at [`PATH`].

use crate::frame::{Content, FRAME_BYTES, Frame};
use crate::node::Heard;
use crate::roster::{Greeting, Refused, Rosters};
use bytes::{Bytes, BytesMut};
use grpc::{Incoming, Status, StreamHandler, StreamService};
use proto::Limits;
use registrar_core::{MemberId, Message};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;

/// HTTP path of the stream between members.
pub const PATH: &str = "/tepui.v1.Registrar/Converse";

/// Largest snapshot that is taken.
const SNAPSHOT_BYTES: u64 = 1 << 30;

/// Takes streams for one member.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) group: Arc<str>,
    pub(crate) id: MemberId,
    pub(crate) heard: mpsc::Sender<Heard>,
    pub(crate) rosters: Rosters,
}

/// What other members talk to: a tower service for an HTTP/2 server.
#[derive(Clone)]
pub struct Service(StreamService<Door, Frame, Frame>);

impl Service {
    pub(crate) fn new(door: Door) -> Self {
        let limits = Limits { body_bytes: FRAME_BYTES, ..Limits::DEFAULT };
        Self(StreamService::new(door, limits))
    }
}

impl<B> tower::Service<http::Request<B>> for Service
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        tower::Service::call(&mut self.0, request)
    }
}

impl StreamHandler<Frame, Frame> for Door {
    type Outgoing = ReceiverStream<Frame>;

    fn connect(
        &self,
        _: http::Extensions,
        incoming: Incoming<Frame>,
    ) -> Result<Self::Outgoing, Status> {
        let (answers, outgoing) = mpsc::channel(1);
        let door = self.clone();
        // The stream ends with `answers`.
        tokio::spawn(async move {
            if let Err(problem) = door.listen(incoming, answers).await {
                tracing::info!(problem, "the stream of a member ended");
            }
        });
        Ok(ReceiverStream::new(outgoing))
    }
}

impl Door {
    async fn listen(
        self,
        mut incoming: Incoming<Frame>,
        answers: mpsc::Sender<Frame>,
    ) -> Result<(), String> {
        let Some(hello) = next(&mut incoming).await? else { return Ok(()) };
        let greeting = match self.check(hello)? {
            Ok(greeting) => greeting,
            Err(refused) => return refuse(refused, &answers).await,
        };
        let from = greeting.from;
        if self.heard.send(Heard::Hello(greeting.clone())).await.is_err() {
            return Ok(());
        }
        let mut rosters = self.rosters.clone();
        loop {
            // What is known of the members may change while nothing is said.
            let admitted = rosters.borrow_and_update().admit(&greeting);
            if let Err(refused) = admitted {
                return refuse(refused, &answers).await;
            }
            let content = tokio::select! {
                biased;
                // Unchanged, the member is gone.
                changed = rosters.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return Ok(()),
                },
                content = next(&mut incoming) => content?,
            };
            let Some(content) = content else { return Ok(()) };
            let heard = match content {
                Content::Messages(messages) => {
                    check_senders(&messages, from)?;
                    Heard::Messages(messages)
                }
                Content::Snapshot { message, bytes, crc } => {
                    check_senders(std::slice::from_ref(&message), from)?;
                    let content = collect(&mut incoming, bytes, crc).await?;
                    Heard::Snapshot { message, content }
                }
                Content::Hello { .. }
                | Content::Chunk(_)
                | Content::Arrived
                | Content::Refused(_) => return Err("it says what it should not".to_owned()),
            };
            let is_snapshot = matches!(heard, Heard::Snapshot { .. });
            // Waits while the member is behind; then the sender's frames wait too.
            if self.heard.send(heard).await.is_err() {
                return Ok(());
            }
            if is_snapshot {
                // Whoever sent it may have left.
                let _ = answers.send(Frame::arrived()).await;
            }
        }
    }

    /// Who speaks, if it belongs to this group and wants to speak to this member.
    fn check(&self, hello: Content) -> Result<Result<Greeting, Refused>, String> {
        Ok(match hello {
            Content::Hello { group, .. } if *group != *self.group => Err(Refused::OtherGroup),
            Content::Hello { to, .. } if to != self.id => Err(Refused::OtherMember),
            Content::Hello { greeting, .. } => Ok(greeting),
            Content::Messages(_)
            | Content::Snapshot { .. }
            | Content::Chunk(_)
            | Content::Arrived
            | Content::Refused(_) => return Err("it does not greet".to_owned()),
        })
    }
}

async fn refuse(refused: Refused, answers: &mpsc::Sender<Frame>) -> Result<(), String> {
    // Whoever greeted may have left.
    let _ = answers.send(Frame::refused(refused)).await;
    Err(format!("it is refused: {refused:?}"))
}

fn check_senders(messages: &[Message], from: MemberId) -> Result<(), String> {
    match messages.iter().find(|message| message.from() != from) {
        Some(message) => Err(format!("member {from} speaks for {}", message.from())),
        None => Ok(()),
    }
}

async fn next(incoming: &mut Incoming<Frame>) -> Result<Option<Content>, String> {
    match incoming.next().await {
        Ok(Some(frame)) => frame.read().map(Some),
        Ok(None) => Ok(None),
        Err(status) => Err(status.message().to_owned()),
    }
}

/// The chunks of a snapshot, put together and checked.
async fn collect(incoming: &mut Incoming<Frame>, bytes: u64, crc: u32) -> Result<Bytes, String> {
    if bytes > SNAPSHOT_BYTES {
        return Err(format!("a snapshot of {bytes} bytes is too large"));
    }
    // Grows with what comes, not with what was announced.
    let mut content = BytesMut::new();
    while (content.len() as u64) < bytes {
        match next(incoming).await? {
            Some(Content::Chunk(chunk)) if !chunk.is_empty() => content.extend_from_slice(&chunk),
            _ => return Err("the snapshot is cut off".to_owned()),
        }
    }
    if content.len() as u64 != bytes || crc32fast::hash(&content) != crc {
        return Err("the snapshot fails its checksum".to_owned());
    }
    Ok(content.freeze())
}
