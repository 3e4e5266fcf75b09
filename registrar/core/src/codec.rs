//! Bytes on the wire and on disk: fields in order, integers of eight bytes in little endian,
//! texts and lists with their length before them.
//!
//! Reading never allocates more than what was given, and never panics.

use bytes::Bytes;

/// What was read is not what was written by [`Writer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its {field} cannot be read")]
pub struct Unreadable {
    /// The part that cannot be read.
    pub field: &'static str,
}

/// Appends fields.
#[derive(Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(crate) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn int(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        let length = u32::try_from(value.len()).expect("no field of ours has four gigabytes");
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(value);
    }

    pub(crate) fn list(&mut self, values: impl ExactSizeIterator<Item = u64>) {
        self.int(values.len() as u64);
        values.for_each(|value| self.int(value));
    }
}

/// Takes fields off the front.
pub(crate) struct Reader(pub(crate) Bytes);

impl Reader {
    fn take(&mut self, bytes: usize, field: &'static str) -> Result<Bytes, Unreadable> {
        if self.0.len() < bytes {
            return Err(Unreadable { field });
        }
        Ok(self.0.split_to(bytes))
    }

    pub(crate) fn byte(&mut self, field: &'static str) -> Result<u8, Unreadable> {
        self.take(1, field).map(|bytes| bytes[0])
    }

    pub(crate) fn flag(&mut self, field: &'static str) -> Result<bool, Unreadable> {
        match self.byte(field)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Unreadable { field }),
        }
    }

    pub(crate) fn int(&mut self, field: &'static str) -> Result<u64, Unreadable> {
        let bytes = self.take(8, field)?;
        bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)).ok_or(Unreadable { field })
    }

    pub(crate) fn bytes(&mut self, field: &'static str) -> Result<Bytes, Unreadable> {
        let length = self.take(4, field)?;
        let length = length.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        self.take(length as usize, field)
    }

    pub(crate) fn list(&mut self, field: &'static str) -> Result<Vec<u64>, Unreadable> {
        let count = self.int(field)?;
        // Checked before anything is allocated for them.
        if count > self.0.len() as u64 / 8 {
            return Err(Unreadable { field });
        }
        (0..count).map(|_| self.int(field)).collect()
    }

    pub(crate) fn end(&self, field: &'static str) -> Result<(), Unreadable> {
        if self.0.is_empty() { Ok(()) } else { Err(Unreadable { field }) }
    }
}
