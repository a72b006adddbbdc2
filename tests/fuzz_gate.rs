//! Mutated requests against a running gate, for a while: whatever arrives, the backend sees
//! well-formed requests of known users only.
//!
//! `FUZZ_SECONDS` makes it longer. A failure prints the smallest bytes that show it.

#[allow(dead_code, unreachable_pub, reason = "read here for its requests only")]
#[path = "bad_inputs/case.rs"]
mod case;
#[path = "support/strict.rs"]
mod strict;
mod support;

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};
use socket2::{Domain, Socket, Type};

use case::Piece;
use strict::{Seen, StrictBackend};
use support::Sidegate;

/// Stands for the token until the gate has made one.
const TOKEN: &[u8] = b"{the token}";

/// What confuses parsers.
const WORDS: [&[u8]; 46] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\t",
    b" ",
    b":",
    b"\r\n\r\n",
    b"\r\n ",
    b"\x0b",
    b"\x7f",
    b"\x80",
    b"\xc3\xa9",
    b"%2e",
    b"%2F",
    b"%5c",
    b"%25",
    b"%00",
    b"../",
    b"//",
    b";",
    b"#",
    b"?",
    b"@",
    b",",
    b"/admin",
    b"/public",
    b"http://gate.test",
    b"HTTP/1.0",
    b"GET /admin HTTP/1.1\r\nHost: gate.test\r\n\r\n",
    b"Host: gate.test\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"Connection: close, Remote-User\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    b"Expect: 100-continue\r\n",
    b"Remote-User: anna\r\n",
    b"Remote_User: anna\r\n",
    b"X-Forwarded-For: 127.1.0.1\r\n",
    b"Authorization: Bearer \r\n",
    b"Authorization: Basic eDp5\r\n",
    b"X-OPENHAB-TOKEN: oh.a.b\r\n",
];

/// One change of the bytes. Places are fractions of the length.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Delete(Index, usize),
    Repeat(Index, usize),
    /// Another request from here on.
    Splice(Index, Vec<u8>),
}

#[derive(Clone)]
struct Input {
    bytes: Vec<u8>,
    /// Where one segment ends and the next begins.
    cuts: Vec<Index>,
    /// Whether the token is right. If not, there is no right one anywhere in the bytes.
    with_token: bool,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            bytes,
            cuts,
            with_token,
        } = self;
        write!(
            f,
            "{} (right token: {with_token}, cut at {cuts:?})",
            bytes.escape_ascii()
        )
    }
}

/// The requests of the text cases, and plain ones with and without the token.
fn seeds() -> Vec<Vec<u8>> {
    fn render(pieces: &[Piece]) -> Vec<u8> {
        pieces
            .iter()
            .flat_map(|piece| match piece {
                Piece::Bytes(bytes) => bytes[..bytes.len().min(2000)].to_vec(),
                Piece::Token(name) if name == "ben" => TOKEN.to_vec(),
                Piece::Token(name) => format!("oh.phone.{name}").into_bytes(),
                Piece::Base64(inside) | Piece::Unpadded(inside) => STANDARD.encode(render(inside)).into(),
                Piece::Credential(name) if name == "ben" => [b"Authorization: Bearer ", TOKEN].concat(),
                Piece::Credential(_) => b"Authorization: Bearer oh.phone.x".to_vec(),
            })
            .collect()
    }
    let mut seeds: Vec<Vec<u8>> = case::all("vectors/requests")
        .iter()
        .map(|case| render(&case.sent))
        .collect();
    let token = std::str::from_utf8(TOKEN).expect("ASCII");
    let plain = [
        "GET / HTTP/1.1\r\nHost: gate.test\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Bearer {token}\r\n\r\n"),
        format!("POST /x HTTP/1.1\r\nHost: gate.test\r\nX-OPENHAB-TOKEN: {token}\r\nContent-Length: 5\r\n\r\nhello"),
        format!(
            "POST /x HTTP/1.1\r\nHost: gate.test\r\nX-OPENHAB-TOKEN: {token}\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nhello\r\n0\r\n\r\n"
        ),
        "POST /public HTTP/1.1\r\nHost: gate.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".into(),
        "GET /public/x?y=z HTTP/1.1\r\nHost: gate.test\r\nX-A: b\r\nCookie: a=b\r\n\r\n".into(),
    ];
    // As likely as all the others together.
    let rounds = seeds.len() / plain.len();
    for _ in 0..rounds {
        seeds.extend(plain.iter().map(|text| text.clone().into_bytes()));
    }
    seeds
}

fn change(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Change> {
    let word = || select(&WORDS[..]).prop_map(<[u8]>::to_vec);
    prop_oneof![
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Insert(at, vec![byte])),
        6 => (any::<Index>(), word()).prop_map(|(at, word)| Change::Insert(at, word)),
        2 => (any::<Index>(), 1..20_usize).prop_map(|(at, count)| Change::Delete(at, count)),
        2 => (any::<Index>(), 1..60_usize).prop_map(|(at, count)| Change::Repeat(at, count)),
        3 => (any::<Index>(), select(seeds)).prop_map(|(at, seed)| Change::Splice(at, seed)),
    ]
}

fn inputs() -> impl Strategy<Value = Input> {
    let seeds = seeds();
    let changes = vec(change(seeds.clone()), 0..6);
    let cuts = vec(any::<Index>(), 0..4);
    (select(seeds), changes, cuts, any::<bool>()).prop_map(|(seed, changes, cuts, with_token)| {
        let bytes = changes.iter().fold(seed, |bytes, change| change.apply(bytes));
        Input {
            bytes,
            cuts,
            with_token,
        }
    })
}

impl Change {
    fn apply(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let at = |index: &Index| index.index(bytes.len() + 1);
        match self {
            Change::Set(index, byte) => {
                let at = at(index);
                if let Some(place) = bytes.get_mut(at) {
                    *place = *byte;
                }
            }
            Change::Insert(index, word) => {
                let at = at(index);
                bytes.splice(at..at, word.iter().copied());
            }
            Change::Delete(index, count) => {
                let at = at(index);
                let end = (at + count).min(bytes.len());
                bytes.drain(at..end);
            }
            Change::Repeat(index, count) => {
                let at = at(index);
                let end = (at + count).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            Change::Splice(index, seed) => {
                let at = at(index);
                bytes.truncate(at);
                bytes.extend(seed);
            }
        }
        bytes
    }
}

/// Sends the pieces one by one and reads to the end, whatever comes.
fn throw(input: &Input, bytes: &[u8], source: Ipv4Addr, to: SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket
        .bind(&SocketAddr::from((source, 0)).into())
        .expect("every 127.x address is ours");
    socket.connect(&to.into()).expect("the gate accepts");
    let mut stream = TcpStream::from(socket);
    stream.set_nodelay(true).expect("nodelay can be set");
    stream
        .set_read_timeout(Some(support::PATIENCE))
        .expect("a time limit can be set");
    let mut cuts: Vec<usize> = input.cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    for pair in cuts.windows(2) {
        // Refused early: then its answer is there.
        if stream.write_all(&bytes[pair[0]..pair[1]]).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        let waited = matches!(
            error.kind(),
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
        );
        assert!(
            !waited,
            "the connection never ends after {}",
            answer.escape_ascii()
        );
    }
}

/// What must hold of every request that any backend sees.
fn judge(seen: &Seen, with_token: bool) {
    let path = seen.target().split('?').next().unwrap_or_default();
    let decoded = decode(path);
    let segments: Vec<&str> = decoded.split(['/', '\\']).collect();
    assert!(!segments.contains(&"..") && !segments.contains(&"."), "{seen:?}");
    assert!(segments.get(1) != Some(&"admin"), "{seen:?}");
    let user = seen.only("remote-user");
    let public = segments.get(1) == Some(&"public");
    let known = with_token && user == Some("ben");
    assert!(known || (public && user == Some("")), "{seen:?}");
    for name in [
        "remote-groups",
        "remote-name",
        "remote-email",
        "x-forwarded-for",
        "x-forwarded-proto",
    ] {
        assert!(seen.only(name).is_some(), "no {name}: {seen:?}");
    }
    for (name, _) in &seen.headers {
        let plain = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        assert!(plain, "{name}: {seen:?}");
    }
}

fn decode(path: &str) -> String {
    let mut out = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        let escape = tail.get(..2).filter(|_| *first == b'%');
        let byte = escape.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&out).into_owned()
}

// ARCHITECTURE, invariant 1: "Nothing reaches a backend without a `Permit`"
// Bad inputs 2.0: "process alive; no panic; next good request on a new connection works"
#[test]
fn whatever_arrives_the_backend_sees_only_requests_of_known_users() {
    let backend = StrictBackend::start();
    let route = |path: &str, access: &str| {
        format!(
            "[[route]]\npath = \"{path}\"\nupstream = \"http://{}\"\naccess = \"{access}\"\n",
            backend.address
        )
    };
    let settings = [
        route("/", "user"),
        route("/public", "public"),
        route("/admin", "admin"),
        "[guard]\nrate = \"1000000/s burst 1000000\"\n[timeouts]\nhead = \"5s\"\nidle = \"5s\"\n".into(),
    ];
    let gate = Sidegate::start(&settings.concat());
    gate.cli(&["user", "add", "anna"]).success();
    gate.cli(&["user", "add", "ben"]).success();
    let token = gate.token("ben", "fuzz");
    let seconds = std::env::var("FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(20));
    let (thrown, whole) = (Cell::new(0_u32), Cell::new(0_u32));
    while Instant::now() < end {
        let mut runner = TestRunner::new(Config {
            cases: 200,
            failure_persistence: None,
            max_shrink_iters: 2000,
            ..Config::default()
        });
        let outcome = runner.run(&inputs(), |input| {
            let number = thrown.get();
            thrown.set(number + 1);
            let with_token = input.with_token;
            let text: &[u8] = if with_token {
                token.as_bytes()
            } else {
                b"oh.fuzz.wrong"
            };
            let bytes = replace(&input.bytes, text);
            // The address tells the two kinds apart even when a broken request arrives late.
            let [_, _, high, low] = number.to_be_bytes();
            throw(
                &input,
                &bytes,
                Ipv4Addr::new(127, 50 + u8::from(with_token), high, low),
                gate.address,
            );
            for seen in backend.take() {
                let with_token = seen
                    .only("x-forwarded-for")
                    .is_some_and(|from| from.starts_with("127.51."));
                judge(&seen, with_token);
                whole.set(whole.get() + u32::from(seen.whole));
            }
            let violations = backend.violations();
            assert!(violations.is_empty(), "{violations:?}");
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("{error}");
        }
    }
    println!(
        "{} inputs, {} whole requests at the backend",
        thrown.get(),
        whole.get()
    );
    assert!(
        whole.get() > thrown.get() / 20,
        "hardly anything gets through: {}",
        whole.get()
    );
    assert!(!gate.log().contains("panicked"), "a panic");
    assert_eq!(
        gate.get("/", &[&format!("Authorization: Bearer {token}")]).status,
        200
    );
}

/// The bytes with that in every place of the token, in Base64 too.
fn replace(bytes: &[u8], token: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for (from, to) in [
        (TOKEN.to_vec(), token.to_vec()),
        (
            STANDARD.encode([TOKEN, b":"].concat()).into_bytes(),
            STANDARD.encode([token, b":"].concat()).into_bytes(),
        ),
    ] {
        while let Some(at) = out.windows(from.len()).position(|window| window == from) {
            out.splice(at..at + from.len(), to.iter().copied());
        }
    }
    out
}
