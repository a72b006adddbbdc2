//! The way as it should go.

use crate::support::app::*;
use crate::support::asking::{Asked, ROADS};
use crate::support::house::{PASSWORD, add, age_logins, audit, house, logged_in};
use crate::support::{Backend, Browser, eventually};

const GATEWAY: &str = "server: trusted_proxies = [\"127.0.0.1/32\"]\n";

// RFC 6749 §4.1 with RFC 7636 and RFC 9207: "the whole flow"; "usable by every road as an API token"
#[test]
fn somebody_who_is_logged_out_lets_an_app_in_and_it_acts_for_them_by_every_road() {
    let backend = Backend::start();
    let gate = house(&backend, GATEWAY);
    let mut anna = Browser::new(gate.address);
    let wanted = address(&asked());
    // "A logged-out browser goes to the login page and comes back"
    let sent = anna.get(&wanted);
    assert_eq!(sent.status, 303, "{}", sent.text());
    let login = anna.open(sent.header("location").expect("to the login"));
    let fields = [("name", "anna"), ("password", PASSWORD)];
    let back = anna.submit(&login, "/_sidegate/login", &fields);
    assert_eq!(back.header("location"), Some(wanted.as_str()));
    let page = anna.get(&wanted);
    let text = page.text();
    for said in [
        "app.example",
        "anna",
        "Let it in",
        "https://app.example/back?from=gate",
    ] {
        assert!(text.contains(said), "no {said} in {text}");
    }
    // The form may lead to the app and to us, and to nobody else.
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(
        policy.contains("form-action 'self' https://app.example; "),
        "{policy}"
    );
    assert!(
        policy.contains("frame-ancestors 'none'") && !policy.contains("script-src"),
        "{policy}"
    );

    let allowed = answer(&mut anna, &page, "allow");
    let to = allowed.header("location").expect("back to the app");
    assert!(to.starts_with("https://app.example/back?from=gate&code="), "{to}");
    assert_eq!(parameter(to, "state").as_deref(), Some("a b/\u{fc}&c"));
    assert_eq!(parameter(to, "iss").as_deref(), Some("http://gate.test"));
    assert_eq!(allowed.header("cache-control"), Some("no-store"));
    let code = parameter(to, "code").expect("a code");

    let tokens = Tokens::of(&exchange(&gate, &code));
    assert_eq!(tokens.all["token_type"], "Bearer");
    assert_eq!(tokens.all["expires_in"], 1800);
    backend.take();
    for road in ROADS {
        for line in [
            tokens.bearer(),
            format!("X-OPENHAB-TOKEN: {}", tokens.access),
            format!(
                "Authorization: Basic {}",
                crate::support::base64(&format!("{}:", tokens.access))
            ),
        ] {
            let answer = Asked::get("/app", "192.0.2.7").with(&line).send(&gate, road);
            assert_eq!(answer.status, 200, "{road} {line}");
        }
    }
    let received = backend.take();
    assert_eq!(received.len(), 3, "one of each by the proxy");
    for request in &received {
        assert_eq!(request.only("remote-user"), Some("anna"));
        assert!(!format!("{request:?}").contains(&tokens.access), "{request:?}");
    }

    // "hidden from the list of API tokens, never counted as one"
    let list = gate.cli(&["token", "list", "--output", "json"]).success().stdout;
    assert_eq!(list.trim(), "[]");
    let own = gate.get("/_sidegate/api/v1/tokens", &[&tokens.bearer()]);
    assert_eq!((own.status, own.text().trim()), (200, r#"{"tokens":[]}"#));
    assert_eq!(gate.metric("sidegate_tokens"), 0.0);
    let [app] = &listed(&gate, "anna")[..] else {
        panic!("{:?}", listed(&gate, "anna"))
    };
    assert_eq!((&app["client"], &app["user"]), (&CLIENT.into(), &"anna".into()));
    let profile = anna.get("/_sidegate/profile").text();
    assert!(
        profile.contains("Apps that act for you") && profile.contains(CLIENT),
        "{profile}"
    );

    // "No secret is anywhere"
    let written = audit(&gate);
    assert!(written.contains("\"event\":\"app.create\""), "{written}");
    assert!(
        written.contains("\"credential_name\":\"app.example\""),
        "{written}"
    );
    for secret in [&code, &tokens.access, &tokens.refresh, &VERIFIER.to_owned()] {
        assert!(!written.contains(secret.as_str()) && !gate.log().contains(secret.as_str()));
        let store = std::fs::read(gate.state().join("sidegate.db")).expect("the store");
        let wal = std::fs::read(gate.state().join("sidegate.db-wal")).unwrap_or_default();
        let is_in = |bytes: &[u8]| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(
            !is_in(&store) && !is_in(&wal),
            "the store has what opens something"
        );
    }
}

// "`access_denied` on refusal"
#[test]
fn an_app_that_is_not_let_in_is_told_so_and_gets_nothing() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut anna = logged_in(&gate, "anna");
    let page = anna.get(&address(&asked()));
    let denied = answer(&mut anna, &page, "deny");
    assert_eq!(denied.status, 303);
    let to = denied.header("location").expect("back to the app");
    assert!(
        to.starts_with("https://app.example/back?from=gate&error=access_denied&"),
        "{to}"
    );
    assert_eq!(parameter(to, "state").as_deref(), Some("a b/\u{fc}&c"));
    assert_eq!(parameter(to, "iss").as_deref(), Some("http://gate.test"));
    assert_eq!(parameter(to, "code"), None);
    assert_eq!(listed(&gate, "anna"), [] as [serde_json::Value; 0]);
}

// "needs a recent login if creating tokens needs one"; chosen logins and networks are no login for this
#[test]
fn only_a_login_of_a_moment_ago_lets_apps_in() {
    let backend = Backend::start();
    let settings = "[networks]\ntrusted = [{ cidr = \"127.0.0.1/32\", users = [\"anna\", \"bob\"] }]\n";
    let mut gate = house(&backend, settings);
    add(&gate, "bob");
    let wanted = address(&asked());
    let mut bob = Browser::new(gate.address);
    assert_eq!(bob.get(&wanted).status, 303, "a network lets nobody in");
    let login = bob.get("/_sidegate/login");
    assert_eq!(
        bob.submit(&login, "/_sidegate/login/choose", &[("choose", "bob")])
            .status,
        303
    );
    assert_eq!(bob.get("/app").status, 200);
    let asked_again = |browser: &mut Browser| {
        let sent = browser.get(&wanted);
        let to = sent.header("location").unwrap_or_default().to_owned();
        assert!(to.starts_with("/_sidegate/login?why=again&rd="), "{sent:?}");
        to
    };
    asked_again(&mut bob);

    let mut anna = logged_in(&gate, "anna");
    let page = anna.get(&wanted);
    assert_eq!(page.status, 200);
    age_logins(&mut gate, std::time::Duration::from_secs(16 * 60));
    // Neither with the page that was open meanwhile.
    let late = answer(&mut anna, &page, "allow");
    assert!(
        late.header("location")
            .unwrap_or_default()
            .starts_with("/_sidegate/login?why=again"),
        "{late:?}"
    );
    let again = asked_again(&mut anna);
    let form = anna.get(&again);
    let fields = [("name", "anna"), ("password", PASSWORD)];
    let back = anna.submit(&form, "/_sidegate/login", &fields);
    assert_eq!(back.header("location"), Some(wanted.as_str()));
    assert_eq!(anna.get(&wanted).status, 200);
}

// "scope (must be within the product's scope words / roles)": within the user's rights
#[test]
fn an_app_may_do_what_was_allowed_and_no_more_than_its_user() {
    let backend = Backend::start();
    let gate = house(&backend, "[scope.\"lamps\"]\npaths = [\"/lamps\"]\n");
    let mut anna = logged_in(&gate, "anna");
    let with_scope = |anna: &mut Browser, scope: &str| {
        let code = allow(anna, &asked_with("scope", scope));
        let tokens = Tokens::of(&exchange(&gate, &code));
        assert_eq!(tokens.all["scope"], scope);
        // The next ones are as narrow.
        let next = Tokens::of(&refresh(&gate, &tokens.refresh));
        assert_eq!(next.all["scope"], scope);
        next
    };
    let status =
        |tokens: &Tokens, method: &str, path: &str| gate.send(method, path, &[&tokens.bearer()], b"").status;
    let reads = with_scope(&mut anna, "read-only");
    assert_eq!(
        (
            status(&reads, "GET", "/lamps"),
            status(&reads, "DELETE", "/lamps")
        ),
        (200, 403)
    );
    let lamps = with_scope(&mut anna, "lamps");
    assert_eq!(
        (status(&lamps, "DELETE", "/lamps"), status(&lamps, "GET", "/app")),
        (200, 403)
    );
    let page = anna.get(&address(&asked_with("scope", "read-only lamps"))).text();
    assert!(page.contains("do only this: read-only lamps"), "{page}");

    // What administers says so.
    let page = anna.get(&address(&asked_with("scope", "admin"))).text();
    assert!(page.contains("administer this gate too: admin"), "{page}");
    let admin = with_scope(&mut anna, "admin");
    assert_eq!(status(&admin, "GET", "/_sidegate/api/v1/users"), 200);

    // Nobody administers by an app that did not ask for it: the keys of the house are no default.
    let all = let_in(&gate, &mut anna);
    assert_eq!(all.all.get("scope"), None);
    assert_eq!(status(&all, "DELETE", "/app"), 200);
    assert_eq!(status(&all, "GET", "/_sidegate/api/v1/users"), 403);
    let token = [all.bearer(), "Content-Type: application/json".to_owned()];
    let made = gate.send(
        "POST",
        "/_sidegate/api/v1/tokens",
        &[&token[0], &token[1]],
        b"{\"name\":\"more\"}",
    );
    assert_eq!(made.status, 403, "nor makes itself a token that lasts");

    add(&gate, "bob");
    let mut bob = logged_in(&gate, "bob");
    let tokens = Tokens::of(&exchange(&gate, &allow(&mut bob, &asked_with("scope", "owner"))));
    assert_eq!(status(&tokens, "GET", "/_sidegate/api/v1/users"), 403);
}

// "restart and kill -9 between"
#[test]
fn what_an_app_was_given_is_there_after_a_power_cut() {
    let backend = Backend::start();
    let mut gate = house(&backend, "");
    let mut anna = logged_in(&gate, "anna");
    let code = allow(&mut anna, &asked());
    let answer = exchange(&gate, &code);
    gate.kill();
    gate.restart();
    let tokens = Tokens::of(&answer);
    assert_eq!(opens(&gate, &tokens), 200);
    let answer = refresh(&gate, &tokens.refresh);
    gate.kill();
    gate.restart();
    let next = Tokens::of(&answer);
    assert_eq!((opens(&gate, &tokens), opens(&gate, &next)), (200, 200));
    // An answer that got lost in it is given once more, the same.
    assert_eq!(Tokens::of(&refresh(&gate, &tokens.refresh)).refresh, next.refresh);
    assert_eq!(gate.get("/_sidegate/api/v1/apps", &[&next.bearer()]).status, 200);
    // A code does not survive: the person is asked again.
    let code = allow(&mut anna, &asked());
    gate.kill();
    gate.restart();
    assert_eq!(error(&exchange(&gate, &code)), (400, "invalid_grant".into()));
    assert_eq!(
        Tokens::of(&exchange(&gate, &allow(&mut anna, &asked()))).all["expires_in"],
        1800
    );
}

// "explain": what an app did is told by its address
#[test]
fn what_an_app_does_is_explained_by_its_name() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let tokens = let_in(&gate, &mut logged_in(&gate, "anna"));
    let words = ["explain", "--token-stdin", "GET", "http://gate.test/app"];
    let told = gate.cli_with_input(&words, &tokens.access).success().stdout;
    assert!(
        told.contains("allow") && told.contains("the app https://app.example/"),
        "{told}"
    );
    assert_eq!(gate.metric("sidegate_apps"), 1.0);
}

// A refresh token is no access token, and no backend sees it
#[test]
fn a_refresh_token_opens_nothing_and_goes_nowhere() {
    let backend = Backend::start();
    let public = format!(
        "[[route]]\npath = \"/public\"\nupstream = \"http://{}\"\naccess = \"public\"\n",
        backend.address
    );
    let gate = house(&backend, &public);
    let tokens = let_in(&gate, &mut logged_in(&gate, "anna"));
    backend.take();
    for path in ["/app", "/public/page"] {
        let bearer = format!("Authorization: Bearer {}", tokens.refresh);
        assert_eq!(gate.get(path, &[&bearer]).status, 401);
    }
    assert_eq!(backend.bytes(), b"");
}

// "last used with address"
#[test]
fn where_an_app_was_seen_last_is_shown() {
    let backend = Backend::start();
    let gate = house(&backend, GATEWAY);
    let tokens = let_in(&gate, &mut logged_in(&gate, "anna"));
    let from = "X-Forwarded-For: 192.0.2.9";
    assert_eq!(gate.get("/app", &[&tokens.bearer(), from]).status, 200);
    let seen = || listed(&gate, "anna")[0]["last_address"].clone();
    eventually(|| seen() == "192.0.2.9", || seen().to_string());
}
