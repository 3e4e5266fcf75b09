//! gRPC streams of those who watch: SUBSCRIBE up, numbered events down.
//!
//! The first event holds everything in one message; who watches a big cluster and has little
//! memory reads records over HTTP, where it comes in pieces.

use crate::connections::{Pending, outbox};
use crate::http::Context;
use crate::http::operator::read;
use crate::http::operator::subscribe::HEARTBEAT;
use crate::http::pieces::collecting;
use crate::link::Link;
use crate::listen::Kill;
use crate::reads::Happened;
use bytes::Bytes;
use grpc::{Incoming, Status, StreamHandler};
use proto::operator::{Call, Event, Resume, StreamEvent};
use proto::{DecodeError, Encoding, Limits, Wire};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
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
        let (begun, beginning) = mpsc::channel(1);
        tokio::spawn(async move {
            // Whatever else comes first ends the stream.
            let Ok(Some(Call::Subscribe { resume })) = incoming.next().await else { return };
            if let Some(first) = begin(&context, resume, kill).await {
                // Who asked may have left.
                let _ = begun.send(first).await;
            }
        });
        let heartbeat = Box::pin(tokio::time::sleep(HEARTBEAT));
        Ok(Box::pin(Watching { beginning, pending: None, heartbeat }))
    }
}

/// An event as it is sent. The first one, which may be as big as the cluster, was encoded where
/// reads are made.
pub(crate) struct Told {
    bytes: Bytes,
    /// The place of an answer that is in memory whole.
    _place: Option<OwnedSemaphorePermit>,
}

impl Told {
    fn of(event: &StreamEvent) -> Self {
        Self { bytes: event.encode(Encoding::Protobuf), _place: None }
    }
}

impl Wire for Told {
    fn encode(&self, _: Encoding) -> Bytes {
        self.bytes.clone()
    }

    fn decode(_: &[u8], _: Encoding, _: &Limits) -> Result<Self, DecodeError> {
        Err(DecodeError::new("", "is for operators: a master reads no events"))
    }
}

type First = (Told, Pending<Arc<Happened>>);

async fn begin(context: &Context, resume: Option<Resume>, kill: Kill) -> Option<First> {
    let reads = context.reads();
    let place = reads.whole_answer().await.ok()?;
    let (watcher, pending) = outbox(context.outbox_limits(), kill);
    let beginning = reads.watch(watcher, resume).await.ok()?;
    let (reply, first) = oneshot::channel();
    let mut out = collecting(reads.pace());
    let job = async move {
        read::subscribed(&mut out, &beginning, Encoding::Protobuf).await?;
        // Who asked may have left.
        let _ = reply.send(out.collected().concat());
        Ok(())
    };
    reads.write(job).await.ok()?;
    Some((Told { bytes: first.await.ok()?.into(), _place: Some(place) }, pending))
}

/// The events of one stream.
struct Watching {
    beginning: mpsc::Receiver<First>,
    pending: Option<Pending<Arc<Happened>>>,
    heartbeat: Pin<Box<Sleep>>,
}

impl Stream for Watching {
    type Item = Told;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Told>> {
        let this = &mut *self;
        let event = match &mut this.pending {
            None => match task::ready!(this.beginning.poll_recv(cx)) {
                Some((first, pending)) => {
                    this.pending = Some(pending);
                    first
                }
                None => return Poll::Ready(None),
            },
            Some(pending) => match pending.poll_take(cx) {
                Poll::Ready(Some(happened)) => Told::of(&happened.event()),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    task::ready!(this.heartbeat.as_mut().poll(cx));
                    Told::of(&StreamEvent { sequence: None, event: Event::Heartbeat })
                }
            },
        };
        this.heartbeat.as_mut().reset(Instant::now() + HEARTBEAT);
        Poll::Ready(Some(event))
    }
}
