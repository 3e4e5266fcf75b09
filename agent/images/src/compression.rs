//! What a blob is packed with is told by its first bytes; names and media types are not believed.

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use std::io::{self, BufReader, Chain, Cursor, Read};

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z'];
const BZIP2: &[u8] = b"BZh";

/// What a blob was looked at.
type Peeked<R> = Chain<Cursor<Vec<u8>>, R>;

/// A blob, unpacked on the way.
pub(crate) enum Unpacked<R: Read> {
    Plain(Peeked<R>),
    Gzip(Box<MultiGzDecoder<Peeked<R>>>),
    Zstd(Box<Frames<Peeked<R>>>),
}

/// Looks at the beginning and unpacks accordingly.
pub(crate) fn unpacked<R: Read>(mut blob: R) -> io::Result<Unpacked<R>> {
    let mut first = Vec::new();
    (&mut blob).take(6).read_to_end(&mut first)?;
    let is = |magic: &[u8]| first.starts_with(magic);
    let (gzip, zstd) = (is(GZIP), is(ZSTD));
    if is(XZ) || is(BZIP2) {
        let found = if is(XZ) { "xz" } else { "bzip2" };
        let text = format!("is packed with {found}; gzip, zstd and unpacked ones are read");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let whole = Cursor::new(first).chain(blob);
    Ok(match (gzip, zstd) {
        (true, _) => Unpacked::Gzip(Box::new(MultiGzDecoder::new(whole))),
        (_, true) => Unpacked::Zstd(Box::new(Frames::new(whole)?)),
        _ => Unpacked::Plain(whole),
    })
}

impl<R: Read> Unpacked<R> {
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(inner) => inner.read(buffer),
            Self::Gzip(inner) => inner.read(buffer),
            Self::Zstd(inner) => inner.read(buffer),
        }
    }
}

/// Frames of zstd one after the other: the decoder knows one.
pub(crate) struct Frames<R: Read> {
    frame: Option<StreamingDecoder<BufReader<R>, ruzstd::decoding::FrameDecoder>>,
}

fn invalid(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

impl<R: Read> Frames<R> {
    fn new(blob: R) -> io::Result<Self> {
        let frame = StreamingDecoder::new(BufReader::new(blob)).map_err(invalid)?;
        Ok(Self { frame: Some(frame) })
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use std::io::BufRead as _;
        loop {
            let Some(frame) = &mut self.frame else { return Ok(0) };
            let count = frame.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let Some(done) = self.frame.take() else { return Ok(0) };
            let mut rest = done.into_inner();
            if rest.fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.frame = Some(StreamingDecoder::new(rest).map_err(invalid)?);
        }
    }
}

/// Ends with an error beyond so many bytes: what a small blob can become is bounded.
pub(crate) struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Bounded<R> {
    pub(crate) fn new(inner: R, most: u64) -> Self {
        Self { inner, left: most }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, "unpacks to more than is allowed")
        })?;
        Ok(count)
    }
}
