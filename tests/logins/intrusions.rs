//! Half a login, other sites and hostile texts: what must not come of them.

use serde_json::Value;

use crate::support::house::{PASSWORD, add, enrol, house, logged_in};
use crate::support::{Answer, Backend, Browser, Sidegate};

/// Every page that is somebody's, and what its forms say.
const PAGES: [&str; 13] = [
    "/",
    "/profile",
    "/profile/app",
    "/logout",
    "/setup",
    "/admin",
    "/admin/people",
    "/admin/people/anna",
    "/admin/bans",
    "/admin/decisions",
    "/admin/settings",
    "/login",
    "/nothing",
];

const FORMS: [&str; 21] = [
    "/logout",
    "/setup",
    "/profile/app",
    "/profile/factors/remove",
    "/profile/codes",
    "/profile/devices/forget",
    "/profile/name",
    "/profile/preferences",
    "/profile/password",
    "/profile/sessions/end",
    "/profile/tokens/create",
    "/profile/tokens/rotate",
    "/profile/tokens/revoke",
    "/admin/people/add",
    "/admin/people/anna/role",
    "/admin/people/anna/disable",
    "/admin/people/anna/remove",
    "/admin/people/anna/link",
    "/admin/people/anna/factors",
    "/admin/groups/add",
    "/admin/bans/add",
];

/// The status, where it leads, and the page but for what is random in it.
fn seen(answer: &Answer) -> (u16, String, usize) {
    let location = answer.header("location").unwrap_or_default().to_owned();
    (answer.status, location, answer.body.len())
}

// R-071: "for every endpoint × every state {none, pw-ok-mfa-pending, expired}: table of allowed; empty/
// garbage/duplicate POST at each step never advances"
#[test]
fn half_a_login_and_one_that_is_over_open_no_more_than_none() {
    let backend = Backend::start();
    let gate = house(&backend, "[guard]\nrate = \"off\"\n");
    let mut anna = logged_in(&gate, "anna");
    enrol(&mut anna);
    let over = anna.clone();
    let page = anna.get("/_sidegate/logout");
    let form = page.text();
    let form = form.split("name=\"form\" value=\"").nth(1).expect("a form")[..64].to_owned();
    assert_eq!(anna.submit(&page, "/_sidegate/logout", &[]).status, 303);
    let mut half = Browser::new(gate.address);
    assert_eq!(
        half.login("anna", PASSWORD).header("location"),
        Some("/_sidegate/second-factor")
    );
    let pending = half.get("/_sidegate/second-factor");
    let pending_form = pending.text();
    let pending_form = pending_form
        .split("name=\"form\" value=\"")
        .nth(1)
        .expect("a form")[..64]
        .to_owned();
    let none = Browser::new(gate.address);
    for path in PAGES {
        let path = format!("/_sidegate{path}");
        let expected = seen(&none.clone().get(&path));
        assert!(
            expected.0 != 200 || path.ends_with("/login"),
            "{path} is for nobody: {expected:?}"
        );
        for (state, browser) in [("half", &half), ("over", &over)] {
            assert_eq!(seen(&browser.clone().get(&path)), expected, "{path} {state}");
        }
    }
    for path in FORMS {
        let path = format!("/_sidegate{path}");
        for fields in [
            &[][..],
            &[("form", "")],
            &[("form", "x"), ("form", "x")],
            &[("form", &form)],
            &[("form", &pending_form)],
            &[
                ("form", &form),
                ("name", "mallory"),
                ("role", "owner"),
                ("password", "x"),
            ],
        ] {
            let expected = seen(&none.clone().post(&path, fields));
            assert!(
                matches!(expected.0, 303 | 401 | 403 | 400),
                "{path}: {expected:?}"
            );
            for (state, browser) in [("half", &half), ("over", &over)] {
                let mut browser = browser.clone();
                let answer = browser.post(&path, fields);
                assert_eq!(seen(&answer), expected, "{path} {state} {fields:?}");
                assert!(browser.session().is_none() || state == "over", "{path} {state}");
            }
        }
    }
    // Nothing of it happened, and the login that was begun can be finished.
    let users = gate.cli(&["user", "list", "--output", "json"]).success().stdout;
    assert_eq!(users.matches("\"name\"").count(), 1, "{users}");
    assert!(
        gate.cli(&["ban", "list"])
            .success()
            .stderr
            .contains("nobody is banned")
    );
    assert_eq!(half.get("/_sidegate/second-factor").status, 200);
}

// V-08: "CORS: `Origin: evil` with credentials on our API: no ACAO"; R-082: "the administration trusts no
// other site: reject cross-site, require JSON"
#[test]
fn another_site_neither_reads_nor_changes_anything_over_rest() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    add(&gate, "ben");
    let browser = logged_in(&gate, "anna");
    let cookie = format!("Cookie: sidegate={}", browser.session().expect("logged in"));
    let api = "/_sidegate/api/v1";
    let json = "Content-Type: application/json";
    let disable = br#"{"enabled":false}"#;
    let path = format!("{api}/users/ben/enabled");
    let is_enabled = || {
        let shown = gate
            .cli(&["user", "show", "ben", "--output", "json"])
            .success()
            .stdout;
        serde_json::from_str::<Value>(&shown).expect("JSON")["disabled"] == false
    };
    for foreign in [
        "Origin: http://evil.test",
        "Origin: null",
        "Origin: http://gate.test.evil.test",
        "Origin: https://gate.test",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "X: no word of where it is from",
    ] {
        for kind in [json, "Content-Type: text/plain", "X-No: type"] {
            let answer = gate.send("PUT", &path, &[&cookie, foreign, kind], disable);
            assert_eq!(answer.status, 403, "{foreign} {kind}: {}", answer.text());
        }
        for method in ["GET", "OPTIONS", "POST", "PUT", "DELETE"] {
            let preflight = "Access-Control-Request-Method: PUT";
            let answer = gate.send(method, &path, &[&cookie, foreign, preflight], b"");
            let allows = answer
                .headers
                .iter()
                .any(|(name, _)| name.starts_with("access-control-"));
            assert!(!allows, "{method} {foreign}: {answer:?}");
        }
    }
    assert!(is_enabled());
    let own = "Origin: http://gate.test";
    let form = "Content-Type: application/x-www-form-urlencoded";
    assert_eq!(
        gate.send("PUT", &path, &[&cookie, own, form], disable).status,
        415
    );
    assert!(is_enabled());
    assert_eq!(
        gate.send("PUT", &path, &[&cookie, own, json], disable).status,
        200
    );
    assert!(!is_enabled());
}

// R-075, V-07: "XSS probes in all reflected params, error texts, usernames, token names"; the pages of
// administrators show what strangers wrote
#[test]
fn what_strangers_write_is_text_on_the_pages_of_administrators() {
    const PROBE: &str = "\"><svg onload=alert(1)></script><script>alert(1)</script>'{{7*7}}";
    let backend = Backend::start();
    let gate = house(
        &backend,
        "[guard]\nrate = \"off\"\n[credentials]\nbasic_passwords = true\n",
    );
    add(&gate, "ben");
    let mut ben = Browser::new(gate.address);
    let page = ben.get("/_sidegate/login");
    let token = page.text();
    let token = token.split("name=\"form\" value=\"").nth(1).expect("a form")[..64].to_owned();
    let fields = [("form", token.as_str()), ("name", "ben"), ("password", PASSWORD)];
    let agent = format!("User-Agent: {PROBE}");
    let answer = ben.post_as("/_sidegate/login", &fields, &["Origin: http://gate.test", &agent]);
    // Of two such headers one is the test's own.
    assert!(matches!(answer.status, 303 | 400), "{}", answer.text());
    if answer.status == 400 {
        assert_eq!(ben.login("ben", PASSWORD).status, 303);
    }
    let profile = ben.get("/_sidegate/profile");
    let fields = [
        ("display_name", PROBE),
        ("email", "\"><svg onload=alert(1)>@a.example"),
    ];
    ben.submit(&profile, "/_sidegate/profile/name", &fields);
    ben.submit(&profile, "/_sidegate/profile/name", &[("display_name", PROBE)]);
    strangers(&gate, PROBE);
    let encoded = "%22%3E%3Csvg%20onload%3Dalert(1)%3E%3C%2Fscript%3E";
    let mut anna = logged_in(&gate, "anna");
    let bans = anna.get("/_sidegate/admin/bans");
    let people = anna.get("/_sidegate/admin/people");
    let pages = [
        ("people", people.clone()),
        ("ben", anna.get("/_sidegate/admin/people/ben")),
        ("nobody", anna.get(&format!("/_sidegate/admin/people/{encoded}"))),
        ("decisions", anna.get("/_sidegate/admin/decisions?what=all")),
        (
            "filters",
            anna.get(&format!(
                "/_sidegate/admin/decisions?user={encoded}&path={encoded}&client={encoded}&decision={encoded}&before={encoded}"
            )),
        ),
        ("why", anna.get(&format!("/_sidegate/admin/decisions/{encoded}"))),
        ("done", anna.get(&format!("/_sidegate/admin/people?done={encoded}"))),
        (
            "add",
            anna.submit(
                &people,
                "/_sidegate/admin/people/add",
                &[("name", PROBE), ("groups", PROBE), ("role", PROBE)],
            ),
        ),
        (
            "ban",
            anna.submit(&bans, "/_sidegate/admin/bans/add", &[("network", PROBE), ("for", PROBE)]),
        ),
    ];
    for (name, page) in &pages {
        let text = page.text();
        for forbidden in ["<svg onload", "<script", "javascript:", "onload=alert(1)>"] {
            assert!(!text.contains(forbidden), "{name}: {forbidden} in {text}");
        }
        if text.starts_with("<!doctype") {
            let policy = page.header("content-security-policy").expect("a policy");
            assert!(policy.starts_with("default-src 'none'"), "{name}: {policy}");
        }
    }
    let shown = pages[1].1.text();
    assert!(
        shown.contains("&#60;svg onload"),
        "it is shown as what it is: {shown}"
    );
}

/// What anybody can have written down: paths, hosts, names, agents.
fn strangers(gate: &Sidegate, probe: &str) {
    let pair = crate::support::base64(&format!("{probe}:{probe}"));
    gate.get("/a", &[&format!("Authorization: Basic {pair}")]);
    gate.get(
        "/svg-onload",
        &[&format!("User-Agent: {probe}"), &format!("Referer: {probe}")],
    );
    gate.get("/%3Csvg%20onload%3Dalert(1)%3E", &[]);
}
