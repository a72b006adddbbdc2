//! Routes that ask for more than a login: two factors, or a new one.

mod support;

use std::time::Duration;

use support::asking::{Asked, ROADS};
use support::house::{PASSWORD, add, age_logins, enrol, logged_in, type_code};
use support::{Answer, Backend, Browser, Sidegate, base64, eventually};

const SECOND: &str = "/_sidegate/second-factor";

fn house(backend: &Backend, more: &str) -> Sidegate {
    let routes = "server: trusted_proxies = [\"127.0.0.1/32\"]\n\
        [[route]]\npath = \"/two\"\nupstream = \"http://UPSTREAM\"\naccess = { factors = 2 }\n\
        [[route]]\npath = \"/new\"\nupstream = \"http://UPSTREAM\"\naccess = { max_age = \"15m\" }\n\
        [[route]]\npath = \"/both\"\nupstream = \"http://UPSTREAM\"\naccess = { users = [\"anna\"], factors = 2, max_age = \"15m\" }\n\
        [credentials]\nbasic_passwords = true\n";
    let routes = routes.replace("UPSTREAM", &backend.address.to_string());
    support::house::house(backend, &format!("{routes}{more}"))
}

fn location(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.header("location").unwrap_or_default())
}

// "Route rule `factors = 2` and `max_age`, step-up in place": "browsers are sent to step-up in place and
// come back"
#[test]
fn a_browser_with_one_factor_is_asked_for_the_other_in_place() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut anna = logged_in(&gate, "anna");
    let asked = anna.get("/two/a?b=1");
    let here = "http://gate.test/_sidegate/second-factor?rd=http%3A%2F%2Fgate.test%2Ftwo%2Fa%3Fb%3D1";
    assert_eq!(location(&asked), (303, here));
    // Without a second factor, the way to one; and then back to where one wanted to go.
    let missing = anna.open("/two/a?b=1");
    assert_eq!(missing.status, 403);
    assert!(
        missing
            .text()
            .contains("/_sidegate/profile/app?rd=%2Ftwo%2Fa%3Fb%3D1"),
        "{}",
        missing.text()
    );
    let page = anna.get("/_sidegate/profile/app?rd=%2Ftwo%2Fa%3Fb%3D1");
    let app = support::house::App::scan(&page.text());
    let done = anna.submit(&page, "/_sidegate/profile/app", &[("code", &app.code(-1))]);
    assert!(done.text().contains("href=\"/two/a?b=1\""), "{}", done.text());
    let codes = support::house::backup_codes(&done.text());
    assert_eq!(anna.get("/two/a?b=1").status, 200, "both were shown");

    // A browser that is not asked has shown one.
    let mut other = Browser::new(gate.address);
    other.login("anna", PASSWORD);
    let page = other.get(SECOND);
    let fields = [("code", codes[0].as_str()), ("remember_device", "1")];
    assert_eq!(other.submit(&page, SECOND, &fields).status, 303);
    assert_eq!(other.get("/two").status, 200);
    other.cookies.remove("sidegate");
    assert_eq!(other.login("anna", PASSWORD).status, 303);
    let before = other.session().expect("logged in").to_owned();
    assert_eq!(other.get("/app").status, 200);
    let page = other.open("/two/a?b=1");
    assert!(page.text().contains("Second factor"), "{}", page.text());
    let wrong = other.submit(&page, SECOND, &[("code", "000000")]);
    assert_eq!(wrong.status, 401);
    assert_eq!(other.get("/two").status, 303, "and that changed nothing");
    let right = other.submit(&page, SECOND, &[("code", &codes[1])]);
    assert_eq!(location(&right), (303, "/two/a?b=1"));
    backend.take();
    assert_eq!(other.get("/two/a?b=1").status, 200);
    assert_eq!(backend.take_one().only("remote-user"), Some("anna"));
    // K-08: a new id "after step-up"
    assert_ne!(other.session(), Some(before.as_str()));
    let mut old = Browser::new(gate.address);
    old.cookies.insert("sidegate".into(), before);
    assert_eq!(old.get("/app").status, 303);
    eventually(
        || gate.written_audit().contains("\"reason\":\"factors\""),
        || gate.written_audit(),
    );
}

#[test]
fn an_old_login_is_asked_again_in_place() {
    let backend = Backend::start();
    let mut gate = house(&backend, "");
    let mut anna = logged_in(&gate, "anna");
    assert_eq!(anna.get("/new").status, 200);
    age_logins(&mut gate, Duration::from_secs(14 * 60));
    assert_eq!(anna.get("/new").status, 200);
    age_logins(&mut gate, Duration::from_secs(2 * 60));
    assert_eq!(anna.get("/app").status, 200);
    let asked = anna.get("/new/x");
    let here = "http://gate.test/_sidegate/login?why=again&rd=http%3A%2F%2Fgate.test%2Fnew%2Fx";
    assert_eq!(location(&asked), (303, here));
    // M-07: the profile asks again as well.
    assert!(
        location(&anna.get("/_sidegate/profile/app"))
            .1
            .contains("login?why=again")
    );
    let before = anna.session().expect("logged in").to_owned();
    let page = anna.open("/new/x");
    assert!(
        page.text().contains("Type your password again"),
        "{}",
        page.text()
    );
    let fields = [("name", "anna"), ("password", PASSWORD)];
    assert_eq!(
        location(&anna.submit(&page, "/_sidegate/login", &fields)),
        (303, "/new/x")
    );
    assert_eq!(anna.get("/new/x").status, 200);
    assert_ne!(anna.session(), Some(before.as_str()));

    // Both conditions: the password first, then the code.
    let (_, codes) = enrol(&mut anna);
    assert_eq!(anna.get("/both").status, 200);
    age_logins(&mut gate, Duration::from_secs(16 * 60));
    assert_eq!(anna.get("/two").status, 200, "two factors stay two");
    let page = anna.open("/both");
    let answer = anna.submit(&page, "/_sidegate/login", &fields);
    assert_eq!(location(&answer), (303, "/_sidegate/second-factor?rd=%2Fboth"));
    let page = anna.open("/_sidegate/second-factor?rd=%2Fboth");
    assert_eq!(
        location(&anna.submit(&page, SECOND, &[("code", &codes[0])])),
        (303, "/both")
    );
    assert_eq!(anna.get("/both").status, 200);
    // Who may not is told so, and not asked for more.
    add(&gate, "ben");
    assert_eq!(logged_in(&gate, "ben").get("/both").status, 403);
}

// "programs get 403/401": right but never enough is 403; what can still log in is 401
#[test]
fn programs_are_told_and_not_redirected() {
    let backend = Backend::start();
    let gate = house(
        &backend,
        "[audit]\nallowed = \"all\"\n[networks]\ntrusted = [{ cidr = \"203.0.113.0/24\", user = \"anna\" }]\n",
    );
    let token = gate
        .cli(&["token", "create", "phone", "--user", "anna"])
        .success()
        .stdout;
    let bearer = format!("Authorization: Bearer {}", token.trim());
    let basic = format!("Authorization: Basic {}", base64(&format!("anna:{PASSWORD}")));
    let anna = logged_in(&gate, "anna");
    let cookie = format!("Cookie: sidegate={}", anna.session().expect("logged in"));
    let page = "Accept: text/html";
    let [browser, program, deny, allow] = [[303, 401, 302, 302, 302, 401], [401; 6], [403; 6], [200; 6]];
    let get = |target: &str, lines: &[&str], client: &str| {
        lines
            .iter()
            .fold(Asked::get(target, client), |asked, line| asked.with(*line))
    };
    let outside = "198.51.100.7";
    let home = "203.0.113.7";
    for (what, asked, row, reason) in [
        ("token", get("/two", &[&bearer], outside), deny, "factors"),
        (
            "token, page",
            get("/two", &[&bearer, page], outside),
            deny,
            "factors",
        ),
        ("token, age", get("/new", &[&bearer], outside), deny, "max-age"),
        ("Basic", get("/two", &[&basic], outside), deny, "factors"),
        ("Basic is now", get("/new", &[&basic], outside), allow, ""),
        (
            "session, program",
            get("/two", &[&cookie], outside),
            program,
            "factors",
        ),
        (
            "session, page",
            get("/two", &[&cookie, page], outside),
            browser,
            "factors",
        ),
        (
            "session is new",
            get("/new", &[&cookie, page], outside),
            allow,
            "",
        ),
        ("network, program", get("/two", &[], home), program, "factors"),
        ("network, page", get("/two", &[page], home), browser, "factors"),
        ("network, age", get("/new", &[page], home), browser, "max-age"),
        ("network elsewhere", get("/app", &[], home), allow, ""),
        ("nobody", get("/two", &[page], outside), browser, "none"),
    ] {
        for ((answer, line), (road, status)) in asked.send_audited(&gate).iter().zip(ROADS.iter().zip(row)) {
            assert_eq!(answer.status, status, "{what} by {road}: {answer:?}");
            if !reason.is_empty() {
                assert_eq!(line["reason"], reason, "{what} by {road}: {line}");
            }
            if row == browser && reason == "factors" {
                let to = answer.header("location").expect("redirected");
                assert!(
                    to.contains("/_sidegate/second-factor?rd="),
                    "{what} by {road}: {to}"
                );
            }
        }
    }
    // A network's visitor logs in first, and is then asked for what is missing.
    let mut visitor = Browser::new(gate.address).at(home);
    let page = visitor.open("/two");
    assert!(page.text().contains("name=\"password\""), "{}", page.text());
}

// "`second_factor = "skip"` per network; a route's factors still hold"
#[test]
fn a_trusted_network_may_spare_people_the_code() {
    let backend = Backend::start();
    let skip = "[networks]\ntrusted = [{ cidr = \"203.0.113.0/24\", user = \"guest\", second_factor = \"skip\" },\
        { cidr = \"203.0.113.9/32\", user = \"guest\" }]\n";
    let gate = house(&backend, skip);
    add(&gate, "guest");
    let (_, codes) = enrol(&mut logged_in(&gate, "anna"));
    let mut home = Browser::new(gate.address).at("203.0.113.7");
    assert_eq!(location(&home.login("anna", PASSWORD)), (303, "/_sidegate/"));
    backend.take();
    assert_eq!(home.get("/app").status, 200);
    assert_eq!(backend.take_one().only("remote-user"), Some("anna"));
    assert_eq!(home.get("/two").status, 303);
    assert!(
        location(&home.get("/_sidegate/profile/app"))
            .1
            .contains("why=again")
    );
    assert_eq!(type_code(&mut home, &codes[0]).status, 303);
    assert_eq!(home.get("/two").status, 200);
    for from in ["203.0.113.9", "198.51.100.7"] {
        let mut elsewhere = Browser::new(gate.address).at(from);
        assert_eq!(
            location(&elsewhere.login("anna", PASSWORD)),
            (303, SECOND),
            "{from}"
        );
    }
}

#[test]
fn explain_says_what_is_missing() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let ask = |words: &[&str]| gate.cli(&[&["explain"], words].concat()).success().stdout;
    let told = ask(&["--user", "anna", "GET", "http://gate.test/two"]);
    assert!(told.contains("two factors") && told.contains("deny"), "{told}");
    let told = ask(&["--user", "anna", "--browser", "GET", "http://gate.test/two"]);
    assert!(
        told.contains("challenge") && told.contains("asked for it in place"),
        "{told}"
    );
    let told = ask(&["--anonymous", "GET", "http://gate.test/both"]);
    assert!(
        told.contains("factors 2") && told.contains("no older than 15m"),
        "{told}"
    );
}
