//! Where a browser goes after the login: only ever to this very host, or to one of `server.domains`.

use crate::dialect::{LONGEST_RETURN, Site};
use crate::request::safe_path::SafePath;
use crate::request::{Facts, origin};
use crate::wire::query;

/// The address that `rd` names, if it is one of the request's own scheme, host and port: then it is a
/// path with its query; or one of a domain of ours: then it is whole. None for anything else, whatever a
/// browser might make of it (`//evil`, `/\evil`, `https:evil`, `https://own@evil`).
///
/// A path goes into `Location` as a path, and a domain is written as the settings have it, so that even a
/// mistake here could not lead to another host.
pub(super) fn target(rd: &str, site: &Site, facts: &Facts<'_>) -> Option<String> {
    if !is_plain(rd) {
        return None;
    }
    if rd.starts_with('/') {
        return path(rd).map(str::to_owned);
    }
    if let Some(rest) = after_own_origin(rd, facts) {
        return path(rest).map(str::to_owned);
    }
    let (domain, rest) = at_domain(rd, site)?;
    path(rest).map(|path| format!("{domain}{path}"))
}

/// The same, at this very host.
pub(super) fn path(rd: &str) -> Option<&str> {
    if !is_plain(rd) || !rd.starts_with('/') {
        return None;
    }
    let path = rd.split('#').next().unwrap_or_default();
    let raw = path.split('?').next().unwrap_or_default();
    // No empty segment, so no `//host`; no dots; only characters of a path.
    SafePath::parse(raw).ok().map(|_| path)
}

/// Where a browser that is logged in is sent to get to what [`target`] returned: at another domain, by
/// way of its own login.
pub(super) fn location(target: &str, site: &Site) -> String {
    match at_domain(target, site) {
        Some((domain, path)) => format!("{domain}{}/hop?rd={}", site.prefix, query::encode(path)),
        None => target.to_owned(),
    }
}

/// Whether that is the address of something at another domain.
pub(super) fn leads_away(target: &str) -> bool {
    !target.is_empty() && !target.starts_with('/')
}

/// The origin of an address that is none of ours, in plain characters, for whoever has to mend it.
pub(super) fn foreign(rd: &str, site: &Site, facts: &Facts<'_>) -> Option<String> {
    if rd.len() > LONGEST_RETURN || rd.starts_with('/') || target(rd, site, facts).is_some() {
        return None;
    }
    let (scheme, rest) = rd.split_once("://")?;
    origin::normal(scheme, rest.split('/').next()?)
}

/// Everything that browsers drop, fold or take for a slash is refused: controls, spaces, backslashes,
/// what is not ASCII.
fn is_plain(rd: &str) -> bool {
    let plain = |byte: u8| (0x21..=0x7e).contains(&byte) && byte != b'\\';
    rd.len() <= LONGEST_RETURN && rd.bytes().all(plain)
}

fn at_domain<'s, 'r>(rd: &'r str, site: &'s Site) -> Option<(&'s str, &'r str)> {
    if site.domains.is_empty() {
        return None;
    }
    let (scheme, rest) = rd.split_once("://")?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let origin = origin::normal(scheme, authority)?;
    Some((site.listed(&origin)?, path))
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

    fn ask(rd: &str) -> Option<String> {
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
            expects: Some(Expects::Page),
        };
        let site = Site {
            prefix: "/_sidegate".into(),
            public_url: Some("https://own.example:8443".into()),
            domains: vec![
                "https://media.example".into(),
                "https://two.example:444".into(),
                "http://plain.example".into(),
            ],
        };
        target(rd, &site, &facts)
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
            (
                "/?rd=https://evil.example/?rd=//evil.example",
                "/?rd=https://evil.example/?rd=//evil.example",
            ),
            // Domains of ours, in the spelling of the settings.
            ("https://media.example", "https://media.example/"),
            ("https://media.example/a?b=//x#c", "https://media.example/a?b=//x"),
            ("HTTPS://Media.Example:443/A", "https://media.example/A"),
            ("https://media.example./a", "https://media.example/a"),
            ("https://two.example:444/", "https://two.example:444/"),
            ("http://plain.example:80/", "http://plain.example/"),
        ] {
            assert_eq!(ask(rd).as_deref(), Some(expected), "{rd}");
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
            // V-02: "other allowed host but other port/scheme; `evilexample.com`, `example.com.evil`"
            "http://media.example/",
            "https://media.example:80/",
            "https://media.example:8443/",
            "https://two.example/",
            "https://two.example:4444/",
            "https://plain.example/",
            "http://plain.example:8080/",
            "https://evilmedia.example/",
            "https://evil.media.example/",
            "https://media.example.evil.example/",
            "https://*.example/",
            "https://media.example@evil.example/",
            "https://evil.example@media.example/",
            "https://a:b@media.example/",
            "https://media.example:443@evil.example/",
            "https://media.example\\evil.example/",
            "https://media.example\\@evil.example/",
            "https://media.example%2eevil.example/",
            "https://media.example%2f.evil.example/",
            "https://media.example%00.evil.example/",
            "https://media.example%09/",
            "https://media.example\t/",
            "https://media\n.example/",
            "https:\n//media.example/",
            "\thttps://media.example/",
            " https://media.example/",
            "https://media.example /",
            "https:media.example/",
            "https:/media.example/",
            "https:///media.example/",
            "https:\\\\media.example/",
            "//media.example/",
            "media.example/",
            "https://media.example?x",
            "https://media.example#x",
            "https://media.example#@evil.example/",
            "https://media.example?@evil.example/",
            "https://media.example:/\\evil.example",
            "https://media.example:0/",
            "https://media.example:65979/",
            "https://media.example:443:443/",
            "https://media.example:+443/",
            "https://media.example..",
            "https://media.example../",
            "https://.media.example/",
            "https://media.example//evil.example",
            "https://media.example/../x",
            "https://media.example/%2e%2e/x",
            "https://media.example/a%00b",
            "https://media.example/a%0d%0aSet-Cookie:x",
            "https://media\u{3002}example/",
            "https://med\u{131}a.example/",
            "https://\u{ff4d}edia.example/",
            "https://xn--media-.example/",
            "https://media.xn--example-/",
            "https%3A%2F%2Fmedia.example/",
            "%68ttps://media.example/",
            "ftp://media.example/",
            "javascript://media.example/%0aalert(1)",
            "blob:https://media.example/",
            "view-source:https://media.example/",
            "https://[media.example]/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://127.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "/%2f%2fevil.example\\",
            "/;//evil.example",
            "/a/%2e%2e//evil.example",
            "/%2e/evil.example",
            "/.%2e/evil.example",
            "/%252e%252e/evil.example",
            "/%0a/evil.example",
            "/%E2%80%8B/\u{200b}",
            "/\u{2028}/evil.example",
            "\u{feff}/evil.example",
            "///",
            "//",
            "\\",
            "?",
            "#",
            ".",
            "..",
            "https:",
            "https:/",
            "https://",
            "https:///",
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

    // A mistake in the check would not help either: `Location` is put together from the settings.
    #[test]
    fn whoever_goes_to_a_domain_goes_by_its_own_login() {
        let site = Site {
            prefix: "/_sidegate".into(),
            public_url: Some("https://own.example".into()),
            domains: vec!["https://media.example".into()],
        };
        for (target, expected) in [
            ("/a?b", "/a?b"),
            (
                "https://media.example/a?b=c&d",
                "https://media.example/_sidegate/hop?rd=%2Fa%3Fb%3Dc%26d",
            ),
        ] {
            assert_eq!(location(target, &site), expected);
        }
        assert!(leads_away("https://media.example/") && !leads_away("/a") && !leads_away(""));
    }
}
