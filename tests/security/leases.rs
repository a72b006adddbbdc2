//! What ends a credential ends everything that was opened with it, and nothing else.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::{Backend, Sidegate, base64, connect, eventually};

/// RFC 6455, section 1.3: a key and what belongs to it.
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn sockets() -> Backend {
    Backend::replying(|received| {
        if received.all("upgrade").is_empty() {
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()
        } else {
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
            )
            .into_bytes()
        }
    })
}

/// A WebSocket through the gate; the backend sends back what it gets.
fn open(gate: &Sidegate, authorization: &str) -> TcpStream {
    let mut stream = connect(gate.address);
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: gate.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\n{KEY}\r\nAuthorization: {authorization}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("the gate reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the gate answers");
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head);
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert_echo(&mut stream);
    stream
}

fn assert_echo(stream: &mut TcpStream) {
    stream.write_all(b"ping").expect("the tunnel is open");
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).expect("the tunnel is open");
    assert_eq!(&answer, b"ping");
}

/// How long it took until the other side closed.
fn closed(stream: &mut TcpStream) -> Duration {
    let asked = Instant::now();
    let mut rest = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut rest);
    asked.elapsed()
}

// Section 7: "Changing a password ends that user's sessions, not the tokens."
#[test]
fn a_changed_password_ends_what_the_old_one_opened_and_nothing_of_tokens() {
    let backend = sockets();
    let settings = "[credentials]\nbasic_passwords = true\n[password]\nmemory = \"8MiB\"\niterations = 1\n";
    let gate = Sidegate::with_anna(&backend, settings);
    let set = |password: &str| {
        gate.cli_with_input(&["user", "passwd", "anna", "--password-stdin"], password)
            .success();
    };
    set("plain words here");
    let basic = |password: &str| format!("Basic {}", base64(&format!("anna:{password}")));
    let token = gate.token("anna", "phone");
    let mut by_password = open(&gate, &basic("plain words here"));
    let mut by_token = open(&gate, &format!("Bearer {token}"));

    set("other plain words");
    assert!(closed(&mut by_password) < Duration::from_secs(1));
    assert_echo(&mut by_token);
    let status = |authorization: &str| {
        gate.get("/", &[&format!("Authorization: {authorization}")])
            .status
    };
    assert_eq!(status(&basic("plain words here")), 401);
    assert_eq!(status(&basic("other plain words")), 200);
    assert_eq!(status(&format!("Bearer {token}")), 200);

    gate.cli(&["user", "add", "bert", "--role", "owner"]).success();
    gate.cli(&["user", "disable", "anna"]).success();
    assert!(
        closed(&mut by_token) < Duration::from_secs(1),
        "\"open sockets within one second\""
    );
}

// Section 7: "Rotation keeps the old one valid for the overlap given."
#[test]
fn a_rotation_closes_what_the_old_token_opened_when_the_overlap_ends() {
    let backend = sockets();
    let gate = Sidegate::with_anna(&backend, "");
    let old = gate.token("anna", "phone");
    let mut long = open(&gate, &format!("Bearer {old}"));
    gate.cli(&["token", "rotate", "phone", "--user", "anna", "--overlap", "1h"])
        .success();
    assert_echo(&mut long);
    assert_eq!(
        gate.get("/", &[&format!("Authorization: Bearer {old}")]).status,
        200
    );
    gate.cli(&["token", "revoke", "phone", "--user", "anna"])
        .success();
    assert!(closed(&mut long) < Duration::from_secs(1));
    assert_eq!(
        gate.get("/", &[&format!("Authorization: Bearer {old}")]).status,
        401
    );

    let old = gate.token("anna", "tablet");
    let mut short = open(&gate, &format!("Bearer {old}"));
    gate.cli(&["token", "rotate", "tablet", "--user", "anna", "--overlap", "2s"])
        .success();
    assert_echo(&mut short);
    assert!(
        closed(&mut short) < Duration::from_secs(4),
        "an hour later would be too late"
    );
    assert_eq!(
        gate.get("/", &[&format!("Authorization: Bearer {old}")]).status,
        401
    );
}

// Section 6.4: "A ban stops everything from that address except requests whose credential is in the
// cache of verified ones"
#[test]
fn a_reload_with_other_routes_forgets_no_verified_credential() {
    let backend = sockets();
    let ban = "[guard]\nfailures = \"3 in 5m\"\nexempt = []\n";
    let mut gate = Sidegate::with_anna(&backend, ban);
    let token = gate.token("anna", "phone");
    let right = format!("Authorization: Bearer {token}");
    assert_eq!(gate.get("/", &[&right]).status, 200);
    for guess in 0..3 {
        assert_eq!(
            gate.get("/", &[&format!("Authorization: Bearer oh.x.{guess}")])
                .status,
            401
        );
    }
    assert_eq!(gate.get("/", &["Authorization: Bearer oh.x.y"]).status, 429);
    let routes = format!(
        "[[route]]\npath = \"/new\"\nupstream = \"http://{0}\"\n[[route]]\npath = \"/\"\nupstream = \"http://{0}\"\n",
        backend.address
    );
    gate.write_config(&format!("{routes}{ban}"));
    gate.signal("HUP");
    gate.await_log("changed:");
    assert_eq!(gate.get("/new/x", &[&right]).status, 200);
    assert_eq!(gate.get("/", &[&right]).status, 200);
    assert_eq!(gate.get("/", &["Authorization: Bearer oh.x.y"]).status, 429);

    // Section 9: "a credential's first use per route and hour"
    let audit = gate.state().join("audit.jsonl");
    let lines = || {
        let text = std::fs::read_to_string(&audit).expect("the audit file is there");
        text.lines()
            .filter(|line| line.contains("\"decision\":\"allow\""))
            .count()
    };
    gate.signal("TERM");
    assert_eq!(gate.wait(), Some(0));
    // One on `/`, before the reload, and one on `/new`; two if the hour changed meanwhile.
    assert!((2..=4).contains(&lines()), "{}", lines());
}

// Section 6.4: "Counted: a presented credential of ours that is malformed or never existed"
#[test]
fn a_guess_whose_sender_hangs_up_counts_like_any_other() {
    let backend = Backend::start();
    // Dear enough that the answer cannot be there before the sender is gone.
    let settings = "[credentials]\nbasic_passwords = true\n[guard]\nfailures = \"3 in 5m\"\nexempt = []\n\
                    [password]\nmemory = \"64MiB\"\niterations = 2\n";
    let mut gate = Sidegate::prepare("");
    let access = gate.data.path().join("access.log");
    gate.write_config(&format!(
        "[[route]]\npath = \"/\"\nupstream = \"http://{}\"\n{settings}[log]\naccess = \"{}\"\n",
        backend.address,
        access.display()
    ));
    let gate = gate.run();
    gate.cli(&["user", "add", "anna"]).success();
    gate.cli_with_input(
        &["user", "passwd", "anna", "--password-stdin"],
        "plain words here",
    )
    .success();
    for guess in 0..3 {
        let stream = connect(gate.address);
        let basic = base64(&format!("anna:guess number {guess}"));
        let request = format!("GET / HTTP/1.1\r\nHost: gate.test\r\nAuthorization: Basic {basic}\r\n\r\n");
        (&stream).write_all(request.as_bytes()).expect("the gate reads");
        // Unread bytes or not, this is a reset and no orderly end.
        socket2::SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .expect("lingers not");
    }
    eventually(
        || {
            !gate
                .cli(&["ban", "list", "--output", "json"])
                .success()
                .stdout
                .trim()
                .eq("[]")
        },
        || "three guesses brought no ban".to_owned(),
    );
    assert_eq!(gate.get("/", &[]).status, 429);
    assert!(backend.requests().is_empty());
    // Section 9: "one line for every refusal", also for those that nobody waited for.
    eventually(
        || gate.audit_lines(&["\"reason\":\"client-gone\""]).len() == 3,
        || format!("{:?}", gate.audit_lines(&["\"event\":\"request\""])),
    );
    eventually(
        || {
            let text = std::fs::read_to_string(&access).expect("the access log is there");
            text.matches("\" 499 0 ").count() == 3
        },
        || "three lines of 499".to_owned(),
    );
}
