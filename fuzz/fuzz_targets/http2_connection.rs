//! A connection on a socket that gives and takes what it likes, with a service that sends back what
//! it is sent: never a panic, never more kept than its bounds say, and never a turn without an end.
#![no_main]

use grpc::slim::{RequestBody, Serving};
use http::{Request, Response};
use libfuzzer_sys::fuzz_target;
use proto_fuzz::{Frames, HELLO};
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Runtime;

/// Gives frames while there are some, and takes now much, now little, now nothing.
struct Socket<'a> {
    frames: Frames<'a>,
    left: Vec<u8>,
    is_over: bool,
}

impl AsyncRead for Socket<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left.is_empty() {
            match self.frames.next() {
                Some(next) => self.left = next,
                None => self.is_over = true,
            }
        }
        let len = self.left.len().min(buffer.remaining());
        buffer.put_slice(&self.left.drain(..len).collect::<Vec<_>>());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.frames.byte() {
            0..64 => Poll::Pending,
            64 => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            more => Poll::Ready(Ok(bytes.len().min(1 << (more % 20)))),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[derive(Clone)]
struct Echo;

impl tower::Service<Request<RequestBody>> for Echo {
    type Response = Response<RequestBody>;
    type Error = Infallible;
    type Future = Ready<Result<Response<RequestBody>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        ready(Ok(Response::new(request.into_body())))
    }
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("it starts")
    })
}

fuzz_target!(|input: &[u8]| {
    let _entered = runtime().enter();
    let socket = Socket { frames: Frames::new(input), left: Vec::new(), is_over: false };
    let mut serving = Serving::new(socket, HELLO, Echo);
    let mut cx = Context::from_waker(Waker::noop());
    // Each turn reads something, or what was read before is over.
    for _ in 0..input.len() + 64 {
        let polled = Pin::new(&mut serving).poll(&mut cx);
        serving.held().check();
        if polled.is_ready() {
            break;
        }
    }
});
