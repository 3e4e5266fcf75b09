//! Messages of which we read only some fields: the others are kept as they came, in bytes.
//!
//! So a command of a kilobyte costs one copy and no structs, and a field of a newer client
//! survives its way through the master. The bytes of the tail are a sequence of whole fields;
//! protobuf allows fields in any order, so writing the tail after the known fields is a message.

use super::mesos::v1;
use super::tepui;
use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType, encode_key, encode_varint};
use prost::{DecodeError, Message};

/// A message with the fields that have no field in `known`.
#[derive(Clone, Default, PartialEq)]
pub struct Tailed<T> {
    /// What is read.
    pub known: T,
    /// The other fields, encoded, in the order in which they came.
    pub tail: Vec<u8>,
}

pub type TaskInfo = Tailed<v1::TaskInfo>;
pub type ExecutorInfo = Tailed<v1::ExecutorInfo>;
pub type Resource = Tailed<v1::Resource>;
pub type Task = Tailed<v1::Task>;
pub type TaskShown = Tailed<tepui::v1::TaskShown>;

/// The numbers of the fields that the struct has.
pub trait Known {
    const NUMBERS: &[u32];
}

impl Known for v1::TaskInfo {
    const NUMBERS: &[u32] = &[1, 2, 3, 4, 5, 12, 14, 15];
}

impl Known for v1::ExecutorInfo {
    const NUMBERS: &[u32] = &[1, 5, 8];
}

impl Known for v1::Resource {
    const NUMBERS: &[u32] = &[1, 2, 3, 4, 5, 9, 11];
}

impl Known for v1::Task {
    const NUMBERS: &[u32] = &[1, 2, 3, 4, 5, 6, 7, 8, 1000];
}

impl Known for tepui::v1::TaskShown {
    const NUMBERS: &[u32] = &[];
}

impl<T> std::fmt::Debug for Tailed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tailed").field("tail", &self.tail.len()).finish_non_exhaustive()
    }
}

impl<T: Message + Known + Default> Message for Tailed<T> {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        self.known.encode_raw(buf);
        buf.put_slice(&self.tail);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        if T::NUMBERS.contains(&tag) {
            return self.known.merge_field(tag, wire_type, buf, ctx);
        }
        encode_key(tag, wire_type, &mut self.tail);
        let len = match wire_type {
            WireType::Varint => {
                encode_varint(prost::encoding::decode_varint(buf)?, &mut self.tail);
                0
            }
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            WireType::LengthDelimited => {
                let len = prost::encoding::decode_varint(buf)?;
                encode_varint(len, &mut self.tail);
                usize::try_from(len).unwrap_or(usize::MAX)
            }
            // The check before decoding refuses groups; here they are skipped and lost.
            WireType::StartGroup | WireType::EndGroup => {
                return prost::encoding::skip_field(wire_type, tag, buf, ctx);
            }
        };
        // The check before decoding found every length to be right.
        self.tail.put(buf.take(len));
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.known.encoded_len() + self.tail.len()
    }

    fn clear(&mut self) {
        self.known.clear();
        self.tail.clear();
    }
}
