//! The serving side: tower services that an HTTP router mounts at the paths of this crate.

use crate::CLUSTER_KEY;
use crate::codec::{Incoming, WireCodec};
use crate::encoded::Encoded;
use crate::first::{Begun, First};
use proto::{Limits, Wire, operator};
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::codec::Streaming;
use tonic::metadata::MetadataValue;
use tonic::server::{Grpc, StreamingService, UnaryService};
use tonic::{Request, Response, Status};

type StdError = Box<dyn std::error::Error + Send + Sync>;
type ServiceFuture = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

/// Takes the streams of one service.
pub trait StreamHandler<In, Out>: Clone + Send + Sync + 'static {
    /// What is sent; its end ends the stream.
    type Outgoing: Stream<Item = Out> + Send + 'static;

    /// Takes a stream. `extensions` are the HTTP request's, such as the peer's address. Dropped
    /// `incoming` goes unread; `Outgoing` is dropped when the other side is gone.
    ///
    /// # Errors
    /// Refuses the stream.
    fn connect(
        &self,
        extensions: http::Extensions,
        incoming: Incoming<In>,
    ) -> Result<Self::Outgoing, Status>;
}

/// A service of one streaming method, to be mounted at its path.
pub struct StreamService<H, In, Out> {
    handler: H,
    limits: Arc<Limits>,
    cluster: Option<Arc<str>>,
    /// Whether the first message goes past the codec.
    first: bool,
    messages: PhantomData<fn(In) -> Out>,
}

impl<H, In, Out> StreamService<H, In, Out> {
    /// Serves `handler`; messages beyond `limits` end their stream.
    pub fn new(handler: H, limits: Limits) -> Self {
        let limits = Arc::new(limits);
        Self { handler, limits, cluster: None, first: false, messages: PhantomData }
    }

    /// The same, whose streams may begin with a message that was encoded already: each request has
    /// `First` among its extensions.
    #[must_use]
    pub fn with_first(self) -> Self {
        Self { first: true, ..self }
    }

    /// The same, telling each peer which cluster it has reached, before it says anything.
    #[must_use]
    pub fn of_cluster(self, cluster: Option<Arc<str>>) -> Self {
        Self { cluster, ..self }
    }
}

impl<H: Clone, In, Out> Clone for StreamService<H, In, Out> {
    fn clone(&self) -> Self {
        let (limits, cluster) = (Arc::clone(&self.limits), self.cluster.clone());
        let (handler, first) = (self.handler.clone(), self.first);
        Self { handler, limits, cluster, first, messages: PhantomData }
    }
}

impl<H, In, Out, B> tower::Service<http::Request<B>> for StreamService<H, In, Out>
where
    H: StreamHandler<In, Out>,
    In: Wire + Send + 'static,
    Out: Wire + Send + 'static,
    B: http_body::Body + Send + 'static,
    B::Error: Into<StdError> + Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = ServiceFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<B>) -> ServiceFuture {
        let limit = self.limits.body_bytes;
        let begin = self.first.then(|| {
            let (first, begin) = First::new();
            request.extensions_mut().insert(first);
            begin
        });
        let codec = WireCodec::<Out, In>::new(Arc::clone(&self.limits));
        let cluster = self.cluster.clone();
        let connect = Connect { handler: self.handler.clone(), cluster, messages: PhantomData };
        Box::pin(async move {
            let mut grpc = Grpc::new(codec).max_decoding_message_size(limit);
            let response = grpc.streaming(connect, request).await;
            Ok(match begin {
                Some(begin) => response.map(|rest| Body::new(Begun { begin, rest })),
                None => response,
            })
        })
    }
}

struct Connect<H, In, Out> {
    handler: H,
    cluster: Option<Arc<str>>,
    messages: PhantomData<fn(In) -> Out>,
}

impl<H, In, Out> StreamingService<In> for Connect<H, In, Out>
where
    H: StreamHandler<In, Out>,
    In: Wire + Send + 'static,
    Out: Wire + Send + 'static,
{
    type Response = Out;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Out, Status>> + Send>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<In>>) -> Self::Future {
        let (_, extensions, streaming) = request.into_parts();
        ready(self.handler.connect(extensions, Incoming::new(streaming)).map(|outgoing| {
            let outgoing: Self::ResponseStream = Box::pin(outgoing.map(Ok));
            let mut response = Response::new(outgoing);
            if let Some(cluster) = &self.cluster {
                let name = MetadataValue::from_bytes(cluster.as_bytes());
                response.metadata_mut().insert_bin(CLUSTER_KEY, name);
            }
            response
        }))
    }
}

/// Answers operators.
pub trait OperatorHandler: Clone + Send + Sync + 'static {
    /// Answers one call.
    ///
    /// # Errors
    /// A refusal, with a sentence.
    fn call(
        &self,
        call: operator::Call,
    ) -> impl Future<Output = Result<operator::Response, Status>> + Send;

    /// Answers one call in its encoded form; `None` for calls that are answered by `call`, as all
    /// are by default. `extensions` are the HTTP request's.
    ///
    /// # Errors
    /// As `call`.
    fn encoded(
        &self,
        _call: &operator::Call,
        _extensions: &http::Extensions,
    ) -> impl Future<Output = Result<Option<Encoded>, Status>> + Send {
        ready(Ok(None))
    }
}

/// The operator's service, to be mounted at its path.
#[derive(Clone)]
pub struct OperatorService<H> {
    handler: H,
    limits: Arc<Limits>,
}

impl<H> OperatorService<H> {
    /// Serves `handler`.
    pub fn new(handler: H, limits: Limits) -> Self {
        Self { handler, limits: Arc::new(limits) }
    }
}

impl<H, B> tower::Service<http::Request<B>> for OperatorService<H>
where
    H: OperatorHandler,
    B: http_body::Body + Send + 'static,
    B::Error: Into<StdError> + Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = ServiceFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> ServiceFuture {
        let limit = self.limits.body_bytes;
        let codec = WireCodec::<operator::Response, operator::Call>::new(Arc::clone(&self.limits));
        let encoded = Arc::<Mutex<Option<Encoded>>>::default();
        let call = OperatorCall { handler: self.handler.clone(), encoded: Arc::clone(&encoded) };
        Box::pin(async move {
            let mut grpc = Grpc::new(codec).max_decoding_message_size(limit);
            let response = grpc.unary(call, request).await;
            let encoded = encoded.lock().unwrap_or_else(PoisonError::into_inner).take();
            Ok(match encoded {
                Some(encoded) => response.map(|_| Body::new(encoded)),
                None => response,
            })
        })
    }
}

struct OperatorCall<H> {
    handler: H,
    /// An answer that goes past the codec.
    encoded: Arc<Mutex<Option<Encoded>>>,
}

impl<H: OperatorHandler> UnaryService<operator::Call> for OperatorCall<H> {
    type Response = operator::Response;
    type Future =
        Pin<Box<dyn Future<Output = Result<Response<operator::Response>, Status>> + Send>>;

    fn call(&mut self, request: Request<operator::Call>) -> Self::Future {
        let (handler, place) = (self.handler.clone(), Arc::clone(&self.encoded));
        Box::pin(async move {
            let (_, extensions, call) = request.into_parts();
            if let Some(encoded) = handler.encoded(&call, &extensions).await? {
                *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(encoded);
                // What the codec makes of this is not sent.
                return Ok(Response::new(operator::Response::Ok));
            }
            handler.call(call).await.map(Response::new)
        })
    }
}
