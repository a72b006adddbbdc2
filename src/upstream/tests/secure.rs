//! TLS, HTTP/2 and unix sockets towards the backend.

use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt, Full};
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::*;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: tempfile::NamedTempFile,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), certificate.pem()).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            file,
        }
    }

    fn path(&self) -> &Path {
        self.file.path()
    }

    fn server(&self, name: &str, expired: bool, alpn: &[&str]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Serves one TLS connection with one HTTP/1.1 answer; what it read, or nothing.
async fn serve_once(origin: &Origin, acceptor: TlsAcceptor) -> String {
    let wire = origin.accept().await;
    let Ok(mut stream) = acceptor.accept(wire.stream).await else {
        return String::new();
    };
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => seen.extend_from_slice(&buffer[..count]),
        }
    }
    if !seen.is_empty() {
        stream.write_all(OK.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    }
    String::from_utf8(seen).unwrap()
}

// U-11: "wrong name, expired, self-signed -> 502; verify on by default".
#[test]
fn only_a_certificate_that_verifies_is_spoken_to() {
    local(async {
        let ours = Authority::new();
        let foreign = Authority::new();
        for (acceptor, ca, name, works) in [
            (
                ours.server("backend.example", false, &[]),
                Some(&ours),
                Some("backend.example"),
                true,
            ),
            (
                ours.server("127.0.0.1", false, &["http/1.1"]),
                Some(&ours),
                None,
                true,
            ),
            (
                ours.server("other.example", false, &[]),
                Some(&ours),
                Some("backend.example"),
                false,
            ),
            (
                ours.server("backend.example", false, &[]),
                Some(&ours),
                None,
                false,
            ),
            (
                ours.server("backend.example", true, &[]),
                Some(&ours),
                Some("backend.example"),
                false,
            ),
            (
                foreign.server("backend.example", false, &[]),
                Some(&ours),
                Some("backend.example"),
                false,
            ),
        ] {
            let origin = Origin::start().await;
            let mut setup = Setup::to(vec![tcp(UpstreamScheme::Https, origin.address)]);
            setup.route().ca_file = ca.map(|ca| ca.path().to_owned());
            setup.route().server_name = name.map(str::to_owned);
            let gate = setup.start().await;
            let (seen, answer) = tokio::join!(serve_once(&origin, acceptor), gate.get(""));
            let expected = if works { "HTTP/1.1 200" } else { "HTTP/1.1 502" };
            assert!(answer.starts_with(expected), "{name:?}: {answer}");
            assert_eq!(seen.contains("remote-user: anna"), works, "{seen}");
        }
    });
}

/// An HTTP/2 backend that answers with what it saw, and trailers.
async fn answer_http2<I>(io: I)
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    let service = service_fn(|request: Request<hyper::body::Incoming>| async move {
        let (parts, body) = request.into_parts();
        let collected = body.collect().await.unwrap();
        let text = format!(
            "{} {} te={:?} host={:?} user={:?} length={:?} body={:?} trailers={}",
            parts.method,
            parts.uri,
            parts.headers.get("te"),
            parts.headers.get("host"),
            parts.headers.get("remote-user"),
            parts.headers.get("content-length"),
            collected.trailers().is_some(),
            String::from_utf8_lossy(&collected.to_bytes()),
        );
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        trailers.insert("remote-user", HeaderValue::from_static("root"));
        trailers.insert("set-cookie", HeaderValue::from_static("a=1"));
        let body = Full::new(Bytes::from(text)).with_trailers(std::future::ready(Some(Ok(trailers))));
        Ok::<_, Infallible>(Response::new(body))
    });
    let _ = hyper::server::conn::http2::Builder::new(Local)
        .serve_connection(TokioIo::new(io), service)
        .await;
}

#[test]
fn h2c_carries_many_requests_on_one_connection() {
    local(async {
        let origin = Origin::start().await;
        let gate = Setup::to(vec![tcp(UpstreamScheme::H2c, origin.address)])
            .start()
            .await;
        let backend = async move {
            let wire = origin.accept().await;
            answer_http2(wire.stream).await;
        };
        tokio::task::spawn_local(backend);
        for _ in 0..3 {
            let answer = gate
                .ask(
                    "POST /x?y HTTP/1.1\r\nhost: Home.Example\r\nte: trailers\r\nconnection: close, te\r\n\
                      transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx: y\r\n\r\n",
                )
                .await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert!(
                answer.contains(
                    "POST http://Home.Example/x?y te=None host=None user=Some(\"anna\") length=None body=false trailers=ab"
                ),
                "{answer}"
            );
            assert!(!answer.contains("grpc-status"), "{answer}");
        }
    });
}

#[test]
fn https_speaks_http2_where_the_backend_does() {
    local(async {
        let ours = Authority::new();
        let acceptor = ours.server("127.0.0.1", false, &["h2", "http/1.1"]);
        let origin = Origin::start().await;
        let mut setup = Setup::to(vec![tcp(UpstreamScheme::Https, origin.address)]);
        setup.route().ca_file = Some(ours.path().to_owned());
        let gate = setup.start().await;
        let (opened, seen) = tokio::sync::oneshot::channel();
        tokio::task::spawn_local(async move {
            let stream = acceptor.accept(origin.accept().await.stream).await.unwrap();
            answer_http2(stream).await;
            let _ = opened.send(());
        });
        // All at once, and still one connection.
        let answers = tokio::join!(gate.get(""), gate.get(""), gate.get(""));
        for answer in [answers.0, answers.1, answers.2] {
            assert!(answer.contains("GET https://Home.Example:8480/p?q=1"), "{answer}");
        }
        drop(seen);
    });
}

// "response trailers pass h2 to h2", "request trailers are dropped".
#[test]
fn trailers_pass_from_h2_to_h2() {
    local(async {
        let origin = Origin::start().await;
        let mut setup = Setup::to(vec![tcp(UpstreamScheme::H2c, origin.address)]);
        setup.http2 = true;
        let gate = setup.start().await;
        tokio::task::spawn_local(async move {
            answer_http2(origin.accept().await.stream).await;
        });
        let io = TokioIo::new(TcpStream::connect(gate.address).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http2::handshake(Local, io).await.unwrap();
        tokio::task::spawn_local(connection);
        let request = Request::post("http://home.example/grpc")
            .header("te", "trailers")
            .body(Full::new(Bytes::from("abc")))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        let collected = response.into_body().collect().await.unwrap();
        let trailers = collected.trailers().unwrap();
        assert_eq!(trailers.len(), 1);
        assert_eq!(trailers["grpc-status"], "0");
        let text = String::from_utf8(collected.to_bytes().to_vec()).unwrap();
        assert!(
            text.contains("te=Some(\"trailers\") host=None user=Some(\"anna\") length=Some(\"3\")"),
            "{text}"
        );
    });
}

#[test]
fn trailers_do_not_pass_from_http1_to_h2() {
    local(async {
        let origin = Origin::start().await;
        let mut setup = Setup::to(vec![origin.upstream()]);
        setup.http2 = true;
        let gate = setup.start().await;
        let backend = async {
            let mut wire = origin.accept().await;
            let head = wire.head().await;
            wire.write(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n",
            )
            .await;
            head
        };
        let client = async {
            let io = TokioIo::new(TcpStream::connect(gate.address).await.unwrap());
            let (mut sender, connection) = hyper::client::conn::http2::handshake(Local, io).await.unwrap();
            tokio::task::spawn_local(connection);
            let request = Request::get("http://home.example/x")
                .header("te", "trailers")
                .header("cookie", "a=1")
                .header("cookie", "sidegate=s; b=2")
                .body(Full::new(Bytes::new()))
                .unwrap();
            let response = sender.send_request(request).await.unwrap();
            response.into_body().collect().await.unwrap()
        };
        let (head, collected) = tokio::join!(backend, client);
        assert!(collected.trailers().is_none(), "{:?}", collected.trailers());
        assert_eq!(collected.to_bytes(), "ok");
        // RFC 9113 section 8.2.3: one field towards HTTP/1.1.
        assert!(fields(&head).contains(&"cookie: a=1; b=2"), "{head}");
        assert!(fields(&head).contains(&"host: home.example"), "{head}");
        assert!(!head.contains("te: "), "{head}");
    });
}

#[test]
fn a_websocket_to_an_h2c_backend_is_502() {
    local(async {
        let origin = Origin::start().await;
        let gate = Setup::to(vec![tcp(UpstreamScheme::H2c, origin.address)])
            .start()
            .await;
        let answer = gate.get("upgrade: websocket\r\nconnection: upgrade\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
        assert!(origin.is_alone().await);
    });
}

#[test]
fn a_unix_socket_is_an_upstream() {
    local(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("backend.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let mut setup = Setup::to(vec![UpstreamAddr {
            scheme: UpstreamScheme::Http,
            target: UpstreamTarget::Unix(path),
        }]);
        setup.route().host_header = HostHeader::Upstream;
        let gate = setup.start().await;
        let backend = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = vec![0; 4096];
            let count = stream.read(&mut seen).await.unwrap();
            stream.write_all(OK.as_bytes()).await.unwrap();
            String::from_utf8(seen[..count].to_vec()).unwrap()
        };
        let (seen, answer) = tokio::join!(backend, gate.get(""));
        assert!(answer.ends_with("ok"), "{answer}");
        assert!(seen.contains("host: localhost\r\n"), "{seen}");
    });
}
