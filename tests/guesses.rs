//! Wrong passwords: how many are looked at, from where, and that nobody else pays for them.

mod support;

use support::house::{PASSWORD, add, house};
use support::{Backend, Browser, Sidegate, base64, eventually};

/// Every client has the address that it says, and bans stay out of the way.
const ELSEWHERE: &str = "server: trusted_proxies = [\"127.0.0.1/32\"]\n[guard]\nexempt = [\"203.0.113.0/24\", \"198.51.100.0/24\", \"192.0.2.0/24\"]\nrate = \"off\"\nguesses = \"3 in 15m\"\n[credentials]\nbasic_passwords = true\n";

fn attempt(gate: &Sidegate, from: &str, name: &str, password: &str) -> u16 {
    let mut browser = Browser::new(gate.address).at(from);
    browser.login(name, password).status
}

fn basic(gate: &Sidegate, from: &str, pair: &str) -> u16 {
    let credential = format!("Authorization: Basic {}", base64(pair));
    let from = format!("X-Forwarded-For: {from}");
    gate.get("/", &[&credential, &from]).status
}

// M-13: "account lockout abuse: attacker locks victim: per-(account, prefix) delay; known-device cookie
// bypasses"; "every road (form, Basic, token endpoint) shares it"
#[test]
fn strangers_cannot_lock_out_who_was_there_before() {
    let backend = Backend::start();
    let gate = house(&backend, ELSEWHERE);
    add(&gate, "ben");
    let mut anna = Browser::new(gate.address).at("198.51.100.1");
    assert_eq!(anna.login("anna", PASSWORD).status, 303);

    // One network has three guesses, by whatever road; the same again is no other guess.
    assert_eq!(attempt(&gate, "203.0.113.1", "anna", "wrong 1"), 401);
    assert_eq!(attempt(&gate, "203.0.113.1", "anna", "wrong 1"), 401);
    assert_eq!(basic(&gate, "203.0.113.1", "anna:wrong 2"), 401);
    assert_eq!(attempt(&gate, "203.0.113.1", "Anna", "wrong 3"), 401);
    let mut stranger = Browser::new(gate.address).at("203.0.113.1");
    let refused = stranger.login("anna", PASSWORD);
    assert_eq!(refused.status, 429, "the right one is not looked at either");
    assert!(
        refused.text().contains("Too many wrong tries"),
        "{}",
        refused.text()
    );
    assert!(refused.header("retry-after").is_some());
    assert_eq!(basic(&gate, "203.0.113.1", &format!("anna:{PASSWORD}")), 429);
    assert_eq!(
        attempt(&gate, "203.0.113.1", "ben", PASSWORD),
        303,
        "another account"
    );

    // All strangers together have fifteen.
    for number in 4..16 {
        let from = format!("203.0.113.{number}");
        assert_eq!(attempt(&gate, &from, "anna", &format!("wrong {number}")), 401);
    }
    assert_eq!(attempt(&gate, "203.0.113.99", "anna", PASSWORD), 429);

    // The person's own network, and the person's browser elsewhere, are no strangers.
    assert_eq!(attempt(&gate, "198.51.100.1", "anna", PASSWORD), 303);
    assert_eq!(basic(&gate, "198.51.100.1", &format!("anna:{PASSWORD}")), 200);
    anna.from = Some("192.0.2.7".into());
    anna.cookies.remove("sidegate");
    assert_eq!(anna.login("anna", PASSWORD).status, 303);
    // And nobody in them guesses for ever.
    for (from, known) in [
        ("198.51.100.1", None),
        ("203.0.113.98", anna.cookies.get("sidegate-known")),
    ] {
        let mut browser = Browser::new(gate.address).at(from);
        if let Some(known) = known {
            browser.cookies.insert("sidegate-known".into(), known.clone());
        }
        for typed in ["a", "b", "c"] {
            assert_eq!(browser.login("anna", typed).status, 401, "{from}");
        }
        assert_eq!(browser.login("anna", PASSWORD).status, 429, "{from}");
    }
    eventually(
        || gate.written_audit().contains("\"reason\":\"guesses\""),
        || gate.written_audit(),
    );
}

// M-10: "unknown user / wrong password: … ban behaviour: indistinguishable"
#[test]
fn the_count_does_not_tell_who_exists() {
    let backend = Backend::start();
    let gate = house(&backend, ELSEWHERE);
    let statuses = |name: &str| {
        let typed = ["1", "2", "3", "4"];
        typed.map(|password| attempt(&gate, "203.0.113.1", name, password))
    };
    assert_eq!(statuses("anna"), [401, 401, 401, 429]);
    assert_eq!(statuses("nobody"), [401, 401, 401, 429]);
}

// The cookie of a known browser opens nothing, and is for one account.
#[test]
fn a_known_browser_is_known_to_its_own_account() {
    let backend = Backend::start();
    let gate = house(&backend, ELSEWHERE);
    add(&gate, "ben");
    let mut ben = Browser::new(gate.address).at("198.51.100.1");
    assert_eq!(ben.login("ben", PASSWORD).status, 303);
    let known = ben.cookies["sidegate-known"].clone();
    assert!(known.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    for typed in ["1", "2", "3"] {
        assert_eq!(attempt(&gate, "203.0.113.1", "anna", typed), 401);
    }
    let mut forged = known.clone();
    forged.replace_range(0..1, if known.starts_with('a') { "b" } else { "a" });
    for cookie in [known.as_str(), &forged, "", "a", &"a".repeat(500)] {
        let mut browser = Browser::new(gate.address).at("203.0.113.1");
        browser.cookies.insert("sidegate-known".into(), cookie.to_owned());
        assert_eq!(browser.login("anna", PASSWORD).status, 429, "{cookie}");
        assert_eq!(browser.get("/app").status, 303, "{cookie}");
    }
    // It never arrives at a backend.
    backend.take();
    assert_eq!(ben.get("/app").status, 200);
    assert_eq!(backend.take_one().only("cookie"), None);
}

// "Everything must survive restart": logins make a network known.
#[test]
fn a_network_with_a_login_is_known_after_a_restart() {
    let backend = Backend::start();
    let mut gate = house(&backend, ELSEWHERE);
    assert_eq!(attempt(&gate, "198.51.100.1", "anna", PASSWORD), 303);
    gate.kill();
    gate.restart();
    for number in 0..15 {
        let from = format!("203.0.113.{}", number / 3);
        assert_eq!(attempt(&gate, &from, "anna", &format!("wrong {number}")), 401);
    }
    assert_eq!(attempt(&gate, "203.0.113.99", "anna", PASSWORD), 429);
    assert_eq!(attempt(&gate, "198.51.100.1", "anna", PASSWORD), 303);
}
