//! Whose connection is it: what its first request asks for, from the bytes that came first.
//!
//! They are read, not only looked at, because the request comes a moment after the client's first
//! words; whoever serves the connection gets them.

use super::frame::{self, Head};
use super::{head, hpack};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What a connection began with.
#[derive(Debug)]
pub struct Begun {
    /// All that was read, from the first byte on.
    pub bytes: Vec<u8>,
    /// The path of the first request, when it came in time and could be read.
    pub path: Option<String>,
}

/// More of a beginning is not looked at.
const MOST: usize = 16 * 1024;

/// Reads until the first request is there; not for longer than `patience` once something came, as a
/// client may well wait for the server's first words.
///
/// # Errors
/// The connection broke, or ended before anything came.
pub async fn begin(io: &mut (impl AsyncRead + Unpin), patience: Duration) -> io::Result<Begun> {
    let mut bytes = Vec::with_capacity(512);
    if io.read_buf(&mut bytes).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let until = tokio::time::Instant::now() + patience;
    loop {
        match first_path(&bytes) {
            Looked::Incomplete if bytes.len() < MOST => {}
            Looked::Incomplete | Looked::Other => return Ok(Begun { bytes, path: None }),
            Looked::Path(path) => return Ok(Begun { bytes, path: Some(path) }),
        }
        match tokio::time::timeout_at(until, io.read_buf(&mut bytes)).await {
            // No more will come, or not soon: whoever serves it will find out.
            Err(_) | Ok(Ok(0)) => return Ok(Begun { bytes, path: None }),
            Ok(read) => drop(read?),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Looked {
    Incomplete,
    Other,
    Path(String),
}

/// What a beginning asks for.
fn first_path(bytes: &[u8]) -> Looked {
    let (begin, mut rest) = bytes.split_at(bytes.len().min(frame::PREFACE.len()));
    if !frame::PREFACE.starts_with(begin) {
        return Looked::Other;
    }
    while let Some((head, behind)) = Head::parse(rest) {
        if head.len > MOST {
            return Looked::Other;
        }
        let Some((payload, next)) = behind.split_at_checked(head.len) else { break };
        if head.kind == frame::HEADERS {
            return path(head, payload).map_or(Looked::Other, Looked::Path);
        }
        rest = next;
    }
    Looked::Incomplete
}

fn path(head: Head, payload: &[u8]) -> Option<String> {
    let block = frame::block(head, payload).filter(|_| head.has(frame::END_HEADERS))?;
    let mut reader = head::Reader::default();
    hpack::Decoder::default().read(block, |name, value| reader.add(name, value)).ok()?;
    reader.request().ok().map(|request| request.uri.path().to_owned())
}
