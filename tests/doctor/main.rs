//! `sidegate doctor` against the real gateways: with the configuration that `sidegate snippet` prints nothing is
//! wrong, and with one line of it spoilt the doctor names that line.

#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod caddy;
mod envoy;
mod haproxy;
mod nginx;
mod traefik;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};

use serde_json::Value;
use support::gateway::{Gateway, port_of_every_address};
use support::{Backend, Ran, Sidegate, eventually, free_port};

const SETTINGS: &str = r#"
server: trusted_proxies = ["127.0.0.1/32"]
[guard]
rate = "10000/s burst 10000"
[[route]]
host = "gate.test"
path = "/"
[[route]]
host = "gate.test"
path = "/public"
access = "public"
"#;

/// What was spoilt in a configuration: the text, what stands there instead.
type Spoilt<'t> = &'t [(&'t str, &'t str)];

/// What is spoilt, the check that must fail, and words of the advice.
type Case = (Spoilt<'static>, &'static str, &'static [&'static str]);

/// A gateway with a configuration, before the real program.
struct House {
    name: &'static str,
    gate: Sidegate,
    port: u16,
    app: u16,
    token: String,
}

impl House {
    fn new(name: &'static str) -> Self {
        Self::with(name, SETTINGS)
    }

    fn with(name: &'static str, settings: &str) -> Self {
        let gate = Sidegate::start(settings);
        gate.cli(&["user", "add", "anna"]).success();
        let token = gate.token("anna", "doctor");
        Self {
            name,
            gate,
            port: port_of_every_address(),
            app: free_port(),
            token,
        }
    }

    /// What the gateway runs with, but for what is spoilt.
    fn run(&self, spoilt: Spoilt<'_>) -> Gateway {
        let host = format!("gate.test:{}", self.port);
        let app = format!("http://127.0.0.1:{}", self.app);
        let print = |words: &[&str]| {
            self.gate
                .cli(&[&["snippet", self.name], words].concat())
                .success()
                .stdout
        };
        let mut configuration = print(&["--host", &host, "--app", &app]);
        let mut lua = (self.name == "haproxy").then(|| print(&["--lua"]));
        for (there, instead) in spoilt {
            let in_lua = lua.as_ref().is_some_and(|lua| lua.contains(there));
            let text = match &mut lua {
                Some(lua) if in_lua => lua,
                _ => &mut configuration,
            };
            assert!(
                text.contains(there),
                "{there:?} is not in the snippet of {}:\n{text}",
                self.name
            );
            *text = text.replace(there, instead);
        }
        let gateway = Gateway::start(self.name, self.port, &configuration, lua.as_deref());
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let question = format!(
            "GET / HTTP/1.1\r\nHost: gate.test:{}\r\nConnection: close\r\n\r\n",
            self.port
        );
        let answers = || support::ask(address, question.as_bytes());
        eventually(
            || answers().is_some_and(|answer| !answer.is_empty() && !answer.contains(" 404 ")),
            || format!("{} does not answer:\n{}", self.name, gateway.log()),
        );
        gateway
    }

    /// Runs the doctor, with a token and in place of the application.
    fn doctor(&self, arguments: &[&str]) -> Ran {
        let url = format!("http://gate.test:{}/", self.port);
        let connect = format!("127.0.0.1:{}", self.port);
        let words = [&["doctor", &url, "--connect", &connect], arguments].concat();
        self.gate.cli_with_input(&words, &self.token)
    }

    fn whole(&self) -> (i32, Value) {
        let app = format!("127.0.0.1:{}", self.app);
        let ran = self.doctor(&["--token-stdin", "--stand-in", &app, "--output", "json"]);
        let report = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
        (ran.code, report)
    }

    /// With the snippet as it is every check passes, but for those that cannot be made here.
    fn is_well(&self, unknown: &[&str]) {
        let _gateway = self.run(&[]);
        let (code, report) = self.whole();
        let checks = report["checks"].as_array().unwrap();
        let others: Vec<&Value> = checks
            .iter()
            .filter(|check| check["verdict"] != "pass")
            .filter(|check| {
                check["verdict"] != "unknown" || !unknown.contains(&check["check"].as_str().unwrap())
            })
            .collect();
        assert!(others.is_empty(), "{}: {others:#?}", self.name);
        assert_eq!(code, 0);
        assert_eq!(report["gateway"], self.name);
        assert!(checks.len() >= 20, "{checks:#?}");
    }

    /// With each of them spoilt its check fails, and the advice has these words.
    fn is_ill(&self, cases: &[Case]) {
        let wrong: Vec<String> = cases.iter().filter_map(|case| self.misjudged(case)).collect();
        assert!(
            wrong.is_empty(),
            "{}: {} of {} cases:\n{}",
            self.name,
            wrong.len(),
            cases.len(),
            wrong.join("\n")
        );
    }

    fn misjudged(&self, (spoilt, check, words): &Case) -> Option<String> {
        let _gateway = self.run(spoilt);
        let (code, report) = self.whole();
        let failed: Vec<&Value> = report["checks"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|check| check["verdict"] == "fail")
            .collect();
        let Some(found) = failed.iter().find(|found| found["check"] == *check) else {
            return Some(format!("{check} did not fail after {spoilt:?}, but: {failed:#?}"));
        };
        let change = found["change"].as_str().unwrap();
        let missing: Vec<_> = words.iter().filter(|word| !change.contains(**word)).collect();
        (!missing.is_empty() || code != 65)
            .then(|| format!("{check} after {spoilt:?}: {code}, no {missing:?} in: {change}"))
    }
}

fn checks(ran: &Ran) -> Vec<(String, String)> {
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    let word = |check: &Value, key: &str| check[key].as_str().unwrap().to_owned();
    let checks = report["checks"].as_array().unwrap().iter();
    checks
        .map(|check| (word(check, "check"), word(check, "verdict")))
        .collect()
}

fn verdict_of(ran: &Ran, name: &str) -> String {
    let found = checks(ran).into_iter().find(|(check, _)| check == name);
    found.unwrap_or_else(|| panic!("no {name}: {ran:?}")).1
}

/// Sidegate alone, in front of a backend.
fn alone() -> (Sidegate, Backend, String) {
    let backend = Backend::websocket();
    let gate = Sidegate::with_anna(&backend, "[guard]\nrate = \"10000/s burst 10000\"\n");
    let token = gate.token("anna", "doctor");
    (gate, backend, token)
}

fn examined(gate: &Sidegate, token: &str, arguments: &[&str]) -> Ran {
    let url = format!("http://{}/", gate.address);
    let words = [&["doctor", &url, "--token-stdin", "--output", "json"], arguments].concat();
    gate.cli_with_input(&words, token)
}

#[test]
fn sidegate_alone_is_well() {
    let (gate, _backend, token) = alone();
    let ran = examined(&gate, &token, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let others: Vec<_> = checks(&ran)
        .into_iter()
        .filter(|(_, verdict)| verdict != "pass")
        .collect();
    // It answers with a redirect of its own, so there is nothing that could lose a cookie; all is seen.
    assert_eq!(others, [], "{ran:?}");
    assert!(checks(&ran).len() > 15);
}

// "without access to a control socket it still does what can be judged from outside and says what it could not tell"
#[test]
fn from_another_machine_it_says_what_it_cannot_see() {
    let (gate, _backend, token) = alone();
    let elsewhere = tempfile::tempdir().unwrap();
    let data = elsewhere.path().to_str().unwrap();
    let ran = examined(&gate, &token, &["--data", data]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for seen in ["program", "browser", "login", "token", "endpoint"] {
        assert_eq!(verdict_of(&ran, seen), "pass", "{seen}: {ran:?}");
    }
    for unseen in [
        "asked",
        "forged-client",
        "forged-address",
        "paths",
        "cookies",
        "websocket",
        "preflight",
        "set-cookie",
    ] {
        assert_eq!(verdict_of(&ran, unseen), "unknown", "{unseen}: {ran:?}");
    }
}

#[test]
fn where_nobody_listens_it_ends_with_69() {
    let (gate, _backend, _) = alone();
    let ran = gate.cli(&["doctor", &format!("http://127.0.0.1:{}/", free_port())]);
    assert_eq!(ran.code, 69, "{ran:?}");
    assert!(ran.stdout.is_empty());
    let taken = gate.address.to_string();
    let ran = gate.cli(&["doctor", &format!("http://{taken}/"), "--stand-in", &taken]);
    assert_eq!(ran.code, 69, "{ran:?}");
    assert!(ran.stderr.contains("stop it first"), "{ran:?}");
}

/// A gateway of a few lines that forwards, with the head changed.
fn relay(to: SocketAddr, change: fn(&str) -> String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(&client);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|read| read > 0) {}
                let mut upstream = support::connect(to);
                upstream.write_all(change(&head).as_bytes()).unwrap();
                let _ = std::io::copy(&mut upstream, &mut &client);
            });
        }
    });
    address
}

#[test]
fn the_table_says_what_is_wrong_and_what_to_change() {
    let (gate, _backend, _) = alone();
    let front = relay(gate.address, |head| {
        let host = head.lines().find(|line| line.starts_with("Host:")).unwrap();
        head.replace(host, "Host: app.internal:8080")
    });
    let ran = gate.cli(&["doctor", "--gateway", "nginx", &format!("http://{front}/")]);
    assert_eq!(ran.code, 65, "{ran:?}");
    assert!(ran.stdout.starts_with("CHECK"), "{ran:?}");
    for part in [
        "\nFAIL address: sent was GET http://127.0.0.1:",
        "\n  danger: The rules of another host are applied",
        "\n  change (nginx): ",
        "proxy_set_header Host $http_host;",
    ] {
        assert!(ran.stdout.contains(part), "no {part:?}: {ran:?}");
    }
    assert!(ran.stderr.contains("checks failed"), "{ran:?}");
}

#[test]
fn who_is_banned_is_told_so_and_not_kept_waiting() {
    let backend = Backend::start();
    let settings = "server: trusted_proxies = [\"127.0.0.1/32\"]\n[guard]\nexempt = []\n";
    let gate = Sidegate::with_anna(&backend, settings);
    let front = relay(gate.address, |head| {
        head.replace("\r\n\r\n", "\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n")
    });
    gate.cli(&["ban", "add", "192.0.2.9"]).success();
    let ran = gate.cli(&["doctor", &format!("http://{front}/")]);
    assert!(ran.stdout.contains("192.0.2.9 is banned or too fast"), "{ran:?}");
    assert_eq!(ran.stdout.lines().count(), 2, "{ran:?}");
}

// "an attacker who sends such a header gains nothing"
#[test]
fn a_nonce_that_nobody_registered_is_a_header_like_any_other() {
    let (gate, backend, token) = alone();
    let guess = format!("Sidegate-Doctor: {}.1", "a".repeat(32));
    let bearer = format!("Authorization: Bearer {token}");
    for lines in [vec![&*guess], vec![&*guess, &*bearer], vec![&*bearer]] {
        let answer = gate.get("/?sidegate-doctor=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.2", &lines);
        assert_eq!(answer.header("set-cookie"), None, "{answer:?}");
        assert_eq!(answer.status, if lines.contains(&&*bearer) { 200 } else { 401 });
    }
    assert_eq!(backend.take().len(), 2);
}

/// The same where another header than `X-Forwarded-For` names the client: the line to change is that of this header.
fn is_examined_with_a_client_header(name: &'static str, cases: &[Case]) {
    let header = "server: client_ip_header = \"CF-Connecting-IP\"";
    let house = House::with(name, &format!("{header}{SETTINGS}"));
    house.is_well(&[]);
    house.is_ill(cases);
}

#[test]
#[ignore = "needs nginx: run tests/gateways/install first"]
fn nginx_is_examined_with_a_client_header() {
    const LINE: &str = "proxy_set_header Cf-Connecting-Ip $remote_addr;";
    const CHANGE: &[&str] = &["proxy_set_header cf-connecting-ip $remote_addr;"];
    const IN_PAGES: &str = "        proxy_set_header Host $http_host;\n        proxy_set_header Cf-Connecting-Ip \
                    $remote_addr;\n        proxy_set_header X-Forwarded-For $remote_addr;\n        proxy_set_header \
                    X-Forwarded-Proto $scheme;\n    }";
    is_examined_with_a_client_header(
        "nginx",
        &[
            (&[(LINE, "")], "forged-client", CHANGE),
            (
                &[(LINE, "proxy_set_header Cf-Connecting-Ip \"\";")],
                "client",
                CHANGE,
            ),
            (&[(IN_PAGES, "    }")], "forged-client", CHANGE),
        ],
    );
}

#[test]
#[ignore = "needs Caddy: run tests/gateways/install first"]
fn caddy_is_examined_with_a_client_header() {
    const CHANGE: &[&str] = &["header_up cf-connecting-ip {client_ip}"];
    is_examined_with_a_client_header(
        "caddy",
        &[
            (
                &[("header_up Cf-Connecting-Ip {client_ip}", "")],
                "forged-client",
                CHANGE,
            ),
            (
                &[("request_header Cf-Connecting-Ip {client_ip}", "")],
                "client",
                &["request_header cf-connecting-ip {client_ip}"],
            ),
        ],
    );
}

#[test]
#[ignore = "needs Envoy: run tests/gateways/install first"]
fn envoy_is_examined_with_a_client_header() {
    const CHANGE: &[&str] = &["key: cf-connecting-ip", "- exact: cf-connecting-ip"];
    is_examined_with_a_client_header(
        "envoy",
        &[
            (
                &[("                - exact: cf-connecting-ip\n", "")],
                "client",
                CHANGE,
            ),
            (
                &[
                    ("key: Cf-Connecting-Ip", "key: X-Another"),
                    ("              - remove: CF-Connecting-IP\n", ""),
                ],
                "forged-client",
                CHANGE,
            ),
        ],
    );
}

#[test]
#[ignore = "needs HAProxy: run tests/gateways/install first"]
fn haproxy_is_examined_with_a_client_header() {
    const LINE: &str = "    http-request set-header Cf-Connecting-Ip %[src]\n";
    const CHANGE: &[&str] = &["http-request set-header cf-connecting-ip %[src]"];
    is_examined_with_a_client_header(
        "haproxy",
        &[
            (&[(LINE, "")], "client", CHANGE),
            (
                &[(LINE, ""), ("    http-request del-header cf-connecting-ip\n", "")],
                "forged-client",
                CHANGE,
            ),
        ],
    );
}

#[test]
#[ignore = "needs nginx: run tests/gateways/install first"]
fn nginx_is_examined() {
    let house = House::new("nginx");
    house.is_well(&[]);
    house.is_ill(nginx::CASES);
}

#[test]
#[ignore = "needs Traefik: run tests/gateways/install first"]
fn traefik_is_examined() {
    let house = House::new("traefik");
    house.is_well(&[]);
    house.is_ill(traefik::CASES);
}

#[test]
#[ignore = "needs Caddy: run tests/gateways/install first"]
fn caddy_is_examined() {
    let house = House::new("caddy");
    house.is_well(&[]);
    house.is_ill(caddy::CASES);
}

#[test]
#[ignore = "needs Envoy: run tests/gateways/install first"]
fn envoy_is_examined() {
    let house = House::new("envoy");
    // For who comes by loopback Envoy writes an address of its own.
    house.is_well(&["client"]);
    house.is_ill(envoy::CASES);
}

#[test]
#[ignore = "needs HAProxy: run tests/gateways/install first"]
fn haproxy_is_examined() {
    let house = House::new("haproxy");
    house.is_well(&[]);
    house.is_ill(haproxy::CASES);
}
