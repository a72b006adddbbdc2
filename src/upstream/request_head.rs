//! The head of a request as the backend gets it.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use http::header;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, request};

use super::Outgoing;
use super::backends::Backend;
use super::failure::Failure;
use super::identity::IdentityValues;
use crate::config::settings::{HostHeader, Route};
use crate::decision::Permit;
use crate::wire::cookie;
use crate::wire::headers::{is_hop_by_hop, is_never_from_clients, is_plain_name, is_text};
use crate::wire::{http1, spare};

/// How often this program has forwarded the request. A client can forge it, but only to its own
/// harm: nothing but a small number is believed, and nothing but a small number goes on.
const HOPS: HeaderName = HeaderName::from_static("x-sidegate-hop");
/// More are a loop.
const MOST_HOPS: u8 = 8;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A head that is the same for every backend of the route: what was received, and what becomes of it.
/// Nothing is taken out and nothing added until it is written, field by field.
pub(super) struct Head<'r> {
    pub(super) received: &'r request::Parts,
    pub(super) permit: &'r Permit,
    pub(super) outgoing: &'r Outgoing<'r>,
    identity: Rc<IdentityValues>,
    hops: u8,
    /// `Connection` may name fields that end here.
    listed: bool,
}

impl<'r> Head<'r> {
    pub(super) fn new(
        received: &'r request::Parts,
        permit: &'r Permit,
        outgoing: &'r Outgoing<'r>,
        identity: Rc<IdentityValues>,
    ) -> Result<Self, Failure> {
        if !is_text(outgoing.authority.as_bytes()) {
            return Err(Failure::BadAuthority);
        }
        Ok(Self {
            received,
            permit,
            outgoing,
            identity,
            hops: hops(&received.headers)?,
            listed: received.headers.contains_key(header::CONNECTION),
        })
    }

    pub(super) fn method(&self) -> &'r Method {
        &self.received.method
    }

    /// Whether a field of the client goes on. Not when it ends here, and not when only we may say it:
    /// that comes from us, whatever was received under its name. Cookies go another way.
    fn passes(&self, name: &HeaderName) -> bool {
        if is_hop_by_hop(name)
            || is_never_from_clients(name.as_str())
            || matches!(
                *name,
                header::HOST | header::CONTENT_LENGTH | header::EXPECT | header::COOKIE
            )
            || !is_plain_name(name.as_str())
            || self.outgoing.identity_names.contain(name.as_str())
        {
            return false;
        }
        if self.permit.is_preflight() && *name == header::AUTHORIZATION {
            return false;
        }
        let strips = self.permit.is_preflight() || !self.outgoing.route.pass_credentials;
        if strips && self.outgoing.strip.contains(name) {
            return false;
        }
        !self.listed || !is_listed(&self.received.headers, name)
    }

    /// Every field but those that depend on the backend and the body: what goes on of what was received,
    /// then what we say ourselves.
    fn each(&self, mut say: impl FnMut(&HeaderName, &[u8])) {
        let outgoing = self.outgoing;
        for (name, value) in &self.received.headers {
            if self.passes(name) {
                say(name, value.as_bytes());
            }
        }
        let received = &self.received.headers;
        if !(self.listed && is_listed(received, &header::COOKIE))
            && let Some(cookies) = cookies(received, self.permit, outgoing.route)
        {
            say(&header::COOKIE, &cookies);
        }
        for (name, value) in self.identity.named(&outgoing.route.identity_headers) {
            say(name, value.as_bytes());
        }
        if let Some(address) = outgoing.client.address() {
            write_address(address, |text| say(&X_FORWARDED_FOR, text));
        }
        say(&X_FORWARDED_PROTO, outgoing.scheme.as_str().as_bytes());
        say(&X_FORWARDED_HOST, outgoing.authority.as_bytes());
        say(&X_REQUEST_ID, &outgoing.request_id.digits());
        say(&HOPS, &[b'0' + self.hops]);
        if outgoing.upgrade {
            say(&header::CONNECTION, b"Upgrade");
            say(&header::UPGRADE, b"websocket");
        }
    }

    fn target(&self) -> Option<&PathAndQuery> {
        let changed = self.outgoing.target.as_ref();
        changed.or_else(|| self.received.uri.path_and_query())
    }

    /// Whether the head says how long the body is even where it has none.
    fn wants_length(&self) -> bool {
        matches!(*self.method(), Method::POST | Method::PUT | Method::PATCH)
            || self.received.headers.contains_key(header::CONTENT_LENGTH)
    }

    /// The head on an HTTP/1.1 connection. `length` is the body's: none when it is not known beforehand.
    pub(super) fn http1(&self, backend: &Backend, length: Option<u64>) -> Vec<u8> {
        let mut out = spare::buffer();
        out.extend_from_slice(self.method().as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.target().map_or("/", PathAndQuery::as_str).as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let host = match self.outgoing.route.host_header {
            HostHeader::Preserve => self.outgoing.authority.as_bytes(),
            HostHeader::Upstream => backend.host.as_bytes(),
        };
        http1::write_field(b"host", host, &mut out);
        self.each(|name, value| http1::write_field(name.as_str().as_bytes(), value, &mut out));
        match length {
            Some(0) if !self.wants_length() => {}
            Some(length) => {
                out.extend_from_slice(b"content-length: ");
                http1::write_number(length, &mut out);
                out.extend_from_slice(b"\r\n");
            }
            // Said aloud, because otherwise a GET with a body would lose it.
            None => http1::write_field(b"transfer-encoding", b"chunked", &mut out),
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    /// The same on an HTTP/2 connection.
    pub(super) fn http2<B>(
        &self,
        backend: &Backend,
        length: Option<u64>,
        body: B,
    ) -> Result<Request<B>, Failure> {
        let authority = match self.outgoing.route.host_header {
            HostHeader::Preserve => {
                Authority::try_from(self.outgoing.authority).map_err(|_| Failure::BadAuthority)?
            }
            HostHeader::Upstream => backend.authority.clone(),
        };
        let target = self.target().cloned();
        let uri = Uri::builder()
            .scheme(backend.scheme.clone())
            .authority(authority)
            .path_and_query(target.unwrap_or_else(|| PathAndQuery::from_static("/")))
            .build()
            .map_err(|_| Failure::BadAuthority)?;
        let mut request = Request::new(body);
        *request.method_mut() = self.method().clone();
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_2;
        let headers = request.headers_mut();
        self.each(|name, value| {
            let value = HeaderValue::from_bytes(value).expect("it was one, or is printable ASCII");
            headers.append(name, value);
        });
        if let Some(length) = length.filter(|length| *length > 0 || self.wants_length()) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if self.received.version == Version::HTTP_2
            && let Some(te) = self.received.headers.get(header::TE)
            && te.as_bytes().eq_ignore_ascii_case(b"trailers")
        {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        Ok(request)
    }
}

/// The number of times, this one included.
fn hops(headers: &HeaderMap) -> Result<u8, Failure> {
    let before = headers
        .get_all(HOPS)
        .iter()
        .filter_map(|value| value.to_str().ok()?.parse::<u8>().ok())
        .max()
        .unwrap_or(0);
    if before >= MOST_HOPS {
        return Err(Failure::Loop);
    }
    Ok(before + 1)
}

/// The names in `Connection` (RFC 9110 section 7.6.1) that are no words about the connection itself.
fn listed(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.eq_ignore_ascii_case(b"close") && !token.eq_ignore_ascii_case(b"keep-alive"))
}

fn is_listed(headers: &HeaderMap, name: &HeaderName) -> bool {
    listed(headers).any(|token| token.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

/// Removes the fields that `Connection` names (RFC 9110 section 7.6.1).
pub(super) fn remove_listed(headers: &mut HeaderMap) {
    if !headers.contains_key(header::CONNECTION) {
        return;
    }
    let names: Vec<HeaderName> = listed(headers)
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .collect();
    for name in names {
        headers.remove(name);
    }
}

/// Leaves of the cookies what goes on.
pub fn strip_cookies(headers: &mut HeaderMap, permit: &Permit, route: &Route) {
    let changed = match cookies(headers, permit, route) {
        Some(Cow::Borrowed(_)) => return,
        Some(Cow::Owned(kept)) => HeaderValue::from_bytes(&kept).ok(),
        None => None,
    };
    match changed {
        Some(kept) => headers.insert(header::COOKIE, kept),
        None => headers.remove(header::COOKIE),
    };
}

/// The cookies that go on, in one field (RFC 9113 section 8.2.3): without ours unless the route passes
/// credentials. One field in which nothing goes stays as it is.
fn cookies<'h>(headers: &'h HeaderMap, permit: &Permit, route: &Route) -> Option<Cow<'h, [u8]>> {
    let first = headers.get(header::COOKIE)?;
    if permit.is_preflight() {
        return None;
    }
    let goes = |pair: &[u8]| !route.pass_credentials && is_our_cookie(pair);
    let pairs = |value: &'h HeaderValue| value.as_bytes().split(|byte| *byte == b';');
    let all = headers.get_all(header::COOKIE);
    if all.iter().nth(1).is_none() && !pairs(first).any(goes) {
        return Some(Cow::Borrowed(first.as_bytes()));
    }
    let kept: Vec<&[u8]> = all
        .iter()
        .flat_map(pairs)
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty() && !goes(pair))
        .collect();
    (!kept.is_empty()).then(|| Cow::Owned(kept.join(&b"; "[..])))
}

fn is_our_cookie(pair: &[u8]) -> bool {
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
    cookie::OURS
        .iter()
        .any(|ours| name.trim_ascii() == ours.as_bytes())
}

/// Shows the address as text.
fn write_address(address: IpAddr, show: impl FnOnce(&[u8])) {
    use std::io::Write;
    // The longest is 45 characters.
    let mut text = [0_u8; 48];
    let mut rest = &mut text[..];
    let _ = match address {
        // Nearly every request has one, and the standard library's way costs ten times as much.
        IpAddr::V4(address) => write_v4(&mut rest, address),
        IpAddr::V6(address) => write!(rest, "{address}"),
    };
    let left = rest.len();
    show(&text[..text.len() - left]);
}

fn write_v4(to: &mut impl std::io::Write, address: Ipv4Addr) -> std::io::Result<()> {
    for (index, octet) in address.octets().into_iter().enumerate() {
        let digits = [
            b'0' + octet / 100,
            b'0' + octet / 10 % 10,
            b'0' + octet % 10,
            b'.',
        ];
        let leading = usize::from(octet < 100) + usize::from(octet < 10);
        let end = if index == 3 { 3 } else { 4 };
        to.write_all(&digits[leading..end])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_the_standard_library_writes_it() {
        for text in ["0.0.0.0", "9.10.99.100", "255.254.199.1", "::1", "2001:db8::ff"] {
            let address = text.parse().expect("an address");
            write_address(address, |written| assert_eq!(written, text.as_bytes()));
        }
    }
}
