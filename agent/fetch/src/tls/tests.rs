//! Real handshakes on loopback. `cert.pem` is of `localhost`, signed by itself, until 2126.

use super::*;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const CERTIFICATE: &[u8] = include_bytes!("cert.pem");
const KEY: &[u8] = include_bytes!("key.pem");

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(CERTIFICATE).unwrap()
}

/// A connection to a server that says a word to whoever trusts it.
async fn server() -> TcpStream {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        // Who does not trust it hangs up.
        if let Ok(mut stream) = acceptor.accept(stream).await {
            stream.write_all(b"word").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    TcpStream::connect(address).await.unwrap()
}

async fn trusting(host: &str) -> Result<TlsStream<TcpStream>, Failure> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate()).unwrap();
    connect_trusting(roots, host, server().await).await
}

#[tokio::test]
async fn a_trusted_server_is_heard_and_others_are_not() {
    let mut stream = trusting("localhost").await.unwrap();
    let mut word = String::new();
    stream.read_to_string(&mut word).await.unwrap();
    assert_eq!(word, "word");
    // It is another's certificate, or nobody vouches for it.
    for refused in [trusting("elsewhere").await, connect("localhost", server().await).await] {
        assert_eq!(refused.unwrap_err().kind, Kind::Tls);
    }
}
