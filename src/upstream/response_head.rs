//! The head of a response: checked, and stripped of what is not for the client.

use http::{HeaderMap, HeaderName, Method, StatusCode, Version, header};

use super::failure::Failure;
use super::names::{IdentityNames, is_forbidden_in_response};
use super::request_head::is_listed;
use crate::wire::headers::{is_about_connection, is_hop_by_hop};
use crate::wire::{Fields, Known, Lines, Value, cookie, names};

/// A head as the client may get it.
#[derive(Debug)]
pub(super) struct Relayed {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    pub(super) lines: Lines,
    /// The body is a stream of events, which may be silent for long.
    pub(super) events: bool,
    /// All that a response said which switches the protocol.
    pub(super) switch: Option<Box<HeaderMap>>,
}

impl Relayed {
    /// What is left of a head that answers a request of that method.
    ///
    /// # Errors
    /// It can be read in two ways, or answers something nobody asked.
    pub(super) fn of(
        status: StatusCode,
        version: Version,
        fields: &Fields<'_>,
        asked: &Method,
        identities: &IdentityNames,
    ) -> Result<Self, Failure> {
        let switch = (status == StatusCode::SWITCHING_PROTOCOLS).then(|| Box::new(fields.to_map()));
        if switch.is_none() {
            check(status, version, fields)?;
        }
        let mut lines = Lines::with_room();
        relay(fields, identities, &mut lines);
        lines.length = absent_length(fields, status, asked);
        Ok(Self {
            status,
            version,
            events: is_event_stream(fields),
            lines,
            switch,
        })
    }
}

/// Refuses a response that can be read in two ways, or that answers something nobody asked.
fn check(status: StatusCode, version: Version, fields: &Fields<'_>) -> Result<(), Failure> {
    if status.is_informational() {
        return Err(UNASKED);
    }
    let mut codings = fields.get_all(&names::TRANSFER_ENCODING);
    let Some(coding) = codings.next() else {
        return Ok(());
    };
    if fields.contains_key(names::CONTENT_LENGTH) {
        return Err(Failure::BadResponse(
            "it has both Content-Length and Transfer-Encoding",
        ));
    }
    if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Err(Failure::BadResponse("its Transfer-Encoding is not chunked"));
    }
    if version != Version::HTTP_11 {
        return Err(Failure::BadResponse("it is older than Transfer-Encoding"));
    }
    Ok(())
}

/// A 101 to a request that asked for none.
pub(super) const UNASKED: Failure = Failure::BadResponse("it changes the protocol unasked");

/// Writes what goes on: not what ends here, nor what a backend must not say. How long the body is says whoever sends
/// it.
fn relay(fields: &Fields<'_>, identities: &IdentityNames, lines: &mut Lines) {
    let listed = !is_about_connection(fields);
    let nothing_named = identities.is_empty() && !listed;
    for (name, value) in fields.iter() {
        let own;
        let lower = match name.known() {
            Some(names::CONNECTION | names::CONTENT_LENGTH) => continue,
            Some(known) if nothing_named && goes_on(known) => {
                lines.push_known(known, value.as_bytes());
                continue;
            }
            Some(known) => known.name(),
            None => {
                own = name.to_lower();
                &*own
            }
        };
        if !(ends_here(lower, value, identities) || listed && is_listed(fields, lower)) {
            lines.push(lower.as_bytes(), value.as_bytes());
        }
    }
}

/// Whether nothing but a route's own names keeps it from the client.
fn goes_on(name: Known) -> bool {
    name.is_ordinary() || matches!(name, names::SERVER | names::DATE)
}

/// Whether a field does not go on. The name is lower case.
fn ends_here(name: &str, value: Value<'_>, identities: &IdentityNames) -> bool {
    is_hop_by_hop(name)
        || is_forbidden_in_response(name, identities)
        // How long the body is, and what the request is called, we say ourselves.
        || matches!(name, "content-length" | "x-request-id")
        || (name == "set-cookie" && is_our_cookie(value))
}

/// Where there is no body, a length that describes the one there would have been stays if it is one number.
fn absent_length(fields: &Fields<'_>, status: StatusCode, asked: &Method) -> Option<u64> {
    if status == StatusCode::NO_CONTENT || status.is_informational() {
        return None;
    }
    if *asked != Method::HEAD && status != StatusCode::NOT_MODIFIED {
        return None;
    }
    let mut lengths = fields.get_all(&names::CONTENT_LENGTH);
    let digits = lengths.next()?.to_str().ok()?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let length = is_number.then(|| digits.parse().ok()).flatten();
    length.filter(|_| lengths.next().is_none())
}

/// A backend that could set our cookie could log its visitors in as somebody else.
fn is_our_cookie(value: Value<'_>) -> bool {
    let value = value.as_bytes();
    // `=name=value` is a cookie without a name, which is sent back as `name=value`.
    let start = value.iter().position(|byte| !matches!(byte, b'=' | b' ' | b'\t'));
    let name = value[start.unwrap_or(0)..]
        .split(|byte| *byte == b'=' || *byte == b';')
        .next()
        .unwrap_or_default();
    // Browsers fold the prefix's case (RFC 6265bis section 5.7), so no spelling of it passes.
    cookie::OURS
        .iter()
        .any(|ours| name.trim_ascii().eq_ignore_ascii_case(ours.as_bytes()))
}

/// Trailers that may go on: none that would mean something to a gateway or frames the message.
pub(super) fn strip_trailers(trailers: &mut HeaderMap, identities: &IdentityNames) {
    let goes = |name: &&HeaderName| {
        is_hop_by_hop(name.as_str())
            || is_forbidden_in_response(name.as_str(), identities)
            || **name == header::CONTENT_LENGTH
            || **name == header::SET_COOKIE
    };
    let foreign: Vec<HeaderName> = trailers.keys().filter(goes).cloned().collect();
    for name in foreign {
        trailers.remove(name);
    }
}

/// Whether the body is a stream of events, which may be silent for long.
fn is_event_stream(fields: &Fields<'_>) -> bool {
    const EVENTS: &[u8] = b"text/event-stream";
    fields.get(names::CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes().trim_ascii_start();
        let Some((kind, rest)) = kind.split_at_checked(EVENTS.len()) else {
            return false;
        };
        let ends = |rest: &[u8]| matches!(rest.trim_ascii_start(), [] | [b';', ..]);
        kind.eq_ignore_ascii_case(EVENTS) && ends(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_name_beforehand_is_what_would_be_found_out() {
        let none = IdentityNames::default();
        let ends = |known: Known| ends_here(known.name(), Value::Text(""), &none);
        assert!(!ends(names::SERVER) && !ends(names::DATE) && !ends(Known::of("etag")));
        assert!(ends(names::CONNECTION) && ends(names::CONTENT_LENGTH));
    }

    #[test]
    fn a_stream_of_events_is_known_by_its_type_alone() {
        for (kind, events) in [
            ("text/event-stream", true),
            ("Text/Event-Stream", true),
            ("text/event-stream;charset=utf-8", true),
            ("text/event-stream ; charset=utf-8", true),
            (" text/event-stream\t", true),
            ("text/event-stream charset=utf-8", false),
            ("text/event-streams", false),
            ("text/event-strea", false),
            (";text/event-stream", false),
            ("text/html; charset=text/event-stream", false),
            ("", false),
        ] {
            let fields = [("content-type", kind)].into_iter().collect();
            assert_eq!(is_event_stream(&fields), events, "{kind:?}");
        }
    }
}
