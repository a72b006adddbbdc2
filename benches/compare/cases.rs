//! What is compared: sections of cases, the first of each being what ratios refer to.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine;

use crate::ask::{Body, Case, Tool};
use crate::bare::Bare;
use crate::certificate::Certificate;
use crate::gates::{ASKED, FIVE, RATED, Running, Settings};
use crate::load::{Process, free_address};
use crate::peers::{self, BANS, PASSWORD, Peer};

/// Cases that answer the same question.
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) tool: Tool,
    pub(crate) cases: Vec<Case>,
}

/// Tokens in use at once where there are many.
const IN_USE: usize = 50_000;
const IN_USE_QUICK: usize = 10_000;

/// Everything that runs while cases are measured.
pub(crate) struct Stage<'a> {
    pub(crate) program: &'a Path,
    pub(crate) folder: &'a Path,
    pub(crate) certificate: &'a Certificate,
    pub(crate) nginx: &'a Peer,
    pub(crate) haproxy: &'a Peer,
    pub(crate) caddy: &'a Peer,
    pub(crate) backend: SocketAddr,
    /// What the peers know as well.
    pub(crate) tokens: &'a [String],
    pub(crate) core: usize,
    pub(crate) quick: bool,
}

/// A wrong token, of the right shape.
const WRONG: &str = "oh.phone.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn bearer(token: &str) -> (&'static str, String) {
    ("Authorization", format!("Bearer {token}"))
}

pub(crate) fn basic(user: &str, password: &str) -> (&'static str, String) {
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    ("Authorization", format!("Basic {text}"))
}

/// What nginx says of the request that it asks about.
fn asked() -> Vec<(&'static str, String)> {
    vec![
        ("X-Original-URL", "http://home.example/rest/items".to_owned()),
        ("X-Original-Method", "GET".to_owned()),
        ("X-Forwarded-For", "192.168.1.7".to_owned()),
    ]
}

/// A case with what most have.
fn case(name: &str, process: Process, url: String, headers: Vec<(&'static str, String)>) -> Case {
    Case {
        name: name.to_owned(),
        ours: name.starts_with("Sidegate"),
        quick: true,
        process,
        url,
        headers,
        body: Body::None,
        tokens: None,
        answer: None,
        wrong: None,
    }
}

/// The floor under what answers the same question.
pub(crate) fn bare(bare: &Bare, path: &str) -> Case {
    let url = format!("http://{}{path}", bare.address);
    let headers = [asked(), vec![bearer(WRONG)]].concat();
    case("nothing but reading and writing", bare.process(), url, headers)
}

impl Case {
    fn refusing(mut self, wrong: (&'static str, String)) -> Self {
        self.wrong = Some(wrong);
        self
    }

    fn thorough(mut self) -> Self {
        self.quick = false;
        self
    }

    fn any_of(mut self, tokens: &Path) -> Self {
        self.tokens = Some(tokens.to_owned());
        self
    }
}

impl Stage<'_> {
    fn gate(&self, settings: Settings<'_>) -> Running {
        Running::start(self.program, self.backend, settings, self.core)
    }

    fn listed(&self, name: &str, tokens: &[String]) -> PathBuf {
        let file = self.folder.join(name);
        let used = if self.quick { IN_USE_QUICK } else { IN_USE };
        // Spread over all of them.
        let step = (tokens.len() / used).max(1);
        let lines: Vec<&str> = tokens.iter().step_by(step).map(String::as_str).collect();
        std::fs::write(&file, lines.join("\n")).expect("a file can be written");
        file
    }

    /// The decision for nginx: what a gateway asks before each request. None where this version
    /// answers no gateways.
    pub(crate) fn decision(&self) -> Option<(Section, Vec<Running>)> {
        let with = |credential: (&'static str, String)| {
            let mut headers = asked();
            headers.push(credential);
            headers
        };
        let at = |address: SocketAddr| format!("http://{address}/_sidegate/auth/nginx");
        let wrong = || bearer(WRONG);
        let known = self.listed("tokens", self.tokens);
        let (nginx, haproxy) = (self.nginx, self.haproxy);
        let peer = |name: &str, peer: &Peer, job: &str, headers| {
            case(name, peer.process(), at(peer.at(job)), headers)
        };
        let right = || basic("anna", PASSWORD);
        let not_right = || basic("anna", "close sesame");
        let mut cases = vec![
            peer(
                "nginx: return 200, no check",
                nginx,
                "return",
                with(bearer(&self.tokens[0])),
            ),
            peer("nginx: map, geo, limit_req, 5 headers", nginx, "decide", asked())
                .any_of(&known)
                .refusing(wrong()),
            peer(
                "HAProxy: map, bans, stick table, 5 headers",
                haproxy,
                "decide",
                asked(),
            )
            .any_of(&known)
            .refusing(wrong()),
            peer("nginx: auth_basic {SHA}, 1 user", nginx, "sha", with(right())).refusing(not_right()),
            peer(
                "nginx: auth_basic {SHA}, last of 1,000",
                nginx,
                "sha1000",
                with(right()),
            )
            .refusing(not_right())
            .thorough(),
            peer("nginx: auth_basic bcrypt cost 5", nginx, "bcrypt5", with(right()))
                .refusing(not_right())
                .thorough(),
            peer("Caddy: basic_auth, cached", self.caddy, "basic", with(right())).refusing(not_right()),
        ];
        let base = Settings {
            server: ASKED,
            ..Settings::default()
        };
        let one = self.gate(base);
        let ours = |name: &str, running: &Running| {
            let mut case = case(name, running.gate.process(), at(running.gate.address), asked());
            match running.tokens.is_empty() {
                true => case.headers.push(bearer(&running.token)),
                false => case.tokens = Some(self.listed(&name.replace(' ', "-"), &running.tokens)),
            }
            case.refusing(wrong())
        };
        let first = ours("Sidegate: 1 token", &one);
        if first.check(Tool::Wrk(1), self.folder).is_err() {
            return None;
        }
        cases.push(first);
        let variants = [
            (
                "Sidegate: 100,000 tokens",
                Settings {
                    tokens: 100_000,
                    ..base
                },
                true,
            ),
            (
                "Sidegate: 1,000,000 tokens",
                Settings {
                    tokens: 1_000_000,
                    ..base
                },
                false,
            ),
            ("Sidegate: 10,000 bans", Settings { bans: BANS, ..base }, false),
            ("Sidegate: rate limit", Settings { rest: RATED, ..base }, false),
            (
                "Sidegate: 5 identity headers",
                Settings { route: FIVE, ..base },
                false,
            ),
            (
                "Sidegate: 100,000 tokens, bans, rate limit, 5 headers",
                Settings {
                    tokens: 100_000,
                    bans: BANS,
                    rest: RATED,
                    route: FIVE,
                    ..base
                },
                true,
            ),
        ];
        let mut gates = vec![one];
        for (name, settings, quick) in variants {
            if self.quick && !quick {
                continue;
            }
            let running = self.gate(settings);
            cases.push(ours(name, &running));
            gates.push(running);
        }
        Some((
            Section {
                name: "decision",
                tool: Tool::Wrk(64),
                cases,
            },
            gates,
        ))
    }

    /// The decision for nginx once more, of two workers.
    pub(crate) fn few(&self) -> (Case, Running) {
        let gate = self.gate(Settings {
            server: ASKED,
            two_workers: true,
            ..Settings::default()
        });
        let mut headers = asked();
        headers.push(bearer(&gate.token));
        let url = format!("http://{}/_sidegate/auth/nginx", gate.gate.address);
        let case = case("Sidegate: 1 token", gate.gate.process(), url, headers);
        (case.refusing(bearer(WRONG)), gate)
    }

    /// Forwarding, with and without a check.
    pub(crate) fn proxy(&self) -> (Vec<Section>, Vec<Running>) {
        let tls = free_address();
        let gate = self.gate(Settings {
            tls: Some((self.certificate, tls)),
            ..Settings::default()
        });
        let plain = gate.gate.address;
        let ours = gate.gate.process();
        let (nginx, haproxy, caddy) = (self.nginx, self.haproxy, self.caddy);
        let token = || vec![bearer(&gate.token)];
        let known = || vec![bearer(&self.tokens[0])];
        let wrong = || bearer(WRONG);
        let section = |name, tool, path: &str, answer, body| {
            let url = |address: SocketAddr| format!("http://{address}{path}");
            let mut cases = vec![
                case(
                    "nginx: no check",
                    nginx.process(),
                    url(nginx.at("proxy")),
                    known(),
                ),
                case(
                    "HAProxy: map, bans, stick table",
                    haproxy.process(),
                    url(haproxy.at("map proxy")),
                    known(),
                )
                .refusing(wrong()),
                case("Sidegate: token", ours, url(plain), token()).refusing(wrong()),
            ];
            if path == "/100" {
                let more = [
                    ("nginx: map, geo, limit_req", nginx, "map proxy", true),
                    (
                        "nginx: auth_request, asked server not counted",
                        nginx,
                        "asking proxy",
                        false,
                    ),
                    ("HAProxy: no check", haproxy, "proxy", false),
                    ("Caddy: no check", caddy, "proxy", false),
                ];
                for (at, (name, peer, job, checks)) in more.into_iter().enumerate() {
                    let case = case(name, peer.process(), url(peer.at(job)), known());
                    let case = if checks { case.refusing(wrong()) } else { case };
                    cases.insert(1 + at, case);
                }
            }
            for case in &mut cases {
                case.answer = answer;
                case.body = body;
            }
            Section { name, tool, cases }
        };
        let secure = |name, tool| {
            let url = |address: SocketAddr| format!("https://{address}/100");
            let mut cases = vec![
                case(
                    "nginx: no check",
                    nginx.process(),
                    url(nginx.at("tls proxy")),
                    known(),
                ),
                case(
                    "HAProxy: map, bans, stick table",
                    haproxy.process(),
                    url(haproxy.at("tls proxy")),
                    known(),
                )
                .refusing(wrong()),
                case("Sidegate: token", ours, url(tls), token()).refusing(wrong()),
            ];
            for case in &mut cases {
                case.answer = Some(100);
            }
            Section { name, tool, cases }
        };
        let many = Tool::Wrk(64);
        let sections = vec![
            section("proxy, 100 B", many, "/100", Some(100), Body::None),
            section("proxy, 10 kB", many, "/10000", Some(10_000), Body::None),
            section(
                "proxy, 1 MB",
                Tool::Wrk(16),
                "/1000000",
                Some(1_000_000),
                Body::None,
            ),
            section("proxy, 10 kB chunked", many, "/chunked", Some(10_000), Body::None),
            section("proxy, POST of 10 kB", many, "/post", Some(2), Body::Sized),
            section(
                "proxy, POST of 10 kB chunked",
                many,
                "/post",
                Some(2),
                Body::Chunked,
            ),
            secure("proxy, 100 B, TLS in", many),
            secure("proxy, 100 B, HTTP/2 in", Tool::H2load(16, 4)),
        ];
        (sections, vec![gate])
    }

    /// A password over Basic, verified before.
    pub(crate) fn password(&self) -> (Section, Running) {
        let gate = self.gate(Settings {
            rest: "[credentials]\nbasic_passwords = true",
            password: true,
            ..Settings::default()
        });
        let right = || vec![basic("anna", PASSWORD)];
        let (nginx, haproxy, caddy) = (self.nginx, self.haproxy, self.caddy);
        let peer = |name: &str, peer: &Peer, job: &str| {
            case(
                name,
                peer.process(),
                format!("http://{}/100", peer.at(job)),
                right(),
            )
        };
        let ours = format!("http://{}/100", gate.gate.address);
        let mut cases = vec![
            peer("nginx: {SHA}", nginx, "sha proxy"),
            peer("nginx: bcrypt cost 5", nginx, "bcrypt5 proxy"),
            peer("HAProxy: SHA-256 crypt", haproxy, "basic proxy"),
            peer("Caddy: bcrypt cost 14, cached", caddy, "basic proxy"),
            case("Sidegate: Argon2id, cached", gate.gate.process(), ours, right()),
        ];
        for case in &mut cases {
            case.answer = Some(100);
            case.wrong = Some(basic("anna", "close sesame"));
        }
        let section = Section {
            name: "proxy, 100 B, password over Basic",
            tool: Tool::Wrk(64),
            cases,
        };
        (section, gate)
    }
}

/// What peers are told of tokens: as many as they hold in every case.
pub(crate) fn tokens_of_peers(quick: bool) -> Vec<String> {
    let keys = crate::load::tokens::Keys::random();
    let count = if quick { 20_000 } else { 100_000 };
    (0..count)
        .map(|number| crate::load::tokens::token(number, &keys).0)
        .collect()
}

/// The password, for those who only want to ask with it.
pub(crate) fn password_header() -> String {
    basic("anna", peers::PASSWORD).1
}
