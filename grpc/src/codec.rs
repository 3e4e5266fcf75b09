//! Domain messages to and from gRPC frames, through `proto::Wire`.

use bytes::{Buf, BufMut, Bytes};
use proto::{Encoding, Limits, Wire};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder, Streaming};
use tonic::{Code, Status};

/// Encodes `Out`, decodes `In`.
pub(crate) struct WireCodec<Out, In> {
    limits: Arc<Limits>,
    messages: PhantomData<fn(Out) -> In>,
}

impl<Out, In> WireCodec<Out, In> {
    pub(crate) fn new(limits: Arc<Limits>) -> Self {
        Self { limits, messages: PhantomData }
    }
}

impl<Out, In> Codec for WireCodec<Out, In>
where
    Out: Wire + Send + 'static,
    In: Wire + Send + 'static,
{
    type Encode = Out;
    type Decode = In;
    type Encoder = WireEncoder<Out>;
    type Decoder = WireDecoder<In>;

    fn encoder(&mut self) -> Self::Encoder {
        WireEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        let (limits, kept) = (Arc::clone(&self.limits), Bytes::new());
        WireDecoder { limits, kept, message: PhantomData }
    }
}

pub(crate) struct WireEncoder<T>(PhantomData<fn(T)>);

impl<T: Wire> Encoder for WireEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, message: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let bytes = message.encode(Encoding::Protobuf);
        buffer.reserve(bytes.len());
        buffer.put(bytes);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffers()
    }
}

pub(crate) struct WireDecoder<T> {
    limits: Arc<Limits>,
    /// The newest message, if it was big. It holds the room that the stream read it into, which the
    /// stream would use again, and keep for ever, if nobody else held it: so the next message gets
    /// room of its own size, and this is let go of.
    kept: Bytes,
    message: PhantomData<fn() -> T>,
}

impl<T: Wire> Decoder for WireDecoder<T> {
    type Item = T;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<T>, Status> {
        // Splits the frame off without a copy.
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        let message = T::decode(&bytes, Encoding::Protobuf, &self.limits);
        self.kept = if bytes.len() > BEGINNING { bytes } else { Bytes::new() };
        message.map(Some).map_err(|error| Status::invalid_argument(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffers()
    }
}

/// Bytes that a stream has room for from its beginning on, in each direction: tens of thousands of
/// them are open and silent.
const BEGINNING: usize = 256;

/// Messages that are ready together leave together up to `YIELD` bytes.
fn buffers() -> BufferSettings {
    const YIELD: usize = 32 * 1024;
    BufferSettings::new(BEGINNING, YIELD)
}

/// The messages that come from the other side of a stream, in order.
pub struct Incoming<T>(Streaming<T>);

impl<T> Incoming<T> {
    pub(crate) fn new(streaming: Streaming<T>) -> Self {
        Self(streaming)
    }

    /// The next message; `None` when the other side ended the stream well.
    ///
    /// # Errors
    /// Why the stream ended otherwise: a message that could not be decoded names its field
    /// (`InvalidArgument`), a broken connection is `Unavailable` or `Unknown`.
    pub async fn next(&mut self) -> Result<Option<T>, Status> {
        match self.0.message().await {
            // A connection that breaks in mid-frame is no fault of what the other side says.
            Err(status) if status.code() == Code::Internal => {
                Err(Status::unavailable(status.message().to_owned()))
            }
            other => other,
        }
    }
}

impl<T> fmt::Debug for Incoming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").finish_non_exhaustive()
    }
}
