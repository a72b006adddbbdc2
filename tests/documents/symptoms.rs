//! What the troubleshooting page quotes is what the program writes: every symptom is brought about, and each
//! line of the page's `text` blocks must be among what the program then said.

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::pages;
use crate::support::{self, Backend, Sidegate, eventually};

/// Whatever the program said, with the page's addresses, paths and times in place of the test's.
#[derive(Default)]
struct Said(HashSet<String>);

impl Said {
    fn add(&mut self, gate: &Sidegate, text: &str) {
        let port = gate.address.port();
        let text = text
            .replace(&gate.state().display().to_string(), "/var/lib/sidegate")
            .replace(&gate.data.path().display().to_string(), "/etc/sidegate")
            .replace(&gate.address.to_string(), "127.0.0.1:8480")
            .replace(&format!("127.0.0.1%3A{port}"), "127.0.0.1%3A8480");
        self.0.extend(text.lines().map(normal));
    }

    fn log(&mut self, gate: &Sidegate) {
        self.add(gate, &gate.log());
    }

    /// What a verb said.
    fn cli(&mut self, gate: &Sidegate, arguments: &[&str], code: i32) {
        let ran = gate.cli(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
        self.add(gate, &ran.stdout);
        self.add(gate, &ran.stderr);
    }
}

/// A line without what differs from one run to the next.
fn normal(line: &str) -> String {
    let line = line.trim_end();
    let mut text = match line.split_once(' ') {
        Some((time, rest)) if like(time, "0000-00-00T00:00:00.000Z") => format!("TIME {rest}"),
        _ => line.to_owned(),
    };
    for before in ["request.id=", "\"request_id\":\""] {
        if let Some(at) = text.find(before).map(|at| at + before.len()) {
            text.replace_range(at..at + 16, "ID");
        }
    }
    for (file, after) in [(".toml:", ": ")] {
        if let Some(at) = text.find(file).map(|at| at + file.len()) {
            let end = text[at..].find(after).map_or(at, |length| at + length);
            text.replace_range(at..end, "LINE");
        }
    }
    let moment = "0000-00-00 00:00Z";
    while let Some(at) = (0..text.len()).find(|at| {
        text.get(*at..at + moment.len())
            .is_some_and(|piece| like(piece, moment))
    }) {
        text.replace_range(at..at + moment.len(), "MOMENT");
    }
    text
}

/// The same characters, and a digit wherever the pattern has a 0.
fn like(text: &str, pattern: &str) -> bool {
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(one, other)| {
            if other == b'0' {
                one.is_ascii_digit()
            } else {
                one == other
            }
        })
}

/// The request, as from that client through a trusted proxy.
fn get(gate: &Sidegate, path: &str, header: &str) -> u16 {
    gate.get(path, &["X-Forwarded-For: 203.0.113.9", header]).status
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// The whole answer to a GET, by the address of the gate.
fn answer(gate: &Sidegate, path: &str, headers: &str) -> String {
    let host = gate.address;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n");
    support::ask(gate.address, request.as_bytes()).expect("an answer")
}

fn refusals(gate: &Sidegate, said: &mut Said) {
    let short = gate
        .cli(&["token", "create", "short", "--user", "anna", "--expires", "1s"])
        .success();
    let revoked = gate.token("anna", "revoked");
    gate.cli(&["token", "revoke", "revoked", "--user", "anna"])
        .success();
    let phone = gate.token("anna", "phone");
    let lan = gate
        .cli(&[
            "token",
            "create",
            "lan",
            "--user",
            "anna",
            "--network",
            "10.0.0.0/8",
        ])
        .success();
    gate.cli(&["user", "add", "bob", "--role", "read-only"]).success();
    let reader = gate.token("bob", "reader");
    gate.cli(&["user", "add", "carl"]).success();
    let disabled = gate.token("carl", "disabled");
    gate.cli(&["user", "disable", "carl"]).success();

    assert_eq!(get(gate, "/revoked", &bearer(&revoked)), 401);
    assert_eq!(get(gate, "/mistyped", &bearer(&format!("{phone}x"))), 401);
    let pair = support::base64(&format!("{phone}:secret"));
    assert_eq!(
        get(gate, "/password", &format!("Authorization: Basic {pair}")),
        401
    );
    assert_eq!(get(gate, "/elsewhere", &bearer(lan.stdout.trim_end())), 401);
    assert_eq!(get(gate, "/disabled", &bearer(&disabled)), 401);
    assert_eq!(get(gate, "/nothing", "X-Nothing: 1"), 401);
    let headers = ["X-Forwarded-For: 203.0.113.9", &bearer(&reader)];
    assert_eq!(gate.send("POST", "/write", &headers, b"").status, 403);
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Forwarded-For: 203.0.113.9";
    let socket = format!(
        "GET /socket HTTP/1.1\r\nHost: gate.test\r\n{upgrade}\r\n{}\r\n\r\n",
        bearer(&reader)
    );
    assert_eq!(gate.raw(socket.as_bytes()).status, 403);
    let expired = bearer(short.stdout.trim_end());
    eventually(
        || get(gate, "/expired", &expired) == 401,
        || "the token does not expire".into(),
    );

    for path in ["/down", "/down", "/slow", "/loop"] {
        assert!(get(gate, path, &bearer(&phone)) > 499, "{path}");
    }
    said.add(gate, &answer(gate, "/page", "Accept: text/html\r\n"));
    said.add(gate, &answer(gate, "/a//b", ""));
    said.add(gate, &answer(gate, "/a%2Fb", &format!("{}\r\n", bearer(&phone))));

    for number in 0..10 {
        let wrong = bearer(&format!("oh.scan.{number}"));
        assert_eq!(
            gate.get("/scan", &["X-Forwarded-For: 203.0.113.66", &wrong])
                .status,
            401
        );
    }
    said.cli(gate, &["ban", "list"], 0);
    gate.cli(&["user", "add", "guest"]).success();
    said.cli(
        gate,
        &["explain", "--from", "192.168.1.20", "GET", "http://home.example/"],
        0,
    );
}

/// Writes a certificate and its key for these years, the certificate first.
fn certificate(folder: &Path, from: i32, to: i32, with_key: bool) {
    let mut params = rcgen::CertificateParams::new(vec!["home.example".into()]).expect("a DNS name");
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(to, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    let made = params.self_signed(&key).expect("is signed");
    let mut files = vec![("home.pem", made.pem())];
    if with_key {
        files.push(("home.key", key.serialize_pem()));
    }
    for (name, text) in files {
        let fresh = folder.join("fresh");
        fs::write(&fresh, text).expect("is written");
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)).expect("is ours");
        fs::rename(&fresh, folder.join(name)).expect("is renamed");
    }
}

fn reloads(gate: &mut Sidegate, settings: &str, said: &mut Said) {
    gate.write_config(&format!("server: lisen = 1\n{settings}"));
    gate.await_log("server.lisen");
    let workers = format!("server: workers = 3\n{settings}");
    gate.write_config(&workers);
    gate.await_log("server.workers cannot change");
    gate.write_config(&settings.replace("response = \"1s\"", "response = \"2s\""));
    gate.await_log("changed: timeouts.response");
    let folder = gate.data.path().to_owned();
    certificate(&folder, 2020, 2091, true);
    gate.await_log("valid until 2091");
    certificate(&folder, 2020, 2092, false);
    gate.await_log("the key does not match");
    certificate(&folder, 2090, 2093, true);
    gate.await_log("check the clock");
    said.log(gate);
}

/// The server does not start, and says why.
fn does_not_start(gate: &Sidegate, code: i32, said: &mut Said) {
    said.cli(gate, &["serve"], code);
}

fn damages(gate: &mut Sidegate, said: &mut Said) {
    // While it runs: the address, then the data directory.
    does_not_start(gate, 69, said);
    let other = format!("127.0.0.1:{}", support::free_port());
    let state = gate.state();
    let data = state.display().to_string();
    let ran = support::run_cli(
        &[
            "serve",
            "--data",
            &data,
            "--listen",
            &other,
            "--upstream",
            "http://127.0.0.1:1",
        ],
        "",
        &[("SIDEGATE_OPERATIONS__LISTEN".into(), "127.0.0.1:0".into())],
    );
    assert_eq!(ran.code, 69, "{}", ran.stderr);
    said.add(gate, &ran.stderr);

    gate.signal("TERM");
    assert_eq!(gate.wait(), Some(0));
    let key = state.join("keys/token.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("is ours");
    does_not_start(gate, 77, said);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("is ours");

    let marker = state.join("initialised");
    let kept = fs::read(&marker).expect("is there");
    fs::remove_file(&marker).expect("is ours");
    does_not_start(gate, 70, said);
    fs::write(&marker, kept).expect("is written");

    let store = state.join("sidegate.db");
    fs::write(&store, "garbage").expect("is written");
    does_not_start(gate, 70, said);
    fs::remove_file(&store).expect("is ours");
    does_not_start(gate, 70, said);
}

/// Everything that the page tells of, brought about.
fn bring_about() -> Said {
    let mut said = Said::default();
    let backend = Backend::start();
    // Reads until the gate gives up, and never answers.
    let silent = Backend::serving(|mut stream, _| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let mut gate = Sidegate::prepare("");
    // An upstream with our own address is refused at once; by way of another program it is not seen.
    let own = gate.address;
    let relay = Backend::serving(move |client, _| {
        let server = support::connect(own);
        let (mut one, mut other) = (
            client.try_clone().expect("a socket"),
            server.try_clone().expect("a socket"),
        );
        std::thread::spawn(move || std::io::copy(&mut one, &mut other));
        let _ = std::io::copy(&mut &server, &mut &client);
    });
    certificate(gate.data.path(), 2020, 2089, true);
    let settings = format!(
        "server: trusted_proxies = [\"127.0.0.1/32\"]\n\
         [tls]\nlisten = [\"127.0.0.1:{tls}\"]\nredirect_http = false\n\
         certificates = [{{ cert = \"home.pem\", key = \"home.key\" }}]\n\
         [[route]]\npath = \"/\"\nupstream = \"http://{backend}\"\n\
         [[route]]\npath = \"/down\"\nupstream = \"http://127.0.0.1:1\"\n\
         [[route]]\npath = \"/slow\"\nupstream = \"http://{silent}\"\n\
         [[route]]\npath = \"/loop\"\nupstream = \"http://{relay}\"\naccess = \"public\"\n\
         [networks]\ntrusted = [{{ cidr = \"192.168.1.0/24\", user = \"guest\" }}]\n\
         [timeouts]\nresponse = \"1s\"\n",
        tls = support::free_port(),
        backend = backend.address,
        silent = silent.address,
        relay = relay.address,
    );
    gate.write_config(&settings);
    let mut gate = gate.run();
    gate.cli(&["user", "add", "anna"]).success();
    refusals(&gate, &mut said);
    reloads(&mut gate, &settings, &mut said);
    damages(&mut gate, &mut said);

    let elsewhere = format!(
        "[[route]]\nhost = \"home.example\"\npath = \"/\"\nupstream = \"http://{}\"\n",
        backend.address
    );
    said.log(&login_loop(&backend));
    let elsewhere = Sidegate::start(&elsewhere);
    said.add(&elsewhere, &answer(&elsewhere, "/", ""));
    said.log(&elsewhere);
    said
}

/// A browser that is logged in, and is sent to log in again and again.
fn login_loop(backend: &Backend) -> Sidegate {
    let gate = support::house::house(backend, "");
    let mut browser = support::Browser::new(gate.address);
    browser.host = "home.example";
    let answer = browser.login("anna", support::house::PASSWORD);
    assert_eq!(answer.status, 303);
    for _ in 0..4 {
        browser.get("/_sidegate/login?rd=/app");
    }
    gate.await_log("a login leads nowhere");
    gate
}

#[test]
fn every_quoted_line_is_one_that_the_program_writes() {
    let said = bring_about();
    let mut wrong = Vec::new();
    let mut count = 0;
    for name in ["docs/troubleshooting.md", "docs/operations.md"] {
        for block in pages::page(name)
            .blocks()
            .iter()
            .filter(|block| block.language == "text")
        {
            for line in block.text.lines() {
                count += 1;
                let line = normal(line);
                if !said.0.contains(&line) {
                    wrong.push(format!("{}: {line}", block.place));
                }
            }
        }
    }
    let mut all: Vec<&String> = said.0.iter().collect();
    all.sort();
    assert!(
        wrong.is_empty(),
        "not said:\n{}\n\nsaid:\n{all:#?}",
        wrong.join("\n")
    );
    assert!(count > 30, "only {count} lines were found");
}

#[test]
fn what_differs_from_run_to_run_is_left_out_and_nothing_else() {
    let line = "2026-11-22T07:15:03.120Z WARN  refused; x request.id=6f8ad1259b567932 path=/a";
    assert_eq!(normal(line), "TIME WARN  refused; x request.id=ID path=/a");
    assert_eq!(
        normal("valid until 2091-01-01T00:00:00.000Z"),
        "valid until 2091-01-01T00:00:00.000Z"
    );
    assert_eq!(
        normal("1/32  2026-11-22 07:30Z  1  2026-11-22 07:15Z"),
        "1/32  MOMENT  1  MOMENT"
    );
    assert_eq!(normal("s.toml:13: wrong"), "s.toml:LINE: wrong");
}
