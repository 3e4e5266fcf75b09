//! The serving side: streams of other members, to be mounted at [`PATH`].

use crate::frame::{Content, FRAME_BYTES, Frame};
use crate::node::Heard;
use crate::perform::Rosters;
use bytes::{Bytes, BytesMut};
use grpc::{Incoming, Status, StreamHandler, StreamService};
use proto::Limits;
use registrar_core::{Greeting, MemberId, Message, Refused};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;

/// HTTP path of the stream between members.
pub const PATH: &str = "/tepui.v1.Registrar/Converse";

/// Largest snapshot that is taken.
const SNAPSHOT_BYTES: u64 = 1 << 30;

/// Bytes of a stream that are read before its first frame, the greeting, is whole.
const GREETING_BYTES: usize = 4 << 10;
/// How long a greeting may take.
const GREETING: Duration = Duration::from_secs(10);

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
pub struct Service(Door);

impl Service {
    pub(crate) fn new(door: Door) -> Self {
        Self(door)
    }
}

impl<B> tower::Service<http::Request<B>> for Service
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let has_greeted = Arc::<AtomicBool>::default();
        let opened = Opened { door: self.0.clone(), has_greeted: Arc::clone(&has_greeted) };
        let limits = Limits { body_bytes: FRAME_BYTES, ..Limits::DEFAULT };
        let request = request.map(|inner| Limited { inner, bytes: 0, has_greeted });
        tower::Service::call(&mut StreamService::<_, Frame, Frame>::new(opened, limits), request)
    }
}

/// The body of a stream. Whoever has not greeted gets no memory for a large frame.
struct Limited<B> {
    inner: B,
    bytes: usize,
    has_greeted: Arc<AtomicBool>,
}

impl<B> http_body::Body for Limited<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        // More is asked for only while the first frame is not whole.
        if self.bytes > GREETING_BYTES && !self.has_greeted.load(Ordering::Relaxed) {
            let why = format!("a greeting has at most {GREETING_BYTES} bytes");
            return Poll::Ready(Some(Err(why.into())));
        }
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        let data = frame.as_ref().and_then(|frame| frame.as_ref().ok());
        let bytes = data.and_then(|frame| frame.data_ref()).map_or(0, Bytes::len);
        self.bytes = self.bytes.saturating_add(bytes);
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}

/// One stream that somebody opened.
#[derive(Clone)]
struct Opened {
    door: Door,
    has_greeted: Arc<AtomicBool>,
}

impl StreamHandler<Frame, Frame> for Opened {
    type Outgoing = ReceiverStream<Frame>;

    fn connect(
        &self,
        _: http::Extensions,
        incoming: Incoming<Frame>,
    ) -> Result<Self::Outgoing, Status> {
        let (answers, outgoing) = mpsc::channel(1);
        let Self { door, has_greeted } = self.clone();
        // The stream ends with `answers`.
        tokio::spawn(async move {
            if let Err(problem) = door.listen(incoming, answers, &has_greeted).await {
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
        has_greeted: &AtomicBool,
    ) -> Result<(), String> {
        let hello = tokio::time::timeout(GREETING, next(&mut incoming)).await;
        let hello = hello.map_err(|_| format!("it did not greet within {GREETING:?}"))??;
        let Some(hello) = hello else { return Ok(()) };
        let greeting = match self.check(hello)? {
            Ok(greeting) => greeting,
            Err(refused) => return refuse(refused, &answers).await,
        };
        has_greeted.store(true, Ordering::Relaxed);
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
