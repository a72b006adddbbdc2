//! Certificates, SNI, ALPN, and handshakes that do not end.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use sidegate::config::settings::Certificate;
use sidegate::server::Role;
use sidegate::server::tls::{TlsError, load};
use sidegate::time::Timestamp;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::harness::*;

const LONG: u64 = 60_000;

/// Certificate files and a client that believes them.
pub struct Authority {
    directory: tempfile::TempDir,
    roots: RootCertStore,
}

impl Authority {
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            roots: RootCertStore::empty(),
        }
    }

    /// Writes a certificate of its own key for these names.
    pub fn issue(&mut self, file: &str, names: &[&str]) -> Certificate {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        self.issue_with(file, CertificateParams::new(names).unwrap())
    }

    fn issue_with(&mut self, file: &str, params: CertificateParams) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        self.roots.add(cert.der().clone()).unwrap();
        let path = |ending: &str| self.directory.path().join(format!("{file}.{ending}"));
        std::fs::write(path("pem"), cert.pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        Certificate {
            cert: path("pem"),
            key: path("key"),
        }
    }

    pub fn client(&self, alpn: &[&[u8]]) -> TlsConnector {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

/// A server with one TLS listener and a certificate for `localhost`.
pub fn secure(head: u64, idle: u64) -> (Tested, SocketAddr, Authority) {
    let mut authority = Authority::new();
    let certificate = authority.issue("localhost", &["localhost"]);
    let tested = start(&timeouts(head, idle), &limits(1000));
    tested.server.set_certificates(&load(&[certificate]).unwrap());
    let address = tested.listen(Role::Https);
    (tested, address, authority)
}

pub async fn handshake(
    connector: &TlsConnector,
    address: SocketAddr,
    name: &str,
) -> std::io::Result<Raw<TlsStream<TcpStream>>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    soon(connector.connect(name, stream)).await.map(Raw)
}

fn certificate_of(client: &Raw<TlsStream<TcpStream>>) -> CertificateDer<'static> {
    client.0.get_ref().1.peer_certificates().unwrap()[0]
        .clone()
        .into_owned()
}

fn certificate_in(path: &Path) -> CertificateDer<'static> {
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_file(path).unwrap()
}

// Contract: "certificates = [{ cert = "…", key = "…" }]  # chosen by SNI"
#[tokio::test]
async fn the_certificate_is_the_one_with_the_name() {
    let mut authority = Authority::new();
    let first = authority.issue("first", &["first.example", "127.0.0.1"]);
    let wild = authority.issue("wild", &["*.home.example"]);
    let exact = authority.issue("exact", &["a.home.example"]);
    let tested = start(&timeouts(LONG, LONG), &limits(100));
    let all = [first.clone(), wild.clone(), exact.clone()];
    tested.server.set_certificates(&load(&all).unwrap());
    let address = tested.listen(Role::Https);
    let connector = authority.client(&[]);
    for (name, expected) in [
        ("first.example", &first),
        ("A.Home.Example", &exact),
        ("b.home.example", &wild),
        ("127.0.0.1", &first), // an address is never sent as SNI
    ] {
        let client = handshake(&connector, address, name).await.unwrap();
        assert_eq!(certificate_of(&client), certificate_in(&expected.cert), "{name}");
    }
    for name in ["a.b.home.example", "home.example", "elsewhere.test"] {
        // the default, which the client then refuses
        let error = handshake(&connector, address, name).await.err().unwrap();
        assert!(error.to_string().contains("not valid for name"), "{error}");
    }
}

// Contract: "certificates reload when their files change"
#[tokio::test]
async fn new_certificates_are_for_new_handshakes() {
    let (tested, address, mut authority) = secure(LONG, LONG);
    let connector = authority.client(&[]);
    let mut old = handshake(&connector, address, "localhost").await.unwrap();
    let before = certificate_of(&old);
    let renewed = authority.issue("localhost", &["localhost"]);
    tested
        .server
        .set_certificates(&load(std::slice::from_ref(&renewed)).unwrap());
    let connector = authority.client(&[]);
    let new = handshake(&connector, address, "localhost").await.unwrap();
    assert_ne!(certificate_of(&new), before);
    assert_eq!(certificate_of(&new), certificate_in(&renewed.cert));
    old.get("/").await;
    assert!(old.answer().await.starts_with("HTTP/1.1 200"));
}

// Threat model: "on TLS choose by ALPN"; bad inputs H-19: "TLS without ALPN, ALPN `h2` but client
// speaks h1, h1 ALPN with preface: correct or closed"
#[tokio::test]
async fn the_protocol_is_what_alpn_says() {
    let (tested, address, authority) = secure(LONG, LONG);
    for alpn in [&[][..], &[&b"http/1.1"[..]]] {
        let connector = authority.client(alpn);
        let mut client = handshake(&connector, address, "localhost").await.unwrap();
        client.get("/peer").await;
        assert!(client.answer().await.contains("Https true Some("));
        let mut confused = handshake(&connector, address, "localhost").await.unwrap();
        confused.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        confused.closed().await;
    }
    let connector = authority.client(&[b"h2", b"http/1.1"]);
    let mut confused = handshake(&connector, address, "localhost").await.unwrap();
    assert_eq!(confused.0.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    confused.get("/confused").await;
    confused.closed().await;
    assert_eq!(tested.seen(), ["GET /peer"; 2]);
    // An offer without anything that we speak is refused in the handshake (RFC 7301 §3.2).
    let connector = authority.client(&[b"spdy/3"]);
    assert!(handshake(&connector, address, "localhost").await.is_err());
}

// Settings: "head: ... also the TLS handshake"; bad inputs D-02: "idle TLS handshake, half
// ClientHello"
#[tokio::test]
async fn a_handshake_that_does_not_end_is_closed_after_the_head_time() {
    let (tested, address, _) = secure(200, LONG);
    let mut silent = connect(address).await;
    let mut half = connect(address).await;
    half.send([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]).await;
    assert_eq!(silent.closed().await, b"");
    half.closed().await;
    let mut plain = connect(address).await;
    plain.get("/").await;
    assert!(!plain.closed().await.starts_with(b"HTTP"));
    until(|| tested.server.counters().tls_failed.load(Relaxed) == 3).await;
    assert_eq!(tested.server.counters().tls_ok.load(Relaxed), 0);
}

#[tokio::test]
async fn a_drain_does_not_wait_for_silent_handshakes() {
    let (tested, address, _) = secure(LONG, LONG);
    let counters = tested.server.counters();
    let _silent = connect(address).await;
    until(|| counters.open.load(Relaxed) == 1).await;
    let drained = soon(tested.server.drain(Duration::from_secs(3600))).await;
    assert_eq!(drained.aborted, 0);
}

#[tokio::test]
async fn a_session_resumes_by_ticket_without_early_data() {
    let (tested, address, authority) = secure(LONG, LONG);
    let connector = authority.client(&[b"http/1.1"]);
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut client = handshake(&connector, address, "localhost").await.unwrap();
        client.get("/").await;
        client.answer().await; // the ticket comes before it
        let state = client.0.get_ref().1;
        // X25519MLKEM768 may need a second hello; that is a full handshake too.
        let resumed = state.handshake_kind() == Some(HandshakeKind::Resumed);
        assert_eq!(resumed, expected == HandshakeKind::Resumed);
        assert!(!state.is_early_data_accepted());
    }
    assert_eq!(tested.server.counters().tls_ok.load(Relaxed), 2);
}

#[tokio::test]
async fn an_idle_tls_connection_is_closed_politely() {
    let (_tested, address, authority) = secure(LONG, 200);
    let connector = authority.client(&[]);
    let mut client = handshake(&connector, address, "localhost").await.unwrap();
    client.get("/").await;
    client.answer().await;
    // Without a close_notify this read would be an error.
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_tls_listener_without_certificates_refuses_everyone() {
    let tested = start(&timeouts(LONG, LONG), &limits(10));
    let address = tested.listen(Role::Https);
    assert_eq!(connect(address).await.closed().await, b"");
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_with_its_file() {
    let mut authority = Authority::new();
    let good = authority.issue("good", &["good.example"]);
    let other = authority.issue("other", &["other.example"]);
    let with = |cert: &Path, key: &Path| {
        let pair = Certificate {
            cert: cert.to_owned(),
            key: key.to_owned(),
        };
        load(&[good.clone(), pair]).err().unwrap()
    };
    let file = |name: &str, text: &str| {
        let path = good.cert.with_file_name(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let empty = file("empty.pem", "");
    let damaged = file(
        "damaged.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let missing = good.cert.with_file_name("missing.pem");
    assert!(matches!(load(&[]), Err(TlsError::None)));
    for (error, file, why) in [
        (with(&missing, &good.key), &missing, "No such file"),
        (with(&good.cert, &missing), &missing, "No such file"),
        (with(&empty, &good.key), &empty, "no certificate (PEM)"),
        (with(&good.key, &good.key), &good.key, "no certificate (PEM)"),
        (with(&good.cert, &good.cert), &good.cert, "no private key (PEM"),
        (
            with(&damaged, &good.key),
            &damaged,
            "not a certificate that we can use",
        ),
        (
            with(&good.cert, &other.key),
            &other.key,
            "does not match the certificate in",
        ),
    ] {
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("{}: ", file.display())) && text.contains(why),
            "{text}"
        );
    }
}

#[test]
fn expiry_is_known_and_warned_of() {
    let mut authority = Authority::new();
    let mut params = CertificateParams::new(vec!["Old.Example".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 6, 30);
    let old = authority.issue_with("old", params);
    let nameless = authority.issue("nameless", &["192.0.2.1"]);
    let loaded = load(&[old, nameless]).unwrap();
    let leaf = &loaded.leaves()[0];
    assert_eq!(leaf.names, ["old.example"]);
    assert_eq!(Timestamp::parse("2021-06-30T00:00:00Z"), Some(leaf.not_after));
    let second = Duration::from_secs(1);
    let at = |now| loaded.warnings(now);
    assert_eq!(at(leaf.not_after).len(), 1, "only the nameless one");
    let expired = at(leaf.not_after.plus(second));
    assert!(expired[0].contains("old.pem: the certificate expired at 2021-06-30"));
    let early = at(Timestamp::parse("2019-12-31T23:59:59Z").unwrap());
    assert!(early[0].contains("not valid before 2020-01-01"));
    assert!(expired[1].contains("has no DNS name"));
}
