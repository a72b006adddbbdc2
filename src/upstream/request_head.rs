//! The head of a request as the backend gets it.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{self, Entry};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, request};

use super::Outgoing;
use super::backends::Backend;
use super::failure::Failure;
use super::identity::IdentityValues;
use crate::config::settings::{HostHeader, Route};
use crate::decision::Permit;
use crate::request::Scheme;
use crate::wire::cookie;
use crate::wire::headers::{is_hop_by_hop, is_never_from_clients, is_plain_name};
use crate::wire::http1;

/// How often this program has forwarded the request. A client can forge it, but only to its own
/// harm: nothing but a small number is believed, and nothing but a small number goes on.
const HOPS: HeaderName = HeaderName::from_static("x-sidegate-hop");
/// More are a loop.
const MOST_HOPS: u8 = 8;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A head that is the same for every backend of the route. What is not is added when it is sent.
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    target: PathAndQuery,
    host: HeaderValue,
    te_trailers: bool,
    wants_length: bool,
}

impl Head {
    /// Deletes what ends here and what only we may say, then says it. The order matters: a field
    /// that `Connection` names is gone before ours of that name is set.
    pub(super) fn new(
        parts: request::Parts,
        permit: &Permit,
        outgoing: &Outgoing<'_>,
        identities: &mut IdentityValues,
    ) -> Result<Self, Failure> {
        let mut headers = parts.headers;
        let hops = hops(&headers)?;
        let te_trailers = parts.version == Version::HTTP_2
            && headers
                .get(header::TE)
                .is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
        let wants_length = headers.remove(header::CONTENT_LENGTH).is_some()
            || matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
        remove_listed(&mut headers);
        let received_host = headers.remove(header::HOST);
        remove_foreign(&mut headers, outgoing);
        remove_credentials(&mut headers, permit, outgoing);

        let host = match received_host {
            // The usual case: no new allocation.
            Some(host) if host.as_bytes() == outgoing.authority.as_bytes() => host,
            _ => HeaderValue::from_str(outgoing.authority).map_err(|_| Failure::BadAuthority)?,
        };
        identities.set(&mut headers, &outgoing.route.identity_headers, permit.identity());
        if let Some(address) = outgoing.client.address() {
            headers.insert(X_FORWARDED_FOR, address_value(address));
        }
        headers.insert(
            X_FORWARDED_PROTO,
            match outgoing.scheme {
                Scheme::Http => HeaderValue::from_static("http"),
                Scheme::Https => HeaderValue::from_static("https"),
            },
        );
        headers.insert(X_FORWARDED_HOST, host.clone());
        headers.insert(
            X_REQUEST_ID,
            HeaderValue::from_bytes(&outgoing.request_id.digits())
                .expect("hex digits are a valid header value"),
        );
        headers.insert(HOPS, HeaderValue::from(u16::from(hops)));
        if outgoing.upgrade {
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        let target = match &outgoing.target {
            Some(target) => target.clone(),
            None => parts
                .uri
                .path_and_query()
                .cloned()
                .unwrap_or_else(|| PathAndQuery::from_static("/")),
        };
        Ok(Self {
            method: parts.method,
            headers,
            target,
            host,
            te_trailers,
            wants_length,
        })
    }

    /// The head on an HTTP/1.1 connection. `length` is the body's: none when it is not known beforehand.
    pub(super) fn http1(&self, backend: &Backend, how: HostHeader, length: Option<u64>) -> Bytes {
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(self.method.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.target.as_str().as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let host = match how {
            HostHeader::Preserve => &self.host,
            HostHeader::Upstream => &backend.host,
        };
        http1::write_field(b"host", host.as_bytes(), &mut out);
        http1::write_fields(&self.headers, &mut out);
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
        out.into()
    }

    /// The same on an HTTP/2 connection.
    pub(super) fn http2<B>(
        &self,
        backend: &Backend,
        how: HostHeader,
        length: Option<u64>,
        body: B,
    ) -> Result<Request<B>, Failure> {
        let authority = match how {
            HostHeader::Preserve => {
                Authority::try_from(self.host.as_bytes()).map_err(|_| Failure::BadAuthority)?
            }
            HostHeader::Upstream => backend.authority.clone(),
        };
        let uri = Uri::builder()
            .scheme(backend.scheme.clone())
            .authority(authority)
            .path_and_query(self.target.clone())
            .build()
            .map_err(|_| Failure::BadAuthority)?;
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_2;
        let mut headers = self.headers.clone();
        if let Some(length) = length.filter(|length| *length > 0 || self.wants_length) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if self.te_trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        *request.headers_mut() = headers;
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

/// Removes the fields that `Connection` names (RFC 9110 section 7.6.1).
pub(super) fn remove_listed(headers: &mut HeaderMap) {
    if !headers.contains_key(header::CONNECTION) {
        return;
    }
    let listed: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.eq_ignore_ascii_case(b"close") && !token.eq_ignore_ascii_case(b"keep-alive"))
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .collect();
    for name in listed {
        headers.remove(name);
    }
}

fn remove_foreign(headers: &mut HeaderMap, outgoing: &Outgoing<'_>) {
    let goes = |name: &&HeaderName| {
        is_hop_by_hop(name)
            || **name == header::EXPECT
            || !is_plain_name(name.as_str())
            || is_never_from_clients(name.as_str())
            || outgoing.identity_names.contain(name.as_str())
    };
    let foreign: Vec<HeaderName> = headers.keys().filter(goes).cloned().collect();
    for name in foreign {
        headers.remove(name);
    }
}

fn remove_credentials(headers: &mut HeaderMap, permit: &Permit, outgoing: &Outgoing<'_>) {
    if permit.is_preflight() {
        headers.remove(header::AUTHORIZATION);
        headers.remove(header::COOKIE);
    }
    if permit.is_preflight() || !outgoing.route.pass_credentials {
        for name in outgoing.strip {
            headers.remove(name);
        }
    }
    strip_cookies(headers, permit, outgoing.route);
}

/// Joins the fields of cookies to one, without ours unless the route passes credentials.
pub fn strip_cookies(headers: &mut HeaderMap, permit: &Permit, route: &Route) {
    if permit.is_preflight() || !route.pass_credentials {
        rebuild_cookies(headers, is_our_cookie);
    } else {
        rebuild_cookies(headers, |_| false);
    }
}

fn is_our_cookie(pair: &[u8]) -> bool {
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
    cookie::OURS
        .iter()
        .any(|ours| name.trim_ascii() == ours.as_bytes())
}

/// Takes out the cookies that go, and joins several fields to one (RFC 9113 section 8.2.3). One
/// field in which nothing goes stays as it is.
fn rebuild_cookies(headers: &mut HeaderMap, goes: fn(&[u8]) -> bool) {
    let pairs = |value: &HeaderValue| -> Vec<Vec<u8>> {
        value
            .as_bytes()
            .split(|byte| *byte == b';')
            .map(|pair| pair.trim_ascii().to_vec())
            .collect()
    };
    let Entry::Occupied(mut cookies) = headers.entry(header::COOKIE) else {
        return;
    };
    let is_single = cookies.iter().nth(1).is_none();
    let some_go = |value: &HeaderValue| value.as_bytes().split(|byte| *byte == b';').any(goes);
    if is_single && !cookies.iter().any(some_go) {
        return;
    }
    let kept: Vec<Vec<u8>> = cookies
        .iter()
        .flat_map(pairs)
        .filter(|pair| !pair.is_empty() && !goes(pair))
        .collect();
    match HeaderValue::from_bytes(&kept.join(&b"; "[..])) {
        Ok(value) if !kept.is_empty() => {
            cookies.insert(value);
        }
        _ => {
            cookies.remove();
        }
    }
}

fn address_value(address: IpAddr) -> HeaderValue {
    use std::io::Write;
    // The longest is 45 characters.
    let mut text = [0_u8; 48];
    let mut rest = &mut text[..];
    let _ = write!(rest, "{address}");
    let left = rest.len();
    HeaderValue::from_bytes(&text[..text.len() - left]).expect("an address is a valid header value")
}
