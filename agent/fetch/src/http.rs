//! A GET over HTTP/1.1: redirections, time-outs, a bound on what comes, and nothing else.

use crate::order::{Limits, Marks};
use crate::uri::{Place, Uri};
use crate::{Failure, Kind, tls};
use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, AUTHORIZATION, ETAG, HOST, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED, LOCATION, USER_AGENT,
};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// So many servers may send on to the next.
const REDIRECTIONS: usize = 10;
/// What is believed of a tag or a date.
const MARK_BYTES: usize = 1024;

/// Downloads into `sink`; nothing when the file is as it was when these marks were given. Only the
/// URL that gave them is asked about them: a tag of one may stand for another content elsewhere.
pub(crate) async fn download(
    uri: &Uri,
    known: &Marks,
    limits: &Limits,
    mut sink: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<Option<Marks>, Failure> {
    let mut at = uri.clone();
    for _ in 0..REDIRECTIONS {
        let digest = at.digest();
        let known = Some(known).filter(|known| known.given_by.as_ref() == Some(&digest));
        let answer = ask(&at, known, limits).await?;
        match answer.status() {
            StatusCode::OK => {
                let marks = take(answer, limits, &mut sink).await?;
                return Ok(Some(Marks { given_by: Some(digest), ..marks }));
            }
            StatusCode::NOT_MODIFIED if known.is_some() => return Ok(None),
            status if status.is_redirection() => {
                let to = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok());
                let to = to.ok_or_else(|| {
                    Failure::new(Kind::Broken, "the server sends on without saying where to")
                })?;
                at = at.redirected(to)?;
            }
            status => {
                let problem = format!("the server answered with HTTP status {status}");
                return Err(Failure::new(Kind::Status(status.as_u16()), problem));
            }
        }
    }
    let problem = format!("more than {REDIRECTIONS} servers sent on to the next");
    Err(Failure::new(Kind::Broken, problem))
}

async fn ask(
    uri: &Uri,
    known: Option<&Marks>,
    limits: &Limits,
) -> Result<Response<Incoming>, Failure> {
    let Place::Server { tls, host, port, path, login } = &uri.place else {
        return Err(Failure::new(Kind::Uri, "it is no address of a server"));
    };
    let connecting = async {
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|error| {
            Failure::new(Kind::Connect, format!("connecting to {host}:{port}: {error}"))
        })?;
        if let Some(address) = stream.peer_addr().ok().map(|to| to.ip()).filter(is_confiding) {
            let problem = format!(
                "{host} is at {address}, where clouds tell a host its credentials: nothing is \
                 fetched from link-local addresses"
            );
            return Err(Failure::new(Kind::Connect, problem));
        }
        Ok(match tls {
            true => Either::Tls(Box::new(tls::connect(host, stream).await?)),
            false => Either::Plain(stream),
        })
    };
    let wait = Duration::from_millis(limits.connect_ms);
    let stream = tokio::time::timeout(wait, connecting).await.map_err(|_| {
        let problem = format!("no connection to {host}:{port} within {wait:?}");
        Failure::new(Kind::Time, problem)
    })??;
    let request = request(host, *port, *tls, path, login.as_deref(), known)?;
    match stream {
        Either::Tls(stream) => exchange(*stream, request, limits).await,
        Either::Plain(stream) => exchange(stream, request, limits).await,
    }
}

/// Whether what answers there is meant for the host alone: link-local addresses, and the one of its
/// own that a cloud has in IPv6.
fn is_confiding(address: &IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || address == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
        }
    }
}

enum Either {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

fn request(
    host: &str,
    port: u16,
    tls: bool,
    path: &str,
    login: Option<&str>,
    known: Option<&Marks>,
) -> Result<Request<Empty<Bytes>>, Failure> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let host = if port == if tls { 443 } else { 80 } { host } else { format!("{host}:{port}") };
    let agent = concat!("tepui/", env!("CARGO_PKG_VERSION"));
    let mut request =
        Request::get(path).header(HOST, host).header(USER_AGENT, agent).header(ACCEPT, "*/*");
    if let Some(login) = login {
        let login = if login.contains(':') { login.to_owned() } else { format!("{login}:") };
        let basic = base64::engine::general_purpose::STANDARD.encode(login);
        request = request.header(AUTHORIZATION, format!("Basic {basic}"));
    }
    if let Some(etag) = known.and_then(|known| known.etag.as_ref()) {
        request = request.header(IF_NONE_MATCH, etag);
    } else if let Some(date) = known.and_then(|known| known.last_modified.as_ref()) {
        request = request.header(IF_MODIFIED_SINCE, date);
    }
    request
        .body(Empty::new())
        .map_err(|error| Failure::new(Kind::Uri, format!("it cannot be asked for: {error}")))
}

fn stalled(limits: &Limits) -> Failure {
    let wait = Duration::from_millis(limits.stall_ms);
    Failure::new(Kind::Time, format!("nothing came for {wait:?}"))
}

fn broken(error: &hyper::Error) -> Failure {
    use std::error::Error as _;
    let mut problem = format!("the answer broke off: {error}");
    if let Some(source) = error.source() {
        problem = format!("{problem}: {source}");
    }
    Failure::new(Kind::Broken, problem)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
    limits: &Limits,
) -> Result<Response<Incoming>, Failure> {
    let asking = async {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        // It ends with the answer; what went wrong is told there.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(|error| broken(&error))
    };
    let wait = Duration::from_millis(limits.stall_ms);
    tokio::time::timeout(wait, asking).await.map_err(|_| stalled(limits))?
}

async fn take(
    answer: Response<Incoming>,
    limits: &Limits,
    sink: &mut impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<Marks, Failure> {
    let too_large = || {
        Failure::new(Kind::Size, format!("it is larger than the {} bytes allowed", limits.bytes))
    };
    let marks = marks(answer.headers());
    let mut body = answer.into_body();
    if hyper::body::Body::size_hint(&body).lower() > limits.bytes {
        return Err(too_large());
    }
    let mut left = limits.bytes;
    let wait = Duration::from_millis(limits.stall_ms);
    loop {
        let next = tokio::time::timeout(wait, body.frame()).await.map_err(|_| stalled(limits))?;
        let Some(frame) = next else { return Ok(marks) };
        let frame = frame.map_err(|error| broken(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        left = left.checked_sub(data.len() as u64).ok_or_else(too_large)?;
        sink(&data)?;
    }
}

fn marks(headers: &HeaderMap) -> Marks {
    let mark = |name: HeaderName| {
        let value = headers.get(name)?.to_str().ok()?;
        (!value.is_empty() && value.len() <= MARK_BYTES).then(|| value.to_owned())
    };
    Marks { etag: mark(ETAG), last_modified: mark(LAST_MODIFIED), given_by: None }
}

#[cfg(test)]
mod tests {
    use super::is_confiding;

    #[test]
    fn what_confides_in_a_host_is_asked_for_nothing() {
        for address in ["169.254.169.254", "::ffff:169.254.1.1", "fe80::1", "fd00:ec2::254"] {
            assert!(is_confiding(&address.parse().unwrap()), "{address}");
        }
        for address in ["127.0.0.1", "10.0.0.1", "::1", "fd00:ec2::253", "192.0.2.1"] {
            assert!(!is_confiding(&address.parse().unwrap()), "{address}");
        }
    }
}
