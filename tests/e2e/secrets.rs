//! "Secrets go to stdout once and nowhere else"

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Backend, Client, Sidegate, WebSocket, base64, binary, eventually};

const PASSWORD: &str = "correct-horse-PASSWORD";

/// Everything that came out anywhere, each piece with its place.
#[derive(Default)]
struct Heard(Vec<(String, Vec<u8>)>);

impl Heard {
    fn add(&mut self, place: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push((place.into(), bytes.into()));
    }

    /// Every file below a folder, but for those whose name says no.
    fn folder(&mut self, folder: &Path, but: &[&str]) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let kind = path.symlink_metadata().expect("it is there").file_type();
            if kind.is_dir() {
                self.folder(&path, but);
            } else if kind.is_file() && !but.iter().any(|name| path.ends_with(name)) {
                self.add(path.display().to_string(), std::fs::read(&path).expect("a file"));
            }
        }
    }

    fn holds(&self, text: &[u8]) -> Vec<&str> {
        let found = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        self.0
            .iter()
            .filter(|(_, bytes)| found(bytes))
            .map(|(place, _)| place.as_str())
            .collect()
    }
}

fn random_part(token: &str) -> &str {
    token.rsplit('.').next().expect("three parts")
}

#[test]
fn no_secret_is_in_any_output() {
    for (format, query) in [("text", true), ("json", true), ("text", false)] {
        let backend = Backend::websocket();
        let settings = format!(
            "[credentials]\nbasic_passwords = true\nquery_token = {query}\n\
             [log]\nformat = \"{format}\"\nlevel = \"debug\"\naccess = \"access.log\"\n\
             [audit]\nallowed = \"all\"\n[guard]\nrate = \"off\"\n"
        );
        let mut gate = Sidegate::with_anna(&backend, &settings);
        let mut heard = Heard::default();
        let verb = |words: &[&str], input: &str| gate.cli_with_input(words, input);
        let ran = verb(
            &["user", "passwd", "anna", "--password-stdin"],
            &format!("{PASSWORD}\n"),
        );
        heard.add("user passwd", ran.stdout + &ran.stderr);

        // What is printed once, on purpose; the rest of that output is listened to.
        let mut tokens = Vec::new();
        for words in [
            &["token", "create", "phone", "--user", "anna"][..],
            &["token", "create", "dead", "--user", "anna"],
            &["token", "rotate", "phone", "--user", "anna", "--overlap", "1h"],
            &["user", "recover", "anna"],
        ] {
            let ran = verb(words, "").success();
            tokens.push(ran.stdout.trim_end().to_owned());
            heard.add(words.join(" "), ran.stderr);
        }
        let ran = verb(&["token", "revoke", "dead", "--user", "anna"], "").success();
        heard.add("token revoke", ran.stdout + &ran.stderr);
        let (phone, dead) = (tokens[0].clone(), tokens[1].clone());
        let mistyped = "oh.phone.MISTYPEDmistypedMISTYPED".to_owned();
        tokens.push(mistyped.clone());
        let others = [
            "foreignBEARERcanary",
            "cookieCANARYvalue",
            "wrongPASSWORDcanary",
            "protocolCANARYtoken",
        ];

        let mut requests: Vec<(String, Vec<String>)> = Vec::new();
        for token in [&phone, &dead, &mistyped] {
            let header = |text: String| ("/agent".to_owned(), vec![text]);
            requests.extend([
                header(format!("Authorization: Bearer {token}")),
                header(format!("Authorization: bearer  {token}")),
                header(format!("X-OPENHAB-TOKEN: {token}")),
                header(format!("Authorization: Basic {}", base64(&format!("{token}:")))),
                header(format!("Authorization: Basic {}", base64(&format!("{token}:x")))),
                header(format!("Authorization: Bearer {token} {token}")),
                header(format!("Referer: http://home.example/?accessToken={token}")),
                (format!("/q?accessToken={token}&x=1"), vec![]),
                (
                    format!("/q?a&access_token={token}"),
                    vec!["Sec-Fetch-Mode: navigate".into()],
                ),
                (format!("/q?accessToken={token}&accessToken={token}"), vec![]),
                (format!("/a//b?accessToken={token}"), vec![]),
                (format!("/_sidegate/nothing?accessToken={token}"), vec![]),
                (format!("http://{token}@gate.test/x"), vec![]),
                (format!("http://{token}:@gate.test/x"), vec![]),
                // The slip for `http://TOKEN@host/`, and texts in which a client may put anything.
                (format!("/{token}"), vec![]),
                (format!("/{token}"), vec![format!("X-OPENHAB-TOKEN: {phone}")]),
                (format!("/a//{token}"), vec![]),
                (format!("/_sidegate/{token}"), vec![]),
                (format!("/q?other={token}"), vec![]),
                header(format!("User-Agent: {token}")),
                (
                    "/slip".into(),
                    vec![
                        format!("User-Agent: x {token}"),
                        format!("X-OPENHAB-TOKEN: {phone}"),
                    ],
                ),
            ]);
            requests.push((
                "/doubled".into(),
                vec![
                    format!("X-OPENHAB-TOKEN: {token}"),
                    format!("X-OPENHAB-TOKEN: {token}"),
                ],
            ));
        }
        for (name, password) in [("anna", PASSWORD), ("anna", others[2]), ("nobody", others[2])] {
            let basic = base64(&format!("{name}:{password}"));
            requests.push(("/password".into(), vec![format!("Authorization: Basic {basic}")]));
        }
        requests.push((
            "/foreign".into(),
            vec![format!("Authorization: Bearer {}", others[0])],
        ));
        requests.push(("/cookie".into(), vec![format!("Cookie: sidegate={}", others[1])]));
        let mut allowed = 0;
        for (path, headers) in &requests {
            for accept in ["*/*", "application/json", "text/html"] {
                let mut lines: Vec<&str> = headers.iter().map(String::as_str).collect();
                let accept = format!("Accept: {accept}");
                lines.push(&accept);
                if !headers.iter().any(|header| header.starts_with("User-Agent:")) {
                    lines.push("User-Agent: agent-that-is-heard");
                }
                let answer = gate.get(path, &lines);
                assert_ne!(answer.status, 0, "{path} {headers:?}");
                if answer.status == 200 {
                    allowed += 1;
                    continue;
                }
                if let Some(login) = answer.header("location") {
                    // The browser goes there, with what it asked for in the address: that is its own.
                    let (_, path) = login.split_once("gate.test").expect("an address here");
                    gate.get(path, &["Accept: text/html", "User-Agent: agent-that-is-heard"]);
                    continue;
                }
                let head: String = answer
                    .headers
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}\n"))
                    .collect();
                heard.add(
                    format!("answer to {path} {headers:?}"),
                    [head.as_bytes(), &answer.body].concat(),
                );
            }
        }
        assert!(allowed >= 15, "only {allowed} were allowed");
        let carried = base64(&phone).trim_end_matches('=').to_owned();
        for protocol in [
            format!("chat, {}", others[3]),
            format!("org.openhab.ws.accessToken.base64.{carried}, org.openhab.ws.protocol.default"),
        ] {
            let header = format!("Sec-WebSocket-Protocol: {protocol}");
            let opened = WebSocket::open(Client::to(gate.address), "/ws", &[&header]);
            assert_eq!(opened.is_ok(), protocol.contains(&carried), "{protocol}");
        }

        heard.add("metrics", gate.operations_page("/metrics"));
        for words in [
            &["config", "print"][..],
            &["check"],
            &["token", "list"],
            &["token", "list", "--output", "json"],
            &["token", "show", "phone", "--user", "anna", "--output", "json"],
            &["user", "list", "--output", "json"],
            &["user", "show", "anna", "--output", "json"],
            &["keys", "list", "--output", "json"],
            &["ban", "list", "--output", "json"],
            &["audit", "tail", "-n", "1000"],
        ] {
            let ran = verb(words, "").success();
            heard.add(words.join(" "), ran.stdout + &ran.stderr);
        }
        for token in [&phone, &dead, &mistyped] {
            for output in ["table", "json"] {
                let words = [
                    "explain",
                    "--token-stdin",
                    "GET",
                    "http://home.example/",
                    "--output",
                    output,
                ];
                let ran = verb(&words, token);
                heard.add("explain", ran.stdout + &ran.stderr);
            }
        }
        let copy = gate.data.path().join("copy");
        let ran = verb(&["backup", copy.to_str().expect("utf-8")], "").success();
        heard.add("backup", ran.stdout + &ran.stderr);
        let keys: Vec<Vec<u8>> = ["keys/token.key", "keys/lookup.key"]
            .iter()
            .map(|name| std::fs::read(gate.state().join(name)).expect("a key"))
            .collect();
        let written = || !gate.audit_lines(&["/password"]).is_empty();
        eventually(written, || "the requests are not in the audit file".into());

        // An abort in the middle: whatever it says goes to the log.
        gate.signal("ABRT");
        assert_eq!(gate.wait(), None);
        let log = gate.log();
        heard.add("log", log.as_bytes());
        heard.folder(&gate.state(), &["keys/token.key", "keys/lookup.key"]);
        heard.folder(&copy, &["keys/token.key", "keys/lookup.key"]);

        // It was listened to at all: the places speak of these requests.
        assert!(log.contains("token-with-password"), "{log}");
        for place in ["audit.jsonl", "access.log", "sidegate.db"] {
            assert!(
                heard
                    .holds(b"phone")
                    .iter()
                    .chain(&heard.holds(b"agent-that-is-heard"))
                    .any(|at| at.ends_with(place)),
                "{place}"
            );
        }
        // The slips were written down, without what makes a token of them.
        for place in ["audit.jsonl", "access.log", "log"] {
            let at = heard.holds(b"/oh.phone.***");
            assert!(at.iter().any(|at| at.ends_with(place)), "{place}: {at:?}");
        }
        for token in &tokens {
            let secret = random_part(token);
            for text in [
                secret.to_owned(),
                base64(&format!("{token}:")),
                base64(token),
                base64(secret),
            ] {
                let at = heard.holds(text.trim_end_matches('=').as_bytes());
                assert!(at.is_empty(), "{format}: {token} is in {at:?}");
            }
            // Not even half of it.
            let half = &secret[..secret.len() / 2];
            assert!(
                heard.holds(half.as_bytes()).is_empty(),
                "{format}: half of {token}: {:?}",
                heard.holds(half.as_bytes())
            );
        }
        for secret in others.iter().chain(&[PASSWORD]) {
            let at = heard.holds(secret.as_bytes());
            assert!(at.is_empty(), "{format}: {secret} is in {at:?}");
            let at = heard.holds(base64(&format!("anna:{secret}")).as_bytes());
            assert!(at.is_empty(), "{format}: {secret} in Base64 is in {at:?}");
        }
        for key in &keys {
            let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            for text in [key.clone(), hex.into_bytes()] {
                assert!(
                    heard.holds(&text).is_empty(),
                    "{format}: a key is in {:?}",
                    heard.holds(&text)
                );
            }
        }
    }
}

// "creating a token and print it alone on standard output, once"
#[test]
fn a_token_that_cannot_be_shown_is_not_shown_elsewhere() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, "");
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("every Linux has it");
    let output = Command::new(binary())
        .args([
            "--config",
            gate.config.to_str().expect("utf-8"),
            "token",
            "create",
            "phone",
            "--user",
            "anna",
        ])
        .stdin(Stdio::null())
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(74), "{said}");
    assert!(
        said.contains("token revoke") && !said.contains("oh.phone."),
        "{said}"
    );
}

// "passwords come from a prompt or `--password-stdin`, never from an argument"
#[test]
fn a_password_given_twice_the_wrong_way_is_not_repeated() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, "");
    let short = gate.cli_with_input(&["user", "passwd", "anna", "--password-stdin"], "Shrt7!\n");
    assert_eq!(short.code, 65);
    assert!(!short.stderr.contains("Shrt7!"), "{}", short.stderr);
    let explained = gate.cli(&["explain", "GET", "http://oh.phone.SECRETpart@home.example/"]);
    assert_eq!(explained.code, 64);
    assert!(!explained.stderr.contains("SECRETpart"), "{}", explained.stderr);
}
