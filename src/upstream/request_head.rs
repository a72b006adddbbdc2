//! The head of a request as the backend gets it.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use http::header;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};

use super::Outgoing;
use super::backends::Backend;
use super::failure::Failure;
use super::identity::IdentityValues;
use crate::config::settings::{HostHeader, Route};
use crate::decision::Permit;
use crate::request::Received;
use crate::wire::cookie;
use crate::wire::headers::{is_about_connection, is_hop_by_hop, is_never_from_clients, is_text};
use crate::wire::{Fields, Known, Name, each_field, http1, names, spare};

/// How often this program has forwarded the request. A client can forge it, but only to its own
/// harm: nothing but a small number is believed, and nothing but a small number goes on.
const HOPS: Known = names::X_SIDEGATE_HOP;
/// More are a loop.
const MOST_HOPS: u8 = 8;

/// A head that is the same for every backend of the route, written out: what goes on of what was received, and what
/// we say ourselves. Only host and body are missing.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) permit: Permit,
    pub(super) method: Method,
    /// Of the client's request.
    pub(super) version: Version,
    /// The client's address.
    pub(super) client: Option<IpAddr>,
    /// `Sec-WebSocket-Key`, where an upgrade was asked for.
    pub(super) key: Option<Box<[u8]>>,
    /// The target, then what was said of the host, then the fields.
    written: Vec<u8>,
    /// So many bytes of it are the target.
    target: usize,
    /// So many are of the host. None: the backend's own stands in the place of it.
    host: usize,
    /// The head says how long the body is even where it has none.
    wants_length: bool,
    /// `TE: trailers`
    trailers: bool,
}

impl Head {
    pub(super) fn new(
        received: &Received<'_>,
        permit: Permit,
        outgoing: &Outgoing<'_>,
        identity: &IdentityValues,
    ) -> Result<Self, Failure> {
        if !is_text(outgoing.authority.as_bytes()) {
            return Err(Failure::BadAuthority);
        }
        let fields = &received.fields;
        let hops = hops(fields)?;
        let mut written = spare::buffer();
        let target = match (outgoing.target.as_deref(), received.target) {
            (Some(changed), _) => changed,
            (None, "") => "/",
            (None, target) => target,
        };
        written.extend_from_slice(target.as_bytes());
        let host = match outgoing.route.host_header {
            HostHeader::Preserve => outgoing.authority,
            HostHeader::Upstream => "",
        };
        written.extend_from_slice(host.as_bytes());
        let filter = Filter {
            fields,
            outgoing,
            preflight: permit.is_preflight(),
            listed: !is_about_connection(fields),
        };
        let mut say = |name: &str, value: &[u8]| http1::write_field(name.as_bytes(), value, &mut written);
        filter.each(&permit, &mut say);
        identity.write(&outgoing.route.identity_headers, &mut written);
        let mut say = |name: &str, value: &[u8]| http1::write_field(name.as_bytes(), value, &mut written);
        if let Some(address) = outgoing.client.address() {
            write_address(address, |text| say("x-forwarded-for", text));
        }
        say("x-forwarded-proto", outgoing.scheme.as_str().as_bytes());
        say("x-forwarded-host", outgoing.authority.as_bytes());
        say("x-request-id", &outgoing.request_id.digits());
        say(HOPS.name(), &[b'0' + hops]);
        if outgoing.upgrade {
            say("connection", b"Upgrade");
            say("upgrade", b"websocket");
        }
        let te = fields.get(names::TE);
        Ok(Self {
            method: received.method.clone(),
            version: received.version,
            client: outgoing.client.address(),
            key: fields
                .get(names::SEC_WEBSOCKET_KEY)
                .filter(|_| outgoing.upgrade)
                .map(|key| key.as_bytes().into()),
            target: target.len(),
            host: host.len(),
            wants_length: matches!(received.method, Method::POST | Method::PUT | Method::PATCH)
                || fields.contains_key(names::CONTENT_LENGTH),
            trailers: received.version == Version::HTTP_2
                && te.is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers")),
            permit,
            written,
        })
    }

    /// Target, host and fields.
    fn parts(&self) -> (&[u8], &[u8], &[u8]) {
        let (target, rest) = self.written.split_at(self.target);
        let (host, fields) = rest.split_at(self.host);
        (target, host, fields)
    }

    /// The fields, without `Host`.
    pub(super) fn fields(&self) -> Fields<'_> {
        let mut fields = Fields::new();
        for (name, value) in each_field(self.parts().2) {
            fields.push(std::str::from_utf8(name).expect("names are ASCII"), value);
        }
        fields
    }

    /// The head on an HTTP/1.1 connection. `length` is the body's: none when it is not known beforehand.
    pub(super) fn http1(&self, backend: &Backend, length: Option<u64>) -> Vec<u8> {
        let mut out = spare::buffer();
        let (target, host, fields) = self.parts();
        out.extend_from_slice(self.method.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(target);
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let host = if host.is_empty() {
            backend.host.as_bytes()
        } else {
            host
        };
        http1::write_field(b"host", host, &mut out);
        out.extend_from_slice(fields);
        match length {
            Some(0) if !self.wants_length => {}
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
        let (target, host, fields) = self.parts();
        let authority = match host {
            [] => backend.authority.clone(),
            written => Authority::try_from(written).map_err(|_| Failure::BadAuthority)?,
        };
        let target = PathAndQuery::try_from(target).map_err(|_| Failure::BadAuthority)?;
        let uri = Uri::builder()
            .scheme(backend.scheme.clone())
            .authority(authority)
            .path_and_query(target)
            .build()
            .map_err(|_| Failure::BadAuthority)?;
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_2;
        let headers = request.headers_mut();
        for (name, value) in each_field(fields) {
            let name = HeaderName::from_bytes(name).expect("it was one, or is ours");
            let value = HeaderValue::from_bytes(value).expect("it was one, or is printable ASCII");
            headers.append(name, value);
        }
        if let Some(length) = length.filter(|length| *length > 0 || self.wants_length) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if self.trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        Ok(request)
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        spare::keep_buffer(std::mem::take(&mut self.written));
    }
}

/// Which fields of a client go on.
struct Filter<'r> {
    fields: &'r Fields<'r>,
    outgoing: &'r Outgoing<'r>,
    preflight: bool,
    /// `Connection` may name fields that end here.
    listed: bool,
}

impl Filter<'_> {
    /// Says every field that goes on, cookies last.
    fn each(&self, permit: &Permit, say: &mut impl FnMut(&str, &[u8])) {
        for (name, value) in self.fields.iter() {
            if self.passes(name) {
                match name.known() {
                    Some(known) => say(known.name(), value.as_bytes()),
                    None => say(&name.to_lower(), value.as_bytes()),
                }
            }
        }
        if !(self.listed && is_listed(self.fields, header::COOKIE.as_str()))
            && let Some(cookies) = cookies(self.fields, permit, self.outgoing.route)
        {
            say(header::COOKIE.as_str(), &cookies);
        }
    }

    /// Whether a field of the client goes on. Not when it ends here, and not when only we may say it:
    /// that comes from us, whatever was received under its name. Cookies go another way.
    fn passes(&self, name: Name<'_>) -> bool {
        let lower = match name.known() {
            Some(known) => Cow::Borrowed(known.name()),
            None => name.to_lower(),
        };
        let ordinary = name.known().is_some_and(Known::is_ordinary);
        if !ordinary
            && (is_hop_by_hop(&lower)
                || is_never_from_clients(&lower)
                || matches!(&*lower, "host" | "content-length" | "expect" | "cookie")
                || !name.is_plain())
        {
            return false;
        }
        if self.outgoing.identity_names.contain(&lower) {
            return false;
        }
        if self.preflight && *lower == *"authorization" {
            return false;
        }
        let strips = self.preflight || !self.outgoing.route.pass_credentials;
        if strips && self.outgoing.strip.iter().any(|gone| name.is(gone.as_str())) {
            return false;
        }
        !self.listed || !is_listed(self.fields, &lower)
    }
}

/// The number of times, this one included.
fn hops(fields: &Fields<'_>) -> Result<u8, Failure> {
    let before = fields
        .get_all(&HOPS)
        .filter_map(|value| value.to_str().ok()?.parse::<u8>().ok())
        .max()
        .unwrap_or(0);
    if before >= MOST_HOPS {
        return Err(Failure::Loop);
    }
    Ok(before + 1)
}

/// Whether `Connection` names that field (RFC 9110 section 7.6.1); words about the connection itself are no names.
pub(super) fn is_listed(fields: &Fields<'_>, name: &str) -> bool {
    fields
        .get_all(&names::CONNECTION)
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.eq_ignore_ascii_case(b"close") && !token.eq_ignore_ascii_case(b"keep-alive"))
        .any(|token| token.eq_ignore_ascii_case(name.as_bytes()))
}

/// Leaves of the cookies what goes on.
pub fn strip_cookies(fields: &mut Fields<'_>, permit: &Permit, route: &Route) {
    let changed = match cookies(fields, permit, route) {
        Some(Cow::Borrowed(_)) => return,
        Some(Cow::Owned(kept)) => Some(kept),
        None => None,
    };
    match changed {
        Some(kept) => fields.set("cookie", kept),
        None => {
            fields.remove(names::COOKIE);
        }
    };
}

/// The cookies that go on, in one field (RFC 9113 section 8.2.3): without ours unless the route passes
/// credentials. One field in which nothing goes stays as it is.
fn cookies<'h>(fields: &'h Fields<'_>, permit: &Permit, route: &Route) -> Option<Cow<'h, [u8]>> {
    let first = fields.get(names::COOKIE)?.as_bytes();
    if permit.is_preflight() {
        return None;
    }
    let goes = |pair: &[u8]| !route.pass_credentials && is_our_cookie(pair);
    let pairs = |value: &'h [u8]| value.split(|byte| *byte == b';');
    let all = || fields.get_all(&names::COOKIE).map(|value| value.as_bytes());
    if all().nth(1).is_none() && !pairs(first).any(goes) {
        return Some(Cow::Borrowed(first));
    }
    let kept: Vec<&[u8]> = all()
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
