//! TLS with a certificate made for the test.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use countersign::http::tls::Tls;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::app::TestApp;

/// Writes a new self-signed certificate and its key, and returns what a client must trust.
fn new_certificate(directory: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(directory.join("tls.crt"), made.cert.pem()).expect("a file");
    std::fs::write(directory.join("tls.key"), made.signing_key.serialize_pem()).expect("a file");
    made.cert.der().clone()
}

fn open(directory: &Path) -> Arc<Tls> {
    Arc::new(Tls::open(&directory.join("tls.crt"), &directory.join("tls.key")).expect("usable files"))
}

async fn connect(app: &TestApp, trusted: &CertificateDer<'static>, protocol: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = TcpStream::connect(app.address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").expect("a name"), stream).await
}

#[tokio::test]
async fn both_protocols_are_negotiated() {
    let directory = TempDir::new().expect("a directory");
    let trusted = new_certificate(directory.path());
    let app = TestApp::with_tls("", open(directory.path())).await;
    let request = || Request::get("https://localhost/livez").body(Empty::<Bytes>::new()).expect("a request");

    let stream = connect(&app, &trusted, "h2").await.expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    let answer = sender.send_request(request()).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("strict-transport-security"));

    let stream = connect(&app, &trusted, "http/1.1").await.expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    let answer = sender.send_request(request()).await.expect("an answer");
    assert_eq!(answer.into_body().collect().await.expect("a body").to_bytes(), "{\"status\":\"live\"}");
}

/// R26: a new certificate needs no restart; a broken one changes nothing.
#[tokio::test]
async fn a_new_certificate_is_used_once_it_is_read_again() {
    let directory = TempDir::new().expect("a directory");
    let old = new_certificate(directory.path());
    let tls = open(directory.path());
    let app = TestApp::with_tls("", Arc::clone(&tls)).await;
    let new = new_certificate(directory.path());
    assert!(connect(&app, &old, "h2").await.is_ok() && connect(&app, &new, "h2").await.is_err(), "not read yet");
    tls.reload().expect("usable files");
    assert!(connect(&app, &old, "h2").await.is_err() && connect(&app, &new, "h2").await.is_ok());
    std::fs::write(directory.path().join("tls.crt"), "nonsense").expect("a file");
    assert!(tls.reload().is_err());
    assert!(connect(&app, &new, "h2").await.is_ok(), "the one in use stays");
}

/// A50: neither a handshake that never ends nor a connection that says nothing after it is kept.
#[tokio::test]
async fn silence_before_and_after_the_handshake_is_closed() {
    let directory = TempDir::new().expect("a directory");
    let trusted = new_certificate(directory.path());
    let app = TestApp::with_tls("[server]\nheader_timeout = \"300ms\"", open(directory.path())).await;
    let mut raw = crate::raw::Raw::connect(app.address).await;
    raw.say(b"\x16\x03\x01").await;
    assert!(raw.closed_after(Duration::from_secs(5)).await.is_some(), "half a handshake is kept open");
    for protocol in ["http/1.1", "h2"] {
        let mut stream = connect(&app, &trusted, protocol).await.expect("a handshake");
        let mut heard = Vec::new();
        let closed = timeout(Duration::from_secs(5), stream.read_to_end(&mut heard)).await;
        assert!(closed.is_ok(), "{protocol}: silence after the handshake is kept open");
    }
}
