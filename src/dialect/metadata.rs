//! What gateways say of the request that they ask about: one family of headers per endpoint, each
//! exactly once.
//!
//! Gateways copy the client's headers into their question, so a header that the gateway does not
//! set itself was written by whoever asks to be let in (GHSA-5wcc-hf24-rf5h, CVE-2026-40575).

use http::uri::PathAndQuery;

use super::{Asked, Target};
use crate::request::Scheme;
use crate::request::admission::Rejection;
use crate::request::host::Authority;
use crate::request::received;
use crate::wire::names::{self, Names};
use crate::wire::{Fields, Known, scan};

/// Who tells what is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `X-Original-URL` and `X-Original-Method`.
    Original,
    /// `X-Forwarded-Method`, `-Proto`, `-Host` and `-Uri`.
    Forwarded,
    /// The question has method, path and host of the request; `X-Forwarded-Proto` may tell the scheme.
    RequestLine,
}

/// Every header that tells some server what was asked for. `X-Original-URI` is in no family: it
/// was trusted where nobody had set it (GHSA-5wcc-hf24-rf5h).
const ALL: [Known; 10] = [
    Known::of("forwarded"),
    names::X_FORWARDED_HOST,
    names::X_FORWARDED_METHOD,
    Known::of("x-forwarded-prefix"),
    names::X_FORWARDED_PROTO,
    names::X_FORWARDED_URI,
    names::X_ORIGINAL_METHOD,
    Known::of("x-original-uri"),
    names::X_ORIGINAL_URL,
    Known::of("x-rewrite-url"),
];

impl Family {
    /// Its headers.
    const fn own(self) -> Names {
        match self {
            Family::Original => Names::of(&[names::X_ORIGINAL_URL, names::X_ORIGINAL_METHOD]),
            Family::Forwarded => Names::of(&[
                names::X_FORWARDED_METHOD,
                names::X_FORWARDED_PROTO,
                names::X_FORWARDED_HOST,
                names::X_FORWARDED_URI,
            ]),
            Family::RequestLine => Names::of(&[names::X_FORWARDED_PROTO]),
        }
    }

    /// Takes the headers of every other family out, so that nothing can read them; which ones
    /// were there.
    pub fn keep_only(self, headers: &mut Fields<'_>) -> Vec<&'static str> {
        let foreign = const { Names::of(&ALL) }.but(self.own());
        if !headers.seen().has_any(foreign) {
            return Vec::new();
        }
        let is_there = |name: &Known| foreign.has(*name) && headers.seen().has(*name);
        let found: Vec<Known> = ALL.into_iter().filter(is_there).collect();
        for name in &found {
            headers.remove(name);
        }
        found.into_iter().map(Known::name).collect()
    }

    /// The family that is there.
    ///
    /// # Errors
    /// None is, or two are: whoever added the second one wants another answer.
    pub fn detect(headers: &Fields<'_>) -> Result<Self, Rejection> {
        let has = |names| headers.seen().has_any(names);
        // A gateway may send the scheme to anyone.
        let forwarded = Family::Forwarded.own().but(Family::RequestLine.own());
        match (has(Family::Original.own()), has(forwarded)) {
            (true, true) => Err(TWO_FAMILIES),
            (true, false) => Ok(Family::Original),
            (false, true) => Ok(Family::Forwarded),
            (false, false) => Err(NO_FAMILY),
        }
    }
}

/// One header of a family, and what is said when it is not as it should be.
pub(super) struct Metadata {
    pub(super) name: Known,
    pub(super) missing: Rejection,
    pub(super) twice: Rejection,
    pub(super) malformed: Rejection,
}

/// A header and the line that makes the gateway send it, in the gateway's own language.
macro_rules! metadata {
    ($name:literal, $line:literal) => {
        $crate::dialect::metadata::Metadata {
            name: $crate::wire::Known::of($name),
            missing: $crate::request::admission::Rejection::bad(
                "metadata:missing",
                concat!($name, " is missing; ", $line),
            ),
            twice: $crate::request::admission::Rejection::bad(
                "metadata:duplicate",
                concat!(
                    $name,
                    " is there twice, so the client's own came through; ",
                    $line
                ),
            ),
            malformed: $crate::request::admission::Rejection::bad(
                "metadata:malformed",
                concat!($name, " is malformed; ", $line),
            ),
        }
    };
}
pub(super) use metadata;

impl Metadata {
    /// The value, which must be there once and be visible ASCII.
    fn of<'r>(&self, headers: &'r Fields<'_>) -> Result<&'r str, Rejection> {
        let value = headers.only(self.name).map_err(|_| self.twice)?;
        let value = value.ok_or(self.missing)?;
        value.to_str().map_err(|_| self.malformed)
    }
}

/// Reads [`Family::Original`].
pub(super) fn original<'r>(
    headers: &'r Fields<'_>,
    url: &Metadata,
    method: &Metadata,
) -> Result<Asked<'r>, Rejection> {
    let (written, verb) = (url.of(headers)?, method.of(headers)?);
    let (scheme, rest) = usual_scheme(written)
        .or_else(|| any_scheme(written))
        .ok_or(url.malformed)?;
    // Without a path there is nothing to judge; `?` alone would be one that nobody sent.
    let path = scan::position(rest.as_bytes(), [b'/', b'?', b'#']).ok_or(url.malformed)?;
    let (authority, target) = rest.split_at(path);
    asked(verb, scheme, authority, target, method)
}

/// Reads [`Family::Forwarded`].
pub(super) fn forwarded<'r>(
    headers: &'r Fields<'_>,
    [method, proto, host, uri]: &[Metadata; 4],
) -> Result<Asked<'r>, Rejection> {
    let (verb, authority, target) = (method.of(headers)?, host.of(headers)?, uri.of(headers)?);
    let scheme = scheme_of(proto.of(headers)?).ok_or(proto.malformed)?;
    asked(verb, scheme, authority, target, method)
}

#[inline(always)]
fn asked<'r>(
    verb: &str,
    scheme: Scheme,
    authority: &'r str,
    target: &'r str,
    method: &Metadata,
) -> Result<Asked<'r>, Rejection> {
    let verb = received::method(verb).ok_or(method.malformed)?;
    // The gateway keeps its connection: what is wrong is the client's.
    let open = |error| Rejection {
        close: false,
        ..Rejection::from(error)
    };
    Ok(Asked {
        method: verb,
        scheme,
        authority,
        host: Authority::parse(authority).map_err(open)?.host,
        target: self::target(target)?,
    })
}

/// Path and query of a request target, which must be one that a client could have sent us.
#[inline(always)]
pub(super) fn target(target: &str) -> Result<Target<'_>, Rejection> {
    let parts = Target::of(received::split(target));
    // A path that can be read in one way only is one that a client could have sent.
    let plain = parts.safe.is_ok() && received::is_plain_query(parts.query);
    // A `#` would be cut off without a word.
    if !plain && (target.contains('#') || PathAndQuery::try_from(target).is_err()) {
        return Err(BAD_TARGET);
    }
    Ok(parts)
}

/// Scheme and what follows it of an address as nearly every gateway writes it; none says nothing of it.
fn usual_scheme(written: &str) -> Option<(Scheme, &str)> {
    match written.strip_prefix("https://") {
        Some(rest) => Some((Scheme::Https, rest)),
        None => Some((Scheme::Http, written.strip_prefix("http://")?)),
    }
}

/// The same of any address.
fn any_scheme(written: &str) -> Option<(Scheme, &str)> {
    let (scheme, rest) = written.split_once(':')?;
    Some((scheme_of(scheme)?, rest.strip_prefix("//")?))
}

/// `ws` and `wss` are what Traefik writes for a WebSocket.
fn scheme_of(word: &str) -> Option<Scheme> {
    let is = |known: &str| word.eq_ignore_ascii_case(known);
    if is("https") || is("wss") {
        Some(Scheme::Https)
    } else if is("http") || is("ws") {
        Some(Scheme::Http)
    } else {
        None
    }
}

const BAD_TARGET: Rejection = Rejection::bad(
    "target:form",
    "the request target that is asked about is not a path with an optional query",
);
const TWO_FAMILIES: Rejection = Rejection::bad(
    "metadata:two-families",
    "both X-Original-* and X-Forwarded-Method, -Host or -Uri are there, and one of them is the client's; ask the \
     endpoint of your gateway: /auth/nginx, /auth/traefik, /auth/caddy or /auth/haproxy behind the prefix",
);
const NO_FAMILY: Rejection = Rejection::bad(
    "metadata:missing",
    "neither X-Original-URL and X-Original-Method nor X-Forwarded-Method, -Proto, -Host and -Uri are there; for nginx \
     add \"proxy_set_header X-Original-URL $scheme://$http_host$request_uri;\" and \"proxy_set_header \
     X-Original-Method $request_method;\", for Envoy ask /auth/envoy behind the prefix",
);

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> Fields<'static> {
        let mut map = Fields::new();
        for (name, value) in list {
            map.push(name, value.as_bytes());
        }
        map
    }

    #[test]
    fn the_usual_schemes_are_read_as_all_others() {
        for (written, expected) in [
            ("http://h/", Some((Scheme::Http, "h/"))),
            ("https://", Some((Scheme::Https, ""))),
            ("https://http://h", Some((Scheme::Https, "http://h"))),
        ] {
            assert_eq!(usual_scheme(written), expected, "{written}");
            assert_eq!(any_scheme(written), expected, "{written}");
        }
        for (written, expected) in [
            ("HTTPS://h/", Some((Scheme::Https, "h/"))),
            ("ws://h", Some((Scheme::Http, "h"))),
            ("http:/h", None),
            ("http//:h", None),
            ("httpss://h", None),
            ("://h", None),
            ("", None),
        ] {
            assert_eq!(usual_scheme(written), None, "{written}");
            assert_eq!(any_scheme(written), expected, "{written}");
        }
    }

    #[test]
    fn no_path_that_can_be_read_in_one_way_is_refused_as_a_target() {
        for byte in 0..=0x7f_u8 {
            for path in [format!("/a{}b", char::from(byte)), format!("/%{byte:02x}")] {
                let refused = PathAndQuery::try_from(path.as_str()).is_err() || path.contains('#');
                let safe = Target::of((&path, "")).safe.is_ok();
                assert!(!(safe && refused), "{path}");
            }
            let query = char::from(byte).to_string();
            let refused = PathAndQuery::try_from(format!("/?{query}")).is_err() || query == "#";
            assert!(!(received::is_plain_query(&query) && refused), "{query}");
        }
    }

    // Section 4: "`/_sidegate/auth` reads the dialect from the metadata and denies when two
    // families are present"
    #[test]
    fn a_family_is_detected_when_it_is_the_only_one() {
        let detect = |list: &[(&'static str, &'static str)]| {
            Family::detect(&headers(list)).map_err(|rejection| rejection.reason)
        };
        let nginx = ("x-original-url", "http://h/");
        let traefik = ("x-forwarded-uri", "/");
        let proto = ("x-forwarded-proto", "http");
        assert_eq!(detect(&[nginx]), Ok(Family::Original));
        assert_eq!(detect(&[nginx, proto]), Ok(Family::Original));
        assert_eq!(detect(&[traefik, proto]), Ok(Family::Forwarded));
        assert_eq!(detect(&[nginx, traefik]), Err("metadata:two-families"));
        assert_eq!(detect(&[proto]), Err("metadata:missing"));
        // "`X-Original-URI` is never read"
        assert_eq!(detect(&[("x-original-uri", "/")]), Err("metadata:missing"));
    }

    #[test]
    fn what_another_family_says_cannot_be_read_afterwards() {
        let mut map = headers(&[
            ("x-original-url", "http://h/"),
            ("x-original-uri", "/public"),
            ("x-forwarded-uri", "/public"),
            ("x-forwarded-uri", "/twice"),
            ("x-forwarded-for", "192.0.2.1"),
        ]);
        let ignored = Family::Original.keep_only(&mut map);
        assert_eq!(ignored, ["x-forwarded-uri", "x-original-uri"]);
        assert_eq!(map.len(), 2);
    }
}
