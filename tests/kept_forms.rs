//! Forms that came when their login was over: kept, asked about, and sent once - in a browser without
//! scripts, through the real program.

mod support;

use support::house::{PASSWORD, add, enrol, house, logged_in};
use support::{Answer, Backend, Browser, Sidegate};

const FIELDS: [(&str, &str); 3] = [("room", "kitchen & hall"), ("level", "20 %"), ("empty", "")];
const TARGET: &str = "/lights/set?floor=1&b=%2f";
const RESEND: &str = "/_sidegate/resend";

/// The link of the page that says that a form is kept, as a path.
fn link(answer: &Answer) -> String {
    let text = answer.text();
    let (_, rest) = text.split_once("<p><a class=\"button\" href=\"").expect("a link");
    let link = rest.split('"').next().expect("it ends");
    let link = link.replace("&#38;", "&");
    link.strip_prefix("http://gate.test")
        .expect("of this host")
        .to_owned()
}

/// Logs in at that address; where it leads.
fn log_in_at(browser: &mut Browser, address: &str) -> String {
    let page = browser.get(address);
    assert_eq!(page.status, 200, "{page:?}");
    let fields = [("name", "anna"), ("password", PASSWORD)];
    let answer = browser.submit(&page, "/_sidegate/login", &fields);
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.header("location").expect("a place to go").to_owned()
}

/// A browser whose login was ended, with a form on its way; what it saw.
fn late_form(gate: &Sidegate, backend: &Backend) -> (Browser, Answer) {
    let mut browser = logged_in(gate, "anna");
    gate.cli(&["session", "revoke", "--user", "anna"]).success();
    let answer = browser.post(TARGET, &FIELDS);
    assert_eq!(answer.status, 401, "{}", answer.text());
    assert!(backend.take().is_empty(), "nothing arrived");
    (browser, answer)
}

// Issue 5, 2: "a form sent with an expired session can be confirmed and replayed after login (proxy
// mode, size-limited, same origin)"
#[test]
fn a_form_survives_the_end_of_its_login() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let (mut browser, late) = late_form(&gate, &backend);
    assert!(
        late.text().contains("It is kept for ten minutes"),
        "{}",
        late.text()
    );
    assert!(late.text().contains("http://gate.test/lights/set"));
    assert!(!late.text().contains("kitchen"), "nobody is shown what is in it");
    assert_eq!(late.header("www-authenticate"), Some("Bearer realm=\"sidegate\""));
    assert!(browser.session().is_none(), "the dead cookie is gone");

    let back = log_in_at(&mut browser, &link(&late));
    assert!(back.starts_with("/_sidegate/resend?id="), "{back}");
    assert!(backend.take().is_empty(), "nothing is sent by itself");
    let page = browser.get(&back);
    assert_eq!(page.status, 200, "{page:?}");
    for said in [
        "POST http://gate.test/lights/set?floor=1&#38;b=%2f",
        "Fields in the form: 3",
        "as anna",
        "Send it",
        "Discard",
    ] {
        assert!(page.text().contains(said), "{said}: {}", page.text());
    }
    assert!(!page.text().contains("kitchen"));

    let action = TARGET.replace('&', "&#38;");
    let sent = confirm(&mut browser, &page, &action);
    assert_eq!((sent.status, sent.text()), (200, "ok".to_owned()));
    let received = backend.take_one();
    assert_eq!(received.line, format!("POST {TARGET} HTTP/1.1"));
    assert_eq!(
        String::from_utf8_lossy(&received.body),
        "room=kitchen%20%26%20hall&level=20%20%25&empty="
    );
    assert_eq!(received.only("content-length"), Some("47"));
    assert_eq!(
        received.only("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    assert_eq!(received.only("remote-user"), Some("anna"));
    assert_eq!(received.only("cookie"), None, "no cookie of ours arrives");

    // Whoever reloads the page, or goes back and sends again, sends nothing.
    let again = confirm(&mut browser, &page, &action);
    assert_eq!(again.status, 409, "{}", again.text());
    assert!(again.text().contains("it was sent already"));
    assert_eq!(browser.get(&back).status, 409);
    assert!(backend.take().is_empty());
}

/// Presses "Send it".
fn confirm(browser: &mut Browser, page: &Answer, action: &str) -> Answer {
    let text = page.text();
    let (_, form) = text
        .split_once(&format!("action=\"{action}\">"))
        .expect("the form");
    let value = |name: &str| {
        let (_, rest) = form
            .split_once(&format!("name=\"{name}\" value=\""))
            .expect("a field");
        rest.split('"').next().expect("it ends").to_owned()
    };
    let (id, proof) = (value("sidegate-resend"), value("form"));
    confirm_at(browser, TARGET, &id, &proof)
}

/// As browsers write it (URL standard, section 5.2).
fn confirm_at(browser: &mut Browser, target: &str, id: &str, proof: &str) -> Answer {
    let body = format!("sidegate-resend={id}&form={proof}");
    let headers = [
        "Content-Type: application/x-www-form-urlencoded",
        "Origin: http://gate.test",
    ];
    browser.request("POST", target, &headers, body.as_bytes())
}

// "exactly once": two windows press the button at once
#[test]
fn of_two_who_confirm_a_form_one_sends_it() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let (mut browser, late) = late_form(&gate, &backend);
    let back = log_in_at(&mut browser, &link(&late));
    let page = browser.get(&back);
    let action = TARGET.replace('&', "&#38;");
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (mut browser, page, action) = (browser.clone(), page.clone(), action.clone());
            std::thread::spawn(move || confirm(&mut browser, &page, &action).status)
        })
        .collect();
    let mut statuses: Vec<u16> = threads
        .into_iter()
        .map(|thread| thread.join().expect("no panic"))
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409, 409, 409, 409, 409]);
    assert_eq!(backend.take().len(), 1);
}

// "bound to the browser"; "'Send it' / 'Discard'"
#[test]
fn a_kept_form_belongs_to_the_browser_that_sent_it() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    add(&gate, "bert");
    let (mut browser, late) = late_form(&gate, &backend);
    let back = log_in_at(&mut browser, &link(&late));
    let page = browser.get(&back);
    let action = TARGET.replace('&', "&#38;");

    let mut other = logged_in(&gate, "bert");
    assert_eq!(other.get(&back).status, 409, "the address alone is worth nothing");
    assert_eq!(confirm(&mut other, &page, &action).status, 409);
    // The word in the form is that of anna's login.
    let kept = browser.cookies["sidegate-kept"].clone();
    other.cookies.insert("sidegate-kept".into(), kept);
    assert_eq!(confirm(&mut other, &page, &action).status, 409);
    let id = back.split_once("id=").expect("an id").1.to_owned();
    let foreign = browser.post_as(RESEND, &[("id", &id)], &["Origin: http://evil.test"]);
    assert_eq!(foreign.status, 403);
    assert_eq!(browser.get(&back).status, 200, "it is still there");
    // Sent to another address it is not that form.
    let text = page.text();
    let (_, proof) = text.split_once("name=\"form\" value=\"").expect("the word");
    assert_eq!(confirm_at(&mut browser, "/other", &id, &proof[..64]).status, 409);
    assert_eq!(confirm_at(&mut browser, TARGET, &id, &"0".repeat(64)).status, 409);
    assert_eq!(browser.get(&back).status, 200, "it is still there");

    let discarded = browser.submit(&page, RESEND, &[]);
    assert_eq!(discarded.status, 303);
    assert_eq!(confirm(&mut browser, &page, &action).status, 409);
    assert!(backend.take().is_empty());
    assert!(!gate.log().contains(&id), "no id is in the log");
}

// "Never for API clients, never for cross-site posts"
#[test]
fn what_no_person_sent_from_a_page_of_this_host_is_not_kept() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let own = "Origin: http://gate.test";
    let cases: &[(&str, &[&str])] = &[
        ("cross-site", &["Origin: http://evil.test"]),
        ("without a word where it comes from", &[]),
        ("a sandbox", &["Origin: null"]),
        (
            "cross-site, by the browser's word",
            &[own, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"],
        ),
        (
            "a sister host",
            &[own, "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate"],
        ),
        (
            "a script",
            &[own, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors"],
        ),
        ("an old script", &[own, "X-Requested-With: XMLHttpRequest"]),
        ("a program", &[own, "Authorization: Bearer of-another"]),
        ("a wrong token", &[own, "X-OPENHAB-TOKEN: oh.x.y"]),
    ];
    for (what, headers) in cases {
        let mut browser = Browser::new(gate.address);
        let answer = browser.post_as(TARGET, &FIELDS, headers);
        assert_eq!(answer.status, 401, "{what}");
        assert!(!answer.text().contains("resend"), "{what}: {}", answer.text());
        assert!(!browser.cookies.contains_key("sidegate-kept"), "{what}");
    }
    // One of whom nothing says that it is a browser.
    let headers = [
        "Content-Type: application/x-www-form-urlencoded",
        own,
        "Accept: */*",
    ];
    let program = gate.send("POST", TARGET, &headers, b"a=1");
    assert_eq!((program.status, program.header("set-cookie")), (401, None));
    assert!(backend.take().is_empty());

    let mut browser = Browser::new(gate.address);
    let headers = [own, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate"];
    let kept = browser.post_as(TARGET, &FIELDS, &headers);
    assert!(kept.text().contains("resend"), "{}", kept.text());
}

// "too large: the login page says plainly that the form was not kept and to go back"
#[test]
fn a_form_that_is_too_large_is_said_to_be_lost() {
    let backend = Backend::start();
    let gate = house(&backend, "[session]\nkeep_form = \"1KiB\"\n");
    let mut browser = Browser::new(gate.address);
    let large = "x".repeat(2000);
    let lost = browser.post(TARGET, &[("text", &large)]);
    assert_eq!(lost.status, 401);
    assert!(lost.text().contains("It could not be kept"), "{}", lost.text());
    assert!(lost.text().contains("go back with your browser"));
    assert!(!browser.cookies.contains_key("sidegate-kept"));
    assert_eq!(log_in_at(&mut browser, &link(&lost)), "/_sidegate/");

    // Without a length, and of another kind.
    let mut browser = Browser::new(gate.address);
    let own = "Origin: http://gate.test";
    let json = browser.request("POST", TARGET, &["Content-Type: application/json", own], b"{}");
    assert!(json.text().contains("It could not be kept"), "{}", json.text());
    let body = format!("7d0\r\n{}\r\n0\r\n\r\n", "x".repeat(2000));
    let request = format!(
        "POST /a HTTP/1.1\r\nHost: gate.test\r\nAccept: text/html\r\n{own}\r\nConnection: close\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
    );
    let chunked = gate.raw(request.as_bytes());
    assert!(
        chunked.text().contains("It could not be kept"),
        "{}",
        chunked.text()
    );
    assert!(backend.take().is_empty());
    let off = house(&backend, "[session]\nkeep_form = \"off\"\n");
    let lost = Browser::new(off.address).post(TARGET, &[("a", "b")]);
    assert!(lost.text().contains("It could not be kept"), "{}", lost.text());
}

// A form of a route that wants more than a login comes back as well; a session that ends between the
// page and the button loses nothing.
#[test]
fn a_form_survives_a_second_factor_and_another_end_of_the_login() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut browser = logged_in(&gate, "anna");
    let (app, _) = enrol(&mut browser);
    gate.cli(&["session", "revoke", "--user", "anna"]).success();
    let late = browser.post(TARGET, &FIELDS);
    let address = link(&late);
    let step = log_in_at(&mut browser, &address);
    let page = browser.get(&step);
    let done = browser.submit(&page, "/_sidegate/second-factor", &[("code", &app.code(0))]);
    let back = done.header("location").expect("on it goes").to_owned();
    let page = browser.get(&back);
    assert_eq!(page.status, 200, "{page:?}");

    gate.cli(&["session", "revoke", "--user", "anna"]).success();
    let action = TARGET.replace('&', "&#38;");
    let late = confirm(&mut browser, &page, &action);
    assert_eq!(late.status, 401);
    let id = back.split_once("id=").expect("an id").1;
    assert!(
        link(&late).contains(id),
        "the same form, and not the confirmation"
    );
    assert!(backend.take().is_empty());
}

// What the application gets is the form, whichever of the three kinds it is.
#[test]
fn every_kind_of_form_is_sent_as_it_was() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let multipart =
        b"--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\n\0\xff\r\n--x--\r\n";
    for (kind, body) in [
        ("multipart/form-data; boundary=x", &multipart[..]),
        ("text/plain", b"a=1\r\n"),
        ("application/x-www-form-urlencoded", b""),
    ] {
        let mut browser = Browser::new(gate.address);
        let kind_line = format!("Content-Type: {kind}");
        let headers = [
            kind_line.as_str(),
            "Origin: http://gate.test",
            "Referer: http://gate.test/form",
        ];
        let late = browser.request("POST", TARGET, &headers, body);
        assert_eq!(late.status, 401);
        let back = log_in_at(&mut browser, &link(&late));
        let page = browser.get(&back);
        confirm(&mut browser, &page, &TARGET.replace('&', "&#38;"));
        let received = backend.take_one();
        assert_eq!(received.body, body, "{kind}");
        assert_eq!(received.only("content-type"), Some(kind));
        assert_eq!(received.only("referer"), Some("http://gate.test/form"));
    }
    // What else comes along takes room as well: a long address of the page before is left out.
    let mut browser = Browser::new(gate.address);
    let long = format!("Referer: http://gate.test/form?{}", "x".repeat(2048));
    let headers = ["Content-Type: text/plain", "Origin: http://gate.test", &long];
    let late = browser.request("POST", TARGET, &headers, b"a=1");
    assert_eq!(late.status, 401);
    let back = log_in_at(&mut browser, &link(&late));
    let page = browser.get(&back);
    confirm(&mut browser, &page, &TARGET.replace('&', "&#38;"));
    assert_eq!(backend.take_one().only("referer"), None);
    // A body that only looks as long as a confirmation goes on untouched.
    let mut browser = logged_in(&gate, "anna");
    let long = "x".repeat(127);
    browser.post("/a", &[("a", &long)]);
    assert_eq!(backend.take_one().body, format!("a={long}").into_bytes());
}
