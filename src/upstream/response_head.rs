//! The head of a response: checked, and stripped of what is not for the client.

use http::header::{self, Entry};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, response};

use super::failure::Failure;
use super::names::{IdentityNames, is_forbidden_in_response};
use super::request_head::remove_listed;
use crate::wire::cookie;
use crate::wire::headers::is_hop_by_hop;

/// Refuses a response that can be read in two ways, or that answers something nobody asked.
pub(super) fn check(head: &response::Parts) -> Result<(), Failure> {
    if head.status.is_informational() {
        return Err(Failure::BadResponse("it changes the protocol unasked"));
    }
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else {
        return Ok(());
    };
    if head.headers.contains_key(header::CONTENT_LENGTH) {
        return Err(Failure::BadResponse(
            "it has both Content-Length and Transfer-Encoding",
        ));
    }
    if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Err(Failure::BadResponse("its Transfer-Encoding is not chunked"));
    }
    if head.version != Version::HTTP_11 {
        return Err(Failure::BadResponse("it is older than Transfer-Encoding"));
    }
    Ok(())
}

/// Deletes what ends here and what a backend must not say. `length` is the body's, if known.
pub(super) fn strip(
    head: &mut response::Parts,
    asked: &Method,
    length: Option<u64>,
    identities: &IdentityNames,
) {
    let headers = &mut head.headers;
    remove_listed(headers);
    let goes =
        |name: &&HeaderName| is_hop_by_hop(name) || is_forbidden_in_response(name.as_str(), identities);
    let foreign: Vec<HeaderName> = headers.keys().filter(goes).cloned().collect();
    for name in foreign {
        headers.remove(name);
    }
    remove_our_cookies(headers);
    reframe(headers, head.status, asked, length);
    // The reason phrase and anything else of the other connection.
    head.extensions.clear();
    head.version = Version::HTTP_11;
}

/// Writes the length as one number. Where there is no body, a length that describes the one there
/// would have been stays if it is one number.
fn reframe(headers: &mut HeaderMap, status: StatusCode, asked: &Method, length: Option<u64>) {
    if status == StatusCode::NO_CONTENT || status.is_informational() {
        headers.remove(header::CONTENT_LENGTH);
    } else if *asked == Method::HEAD || status == StatusCode::NOT_MODIFIED {
        let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
        let first = lengths
            .next()
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        match (first, lengths.next()) {
            (Some(length), None) => {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            }
            _ => {
                headers.remove(header::CONTENT_LENGTH);
            }
        }
    } else if let Entry::Occupied(mut entry) = headers.entry(header::CONTENT_LENGTH) {
        match length {
            Some(length) if is_written_so(entry.get(), length) && entry.iter().nth(1).is_none() => {}
            Some(length) => {
                entry.insert(HeaderValue::from(length));
            }
            None => {
                entry.remove();
            }
        }
    }
}

/// Whether the value is these very digits, without a sign or zeros before them.
fn is_written_so(value: &HeaderValue, length: u64) -> bool {
    let digits = value.to_str().unwrap_or_default();
    digits.starts_with(|first: char| first != '0' && first != '+') && digits.parse() == Ok(length)
}

/// A backend that could set our cookie could log its visitors in as somebody else.
fn remove_our_cookies(headers: &mut HeaderMap) {
    let is_ours = |value: &HeaderValue| {
        // `=name=value` is a cookie without a name, which is sent back as `name=value`.
        let start = value
            .as_bytes()
            .iter()
            .position(|byte| !matches!(byte, b'=' | b' ' | b'\t'));
        let name = value.as_bytes()[start.unwrap_or(0)..]
            .split(|byte| *byte == b'=' || *byte == b';')
            .next()
            .unwrap_or_default();
        // Browsers fold the prefix's case (RFC 6265bis section 5.7), so no spelling of it passes.
        cookie::OURS
            .iter()
            .any(|ours| name.trim_ascii().eq_ignore_ascii_case(ours.as_bytes()))
    };
    if !headers.get_all(header::SET_COOKIE).iter().any(is_ours) {
        return;
    }
    if let Entry::Occupied(entry) = headers.entry(header::SET_COOKIE) {
        let (_, values) = entry.remove_entry_mult();
        let kept: Vec<HeaderValue> = values.filter(|value| !is_ours(value)).collect();
        for value in kept {
            headers.append(header::SET_COOKIE, value);
        }
    }
}

/// Trailers that may go on: none that would mean something to a gateway or frames the message.
pub(super) fn strip_trailers(trailers: &mut HeaderMap, identities: &IdentityNames) {
    let goes = |name: &&HeaderName| {
        is_hop_by_hop(name)
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
pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes();
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
    })
}
