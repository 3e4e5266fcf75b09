//! Messages whose bytes were made before, or are not looked at: what they cost is not measured.

use bytes::Bytes;
use proto::{DecodeError, Encoding, Limits, Wire};

/// The bytes of a message.
#[derive(Clone, Debug)]
pub(crate) struct Raw(pub(crate) Bytes);

impl Raw {
    /// As `message` has them.
    pub(crate) fn of(message: &impl Wire) -> Self {
        Self(message.encode(Encoding::Protobuf))
    }
}

impl Wire for Raw {
    fn encode(&self, _: Encoding) -> Bytes {
        self.0.clone()
    }

    fn decode(bytes: &[u8], _: Encoding, _: &Limits) -> Result<Self, DecodeError> {
        Ok(Self(Bytes::copy_from_slice(bytes)))
    }
}
