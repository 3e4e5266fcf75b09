//! Whose connection is it: what its first request asks for, from the bytes that came first.
//!
//! They are read, not only looked at, because the request comes a moment after the client's first
//! words; whoever serves the connection gets them.

use super::frame::{self, Head};
use super::{head, hpack};
use crate::tuning::STREAM_WINDOW;
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

/// How long whoever is not one of ours is waited for: many a client says nothing more until it has
/// the server's settings.
const BRIEF: Duration = Duration::from_millis(5);

/// Reads until the first request is there; once something came, for no longer than `patience` if it
/// has the settings of this crate's client, which asks at once, and else only for a moment.
///
/// # Errors
/// The connection broke, or ended before anything came.
pub async fn begin(io: &mut (impl AsyncRead + Unpin), patience: Duration) -> io::Result<Begun> {
    let mut bytes = Vec::with_capacity(512);
    if io.read_buf(&mut bytes).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let begin = tokio::time::Instant::now();
    loop {
        match first_path(&bytes) {
            Looked::Incomplete if bytes.len() < MOST => {}
            Looked::Incomplete | Looked::Other => return Ok(Begun { bytes, path: None }),
            Looked::Path(path) => return Ok(Begun { bytes, path: Some(path) }),
        }
        let until = begin + if has_our_settings(&bytes) { patience } else { patience.min(BRIEF) };
        match tokio::time::timeout_at(until, io.read_buf(&mut bytes)).await {
            // No more will come, or not soon: whoever serves it will find out.
            Err(_) | Ok(Ok(0)) => return Ok(Begun { bytes, path: None }),
            Ok(read) => drop(read?),
        }
    }
}

/// Whether a beginning has the settings that this crate's client has. A wrong guess costs a little
/// time, or a little memory.
fn has_our_settings(bytes: &[u8]) -> bool {
    const INITIAL_WINDOW_SIZE: [u8; 2] = 4_u16.to_be_bytes();
    const MAX_FRAME_SIZE: [u8; 2] = 5_u16.to_be_bytes();
    let first = bytes.strip_prefix(frame::PREFACE).and_then(Head::parse);
    let Some((Head { len, kind: frame::SETTINGS, .. }, behind)) = first else { return false };
    let (settings, _) = behind.get(..len).unwrap_or_default().as_chunks::<6>();
    let mut is_ours = false;
    for [a, b, value @ ..] in settings {
        let value = u32::from_be_bytes(*value);
        match [*a, *b] {
            INITIAL_WINDOW_SIZE => is_ours = value == STREAM_WINDOW,
            // Other clients have that window as well, and greater frames.
            MAX_FRAME_SIZE if value as usize != frame::MAX_PAYLOAD => return false,
            _ => {}
        }
    }
    is_ours
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
