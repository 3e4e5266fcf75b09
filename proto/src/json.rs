//! JSON text of wire messages; arrives with the transcoder.

use crate::schema::Message;
use crate::{DecodeError, Limits};

pub(crate) fn write(_schema: &'static Message, _bytes: &[u8]) -> Vec<u8> {
    Vec::new()
}

pub(crate) fn read(
    _schema: &'static Message,
    _text: &[u8],
    _limits: &Limits,
) -> Result<Vec<u8>, DecodeError> {
    Err(DecodeError::new("", "JSON is not built yet"))
}
