//! Passkeys, alone and after the password, through the real program, with an authenticator of our own.

mod support;

use serde_json::Value;
use support::authenticator::{Authenticator, Lie};
use support::house::{PASSWORD, add, backup_codes, enrol, type_code};
use support::{Answer, Backend, Browser, Sidegate, eventually};

const LOGIN: &str = "/_sidegate/login";
const LOGIN_KEY: &str = "/_sidegate/login/passkey";
const SECOND: &str = "/_sidegate/second-factor";
const SECOND_KEY: &str = "/_sidegate/second-factor/passkey";
const NEW: &str = "/_sidegate/profile/passkey";
const PROFILE: &str = "/_sidegate/profile";
/// Browsers know passkeys here without https.
const ORIGIN: &str = "http://localhost";
const PATIENT: &str = "[guard]\nguesses = \"200 in 15m\"\nrate = \"off\"\n";

fn house(backend: &Backend, settings: &str) -> Sidegate {
    let routes = "[[route]]\npath = \"/two\"\nupstream = \"http://UPSTREAM\"\naccess = { factors = 2 }\n\
        [[route]]\npath = \"/new\"\nupstream = \"http://UPSTREAM\"\naccess = { max_age = \"15m\" }\n";
    let routes = routes.replace("UPSTREAM", &backend.address.to_string());
    support::house::house(backend, &format!("{routes}{settings}"))
}

fn browser(gate: &Sidegate) -> Browser {
    let mut browser = Browser::new(gate.address);
    browser.host = "localhost";
    browser
}

fn logged_in(gate: &Sidegate, name: &str) -> Browser {
    let mut browser = browser(gate);
    let answer = browser.login(name, PASSWORD);
    assert_eq!(answer.status, 303, "{}", answer.text());
    browser
}

/// A browser that has shown the password of somebody with a second factor.
fn halfway(gate: &Sidegate, name: &str) -> Browser {
    let mut browser = browser(gate);
    let answer = browser.login(name, PASSWORD);
    assert_eq!(location(&answer), (303, SECOND));
    browser
}

fn location(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.header("location").unwrap_or_default())
}

/// What the script of that page gets for its button.
fn options(browser: &mut Browser, page: &Answer, action: &str) -> Value {
    let answer = browser.fetch(page, action, &format!("{action}/options"));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    serde_json::from_slice(&answer.body).expect("JSON")
}

/// Makes a passkey for somebody with a new login; the answer to the form.
fn make(browser: &mut Browser, device: &mut Authenticator, name: &str) -> Answer {
    let page = browser.get(NEW);
    assert_eq!(page.status, 200, "{page:?}");
    let options = options(browser, &page, NEW);
    let answer = device.make(&options, &Lie::default());
    browser.submit(&page, NEW, &[("answer", &answer), ("name", name)])
}

/// Logs in with a passkey alone; the answer to the form.
fn log_in(browser: &mut Browser, device: &mut Authenticator, lie: &Lie) -> Answer {
    let page = browser.get(LOGIN);
    let options = options(browser, &page, LOGIN_KEY);
    let answer = device.show(&options, lie);
    browser.submit(&page, LOGIN_KEY, &[("answer", &answer)])
}

/// Shows a passkey where one is asked for after the password.
fn show(browser: &mut Browser, device: &mut Authenticator, lie: &Lie) -> Answer {
    let page = browser.get(SECOND);
    let options = options(browser, &page, SECOND_KEY);
    let answer = device.show(&options, lie);
    browser.submit(&page, SECOND_KEY, &[("answer", &answer)])
}

fn factors(gate: &Sidegate, name: &str) -> Value {
    let shown = gate.cli(&["user", "factors", name, "--output", "json"]).success();
    serde_json::from_str(&shown.stdout).expect("JSON")
}

fn await_audit(gate: &Sidegate, text: &str) {
    eventually(
        || gate.written_audit().contains(text),
        || format!("no {text} in {}", gate.written_audit()),
    );
}

// "passkeys as second factor and as password-less login"; "discoverable/user-verified credential counts as two
// factors"
#[test]
fn a_passkey_logs_in_without_name_and_password() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut anna = logged_in(&gate, "anna");
    // Nobody has one: no page says a word of them, nor has a script, but the profile.
    assert!(!browser(&gate).get(LOGIN).text().contains("passkey"));
    let missing = anna.open("/two/a");
    assert_eq!(missing.status, 403);
    assert!(
        missing
            .text()
            .contains("/_sidegate/profile/passkey?rd=%2Ftwo%2Fa"),
        "{}",
        missing.text()
    );
    let page = anna.get("/_sidegate/profile/passkey?rd=%2Ftwo%2Fa");
    let before = anna.session().expect("a login").to_owned();
    let asked = options(&mut anna, &page, NEW);
    assert_eq!(asked["publicKey"]["rp"]["id"], "localhost");
    assert_eq!(asked["publicKey"]["user"]["name"], "anna");
    assert_eq!(asked["publicKey"]["attestation"], "none");
    let mut device = Authenticator::at(ORIGIN);
    let answer = device.make(&asked, &Lie::default());
    let done = anna.submit(&page, NEW, &[("answer", &answer), ("name", " blue\u{7} key ")]);
    assert_eq!(done.status, 200, "{}", done.text());
    assert!(done.text().contains("href=\"/two/a\""), "{}", done.text());
    let codes = backup_codes(&done.text());
    assert_ne!(anna.session(), Some(before.as_str()), "K-08");
    assert_eq!(anna.get("/two/a").status, 200, "both were shown");
    let profile = anna.get(PROFILE).text();
    assert!(
        profile.contains("<h3>blue key</h3>") && profile.contains("not yet"),
        "{profile}"
    );

    let mut other = browser(&gate);
    let page = other.open("/two/b?c=1");
    let text = page.text();
    assert!(
        text.contains("<form data-passkey=\"get\"") && text.contains("needs JavaScript"),
        "{text}"
    );
    let asked = options(&mut other, &page, LOGIN_KEY);
    let listed = asked["publicKey"]["allowCredentials"].as_array();
    assert!(listed.is_none_or(Vec::is_empty), "{asked}");
    assert!(asked.get("mediation").is_none(), "{asked}");
    let answer = device.show(&asked, &Lie::default());
    let right = other.submit(&page, LOGIN_KEY, &[("answer", &answer), ("remember", "1")]);
    let (status, to) = location(&right);
    assert_eq!((status, to), (303, "/two/b?c=1"));
    let session = right
        .all("set-cookie")
        .into_iter()
        .find(|cookie| cookie.starts_with("sidegate="));
    assert!(session.expect("set").contains("Max-Age=2592000"), "{right:?}");
    assert_eq!(other.get("/two/b?c=1").status, 200, "two factors");
    assert_eq!(other.get("/new").status, 200, "and new");
    assert!(
        backend
            .requests()
            .iter()
            .any(|request| request.only("remote-user") == Some("anna"))
    );
    // Its user may change factors now.
    assert_eq!(other.get(NEW).status, 200);
    assert!(!other.get(PROFILE).text().contains("not yet"));
    assert_eq!(factors(&gate, "anna")["passkeys"][0]["name"], "blue key");
    let plain = gate.cli(&["user", "factors", "anna"]).success().stdout;
    assert!(plain.contains("blue key for localhost, made "), "{plain}");

    for text in ["\"reason\":\"second factor: passkey\"", "\"event\":\"login\""] {
        await_audit(&gate, text);
    }
    let metrics = support::ask(
        gate.operations,
        b"GET /metrics HTTP/1.1\r\nHost: o\r\nConnection: close\r\n\r\n",
    );
    let metrics = metrics.expect("an answer");
    let count = "sidegate_login_attempts_total{factor=\"passkey\",outcome=\"success\"} 2";
    assert!(metrics.contains(count), "{metrics}");

    // The password alone is not enough any more, and a backup code is.
    let mut third = halfway(&gate, "anna");
    assert!(third.get(SECOND).text().contains("one of your backup codes"));
    assert_eq!(type_code(&mut third, &codes[0]).status, 303);
    assert_eq!(third.get("/two/a").status, 200);
}

// "CSP on those pages; everything else keeps no script"
#[test]
fn one_script_stands_on_three_pages_and_says_what_it_is_by_its_hash() {
    use base64::Engine;
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut anna = logged_in(&gate, "anna");
    let mut device = Authenticator::at(ORIGIN);
    assert_eq!(make(&mut anna, &mut device, "phone").status, 200);
    let mut half = halfway(&gate, "anna");
    let with = [anna.get(NEW), half.get(SECOND), browser(&gate).get(LOGIN)];
    for page in with {
        let text = page.text();
        let (_, script) = text.split_once("<script>").expect("a script");
        let (script, rest) = script.split_once("</script>").expect("its end");
        assert!(!rest.contains("<script") && !text.contains(" onclick") && !text.contains(" style="));
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, script.as_bytes());
        let hash = base64::engine::general_purpose::STANDARD.encode(hash);
        let policy = page.header("content-security-policy").expect("set");
        let end = format!("; script-src 'sha256-{hash}'; connect-src 'self'");
        assert!(
            policy.starts_with("default-src 'none'; ") && policy.ends_with(&end),
            "{policy}"
        );
        assert!(text.len() < 30 * 1024, "{}", text.len());
    }
    for path in [
        "",
        "/profile",
        "/profile/app",
        "/logout",
        "/admin",
        "/admin/people/anna",
    ] {
        let page = anna.get(&format!("/_sidegate{path}"));
        let path = if path.is_empty() { "/" } else { path };
        let page = if page.status == 200 {
            page
        } else {
            anna.open(&format!("/_sidegate{path}"))
        };
        assert_eq!(page.status, 200, "{path}");
        let policy = page.header("content-security-policy").expect("set");
        assert!(
            !policy.contains("script-src") && !policy.contains("connect-src"),
            "{path}: {policy}"
        );
        assert!(!page.text().contains("<script"), "{path}");
    }
}

// M-08: "passkey: wrong origin, wrong rpId hash, UV flag missing when required, challenge reuse/expired/other
// session, signCount decrease, unknown credential, credential of other user, backup flags changed, CBOR garbage,
// 64 KB authData … reject"; "same answer for unknown credential as for wrong"
#[test]
fn whatever_is_wrong_with_a_passkey_the_answer_is_one() {
    let backend = Backend::start();
    let gate = house(
        &backend,
        &format!("server: trusted_proxies = [\"127.0.0.1/32\"]\n{PATIENT}"),
    );
    add(&gate, "ben");
    let mut device = Authenticator::at(ORIGIN);
    assert_eq!(
        make(&mut logged_in(&gate, "anna"), &mut device, "phone").status,
        200
    );
    let mut bens = Authenticator::at(ORIGIN);
    assert_eq!(make(&mut logged_in(&gate, "ben"), &mut bens, "phone").status, 200);
    assert_eq!(
        log_in(&mut browser(&gate), &mut device, &Lie::default()).status,
        303
    );
    let other = || Some(vec![7; 32]);
    let lies: [(&str, Lie); 16] = [
        (
            "passkey-wrong",
            Lie {
                cut: true,
                ..Lie::default()
            },
        ),
        (
            "passkey-origin",
            Lie {
                origin: Some("http://localhost:81"),
                ..Lie::default()
            },
        ),
        (
            "passkey-origin",
            Lie {
                origin: Some("https://localhost"),
                ..Lie::default()
            },
        ),
        (
            "passkey-origin",
            Lie {
                origin: Some("http://localhost.evil.test"),
                ..Lie::default()
            },
        ),
        (
            "passkey-origin",
            Lie {
                cross_origin: true,
                ..Lie::default()
            },
        ),
        (
            "passkey-site",
            Lie {
                site: Some("evil.test"),
                ..Lie::default()
            },
        ),
        (
            "passkey-challenge",
            Lie {
                challenge: Some("A".repeat(43)),
                ..Lie::default()
            },
        ),
        (
            "passkey-wrong",
            Lie {
                kind: Some("webauthn.create"),
                ..Lie::default()
            },
        ),
        (
            "passkey-unverified",
            Lie {
                unverified: true,
                ..Lie::default()
            },
        ),
        (
            "passkey-unverified",
            Lie {
                absent: true,
                ..Lie::default()
            },
        ),
        (
            "passkey-copied",
            Lie {
                count: Some(1),
                ..Lie::default()
            },
        ),
        (
            "passkey-copied",
            Lie {
                count: Some(0),
                ..Lie::default()
            },
        ),
        (
            "passkey-wrong",
            Lie {
                backup: true,
                ..Lie::default()
            },
        ),
        (
            "passkey-wrong",
            Lie {
                signature: true,
                ..Lie::default()
            },
        ),
        (
            "passkey-unknown",
            Lie {
                id: other(),
                ..Lie::default()
            },
        ),
        (
            "passkey-of-another",
            Lie {
                handle: Some(Vec::new()),
                ..Lie::default()
            },
        ),
    ];
    let mut texts = Vec::new();
    let mut refused = |answer: &Answer, why: &str| {
        assert_eq!(answer.status, 401, "{why}: {answer:?}");
        let text = answer.text();
        assert!(
            text.contains("That passkey lets nobody in here."),
            "{why}: {text}"
        );
        assert!(!text.contains("anna"), "{why}: {text}");
        // All but what is of this browser alone.
        let (start, rest) = text.split_once("name=\"form\" value=\"").expect("a form");
        let rest = rest.replace(&rest[..64], "");
        texts.push(format!("{start}{rest}"));
    };
    for (number, (reason, lie)) in lies.into_iter().enumerate() {
        // Of more than ten a second from one client, the audit file counts the rest.
        let mut browser = browser(&gate).at(&format!("203.0.113.{number}"));
        let answer = log_in(&mut browser, &mut device, &lie);
        refused(&answer, reason);
        assert!(browser.session().is_none(), "{reason}");
        await_audit(&gate, &format!("\"reason\":\"{reason}\""));
    }
    // Anna's name on Ben's key, and the other way round.
    let mix = Lie {
        handle: Some(device.keys[0].handle.clone()),
        ..Lie::default()
    };
    refused(
        &log_in(&mut browser(&gate), &mut bens, &mix),
        "anna's name, ben's key",
    );
    let mix = Lie {
        id: Some(device.keys[0].id.clone()),
        ..Lie::default()
    };
    refused(
        &log_in(&mut browser(&gate), &mut bens, &mix),
        "anna's key, ben's signature",
    );
    for garbage in [
        "x".to_owned(),
        "{}".to_owned(),
        "null".to_owned(),
        "[".repeat(5000),
        format!("{{\"id\":\"{}\"}}", "A".repeat(9000)),
    ] {
        let mut browser = browser(&gate);
        let page = browser.get(LOGIN);
        options(&mut browser, &page, LOGIN_KEY);
        let answer = browser.submit(&page, LOGIN_KEY, &[("answer", &garbage)]);
        refused(&answer, &garbage[..1]);
    }
    let mut browser = browser(&gate);
    let page = browser.get(LOGIN);
    let long = "A".repeat(90_000);
    assert_eq!(browser.submit(&page, LOGIN_KEY, &[("answer", &long)]).status, 413);
    assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "{texts:#?}");
    for word in ["ERROR", "parser", "Credential"] {
        assert!(!gate.log().contains(word), "{word}: {}", gate.log());
    }
    // None of it harmed the right one.
    assert_eq!(log_in(&mut browser, &mut device, &Lie::default()).status, 303);
}

// "challenges single-use with a short life and bound to the pending session"; M-08: "challenge
// reuse/expired/other session"
#[test]
fn a_challenge_is_for_one_page_of_one_browser_and_one_answer() {
    let backend = Backend::start();
    let gate = house(&backend, PATIENT);
    let mut device = Authenticator::at(ORIGIN);
    assert_eq!(
        make(&mut logged_in(&gate, "anna"), &mut device, "phone").status,
        200
    );
    let nobody = |browser: &Browser| assert!(browser.session().is_none());
    let late = |answer: &Answer| {
        assert_eq!(answer.status, 401, "{answer:?}");
        assert!(
            answer.text().contains("gave no passkey in time"),
            "{}",
            answer.text()
        );
    };

    // Twice, right and wrong.
    let mut first = browser(&gate);
    let page = first.get(LOGIN);
    let asked = options(&mut first, &page, LOGIN_KEY);
    let answer = device.show(&asked, &Lie::default());
    let again = first.clone();
    assert_eq!(first.submit(&page, LOGIN_KEY, &[("answer", &answer)]).status, 303);
    let mut thief = again;
    late(&thief.submit(&page, LOGIN_KEY, &[("answer", &answer)]));
    nobody(&thief);
    let mut second = browser(&gate);
    let page = second.get(LOGIN);
    let asked = options(&mut second, &page, LOGIN_KEY);
    let wrong = device.show(
        &asked,
        &Lie {
            unverified: true,
            ..Lie::default()
        },
    );
    assert_eq!(second.submit(&page, LOGIN_KEY, &[("answer", &wrong)]).status, 401);
    let right = device.show(&asked, &Lie::default());
    late(&second.submit(&page, LOGIN_KEY, &[("answer", &right)]));

    // Of another browser, without having asked, and after asking anew.
    let mut third = browser(&gate);
    let page = third.get(LOGIN);
    let asked = options(&mut third, &page, LOGIN_KEY);
    let answer = device.show(&asked, &Lie::default());
    let mut other = browser(&gate);
    let others = other.get(LOGIN);
    late(&other.submit(&others, LOGIN_KEY, &[("answer", &answer)]));
    options(&mut other, &others, LOGIN_KEY);
    assert_eq!(
        other.submit(&others, LOGIN_KEY, &[("answer", &answer)]).status,
        401
    );
    nobody(&other);
    let foreign = other.submit(&page, LOGIN_KEY, &[("answer", &answer)]);
    assert_eq!(foreign.status, 403, "somebody else's form");
    options(&mut third, &page, LOGIN_KEY);
    assert_eq!(third.submit(&page, LOGIN_KEY, &[("answer", &answer)]).status, 401);
    nobody(&third);

    // Between the login page and the second factor, and between two logins that lack it.
    let mut half = halfway(&gate, "anna");
    let second_page = half.get(SECOND);
    let asked = options(&mut half, &second_page, SECOND_KEY);
    let answer = device.show(&asked, &Lie::default());
    let login_page = half.get(LOGIN);
    late(&half.submit(&login_page, LOGIN_KEY, &[("answer", &answer)]));
    let mut other_half = halfway(&gate, "anna");
    let others = other_half.get(SECOND);
    late(&other_half.submit(&others, SECOND_KEY, &[("answer", &answer)]));
    assert_eq!(
        other_half
            .submit(&second_page, SECOND_KEY, &[("answer", &answer)])
            .status,
        403
    );
    nobody(&other_half);
    let asked = options(&mut half, &login_page, LOGIN_KEY);
    let login_answer = device.show(&asked, &Lie::default());
    assert_eq!(
        half.submit(&second_page, SECOND_KEY, &[("answer", &login_answer)])
            .status,
        401
    );
    nobody(&half);
    // M-05: "pending-MFA session used on any other endpoint"
    for (action, path) in [("app", NEW), ("options", "/_sidegate/profile/passkey/options")] {
        let answer = half.post(path, &[("form", "0"), ("answer", "x")]);
        assert!(
            location(&answer).1.contains("/_sidegate/login?"),
            "{action}: {answer:?}"
        );
    }
    // What the forms are for is asked from pages of this host only.
    let token = login_page
        .text()
        .split("name=\"form\" value=\"")
        .nth(1)
        .expect("a form")[..64]
        .to_owned();
    for path in [LOGIN_KEY.to_owned(), format!("{LOGIN_KEY}/options")] {
        let fields = [("form", token.as_str()), ("answer", &login_answer)];
        let foreign = half.post_as(&path, &fields, &["Origin: http://evil.test"]);
        assert_eq!(foreign.status, 403, "{path}");
        let bare = half.post(&path, &[("answer", &login_answer)]);
        assert_eq!(bare.status, 403, "{path}");
        let get = half.get(&path);
        assert!([303, 405].contains(&get.status), "{path}: {get:?}");
    }
}

// "Signature counters": of two that count the same, one is a copy, and nobody can tell which
#[test]
fn of_two_answers_with_one_count_one_comes_in() {
    let backend = Backend::start();
    let gate = house(&backend, PATIENT);
    let mut device = Authenticator::at(ORIGIN);
    assert_eq!(
        make(&mut logged_in(&gate, "anna"), &mut device, "phone").status,
        200
    );
    let ready: Vec<_> = (0..8)
        .map(|number| {
            let mut browser = if number % 2 == 0 {
                browser(&gate)
            } else {
                halfway(&gate, "anna")
            };
            let (path, action) = if number % 2 == 0 {
                (LOGIN, LOGIN_KEY)
            } else {
                (SECOND, SECOND_KEY)
            };
            let page = browser.get(path);
            let asked = options(&mut browser, &page, action);
            let answer = device.show(
                &asked,
                &Lie {
                    count: Some(100),
                    ..Lie::default()
                },
            );
            (browser, page, action, answer)
        })
        .collect();
    let threads: Vec<_> = ready
        .into_iter()
        .map(|(mut browser, page, action, answer)| {
            std::thread::spawn(move || browser.submit(&page, action, &[("answer", &answer)]).status)
        })
        .collect();
    let statuses: Vec<u16> = threads
        .into_iter()
        .map(|one| one.join().expect("no panic"))
        .collect();
    assert_eq!(
        statuses.iter().filter(|status| **status == 303).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|status| **status == 401).count(),
        7,
        "{statuses:?}"
    );
    // One that never counts, as those that are kept in several devices, is none.
    let mut synced = Authenticator::at(ORIGIN);
    add(&gate, "ben");
    assert_eq!(
        make(&mut logged_in(&gate, "ben"), &mut synced, "cloud").status,
        200
    );
    for _ in 0..2 {
        let never = Lie {
            count: Some(0),
            ..Lie::default()
        };
        assert_eq!(log_in(&mut browser(&gate), &mut synced, &never).status, 303);
    }
}

// "second-factor page (passkey among the choices), step-up"
#[test]
fn a_passkey_stands_for_the_code() {
    let backend = Backend::start();
    let gate = house(&backend, PATIENT);
    add(&gate, "ben");
    let mut anna = logged_in(&gate, "anna");
    let (app, _) = enrol_here(&mut anna);
    let mut device = Authenticator::at(ORIGIN);
    let done = make(&mut anna, &mut device, "phone");
    assert_eq!(
        location(&done),
        (303, "/_sidegate/profile?done=passkey"),
        "there are backup codes"
    );
    let mut bens = Authenticator::at(ORIGIN);
    assert_eq!(make(&mut logged_in(&gate, "ben"), &mut bens, "phone").status, 200);

    let mut half = halfway(&gate, "anna");
    let page = half.get(SECOND);
    assert!(
        page.text().contains("authenticator app shows"),
        "either will do: {}",
        page.text()
    );
    let asked = options(&mut half, &page, SECOND_KEY);
    let listed = asked["publicKey"]["allowCredentials"].as_array().expect("a list");
    assert_eq!(listed.len(), 1, "{asked}");
    // Without the name inside, which many keys keep to themselves.
    let answer = device.show(
        &asked,
        &Lie {
            handle: Some(Vec::new()),
            ..Lie::default()
        },
    );
    let fields = [("answer", answer.as_str()), ("remember_device", "1")];
    let right = half.submit(&page, SECOND_KEY, &fields);
    assert_eq!(location(&right), (303, "/_sidegate/"));
    assert!(half.cookies.contains_key("sidegate-device") && !half.cookies.contains_key("sidegate-pending"));
    assert_eq!(half.get("/two").status, 200);

    // Somebody else's key is no second factor, whatever it is told to show.
    let mut thief = halfway(&gate, "anna");
    let page = thief.get(SECOND);
    let mut asked = options(&mut thief, &page, SECOND_KEY);
    asked["publicKey"]["allowCredentials"] = Value::Array(Vec::new());
    let answer = bens.show(&asked, &Lie::default());
    assert_eq!(
        thief.submit(&page, SECOND_KEY, &[("answer", &answer)]).status,
        401
    );
    await_audit(&gate, "\"reason\":\"passkey-of-another\"");
    assert!(thief.session().is_none());
    assert_eq!(show(&mut thief, &mut device, &Lie::default()).status, 303);

    // Step-up in place: a browser that is not asked, and then is.
    half.cookies.remove("sidegate");
    assert_eq!(location(&half.login("anna", PASSWORD)), (303, "/_sidegate/"));
    let before = half.session().expect("a login").to_owned();
    let page = half.open("/two/x");
    let asked = options(&mut half, &page, SECOND_KEY);
    let wrong = device.show(
        &asked,
        &Lie {
            unverified: true,
            ..Lie::default()
        },
    );
    assert_eq!(half.submit(&page, SECOND_KEY, &[("answer", &wrong)]).status, 401);
    assert_eq!(half.get("/two/x").status, 303);
    let asked = options(&mut half, &page, SECOND_KEY);
    let right = device.show(&asked, &Lie::default());
    let right = half.submit(&page, SECOND_KEY, &[("answer", &right)]);
    assert_eq!(location(&right), (303, "/two/x"));
    assert_ne!(half.session(), Some(before.as_str()));
    assert_eq!(half.get("/two/x").status, 200);

    // The app still does.
    assert_eq!(type_code(&mut halfway(&gate, "anna"), &app.code(1)).status, 303);
}

/// As [`enrol`], by a browser of this file.
fn enrol_here(browser: &mut Browser) -> (support::house::App, Vec<String>) {
    enrol(browser)
}

// "add, rename, remove; enrolling/removing needs a recent login"; "several passkeys per person, duplicate
// registration excluded"
#[test]
fn passkeys_are_made_named_and_removed_by_who_has_just_shown_all() {
    let backend = Backend::start();
    let gate = house(&backend, PATIENT);
    let mut anna = logged_in(&gate, "anna");
    let mut device = Authenticator::at(ORIGIN);
    let none = Lie::default;
    let lies: [(&str, Lie); 9] = [
        (
            "passkey-origin",
            Lie {
                origin: Some("http://evil.test"),
                ..none()
            },
        ),
        (
            "passkey-site",
            Lie {
                site: Some("evil.test"),
                ..none()
            },
        ),
        (
            "passkey-challenge",
            Lie {
                challenge: Some("A".repeat(43)),
                ..none()
            },
        ),
        (
            "passkey-wrong",
            Lie {
                kind: Some("webauthn.get"),
                ..none()
            },
        ),
        (
            "passkey-unverified",
            Lie {
                unverified: true,
                ..none()
            },
        ),
        (
            "passkey-unverified",
            Lie {
                absent: true,
                ..none()
            },
        ),
        (
            "passkey-wrong",
            Lie {
                algorithm: true,
                ..none()
            },
        ),
        (
            "passkey-origin",
            Lie {
                cross_origin: true,
                ..none()
            },
        ),
        (
            "passkey-malformed",
            Lie {
                credential_type: Some("other"),
                ..none()
            },
        ),
    ];
    for (reason, lie) in lies {
        let page = anna.get(NEW);
        let asked = options(&mut anna, &page, NEW);
        let answer = Authenticator::at(ORIGIN).make(&asked, &lie);
        let refused = anna.submit(&page, NEW, &[("answer", &answer), ("name", "x")]);
        assert_eq!(refused.status, 400, "{reason}: {}", refused.text());
        assert!(
            refused.text().contains("No passkey was made."),
            "{reason}: {}",
            refused.text()
        );
        await_audit(
            &gate,
            &format!("\"reason\":\"not done: second factor: passkey: {reason}\""),
        );
        let late = anna.submit(&page, NEW, &[("answer", &answer), ("name", "x")]);
        assert_eq!(late.status, 400, "{reason}");
    }
    assert_eq!(factors(&gate, "anna")["second_factor"], false);

    assert_eq!(make(&mut anna, &mut device, "phone").status, 200);
    assert_eq!(make(&mut anna, &mut device, "").status, 303);
    let page = anna.get(NEW);
    let asked = options(&mut anna, &page, NEW);
    let excluded = asked["publicKey"]["excludeCredentials"]
        .as_array()
        .expect("a list");
    assert_eq!(excluded.len(), 2, "{asked}");
    // A browser that makes it all the same.
    let twice = Lie {
        id: Some(device.keys[0].id.clone()),
        ..Lie::default()
    };
    let answer = Authenticator::at(ORIGIN).make(&asked, &twice);
    let refused = anna.submit(&page, NEW, &[("answer", &answer), ("name", "x")]);
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("already"), "{}", refused.text());
    // "duplicate credential id registration": of somebody else, too.
    add(&gate, "ben");
    let mut ben = logged_in(&gate, "ben");
    let page = ben.get(NEW);
    let asked = options(&mut ben, &page, NEW);
    let answer = Authenticator::at(ORIGIN).make(&asked, &twice);
    assert_eq!(
        ben.submit(&page, NEW, &[("answer", &answer), ("name", "x")])
            .status,
        400
    );
    assert_eq!(factors(&gate, "ben")["passkeys"], Value::Array(Vec::new()));

    let listed = factors(&gate, "anna");
    assert_eq!(listed["passkeys"][0]["name"], "phone");
    assert_eq!(listed["passkeys"][1]["name"], "localhost 2");
    let (first, second) = (&listed["passkeys"][0]["id"], &listed["passkeys"][1]["id"]);
    let (first, second) = (first.as_str().expect("an id"), second.as_str().expect("an id"));
    let rename = "/_sidegate/profile/passkeys/rename";
    let remove = "/_sidegate/profile/passkeys/remove";
    let page = anna.get(PROFILE);
    let renamed = anna.submit(&page, rename, &[("id", second), ("name", "<b>key</b>")]);
    assert_eq!(location(&renamed), (303, "/_sidegate/profile?done=passkey-name"));
    assert!(anna.get(PROFILE).text().contains("&#60;b&#62;key&#60;/b&#62;"));
    assert_eq!(
        anna.submit(&page, rename, &[("id", second), ("name", " ")])
            .status,
        400
    );
    assert_eq!(
        anna.post(rename, &[("id", second), ("name", "x")]).status,
        403,
        "no form of ours"
    );
    // Ben's form cannot touch Anna's.
    let token = ben
        .get(PROFILE)
        .text()
        .split("name=\"form\" value=\"")
        .nth(1)
        .expect("a form")[..64]
        .to_owned();
    for action in [rename, remove] {
        let fields = [("form", token.as_str()), ("id", first), ("name", "x")];
        assert_eq!(ben.post(action, &fields).status, 404, "{action}");
    }

    // A login that skipped the factor may not.
    let mut half = halfway(&gate, "anna");
    let second_page = half.get(SECOND);
    let asked = options(&mut half, &second_page, SECOND_KEY);
    let answer = device.show(&asked, &Lie::default());
    let fields = [("answer", answer.as_str()), ("remember_device", "1")];
    assert_eq!(half.submit(&second_page, SECOND_KEY, &fields).status, 303);
    half.cookies.remove("sidegate");
    assert_eq!(location(&half.login("anna", PASSWORD)), (303, "/_sidegate/"));
    let own = half.get(PROFILE).text();
    let token = own.split("name=\"form\" value=\"").nth(1).expect("a form")[..64].to_owned();
    assert!(!own.contains(remove), "{own}");
    for (action, to) in [
        (remove, 303),
        (NEW, 303),
        ("/_sidegate/profile/passkey/options", 403),
    ] {
        let answer = half.post(action, &[("form", &token), ("id", first)]);
        assert_eq!(answer.status, to, "{action}: {answer:?}");
        assert!(
            to == 403 || location(&answer).1.contains("login?why=again"),
            "{answer:?}"
        );
    }
    assert!(location(&half.get(NEW)).1.contains("login?why=again"));
    // Once more with the passkey is enough.
    let page = half.open(NEW);
    let asked = options(&mut half, &page, LOGIN_KEY);
    let answer = device.show(&asked, &Lie::default());
    let again = half.submit(&page, LOGIN_KEY, &[("answer", &answer)]);
    assert_eq!(location(&again), (303, NEW));
    assert_eq!(half.get(NEW).status, 200);

    // One removed, the other works; the last one takes what stands for factors with it.
    let page = anna.get(PROFILE);
    let removed = anna.submit(&page, remove, &[("id", second)]);
    assert_eq!(
        location(&removed),
        (303, "/_sidegate/profile?done=passkey-removed")
    );
    assert_eq!(anna.submit(&page, remove, &[("id", second)]).status, 404);
    let gone = device.keys.pop().expect("two");
    assert_eq!(
        log_in(&mut browser(&gate), &mut device, &Lie::default()).status,
        303
    );
    device.keys.push(gone);
    assert_eq!(
        log_in(&mut browser(&gate), &mut device, &Lie::default()).status,
        401
    );
    await_audit(&gate, "\"reason\":\"second factor: passkey removed\"");
    let removed = anna.submit(&page, remove, &[("id", first)]);
    assert_eq!(removed.status, 303);
    let listed = factors(&gate, "anna");
    assert_eq!(listed["second_factor"], false, "{listed}");
    assert_eq!(listed["backup_codes"], 0, "{listed}");
    logged_in(&gate, "anna");
}

#[test]
fn twenty_passkeys_are_enough_for_one_person() {
    let backend = Backend::start();
    let gate = house(&backend, PATIENT);
    let mut anna = logged_in(&gate, "anna");
    let mut device = Authenticator::at(ORIGIN);
    for number in 0..20 {
        let made = make(&mut anna, &mut device, &format!("key {number}"));
        assert!([200, 303].contains(&made.status), "{number}: {made:?}");
    }
    let page = anna.get(NEW);
    assert!(
        page.text().contains("as many passkeys as one can have"),
        "{}",
        page.text()
    );
    let refused = anna.fetch(&page, NEW, &format!("{NEW}/options"));
    assert_eq!(refused.status, 409);
    let refused = anna.submit(&page, NEW, &[]);
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("as many passkeys as one can have"));
    let page = anna.get(PROFILE);
    assert_eq!(page.status, 200);
    assert_eq!(
        log_in(&mut browser(&gate), &mut device, &Lie::default()).status,
        303
    );
}

// "a removed/disabled user cannot use them, owner `user recover` works with passkeys lost"; "Everything must
// survive restart"; "a stolen store … is worth nothing"
#[test]
fn passkeys_last_as_long_as_their_account() {
    let backend = Backend::start();
    let mut gate = house(&backend, PATIENT);
    add(&gate, "ben");
    let mut bens = Authenticator::at(ORIGIN);
    assert_eq!(make(&mut logged_in(&gate, "ben"), &mut bens, "phone").status, 200);
    let come_in = |gate: &Sidegate, device: &mut Authenticator| {
        log_in(&mut browser(gate), device, &Lie::default()).status
    };
    gate.cli(&["user", "disable", "ben"]).success();
    assert_eq!(come_in(&gate, &mut bens), 401);
    await_audit(&gate, "\"reason\":\"user-disabled\"");
    gate.cli(&["user", "enable", "ben"]).success();
    assert_eq!(come_in(&gate, &mut bens), 303);

    gate.cli(&["keys", "rotate"]).success();
    gate.cli(&["keys", "rotate", "--drop-old"]).success();
    gate.kill();
    for file in std::fs::read_dir(gate.state()).expect("readable") {
        let path = file.expect("an entry").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("readable");
            let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
            assert!(
                !has(&bens.keys[0].id) && !has(b"webauthn") && !has(b"passkey-"),
                "{path:?}"
            );
        }
    }
    gate.restart();
    assert_eq!(
        come_in(&gate, &mut bens),
        303,
        "and after a restart, with other keys"
    );

    // Whoever gets the name next starts with nothing.
    gate.cli(&["user", "remove", "ben"]).success();
    add(&gate, "ben");
    logged_in(&gate, "ben");
    let mut annas = Authenticator::at(ORIGIN);
    let made = make(&mut logged_in(&gate, "anna"), &mut annas, "key");
    let codes = backup_codes(&made.text());
    assert_eq!(come_in(&gate, &mut bens), 401);

    // The passkey is lost: a link that passes it by once and leaves it as it is, or a backup code; or all is taken away.
    let link = gate.cli(&["user", "recover", "anna"]).success().stdout;
    let (_, path) = link.trim().split_once("/_sidegate/").expect("a link");
    let path = format!("/_sidegate/{path}");
    let mut lost = browser(&gate);
    let page = lost.get(&path);
    let fields = [("password", PASSWORD), ("again", PASSWORD)];
    let set = lost.submit(&page, "/_sidegate/setup", &fields);
    assert_eq!(location(&set), (303, "/_sidegate/"));
    assert_eq!(lost.get("/app").status, 200);
    assert_eq!(type_code(&mut halfway(&gate, "anna"), &codes[0]).status, 303);
    let json = gate
        .cli(&["user", "factors", "anna", "--reset", "--output", "json"])
        .success();
    assert!(
        json.stdout.contains("\"second_factor\": false"),
        "{}",
        json.stdout
    );
    logged_in(&gate, "anna");
    // Nobody has one: it is not offered, and asking all the same is of no use.
    assert!(!browser(&gate).get(LOGIN).text().contains("data-passkey"));
}

// "rate limits and throttle apply"
#[test]
fn passkeys_are_not_tried_for_ever() {
    let backend = Backend::start();
    let gate = house(&backend, "[guard]\nguesses = \"3 in 15m\"\n");
    let mut device = Authenticator::at(ORIGIN);
    let made = make(&mut logged_in(&gate, "anna"), &mut device, "phone");
    let codes = backup_codes(&made.text());
    let wrong = || Lie {
        unverified: true,
        ..Lie::default()
    };
    for _ in 0..3 {
        assert_eq!(
            show(&mut halfway(&gate, "anna"), &mut device, &wrong()).status,
            401
        );
    }
    let throttled = show(&mut halfway(&gate, "anna"), &mut device, &Lie::default());
    assert_eq!(throttled.status, 429, "not even the right one");
    assert!(throttled.header("retry-after").is_some());
    assert_eq!(
        log_in(&mut browser(&gate), &mut device, &Lie::default()).status,
        429,
        "nor on the other page"
    );
    // Codes have a count of their own.
    assert_eq!(type_code(&mut halfway(&gate, "anna"), &codes[0]).status, 303);
}

// K: "bans": a stranger who shows what nobody has is counted as for any wrong credential
#[test]
fn wrong_passkeys_bring_a_ban() {
    let backend = Backend::start();
    let settings = "server: trusted_proxies = [\"127.0.0.1/32\"]\n[guard]\nfailures = \"3 in 5m\"\n";
    let gate = house(&backend, settings);
    let mut device = Authenticator::at(ORIGIN);
    assert_eq!(
        make(&mut logged_in(&gate, "anna"), &mut device, "phone").status,
        200
    );
    let mut stranger = browser(&gate).at("203.0.113.7");
    for _ in 0..3 {
        let wrong = Lie {
            id: Some(vec![9; 32]),
            ..Lie::default()
        };
        assert_eq!(log_in(&mut stranger, &mut device, &wrong).status, 401);
    }
    let page = browser(&gate).get(LOGIN);
    let banned = stranger.fetch(&page, LOGIN_KEY, &format!("{LOGIN_KEY}/options"));
    assert!([403, 429].contains(&banned.status), "{banned:?}");
    assert_eq!(stranger.get("/app").status, 429);
}

// "origin and rp id from the public address of the request/host in configuration (rp id rules for IP addresses:
// not possible → say so plainly on the page)"
#[test]
fn where_browsers_know_no_passkeys_the_page_says_so() {
    let backend = Backend::start();
    let gate = house(&backend, "server: public_url = \"http://localhost\"\n");
    let mut device = Authenticator::at(ORIGIN);
    assert_eq!(
        make(&mut logged_in(&gate, "anna"), &mut device, "phone").status,
        200
    );
    for host in ["127.0.0.1:8480", "[::1]:8480", "gate.test"] {
        let mut browser = Browser::new(gate.address);
        browser.host = host;
        let page = browser.get(LOGIN);
        let text = page.text();
        let sentence = format!("Passkeys do not work at http://{host}:");
        assert!(text.contains(&sentence), "{host}: {text}");
        assert!(
            !text.contains("data-passkey") && !text.contains("<script"),
            "{host}: {text}"
        );
        assert!(
            !page
                .header("content-security-policy")
                .expect("set")
                .contains("script-src")
        );
        assert_eq!(browser.login("anna", PASSWORD).status, 303);
        assert!(browser.get(SECOND).text().contains(&sentence), "{host}");
    }
    let mut numbered = Browser::new(gate.address);
    numbered.host = "127.0.0.1:8480";
    add(&gate, "ben");
    assert_eq!(numbered.login("ben", PASSWORD).status, 303);
    let page = numbered.get(NEW);
    let text = page.text();
    assert!(
        text.contains("Passkeys do not work at http://127.0.0.1:8480:"),
        "{text}"
    );
    assert!(
        text.contains("href=\"http://localhost/_sidegate/profile/passkey\""),
        "{text}"
    );
    assert!(
        !text.contains("<form data-passkey") && !text.contains("<script"),
        "{text}"
    );
}

// "makes them for `home.example`": and for what the settings name below it
#[test]
fn a_page_below_the_public_address_asks_for_passkeys_where_a_route_names_it() {
    let backend = Backend::start();
    let route = format!(
        "[[route]]\nhost = \"app.localhost\"\npath = \"/\"\nupstream = \"http://{}\"\n{PATIENT}",
        backend.address
    );
    let gate = house(
        &backend,
        &format!("server: public_url = \"http://localhost\"\n{route}"),
    );
    let mut device = Authenticator::at(ORIGIN);
    assert_eq!(
        make(&mut logged_in(&gate, "anna"), &mut device, "phone").status,
        200
    );
    device.origin = "http://app.localhost".into();
    let at = |host: &'static str| {
        let mut browser = browser(&gate);
        browser.host = host;
        browser
    };
    let mut below = at("app.localhost");
    assert_eq!(log_in(&mut below, &mut device, &Lie::default()).status, 303);
    let lie = Lie {
        origin: Some(ORIGIN),
        ..Lie::default()
    };
    assert_eq!(log_in(&mut at("app.localhost"), &mut device, &lie).status, 401);
    // Anybody's server may answer there, and pass our page on.
    for host in [
        "evil.localhost",
        "evil.app.localhost",
        "app.localhost:6666",
        "localhost:6666",
    ] {
        let mut evil = at(host);
        let page = evil.get(LOGIN);
        let text = page.text();
        assert!(
            !text.contains("data-passkey") && !text.contains("<script"),
            "{host}"
        );
        assert!(
            text.contains("Your passkeys work only at localhost."),
            "{host}: {text}"
        );
        // The form is made with what the page has for the password.
        let (_, rest) = text.split_once("name=\"form\" value=\"").expect("a form");
        let form = rest.split('"').next().expect("it ends").to_owned();
        let origin = format!("Origin: http://{host}");
        let fields = [("form", form.as_str()), ("answer", "{}")];
        let asked = evil.post_as(&format!("{LOGIN_KEY}/options"), &fields, &[&origin]);
        assert_eq!(asked.status, 409, "{host}: {asked:?}");
        assert_eq!(evil.post_as(LOGIN_KEY, &fields, &[&origin]).status, 400, "{host}");
        assert_eq!(evil.login("anna", PASSWORD).status, 303);
        let page = evil.get(SECOND);
        assert!(!page.text().contains("data-passkey"), "{host}");
    }
}

// A login that somebody else began in this browser is over with the next one.
#[test]
fn a_login_takes_the_one_that_was_begun_before_away() {
    let backend = Backend::start();
    let gate = house(&backend, PATIENT);
    add(&gate, "ben");
    let mut device = Authenticator::at(ORIGIN);
    assert_eq!(
        make(&mut logged_in(&gate, "anna"), &mut device, "phone").status,
        200
    );
    let mut shared = halfway(&gate, "anna");
    assert_eq!(shared.get(SECOND).status, 200);
    assert_eq!(location(&shared.login("ben", PASSWORD)), (303, "/_sidegate/"));
    assert!(
        !shared.cookies.keys().any(|name| name.contains("pending")),
        "{:?}",
        shared.cookies
    );
}

// "rate limits and throttle apply": whoever asks and asks pushes out their own only
#[test]
fn one_client_keeps_nobody_else_from_showing_a_passkey() {
    let backend = Backend::start();
    let gate = house(
        &backend,
        &format!("server: trusted_proxies = [\"127.0.0.1/32\"]\n{PATIENT}"),
    );
    let mut device = Authenticator::at(ORIGIN);
    assert_eq!(
        make(&mut logged_in(&gate, "anna"), &mut device, "phone").status,
        200
    );
    let ask = |from: &str| {
        let mut browser = browser(&gate).at(from);
        let page = browser.get(LOGIN);
        let asked = options(&mut browser, &page, LOGIN_KEY);
        (browser, page, asked)
    };
    let (mut anna, page, asked) = ask("2001:db8:1::7");
    let (mut first, first_page, first_asked) = ask("2001:db8:2::1");
    // A few more than its share: those of one millisecond are of one age.
    for number in 0..160 {
        ask(&format!("2001:db8:2::{number:x}"));
    }
    let answer = device.show(&first_asked, &Lie::default());
    let late = first.submit(&first_page, LOGIN_KEY, &[("answer", &answer)]);
    assert_eq!(late.status, 401, "one /64 is one client, and has its share");
    let answer = device.show(&asked, &Lie::default());
    assert_eq!(anna.submit(&page, LOGIN_KEY, &[("answer", &answer)]).status, 303);
}

// Without `public_url` each host has its own.
#[test]
fn a_passkey_is_for_one_host() {
    let backend = Backend::start();
    let gate = house(&backend, PATIENT);
    let mut device = Authenticator::at(ORIGIN);
    assert_eq!(
        make(&mut logged_in(&gate, "anna"), &mut device, "phone").status,
        200
    );
    let mut other = browser(&gate);
    other.host = "other.localhost";
    assert_eq!(location(&other.login("anna", PASSWORD)), (303, SECOND));
    let page = other.get(SECOND);
    assert!(
        page.text().contains("Your passkeys work only at localhost."),
        "{}",
        page.text()
    );
    // An authenticator that signs for what it likes, as none does.
    let page = other.get(LOGIN);
    let asked = options(&mut other, &page, LOGIN_KEY);
    assert_eq!(asked["publicKey"]["rpId"], "other.localhost");
    device.origin = "http://other.localhost".into();
    device.keys[0].site = "other.localhost".into();
    let answer = device.show(&asked, &Lie::default());
    assert_eq!(other.submit(&page, LOGIN_KEY, &[("answer", &answer)]).status, 401);
    await_audit(&gate, "\"reason\":\"passkey-site\"");
}

// "admin page of a user", "REST and OpenAPI"
#[test]
fn administrators_see_passkeys_and_take_them_away() {
    let backend = Backend::start();
    let gate = house(&backend, PATIENT);
    add(&gate, "ben");
    let mut device = Authenticator::at(ORIGIN);
    assert_eq!(
        make(&mut logged_in(&gate, "ben"), &mut device, "blue key").status,
        200
    );
    let mut anna = logged_in(&gate, "anna");
    let page = anna.get("/_sidegate/admin/people/ben");
    assert!(page.text().contains("<h3>blue key</h3>"), "{}", page.text());

    let token = gate
        .cli(&["token", "create", "script", "--user", "anna", "--scope", "admin"])
        .success();
    let bearer = format!("Authorization: Bearer {}", token.stdout.trim());
    let shown = gate.get("/_sidegate/api/v1/users/ben/factors", &[&bearer]);
    assert_eq!(shown.status, 200, "{}", shown.text());
    let json: Value = serde_json::from_slice(&shown.body).expect("JSON");
    assert_eq!(json["factors"]["passkeys"][0]["name"], "blue key", "{json}");
    assert_eq!(json["factors"]["passkeys"][0]["site"], "localhost", "{json}");
    let own = gate.token("ben", "phone");
    let own = format!("Authorization: Bearer {own}");
    assert_eq!(
        gate.get("/_sidegate/api/v1/users/ben/factors", &[&own]).status,
        200
    );
    assert_eq!(
        gate.get("/_sidegate/api/v1/users/anna/factors", &[&own]).status,
        403
    );
    assert_eq!(
        gate.send("DELETE", "/_sidegate/api/v1/users/ben/factors", &[&own], b"")
            .status,
        403
    );
    let reset = gate.send("DELETE", "/_sidegate/api/v1/users/ben/factors", &[&bearer], b"");
    assert_eq!(reset.status, 200, "{}", reset.text());
    let json: Value = serde_json::from_slice(&reset.body).expect("JSON");
    assert_eq!(json["factors"]["second_factor"], false, "{json}");
    assert_eq!(log_in_anyhow(&gate, &mut device), 401);

    let mut ben = logged_in(&gate, "ben");
    assert_eq!(make(&mut ben, &mut device, "green key").status, 200);
    let page = anna.get("/_sidegate/admin/people/ben");
    let done = anna.submit(&page, "/_sidegate/admin/people/ben/factors", &[]);
    assert_eq!(location(&done), (303, "/_sidegate/admin/people/ben?done=factors"));
    assert_eq!(factors(&gate, "ben")["second_factor"], false);
    logged_in(&gate, "ben");
}

/// Where nobody has a passkey, the page does not offer to show one; its address is there.
fn log_in_anyhow(gate: &Sidegate, device: &mut Authenticator) -> u16 {
    let mut browser = browser(gate);
    let page = browser.get(LOGIN);
    let asked = browser.fetch(&page, LOGIN, &format!("{LOGIN_KEY}/options"));
    assert_eq!(asked.status, 200, "{asked:?}");
    let asked = serde_json::from_slice(&asked.body).expect("JSON");
    let token = page
        .text()
        .split("name=\"form\" value=\"")
        .nth(1)
        .expect("a form")[..64]
        .to_owned();
    let answer = device.show(&asked, &Lie::default());
    browser
        .post(LOGIN_KEY, &[("form", &token), ("answer", &answer)])
        .status
}

// "CBOR garbage": nothing that a browser sends ends a worker
#[test]
fn mutated_answers_are_refused_and_harm_nothing() {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    use sidegate::crypto::passkey::{Answer, Party};
    let party = Party::new(ORIGIN, "localhost").expect("a name");
    let mut device = Authenticator::at(ORIGIN);
    let parsed = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    // The same numbers in every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = move |most: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % most as u64).expect("small")
    };
    let mut mutated = |answer: &str| {
        let mut answer = parsed(answer);
        let fields = [
            "attestationObject",
            "authenticatorData",
            "clientDataJSON",
            "signature",
        ];
        let field = loop {
            let field = fields[below(fields.len())];
            if answer["response"][field].is_string() {
                break field;
            }
        };
        let mut bytes = BASE64
            .decode(answer["response"][field].as_str().expect("text"))
            .expect("base 64");
        for _ in 0..=below(3) {
            let at = below(bytes.len().max(1));
            match below(4) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at.min(bytes.len()), 0xff),
                2 => bytes.extend_from_within(..at.min(bytes.len())),
                _ if at < bytes.len() => bytes[at] ^= 1 << below(8),
                _ => {}
            }
        }
        answer["response"][field] = BASE64.encode(bytes).into();
        answer.to_string()
    };
    let (asked, making) = party
        .make([5; 16], "anna", "", std::iter::empty())
        .expect("options");
    let made = device.make(&parsed(&asked), &Lie::default());
    let key = party.made(&made, &making).expect("a passkey");
    let mut kept = 0;
    for _ in 0..1500 {
        kept += usize::from(party.made(&mutated(&made), &making).is_ok());
    }
    // What "none" attestation leaves unsigned may change: the key, its id, the counter.
    assert!(kept < 1000, "{kept}");
    for _ in 0..1500 {
        let (asked, asking) = party.ask(std::iter::once(&key)).expect("options");
        let shown = device.show(&parsed(&asked), &Lie::default());
        let changed = mutated(&shown);
        if parsed(&changed) == parsed(&shown) {
            continue;
        }
        let Some(answer) = Answer::read(&changed) else {
            continue;
        };
        let mut key = key.clone();
        assert!(party.shown(&answer, asking, &mut key).is_err(), "{changed}");
    }
}
