//! Mutated requests against a running gate, for a while: whatever arrives, the backend sees
//! well-formed requests of known users only.
//!
//! `FUZZ_SECONDS` makes it longer. A failure prints the smallest bytes that show it.

#[allow(dead_code, unreachable_pub, reason = "read here for its requests only")]
#[path = "bad_inputs/case.rs"]
mod case;
#[allow(unreachable_pub, reason = "two test files use it")]
#[path = "bad_inputs/mutations.rs"]
mod mutations;
#[path = "support/strict.rs"]
mod strict;
mod support;

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use proptest::test_runner::{Config, TestRunner};
use socket2::{Domain, Socket, Type};

use mutations::{Input, inputs, replace};
use strict::{Seen, StrictBackend};
use support::Sidegate;

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
    for piece in input.pieces(bytes) {
        // Refused early: then its answer is there.
        if stream.write_all(piece).is_err() {
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
