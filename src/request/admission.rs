//! The strict gate in front of everything: what the HTTP library lets through and two servers
//! could read differently ends here, before routing.
//!
//! Measured on hyper 1.12; `tests/bad_inputs` feeds the whole program raw bytes to keep that true.

mod handshake;

use http::{HeaderName, Method, StatusCode, Version};

pub use handshake::{Handshake, take_handshake};

use super::Received;
use super::host::{Authority, HostError};
use crate::wire::headers::{connection_names, connection_tokens, trim};
use crate::wire::names::{self, Names};
use crate::wire::{Fields, Value};

/// Longest request target, path and query together.
pub const MAX_TARGET: usize = 8 * 1024;
/// Longest method.
const MAX_METHOD: usize = 32;

/// What the gate learned about a request that may go on.
#[derive(Clone, Debug)]
pub struct Admitted<'r> {
    /// The host that the request is for.
    pub authority: Authority<'r>,
    /// What is asked for.
    pub target: Target,
    /// Whether the connection is to become something else.
    pub upgrade: Option<Upgrade>,
    /// So many header lines were dropped for their names.
    pub dropped_headers: usize,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `Parts::uri` has a path that starts with `/`; unchecked otherwise.
    Path,
    /// `OPTIONS *`: about the server itself, never forwarded.
    Asterisk,
}

/// What a connection may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// RFC 6455.
    WebSocket,
}

/// Why a request may not go on. Says nothing of what the client sent: it could be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The status of the answer.
    pub status: StatusCode,
    /// The word in the log and in `X-Auth-Error`: `group:what`.
    pub reason: &'static str,
    /// The sentence for the client.
    pub message: &'static str,
    /// Close the connection: what follows on it cannot be trusted to be a request.
    pub close: bool,
}

impl Rejection {
    /// 400, connection kept.
    pub const fn bad(reason: &'static str, message: &'static str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            reason,
            message,
            close: false,
        }
    }

    /// The connection is closed after the answer.
    const fn closing(self) -> Self {
        Self { close: true, ..self }
    }

    const fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message)
    }
}

impl std::error::Error for Rejection {}

impl From<HostError> for Rejection {
    fn from(error: HostError) -> Self {
        Rejection::bad(error.reason(), error.message()).closing()
    }
}

/// Checks one request head and takes out of it what must not go on: header names that could fold
/// onto others, and upgrades to anything but WebSocket.
///
/// `token_headers` carry our credentials; `head_limit` counts names, values and 4 bytes a line.
pub fn admit<'r>(
    received: &mut Received<'r>,
    token_headers: &[HeaderName],
    head_limit: usize,
) -> Result<Admitted<'r>, Rejection> {
    check_method(&received.method)?;
    let target = check_target(received)?;
    let fields = &received.fields;
    let dropped_headers = check_fields(fields)?;
    if fields.bytes() > head_limit {
        return Err(HEAD_TOO_LARGE);
    }
    let authority = check_authority(received)?;
    let upgrade = if fields.seen().has_any(HANDLING) {
        check_handling(received, token_headers)?
    } else {
        check_tokens(fields, token_headers)?;
        None
    };
    if dropped_headers > 0 {
        received.fields.retain(|name| name.is_plain());
    }
    Ok(Admitted {
        authority,
        target,
        upgrade,
        dropped_headers,
    })
}

/// What says where the body ends and what becomes of the connection. Many a head has none of it.
const HANDLING: Names = Names::of(&[
    names::CONTENT_LENGTH,
    names::TRANSFER_ENCODING,
    names::UPGRADE,
    names::EXPECT,
    names::CONNECTION,
]);

/// The checks of a head that has some of it.
#[inline(never)]
fn check_handling(
    received: &mut Received<'_>,
    token_headers: &[HeaderName],
) -> Result<Option<Upgrade>, Rejection> {
    let fields = &received.fields;
    let seen = Seen::read(fields);
    let content_length = check_framing(received.version, &seen)?;
    check_tokens(fields, token_headers)?;
    if fields.contains_key(names::CONNECTION) {
        check_connection(fields, token_headers)?;
    }
    if seen.expect.is_some_and(|value| !is_word(value, "100-continue")) {
        return Err(UNKNOWN_EXPECTATION);
    }
    let upgrade = check_upgrade(received, &seen)?;

    let foreign_upgrade = seen.upgrade.is_some() && upgrade.is_none();
    // `007` goes on as `7`: not every backend reads leading zeros alike.
    let padded = seen
        .content_length
        .is_some_and(|text| text.len() > 1 && text.as_bytes().starts_with(b"0"));
    if let Some(length) = content_length.filter(|_| padded) {
        received
            .fields
            .set("content-length", length.to_string().into_bytes());
    }
    if foreign_upgrade {
        received.fields.remove(names::UPGRADE);
        received.fields.remove("http2-settings");
    }
    Ok(upgrade)
}

/// Any method token passes but those that change what a connection is or echo credentials. 501
/// says that of no resource (RFC 9110 §15.6.2), so no `Allow` is needed.
#[inline]
pub fn check_method(method: &Method) -> Result<(), Rejection> {
    match *method {
        Method::GET | Method::POST | Method::HEAD | Method::OPTIONS => Ok(()),
        Method::PUT | Method::DELETE | Method::PATCH => Ok(()),
        _ => check_rare_method(method),
    }
}

fn check_rare_method(method: &Method) -> Result<(), Rejection> {
    /// Methods are case-sensitive (RFC 9110 §9.1), yet some backends read `get` as GET.
    const KNOWN: [&str; 11] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "TRACK", "PRI",
    ];
    match method.as_str() {
        "CONNECT" | "TRACE" | "TRACK" | "PRI" => Err(METHOD_NOT_IMPLEMENTED),
        other if other.len() > MAX_METHOD => Err(METHOD_TOO_LONG),
        other if KNOWN.iter().any(|known| known.eq_ignore_ascii_case(other)) => Err(METHOD_CASE),
        _ => Ok(()),
    }
}

/// Origin-form, or what may stand for it. The authority of an absolute-form is compared with
/// `Host` later.
fn check_target(received: &Received<'_>) -> Result<Target, Rejection> {
    if received.authority.is_some() || received.scheme.is_some() {
        check_absolute(received)?;
    }
    let target = received.target;
    if target.len() > MAX_TARGET {
        return Err(TARGET_TOO_LONG);
    }
    // `GET admin` arrives as an authority without a path, which no rule would match.
    let is_absolute = received.scheme.is_some();
    if received.authority.is_some() != is_absolute && !is_h2(received.version) {
        return Err(TARGET_FORM);
    }
    match target {
        "*" if received.method == Method::OPTIONS => Ok(Target::Asterisk),
        target if target.starts_with('/') => Ok(Target::Path),
        _ => Err(TARGET_FORM),
    }
}

#[inline(never)]
fn check_absolute(received: &Received<'_>) -> Result<(), Rejection> {
    if received
        .authority
        .is_some_and(|authority| authority.contains('@'))
    {
        return Err(TARGET_USERINFO);
    }
    if received
        .scheme
        .is_some_and(|scheme| default_port(scheme).is_none())
    {
        return Err(TARGET_SCHEME);
    }
    Ok(())
}

/// Exactly one host: `Host`, or `:authority` in HTTP/2; equal where both are there.
fn check_authority<'r>(received: &Received<'r>) -> Result<Authority<'r>, Rejection> {
    let header = received.fields.received(names::HOST);
    let Some(uri) = received.authority else {
        return Ok(Authority::of(header.ok_or(HOST_MISSING)?)?);
    };
    let header = header.map(Authority::of).transpose()?;
    let uri = Authority::parse(uri)?;
    match header {
        None if is_h2(received.version) => Ok(uri),
        None => Err(HOST_MISSING),
        Some(header) => {
            let port = received.scheme.and_then(default_port).unwrap_or(80);
            if header.is_same(&uri, port) {
                Ok(header)
            } else {
                Err(HOST_DIFFERS)
            }
        }
    }
}

/// One way to tell where the body ends, or none (RFC 9112 §6.3).
fn check_framing(version: Version, seen: &Seen<'_>) -> Result<Option<u64>, Rejection> {
    if let Some(coding) = seen.transfer_encoding {
        if version != Version::HTTP_11 {
            return Err(ENCODING_VERSION);
        }
        if seen.content_length.is_some() {
            return Err(TWO_FRAMINGS);
        }
        // `gzip, chunked` would lose its gzip when the body is framed anew.
        return if is_word(coding, "chunked") {
            Ok(None)
        } else {
            Err(ENCODING_UNKNOWN)
        };
    }
    let Some(length) = seen.content_length else {
        return Ok(None);
    };
    let digits = length.to_str().map_err(|_| BAD_LENGTH)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BAD_LENGTH);
    }
    digits.parse().map(Some).map_err(|_| BAD_LENGTH)
}

/// Our own credentials: once each, and readable.
#[inline]
fn check_tokens(headers: &Fields<'_>, token_headers: &[HeaderName]) -> Result<(), Rejection> {
    // Nearly every head is so, and then there is nothing to find.
    if headers.is_text() && headers.repeated() == Names::default() {
        return Ok(());
    }
    check_each_token(headers, token_headers)
}

#[inline(never)]
fn check_each_token(headers: &Fields<'_>, token_headers: &[HeaderName]) -> Result<(), Rejection> {
    for name in token_headers {
        if let Some(value) = headers.get(name) {
            readable(value)?;
            headers.only(name).map_err(|_| TWO_TOKENS)?;
        }
    }
    Ok(())
}

/// `Connection` must not name what is never hop-by-hop: the next hop would delete a credential or
/// the framing (CVE-2024-45410). Other names are deleted with the hop-by-hop headers.
fn check_connection(headers: &Fields<'_>, token_headers: &[HeaderName]) -> Result<(), Rejection> {
    const NEVER: [&str; 6] = [
        "authorization",
        "cookie",
        "host",
        "content-length",
        "content-type",
        "transfer-encoding",
    ];
    for token in connection_tokens(headers) {
        let is_token = token_headers
            .iter()
            .any(|name| token.eq_ignore_ascii_case(name.as_str()));
        if is_token || NEVER.iter().any(|name| token.eq_ignore_ascii_case(name)) {
            return Err(CONNECTION_NAMES);
        }
    }
    Ok(())
}

/// A WebSocket is asked for by exactly `Upgrade: websocket` and `Connection: upgrade`; anything
/// else is no upgrade and goes on without the header (RFC 9110 §7.8 lets a server ignore it).
fn check_upgrade(received: &Received<'_>, seen: &Seen<'_>) -> Result<Option<Upgrade>, Rejection> {
    match seen.upgrade {
        Some(value) if is_word(value, "websocket") && connection_names(&received.fields, "upgrade") => {}
        _ => return Ok(None),
    }
    if received.version != Version::HTTP_11 {
        return Err(UPGRADE_VERSION);
    }
    if received.method != Method::GET {
        return Err(UPGRADE_METHOD);
    }
    // CVE-2026-58055: body bytes would be read as frames, or as the next request.
    if seen.content_length.is_some() || seen.transfer_encoding.is_some() {
        return Err(UPGRADE_BODY);
    }
    Ok(Some(Upgrade::WebSocket))
}

/// What the checks ask for.
struct Seen<'h> {
    content_length: Option<Value<'h>>,
    transfer_encoding: Option<Value<'h>>,
    upgrade: Option<Value<'h>>,
    expect: Option<Value<'h>>,
}

/// What a head must not have twice, in the order of what is said of it.
const SINGLE: Names = Names::of(&[
    names::HOST,
    names::AUTHORIZATION,
    names::CONTENT_TYPE,
    names::CONTENT_LENGTH,
    names::EXPECT,
    names::SEC_WEBSOCKET_KEY,
    names::SEC_WEBSOCKET_VERSION,
    names::TRANSFER_ENCODING,
    names::UPGRADE,
]);

impl<'h> Seen<'h> {
    fn read(fields: &'h Fields<'_>) -> Self {
        Self {
            content_length: fields.get(names::CONTENT_LENGTH),
            transfer_encoding: fields.get(names::TRANSFER_ENCODING),
            upgrade: fields.get(names::UPGRADE),
            expect: fields.get(names::EXPECT),
        }
    }
}

/// How many names are to be dropped. Nearly every head is without fault, which is seen without a look at each field.
fn check_fields(fields: &Fields<'_>) -> Result<usize, Rejection> {
    if fields.repeated().has_any(SINGLE) || !fields.is_text() {
        find_fault(fields)?;
    }
    Ok(if fields.are_plain() { 0 } else { odd_names(fields) })
}

#[inline(never)]
fn odd_names(fields: &Fields<'_>) -> usize {
    fields.names().filter(|name| !name.is_plain()).count()
}

/// The first field that is there twice and must not be, or that two readers could read differently.
#[inline(never)]
fn find_fault(fields: &Fields<'_>) -> Result<(), Rejection> {
    let mut before = Names::default();
    for (name, value) in fields.iter() {
        let one = Names::one(name.known());
        let again = before.has_any(one);
        before = before.and(one);
        let (single, is_read) = match name.known() {
            Some(names::HOST) => (Some(TWO_HOSTS), false),
            Some(names::AUTHORIZATION) => (Some(TWO_AUTHORIZATIONS), true),
            Some(names::CONTENT_TYPE) => (Some(TWO_TYPES), false),
            Some(names::CONTENT_LENGTH) => (Some(TWO_LENGTHS), false),
            Some(names::COOKIE) => (None, true),
            Some(names::EXPECT) => (Some(UNKNOWN_EXPECTATION), false),
            Some(names::SEC_WEBSOCKET_KEY | names::SEC_WEBSOCKET_VERSION) => (Some(TWO_SOCKETS), false),
            Some(names::TRANSFER_ENCODING) => (Some(TWO_ENCODINGS), false),
            Some(names::UPGRADE) => (Some(TWO_UPGRADES), false),
            _ => (None, name.starts_with("x-forwarded-")),
        };
        if is_read {
            readable(value)?;
        }
        if let Some(twice) = single.filter(|_| again) {
            return Err(twice);
        }
    }
    Ok(())
}

/// Bytes above 0x7F mean different things to different readers.
fn readable(value: Value<'_>) -> Result<(), Rejection> {
    value.to_str().map(drop).map_err(|_| UNREADABLE)
}

fn is_word(value: Value<'_>, word: &str) -> bool {
    value
        .to_str()
        .is_ok_and(|text| trim(text).eq_ignore_ascii_case(word))
}

fn is_h2(version: Version) -> bool {
    version == Version::HTTP_2
}

fn default_port(scheme: &str) -> Option<u16> {
    if scheme.eq_ignore_ascii_case("http") {
        Some(80)
    } else if scheme.eq_ignore_ascii_case("https") {
        Some(443)
    } else {
        None
    }
}

const METHOD_NOT_IMPLEMENTED: Rejection = Rejection::bad(
    "method:not-implemented",
    "CONNECT, TRACE, TRACK and PRI are not served here",
)
.with_status(StatusCode::NOT_IMPLEMENTED)
.closing();
const METHOD_TOO_LONG: Rejection =
    Rejection::bad("method:too-long", "the method is longer than 32 characters");
const METHOD_CASE: Rejection = Rejection::bad(
    "method:case",
    "methods are case-sensitive; write this one in capitals",
);
const TARGET_USERINFO: Rejection = Rejection::bad(
    "target:userinfo",
    "the request target has a user name in it; send it as Authorization: Basic",
)
.closing();
const TARGET_SCHEME: Rejection =
    Rejection::bad("target:scheme", "the scheme is neither http nor https").closing();
const TARGET_FORM: Rejection = Rejection::bad(
    "target:form",
    "the request target is not a path that starts with /",
)
.closing();
/// The target is longer than [`MAX_TARGET`].
pub const TARGET_TOO_LONG: Rejection =
    Rejection::bad("target:too-long", "the request target is longer than 8 KiB")
        .with_status(StatusCode::URI_TOO_LONG);
const HEAD_TOO_LARGE: Rejection = Rejection::bad("head:too-large", "the request head is too large")
    .with_status(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    .closing();
const HOST_MISSING: Rejection = Rejection::bad("host:missing", "the request has no Host header").closing();
const HOST_DIFFERS: Rejection = Rejection::bad(
    "host:differs",
    "the Host header names another host than the request target",
)
.closing();
const TWO_HOSTS: Rejection = Rejection::bad("host:duplicate", "the Host header is there twice").closing();
const TWO_AUTHORIZATIONS: Rejection = Rejection::bad(
    "header:duplicate-authorization",
    "the Authorization header is there twice",
);
const TWO_TOKENS: Rejection = Rejection::bad("header:duplicate-token", "a token header is there twice");
const TWO_TYPES: Rejection = Rejection::bad(
    "header:duplicate-content-type",
    "the Content-Type header is there twice",
);
const TWO_UPGRADES: Rejection =
    Rejection::bad("upgrade:duplicate", "the Upgrade header is there twice").closing();
const TWO_SOCKETS: Rejection =
    Rejection::bad("upgrade:duplicate-key", "a Sec-WebSocket header is there twice").closing();
const UNREADABLE: Rejection = Rejection::bad(
    "header:not-ascii",
    "Authorization, Cookie, X-Forwarded-* or a token header has a byte outside visible ASCII",
);
const TWO_LENGTHS: Rejection = Rejection::bad(
    "framing:duplicate-length",
    "the Content-Length header is there twice",
)
.closing();
const BAD_LENGTH: Rejection = Rejection::bad("framing:length", "Content-Length is not a number").closing();
const TWO_ENCODINGS: Rejection = Rejection::bad(
    "framing:duplicate-te",
    "the Transfer-Encoding header is there twice",
)
.closing();
const TWO_FRAMINGS: Rejection = Rejection::bad(
    "framing:te-and-length",
    "Transfer-Encoding and Content-Length exclude each other",
)
.closing();
const ENCODING_VERSION: Rejection =
    Rejection::bad("framing:te-version", "Transfer-Encoding belongs to HTTP/1.1 only").closing();
const ENCODING_UNKNOWN: Rejection =
    Rejection::bad("framing:te", "the only Transfer-Encoding served here is chunked")
        .with_status(StatusCode::NOT_IMPLEMENTED)
        .closing();
const CONNECTION_NAMES: Rejection = Rejection::bad(
    "framing:connection",
    "Connection names a header that is never hop-by-hop, such as Authorization, Cookie or Host",
)
.closing();
const UNKNOWN_EXPECTATION: Rejection = Rejection::bad(
    "header:expect",
    "the only expectation served here is 100-continue",
)
.with_status(StatusCode::EXPECTATION_FAILED);
const UPGRADE_VERSION: Rejection =
    Rejection::bad("upgrade:version", "a WebSocket upgrade needs HTTP/1.1").closing();
/// An upgrade by another method than GET.
pub const UPGRADE_METHOD: Rejection =
    Rejection::bad("upgrade:method", "a WebSocket upgrade must be a GET").closing();
const UPGRADE_BODY: Rejection = Rejection::bad(
    "upgrade:body",
    "a WebSocket upgrade must have neither Content-Length nor Transfer-Encoding",
)
.closing();

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Headers<'t> = &'t [(&'t str, &'t str)];

    fn received<'t>(version: Version, method: &str, headers: Headers<'t>) -> Received<'t> {
        let mut fields: Fields<'_> = headers.iter().copied().collect();
        fields.push("Host", b"a");
        Received {
            method: method.parse().expect("a token"),
            target: "/x",
            authority: None,
            scheme: None,
            version,
            fields,
        }
    }

    fn reason(version: Version, method: &str, headers: Headers<'_>) -> Option<(&'static str, u16, bool)> {
        let rejection = admit(&mut received(version, method, headers), &[], 64 * 1024).err()?;
        Some((rejection.reason, rejection.status.as_u16(), rejection.close))
    }

    // The server library takes these apart before us today; should it stop, the gate still holds.
    #[test]
    fn framing_that_two_servers_could_read_differently_is_refused_whoever_parsed_it() {
        let (one, zero, two) = (Version::HTTP_11, Version::HTTP_10, Version::HTTP_2);
        let chunked = ("transfer-encoding", "chunked");
        let length = ("content-length", "5");
        let table: &[(Version, Headers<'_>, &str)] = &[
            (one, &[chunked, length], "framing:te-and-length"),
            (zero, &[chunked], "framing:te-version"),
            (two, &[chunked], "framing:te-version"),
            (one, &[length, length], "framing:duplicate-length"),
            (one, &[("content-length", "5, 5")], "framing:length"),
            (one, &[("content-length", "")], "framing:length"),
            (one, &[("content-length", "+5")], "framing:length"),
            (
                one,
                &[("content-length", "18446744073709551616")],
                "framing:length",
            ),
            (one, &[("transfer-encoding", "identity")], "framing:te"),
        ];
        for (version, headers, expected) in table {
            let (reason, _, close) = reason(*version, "POST", headers).expect("refused");
            assert_eq!((reason, close), (*expected, true), "{version:?} {headers:?}");
        }
    }

    // "Any method token passes but CONNECT, TRACE, TRACK and PRI (WebDAV and CalDAV work)."
    #[test]
    fn any_method_passes_but_four() {
        for method in [
            "GET", "PATCH", "PROPFIND", "REPORT", "M-SEARCH", "propfind", "GETS",
        ] {
            assert_eq!(reason(Version::HTTP_11, method, &[]), None, "{method}");
        }
        for method in ["CONNECT", "TRACE", "TRACK", "PRI"] {
            let expected = Some(("method:not-implemented", 501, true));
            assert_eq!(reason(Version::HTTP_11, method, &[]), expected, "{method}");
        }
    }

    #[test]
    fn what_goes_on_has_no_foreign_upgrade_and_no_padded_length() {
        let mut received = received(
            Version::HTTP_11,
            "POST",
            &[
                ("content-length", "005"),
                ("upgrade", "h2c"),
                ("connection", "upgrade, http2-settings"),
                ("http2-settings", "AAMAAABk"),
                ("remote_user", "root"),
                ("accept", "*/*"),
            ],
        );
        let admitted = admit(&mut received, &[], 64 * 1024).expect("admitted");
        assert_eq!((admitted.upgrade, admitted.dropped_headers), (None, 1));
        assert!(
            received
                .fields
                .get("content-length")
                .is_some_and(|length| length == "5")
        );
        for name in ["upgrade", "http2-settings", "remote_user"] {
            assert!(!received.fields.contains_key(name), "{name}");
        }
        assert!(received.fields.contains_key("accept"));
    }

    proptest! {
        #[test]
        fn what_is_not_looked_at_has_no_fault(
            lines in prop::collection::vec(
                (
                    prop::sample::select(vec!["x-openhab-token", "x-own", "x-other", "accept", "upgrade", "expect"]),
                    prop::sample::select(vec![&b"a"[..], b"websocket", b"x-own", b"\xe9"]),
                ),
                0..5,
            ),
        ) {
            let own = ["x-openhab-token", "x-own"].map(HeaderName::from_static);
            let mut head = received(Version::HTTP_11, "GET", &[]);
            head.fields = lines.into_iter().collect();
            let found = check_each_token(&head.fields, &own);
            prop_assert_eq!(check_tokens(&head.fields, &own), found);
            if !head.fields.seen().has_any(HANDLING) {
                prop_assert_eq!(check_handling(&mut head, &own), found.map(|()| None));
            }
        }
    }
}
