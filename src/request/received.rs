//! The head of a request as it was received, in the bytes that it came in.

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Version};

use super::admission::MAX_TARGET;
use crate::wire::{Fields, scan};

/// A head, of either lane of the server.
#[derive(Clone, Debug)]
pub struct Received<'r> {
    /// Any token.
    pub method: Method,
    /// Path and query as sent; `*` of an asterisk-form, empty where there was neither.
    pub target: &'r str,
    /// Of an absolute-form, an authority-form or `:authority`.
    pub authority: Option<&'r str>,
    /// Of an absolute-form or `:scheme`.
    pub scheme: Option<&'r str>,
    /// 1.0, 1.1 or 2.
    pub version: Version,
    /// The lines of the head.
    pub fields: Fields<'r>,
}

/// Whether some reader takes this for something else.
const fn is_odd(byte: u8) -> bool {
    !matches!(byte, b'!' | b'$'..=b';' | b'=' | b'?' | b'@'..=b'_' | b'a'..=b'z' | b'|' | b'~')
}

/// Whether this is an origin-form (RFC 9112, section 3.2.1) that every reader takes for the same; none is refused by
/// it.
pub fn is_plain_target(target: &str) -> bool {
    target.starts_with('/') && target.len() <= MAX_TARGET && !scan::has(target.as_bytes(), is_odd)
}

/// The same of a query, without its `?`.
#[inline]
pub fn is_plain_query(query: &str) -> bool {
    query.is_empty() || (query.len() <= MAX_TARGET && !scan::has(query.as_bytes(), is_odd))
}

/// The method of that name, if it is a token.
#[inline]
pub fn method(name: &str) -> Option<Method> {
    // Nearly every one is, which is seen at once.
    if name == "GET" {
        return Some(Method::GET);
    }
    Method::from_bytes(name.as_bytes()).ok()
}

/// Path and query of a target.
#[inline]
pub fn split(target: &str) -> (&str, &str) {
    match scan::position(target.as_bytes(), [b'?']) {
        Some(at) => (&target[..at], &target[at + 1..]),
        None => (target, ""),
    }
}

impl<'r> Received<'r> {
    /// What the HTTP library read.
    pub fn of(parts: &'r Parts) -> Self {
        let uri = &parts.uri;
        Self {
            method: parts.method.clone(),
            target: uri.path_and_query().map_or("", PathAndQuery::as_str),
            authority: uri.authority().map(http::uri::Authority::as_str),
            scheme: uri.scheme_str(),
            version: parts.version,
            fields: Fields::of(&parts.headers),
        }
    }

    /// Without the query.
    pub fn path(&self) -> &'r str {
        self.split().0
    }

    /// Without the `?`; empty when there is none.
    pub fn query(&self) -> &'r str {
        self.split().1
    }

    /// Path and query.
    pub fn split(&self) -> (&'r str, &'r str) {
        split(self.target)
    }
}
