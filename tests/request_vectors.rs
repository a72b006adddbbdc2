//! Runs the text vectors of paths, hosts, addresses and raw requests.
//!
//! The raw requests go through a real HTTP/1.1 server, since what its parser passes on is what the
//! gate exists for.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use ipnet::IpNet;
use sidegate::request::admission::{Rejection, Target, admit};
use sidegate::request::client_addr::{ProxyTrust, resolve};
use sidegate::request::host::Authority;
use sidegate::request::{Client, Peer, Received, SafePath};
use sidegate::wire::Fields;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn paths_pass_or_are_refused_as_written() {
    for vector in vectors("paths.txt") {
        let raw = text(&vector.input);
        let outcome = match SafePath::parse(&raw) {
            Err(error) => format!("refused {}", error.reason().trim_start_matches("path:")),
            Ok(path) => {
                assert_eq!(path.raw(), raw, "{vector}: forwarded as received");
                assert_eq!(path.allowed_on(true, true), Ok(()), "{vector}");
                assert_eq!(
                    path.allowed_on(false, true).is_err(),
                    path.has_encoded_slash(),
                    "{vector}"
                );
                assert_eq!(
                    path.allowed_on(true, false).is_err(),
                    path.has_params(),
                    "{vector}"
                );
                match (path.has_encoded_slash(), path.has_params()) {
                    (false, false) => format!("passes {}", path.decoded()),
                    (true, false) => "needs encoded_slash".to_owned(),
                    (false, true) => "needs path_params".to_owned(),
                    (true, true) => "needs encoded_slash and path_params".to_owned(),
                }
            }
        };
        assert_eq!(outcome, vector.expected, "{vector}");
    }
}

#[test]
fn hosts_pass_or_are_refused_as_written() {
    for vector in vectors("hosts.txt") {
        let input = text(&vector.input);
        let outcome = match Authority::parse(&input) {
            Err(error) => format!("refused {}", error.reason().trim_start_matches("host:")),
            Ok(authority) => {
                assert_eq!(authority.as_written, input, "{vector}");
                let port = authority.port.map(|port| format!(" {port}")).unwrap_or_default();
                format!("passes {}{port}", authority.host)
            }
        };
        assert_eq!(outcome, vector.expected, "{vector}");
    }
}

#[test]
fn clients_are_found_behind_trusted_proxies_only() {
    let networks: [IpNet; 2] = ["10.0.0.0/8".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()];
    let trust = ProxyTrust {
        networks: &networks,
        unix: true,
        header: None,
    };
    for vector in vectors("addresses.txt") {
        let mut fields = vector.input.split(|byte| *byte == b'|');
        let peer = peer(text(fields.next().unwrap()).trim());
        let mut headers = HeaderMap::new();
        for field in fields {
            let split = field.iter().position(|byte| *byte == b':').unwrap();
            headers.append(
                HeaderName::from_bytes(field[..split].trim_ascii()).unwrap(),
                HeaderValue::from_bytes(field[split + 1..].trim_ascii()).unwrap(),
            );
        }
        let outcome = match resolve(&peer, &Fields::of(&headers), &trust) {
            Err(rejection) => format!("refused {}", rejection.reason),
            Ok(hop) => {
                let proxy = if matches!(hop.client, Client::Proxy(_)) {
                    "proxy "
                } else {
                    ""
                };
                let role = if hop.trusted { "trusted" } else { "stranger" };
                format!("{proxy}{} {} {role}", hop.client, hop.scheme.as_str())
            }
        };
        assert_eq!(outcome, vector.expected, "{vector}");
    }
}

#[tokio::test]
async fn raw_requests_are_admitted_or_refused_as_written() {
    let mut wrong = Vec::new();
    for vector in vectors("requests.txt") {
        let answer = tokio::time::timeout(Duration::from_secs(5), answer(&vector.input));
        let outcome = answer
            .await
            .unwrap_or_else(|_| "neither an answer nor an end".to_owned());
        if outcome != vector.expected {
            wrong.push(format!("{vector}\n  {outcome}, not {}", vector.expected));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// P-16: "8 KB path"; C-17: "60 KB"; 2.1: "lower to 64 KB total / 8 KB URI"
#[tokio::test]
async fn heads_beyond_the_limits_are_refused() {
    let get =
        |path: &str, header: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n{header}\r\n").into_bytes();
    let path = |length: usize| format!("/{}", "a".repeat(length - 1));
    assert!(answer(&get(&path(8192), "")).await.starts_with("200 "));
    assert_eq!(answer(&get(&path(8193), "")).await, "414 target:too-long open");
    assert_eq!(
        answer(&get(&format!("/?{}", "a".repeat(9000)), "")).await,
        "414 target:too-long open"
    );
    let wide = format!("X: {}\r\n", "a".repeat(17_000));
    assert_eq!(answer(&get("/", &wide)).await, "431 head:too-large closed");
}

// H-02: "`:authority a` + `host: evil`; two `host`; none"; H-04
#[tokio::test]
async fn http2_requests_name_one_host() {
    let table: &[(&str, &[&str], &str)] = &[
        ("http://a/x", &[], "200 a /x"),
        ("http://A.example:80/x", &["a.example"], "200 a.example /x"),
        ("https://a/x", &["a:443"], "200 a /x"),
        ("http://a/x", &["evil"], "400 host:differs"),
        ("http://a/x", &["a", "a"], "400 host:duplicate"),
        ("http://u:p@a/x", &[], "400 target:userinfo"),
        ("http://a,b/x", &[], "400 host:character"),
        ("ftp://a/x", &[], "400 target:scheme"),
        ("http://a/a;b", &[], "400 path:params"),
    ];
    for (uri, hosts, expected) in table {
        assert_eq!(answer_h2(uri, hosts).await, *expected, "{uri} {hosts:?}");
    }
}

// H-02: "none". No client library sends it, so the head is built as the server hands it over.
#[test]
fn http2_without_any_host_is_refused() {
    let mut parts = Request::builder()
        .version(Version::HTTP_2)
        .uri("/x")
        .body(())
        .unwrap()
        .into_parts()
        .0;
    assert_eq!(
        admit(&mut Received::of(&parts), &[], 1024)
            .map(|_| ())
            .unwrap_err()
            .reason,
        "host:missing"
    );
    parts.headers.insert("host", HeaderValue::from_static("a"));
    let admitted = admit(&mut Received::of(&parts), &[], 1024).unwrap();
    assert_eq!(admitted.authority.host, "a");
    // H-05: "`:path` with `*`" on GET.
    parts.uri = "*".parse().unwrap();
    assert_eq!(
        admit(&mut Received::of(&parts), &[], 1024)
            .map(|_| ())
            .unwrap_err()
            .reason,
        "target:form"
    );
    parts.method = Method::OPTIONS;
    let admitted = admit(&mut Received::of(&parts), &[], 1024).unwrap();
    assert_eq!(admitted.target, Target::Asterisk);
}

/// What a server with the gate in it says to the bytes: the first answer, and whether it goes on
/// to the next request on the connection.
async fn answer(request: &[u8]) -> String {
    const CANARY: &[u8] = b"GET /canary HTTP/1.1\r\nHost: canary\r\nConnection: close\r\n\r\n";
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let serve = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .half_close(false)
        .serve_connection(TokioIo::new(server), service_fn(gate));
    let ask = async move {
        client.write_all(&[request, CANARY].concat()).await.unwrap();
        let mut answers = Vec::new();
        // The server closes the connection in any case, after the canary at the latest.
        client.read_to_end(&mut answers).await.unwrap();
        String::from_utf8(answers).unwrap()
    };
    let (_, answers) = tokio::join!(serve, ask);
    let mut answers = answers
        .split("HTTP/1.")
        .skip(1)
        .filter(|answer| !answer.contains(" 100 Continue"));
    let Some(first) = answers.next() else {
        return "no answer".to_owned();
    };
    assert!(
        !first.contains("/canary"),
        "the canary took the place of the request's answer"
    );
    let next = match (answers.next(), answers.next()) {
        (None, None) => "closed",
        (Some(canary), None) if canary.contains("x-outcome: canary /canary\r\n") => "open",
        other => panic!("not the canary: {other:?}"),
    };
    let status = &first[2..5];
    match first.lines().find_map(|line| line.strip_prefix("x-outcome: ")) {
        Some(outcome) => format!("{status} {outcome} {next}"),
        None => format!("{status} parser {next}"),
    }
}

async fn answer_h2(uri: &str, hosts: &[&'static str]) -> String {
    let (client, server) = tokio::io::duplex(1 << 16);
    let serve = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(server), service_fn(gate));
    let ask = async move {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client))
                .await
                .unwrap();
        let mut request = Request::get(uri).body(Full::<Bytes>::default()).unwrap();
        for host in hosts {
            request
                .headers_mut()
                .append("host", HeaderValue::from_static(host));
        }
        let response = async move { sender.send_request(request).await };
        let (response, _) = tokio::join!(response, connection);
        let response = response.unwrap();
        let outcome = response.headers()["x-outcome"].to_str().unwrap().to_owned();
        format!("{} {outcome}", response.status().as_u16())
    };
    tokio::join!(serve, ask).1
}

/// Admits, checks the path, reads the body, and says what it saw.
async fn gate(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let (status, outcome, close) = match judge(&parts) {
        Err(rejection) => (rejection.status, rejection.reason.to_owned(), rejection.close),
        Ok(mut outcome) => {
            if body.collect().await.is_err() {
                outcome.push_str(" broken");
            }
            (StatusCode::OK, outcome, false)
        }
    };
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert("x-outcome", HeaderValue::from_str(&outcome).unwrap());
    if close && parts.version != Version::HTTP_2 {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

fn judge(parts: &http::request::Parts) -> Result<String, Rejection> {
    const TOKEN: HeaderName = HeaderName::from_static("x-openhab-token");
    let mut received = Received::of(parts);
    let admitted = admit(&mut received, &[TOKEN], 16 * 1024)?;
    let fields = &received.fields;
    assert!(
        fields
            .names()
            .all(|name| !name.to_lower().contains(['_', '.', '!']))
    );
    let path = received.path();
    let mut outcome = format!("{} {path}", admitted.authority.host);
    if admitted.target == Target::Path {
        SafePath::parse(path)?.allowed_on(false, false)?;
    }
    if fields.contains_key("x-length")
        && let Some(length) = fields.get(CONTENT_LENGTH)
    {
        outcome.push_str(&format!(" length={}", length.to_str().unwrap()));
    }
    if admitted.upgrade.is_some() {
        outcome.push_str(" websocket");
    }
    assert_eq!(fields.contains_key(UPGRADE), admitted.upgrade.is_some());
    if admitted.dropped_headers > 0 {
        outcome.push_str(&format!(" dropped={}", admitted.dropped_headers));
    }
    Ok(outcome)
}

struct Vector {
    place: String,
    input: Vec<u8>,
    expected: String,
}

impl std::fmt::Display for Vector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.input.escape_ascii())
    }
}

/// `INPUT -> EXPECTATION` a line; `#` starts a comment line.
fn vectors(file: &str) -> Vec<Vector> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(file);
    let content = std::fs::read_to_string(&path).unwrap();
    let lines = content.lines().enumerate();
    let vectors: Vec<Vector> = lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(index, line)| {
            let place = format!("{file}:{}", index + 1);
            let (input, expected) = line
                .rsplit_once(" -> ")
                .unwrap_or_else(|| panic!("{place}: no expectation"));
            Vector {
                input: unescape(input, &place),
                expected: expected.to_owned(),
                place,
            }
        })
        .collect();
    assert!(!vectors.is_empty(), "{file} has no vectors");
    vectors
}

fn unescape(text: &str, place: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let (&kind, tail) = rest.split_first().unwrap();
        rest = tail;
        bytes.push(match kind {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'\\' => b'\\',
            b'x' => {
                let digits = std::str::from_utf8(&rest[..2]).unwrap();
                rest = &rest[2..];
                u8::from_str_radix(digits, 16).unwrap()
            }
            other => panic!("{place}: unknown escape {other}"),
        });
    }
    bytes
}

/// Vectors of text take a byte that is no UTF-8 as the character of that number.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

fn peer(text: &str) -> Peer {
    let address = (text != "unix").then(|| SocketAddr::new(text.parse::<IpAddr>().unwrap(), 4711));
    Peer { address, tls: false }
}
