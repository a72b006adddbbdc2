//! Logins that lead nowhere: the person is told what to mend, and so is the log - through the real
//! program.

mod support;

use support::house::{PASSWORD, house, logged_in};
use support::{Answer, Backend, Browser, Person, Sidegate};

const LOGIN: &str = "/_sidegate/login";

fn says(gate: &Sidegate, reason: &str) {
    gate.await_log(&format!("reason={reason}"));
    let log = gate.log();
    let lines = log.lines().filter(|line| line.contains("a login leads nowhere"));
    assert_eq!(lines.count(), 1, "{log}");
}

/// Logs in to go to that address, in a browser that then loses its cookies of these names.
fn log_in_and_lose(browser: &mut Browser, path: &str, lost: &[&str]) -> Answer {
    let page = browser.open(path);
    let answer = browser.submit(&page, LOGIN, &[("name", "anna"), ("password", PASSWORD)]);
    assert_eq!((answer.status, answer.header("location")), (303, Some(path)));
    for name in lost {
        assert!(browser.cookies.remove(*name).is_some(), "{name}");
    }
    browser.open(path)
}

// V-11: "redirect loop: cookies blocked: detect after N, show page 400"
#[test]
fn a_browser_that_does_not_keep_the_login_is_told_so() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut browser = Browser::new(gate.address);
    let back = log_in_and_lose(&mut browser, "/app?a=1", &["sidegate"]);
    assert_eq!(back.status, 400);
    for said in ["Allow cookies for http://gate.test", "name=\"password\""] {
        assert!(back.text().contains(said), "{}", back.text());
    }
    says(&gate, "no-cookie");
    // It is told once an hour, whoever tries.
    assert_eq!(browser.open("/app?a=1").status, 400);
    says(&gate, "no-cookie");
    // Who wants something else, or logs in the usual way, is told nothing.
    assert_eq!(browser.open("/other").status, 200);
    let mut fine = logged_in(&gate, "anna");
    assert_eq!(fine.get("/app?a=1").status, 200);
}

// Whoever logs out and comes back within the minute has no loop.
#[test]
fn who_logs_out_and_comes_back_is_told_nothing() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut browser = Browser::new(gate.address);
    let page = browser.open("/app");
    browser.submit(&page, LOGIN, &[("name", "anna"), ("password", PASSWORD)]);
    assert_eq!(browser.open("/app").status, 200);
    let page = browser.get("/_sidegate/logout");
    let out = browser.submit(&page, "/_sidegate/logout", &[]);
    let page = browser.get(out.header("location").expect("to the login"));
    assert!(page.text().contains("You are logged out."), "{}", page.text());
    let back = browser.open("/app");
    assert_eq!(back.status, 200, "{}", back.text());
    assert!(back.text().contains("name=\"password\"") && !back.text().contains("role=\"alert\""));
    assert!(!gate.log().contains("a login leads nowhere"));
}

// A browser without any cookie does not come past the form.
#[test]
fn a_browser_without_cookies_is_told_so_at_the_form() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut browser = Browser::new(gate.address);
    let page = browser.get(LOGIN);
    browser.cookies.clear();
    let answer = browser.submit(&page, LOGIN, &[("name", "anna"), ("password", PASSWORD)]);
    assert_eq!(answer.status, 403);
    assert!(
        answer.text().contains("Allow cookies for this address"),
        "{}",
        answer.text()
    );
}

#[test]
fn two_cookies_and_an_unknown_one_are_told_apart() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut browser = Browser::new(gate.address);
    let page = browser.open("/app");
    browser.submit(&page, LOGIN, &[("name", "anna"), ("password", PASSWORD)]);
    // Another program on another port of this host sets one of the same name, for another path.
    browser
        .cookies
        .insert("theme=dark; sidegate".into(), "planted".into());
    let back = browser.open("/app");
    assert_eq!(back.status, 400);
    assert!(
        back.text().contains("two login cookies for gate.test"),
        "{}",
        back.text()
    );
    gate.await_log("reason=two-cookies");

    let mut browser = Browser::new(gate.address);
    let page = browser.open("/app");
    browser.submit(&page, LOGIN, &[("name", "anna"), ("password", PASSWORD)]);
    // As another server with a store of its own would see it.
    browser.cookies.insert("sidegate".into(), "B".repeat(43));
    let to = format!("{LOGIN}?rd=/app");
    let back = browser.get(&to);
    assert_eq!(back.status, 400);
    assert!(
        back.text().contains("does not know that login any more"),
        "{}",
        back.text()
    );
    gate.await_log("reason=unknown-cookie");
}

// "Secure on http": the gateway says https of a browser that came over http.
#[test]
fn a_gateway_that_tells_the_wrong_scheme_is_found_out() {
    let backend = Backend::start();
    let gate = house(&backend, "server: trusted_proxies = [\"127.0.0.1/32\"]\n");
    let mut browser = Browser::new(gate.address).at("198.51.100.7");
    let told = "X-Forwarded-Proto: https";
    let page = browser.request("GET", LOGIN, &[told], b"");
    // A browser takes no Secure cookie over http.
    browser.cookies.clear();
    let fields = [("name", "anna"), ("password", PASSWORD)];
    let origin = "Origin: http://gate.test";
    assert!(page.text().contains("name=\"password\""));
    let answer = browser.post_as(LOGIN, &fields, &[told, origin]);
    assert_eq!(answer.status, 403);
    assert!(
        answer.text().contains("Open https://gate.test instead"),
        "{}",
        answer.text()
    );
    says(&gate, "scheme");
}

// The login is fine, and the gateway's questions come without it: in place, and from another domain.
#[test]
fn a_gateway_that_passes_no_cookie_on_is_found_out() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut browser = logged_in(&gate, "anna");
    let to = format!("{LOGIN}?rd=http%3A%2F%2Fgate.test%2Fapp");
    for _ in 0..3 {
        let page = browser.get(&to);
        assert_eq!(page.status, 200);
        assert!(
            page.text().contains("You are logged in as anna."),
            "{}",
            page.text()
        );
    }
    let page = browser.get(&to);
    assert_eq!(page.status, 400);
    assert!(
        page.text().contains("does not pass your login on"),
        "{}",
        page.text()
    );
    says(&gate, "cookie-not-passed-on");

    let settings = "server: public_url = \"http://gate.test\"\nserver: domains = [\"http://media.test\"]\n";
    let gate = house(&backend, settings);
    let mut anna = Person::new(gate.address);
    anna.log_in("http://gate.test/", "anna", PASSWORD);
    // What the gateway answers each time that the browser comes to the application.
    let asked = "http://gate.test/_sidegate/login?rd=http%3A%2F%2Fmedia.test%2Fapp";
    let mut last = None;
    for _ in 0..4 {
        let (at, answer) = anna.follow_while(asked, |to| to != "http://media.test/app");
        last = Some((at, answer));
    }
    let (at, answer) = last.expect("four turns");
    assert_eq!(
        (at.as_str(), answer.status),
        ("http://media.test/_sidegate/hop?rd=%2Fapp", 400)
    );
    assert!(
        answer.text().contains("The login leads nowhere"),
        "{}",
        answer.text()
    );
    assert_eq!(answer.header("location"), None, "it goes nowhere by itself");
    says(&gate, "cookie-not-passed-on");
}

// "wrong domain; cookies off" at another domain: the way back ends with a page, at the first turn.
#[test]
fn a_domain_whose_cookies_are_not_kept_is_not_gone_round_to() {
    let backend = Backend::start();
    let settings = "server: public_url = \"http://gate.test\"\nserver: domains = [\"http://media.test\"]\n";
    let gate = house(&backend, settings);
    let mut anna = Person::new(gate.address);
    anna.log_in("http://gate.test/", "anna", PASSWORD);
    let (url, _) = anna.follow_while("http://media.test/app", |to| !to.contains("code="));
    anna.at("media.test").cookies.clear();
    let answer = anna.get(&url);
    assert_eq!((answer.status, answer.header("location")), (400, None));
    assert!(
        answer.text().contains("Allow cookies for http://media.test"),
        "{}",
        answer.text()
    );
    says(&gate, "no-cookie");
}

// "wrong domain": an address that nobody listed. Nobody is sent there, and the operator learns of it.
#[test]
fn an_address_that_the_login_is_not_for_is_named() {
    let backend = Backend::start();
    let gate = house(&backend, "server: public_url = \"http://gate.test\"\n");
    let mut browser = Browser::new(gate.address);
    let page = browser.get(&format!("{LOGIN}?rd=http%3A%2F%2F192.0.2.9%3A8480%2Fapp"));
    assert_eq!(page.status, 200);
    assert!(
        page.text()
            .contains("You came from http://192.0.2.9:8480, and a login here does not count there"),
        "{}",
        page.text()
    );
    assert!(
        !page.text().contains("href=\"http://192.0.2.9"),
        "no link leads there"
    );
    gate.await_log("list the address in server.domains");
    let done = browser.submit(&page, LOGIN, &[("name", "anna"), ("password", PASSWORD)]);
    assert_eq!(done.header("location"), Some("/_sidegate/"));
    for odd in [
        "javascript:alert(1)",
        "http://a@evil.test/",
        "http://%22%3E%3Cscript%3E/",
        "//evil.test/",
    ] {
        let page = browser.get(&format!("{LOGIN}?rd={odd}"));
        assert!(!page.text().contains("You came from"), "{odd}");
        assert!(!page.text().contains("<script"), "{odd}");
    }
}
