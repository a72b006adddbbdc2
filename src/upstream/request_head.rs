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
use crate::request::{Received, Scheme};
use crate::wire::cookie;
use crate::wire::headers::{is_about_connection, is_hop_by_hop, is_never_from_clients, is_text};
use crate::wire::{Fields, Known, Name, Value, each_field, http1, names, spare};

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
    /// As HTTP/1.1 has it, up to the last field. Where nothing was said of the host, the backend's own stands in the
    /// place of it. Empty while it is being sent.
    written: Vec<u8>,
    /// How much there is of it.
    length: usize,
    /// So much of it is method and target.
    target: usize,
    /// So much are also the host and all before it.
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
        let fields = &received.fields;
        if !is_plain(outgoing.authority, fields) {
            return Err(Failure::BadAuthority);
        }
        let hops = hops(fields)?;
        let mut written = spare::buffer();
        let target = match (outgoing.target.as_deref(), received.target) {
            (Some(changed), _) => changed,
            (None, "") => "/",
            (None, target) => target,
        };
        match received.method {
            Method::GET => written.extend_from_slice(b"GET "),
            ref other => {
                written.extend_from_slice(other.as_str().as_bytes());
                written.push(b' ');
            }
        }
        written.extend_from_slice(target.as_bytes());
        let target = written.len();
        written.extend_from_slice(BEFORE_HOST);
        let host = match outgoing.route.host_header {
            HostHeader::Preserve => outgoing.authority,
            HostHeader::Upstream => "",
        };
        written.extend_from_slice(host.as_bytes());
        let host = written.len();
        let filter = Filter {
            fields,
            outgoing,
            preflight: permit.is_preflight(),
            listed: !is_about_connection(fields),
            nothing_named: outgoing.identity_names.is_empty() && !permit.is_preflight(),
        };
        filter.write(&permit, &mut written);
        identity.write(&outgoing.route.identity_headers, &mut written);
        write_own(outgoing, hops, &mut written);
        let te = fields.get(names::TE);
        Ok(Self {
            method: received.method.clone(),
            version: received.version,
            client: outgoing.client.address(),
            key: fields
                .get(names::SEC_WEBSOCKET_KEY)
                .filter(|_| outgoing.upgrade)
                .map(|key| key.as_bytes().into()),
            target,
            host,
            wants_length: matches!(received.method, Method::POST | Method::PUT | Method::PATCH)
                || fields.contains_key(names::CONTENT_LENGTH),
            trailers: received.version == Version::HTTP_2
                && te.is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers")),
            permit,
            length: written.len(),
            written,
        })
    }

    /// Target, host and fields.
    fn parts(&self) -> (&[u8], &[u8], &[u8]) {
        let target = &self.written[self.method.as_str().len() + 1..self.target];
        let host = &self.written[self.target + BEFORE_HOST.len()..self.host];
        (target, host, &self.written[self.host + 2..])
    }

    /// The fields, without `Host`; none while it is being sent.
    pub(super) fn fields(&self) -> Fields<'_> {
        let mut fields = Fields::new();
        let written = self.written.get(self.host + 2..).unwrap_or_default();
        for (name, value) in each_field(written) {
            fields.push(std::str::from_utf8(name).expect("names are ASCII"), value);
        }
        fields
    }

    /// The head on an HTTP/1.1 connection; what is known of it is gone then, until it is put back. `length` is the
    /// body's: none when it is not known beforehand.
    pub(super) fn http1(&mut self, backend: &Backend, length: Option<u64>) -> Vec<u8> {
        let mut out = if self.host > self.target + BEFORE_HOST.len() {
            std::mem::take(&mut self.written)
        } else {
            let mut out = spare::buffer();
            let (before, rest) = self.written.split_at(self.host);
            out.extend_from_slice(before);
            out.extend_from_slice(backend.host.as_bytes());
            out.extend_from_slice(rest);
            out
        };
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

    /// Puts back what was written out, and did not lead to an answer.
    pub(super) fn put_back(&mut self, mut sent: Vec<u8>) {
        if self.written.is_empty() {
            sent.truncate(self.length);
            self.written = sent;
        }
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

/// What stands between target and host.
const BEFORE_HOST: &[u8] = b" HTTP/1.1\r\nhost: ";

/// Whether the authority is visible ASCII. Nearly always it is the value of `Host`, of which that is known.
fn is_plain(authority: &str, fields: &Fields<'_>) -> bool {
    let host = fields.get(names::HOST);
    matches!(host, Some(Value::Text(host)) if std::ptr::eq(host, authority)) || is_text(authority.as_bytes())
}

/// What we say ourselves. What is the same for every request goes in one piece from one value to the next.
fn write_own(outgoing: &Outgoing<'_>, hops: u8, out: &mut Vec<u8>) {
    if let Some(address) = outgoing.client.address() {
        out.extend_from_slice(b"x-forwarded-for: ");
        write_address(address, out);
        out.extend_from_slice(b"\r\n");
    }
    match outgoing.scheme {
        Scheme::Http => out.extend_from_slice(b"x-forwarded-proto: http\r\nx-forwarded-host: "),
        Scheme::Https => out.extend_from_slice(b"x-forwarded-proto: https\r\nx-forwarded-host: "),
    }
    out.extend_from_slice(outgoing.authority.as_bytes());
    let mut rest = *b"\r\nx-request-id: 0123456789abcdef\r\nx-sidegate-hop: 1\r\n";
    rest[16..32].copy_from_slice(&outgoing.request_id.digits());
    rest[50] = b'0' + hops;
    out.extend_from_slice(&rest);
    if outgoing.upgrade {
        out.extend_from_slice(b"connection: Upgrade\r\nupgrade: websocket\r\n");
    }
}

/// Which fields of a client go on.
struct Filter<'r> {
    fields: &'r Fields<'r>,
    outgoing: &'r Outgoing<'r>,
    preflight: bool,
    /// `Connection` may name fields that end here.
    listed: bool,
    /// Neither route nor permit has a word about single fields.
    nothing_named: bool,
}

impl Filter<'_> {
    /// Ends the line before, and writes every field that goes on, cookies last.
    fn write(&self, permit: &Permit, out: &mut Vec<u8>) {
        let all_ordinary = self.nothing_named && !self.listed;
        for (name, value) in self.fields.iter() {
            let own;
            let lower = match name.known() {
                Some(known) if all_ordinary && known.is_ordinary() => {
                    http1::write_next(known, value.as_bytes(), out);
                    continue;
                }
                Some(known) => known.name(),
                None => {
                    own = name.to_lower();
                    &*own
                }
            };
            if self.passes(name, lower) {
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(lower.as_bytes());
                out.extend_from_slice(b": ");
                out.extend_from_slice(value.as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n");
        if !(self.listed && is_listed(self.fields, header::COOKIE.as_str()))
            && let Some(cookies) = cookies(self.fields, permit, self.outgoing.route)
        {
            http1::write_field(b"cookie", &cookies, out);
        }
    }

    /// Whether a field of the client goes on. Not when it ends here, and not when only we may say it:
    /// that comes from us, whatever was received under its name. Cookies go another way.
    fn passes(&self, name: Name<'_>, lower: &str) -> bool {
        match name.known() {
            Some(known) if known.is_ordinary() => {}
            Some(names::HOST | names::CONTENT_LENGTH | names::EXPECT | names::COOKIE) => return false,
            _ if is_hop_by_hop(lower) || is_never_from_clients(lower) || !name.is_plain() => return false,
            _ => {}
        }
        if self.outgoing.identity_names.contain(lower) {
            return false;
        }
        if self.preflight && lower == "authorization" {
            return false;
        }
        !self.listed || !is_listed(self.fields, lower)
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

/// Writes the address as text.
fn write_address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => write_v4(address, out),
        IpAddr::V6(address) => {
            let _ = std::io::Write::write_fmt(out, format_args!("{address}"));
        }
    }
}

/// Nearly every request has one, and the standard library's way costs twenty times as much.
fn write_v4(address: Ipv4Addr, out: &mut Vec<u8>) {
    let mut text = [0; 16];
    let mut at = 0;
    for octet in address.octets() {
        text[at..at + 4].copy_from_slice(&OCTETS[usize::from(octet)]);
        at += 2 + usize::from(octet > 9) + usize::from(octet > 99);
    }
    // All at once and then cut off: that is less work than to copy as much as there is.
    let end = out.len() + at - 1;
    out.extend_from_slice(&text);
    out.truncate(end);
}

/// Each number as text with a point behind it.
static OCTETS: [[u8; 4]; 256] = {
    let mut octets = [[0; 4]; 256];
    let mut octet = 0;
    while octet < 256 {
        let (hundreds, tens, ones) = (octet / 100, octet / 10 % 10, octet % 10);
        let [hundreds, tens, ones] = [b'0' + hundreds as u8, b'0' + tens as u8, b'0' + ones as u8];
        octets[octet] = match octet {
            0..10 => [ones, b'.', 0, 0],
            10..100 => [tens, ones, b'.', 0],
            _ => [hundreds, tens, ones, b'.'],
        };
        octet += 1;
    }
    octets
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_the_standard_library_writes_it() {
        let every = (0..=255).map(|octet| format!("{octet}.255.{octet}.{octet}"));
        let others = ["0.0.0.0", "255.255.255.255", "::1", "2001:db8::ff"].map(str::to_owned);
        for text in every.chain(others) {
            let mut written = Vec::new();
            write_address(text.parse().expect("an address"), &mut written);
            assert_eq!(written, text.as_bytes());
        }
    }
}
