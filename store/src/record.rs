//! The envelope of a record: version, checksum, payload; large values in parts.
//!
//! sled puts pages above 128 KiB into separate files that it never syncs. A leaf holds about
//! sixteen records, so no stored part may be larger than [`PART_BYTES`]; a larger value is cut,
//! its parts under a prefix that no key of a caller can have.
//!
//! The checksum covers the key, so that a value that turns up under another key is noticed.

use crate::StoreError;

/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 768;
/// Largest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 16 * 1024 * 1024;

/// Largest stored part: nineteen of them with their keys (a leaf that was just merged) stay below
/// the size at which sled writes a separate file.
pub(crate) const PART_BYTES: usize = 5 * 1024;
/// First byte of the keys of parts; callers' keys must not begin with it.
pub(crate) const PART_PREFIX: u8 = 0xff;

const WHOLE: u8 = 1;
const CUT: u8 = 2;
const HEADER_BYTES: usize = 5;

/// A value as it is stored: the head under its own key, the rest as parts.
pub(crate) struct Sealed {
    pub(crate) head: Vec<u8>,
    pub(crate) parts: Vec<(Vec<u8>, Vec<u8>)>,
}

fn checksum(key: &[u8], payload: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(payload);
    hasher.finalize().to_le_bytes()
}

/// Whether the store can keep such a record.
pub(crate) fn check_fit(key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    let fits = !key.is_empty()
        && key.len() <= MAX_KEY_BYTES
        && key[0] != PART_PREFIX
        && value.len() <= MAX_VALUE_BYTES;
    if fits {
        return Ok(());
    }
    Err(StoreError::Unfit { key_bytes: key.len(), value_bytes: value.len() })
}

/// The key of part `index` of the value of `key`.
pub(crate) fn part_key(key: &[u8], index: u32) -> Vec<u8> {
    let mut part_key = parts_prefix(key);
    part_key.extend_from_slice(&index.to_be_bytes());
    part_key
}

/// The prefix of all parts of the value of `key`. The length keeps a key that is a prefix of
/// another one apart.
pub(crate) fn parts_prefix(key: &[u8]) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(key.len() + 7);
    prefix.push(PART_PREFIX);
    prefix.extend_from_slice(&(key.len() as u16).to_be_bytes());
    prefix.extend_from_slice(key);
    prefix
}

/// Puts the value of `key` into its envelope.
pub(crate) fn seal(key: &[u8], value: &[u8]) -> Sealed {
    let crc = checksum(key, value);
    if value.len() <= PART_BYTES {
        let mut head = Vec::with_capacity(HEADER_BYTES + value.len());
        head.push(WHOLE);
        head.extend_from_slice(&crc);
        head.extend_from_slice(value);
        return Sealed { head, parts: Vec::new() };
    }
    let mut head = vec![CUT];
    head.extend_from_slice(&crc);
    head.extend_from_slice(&(value.len() as u64).to_le_bytes());
    let parts = (0u32..)
        .zip(value.chunks(PART_BYTES))
        .map(|(index, part)| (part_key(key, index), part.to_vec()))
        .collect();
    Sealed { head, parts }
}

/// What a stored head says.
pub(crate) enum Opened<'a> {
    Whole(&'a [u8]),
    Cut { length: usize, crc: [u8; 4] },
}

/// Takes the value of `key` out of its envelope.
///
/// # Errors
/// Says what is wrong with the record.
pub(crate) fn open<'a>(key: &[u8], stored: &'a [u8]) -> Result<Opened<'a>, String> {
    let Some((header, payload)) = stored.split_at_checked(HEADER_BYTES) else {
        return Err(format!("has {} bytes, too few for its header", stored.len()));
    };
    let crc = [header[1], header[2], header[3], header[4]];
    match header[0] {
        WHOLE if checksum(key, payload) == crc => Ok(Opened::Whole(payload)),
        WHOLE => Err("fails its checksum".to_owned()),
        CUT => {
            let length = <[u8; 8]>::try_from(payload).map(u64::from_le_bytes);
            match length.map(usize::try_from) {
                Ok(Ok(length)) if length <= MAX_VALUE_BYTES => Ok(Opened::Cut { length, crc }),
                _ => Err("has a damaged length".to_owned()),
            }
        }
        version => Err(format!("has the unknown version {version}")),
    }
}

/// Checks a value that was put together from parts.
pub(crate) fn check_joined(
    key: &[u8],
    value: &[u8],
    length: usize,
    crc: [u8; 4],
) -> Result<(), String> {
    if value.len() != length {
        return Err(format!("has {} of its {length} bytes", value.len()));
    }
    if checksum(key, value) != crc {
        return Err("fails its checksum".to_owned());
    }
    Ok(())
}
