//! Product contract, section 6: "The same request gets the same decision by every road." Every case is
//! sent to the proxy and asked by each gateway; decision, audit fields and status are compared.

#![allow(clippy::unwrap_used)]

mod support;

use support::asking::{Asked, ROADS};
use support::browser::Browser;
use support::{Answer, Backend, Sidegate, base64, eventually, mistyped};

/// A row of the table in section 6: the statuses of proxy, nginx, traefik, caddy, envoy, haproxy.
type Row = [u16; 6];

const ALLOW: Row = [200; 6];
const TUNNEL: Row = [101, 200, 200, 200, 200, 200];
const BROWSER: Row = [303, 401, 302, 302, 302, 401];
const PROGRAM: Row = [401; 6];
const DENY: Row = [403; 6];
const THROTTLE: Row = [429, 403, 429, 429, 429, 403];
const BAD: Row = [400, 403, 400, 400, 400, 403];
const NO_ROUTE: Row = [404, 403, 404, 404, 404, 403];
/// The contract has 400 for what the proxy tells more exactly: 414, 501.
const TOO_LONG: Row = [414, 403, 400, 400, 400, 403];
const NOT_SERVED: Row = [501, 403, 400, 400, 400, 403];

struct Case {
    name: &'static str,
    asked: Asked,
    row: Row,
    decision: &'static str,
    reason: &'static str,
    user: &'static str,
}

fn case(name: &'static str, asked: Asked, row: Row, decision: &'static str, reason: &'static str) -> Case {
    Case {
        name,
        asked,
        row,
        decision,
        reason,
        user: "",
    }
}

impl Case {
    fn who(mut self, user: &'static str) -> Self {
        self.user = user;
        self
    }
}

const SETTINGS: &str = r#"
server: trusted_proxies = ["127.0.0.1/32"]
[[route]]
host = "gate.test"
path = "/admin"
access = "admin"
upstream = "UPSTREAM"
[[route]]
host = "gate.test"
path = "/public"
access = "public"
upstream = "UPSTREAM"
[[route]]
host = "gate.test"
path = "/staff"
access = { groups = ["staff"] }
upstream = "UPSTREAM"
[[route]]
host = "gate.test"
path = "/query"
query_token = true
upstream = "UPSTREAM"
[[route]]
host = "gate.test"
path = "/preflight"
preflight = "pass"
upstream = "UPSTREAM"
[[route]]
host = "gate.test"
path = "/watch"
websocket = "read"
upstream = "UPSTREAM"
[[route]]
host = "gate.test"
path = "/"
upstream = "UPSTREAM"
[networks]
trusted = [{ cidr = "192.168.7.0/24", user = "guest" }]
[scope."items"]
methods = ["GET"]
paths = ["/items"]
[audit]
allowed = "all"
"#;

const PASSWORD: &str = "correct horse battery staple";

struct House {
    gate: Sidegate,
    backend: Backend,
}

impl House {
    fn new(settings: &str) -> Self {
        let backend = Backend::replying(|received| {
            if received.only("upgrade").is_some() {
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
                    .to_vec()
            } else {
                b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()
            }
        });
        let settings = settings.replace("UPSTREAM", &format!("http://{}", backend.address));
        let gate = Sidegate::start(&settings);
        gate.cli(&[
            "user",
            "add",
            "anna",
            "--name",
            "Änna",
            "--email",
            "anna@home.example",
        ])
        .success();
        for (name, role) in [
            ("bob", "user"),
            ("rita", "read-only"),
            ("dora", "user"),
            ("guest", "user"),
        ] {
            gate.cli(&["user", "add", name, "--role", role]).success();
        }
        let cora = ["user", "add", "cora", "--role", "user", "--password-stdin"];
        gate.cli_with_input(&cora, &format!("{PASSWORD}\n")).success();
        gate.cli(&["group", "add", "staff", "bob"]);
        Self { gate, backend }
    }
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// The fields that the same request must have by every road.
const SAME: [&str; 12] = [
    "decision",
    "reason",
    "rule",
    "client",
    "method",
    "host",
    "path",
    "agent",
    "user",
    "auth",
    "credential",
    "carrier",
];

fn check(house: &House, case: &Case) {
    house.backend.take();
    let sent = case
        .asked
        .clone()
        .with("User-Agent: table/1")
        .send_audited(&house.gate);
    let reached = house.backend.take();
    let proxy = &sent[0].1;
    // The proxy forwards what is allowed, and a question forwards nothing.
    let questions = reached
        .iter()
        .filter(|received| received.line.contains("/_sidegate/"))
        .count();
    assert_eq!(
        (!reached.is_empty(), questions),
        (case.decision == "allow", 0),
        "{}: {reached:?}",
        case.name
    );
    for ((road, status), (answer, line)) in ROADS.iter().zip(case.row).zip(&sent) {
        let context = format!("{} by {road}", case.name);
        assert_eq!(answer.status, status, "{context}: {answer:?}");
        assert_eq!(line["decision"], case.decision, "{context}: {line}");
        assert_eq!(
            line["reason"].as_str().unwrap_or(""),
            case.reason,
            "{context}: {line}"
        );
        assert_eq!(
            line["user"].as_str().unwrap_or(""),
            case.user,
            "{context}: {line}"
        );
        assert_eq!(line["road"], *road, "{context}: {line}");
        if case.decision != "allow" {
            assert_eq!(line["status"], status, "{context}: {line}");
        }
        if *road == "proxy" {
            continue;
        }
        for field in SAME {
            // The proxy's strict gate refuses before it knows host and client, where a dialect has
            // been told already.
            let known = match field {
                "host" => proxy["host"].is_string(),
                "client" => proxy["client"] != "127.0.0.1",
                _ => true,
            };
            assert!(
                !known || line[field] == proxy[field],
                "{context}: {field}\n{line}\n{proxy}"
            );
        }
        check_form(&context, case, answer);
    }
}

/// "Decision answers have no body and always carry every identity header of the preset, empty
/// when unknown."
fn check_form(context: &str, case: &Case, answer: &Answer) {
    assert_eq!(answer.body, b"", "{context}");
    assert_eq!(answer.all("content-length"), ["0"], "{context}");
    assert_eq!(answer.all("cache-control"), ["no-store"], "{context}");
    let allowed = case.decision == "allow";
    for name in ["remote-user", "remote-groups", "remote-name", "remote-email"] {
        assert_eq!(answer.all(name).len(), 1, "{context}: {name} {answer:?}");
    }
    assert_eq!(
        answer.header("remote-user"),
        Some(if allowed { case.user } else { "" }),
        "{context}"
    );
    assert_eq!(
        answer.header("x-auth-error").is_some(),
        case.decision == "reject",
        "{context}: {answer:?}"
    );
    let browser = case.row == BROWSER;
    assert_eq!(
        answer.header("location").is_some(),
        browser,
        "{context}: {answer:?}"
    );
    assert_eq!(
        answer.header("x-auth-location").is_some(),
        browser && answer.status == 401,
        "{context}"
    );
    assert_eq!(
        answer.header("retry-after").is_some(),
        case.decision == "throttle",
        "{context}"
    );
    let challenges = answer.all("www-authenticate");
    assert_eq!(
        challenges.is_empty(),
        answer.status != 401,
        "{context}: {challenges:?}"
    );
    if answer.status == 401 {
        assert_eq!(challenges[0], "Bearer realm=\"sidegate\"", "{context}");
    }
}

#[test]
fn the_same_request_gets_the_same_decision_by_every_road() {
    let house = House::new(SETTINGS);
    let gate = &house.gate;
    let anna = gate.token("anna", "phone");
    let bob = gate.token("bob", "phone");
    let rita = gate.token("rita", "phone");
    let items = gate
        .cli(&["token", "create", "items", "--user", "bob", "--scope", "items"])
        .success()
        .stdout;
    let items = items.trim_end();
    let near = gate
        .cli(&[
            "token",
            "create",
            "near",
            "--user",
            "bob",
            "--network",
            "10.0.0.0/8",
        ])
        .success()
        .stdout;
    let near = near.trim_end();
    let brief = gate
        .cli(&["token", "create", "brief", "--user", "bob", "--expires", "1s"])
        .success()
        .stdout;
    let brief = brief.trim_end();
    let revoked = gate.token("bob", "lost");
    gate.cli(&["token", "revoke", "lost", "--user", "bob"]).success();
    let disabled = gate.token("dora", "phone");
    gate.cli(&["user", "disable", "dora"]).success();
    gate.cli(&["ban", "add", "203.0.113.0/24"]).success();
    // Well-formed, and never existed here.
    let stranger = Sidegate::prepare("");
    stranger.cli(&["user", "add", "bob"]).success();
    let wrong = stranger.token("bob", "phone");
    let mistyped = mistyped(&bob);
    eventually(
        || gate.get("/", &[&bearer(brief)]).status == 401,
        || "a token of one second does not end".into(),
    );
    let session = {
        let mut browser = Browser::new(gate.address);
        assert_eq!(browser.login("cora", PASSWORD).status, 303);
        format!("Cookie: a=1; sidegate={}; b=2", browser.session().unwrap())
    };
    let dead = format!("Cookie: sidegate={}", "A".repeat(43));
    let own_page = "Origin: http://gate.test";
    let other_page = "Origin: https://a.example";
    house.backend.take();

    // Clients of their own, so that no case counts for another.
    let clients = std::cell::Cell::new(0);
    let get = |target: &str| {
        clients.set(clients.get() + 1);
        Asked::get(target, &format!("192.0.2.{}", clients.get()))
    };
    let page = "Sec-Fetch-Mode: navigate";
    let socket = |asked: Asked| {
        asked
            .with("Upgrade: websocket")
            .with("Sec-WebSocket-Version: 13")
            .with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    };
    let carried = {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD_NO_PAD.encode(&bob)
    };
    let long = format!("/{}", "a".repeat(9000));
    let cases = [
        case("no credential", get("/api"), PROGRAM, "challenge", "none"),
        case(
            "Bearer",
            get("/api?a=1&b=%20").with(bearer(&anna)),
            ALLOW,
            "allow",
            "",
        )
        .who("anna"),
        case(
            "X-OPENHAB-TOKEN",
            get("/api").with(format!("X-OPENHAB-TOKEN: {bob}")),
            ALLOW,
            "allow",
            "",
        )
        .who("bob"),
        case(
            "Basic",
            get("/api").with(format!("Authorization: Basic {}", base64(&format!("{bob}:")))),
            ALLOW,
            "allow",
            "",
        )
        .who("bob"),
        case(
            "query token",
            get(&format!("/query?accessToken={bob}")),
            ALLOW,
            "allow",
            "",
        )
        .who("bob"),
        case(
            "query token elsewhere",
            get(&format!("/api?accessToken={bob}")),
            PROGRAM,
            "challenge",
            "none",
        ),
        case(
            "WebSocket",
            socket(get("/ws")).with(bearer(&bob)),
            TUNNEL,
            "allow",
            "",
        )
        .who("bob"),
        case(
            "WebSocket sub-protocol",
            socket(get("/ws")).with(format!(
                "Sec-WebSocket-Protocol: org.openhab.ws.accessToken.base64.{carried}"
            )),
            TUNNEL,
            "allow",
            "",
        )
        .who("bob"),
        case(
            "WebSocket without credential",
            socket(get("/ws")),
            PROGRAM,
            "challenge",
            "none",
        ),
        case(
            "WebSocket of a reader",
            socket(get("/ws")).with(bearer(&rita)),
            DENY,
            "deny",
            "read-only",
        )
        .who("rita"),
        case(
            "WebSocket that reads",
            socket(get("/watch")).with(bearer(&rita)),
            TUNNEL,
            "allow",
            "",
        )
        .who("rita"),
        case(
            "wrong",
            get("/api").with(bearer(&wrong)),
            PROGRAM,
            "challenge",
            "token-unknown",
        ),
        case(
            "mistyped",
            get("/api").with(bearer(&mistyped)),
            PROGRAM,
            "challenge",
            "token-malformed",
        ),
        case(
            "revoked",
            get("/api").with(bearer(&revoked)),
            PROGRAM,
            "challenge",
            "token-revoked",
        ),
        case(
            "expired",
            get("/api").with(bearer(brief)),
            PROGRAM,
            "challenge",
            "token-expired",
        ),
        case(
            "disabled",
            get("/api").with(bearer(&disabled)),
            PROGRAM,
            "challenge",
            "user-disabled",
        ),
        case(
            "from elsewhere",
            get("/api").with(bearer(near)),
            PROGRAM,
            "challenge",
            "token-source-network",
        )
        .who("bob"),
        case(
            "in scope",
            get("/items/1").with(bearer(items)),
            ALLOW,
            "allow",
            "",
        )
        .who("bob"),
        case(
            "out of scope",
            get("/api").with(bearer(items)),
            DENY,
            "deny",
            "scope",
        )
        .who("bob"),
        case(
            "scope has no POST",
            get("/items/1").by("POST").with(bearer(items)),
            DENY,
            "deny",
            "scope",
        )
        .who("bob"),
        case(
            "read-only GET",
            get("/api").with(bearer(&rita)),
            ALLOW,
            "allow",
            "",
        )
        .who("rita"),
        case(
            "read-only HEAD",
            get("/api").by("HEAD").with(bearer(&rita)),
            ALLOW,
            "allow",
            "",
        )
        .who("rita"),
        case(
            "read-only POST",
            get("/api").by("POST").with(bearer(&rita)),
            DENY,
            "deny",
            "read-only",
        )
        .who("rita"),
        case(
            "PROPFIND of a user",
            get("/dav").by("PROPFIND").with(bearer(&bob)),
            ALLOW,
            "allow",
            "",
        )
        .who("bob"),
        case(
            "wrong group",
            get("/staff").with(bearer(&anna)),
            DENY,
            "deny",
            "users-groups",
        )
        .who("anna"),
        case(
            "admin route",
            get("/admin/x").with(bearer(&anna)),
            ALLOW,
            "allow",
            "",
        )
        .who("anna"),
        case(
            "admin route by a user",
            get("/admin/x").with(bearer(&bob)),
            DENY,
            "deny",
            "role",
        )
        .who("bob"),
        case(
            "admin route spelled otherwise",
            get("/%61dmin").with(bearer(&bob)),
            DENY,
            "deny",
            "role",
        )
        .who("bob"),
        case("public", get("/public"), ALLOW, "allow", ""),
        case(
            "public with a right token",
            get("/public").with(bearer(&bob)),
            ALLOW,
            "allow",
            "",
        )
        .who("bob"),
        case(
            "public with a wrong token",
            get("/public").with(bearer(&wrong)),
            PROGRAM,
            "challenge",
            "token-unknown",
        ),
        case(
            "publicity is not public",
            get("/publicity"),
            PROGRAM,
            "challenge",
            "none",
        ),
        case(
            "trusted network",
            Asked::get("/api", "192.168.7.9"),
            ALLOW,
            "allow",
            "",
        )
        .who("guest"),
        case(
            "trusted network with a wrong token",
            Asked::get("/api", "192.168.7.9").with(bearer(&wrong)),
            PROGRAM,
            "challenge",
            "token-unknown",
        ),
        case(
            "banned",
            Asked::get("/api", "203.0.113.9"),
            THROTTLE,
            "throttle",
            "banned",
        ),
        case(
            "banned with a known token",
            Asked::get("/api", "203.0.113.9").with(bearer(&bob)),
            ALLOW,
            "allow",
            "",
        )
        .who("bob"),
        case(
            "Bearer without a token",
            get("/api").with("Authorization: Bearer"),
            PROGRAM,
            "challenge",
            "bearer-empty",
        ),
        case(
            "Bearer of several words",
            get("/api").with("Authorization: Bearer a b"),
            PROGRAM,
            "challenge",
            "bearer-several-words",
        ),
        case(
            "Basic that is none",
            get("/api").with("Authorization: Basic %%%"),
            PROGRAM,
            "challenge",
            "basic-not-base64",
        ),
        case(
            "foreign Authorization",
            get("/api").with(bearer("abc")),
            PROGRAM,
            "challenge",
            "none",
        ),
        case(
            "foreign Authorization on public",
            get("/public").with(bearer("abc")),
            ALLOW,
            "allow",
            "",
        ),
        case(
            "navigation",
            get("/a?b=c").with(page),
            BROWSER,
            "challenge",
            "none",
        ),
        case(
            "navigation by Accept",
            get("/a").with("Accept: text/html"),
            BROWSER,
            "challenge",
            "none",
        ),
        case(
            "HEAD navigation",
            get("/a").by("HEAD").with(page),
            BROWSER,
            "challenge",
            "none",
        ),
        case(
            "POST by a browser",
            get("/a").by("POST").with(page),
            PROGRAM,
            "challenge",
            "none",
        ),
        case(
            "fetch by a browser",
            get("/a").with("Sec-Fetch-Mode: cors").with("Accept: text/html"),
            PROGRAM,
            "challenge",
            "none",
        ),
        case(
            "navigation with a wrong token",
            get("/a").with(page).with(bearer(&wrong)),
            PROGRAM,
            "challenge",
            "token-unknown",
        ),
        case("session", get("/api").with(&*session), ALLOW, "allow", "").who("cora"),
        case(
            "session beside a wrong token",
            get("/api").with(&*session).with(bearer(&wrong)),
            PROGRAM,
            "challenge",
            "token-unknown",
        ),
        case(
            "session of a page of ours",
            get("/api").by("POST").with(&*session).with(own_page),
            ALLOW,
            "allow",
            "",
        )
        .who("cora"),
        case(
            "session of a page of others",
            get("/api").by("POST").with(&*session).with(other_page),
            DENY,
            "deny",
            "csrf",
        )
        .who("cora"),
        case(
            "session of nobody knows which page",
            get("/api").by("DELETE").with(&*session),
            DENY,
            "deny",
            "csrf",
        )
        .who("cora"),
        case(
            "WebSocket of a page of others",
            socket(get("/ws")).with(&*session).with(other_page),
            DENY,
            "deny",
            "csrf",
        )
        .who("cora"),
        case(
            "WebSocket of a page of ours",
            socket(get("/ws")).with(&*session).with(own_page),
            TUNNEL,
            "allow",
            "",
        )
        .who("cora"),
        case(
            "dead session",
            get("/api").with(&*dead),
            PROGRAM,
            "challenge",
            "none",
        ),
        case(
            "dead session of a browser",
            get("/a").with(page).with(&*dead),
            BROWSER,
            "challenge",
            "none",
        ),
        case(
            "dead session on public",
            get("/public").with(&*dead),
            ALLOW,
            "allow",
            "",
        ),
        case(
            "dead session in a trusted network",
            Asked::get("/api", "192.168.7.10").with(&*dead),
            ALLOW,
            "allow",
            "",
        )
        .who("guest"),
        case(
            "two sessions",
            get("/api").with(&*session).with(&*session),
            PROGRAM,
            "challenge",
            "none",
        ),
        case(
            "preflight",
            get("/preflight")
                .by("OPTIONS")
                .with("Origin: https://a.example")
                .with("Access-Control-Request-Method: PUT"),
            ALLOW,
            "allow",
            "",
        ),
        case(
            "preflight elsewhere",
            get("/api")
                .by("OPTIONS")
                .with("Origin: https://a.example")
                .with("Access-Control-Request-Method: PUT"),
            PROGRAM,
            "challenge",
            "none",
        ),
        case(
            "two Authorization",
            get("/api").with(bearer(&bob)).with(bearer(&bob)),
            BAD,
            "reject",
            "header:duplicate-authorization",
        ),
        case(
            "two token headers",
            get("/api")
                .with(format!("X-OPENHAB-TOKEN: {bob}"))
                .with(format!("X-OPENHAB-TOKEN: {bob}")),
            BAD,
            "reject",
            "header:duplicate-token",
        ),
        case(
            "double slash",
            get("/a//b").with(bearer(&bob)),
            BAD,
            "reject",
            "path:double-slash",
        ),
        case(
            "dot segment",
            get("/public/../admin").with(bearer(&bob)),
            BAD,
            "reject",
            "path:dot-segment",
        ),
        case(
            "encoded dot segment",
            get("/public/%2e%2E/admin").with(bearer(&bob)),
            BAD,
            "reject",
            "path:dot-segment",
        ),
        case(
            "encoded slash",
            get("/public%2Fx").with(bearer(&bob)),
            BAD,
            "reject",
            "path:encoded-slash",
        ),
        case(
            "parameter",
            get("/a;b=c").with(bearer(&bob)),
            BAD,
            "reject",
            "path:params",
        ),
        case(
            "encoded twice",
            get("/a%252e").with(bearer(&bob)),
            BAD,
            "reject",
            "path:double-encoding",
        ),
        case(
            "control character",
            get("/a%00").with(bearer(&bob)),
            BAD,
            "reject",
            "path:control",
        ),
        case(
            "broken escape",
            get("/a%zz").with(bearer(&bob)),
            BAD,
            "reject",
            "path:bad-percent",
        ),
        case(
            "too long",
            get(&long).with(bearer(&bob)),
            TOO_LONG,
            "reject",
            "target:too-long",
        ),
        case(
            "lower-case method",
            get("/a").by("get").with(bearer(&bob)),
            BAD,
            "reject",
            "method:case",
        ),
        case(
            "TRACE",
            get("/a").by("TRACE").with(bearer(&bob)),
            NOT_SERVED,
            "reject",
            "method:not-implemented",
        ),
        case(
            "WebSocket by POST",
            socket(get("/ws")).by("POST").with(bearer(&bob)),
            BAD,
            "reject",
            "upgrade:method",
        ),
        case(
            "two Upgrade",
            socket(get("/ws")).with("Upgrade: websocket").with(bearer(&bob)),
            BAD,
            "reject",
            "upgrade:duplicate",
        ),
        case(
            "no address as client",
            Asked::get("/a", "a").with(bearer(&bob)),
            BAD,
            "reject",
            "xff:address",
        ),
        case(
            "no route",
            Asked {
                host: "other.test",
                ..get("/a")
            },
            NO_ROUTE,
            "reject",
            "no-route",
        ),
    ];
    // All of them, so that one run shows every difference.
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&house, case)));
            outcome.err().map(|why| {
                why.downcast_ref::<String>()
                    .cloned()
                    .unwrap_or_else(|| "panicked".into())
            })
        })
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {} cases:\n{}",
        failed.len(),
        cases.len(),
        failed.join("\n")
    );
    assert!(cases.len() >= 60);
}
