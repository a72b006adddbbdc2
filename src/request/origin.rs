//! Whether a page of another site sent a request through its visitor's browser.
//!
//! Only browsers can be used so, and they say it themselves: in `Sec-Fetch-Site` over https and to
//! localhost (W3C Fetch Metadata, section 2.4), in `Origin` with every WebSocket and every method but
//! GET and HEAD (Fetch, section 3.2). Whoever leaves both out is no browser, and gains nothing by it.

use super::host::Authority;
use crate::wire::Fields;
use crate::wire::names::{ORIGIN, SEC_FETCH_SITE};

/// How near the page that asks is to what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// The same scheme, host and port; or the user did it, with no page in between.
    Same,
    /// Another host of the same registrable domain.
    Sister,
    /// Anybody's.
    Foreign,
}

/// What the browser says of it. It compared scheme, host and port itself, whatever a gateway made of
/// them since.
pub fn site(headers: &Fields<'_>) -> Option<Site> {
    let Ok(value) = headers.only(SEC_FETCH_SITE) else {
        return Some(Site::Foreign);
    };
    Some(match value?.as_bytes() {
        b"same-origin" | b"none" => Site::Same,
        b"same-site" => Site::Sister,
        _ => Site::Foreign,
    })
}

/// Whether a browser says so. `host` is the one asked for, `own` another one of ours: that of
/// `server.public_url`. Ports do not count, as with cookies.
pub fn is_from_elsewhere(headers: &Fields<'_>, host: &str, own: Option<&str>) -> bool {
    if let Some(site) = site(headers) {
        return site == Site::Foreign;
    }
    let Some(origin) = headers.get(ORIGIN) else {
        return false;
    };
    // `null` is a page whose origin the browser keeps to itself: a sandbox, a file.
    let named = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"))
        .and_then(|(_, authority)| Authority::parse(authority).ok());
    named.is_none_or(|named| *named.host != *host && own.is_none_or(|own| *named.host != *own))
}

/// Scheme, host and port in the one spelling that `server.public_url` has too: lower case, without the
/// usual port. None of what is no authority.
pub fn normal(scheme: &str, authority: &str) -> Option<String> {
    let (scheme, usual) = match scheme.to_ascii_lowercase().as_str() {
        "https" => ("https", 443),
        "http" => ("http", 80),
        _ => return None,
    };
    let parsed = Authority::parse(authority).ok()?;
    let port = parsed.port.filter(|port| *port != usual);
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{scheme}://{}{port}", parsed.host))
}

/// The host of `server.public_url`.
pub fn host_of(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    Some(Authority::parse(authority).ok()?.host.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elsewhere(site: Option<&'static str>, origin: Option<&'static str>) -> bool {
        let headers: Fields<'_> = [("sec-fetch-site", site), ("origin", origin)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        let own = host_of("https://Home.example/x");
        is_from_elsewhere(&headers, "192.168.1.5", own.as_deref())
    }

    #[test]
    fn who_is_no_browser_is_from_nowhere() {
        assert!(!elsewhere(None, None));
    }

    #[test]
    fn an_origin_of_ours_is_no_other_site_whatever_its_port() {
        for origin in [
            "http://192.168.1.5",
            "http://192.168.1.5:8123",
            "https://home.example",
            "https://HOME.example:8443",
        ] {
            assert!(!elsewhere(None, Some(origin)), "{origin}");
        }
        for origin in [
            "http://evil.example",
            "http://192.168.1.50",
            "https://home.example.evil",
            "https://home.example@evil",
            "null",
            "",
            "home.example",
        ] {
            assert!(elsewhere(None, Some(origin)), "{origin}");
        }
    }

    #[test]
    fn what_the_browser_says_of_the_site_counts_before_the_origin() {
        assert!(elsewhere(Some("cross-site"), Some("https://home.example")));
        for site in ["same-origin", "same-site", "none"] {
            assert!(
                !elsewhere(Some(site), Some("https://other.home.example")),
                "{site}"
            );
        }
    }
}
