//! TLS towards servers: the roots that the system trusts, and nothing that cannot be verified.

use crate::{Failure, Kind};
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

fn failed(problem: String) -> Failure {
    Failure::new(Kind::Tls, problem)
}

fn roots() -> Result<rustls::RootCertStore, Failure> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(failed(
            "this agent's host has no certificates of authorities; install its ca-certificates, \
             or name a file of them to the agent in SSL_CERT_FILE"
                .to_owned(),
        ));
    }
    Ok(roots)
}

/// Makes a connection one that nobody reads on the way, to a server that proved to be `host`.
pub(crate) async fn connect(
    host: &str,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, Failure> {
    connect_trusting(roots()?, host, stream).await
}

async fn connect_trusting(
    roots: rustls::RootCertStore,
    host: &str,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, Failure> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| failed(format!("{host:?} is no name that a certificate can have")))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.map_err(|error| failed(format!("no TLS: {error}")))
}

#[cfg(test)]
mod tests;
