//! What the client can do with an answer: follow a redirect, read a page, read JSON, ask for a
//! password.

use http::Method;

use super::headers::{list_items, trim};
use super::names::{ACCEPT, AUTHORIZATION, Names, ORIGIN, SEC_FETCH_MODE, X_REQUESTED_WITH};
use super::{Fields, Known, Value, scan};

/// What the client can do with a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expects {
    /// A person navigates: can follow a redirect and read a page.
    Page,
    /// A program: reads a status.
    Program,
    /// Asks for a WebSocket.
    Upgrade,
}

/// Those of its kind that nearly every browser sends.
const SEC_FETCH: Names = Names::of(&[
    Known::of("sec-fetch-dest"),
    SEC_FETCH_MODE,
    Known::of("sec-fetch-site"),
    Known::of("sec-fetch-user"),
]);

/// A page is expected by a GET or HEAD that a browser marks as navigation, or, without any
/// `Sec-Fetch-*`, that accepts HTML. A browser sends `Sec-Fetch-*` only over https and to
/// localhost, hence the second way.
pub fn expects(method: &Method, headers: &Fields<'_>) -> Expects {
    if method != Method::GET && method != Method::HEAD {
        return Expects::Program;
    }
    if navigates(headers) {
        Expects::Page
    } else {
        Expects::Program
    }
}

/// Whether a browser sends a form, as a person does: its answer is shown in the window. Never what a
/// page's script sends, or a program.
pub fn is_form_of_a_page(method: &Method, headers: &Fields<'_>) -> bool {
    *method == Method::POST
        && navigates(headers)
        && !headers.contains_key(X_REQUESTED_WITH)
        && !headers.contains_key(AUTHORIZATION)
}

fn navigates(headers: &Fields<'_>) -> bool {
    match headers.get(SEC_FETCH_MODE) {
        Some(mode) => mode == "navigate",
        None => {
            mentions_html(headers)
                && !has_sec_fetch(headers)
                && quality(headers, "text", &["html"]).is_some_and(|weight| weight > 0)
        }
    }
}

/// Whether an error is better told in JSON than in HTML: JSON is accepted, and HTML is not
/// preferred to it.
pub fn wants_json(headers: &Fields<'_>) -> bool {
    if !headers.contains_key(ACCEPT) {
        return true;
    }
    let json = quality_or_wildcard(headers, "application", &["json", "problem+json"]);
    json > 0 && json >= quality_or_wildcard(headers, "text", &["html"])
}

/// Whether `WWW-Authenticate: Basic` may be offered: only where it cannot make a browser's page
/// ask for a password in a dialogue of its own.
pub fn may_offer_basic(headers: &Fields<'_>) -> bool {
    !headers.contains_key(ORIGIN) && !headers.contains_key(X_REQUESTED_WITH) && !has_sec_fetch(headers)
}

/// Most programs do not, so that nothing need be parsed of what they accept.
fn mentions_html(headers: &Fields<'_>) -> bool {
    let html = |value: Value<'_>| {
        let bytes = value.as_bytes();
        let mut words = bytes.windows(4);
        let may_have_it = scan::position(bytes, [b'h', b'H']).is_some();
        may_have_it && words.any(|word| word.eq_ignore_ascii_case(b"html"))
    };
    headers.get_all(&ACCEPT).any(html)
}

fn has_sec_fetch(headers: &Fields<'_>) -> bool {
    let may_have_others = headers.seen().has_any(Names::UNKNOWN);
    headers.seen().has_any(SEC_FETCH)
        || (may_have_others && headers.names().any(|name| name.starts_with("sec-fetch-")))
}

/// In thousandths: the weight of the named types, wildcards not counted; none when not named.
fn quality(headers: &Fields<'_>, kind: &str, subtypes: &[&str]) -> Option<u16> {
    weight(headers, |range, subrange| {
        range.eq_ignore_ascii_case(kind)
            && subtypes
                .iter()
                .any(|subtype| subrange.eq_ignore_ascii_case(subtype))
    })
}

/// The same with wildcards: the most exact range decides (RFC 9110 §12.5.1).
fn quality_or_wildcard(headers: &Fields<'_>, kind: &str, subtypes: &[&str]) -> u16 {
    quality(headers, kind, subtypes)
        .or_else(|| {
            weight(headers, |range, subrange| {
                range.eq_ignore_ascii_case(kind) && subrange == "*"
            })
        })
        .or_else(|| weight(headers, |range, subrange| range == "*" && subrange == "*"))
        .unwrap_or(0)
}

/// The largest weight among the ranges that fit; none when none does.
fn weight(headers: &Fields<'_>, fits: impl Fn(&str, &str) -> bool) -> Option<u16> {
    let lines = headers.get_all(&ACCEPT).filter_map(|value| value.to_str().ok());
    lines
        .flat_map(list_items)
        .filter_map(|item| {
            let mut pieces = item.split(';').map(trim);
            let (range, subrange) = pieces.next()?.split_once('/')?;
            fits(range, subrange).then(|| pieces.find_map(parse_weight).unwrap_or(1000))
        })
        .max()
}

/// `q=0.5` as 500 (RFC 9110 §12.4.2); an unreadable weight is none at all.
fn parse_weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(0);
    }
    let thousandths = fraction
        .bytes()
        .chain(*b"000")
        .take(3)
        .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match whole {
        "0" => Some(thousandths),
        "1" => Some(1000),
        _ => Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Headers = &'static [(&'static str, &'static str)];

    fn headers(list: &[(&'static str, &'static str)]) -> Fields<'static> {
        let mut fields = Fields::new();
        for (name, value) in list {
            fields.push(name, value.as_bytes());
        }
        fields
    }

    const FIREFOX: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

    // "GET or HEAD, ... and either `Sec-Fetch-Mode: navigate`, or no `Sec-Fetch-*` and `Accept`
    // with `text/html`"
    #[test]
    fn a_browser_navigation_expects_a_page() {
        let table: &[(Method, Headers, Expects)] = &[
            (Method::GET, &[("sec-fetch-mode", "navigate")], Expects::Page),
            (Method::HEAD, &[("sec-fetch-mode", "navigate")], Expects::Page),
            (
                Method::POST,
                &[("sec-fetch-mode", "navigate"), ("accept", FIREFOX)],
                Expects::Program,
            ),
            (Method::GET, &[("accept", FIREFOX)], Expects::Page),
            (Method::GET, &[("accept", "Text/HTML;q=0.1")], Expects::Page),
            (Method::GET, &[("accept", "text/html;q=0")], Expects::Program),
            (Method::GET, &[("accept", "*/*")], Expects::Program),
            (Method::GET, &[("accept", "text/htmlx")], Expects::Program),
            (Method::GET, &[], Expects::Program),
            (
                Method::GET,
                &[("sec-fetch-mode", "cors"), ("accept", FIREFOX)],
                Expects::Program,
            ),
            (
                Method::GET,
                &[("sec-fetch-site", "same-origin"), ("accept", FIREFOX)],
                Expects::Program,
            ),
        ];
        for (method, list, expected) in table {
            assert_eq!(expects(method, &headers(list)), *expected, "{method} {list:?}");
        }
    }

    // "`application/problem+json` when JSON is accepted, a small HTML page for browsers"
    #[test]
    fn json_is_wanted_unless_html_is_preferred_or_json_refused() {
        let table = [
            ("application/json", true),
            ("application/problem+json", true),
            ("*/*", true),
            ("application/*;q=0.5, text/html;q=0.4", true),
            ("text/html, */*", true),
            ("application/json, text/html", true),
            (FIREFOX, false),
            ("text/html", false),
            ("image/png", false),
            ("application/json;q=0", false),
            ("application/json;q=0, */*", false),
            ("application/json;q=2", false),
            ("application/json;q=0.5, text/html;q=0.500", true),
        ];
        for (accept, expected) in table {
            assert_eq!(wants_json(&headers(&[("accept", accept)])), expected, "{accept}");
        }
        assert!(wants_json(&Fields::new()));
    }

    // "`Basic` is added only when the request has no `Sec-Fetch-*`, `Origin` or `X-Requested-With`"
    #[test]
    fn basic_is_never_offered_to_a_page() {
        assert!(may_offer_basic(&headers(&[
            ("accept", "*/*"),
            ("user-agent", "Wget/1.21")
        ])));
        for name in ["sec-fetch-dest", "sec-fetch-mode", "origin", "x-requested-with"] {
            assert!(!may_offer_basic(&headers(&[(name, "x")])), "{name}");
        }
    }
}
