//! The two forms that a message has on the wire, and the trait of everything that has both.

use crate::{DecodeError, Limits};
use bytes::Bytes;

/// A form of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Mesos' JSON: names of fields as in the schema, one line, ASCII only.
    Json,
    /// Protobuf.
    Protobuf,
}

impl Encoding {
    /// The media type, as `Content-Type` and `Accept` have it.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
        }
    }
}

/// A message of the wire.
///
/// Decoding gives back what was encoded, except that times and intervals that Mesos writes in
/// seconds (`timestamp`, `failover_timeout`, `heartbeat_interval_seconds`) keep whole microseconds
/// only.
pub trait Wire: Sized {
    /// The message in `encoding`.
    fn encode(&self, encoding: Encoding) -> Bytes;

    /// Reads a message.
    ///
    /// # Errors
    /// Names the field and the problem. Limits are checked before anything is built.
    fn decode(bytes: &[u8], encoding: Encoding, limits: &Limits) -> Result<Self, DecodeError>;
}
