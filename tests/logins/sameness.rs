//! "Wrong in any way: one sentence, same time, same bytes": whatever is wrong with a name and a password,
//! nobody outside can tell, by any road. The time of it is the slow hash, which is counted here and never
//! measured: `cargo bench --bench logins` prints the distribution.

use crate::support::asking::{Asked, ROADS};
use crate::support::house::{PASSWORD, add, enrol, house, logged_in};
use crate::support::{Answer, Backend, Browser, Client, Sidegate, base64};

const SETTINGS: &str = "server: trusted_proxies = [\"127.0.0.1/32\"]\n[credentials]\nbasic_passwords = true\n[guard]\nexempt = [\"192.0.2.0/24\", \"198.51.100.0/24\", \"203.0.113.0/24\", \"127.0.0.0/8\"]\nrate = \"off\"\nguesses = \"1000 in 15m\"\n[password]\nmemory = \"8MiB\"\n";

/// What there is to see of an answer, but for what is random in every one.
type Seen = (u16, Vec<(String, String)>, String);

fn seen(answer: &Answer, drop: &[&str]) -> Seen {
    let id = answer.header("x-request-id").unwrap_or_default().to_owned();
    let mut text = answer.text();
    let mut headers = answer.headers.clone();
    headers.retain(|(name, _)| !["date", "x-request-id", "content-length"].contains(&name.as_str()));
    for word in drop
        .iter()
        .copied()
        .chain([id.as_str()])
        .filter(|word| !word.is_empty())
    {
        text = text.replace(word, "-");
        for (_, value) in &mut headers {
            *value = value.replace(word, "-");
        }
    }
    (answer.status, headers, text)
}

fn by_form(gate: &Sidegate, from: &str, name: &str, password: &str) -> Seen {
    let mut browser = Browser::new(gate.address).at(from);
    let page = browser.get("/_sidegate/login");
    let cookie = browser.cookies["sidegate-form"].clone();
    let fields = [("name", name), ("password", password)];
    let answer = browser.submit(&page, "/_sidegate/login", &fields);
    assert!(browser.session().is_none());
    assert!(!browser.cookies.contains_key("sidegate-known"));
    let token = answer
        .text()
        .split("name=\"form\" value=\"")
        .nth(1)
        .map(|rest| rest[..64].to_owned());
    let mut seen = seen(&answer, &[&cookie, &token.unwrap_or_default()]);
    // What was typed stands in the form again.
    let (before, rest) = seen.2.split_once("name=\"name\" value=\"").expect("the form");
    let (_, after) = rest.split_once('"').expect("an attribute ends");
    seen.2 = format!("{before}{after}");
    seen
}

/// Every road that takes a password besides the form.
fn basic_roads() -> Vec<&'static str> {
    let mut roads = ROADS.to_vec();
    roads.extend(["REST", "websocket"]);
    roads
}

fn by_basic(gate: &Sidegate, from: &str, road: &str, name: &str, password: &str) -> Answer {
    let credential = format!("Authorization: Basic {}", base64(&format!("{name}:{password}")));
    let forwarded = format!("X-Forwarded-For: {from}");
    match road {
        "REST" => gate.get("/_sidegate/api/v1/me", &[&credential, &forwarded]),
        "websocket" => Client::to(gate.address).get(
            "/ws",
            &[
                &credential,
                &forwarded,
                "Connection: Upgrade",
                "Upgrade: websocket",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            ],
        ),
        road => Asked::get("/app", from).with(credential).send(gate, road),
    }
}

fn hashes(gate: &Sidegate) -> u64 {
    gate.metric("sidegate_password_hashes_total") as u64
}

/// dora is disabled, tom has no password, ben has a second factor.
fn people(gate: &Sidegate) {
    for name in ["dora", "ben", "carl"] {
        add(gate, name);
    }
    gate.cli(&["user", "disable", "dora"]).success();
    gate.cli(&["user", "add", "tom"]).success();
    enrol(&mut logged_in(gate, "ben"));
}

// M-10, R-062: "unknown user / wrong password / disabled / no password set / needs reset: status, body,
// headers, timing, cookie set: indistinguishable"; "unit test that the dummy verifier executed"
#[test]
fn whatever_is_wrong_nobody_outside_can_tell_by_any_road() {
    let backend = Backend::start();
    let gate = house(&backend, SETTINGS);
    people(&gate);
    // Waiting for a new password by a link is no state that can be seen.
    gate.cli(&["user", "recover", "carl"]).success();
    let causes = [
        ("a wrong password", "anna", "not hers"),
        ("nobody of that name", "nobody", "not hers"),
        ("nobody, with a right password of somebody", "nobody2", PASSWORD),
        ("a name that cannot be", "no body/../x", "not hers"),
        ("a very long name", &"n".repeat(300), "not hers"),
        ("disabled, and the password is right", "dora", PASSWORD),
        ("disabled, and the password is wrong", "dora", "not hers"),
        ("no password set", "tom", "not his"),
        ("no password set, and an empty one", "tom", ""),
        ("an empty one", "anna", ""),
        ("a second factor, and the password is wrong", "ben", "not his"),
        ("a link for a new password is out", "carl", "not his"),
        ("another case of the password", "anna", &PASSWORD.to_uppercase()),
        ("the password and a space", "anna", &format!("{PASSWORD} ")),
    ];
    let from = "203.0.113.7";
    let expected = by_form(&gate, from, "anna", "wrong");
    assert_eq!(expected.0, 401);
    assert!(expected.2.contains("The name or the password is wrong."));
    for (what, name, password) in causes {
        let before = hashes(&gate);
        assert_eq!(by_form(&gate, from, name, password), expected, "{what}");
        assert_eq!(hashes(&gate) - before, 1, "{what}: one hash by the form");
    }
    let right_and_not_enough = ("the password is right, and not enough here", "ben", PASSWORD);
    for road in basic_roads() {
        // What was typed into the form a moment ago is not remembered; what came by Basic is, for a
        // moment, so every road has words of its own.
        let own = |password: &str| match password {
            PASSWORD | "" => password.to_owned(),
            other => format!("{other} {road}"),
        };
        let expected = seen(&by_basic(&gate, from, road, "anna", &own("wrong")), &[]);
        let status = if road == "nginx" || road == "haproxy" {
            401
        } else {
            expected.0
        };
        assert_eq!(expected.0, status, "{road}");
        assert_eq!(expected.0, 401, "{road}: {expected:?}");
        for (what, name, password) in causes.into_iter().chain([right_and_not_enough]) {
            let fresh = own(password) != password || road == "proxy";
            let before = hashes(&gate);
            for again in 0..2 {
                let answer = by_basic(&gate, from, road, name, &own(password));
                assert_eq!(seen(&answer, &[]), expected, "{what} by {road}");
                if fresh {
                    assert_eq!(
                        hashes(&gate) - before,
                        1,
                        "{what} by {road}, asked {again} times before"
                    );
                }
            }
        }
    }
    // Nothing of it is in what everyone may see.
    assert!(
        gate.cli(&["ban", "list"])
            .success()
            .stderr
            .contains("nobody is banned")
    );
}

// "throttled account": the count of wrong guesses tells nothing either, and costs no hash
#[test]
fn a_throttled_account_looks_the_same_whether_or_not_there_is_one() {
    let backend = Backend::start();
    let gate = house(&backend, &SETTINGS.replace("1000 in 15m", "2 in 15m"));
    people(&gate);
    let names = ["anna", "nobody", "dora", "tom", "ben"];
    let mut forms = Vec::new();
    for (number, name) in names.into_iter().enumerate() {
        let from = format!("203.0.113.{number}");
        for typed in ["1", "2"] {
            assert_eq!(by_form(&gate, &from, name, typed).0, 401, "{name}");
        }
        let before = hashes(&gate);
        // The right one is not looked at.
        forms.push((name, by_form(&gate, &from, name, PASSWORD)));
        for road in basic_roads() {
            let answer = by_basic(&gate, &from, road, name, PASSWORD);
            let expected = match road {
                "nginx" | "haproxy" => 403,
                _ => 429,
            };
            assert_eq!(answer.status, expected, "{name} by {road}");
            assert!(answer.header("retry-after").is_some(), "{name} by {road}");
        }
        assert_eq!(hashes(&gate), before, "{name}");
    }
    let without_time = |seen: &Seen| {
        let headers = seen.1.iter().filter(|(name, _)| name != "retry-after");
        (seen.0, headers.cloned().collect::<Vec<_>>(), seen.2.clone())
    };
    assert_eq!(forms[0].1.0, 429);
    for (name, form) in &forms {
        assert_eq!(without_time(form), without_time(&forms[0].1), "{name}");
    }
}

// "Throttling per account and network that an attacker cannot turn into a lock-out of the real person;
// every road shares it"
#[test]
fn all_roads_share_one_count_and_the_real_person_has_another() {
    let backend = Backend::start();
    let gate = house(&backend, &SETTINGS.replace("1000 in 15m", "9 in 15m"));
    let mut anna = Browser::new(gate.address).at("198.51.100.1");
    assert_eq!(anna.login("anna", PASSWORD).status, 303);
    let roads = basic_roads();
    assert_eq!(roads.len(), 8);
    // One by the form and one by every other road are nine; forty-five are all that strangers have.
    for network in 0..5 {
        let from = format!("203.0.113.{network}");
        assert_eq!(by_form(&gate, &from, "anna", &format!("wrong {network}")).0, 401);
        for road in &roads {
            let answer = by_basic(&gate, &from, road, "anna", &format!("wrong {network} {road}"));
            assert_eq!(answer.status, 401, "{road} from {from}");
        }
        for road in &roads {
            let answer = by_basic(&gate, &from, road, "anna", PASSWORD);
            assert!(
                matches!(answer.status, 429 | 403),
                "{road} from {from}: {}",
                answer.status
            );
        }
        assert_eq!(by_form(&gate, &from, "anna", "one more").0, 429);
    }
    let stranger = "203.0.113.99";
    assert_eq!(
        by_form(&gate, stranger, "anna", "one more").0,
        429,
        "all strangers together"
    );
    assert_eq!(by_basic(&gate, stranger, "proxy", "anna", PASSWORD).status, 429);
    // The person: the login that is there, her network by every road, and her browser anywhere.
    assert_eq!(anna.get("/app").status, 200);
    for road in &roads {
        let answer = by_basic(&gate, "198.51.100.1", road, "anna", PASSWORD);
        assert!(matches!(answer.status, 200 | 101), "{road}: {}", answer.status);
    }
    anna.cookies.remove("sidegate");
    anna.from = Some("203.0.113.99".into());
    assert_eq!(anna.login("anna", PASSWORD).status, 303, "among the attackers");
}

// M-11: "100 concurrent logins on 2 cores: queue ≤32, rest" 429 "+Retry-After"; what is known already does
// not wait for any of them
#[test]
fn a_hundred_logins_at_once_wait_in_a_short_queue_and_hold_nobody_else_up() {
    let backend = Backend::start();
    let gate = house(
        &backend,
        &SETTINGS.replace("memory = \"8MiB\"", "memory = \"19MiB\""),
    );
    let token = format!("X-OPENHAB-TOKEN: {}", gate.token("anna", "phone"));
    assert_eq!(gate.get("/app", &[&token]).status, 200);
    let before = hashes(&gate);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let logins: Vec<_> = (0..100)
            .map(|number| {
                let gate = &gate;
                scope.spawn(move || {
                    let from = format!("203.0.113.{number}");
                    by_basic(gate, &from, "proxy", &format!("somebody{number}"), "wrong")
                })
            })
            .collect();
        for _ in 0..50 {
            assert_eq!(gate.get("/app", &[&token]).status, 200);
        }
        logins
            .into_iter()
            .map(|login| login.join().expect("no panic"))
            .collect()
    });
    for answer in &answers {
        assert!(matches!(answer.status, 401 | 429), "{answer:?}");
        let comes_back = answer.header("retry-after").is_some();
        assert_eq!(comes_back, answer.status == 429, "{answer:?}");
    }
    let looked_at = answers.iter().filter(|answer| answer.status == 401).count() as u64;
    assert!(looked_at > 0);
    assert_eq!(
        hashes(&gate) - before,
        looked_at,
        "what was sent away cost nothing"
    );
    assert!(
        gate.cli(&["ban", "list"])
            .success()
            .stderr
            .contains("nobody is banned")
    );
}
