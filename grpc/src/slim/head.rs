//! Lists of headers as requests, and what answers say as lists of headers.

use super::hpack;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, Uri, request};

/// Headers of a request, checked one after the other.
#[derive(Default)]
pub(super) struct Reader {
    method: Option<Method>,
    scheme: Option<Vec<u8>>,
    authority: Option<Vec<u8>>,
    path: Option<Vec<u8>>,
    headers: HeaderMap,
    has_pseudo: bool,
    /// What all of them take, as their limit counts it.
    size: usize,
    is_malformed: bool,
}

/// Why there is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    TooLarge,
    Malformed,
}

/// The most that all headers of a request may take, each with 32 bytes more than its texts.
pub(super) const MAX_LIST: usize = 16 * 1024;

/// What belongs to one connection has no place in HTTP/2.
const OF_CONNECTIONS: [&str; 5] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

impl Reader {
    /// The next header. What is wrong is said at the end.
    pub(super) fn add(&mut self, name: &[u8], value: &[u8]) {
        self.size = self.size.saturating_add(name.len() + value.len() + 32);
        if self.size > MAX_LIST || self.is_malformed {
            return;
        }
        let fits = match name.strip_prefix(b":") {
            Some(pseudo) => self.add_pseudo(pseudo, value),
            None => self.add_header(name, value),
        };
        self.is_malformed = fits.is_none();
    }

    fn add_pseudo(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        self.has_pseudo = true;
        let is_again = match name {
            b"method" => self.method.replace(Method::from_bytes(value).ok()?).is_some(),
            b"scheme" => self.scheme.replace(value.to_owned()).is_some(),
            b"authority" => self.authority.replace(value.to_owned()).is_some(),
            b"path" => self.path.replace(value.to_owned()).is_some(),
            _ => return None,
        };
        // They come before all others.
        (!is_again && self.headers.is_empty()).then_some(())
    }

    fn add_header(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        let name = HeaderName::from_lowercase(name).ok()?;
        if OF_CONNECTIONS.contains(&name.as_str()) || (name == "te" && value != b"trailers") {
            return None;
        }
        self.headers.append(name, HeaderValue::from_bytes(value).ok()?);
        Some(())
    }

    /// Whether the headers may follow a request's body.
    pub(super) fn trailers(&self) -> Result<(), Unfit> {
        match (self.size > MAX_LIST, self.is_malformed || self.has_pseudo) {
            (true, _) => Err(Unfit::TooLarge),
            (_, true) => Err(Unfit::Malformed),
            _ => Ok(()),
        }
    }

    /// The request that the headers make.
    pub(super) fn request(self) -> Result<request::Parts, Unfit> {
        if self.size > MAX_LIST {
            return Err(Unfit::TooLarge);
        }
        let malformed = Err(Unfit::Malformed);
        let (Some(method), Some(scheme), Some(path), false) =
            (self.method, self.scheme, self.path, self.is_malformed)
        else {
            return malformed;
        };
        if !path.starts_with(b"/") {
            return malformed;
        }
        let mut uri = Uri::builder();
        if let Some(authority) = self.authority {
            uri = uri.scheme(scheme.as_slice()).authority(authority);
        }
        let Ok(uri) = uri.path_and_query(path).build() else { return malformed };
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = method;
        parts.uri = uri;
        parts.version = http::Version::HTTP_2;
        parts.headers = self.headers;
        Ok(parts)
    }
}

/// The block of an answer's head.
pub(super) fn answer<B>(response: &Response<B>) -> Vec<u8> {
    let mut block = Vec::with_capacity(128);
    hpack::put(&mut block, b":status", response.status().as_str().as_bytes());
    put_all(&mut block, response.headers());
    block
}

/// The block of headers that follow an answer.
pub(super) fn trailers(headers: &HeaderMap) -> Vec<u8> {
    let mut block = Vec::with_capacity(64);
    put_all(&mut block, headers);
    block
}

fn put_all(block: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        if !OF_CONNECTIONS.contains(&name.as_str()) {
            hpack::put(block, name.as_str().as_bytes(), value.as_bytes());
        }
    }
}
