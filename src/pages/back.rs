//! Where a browser goes after the login: only ever to this very host.

use crate::request::Facts;
use crate::request::safe_path::SafePath;

/// Longer is nothing that a person had in the address bar.
const LONGEST: usize = 4096;

/// The path and query that `rd` names, if it is an address of the request's own scheme, host and
/// port; none for anything else, whatever a browser might make of it (`//evil`, `/\evil`,
/// `https:evil`, `https://own@evil`).
///
/// What is returned goes into `Location` as a path, so that even a mistake here could not lead to
/// another host.
pub(super) fn target<'r>(rd: &'r str, facts: &Facts<'_>) -> Option<&'r str> {
    // Everything that browsers drop, fold or take for a slash is refused: controls, spaces,
    // backslashes, what is not ASCII.
    let plain = |byte: u8| (0x21..=0x7e).contains(&byte) && byte != b'\\';
    if rd.len() > LONGEST || !rd.bytes().all(plain) {
        return None;
    }
    let path = match rd.strip_prefix('/') {
        Some(_) => rd,
        None => after_own_origin(rd, facts)?,
    };
    let path = path.split('#').next().unwrap_or_default();
    let raw = path.split('?').next().unwrap_or_default();
    // No empty segment, so no `//host`; no dots; only characters of a path.
    SafePath::parse(raw).ok().map(|_| path)
}

fn after_own_origin<'r>(rd: &'r str, facts: &Facts<'_>) -> Option<&'r str> {
    let own = format!("{}://{}", facts.scheme.as_str(), facts.authority);
    let (origin, rest) = rd.split_at_checked(own.len())?;
    if !origin.eq_ignore_ascii_case(&own) {
        return None;
    }
    match rest {
        "" => Some("/"),
        rest if rest.starts_with('/') => Some(rest),
        // `https://own.evil`, `https://own@evil`, `https://own:81`
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::request::{Client, Expects, RequestId, Scheme};
    use crate::time::Timestamp;
    use crate::wire::Fields;

    fn ask(rd: &str) -> Option<&str> {
        let path = SafePath::parse("/_sidegate/login").expect("a plain path");
        let headers = Fields::new();
        let facts = Facts {
            now: Timestamp::default(),
            id: RequestId::from_bits(1),
            client: Client::Unix,
            method: &Method::GET,
            scheme: Scheme::Https,
            host: "own.example",
            authority: "own.example:8443",
            path: &path,
            query: "",
            headers: &headers,
            expects: Expects::Page,
        };
        target(rd, &facts)
    }

    #[test]
    fn a_page_of_this_host_is_gone_back_to() {
        for (rd, expected) in [
            ("/", "/"),
            ("/api/states?a=1&b=//x", "/api/states?a=1&b=//x"),
            ("https://own.example:8443", "/"),
            ("https://own.example:8443/a?b", "/a?b"),
            ("HTTPS://OWN.example:8443/a#b", "/a"),
            ("/a%2Fb;c", "/a%2Fb;c"),
        ] {
            assert_eq!(ask(rd), Some(expected), "{rd}");
        }
    }

    // V-01: "`rd` = … : own path or default page"; V-02: "other allowed host but other port/scheme"
    #[test]
    fn nothing_else_is() {
        let long = format!("/{}", "a".repeat(10 * 1024));
        for rd in [
            "",
            "evil",
            "//evil.example",
            "//evil.example/%2f..",
            "///evil.example",
            "////evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " //evil.example",
            "/%09/evil.example",
            "/%5cevil.example/..",
            "/./evil/../x",
            "/.evil/..",
            "/a/..//evil.example",
            "https:evil.example",
            "https:/evil.example",
            "https:///evil.example",
            "https://evil.example",
            "https://evil.example/https://own.example:8443/",
            "//evil.example@own.example:8443/",
            "https://own.example:8443.evil.example/",
            "https://own.example:8443@evil.example/",
            "https://own.example:8443\\@evil.example/",
            "https://own.example:8443%40evil.example/",
            "https://own.example:8443:80/",
            "https://own.example:84433/",
            "https://own.example/",
            "https://own.example:443/",
            "http://own.example:8443/",
            "https://evil.example#own.example:8443",
            "https://evil.example?own.example:8443",
            "https://own.example\u{3002}evil.example/",
            "https://own\u{ff0e}example:8443/",
            "https://own.example:8443?x",
            "https://own.example:8443#x",
            "https://xown.example:8443/",
            "https://own.example:8443//evil.example",
            "javascript:alert(1)",
            "JavaScript://own.example:8443/%0aalert(1)",
            "data:text/html,x",
            "vbscript:x",
            "ftp://own.example:8443/",
            "/a\r\nSet-Cookie: x=y",
            "/a\0b",
            "/a%00b",
            "/a%0d%0ab",
            "/\u{e9}",
            &long,
        ] {
            assert_eq!(ask(rd), None, "{rd:?}");
        }
    }
}
