//! gRPC streams of those who watch: SUBSCRIBE up, numbered events down.
//!
//! The first event holds everything in one message; who watches a big cluster and has little
//! memory reads records over HTTP, where it comes in pieces.

use crate::connections::{Pending, outbox};
use crate::http::Context;
use crate::http::operator::read::first_event;
use crate::http::operator::subscribe::HEARTBEAT;
use crate::link::Link;
use crate::listen::Kill;
use crate::reads::Happened;
use grpc::{Incoming, Status, StreamHandler};
use proto::operator::{Call, Event, Resume, StreamEvent};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep};
use tokio_stream::Stream;

impl StreamHandler<Call, StreamEvent> for Link {
    type Outgoing = Pin<Box<dyn Stream<Item = StreamEvent> + Send>>;

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

type First = (StreamEvent, Pending<Arc<Happened>>);

async fn begin(context: &Context, resume: Option<Resume>, kill: Kill) -> Option<First> {
    let (watcher, pending) = outbox(context.outbox_limits(), kill);
    let beginning = context.reads().watch(watcher, resume).await.ok()?;
    let (reply, first) = oneshot::channel();
    let job = async move {
        let state = beginning.model.as_ref().map(|model| Box::new(model.state()));
        // Who asked may have left.
        let _ = reply.send(first_event(&beginning, state));
        Ok(())
    };
    context.reads().write(job).await.ok()?;
    Some((first.await.ok()?, pending))
}

/// The events of one stream.
struct Watching {
    beginning: mpsc::Receiver<First>,
    pending: Option<Pending<Arc<Happened>>>,
    heartbeat: Pin<Box<Sleep>>,
}

impl Stream for Watching {
    type Item = StreamEvent;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<StreamEvent>> {
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
                Poll::Ready(Some(happened)) => happened.event(),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    task::ready!(this.heartbeat.as_mut().poll(cx));
                    StreamEvent { sequence: None, event: Event::Heartbeat }
                }
            },
        };
        this.heartbeat.as_mut().reset(Instant::now() + HEARTBEAT);
        Poll::Ready(Some(event))
    }
}
