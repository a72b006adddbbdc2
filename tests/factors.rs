//! Second factors and step-up, in a browser without scripts, through the real program.

mod support;

use support::house::{PASSWORD, add, audit, backup_codes, enrol, house, logged_in, type_code};
use support::{Answer, Backend, Browser, Sidegate, base64, eventually};

const SECOND: &str = "/_sidegate/second-factor";

/// A browser that has shown the password of somebody with a second factor.
fn halfway(gate: &Sidegate, name: &str) -> Browser {
    let mut browser = Browser::new(gate.address);
    let answer = browser.login(name, PASSWORD);
    assert_eq!((answer.status, answer.header("location")), (303, Some(SECOND)));
    assert!(browser.session().is_none());
    browser
}

fn location(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.header("location").unwrap_or_default())
}

// "TOTP (QR as inline SVG and as text, each step used once …), ten backup codes"
#[test]
fn an_app_is_set_up_and_asked_for() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut browser = logged_in(&gate, "anna");
    let before = browser.clone();
    let page = browser.get("/_sidegate/profile/app");
    let text = page.text();
    assert!(
        text.contains("<svg ") && text.contains("otpauth://totp/gate.test:anna?secret="),
        "{text}"
    );
    assert!(!text.contains("<script") && !text.contains(" style="));
    let policy = page.header("content-security-policy").expect("set");
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let app = support::house::App::scan(&text);
    let in_fours: Vec<String> = app
        .secret()
        .as_bytes()
        .chunks(4)
        .map(|four| String::from_utf8_lossy(four).into())
        .collect();
    assert!(text.contains(&in_fours.join(" ")), "as text too");

    // M-04: "codes … fullwidth, 000000, 5/7/8 digits, letters, 1 MB"
    for wrong in [
        "",
        "12345",
        "1234567",
        "12345678",
        "abcdef",
        "１２３４５６",
        &"1".repeat(10_000),
    ] {
        let answer = browser.submit(&page, "/_sidegate/profile/app", &[("code", wrong)]);
        assert_eq!(answer.status, 400, "{wrong}");
    }
    let code = app.code(0);
    let spaced = format!(" {} {} ", &code[..3], &code[3..]);
    let done = browser.submit(&page, "/_sidegate/profile/app", &[("code", &spaced)]);
    assert_eq!(done.status, 200, "{}", done.text());
    let codes = backup_codes(&done.text());
    // K-08: "after … TOTP enrol" the old id is worth nothing
    assert_ne!(browser.session(), before.session());
    assert_eq!(before.clone().get("/app").status, 303);
    assert_eq!(browser.get("/app").status, 200);

    let mut elsewhere = Browser::new(gate.address);
    let page = elsewhere.open("/app/list?a=1");
    let fields = [("name", "anna"), ("password", PASSWORD)];
    let asked = elsewhere.submit(&page, "/_sidegate/login", &fields);
    assert_eq!(
        location(&asked),
        (303, "/_sidegate/second-factor?rd=%2Fapp%2Flist%3Fa%3D1")
    );
    let page = elsewhere.open("/_sidegate/second-factor?rd=%2Fapp%2Flist%3Fa%3D1");
    // "code used at enrolment not accepted at login"
    let used = elsewhere.submit(&page, SECOND, &[("code", &code)]);
    assert_eq!(used.status, 401);
    assert!(used.text().contains("used already"), "{}", used.text());
    let wrong = elsewhere.submit(&page, SECOND, &[("code", "000000")]);
    assert!(wrong.status == 401 && wrong.text().contains("That code is wrong."));
    let right = elsewhere.submit(&page, SECOND, &[("code", &app.code(1))]);
    assert_eq!(location(&right), (303, "/app/list?a=1"));
    assert_eq!(elsewhere.get("/app/list?a=1").status, 200);
    assert!(!elsewhere.cookies.contains_key("sidegate-pending"));
    let audit = audit(&gate);
    for reason in ["code-used", "code-wrong", "second factor: app"] {
        assert!(audit.contains(&format!("\"reason\":\"{reason}\"")), "{reason}");
    }
    for secret in [app.secret(), code.as_str(), codes[0].as_str()] {
        assert!(
            !audit.contains(secret) && !gate.log().contains(secret),
            "{secret}"
        );
    }
}

// M-01: "right code twice; 50 concurrent; older step after newer: exactly one success (CAS on last_step)"
#[test]
fn of_many_who_show_one_code_one_comes_in() {
    let backend = Backend::start();
    let gate = house(&backend, "[guard]\nguesses = \"100 in 15m\"\nrate = \"off\"\n");
    let (app, _) = enrol(&mut logged_in(&gate, "anna"));
    let code = app.code(1);
    let waiting: Vec<(Browser, Answer)> = (0..20)
        .map(|_| {
            let mut browser = halfway(&gate, "anna");
            let page = browser.get(SECOND);
            (browser, page)
        })
        .collect();
    let threads: Vec<_> = waiting
        .into_iter()
        .map(|(mut browser, page)| {
            let code = code.clone();
            std::thread::spawn(move || browser.submit(&page, SECOND, &[("code", &code)]).status)
        })
        .collect();
    let statuses: Vec<u16> = threads
        .into_iter()
        .map(|thread| thread.join().expect("no panic"))
        .collect();
    assert_eq!(
        statuses.iter().filter(|status| **status == 303).count(),
        1,
        "{statuses:?}"
    );
    assert!(
        statuses.iter().all(|status| [303, 401].contains(status)),
        "{statuses:?}"
    );
    let older = type_code(&mut halfway(&gate, "anna"), &app.code(0));
    assert_eq!(older.status, 401, "an older step after a newer one");
}

// M-05: "pending-MFA session used on any other endpoint/proxy path: 401/303 back to MFA"; R-071: "empty/
// garbage/duplicate POST at each step never advances"
#[test]
fn a_password_alone_opens_nothing() {
    let backend = Backend::start();
    let gate = house(&backend, "[credentials]\nbasic_passwords = true\n");
    let basic = format!("Authorization: Basic {}", base64(&format!("anna:{PASSWORD}")));
    assert_eq!(gate.get("/app", &[&basic]).status, 200);
    let (_, codes) = enrol(&mut logged_in(&gate, "anna"));
    // What was verified before counts no more, and this road never asks for a code.
    assert_eq!(gate.get("/app", &[&basic]).status, 401);

    let mut browser = halfway(&gate, "anna");
    let pending = browser.cookies["sidegate-pending"].clone();
    for path in [
        "/app",
        "/",
        "/_sidegate/",
        "/_sidegate/profile",
        "/_sidegate/profile/app",
        "/_sidegate/logout",
    ] {
        let answer = browser.get(path);
        assert!(
            location(&answer).1.contains("/_sidegate/login?"),
            "{path}: {answer:?}"
        );
    }
    for name in ["sidegate", "sidegate-device", "sidegate-known"] {
        let mut other = Browser::new(gate.address);
        other.cookies.insert(name.into(), pending.clone());
        assert_eq!(other.get("/app").status, 303, "{name}");
    }
    let page = browser.get(SECOND);
    for fields in [
        &[][..],
        &[("code", "")],
        &[("code", " ")],
        &[("code", "000000"), ("code", "000001")],
        &[("code", PASSWORD)],
        &[("code", &pending)],
        &[("code", "0000-0000-0000")],
    ] {
        let answer = browser.submit(&page, SECOND, fields);
        assert_eq!(answer.status, 401, "{fields:?}");
        assert!(browser.session().is_none());
    }
    // Somebody else's form, and a foreign page's.
    let mut other = halfway(&gate, "anna");
    assert_eq!(other.submit(&page, SECOND, &[("code", &codes[0])]).status, 403);
    assert_eq!(browser.post(SECOND, &[("code", &codes[0])]).status, 403);
    let token = page
        .text()
        .split("name=\"form\" value=\"")
        .nth(1)
        .expect("a form")[..64]
        .to_owned();
    let filled = [("form", token.as_str()), ("code", &codes[0])];
    let foreign = browser.post_as(SECOND, &filled, &["Origin: http://evil.test"]);
    assert_eq!(foreign.status, 403);
    // None of this used the code up; and what it finished cannot be finished again.
    let again = browser.clone();
    assert_eq!(browser.submit(&page, SECOND, &[("code", &codes[0])]).status, 303);
    assert_eq!(browser.get("/app").status, 200);
    let answer = again.clone().submit(&page, SECOND, &[("code", &codes[1])]);
    assert!(location(&answer).1.contains("/_sidegate/login?"), "{answer:?}");
    assert_eq!(again.clone().get("/app").status, 303);
    // A password that changes ends what it began.
    let mut late = halfway(&gate, "anna");
    let page = late.get(SECOND);
    let words = ["user", "passwd", "anna", "--password-stdin"];
    gate.cli_with_input(&words, "other plain words\n").success();
    assert_eq!(late.submit(&page, SECOND, &[("code", &codes[2])]).status, 303);
    assert!(late.session().is_none());
}

// "ten backup codes (hashed, once each, shown once, anew on demand)"; "Secrets of factors are stored so that
// a stolen store without its key file is worth nothing"; "Everything must survive restart"
#[test]
fn factors_survive_and_a_stolen_store_tells_nothing() {
    let backend = Backend::start();
    let mut gate = house(&backend, "");
    let mut anna = logged_in(&gate, "anna");
    let (app, codes) = enrol(&mut anna);
    gate.kill();
    for file in std::fs::read_dir(gate.state()).expect("readable") {
        let path = file.expect("an entry").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("readable");
            let text = String::from_utf8_lossy(&bytes).to_lowercase();
            let raw = totp_rs::Secret::try_from_base32(app.secret()).expect("base 32");
            let hex: String = raw.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(
                !text.contains(&app.secret().to_lowercase()) && !text.contains(&hex),
                "{path:?}"
            );
            assert!(!bytes.windows(20).any(|part| part == raw.as_bytes()), "{path:?}");
            assert!(
                !text.contains(&codes[0]) && !text.contains(&codes[0].replace('-', "")),
                "{path:?}"
            );
        }
    }
    gate.restart();
    assert_eq!(
        type_code(&mut halfway(&gate, "anna"), &app.code(-1)).status,
        401,
        "used before"
    );
    assert_eq!(type_code(&mut halfway(&gate, "anna"), &app.code(0)).status, 303);
    let typed = codes[0].to_uppercase().replace('-', " ");
    assert_eq!(type_code(&mut halfway(&gate, "anna"), &typed).status, 303);
    assert_eq!(
        type_code(&mut halfway(&gate, "anna"), &codes[0]).status,
        401,
        "once"
    );
    let shown = gate.cli(&["user", "factors", "anna"]).success().stdout;
    assert!(shown.contains("backup codes") && shown.contains('9'), "{shown}");

    // Other keys, without the old ones.
    gate.cli(&["keys", "rotate"]).success();
    gate.cli(&["keys", "rotate", "--drop-old"]).success();
    gate.kill();
    gate.restart();
    assert_eq!(type_code(&mut halfway(&gate, "anna"), &codes[1]).status, 303);

    // Anew on demand, and then the old ones are worth nothing.
    let mut anna = halfway(&gate, "anna");
    assert_eq!(type_code(&mut anna, &app.code(1)).status, 303);
    let page = anna.get("/_sidegate/profile");
    let renewed = anna.submit(&page, "/_sidegate/profile/codes", &[]);
    assert_eq!(renewed.status, 200);
    let fresh = backup_codes(&renewed.text());
    assert_eq!(type_code(&mut halfway(&gate, "anna"), &codes[2]).status, 401);
    assert_eq!(type_code(&mut halfway(&gate, "anna"), &fresh[0]).status, 303);

    // The way back for somebody who lost all of it.
    let json = gate
        .cli(&["user", "factors", "anna", "--reset", "--output", "json"])
        .success();
    assert!(
        json.stdout.contains("\"second_factor\": false"),
        "{}",
        json.stdout
    );
    logged_in(&gate, "anna");
    // Whoever gets the name next starts with nothing.
    add(&gate, "ben");
    enrol(&mut logged_in(&gate, "ben"));
    gate.cli(&["user", "remove", "ben"]).success();
    add(&gate, "ben");
    logged_in(&gate, "ben");
}

// "remembered device (cookie, hashed in the store, revocable, with time limit)"
#[test]
fn a_browser_is_not_asked_again_if_it_was_told_so() {
    let backend = Backend::start();
    let mut gate = house(&backend, "");
    let (_, codes) = enrol(&mut logged_in(&gate, "anna"));
    let mut anna = halfway(&gate, "anna");
    let page = anna.get(SECOND);
    let fields = [("code", codes[0].as_str()), ("remember_device", "1")];
    let answer = anna.submit(&page, SECOND, &fields);
    assert_eq!(answer.status, 303);
    let device = answer
        .all("set-cookie")
        .into_iter()
        .find(|cookie| cookie.starts_with("sidegate-device="))
        .expect("set");
    assert!(
        device.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=2592000"),
        "{device}"
    );
    gate.kill();
    gate.restart();
    anna.cookies.remove("sidegate");
    assert_eq!(location(&anna.login("anna", PASSWORD)), (303, "/_sidegate/"));
    // It is for one account, and not for a change of factors.
    add(&gate, "ben");
    let (_, bens) = enrol(&mut logged_in(&gate, "ben"));
    let mut other = anna.clone();
    other.cookies.remove("sidegate");
    assert_eq!(location(&other.login("ben", PASSWORD)), (303, SECOND));
    let app = anna.get("/_sidegate/profile/app");
    assert!(location(&app).1.contains("login?why=again"), "{app:?}");
    let page = anna.open("/_sidegate/profile/app");
    assert!(
        page.text().contains("name=\"name\" value=\"anna\""),
        "{}",
        page.text()
    );
    let fields = [("name", "anna"), ("password", PASSWORD)];
    let again = anna.submit(&page, "/_sidegate/login", &fields);
    assert_eq!(
        location(&again),
        (303, "/_sidegate/second-factor?rd=%2F_sidegate%2Fprofile%2Fapp")
    );
    assert_eq!(type_code(&mut anna, &codes[1]).status, 303);
    assert_eq!(anna.get("/_sidegate/profile/app").status, 200);

    let page = anna.get("/_sidegate/profile");
    assert!(
        page.text().contains("Browsers in which no code is asked for"),
        "{}",
        page.text()
    );
    let forgotten = anna.submit(&page, "/_sidegate/profile/devices/forget", &[]);
    assert_eq!(location(&forgotten), (303, "/_sidegate/profile?done=devices"));
    anna.cookies.remove("sidegate");
    assert_eq!(location(&anna.login("anna", PASSWORD)), (303, SECOND));

    // "log out everywhere": this browser too, and none is spared the code.
    let mut here = halfway(&gate, "anna");
    let page = here.get(SECOND);
    let fields = [("code", codes[2].as_str()), ("remember_device", "1")];
    assert_eq!(here.submit(&page, SECOND, &fields).status, 303);
    let mut there = halfway(&gate, "anna");
    assert_eq!(type_code(&mut there, &codes[3]).status, 303);
    let page = here.get("/_sidegate/logout");
    let out = here.submit(&page, "/_sidegate/logout", &[("everywhere", "1")]);
    assert_eq!(location(&out), (303, "/_sidegate/login?why=out"));
    assert_eq!((here.get("/app").status, there.get("/app").status), (303, 303));
    assert_eq!(location(&here.login("anna", PASSWORD)), (303, SECOND));

    // A new password, and the end of the factor, forget it too.
    let mut ben = halfway(&gate, "ben");
    let page = ben.get(SECOND);
    let fields = [("code", bens[0].as_str()), ("remember_device", "1")];
    assert_eq!(ben.submit(&page, SECOND, &fields).status, 303);
    let count = |gate: &Sidegate| {
        gate.cli(&["user", "factors", "ben", "--output", "json"])
            .success()
            .stdout
    };
    assert!(
        count(&gate).contains("\"remembered_devices\": 1"),
        "{}",
        count(&gate)
    );
    let words = ["user", "passwd", "ben", "--password-stdin"];
    gate.cli_with_input(&words, &format!("{PASSWORD}\n")).success();
    assert!(
        count(&gate).contains("\"remembered_devices\": 0"),
        "{}",
        count(&gate)
    );
}

// "a clock hint when the code fits another step"; M-02: "±2 reject"
#[test]
fn a_wrong_clock_is_told_to_those_who_are_known() {
    let backend = Backend::start();
    let trusted = "server: trusted_proxies = [\"127.0.0.1/32\"]\n[guard]\nexempt = [\"203.0.113.0/24\"]\n";
    let gate = house(&backend, trusted);
    let mut anna = Browser::new(gate.address).at("203.0.113.1");
    assert_eq!(anna.login("anna", PASSWORD).status, 303);
    let (app, _) = enrol(&mut anna);
    let typed = |from: &str, steps: i64| {
        let mut browser = Browser::new(gate.address).at(from);
        assert_eq!(browser.login("anna", PASSWORD).status, 303);
        let answer = type_code(&mut browser, &app.code(steps));
        assert_eq!(answer.status, 401);
        answer.text()
    };
    // A code of the past is worth nothing to anybody.
    assert!(typed("203.0.113.9", -11).contains("was right 6 min ago"));
    assert!(typed("203.0.113.1", 10).contains("will be right in 5 min."));
    // One of the future would be, soon.
    assert!(typed("203.0.113.9", 10).contains("That code is wrong."));
    eventually(
        || gate.written_audit().contains("\"reason\":\"code-early\""),
        || gate.written_audit(),
    );
    assert!(audit(&gate).contains("\"reason\":\"code-old\""));
}

// "failed codes counted/throttled"
#[test]
fn codes_are_not_guessed_for_ever() {
    let backend = Backend::start();
    let gate = house(&backend, "[guard]\nguesses = \"3 in 15m\"\n");
    let (app, codes) = enrol(&mut logged_in(&gate, "anna"));
    let mut anna = halfway(&gate, "anna");
    let page = anna.get(SECOND);
    for code in ["000001", "000002", "000003"] {
        assert_eq!(anna.submit(&page, SECOND, &[("code", code)]).status, 401);
    }
    for code in [app.code(0), codes[0].clone()] {
        let refused = anna.submit(&page, SECOND, &[("code", &code)]);
        assert_eq!(refused.status, 429, "not even the right one");
        assert!(refused.header("retry-after").is_some());
    }
    // A new login is no new count.
    let again = type_code(&mut halfway(&gate, "anna"), &codes[0]);
    assert_eq!(again.status, 429);
}

// M-07: "disable/enrol MFA without recent auth; with only cookie; via CSRF: step-up needed"
#[test]
fn factors_change_only_for_who_has_just_shown_all() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut anna = logged_in(&gate, "anna");
    let (_, codes) = enrol(&mut anna);
    // The factor came in place: the password that was shown is recent, so is the code.
    let page = anna.get("/_sidegate/profile");
    let foreign = anna.post("/_sidegate/profile/factors/remove", &[("form", "0")]);
    assert_eq!(foreign.status, 403);
    // A login that skipped the code cannot.
    let mut half = halfway(&gate, "anna");
    let second = half.get(SECOND);
    let fields = [("code", codes[0].as_str()), ("remember_device", "1")];
    assert_eq!(half.submit(&second, SECOND, &fields).status, 303);
    half.cookies.remove("sidegate");
    assert_eq!(location(&half.login("anna", PASSWORD)), (303, "/_sidegate/"));
    let own = half.get("/_sidegate/profile");
    let token = own.text().split("name=\"form\" value=\"").nth(1).expect("a form")[..64].to_owned();
    for action in ["factors/remove", "codes", "app", "tokens/create"] {
        let action = format!("/_sidegate/profile/{action}");
        let refused = half.post(&action, &[("form", &token), ("name", "phone")]);
        assert!(
            location(&refused).1.contains("login?why=again"),
            "{action}: {refused:?}"
        );
    }
    let shown = gate
        .cli(&["user", "factors", "anna", "--output", "json"])
        .success()
        .stdout;
    assert!(shown.contains("\"backup_codes\": 9"), "{shown}");

    let removed = anna.submit(&page, "/_sidegate/profile/factors/remove", &[]);
    assert_eq!(location(&removed), (303, "/_sidegate/profile?done=factors"));
    logged_in(&gate, "anna");
    assert!(audit(&gate).contains("\"reason\":\"second factor: none\""));
}

// The link that an administrator makes stands for the password, and for nothing more: whoever stole an
// administrator's login must not pass everybody's second factor by.
#[test]
fn an_administrators_link_does_not_pass_the_second_factor_by() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let (_, codes) = enrol(&mut logged_in(&gate, "anna"));
    let words = ["token", "create", "desk", "--user", "anna", "--scope", "owner"];
    let bearer = format!(
        "Authorization: Bearer {}",
        gate.cli(&words).success().stdout.trim()
    );
    let made = gate.send("POST", "/_sidegate/api/v1/users/anna/recovery", &[&bearer], b"");
    assert_eq!(made.status, 201, "{}", made.text());
    let text = made.text();
    let (_, code) = text.split_once("/setup?code=").expect("a link");
    let path = format!("/_sidegate/setup?code={}", &code[..43]);
    let mut browser = Browser::new(gate.address);
    let page = browser.get(&path);
    let fields = [("password", "other plain words"), ("again", "other plain words")];
    let set = browser.submit(&page, "/_sidegate/setup", &fields);
    assert_eq!(location(&set), (303, SECOND));
    assert!(browser.session().is_none());
    assert_eq!(type_code(&mut browser, &codes[0]).status, 303);
    assert_eq!(browser.get("/app").status, 200);
}
