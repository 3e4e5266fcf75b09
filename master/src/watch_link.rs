//! gRPC streams of those who watch: SUBSCRIBE up, numbered events down.
//!
//! The first event holds everything in one message; who watches a big cluster and has little
//! memory reads records over HTTP, where it comes in pieces.

use crate::connections::{Pending, outbox};
use crate::http::Context;
use crate::http::operator::read;
use crate::http::operator::subscribe::HEARTBEAT;
use crate::http::pieces::collecting;
use crate::link::{Link, status};
use crate::listen::{Kill, Peer};
use crate::reads::{Happened, NoAnswer, SMALL};
use bytes::Bytes;
use grpc::{Encoded, First, Incoming, Status, StreamHandler};
use proto::operator::{Call, Event, Resume, StreamEvent};
use proto::{DecodeError, Encoding, Limits, Wire};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};
use tokio_stream::Stream;

impl StreamHandler<Call, Told> for Link {
    type Outgoing = Pin<Box<dyn Stream<Item = Told> + Send>>;

    fn connect(
        &self,
        mut extensions: http::Extensions,
        mut incoming: Incoming<Call>,
    ) -> Result<Self::Outgoing, Status> {
        let context = self.context().clone();
        let kill: Kill = extensions.remove().unwrap_or_default();
        let peer = extensions.remove::<Peer>();
        let first = extensions.remove::<First>().ok_or_else(|| Status::internal("no stream"))?;
        let (begun, beginning) = oneshot::channel();
        tokio::spawn(async move {
            // Whatever else comes first ends the stream.
            let Ok(Some(Call::Subscribe { resume })) = incoming.next().await else { return };
            match begin(&context, resume, &kill, peer.as_ref()).await {
                Ok((message, pending)) => {
                    // Who asked may have left.
                    drop(begun.send(pending));
                    first.send(Ok(message));
                }
                Err(why) => first.send(Err(why)),
            }
        });
        let heartbeat = Box::pin(tokio::time::sleep(HEARTBEAT));
        Ok(Box::pin(Watching { beginning: Some(beginning), pending: None, heartbeat }))
    }
}

/// An event as it is sent.
pub(crate) struct Told(Bytes);

impl Told {
    fn of(event: &StreamEvent) -> Self {
        Self(event.encode(Encoding::Protobuf))
    }
}

impl Wire for Told {
    fn encode(&self, _: Encoding) -> Bytes {
        self.0.clone()
    }

    fn decode(_: &[u8], _: Encoding, _: &Limits) -> Result<Self, DecodeError> {
        Err(DecodeError::new("", "is for operators: a master reads no events"))
    }
}

type Events = Pending<Arc<Happened>>;

/// The first message, which may be as big as the cluster and is encoded where reads are made, and
/// what follows it.
async fn begin(
    context: &Context,
    resume: Option<Resume>,
    kill: &Kill,
    peer: Option<&Peer>,
) -> Result<(Encoded, Events), Status> {
    let none = |none: NoAnswer| status(none.into());
    context.membership().surely_lead().await.map_err(status)?;
    let reads = context.reads();
    let small = subscribed(context, resume.clone(), kill.clone(), SMALL, ()).await.map_err(none)?;
    if let Some((pieces, pending)) = small {
        return Ok((reads.whole(pieces, None)?, pending));
    }
    let (making, connection) = reads.place(peer).await.map_err(none)?.split();
    let big = subscribed(context, resume, kill.clone(), usize::MAX, making).await.map_err(none)?;
    let (pieces, pending) = big.ok_or_else(|| none(NoAnswer::Stopping))?;
    Ok((reads.whole(pieces, connection)?, pending))
}

/// Begins to watch, if the first message has at most `most` bytes; `keep` is held until it is made.
async fn subscribed(
    context: &Context,
    resume: Option<Resume>,
    kill: Kill,
    most: usize,
    keep: impl Send + 'static,
) -> Result<Option<(Vec<Bytes>, Events)>, NoAnswer> {
    let reads = context.reads();
    let (watcher, pending) = outbox(context.outbox_limits(), kill);
    let beginning = reads.watch(watcher, resume).await?;
    let mut out = collecting(reads.pace(), most);
    let (reply, first) = oneshot::channel();
    let job = async move {
        let written = read::subscribed(&mut out, &beginning, Encoding::Protobuf).await;
        // Who asked may have left.
        let _ = reply.send(written.ok().and_then(|()| out.collected()));
        drop(keep);
        Ok(())
    };
    reads.write_kept(job).await?;
    let pieces = first.await.map_err(|_| NoAnswer::Stopping)?;
    Ok(pieces.map(|pieces| (pieces, pending)))
}

/// The events of one stream behind its first message.
struct Watching {
    beginning: Option<oneshot::Receiver<Events>>,
    pending: Option<Events>,
    heartbeat: Pin<Box<Sleep>>,
}

impl Stream for Watching {
    type Item = Told;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Told>> {
        let this = &mut *self;
        if let Some(beginning) = &mut this.beginning {
            let begun = task::ready!(Pin::new(beginning).poll(cx));
            (this.beginning, this.pending) = (None, begun.ok());
        }
        let Some(pending) = &mut this.pending else { return Poll::Ready(None) };
        let event = match pending.poll_take(cx) {
            Poll::Ready(Some(happened)) => Told::of(&happened.event()),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {
                task::ready!(this.heartbeat.as_mut().poll(cx));
                Told::of(&StreamEvent { sequence: None, event: Event::Heartbeat })
            }
        };
        this.heartbeat.as_mut().reset(Instant::now() + HEARTBEAT);
        Poll::Ready(Some(event))
    }
}
