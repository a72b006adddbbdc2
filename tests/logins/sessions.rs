//! Sessions: durable when they are answered, in use as long as something of theirs is open, and over at
//! once when they end.

use std::time::{Duration, Instant};

use crate::support::asking::{Asked, ROADS};
use crate::support::house::{PASSWORD, add, enrol, house, logged_in, type_code};
use crate::support::{Answer, Backend, Browser, Client, Sidegate, WebSocket, eventually};

fn cookie(browser: &Browser) -> String {
    format!("Cookie: sidegate={}", browser.session().expect("logged in"))
}

fn is_to_login(answer: &Answer) -> bool {
    answer.status == 303
        && answer
            .header("location")
            .is_some_and(|to| to.contains("/_sidegate/login?rd="))
}

fn clears_session(answer: &Answer) -> bool {
    answer
        .all("set-cookie")
        .iter()
        .any(|cookie| cookie.starts_with("sidegate=; ") && cookie.contains("Max-Age=0"))
}

/// A WebSocket of that browser, that has said something and heard it.
fn socket(gate: &Sidegate, browser: &Browser) -> WebSocket {
    let headers = [&cookie(browser), "Origin: http://gate.test"];
    let opened = WebSocket::open(Client::to(gate.address), "/ws", &headers);
    let mut socket = opened.unwrap_or_else(|answer| panic!("{answer:?}"));
    socket.say("there?");
    assert_eq!(socket.hear().as_deref(), Some("there?"));
    socket
}

/// The other side ends it; within a second, and a busy machine gets some patience.
fn closes(mut socket: WebSocket, what: &str) {
    let began = Instant::now();
    assert_eq!(socket.hear(), None, "{what}");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{what}: {:?}",
        began.elapsed()
    );
}

// "survive restart and `kill -9`": what was answered was written down before
#[test]
fn a_login_that_was_answered_is_there_after_a_power_cut_and_a_logout_too() {
    let backend = Backend::start();
    let mut gate = house(&backend, "");
    for _ in 0..5 {
        let mut browser = Browser::new(gate.address);
        let page = browser.get("/_sidegate/login");
        let fields = [("name", "anna"), ("password", PASSWORD)];
        let answer = browser.submit(&page, "/_sidegate/login", &fields);
        gate.signal("KILL");
        assert_eq!(answer.status, 303);
        gate.wait();
        gate.restart();
        assert_eq!(browser.get("/app").status, 200, "still logged in");
        let gone = browser.clone();
        let page = browser.get("/_sidegate/logout");
        let answer = browser.submit(&page, "/_sidegate/logout", &[]);
        gate.signal("KILL");
        assert_eq!(answer.status, 303);
        gate.wait();
        gate.restart();
        assert!(is_to_login(&gone.clone().get("/app")), "still logged out");
    }
}

// "an unknown, expired, ended, damaged … cookie is cleared": on every answer that a browser gets
#[test]
fn a_dead_cookie_is_cleared_by_every_answer_and_a_live_one_by_none() {
    let backend = Backend::replying(|request| {
        let cache = match request.line.split(' ').nth(1) {
            Some("/public/logo") => "Cache-Control: public, max-age=60\r\n",
            Some("/public/edge") => "Cache-Control: max-age=0, S-MaxAge=60\r\n",
            Some("/public/mine") => "Cache-Control: private, max-age=60\r\nSet-Cookie: theirs=1\r\n",
            _ => "",
        };
        format!("HTTP/1.1 200 OK\r\n{cache}Content-Length: 2\r\n\r\nok").into_bytes()
    });
    let settings = format!(
        "server: trusted_proxies = [\"127.0.0.1/32\"]\n[[route]]\npath = \"/public\"\nupstream = \"http://{}\"\naccess = \"public\"\n",
        backend.address
    );
    let gate = house(&backend, &settings);
    let browser = logged_in(&gate, "anna");
    let live = cookie(&browser);
    let dead = format!("Cookie: sidegate={}", "A".repeat(43));
    for (target, clears) in [
        ("/public/page", true),
        ("/public/mine", true),
        // A cache would hand the end of one login to everybody.
        ("/public/logo", false),
        ("/public/edge", false),
    ] {
        let answer = gate.get(target, &[&dead]);
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(clears_session(&answer), clears, "{target}: {answer:?}");
        let theirs = answer.all("set-cookie").contains(&"theirs=1");
        assert_eq!(theirs, target == "/public/mine", "{target}");
        assert!(!clears_session(&gate.get(target, &[&live])), "{target}");
        assert!(!clears_session(&gate.get(target, &[])), "{target}");
    }
    // Nobody looked at it.
    let token = format!("Authorization: Bearer {}", gate.token("anna", "phone"));
    assert!(!clears_session(&gate.get("/public/page", &[&dead, &token])));
    for road in ROADS {
        for target in ["/public/page", "/app"] {
            let asked = Asked::get(target, "192.0.2.7");
            let answer = asked
                .clone()
                .with(dead.as_str())
                .with("Accept: text/html")
                .send(&gate, road);
            assert!(clears_session(&answer), "{road} {target}: {answer:?}");
            let answer = asked.with(live.as_str()).send(&gate, road);
            assert!(
                answer.status == 200 && !clears_session(&answer),
                "{road} {target}"
            );
        }
    }
}

// "idle, absolute and remember-me times": an open WebSocket counts as use, a remembered browser may lie
// still, and everything else ends
#[test]
fn a_login_with_an_open_socket_does_not_lie_still() {
    let backend = Backend::websocket();
    let gate = house(&backend, "[session]\nidle = \"5s\"\nremember = \"20d\"\n");
    let watching = logged_in(&gate, "anna");
    let mut open = socket(&gate, &watching);
    let mut remembered = Browser::new(gate.address);
    let page = remembered.get("/_sidegate/login");
    let fields = [("name", "anna"), ("password", PASSWORD), ("remember", "1")];
    assert_eq!(remembered.submit(&page, "/_sidegate/login", &fields).status, 303);
    let mut quiet = logged_in(&gate, "anna");
    let sessions = || {
        let list = gate.cli(&["session", "list", "--output", "json"]).success();
        list.stdout.matches("\"id\"").count()
    };
    assert_eq!(sessions(), 3);
    eventually(|| sessions() < 3, || "none of them ends".into());
    assert!(is_to_login(&quiet.get("/app")), "the one that lay still");
    assert_eq!(sessions(), 2);
    open.say("still there?");
    assert_eq!(open.hear().as_deref(), Some("still there?"));
    assert_eq!(watching.clone().get("/app").status, 200, "the one that watches");
    assert_eq!(remembered.get("/app").status, 200, "the one that may lie still");
}

// "ending closes open sockets within a second": by whoever ends it, and for nobody else
#[test]
fn every_way_to_end_a_login_closes_what_it_has_open() {
    let backend = Backend::websocket();
    let gate = house(&backend, "[guard]\nrate = \"off\"\n");
    let words = ["token", "create", "desk", "--user", "anna", "--scope", "owner"];
    let bearer = format!(
        "Authorization: Bearer {}",
        gate.cli(&words).success().stdout.trim()
    );
    let mut anna = logged_in(&gate, "anna");
    let other = socket(&gate, &anna);
    type End<'e> = &'e dyn Fn(&mut Browser, &mut Browser);
    let id = || {
        let list = gate
            .cli(&["session", "list", "--user", "ben", "--output", "json"])
            .success()
            .stdout;
        let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
        list[0]["id"].as_str().expect("an id").to_owned()
    };
    let json = "Content-Type: application/json";
    let rest = |method: &str, path: &str, body: &[u8]| {
        let answer = gate.send(
            method,
            &format!("/_sidegate/api/v1{path}"),
            &[&bearer, json],
            body,
        );
        assert!(
            (200..300).contains(&answer.status),
            "{method} {path}: {}",
            answer.text()
        );
    };
    let post = |browser: &mut Browser, page: &str, action: &str, fields: &[(&str, &str)]| {
        let page = browser.get(page);
        assert_eq!(page.status, 200, "{page:?}");
        let answer = browser.submit(&page, action, fields);
        assert_eq!(answer.status, 303, "{action}: {}", answer.text());
    };
    let new = "entirely other words";
    let ways: [(&str, End<'_>); 12] = [
        ("logout", &|ben, _| {
            post(ben, "/_sidegate/logout", "/_sidegate/logout", &[])
        }),
        ("a new login in the same browser", &|ben, _| {
            assert_eq!(ben.login("ben", PASSWORD).status, 303);
        }),
        ("end all others, from another browser", &|_, _| {
            let mut elsewhere = logged_in(&gate, "ben");
            post(
                &mut elsewhere,
                "/_sidegate/profile",
                "/_sidegate/profile/sessions/end",
                &[],
            );
        }),
        ("end one, from another browser", &|_, _| {
            let id = id();
            let mut elsewhere = logged_in(&gate, "ben");
            let end = "/_sidegate/profile/sessions/end";
            post(&mut elsewhere, "/_sidegate/profile", end, &[("id", &id)]);
        }),
        ("end one, by REST", &|_, _| {
            rest("DELETE", &format!("/sessions/{}", id()), b"")
        }),
        ("end all, by REST", &|_, _| {
            rest("DELETE", "/users/ben/sessions", b"")
        }),
        ("end one, by command", &|_, _| {
            gate.cli(&["session", "revoke", &id()]).success();
        }),
        ("end all, by command", &|_, _| {
            gate.cli(&["session", "revoke", "--user", "ben"]).success();
        }),
        ("end one, by an administrator's page", &|_, anna| {
            let end = "/_sidegate/admin/people/ben/session";
            post(anna, "/_sidegate/admin/people/ben", end, &[]);
        }),
        ("a new password", &|ben, _| {
            let fields = [("current", PASSWORD), ("password", new), ("again", new)];
            post(ben, "/_sidegate/profile", "/_sidegate/profile/password", &fields);
        }),
        ("disabled", &|_, _| {
            gate.cli(&["user", "disable", "ben"]).success();
        }),
        ("removed", &|_, _| {
            gate.cli(&["user", "remove", "ben"]).success();
        }),
    ];
    for (what, end) in ways {
        gate.cli(&["user", "remove", "ben"]);
        add(&gate, "ben");
        let mut ben = logged_in(&gate, "ben");
        let before = ben.clone();
        let open = socket(&gate, &ben);
        end(&mut ben, &mut anna);
        closes(open, what);
        assert!(is_to_login(&before.clone().get("/app")), "{what}");
    }
    let mut other = other;
    other.say("me?");
    assert_eq!(other.hear().as_deref(), Some("me?"), "nobody else's");
}

// K-08: "after login id changed, old invalid; also after step-up, password change, TOTP enrol"
#[test]
fn whoever_shows_more_gets_another_cookie() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut browser = logged_in(&gate, "anna");
    let mut before = browser.clone();
    let (_, codes) = enrol(&mut browser);
    assert_ne!(before.session(), browser.session(), "an app was set up");
    assert!(is_to_login(&before.get("/app")));
    assert_eq!(browser.get("/app").status, 200);

    before = browser.clone();
    let again = browser.get("/_sidegate/login?why=again&rd=/app");
    let fields = [("name", "anna"), ("password", PASSWORD)];
    let answer = browser.submit(&again, "/_sidegate/login", &fields);
    let location = answer.header("location").unwrap_or_default();
    assert!(location.starts_with("/_sidegate/second-factor"), "{answer:?}");
    assert_eq!(type_code(&mut browser, &codes[0]).status, 303);
    assert_ne!(before.session(), browser.session(), "all was shown again");
    assert!(is_to_login(&before.get("/app")));
    assert_eq!(browser.get("/app").status, 200);
}
