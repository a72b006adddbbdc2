//! The real gateways, each with exactly what `sidegate snippet` prints, in front of a backend that records every
//! byte, and asking the real program.

#![allow(clippy::unwrap_used)]

#[path = "gateways/attack.rs"]
mod attack;
#[path = "gateways/chosen_headers.rs"]
mod chosen_headers;
#[path = "gateways/credentials.rs"]
mod credentials;
#[path = "gateways/forms.rs"]
mod forms;
#[path = "gateways/http2.rs"]
mod http2;
#[path = "gateways/outage.rs"]
mod outage;
#[path = "gateways/people.rs"]
mod people;
#[path = "gateways/shapes.rs"]
mod shapes;
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use support::backend::{Received, Recorder};
use support::gateway::{self, port_of_every_address, program};
use support::{Answer, Backend, PATIENCE, Sidegate, base64, connect, eventually, mistyped};

const SETTINGS: &str = r#"
server: trusted_proxies = ["127.0.0.1/32"]
[[route]]
host = "gate.test"
path = "/"
[[route]]
host = "gate.test"
path = "/public"
access = "public"
[[route]]
host = "gate.test"
path = "/admin"
access = "admin"
[[route]]
host = "gate.test"
path = "/pass"
pass_credentials = true
[[route]]
host = "gate.test"
path = "/cors"
preflight = "pass"
[networks]
trusted = [{ cidr = "192.168.7.0/24", user = "guest" }]
"#;

#[test]
#[ignore = "needs nginx: run tests/gateways/install first"]
fn nginx_asks_before_every_request() {
    Tested::start("nginx", SETTINGS).all();
}

#[test]
#[ignore = "needs nginx: run tests/gateways/install first"]
fn nginx_asks_at_a_listener_of_its_own_and_knows_the_secret() {
    for listener in listeners("nginx").iter().copied() {
        Tested::start("nginx", &introduced("nginx", listener)).introduces_itself();
    }
}

#[test]
#[ignore = "needs Traefik: run tests/gateways/install first"]
fn traefik_asks_before_every_request() {
    Tested::start("traefik", SETTINGS).all();
}

#[test]
#[ignore = "needs Traefik: run tests/gateways/install first"]
fn traefik_asks_at_a_listener_of_its_own_and_knows_the_secret() {
    for listener in listeners("traefik").iter().copied() {
        Tested::start("traefik", &introduced("traefik", listener)).introduces_itself();
    }
}

#[test]
#[ignore = "needs Caddy: run tests/gateways/install first"]
fn caddy_asks_before_every_request() {
    Tested::start("caddy", SETTINGS).all();
}

#[test]
#[ignore = "needs Caddy: run tests/gateways/install first"]
fn caddy_asks_at_a_listener_of_its_own_and_knows_the_secret() {
    for listener in listeners("caddy").iter().copied() {
        Tested::start("caddy", &introduced("caddy", listener)).introduces_itself();
    }
}

#[test]
#[ignore = "needs Envoy: run tests/gateways/install first"]
fn envoy_asks_before_every_request() {
    Tested::start("envoy", SETTINGS).all();
}

#[test]
#[ignore = "needs Envoy: run tests/gateways/install first"]
fn envoy_asks_at_a_listener_of_its_own_and_knows_the_secret() {
    for listener in listeners("envoy").iter().copied() {
        Tested::start("envoy", &introduced("envoy", listener)).introduces_itself();
    }
}

#[test]
#[ignore = "needs HAProxy: run tests/gateways/install first"]
fn haproxy_asks_before_every_request() {
    Tested::start("haproxy", SETTINGS).all();
}

#[test]
#[ignore = "needs HAProxy: run tests/gateways/install first"]
fn haproxy_asks_at_a_listener_of_its_own_and_knows_the_secret() {
    for listener in listeners("haproxy").iter().copied() {
        Tested::start("haproxy", &introduced("haproxy", listener)).introduces_itself();
    }
}

/// The kinds of listener that a gateway reaches.
fn listeners(gateway: &str) -> &'static [&'static str] {
    match gateway {
        // Traefik knows no unix sockets.
        "traefik" => &["tcp"],
        _ => &["unix", "tcp"],
    }
}

/// Decisions on a listener of their own, for who knows a secret; the application reads other headers.
fn introduced(gateway: &str, listener: &str) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let secret = folder.join(format!("secret-{gateway}"));
    std::fs::write(&secret, "correct-horse+battery/staple=\n").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let listen = match listener {
        "tcp" => format!("127.0.0.1:{}", port_of_every_address()),
        _ => format!("unix:{}", folder.join(format!("{gateway}.sock")).display()),
    };
    let server = format!(
        "server: trusted_proxies = [\"127.0.0.1/32\", \"unix\"]\nserver: decision_listen = [\"{listen}\"]\nserver: \
         decision_secret_file = \"{}\"\n",
        secret.display()
    );
    SETTINGS
        .replace("server: trusted_proxies = [\"127.0.0.1/32\"]\n", &server)
        .replace("path =", "identity_headers = \"oauth2-proxy\"\npath =")
}

/// Everything between a client and a backend.
struct Tested {
    name: &'static str,
    settings: String,
    /// The host name.
    site: &'static str,
    /// User, groups, name and e-mail address, as the application knows them.
    identity: [&'static str; 4],
    gate: Sidegate,
    backend: Backend,
    uploaded: Arc<AtomicU64>,
    address: SocketAddr,
    anna: String,
    bob: String,
    rita: String,
    gateway: Child,
    folder: tempfile::TempDir,
}

impl Drop for Tested {
    fn drop(&mut self) {
        let _ = self.gateway.kill();
        let _ = self.gateway.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            eprintln!("--- log of {} ---\n{log}", self.name);
        }
    }
}

impl Tested {
    fn all(mut self) {
        self.a_right_token_passes_by_every_road();
        self.nobody_else_says_who_is_there();
        self.a_program_without_a_credential_gets_401();
        self.a_browser_is_sent_to_log_in();
        self.who_is_known_and_not_allowed_gets_403();
        self.the_client_cannot_say_where_it_is();
        self.no_spelling_of_a_path_reaches_what_is_behind_another_rule();
        self.the_decision_endpoint_is_not_to_be_had_through_the_gateway();
        self.our_pages_are();
        self.cookies_arrive_whole();
        self.a_path_arrives_as_it_was_sent();
        self.a_long_head_arrives_whole_or_not_at_all();
        self.credentials_of_ours_stay_here_and_all_others_arrive();
        self.a_preflight_passes_without_anything_that_tells_who_asks();
        self.a_person_logs_in_and_comes_back();
        self.a_websocket_opens_for_who_may_write();
        self.an_upload_arrives_whole();
        self.who_is_too_fast_is_told_when_to_come_back();
        self.while_there_is_no_answer_nobody_passes();
    }

    // Section 3: "decision_secret_file [...] ask gateways for a shared secret header"; section 5: "`X-Auth-Request-*`
    // in decisions"
    fn introduces_itself(mut self) {
        self.a_right_token_passes_by_every_road();
        self.nobody_else_says_who_is_there();
        self.a_program_without_a_credential_gets_401();
        self.the_client_cannot_say_where_it_is();
        self.the_decision_endpoint_is_not_to_be_had_through_the_gateway();
        self.a_websocket_opens_for_who_may_write();
        let other = self.settings.replace("/secret-", "/another-secret-");
        let secret = other
            .split('"')
            .find(|word| word.contains("/another-secret-"))
            .unwrap();
        std::fs::write(secret, "another").unwrap();
        std::fs::set_permissions(secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        self.gate.write_config(&other);
        self.gate.signal("HUP");
        let bob = format!("Authorization: Bearer {}", self.bob);
        let refused = || matches!(self.send("GET", "/", &[&bob]).status, 403 | 500);
        eventually(refused, || "who does not know the secret gets in".into());
        self.backend.take();
        for lines in [vec![&*bob], vec![]] {
            self.send("GET", "/public", &lines);
        }
        assert!(self.backend.take().is_empty());
    }

    // Section 1: the four roads of a token; section 5: "Every header of the preset is always set"
    fn a_right_token_passes_by_every_road(&self) {
        for credential in [
            format!("Authorization: Bearer {}", self.bob),
            format!("X-OPENHAB-TOKEN: {}", self.bob),
            format!("Authorization: Basic {}", base64(&format!("{}:", self.bob))),
        ] {
            for method in ["GET", "PUT", "DELETE"] {
                let answer = self.send(method, "/a%20b?c=%2F&d", &[&credential]);
                assert_eq!(answer.status, 200, "{method} {credential}: {answer:?}");
                let received = self.backend.take_one();
                assert_eq!(received.line, format!("{method} /a%20b?c=%2F&d HTTP/1.1"));
                assert_eq!(received.all(self.identity[0]), ["bob"]);
                assert_eq!(received.all(self.identity[1]), ["user"]);
                assert!(
                    received
                        .all(self.identity[3])
                        .iter()
                        .all(|value| value.is_empty())
                );
                assert_eq!(received.all("x-openhab-token").len(), 0, "{received:?}");
                assert_eq!(received.all("x-sidegate-secret").len(), 0);
            }
        }
        let reader = format!("Authorization: Bearer {}", self.rita);
        assert_eq!(self.send("GET", "/", &[&reader]).status, 200);
        assert_eq!(self.send("POST", "/", &[&reader]).status, 403);
        self.backend.take();
    }

    // R-001, R-003, R-007: "every non-empty subset of `-` replaced by `_`, in 3 casings, once and twice"; with a
    // name of `Connection` besides
    fn nobody_else_says_who_is_there(&self) {
        let fold = |name: &str| name.to_ascii_lowercase().replace(['_', '.'], "-");
        let check = |received: &Received, user: &str, context: &str| {
            for name in self.identity {
                let values: Vec<_> = received
                    .headers
                    .iter()
                    .filter(|(found, _)| fold(found) == name)
                    .collect();
                assert!(values.len() <= 1, "{context}: {values:?}");
                assert!(
                    !values.iter().any(|(_, value)| value.contains("mallory")),
                    "{context}: {values:?}"
                );
            }
            assert_eq!(
                received.only(self.identity[0]).unwrap_or(""),
                user,
                "{context}: {received:?}"
            );
        };
        for name in self.identity.map(in_capitals) {
            for separator in ["-", "_", "."] {
                let spelled = name.replace('-', separator);
                for cased in [spelled.clone(), spelled.to_lowercase(), spelled.to_uppercase()] {
                    let forged = format!("{cased}: mallory");
                    let bob = format!("Authorization: Bearer {}", self.bob);
                    let hop = format!("Connection: close, {name}");
                    for (path, lines, user) in [
                        ("/", vec![&*bob, &forged], "bob"),
                        ("/", vec![&*bob, &forged, &forged], "bob"),
                        ("/", vec![&*bob, &forged, &hop], "bob"),
                        ("/public", vec![&*forged], ""),
                        ("/public", vec![&*forged, &hop], ""),
                    ] {
                        self.backend.take();
                        let answer = self.send("GET", path, &lines);
                        // Refusing such a request is right too.
                        if answer.status == 200 {
                            check(&self.backend.take_one(), user, &format!("{path} {lines:?}"));
                        } else {
                            assert!(matches!(answer.status, 400 | 403), "{lines:?}: {answer:?}");
                            assert!(self.backend.take().is_empty());
                        }
                    }
                }
            }
        }
    }

    fn a_program_without_a_credential_gets_401(&self) {
        let wrong = format!("Authorization: Bearer {}", mistyped(&self.bob));
        for lines in [
            vec![],
            vec!["Authorization: Bearer abc"],
            vec![&*wrong],
            vec![&*wrong, "Sec-Fetch-Mode: navigate"],
        ] {
            let answer = self.send("GET", "/", &lines);
            assert_eq!(answer.status, 401, "{lines:?}: {answer:?}");
            let challenges = answer.all("www-authenticate");
            assert_eq!(
                challenges.first(),
                Some(&"Bearer realm=\"sidegate\""),
                "{answer:?}"
            );
            assert_eq!(answer.header("location"), None);
        }
        assert!(self.backend.take().is_empty());
    }

    // Section 6: "challenge, browser"; section 4: "always absolute in decisions; return parameter `rd`"
    fn a_browser_is_sent_to_log_in(&self) {
        let answer = self.send(
            "GET",
            "/a%20b?c=d",
            &["Sec-Fetch-Mode: navigate", "Accept: text/html"],
        );
        let host = self.host();
        let back = format!("http%3A%2F%2F{}%2Fa%2520b%3Fc%3Dd", host.replace(':', "%3A"));
        assert_eq!(answer.status, 302, "{answer:?}");
        assert_eq!(
            answer.header("location"),
            Some(&*format!("http://{host}/_sidegate/login?rd={back}"))
        );
        // As long as an address may be that a login leads back to.
        let long = format!("/{}", "%20".repeat(1350));
        let answer = self.send("GET", &long, &["Sec-Fetch-Mode: navigate"]);
        assert_eq!(answer.status, 302, "{}", answer.text());
        assert!(
            answer
                .header("location")
                .unwrap()
                .ends_with(&"%2520".repeat(1350))
        );
        assert!(self.backend.take().is_empty());
    }

    fn who_is_known_and_not_allowed_gets_403(&self) {
        let (anna, bob) = (
            format!("Authorization: Bearer {}", self.anna),
            format!("Authorization: Bearer {}", self.bob),
        );
        assert_eq!(self.send("GET", "/admin/x", &[&anna]).status, 200);
        assert_eq!(self.backend.take().len(), 1);
        for browser in ["Accept: */*", "Sec-Fetch-Mode: navigate"] {
            assert_eq!(self.send("GET", "/admin/x", &[&bob, browser]).status, 403);
        }
        assert!(self.backend.take().is_empty());
    }

    // R-022: "`X-Forwarded-For: 192.168.1.2` from outside -> not trusted"; R-013, R-014
    fn the_client_cannot_say_where_it_is(&self) {
        for forged in [
            "X-Forwarded-For: 192.168.7.1",
            "X-Real-IP: 192.168.7.1",
            "Forwarded: for=192.168.7.1",
            "X-Forwarded-Uri: /public",
            "X-Original-URI: /public",
            "X-Original-URL: http://gate.test/public",
            "X-Original-Method: OPTIONS",
            "X-Forwarded-Method: OPTIONS",
            "X-Forwarded-Host: elsewhere.test",
            "X-Rewrite-URL: /public",
            "X-Sidegate-Secret: guess",
        ] {
            for lines in [vec![forged], vec![forged, forged]] {
                let answer = self.send("GET", "/", &lines);
                assert!(matches!(answer.status, 400 | 401 | 403), "{lines:?}: {answer:?}");
            }
            let bob = format!("Authorization: Bearer {}", self.bob);
            assert!(self.backend.take().is_empty(), "{forged}");
            let answer = self.send("GET", "/admin", &[&bob, forged]);
            assert!(matches!(answer.status, 400 | 403), "{forged}: {answer:?}");
            assert!(self.backend.take().is_empty(), "{forged}");
        }
        // What an application may take for the address that it was asked for.
        self.send(
            "GET",
            "/public",
            &["X-Original-URL: /admin", "X-Rewrite-URL: /admin"],
        );
        let received = self.backend.take_one();
        assert!(
            received.headers.iter().all(|(_, value)| value != "/admin"),
            "{received:?}"
        );
    }

    // R-025: "`/public/../admin`, `/public/%2e%2e/admin` -> 400"; 1.7.8: the gateway matches another form than
    // the one that it sends on
    fn no_spelling_of_a_path_reaches_what_is_behind_another_rule(&self) {
        let bob = format!("Authorization: Bearer {}", self.bob);
        for path in [
            "/public/../admin",
            "/public/..%2fadmin",
            "/public/%2e%2e/admin",
            "/public/.%2E/admin",
            "/public/..;/admin",
            "/public/%252e%252e/admin",
            "/public\\..\\admin",
            "/public/%5c..%5cadmin",
            "//admin",
            "/./admin",
            "/%61dmin",
            "/admin%00",
            "/admin;x=1",
            "/public//../admin",
            "/_sidegate/../admin",
            "/_sidegate/%2e%2e/admin",
            "/_sidegate/..%2fadmin",
            "/_sidegate/login/../../admin",
        ] {
            for lines in [vec![&*bob], vec![]] {
                let answer = self.send("GET", path, &lines);
                let reached: Vec<String> = self
                    .backend
                    .take()
                    .into_iter()
                    .map(|received| received.line)
                    .collect();
                assert_eq!(reached, Vec::<String>::new(), "{path}: {answer:?}");
                assert!(
                    (400..500).contains(&answer.status) || answer.status == 0,
                    "{path}: {answer:?}"
                );
            }
        }
    }

    // Section 4: "a gateway relays `/_sidegate/` for browsers but never `/_sidegate/auth`"
    fn the_decision_endpoint_is_not_to_be_had_through_the_gateway(&self) {
        let bob = format!("Authorization: Bearer {}", self.bob);
        let metadata = [
            "X-Original-URL: http://gate.test/public",
            "X-Original-Method: GET",
            "X-Forwarded-Uri: /public",
            "X-Forwarded-Method: GET",
        ];
        for path in [
            "/_sidegate/auth",
            "/_sidegate/auth/",
            "/_sidegate/auth/nginx",
            "/_sidegate/auth/traefik",
            "/_sidegate/auth/caddy",
            "/_sidegate/auth/envoy/public",
            "/_sidegate/auth/haproxy",
            "/_sidegate/%61uth/nginx",
            "/_sidegate//auth/nginx",
            "/_sidegate/./auth/nginx",
            "/_sidegate/login/../auth/nginx",
            "/x/../_sidegate/auth/nginx",
            "//_sidegate/auth/nginx",
        ] {
            for lines in [&metadata[..2], &metadata[2..], &[]] {
                let lines: Vec<&str> = [&*bob].into_iter().chain(lines.iter().copied()).collect();
                let answer = self.send("GET", path, &lines);
                assert!(matches!(answer.status, 400 | 403 | 404), "{path}: {answer:?}");
                assert!(
                    !matches!(answer.header(self.identity[0]), Some("bob")),
                    "{path}: {answer:?}"
                );
                assert!(self.backend.take().is_empty(), "{path}");
            }
        }
    }

    fn our_pages_are(&self) {
        let answer = self.send("GET", "/_sidegate/login", &["Sec-Fetch-Mode: navigate"]);
        assert!(answer.text().contains("<html"), "{answer:?}");
        assert!(self.backend.take().is_empty());
    }

    fn cookies_arrive_whole(&self) {
        let bob = format!("Authorization: Bearer {}", self.bob);
        let answer = self.send("GET", "/cookies", &[&bob, "Cookie: a=1; b=2", "Cookie: c=3"]);
        assert_eq!(
            answer.all("set-cookie"),
            ["d=4; Path=/", "e=5; Path=/", "f=6; Path=/"],
            "{answer:?}"
        );
        let joined = self.backend.take_one().all("cookie").join("; ");
        assert_eq!(joined, "a=1; b=2; c=3");
    }

    // Section 9: "A WebSocket needs WRITE unless the route says `websocket = "read"`"
    fn a_websocket_opens_for_who_may_write(&self) {
        let handshake = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        let open = |credential: &str| {
            let mut stream = connect(self.address);
            let head = format!(
                "GET /ws HTTP/1.1\r\nHost: {}\r\n{handshake}\r\n{credential}\r\n\r\n",
                self.host()
            );
            stream.write_all(head.as_bytes()).unwrap();
            let mut reader = BufReader::new(stream);
            (Answer::read_from(&mut reader), reader)
        };
        let (answer, mut socket) = open(&format!("Authorization: Bearer {}", self.bob));
        assert_eq!(answer.status, 101, "{answer:?}");
        assert_eq!(self.backend.take_one().all(self.identity[0]), ["bob"]);
        for size in [1, 1000, 100_000] {
            let sent: Vec<u8> = (0..size).map(|byte| byte as u8).collect();
            let writer = socket.get_ref().try_clone().unwrap();
            let copy = sent.clone();
            let writing = std::thread::spawn(move || (&writer).write_all(&copy));
            let mut received = vec![0; size];
            socket.read_exact(&mut received).unwrap();
            writing.join().unwrap().unwrap();
            assert_eq!(received, sent);
        }
        assert_eq!(open("Accept: */*").0.status, 401);
        assert_eq!(
            open(&format!("Authorization: Bearer {}", self.rita)).0.status,
            403
        );
        // A reader opens none however it is asked for.
        let rita = format!("Authorization: Bearer {}", self.rita);
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
        for lines in [
            vec!["Connection: Upgrade", "Upgrade: websocket"],
            vec!["Connection: upgrade", "Upgrade: WEBSOCKET", key],
            vec!["Connection: keep-alive, Upgrade", "Upgrade: foo, websocket", key],
            vec!["Connection: keep-alive, Upgrade", "Upgrade: foo, websocket"],
            vec!["Connection: Upgrade", "Upgrade: foo", "Upgrade: websocket", key],
            vec!["Connection: Upgrade", "Upgrade: websocket", "Upgrade: foo"],
            vec![
                "Connection: Upgrade, Sec-WebSocket-Key",
                "Upgrade: websocket",
                key,
            ],
            vec![
                "Connection: Upgrade, Upgrade",
                "Upgrade: websocket",
                "Sec-WebSocket-Key:",
            ],
            vec!["Upgrade: websocket", key],
            vec!["Upgrade: websocket"],
        ] {
            let lines = [&[&*rita, "Sec-WebSocket-Version: 13"], &lines[..]].concat();
            let answer = self.send("GET", "/ws", &lines);
            assert_ne!(answer.status, 101, "{lines:?}");
            for received in self.backend.take() {
                // A GET may arrive, and ask for nothing else.
                assert_eq!(received.all("upgrade").concat(), "", "{lines:?}: {received:?}");
            }
        }
        // openHAB contract, section 1.7: a browser's script has no header for its token
        let carried = {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD_NO_PAD.encode(&self.bob)
        };
        let protocol = format!("Sec-WebSocket-Protocol: org.openhab.ws.accessToken.base64.{carried}");
        assert_eq!(open(&protocol).0.status, 101);
        assert_eq!(self.backend.take_one().all("sec-websocket-protocol").concat(), "");
        let protocol = format!("{protocol}, org.openhab.ws.protocol.default");
        assert_eq!(open(&protocol).0.status, 101);
        assert_eq!(
            self.backend.take_one().all("sec-websocket-protocol"),
            ["org.openhab.ws.protocol.default"]
        );
    }

    fn an_upload_arrives_whole(&self) {
        let gigabyte = std::env::var_os("SIDEGATE_TEST_GIGABYTE").is_some();
        let size: u64 = if gigabyte { 1 << 30 } else { 10 << 20 };
        let bob = format!("Authorization: Bearer {}", self.bob);
        let before = self.gate.peak();
        for framing in [
            format!("Content-Length: {size}"),
            "Transfer-Encoding: chunked".to_owned(),
        ] {
            self.uploaded.store(0, Ordering::SeqCst);
            let stream = connect(self.address);
            let head = format!(
                "POST /upload HTTP/1.1\r\nHost: {}\r\n{bob}\r\n{framing}\r\n\r\n",
                self.host()
            );
            (&stream).write_all(head.as_bytes()).unwrap();
            let piece = vec![7; 64 << 10];
            for _ in 0..size / piece.len() as u64 {
                if framing.starts_with('T') {
                    (&stream)
                        .write_all(format!("{:x}\r\n", piece.len()).as_bytes())
                        .unwrap();
                    (&stream).write_all(&piece).unwrap();
                    (&stream).write_all(b"\r\n").unwrap();
                } else {
                    (&stream).write_all(&piece).unwrap();
                }
            }
            if framing.starts_with('T') {
                (&stream).write_all(b"0\r\n\r\n").unwrap();
            }
            let answer = Answer::read(&mut &stream);
            assert_eq!(answer.status, 200, "{framing}: {answer:?}");
            assert_eq!(self.uploaded.load(Ordering::SeqCst), 7 * size, "{framing}");
        }
        // The body is the gateway's: none of it comes here.
        let more = self.gate.peak() - before;
        eprintln!(
            "{}: two uploads of {size} bytes, {more} KiB more at most in Sidegate",
            self.name
        );
        assert!(more < 4096, "{more} KiB");
        // Nobody waits for the body of a request that is refused, but Caddy: it has our answer, and gives it
        // when the body has come.
        let stream = connect(self.address);
        let length = if self.name == "caddy" { 0 } else { size };
        let head = format!(
            "POST /upload HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\n\r\n",
            self.host()
        );
        (&stream).write_all(head.as_bytes()).unwrap();
        assert_eq!(Answer::read(&mut &stream).status, 401);
        self.backend.take();
    }

    // Section 6: the row "throttle"; the snippets of nginx and HAProxy make 429 of 403 with `Retry-After`
    fn who_is_too_fast_is_told_when_to_come_back(&mut self) {
        let bob = format!("Authorization: Bearer {}", self.bob);
        self.gate
            .write_config(&format!("{SETTINGS}[guard]\nrate = \"1/h\"\n"));
        self.gate.signal("HUP");
        let throttled = || self.send("GET", "/", &[]);
        eventually(|| throttled().status == 429, || format!("{:?}", throttled()));
        let seconds: u64 = throttled().header("retry-after").unwrap().parse().unwrap();
        assert!((1..=3600).contains(&seconds));
        // A known credential is not stopped by what others spent.
        assert_eq!(self.send("GET", "/", &[&bob]).status, 200);
        assert_eq!(self.backend.take().len(), 1);
        self.gate.write_config(SETTINGS);
        self.gate.signal("HUP");
        eventually(|| self.send("GET", "/", &[]).status == 401, || self.gate.log());
    }

    fn host(&self) -> String {
        format!("{}:{}", self.site, self.address.port())
    }

    fn send(&self, method: &str, target: &str, lines: &[&str]) -> Answer {
        let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", self.host());
        for line in lines {
            text.push_str(line);
            text.push_str("\r\n");
        }
        if !lines.iter().any(|line| line.starts_with("Connection:")) {
            text.push_str("Connection: close\r\n");
        }
        if matches!(method, "POST" | "PUT") {
            text.push_str("Content-Length: 0\r\n");
        }
        text.push_str("\r\n");
        let mut stream = connect(self.address);
        let _ = stream.write_all(text.as_bytes());
        Answer::read(&mut stream)
    }

    fn start(name: &'static str, settings: &str) -> Self {
        Self::start_form(name, settings, &[])
    }

    /// With what `snippet` prints for these options.
    fn start_form(name: &'static str, settings: &str, options: &[&str]) -> Self {
        Self::begin(name, settings, "gate.test", |place| {
            let app = format!("http://{}", place.app);
            let host = format!("gate.test:{}", place.port);
            let always = ["snippet", name, "--host", &host, "--app", &app];
            let printed = place.gate.cli(&[&always, options].concat()).success().stdout;
            run(name, place, &printed)
        })
    }

    /// With a gateway that is started by that.
    fn begin(
        name: &'static str,
        settings: &str,
        site: &'static str,
        gateway: impl FnOnce(&Place<'_>) -> Child,
    ) -> Self {
        let uploaded = Arc::new(AtomicU64::new(0));
        let sum = Arc::clone(&uploaded);
        let backend = Backend::serving(move |stream, recorder| answer(stream, recorder, &sum));
        let gate = Sidegate::start(settings);
        let port = port_of_every_address();
        let folder = tempfile::tempdir().unwrap();
        let gateway = gateway(&Place {
            gate: &gate,
            app: backend.address,
            port,
            folder: folder.path(),
        });
        let identity = if settings.contains("oauth2-proxy") {
            [
                "x-auth-request-user",
                "x-auth-request-groups",
                "x-auth-request-preferred-username",
                "x-auth-request-email",
            ]
        } else {
            ["remote-user", "remote-groups", "remote-name", "remote-email"]
        };
        let mut tested = Self {
            name,
            settings: settings.to_owned(),
            site,
            identity,
            anna: String::new(),
            bob: String::new(),
            rita: String::new(),
            gate,
            backend,
            uploaded,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            gateway,
            folder,
        };
        // Until they have read their configuration, some gateways answer 404 or 502.
        let up = || {
            TcpStream::connect(tested.address).is_ok() && {
                let answer = tested.send("GET", "/public", &[]);
                matches!(answer.status, 403 | 503)
                    && (name == "nginx" || answer.header("x-auth-error").is_some())
            }
        };
        eventually(up, || format!("{name} does not answer"));
        tested.without_an_owner_nobody_passes_and_programs_are_told_why();
        let gate = &tested.gate;
        gate.cli(&["user", "add", "anna"]).success();
        for (user, role) in [("bob", "user"), ("rita", "read-only"), ("guest", "user")] {
            gate.cli(&["user", "add", user, "--role", role]).success();
        }
        tested.anna = gate.token("anna", "phone");
        tested.bob = gate.token("bob", "phone");
        tested.rita = gate.token("rita", "phone");
        tested
    }
}

/// `remote-user` as `Remote-User`.
fn in_capitals(name: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

/// What is around a gateway.
struct Place<'p> {
    gate: &'p Sidegate,
    app: SocketAddr,
    port: u16,
    folder: &'p Path,
}

impl Place<'_> {
    fn write(&self, file: &str, text: &str) -> PathBuf {
        let path = self.folder.join(file);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn spawn(&self, name: &str, command: &mut Command) -> Child {
        gateway::spawn(name, command, self.folder)
    }
}

/// Starts the program with what was printed.
fn run(name: &str, place: &Place<'_>, printed: &str) -> Child {
    let lua = (name == "haproxy").then(|| place.gate.cli(&["snippet", name, "--lua"]).success().stdout);
    let mut command = gateway::command(name, place.port, printed, lua.as_deref(), place.folder);
    place.spawn(name, &mut command)
}

/// Records requests; sets cookies, opens WebSockets that echo, and adds up what is uploaded.
fn answer(stream: TcpStream, recorder: &Recorder, sum: &AtomicU64) {
    let Ok(mut writer) = stream.try_clone() else {
        return;
    };
    let mut reader = BufReader::new(stream);
    loop {
        // An upload is too large to be recorded.
        let is_upload = reader
            .fill_buf()
            .is_ok_and(|begun| begun.starts_with(b"POST /upload "));
        let answer: &[u8] = if is_upload {
            if add_up(&mut reader, sum).is_none() {
                return;
            }
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        } else {
            let Some(received) = recorder.read(&mut reader) else {
                return;
            };
            // Less strict than any should be.
            if received.line.contains(" /ws ") && !received.all("upgrade").is_empty() {
                let key = received.only("sec-websocket-key").unwrap_or("");
                let accepted = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: \
                     websocket\r\nSec-WebSocket-Accept: {}\r\n\r\n",
                    sidegate::crypto::websocket_accept(key.as_bytes())
                );
                if writer.write_all(accepted.as_bytes()).is_ok() {
                    let _ = std::io::copy(&mut reader, &mut writer);
                }
                return;
            }
            if received.line.contains(" /cookies ") {
                b"HTTP/1.1 200 OK\r\nSet-Cookie: d=4; Path=/\r\nSet-Cookie: e=5; Path=/\r\nSet-Cookie: f=6; Path=/\r\nContent-Length: 0\r\n\r\n"
            } else if received.line.starts_with("OPTIONS ") {
                b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 0\r\n\r\n"
            } else if received.line.starts_with("HEAD ") {
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
            } else {
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            }
        };
        if writer.write_all(answer).is_err() {
            return;
        }
    }
}

/// Reads one request and adds the bytes of its body.
fn add_up(reader: &mut impl BufRead, sum: &AtomicU64) -> Option<()> {
    let mut length = None;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if line == "\r\n" {
            break;
        }
        if let Some((_, value)) = line
            .split_once(':')
            .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        {
            length = value.trim().parse::<u64>().ok();
        }
    }
    let add = |mut left: u64, reader: &mut dyn BufRead| {
        while left > 0 {
            let piece = reader.fill_buf().ok().filter(|piece| !piece.is_empty())?;
            let used = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            sum.fetch_add(
                piece[..used].iter().map(|byte| u64::from(*byte)).sum(),
                Ordering::SeqCst,
            );
            reader.consume(used);
            left -= used as u64;
        }
        Some(())
    };
    if let Some(length) = length {
        return add(length, reader);
    }
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let size = u64::from_str_radix(line.trim(), 16).ok()?;
        add(size, reader)?;
        let mut end = String::new();
        reader.read_line(&mut end).ok()?;
        if size == 0 {
            return Some(());
        }
    }
}
