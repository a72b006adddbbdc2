//! Whether a browser sends its cookie for a page of ours or for somebody else's.
//!
//! A cookie goes along whoever wrote the page that asks; `SameSite=Lax` keeps most of that away, but
//! not what sister hosts send, and not WebSockets in every browser. Browsers say where a request
//! comes from in two headers that no page can set (Fetch Metadata; RFC 6454, section 7).

use http::Method;
use http::header::ORIGIN;

use crate::config::settings::Csrf;
use crate::request::Facts;
use crate::request::origin::{self, Site};

/// Whether this request may use a cookie: it changes nothing, or its page is near enough.
pub fn may_use_cookie(rule: Csrf, facts: &Facts<'_>, public_url: Option<&str>) -> bool {
    let harmless =
        !facts.is_upgrade() && matches!(*facts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    harmless || rule == Csrf::Off || comes_from_here(rule, facts, public_url)
}

/// Whether the page that asks is one of this host. A browser that says nothing about it is too old to
/// be believed, and a program has no business with a cookie.
pub fn comes_from_here(rule: Csrf, facts: &Facts<'_>, public_url: Option<&str>) -> bool {
    match origin::site(facts.headers) {
        Some(Site::Same) => true,
        Some(Site::Sister) => rule == Csrf::SameSite,
        Some(Site::Foreign) => false,
        // Over plain http there is no such header, except to localhost.
        None => facts
            .headers
            .only(ORIGIN)
            .ok()
            .flatten()
            .and_then(|origin| origin.to_str().ok())
            .is_some_and(|origin| is_own(origin, facts, public_url)),
    }
}

/// Exactly scheme, host and port of the request, or of `public_url`.
fn is_own(origin: &str, facts: &Facts<'_>, public_url: Option<&str>) -> bool {
    let Some(origin) = Origin::parse(origin) else {
        return false;
    };
    let here = Origin::new(facts.scheme.as_str(), facts.authority);
    origin == here || public_url.and_then(Origin::parse) == Some(origin)
}

/// Scheme and authority in one spelling: lower case, without the usual port.
#[derive(PartialEq, Eq)]
struct Origin(String);

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        (!authority.is_empty() && authority.bytes().all(plain)).then(|| Self::new(scheme, authority))
    }

    fn new(scheme: &str, authority: &str) -> Self {
        let usual = if scheme.eq_ignore_ascii_case("https") {
            ":443"
        } else {
            ":80"
        };
        let authority = authority.strip_suffix(usual).unwrap_or(authority);
        Self(format!("{scheme}://{authority}").to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Client, Expects, RequestId, SafePath, Scheme};
    use crate::time::Timestamp;
    use crate::wire::Fields;

    fn ask(rule: Csrf, method: Method, expects: Expects, headers: &[(&'static str, &'static str)]) -> bool {
        let headers: Fields<'_> = headers.iter().copied().collect();
        let path = SafePath::parse("/a").expect("a plain path");
        let facts = Facts {
            now: Timestamp::default(),
            id: RequestId::from_bits(1),
            client: Client::Unix,
            method: &method,
            scheme: Scheme::Http,
            host: "home.example",
            authority: "home.example:8480",
            path: &path,
            query: "",
            headers: &headers,
            expects: Some(expects),
        };
        may_use_cookie(rule, &facts, Some("https://public.example"))
    }

    fn post(headers: &[(&'static str, &'static str)]) -> bool {
        ask(Csrf::Enforce, Method::POST, Expects::Program, headers)
    }

    // V-05: "cookie-authenticated cross-site `POST/PUT/DELETE/PATCH` to proxied app (route guard on):
    // 403; GET allowed; `same-site` configurable"
    #[test]
    fn a_write_needs_a_page_of_this_host() {
        assert!(post(&[("sec-fetch-site", "same-origin"), ("origin", "null")]));
        assert!(post(&[("sec-fetch-site", "none")]));
        assert!(post(&[("origin", "http://home.example:8480")]));
        assert!(post(&[("origin", "HTTP://Home.Example:8480")]));
        assert!(post(&[("origin", "https://public.example:443")]));
        for refused in [
            &[][..],
            &[
                ("sec-fetch-site", "cross-site"),
                ("origin", "http://home.example:8480"),
            ],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "Same-Origin")],
            &[("origin", "null")],
            &[("origin", "")],
            &[("origin", "http://home.example")],
            &[("origin", "https://home.example:8480")],
            &[("origin", "http://home.example:8480.evil.example")],
            &[("origin", "http://evil-home.example:8480")],
            &[("origin", "http://home.example:8480/")],
            &[("origin", "http://a@home.example:8480")],
            &[("origin", "http://public.example")],
        ] {
            assert!(!post(refused), "{refused:?}");
        }
        for method in ["PUT", "DELETE", "PATCH", "PROPFIND"] {
            let method: Method = method.parse().expect("a method");
            assert!(!ask(Csrf::Enforce, method, Expects::Program, &[]));
        }
        assert!(ask(
            Csrf::Enforce,
            Method::GET,
            Expects::Page,
            &[("sec-fetch-site", "cross-site")]
        ));
    }

    // W-01: "Upgrade with cookie auth and foreign `Origin`, missing Origin, `null`, prefix/suffix
    // lookalike: 403 (CSWSH)"
    #[test]
    fn a_socket_needs_a_page_of_this_host() {
        let open = |headers: &[(&'static str, &'static str)]| {
            ask(Csrf::Enforce, Method::GET, Expects::Upgrade, headers)
        };
        assert!(open(&[("origin", "http://home.example:8480")]));
        for refused in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "http://evil.example")],
            &[("origin", "http://home.example:84800")],
        ] {
            assert!(!open(refused), "{refused:?}");
        }
    }

    #[test]
    fn a_route_may_let_sister_hosts_or_anybody_in() {
        let sister = &[("sec-fetch-site", "same-site")][..];
        let foreign = &[("sec-fetch-site", "cross-site")][..];
        assert!(ask(Csrf::SameSite, Method::POST, Expects::Program, sister));
        assert!(!ask(Csrf::SameSite, Method::POST, Expects::Program, foreign));
        assert!(ask(Csrf::Off, Method::POST, Expects::Program, foreign));
    }
}
