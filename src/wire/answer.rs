//! An answer on its way to the client, whatever lane it goes by.

use std::pin::Pin;

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use tokio::time::Instant;

use crate::time::Moment;

use super::{Body, Known, http1, names, spare};

/// A status, fields and a body. Fields that are as they are sent already are not taken apart again.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Fields that were made here; most answers have none, and are smaller for it.
    headers: Option<Box<HeaderMap>>,
    /// Fields that are written already.
    pub lines: Lines,
    /// Its body.
    pub body: Body,
    /// The address of the backend that gave it, for the access log.
    pub served_by: Option<Box<str>>,
}

/// Fields as HTTP/1.1 has them: `name: value`, each with its end of line; names in lower case. None of them says
/// where the body ends.
#[derive(Debug, Default)]
pub struct Lines {
    /// Empty, or behind [`OK`], so that most heads need not be put together anew.
    bytes: Vec<u8>,
    /// `Date` is among them.
    dated: bool,
    /// The length of a body that is not there (RFC 9110, sections 9.3.2 and 15.4.5).
    pub length: Option<u64>,
}

/// The first line of most answers.
const OK: &[u8] = b"HTTP/1.1 200 OK\r\n";

/// An answer that is there later, and when it was.
pub type Later = Pin<Box<dyn Future<Output = (Answer, Instant)>>>;

/// What became of a request at once.
pub enum Now {
    /// The answer, and when it was asked for.
    Answered(Answer, Moment),
    /// It will be answered. Boxed where it is made: it is large, and would be moved several times.
    Passed(Later, Moment),
    /// It has to wait; nothing has happened.
    Waits,
}

impl Answer {
    /// Without any fields but these.
    pub fn new(status: StatusCode, lines: Lines, body: Body) -> Self {
        Self {
            status,
            headers: None,
            lines,
            body,
            served_by: None,
        }
    }

    /// The fields that were made here.
    pub fn headers(&self) -> Option<&HeaderMap> {
        self.headers.as_deref()
    }

    /// The same to change.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers.get_or_insert_default()
    }

    /// For the HTTP library.
    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.map(|headers| *headers).unwrap_or_default();
        let headers = response.headers_mut();
        for (name, value) in self.lines.iter() {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        if let Some(length) = self.lines.length {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        response
    }
}

impl From<Response<Body>> for Answer {
    fn from(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status,
            headers: (!parts.headers.is_empty()).then(|| Box::new(parts.headers)),
            lines: Lines::with_room(),
            body,
            served_by: None,
        }
    }
}

impl Lines {
    /// None yet, with room.
    pub fn with_room() -> Self {
        let mut bytes = spare::buffer();
        bytes.extend_from_slice(OK);
        Self {
            bytes,
            ..Self::default()
        }
    }

    /// Adds a field; the name is lower case.
    #[inline]
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        self.dated |= name == b"date";
        http1::write_field(name, value, self.begun());
    }

    /// The same where the name is known.
    #[inline]
    pub fn push_known(&mut self, name: Known, value: &[u8]) {
        self.dated |= name == names::DATE;
        http1::write_known(name, value, self.begun());
    }

    /// Lets whole lines be written, none of which is `Date`.
    #[inline]
    pub fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(self.begun());
    }

    #[inline]
    fn begun(&mut self) -> &mut Vec<u8> {
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(OK);
        }
        &mut self.bytes
    }

    /// As they are sent.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(OK.len()..).unwrap_or_default()
    }

    /// Takes them out behind the first line of an answer with that status, unless another one would have to be written.
    pub fn take_head(&mut self, status: StatusCode) -> Option<Vec<u8>> {
        let begun = status == StatusCode::OK && !self.bytes.is_empty();
        begun.then(|| std::mem::take(&mut self.bytes))
    }

    /// Whether `Date` is among them.
    pub fn is_dated(&self) -> bool {
        self.dated
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        each_field(self.as_bytes())
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        spare::keep_buffer(std::mem::take(&mut self.bytes));
    }
}

/// The fields of lines that [`http1::write_field`] wrote.
pub fn each_field(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        let end = rest.windows(2).position(|end| end == b"\r\n")?;
        let line = &rest[..end];
        rest = &rest[end + 2..];
        let colon = line.windows(2).position(|colon| colon == b": ")?;
        Some((&line[..colon], &line[colon + 2..]))
    })
}
