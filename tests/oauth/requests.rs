//! What apps ask for that is not as it should be: nobody is ever sent to where somebody else wrote.

use crate::support::app::*;
use crate::support::house::{house, logged_in};
use crate::support::{Answer, Backend, Browser};

/// An answer that leads nowhere, and says so to the person.
fn is_a_page(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 400, "{what}: {answer:?}");
    assert_eq!(answer.header("location"), None, "{what}");
    assert!(
        answer.text().contains("An app sent you here and asked wrongly"),
        "{what}"
    );
}

/// Where the page's one button leads.
fn link(page: &Answer) -> String {
    let text = page.text();
    let (_, rest) = text.split_once("<a class=\"button\" href=\"").expect("a button");
    rest.split('"').next().expect("an address").replace("&#38;", "&")
}

// R-073, V-01: "Location host ∈ {own host, allow-list}"; "an error PAGE (never a redirect to an unchecked address)"
#[test]
fn nobody_is_sent_to_an_address_that_is_not_the_app_s() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut anna = logged_in(&gate, "anna");
    for redirect in [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "https://app.example@evil.example/",
        "https://app.example:pass@evil.example/",
        "https://app.example.evil.example/",
        "https://evil.example/https://app.example/",
        "https://evil.example\\@app.example/",
        "https://evil.example#app.example",
        "https://app.example:8443/",
        "https://app.example%2f@evil.example/",
        "https://app.example%00.evil.example/",
        "https://app.example\u{2024}evil.example/",
        "https://app.example\t.evil.example/",
        "http://app.example/back",
        "javascript:alert(document.domain)//https://app.example/",
        "data:text/html,<script>alert(1)</script>",
        "https:evil.example",
        "https:///evil.example",
        "https://APP.example.",
        "https://app.example/..//evil.example",
        "https://app.example/back?code=planted",
        "https://app.example/back#x",
        "app.example:/back",
        "/app",
        "",
    ] {
        let page = anna.get(&address(&asked_with("redirect_uri", redirect)));
        // A trailing dot is the same host.
        if redirect == "https://APP.example." {
            assert!(
                page.status == 200 && page.text().contains("https://app.example/"),
                "{page:?}"
            );
            continue;
        }
        is_a_page(&page, redirect);
        assert_eq!(link(&page), "/_sidegate/", "{redirect}");
        assert!(!page.text().contains("evil.example"), "{redirect}");
    }
    for client in [
        "https://evil.example/",
        "http://app.example/",
        "http://printer/",
        "https://203.0.113.7/",
        "https://app.example\\@evil.example/",
        "https://anna@app.example/",
        "javascript://app.example/",
        "app",
        "",
    ] {
        let page = anna.get(&address(&asked_with("client_id", client)));
        is_a_page(&page, client);
        assert_eq!(link(&page), "/_sidegate/", "{client}");
    }
    // Twice is never.
    for name in ["client_id", "redirect_uri"] {
        let mut twice = asked();
        let (_, value) = twice
            .iter()
            .find(|(known, _)| *known == name)
            .expect("it is there")
            .clone();
        twice.push((name, value));
        is_a_page(&anna.get(&address(&twice)), name);
    }
    // Nor by the form, whatever somebody writes into it.
    let page = anna.get(&address(&asked()));
    let evil = asked_with("redirect_uri", "https://evil.example/");
    let request = form(evil.iter().map(|(name, value)| (*name, value.as_str())));
    let sent = anna.submit(&page, AUTHORIZE, &[("answer", "allow"), ("request", &request)]);
    is_a_page(&sent, "the form");
}

// RFC 6749 §4.1.2.1 by the person's hand: "(RFC 9700, section 4.11.2)" an unknown app gets no redirect by itself
#[test]
fn what_else_is_wrong_the_person_may_tell_the_app() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut anna = logged_in(&gate, "anna");
    let mut nobody = Browser::new(gate.address);
    let twice = |name: &'static str| {
        let mut all = asked();
        let (_, value) = all
            .iter()
            .find(|(known, _)| *known == name)
            .expect("there")
            .clone();
        all.push((name, value));
        all
    };
    for (parameters, error) in [
        (asked_with("response_type", ""), "invalid_request"),
        (asked_with("response_type", "token"), "unsupported_response_type"),
        (
            asked_with("response_type", "code token"),
            "unsupported_response_type",
        ),
        (asked_with("code_challenge", ""), "invalid_request"),
        (asked_with("code_challenge", "short"), "invalid_request"),
        (asked_with("code_challenge", &"=".repeat(43)), "invalid_request"),
        (asked_with("code_challenge_method", ""), "invalid_request"),
        (asked_with("code_challenge_method", "plain"), "invalid_request"),
        (asked_with("code_challenge_method", "s256"), "invalid_request"),
        (asked_with("scope", "everything"), "invalid_scope"),
        (asked_with("scope", &"user ".repeat(300)), "invalid_scope"),
        (
            asked_with("request_uri", "https://evil.example/"),
            "request_not_supported",
        ),
        (twice("response_type"), "invalid_request"),
        (twice("state"), "invalid_request"),
        (twice("code_challenge"), "invalid_request"),
        (twice("code_challenge_method"), "invalid_request"),
    ] {
        for browser in [&mut anna, &mut nobody] {
            let page = browser.get(&address(&parameters));
            is_a_page(&page, error);
            let to = link(&page);
            assert!(
                to.starts_with("https://app.example/back?from=gate&error="),
                "{to}"
            );
            assert_eq!(parameter(&to, "error").as_deref(), Some(error), "{parameters:?}");
            assert_eq!(parameter(&to, "iss").as_deref(), Some("http://gate.test"));
        }
    }
    let long = asked_with("state", &"x".repeat(3000));
    is_a_page(&anna.get(&address(&long)), "too long");
}

// "a loopback client any port"; "http only for loopback and private IP literals"
#[test]
fn a_program_on_the_person_s_machine_listens_where_it_likes() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut anna = logged_in(&gate, "anna");
    for (client, redirect, policy) in [
        (
            "http://127.0.0.1/",
            "http://127.0.0.1:51004/cb",
            "form-action 'self' http://127.0.0.1:51004; ",
        ),
        (
            "http://localhost:3000/",
            "http://localhost:4000/cb",
            "form-action 'self' http://localhost:4000; ",
        ),
        (
            "http://[::1]/",
            "http://[::1]:51004/cb",
            "form-action 'self' http:; ",
        ),
        (
            "http://192.168.1.9:8123/",
            "http://192.168.1.9:8123/cb",
            "form-action 'self' http://192.168.1.9:8123; ",
        ),
    ] {
        let mut parameters = asked_with("client_id", client);
        parameters.retain(|(name, _)| *name != "redirect_uri");
        parameters.push(("redirect_uri", redirect.to_owned()));
        let page = anna.get(&address(&parameters));
        let written = page.header("content-security-policy").expect("a policy");
        assert!(written.contains(policy), "{written}");
        let code = allow(&mut anna, &parameters);
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("client_id", client),
            ("redirect_uri", redirect),
            ("code_verifier", VERIFIER),
        ];
        assert_eq!(post(&gate, TOKEN, &fields).status, 200, "{client}");
    }
}

// "CSRF on consent": "fields protected as all our forms"
#[test]
fn no_other_page_lets_an_app_in() {
    let backend = Backend::start();
    let gate = house(&backend, "");
    let mut anna = logged_in(&gate, "anna");
    let page = anna.get(&address(&asked()));
    let all = asked();
    let request = form(all.iter().map(|(name, value)| (*name, value.as_str())));
    let word = {
        let text = page.text();
        let (_, rest) = text.split_once("name=\"form\" value=\"").expect("a word");
        rest.split('"').next().expect("its end").to_owned()
    };
    let own = "Origin: http://gate.test";
    for (fields, origin) in [
        (vec![("request", request.as_str()), ("answer", "allow")], own),
        (
            vec![("request", &request), ("answer", "allow"), ("form", "00")],
            own,
        ),
        (
            vec![("request", &request), ("answer", "allow"), ("form", &word)],
            "Origin: https://app.example",
        ),
        (
            vec![("request", &request), ("answer", "allow"), ("form", &word)],
            "Origin: null",
        ),
        (
            vec![("request", &request), ("answer", "deny"), ("form", &word)],
            "Sec-Fetch-Site: cross-site",
        ),
    ] {
        let sent = anna.post_as(AUTHORIZE, &fields, &[origin]);
        assert_eq!(
            (sent.status, sent.header("location")),
            (403, None),
            "{origin} {fields:?}"
        );
    }
    // Somebody else's word is none either.
    crate::support::house::add(&gate, "bob");
    let mut bob = logged_in(&gate, "bob");
    let fields = [
        ("request", request.as_str()),
        ("answer", "allow"),
        ("form", &word),
    ];
    assert_eq!(bob.post(AUTHORIZE, &fields).status, 403);
    assert_eq!(anna.request("PUT", AUTHORIZE, &[], b"").status, 405);
    // With what the page had it works.
    assert_eq!(anna.post(AUTHORIZE, &fields).status, 303);
    assert_eq!(anna.get("/_sidegate/oauth/introspect").status, 404);
}
