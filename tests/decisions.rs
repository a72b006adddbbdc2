//! Decision endpoints: who may ask, what a question must have, and what its answer says.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use support::asking::{Asked, ROADS};
use support::{Answer, Backend, Sidegate, connect, eventually, free_port};

const TRUSTED: &str = "server: trusted_proxies = [\"127.0.0.1/32\"]\n";

const IDENTITY: [&str; 4] = ["remote-user", "remote-groups", "remote-name", "remote-email"];

fn gateways() -> impl Iterator<Item = &'static str> {
    ROADS.into_iter().filter(|road| *road != "proxy")
}

/// Without any route, with the owner anna.
fn gate(settings: &str) -> Sidegate {
    let gate = Sidegate::start(&format!("{TRUSTED}{settings}"));
    gate.cli(&[
        "user",
        "add",
        "anna",
        "--name",
        "Änna M",
        "--email",
        "anna@home.example",
    ])
    .success();
    gate
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

fn ask(gate: &Sidegate, text: &str) -> Answer {
    gate.raw(text.replace('\n', "\r\n").as_bytes())
}

// Section 8: "Without any `[[route]]` the decision endpoints use `access = "user"`"; section 6:
// "always carry every identity header of the preset"; section 5: "Non-ASCII is percent-encoded UTF-8"
#[test]
fn without_routes_any_user_is_allowed_and_named() {
    let gate = gate("");
    let token = gate.token("anna", "phone");
    for road in gateways() {
        let allowed = Asked::get("/any/where?a=1", "192.0.2.1")
            .with(bearer(&token))
            .send(&gate, road);
        assert_eq!(allowed.status, 200, "{road}: {allowed:?}");
        let told: Vec<_> = IDENTITY.iter().map(|name| allowed.all(name)).collect();
        assert_eq!(
            told,
            [["anna"], ["owner"], ["%C3%84nna M"], ["anna@home.example"]],
            "{road}"
        );
        assert_eq!(allowed.all("content-length"), ["0"], "{road}");
        let refused = Asked::get("/any/where", "192.0.2.1").send(&gate, road);
        assert_eq!(refused.status, 401, "{road}");
        let told: Vec<_> = IDENTITY.iter().map(|name| refused.all(name)).collect();
        assert_eq!(told, [[""], [""], [""], [""]], "{road}");
    }
    // In proxy mode there is nothing to forward to.
    assert_eq!(
        Asked::get("/any", "192.0.2.1")
            .with(bearer(&token))
            .send(&gate, "proxy")
            .status,
        404
    );
}

// Section 8: "a route without one serves forward-auth only"
#[test]
fn a_route_without_an_upstream_serves_gateways_only() {
    let gate = gate("[[route]]\npath = \"/app\"\naccess = \"admin\"\n");
    let token = gate.token("anna", "phone");
    for road in gateways() {
        assert_eq!(
            Asked::get("/app", "192.0.2.1")
                .with(bearer(&token))
                .send(&gate, road)
                .status,
            200,
            "{road}"
        );
    }
    assert_eq!(
        Asked::get("/app", "192.0.2.1")
            .with(bearer(&token))
            .send(&gate, "proxy")
            .status,
        404
    );
}

// Section 4: "Decision endpoints answer trusted proxies only, all others 403"
#[test]
fn a_stranger_learns_nothing_and_the_log_says_what_to_do() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(
        &backend,
        "server: trusted_proxies = [\"192.0.2.10/32\"]\n[audit]\nallowed = \"all\"\n",
    );
    let token = gate.token("anna", "phone");
    for road in gateways() {
        let answer = Asked::get("/", "192.168.1.2")
            .with(bearer(&token))
            .send(&gate, road);
        assert_eq!(answer.status, 403, "{road}: {answer:?}");
        assert_eq!(answer.header("remote-user"), Some(""), "{road}");
        let line = gate.audit_of(&answer);
        eventually(
            || gate.audit_of(&answer).is_some(),
            || format!("no audit line: {line:?}"),
        );
        let line = gate.audit_of(&answer).unwrap();
        // What a stranger says of itself or of a request counts for nothing.
        assert_eq!(line["client"], "127.0.0.1", "{line}");
        assert!(
            line["path"].as_str().unwrap().starts_with("/_sidegate/auth/"),
            "{line}"
        );
        assert_eq!(
            (&line["decision"], &line["reason"]),
            (&"reject".into(), &"untrusted-peer".into())
        );
    }
    gate.await_log("server.trusted_proxies");
    gate.await_log("peer=127.0.0.1");
    for path in [
        "/_sidegate/auth",
        "/_sidegate/auth/",
        "/_sidegate/auth/apache",
        "/_sidegate/auth/nginx/x",
    ] {
        assert_eq!(gate.get(path, &[&bearer(&token)]).status, 403, "{path}");
    }
    assert_eq!(gate.get("/_sidegate/authors", &[&bearer(&token)]).status, 404);
    assert!(backend.take().is_empty());
}

// Brief of this table: "missing, doubled or malformed metadata is a denial (dialect's status per
// the table, `X-Auth-Error`) with a log line that names the exact gateway directive to add".
// R-017: "empty, `*`, `//`, `http://[::1`, `%`, 9 KB, NUL, missing header, two headers -> never 2xx"
#[test]
fn metadata_that_is_missing_doubled_or_malformed_is_refused_with_the_directive_to_add() {
    let gate = gate("[[route]]\npath = \"/\"\naccess = \"public\"\n");
    let long = format!("http://gate.test/{}", "a".repeat(9 * 1024));
    let original = |url: &str, method: &str| format!("{url}{method}X-Forwarded-For: 192.0.2.1\n");
    let url = |value: &str| format!("X-Original-URL: {value}\n");
    let method = "X-Original-Method: GET\n";
    let directive = "proxy_set_header X-Original-URL $scheme://$http_host$request_uri;";
    for (road, status) in [("nginx", 403), ("haproxy", 403)] {
        for (lines, error) in [
            (original("", method), "metadata:missing"),
            (original(&url("http://gate.test/"), ""), "metadata:missing"),
            (
                original(&url("http://gate.test/").repeat(2), method),
                "metadata:duplicate",
            ),
            (
                original(&url("http://gate.test/"), &method.repeat(2)),
                "metadata:duplicate",
            ),
            (original(&url(""), method), "metadata:malformed"),
            (original(&url("*"), method), "metadata:malformed"),
            (original(&url("/"), method), "metadata:malformed"),
            (original(&url("//gate.test/"), method), "metadata:malformed"),
            (original(&url("ftp://gate.test/"), method), "metadata:malformed"),
            (original(&url("http://gate.test"), method), "metadata:malformed"),
            (original(&url("http:///"), method), "host:empty"),
            (original(&url("http://[::1/"), method), "host:address"),
            (original(&url("http://anna@gate.test/"), method), "host:userinfo"),
            (
                original(&url("http://gate.test,evil.test/"), method),
                "host:character",
            ),
            (original(&url("http://gate.test?a"), method), "path:not-absolute"),
            (original(&url("http://gate.test/#a"), method), "target:form"),
            (original(&url("http://gate.test/%"), method), "path:bad-percent"),
            (original(&url("http://gate.test/a b"), method), "target:form"),
            (
                original(&url("http://gate.test/\u{e4}"), method),
                "metadata:malformed",
            ),
            (original(&url(&long), method), "target:too-long"),
            (
                original(&url("http://gate.test/"), "X-Original-Method: \n"),
                "metadata:malformed",
            ),
            (
                original(&url("http://gate.test/"), "X-Original-Method: G T\n"),
                "metadata:malformed",
            ),
            (
                original(&url("http://gate.test/"), "X-Original-Method: CONNECT\n"),
                "method:not-implemented",
            ),
            // Another family says nothing here.
            (
                original(
                    "X-Forwarded-Uri: /\nX-Forwarded-Host: gate.test\nX-Forwarded-Method: GET\n",
                    "",
                ),
                "metadata:missing",
            ),
            // "`X-Original-URI` is never read"
            (original("X-Original-URI: /\n", method), "metadata:missing"),
        ] {
            let answer = ask(
                &gate,
                &format!("GET /_sidegate/auth/{road} HTTP/1.1\nHost: h\nConnection: close\n{lines}\n"),
            );
            assert_eq!(
                (answer.status, answer.header("x-auth-error")),
                (status, Some(error)),
                "{road}: {lines}"
            );
        }
    }
    gate.await_log(directive);
    gate.await_log("proxy_set_header X-Original-Method $request_method;");
    gate.await_log("http-request set-header X-Original-Method %[method]");

    let whole = [
        "X-Forwarded-Method: GET\n",
        "X-Forwarded-Proto: http\n",
        "X-Forwarded-Host: gate.test\n",
        "X-Forwarded-Uri: /\n",
    ];
    for road in ["traefik", "caddy"] {
        let send = |lines: &str| {
            ask(
                &gate,
                &format!(
                    "GET /_sidegate/auth/{road} HTTP/1.1\nHost: h\nConnection: close\n{lines}X-Forwarded-For: 192.0.2.1\n\n"
                ),
            )
        };
        assert_eq!(send(&whole.concat()).status, 200);
        for index in 0..4 {
            let mut lines = whole;
            lines[index] = "";
            let missing = send(&lines.concat());
            assert_eq!(
                (missing.status, missing.header("x-auth-error")),
                (400, Some("metadata:missing")),
                "{lines:?}"
            );
            let twice = send(&format!("{}{}", whole.concat(), whole[index]));
            assert_eq!(
                (twice.status, twice.header("x-auth-error")),
                (400, Some("metadata:duplicate")),
                "{road}"
            );
        }
        for (index, line) in [
            (0, "X-Forwarded-Method: \n"),
            (0, "X-Forwarded-Method: get\n"),
            (1, "X-Forwarded-Proto: javascript\n"),
            (1, "X-Forwarded-Proto: http, https\n"),
            (2, "X-Forwarded-Host: \n"),
            (2, "X-Forwarded-Host: a,b\n"),
            (3, "X-Forwarded-Uri: \n"),
            (3, "X-Forwarded-Uri: *\n"),
            (3, "X-Forwarded-Uri: //\n"),
            (3, "X-Forwarded-Uri: ?a\n"),
            (3, "X-Forwarded-Uri: http://gate.test/\n"),
            (3, "X-Forwarded-Uri: /%00\n"),
            (3, "X-Forwarded-Uri: /a#b\n"),
        ] {
            let mut lines = whole;
            lines[index] = line;
            let answer = send(&lines.concat());
            assert_eq!(answer.status, 400, "{road} {line}: {answer:?}");
            assert!(answer.header("x-auth-error").is_some());
        }
    }
    gate.await_log("Traefik's forwardAuth sends it by itself");
    gate.await_log("header_up X-Forwarded-Uri {uri}");

    for (target, error) in [
        ("", "metadata:missing"),
        ("?a=1", "metadata:missing"),
        ("//", "path:double-slash"),
    ] {
        let answer = ask(
            &gate,
            &format!("GET /_sidegate/auth/envoy{target} HTTP/1.1\nHost: h\nConnection: close\n\n"),
        );
        assert_eq!(
            (answer.status, answer.header("x-auth-error")),
            (400, Some(error)),
            "{target}"
        );
    }
    gate.await_log("path_prefix");
}

// R-013: "send `X-Original-URI: /_us/callback`, `X-Forwarded-Uri: /public` as extra -> decision
// unaffected. Our own endpoints are never "allowed" through the decision endpoint"
#[test]
fn what_a_client_adds_to_the_metadata_changes_nothing_and_is_told_once() {
    let gate = gate("[[route]]\npath = \"/public\"\naccess = \"public\"\n[[route]]\npath = \"/\"\n");
    for road in gateways() {
        let forged = |asked: Asked| match road {
            "traefik" | "caddy" => asked
                .with("X-Original-URL: http://gate.test/public")
                .with("X-Original-Method: GET"),
            _ => asked
                .with("X-Forwarded-Uri: /public")
                .with("X-Forwarded-Method: GET")
                .with("X-Forwarded-Host: h"),
        };
        let asked = forged(Asked::get("/private", "192.0.2.1"))
            .with("X-Original-URI: /public")
            .with("X_Original_URL: http://gate.test/public")
            .with("X-Rewrite-URL: /public")
            .with("Forwarded: for=127.0.0.1;proto=https");
        for _ in 0..3 {
            assert_eq!(asked.send(&gate, road).status, 401, "{road}");
        }
        let line = format!("road={road} header=x-original-uri");
        gate.await_log(&line);
        let told = gate.log().matches(&line).count();
        assert_eq!(told, 1, "{road}: {}", gate.log());
        assert_eq!(
            forged(Asked::get("/public", "192.0.2.1"))
                .send(&gate, road)
                .status,
            200,
            "{road}"
        );
        let ours = Asked::get("/_sidegate/login", "192.0.2.1").send(&gate, road);
        assert!(matches!(ours.status, 403 | 404), "{road}: {ours:?}");
    }
}

// Section 4: "`/_sidegate/auth` reads the dialect from the metadata and denies when two families
// are present"
#[test]
fn the_common_endpoint_reads_the_dialect_from_the_metadata() {
    let gate = gate("");
    let token = gate.token("anna", "phone");
    let navigation = |road: &str, extra: &str| {
        let bytes = Asked::get("/a", "192.0.2.1")
            .with("Sec-Fetch-Mode: navigate")
            .bytes(road);
        let text = String::from_utf8(bytes)
            .unwrap()
            .replace(&format!("/_sidegate/auth/{road}"), "/_sidegate/auth");
        gate.raw(text.replace("\r\n\r\n", &format!("\r\n{extra}\r\n")).as_bytes())
    };
    assert_eq!(navigation("nginx", "").status, 401);
    assert_eq!(navigation("traefik", "").status, 302);
    assert_eq!(
        navigation("nginx", &format!("{}\r\n", bearer(&token))).status,
        200
    );
    let two = navigation("nginx", &format!("{}\r\nX-Forwarded-Uri: /\r\n", bearer(&token)));
    assert_eq!(
        (two.status, two.header("x-auth-error")),
        (403, Some("metadata:two-families"))
    );
    let two = navigation(
        "traefik",
        &format!("{}\r\nX-Original-URL: http://gate.test/\r\n", bearer(&token)),
    );
    assert_eq!(
        (two.status, two.header("x-auth-error")),
        (403, Some("metadata:two-families"))
    );
    let none = gate.get("/_sidegate/auth", &[&bearer(&token)]);
    assert_eq!(
        (none.status, none.header("x-auth-error")),
        (403, Some("metadata:missing"))
    );
    gate.await_log("ask the endpoint of your gateway");
}

// R-058 and 1.7: "our decision endpoint must answer without waiting for a body"
#[test]
fn a_body_is_never_waited_for() {
    let gate = gate("");
    let token = gate.token("anna", "phone");
    for (road, framing) in [
        ("nginx", "Content-Length: 10"),
        ("traefik", "Transfer-Encoding: chunked"),
        ("caddy", "Content-Length: 1000000"),
    ] {
        let text = String::from_utf8(Asked::get("/", "192.0.2.1").with(bearer(&token)).bytes(road)).unwrap();
        let mut stream = connect(gate.address);
        let began = Instant::now();
        stream
            .write_all(
                text.replace("\r\n\r\n", &format!("\r\n{framing}\r\n\r\n"))
                    .as_bytes(),
            )
            .unwrap();
        assert_eq!(Answer::read(&mut stream).status, 200, "{road}");
        // The head's time limit is ten seconds, that of an idle body more.
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{road}: {:?}",
            began.elapsed()
        );
    }
}

// Gateways contract: "Upgrade headers may be present: never treat the check as a WebSocket"
#[test]
fn a_question_is_never_upgraded_and_its_connection_stays() {
    let gate = gate("");
    let token = gate.token("anna", "phone");
    let socket = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for road in gateways() {
        let text =
            String::from_utf8(Asked::get("/ws", "192.0.2.1").with(bearer(&token)).bytes(road)).unwrap();
        let text = text.replace("Connection: close\r\n", socket);
        let stream = connect(gate.address);
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        for turn in 0..2 {
            (&stream).write_all(text.as_bytes()).unwrap();
            let answer = Answer::read_from(&mut reader);
            assert_eq!(answer.status, 200, "{road}, turn {turn}: {answer:?}");
        }
    }
}

// Section 9: "A WebSocket needs WRITE unless the route says `websocket = "read"`", also where the gateway keeps
// `Upgrade` to itself, as most do
#[test]
fn the_key_of_a_handshake_tells_that_a_websocket_is_asked_about() {
    let gate = gate("[[route]]\npath = \"/watch\"\nwebsocket = \"read\"\n[[route]]\npath = \"/\"\n");
    gate.cli(&["user", "add", "rita", "--role", "read-only"])
        .success();
    let rita = bearer(&gate.token("rita", "phone"));
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    for road in gateways() {
        let ask = |method: &'static str, path: &str, lines: &[&str]| {
            let asked = Asked::get(path, "192.0.2.1").by(method).with(&*rita);
            lines
                .iter()
                .fold(asked, |asked, line| asked.with(*line))
                .send(&gate, road)
                .status
        };
        assert_eq!(ask("GET", "/ws", &[]), 200, "{road}");
        assert_eq!(ask("GET", "/ws", &[key]), 403, "{road}");
        assert_eq!(ask("GET", "/watch", &[key]), 200, "{road}");
        // A key does not make a read of what is none.
        assert_eq!(ask("POST", "/watch", &[key]), 403, "{road}");
        // Another upgrade than to WebSocket is none.
        assert_eq!(ask("GET", "/ws", &["Upgrade: h2c"]), 200, "{road}");
        // One of several is, and so is any with a key.
        for lines in [
            &["Upgrade: WebSocket"][..],
            &["Upgrade: h2c, websocket"],
            &["Upgrade: h2c", key],
            &["Upgrade:", key],
        ] {
            assert_eq!(ask("GET", "/ws", lines), 403, "{road} {lines:?}");
        }
        let page = Asked::get("/ws", "192.0.2.1")
            .with(key)
            .with("Accept: text/html")
            .send(&gate, road);
        assert_eq!(
            page.status, 401,
            "{road}: nobody follows a redirect with a WebSocket"
        );
    }
}

// Section 4, "Login address": "`public_url` + prefix, else scheme and host of the asked request + prefix;
// always absolute in decisions; return parameter `rd`"
#[test]
fn the_login_address_is_absolute_and_leads_back() {
    let asked = Asked {
        scheme: "https",
        host: "app.test:8443",
        ..Asked::get("/a%20b?c=d&e", "192.0.2.1")
    }
    .with("Sec-Fetch-Mode: navigate");
    let back = "https%3A%2F%2Fapp.test%3A8443%2Fa%2520b%3Fc%3Dd%26e";
    let here = gate("");
    let named = gate("server: public_url = \"https://login.test\"\nserver: prefix = \"/_sidegate\"\n");
    for road in gateways() {
        let location = |gate: &Sidegate| asked.send(gate, road).header("location").map(str::to_owned);
        assert_eq!(
            location(&here),
            Some(format!("https://app.test:8443/_sidegate/login?rd={back}")),
            "{road}"
        );
        assert_eq!(
            location(&named),
            Some(format!("https://login.test/_sidegate/login?rd={back}")),
            "{road}"
        );
    }
}

// Section 6.3: a browser gets "a redirect to the login page", from an address too long to be led back to as well
#[test]
fn a_browser_at_a_long_address_comes_to_the_login_page() {
    let gate = gate("");
    let address = format!("/d/dash?{}", "var-p=value%20x&".repeat(375));
    for road in gateways() {
        let asked = Asked::get(&address, "192.0.2.1").with("Sec-Fetch-Mode: navigate");
        let location = asked
            .send(&gate, road)
            .header("location")
            .map(str::to_owned)
            .unwrap_or_default();
        let page = location.split_once("/_sidegate/").map(|(_, page)| page);
        assert_eq!(page, Some("login"), "{road}");
    }
    assert_eq!(gate.get("/_sidegate/login", &["Accept: text/html"]).status, 200);
}

// Section 6.3: "`Basic` is added only when the request has no `Sec-Fetch-*`, `Origin` or `X-Requested-With`"
#[test]
fn basic_is_offered_to_programs_only() {
    let gate = gate("");
    for road in gateways() {
        let challenges = |header: &str| {
            let answer = Asked::get("/", "192.0.2.1").with(header).send(&gate, road);
            assert_eq!(answer.status, 401, "{road}");
            answer.all("www-authenticate").len()
        };
        assert_eq!(challenges("Accept: */*"), 2, "{road}");
        for header in [
            "Sec-Fetch-Mode: cors",
            "Origin: http://gate.test",
            "X-Requested-With: XMLHttpRequest",
        ] {
            assert_eq!(challenges(header), 1, "{road} {header}");
        }
    }
}

// Section 1: "Until an owner exists every request gets 401 (503 on decision endpoints says why in its
// header), except set-up and what a trusted network may do"
#[test]
fn without_an_owner_the_answer_says_why() {
    let gate = Sidegate::start(TRUSTED);
    for (road, status) in [
        ("nginx", 403),
        ("traefik", 503),
        ("caddy", 503),
        ("envoy", 403),
        ("haproxy", 503),
    ] {
        // What every device sends whose instance was set up anew is no wrong token here.
        let other =
            "Authorization: Bearer oh.phone.abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwx";
        for shown in ["Sec-Fetch-Mode: navigate", other] {
            let answer = Asked::get("/", "192.0.2.1").with(shown).send(&gate, road);
            assert_eq!(
                (answer.status, answer.header("x-auth-error")),
                (status, Some("no-owner-yet")),
                "{road} {shown}"
            );
            assert_eq!(answer.all("www-authenticate").len(), 0, "{road} {shown}");
        }
    }
}

// Section 6.4: "rate = ... per client; spent only by requests that are not allowed"; throttle row
#[test]
fn a_client_that_is_too_fast_is_told_when_to_come_back() {
    let gate = gate("[guard]\nrate = \"1/h\"\n");
    for (number, (road, status)) in [
        ("nginx", 403),
        ("traefik", 429),
        ("caddy", 429),
        ("envoy", 429),
        ("haproxy", 403),
    ]
    .into_iter()
    .enumerate()
    {
        let asked = Asked::get("/", &format!("192.0.2.{number}"));
        assert_eq!(asked.send(&gate, road).status, 401, "{road}");
        let throttled = asked.send(&gate, road);
        assert_eq!(throttled.status, status, "{road}");
        let seconds: u64 = throttled.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=3600).contains(&seconds), "{road}: {seconds}");
    }
}

// Section 4: "A trusted proxy that sends no `X-Forwarded-For` is its own client: its credentials work, it is
// never banned, and it gets no trusted-network identity unless listed by its exact address."
#[test]
fn a_gateway_that_names_no_client_is_its_own() {
    let settings = "[guard]\nfailures = \"2 in 5m\"\nexempt = []\n[networks]\ntrusted = [{ cidr = \"127.0.0.0/8\", user = \"anna\" }]\n";
    let gate = gate(settings);
    let token = gate.token("anna", "phone");
    for road in gateways() {
        let nobody = Asked {
            client: None,
            ..Asked::get("/", "")
        };
        assert_eq!(nobody.send(&gate, road).status, 401, "{road}");
        for number in 0..4 {
            let wrong = nobody
                .clone()
                .with(format!("Authorization: Bearer oh.wrong.{road}{number}"));
            assert_eq!(wrong.send(&gate, road).status, 401, "{road}");
        }
        assert_eq!(
            nobody.with(bearer(&token)).send(&gate, road).status,
            200,
            "{road}"
        );
    }
}

// Section 6.4: bans are by the client's address, whatever road the failures came by
#[test]
fn failures_ban_the_client_and_not_the_gateway() {
    let gate = gate("[guard]\nfailures = \"3 in 5m\"\n");
    for (road, token) in gateways().zip(["a", "b", "c", "d", "e"]) {
        let wrong = Asked::get("/", "192.0.2.66").with(format!("Authorization: Bearer oh.x.{token}"));
        wrong.send(&gate, road);
    }
    let banned = Asked::get("/", "192.0.2.66").send(&gate, "traefik");
    assert_eq!(banned.status, 429);
    assert_eq!(Asked::get("/", "192.0.2.67").send(&gate, "traefik").status, 401);
    assert!(gate.cli(&["ban", "list"]).success().stdout.contains("192.0.2.66"));
}

// Section 5: "Presets `oauth2-proxy` (`X-Forwarded-User/...` to the backend, `X-Auth-Request-*` in decisions),
// `authentik`, `grafana` (`X-WEBAUTH-USER`), or a table"
#[test]
fn answers_have_the_identity_headers_of_the_route() {
    let gate = gate(
        "[[route]]\npath = \"/o\"\nidentity_headers = \"oauth2-proxy\"\n[[route]]\npath = \"/a\"\nidentity_headers = \
         \"authentik\"\n[[route]]\npath = \"/g\"\nidentity_headers = \"grafana\"\n[[route]]\npath = \
         \"/t\"\nidentity_headers = { user = \"X-Who\", scope = \"X-Scope\" }\n",
    );
    gate.cli(&["group", "add", "family", "anna"]);
    let token = gate.token("anna", "phone");
    let groups = Asked::get("/a", "192.0.2.1")
        .with(bearer(&token))
        .send(&gate, "nginx");
    let groups = groups.header("x-authentik-groups").unwrap().replace('|', ",");
    for road in gateways() {
        let told = |path: &str, name: &str| {
            let answer = Asked::get(path, "192.0.2.1")
                .with(bearer(&token))
                .send(&gate, road);
            assert_eq!(answer.status, 200, "{road} {path}");
            assert!(
                path == "/r" || answer.header("remote-user").is_none(),
                "{road} {path}"
            );
            answer.header(name).map(str::to_owned)
        };
        for (path, name, value) in [
            ("/o", "x-auth-request-user", "anna"),
            ("/o", "x-auth-request-email", "anna@home.example"),
            ("/o", "x-auth-request-groups", &groups),
            ("/o", "x-auth-request-preferred-username", "%C3%84nna M"),
            ("/a", "x-authentik-username", "anna"),
            ("/g", "x-webauth-user", "anna"),
            ("/t", "x-who", "anna"),
            ("/t", "x-scope", ""),
        ] {
            assert_eq!(told(path, name).as_deref(), Some(value), "{road} {path} {name}");
        }
        assert_eq!(told("/o", "x-forwarded-user"), None);
    }
}

// Section 5: "Credentials of ours are removed before the backend unless the route says `pass_credentials =
// true`"; section 6.1: "Any other `Authorization` is the backend's: not judged, not stripped"
#[test]
fn an_answer_says_what_is_left_of_the_credentials_if_it_is_asked_to() {
    let gate = gate(
        "[[route]]\npath = \"/\"\naccess = \"public\"\n[[route]]\npath = \"/pass\"\npass_credentials = \
         true\n[[route]]\npath = \"/cors\"\npreflight = \"pass\"\n",
    );
    let token = gate.token("anna", "phone");
    let (ours, header) = (bearer(&token), format!("X-OPENHAB-TOKEN: {token}"));
    let basic = format!("Authorization: Basic {}", support::base64(&format!("{token}:")));
    let carried = {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD_NO_PAD.encode(&token)
    };
    let word = format!("org.openhab.ws.accessToken.base64.{carried}");
    let words = format!("Sec-WebSocket-Protocol: {word}, org.openhab.ws.protocol.default");
    let alone = format!("Sec-WebSocket-Protocol: {word}");
    let foreign = "Authorization: Bearer theirs";
    let socket = [
        "Upgrade: websocket",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let preflight = ["Origin: https://a.example", "Access-Control-Request-Method: PUT"];
    const NAMES: [&str; 4] = [
        "authorization",
        "cookie",
        "sec-websocket-protocol",
        "x-openhab-token",
    ];
    // What was sent, and what is left by these names; the names of what was sent and is not left as it was.
    type Row<'r> = (&'static str, &'r str, Vec<&'r str>, [&'r str; 4], &'r str);
    let rows: Vec<Row<'_>> = vec![
        ("GET", "/", vec![&ours], ["", "", "", ""], "authorization"),
        ("GET", "/", vec![&basic], ["", "", "", ""], "authorization"),
        ("GET", "/", vec![foreign], ["Bearer theirs", "", "", ""], ""),
        (
            "GET",
            "/",
            vec![&header, foreign],
            ["Bearer theirs", "", "", ""],
            "x-openhab-token",
        ),
        ("GET", "/", vec!["Cookie: a=1; b=2"], ["", "a=1; b=2", "", ""], ""),
        (
            "GET",
            "/",
            vec![
                "Cookie: a=1; sidegate=x; b=2",
                "Cookie: __Host-sidegate=y",
                "Cookie: c=3",
            ],
            ["", "a=1; b=2; c=3", "", ""],
            "",
        ),
        ("GET", "/", vec!["Cookie: sidegate=x"], ["", "", "", ""], "cookie"),
        (
            "GET",
            "/",
            vec!["Cookie: sidegate2=x; Sidegate=y"],
            ["", "sidegate2=x; Sidegate=y", "", ""],
            "",
        ),
        (
            "GET",
            "/",
            [&socket[..], &[&*words]].concat(),
            ["", "", "org.openhab.ws.protocol.default", ""],
            "",
        ),
        (
            "GET",
            "/",
            [&socket[..], &[&*alone]].concat(),
            ["", "", "", ""],
            "sec-websocket-protocol",
        ),
        (
            "GET",
            "/",
            [
                &socket[..],
                &["Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b"],
            ]
            .concat(),
            ["", "", "a, b", ""],
            "",
        ),
        (
            "GET",
            "/pass",
            vec![&header, "Cookie: sidegate=x"],
            ["", "sidegate=x", "", &token],
            "",
        ),
        (
            "OPTIONS",
            "/cors",
            [&preflight[..], &[foreign, "Cookie: a=1", &*header]].concat(),
            ["", "", "", ""],
            "x-openhab-token, authorization, cookie",
        ),
    ];
    for (method, path, sent, left, removed) in rows {
        let mut asked = Asked::get(path, "192.0.2.1").by(method);
        asked.headers = sent.iter().map(|line| (*line).to_owned()).collect();
        for road in gateways() {
            let context = format!("{method} {path} {sent:?} by {road}");
            let plain = asked.send(&gate, road);
            assert_eq!(plain.status, 200, "{context}");
            let text = String::from_utf8(asked.bytes(road)).unwrap();
            let endpoint = format!("/_sidegate/auth/{road}");
            let stripped = gate.raw(
                text.replacen(&format!("{endpoint} "), &format!("{endpoint}?strip "), 1)
                    .as_bytes(),
            );
            for (name, left) in NAMES.into_iter().zip(left) {
                let expected: Vec<&str> = [left].into_iter().filter(|left| !left.is_empty()).collect();
                if road == "envoy" {
                    // It keeps what no answer names.
                    let told = plain.all(name);
                    let values = sent.iter().filter_map(|line| {
                        let (sent, value) = line.split_once(": ")?;
                        sent.eq_ignore_ascii_case(name).then_some(value)
                    });
                    let unchanged = values.collect::<Vec<_>>().join(", ") == left;
                    assert_eq!(
                        told,
                        if unchanged { vec![] } else { expected },
                        "{context}: {name}"
                    );
                } else {
                    assert_eq!(stripped.all(name), expected, "{context}: {name}");
                    assert_eq!(plain.header(name), None, "{context}: {name}");
                }
            }
            let told = plain.header("x-envoy-auth-headers-to-remove");
            let removed = Some(removed).filter(|removed| road == "envoy" && !removed.is_empty());
            assert_eq!(told, removed, "{context}");
        }
    }
    // A refusal hands on nothing.
    let refused = Asked::get("/pass", "192.0.2.1").with(foreign).with("Cookie: a=1");
    for road in gateways() {
        let text = String::from_utf8(refused.bytes(road)).unwrap();
        let endpoint = format!("/_sidegate/auth/{road}");
        let answer = gate.raw(
            text.replacen(&format!("{endpoint} "), &format!("{endpoint}?strip "), 1)
                .as_bytes(),
        );
        assert_eq!(answer.status, 401, "{road}");
        for name in NAMES {
            assert_eq!(answer.header(name), None, "{road}");
        }
    }
}

// Section 3: "decision_listen = []  # decision endpoints on a listener of their own"
#[test]
fn with_listeners_of_their_own_no_other_has_endpoints() {
    let backend = Backend::start();
    let port = free_port();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("decisions.sock");
    let gate = Sidegate::with_anna(
        &backend,
        &format!(
            "server: trusted_proxies = [\"127.0.0.1/32\", \"unix\"]\nserver: decision_listen = [\"127.0.0.1:{port}\", \
             \"unix:{}\"]\n[compat]\naliases = [\"vouch\"]\n",
            socket.display()
        ),
    );
    let token = gate.token("anna", "phone");
    for road in gateways() {
        let bytes = Asked::get("/", "192.0.2.1").with(bearer(&token)).bytes(road);
        let mut own = connect(([127, 0, 0, 1], port).into());
        own.write_all(&bytes).unwrap();
        assert_eq!(Answer::read(&mut own).status, 200, "{road}");
        let mut unix = UnixStream::connect(&socket).unwrap();
        unix.write_all(&bytes).unwrap();
        assert_eq!(Answer::read(&mut unix).status, 200, "{road} by unix socket");
        let front = gate.raw(&bytes);
        assert_eq!(
            (front.status, front.header("x-auth-error")),
            (403, Some("no-endpoint")),
            "{road}"
        );
    }
    // And they serve nothing else.
    for path in ["/", "/_sidegate/login", "/_sidegate/auth/apache"] {
        let mut own = connect(([127, 0, 0, 1], port).into());
        let text = format!(
            "GET {path} HTTP/1.1\r\nHost: gate.test\r\nConnection: close\r\n{}\r\n\r\n",
            bearer(&token)
        );
        own.write_all(text.as_bytes()).unwrap();
        assert_eq!(Answer::read(&mut own).status, 403, "{path}");
    }
    assert!(backend.take().is_empty());
    // The names of other servers are paths like any other in front.
    assert_eq!(gate.get("/validate", &[&bearer(&token)]).status, 200);
    assert_eq!(backend.take().len(), 1);
}

// Section 3: "decision_secret_file = ""  # ask gateways for a shared secret header"
#[test]
fn with_a_secret_the_address_alone_is_not_enough() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let write = |secret: &str| {
        let next = folder.path().join("next");
        std::fs::write(&next, secret).unwrap();
        std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(&next, &file).unwrap();
    };
    write("correct-horse-battery\n");
    let gate = gate(&format!(
        "server: decision_secret_file = \"{}\"\n[log]\naccess = \"access.log\"\n",
        file.display()
    ));
    let token = gate.token("anna", "phone");
    let status = |road: &str, lines: &[&str]| {
        let asked = Asked::get("/", "192.0.2.1").with(bearer(&token));
        lines
            .iter()
            .fold(asked, |asked, line| asked.with(*line))
            .send(&gate, road)
            .status
    };
    let right = "X-Sidegate-Secret: correct-horse-battery";
    for road in gateways() {
        assert_eq!(status(road, &[right]), 200, "{road}");
        for wrong in [
            &[][..],
            &["X-Sidegate-Secret: correct-horse-batter"],
            &["X-Sidegate-Secret: correct-horse-batteryy"],
            &["X-Sidegate-Secret:"],
            &["X-Sidegate-Secret: x", right],
            &[right, right],
        ] {
            assert_eq!(status(road, wrong), 403, "{road} {wrong:?}");
        }
    }
    gate.await_log("server.decision_secret_file");
    assert!(!gate.log().contains("correct-horse"));
    // A new secret counts once its file has changed.
    write("another-battery-staple");
    eventually(
        || status("nginx", &["X-Sidegate-Secret: another-battery-staple"]) == 200,
        || gate.log(),
    );
    assert_eq!(status("nginx", &[right]), 403);
    // In proxy mode it is nothing of ours to ask for, and never reaches a backend.
    assert!(!gate.written_audit().contains("battery"));
}

// Section 3: "aliases = []  # endpoint names of other servers, so that a gateway changes one address"
#[test]
fn aliases_answer_at_the_addresses_of_other_servers_with_their_headers() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(
        &backend,
        &format!(
            "{TRUSTED}[compat]\naliases = [\"oauth2-proxy\", \"authelia\", \"authentik\", \"tinyauth\", \"vouch\"]\n"
        ),
    );
    let token = gate.token("anna", "phone");
    for (path, road, header) in [
        ("/oauth2/auth", "nginx", "x-auth-request-user"),
        ("/oauth2/auth", "traefik", "x-auth-request-user"),
        ("/api/authz/auth-request", "nginx", "remote-user"),
        ("/api/authz/forward-auth", "traefik", "remote-user"),
        ("/api/authz/forward-auth", "caddy", "remote-user"),
        ("/api/authz/ext-authz", "envoy", "remote-user"),
        ("/api/verify", "nginx", "remote-user"),
        ("/api/verify", "traefik", "remote-user"),
        (
            "/outpost.goauthentik.io/auth/nginx",
            "nginx",
            "x-authentik-username",
        ),
        (
            "/outpost.goauthentik.io/auth/traefik",
            "traefik",
            "x-authentik-username",
        ),
        (
            "/outpost.goauthentik.io/auth/caddy",
            "caddy",
            "x-authentik-username",
        ),
        (
            "/outpost.goauthentik.io/auth/envoy",
            "envoy",
            "x-authentik-username",
        ),
        ("/api/auth/nginx", "nginx", "remote-user"),
        ("/api/auth/traefik", "traefik", "remote-user"),
        ("/api/auth/caddy", "caddy", "remote-user"),
        ("/api/auth/envoy", "envoy", "remote-user"),
        ("/validate", "nginx", "x-vouch-user"),
    ] {
        let at = |asked: Asked| {
            let text = String::from_utf8(asked.bytes(road)).unwrap();
            gate.raw(text.replace(&format!("/_sidegate/auth/{road}"), path).as_bytes())
        };
        let allowed = at(Asked::get("/x?y=1", "192.0.2.1").with(bearer(&token)));
        assert_eq!(
            (allowed.status, allowed.header(header)),
            (200, Some("anna")),
            "{path} {road}: {allowed:?}"
        );
        let refused = at(Asked::get("/x", "192.0.2.1").with("Sec-Fetch-Mode: navigate"));
        let status = if matches!(road, "nginx") { 401 } else { 302 };
        assert_eq!(
            (refused.status, refused.header(header)),
            (status, Some("")),
            "{path} {road}"
        );
    }
    assert!(backend.take().is_empty());
    // Without the switch they are the backend's.
    let plain = Sidegate::with_anna(&backend, TRUSTED);
    let token = plain.token("anna", "phone");
    assert_eq!(plain.get("/oauth2/auth", &[&bearer(&token)]).status, 200);
    assert_eq!(backend.take().len(), 1);
}

// Section 7: "When the verb returns" a revocation is in force, by every road
#[test]
fn a_revocation_is_in_force_when_the_verb_returns() {
    let gate = gate("");
    for road in gateways() {
        let token = gate.token("anna", road);
        let asked = Asked::get("/", "192.0.2.1").with(bearer(&token));
        assert_eq!(asked.send(&gate, road).status, 200, "{road}");
        gate.cli(&["token", "revoke", road, "--user", "anna"]).success();
        assert_eq!(asked.send(&gate, road).status, 401, "{road}");
    }
}
