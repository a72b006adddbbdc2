//! The first owner: made once, whatever happens, and there to stay.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::house::{PASSWORD, age_logins, audit, enrol, house, logged_in};
use crate::support::{Backend, Browser, Sidegate, eventually};

/// The path of the last link in a text.
fn path_of_link(text: &str) -> String {
    let (_, rest) = text.rsplit_once("/_sidegate/setup?code=").expect("a link");
    let code: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
    assert_eq!(code.len(), 43);
    format!("/_sidegate/setup?code={code}")
}

fn printed_link(gate: &Sidegate) -> String {
    gate.await_log("/_sidegate/setup?code=");
    path_of_link(&gate.log())
}

fn owner_form(name: &str) -> [(&str, &str); 3] {
    [("name", name), ("password", PASSWORD), ("again", PASSWORD)]
}

fn owners(gate: &Sidegate) -> Vec<String> {
    let users = gate.cli(&["user", "list", "--output", "json"]).success().stdout;
    let users: serde_json::Value = serde_json::from_str(&users).expect("JSON");
    let users = users.as_array().expect("a list").iter();
    users
        .filter(|user| user["role"] == "owner")
        .map(|user| user["name"].as_str().expect("a name").to_owned())
        .collect()
}

// M-14: "owner creation race: exactly one"
#[test]
fn of_twenty_who_use_the_link_at_once_one_becomes_the_owner() {
    let backend = Backend::start();
    let gate = Sidegate::in_front_of(&backend, "");
    let link = printed_link(&gate);
    let answers: Vec<(u16, String)> = std::thread::scope(|scope| {
        let racing: Vec<_> = (0..20)
            .map(|number| {
                let (gate, link) = (&gate, &link);
                scope.spawn(move || {
                    let mut browser = Browser::new(gate.address);
                    let page = browser.get(link);
                    if page.status != 200 {
                        return (page.status, page.text());
                    }
                    let name = format!("racer{number}");
                    let answer = browser.submit(&page, "/_sidegate/setup", &owner_form(&name));
                    assert_eq!(browser.session().is_some(), answer.status == 303);
                    (answer.status, answer.text())
                })
            })
            .collect();
        racing
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    let won = answers.iter().filter(|(status, _)| *status == 303).count();
    assert_eq!(won, 1, "{answers:?}");
    for (status, text) in answers.iter().filter(|(status, _)| *status != 303) {
        // A queue of hashes that is full is no decision.
        assert!(*status == 403 || *status == 503, "{status}: {text}");
        if *status == 403 {
            assert!(text.contains("sidegate setup-link"), "what to do: {text}");
        }
    }
    assert_eq!(owners(&gate).len(), 1);
    let users = gate.cli(&["user", "list", "--output", "json"]).success().stdout;
    assert_eq!(users.matches("\"name\"").count(), 1, "{users}");
}

// "kill -9 in the middle of set-up": afterwards there is an owner who can log in, or the link still works
#[test]
fn a_set_up_that_was_killed_happened_or_did_not() {
    let backend = Backend::start();
    let (mut before, mut after) = (0, 0);
    for round in 0..8 {
        let mut gate = Sidegate::in_front_of(&backend, "");
        let link = printed_link(&gate);
        let mut browser = Browser::new(gate.address);
        let page = browser.get(&link);
        let sent = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                browser.submit_and_hang_up(&page, "/_sidegate/setup", &owner_form("anna"));
                sent.store(true, Ordering::Release);
            });
            eventually(|| sent.load(Ordering::Acquire), || "it is not sent".into());
            // Sooner or later within the work of it: the hash, the commit, the login.
            if round % 2 == 1 {
                let lines = || std::fs::read_to_string(gate.state().join("audit.jsonl")).unwrap_or_default();
                eventually(|| lines().contains("\"event\":\"setup\""), lines);
            }
            gate.signal("KILL");
        });
        gate.wait();
        let links = |gate: &Sidegate| gate.log().matches("/_sidegate/setup?code=").count();
        let printed = links(&gate);
        gate.restart();
        match owners(&gate).as_slice() {
            [] => {
                before += 1;
                // Each start prints another link, and the one before says what to do.
                eventually(|| links(&gate) > printed, || gate.log());
                let old = browser.get(&link);
                assert_eq!(old.status, 403);
                assert!(old.text().contains("sidegate setup-link"), "{}", old.text());
                let log = gate.log();
                let page = browser.get(&path_of_link(&log));
                assert_eq!(page.status, 200, "{}", page.text());
                let made = browser.submit(&page, "/_sidegate/setup", &owner_form("anna"));
                assert_eq!(made.status, 303, "{}", made.text());
            }
            [anna] if anna == "anna" => after += 1,
            other => panic!("{other:?}"),
        }
        assert_eq!(owners(&gate), ["anna"]);
        let mut fresh = Browser::new(gate.address);
        assert_eq!(fresh.login("anna", PASSWORD).status, 303, "with the password");
        assert_eq!(fresh.get(&link).status, 403, "and nobody else by the link");
    }
    assert_eq!(before + after, 8);
}

// "a damaged store": whatever is missing, nobody becomes the owner of a house that had one
#[test]
fn a_store_that_lost_its_users_offers_no_set_up() {
    use sidegate::store::sqlite::SqliteStore;
    use sidegate::store::{Change, Expect};
    use sidegate::time::Clock;

    let backend = Backend::start();
    let mut gate = house(&backend, "");
    gate.kill();
    let path = gate.state().join("sidegate.db");
    let edit = |key: &str, body: Option<String>| {
        let store = SqliteStore::open(&path, Clock::system()).expect("nobody else has it open");
        let whole = store.get_blocking(key).expect("readable").expect("it is there");
        let change = Change {
            key: key.to_owned(),
            body,
            expect: Expect::Any,
        };
        store.commit_blocking(&[change]).expect("written");
        whole.body
    };
    let whole = edit("user/anna", None);
    for damage in [None, Some("{".to_owned()), Some(whole.replace("anna", "mallory"))] {
        if let Some(body) = damage {
            let store = SqliteStore::open(&path, Clock::system()).expect("nobody else has it open");
            let change = Change {
                key: "user/anna".into(),
                body: Some(body),
                expect: Expect::Any,
            };
            store.commit_blocking(&[change]).expect("written");
        }
        let log = gate.log().len();
        gate.launch();
        assert_eq!(gate.wait(), Some(65), "{}", &gate.log()[log..]);
        let said = gate.log()[log..].to_owned();
        assert!(said.contains("user/") && said.contains("restore"), "{said}");
        assert!(!said.contains("setup?code="), "{said}");
        for verb in [&["setup-link"][..], &["user", "add", "mallory"]] {
            let ran = gate.cli(verb);
            assert!(ran.code != 0 && ran.stdout.is_empty(), "{verb:?}: {}", ran.stdout);
        }
    }
    edit("user/anna", Some(whole));
    gate.restart();
    assert_eq!(Browser::new(gate.address).login("anna", PASSWORD).status, 303);
}

// "never lost when other records are": what is wrong with another record names it, and leaves the owner
#[test]
fn a_damaged_record_of_another_kind_does_not_cost_the_owner() {
    use sidegate::store::sqlite::SqliteStore;
    use sidegate::store::{Change, Expect};
    use sidegate::time::Clock;

    let backend = Backend::start();
    let mut gate = house(&backend, "");
    gate.cli(&["user", "add", "ben", "--group", "family"]).success();
    gate.token("anna", "phone");
    enrol(&mut logged_in(&gate, "anna"));
    gate.cli(&["user", "recover", "ben"]).success();
    gate.kill();
    let path = gate.state().join("sidegate.db");
    let open = || SqliteStore::open(&path, Clock::system()).expect("nobody else has it open");
    for kind in [
        "group/", "token/", "session/", "link/", "factors/", "user/ben", "setup/",
    ] {
        let found = open().scan_blocking(kind, None, 1).expect("readable");
        let whole = found
            .first()
            .unwrap_or_else(|| panic!("no record of {kind}"))
            .clone();
        let put = |body: String| {
            let change = Change {
                key: whole.key.clone(),
                body: Some(body),
                expect: Expect::Any,
            };
            open().commit_blocking(&[change]).expect("written");
        };
        put("{\"torn\":".into());
        let log = gate.log().len();
        gate.launch();
        assert_eq!(gate.wait(), Some(65), "{kind}: {}", &gate.log()[log..]);
        let said = gate.log()[log..].to_owned();
        assert!(
            said.contains(&whole.key) && !said.contains("setup?code="),
            "{said}"
        );
        put(whole.body.clone());
    }
    gate.restart();
    assert_eq!(owners(&gate), ["anna"]);
    assert_eq!(Browser::new(gate.address).login("anna", PASSWORD).status, 303);
}

// "Nobody gets banned while setting up"
#[test]
fn nobody_is_banned_while_the_owner_is_being_made() {
    let backend = Backend::start();
    let guard = "[guard]\nexempt = []\nfailures = \"3 in 5m\"\nrate = \"off\"\n[credentials]\nbasic_passwords = true\n";
    let gate = Sidegate::in_front_of(&backend, guard);
    let link = printed_link(&gate);
    let mut browser = Browser::new(gate.address);
    for number in 0..10 {
        // What a phone and a script of the server before still send, and links that were cut or old.
        let old = format!("X-OPENHAB-TOKEN: oh.phone.wrong{number}");
        assert_eq!(gate.get("/", &[&old]).status, 401);
        let pair = crate::support::base64(&format!("admin:wrong{number}"));
        assert_eq!(
            gate.get("/", &[&format!("Authorization: Basic {pair}")]).status,
            401
        );
        let wrong = browser.get(&format!("/_sidegate/setup?code={}{number}", "A".repeat(42)));
        assert_eq!(wrong.status, 403);
        assert!(
            wrong.text().contains("sidegate setup-link"),
            "what to do: {}",
            wrong.text()
        );
        assert_eq!(browser.get(&format!("{}x", &link[..30])).status, 403);
    }
    assert!(
        gate.cli(&["ban", "list"])
            .success()
            .stderr
            .contains("nobody is banned")
    );
    let page = browser.get(&link);
    let made = browser.submit(&page, "/_sidegate/setup", &owner_form("anna"));
    assert_eq!(made.status, 303, "{}", made.text());
    // From now on everything counts.
    for number in 0..3 {
        gate.get("/", &[&format!("X-OPENHAB-TOKEN: oh.phone.again{number}")]);
    }
    let bans = || gate.cli(&["ban", "list"]).success().stdout;
    eventually(|| bans().contains("127.0.0.1"), bans);
}

// "the owner cannot be disabled or removed", by himself or others, by any road
#[test]
fn no_road_takes_the_only_owner_away() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let words = ["user", "add", "adam", "--role", "admin", "--password-stdin"];
    gate.cli_with_input(&words, PASSWORD).success();
    for verb in [
        &["user", "disable", "anna"][..],
        &["user", "remove", "anna"],
        &["user", "role", "anna", "admin"],
    ] {
        let ran = gate.cli(verb);
        assert_eq!(ran.code, 77, "{verb:?}");
        assert!(ran.stderr.contains("the only owner"), "{}", ran.stderr);
    }
    for user in ["anna", "adam"] {
        let scope = if user == "anna" { "owner" } else { "admin" };
        let words = ["token", "create", "desk", "--user", user, "--scope", scope];
        let bearer = format!(
            "Authorization: Bearer {}",
            gate.cli(&words).success().stdout.trim()
        );
        let json = "Content-Type: application/json";
        for (method, path, body) in [
            ("DELETE", "", &b""[..]),
            ("PUT", "/enabled", b"{\"enabled\":false}"),
            ("PUT", "/role", b"{\"role\":\"admin\"}"),
        ] {
            let path = format!("/_sidegate/api/v1/users/anna{path}");
            let answer = gate.send(method, &path, &[&bearer, json], body);
            assert_eq!(answer.status, 403, "{user} {method} {path}: {}", answer.text());
        }
        let mut browser = logged_in(&gate, user);
        let page = browser.get("/_sidegate/admin/people/anna");
        for what in ["disable", "remove", "role"] {
            assert!(
                !page.text().contains(&format!("/admin/people/anna/{what}\"")),
                "{user} is offered to {what}: {}",
                page.text()
            );
        }
        assert!(owners(&gate) == ["anna"]);
    }
    assert_eq!(Browser::new(gate.address).login("anna", PASSWORD).status, 303);
    // Of two owners one may go, and the other may not any more.
    gate.cli(&["user", "role", "adam", "owner"]).success();
    gate.cli(&["user", "disable", "anna"]).success();
    assert_eq!(gate.cli(&["user", "disable", "adam"]).code, 77);
    assert_eq!(gate.cli(&["user", "remove", "adam"]).code, 77);
}

// "`sidegate user recover` prints a one-time link that gets a locked-out owner back in without deleting
// anything": password forgotten, phone lost, too many wrong guesses, banned, all at once
#[test]
fn a_locked_out_owner_gets_back_in_and_loses_nothing() {
    let backend = Backend::start();
    let settings = "[guard]\nexempt = []\nguesses = \"2 in 15m\"\nfailures = \"50 in 5m\"\nrate = \"off\"\n";
    let mut gate = house(&backend, settings);
    let token = gate.token("anna", "phone");
    let (_, codes) = enrol(&mut logged_in(&gate, "anna"));
    assert_eq!(codes.len(), 10);
    for number in 0..4 {
        Browser::new(gate.address).login("anna", &format!("forgotten {number}"));
    }
    age_logins(&mut gate, Duration::from_secs(60));
    let link = path_of_link(&gate.cli(&["user", "recover", "anna"]).success().stdout);
    let mut browser = Browser::new(gate.address);
    let page = browser.get(&link);
    let new = "entirely other words";
    let set = browser.submit(&page, "/_sidegate/setup", &[("password", new), ("again", new)]);
    assert_eq!(
        (set.status, set.header("location")),
        (303, Some("/_sidegate/")),
        "{}",
        set.text()
    );
    assert_eq!(browser.get("/app").status, 200);
    assert_eq!(
        gate.get("/", &[&format!("Authorization: Bearer {token}")]).status,
        200,
        "tokens stay"
    );
    let factors = gate
        .cli(&["user", "factors", "anna", "--output", "json"])
        .success()
        .stdout;
    assert!(
        factors.contains("\"second_factor\": true") && factors.contains("\"backup_codes\": 10"),
        "{factors}"
    );
    // Once: the next login asks for the second factor, unless the owner takes the lost one away now.
    let mut second = Browser::new(gate.address);
    assert_eq!(
        second.login("anna", new).header("location"),
        Some("/_sidegate/second-factor")
    );
    assert_eq!(browser.get(&link).status, 403);
    let page = browser.get("/_sidegate/profile");
    let removed = browser.submit(&page, "/_sidegate/profile/factors/remove", &[]);
    assert_eq!(
        removed.header("location"),
        Some("/_sidegate/profile?done=factors")
    );
    logged_in_with(&gate, "anna", new);
    let lines = audit(&gate);
    assert!(lines.contains("\"reason\":\"recovered\""), "{lines}");
    assert!(!lines.contains(&link[23..]), "no code in the audit file");
}

fn logged_in_with(gate: &Sidegate, name: &str, password: &str) {
    let mut browser = Browser::new(gate.address);
    let answer = browser.login(name, password);
    assert!(
        answer.status == 303 && browser.session().is_some(),
        "{}",
        answer.text()
    );
}

// "on plain http and on IP addresses, with a warning"
#[test]
fn a_password_that_others_can_read_is_warned_of() {
    let backend = Backend::start();
    let gate = house(&backend, "server: trusted_proxies = [\"127.0.0.1/32\"]\n");
    let https = ["X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.9"];
    let mut browser = Browser::new(gate.address);
    for (host, via, warned) in [
        ("gate.test", &[][..], true),
        ("192.168.1.5", &[], true),
        ("[fd00::5]", &[], true),
        ("127.0.0.1", &[], false),
        ("[::1]", &[], false),
        ("localhost", &[], false),
        ("gate.test", &https, false),
        ("192.168.1.5", &https, false),
    ] {
        browser.host = host;
        let page = browser.request("GET", "/_sidegate/login", via, b"");
        assert_eq!(page.status, 200, "{host}");
        assert_eq!(page.text().contains("not encrypted"), warned, "{host} {via:?}");
    }
}
