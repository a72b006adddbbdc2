//! Every way in which an app's access ends.

use std::time::{Duration, Instant};

use crate::support::app::*;
use crate::support::house::{PASSWORD, add, audit, house, logged_in};
use crate::support::{Backend, Browser};

// "ending closes the app's open sockets within a second"; "Follow how sessions are done in each of these places."
#[test]
fn every_way_to_end_an_app_closes_what_it_has_open() {
    let backend = Backend::websocket();
    let gate = house(&backend, "[guard]\nrate = \"off\"\n");
    let words = ["token", "create", "desk", "--user", "anna", "--scope", "owner"];
    let bearer = format!(
        "Authorization: Bearer {}",
        gate.cli(&words).success().stdout.trim()
    );
    let mut anna = logged_in(&gate, "anna");
    let others = let_in(&gate, &mut anna);
    let mut other = socket(&gate, &others);
    let id = || listed(&gate, "ben")[0]["id"].as_str().expect("an id").to_owned();
    let json = "Content-Type: application/json";
    let rest = |method: &str, path: &str, credential: &str, body: &[u8]| {
        let path = format!("/_sidegate/api/v1{path}");
        let answer = gate.send(method, &path, &[credential, json], body);
        assert!(
            (200..300).contains(&answer.status),
            "{method} {path}: {}",
            answer.text()
        );
    };
    let submit = |browser: &mut Browser, page: &str, action: &str, fields: &[(&str, &str)]| {
        let page = browser.get(page);
        assert_eq!(page.status, 200, "{page:?}");
        let answer = browser.submit(&page, action, fields);
        assert_eq!(answer.status, 303, "{action}: {}", answer.text());
    };
    let new = "entirely other words";
    type End<'e> = &'e dyn Fn(&mut Browser, &mut Browser, &Tokens);
    let ways: [(&str, End<'_>); 15] = [
        ("on the profile", &|ben, _, _| {
            submit(ben, "/_sidegate/profile", "/_sidegate/profile/grants/end", &[]);
        }),
        ("by an administrator's page", &|_, anna, _| {
            submit(
                anna,
                "/_sidegate/admin/people/ben",
                "/_sidegate/admin/people/ben/app",
                &[],
            );
        }),
        ("by REST", &|_, _, _| {
            rest("DELETE", &format!("/apps/{}", id()), &bearer, b"")
        }),
        ("by REST, by the app itself", &|_, _, tokens| {
            rest("DELETE", &format!("/apps/{}", id()), &tokens.bearer(), b"");
        }),
        ("all by REST", &|_, _, _| {
            rest("DELETE", "/users/ben/apps", &bearer, b"")
        }),
        ("by command", &|_, _, _| {
            drop(gate.cli(&["app", "revoke", &id()]).success())
        }),
        ("all by command", &|_, _, _| {
            gate.cli(&["app", "revoke", "--user", "ben"]).success();
        }),
        ("revoked with the refresh token", &|_, _, tokens| {
            let fields = [("token", tokens.refresh.as_str()), ("client_id", CLIENT)];
            let answer = post(&gate, REVOKE, &fields);
            assert_eq!((answer.status, answer.text().as_str()), (200, ""));
        }),
        ("revoked with the access token", &|_, _, tokens| {
            assert_eq!(post(&gate, REVOKE, &[("token", &tokens.access)]).status, 200);
        }),
        ("revoked with an old refresh token", &|_, _, tokens| {
            assert_eq!(refresh(&gate, &tokens.refresh).status, 200);
            assert_eq!(post(&gate, REVOKE, &[("token", &tokens.refresh)]).status, 200);
        }),
        ("log out everywhere", &|ben, _, _| {
            submit(
                ben,
                "/_sidegate/logout",
                "/_sidegate/logout",
                &[("everywhere", "1")],
            );
        }),
        ("a new password", &|ben, _, _| {
            let fields = [("current", PASSWORD), ("password", new), ("again", new)];
            submit(ben, "/_sidegate/profile", "/_sidegate/profile/password", &fields);
        }),
        ("a new password by command", &|_, _, _| {
            let words = ["user", "passwd", "ben", "--password-stdin"];
            gate.cli_with_input(&words, new).success();
        }),
        ("disabled", &|_, _, _| {
            drop(gate.cli(&["user", "disable", "ben"]).success())
        }),
        ("removed", &|_, _, _| {
            drop(gate.cli(&["user", "remove", "ben"]).success())
        }),
    ];
    for (what, end) in ways {
        gate.cli(&["user", "remove", "ben"]);
        add(&gate, "ben");
        let mut ben = logged_in(&gate, "ben");
        let tokens = let_in(&gate, &mut ben);
        let mut open = socket(&gate, &tokens);
        end(&mut ben, &mut anna, &tokens);
        let since = Instant::now();
        assert_eq!(open.hear(), None, "{what}");
        assert!(
            since.elapsed() < Duration::from_secs(5),
            "{what}: a busy machine gets some patience"
        );
        assert_eq!(opens(&gate, &tokens), 401, "{what}");
        assert_eq!(
            error(&refresh(&gate, &tokens.refresh)),
            (400, "invalid_grant".into()),
            "{what}"
        );
    }
    gate.cli(&["user", "enable", "anna"]).success();
    other.say("me?");
    assert_eq!(other.hear().as_deref(), Some("me?"), "nobody else's");
    let written = audit(&gate);
    assert_eq!(written.matches("\"event\":\"app.create\"").count(), 16);
    assert_eq!(written.matches("\"event\":\"app.end\"").count(), 10, "{written}");
}

// RFC 7009 §2.2: "200 whatever it was"
#[test]
fn nothing_but_an_app_s_own_access_is_revoked() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut anna = logged_in(&gate, "anna");
    let tokens = let_in(&gate, &mut anna);
    let mine = gate.token("anna", "phone");
    for (token, client) in [
        ("nothing", CLIENT),
        ("oh.refresh.nothing", ""),
        (mine.as_str(), CLIENT),
        (&tokens.refresh, "https://evil.example/"),
    ] {
        let answer = post(&gate, REVOKE, &[("token", token), ("client_id", client)]);
        assert_eq!((answer.status, answer.text().as_str()), (200, ""), "{token}");
    }
    assert_eq!(opens(&gate, &tokens), 200);
    assert_eq!(
        gate.get("/app", &[&format!("X-OPENHAB-TOKEN: {mine}")]).status,
        200
    );
    assert_eq!(error(&post(&gate, REVOKE, &[])), (400, "invalid_request".into()));
}

// A disabled user's apps end, as logins do, and do not come back
#[test]
fn who_is_enabled_again_lets_apps_in_again() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    add(&gate, "ben");
    let tokens = let_in(&gate, &mut logged_in(&gate, "ben"));
    gate.cli(&["user", "disable", "ben"]).success();
    assert_eq!(opens(&gate, &tokens), 401);
    gate.cli(&["user", "enable", "ben"]).success();
    assert_eq!(opens(&gate, &tokens), 401);
    assert_eq!(
        error(&refresh(&gate, &tokens.refresh)),
        (400, "invalid_grant".into())
    );
    // Nor does anybody end what is somebody else's.
    let tokens = let_in(&gate, &mut logged_in(&gate, "ben"));
    let id = listed(&gate, "ben")[0]["id"].as_str().expect("an id").to_owned();
    let mut anna = logged_in(&gate, "anna");
    let_in(&gate, &mut anna);
    let page = anna.get("/_sidegate/profile");
    let ended = anna.submit(&page, "/_sidegate/profile/grants/end", &[("id", &id)]);
    assert_eq!(ended.status, 404, "{}", ended.text());
    assert_eq!(opens(&gate, &tokens), 200);
}
