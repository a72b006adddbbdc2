//! Tokens where they do not belong.

use crate::support::tls::Authority;
use crate::support::{Backend, Sidegate};

// Section 5: "Credentials of ours are removed before the backend"
#[test]
fn the_address_of_the_page_before_takes_no_token_to_the_backend() {
    let backend = Backend::start();
    let gate = Sidegate::with_anna(&backend, "[credentials]\nquery_token = true\n");
    let token = gate.token("anna", "frame");
    let referer = |sent: &str| {
        let bearer = format!("Authorization: Bearer {token}");
        let answer = gate.get(
            "/part.js",
            &[&bearer, &format!("Referer: http://gate.test/{sent}")],
        );
        assert_eq!(answer.status, 200);
        backend.take_one().only("referer").map(str::to_owned)
    };
    let kept = |text: &str| Some(format!("http://gate.test/{text}"));
    assert_eq!(referer(&format!("?accessToken={token}")), kept(""));
    assert_eq!(
        referer(&format!("page?a=1&access%5Ftoken={token}&b=2")),
        kept("page?a=1&b=2")
    );
    assert_eq!(referer("page?a=1"), kept("page?a=1"));
    let foreign = "page?access_token=of-the-application";
    assert_eq!(referer(foreign), kept(foreign), "what is not ours stays");
}

// Section 3: "redirect_http"
#[test]
fn nothing_goes_on_in_plain_text_for_what_its_query_is_made_of() {
    let backend = Backend::start();
    let authority = Authority::new();
    let pair = authority.issue("gate", &["gate.test"]);
    let port = crate::support::free_port();
    let settings = format!(
        "[tls]\nlisten = [\"127.0.0.1:{port}\"]\nredirect_http = true\ncertificates = [{}]\n",
        pair.toml()
    );
    let gate = Sidegate::with_anna(&backend, &settings);
    for query in ["a=1", "a=%C3%A9", "a=\u{e9}", "a=\u{e9}%"] {
        let answer = gate.get(&format!("/x?{query}"), &[]);
        assert_eq!(answer.status, 308, "{query}");
        let location = answer.header("location").expect("a redirect");
        assert!(
            location.starts_with(&format!("https://gate.test:{port}/x?a=")),
            "{location}"
        );
    }
    assert!(backend.requests().is_empty());
}
