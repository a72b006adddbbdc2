//! Heads of HTTP/1.1 messages: from bytes, and to bytes. Nothing here repairs anything.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

/// The most fields of one head.
const MOST_FIELDS: usize = 100;

/// The head of a request, as far as it can be read in one way only.
#[derive(Debug)]
pub struct RequestHead {
    /// As sent.
    pub method: Method,
    /// The target, as sent.
    pub target: Bytes,
    /// In their order.
    pub headers: HeaderMap,
    /// Bytes of the head, with the empty line.
    pub length: usize,
}

/// The head of a response.
#[derive(Debug)]
pub struct ResponseHead {
    /// 100 to 999.
    pub status: StatusCode,
    /// 1.0 or 1.1.
    pub version: Version,
    /// In their order.
    pub headers: HeaderMap,
    /// Bytes of the head, with the empty line.
    pub length: usize,
}

/// Why bytes are no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHead {
    /// They do not end it.
    Partial,
    /// They are something else.
    Other,
}

/// Reads the head of an HTTP/1.1 request.
///
/// # Errors
/// It is not whole, or not what this can read: then whoever can read more decides about it.
pub fn request(bytes: &[u8]) -> Result<RequestHead, NoHead> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let parsed = httparse::ParserConfig::default()
        .parse_request_with_uninit_headers(&mut request, bytes, &mut fields)
        .map_err(|_| NoHead::Other)?;
    let httparse::Status::Complete(length) = parsed else {
        return Err(NoHead::Partial);
    };
    let (Some(method), Some(target), Some(1)) = (request.method, request.path, request.version) else {
        return Err(NoHead::Other);
    };
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| NoHead::Other)?;
    let kept = Bytes::copy_from_slice(&bytes[..length]);
    let within = Within {
        outer: bytes,
        kept: &kept,
    };
    Ok(RequestHead {
        method,
        target: within.slice(target.as_bytes()),
        headers: within.headers(request.headers)?,
        length,
    })
}

/// Reads the head of a response.
///
/// # Errors
/// It is not whole, or none.
pub fn response(bytes: &[u8]) -> Result<ResponseHead, NoHead> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut response, bytes, &mut fields)
        .map_err(|_| NoHead::Other)?;
    let httparse::Status::Complete(length) = parsed else {
        return Err(NoHead::Partial);
    };
    let (Some(code), Some(version)) = (response.code, response.version) else {
        return Err(NoHead::Other);
    };
    let kept = Bytes::copy_from_slice(&bytes[..length]);
    let within = Within {
        outer: bytes,
        kept: &kept,
    };
    Ok(ResponseHead {
        status: StatusCode::from_u16(code).map_err(|_| NoHead::Other)?,
        version: if version == 1 {
            Version::HTTP_11
        } else {
            Version::HTTP_10
        },
        headers: within.headers(response.headers)?,
        length,
    })
}

/// A head that was read, and the copy of it that its values share.
struct Within<'b> {
    outer: &'b [u8],
    kept: &'b Bytes,
}

impl Within<'_> {
    /// The same bytes in the copy.
    fn slice(&self, part: &[u8]) -> Bytes {
        let start = part.as_ptr().addr().wrapping_sub(self.outer.as_ptr().addr());
        match start.checked_add(part.len()) {
            Some(end) if end <= self.kept.len() => self.kept.slice(start..end),
            // No part of it, such as a value that is empty.
            _ => Bytes::copy_from_slice(part),
        }
    }

    fn headers(&self, fields: &[httparse::Header<'_>]) -> Result<HeaderMap, NoHead> {
        let mut headers = HeaderMap::with_capacity(fields.len());
        for field in fields {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| NoHead::Other)?;
            let value = HeaderValue::from_maybe_shared(self.slice(field.value)).map_err(|_| NoHead::Other)?;
            headers.append(name, value);
        }
        Ok(headers)
    }
}

/// Appends one field.
pub fn write_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends every field.
pub fn write_fields(headers: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in headers {
        write_field(name.as_str().as_bytes(), value.as_bytes(), out);
    }
}

/// Appends a number.
pub fn write_number(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).expect("a remainder of ten is a digit");
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
