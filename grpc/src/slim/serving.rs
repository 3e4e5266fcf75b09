//! A connection on its socket: reads, asks the service, sends its answers, and lets go of every
//! buffer as soon as it is empty.

use super::head;
use super::intake::{Credit, RequestBody};
use super::machine::{Asked, Fault, Machine, Reason};
use crate::tuning::{KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tower::Service;

/// While so much waits to be sent, nothing more is read, nor taken from answers.
const ENOUGH: usize = 64 * 1024;
/// Bytes read at a time.
const READ: usize = 64 * 1024;
/// Reads of one connection before others have their turn.
const TURNS: usize = 16;

thread_local! {
    /// What all connections of a thread read into.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The peer broke the rules, and was told so.
    #[error("the peer broke the rules of HTTP/2: {0}")]
    Fault(#[from] Fault),
    /// The socket broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The peer was silent for too long.
    #[error("the peer did not answer a ping")]
    Silent,
}

/// The answer to one request.
enum Reply<F, B> {
    /// Its head is being made.
    Awaited(Pin<Box<F>>),
    /// Its body is being sent; what is left of the piece that was taken from it last.
    Body(B, Bytes),
}

/// Serves a connection: a future that ends with it. Dropped, it ends the connection, and all bodies
/// of requests with it.
#[must_use]
pub struct Serving<I, S, F, B> {
    io: I,
    service: S,
    machine: Machine,
    credit: Arc<Credit>,
    replies: Vec<(u32, Reply<F, B>)>,
    /// Bytes of the machine's `out` that were sent.
    sent: usize,
    /// Sending stands still until the peer has taken something.
    is_blocked: bool,
    /// The connection ends once this is said.
    fault: Option<Fault>,
    /// When to look whether the peer is there.
    alarm: Pin<Box<Sleep>>,
    /// When it showed that it is, last; and when it was asked to.
    heard: Instant,
    pinged: Option<Instant>,
    interval: Duration,
    timeout: Duration,
}

/// Whether the peer is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Alive,
    /// It is to be asked.
    Asked,
    Silent,
}

impl<I, S, B> Serving<I, S, S::Future, B>
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Unpin,
    B: Body<Data = Bytes> + Unpin,
{
    /// Serves `io`, of which `begun` was read already. `service` must be ready at all times.
    pub fn new(io: I, begun: &[u8], service: S) -> Self {
        let credit = Arc::<Credit>::default();
        let heard = Instant::now();
        let mut serving = Self {
            io,
            service,
            machine: Machine::new(Arc::clone(&credit)),
            credit,
            replies: Vec::new(),
            sent: 0,
            is_blocked: false,
            fault: None,
            alarm: Box::pin(tokio::time::sleep_until(heard + KEEP_ALIVE_INTERVAL)),
            heard,
            pinged: None,
            interval: KEEP_ALIVE_INTERVAL,
            timeout: KEEP_ALIVE_TIMEOUT,
        };
        serving.take(begun);
        serving
    }

    /// The same, with a ping after each `interval` of silence, and the end when nothing comes within
    /// `timeout` after one.
    pub fn with_keep_alive(mut self, interval: Duration, timeout: Duration) -> Self {
        (self.interval, self.timeout) = (interval, timeout);
        let first = if self.fault.is_some() { timeout } else { interval };
        self.alarm.as_mut().reset(self.heard + first);
        self
    }

    /// What the connection keeps.
    #[cfg(any(test, feature = "testing"))]
    pub fn held(&self) -> super::probe::Held {
        self.machine.held()
    }

    /// Takes bytes. Only whole frames are a sign of life: who sends one byte now and then would
    /// keep a place for ever.
    fn take(&mut self, bytes: &[u8]) {
        match self.machine.receive(bytes) {
            Ok(true) => self.heard = Instant::now(),
            Ok(false) => {}
            Err(fault) => {
                self.machine.put_farewell(fault.reason);
                self.fault = Some(fault);
                self.replies = Vec::new();
                self.alarm.as_mut().reset(Instant::now() + self.timeout);
            }
        }
    }

    /// Takes what has come; whether the peer has closed.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            std::task::ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
            let bytes = buffer.filled();
            if !bytes.is_empty() {
                self.take(bytes);
            }
            Poll::Ready(Ok(bytes.is_empty()))
        })
    }

    /// Asks the service what was asked, and drops answers that nobody waits for.
    fn ask(&mut self) {
        let machine = &self.machine;
        self.replies.retain(|(id, _)| machine.is_open(*id));
        for Asked { stream, head, body } in std::mem::take(&mut self.machine.asked) {
            let answer = self.service.call(Request::from_parts(head, body));
            if self.replies.is_empty() {
                self.replies.reserve_exact(1);
            }
            self.replies.push((stream, Reply::Awaited(Box::pin(answer))));
        }
    }

    /// Takes of all answers what may be sent; whether there may be more as soon as that is gone.
    fn answer(&mut self, cx: &mut Context<'_>) -> bool {
        let machine = &mut self.machine;
        let mut is_more = false;
        self.replies.retain_mut(|(id, reply)| {
            loop {
                if machine.out.len() >= ENOUGH {
                    is_more = true;
                    return true;
                }
                match reply.advance(*id, machine, cx) {
                    Poll::Ready(true) => {}
                    Poll::Ready(false) => return false,
                    Poll::Pending => return true,
                }
            }
        });
        is_more
    }

    /// Sends what stands to be sent.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.machine.out.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let Poll::Ready(sent) = Pin::new(&mut self.io).poll_write(cx, rest) else {
                self.is_blocked = true;
                return Poll::Pending;
            };
            match sent? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
            if std::mem::take(&mut self.is_blocked) {
                // There was no place: the peer has taken something since.
                self.heard = Instant::now();
            }
        }
        self.machine.out = Vec::new();
        self.sent = 0;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Looks whether the peer is there when it is time to; to be asked after all was read.
    fn life(&mut self, cx: &mut Context<'_>) -> Life {
        let mut life = Life::Alive;
        while self.alarm.as_mut().poll(cx).is_ready() {
            let (now, due) = (Instant::now(), self.heard + self.interval);
            let is_late = now - self.alarm.deadline() > self.timeout / 2;
            // Who looks so late may not have been told yet of what has come: it asks again.
            if self.pinged.take().is_some_and(|pinged| self.heard < pinged) && !is_late {
                return Life::Silent;
            }
            if due <= now {
                self.machine.put_ping();
                self.pinged = Some(now);
                life = Life::Asked;
            }
            self.alarm.as_mut().reset(if due <= now { now + self.timeout } else { due });
        }
        life
    }

    /// Says why the connection ends, and ends it; for no longer than a ping may take.
    fn end(&mut self, fault: Fault, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let is_said = match self.write(cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.io).poll_shutdown(cx).is_ready(),
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if is_said || self.alarm.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(fault.into()));
        }
        Poll::Pending
    }

    /// Reads once; `Ready` when there may be more to do.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        self.ask();
        let is_more = self.answer(cx);
        self.machine.give_back();
        let written = self.write(cx)?;
        // Who takes nothing is not heard either.
        let is_full = written.is_pending() && self.machine.out.len() >= ENOUGH;
        let read = if is_full { Poll::Pending } else { self.read(cx)? };
        match read {
            Poll::Ready(false) => Poll::Ready(Ok(())),
            Poll::Ready(true) => {
                Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()))
            }
            Poll::Pending if is_more && written.is_ready() => Poll::Ready(Ok(())),
            Poll::Pending => match self.life(cx) {
                Life::Alive => Poll::Pending,
                Life::Asked => Poll::Ready(Ok(())),
                Life::Silent => Poll::Ready(Err(Ended::Silent)),
            },
        }
    }
}

impl<I, S, B> Future for Serving<I, S, S::Future, B>
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Unpin,
    B: Body<Data = Bytes> + Unpin,
{
    type Output = Result<(), Ended>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.credit.watch(cx.waker());
        for _ in 0..TURNS {
            if let Some(fault) = this.fault {
                return this.end(fault, cx);
            }
            match std::task::ready!(this.turn(cx)) {
                Ok(()) => {}
                Err(Ended::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    // The peer closed: well, if nothing was going on.
                    let is_well = this.machine.is_idle();
                    return Poll::Ready(if is_well { Ok(()) } else { Err(error.into()) });
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        // Others have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<F, B> Reply<F, B>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Body<Data = Bytes> + Unpin,
{
    /// Takes the next part of the answer; `Ready(false)` once it is whole, `Pending` until there is
    /// more of it, or room for it.
    fn advance(&mut self, id: u32, machine: &mut Machine, cx: &mut Context<'_>) -> Poll<bool> {
        match self {
            Self::Awaited(answer) => {
                let Ok(answer) = std::task::ready!(answer.as_mut().poll(cx));
                let is_whole = answer.body().is_end_stream();
                machine.put_headers(id, &head::answer(&answer), is_whole);
                *self = Self::Body(answer.into_body(), Bytes::new());
                Poll::Ready(!is_whole)
            }
            Self::Body(body, rest) => {
                if rest.is_empty() {
                    match std::task::ready!(Pin::new(body).poll_frame(cx)) {
                        None => machine.put_end(id),
                        Some(Err(_)) => machine.reset(id, Reason::Internal),
                        Some(Ok(frame)) => match frame.into_data() {
                            Ok(data) => {
                                *rest = data;
                                return Poll::Ready(true);
                            }
                            Err(frame) => {
                                let headers = frame.into_trailers().unwrap_or_default();
                                machine.put_headers(id, &head::trailers(&headers), true);
                            }
                        },
                    }
                    return Poll::Ready(false);
                }
                let part = rest.split_to(rest.len().min(machine.room(id)).min(ENOUGH));
                if part.is_empty() {
                    return Poll::Pending;
                }
                machine.put_data(id, &part);
                Poll::Ready(true)
            }
        }
    }
}
