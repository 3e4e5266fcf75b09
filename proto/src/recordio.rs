//! RecordIO: how Mesos' streams separate messages. A record is its length in ASCII digits, a line
//! feed, and so many bytes; nothing stands between records.
//!
//! The decoder takes bytes as they arrive: where chunks begin and end has no meaning. A length is
//! checked before anything is set aside for it.

use crate::DecodeError;
use bytes::{Buf, Bytes, BytesMut};

/// The longest length that makes sense: the digits of 2^64.
const MAX_DIGITS: usize = 20;

/// One record, ready to be sent.
pub fn encode(record: &[u8]) -> Bytes {
    let length = record.len().to_string();
    let mut out = Vec::with_capacity(length.len() + 1 + record.len());
    out.extend_from_slice(length.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(record);
    out.into()
}

/// Takes a stream apart.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    /// The length of the record that has begun.
    wanted: Option<usize>,
    max_bytes: usize,
}

impl Decoder {
    /// A decoder for records of at most `max_bytes`.
    pub fn new(max_bytes: usize) -> Self {
        Self { buffer: BytesMut::new(), wanted: None, max_bytes }
    }

    /// Adds bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole record, if it has arrived.
    ///
    /// # Errors
    /// When what stands where a length is due is none, or is more than the limit. The stream
    /// cannot be read on: every later call fails too.
    pub fn next_record(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let wanted = match self.wanted {
            Some(wanted) => wanted,
            None => match self.length()? {
                Some(wanted) => *self.wanted.insert(wanted),
                None => return Ok(None),
            },
        };
        if self.buffer.len() < wanted {
            return Ok(None);
        }
        self.wanted = None;
        Ok(Some(self.buffer.split_to(wanted).freeze()))
    }

    /// Whether the stream may end here: no record has begun.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.wanted.is_none()
    }

    fn length(&mut self) -> Result<Option<usize>, DecodeError> {
        let fail = |problem: String| Err(DecodeError::new("record length", problem));
        let digits = self.buffer.iter().take(MAX_DIGITS).take_while(|b| b.is_ascii_digit()).count();
        match self.buffer.get(digits) {
            None => return Ok(None),
            Some(b'\n') if digits > 0 => {}
            Some(byte) => {
                let found = char::from(*byte);
                return fail(format!("must be digits and a line feed, has {found:?} in it"));
            }
        }
        let length = self.buffer[..digits].iter().try_fold(0_usize, |sum, digit| {
            sum.checked_mul(10)?.checked_add(usize::from(digit - b'0'))
        });
        match length {
            Some(length) if length <= self.max_bytes => {
                self.buffer.advance(digits + 1);
                Ok(Some(length))
            }
            _ => fail(format!("is more than the limit of {} bytes", self.max_bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_may_be_cut_anywhere() {
        let records: [&[u8]; 4] = [b"{\"type\":\"HEARTBEAT\"}", b"", b"12\n34", &[0xff; 300]];
        let stream: Vec<u8> = records.iter().flat_map(|record| encode(record)).collect();
        assert!(stream.starts_with(b"20\n{"));
        for cut in 1..=stream.len() {
            let mut decoder = Decoder::new(300);
            let mut found = Vec::new();
            for chunk in stream.chunks(cut) {
                decoder.push(chunk);
                while let Some(record) = decoder.next_record().unwrap() {
                    found.push(record);
                }
            }
            assert_eq!(found, records);
            assert!(decoder.is_empty());
        }
    }

    #[test]
    fn a_length_that_is_none_is_an_error() {
        for bad in ["-1\n", "a\n", "\n", "1 \n", "+1\n", "301\n", "99999999999999999999\n"] {
            let mut decoder = Decoder::new(300);
            decoder.push(bad.as_bytes());
            assert!(decoder.next_record().is_err(), "{bad:?}");
            decoder.push(b"1\na");
            assert!(decoder.next_record().is_err(), "{bad:?} and then");
        }
        // No line feed comes: an error as soon as there are more digits than any length has.
        let mut decoder = Decoder::new(300);
        decoder.push(&[b'1'; 20]);
        assert_eq!(decoder.next_record().unwrap(), None);
        decoder.push(b"1");
        assert!(decoder.next_record().is_err());
    }
}
