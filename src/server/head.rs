//! Heads in the plain lane: which requests are plain, and how answers begin.

use std::cell::RefCell;

use http::{Method, StatusCode, Version, header};

use crate::request::Received;
use crate::request::received::is_plain_target;
use crate::time::Timestamp;
use crate::wire::http1::{self, NoHead, RequestHead};
use crate::wire::names::{self, Names};
use crate::wire::{Answer, spare};

/// What bytes turned out to be.
pub(super) enum Found<'b> {
    /// A request that this lane can serve.
    Asked(Received<'b>, Asked),
    /// The beginning of a head.
    Part,
    /// Anything else, also what is no request at all: the HTTP library answers it.
    Other,
}

/// What the lane needs to know of a plain request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Bytes of its head.
    pub(super) head: usize,
    /// Bytes of its body.
    pub(super) body: u64,
    /// The client wants no other answer on this connection.
    pub(super) last: bool,
    /// Only the head of an answer is wanted.
    pub(super) head_only: bool,
}

/// Looks for a plain request. What is not certain is left to the HTTP library: nothing is refused and
/// nothing repaired here.
pub(super) fn read(bytes: &[u8], most: usize) -> Found<'_> {
    let head = match http1::request(bytes) {
        Ok(head) => head,
        Err(NoHead::Partial) if bytes.len() <= most => return Found::Part,
        Err(NoHead::Partial | NoHead::Other) => return Found::Other,
    };
    let Some((method, asked)) = plain(&head).filter(|_| head.length <= most) else {
        return Found::Other;
    };
    let received = Received {
        method,
        target: head.target,
        authority: None,
        scheme: None,
        version: Version::HTTP_11,
        fields: head.fields,
    };
    Found::Asked(received, asked)
}

/// Nothing that has one of these is plain.
const NOT_PLAIN: Names = Names::of(&[names::TRANSFER_ENCODING, names::EXPECT, names::UPGRADE]);
/// Nor what has one of these twice.
const ONCE: Names = Names::of(&[names::CONTENT_LENGTH, names::CONNECTION]);

fn plain(head: &RequestHead<'_>) -> Option<(Method, Asked)> {
    let method = Method::from_bytes(head.method.as_bytes()).ok()?;
    if method == Method::CONNECT || !is_plain_target(head.target) {
        return None;
    }
    let fields = &head.fields;
    if fields.seen().has_any(NOT_PLAIN) || fields.repeated().has_any(ONCE) {
        return None;
    }
    let body = match fields.get(names::CONTENT_LENGTH) {
        Some(length) => number(length.as_bytes())?,
        None => 0,
    };
    let last = match fields.get(names::CONNECTION) {
        Some(word) => is_close(word.as_bytes())?,
        None => false,
    };
    let asked = Asked {
        head: head.length,
        body,
        last,
        head_only: method == Method::HEAD,
    };
    Some((method, asked))
}

/// A number that every reader takes for the same.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        digits
            .iter()
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')),
    )
}

fn is_close(value: &[u8]) -> Option<bool> {
    if value.eq_ignore_ascii_case(b"keep-alive") {
        Some(false)
    } else {
        value.eq_ignore_ascii_case(b"close").then_some(true)
    }
}

/// How the body of an answer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// What is known of the body of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content {
    None,
    Length(u64),
    Unknown,
}

/// Writes the head of an answer, as the HTTP library of the other lane would. `last` says that the
/// connection ends with it. It takes the fields that are written already.
pub(super) fn write(
    answer: &mut Answer,
    content: Content,
    head_only: bool,
    last: bool,
    now: impl FnOnce() -> Timestamp,
) -> (Vec<u8>, Framing) {
    let written = match answer.headers() {
        None => answer.lines.take_head(answer.status),
        Some(_) => None,
    };
    let (mut head, dated) = match written {
        Some(head) => (head, answer.lines.is_dated()),
        None => begin(answer, content, head_only),
    };
    let out = &mut head;
    if last && !says_close(answer) {
        http1::write_field(b"connection", b"close", out);
    }
    let never = matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let mut length = answer.lines.length;
    let framing = match content {
        _ if never => Framing::Length(0),
        Content::None if head_only => Framing::Length(0),
        Content::None => {
            length = Some(0);
            Framing::Length(0)
        }
        Content::Length(known) => {
            length = Some(known);
            Framing::Length(if head_only { 0 } else { known })
        }
        Content::Unknown if head_only => Framing::Length(0),
        Content::Unknown => {
            http1::write_field(b"transfer-encoding", b"chunked", out);
            Framing::Chunked
        }
    };
    if let Some(length) = length {
        out.extend_from_slice(b"content-length: ");
        http1::write_number(length, out);
        out.extend_from_slice(b"\r\n");
    }
    if !dated {
        write_date(now(), out);
    }
    out.extend_from_slice(b"\r\n");
    (head, framing)
}

/// Writes the first line and the fields of an answer; whether `Date` is among them.
fn begin(answer: &Answer, content: Content, head_only: bool) -> (Vec<u8>, bool) {
    let mut head = spare::buffer();
    let out = &mut head;
    write_status(answer.status, out);
    let mut dated = answer.lines.is_dated();
    for (name, value) in answer.headers().into_iter().flatten() {
        match *name {
            // What is sent says how long it is; only where nothing is, a length may stand for what
            // would have been.
            header::CONTENT_LENGTH if !(head_only && matches!(content, Content::None)) => {
                continue;
            }
            header::TRANSFER_ENCODING => continue,
            header::DATE => dated = true,
            _ => {}
        }
        http1::write_field(name.as_str().as_bytes(), value.as_bytes(), out);
    }
    out.extend_from_slice(answer.lines.as_bytes());
    (head, dated)
}

/// Whether the answer ends the connection by what it says.
pub(super) fn says_close(answer: &Answer) -> bool {
    answer
        .headers()
        .into_iter()
        .flat_map(|headers| headers.get_all(header::CONNECTION))
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close"))
}

fn write_status(status: StatusCode, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    // What the library writes where the status has no name.
    out.extend_from_slice(status.canonical_reason().unwrap_or("<none>").as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// `Date`, which is written out once a second.
fn write_date(now: Timestamp, out: &mut Vec<u8>) {
    thread_local! {
        static LINE: RefCell<(i64, Vec<u8>)> = const { RefCell::new((i64::MIN, Vec::new())) };
    }
    LINE.with_borrow_mut(|(second, line)| {
        if *second != now.as_seconds() {
            *second = now.as_seconds();
            line.clear();
            if let Some(date) = now.http_date() {
                http1::write_field(b"date", date.as_bytes(), line);
            }
        }
        out.extend_from_slice(line);
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{Body, Lines};

    fn lane(text: &str) -> &'static str {
        match read(text.as_bytes(), 1000) {
            Found::Asked(..) => "plain",
            Found::Part => "part",
            Found::Other => "other",
        }
    }

    // "whatever is not plain is handed over, bytes and socket, to hyper"
    #[test]
    fn only_what_can_be_read_in_one_way_is_plain() {
        for plain in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST /x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
            "PROPFIND / HTTP/1.1\r\nhost: a\r\nconnection: Keep-Alive\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nempty:\r\n\r\n",
        ] {
            assert_eq!(lane(plain), "plain", "{plain}");
        }
        for other in [
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            "CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nConnection: close\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "\0",
        ] {
            assert_eq!(lane(other), "other", "{other}");
        }
        assert_eq!(lane("GET / HT"), "part");
        assert_eq!(lane(&format!("GET /{}", "a".repeat(1000))), "other");
        assert_eq!(
            lane(&format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1000))),
            "other"
        );
    }

    proptest! {
        // The same fields, once written already and once not.
        #[test]
        fn a_head_that_was_begun_already_is_one_that_is_put_together(
            status in prop_oneof![Just(200_u16), 200..600_u16],
            fields in prop::collection::vec(("[a-z-]{1,9}|date", "[ -~]{0,9}"), 0..4),
            length in prop::option::of(0..20_u64),
            content in prop_oneof![
                Just(Content::None),
                (1..20_u64).prop_map(Content::Length),
                Just(Content::Unknown),
            ],
            (head_only, last) in any::<(bool, bool)>(),
        ) {
            let answer = || {
                let mut lines = Lines::with_room();
                for (name, value) in &fields {
                    lines.push(name.as_bytes(), value.as_bytes());
                }
                lines.length = length;
                Answer::new(StatusCode::from_u16(status).unwrap(), lines, Body::Empty)
            };
            let now = || Timestamp::from_millis(784_111_777_999);
            let (mut begun, mut made) = (answer(), answer());
            // A map without fields is no head, and adds nothing.
            made.headers_mut();
            prop_assert!(made.lines.as_bytes().is_empty() == fields.is_empty());
            let (begun, begun_framing) = write(&mut begun, content, head_only, last, now);
            let (made, made_framing) = write(&mut made, content, head_only, last, now);
            prop_assert_eq!(begun_framing, made_framing);
            prop_assert_eq!(begun.escape_ascii().to_string(), made.escape_ascii().to_string());
        }
    }
}
