//! What an app calls itself, and where it wants its answer: both are addresses, and of one place.
//!
//! What is refused here is never redirected to.

use std::net::{IpAddr, Ipv6Addr};

use crate::request::host::Authority;
use crate::request::origin;
use crate::request::safe_path::SafePath;
use crate::wire::query;

/// Longer is no address that somebody wrote.
const LONGEST: usize = 1024;

/// An app, by its `client_id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// As it was sent.
    pub(super) id: String,
    /// Scheme, host and port, in one spelling.
    pub(super) origin: String,
    /// What a person knows it by: the host, with the port if that is not the usual one.
    pub(super) shown: String,
    scheme: &'static str,
    host: String,
    /// Whether it is on the person's own machine.
    is_here: bool,
}

/// An address of the web.
struct Place<'p> {
    scheme: &'static str,
    origin: String,
    host: String,
    /// Path and query, as sent.
    rest: &'p str,
}

impl Client {
    /// Reads a `client_id`.
    ///
    /// # Errors
    /// What it must be.
    pub(super) fn parse(id: &str) -> Result<Self, &'static str> {
        let place = Place::parse(id).ok_or(
            "client_id must be the app's address: https://app.example/, of printable ASCII, without user information, \
             fragment, dots and empty segments in its path",
        )?;
        let address = place.host.trim_start_matches('[').trim_end_matches(']');
        let address = address.parse::<IpAddr>().ok();
        if address.is_some_and(|address| !is_private(address)) {
            return Err(
                "client_id may be a numeric address only where that is a private one, or of the same machine",
            );
        }
        if place.scheme == "http" && address.is_none() && place.host != "localhost" {
            return Err(
                "client_id must begin with https://, but for localhost and private numeric addresses",
            );
        }
        Ok(Self {
            id: id.to_owned(),
            shown: place
                .origin
                .split_once("://")
                .map_or("", |(_, rest)| rest)
                .to_owned(),
            is_here: place.host == "localhost" || address.is_some_and(|address| address.is_loopback()),
            origin: place.origin,
            scheme: place.scheme,
            host: place.host,
        })
    }

    /// Where the answer goes, written by us as far as the path.
    ///
    /// # Errors
    /// What it must be.
    pub(super) fn redirect(&self, uri: &str) -> Result<String, &'static str> {
        const WRONG: &str = "redirect_uri must be an address of the same scheme, host and port as client_id (any port on \
                             the same machine), without user information, fragment, dots and empty segments in its path";
        let place = Place::parse(uri).ok_or(WRONG)?;
        // RFC 8252, section 7.3: an app on the person's machine listens where it finds a free port.
        let is_near = self.is_here && place.scheme == self.scheme && place.host == self.host;
        if place.origin != self.origin && !is_near {
            return Err(WRONG);
        }
        let (_, parameters) = place.rest.split_once('?').unwrap_or_default();
        let ours = ["code", "state", "iss", "error", "error_description"];
        // Some servers begin a parameter after `;` too.
        let parameters = parameters.replace(';', "&");
        if ours
            .iter()
            .any(|name| query::values(&parameters, name).next().is_some())
        {
            return Err("redirect_uri must not have a parameter that the answer has");
        }
        let slash = if place.rest.starts_with('/') { "" } else { "/" };
        Ok(format!("{}{slash}{}", place.origin, place.rest))
    }

    /// Whether a page of that origin is the app's.
    pub(super) fn has_origin(&self, origin: &str) -> bool {
        self.redirect(origin)
            .is_ok_and(|home| home == format!("{origin}/"))
    }
}

impl<'p> Place<'p> {
    fn parse(text: &'p str) -> Option<Self> {
        // What browsers drop, fold or take for a slash.
        let plain =
            |byte: u8| (0x21..=0x7e).contains(&byte) && !matches!(byte, b'\\' | b'#' | b'"' | b'<' | b'>');
        if text.len() > LONGEST || !text.bytes().all(plain) {
            return None;
        }
        let (scheme, rest) = match text.strip_prefix("https://") {
            Some(rest) => ("https", rest),
            None => ("http", text.strip_prefix("http://")?),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let host = Authority::parse(authority).ok()?.host.into_owned();
        let path = rest.split('?').next().filter(|path| !path.is_empty());
        SafePath::parse(path.unwrap_or("/")).ok()?;
        Some(Self {
            scheme,
            origin: origin::normal(scheme, authority)?,
            host,
            rest,
        })
    }
}

/// Whether nobody outside the house has that address.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6 == Ipv6Addr::LOCALHOST || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_known_by_its_address() {
        for (id, shown) in [
            ("https://app.example", "app.example"),
            ("https://app.example/", "app.example"),
            ("https://APP.example:443/console?a=1", "app.example"),
            ("https://app.example:8443/", "app.example:8443"),
            ("http://localhost:3000/", "localhost:3000"),
            ("http://127.0.0.1", "127.0.0.1"),
            ("http://[::1]:80/", "[::1]"),
            ("http://192.168.1.20:8123/", "192.168.1.20:8123"),
            ("https://10.0.0.5/", "10.0.0.5"),
            ("http://[fd00::5]/", "[fd00::5]"),
        ] {
            assert_eq!(
                Client::parse(id).map(|client| client.shown).as_deref(),
                Ok(shown),
                "{id}"
            );
        }
        let long = format!("https://app.example/{}", "a".repeat(1100));
        for id in [
            "",
            "app",
            "app.example",
            "//app.example",
            "ftp://app.example/",
            "HTTPS://app.example/",
            "javascript://app.example/%0aalert(1)",
            "http://app.example/",
            "http://printer/",
            "http://203.0.113.7/",
            "https://203.0.113.7/",
            "https://[2001:db8::1]/",
            "http://[::ffff:203.0.113.7]/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://127.1/",
            "https://anna@app.example/",
            "https://anna:x@app.example/",
            "https://app.example/#x",
            "https://app.example/a/../b",
            "https://app.example//b",
            "https://app.example\\@evil.example/",
            "https://app.example/ x",
            "https://\u{e4}pp.example/",
            "https://app.example:99999/",
            "https://",
            "https:///",
            "https:app.example",
            &long,
        ] {
            assert!(Client::parse(id).is_err(), "{id}");
        }
    }

    // "prefix/regex/userinfo/backslash"
    #[test]
    fn an_answer_goes_to_the_app_and_nowhere_else() {
        let app = Client::parse("https://app.example/").expect("an app");
        for (uri, goes) in [
            ("https://app.example", "https://app.example/"),
            ("https://app.example/cb", "https://app.example/cb"),
            (
                "https://APP.EXAMPLE:443/cb?a=b%20c",
                "https://app.example/cb?a=b%20c",
            ),
            (
                "https://app.example?x=//evil.example",
                "https://app.example/?x=//evil.example",
            ),
        ] {
            assert_eq!(app.redirect(uri).as_deref(), Ok(goes), "{uri}");
        }
        for uri in [
            "",
            "/cb",
            "//app.example/cb",
            "http://app.example/cb",
            "https://app.example:444/cb",
            "https://app.example.evil.example/cb",
            "https://evil.example/app.example",
            "https://app.example@evil.example/",
            "https://evil.example\\@app.example/",
            "https://evil.example#@app.example/",
            "https://app.example#.evil.example/",
            "https://app.example%2eevil.example/",
            "https://app.example%00.evil.example/",
            "https://app.example,evil.example/",
            "https://xapp.example/",
            "https://sub.app.example/",
            "https:/app.example/",
            "https:app.example/",
            "https://\tapp.example/",
            "https://app.example/\r\nX: y",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://app.example/cb#fragment",
            "https://app.example/cb?code=mine",
            "https://app.example/cb?a&st%61te=mine",
            "https://app.example/cb?a;code=mine",
            "https://app.example/../cb",
            "https://app.example//evil.example",
        ] {
            assert!(app.redirect(uri).is_err(), "{uri}");
        }
        // RFC 8252, section 7.3, and no further.
        let tool = Client::parse("http://127.0.0.1/").expect("an app");
        assert_eq!(
            tool.redirect("http://127.0.0.1:51004/cb").as_deref(),
            Ok("http://127.0.0.1:51004/cb")
        );
        for uri in [
            "http://127.0.0.2:51004/",
            "https://127.0.0.1/",
            "http://localhost/",
            "http://[::1]/",
        ] {
            assert!(tool.redirect(uri).is_err(), "{uri}");
        }
        assert!(tool.has_origin("http://127.0.0.1:51004") && app.has_origin("https://app.example"));
        for origin in [
            "",
            "null",
            "https://app.example/",
            "https://app.example?",
            "https://evil.example",
        ] {
            assert!(!app.has_origin(origin), "{origin}");
        }
        let lan = Client::parse("http://192.168.1.20:8123/").expect("an app");
        assert!(lan.redirect("http://192.168.1.20:8124/").is_err());
    }
}
